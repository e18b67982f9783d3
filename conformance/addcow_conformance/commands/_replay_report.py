"""What became of programs that were run again: for people, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from addcow_conformance.commands._output import one_line, title, tool
from addcow_conformance.commands._words import disk_words, numbered, operation_words, violation
from addcow_conformance.programs import StorageKind
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from addcow_conformance.commands._run_program import Broken, Run, Trouble
    from addcow_conformance.programs import Program

__all__ = ["as_json", "human", "name"]


def name(run: Run) -> str:
    """What a program is called."""
    return "standard input" if run.file == b"-" else printable(run.file)


def human(run: Run) -> Iterator[str]:
    """A program that was run, and what was found."""
    program = run.program
    if program is None:
        return
    lines = [f"{run.outcome}: {name(run)}", f"  {disk_words(program.disk)}"]
    if run.broken is None:
        lines.append(f"  {_what(run, program)}")
    else:
        lines += _broken(run, program, run.broken)
    if run.skipped:
        lines.append(_skipped(run))
    yield "\n".join((*lines, ""))


def _what(run: Run, program: Program) -> str:
    number = len(program.operations)
    where = "in files" if run.in_files else "in memory"
    power = ", and a loss of power" if program.power_loss else ""
    return f"{number} operation{'' if number == 1 else 's'} {where}{power}"


def _skipped(run: Run) -> str:
    told = (f"{number} {kind}" for kind, number in sorted(run.skipped.items()))
    return f"  skipped, as the target does not take them: {', '.join(told)}"


def _broken(run: Run, program: Program, broken: Broken) -> Iterator[str]:
    yield f"  {_what(run, program)}:"
    yield from numbered(broken.operations, indent=2, failing=broken.step or 0)
    if broken.step is None:
        if not broken.as_told:
            yield "  not in the state that the file tells, but in another"
        yield "  writes in order, and what the loss of power left of each:"
        yield from (f"    {one_line(line)}" for line in broken.order)
    elif not broken.step:
        yield "  while the image is created"
    rule = one_line(str(broken.rule))
    yield f"  {rule}: {title(broken.rule) or 'no rule of the catalogue'}"
    if program.rule and program.rule != broken.rule:
        yield f"    the file says {one_line(program.rule)}"
    yield f"    found: {one_line(broken.detail)}"


def as_json(target: str, runs: Sequence[Run]) -> dict[str, Any]:
    """The answer, as `schemas/replay-v1.json` describes it."""
    return {
        "schema-version": 1,
        "tool": tool(),
        "target": one_line(target),
        "programs": [_run(run) for run in runs],
    }


def _run(run: Run) -> dict[str, Any]:
    program = run.program
    return {
        "file": printable(run.file),
        "file-hex": run.file.hex(),
        "outcome": run.outcome,
        "problem": run.problem or None,
        "program": program and _program(run, program),
        "violation": run.broken and _violation(run.broken),
        "trouble": run.trouble and _trouble(run.trouble),
        "skipped": dict(sorted(run.skipped.items())),
    }


def _trouble(trouble: Trouble) -> dict[str, Any]:
    return {
        "step": trouble.step,
        "operation": trouble.operation and operation_words(trouble.operation),
        "stderr": list(trouble.said),
    }


def _program(run: Run, program: Program) -> dict[str, Any]:
    return {
        "disk": disk_words(program.disk),
        "operations": len(program.operations),
        "storage": StorageKind.FILES if run.in_files else StorageKind.MEMORY,
        "power-loss": program.power_loss is not None,
        "rule": one_line(program.rule) or None,
    }


def _violation(broken: Broken) -> dict[str, Any]:
    return {
        **violation(broken.rule, broken.detail, broken.order),
        "step": broken.step,
        "operation": operation_words(broken.operations[-1]) if broken.step else None,
        "operations": list(map(operation_words, broken.operations)),
        "as-told": broken.as_told,
    }
