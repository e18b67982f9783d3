"""Making a new image (ACW-DYN-010): complete under its own name, or not there at all."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Literal, Self

from addcow_ref._chain import Options, check_chain, open_named
from addcow_ref._file_storage import FileStorage
from addcow_ref._header import LAST_NAME_OFFSET, LONGEST_NAME
from addcow_ref._resize import check_size
from addcow_spec.codec import build_header
from addcow_spec.errors import BackingChainError, StorageError, UsageError
from addcow_spec.geometry import Geometry
from addcow_spec.model import Features, Header, HeaderV4, HeaderV6, HeaderV10, Revision, Role
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_ref._layer import LayerInfo
    from addcow_ref._open import Path
    from addcow_ref.storage import Storage

__all__ = ["create_image", "sync_directory"]

_LONGEST_OLD_NAME = 1024
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def create_image(
    target: Path | Storage,
    image_file: Path,
    *,
    backing_file: Path | None = None,
    backing_format: Literal["raw"] | None = None,
    revision: Revision = Revision.V10,
    overwrite: bool = False,
    confine: Path | None = None,
) -> None:
    """Make an add-cow file over an image file that is there already, and keeps its bytes and length.

    Args:
        target: path of the new file, or an empty storage that is open for writing.
        image_file: the image file's name as it will be stored; relative to the directory of the new file.
        backing_file: the backing file's name, likewise; None for none.
        backing_format: ``raw`` states that the backing file is raw, whatever its content (v10 only).
        revision: revision of the format.
        overwrite: whether a file of that path may be replaced.
        confine: as in `open_image`.

    Raises:
        UsageError: the file exists (ACW-DYN-010), a name is too long for the revision, or the length of the
            image file is no size for it.
        ImageError: a named file is missing, unreadable or has two parts; as `open_image`.
        ImageInUse: a named file is locked by a writer.
        StorageError: writing failed. No new file is left behind, unless all that failed was to make its name
            durable. A storage is empty again.
    """
    names = (os.fsencode(image_file), os.fsencode(backing_file) if backing_file is not None else b"")
    if backing_file is not None and not names[1]:
        raise UsageError("the backing file's name is empty", rule="ACW-NAM-005")
    _check_names(names, backing_format, revision)
    if not isinstance(target, str | bytes | os.PathLike):
        if target.length():
            raise UsageError(f"{printable(target.path)} is not empty", rule="ACW-DYN-010")
        _write(target, names, backing_format, revision)
        return
    path = os.fsencode(target)
    if b"\0" in path:
        raise UsageError("a path holds no NUL byte")
    if not overwrite and os.path.lexists(path):
        raise _exists(path)
    with _Draft(path, None if confine is None else os.fsencode(confine)) as draft:
        draft.keep_apart(_write(draft.file, names, backing_format, revision))
        draft.publish(overwrite=overwrite)


def _exists(path: bytes) -> UsageError:
    return UsageError(f"{printable(path)} exists already", rule="ACW-DYN-010")


def _check_names(names: tuple[bytes, bytes], backing_format: str | None, revision: Revision) -> None:
    if backing_format is not None and (
        not names[1] or revision is not Revision.V10 or backing_format != "raw"
    ):
        raise UsageError("a backing format can be stated in v10 only, for a backing file, as raw")
    if not names[0]:
        raise UsageError("an image file is needed", rule="ACW-NAM-006")
    if b"\0" in names[0] + names[1]:
        raise UsageError("a name holds a NUL byte", rule="ACW-NAM-007")
    longest = LONGEST_NAME if revision is Revision.V10 else _LONGEST_OLD_NAME
    if max(map(len, names)) > longest or (revision is Revision.V10 and not _have_room(*names)):
        raise UsageError(f"the names are too long for {revision}", rule="ACW-NAM-003")


def _have_room(image: bytes, backing: bytes) -> bool:
    """Whether the reserved field of v10 has room for both names, one after the other."""
    start = HeaderV10.RESERVED_OFFSET + len(image)
    return start + len(backing) <= HeaderV10.LENGTH and (not backing or start <= LAST_NAME_OFFSET)


def _header(names: tuple[bytes, bytes], backing_format: str | None, revision: Revision, size: int) -> Header:
    image, backing = names
    if revision is not Revision.V10:
        fields = (backing.ljust(_LONGEST_OLD_NAME, b"\0"), image.ljust(_LONGEST_OLD_NAME, b"\0"), size)
        if revision is Revision.V4:
            return HeaderV4(*fields)
        return HeaderV6(*fields, bytes(HeaderV6.LENGTH - HeaderV6.RESERVED_OFFSET))
    start = HeaderV10.RESERVED_OFFSET
    features = Features.BACKING_FILE if backing else Features(0)
    if backing_format:
        features |= Features.BACKING_FORMAT_NO_PROBE
    return HeaderV10(
        backing_filename_offset=start + len(image) if backing else 0,
        backing_filename_size=len(backing),
        image_filename_offset=start,
        image_filename_size=len(image),
        features=features,
        reserved=(image + backing).ljust(HeaderV10.LENGTH - start, b"\0"),
    )


def _write(
    file: Storage, names: tuple[bytes, bytes], backing_format: str | None, revision: Revision
) -> tuple[LayerInfo, ...]:
    """Write the bitmap, as a hole, and then the header: what has a header is complete.

    The result is opened as any opener would, so that nothing is made that would then be refused.
    """
    image_file = open_named(file, names[0], Role.IMAGE)
    try:
        size = image_file.length()
    finally:
        image_file.close()
    check_size(size, revision)
    with ExitStack() as undo:
        undo.callback(file.truncate, 0)
        file.truncate(Geometry(revision, size).bitmap_end)
        file.sync()
        file.write(0, build_header(_header(names, backing_format, revision, size)))
        file.sync()
        chain = check_chain(file, Options(revision=revision))
        undo.pop_all()
    return chain


class _Draft:
    """The new file under another name beside it, until it is published."""

    def __init__(self, path: bytes, confine: bytes | None) -> None:
        self._path = path
        self._base = os.path.basename(path)
        self._draft = b".addcow-" + os.urandom(8).hex().encode()
        self._confine = confine
        with ExitStack() as undo, _failures_of(path):
            self._directory = _open_directory(path)
            undo.callback(os.close, self._directory)
            descriptor = os.open(self._draft, _NEW, 0o666, dir_fd=self._directory)
            undo.callback(os.unlink, self._draft, dir_fd=self._directory)
            shown = os.path.join(os.path.dirname(path), self._draft)
            self.file = FileStorage.adopt(descriptor, shown, confine=confine)
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        with suppress(FileNotFoundError):
            os.unlink(self._draft, dir_fd=self._directory)
        os.close(self._directory)

    def keep_apart(self, chain: tuple[LayerInfo, ...]) -> None:
        """Refuse to replace a file that the new image stands on.

        Raises:
            BackingChainError: it does (ACW-CHN-001).
        """
        used = [path for info in chain for path in (info.path, info.image_path) if path]
        if os.path.exists(self._path) and any(os.path.samefile(path, self._path) for path in used):
            message = f"{printable(self._path)} would be replaced by an image that stands on it"
            raise BackingChainError(message, rule="ACW-CHN-001")

    def publish(self, *, overwrite: bool) -> None:
        """Give the file its own name, durably. A file that it replaces must not be in use.

        Raises:
            UsageError: a file of that name came to be meanwhile (ACW-DYN-010).
            ImageInUse: somebody has the file that is to be replaced open.
            OpenFailed: what is to be replaced is no regular file.
            StorageError: the file system failed.
        """
        with ExitStack() as held, _failures_of(self._path):
            if overwrite:
                if os.path.lexists(self._path):
                    replaced = FileStorage.open_path(self._path, confine=self._confine)
                    held.callback(replaced.close)
                    replaced.lock(exclusive=True)
                os.rename(self._draft, self._base, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            else:
                os.link(
                    self._draft,
                    self._base,
                    src_dir_fd=self._directory,
                    dst_dir_fd=self._directory,
                    follow_symlinks=False,
                )
            os.fsync(self._directory)


@contextmanager
def _failures_of(path: bytes) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise StorageError(f"{printable(path)} could not be made: {error.strerror}") from error


def sync_directory(path: bytes) -> None:
    """Make what happened to the name of ``path`` durable.

    Raises:
        OSError: the file system failed.
    """
    descriptor = _open_directory(path)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_directory(path: bytes) -> int:
    """The directory that ``path`` has its last component in."""
    return os.open(os.path.dirname(path) or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
