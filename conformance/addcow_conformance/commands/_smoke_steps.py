"""The steps of a smoke test: the first one that fails says whether adapter or implementation is broken."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from enum import StrEnum
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple, cast

from addcow_conformance._signals import Interrupted
from addcow_conformance.commands._output import error_line, one_line
from addcow_conformance.commands._target import elsewhere, ended
from addcow_conformance.programs import (
    IMAGE,
    RAW,
    Backing,
    BackingKind,
    Disk,
    Endless,
    Flush,
    Kill,
    Patience,
    Read,
    Reopen,
    Session,
    Violation,
    Write,
)
from addcow_conformance.targets import is_external
from addcow_ref import FileStorage
from addcow_spec.codec import HEADER_LENGTH
from addcow_spec.errors import (
    AdapterError,
    AddCowError,
    Crashed,
    ImageError,
    SanitizerReport,
    StorageError,
    TimedOut,
    UsageError,
)
from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_conformance.programs import Operation
    from addcow_conformance.targets import ExternalTarget, Target

__all__ = ["STEPS", "Fault", "Outcome", "Smoke", "Step", "smoke"]


class Outcome(StrEnum):
    """What became of a step; SKIPPED is one that the target does not take, or that another came before."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


class Fault(StrEnum):
    """Who is to blame."""

    NONE = "none"
    ADAPTER = "adapter"
    IMPLEMENTATION = "implementation"


class Step(NamedTuple):
    """A step that was done, or not.

    Attributes:
        name: what it is.
        outcome: what became of it.
        fault: who is to blame where it failed.
        rule: id of the rule that is broken, empty where none is known.
        detail: what is wrong, in a line.
        said: the last lines of the program's standard error.
    """

    name: str
    outcome: Outcome
    fault: Fault = Fault.NONE
    rule: str = ""
    detail: str = ""
    said: tuple[str, ...] = ()


class Smoke(NamedTuple):
    """A smoke test that was done.

    Attributes:
        about: what the program said of itself, None where it said nothing, or is no program.
        steps: all steps.
    """

    about: dict[str, str] | None
    steps: tuple[Step, ...]

    @property
    def fault(self) -> Fault:
        """Who is to blame."""
        return next((step.fault for step in self.steps if step.fault is not Fault.NONE), Fault.NONE)


_SIZE, _BELOW = 3 * 65536 + 512, 100_000
_AT, _LENGTH = 65_000, 4096


class _Bench:
    """A target in a directory, and the session that tries it."""

    def __init__(self, directory: str, revision: Revision) -> None:
        self.directory = os.fsencode(directory)
        self.disk = Disk(revision, _SIZE, Backing(BackingKind.RAW, _BELOW))
        self.target: Target | None = None
        self.session: Session | None = None

    def path(self, name: bytes) -> bytes:
        return os.path.join(self.directory, name)

    def end_session(self) -> None:
        if self.session is not None:
            with suppress(AdapterError):
                self.session.kill()


def smoke(load: Callable[[], Target], revision: Revision) -> Smoke:
    """Try a target, step by step, up to the first that fails.

    Args:
        load: loads it.
        revision: the revision of the format to try.

    Raises:
        UsageError: it has no images of the revision, or is no target.
    """
    done: list[Step] = []
    about = None
    with TemporaryDirectory(prefix="addcow-smoke-") as directory, ExitStack() as stack:
        bench = _Bench(directory, revision)

        def start() -> Outcome:
            bench.target = load()
            stack.enter_context(ended(bench.target))
            stack.callback(bench.end_session)
            return Outcome.OK

        for name, (take, blame) in {"starts": (start, Fault.ADAPTER), **_bound(bench)}.items():
            stopped = bool(done) and done[-1].outcome is Outcome.FAILED
            skipped = stopped or (done and done[-1].detail == _STOPPED)
            done.append(Step(name, Outcome.SKIPPED, detail=_STOPPED) if skipped else _step(name, take, blame))
        if bench.target is not None and is_external(bench.target):
            told = _external(bench.target).about
            about = {part: one_line(getattr(told, part)) for part in ("name", "version", "language")}
    return Smoke(about, tuple(done))


_STOPPED = "not reached"


def _step(name: str, take: Callable[[], Outcome], blame: Fault) -> Step:
    try:
        with elsewhere(), Patience():
            return Step(name, take())
    except Violation as violation:
        return Step(name, Outcome.FAILED, Fault.IMPLEMENTATION, violation.rule, one_line(violation.detail))
    except AdapterError as error:
        return Step(name, Outcome.FAILED, _blamed(error, blame), "", error_line(error), error.said)
    except Endless as error:
        return Step(name, Outcome.FAILED, Fault.IMPLEMENTATION, "", error_line(error))


def _blamed(error: AdapterError, blame: Fault) -> Fault:
    """An implementation may crash or hang; all else that is no answer is the adapter's doing."""
    if isinstance(error, SanitizerReport):
        return Fault.IMPLEMENTATION
    return blame if isinstance(error, Crashed | TimedOut) else Fault.ADAPTER


def _bound(bench: _Bench) -> dict[str, tuple[Callable[[], Outcome], Fault]]:
    return {name: (partial(take, bench), blame) for name, (take, blame) in _STEPS.items()}


