"""modelab.methods.joint: exchanges and cycles against loops, what no loss can see, pairs, shapes, and the game."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from modelab.core.registry import make
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import mixture, ModeSet, ring
from modelab.data.pictures import faces
from modelab.data.twins import twins
from modelab.lab.panel import Lab
from modelab.methods.joint import (CodePrior, cycle_losses, DomainDecoders, DomainEncoders, DomainNetworks,
                                   Exchange, exchange_domains, MMIALI, paired_loss, translate_domains)
from modelab.networks.layers import mlp, PerRun
from modelab.networks.players import Networks
from modelab.training.game import Turn
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

from helpers import normal as randn, same_players, same_run, seeded as gen


def maps(m, d=3, latent=2):
    """Encoders and decoders of m domains, as lists and as maps along the domain axis."""
    E, G = ([mlp(a, b, 5, 1, generator=gen(10 * i + k)).double() for i in range(m)] for k, (a, b) in enumerate([(d, latent), (latent, d)]))
    return E, G, PerRun(E), PerRun(G)


def turned(angle):
    return torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)


def pair_of_rings(angle=.7, std=.1):
    """Five modes seen twice: an example is a point of a ring and the same point turned."""
    A = torch.cat([torch.eye(2), turned(angle).float()])
    return mixture(ring(5, 2.).centers @ A.T, (std ** 2 * (.98 * A @ A.T + .02 * torch.eye(4))).expand(5, 4, 4))


def ring_views(m):
    """Five modes seen m times."""
    A = torch.cat([turned(.7 * i).float() for i in range(m)])
    return mixture(ring(5, 2.).centers @ A.T, (.01 * (.98 * A @ A.T + .02 * torch.eye(2 * m))).expand(5, -1, -1))


def matched(run, n=500):
    """How often the translation of a view lands on the mode it came from, and how many modes translations cover; run by run."""
    x, mode = run.modes.sample_with_modes(n, gen(9))
    views, m, least = run.game.views(x[None]).expand(run.runs, -1, -1, -1), run.game.domains, []
    with torch.no_grad():
        told = translate_domains(run.players.nets["E"].each, run.players.nets["G"].each, views)
    right = torch.zeros(run.runs, m, m)
    for j in range(m):
        nearest = torch.cdist(told[:, :, j].flatten(0, 2), run.modes.centers[:, 2 * j:2 * j + 2]).argmin(1).view(run.runs, m, n)
        right[:, :, j] = (nearest == mode).float().mean(-1)
        least += [len(v.unique()) for v in nearest[:, 1 - j]]
    return right[:, ~torch.eye(m, dtype=torch.bool)].mean(1), min(least)


class Twice(ModeSet):
    """Rows that tell who they are: both views of the k-th draw are k."""
    def __init__(self, event=(2,)):
        self.event, self.n_modes, self.weights, self._copies = event, 1, torch.ones(1), {}
        self._low, self._high = torch.zeros(event), torch.ones(event)

    def _draw(self, n, generator):
        who = torch.rand(n, generator=generator).view(n, *[1] * len(self.event)).expand(n, *self.event)
        return who.clone(), torch.zeros(n, dtype=torch.int64)


class TwoPictures(Twice):
    """A digit, and its negative."""
    def __init__(self):
        super().__init__((2, 8, 8))

    def _draw(self, n, generator):
        x, mode = digits().sample_with_modes(n, generator)
        return torch.cat([x, -x], 1), mode * 0


class Judge(nn.Bilinear):
    """A critic of one's own."""
    def forward(self, x, z):
        return super().forward(x, z)[..., 0]


# Fidelity

@pytest.mark.parametrize("m, shift", [(2, 1), (3, 1), (3, 2), (4, 3)])
def test_an_exchange_is_its_formula(m, shift):
    E, G, along_E, along_G = maps(m)
    x, z = randn(m, 7, 3), randn(7, 2, seed=1)
    e = exchange_domains(along_E, along_G, x, z, shift)
    for j in range(m):
        i = (j - shift) % m
        assert torch.equal(e.codes[j], E[j](x[j])) and torch.equal(e.latents[j], torch.cat([z, E[i](x[i])]))
        assert torch.allclose(e.made[j], torch.cat([G[j](z), G[j](E[i](x[i]))]), atol=1e-12)
    assert e.x is x and e.shift == shift


