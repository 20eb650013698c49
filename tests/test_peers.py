"""Peers and the papers' own formulas as oracles; a peer that is not installed, or does not import here, is skipped by name.

torchmetrics (1.9) has no precision, recall, density or coverage of generators; what of it can judge ours is its distances,
its ROC curve (type I and II errors), its KL divergence, and its Fréchet distance with features of one's own.
"""

import importlib
import math

import numpy as np
import pytest
import torch

from modelab.evaluation.copying import authenticity
from modelab.evaluation.protocols import kl
from modelab.evaluation.precision_recall import (error_curve, frechet_distance, histogram_curve,
                                                 pr_curve, precision_recall)

K = 4


def peer(name):
    try:
        return importlib.import_module(name)
    except Exception as error:  # some die of what they import in turn
        pytest.skip(f"the peer {name} is not installed, or does not import here ({type(error).__name__})")


def two_sets(n=300, m=250, width=6):
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, width, generator=g), .9 * torch.randn(m, width, generator=g) + .1


def from_distances(between, among_real, among_fake):
    """Precision, recall, density, coverage from distance matrices, as Kynkäänniemi et al. and Naeem et al. define them."""
    def radius(d):
        return np.sort(d + np.diag([np.inf] * len(d)), 1)[:, K - 1]
    inside, around = between <= radius(among_real)[:, None], between <= radius(among_fake)[None]
    return [inside.any(0).mean(), around.any(1).mean(), inside.sum(0).mean() / K, inside.any(1).mean()]


def four(found):
    return [found.precision, found.recall, found.density, found.coverage]


def test_balls_agree_with_torchmetrics_distances():
    distance = peer("torchmetrics.functional").pairwise_euclidean_distance
    real, fake = two_sets()
    theirs = [distance(a, b, zero_diagonal=False).numpy() for a, b in ((real, fake), (real, real), (fake, fake))]
    assert four(precision_recall(real, fake, K)) == pytest.approx(from_distances(*theirs), abs=1e-6)


def test_balls_agree_with_prdc_where_there_are_no_ties():
    prdc = peer("prdc")
    real, fake = two_sets()
    theirs = prdc.compute_prdc(real.double().numpy(), fake.double().numpy(), K)
    ours = four(precision_recall(real, fake, K))
    assert ours == pytest.approx([theirs[n] for n in ("precision", "recall", "density", "coverage")], abs=1e-6)
    same = torch.ones(20, 3)
    assert prdc.compute_prdc(same.numpy(), same.numpy(), K)["recall"] == 0 != precision_recall(same, same.clone(), K).recall


def test_fast_distances_in_single_precision_miss_copies_that_we_see():
    x = torch.rand(500, 3072, generator=torch.Generator().manual_seed(0))
    fast = torch.cdist(x, x.clone(), compute_mode="use_mm_for_euclid_dist").diagonal()
    assert (fast > 1e-3).sum() > 50 and precision_recall(x, x.clone(), 1).recall == 1


def test_errors_agree_with_torchmetrics_roc():
    roc = peer("torchmetrics.functional.classification").binary_roc
    g = torch.Generator().manual_seed(0)
    real, fake = torch.rand(400, generator=g) ** .5, torch.rand(300, generator=g)
    alarms, hits, _ = roc(torch.cat([real, fake]), torch.cat([torch.ones(400), torch.zeros(300)]).long(), thresholds=None)
    ours = error_curve(real, fake, angles=101)
    theirs = (ours.slopes[:, None] * (1 - hits.double()) + alarms.double()).amin(1)
    assert torch.allclose(ours.precision, theirs, rtol=1e-6, atol=1e-6) and torch.allclose(ours.recall, theirs / ours.slopes, rtol=1e-5)


def test_divergence_agrees_with_torchmetrics():
    theirs = peer("torchmetrics.functional").kl_divergence
    p, q = torch.rand(2, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p, q = p / p.sum(), q / q.sum()
    assert float(kl(p, q)) == pytest.approx(float(theirs(p[None], q[None])), abs=1e-6)


def test_frechet_distance_agrees_with_torchmetrics():
    theirs = peer("torchmetrics.image.fid").FrechetInceptionDistance

    class Same(torch.nn.Module):
        num_features = 6

        def forward(self, x):
            return x.flatten(1)
    measure, (real, fake) = theirs(feature=Same()), two_sets()
    measure.update(real, real=True)
    measure.update(fake, real=False)
    assert frechet_distance(real, fake) == pytest.approx(float(measure.compute()), rel=1e-3)


# the papers' formulas, written as they stand, in loops

def test_histogram_curve_is_sajjadis():
    g = np.random.default_rng(0)
    p, q = g.dirichlet(np.ones(7)), g.dirichlet(np.ones(7))
    ours = histogram_curve(torch.tensor(p), torch.tensor(q), 51)
    for slope, precision, recall in zip(ours.slopes.tolist(), ours.precision.tolist(), ours.recall.tolist()):
        assert precision == pytest.approx(sum(min(slope * a, b) for a, b in zip(p, q)), abs=1e-6)
        assert recall == pytest.approx(sum(min(a, b / slope) for a, b in zip(p, q)), abs=1e-6)


def test_error_curve_is_simons():
    g = np.random.default_rng(0)
    real, fake = np.round(g.normal(1, 1, 60), 1), np.round(g.normal(0, 1, 40), 1)  # with ties
    ours = error_curve(torch.tensor(real), torch.tensor(fake), 51)
    cuts = [-math.inf, *sorted({*real, *fake}), math.inf]
    pairs = [((real < t).mean(), (fake >= t).mean()) for t in cuts]  # type I and type II errors of "real from t on"
    for slope, precision in zip(ours.slopes.tolist(), ours.precision.tolist()):
        assert precision == pytest.approx(min(slope * missed + alarm for missed, alarm in pairs), rel=1e-6, abs=1e-6)


def test_names_are_not_swapped():
    """A well-known library had them the wrong way round for years: junk must cost precision, lost modes recall."""
    real, _ = two_sets()
    junk, lost = torch.cat([real[:150], real[:150] + 50]), real[real[:, 0] > 0]
    assert precision_recall(real, junk, K).precision < .6 < precision_recall(real, junk, K).recall
    assert precision_recall(real, lost, K).recall < .75 < precision_recall(real, lost, K).precision
    there, back = pr_curve(real, lost, "clusters", rounds=2), pr_curve(lost, real, "clusters", rounds=2)
    assert there.f(8) < there.f(1 / 8) and back.f(8) > back.f(1 / 8)


def test_the_numbers_of_dgm_eval_by_its_formulas():
    """dgm-eval (Stein et al. 2023) in plain loops: a Fréchet distance of unbiased covariances, prdc's four, and the share of authentic samples."""
    from scipy.linalg import sqrtm
    real, fake = (x.double() for x in two_sets())
    x, y = real.numpy(), fake.numpy()
    root = sqrtm(np.cov(x, rowvar=False) @ np.cov(y, rowvar=False)).real
    apart = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(np.cov(x, rowvar=False)) + np.trace(np.cov(y, rowvar=False)) - 2 * np.trace(root)
    assert frechet_distance(real, fake) == pytest.approx(apart, rel=1e-9)

    far = lambda a, b: np.array([[math.dist(p, q) for q in b] for p in a])
    between, among = far(x, y), far(x, x)
    assert four(precision_recall(real, fake, K)) == pytest.approx(from_distances(between, among, far(y, y)), abs=1e-12)
    nearest, own = between.argmin(0), np.sort(among, 1)[:, 1]
    assert authenticity(fake, real) == np.mean(between.min(0) > own[nearest])
