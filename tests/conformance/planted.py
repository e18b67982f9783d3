"""Faults planted in the reference engine, one each, which the models have to find.

Each names the rules that it may be found to break, and how many operations show it at most.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import addcow_ref._bitmap as bitmap
import addcow_ref._disk as disk
import addcow_ref._file_storage as file_storage
import addcow_ref._image as image
import addcow_ref._resize as resize
import addcow_ref._serial as serial
import addcow_ref._stream as stream
from addcow_conformance.programs import StorageKind
from addcow_ref._extents import zero_extent
from addcow_spec.errors import StorageError, UsageError
from addcow_spec.geometry import ceil_div
from addcow_spec.model import Revision

__all__ = ["PLANTED", "Planted"]


class Planted(NamedTuple):
    plant: Callable
    rules: frozenset[str]
    longest: int
    revision: Revision
    storage: StorageKind


PLANTED: dict[str, Planted] = {}


def planted(*rules, longest, revision=Revision.V10, storage=StorageKind.MEMORY):
    def keep(plant):
        name = plant.__name__.replace("_", " ")
        ids = frozenset(f"ACW-{rule}" for rule in rules)
        PLANTED[name] = Planted(plant, ids, longest, revision, storage)
        return plant

    return keep


def wrap(patch, owner, name):
    """Replace a method by one that is given the method as it was."""

    def decorate(function):
        real = getattr(owner, name)
        patch.setattr(owner, name, lambda *args, **named: function(real, *args, **named))

    return decorate


# --- partial writes


@planted("DYN-003", longest=1)
def head_of_a_unit_is_not_copied(patch):
    @wrap(patch, disk.Disk, "_edges")
    def edges(real, self, offset, end):
        head, tail = real(self, offset, end)
        return head[:0], tail


@planted("DYN-003", longest=1)
def tail_of_a_unit_is_not_copied(patch):
    @wrap(patch, disk.Disk, "_edges")
    def edges(real, self, offset, end):
        head, tail = real(self, offset, end)
        return head, tail[:0]


@planted("DYN-003", longest=1)
def zeros_are_copied_for_what_is_below(patch):
    @wrap(patch, disk.Disk, "_edges")
    def edges(real, self, offset, end):
        return tuple(memoryview(bytes(len(part))) for part in real(self, offset, end))


@planted("DYN-003", longest=1)
def copy_stops_at_the_end_of_the_backing(patch):
    @wrap(patch, disk.Disk, "_edges")
    def edges(real, self, offset, end):
        head, tail = real(self, offset, end)
        below = self.backing.size if self.backing else 0
        return head, tail[: max(below - end, 0)]


@planted("DYN-003", longest=2)
def zeros_reach_as_far_as_their_units(patch):
    @wrap(patch, disk.Disk, "store_zeroes")
    def store(real, self, offset, length, *, unmap=True):
        unit = self.unit_size
        if length and unmap and self.bitmap.is_set(offset // unit, ceil_div(offset + length, unit)):
            length = min(ceil_div(offset + length, unit) * unit, self.size) - offset
        return real(self, offset, length, unmap=unmap)


# --- bits


@planted("DYN-002", "DYN-003", "DYN-001", longest=1)
def zeros_set_no_bit(patch):
    @wrap(patch, disk.Disk, "_zero")
    def zero(_real, self, offset, end, *, unmap):
        self.store_zeroes(offset, end - offset, unmap=unmap)


@planted("DYN-002", "DYN-003", longest=2)
def write_to_the_end_of_a_unit_sets_the_next_bit(patch):
    @wrap(patch, disk.Disk, "_write")
    def write(real, self, offset, view, end):
        real(self, offset, view, end)
        if end % self.unit_size == 0 and end < self.size and offset < end:
            self.bitmap.set(end // self.unit_size, end // self.unit_size + 1)


@planted("DYN-002", "DYN-003", longest=1)
def write_of_nothing_sets_a_bit(patch):
    @wrap(patch, disk.Disk, "_write")
    def write(real, self, offset, view, end):
        real(self, offset, view, end)
        if offset == end < self.size:
            self.bitmap.set(offset // self.unit_size, offset // self.unit_size + 1)


@planted("DYN-002", "DYN-012", longest=1, revision=Revision.V4)
def last_of_many_bits_is_not_set(patch):
    @wrap(patch, bitmap.Bitmap, "set")
    def set_bits(real, self, first, stop):
        real(self, first, stop - 1 if stop - first > 8 else stop)


@planted("DYN-001", "DYN-003", longest=2)
def failed_write_sets_its_bit(patch):
    @wrap(patch, disk.Disk, "_write")
    def write(real, self, offset, view, end):
        try:
            real(self, offset, view, end)
        except StorageError:
            self.bitmap.set(offset // self.unit_size, ceil_div(end, self.unit_size))
            raise


def _drop_changes(real, self):
    for page in self.pages.values():
        page.dirty = False
    return real(self)


@planted("DYN-001", "DYN-002", "DYN-003", "DYN-012", longest=2, revision=Revision.V6)
def changed_page_is_dropped_v6(patch):
    wrap(patch, bitmap.Bitmap, "_evict")(_drop_changes)


@planted("DYN-001", "DYN-002", "DYN-003", "DYN-012", longest=2)
def changed_page_is_dropped_v10(patch):
    wrap(patch, bitmap.Bitmap, "_evict")(_drop_changes)


# --- reads


@planted("DYN-001", "DYN-010", longest=0)
def image_file_shows_where_nothing_is_below(patch):
    @wrap(patch, disk.Disk, "read_below")
    def read_below(real, self, offset, view):
        if self.backing is None:
            self.image_file.read_into(offset, view)
        else:
            real(self, offset, view)


@planted("DYN-001", "DYN-010", "DYN-011", longest=1)
def what_lies_beyond_the_backing_is_not_zero(patch):
    @wrap(patch, disk.Disk, "read_below")
    def read_below(real, self, offset, view):
        real(self, offset, view)
        inside = min(max(self.backing.size - offset, 0), len(view)) if self.backing else len(view)
        view[inside:] = b"\xee" * (len(view) - inside)


@planted("DYN-001", "DYN-002", "DYN-010", longest=0)
def extents_say_zeros_of_what_is_below(patch):
    @wrap(patch, image.Image, "extents")
    def extents(real, self, *args):
        for extent in real(self, *args):
            if extent.depth and extent.present:
                yield zero_extent(extent.start, extent.start + extent.length, extent.depth, present=True)
            else:
                yield extent


@planted("DYN-002", "DYN-012", longest=2)
def extents_count_zeros_as_below(patch):
    @wrap(patch, image.Image, "extents")
    def extents(real, self, *args):
        for extent in real(self, *args):
            yield extent._replace(present=extent.present and not extent.zero)


# --- flushes


@planted("DYN-001", "DYN-002", "DYN-003", "DYN-005", "DYN-011", longest=2)
def flush_writes_no_bits(patch):
    @wrap(patch, bitmap.Bitmap, "write_back")
    def write_back(_real, self):
        self._barrier()
        for page in self.pages.values():
            page.dirty = False
        return False


@planted("DYN-002", "DYN-003", "DYN-005", longest=4)
def durable_write_is_not_flushed(patch):
    @wrap(patch, image.Image, "write")
    def write(real, self, offset, data, **_):
        return real(self, offset, data)


@planted("DYN-005", longest=4)
def failed_sync_is_nobodys_affair(patch):
    @wrap(patch, disk.Disk, "_sync")
    def sync(real, self, file):
        try:
            real(self, file)
        except StorageError:
            self._failure = None
            self._write_limit = self.size


@planted("DYN-002", "DYN-005", longest=3)
def closing_does_not_flush(patch):
    @wrap(patch, disk.Disk, "close")
    def close(real, self):
        self.writable = False
        real(self)


# --- resizes


@planted("BMP-002", "DYN-002", "DYN-011", longest=3)
def bits_beyond_the_end_stay(patch):
    wrap(patch, resize, "_clear_after")(lambda _real, *_: None)


@planted("SIZ-006", "DYN-009", "DYN-011", longest=4, revision=Revision.V6)
def size_field_is_forgotten(patch):
    wrap(patch, resize, "_store_size")(lambda _real, *_: None)


@planted("DYN-002", "DYN-011", longest=3)
def bits_that_were_cut_off_come_back(patch):
    @wrap(patch, resize, "_grow")
    def grow(real, target, old, new):
        real(target, old, new)
        if new.units > old.units:
            target.bitmap.set(old.units, old.units + 1)


@planted("DYN-011", longest=2)
def rest_of_a_short_unit_is_not_zero(patch):
    @wrap(patch, resize, "_grow")
    def grow(real, target, old, new):
        real(target, old, new)
        target.image_file.write(old.virtual_size, b"\xee" * min(new.virtual_size - old.virtual_size, 512))


@planted("DYN-011", longest=3)
def failed_resize_leaves_the_new_size(patch):
    @wrap(patch, resize, "_grow")
    def grow(real, target, old, new):
        try:
            real(target, old, new)
        except StorageError:
            target.adopt(new)
            raise


# --- streams


@planted("DYN-002", "DYN-012", longest=2)
def stream_forgets_the_last_unit(patch):
    @wrap(patch, stream._Stream, "_begin")
    def begin(real, self):
        real(self)
        self._units -= 1


@planted("DYN-012", longest=3)
def stream_copies_over_what_was_written(patch):
    @wrap(patch, stream._Stream, "_copy_data")
    def copy(real, self, start, view):
        real(self, start, view)
        if start:
            before = memoryview(bytearray(self._disk.unit_size))
            self._disk.read_below(start - len(before), before)
            self._disk.image_file.write(start - len(before), before)


@planted("DYN-012", longest=3)
def stream_leaves_zeros_to_chance(patch):
    @wrap(patch, stream._Stream, "_copy")
    def copy(real, self, piece):
        if piece.zero:
            self._disk.bitmap.set(piece.first, piece.stop)
        else:
            real(self, piece)


@planted("DYN-004", longest=2)
def stream_that_stops_at_once_is_never_refused(patch):
    @wrap(patch, image.Image, "stream")
    def run(real, self, *, stop=None, **named):
        try:
            return real(self, stop=stop, **named)
        except UsageError:
            if stop and stop():
                return False
            raise


# --- what must not be


# Whatever reads first, or reopens, sees the lost bytes.
@planted("DYN-003", "DYN-005", "DYN-006", longest=6)
def two_writes_share_a_unit(patch):
    wrap(patch, serial.UnitLocks, "holding")(lambda _real, *_: nullcontext())


@planted("DYN-004", longest=2)
def write_of_an_image_open_for_reading_is_swallowed(patch):
    @wrap(patch, image.Image, "write")
    def write(real, self, offset, data, **named):
        if self.writable or offset + len(data) > self.size:
            real(self, offset, data, **named)


@planted("DYN-007", longest=1)
def write_beyond_the_end_is_cut(patch):
    @wrap(patch, image.Image, "write")
    def write(real, self, offset, data, **named):
        if offset <= self.size:
            data = data[: self.size - offset]
        real(self, offset, data, **named)


@planted("DYN-007", "DYN-011", longest=1)
def write_beyond_the_end_grows_the_disk(patch):
    @wrap(patch, image.Image, "write")
    def write(real, self, offset, data, **named):
        if self.writable and offset + len(data) > self.size:
            self.resize(offset + len(data))
        real(self, offset, data, **named)


@planted("DYN-002", "DYN-004", longest=2)
def reading_writes_a_copy(patch):
    @wrap(patch, image.Image, "read")
    def read(real, self, offset, length):
        data = real(self, offset, length)
        if self.writable and length == 512:
            self.write(offset, data)
        return data


@planted("DYN-009", longest=1, storage=StorageKind.FILES)
def names_are_taken_from_the_working_directory(patch):
    @wrap(patch, file_storage.FileStorage, "open")
    def open_file(real, self, name, *, writable=False):
        if not os.path.isabs(self.path):
            return type(self).open_path(name, writable=writable)
        return real(self, name, writable=writable)
