"""modelab.methods.wasserstein: closed forms in float64, known defects of popular penalties, shapes, games."""

import math

import pytest
import scipy.stats
import torch
import torch.nn.functional as F
from helpers import normal, plays_and_resumes, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modelab.core.seeding import randn
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import ring
from modelab.losses.penalties import (gradient_norm, gradient_penalty, input_gradient, r1, r2,
                                      random_interpolate, sum_over_event)
from modelab.methods.minimax import Minimax
from modelab.methods.wasserstein import (clip_weights_, ClippedWasserstein, critic_loss,
                                         Wasserstein, wasserstein_distance,
                                         wasserstein_generator_loss, ZeroCentred)
from modelab.networks.layers import mlp
from modelab.networks.players import Networks
from modelab.training.run import Run

GAMES = (Wasserstein, ClippedWasserstein, ZeroCentred)


def two(*shape, seed: int = 0):
    return normal(2, *shape, seed=seed)


# Fidelity

def test_losses():
    real, fake = two(3, 7)
    assert torch.allclose(critic_loss(real, fake), fake.mean(1) - real.mean(1))
    assert torch.allclose(wasserstein_generator_loss(fake), -fake.mean(1))
    assert critic_loss(real[0], fake[0, :4]).shape == ()


@pytest.mark.parametrize("event", [(3,), (2, 5, 5), (11, 3), ()])
@pytest.mark.parametrize("target", [0., 1., 2.5])
def test_linear_critic(event, target):
    a = torch.randn(event, generator=seeded(1), dtype=torch.float64)
    real, fake = two(9, *event)
    f = lambda x: (x * a).flatten(1).sum(1) if event else x * a
    slope = a.norm() if event else a  # with no event axis the slope keeps its sign: a plain derivative
    expected = ((a.norm() if event else a.abs()) - target) ** 2
    assert torch.allclose(gradient_penalty(f, real, fake, target=target), expected)
    assert torch.allclose(r1(f, real), slope ** 2 / 2) and torch.allclose(r2(f, fake), slope ** 2 / 2)


def test_one_sided_charges_only_what_is_above():
    real, fake = two(6, 2)
    for a, due in ((.5, 0.), (3., 4.)):
        assert gradient_penalty(lambda x: a * x[:, 0], real, fake, one_sided=True).item() == pytest.approx(due)


def test_quadratic_critic():
    real, fake = two(50, 4)
    bowl = lambda x: x.square().sum(-1) / 2
    x = random_interpolate(real, fake, generator=seeded(5))
    assert torch.isclose(gradient_penalty(bowl, real, fake, generator=seeded(5)), (x.norm(dim=1) - 1).square().mean())
    assert torch.isclose(r1(bowl, real), real.square().sum(1).mean() / 2)


def test_a_batch_is_the_mean_of_its_examples():
    """A known library takes the norm over the whole batch: 49 for 64 slopes of one, where nothing is due."""
    real, fake = two(64, 4)
    assert gradient_penalty(lambda x: x[:, 0], real, fake).item() == 0.


def test_the_norm_runs_over_all_event_axes():
    """A known bug takes the channel axis only."""
    a = torch.full((3, 8, 8), 1 / math.sqrt(192), dtype=torch.float64)
    real, fake = two(5, 3, 8, 8)
    assert gradient_penalty(lambda x: (x * a).flatten(1).sum(1), real, fake).item() == pytest.approx(0, abs=1e-25)


def test_one_position_per_example():
    real, fake = two(40, 3, 4, 4)
    x = random_interpolate(real, fake, generator=seeded())
    t = ((x - fake) / (real - fake)).flatten(1)
    assert (t.amax(1) - t.amin(1)).max() < 1e-9 and t.min() >= 0 and t.max() <= 1 and t[:, 0].unique().numel() == 40


def test_zero_slope_is_no_dead_end():
    """norm(0) has no usable derivative: NaN under a square root, zero in torch.norm. A dead critic must get up."""
    w = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    real, fake = two(8, 3)
    gradient_penalty(lambda x: x @ w, real, fake).backward()
    assert torch.isfinite(w.grad).all() and w.grad.norm() > .1


