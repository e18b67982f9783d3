"""What each system call means for the files of an image.

Every successful call that names one of them is either understood, known to change nothing, or an error: what
cannot be seen must not pass for what was not done.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from addcow_conformance.powerloss._descriptors import Description, Descriptors
from addcow_conformance.powerloss._strace import Call, CannotTrace, descriptor, number, text
from addcow_conformance.powerloss._timeline import Step, Timeline, TracedFile
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from addcow_ref.storage import Identity

__all__ = ["Tracer"]

_Handler: TypeAlias = "Callable[[Tracer, Call], None]"

_IOV = re.compile(r'iov_base=("[^"]*")')
# The data come from elsewhere: number of the descriptor that is read, of its offset, and of the one written.
_COPIES = {"sendfile": (1, 2, 0), "copy_file_range": (0, 1, 2), "splice": (0, 1, 2)}
# What changes no bytes, or makes none durable.
_HARMLESS = re.compile(
    r"p?read(64|v2?|ahead|link|linkat)|(f|l|new)?(f?stat|statx?)(at|fs)?|f?access(at2?)?|sync_file_range|fadvise64"
    r"|[lf]?ch(mod|own)(at)?|getcwd|utimensat|futimesat|[lf]?(get|list)xattr|symlink(at)?|flock|execveat"
    r"|name_to_handle_at|inotify_add_watch|p?poll|p?select6?|sendto|recvfrom"
)
_IOCTLS = re.compile(
    r"TCGETS|FIONREAD|FIOCLEX|FIONCLEX|FIGETBSZ|FS_IOC_FIEMAP|FS_IOC_GETFLAGS|FS_IOC_FSGETXATTR|BLK\w*GET\w*"
)


class Tracer:
    """Calls in, the log of events out.

    Args:
        directory: real path of the directory of the files.
        wanted: what events call the files, by their paths.
        lengths: bytes of those that are there in the beginning, by path.
    """

    def __init__(
        self, directory: bytes, wanted: Mapping[bytes, Identity], lengths: Mapping[bytes, int]
    ) -> None:
        self._directory = directory
        self._wanted = wanted
        self._descriptors = Descriptors(
            directory, {path: TracedFile(length, wanted[path]) for path, length in lengths.items()}
        )
        self._timeline = Timeline()
        # Working directories as they were told last, and still are.
        self._working: dict[int, bytes] = {}
        # What is mapped: the file, and the first byte in memory, and the end.
        self._mapped: list[tuple[Description, int, int]] = []
        names = "|".join(_hexadecimal(os.path.basename(path)) for path in wanted)
        self._mention = re.compile(rf'(?:["<]|\\x2f)(?:{names})[">]')

    def run(self, calls: Iterable[Call]) -> Iterator[Step]:
        """The log after each line that changes it.

        Args:
            calls: all calls of a log, in the order in which they began.

        Raises:
            CannotTrace: one of them does to the files what is not understood.
        """
        found = list(calls)
        points = [(call.entered, False, call) for call in found]
        points += [(call.returned, True, call) for call in found if call.returned is not None]
        for line, over, call in sorted(points, key=lambda point: point[:2]):
            if call.error:
                continue
            self._do(call, over=over)
            step = self._timeline.take(line)
            if step:
                yield step

    def _do(self, call: Call, *, over: bool) -> None:
        if call.inside.startswith("AT_FDCWD<"):
            self._working[call.process] = descriptor(call.arguments[0])[1]
        handler = (self._RETURNED if over else self._ENTERED).get(call.name)
        if handler:
            handler(self, call)
        elif not self._is_known(call.name) and self._mention.search(call.inside):
            raise CannotTrace(f"{call.name} of a file of the image is not understood")

    def _is_known(self, name: str) -> bool:
        return name in self._ENTERED or name in self._RETURNED or bool(_HARMLESS.fullmatch(name))

    # --- descriptors

    def _open(self, call: Call) -> None:
        opened = self._descriptors.opened(call)
        if opened is None:
            return
        if call.path in self._wanted and opened.file.identity is None:
            self._timeline.publish(opened.file, self._wanted[call.path])
        if ("O_TRUNC" in call.inside or call.name == "creat") and opened.file.length:
            self._timeline.truncate(opened.file, 0, call.returned)

    def _copy_descriptor(self, call: Call) -> None:
        self._descriptors.copied(call)

    def _fcntl(self, call: Call) -> None:
        arguments = call.arguments
        if arguments[1].startswith("F_DUPFD"):
            self._descriptors.copied(call)
        elif arguments[1] == "F_SETFL":
            opened = self._descriptors.of(call, arguments[0])
            if opened:
                opened.append = "O_APPEND" in arguments[2]

    def _close(self, call: Call) -> None:
        at = descriptor(call.arguments[0])[0] or 0
        self._descriptors.closed(call, at, at)

    def _close_range(self, call: Call) -> None:
        first, last, flags = call.arguments
        if "CLOSE_RANGE_UNSHARE" in flags:
            self._descriptors.parted(call)
        if "CLOSE_RANGE_CLOEXEC" not in flags:
            self._descriptors.closed(call, number(first), number(last))

    def _fork(self, call: Call) -> None:
        self._descriptors.forked(call)

    def _part(self, call: Call) -> None:
        self._descriptors.parted(call)

    # --- offsets

    def _seek(self, call: Call) -> None:
        opened = self._descriptors.of(call, call.arguments[0])
        if opened and call.result is not None:
            opened.offset = call.result

    def _read(self, call: Call) -> None:
        opened = self._descriptors.of(call, call.arguments[0])
        if opened:
            opened.offset += call.result or 0

    # --- changes

    def _write(self, call: Call) -> None:
        """``write`` and ``writev``, at the offset; with an offset in the call, `_write_at`."""
        opened = self._descriptors.of(call, call.arguments[0])
        if opened:
            offset = opened.file.length if opened.append else opened.offset
            opened.offset = offset + self._put(call, opened, offset)

    def _write_at(self, call: Call) -> None:
        arguments = call.arguments
        opened = self._descriptors.of(call, arguments[0])
        if opened is None:
            return
        offset = number(arguments[3])
        if offset == -1 and call.name == "pwritev2":
            self._write(call)
            return
        # Linux appends to what is open for appending, whatever the offset.
        append = opened.append or "RWF_APPEND" in arguments[-1]
        self._put(call, opened, opened.file.length if append else offset)

    def _put(self, call: Call, opened: Description, offset: int) -> int:
        """Bytes are written at an offset; how many."""
        argument = call.arguments[1]
        pieces = _IOV.findall(argument) if argument.startswith("[") else [argument]
        data = b"".join(map(text, pieces))
        if call.result is not None:
            if len(data) < call.result:
                raise CannotTrace(f"{call.name} of {call.result} bytes: not all of them were seen")
            data = data[: call.result]
        if data:
            self._timeline.write(opened.file, offset, data, call.returned)
        return len(data)

    def _written(self, call: Call) -> None:
        """A write has returned; some are durable then."""
        opened = self._descriptors.of(call, call.arguments[0])
        if opened and (opened.syncs or re.search("RWF_D?SYNC", call.arguments[-1])):
            self._timeline.sync_write(opened.file, call.returned)

    def _ftruncate(self, call: Call) -> None:
        opened = self._descriptors.of(call, call.arguments[0])
        if opened:
            self._timeline.truncate(opened.file, number(call.arguments[1]), call.returned)

    def _truncate(self, call: Call) -> None:
        (path,), length = self._paths(call), call.arguments[1]
        file = self._descriptors.named(call, path) or self._descriptors.named(call, os.path.realpath(path))
        if file:
            self._timeline.truncate(file, number(length), call.returned)

    def _fallocate(self, call: Call) -> None:
        argument, mode, start, size = call.arguments
        opened = self._descriptors.of(call, argument)
        if opened is None:
            return
        flags, file = set(mode.split("|")) - {"0", "FALLOC_FL_KEEP_SIZE"}, opened.file
        offset, end, keep = number(start), number(start) + number(size), "KEEP_SIZE" in mode
        last = min(end, file.length) if keep else end
        if flags in ({"FALLOC_FL_PUNCH_HOLE"}, {"FALLOC_FL_ZERO_RANGE"}):
            unmap = "FALLOC_FL_PUNCH_HOLE" in flags
            if offset < last:
                self._timeline.zero(file, offset, last - offset, call.returned, unmap=unmap)
        elif flags:
            raise CannotTrace(f"fallocate with {mode} is not understood")
        elif last > file.length:
            self._timeline.truncate(file, last, call.returned)

    def _copy(self, call: Call) -> None:
        """``copy_file_range`` and its like: what is copied is not seen."""
        source, offset, target = (call.arguments[at] for at in _COPIES[call.name])
        opened = self._descriptors.of(call, target)
        if opened and call.result != 0:
            self._unseen(opened, f"{call.name} into a file of the image: the bytes are not seen")
        read = self._descriptors.of(call, source)
        if read and offset == "NULL":
            read.offset += call.result or 0

    # --- syncs

    def _fsync(self, call: Call) -> None:
        opened = self._descriptors.of(call, call.arguments[0])
        if opened:
            self._timeline.sync(opened.file, call.entered, call.returned)

    def _sync(self, call: Call) -> None:
        for file in dict.fromkeys(self._descriptors.names.values()):
            self._timeline.sync(file, call.entered, call.returned)

    def _syncfs(self, call: Call) -> None:
        path = descriptor(call.arguments[0])[1]
        if os.path.dirname(path) != self._directory and path != self._directory:
            raise CannotTrace(f"syncfs of {printable(path)}: what it syncs is not known")
        self._sync(call)

    # --- names

    def _move(self, _call: Call) -> None:
        """Threads may share a working directory, and which do is not followed."""
        self._working.clear()

    def _path(self, call: Call, name: bytes, directory: bytes | None = None) -> bytes:
        """The path of a name, links on the way to it resolved.

        Raises:
            CannotTrace: it is relative to what is not known, and may be a file of the image.
        """
        start = self._working.get(call.process, b"") if directory is None else directory
        parent, base = os.path.split(os.path.join(start, name))
        if not os.path.isabs(parent) and base in map(os.path.basename, self._wanted):
            raise CannotTrace(f"{printable(name)}: whether it is a file of the image is not known")
        return os.path.join(os.path.realpath(parent), base)

    def _paths(self, call: Call) -> list[bytes]:
        """The paths that a call names, each relative to the descriptor before it where there is one."""
        found, directory = [], None
        for argument in call.arguments:
            if argument.startswith('"'):
                found.append(self._path(call, text(argument), directory))
            elif "<" in argument:
                directory = descriptor(argument)[1]
        return found

    def _rename(self, call: Call) -> None:
        old, new = self._paths(call)
        if old in self._wanted or "RENAME_EXCHANGE" in call.inside:
            raise CannotTrace(f"{call.name} of a file of the image is not understood")
        file = self._descriptors.names.pop(old, None)
        self._give(call, file, new)

    def _link(self, call: Call) -> None:
        old, new = self._paths(call)
        self._give(call, self._descriptors.named(call, old), new)

    def _give(self, call: Call, file: TracedFile | None, new: bytes) -> None:
        """A file has a name; what it had been written until then is there at once."""
        if new not in self._wanted:
            if file is not None:
                self._descriptors.names[new] = file
            return
        if new in self._descriptors.names or file is None or file.made is None:
            raise CannotTrace(f"{call.name} puts another file in the place of one of the image")
        self._descriptors.names[new] = file
        self._timeline.publish(file, self._wanted[new])

    def _unlink(self, call: Call) -> None:
        (path,) = self._paths(call)
        if path in self._wanted:
            raise CannotTrace(f"{call.name} of a file of the image is not understood")
        self._descriptors.names.pop(path, None)

    # --- what is not seen

    @staticmethod
    def _unseen(opened: Description, message: str) -> None:
        """What a file holds is not known any more.

        Raises:
            CannotTrace: it is one of the image.
        """
        if opened.file.identity is not None:
            raise CannotTrace(message)
        opened.file.made = None

    def _mmap(self, call: Call) -> None:
        _, size, protection, flags, argument, _ = call.arguments
        if argument == "-1" or "MAP_SHARED" not in flags:
            return
        opened = self._descriptors.of(call, argument)
        if opened:
            start = call.result or 0
            self._mapped.append((opened, start, start + number(size)))
            self._check_protection(opened, protection)

    def _mprotect(self, call: Call) -> None:
        start, size, protection, *_ = call.arguments
        first = number(start)
        for opened, begin, end in self._mapped:
            if first < end and begin < first + number(size):
                self._check_protection(opened, protection)

    def _check_protection(self, opened: Description, protection: str) -> None:
        if "PROT_WRITE" in protection:
            self._unseen(opened, "a file of the image is mapped for writing: what is written is not seen")

    def _ioctl(self, call: Call) -> None:
        argument, request, *_ = call.arguments
        opened = self._descriptors.of(call, argument)
        if opened and not _IOCTLS.fullmatch(request):
            self._unseen(opened, f"ioctl {request} of a file of the image is not understood")

    def _hide(self, call: Call) -> None:
        raise CannotTrace(f"{call.name}: what is written by way of it is not seen")

    _ENTERED: ClassVar[dict[str, _Handler]] = {
        **dict.fromkeys(("clone", "clone3", "fork", "vfork"), _fork),
        **dict.fromkeys(("write", "writev"), _write),
        **dict.fromkeys(("pwrite64", "pwritev", "pwritev2"), _write_at),
        "ftruncate": _ftruncate,
        "truncate": _truncate,
        "fallocate": _fallocate,
        **dict.fromkeys(_COPIES, _copy),
    }
    _RETURNED: ClassVar[dict[str, _Handler]] = {
        **dict.fromkeys(("open", "openat", "openat2", "creat"), _open),
        **dict.fromkeys(("dup", "dup2", "dup3"), _copy_descriptor),
        "fcntl": _fcntl,
        "close": _close,
        "close_range": _close_range,
        "execve": _part,
        "lseek": _seek,
        **dict.fromkeys(("read", "readv"), _read),
        **dict.fromkeys(("write", "writev", "pwrite64", "pwritev", "pwritev2"), _written),
        **dict.fromkeys(("fsync", "fdatasync"), _fsync),
        "sync": _sync,
        "syncfs": _syncfs,
        **dict.fromkeys(("chdir", "fchdir"), _move),
        **dict.fromkeys(("rename", "renameat", "renameat2"), _rename),
        **dict.fromkeys(("link", "linkat"), _link),
        **dict.fromkeys(("unlink", "unlinkat"), _unlink),
        "mmap": _mmap,
        **dict.fromkeys(("mprotect", "pkey_mprotect"), _mprotect),
        "ioctl": _ioctl,
        **dict.fromkeys(("io_submit", "io_uring_setup", "io_uring_enter"), _hide),
    }


def _hexadecimal(name: bytes) -> str:
    """A pattern of a name as strace prints it."""
    return "".join(rf"\\x{byte:02x}" for byte in name)
