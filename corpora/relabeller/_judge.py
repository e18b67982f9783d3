"""Judging an add-cow image with all the files it leads to."""

from __future__ import annotations

import os
import stat
import struct
from typing import NamedTuple

from relabeller._bytes import File, up
from relabeller._qcow2 import judge_qcow2

__all__ = ["Judge"]

_MAGIC = b"ADD_COW\xff"
_ONLY_REVIEWED = {
    "NAM-002",
    "NAM-003",
    "NAM-004",
    "NAM-005",
    "NAM-008",
    "BMP-002",
    "CHN-001",
    "CHN-002",
}
_BYTE_ORDERS = {b"\1\0\0\0": "little", b"\0\0\0\1": "big"}
_NEEDS = {"v4": ("big", 2068), "v6": ("big", 2560), "v10": ("little", 4096)}  # byte order, header's length
_FOREIGN = (
    (0, b"KDMV"),
    (0, b"vhdxfile"),
    (0, b"conectix"),
    (0, b"QED\0"),
    (0x40, b"\x7f\x10\xda\xbe"),
    (0, b"LUKS\xba\xbe"),
    (0, b"WithoutFreeSpace"),
    (0, b"WithouFreSpacExt"),
)
_MOST_LAYERS = 200


class _Header(NamedTuple):
    """What a header of any revision says; a name is empty where there is none to follow."""

    image: bytes
    backing: bytes
    probe: bool
    size: int | None  # None: the length of the image file
    bitmap: int
    unit: int


