"""modelab.methods.relativistic: closed forms in float64, known mistakes, the smallest GAN, shapes, the game."""

import cmath
import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from helpers import normal, plays_and_resumes, same_run, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modelab.core.registry import make
from modelab.course.claims import recorded
from modelab.data.digits import digits
from modelab.data.mixtures import ring
from modelab.losses.adversarial import discriminator_loss, generator_loss
from modelab.losses.penalties import r1, r2
from modelab.methods.relativistic import (r3gan_settings, Relativistic, relativistic_discriminator_loss,
                                          relativistic_generator_loss)
from modelab.networks.layers import mlp
from modelab.networks.players import Networks
from modelab.training.run import Run

LOSSES = (relativistic_discriminator_loss, relativistic_generator_loss)


def linear_turn(runs: int = 3, event: tuple[int, ...] = (2,)):
    """A turn in which D is linear with a slope of its own in each run, and G moves its latents by one."""
    slope = normal(runs, 1, *event, seed=1)

    class Linear(nn.Module):
        lead = 2

        def forward(self, x):
            return (x * slope).flatten(2).sum(-1)
    return SimpleNamespace(x=normal(runs, 5, *event), z=normal(runs, 5, *event, seed=2), D=Linear(), G=lambda z: z + 1), slope


# Fidelity

def test_losses_are_their_formulas():
    real, fake = normal(2, 3, 7)
    assert torch.allclose(LOSSES[0](real, fake), -(real - fake).sigmoid().log().mean(1), atol=1e-14)
    assert torch.allclose(LOSSES[1](real, fake), -(fake - real).sigmoid().log().mean(1), atol=1e-14)
    assert LOSSES[0](real[0], fake[0]).shape == ()


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_finite_differences(loss):
    real, fake = (v.requires_grad_() for v in normal(2, 6).clone().unbind())
    assert torch.autograd.gradcheck(loss, (real, fake))


