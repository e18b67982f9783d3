"""Real files under hostile paths: what is opened, what names lead to, and confinement."""

from __future__ import annotations

import errno
import os
import resource
import socket
import stat
import subprocess
import sys
import threading

import pytest

from addcow_ref import FileStorage, OpenFailed, OpenReason, _linux
from addcow_spec.errors import StorageError

BLOCK = 64 << 10


def opened(path, **options):
    return FileStorage.open_path(bytes(path), **options)


def reason(path, **options):
    """Why a path is refused; nothing may be left open by that."""
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OpenFailed) as caught:
        opened(path, **options)
    assert os.listdir("/proc/self/fd") == before
    assert caught.value.path == bytes(path)
    return caught.value.reason


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "x"
    made.write_bytes(b"0123456789" * 100)
    return made


@pytest.fixture
def file(path):
    storage = opened(path, writable=True)
    yield storage
    storage.close()


# -- hostile paths


@pytest.mark.parametrize("writable", [False, True])
def test_only_regular_files_are_opened(tmp_path, writable):
    os.mkfifo(tmp_path / "fifo")
    os.symlink("fifo", tmp_path / "link")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name in ("fifo", "link", "socket", "."):
            assert reason(tmp_path / name, writable=writable) is OpenReason.IRREGULAR
    for path in (b"/dev/null", b"/dev/tty", b"/proc/self/status", b"/proc/self/mem"):
        assert reason(path, writable=writable) is OpenReason.IRREGULAR


@pytest.mark.parametrize("path", [b"/sys/kernel/uevent_seqnum", b"/proc/sys/kernel/ostype"])
def test_pseudo_files_are_told_by_their_file_system(path):
    if not os.path.exists(path):
        pytest.skip("there is no such file here")
    assert stat.S_ISREG(os.stat(path).st_mode)
    assert reason(path) is OpenReason.IRREGULAR


def test_file_system_without_a_device_is_no_pseudo_file_system():
    memory = "/dev/shm"  # noqa: S108 - a tmpfs, which has no major number either
    if not os.path.ismount(memory):
        pytest.skip("there is no such mount here")
    path = os.path.join(memory, f"addcow-test-{os.getpid()}")
    with open(path, "xb"):
        try:
            opened(os.fsencode(path)).close()
        finally:
            os.unlink(path)


def test_dangling_and_circular_links_are_absent(tmp_path):
    os.symlink("none", tmp_path / "dangling")
    os.symlink("circle", tmp_path / "circle")
    assert reason(tmp_path / "dangling") is OpenReason.ABSENT
    assert reason(tmp_path / "circle") is OpenReason.ABSENT
    assert reason(bytes(tmp_path) + b"/a\0b") is OpenReason.ABSENT
    assert reason(b"") is OpenReason.ABSENT


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EWOULDBLOCK, errno.ENOENT])
def test_file_that_is_there_and_does_not_open_is_unreadable(path, monkeypatch, code):
    refuse_reopening(monkeypatch, code)
    assert reason(path) is OpenReason.UNREADABLE


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_running_out_is_not_the_fault_of_the_file(path, monkeypatch, code):
    refuse_reopening(monkeypatch, code)
    with pytest.raises(StorageError) as caught:
        opened(path)
    assert type(caught.value) is StorageError


