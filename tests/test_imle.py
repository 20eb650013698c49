"""modelab.methods.imle: exact neighbours whatever the shape, the memory and the ties; the loss; a game that remembers its matches."""

import functools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import normal as draw_normal
from helpers import same_players, same_run, seeded
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modelab.core.registry import make
from modelab.data.digits import stacked_digits
from modelab.data.mixtures import grid, ring
from modelab.data.pictures import faces
from modelab.evaluation.neighbours import (exact_squared_distances, MAX_BYTES, nearest,
                                           rounding_bound)
from modelab.lab.panel import Lab
from modelab.lab.view import render_frame
from modelab.methods.imle import IMLE, imle_loss, match_latents
from modelab.methods.imle_gan import IMLEGAN
from modelab.networks.layers import mlp
from modelab.networks.players import Networks
from modelab.training.game import Turn
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

LITTLE = 1 << 16


normal = functools.partial(draw_normal, dtype=torch.float32)


def reference(q, p):
    """By differences in float64, every pair; the first of the lowest."""
    square = (q.double().flatten(1)[:, None] - p.double().flatten(1)).square().sum(-1)
    return square.min(1).values.sqrt(), torch.from_numpy(square.numpy().argmin(1))


def agrees(q, p, **kw):
    distance, index = nearest(q, p, **kw)
    far, who = reference(q, p)
    assert torch.equal(index, who) and distance.dtype == q.dtype
    assert torch.allclose(distance.double(), far, rtol=1e-6, atol=0)


# Fidelity

SIZES = pytest.mark.parametrize("n, m, d", [(40, 300, 1), (40, 300, 2), (40, 70, 4), (50, 400, 5), (100, 600, 64), (20, 300, 700), (1, 1, 3)])


@SIZES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("max_bytes", [MAX_BYTES, LITTLE])
def test_nearest_is_exact(n, m, d, dtype, max_bytes):
    agrees(normal(n, d, dtype=dtype), normal(m, d, seed=1, dtype=dtype), max_bytes=max_bytes)


@pytest.mark.parametrize("d", [2, 30, 784])
@pytest.mark.parametrize("shift", [0., 1e4])
def test_copies_are_at_zero_and_ties_go_to_the_lowest_index(d, shift):
    q = torch.rand(60, d, generator=seeded()) + shift
    p = torch.cat([torch.rand(100, d, generator=seeded(1)) + shift, q, q])
    distance, index = nearest(q, p)
    assert (distance == 0).all() and torch.equal(index, torch.arange(100, 160))
    if d == 784 and not shift:
        assert (torch.cdist(q, p).min(1).values > 0).any()  # what the usual line says of the same copies


@pytest.mark.parametrize("d", [2, 3, 20])
def test_all_as_near(d):
    q, p = torch.zeros(5, d), torch.cat([torch.eye(d), -torch.eye(d)]).repeat(30, 1)
    for max_bytes in (MAX_BYTES, LITTLE):
        distance, index = nearest(q, p, max_bytes=max_bytes)
        assert (index == 0).all() and (distance == 1).all()


def test_neighbours_closer_than_a_product_can_tell():
    base = normal(1, 100) * 100
    p = base + normal(500, 100, seed=1) * 1e-4
    guess = torch.cdist(base, p, compute_mode="use_mm_for_euclid_dist").argmin(1)
    agrees(base.repeat(3, 1), p)
    assert guess != reference(base, p)[1]  # or this test would show nothing


@pytest.mark.parametrize("scale", [1e-25, 1e-10, 1e25])
@pytest.mark.parametrize("d", [3, 40])
def test_any_scale(scale, d):
    agrees(normal(50, d) * scale, normal(300, d, seed=1) * scale)


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_coarse_products_do_not_matter(precision):
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        agrees(normal(100, 50), normal(300, 50, seed=1))
    finally:
        torch.set_float32_matmul_precision(before)


@given(st.integers(1, 40), st.integers(1, 90), st.integers(1, 7), st.integers(0, 3), st.integers(0, 10 ** 6))
def test_on_a_lattice_full_of_ties(n, m, d, width, seed):
    q, p = (torch.randint(-width, width + 1, (k, d), generator=seeded(seed + k)).float() for k in (n, m))
    agrees(q, p)
    agrees(q, p, max_bytes=LITTLE)


