"""A second definition of the oracle, as simple as can be: all that happened, and every outcome."""

from __future__ import annotations

from addcow_conformance.oracle import SECTOR, Outcome

__all__ = ["LARGEST", "UNIT", "Happened"]

UNIT = 1024
LARGEST = 5 * SECTOR + 100


class Happened:
    """A disk as the list of what happened to it.

    A *case* is what a read shows, and the set of what a loss of power may leave if that is what it shows.
    """

    def __init__(self, size, backing):
        self.start = size
        self.backing = backing
        self.events = []

    @property
    def size(self):
        return next((event[1] for event in reversed(self.events) if event[0] == "resize"), self.start)

    def below(self, start, end):
        return self.backing[start:end].ljust(max(end - start, 0), b"\0")

    def sector(self, at):
        """All cases of a sector; of one beyond the end they are of no bytes."""
        first, size = at * SECTOR, self.start
        value = self.below(first, min(first + SECTOR, size))
        cases = {(value, frozenset({value}))}
        for number, (kind, *facts) in enumerate(self.events):
            if kind == "write":
                cases = written(cases, first, *facts)
            elif kind in {"flush", "kill"}:
                cases = ended(cases, kind)
            elif kind == "see":
                offset, data = facts
                cases = {case for case in cases if agrees(case[0], first, offset, data)}
            elif kind == "resize":
                bits = self.unit(size // UNIT, number) if size % UNIT else {(False, frozenset({False}))}
                cases = {
                    (
                        self.resized(now, at, size, facts[0], bit),
                        frozenset(self.resized(v, at, size, facts[0], b) for v in after for b in bits_after),
                    )
                    for now, after in cases
                    for bit, bits_after in bits
                }
                size = facts[0]
        return cases

    def resized(self, value, at, old, new, bit):
        """A sector's value after a resize; ``bit`` is that of the last unit, if it was short."""
        first = at * SECTOR
        kept = value[: max(new - first, 0)]
        added = bytearray(self.below(first + len(kept), min(first + SECTOR, new)))
        for place in range(len(added)):
            if bit and (first + len(kept) + place) // UNIT == old // UNIT:
                added[place] = 0
        return kept + added

    def unit(self, at, number=None):
        """All cases of a bit, before the event of a number."""
        cases, size = {(False, frozenset({False}))}, self.start
        for kind, *facts in self.events[:number]:
            if kind in {"write", "stream"}:
                offset, data, outcome = facts if kind == "write" else (0, bytes(size), *facts)
                if data and offset < (at + 1) * UNIT and offset + len(data) > at * UNIT:
                    cases = set_bit(cases, outcome)
            elif kind in {"flush", "kill"}:
                # A bit that is clear after a kill was never written to the file.
                cases = {(now, after - {not now} if not now else after) for now, after in ended(cases, kind)}
            elif kind == "see units":
                cases = {case for case in cases if case[0] == (at in facts[0])}
            elif kind == "resize":
                size = facts[0]
                if at * UNIT >= size:
                    cases = {(False, frozenset({False}))}
        return cases

    def units(self):
        return range(-(-LARGEST // UNIT))


def written(cases, first, offset, data, outcome):
    found = set()
    for now, after in cases:
        new = put(now, first, offset, data)
        if new is None:
            return cases
        durable = outcome is Outcome.DURABLE
        kept = frozenset(put(value, first, offset, data) for value in after) if durable else after
        found.add((new, kept | {new}))
        if outcome is Outcome.FAILED:
            found.add((now, after))
    return found


def put(value, first, offset, data):
    """A sector's value with the data over it; None where the data are elsewhere."""
    places = [place for place in range(len(value)) if 0 <= first + place - offset < len(data)]
    if not places:
        return None
    changed = bytearray(value)
    for place in places:
        changed[place] = data[first + place - offset]
    return bytes(changed)


def set_bit(cases, outcome):
    only = frozenset({True})
    found = {(True, only if outcome is Outcome.DURABLE else after | only) for _, after in cases}
    return found | cases if outcome is Outcome.FAILED else found


def ended(cases, kind):
    if kind == "flush":
        return {(now, frozenset({now})) for now, _ in cases}
    return {(now, after) for _, after in cases for now in after}


def agrees(value, first, offset, data):
    shown = put(value, first, offset, data)
    return shown is None or shown == value
