"""From the opened add-cow file to its stack of layers: names followed, files locked, formats found.

The chain is walked top down, each file opened once and judged, and built bottom up. Nothing is written on the
way, and a chain that is refused leaves no file open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from addcow_ref._bitmap import DEFAULT_CACHE_SIZE
from addcow_ref._disk import Disk
from addcow_ref._header import judge_bitmap, read_header, usable_name
from addcow_ref._image import Image
from addcow_ref._judge import Judge
from addcow_ref._qcow2 import Qcow2Layer, qcow2_reference, read_qcow2_header
from addcow_ref._raw import RawLayer
from addcow_ref.storage import Identity, OpenFailed, OpenReason, Storage
from addcow_spec.errors import BackingChainError, ImageError, InvalidImage, UnsupportedImage
from addcow_spec.geometry import SECTOR_SIZE, Geometry
from addcow_spec.model import MAGIC, QCOW2_MAGIC, Features, Header, HeaderV10, Qcow2Header, Revision, Role
from addcow_spec.rules import Profile
from addcow_spec.text import printable

if TYPE_CHECKING:
    from addcow_ref._layer import Layer, LayerInfo

__all__ = ["MAX_LAYERS", "Options", "check_chain", "open_chain", "open_named", "refusal"]

MAX_LAYERS = 200

# QEMU's own test: a colon before the first slash.
_PROTOCOL = re.compile(rb"[^/:]*:")

_MISSING = {Role.IMAGE: "ACW-ENV-001", Role.BACKING: "ACW-ENV-002"}
_REASONS = {OpenReason.IRREGULAR: "ACW-ENV-003", OpenReason.OUTSIDE: "ACW-ENV-004"}

# Content that a raw disk may be mistaken for; what is not read here is taken for raw, and told.
_MAGICS = (
    (0, MAGIC, "add-cow"),
    (0, QCOW2_MAGIC, "qcow2"),
    (0, b"KDMV", "VMDK"),
    (0, b"COWD", "VMDK 3"),
    (0, b"vhdxfile", "VHDX"),
    (0, b"conectix", "VHD"),
    (0, b"QED\0", "QED"),
    (0, b"LUKS\xba\xbe", "LUKS"),
    (0, b"WithoutFreeSpace", "Parallels"),
    (0, b"WithouFreSpacExt", "Parallels"),
    (64, b"\x7f\x10\xda\xbe", "VDI"),
)
_READ = ("add-cow", "qcow2")


class Options(NamedTuple):
    """How to open a chain; see `open_image`."""

    writable: bool = False
    revision: Revision | None = None
    profile: Profile = Profile.REVIEWED
    cache_size: int = DEFAULT_CACHE_SIZE
    lock: bool = True


class _Reference(NamedTuple):
    """A backing file as the layer above names it; ``format`` is None where it is left to a probe."""

    name: bytes
    format: str | None


@dataclass(slots=True)
class _Part:
    """A layer of the chain with its files, on the way down."""

    file: Storage
    format: str
    header: Header | Qcow2Header | None = None
    image_file: Storage | None = None
    geometry: Geometry | None = None


def open_chain(file: Storage, options: Options, *, format: str | None = "add-cow") -> Layer:  # noqa: A002 - qemu's word
    """The layer of ``file`` with all that it stands on. All files are closed where it is refused.

    Args:
        file: the opened file.
        options: how to open it.
        format: what it is: ``add-cow``, ``qcow2`` or ``raw``; None to find out.

    Raises:
        ImageError: the rule that a file of the chain breaks.
        ImageInUse: a file is locked by another opener.
        StorageError: reading failed.
    """
    opened = [file]
    try:
        return _Walk(options, opened).run(file, format)
    except BaseException:
        _close_all(opened)
        raise


def check_chain(file: Storage, options: Options) -> tuple[LayerInfo, ...]:
    """The chain of an add-cow file, which stays open; all that it stands on is opened, judged and closed.

    Raises:
        ImageError, ImageInUse, StorageError: as `open_chain`.
    """
    opened: list[Storage] = []
    try:
        return _Walk(options, opened).run(file, "add-cow").chain
    finally:
        _close_all(opened)


def _close_all(files: list[Storage]) -> None:
    """Close the last first, and each though another cannot be closed; none is left in the list."""
    try:
        while files:
            files.pop().close()
    finally:
        if files:
            _close_all(files)


def open_named(file: Storage, name: bytes, role: Role, *, writable: bool = False) -> Storage:
    """Open a file that ``file`` names.

    Raises:
        UnsupportedImage: the name is no local path (ACW-NAM-011).
        BackingChainError: it cannot be opened (ACW-ENV-001 to -004).
        StorageError: descriptors or memory ran out.
    """
    if _PROTOCOL.match(name):
        raise UnsupportedImage(f"{role} file {printable(name)} is no local path", rule="ACW-NAM-011")
    try:
        return file.open(name, writable=writable)
    except OpenFailed as failed:
        raise refusal(failed, role) from failed


def refusal(failed: OpenFailed, role: Role) -> BackingChainError:
    """What is wrong with a chain in which a file cannot be opened (ACW-ENV-001 to -004)."""
    rule = _REASONS.get(failed.reason, _MISSING[role])
    return BackingChainError(f"{role} file: {failed}", rule=rule, field=f"{role}_file")


class _Walk:
    """One opening of one chain. Use `run` once."""

    def __init__(self, options: Options, opened: list[Storage]) -> None:
        self._options = options
        self._opened = opened
        # What may lose data when it is overlooked is judged by the reviews, whatever the caller's profile.
        self._judge = Judge(options.profile)
        self._strict = Judge(Profile.REVIEWED) if options.writable else self._judge
        self._seen: set[Identity] = set()
        self._parts: list[_Part] = []

    def run(self, file: Storage, kind: str | None) -> Layer:
        self._seen.add(file.identity)
        part: _Part | None = _Part(file, kind or _probe(file))
        while part:
            self._parts.append(part)
            reference = self._enter_named(part)
            part = self._descend(part, reference) if reference else None
        layer: Layer | None = None
        for part in reversed(self._parts):
            layer = self._build(part, layer)
        if layer is None:
            raise AssertionError("a chain has a layer")
        return layer

    def _enter_named(self, part: _Part) -> _Reference | None:
        """As `_enter`; an error of a lower layer says which file it is about."""
        try:
            return self._enter(part)
        except ImageError as error:
            if part is self._parts[0]:
                raise
            message = f"{printable(part.file.path)}: {error}"
            raise type(error)(message, rule=error.rule, span=error.span, field=error.field) from error

    def _enter(self, part: _Part) -> _Reference | None:
        """Lock and judge the files of a layer; the backing file that it names."""
        writable = part is self._parts[0] and self._options.writable
        if self._options.lock:
            part.file.lock(exclusive=writable)
        if part.format == "add-cow":
            return self._enter_add_cow(part, writable=writable)
        if part.format == "qcow2":
            part.header, notes = read_qcow2_header(part.file)
            self._judge.notes.extend(notes)
            found = qcow2_reference(part.file, part.header)
            if found is None:
                return None
            return _Reference(found.name, None if found.format is None else printable(found.format))
        return None

    # --- an add-cow layer

    def _enter_add_cow(self, part: _Part, *, writable: bool) -> _Reference | None:
        revision = self._options.revision if part is self._parts[0] else None
        part.header = header = read_header(part.file, self._judge, revision=revision, writable=writable)
        name = usable_name(header, Role.IMAGE)
        if name is None:
            raise InvalidImage("it has no usable image file name", rule="ACW-NAM-006")
        part.image_file = image_file = self._open(part, name, Role.IMAGE, writable=writable)
        self._judge_image_identity(image_file)
        if self._options.lock:
            image_file.lock(exclusive=writable)
        length = image_file.length()
        size = length if isinstance(header, HeaderV10) else header.size
        if size != length:
            message = f"size is {size}, and the image file {printable(image_file.path)} has {length} bytes"
            self._strict.broken("ACW-SIZ-006", message, field="size")
        part.geometry = Geometry(header.revision, size)
        judge_bitmap(part.file, part.geometry, self._judge)
        return _add_cow_reference(header)

    def _judge_image_identity(self, image_file: Storage) -> None:
        if image_file.identity in self._seen:
            message = f"{printable(image_file.path)} has another part in the chain already"
            self._strict.broken("ACW-CHN-001", message, kind=BackingChainError)
        self._seen.add(image_file.identity)

    # --- down the chain

    def _open(self, part: _Part, name: bytes, role: Role, *, writable: bool = False) -> Storage:
        file = open_named(part.file, name, role, writable=writable)
        self._opened.append(file)
        return file

    def _descend(self, above: _Part, reference: _Reference) -> _Part:
        if len(self._parts) >= MAX_LAYERS:
            raise BackingChainError(f"more than {MAX_LAYERS} layers", rule="ACW-CHN-004")
        file = self._open(above, reference.name, Role.BACKING)
        layer = next((part for part in self._parts if part.file.identity == file.identity), None)
        # A file that is a layer already is not probed again: where it stands is the fault.
        kind = reference.format or (layer.format if layer else self._probe(file))
        if file.identity in self._seen:
            self._judge_cycle(above, file, kind, layer)
        self._seen.add(file.identity)
        if kind != "raw" and kind not in _READ:
            message = f"backing file {printable(file.path)} is of format {kind}, which is not read here"
            raise UnsupportedImage(message, rule="ACW-ENV-002")
        return _Part(file, kind)

    def _judge_cycle(self, above: _Part, file: Storage, kind: str, layer: _Part | None) -> None:
        """A file has two parts: a chain that comes back to a layer has no end, and is never followed."""
        message = f"{printable(file.path)} has another part in the chain already"
        own = layer is above and above.format == "add-cow"
        followed = kind in _READ
        rule = "ACW-CHN-002" if layer and followed and not own else "ACW-CHN-001"
        if layer and followed:
            raise BackingChainError(message, rule=rule)
        self._strict.broken(rule, message, kind=BackingChainError)

    def _probe(self, file: Storage) -> str:
        """The format of a backing file that is left to a probe (ACW-CHN-003)."""
        found = _probe(file)
        if found != "raw":
            message = f"the content of {printable(file.path)} probes as {found}, and its format is not stated"
            self._judge.broken("ACW-CHN-003", message)
        return found if found in _READ else "raw"

    # --- and up again

    def _build(self, part: _Part, below: Layer | None) -> Layer:
        if isinstance(part.header, Qcow2Header):
            return Qcow2Layer(part.file, part.header, below)
        if part.header is None or part.image_file is None or part.geometry is None:
            return RawLayer(part.file)
        top = part is self._parts[0]
        images = [each.format for each in self._parts].count("add-cow")
        disk = Disk(
            part.file,
            part.image_file,
            below,
            part.geometry,
            cache_size=self._options.cache_size // images,
            writable=top and self._options.writable,
        )
        return Image(disk, part.header, tuple(self._judge.notes) if top else ())


def _probe(file: Storage) -> str:
    """The name of the format that the content looks like, ``raw`` where it looks like none."""
    start = bytearray(min(file.length(), SECTOR_SIZE))
    file.read_into(0, start)
    return next((name for offset, magic, name in _MAGICS if start.startswith(magic, offset)), "raw")


def _add_cow_reference(header: Header) -> _Reference | None:
    name = usable_name(header, Role.BACKING)
    if name is None:
        return None
    raw = isinstance(header, HeaderV10) and Features.BACKING_FORMAT_NO_PROBE in header.features
    return _Reference(name, "raw" if raw else None)