def test_second_derivatives_are_right():
    w = torch.randn(4, generator=seeded(2), dtype=torch.float64, requires_grad=True)
    real, fake = two(5, 4)
    def price(w):
        return gradient_penalty(lambda x: torch.tanh(x @ w), real, fake, generator=seeded(3))
    assert torch.autograd.gradcheck(price, w)
    assert torch.autograd.gradcheck(lambda w: r1(lambda x: torch.tanh(x @ w), real), w)


SPELT = {"nn.ReLU": nn.ReLU(), "in place": nn.ReLU(inplace=True), "torch.relu": torch.relu, "x.relu()": lambda x: x.relu(),
         "F.relu": F.relu, "nn.LeakyReLU": nn.LeakyReLU(.3), "leaky, in place": nn.LeakyReLU(.3, inplace=True),
         "F.leaky_relu": lambda x: F.leaky_relu(x, negative_slope=.2), "F.leaky_relu_": lambda x: F.leaky_relu_(x, .2)}


@pytest.mark.parametrize("bend", SPELT.values(), ids=SPELT)
def test_kinks_bend_the_slope_as_autograd_says(bend):
    """ReLUs are spelt so that no zeros are carried back: to the last bit the same, and the way of the zeros is gone."""
    x = two(40, 3)[0]
    a, b, c = (torch.randn(*shape, generator=seeded(i), dtype=torch.float64).requires_grad_() for i, shape in enumerate(((3, 9), (9,), (9, 9))))
    f = lambda x: (bend(bend(x @ a + b) @ c) ** 2).sum(1)
    kinked = lambda x: bend(bend(x @ a + b) @ c).sum(1)
    for critic in (f, kinked):
        there = x.clone().requires_grad_()
        scores = critic(there)
        slopes, = torch.autograd.grad(scores.sum(), there, create_graph=True)
        plain = torch.autograd.grad(slopes.square().sum(), (a, b, c), allow_unused=True, materialize_grads=True)
        ours_scores, ours = input_gradient(critic, x)
        found = torch.autograd.grad(ours.square().sum(), (a, b, c), allow_unused=True, retain_graph=True)
        assert torch.equal(ours_scores, scores) and torch.equal(ours, slopes)
        assert all(torch.equal(u if u is not None else torch.zeros_like(v), v) for u, v in zip(found, plain))
        assert (found[1] is None) == (critic is kinked)


def test_kinks_keep_what_is_not_finite():
    x = torch.tensor([[math.nan, -math.inf, math.inf, -1., 0., 2.]], dtype=torch.float64)
    for bend in SPELT.values():
        rows = []
        input_gradient(lambda v: (rows.append(bend(v.clone())), v.sum(1))[1], x)
        assert torch.equal(rows[0].detach().nan_to_num(9.), bend(x.clone()).nan_to_num(9.))


def test_only_the_critic_learns():
    real, fake = (v.requires_grad_() for v in two(5, 3))
    f = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0)).double()
    (gradient_penalty(f, real, fake) + r1(f, real) + r2(f, fake)).backward()
    assert real.grad is None and fake.grad is None and all(p.grad is not None for n, p in f.named_parameters() if "2.b" not in n)


def test_works_where_gradients_are_off():
    real, fake = two(5, 3)
    with torch.no_grad():
        assert torch.isfinite(gradient_penalty(lambda x: x.square().sum(1), real, fake))


def test_transport_is_the_best_pairing():
    from itertools import permutations
    x, y = two(6, 2)
    best = min(sum((x[i] - y[j]).norm() for i, j in enumerate(p)) for p in permutations(range(6))) / 6
    distance, partner = wasserstein_distance(x, y)
    assert distance == pytest.approx(best.item()) and sorted(partner.tolist()) == list(range(6))


def test_transport_on_a_line_is_scipys():
    x, y = two(40, 1)
    assert wasserstein_distance(x, y)[0] == pytest.approx(scipy.stats.wasserstein_distance(x[:, 0], y[:, 0]))


