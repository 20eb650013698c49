"""modelab.methods.attention: attention, hinge and spectral norm against closed forms and torch, shapes, bad input, the game."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize

from modelab.core.registry import make
from modelab.data.digits import digits, stacked_digits
from modelab.data.pictures import faces
from modelab.data.twins import Twins, twins
from modelab.evaluation.coverage import coverage
from modelab.lab.panel import Lab
from modelab.methods.attention import (add_spectral_norm, hinge_discriminator_loss,
                                       power_iteration, SAGAN, spectral_norm, SpectralNorm,
                                       update_spectral_norm, WEIGHT_AXES)
from modelab.methods.imle_gan import IMLEGAN
from modelab.methods.relativistic import Relativistic
from modelab.methods.wasserstein import wasserstein_generator_loss
from modelab.networks.attention import add_self_attention, LocalGenerator, SelfAttention
from modelab.networks.convolutional import (Conv, conv_discriminator, conv_generator, fold_runs,
                                            unfold_runs)
from modelab.networks.growing import EqualConv, EqualLinear, grown_discriminator
from modelab.networks.layers import Linear, mlp, score_batches
from modelab.networks.players import Networks
from modelab.networks.style import style_discriminator, style_generator
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

from helpers import normal as randn, same_players, same_run, seeded_runs as gens


def lit(layer, value=.7):
    """A layer whose γ is no longer zero."""
    with torch.no_grad():
        layer.gamma.fill_(value)
    return layer


def by_hand(layer, x, r=None):
    """Self-attention of one picture (channels, height, width), place by place."""
    part = {n: (c.weight if r is None else c.weight[r])[:, :, 0, 0] for n, c in layer.named_children()}
    flat, out = x.flatten(1), []
    for j in range(flat.shape[1]):
        scores = torch.stack([(part["key"] @ flat[:, i]) @ (part["query"] @ flat[:, j]) for i in range(flat.shape[1])])
        weights = scores.exp() / scores.exp().sum()
        o = sum(w * (part["value"] @ flat[:, i]) for i, w in enumerate(weights))
        out.append(flat[:, j] + (layer.gamma if r is None else layer.gamma[r]).squeeze() * part["out"] @ o)
    return torch.stack(out, 1).reshape(x.shape)


# attention

def test_attention_place_by_place():
    layer, x = lit(SelfAttention(6, generator=gens(1)[0]).double()), randn(2, 6, 3, 4)
    assert all(torch.allclose(layer(x)[b], by_hand(layer, x[b]), atol=1e-12) for b in range(2))
    assert torch.allclose(layer.attention_map(x).sum(-1), torch.ones(2, 12).double(), atol=1e-14)


def test_softmax_is_over_the_keys():
    """The classic slip sums to one over the queries."""
    found = SelfAttention(6, generator=gens(1)[0]).double().attention_map(3 * randn(1, 6, 4, 4))
    assert torch.allclose(found.sum(2), torch.ones(1, 16).double()) and (found.sum(1) - 1).abs().max() > .5


def test_it_starts_as_the_identity_and_only_gamma_hears():
    layer, x = SelfAttention(8, runs=2, generator=gens(2)), randn(3, 16, 4, 4).float()
    assert torch.equal(layer(x), x)
    layer(x).square().sum().backward()
    slopes = {n: w.grad.abs().sum().item() for n, w in layer.named_parameters()}
    assert slopes.pop("gamma") > 0 and not any(slopes.values())


def test_places_have_no_names():
    layer, x, order = lit(SelfAttention(5).double()), randn(2, 5, 4, 4), torch.randperm(16, generator=gens(1)[0])
    mixed = x.flatten(2)[..., order].reshape(x.shape)
    assert torch.allclose(layer(mixed), layer(x).flatten(2)[..., order].reshape(x.shape), atol=1e-12)
    assert (layer.attention_map(x[..., :1, :1]) == 1).all()


def test_pooled_keys_are_maxima_of_blocks():
    layer, x = lit(SelfAttention(6, pool=2, generator=gens(1)[0]).double()), randn(1, 6, 4, 6)
    key = layer.key(x)[0].unflatten(2, (3, 2)).unflatten(1, (2, 2)).amax((2, 4)).flatten(1)
    expected = (layer.query(x)[0].flatten(1).T @ key).softmax(-1)
    assert layer.attention_map(x).shape == (1, 24, 6) and torch.allclose(layer.attention_map(x)[0], expected, atol=1e-12)
    assert layer(x).shape == x.shape and not torch.equal(layer(x), x)


def test_runs_are_slices():
    layer, x = lit(SelfAttention(6, runs=3, generator=gens(3)).double()), randn(3, 2, 6, 3, 3)
    together = unfold_runs(layer(fold_runs(x, 3)), 3)
    assert all(torch.allclose(together[r, b], by_hand(layer, x[r, b], r), atol=1e-12) for r in range(3) for b in range(2))
    one = SelfAttention(6, runs=1, generator=gens(1, start=2)).double()
    assert torch.equal(layer.key.weight[2], one.key.weight[0])


def test_second_derivatives_exist():
    layer, x = lit(SelfAttention(4).double()), randn(1, 4, 2, 2).requires_grad_()
    assert torch.autograd.gradgradcheck(layer, (x,))


@pytest.mark.parametrize("call, message", [
    (lambda: SelfAttention(0), "channels"), (lambda: SelfAttention(4, inner=0), "inner"), (lambda: SelfAttention(4, pool=0), "pool"),
    (lambda: SelfAttention(4, runs=0), "runs"),
    (lambda: SelfAttention(4)(torch.zeros(2, 5, 4, 4)), r"x: expected shape \(2, 4, 4, 4\), got \(2, 5, 4, 4\)"),
    (lambda: SelfAttention(4, runs=2)(torch.zeros(2, 4, 4, 4)), r"x: .*\(2, 8"), (lambda: SelfAttention(4)(torch.zeros(4, 4, 4)), "x: "),
    (lambda: SelfAttention(4, pool=4)(torch.zeros(1, 4, 3, 8)), r"x: expected shape \(1, 4, 4, 8\), got \(1, 4, 3, 8\)"), (lambda: SelfAttention(4).attention_map([1.]), "x: .*list"),
    (lambda: add_self_attention(mlp(2, ())), "net: .*MLP"), (lambda: add_self_attention(grown_discriminator((1, 8, 8), 2)), "net: .*GrownDiscriminator"),
    (lambda: add_self_attention(style_generator(2, (1, 8, 8), 2, 1), side=2), r"side: expected .*\[4, 8\], got 2"),
    (lambda: add_self_attention(add_self_attention(style_discriminator((1, 8, 8), 2), 4), 4), r"side: expected a free map .*\[\], got 4"), (lambda: add_self_attention(conv_discriminator((1, 5, 5))), "side: .*5×5"),
    (lambda: add_self_attention(conv_generator(2, (1, 16, 16), 2), side=4), r"side: expected .*\[8, 16\], got 4"),
    (lambda: add_self_attention(add_self_attention(conv_generator(2, (1, 8, 8), 2))), r"side: expected a free map .*\[\], got 8"),
])
def test_bad_layers_are_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize("make_net, sides", [(lambda: conv_discriminator((1, 32, 32), 2, 2, gens(2)), (16, 8, 4)),
                                             (lambda: conv_generator(3, (1, 32, 32), 2, 2, gens(2)), (8, 16, 32))])
def test_attention_comes_behind_the_map_of_that_side(make_net, sides):
    x = randn(2, 3, *make_net().inputs).float()
    for side in (None, *sides):
        net, heights = add_self_attention(make_net(), side, generator=gens(2)), []
        layer, = (m for m in net.modules() if isinstance(m, SelfAttention))
        layer.register_forward_hook(lambda module, args, out: heights.append(out.shape[-1]))
        assert torch.equal(net(x), make_net()(x)) and heights == [side or 16]  # γ is zero: nothing changes


@pytest.mark.parametrize("make_net, sides", [(lambda: style_discriminator((3, 32, 32), 2, 2, gens(2)), (16, 8, 4)),
                                             (lambda: style_generator(4, (3, 32, 32), 2, 1, 2, gens(2)), (4, 8, 16, 32))])
def test_style_networks_have_a_map_of_each_side(make_net, sides):
    x = randn(2, 3, *make_net().inputs).float()
    for side in (None, *sides):
        net, seen = add_self_attention(make_net(), side, generator=gens(2)), []
        layer, = (m for m in net.modules() if isinstance(m, SelfAttention))
        layer.register_forward_hook(lambda module, args, out: seen.append((out.shape[-1], out.shape[1] == 2 * module.channels)))
        assert torch.equal(net(x), make_net()(x)) and seen == [(side or 16, True)]
        before = net(x)
        lit(layer, 5.)
        assert not torch.equal(net(x), before)


def test_a_style_generator_keeps_its_noise_and_its_slopes():
    """The layer takes the map alone; style and noise go to the convolution in front of it."""
    from modelab.networks.layers import Moment
    plain, net = (style_generator(4, (1, 8, 8), 2, 1, 2, gens(2), mixing=0.) for _ in range(2))
    lit(add_self_attention(net, 8, generator=gens(2)).layers[2][1], 0.)
    z = randn(2, 3, 4).float()
    for G in (plain, net):
        with torch.no_grad():
            for name, weight in G.named_parameters():
                if name.endswith("strength"):
                    weight.fill_(.5)
    noisy = [G(z, Moment(generator=gens(2))) for G in (plain, net)]
    assert torch.equal(*noisy) and not torch.equal(noisy[0], plain(z))
    lit(net.layers[2][1], 1.)
    net(z).square().sum().backward()
    assert all(w.grad is not None and w.grad.isfinite().all() for n, w in net.named_parameters() if "strength" not in n)
    assert net.layers[2][1].query.weight.grad.abs().max() > 0


# attention as a setting of the networks

@pytest.mark.parametrize("kind", ["conv", "style"])
@pytest.mark.parametrize("who", ["", "G", "D", "GD"])
def test_the_setting_says_who_attends(kind, who):
    nets, kw = Networks(kind, width=2, depth=1, attention=who), dict(runs=2, generator=gens(2))
    made = {"G": nets.generator(4, (3, 32, 32), **kw), "D": nets.discriminator((3, 32, 32), **kw),
            "J": nets.joint_discriminator((3, 32, 32), 4, **kw), "E": nets.encoder((3, 32, 32), 4, **kw)}
    found = {n: sum(isinstance(m, SelfAttention) for m in net.modules()) for n, net in made.items()}
    assert found == {"G": "G" in who, "D": "D" in who, "J": "D" in who, "E": 0}
    assert made["D"](made["G"](torch.zeros(2, 3, 4))).shape == (2, 3)


@pytest.mark.parametrize("kind", ["conv", "style"])
def test_no_setting_and_an_empty_one_are_the_networks_of_before(kind):
    made = [Networks(kind, width=2, depth=1, **kw).discriminator((1, 8, 8), generator=gens(1)[0]).state_dict()
            for kw in ({}, {"attention": ""}, {"attention": "G"})]
    assert all(made[0].keys() == other.keys() and all(torch.equal(made[0][k], other[k]) for k in other) for other in made)


@pytest.mark.parametrize("kind", ["mlp", "grown"])
@pytest.mark.parametrize("player", ["generator", "discriminator", "joint_discriminator"])
def test_networks_without_maps_are_refused(kind, player):
    sizes = {"generator": (4, (1, 8, 8)), "discriminator": ((1, 8, 8),), "joint_discriminator": ((1, 8, 8), 4)}[player]
    with pytest.raises(ValueError, match=f'^kind: expected "conv" or "style" for attention, got {kind!r}'):
        getattr(Networks(kind, width=2, depth=1, attention="GD"), player)(*sizes)
    with pytest.raises(ValueError, match="^attention: unknown 'E'. Known: '', D, G, GD$"):
        Networks(kind, attention="E")
    with pytest.raises(TypeError, match="^attention: expected one of '', D, G, GD, got 3$"):
        Networks(kind, attention=3)


@pytest.mark.parametrize("kind", ["conv", "style"])
def test_runs_with_attention_are_separate_networks(kind):
    """Run 1 of two is the network that its own generator makes alone, and the plain network of the same weights."""
    nets, x = Networks(kind, width=2, depth=1, attention="GD"), randn(2, 3, 3, 32, 32).float()
    both, one = (nets.discriminator((3, 32, 32), runs=r, generator=gens(r, start=s)) for r, s in ((2, 0), (1, 1)))
    plain = nets.discriminator((3, 32, 32), generator=gens(1, start=1)[0])
    for net in (both, one, plain):
        lit(next(m for m in net.modules() if isinstance(m, SelfAttention)), 2.)
    assert torch.allclose(both(x)[1], one(x[1:])[0], atol=1e-5) and torch.allclose(plain(x[1]), one(x[1:])[0], atol=1e-5)
    slope = torch.autograd.grad(both(x.requires_grad_())[1].sum(), x)[0]
    assert not slope[0].any() and slope[1].any()


@pytest.mark.parametrize("kind", ["conv", "style"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_game_of_32_pixels_with_attention_resumes(kind, precision, tmp_path):
    def fresh():
        game = Relativistic(networks=Networks(kind, width=2, depth=1, latent=4, attention="GD"))
        return Run(game, faces(), runs=2, batch=2, device="cpu", precision=precision, average=.9)
    half = fresh().step(1)
    resumed = Run.load(half.save(tmp_path / "half"), device="cpu").step(1)
    assert resumed.game.networks.attention == "GD" and same_run(fresh().step(2), resumed)
    assert all(m.gamma.any() for m in resumed.players.nets["G"].modules() if isinstance(m, SelfAttention))


def test_other_games_take_the_setting():
    run = Run(IMLEGAN(networks=Networks("conv", width=2, latent=4, attention="GD"), reals=8), twins(), runs=2, batch=4, device="cpu").step(2)
    assert all(any(isinstance(m, SelfAttention) for m in run.players.nets[n].modules()) for n in "GD")
    assert make("game", run.game.spec).networks.attention == "GD"


def test_an_older_file_of_the_game_is_read():
    """Attention was a setting of SAGAN itself."""
    assert make("game", {"name": "sagan", "attention": "D"}).networks.attention == "D"
    with pytest.raises(TypeError, match=r"attention: .*networks=Networks\(attention=…\)"):
        SAGAN(attention="D")


@pytest.mark.parametrize("attention", [False, True])
def test_local_noise_reaches_the_other_half_by_attention_alone(attention):
    for runs, lead in ((None, (3,)), (2, (2, 3))):
        G = LocalGenerator(runs, None if runs is None else gens(runs), attention).double()
        if attention:
            lit(G.attention, 1.)
        z = randn(*lead, 4, 4, 4)
        other = z.clone()
        other[..., 2:] = randn(*lead, 4, 4, 2, seed=1)
        change = (G(z.flatten(-3)) - G(other.flatten(-3))).detach().abs()
        assert change.shape == (*lead, 3, 8, 8) and change[..., 6:].max() > 0 and (change[..., :2].max() > 0) == attention


# what convolutions cannot see

@pytest.mark.parametrize("runs", [None, 3])
def test_convolutions_add_up_and_attention_does_not(runs):
    rooms = twins(wander=True)
    net = conv_discriminator((3, 8, 8), 4, runs, torch.Generator().manual_seed(0)).double()

    def interaction():
        lead = () if runs is None else (runs,)
        a, b, c, d = (net(rooms.clean(*k).double().expand(*lead, -1, 3, 8, 8)) for k in ((0, 0), (0, 1), (1, 0), (1, 1)))
        return (a - b - c + d).abs().max().item()
    assert interaction() < 1e-12
    lit(add_self_attention(net).double().convs[0][1], 3.)
    assert interaction() > 1e-3


def test_a_critic_with_attention_learns_what_one_without_cannot():
    rooms, g = twins(), torch.Generator().manual_seed(0)
    a, b = rooms.clean(0, 0), torch.cat([rooms.clean(0, 1), rooms.clean(1, 0)])
    a = torch.cat([a, rooms.clean(1, 1)])
    losses = {}
    for name, change in (("plain", lambda net: net), ("far", lambda net: add_self_attention(net, generator=g))):
        net = change(conv_discriminator((3, 8, 8), 8, 2, gens(2)))
        adam = torch.optim.Adam(net.parameters(), 5e-3, betas=(0., .9))
        for _ in range(120):
            loss = hinge_discriminator_loss(*score_batches(net, a.expand(2, *a.shape), b.expand(2, *b.shape)))
            adam.zero_grad()
            loss.sum().backward()
            adam.step()
        losses[name] = loss
    assert losses["plain"].min() > 2 - 1e-5 and losses["far"].max() < .5


# hinge

@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.lists(st.floats(-5, 5), min_size=1, max_size=6))
def test_hinge_by_hand(real, fake):
    expected = sum(max(0, 1 - v) for v in real) / len(real) + sum(max(0, 1 + v) for v in fake) / len(fake)
    a, b = (torch.tensor(v, dtype=torch.float64) for v in (real, fake))
    assert hinge_discriminator_loss(a, b).item() == pytest.approx(expected)
    assert wasserstein_generator_loss(b).item() == pytest.approx(-sum(fake) / len(fake))


def test_signs_runs_and_slopes_of_the_hinge():
    a, b = randn(3, 5).requires_grad_(), randn(3, 7, seed=1).requires_grad_()
    loss = hinge_discriminator_loss(a, b)
    assert loss.shape == (3,) and torch.isclose(loss[1], hinge_discriminator_loss(a[1], b[1]))
    loss.sum().backward()
    assert torch.equal(a.grad, -(a < 1).double() / 5) and torch.equal(b.grad, (b > -1).double() / 7)
    assert hinge_discriminator_loss(torch.full((4,), 9.), torch.full((4,), -9.)) == 0  # beyond the margin all is free
    assert wasserstein_generator_loss(b).shape == (3,) and wasserstein_generator_loss(b + 1).sum() < wasserstein_generator_loss(b).sum()


@pytest.mark.parametrize("real, fake, message", [(torch.zeros(2, 3), torch.zeros(3, 3), "fake_logits: .* fits real_logits"),
                                                 ([0.], torch.zeros(3), "real_logits"), (torch.zeros(3), torch.zeros(0), "fake_logits")])
def test_bad_logits_are_refused(real, fake, message):
    with pytest.raises((ValueError, TypeError), match=message):
        hinge_discriminator_loss(real, fake)


# the spectral norm

@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_power_iteration_finds_the_largest_singular_value(rows, columns, seed):
    w = randn(3, rows, columns, seed=seed)
    exact = torch.linalg.matrix_norm(w, 2)
    found = [spectral_norm(w, power_iteration(w, n=n)) for n in (0, 3, 400)]
    assert all((v <= exact + 1e-12).all() for v in found) and torch.allclose(found[-1], exact, rtol=1e-2)
    assert (found[0] <= found[1] + 1e-12).all() and (found[1] <= found[2] + 1e-12).all()


def test_it_goes_on_from_where_it_was():
    w = randn(4, 9)
    u = power_iteration(w, n=3)
    assert torch.allclose(power_iteration(w, u, n=4), power_iteration(w, n=7), atol=1e-14) and torch.equal(u, power_iteration(w, n=3))
    assert torch.allclose(power_iteration(w, u, n=0), u, atol=1e-15) and torch.isclose(u.norm(), torch.ones(()).double())


def test_slope_of_the_norm_is_the_outer_product_of_singular_vectors():
    w = randn(2, 4, 3, 2).requires_grad_()  # two runs of a kernel whose matrix is 4×6
    u = power_iteration(w.flatten(2), n=2000)
    slope, = torch.autograd.grad(spectral_norm(w.flatten(2), u).sum(), w)
    left, _, right = torch.linalg.svd(w.detach().flatten(2))
    assert torch.allclose(slope.flatten(2), left[..., :1] @ right[:, :1], atol=1e-8)
    v = power_iteration(w[0].flatten(1))
    assert torch.autograd.gradcheck(lambda w: spectral_norm(w.flatten(1), v), (w[0].detach().requires_grad_(),))


@pytest.mark.parametrize("layer, x", [(lambda: nn.Linear(7, 5), (3, 7)), (lambda: nn.Conv2d(2, 4, 3), (2, 2, 6, 6)),
                                      (lambda: nn.Conv1d(2, 4, 3), (2, 2, 6))])
def test_torchs_own_parametrization_agrees(layer, x):
    theirs, x = nn.utils.parametrizations.spectral_norm(layer().double()), randn(*x)
    ours = add_spectral_norm(layer().double())
    ours.load_state_dict({"bias": theirs.bias.detach(), "parametrizations.weight.original": theirs.parametrizations.weight.original.detach(),
                          "parametrizations.weight.0.u": theirs.parametrizations.weight[0]._u})
    out = theirs(x)
    assert torch.allclose(update_spectral_norm(ours)(x), out, atol=1e-10)
    for net in (ours, theirs.eval()):
        net(x).square().sum().backward()
    assert torch.allclose(*(net.parametrizations.weight.original.grad for net in (ours, theirs)), atol=1e-9)


@pytest.mark.parametrize("kind, sizes, x", [
    (nn.Linear, (4, 3), (2, 4)), (nn.Embedding, (5, 3), None), (nn.Conv1d, (4, 3, 3), (2, 4, 6)), (nn.Conv2d, (4, 3, 3), (2, 4, 6, 6)),
    (nn.Conv3d, (4, 3, 3), (2, 4, 6, 6, 6)), (nn.ConvTranspose1d, (4, 3, 3), (2, 4, 6)), (nn.ConvTranspose2d, (4, 3, 3), (2, 4, 6, 6)),
    (nn.ConvTranspose3d, (4, 3, 3), (2, 4, 4, 4, 4)), (Linear, (4, 3), (2, 4)), (Conv, (4, 3, 3), (2, 4, 6, 6)),
    (EqualLinear, (4, 3), (2, 4)), (EqualConv, (4, 3, 3), (2, 4, 6, 6))], ids=lambda v: getattr(v, "__name__", ""))
def test_each_kind_of_layer_multiplies_with_a_matrix_of_norm_one(kind, sizes, x):
    layer = update_spectral_norm(add_spectral_norm(kind(*sizes).double()), 2000)
    weight = (layer.weight * (layer.scale if kind in (EqualConv, EqualLinear) else 1)).detach()
    matrix = (weight.transpose(0, 1) if "Transpose" in kind.__name__ else weight).flatten(1)
    assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1, abs=1e-8)
    assert len(layer.parametrizations.weight[0].u) == len(matrix)
    out = layer(torch.arange(5) if x is None else randn(*x))
    out.sum().backward()
    assert out.isfinite().all() and layer.parametrizations.weight.original.grad.isfinite().all()


def test_the_table_has_no_kind_without_a_test():
    tried = test_each_kind_of_layer_multiplies_with_a_matrix_of_norm_one.pytestmark[0].args[1]
    assert {row[0] for row in tried} == set(WEIGHT_AXES)


@pytest.mark.parametrize("layer, x", [(lambda: nn.ConvTranspose2d(4, 6, 3, groups=2), (2, 4, 5, 5)), (lambda: nn.ConvTranspose1d(4, 3, 3), (2, 4, 5))])
def test_torch_agrees_on_transposed_convolutions(layer, x):
    theirs, x = nn.utils.parametrizations.spectral_norm(layer().double()), randn(*x)
    ours = add_spectral_norm(layer().double())
    ours.load_state_dict({"bias": theirs.bias.detach(), "parametrizations.weight.original": theirs.parametrizations.weight.original.detach(),
                          "parametrizations.weight.0.u": theirs.parametrizations.weight[0]._u})
    assert torch.allclose(update_spectral_norm(ours)(x), theirs(x), atol=1e-10)


def test_subclasses_are_bounded_and_a_second_call_changes_nothing():
    class Mine(nn.Conv2d):
        """A convolution of somebody's own."""
    net = add_spectral_norm(nn.Sequential(Mine(2, 3, 3), nn.Linear(3, 1)))
    assert all(parametrize.is_parametrized(layer) for layer in net)
    with pytest.raises(ValueError, match="network: expected layers, got none"):
        add_spectral_norm(net)
    net.append(nn.Linear(1, 1))
    add_spectral_norm(net)
    assert [len(layer.parametrizations.weight) for layer in net] == [1, 1, 1]


