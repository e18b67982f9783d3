"""More implementations that are wrong in one point each: in what they write, refuse and make."""

from __future__ import annotations

from addcow_conformance.programs import Disk, Fault, Flush, Kill, Read, Reopen, Resize, Stream, Write, Zeroes
from addcow_spec.errors import StorageError, UsageError
from addcow_spec.model import Revision
from tests.conformance.wrong_targets import (
    BACKED,
    CLUSTER,
    LARGE,
    RAW,
    SCENARIOS,
    Passing,
    part,
    raw_of,
    scenario,
    wrong_image,
)

__all__ = ["SCENARIOS"]

V6 = Disk(Revision.V6, 8192)

# --- files


@scenario("ACW-DYN-004", Write(0, 9), disk=BACKED)
class BackingFileIsWrittenWithItsOwnBytes(Passing):
    def write(self, offset, data, *, fua):
        self.real.write(offset, data, fua=fua)
        below, byte = raw_of(self, b"base.raw"), bytearray(1)
        below.read_into(0, byte)
        below.write(0, byte)
        below.close()


wrong_image(
    "ACW-DYN-004",
    Read(0, 7),
    name="read copies",
    read=lambda image, offset, length: (
        part(image) if length == 7 else None,
        image.real.read(offset, length),
    )[1],
)
wrong_image(
    "ACW-DYN-004",
    name="comparison copies",
    read=lambda image, *where: (part(image), image.real.read(*where))[1],
)
wrong_image(
    "ACW-DYN-004", name="listing extents copies", extents=lambda image: (part(image), image.real.extents())[1]
)


@scenario("ACW-DYN-004", Reopen(writable=False), Flush())
class FlushOfAnImageOpenForReadingWrites(Passing):
    def flush(self):
        if not self.real.writable:
            part(self)
        self.real.flush()


@scenario("ACW-DYN-004", Reopen(writable=False), Reopen())
class ClosingAnImageOpenForReadingWrites(Passing):
    def close(self):
        if not self.real.writable:
            part(self)
        self.real.close()


@scenario("ACW-DYN-004", Reopen(writable=False), opened=True)
def opening_for_reading_writes(target, real, options):
    if not options["writable"]:
        raw = target.open(RAW, writable=True)
        raw.write(0, b"?")
        raw.close()
    return real()


@scenario("ACW-DYN-002", Write(0, 9), Flush())
class FlushSetsAnotherBitInTheFile(Passing):
    def flush(self):
        self.real.flush()
        file = raw_of(self, b"disk.add-cow")
        file.write(4096, b"\3")
        file.close()


@scenario("ACW-BMP-003", Write(0, 9), Flush())
class FlushLeavesBytesBehindTheBitmap(Passing):
    def flush(self):
        self.real.flush()
        file = raw_of(self, b"disk.add-cow")
        file.write(file.length(), b"\1")
        file.close()


@scenario("ACW-BMP-003", Write(0, 9), Reopen(writable=False))
class ClosingLeavesBytesBehindTheBitmap(Passing):
    def close(self):
        self.real.flush()
        file = raw_of(self, b"disk.add-cow")
        if self.real.writable:
            file.write(file.length(), b"\1")
        file.close()
        self.real.close()


# --- refusals


def refusing(rule=None, done=()):
    def refuse(image, *_, **__):
        for call in done:
            call(image)
        raise UsageError("no", rule=rule)

    return refuse


OUTSIDE = Write(3 * CLUSTER - 1, 2)
wrong_image("ACW-DYN-007", Write(0, 9), name="write is refused", write=refusing("ACW-DYN-007"))
wrong_image(
    "ACW-DYN-007",
    Write(3 * CLUSTER, 0),
    name="empty write at the end is refused",
    write=refusing("ACW-DYN-007"),
)
wrong_image("ACW-DYN-007", Flush(), name="flush is refused", flush=refusing())
wrong_image("ACW-DYN-007", Stream(), name="stream is refused", stream=refusing())
wrong_image("ACW-DYN-007", OUTSIDE, name="write outside is taken", write=lambda *_, **__: None)
wrong_image(
    "ACW-DYN-007", Zeroes(1 << 40, 1), name="zeros outside are taken", write_zeroes=lambda *_, **__: None
)
wrong_image(
    "ACW-DYN-007",
    Read(3 * CLUSTER, 7),
    name="read outside is taken",
    read=lambda image, offset, length: bytes(length) if length == 7 else image.real.read(offset, length),
)
wrong_image("ACW-DYN-007", OUTSIDE, name="write outside is refused by no rule", write=refusing())
wrong_image(
    "ACW-DYN-007", OUTSIDE, name="write outside is refused by another rule", write=refusing("ACW-DYN-004")
)
wrong_image(
    "ACW-DYN-007", OUTSIDE, name="refused write is done in part", write=refusing("ACW-DYN-007", [part])
)
wrong_image(
    "ACW-DYN-004",
    Reopen(writable=False),
    Write(0, 9),
    name="write to an image open for reading is taken",
    write=lambda *_, **__: None,
)
wrong_image(
    "ACW-DYN-004",
    Reopen(writable=False),
    Stream(),
    name="stream of an image open for reading is taken",
    stream=lambda *_, **__: True,
)
wrong_image(
    "ACW-DYN-004",
    Reopen(writable=False),
    Write(0, 9),
    name="refused write for reading is done in part",
    write=refusing(None, [part]),
)


