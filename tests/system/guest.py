"""A small Linux guest: Debian's kernel, busybox and one disk, in QEMU without acceleration or network."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from stat import S_IFDIR, S_IFLNK, S_IFREG
from typing import TYPE_CHECKING, Any, Literal

from tests.repo.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Guest", "initramfs"]

FILES = ROOT / "build" / "guest"
INIT = Path(__file__).with_name("guest-init.sh")

# A boot takes five seconds on an idle machine; only a hang comes near this.
_HANG = 120

_MACHINE = (
    *("qemu-system-x86_64", "-accel", "tcg", "-smp", "1", "-m", "256"),
    *("-nodefaults", "-display", "none", "-no-reboot"),
)
_KERNEL_ARGUMENTS = "console=ttyS0 quiet panic=-1"


@dataclass(frozen=True)
class Guest:
    """A kernel and an initramfs, ready to boot.

    Args:
        kernel: The kernel's image.
        initrd: The initramfs, as `initramfs()` makes it.
        directory: Where the serial ports are written.
    """

    kernel: Path
    initrd: Path
    directory: Path

    @classmethod
    def make(cls, directory: Path, content: Mapping[str, bytes]) -> Guest:
        """Fetch kernel and busybox if they are not there yet, and make the initramfs."""
        fetched = subprocess.run(
            [ROOT / "tools" / "fetch-guest"], check=False, capture_output=True, text=True
        )
        assert fetched.returncode == 0, fetched.stderr
        (kernel,) = (FILES / "boot").glob("vmlinuz-*")
        initrd = directory / "initrd"
        initrd.write_bytes(initramfs(kernel.name.removeprefix("vmlinuz-"), content))
        return cls(kernel, initrd, directory)

    def boot(self, task: Literal["fill", "read"], disk: Mapping[str, Any]) -> dict[str, str]:
        """Boot, wait until the guest has powered itself off, and return its report: a name, a SHA-256 each.

        Args:
            task: What `guest-init.sh` is to do.
            disk: The disk, as options of QEMU's `-blockdev`.
        """
        command: list[str | Path] = [
            *_MACHINE,
            *("-kernel", self.kernel, "-initrd", self.initrd),
            *("-append", f"{_KERNEL_ARGUMENTS} task={task}"),
            *("-blockdev", json.dumps({"node-name": "disk", **disk})),
            *("-device", "virtio-blk-pci,drive=disk"),
            *("-serial", "file:console", "-serial", "file:report"),
        ]
        for name in ("console", "report"):
            (self.directory / name).write_bytes(b"")
        try:
            with (self.directory / "qemu").open("wb") as output:
                subprocess.run(
                    command,
                    cwd=self.directory,
                    check=True,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    timeout=_HANG,
                )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise AssertionError(f"{error}\n{self._said('qemu')}\n{self._said('console')}") from error
        console = self._said("console")
        assert "reboot: Power down" in console, console
        assert "I/O error" not in console, console
        return dict(re.findall(r"^(\S+) ([0-9a-f]{64})$", self._said("report"), re.MULTILINE))

    def _said(self, name: str) -> str:
        return (self.directory / name).read_text("utf-8", "replace")


def initramfs(version: str, content: Mapping[str, bytes]) -> bytes:
    """An archive of busybox, the virtio modules of a kernel, the init script, and files in `/content`."""
    modules = f"lib/modules/{version}"
    drivers = FILES / modules / "kernel" / "drivers"
    found = [*(drivers / "virtio").glob("*.ko"), drivers / "block" / "virtio_blk.ko"]
    directories = ["bin", "dev", "proc", "mnt", "content", "lib", "lib/modules", modules]
    return b"".join(
        _newc(
            [
                *((name, S_IFDIR | 0o755, b"") for name in directories),
                ("bin/busybox", S_IFREG | 0o755, (FILES / "bin" / "busybox").read_bytes()),
                ("bin/sh", S_IFLNK | 0o777, b"busybox"),
                ("init", S_IFREG | 0o755, INIT.read_bytes()),
                *((f"{modules}/{path.name}", S_IFREG | 0o644, path.read_bytes()) for path in found),
                *((f"content/{name}", S_IFREG | 0o644, data) for name, data in content.items()),
                ("TRAILER!!!", 0, b""),
            ]
        )
    )


def _newc(entries: Iterable[tuple[str, int, bytes]]) -> Iterator[bytes]:
    """A cpio archive in the kernel's format, "newc": (name, mode, content) each."""
    for inode, (name, mode, data) in enumerate(entries, 1):
        path = name.encode() + b"\0"
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields) + path
        yield from (header, bytes(-len(header) % 4), data, bytes(-len(data) % 4))
