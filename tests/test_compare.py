"""Comparing generators: values against peers, exact p-values, intervals, bad input, sizes, the command."""

import html
import json
import math
import os
import re
import sys
from itertools import combinations

import numpy as np
import pytest
import torch

import modelab
from helpers import Tags
from modelab import _index, compare, compare_all
from modelab.__main__ import main
from modelab.data.mixtures import grid, mixture
from modelab.evaluation.balls import neighbour_radii
from modelab.evaluation.clipped import clipped_coverage, clipped_density, expected_coverage
from modelab.evaluation.compare_command import _named
from modelab.data.readers import open_samples
from modelab.evaluation.compare_parts import interval_picture, mark_of, marks_say, shared_letters
from modelab.evaluation.compare import (_frechet_influence, _Near, _nearest_others, _verdict, COMPARED, Comparison,
                                        Comparisons, HALF_WIDTH, Difference)


def bags(seed=0, n=200, count=3, width=0):
    """Sets of one law: 25 modes, or a normal law of some width."""
    g = torch.Generator().manual_seed(seed)
    if width:
        return [torch.randn(n, width, generator=g, dtype=torch.float64) for _ in range(count)]
    return [grid().sample(n, generator=g).double() for _ in range(count)]


# --- fidelity ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("width", [0, 3, 20])
def test_values_are_those_of_prdc(width):
    compute = pytest.importorskip("prdc").compute_prdc
    real, a, b = bags(1, 150, width=width)
    b = .9 * b
    values = _Near(real, torch.cat([a, b])).values()
    for side, made in enumerate((a, b)):
        three, five = (compute(real.numpy(), made.numpy(), k) for k in (3, 5))
        expected = {"precision": three["precision"], "recall": three["recall"], "density": five["density"],
                    "coverage": five["coverage"]}
        for name, value in expected.items():
            assert abs(values[name][side] - value) < 1e-6, name


def test_frechet_distance_is_that_of_torchmetrics():
    fid = pytest.importorskip("torchmetrics.image.fid")._compute_fid
    real, a, b = bags(2, 300, width=6)
    b = 1.2 * b + .1
    row = compare(a, b, real, rounds=19)["Fréchet distance"]
    mine = (row.a, row.b)
    for value, made in zip(mine, (a, b)):
        peer = fid(real.mean(0), torch.cov(real.T), made.mean(0), torch.cov(made.T))
        assert abs(value - float(peer)) < 1e-6


def test_values_of_a_part_are_those_of_a_fresh_comparison():
    real, a, b = bags(3, 240)
    g = torch.Generator().manual_seed(0)
    kept = [torch.randperm(240, generator=g) < 120 for _ in range(3)]
    part = _Near(real, torch.cat([a, b])).values(kept[0].numpy(), torch.cat(kept[1:]).numpy())
    fresh = _Near(real[kept[0]], torch.cat([a[kept[1]], b[kept[2]]])).values()
    for name in COMPARED:
        assert np.allclose(part[name], fresh[name], atol=1e-12), name


def test_clipped_measures_by_the_definition():
    real, made, _ = bags(4, 60)
    made = made[:45]
    radius = neighbour_radii(real, 5)
    clipped = radius.clamp(max=float(radius.quantile(.5)))
    square = (real[:, None] - made).square().sum(-1)
    among = (real[:, None] - real).square().sum(-1).fill_diagonal_(float("inf"))
    count = lambda d: ((d <= clipped[:, None]).double().sum(0) / 5).clamp(max=1).mean()
    assert abs(clipped_density(real, made) - min(1, float(count(square) / count(among)))) < 1e-12
    seen = (square < radius[:, None]).double().sum(1).clamp(max=5).mean() / 5
    scale = expected_coverage(60, 45)
    assert abs(np.interp(float(seen), scale, np.arange(91) / 45).clip(max=1) - clipped_coverage(real, made)) < 1e-12


