"""Every target on what is kept: seeds, regressions, templates, and bytes that hypothesis makes up."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addcow_fuzz._made import take_apart
from addcow_fuzz._packing import LARGEST_OFFSET, MOST_FILES, Record, name_of, pack, unpack
from addcow_fuzz._recorded import recorded
from addcow_fuzz.dictionary import dictionary
from addcow_fuzz.mutators import (
    crossover_files,
    mutate_files,
    mutate_header,
    mutate_plain,
    mutate_qcow2,
    mutate_recipe,
)
from addcow_fuzz.targets import TARGETS
from addcow_fuzz.templates import TEMPLATES, prove
from tests.fuzz.inputs import CORPORA, NAMES, run, seeds

MUTATORS = (mutate_files, mutate_header, mutate_plain, mutate_qcow2, mutate_recipe)
RECORDS = st.lists(
    st.builds(Record, st.integers(0, MOST_FILES - 1), st.integers(0, LARGEST_OFFSET), st.binary(max_size=40)),
    max_size=6,
)
each_target = pytest.mark.parametrize("name", NAMES)


class TestTargets:
    @each_target
    @pytest.mark.parametrize(
        "data", [b"", b"\0", bytes(600), b"\xff" * 600], ids=["none", "one", "zeros", "ones"]
    )
    def test_plain(self, name, data):
        assert run(name, data) is None

    @each_target
    def test_kept(self, name):
        kept = seeds(name)
        assert kept
        assert {path.name: found for path in kept if (found := run(name, path.read_bytes()))} == {}

    @pytest.mark.parametrize("name", ["image", "chain", "repair", "report"])
    def test_templates(self, name):
        found = {template.name: run(name, template.data) for template in TEMPLATES.values()}
        assert {key: token for key, token in found.items() if token} == {}

    @each_target
    @settings(deadline=None, max_examples=30)
    @given(data=st.binary(max_size=300))
    def test_any_bytes(self, name, data):
        assert run(name, data) is None

    def test_seeds_fit(self):
        longer = [
            path for name in NAMES for path in seeds(name) if path.stat().st_size > TARGETS[name].max_len
        ]
        assert longer == []


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_template_is_what_it_says(template):
    prove(template)


@pytest.mark.parametrize("change", [{"size": 1}, {"layers": ("raw",)}, {"refused": "ACW-HDR-001"}])
def test_template_that_lies_is_caught(change):
    with pytest.raises(AssertionError):
        prove(TEMPLATES["v10-alone"]._replace(**change))


def test_seeds_are_current():
    command = [sys.executable, CORPORA / "generate_seeds.py", "--check"]
    assert subprocess.run(command, check=False).returncode == 0


def test_qemu_was_asked_about_every_qcow2_seed():
    assert [path.name for path in seeds("qcow2") if recorded(path.read_bytes()) is None] == []


class TestPacking:
    @given(options=st.integers(0, 255), records=RECORDS)
    def test_what_is_packed_is_unpacked(self, options, records):
        assert unpack(pack(options, records)) == (options, records)

    @given(data=st.binary(max_size=100))
    def test_any_bytes_are_an_input(self, data):
        options, records = unpack(data)
        assert unpack(pack(options, records)) == (options, records)

    @given(records=RECORDS, cut=st.integers(0, 300))
    def test_less_bytes_are_less_files(self, records, cut):
        whole = pack(0, records)
        assert {r.file for r in unpack(whole[:cut]).records} <= {r.file for r in records}

    def test_names_differ(self):
        assert len({name_of(number) for number in range(MOST_FILES)}) == MOST_FILES


class TestMutators:
    @pytest.mark.parametrize("mutate", MUTATORS)
    @settings(deadline=None)
    @given(data=st.binary(max_size=200), size=st.integers(1, 300), seed=st.integers(0, 2**32 - 1))
    def test_any_bytes_are_changed(self, mutate, data, size, seed):
        changed = mutate(data, size, seed)
        assert len(changed) <= size
        assert mutate(data, size, seed) == changed

    @settings(deadline=None)
    @given(one=RECORDS, other=RECORDS, size=st.integers(1, 300), seed=st.integers(0, 2**32 - 1))
    def test_any_two_are_crossed(self, one, other, size, seed):
        crossed = crossover_files(pack(0, one), pack(0, other), size, seed)
        assert len(crossed) <= size
        assert {r.file for r in unpack(crossed).records} <= {r.file for r in one + other}

    @pytest.mark.parametrize("size", [300, 16384])
    def test_what_was_made_last_is_taken_apart_as_any_bytes(self, size):
        data = other = TEMPLATES["mixed"].data
        for seed in range(300):
            other, data = data, mutate_files(data, size, seed)
            if seed % 3 == 0:
                data = crossover_files(data, other, size, seed)
            packed = take_apart(data)
            assert packed == unpack(data)
            packed.records.clear()
            assert take_apart(data) == unpack(data)

    @pytest.mark.parametrize("name", ["v4-backed", "v6-backed", "v10-backed"])
    def test_most_mutants_of_an_image_still_have_its_files(self, name):
        data = TEMPLATES[name].data
        mutants = [mutate_files(data, 16384, seed) for seed in range(200)]
        assert len(set(mutants)) > 150
        assert sum(len(unpack(mutant).records) > 2 for mutant in mutants) > 150


def test_dictionary_is_one_that_libfuzzer_takes():
    lines = [line for line in dictionary().splitlines() if line and not line.startswith("#")]
    names = [line.partition("=")[0] for line in lines]
    assert len(set(names)) == len(names)
    assert all(line.endswith('"') and '="' in line for line in lines)


@each_target
def test_target_needs_no_atheris(name):
    code = (
        "import sys; sys.modules['atheris'] = None\n"
        f"from addcow_fuzz.targets import load; load({name!r}).check_one(b'')"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