@pytest.mark.parametrize("layer, name", [
    (lambda: nn.GRU(3, 3), "GRU"), (lambda: nn.Bilinear(2, 3, 4), "Bilinear"), (lambda: nn.MultiheadAttention(4, 2), "MultiheadAttention"),
    (lambda: nn.EmbeddingBag(4, 2), "EmbeddingBag"), (lambda: nn.LazyLinear(3), "LazyLinear"),
    (lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2)), "ParametrizedLinear"),
    (lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 2, 3)), "ParametrizedConv2d"),
    (lambda: style_generator(4, (1, 8, 8), 2, 1).layers[0].conv, "ModulatedConv")])
def test_layers_that_cannot_be_bounded_are_refused_by_name(layer, name):
    net = nn.ModuleDict({"first": nn.Linear(2, 2), "odd": layer()})
    with pytest.raises(ValueError, match=f"^network: expected layers of Linear, .*got {name} at 'odd'; name it in `but`"):
        add_spectral_norm(net)
    assert not parametrize.is_parametrized(net["first"])  # a refusal changes nothing
    assert parametrize.is_parametrized(add_spectral_norm(net, ("odd",))["first"])


def test_norms_over_a_batch_are_neither_bounded_nor_refused():
    net = add_spectral_norm(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.PReLU(2)))
    assert [parametrize.is_parametrized(layer) for layer in net] == [True, False, False]


