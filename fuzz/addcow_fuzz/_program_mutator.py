"""Changes of programs that keep them programs: operations are moved whole, and numbers lie near edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_conformance.programs import Fault, Flush, Kill, Race, Read, Reopen, Resize, Stream, Write, Zeroes
from addcow_fuzz._dice import dice_of
from addcow_fuzz._programs import (
    EDGES,
    HEAD,
    KINDS,
    OPERATIONS,
    REACHES,
    RECORD,
    Flag,
    Head,
    Record,
    join,
    split,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from addcow_conformance.programs import Operation

__all__ = ["custom_crossover", "custom_mutator"]

# Distances from an edge: sectors, units of v4 and v6 and of v10, and what is a little more or less.
_NEAR = (0, 0, 0, -1, 1, 511, 512, -512, 513, 700, -700, 1024, -4096, 4096, 32768, -65536, 65536, 66248)
# Disks of some units, or of a little more than a page of bits: edge, and distance from it.
_DISKS = ((1, 0), (2, 0), (2, -512), (6, 0), (6, 512), (0, 512), (0, 4096), (1, 700), (7, 0), (7, 1536))
_LARGE = (10, 1024)
_BELOWS = ((2, 0), (2, -1), (8, 300), (0, 700), (1, 0), (2, 3000), (0, 0))
# Half of the ranges are short, and the others reach some edge: what is long takes long.
_REACHES = (*[0] * (len(REACHES) - 1), *range(1, len(REACHES)))
_FAULTS = ((5, 0), (28, 512), (5, 5000), (28, 70000))

# Kinds of operations as often as they are worth it: a race costs as much as ten others.
_OFTEN: dict[type[Operation], int] = {
    Write: 24, Zeroes: 10, Read: 10, Flush: 8, Stream: 6, Reopen: 6, Kill: 4, Resize: 8, Fault: 10, Race: 1
}  # fmt: skip
_KINDS, _WEIGHTS = [KINDS.index(kind) for kind in _OFTEN], list(_OFTEN.values())
_STREAM, _FAULT, _RACE = map(KINDS.index, (Stream, Fault, Race))
_REQUESTS = [KINDS.index(kind) for kind in (Write, Write, Zeroes, Read, Flush, Stream)]


def custom_mutator(data: bytes, max_size: int, seed: int) -> bytes:
    """A program that differs a little from another, in at most ``max_size`` bytes; see libFuzzer."""
    random = dice_of(seed)
    head, records = split(data)
    if not data:
        head, records = _head(random), _some(random)
    for _ in range(random.choice((1, 1, 2, 3, 5))):
        if random.random() < _ABOUT_THE_HEAD:
            head = _other_head(head, random)
        else:
            records = random.choice(_CHANGES)(records, random)
    return _fitted(head, records, max_size)


def custom_crossover(data1: bytes, data2: bytes, max_size: int, seed: int) -> bytes:
    """The disk of one program, and operations of both, in at most ``max_size`` bytes; see libFuzzer."""
    random = dice_of(seed)
    (head, one), (other_head, two) = split(data1), split(data2)
    at, start = random.randint(0, len(one)), random.randint(0, len(two))
    stop = random.randint(start, len(two))
    # Seldom all of both: programs soon were as long as can be, which takes long and reaches no more.
    rest = one[at:] if random.random() < 0.25 else []
    return _fitted(random.choice((head, other_head)), one[:at] + two[start:stop] + rest, max_size)


def _fitted(head: Head, records: list[Record], max_size: int) -> bytes:
    room = max((max_size - HEAD.size) // RECORD.size, 0)
    return join(head, records[: min(room, OPERATIONS)])[:max_size]


# --- the head

_ABOUT_THE_HEAD = 0.15


def _head(random: Random) -> Head:
    revision, large = random.randrange(3), random.random() < 1 / 32
    size_edge, size = _LARGE if large else random.choice(_DISKS)
    below_edge, below = random.choice(_BELOWS)
    return Head(
        flags=random.choice((0, 0, 0, Flag.LOSS, Flag.LOSS, Flag.EACH)),
        revision=revision,
        size_edge=size_edge,
        size=size % (1 << 32),
        backing=random.randrange(4),
        below_edge=below_edge,
        below=below % (1 << 32),
        fill=random.choice((0, 0xDD)),
        moment=random.choice((0, 0, random.randrange(12))),
        seed=random.randrange(1 << 16),
    )


def _other_head(head: Head, random: Random) -> Head:
    """One thing of it is another: the disk's size, what is below, the end, ..."""
    drawn = _head(random)
    names = random.choice(
        (
            ("flags",),
            ("revision",),
            ("size_edge", "size"),
            ("backing", "below_edge", "below"),
            ("fill",),
            ("moment", "seed"),
            ("seed",),
        )
    )
    return head._replace(**{name: getattr(drawn, name) for name in names})


