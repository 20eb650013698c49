"""modelab.methods.mode_seeking: closed forms, finite differences through Adam, known mistakes, the games."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from helpers import normal, plays_and_resumes, same_run
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modelab.core.registry import make
from modelab.course.claims import recorded
from modelab.data.digits import digits
from modelab.data.mixtures import ring
from modelab.losses.adversarial import discriminator_loss, generator_loss
from modelab.losses.penalties import r1
from modelab.methods.minimax import Minimax
from modelab.methods.mode_seeking import (adam_state, AdamState, DeviationMLP, mode_seeking_loss, ModeSeeking, pack, PacGAN,
                                          Unrolled, unrolled_discriminator)
from modelab.networks.layers import with_labels
from modelab.networks.players import Networks
from modelab.training.run import Run

SMALL = Networks(width=8)


def small_run(game, **kw) -> Run:
    return Run(game, ring(), **{"runs": 2, "batch": 8, "device": "cpu"} | kw)


def turn_of(run: Run, n: int = 8, seed: int = 0) -> SimpleNamespace:
    """A turn with given examples and latents; what it draws besides is the same at each call."""
    x, z = normal(run.runs, n, 2, seed=seed, dtype=torch.float32), normal(run.runs, n, run.latent, seed=seed + 1, dtype=torch.float32)
    return SimpleNamespace(x=x, z=z, batch=n, step=run.steps, players=run.players, real=lambda m: normal(run.runs, m, 2, seed=5, dtype=torch.float32),
                           noise=lambda m, *_: normal(run.runs, m, run.latent, seed=6, dtype=torch.float32), **run.players.nets)


# Packs

@given(runs=st.integers(0, 3), packs=st.integers(1, 4), packing=st.integers(1, 4), event=st.sampled_from([(2,), (3, 4, 4)]))
@settings(max_examples=30, deadline=None)
def test_packs_are_neighbours_side_by_side(runs, packs, packing, event):
    lead = (runs,) * (runs > 0)
    x = normal(*lead, packs * packing, *event)
    found = pack(x, packing, len(lead) + 1)
    assert found.shape == (*lead, packs, packing * event[0], *event[1:])
    for part, whole in zip(found if runs else [found], x if runs else [x]):
        assert all(torch.equal(part[i], torch.cat([*whole[i * packing:(i + 1) * packing]])) for i in range(packs))


def test_batches_that_are_no_whole_packs_are_refused():
    with pytest.raises(ValueError, match="^x, packing: expected whole packs of 3"):
        pack(torch.zeros(4, 2), 3)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_a_missed_part_shows_in_packs(m):
    """TV of packs is 1 - (1 - ε)^m if a part of mass ε is missed, and the logit of a perfect D is a sum."""
    p, q = torch.full((4,), .25, dtype=torch.float64), torch.tensor([1 / 3] * 3 + [0], dtype=torch.float64)
    joint = lambda law: law[torch.cartesian_prod(*[torch.arange(4)] * m).view(-1, m)].prod(1)
    assert (joint(p) - joint(q)).abs().sum().item() / 2 == pytest.approx(1 - .75 ** m)


def test_packs_of_one_are_the_original_game():
    for saturating in (False, True):
        a, b = (small_run(game(saturating=saturating, networks=SMALL, **own)).step(3)
                for game, own in ((PacGAN, {"packing": 1}), (Minimax, {})))
        assert same_run(a, b)


def test_no_pack_holds_both_kinds():
    """A known mistake packs one batch of real and generated examples; here D only sees packs of one kind."""
    run, seen = small_run(PacGAN(packing=3, networks=SMALL)), []
    run.players.nets["D"].register_forward_hook(lambda net, inputs, _: seen.append(inputs[0].detach()))
    turn = turn_of(run)
    run.game.loss_D(turn)
    real, fake = turn.real(24), turn.G(turn.noise(24)).detach()
    for packs, kind in zip(seen, (real, fake), strict=True):
        assert torch.equal(packs, torch.cat([kind[:, i::3] for i in range(3)], -1))


def test_a_step_uses_independent_draws_for_each_place_of_a_pack():
    """Another known mistake repeats one example, or takes fewer latents than places."""
    run = small_run(PacGAN(packing=4, networks=SMALL), batch=5).step(1)
    seen = []
    run.players.nets["D"].register_forward_hook(lambda net, inputs, _: seen.append(inputs[0]))
    run.step(1)
    assert all(packs.shape == (2, 5, 8) and len(packs[0].reshape(-1, 2).unique(dim=0)) == 20 for packs in seen)


# Looking ahead

def player() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0)).double()


def trained(betas=(.5, .9), n=3):
    """A small D, its Adam after some steps, real and generated examples."""
    D, x, fake = player(), normal(6, 2), normal(6, 2, seed=1)
    adam = torch.optim.Adam(D.parameters(), 1e-2, betas=betas)
    real_steps(D, adam, x, fake + .2, n)
    return D, adam, x, fake


def real_steps(D, adam, x, fake, n):
    for _ in range(n):
        adam.zero_grad()
        discriminator_loss(D(x), D(fake)).backward()
        adam.step()


def state_of(D, adam, kind=AdamState) -> AdamState:
    group, at = adam.param_groups[0], {name: adam.state[w] for name, w in D.named_parameters()}
    steps = next(iter(at.values())).get("step", 0)
    moments = [{n: s.get(key, torch.zeros_like(w)).clone() for (n, w), s in zip(D.named_parameters(), at.values())}
               for key in ("exp_avg", "exp_avg_sq")]
    return kind(group["lr"], group["betas"], *moments, int(steps))


def ahead(D, state, x, fake, unroll):
    loss = lambda D: discriminator_loss(D(x), D(fake))
    return loss(unrolled_discriminator(D, loss, state, unroll))


@pytest.mark.parametrize("betas, before", [((.5, .9), 3), ((0., .9), 3), ((.9, .999), 0)])
@pytest.mark.parametrize("unroll", [0, 1, 4])
def test_value_and_gradient_are_those_of_real_steps(betas, before, unroll):
    D, adam, x, fake = trained(betas, before)

    def by_real_steps(fake):
        other, own = copy.deepcopy(D), None
        own = torch.optim.Adam(other.parameters(), 1e-2, betas=betas)
        own.load_state_dict(copy.deepcopy(adam.state_dict()))
        real_steps(other, own, x, fake, unroll)
        return discriminator_loss(other(x), other(fake)).item()
    fake.requires_grad_()
    value = ahead(D, state_of(D, adam), x, fake, unroll)
    slope, = torch.autograd.grad(value, fake)
    assert value.item() == pytest.approx(by_real_steps(fake.detach()), abs=1e-12)
    for at in ((0, 0), (3, 1)):
        nudge = torch.zeros_like(slope)
        nudge[at] = 1e-6
        up, down = (by_real_steps((fake + sign * nudge).detach()) for sign in (1, -1))
        assert (up - down) / 2e-6 == pytest.approx(slope[at].item(), abs=1e-8)


@pytest.mark.parametrize("part", ["mean", "square"])
def test_moments_as_constants_have_another_gradient(part):
    """A known mistake: no gradient through Adam's state. The value is right, the gradient is not."""
    D, adam, x, fake = trained()

    class Forgetful(AdamState):
        def update(self, weights, slopes):
            moved, new = AdamState.update(self, weights, slopes)
            fixed = {"mean": new.mean, "square": new.square} | {part: {n: v.detach() for n, v in getattr(new, part).items()}}
            (a, b), t = self.betas, new.step
            moved = {n: w - self.lr / (1 - a ** t) * fixed["mean"][n] / ((fixed["square"][n] / (1 - b ** t)).sqrt() + 1e-8)
                     for n, w in weights.items()}
            return moved, Forgetful(self.lr, self.betas, fixed["mean"], fixed["square"], t)
    fake.requires_grad_()
    right, wrong = (ahead(D, state_of(D, adam, kind), x, fake, 3) for kind in (AdamState, Forgetful))
    slopes = [torch.autograd.grad(v, fake)[0] for v in (right, wrong)]
    assert right.item() == pytest.approx(wrong.item(), abs=1e-12) and (slopes[0] - slopes[1]).abs().max() > 1e-4


