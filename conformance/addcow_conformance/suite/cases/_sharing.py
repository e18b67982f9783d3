"""Two openers of one image, and requests at once of one that takes them."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from addcow_conformance.programs import Unsupported, Violation
from addcow_conformance.suite._case import Bench, Case
from addcow_conformance.suite._made import make, open_made, put
from addcow_spec.errors import AdapterError, AddCowError
from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.targets import Target

__all__ = ["cases"]

_RULE = "ACW-DYN-014"
_ROLES = {True: "a writer", False: "a reader"}
# Whether the first and the second are for writing.
_PAIRS = (
    ("two-writers", "the second writer is told", True, True),
    ("reader-beside-a-writer", "a reader is told that there is a writer", True, False),
    ("writer-beside-a-reader", "a writer is told that there is a reader", False, True),
)


def cases() -> Iterator[Case]:
    """Who may be there beside whom, for each revision."""
    for revision in Revision:
        for slug, title, first, second in _PAIRS:
            yield Case(_RULE, revision, slug, title, partial(_beside, first=first, second=second))
        yield Case(_RULE, revision, "two-images-of-one-file", "the image file is locked, too", _two_images)
        yield Case(_RULE, revision, "two-readers", "readers may share", _two_readers)
        yield Case(
            "ACW-DYN-009",
            revision,
            "a-refusal-holds-nothing",
            "what was refused can be opened for writing when it is mended",
            _after_refusal,
        )
        yield Case(_RULE, revision, "after-closing", "when the writer has closed, another may write", _after)
        yield Case(
            _RULE, revision, "after-a-kill", "when the writer is killed, another may write", _after_kill
        )


def _made(bench: Bench) -> bytes:
    bench.need("write")
    unit = Geometry(bench.revision, 0).unit_size
    return make(bench, 4 * unit, 2 * unit)


def _no_other(bench: Bench, path: bytes, *, writable: bool, what: str) -> None:
    """Have another instance open an image, which has to be told that it is in use."""
    with bench.another() as other:
        try:
            late = open_made(bench, path, writable=writable, by=other)
        except AdapterError:
            raise
        except AddCowError as error:
            named = getattr(error, "rule", "")
            if named not in {"", _RULE}:
                raise Violation(_RULE, f"{what} is refused by {named}") from error
            return
        late.close()
    raise Violation(_RULE, f"{what} is let in")


def _beside(bench: Bench, *, first: bool, second: bool) -> None:
    """Two openers of one image: whether each of them is for writing."""
    path = _made(bench)
    image = open_made(bench, path, writable=first)
    try:
        bench.holders()
        _no_other(bench, path, writable=second, what=f"{_ROLES[second]} beside {_ROLES[first]}")
    finally:
        image.close()


def _two_images(bench: Bench) -> None:
    """Two add-cow files that name one image file."""
    path = _made(bench)
    twin = os.path.join(os.path.dirname(path), b"twin.add-cow")
    with open(path, "rb") as file:
        put(twin, file.read())
    image = open_made(bench, path, writable=True)
    try:
        bench.holders()
        _no_other(bench, twin, writable=True, what="a writer of the same image file")
    finally:
        image.close()


def _two_readers(bench: Bench) -> None:
    path = _made(bench)
    image = open_made(bench, path, writable=False)
    try:
        with bench.another() as other:
            open_made(bench, path, writable=False, by=other).close()
    finally:
        image.close()


def _writes(target: Target, bench: Bench, path: bytes) -> Any:  # noqa: ANN401 - an image
    try:
        image = open_made(bench, path, writable=True, by=target)
    except AdapterError:
        raise
    except AddCowError as error:
        raise Violation(_RULE, f"the next writer is refused: {error}") from error
    image.write(0, b"w")
    return image


def _after(bench: Bench) -> None:
    path = _made(bench)
    _writes(bench.target, bench, path).close()
    with bench.another() as other:
        _writes(other, bench, path).close()


def _after_kill(bench: Bench) -> None:
    if not bench.external:
        raise Unsupported("a module is in this process, which is not killed")
    path = _made(bench)
    _writes(bench.target, bench, path).kill()
    with bench.another() as other:
        _writes(other, bench, path).close()


def _after_refusal(bench: Bench) -> None:
    path = _made(bench)
    with open(path, "r+b") as file:
        magic = file.read(8)
        file.seek(0)
        file.write(bytes(8))
        file.flush()
        for _ in range(2):
            try:
                open_made(bench, path, writable=True).close()
            except AdapterError:
                raise
            except AddCowError:
                continue
            raise Violation("ACW-HDR-001", "an image without its magic is opened")
        file.seek(0)
        file.write(magic)
    _writes(bench.target, bench, path).close()
