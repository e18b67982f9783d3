"""What libFuzzer writes: counters, the token of a finding, and files named after what is in them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from addcow_fuzz.campaign._model import Counters, digest
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ENDS", "Artifact", "Log", "artifacts", "inputs", "is_token"]

_STATUS = re.compile(r"#(\d+)\t\w+\s+cov: (\d+) ft: (\d+)(?: corp: (\d+)/)?.*?(?: exec/s: (\d+))?(?: |$)")
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_TOKEN = re.compile(r"(?=.{1,400}$)[a-z0-9_.-]+(?::[a-z0-9_.-]+){3}")
_TOLD = "DEDUP_TOKEN: "
_WRITTEN = "Test unit written to "
_ARTIFACT = re.compile(r"(crash|timeout|oom|leak)-([0-9a-f]{40})")

# The last thing that is said; libFuzzer may hang in what follows.
ENDS = "SUMMARY: libFuzzer:"

_TAIL, _LONGEST = 60, 400


class Artifact(NamedTuple):
    """An input that libFuzzer has stopped at.

    Attributes:
        kind: ``crash``, ``timeout``, ``oom`` or ``leak``.
        data: the input.
    """

    kind: str
    data: bytes


class Log:
    """The lines of one run.

    Attributes:
        counters: what they count; seconds are 0.
        corpus: inputs in the corpus.
        token: that of the last finding, empty without one.
        stopped: whether an input has ended the run.
        tail: the last lines, fit to be shown.
    """

    def __init__(self) -> None:
        self.counters = Counters()
        self.corpus = 0
        self.token = ""
        self.stopped = False
        self.tail: list[str] = []

    def take(self, line: str) -> None:
        """Take a line in."""
        if not line:
            return
        if match := _STATUS.match(line):
            execs, edges, features, corpus = (int(number or 0) for number in match.groups()[:4])
            self.counters = self.counters._replace(execs=execs, edges=edges, features=features)
            self.corpus = corpus or self.corpus
        elif match := _EXECUTED.match(line):
            self.counters = self.counters._replace(execs=int(match[1]))
        elif line.startswith(_TOLD) and is_token(token := line.removeprefix(_TOLD)):
            self.token = token
        elif _WRITTEN in line:
            self.stopped = True
        self.tail.append(printable(line[:_LONGEST].encode("utf-8", "surrogatepass")))
        del self.tail[:-_TAIL]

    def last_words(self, status: int) -> str:
        """How a run went that failed, in a line."""
        said = [line for line in self.tail if line.strip() and not line.startswith("stat::")]
        return f"{said[-1]} (exit status {status})" if said else f"ended with exit status {status}"


def is_token(text: str) -> bool:
    """Whether a text can be the token of a finding."""
    return _TOKEN.fullmatch(text) is not None


def artifacts(directory: str) -> Iterator[Artifact]:
    """The inputs that libFuzzer has stopped at, in a directory; one that is not whole is passed over."""
    for name, data in _files(directory):
        match = _ARTIFACT.fullmatch(name)
        if match and match[2] == digest(data):
            yield Artifact(match[1], data)


def inputs(directory: str) -> Iterator[bytes]:
    """The inputs of a corpus that libFuzzer writes; one that is not whole is passed over."""
    for name, data in _files(directory):
        if name == digest(data):
            yield data


def _files(directory: str) -> Iterator[tuple[str, bytes]]:
    for name in sorted(os.listdir(directory)):
        try:
            with open(os.path.join(directory, name), "rb") as file:
                data = file.read()
        except (FileNotFoundError, IsADirectoryError):  # replaced by a smaller one meanwhile
            continue
        yield name, data