def test_a_full_name_leaves_out_one_layer():
    net = add_spectral_norm(nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2))), ("1.0",))
    assert [parametrize.is_parametrized(part[0]) for part in net] == [True, False]


@pytest.mark.parametrize("kind", ["grown", "style"])
def test_discriminators_of_equalised_layers_are_bounded(kind):
    net = Networks(kind, width=2, depth=1).discriminator((1, 8, 8), runs=2, generator=gens(2))
    net = update_spectral_norm(add_spectral_norm(net.double()), 2000)
    layers = [m for m in net.modules() if isinstance(m, (EqualConv, EqualLinear))]
    norms = [torch.linalg.matrix_norm((m.weight * m.scale).flatten(2), 2) for m in layers]
    assert len(layers) > 4 and all(torch.allclose(v, torch.ones(2).double(), atol=1e-6) for v in norms)


def test_bounded_maps_do_not_bound_the_product_of_attention():
    layer = add_spectral_norm(SelfAttention(6, generator=gens(1)[0]).double())
    lit(update_spectral_norm(layer, 500), 1.)
    e = nn.functional.normalize(randn(6), dim=0)

    def slope(c):
        x = torch.stack([0 * e, c * e, -c * e], -1)[None, :, None]
        return torch.autograd.functional.jacobian(lambda v: layer(v)[0, :, 0, 0], x)[:, 0, :, 0, 0].norm().item()
    assert slope(1e4) / slope(1e3) == pytest.approx(100, rel=.02)
    for name in ("query", "key", "value", "out"):  # a kernel of size one is its own matrix
        v = randn(5, getattr(layer, name).weight.shape[1])
        answer = v @ getattr(layer, name).weight[:, :, 0, 0].T
        assert (answer.norm(dim=1) <= v.norm(dim=1) + 1e-9).all()


