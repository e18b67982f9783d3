"""Opening files: what is opened, how it is read, and what makes two names one file."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys

import pytest

from addcow_conformance.checker import CheckOptions, Verdict, check_image, has_magic
from addcow_conformance.checker import _files as files
from addcow_spec.errors import StorageError
from tests.conformance import by_hand


def check(path, **options):
    return check_image(os.fsencode(path), CheckOptions(**options))


def rules(path, **options):
    return [finding.rule for finding in check(path, **options).findings]


def poke(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


# -- identity --


def test_a_file_is_known_by_device_and_inode(tmp_path):
    path = by_hand.v10(tmp_path / "i")
    status = path.stat()
    with files.open_file(os.fsencode(path)) as file:
        assert file.identity == (status.st_dev, status.st_ino)


def as_block_device(monkeypatch, number):
    """Take the file whose inode has that number for a block device of 8 sectors, device 7:1."""
    real = os.fstat

    def fstat(descriptor):
        status = real(descriptor)
        if status.st_ino != number:
            return status
        # As the kernel does, the node itself has no length.
        fields = list(status[:10])
        fields[0], fields[6] = stat.S_IFBLK | 0o600, 0
        extra = {name: getattr(status, name) for name in dir(status) if name.startswith("st_")}
        return os.stat_result(fields, extra | {"st_rdev": os.makedev(7, 1)})

    monkeypatch.setattr(files.os, "fstat", fstat)


@pytest.fixture
def block_device(tmp_path, monkeypatch):
    path = tmp_path / "device"
    path.touch()
    os.truncate(path, 4096)
    as_block_device(monkeypatch, path.stat().st_ino)
    return path


def test_a_block_device_is_opened_where_it_is_allowed(block_device):
    path = os.fsencode(block_device)
    with files.open_file(path, allow_block_devices=True) as file:
        assert (file.length, file.identity) == (4096, (-1, os.makedev(7, 1)))
    with pytest.raises(files.OpenFailed) as failed:
        files.open_file(path)
    assert failed.value.refusal is files.Refusal.IRREGULAR


@pytest.mark.parametrize(("allowed", "found"), [(True, []), (False, ["ACW-ENV-003"])])
@pytest.mark.parametrize("role", ["image", "backing"])
@pytest.mark.usefixtures("block_device")
def test_a_name_may_lead_to_a_block_device(tmp_path, role, allowed, found):
    path = by_hand.v10(tmp_path / "i", **{role: b"device"})
    if role == "image":
        os.truncate(path, 4097)
    assert rules(path, allow_block_devices=allowed) == found


@pytest.mark.parametrize(("allowed", "verdict"), [(True, Verdict.VALID), (False, Verdict.UNKNOWN)])
def test_the_image_may_be_a_block_device(tmp_path, monkeypatch, allowed, verdict):
    path = by_hand.v10(tmp_path / "i")
    as_block_device(monkeypatch, path.stat().st_ino)
    assert check(path, allow_block_devices=allowed).verdict is verdict


# -- blocking --

LEASE = """
import fcntl, os, signal, sys
# The kernel asks for the lease back by this signal, and is not heard.
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print(flush=True)
sys.stdin.read()
"""


def test_a_lease_is_not_waited_for(tmp_path):
    """Opening a file with a lease of another process blocks for 45 seconds, unless it is told not to."""
    path = by_hand.v10(tmp_path / "i")
    command = [sys.executable, "-c", LEASE, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        ready = holder.stdout.readline()
        if ready:
            report = check(path)
        holder.stdin.close()
    if not ready:
        pytest.skip("this file system has no leases")
    assert report.verdict is Verdict.UNKNOWN


# -- confinement --


@pytest.mark.parametrize("name", [b"../inside.raw", b"../inside/disk.raw", b"../inside/absent", b"link"])
def test_a_directory_does_not_confine_to_those_that_begin_alike(tmp_path, name):
    for directory in ("in", "inside"):
        (tmp_path / directory).mkdir()
    for file in ("inside.raw", "inside/disk.raw"):
        (tmp_path / file).write_bytes(bytes(512))
    (tmp_path / "in/link").symlink_to("../inside/disk.raw")
    path = by_hand.v10(tmp_path / "in/i", backing=name)
    assert rules(path, confine=os.fsencode(tmp_path / "in")) == ["ACW-ENV-004"]


@pytest.mark.parametrize("given", ["in", "in/", "./in/../in", "link", "link/"])
@pytest.mark.parametrize(("name", "found"), [(b"disk.raw", []), (b"absent", ["ACW-ENV-001"])])
def test_confinement_to_a_directory_however_it_is_written(tmp_path, monkeypatch, given, name, found):
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to("in")
    path = by_hand.v10(tmp_path / "in/i", image=name)
    monkeypatch.chdir(tmp_path)
    assert rules(path, confine=os.fsencode(given)) == found


def test_confinement_to_the_root_confines_nothing(tmp_path):
    assert rules(by_hand.v10(tmp_path / "i"), confine=b"/") == []


def test_a_confined_name_is_not_looked_for_elsewhere(tmp_path, monkeypatch):
    """A file that the working directory has is outside, so that nothing is said of it."""
    (tmp_path / "in").mkdir()
    (tmp_path / "here.raw").write_bytes(bytes(512))
    monkeypatch.chdir(tmp_path)
    path = by_hand.v10(tmp_path / "in/i", image=b"here.raw")
    assert rules(path, confine=os.fsencode(tmp_path / "in")) == ["ACW-ENV-001"]
    assert rules(path) == ["ACW-NAM-010"]


@pytest.mark.parametrize("target", ["absent", "here.raw", "file/x", "x" * 300])
def test_a_link_that_leads_nowhere_is_absent(tmp_path, monkeypatch, target):
    """To nothing, to itself, below a file, by too long a name: the working directory has the file."""
    (tmp_path / "cwd").mkdir()
    for file in ("cwd/here.raw", "file"):
        (tmp_path / file).write_bytes(bytes(512))
    (tmp_path / "here.raw").symlink_to(target)
    monkeypatch.chdir(tmp_path / "cwd")
    assert rules(by_hand.v10(tmp_path / "i", image=b"here.raw")) == ["ACW-NAM-010"]


def test_the_working_directory_is_no_answer_to_a_name_that_is_there(tmp_path, monkeypatch):
    """A directory where the name leads, a file of that name in the working directory."""
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd/name").write_bytes(bytes(512))
    (tmp_path / "name").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    assert rules(by_hand.v10(tmp_path / "i", image=b"name")) == ["ACW-ENV-003"]


@pytest.mark.parametrize(
    ("error", "verdict", "found"),
    [
        (errno.EACCES, Verdict.INVALID, ["ACW-ENV-001"]),
        (errno.EIO, Verdict.INVALID, ["ACW-ENV-001"]),
        (errno.EMFILE, Verdict.UNKNOWN, []),
        (errno.ENFILE, Verdict.UNKNOWN, []),
        (errno.ENOMEM, Verdict.UNKNOWN, []),
    ],
)
def test_what_the_checker_runs_out_of_is_no_fault_of_the_image(tmp_path, monkeypatch, error, verdict, found):
    path = by_hand.v10(tmp_path / "i")
    real = os.open

    def refuse(name, *rest, **named):
        if os.fsencode(name).endswith(b"/disk.raw"):
            raise OSError(error, os.strerror(error), name)
        return real(name, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    report = check(path)
    assert (report.verdict, [finding.rule for finding in report.findings]) == (verdict, found)


# -- reading --


@pytest.fixture
def dense(tmp_path):
    path = by_hand.v10(tmp_path / "i", size=800_000 * by_hand.CLUSTER, tail=b"\0" * 9000 + b"x")
    poke(path, 4096, os.urandom(100_000))
    return path


def test_short_reads_are_gone_on_with(dense, monkeypatch):
    whole = check(dense, buckets=7)
    pread, preadv = os.pread, os.preadv
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: pread(fd, min(size, 1000), offset))
    monkeypatch.setattr(os, "preadv", lambda fd, views, offset: preadv(fd, [views[0][:4321]], offset))
    assert check(dense, buckets=7) == whole


def test_a_file_system_without_holes_is_read_whole(dense, monkeypatch):
    whole = check(dense, buckets=7)

    def lseek(*_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "lseek", lseek)
    assert check(dense, buckets=7) == whole


def test_holes_are_not_read(tmp_path, monkeypatch):
    """One byte in a bitmap of 16 MiB: as much is read as the file system keeps for them."""
    path = by_hand.v10(tmp_path / "i", size=1 << 43)
    os.truncate(path, 4096)
    os.truncate(path, 4096 + (16 << 20))
    poke(path, 4096 + (5 << 20), b"\1")
    read = []
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda *a: (read.append(preadv(*a)), read[-1])[1])
    assert check(path).bitmap.set_units == 1
    if os.stat(path).st_blocks * 512 > 1 << 20:
        pytest.skip("this file system has no holes")
    assert sum(read) <= 1 << 20


# -- magic --


@pytest.mark.parametrize(
    ("content", "is_one"),
    [
        (b"ADD_COW\xff", True),
        (b"ADD_COW\xff\1\0\0\0", True),
        (b"ADD_COW\xfe", False),
        (b"ADD_COW", False),
        (b"", False),
    ],
)
def test_magic_is_all_eight_bytes(tmp_path, content, is_one):
    (tmp_path / "i").write_bytes(content)
    assert has_magic(os.fsencode(tmp_path / "i")) is is_one


def test_a_file_that_is_gone_has_no_magic(tmp_path):
    assert has_magic(os.fsencode(tmp_path / "gone")) is False


def test_a_file_that_cannot_be_read_is_not_passed_over(tmp_path, monkeypatch):
    path = by_hand.v10(tmp_path / "i")
    real = os.open

    def refuse(name, flags, *rest, **named):
        if not flags & os.O_PATH:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(name, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError):
        has_magic(os.fsencode(path))
    assert check(path).verdict is Verdict.UNKNOWN
