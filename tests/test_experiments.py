"""Long experiments of chapters: recorded once, replayed at each call; and recorded pictures."""

import json
import math
import sys

import pytest
import torch
from modelab.course import claims
from modelab.course.claims import Experiment, experiment, recorded_pictures
from run_notebooks import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from rows import packed  # noqa: E402


@pytest.fixture
def walk(tmp_path, monkeypatch):
    monkeypatch.delenv("MODELAB_FAST", raising=False)
    monkeypatch.delenv("MODELAB_RECORD", raising=False)
    calls = []

    def walk(total=1000):
        calls.append(total)
        path = torch.randn(total, generator=torch.Generator().manual_seed(0), dtype=torch.float64).cumsum(0)
        return {"end": path[-1], "look": [path[:3], (True, None, "text")], "none": math.nan}

    one = Experiment(walk, tmp_path / "deep" / "walks.json", 20, .02)
    one.calls = calls
    return one


def test_a_call_returns_the_record_and_trains_only_the_first_steps(walk):
    walk.record()
    assert walk.calls == [20, 1000]
    first, second = walk(), walk()
    assert walk.calls[2:] == [20, 20]
    whole = walk.run(1000)
    assert first["end"] == second["end"] == pytest.approx(whole["end"].item(), rel=1e-5)
    assert first["look"][1] == [True, None, "text"] and math.isnan(first["none"])


@pytest.mark.parametrize("change, place", [
    (lambda r: r | {"end": r["end"] + 5}, "'end'"), (lambda r: {"end": r["end"]}, "the result"),
    (lambda r: r | {"look": r["look"][:1]}, "'look'"), (lambda r: r | {"none": 0.}, "'none'"),
    (lambda r: r | {"look": [r["look"][0], (False, None, "text")]}, "['look'][1][0]")])
def test_a_changed_run_is_noticed(walk, change, place):
    walk.record()
    run = walk.run
    walk.run = lambda total: change(run(total))
    with pytest.raises(AssertionError, match="does not replay: after 20 steps") as error:
        walk()
    assert place in str(error.value)


def test_the_rounding_of_another_processor_is_not(walk):
    walk.record()
    run = walk.run
    walk.run = lambda total: run(total) | {"end": run(total)["end"] * (1 + 1e-4)}
    walk()


def test_another_length_needs_another_record(walk):
    walk.record()
    walk.early = 30
    with pytest.raises(ValueError, match="1000 steps, 30 early, but the record has 1000 and 20"):
        walk()


def test_a_missing_record_says_how_to_make_it(walk, monkeypatch):
    with pytest.raises(LookupError, match="MODELAB_RECORD=1"):
        walk()
    monkeypatch.setenv("MODELAB_RECORD", "1")
    walk()
    assert walk.calls == [20, 1000, 20] and json.loads(walk.file.read_text())["walk"]["steps"] == 1000


def test_fast_mode_reads_and_writes_no_record(walk, monkeypatch):
    monkeypatch.setenv("MODELAB_FAST", "1")
    assert walk()["end"] == pytest.approx(walk.run(20)["end"].item(), rel=1e-5) and not walk.file.exists()


def test_two_experiments_share_a_file(walk):
    walk.record()
    other = Experiment(lambda n=50: n, walk.file, 2, .02)
    other.record()
    assert sorted(json.loads(walk.file.read_text())) == ["<lambda>", "walk"] and other() == 50


@pytest.mark.parametrize("function, error", [(lambda: 1, ValueError), (lambda a=5, b=6: 1, ValueError),
                                             (lambda a: 1, TypeError), (lambda a=1: 1, ValueError)])
def test_an_experiment_takes_one_number_of_steps(tmp_path, function, error):
    with pytest.raises(error):
        Experiment(function, tmp_path / "x.json", 20, .02)


def test_the_decorator_names_a_file_of_the_repository():
    @experiment("03_pairwise", early=5)
    def lookup(total=10):
        """What it does."""
        return total
    assert lookup.file == ROOT / "benchmarks/chapters/03_pairwise.json" and lookup.__doc__ == "What it does."
    assert repr(lookup) == "lookup: 10 steps, recorded in 03_pairwise.json"


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks/chapters").glob("*.json")), ids=lambda f: f.stem)
def test_each_record_belongs_to_an_experiment_of_its_chapter(file):
    (twin,) = (ROOT / "nbs/_text").glob(f"*/{file.stem}.py")
    text = twin.read_text(encoding="utf-8")
    for name, row in json.loads(file.read_text(encoding="utf-8")).items():
        assert f"def {name}(" in text, f"{file.name} has {name}, which {twin.name} does not define"
        assert row["early"] < row["steps"] and row["processor seconds"] >= 0
    assert claims.fast_mode() or file.stat().st_size < 200_000


@pytest.mark.parametrize("shape", [(0, 4, 4), (3, 4, 4), (2, 3, 3, 5, 5)])
def test_packed_pictures_are_read_as_they_were_written(shape):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    read = recorded_pictures(packed(x), -1, *shape[1:])
    assert read.shape == x.shape and read.dtype == torch.float32 and read.is_contiguous()
    assert (read * 255 == ((x + 1) * 127.5).round()).all()
    assert recorded_pictures(packed(torch.tensor([-1., 0., 1.])), 3).tolist() == pytest.approx([0, 128 / 255, 1])


@pytest.mark.parametrize("text", ["no pictures", "aGVsbG8=", "é", "", None, 3, packed(torch.zeros(8))[:8]])
def test_what_is_no_packed_picture_is_refused(text):
    with pytest.raises(ValueError, match="^text: expected packed pictures, got "):
        recorded_pictures(text, -1)


@pytest.mark.parametrize("shape", [(5, 4), (-1, -1), (-1, 5), ("three",), ()])
def test_a_shape_that_the_pictures_do_not_have_is_refused(shape):
    with pytest.raises(ValueError, match="^shape: 16 recorded pixels do not fit "):
        recorded_pictures(packed(torch.zeros(4, 4)), *shape)
