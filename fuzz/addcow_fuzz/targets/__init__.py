"""The fuzz targets, by name; each is a module that runs as a program, too."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TARGETS", "Target", "TargetModule", "load"]


class Target(NamedTuple):
    """A fuzz target.

    Attributes:
        name: its name; the module is ``fuzz_`` and the name.
        title: what it tries, in a line.
        max_len: bytes of the largest input.
        compares: whether what was compared with what tells its mutators anything. Those that move whole files
            and operations come to the same edges without, and to trace it is a twelfth of an execution.
    """

    name: str
    title: str
    max_len: int
    compares: bool = True

    @property
    def module(self) -> str:
        """The name of the module."""
        return f"{__name__}.fuzz_{self.name}"


class TargetModule(Protocol):
    """What a target's module has."""

    check_one: Callable[[bytes], None]


_ALL = (
    Target("header", "bytes to the parsers of all revisions and of qcow2", 4096 + 512),
    Target("roundtrip", "what is parsed is built again, and parsed again", 4096 + 512),
    Target("image", "files of an image: checker and engine agree, by one rule", 16 << 10, compares=False),
    Target("resolve", "names: links, cycles, a directory to stay in", 4096),
    Target("ops", "operations, faults and losses of power, beside the oracle", 4096, compares=False),
    Target("chain", "layers of add-cow and qcow2, one on the other", 16 << 10, compares=False),
    Target("cache", "the cache of the bitmap, beside a plain array of bits", 4096),
    Target("qcow2", "qcow2 files, beside what qemu-img said of them", 64 << 10),
    Target("repair", "a repair is done once, and touches no data of the guest", 16 << 10, compares=False),
    Target("report", "any finding, in every format, can be read again", 16 << 10, compares=False),
    Target("differential", "an implementation beside the reference engine", 4096, compares=False),
)

TARGETS = {target.name: target for target in _ALL}


def load(name: str) -> TargetModule:
    """The module of a target.

    Raises:
        KeyError: there is no such target.
    """
    return cast("TargetModule", import_module(TARGETS[name].module))