def test_the_bound_on_rounding_holds_and_is_needed():
    for d in (2, 30, 500):
        a, b = normal(100, d) + 1, normal(100, d, seed=1) + 1
        error = (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T - torch.cdist(a.double(), b.double()).square()).abs()
        size = (a.norm(dim=1)[:, None] + b.norm(dim=1)).square()
        assert 1e-4 < (error / size).max() / rounding_bound(d, torch.float32) < 1
    assert exact_squared_distances(a, a, torch.arange(100), torch.arange(100)).eq(0).all()


def test_the_loss_is_its_equation():
    G, z, x = normal(3, 2, dtype=torch.float64), normal(60, 3, seed=1, dtype=torch.float64), normal(20, 2, seed=2, dtype=torch.float64)
    value = lambda W: torch.stack([min((z[j] @ W - r).square().sum() for j in range(60)) for r in x]).mean()
    W = G.clone().requires_grad_()
    _, index = nearest(x, z @ W)
    loss = imle_loss(z[index] @ W, x)
    slope, = torch.autograd.grad(loss, W)
    nudge = 1e-6 * normal(3, 2, seed=3, dtype=torch.float64)
    assert torch.allclose(loss, value(G)) and torch.allclose((slope * nudge).sum(), (value(G + nudge) - value(G - nudge)) / 2, rtol=1e-5)


# Bad input

@pytest.mark.parametrize("q, p, word", [
    (torch.zeros(3, 2), torch.zeros(0, 2), "pool: expected at least one"),
    (torch.zeros(0, 2), torch.zeros(3, 2), "queries: expected at least one"),
    (torch.zeros(3, 0), torch.zeros(3, 0), "queries: expected at least one"),
    (torch.zeros(3, 2), torch.zeros(3, 3), "pool: expected the runs and the event of queries"),
    (torch.zeros(3, 4), torch.zeros(3, 2, 2), "pool: expected the runs and the event"),
    (torch.tensor([[0., math.nan]]), torch.zeros(3, 2), "queries: expected finite numbers, got NaN or infinity in 1 of 1"),
    (torch.zeros(3, 2), torch.tensor([[0., 0.], [math.inf, 0.]]), "pool: expected finite numbers, got NaN or infinity in 1 of 2"),
    (torch.tensor(1.), torch.zeros(3), "queries: expected at least one example")])
def test_wrong_pairs_are_refused_by_name(q, p, word):
    with pytest.raises(ValueError, match=word):
        nearest(q, p)


@pytest.mark.parametrize("q, p, kw, word", [
    ("abc", torch.zeros(3, 2), {}, "queries: expected a tensor"),
    (torch.zeros(3, 2, dtype=torch.complex64), torch.zeros(3, 2), {}, "queries: expected real"),
    (torch.zeros(3, 2), torch.zeros(3, 2), {"runs": 1.5}, "runs: expected a whole number"),
    (torch.zeros(3, 2), torch.zeros(3, 2), {"max_bytes": "1"}, "max_bytes: expected a whole number")])
def test_wrong_types_are_refused_by_name(q, p, kw, word):
    with pytest.raises(TypeError, match=word):
        nearest(q, p, **kw)


@pytest.mark.parametrize("kw, word", [({"runs": -1}, "runs: expected"), ({"max_bytes": 10}, "max_bytes: expected"),
                                      ({"runs": 2}, "queries: expected at least one example, shape")])
def test_wrong_settings_are_refused_by_name(kw, word):
    with pytest.raises(ValueError, match=word):
        nearest(torch.zeros(3, 2), torch.zeros(3, 2), **kw)


@pytest.mark.parametrize("fake, real, runs, text", [
    (torch.zeros(3, 2), torch.zeros(4, 2), 0, "fake, real: expected one shape"),
    (torch.zeros(0, 2), torch.zeros(0, 2), 0, "fake: expected shape .* with at least one example, got .0, 2."),
    (torch.zeros(3), torch.zeros(3), 1, r"fake: expected shape \(\*runs, batch, \*event\) that fits runs=1, got \(3,\)")])
