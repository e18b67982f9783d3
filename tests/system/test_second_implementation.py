"""The second implementation, in C: beside the oracle, the vectors, the checker and the reference engine.

It was written from `spec/` alone. Where it and the engine disagree, one of them or `spec/` is wrong.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from addcow_conformance.oracle import Oracle
from addcow_ref import open_image
from addcow_spec.errors import AddCowError
from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision
from tests.ref.scenes import CLUSTER, UNIT, Scene, bits_set, noise
from tests.system.second import Refused, build, nbdkit, sanitized
from tests.system.serving import libnbd, qemu_io, run

pytestmark = pytest.mark.system

# More than two pages of bitmap each, and a last unit that is short in v10.
SIZES = {Revision.V4: 40 << 20, Revision.V6: 40 << 20, Revision.V10: (5 << 30) + 3 * 512}
# The backing file ends inside a sector, so inside a unit of any revision.
BASE = noise(9 * CLUSTER + 77, seed=5)


@pytest.fixture(params=Revision, ids=str)
def revision(request):
    return request.param


def stated(revision):
    """Parameters that leave no doubt whether it is v4 or v6."""
    return () if revision is Revision.V10 else (f"revision={revision}",)


def operations(random, size, unit, count):
    """Operations where something can go wrong: at units, pages of the bitmap, and the ends of files."""
    page = 4096 * 8 * unit
    places = (0, unit, 7 * unit, len(BASE), page, 2 * page, size)
    found = []
    for _ in range(count):
        start = random.choice(places) + random.randint(-2 * unit, 2 * unit)
        length = random.choice((1, 511, 512, unit, random.randint(1, 3 * unit)))
        start = min(max(start // random.choice((1, 512, unit)) * random.choice((1, 1, 512)), 0), size - 1)
        length = min(length, size - start)
        kind = random.choice(("write", "write", "zero", "read", "read"))
        argument = random.randbytes(length).hex() if kind == "write" else length
        found.append((kind, start, argument))
        if random.random() < 0.05:
            found.append(("flush", 0, 0))
    return found


def told(oracle, operations, shown):
    """Tell the oracle of operations, and hold the reads to it; the units that were read."""
    units, shown = set(), iter(shown)
    for kind, offset, argument in operations:
        if kind == "write":
            oracle.write(offset, bytes.fromhex(argument))
        elif kind == "zero":
            oracle.write(offset, bytes(argument))
        elif kind == "flush":
            oracle.flush()
        else:
            assert oracle.see(offset, next(shown)) is None, (offset, argument)
            units |= oracle.units(offset, argument)
    return units


def scene_of(tmp_path, revision, size, backing):
    """An image whose image file has other bytes under its clear bits, where they are cheap."""
    scene = Scene("files", tmp_path).create(size, backing, revision=revision)
    with open(scene.path(b"img"), "r+b") as file:
        file.write(b"\xee" * min(12 * CLUSTER, size))
    return scene


def found_units(scene, size):
    return bits_set(scene.get(b"x"), scene.revision, size)


def agrees(scene, oracle, ranges):
    """What was flushed is in the files, for the reference engine and for the checker."""
    with scene.open(writable=False) as image:
        for start, end in ranges:
            assert oracle.see(start, image.read(start, end - start)) is None
    assert scene.findings() == []


def around(operations, size, unit):
    """Ranges that hold all that operations touched, and some more."""
    starts = sorted({offset // (4 * unit) * 4 * unit for _, offset, _ in operations})
    return [(start, min(start + 8 * unit, size)) for start in starts]


CASES = {
    "backing": (BASE, ()),
    "none": (None, ()),
    "one-page": (BASE, ("pages=1",)),
    "cor": (BASE, ("cor=1", "pages=1")),
}


@pytest.mark.parametrize("case", CASES)
def test_is_the_disk_that_the_oracle_is(tmp_path, plugin, revision, case):
    backing, options = CASES[case]
    works_as_oracle(tmp_path, plugin, revision, backing, options)


def works_as_oracle(tmp_path, plugin, revision, backing, options, **environment):
    size, unit = SIZES[revision], UNIT[revision]
    scene = scene_of(tmp_path, revision, size, backing)
    oracle = Oracle(size, backing, unit)
    todo = operations(random.Random(f"{revision} {options}"), size, unit, 150)  # noqa: S311 - wanted again
    with nbdkit(plugin, scene.path(), *options, *stated(revision), **environment) as server:
        read = told(oracle, todo, server.do([*todo, ("flush", 0, 0)]))
        oracle.flush()
        server.kill()
        assert server.log.read_text() == ""
    units = oracle.must_be_set | (read if "cor=1" in options else set())
    assert found_units(scene, size) == units
    agrees(scene, oracle, around(todo, size, unit))
    if backing is not None:
        assert scene.get(b"base") == backing


def test_sanitizers_find_nothing(tmp_path, shared):
    plugin = build(shared, sanitize=True)
    works_as_oracle(tmp_path, plugin, Revision.V6, BASE, ("cor=1", "pages=1"), **sanitized())


def test_what_is_not_flushed_is_there_after_an_orderly_end(tmp_path, plugin, revision):
    scene = scene_of(tmp_path, revision, 20 * CLUSTER, BASE)
    with nbdkit(plugin, scene.path(), *stated(revision)) as server:
        server.do([("write", 1000, noise(70000).hex()), ("zero", 5 * CLUSTER - 3, 3)])
        assert server.stop() == 0
    oracle = Oracle(20 * CLUSTER, BASE, UNIT[revision])
    told(oracle, [("write", 1000, noise(70000).hex()), ("zero", 5 * CLUSTER - 3, 3)], [])
    assert scene.bits() == oracle.must_be_set
    agrees(scene, oracle, [(0, 20 * CLUSTER)])


def test_a_killed_server_leaves_old_or_new(tmp_path, plugin, revision):
    size, unit = SIZES[revision], UNIT[revision]
    scene = scene_of(tmp_path, revision, size, BASE)
    oracle = Oracle(size, BASE, unit)
    todo = operations(random.Random(str(revision)), size, unit, 120)  # noqa: S311 - wanted again
    with nbdkit(plugin, scene.path(), "pages=1", *stated(revision)) as server:
        told(oracle, todo, server.do(todo))
        server.kill()
    oracle.kill()
    assert oracle.see_units(found_units(scene, size)) == set()
    agrees(scene, oracle, around(todo, size, unit))
    # Whoever opens it next, reads it, and flushes, counts on what it read.
    with nbdkit(plugin, scene.path(), *stated(revision)) as server:
        reads = [("read", start, end - start) for start, end in around(todo, size, unit)]
        told(oracle, reads, server.do(reads))


@pytest.mark.parametrize("size", [30 * CLUSTER + 512, 3 * CLUSTER + 512], ids=["longer", "shorter"])
def test_both_implementations_read_what_the_other_wrote(tmp_path, plugin, revision, size):
    scene = scene_of(tmp_path, revision, size, BASE)
    expected = bytearray(BASE[:size].ljust(size, b"\0"))
    for number, offset in enumerate(
        (0, size - 2, CLUSTER + 65000, size // 2 + 7, size - CLUSTER, size - 700)
    ):
        data = noise(min(700, size - offset), seed=number)
        expected[offset : offset + len(data)] = data
        if number % 2:
            with nbdkit(plugin, scene.path(), *stated(revision)) as server:
                assert server.do([("write", offset, data.hex()), ("read", 0, size)]) == [bytes(expected)]
                assert server.stop() == 0
        else:
            with scene.open() as image:
                image.write(offset, data)
                assert image.read(0, size) == expected
        assert scene.findings() == []
        assert scene.size() == size


def test_qemu_img_compares_and_converts(tmp_path, plugin, revision):
    size = 20 * CLUSTER
    scene = scene_of(tmp_path, revision, size, BASE)
    source = tmp_path / "source.raw"
    data = noise(3 * CLUSTER, seed=3) + bytes(9 * CLUSTER) + noise(8 * CLUSTER, seed=4)
    source.write_bytes(BASE.ljust(size, b"\0"))
    with nbdkit(plugin, scene.path(), *stated(revision)) as server:
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", server.uri, source)
        run("nbdcopy", server.uri, tmp_path / "out.raw")  # which does not read what it is told is a hole
        assert (tmp_path / "out.raw").read_bytes() == source.read_bytes()
        source.write_bytes(data)
        run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, server.uri)
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", server.uri, source)
        qemu_io(server.uri, "write -f -P 0x22 200k 4k", "read -P 0x22 200k 4k")
        extents = run("qemu-img", "map", "-f", "raw", "--output", "json", server.uri)
        assert '"zero": true' in extents  # the hole of the source is one again
        assert server.stop() == 0
    assert scene.findings() == []


def test_copy_on_read_streams(tmp_path, plugin, revision):
    size = 20 * CLUSTER + 512
    scene = scene_of(tmp_path, revision, size, BASE)
    with nbdkit(plugin, scene.path(), "cor=1", *stated(revision)) as server:
        server.do([("write", 3 * CLUSTER - 5, noise(10).hex())])
        run("nbdcopy", server.uri, "null:")
        assert server.stop() == 0
    expected = bytearray(BASE.ljust(size, b"\0"))
    expected[3 * CLUSTER - 5 : 3 * CLUSTER + 5] = noise(10)
    assert scene.bits() == set(range(Geometry(revision, size).units))
    assert scene.get(b"img") == expected
    assert scene.get(b"base") == BASE


def test_parallel_first_writes_lose_nothing(tmp_path, plugin, revision):
    unit, units, writers = UNIT[revision], 300, 4
    size, part = unit * units, unit // writers
    scene = scene_of(tmp_path, revision, size, BASE * 40)
    script = f"""
