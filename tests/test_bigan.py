"""modelab.methods.bigan: losses and signs, pairs, the two famous mistakes, shapes, games."""

import pytest
import torch
from torch import nn

from modelab.data.digits import digits
from modelab.data.mixtures import line, ring
from modelab.lab.panel import Lab
from modelab.methods.bigan import (BiGAN, cosine_decay, discriminator_loss,
                                   generator_encoder_loss, Joined, joint_discriminator)
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def logits(*shape):
    return torch.randn(2, *shape, generator=gen(), dtype=torch.float64)


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
    turn = type("T", (), {"x": ring().sample(16, generator=gen()).expand(2, 16, 2), "z": torch.randn(2, 16, 2, generator=gen()),
                          "generator": [gen(), gen()], "step": 1, **run.players.nets})
    run.players.move("GE", run.game.loss_GE(turn))
    moved = {name for name, net in run.players.nets.items()
             if any(not torch.equal(a, b) for a, b in zip(before[name], net.parameters()))}
    assert moved == {"G", "E"}


def test_the_encoder_opposes_the_discriminator():
    """A few steps of E alone bring the logits of real pairs down."""
    run = Run(BiGAN(networks=Networks(width=16)), ring(), runs=2, batch=64, device="cpu").step(20)
    nets, x = run.players.nets, ring().sample(64, generator=gen()).expand(2, 64, 2)
    first = nets["D"](x, nets["E"](x)).mean(1).detach()
    adam = torch.optim.Adam(nets["E"].parameters(), 1e-3)
    for _ in range(10):
        run.players.ready("GE")
        adam.zero_grad()
        generator_encoder_loss(nets["D"](x, nets["E"](x)), torch.zeros(2, 1)).sum().backward()
        adam.step()
    assert (nets["D"](x, nets["E"](x)).mean(1) < first).all()


def test_d_hears_nothing_of_the_maps():
    run = Run(BiGAN(networks=Networks(width=8)), ring(), runs=2, batch=8, device="cpu")
    nets = run.players.nets
    for net in nets.values():
        net.requires_grad_(True)
    turn = type("T", (), {"x": ring().sample(8, generator=gen()).expand(2, 8, 2), "z": torch.randn(2, 8, 2), "step": 0,
                          "generator": [gen(), gen()], **nets})
    run.game.loss_D(turn).sum().backward()
    assert not any(w.grad is not None and w.grad.any() for name in "GE" for w in nets[name].parameters())
    assert any(w.grad.any() for w in nets["D"].parameters())


def test_fading():
    assert cosine_decay(0, 100) == 1 and cosine_decay(50, 100) == pytest.approx(.5) and cosine_decay(100, 100) == .01 == cosine_decay(900, 100)
    assert cosine_decay(900, None) == 1
    run = Run(BiGAN(networks=Networks(width=8), optimiser=Optimiser(schedule=Schedule("cosine", 4))), ring(), runs=1, batch=4, device="cpu").step(3)
    assert run.game.lr["G"] == pytest.approx(1e-3 * cosine_decay(2, 4)) and dict(run.game.lr.items()) == dict.fromkeys("GED", 1e-3)


def test_a_rate_changed_under_way_fades_too():
    run = Run(BiGAN(networks=Networks(width=8), optimiser=Optimiser(schedule=Schedule("cosine", 4))), ring(), runs=1, batch=4, device="cpu").step(2)
    run.game.lr = {"G": .5, "E": 1e-3, "D": 1e-3}
    run.step(1)
    assert run.players.rates("G")["lr"] == pytest.approx(.5 * cosine_decay(2, 4))
    lab = Lab(BiGAN(networks=Networks(width=8, latent=1), optimiser=Optimiser(schedule=Schedule("cosine", 50))), line(5), batch=8, samples=20).step(2).set("lr.D", 4e-3).step(2)
    assert lab.sides["A"].players.adam["D"].param_groups[0]["lr"] == pytest.approx(4e-3 * cosine_decay(3, 50))


def test_g_may_have_a_size_of_its_own():
    nets = BiGAN(networks=Networks(width=8, depth=2, g_width=16, g_depth=3)).players((2,), 1, 2, [gen(0), gen(1)])
    assert [tuple(layer.weight.shape[1:]) for layer in nets["G"].hidden] == [(1, 16), (16, 16), (16, 16)]
    assert nets["E"].net.hidden[0].weight.shape[-1] == 8 and len(nets["D"].net.hidden) == 2
    same = [BiGAN(networks=Networks(width=8), **own).players((2,), 1, 1, [gen()])["G"].state_dict() for own in ({}, {"g_width": 8, "g_depth": 2})]
    assert all(torch.equal(a, b) for a, b in zip(same[0].values(), same[1].values()))


# Bad input

@pytest.mark.parametrize("call, words", [
    (lambda: BiGAN(form="log"), "form: unknown 'log'"), (lambda: BiGAN(prior="flat"), "prior: unknown 'flat'"),
    (lambda: BiGAN(optimiser=Optimiser(schedule=Schedule("cosine", 0))), "fade"), (lambda: BiGAN(networks=Networks(g_width=0)), "g_width"), (lambda: BiGAN(networks=Networks(g_depth=0)), "g_depth"),
    (lambda: generator_encoder_loss(*logits(3), "x"), "form"),
    (lambda: joint_discriminator([2], 1, 0), "width"),
    (lambda: joint_discriminator([2], 1, 4)(torch.zeros(5, 3), torch.zeros(5, 1)), "expected shape"),
])
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# Shapes

def test_runs_are_slices_and_pictures_are_flattened():
    D = joint_discriminator((1, 4, 4), 3, 8, 2, 3, [gen(r) for r in range(3)])
    x, z = torch.randn(3, 5, 1, 4, 4, generator=gen()), torch.randn(3, 5, 3, generator=gen())
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


def test_players_of_your_own():
    own = dict(G=lambda: nn.Linear(2, 2), E=lambda: nn.Linear(2, 2), D=lambda: Joined([2, 2], (), 4))
    assert Run(BiGAN(**own), ring(), runs=2, batch=4, device="cpu").step(2).sample(3).shape == (2, 3, 2)


# Determinism

@pytest.mark.parametrize("fade", [None, 6])
def test_resumed_is_uninterrupted(fade, tmp_path):
    def make():
        return Run(BiGAN(stochastic=True, networks=Networks(width=8), optimiser=Optimiser(schedule=Schedule("cosine", fade))), ring(), runs=2, batch=8, device="cpu")
    make().step(2).save(tmp_path / "x")
    assert torch.equal(Run.load(tmp_path / "x", device="cpu").step(2).sample(5), make().step(4).sample(5))
