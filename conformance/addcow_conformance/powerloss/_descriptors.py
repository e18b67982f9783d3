"""Which file a descriptor is of, where it stands, and how it was opened; for each process of a trace."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from addcow_conformance.powerloss._strace import CannotTrace, descriptor
from addcow_conformance.powerloss._timeline import TracedFile
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from addcow_conformance.powerloss._strace import Call

__all__ = ["Description", "Descriptors"]

_OWN = re.compile(rb"/proc/(?:self|thread-self|\d+)/fd/(\d+)")
_NEW = re.compile(r"O_TMPFILE|O_CREAT.*(O_EXCL|O_TRUNC)|(O_EXCL|O_TRUNC).*O_CREAT")


@dataclass(eq=False)
class Description:
    """An open file, which any number of descriptors share.

    Attributes:
        file: the file.
        path: the path that it was opened as.
        offset: where the next byte is read or written.
        append: whether it is written at the end, wherever it stands.
        syncs: whether a write is durable when it returns.
    """

    file: TracedFile
    path: bytes
    offset: int = 0
    append: bool = False
    syncs: bool = False


class Descriptors:
    """The descriptors of all processes, and the names of the files in one directory.

    Args:
        directory: real path of the directory.
        files: the files that are there, by real path.
    """

    def __init__(self, directory: bytes, files: Mapping[bytes, TracedFile]) -> None:
        self.names = dict(files)
        self._directory = directory
        self._tables: dict[int, dict[int, Description]] = {}

    def table(self, process: int) -> dict[int, Description]:
        """The descriptors of a process that are of files in the directory."""
        return self._tables.setdefault(process, {})

    def opened(self, call: Call) -> Description | None:
        """A call has opened a file; the description, None where it is none in the directory."""
        table, at = self.table(call.process), call.result or 0
        table.pop(at, None)
        if os.path.dirname(call.path) != self._directory:
            return None
        file = self.names.get(call.path)
        if file is None:
            new = call.name == "creat" or _NEW.search(call.inside)
            file = self.names[call.path] = TracedFile(made=[] if new else None)
        syncs = "O_SYNC" in call.inside or "O_DSYNC" in call.inside
        append = "O_APPEND" in call.inside
        table[at] = Description(file, call.path, append=append, syncs=syncs)
        return table[at]

    def copied(self, call: Call) -> None:
        """A call has made a second descriptor of a description."""
        table = self.table(call.process)
        source, at = table.get(descriptor(call.arguments[0])[0] or 0), call.result or 0
        table.pop(at, None)
        if source is not None:
            table[at] = source

    def closed(self, call: Call, first: int, last: int) -> None:
        """A call has closed descriptors."""
        table = self.table(call.process)
        for at in [at for at in table if first <= at <= last]:
            del table[at]

    def forked(self, call: Call) -> None:
        """A process is made, and has the descriptors of the one that makes it: the same, or a copy."""
        table = self.table(call.process)
        if call.result:
            self._tables[call.result] = table if "CLONE_FILES" in call.inside else dict(table)

    def parted(self, call: Call) -> None:
        """A process no longer shares its descriptors with another."""
        self._tables[call.process] = dict(self.table(call.process))

    def of(self, call: Call, argument: str) -> Description | None:
        """The description of a descriptor; None where it is of no file in the directory.

        Raises:
            CannotTrace: it is of one, and where it was opened was not seen.
        """
        at, path = descriptor(argument)
        found, known = self.table(call.process).get(-1 if at is None else at), self.names.get(path)
        if found and path and path != found.path and known is not found.file:
            # Closed by an execve, and another file's since.
            found = None
        if known and known.identity is not None and found is None:
            raise CannotTrace(f"{call.name} of {printable(path)}: where it was opened was not seen")
        return found

    def named(self, call: Call, path: bytes) -> TracedFile | None:
        """The file of a path; None where it is none that is known."""
        own = _OWN.fullmatch(path)
        if own:
            found = self.table(call.process).get(int(own[1]))
            return found.file if found else None
        return self.names.get(path)