@given(shift=st.floats(-50, 50), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_constant_changes_nothing(shift, seed):
    real, fake = normal(2, 9, seed=seed)
    for loss in LOSSES:
        assert torch.allclose(loss(real + shift, fake + shift), loss(real, fake), atol=1e-12)


def test_equal_pairs_cost_the_logarithm_of_two_and_the_best_constant_is_flat():
    x = normal(40, 2)
    D = lambda v, w: (v * w).sum(-1)
    w = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    y = x[torch.randperm(40, generator=seeded(3))].requires_grad_()
    loss = LOSSES[0](D(x, w), D(y, w))
    assert loss.item() == pytest.approx(math.log(2))
    grads = torch.autograd.grad(loss, (w, y), retain_graph=True)
    assert all(v.abs().max() < 1e-15 for v in grads)
    assert LOSSES[0](*normal(2, 1000)) + LOSSES[0](*normal(2, 1000).flip(0)) >= 2 * math.log(2)


@pytest.mark.parametrize("gammas", [(0., 0.), (.3, 0.), (0., .3), (.5, .5), (2., 1.)])
def test_eigenvalues_of_the_smallest_gan(gammas):
    zero = torch.zeros(1, 1, dtype=torch.float64)

    def field(v):
        theta, psi = (u.detach().reshape(1, 1).requires_grad_() for u in v)
        D = lambda x: (x * psi).sum(-1)
        down = LOSSES[0](D(zero), D(theta.detach())) + gammas[0] * r1(D, zero) + gammas[1] * r2(D, theta)
        up, = torch.autograd.grad(LOSSES[1](D(zero), D(theta)), theta)
        return -torch.cat([up, torch.autograd.grad(down, psi)[0]]).flatten()
    basis = torch.eye(2, dtype=torch.float64) * 1e-5
    J = torch.stack([(field(e) - field(-e)) / 2e-5 for e in basis], 1)
    total = sum(gammas)
    for sign in (1, -1):
        root = (-total + sign * cmath.sqrt(total ** 2 - 1)) / 2
        assert min(abs(complex(v) - root) for v in torch.linalg.eigvals(J)) < 1e-6
        assert root.real < 0 if total else root.real == 0


def test_with_one_real_point_the_original_loss_has_the_same_gradients():
    psi, theta = torch.tensor([[.7], [-.4]], dtype=torch.float64).requires_grad_().unbind()
    D, zero = lambda x: x * psi, torch.zeros(1, dtype=torch.float64)
    for ours, theirs, player in ((LOSSES[0](D(zero), D(theta)), discriminator_loss(D(zero), D(theta)), psi),
                                 (LOSSES[1](D(zero), D(theta)), generator_loss(D(theta)), theta)):
        assert torch.allclose(*(torch.autograd.grad(v, player, retain_graph=True)[0] for v in (ours, theirs)))


def test_settings_of_r3gan():
    first, last = r3gan_settings(0., 2., 2e-4), r3gan_settings(1., 2., 2e-4)
    assert first == {"weight": 2., "lr": pytest.approx(2e-4), "betas": (0., pytest.approx(.9))}
    assert last == {"weight": pytest.approx(.2), "lr": pytest.approx(5e-5), "betas": (0., pytest.approx(.99))}
    assert r3gan_settings(.5)["weight"] == pytest.approx((.1 + .01) / 2)


# Known mistakes

def test_pairs_are_no_matrix():
    """D answers (N, 1) and (N,): the plain difference is (N, N), the mean over all pairs."""
    real, fake = normal(2, 6)
    for loss in LOSSES:
        assert torch.equal(loss(real[:, None], fake), loss(real, fake))
    matrix = F.softplus(-(real[:, None] - fake)).mean()
    assert abs(matrix - LOSSES[0](real, fake)) > 1e-3


def test_pairs_stay_within_a_run():
    real, fake = normal(2, 3, 6)
    for loss in LOSSES:
        alone = torch.stack([loss(a, b) for a, b in zip(real, fake)])
        assert torch.equal(loss(real, fake), alone)
        assert not torch.allclose(loss(real, fake.roll(1, 0)), alone)


def test_pairs_are_kept_and_not_averaged():
    """The average form compares each logit with the mean of the others; it is another loss."""
    real, fake = normal(2, 6)
    average = F.softplus(-(real - fake.mean())).mean()
    assert abs(average - LOSSES[0](real, fake)) > 1e-3
    assert abs(LOSSES[0](real, fake.roll(1)) - LOSSES[0](real, fake)) > 1e-3


@pytest.mark.parametrize("weights", [(.6, 0.), (0., .6), (.6, .2)])
def test_penalties_are_half_gamma_times_the_sum_over_pixels(weights):
    """Other implementations take the mean over pixels, forget the half, or take R2 at real examples."""
    turn, slope = linear_turn(event=(1, 8, 8))
    game = Relativistic(weight=weights[0], fake_weight=weights[1])
    plain = Relativistic(weight=0., fake_weight=0.).loss_D(turn)
    due = sum(weights) / 2 * slope.flatten(1).square().sum(1)
    assert torch.allclose(game.loss_D(turn) - plain, due)


def test_r2_is_taken_at_generated_examples():
    turn, _ = linear_turn()
    turn.D = type("Bowl", (nn.Module,), {"lead": 2, "forward": lambda self, x: x.square().sum(-1) / 2})()
    plain = Relativistic(weight=0., fake_weight=0.).loss_D(turn)
    ours = Relativistic(weight=0., fake_weight=2.).loss_D(turn) - plain
    assert torch.allclose(ours, (turn.z + 1).square().sum(-1).mean(-1))


def test_r2_needs_no_gradient_on_detached_examples_and_sends_none_to_the_generator():
    D = mlp(2, (), 8)
    leaf = normal(5, 2, dtype=torch.float32).requires_grad_()
    r2(D, (2 * leaf).detach()).backward()
    assert D.final.weight.grad.abs().max() > 0 and leaf.grad is None
    r2(D, 2 * leaf).backward()
    assert leaf.grad is None


def test_the_generator_descends_its_own_loss():
    """A known implementation overwrites the generator's relativistic loss by the ordinary one."""
    turn, _ = linear_turn()
    ours = Relativistic().loss_G(turn)
    assert torch.allclose(ours, F.softplus(turn.D(turn.x) - turn.D(turn.G(turn.z))).mean(-1))
    assert not torch.allclose(ours, generator_loss(turn.D(turn.G(turn.z))))


# Bad input

@pytest.mark.parametrize("loss", LOSSES)
def test_sizes_that_cannot_be_paired_are_refused(loss):
    with pytest.raises(ValueError, match="fake_logits"):
        loss(torch.zeros(6), torch.zeros(4))
    with pytest.raises(TypeError, match="real_logits"):
        loss([0.], torch.zeros(1))


@pytest.mark.parametrize("wrong", [{"weight": -1.}, {"fake_weight": math.nan}, {"weight": "1"}])
def test_bad_weights_are_refused(wrong):
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        Relativistic(**wrong)


def test_bad_progress_is_refused():
    with pytest.raises(ValueError, match="progress"):
        r3gan_settings(1.5)


# Shapes and precision

@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 1, 1, 1), (4, 1, 2, 2)])
def test_answers_of_many_networks(shape):
    assert LOSSES[0](torch.zeros(shape), torch.zeros(shape)).item() == pytest.approx(math.log(2))


