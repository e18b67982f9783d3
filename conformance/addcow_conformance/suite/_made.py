"""Images in files, made and opened by a target as a user of its own would."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from addcow_conformance.programs import Endless, Patience, Violation, refused
from addcow_ref import FileStorage
from addcow_spec.errors import AdapterError, AddCowError
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from addcow_conformance.suite._case import Bench
    from addcow_conformance.targets import Target

__all__ = ["create", "make", "open_made", "put"]

_RULE = "ACW-DYN-010"
_PIECE = bytes(range(1, 252))
_CACHE = 1 << 20


def create(
    bench: Bench, path: bytes, image: bytes, backing: bytes | None = None, *, probed: bool = False
) -> AddCowError | None:
    """Have the target make an image in a file, which is there and is empty as a rule.

    Args:
        bench: the target.
        path: the file.
        image: name of the image file.
        backing: name of a backing file, None for none.
        probed: whether its format is left to a probe, and not stated to be raw.

    Returns:
        The error that it ends in, None where it is done.

    Raises:
        Violation: it ends in anything else.
    """
    file = FileStorage.open_path(path, writable=True)
    raw = "raw" if backing and not probed and bench.revision is Revision.V10 else None
    try:
        with Patience():
            bench.target.create_image(
                file, image, backing_file=backing, backing_format=raw, revision=bench.revision
            )
    except AdapterError:
        raise
    except AddCowError as error:
        return error
    except (Exception, Endless) as error:
        raise Violation(_RULE, f"creating ends in {type(error).__name__}: {error}") from error
    finally:
        file.close()
    return None


def make(bench: Bench, size: int, below: int) -> bytes:
    """The path of a new image: ``disk.add-cow`` on ``disk.raw`` and ``base.raw``.

    Args:
        bench: the target that makes it.
        size: bytes of the disk; the image file is a hole.
        below: bytes of the backing file, 0 for none.

    Raises:
        Violation: it is not made.
    """
    root = bench.folder()
    path, raw, base = (os.path.join(root, name) for name in (b"disk.add-cow", b"disk.raw", b"base.raw"))
    put(path, b"")
    put(raw, b"", size)
    if below:
        put(base, (_PIECE * (below // len(_PIECE) + 1))[:below])
    error = create(bench, path, b"disk.raw", b"base.raw" if below else None)
    if error is not None:
        raise refused(_RULE, "creating fails", error)
    return path


def put(path: bytes, data: bytes, length: int | None = None) -> None:
    """Make a file of these bytes, and zeros up to ``length``."""
    with open(path, "xb") as file:
        file.write(data)
        file.truncate(length)


def open_made(bench: Bench, path: bytes, *, writable: bool, by: Target | None = None) -> Any:  # noqa: ANN401 - an image, and more
    """The image that the target, or another instance of it, opens.

    Raises:
        AddCowError: it does not.
    """
    file = FileStorage.open_path(path, writable=writable)
    target = by or bench.target
    return target.open_image(file, writable=writable, revision=bench.revision, cache_size=_CACHE)
