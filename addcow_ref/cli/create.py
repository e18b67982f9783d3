"""addcow-img create."""

from __future__ import annotations

import os
import re
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import click

from addcow_ref import FileStorage, OpenFailed, create_image, open_layer
from addcow_ref._chain import refusal
from addcow_ref.cli._errors import Failure, about
from addcow_ref.cli._options import SIZE, confine_option, format_option, quiet_option, revision_option
from addcow_ref.cli._raw_file import RawFile
from addcow_ref.cli._terminal import tell
from addcow_spec.errors import UsageError
from addcow_spec.geometry import SECTOR_SIZE, round_up
from addcow_spec.model import Revision, Role
from addcow_spec.text import printable

if TYPE_CHECKING:
    from typing import Literal

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-img create -o backing_file=base.raw,image_file=disk.raw disk.add-cow 20G
  addcow-img create -b base.qcow2 -o image_file=disk.raw disk.add-cow
  addcow-img create -F raw -b base.raw -o image_file=disk.raw disk.add-cow
  addcow-img create -o image_file=there-already.raw disk.add-cow

\b
Options of -o, comma-separated; a comma in a value is written twice:
  image_file=NAME      the raw file that holds the disk's own data
  backing_file=NAME    the file that is read where the disk was not written
  backing_fmt=raw      take the backing file for raw, whatever it holds (v10)
  revision=v10         revision of the format: v10, v6 or v4
  size=SIZE            size of the disk
Names are stored as given, and lead from the directory of IMAGE. All bits of a
new image are clear: what a raw file held before is not on the disk.
"""

# qemu-img's key, and the one that people expect after backing_file.
_KEYS = {
    "backing_file": "backing_file",
    "backing_fmt": "backing_fmt",
    "backing_format": "backing_fmt",
    "image_file": "image_file",
    "revision": "revision",
    "size": "size",
}
_OPTION = re.compile(r"(?:[^,]|,,)+")


class _Wanted(NamedTuple):
    """The command line, taken apart. Names are as they will be stored."""

    image: bytes
    image_file: bytes
    backing_file: bytes | None
    backing_format: Literal["raw"] | None
    revision: Revision
    size: int | None
    confine: bytes | None

    def path_of(self, name: bytes) -> bytes:
        """Where a name leads."""
        return os.path.join(os.path.dirname(self.image), name)


@click.command("create", epilog=_EPILOG)
@click.argument("image", metavar="IMAGE", type=click.Path(path_type=bytes))
@click.argument("size", metavar="[SIZE]", required=False, type=SIZE)
@format_option()
@click.option("-o", "options", metavar="OPTIONS", multiple=True, help="Options of the format; see below.")
@click.option("-b", "backing_file", metavar="NAME", help="As -o backing_file=NAME.")
@click.option("-F", "backing_fmt", metavar="FMT", help="As -o backing_fmt=FMT.")
@revision_option("Revision of the format; v10 by default.")
@confine_option
@quiet_option
def command(
    *,
    image: bytes,
    size: int | None,
    options: tuple[str, ...],
    backing_file: str | None,
    backing_fmt: str | None,
    revision: Revision | None,
    confine: bytes | None,
    quiet: bool,
) -> None:
    """Make the add-cow file IMAGE over a raw file, which is made too if it is not there.

    A new raw file gets SIZE, or the size of the backing file. One that is there keeps its bytes and length,
    and SIZE must agree with it. No file is ever replaced.
    """
    values = _values(options)
    values |= {
        key: value for key, value in (("backing_file", backing_file), ("backing_fmt", backing_fmt)) if value
    }
    if revision is not None:
        values["revision"] = revision.value
    if size is not None and "size" in values:
        raise click.UsageError("the size is given twice, as SIZE and with -o size")
    if "size" in values:
        size = SIZE.convert(values["size"], None, None)
    wanted = _wanted(image, size, confine, values)
    with about(image):
        made = _create(wanted)
    if not quiet:
        tell(_announcement(wanted, made))


def _values(options: tuple[str, ...]) -> dict[str, str]:
    """The options of -o, by qemu-img's keys; the last one of a key counts."""
    values: dict[str, str] = {}
    for option in _OPTION.findall(",".join(options)):
        key, equals, value = option.partition("=")
        if key not in _KEYS:
            raise click.UsageError(f"-o {key} is unknown: {', '.join(sorted(_KEYS))}")
        if not equals:
            raise click.UsageError(f"-o {key} needs a value: {key}=...")
        values[_KEYS[key]] = value.replace(",,", ",")
    return values


