"""A violation made small: as little lost as still breaks the rule; and told, write by write."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from addcow_conformance.programs import PowerLoss
from addcow_spec.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from addcow_conformance.powerloss._history import History, State
    from addcow_conformance.programs import Violation

__all__ = ["smallest"]

# A file whose length is not the last, or a file and a sector that is not in its last version.
_Item: TypeAlias = tuple[str, int | None]


def smallest(
    history: History,
    state: State,
    violation: Violation,
    judge: Callable[[State], Violation | None],
) -> tuple[State, Violation]:
    """A state that breaks the same rule, and in which no single thing that is lost could be there instead.

    Args:
        history: the files and events.
        state: a state that breaks a rule.
        violation: how it does.
        judge: judges a state.
    """
    items: list[_Item] = [(name, None) for name in state.choice.lengths]
    items += [(name, at) for name, sectors in state.choice.sectors.items() for at in sectors]
    size = len(items)
    while size:
        kept, start = items, 0
        while start < len(kept):
            fewer = kept[:start] + kept[start + size :]
            found = _try(history, _only(state.choice, fewer), judge)
            if found and found[1].rule == violation.rule:
                kept, (state_, violation) = fewer, found
                state = state_
            else:
                start += size
        size = size // 2 if len(kept) == len(items) else min(size, len(kept))
        items = kept
    return state, violation


def _only(choice: PowerLoss, items: Sequence[_Item]) -> PowerLoss:
    """The choice with these of its items, and everything else in its last version."""
    lengths = {name: choice.lengths[name] for name, at in items if at is None}
    sectors: dict[str, dict[int, int]] = {}
    for name, at in items:
        if at is not None:
            sectors.setdefault(name, {})[at] = choice.sectors[name][at]
    return PowerLoss(choice.after, lengths, sectors)


def _try(
    history: History, choice: PowerLoss, judge: Callable[[State], Violation | None]
) -> tuple[State, Violation] | None:
    try:
        state = history.chosen(choice)
    except UsageError:
        # With another length the sectors have other versions.
        return None
    violation = judge(state)
    return (state, violation) if violation else None
