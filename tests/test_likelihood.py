"""modelab.methods.likelihood: Sinkhorn against closed forms and programs, the bound against exact likelihoods, the game, and the benchmark on pictures."""

import math
import os
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, linprog
from sklearn.metrics import roc_auc_score
from torch import nn

from helpers import normal, plays_and_resumes, same_players
from modelab.core.registry import make
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import ring
from modelab.lab.panel import Lab
from modelab.methods.likelihood import (auroc, Entropic, entropic_loss, explicit_log_likelihood,
                                        sinkhorn, surrogate_log_likelihood)
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import likelihood_pictures  # noqa: E402


def squares(x, y):
    """Squared distances by differences."""
    return (x.flatten(1)[:, None] - y.flatten(1)).square().sum(-1)


def linear_model(A, entropy):
    """The explicit model of a linear generator."""
    return torch.distributions.MultivariateNormal(A.new_zeros(len(A)), A @ A.T + entropy / 2 * torch.eye(len(A), dtype=A.dtype))


# the plan

@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 4), st.floats(.05, 20), st.integers(0, 99))
def test_plan_has_its_form_and_its_marginals(n, m, d, entropy, seed):
    x, y = normal(n, d, seed=seed), normal(m, d, seed=seed + 1)
    found = sinkhorn(x, y, entropy, sweeps=300, tolerance=0)
    assert torch.allclose(found.cost, squares(x, y), atol=1e-12)
    v = (found.f[:, None] + found.g - squares(x, y)) / entropy
    assert torch.allclose(found.plan, v.exp() / (n * m), atol=1e-12)
    assert torch.allclose(found.plan.sum(0), torch.full((m,), 1 / m, dtype=torch.float64), atol=1e-13)
    assert 0 <= found.error <= 1 and torch.isclose(found.error, (found.plan.sum(1) - 1 / n).abs().sum() / 2, atol=1e-14)


def test_more_sweeps_climb_the_dual_to_the_primal():
    x, y, entropy = normal(12, 2), normal(9, 2, seed=1), .3
    found = [sinkhorn(x, y, entropy, sweeps=n, tolerance=0) for n in (1, 3, 10, 3000)]
    values = [c.value.item() for c in found]
    assert values == sorted(values) and found[-1].error < 1e-10
    plan = found[-1].plan
    primal = (plan * squares(x, y)).sum() + entropy * (plan * (plan * plan.numel()).log()).sum()
    assert math.isclose(primal.item(), values[-1], rel_tol=1e-10)
    other = .99 * plan + .01 / 108  # the same marginals, another plan
    assert (other * squares(x, y)).sum() + entropy * (other * (other * 108).log()).sum() > primal


@pytest.mark.parametrize("entropy", [.01, .3, 1., 40.])
def test_two_points_in_closed_form(entropy):
    ends = torch.tensor([0., 1.], dtype=torch.float64)
    plan = sinkhorn(ends, ends, entropy).plan
    assert plan[0, 0].item() == pytest.approx(.5 / (1 + math.exp(-1 / entropy)), abs=1e-13)


@pytest.mark.parametrize("sweeps", [1, 20, 21, 40, 333])
@pytest.mark.parametrize("entropy", [.02, .3, 5.])
def test_sweeps_on_the_plan_are_sweeps_on_logarithms(entropy, sweeps):
    x, y = normal(13, 2), normal(17, 2, seed=1) * 2 + 3
    cost, g = squares(x, y), torch.zeros(17, dtype=torch.float64)
    for _ in range(sweeps):
        f = -entropy * (((g - cost) / entropy).logsumexp(1) - math.log(17))
        g = -entropy * (((f[:, None] - cost) / entropy).logsumexp(0) - math.log(13))
    found = sinkhorn(x, y, entropy, sweeps=sweeps, tolerance=0)
    assert torch.allclose(found.f, f, atol=1e-8) and torch.allclose(found.g, g, atol=1e-8)


def test_it_ends_where_the_rows_are_right_and_warns_where_they_are_not():
    x, y = normal(60, 2), normal(50, 2, seed=1)
    for tolerance in (.1, 1e-3, 1e-6):
        assert sinkhorn(x, y, .05, tolerance=tolerance).error <= tolerance
    assert sinkhorn(x, y, .05).error > sinkhorn(x, y, .05, tolerance=1e-8).error
    with pytest.warns(RuntimeWarning, match=r"^sinkhorn: the rows' error is 0\.\d+ after 30 sweeps, above the tolerance 0\.001") as told:
        assert sinkhorn(x, y, .01, sweeps=30).error > 1e-3
    assert told[0].filename == __file__


