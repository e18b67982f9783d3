"""A server's life: what it refuses, how it ends, and what is there afterwards."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest

from addcow_ref import open_image
from addcow_ref.serve import serve
from addcow_spec.errors import ImageInUse, UsageError
from addcow_spec.model import Revision
from tests.ref.scenes import CLUSTER, Scene, noise
from tests.system.serving import HANG, libnbd, libnbd_waiting, qemu_io, run, served

pytestmark = pytest.mark.system

SIZE = 20 * CLUSTER + 512
BASE = noise(9 * CLUSTER)


@pytest.fixture
def scene(tmp_path):
    return Scene("files", tmp_path).create(SIZE, BASE)


def disk(scene):
    with scene.open(writable=False) as image:
        return image.read(0, image.size)


def unlocked(path, **options):
    """The image as soon as the server has noticed that its last client is gone."""
    end = time.monotonic() + HANG
    while True:
        try:
            return open_image(path, **options)
        except ImageInUse:
            assert time.monotonic() < end
            time.sleep(0.01)


# --- ending


@pytest.mark.parametrize("revision", Revision, ids=str)
def test_what_was_flushed_outlives_a_kill(tmp_path, revision):
    scene = Scene("files", tmp_path).create(SIZE, BASE, revision=revision)
    script = f"""
client = connect()
client.pwrite(b"f" * 70000, 1000)
client.flush()
client.pwrite(b"u" * 512, {12 * CLUSTER}, nbd.CMD_FLAG_FUA)
client.zero({CLUSTER}, {6 * CLUSTER}, nbd.CMD_FLAG_FUA)
client.pwrite(b"n" * 512, {15 * CLUSTER})
"""
    with served(scene.path(), revision=revision) as server, libnbd_waiting(server.uri, script):
        server.kill()
    assert scene.findings() == []
    found, expected = bytearray(disk(scene)), bytearray(BASE.ljust(SIZE, b"\0"))
    expected[1000:71000] = b"f" * 70000
    expected[12 * CLUSTER : 12 * CLUSTER + 512] = b"u" * 512
    expected[6 * CLUSTER : 7 * CLUSTER] = bytes(CLUSTER)
    late = slice(15 * CLUSTER, 15 * CLUSTER + 512)
    assert found[late] in (bytes(512), b"n" * 512)
    found[late] = expected[late]
    assert found == expected


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_what_was_written_outlives_the_end(scene, number):
    script = f'connect().pwrite(b"w" * 5000, {3 * CLUSTER})'
    with served(scene.path()) as server, libnbd_waiting(server.uri, script):
        assert server.stop(signal.Signals[number]) == 0
    assert not os.path.lexists(scene.path(b"s"))
    assert scene.findings() == []
    assert disk(scene)[3 * CLUSTER : 3 * CLUSTER + 5000] == b"w" * 5000


def test_an_end_that_loses_data_is_no_success(scene):
    """The bitmap lies beyond the limit, so that nothing can be flushed."""
    script = """
client = connect()
client.pwrite(b"w" * 512, 0)
try:
    client.flush()
except nbd.Error as error:
    assert error.errnum == 28, error.errnum  # ENOSPC
else:
    raise AssertionError("it was flushed")
"""
    scene.create(SIZE, None, overwrite=True)
    with served(scene.path(), file_size_limit=4096) as server:
        libnbd(server.uri, script)
        assert server.stop() == 1


def test_a_write_that_fails_leaves_the_rest_alone(scene):
    limit = 15 * CLUSTER
    script = f"""
client = connect()
try:
    client.pwrite(b"w" * 512, {17 * CLUSTER})
except nbd.Error as error:
    assert error.errnum == 28, error.errnum
else:
    raise AssertionError("it was written")
