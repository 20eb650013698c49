"""Coverage against closed forms, generators whose coverage is known, published floors, and input that makes no sense."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from modelab.data import mixtures as mixtures_module
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import grid, Mixture, mixture, rare_modes, ring
from modelab.evaluation.coverage import (MEASURES, Coverage, coverage, coverage_table, coverages,
                                         plot_coverage)
from modelab.evaluation.protocols import PROTOCOLS, Protocol, kl, total_variation, within_share
from modelab.evaluation.reference_law import reference_law
from helpers import seeded

GRID, RING, RARE = grid(), ring(), rare_modes()
QUALITY = 1 - math.exp(-9 / 2)  # share of a 2-D normal law within three standard deviations


def impostor(n: int, keep, shrink: float = 1.0, seed: int = 0) -> torch.Tensor:
    """Grid samples that visit the modes of `keep` in turn, with bells `shrink` times as wide."""
    mode = torch.tensor(list(keep)).repeat(-(-n // len(keep)))[:n]
    return GRID.centers[mode] + shrink * .05 * torch.randn(n, 2, generator=seeded(seed))


def line(k: int) -> Mixture:
    return mixture(torch.arange(k).double()[:, None], std=.01)


class Own:
    """A user's own set: the sign of a number is its mode; no registry, no device, no bounds as tensors."""
    n_modes, weights, event, bounds = 2, [.5, .5], (1,), (-2.0, 2.0)

    def assign(self, x):
        return (x[:, 0] > 0).long(), x[:, 0].abs() > .5

    def sample_with_modes(self, n, generator):
        mode = torch.randint(2, (n,), generator=generator)
        return (2.0 * mode - 1)[:, None], mode


# ---------------------------------------------------------------------------------------------------- closed forms

@pytest.mark.parametrize("d", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("within", [1.0, 3.0])
def test_within_share_is_chi_squared(within, d):
    assert within_share(within, d) == pytest.approx(stats.chi2.cdf(within ** 2, d), rel=1e-9)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=30).filter(any), st.integers(0, 10 ** 6))
@settings(max_examples=60, deadline=None)
def test_divergences_agree_with_scipy(counts, seed):
    p = torch.tensor(counts).double() / sum(counts)
    q = torch.from_numpy(np.random.default_rng(seed).dirichlet(np.ones(len(counts))))
    assert kl(p, q).item() == pytest.approx(stats.entropy(p.numpy(), q.numpy()), abs=1e-9)
    assert total_variation(p, q).item() == pytest.approx(np.abs(p.numpy() - q.numpy()).sum() / 2)
    assert 2 * total_variation(p, q) ** 2 <= kl(p, q) + 1e-12  # Pinsker


def test_kl_is_infinite_where_mass_is_missing_and_nan_where_nothing_was_counted():
    p, q = torch.tensor([1.0, 0.0]), torch.tensor([.5, .5])
    assert kl(p, q) == pytest.approx(math.log(2)) and kl(q, p) == math.inf and kl(p, p) == 0
    assert kl(torch.full((2,), math.nan), q).isnan()


@pytest.mark.parametrize("given_modes, share", [(GRID, QUALITY), (RING, QUALITY), (mixtures_module.line(), math.erf(3 / 2 ** .5)),
                                                (mixture(np.eye(3) * 9, .1), stats.chi2.cdf(9, 3))])
def test_ceiling_is_exact(given_modes, share):
    c = coverage(given_modes.sample(50, generator=seeded()), given_modes).ceiling
    assert (c.captured, c.n) == (given_modes.n_modes, math.inf) and c.high_quality == pytest.approx(share, rel=1e-9)
    assert c.kl == pytest.approx(0, abs=1e-12) and c.tv == pytest.approx(0, abs=1e-12) and c.forward < 1e-12
    assert c.spread == pytest.approx(1)


def test_box_ceiling_is_exact():
    c = coverage(GRID.sample(50, generator=seeded()), GRID, "selfcond").ceiling
    assert c.high_quality == pytest.approx(math.erf(3 / 2 ** .5) ** 2) and round(100 * c.high_quality, 2) == 99.46