def test_each_run_ends_by_its_own_error():
    x, y = normal(2, 30, 2), normal(2, 30, 2, seed=1)
    y[0] *= .1  # far from the data: more sweeps
    both = sinkhorn(x, y, .1, lead=2)
    for r in range(2):
        alone = sinkhorn(x[r], y[r], .1)
        assert torch.allclose(both.f[r], alone.f, atol=1e-12) and torch.allclose(both.g[r], alone.g, atol=1e-12)
    assert (both.error <= 1e-3).all()


def test_small_entropy_is_a_linear_program():
    x, y = normal(6, 3), normal(8, 3, seed=1)
    cost = squares(x, y)
    sums = torch.cat([torch.eye(6).repeat_interleave(8, 1), torch.eye(8).repeat(1, 6)]).numpy()
    exact = linprog(cost.flatten().numpy(), A_eq=sums, b_eq=[1 / 6] * 6 + [1 / 8] * 8, method="highs").fun
    found = sinkhorn(x, y, .01, sweeps=20_000, tolerance=0)
    assert exact <= found.value.item() + 1e-9 <= exact + .01 * math.log(48) + 1e-9
    assert (found.plan * cost).sum().item() == pytest.approx(exact, abs=.01)


def test_equal_batches_are_an_assignment():
    x, y = normal(20, 2), normal(20, 2, seed=1)
    row, column = linear_sum_assignment(squares(x, y))
    plan = sinkhorn(x, y, .005, sweeps=20_000, tolerance=0).plan
    assert (plan.argmax(1) == torch.as_tensor(column)).double().mean() > .8
    assert (plan * squares(x, y)).sum().item() == pytest.approx(squares(x, y)[row, column].mean().item(), rel=.02)


def test_normal_laws_in_closed_form():
    z = torch.special.ndtri((torch.arange(500, dtype=torch.float64) + .5) / 500)
    a, b, entropy = 1.2, .7, 1.5
    kappa = math.sqrt((a * b) ** 2 + entropy ** 2 / 16) - entropy / 4
    value = a * a + b * b - 2 * kappa - entropy / 2 * math.log(1 - (kappa / (a * b)) ** 2)
    found = sinkhorn(a * z, b * z, entropy)
    assert found.value.item() == pytest.approx(value, rel=.01)
    assert (found.plan * torch.outer(a * z, b * z)).sum().item() == pytest.approx(kappa, rel=.01)


@pytest.mark.parametrize("dtype, entropy", [(torch.float32, 1e-3), (torch.float64, 1e-8)])
def test_nothing_overflows(dtype, entropy):
    x, y = normal(30, 2).to(dtype), normal(40, 2, seed=1).to(dtype) * 5 + 30
    assert not (-squares(x, y) / entropy).exp().any()  # what the textbook form divides by
    found = sinkhorn(x, y, entropy, sweeps=100, tolerance=0)
    assert found.plan.isfinite().all() and found.plan.sum().item() == pytest.approx(1, abs=1e-2)
    y.requires_grad_()
    slope, = torch.autograd.grad(entropic_loss(x, y, entropy), y)
    assert slope.isfinite().all() and slope.abs().sum() > 0


# the loss

def test_loss_has_the_slope_of_the_whole_iteration():
    x, y, entropy = normal(8, 3), normal(9, 3, seed=1).requires_grad_(), .4
    cost, g = squares(x, y), torch.zeros(9, dtype=torch.float64)
    for _ in range(2000):
        f = -entropy * (((g - cost) / entropy).logsumexp(1) - math.log(9))
        g = -entropy * (((f[:, None] - cost) / entropy).logsumexp(0) - math.log(8))
    long_way = torch.autograd.grad(f.mean() + g.mean(), y)[0]
    loss = entropic_loss(x, y, entropy, sweeps=2000)
    assert torch.allclose(loss, f.mean() + g.mean(), atol=1e-12)
    assert torch.allclose(torch.autograd.grad(loss, y)[0], long_way, atol=1e-10)


