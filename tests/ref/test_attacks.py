"""What attacks found: names that change hands, files that shrink, signals and helpers at the wrong moment."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from itertools import pairwise

import click
import pytest

import addcow_ref.cli.create as create_command
from addcow_ref import Image, _file_storage, create_image, finalize_image, open_image
from addcow_spec.errors import AddCowError, ImageInUse, StorageError
from tests.ref.cli.command import img, process
from tests.ref.scenes import CLUSTER, noise

# Nothing that works comes near it.
_HANG = 5


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def image(home):
    """An image of 16 clusters, x over img."""
    (home / "img").write_bytes(bytes(16 * CLUSTER))
    create_image("x", "img")
    return "x"


# --- files that shrink underneath


def test_stream_takes_no_lost_backing_data_for_zeros(files):
    files.create(32 * CLUSTER, noise(32 * CLUSTER))
    with files.open() as disk:
        os.truncate(files.path(b"base"), 16 * CLUSTER)
        with pytest.raises(StorageError):
            disk.stream()
    assert max(files.bits(), default=0) < 16


@pytest.mark.parametrize("length", [0, CLUSTER, 4 * CLUSTER - 1])
@pytest.mark.parametrize("name", [b"img", b"base"])
def test_extents_call_no_lost_data_zeros(files, name, length):
    files.create(4 * CLUSTER, noise(4 * CLUSTER))
    with files.open() as disk:
        if name == b"img":
            disk.write(0, noise(4 * CLUSTER, 2))
        os.truncate(files.path(name), length)
        with pytest.raises(StorageError):
            list(disk.extents())


# --- names that change hands


@pytest.mark.usefixtures("home")
def test_create_leaves_the_image_of_another_that_was_faster_whole(monkeypatch):
    real, statuses = create_command.create_image, []

    def overtaken(*arguments, **options):
        monkeypatch.setattr(create_command, "create_image", real)
        statuses.append(img("create", "-o", "image_file=img", "x", "1M").status)
        return real(*arguments, **options)

    monkeypatch.setattr(create_command, "create_image", overtaken)
    statuses.append(img("create", "-o", "image_file=img", "x", "1M").status)
    assert statuses.count(0) == 1
    assert img("info", "x").status == 0


def test_finalize_removes_only_the_file_that_it_has_proven(image, home):
    with open_image(image, writable=True) as disk:
        disk.write(0, noise(disk.size))
    (home / "other").write_bytes(bytes(CLUSTER))

    def replaced(_done, _total):
        if not os.path.exists("old"):
            os.rename(image, "old")
            create_image(image, "other")

    with pytest.raises(AddCowError):
        finalize_image(image, remove=True, progress=replaced)
    assert sorted(os.listdir(home)) == ["img", "old", "other", "x"]


@pytest.mark.parametrize("writable", [True, False])
def test_create_replaces_no_image_that_is_in_use(image, home, writable):
    (home / "other").write_bytes(bytes(CLUSTER))
    with open_image(image, writable=writable), pytest.raises(ImageInUse):
        create_image(image, "other", overwrite=True)


def test_names_lead_from_the_directory_that_the_file_was_opened_in(home, monkeypatch):
    for name in ("a", "b"):
        (home / name).mkdir()
        (home / name / "img").write_bytes(bytes(CLUSTER))
        create_image(f"{name}/x", "img")
    os.symlink("a", "link")
    real = _file_storage.open_judged

    def flipped(*arguments, **options):
        monkeypatch.setattr(_file_storage, "open_judged", real)
        found = real(*arguments, **options)
        os.unlink("link")
        os.symlink("b", "link")
        return found

    monkeypatch.setattr(_file_storage, "open_judged", flipped)
    with open_image("link/x", writable=True) as disk:
        disk.write(0, b"guest")
    written = [name for name in ("a", "b") if (home / name / "img").read_bytes().startswith(b"guest")]
    bitmaps = [name for name in ("a", "b") if (home / name / "x").read_bytes()[4096]]
    assert written == bitmaps == ["a"]


def test_create_makes_no_raw_file_outside_of_what_it_is_confined_to(home, monkeypatch):
    for name in ("root", "root/inside", "outside"):
        (home / name).mkdir()
    os.symlink("inside", "root/link")
    real = create_command._check_confined

    def judged(*arguments):
        real(*arguments)
        os.unlink("root/link")
        os.symlink("../outside", "root/link")

    def made(*arguments, **options):
        os.unlink("root/link")
        os.symlink("inside", "root/link")
        create_image(*arguments, **options)

    monkeypatch.setattr(create_command, "_check_confined", judged)
    monkeypatch.setattr(create_command, "create_image", made)
    img("create", "--confine", "root", "-o", "image_file=link/raw", "root/x", "1M")
    assert not os.listdir("outside")


def test_create_takes_the_longest_path_that_the_system_takes(home):
    (home / "img").write_bytes(bytes(CLUSTER))
    path = "./" * 2040 + "x"
    create_image(path, "img")
    assert os.path.exists("x")


def test_convert_makes_no_file_of_what_was_called_a_directory(image, home):
    assert img("convert", image, "copy/").status == 1
    assert sorted(os.listdir(home)) == ["img", "x"]


# --- signals

_SIGNAL_INSIDE = textwrap.dedent("""
    import os, signal, sys
    from addcow_ref import _serial
    from addcow_ref.cli import _main

    enter, left = _serial.Gate.enter, [3]

    def interrupted(gate):
        enter(gate)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGTERM)

    _serial.Gate.enter = interrupted
    sys.argv = ["addcow-img", "io", "-c", "write 0 1", "-c", "write 0 1", "-c", "write 0 1", "x"]
    _main.main()
