"""Programs that know nothing of add-cow use served disks: QEMU's, libnbd's, and fio."""

from __future__ import annotations

import json
import os

import pytest

from addcow_spec.model import Revision
from tests.ref.scenes import CLUSTER, Scene, noise
from tests.system.serving import libnbd, qemu_io, run, served

pytestmark = pytest.mark.system

# The last cluster is short, and the backing file ends within the disk.
SIZE = 40 * CLUSTER + 3 * 512
BASE = noise(17 * CLUSTER + 5)


@pytest.fixture
def scene(tmp_path, revision):
    """An image with some clusters of its own, over a backing file; ``expected`` is the disk's content."""
    scene = Scene("files", tmp_path).create(SIZE, BASE, revision=revision)
    scene.expected = bytearray(BASE.ljust(SIZE, b"\0"))
    with scene.open() as image:
        for offset, length in ((0, 10), (5 * CLUSTER - 7, CLUSTER), (30 * CLUSTER + 99, 5000), (SIZE - 1, 1)):
            scene.expected[offset : offset + length] = noise(length, seed=7)
            image.write(offset, noise(length, seed=7))
    return scene


@pytest.fixture(params=Revision, ids=str)
def revision(request):
    return request.param


@pytest.fixture
def server(scene):
    with served(scene.path(), revision=scene.revision) as server:
        yield server


def content(scene, server):
    """The disk as the engine reads it when the server has ended; the checker has nothing to say of it."""
    assert server.stop() == 0
    with scene.open(writable=False) as image:
        found = image.read(0, image.size)
    assert scene.findings() == []
    return found


def test_qemu_img_reads_maps_and_converts(scene, server, tmp_path):
    expected = tmp_path / "expected.raw"
    expected.write_bytes(scene.expected)
    run("qemu-img", "compare", "-f", "raw", "-F", "raw", server.uri, expected)

    run("qemu-img", "convert", "-f", "raw", "-O", "raw", server.uri, tmp_path / "out.raw")
    assert (tmp_path / "out.raw").read_bytes() == scene.expected

    extents = json.loads(run("qemu-img", "map", "-f", "raw", "--output", "json", server.uri))
    assert sum(extent["length"] for extent in extents) == SIZE
    for extent in extents:
        part = scene.expected[extent["start"] : extent["start"] + extent["length"]]
        assert not (extent["zero"] and any(part))
    # Far from what was written, beyond the backing file.
    (hole,) = [e for e in extents if e["start"] <= 25 * CLUSTER < e["start"] + e["length"]]
    assert hole["zero"]
    assert not hole["data"]


def test_qemu_img_converts_onto_it(scene, server, tmp_path):
    source = tmp_path / "source.raw"
    data = noise(3 * CLUSTER, seed=3) + bytes(9 * CLUSTER) + noise(SIZE - 12 * CLUSTER, seed=4)
    source.write_bytes(data)
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, server.uri)
    assert content(scene, server) == data


def test_qemu_io_writes_zeroes_and_flushes(scene, server):
    commands = (
        "write -P 0x11 1000 70000",
        "write -f -P 0x22 200k 4k",
        "flush",
        "write -z 300k 100k",
        "write -z -u 1M 130k",
        "read -P 0x11 1000 70000",
        "read -P 0x22 200k 4k",
        "read -P 0 300k 100k",
        "read -P 0 1M 130k",
    )
    output = qemu_io(server.uri, *commands, options=("-d", "unmap"))
    assert "verification failed" not in output
    for offset, length, value in ((1000, 70000, 0x11), (200 << 10, 4096, 0x22)):
        scene.expected[offset : offset + length] = bytes([value]) * length
    for offset, length in ((300 << 10, 100 << 10), (1 << 20, 130 << 10)):
        scene.expected[offset : offset + length] = bytes(length)
    assert content(scene, server) == scene.expected


def test_nbdcopy_both_ways(scene, server, tmp_path):
    run("nbdcopy", server.uri, tmp_path / "out.raw")
    assert (tmp_path / "out.raw").read_bytes() == scene.expected

    source = tmp_path / "source.raw"
    with source.open("wb") as file:
        file.write(noise(2 * CLUSTER, seed=5))
        file.truncate(SIZE)
    run("nbdcopy", source, server.uri)
    assert content(scene, server) == source.read_bytes()
    image_file = os.stat(scene.path(b"img"))
    assert image_file.st_blocks * 512 < SIZE / 4  # the hole stayed one


