"""modelab.networks.style, and the hooks of the engine that such networks need: moments, shaped reals, buffers after a step."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers import normal, plays_and_resumes, same_players, same_run, seeded, seeded_runs
from torch import nn
from modelab.core.seeding import randn
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import ring
from modelab.data.pictures import faces
from modelab.losses.penalties import r1
from modelab.methods.bigan import BiGAN
from modelab.methods.currents import Currents
from modelab.methods.few_labels import FewLabels
from modelab.methods.imle import IMLE
from modelab.methods.joint import MMIALI
from modelab.methods.minimax import Minimax
from modelab.methods.pairwise import PairwiseBiGAN
from modelab.methods.tabular import Imputer
from modelab.methods.wasserstein import Wasserstein, ZeroCentred
from modelab.networks.growing import minibatch_deviation
from modelab.networks.layers import Moment, evaluation_mode, has_hook, mlp, score_batches, with_labels
from modelab.networks.players import Networks
from modelab.networks.style import (BlurConv, MappingNetwork, ModulatedConv, ResidualBlock, StyleLayer, blur_filter,
                                    enlarge_smooth, halve_smooth, path_length_penalty, path_lengths, style_discriminator,
                                    style_encoder, style_generator, style_joint_discriminator)
from modelab.training.game import BoundPlayer, Turn
from modelab.training.run import Run

SMALL = Networks("style", width=2, latent=4, mixing=.9)


def play(**kw):
    settings = dict(game=Minimax(networks=SMALL), modes=digits(), runs=2, batch=4, device="cpu") | kw
    return Run(**settings)


def close(a, b, atol=1e-12):
    return torch.allclose(a, b, rtol=0, atol=atol)


# fidelity

def weights_form(conv, x, w):
    """Equations 1 and 3 of Karras et al. 2020: the weights are scaled and brought to unit length, example by example."""
    scaled = conv.style(w)[:, None, :, None, None] * (conv.weight * conv.scale)
    if conv.demodulate:
        scaled = scaled / (scaled.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    return torch.cat([F.conv2d(a[None], b, padding="same") for a, b in zip(x, scaled)])


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("demodulate", [True, False])
def test_scaling_input_and_output_is_scaling_the_weights(size, demodulate):
    kw = dict(gain=1.7, demodulate=demodulate)
    conv = ModulatedConv(3, 5, size, 4, runs=2, generator=seeded_runs(2), **kw).double()
    x, w = normal(2, 6, 3, 8, 8), normal(2, 6, 4, seed=1)
    answer = conv(x.transpose(0, 1).flatten(1, 2), w).unflatten(1, (2, 5))
    for r in range(2):
        plain = ModulatedConv(3, 5, size, 4, **kw).double()
        plain.load_state_dict({k: v[r] for k, v in conv.state_dict().items()})
        assert close(answer[:, r], weights_form(plain, x[r], w[r]))


def test_a_style_starts_at_one():
    conv = ModulatedConv(3, 5, 3, 4, generator=seeded()).double()
    assert close(conv.style(torch.zeros(2, 4, dtype=torch.float64)), torch.ones(2, 3, dtype=torch.float64))
    assert close(conv.style(normal(1, 4)), 1 + normal(1, 4) @ conv.style.weight / 2)  # gain 1 over the root of 4


def test_mapping_by_hand():
    f, z = MappingNetwork(5, 1, generator=seeded()).double(), normal(6, 5)
    unit = z / (z.square().mean(-1, keepdim=True) + 1e-8).sqrt()
    layer = f.layers[0]
    slope = math.sqrt(2 / 1.04 / 5)
    assert close(f(z), F.leaky_relu(unit @ layer.weight * .01 * slope, .2))
    assert close(MappingNetwork(5, 0)(z), unit) and close(unit.square().mean(-1), torch.ones(6).double(), 1e-7)
    assert 60 < MappingNetwork(400, 1, generator=seeded()).layers[0].weight.std() < 140  # N(0, 1) over the rate


def test_the_mapping_learns_a_hundredth_as_fast():
    """The first step of Adam moves each stored weight by its rate, so the weight in effect by rate · .01 · √(2/1.04) / √n."""
    f = MappingNetwork(5, 1, generator=seeded()).double()
    layer = f.layers[0]
    before = layer.weight.detach() * layer.scale
    adam = torch.optim.Adam([layer.weight], lr=.1, eps=0)
    (f(normal(6, 5)) * normal(6, 5, seed=1)).sum().backward()
    adam.step()
    assert close((layer.weight * layer.scale - before).abs(), torch.full_like(before, .1 * .01 * math.sqrt(2 / 1.04 / 5)))


def test_enlarging_is_bilinear_inside_and_halving_its_adjoint():
    x, y = normal(2, 3, 6, 6), normal(2, 3, 12, 12, seed=1)
    bilinear = F.interpolate(x, scale_factor=2, mode="bilinear")
    assert close(enlarge_smooth(x)[..., 1:-1, 1:-1], bilinear[..., 1:-1, 1:-1])
    assert close((enlarge_smooth(x) * y).sum(), 4 * (x * halve_smooth(y)).sum())
    assert close(halve_smooth(torch.ones_like(y))[..., 1:-1, 1:-1], torch.ones(2, 3, 4, 4).double())
    taps = torch.tensor([1., 3., 3., 1.]).double() / 8
    assert close(blur_filter(y)[0, 0], torch.outer(taps, taps)) and blur_filter(y).shape == (3, 1, 4, 4)


def test_filter_then_convolution_is_the_published_order_inside():
    """The article's code: zeros between the pixels, convolution, filter of gain 4. Ours filters first."""
    x, weight = normal(1, 1, 8, 8), normal(1, 1, 3, 3, seed=1)
    zeros = torch.zeros(1, 1, 16, 16).double()
    zeros[..., ::2, ::2] = x
    theirs = F.conv2d(F.pad(F.conv2d(zeros, weight, padding=1), [2, 1, 2, 1]), blur_filter(x, 4.))
    assert close(F.conv2d(enlarge_smooth(x), weight, padding=1)[..., 3:-3, 3:-3], theirs[..., 3:-3, 3:-3])