def test_steps_cut_from_the_graph_leave_half_of_the_damping():
    """The data are 0, D(x) = ψx, L = ψθ: the gradient is -ψ + 2Kηθ; with `detach` it is -ψ + Kηθ."""
    for unroll in (0, 1, 5):
        for cut in (False, True):
            theta, psi = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (.7, .4))
            for _ in range(unroll):
                psi = psi - .1 * torch.autograd.grad(psi * theta, psi, create_graph=not cut)[0]
            slope, = torch.autograd.grad(-psi * theta, theta)
            assert slope.item() == pytest.approx(-.4 + (1 if cut else 2) * unroll * .1 * .7)
        K = unroll * .1
        J = torch.tensor([[-2 * K, 1.], [-1., 0.]], dtype=torch.float64)
        for sign in (1, -1):
            root = -K + sign * complex(K * K - 1) ** .5
            assert min(abs(complex(v) - root) for v in torch.linalg.eigvals(J)) < 1e-12


def test_a_weight_without_gradient_gives_no_nan():
    D = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1), nn.Flatten(0)).double()
    with torch.no_grad():
        D[0].bias[1] = -1e3  # a unit that never answers
    fake = normal(6, 2).requires_grad_()
    slope, = torch.autograd.grad(ahead(D, state_of(D, torch.optim.Adam(D.parameters())), normal(6, 2, seed=1), fake, 3), fake)
    assert torch.isfinite(slope).all() and slope.abs().max() > 0


