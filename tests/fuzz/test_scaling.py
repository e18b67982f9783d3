"""Campaigns with many workers: the chapter's tables, their model, and what grows with each slice."""

from __future__ import annotations

import importlib.util
from itertools import pairwise

import pytest

from addcow_fuzz.campaign import Counters, Result
from addcow_fuzz.campaign._stats import Tally, plot_data
from tests.repo.tree import ROOT

SPEC = importlib.util.spec_from_file_location("model_scaling", ROOT / "benchmarks" / "model_scaling.py")
model = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(model)


def test_chapter_has_the_tables_of_the_model():
    text = (ROOT / "fuzz" / "SCALING.md").read_text("utf-8")
    start, end = model.MARKS
    assert text.partition(start)[2].partition(end)[0] == f"\n{model.tables()}\n"


def test_tables_are_put_between_the_marks(tmp_path):
    path = tmp_path / "chapter.md"
    path.write_text("before\n{}old\n{}\nafter\n".format(*model.MARKS), "utf-8")
    model.save(path, "new\n")
    assert path.read_text("utf-8") == "before\n{}\nnew\n\n{}\nafter\n".format(*model.MARKS)
    path.write_text("no marks\n", "utf-8")
    with pytest.raises(ValueError, match="no marks"):
        model.save(path, "new\n")


def test_growth_is_read_from_a_campaign(tmp_path):
    grown = model.Growth(50.0, 0.4)
    for name in ("one", "two"):
        folder = tmp_path / "stats" / name
        folder.mkdir(parents=True)
        tally = Tally()
        for slices in range(1, 40):
            corpus = round(grown.corpus(60 * slices))
            tally.add(Result(counters=Counters(1, 1, 1, 60.0)), added=1, found=0, corpus=corpus, now=0.0)
        (folder / "plot_data").write_text(plot_data(tally), "ascii")
        (tmp_path / "corpus" / name).mkdir(parents=True)
        (tmp_path / "corpus" / name / "input").write_bytes(bytes(300))
    told = model.read(tmp_path)
    assert told.growth == pytest.approx(grown, rel=0.01)
    assert (told.size, told.targets, told.slices) == (300, 2, 78)
    assert sum(told.new) == round(grown.corpus(60 * len(told.new)))
    assert told.new[0] == round(grown.corpus(60))


@pytest.mark.parametrize("minutes", [10, 480])
@pytest.mark.parametrize("workers", model.WORKERS)
def test_length_that_is_advised_keeps_the_coordinator_half_busy(workers, minutes):
    length = model.load(model.MEASURED, workers, minutes).length
    if length is None:
        assert model.load(model.MEASURED, workers, minutes, model.LONGEST).busy > model.BUSY
        return
    assert model.load(model.MEASURED, workers, minutes, length).busy <= model.BUSY
    assert length == 1 or model.load(model.MEASURED, workers, minutes, length - 1).busy > model.BUSY


def test_points_of_many_slices_are_thinned():
    tally = Tally()
    for number in range(1, 5001):
        tally.add(Result(counters=Counters(10, number, 1, 1.0)), added=0, found=0, corpus=1, now=0.0)
    kept = [point.slices for point in tally.points]
    assert kept == sorted(set(kept))
    assert kept[-1] == tally.slices == 5000
    assert 300 <= len(kept) <= 1024
    assert all(point.edges == point.slices for point in tally.points)
    assert max(later - earlier for earlier, later in pairwise(kept)) <= 16
    assert Tally.of(tally.as_json()) == tally
