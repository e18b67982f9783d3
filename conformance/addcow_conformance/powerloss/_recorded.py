"""A workload on a program that is traced: what it has done to the files, and what may be found of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from addcow_conformance.powerloss._allowed import Moment, before_creation, during, settled
from addcow_conformance.powerloss._replay import Phase, Recorded, verify
from addcow_conformance.powerloss._strace import parse
from addcow_conformance.powerloss._syscalls import Tracer
from addcow_conformance.programs import IMAGE, RAW, Disk, Operation, Session
from addcow_conformance.targets import abilities_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from addcow_conformance.powerloss._logs import Logs
    from addcow_conformance.targets import Image, Target
    from addcow_ref.storage import Storage

__all__ = ["record"]


class _Noting:
    """A target, and the files as they were before anything that is traced."""

    def __init__(self, target: Target, directory: bytes) -> None:
        self.abilities = abilities_of(target)
        self.about = getattr(target, "about", None)
        self.beginning: dict[bytes, bytes | int] = {IMAGE: b""}
        self._target = target
        self._directory = directory

    def create_image(self, target: Storage, image_file: bytes, **options: Any) -> None:  # noqa: ANN401
        """See `Target.create_image`. Who cannot create images is given one, durably, by the adapter."""
        self.beginning[RAW] = self._content(RAW)
        self._target.create_image(target, image_file, **options)
        if "create" not in self.abilities:
            self.beginning[IMAGE] = self._content(IMAGE)

    def open_image(self, target: Storage, **options: Any) -> Image:  # noqa: ANN401 - the protocol's
        """See `Target.open_image`."""
        return self._target.open_image(target, **options)

    def _content(self, name: bytes) -> bytes | int:
        with open(os.path.join(self._directory, name), "rb") as file:
            status = os.fstat(file.fileno())
            return file.read() if status.st_blocks else status.st_size


def record(
    disk: Disk,
    target: Target,
    operations: Sequence[Operation],
    *,
    directory: str | bytes,
    logs: Logs,
    windows: frozenset[int],
    done: list[Operation],
) -> Recorded:
    """Run a workload.

    Args:
        disk: the image to create.
        target: the program, which is traced.
        operations: what is done.
        directory: an empty directory for the files.
        logs: the logs of the trace.
        windows: the pieces of a large disk that are compared.
        done: takes each operation when it is begun.

    Raises:
        AdapterError: the program gave no answer.
        CannotTrace: the log does not tell what it did, or is too long.
        Violation: the image is not what it must be, without any loss of power.
    """
    path = os.path.realpath(os.fsencode(directory))
    noting = _Noting(target, path)
    phases: list[Phase] = []

    def end(meanwhile: Moment) -> None:
        logs.mark()
        phases.append(Phase(0, tuple(done), meanwhile, settled(session.oracle, windows)))

    with Session(disk, cast("Target", noting), directory=path, comparing=False) as session:
        if session.image is not None:
            end(before_creation(session.oracle, windows))
        for operation in operations:
            done.append(operation)
            before = session.oracle.copy()
            if session.step(operation).outcome != "skipped":
                end(during(before, operation, windows))
        backing = session.backing.files
    lines, ends = logs.read()
    wanted = {os.path.join(path, name): (0, at) for at, name in enumerate((IMAGE, RAW, *backing))}
    contents = noting.beginning | backing
    if "create" in noting.abilities:
        del contents[IMAGE]
    lengths = {os.path.join(path, name): _length(content) for name, content in contents.items()}
    recorded = Recorded(
        noting.beginning,
        {(0, 0): IMAGE, (0, 1): RAW},
        backing,
        tuple(Tracer(path, wanted, lengths).run(parse(lines))),
        tuple(phase._replace(end=end) for phase, end in zip(phases, ends, strict=True)),
    )
    if recorded.phases:
        verify(recorded, path)
    return recorded


def _length(content: bytes | int) -> int:
    return content if isinstance(content, int) else len(content)