def test_wrong_batches_are_refused(fake, real, runs, text):
    with pytest.raises(ValueError, match=text):
        imle_loss(fake, real, runs=runs)


@pytest.mark.parametrize("kw", [{"pool": 0}, {"reals": 0}, {"refresh": -1}, {"jitter": -.1}, {"growth": .5}])
def test_wrong_settings_of_the_game(kw):
    with pytest.raises(ValueError, match=f"{next(iter(kw))}: expected"):
        IMLE(**kw)


@pytest.mark.parametrize("game", [IMLE, IMLEGAN])
def test_mixed_styles_are_refused_when_the_game_is_made(game):
    with pytest.raises(ValueError, match="^mixing: expected 0, since a matched picture has one style, got 0.9"):
        game(networks=Networks("style", mixing=.9))
    assert game(networks=Networks("style", mixing=0.)).networks.mixing == 0


def test_nan_is_passed_on_by_the_loss():
    assert imle_loss(torch.full((3, 2), math.nan), torch.zeros(3, 2)).isnan()


@pytest.mark.parametrize("call, text", [
    (lambda G, x, z: match_latents(G, x / 0, z), "real: expected finite numbers"),
    (lambda G, x, z: match_latents(G, x, z / 0), "latents: expected finite numbers"),
    (lambda G, x, z: match_latents(lambda z: z / 0, x, z), "G: expected finite numbers"),
    (lambda G, x, z: match_latents(lambda z: z[:2], x, z), "G: expected one result per example"),
    (lambda G, x, z: match_latents(G, x, z, features=lambda v: v.sum()), "features: expected one result per example"),
    (lambda G, x, z: match_latents(lambda z: z[:, :1], x, z), "G, features: expected what compares with the real"),
    (lambda G, x, z: match_latents(G, x[None].expand(2, 5, 2), z[None]), r"real: expected shape .* that fits latents"),
    (lambda G, x, z: match_latents(G, x, z, chunk=0), "chunk: expected a whole number")])
def test_wrong_matches_are_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call(lambda z: z, torch.zeros(5, 2), torch.ones(9, 2) * 0)


def test_a_match_records_no_gradient():
    seen = []
    distance, _ = match_latents(lambda z: (seen.append(torch.is_grad_enabled()), z)[1], normal(5, 2), normal(9, 2), chunk=4)
    assert seen == [False] * 3 and not distance.requires_grad


def test_features_that_turn_nan_are_refused():
    with pytest.raises(ValueError, match="features: expected finite"):
        match_latents(nn.Linear(2, 3), normal(5, 3), normal(9, 2), features=lambda x: x / 0)


# Shapes

@pytest.mark.parametrize("event", [(), (3,), (2, 4, 4), (5, 3)], ids=["number", "point", "image", "sequence"])
@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_runs_search_apart_and_events_count_whole(event, lead):
    q, p = normal(*lead, 20, *event), normal(*lead, 90, *event, seed=1)
    distance, index = nearest(q, p, runs=len(lead))
    assert distance.shape == index.shape == (*lead, 20)
    loss = imle_loss(q, q + 1, runs=len(lead))
    assert loss.shape == lead and torch.allclose(loss, torch.tensor(float(math.prod(event))).expand(lead))
    for place in np.ndindex(*lead):
        far, who = reference(q[place].reshape(20, -1), p[place].reshape(90, -1))
        assert torch.equal(index[place], who) and torch.allclose(distance[place].double(), far)


def test_other_kinds_of_input():
    q, p = normal(10, 3), normal(30, 3, seed=1)
    want = nearest(q, p)
    assert all(map(torch.equal, nearest(q.numpy(), p.numpy()), want))
    assert all(map(torch.equal, nearest(q.clone().requires_grad_(), p), want))
    assert not nearest(q.clone().requires_grad_(), p)[0].requires_grad
    assert torch.equal(nearest(q.half(), p.half())[1], reference(q.half(), p.half())[1])
    assert nearest(q.double(), p)[0].dtype == torch.float64
    assert nearest(torch.tensor([[1], [7]]), torch.tensor([[6], [2]]))[1].tolist() == [1, 0]
    assert torch.equal(nearest(q.T.contiguous().T, p[::2])[1], reference(q, p[::2])[1])


