"""The second implementation: `conformance/examples/nbdkit-addcow`, built, and nbdkit with it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.repo.tree import ROOT
from tests.system.serving import HANG, libnbd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SOURCE = ROOT / "conformance/examples/nbdkit-addcow"
_NAME = "nbdkit-addcow-plugin.so"

# Does what it is told in a file, in order, and puts into another what the reads show.
_CLIENT = """
import json
with open(OPERATIONS) as file:
    operations = json.load(file)
client = connect()
with open(RESULT, "wb") as result:
    for kind, offset, argument in operations:
        if kind == "write":
            client.pwrite(bytes.fromhex(argument), offset)
        elif kind == "zero":
            client.zero(argument, offset, nbd.CMD_FLAG_NO_HOLE if offset % 2 else 0)
        elif kind == "read":
            result.write(client.pread(argument, offset))
        else:
            client.flush()
"""

# kind; offset; bytes in hexadecimal or a length
Operation = tuple[str, int, "str | int"]


def build(shared: Path, *, sanitize: bool = False) -> Path:
    """The plugin, built once for all test processes that share a directory; any warning fails.

    Args:
        shared: a directory of the test session.
        sanitize: with the sanitizers of the compiler.
    """
    target = shared / f"nbdkit-addcow{'-sanitize' * sanitize}"
    with (shared / "nbdkit-addcow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second finds that nothing is left to do
        command = ["make", "-s", "-j2", "-C", SOURCE, f"OUT={target}", *(["SANITIZE=1"] if sanitize else [])]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    return target / _NAME


def sanitized() -> dict[str, str]:
    """The environment of an nbdkit that loads the plugin with sanitizers."""
    command = ["cc", "-print-file-name=libasan.so"]
    library = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    # nbdkit itself keeps what it allocates until it ends.
    return {"LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


class Nbdkit:
    """A running nbdkit.

    Attributes:
        process: itself, or what traces it.
        pid: its process id.
        uri: where it listens.
        log: what it says on standard error.
    """

    def __init__(self, process: subprocess.Popen[bytes], socket: Path, log: Path, pid: int) -> None:
        self.process, self.socket, self.log, self.pid = process, socket, log, pid
        self.uri = f"nbd+unix:///?socket={socket}"

    def stop(self) -> int:
        """Have it end as it should; its exit status."""
        os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(HANG)

    def kill(self) -> None:
        """End it at once."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait(HANG)

    def do(self, operations: Sequence[Operation]) -> list[bytes]:
        """Carry out operations through libnbd; what the reads show."""
        orders, result = self.socket.with_suffix(".orders"), self.socket.with_suffix(".result")
        orders.write_text(json.dumps(operations))
        libnbd(self.uri, f"OPERATIONS, RESULT = {str(orders)!r}, {str(result)!r}\n{_CLIENT}")
        shown, found = result.read_bytes(), []
        for kind, _, argument in operations:
            if kind == "read":
                assert isinstance(argument, int)
                found.append(shown[:argument])
                shown = shown[argument:]
        return found

    def open_files(self) -> dict[bytes, bool]:
        """The regular files that it has open, by name; whether for writing."""
        found = {}
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                name = os.fsencode(os.readlink(entry))
                lines = Path(f"/proc/{self.pid}/fdinfo/{entry.name}").read_text().splitlines()
            except FileNotFoundError:  # Closed since it was listed: a connection that ends.
                continue
            flags = next(int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
            if os.path.isfile(name):
                found[os.path.basename(name)] = flags & os.O_ACCMODE != os.O_RDONLY
        return found


class Refused(Exception):
    """nbdkit ended before it listened; the message is what it said."""


@contextmanager
def nbdkit(
    plugin: Path,
    image: bytes | Path,
    *options: str,
    flags: Sequence[str] = (),
    under: Sequence[str] = (),
    **environment: str,
) -> Iterator[Nbdkit]:
    """Serve an image at a Unix socket beside it.

    Args:
        plugin: what `build` made.
        image: the add-cow file.
        options: parameters of the plugin.
        flags: of nbdkit, such as ``-r``.
        under: a command that runs nbdkit, such as strace.
        environment: variables to add.

    Raises:
        Refused: it does not serve it.
    """
    path = Path(os.fsdecode(image))
    number = sum(entry.name.startswith("nbdkit-") for entry in path.parent.iterdir())
    base = path.parent / f"nbdkit-{number}"
    pidfile, socket, log = (base.with_suffix(suffix) for suffix in (".pid", ".sock", ".log"))
    command = [*under, "nbdkit", "-f", "-P", pidfile, "-U", socket, *flags, plugin, f"file={path}", *options]
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=errors, env=os.environ | environment
        ) as process,
    ):
        server = None
        try:
            while not (pidfile.exists() and pidfile.read_text().endswith("\n")):
                if process.poll() is not None:
                    raise Refused(log.read_text())
                time.sleep(0.002)
            server = Nbdkit(process, socket, log, int(pidfile.read_text()))
            yield server
        finally:
            if server and process.poll() is None:
                os.kill(server.pid, signal.SIGKILL)
            process.kill()
