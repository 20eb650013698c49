"""modelab.evaluation.precision_recall: exact against definitions, right on ties and copies, named errors, the same answer twice."""

import importlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from modelab.evaluation.balls import neighbour_radii
from modelab.evaluation.neighbours import MAX_BYTES
from modelab.evaluation.precision_recall import (density_coverage, error_curve, frechet_distance,
                                                 histogram_curve, neighbourhood_companions, pr_curve,
                                                 precision_recall)

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
classes = importlib.import_module("precision_recall")


def by_definition(real, fake, k):
    def squared(a, b):
        return (a.double()[:, None] - b.double()).square().sum(-1)

    def ball(a):
        return squared(a, a).fill_diagonal_(math.inf).sort().values[:, k - 1]
    inside, around = squared(fake, real) <= ball(real), squared(real, fake) <= ball(fake)
    return [v.double().mean().item() for v in (inside.any(1), around.any(1), inside.sum(1) / k, inside.any(0))]


def four(real, fake, k, **kw):
    a, b = precision_recall(real, fake, k, **kw), density_coverage(real, fake, k, **kw)
    return [a.precision, a.recall, b.density, b.coverage]


# fidelity

@settings(max_examples=40)
@given(st.integers(2, 60), st.integers(2, 60), st.integers(1, 4), st.integers(1, 8), st.sampled_from([0., 1000., 1e5]), st.integers(0, 99))
def test_balls_equal_their_definition_on_lattices(n, m, k, width, offset, seed):
    k = min(k, n - 1, m - 1)
    real, fake = (torch.randint(4, (size, width), generator=seeded(seed + i)).float() + offset for i, size in enumerate((n, m)))
    assert four(real, fake, k) == by_definition(real, fake, k)


@pytest.mark.parametrize("width", [2, 64, 700])
def test_balls_equal_their_definition_on_clouds(width):
    real, fake = torch.randn(300, width, generator=seeded()), torch.randn(250, width, generator=seeded(1)) * 1.02
    assert four(real, fake, 3) == by_definition(real, fake, 3)


def test_small_tiles_give_the_same_answer():
    real, fake = torch.randn(300, 5, generator=seeded()), torch.randn(211, 5, generator=seeded(1))
    assert four(real, fake, 3) == four(real, fake, 3, max_bytes=8000)


def test_coarse_products_do_not_change_the_answer():
    real, fake = torch.randn(200, 50, generator=seeded()), torch.randn(200, 50, generator=seeded(1))
    exact = four(real, fake, 3)
    torch.set_float32_matmul_precision("medium")
    try:
        assert four(real, fake, 3) == exact
    finally:
        torch.set_float32_matmul_precision("highest")


def test_generic_inputs_agree_with_prdc():
    prdc = pytest.importorskip("prdc", reason="the peer prdc is not installed (2026-11)")
    real, fake = torch.randn(500, 16, generator=seeded()), .9 * torch.randn(400, 16, generator=seeded(1))
    theirs = prdc.compute_prdc(real.double().numpy(), fake.double().numpy(), 5)
    assert four(real, fake, 5) == pytest.approx([theirs[n] for n in ("precision", "recall", "density", "coverage")], abs=1e-6)


def test_identical_constant_sets_where_prdc_says_zero():
    prdc = pytest.importorskip("prdc", reason="the peer prdc is not installed (2026-11)")
    same = torch.ones(20, 3)
    assert four(same, same.clone(), 5)[:2] == [1, 1] and four(same, same.clone(), 5)[3] == 1
    assert prdc.compute_prdc(same.numpy(), same.numpy(), 5)["precision"] == 0


def test_copies_are_copies_in_float32():
    x = torch.rand(400, 3072, generator=seeded())
    assert four(x, x.clone(), 1)[:2] == [1, 1] and four(x, x.clone(), 1)[3] == 1
    doubled = torch.cat([x[:50], x[:50].clone(), x[50:60]])
    assert (neighbour_radii(doubled, 1)[:100] == 0).all()


def test_curve_of_histograms_in_closed_form():
    p, q = torch.full((4,), .25), torch.tensor([.5, .5, 0, 0])
    curve = histogram_curve(p, q)
    assert curve.at(1) == pytest.approx((.5, .5)) and curve.f(8) == pytest.approx(.5, abs=.01)
    assert float(curve.precision[-1]) == pytest.approx(1, abs=1e-6) and float(curve.recall[0]) == pytest.approx(.5, abs=1e-6)
    assert curve.area == pytest.approx(.5, abs=2e-3)
    assert histogram_curve(p, p).area == pytest.approx(1, abs=1e-3)
    assert histogram_curve(torch.tensor([1., 0]), torch.tensor([0., 1])).area == 0