class Judge:
    """One judgement of one image in one profile.

    Names are resolved against the process's working directory, so the caller changes to it first. ``take_as``
    is the revision of the image, empty where it is to be told from the file.
    """

    def __init__(self, *, reviewed: bool, confine: bytes, take_as: str) -> None:
        self._reviewed = reviewed
        self._confine = confine
        self._take_as = take_as
        self._found: list[str] = []
        self._met: set[tuple[int, int]] = set()

    def judge(self, path: bytes) -> list[str]:
        """The rules that the image at ``path`` breaks, once for each violation."""
        file = File(path)
        self._met.add(file.identity)
        self._add_cow(file, (file.identity,), self._take_as)
        return self._found

    def _say(self, rule: str) -> None:
        if self._reviewed or rule not in _ONLY_REVIEWED:
            self._found.append(rule)

    # -- one add-cow file; `line` holds the identities of the layers from the first to this one --

    def _add_cow(self, file: File, line: tuple[tuple[int, int], ...], take_as: str = "") -> int | None:
        """Judge a layer and what it leads to; returns the length of its disk where that is known."""
        header = self._header(file, take_as)
        if header is None:
            return None
        image = self._follow(header.image, file, "ENV-001")
        if image is not None:
            if image.identity in self._met:
                self._say("CHN-001")
            self._met.add(image.identity)
        size = header.size if header.size is not None else image.length if image else None
        if header.size is None and image and image.length % 512:
            self._say("SIZ-004")
        if header.size is not None:
            if image and image.length != header.size:
                self._say("SIZ-006")
            if header.size % 512:
                self._say("SIZ-007")
        if size is not None:
            self._bitmap(file, header, size)
        below = self._backing(header.backing, file, None if header.probe else b"raw", line, own_is_part=True)
        is_v6 = header.bitmap == 2560
        if is_v6 and not self._reviewed and below is not None and below != header.size:
            self._found.append("SIZ-005")
        return size

    def _bitmap(self, file: File, header: _Header, size: int) -> None:
        units = up(size, header.unit)
        end = header.bitmap + up(units, 8)
        if file.length < end:
            self._say("BMP-001")
            return
        if file.past_bits(header.bitmap, units):
            self._say("BMP-002")
        if file.anything(end, file.length):
            self._say("BMP-003")
        if units and file.all_set(header.bitmap, units):
            self._say("BMP-004")

    # -- headers --

    def _header(self, file: File, take_as: str) -> _Header | None:
        data = file.read(0, 4096)
        byte_order = _BYTE_ORDERS.get(data[8:12])
        if data[:8] != _MAGIC:
            self._say("HDR-001")
        elif len(data) < 12:
            self._say("HDR-003")
        elif byte_order is None or (take_as and byte_order != _NEEDS[take_as][0]):
            self._say("HDR-002")
        elif len(data) < _NEEDS[take_as or ("v10" if byte_order == "little" else "v4")][1]:
            self._say("HDR-003")
        elif byte_order == "little":
            return self._little_endian(data)
        else:
            return self._big_endian(file, data, take_as)
        return None

    def _little_endian(self, data: bytes) -> _Header:
        backing_at, backing_size, image_at, image_size, features = struct.unpack_from("<IIIIQ", data, 12)
        if bool(features & 1) != (backing_at != 0):
            self._say("FEA-001")
        if features & 3 == 2:
            self._say("FEA-002")
        if features >> 2:
            self._say("FEA-003")
        taken: set[int] = set()
        names = []
        for at, size, is_image in ((image_at, image_size, True), (backing_at, backing_size, False)):
            place = self._place(at, size, is_image=is_image)
            if taken & set(place):
                self._say("NAM-008")
            taken |= set(place)
            name = bytes(data[i] for i in place)
            if b"\0" in name:
                self._say("NAM-007")
                name = b""
            names.append(name)
        if any(data[i] for i in range(36, 4096) if i not in taken):
            self._say("HDR-004")
        return _Header(
            image=names[0],
            backing=names[1],
            probe=not features & 2,
            size=None,
            bitmap=4096,
            unit=65536,
        )

    def _place(self, at: int, size: int, *, is_image: bool) -> range:
        """Where a name lies; empty where there is none or none that can be read."""
        if is_image and (at == 0 or size == 0):
            self._say("NAM-006")
            return range(0)
        if at == 0:
            if size:
                self._say("NAM-004")
            return range(0)
        if size == 0:
            self._say("NAM-005")
        if at < 36 or at + size > 4096:
            self._say("NAM-001")
            return range(0)
        if at > 4094:
            self._say("NAM-002")
        if size > 4059:
            self._say("NAM-003")
        return range(at, at + size)

    def _big_endian(self, file: File, data: bytes, take_as: str) -> _Header:
        names = []
        for at in (1036, 12):
            name, _, rest = data[at : at + 1024].partition(b"\0")
            if rest.strip(b"\0"):
                self._say("NAM-009")
            names.append(name)
        if not names[0]:
            self._say("NAM-006")
        (size,) = struct.unpack_from(">Q", data, 2060)
        start = _NEEDS[take_as][1] if take_as else self._bitmap_offset(file, data, size)
        if any(data[2068:start]):
            self._say("HDR-004")
        return _Header(
            image=names[0],
            backing=names[1],
            probe=True,
            size=size,
            bitmap=start,
            unit=512,
        )

    def _bitmap_offset(self, file: File, data: bytes, size: int) -> int:
        """2068 in v4, 2560 in v6."""
        if file.length < 2560:
            return 2068
        need = up(up(size, 512), 8)
        fits = [at for at in (2068, 2560) if file.ends_at(at + need)]
        if data[2068:2560].strip(b"\0"):
            if 2068 not in fits:
                self._say("HDR-005")
            return 2068
        if len(fits) == 1:
            return fits[0]
        self._say("HDR-005")
        faults = {at: at + need > file.length or file.past_bits(at, up(size, 512)) for at in (2068, 2560)}
        return 2068 if faults[2560] and not faults[2068] else 2560

    # -- names and what they lead to --

    def _follow(self, name: bytes, file: File, missing: str) -> File | None:
        """The file that a name in ``file`` leads to, None where there is none to be read."""
        if not name:
            return None
        if b":" in name.partition(b"/")[0]:
            self._say("NAM-011")
            return None
        path = os.path.join(file.directory, name)
        try:
            status = os.stat(path)
        except OSError:
            status = None
        if self._confine:
            reached = os.path.realpath(path) if status else os.path.abspath(path)
            if not reached.startswith(self._confine + b"/"):
                self._say("ENV-004")
                return None
        if status is None:
            elsewhere = self._reviewed and os.path.exists(name)
            self._say("NAM-010" if elsewhere else missing)
            return None
        kernel = os.path.realpath(path).startswith((b"/proc/", b"/sys/"))
        if kernel or not stat.S_ISREG(status.st_mode):
            self._say("ENV-003")
            return None
        return File(path)

    def _backing(
        self,
        name: bytes,
        parent: File,
        form: bytes | None,
        line: tuple[tuple[int, int], ...],
        *,
        own_is_part: bool,
    ) -> int | None:
        """Judge the backing file of ``parent``; returns the length of its disk where that is known.

        Args:
            name: its name, empty where there is none.
            parent: the file that names it.
            form: the format that is stated for it, None where it is left to a probe.
            line: the layers above it.
            own_is_part: whether the parent is an add-cow file, which is a part of the triple beside it.
        """
        file = self._follow(name, parent, "ENV-002")
        if file is None:
            return None
        if len(line) >= _MOST_LAYERS:
            self._say("CHN-004")
            return None
        if file.identity in line:
            own = own_is_part and file.identity == line[-1]
            followed = form in (None, b"add-cow", b"qcow2")
            self._say("CHN-002" if followed and not own else "CHN-001")
            return None
        if file.identity in self._met:
            self._say("CHN-001")
        self._met.add(file.identity)
        below = (*line, file.identity)
        kind = form if form is not None else self._probed(file)
        if kind == b"add-cow":
            return self._add_cow(file, below)
        if kind == b"qcow2":
            rules, size, backing, stated = judge_qcow2(file)
            for rule in rules:
                self._say(rule)
            self._backing(backing, file, stated, below, own_is_part=False)
            return size
        return file.length

    def _probed(self, file: File) -> bytes:
        """The format that the content looks like; reported where that is not raw."""
        start = file.read(0, 128)
        kind = b"raw"
        if start.startswith(_MAGIC):
            kind = b"add-cow"
        elif start.startswith(b"QFI\xfb"):
            kind = b"qcow2"
        elif not any(start[at : at + len(magic)] == magic for at, magic in _FOREIGN):
            return kind
        self._say("CHN-003")
        return kind