def test_no_critic_beats_the_exact_distance():
    """Kantorovich: any function of slope at most one stays below."""
    x, y = two(60, 2)
    top = wasserstein_distance(x, y)[0]
    for seed in range(5):
        a = torch.nn.functional.normalize(torch.randn(2, generator=seeded(seed), dtype=torch.float64), dim=0)
        assert -critic_loss((x @ a), (y @ a)) <= top + 1e-12
        centre = torch.randn(2, generator=seeded(seed + 9), dtype=torch.float64)
        assert abs(critic_loss((x - centre).norm(dim=1), (y - centre).norm(dim=1))) <= top + 1e-12


# Bad input

def test_batch_norm_is_refused_before_it_learns_anything():
    f = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1), nn.Flatten(0))
    x = torch.randn(6, 2)
    for call in (lambda: gradient_penalty(f, x, x), lambda: r1(f, x), lambda: input_gradient(f, x)):
        with pytest.raises(ValueError, match="BatchNorm1d couples"):
            call()
    assert f[1].num_batches_tracked == 0
    assert torch.isfinite(gradient_penalty(f.eval(), x, x))


@pytest.mark.parametrize("call, words", [
    (lambda f, x: gradient_penalty(f, x, x[:3]), "real, fake: expected one shape"),
    (lambda f, x: gradient_penalty(f, x[:0], x[:0]), "at least one example"),
    (lambda f, x: gradient_penalty(f, x, x, target=-1.), "target"),
    (lambda f, x: gradient_penalty(lambda v: v.sum(), x, x), "critic: expected one score per example"),
    (lambda f, x: gradient_penalty(lambda v: v, x, x), "critic: expected one score per example"),
    (lambda f, x: gradient_penalty(f, x[None], x[None]), "if the first axis counts runs, say lead=2"),
    (lambda f, x: r1(lambda v: torch.zeros(len(v)), x), "expected scores that autograd can follow"),
    (lambda f, x: input_gradient(lambda v: v.sum(), x), "one score per example"),
    (lambda f, x: clip_weights_(nn.Linear(2, 2), 0.), "bound"),
    (lambda f, x: wasserstein_distance(x, x[:2]), r"y: expected as many examples as x has, and alike, shape \(8, 2\), got \(2, 2\)"),
    (lambda f, x: wasserstein_distance(x[:0], x[:0]), "x: expected at least 1 example, got 0"),
    (lambda f, x: Wasserstein(weight=-1), "weight"),
    (lambda f, x: Wasserstein(n_critic=0), "n_critic"),
    (lambda f, x: ClippedWasserstein(bound=-1), "bound"),
    (lambda f, x: ZeroCentred(fake_weight=math.nan), "fake_weight"),
])
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(lambda v: v.square().sum(-1), torch.randn(8, 2))


# Shapes