def test_the_discriminator_and_its_buffers_stay_as_they_are():
    """A known mistake leaves D, or its running averages, where the virtual steps brought them."""
    D = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1), nn.Flatten(0)).double()
    before = copy.deepcopy(D.state_dict())
    ahead(D, state_of(D, torch.optim.Adam(D.parameters())), normal(6, 2), normal(6, 2, seed=1), 3)
    assert all(torch.equal(v, before[name]) for name, v in D.state_dict().items())


def test_adam_of_a_run_is_read_as_it_stands():
    run = small_run(Unrolled(networks=SMALL)).step(3)
    state, moments = adam_state(turn_of(run), "D"), run.players.state()
    assert state.step == 3 and (state.lr, state.betas) == (1e-3, (0., .9))
    assert torch.equal(torch.cat([v.flatten() for v in state.mean.values()]), moments["adam/D/exp_avg"])
    assert torch.equal(torch.cat([v.flatten() for v in state.square.values()]), moments["adam/D/exp_avg_sq"])
    assert adam_state(turn_of(small_run(Unrolled(networks=SMALL))), "D").step == 0


def test_fewer_than_no_steps_are_refused():
    D, adam, x, fake = trained(n=1)
    with pytest.raises(ValueError, match="^unroll: expected 0 or more"):
        ahead(D, state_of(D, adam), x, fake, -1)


def test_the_unrolled_loss_of_a_run_is_that_after_real_steps():
    run = small_run(Unrolled(unroll=2, networks=SMALL)).step(3)
    turn, other = turn_of(run), copy.deepcopy(run)
    fake = turn.G(turn.z).detach()
    for _ in range(2):
        other.players.ready("D")
        D = other.players.nets["D"]
        other.players.move("D", discriminator_loss(D(turn.x), D(fake)))
    D = other.players.nets["D"]
    assert torch.allclose(run.game.loss_G(turn), -discriminator_loss(D(turn.x), D(fake)), atol=1e-5)


