"""modelab.methods.priors: the law of a middle against loops and closed forms, the fitted law against another solver, and the game."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize

from helpers import same_run, seeded
from modelab.core.seeding import randn
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import ring
from modelab.data.pictures import faces
from modelab.evaluation.interpolations import interpolations
from modelab.evaluation.protocols import kl
from modelab.methods.priors import (fit_prior, HistogramPrior, INTERPOLATION_PRIORS,
                                    midpoint_shares, NonParametricPrior, rescaled_lerp)
from modelab.networks.players import Networks
from modelab.networks.style import style_generator
from modelab.training.run import Run


def law(n, seed=0):
    p = torch.rand(n, generator=seeded(seed), dtype=torch.float64) + .01
    return p / p.sum()


def by_loop(p, odd="split"):
    out, n = torch.zeros_like(p), len(p)
    for i in range(n):
        for j in range(n):
            if odd == "split" or (i + j) % 2 == 0:
                out[(i + j) // 2] += p[i] * p[j] / 2
                out[(i + j + 1) // 2] += p[i] * p[j] / 2
    return out / out.sum()


# the law of a middle

@given(st.integers(1, 17), st.integers(0, 99), st.sampled_from(["split", "drop"]))
def test_middles_are_those_of_a_double_loop(n, seed, odd):
    p = law(n, seed)
    found = midpoint_shares(p, odd)
    assert torch.allclose(found, by_loop(p, odd), atol=1e-14) and found.sum().item() == pytest.approx(1, abs=1e-12)


@given(st.integers(2, 40), st.integers(0, 99))
def test_a_mirror_changes_nothing_and_rows_are_laws_of_their_own(n, seed):
    p = torch.stack([law(n, seed), law(n, seed + 1)])
    assert torch.allclose(midpoint_shares(p.flip(-1)), midpoint_shares(p).flip(-1), atol=1e-14)
    assert torch.allclose(midpoint_shares(p)[1], midpoint_shares(p[1]), atol=1e-15)
    assert torch.allclose(midpoint_shares(p.expand(3, 2, n))[2], midpoint_shares(p), atol=1e-15)


@pytest.mark.parametrize("n", (5, 32))
def test_the_variance_of_a_middle_is_half(n):
    p = law(n)
    x = torch.arange(n, dtype=torch.float64)
    q = torch.zeros(2 * n - 1, dtype=torch.float64)  # exact places of the middles, on half bins
    for i in range(n):
        q[i:i + n] += p[i] * p
    half = torch.arange(2 * n - 1, dtype=torch.float64) / 2

    def variance(w, at):
        return (w @ at.square() - (w @ at).square()).item()
    assert variance(q, half) == pytest.approx(variance(p, x) / 2)
    # on bins an odd sum is moved by half a bin to either side
    assert variance(midpoint_shares(p), x) == pytest.approx(variance(p, x) / 2 + q[1::2].sum().item() / 4)


def test_closed_forms():
    n = 4096
    x = (torch.arange(n, dtype=torch.float64) + .5) / n * 2 - 1
    uniform, normal = torch.full_like(x, 1 / n), (-(9 * x).square() / 2).exp()
    normal /= normal.sum()
    assert kl(uniform, midpoint_shares(uniform)).item() == pytest.approx(1 - math.log(2), abs=3e-4)
    assert kl(midpoint_shares(uniform), uniform).item() == pytest.approx(math.log(2) - .5, abs=3e-4)
    assert kl(normal, midpoint_shares(normal)).item() == pytest.approx((1 - math.log(2)) / 2, abs=1e-5)
    one = torch.zeros(9, dtype=torch.float64)
    one[4] = 1
    assert torch.allclose(midpoint_shares(one), one, atol=1e-15) and abs(HistogramPrior(one).divergence) < 1e-14
    coin = torch.tensor([.5] + [0.] * 9 + [.5], dtype=torch.float64)
    assert midpoint_shares(coin).count_nonzero() == 3 and kl(midpoint_shares(coin), coin).item() == math.inf


def test_a_rare_bin_has_a_middle_though_a_transform_would_round_it_away():
    p = torch.full((64,), 1e-12, dtype=torch.float64)
    p[0] = 1 - p[1:].sum()
    assert (midpoint_shares(p) >= p.square()).all() and math.isfinite(kl(p, midpoint_shares(p)).item())


@pytest.mark.parametrize("p", [torch.tensor([.5, .6]), torch.tensor([1.5, -.5]), torch.tensor([1, 0]), torch.tensor(1.),
                               torch.empty(0), torch.tensor([.5, math.nan, .5]), [.5, .5], None])
def test_what_is_no_law_is_refused(p):
    with pytest.raises((TypeError, ValueError), match=r"\bp\b"):
        midpoint_shares(p)
    with pytest.raises((TypeError, ValueError), match=r"\bp\b"):
        HistogramPrior(p)


def test_other_bad_arguments():
    with pytest.raises(ValueError, match="odd.*split.*drop|odd"):
        midpoint_shares(law(4), "even")
    with pytest.raises(ValueError, match=r"^p: expected shape \(bins\), got \(2, 4\)"):
        HistogramPrior(law(4).expand(2, 4))
    for wrong in (dict(spread=0.), dict(spread=-1.), dict(spread=math.nan), dict(spread=1.), dict(spread=.61), dict(bins=7), dict(bins=2),
                  dict(bins=16.5), dict(spread=.1, bins=16), dict(odd="none")):
        with pytest.raises((TypeError, ValueError), match="|".join(wrong)):
            fit_prior(**wrong)


# the fitted law

X32 = HistogramPrior(torch.full((32,), 1 / 32, dtype=torch.float64)).centres


@pytest.mark.parametrize("bins", [31, 33, 129])
def test_an_odd_number_of_bins_has_one_in_the_middle(bins):
    law, near = fit_prior(.25, bins=bins), fit_prior(.25, bins=bins + 1)
    assert len(law.p) == bins and torch.equal(law.p, law.p.flip(0)) and law.spread == pytest.approx(.25, abs=1e-4)
    assert law.divergence == pytest.approx(near.divergence, rel=.15)


def by_slsqp(start, shares, least):
    """Least divergence of laws `shares(v)` on 32 bins whose variance is that of the spread or more; SLSQP keeps the condition itself."""
    def of(v, value):
        v = torch.tensor(v, requires_grad=True)
        result = value(shares(v).softmax(0))
        return result.item(), torch.autograd.grad(result, v)[0].numpy()

    def room(p):
        return p @ X32.square() - (p @ X32).square() + 1 / (3 * 32 ** 2) - least ** 2
    found = minimize(of, start.numpy(), (lambda p: kl(p, midpoint_shares(p)),), jac=True, method="SLSQP", options={"maxiter": 500, "ftol": 1e-10},
                     constraints={"type": "ineq", "fun": lambda v: of(v, room)[0], "jac": lambda v: of(v, room)[1]})
    assert found.success and of(found.x, room)[0] > -1e-9
    return found.fun


@pytest.mark.parametrize("seed", range(3))
def test_another_solver_finds_the_same_symmetric_law(seed):
    start = .3 * torch.randn(16, generator=seeded(seed), dtype=torch.float64)
    other = by_slsqp(start, lambda v: torch.cat([v.flip(0), v]), .25)
    assert fit_prior(.25, bins=32).divergence == pytest.approx(other, rel=1e-4)


def test_a_lopsided_law_is_nearer_still_as_the_chapter_says():
    p = torch.tensor([0, 4229, 4173, 614, 180, 158, 81, 24, 37, 125, 33, 10, 8, 10, 3, 3, 114, 55, 7, 2, 5, 1, 1, 3, 7, 1, 0, 1, 1, 1, 2, 110]).double()
    found = HistogramPrior(p / p.sum())
    mean = found.p @ X32
    about_mean = (found.p @ (X32 - mean).square() + 1 / (3 * 32 ** 2)).sqrt()
    assert about_mean >= .25 and found.spread > .8 and found.divergence == pytest.approx(.058, abs=.0005)
    assert fit_prior(.25, bins=32).divergence == pytest.approx(.089, abs=.001)


def test_the_fitted_law_is_symmetric_as_wide_as_asked_and_the_same_each_time():
    a, b = fit_prior(.1, 256), fit_prior(.1, 256)
    assert torch.equal(a.p, b.p) and a.multiplier == b.multiplier and torch.equal(a.p, a.p.flip(0)) and (a.p > 0).all()
    assert a.spread == pytest.approx(.1, abs=2e-5) and a.p.sum().item() == pytest.approx(1, abs=1e-12)


def test_less_spread_less_divergence_and_the_multiplier_is_the_slope():
    laws = [fit_prior(s, 256) for s in (.04, .08, .16, .32)]
    nats, multipliers = [h.divergence for h in laws], [h.multiplier for h in laws]
    assert nats == sorted(nats) and multipliers == sorted(multipliers) and nats[-1] < (1 - math.log(2)) / 2
    near = fit_prior(.1, 256), fit_prior(.102, 256)
    slope = (near[1].divergence - near[0].divergence) / (near[1].spread - near[0].spread)
    assert slope == pytest.approx((near[0].multiplier + near[1].multiplier) / 2, rel=.02)


@pytest.mark.parametrize("spread, bins", [(.6, 64), (.5, 9), (.58, 8), (.6, 129)])
def test_a_wide_law_has_the_spread_that_was_asked_for_or_is_refused(spread, bins):
    try:
        assert fit_prior(spread, bins).spread == pytest.approx(spread, abs=2e-3)
    except ValueError as refusal:
        assert str(refusal).startswith(f"spread: on {bins} bins the solver found")


def test_a_solver_that_misses_the_spread_says_so(monkeypatch):
    import scipy.optimize
    monkeypatch.setattr(scipy.optimize, "minimize", lambda f, x, **kw: scipy.optimize.OptimizeResult(x=x))
    with pytest.raises(ValueError, match="^spread: on 64 bins the solver found 0.577 in place of 0.3"):
        fit_prior(.3, 64)  # the uniform law, where the search starts


@pytest.mark.parametrize("quiet", (torch.no_grad, torch.inference_mode))
def test_it_is_fitted_also_where_nobody_wants_gradients(quiet):
    with quiet():
        inside = fit_prior(.2, 64)
    assert torch.equal(inside.p, fit_prior(.2, 64).p) and not inside.p.is_inference()


def test_known_value_at_the_paper_s_floor():
    """0.0064 for split and 0.0060 for dropped odd sums at 27.7 of 1,024 bins, by an unrelated solver."""
    for odd, nats in (("split", .0064), ("drop", .0060)):
        p = fit_prior(.054, odd=odd).p
        assert kl(p, midpoint_shares(p, odd)).item() == pytest.approx(nats, abs=4e-4)


# draws

def test_draws_follow_the_law():
    h = HistogramPrior(law(7))
    z = h.sample(200_000, generator=seeded()).double()
    edges = torch.cat([torch.zeros(1, dtype=torch.float64), h.p.cumsum(0)])

    def below(v):
        place = (v + 1) / 2 * 7
        k = np.clip(place.astype(int), 0, 6)
        return edges[k].numpy() + (place - k) * h.p[k].numpy()
    assert stats.kstest(z.numpy(), below).pvalue > 1e-3
    assert z.abs().max() <= 1 and z.square().mean().sqrt().item() == pytest.approx(h.spread, rel=.01)


def test_a_bin_without_mass_is_never_drawn_and_middles_of_draws_are_the_midpoint():
    p = torch.tensor([0., .5, 0., .5, 0., 0.], dtype=torch.float64)
    z = HistogramPrior(p).sample(2, 100_000, generator=seeded())
    assert set(((z + 1) * 3).long().flatten().tolist()) == {1, 3}
    seen = torch.bincount(((z.mean(0) + 1) * 3).long(), minlength=6).double() / 100_000
    assert torch.allclose(seen, midpoint_shares(p), atol=.006)


def test_each_run_draws_for_itself():
    h = fit_prior(.1, 64)
    both = h.sample(2, 5, 3, generator=[seeded(0), seeded(1)])
    assert torch.equal(both[1:], h.sample(1, 5, 3, generator=[seeded(1)])) and not torch.equal(both[0], both[1])
    assert both.dtype == torch.float32


# the path

@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 5, 6)])
def test_rescaled_lerp_by_hand(shape):
    a, b = torch.randn(2, *shape, generator=seeded(), dtype=torch.float64)
    assert torch.equal(rescaled_lerp(a, b, 0.), a) and torch.equal(rescaled_lerp(a, b, 1.), b)
    assert torch.allclose(rescaled_lerp(a, b, .5), (a + b) / 2 ** .5) and rescaled_lerp(a, b, .5).dtype == torch.float64
    t = torch.rand(*shape[:-1], 1, generator=seeded(), dtype=torch.float64)
    assert torch.allclose(rescaled_lerp(a, b, t), ((1 - t) * a + t * b) / ((1 - t) ** 2 + t ** 2).sqrt())


def test_it_keeps_the_normal_law_and_a_straight_line_does_not():
    a, b = torch.randn(2, 20_000, 3, generator=seeded())
    for t in (.2, .5, .9):
        assert stats.kstest(rescaled_lerp(a, b, t).flatten(), "norm").pvalue > 1e-3
        assert stats.kstest(torch.lerp(a, b, t).flatten(), "norm").pvalue < 1e-9


def test_bad_paths():
    a = torch.randn(4, 3)
    for name, arguments in (("b", (a, a[:2], .5)), ("a", (a.int(), a, .5)), ("t", (a, a, torch.rand(3))), ("t", (a, a, math.nan)),
                            ("t", (a, a, torch.ones(4, 1, dtype=torch.bool))), ("a", (None, a, .5)), ("b", (a, a.double(), .5))):
        with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
            rescaled_lerp(*arguments)


def test_the_audit_walks_along_it():
    a, b = torch.randn(2, 6, 2, generator=seeded())
    found = interpolations(lambda z: z, a, b, torch.randn(200, 2, generator=seeded(1)), path=rescaled_lerp, steps=5)
    assert found.length.shape == (6,) and (found.length >= (a - b).norm(dim=1) - 1e-5).all()


# the game

@pytest.mark.parametrize("spread", (.025, .054, .5))
@pytest.mark.parametrize("prior", INTERPOLATION_PRIORS)
def test_every_prior_has_unit_variance(prior, spread):
    z = NonParametricPrior(prior=prior, spread=spread).noise(400_000, generator=seeded())
    assert z.mean().abs() < .01 and z.std().item() == pytest.approx(1, abs=.02)


def test_normal_is_the_engine_s_own():
    assert torch.equal(NonParametricPrior(prior="normal").noise(5, 3, generator=seeded()), randn(5, 3, generator=seeded()))


@pytest.mark.parametrize("modes", (ring, stacked_digits))
def test_it_plays_on_points_and_images_and_resumes_to_the_bit(modes, tmp_path):
    def start():
        return Run(NonParametricPrior(networks=Networks(width=16, latent=4)), modes(), runs=2, batch=16, average=.9, device="cpu")
    straight, broken = start().step(6), start().step(3)
    again = Run.load(broken.save(tmp_path / "half.safetensors"), device="cpu").step(3)
    assert torch.equal(straight.sample(9), again.sample(9)) and straight.sample(9).shape == (2, 9, *modes().event)
    assert (again.game.prior, again.game.spread) == ("nonparametric", .054) and torch.isfinite(straight.losses["G"]).all()


@pytest.mark.parametrize("data", [digits, stacked_digits, faces])
def test_plays_on_pictures_with_convolutions(data, tmp_path):
    def fresh(runs=2, seed=0):
        game = NonParametricPrior(networks=Networks("conv", width=4, latent=3))
        return Run(game, data(), runs=runs, seed=seed, batch=4, device="cpu")
    run = fresh()
    before = {k: v.clone() for k, v in run.players.state().items()}
    run.step(1).save(tmp_path / "x")
    assert {k.split("/")[1] for k, v in run.players.state().items() if k in before and not torch.equal(v, before[k])} == {"G", "D"}
    assert same_run(Run.load(tmp_path / "x", device="cpu").step(2), run := fresh().step(3))
    assert run.sample(3).shape == (2, 3, *run.modes.event) and run.losses["D"].isfinite().all()
    alone = fresh(runs=1, seed=1).step(3)  # a run beside another is the run alone
    assert torch.allclose(alone.sample(3)[0], run.sample(3)[1], atol=1e-4)


@pytest.mark.parametrize("prior", INTERPOLATION_PRIORS)
def test_plays_with_a_style_generator_and_resumes_to_the_bit(prior, tmp_path):
    def fresh(runs=2, seed=0):
        game = NonParametricPrior(prior=prior, networks=Networks("style", width=2, depth=1, latent=5))
        return Run(game, digits(), runs=runs, seed=seed, batch=6, average=.9, device="cpu")
    run = fresh().step(1)
    run.save(tmp_path / "x")
    assert same_run(Run.load(tmp_path / "x", device="cpu").step(3), run := fresh().step(4))
    assert run.sample(3).shape == (2, 3, 1, 8, 8) and all(loss.isfinite().all() for loss in run.losses.values())
    assert torch.allclose(fresh(runs=1, seed=1).step(4).sample(3)[0], run.sample(3)[1], atol=1e-4)  # a run beside another is the run alone
    drawn = run.noise(20_000, run.generators("start"))
    assert drawn.shape == (2, 20_000, 5) and drawn.std().item() == pytest.approx(1, abs=.05)


def test_a_style_generator_does_not_see_how_long_a_latent_is():
    G = Networks("style", width=2, depth=1).generator(6, (1, 8, 8), generator=seeded()).double()
    a, b = torch.randn(2, 40, 6, generator=seeded(1), dtype=torch.float64)
    assert torch.allclose(G((a + b) / 2), G(rescaled_lerp(a, b, .5)), atol=1e-6) and not torch.allclose(G(a), G(b), atol=1e-3)


@pytest.mark.parametrize("prior", INTERPOLATION_PRIORS)
def test_mixed_styles_are_refused_but_for_the_normal_prior_whose_second_style_they_are(prior):
    def run(G=None, mixing=0.):
        return Run(NonParametricPrior(prior=prior, G=G, networks=Networks("style", width=2, latent=4, mixing=mixing)), digits(), batch=4, device="cpu")
    run()
    for kw in (dict(mixing=.9), dict(G=lambda: style_generator(4, (1, 8, 8), 2, 1, mixing=.9))):
        if prior == "normal":
            assert run(**kw).step(1).losses["G"].isfinite().all()
            continue
        with pytest.raises(ValueError, match="^G: expected mixing=0, since the second style of a picture is normal, not of this prior, got 0.9"):
            run(**kw)


def test_settings_that_cannot_be():
    for wrong in (dict(prior="laplace"), dict(spread=0.), dict(spread=.6), dict(spread=math.nan), dict(weight=-1.)):
        with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
            NonParametricPrior(**wrong)


def test_the_claim_in_small():
    """Lengths of middles: what shortens a normal latent and hardly a typical shaped one is what breaks and saves the recall."""
    normal, shaped = (NonParametricPrior(prior=p).noise(2, 4000, 32, generator=seeded()) for p in ("normal", "nonparametric"))
    kept = [z.mean(0).norm(dim=1).median() / z[0].norm(dim=1).median() for z in (normal, shaped)]
    assert kept[0].item() == pytest.approx(.5 ** .5, abs=.01) and kept[1] > .84
