"""The benchmarks of the 15 checks and of the peers: their laws, measures, criteria, and what they recorded."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import checks  # noqa: E402
import peers  # noqa: E402
from modelab.core.statistics import wilson_interval  # noqa: E402
from modelab.evaluation.clipped import clipped_coverage, clipped_density  # noqa: E402
from modelab.evaluation.precision_recall import density_coverage, frechet_distance, precision_recall  # noqa: E402

RECORD = json.loads((ROOT / "benchmarks/checks.json").read_text(encoding="utf-8"))


def rows(seed, n, d, shift=0.):
    return torch.as_tensor(np.random.default_rng(seed).normal(shift, size=(n, d)))


# the pairs

def test_there_are_fifteen_checks_and_each_asks_the_audit():
    assert len(checks.CHECKS) == 15
    for name, check in checks.CHECKS.items():
        pairs = check.pairs(checks.random_of(name, 0))
        wants = [pair.want for pair in pairs]
        assert set(wants) <= {None, "same", "apart", "junk", "lack", "invented"} and any(wants), name


@pytest.mark.parametrize("name", ["mean moved, one outlier", "modes dropped at once", "sphere and torus", "rounded and continuous"])
def test_pairs_are_the_same_for_the_same_seed(name):
    a, b, c = (next(iter(checks.CHECKS[name].pairs(checks.random_of(name, seed)))) for seed in (3, 3, 4))
    assert np.array_equal(a.real, b.real) and np.array_equal(a.fake, b.fake) and not np.array_equal(a.real, c.real)


def test_laws_are_the_papers():
    pairs = {(p.line, p.x): p for p in checks.CHECKS["sphere and torus"].pairs(checks.random_of("sphere and torus", 0))}
    ball, torus = pairs["real sphere", 1000].real, pairs["real torus", 1000].real
    assert np.linalg.norm(ball, axis=1).max() <= .8
    ring = np.hypot(torus[:, 0], torus[:, 1])
    assert np.hypot(ring - 1, torus[:, 2]).max() <= .1
    cube = next(p for p in checks.cubes(np.random.default_rng(0), True) if p.line == "8 dimensions" and p.x == 3162)
    assert (cube.fake <= 1).all(1).mean() == pytest.approx(.2, abs=.03)  # the share of the volume in common
    dropped = [p for p in checks.modes_dropped_in_turn(np.random.default_rng(0)) if p.line == "1 dimensions" and p.x == 9]
    assert np.abs(dropped[0].fake).max() < 1.2  # the first mode only
    rounded = [p for p in checks.rounded_and_continuous(np.random.default_rng(0)) if p.line == "rounded samples"]
    assert all(np.array_equal(p.fake, p.fake.round()) and not np.array_equal(p.real, p.real.round()) for p in rounded)


def test_rows_are_standardised_by_the_real_ones():
    pair = checks.Pair("", 0, np.array([[0., 5], [2, 5]]), np.array([[4., 6]]))
    real, fake = checks.standardised(pair)
    assert real[:, 0].tolist() == [-1, 1] and fake.tolist() == [[3, 1]]


# the measures

@pytest.mark.parametrize("d", [1, 3, 20])
def test_measures_by_balls_are_the_librarys(d):
    real, fake = rows(0, 400, d), rows(1, 300, d, .3)
    near, balls = precision_recall(real, fake), density_coverage(real, fake)
    ours = {"precision": near.precision, "recall": near.recall, "density": balls.density, "coverage": balls.coverage,
            "clipped density": clipped_density(real, fake), "clipped coverage": clipped_coverage(real, fake)}
    found = checks.ball_measures(real, fake)
    assert {name: found[name] for name in ours} == pytest.approx(ours, abs=1e-7)


def test_probabilistic_precision_by_its_formula():
    real, fake = rows(0, 60, 2), rows(1, 50, 2)
    gaps = torch.cdist(real, real).fill_diagonal_(torch.inf)
    reach = 1.2 * gaps.kthvalue(4).values.mean()
    chance = (1 - torch.cdist(real, fake) / reach).clamp(min=0)
    assert checks.ball_measures(real, fake)["P-precision"] == pytest.approx(float((1 - (1 - chance).prod(0)).mean()))


def test_rounded_rows_are_compared_exactly():
    x = rows(0, 300, 1).mul(5).round() / 5 * 1.7
    assert checks.ball_measures(x, x.clone())["coverage"] == 1
    assert float(checks.squared_distances(x, x).diagonal().abs().max()) == 0


def test_alpha_precision_is_one_for_the_same_rows_and_small_for_far_ones():
    x = rows(0, 500, 2)
    assert checks.alpha_beta(x, x.clone())["alpha-precision"] > .95
    assert checks.alpha_beta(x, x + 50)["alpha-precision"] < .05 > checks.alpha_beta(x, x + 50)["beta-recall"]


# the criteria

BELL = {-6.: 0., -3.: .4, 0.: 1., 3.: .4, 6.: 0.}


@pytest.mark.parametrize("curve, answer", [
    (BELL, True), (BELL | {6.: .06}, False), (BELL | {0.: .94}, False), (BELL | {3.: 1.2}, False)])
def test_a_moved_mean_needs_a_bell_between_nought_and_one(curve, answer):
    check = checks.CHECKS["mean moved"]
    assert checks.passes(check, "precision", {"1": BELL, "8": curve}) is answer


def test_diversity_is_low_or_high_but_the_same_everywhere():
    low, high = {-1.: 0., 0.: 1., 1.: 0.}, {-1.: 0., 0.: 1., 1.: 1.}
    check = checks.CHECKS["spread changed"]
    assert checks.passes(check, "recall", {"1": low}) == "low" and checks.passes(check, "recall", {"1": high}) == "high"
    assert checks.passes(check, "recall", {"1": low, "8": high}) is False
    assert checks.passes(check, "recall", {"1": low | {1.: .5}}) is False


def test_a_criterion_of_level_lines_looks_at_large_samples_only():
    assert checks.settles({100: .9, 316: .6, 1000: .22, 3162: .2}) and not checks.settles({100: .2, 316: .2, 1000: .3, 3162: .2})


def test_rounding_is_judged_by_which_side_was_rounded():
    ones, zeros = ({0.: v, 1.5: v, 3.: v} for v in (1., 0.))
    check = checks.CHECKS["rounded and continuous"]
    good = {"rounded real": zeros, "rounded samples": ones}
    assert checks.passes(check, "precision", good) is True
    assert checks.passes(check, "recall", {"rounded real": ones, "rounded samples": zeros}) == "high"
    assert checks.passes(check, "precision", good | {"rounded real": ones}) is False


@pytest.mark.parametrize("want, alarms, junk, lost, answer", [
    ("same", [], 0, 0, True), ("same", ["timid"], 0, 0, False),
    ("apart", ["balance"], 0, 0, True), ("apart", ["copies"], 0, 0, False),
    ("junk", ["junk", "lost"], .3, .2, True), ("junk", ["lost"], 0, .2, False),
    ("lack", ["timid"], 0, 0, True), ("lack", ["lost"], .2, .5, False), ("lack", ["junk"], .01, 0, False),
    ("invented", ["junk", "groups"], .5, .02, True), ("invented", ["junk"], .5, .2, False)])
def test_what_is_a_right_answer_of_the_audit(want, alarms, junk, lost, answer):
    assert checks.right(want, {"alarms": alarms, "junk": junk, "lost": lost}) is answer


def test_a_wrong_accusation_of_copying_fails_a_check():
    points = [checks.Pair("", 1, None, None, "apart")]
    fine = [[{"alarms": ["lost"], "junk": 0, "lost": 1}]] * 20
    assert checks.audit_row(points, fine)["passes"]
    assert not checks.audit_row(points, [[{"alarms": ["lost", "copies"], "junk": 0, "lost": 1}]] * 20)["passes"]
    assert not checks.audit_row(points, fine[:18] + [[{"alarms": [], "junk": 0, "lost": 0}]] * 2)["passes"]


# the record

def test_the_record_holds_all_checks_and_measures():
    assert {row["setting"] for row in RECORD["checks"]} == set(checks.CHECKS)
    for row in RECORD["checks"]:
        assert set(row["measures"]) == {*checks.FIDELITY, *checks.DIVERSITY}


def test_recorded_verdicts_of_the_audit_follow_from_the_recorded_points():
    false = of = 0
    for row in RECORD["checks"]:
        audit = row["audit"]
        points, copies = audit["points"], audit["called copies"]
        seeds = copies["of"] // len(points)
        found = all(p["right"] >= .95 * seeds for p in points if p["want"] != "same")
        silent = not audit["false alarms"] or audit["false alarms"]["95 %"][0] <= .05
        assert audit["passes"] == (found and silent and copies["95 %"][0] <= .05), row["setting"]
        false, of = false + audit["false alarms"].get("hits", 0), of + audit["false alarms"].get("of", 0)
    together = RECORD["false alarms"][0]
    assert (together["hits"], together["of"]) == (false, of)
    assert together["95 %"] == pytest.approx(wilson_interval(false / of, of), abs=1e-4)


# the peers

@pytest.mark.parametrize("n, d", [(50, 3), (30, 40), (1500, 600)])
def test_frechet_distance_in_parts_is_the_formula_and_leaves_its_input(n, d):
    from scipy.linalg import sqrtm
    real, made = rows(0, n, d), rows(1, n, d) * 1.5
    kept = real.clone(), made.clone()
    a, b = (torch.cov(x.T).numpy() for x in kept)
    expected = float((real.mean(0) - made.mean(0)).square().sum()) + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    assert frechet_distance(real, made) == pytest.approx(expected, rel=1e-5)
    assert torch.equal(real, kept[0]) and torch.equal(made, kept[1])


def test_a_comparison_of_tools_gives_modelabs_own_numbers(tmp_path):
    peers.prepare(tmp_path, 60)
    found = peers.once("modelab", tmp_path)
    assert set(found["stages"]) == {"features", "precision and recall", "Fréchet distance"} and found["MB"] >= 0
    with torch.no_grad():
        real, made = peers.plain_features(tmp_path)
    near = precision_recall(real, made, peers.K)
    ours = {"precision": near.precision, "recall": near.recall, "Fréchet distance": frechet_distance(real, made)}
    assert found["numbers"] == pytest.approx(ours, abs=1e-4)


def test_shares_of_time_and_memory_are_ours_over_theirs():
    row = {"seconds": {"all": 3., "features": 1.}, "clock": {"all": 4.}, "MB": 10, "numbers": {"precision": .5}}
    them = {"seconds": {"all": 6., "features": 1.}, "clock": {"all": 4.}, "MB": 40, "numbers": {"precision": .75}}
    (found,) = peers.beside({"modelab": row, "torch-fidelity": them})
    assert found == {"peer": "torch-fidelity", "differences": {"precision": .25},
                     "share of its processor time": {"all": .5, "features": 1.}, "share of its clock time": 1.,
                     "share of its memory": .25}


def test_readme_states_the_recorded_figures():
    """The audit's checks and alarms, and what the peers cost."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    passed = sum(row["audit"]["passes"] for row in RECORD["checks"])
    alarms, = RECORD["false alarms"]
    assert f"the audit passes {passed}, on seeds" in readme
    assert f"it alarms on {alarms['hits'] / alarms['of']:.1%}".replace("%", " %") + f" of {alarms['of']} pairs" in readme
    rates = [row["any alarm"] for name, row in json.loads((ROOT / "benchmarks/audit.json").read_text())["rates"].items() if name.startswith("perfect")]
    assert f"between {min(rates):.1%} and {max(rates):.1%}".replace("%", " %") in readme
    ours, theirs = (next(row for row in json.loads((ROOT / "benchmarks/peers.json").read_text())["rows"] if row["tool"] == tool)
                    for tool in ("modelab", "torch-fidelity"))
    assert f"{ours['clock']['all'] / theirs['clock']['all']:.2f}".lstrip("0") + " of the time" in readme
    assert f"{ours['MB'] / theirs['MB']:.2f}".lstrip("0") + " of its memory" in readme
