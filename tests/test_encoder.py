"""modelab.methods.encoder: the game turned round, uniformity beside its null and its floor, modes kept apart, shapes, runs."""

import itertools
import math
import re

import pytest
import torch
from helpers import normal, same_run, seeded
from scipy.stats import kstest
from torch import nn

from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import line, ring
from modelab.data.pictures import faces
from modelab.lab.panel import Lab
from modelab.losses.adversarial import discriminator_loss, generator_loss
from modelab.losses.penalties import r1
from modelab.methods.encoder import (Encoder, joint_ks_statistic, ks_statistic, LATENT_PRIORS,
                                     prior_cdf, separated_modes)
from modelab.networks.layers import JointMLP
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

FIVE = line(5, spacing=1., std=.02)
REGIME = {"prior": "uniform", "networks": Networks(latent=1, width=32),
          "optimiser": Optimiser({"E": 5e-4, "D": 2e-3})}


def turn(run: Run, n: int = 16, **changes):
    """A turn of the run by hand."""
    x = torch.stack([run.modes.sample(n, generator=seeded(r)) for r in range(run.runs)])
    z = run.noise(n, [seeded(50 + r) for r in range(run.runs)])
    draws = [seeded(100 + r) for r in range(run.runs)]
    return type("T", (), {"x": x, "z": z, "generator": draws, "step": 0, **run.players.nets, **changes})


@torch.no_grad()
def codes(run: Run, n: int = 500):
    """Fresh codes with their modes, and draws of the prior."""
    x, mode = map(torch.stack, zip(*(run.modes.sample_with_modes(n, generator=seeded(r)) for r in range(run.runs))))
    t = turn(run, n)
    t.x = x
    return run.game.encode(t), mode, t.z


# Fidelity

@pytest.mark.parametrize("prior, law", [("normal", ("norm", ())), ("uniform", ("uniform", (-1, 2)))])
@pytest.mark.parametrize("n", [1, 2, 301])
def test_ks_is_scipys_on_every_axis(prior, law, n):
    z = normal(2, n, 3) * .7 - .2
    for r, axis in itertools.product(range(2), range(3)):
        assert ks_statistic(z, prior)[r, axis].item() == pytest.approx(kstest(z[r, :, axis], law[0], args=law[1]).statistic, abs=1e-12)


def test_levels_are_the_priors_distribution_functions():
    z = torch.tensor([-3., -1., 0., .5, 1., 2.], dtype=torch.float64)
    assert torch.allclose(prior_cdf(z, "uniform"), torch.tensor([0, 0, .5, .75, 1, 1]).double())
    assert torch.allclose(prior_cdf(z, "normal"), torch.distributions.Normal(0., 1.).cdf(z), atol=1e-12)


def test_jointly_with_one_latent_is_per_axis():
    z = normal(3, 200, 1)
    assert torch.allclose(joint_ks_statistic(z, "normal"), ks_statistic(z, "normal")[:, 0], atol=1e-12)


@pytest.mark.parametrize("d", [2, 3])
def test_joint_ks_is_the_largest_gap_over_the_corners(d):
    """Against plain counting, corner by corner and code by code."""
    u = torch.rand(40, d, generator=seeded(), dtype=torch.float64)
    worst = 0.
    for at in u:
        for below in itertools.product((True, False), repeat=d):
            inside = [u[:, k] <= at[k] if b else u[:, k] >= at[k] for k, b in enumerate(below)]
            strictly = [u[:, k] < at[k] if b else u[:, k] > at[k] for k, b in enumerate(below)]
            law = math.prod(at[k].item() if b else 1 - at[k].item() for k, b in enumerate(below))
            closed, opened = (torch.stack(v).all(0).double().mean().item() for v in (inside, strictly))
            worst = max(worst, closed - law, law - opened)
    assert joint_ks_statistic(u * 2 - 1, "uniform").item() == pytest.approx(worst, abs=1e-12)


def test_a_diagonal_is_perfect_per_axis_and_a_quarter_off_jointly():
    z = (torch.arange(400, dtype=torch.float64) + .5)[:, None].repeat(1, 2) / 200 - 1
    assert ks_statistic(z, "uniform").max() < .002 and joint_ks_statistic(z, "uniform").item() == pytest.approx(.25, abs=.005)


@pytest.mark.parametrize("weights", [(20,) * 5, (50, 25, 25), (90, 5, 5)])
def test_atoms_cost_half_the_largest_jump_and_no_place_is_better(weights):
    floor, total = max(weights) / sum(weights) / 2, sum(weights)
    middles = [(sum(weights[:k]) + w / 2) / total * 2 - 1 for k, w in enumerate(weights)]
    counts = torch.tensor(weights)
    def at(spots):
        return torch.as_tensor(spots, dtype=torch.float64).repeat_interleave(counts, -1)[..., None]
    assert ks_statistic(at(middles), "uniform").item() == pytest.approx(floor, abs=1e-12)
    anywhere = torch.rand(300, len(weights), generator=seeded(), dtype=torch.float64) * 2 - 1
    assert (ks_statistic(at(anywhere), "uniform") >= floor - 1e-12).all()