@settings(max_examples=25, deadline=None)
@given(runs=st.integers(1, 3), batch=st.integers(1, 5), event=st.lists(st.integers(1, 4), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_runs_are_slices(runs, batch, event, seed):
    seeds = lambda: [seeded(seed + r) for r in range(runs)]
    f = mlp(event, (), 5, runs=runs, generator=seeds()).double()
    real, fake = two(runs, batch, *event, seed=seed)
    together = gradient_penalty(f, real, fake, generator=seeds())
    assert together.shape == (runs,)
    for r in range(runs):
        alone = mlp(event, (), 5, generator=seeded()).double()
        alone.load_state_dict({k: v[r].reshape(alone.state_dict()[k].shape) for k, v in f.state_dict().items()})
        assert torch.allclose(gradient_penalty(alone, real[r], fake[r], generator=seeded(seed + r)), together[r])
        assert torch.allclose(r1(alone, real[r]), r1(f, real)[r])


def test_a_plain_function_with_runs():
    a = torch.randn(4, 3, generator=seeded(), dtype=torch.float64)
    real, fake = two(4, 6, 3)
    R = gradient_penalty(lambda x: torch.einsum("rbd,rd->rb", x, a), real, fake, lead=2)
    assert torch.allclose(R, (a.norm(dim=1) - 1) ** 2)


def test_event_sum_and_norm_of_pictures():
    slopes = torch.randn(2, 5, 3, 4, 4, generator=seeded(), dtype=torch.float64)
    scores = slopes[..., 0, 0, 0]
    assert torch.allclose(gradient_norm(slopes, scores), slopes.flatten(2).norm(dim=2))
    assert sum_over_event(slopes, scores).shape == (2, 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_of_16_bits_are_squared_in_float32(dtype):
    x = torch.randn(6, 3, dtype=dtype)
    for penalty in (r1, r2):
        assert penalty(lambda v: 300 * v.sum(-1), x).item() == 300 ** 2 * 3 / 2


def test_clipping_is_in_place():
    net = mlp(2, (), 8, runs=3, generator=seeded())
    assert clip_weights_(net, .05) is net and max(p.abs().max() for p in net.parameters()) <= .05


# Games

@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("data", [ring, digits])
def test_games_play_on_points_and_pictures(game, data):
    run = Run(game(networks=Networks(width=8)), data(), runs=2, batch=4, device="cpu").step(2)
    assert run.sample(3).shape == (2, 3, *data().event) and torch.isfinite(run.sample(3)).all()


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("data", [digits, stacked_digits])
def test_games_play_on_pictures_with_convolutions(game, data, tmp_path):
    plays_and_resumes(lambda: game(networks=Networks("conv", width=4)), data, tmp_path)


@pytest.mark.parametrize("game", GAMES)
def test_resumed_is_uninterrupted(game, tmp_path):
    make = lambda: Run(game(networks=Networks(width=8)), ring(), runs=2, batch=8, device="cpu")
    make().step(2).save(tmp_path / "x")
    assert torch.equal(Run.load(tmp_path / "x", device="cpu").step(2).sample(5), make().step(4).sample(5))


def test_turns_follow_n_critic():
    assert Wasserstein(n_critic=3).turns == "D D D G" == ClippedWasserstein(n_critic=3).turns
    assert ZeroCentred().turns == "D G" and ZeroCentred(saturating=True).saturating


def test_the_critic_is_in_its_box_whenever_it_is_used():
    run = Run(ClippedWasserstein(bound=.02, networks=Networks(width=8)), ring(), runs=2, batch=8, device="cpu").step(3)
    nets = run.players.nets
    turn = type("T", (), {"x": randn(2, 8, 2, generator=seeded()), "z": randn(2, 8, 2, generator=seeded()), **nets})
    for loss in (run.game.loss_D, run.game.loss_G):
        with torch.no_grad():
            nets["D"].final.weight.fill_(3.)
        loss(turn)
        assert max(p.abs().max() for p in nets["D"].parameters()) <= .02


def test_zero_weights_leave_the_game_of_2014():
    a = Run(ZeroCentred(weight=0., networks=Networks(width=8)), ring(), runs=2, batch=8, device="cpu").step(3)
    b = Run(Minimax(networks=Networks(width=8)), ring(), runs=2, batch=8, device="cpu").step(3)
    assert torch.allclose(a.sample(5), b.sample(5), atol=1e-6)


def test_a_user_critic_is_refused_where_it_has_batch_norm():
    bn = lambda: nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1), nn.Flatten(0))
    with pytest.raises(ValueError, match="BatchNorm1d"):
        Run(Wasserstein(D=bn), ring(), runs=2, batch=4, device="cpu").step(1)


def test_on_a_gpu(cuda):
    f = mlp(2, (), 8, runs=2, generator=seeded()).to(cuda)
    real, fake = (v.float().to(cuda) for v in two(2, 5, 2))
    there = gradient_penalty(f, real, fake, generator=[seeded(r) for r in range(2)])
    here = gradient_penalty(f.cpu(), real.cpu(), fake.cpu(), generator=[seeded(r) for r in range(2)])
    assert torch.allclose(there.cpu(), here, atol=1e-5)