@settings(max_examples=30)
@given(st.integers(2, 12), st.integers(0, 999))
def test_curve_laws(atoms, seed):
    p, q = torch.rand(2, atoms, generator=seeded(seed), dtype=torch.float64) ** 3
    p, q = p / p.sum(), q / q.sum()
    there, back = histogram_curve(p, q, 101), histogram_curve(q, p, 101)
    assert torch.allclose(there.precision, back.recall.flip(0), rtol=1e-4, atol=1e-9)
    assert (there.precision.diff() >= -1e-9).all() and (there.recall.diff() <= 1e-9).all()
    assert there.at(1)[0] == pytest.approx(1 - float((p - q).abs().sum()) / 2, abs=1e-9)


def test_score_that_is_the_likelihood_ratio_gives_the_exact_curve():
    p, q = torch.tensor([.5, .3, .2]), torch.tensor([.1, .3, .6])
    real = torch.repeat_interleave(p / q, (p * 1000).round().long())
    fake = torch.repeat_interleave(p / q, (q * 1000).round().long())
    exact, found = histogram_curve(p, q), error_curve(real, fake)
    assert torch.allclose(exact.precision, found.precision, atol=1e-5) and torch.allclose(exact.recall, found.recall, atol=1e-5)


def test_any_score_bounds_the_curve_from_above():
    p, q = torch.tensor([.5, .3, .2]), torch.tensor([.1, .3, .6])
    poor = torch.tensor([1., 3, 2])
    counts = [(v * 1000).round().long() for v in (p, q)]
    found = error_curve(*(torch.repeat_interleave(poor, c) for c in counts))
    assert (found.precision >= histogram_curve(p, q).precision - 1e-5).all()


def test_two_bells_against_the_integral():
    g, line = seeded(), torch.linspace(-8, 10, 20001, dtype=torch.float64)
    p, q = torch.exp(-line ** 2 / 2), torch.exp(-(line - 2) ** 2 / 2)
    exact = histogram_curve(p / p.sum(), q / q.sum())
    found = pr_curve(torch.randn(6000, 1, generator=g), torch.randn(6000, 1, generator=g) + 2, generator=g)
    assert found.area == pytest.approx(exact.area, abs=.05) and found.f(8) == pytest.approx(exact.f(8), abs=.05)


def test_lost_modes_lower_recall_and_junk_lowers_precision_not_the_other_way():
    centres = torch.tensor([[0., 0], [6, 0], [0, 6], [6, 6]])
    full = centres[torch.randint(4, (2000,), generator=seeded())] + .3 * torch.randn(2000, 2, generator=seeded(1))
    part = centres[torch.randint(2, (2000,), generator=seeded(2))] + .3 * torch.randn(2000, 2, generator=seeded(3))
    for measure in (lambda a, b: (precision_recall(a, b).precision, precision_recall(a, b).recall),
                    lambda a, b: (pr_curve(a, b).f(1 / 8), pr_curve(a, b).f(8)),
                    lambda a, b: (pr_curve(a, b, "clusters").f(1 / 8), pr_curve(a, b, "clusters").f(8))):
        precision, recall = measure(full, part)
        assert precision > .85 and recall < .6
        precision, recall = measure(part, full)
        assert precision < .6 and recall > .85


# bad input

GOOD = torch.randn(10, 3, generator=seeded())


@pytest.mark.parametrize("call, word", [
    (lambda: precision_recall(GOOD, GOOD[:, :2]), "fake"),
    (lambda: precision_recall(GOOD, GOOD, k=10), "k"),
    (lambda: precision_recall(GOOD[:1], GOOD), "real"),
    (lambda: precision_recall(GOOD, GOOD[:0]), "fake"),
    (lambda: precision_recall(GOOD * math.nan, GOOD), "real"),
    (lambda: density_coverage(GOOD, GOOD, k=0), "k"),
    (lambda: density_coverage(GOOD, GOOD, k=2.5), "k"),
    (lambda: density_coverage(GOOD, "points"), "fake"),
    (lambda: density_coverage(GOOD, GOOD, max_bytes=0), "max_bytes"),
    (lambda: pr_curve(GOOD, GOOD, "histograms"), "method"),
    (lambda: pr_curve(GOOD, GOOD, "clusters", clusters=1), "clusters"),
    (lambda: pr_curve(GOOD, GOOD, "clusters", rounds=0), "rounds"),
    (lambda: pr_curve(GOOD, GOOD[:3]), "fake"),
    (lambda: pr_curve(GOOD, GOOD, angles=1), "angles"),
    (lambda: pr_curve(GOOD, GOOD).f(0), "beta"),
    (lambda: pr_curve(GOOD, GOOD).at(-1), "slope"),
    (lambda: histogram_curve(torch.tensor([.5, .6]), torch.tensor([.5, .5])), "p"),
    (lambda: histogram_curve(torch.tensor([.5, .5]), torch.tensor([1.])), "q"),
    (lambda: error_curve(torch.zeros(0), torch.zeros(3)), "real_scores"),
    (lambda: precision_recall(GOOD, GOOD).interval("area"), "name"),
    (lambda: precision_recall(GOOD, GOOD).interval("recall", confidence=1.5), "confidence"),
    (lambda: neighbourhood_companions(precision_recall, GOOD[:2], GOOD), "real"),
])
def test_bad_input_is_named(call, word):
    with pytest.raises((ValueError, TypeError), match=word):
        call()


