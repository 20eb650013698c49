"""modelab.methods.bigan: losses and signs, pairs, the two famous mistakes, shapes, games."""

import pytest
import torch
from helpers import same_run, seeded
from torch import nn

from modelab.core.registry import make, set_setting
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import line, ring
from modelab.data.pictures import faces
from modelab.lab.panel import Lab
from modelab.losses.adversarial import discriminator_loss
from modelab.methods.bigan import BiGAN, generator_encoder_loss
from modelab.networks.layers import joint_discriminator, JointMLP
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run


def logits(*shape):
    return torch.randn(2, *shape, generator=seeded(), dtype=torch.float64)


# Fidelity

def test_losses_are_their_formulas():
    real, fake = logits(3, 7)
    swapped = -(1 - real.sigmoid()).log().mean(1) - fake.sigmoid().log().mean(1)
    assert torch.allclose(generator_encoder_loss(real, fake), swapped)
    assert torch.allclose(generator_encoder_loss(real, fake, "linear"), real.mean(1) - fake.mean(1))
    assert torch.allclose(discriminator_loss(real, fake), -real.sigmoid().log().mean(1) - (1 - fake.sigmoid()).log().mean(1))


@pytest.mark.parametrize("form", ["swapped", "linear"])
def test_signs(form):
    """A flipped encoder would bring the logits of real pairs up."""
    real, fake = (v.requires_grad_() for v in logits(9))
    down, up = torch.autograd.grad(generator_encoder_loss(real, fake, form), (real, fake))
    assert (down > 0).all() and (up < 0).all()


@pytest.mark.parametrize("form", ["swapped", "linear"])
def test_both_maps_are_trained_in_their_turn_and_d_is_not(form):
    """The encoder that nobody trains is a famous mistake."""
    run = Run(BiGAN(form=form, networks=Networks(width=8)), ring(), runs=2, batch=8, device="cpu").step(1)
    before = {name: [w.detach().clone() for w in net.parameters()] for name, net in run.players.nets.items()}
    run.players.ready("GE")
    turn = type("T", (), {"x": ring().sample(16, generator=seeded()).expand(2, 16, 2), "z": torch.randn(2, 16, 2, generator=seeded()),
                          "generator": [seeded(), seeded()], "step": 1, **run.players.nets})
    run.players.move("GE", run.game.loss_GE(turn))
    moved = {name for name, net in run.players.nets.items()
             if any(not torch.equal(a, b) for a, b in zip(before[name], net.parameters()))}
    assert moved == {"G", "E"}


def test_the_encoder_opposes_the_discriminator():
    """A few steps of E alone bring the logits of real pairs down."""
    run = Run(BiGAN(networks=Networks(width=16)), ring(), runs=2, batch=64, device="cpu").step(20)
    nets, x = run.players.nets, ring().sample(64, generator=seeded()).expand(2, 64, 2)
    first = nets["D"](x, nets["E"](x)).mean(1).detach()
    adam = torch.optim.Adam(nets["E"].parameters(), 1e-3)
    for _ in range(10):
        run.players.ready("GE")
        adam.zero_grad()
        generator_encoder_loss(nets["D"](x, nets["E"](x)), torch.zeros(2, 64)).sum().backward()
        adam.step()
    assert (nets["D"](x, nets["E"](x)).mean(1) < first).all()


def test_d_hears_nothing_of_the_maps():
    run = Run(BiGAN(networks=Networks(width=8)), ring(), runs=2, batch=8, device="cpu")
    nets = run.players.nets
    for net in nets.values():
        net.requires_grad_(True)
    turn = type("T", (), {"x": ring().sample(8, generator=seeded()).expand(2, 8, 2), "z": torch.randn(2, 8, 2), "step": 0,
                          "generator": [seeded(), seeded()], **nets})
    run.game.loss_D(turn).sum().backward()
    assert not any(w.grad is not None and w.grad.any() for name in "GE" for w in nets[name].parameters())
    assert any(w.grad.any() for w in nets["D"].parameters())


FADE = Schedule("cosine", 4)


def test_rates_fall_by_the_schedule():
    fade = Schedule("cosine", 100)
    assert fade(0) == 1 and fade(50) == pytest.approx(.5) and fade(100) == .01 == fade(900)
    game = BiGAN(networks=Networks(width=8), optimiser=Optimiser(schedule=FADE))
    run = Run(game, ring(), runs=1, batch=4, device="cpu").step(3)
    for name in "GED":
        assert run.players.adam[name].param_groups[0]["lr"] == pytest.approx(1e-3 * FADE(2))
    assert run.game.optimiser.lr == 1e-3 and game.spec["lr"] == 1e-3


def test_a_rate_changed_under_way_fades_too():
    game = BiGAN(networks=Networks(width=8), optimiser=Optimiser(schedule=FADE))
    run = Run(game, ring(), runs=1, batch=4, device="cpu").step(2)
    set_setting(run.game, "lr", {"G": .5, "E": 1e-3, "D": 1e-3})
    run.step(1)
    assert run.players.adam["G"].param_groups[0]["lr"] == pytest.approx(.5 * FADE(2))
    slow = Schedule("cosine", 50)
    game = BiGAN(networks=Networks(width=8, latent=1), optimiser=Optimiser(schedule=slow))
    lab = Lab(game, line(5), batch=8, samples=20).step(2).set("lr.D", 4e-3).step(2)
    assert lab.sides["A"].players.adam["D"].param_groups[0]["lr"] == pytest.approx(4e-3 * slow(3))