def test_kept_knows_an_encoder_made_by_hand():
    x, mode = FIVE.sample_with_modes(600, seeded())
    shared = torch.where(mode[:, None] == 3, x + 1., x)  # mode 3 goes where mode 4 is
    for code, many in ((x, 5), (shared, 3), (x * 0, 0), ((x.double() * 1e4).frac(), 0), (torch.rand(600, 1, generator=seeded()), 0)):
        assert separated_modes(code, mode, 5).item() == many
    ones = torch.zeros(600, dtype=torch.int64)
    assert separated_modes(x[:5], torch.arange(5), 5).item() == 0 and separated_modes(x, ones, 2).item() == 1  # alone; absent


def test_the_losses_are_the_games_of_2014_with_the_ends_exchanged():
    run = Run(Encoder(weight=.3, networks=Networks(width=8)), ring(), runs=3, batch=8, device="cpu")
    t = turn(run)
    D, code = run.players.nets["D"], run.players.nets["E"](t.x)
    assert torch.allclose(run.game.loss_D(t), discriminator_loss(D(t.z), D(code)) + .3 * r1(D, t.z), atol=1e-6)
    assert torch.allclose(run.game.loss_E(t), generator_loss(D(code)), atol=1e-6)
    run.game.weight = 0.
    assert torch.allclose(run.game.loss_D(t), discriminator_loss(D(t.z), D(code)), atol=1e-6)


def test_each_is_trained_in_its_own_turn_and_hears_nothing_of_the_other():
    run = Run(Encoder(networks=Networks(width=8)), ring(), runs=2, batch=8, device="cpu")
    nets = run.players.nets
    for net in nets.values():
        net.requires_grad_(True)
    run.game.loss_D(turn(run)).sum().backward()
    assert not any(w.grad is not None and w.grad.any() for w in nets["E"].parameters())
    for word, mover in (("D", "D"), ("E", "E")):
        before = {name: [w.detach().clone() for w in net.parameters()] for name, net in nets.items()}
        run.players.ready(word)
        run.players.move(word, getattr(run.game, f"loss_{word}")(turn(run)))
        moved = {name for name, net in nets.items() if any(not torch.equal(a, b) for a, b in zip(before[name], net.parameters()))}
        assert moved == {mover}


def test_the_encoder_goes_where_d_says_prior():
    """Codes right of the prior under the best D: one step brings them back. A flipped sign would drive them away."""
    z = (normal(64, 1) + 2).requires_grad_()
    slope, = torch.autograd.grad(generator_loss(2 - 2 * z[:, 0]), z)  # the log-ratio of N(0, 1) and N(2, 1)
    assert (slope > 0).all()


# Bad input

@pytest.mark.parametrize("call, words", [
    (lambda: Encoder(prior="flat"), "prior: unknown 'flat'"), (lambda: Encoder(weight=-1.), "weight"),
    (lambda: ks_statistic(torch.zeros(3)), "codes: expected shape"), (lambda: ks_statistic(torch.zeros(0, 2)), "codes"),
    (lambda: ks_statistic(torch.full((3, 1), math.nan)), "finite"), (lambda: ks_statistic(torch.zeros(3, 1), "x"), "prior"),
    (lambda: joint_ks_statistic(torch.zeros(3, 9)), "at most 8"), (lambda: joint_ks_statistic(torch.zeros(3, 0)), "codes"),
    (lambda: separated_modes(torch.zeros(4, 1), torch.zeros(3).long(), 2), r"mode: expected shape \(\*runs, n\) that fits codes, got \(3,\)"),
    (lambda: separated_modes(torch.zeros(4, 1), torch.zeros(4).long(), 2, 2.), "least"),
    (lambda: Run(Encoder(E=nn.Linear(2, 2)), ring(), runs=2), "one network cannot be 2"),
    (lambda: Run(Encoder(networks=Networks(width=4)), ring(), runs=2).sample(3), "makes no examples"),
    (lambda: Run(Encoder(networks=Networks(width=4)), ring(), runs=2, batch=4, average=.9).step(1).coverage(n=50), "makes no examples"),
    (lambda: Lab("encoder", "ring"), "no turn moves a player G"),
])
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_cure_in_the_message_makes_right_codes_of_far_data():
    run = Run(Encoder(networks=Networks(width=4)), far := ring(radius=200, std=2.), runs=1, batch=8, device="cpu")
    with pytest.raises(ValueError, match="makes no examples") as caught:
        run.sample(3)
    cure, = re.findall(r"run\.player.*\)(?= makes)", str(caught.value))
    x = far.sample(50, seeded(0))[None]
    assert torch.equal(eval(cure, {"run": run, "x": x}), run.players.nets["E"](run.scale.standardise(x)))


