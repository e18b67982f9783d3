"""Mutators and crossovers that know the grammar, for libFuzzer by way of atheris.

A mutator takes an input, the largest size that may come out, and a seed; the same three give the same bytes
where atheris is not loaded. After a change, lengths, sizes and bits are often made to fit again, so that what
lies behind the first check is reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_fuzz._bytes import mutate_bytes
from addcow_fuzz._dice import dice_of
from addcow_fuzz._fields import insert_extension, set_field
from addcow_fuzz._files import InputFiles
from addcow_fuzz._fit import fit, header_at, rename
from addcow_fuzz._made import make, take_apart
from addcow_fuzz._packing import LARGEST_OFFSET, Record, name_of, unpack
from addcow_fuzz.templates import TEMPLATES, qcow2
from addcow_spec.geometry import CLUSTER_SIZE, SECTOR_SIZE
from addcow_spec.model import QCOW2_MAGIC

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

__all__ = [
    "crossover_files",
    "mutate_files",
    "mutate_header",
    "mutate_plain",
    "mutate_qcow2",
    "mutate_recipe",
]

# Files of the templates that are not too long to be put into other inputs.
_STARTS = tuple(
    records for template in TEMPLATES.values() if len(records := unpack(template.data).records) < 100
)
_HEADERS = tuple(r.data for records in _STARTS for r in records if not r.offset and len(r.data) >= 36)
_QCOW2 = tuple(InputFiles(qcow2(0, version=version)).read(name_of(0), 0, 5120) for version in (2, 3))
_STEPS = (1, 8, SECTOR_SIZE, 4096, CLUSTER_SIZE, 8 * CLUSTER_SIZE, 1 << 32, 1 << 47)
_NAMES = (b"./b", b"b/../b", b"nbd:", b"json:{}", b"]]>\x1b[2J", b"\xff\xfe", b"a" * 1024, b"/", b".", b"")
# What an entry of a qcow2 table may have, besides the place it leads to.
_PLACES = (0, 1, 512, 4096, 65536, 1 << 53)
_FLAGS = (0, 1, 1 << 63, 1 << 62, 1 << 63 | 1, 3 << 61)
_WORDS = (b"a", b"b", b"c", b"sub", b"sub", b"..", b".", b"", b"nbd:", b"/", b"x" * 64)
_MOST_CHANGES = 4
# How many of a hundred mutations know nothing of the grammar.
_PLAIN = 20


def mutate_plain(data: bytes, max_size: int, seed: int) -> bytes:
    """Change bytes, without knowing what they are."""
    return mutate_bytes(data, max_size, dice_of(seed))


def mutate_header(data: bytes, max_size: int, seed: int) -> bytes:
    """Change a header: a field to a value at a limit, an extension, the header for one of a template."""
    dice = dice_of(seed)
    kind = dice.randrange(100)
    if kind < _PLAIN:
        return mutate_bytes(data, max_size, dice)
    header = bytearray(data if kind < 90 and len(data) > 8 else dice.choice(_HEADERS))
    if header.startswith(QCOW2_MAGIC) and dice.randrange(3) == 0:
        insert_extension(header, dice)
    for _ in range(dice.randrange(1, _MOST_CHANGES)):
        set_field(header, dice)
    return bytes(header[:max_size])


def mutate_qcow2(data: bytes, max_size: int, seed: int) -> bytes:
    """Change a qcow2 file: its header, or an entry of a table to one that leads to another place."""
    dice = dice_of(seed)
    if not data.startswith(QCOW2_MAGIC):
        data = dice.choice(_QCOW2)
    if dice.randrange(100) < 40:
        return mutate_header(data, max_size, dice.getrandbits(32))
    file = bytearray(data)
    for _ in range(dice.randrange(1, _MOST_CHANGES)):
        at = dice.randrange(512, max(len(file), 513)) & ~7
        entry = dice.choice(_PLACES) * dice.randrange(1, 9) | dice.choice(_FLAGS)
        file[at : at + 8] = entry.to_bytes(8, "big")
    return bytes(file[:max_size])


def mutate_recipe(data: bytes, max_size: int, seed: int) -> bytes:
    """Change the directory of an input: lines come, go and change places, and paths are changed in part."""
    dice = dice_of(seed)
    options, *lines = data[:1], *data[1:].split(b"\n")
    for _ in range(dice.randrange(1, _MOST_CHANGES)):
        at = dice.randrange(len(lines))
        kind = dice.randrange(6)
        if kind < 3:
            fields = lines[at].split(b"|")
            fields[dice.randrange(len(fields))] = _path(dice)
            lines[at] = lines[at][:1] + b" " + fields[0] + b"|" + b"|".join(fields[1:])
        elif kind == 3:
            lines[at:at] = [
                dice.choice(b"adfhlp").to_bytes(1, "big") + b" " + _path(dice) + b"|" + _path(dice)
            ]
        elif kind == 4 and len(lines) > 1:
            del lines[at]
        else:
            lines[at] = mutate_bytes(lines[at], len(lines[at]) + 16, dice)
    if dice.randrange(4) == 0:
        options = bytes([dice.randrange(8)])
    return (options + b"\n".join(lines))[:max_size]


def mutate_files(data: bytes, max_size: int, seed: int) -> bytes:
    """Change the files of an input, and often make them fit each other again."""
    dice = dice_of(seed)
    if dice.randrange(100) < _PLAIN:
        return mutate_bytes(data, max_size, dice)
    options, records = take_apart(data)
    if not records:
        records = list(dice.choice(_STARTS))
    for _ in range(dice.randrange(1, _MOST_CHANGES)):
        dice.choice(_CHANGES)(records, dice)
    if dice.randrange(2):
        fit(records)
    if dice.randrange(8) == 0:
        options = dice.randrange(256)
    return make(options, records, max_size)


def crossover_files(data1: bytes, data2: bytes, max_size: int, seed: int) -> bytes:
    """The files of one input, some of them as they are in the other one."""
    dice = dice_of(seed)
    options, records = take_apart(data1)
    others = unpack(data2).records
    own, theirs = ({record.file for record in each} for each in (records, others))
    # Seldom a file that the one has not: inputs soon had all there are, which takes long and reaches no more.
    taken = {file for file in theirs if not dice.randrange(2 if file in own else 6)}
    mixed = [record for record in records if record.file not in taken]
    mixed += [record for record in others if record.file in taken]
    if dice.randrange(2):
        fit(mixed)
    return make(options, mixed, max_size)


def _path(dice: Random) -> bytes:
    """A path of the words that recipes are made of."""
    return b"/".join(dice.choice(_WORDS) for _ in range(dice.randrange(1, 4)))


# --- changes of the records of an input, which always has some


def _set_field(records: list[Record], dice: Random) -> None:
    index = header_at(records, dice.choice(records).file)
    if index is None:
        index = dice.randrange(len(records))
    header = bytearray(records[index].data)
    set_field(header, dice)
    records[index] = records[index]._replace(data=bytes(header))


def _extend(records: list[Record], dice: Random) -> None:
    found = [index for index, record in enumerate(records) if record.data.startswith(QCOW2_MAGIC)]
    if found:
        index = dice.choice(found)
        header = bytearray(records[index].data)
        insert_extension(header, dice)
        records[index] = records[index]._replace(data=bytes(header))


def _rename(records: list[Record], dice: Random) -> None:
    files = sorted({record.file for record in records})
    odd = dice.randrange(4) == 0
    name = dice.choice(_NAMES) if odd else name_of(dice.choice([*files, max(files) + 1 & 0xFF]))
    rename(records, dice.choice(files), name, backing=bool(dice.randrange(3)))


def _bits(records: list[Record], dice: Random) -> None:
    """Flip a bit of what is behind a header."""
    found = [index for index, record in enumerate(records) if record.offset and record.data]
    if found:
        index = dice.choice(found)
        data = bytearray(records[index].data)
        data[dice.choice((0, -1, dice.randrange(len(data))))] ^= 1 << dice.randrange(8)
        records[index] = records[index]._replace(data=bytes(data))


def _move(records: list[Record], dice: Random) -> None:
    index = dice.randrange(len(records))
    step = dice.choice(_STEPS) * dice.choice((-1, 1))
    offset = min(max(records[index].offset + step, 0), LARGEST_OFFSET)
    records[index] = records[index]._replace(offset=offset)


def _change(records: list[Record], dice: Random) -> None:
    index = dice.randrange(len(records))
    data = mutate_bytes(records[index].data, len(records[index].data) + 16, dice)
    records[index] = records[index]._replace(data=data)


def _drop(records: list[Record], dice: Random) -> None:
    if len(records) > 1:
        del records[dice.randrange(len(records))]


def _add(records: list[Record], dice: Random) -> None:
    offset = dice.choice(_STEPS) * dice.randrange(4)
    records.append(Record(dice.choice(records).file, offset, dice.randbytes(dice.randrange(9))))


def _graft(records: list[Record], dice: Random) -> None:
    """Put a file of a template in the place of a file."""
    source = dice.choice(_STARTS)
    taken, place = dice.choice(source).file, dice.choice(records).file
    records[:] = [record for record in records if record.file != place]
    records += [record._replace(file=place) for record in source if record.file == taken]


_CHANGES: tuple[Callable[[list[Record], Random], None], ...] = (
    *(_set_field, _set_field, _set_field),
    *(_rename, _bits, _bits, _change, _extend),
    *(_move, _drop, _add, _graft),
)