def test_looking_does_not_move_it_and_advance_does():
    """torch's own moves at every forward pass in training mode."""
    net, x = add_spectral_norm(mlp(3, (), 8, runs=2, generator=gens(2))).train(), randn(2, 4, 3).float()
    with torch.no_grad():
        for w in net.parameters():
            w.add_(.1 * torch.randn(w.shape, generator=gens(1)[0]))
    before = net(x)
    assert torch.equal(net(x), before)
    assert not torch.equal(update_spectral_norm(net)(x), before)
    assert torch.equal(update_spectral_norm(plain := nn.Linear(2, 2)).weight, plain.weight)


def test_every_layer_has_norm_one_run_by_run():
    net = add_spectral_norm(add_self_attention(conv_discriminator((3, 8, 8), 4, 2, gens(2)), generator=gens(2)), ("query", "key")).double()
    update_spectral_norm(net, 3000)
    norms = {n: torch.linalg.matrix_norm(m.weight.flatten(2), 2) for n, m in net.named_modules()
             if isinstance(getattr(m, "weight", None), torch.Tensor)}
    free = [v for n, v in norms.items() if n.split(".")[-1] in ("query", "key")]
    bound = [v for n, v in norms.items() if n.split(".")[-1] not in ("query", "key")]
    assert len(free) == 2 and len(bound) == 5 and all(torch.allclose(v, torch.ones(2).double(), atol=1e-6) for v in bound)
    assert all((v - 1).abs().max() > .01 for v in free)