@scenario("ACW-DYN-002", Fault(0), Write(3 * CLUSTER - 1, 2))
class WriteOutsideFailsAndIsDoneInPart(Passing):
    def write(self, offset, data, *, fua):
        try:
            self.real.write(0, data, fua=fua)
        except StorageError:
            self.real.write(offset, data[:1], fua=fua)
            raise


# --- resize and stream

wrong_image("ACW-DYN-011", Resize(CLUSTER), name="resize is refused", resize=refusing())
wrong_image("ACW-DYN-011", Resize(CLUSTER), name="resize does nothing", resize=lambda *_: None)
wrong_image(
    "ACW-SIZ-007",
    Resize(513),
    disk=V6,
    name="odd size is taken",
    resize=lambda image, _: image.real.resize(512),
)
wrong_image("ACW-SIZ-007", Resize(513), disk=V6, name="odd size is refused by no rule", resize=refusing())
wrong_image(
    "ACW-DYN-004",
    Reopen(writable=False),
    Resize(CLUSTER),
    name="resize for reading is taken",
    resize=lambda *_: None,
)
wrong_image(
    "ACW-DYN-004",
    Reopen(writable=False),
    Resize(CLUSTER),
    name="refused resize for reading writes",
    resize=refusing(None, [part]),
)
wrong_image(
    "ACW-DYN-012",
    Stream(),
    name="stream says that it was stopped",
    stream=lambda image, *, stop: image.real.stream(stop=stop) and None,
)
wrong_image("ACW-DYN-012", Stream(), name="stream does nothing", stream=lambda *_, **__: True)
wrong_image(
    "ACW-DYN-012",
    Stream(),
    disk=LARGE,
    name="stream of a large disk does nothing",
    stream=lambda *_, **__: True,
)
wrong_image(
    "ACW-DYN-012",
    Stream(0),
    name="stream that was stopped says that it was not",
    stream=lambda image, *, stop: image.real.stream(stop=stop) or True,
)


@scenario("ACW-DYN-011", Write(0, CLUSTER + 9), Resize(CLUSTER + 9), Resize(2 * CLUSTER))
class GrownDiskShowsWhatWasCutOff(Passing):
    def resize(self, size):
        old = self.real.size
        self.real.resize(size)
        if size > old:
            self.real.write(old, b"old")


@scenario("ACW-DYN-011", Fault(0), Resize(CLUSTER))
class FailedResizeHasAThirdSize(Passing):
    def resize(self, size):
        try:
            self.real.resize(size)
        except StorageError:
            self.size = 2 * CLUSTER
            raise


@scenario("ACW-DYN-012", Stream())
class StreamLeavesTheImageFileLongerThanTheDisk(Passing):
    def stream(self, *, stop):
        done = self.real.stream(stop=stop)
        raw = raw_of(self)
        raw.write(raw.length(), b"?")
        raw.close()
        return done


# --- creating and opening


@scenario("ACW-DYN-010", create=True)
def creating_is_refused(_target, _real):
    raise UsageError("no")


@scenario("ACW-DYN-010", create=True)
def creating_fails(_target, _real):
    raise StorageError("no")


@scenario("ACW-DYN-010", create=True)
def creating_raises_something_odd(_target, _real):
    raise KeyError("no")


@scenario("ACW-DYN-010", create=True)
def creating_touches_the_image_file(target, real):
    real()
    raw = target.open(RAW, writable=True)
    raw.write(0, b"?")
    raw.close()


@scenario("ACW-BMP-003", create=True)
def creating_leaves_bytes_behind_the_bitmap(target, real):
    real()
    target.write(target.length(), b"\1")


@scenario("ACW-DYN-010", create=True)
def created_image_is_none(target, _real):
    target.write(0, b"nothing")


ODD = Disk(Revision.V4, 513)


@scenario("ACW-DYN-010", disk=ODD, create=True)
def odd_disk_is_created(_target, _real):
    return None


@scenario("ACW-DYN-010", disk=ODD, create=True)
def odd_disk_is_refused_by_no_rule(_target, _real):
    raise UsageError("no")


@scenario("ACW-DYN-010", disk=ODD, create=True)
def refused_creation_leaves_bytes(target, _real):
    target.write(0, b"half")
    raise UsageError("no", rule="ACW-SIZ-007")


@scenario("ACW-DYN-009", opened=True)
def opening_raises_something_odd(_target, _real, _options):
    raise RuntimeError("no")


@scenario("ACW-DYN-009", Fault(3), Kill(), opened=True)
def refused_opening_leaves_a_file_open(target, real, _options):
    target.open(RAW)
    return real()