def refuse_reopening(monkeypatch, code):
    real = os.open

    def refusing(path, flags, *more, **options):
        if not flags & os.O_PATH:
            raise OSError(code, os.strerror(code))
        return real(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", refusing)


def test_no_descriptors_left(path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        for confine in (None, bytes(path.parent), b"/dev"):
            with pytest.raises(StorageError) as caught:
                opened(path, confine=confine)
            assert type(caught.value) is StorageError
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_was_judged_is_what_is_opened(path, monkeypatch):
    """A link that changes between judging and opening changes nothing."""
    link = path.parent / "link"
    os.symlink("x", link)
    real = os.fstat

    def swapping(descriptor):
        status = real(descriptor)
        link.unlink()
        os.mkfifo(link)
        return status

    monkeypatch.setattr(os, "fstat", swapping)
    storage = opened(link)
    monkeypatch.undo()
    assert storage.identity == (path.stat().st_dev, path.stat().st_ino)
    storage.close()


def test_descriptors_are_not_inherited(file):
    command = [sys.executable, "-c", "import os, sys; os.fstat(int(sys.argv[1]))", str(file._fd)]
    assert subprocess.run(command, capture_output=True, check=False, close_fds=False).returncode == 1


def test_block_devices_where_they_are_allowed(tmp_path):
    """Of a number that is kept for local use, so that there is no driver to be opened."""
    node = tmp_path / "node"
    try:
        os.mknod(node, stat.S_IFBLK | 0o600, os.makedev(120, 0))
    except PermissionError:
        pytest.skip("only root makes device nodes")
    assert reason(node) is OpenReason.IRREGULAR
    # Allowed, it passes the judgement, and it is the kernel that has nothing to open.
    assert reason(node, allow_block_devices=True) is OpenReason.UNREADABLE


def test_allowing_block_devices_holds_for_named_files_and_for_nothing_else(tmp_path, path):
    node = tmp_path / "node"
    try:
        os.mknod(node, stat.S_IFBLK | 0o600, os.makedev(120, 0))
    except PermissionError:
        pytest.skip("only root makes device nodes")
    reasons = {}
    for allowed in (False, True):
        x = opened(path, allow_block_devices=allowed)
        with pytest.raises(OpenFailed) as caught:
            x.open(b"node")
        reasons[allowed] = caught.value.reason
        x.close()
    assert reasons == {False: OpenReason.IRREGULAR, True: OpenReason.UNREADABLE}
    assert reason(b"/dev/null", allow_block_devices=True) is OpenReason.IRREGULAR


def test_nodes_of_one_device_are_one_file():
    def status(kind, inode, device):
        fields = (kind | 0o600, inode, 5, 1, 0, 0, 0, 0, 0, 0)
        return os.stat_result(fields + (0,) * 3 + (0,) * 3 + (4096, 0, device))

    first, second = (status(stat.S_IFBLK, inode, os.makedev(8, 1)) for inode in (10, 11))
    other = status(stat.S_IFBLK, 10, os.makedev(8, 2))
    regular = status(stat.S_IFREG, 10, 0)
    assert _linux.identity_of(first) == _linux.identity_of(second)
    assert len({_linux.identity_of(found) for found in (first, other, regular)}) == 3


# -- names


def test_names_follow_the_directory_of_the_link_not_of_its_target(tmp_path, path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "base").write_bytes(b"wrong")
    (tmp_path / "base").write_bytes(b"right")
    os.rename(path, tmp_path / "sub" / "x")
    os.symlink("sub/x", path)
    x = opened(path)
    base = x.open(b"base")
    assert base.length() == 5
    assert os.path.samefile(base.path, tmp_path / "base")
    base.close()
    x.close()


def test_names_stay_where_they_were_when_the_process_goes_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "near").write_bytes(b"near")
    monkeypatch.chdir(tmp_path)
    x = opened(b"x")
    monkeypatch.chdir("/")
    near = x.open(b"sub/near")
    back = near.open(b"../x")
    assert (x.path, near.path, back.identity) == (b"x", b"sub/near", x.identity)
    for storage in (x, near, back):
        storage.close()


def test_absolute_names_are_taken_as_they_are(tmp_path, path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "y").write_bytes(b"")
    y = opened(tmp_path / "sub" / "y")
    os.unlink(tmp_path / "sub" / "y")
    os.rmdir(tmp_path / "sub")
    x = y.open(bytes(path), writable=True)
    assert x.path == bytes(path)
    x.write(0, b"written")
    x.close()
    y.close()
    assert path.read_bytes().startswith(b"written")


def test_name_of_full_length_in_a_deep_directory(tmp_path):
    (tmp_path / "base").write_bytes(b"there")
    (tmp_path / "x").write_bytes(b"")
    name = b"./" * 2040 + b"base"
    assert len(name) < 4096 < len(bytes(tmp_path) + name)
    x = opened(tmp_path / "x")
    base = x.open(name)
    again = base.open(b"base")
    assert base.identity == again.identity
    for storage in (x, base, again):
        storage.close()


# -- adopting


def test_adopted_file_is_as_its_descriptor(path):
    for flags, writable in ((os.O_RDONLY, False), (os.O_RDWR, True)):
        storage = FileStorage.adopt(os.open(path, flags), bytes(path))
        assert (storage.writable, storage.path, storage.length()) == (writable, bytes(path), 1000)
        same = storage.open(b"x")
        assert same.identity == storage.identity
        same.close()
        storage.close()


def test_adopted_descriptor_is_closed_where_that_fails(path):
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OpenFailed):
        FileStorage.adopt(os.open(path, os.O_RDONLY), bytes(path.parent / "none" / "x"))
    assert os.listdir("/proc/self/fd") == before