def test_a_layer_by_hand():
    layer = StyleLayer(3, 5, 4, None, seeded(), up=True).double()
    with torch.no_grad():
        layer.bias.copy_(normal(5))
        layer.strength.fill_(.7)
    x, w = normal(2, 3, 4, 4), normal(2, 4, seed=1)
    n = torch.randn(2, 8, 8, generator=seeded(3), dtype=torch.float64)
    plain = layer.conv(enlarge_smooth(x), w) + layer.bias[:, None, None]
    assert close(layer(x, w), math.sqrt(2) * F.leaky_relu(plain, .2))
    assert close(layer(x, w, seeded(3)), math.sqrt(2) * F.leaky_relu(plain + .7 * n[:, None], .2))


def test_the_generator_by_hand():
    """Two sizes with skip connections; the noise starts with strength 0, and toRGB has no demodulation."""
    G = style_generator(4, (2, 8, 8), 3, 2, generator=seeded(), last=None).double()
    w = normal(5, 4, 4, seed=2)
    x = G.layers[0](G.start.expand(5, -1, -1, -1), w[:, 0])
    y = weights_form(G.colours[0], x, w[:, 1])
    x = G.layers[2](G.layers[1](x, w[:, 1]), w[:, 2])
    y = enlarge_smooth(y) + weights_form(G.colours[1], x, w[:, 3])
    assert close(G.synthesis(w), y) and close(G.synthesis(w, seeded()), y)
    assert not any(c.demodulate for c in G.colours) and all(layer.conv.demodulate for layer in G.layers)
    z = normal(5, 4)
    assert close(G(z), G.synthesis(G.mapping(z)[:, None].expand(-1, 4, -1)))
    assert abs(G.start.std() - 1) < .2 and [layer.up for layer in G.layers] == [False, True, False]
    assert style_generator(4, (2, 8, 8), 3)(z.float()).abs().max() <= 1


def test_truncation():
    G, z = style_generator(4, (1, 8, 8), 3, 1, generator=seeded()).double(), normal(5, 4)
    G.mean_w.copy_(normal(4, seed=9))
    assert close(G.styles(z, .5)[:, 0], .5 * (G.mean_w + G.mapping(z))) and close(G(z, psi=1.), G(z))
    alike = G(z, psi=0.)
    assert close(alike, alike[:1].expand_as(alike)) and not close(G(z), G(z)[:1].expand_as(G(z)), 1e-3)