def test_an_absent_measure_is_an_attribute_error():
    with pytest.raises(AttributeError, match="recall"):
        density_coverage(GOOD, GOOD).recall


# shapes

def test_images_arrays_and_numbers_are_taken():
    images = torch.randn(12, 3, 4, 4, generator=seeded())
    assert precision_recall(images, images.numpy()).precision == 1
    assert density_coverage(np.arange(12), np.arange(12)).coverage == 1
    assert pr_curve(images, images + 1).method == "ExtraTreesClassifier"


# determinism

@pytest.mark.parametrize("method", ["classifier", "clusters"])
def test_same_seed_same_curve(method):
    real, fake = torch.randn(200, 3, generator=seeded()), torch.randn(150, 3, generator=seeded(1))
    state = torch.get_rng_state()
    one, two = (pr_curve(real, fake, method, generator=seeded(5)) for _ in range(2))
    assert torch.equal(one.precision, two.precision) and torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(one.precision, pr_curve(real, fake, method, generator=seeded(6)).precision)


# companions and intervals

def test_companions_order():
    g = seeded()
    found = neighbourhood_companions(density_coverage, torch.randn(800, 4, generator=g), torch.randn(300, 4, generator=g) * .2, generator=g)
    assert found["ceiling"].coverage == 1 or found["ceiling"].coverage > found["floor"].coverage
    assert found["floor"].coverage > found["yours"].coverage
    assert all(len(m.points["density"]) == 300 for m in found.values())


def test_expected_coverage_of_a_perfect_generator():
    n, m, k, g = 60, 50, 2, seeded()
    found = [density_coverage(torch.rand(n, 2, generator=g), torch.rand(m, 2, generator=g), k).coverage for _ in range(300)]
    expected = 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / math.sqrt(300))


@pytest.mark.parametrize("name", ["precision", "density"])
def test_the_interval_holds_the_truth_for_balls_as_they_are(name):
    """It says nothing of other balls, so the real points stay the same in all 200 draws."""
    real = torch.randn(200, 3, generator=seeded(1))
    truth = getattr(density_coverage(real, 1.3 * torch.randn(20_000, 3, generator=seeded(2)), 3), name, None) if name == "density" \
        else precision_recall(real, 1.3 * torch.randn(20_000, 3, generator=seeded(2))).precision
    held = 0
    for seed in range(200):
        x = 1.3 * torch.randn(400, 3, generator=seeded(10 + seed))
        found = (density_coverage(real, x, 3) if name == "density" else precision_recall(real, x)).interval(name, rounds=200)
        held += found.low <= truth <= found.high
    assert held / 200 >= .95 - 2 * math.sqrt(.95 * .05 / 200)


def test_interval_of_a_sure_thing_has_no_width():
    found = precision_recall(GOOD, GOOD.clone()).interval("precision")
    assert (found.mean, found.low, found.high) == (1, 1, 1)


def test_frechet_distance_of_independent_coordinates_is_a_sum():
    x = torch.randn(50, 3, generator=seeded(), dtype=torch.float64)
    x = torch.linalg.solve_triangular(torch.linalg.cholesky(x.T.cov()), (x - x.mean(0)).T, upper=False).T  # mean 0, covariance I
    sizes, far = torch.tensor([1., 2., 5.]).double(), torch.tensor([3., 0., -4.]).double()
    assert frechet_distance(x, x * sizes + far) == pytest.approx(25 + 0 + 1 + 16, rel=1e-9)


def test_frechet_distance_of_covariances_that_do_not_commute():
    from scipy.linalg import sqrtm
    x, y = (torch.randn(40, 4, generator=seeded(i), dtype=torch.float64) @ torch.randn(4, 4, generator=seeded(9 + i), dtype=torch.float64) for i in (0, 1))
    a, b = x.T.cov().numpy(), y.T.cov().numpy()
    expected = float((x.mean(0) - y.mean(0)).square().sum()) + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9) == frechet_distance(y, x)