def _wanted(image: bytes, size: int | None, confine: bytes | None, values: dict[str, str]) -> _Wanted:
    if not values.get("image_file"):
        raise click.UsageError("the image file is not named: -o image_file=NAME")
    if values.get("backing_fmt", "raw") != "raw":
        raise click.UsageError("an add-cow file can state raw only as backing format; others are found out")
    revision = values.get("revision", Revision.V10.value)
    if revision not in set(Revision):
        raise click.UsageError(f"revision {revision} is unknown: {', '.join(Revision)}")
    backing = values.get("backing_file")
    return _Wanted(
        image,
        os.fsencode(values["image_file"]),
        os.fsencode(backing) if backing else None,
        "raw" if "backing_fmt" in values else None,
        Revision(revision),
        size,
        confine,
    )


def _create(wanted: _Wanted) -> int:
    """Make the files; the size of the disk."""
    if os.path.lexists(wanted.image):  # before a raw file is made in vain
        raise UsageError("it exists already", rule="ACW-DYN-010")
    path = wanted.path_of(wanted.image_file)
    with about(path):
        raw = RawFile(wanted.image, wanted.image_file)
    with raw:
        made = _make(raw, path, wanted)
        size = _size_of_existing(path, wanted) if made is None else made
        create_image(
            wanted.image,
            wanted.image_file,
            backing_file=wanted.backing_file,
            backing_format=wanted.backing_format,
            revision=wanted.revision,
            confine=wanted.confine,
        )
    return size


def _make(raw: RawFile, path: bytes, wanted: _Wanted) -> int | None:
    """Make the raw file; its size, or None where there is one already."""
    if raw.exists():
        return None
    size = round_up(_size_from_backing(wanted) if wanted.size is None else wanted.size, SECTOR_SIZE)
    _check_confined(raw, path, wanted.confine)
    with about(path):
        return size if raw.make(size) else None


def _size_of_existing(path: bytes, wanted: _Wanted) -> int:
    try:
        with closing(FileStorage.open_path(path, confine=wanted.confine)) as file:
            size = file.length()
    except OpenFailed as failed:
        raise refusal(failed, Role.IMAGE) from failed
    if wanted.size is not None and size not in {wanted.size, round_up(wanted.size, SECTOR_SIZE)}:
        name = printable(path)
        raise Failure(
            f"{name}: it is there and has {size} bytes, not {wanted.size}; leave SIZE out to keep them"
        )
    return size


def _size_from_backing(wanted: _Wanted) -> int:
    if wanted.backing_file is None:
        name = printable(wanted.path_of(wanted.image_file))
        raise Failure(f"{name}: it is not there, and there is no backing file; give SIZE to make it")
    path = wanted.path_of(wanted.backing_file)
    with (
        about(path),
        closing(open_layer(path, format=wanted.backing_format, confine=wanted.confine)) as layer,
    ):
        return layer.size


def _check_confined(raw: RawFile, path: bytes, confine: bytes | None) -> None:
    """Make no file outside; what is there by then is judged by the engine."""
    if confine is None:
        return
    root = os.path.realpath(confine)
    if os.path.commonpath([root, raw.directory]) != root:
        raise Failure(f"{printable(path)}: it would be made outside {printable(confine)}")


def _announcement(wanted: _Wanted, size: int) -> str:
    facts = {
        "fmt": "add-cow",
        "size": str(size),
        "backing_file": wanted.backing_file and printable(wanted.backing_file),
        "backing_fmt": wanted.backing_format,
        "image_file": printable(wanted.image_file),
        "revision": wanted.revision.value,
    }
    words = " ".join(f"{key}={value}" for key, value in facts.items() if value is not None)
    return f"Formatting '{printable(wanted.image)}', {words}"
