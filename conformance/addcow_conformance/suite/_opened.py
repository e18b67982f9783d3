"""A vector opened by a target, and what the checker says of the same files."""

from __future__ import annotations

import inspect
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from addcow_conformance.checker import CheckOptions, FileFormat, Verdict, check_image
from addcow_conformance.programs import Endless, Patience, Unsupported, Violation, refused
from addcow_conformance.suite.vectors import Label, materialize
from addcow_ref import FileStorage
from addcow_spec.errors import AdapterError, ImageError, ImageInUse, StorageError, UsageError
from addcow_spec.rules import Level, Profile, Stage, rule

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from addcow_conformance.suite._case import Bench
    from addcow_conformance.suite.vectors import Scene, Vector
    from addcow_conformance.targets import Image
    from addcow_spec.model import Revision

__all__ = ["BEYOND", "Answer", "judge_refusal", "open_vector"]

# The checker looks at the working directory to tell why a file is missing; an opener need not.
_SAME = {"ACW-NAM-010": {"ACW-ENV-001", "ACW-ENV-002"}}
# A chain that comes back to itself cannot be read, whatever the profile says of it.
_ENDLESS = {"ACW-CHN-001", "ACW-CHN-002"}
# Where the checker stops, an opener goes on, and cannot: it may refuse by the second for the first.
# A name that is a protocol's; a layer of a format that the one above states, and nobody here reads.
_BEYOND = {"ACW-NAM-011": "ACW-NAM-011", "ACW-CHN-003": "ACW-ENV-002"}
BEYOND = frozenset(_BEYOND.values())
_LAYERS = {FileFormat.QCOW2: "backing-qcow2", FileFormat.ADD_COW: "backing-add-cow"}
_ERRORS = (ImageError, UsageError, ImageInUse, StorageError)
_ENOUGH = 1 << 19


class Answer(NamedTuple):
    """What a target made of a vector.

    Attributes:
        expected: what the checker's verdict must be.
        refusal: the error that it was refused with, None where it was opened.
        failure: the error that reading ended in, None where it was read.
        musts: the must-rules that the image breaks.
        allowed: the rules that a refusal may name.
        lacks: what the target would need for the files below.
        layered: whether there is more below than raw files.
    """

    expected: Label
    refusal: Exception | None
    failure: Exception | None
    musts: frozenset[str]
    allowed: frozenset[str]
    lacks: tuple[str, ...]
    layered: bool


def open_vector(
    bench: Bench,
    vector: Vector,
    root: bytes,
    *,
    writable: bool,
    guard: Callable[[bytes, str, str], AbstractContextManager[None]],
) -> Answer:
    """Make the files of a vector, and open its image.

    Args:
        bench: the target.
        vector: the vector.
        root: an empty directory.
        writable: whether to open for writing.
        guard: holds the files to be as they were; see `untouched`.

    Raises:
        Unsupported: the target cannot be told what the vector asks for.
        Violation: opening or reading ends in what is no refusal, or a file has changed.
    """
    scene = materialize(vector, root)
    stated = scene.take_as or vector.revision
    extra = _extra(bench, scene)
    with bench.inside(scene.cwd):
        report = check_image(scene.image, CheckOptions(stated, bench.profile, confine=scene.confine))
    expected = vector.labels[bench.profile]
    if scene.take_as is None:
        # The label is what is said of an image whose revision nobody states; here it is stated.
        foreign = report.verdict is Verdict.NOT_ADD_COW
        expected = Label(Verdict.INVALID if foreign else report.verdict, tuple(report.rule_counts))
    musts = _musts(expected, bench.profile)
    reviewed = _musts(vector.labels[Profile.REVIEWED], Profile.REVIEWED)
    allowed = (
        musts | (reviewed & _ENDLESS) | {_BEYOND[found] for found in expected.findings if found in _BEYOND}
    )
    allowed = allowed.union(*(_SAME.get(found, ()) for found in musts))
    rule, purpose = ("ACW-DYN-009", "writing") if writable else ("ACW-DYN-004", "reading")
    with guard(root, rule, f"opened for {purpose}"):
        refusal, failure = _open(bench, scene, stated, extra, writable=writable)
    layers = {_LAYERS[file.format] for file in report.files[1:] if file.format in _LAYERS}
    lacks = tuple(sorted(layers - bench.abilities))
    return Answer(expected, refusal, failure, frozenset(musts), frozenset(allowed), lacks, bool(layers))


def _extra(bench: Bench, scene: Scene) -> dict[str, Any]:
    """The profile, for a module that takes one; how a process is told its own is its owner's matter."""
    if bench.external:
        if scene.confine is not None:
            raise Unsupported("the target cannot be told to stay in a directory")
        return {}
    takes = "profile" in inspect.signature(bench.target.open_image).parameters
    return {"profile": bench.profile} if takes else {}


def _open(
    bench: Bench, scene: Scene, stated: Revision, extra: dict[str, Any], *, writable: bool
) -> tuple[Exception | None, Exception | None]:
    """The error that opening ends in, and the one that reading does."""
    if writable:
        bench.need("write")
    with bench.inside(scene.cwd):
        try:
            with Patience():
                file = FileStorage.open_path(scene.image, writable=writable, confine=scene.confine)
                image = bench.target.open_image(
                    file, writable=writable, revision=stated, cache_size=1 << 16, **extra
                )
                return None, _read(image)
        except AdapterError:
            raise
        except _ERRORS as error:
            return error, None
        except (Exception, Endless) as error:
            raise Violation("ACW-DYN-009", f"opening ends in {type(error).__name__}: {error}") from error


def _read(image: Image) -> Exception | None:
    try:
        for start in {0, max(image.size - _ENOUGH, 0)}:
            image.read(start, min(_ENOUGH, image.size - start))
        image.close()
    except AdapterError:
        raise
    except _ERRORS as error:
        with suppress(*_ERRORS):
            image.close()
        return error
    return None


def _musts(label: Label, profile: Profile) -> set[str]:
    return {found for found in label.findings if rule(found).level[profile] is Level.MUST}


def judge_refusal(answer: Answer) -> None:
    """Judge that an image was refused.

    Raises:
        Unsupported: the target has no such files below.
        Violation: it should have been opened, or the rule that is named is not broken.
    """
    if answer.refusal is None:
        raise AssertionError("the image was not refused")
    named = getattr(answer.refusal, "rule", "")
    if answer.lacks and named not in answer.musts:
        raise Unsupported(f"the target has not said {', '.join(answer.lacks)}")
    if isinstance(answer.refusal, StorageError) and any(
        rule(found).stage is Stage.ENVIRONMENT for found in answer.musts
    ):
        return  # what is missing or unreadable may be an error of the system
    if not answer.allowed and answer.expected.result is Verdict.VALID:
        raise refused("ACW-DYN-009", "a sound image is refused", answer.refusal)
    if answer.expected.result is Verdict.ACCEPTABLE and not answer.musts:
        return
    if isinstance(answer.refusal, StorageError):
        raise Violation("ACW-DYN-009", f"a broken image is no refusal, but an error: {answer.refusal}")
    if named and named not in answer.allowed:
        raise Violation(
            "ACW-DYN-009",
            f"refused by {named}, and it breaks {', '.join(sorted(answer.allowed))}: {answer.refusal}",
        )