# -- confinement


@pytest.fixture
def jail(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    made = tmp_path / "jail"
    (made / "sub").mkdir(parents=True)
    (made / "x").write_bytes(b"x")
    (made / "base").write_bytes(b"base")
    (tmp_path / "jailbreak").mkdir()
    (tmp_path / "jailbreak" / "y").write_bytes(b"y")
    os.symlink("../secret", made / "out")
    os.symlink("..", made / "up")
    os.symlink(made / "base", made / "in")
    os.symlink("jail", tmp_path / "other-way")
    return made


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "out",
        "up/secret",
        "sub/../../secret",
        "/etc/passwd",
        "/etc/none",
        "../none",
        "../jailbreak/y",
        "up",
    ],
)
def test_names_that_lead_outside_are_refused(jail, name):
    x = opened(jail / "x", confine=bytes(jail))
    with pytest.raises(OpenFailed) as caught:
        x.open(os.fsencode(name))
    assert caught.value.reason is OpenReason.OUTSIDE
    x.close()


@pytest.mark.parametrize("name", ["base", "in", "up/jail/base", "sub/../base", "../jail/base", "{jail}/base"])
def test_names_that_lead_inside_are_opened(jail, name):
    x = opened(jail / "x", confine=bytes(jail))
    base = x.open(os.fsencode(name.format(jail=jail)))
    # What is opened is confined in turn.
    with pytest.raises(OpenFailed) as caught:
        base.open(bytes(jail.parent / "secret"))
    assert caught.value.reason is OpenReason.OUTSIDE
    base.close()
    x.close()


def test_first_file_is_confined_too(jail):
    assert reason(jail / "out", confine=bytes(jail)) is OpenReason.OUTSIDE
    assert reason(jail, confine=bytes(jail)) is OpenReason.OUTSIDE
    assert reason(jail / "none", confine=bytes(jail)) is OpenReason.ABSENT
    opened(jail / "x", confine=bytes(jail) + b"/").close()
    opened(jail / "x", confine=bytes(jail.parent / "other-way")).close()
    opened(jail / "x", confine=b"/").close()


def test_adopted_file_confines_what_it_names(jail):
    descriptor = os.open(jail / "x", os.O_RDWR)
    x = FileStorage.adopt(descriptor, bytes(jail / "x"), confine=bytes(jail))
    with pytest.raises(OpenFailed) as caught:
        x.open(b"out")
    assert caught.value.reason is OpenReason.OUTSIDE
    x.close()


def test_confinement_does_not_move_with_a_link(jail):
    way = jail.parent / "other-way"
    x = opened(jail / "x", confine=bytes(way))
    way.unlink()
    os.symlink("/", way)
    with pytest.raises(OpenFailed) as caught:
        x.open(b"../secret")
    assert caught.value.reason is OpenReason.OUTSIDE
    x.close()


def test_link_that_flips_never_leads_outside(jail):
    """Somebody swaps a link to and fro while it is followed: what is opened is inside, or nothing is."""
    x = opened(jail / "x", confine=bytes(jail))
    stop = threading.Event()

    def flip():
        while not stop.is_set():
            for target in ("../secret", "base"):
                os.symlink(target, jail / "new")
                os.rename(jail / "new", jail / "flip")

    os.symlink("base", jail / "flip")
    flipping = threading.Thread(target=flip)
    flipping.start()
    lengths, reasons = set(), set()
    try:
        for turn in range(50_000):
            try:
                file = x.open(b"flip")
            except OpenFailed as failed:
                reasons.add(failed.reason)
            else:
                lengths.add(file.length())
                file.close()
            if turn > 500 and reasons and lengths:
                break
    finally:
        stop.set()
        flipping.join()
    assert (lengths, reasons) == ({len(b"base")}, {OpenReason.OUTSIDE})
    x.close()


def test_path_is_shown_escaped(tmp_path):
    with pytest.raises(OpenFailed) as caught:
        opened(bytes(tmp_path) + b"/a\x1b[31m\n\xff")
    assert str(caught.value).isprintable()


def test_no_directory_to_confine_to_has_a_nul(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(OpenFailed) as refused:
        FileStorage.open_path(bytes(tmp_path / "x"), confine=b"a\0b")
    assert refused.value.reason is OpenReason.ABSENT
