"""Checking many images: which ones, by which workers, and with which exit status."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.checker import (
    CheckOptions,
    Report,
    Verdict,
    check_image,
    has_magic,
)
from addcow_spec.errors import StorageError
from addcow_spec.rules import Repair, Severity
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from addcow_conformance._executor import Workers

__all__ = ["FAILED", "FOREIGN", "Job", "check_all", "exit_status", "find_images", "worst"]

FAILED, FOUND, FOREIGN, CLEAN = 1, 2, 63, 0

# Images that a worker takes at a time, at most.
_AT_ONCE = 16


def exit_status(report: Report, fail_on: Severity) -> int:
    """The exit status for one image: 0, 1, 2 or 63."""
    if report.verdict is Verdict.UNKNOWN:
        return FAILED
    if report.verdict is Verdict.NOT_ADD_COW:
        return FOREIGN
    levels = list(Severity)
    failing = levels[: levels.index(fail_on) + 1]
    return FOUND if any(report.counts.get(level) for level in failing) else CLEAN


def worst(statuses: Iterable[int]) -> int:
    """The exit status for several images, given those of each."""
    seen = set(statuses)
    return next((status for status in (FAILED, FOUND, FOREIGN) if status in seen), CLEAN)


class Job(NamedTuple):
    """What to do with each image; can be sent to another process.

    Attributes:
        options: how to check.
        repair: how far to mend, ``Repair.NONE`` to leave every byte alone.
        dry_run: whether a repair only says what it would do.
    """

    options: CheckOptions
    repair: Repair = Repair.NONE
    dry_run: bool = False

    def __call__(self, path: bytes, progress: Callable[[int, int], None] | None = None) -> Report:
        """Check or mend one image; an exception that nobody expected gives the verdict unknown."""
        if os.path.isdir(path):
            return self.failed(path, f"{printable(path)} is a directory: -r checks every image below it")
        try:
            if self.repair is Repair.NONE:
                return check_image(path, self.options, progress=progress)
            from addcow_conformance.checker.repair import repair_image  # noqa: PLC0415 - most runs mend nothing

            return repair_image(path, self.options, mode=self.repair, dry_run=self.dry_run, progress=progress)
        except Exception as error:  # noqa: BLE001 - a bug of ours must neither pass for a verdict nor end a batch
            return self.failed(path, f"internal error: {type(error).__name__}: {error}")

    def failed(self, path: bytes, problem: str) -> Report:
        """The report of an image that could not be checked."""
        return Report(filename=path, profile=self.options.profile, problem=problem)


def find_images(paths: Sequence[bytes], job: Job, *, recursive: bool) -> Iterator[bytes | Report]:
    """The images to check: each path as it is, or with ``recursive`` every add-cow image below a directory.

    Symbolic links below a directory are not followed. What cannot be looked into gives a report that says so.
    """
    for path in paths:
        if recursive and os.path.isdir(path):
            yield from _below(path, job)
        else:
            yield path


def _below(directory: bytes, job: Job) -> Iterator[bytes | Report]:
    # A stack of our own: os.walk recurses, and a tree may be deeper than Python's stack.
    waiting = [directory]
    while waiting:
        parent = waiting.pop()
        try:
            with os.scandir(parent) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield job.failed(parent, f"{printable(parent)}: {os.strerror(error.errno or 0)}")
            continue
        waiting += [entry.path for entry in reversed(found) if entry.is_dir(follow_symlinks=False)]
        for entry in found:
            if not entry.is_file(follow_symlinks=False):
                continue
            try:
                if has_magic(entry.path):
                    yield entry.path
            except StorageError as error:
                yield job.failed(entry.path, str(error))


def check_all(images: Sequence[bytes | Report], job: Job, workers: Workers | None = None) -> Iterator[Report]:
    """Run ``job`` on each image, in order; reports among the images pass through.

    Args:
        images: paths, and reports of what could not be looked into.
        job: what to do.
        workers: who works at it; None for this process alone.
    """
    if workers is None:
        yield from map(partial(_step, job), images)
        return
    from addcow_conformance._spread import spread  # noqa: PLC0415 - slow to import, and for workers only

    size = max(1, min(_AT_ONCE, len(images) // (workers.width * 4)))
    yield from spread(partial(_steps, job), images, workers, size=size, lost=partial(_lost, job))


def _step(job: Job, image: bytes | Report) -> Report:
    return image if isinstance(image, Report) else job(image)


def _steps(job: Job, images: Sequence[bytes | Report]) -> list[Report]:
    return [_step(job, image) for image in images]


def _lost(job: Job, image: bytes | Report, error: Exception) -> Report:
    """The report of an image that no worker came to the end of."""
    if isinstance(image, Report):
        return image
    late = isinstance(error, TimeoutError)
    return job.failed(image, f"{printable(image)}: {error if late else 'the process that checked it died'}")
