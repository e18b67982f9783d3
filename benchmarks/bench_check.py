"""addcow-check beside qemu-img check, in one run: wall time and peak memory, medians and ratios.

Run by `make bench`. No test depends on it: the figures are printed, with what was aimed at.
"""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from results import Row, machine, save, table

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent
CHECK = [str(Path(sys.executable).with_name("addcow-check"))]
TIB = 1 << 40
SMALL = 1000
MIB = 1 << 20

# Times the check alone in a process that is up already, after one run that fills the page cache.
SCAN = """
import os, sys, time
from addcow_conformance.checker import check_image
path = os.fsencode(sys.argv[1])
check_image(path)
start = time.perf_counter()
report = check_image(path)
print(report.bitmap.span.length / (time.perf_counter() - start))
"""


@dataclass
class Run:
    """One run of a command: seconds, peak resident bytes, what it printed."""

    seconds: float
    memory: int
    output: str


def run(command: Sequence[str | Path]) -> Run:
    """Run a command that must answer, whatever its verdict."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in {0, 2}:
        raise SystemExit(f"{command[0]} failed with status {process.returncode}")
    return Run(seconds, usage.ru_maxrss * 1024, output)


def medians(commands: Sequence[Sequence[str | Path]], times: int) -> list[Run]:
    """Run the commands in turn, so that both see the same machine; the median of each."""
    runs: list[list[Run]] = [[] for _ in commands]
    for _ in range(times):
        for kept, command in zip(runs, commands, strict=True):
            kept.append(run(command))
    return [
        Run(
            statistics.median(r.seconds for r in kept),
            int(statistics.median(r.memory for r in kept)),
            kept[-1].output,
        )
        for kept in runs
    ]


def sparse(path: Path, size: int) -> Path:
    """A file that is one hole."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def make_v10(directory: Path, size: int, fill: bytes) -> Path:
    """A v10 image over a sparse image file of ``size`` bytes, every byte of its bitmap ``fill``."""
    sparse(directory / "disk.raw", size)
    header = b"ADD_COW\xff" + struct.pack("<IIIIIQ", 1, 0, 0, 36, 8, 0) + b"disk.raw"
    path = directory / "image.add-cow"
    path.write_bytes(header.ljust(4096, b"\0") + fill * (size // 65536 // 8))
    return path


def make_v6(directory: Path, size: int) -> Path:
    """A v6 image of ``size`` bytes with a bitmap of mixed bits, all of it data on disk."""
    sparse(directory / "disk6.raw", size)
    path = directory / "image6.add-cow"
    with path.open("wb") as file:
        file.write(
            (b"ADD_COW\xff" + struct.pack(">I1024s1024sQ", 1, b"", b"disk6.raw", size)).ljust(2560, b"\0")
        )
        for _ in range(size // 512 // 8 // MIB):
            file.write(b"\x5a" * MIB)
    return path


def qemu_create(path: Path, size: int, *options: str) -> Path:
    """A qcow2 image."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, path, str(size)], check=True)
    return path


def a_tenth(what: str, ours: Run, peer: Run) -> Row:
    """A line on wall time, of which a tenth of the peer's is aimed at."""
    return Row(
        what,
        f"{ours.seconds * 1e3:.0f} ms",
        f"{peer.seconds * 1e3:.0f} ms",
        f"{ours.seconds / peer.seconds:.3f}",
        "at most 0.1",
        ours.seconds <= peer.seconds / 10,
    )


def one_tebibyte(directory: Path, times: int) -> list[Row]:
    """Every cluster of a 1 TiB disk set, against a 1 TiB qcow2 with all its metadata."""
    image = make_v10(directory, TIB, b"\xff")
    qcow2 = qemu_create(directory / "tib.qcow2", TIB, "-o", "preallocation=metadata")
    ours, peer = medians([[*CHECK, image], ["qemu-img", "check", qcow2]], times)
    qcow2.unlink()
    return [
        a_tenth("v10, 1 TiB, every cluster set: wall time", ours, peer),
        Row(
            "the same: peak memory",
            f"{ours.memory / MIB:.1f} MiB",
            f"{peer.memory / MIB:.1f} MiB",
            f"{ours.memory / peer.memory:.2f}",
            "at most 1",
            ours.memory <= peer.memory,
        ),
    ]


def scan(directory: Path, times: int) -> list[Row]:
    """A v6 bitmap of 256 MiB, cached: rate of the scan, and memory of the whole command."""
    image = make_v6(directory, TIB)
    rate = statistics.median(float(run([sys.executable, "-c", SCAN, image]).output) for _ in range(times))
    (command,) = medians([[*CHECK, "--revision", "v6", image]], times)
    image.unlink()
    return [
        Row(
            "v6, 1 TiB, 256 MiB of bitmap, cached: scan",
            f"{rate / 1e9:.2f} GB/s",
            "-",
            "-",
            "2 GB/s",
            rate >= 2e9,
        ),
        Row(
            "the same: peak memory of the command",
            f"{command.memory / MIB:.1f} MiB",
            "-",
            "-",
            "under 64 MiB",
            command.memory < 64 * MIB,
        ),
    ]


def small_images(directory: Path, times: int) -> list[Row]:
    """A thousand small images in one call, against a thousand calls; and one small image."""
    images, qcow2 = [], qemu_create(directory / "small.qcow2", MIB)
    for number in range(SMALL):
        place = directory / f"{number:04}"
        place.mkdir()
        images.append(make_v10(place, MIB, b"\x05"))
    loop = f"for n in $(seq {SMALL}); do qemu-img check '{qcow2}'; done"
    ours, peer = medians([[*CHECK, *images], ["sh", "-c", loop]], max(3, times // 2))
    one, peer_one = medians([[*CHECK, images[0]], ["qemu-img", "check", qcow2]], times * 3)
    return [
        a_tenth("1,000 small images in one call, against 1,000 calls", ours, peer),
        Row(
            "one small image, start-up included",
            f"{one.seconds * 1e3:.0f} ms",
            f"{peer_one.seconds * 1e3:.0f} ms",
            f"{one.seconds / peer_one.seconds:.1f}",
            "under 120 ms",
            one.seconds < 0.12,
        ),
    ]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7, help="runs of each command; the median counts")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the table to FILE too")
    arguments = parser.parse_args()
    if not shutil.which("qemu-img"):
        raise SystemExit("bench: qemu-img is missing: apt-get install qemu-utils")
    # An installed wheel has its byte code compiled; a checkout is given the same.
    for package in ("spec", "conformance"):
        compileall.compile_dir(ROOT / package, quiet=2)
    rows: list[Row] = []
    for part in (one_tebibyte, scan, small_images):
        with tempfile.TemporaryDirectory() as directory:
            rows += part(Path(directory), arguments.times)
    text = (
        "# addcow-check beside qemu-img check\n\n"
        f"Made by `make bench`: medians of at least {arguments.times} runs, the two in turn, in one run.\n"
        f"{machine()}.\n\n{table(rows, 'addcow-check', 'qemu-img check')}\n"
    )
    print(text)
    if arguments.save:
        save(arguments.save, text)


if __name__ == "__main__":
    main()
