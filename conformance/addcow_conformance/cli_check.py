"""addcow-check: the command. Options and exit statuses are here; what they mean is in the checker."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from addcow_conformance import _terminal
from addcow_conformance._batch import FOREIGN, Job, check_all, exit_status, find_images, worst
from addcow_conformance._executor import ClusterError, Work, Workers, processes, scheduler_option, workers
from addcow_conformance.checker import CheckOptions, Report
from addcow_conformance.report import FORMATS, render, schema
from addcow_spec import __version__
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision
from addcow_spec.rules import Profile, Repair, Severity
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import StrEnum

__all__ = ["command", "main"]

_USAGE = 64
_FAILED = 1
_INTERRUPTED = 130

# Parts of the disk that the picture of the bitmap shows.
_BUCKETS = 2048

_EPILOG = """\b
Examples:
  addcow-check disk.add-cow                     is it sound? what is wrong, where?
  addcow-check --output json disk.add-cow       the same for programs
  addcow-check -r --jobs 0 /var/images          every image below a directory
  addcow-check -r --scheduler tcp://192.0.2.1:8786 /shared   the same, on a Dask cluster
  addcow-check --output html -o r.html d.add-cow   a page to look at
  addcow-check --repair safe --dry-run d.add-cow   what a repair would do
  addcow-check --explain ACW-BMP-002            a rule, why, and what to do

\b
Exit status:
  0   no finding at or above --fail-on
  1   the check could not be completed
  2   findings at or above --fail-on
  63  not an add-cow image
  64  wrong usage
Of several images the worst counts, in the order 1, 2, 63, 0.

\b
Shell completion (zsh and fish likewise):
  eval "$(_ADDCOW_CHECK_COMPLETE=bash_source addcow-check)"
