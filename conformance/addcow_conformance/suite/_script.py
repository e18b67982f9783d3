"""A shell script that does again what a case did, without the suite where the target allows."""

from __future__ import annotations

import base64
import gzip
import os
import stat
from functools import partial
from typing import TYPE_CHECKING, Any

from addcow_conformance.adapters._shell import shell_word
from addcow_conformance.programs import dump_program
from addcow_spec.rules import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from addcow_conformance.suite._case import Bench, Case
    from addcow_conformance.targets import Target

__all__ = ["Script"]

# A file's data beyond this is not put into a script.
_LARGEST = 256 << 10
_COLUMNS = 76
# The files are made in a new directory; what the words of a command name is where the script is started.
_ELSEWHERE = ("HERE=$PWD", 'cd "$(mktemp -d)" || exit')


class Script:
    """Takes down what a bench's target is asked for, if it is one that says.

    Args:
        bench: the bench; each folder that it gives out starts the script anew.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._folder = ""
        self._transcript: Any = getattr(bench.target, "transcript", None)
        if self._transcript is not None:
            bench.prepare = self._start
            bench.load = partial(self._load, bench.load)

    def _start(self, directory: bytes) -> None:
        self._folder = os.fsdecode(directory)
        self._transcript.start(lambda: _files(directory))

    def _load(self, load: Callable[[tuple[str, ...]], Target], under: tuple[str, ...]) -> Target:
        """Another instance, what is done to which goes to the same script."""
        target = load(under)
        transcript = getattr(target, "transcript", None)
        if transcript is not None and not under:  # what is run under a tracer is not for a reader to run
            transcript.join(self._transcript)
        return target

    def text(self, case: Case, found: str) -> str:
        """The script, with what was found in a line."""
        told = self._transcript.lines if self._transcript is not None else ()
        lines = (*_ELSEWHERE, *told) if told else _by_command(case, self._bench)
        stated = catalogue().get(case.rule)
        head = ["#!/bin/sh", f"# {case.id}: {case.title}"]
        if stated:
            head.append(f"# {stated.id}, {stated.title}: {stated.statement}")
        head.append(f"# {found}")
        script = "\n".join((*head, "set -u", *lines)) + "\n"
        return script.replace(self._folder, ".") if self._folder else script  # which will be another one


def _by_command(case: Case, bench: Bench) -> tuple[str, ...]:
    """Who has no transcript: a program is run again by `replay`, where that sees what it is about."""
    name, program, effort = shell_word(bench.name), bench.program, bench.effort
    if program is not None and not (program.power_loss and bench.external):
        again = f"addcow-conformance replay --target {name}"
        return (f"{again} - <<'END'\n{dump_program(program).rstrip()}\nEND",)
    options = f"--profile {bench.profile} --seed {effort.seed} --examples {effort.examples}"
    again = f"addcow-conformance run {name} -k {case.id} -j 1 {options} --ops {effort.operations}"
    return ("# Only the suite can do this again: no command asks for what was done, or sees it.", again)


def _files(root: bytes) -> Iterator[str]:
    """Commands that make the files which are below a directory now."""
    for directory, folders, names in os.walk(root):
        for name in sorted((*folders, *names)):
            path = os.path.join(directory, name)
            yield from _file(path, shell_word(_unlike_an_option(os.path.relpath(path, root))))


def _unlike_an_option(name: bytes) -> bytes:
    return b"./" + name if name.startswith(b"-") else name


def _file(path: bytes, name: str) -> Iterator[str]:
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        yield f"mkdir -p {name}"
    elif stat.S_ISLNK(status.st_mode):
        yield f"ln -s -- {shell_word(os.readlink(path))} {name}"
    elif stat.S_ISFIFO(status.st_mode):
        yield f"mkfifo {name}"
    elif stat.S_ISREG(status.st_mode):
        yield f"truncate -s {status.st_size} {name}"
        yield from _data(path, name)


def _data(path: bytes, name: str) -> Iterator[str]:
    """Commands that fill a file with its data, which is everything that is not zero."""
    left = _LARGEST
    with open(path, "rb") as file:
        for start, data in _runs(file.fileno(), os.fstat(file.fileno()).st_size):
            left -= len(data)
            if left < 0:
                yield f"# {name} holds more than is shown here: from byte {start} on"
                return
            place = f"dd of={name} bs=4096 seek={start // 4096} conv=notrunc status=none"
            yield f"base64 -d <<'END' | gzip -d | {place}"
            text = base64.b64encode(gzip.compress(data, mtime=0)).decode()
            yield "\n".join(text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS)) + "\nEND"


def _runs(file: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Blocks of 4,096 bytes that are not zeros, those that follow one another together."""
    at = 0
    while at < end:
        try:
            at = os.lseek(file, at, os.SEEK_DATA) // 4096 * 4096
            hole = os.lseek(file, at, os.SEEK_HOLE)
        except OSError:
            return
        start, found = at, b""
        while at < hole:
            block = os.pread(file, 4096, at)
            if block.strip(b"\0"):
                start = start if found else at
                found += block
            if found and (not block.strip(b"\0") or len(found) >= _LARGEST):
                yield start, found
                found = b""
            at += 4096
        if found:
            yield start, found