import threading
together = threading.Barrier({writers})
def work(number):
    client = connect()
    for at in range(number * {part}, {size}, {unit}):
        together.wait()
        client.pwrite(bytes([number + 1]) * ({part} - 7), at)
threads = [threading.Thread(target=work, args=(number,)) for number in range({writers})]
for thread in threads: thread.start()
for thread in threads: thread.join()
connect().flush()
"""
    with nbdkit(plugin, scene.path(), *stated(revision)) as server:
        libnbd(server.uri, script)
        server.kill()
    expected = bytearray((BASE * 40)[:size])
    for at in range(0, size, part):
        expected[at : at + part - 7] = bytes([at // part % writers + 1]) * (part - 7)
    with scene.open(writable=False) as image:
        assert image.read(0, size) == expected
    assert scene.findings() == []


def test_memory_does_not_grow_with_the_bitmap(tmp_path, plugin):
    scene = Scene("files", tmp_path).create(1 << 40, revision=Revision.V6)  # 256 MiB of bitmap
    with nbdkit(plugin, scene.path(), "revision=v6") as server:
        server.do([("write", at << 30, "aa") for at in range(0, 1024, 2)])
        assert (
            int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.pid}/status").read_text())[1]) < 32 << 10
        )


TRACED = ("strace", "-f", "-y", "-e", "trace=pwrite64,fdatasync,fallocate")


def traced(log):
    """What was done to the files, in order: the call, and the file's name."""
    return re.findall(r"(\w+)\(\d+<[^>]*/(x|img|base)>", log)


