"""The grammar as a libmagic file, for the program ``file`` and its relatives.

libmagic does not know how long a file is, and cannot print a string of a given length. So v4 and v6 are one
answer, and of the names of v10 it prints where they lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from addcow_spec.grammar import ADDCOW_V4, ADDCOW_V10
from addcow_spec.model import MAGIC, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["magic"]

_MIME: Final = "application/x-qemu-add-cow"
# Longest excerpt of a name: an answer of `file` is one line.
_EXCERPT: Final = 64


def magic() -> str:
    """The text of the libmagic file."""
    version = ADDCOW_V10.field("version")
    lines = [
        "# Try it: file -m add-cow.magic IMAGE",
        "",
        "# The eight bytes are distinctive: no weaker entry shall win over them.",
        _test(0, 0, "string", _escaped(MAGIC), "QEMU add-cow image"),
        "!:strength +100",
        f"!:mime\t{_MIME}",
        "!:ext\tadd-cow",
        *_complete(1, version.offset + version.size, _versions(version.offset)),
        "",
    ]
    return "\n".join(lines)


def _test(level: int, offset: int, kind: str, value: str, message: str = "") -> str:
    return f"{'>' * level}{offset}\t{kind}\t{value}\t{message}".rstrip()


def _complete(level: int, end: int, lines: Iterable[str]) -> list[str]:
    """Tests for files of at least ``end`` bytes; libmagic itself would read zeros beyond the end."""
    return [
        _test(level, end - 1, "ubyte", "x"),
        *(">" * (level + 1) + line for line in lines),
        _test(level, end - 1, "default", "x", r"\b, truncated header"),
    ]


def _escaped(value: bytes) -> str:
    return "".join(chr(byte) if 0x20 < byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in value)


def _versions(offset: int) -> list[str]:
    """The byte order of the version tells v10 from v4 and v6; other versions are printed as numbers."""
    return [
        _test(0, offset, "lelong", str(VERSION), r"\b, revision v10"),
        *_complete(1, ADDCOW_V10.end, _v10()),
        _test(0, offset, "belong", str(VERSION), r"\b, revision v4 or v6"),
        *_complete(1, ADDCOW_V4.end, _v4()),
        _test(0, offset, "default", "x", r"\b, unknown version"),
        _test(1, offset, "ulelong", "<0x10000", "%u (little endian)"),
        _test(1, offset, "default", "x"),
        _test(2, offset, "ubelong", "<0x10000", "%u (big endian)"),
        _test(2, offset, "default", "x"),
        _test(3, offset, "ubelong", "x", "0x%08x"),
    ]


def _v10() -> list[str]:
    lines = []
    for pointer in ADDCOW_V10.pointers:
        offset, size = ADDCOW_V10.field(pointer.offset_field), ADDCOW_V10.field(pointer.size_field)
        title = pointer.name.removesuffix("_filename")
        lines += [
            _test(0, offset.offset, "ulelong", ">0", rf"\b, {title} file name at byte %u"),
            _test(1, size.offset, "ulelong", "x", "(%u bytes)"),
        ]
    features = ADDCOW_V10.field("features")
    flags = [
        _test(0, features.offset, "ulequad", f"&{bit:#x}", rf"\b, {name}") for name, bit in features.enum
    ]
    return lines + flags


def _v4() -> list[str]:
    names = [
        _test(0, ADDCOW_V4.field(name).offset, "string", r">\0", rf"\b, {title} file %.{_EXCERPT}s")
        for name, title in (("backing_file", "backing"), ("image_file", "image"))
    ]
    return [*names, _test(0, ADDCOW_V4.field("size").offset, "ubequad", "x", r"\b, virtual size %llu bytes")]
