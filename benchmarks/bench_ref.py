"""The engine behind NBD beside its peers, in one run: medians and ratios.

Run by `make bench`. No test depends on it: the figures are printed, with what was aimed at. The peers of the
served disk are a plugin in Python that only reads and writes a raw file, through the same nbdkit with as many
threads, and qemu-nbd with a qcow2 image. Everything lies in the page cache or on a memory file system: the
programs are compared, and not the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from results import Row, machine, save, table

from addcow_ref import FileStorage, create_image, open_image
from addcow_ref.serve import DEFAULT_THREADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from addcow_ref.storage import WritableBuffer

T = TypeVar("T")

MIB = 1 << 20
GIB = 1 << 30
CLUSTER = 65536
TITLE = "addcow_ref beside nbdkit and qemu-nbd"
PLAIN_PLUGIN = Path(__file__).with_name("plain_plugin.py")
SERVE = """
import sys
from addcow_ref.serve import serve
sys.exit(serve(sys.argv[1], socket=sys.argv[2], threads=int(sys.argv[3])))
"""

OURS, PLAIN, KEEPING, QEMU = "addcow", "plain plugin", "plain plugin, thread states kept", "qemu-nbd"


class Load(NamedTuple):
    """What fio does, and the least ratios to the plain plugin and to qemu-nbd that are aimed at."""

    what: str
    mode: str
    block: str
    plain: float
    qemu: float | None


LOADS = (
    Load("sequential read, 1 MiB", "read", "1m", 0.9, 2),
    Load("sequential write, 1 MiB", "write", "1m", 0.9, 2),
    Load("random read, 4 KiB", "randread", "4k", 0.9, None),
    Load("random write, 4 KiB", "randwrite", "4k", 0.9, 0.8),
)


class Scale(NamedTuple):
    """How much is done: bytes of the served disk, rounds, seconds of each run, bytes streamed."""

    disk: int
    rounds: int
    seconds: float
    stream: int


FULL = Scale(256 * MIB, 9, 1.0, 512 * MIB)
QUICK = Scale(64 * MIB, 1, 0.5, 64 * MIB)


# --- servers and their client


@contextmanager
def running(command: Sequence[str | Path], at: Path) -> Iterator[Path]:
    """A server that listens at the socket ``at``."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as server:
        try:
            end = time.monotonic() + 20
            while not at.exists():
                if server.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{command[0]} does not serve")
                time.sleep(0.02)
            # The socket is there before what is behind it is ready: the first answer is waited for as well.
            uri = f"nbd+unix:///?socket={at}"
            subprocess.run(["nbdinfo", "--size", uri], stdout=subprocess.DEVNULL, check=True)
            yield at
        finally:
            server.terminate()
    at.unlink(missing_ok=True)


def ours(image: Path, at: Path) -> list[str | Path]:
    """The command that serves an add-cow image."""
    return [sys.executable, "-c", SERVE, image, at, str(DEFAULT_THREADS)]


def plain(raw: Path, at: Path, *, keep: bool) -> list[str | Path]:
    """The command that serves a raw file by the plain plugin."""
    command: list[str | Path] = ["nbdkit", "-f", "-U", at, "-t", str(DEFAULT_THREADS), "python", PLAIN_PLUGIN]
    return [*command, f"file={raw}", f"keep={int(keep)}"]


def qemu(qcow2: Path, at: Path) -> list[str | Path]:
    """The command that serves a qcow2 image."""
    return ["qemu-nbd", "--persistent", "--shared=0", "--format=qcow2", f"--socket={at}", qcow2]