@pytest.mark.parametrize("m, shift", [(2, 1), (3, 1), (3, 2), (4, 3)])
def test_cycles_are_their_formulas(m, shift):
    E, G, along_E, along_G = maps(m)
    x, z = randn(m, 7, 3), randn(7, 2, seed=1)
    outer, semi, inner = cycle_losses(along_E, along_G, exchange_domains(along_E, along_G, x, z, shift))
    away = [(i, (i + shift) % m) for i in range(m)]
    assert torch.allclose(outer, torch.stack([(G[i](E[j](G[j](E[i](x[i])))) - x[i]).abs().mean() for i, j in away]).mean())
    assert torch.allclose(semi, torch.stack([(G[j](E[i](G[i](z))) - G[j](z)).abs().mean() for i, j in away]).mean())
    assert torch.allclose(inner, torch.stack([(E[i](G[i](z)) - z).abs().mean() for i in range(m)]).mean())
    told = paired_loss(along_E, along_G, x, shift)
    assert torch.allclose(told, torch.stack([(G[j](E[i](x[i])) - x[j]).abs().mean() for i, j in away]).mean())


def test_the_sample_in_semi_is_a_target_only():
    E, G, along_E, along_G = maps(2)
    x, z = randn(2, 7, 3), randn(7, 2, seed=1)
    weights = [*along_G.parameters()]
    found = torch.autograd.grad(cycle_losses(along_E, along_G, exchange_domains(along_E, along_G, x, z))[1], weights)
    by_hand = sum((G[j](E[i](G[i](z))) - G[j](z).detach()).abs().mean() / 2 for i, j in ((0, 1), (1, 0)))
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(found, torch.autograd.grad(by_hand, weights)))


def test_translations_are_a_table():
    E, G, along_E, along_G = maps(3)
    x = randn(3, 7, 3)
    table = translate_domains(along_E, along_G, x)
    assert table.shape == (3, 3, 7, 3)
    assert all(torch.allclose(table[i, j], G[j](E[i](x[i])), atol=1e-12) for i in range(3) for j in range(3))


@given(st.floats(-3, 3), st.integers(2, 4), st.integers(0, 99))
def test_no_loss_sees_a_turn_of_one_domains_latent(angle, m, seed):
    """Linear views of one normal thing: turned, all laws and all cycles are as before, and translations are wrong by a formula."""
    A, turn = randn(m, 2, 2, seed=seed) + 3 * torch.eye(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64).repeat(m, 1, 1)
    turn[0] = turned(angle)
    to_z, to_x = turn @ torch.linalg.inv(A), A @ turn.mT
    E, G = (lambda x: x @ to_z.mT), (lambda z: z @ to_x.mT)
    u = randn(50, 2, seed=seed + 1)
    x = u @ A.mT
    e = exchange_domains(E, G, x, randn(50, 2, seed=seed + 2), m - 1)
    assert all(loss < 1e-9 for loss in cycle_losses(E, G, e))
    for i in range(m):  # (x, E(x)) and (G(z), z) have one covariance, and so one law
        real = torch.cat([A[i], to_z[i] @ A[i]])
        fake = torch.cat([to_x[i], torch.eye(2, dtype=torch.float64)])
        assert torch.allclose(real @ real.T, fake @ fake.T, atol=1e-9)
    off = torch.stack([(u @ (A[1] @ turn[0] - A[1]).T), (u @ (A[0] @ turn[0].T - A[0]).T)]).abs().mean()
    if m == 2:
        assert torch.allclose(paired_loss(E, G, x), off, atol=1e-9)


