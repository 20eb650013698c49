"""modelab.methods.currents: forms and push-forwards against closed forms and differences, bad input, and the game on points and pictures."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from helpers import normal, seeded
from modelab.core.registry import make, with_settings
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import ring
from modelab.methods.currents import (AngleGenerator, comass, Currents, exterior_derivative,
                                      flat_penalty, form_on_vectors, push_forward, random_frames,
                                      tangent_around, tangent_grow, tangent_turn, TANGENTS)
from modelab.networks.layers import mlp
from modelab.networks.players import Networks
from modelab.training.run import Run

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import currents as benchmark  # noqa: E402


# forms

@pytest.mark.parametrize("lead", [(), (4,), (2, 4)])
@pytest.mark.parametrize("k, d", [(1, 1), (1, 3), (2, 2), (2, 5), (3, 4)])
def test_pairing_is_the_determinant_by_permutations(k, d, lead):
    w, v = normal(*lead, k, d), normal(*lead, k, d, seed=1)
    dots, by_hand = w @ v.mT, 0
    import itertools
    for order in itertools.permutations(range(k)):
        sign = (-1) ** sum(order[i] > order[j] for i in range(k) for j in range(i + 1, k))
        by_hand = by_hand + sign * math.prod(dots[..., i, j] for i, j in enumerate(order))
    assert torch.allclose(form_on_vectors(w, v), by_hand, atol=1e-12) and form_on_vectors(w, v).shape == lead


def test_exchange_turns_the_sign_and_each_vector_counts_linearly():
    w, v = normal(5, 3, 4), normal(5, 3, 4, seed=1)
    other = v.clone()
    other[:, 1] = 2 * v[:, 1] + 3 * v[:, 0]
    assert torch.allclose(form_on_vectors(w, v[:, [1, 0, 2]]), -form_on_vectors(w, v)) and torch.allclose(form_on_vectors(w, other), 2 * form_on_vectors(w, v))


@pytest.mark.parametrize("k, d", [(1, 2), (1, 6), (2, 3), (2, 6), (3, 5)])
def test_no_frame_answers_more_than_the_comass_and_the_best_reaches_it(k, d):
    w = normal(k, d)
    assert form_on_vectors(w.expand(4000, k, d), random_frames(torch.zeros(4000, d, dtype=torch.float64), k, seeded())).max() <= comass(w)
    best = torch.linalg.qr(w.T)[0].T
    assert abs(form_on_vectors(w, best)).item() == pytest.approx(comass(w).item(), rel=1e-9)


def test_comass_at_zero_has_a_finite_gradient():
    w = torch.zeros(3, 2, 4, dtype=torch.float64, requires_grad=True)
    comass(w).sum().backward()
    assert torch.isfinite(w.grad).all()


def test_frames_are_orthonormal_and_prefer_nothing():
    q = random_frames(torch.zeros(40_000, 3, dtype=torch.float64), 2, seeded())
    assert torch.allclose(q @ q.mT, torch.eye(2, dtype=torch.float64).expand_as(q @ q.mT), atol=1e-12)
    assert q.mean(0).abs().max() < .02
    assert (q.flatten(1).T @ q.flatten(1) / len(q) - torch.eye(6) / 3).abs().max() < .02
    both = random_frames(torch.zeros(2, 5, 3), 2, [seeded(0), seeded(1)])
    assert torch.equal(both[1:], random_frames(torch.zeros(1, 5, 3), 2, [seeded(1)]))


@pytest.mark.parametrize("lead", [(6,), (2, 6)])
@pytest.mark.parametrize("k, d", [(1, 2), (1, 4), (2, 3), (2, 5)])
def test_exterior_derivative_is_the_difference_quotient(k, d, lead):
    field, x = mlp(d, (k, d), 8, runs=2 if len(lead) > 1 else None, generator=seeded()).double(), normal(*lead, d)
    frame, tiny, by_quotient = random_frames(x, k + 1, seeded(1)), 1e-5, 0
    for i in range(k + 1):
        rest, v = frame[..., [j for j in range(k + 1) if j != i], :], frame[..., i, :]
        by_quotient = by_quotient + (-1) ** i * (form_on_vectors(field(x + tiny * v), rest) - form_on_vectors(field(x - tiny * v), rest)) / (2 * tiny)
    assert torch.allclose(exterior_derivative(field, x, frame), by_quotient, atol=1e-7)


def test_it_vanishes_on_gradients_and_alternates():
    x = normal(7, 3)

    def gradient(x):
        x = x if x.requires_grad else x.requires_grad_()
        return torch.autograd.grad((x.sin() * x.roll(1, -1).square()).sum(), x, create_graph=True)[0][..., None, :]
    frame = random_frames(x, 2, seeded())
    assert exterior_derivative(gradient, x, frame).abs().max() < 1e-12
    field = mlp(3, (1, 3), 8, generator=seeded()).double()
    assert torch.allclose(exterior_derivative(field, x, frame.flip(1)), -exterior_derivative(field, x, frame))


def test_a_constant_form_does_not_change():
    x = normal(4, 3)
    assert torch.equal(exterior_derivative(lambda x: torch.ones(len(x), 1, 3, dtype=x.dtype), x, random_frames(x, 2, seeded())), torch.zeros(4, dtype=x.dtype))


# the penalty

def test_penalty_of_a_linear_function_by_hand():
    a, x = torch.tensor([1.8, 2.4], dtype=torch.float64), normal(2, 9, 2)
    expected = ((x @ a).abs() - .7).clamp_min(0).square().mean(1) + 4
    assert torch.allclose(flat_penalty(lambda x: x @ a, x, mass=.7), expected) and flat_penalty(lambda x: x @ a, x).shape == (2,)


def test_penalty_of_a_turning_field_by_hand():
    """ω = 3(x dy - y dx)/2 has dω = 3 everywhere in the plane, and size 1.5|x|."""
    def field(x):
        return 1.5 * torch.stack([-x[..., 1], x[..., 0]], -1)[..., None, :]
    x = normal(3, 8, 2)
    expected = (1.5 * x.norm(dim=-1) - 2).clamp_min(0).square().mean(1) + 4
    assert torch.allclose(flat_penalty(field, x, mass=2., generator=seeded()), expected, atol=1e-6)


def test_within_the_bounds_it_is_free_and_its_gradient_is_right():
    x = normal(5, 3)
    assert flat_penalty(lambda x: .3 * x[..., 0] / (1 + x.square().sum(-1)), x).item() == 0
    net = mlp(3, (1, 3), 6, generator=seeded()).double()

    def of(w):
        return flat_penalty(lambda x: torch.func.functional_call(net, {"final.weight": w}, (x,)), x, mass=.01, generator=seeded())
    assert torch.autograd.gradcheck(of, net.final.weight.detach().mul(9).requires_grad_())


def test_runs_do_not_meet():
    seeds = [seeded(0), seeded(1)]
    net, x = mlp(2, (1, 2), 8, runs=2, generator=seeds).double(), normal(2, 6, 2)
    both = flat_penalty(lambda x: 9 * net(x), x, generator=[seeded(5), seeded(6)])
    x[1] = 7.
    assert torch.equal(flat_penalty(lambda x: 9 * net(x), x, generator=[seeded(5), seeded(6)])[0], both[0]) and both.shape == (2,)


# push-forward

@pytest.mark.parametrize("event", [(2,), (1, 4, 4), ()])
def test_push_forward_of_a_linear_map_is_its_columns(event):
    d = math.prod(event)
    A, z = normal(d, 3), normal(2, 5, 3)
    x, moves = push_forward(lambda z: (z @ A.T).unflatten(-1, event) if event else (z @ A.T)[..., 0], z, 2)
    assert x.shape == (2, 5, *event) and moves.shape == (2, 5, 2, d) and torch.allclose(moves, A.T[:2].expand(2, 5, 2, d))
    assert push_forward(lambda z: z, z, 0)[1].shape == (2, 5, 0, 3)
    assert push_forward(lambda z: torch.ones(2, 5, 4), z, 1)[1].count_nonzero() == 0


def test_it_is_the_forward_derivative_also_where_examples_meet():
    net, z = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.Tanh(), nn.Linear(8, 2)).double(), normal(6, 3)
    with torch.no_grad():
        x, moves = push_forward(net, z, 2)
    for j, e in enumerate(torch.eye(3, dtype=torch.float64)[:2]):
        assert torch.allclose(moves[:, j], torch.func.jvp(net, (z,), (e.expand_as(z),))[1], atol=1e-12)
    assert not x.requires_grad and not moves.requires_grad and not z.requires_grad


def test_its_gradient_reaches_the_weights():
    net, z = mlp(3, (2,), 8, generator=seeded()).double(), normal(6, 3)
    push_forward(net, z, 1)[1].square().sum().backward()
    weight = net.final.weight
    tiny = torch.zeros_like(weight)
    tiny.view(-1)[0] = 1e-6
    with torch.no_grad():
        ends = [push_forward(lambda z: torch.func.functional_call(net, {"final.weight": weight + s * tiny}, (z,)), z, 1)[1].square().sum()
                for s in (1, -1)]
    assert weight.grad.view(-1)[0].item() == pytest.approx(((ends[0] - ends[1]) / 2e-6).item(), rel=1e-5)


# tangents

def test_around_is_a_unit_tangent():
    x = normal(9, 2)
    assert torch.allclose(tangent_around(x).norm(dim=1), torch.ones(9, dtype=torch.float64)) and (tangent_around(x) * x).sum(1).abs().max() < 1e-12
    assert torch.allclose(tangent_around(torch.tensor([[2., 0.]])), torch.tensor([[0., 1.]])) and torch.isfinite(tangent_around(torch.zeros(1, 2))).all()


def test_pictures_move_as_said():
    rows, columns = torch.meshgrid(*[torch.arange(15, dtype=torch.float64) - 7] * 2, indexing="ij")

    def blob(r, c):
        return (-((rows - r) ** 2 + (columns - c) ** 2) / 8).exp()[None, None]
    tiny = 1e-4
    for name, start, end in (("down", (0, 0), (tiny, 0)), ("right", (0, 0), (0, tiny)), ("turn", (-3, 0), (-3, 3 * tiny))):
        true = (blob(*end) - blob(*start)) / tiny
        assert torch.cosine_similarity(TANGENTS[name](blob(*start)).flatten(), true.flatten(), 0) > .99, name
    assert all(TANGENTS[name](blob(0, 0)).shape == (1, 1, 15, 15) for name in ("down", "right", "turn", "grow"))


def test_a_round_picture_about_the_middle_grows_and_does_not_turn():
    rows, columns = torch.meshgrid(*[torch.arange(15, dtype=torch.float64) - 7] * 2, indexing="ij")
    squared = rows ** 2 + columns ** 2
    x = (-squared / 18).exp()[None]
    true = ((-squared / (18 * math.exp(2e-4))).exp() - (-squared / (18 * math.exp(-2e-4))).exp()) / 2e-4
    found = tangent_grow(x)[0]
    assert (found[1:-1, 1:-1] - true[1:-1, 1:-1]).norm() < .05 * true.norm() and tangent_turn(x).norm() < .05 * true.norm()


# bad input

@pytest.mark.parametrize("call, name", [
    (lambda: form_on_vectors(normal(3, 2), normal(3, 1, 2)), "vectors"), (lambda: form_on_vectors(normal(3, 2), normal(3, 2)), "forms"),
    (lambda: form_on_vectors(normal(1, 2), normal(1, 2).float()), "vectors"), (lambda: form_on_vectors(None, normal(1, 2)), "forms"),
    (lambda: random_frames(normal(4, 2), 3), "k"), (lambda: random_frames(normal(4, 2), 0), "k"),
    (lambda: exterior_derivative(lambda x: x[..., None, :], normal(4, 2), normal(4, 1, 2)), "frame"),
    (lambda: exterior_derivative(None, normal(4, 2), normal(4, 2, 2)), "form"),
    (lambda: flat_penalty(lambda x: x, normal(4, 2)), "form"), (lambda: flat_penalty(lambda x: x[:2, 0], normal(4, 2)), "form"),
    (lambda: flat_penalty(lambda x: x.sum(-1), normal(4)), "x"), (lambda: flat_penalty(lambda x: x.sum(-1), normal(0, 2)), "x"),
    (lambda: flat_penalty(lambda x: x.sum(-1), torch.ones(4, 2).long()), "x"),
    (lambda: flat_penalty(lambda x: x.sum(-1), normal(4, 2), mass=0.), "mass"),
    (lambda: push_forward(None, normal(4, 2), 1), "G"), (lambda: push_forward(lambda z: z[:2], normal(4, 2), 1), "G: expected one example per latent"),
    (lambda: push_forward(lambda z: 3, normal(4, 2), 1), "G: expected one example per latent"),
    (lambda: exterior_derivative(lambda x: x[..., None, :], normal(4, 2), normal(4, 2, 2).float()), "x, frame: expected one type"),
    (lambda: exterior_derivative(lambda x: x[..., 0], normal(4, 2), normal(4, 2, 2)), "form: expected k=1 fields for a frame of 2 vectors"),
    (lambda: push_forward(lambda z: z, normal(4, 2), 3), "k|z"),
    (lambda: Currents(along=("around",)), "along"), (lambda: Currents(along="sideways"), "along"), (lambda: Currents(speed=0.), "speed"),
    (lambda: Currents(mass=-1.), "mass"), (lambda: Currents(penalty_weight=math.nan), "penalty_weight"), (lambda: Currents(weight=-1.), "weight"),
    (lambda: Currents(n_critic=0), "n_critic"), (lambda: Currents(angles=-1), "angles"),
    (lambda: Run(Currents(), digits(), runs=1, device="cpu"), "along"),
    (lambda: Run(Currents(networks=Networks("conv", 4)), digits(), runs=1, device="cpu"), "along: 'around' is a direction of points"),
    (lambda: Run(Currents(along="turn"), ring(), runs=1, device="cpu"), "along"),
    (lambda: Currents(along="turn turn"), "along"),
    (lambda: Run(Currents(along="turn down", networks=Networks(latent=1)), digits(), runs=1, device="cpu"), "latent"),
    (lambda: Run(Currents(angles=6), ring(), runs=1, device="cpu"), "latent")])
def test_bad_input_is_refused_by_name(call, name):
    with pytest.raises((TypeError, ValueError), match=rf"\b({name})\b"):
        call()


# the game

def test_it_takes_plain_modules():
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2), nn.Unflatten(1, (1, 2))).double()
    flat_penalty(net, normal(6, 2), generator=seeded()).backward()
    assert all(w.grad is not None for w in net.parameters())


def test_the_default_generator_closes_when_its_angle_goes_round():
    z = normal(5, 3)
    turned = z.clone()
    turned[:, 0] += 2 * math.pi
    G = AngleGenerator(mlp(4, (2,), 8, generator=seeded()).double(), 1)
    assert torch.allclose(G(z), G(turned), atol=1e-12)


@pytest.mark.parametrize("rules, modes", [(dict(), ring), (dict(along=""), ring), (dict(along="down turn", angles=0), digits),
                                          (dict(along="down turn", kind="conv"), digits),
                                          (dict(along="", kind="conv"), digits), (dict(along="right", angles=0, kind="conv"), digits),
                                          (dict(along="down", kind="conv", width=2, d_width=2), stacked_digits)])
def test_it_plays_on_points_and_images_and_resumes_to_the_bit(rules, modes, tmp_path):
    def start():
        game = with_settings(Currents(networks=Networks(width=16, d_width=16)), **rules)
        return Run(game, modes(), runs=2, batch=8, average=.9, device="cpu")
    straight, broken = start().step(4), start().step(2)
    again = Run.load(broken.save(tmp_path / "half.safetensors"), device="cpu").step(2)
    assert torch.equal(straight.sample(9), again.sample(9)) and straight.sample(9).shape == (2, 9, *modes().event)
    assert torch.isfinite(straight.losses["G"]).all()


@pytest.mark.parametrize("answer", [(-1,), (-1, 1), (-1, 1, 1, 1)], ids=str)
def test_scores_of_a_stranger_may_have_axes_of_length_one(answer):
    a, x = normal(3), normal(6, 3, seed=1)
    found = flat_penalty(lambda x: (x @ a).reshape(answer), x)
    assert found.shape == () and torch.equal(found, flat_penalty(lambda x: x @ a, x))


def test_settings_of_older_files_are_read():
    game = make("game", {"name": "currents", "price": 3., "width": 8, "lr": 1e-3})
    assert (game.penalty_weight, game.networks.width, game.optimiser.lr) == (3., 8, 1e-3)


def test_each_seed_plays_alone():
    def start(runs):
        return Run(Currents(networks=Networks(width=16, d_width=16)), ring(), runs=runs, batch=8, device="cpu").step(3).sample(9)
    assert torch.allclose(start(2)[:1], start(1), atol=1e-5)


def test_the_first_latent_goes_round():
    run = Run(Currents(), ring(40, std=.02), runs=2, batch=64, average=.9, device="cpu").step(200)
    z = run.noise(10, run.generators("look"))[:, :, None].repeat(1, 1, 60, 1)
    z[..., 0] = torch.linspace(-math.pi, math.pi, 60)
    with torch.no_grad():
        path = run.players.averaged(z.flatten(1, 2)).unflatten(1, (10, 60))
    step = torch.atan2(path[..., 1], path[..., 0]).diff(dim=-1)
    wound = (torch.remainder(step + math.pi, 2 * math.pi) - math.pi).sum(-1) / (2 * math.pi)
    assert (wound - 1).abs().max() < .01


# the benchmark: five points, the authors' objective

def of_the_sum(along, mass, f, w=None):
    """The penalty of the authors' objective at the five points, weight 0.1 of the form."""
    t = SimpleNamespace(x=benchmark.corners()[None], D=f, W=w, stream=lambda name: [seeded()])
    return benchmark.Objective(along=along, weight=.1, mass=mass).bounds(t)


