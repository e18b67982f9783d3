"""From a log of writes to what a loss of power may leave of the files.

The model of a disk and its file system, for buffered writes:

- A *sector* of 512 bytes is on disk whole, in its durable version or in any later one, whatever its
  neighbours do: so any subset of the writes may be there, and each may be torn.
- The *length* of a file is durable in the order in which it changed: any prefix of the changes may be there.
  A write that made the file longer may be there without its length, which hides what lies beyond; or its
  length without the write, which shows zeros.
- A cut that is durable has wiped what it cut off. Of one that is not, only the zeros may be there that fill
  the last block of 4,096 bytes up to its end.
- A sync makes all that came before it in its own file durable. Two files have no order between them.

Every state that the sectors and lengths can be in is a *choice* of one version each. Where there are no more
than a bound, all are tried; else those at the corners, and some drawn by chance.
"""

from __future__ import annotations

from itertools import compress, islice, product
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.powerloss._pending import (
    Choice,
    Option,
    PendingFile,
    describe,
    fate,
)
from addcow_conformance.programs import PowerLoss
from addcow_ref.testing import SyncEvent
from addcow_spec.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from random import Random

    from addcow_ref.storage import Identity, Storage
    from addcow_ref.testing import Event

__all__ = ["History", "State"]

# How often a state that is drawn has the writes of each file in their order.
_IN_ORDER = 0.25
_AS_NUMBERS = bytes.maketrans(b"01", b"\0\1")


class State(NamedTuple):
    """What a loss of power leaves.

    Attributes:
        events: number of events that had happened.
        files: what was chosen for each file, by name.
    """

    events: int
    files: dict[bytes, Choice]

    def key(self, name: bytes) -> int:
        """A number that is equal for equal bytes of a file."""
        option, behind = self.files[name]
        return option.key(behind)

    @property
    def choice(self) -> PowerLoss:
        """What was chosen, to be told."""
        files = {name.decode(): choice for name, choice in self.files.items()}
        return PowerLoss(
            self.events,
            {name: option.number for name, (option, _) in files.items() if not option.is_last},
            {name: behind for name, (_, behind) in files.items() if behind},
        )