def test_uniform_reference_is_not_the_right_law_of_an_unbalanced_set():
    x, uniform = RARE.sample(3000, generator=seeded()), torch.full((9,), 1 / 9)
    c, own = coverage(x, RARE), coverage(x, RARE, "fair")
    assert c.ceiling.kl == pytest.approx(kl(RARE.weights, uniform).item(), rel=1e-5) and c.ceiling.tv < 1e-6
    assert own.ceiling.kl < 1e-9 and own.kl < .01 < c.kl


@pytest.mark.parametrize("protocol", ["pacgan", "selfcond"])
@pytest.mark.parametrize("given_modes", [GRID, RING, mixtures_module.line(), mixture([[0, 0], [3, 0]], [[.2, .1]] * 2)])
def test_closed_forms_agree_with_counting(given_modes, protocol):
    exact, p = reference_law(given_modes, PROTOCOLS[protocol]), PROTOCOLS[protocol]
    low, high = given_modes.bounds
    n = 400_000
    noise = low + (high - low) * torch.rand(n, *given_modes.event, generator=seeded(1))
    assert exact.exact
    for expected, x in ((exact.real, given_modes.sample(n, generator=seeded(2))), (exact.noise, noise)):
        good, share = given_modes.assign(x, p.within, p.metric)[1].double().mean().item(), expected[1].sum().item()
        assert abs(good - share) < 5 * math.sqrt(share * (1 - share) / n) and expected.sum() == pytest.approx(1)


# ------------------------------------------------------------------------------------------- floors, ceilings, nulls

@pytest.mark.parametrize("n, floor, seen", [(2_500, .2225, 918), (10_000, .0511, 999.96), (24_000, .0210, 1000),
                                            (26_000, .0193, 1000), (50_000, .0101, 1000)])
def test_floors_of_a_thousand_modes(n, floor, seen):
    thousand = line(1000)
    c = coverage(thousand.sample(n, generator=seeded()), thousand)
    n_good = n * c.floor.high_quality  # the table is for n samples that count, ours are 99.73 % of n
    assert c.floor.kl * n_good / n == pytest.approx(floor, rel=.012)
    assert c.floor.captured == pytest.approx(seen, abs=1.5) and c.kl == pytest.approx(c.floor.kl, rel=.15)
    if n >= 10_000:
        assert c.floor.kl == pytest.approx(999 / (2 * n_good), rel=.06)


def test_floor_is_what_a_real_perfect_generator_scores():
    runs = coverages(torch.stack([GRID.sample(1000, generator=seeded(s)) for s in range(100)]), GRID)
    for name in MEASURES:
        values = torch.tensor([getattr(c, name) for c in runs]).double()
        error = values.std().item() / 10
        assert abs(values.mean().item() - getattr(runs[0].floor, name)) < 4 * error + 1e-3, name


def test_null_is_what_real_noise_scores():
    low, high = GRID.bounds
    noise = low + (high - low) * torch.rand(100, 2500, 2, generator=seeded())
    runs = coverages(noise, GRID)
    for name in ("captured", "high_quality", "kl", "tv"):
        values = torch.tensor([getattr(c, name) for c in runs]).double()
        assert abs(values.mean() - getattr(runs[0].null, name)) < 4 * values.std() / 10 + 1e-3, name
    assert runs[0].null.spread == pytest.approx(np.mean([c.spread for c in runs]), rel=.05)


@pytest.mark.parametrize("given_modes, captured, quality", [(GRID, 20.75, .0177), (RING, 4.26, .0025)])
def test_nulls_of_the_literature(given_modes, captured, quality):
    c = coverage(given_modes.sample(2500, generator=seeded()), given_modes)
    assert c.null.captured == pytest.approx(captured, abs=.15) and c.null.high_quality == pytest.approx(quality, abs=1e-4)


def test_companions_have_none_of_their_own_and_the_same_shape():
    c = coverage(GRID.sample(100, generator=seeded()), GRID)
    for other in (c.floor, c.ceiling, c.null):
        assert isinstance(other, Coverage) and other.n_modes == 25 and other.floor is other.ceiling is other.null is None
        assert all(isinstance(v, float) for v in other.numbers().values()) and repr(other)