def test_a_chain_of_such_layers_stretches_nothing():
    net = add_spectral_norm(mlp(3, (), 16, runs=2, generator=gens(2))).double()
    with torch.no_grad():
        for w in net.parameters():
            w.mul_(30)
    x, y = randn(2, 200, 3), randn(2, 200, 3, seed=1)
    assert ((update_spectral_norm(net, 200)(x) - net(y)).abs() <= (x - y).norm(dim=-1) + 1e-9).all()


def test_a_flattened_kernel_is_not_the_convolution():
    conv = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular", bias=False)
    nn.init.ones_(conv.weight)
    assert torch.allclose(add_spectral_norm(conv)(torch.ones(1, 1, 4, 4)), torch.full((1, 1, 4, 4), 3.))


def test_a_weight_of_zeros_stays_one():
    layer = nn.Linear(3, 2)
    nn.init.zeros_(layer.weight)
    assert torch.equal(update_spectral_norm(add_spectral_norm(layer)).weight, torch.zeros(2, 3))


@pytest.mark.parametrize("call, message", [
    (lambda: power_iteration(torch.zeros(3)), "matrix: "), (lambda: power_iteration([1.]), "matrix: .*list"),
    (lambda: power_iteration(torch.eye(2), n=-1), "n: "),
    (lambda: power_iteration(torch.eye(2), torch.ones(3)), r"u: .*fits matrix, got \(3,\)"), (lambda: SpectralNorm(torch.eye(2), runs=-1), "runs: "),
    (lambda: spectral_norm(torch.eye(2), torch.ones(2, dtype=torch.int64)), "u: expected a floating tensor"),
    (lambda: spectral_norm(torch.eye(2), torch.ones(3)), "u: "),
    (lambda: spectral_norm(torch.eye(2), None), "u: "), (lambda: add_spectral_norm(3), "network"),
    (lambda: add_spectral_norm(nn.ReLU()), "network: .*none in ReLU"),
    (lambda: add_spectral_norm(nn.Linear(1, 1), "query"), "but"), (lambda: update_spectral_norm(None), "network"), (lambda: update_spectral_norm(nn.ReLU(), 0), "n: "),
    (lambda: SpectralNorm(torch.zeros(3)), "weight"),
])
def test_bad_weights_are_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


