"""modelab.networks.growing: each part against its formula, the fade at its ends, and grown networks in every picture game."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers import normal, plays_and_resumes, same_run, seeded, seeded_runs
from hypothesis import given, settings
from hypothesis import strategies as st

from modelab.core.registry import GAMES, load_all, make
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import ring
from modelab.losses.penalties import gradient_penalty, r1
from modelab.methods.minimax import Minimax
from modelab.methods.wasserstein import ZeroCentred
from modelab.networks.growing import (as_growth, box_average, enlarge_nearest, EqualConv, EqualLinear, fade_pictures, Growth,
                                      grown_discriminator, grown_encoder, grown_generator, grown_joint_discriminator,
                                      growth_over, minibatch_deviation, pixel_norm)
from modelab.networks.layers import HE_GAIN, Moment, score_batches
from modelab.networks.players import Networks
from modelab.training.game import Game
from modelab.training.run import Run

load_all()
REFUSE = ("currents", "entropic", "fewlabels", "flowmatching", "imputer", "mmiali", "sagan")  # which have or ask for networks of another kind
GAMES_OF_PICTURES = sorted(name for name, game in GAMES.items() if game.__module__.startswith("modelab.")
                           and issubclass(game, Game) and name not in REFUSE)
QUICK = Networks("grown", width=2, latent=3, grow=Growth(1, 2))


# fidelity

def test_averages_and_enlargements_are_their_formulas():
    x = normal(2, 3, 8, 12)
    by_hand = torch.stack([torch.stack([x[..., 4 * i:4 * i + 4, 4 * j:4 * j + 4].mean((-1, -2)) for j in range(3)], -1)
                           for i in range(2)], -2)
    assert torch.allclose(box_average(x, 2), by_hand, atol=1e-15) and torch.equal(box_average(x, 0), x)
    large = enlarge_nearest(x, 1)
    assert large.shape == (2, 3, 16, 24) and all(torch.equal(large[..., i::2, j::2], x) for i in (0, 1) for j in (0, 1))
    assert torch.allclose(box_average(enlarge_nearest(x, 2), 2), x, atol=1e-15)


@given(seed=st.integers(0, 999), alpha=st.floats(0, 1), level=st.integers(0, 3))
def test_the_fade_of_real_pictures_is_its_formula(seed, alpha, level):
    x = normal(4, 2, 32, 32, seed=seed)
    coarse, fine = (enlarge_nearest(box_average(x, n), n) for n in (3 - max(level - 1, 0), 3 - level))
    share = alpha if level else 1.
    assert torch.allclose(fade_pictures(x, 3, level, alpha), (1 - share) * coarse + share * fine, atol=1e-14)


def test_a_faded_stage_is_the_next_one_at_its_start():
    x = normal(4, 2, 28, 28)
    assert torch.equal(fade_pictures(x, 2, 2), x)
    for level in (1, 2):
        assert torch.allclose(fade_pictures(x, 2, level, 0.), fade_pictures(x, 2, level - 1), atol=1e-14)


@given(stable=st.integers(1, 9), fade=st.integers(0, 9), levels=st.integers(0, 4))
def test_the_schedule_visits_every_stage_in_turn(stable, fade, levels):
    seen = [Growth(stable, fade).stage(step, levels) for step in range(2 + (stable + fade) * (levels + 1))]
    expected = [(0, 1.)] * stable
    for level in range(1, levels + 1):
        expected += [(level, at / fade) for at in range(fade)] + [(level, 1.)] * stable
    assert seen[:len(expected)] == expected and set(seen[len(expected):]) <= {(levels, 1.)}


@given(walk=st.integers(100, 5000), levels=st.integers(1, 5), share=st.floats(.1, 1))
def test_a_relative_schedule_is_done_after_its_share(walk, levels, share):
    growth = growth_over(walk, levels, share)
    done = next(step for step in range(walk + 1) if growth.stage(step, levels) == (levels, 1.))
    assert growth.stable == growth.fade and walk * share - 2 * levels - 1 <= done <= max(walk * share, 2 * levels)


def moved(layer, x, y, lr, steps):
    """The layer's effective weights after some steps of Adam without eps down a squared error."""
    weights = layer.weight
    adam = torch.optim.Adam([weights], lr, betas=(.5, .9), eps=1e-60)
    for _ in range(steps):
        adam.zero_grad()
        (layer(x) - y).square().sum().backward()
        adam.step()
    return (weights * layer.scale).detach()