@pytest.mark.parametrize("mixing", [0., .9, 1.])
def test_mixing(mixing):
    G = style_generator(4, (1, 16, 16), 1, 0, mixing=mixing)
    w = G.styles(torch.randn(4000, 4, generator=seeded()))
    mixed = G.mix_styles(w, seeded(1))
    kept = (mixed == w).all(-1)
    place = kept.sum(-1)  # layers that keep their w: the first so many
    assert torch.equal(kept, torch.arange(6) < place[:, None]) and place.min() >= 1
    cut = (place < 6).double().mean()
    assert abs(cut - mixing) <= 4 * math.sqrt(mixing * (1 - mixing) / 4000)
    if mixing:
        shares = torch.bincount(place[place < 6], minlength=6)[1:] / (place < 6).sum()
        assert (shares - .2).abs().max() < .04
    assert torch.equal(mixed[:, 0], w[:, 0])


def test_path_lengths_of_a_linear_generator():
    A, w = normal(3, 12, 5), normal(2000, 3, 5, seed=1).requires_grad_()
    y = normal(2000, 3, 2, 2, seed=2)
    x = torch.einsum("lpi,bli->bp", A, w).unflatten(-1, (3, 2, 2))
    lengths = path_lengths(x, w, y)
    slopes = torch.einsum("lpi,bp->bli", A, y.flatten(1)) / 2
    assert close(lengths, slopes.square().sum(-1).mean(-1).sqrt(), 1e-10)
    mean, error = lengths.square().mean(), lengths.square().std() / math.sqrt(2000)
    assert abs(mean - A.square().sum() / 12) < 4 * error < .1 * mean
    quadratic = (w.square().sum(-1).mean(-1) / 2)[:, None, None, None]  # its gradient is w over the layers
    long = path_lengths(quadratic, w, torch.ones(2000, 1, 1, 1).double())
    assert close(long, (w / 3).square().sum(-1).mean(-1).sqrt(), 1e-10)
    long.sum().backward()
    assert w.grad is not None  # differentiable


def test_path_lengths_have_a_gradient_where_pictures_do_not_move():
    scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    w = normal(4, 3, 5).requires_grad_()
    lengths = path_lengths((scale * w.sum((-2, -1)))[:, None, None, None].expand(4, 1, 2, 2), w, normal(4, 1, 2, 2))
    lengths.sum().backward()
    assert close(lengths, torch.zeros(4).double(), 2e-6) and scale.grad.isfinite()


def test_truncation_inside_autocast():
    G, z = style_generator(4, (1, 8, 8), 2, 2, generator=seeded()), torch.randn(3, 4, generator=seeded())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(G(z, psi=.5).float(), G(z, psi=.5).float()) and G.styles(z, .5).shape == (3, 4, 4)
    G.mean_w.fill_(2.)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(G.styles(z, 0.).float(), torch.full((3, 4, 4), 2.))


def test_in_evaluation_mode_a_turn_has_no_mixed_styles():
    """A game that matches latents to examples looks at G in evaluation mode."""
    run = play(game=Minimax(networks=Networks("style", width=2, latent=4, mixing=1.)))
    turn, z = Turn(run, 0, 0), torch.randn(2, 4, 4, generator=seeded())
    calm = turn.G.net(z, moment=Moment(0, seeded_runs(2)))  # the noise has strength 0 at the start
    assert not close(turn.G(z), calm, 1e-3)
    with evaluation_mode(turn.G):
        assert close(turn.G(z), calm, 1e-6)
    assert not close(turn.G(z), calm, 1e-3)


def test_the_penalty_of_path_lengths():
    lengths, mean = torch.tensor([[1., 3.], [2., 2.]]), torch.tensor([0., 2.])
    cost, new = path_length_penalty(lengths, mean)
    assert torch.allclose(new, torch.tensor([.02, 2.])) and torch.allclose(cost, torch.tensor([(.98 ** 2 + 2.98 ** 2) / 2, 0.]))
    assert path_length_penalty(lengths, mean, 1.)[1].tolist() == [2., 2.]