def test_clipped_coverage_is_linear_in_junk():
    g = torch.Generator().manual_seed(0)
    for share in (1., .75, .5, .25):
        found = []
        for _ in range(10):
            real, made = torch.rand(2, 400, 2, generator=g)
            made[round(share * 400):] += 50
            found.append(clipped_coverage(real, made))
        assert abs(np.mean(found) - share) < .04


def test_shuffled_differences_are_those_of_relabelled_samples():
    real, a, b = bags(5, 60)
    both = torch.cat([a, b])
    near, g = _Near(real, both), torch.Generator().manual_seed(1)
    order = torch.randperm(120, generator=g)
    labels = torch.arange(120) < 60
    mine = labels[order]
    again = _Near(real, torch.cat([both[mine], both[~mine]])).values()
    first, second = next(near.shuffled(1, torch.Generator().manual_seed(1)))["recall"], -np.diff(again["recall"])[0]
    part = next(near.shuffled(1, torch.Generator().manual_seed(1)))
    for name in COMPARED:
        if name not in ("Fréchet distance", "recall"):
            assert abs(part[name][1] + np.diff(again[name])[0]) < 1e-6, name
    assert abs(first[1] - second) < .02  # a rare ball is cut at the sixteenth neighbour


def test_p_is_exact_by_all_relabellings():
    real = bags(6, 100)[0]
    made = torch.cat([real[:3] + .01, real[3:6] + .13])
    near, every = _Near(real, made), np.ones(100, bool)
    worth = near.of_samples(near.limits(every), every, np.ones(len(near.r), bool))["junk"]
    gaps = [abs(2 * worth[list(part)].sum() - worth.sum()) for part in combinations(range(6), 3)]
    exact = np.mean([gap >= gaps[0] - 1e-12 for gap in gaps])
    assert abs(near.p_values(3999, torch.Generator().manual_seed(0))["junk"] - exact) < .04


def test_influence_is_the_derivative_of_the_frechet_distance():
    real, made, _ = bags(7, 400, width=3)
    made = made * torch.tensor([1., 1.5, .6]).double() + .2
    phi = torch.as_tensor(_frechet_influence(real, made))
    phi = phi - phi.mean()
    weights, step = torch.randn(400, generator=torch.Generator().manual_seed(0)).double(), 1e-4

    def distance(t):
        w = (1 + t * (weights - weights.mean())) / 400
        mean = (w[:, None] * made).sum(0)
        cov = (w[:, None] * (made - mean)).T @ (made - mean)
        a, root = torch.cov(real.T), None
        values, vectors = torch.linalg.eigh(a)
        root = vectors * values.sqrt() @ vectors.T
        cross = torch.linalg.eigvalsh(root @ cov @ root).sqrt().sum()
        return float((mean - real.mean(0)).square().sum() + a.trace() + cov.trace() - 2 * cross)
    slope = (distance(step) - distance(-step)) / (2 * step)
    assert abs(slope - float((weights * phi).mean())) < .01 * abs(slope)  # n against n - 1


def test_halves_give_the_error_of_a_mean():
    real, a, b = bags(8, 300)
    near = _Near(real, torch.cat([a, b]))
    every = np.ones(300, bool)
    x = near.of_samples(near.limits(every), every, np.ones(len(near.r), bool))["density"]
    known = np.sqrt(x[:300].var() / 300 + x[300:].var() / 300)
    error = near.errors(torch.Generator().manual_seed(0))["density"]
    assert .5 < error / known < 2


def test_intervals_hold_the_true_difference():
    """Over 200 draws, the interval of each measure holds the mean difference as often as it says, or more often."""
    differences, errors = [], []
    for seed in range(200):
        real, a, b = bags(seed, 60, width=2)
        near = _Near(real, torch.cat([a, .8 * b]))
        differences.append([two - one for one, two in near.values().values()])
        errors.append(list(near.errors(torch.Generator().manual_seed(seed)).values()))
    off = np.abs(np.array(differences) - np.mean(differences, 0))
    held = (off <= HALF_WIDTH * np.array(errors)).mean(0)
    assert held.min() >= .95 - 2 * math.sqrt(.95 * .05 / 200)