def test_views_come_from_different_examples_and_pairs_from_one():
    run = Run(MMIALI(pairs=5, networks=Networks(width=4)), Twice(), runs=2, batch=16, device="cpu")
    seen = []

    def listen(net, inputs):
        seen.append(inputs[0].squeeze(-1))
    run.players.nets["E"].each.register_forward_pre_hook(listen)
    run.step(1)
    fresh, together = [v for v in seen if v.shape[-1] == 16], [v for v in seen if v.shape[-1] == 5]
    assert fresh and together and not any(torch.isin(v[:, 0], v[:, 1]).any() for v in fresh)
    assert all(torch.equal(v[:, 0], v[:, 1]) for v in together)


def test_pairs_stay_the_same_and_are_as_many_as_asked():
    run = Run(MMIALI(pairs=3, networks=Networks(width=4)), Twice(), runs=2, batch=8, device="cpu").step(1)
    first = run.players.nets["shown"].x.clone()
    assert torch.equal(run.step(2).players.nets["shown"].x, first) and first.shape == (2, 3, 2) and len(first.unique()) == 6


@pytest.mark.parametrize("m, heard", [(2, {1}), (3, {1, 2}), (4, {1, 2, 3})])
def test_everyone_talks_to_everyone(m, heard):
    game = MMIALI(domains=m)
    assert {game.shift(type("T", (), {"step": step})) for step in range(7, 7 + m - 1)} == heard


def test_losses_are_sums_of_their_parts():
    weights = dict(outer_weight=.3, semi_weight=.5, inner_weight=.7, paired_weight=2., head_start=1)
    run = Run(MMIALI(pairs=3, networks=Networks(width=4), **weights), pair_of_rings(), runs=2, batch=8, device="cpu").step(1)
    t = type("T", (), {"step": 1, "batch": 8, "z": randn(2, 8, 4).float(), "real": lambda self, n, stream: run.real(n, [gen(1), gen(2)]),
                       **run.players.nets})()
    e = run.game.exchange(t)
    real, fake = t.D(e.x, e.codes), t.D(e.made, e.latents)
    d = torch.nn.functional.softplus(-real).mean((1, 2)) + torch.nn.functional.softplus(fake).mean((1, 2))
    outer, semi, inner = cycle_losses(t.E.each, t.G.each, e)
    ge = torch.nn.functional.softplus(real).mean((1, 2)) + torch.nn.functional.softplus(-fake).mean((1, 2)) \
        + .3 * outer + .5 * semi + .7 * inner + 2 * paired_loss(t.E.each, t.G.each, run.game.views(t.shown.x))
    assert torch.allclose(run.game.loss_D(t), d, atol=1e-6) and torch.allclose(run.game.loss_GE(t), ge, atol=1e-6)
    t.step = 0
    assert torch.allclose(run.game.loss_GE(t), 2 * paired_loss(t.E.each, t.G.each, run.game.views(t.shown.x)), atol=1e-6)


AUTHORS = dict(prior="codes", least_squares=True, encoder_term=False, sample_share=.2, outer_weight=10., semi_weight=10., inner_weight=5.)