def _external(target: Target) -> ExternalTarget:
    return cast("ExternalTarget", target)


def _target(bench: _Bench) -> Target:
    assert bench.target is not None  # noqa: S101 - the first step
    return bench.target


def _speaks(bench: _Bench) -> Outcome:
    if not is_external(_target(bench)):
        return Outcome.SKIPPED
    _external(_target(bench)).probe()
    return Outcome.OK


def _creates(bench: _Bench) -> Outcome:
    bench.session = Session(bench.disk, _target(bench), directory=bench.directory)
    return Outcome.OK if "create" in bench.session.abilities else Outcome.SKIPPED


def _doing(*operations: Operation) -> Callable[[_Bench], Outcome]:
    def take(bench: _Bench) -> Outcome:
        assert bench.session is not None  # noqa: S101 - a step before
        outcomes = [bench.session.step(operation).outcome for operation in operations]
        return Outcome.SKIPPED if "skipped" in outcomes else Outcome.OK

    return take


def _refuses(bench: _Bench) -> Outcome:
    """Broken images are refused, each for one rule, and the sound one is opened afterwards."""
    assert bench.session is not None  # noqa: S101 - a step before
    bench.session.kill()
    with open(bench.path(IMAGE), "rb") as file:
        sound = file.read()
    for at, (rule, damage) in enumerate(_DAMAGES.items()):
        broken = damage(sound, bench.disk.revision)
        if broken is not None:
            path = bench.path(b"broken-%d.add-cow" % at)
            with open(path, "xb") as file:
                file.write(broken)
            _must_refuse(bench, path, rule)
    if not bench.session.open(writable=False):
        raise Violation("ACW-DYN-009", "after refusals a sound image is not opened")
    bench.session.step(Read(0, _SIZE))
    bench.session.kill()
    return Outcome.OK


def _must_refuse(bench: _Bench, path: bytes, rule: str) -> None:
    storage = FileStorage.open_path(path)
    try:
        image = _target(bench).open_image(
            storage, writable=False, revision=bench.disk.revision, cache_size=bench.disk.cache_size
        )
    except (AdapterError, Interrupted):
        raise
    except (ImageError, UsageError):
        return
    except StorageError as error:
        raise Violation(rule, f"an image that breaks it is an error, and not refused: {error}") from error
    except Exception as error:
        raise Violation(rule, f"an image that breaks it ends in {error_line(error)}") from error
    finally:
        storage.close()
    with suppress(AddCowError):
        image.close()
    raise Violation(rule, "an image that breaks it is opened")


def _ends(bench: _Bench) -> Outcome:
    if not is_external(_target(bench)):
        return Outcome.SKIPPED
    target = _external(_target(bench))
    target.probe()  # the last one was killed: there has to be a process
    target.close()
    return Outcome.OK


_STEPS: dict[str, tuple[Callable[[_Bench], Outcome], Fault]] = {
    "speaks the protocol": (_speaks, Fault.ADAPTER),
    "creates": (_creates, Fault.IMPLEMENTATION),
    "opens": (_doing(Reopen(writable=False), Read(0, _SIZE), Reopen()), Fault.IMPLEMENTATION),
    "writes": (_doing(Write(_AT, _LENGTH)), Fault.IMPLEMENTATION),
    "reads back": (_doing(Read(_AT - 1000, _LENGTH + 2000), Read(_SIZE - 1, 2)), Fault.IMPLEMENTATION),
    "flushes": (_doing(Flush()), Fault.IMPLEMENTATION),
    "survives a kill": (_doing(Write(0, 1000), Kill()), Fault.IMPLEMENTATION),
    "refuses broken images": (_refuses, Fault.IMPLEMENTATION),
    "ends": (_ends, Fault.ADAPTER),
}
STEPS = ("starts", *_STEPS)


# --- images that break one rule each; None where the revision does not have it


def _with_byte(sound: bytes, at: int, byte: int) -> bytes:
    return sound[:at] + bytes([byte]) + sound[at + 1 :]


def _other_version(sound: bytes, _: Revision) -> bytes:
    return sound[:8] + bytes(2 * byte for byte in sound[8:12]) + sound[12:]


def _short_header(sound: bytes, revision: Revision) -> bytes:
    return sound[: HEADER_LENGTH[revision] - 1]


def _short_bitmap(sound: bytes, revision: Revision) -> bytes:
    return sound[: Geometry(revision, _SIZE).bitmap_end - 1]


def _unknown_feature(sound: bytes, revision: Revision) -> bytes | None:
    return _with_byte(sound, 35, 0x80) if revision is Revision.V10 else None


def _no_image_file(sound: bytes, _: Revision) -> bytes:
    return sound.replace(RAW, b"gone".ljust(len(RAW), b"!"), 1)


_DAMAGES: dict[str, Callable[[bytes, Revision], bytes | None]] = {
    "ACW-HDR-001": lambda sound, _: _with_byte(sound, 7, 0xFE),
    "ACW-HDR-002": _other_version,
    "ACW-HDR-003": _short_header,
    "ACW-BMP-001": _short_bitmap,
    "ACW-FEA-003": _unknown_feature,
    "ACW-ENV-001": _no_image_file,
}
