"""A case tried on a bench, and what became of it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from addcow_conformance.programs import Endless, Unsupported, Violation, dump_program
from addcow_conformance.results import CaseResult, Difference, Outcome
from addcow_conformance.suite._script import Script
from addcow_spec.errors import AdapterError, AddCowError, Crashed, TimedOut
from addcow_spec.text import printable

if TYPE_CHECKING:
    from addcow_conformance.suite._case import Bench, Case

__all__ = ["try_case"]

# What a target that gave no answer has done: the first kind that fits.
_KINDS = ((Crashed, Outcome.CRASH), (TimedOut, Outcome.TIMEOUT), (AdapterError, Outcome.ERROR))


def try_case(case: Case, bench: Bench) -> CaseResult:
    """Try a case.

    Args:
        case: the case.
        bench: for this case alone.

    Returns:
        What became of it; whatever a target does is one of the outcomes.
    """
    start = time.monotonic()
    script = Script(bench)
    outcome, broken, detail = Outcome.PASS, "", ""
    said: tuple[str, ...] = ()
    difference: Difference | None = None
    try:
        _try(case, bench)
    except Unsupported as error:
        outcome, detail = Outcome.UNSUPPORTED, str(error)
    except Violation as error:
        outcome, broken, detail = Outcome.FAIL, error.rule, error.detail
        difference = Difference(*error.difference) if error.difference else None
    except AdapterError as error:
        outcome = next(outcome for kind, outcome in _KINDS if isinstance(error, kind))
        detail, said = f"{type(error).__name__}: {error}", error.said
    except Endless as error:
        outcome, detail = Outcome.TIMEOUT, str(error)
    except AddCowError as error:
        outcome, broken, detail = Outcome.FAIL, case.rule, f"{type(error).__name__}: {error}"
    except SystemExit as error:
        outcome, detail = Outcome.CRASH, f"the target ends the process: {error}"
    except Exception as error:  # noqa: BLE001 - a fault of the suite is an outcome, too
        outcome, detail = Outcome.ERROR, f"{type(error).__name__}: {error}"
    bad = outcome not in {Outcome.PASS, Outcome.UNSUPPORTED}
    return CaseResult(
        case=case.id,
        title=case.title,
        outcome=outcome,
        seconds=time.monotonic() - start,
        broken=broken,
        detail=_line(detail),
        difference=difference,
        said=said,
        script=script.text(case) if bad else "",
        program=json.loads(dump_program(bench.program)) if bad and bench.program else None,
    )


def _try(case: Case, bench: Bench) -> None:
    about = getattr(bench.target, "about", None)
    if about is not None and case.revision not in about.revisions:
        raise Unsupported(f"the target has not said {case.revision}")
    case.check(bench)


def _line(text: str) -> str:
    """The text in a line, without what a terminal would obey."""
    return "".join(c if c.isprintable() else printable(c.encode("utf-8", "surrogatepass")) for c in text)