"""


def _rule_ids(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from addcow_spec.rules import catalogue  # noqa: PLC0415 - read only when it is needed

    return [rule for rule in catalogue() if rule.startswith(incomplete.upper())]


def _values(choices: type[StrEnum]) -> list[str]:
    return [choice.value for choice in choices]


class _Request(NamedTuple):
    """The command line, taken apart."""

    images: tuple[bytes, ...]
    recursive: bool
    job: Job
    fail_on: Severity
    output: str
    target: bytes | None
    processes: int
    scheduler: str | None
    quiet: bool
    color: bool

    @property
    def many(self) -> bool:
        """Whether the answer is about a number of images, be it one."""
        return self.recursive or len(self.images) > 1

    def without_repair(self) -> _Request:
        """The same request, changing nothing."""
        return self._replace(job=self.job._replace(repair=Repair.NONE))


@click.command(
    "addcow-check",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.argument("images", metavar="IMAGE...", nargs=-1, type=click.Path(path_type=bytes))
@click.option("-r", "--recursive", is_flag=True, help="Check every add-cow image below a directory.")
@click.option(
    "--revision",
    type=click.Choice(["auto", *_values(Revision)]),
    default="auto",
    help="Revision of the format; auto tells it from the file.",
)
@click.option(
    "--profile",
    type=click.Choice(_values(Profile)),
    default=Profile.REVIEWED.value,
    help="Rules that count: the posted text with what its reviews settled, or the text alone.",
)
@click.option("--output", type=click.Choice(FORMATS), default="human", help="Format of the report.")
@click.option(
    "-o", "target", metavar="FILE", type=click.Path(path_type=bytes), help="Write the report to FILE."
)
@click.option(
    "--fail-on",
    type=click.Choice(_values(Severity)),
    default=Severity.ERROR.value,
    help="Least level of a finding that gives exit status 2.",
)
@click.option(
    "--max-findings",
    metavar="N",
    type=click.IntRange(min=1),
    default=100,
    help="Findings shown of one image; the others are counted.",
)
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(min=0),
    show_default="1",
    help="Processes that check images; 0 for one a processor.",
)
@scheduler_option("Its workers have the images at the same paths as here, on a file system that all share.")
@click.option(
    "--no-chain", is_flag=True, help="Do not check the backing file's own content and backing files."
)
@click.option(
    "--confine",
    metavar="DIR",
    type=click.Path(path_type=bytes, exists=True, file_okay=False),
    help="A name that leads outside DIR is an error, and is never opened.",
)
@click.option("--allow-block-devices", is_flag=True, help="Let names, and IMAGE, lead to block devices.")
@click.option(
    "--repair",
    type=click.Choice([Repair.SAFE.value, Repair.ALL.value]),
    help="Mend the image: safe clears trailing bits and what follows the bitmap; all mends flags and sizes "
    "too where one reading alone is possible. Replaced bytes are kept in IMAGE.repair-1.jsonl.",
)
@click.option("--dry-run", is_flag=True, help="With --repair: say what would be done, change nothing.")
@click.option("--list-rules", is_flag=True, help="List the rules, and exit.")
@click.option("--explain", metavar="RULE", shell_complete=_rule_ids, help="Explain a rule, and exit.")
@click.option(
    "--schema", "show_schema", is_flag=True, help="Print the JSON Schema of --output json, and exit."
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing of sound images, and show no progress.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colour the human report; auto colours on a terminal, unless NO_COLOR is set.",
)
@click.version_option(__version__, prog_name="addcow-check")
def command(**options: Any) -> int:  # noqa: ANN401 - click's options, taken apart below
    """Check add-cow images: the header, the names, the files that they lead to, and the bitmap.

    Nothing is changed unless --repair is given.
    """
    if options["show_schema"]:
        click.echo(schema(), nl=False)
        return 0
    if options["list_rules"] or options["explain"]:
        from addcow_conformance import _catalogue  # noqa: PLC0415 - only where a rule is asked for

        text = (
            _catalogue.explain(options["explain"])
            if options["explain"]
            else _catalogue.listing(options["output"])
        )
        click.echo(text)
        return 0
    if not options["images"]:
        raise UsageError("no image given: addcow-check IMAGE...")
    if options["dry_run"] and not options["repair"]:
        raise UsageError("--dry-run needs --repair safe or --repair all")
    return _run(_request(options))


def _request(options: dict[str, Any]) -> _Request:
    check = CheckOptions(
        revision=None if options["revision"] == "auto" else Revision(options["revision"]),
        profile=Profile(options["profile"]),
        follow_chain=not options["no_chain"],
        confine=options["confine"],
        allow_block_devices=options["allow_block_devices"],
        max_findings=options["max_findings"],
        buckets=_BUCKETS if options["output"] == "html" else 0,
    )
    to_terminal = options["target"] is None and sys.stdout.isatty()
    auto = to_terminal and "NO_COLOR" not in os.environ
    return _Request(
        images=options["images"],
        recursive=options["recursive"],
        job=Job(check, Repair(options["repair"] or Repair.NONE), dry_run=options["dry_run"]),
        fail_on=Severity(options["fail_on"]),
        output=options["output"],
        target=options["target"],
        processes=processes(options["jobs"], options["scheduler"]),
        scheduler=options["scheduler"],
        quiet=options["quiet"],
        color={"always": True, "never": False}.get(options["color"], auto),
    )


def _run(request: _Request) -> int:
    statuses: set[int] = set()
    silent = request.quiet and request.output == "human"

    def noted() -> Iterator[Report]:
        for report in _terminal.guard(_reports(request), request.target):
            statuses.add(exit_status(report, request.fail_on))
            if not silent or report.findings or report.problem or report.repairs:
                yield report

    if request.target is not None and request.job.repair is not Repair.NONE:
        # What must not be replaced is known before anything is mended.
        for _ in _terminal.guard(_reports(request.without_repair()), request.target):
            pass
    pieces = render(noted(), output=request.output, many=request.many and not silent, color=request.color)
    if request.target is not None:
        _terminal.write_file(pieces, request.target)
    else:
        if request.output != "human" and isinstance(sys.stdout, TextIOWrapper):
            # Programs read these, whatever the locale of the people.
            sys.stdout.reconfigure(encoding="utf-8")
        sys.stdout.writelines(pieces)
    if not statuses:
        where = ", ".join(map(printable, request.images))
        _say(f"no add-cow image below {where}")
        return FOREIGN
    return worst(statuses)


def _reports(request: _Request) -> Iterator[Report]:
    apart = request.target is not None or not sys.stdout.isatty()
    images = find_images(request.images, request.job, recursive=request.recursive)
    if not request.many and request.scheduler is None:
        progress = _terminal.Progress("reading the bitmap", enabled=not request.quiet)
        report = request.job(request.images[0], progress)
        progress.close()
        yield report
        return
    known = list(images)
    progress = _terminal.Progress("checking images", enabled=apart and not request.quiet)
    with _workers(request, len(known)) as found:
        for done, report in enumerate(check_all(known, request.job, found), 1):
            progress(done, len(known))
            yield report
    progress.close()


def _workers(request: _Request, images: int) -> AbstractContextManager[Workers | None]:
    """Who checks so many images; None for this process alone."""
    if request.scheduler is None and request.processes == 1:
        return nullcontext()
    paths = [*request.images, request.job.options.confine or b"/"]
    directory = None if all(map(os.path.isabs, paths)) else os.getcwdb()
    count = min(request.processes, max(images, 1))
    return workers(Work(directory=directory), count=count, scheduler=request.scheduler)


def main() -> None:
    """Entry point: run the command and exit with its status."""
    _terminal.open_closed_streams()
    signal.signal(signal.SIGTERM, partial(_terminated, os.getpid()))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = command.main(prog_name="addcow-check", standalone_mode=False)
        sys.stdout.flush()
    except (click.UsageError, UsageError) as error:
        status = _USAGE
        message = error.format_message() if isinstance(error, click.UsageError) else str(error)
        _say(f"{message} (see addcow-check --help)")
    except click.exceptions.Exit as error:
        status = error.exit_code
    except ClusterError as error:
        status = _FAILED
        _say(str(error))
    except (click.Abort, KeyboardInterrupt):
        status = _INTERRUPTED
    except BrokenPipeError:
        # The reader has gone; nothing more can be said, and the flush at exit must not say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = _FAILED
    except OSError as error:
        status = _FAILED
        _say(f"{printable(os.fsencode(error.filename or '')) or 'output'}: {os.strerror(error.errno or 0)}")
    except Exception as error:  # noqa: BLE001 - a bug of ours is status 1 in one line, never a verdict
        status = _FAILED
        _say(f"internal error: {type(error).__name__}: {error}")
    sys.exit(status)


def _terminated(parent: int, number: int, _frame: object) -> None:
    """End by an exception, so that workers end and half-written files go; a worker itself ends at once."""
    if os.getpid() != parent:
        os._exit(128 + number)
    raise SystemExit(128 + number)


def _say(message: str) -> None:
    _terminal.say(f"addcow-check: {message}")


if __name__ == "__main__":
    main()