client.pwrite(b"w" * 512, {2 * CLUSTER})
client.flush()
"""
    with served(scene.path(), file_size_limit=limit) as server:
        libnbd(server.uri, script)
        assert server.stop() == 0
    expected = bytearray(BASE.ljust(SIZE, b"\0"))
    expected[2 * CLUSTER : 2 * CLUSTER + 512] = b"w" * 512
    assert disk(scene) == expected


# --- one writer


def test_a_second_server_is_told_which_file_is_locked(scene):
    with served(scene.path()) as first, libnbd_waiting(first.uri, "connect()\nkept = connect()"):
        with served(scene.path(), socket=scene.path(b"t")) as second:
            assert second.refusal == ("ImageInUse", "ACW-DYN-014", scene.path())
        assert not os.path.lexists(scene.path(b"t"))


def test_a_second_client_is_refused_while_another_server_has_the_image(scene):
    with served(scene.path()) as first, served(scene.path(), socket=scene.path(b"t")) as second:
        with libnbd_waiting(first.uri, "kept = connect()"):
            run("nbdinfo", "--size", second.uri, status=1)
            assert os.fsdecode(scene.path()) in second.log.read_text()
        unlocked(scene.path(), writable=True).close()
        assert run("nbdinfo", "--size", second.uri) == f"{SIZE}\n"


def test_readers_share(scene):
    options = {"read_only": True}
    with (
        served(scene.path(), **options) as first,
        served(scene.path(), socket=scene.path(b"t"), **options) as second,
        libnbd_waiting(first.uri, "kept = connect()"),
    ):
        assert run("nbdinfo", "--size", second.uri) == f"{SIZE}\n"


def test_read_only_is_read_only(scene):
    with scene.unchanged(b"x", b"img", b"base"), served(scene.path(), read_only=True) as server:
        qemu_io(server.uri, "write 0 512", status=1)
        script = """
client = connect()
assert client.is_read_only()
client.set_strict_mode(0)
for request in (lambda: client.pwrite(b"w" * 512, 0), lambda: client.zero(512, 0)):
    try:
        request()
    except nbd.Error as error:
        assert error.errnum == 1, error.errnum  # EPERM
    else:
        raise AssertionError("it was done")
