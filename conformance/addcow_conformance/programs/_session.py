"""Running a program: each operation is done to the image and to the oracle, and the two are compared.

A session owns the files of one program. Between two operations the image is compared with the oracle in every
way that there is (`_compare.py`); the first difference is a `Violation`, which names the rule that is broken.
An operation may fail where a storage call was made to fail, and nowhere else.
"""

from __future__ import annotations

import errno
from collections import Counter
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from addcow_conformance.checker import Verdict
from addcow_conformance.programs._abilities import check_disk, lacking
from addcow_conformance.programs._backing import BackingFiles, make_backing
from addcow_conformance.programs._compare import compare, windows_of
from addcow_conformance.programs._disks import Disks
from addcow_conformance.programs._files import IMAGE, RAW, DirectoryFiles, Files, InMemoryFiles
from addcow_conformance.programs._known import Known
from addcow_conformance.programs._program import (
    BackingKind,
    Disk,
    Fault,
    Flush,
    Kill,
    Operation,
    Reopen,
    Resize,
    Stream,
    Via,
)
from addcow_conformance.programs._steps import RULES, STEPS
from addcow_conformance.programs._violation import Violation, any_error_is, refused
from addcow_conformance.programs._watch import Call, Watch, WatchedStorage
from addcow_conformance.targets import abilities_of
from addcow_ref.testing import Fault as ArmedFault
from addcow_ref.testing import FaultPlan, FaultyStorage, RecordingStorage
from addcow_ref.testing import Operation as Failing
from addcow_spec.errors import AdapterError, AddCowError, StorageError, UsageError
from addcow_spec.geometry import SECTOR_SIZE
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from addcow_conformance.targets import ExternalImage, Image, Target
    from addcow_ref.storage import Storage
    from addcow_ref.testing import Event

__all__ = ["Result", "Session"]

# Beyond this an image file is a hole, whatever its fill.
_FILLED = 64 << 20
# A new image of so many bytes is kept for others.
_KEPT = 64 << 10


class Result(NamedTuple):
    """What became of an operation.

    Attributes:
        outcome: ``done``, ``failed`` by a fault, ``refused`` as it should be, or ``skipped``, as no image is
            open or the target does not take such operations.
        changes: storage calls that change files, and syncs.
        struck: whether a storage call was made to fail.
    """

    outcome: str
    changes: tuple[Call, ...] = ()
    struck: bool = False


def _durable(operation: Operation) -> bool:
    """Whether what an operation did is durable when it has returned."""
    return isinstance(operation, Flush | Reopen | Resize | Stream) or getattr(operation, "fua", False)


