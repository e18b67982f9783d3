"""Writes down what QEMU's own tool says of the qcow2 seeds, for the fuzz target `qcow2`. Run by hand.

Usage: ``python corpora/record_qcow2.py``, where QEMU's tools are installed. They make the seeds whose names
begin with ``qemu-``. Then they are asked for ``check``, ``convert`` and ``map`` of each file in
``corpora/seeds/qcow2``, and ``fuzz/addcow_fuzz/qemu-img.json`` is written.
"""

from __future__ import annotations

import json
import subprocess
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from addcow_fuzz._packing import name_of
from addcow_fuzz._recorded import BASE

SEEDS = Path(__file__).parent / "seeds" / "qcow2"
RECORDED = Path(__file__).parents[1] / "fuzz" / "addcow_fuzz" / "qemu-img.json"
TIMEOUT = 60


# Version, backing file, and what qemu-io does to a disk of 1 MiB in clusters of 512 bytes.
_WRITES = ("write -P 7 0 1500", "write -z 4096 2048", "write -c -P 88 8192 512", "write -P 9 1047576 1000")
_MADE = {
    "qemu-v2": ("0.10", False, _WRITES),
    "qemu-v2-backed": ("0.10", True, _WRITES),
    "qemu-v3": ("1.1", False, _WRITES),
    "qemu-v3-backed": ("1.1", True, (*_WRITES, "discard 0 512", "write -z -u 512 512")),
    "qemu-v3-empty": ("1.1", True, ()),
}


def main() -> None:
    """Make seeds, ask about every seed, and write the answers."""
    for name, (compat, backed, commands) in _MADE.items():
        (SEEDS / name).write_bytes(_made(compat, commands, backed=backed))
    answers = {sha256(path.read_bytes()).hexdigest(): ask(path.read_bytes()) for path in SEEDS.iterdir()}
    lines = [f"{json.dumps(name)}: {json.dumps(said)}" for name, said in sorted(answers.items())]
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _made(compat: str, commands: tuple[str, ...], *, backed: bool) -> bytes:
    """The bytes of a file that QEMU's tools make."""
    with TemporaryDirectory() as directory:
        file, base = (Path(directory, name_of(number).decode()) for number in (0, 1))
        base.write_bytes(BASE)
        below = ["-b", base.name, "-F", "raw"] if backed else []
        options = f"compat={compat},cluster_size=512"
        _run("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, *below, file, "1M").check_returncode()
        words = [word for command in commands for word in ("-c", command)]
        if words:
            _run("qemu-io", "-f", "qcow2", *words, file).check_returncode()
        return file.read_bytes()


def ask(data: bytes) -> dict[str, Any]:
    """What is said of a file of these bytes."""
    with TemporaryDirectory() as directory:
        file, base = (Path(directory, name_of(number).decode()) for number in (0, 1))
        file.write_bytes(data)
        base.write_bytes(BASE)
        check = _run("qemu-img", "check", "-f", "qcow2", file)
        converted = Path(directory, "converted")
        done = _run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", file, converted)
        disk = "" if done.returncode else sha256(converted.read_bytes()).hexdigest()
        listed = _run("qemu-img", "map", "-f", "qcow2", "--output", "json", file)
        lines = [] if listed.returncode else json.loads(listed.stdout)
        keys = ("start", "length", "depth", "present", "zero", "data")
        return {
            "check": check.returncode,
            "disk": disk,
            "map": [[line[key] for key in keys] for line in lines],
        }


def _run(*words: object) -> subprocess.CompletedProcess[str]:
    command = list(map(str, words))
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)  # noqa: S603 - its own files


if __name__ == "__main__":
    main()
