"""A Linux guest uses a disk that `addcow-img serve` serves, and in the end the raw file alone."""

from __future__ import annotations

import hashlib
import random
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from addcow_ref import open_image
from tests.conformance.command import checked
from tests.system.guest import Guest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.system

# Neither is a whole number of clusters; the backing file ends within the file system that the guest makes.
DISK = (32 << 20) + 5 * 512
BACKING = (20 << 20) + 3 * 512

RANDOM = random.Random("a guest's files")  # noqa: S311 - the same bytes on every run, and no secret
CONTENT = {
    "empty.bin": b"",
    "large.bin": RANDOM.randbytes((3 << 20) + 1),
    "odd.bin": RANDOM.randbytes(70_001),
    "small.bin": RANDOM.randbytes(7),
}
FILES = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()}

ADDCOW_IMG = Path(sys.executable).with_name("addcow-img")

# Far beyond what a start or an end takes.
_PATIENCE = 30


def addcow_img(*arguments: str | Path) -> None:
    subprocess.run([ADDCOW_IMG, *arguments], check=True, stdin=subprocess.DEVNULL, timeout=_PATIENCE)


@contextmanager
def served(image: Path, at: Path) -> Iterator[dict[str, object]]:
    """Serve an image; the value is the disk as QEMU's options."""
    with subprocess.Popen([ADDCOW_IMG, "serve", image, "--socket", at], stdin=subprocess.DEVNULL) as server:
        try:
            _wait_for(at, server)
            yield {"driver": "nbd", "server": {"type": "unix", "path": str(at)}}
            server.terminate()
            assert server.wait(_PATIENCE) == 0
        finally:
            server.kill()


def _wait_for(at: Path, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        assert server.poll() is None, "the server has ended"
        with socket.socket(socket.AF_UNIX) as client:
            if client.connect_ex(str(at)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the server does not listen")


def raw_file(path: Path) -> dict[str, object]:
    """A raw file as QEMU's options of a disk."""
    return {"driver": "raw", "file": {"driver": "file", "filename": str(path)}}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_sound(image: Path) -> None:
    status, report = checked(image)
    assert status == 0
    assert [finding for finding in report["findings"] if finding["level"] != "note"] == []


def test_a_guest_makes_a_file_system_and_finds_it_again(tmp_path: Path) -> None:
    backing, raw, image = tmp_path / "base.raw", tmp_path / "disk.raw", tmp_path / "disk.add-cow"
    backing.write_bytes(RANDOM.randbytes(BACKING))
    original = sha256(backing)
    options = f"backing_file={backing.name},backing_format=raw,image_file={raw.name}"
    addcow_img("create", "-q", "-o", options, image, str(DISK))
    guest = Guest.make(tmp_path, CONTENT)

    truth = tmp_path / "truth.raw"
    truth.write_bytes(backing.read_bytes().ljust(DISK, b"\0"))
    blank = sha256(truth)

    # QEMU does every write to both, and ends with an error where a read of the two differs.
    with served(image, tmp_path / "first.sock") as disk:
        first = guest.boot("fill", {"driver": "blkverify", "test": disk, "raw": raw_file(truth)})
    assert first == {"before": blank, **FILES, "after": sha256(truth)}
    assert first["after"] != blank
    assert sha256(backing) == original
    assert_sound(image)
    with open_image(image) as opened:
        assert 0 < opened.allocated_units() < opened.units

    with served(image, tmp_path / "second.sock") as disk:
        second = guest.boot("read", disk)
    assert second == {"before": first["after"], **FILES, "after": first["after"]}
    assert sha256(backing) == original
    assert_sound(image)

    addcow_img("stream", image)
    assert_sound(image)
    addcow_img("finalize", "--remove", image)
    assert not image.exists()
    assert sha256(backing) == original
    backing.unlink()
    assert sha256(raw) == first["after"]

    third = guest.boot("read", raw_file(raw))
    assert third == second