# the set

def test_every_right_room_passes_and_no_other():
    for wander, rooms in ((True, 49), (False, 1)):
        modes = twins(wander)
        x, colour = modes.sample_with_modes(400, torch.Generator().manual_seed(0))
        found, good = modes.assign(x)
        assert torch.equal(found, colour) and good.all() and x.abs().max() <= 1 and torch.bincount(colour).min() > 90
        for a in range(3):
            clean = modes.clean(a, a)
            assert clean.shape == (rooms, 3, 8, 8) and modes.assign(clean)[1].all() and (modes.assign(clean)[0] == a).all()
            assert all(not modes.assign(modes.clean(a, b))[1].any() for b in range(3) if b != a)
    assert not modes.assign(torch.full((2, 3, 8, 8), -1.))[1].any() and not modes.assign(torch.zeros(2, 3, 8, 8))[1].any()
    half = modes.clean(0, 0)
    half[..., 4:] = -1
    assert not modes.assign(half)[1].any()


def test_the_set_is_a_mode_set():
    modes = make("modes", {"name": "twins", "wander": True})
    assert isinstance(modes, Twins) and modes.spec == {"name": "twins", "wander": True, "noise": .05} and "147" in repr(modes)
    found = coverage(modes.sample(300, torch.Generator().manual_seed(0)), modes)
    assert found.captured == 3 and found.high_quality == 1 and found.null.high_quality == 0
    one = coverage(modes.clean(2, 2).repeat(9, 1, 1, 1), modes)
    assert one.high_quality == 1 and one.captured == 1  # perfect agreement, one colour
    assert modes.picture(modes.clean(0, 0)).shape == (49, 8, 8, 3)