def test_bits_follow_their_data(tmp_path, plugin):
    scene = scene_of(tmp_path, Revision.V6, SIZES[Revision.V6], BASE)
    todo = operations(random.Random(3), SIZES[Revision.V6], 512, 60)  # noqa: S311 - wanted again
    with nbdkit(plugin, scene.path(), "pages=1", "revision=v6", under=TRACED) as server:
        server.do([*todo, ("flush", 0, 0)])
        server.kill()
        calls = traced(server.log.read_text())
    assert {name for _, name in calls} == {"x", "img"}
    assert calls[-1] == ("fdatasync", "x")
    unsynced, bits = False, 0
    for call, name in calls:
        if name == "img":
            unsynced = call != "fdatasync"
        elif call == "pwrite64":
            bits += 1
            assert not unsynced
    assert bits > 5  # pages that made room, and not the flushes alone


def test_the_first_flush_syncs_both_files_and_the_next_one_the_data(tmp_path, plugin):
    scene = scene_of(tmp_path, Revision.V10, 8 * CLUSTER, BASE)
    with nbdkit(plugin, scene.path(), under=TRACED) as server:
        server.do([("flush", 0, 0), ("flush", 0, 0)])
        server.kill()
        assert traced(server.log.read_text()) == [
            ("fdatasync", "img"),
            ("fdatasync", "x"),
            ("fdatasync", "img"),
        ]


def test_a_sync_that_fails_is_final(tmp_path, plugin):
    scene = scene_of(tmp_path, Revision.V10, 8 * CLUSTER, BASE)
    injected = (*TRACED, "-e", "inject=fdatasync:error=EIO:when=1")
    script = """
client = connect()
client.pwrite(b"a" * 512, 0)
for what in (client.flush, client.flush, lambda: client.pwrite(b"b" * 512, 0), lambda: client.zero(512, 0)):
    try:
        what()
    except nbd.Error as error:
        print(error.errno)
print(client.pread(1, 0))
"""
    with nbdkit(plugin, scene.path(), under=injected) as server:
        assert libnbd(server.uri, script).split() == ["EIO"] * 4 + ["bytearray(b'a')"]
        server.stop()
    assert scene.bits() == set()