def test_a_residual_block_by_hand():
    block, x = ResidualBlock(3, 5, None, seeded()).double(), normal(2, 3, 8, 8)
    lrelu = lambda v: F.leaky_relu(v, .2)
    y = lrelu(F.conv2d(x, block.first.weight * math.sqrt(2 / 1.04 / 27), padding=1))
    blurred = F.conv2d(F.pad(y, [2] * 4), blur_filter(y), groups=3)
    y = lrelu(F.conv2d(blurred, block.second.weight * math.sqrt(2 / 1.04 / 27))[..., ::2, ::2])
    short = F.conv2d(halve_smooth(x), block.short.weight / math.sqrt(3))
    assert close(block(x), math.sqrt(.5) * (y + short)) and block(x).shape == (2, 5, 4, 4)
    assert BlurConv(2, 3, 3)(torch.zeros(1, 2, 14, 14)).shape == (1, 3, 7, 7)


def test_the_deviation_map():
    D = style_discriminator((1, 8, 8), 3, generator=seeded(), deviation=2).double()
    seen = []
    D.conv.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0]))
    D(normal(4, 1, 8, 8))
    features, extra = seen[0][:, :-1], seen[0][:, -1]
    assert close(extra, minibatch_deviation(features, 2)[:, None, None].expand(4, 4, 4)) and extra[0, 0, 0] != extra[2, 0, 0]


# bad input

@pytest.mark.parametrize("call, word", [
    (lambda: style_generator(0, (1, 8, 8)), "latent"), (lambda: style_generator(2, (8, 8)), "event"),
    (lambda: style_generator(2, (1, 8, 8), layers=-1), "layers"), (lambda: style_generator(2, (1, 8, 8), mixing=1.1), "mixing"),
    (lambda: style_generator(2, (1, 8, 8), width=0), "width"), (lambda: style_discriminator((1, 2, 2)), "event"),
    (lambda: style_discriminator((1, 8, 8), deviation=-1), "deviation"), (lambda: style_encoder((1, 8, 8), 0), "latent"),
    (lambda: style_joint_discriminator((1, 8, 8), 2, width=.5), "width"), (lambda: enlarge_smooth(torch.zeros(3, 3)), "x"),
    (lambda: style_generator(2, (1, 8, 8))(torch.zeros(3, 3)), "x"), (lambda: style_discriminator((1, 8, 8))(torch.zeros(3, 1, 4, 4)), "x"),
    (lambda: style_discriminator((1, 8, 8), deviation=4)(torch.zeros(6, 1, 8, 8)), "x"),
    (lambda: path_length_penalty(torch.ones(2, 3), torch.zeros(3)), "mean"), (lambda: path_length_penalty(torch.ones(2, 3), torch.zeros(2), 2.), "decay"),
    (lambda: path_lengths(torch.ones(2, 3), torch.ones(2, 1, 3), torch.ones(2, 3)), "pictures"),
    (lambda: Networks("style", mixing=-1.), "mixing"), (lambda: play(modes=ring()), "event"), (lambda: play().player("F"), "name")])
def test_bad_arguments(call, word):
    with pytest.raises((ValueError, TypeError), match=f"^{word}: "):
        call()


@pytest.mark.parametrize("game", [Currents, FewLabels, Imputer, MMIALI])
def test_games_that_make_networks_of_their_own_refuse_other_kinds(game):
    for kind in ("grown", "style"):
        with pytest.raises(ValueError, match=f"^kind: expected mlp or conv for {game.__name__}, got '{kind}'"):
            Run(game(networks=Networks(kind)), stacked_digits(), device="cpu")
    for kind in ("mlp", "conv", None):
        game(networks=Networks(kind)).check_conditional()

    class Own(game):  # another author's game may make them
        kinds = ("style",)
    Own(networks=Networks("style")).check_conditional()


def test_a_game_that_asks_for_classes_refuses_mixed_styles():
    def few(mixing):
        return Run(FewLabels(classes=10, networks=Networks("conv", width=2, latent=3),
                             G=lambda: style_generator(13, (1, 8, 8), 2, 1, mixing=mixing)), digits(), runs=1, batch=4, device="cpu")
    assert few(0.).step(1).sample(2).shape == (1, 2, 1, 8, 8)
    with pytest.raises(ValueError, match="^G: expected mixing=0, .* class"):
        few(.9)


def test_with_a_deviation_map_batches_stay_apart_and_penalties_take_the_gradient_of_the_sum():
    D, x = style_discriminator((1, 8, 8), 2, deviation=4, generator=seeded()).double(), normal(8, 1, 8, 8).requires_grad_()
    slope, = torch.autograd.grad(D(x).sum(), x)
    assert D.coupled and close(r1(D, x), slope.square().sum() / 16) and not style_discriminator((1, 8, 8), 2).coupled
    assert all(torch.equal(a, D(b)) for a, b in zip(score_batches(D, x[:4], x[4:]), (x[:4], x[4:])))
    assert not close(D(x[:4]), D(torch.cat([x[:2], x[4:6]]))[:4], 1e-6)


