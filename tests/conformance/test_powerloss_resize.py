"""A resize that fails, and a loss of power after it: either size, its data as they must be, and no third."""

from __future__ import annotations

import pytest

import addcow_ref
from addcow_conformance.powerloss import Effort, Trial
from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Fault,
    Flush,
    Kill,
    Reopen,
    Resize,
    Session,
    Write,
)
from addcow_conformance.programs._disks import Disks
from addcow_spec.errors import StorageError
from addcow_spec.model import Revision

C = 65536
DISKS = {
    Revision.V10: (Disk(Revision.V10, 2 * C + 512, Backing(BackingKind.RAW, 70_000)), (C + 512, 9 * C + 100)),
    Revision.V6: (Disk(Revision.V6, 12 * 512, Backing(BackingKind.RAW, 5_000)), (7 * 512, 20 * 512)),
    Revision.V4: (Disk(Revision.V4, 12 * 512, Backing(BackingKind.RAW, 5_000)), (7 * 512, 20 * 512)),
}
# Storage calls that a resize makes at most, and where a fault can strike.
CALLS = 12
EFFORT = Effort(bound=32, samples=12)


def found(target, disk, size, *tail):
    """What is found with each storage call of a resize failing in turn."""
    for call in range(CALLS):
        operations = (Write(0, disk.size, 1), Flush(), Fault(call), Resize(size), *tail)
        yield Trial(disk, target, EFFORT, operations).run(operations)


def rules(target, disk, size, *tail):
    return {each.rule for each in found(target, disk, size, *tail) if each}


@pytest.mark.parametrize("revision", DISKS)
@pytest.mark.parametrize("tail", [(), (Reopen(), Write(100, 700, 2)), (Kill(), Flush())], ids=len)
def test_engine_leaves_either_size(revision, tail):
    disk, sizes = DISKS[revision]
    for size in sizes:
        assert rules(addcow_ref, disk, size, *tail) == set()


def test_either_size_is_left(monkeypatch):
    """A judge that does not know of it takes the one for a fault, so that it is there."""

    def forget(self, _size, shown):
        if shown != self.size:
            self.resize(shown)

    monkeypatch.setattr(Disks, "fail_resize", forget)
    disk, sizes = DISKS[Revision.V10]
    for size in sizes:
        assert "ACW-DYN-011" in rules(addcow_ref, disk, size)


class _Spoilt:
    """The engine, which does one thing more when a resize has failed."""

    create_image = staticmethod(addcow_ref.create_image)

    @classmethod
    def open_image(cls, storage, **options):
        image = addcow_ref.open_image(storage, **options)
        resize = image.resize

        def spoilt(size):
            try:
                resize(size)
            except StorageError:
                cls.spoil(image._disk, image.size)
                raise

        image.resize = spoilt
        return image


class ThirdSize(_Spoilt):
    @staticmethod
    def spoil(disk, size):
        disk.image_file.truncate(size + 1024)
        disk.image_file.truncate(size)


class LostData(_Spoilt):
    """Cuts a sector too much, and puts it back."""

    @staticmethod
    def spoil(disk, size):
        kept = bytearray(1024)
        disk.image_file.read_into(size - 1024, kept)
        disk.image_file.truncate(size - 1024)
        disk.image_file.truncate(size)
        disk.image_file.write(size - 1024, kept)


@pytest.mark.parametrize("shrinks", [True, False])
@pytest.mark.parametrize(("target", "broken"), [(ThirdSize, "ACW-DYN-011"), (LostData, "ACW-DYN-005")])
def test_what_no_resize_may_leave_is_found(target, broken, shrinks):
    disk, (smaller, larger) = DISKS[Revision.V10]
    assert broken in rules(target, disk, smaller if shrinks else larger)


@pytest.mark.parametrize(
    ("settles", "sizes"), [(Flush(), 0), (Resize(4 * C), 0), (Kill(), 2), (Write(0, 9), 2)]
)
def test_sizes_are_uncertain_until_what_is_seen_is_flushed(settles, sizes):
    disk, (_, size) = DISKS[Revision.V10]
    with Session(disk, addcow_ref, log=[], comparing=False) as session:
        # Where calls fail no more, all goes on.
        session.run([Write(0, 700), Flush(), Fault(2), Resize(size)])
        assert [other.size for other in session.oracle.others] == [disk.size, size]
        session.run([Kill(), settles])
        assert len(session.oracle.others) == sizes


def test_writes_go_to_all_sizes():
    disks = Disks(1024, None, 512)
    disks.fail_resize(2048, 1024)
    twin = disks.copy()
    disks.write(512, b"x" * 512)
    disks.stream()
    assert [each.read(0, 4096) for each in disks.others] == [
        bytes(512) + b"x" * 512,
        bytes(512) + b"x" * 512 + bytes(1024),
    ]
    assert [each.must_be_set for each in disks.others] == [{0, 1}, {0, 1, 2, 3}]
    assert [each.read(0, 4096) for each in twin.others] == [bytes(1024), bytes(2048)]