def test_loss_holds_the_plan_still_however_few_the_sweeps():
    x, y = normal(8, 3), normal(9, 3, seed=1).requires_grad_()
    plan = sinkhorn(x, y.detach(), .4, sweeps=2, tolerance=0).plan
    by_hand = 2 * (plan.sum(0)[:, None] * y - plan.T @ x)
    assert torch.allclose(torch.autograd.grad(entropic_loss(x, y, .4, sweeps=2), y)[0], by_hand, atol=1e-12)


def test_the_data_may_learn_too_and_nobody_is_changed():
    x, y = normal(5, 2).requires_grad_(), normal(6, 2, seed=1).requires_grad_()
    kept = x.detach().clone(), y.detach().clone()
    entropic_loss(x, y).backward()
    assert x.grad.abs().sum() > 0 and y.grad.abs().sum() > 0
    assert torch.equal(x.detach(), kept[0]) and torch.equal(y.detach(), kept[1])


def test_what_is_not_finite_goes_through_the_loss_and_stops_at_the_judges():
    x, y = normal(5, 2), normal(6, 2, seed=1)
    y[3, 1] = math.nan
    assert entropic_loss(x, y).isnan()
    for call in (lambda: sinkhorn(x, y), lambda: explicit_log_likelihood(x, y), lambda: explicit_log_likelihood(y, x),
                 lambda: surrogate_log_likelihood(x, y, normal(6))):
        with pytest.raises(ValueError, match=r"expected finite numbers"):
            call()


# the likelihood

def test_explicit_likelihood_of_one_sample_is_the_noise():
    x, made = normal(7, 3), normal(1, 3, seed=1)
    noise = torch.distributions.Normal(made[0], math.sqrt(.35))
    assert torch.allclose(explicit_log_likelihood(x, made, .7), noise.log_prob(x).sum(-1), atol=1e-12)


def test_explicit_likelihood_integrates_to_one():
    side = torch.linspace(-9, 9, 400, dtype=torch.float64)
    points = torch.cartesian_prod(side, side)
    total = explicit_log_likelihood(points, normal(20, 2), .4).exp().sum() * (side[1] - side[0]) ** 2
    assert total.item() == pytest.approx(1, abs=1e-9)


def test_linear_generator_in_closed_form():
    A, z = normal(4, 2), normal(200_000, 2, seed=1)
    x = normal(40, 2, seed=2) @ A.T + .5 * normal(40, 4, seed=3)
    exact, found = linear_model(A, .5).log_prob(x), explicit_log_likelihood(x, z @ A.T, .5)
    assert (exact - found).abs().mean() < .03
    few = torch.stack([explicit_log_likelihood(x, part @ A.T, .5) for part in z[:20_000].split(100)]).mean(0)
    assert few.mean() < exact.mean() - .1  # Jensen: from below


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.floats(.05, 5), st.floats(0, 9), st.integers(0, 99))
def test_the_bound_holds_for_every_potential(n, m, d, entropy, size, seed):
    x, made, potential = normal(n, d, seed=seed), normal(m, d, seed=seed + 1), size * normal(m, seed=seed + 2)
    top, bound = explicit_log_likelihood(x, made, entropy), surrogate_log_likelihood(x, made, potential, entropy)
    assert (bound <= top + 1e-11).all()
    log_w = ((potential - squares(x, made)) / entropy).log_softmax(1)
    plain = (log_w.exp() * (-squares(x, made) / entropy - log_w)).sum(1) - math.log(m) - d / 2 * math.log(math.pi * entropy)
    assert torch.allclose(bound, plain, atol=1e-9)


def test_equality_without_a_second_potential_and_no_care_for_a_constant():
    x, made, potential = normal(6, 3), normal(8, 3, seed=1), normal(8, seed=2)
    top = explicit_log_likelihood(x, made, .2)
    for constant in (0., 5., -1e4):
        assert torch.allclose(surrogate_log_likelihood(x, made, torch.full((8,), constant).double(), .2), top, atol=1e-12)
    bound = surrogate_log_likelihood(x, made, potential, .2)
    assert torch.allclose(surrogate_log_likelihood(x, made, potential + 3, .2), bound, atol=1e-12) and (bound < top).any()


@pytest.mark.parametrize("shape", [(3,), (1, 4, 4), ()])
def test_the_loss_is_the_mean_bound(shape):
    x, made, entropy = normal(9, *shape), normal(11, *shape, seed=1), 1.5
    coupling, d = sinkhorn(x, made, entropy, sweeps=5000, tolerance=0), math.prod(shape)
    mean = surrogate_log_likelihood(x, made, coupling.g, entropy).mean()
    assert torch.isclose(mean, -coupling.value / entropy - d / 2 * math.log(math.pi * entropy), atol=1e-9)
    assert torch.isclose(entropic_loss(x, made, entropy, sweeps=5000), coupling.value, atol=1e-12)