@pytest.mark.parametrize("call, message", [(lambda: twins(wander=1), "wander"), (lambda: twins(noise=0), "noise"),
                                           (lambda: twins(noise=.08), "noise"), (lambda: twins().assign(torch.zeros(2, 3, 8, 7)), "x: "),
                                           (lambda: twins().assign(torch.zeros(2, 3, 8, 8), 0), "within"),
                                           (lambda: twins().picture(torch.full((1, 3, 8, 8), math.nan)), "x: ")])
def test_a_bad_picture_is_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


# the game

def tiny(attention="GD", **kw):
    return SAGAN(networks=Networks("conv", width=4, attention=attention), **kw)


def test_a_run_resumes_as_if_uninterrupted(tmp_path):
    def fresh():
        return Run(tiny(spectral="GD"), twins(), runs=2, batch=4, average=.9, device="cpu")
    whole, half = fresh().step(4), fresh().step(2)
    resumed = Run.load(half.save(tmp_path / "half.safetensors"), device="cpu").step(2)
    assert (resumed.game.networks.attention, resumed.game.optimiser.lr) == ("GD", {"G": 1e-3, "D": 4e-3})
    assert same_players(whole, resumed) and any(k.endswith(".u") for k in whole.players.state())


def test_local_squares_match_with_the_chance_of_independent_ones():
    """What the judge calls agreement is Σ p·q for halves that do not know each other, and says nothing of coverage."""
    modes, g = twins(), torch.Generator().manual_seed(0)
    clean = {(a, b): modes.clean(a, b)[0] for a in range(3) for b in range(3)}
    for shares in ([1., 1., 1.], [6., 1., 1.], [1., 0., 0.]):
        p = torch.tensor(shares) / sum(shares)
        left, right = (torch.multinomial(p, 3000, True, generator=g).tolist() for _ in range(2))
        rooms = torch.stack([clean[pair] for pair in zip(left, right)])
        assert modes.assign(rooms)[1].float().mean().item() == pytest.approx(p.square().sum().item(), abs=.03)


def test_sampling_and_looking_leave_no_trace():
    watched, alone = (Run(tiny(), twins(), runs=2, batch=4, device="cpu").step(1) for _ in range(2))
    watched.sample(5)
    watched.players.nets["D"](twins().clean(0, 0).expand(2, -1, 3, 8, 8))
    assert all(torch.equal(a, b) for a, b in zip(watched.step(1).players.state().values(), alone.step(1).players.state().values()))


def test_seed_r_alone_is_run_r_of_many():
    many, one = (Run(tiny(), twins(), runs=r, seed=s, batch=4, device="cpu").step(2) for r, s in ((3, 0), (1, 2)))
    assert torch.allclose(many.sample(4)[2], one.sample(4)[0], atol=1e-4)