""")


@pytest.mark.usefixtures("image")
def test_a_signal_at_any_moment_ends_the_command():
    done = subprocess.run(
        [sys.executable, "-c", _SIGNAL_INSIDE],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        timeout=_HANG,
        check=False,
    )
    assert done.returncode == 128 + signal.SIGTERM


def connected(path):
    """A client that has read a sector, and says nothing more."""
    client = socket.socket(socket.AF_UNIX)
    deadline = time.monotonic() + 4 * _HANG
    while client.connect_ex(path) and time.monotonic() < deadline:
        time.sleep(0.02)
    client.recv(18, socket.MSG_WAITALL)
    client.sendall((3).to_bytes(4, "big") + b"IHAVEOPT" + (1).to_bytes(4, "big") + bytes(4))
    assert int.from_bytes(client.recv(10, socket.MSG_WAITALL)[:8], "big") == 16 * CLUSTER
    client.sendall(bytes.fromhex("25609513") + bytes(8 + 4 + 8) + (512).to_bytes(4, "big"))
    assert not any(client.recv(16 + 512, socket.MSG_WAITALL)[4:8])
    time.sleep(0.2)  # all threads of the server wait for requests then
    return client


@pytest.mark.system
def test_serve_ends_by_a_signal_while_a_client_is_idle(image, home):
    server = process("serve", "--socket", "socket", image, cwd=home)
    try:
        with connected("socket"):
            server.terminate()
            assert server.wait(_HANG) == 0
    finally:
        server.communicate(timeout=4 * _HANG)


@pytest.mark.system
def test_serve_that_is_killed_leaves_no_server_behind(image, home):
    server = process("serve", "--socket", "socket", image, cwd=home)
    try:
        with connected("socket"):
            server.kill()
            server.wait(_HANG)
            deadline = time.monotonic() + _HANG
            while True:
                try:
                    open_image(image, writable=True).close()
                    break
                except ImageInUse:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
    finally:
        server.communicate(timeout=4 * _HANG)


# --- what is said, and what it costs


@pytest.mark.parametrize(
    "command", [("map", "--output", "json", "x"), ("io", "-c", "length", "x")], ids=" ".join
)
@pytest.mark.usefixtures("image")
def test_an_output_that_is_full_is_not_blamed_on_the_image(command):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "addcow_ref.cli._main", *command],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert b" x: " not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "-o", "image_file=img,revision=\x1b]0;title\a", "y"),
        ("create", "-o", "image_file=a,\x1b]0;title\ab=1", "y"),
        ("create", "-o", "image_file=img", "y", "\x1b]0;title\a"),
        ("resize", "x", "\x1b]0;title\a"),
    ],
    ids=["revision", "key", "size", "resize"],
)
@pytest.mark.usefixtures("home")
def test_no_argument_commands_the_terminal(arguments):
    result = img(*arguments)
    assert result.status == 64
    assert "\x1b" not in result.errors
    assert "\a" not in result.errors


@pytest.mark.parametrize("options", [(), ("--backing-chain",)], ids=["info", "backing-chain"])
def test_info_opens_each_file_a_few_times_only(home, monkeypatch, options):
    names = ["base", *(f"x{number}" for number in range(1, 13))]
    for name in ["base", "img"]:
        (home / name).write_bytes(bytes(CLUSTER))
    for below, name in pairwise(names):
        (home / f"{name}.img").write_bytes(bytes(CLUSTER))
        create_image(name, f"{name}.img", backing_file=below)
    opened, real = [], os.open

    def counted(*arguments, **keywords):
        opened.append(arguments[0])
        return real(*arguments, **keywords)

    monkeypatch.setattr(os, "open", counted)
    counts = []
    for name in ("x6", "x12"):
        opened.clear()
        assert img("info", *options, name).status == 0
        counts.append(len(opened))
    assert counts[1] < 2.5 * counts[0]


def test_io_shows_a_map_while_it_looks_for_the_rest(image, monkeypatch):
    real, events = Image.extents, []

    def told(disk, *arguments):
        for extent in real(disk, *arguments):
            events.append("extent")
            yield extent

    with open_image(image, writable=True) as disk:
        for unit in range(0, 16, 2):
            disk.write(unit * CLUSTER, b"x")
    monkeypatch.setattr(Image, "extents", told)
    monkeypatch.setattr(click, "echo", lambda *_, **__: events.append("line"))
    assert img("io", "-r", "-c", "map", image).status == 0
    assert "extent" in events[events.index("line") :]
