"""Two openers of one image, and requests at once of one that takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from addcow_conformance.programs import Unsupported, Violation
from addcow_conformance.suite._case import Bench, Case
from addcow_conformance.suite._made import make, open_made
from addcow_spec.errors import AdapterError, AddCowError
from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.targets import Target

__all__ = ["cases"]

_RULE = "ACW-DYN-014"


def cases() -> Iterator[Case]:
    """Who may be there beside whom, for each revision."""
    for revision in Revision:
        yield Case(_RULE, revision, "two-writers", "the second writer is told", _two)
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


def _two(bench: Bench) -> None:
    path = _made(bench)
    image = open_made(bench, path, writable=True)
    try:
        with bench.another() as other:
            try:
                late = open_made(bench, path, writable=True, by=other)
            except AdapterError:
                raise
            except AddCowError as error:
                named = getattr(error, "rule", "")
                if named not in {"", _RULE}:
                    raise Violation(_RULE, f"the second writer is refused by {named}") from error
                return
            late.close()
        raise Violation(_RULE, "a second writer opens the image")
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