"""
        libnbd(server.uri, script)
        assert server.stop() == 0


def test_a_resize_is_seen_by_the_next_client(scene):
    with served(scene.path()) as server:
        assert run("nbdinfo", "--size", server.uri) == f"{SIZE}\n"
        with unlocked(scene.path(), writable=True) as image:
            image.resize(SIZE + 3 * CLUSTER + 1)
        assert run("nbdinfo", "--size", server.uri) == f"{SIZE + 3 * CLUSTER + 1}\n"
        with libnbd_waiting(server.uri, "kept = connect()"), pytest.raises(ImageInUse):
            open_image(scene.path(), writable=True)


# --- what is refused before anything listens


def test_a_broken_image_is_refused_by_its_rule(scene):
    scene.put(b"x", b"ADD_COW\xfe" + scene.get(b"x")[8:])
    with served(scene.path()) as server:
        assert server.refusal == ("MalformedImage", "ACW-HDR-001", None)
    assert not os.path.lexists(scene.path(b"s"))


def test_an_image_without_its_image_file_is_refused_by_its_rule(scene):
    os.unlink(scene.path(b"img"))
    with served(scene.path()) as server:
        assert server.refusal == ("BackingChainError", "ACW-ENV-001", None)


def test_confinement_is_kept(tmp_path):
    (tmp_path / "in").mkdir()
    scene = Scene("files", tmp_path / "in")
    scene.put(b"img", bytes(SIZE))
    scene.put(b"../base", BASE)
    scene.create(SIZE)
    with served(scene.path(), confine=os.fsencode(tmp_path / "in")) as server:
        assert run("nbdinfo", "--size", server.uri) == f"{SIZE}\n"
    scene.create(SIZE, BASE, overwrite=True)
    os.rename(scene.path(b"base"), scene.path(b"../base"))
    os.symlink("../base", scene.path(b"base"))
    with served(scene.path(), confine=os.fsencode(tmp_path / "in")) as server:
        assert server.refusal == ("BackingChainError", "ACW-ENV-004", None)


@pytest.mark.parametrize("kind", ["file", "socket", "dangling link"])
def test_a_socket_path_that_is_taken_is_left_alone(scene, kind):
    path = scene.path(b"s")
    with socket.socket(socket.AF_UNIX) as other:
        if kind == "file":
            scene.put(b"s", b"mine")
        elif kind == "socket":
            other.bind(path)
        else:
            os.symlink("nowhere", path)
        before = os.lstat(path)
        with served(scene.path()) as server:
            assert server.refusal == ("StorageError", "", None)
        assert os.path.samestat(os.lstat(path), before)


def test_a_port_that_is_taken_is_refused(scene):
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        served(scene.path(), port=other.getsockname()[1]) as server,
    ):
        assert server.refusal == ("StorageError", "", None)


def test_socket_and_port_exclude_each_other(scene):
    with pytest.raises(UsageError):
        serve(scene.path(), socket=scene.path(b"s"), port=0)


@pytest.mark.parametrize(
    "nbdkit",
    [None, "exit 1", "echo name=python; echo python_version=2.7.18"],
    ids=["none", "no Python plugin", "another Python"],
)
def test_what_nbdkit_lacks_is_told(scene, tmp_path, monkeypatch, nbdkit):
    monkeypatch.setenv("PATH", str(tmp_path))
    if nbdkit:
        (tmp_path / "nbdkit").write_text(f"#!/bin/sh\n{nbdkit}\n")
        (tmp_path / "nbdkit").chmod(0o755)
    with pytest.raises(UsageError) as caught:
        serve(scene.path(), socket=scene.path(b"s"))
    assert "\n" not in str(caught.value)
    assert "install" in str(caught.value)


# --- where it listens


def test_tcp_is_loopback_alone(scene):
    with served(scene.path(), port=0) as server:
        host, port = server.uri.removeprefix("nbd://").split(":")
        assert host == "127.0.0.1"
        assert run("nbdinfo", "--size", server.uri) == f"{SIZE}\n"
        with socket.socket() as stranger:  # another address of this machine, which only a wildcard answers
            assert stranger.connect_ex(("127.0.0.2", int(port))) != 0


@pytest.mark.parametrize(
    "name",
    [b"-r", b"a=b", b"line\nbreak", b"\x1b[31m\xff", b" %41+&?# ", "ünï\u202ecode".encode()],
    ids=["option", "equals", "newline", "escape", "quoting", "unicode"],
)
def test_hostile_names(tmp_path, name):
    place = os.path.join(os.fsencode(tmp_path), name)
    os.mkdir(place)
    scene = Scene("files", place).create(SIZE)
    os.rename(scene.path(b"x"), scene.path(name))
    with served(scene.path(name), socket=scene.path(b"s" + name)) as server:
        assert os.path.lexists(scene.path(b"s" + name))
        qemu_io(server.uri, "write -P 0x61 512 1024")
        assert server.stop() == 0
    with open_image(scene.path(name)) as image:
        assert image.read(0, 2048) == bytes(512) + b"\x61" * 1024 + bytes(512)


def test_clients_that_come_and_go_leave_nothing_behind(scene):
    """Each has threads of nbdkit to itself, and each of these a state in Python."""
    script = """
for _ in range(80):
    client = connect()
    cookies = [client.aio_pread(nbd.Buffer(65536), n * 65536) for n in range(16)]
    for cookie in cookies:
        while not client.aio_command_completed(cookie):
            client.poll(-1)
    client.shutdown()
"""

    def memory():
        with open(f"/proc/{server.nbdkit}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    with served(scene.path()) as server:
        libnbd(server.uri, script)
        before = memory()
        libnbd(server.uri, script)
        assert memory() - before < 2 << 20