def test_with_two_domains_and_its_settings_the_game_is_that_of_the_authors_code():
    """Least squares, weights 0.8 and 0.2, cycles 10, 10 and 5, codes plus noise: sums over domains and ordered pairs, by loops."""
    E, G, along_E, along_G = maps(2)
    D = [Judge(3, 2, 1).double() for _ in range(2)]
    prior = CodePrior(1, 2, 16, 2, .1).double()
    real = {"views": randn(1, 14, 6, seed=1), "prior": randn(1, 16, 6, seed=2)}
    run = type("R", (), {"real": lambda self, n, stream: real[stream][:, :n], "generators": lambda self, stream, *step: stream})()
    nets = {"E": DomainEncoders(DomainNetworks(along_E, 2)), "G": DomainDecoders(DomainNetworks(along_G, 2), prior),
            "D": DomainNetworks(PerRun(D), 2)}
    t = type("T", (), {"step": 0, "batch": 7, "z": randn(1, 7, 2, seed=3), "_run": run, "real": run.real, **nets})()
    game = MMIALI(**AUTHORS)
    x = [game.views(real["views"])[0, i, 7 * i:7 * i + 7] for i in range(2)]
    d, ge = game.loss_D(t), game.loss_GE(t)
    z, codes = prior(t.z)[0], [E[i](x[i]) for i in range(2)]
    s = [G[i](z) for i in range(2)]
    cross = {(i, j): G[j](codes[i]) for i, j in ((0, 1), (1, 0))}
    square, l1 = (lambda v, to: (v - to).square().mean()), (lambda a, b: (a - b).abs().mean())
    hand_d = hand_ge = 0
    for i, j in ((0, 1), (1, 0)):  # from i to j
        truth = square(D[j](x[j], codes[j]), 1)
        hand_d += .8 * (truth + square(D[j](cross[i, j], codes[i]), 0)) / 2 + .2 * (truth + square(D[j](s[j], z), 0)) / 2
        hand_ge += .8 * square(D[j](cross[i, j], codes[i]), 1) + .2 * square(D[j](s[j], z), 1) + 5 * l1(E[j](s[j]), z) \
            + 10 * l1(G[i](E[j](cross[i, j])), x[i]) + 10 * l1(G[i](E[j](s[j])), s[i])
    assert torch.allclose(2 * d, hand_d) and torch.allclose(2 * ge, hand_ge)


def test_draws_of_codes_are_codes_plus_noise():
    prior = CodePrior(2, 3, 8, 2, noise=0.)
    prior.renew(0, lambda n: torch.arange(2 * 3 * n * 2.).view(2, 3, n, 2))
    z = torch.randn(2, 24000, 2, generator=gen())
    draws = prior(z)
    for r in range(2):
        found, times = draws[r].unique(dim=0, return_counts=True)
        assert torch.equal(found, prior.codes[r].flatten(0, 1)) and (times / 1000 - 1).abs().max() < .15
    prior.noise = .3
    rest = (prior(z) - draws) / .3
    assert rest.mean((0, 1)).abs().max() < .02 and (rest.std((0, 1)) - 1).abs().max() < .02
    assert abs(torch.corrcoef(torch.stack([rest[0, :, 0], draws[0, :, 0]]))[0, 1]) < .02  # which code, and how far: independent
    ends = prior(torch.tensor([[[-9., 0], [9, 0]]] * 2))
    assert ends.isfinite().all() and torch.allclose(ends[:, 0], prior.codes[:, 0, 0], atol=1) and torch.allclose(ends[:, 1], prior.codes[:, -1, -1], atol=1)


def test_the_oldest_codes_are_replaced_and_a_step_twice_is_a_step():
    prior = CodePrior(1, 2, 16, 3, .1)
    for step in range(9):
        for _ in range(2):
            prior.renew(step, lambda n, step=step: torch.full((1, 2, n, 3), float(step)))
    assert sorted(prior.codes[0, 0, :, 0].tolist()) == sorted([*range(1, 9)] * 2)


def test_a_look_at_the_losses_changes_nothing():
    def fresh():
        return Run(MMIALI(prior="codes", prior_size=8, networks=Networks(width=4, latent=2)), pair_of_rings(), runs=1, batch=8, device="cpu")
    looked, plain = fresh(), fresh().step(4)
    for _ in range(2):
        for place, word in enumerate(("D", "GE", "D")):
            looked.game.turn_loss(word, Turn(looked, looked.steps, place % 2))
        looked.step(2)
    assert same_run(looked, plain)


def test_codes_come_from_the_encoders_without_gradient_and_are_sampled_from():
    run = Run(MMIALI(prior="codes", prior_size=8, networks=Networks(width=4, latent=2)), pair_of_rings(), runs=2, batch=8, average=.9, device="cpu").step(1)
    prior = run.players.nets["G"].prior
    assert prior.codes.shape == (2, 2, 8, 2) and not prior.codes.requires_grad and len(prior.codes.unique()) > 60
    with torch.no_grad():
        z = run.noise(5, run.generators("evaluation", run.steps))
        by_hand = torch.cat([run.players.nets["G"].each(prior(z)[:, None].expand(-1, 2, -1, -1))[:, i] for i in range(2)], -1)
    assert torch.allclose(run.sample(5, raw=True), run.scale.restore(by_hand), atol=1e-6)
    assert torch.equal(run.players.averaged.prior.codes, prior.codes)