class History:
    """Files and what is written to them, event by event.

    Args:
        files: the files that may be written, and their bytes in the beginning, which are durable; of a file
            that is one hole its length is enough.
        names: the names of the files that events tell of.
    """

    def __init__(self, files: Mapping[bytes, bytes | int], names: Mapping[Identity, bytes]) -> None:
        self._files = {name: PendingFile(data) for name, data in files.items()}
        self._names = names
        self._log: list[tuple[bytes, Event]] = []

    def add(self, event: Event) -> None:
        """An event has happened."""
        name = self._names[event.file]
        self._log.append((name, event))
        self._files[name].add(event)

    @property
    def events(self) -> int:
        """Number of events so far."""
        return len(self._log)

    def put(self, name: bytes, state: State, storage: Storage) -> None:
        """Give an empty file the bytes that a file has in a state."""
        self._files[name].put(state.files[name], storage)

    def total(self) -> int:
        """The number of choices that there are now."""
        return prod(sum(option.total for option in file.options()) for file in self._files.values())

    def states(self, *, bound: int, samples: int, random: Random) -> Iterator[State]:
        """States that a loss of power may leave now; some choices may give the same.

        Args:
            bound: up to this many choices all are tried.
            samples: how many are tried where there are more.
            random: draws them.
        """
        options = [file.options() for file in self._files.values()]
        if prod(sum(option.total for option in found) for found in options) <= bound:
            yield from map(self._state, product(*map(_every_choice, options)))
        else:
            yield from map(self._state, islice(_some_choices(list(self._files.values()), random), samples))

    def draw(self, random: Random) -> State:
        """One state that a loss of power may leave now: a prefix of the writes of each file, or any other."""
        files, in_order = self._files.values(), random.random() < _IN_ORDER
        choices = (
            file.prefix(random.randrange(-1, file.pending))
            if in_order
            else _drawn(random.choice(file.options()), random)
            for file in files
        )
        return self._state(tuple(choices))

    def chosen(self, choice: PowerLoss) -> State:
        """The state of a choice that was told.

        Raises:
            UsageError: there is no such choice.
        """
        return self._state(self._choices(choice))

    def tell(self, choice: PowerLoss) -> tuple[str, ...]:
        """Every event in order, and what became of it, in a line each.

        Raises:
            UsageError: there is no such choice.
        """
        chosen = dict(zip(self._files, self._choices(choice), strict=True))
        synced = {name: self._last_sync(name) for name in self._files}
        steps = dict.fromkeys(self._files, 0)
        lines = []
        for number, (name, event) in enumerate(self._log):
            line = describe(event, name.decode())
            if number > synced[name]:
                line += f": {fate(event, steps[name], chosen[name])}"
                steps[name] += 1
            elif not isinstance(event, SyncEvent):
                line += ": durable"
            lines.append(line)
        for name, (option, _) in chosen.items():
            if not option.is_last:
                lines.append(f"the length of {name.decode()} is {option.length}")
        return tuple(lines)

    def _last_sync(self, name: bytes) -> int:
        syncs = (at for at, (own, e) in enumerate(self._log) if own == name and isinstance(e, SyncEvent))
        return max(syncs, default=-1)

    def _choices(self, choice: PowerLoss) -> tuple[Choice, ...]:
        chosen: list[Choice] = []
        for name, file in self._files.items():
            options, text = file.options(), name.decode()
            number, early = choice.lengths.get(text, len(options) - 1), choice.sectors.get(text, {})
            if number >= len(options):
                raise UsageError(f"power loss: {text} has {len(options)} lengths")
            option = options[number]
            if any(
                at not in option.several or index >= len(option.several[at]) for at, index in early.items()
            ):
                raise UsageError(f"power loss: {text} has no such versions of its sectors")
            chosen.append(Choice(option, early))
        return tuple(chosen)

    def _state(self, chosen: tuple[Choice, ...]) -> State:
        return State(self.events, dict(zip(self._files, chosen, strict=True)))


def _every_choice(options: list[Option]) -> Iterator[Choice]:
    for option in options:
        newest = {at: len(versions) - 1 for at, versions in option.several.items()}
        for picks in product(*(range(len(versions)) for versions in option.several.values())):
            behind = zip(option.several, picks, strict=True)
            yield Choice(option, {at: index for at, index in behind if index != newest[at]})


def _some_choices(files: list[PendingFile], random: Random) -> Iterator[tuple[Choice, ...]]:
    """Choices without end.

    First nothing and everything of each file, then each file in the order of its writes; then by chance, for
    each file a length and a share of the sectors that are behind.
    """
    ends = [(file.prefix(-1), file.prefix(file.pending - 1)) for file in files]
    yield from product(*ends)
    for number, file in enumerate(files):
        for step in range(file.pending - 1):
            yield from product(*ends[:number], (file.prefix(step),), *ends[number + 1 :])
    while True:
        yield tuple(_drawn(random.choice(file.options()), random) for file in files)


def _drawn(option: Option, random: Random) -> Choice:
    """A few of the sectors are behind, half of them, or all but a few."""
    number = len(option.several) or 1
    few = random.getrandbits(number)
    for _ in range(4):
        few &= random.getrandbits(number)
    mask = random.choice((few, random.getrandbits(number), ~few & (1 << number) - 1))
    # As a row of bytes, that none of the many sectors has to be looked at here.
    behind = dict.fromkeys(compress(option.several, f"{mask:b}"[::-1].encode().translate(_AS_NUMBERS)), 0)
    for at in filter(behind.__contains__, option.deep):
        behind[at] = int(random.random() * (len(option.several[at]) - 1))
    return Choice(option, behind)
