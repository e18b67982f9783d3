"""Servers, each a process of its own that ends with the test, and the programs that are their clients."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# A sound server or client answers at once; only a hang comes near this.
HANG = 60

# Prints the URI once it can be connected to, or what kind of error there is: class, rule, path.
_LAUNCH = """
import json, os, resource, sys
from addcow_ref.serve import serve
from addcow_spec.errors import AddCowError
from addcow_spec.model import Revision
options = json.loads(sys.argv[2])
limit = options.pop("file_size_limit", None)
if limit is not None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
kinds = {"socket": bytes.fromhex, "confine": bytes.fromhex, "revision": Revision}
options = {name: kinds.get(name, lambda value: value)(value) for name, value in options.items()}
try:
    sys.exit(serve(os.fsencode(sys.argv[1]), announce=lambda uri: print(uri, flush=True), **options))
except AddCowError as error:
    path = getattr(error, "path", None)
    facts = [type(error).__name__, getattr(error, "rule", ""), None if path is None else path.hex()]
    print(json.dumps(facts), flush=True)
    sys.exit(2)
"""

# libnbd's module is Debian's, and so is the Python that finds it.
_PYTHON = ("/usr/bin/python3", "-c")
_CONNECT = """
import os, sys
import nbd
def connect():
    client = nbd.NBD()
    client.connect_uri(os.environ["URI"])
    return client
"""


@dataclass
class Server:
    """A running server, or one that has refused to run.

    Attributes:
        uri: where it listens; what it printed instead where it has refused.
        log: what it and nbdkit say on standard error.
    """

    process: subprocess.Popen[str]
    uri: str
    log: Path

    @property
    def nbdkit(self) -> int:
        """Process id of nbdkit."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    @property
    def refusal(self) -> tuple[str, str, bytes | None]:
        """Class of the error, rule and path of a server that has refused."""
        kind, rule, path = json.loads(self.uri)
        assert self.process.wait(HANG) == 2
        return kind, rule, None if path is None else bytes.fromhex(path)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Have it end; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(HANG)

    def kill(self) -> None:
        """Kill it, nbdkit first, as if the power had gone."""
        os.kill(self.nbdkit, signal.SIGKILL)
        self.process.wait(HANG)


@contextmanager
def served(image: bytes, **options: Any) -> Iterator[Server]:
    """Serve an image at a Unix socket beside it unless the options say otherwise."""
    directory = os.path.dirname(image)
    if "port" not in options:
        options["socket"] = options.get("socket", os.path.join(directory, b"s")).hex()
    if "confine" in options:
        options["confine"] = options["confine"].hex()
    log = Path(os.fsdecode(directory)) / f"log{options.get('socket', '')[-2:]}"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, image, json.dumps(options)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout
            yield Server(process, process.stdout.readline().strip(), log)
        finally:
            process.terminate()  # and nbdkit with it


def run(*command: str | bytes | Path, status: int = 0, **environment: str) -> str:
    """Run a client; its output.

    Args:
        command: program and arguments.
        status: the exit status that is expected.
        environment: variables to add.
    """
    result = subprocess.run(
        command,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=HANG,
        text=True,
        check=False,
    )
    assert result.returncode == status, result.stdout + result.stderr
    return result.stdout


def qemu_io(uri: str, *commands: str, status: int = 0, options: tuple[str, ...] = ()) -> str:
    """Run commands of qemu-io; without ``-P`` mismatches, which it tells by its status too."""
    words = [word for command in commands for word in ("-c", command)]
    return run("qemu-io", "-f", "raw", *options, *words, uri, status=status)


def libnbd(uri: str, script: str) -> str:
    """Run Python with libnbd: ``connect()`` makes a connection; what the script prints."""
    return run(*_PYTHON, _CONNECT + script, URI=uri)


@contextmanager
def libnbd_waiting(uri: str, script: str) -> Iterator[None]:
    """As `libnbd`, and the client stays connected until the block ends."""
    with subprocess.Popen(
        [*_PYTHON, _CONNECT + script + "\nprint('done', flush=True)\nsys.stdin.read()"],
        env=os.environ | {"URI": uri},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        try:
            assert client.stdout
            assert client.stdout.readline() == "done\n"
            yield
        finally:
            client.kill()