def test_the_cost_of_a_step_is_linear_in_the_domains():
    def multiplications(m):
        def count(call):
            with FlopCounterMode(display=False) as counter:
                call()
            return counter.get_total_flops()
        run = Run(MMIALI(domains=m, pairs=3, networks=Networks(width=8, latent=2)), ring_views(m), runs=1, batch=8, device="cpu").step(2)
        return count(lambda: run.step(1)) - 2 * count(lambda: run.modes.sample(8 * m, generator=gen()))
    assert multiplications(3) / 3 == multiplications(2) / 2 == multiplications(5) / 5


def test_maps_learn_in_their_turn_and_the_critic_hears_nothing_of_them():
    run = Run(MMIALI(networks=Networks(width=4)), pair_of_rings(), runs=2, batch=8, device="cpu").step(1)
    nets = run.players.nets
    before = {name: {k: v.clone() for k, v in net.state_dict().items()} for name, net in nets.items()}
    run._turn(1, "GE")
    moved = {name for name, net in nets.items() if any(not torch.equal(v, before[name][k]) for k, v in net.state_dict().items())}
    assert moved == {"G", "E"}


def test_weights_grow_linearly_with_domains():
    size = {m: sum(w.numel() for net in MMIALI(domains=m, networks=Networks(width=8)).players((2 * m,), 3, 1, [gen()]).values() for w in net.parameters())
            for m in (2, 3, 6)}
    assert size[3] / 3 == size[2] / 2 == size[6] / 6


# Bad input

@pytest.mark.parametrize("change, message", [
    ({"E": 3}, "E: expected a function"), ({"G": None}, "G: expected a function"), ({"x": [1.]}, "x: .*list"),
    ({"x": torch.zeros(2, 0, 3)}, "x: .*at least one"), ({"x": torch.zeros(1, 4, 3)}, "x: expected .*at least two domains"),
    ({"E": lambda x: x.sum()}, r"E, x: expected codes .*got \(\)"), ({"E": lambda x: None}, "E, x: .*NoneType"),
    ({"E": lambda x: x[:, :2]}, "E, x"), ({"G": lambda z: z[..., 0]}, r"G: expected .*\(2, 8, 3\)"), ({"G": lambda z: "x"}, "G: .*str"),
    ({"z": torch.zeros(5, 3)}, r"z: expected shape \(4, 3\), got \(5, 3\)"), ({"z": torch.zeros(4, 2)}, "z"),
    ({"z": torch.zeros(4, 3).double()}, "z: expected torch.float32 .*float64"), ({"z": None}, "z"), ({"shift": 0}, "shift"), ({"shift": 2}, "shift: .*≤ 1, got 2"),
    ({"shift": 1.}, "shift"),
])
def test_bad_exchanges_are_refused(change, message):
    good = {"E": lambda x: x, "G": lambda z: z, "x": torch.zeros(2, 4, 3), "z": torch.zeros(4, 3)}
    assert isinstance(exchange_domains(**good), Exchange)
    with pytest.raises((ValueError, TypeError), match=message):
        exchange_domains(**good | change)


def test_other_bad_input_is_refused():
    same, x = (lambda v: v), torch.zeros(2, 4, 3)
    for call, message in ((lambda: cycle_losses(same, same, x), "exchange: expected an Exchange, got Tensor"), (lambda: paired_loss(same, same, x, 2), "shift"),
                          (lambda: paired_loss(same, lambda z: z[..., :1], x), "G: expected .*shape"), (lambda: translate_domains(same, 1, x), "G"),
                          (lambda: translate_domains(same, same, x[0]), "E, x"), (lambda: DomainNetworks(nn.Identity(), 1), "domains")):
        with pytest.raises((ValueError, TypeError), match=message):
            call()