def test_companions_are_computed_once_per_spec(monkeypatch):
    calls = []
    original = Mixture.assign
    monkeypatch.setattr(Mixture, "assign", lambda self, x, *a, **k: calls.append(len(x)) or original(self, x, *a, **k))
    sets = [grid(side=3, spacing=1.75) for _ in range(2)]
    first = coverage(sets[0].sample(77, generator=seeded()), sets[0])
    before = len(calls)
    second = coverage(sets[1].sample(77, generator=seeded()), sets[1])
    assert len(calls) == before + 1 and first.floor is second.floor


def test_overlapping_modes_are_measured():
    close = mixture([[0.0], [1.0], [6.0]], std=.5, weights=[2, 1, 1])
    c = coverage(close.sample(20_000, generator=seeded()), close)
    assert not c.law.exact and c.tv == pytest.approx(c.floor.tv, abs=.02) and c.law.real.sum() == pytest.approx(1)
    assert c.high_quality == pytest.approx(c.ceiling.high_quality, abs=.005)


# ------------------------------------------------------------------------------------ generators of known coverage

@given(st.integers(1, 25), st.sampled_from(["veegan", "pacgan", "meg", "inclusive"]))
@settings(max_examples=25, deadline=None)
def test_k_of_n_modes(k, protocol):
    c = coverage(impostor(25 * k * 8, range(k)), GRID, protocol)
    assert c.captured == k and c.missing == list(range(k, 25)) and c.n_modes == 25.0
    assert c.kl == pytest.approx(math.log(25 / k), abs=.02) and c.reverse == c.kl
    assert c.tv == pytest.approx(QUALITY * (1 - k / 25), abs=.03) and (c.forward == math.inf) == (k < 25)


@given(st.lists(st.integers(0, 40), min_size=8, max_size=8).filter(any))
@settings(max_examples=40, deadline=None)
def test_known_masses_are_exact(masses):
    x = RING.centers.repeat_interleave(torch.tensor(masses), 0)
    c, p = coverage(x, RING), torch.tensor(masses).double() / sum(masses)
    q = torch.full((8,), 1 / 8).double()
    assert (c.captured, c.high_quality) == (sum(m > 0 for m in masses), 1.0) and c.counts.tolist() == masses
    assert c.kl == pytest.approx(kl(p, q).item()) and c.forward == pytest.approx(kl(q, p).item())
    bucket = (p - q * QUALITY).abs().sum() / 2 + (1 - QUALITY) / 2
    assert c.tv == pytest.approx(bucket.item(), abs=1e-7)


def test_samples_far_from_every_mode():
    c = coverage(torch.full((200, 2), 4.0) + 1, GRID)
    assert (c.captured, c.high_quality) == (0, 0) and math.isnan(c.kl) and math.isnan(c.spread)
    assert c.tv == pytest.approx(QUALITY) and "–" in repr(c) and c.interval("high_quality").high < .03
    assert math.isnan(c.interval("kl").mean) and c.interval("captured").low == 0


@pytest.mark.parametrize("shrink", [0.0, .25, .5, 1.0])
def test_shrunken_modes_show_in_the_spread_only(shrink):
    c = coverage(impostor(10_000, range(25), shrink), GRID)
    untouched = 1 if shrink == 1 else 1 / math.sqrt(stats.chi2.cdf(9, 4) / stats.chi2.cdf(9, 2))
    assert c.captured == 25 and c.kl < .004 and c.tv < .04
    assert c.spread == pytest.approx(shrink * untouched, abs=.02)
    assert (c.high_quality > QUALITY + .005) == (shrink < 1)


def test_spread_with_tilted_covariances():
    tilted = mixture([[0.0, 0], [9, 0]], [[[1, .8], [.8, 1]], [[.5, -.3], [-.3, .4]]])
    c = coverage(tilted.sample(20_000, generator=seeded()), tilted)
    assert c.spreads.tolist() == pytest.approx([1, 1], abs=.02) and c.spread == pytest.approx(1, abs=.02)
    flat = tilted.centers[torch.arange(2).repeat(500)] + torch.randn(1000, 1, generator=seeded()) * torch.tensor([.3, .3])
    assert coverage(flat, tilted).spread < .6