@pytest.mark.parametrize("who", ["", "G", "D", "GD"])
def test_who_has_attention_and_who_is_normalised(who):
    nets = tiny(attention=who, spectral=who[:1]).players((3, 8, 8), 8, 2, gens(2))
    has = {name: any(isinstance(m, SelfAttention) for m in net.modules()) for name, net in nets.items()}
    bound = {name: any(isinstance(m, SpectralNorm) for m in net.modules()) for name, net in nets.items()}
    assert has == {"G": "G" in who, "D": "D" in who} and bound == {"G": who[:1] == "G", "D": who == "D"}


def test_the_losses_are_the_losses_and_each_turn_moves_its_own_u():
    run = Run(tiny(spectral="GD"), twins(), runs=2, batch=4, device="cpu")
    nets = run.players.nets
    turn = type("T", (), {"x": twins().clean(0, 0).expand(2, 4, 3, 8, 8), "z": randn(2, 4, 64).float(), **nets})
    with torch.no_grad():
        for net in nets.values():
            for w in net.parameters():
                w.add_(.1 * torch.randn(w.shape, generator=gens(1)[0]))
    u = {name: [m.u.clone() for m in net.modules() if isinstance(m, SpectralNorm)] for name, net in nets.items()}

    def moved(name):
        return any(not torch.equal(m.u, v) for m, v in zip((m for m in nets[name].modules() if isinstance(m, SpectralNorm)), u[name]))
    loss = run.game.loss_D(turn)
    assert moved("D") and not moved("G")
    assert torch.allclose(loss, hinge_discriminator_loss(nets["D"](turn.x), nets["D"](nets["G"](turn.z))))
    loss = run.game.loss_G(turn)
    assert moved("G") and torch.allclose(loss, -nets["D"](nets["G"](turn.z)).mean(-1)) and loss.shape == (2,)


@pytest.mark.parametrize("data", [digits, stacked_digits, faces])
def test_plays_on_pictures_with_convolutions(data, tmp_path):
    def fresh(runs=2, seed=0):
        game = SAGAN(spectral="GD", networks=Networks("conv", width=4, latent=3))
        return Run(game, data(), runs=runs, seed=seed, batch=4, device="cpu")
    run = fresh()
    before = {k: v.clone() for k, v in run.players.state().items()}
    run.step(1).save(tmp_path / "x")
    assert {k.split("/")[1] for k, v in run.players.state().items() if k in before and not torch.equal(v, before[k])} == {"G", "D"}
    assert same_run(Run.load(tmp_path / "x", device="cpu").step(2), run := fresh().step(3))
    assert run.sample(3).shape == (2, 3, *run.modes.event) and run.losses["D"].isfinite().all()
    alone = fresh(runs=1, seed=1).step(3)  # a run beside another is the run alone
    assert torch.allclose(alone.sample(3)[0], run.sample(3)[1], atol=1e-4)


def test_a_start_of_another_dtype_is_taken():
    """A network in half precision keeps its `u` in float32 and still has its norm."""
    w = torch.randn(2, 4, 3, generator=gens(1)[0])
    u = power_iteration(w, n=20)
    assert torch.equal(power_iteration(w, u.double()), power_iteration(w, u)) and spectral_norm(w, u.double()).dtype == w.dtype
    assert torch.allclose(spectral_norm(w, u.double()), spectral_norm(w, u))


def test_your_own_networks_in_bf16():
    def my_D():
        return add_spectral_norm(nn.Sequential(nn.Conv2d(3, 8, 4, 2, 1), nn.ReLU(), SelfAttention(8), nn.Flatten(),
                                                 nn.Linear(128, 1), nn.Flatten(0)))
    run = Run(tiny(D=my_D), twins(), runs=2, batch=4, device="cpu", precision="bf16").step(2)
    assert run.losses["D"].isfinite().all() and parametrize.is_parametrized(run.players.nets["D"].members[0][0])


def test_the_game_is_known_by_name_and_refuses_odd_settings():
    assert isinstance(make("game", "sagan"), SAGAN)
    with pytest.raises(ValueError, match="attention"):
        Networks(attention="DG")
    with pytest.raises(TypeError, match="spectral"):
        SAGAN(spectral=None)
    with pytest.raises(ValueError, match="event: expected an image shape"):
        Run(SAGAN(), "ring", runs=1, batch=4, device="cpu")
    with pytest.raises(ValueError, match="^kind: expected \"conv\" or \"style\" for attention, got 'mlp'"):
        Run(SAGAN(networks=Networks("mlp")), twins(), runs=1, batch=4, device="cpu")


def test_without_attention_it_plays_with_fully_connected_players():
    run = Run(SAGAN(networks=Networks("mlp", width=8, attention="")), "ring", runs=2, batch=4, device="cpu").step(2)
    assert run.sample(3).shape == (2, 3, 2) and isinstance(SAGAN().optimiser, Optimiser) and SAGAN().networks.kind == "conv"


def test_the_lab_plays_it():
    lab = Lab(tiny(), twins(), batch=4, samples=10).step(2)
    assert lab._repr_mimebundle_()