@pytest.mark.parametrize("bad, message", [
    ({"domains": 1}, "domains"), ({"domains": 3}, r"domains: .*divides the first axis of an example \(2,\), got 3"), ({"pairs": -1}, "pairs"),
    ({"pairs": 2.}, "pairs"), ({"head_start": -1}, "head_start"), ({"outer_weight": -1.}, "outer_weight"),
    ({"semi_weight": math.nan}, "semi_weight"), ({"inner_weight": "1"}, "inner_weight"), ({"paired_weight": math.inf}, "paired_weight"),
    ({"prior": "code"}, "prior: .*'code'"), ({"prior_noise": -.1}, "prior_noise"), ({"prior_size": 0}, "prior_size"), ({"sample_share": 1.1}, "sample_share"),
    ({"least_squares": 1}, "least_squares"), ({"encoder_term": "yes"}, "encoder_term"),
    ({"networks": Networks("conv")}, r"expected an image shape .*got \(1,\)"),
])
def test_odd_settings_are_refused(bad, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Run(MMIALI(**bad), ring(), runs=1, device="cpu")


# Shapes

def test_runs_are_slices():
    m, E, G = 3, mlp(3, 2, 5, 1, 6, [gen(i) for i in range(6)]).double(), mlp(2, 3, 5, 1, 6, [gen(i) for i in range(6, 12)]).double()
    x, z = randn(2, m, 7, 3), randn(2, 7, 2, seed=1)
    along_E, along_G = DomainNetworks(E, m), DomainNetworks(G, m)
    e = exchange_domains(along_E, along_G, x, z, 2)
    losses = (*cycle_losses(along_E, along_G, e), paired_loss(along_E, along_G, x))
    assert {tuple(v.shape) for v in losses} == {(2,)} and translate_domains(along_E, along_G, x).shape == (2, 3, 3, 7, 3)
    for r in range(2):
        own_E, own_G = (lambda v: along_E(torch.stack([v, v]))[r]), (lambda v: along_G(torch.stack([v, v]))[r])
        alone = exchange_domains(own_E, own_G, x[r], z[r], 2)
        assert torch.allclose(alone.made, e.made[r])
        assert all(torch.allclose(a, b[r]) for a, b in zip((*cycle_losses(own_E, own_G, alone), paired_loss(own_E, own_G, x[r])), losses))


def test_decoders_lay_views_side_by_side():
    net = DomainNetworks(mlp(2, (1, 4, 4), 5, 1, 6, [gen(i) for i in range(6)]), 3)
    z = torch.randn(2, 5, 2, generator=gen())
    x = DomainDecoders(net)(z)
    assert x.shape == (2, 5, 3, 4, 4)
    assert torch.equal(MMIALI(domains=3).views(x), net(z[:, None].expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("data, event, domains", [(ring, (2,), 2), (TwoPictures, (2, 8, 8), 2), (lambda: Twice((6, 2)), (6, 2), 3)])
def test_plays_on_points_and_pictures(data, event, domains):
    run = Run(MMIALI(domains=domains, pairs=3, networks=Networks(width=8)), data(), runs=2, batch=4, device="cpu").step(3)
    assert run.sample(3).shape == (2, 3, *event) and run.sample(3).isfinite().all()


@pytest.mark.parametrize("data, domains, settings", [(TwoPictures, 2, {}), (stacked_digits, 3, AUTHORS), (twins, 3, {})])
def test_plays_on_pictures_with_convolutions(data, domains, settings, tmp_path):
    def fresh(runs=2, seed=0):
        game = MMIALI(domains=domains, pairs=3, head_start=1, networks=Networks("conv", width=2, latent=3), **settings)
        return Run(game, data(), runs=runs, seed=seed, batch=4, device="cpu")
    run = fresh()
    before = {k: v.clone() for k, v in run.players.state().items()}
    run.step(1)
    moved = {k.split("/")[1] for k, v in run.players.state().items() if k in before and not torch.equal(v, before[k])}
    assert moved == {"G", "E", "D", "shown"}
    assert same_run(run.step(2), fresh().step(3))
    assert run.sample(3).shape == (2, 3, *run.modes.event) and run.losses["GE"].isfinite().all()
    assert run.players.nets["E"](run.sample(5)).shape == (2, 5, 3)
    alone = fresh(runs=1, seed=1).step(3)  # a run beside another is the run alone
    assert torch.allclose(alone.sample(3)[0], run.sample(3)[1], atol=1e-4)
    if data is not TwoPictures:  # a set without a name is not saved
        assert same_run(Run.load(run.save(tmp_path / "x"), device="cpu").step(1), run.step(1))


@pytest.mark.parametrize("data", [digits, faces])
def test_a_grey_picture_is_one_view(data):
    for kind in ("mlp", "conv"):
        with pytest.raises(ValueError, match=r"^domains: expected a number that divides the first axis of an example \(1, "):
            Run(MMIALI(networks=Networks(kind, width=2)), data(), runs=1, device="cpu")


def test_old_names_of_settings_are_read():
    old = {"name": "mmiali", "paired": 2., "outer": .1, "semi": .2, "inner": .3, "width": 4}
    game = make("game", old)
    assert (game.paired_weight, game.outer_weight, game.semi_weight, game.inner_weight, game.networks.width) == (2., .1, .2, .3, 4)


def test_your_own_networks():
    own = dict(G=lambda: nn.Linear(2, 2), E=lambda: nn.Linear(2, 2), D=lambda: Judge(2, 2, 1))
    run = Run(MMIALI(pairs=2, networks=Networks(latent=2), **own), pair_of_rings(), runs=2, batch=4, device="cpu").step(2)
    assert run.sample(3).shape == (2, 3, 4)


# Determinism

@pytest.mark.parametrize("settings", [{}, AUTHORS])
def test_a_run_resumes_as_if_uninterrupted(settings, tmp_path):
    def fresh():
        return Run(MMIALI(domains=2, pairs=3, networks=Networks(width=8), **settings), "ring", runs=2, batch=8, device="cpu")
    whole, half = fresh().step(6), fresh().step(3)
    resumed = Run.load(half.save(tmp_path / "half.safetensors"), device="cpu").step(3)
    assert resumed.game.pairs == 3
    assert same_players(whole, resumed)


@pytest.mark.parametrize("settings", [{}, AUTHORS])
def test_seed_r_alone_is_run_r_of_many(settings):
    game = MMIALI(pairs=3, networks=Networks(width=8), **settings)
    many = Run(game, pair_of_rings(), runs=3, batch=8, device="cpu").step(3)
    one = Run(game, pair_of_rings(), runs=1, seed=2, batch=8, device="cpu").step(3)
    assert torch.allclose(many.sample(4)[2], one.sample(4)[0], atol=1e-4)


def test_the_game_is_known_by_name_and_the_lab_plays_it():
    assert isinstance(make("game", "mmiali"), MMIALI)
    lab = Lab(MMIALI(networks=Networks(width=8)), pair_of_rings(), batch=8, samples=20).step(2).set("pairs", 4).step(1)
    assert lab.sides["A"].game.pairs == 4 and lab._repr_mimebundle_()


# The claim

def test_pairs_decide_what_coverage_does_not_see():
    optimiser = Optimiser({"G": .003, "E": .003, "D": .01}, schedule=Schedule("linear", 400, stairs=10))
    shown, hidden = (Run(MMIALI(pairs=n, networks=Networks(latent=2), optimiser=optimiser), pair_of_rings(),
                         runs=2, batch=64, device="cpu").step(400) for n in (12, 0))
    (right, covered), (by_chance, as_covered) = matched(shown), matched(hidden)
    assert right.min() > .7 > .4 > by_chance.max() and covered >= 4 and as_covered >= 4
