"""What is tried on `qemu:` and on `cli:` alike, whose programs are told the path of an image."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from addcow_conformance.programs import Backing, BackingKind, Disk, Session
from addcow_ref import FileStorage
from addcow_spec.model import Revision

SIZE = 200_192
DISK = Disk(Revision.V10, SIZE, Backing(BackingKind.RAW, 100_000))

_FILES = ("disk.add-cow", "disk.raw")


def find_commands(patch):
    """Have the commands of the project found, as they are where it is installed."""
    patch.setenv("PATH", os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"])


def outcomes(target, disk, directory, program):
    """What becomes of each operation."""
    with Session(disk, target, directory=directory) as session:
        return {operation: session.step(operation).outcome for operation in program}


def refused(done):
    """The operations that were."""
    return {operation for operation, outcome in done.items() if outcome == "refused"}


def opened(target, path, data=b"", revision=Revision.V10, *, writable=False):
    """What a target makes of a new file of these bytes."""
    Path(path).write_bytes(data)
    storage = FileStorage.open_path(os.fsencode(path))
    return target.open_image(storage, writable=writable, revision=revision)


def done_again(target, program, directory):
    """The bytes of the files after a program, and after its script has done it again without the target."""
    disk, before = directory / "disk", directory / "before"
    disk.mkdir()

    def save():
        shutil.copytree(disk, before, symlinks=True)
        return ()

    target.transcript.start(save)
    with Session(DISK, target, directory=disk) as session:
        session.run(program)
    script = "\n".join(target.transcript.lines)
    after = [(disk / name).read_bytes() for name in _FILES]
    shutil.rmtree(disk)
    shutil.copytree(before, disk, symlinks=True)
    (disk / _FILES[0]).unlink(missing_ok=True)
    subprocess.run(["sh", "-c", script], cwd=directory, check=True, capture_output=True, timeout=60)
    return after, [(disk / name).read_bytes() for name in _FILES]