def test_shared_letters():
    pair = lambda *names: frozenset(names)
    assert shared_letters(list("xyz"), set()) == {"x": "a", "y": "a", "z": "a"}
    assert shared_letters(list("xyz"), {pair("x", "z")}) == {"x": "a", "y": "ab", "z": "b"}
    every = {pair(*two) for two in combinations("xyz", 2)}
    assert shared_letters(list("xyz"), every) == {"x": "a", "y": "b", "z": "c"}
    marks = shared_letters(list("wxyz"), {pair("w", "y"), pair("w", "z"), pair("x", "z")})
    for one, two in combinations("wxyz", 2):
        apart = pair(one, two) in {pair("w", "y"), pair("w", "z"), pair("x", "z")}
        assert apart == (not set(marks[one]) & set(marks[two]))


# --- bad input --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("change, words", [
    (lambda a, b, r: (a, b, r.fill_(float("nan"))), "reference.*NaN|reference.*finite|not finite"),
    (lambda a, b, r: (a, b, torch.ones_like(r)), "reference: all .* examples are equal"),
    (lambda a, b, r: (a[:1], b, r), "a: .*40"), (lambda a, b, r: (a, b[:, :1], r), "b"),
    (lambda a, b, r: (a, b, r[:10]), "reference: .*40"),
])
def test_bad_sets_are_refused(change, words):
    real, a, b = bags()
    with pytest.raises(ValueError, match=words):
        compare(*change(a, b, real))


def test_bad_features_and_names_are_refused():
    real, a, b = bags(n=80)
    with pytest.raises(ValueError, match="features"):
        compare(a, b, real, features=lambda x: x[:10])
    with pytest.raises(ValueError, match="features"):
        compare(a, b, real, features=lambda x: x * float("nan"))
    with pytest.raises(ValueError, match="features: the same for all 80 examples"):
        compare(a, b, real, features=lambda x: torch.ones(len(x), 3))
    for names in (("A", "A"), ("A", "B", "C")):
        with pytest.raises(ValueError, match="names"):
            compare(a, b, real, names=names)
    for samples in ({}, {"A": a}, [a, b]):
        with pytest.raises(TypeError, match="two or more"):
            compare_all(samples, real)
    with pytest.raises(ValueError, match="new: expected examples of shape"):
        compare_all({"old": a, "new": b[:, :1]}, real)
    with pytest.raises(ValueError, match="cannot be named"):
        compare_all({"reference": a, "new": b}, real)


def test_hard_cases_do_not_fail():
    real, a, b = bags(n=60)
    one = torch.zeros(60, 2).double()
    for pair in ((a, a), (one, one), (a, one), (a + 1e6, b), (a, torch.cat([real[:30], real[:30]]))):
        found = compare(*pair, real, rounds=19)
        assert all(np.isfinite([r.a, r.b, r.low, r.high, r.p]).all() for r in found.rows)
    assert compare(a, a.clone(), real, rounds=19).status == 0
    flat = torch.cat([real, torch.zeros(60, 1)], 1), *(torch.cat([x, torch.zeros(60, 1)], 1) for x in (a, b))
    assert compare(*flat[1:], flat[0], rounds=19)["recall"].a == compare(a, b, real, rounds=19)["recall"].a


# --- what the table says ----------------------------------------------------------------------------------------------

def test_a_star_is_what_holm_says_and_is_explained():
    row = lambda low, high, differs: Difference("recall", .5, .6, .1, low, high, .001, .01, differs)
    sure, alone, none, odd = row(.01, .2, True), row(.01, .2, False), row(-.1, .2, False), row(-.01, .2, True)
    assert [mark_of(r) for r in (sure, alone, none, odd)] == [" *", " (*)", "", " *"]
    assert marks_say([none], .05) == [] and marks_say([sure, none], .05) == ["* a sure difference: p ≤ 0.05 after Holm's rule over all tests."]
    assert marks_say([alone], .05)[0].startswith("(*) not sure: ") and "the exact p decides" in marks_say([odd], .05)[0]
    real, a, b = bags(n=200)
    for found in (compare(a, b, real, rounds=99), compare(a, .6 * b, real)):
        marks = {cells[0].removesuffix(" *").removesuffix(" (*)"): cells[0] for cells in found.cells()[1:]}
        for r in found.rows:
            out = r.low > 0 or r.high < 0
            assert marks[r.measure] == r.measure + (" *" if r.differs else " (*)" * out) and r.differs == (r.adjusted <= found.level)
        assert all(line in repr(found) for line in marks_say(found.rows, found.level))
        assert ("(*) not sure" in repr(found)) == any(m.endswith("(*)") for m in marks.values())


