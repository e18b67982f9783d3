"""addcow-conformance crash: cut the power at every moment of all short workloads."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import click

from addcow_conformance._executor import ClusterError, Work, processes, scheduler_option, workers
from addcow_conformance._signals import SIGNALS, Interrupted
from addcow_conformance._terminal import Progress
from addcow_conformance.commands import _crash_report as report
from addcow_conformance.commands._failure import DONE, INTERNAL, UNAVAILABLE, VIOLATED, Failure
from addcow_conformance.commands._output import answer_options, emit, error_line, one_line, schema
from addcow_conformance.commands._target import check_in_process, elsewhere, loaded, target_option
from addcow_conformance.powerloss import FAMILIES, Effort, Family, Summary, explore
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["command"]

# The workloads of six operations are tens of millions; nobody waits for more.
_LONGEST = 6
_MANY = 1 << 20
_PROCESSES = 256

_DEFAULT = Effort()

_EPILOG = """\b
Examples:
  addcow-conformance crash --jobs 0                    the reference engine, on all processors
  addcow-conformance crash --revision v10 --ops 1      a second of work
  addcow-conformance crash --target python:mything -x --save found
  addcow-conformance crash --list                      disks and operations that there are

\b
A workload is a sequence of up to N of the operations of a family (--list). The
power is cut after each write, truncate and sync of its last operation. Of what
was not synced any subset may be on disk, torn at sectors of 512 bytes, lengths
included: all such states up to --bound, else --samples of them drawn by --seed.
Each is opened, compared, checked and streamed to its end.

\b
With --ops 2, the default, it takes half a minute on one processor, with
--ops 3 several minutes. Violations do not depend on --jobs and --scheduler, except
with -x.

\b
Exit status:
  0    no rule is broken
  1    a file could not be written
  64   wrong usage
  69   the target cannot be loaded, or the cluster does not answer
  70   internal error, or a process that worked at it died
  77   a rule is broken
  130  interrupted by SIGINT; 143 by SIGTERM
"""


class _Request(NamedTuple):
    """The command line, taken apart."""

    target: str
    families: tuple[Family, ...]
    operations: int
    effort: Effort
    processes: int
    scheduler: str | None
    first_only: bool
    save: bytes | None
    output: str
    quiet: bool


@click.command("crash", epilog=_EPILOG)
@target_option
@click.option(
    "--revision",
    "revisions",
    multiple=True,
    type=click.Choice([revision.value for revision in Revision]),
    help="Revision of the format; can be given again. All, without it.",
)
@click.option(
    "--ops",
    metavar="N",
    type=click.IntRange(0, _LONGEST),
    default=2,
    show_default=True,
    help="Operations of the longest workloads.",
)
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(0, _PROCESSES),
    show_default="1",
    help="Processes that work at it; 0 for one a processor.",
)
@scheduler_option("Its workers have the target's module installed, or on their PYTHONPATH.")
@click.option(
    "--seed", metavar="S", type=int, default=_DEFAULT.seed, show_default=True, help="Seed of the samples."
)
@click.option(
    "--bound",
    metavar="N",
    type=click.IntRange(0, _MANY),
    default=_DEFAULT.bound,
    show_default=True,
    help="Try all states of a moment that has no more than that.",
)
@click.option(
    "--samples",
    metavar="N",
    type=click.IntRange(1, _MANY),
    default=_DEFAULT.samples,
    show_default=True,
    help="Try so many states of a moment that has more.",
)
@click.option("-x", "--exit-first", is_flag=True, help="Stop when a rule was found broken.")
@click.option(
    "--save",
    metavar="DIR",
    type=click.Path(path_type=bytes, file_okay=False),
    help="Keep the programs that break a rule in DIR, for addcow-conformance replay.",
)
@click.option("--list", "listing", is_flag=True, help="List families, disks and operations, and exit.")
@answer_options
@click.option(
    "-o", "file", metavar="FILE", type=click.Path(path_type=bytes), help="Write the answer to FILE."
)
@click.option(
    "-q", "--quiet", is_flag=True, help="Say nothing where no rule is broken, and show no progress."
)
def command(
    *,
    target: str,
    revisions: tuple[str, ...],
    ops: int,
    jobs: int | None,
    scheduler: str | None,
    seed: int,
    bound: int,
    samples: int,
    exit_first: bool,
    save: bytes | None,
    listing: bool,
    output: str,
    file: bytes | None,
    show_schema: bool,
    quiet: bool,
) -> int:
    """Cut the power at every moment of all short workloads, and judge what that leaves."""
    if show_schema:
        emit([schema("crash-v1.json")])
        return DONE
    families = tuple(f for f in FAMILIES if not revisions or f.disk.revision in revisions)
    if listing:
        document = report.listing_json(families) if output == "json" else report.listing_human(families)
        emit(document, file)
        return DONE
    request = _Request(
        target=target,
        families=families,
        operations=ops,
        effort=Effort(bound=bound, samples=samples, seed=seed),
        processes=processes(jobs, scheduler),
        scheduler=scheduler,
        first_only=exit_first,
        save=save,
        output=output,
        quiet=quiet,
    )
    check_in_process(target)
    loaded(target)
    if save is not None:
        os.makedirs(save, exist_ok=True)
    violated: list[bool] = []
    emit(_answer(request, violated), file)
    return VIOLATED if violated else DONE


def _answer(request: _Request, violated: list[bool]) -> Iterator[str]:
    """Do the work, and tell; in that order, so that a file that cannot be written is known before the work.

    Args:
        request: what to do.
        violated: gets an item where a rule is broken.
    """
    summary = _explored(request)
    if summary.found:
        violated.append(True)
    saved = report.save(summary, request.save)
    if request.output == "json":
        yield json.dumps(report.as_json(summary, request.families, saved), indent=2) + "\n"
    elif summary.found or not request.quiet:
        yield from report.human(summary, saved)


def _explored(request: _Request) -> Summary:
    """The exploration.

    Raises:
        Failure: it could not be done to its end.
    """
    progress = Progress("cutting the power", enabled=not request.quiet)

    def tell(done: int, total: int) -> None:
        SIGNALS.check()
        progress(done, total)

    try:
        with elsewhere():
            return _run(request, tell)
    except (Interrupted, Failure, UsageError):
        raise
    except BaseException as error:
        raise Failure(f"the exploration could not go on: {error_line(error)}", INTERNAL) from error
    finally:
        progress.close()


def _run(request: _Request, tell: Callable[[int, int], None]) -> Summary:
    start = partial(
        explore,
        target=request.target,
        families=request.families,
        operations=request.operations,
        effort=request.effort,
        first_only=request.first_only,
        progress=tell,
    )
    if request.processes == 1 and request.scheduler is None:
        return start()
    from concurrent.futures import BrokenExecutor  # noqa: PLC0415 - slow to import, and for workers only

    work = Work(finish=False)
    try:
        with workers(work, count=request.processes, scheduler=request.scheduler) as (executor, width):
            try:
                return start(executor=executor, width=width)
            except UsageError as error:  # on a worker, as it could be loaded here
                raise Failure(one_line(str(error)), UNAVAILABLE) from error
    except BrokenExecutor as error:
        raise Failure("a process that worked at it died", INTERNAL) from error
    except ClusterError as error:
        raise Failure(str(error), UNAVAILABLE) from error