def test_memory_stays_below_what_is_asked():
    code = """if True:
        import resource, torch
        from modelab.evaluation.neighbours import nearest
        torch.set_num_threads(1)
        q, p = torch.randn(3000, 64), torch.randn(10000, 64)
        nearest(q[:300], p[:300], max_bytes=1 << 20)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        nearest(q, p, max_bytes=8 << 20)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 8 * 1024  # kilobytes; the whole matrix would take 120 MB


def test_a_match_renders_in_parts_and_leaves_the_mode_alone():
    G = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).train()
    real, z = normal(20, 3), normal(101, 2, seed=1)
    before = {k: v.clone() for k, v in G.state_dict().items()}
    parts = match_latents(G, real, z, chunk=10)
    whole = match_latents(G, real, z)
    assert torch.allclose(parts[0], whole[0]) and torch.equal(parts[1], whole[1]) and G.training
    assert all(torch.equal(before[k], v) for k, v in G.state_dict().items())
    G.eval()
    assert torch.equal(parts[1], nearest(real, G(z))[1])


def test_a_match_compares_what_it_is_told_to():
    G, real, z = mlp(2, 4, 16, runs=2, generator=[seeded(0), seeded(1)]), normal(2, 20, 4), normal(2, 50, 2, seed=1)
    only = match_latents(G, real, z, features=lambda x: x[..., :1])[1]
    assert torch.equal(only, nearest(real[..., :1], G(z)[..., :1], runs=1)[1])
    assert not torch.equal(only, match_latents(G, real, z)[1])


# Determinism

def small(**settings):
    return make("game", {"name": "imle", "reals": 40, "pool": 3, "refresh": 5, "width": 16, "jitter": .1} | settings)


def test_same_seed_same_bits_and_other_seed_other_bits():
    runs = [Run(small(), ring(), runs=2, seed=s, batch=16).step(12) for s in (0, 0, 1)]
    assert same_players(*runs[:2]) and not same_players(runs[0], runs[2])


@pytest.mark.parametrize("stop", [0, 3, 5, 7, 12])
@pytest.mark.parametrize("growth", [1., 1.7])
def test_resume_equals_no_interruption(tmp_path, stop, growth):
    straight = Run(small(growth=growth), ring(), runs=2, batch=16, average=.9).step(14)
    path = Run(small(growth=growth), ring(), runs=2, batch=16, average=.9).step(stop).save(tmp_path / "run")
    resumed = Run.load(path).step(14 - stop)
    assert same_players(straight, resumed) and torch.equal(straight.losses["G"], resumed.losses["G"])


def test_looking_changes_nothing():
    plain = Run(small(), ring(), runs=2, batch=16).step(8)
    looked = Run(small(), ring(), runs=2, batch=16)
    for _ in range(8):
        looked.step()
        looked.sample(10)
        looked.coverage(n=100)
    assert same_players(plain, looked)


def test_a_run_is_its_seed():
    both, second = (Run(small(), ring(), runs=n, seed=s, batch=16).step(7) for n, s in ((2, 0), (1, 1)))
    assert torch.equal(both.players.nets["matches"].z[1], second.players.nets["matches"].z[0])
    assert torch.allclose(both.sample(5)[1], second.sample(5)[0], atol=1e-5)


def test_the_lab_plays_it_and_a_glance_changes_nothing():
    lab, plain = Lab(small(), ring(), seed=0, batch=16), Run(small(), ring(), runs=1, batch=16, device="cpu")
    for _ in range(3):
        lab.step(4)
        render_frame(lab.sides["A"])
    assert same_players(lab.sides["A"], plain.step(12))


def test_matches_are_as_old_as_they_say():
    game = small(refresh=4, growth=2.)
    assert [game.since(n) for n in (0, 3, 4, 11, 12, 27, 28)] == [0, 0, 4, 4, 12, 12, 28]
    run, seen = Run(small(), ring(), runs=2, batch=16), []
    for _ in range(11):
        run.step()
        seen.append((int(run.players.nets["matches"].since), run.players.nets["matches"].z.clone()))
    assert [since for since, _ in seen] == [0] * 5 + [5] * 5 + [10]
    assert torch.equal(seen[0][1], seen[4][1]) and not torch.equal(seen[4][1], seen[5][1])


def test_every_real_is_used_equally_and_its_latent_is_the_nearest():
    run = Run(small(jitter=0.), ring(), runs=2, batch=16).step(5)
    run.players.nets["matches"].since.fill_(-1)
    x, z = run.game.matched(Turn(run, 5, 0))
    memory, turn = run.players.nets["matches"], Turn(run, 5, 0)
    pool = turn.noise(120, "pool")
    assert torch.equal(memory.x, turn.real(40, "matched")) and torch.equal(x, memory.x[:, :16]) and torch.equal(z, memory.z[:, :16])
    index = nearest(memory.x, turn.G(pool), runs=1)[1]
    assert torch.equal(memory.z, torch.stack([p[i] for p, i in zip(pool, index)]))
    third = run.game.matched(Turn(run, 7, 0))[0]
    assert torch.equal(third, memory.x[:, [*range(32, 40), *range(8)]])


def test_streams_of_a_turn_are_apart():
    turn = Turn(Run(small(), ring(), runs=2, batch=16), 3, 0)
    assert torch.equal(turn.real(16), turn.x) and torch.equal(turn.noise(16), turn.z) and turn.batch == 16
    assert not torch.equal(turn.real(16, "pool"), turn.x) and not torch.equal(turn.noise(16, "pool"), turn.z)


# The claim

@pytest.mark.parametrize("latent", [None, 6])
def test_it_reaches_what_it_is_asked_for(latent):
    data = grid(3, 2, .05)
    run = Run(IMLE(reals=512, refresh=4, networks=Networks(width=32, latent=latent), optimiser=Optimiser(3e-3)), data, runs=2, batch=64, average=.98, device="cpu")
    centers = data.centers.float().expand(2, -1, -1)
    start = nearest(centers, run.sample(1000), runs=1)[0].amax()
    away = nearest(centers, run.step(200).sample(1000), runs=1)[0].amax()
    assert away < .5 < start


def test_pictures_and_own_networks():
    digits = stacked_digits()
    G = lambda: nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 192), nn.Tanh(), nn.Unflatten(1, (3, 8, 8)))
    for game in (small(latent=8), IMLE(G=G, reals=40, pool=2, refresh=5, networks=Networks(latent=8))):
        run = Run(game, digits, runs=2, batch=16).step(20)
        assert run.losses["G"][-5:].mean() < run.losses["G"][:5].mean()


@pytest.mark.parametrize("data", [stacked_digits, faces])
def test_plays_on_pictures_with_convolutions(data, tmp_path):
    def fresh(runs=2, seed=0):
        game = IMLE(reals=12, pool=2, refresh=2, networks=Networks("conv", width=4, latent=3))
        return Run(game, data(), runs=runs, seed=seed, batch=4, device="cpu")
    fresh().step(1).save(tmp_path / "x")
    assert same_run(Run.load(tmp_path / "x", device="cpu").step(2), run := fresh().step(3))
    assert run.sample(3).shape == (2, 3, *run.modes.event)
    alone = fresh(runs=1, seed=1).step(3)  # a run beside another is the run alone
    assert torch.allclose(alone.sample(3)[0], run.sample(3)[1], atol=1e-4)


def test_on_a_gpu(cuda):
    q, p = normal(300, 40), torch.cat([normal(2000, 40, seed=1), normal(300, 40)])
    here, there = nearest(q, p), nearest(q.to(cuda), p.to(cuda))
    assert all(torch.equal(a, b.cpu()) for a, b in zip(here, there))
    assert Run(small(), ring(), runs=2, batch=16, device="cuda").step(7).steps == 7


def test_the_loss_of_half_precision_does_not_overflow():
    x = torch.ones(4, 3, 128, 128).half()
    assert imle_loss(x, -x) == 4 * 3 * 128 * 128