def test_reads_go_on_after_a_failed_sync(tmp_path, plugin):
    page = 4096 * 8 * 512
    scene = scene_of(tmp_path, Revision.V6, 3 * page, BASE)
    injected = (*TRACED, "-e", "inject=fdatasync:error=EIO:when=1")
    script = f"""
client = connect()
client.pwrite(b"a" * 512, 0)
for offset in (0, {page}, 0, {2 * page}):  # one page of bits in memory, which cannot make room
    print(client.pread(1, offset))
try:
    client.pwrite(b"b" * 512, {page})
except nbd.Error as error:
    print(error.errno)
"""
    with nbdkit(plugin, scene.path(), "pages=1", "revision=v6", under=injected) as server:
        zero = r"bytearray(b'\x00')"
        assert libnbd(server.uri, script).split() == ["bytearray(b'a')", zero, "bytearray(b'a')", zero, "EIO"]


def test_read_only_opens_nothing_for_writing(tmp_path, plugin, revision):
    scene = scene_of(tmp_path, revision, 8 * CLUSTER, BASE)
    with scene.unchanged(b"x", b"img", b"base"), nbdkit(plugin, scene.path(), flags=("-r",)) as server:
        assert not any(server.open_files()[name] for name in (b"x", b"img", b"base"))
        assert libnbd(server.uri, "print(connect().is_read_only())") == "True\n"
        assert server.do([("read", 0, 8 * CLUSTER)]) == [BASE[: 8 * CLUSTER]]
        assert server.stop() == 0
    with nbdkit(plugin, scene.path(), *stated(revision)) as server:
        files = server.open_files()
        assert (files[b"x"], files[b"img"], files[b"base"]) == (True, True, False)


def test_a_guessed_revision_is_read_only(tmp_path, plugin):
    scene = scene_of(tmp_path, Revision.V6, 4 << 20, None)
    with nbdkit(plugin, scene.path()) as server:
        assert libnbd(server.uri, "print(connect().is_read_only())") == "True\n"
        assert not any(server.open_files()[name] for name in (b"x", b"img"))
        assert "ACW-HDR-005" in server.log.read_text()


def refusal(plugin, scene, *options, flags=()):
    """The rule by which an image is refused, None where it is not."""
    try:
        with nbdkit(plugin, scene.path(), *options, flags=flags):
            return None
    except Refused as error:
        return re.search(r"error: (?:(ACW-\w+-\d+): )?", str(error))[1]


def test_one_writer_or_any_number_of_readers(tmp_path, plugin):
    scene = scene_of(tmp_path, Revision.V10, 8 * CLUSTER, BASE)
    with nbdkit(plugin, scene.path(), flags=("-r",)):
        assert refusal(plugin, scene, flags=("-r",)) is None
        assert refusal(plugin, scene) == "ACW-DYN-014"
        with scene.open(writable=False):
            pass
        with pytest.raises(AddCowError):
            scene.open()
    with nbdkit(plugin, scene.path()):
        assert refusal(plugin, scene) == "ACW-DYN-014"
        assert refusal(plugin, scene, flags=("-r",)) == "ACW-DYN-014"
        assert refusal(plugin, scene, "locks=off", flags=("-r",)) is None
        with pytest.raises(AddCowError):
            scene.open(writable=False)
        for name in (b"img", b"base"):
            run("qemu-io", "-f", "raw", "-c", "write 0 512", scene.path(name), status=1)
        run("qemu-img", "map", "-U", "-f", "raw", scene.path(b"img"), status=1)
        run("qemu-io", "-r", "-f", "raw", "-c", "read 0 512", scene.path(b"base"))
    with open_image(scene.storage(), writable=True):
        assert refusal(plugin, scene) == "ACW-DYN-014"
        assert refusal(plugin, scene, flags=("-r",)) == "ACW-DYN-014"


@pytest.mark.parametrize("bad", ["pages=0", "revision=v7", "cor=perhaps", "unknown=1", "locks=off"])
def test_bad_parameters_are_refused(tmp_path, plugin, bad):
    scene = scene_of(tmp_path, Revision.V10, CLUSTER, None)
    with pytest.raises(Refused), nbdkit(plugin, scene.path(), bad):
        pass


def test_copying_on_read_is_refused_to_a_reader(tmp_path, plugin):
    scene = scene_of(tmp_path, Revision.V10, CLUSTER, None)
    with pytest.raises(Refused), nbdkit(plugin, scene.path(), "cor=1", flags=("-r",)):
        pass
