"""Implementations that are wrong in one point each: in requests and failures, and in what they say."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from addcow_conformance.programs import Disk, Fault, Flush, Kill, Read, Reopen, Resize, Stream, Write, Zeroes
from addcow_ref.testing import Wrapper
from addcow_spec.errors import MalformedImage, StorageError, UsageError
from tests.conformance.wrong_targets import (
    BACKED,
    CHAIN,
    CLUSTER,
    LARGE,
    MIB,
    QCOW2,
    SCENARIOS,
    Passing,
    Scenario,
    Target,
    raw_of,
    scenario,
    wrong_image,
)

__all__ = ["SCENARIOS"]

# --- reads and writes


def odd_reads(change):
    """Only a read of 7 bytes is wrong: a comparison reads the whole disk."""
    return lambda image, offset, length: (
        change(image.real.read(offset, length)) if length == 7 else image.real.read(offset, length)
    )


wrong_image(
    "ACW-DYN-001",
    Write(0, 9),
    Read(0, 7),
    name="read shows another byte",
    read=odd_reads(lambda data: data[:6] + b"\0"),
)
wrong_image(
    "ACW-DYN-001", Write(0, 9), Read(0, 7), name="read is short", read=odd_reads(lambda data: data[:6])
)
wrong_image("ACW-DYN-001", Read(0, 7), name="read gives nothing", read=odd_reads(lambda _: None))
wrong_image(
    "ACW-DYN-001",
    Write(5, 9),
    name="write loses its last byte",
    write=lambda image, offset, data, *, fua: image.real.write(offset, data[:-1], fua=fua),
)
wrong_image(
    "ACW-DYN-003",
    Write(CLUSTER, 9),
    Write(0, 9),
    name="write spoils what is beside it",
    write=lambda image, offset, data, *, fua: image.real.write(offset, data + b"!", fua=fua),
)
wrong_image(
    "ACW-DYN-003",
    Write(0, 2 * CLUSTER),
    Zeroes(0, CLUSTER),
    name="zeros go too far",
    write_zeroes=lambda image, offset, length, **how: image.real.write_zeroes(offset, length + 1, **how),
)
wrong_image(
    "ACW-DYN-002",
    Write(0, CLUSTER),
    name="write sets the next bit",
    write=lambda image, offset, data, *, fua: (
        image.real.write(offset, data, fua=fua),
        image.real.write(CLUSTER, bytes(9)),
    ),
)
wrong_image(
    "ACW-DYN-002",
    Zeroes(0, CLUSTER),
    name="zeros over nothing set no bit",
    write_zeroes=lambda *_, **__: None,
)
wrong_image(
    "ACW-DYN-005",
    Write(0, 9, fua=True),
    Kill(),
    name="durable write is not",
    write=lambda image, offset, data, **_: image.real.write(offset, data),
)
wrong_image("ACW-DYN-005", Write(0, 9), Flush(), name="flush writes no bits", flush=lambda _: None)
wrong_image(
    "ACW-DYN-001",
    Write(3 * MIB, 9),
    name="write is lost on a large disk",
    disk=LARGE,
    write=lambda image, offset, data, *, fua: image.real.write(offset, b"x" * len(data), fua=fua),
)
wrong_image(
    "ACW-DYN-001",
    Write(MIB, 3 * CLUSTER),
    disk=LARGE,
    name="middle of a write is lost on a large disk",
    write=lambda image, offset, data, *, fua: image.real.write(
        offset, data[:CLUSTER] + bytes(CLUSTER) + data[2 * CLUSTER :], fua=fua
    ),
)


@scenario("ACW-DYN-003", Write(0, 3 * CLUSTER), Flush(), Fault(0), Write(0, 600))
class FailedWriteSpoilsWhatIsBesideIt(Passing):
    def write(self, offset, data, *, fua):
        try:
            self.real.write(offset, data, fua=fua)
        except StorageError:
            self.real.write(CLUSTER, b"spoiled")
            raise


@scenario("ACW-DYN-001", Write(0, 2 * CLUSTER), Flush(), Fault(0), Write(0, 600, 2))
class FailedWriteTearsASector(Passing):
    def write(self, offset, data, *, fua):
        try:
            self.real.write(offset, data, fua=fua)
        except StorageError:
            self.real.write(offset, data[:100])
            raise


# --- failures


def failing(error):
    def fail(*_, **__):
        raise error

    return fail


wrong_image("ACW-DYN-003", Write(0, 9), name="write fails of itself", write=failing(StorageError("no")))
wrong_image("ACW-DYN-003", Write(0, 9), name="write raises something odd", write=failing(KeyError("no")))
wrong_image(
    "ACW-DYN-003",
    Write(0, 9),
    name="write finds the image broken",
    write=failing(MalformedImage("no", rule="ACW-QC2-017")),
)
wrong_image("ACW-DYN-012", Stream(), name="stream raises something odd", stream=failing(ValueError("no")))
wrong_image("ACW-DYN-005", Reopen(), name="closing fails of itself", close=failing(StorageError("no")))
wrong_image("ACW-DYN-005", Reopen(), name="closing is refused", close=failing(UsageError("no")))
wrong_image("ACW-DYN-010", name="comparison is refused", read=failing(UsageError("no")))
wrong_image("ACW-DYN-010", name="comparison raises something odd", extents=failing(TypeError("no")))
wrong_image("ACW-DYN-014", Reopen(), name="closing leaves files open", close=lambda image: image.real.flush())


class Deaf(Wrapper):
    """A storage that does not hear that a sync or a lock fails."""

    def open(self, name, *, writable=False):
        return Deaf(self.storage.open(name, writable=writable))

    def sync(self):
        with suppress(StorageError):
            self.storage.sync()

    def lock(self, *, exclusive):
        with suppress(StorageError):
            self.storage.lock(exclusive=exclusive)

    def __getattr__(self, name):
        return getattr(self.storage, name)


# The calls of a write of a whole unit: a write. Of a flush: a sync, a write, a sync.
SYNCED = (Write(0, CLUSTER), Flush(), Write(0, CLUSTER))
for name, operation in {
    "flush": Flush(),
    "closing": Reopen(),
    "resize": Resize(4 * CLUSTER),
}.items():
    SCENARIOS.append(
        Scenario(
            f"{name} swallows a failed sync",
            "ACW-DYN-005",
            Disk(size=3 * CLUSTER),
            (*SYNCED, Fault(0), operation),
            partial(Target, storage=Deaf),
        )
    )
SCENARIOS.append(
    Scenario(
        "durable write swallows a failed sync",
        "ACW-DYN-005",
        Disk(size=3 * CLUSTER),
        (*SYNCED, Fault(1), Write(0, 9, fua=True)),
        partial(Target, storage=Deaf),
    )
)
SCENARIOS.append(
    Scenario(
        "failed lock is swallowed",
        "ACW-DYN-014",
        Disk(size=3 * CLUSTER),
        (Fault(0), Kill()),
        partial(Target, storage=Deaf),
    )
)


@scenario("ACW-DYN-005", *SYNCED, Fault(0), Flush(), Flush())
class SecondFlushForgetsTheFirst(Passing):
    failed = False

    def flush(self):
        if not self.failed:
            try:
                self.real.flush()
            except StorageError:
                self.failed = True
                raise


@scenario("ACW-HDR-001", *SYNCED, Fault(0), Reopen())
class FailedClosingBreaksTheImage(Passing):
    def close(self):
        try:
            self.real.close()
        except StorageError:
            file = raw_of(self, b"disk.add-cow")
            file.write(0, b"broken")
            file.close()
            raise


@scenario("ACW-DYN-003", *SYNCED, Fault(0), Reopen(), Write(0, 9))
class WriteFailsAfterTheImageWasOpenedAnew(Passing):
    def write(self, offset, data, *, fua):
        if len(data) == 9:
            raise StorageError("no")
        self.real.write(offset, data, fua=fua)


# --- what it says of itself


def extents(change):
    return lambda image: change(list(image.real.extents()))


def first(found, **changes):
    return [found[0]._replace(**changes), *found[1:]]


def endless(found):
    yield from found
    at = found[-1].start + found[-1].length
    while True:
        yield found[-1]._replace(start=at, length=512)
        at += 512


wrong_image(
    "ACW-DYN-011", Write(0, 9), name="size is another", size=property(lambda image: image.real.size + 512)
)
for name, change in {
    "extents have a gap": lambda found: first(found, start=1),
    "extents overlap": lambda found: [found[0], *found],
    "extents stop early": lambda found: found[:-1],
    "extents are none": lambda _: [],
    "extents go on": lambda found: [*found, found[-1]._replace(start=3 * CLUSTER, length=1)],
    "extents never end": endless,
    "extent is empty": lambda found: [found[0]._replace(length=0), *found],
    "extent of data is zeros": lambda found: first(found, zero=True),
}.items():
    wrong_image("ACW-DYN-001", name=name, disk=BACKED, extents=extents(change))
wrong_image(
    "ACW-DYN-002",
    Write(0, CLUSTER),
    name="set unit is said to be below",
    disk=BACKED,
    extents=extents(lambda found: first(found, depth=1)),
)
wrong_image(
    "ACW-DYN-002",
    name="clear unit is said to be set",
    disk=BACKED,
    extents=extents(lambda found: first(found, depth=0)),
)
wrong_image(
    "ACW-DYN-001",
    name="layer is one that is not there",
    disk=BACKED,
    extents=extents(lambda found: first(found, depth=2)),
)
wrong_image(
    "ACW-DYN-001",
    name="layer is another of the chain",
    disk=CHAIN,
    extents=extents(lambda found: [e._replace(depth=1) if e.depth else e for e in found]),
)
wrong_image(
    "ACW-DYN-001",
    name="what a layer has is in none",
    disk=BACKED,
    extents=extents(lambda found: first(found, present=False)),
)
wrong_image(
    "ACW-DYN-001",
    name="what no layer has is below",
    disk=QCOW2,
    extents=extents(lambda found: [e._replace(depth=1, present=True) for e in found]),
)