# shapes

@pytest.mark.parametrize("side, layers", [(4, 1), (7, 1), (8, 3), (28, 5), (32, 7)])
@pytest.mark.parametrize("runs", [None, 2])
def test_shapes(side, layers, runs):
    lead, event, kw = (() if runs is None else (2,)), (3, side, side), dict(width=1, runs=runs)
    z = torch.randn(*lead, 5, 4)
    G = style_generator(4, event, layers=1, **kw)
    moment = Moment(0, seeded() if runs is None else seeded_runs(2), True)
    assert len(G.layers) == layers and G(z).shape == G(z, moment).shape == (*lead, 5, *event)
    assert style_discriminator(event, **kw)(G(z)).shape == (*lead, 5)
    assert style_encoder(event, 4, **kw)(G(z)).shape == style_encoder(event, 4, noise=2, **kw)(G(z), z[..., :2]).shape == z.shape
    assert style_joint_discriminator(event, 4, **kw)(G(z), z).shape == (*lead, 5)


# determinism

def test_each_run_has_its_own_numbers():
    kw = dict(mixing=1., last=None)
    two = style_generator(4, (1, 8, 8), 2, runs=2, generator=seeded_runs(2), **kw)
    one = style_generator(4, (1, 8, 8), 2, runs=1, generator=seeded_runs(1, start=1), **kw)
    z = torch.randn(2, 5, 4, generator=seeded())
    with torch.no_grad():
        for G in (two, one):
            for layer in G.layers:
                layer.strength.fill_(.5)
        moment = lambda n, start=0, training=True: Moment(0, seeded_runs(n, start), training)
        assert torch.allclose(two(z, moment(2))[1], one(z[1:], moment(1, 1))[0], atol=1e-5)
        assert not torch.allclose(two(z, moment(2)), two(z, moment(2, training=False)), atol=1e-2)  # mixed in turns alone
        assert torch.equal(two(z), two(z)) and not torch.allclose(two(z), two(z, moment(2, training=False)), atol=1e-2)


@pytest.mark.parametrize("kw", [{}, {"average": .9}, {"shards": 2}, {"precision": "bf16"}])
def test_resuming_and_looking_change_nothing(kw, tmp_path):
    straight, watched = play(**kw).step(4), play(**kw).step(2)
    first = watched.sample(3)
    assert torch.equal(first, watched.sample(3)) and torch.equal(watched.player("G")(first[..., 0, 0, :4]), watched.player("G")(first[..., 0, 0, :4]))
    watched.game.turn_loss("G", Turn(watched, 7, 0))
    assert same_run(Run.load(watched.save(tmp_path / "x"), device="cpu").step(2), straight)
    assert same_run(watched.step(2), straight)


def test_a_run_beside_another_is_the_run_alone():
    two, one = play(runs=2).step(2), play(runs=1, seed=1).step(2)
    assert torch.allclose(two.sample(4)[1], one.sample(4)[0], atol=1e-4)
    mean = two.players.nets["G"].mean_w
    assert torch.allclose(mean[1], one.players.nets["G"].mean_w[0], atol=1e-6) and mean.abs().max() > 0


def test_the_average_of_w_follows_each_step(tmp_path):
    run = play(average=.9)
    G = run.players.nets["G"]
    expected = torch.zeros_like(G.mean_w)
    for step in range(3):
        run.step(1)
        z = run.noise(4, run.generators("after G", step))
        with torch.no_grad():
            expected = .995 * expected + .005 * G.mapping(z).mean(-2)
        assert torch.allclose(G.mean_w, expected, atol=1e-7) and torch.equal(run.players.averaged.mean_w, G.mean_w)


def test_shards_do_not_change_the_average_of_w():
    """A process that computes other shards has the same buffers."""
    whole, other = play(shards=2), play(shards=2)
    other.local_shards = [1, 0]
    for run in (whole, other):
        run.step(2)
    assert torch.allclose(whole.players.nets["G"].mean_w, other.players.nets["G"].mean_w, atol=1e-8)


