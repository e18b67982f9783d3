"""What a disk does, as programs that run beside the oracle: a few operations each, about one rule.

Places are in units of the revision: a cluster of 65,536 bytes in v10, a sector of 512 in v4 and v6.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Flush,
    Kill,
    Operation,
    Race,
    Read,
    Reopen,
    Request,
    Resize,
    Stream,
    Write,
    Zeroes,
)
from addcow_conformance.suite._case import Bench, Case
from addcow_spec.geometry import SECTOR_SIZE, Geometry
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["cases"]

_ALL = tuple(Revision)
_OLD = (Revision.V4, Revision.V6)
# Bytes of the bitmap that a cache of the least size holds.
_PAGE = 4096


_Operations: TypeAlias = "Callable[[int], tuple[Operation, ...]]"


class _Program(NamedTuple):
    """A program for each revision.

    Attributes:
        rule: the rule that it is about.
        slug: its name.
        title: what it tries.
        size: the size of the disk, given the bytes of a unit.
        below: bytes of the backing file; 0 for none.
        operations: what is done.
        revisions: which have it.
        kind: what the backing file is.
    """

    rule: str
    slug: str
    title: str
    size: Callable[[int], int]
    below: Callable[[int], int]
    operations: _Operations
    revisions: tuple[Revision, ...] = _ALL
    kind: BackingKind = BackingKind.RAW


def _none(_unit: int) -> int:
    return 0


def _units(count: int, more: int = 0) -> Callable[[int], int]:
    return lambda unit: count * unit + more


def _whole(unit: int, count: int) -> Read:
    return Read(0, count * unit)


def _one_bit(bit: int) -> _Operations:
    return lambda u: (Write(bit * u, u), Flush(), Read(bit * u, u), Reopen(), _whole(u, 20))


def _resized(sizes: tuple[tuple[int, int], ...]) -> _Operations:
    """Sizes one after the other, each in units and bytes."""
    return lambda u: (
        Write(u + 5, u),
        *(
            operation
            for count, more in sizes
            for operation in (Resize(count * u + more), Read(0, count * u + more), Flush())
        ),
        Reopen(),
    )


def _streamed(more: int, before: _Operations) -> _Operations:
    return lambda u: (*before(u), Stream(), Read(0, 9 * u + more), Flush(), Reopen())


def _raced(pair: Callable[[int], tuple[Request, Request]], pause: int) -> _Operations:
    return lambda u: (Race(*pair(u), pause), _whole(u, 9), Flush(), Reopen(), _whole(u, 9))


def _short(by: int) -> _Operations:
    return lambda u: (Read(8 * u, u - by), Write(9 * u - by - 1, 1), Flush(), Reopen(), Read(0, 9 * u - by))


_PROGRAMS = (
    # --- reading
    _Program(
        "ACW-DYN-001",
        "clear-bits-read-the-backing-file",
        "a unit whose bit is clear reads from the backing file",
        _units(4),
        _units(4),
        lambda u: (_whole(u, 4), Read(u - 1, 2), Reopen(writable=False), _whole(u, 4)),
    ),
    _Program(
        "ACW-DYN-001",
        "zeros-beyond-a-short-backing-file",
        "beyond the end of a backing file that is short, and ends within a unit, a disk reads as zeros",
        _units(4),
        _units(1, 200),
        lambda u: (_whole(u, 4), Read(u + 150, 100), Read(2 * u, u)),
    ),
    _Program(
        "ACW-DYN-001",
        "zeros-without-a-backing-file",
        "without a backing file a new disk reads as zeros, whatever the image file holds",
        _units(4),
        _none,
        lambda u: (_whole(u, 4), Write(u, u), _whole(u, 4)),
    ),
    _Program(
        "ACW-DYN-001",
        "set-bits-read-the-image-file",
        "a unit whose bit is set reads from the image file, before and after it is opened anew",
        _units(20),
        _units(20),
        lambda u: (Write(u, u), Write(9 * u, 2 * u), _whole(u, 20), Reopen(writable=False), _whole(u, 20)),
    ),
    _Program(
        "ACW-DYN-001",
        "qcow2-below",
        "a backing file in qcow2",
        _units(4),
        _units(3, 77),
        lambda u: (_whole(u, 4), Write(u + 7, 9), _whole(u, 4), Flush()),
        kind=BackingKind.QCOW2,
    ),
    _Program(
        "ACW-DYN-001",
        "chain-of-three",
        "a backing file that is an add-cow image on a backing file of its own",
        _units(4),
        _units(3, 512),
        lambda u: (_whole(u, 4), Write(u + 7, 9), _whole(u, 4), Flush()),
        kind=BackingKind.CHAIN,
    ),
    # --- bits
    *(
        _Program(
            "ACW-DYN-002",
            f"bit-{bit}",
            f"a write to unit {bit} sets its bit and no other",
            _units(20),
            _units(20),
            _one_bit(bit),
        )
        for bit in (0, 1, 7, 8, 19)
    ),
    _Program(
        "ACW-DYN-002",
        "zero-length",
        "a write of length 0 sets no bit, wherever it is",
        _units(3, 512),
        _units(3),
        lambda u: (Write(0, 0), Write(u, 0), Write(3 * u + 512, 0), Zeroes(u, 0), Flush(), Read(0, 0)),
    ),
    _Program(
        "ACW-DYN-002",
        "crossing-units",
        "a write that touches a byte of the units on both sides sets three bits",
        _units(5),
        _units(5),
        lambda u: (Write(u - 1, u + 2), Flush(), _whole(u, 5)),
    ),
    _Program(
        "ACW-DYN-002",
        "zeroes-set-bits",
        "zeros that are written hide what is below",
        _units(5),
        _units(5),
        lambda u: (
            Zeroes(u, u),
            Zeroes(3 * u, u, unmap=False),
            Flush(),
            _whole(u, 5),
            Reopen(),
            _whole(u, 5),
        ),
    ),
    # --- partial writes
    _Program(
        "ACW-DYN-003",
        "inside-a-unit",
        "a write inside a unit keeps what is around it",
        _units(3),
        _units(3),
        lambda u: (Write(u + 100, 200), _whole(u, 3), Flush(), Reopen(), _whole(u, 3)),
    ),
    _Program(
        "ACW-DYN-003",
        "head-and-tail",
        "a write that covers the end of one unit and the start of another keeps the rest of both",
        _units(4),
        _units(4),
        lambda u: (Write(2 * u - 100, 200), _whole(u, 4), Flush(), Reopen(), _whole(u, 4)),
    ),
    _Program(
        "ACW-DYN-003",
        "across-the-end-of-the-backing-file",
        "the rest of a unit is what the backing file has, and zeros beyond its end",
        _units(3),
        _units(1, 300),
        lambda u: (Write(u + 290, 30), Read(u, u), Flush(), Reopen(), _whole(u, 3)),
    ),
    _Program(
        "ACW-DYN-003",
        "without-a-backing-file",
        "the rest of a unit is zeros where nothing is below, and never what the image file held",
        _units(3),
        _none,
        lambda u: (Write(u + 5, 10), _whole(u, 3), Flush(), Reopen(), _whole(u, 3)),
    ),
    _Program(
        "ACW-DYN-003",
        "last-short-unit",
        "a write inside the last unit, which is short, keeps its rest and the file's length",
        _units(3, 512),
        _units(4),
        lambda u: (Write(3 * u + 5, 10), Read(3 * u, 512), Flush(), Reopen(), Read(2 * u, u + 512)),
    ),
    _Program(
        "ACW-DYN-003",
        "twice-into-one-unit",
        "the second write into a unit copies nothing again",
        _units(3),
        _units(3),
        lambda u: (Write(u + 5, 10, 1), Write(u + 50, 10, 2), Write(u + 7, 3, 3), _whole(u, 3), Flush()),
    ),
    _Program(
        "ACW-DYN-003",
        "zeroes-inside-a-unit",
        "zeros inside a unit keep what is around them",
        _units(3),
        _units(3),
        lambda u: (Zeroes(u + 100, 200), Zeroes(2 * u - 1, 2, unmap=False), _whole(u, 3), Flush()),
    ),
    # --- files that are not written
    _Program(
        "ACW-DYN-004",
        "backing-file",
        "writes, zeros, flushes and streams leave the backing file as it is",
        _units(4),
        _units(4),
        lambda u: (Write(5, u), Zeroes(u + 7, u), Flush(), Stream(), Flush(), Reopen(), _whole(u, 4)),
    ),
    _Program(
        "ACW-DYN-004",
        "read-only",
        "an image that is open for reading takes no writes, and no byte of a file changes",
        _units(3),
        _units(2),
        lambda u: (
            Write(5, 5),
            Reopen(writable=False),
            _whole(u, 3),
            Write(0, 512),
            Zeroes(0, 512),
            Flush(),
            Reopen(),
            _whole(u, 3),
        ),
    ),
    _Program(
        "ACW-DYN-004",
        "reading",
        "reading copies nothing, and sets no bit",
        _units(20),
        _units(20),
        lambda u: (_whole(u, 20), Flush(), Reopen(), _whole(u, 20), Flush()),
    ),
    # --- what is durable
    _Program(
        "ACW-DYN-005",
        "flush-then-kill",
        "what was flushed is there when the process is killed",
        _units(20),
        _units(20),
        lambda u: (Write(5, 2 * u), Write(9 * u, u), Flush(), Kill(), _whole(u, 20)),
    ),
    _Program(
        "ACW-DYN-005",
        "kill-without-flush",
        "what was not flushed is old or new when the process is killed, and flushed things are there",
        _units(20),
        _units(20),
        lambda u: (
            Write(u, u, 1),
            Flush(),
            Write(u + 9, u, 2),
            Write(9 * u, 9),
            Kill(),
            _whole(u, 20),
            Flush(),
        ),
    ),
    _Program(
        "ACW-DYN-005",
        "fua-then-kill",
        "a write with FUA is there when the process is killed right after",
        _units(4),
        _units(4),
        lambda u: (Write(u + 5, 100, fua=True), Kill(), _whole(u, 4), Zeroes(2 * u, 9, fua=True), Kill()),
    ),
    _Program(
        "ACW-DYN-005",
        "close-flushes",
        "what was written is there when the image was closed and is opened anew",
        _units(20),
        _units(20),
        lambda u: (Write(3, 2 * u), Reopen(), _whole(u, 20), Write(8 * u, u), Reopen(writable=False)),
    ),
    _Program(
        "ACW-DYN-005",
        "many-pages-of-bits",
        "bits so far apart that no small cache holds all, killed after a flush",
        _units(5 * 8 * _PAGE, 512),
        _units(3),
        lambda u: (
            *(Write(page * 8 * _PAGE * u + 5, 20, page) for page in (0, 1, 2, 3, 4)),
            Write(5 * 8 * _PAGE * u, 512),
            Flush(),
            Kill(),
            *(Read(page * 8 * _PAGE * u, 512) for page in (0, 1, 2, 3, 4)),
        ),
    ),
    # --- requests outside
    _Program(
        "ACW-DYN-007",
        "outside-the-disk",
        "a request that ends outside the disk, or begins there, is refused whole",
        _units(3, 512),
        _units(2),
        lambda u: (
            Read(3 * u + 511, 2),
            Write(3 * u, 513),
            Zeroes(3 * u + 512, 1),
            Read(4 * u, 512),
            Write(7 * u, 512),
            Write(u, 3 * u),
            Flush(),
            Read(0, 3 * u + 512),
        ),
    ),
    _Program(
        "ACW-DYN-007",
        "up-to-the-last-byte",
        "a request that ends with the disk is taken",
        _units(3, 512),
        _units(2),
        lambda u: (Write(3 * u + 511, 1), Read(3 * u + 511, 1), Read(0, 3 * u + 512), Write(0, 3 * u + 512)),
    ),
    _Program(
        "ACW-DYN-007",
        "sums-of-more-than-32-bits",
        "where offset and length add up to more than 32 bits hold, a request is judged by the true sum",
        _units(3),
        _none,
        lambda u: (
            Read((1 << 32) - 512, 1024),
            Write((1 << 32) - u, u + 512),
            Read(1 << 32, 512),
            Write(1 << 41, 512),
            Zeroes((1 << 32) - 1, 2),
            Flush(),
            _whole(u, 3),
        ),
    ),
    # --- size
    *(
        _Program(
            "ACW-DYN-011",
            slug,
            title,
            _units(size, more),
            _units(below),
            _resized(sizes),
        )
        for slug, title, size, more, below, sizes in (
            ("grow", "growing adds units that read as what is below", 3, 0, 7, ((6, 0),)),
            ("grow-over-a-byte", "growing over a byte of the bitmap", 7, 512, 20, ((9, 0), (17, 512))),
            ("grow-in-a-unit", "growing inside the last unit", 3, 512, 7, ((3, 1024), (4, 0))),
            ("shrink", "shrinking drops units and their bits", 9, 0, 9, ((2, 0), (1, 512))),
            ("shrink-and-grow", "what was cut off does not come back", 9, 0, 4, ((1, 512), (9, 0))),
            ("to-nothing", "a disk of no bytes", 3, 0, 3, ((0, 0), (2, 0))),
        )
    ),
    _Program(
        "ACW-DYN-011",
        "last-unit-written-then-shrunk",
        "bits of units that are cut off are cleared, those inside the last byte too",
        _units(6),
        _units(6),
        lambda u: (
            *(Write(unit * u, u, unit) for unit in range(6)),
            Resize(3 * u),
            Flush(),
            Resize(6 * u),
            Flush(),
            _whole(u, 6),
        ),
    ),
    # --- streaming
    *(
        _Program(
            "ACW-DYN-012",
            slug,
            title,
            _units(9, more),
            below,
            _streamed(more, before),
        )
        for slug, title, more, below, before in (
            ("all", "a stream copies all that is below", 0, _units(9), lambda _u: ()),
            (
                "last-short-unit",
                "a stream copies the last unit, which is short",
                512,
                _units(10),
                lambda _u: (),
            ),
            (
                "short-backing-file",
                "a stream over the end of the backing file",
                0,
                _units(4, 99),
                lambda _u: (),
            ),
            ("without-a-backing-file", "a stream of a disk with nothing below", 0, _none, lambda _u: ()),
            (
                "keeps-what-is-written",
                "a stream leaves what the guest has written",
                0,
                _units(9),
                lambda u: (Write(u + 5, u), Zeroes(4 * u, u), Write(8 * u + 3, 3)),
            ),
            (
                "in-parts",
                "a stream that is stopped goes on where it was",
                0,
                _units(9),
                lambda u: (Stream(1), Read(0, 9 * u), Write(8 * u, 9), Flush(), Reopen(), Stream(2)),
            ),
        )
    ),
    _Program(
        "ACW-DYN-012",
        "read-only",
        "a stream of an image that is open for reading is refused",
        _units(3),
        _units(3),
        lambda u: (Reopen(writable=False), Stream(), _whole(u, 3)),
    ),
    # --- at once
    *(
        _Program(
            "ACW-DYN-006",
            f"{slug}-pause-{pause}",
            title,
            _units(9),
            _units(9),
            _raced(pair, pause),
        )
        for slug, title, pair in (
            (
                "one-unit",
                "two writes at once into one unit lose no byte",
                lambda u: (Write(u + 5, 100, 1), Write(u + 300, 100, 2)),
            ),
            (
                "one-byte-of-bits",
                "two writes at once whose bits share a byte lose no bit",
                lambda u: (Write(u, u, 1), Write(2 * u, u, 2)),
            ),
            (
                "stream",
                "a write beside a stream is not copied over",
                lambda u: (Stream(), Write(u + 5, 100, 2)),
            ),
        )
        for pause in range(4)
    ),
    # --- sectors
    _Program(
        "ACW-DYN-013",
        "a-sector-needs-no-copy",
        "a write of a sector sets its bit alone",
        _units(40),
        _units(40),
        lambda u: (Write(9 * u, u), Write(17 * u, 2 * u), Flush(), _whole(u, 40)),
        _OLD,
    ),
    _Program(
        "ACW-DYN-013",
        "size-stays-true",
        "the size in the header follows the disk",
        _units(40),
        _units(4),
        lambda u: (Resize(50 * u), Flush(), Reopen(), Resize(20 * u), Flush(), Reopen(), _whole(u, 20)),
        _OLD,
    ),
    _Program(
        "ACW-SIZ-007",
        "odd-size",
        "a size that is no whole number of sectors is refused, and changes nothing",
        _units(4),
        _units(4),
        lambda u: (Resize(4 * u - 1), Resize(4 * u + 1), Flush(), _whole(u, 4)),
        _OLD,
    ),
    # --- sizes of the files
    _Program(
        "ACW-SIZ-001",
        "image-larger",
        "the image is larger than the backing file",
        _units(9),
        _units(2),
        lambda u: (_whole(u, 9), Write(2 * u - 5, 10), Write(8 * u, 9), Flush(), _whole(u, 9)),
    ),
    _Program(
        "ACW-SIZ-002",
        "image-smaller",
        "the image is smaller than the backing file",
        _units(2),
        _units(9),
        lambda u: (_whole(u, 2), Read(2 * u, 512), Write(2 * u - 5, 5), Stream(), Flush(), _whole(u, 2)),
        (Revision.V10,),
    ),
    *(
        _Program(
            "ACW-SIZ-003",
            f"short-by-{short}",
            f"the last unit lacks {short} bytes",
            _units(9, -short),
            _units(20),
            _short(short),
            (Revision.V10,),
        )
        for short in (1, 512, 65535)
    ),
)


def cases() -> Iterator[Case]:
    """A case for each program and revision."""
    for program in _PROGRAMS:
        for revision in program.revisions:
            yield Case(program.rule, revision, program.slug, program.title, partial(_check, program))


def _check(program: _Program, bench: Bench) -> None:
    unit = Geometry(bench.revision, 0).unit_size
    size, below = program.size(unit), program.below(unit)
    if bench.revision is not Revision.V10:
        size -= size % SECTOR_SIZE
    backing = Backing(program.kind, below) if below else None
    bench.run(Disk(bench.revision, size, backing), program.operations(unit))
