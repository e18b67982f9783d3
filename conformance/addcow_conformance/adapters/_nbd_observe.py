"""What an NBD server can do, as nobody but a try can tell: tiny images, served one after the other."""

from __future__ import annotations

import os
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from addcow_conformance.adapters._make import make_image
from addcow_spec.codec import build_qcow2
from addcow_spec.errors import AdapterError, CannotStart, ImageError, StorageError, UsageError
from addcow_spec.model import Qcow2Header, Revision

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Observed", "observe", "requests_of"]

_SIZE = 4096
_IMAGE, _RAW, _BASE = b"tiny.add-cow", b"tiny.raw", b"base"
# The request of each ability; what is lacking is an error, or refused.
_TRIED: dict[str, tuple[str, dict[str, Any]]] = {
    "write": ("write", {"offset": 0, "data": "QUFBQQ==", "fua": False}),
    "zeroes": ("zeroes", {"offset": 0, "length": 512, "unmap": True, "fua": False}),
    "fua": ("write", {"offset": 0, "data": "QUFBQQ==", "fua": True}),
    "extents": ("extents", {"offset": 0, "length": _SIZE}),
}


class Serving(Protocol):
    """Who serves images."""

    def serve(self, path: bytes, directory: bytes, *, writable: bool, revision: Revision) -> int:
        """Have an image served; the size of its disk."""

    def ask(self, do: str, **members: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever the request holds
        """The result of a request."""

    def drop(self) -> None:
        """End whatever serves."""


class Observed(NamedTuple):
    """What was seen.

    Attributes:
        revisions: those of which images are served, oldest first.
        abilities: words of `protocol.CAPABILITIES`.
    """

    revisions: tuple[Revision, ...]
    abilities: frozenset[str]


def observe(serving: Serving) -> Observed:
    """See what can be done with images of the newest revision that is served at all.

    Of an older one as much has to be possible. Who crashes, or gives no answer, is told so when it matters:
    the revision counts as served, as long as another one is.

    Raises:
        CannotStart: no image is served.
        AdapterError: there is no answer, whatever the revision.
    """
    found: dict[Revision, frozenset[str]] = {}
    unserved: dict[Revision, ImageError | AdapterError] = {}
    for revision in reversed(Revision):
        try:
            found[revision] = requests_of(serving, revision)
        except (ImageError, AdapterError) as error:
            unserved[revision] = error
    if not found:
        raise _best(list(unserved.values()))
    newest, abilities = next(iter(found.items()))
    broken = {revision for revision, error in unserved.items() if isinstance(error, AdapterError)}
    served = {revision for revision in found if found[revision] >= abilities}
    more = {ability for ability, make in _IMAGES.items() if _opens(serving, newest, make)}
    revisions = tuple(revision for revision in Revision if revision in served | broken)
    return Observed(revisions, abilities | more | {"parallel"})


def _best(errors: list[ImageError | AdapterError]) -> AdapterError:
    """What to say where no image is served: rather a fault than a refusal, of the newest revision."""
    for error in errors:
        if isinstance(error, AdapterError):
            return error
    return CannotStart(f"it serves no image of any revision: {errors[0]}")


def requests_of(serving: Serving, revision: Revision) -> frozenset[str]:
    """The requests that can be made to a tiny image of a revision; it is not served any more on return.

    Raises:
        ImageError: the image is not served.
        AdapterError: there is no answer.
    """
    with TemporaryDirectory(prefix="addcow-nbd-") as name:
        directory = os.fsencode(name)
        path = _plain(directory, revision)
        try:
            size = serving.serve(path, directory, writable=True, revision=revision)
            if size != _SIZE:
                raise CannotStart(
                    f"it serves a disk of {size} bytes for one of {_SIZE}: no add-cow, it seems"
                )
            return frozenset(word for word, request in _TRIED.items() if _takes(serving, *request))
        finally:
            serving.drop()


def _takes(serving: Serving, do: str, members: dict[str, Any]) -> bool:
    with suppress(UsageError, StorageError):
        serving.ask(do, **members)
        return True
    return False


def _opens(serving: Serving, revision: Revision, make: Callable[[bytes, Revision], bytes]) -> bool:
    """Whether an image is opened; one that ends in no answer has to be tried for good."""
    with TemporaryDirectory(prefix="addcow-nbd-") as name:
        directory = os.fsencode(name)
        path = make(directory, revision)
        try:
            serving.serve(path, directory, writable=True, revision=revision)
        except ImageError:
            return False
        except AdapterError:
            return True
        finally:
            serving.drop()
        return True


# --- tiny images, each in a directory of its own


def _plain(directory: bytes, revision: Revision, base: bytes = b"") -> bytes:
    _put(directory, _RAW, bytes(_SIZE))
    path = os.path.join(directory, _IMAGE)
    make_image(path, _RAW, base, revision, raw=False)
    return path


def _put(directory: bytes, name: bytes, data: bytes) -> None:
    with open(os.path.join(directory, name), "xb") as file:
        file.write(data)


def _relative(directory: bytes, revision: Revision) -> bytes:
    return os.path.basename(_plain(directory, revision))


def _over_add_cow(directory: bytes, revision: Revision) -> bytes:
    _put(directory, _BASE, bytes(_SIZE))
    make_image(os.path.join(directory, b"lower.add-cow"), _BASE, b"", revision, raw=False)
    return _plain(directory, revision, b"lower.add-cow")


def _over_qcow2(directory: bytes, revision: Revision) -> bytes:
    """Header, refcount table, refcount block and L1 table in a cluster each, and no data."""
    bits = 12
    header = build_qcow2(
        Qcow2Header(
            version=3,
            backing_file_offset=0,
            backing_file_size=0,
            cluster_bits=bits,
            size=_SIZE,
            crypt_method=0,
            l1_size=1,
            l1_table_offset=3 << bits,
            refcount_table_offset=1 << bits,
            refcount_table_clusters=1,
            nb_snapshots=0,
            snapshots_offset=0,
            incompatible_features=0,
            compatible_features=0,
            autoclear_features=0,
            refcount_order=4,
            header_length=104,
            additional=b"",
            extensions=(),
            end_marker=bytes(8),
        )
    )
    tables = (header, (2 << bits).to_bytes(8, "big"), b"\0\1" * 4, b"")
    _put(directory, _BASE, b"".join(table.ljust(1 << bits, b"\0") for table in tables))
    return _plain(directory, revision, _BASE)


_IMAGES: dict[str, Callable[[bytes, Revision], bytes]] = {
    "directory": _relative,
    "backing-add-cow": _over_add_cow,
    "backing-qcow2": _over_qcow2,
}