def test_files_are_compared_as_their_values_are(tmp_path):
    x = torch.rand(4, 90, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    for name, part in zip("abrh", x):
        np.save(tmp_path / f"{name}.npy", part.numpy())
    files = [open_samples(tmp_path / f"{name}.npy") for name in "abrh"]
    few = lambda v: v.flatten(1)[:, :5]
    whole = compare(*x, features=few, rounds=19).to_json()
    assert compare(*files, features=few, rounds=19, memory=1 << 22).to_json() == whole
    both = [compare_all(dict(zip("ab", given)), *given[2:], features=few, rounds=19, memory=1 << 22).to_json() for given in (list(x), files)]
    assert both[0] == both[1]
    with pytest.raises(ValueError, match="memory"):
        compare_all(dict(zip("ab", files)), files[2], memory=3)


# --- shapes -----------------------------------------------------------------------------------------------------------

def test_junk_outside_the_principal_directions_is_seen():
    g = torch.Generator().manual_seed(0)
    real, a, b = (torch.cat([torch.randn(200, 199, generator=g), torch.zeros(200, 1)], 1) for _ in range(3))
    b[:80, -1] = 40.  # no real row has anything there
    found = compare(a, b, real, rounds=199)
    assert found["precision"].differs and found["precision"].better == 0


def test_what_a_comparison_holds():
    real, a, b, unseen = bags(count=4)
    found = compare(a, b, real, unseen, names=("old", "new"), rounds=99)
    assert [row.measure for row in found.rows] == list(COMPARED) and found.sizes["holdout"] == 200
    assert all(row.low <= row.difference <= row.high for row in found.rows)
    assert all(row.floor is not None for row in found.rows)
    assert all(row.floor is None for row in compare(a, b, real, rounds=19).rows)
    few = compare(a, b, real, unseen[:50], rounds=19)
    assert few["recall"].floor is None and few["precision"].floor is not None
    json.dumps(found.to_json())
    assert "old" in repr(found) and "<table>" in found._repr_html_()
    assert "<b>" not in compare(a, b, real, names=("<b>", "B"), rounds=19)._repr_html_()


def test_pictures_and_the_larger_set_is_thinned():
    g = torch.Generator().manual_seed(0)
    real, a = torch.rand(2, 100, 1, 9, 9, generator=g)
    found = compare(a, a[:60], real, rounds=19)
    assert found.sizes["samples"] == 60 and "64 principal" in found.space
    assert any(note.startswith("A: 60 of 100") for note in found.notes)


def test_the_public_names_are_functions():
    assert callable(modelab.compare) and callable(modelab.samples_needed)
    assert isinstance(compare(*bags(n=50), rounds=19), Comparison)


# --- determinism ------------------------------------------------------------------------------------------------------

def test_the_same_generator_gives_the_same_result():
    real, a, b = bags(n=80)
    one, two = (compare(a, b[:60], real, rounds=99, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert one == two


def test_the_order_of_a_and_b_does_not_matter():
    real, a, b = bags(9, 150)
    b = .8 * b
    one, two = compare(a, b, real, rounds=199), compare(b, a, real, rounds=199)
    for name in COMPARED:
        assert abs(one[name].difference + two[name].difference) < 1e-9
        assert one[name].differs == two[name].differs


# --- claims -----------------------------------------------------------------------------------------------------------

def test_faults_are_found_and_soundness_is_left_alone():
    real, a, b = bags(10, 1000)
    lossy = mixture(grid().centers[2:], .05).sample(1000, generator=torch.Generator().manual_seed(0)).double()
    found = compare(a, lossy, real, rounds=399)
    assert found.status == 1 and found["recall"].differs and found["recall"].better == 0
    assert re.match(r"A is better in recall.* \(covers more\).*; nothing else can be told apart with 1,000 samples each$", found.verdict)
    assert found.verdict == repr(found).splitlines()[0]
    assert not found["precision"].differs
    alarms = sum(compare(*bags(seed, 100)[1:], bags(seed, 100)[0], rounds=199).status for seed in range(30))
    assert alarms <= 5


def test_samples_that_equal_real_examples_are_counted():
    real, a, b = bags(12, 100)
    thief = torch.cat([real[:30], a[:70]])
    says = ["thief: 30 of 100 samples equal a reference example. Copies score well by every measure here; `modelab audit` tests for them."]
    notes = lambda found: [note for note in found.notes if not note.startswith("Clipped density and coverage are not cut at 1 here")]
    assert notes(compare(thief, b, real, names=("thief", "b"), rounds=19)) == says
    assert notes(compare_all({"b": b, "thief": thief}, real, rounds=19)) == says
    assert notes(compare(thief, a, real, rounds=19))[1:] == ["A: 70 of 100 samples equal a sample of B."]
    assert notes(compare(a, b, real, rounds=19)) == []
    copied = compare(real, a, real, rounds=19)
    assert copied["clipped coverage"].a > 1 and len(copied.notes) > len(notes(copied))


def test_several():
    real, a, b, c = bags(11, 300, 4)
    found = compare_all({"x": a, "y": b, "z": 1.1 * c}, real, rounds=99)
    assert isinstance(found, Comparisons) and len(found.pairs) == 3 and found.status == 1
    for letters in (found.letters[m] for m in ("precision", "recall")):
        assert set(letters["x"]) & set(letters["y"]) and not set(letters["x"]) & set(letters["z"])
    assert re.match("x and y are better than z in recall, precision, .*density.*; nothing else can be told apart with 300", found.verdict)
    assert HALF_WIDTH > 1.96 and json.dumps(found.to_json()) and "z" in repr(found) and "<table>" in found._repr_html_()


def test_the_sentence_names_every_measure_that_differs():
    pair = compare(*bags(n=50)[1:], bags(n=50)[0], rounds=19)
    values = {measure: {"x": 1., "y": 2., "z": 3.} for measure in COMPARED}
    marks = {measure: dict.fromkeys("xyz", "a") for measure in COMPARED}
    found = Comparisons(tuple("xyz"), values, marks, [pair], {}, [])
    rest = "; nothing else can be told apart with 50 samples each"
    assert found.verdict == "no two of them can be told apart with 50 samples each"
    marks["density"] = marks["clipped density"] = {"x": "b", "y": "ab", "z": "a"}
    assert found.verdict == "z is better than x in density and clipped density" + rest
    marks["coverage"] = {"x": "b", "y": "a", "z": "ab"}  # the best one cannot be told from any
    assert found.verdict == "z is better than x in density and clipped density; y is better than x in coverage" + rest
    marks["recall"] = {"x": "c", "y": "b", "z": "a"}  # y before x is not in the sentence
    assert found.verdict.startswith("z is better than x and y in recall; ") and found.verdict.endswith("; the table shows more sure differences")


def test_the_sentence_of_two_groups_measures_by_what_they_say():
    row = lambda name, b, differs: Difference(name, .5, b, b - .5, b - .6, b - .4, .01, .01, differs)
    rows = [row(name, .9, name in ("recall", "coverage", "precision", "junk")) for name in COMPARED]
    assert _verdict(rows, ("a", "b"), 500) == "b is better in precision (looks more real) and in recall and coverage (covers more); " \
        "a is better in junk (makes less junk); nothing else can be told apart with 500 samples each"
    assert "nothing else" not in _verdict([row(name, .9, True) for name in COMPARED], ("a", "b"), 500)


def test_the_level_holds_for_all_pairs_and_measures_together():
    draws = (bags(seed, 60, 4) for seed in range(8))
    found = [compare_all(dict(zip("abc", made)), real, rounds=19) for real, *made in draws]
    assert sum(one.status for one in found) <= 1
    for one in found[:3]:
        rows = [row for pair in one.pairs for row in pair.rows]
        first = min(rows, key=lambda row: row.p)
        assert len(rows) == 27 and first.adjusted == pytest.approx(min(1, 27 * first.p))
        assert all(row.differs == (row.adjusted <= .05) and row.adjusted >= row.p for row in rows)
    assert "Holm's rule at level 0.05 over 9 measures of 3 pairs" in found[0].protocol


@pytest.mark.parametrize("level", [.05, .01])
def test_a_low_level_gets_enough_shuffles(level):
    real, a, b = bags(13, 100)
    assert compare(a, b + 2, real, rounds=19, level=level).status == 1
    assert compare_all({"a": a, "b": b + 2}, real, rounds=19, level=level).status == 1


def test_a_level_that_needs_too_many_shuffles_is_refused():
    real, a, b = bags(n=50)
    for found in (lambda: compare(a, b, real, level=1e-6), lambda: compare_all({"a": a, "b": b}, real, level=1e-6)):
        with pytest.raises(ValueError, match="level: 9 tests at level 1e-06 need 18,000,000 shuffles"):
            found()


def test_the_sentence_names_only_who_is_surely_before_whom():
    values = {measure: {"best": 3., "middle": 2., "worst": 1.} for measure in COMPARED}
    pair = compare(*bags(n=50)[1:], bags(n=50)[0], rounds=19)
    says_of_less = {"a ab b": "worst is better than best", "a a b": "worst is better than best and middle",
                    "a b b": "middle and worst are better than best"}
    for letters, says in (("a ab b", "best is better than worst"), ("a a b", "best and middle are better than worst"),
                          ("a b b", "best is better than middle and worst")):
        marks = dict.fromkeys(COMPARED, dict(zip(("best", "middle", "worst"), letters.split())))
        found = Comparisons(("worst", "middle", "best"), values, marks, [pair], {}, [])
        assert found.verdict == f"{says} in recall, precision, density, clipped density, coverage and clipped coverage; " \
                                f"{says_of_less[letters]} in Fréchet distance, lost and junk; nothing else can be told apart with 50 samples each"


def test_lists_leave_a_row_itself_out():
    x = torch.tensor([[0.], [0.], [1.], [3.]]).double()
    square, who = _nearest_others(x, 2)
    assert (square[:2, 0] == 0).all() and all(i not in row for i, row in enumerate(who))


# --- the command ------------------------------------------------------------------------------------------------------

def write(folder, **sets):
    """Arrays as files."""
    for name, x in sets.items():
        np.save(folder / f"{name}.npy", x.numpy())
    return [str(folder / f"{name}.npy") for name in sets]


def test_command(tmp_path, capsys):
    real, a, b, unseen = bags(n=150, count=4)
    old, new, bad, train, test = write(tmp_path, old=a, new=b, bad=1.2 * b, train=real, test=unseen)
    assert main(["compare", old, new, "--reference", train]) == 0
    assert "cannot be told apart" in capsys.readouterr().out
    report, page = tmp_path / "found.json", tmp_path / "found.html"
    assert main(["compare", old, bad, "--reference", train, "--json", str(report), "--out", str(page)]) == 1
    assert json.loads(report.read_text())["status"] == 1 and "viewport" in page.read_text()
    assert re.match(r"old\.npy is better in .*precision.* \(looks more real\)", capsys.readouterr().out)
    assert main(["compare", old, new, bad, "--reference", train, "--holdout", test]) == 1
    assert "share a letter" in capsys.readouterr().out


NASTY = ["<script>alert(1)<script>.npy", "a & 'b' \"c\" $x_1.npy", "{0} %s.npy"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Two pages, of two and of three generators with names that could break a page; and both reports."""
    folder = tmp_path_factory.mktemp("pages")
    real, *made = bags(n=80, count=4)
    write(folder, train=real)
    for name, x in zip(NASTY, made):
        np.save(folder / name, x.numpy())
    found = []
    for count in (2, 3):
        out = [folder / f"{count}.html", folder / f"{count}.json"]
        words = ["compare", *(str(folder / name) for name in NASTY[:count]), "--reference", str(folder / "train.npy")]
        assert main([*words, "--out", str(out[0]), "--json", str(out[1])]) in (0, 1)
        found.append((out[0].read_text(), json.loads(out[1].read_text())))
    return found


def test_the_page_has_the_frame_of_the_audits_page(pages):
    for text, report in pages:
        tags = Tags(text).found
        metas = {a.get("name"): a.get("content") for tag, a in tags if tag == "meta"}
        assert "width=device-width" in metas["viewport"] and metas["color-scheme"] == "light dark"
        assert "prefers-color-scheme:dark" in text and "overflow-x:auto" in text and len(text) < 2e6
        sources = [a["src"] for tag, a in tags if tag == "img"]
        assert len(sources) == len(report.get("pairs", [0])) and all(s.startswith("data:image/png") for s in sources)
        assert not any(word in text for word in ("http", "@import", "url(", "<link"))


def test_every_name_is_escaped(pages):
    for text, report in pages:
        assert "script" not in {tag for tag, _ in Tags(text).found} and html.escape(NASTY[0]) in text
        assert report["names"] == NASTY[:len(report["names"])]


def test_reports_can_be_cited(pages):
    for text, report in pages:
        for part in (f"modelab {_index.VERSION}, compare: 80 samples of each, 80 reference examples", "Holm's rule at level 0.05"):
            assert part in report["protocol"] and part in html.unescape(text)


def test_the_picture_shows_the_better_side():
    real, a, b = bags(n=200)
    found = compare(a, 1.2 * b, real, names=("good", "$bad"), rounds=99)
    assert found["precision"].better == found["Fréchet distance"].better == 0
    picture = interval_picture(found)
    assert "First: good, second: $bad" in picture.alt and picture.png == interval_picture(found).png


@pytest.mark.parametrize("paths, names", [(["a/x", "b/y/"], ["x", "y"]), (["reference", "b"], None), (["a/x", "b/x"], None), (["a", "holdout"], None),
                                          (["a", "b\udcff"], ["a", "b?"])])
def test_names_of_generators(paths, names):
    """By the last part of the path where that is clear; the tables have rows of their own for reference and holdout."""
    assert _named(paths) == (names or [os.path.abspath(path) for path in paths])


def test_the_same_file_under_another_path_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for other in (f"{tmp_path}/../{tmp_path.name}/a", f"{tmp_path}/link"):
        with pytest.raises(ValueError, match="the same file was given twice"):
            _named([f"{tmp_path}/a", other])


def test_what_was_converted_is_said_before_the_table(tmp_path, capsys):
    from PIL import Image
    g = torch.Generator().manual_seed(0)
    x = (torch.rand(3, 40, 6, 6, generator=g) * 255).byte().numpy()
    np.save(tmp_path / "a.npy", x[0])
    np.save(tmp_path / "train.npy", x[1])
    (tmp_path / "b").mkdir()
    for i, one in enumerate(x[2]):
        Image.fromarray(one).convert("RGB").resize((12, 12)).save(tmp_path / "b" / f"{i}.png")
    (tmp_path / "b" / "bad.png").write_bytes(b"")
    words = ["compare", str(tmp_path / "a.npy"), str(tmp_path / "b"), "--reference", str(tmp_path / "train.npy")]
    assert main(words) == 2 and "bad.png" in capsys.readouterr().err
    assert main([*words, "--skip-bad", "--size", "4"]) in (0, 1)
    said = capsys.readouterr().out.split("Fréchet distance  ")[0]
    assert said.count("bad.png") == said.count("equal: taken as grey") == 1 and "resized to 4×4" in said and "Order of" not in said


def test_what_is_needed_is_checked_before_the_work(tmp_path, monkeypatch, capsys):
    from modelab.evaluation import compare_command
    monkeypatch.setattr(compare_command, "open_matched", lambda *a, **k: pytest.fail("it began to read"))
    for more in (["--out", "no/x.html"], ["--json", str(tmp_path)], ["--level", "0"], ["--level", "nan"], ["--most", "39"], ["--features", "none"], ["--out", ""], ["--json", ""]):
        assert main(["compare", "a", "b", "--reference", "c", *more]) == 2
        assert more[0].strip("-") in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "seaborn", None)
    assert main(["compare", "a", "b", "--reference", "c", "--out", str(tmp_path / "x.html")]) == 2
    assert capsys.readouterr().err.endswith("with: pip install seaborn\n")


def test_a_report_does_not_overwrite_what_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, **dict(zip(("old", "new", "train"), bags(n=60))))
    before = (tmp_path / "new.npy").read_bytes()
    for option, path in (("--out", "new.npy"), ("--json", str(tmp_path / "train.npy")), ("--out", f"../{tmp_path.name}/old.npy")):
        assert main(["compare", "old.npy", "new.npy", "--reference", "train.npy", option, path]) == 2
        assert "is an input of this command" in capsys.readouterr().err
    assert (tmp_path / "new.npy").read_bytes() == before


@pytest.mark.parametrize("words", [["old"], ["old", "none"], ["old", "old"], ["old", "new", "--json", "no/where.json"],
                                   ["old", "new", "--most", "3"], ["old", "new", "--level", "2"], ["old", "wide"],
                                   ["old", "new", "wide"], ["old", "new", "train", "--level", "0"], ["old", "new", "--features", ""],
                                   ["old", "new", "--holdout", ""], ["old", "few"]])
def test_command_refuses(words, tmp_path, capsys):
    real, a, b = bags(n=60)
    write(tmp_path, old=a, new=b, wide=torch.cat([a, a], 1), train=real, few=b[:30])
    paths = [str(tmp_path / f"{w}.npy") if w in ("old", "new", "none", "wide", "train", "few") else w for w in words]
    assert main(["compare", *paths, "--reference", str(tmp_path / "train.npy")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("modelab compare: ") and ("few" not in words or "few.npy: expected at least 40 examples, got 30" in said)


def test_noise_of_many_values_does_not_set_the_reference_apart():
    """With few examples of many values, directions fitted on the reference alone make precision 1 and recall 0."""
    def made(n, seed):
        return torch.randn(n, 300, generator=torch.Generator().manual_seed(seed))
    found = {row.measure: row.a for row in compare(made(200, 1), made(200, 2), made(260, 3), rounds=99).rows}
    assert .5 < found["precision"] < .95 and .5 < found["recall"] < .95 and .7 < found["density"] < 1.3
    assert found["lost"] < .05 and found["junk"] < .05


def test_repeats_and_another_scale_are_noted():
    """No measure sees either; a note says so."""
    g = torch.Generator().manual_seed(0)
    real, a, b = (torch.rand(60, 1, 9, 9, generator=g) for _ in range(3))
    b[30:] = b[:30]
    notes = compare(a, b, real, rounds=99).notes
    assert [note for note in notes if "repeat another one" in note][0].startswith("B: 30 of 60") and len(notes) == 1
    assert "unlike ranges" in compare(a, b, 2 * real - 1, rounds=99).notes[0]


def test_names_that_are_one_text_and_wrong_rounds_are_refused():
    a, b, real = bags()
    with pytest.raises(ValueError, match="^samples: expected names that differ as texts"):
        compare_all({1: a, "1": b}, real)
    for rounds in (-5, "x", 3):
        with pytest.raises((ValueError, TypeError), match="^rounds: expected a whole number ≥ 19"):
            compare_all({"a": a, "b": b}, real, rounds=rounds)
