"""What an implementation has to offer so that programs can be run on it: two functions, and an image.

The reference engine is such an implementation as it is. The names are those of its public API
(`addcow_ref.create_image`, `addcow_ref.open_image`, `addcow_ref.Image`), and so are the meanings.

An implementation in a process of its own is a target by way of an adapter (`adapters/`). It has
``abilities``, and works on the files itself: no storage call of its is seen, or can be made to fail.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from addcow_spec.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from addcow_ref.storage import Storage
    from addcow_spec.model import Revision

__all__ = [
    "REFERENCE",
    "TIMEOUT",
    "Extent",
    "ExternalImage",
    "ExternalTarget",
    "Image",
    "Target",
    "abilities_of",
    "is_external",
    "load_target",
]

REFERENCE = "python:addcow_ref"
# Seconds that an answer of another process may take.
TIMEOUT = 30.0

# What loads the targets of each scheme. By their names, as adapters know targets and not the other way round.
_ADAPTERS = {scheme: f"addcow_conformance.adapters.{scheme}" for scheme in ("stdio", "nbd", "qemu", "cli")}
_WANTED = "python:MODULE, python:MODULE:ATTRIBUTE, stdio:COMMAND, nbd:COMMAND, qemu:COMMANDS or cli:COMMANDS"

# What a module can do, as it works in this process: all that there is.
_REQUESTS = ("create", "write", "zeroes", "extents", "resize", "stream", "info", "fua", "parallel")
_ALL = frozenset({*_REQUESTS, "directory", "kill", "backing-qcow2", "backing-add-cow", "storage"})


class Extent(Protocol):
    """A range of the disk whose bytes come from one place; see `addcow_ref.Extent`."""

    @property
    def start(self) -> int:
        """First byte on the disk."""

    @property
    def length(self) -> int:
        """Bytes, 1 or more."""

    @property
    def depth(self) -> int:
        """Layer that it is allocated in; 0 is the image itself."""

    @property
    def present(self) -> bool:
        """Whether any layer has it."""

    @property
    def zero(self) -> bool:
        """Whether it is known to read as zeros."""


class Image(Protocol):
    """An opened image.

    Whatever a storage fails at is a StorageError; what makes no sense, such as a range outside the disk or a
    write to an image that is open for reading, is a UsageError (ACW-DYN-007).
    """

    @property
    def size(self) -> int:
        """Bytes of the disk."""

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the disk."""

    def write(self, offset: int, data: bytes, *, fua: bool = False) -> None:
        """Write; return when it is durable with ``fua``."""

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True, fua: bool = False) -> None:
        """Write zeros, as a hole with ``unmap`` where that can be."""

    def flush(self) -> None:
        """Make every write that has returned durable (ACW-DYN-005)."""

    def extents(self) -> Iterable[Extent]:
        """The disk cut up by where its bytes come from."""

    def resize(self, size: int) -> None:
        """Change the size (ACW-DYN-011)."""

    def stream(self, *, stop: Callable[[], bool] | None = None) -> bool:
        """Copy what is below until all is copied, or ``stop`` says so (ACW-DYN-012); whether all is."""

    def close(self) -> None:
        """Flush, and close all files."""


class ExternalImage(Image, Protocol):
    """An image that another process has open."""

    def kill(self) -> None:
        """End without a flush, as a process that is killed.

        Raises:
            AdapterError: the process had ended before.
        """


class Target(Protocol):
    """An implementation: a module, or whatever has these functions."""

    def create_image(
        self,
        target: Storage,
        image_file: bytes,
        *,
        backing_file: bytes | None,
        backing_format: Any,  # noqa: ANN401 - "raw" or None
        revision: Revision,
    ) -> None:
        """Make an image in an empty file (ACW-DYN-010)."""

    def open_image(self, target: Storage, *, writable: bool, revision: Revision, cache_size: int) -> Image:
        """Open an image; the storage is the image's from then on, and so are those it opens."""


class ExternalTarget(Target, Protocol):
    """An implementation in processes of its own, by way of an adapter. It is a context manager, too.

    Attributes:
        about: what it is called, in ``name``, ``version``, ``language``, ``homepage`` and ``issues``, each of
            which may be empty, and the ``revisions`` that it has.
        abilities: what it can do; see `abilities_of`.
        transcript: the lines of a shell script that does again what was done, in ``lines``; kept from its
            ``start`` on.
    """

    about: Any
    abilities: frozenset[str]
    transcript: Any

    @property
    def processes(self) -> tuple[int, ...]:
        """The leaders of the process groups that have an image open."""

    def probe(self) -> None:
        """Have it do what tells whether the adapter works.

        Raises:
            AdapterError: it does not.
        """

    def close(self) -> None:
        """End what runs; the next request starts it again.

        Raises:
            AdapterError: it does not end as it should.
        """


def abilities_of(target: Target) -> frozenset[str]:
    """What an implementation can do: words of the protocol's capabilities.

    ``storage`` is one more: it does its work on the storages that it is given, in this process.
    """
    found: frozenset[str] = getattr(target, "abilities", _ALL)
    return found


def is_external(target: Target) -> bool:
    """Whether an implementation works on the files itself, in a process of its own."""
    return "storage" not in abilities_of(target)


def load_target(
    name: str, *, timeout: float = TIMEOUT, validate: bool = False, under: Sequence[str] = ()
) -> Target:
    """The implementation of a name: ``python:MODULE``, ``python:MODULE:ATTRIBUTE``, or that of an adapter.

    Args:
        name: the name.
        timeout: seconds that an answer of another process may take.
        validate: whether to hold every message of a protocol against its JSON Schema.
        under: the words of a command that runs the program of an adapter, such as those of strace.

    Raises:
        UsageError: there is none of that name, or it is none.
        AdapterError: it is a program that cannot be started, or does not speak the protocol.
    """
    scheme, colon, rest = name.partition(":")
    if colon and scheme in _ADAPTERS:
        adapter: Any = import_module(_ADAPTERS[scheme])
        return cast("Target", adapter.load(rest, timeout=timeout, validate=validate, under=under))
    if scheme != "python" or not colon or rest.startswith("."):
        raise UsageError(f"target {name!a}: {_WANTED} is wanted")
    return _load_module(name, rest)


def _load_module(name: str, place: str) -> Target:
    module, _, attribute = place.partition(":")
    try:
        found: Any = import_module(module)
        found = getattr(found, attribute) if attribute else found
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"target {name!a}: {error}") from error
    missing = [part for part in ("create_image", "open_image") if not callable(getattr(found, part, None))]
    if missing:
        raise UsageError(f"target {name!a} has no {' and no '.join(missing)}")
    return cast("Target", found)