def test_the_prior_counts_once():
    """A known evaluator draws latents from their prior and weights them with it again: lower, for no reason."""
    A, z = normal(4, 3), normal(5000, 3, seed=1)
    x = normal(30, 4, seed=2)
    log_w = (-squares(x, z @ A.T) / .5 - z.square().sum(1) / 2).log_softmax(1)
    twice = (log_w.exp() * (-squares(x, z @ A.T) / .5 - log_w)).sum(1) - math.log(5000) - 2 * math.log(math.pi * .5)
    assert (twice < explicit_log_likelihood(x, z @ A.T, .5)).all()


def test_scores_of_several_prices_can_be_compared():
    """With all constants the model that made the data wins; without them the widest noise does."""
    A, z = normal(3, 2), normal(20_000, 2, seed=1)
    x = normal(300, 2, seed=2) @ A.T + math.sqrt(.1) * normal(300, 3, seed=3)
    scores = {entropy: explicit_log_likelihood(x, z @ A.T, entropy).mean() for entropy in (.05, .2, 1., 5.)}
    assert max(scores, key=scores.get) == .2


def test_likelihoods_have_derivatives():
    x, made, potential = normal(3, 2).requires_grad_(), normal(4, 2, seed=1).requires_grad_(), normal(4, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: explicit_log_likelihood(x, y, .8), (x, made))
    assert torch.autograd.gradcheck(lambda x, y, v: surrogate_log_likelihood(x, y, v, .8), (x, made, potential))


def test_parts_are_the_whole():
    x, made, potential = normal(2500, 2), normal(2000, 2, seed=1), normal(2000, seed=2)  # more than one part
    whole = surrogate_log_likelihood(x, made, potential, .3)
    assert torch.allclose(whole[2400:], surrogate_log_likelihood(x[2400:], made, potential, .3), atol=1e-11)


# shapes, types, bad input

def test_runs_are_slices():
    x, y, potential = normal(3, 5, 1, 2, 2), normal(3, 7, 1, 2, 2, seed=1), normal(3, 7, seed=2)
    together = (entropic_loss(x, y, .4, lead=2), sinkhorn(x, y, .4, lead=2).plan, explicit_log_likelihood(x, y, .4, lead=2),
                surrogate_log_likelihood(x, y, potential, .4, lead=2))
    assert [tuple(v.shape) for v in together] == [(3,), (3, 5, 7), (3, 5), (3, 5)]
    for r in range(3):
        alone = (entropic_loss(x[r], y[r], .4), sinkhorn(x[r], y[r], .4).plan, explicit_log_likelihood(x[r], y[r], .4),
                 surrogate_log_likelihood(x[r], y[r], potential[r], .4))
        assert all(torch.allclose(a, t[r], atol=1e-12) for a, t in zip(alone, together))
    nested = entropic_loss(x[None], y[None], .4, lead=3)
    assert nested.shape == (1, 3) and torch.allclose(nested[0], together[0])


@pytest.mark.parametrize("dtype, back", [(torch.float32, torch.float32), (torch.float64, torch.float64), (torch.float16, torch.float32)])
def test_types_are_kept(dtype, back):
    x, y = normal(5, 2).to(dtype), normal(6, 2, seed=1).to(dtype)
    found = sinkhorn(x, y)
    assert {v.dtype for v in (found.plan, found.g, found.value, entropic_loss(x, y), explicit_log_likelihood(x, y),
                              surrogate_log_likelihood(x, y, found.g))} == {back}