def test_frechet_distance_of_copies_few_examples_and_numbers():
    x = torch.randn(5, 3, 4, 4, generator=seeded())  # fewer examples than features
    assert frechet_distance(x, x.flip(0)) == pytest.approx(0, abs=1e-5) and frechet_distance(x, x + 1) == pytest.approx(48, rel=1e-6)
    assert frechet_distance(torch.tensor([0., 2.]), torch.tensor([0., 2.]) * 3) == pytest.approx(4 + 8)


@pytest.mark.parametrize("real, fake, named", [
    (torch.zeros(1, 2), torch.zeros(3, 2), "real"), (torch.zeros(3, 2), torch.zeros(1, 2), "fake"), (torch.zeros(3, 2), torch.zeros(3, 4), "fake"),
    (torch.full((3, 2), math.nan), torch.zeros(3, 2), "real"), ([[0.], [1.]], torch.zeros(3, 1, dtype=torch.complex64), "fake"), (None, torch.zeros(3, 2), "real")])
def test_frechet_distance_refuses(real, fake, named):
    with pytest.raises((TypeError, ValueError), match=named):
        frechet_distance(real, fake)


# the paper's experiment on MNIST: benchmarks/precision_recall.py, and what it recorded

ROWS = {(row["space"], row["q"]): row for row in json.loads((BENCHMARKS / "precision_recall.json").read_text(encoding="utf-8"))["classes"]}


@pytest.mark.parametrize("q", range(1, 10))
def test_the_ideal_curve_of_classes_is_a_rectangle(q):
    curve, (precision, recall) = classes.ideal_curve(q), classes.ideal(q)
    assert (precision, recall) == (min(1, 5 / q), min(1, q / 5))
    assert torch.allclose(curve.precision, (curve.slopes * recall).clamp(max=precision), rtol=1e-9)
    assert torch.allclose(curve.recall, (precision / curve.slopes).clamp(max=recall), rtol=1e-9)
    for beta in (1 / 8, 8):  # the best point of a rectangle is its corner
        assert curve.f(beta) == pytest.approx((1 + beta ** 2) * precision * recall / (beta ** 2 * precision + recall), abs=2e-3)
    assert curve.area == pytest.approx(precision * recall, abs=2e-3)


def test_the_record_is_whole():
    assert set(ROWS) == {(space, q) for space in classes.SPACES for q in range(1, 10)}
    for row in ROWS.values():
        assert (row["draws"], row["n"]) == (8, 2000)
        for name in (*classes.curves(), "balls"):
            numbers = [v["by seed"] for k, v in row[name].items() if k != "curve"]
            assert all(len(v) == 8 and 0 <= min(v) and max(v) <= 1 for v in numbers) and len(numbers) == (2 if name == "balls" else 4)
            if name != "balls":
                precision, recall = (torch.tensor(row[name]["curve"][k]) for k in ("precision", "recall"))
                assert len(precision) == 26 and (precision.diff() >= 0).all() and (recall.diff() <= 0).all()


def mnist_or_skip():
    try:
        return classes.training_digits()
    except FileNotFoundError:
        pytest.skip("no MNIST files in the folder that MODELAB_DATA names")


@pytest.mark.parametrize("q", (1, 5, 8))
def test_both_sides_have_equal_parts_of_their_classes_and_no_picture_in_common(q):
    images, labels = mnist_or_skip()
    label_of = {picture.numpy().tobytes(): int(label) for picture, label in zip(images, labels)}
    real, fake = ([x.add(1).mul(127.5).round().byte().numpy().tobytes() for x in side] for side in classes.sides(q, 600, seeded()))
    for side, k in ((real, 5), (fake, q)):
        counts = torch.bincount(torch.tensor([label_of[x] for x in side]), minlength=10)
        assert counts.sum() == 600 and (counts[k:] == 0).all() and (counts[:k] - 600 / k).abs().max() < 1
    assert not set(real) & set(fake)


def test_a_recorded_draw_comes_again():
    mnist_or_skip()
    g = seeded(2000)  # of q = 2, the first draw
    real, fake = (x.flatten(1) for x in classes.sides(2, classes.N, g))
    found = classes.four(classes.curves()["linear"](real, fake, generator=g))
    kept = ROWS["pixels", 2]["linear"]
    assert {k: v for k, v in found.items()} == pytest.approx({k: kept[k]["by seed"][0] for k in found}, abs=5e-3)


def test_it_runs_on_a_gpu(cuda):
    real, fake = torch.randn(500, 20, generator=seeded()), torch.randn(400, 20, generator=seeded(1))
    assert frechet_distance(real.to(cuda), fake.to(cuda)) == pytest.approx(frechet_distance(real, fake), rel=1e-6)
    assert four(real.to(cuda), fake.to(cuda), 3) == pytest.approx(four(real, fake, 3), rel=1e-6)
    assert MAX_BYTES > 0