class Session:
    """A disk of an implementation, and what it must be.

    Args:
        disk: the image to create.
        target: the implementation.
        directory: an empty directory for the files; None to keep them in memory, where no other process is.
        log: takes what is written to the files, from the image's creation on; None for no log.
        comparing: see the attribute; for the creation, too.
        known: what other sessions know of this disk of this implementation, and takes what this one learns.

    Attributes:
        oracle: what the disk must be; where there is a log, with what a resize that failed may have left.
        image: the opened image; None where opening failed, or a disk of this size cannot be.
        writable: whether it was opened for writing.
        files: the files.
        backing: what is below.
        watch: what is written to the files.
        comparing: whether the image is compared after each operation. Without, it is compared only after a
            kill, as what is read then is certain from then on. The owner may change it between operations.
        checked: whether the files are as they were when they were compared last.
        known: see above.
        waited: whether in the last race the second request had to wait for the first.
        tail: whether a resize that failed may have left bits after the bitmap; the owner of a step sets it.
        abilities: what the target can do; see `targets.abilities_of`.
        external: whether it is in a process of its own, and what it does to files is not seen.
        skipped: how many operations of each kind were not done, as the target does not take them.

    Raises:
        AdapterError: a target in a process of its own gave no answer; so may every operation.
        UsageError: the target has no such disks, or is a process and there is no directory.
        Violation: the image was not created as it must be.
    """

    def __init__(
        self,
        disk: Disk,
        target: Target,
        *,
        directory: str | bytes | None = None,
        log: list[Event] | None = None,
        comparing: bool = True,
        known: Known | None = None,
    ) -> None:
        self.disk = disk
        self.target = target
        self.abilities = abilities_of(target)
        self.external = "storage" not in self.abilities
        self.skipped: Counter[str] = Counter()
        check_disk(disk, target, in_files=directory is not None)
        self.files: Files = InMemoryFiles() if directory is None else DirectoryFiles(directory)
        self.backing = make_backing(disk.backing) if disk.backing else BackingFiles(b"", {}, b"")
        data = self.backing.data if disk.backing else None
        told_twice = disk.revision is not Revision.V10
        self.oracle = Disks(disk.size, data, disk.unit_size, told_twice=told_twice)
        self.image: Image | None = None
        self.writable = True
        self.waited = False
        self.checked = False
        self.tail = False
        self.known = known or Known()
        self.touched: set[int] = set()
        self.watch = Watch()
        self.plan = FaultPlan(counting=False)
        self.plan.grain = SECTOR_SIZE
        self._log = log
        self.comparing = comparing
        self._fault: Fault | None = None
        self._armed: ArmedFault | None = None
        # Whether a call failed, and whether a sync did, since the image was opened.
        self._wounded = self._lost = False
        self._put_files()
        with any_error_is("ACW-DYN-010"):
            self._create()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with suppress(AdapterError) if kind else nullcontext():
            self.kill()

    def kill(self) -> None:
        """End the image without a flush, as a process that is killed.

        Raises:
            AdapterError: the process had ended before.
        """
        image, self.image = self.image, None
        self.watch.close_all()
        if self.external and image is not None:
            cast("ExternalImage", image).kill()

    @property
    def logging(self) -> bool:
        """Whether there is a log, so that power may be lost."""
        return self._log is not None

    @property
    def warnings(self) -> frozenset[str]:
        """Rules that the checker warns of, whatever an implementation does."""
        found = set()
        kind, below = self.disk.backing.kind if self.disk.backing else None, len(self.backing.data)
        if kind in {BackingKind.QCOW2, BackingKind.CHAIN}:
            found.add("ACW-CHN-003")
        odd = [self.oracle.size] if self.disk.revision is Revision.V10 else []
        if any(size % SECTOR_SIZE for size in (*odd, below if kind is BackingKind.CHAIN else 0)):
            found.add("ACW-SIZ-004")
        return frozenset(found | {"ACW-BMP-003"} if self.tail else found)

    # --- making and opening

    def _put_files(self) -> None:
        for name, data in self.backing.files.items():
            self.files.create(name, data).close()
        filled = self.disk.fill and self.disk.size <= _FILLED
        raw = self.files.create(RAW, bytes([self.disk.fill]) * self.disk.size if filled else b"")
        raw.truncate(self.disk.size)
        raw.close()

    def _create(self) -> None:
        if not self._create_as_known():
            before = len(self._log or ())
            if not self._write_image():
                return
            if self.files.private and self.files.length(IMAGE) <= _KEPT:
                self.known.created = self.files.get(IMAGE)
                self.known.creation = None if self._log is None else tuple(self._log[before:])
        self._open_created()
        if self.comparing:
            compare(self, "ACW-DYN-001")

    def _create_as_known(self) -> bool:
        """Make a new image as another session has; whether it is known how."""
        known, log = self.known, self._log
        if not self.files.private or known.created is None or (known.creation is None and log is not None):
            return False
        file = self.files.create(IMAGE, known.created)
        if log is not None:
            log.extend(replace(event, file=file.identity) for event in known.creation or ())
        file.close()
        return True

    def _write_image(self) -> bool:
        """Let the target create the image; whether there is one, as a disk of this size may not be."""
        backing = self.disk.backing
        stated = backing and backing.kind is BackingKind.RAW and self.disk.revision is Revision.V10
        file = self._wrapped(self.files.create(IMAGE))
        refusal = None
        try:
            self.target.create_image(
                file,
                RAW,
                backing_file=self.backing.name or None,
                backing_format="raw" if stated else None,
                revision=self.disk.revision,
            )
        except UsageError as error:
            refusal = error
        except AdapterError:
            raise
        except Exception as error:
            raise refused("ACW-DYN-010", "creating fails", error) from error
        file.close()
        length = self.files.length(IMAGE)
        for change in self.watch.changes:
            if change.name != IMAGE:
                raise Violation("ACW-DYN-010", f"creating writes to another file: {change}")
        if refusal is not None:
            self._judge_refusal(refusal, length)
            return False
        if self.odd(self.disk.size):
            raise Violation("ACW-DYN-010", "an odd size is taken")
        return True

    def _judge_refusal(self, refusal: UsageError, length: int) -> None:
        """Judge that no image was created, and so many bytes are there."""
        if not self.odd(self.disk.size):
            raise refused("ACW-DYN-010", "creating is refused", refusal) from refusal
        if not self.names(refusal, "ACW-SIZ-007") or length:
            raise Violation("ACW-DYN-010", f"refused by {refusal.rule or 'no rule'}, {length} bytes are left")

    def _open_created(self) -> None:
        """Open a new image; where it is refused, and is not sound, who created it is to blame."""
        try:
            self.open(writable=True)
        except Violation as violation:
            report = self.files.check(self.disk.revision)
            if report.verdict not in {Verdict.INVALID, Verdict.NOT_ADD_COW}:
                raise
            broken = ", ".join(report.rule_counts)
            detail = f"what is created breaks {broken}; {violation.detail}"
            raise Violation("ACW-DYN-010", detail, otherwise=violation.rule) from violation.__cause__

    def names(self, refusal: UsageError, rule: str) -> bool:
        """Whether a refusal names the rule; another process need not know it."""
        return refusal.rule == rule or (self.external and not refusal.rule)

    def odd(self, size: int) -> bool:
        """Whether a disk of the revision cannot have this size (ACW-SIZ-007)."""
        return self.disk.revision is not Revision.V10 and bool(size % SECTOR_SIZE)

    def _wrapped(self, storage: Storage) -> Storage:
        # The log is of what is done to the files: of a call that fails, the part before the failure.
        recorded = storage if self._log is None else RecordingStorage(storage, self._log)
        return FaultyStorage(WatchedStorage(recorded, self.watch, IMAGE), self.plan)

    def open(self, *, writable: bool, via: Via = Via.PATH) -> bool:
        """Open the image anew; whether it could be, as a fault may keep it from being opened.

        Raises:
            Violation: it is refused without one (ACW-DYN-009).
        """
        writable = writable and "write" in self.abilities
        self.image, self.writable, before = None, writable, self.struck
        file = self._wrapped(self.files.open(IMAGE, writable=writable, via=via))
        try:
            with self.files.inside(via) if self.external else nullcontext():
                self.image = self.target.open_image(
                    file, writable=writable, revision=self.disk.revision, cache_size=self.disk.cache_size
                )
        except AdapterError:
            raise
        except Exception as error:
            left = self.watch.opened
            self.watch.close_all()
            if before or not self.struck or not isinstance(error, AddCowError):
                raise refused("ACW-DYN-009", "an image that must be sound is refused", error) from error
            if left:
                raise Violation("ACW-DYN-009", f"{left} files are open after a refusal") from error
            return False
        self._wounded = self.struck and not before
        self._lost = False
        return True

    # --- operations

    def run(self, operations: Iterable[Operation]) -> None:
        """Do operations one after the other; see `step`."""
        for operation in operations:
            self.step(operation)

    def step(self, operation: Operation) -> Result:
        """Do one operation, and compare.

        Raises:
            AdapterError: the target gave no answer.
            Violation: the image is not what it must be.
        """
        if lacking(operation, self.abilities):
            self.skipped[type(operation).__name__.lower()] += 1
            return Result("skipped")
        if isinstance(operation, Fault):
            self._fault = operation
            return Result("done")
        if self.odd(self.disk.size) or (self.image is None and not isinstance(operation, Reopen | Kill)):
            return Result("skipped")
        self.touched |= windows_of(operation)
        self.watch.changes.clear()
        rule = RULES[type(operation)]
        with any_error_is(rule):
            result = self._do(operation)
            if self.comparing or isinstance(operation, Kill):
                compare(self, rule, operation, result)
            return result

    def _do(self, operation: Operation) -> Result:
        lost, writable, reopening = self._lost, self.writable, isinstance(operation, Reopen | Kill)
        self._arm()
        try:
            outcome = STEPS[type(operation)](self, operation)
            result = Result(outcome, tuple(self.watch.changes), self.struck)
            hit = self._armed.hit if self._armed else None
        finally:
            self._wounded = self._wounded or (self.struck and not reopening)
            if self._armed:
                self.plan.disarm()
            self._armed = self._fault = None
        self._lost = self._lost or (hit is Failing.SYNC and not reopening)
        if outcome == "done" and hit is Failing.LOCK and reopening:
            raise Violation("ACW-DYN-014", "an image is opened that could not be locked")
        unsure = hit is Failing.SYNC or (lost and not reopening)
        if outcome == "done" and writable and unsure and _durable(operation):
            raise Violation("ACW-DYN-005", f"{operation} returns, and a sync has failed")
        return result

    def _arm(self) -> None:
        fault = self._fault
        if fault:
            code = fault.code if fault.code in errno.errorcode else errno.EIO
            self._armed = self.plan.arm(None, after=fault.after, times=1, code=code, partial=fault.partial)

    @property
    def struck(self) -> bool:
        """Whether the fault that is armed has struck."""
        return self._armed is not None and self._armed.times == 0

    def attempt(self, rule: str, call: Callable[[Image], Any]) -> Any:  # noqa: ANN401 - the call's own
        """The result of a request, or the UsageError or StorageError that it ended in.

        Raises:
            Violation: it failed, and no storage call did since the image was opened.
        """
        if self.image is None:
            raise AssertionError("a step that needs an image was not skipped")
        try:
            return call(self.image)
        except UsageError as error:
            return error
        except StorageError as error:
            if not (self._wounded or self.struck):
                raise Violation(rule, f"it fails, and no storage call has failed: {error}") from error
            return error
