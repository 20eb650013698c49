"""modelab.networks.layers: the run axis is as many networks, in values, gradients and optimiser steps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from helpers import normal, seeded, seeded_runs
from modelab.core.seeding import rand, randn
from modelab.networks.convolutional import conv_discriminator, conv_generator
from modelab.networks.growing import grown_discriminator, grown_generator
from modelab.networks.layers import (HE_GAIN, make_player, mlp, mlp_generator, per_run,
                                     score_batches)
from modelab.networks.style import style_discriminator, style_generator


def alone(stacked, r, make):
    net = make()
    net.load_state_dict({k: v[r] for k, v in stacked.state_dict().items()})
    return net.double()


NETS = {
    "generator": (lambda **k: mlp_generator(3, (2, 4, 4), width=8, **k), (3,)),
    "critic": (lambda **k: mlp((2, 4, 4), (), width=8, **k), (2, 4, 4)),
    "linear": (lambda **k: mlp(3, 2, depth=0, **k), (3,)),
    "conv generator": (lambda **k: conv_generator(3, (2, 8, 8), width=4, **k), (3,)),
    "conv critic": (lambda **k: conv_discriminator((2, 8, 8), width=4, **k), (2, 8, 8)),
    "grown generator": (lambda **k: grown_generator(3, (2, 8, 8), width=4, **k).grow(1, .5), (3,)),
    "grown critic": (lambda **k: grown_discriminator((2, 8, 8), width=4, group=5, **k).grow(1, .5), (2, 8, 8)),
    "style generator": (lambda **k: style_generator(3, (2, 8, 8), 4, 2, noise=False, **k), (3,)),
    "style critic": (lambda **k: style_discriminator((2, 8, 8), width=4, deviation=5, **k), (2, 8, 8)),
}


def test_a_generator_keeps_pictures_in_range_and_leaves_points_alone():
    z = 50 * torch.randn(64, 3, generator=seeded(0))
    assert mlp_generator(3, (1, 4, 4), generator=seeded(1))(z).abs().max() <= 1
    same = [net(3, (2,), generator=seeded(1))(z) for net in (mlp_generator, mlp)]
    assert torch.equal(*same) and same[0].abs().max() > 1


@pytest.mark.parametrize("name", NETS)
def test_stacked_equals_separate_through_training(name):
    make, event = NETS[name]
    stacked = make(runs=3, generator=seeded_runs(3)).double()
    separate = [alone(stacked, r, make) for r in range(3)]
    x = normal(3, 5, *event, seed=9)
    adam = [torch.optim.Adam(net.parameters(), 1e-2, betas=(.5, .9)) for net in (stacked, *separate)]
    for _ in range(5):
        for a in adam:
            a.zero_grad()
        outs = stacked(x)
        outs.square().flatten(1).mean(1).sum().backward()
        for r, net in enumerate(separate):
            out = net(x[r])
            assert torch.allclose(out, outs[r], atol=1e-12)
            out.square().mean().backward()
            assert all(torch.allclose(a.grad, b.grad[r], atol=1e-12) for a, b in zip(net.parameters(), stacked.parameters()))
        for a in adam:
            a.step()
    for r, net in enumerate(separate):
        assert all(torch.allclose(a, b[r], atol=1e-10) for a, b in zip(net.parameters(), stacked.parameters()))


@pytest.mark.parametrize("name", NETS)
def test_seeds_do_not_depend_on_their_neighbours(name):
    make, _ = NETS[name]
    many, one = make(runs=4, generator=seeded_runs(4)), make(runs=1, generator=seeded_runs(1, start=2))
    assert all(torch.equal(a[2], b[0]) for a, b in zip(many.parameters(), one.parameters()))


@pytest.mark.parametrize("name", NETS)
def test_second_derivatives_exist(name):
    """A gradient penalty differentiates the critic twice."""
    make, event = NETS[name]
    net, x = make(runs=2, generator=seeded_runs(2)).double(), torch.randn(2, 3, *event, dtype=torch.float64, requires_grad=True)
    slope, = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert all(w.grad is not None and torch.isfinite(w.grad).all() for w in net.parameters() if w.grad is not None)
    assert any(w.grad is not None and w.grad.abs().sum() > 0 for w in net.parameters())


def test_gradcheck():
    net = mlp(2, (), width=4, runs=2, generator=seeded_runs(2)).double()
    assert torch.autograd.gradcheck(net, (torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True),))


@settings(max_examples=60)
@given(st.lists(st.integers(1, 4), min_size=0, max_size=5))
def test_wrong_shapes_are_named(shape):
    for net, want in ((mlp(2, (), width=3), lambda s: len(s) == 2 and s[1] == 2),
                      (mlp((1, 2), 2, width=3, runs=2), lambda s: len(s) == 4 and s[0] == 2 and s[2:] == [1, 2])):
        if want(shape):
            assert torch.isfinite(net(torch.zeros(shape))).all()
        else:
            with pytest.raises(ValueError, match="^x: expected shape"):
                net(torch.zeros(shape))


@pytest.mark.parametrize("call, word", [
    (lambda: mlp(0, 2), "inputs"), (lambda: mlp(2, -1), "outputs"), (lambda: mlp(2, 2, width=2.5), "width"),
    (lambda: mlp(2, 2, depth=-1), "depth"), (lambda: mlp(2, 2, runs=0), "runs"), (lambda: conv_generator(0, (1, 8, 8)), "latent"),
    (lambda: conv_generator(2, (8, 8)), "event"), (lambda: mlp_generator(0, (2,)), "latent"), (lambda: mlp_generator(2, (0,)), "event"), (lambda: conv_discriminator((1, 8, 9)), "event"),
    (lambda: conv_discriminator((1, 2, 2)), "event"), (lambda: rand(3, 2, generator=seeded_runs(2)), "generator"),
    (lambda: per_run("G", 3, 1, seeded_runs(1)), "G"), (lambda: per_run("G", lambda: 3, 1, seeded_runs(1)), "G"), (lambda: per_run("G", nn.Linear(1, 1), 2, seeded_runs(2)), "G")])
def test_bad_arguments(call, word):
    with pytest.raises((ValueError, TypeError), match=f"^{word}: "):
        call()


def test_draws_are_per_run():
    assert torch.equal(randn(3, 5, generator=seeded_runs(3))[1], torch.randn(5, generator=seeded(1)))
    assert torch.equal(rand(4, generator=seeded(1)), torch.rand(4, generator=seeded(1)))
    assert rand(2, generator=torch.Generator(), dtype=torch.float64).dtype == torch.float64


def test_own_networks_are_seeded_and_leave_the_global_stream_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a, b = (per_run("G", lambda: nn.Linear(2, 2), 3, seeded_runs(3)) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters()))
    assert not torch.equal(a.members[0].weight, a.members[1].weight)
    assert make_player("G", None, lambda: "default", 1, seeded_runs(1)) == "default"


def test_the_signal_survives():
    """Deep nets start with a signal that is neither dead nor exploding, forwards and backwards."""
    g = seeded(0)
    images = conv_generator(16, (3, 32, 32), width=16, generator=g)(torch.randn(64, 16, generator=g))
    assert .1 < images.std(0).mean() < 1
    x = torch.randn(64, 3, 32, 32, generator=g, requires_grad=True)
    logits = conv_discriminator((3, 32, 32), width=16, generator=g)(x)
    assert .1 < logits.std() < 10 and x.grad is None
    assert HE_GAIN == pytest.approx((2 / 1.04) ** .5)


@pytest.mark.parametrize("runs", [None, 1, 3])
def test_several_batches_score_as_if_each_came_alone(runs):
    lead = () if runs is None else (runs,)
    critic = mlp((2,), (), width=16, runs=runs, generator=seeded(0)).double()
    x, y = torch.randn(*lead, 5, 2, dtype=torch.float64), torch.randn(*lead, 3, 2, dtype=torch.float64)
    for given, got in zip((x, y), score_batches(critic, x, y)):
        assert torch.allclose(critic(given), got, atol=1e-12)


def test_batches_of_a_foreign_critic_never_meet():
    coupled = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1), torch.nn.Flatten(0))
    x, y = torch.randn(5, 2), torch.randn(3, 2) + 7
    assert torch.equal(score_batches(coupled, x, y)[0], coupled(x)) and torch.equal(score_batches(coupled, x, y)[1], coupled(y))


def test_score_takes_pairs():
    class Joint(torch.nn.Module):
        def forward(self, x, z):
            return x.sum(-1) + z.sum(-1)
    pairs = [(torch.randn(4, 2), torch.randn(4, 3)) for _ in range(2)]
    assert all(torch.equal(s, Joint()(*p)) for p, s in zip(pairs, score_batches(Joint(), *pairs)))
