"""addcow-fuzz campaign: all targets in turn, past all that is found."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from addcow_conformance._executor import Work, scheduler_option, workers
from addcow_conformance._signals import SIGNALS
from addcow_conformance._terminal import say
from addcow_conformance.commands._failure import DONE, FAILED, VIOLATED
from addcow_conformance.commands._output import emit
from addcow_fuzz.campaign import Campaign, Plan, Standing, Store, standing
from addcow_fuzz.campaign._live import opened_view
from addcow_fuzz.commands._given import failures, registry, registry_option, subjects
from addcow_fuzz.dictionary import dictionary
from addcow_spec.errors import UsageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from addcow_fuzz.campaign import Found

__all__ = ["command"]

_SHOWN = 5
# The live view is a thread; slices keep to their time by themselves, and workers may be gone for a while.
_WORK = Work(start="spawn", seconds=None, absence=None)

_EPILOG = """\b
Examples:
  addcow-fuzz campaign found --minutes 60 --seeds corpora/seeds
  addcow-fuzz campaign found --target header --target image --jobs 2
  addcow-fuzz campaign found --registry corpora/findings.toml
  addcow-fuzz campaign found --scheduler tcp://192.0.2.1:8786 --pool s3://bucket/pool

\b
DIR holds the corpus of each target, a folder for each finding, and AFL's
fuzzer_stats and plot_data of each target. A campaign that ended, was interrupted
or was cut off goes on from DIR. Findings are told on standard output, once.

\b
Exit status:
  0    no finding, or only ones that are known
  1    a target had to be given up, a file could not be read or written, or the pool
       or the cluster could not be reached
  64   wrong usage, or a registry that cannot be used
  77   a finding that is new, or that was fixed and is back
  130  interrupted by SIGINT; 143 by SIGTERM
"""


@click.command("campaign", epilog=_EPILOG)
@click.argument("directory", metavar="DIR")
@click.option("--target", "targets", metavar="TARGET", multiple=True, help="Only this one; can be repeated.")
@click.option(
    "--minutes",
    metavar="N",
    type=click.FloatRange(0.02, 1_000_000),
    default=60.0,
    show_default=True,
    help="How long.",
)
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(0, 256),
    default=0,
    help="Slices at a time; 0, the default, for one a processor, or one a thread of the cluster.",
)
@click.option(
    "--slice",
    "length",
    metavar="SECONDS",
    type=click.IntRange(1, 86400),
    default=60,
    show_default=True,
    help="How long a target runs before the next one.",
)
@scheduler_option("All reach DIR by the same path, or --pool.")
@click.option(
    "--pool",
    metavar="URL",
    default="",
    help="Where workers find the corpus and put what they find, such as s3://bucket/pool; none needs DIR.",
)
@registry_option
@click.option("--seeds", metavar="DIR", default="", help="A directory of inputs for each target, by name.")
@click.option(
    "--seed",
    metavar="S",
    type=click.IntRange(1, (1 << 32) - 1),
    help="Makes what is drawn repeatable; another one each time, without it.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.IntRange(1, 3600),
    default=10,
    show_default=True,
    help="How long an input may take.",
)
@click.option(
    "--memory",
    metavar="MIB",
    type=click.IntRange(64, 1 << 20),
    default=2048,
    show_default=True,
    help="How much memory a target may have.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no live view.")
def command(
    *,
    directory: str,
    targets: tuple[str, ...],
    minutes: float,
    jobs: int,
    length: int,
    scheduler: str | None,
    pool: str,
    registry_file: str | None,
    seeds: str,
    seed: int | None,
    timeout: int,
    memory: int,
    quiet: bool,
) -> int:
    """Fuzz all targets in turn, and keep inputs and findings in DIR."""
    if seeds and not os.path.isdir(seeds):
        raise UsageError(f"--seeds {printable(os.fsencode(seeds))}: no such directory")
    with failures(), ExitStack() as stack:
        count = jobs or os.cpu_count() or 1
        executor, width = stack.enter_context(workers(_WORK, count=count, scheduler=scheduler))
        plan = Plan(
            subjects=subjects(targets),
            seconds=minutes * 60,
            workers=jobs or width,
            length=length,
            registry=registry(registry_file),
            seeds=seeds,
            pool=pool,
            dictionary=dictionary(),
            seed=seed or int.from_bytes(os.urandom(4), "big"),
            timeout=timeout,
            memory=memory,
        )
        store = Store(directory)
        stack.enter_context(store.locked())
        campaign = Campaign(store, plan, _tell, _complain)
        with opened_view(enabled=not quiet) as look:
            campaign.run(executor, look)
        SIGNALS.check()
        found = [standing(told["token"], plan.registry) for told in store.findings()]
    if campaign.strange:
        say(_passed_over(sorted(campaign.strange)))
    if campaign.failures:
        return FAILED
    return VIOLATED if any(how.is_news for how in found) else DONE


def _passed_over(paths: list[str]) -> str:
    shown = ", ".join(printable(os.fsencode(path)) for path in paths[:_SHOWN])
    return f"addcow-fuzz: passed over {len(paths)} in the pool that no campaign has written: {shown}"


def _tell(found: Found, how: Standing) -> None:
    emit([f"{how}: {found.token} ({found.target}, {len(found.smallest):,} bytes)\n"])


def _complain(line: str) -> None:
    say(f"addcow-fuzz: {line}")
