"""What a run of a machine has reached: how often each of the states that matter."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from addcow_conformance.reach._moment import Before, Moment, Past
from addcow_conformance.reach._states import BEGINNINGS, STATES

if TYPE_CHECKING:
    from addcow_conformance.programs import Operation, Result, Session, StorageKind
    from addcow_spec.model import Revision

__all__ = ["Reach", "states"]

_BY_OPERATION: dict[type[Operation], tuple[str, ...]] = {
    kind: tuple(name for name, state in STATES.items() if kind in state.on)
    for kind in {kind for state in STATES.values() for kind in state.on}
}


def states(storage: StorageKind) -> list[str]:
    """The names of the states that files in a storage can come to, whatever the revision."""
    return [name for name, state in (STATES | BEGINNINGS).items() if storage in state.storages]


class Reach:
    """Counts states.

    Attributes:
        counts: how often each state was reached, by its name.
        steps: number of steps.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.steps = 0
        self._past = Past()
        self._before: Before

    def begin(self, session: Session) -> list[str]:
        """A disk was made. Returns the states that it is in."""
        self._past = Past()
        return self._count([name for name, state in BEGINNINGS.items() if state.test(session)])

    def before(self, session: Session) -> None:
        """A step is about to be made."""
        oracle = session.oracle
        self._before = Before(oracle.size, oracle.must_be_set, session.writable, session.image is not None)

    def after(self, session: Session, operation: Operation, result: Result) -> list[str]:
        """A step was made. Returns the states that it led to."""
        moment = Moment(session, operation, result, self._before, self._past)
        names = _BY_OPERATION.get(type(operation), ()) if result.outcome != "skipped" else ()
        found = [name for name in names if STATES[name].test(moment)]
        self._past.learn(moment)
        self.steps += 1
        return self._count(found)

    def _count(self, names: list[str]) -> list[str]:
        self.counts.update(names)
        return names

    def missing(
        self, revision: Revision, storage: StorageKind, *, floors: bool = False
    ) -> dict[str, tuple[int, int]]:
        """The states that were not reached often enough: how often they were, and had to be.

        Args:
            revision: the revision that was tried.
            storage: where the files lay.
            floors: whether the floors of campaigns hold; else once is enough.
        """
        wanted = {
            name: max(int(state.floor * self.steps / 10_000), 1) if floors else 1
            for name, state in (STATES | BEGINNINGS).items()
            if revision in state.revisions and storage in state.storages
        }
        return {name: (self.counts[name], n) for name, n in wanted.items() if self.counts[name] < n}
