"""Runs a target on one input, without libFuzzer; a process of its own, as an input may end or stop it.

Its arguments are the target's module, ``judge`` or ``minimize``, a file with the input, a file for the
answer, and for ``minimize`` the token to stay at. The answer of ``judge`` is JSON; that of ``minimize`` is
the smallest input so far, replaced whole, so that it can be had at any time.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from addcow_fuzz._environment import end_with_parent, prepare
from addcow_fuzz.campaign._minimize import minimized
from addcow_fuzz.invariants import Finding, token_of
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OUT_OF_MEMORY", "main"]

OUT_OF_MEMORY = "out-of-memory"
_MEMORY = 4 << 30
_LONGEST = 800


def main(module: str, verb: str, source: str, answer: str, token: str = "") -> None:
    """Do what is asked.

    Raises:
        OSError: a file cannot be read or written.
        SystemExit: the target cannot be run.
    """
    end_with_parent()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    target: Any = import_module(module)
    prepare(target)
    with open(source, "rb") as file:
        data = file.read()
    if verb == "judge":
        _write(answer, json.dumps(_judged(target, data)).encode())
        return
    for smaller in minimized(data, lambda tried: _outcome(target.check_one, tried)[0] == token):
        _write(answer, smaller)


def _judged(target: Any, data: bytes) -> dict[str, object]:  # noqa: ANN401 - a module
    token, detail = _outcome(target.check_one, data)
    operations = None
    if hasattr(target, "explain"):
        try:
            operations = json.loads(json.dumps(target.explain(data)))
        except Exception as error:  # noqa: BLE001 - the input is told of as well as can be
            operations = {"not explained": token_of(error)}
    return {"token": token, "detail": detail, "operations": operations}


def _outcome(check_one: Callable[[bytes], None], data: bytes) -> tuple[str, str]:
    """The token and the text of the finding; both empty where there is none."""
    try:
        check_one(data)
    except MemoryError:
        return OUT_OF_MEMORY, "out of memory"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        said = error.detail if isinstance(error, Finding) else str(error)
        return token_of(error), printable(said[:_LONGEST].encode("utf-8", "surrogatepass"))
    return "", ""


def _write(path: str, data: bytes) -> None:
    with open(f"{path}.part", "wb") as file:
        file.write(data)
    os.replace(f"{path}.part", path)


if __name__ == "__main__":
    main(*sys.argv[1:])
