"""What does the work of a command: processes of this machine, or the workers of a Dask cluster."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from addcow_conformance._work import ClusterError, Work
from addcow_spec.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

__all__ = ["ClusterError", "Work", "Workers", "processes", "scheduler_option", "workers"]

_Command = TypeVar("_Command", bound="Callable[..., Any] | click.Command")


class Workers(NamedTuple):
    """An executor, and how many calls it can do at a time.

    A call fails by `BrokenExecutor` where a worker has died that was at it, or at another call beside it.
    """

    executor: Executor
    width: int


def scheduler_option(files: str) -> Callable[[_Command], _Command]:
    """The option --scheduler.

    Args:
        files: which files the workers must reach, for the help.
    """
    return click.option(
        "--scheduler",
        metavar="ADDRESS",
        help=f"Work on a Dask cluster, such as tcp://192.0.2.1:8786. {files}",
    )


def processes(jobs: int | None, scheduler: str | None) -> int:
    """How many processes --jobs asks for: 1 without it, one a processor for 0.

    Raises:
        UsageError: a cluster is asked for as well, which has workers of its own.
    """
    if scheduler is not None and jobs is not None:
        raise UsageError(
            "--jobs is for processes of this machine: --scheduler takes all threads of the cluster"
        )
    return os.cpu_count() or 1 if jobs == 0 else jobs or 1


@contextmanager
def workers(work: Work, *, count: int, scheduler: str | None) -> Iterator[Workers]:
    """Workers, which are gone, or given back, when the block is left.

    Args:
        work: what the work is like.
        count: how many processes, 1 or more.
        scheduler: the address of a cluster's scheduler, to take its workers instead.

    Raises:
        ClusterError: the cluster does not answer; see `_cluster`.
        UsageError: there can be no such cluster.
    """
    # Both are slow to import, and needed where there is much to do.
    if scheduler is None:
        from addcow_conformance._workers import pool  # noqa: PLC0415

        with pool(count, finish=work.finish, start=work.start) as executor:
            yield Workers(executor, count)
        return
    from addcow_conformance._cluster import cluster  # noqa: PLC0415

    with cluster(scheduler, work) as (executor, threads):
        yield Workers(executor, threads)
