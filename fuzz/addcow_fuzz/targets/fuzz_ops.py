"""Any program of operations leaves the disk that the oracle says, and breaks no rule, faults or none.

The same holds for what a loss of power leaves of it. Nothing but declared errors is raised, nothing hangs.
"""

from __future__ import annotations

import addcow_ref
from addcow_conformance.programs import Program, dump_program
from addcow_fuzz._main import fuzz
from addcow_fuzz._program_mutator import custom_crossover, custom_mutator
from addcow_fuzz._program_run import finding, run
from addcow_fuzz._programs import decode

__all__ = ["check_one", "custom_crossover", "custom_mutator", "explain", "program_of"]


def check_one(data: bytes) -> None:
    """Run the program that the bytes mean.

    Raises:
        Finding: the engine breaks a rule, or raises what it has not declared.
    """
    wrong = run(decode(data), addcow_ref, data)
    if wrong:
        raise finding(wrong) from wrong.violation


def program_of(data: bytes) -> Program:
    """The program that bytes mean, as far as the engine gets without a violation and with that one.

    Of a loss of power it has the state that was judged, if there is anything wrong with it.
    """
    case = decode(data)
    wrong = run(case, addcow_ref)
    return wrong.program._replace(note=wrong.violation.detail) if wrong else case.program


def explain(data: bytes) -> str:
    """The program that bytes mean as JSON, for ``addcow-conformance replay``; see `program_of`."""
    return dump_program(program_of(data))


if __name__ == "__main__":
    fuzz("ops")