# --- records


def _record(random: Random, kind: int | None = None) -> Record:
    kind = random.choices(_KINDS, _WEIGHTS)[0] if kind is None else kind
    if kind == _FAULT:
        code, partial = random.choice(_FAULTS)
        return Record(kind, 0, code, number=random.choice((0, 1, 2, 3, random.randrange(24))), extent=partial)
    beyond = Flag.AS_IT_IS if random.random() < 1 / 16 else 0
    return Record(
        kind,
        # Half of the streams stop, as there is little left to try on a disk whose bits are all set; and an
        # image that is open for reading refuses nearly everything.
        beyond | random.choices((0, 1, 2, 3, 9, 17), (2, 8, 3, 2, 1, 1))[0],
        random.randrange(4) if kind in {_STREAM, _RACE} else random.choice((7, random.randrange(20, 256))),
        random.randrange(len(EDGES) - 1 if random.random() < 0.9 else len(EDGES)),
        random.choice(_NEAR) % (1 << 32),
        random.choice(_REACHES),
        random.choice(_NEAR) % (1 << 32),
    )


def _some(random: Random) -> list[Record]:
    """Some operations; after a race there are two requests."""
    found: list[Record] = []
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        found.append(_record(random))
        if found[-1].kind == _RACE:
            found += [_record(random, random.choice(_REQUESTS)) for _ in range(2)]
    return found


def _insert(records: list[Record], random: Random) -> list[Record]:
    at = random.randint(0, len(records))
    return records[:at] + _some(random) + records[at:]


def _slice(records: list[Record], random: Random) -> tuple[int, int]:
    start = random.randint(0, len(records))
    return start, min(start + random.choice((1, 1, 2, 4)), len(records))


def _delete(records: list[Record], random: Random) -> list[Record]:
    start, stop = _slice(records, random)
    return records[:start] + records[stop:]


def _duplicate(records: list[Record], random: Random) -> list[Record]:
    (start, stop), at = _slice(records, random), random.randint(0, len(records))
    return records[:at] + records[start:stop] + records[at:]


def _swap(records: list[Record], random: Random) -> list[Record]:
    changed = list(records)
    if changed:
        one, two = random.randrange(len(changed)), random.randrange(len(changed))
        changed[one], changed[two] = changed[two], changed[one]
    return changed


def _change(records: list[Record], random: Random) -> list[Record]:
    """One field of a record is another, as a new record of the same kind might have it."""
    if not records:
        return _some(random)
    at = random.randrange(len(records))
    drawn, name = _record(random, records[at].kind % len(KINDS)), random.choice(Record._fields[1:])
    changed = records[at]._replace(**{name: getattr(drawn, name)})
    return [*records[:at], changed, *records[at + 1 :]]


def _beside(records: list[Record], random: Random) -> list[Record]:
    """A number of a record is a little larger or smaller."""
    if not records:
        return _some(random)
    at, name = random.randrange(len(records)), random.choice(("number", "extent", "small"))
    room = 1 << (16 if name == "small" else 32)
    number = (getattr(records[at], name) + random.choice((-1, 1, -512, 512))) % room
    return [*records[:at], records[at]._replace(**{name: number}), *records[at + 1 :]]


_CHANGES: tuple[Callable[[list[Record], Random], list[Record]], ...] = (
    _insert, _insert, _delete, _delete, _delete, _duplicate, _swap, _change, _change, _beside
)  # fmt: skip
