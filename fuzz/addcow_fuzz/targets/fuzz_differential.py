"""Any program of operations comes to the same on an implementation as on the reference engine.

The same reads, refusals, layers, bits and image file; and a program in a process of its own neither crashes
nor hangs. ``ADDCOW_FUZZ_TARGET`` names the implementation as ``addcow-conformance run`` does,
``python:addcow_ref`` where it is empty. What it says that it does not have is left out.
"""

from __future__ import annotations

import atexit
import os
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from tempfile import TemporaryDirectory
from typing import cast

import addcow_ref
from addcow_conformance.programs import Flush, Operation, Program, Unsupported, Violation, dump_program
from addcow_conformance.targets import REFERENCE, ExternalTarget, Target, is_external, load_target
from addcow_fuzz._environment import IMPLEMENTATION
from addcow_fuzz._main import fuzz
from addcow_fuzz._program_mutator import custom_crossover, custom_mutator
from addcow_fuzz._program_pair import Pair
from addcow_fuzz._program_run import Wrong, finding, kind_of
from addcow_fuzz._programs import decode
from addcow_fuzz.invariants import Finding, strict
from addcow_spec.errors import AdapterError, AddCowError

__all__ = [
    "check_one",
    "compare",
    "custom_crossover",
    "custom_mutator",
    "explain",
    "prepare",
    "program_of",
]


def check_one(data: bytes) -> None:
    """Run the program that the bytes mean on the implementation and on the engine.

    Raises:
        Finding: they differ, one of them breaks a rule, or the implementation gave no answer.
        UsageError: ``ADDCOW_FUZZ_TARGET`` names no implementation.
        AdapterError: it cannot be started.
    """
    compare(program_of(data), prepare(), data)


def prepare() -> Target:
    """The implementation, started once in a process.

    Raises:
        UsageError: ``ADDCOW_FUZZ_TARGET`` names no implementation.
        AdapterError: it cannot be started.
    """
    return _implementation(os.environ.get(IMPLEMENTATION) or REFERENCE)


def program_of(data: bytes) -> Program:
    """The program that bytes mean. A loss of power is left out, as it is the engine that would be judged."""
    return decode(data).program


def explain(data: bytes) -> str:
    """The program that bytes mean as JSON, for ``addcow-conformance replay``."""
    return dump_program(program_of(data))


def compare(program: Program, target: Target, data: bytes = b"") -> None:
    """Run a program on an implementation and on the engine.

    Args:
        program: the program; where it wants its files does not matter.
        target: the implementation.
        data: the input that it was, for what is counted.

    Raises:
        Finding: they differ, one of them breaks a rule, or the implementation gave no answer.
    """
    done: list[Operation] = []
    with _directory(target) as directory:
        try:
            _run(program, target, directory, done, data)
        except Unsupported:
            return
        except Violation as violation:
            wrong = Wrong(violation, program._replace(operations=tuple(done)))
            raise finding(wrong, "differential") from violation
        except AdapterError as error:
            kind, operation = type(error).__name__, kind_of(done[-1] if done else None)
            raise Finding("differential", str(error), operation=operation, site=kind) from error
        except Exception:
            with strict(kind_of(done[-1] if done else None), AddCowError):
                raise


def _run(program: Program, target: Target, directory: str | None, done: list[Operation], data: bytes) -> None:
    pair = Pair(program.disk, target, addcow_ref, directory, data)
    try:
        for operation in (*program.operations, Flush()):
            done.append(operation)
            pair.step(operation)
        pair.close()
    finally:
        pair.kill()


def _directory(target: Target) -> AbstractContextManager[str | None]:
    return TemporaryDirectory() if is_external(target) else nullcontext()


@lru_cache(maxsize=1)
def _implementation(name: str) -> Target:
    target = load_target(name)
    if is_external(target):
        atexit.register(cast("ExternalTarget", target).close)
    return target


if __name__ == "__main__":
    fuzz("differential")