def test_extreme_logits_stay_finite():
    far = torch.tensor([-1e4, 1e4], requires_grad=True)
    total = sum(loss(far, -far) for loss in LOSSES)
    total.backward()
    assert torch.isfinite(total) and torch.isfinite(far.grad).all()


# The game

def test_it_is_known_by_name():
    game = make("game", {"name": "relativistic", "weight": .5, "width": 8})
    assert isinstance(game, Relativistic) and (game.weight, game.fake_weight, game.networks.width) == (.5, .1, 8)


@pytest.mark.parametrize("data", [lambda: ring(std=.1), digits])
def test_plays_and_resumes(data, tmp_path):
    plays_and_resumes(lambda: Relativistic(networks=Networks(width=8)), data, tmp_path)


def test_same_seeds_same_bits():
    a, b = (Run(Relativistic(networks=Networks(width=8)), ring(), runs=2, batch=8, device="cpu").step(3) for _ in "ab")
    assert same_run(a, b)


def test_only_the_player_of_the_turn_moves():
    run = Run(Relativistic(networks=Networks(width=8)), ring(), runs=2, batch=4, device="cpu").step(1)
    before = {k: v.clone() for k, v in run.players.state().items() if k.startswith("player")}
    run.players.ready("G")
    run.players.move("G", run.game.loss_G(SimpleNamespace(x=torch.randn(2, 4, 2), z=torch.randn(2, 4, 2), **run.players.nets)))
    after = run.players.state()
    assert {k.split("/")[1] for k, v in before.items() if not torch.equal(v, after[k])} == {"G"}


# The record

@pytest.mark.parametrize("name", ["rare_modes", "grid", "ring"])
def test_the_weights_of_the_first_comparison_are_the_best_of_its_tuning(name):
    """As many settings for both losses, chosen on four seeds and measured on eight others."""
    kept = recorded("relativistic")["first"]
    for result, kind in zip(kept["result"][name], ("standard", "relativistic"), strict=True):
        tried = [row for row in kept["tuning"][name] if row["setting"].startswith(kind)]
        best = max(tried, key=lambda row: (sum(row["captured"]), -sum(row["tv"])))
        assert len(tried) == 4 and result["setting"] == best["setting"]
        assert {len(row["captured"]) for row in tried} == {4} and len(result["captured"]) == 8


@pytest.mark.parametrize("kind", ["standard", "relativistic"])
def test_the_recorded_weights_are_the_best_of_the_tuning(kind):
    """The same for the set on which rare modes can be held; held modes choose, then the covered part of the rare share."""
    kept = recorded("relativistic")["rare"]
    tried, result = kept["tuning"][kind], kept["result"][kind]
    best = max(tried, key=lambda row: (sum(row["held"]), sum(row["rare"])))
    assert len(tried) == 4 and result["setting"] == best["setting"]
    assert {len(row["held"]) for row in tried} == {4} and len(result["held"]) == len(result["rare"]) == 8
    assert result["companions"]["null"]["held"] == 0 and result["companions"]["floor"]["held"] == 9
