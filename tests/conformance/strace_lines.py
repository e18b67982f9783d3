"""Lines as strace writes them, about the files of an image; and the log that they make."""

from __future__ import annotations

from addcow_conformance.powerloss._strace import parse
from addcow_conformance.powerloss._syscalls import Tracer

__all__ = [
    "BASE",
    "DIRECTORY",
    "FORK",
    "IMAGE",
    "NAMES",
    "OPEN",
    "RAW",
    "THREAD",
    "WANTED",
    "I",
    "R",
    "after_open",
    "events",
    "fd",
    "iov",
    "logs",
    "opened",
    "path",
    "shown",
    "string",
]

IMAGE, RAW, BASE = (0, 0), (0, 1), (0, 2)
# Whatever a directory may be called.
DIRECTORY = b'/nowhere/a, (b) <c> "d"\n 7 write(3) = 1 \\ \xff'
NAMES = {"add-cow": b"disk.add-cow", "raw": b"disk.raw", "base": b"base.raw"}
WANTED = {DIRECTORY + b"/" + name: (0, at) for at, name in enumerate(NAMES.values())}


def shown(data):
    return "".join(f"\\x{byte:02x}" for byte in data)


def string(data):
    return f'"{shown(data)}"'


def iov(data):
    return f"{{iov_base={string(data)}, iov_len={len(data)}}}"


def path(name):
    return DIRECTORY + b"/" + NAMES.get(name, name.encode())


def fd(number, name):
    return f"{number}<{shown(path(name))}>"


def opened(number, name, flags="O_RDWR|O_CLOEXEC", pid=7):
    return f"{pid} openat(AT_FDCWD<{shown(b'/')}>, {string(path(name))}, {flags}) = {fd(number, name)}"


def logs(*lines, image=4096, raw=100_000):
    """Of each line that changes the log: its number, and the log."""
    lengths = {path("raw"): raw, path("base"): 500} | ({} if image is None else {path("add-cow"): image})
    found, log = [], []
    for step in Tracer(DIRECTORY, WANTED, lengths).run(parse(lines)):
        log = [*log[: step.kept], *step.added]
        found.append((step.line, log))
    return found


def events(*lines, **lengths):
    return ([[]] + [log for _, log in logs(*lines, **lengths)])[-1]


OPEN = (opened(3, "raw"), opened(4, "add-cow"))
R, I = fd(3, "raw"), fd(4, "add-cow")  # noqa: E741 - as short as R


def after_open(*lines, **lengths):
    return events(*OPEN, *lines, **lengths)


FORK = "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD"
THREAD = "clone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD, stack=0x7f00} => {parent_tid=[8]}, 88"