def test_bounds_of_the_sum_by_hand():
    a = torch.tensor([1.2, 1.6])
    points = benchmark.corners() @ a
    expected = (points.abs() - .5).clamp_min(0).square().mean() + 1
    assert torch.allclose(of_the_sum("", .5, lambda x: x @ a), expected[None])
    # with a form the slope counts twice, and 0.1 · curl is added: 0.1 · 3 + 2 · 2 - 1
    def turning(x):
        return 1.5 * torch.stack([-x[..., 1], x[..., 0]], -1)[..., None, :]
    assert torch.allclose(of_the_sum("around", 99., lambda x: x @ a, turning), torch.tensor([3.3 ** 2]), atol=1e-5)
    # a constant field of length 40 adds 0.1 · 40 · the first number of a random vector to a score of 9
    def constant(x):
        return torch.tensor([40., 0.]).expand(*x.shape[:-1], 1, 2)
    first = random_frames(benchmark.corners()[None], 1, [seeded()])[..., 0, 0]
    assert torch.allclose(of_the_sum("around", 5., lambda x: 9 + 0 * x.sum(-1), constant), (9 + 4 * first - 5).square().mean(-1))


def test_the_authors_turns_batch_and_networks():
    run = Run(benchmark.FIVE["released, k=1"][0], benchmark.FivePoints(), runs=2, batch=5, device="cpu").step(2)
    assert run.words == [*["DW"] * 5, "G"] and torch.equal(run.real(5, run.generators("data"))[1], benchmark.corners())
    assert torch.isfinite(run.losses["DW"]).all() and run.latent == 5
    shapes = {name: [tuple(w.shape[1:]) for w in net.parameters() if w.shape[1] > 1] for name, net in run.players.nets.items()}
    assert shapes == {"G": [(6, 250), (250, 250), (250, 250), (250, 2)], "D": [(2, 100), (100, 100), (100, 100), (100, 1)],
                      "W": [(2, 50), (50, 50), (50, 2)]}


def test_hidden_weights_are_as_torch_draws_them():
    net = benchmark.torch_init(mlp(100, (2,), 400, 1, generator=seeded()))
    assert .0995 < net.hidden[0].weight.abs().max() <= .1 and .0495 < net.final.weight.abs().max() <= .05


def test_orbits_of_a_circle_and_of_a_dot():
    turn = torch.arange(200) * 2 * math.pi / 200
    circle = torch.stack([turn.cos(), turn.sin()], 1)
    found = benchmark.along_orbits(torch.stack([circle, circle.flip(0) / 2, 0 * circle + circle[0]])[:, None])
    assert found["winding"]["by seed"] == [1, -1, 0]
    assert found["length"]["by seed"] == pytest.approx([2 * math.pi, math.pi, 0], abs=1e-3)
    assert found["farthest point"]["by seed"] == pytest.approx([0, .5, 2 * math.sin(.4 * math.pi)], abs=1e-3)
