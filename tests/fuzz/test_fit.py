"""Files of an input that are made to fit each other: once is enough, and nothing idle is left of it."""

from __future__ import annotations

import pytest

from addcow_fuzz._agreement import check_input, reading_of
from addcow_fuzz._files import InputFiles
from addcow_fuzz._fit import fit
from addcow_fuzz._packing import Record, name_of, unpack
from addcow_fuzz.templates import TEMPLATES

SOUND = [name for name, template in TEMPLATES.items() if not template.refused]


def contents(records):
    files = InputFiles(records)
    return {name: files.read(name, 0, files.length(name)) for name in files}


@pytest.mark.parametrize("name", SOUND)
def test_what_fits_stays_as_it_is(name):
    records = list(unpack(TEMPLATES[name].data).records)
    before = contents(records)
    fit(records)
    assert contents(records) == before
    once = list(records)
    fit(records)
    assert records == once


@pytest.mark.parametrize("name", ["v4-alone", "v6-backed", "v10-backed"])
def test_disk_of_another_length_is_fitted(name):
    options, records = unpack(TEMPLATES[name].data)
    records.append(Record(1, 1 << 20))
    fit(records)
    report = check_input(InputFiles(records).opener, reading_of(options))
    assert not {"ACW-BMP-001", "ACW-BMP-002", "ACW-BMP-003", "ACW-SIZ-006"} & set(report.rule_counts)
    assert report.files[0].virtual_size == 1 << 20


def test_bits_beyond_the_disk_are_cleared_and_records_that_lose_their_bytes_go():
    options, records = unpack(TEMPLATES["v10-alone"].data)
    records += [Record(0, 4096, b"\xff\xff"), Record(0, 5000, b"gone"), Record(0, 1 << 40), Record(0, 4097)]
    fit(records)
    own = [record for record in records if record.file == 0 and record.offset >= 4096]
    assert own[1:] == [Record(0, 4096, b"\xff\x07"), Record(0, 4098)]
    assert "ACW-BMP-002" not in check_input(InputFiles(records).opener, reading_of(options)).rule_counts


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"ADD_COW\xff",
        b"ADD_COW\xff\1\0\0\0",
        b"ADD_COW\xff\0\0\0\1",
        b"ADD_COW\xff\0\0\0\2" + bytes(4096),
    ],
)
def test_headers_that_are_cut_short_are_left_as_they_are(header):
    records = [Record(0, 0, header), Record(1, 512)]
    fit(records)
    assert records == [Record(0, 0, header), Record(1, 512)]


def test_file_that_is_its_own_image_is_left_as_it_is():
    header = b"ADD_COW\xff\1\0\0\0" + bytes(8) + b"\x24\0\0\0\1\0\0\0" + bytes(8) + name_of(0)
    records = [Record(0, 0, header), Record(0, 9000)]
    fit(records)
    assert records == [Record(0, 0, header), Record(0, 9000)]
