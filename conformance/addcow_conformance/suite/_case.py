"""A case, and the bench that it is tried on."""

from __future__ import annotations

import os
import tempfile
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

from addcow_conformance.programs import (
    Disk,
    Operation,
    Program,
    Reopen,
    Session,
    StorageKind,
    Unsupported,
    Via,
)
from addcow_conformance.targets import abilities_of, is_external

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from addcow_conformance.suite.vectors import Vector
    from addcow_conformance.targets import Target
    from addcow_spec.model import Revision
    from addcow_spec.rules import Profile

__all__ = ["Bench", "Case", "Effort"]


class Effort(NamedTuple):
    """How hard to look where one can look for ever.

    Attributes:
        examples: programs that each model tries, 0 or more.
        seconds: seconds that each model may take.
        operations: the longest workloads whose power is cut, 0 or more.
        seed: of what is drawn by chance.
    """

    examples: int = 96
    seconds: float = 30.0
    operations: int = 1
    seed: int = 0


@dataclass(slots=True)
class Bench:
    """A target, and what a case may do with it.

    Attributes:
        name: the target's name.
        target: the target.
        load: another instance of it, run under a command if one is given.
        revision: the revision of the format to try.
        profile: by which the target is judged.
        directory: an empty directory.
        effort: how hard to look.
        choices: what the target is said to choose, by flag: ``accept`` or ``refuse``.
        observed: what it was seen to choose; cases add to it.
        program: what was run last; None where that is no program.
        prepare: called when the directory holds what the case is about, and again for each new start.
    """

    name: str
    target: Target
    load: Callable[[tuple[str, ...]], Target]
    revision: Revision
    profile: Profile
    directory: bytes
    effort: Effort = field(default_factory=Effort)
    choices: dict[str, str] = field(default_factory=dict)
    observed: dict[str, str] = field(default_factory=dict)
    program: Program | None = None
    prepare: Callable[[bytes], None] = lambda _: None

    @property
    def abilities(self) -> frozenset[str]:
        """What the target can do."""
        return abilities_of(self.target)

    @property
    def external(self) -> bool:
        """Whether it is in a process of its own."""
        return is_external(self.target)

    def need(self, *abilities: str) -> None:
        """Go no further with a target that cannot do this.

        Raises:
            Unsupported: it has not said that it can.
        """
        lacks = [ability for ability in abilities if ability not in self.abilities]
        if lacks:
            raise Unsupported(f"the target has not said {', '.join(lacks)}")

    def holders(self) -> frozenset[int]:
        """The processes that have an open image open; none of a module, which is in this one.

        Raises:
            Unsupported: a program that has it open during a request only.
        """
        found = frozenset[int](getattr(self.target, "processes", ()))
        if self.external and not found:
            raise Unsupported("no process has the image open between two requests")
        return found

    def folder(self) -> bytes:
        """A new empty directory; files started from it are what a script has to make first."""
        made = tempfile.mkdtemp(dir=self.directory)
        self.prepare(made)
        return made

    def run(self, disk: Disk, operations: Sequence[Operation]) -> None:
        """Run a program beside the oracle; in memory where the target is a module, and needs no paths.

        Raises:
            Violation: it breaks a rule.
            Unsupported: the target does none of the operations that matter.
        """
        paths = any(isinstance(each, Reopen) and each.via is not Via.PATH for each in operations)
        kind = StorageKind.FILES if self.external or paths else StorageKind.MEMORY
        self.program = Program(disk, tuple(operations), kind)
        folder = self.folder() if kind is StorageKind.FILES else None
        with Session(disk, self.target, directory=folder) as session:
            session.run(operations)
            if session.skipped:
                raise Unsupported(f"the target does not take {', '.join(session.skipped)}")

    @contextmanager
    def another(self, *under: str) -> Iterator[Target]:
        """Another instance of the target, which ends with the block."""
        target = self.load(under)
        ended = target if isinstance(target, AbstractContextManager) else nullcontext()
        with cast("AbstractContextManager[object]", ended):
            yield target

    @contextmanager
    def inside(self, directory: bytes) -> Iterator[None]:
        """Have a working directory."""
        before = os.open(b".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.chdir(directory)
            yield
        finally:
            os.fchdir(before)
            os.close(before)


class Case(NamedTuple):
    """Something to try.

    Attributes:
        rule: the rule that it is about.
        revision: the revision of the format.
        slug: what tells it from other cases of both.
        title: what is tried, in a line.
        check: tries it; what it raises is what became of it.
        program: the program that is run, None where that is not all.
        vector: the vector that is opened, None where none is.
    """

    rule: str
    revision: Revision
    slug: str
    title: str
    check: Callable[[Bench], None]
    program: Program | None = None
    vector: Vector | None = None

    @property
    def id(self) -> str:
        """Its name, which stays."""
        return f"{self.rule}/{self.revision}/{self.slug}"
