"""Commands of programs that speak the protocol, rightly and wrongly, and programs of operations for them."""

from __future__ import annotations

import random
import shlex
import sys

from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Fault,
    Flush,
    Kill,
    Race,
    Read,
    Reopen,
    Resize,
    Stream,
    Via,
    Write,
    Zeroes,
)
from addcow_spec.model import Revision
from tests.repo.tree import ROOT

__all__ = ["NODE", "REFERENCE", "faulty", "random_disk", "random_operation", "target_name", "wrong"]

CLUSTER = 65536
REFERENCE = (sys.executable, "-m", "addcow_conformance.adapters.reference")
NODE = ("node", str(ROOT / "conformance/examples/stdio-node/main.js"))
HERE = ROOT / "tests/conformance"


def wrong(mode):
    """The command of `wrong_program.py`."""
    return (sys.executable, "-S", "-E", str(HERE / "wrong_program.py"), mode)


def faulty(fault):
    """The command of `faulty_program.py`; the environment is that of the program alone."""
    return ("env", f"ADDCOW_TEST_FAULT={fault}", sys.executable, str(HERE / "faulty_program.py"))


def target_name(command):
    """The command as a target is named."""
    return "stdio:" + shlex.join(command)


def random_disk(rng, revisions=tuple(Revision), kinds=tuple(BackingKind)):
    size = rng.choice([0, 512, 65536, 3 * CLUSTER, 2 * CLUSTER + 512])
    below = Backing(rng.choice(kinds), rng.choice([0, 1000, 70000, size, size + 70000]))
    return Disk(rng.choice(revisions), size, rng.choice([None, below]))


def random_operation(rng, size):
    edges = [0, size, size // 2, 70_000, CLUSTER, 2 * CLUSTER]

    def place():
        offset = max(0, rng.choice(edges) + rng.choice([0, -1, 1, -512, 512, -700]))
        return offset, rng.choice([0, 1, 511, 512, 4096, CLUSTER + 1])

    def inside():
        offset = rng.randrange(size + 1)
        return offset, rng.randrange(min(size - offset, 100_000) + 1)

    def somewhere():
        return rng.choice([place, inside, inside])()

    makers = [
        lambda: Write(*somewhere(), rng.randrange(1, 9), rng.random() < 0.2),
        lambda: Write(*somewhere(), rng.randrange(1, 9)),
        lambda: Zeroes(*somewhere(), rng.random() < 0.5),
        lambda: Read(*somewhere()),
        Flush,
        Kill,
        lambda: Reopen(rng.random() < 0.8, rng.choice(list(Via))),
        lambda: Resize(max(0, size + rng.choice([-512, 512, -CLUSTER, CLUSTER]))),
        lambda: Stream(rng.choice([None, 0, 1])),
        lambda: Fault(1),
        lambda: Race(
            Write(*somewhere(), 3), rng.choice([Write(*somewhere(), 4), Read(*somewhere()), Flush()])
        ),
    ]
    return rng.choice(makers)()


def seeded(seed):
    """A random generator that gives the same each time."""
    return random.Random(seed)  # noqa: S311 - the same each time is what is wanted