def test_box_and_mahalanobis_disagree_in_the_corner():
    corner = GRID.centers + .05 * 2.9
    assert coverage(corner, GRID).captured == 0 and coverage(corner, GRID, "selfcond").captured == 25


def test_kl_over_all_samples_is_fooled_by_noise_and_fair_is_not():
    low, high = GRID.bounds
    noise = low + (high - low) * torch.rand(50_000, 2, generator=seeded())
    noise[:2000] = GRID.sample(2000, generator=seeded(1))
    scores = {name: coverage(noise, GRID, name) for name in ("pacgan", "selfcond", "fair")}
    assert scores["selfcond"].kl < .002 < scores["pacgan"].kl and scores["pacgan"].captured == 25
    assert scores["fair"].captured == 0 and scores["fair"].floor.captured == 25


def test_fair_needs_half_of_a_perfect_generators_share():
    few, many = [x for k in (40, 60) for x in [torch.cat([impostor(2400, range(24)), GRID.centers[24:].repeat(k, 1)])]]
    assert coverage(few, GRID, "fair").missing == [24] and coverage(many, GRID, "fair").captured == 25
    assert coverage(few, GRID).captured == 25


def test_counting_every_batch_twice_multiplies_kl():
    """A public script adds each batch twice and divides by the single total: s·KL + s·ln s with s = 2."""
    c = coverage(impostor(3000, list(range(20)) + [0] * 5), GRID)
    wrong = (2 * c.counts / c.counts.sum())
    printed = (wrong * (wrong * 25).log())[wrong > 0].sum().item()
    assert printed == pytest.approx(2 * c.kl + 2 * math.log(2)) and c.tally.sum() == c.n == 3000


def test_the_result_says_what_the_protocol_asks_for():
    x = GRID.sample(2000, generator=seeded())
    assert coverage(x, GRID).asked == 2500 and "2,500" in repr(coverage(x, GRID))
    assert coverage(x, GRID, "meg").asked is None and "names no number" in repr(coverage(x, GRID, "meg"))
    stacked = stacked_digits()
    asks = {name: p.asks(stacked) for name, p in PROTOCOLS.items()}
    assert asks == {"veegan": 26_000, "pacgan": 26_000, "selfcond": None, "meg": 26_000, "inclusive": 24_000, "fair": 26_000}
    assert PROTOCOLS["selfcond"].samples(stacked) == 26_000 and PROTOCOLS["meg"].samples(GRID) == 2500
    assert PROTOCOLS["meg"].asks(digits()) == 260 and PROTOCOLS["selfcond"].samples(GRID) == 50_000


def test_a_protocol_of_your_own():
    strict = replace(PROTOCOLS["pacgan"], name="strict", within=1.0)
    c = coverage(GRID.sample(5000, generator=seeded()), GRID, strict)
    assert c.ceiling.high_quality == pytest.approx(1 - math.exp(-.5)) and c.high_quality == pytest.approx(.393, abs=.03)
    assert c.spread == pytest.approx(1, abs=.03) and c.protocol is strict


# ----------------------------------------------------------------------------------------------------------- judges

@pytest.fixture(scope="module")
def stacked():
    return stacked_digits()


def test_held_out_digits_sit_at_the_floor(stacked):
    c = coverage(stacked.held_out.sample(26_000, generator=seeded()), stacked)
    assert c.captured >= 999 and c.kl == pytest.approx(c.floor.kl, rel=.15) and c.tv == pytest.approx(c.floor.tv, abs=.015)
    assert c.high_quality == pytest.approx(c.floor.high_quality, abs=.02) and c.floor.kl - c.ceiling.kl == pytest.approx(.0193, rel=.05)
    assert c.low_confidence == 1 - c.high_quality and math.isnan(c.spread)