def fio(at: Path, mode: str, block: str, *options: str) -> dict[str, float]:
    """What fio says of a run, 16 requests deep: ``iops``, ``bw_bytes`` and more."""
    done = subprocess.run(
        [
            *("fio", "--name=bench", "--ioengine=nbd", f"--uri=nbd+unix:///?socket={at}", "--iodepth=16"),
            *(f"--rw={mode}", f"--bs={block}", "--randrepeat=1", "--output-format=json", *options),
        ],
        cwd=at.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    (job,) = json.loads(done.stdout[done.stdout.index("{") :])["jobs"]
    figures: dict[str, float] = job["read" if mode.endswith("read") else "write"]
    return figures


# --- images


def noise(path: Path, size: int) -> Path:
    """A file of ``size`` random bytes."""
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    return path


def sparse(path: Path, size: int) -> Path:
    """A file that is one hole."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def add_cow(directory: Path, name: str, base: Path, *, full: bool) -> Path:
    """A v10 image over a backing file, with no bit set or every bit."""
    raw, path = sparse(directory / f"{name}.raw", base.stat().st_size), directory / f"{name}.add-cow"
    create_image(path, raw.name, backing_file=base.name, backing_format="raw", overwrite=True)
    if full:
        with open_image(path, writable=True) as image:
            image.stream()
    return path


def qcow2(directory: Path, name: str, base: Path, *, full: bool) -> Path:
    """A qcow2 image over a backing file, with no cluster allocated or every cluster."""
    path = directory / f"{name}.qcow2"
    over = ("-F", "raw", "-b", base)
    path.unlink(missing_ok=True)
    if full:
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", base, path], check=True)
        subprocess.run(["qemu-img", "rebase", "-u", *over, path], check=True)
    else:
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *over, path], check=True)
    return path


# --- the parts of the table


def requests(directory: Path, scale: Scale) -> list[Row]:
    """Reading and writing with every cluster set."""
    base = noise(directory / "base", scale.disk)
    raw = Path(shutil.copy(base, directory / "plain.raw"))
    kept = Path(shutil.copy(base, directory / "kept.raw"))
    with ExitStack() as stack:
        peers = {
            name: stack.enter_context(running(command(at), at))
            for name, at, command in (
                (OURS, directory / "a", lambda at: ours(add_cow(directory, "full", base, full=True), at)),
                (PLAIN, directory / "b", lambda at: plain(raw, at, keep=False)),
                (KEEPING, directory / "c", lambda at: plain(kept, at, keep=True)),
                (QEMU, directory / "d", lambda at: qemu(qcow2(directory, "full", base, full=True), at)),
            )
        }
        return [row for load in LOADS for row in one_load(load, peers, scale)]


def one_load(load: Load, peers: dict[str, Path], scale: Scale) -> list[Row]:
    """One kind of request, by each peer in turn, as often as there are rounds."""
    options = ("--time_based", f"--runtime={int(scale.seconds * 1000)}ms", f"--size={scale.disk}")
    found: dict[str, list[float]] = {name: [] for name in peers}
    for number in range(scale.rounds):
        for name, at in in_turn(peers, number):
            found[name].append(fio(at, load.mode, load.block, *options)["bw_bytes"])
    aims = {PLAIN: load.plain, KEEPING: None, QEMU: load.qemu}
    return [
        compared(f"{load.what}, against {name}", found[OURS], found[name], aim) for name, aim in aims.items()
    ]


def first_writes(directory: Path, scale: Scale) -> list[Row]:
    """Random writes of 4 KiB, one to each cluster: each copies 64 KiB. A new image for each run."""
    base = noise(directory / "base", scale.disk)
    at = directory / "s"
    makers: dict[str, Callable[[], list[str | Path]]] = {
        OURS: lambda: ours(add_cow(directory, "new", base, full=False), at),
        QEMU: lambda: qemu(qcow2(directory, "new", base, full=False), at),
    }
    # A block of 4 KiB at every 64 KiB, each once.
    clusters = scale.disk // CLUSTER
    options = ("--blockalign=64k", f"--size={scale.disk}", f"--io_size={clusters * 4096}")
    found: dict[str, list[float]] = {name: [] for name in makers}
    for number in range(scale.rounds):
        for name, make in in_turn(makers, number):
            with running(make(), at):
                found[name].append(fio(at, "randwrite", "4k", *options)["bw_bytes"])
    what = f"first write to each cluster, 4 KiB at random, against {QEMU}"
    return [compared(what, found[OURS], found[QEMU], 1)]


def in_turn(peers: dict[str, T], number: int) -> list[tuple[str, T]]:
    """The peers in the order of a round: each goes first as often as the others."""
    items = list(peers.items())
    first = number % len(items)
    return items[first:] + items[:first]


def compared(what: str, rates: Sequence[float], peers: Sequence[float], aim: float | None) -> Row:
    """A line on bytes a second. The ratio is the median of the rounds' own: what slows a round slows both."""
    ratio = statistics.median(rate / peer for rate, peer in zip(rates, peers, strict=True))
    return Row(
        what,
        f"{statistics.median(rates) / 1e6:.0f} MB/s",
        f"{statistics.median(peers) / 1e6:.0f} MB/s",
        f"{ratio:.2f}",
        "-" if aim is None else f"at least {aim:g}",
        None if aim is None else ratio >= aim,
    )


class CountingStorage(FileStorage):
    """A file that counts the bytes that are read, of all files that are opened from it."""

    count = 0

    def read_into(self, offset: int, buffer: WritableBuffer) -> None:
        """Read, and count."""
        CountingStorage.count += len(buffer)
        super().read_into(offset, buffer)


def opening(directory: Path, scale: Scale) -> list[Row]:
    """A disk of 1 TiB, every bit set, opened and closed again in a process that has done it before."""
    size = 1 << 40
    sparse(directory / "raw", size)
    path = directory / "image"
    create_image(path, "raw")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size // CLUSTER // 8))
    times = []
    for _ in range(10 * scale.rounds):
        start = time.perf_counter()
        open_image(path, writable=True).close()
        times.append(time.perf_counter() - start)
    open_image(CountingStorage.open_path(os.fsencode(path), writable=True), writable=True).close()
    seconds, read = statistics.median(times), CountingStorage.count
    return [
        Row("open a v10 image of 1 TiB", f"{seconds * 1e3:.2f} ms", "-", "-", "under 20 ms", seconds < 0.02),
        Row("the same: bytes read", f"{read / 1024:.1f} KiB", "-", "-", "at most 1 MiB", read <= MIB),
    ]


def streaming(directory: Path, scale: Scale) -> list[Row]:
    """A sparse disk is streamed: its size and its data are varied, the one without the other."""
    little, much = scale.stream // 8, scale.stream
    of_10, of_1 = (
        statistics.median(streamed(directory, size, little) for _ in range(max(3, scale.rounds // 2)))
        for size in (10 * GIB, GIB)
    )
    full = streamed(directory, 10 * GIB, much)
    sizes = of_10 / of_1
    return [
        Row(
            f"stream 10 GiB with {little // MIB} MiB of data, against 1 GiB with as much",
            f"{of_10:.2f} s",
            f"{of_1:.2f} s",
            f"{sizes:.2f}",
            "at most 1.5",
            sizes <= 1.5,
        ),
        Row(
            f"stream 10 GiB with {much // MIB} MiB of data, against {little // MIB} MiB",
            f"{full:.2f} s",
            f"{of_10:.2f} s",
            f"{full / of_10:.1f}",
            "-",
            None,
        ),
    ]


def streamed(directory: Path, size: int, data: int) -> float:
    """Seconds that it takes to stream a disk with pieces of data of 1 MiB, far apart."""
    base = sparse(directory / "base", size)
    with base.open("r+b") as file:
        for start in range(0, size, size // (data // MIB)):
            file.seek(start // MIB * MIB)
            file.write(os.urandom(MIB))
    path = add_cow(directory, "stream", base, full=False)
    with open_image(path, writable=True) as image:
        start_time = time.perf_counter()
        image.stream()
        return time.perf_counter() - start_time


# --- the command


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="try it: figures that mean little")
    parser.add_argument("--save", type=Path, metavar="FILE", help="put the table into FILE too")
    arguments = parser.parse_args()
    missing = [
        program
        for program in ("nbdkit", "fio", "nbdinfo", "qemu-nbd", "qemu-img")
        if not shutil.which(program)
    ]
    if missing:
        raise SystemExit(f"bench: not found: {', '.join(missing)}; see tools/test-deps")
    scale = QUICK if arguments.quick else FULL
    memory = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it
    place = memory if memory.is_dir() and shutil.disk_usage(memory).free > 4 * GIB else None
    rows: list[Row] = []
    for part in (requests, first_writes, opening, streaming):
        with tempfile.TemporaryDirectory(dir=place) as directory:
            rows += part(Path(directory), scale)
    text = (
        f"# {TITLE}\n\n"
        f"Made by `make bench`: medians of {scale.rounds} rounds, in each of which every program runs for "
        f"{scale.seconds:g} s, in turn; ratios are medians too. fio over a Unix socket, 16 requests deep; "
        f"a disk of {scale.disk // MIB} MiB in v10, every cluster set unless said; nbdkit with "
        f"{DEFAULT_THREADS} threads; {'files in memory' if place else 'page cache warm'}.\n"
        "The plain plugin only reads and writes a raw file. With thread states kept it spares what the "
        "plugin of the engine spares, and the ratio is what the format costs.\n"
        f"{machine()}.\n\n{table(rows, 'addcow_ref', 'peer')}\n"
    )
    print(text)
    if arguments.save:
        save(arguments.save, text)


if __name__ == "__main__":
    main()
