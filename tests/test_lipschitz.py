"""modelab.methods.lipschitz: the penalty against closed forms, the exact optimum, the conditions, and the game on points and images."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from helpers import normal, seeded, seeded_runs
from modelab.data.digits import stacked_digits
from modelab.data.mixtures import ring
from modelab.methods.lipschitz import (check_conditions, exact_equilibrium, Lipschitz,
                                       max_gradient_penalty, max_squared_gradient,
                                       mirrored_objective, Objective, OBJECTIVES)
from modelab.networks.convolutional import conv_discriminator
from modelab.networks.layers import mlp
from modelab.networks.players import Networks
from modelab.training.run import Run


# fidelity

@pytest.mark.parametrize("shape", [(7, 3), (4, 7, 3)])
def test_linear_critic_pays_its_squared_norm_and_gets_twice_its_weights(shape):
    a = normal(3).requires_grad_()
    real, fake = normal(*shape), normal(*shape, seed=1)
    penalty = max_gradient_penalty(lambda x: x @ a, real, fake, generator=seeded(), lead=len(shape) - 1)
    assert penalty.shape == shape[:-2] and torch.allclose(penalty, a.square().sum().expand_as(penalty), atol=1e-14)
    slope, = torch.autograd.grad(penalty.mean(), a)
    assert torch.allclose(slope, 2 * a, atol=1e-13)


def test_quadratic_critic_pays_for_its_worst_point_only():
    matrix, x = normal(5, 5), normal(9, 5, seed=1)
    matrix = (matrix + matrix.mT).requires_grad_()
    penalty = max_squared_gradient(lambda x: ((x @ matrix) * x).sum(-1) / 2, x)
    per_example = (x @ matrix).square().sum(-1)
    assert torch.allclose(penalty, per_example.max())
    by_hand, = torch.autograd.grad(per_example.max(), matrix)
    # the slope of x'Ax/2 is (A + A')x/2; both halves carry the derivative
    assert torch.allclose(torch.autograd.grad(penalty, matrix)[0], (by_hand + by_hand.mT) / 2, atol=1e-12)


def test_all_event_axes_count():
    x = normal(3, 2, 4, 4)
    assert max_gradient_penalty(lambda x: x.flatten(1).sum(1), x, -x).item() == pytest.approx(32)


def test_derivative_in_the_weights_by_finite_differences():
    net = mlp(3, (), 5, generator=seeded()).double()
    x = normal(6, 3)

    def penalty(w):
        return max_squared_gradient(lambda x: torch.func.functional_call(net, {"final.weight": w}, (x,)), x)
    assert torch.autograd.gradcheck(penalty, net.final.weight.detach().clone().requires_grad_())


def test_flat_critic_costs_nothing_and_stays_finite():
    a = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    penalty = max_gradient_penalty(lambda x: (x @ a).tanh(), normal(4, 3), normal(4, 3, seed=1))
    slope, = torch.autograd.grad(penalty, a, create_graph=True)
    assert penalty == 0 and torch.isfinite(slope).all()


def test_objectives_are_their_formulas():
    f, r = normal(3, 8), normal(3, 8, seed=1)
    formulas = {"linear": lambda f: f, "logistic": lambda f: (1 + f.exp()).log(), "sqrt": lambda f: f + (f * f + 1) ** .5,
                "exp": torch.exp, "square": lambda f: (f + 1) ** 2, "hinge": lambda f: (1 + f).clamp_min(0)}
    assert formulas.keys() == OBJECTIVES.keys()
    for name, phi in formulas.items():
        loss = OBJECTIVES[name].critic_loss(real_scores=r, fake_scores=f)
        assert torch.allclose(loss, phi(f).mean(-1) + phi(-r).mean(-1)), name
        assert torch.allclose(OBJECTIVES[name].generator_loss(f), -f.mean(-1))


def test_conditions_tell_right_from_wrong():
    for name in ("logistic", "sqrt", "exp"):
        assert all(check_conditions(OBJECTIVES[name]).values())
    assert check_conditions(OBJECTIVES["linear"]) == {"signs": True, "convex": True, "balanced": True, "strict": False}
    assert not check_conditions(OBJECTIVES["square"])["signs"] and not check_conditions(OBJECTIVES["hinge"])["signs"]
    assert not check_conditions(mirrored_objective(torch.tanh))["convex"]
    assert not check_conditions(Objective(lambda f: 2 * f, lambda f: -f))["balanced"]
    assert not check_conditions(mirrored_objective(lambda f: -f))["signs"]


@given(d=st.floats(.2, 4), weight=st.floats(.02, 2), name=st.sampled_from(["linear", "logistic", "sqrt", "exp"]))
def test_two_points_meet_the_closed_form(d, weight, name):
    real, fake, k = exact_equilibrium(torch.zeros(1, 1), torch.full((1, 1), d, dtype=torch.float64), OBJECTIVES[name], weight)
    low = torch.tensor(-k * d / 2, dtype=torch.float64, requires_grad=True)
    slope, = torch.autograd.grad(OBJECTIVES[name].phi(low), low)
    assert d * slope.item() == pytest.approx(2 * weight * k, abs=2e-4)
    assert (real - fake).item() == pytest.approx(k * d, rel=1e-3)


@pytest.mark.parametrize("scale", [.01, 1., 100., 1000.])
def test_the_optimum_is_found_in_any_unit_of_length(scale):
    real, fake = (scale * normal(4, 3, seed=seed).double() for seed in (0, 1))
    cost = torch.cdist(fake, real)
    best = min(sum(cost[i, j] for i, j in enumerate(order)) / 4 for order in itertools.permutations(range(4)))
    r, f, k = exact_equilibrium(real, fake, "linear", .1)
    assert k == pytest.approx(best.item() / .2, rel=1e-5)
    assert (r.mean() - f.mean()).item() == pytest.approx(k * best.item(), rel=1e-5)


def test_the_optimum_is_found_where_costs_are_large():
    p = torch.arange(5.)[:, None] * 10  # once "no optimum found"
    assert exact_equilibrium(p + 30, p, "linear")[2] == pytest.approx(150)


def test_where_both_coincide_the_optimum_is_flat():
    x = normal(4, 2)
    for name in ("linear", "logistic", "sqrt", "exp"):
        real, fake, k = exact_equilibrium(x, x, OBJECTIVES[name])
        assert abs(k) < 1e-3 and torch.allclose(real, fake, atol=1e-3)


def test_no_function_beats_the_optimum():
    real, fake, o = normal(3, 2), normal(4, 2, seed=1), OBJECTIVES["logistic"]
    r, f, k = exact_equilibrium(real, fake, o, .1)
    best = o.critic_loss(r, f) + .1 * k ** 2
    points = torch.cat([fake, real])
    gaps = torch.cdist(points, points) + torch.eye(7)
    for seed in range(20):
        v = torch.cat([f, r]) + .1 * normal(7, seed=seed)
        slope = ((v[:, None] - v).abs() / gaps).max()
        assert o.critic_loss(v[4:], v[:4]) + .1 * slope ** 2 >= best


# bad input

def test_bad_input_is_named():
    x, critic = torch.zeros(4, 2), (lambda x: x.sum(-1))
    with pytest.raises(ValueError, match=r"real, fake: .*\(4, 2\) and \(3, 2\)"):
        max_gradient_penalty(critic, x, x[:3])
    with pytest.raises(ValueError, match="at least one"):
        max_gradient_penalty(critic, x[:0], x[:0])
    with pytest.raises(ValueError, match="LayerNorm"):
        max_gradient_penalty(nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1), nn.Flatten(0)), x, x)
    for kw, error, text in (({"objective": "logistc"}, ValueError, "logistic"),
                            ({"objective": torch.exp}, TypeError, "Objective"),
                            ({"weight": -1}, ValueError, "weight"),
                            ({"n_critic": 0}, ValueError, "n_critic")):
        with pytest.raises(error, match=text):
            Lipschitz(**kw)
    with pytest.raises(ValueError, match="weight"):
        exact_equilibrium(x, x, OBJECTIVES["linear"], 0)
    with pytest.raises(ValueError, match="span"):
        check_conditions(OBJECTIVES["linear"], span=-1)


# shapes

def test_runs_are_slices():
    critic = mlp(2, (), 8, runs=3, generator=seeded_runs(3))
    real, fake = normal(3, 16, 2).float(), normal(3, 16, 2, seed=1).float()
    together = max_gradient_penalty(critic, real, fake, generator=seeded_runs(3))
    for r in range(3):
        alone = mlp(2, (), 8)
        alone.load_state_dict({k: v[r] for k, v in critic.state_dict().items()})
        assert torch.allclose(together[r], max_gradient_penalty(alone, real[r], fake[r], generator=seeded(r)), rtol=1e-5)


def test_images_sequences_and_plain_modules():
    image = normal(4, 1, 8, 8).float()
    assert max_gradient_penalty(conv_discriminator((1, 8, 8), 4), image, -image).shape == ()
    runs = conv_discriminator((1, 8, 8), 4, runs=2)
    assert max_gradient_penalty(runs, image.expand(2, -1, -1, -1, -1), -image.expand(2, -1, -1, -1, -1)).shape == (2,)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(15, 1), nn.Flatten(0))
    sequence = normal(6, 5, 3).float()
    assert max_gradient_penalty(plain, sequence, -sequence).item() == pytest.approx(plain[1].weight.square().sum().item(), rel=1e-5)


@pytest.mark.parametrize("answer", [(-1,), (-1, 1), (-1, 1, 1, 1)], ids=str)
def test_scores_of_a_stranger_may_have_axes_of_length_one(answer):
    image = normal(6, 1, 4, 4)
    found = max_gradient_penalty(lambda x: 3 * x[:, 0, 0, 0].reshape(answer), image, -image)
    assert found.shape == () and found.item() == pytest.approx(9)


def test_it_plays_with_convolutional_players():
    game = Lipschitz(networks=Networks("conv", width=2))
    run = Run(game, stacked_digits(), runs=2, batch=4, device="cpu").step(2)
    assert run.sample(3).shape == (2, 3, 3, 8, 8) and torch.isfinite(run.losses["D"]).all()


def test_generator_descends_the_mean_score():
    f = normal(5).requires_grad_()
    assert torch.allclose(torch.autograd.grad(OBJECTIVES["logistic"].generator_loss(f), f)[0], torch.full((5,), -.2).double())


# determinism

def test_same_seed_same_bits_and_global_randomness_untouched():
    critic, x, y = mlp(2, (), 8, generator=seeded()), normal(8, 2).float(), normal(8, 2, seed=1).float()
    state = torch.get_rng_state()
    first, second = (max_gradient_penalty(critic, x, y, generator=seeded(5)) for _ in range(2))
    assert torch.equal(first, second) and torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first, max_gradient_penalty(critic, x, y, generator=seeded(6)))


@pytest.mark.parametrize("modes", [ring, stacked_digits], ids=["points", "images"])
def test_game_resumes_where_it_stopped(modes, tmp_path):
    def fresh():
        return Run(Lipschitz(n_critic=2, objective="sqrt", weight=.5, networks=Networks(width=8)), modes(), runs=2, batch=8, device="cpu")
    whole, half = fresh().step(6), fresh().step(3)
    resumed = Run.load(half.save(tmp_path / "half.safetensors"), device="cpu").step(3)
    assert resumed.game.losses is OBJECTIVES["sqrt"] and resumed.game.weight == .5
    assert torch.equal(whole.sample(5), resumed.sample(5))
    assert torch.equal(whole.losses["D"], resumed.losses["D"])


def test_own_objective_plays_and_own_networks_too():
    own = Objective(lambda f: f + f.exp(), lambda f: (-f).exp() - f)
    assert all(check_conditions(own).values())
    game = Lipschitz(objective=own, G=lambda: nn.Linear(2, 2), D=lambda: nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)))
    run = Run(game, ring(), runs=2, batch=16, device="cpu").step(3)
    assert torch.isfinite(run.losses["D"]).all()


def test_heavier_penalty_means_a_gentler_critic():
    slopes = []
    for weight in (.01, 10.):
        run = Run(Lipschitz(weight=weight, networks=Networks(width=32)), ring(radius=2, std=.02), runs=4, batch=64, device="cpu").step(150)
        slopes.append(max_squared_gradient(run.players.nets["D"], run.sample(256)).sqrt())
    assert (slopes[1] < slopes[0] / 2).all()