def test_the_scan_law_is_that_of_rendered_pictures(stacked):
    mode, sure = stacked.assign(stacked.held_out.sample(60_000, generator=seeded(3)))
    expected = reference_law(stacked, PROTOCOLS["fair"]).real
    for digit in (1, 8):
        seen = (mode % 10 == digit)
        assert seen.double().mean().item() == pytest.approx(expected.sum(0).reshape(100, 10)[:, digit].sum().item(), abs=.01)
        assert (seen & sure).double().mean().item() == pytest.approx(expected[1].reshape(100, 10)[:, digit].sum().item(), abs=.01)


def test_static_captures_modes_unless_the_judge_must_be_sure(stacked):
    static = 2 * torch.rand(26_000, *stacked.event, generator=seeded()) - 1
    c, fair = coverage(static, stacked), coverage(static, stacked, "fair")
    assert c.captured > 100 and c.high_quality < .01 and c.null.captured == pytest.approx(c.captured, rel=.1)
    assert c.null.kl == pytest.approx(c.kl, rel=.1) and fair.captured <= 1 and c.tv > .6


def test_one_digit_lost(stacked):
    x, mode = stacked.held_out.sample_with_modes(30_000, generator=seeded())
    c = coverage(x[mode // 100 != 7], stacked, "fair")
    assert 880 < c.captured <= 910 and len([m for m in c.missing if m // 100 == 7]) > 95


def test_ten_digits():
    ten = digits()
    c = coverage(ten.held_out.sample(2000, generator=seeded()), ten)
    assert c.captured == 10 and c.n_modes == 10 and c.kl < .02 and 0 < c.low_confidence < .3


# --------------------------------------------------------------------------------------------- a set of one's own

def test_own_set():
    c = coverage(np.array([[-1.0], [1.0], [.1], [-.2]]), Own())
    assert (c.captured, c.high_quality, c.kl, c.of) == (2, .5, 0, "Own") and math.isnan(c.spread)
    assert c.floor.high_quality == pytest.approx(1) and c.null.high_quality == pytest.approx(.75, abs=.01)
    assert "Own" in repr(c)


def test_in_high_dimensions_three_sigma_means_nothing():
    """Two dimensions and 1,200: nobody, perfect generators included, lies within three sigma of a 1,200-D normal mean."""
    high = mixture(torch.eye(1200)[:5] * 300, std=1.0)
    c = coverage(high.sample(100, generator=seeded()), high)
    assert (c.captured, c.high_quality, c.ceiling.high_quality) == (0, 0, 0) and c.law.exact and repr(c)
    everything = coverage(high.sample(100, generator=seeded()), high, replace(PROTOCOLS["pacgan"], name="wide", within=42.0))
    assert everything.captured == 5 and everything.spread == pytest.approx(1, abs=.01)


def test_many_modes_with_few_samples_each():
    many = grid(side=40)
    c = coverage(many.sample(3000, generator=seeded()), many)
    for name in ("captured", "high_quality", "kl", "tv", "spread"):
        assert getattr(c, name) == pytest.approx(getattr(c.floor, name), rel=.05), name


def test_own_set_with_impossible_modes_is_refused():
    class Wrong(Own):
        def assign(self, x):
            return torch.full((len(x),), 2), torch.ones(len(x), dtype=torch.bool)
    with pytest.raises(ValueError, match="modes: its assign gave 2 to 2, expected 0 to 1"):
        coverage(torch.ones(3, 1), Wrong())


# -------------------------------------------------------------------------------------------------------- bad input

shapes = st.lists(st.integers(0, 4), min_size=0, max_size=4).map(tuple)


@given(shapes.filter(lambda s: len(s) != 2 or s[1] != 2 or s[0] == 0))
@settings(max_examples=80, deadline=None)
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="^x: expected") as error:
        coverage(torch.zeros(shape), GRID)
    assert str(shape) in str(error.value) or "at least 1 example" in str(error.value)


@given(shapes.filter(lambda s: len(s) < 2 or s[-1] != 2 or 0 in s))
@settings(max_examples=80, deadline=None)
def test_wrong_shapes_are_refused_with_runs(shape):
    with pytest.raises(ValueError, match="^x: expected"):
        coverages(torch.zeros(shape), GRID)


def test_several_runs_get_a_hint():
    with pytest.raises(ValueError, match=r"got \(8, 100, 2\); for several runs use coverages"):
        coverage(torch.zeros(8, 100, 2), GRID)
    with pytest.raises(ValueError, match=r"expected shape \(n, 3, 8, 8\)"):
        coverage(torch.zeros(5, 8, 8, 3), stacked_digits())


@given(st.integers(0, 19), st.integers(0, 1), st.sampled_from([math.nan, math.inf, -math.inf]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_nan_and_infinity_are_refused(row, column, value, runs):
    x = GRID.sample(20, generator=seeded())
    x[row, column] = value
    with pytest.raises(ValueError, match="^x: expected finite numbers, got NaN or infinity in 1 of"):
        coverages(x, GRID) if runs else coverage(x, GRID)


@given(st.text(max_size=12).filter(lambda t: t not in PROTOCOLS))
@settings(max_examples=40, deadline=None)
def test_unknown_protocols_are_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match="protocol: unknown .*Known: fair, inclusive, meg, pacgan, selfcond, veegan"):
        coverage(GRID.centers, GRID, name)


@pytest.mark.parametrize("protocol", [None, 3, ["pacgan"]])
def test_protocols_of_a_wrong_type_are_refused(protocol):
    with pytest.raises(TypeError, match="protocol: expected one of fair"):
        coverage(GRID.centers, GRID, protocol)


@pytest.mark.parametrize("x", [None, "samples", [["a", "b"]], object(), np.array([["a", "b"]]), torch.zeros(3, 2, dtype=torch.complex64)])
def test_samples_of_a_wrong_type_are_refused(x):
    with pytest.raises(TypeError, match="^x: expected"):
        coverage(x, GRID)


@pytest.mark.parametrize("wrong", ["grid", None, 25, grid, torch.zeros(3)])
def test_sets_of_a_wrong_type_are_refused(wrong):
    with pytest.raises(TypeError, match="^modes: expected a set whose modes are known"):
        coverage(GRID.centers, wrong)


@pytest.mark.parametrize("setting, error", [({"points": 0}, ValueError), ({"points": 2.5}, TypeError), ({"within": -1}, ValueError),
                                            ({"metric": "cosine"}, ValueError), ({"kl_over": "some"}, ValueError),
                                            ({"reference": "mine"}, ValueError), ({"least": 2}, ValueError)])
def test_protocols_check_their_settings(setting, error):
    with pytest.raises(error, match=f"^{next(iter(setting))}: "):
        Protocol("mine", "here", **setting)


@pytest.mark.parametrize("wrong", [[], {}, None, "pacgan", [1, 2], {"a": []}])
def test_tables_of_nothing_are_refused(wrong):
    with pytest.raises(TypeError, match="^coverages: expected one Coverage"):
        coverage_table(wrong)


def test_tables_refuse_to_mix():
    x = GRID.sample(100, generator=seeded())
    with pytest.raises(ValueError, match="coverages: expected one set, number of samples and protocol"):
        coverage_table([coverage(x, GRID), coverage(x[:50], GRID)])
    with pytest.raises(ValueError, match="coverages: expected one set"):
        coverage_table([coverage(x, GRID), coverage(x, GRID, "fair")])


# ------------------------------------------------------------------------------------ determinism and what is accepted

def test_same_samples_same_numbers_and_no_outside_randomness():
    fresh = grid(side=4, spacing=1.5)
    x = fresh.sample(500, generator=seeded())
    state, other = torch.get_rng_state(), np.random.get_state()[1].copy()
    torch.manual_seed(1)
    first = coverage(x, fresh)
    first.interval("kl"), repr(first)
    torch.manual_seed(2)
    second = coverage(x.clone(), grid(side=4, spacing=1.5))
    assert torch.equal(torch.get_rng_state(), torch.manual_seed(2).get_state())
    torch.set_rng_state(state)
    assert first == second and repr(first) == repr(second) and first.floor == second.floor and hash(first) == hash(second)
    assert (np.random.get_state()[1] == other).all()


@pytest.fixture(scope="module")
def fresh() -> list[str]:
    """What a fresh process prints: which heavy packages the import draws in, then a table."""
    code = ("import modelab.evaluation.coverage, sys\n"
            "print([m for m in 'sklearn scipy matplotlib ipywidgets pandas seaborn'.split() if m in sys.modules])\n"
            "import torch; from modelab.data import mixtures as modes; from modelab.evaluation.coverage import coverage\n"
            "g = modes.grid(); x = g.sample(300, generator=torch.Generator().manual_seed(0))\n"
            "print(repr(coverage(x, g)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split("\n", 1)


def test_results_do_not_depend_on_what_was_asked_before(fresh):
    g = grid()
    x = g.sample(300, generator=seeded())
    coverage(x[:77], g, "fair"), coverage(x, g, "selfcond").interval("tv")
    assert repr(coverage(x, g)) + "\n" == fresh[1] and "grid: 25 modes" in fresh[1]


@given(st.integers(0, 2 ** 31))
@settings(max_examples=15, deadline=None)
def test_order_does_not_matter(seed):
    x = GRID.sample(400, generator=seeded(seed))
    a, b = coverage(x, GRID), coverage(x[torch.randperm(400, generator=seeded(seed))], GRID)
    assert torch.equal(a.tally, b.tally) and a.spread == pytest.approx(b.spread, rel=1e-9)
    assert (a.captured, a.kl, a.tv, a.high_quality) == (b.captured, b.kl, b.tv, b.high_quality)


def variants():
    x = (GRID.sample(300, generator=seeded()) * 64).round() / 64  # exact in half precision
    array = x.numpy()
    frozen = array.copy()
    frozen.flags.writeable = False
    return x, {"float64": x.double(), "float16": x.half(),
               "numpy": array, "numpy float64": array.astype(float), "reversed": array[::-1], "fortran": np.asfortranarray(array),
               "big endian": array.astype(">f4"), "read only": frozen, "list": x.tolist(), "gradient": x.clone().requires_grad_(),
               "strided": torch.stack([x, x], 1)[:, 0]}


@pytest.mark.parametrize("kind", list(variants()[1]))
def test_any_array_will_do(kind):
    x, other = variants()
    a, b = coverage(x, GRID), coverage(other[kind], GRID)
    assert a.numbers() == pytest.approx(b.numbers(), rel=1e-5) and torch.equal(a.tally, b.tally)


def test_integers_are_points_too():
    assert coverage(np.array([[0, 0], [2, 2], [-4, 4]]), GRID).captured == 3


@pytest.mark.parametrize("device", ["cpu"] + ["cuda"] * torch.cuda.is_available())
@pytest.mark.parametrize("where", ["samples", "set", "both"])
def test_devices(where, device):
    for given_modes in (grid(), stacked_digits()):
        x = given_modes.sample(2000, generator=seeded())
        there = x.to(device) if where != "set" else x
        moved = given_modes.to(device) if where != "samples" else given_modes
        a, b = coverage(x, given_modes), coverage(there, moved)
        assert a.captured == b.captured and a.kl == pytest.approx(b.kl, rel=1e-4) and a.floor.kl == pytest.approx(b.floor.kl, rel=.01)


def test_runs_are_scored_one_by_one():
    x = torch.stack([impostor(300, range(k), seed=k) for k in (3, 9, 25, 1, 2, 5)]).reshape(2, 3, 300, 2)
    many = coverages(x, GRID)
    assert [c.captured for c in many] == [3, 9, 25, 1, 2, 5] and isinstance(many, list)
    for c, samples in zip(many, x.flatten(0, 1)):
        assert c == coverage(samples, GRID) and c.floor is many[0].floor
    assert coverages(x[0, 0], GRID) == [coverage(x[0, 0], GRID)]


def test_coverage_is_frozen():
    c = coverage(GRID.centers, GRID)
    with pytest.raises(FrozenInstanceError):
        c.kl = 0.0


# -------------------------------------------------------------------------------------------- intervals and display

@pytest.mark.parametrize("name", list(MEASURES))
def test_intervals_hold_their_value_and_widen_with_confidence(name):
    c = coverage(impostor(700, list(range(22)) + [0] * 8), GRID)
    narrow, wide = c.interval(name, .5), c.interval(name, .99)
    assert wide.low <= narrow.low <= getattr(c, name) <= narrow.high <= wide.high and narrow.n == 700
    with pytest.raises(ValueError, match="confidence"):
        c.interval(name, 1.5)


def test_an_unknown_measure_is_refused():
    with pytest.raises(ValueError, match="name: unknown 'kll', did you mean 'kl'"):
        coverage(GRID.centers, GRID).interval("kll")


def test_rule_of_three_and_an_exact_share():
    c = coverage(impostor(3000, range(20)), GRID)
    seen = c.interval("captured")
    assert (seen.low, seen.high) == (20, pytest.approx(20 - math.log(.05)))
    exact = stats.binomtest(round(c.high_quality * 3000), 3000).proportion_ci(method="exact")
    assert c.interval("high_quality").low == pytest.approx(exact.low) and c.interval("high_quality").high == pytest.approx(exact.high)


@pytest.mark.parametrize("weights, n", [(np.ones(200), 500), (np.ones(200), 5000), (np.exp(-np.arange(200) / 20), 1000),
                                        (np.r_[np.ones(100), np.full(100, 1e-9)], 5000)])
def test_intervals_hold_the_expected_score(weights, n):
    """Of 100 generators 95 intervals should hold the expected score; a plain bootstrap of KL holds it in none of these."""
    even, p = line(200), weights / weights.sum()
    counts = np.random.default_rng(0).multinomial(n, p, size=400)
    scores = [coverage(even.centers[torch.from_numpy(np.repeat(np.arange(200), c))], even) for c in counts[:100]]
    shares = torch.from_numpy(counts / n)
    truth = {"kl": kl(shares, torch.full((200,), 1 / 200).double()).mean().item(), "captured": (counts > 0).sum(1).mean()}
    for name, value in truth.items():
        held = sum(i.low <= value <= i.high for i in (c.interval(name) for c in scores))
        assert held >= 85, (name, held)


def test_one_table_for_one_for_many_and_by_name():
    runs = coverages(torch.stack([impostor(500, range(k)) for k in (20, 25, 25)]), GRID)
    one, many, named = repr(coverage_table(runs[0])), repr(coverage_table(runs)), repr(coverage_table({"a<b": runs, "mine": runs[0]}))
    assert "score [≥ 95 %]" in one and "mean of 3 runs" in many and all(s in one and s in many for s in ("floor", "ceiling", "null"))
    assert "Not captured: 20, 21, 22, 23, 24" in one and "23.3 [" in many and "(2 of 3)" in many
    assert all(word in named for word in ("a<b", "mine", "floor", "null")) and "a&lt;b" in coverage_table({"a<b": runs})._repr_html_()
    assert repr(runs) == many and "<table>" in runs[0]._repr_html_() and "98.9 %" in one
    mixed = repr(coverage_table({"few": runs[0], "fair": coverage(GRID.centers, GRID, "fair")}))
    assert "floor" not in mixed and "fair" in mixed


def test_no_interval_of_a_table_leaves_the_possible_range():
    runs = coverages(torch.stack([impostor(500, range(k)) for k in (25, 25, 24)]), GRID)
    assert "[23.2, 25]" in repr(coverage_table(runs))  # Student's t would say 26.1
    sparse = coverages(torch.stack([impostor(500, range(k)) for k in (1, 1, 3)]), GRID)
    assert "-" not in repr(coverage_table(sparse)).replace("–", "").replace("e-", "")


@pytest.mark.parametrize("given_modes", [GRID, line(100)])
def test_draw(given_modes):
    from matplotlib.figure import Figure
    ax = Figure().subplots()
    c = coverage(given_modes.sample(1000, generator=seeded()), given_modes)
    plot_coverage(c, ax)
    assert ax.get_xlabel() and "%" in ax.get_ylabel() and f"{c.captured:g} of {c.n_modes:g}" in ax.get_title()
    bars = [b for b in ax.containers if b.get_label() == "generated"]
    heights = [p.get_height() for p in bars[0]] if bars else ax.lines[0].get_ydata()
    assert sum(float(h) for h in heights) == pytest.approx(100 * c.high_quality)


def test_import_stays_light(fresh):
    assert fresh[0] == "[]"