@pytest.mark.parametrize("game", [Minimax, Wasserstein, ZeroCentred, BiGAN, PairwiseBiGAN, IMLE])
@pytest.mark.parametrize("data", [digits, stacked_digits, faces])
def test_games_of_pictures(game, data, tmp_path):
    if data is faces and game not in (Minimax, BiGAN):
        pytest.skip("one size in full is enough")
    kw = dict(reals=12, pool=2, refresh=2, networks=Networks("style", width=2, latent=4)) if game is IMLE else dict(networks=SMALL)
    player = "G" if "G" in game(**kw).turns.split() else "D"
    plays_and_resumes(lambda: game(**kw), data, tmp_path, player=player)


# the hooks, with networks of one's own

class Coarse(nn.Module):
    """A network that asks for everything: the step, random numbers, coarse reals, a counter."""
    takes_moment = True

    def __init__(self):
        super().__init__()
        self.layer, self.seen = nn.Linear(2, 2), []
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, z, *labels, moment=Moment()):
        self.seen.append((moment.step, moment.training, [tuple(y.shape) for y in labels]))
        return self.layer(z) if moment.generator is None else self.layer(z) + .1 * randn(*z.shape, generator=moment.generator)

    def shape_reals(self, x, moment):
        return x.round() + moment.step

    def after_step(self, moment, z):
        assert not torch.is_grad_enabled() and moment.training and z.shape == (16, 2)
        self.steps += 1


def coarse(**kw):
    return Run(Minimax(G=kw.pop("G", Coarse), D=kw.pop("D", None), networks=Networks(width=8)), ring(), **dict(runs=2, batch=16, device="cpu") | kw)


@pytest.mark.parametrize("kw", [{}, {"average": .9}, {"shards": 2}])
def test_networks_of_ones_own_have_the_hooks(kw, tmp_path):
    run, straight = coarse(**kw).step(2), coarse(**kw).step(4)
    again = Run.load(run.save(tmp_path / "x"), Minimax(G=Coarse, networks=Networks(width=8)), device="cpu").step(2)
    assert same_players(again, straight)
    first, second = straight.players.nets["G"].members
    assert first.steps == 4 and {at for at, _, _ in first.seen} == set(range(4)) and all(t for _, t, _ in first.seen)
    straight.sample(3)
    net = straight.players.averaged if kw.get("average") else straight.players.nets["G"]
    assert net.members[0].seen[-1][:2] == (4, False)


def test_reals_are_shaped_with_and_without_labels():
    plain = coarse()
    t = Turn(plain, 5, 0)
    assert torch.equal(t.x, plain.real(16, plain.generators("data", 5, 0)).round() + 5) and torch.equal(t.real(3, "pool").frac(), torch.zeros(2, 3, 2))
    labelled = coarse(G=with_labels(Coarse), D=with_labels(lambda: WithY()))
    t = Turn(labelled, 5, 0)
    assert torch.equal(t.x.frac(), torch.zeros(2, 16, 2)) and t.y.shape == (2, 16)
    t.G(t.z)
    assert labelled.players.nets["G"].members[0].seen == [(5, True, [(16,)])]
    assert labelled.step(2).sample(3).shape == (2, 3, 2)


class WithY(nn.Module):
    """A discriminator of pairs (x, y)."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x, y):
        return self.layer(torch.cat([x, y[:, None].float()], -1))


def test_calls_in_a_turn_go_on_in_one_stream_and_turns_do_not_share_it():
    run = coarse()
    one, again, later = Turn(run, 3, 0), Turn(run, 3, 0), Turn(run, 4, 0)
    z = torch.zeros(2, 5, 2)
    later = Turn(run, 4, 0).G(z)
    one = Turn(run, 3, 0)
    calls = one.G(z), one.G(z)
    again = Turn(run, 3, 0)
    assert torch.equal(again.G(z), calls[0]) and torch.equal(again.G(z), calls[1])
    assert not torch.equal(*calls) and not torch.equal(later, calls[0]) and isinstance(again.G, BoundPlayer)


def test_who_asks_for_nothing_stands_as_it_is():
    run = Run(Minimax(networks=Networks(width=8)), ring(), runs=2, batch=16, device="cpu")
    t = Turn(run, 0, 0)
    assert t.G is run.players.nets["G"] is run.player("G") and not has_hook(mlp(2, 2), "takes_moment")
    assert (run.players.bound, run.players.shaping, run.players.keeping) == ([], [], [])
