"""modelab.methods.pairwise: the twelve ways in which a pair-wise gradient penalty goes wrong, one test or more for each."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers import normal, same_run, seeded
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modelab.core.registry import make
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import line, ring
from modelab.data.pictures import faces
from modelab.methods.pairwise import (alignment, pairwise_gradient_penalty,
                                      pairwise_latent_penalty, PairwiseBiGAN)
from modelab.networks.layers import mlp
from modelab.networks.players import Networks
from modelab.training.game import Turn
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

DOUBLE = torch.float64


class Joint(nn.Module):
    """A smooth discriminator of (x, z), whatever the event."""

    def __init__(self, size, lead=1, seed=0):
        super().__init__()
        self.weight, self.out, self.lead = nn.Parameter(normal(size, 5, seed=seed) / math.sqrt(size)), nn.Parameter(normal(5)), lead

    def forward(self, x, z):
        return torch.tanh(torch.cat([x.flatten(self.lead), z.flatten(self.lead)], -1) @ self.weight) @ self.out


def reference(D, x, z, x_hat, share):
    """‖∇D − u‖² by central differences, example by example, coordinate by coordinate."""
    values = []
    for i in range(len(x)):
        at = x_hat[i] + share[i] * (x[i] - x_hat[i])
        slope, step = torch.zeros_like(at).flatten(), 1e-6
        for j in range(at.numel()):
            nudge = torch.zeros_like(at).flatten()
            nudge[j] = step
            up, down = (D((at + s * nudge.view_as(at))[None], z[i:i + 1]) for s in (1, -1))
            slope[j] = ((up - down) / (2 * step)).item()
        gap = (x[i] - x_hat[i]).flatten()
        values.append((slope - gap / gap.norm()).square().sum())
    return torch.stack(values)


EVENTS = pytest.mark.parametrize("event", [(1,), (3,), (2, 4, 4), (5, 3)], ids=["number", "point", "image", "sequence"])


# Fidelity

@EVENTS
def test_equals_finite_differences(event):
    x, x_hat, z = normal(6, *event), normal(6, *event, seed=1), normal(6, 2, seed=2)
    D = Joint(math.prod(event) + 2)
    share = torch.rand(6, generator=seeded(), dtype=DOUBLE)
    ours = pairwise_gradient_penalty(D, x, z, x_hat, generator=seeded())
    assert ours.shape == (6,) and torch.allclose(ours, reference(D, x, z, x_hat, share), atol=1e-7)
    norm = pairwise_gradient_penalty(D, x, z, x_hat, form="norm", generator=seeded())
    assert torch.allclose(norm, ours.sqrt())


@pytest.mark.parametrize("form", ["squared", "norm"])
@pytest.mark.parametrize("degenerate", ["mask", "zero", "smooth"])
def test_gradcheck_in_the_weights(form, degenerate):
    x, x_hat, z = normal(4, 3), normal(4, 3, seed=1), normal(4, 2, seed=2)
    x_hat[0] = x[0]

    def value(weight):
        D = lambda a, b: torch.tanh(torch.cat([a, b], -1) @ weight).sum(-1)
        return pairwise_gradient_penalty(D, x, z, x_hat, form=form, degenerate=degenerate, generator=seeded())
    assert torch.autograd.gradcheck(value, normal(5, 4, seed=3).requires_grad_())


def linear(a):
    return lambda x, z: x @ a


def test_1_the_sign_follows_the_labels():
    x, x_hat, z = torch.tensor([[3., 0.]]), torch.zeros(1, 2), torch.zeros(1, 1)
    aligned, opposed, flat = (pairwise_gradient_penalty(linear(torch.tensor([s, 0.])), x, z, x_hat).item() for s in (1., -1., 0.))
    assert (aligned, opposed, flat) == (0, 4, 1)
    low_on_real = linear(torch.tensor([-1., 0.]))
    assert pairwise_gradient_penalty(lambda a, b: -low_on_real(a, b), x, z, x_hat).item() == 0


def test_2_a_slope_of_one_needs_logits():
    x, x_hat, z = torch.full((1, 1), 5.), torch.zeros(1, 1), torch.zeros(1, 1)
    logit = lambda a, b: a.squeeze(-1)
    assert pairwise_gradient_penalty(logit, x, z, x_hat).item() == 0
    for scale in (.1, 1., 4., 40.):  # no probability rises by five
        where = [pairwise_gradient_penalty(lambda a, b: (scale * (a.squeeze(-1) - 2.5)).sigmoid(), x, z, x_hat, generator=seeded(i))
                 for i in range(200)]
        assert torch.cat(where).mean() > .5
    assert alignment(logit, x, z, x_hat).rise.item() == 5


def test_3_the_norm_is_over_the_whole_event():
    x, x_hat, z = torch.rand(2, 28, 28, 1, dtype=DOUBLE), torch.zeros(2, 28, 28, 1, dtype=DOUBLE), normal(2, 3)
    flat = pairwise_gradient_penalty(lambda a, b: 0 * a.flatten(1).sum(1), x, z, x_hat)
    assert torch.allclose(flat, torch.ones(2, dtype=DOUBLE))  # ‖0 − u‖² is 1, not 28 · 28


def test_3_images_with_equal_pixels_stay_finite():
    x = torch.zeros(2, 1, 8, 8)
    x[:, :, 3:5] = 1
    x_hat = torch.zeros_like(x)
    D = mlp((1, 8, 8), (), 8, generator=seeded())
    loss = pairwise_gradient_penalty(lambda a, b: D(a), x, torch.zeros(2, 1), x_hat)
    loss.sum().backward()
    assert torch.isfinite(loss).all() and all(torch.isfinite(w.grad).all() for w in D.parameters() if w.grad is not None)


def test_4_the_article_takes_a_mean_where_we_sum():
    x, x_hat, z = normal(6, 2), normal(6, 2, seed=1), normal(6, 2, seed=2)
    a, u = torch.tensor([.3, -.2], dtype=DOUBLE), F.normalize(x - x_hat, dim=-1)
    ours = pairwise_gradient_penalty(linear(a), x, z, x_hat)
    assert torch.allclose((a - u).square().mean(-1), ours / 2)


def test_5_one_place_on_the_segment_per_example():
    seen = []

    def spy(x, z):
        seen.append(x.detach())
        return x.flatten(1).sum(1)
    x, x_hat = torch.ones(64, 3, 4, 4), torch.zeros(64, 3, 4, 4)
    pairwise_gradient_penalty(spy, x, torch.zeros(64, 1), x_hat, generator=seeded())
    where = seen[-1].flatten(1)
    assert (where == where[:, :1]).all() and len(where[:, 0].unique()) > 60
    assert 0 <= where.min() < .1 and .9 < where.max() <= 1


def test_6_where_x_is_its_own_reconstruction():
    x, z = normal(3, 2), normal(3, 1)
    x_hat = x.clone()
    x_hat[0] += torch.tensor([0., -2.])
    a = torch.tensor([.6, .8], dtype=DOUBLE)
    values = {d: pairwise_gradient_penalty(linear(a), x, z, x_hat, degenerate=d) for d in ("mask", "zero", "smooth")}
    right = (a - torch.tensor([0., 1.], dtype=DOUBLE)).square().sum()
    assert torch.allclose(values["mask"], torch.stack([right, right * 0, right * 0]))
    assert torch.allclose(values["zero"][1:], a.square().sum().expand(2)) and torch.allclose(values["zero"][0], right)
    assert torch.allclose(values["smooth"], values["zero"], atol=1e-4)


def test_6_smooth_fades_with_the_length_of_the_pair():
    x, x_hat, z = torch.tensor([[.01], [1.]], dtype=DOUBLE), torch.zeros(2, 1, dtype=DOUBLE), normal(2, 1)
    flat = pairwise_gradient_penalty(lambda a, b: 0 * a.sum(-1), x, z, x_hat, degenerate="smooth", blur=.01)
    assert flat.tolist() == pytest.approx([.5, 1 / (1 + 1e-4)])


@pytest.mark.parametrize("form", ["squared", "norm"])
def test_7_a_perfect_or_dead_discriminator_gives_finite_slopes(form):
    x, x_hat, z = torch.tensor([[1., 0.], [2., 0.]]), torch.zeros(2, 2), torch.zeros(2, 1)
    for start in ([1., 0.], [0., 0.]):
        a = torch.tensor(start, requires_grad=True)
        pairwise_gradient_penalty(linear(a), x, z, x_hat, form=form).sum().backward()
        assert torch.isfinite(a.grad).all()
    assert a.grad[0] < 0  # from a dead discriminator the way leads up


@pytest.mark.parametrize("far", [1e-30, 1e-12, 1., 1e12, 1e30])
def test_7_lengths_neither_underflow_nor_overflow(far):
    x, x_hat, z = torch.tensor([[far, far]]), torch.zeros(1, 2), torch.zeros(1, 1)
    value = pairwise_gradient_penalty(lambda a, b: 0 * a.sum(-1) + b[:, 0], x, z, x_hat)
    assert value.item() == pytest.approx(1, rel=1e-5)


def test_8_only_the_discriminator_learns_from_it():
    E, G, D = (mlp(2, 2, 8, generator=seeded(i)) for i in range(3))
    joint = lambda x, z: D(x + z).sum(-1)
    x = torch.randn(5, 2, generator=seeded()).requires_grad_()
    z = E(x)
    pairwise_gradient_penalty(joint, x, z, G(z)).sum().backward()
    assert x.grad is None and all(w.grad is None for net in (E, G) for w in net.parameters())
    assert any(w.grad is not None and w.grad.abs().sum() > 0 for w in D.parameters())
    pairwise_latent_penalty(joint, G(z), z, E(G(z))).sum().backward()
    assert all(w.grad is None for net in (E, G) for w in net.parameters())


def test_9_no_batch_norm_in_the_discriminator():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1), nn.Flatten(0))

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x, z):
            return self.net(torch.cat([x, z], -1))
    x, z = torch.randn(4, 2), torch.randn(4, 1)
    with pytest.raises(ValueError, match="BatchNorm1d couples"):
        pairwise_gradient_penalty(Wrapped(), x, z, x + 1)
    pairwise_gradient_penalty(Wrapped().eval(), x, z, x + 1)


def test_9_examples_do_not_hear_each_other():
    x, x_hat, z = normal(6, 2), normal(6, 2, seed=1), normal(6, 2, seed=2)
    D, a = Joint(4), normal(2)
    whole = pairwise_gradient_penalty(D, x, z, x_hat, generator=seeded())
    changed = x.clone()
    changed[1:] += 1
    assert torch.equal(pairwise_gradient_penalty(D, changed, z, x_hat, generator=seeded())[0], whole[0])


def test_10_in_the_games_turn_of_D_only_D_moves():
    run = Run(PairwiseBiGAN(networks=Networks(width=8)), ring(), runs=2, batch=4, device="cpu")
    for word, movers in (("D", {"D"}), ("GE", {"G", "E"})):
        before = {k: v.clone() for k, v in run.players.state().items() if k.startswith("player")}
        run.players.ready(word)
        run.players.move(word, getattr(run.game, f"loss_{word}")(Turn(run, 0, 0)))
        after = run.players.state()
        assert {k.split("/")[1] for k, v in before.items() if not torch.equal(v, after[k])} == movers


def test_10_works_under_no_grad_and_with_a_frozen_discriminator():
    D = Joint(4).requires_grad_(False)
    with torch.no_grad():
        value = pairwise_gradient_penalty(D, normal(3, 2), normal(3, 2, seed=1), normal(3, 2, seed=2))
    assert torch.isfinite(value).all()


@EVENTS
def test_11_runs_are_slices(event):
    x, x_hat, z = normal(3, 4, *event), normal(3, 4, *event, seed=1), normal(3, 4, 2, seed=2)
    Ds = [Joint(math.prod(event) + 2, seed=r) for r in range(3)]
    stacked = lambda a, b: torch.stack([D(a[r], b[r]) for r, D in enumerate(Ds)])
    whole = pairwise_gradient_penalty(stacked, x, z, x_hat, lead=2, generator=[seeded(r) for r in range(3)])
    alone = [pairwise_gradient_penalty(D, x[r], z[r], x_hat[r], generator=seeded(r)) for r, D in enumerate(Ds)]
    assert whole.shape == (3, 4) and torch.allclose(whole, torch.stack(alone))


def test_11_weights_per_example_are_the_callers():
    x, x_hat, z = normal(5, 2), normal(5, 2, seed=1), normal(5, 2, seed=2)
    D, share = Joint(4), torch.tensor([0., 0., 1., 0., 0.], dtype=DOUBLE)
    value = pairwise_gradient_penalty(D, x, z, x_hat, generator=seeded())
    grad = torch.autograd.grad((share * value).sum(), list(D.parameters()))
    one = pairwise_gradient_penalty(lambda a, b: D(a, b), x, z, x_hat, generator=seeded())[2]
    assert all(torch.allclose(a, b) for a, b in zip(grad, torch.autograd.grad(one, list(D.parameters()))))


def test_12_alignment_says_what_was_reached():
    x, x_hat, z = normal(4, 2), normal(4, 2, seed=1), normal(4, 1)
    x_hat[3] = x[3]
    a = torch.tensor([.6, .8], dtype=DOUBLE)
    seen = alignment(linear(a), x, z, x_hat)
    gap = x - x_hat
    assert torch.allclose(seen.slope, torch.ones(4, dtype=DOUBLE)) and torch.allclose(seen.distance, gap.norm(dim=1))
    assert torch.allclose(seen.cosine[:3], F.normalize(gap[:3], dim=1) @ a) and seen.cosine[3].isnan()
    assert torch.allclose(seen.rise, gap @ a)


def test_the_twin_in_z_points_the_other_way():
    z, z_hat, x = torch.tensor([[3., 0.]]), torch.zeros(1, 2), torch.zeros(1, 1)
    values = [pairwise_latent_penalty(lambda a, b: b @ torch.tensor([s, 0.]), x, z, z_hat).item() for s in (1., -1., 0.)]
    assert values == [4, 0, 1]


# Bad input

def test_bad_input_is_named():
    x, z, D = torch.zeros(4, 2), torch.zeros(4, 1), lambda x, z: x.sum(-1)
    with pytest.raises(ValueError, match=r"x, x_hat: expected one shape.*\(4, 2\).*\(5, 2\)"):
        pairwise_gradient_penalty(D, x, z, torch.zeros(5, 2))
    with pytest.raises(ValueError, match="discriminator: expected one score per example"):
        pairwise_gradient_penalty(lambda x, z: x, x, z, x + 1)
    with pytest.raises(ValueError, match="discriminator: expected one score per example"):
        pairwise_gradient_penalty(lambda x, z: x.sum(), x, z, x + 1)
    with pytest.raises(ValueError, match="at least one example"):
        pairwise_gradient_penalty(D, x[:0], z[:0], x[:0])
    with pytest.raises(ValueError, match="form: unknown 'square', did you mean 'squared'"):
        pairwise_gradient_penalty(D, x, z, x + 1, form="square")
    with pytest.raises(ValueError, match="degenerate: unknown"):
        pairwise_gradient_penalty(D, x, z, x + 1, degenerate="drop")
    with pytest.raises(ValueError, match="blur"):
        pairwise_gradient_penalty(D, x, z, x + 1, blur=0.)
    for call in (pairwise_gradient_penalty, alignment):
        with pytest.raises(ValueError, match=r"x, z: expected the same batch, got \(4, 2\) and \(3, 1\)"):
            call(D, x, z[:3], x + 1)
    with pytest.raises(ValueError, match=r"x_hat, z: expected the same runs and batch"):
        pairwise_latent_penalty(D, x[None], z[None, :3], z[None, :3], lead=2)
    with pytest.raises(TypeError, match="discriminator: expected a function"):
        pairwise_gradient_penalty(3, x, z, x + 1)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)])
def test_a_discriminator_of_yours_may_answer_as_everybody_writes_it(shape):
    x, x_hat, z, D = normal(6, 1, 4, 4), normal(6, 1, 4, 4, seed=1), normal(6, 2, seed=2), Joint(18)
    theirs = lambda a, b: D(a, b).reshape(len(a), *shape)
    value = pairwise_gradient_penalty(theirs, x, z, x_hat, generator=seeded())
    assert torch.equal(value, pairwise_gradient_penalty(D, x, z, x_hat, generator=seeded()))
    other = pairwise_latent_penalty(theirs, x, z, z + 1, generator=seeded())
    assert torch.equal(other, pairwise_latent_penalty(D, x, z, z + 1, generator=seeded()))
    assert torch.equal(alignment(theirs, x, z, x_hat).rise, alignment(D, x, z, x_hat).rise)


def test_nan_is_passed_on():
    x = torch.full((3, 2), math.nan)
    assert pairwise_gradient_penalty(Joint(3), x.double(), normal(3, 1), normal(3, 2)).isnan().any()


@pytest.mark.parametrize("bad", [{"weight": -1.}, {"penalty_form": "l2"}, {"form": "l2"}, {"weight_schedule": 3},
                                 {"weight_schedule": {"steps": 3}}])
def test_bad_settings_of_the_game_are_refused(bad):
    with pytest.raises((ValueError, TypeError), match=next(iter(bad))):
        PairwiseBiGAN(**bad)


@pytest.mark.parametrize("steps", [0, 1.5])
def test_bad_schedules_are_refused(steps):
    with pytest.raises((ValueError, TypeError), match="steps: expected a whole number"):
        make("game", {"name": "pairwisebigan", "weight_schedule": {"shape": "cosine", "steps": steps}})
    with pytest.raises((ValueError, TypeError), match="steps: expected a whole number"):
        make("game", {"name": "pairwisebigan", "schedule": {"shape": "cosine", "steps": steps}})


@given(st.integers(1, 5), st.integers(1, 4), st.floats(-3, 3))
def test_any_shape_gives_one_value_per_example(n, d, shift):
    x, z = normal(n, d), normal(n, 2)
    value = pairwise_gradient_penalty(Joint(d + 2), x, z, x + shift)
    assert value.shape == (n,) and torch.isfinite(value).all() and (value >= 0).all()


# The game

@pytest.mark.parametrize("modes", [ring, line, digits])
def test_the_game_plays_points_numbers_and_images(modes):
    run = Run(PairwiseBiGAN(networks=Networks(width=8)), modes(), runs=2, batch=4, device="cpu").step(2)
    assert run.sample(3).shape == (2, 3, *run.modes.event)


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("data", [stacked_digits, faces])
def test_plays_on_pictures_with_convolutions(stochastic, data, tmp_path):
    def fresh(runs=2, seed=0):
        game = PairwiseBiGAN(stochastic=stochastic, networks=Networks("conv", width=4, latent=3))
        return Run(game, data(), runs=runs, seed=seed, batch=4, device="cpu")
    fresh().step(1).save(tmp_path / "x")
    assert same_run(Run.load(tmp_path / "x", device="cpu").step(1), run := fresh().step(2))
    assert run.sample(3).shape == (2, 3, *run.modes.event)
    alone = fresh(runs=1, seed=1).step(2)  # a run beside another is the run alone
    assert torch.allclose(alone.sample(3)[0], run.sample(3)[1], atol=1e-4)


def test_the_penalty_of_a_convolutional_discriminator_is_run_by_run():
    run = Run(PairwiseBiGAN(networks=Networks("conv", width=4, latent=3)), faces(), runs=2, batch=4, device="cpu")
    t, G, D = Turn(run, 0, 0), run.players.nets["G"], run.players.nets["D"]
    both = pairwise_gradient_penalty(D, t.x, t.z, G(t.z), generator=[seeded(0), seeded(1)])
    assert both.shape == (2, 4)
    first = pairwise_gradient_penalty(lambda x, z: D(x[None].expand(2, *x.shape), z[None].expand(2, *z.shape))[0],
                                      t.x[0], t.z[0], G(t.z)[0], generator=seeded(0))
    assert torch.allclose(both[0], first, atol=1e-5)


FADE = Schedule("cosine", 10)


def test_same_seed_same_bits_and_resuming_changes_nothing(tmp_path):
    def fresh():
        game = PairwiseBiGAN(stochastic=True, penalty_form="norm", networks=Networks(width=8),
                             optimiser=Optimiser(schedule=Schedule("cosine", 6)))
        return Run(game, ring(), runs=2, batch=4, device="cpu")
    whole, parts = fresh().step(6), fresh().step(3)
    resumed = Run.load(parts.save(tmp_path / "run.safetensors"), device="cpu").step(3)
    assert torch.equal(whole.sample(5), resumed.sample(5)) and torch.equal(whole.losses["D"], resumed.losses["D"])


def test_rates_and_weight_fade_together():
    rates = Optimiser({"G": .1, "E": .2, "D": .4}, schedule=FADE)
    game = PairwiseBiGAN(networks=Networks(width=8), optimiser=rates)
    run = Run(game, ring(), runs=1, batch=4, device="cpu").step(6)
    assert run.players.adam["D"].param_groups[0]["lr"] == pytest.approx(.4 * FADE(5))
    assert run.players.adam["G"].param_groups[0]["lr"] == pytest.approx(.1 * FADE(5))
    assert [game.weight_at(s) for s in (0, 5, 10)] == [1, pytest.approx(.5), .01]
    assert PairwiseBiGAN(weight=3.).weight_at(7) == 3


def test_the_weight_may_end_before_the_rates_do():
    early = Schedule("cosine", 4, floor=0.)
    game = PairwiseBiGAN(weight_schedule=early, weight=2., networks=Networks(width=8), optimiser=Optimiser(schedule=FADE))
    assert [game.weight_at(s) for s in (0, 2, 4, 9)] == [2, pytest.approx(1), 0, 0]
    early = Schedule("cosine", 3, floor=0.)
    games = [PairwiseBiGAN(weight=w, weight_schedule=early, networks=Networks(width=8)) for w in (0., 1.)]
    walks = [Run(game, ring(), runs=1, batch=4, device="cpu").step(5) for game in games]
    equal = walks[0].losses["D"] == walks[1].losses["D"]
    assert not equal[0] and not torch.equal(walks[0].sample(4), walks[1].sample(4))
    walks[1].players.restore({k: v.clone() for k, v in walks[0].players.state().items()})
    assert torch.equal(walks[0].step(3).sample(4), walks[1].step(3).sample(4)), "after its schedule it is BiGAN"


def test_settings_of_older_files_are_read():
    old = make("game", {"name": "pairwisebigan", "settle": 5, "penalty": "norm", "fade": 8, "width": 8})
    assert old.penalty_form == "norm" and old.optimiser.schedule == Schedule("cosine", 8)
    assert old.weight_schedule == Schedule("cosine", 5, floor=0.) and make("game", old.spec).spec == old.spec


@pytest.mark.parametrize("form", ["swapped", "linear"])
def test_each_term_reaches_its_own_player(form):
    """The real pairs teach E alone, the generated ones G alone; E pushes real logits down, G pushes its own up."""
    game, batch = PairwiseBiGAN(form=form), torch.randn(1, 6, 2, generator=seeded())
    G, E = (torch.ones((), requires_grad=True) for _ in range(2))
    nets = {"G": lambda z: G * z, "E": lambda x: E * x, "D": lambda x, z: (x + 3 * z).sum(-1)}
    t = type("T", (), {"x": batch, "z": batch.flip(1), **{k: staticmethod(v) for k, v in nets.items()}})
    grad_G, grad_E = torch.autograd.grad(game.loss_GE(t).sum(), (G, E))
    real, fake = nets["D"](batch, E * batch), nets["D"](G * t.z, t.z)
    slope_real, slope_fake = (torch.ones_like(real), -torch.ones_like(fake)) if form == "linear" else (real.sigmoid(), -(-fake).sigmoid())
    assert torch.allclose(grad_E, (slope_real * 3 * batch.sum(-1)).mean()) and torch.allclose(grad_G, (slope_fake * t.z.sum(-1)).mean())


def test_the_weight_enters_once():
    """Loss of D with λ minus loss without, divided by λ, is the penalty itself."""
    run = Run(PairwiseBiGAN(weight=0., networks=Networks(width=8)), ring(radius=4), runs=2, batch=8, device="cpu")
    losses = []
    for weight in (0., 1., 3.):
        run.game.weight = weight
        losses.append(run.game.loss_D(Turn(run, 0, 0)))
    turn = Turn(run, 0, 0)
    z = run.players.nets["E"](turn.x)
    alone = pairwise_gradient_penalty(turn.D, turn.x, z, turn.G(z), generator=turn.generator).mean(-1)
    assert torch.allclose(losses[1] - losses[0], alone, atol=1e-6) and torch.allclose(losses[2] - losses[0], 3 * alone, atol=1e-6)