def test_nbdinfo_says_what_the_server_can(scene, server):
    assert run("nbdinfo", "--size", server.uri) == f"{SIZE}\n"
    (export,) = json.loads(run("nbdinfo", "--json", server.uri))["exports"]
    unit = 4096 if scene.revision is not Revision.V10 else CLUSTER
    expected = {
        "export-size": SIZE,
        "is_read_only": False,
        "is_rotational": False,
        "can_cache": False,
        "can_flush": True,
        "can_fua": True,
        "can_multi_conn": True,
        "can_zero": True,
        "block_size_minimum": 1,
        "block_size_preferred": unit,
    }
    assert {name: export[name] for name in expected} == expected
    extents = json.loads(run("nbdinfo", "--map", "--json", server.uri))
    assert sum(extent["length"] for extent in extents) == SIZE
    assert {extent["description"] for extent in extents} == {"data", "hole,zero"}


# Every connection writes its own piece of each cluster at the same time: the cluster is copied up once, all
# of them wait for it, and no piece may be lost. Then all write one range, and one of them wins.
TOGETHER = f"""
count, piece = 6, 4096
clients = [connect() for _ in range(count)]
assert all(client.can_multi_conn() for client in clients)
for cluster in range(18):
    waiting = []
    for number, client in enumerate(clients):
        data = nbd.Buffer.from_bytearray(bytearray([64 + number]) * piece)
        waiting.append((client, client.aio_pwrite(data, cluster * {CLUSTER} + number * piece)))
    for client, cookie in waiting:
        while not client.aio_command_completed(cookie):
            client.poll(-1)
waiting = []
for number, client in enumerate(clients):
    data = nbd.Buffer.from_bytearray(bytearray([96 + number]) * piece)
    waiting.append((client, client.aio_pwrite(data, 20 * {CLUSTER})))
for client, cookie in waiting:
    while not client.aio_command_completed(cookie):
        client.poll(-1)
clients[0].flush()
last = clients[-1].pread(piece, 20 * {CLUSTER})
assert last in [bytes([96 + number]) * piece for number in range(count)]
print(last[0])
"""


def test_connections_write_the_same_clusters_at_once(scene, server):
    winner = int(libnbd(server.uri, TOGETHER))
    for cluster in range(18):
        for number in range(6):
            at = cluster * CLUSTER + number * 4096
            scene.expected[at : at + 4096] = bytes([64 + number]) * 4096
    scene.expected[20 * CLUSTER : 20 * CLUSTER + 4096] = bytes([winner]) * 4096
    assert content(scene, server) == scene.expected


def test_a_request_beyond_the_end_is_refused(scene, server):
    script = f"""
client = connect()
client.set_strict_mode(0)
for request in (lambda: client.pread(2, {SIZE} - 1), lambda: client.pwrite(b"ab", {SIZE} - 1)):
    try:
        request()
    except nbd.Error as error:
        assert error.errnum in (22, 28), error.errnum  # EINVAL, ENOSPC
    else:
        raise AssertionError("it was done")
"""
    libnbd(server.uri, script)
    assert content(scene, server) == scene.expected


@pytest.mark.parametrize("revision", [Revision.V6, Revision.V10], ids=str)
def test_fio_verifies_what_it_wrote(scene, server, tmp_path):
    job = (
        *("--name=verify", "--ioengine=nbd", f"--uri={server.uri}", "--rw=randrw", "--iodepth=16"),
        *("--bsrange=512-40k", "--blockalign=512", "--size=1m", "--offset_increment=1m", "--numjobs=2"),
        *("--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--randseed=3", "--output-format=json"),
    )
    output = run("fio", *job, f"--aux-path={tmp_path}")
    jobs = json.loads(output[output.index("{") :])["jobs"]
    assert [job["error"] for job in jobs] == [0, 0]
    assert all(job["write"]["total_ios"] and job["read"]["total_ios"] for job in jobs)
    disk = content(scene, server)
    assert disk[2 << 20 :] == scene.expected[2 << 20 :]
    assert disk[: 2 << 20] != scene.expected[: 2 << 20]
