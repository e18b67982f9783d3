"""Branches are counted by the instrumented code itself, where atheris calls a function for each of them.

What is put before a branch is one of these, in instructions of the interpreter; ``counts`` are bytes that
libFuzzer reads after each input, and ``branch`` is a number:

    counts[branch] = NEXT[counts[branch]]    # where a function begins, and where a loop comes round
    counts[branch] = 1                       # elsewhere: those tell how often well enough

All else is atheris's: where branches are, jumps and tables of the changed code, and comparisons.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

__all__ = ["Counters"]

# Branches that there is room for; construct and all that is ours have five thousand.
_ROOM = 1 << 20
# libFuzzer is told of so many more at once, as parts of the engine are loaded when they are asked for.
_BLOCK = 512
# A byte that is full goes on within the last of the classes that libFuzzer makes of counts.
_NEXT = (*range(1, 256), 128)
# In libFuzzer's table each branch has an address, here one where no code is, and flags.
_ADDRESSES, _NO_FLAGS = 1 << 48, 0


class Counters:
    """The counts of a process, which has one libFuzzer."""

    def __init__(self) -> None:
        self._counts = bytearray(_ROOM)
        self._reserved = self._told = 0
        self._libfuzzer: ctypes.CDLL | None = None
        self._tables: list[ctypes.Array[ctypes.c_uint64]] = []  # libFuzzer does not copy them

    def install(self) -> bool:
        """Have atheris put these instructions into all that it instruments from now on.

        Returns:
            Whether that is so. Where atheris or Python are not as they are known here, atheris counts itself.
        """
        from atheris import instrument_bytecode  # noqa: PLC0415 - an extra, for fuzzing alone

        instrumentor: Any = instrument_bytecode.Instrumentor
        make: Any = getattr(instrument_bytecode, "_generate_instruction", None)
        known = make and hasattr(instrumentor, "_generate_trace_branch_invocation")
        if not known or sys.version_info >= (3, 14):
            return False

        def marked(code: Any, branch: Any) -> list[Any]:  # noqa: ANN401 - atheris has no types
            return [make(name, argument, branch) for name, argument in self._instructions(code, branch)]

        instrumentor._generate_trace_branch_invocation = marked  # noqa: SLF001 - there is no other way in
        # libFuzzer's ``-fork`` compares branches of several processes by their numbers. atheris gathers them
        # in a set, whose order is another one in each.
        instrument_bytecode.set = _InOrder
        return True

    def _instructions(self, code: Any, branch: Any) -> list[tuple[str, int | None]]:  # noqa: ANN401 - see above
        """What is put before a branch of a code object of atheris's."""
        place = [_load(code, self._counts), _load(code, self._reserve())]
        count = [_load(code, 1)]
        if _comes_again(code, branch):
            find = ("BINARY_SUBSCR", None)
            count = [_load(code, _NEXT), *place, find, find]
        return [*count, *place, ("STORE_SUBSCR", None)]

    def _reserve(self) -> int:
        """The number of one more branch."""
        if self._reserved == self._told and self._libfuzzer:
            self._tell(self._libfuzzer, self._told + _BLOCK)
        self._reserved += 1
        return self._reserved - 1

    def connect(self) -> None:
        """Tell libFuzzer where the counts are, as it runs its first input; before, it is not there.

        What was counted while modules were loaded is forgotten, as it is of no input.
        """
        if self._reserved and not self._libfuzzer:
            core = sys.modules.get("atheris.core_with_libfuzzer")
            # Without it, libFuzzer was loaded before Python, with a sanitizer.
            self._libfuzzer = ctypes.CDLL(core.__file__ if core else None)
            self._counts[:] = bytes(_ROOM)
            self._tell(self._libfuzzer, -(-self._reserved // 8) * 8)

    def _tell(self, libfuzzer: ctypes.CDLL, end: int) -> None:
        if end > _ROOM:
            raise AssertionError(f"there is no room for {end} branches")
        words = [word for branch in range(self._told, end) for word in (_ADDRESSES + branch, _NO_FLAGS)]
        table = (ctypes.c_uint64 * len(words))(*words)
        self._tables.append(table)
        counts = ctypes.addressof(ctypes.c_char.from_buffer(self._counts))
        for name, begin, size in (
            ("8bit_counters", counts + self._told, end - self._told),
            ("pcs", ctypes.addressof(table), ctypes.sizeof(table)),
        ):
            libfuzzer[f"__sanitizer_cov_{name}_init"](ctypes.c_void_p(begin), ctypes.c_void_p(begin + size))
        self._told = end


class _InOrder(dict[Any, None]):
    """A set that is gone through in the order in which it was filled."""

    def add(self, member: object) -> None:
        self[member] = None


def _load(code: Any, constant: object) -> tuple[str, int | None]:  # noqa: ANN401 - atheris has no types
    """The instruction that loads a constant, which is told by what it is: the counts are long to compare."""
    for at, there in enumerate(code.consts):
        if there is constant:
            return "LOAD_CONST", at
    code.consts.append(constant)
    return "LOAD_CONST", len(code.consts) - 1


def _comes_again(code: Any, branch: Any) -> bool:  # noqa: ANN401 - atheris has no types
    """Whether a function begins here, or something jumps back."""
    begins = next(instruction for instruction in code.instructions if not instruction.before_resume)
    return branch is begins or any("BACKWARD" in jump.mnemonic for jump in branch.referers)