@pytest.mark.parametrize("rate", [1., .01])
def test_an_equalised_rate_multiplies_the_step_of_adam(rate):
    x, y = normal(20, 12), normal(20, 5, seed=1)
    equal = EqualLinear(12, 5, generator=seeded(3), rate=rate).double()
    plain = EqualLinear(12, 5, generator=seeded(3), equalised=False).double()
    factor = HE_GAIN / math.sqrt(12) * rate
    assert equal.scale == pytest.approx(factor) and torch.allclose(equal(x), plain(x), atol=1e-6)
    plain.weight.data = (equal.weight * equal.scale).detach()
    assert torch.allclose(moved(equal, x, y, .01, 5), moved(plain, x, y, .01 * factor, 5), atol=1e-14, rtol=0)


def test_the_first_step_moves_each_effective_weight_by_the_he_constant():
    conv, x = EqualConv(3, 4, 3, generator=seeded(0)).double(), normal(6, 3, 5, 5)
    before = (conv.weight * conv.scale).detach()
    after = moved(conv, x, normal(6, 4, 5, 5, seed=1), .01, 1)
    assert torch.allclose((after - before).abs(), torch.full_like(before, .01 * HE_GAIN / 27 ** .5), rtol=1e-9)
    assert torch.allclose(conv(x), F.conv2d(x, conv.weight * HE_GAIN / 27 ** .5, conv.bias, padding=1), atol=1e-14)


@pytest.mark.parametrize("equalised", [True, False])
def test_the_signal_keeps_its_size(equalised):
    for layer, x in ((EqualLinear(400, 300, generator=seeded(0), gain=1., equalised=equalised), normal(500, 400).float()),
                     (EqualConv(40, 30, 3, generator=seeded(0), gain=1., equalised=equalised), normal(50, 40, 8, 8).float())):
        inner = layer(x)[..., 1:-1, 1:-1] if x.ndim == 4 else layer(x)
        assert inner.var().item() == pytest.approx(1, rel=.05)
    assert EqualLinear(2, 3, start=1., rate=.01)(torch.zeros(1, 2)).tolist() == [[1., 1., 1.]]


def test_pixel_norm_gives_each_place_a_unit_mean_square():
    x = 30 * normal(4, 16, 3, 3)
    y = pixel_norm(x)
    assert torch.allclose(y.square().mean(1), torch.ones(4, 3, 3).double(), atol=1e-9)
    assert torch.allclose(y, x / (x.square().sum(1, keepdim=True) / 16 + 1e-8).sqrt(), atol=1e-14)
    assert torch.equal(pixel_norm(torch.zeros(2, 5)), torch.zeros(2, 5))


def test_minibatch_deviation_by_hand():
    x = normal(6, 2, 3, 3)
    for at in (0, 3):
        group = x[at:at + 3]
        by_hand = torch.stack([((group[:, c, i, j] - group[:, c, i, j].mean()).square().mean() + 1e-8).sqrt()
                               for c in range(2) for i in range(3) for j in range(3)]).mean()
        assert torch.allclose(minibatch_deviation(x, 3)[at:at + 3], by_hand.expand(3), atol=1e-14)
    assert minibatch_deviation(x[:1]).item() == pytest.approx(1e-4)  # one example does not differ from itself
    assert torch.equal(minibatch_deviation(x[:2], 4), minibatch_deviation(x[:2], 2))
    assert torch.allclose(minibatch_deviation(torch.stack([x, 2 * x]), 2)[1], 2 * minibatch_deviation(x, 2), rtol=1e-6)


EVENTS = [(3, 8, 8), (1, 28, 28), (2, 16, 16)]