def test_without_steps_it_is_the_saturating_game():
    run = small_run(Unrolled(unroll=0, networks=SMALL)).step(2)
    turn, weights = turn_of(run), list(run.players.nets["G"].parameters())
    run.players.ready("G")
    a, b = (torch.autograd.grad(game.loss_G(turn).sum(), weights) for game in (run.game, Minimax(saturating=True)))
    assert all(torch.allclose(u, v, atol=1e-7) for u, v in zip(a, b))


# Mode seeking

@given(a=st.floats(.1, 9), runs=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_a_linear_generator_has_a_known_ratio(a, runs):
    z, other = normal(2, runs, 5, 3)
    for factor in (a, -a):
        found = mode_seeking_loss(factor * z, factor * other, z, other)
        assert torch.allclose(found, torch.full((runs,), 1 / (a + 1e-5), dtype=torch.float64))


def test_it_is_the_inverse_of_a_ratio_of_means():
    """Known mistakes minimise the ratio itself, or take the mean of the ratios."""
    z, other, x, other_x = normal(4, 7, 3)
    x = x ** 3
    far, near = (x - other_x).abs(), (z - other).abs()
    found = mode_seeking_loss(x, other_x, z, other)
    assert torch.allclose(found, 1 / (far.mean() / near.mean() + 1e-5))
    assert abs(found - far.mean() / near.mean()) > 1e-2
    assert abs(found - 1 / ((far.mean(1) / near.mean(1)).mean() + 1e-5)) > 1e-3
    assert mode_seeking_loss(.1 * x, .1 * other_x, z, other) > found  # collapse costs more


def test_it_prefers_outer_modes_to_all_modes():
    def of(places):
        both, zero = torch.cartesian_prod(*[torch.tensor(places).double()] * 2), torch.zeros(len(places) ** 2, 1).double()
        return mode_seeking_loss(both[:, :1], both[:, 1:], zero, zero + 1).item()
    assert of([0, 1, 2, 3, 4]) == pytest.approx(1 / (1.6 + 1e-5)) and of([0, 4]) == pytest.approx(1 / (2 + 1e-5))
    assert of([2, 2]) == pytest.approx(1e5)


def test_equal_latents_give_a_number():
    z = normal(5, 3)
    assert torch.isfinite(mode_seeking_loss(z, z, z, z)) and torch.isfinite(mode_seeking_loss(z, z + 1, z, z))
    with pytest.raises(ValueError, match="^z, other_z"):
        mode_seeking_loss(z, z, z, z[:, :2])


def test_runs_are_slices():
    x, other_x, z, other = normal(4, 3, 5, 2)
    alone = torch.stack([mode_seeking_loss(*(v[r] for v in (x, other_x, z, other))) for r in range(3)])
    assert torch.equal(mode_seeking_loss(x, other_x, z, other), alone)


def test_the_game_has_two_adversarial_terms_and_the_weighted_one():
    run = small_run(ModeSeeking(weight=3., networks=SMALL)).step(1)
    turn = turn_of(run)
    z = turn.z, turn.noise(8)
    made = [turn.G(v) for v in z]
    adversarial = sum(generator_loss(turn.D(v)) for v in made)
    assert torch.allclose(run.game.loss_G(turn), adversarial + 3 * mode_seeking_loss(*made, *z))
    assert torch.allclose(run.game.loss_D(turn), sum(discriminator_loss(turn.D(turn.x), turn.D(v)) for v in made))
    assert torch.allclose(ModeSeeking(weight=0.).loss_G(turn), adversarial)


def test_both_samples_of_a_conditional_generator_have_the_same_labels():
    seen = []

    class G(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(2, 2)

        def forward(self, z, y):
            seen.append(y)
            return self.net(z) + y[:, None]
    Run(ModeSeeking(G=with_labels(G), networks=Networks(width=4, latent=2)), ring(), runs=1, batch=6, device="cpu").step(1)
    assert all(torch.equal(a, b) for a, b in zip(seen[::2], seen[1::2])) and len(seen) == 4


# Minibatch deviation

def test_the_deviation_is_over_the_examples_of_a_group():
    """A known mistake takes it over the features of one example: then four copies look like four examples."""
    D = DeviationMLP(2, width=4, group=4).double()
    x = normal(8, 2)
    x[:4] = x[0]
    h = x
    for layer in D.hidden:
        h = F.leaky_relu(layer(h), .2)
    spread = torch.stack([(group.var(0, correction=0) + 1e-8).sqrt().mean() for group in h.split(4)]).repeat_interleave(4)
    assert torch.allclose(D(x), D.final(torch.cat([h, spread[:, None]], 1))[:, 0], atol=1e-12)
    assert spread[0] < 2e-4 < spread[4] and not torch.allclose(h.std(1)[:4].mean(), spread[0])
    assert not torch.allclose(D(x.flip(0)[:4]), D(x)[4:].flip(0) + 1)


def test_groups_stay_within_a_run_and_a_batch():
    generators = [torch.Generator().manual_seed(r) for r in range(2)]
    D = DeviationMLP(2, width=4, runs=2, generator=generators)
    x = normal(2, 8, 2, dtype=torch.float32)
    assert torch.allclose(D(x)[:, :4], D(x[:, :4]), atol=1e-6) and D.coupled
    with pytest.raises(ValueError, match="whole groups of 4"):
        D(x[:, :6])
    with pytest.raises(ValueError, match="batch"):
        small_run(Minimax(D=lambda: DeviationMLP(2, width=4), networks=SMALL), batch=6)


def test_penalties_take_the_gradient_of_the_sum():
    D, x = DeviationMLP(2, width=4), torch.randn(8, 2)
    slope, = torch.autograd.grad(D(x.requires_grad_()).sum(), x)
    assert torch.allclose(r1(D, x.detach()), slope.square().sum(1).mean() / 2)


# The games

@pytest.mark.parametrize("name, own", [("pacgan", {"packing": 3}), ("unrolled", {"unroll": 1}), ("modeseeking", {"weight": .5})])
def test_they_are_known_by_name(name, own):
    game = make("game", {"name": name, "width": 8, **own})
    assert all(getattr(game, k) == v for k, v in own.items()) and game.networks.width == 8


@pytest.mark.parametrize("game", [PacGAN, Unrolled, ModeSeeking])
@pytest.mark.parametrize("data", [ring, digits])
def test_they_play_and_resume(game, data, tmp_path):
    own = {"unroll": 2} if game is Unrolled else {}
    plays_and_resumes(lambda: game(networks=Networks(width=4), **own), data, tmp_path)


@pytest.mark.parametrize("game", [PacGAN, Unrolled, ModeSeeking])
def test_a_seed_is_the_same_alone_and_beside_others(game):
    many, alone = (small_run(game(networks=SMALL), runs=n, seed=s).step(2) for n, s in ((3, 0), (1, 1)))
    assert torch.allclose(many.losses["G"][:, 1], alone.losses["G"][:, 0], atol=1e-5)


@pytest.mark.parametrize("wrong", [{"packing": 0}, {"packing": 1.5}, {"unroll": -1}, {"weight": -1.}, {"weight": math.nan}])
def test_bad_settings_are_refused(wrong):
    game = {"packing": PacGAN, "unroll": Unrolled, "weight": ModeSeeking}[next(iter(wrong))]
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        game(**wrong)


# The record

@pytest.mark.parametrize("name", ["plain", "PacGAN", "mode seeking", "minibatch deviation", "unrolled"])
def test_the_recorded_settings_are_the_best_of_the_tuning(name):
    """As many settings for each, chosen on four seeds and measured on eight others; held modes choose, then the covered rare share."""
    kept = recorded("mode_seeking")
    tried, (result,) = kept[f"{name} tuning"], kept[name]
    best = max(tried, key=lambda row: (sum(row["held"]), sum(row["rare"])))
    assert len(tried) == 4 and result["setting"] == best["setting"]
    assert {len(row["held"]) for row in tried} == {4} and len(result["held"]) == len(result["rare"]) == 8
    assert result["null"]["held"] == 0 and result["floor"]["held"] == 9
