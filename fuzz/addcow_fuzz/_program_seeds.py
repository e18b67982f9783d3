"""The seeds of ``ops`` and ``differential``: programs that reach each kind of operation, and the regressions.

``python -m addcow_fuzz._program_seeds corpora`` writes them to ``corpora/seeds``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Fault,
    Flush,
    Kill,
    Operation,
    Program,
    Race,
    Read,
    Reopen,
    Resize,
    Stream,
    Write,
    Zeroes,
    load_program,
)
from addcow_fuzz._programs import Case, Cut, encode
from addcow_spec.model import Revision

__all__ = ["seeds", "write_seeds"]

_C = 1 << 16
_V10 = Disk(size=3 * _C + 700, backing=Backing(BackingKind.RAW, 2 * _C + 300))
_QCOW2 = _V10._replace(backing=Backing(BackingKind.QCOW2, 2 * _C))
_CHAIN = _V10._replace(backing=Backing(BackingKind.CHAIN, 3 * _C + 700), fill=0)
_V6 = Disk(Revision.V6, 4096 * 3, Backing(BackingKind.RAW, 9000))
_V4 = Disk(Revision.V4, 4096)
_PAGES = Disk(Revision.V6, (16 << 20) + 1024, Backing(BackingKind.RAW, 3000), fill=0)


def _case(disk: Disk, *operations: Operation, each: bool = False, cut: Cut | None = None) -> Case:
    return Case(Program(disk, operations), each, cut)


# A few operations each, so that the fuzzer puts them together and a mutation changes what matters.
_MADE = {
    "write-part-of-a-unit": _case(_V10, Write(_C + 100, 700), Read(_C, _C), Flush(), Write(0, 9)),
    "write-a-unit-and-more": _case(_V6, Write(4096, 4608, fua=True), Write(0, 4096), Reopen()),
    "zeroes": _case(_QCOW2, Write(0, 2 * _C), Zeroes(512, _C), Zeroes(2 * _C, _C, unmap=False), Flush()),
    "read-only": _case(_V4, Write(0, 512), Reopen(writable=False), Write(0, 9), Stream(0), Resize(512)),
    "beyond-the-end": _case(_V4, Write(4000, 100), Read(4096, 1), Zeroes(5000, 0), Write(4096, 0)),
    "nothing": _case(_V10, Write(_C, 0), Zeroes(2 * _C, 0), Read(0, 0), Reopen(), Write(0, 0, fua=True)),
    "kill": _case(_V10, Write(0, 9), Flush(), Write(_C, 9), Kill(), Read(0, _C)),
    "resize": _case(_V10, Write(3 * _C, 700), Resize(_C), Resize(4 * _C), Write(3 * _C, 9), Resize(9 * _C)),
    "resize-v6": _case(_V6, Write(8192, 512), Resize(4096), Resize(16384), Reopen(), Read(0, 16384)),
    "stream": _case(_CHAIN, Write(_C, 9), Stream(1), Write(0, 9), Stream(), Write(_C, 700)),
    "fault": _case(_V10, Fault(1), Write(100, _C), Read(0, _C), Fault(0), Flush(), Flush(), Write(0, 1)),
    "fault-of-a-resize": _case(_V6, Write(0, 512), Fault(1, 28), Resize(4096), Fault(1), Reopen(), Reopen()),
    "fault-of-a-growth": _case(_V6, Write(0, 512), Fault(3), Resize(16384), Flush(), Fault(2), Resize(20480)),
    "race": _case(_V10, Race(Write(0, 700), Write(700, 512), 1), Flush(), Race(Zeroes(0, _C), Read(0, 512))),
    "pages": _case(_PAGES, Write(0, 512), Write(16 << 20, 512), Read(0, 1024), Write(8192, 9), Flush()),
    "each": _case(_V10, Write(0, 512), Read(0, 512), Reopen(writable=False), Read(0, 512), each=True),
    "loss": _case(_V10, Write(0, 9), Flush(), Write(_C, _C), Flush(), cut=Cut(1, 1)),
    "loss-in-a-resize": _case(_V6, Write(0, 4096), Resize(4096), Resize(8192), cut=Cut(2, 2)),
    "loss-of-pages": _case(_PAGES, Write(0, 512), Write(16 << 20, 512), cut=Cut(0, 8)),
}


def seeds(corpora: Path) -> dict[str, bytes]:
    """The seeds by name: those that are made, and the programs of ``corpora/regressions``."""
    programs = sorted((corpora / "regressions/programs").glob("*.json"))
    found = {path.stem: Case(load_program(path.read_bytes())) for path in programs}
    return {name: encode(case) for name, case in (_MADE | found).items()}


def write_seeds(corpora: Path) -> None:
    """Write the seeds of both targets; what is there and is none of them stays."""
    for target in ("ops", "differential"):
        directory = corpora / "seeds" / target
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in seeds(corpora).items():
            (directory / name).write_bytes(data)


if __name__ == "__main__":
    write_seeds(Path(sys.argv[1]))