def test_g_may_have_a_size_of_its_own():
    nets = BiGAN(networks=Networks(width=8, depth=2, g_width=16, g_depth=3)).players((2,), 1, 2, [seeded(0), seeded(1)])
    assert [tuple(layer.weight.shape[1:]) for layer in nets["G"].hidden] == [(1, 16), (16, 16), (16, 16)]
    assert nets["E"].net.hidden[0].weight.shape[-1] == 8 and len(nets["D"].net.hidden) == 2
    same = [BiGAN(networks=Networks(width=8, **own)).players((2,), 1, 1, [seeded()])["G"].state_dict()
            for own in ({}, {"g_width": 8, "g_depth": 2})]
    assert all(torch.equal(a, b) for a, b in zip(same[0].values(), same[1].values()))


# Bad input

@pytest.mark.parametrize("call, words", [
    (lambda: BiGAN(form="log"), "form: unknown 'log'"), (lambda: BiGAN(prior="flat"), "prior: unknown 'flat'"),
    (lambda: BiGAN(optimiser=Optimiser(schedule=Schedule("cosine", 0))), "steps"),
    (lambda: BiGAN(networks=Networks(g_width=0)), "g_width"), (lambda: BiGAN(networks=Networks(g_depth=0)), "g_depth"),
    (lambda: generator_encoder_loss(*logits(3), "x"), "form"),
    (lambda: joint_discriminator([2], 1, 0), "width"),
    (lambda: joint_discriminator([2], 1, 4)(torch.zeros(5, 3), torch.zeros(5, 1)), "expected shape"),
])
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# Shapes

def test_runs_are_slices_and_pictures_are_flattened():
    D = joint_discriminator((1, 4, 4), 3, 8, 2, 3, [seeded(r) for r in range(3)])
    x, z = torch.randn(3, 5, 1, 4, 4, generator=seeded()), torch.randn(3, 5, 3, generator=seeded())
    assert D(x, z).shape == (3, 5)
    alone = joint_discriminator((1, 4, 4), 3, 8)
    alone.load_state_dict({k: v[1].reshape(alone.state_dict()[k].shape) for k, v in D.state_dict().items()})
    assert torch.allclose(alone(x[1], z[1]), D(x, z)[1], atol=1e-6)


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("prior", ["normal", "uniform"])
@pytest.mark.parametrize("data", [ring, digits, line])
def test_plays_on_points_and_pictures(stochastic, prior, data):
    run = Run(BiGAN(stochastic=stochastic, prior=prior, networks=Networks(width=8)), data(), runs=2, batch=4, device="cpu").step(2)
    assert run.sample(3).shape == (2, 3, *data().event) and torch.isfinite(run.sample(3)).all()
    z = run.noise(200, run.generators("test"))
    assert (z.abs().max() <= 1) == (prior == "uniform")


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("data", [stacked_digits, faces])
def test_plays_on_pictures_with_convolutions(stochastic, data, tmp_path):
    def fresh(runs=2, seed=0):
        game = BiGAN(stochastic=stochastic, networks=Networks("conv", width=4, latent=3))
        return Run(game, data(), runs=runs, seed=seed, batch=4, device="cpu")
    fresh().step(1).save(tmp_path / "x")
    assert same_run(Run.load(tmp_path / "x", device="cpu").step(1), run := fresh().step(2))
    assert run.sample(3).shape == (2, 3, *run.modes.event)
    alone = fresh(runs=1, seed=1).step(2)  # a run beside another is the run alone
    assert torch.allclose(alone.sample(3)[0], run.sample(3)[1], atol=1e-4)


def test_players_of_your_own():
    own = dict(G=lambda: nn.Linear(2, 2), E=lambda: nn.Linear(2, 2), D=lambda: JointMLP([2, 2], (), 4))
    assert Run(BiGAN(**own), ring(), runs=2, batch=4, device="cpu").step(2).sample(3).shape == (2, 3, 2)


# Determinism

@pytest.mark.parametrize("fade", [None, Schedule("cosine", 6)])
def test_resumed_is_uninterrupted(fade, tmp_path):
    def fresh():
        game = BiGAN(stochastic=True, networks=Networks(width=8), optimiser=Optimiser(schedule=fade))
        return Run(game, ring(), runs=2, batch=8, device="cpu")
    fresh().step(2).save(tmp_path / "x")
    assert same_run(Run.load(tmp_path / "x", device="cpu").step(2), fresh().step(4))


def test_settings_of_older_files_are_read():
    old = make("game", {"name": "bigan", "fade": 6, "width": 8, "g_width": 16, "lr": 1e-3})
    new = BiGAN(networks=Networks(width=8, g_width=16),
                optimiser=Optimiser(1e-3, schedule=Schedule("cosine", 6)))
    assert old.spec == new.spec and make("game", new.spec).optimiser.schedule == Schedule("cosine", 6)