def test_same_input_same_bits_and_no_random_number_is_drawn():
    x, y = normal(5, 2), normal(6, 2, seed=1)
    before = torch.random.get_rng_state()
    assert torch.equal(sinkhorn(x, y).plan, sinkhorn(x, y).plan) and torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("change, message", [
    ({"entropy": 0}, "entropy: expected a finite number > .*, got 0"), ({"entropy": -1.}, "entropy"), ({"entropy": math.nan}, "entropy"),
    ({"entropy": "1"}, "entropy"), ({"entropy": 1e-60}, "entropy: expected a finite number > 1.2e-38"), ({"sweeps": 0}, "sweeps"),
    ({"sweeps": 2.5}, "sweeps"), ({"lead": 0}, "lead"), ({"lead": 2}, "y: .* that fits lead=2 and x"), ({"lead": 3}, "x: .* that fits lead=3"),
    ({"y": torch.zeros(4, 3)}, r"y: expected shape \(\*runs, m, \*event\) that fits lead=1 and x, got \(4, 3\)"), ({"y": torch.zeros(4, 2, 1)}, "y: "),
    ({"entropy": 1e39}, "entropy"), ({"y": torch.zeros(4, 2, device="meta")}, "x, y: expected one device"),
    ({"y": torch.zeros(0, 2)}, "y: .*at least one example"), ({"x": torch.zeros(0, 2)}, "x"),
    ({"x": torch.zeros(5, 2, dtype=torch.int64)}, "x: .*int64"), ({"x": [[0., 0.]]}, "x: .*list"),
    ({"y": torch.zeros(4, 2, dtype=torch.float64)}, "x, y: expected one type"),
])
@pytest.mark.parametrize("call", [sinkhorn, entropic_loss])
def test_bad_input_is_refused(call, change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(**{"x": torch.zeros(5, 2), "y": torch.zeros(4, 2)} | change)


@pytest.mark.parametrize("change, message", [
    ({"potential": torch.zeros(5)}, r"potential: expected shape \(\*runs, m\) that fits .*made, got \(5,\)"), ({"potential": torch.zeros(1, 4)}, "potential"),
    ({"potential": torch.full((4,), math.nan)}, "potential: expected finite"), ({"potential": [0.] * 4}, "potential"),
    ({"entropy": 0.}, "entropy"), ({"made": torch.zeros(4, 3)}, "made: .* that fits lead=1 and x"), ({"made": torch.zeros(0, 2)}, "made"),
    ({"x": torch.full((5, 2), 1e30)}, "x, made, entropy: .*float32"), ({"lead": 2}, "made: .* that fits lead=2 and x"), ({"entropy": 1e-37}, "entropy"),
])
def test_bad_judgements_are_refused(change, message):
    good = {"x": torch.ones(5, 2), "made": torch.zeros(4, 2), "potential": torch.zeros(4)}
    surrogate_log_likelihood(**good)
    with pytest.raises((ValueError, TypeError), match=message):
        surrogate_log_likelihood(**good | change)


# the game

def test_a_run_resumes_as_if_uninterrupted(tmp_path):
    def fresh():
        return Run(Entropic(entropy=.3, sweeps=3, networks=Networks(width=8)), digits(), runs=2, batch=8, average=.9, device="cpu")
    whole, half = fresh().step(6), fresh().step(3)
    resumed = Run.load(half.save(tmp_path / "half.safetensors"), device="cpu").step(3)
    assert (resumed.game.entropy, resumed.game.sweeps, resumed.words) == (.3, 3, ["G"])
    assert same_players(whole, resumed)


def test_seed_r_alone_is_run_r_of_many():
    many = Run(Entropic(networks=Networks(width=8)), ring(), runs=3, batch=8, device="cpu").step(3)
    one = Run(Entropic(networks=Networks(width=8)), ring(), runs=1, seed=2, batch=8, device="cpu").step(3)
    assert torch.allclose(many.sample(4)[2], one.sample(4)[0], atol=1e-5)


def test_the_game_is_known_by_name_and_refuses_odd_settings():
    assert isinstance(make("game", "entropic"), Entropic)
    for bad in ({"entropy": 0.}, {"entropy": math.inf}, {"sweeps": 0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Entropic(**bad)


def test_your_own_generator_on_pictures_and_in_bf16():
    def my_generator():
        return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))
    run = Run(Entropic(G=my_generator, entropy=1.), digits(), runs=2, batch=4, device="cpu", precision="bf16").step(2)
    assert run.sample(3).shape == (2, 3, 1, 8, 8) and run.losses["G"].isfinite().all()


@pytest.mark.parametrize("data", [digits, stacked_digits])
def test_it_plays_with_a_convolutional_generator_and_resumes(data, tmp_path):
    plays_and_resumes(lambda: Entropic(entropy=1., networks=Networks("conv", width=2)), data, tmp_path, player="G")


def test_the_lab_plays_it_without_a_discriminator():
    lab = Lab(Entropic(networks=Networks(width=8)), ring(), batch=8, samples=20).step(2).set("entropy", 1.).step(1)
    assert lab.sides["A"].game.entropy == 1. and lab._repr_mimebundle_()


def test_its_loss_is_the_loss():
    run = Run(Entropic(entropy=.3, sweeps=4, networks=Networks(width=8)), ring(), runs=2, batch=16, device="cpu")
    turn = type("T", (), {"x": normal(2, 16, 2).float(), "z": normal(2, 16, 2, seed=1).float(), **run.players.nets})
    expected = entropic_loss(turn.x, turn.G(turn.z), .3, sweeps=4, lead=2)
    assert torch.equal(run.game.loss_G(turn), expected) and expected.shape == (2,)


def test_price_of_order_collapses_and_a_low_one_covers():
    data = ring(radius=2, std=.15)
    high, low = (Run(Entropic(entropy=v, sweeps=5, networks=Networks(width=32), optimiser=Optimiser(5e-3)), data, runs=2, batch=64, average=.9, device="cpu").step(250)
                 for v in (8., .1))
    assert high.sample(500).std(1).max() < .2
    assert min(c.captured for c in low.coverage()) == 8


def test_the_bound_tells_data_from_noise():
    data = ring(radius=2, std=.15)
    run = Run(Entropic(sweeps=5, networks=Networks(width=32), optimiser=Optimiser(5e-3)), data, runs=2, batch=64, average=.9, device="cpu").step(250)
    g, made = torch.Generator().manual_seed(1), run.sample(500)
    x = data.sample(200, g).expand(2, -1, -1)
    noise = (torch.rand(200, 2, generator=g) * 6 - 3).expand(2, -1, -1)
    potential = sinkhorn(data.sample(500, g).expand(2, -1, -1), made, lead=2).g
    inside, outside = (surrogate_log_likelihood(v, made, potential, lead=2) for v in (x, noise))
    assert (inside[:, :, None] > outside[:, None]).float().mean((1, 2)).min() > .8


def test_auroc_counts_pairs_and_ties_run_by_run():
    inside, outside = torch.tensor([[1., 2.], [0., 0.]]), torch.tensor([[0., 1.], [1., 1.]])
    assert auroc(inside, outside).tolist() == [.875, 0.] and auroc(inside[0], outside[0]).item() == .875
    g = torch.Generator().manual_seed(0)
    a, b = (torch.randint(5, (3, n), generator=g).double() for n in (40, 30))
    said = [roc_auc_score([1] * 40 + [0] * 30, [*x.tolist(), *y.tolist()]) for x, y in zip(a, b)]
    assert auroc(a, b).tolist() == pytest.approx(said, abs=1e-6)
    with pytest.raises(ValueError, match="inside|outside"):
        auroc(a, b[:2])


# the benchmark on pictures

def test_the_benchmark_counts_pairs_and_measures_distances():
    scores = {"trained": torch.tensor([[1., 2.]]), "left out": torch.tensor([[0., 1.]]), "clothes": torch.tensor([[3.]])}
    assert likelihood_pictures.compared(scores) == {"left out": {"alone": .875}, "clothes": {"alone": 0.}}
    assert likelihood_pictures.compared({k: v.expand(2, -1) for k, v in scores.items()})["left out"]["by seed"] == [.875, .875]
    x, cloud = torch.zeros(1, 1, 2, 2), torch.stack([torch.full((2, 1, 2, 2), v) for v in (1., 3.)])
    assert likelihood_pictures.minus_nearest(x, cloud).tolist() == [[-2.], [-6.]]
    images = torch.zeros(1, 28, 28, dtype=torch.uint8)
    images[0, :2, :2] = 255
    small = likelihood_pictures.halved(images)
    assert small.shape == (1, 1, 16, 16) and small[0, 0, 1, 1] == 1 and small.sum() == 1 - 255


def test_its_groups_share_no_picture_with_each_other():
    if not (Path(os.environ.get("MODELAB_DATA", "")) / "fashion_sprite/fashion_sprite_900.npz").is_file():
        pytest.skip("no MNIST and fashion_sprite in the folder that MODELAB_DATA names")
    found = likelihood_pictures.groups(likelihood_pictures.SETS["ones"])
    assert [len(v) for v in found.values()] == [300, 500, 500, 500]
    assert len(torch.cat(list(found.values())).unique(dim=0)) == 1800
