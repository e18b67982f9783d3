"""qcow2 files that QEMU's own tools made, byte for byte and extent for extent as these tools read them."""

from __future__ import annotations

import json
import os
import random
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from addcow_ref._extents import merged
from addcow_ref._file_storage import FileStorage
from addcow_ref._layer import Extent, Layer
from addcow_ref._qcow2 import Qcow2Layer, qcow2_reference, read_qcow2_header
from addcow_ref._raw import RawLayer
from addcow_spec.errors import InvalidImage, UnsupportedImage
from tests.ref.qcow2_images import compressed_entry, content, deflated, image, read

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.system

MIB = 1 << 20
DISK = 5 * MIB + 512 * 7
KINDS = [(size, compat) for size in (512, 4096, 65536, 2 * MIB) for compat in ("0.10", "1.1")]
every_kind = pytest.mark.parametrize(("cluster", "compat"), KINDS)


def qemu(*command: object, status: int = 0) -> str:
    """Run one of QEMU's programs, and give its output."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def create(path: Path, size: int, *, backing: str = "", compat: str = "1.1", **options: object) -> Path:
    below = ["-b", backing, "-F", backing.rpartition(".")[2]] if backing else []
    stated = ",".join(f"{name}={value}" for name, value in {"compat": compat, **options}.items())
    qemu("qemu-img", "create", "-q", "-f", "qcow2", "-o", stated, *below, path, size)
    return path


def change(path: Path, *commands: str) -> None:
    """Run commands of qemu-io, of which none may fail."""
    words = [word for command in commands for word in ("-c", command)]
    qemu("qemu-io", "-f", "qcow2", *words, path)


def assorted(path: Path, size: int, *, seed: int = 1) -> Path:
    """A raw file without holes: some parts pack well, some do not."""
    dice = random.Random(seed)  # noqa: S311 - the same bytes in every run
    content = bytearray()
    while len(content) < size:
        length = dice.randrange(1, 300_000)
        content += dice.choice([dice.randbytes(length), (b"%d " % length) * (length // 6)])
    path.write_bytes(content[:size])
    return path


def writes(cluster: int, seed: int, *, size: int = DISK, packed: bool = True) -> list[str]:
    """Commands that leave clusters of every kind, whole ones and parts, wherever they meet."""
    dice = random.Random(seed)  # noqa: S311 - the same commands in every run
    third = max(size // 3 // cluster, 1) * cluster
    commands = [f"write -c -P 88 {at} {cluster}" for at in range(0, size - cluster, third) if packed]
    for word in ["write -P 7", "write -z", "write -z -u", "discard", "write -P 201"] * 2:
        at = dice.randrange(size - 1)
        length = dice.randrange(1, min(cluster * 5, MIB, size - at) + 1)
        commands.append(f"{word} {at} {length}")
    return [*commands, f"write -P 99 {size - 700} 700"]


# --- reading what QEMU wrote


@contextmanager
def opened(path: Path) -> Iterator[Layer]:
    """The layer of a file and those below it, by what the headers say."""
    with ExitStack() as files:
        yield layer_of(path, files)


def layer_of(path: Path, files: ExitStack) -> Layer:
    file = FileStorage.open_path(os.fsencode(path))
    files.callback(file.close)
    if path.suffix == ".raw":
        return RawLayer(file)
    header, notes = read_qcow2_header(file)
    assert notes == ()
    reference = qcow2_reference(file, header)
    if reference is None:
        return Qcow2Layer(file, header, None)
    below = path.parent / os.fsdecode(reference.name)
    assert reference.format == below.suffix[1:].encode()
    return Qcow2Layer(file, header, layer_of(below, files))


def assert_reads_as_qemu(path: Path) -> None:
    """Whole, in random ranges, and in extents."""
    copy = path.with_suffix(".copy")
    qemu("qemu-img", "convert", "-O", "raw", path, copy)
    disk = copy.read_bytes()
    dice = random.Random(len(disk))  # noqa: S311 - the same ranges in every run
    with opened(path) as layer:
        assert layer.size == len(disk)
        assert read(layer, 0, len(disk)) == disk
        for _ in range(60):
            start = dice.randrange(len(disk))
            length = dice.randrange(min(200_000, len(disk) - start) + 1)
            assert read(layer, start, length) == disk[start : start + length]
        assert_extents_as_qemu(path, layer)


def assert_extents_as_qemu(path: Path, layer: Layer) -> None:
    listed = json.loads(qemu("qemu-img", "map", "--output", "json", path))
    told = (
        Extent(
            e["start"], e["length"], e["depth"], e["present"], e["zero"], e["data"], offset=e.get("offset")
        )
        for e in listed
    )
    found = list(layer.extents(0, layer.size))
    assert found == list(merged(found))
    assert [e.path is None for e in found] == [e.offset is None for e in found]
    assert comparable(found) == comparable(told)


def comparable(extents) -> list[Extent]:
    """Without what QEMU 7.2 does not tell: compression, files, and mostly holes below allocated clusters."""
    plain = (e._replace(compressed=False, path=None, zero=e.zero and not e.data) for e in extents)
    return list(merged(plain))


@every_kind
@pytest.mark.parametrize("below", [1536, 3 * MIB + 1024, DISK, DISK + MIB])
def test_over_a_raw_file(tmp_path: Path, cluster: int, compat: str, below: int) -> None:
    assorted(tmp_path / "base.raw", below)
    top = create(tmp_path / "top.qcow2", DISK, backing="base.raw", cluster_size=cluster, compat=compat)
    change(top, *writes(cluster, below))
    assert_reads_as_qemu(top)


def test_over_a_raw_file_that_ends_inside_a_sector(tmp_path: Path) -> None:
    base = assorted(tmp_path / "base.raw", MIB + 77)
    top = create(tmp_path / "top.qcow2", 2 * MIB, backing="base.raw")
    disk = base.read_bytes().ljust(2 * MIB, b"\0")
    with opened(top) as layer:
        assert read(layer, MIB - 1000, 2000) == disk[MIB - 1000 : MIB + 1000]
        assert read(layer, 0, 2 * MIB) == disk


@every_kind
def test_compressed(tmp_path: Path, cluster: int, compat: str) -> None:
    source = assorted(tmp_path / "source.raw", 2 * MIB + 1000, seed=cluster)
    os.truncate(source, DISK)
    options = f"cluster_size={cluster},compat={compat}"
    made = tmp_path / "made.qcow2"
    qemu("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", options, source, made)
    with opened(made) as layer:
        assert any(extent.compressed for extent in layer.extents(0, DISK))
        assert read(layer, 0, DISK) == source.read_bytes()
    assert_reads_as_qemu(made)


@every_kind
def test_chain_of_three_sizes(tmp_path: Path, cluster: int, compat: str) -> None:
    kind = {"cluster_size": cluster, "compat": compat}
    base = create(tmp_path / "base.qcow2", 3 * MIB, **kind)
    middle = create(tmp_path / "middle.qcow2", 5 * MIB, backing=base.name, **kind)
    top = create(tmp_path / "top.qcow2", 4 * MIB, backing=middle.name, compat=compat)
    change(base, *writes(cluster, 1, size=3 * MIB))
    change(middle, *writes(cluster, 2, size=5 * MIB))
    change(top, *writes(65536, 3, size=4 * MIB))
    assert_reads_as_qemu(top)


@every_kind
def test_resized_both_ways(tmp_path: Path, cluster: int, compat: str) -> None:
    assorted(tmp_path / "base.raw", 3 * MIB)
    path = create(tmp_path / "disk.qcow2", DISK, backing="base.raw", cluster_size=cluster, compat=compat)
    change(path, *writes(cluster, 4))
    # Version 2 has nothing to hide the backing file with, so that QEMU does not lengthen a disk over it.
    shrunk = 2 * MIB + 512 if compat == "1.1" else 3 * MIB + 512
    for size in (shrunk, 4 * MIB + 1536):
        qemu("qemu-img", "resize", "-q", "--shrink", path, size)
        assert_reads_as_qemu(path)


OPTIONS = {
    "lazy refcounts": {"lazy_refcounts": "on"},
    "metadata": {"preallocation": "metadata"},
    "falloc": {"preallocation": "falloc"},
    "1-bit refcounts": {"refcount_bits": 1},
    "64-bit refcounts": {"refcount_bits": 64},
}


@pytest.mark.parametrize("case", OPTIONS)
@pytest.mark.parametrize("cluster", [4096, 65536])
def test_options(tmp_path: Path, case: str, cluster: int) -> None:
    path = create(tmp_path / "disk.qcow2", DISK, cluster_size=cluster, **OPTIONS[case])
    assert_reads_as_qemu(path)
    # What is allocated already cannot be written compressed.
    change(path, *writes(cluster, 5, packed="preallocation" not in OPTIONS[case]))
    assert_reads_as_qemu(path)


@pytest.mark.parametrize("compat", ["0.10", "1.1"])
def test_internal_snapshot(tmp_path: Path, compat: str) -> None:
    path = create(tmp_path / "disk.qcow2", DISK, cluster_size=4096, compat=compat)
    change(path, *writes(4096, 6))
    qemu("qemu-img", "snapshot", "-c", "before", path)
    change(path, "write -P 17 0 100000", "discard 1M 1M", "write -P 18 4M 70000")
    assert_reads_as_qemu(path)


# --- what is not read

REFUSED = {
    "external data file": ("ACW-QC2-005", {"data_file": "disk.data"}),
    "compression type": ("ACW-QC2-005", {"compression_type": "zstd"}),
    "extended L2 entries": ("ACW-QC2-005", {"extended_l2": "on"}),
    "encrypted": (
        "ACW-QC2-012",
        {"encrypt.format": "luks", "encrypt.key-secret": "key", "encrypt.iter-time": 10},
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(tmp_path: Path, monkeypatch, case: str) -> None:
    monkeypatch.chdir(tmp_path)
    broken, options = REFUSED[case]
    stated = ",".join(f"{name}={value}" for name, value in options.items())
    key = "secret,id=key,data=secret"
    qemu("qemu-img", "create", "-q", "--object", key, "-f", "qcow2", "-o", stated, "disk.qcow2", MIB)
    with pytest.raises(UnsupportedImage) as caught, opened(tmp_path / "disk.qcow2"):
        pass
    assert caught.value.rule == broken
    assert case in str(caught.value)


# --- where QEMU's tools are of two minds


def test_file_that_was_cut_short(tmp_path: Path) -> None:
    path = create(tmp_path / "disk.qcow2", MIB)
    change(path, "write -P 5 0 128k")
    end = path.stat().st_size
    os.truncate(path, end - 1000)
    assert_reads_as_qemu(path)
    qemu("qemu-img", "check", path)
    os.truncate(path, end - 65536)
    # Reading gives zeros for what was 5, checking finds it.
    qemu("qemu-img", "convert", "-O", "raw", path, tmp_path / "copy")
    qemu("qemu-img", "check", path, status=2)
    with opened(path) as layer, pytest.raises(InvalidImage) as caught:
        read(layer, 0, 128 << 10)
    assert caught.value.rule == "ACW-QC2-017"


def test_window_of_32_kib(tmp_path: Path) -> None:
    cluster = (content(20000) * 4)[:65536]
    packed = deflated(cluster, window=-15)
    path = tmp_path / "disk.qcow2"
    entries = {0: compressed_entry(16, 5 << 16, len(packed))}
    path.write_bytes(image(entries, parts={5 << 16: packed}, cluster_bits=16, size=65536))
    assert_reads_as_qemu(path)
    with opened(path) as layer:
        assert read(layer, 0, 65536) == cluster