@pytest.mark.parametrize("event", EVENTS)
def test_the_ends_of_a_fade_are_the_smaller_and_the_larger_generator(event):
    G, z = grown_generator(5, event, 4, generator=seeded(0)).double(), normal(6, 5)
    for level in range(1, G.levels + 1):
        small, start = G.grow(level - 1)(z), G.grow(level, 0.)(z)
        assert torch.allclose(start, small, atol=1e-14)
        full, before = G.grow(level)(z), [w.clone() for w in G.to_picture[level - 1].parameters()]
        for w in G.to_picture[level - 1].parameters():
            w.data.zero_()
        assert torch.equal(G(z), full) and not torch.allclose(full, small, atol=1e-3)
        for w, old in zip(G.to_picture[level - 1].parameters(), before):
            w.data.copy_(old)


@pytest.mark.parametrize("event", EVENTS)
def test_a_stage_is_a_network_for_smaller_pictures(event):
    G, D = grown_generator(5, event, 2, generator=seeded(0)).double(), grown_discriminator(event, 2, generator=seeded(1)).double()
    z, x = normal(8, 5), normal(8, *event)
    for level in range(G.levels):
        far = G.levels - level
        small = (event[0], event[1] // 2 ** far, event[2] // 2 ** far)
        g, d = grown_generator(5, small, 2 ** far * 2).double(), grown_discriminator(small, 2 ** far * 2).double()
        for own, big in ((g, G), (d, D)):
            own.load_state_dict({k: big.state_dict()[k] for k in own.state_dict()})
        assert torch.allclose(G.grow(level)(z), enlarge_nearest(g(z), far), atol=1e-13)
        assert torch.allclose(D.grow(level)(x), d(box_average(x, far)), atol=1e-13)


@pytest.mark.parametrize("event", EVENTS)
def test_a_fade_mixes_pictures_and_features(event):
    G = grown_generator(5, event, 2, generator=seeded(0), last=None).double()
    D, z, x = grown_discriminator(event, 2, generator=seeded(1)).double(), normal(6, 5), normal(6, *event)
    for level in range(1, G.levels + 1):
        low, mid, high = (G.grow(level, alpha)(z) for alpha in (0., .3, 1.))
        assert torch.allclose(mid, .7 * low + .3 * high, atol=1e-13)
        assert torch.allclose(D.grow(level, 0.)(x[:4]), D.grow(level - 1)(x[:4]), atol=1e-13)


def test_d_mixes_the_features_of_two_sizes():
    D, x = grown_discriminator((3, 8, 8), 2, generator=seeded(1), group=1).double(), normal(6, 3, 8, 8)
    low, mid, high = (D._features(x, 1, alpha) for alpha in (0., .3, 1.))
    assert torch.allclose(mid, .7 * low + .3 * high, atol=1e-13)
    assert torch.allclose(low, F.leaky_relu(D.from_picture[0](box_average(x)), .2), atol=1e-14)


def test_real_and_made_pictures_look_alike_to_d():
    """What D sees of a picture at a stage does not change if the picture is made as coarse as that stage."""
    D, x = grown_discriminator((1, 28, 28), 2, generator=seeded(1)).double(), normal(4, 1, 28, 28)
    for level, alpha in ((0, 1.), (1, 1.), (2, 1.)):
        assert torch.allclose(D.grow(level, alpha)(fade_pictures(x, 2, level, alpha)), D(x), atol=1e-13)
    assert not torch.allclose(D.grow(2, .5)(fade_pictures(x, 2, 2, .5)), D(x), atol=1e-3)  # the reals fade, too


def test_new_layers_have_no_gradient_at_the_start_of_a_fade():
    G = grown_generator(3, (1, 8, 8), 2, generator=seeded(0)).double().grow(1, 0.)
    G(normal(4, 3)).square().sum().backward()
    assert all((w.grad == 0).all() for w in G.to_picture[1].parameters()) and G.to_picture[0].weight.grad.abs().sum() > 0


# bad input

@pytest.mark.parametrize("call, word", [
    (lambda: box_average(torch.zeros(1, 1, 6, 8), 2), "x: expected sides that 4 divides"),
    (lambda: box_average(torch.zeros(8, 8)), "x: expected shape"), (lambda: enlarge_nearest(torch.zeros(1, 8, 8), -1), "times"),
    (lambda: fade_pictures(torch.zeros(1, 8, 8), 1, 2), "level: expected at most levels=1, got 2"),
    (lambda: fade_pictures(torch.zeros(1, 8, 8), 1, 1, 1.5), "alpha"), (lambda: Growth(0), "stable"), (lambda: Growth(1, -1), "fade"),
    (lambda: growth_over(0, 1), "total"), (lambda: growth_over(2, 3), "total: expected share · total ≥ 6 for levels=3, got 1"), (lambda: as_growth("growth", 3), "growth: expected a Growth"),
    (lambda: as_growth("growth", {"steps": 3}), "growth: expected a Growth"), (lambda: Networks("grown", grow=3), "grow"),
    (lambda: EqualLinear(0, 2), "inputs"), (lambda: EqualConv(1, 2, 0), "size"), (lambda: EqualLinear(1, 2, rate=0.), "rate"),
    (lambda: minibatch_deviation(torch.zeros(6, 1, 4, 4)), "x: expected a batch of whole groups of 4, got 6"),
    (lambda: pixel_norm(torch.zeros(3)), "x: expected shape"), (lambda: pixel_norm(torch.zeros(3, 2), eps=0.), "eps"),
    (lambda: grown_generator(2, (1, 8, 9)), "event"), (lambda: grown_generator(2, (1, 8, 8), growth=None), "growth"),
    (lambda: grown_discriminator((8, 8)), "event"), (lambda: grown_discriminator((1, 8, 8), group=0), "group"),
    (lambda: grown_generator(2, (1, 8, 8)).grow(2), "level: expected at most 1, got 2"),
    (lambda: grown_discriminator((1, 8, 8)).grow(1, 2.), "alpha"), (lambda: grown_encoder((1, 8, 8), 0), "latent"),
    (lambda: grown_joint_discriminator((1, 8, 8), 2, width=0), "width"),
    (lambda: Run(Minimax(networks=QUICK), ring(), runs=1, device="cpu"), "event: expected an image shape"),
    (lambda: Run(Minimax(networks=QUICK), digits(), runs=1, batch=6, device="cpu").step(1), "(x|batch, shards): expected .*whole groups")])
def test_bad_arguments(call, word):
    with pytest.raises((ValueError, TypeError), match=f"^{word}"):
        call()


# shapes

NETS = {
    "generator": (lambda **k: grown_generator(3, (2, 8, 8), 4, **k), [(3,)], (2, 8, 8)),
    "discriminator": (lambda **k: grown_discriminator((2, 8, 8), 4, **k), [(2, 8, 8)], ()),
    "encoder": (lambda **k: grown_encoder((2, 8, 8), 5, 4, noise=2, **k), [(2, 8, 8), (2,)], (5,)),
    "joint": (lambda **k: grown_joint_discriminator((2, 8, 8), 3, 4, **k), [(2, 8, 8), (3,)], ()),
}


@pytest.mark.parametrize("level, alpha", [(0, 1.), (1, .4), (1, 1.)])
@pytest.mark.parametrize("name", NETS)
def test_a_run_axis_is_separate_networks(name, level, alpha):
    make_net, inputs, event = NETS[name]
    many = make_net(runs=3, generator=seeded_runs(3)).double().grow(level, alpha)
    x = [normal(3, 4, *shape, seed=i) for i, shape in enumerate(inputs)]
    out = many(*x)
    out.square().flatten(1).sum(1).sum().backward()
    assert out.shape == (3, 4, *event)
    for r in range(3):
        one = make_net(generator=seeded(r)).double().grow(level, alpha)
        assert all(torch.equal(a, b[r]) for a, b in zip(one.parameters(), many.parameters()))
        alone = one(*(v[r] for v in x))
        alone.square().sum().backward()
        assert torch.allclose(alone, out[r], atol=1e-12)
        assert all(torch.allclose(a.grad, b.grad[r], atol=1e-11) for a, b in zip(one.parameters(), many.parameters()) if a.grad is not None)


def test_penalties_differentiate_twice_and_take_the_sum_of_scores():
    D, x = grown_discriminator((1, 8, 8), 2, generator=seeded(0)).double().grow(1, .5), normal(8, 1, 8, 8)
    assert D.coupled and D.lead == 1
    free = x.clone().requires_grad_()
    slope, = torch.autograd.grad(D(free).sum(), free)
    assert torch.allclose(r1(D, x), slope.square().flatten(1).sum(1).mean() / 2, atol=1e-12)
    gradient_penalty(D, x, -x, generator=seeded(1)).backward()
    assert sum(w.grad.abs().sum() for w in D.stages.parameters()) > 0
    apart = score_batches(D, x, x[:2])
    assert torch.equal(apart[1], D(x[:2])) and torch.equal(apart[0], D(x))


def test_a_score_depends_on_its_own_group_only():
    D, x = grown_discriminator((1, 8, 8), 2, generator=seeded(0)).double(), normal(8, 1, 8, 8)
    y = torch.cat([x[:4], normal(4, 1, 8, 8, seed=1)])
    assert torch.equal(D(x)[:4], D(y)[:4]) and not torch.allclose(D(x)[:1], D(x[:1]), atol=1e-6)
    plain = grown_discriminator((1, 8, 8), 2, generator=seeded(0), group=1).double()
    assert not plain.coupled and torch.allclose(plain(x)[:3], plain(x[:3]), atol=1e-14)


# in a run

def small(**kw):
    return Run(kw.pop("game", None) or ZeroCentred(networks=QUICK), kw.pop("modes", digits)(),
               **{"runs": 2, "batch": 4, "device": "cpu", **kw})


def test_a_run_grows_by_its_steps():
    run = small()
    for level, alpha in ((0, 1.), (1, 0.), (1, .5), (1, 1.), (1, 1.)):
        x = run.sample(3)
        assert torch.equal(run.player("G")(run.noise(3, run.generators("evaluation", run.steps))), x)
        coarse = torch.allclose(x, fade_pictures(x, 1, 0), atol=1e-6)
        assert coarse == (alpha == 0 or level == 0)
        run.step(1)


def test_reals_are_shaped_in_the_turns_of_a_run_and_nowhere_else():
    seen = []

    class Watch(ZeroCentred):
        def loss_D(self, t):
            seen.append((t.x, t.real(2), t.D(t.x)))
            return super().loss_D(t)
    run = small(game=Watch(networks=QUICK)).step(4)
    raw = [run.real(4, run.generators("data", step, 0)) for step in range(4)]
    for step, (level, alpha) in enumerate(((0, 1.), (1, 0.), (1, .5), (1, 1.))):
        x, two, scores = seen[step]
        assert torch.equal(x, fade_pictures(raw[step], 1, level, alpha)) and two.shape == (2, 2, 1, 8, 8) and scores.shape == (2, 4)
    assert torch.equal(seen[3][0], raw[3]) and not torch.equal(seen[0][0], raw[0])


@pytest.mark.parametrize("data", [digits, stacked_digits])
def test_it_plays_and_resumes(data, tmp_path):
    plays_and_resumes(lambda: ZeroCentred(networks=QUICK), data, tmp_path)


def test_a_run_is_its_seed_and_its_steps():
    many, alone = small(runs=3, seed=4).step(4), small(runs=1, seed=6).step(4)
    assert torch.allclose(many.sample(5)[2], alone.sample(5)[0], atol=1e-4)
    halting = small(runs=3, seed=4)
    for n in (1, 2, 1):
        halting.step(n).sample(2)
    assert same_run(many, halting)


def test_averages_and_bf16_and_shards_follow(tmp_path):
    for kw in ({"average": .9}, {"precision": "bf16"}, {"shards": 2, "batch": 8}):
        run = small(**kw).step(4)
        assert same_run(Run.load(small(**kw).step(2).save(tmp_path / "x"), device="cpu").step(2), run)
        assert run.sample(2).shape == (2, 2, 1, 8, 8) and run.sample(2).isfinite().all()


def test_shards_add_up_to_the_whole_batch():
    D, x = grown_discriminator((1, 8, 8), 2, generator=seeded(0)).double(), normal(8, 1, 8, 8)
    whole = torch.autograd.grad(D(x).square().mean(), list(D.parameters()), allow_unused=True)
    parts = [torch.autograd.grad(D(part).square().mean() / 2, list(D.parameters()), allow_unused=True) for part in x.split(4)]
    for a, *b in zip(whole, *parts):
        assert a is None or torch.allclose(a, sum(b), atol=1e-13)


NO_MIXING = ("imle", "imlegan", "nonparametricprior")  # one latent belongs to one picture


def shown(run):
    """Samples of G; of a game without G, the codes of some pictures."""
    if "G" in run.game.turns.split():
        return run.sample(4)
    return run.player("E")(run.modes.sample(4, torch.Generator().manual_seed(0)).expand(run.runs, -1, -1, -1, -1))


def picture_game(name, kind):
    """A small game of this name whose players are grown or style networks."""
    more = {"grow": {"stable": 1, "fade": 1}} if kind == "grown" else {} if name in NO_MIXING else {"mixing": .9}
    return make("game", {"name": name, "kind": kind, "width": 2, "latent": 3, **more})


@pytest.mark.parametrize("kind", ["grown", "style"])
@pytest.mark.parametrize("name", GAMES_OF_PICTURES)
def test_every_game_of_pictures_resumes_with_these_networks(name, kind, tmp_path):
    """With the precise and the short number format, whole and in shards, with an average of G: the same bits."""
    for kw in ({}, {"shards": 2, "precision": "bf16", "average": .9}):
        straight = Run(picture_game(name, kind), digits(), runs=2, batch=8, device="cpu", **kw).step(2)
        again = Run.load(straight.save(tmp_path / "run"), device="cpu")
        assert same_run(again.step(1), straight.step(1))
        assert shown(straight).isfinite().all()
    with pytest.raises(ValueError, match="event.*image|modes.*pictures"):
        Run(picture_game(name, kind), ring(), runs=2, batch=4, device="cpu")


@pytest.mark.parametrize("kind", ["grown", "style"])
@pytest.mark.parametrize("name", GAMES_OF_PICTURES)
def test_in_every_game_of_pictures_a_run_beside_another_is_the_run_alone(name, kind):
    two, one = (Run(picture_game(name, kind), digits(), runs=runs, seed=seed, batch=4, device="cpu").step(2)
                for runs, seed in ((2, 0), (1, 1)))
    assert torch.allclose(shown(two)[1], shown(one)[0], atol=1e-3)


def test_your_own_networks_may_grow(tmp_path):
    own = dict(G=lambda: grown_generator(3, (1, 8, 8), 2, growth=Growth(1, 2)),
               D=lambda: grown_discriminator((1, 8, 8), 2, growth=Growth(1, 2), group=2))
    run = small(game=Minimax(networks=Networks(latent=3), **own)).step(2)
    x = run.sample(2)
    assert run.players.nets["G"].members[0].stage(Moment(1)) == (1, 0.)
    assert not torch.allclose(x, fade_pictures(x, 1, 0), atol=1e-6)


# the claim: what the first step of Adam is for layers that had no gradient before

@given(beta=st.floats(.5, .999), idle=st.integers(400, 900))
@settings(max_examples=20)
def test_the_first_step_of_a_late_layer_is_large(beta, idle):
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    adam = torch.optim.Adam([weight], .1, betas=(0., beta), eps=1e-30)
    for step in range(idle):
        weight.grad = torch.full_like(weight, float(step == idle - 1))
        adam.step()
    assert abs(weight.item()) == pytest.approx(.1 * math.sqrt((1 - beta ** idle) / (1 - beta)), rel=1e-9)