def test_modes_are_whole_numbers():
    with pytest.raises(TypeError, match="mode: expected whole numbers in a tensor, an array or a list, got torch.float32"):
        separated_modes(torch.zeros(4, 1), torch.zeros(4), 2)


# Shapes

@pytest.mark.parametrize("prior", LATENT_PRIORS)
def test_a_run_is_a_slice(prior):
    z, mode = normal(2, 3, 50, 2), torch.randint(4, (2, 3, 50), generator=seeded())
    assert ks_statistic(z, prior).shape == (2, 3, 2) and joint_ks_statistic(z, prior).shape == separated_modes(z, mode, 4).shape == (2, 3)
    assert torch.equal(ks_statistic(z[1, 2], prior), ks_statistic(z, prior)[1, 2]) and joint_ks_statistic(z[1, 2], prior) == joint_ks_statistic(z, prior)[1, 2]
    assert separated_modes(z[1, 2], mode[1, 2], 4) == separated_modes(z, mode, 4)[1, 2]


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("data", [line, ring, digits])
def test_plays_on_points_and_pictures(stochastic, data):
    run = Run(Encoder(stochastic=stochastic, networks=Networks(width=8, latent=3)), data(), runs=2, batch=4, device="cpu").step(2)
    assert codes(run, 5)[0].shape == (2, 5, 3)


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("data", [stacked_digits, faces])
def test_plays_on_pictures_with_convolutions(stochastic, data, tmp_path):
    def make(runs=2, seed=0):
        game = Encoder(stochastic=stochastic, networks=Networks("conv", width=4, latent=3))
        return Run(game, data(), runs=runs, seed=seed, batch=4, device="cpu")
    make().step(1).save(tmp_path / "x")
    assert same_run(Run.load(tmp_path / "x", device="cpu").step(1), run := make().step(2))
    assert codes(run, 5)[0].shape == (2, 5, 3)
    alone = make(runs=1, seed=1).step(2)  # a run beside another is the run alone
    for name in "ED":
        pairs = zip(alone.players.nets[name].parameters(), run.players.nets[name].parameters())
        assert all(torch.allclose(a[0], b[1], atol=1e-5) for a, b in pairs)


def test_priors_have_their_laws():
    for prior in LATENT_PRIORS:
        z = Encoder(prior=prior).noise(2, 4000, 2, generator=[seeded(1), seeded(2)])
        assert z.shape == (2, 4000, 2) and ks_statistic(z, prior).max() < 1.95 / math.sqrt(4000)  # p = .001
        assert ks_statistic(z, "normal" if prior == "uniform" else "uniform").min() > .1


def test_players_of_your_own():
    own = dict(E=lambda: JointMLP([2, 1], 1, 4), D=lambda: JointMLP([1], (), 4), networks=Networks(latent=1), stochastic=True)
    assert codes(Run(Encoder(**own), ring(), runs=2, batch=4, device="cpu").step(2), 6)[0].shape == (2, 6, 1)


# Determinism

def test_resumed_is_uninterrupted(tmp_path):
    def make():
        return Run(Encoder(stochastic=True, networks=Networks(width=8)), ring(), runs=2, batch=8, device="cpu")
    make().step(2).save(tmp_path / "x")
    assert torch.equal(codes(Run.load(tmp_path / "x", device="cpu").step(2), 9)[0], codes(make().step(4), 9)[0])
    other = Run(Encoder(stochastic=True, networks=Networks(width=8)), ring(), runs=2, seed=5, batch=8, device="cpu").step(4)
    assert not torch.equal(codes(other, 9)[0], codes(make().step(4), 9)[0])


# The claim, small

def test_an_encoder_spreads_its_spots_and_noise_fills_the_gaps():
    """Without noise five points stay above their floor and apart; with it the floor is passed, and modes share codes."""
    found = {}
    for stochastic in (False, True):
        run = Run(Encoder(stochastic=stochastic, **REGIME), FIVE, runs=4, batch=128, device="cpu")
        first = ks_statistic(codes(run)[0])
        code, mode, _ = codes(run.step(600))
        found[stochastic] = ks_statistic(code), separated_modes(code, mode, 5).double().mean(), first
    plain, noisy = found[False], found[True]
    assert .1 < plain[0].min() and plain[0].max() < .25 < plain[2].mean() and plain[1] > 4.5
    assert noisy[0].mean() < .1 and noisy[1] < 4
