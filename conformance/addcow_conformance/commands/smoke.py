"""addcow-conformance smoke: tell a broken adapter from a broken implementation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from addcow_conformance.commands._failure import DONE, UNAVAILABLE, VIOLATED
from addcow_conformance.commands._output import (
    TOOL,
    answer_options,
    emit,
    error_line,
    last_words,
    one_line,
    schema,
    title,
    tool,
)
from addcow_conformance.commands._smoke_steps import Fault, Outcome, Smoke, Step, smoke
from addcow_conformance.commands._target import adapter_options, check_name, find_modules, is_module
from addcow_conformance.targets import load_target
from addcow_spec.errors import AdapterError, UsageError
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.targets import Target

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-conformance smoke python:addcow_ref
  addcow-conformance smoke "stdio:node conformance/examples/stdio-node/main.js"
  addcow-conformance smoke --revision v6 --output json "stdio:./mything"
  addcow-conformance smoke "nbd:nbdkit -f -U {socket} {readonly:-r} $PWD/my.so {image}"

\b
TARGET is python:MODULE, python:MODULE:NAME, or stdio:COMMAND, nbd:COMMAND,
qemu:COMMANDS or cli:COMMANDS, programs as conformance/README.md has them. It is
tried step by step, on one small image in a temporary directory, up to the first
step that fails.

\b
Exit status:
  0    every step is done, or not for this target
  64   wrong usage
  69   the adapter is broken: the target does not start, does not speak the
       protocol, or does not end
  70   internal error
  77   the implementation is broken: a rule, a crash, or no answer in time
  130  interrupted by SIGINT; 143 by SIGTERM
"""

_STATUS = {Fault.NONE: DONE, Fault.ADAPTER: UNAVAILABLE, Fault.IMPLEMENTATION: VIOLATED}
_VERDICT = {
    Fault.NONE: "nothing is wrong",
    Fault.ADAPTER: "the adapter is broken",
    Fault.IMPLEMENTATION: "the implementation is broken",
}


@click.command("smoke", epilog=_EPILOG)
@click.argument("target", metavar="TARGET", required=False)
@click.option(
    "--revision",
    type=click.Choice([revision.value for revision in Revision]),
    default=Revision.V10.value,
    show_default=True,
    help="Revision of the format.",
)
@adapter_options
@answer_options
def command(
    *, target: str | None, revision: str, timeout: float, validate: bool, output: str, show_schema: bool
) -> int:
    """Tell a broken adapter from a broken implementation."""
    if show_schema:
        emit([schema("smoke-v1.json")])
        return DONE
    if not target:
        raise UsageError(f"no target given: {TOOL} smoke TARGET")
    check_name(target)
    find_modules(target)

    def load() -> Target:
        try:
            return load_target(target, timeout=timeout, validate=validate)
        except AdapterError:
            raise
        except Exception as error:
            if isinstance(error, UsageError) and not is_module(target):
                raise
            raise AdapterError(error_line(error)) from error

    found = smoke(load, Revision(revision))
    if output == "json":
        emit([json.dumps(_as_json(target, revision, found), indent=2) + "\n"])
    else:
        emit(_human(target, revision, found))
    return _STATUS[found.fault]


def _human(target: str, revision: str, found: Smoke) -> Iterator[str]:
    yield f"{_named(found.about) or one_line(target)}, {revision}\n"
    for step in found.steps:
        yield f"  {step.outcome:<8} {step.name}\n"
        yield from (f"           {line}\n" for line in _told(step))
    yield f"{_VERDICT[found.fault]}\n"


def _named(about: dict[str, str] | None) -> str:
    """What it is called; nobody has to say a version or a language."""
    if not about:
        return ""
    parts = (about["name"], about["version"], about["language"] and f"({about['language']})")
    return " ".join(filter(None, parts))


def _told(step: Step) -> Iterator[str]:
    if step.outcome is not Outcome.FAILED:
        return
    if step.rule:
        yield f"{one_line(step.rule)}: {title(step.rule) or 'no rule of the catalogue'}"
    yield step.detail
    yield from last_words(step.said)


def _as_json(target: str, revision: str, found: Smoke) -> dict[str, Any]:
    return {
        "schema-version": 1,
        "tool": tool(),
        "target": one_line(target),
        "revision": revision,
        "implementation": found.about,
        "fault": found.fault,
        "steps": [
            {
                "step": step.name,
                "outcome": step.outcome,
                "rule": step.rule or None,
                "detail": step.detail or None,
                "stderr": list(step.said),
            }
            for step in found.steps
        ],
    }
