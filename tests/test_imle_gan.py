"""modelab.methods.imle_gan: the arc and the loss against closed forms, minorities, feature spaces, the game on points and images."""

import math

import pytest
import torch
from helpers import normal, same_run, seeded
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modelab.__main__ import main
from modelab.core.registry import make
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import rare_modes, ring
from modelab.data.pictures import faces
from modelab.evaluation.features import train_picture_encoder
from modelab.evaluation.interpolation import slerp
from modelab.evaluation.neighbours import nearest
from modelab.evaluation.traits import precision_recall_by_trait
from modelab.methods.imle import imle_loss
from modelab.methods.imle_gan import feature_vectors, IMLEGAN, interpolation_loss
from modelab.methods.minimax import Minimax
from modelab.networks.layers import mlp
from modelab.networks.players import Networks
from modelab.training.run import Run


# fidelity

@given(seed=st.integers(0, 10_000), d=st.integers(2, 40), share=st.floats(0, 1))
def test_the_arc_keeps_angles_lengths_and_ends(seed, d, share):
    a, b = normal(2, 3, d, seed=seed)
    z = slerp(a, b, share)
    angle, part = (torch.nn.functional.cosine_similarity(a, v, dim=-1).clamp(-1, 1).acos() for v in (b, z))
    assert torch.allclose(part, share * angle, atol=2e-6)
    assert torch.allclose(z.norm(dim=-1), (1 - share) * a.norm(dim=-1) + share * b.norm(dim=-1))
    assert torch.allclose(slerp(a, b, 0.), a) and torch.allclose(slerp(a, b, 1.), b)
    assert torch.allclose(z, slerp(b, a, 1 - share))


def test_the_arc_of_equal_or_opposite_latents_is_finite():
    a = normal(4, 8).float()
    assert torch.allclose(slerp(a, a, .3), a, rtol=1e-4) and slerp(a, -a, .3).isfinite().all()
    assert slerp(torch.zeros(2, 3), torch.ones(2, 3), .5).isfinite().all()


def test_midway_latents_are_as_long_as_latents_and_straight_ones_are_not():
    a, b = normal(2, 4000, 64)
    assert slerp(a, b, .5).norm(dim=1).mean() == pytest.approx(a.norm(dim=1).mean().item(), rel=.01)
    assert torch.lerp(a, b, .5).norm(dim=1).mean() == pytest.approx(.5 ** .5 * a.norm(dim=1).mean().item(), rel=.02)


def test_interpolation_loss_is_its_formula():
    (z1, z2), (x1, x2), W = normal(2, 6, 4), normal(2, 6, 3, seed=1), normal(4, 3, seed=2)
    share = torch.rand(6, generator=seeded(3), dtype=torch.float64)
    expected = 0.
    for i in range(6):
        angle = math.acos(float(z1[i] @ z2[i] / z1[i].norm() / z2[i].norm()))
        a = float(share[i])
        arc = (math.sin(a * angle) * z1[i] / z1[i].norm() + math.sin((1 - a) * angle) * z2[i] / z2[i].norm()) / math.sin(angle)
        made = arc * (a * z1[i].norm() + (1 - a) * z2[i].norm()) @ W
        expected += (a * (made - x1[i]).square().sum() + (1 - a) * (made - x2[i]).square().sum()) / 6
    assert torch.allclose(interpolation_loss(lambda z: z @ W, (z1, z2), (x1, x2), share=share), expected)


def test_at_its_ends_it_is_the_imle_loss():
    (z1, z2), (x1, x2), W = normal(2, 6, 4), normal(2, 6, 3, seed=1), normal(4, 3, seed=2)
    for share, z, x in ((1., z1, x1), (0., z2, x2)):
        loss = interpolation_loss(lambda z: z @ W, (z1, z2), (x1, x2), share=torch.full((6,), share, dtype=torch.float64))
        assert torch.allclose(loss, imle_loss(z @ W, x))


def test_its_least_value_lies_on_the_straight_line_between_the_reals():
    x1, x2, share = normal(5, 3), normal(5, 3, seed=1), torch.rand(5, generator=seeded(2), dtype=torch.float64)
    free = torch.nn.Parameter(torch.zeros(5, 3, dtype=torch.float64))
    (slope,) = torch.autograd.grad(interpolation_loss(lambda z: free, (x1, x2), (x1, x2), share=share), free)
    best = share[:, None] * x1 + (1 - share[:, None]) * x2
    assert torch.allclose(slope, 2 * (free - best) / 5)


def test_derivative_by_finite_differences_through_features():
    z, x, W = normal(2, 3, 4), normal(2, 3, 2, seed=1), normal(4, 2, seed=2).requires_grad_()
    share = torch.rand(3, generator=seeded(3), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda W: interpolation_loss(
        lambda z: z @ W, (z[0], z[1]), (x[0], x[1]), features=torch.tanh, share=share), W)


# bad input

def test_bad_input_is_named():
    z, x, G = torch.zeros(4, 2), torch.zeros(4, 3), (lambda z: torch.zeros(len(z), 3))
    for bad_z, bad_x in (((z, z[:3]), (x, x)), ((z, z), (x, x[:3])), ((z, z), (x[:2], x[:2]))):
        with pytest.raises(ValueError, match=r"(z\[0\], z\[1\]: expected one shape|x\[0\], x\[1\]: expected one shape"
                                             r"|x\[0\]: expected shape .* that fits z\[0\])"):
            interpolation_loss(G, bad_z, bad_x)
    with pytest.raises(ValueError, match="z: expected shape .* with at least one example, got .0, 2."):
        interpolation_loss(G, (z[:0], z[:0]), (x[:0], x[:0]))
    for wrong in (lambda x: x[:2], lambda x: x.sum(), lambda x: 0):
        with pytest.raises((ValueError, TypeError), match="features: expected one result per example"):
            interpolation_loss(G, (z, z), (x, x), features=wrong)
    with pytest.raises(ValueError, match=r"share: expected shape \(\*runs, batch\) that fits z\[0\], got \(3,\)"):
        interpolation_loss(G, (z, z), (x, x), share=torch.zeros(3))
    with pytest.raises(TypeError, match="share: expected a floating tensor"):
        interpolation_loss(G, (z, z), (x, x), share=.5)
    with pytest.raises(ValueError, match=r"G: expected examples like the real ones, shape \(4, 3\), got \(4, 2\)"):
        interpolation_loss(lambda z: z, (z, z), (x, x))
    with pytest.raises(TypeError, match="z: expected two tensors, got Tensor"):
        interpolation_loss(G, z, (x, x))
    for kw, error, text in (({"weight": -1}, ValueError, "weight"), ({"interpolation_weight": -.1}, ValueError, "interpolation_weight"),
                            ({"r1_weight": -1.}, ValueError, "r1_weight"), ({"minority": []}, ValueError, r"minority: expected at least one whole number, got \[\]"),
                            ({"minority": [1, -1]}, ValueError, "minority"), ({"minority": ["hat"]}, TypeError, "minority"),
                            ({"space": "pixels"}, TypeError, "space"), ({"matching": "pixel"}, ValueError, "did you mean"),
                            ({"refresh": 0}, ValueError, "refresh"), ({"pool": 0}, ValueError, "pool")):
        with pytest.raises(error, match=text):
            IMLEGAN(**kw)


def test_nan_is_passed_on_by_the_loss():
    z, x, G = torch.zeros(4, 2), torch.zeros(4, 3), (lambda z: torch.zeros(len(z), 3))
    assert interpolation_loss(G, (z, z), (x, x), features=lambda x: x / 0).isnan()


def test_a_minority_that_the_set_lacks_stops_the_run_at_once():
    run = Run(IMLEGAN(minority=[8]), ring(8), runs=1, batch=8, device="cpu")
    with pytest.raises(ValueError, match="minority: expected a whole number ≥ 0 and ≤ 7, got 8"):
        run.step(1)


@pytest.mark.parametrize("wrong, text", [(lambda x: x[:, :4], "one result per example"), (lambda x: x * math.nan, "finite")])
def test_wrong_features_stop_the_run_at_once(wrong, text):
    run = Run(IMLEGAN(space=wrong, reals=16, pool=2), ring(8), runs=2, batch=8, device="cpu")
    with pytest.raises(ValueError, match=f"features: .*{text}"):
        run.step(1)


# minorities and feature spaces

def test_reals_and_latents_in_memory_belong_together():
    run = Run(IMLEGAN(minority=range(1, 9), reals=64, pool=5, refresh=10), rare_modes(), runs=2, batch=16, device="cpu").step(1)
    memory = run.players.nets["matches"]
    mode, _ = run.modes.assign(memory.x.flatten(0, 1))
    assert (mode > 0).all()
    fresh = Run(IMLEGAN(minority=range(1, 9), reals=64, pool=5), rare_modes(), runs=2, batch=16, device="cpu")
    G = fresh.players.nets["G"]  # in the turn of G at step 0 it has not moved yet
    pool = fresh.noise(64 * 5, fresh.generators("pool", 0, 1))
    _, who = nearest(memory.x, G(pool).detach(), runs=1)
    assert torch.equal(memory.z, pool.gather(1, who[..., None].expand(-1, -1, memory.z.shape[-1])))


def test_matching_in_features_differs_from_matching_in_pixels():
    def first(x):
        return x[..., :1]
    latents = {}
    for matching in ("features", "pixels"):
        game = IMLEGAN(space=first, matching=matching, reals=32, pool=4)
        run = Run(game, ring(8), runs=1, batch=8, device="cpu").step(1)
        latents[matching] = run.players.nets["matches"].z.clone()
    assert not torch.equal(latents["features"], latents["pixels"])


def test_the_encoder_learns_without_labels_and_knows_its_unit():
    state, x = torch.get_rng_state(), digits().sample(300, seeded(5))
    first, again, eye = (train_picture_encoder(digits(), walk=walk) for walk in (1, 1, 20))
    assert torch.equal(first(x), again(x)) and torch.equal(state, torch.get_rng_state())
    assert (eye(x) - eye(x).roll(1, 0)).square().sum(1).mean().item() == pytest.approx(1, rel=.15)
    moved = (x + torch.roll(x, 1, -1)) / 2
    near, before = ((net(moved) - net(x)).square().sum(1).mean() for net in (eye, first))
    assert near < .8 * before, "a moved picture should be near to what it was"
    assert not any(w.requires_grad for w in eye.parameters())


def test_the_encoder_describes_channels_alone_whatever_comes_before():
    eye, x = train_picture_encoder(digits(), d=4, walk=1), normal(2, 5, 3, 8, 8).float()
    assert eye(x).shape == (2, 5, 12) and torch.allclose(eye(x)[1, 2, 4:8], eye(x[1, 2, 1:2]), atol=1e-6)
    with pytest.raises(ValueError, match="modes: expected square pictures"):
        train_picture_encoder(ring(8))


def test_precision_and_recall_of_traits():
    modes = faces()
    perfect = precision_recall_by_trait(modes, modes.sample(4000, seeded()), ["eyeglasses", "eyeglasses+beard"], within=5.)
    assert perfect["eyeglasses"] == pytest.approx((1, 1), abs=.1) and perfect["eyeglasses+beard"] == pytest.approx((1, 1), abs=.35)
    without = modes.sample(4000, seeded())
    without = without[~modes.attributes(without)[:, 0]]
    assert precision_recall_by_trait(modes, without)["eyeglasses"][1] == 0 and math.isnan(precision_recall_by_trait(modes, without)["eyeglasses"][0])
    hats = faces("hat").sample(1000, seeded())
    speckled = torch.cat([hats[:500], hats[500:] + .2 * normal(500, 1, 32, 32).float()])
    precision, recall = precision_recall_by_trait(modes, speckled, ["hat"])["hat"]
    assert precision == pytest.approx(.5, abs=.05) and recall == pytest.approx(1, abs=.01)  # hats abound
    with pytest.raises(ValueError, match="traits: unknown 'hta', did you mean 'hat'"):
        precision_recall_by_trait(modes, hats, ["hta"])


# shapes

def test_runs_are_slices():
    G = mlp(4, 3, 8, runs=2, generator=[seeded(r) for r in range(2)])
    z, x, share = normal(2, 2, 5, 4).float(), normal(2, 2, 5, 3, seed=1).float(), torch.rand(2, 5, generator=seeded())
    together = interpolation_loss(G, (z[0], z[1]), (x[0], x[1]), share=share)
    for r in range(2):
        alone = mlp(4, 3, 8)
        alone.load_state_dict({k: v[r] for k, v in G.state_dict().items()})
        assert torch.allclose(together[r], interpolation_loss(alone, (z[0, r], z[1, r]), (x[0, r], x[1, r]), share=share[r]))


def test_images_sequences_and_plain_modules():
    for event in ((1, 8, 8), (5, 3), ()):
        G = nn.Sequential(nn.Linear(4, math.prod(event)), nn.Unflatten(1, event) if event else nn.Flatten(0))
        z, x = normal(2, 6, 4).float(), normal(2, 6, *event, seed=1).float()
        loss = interpolation_loss(G, (z[0], z[1]), (x[0], x[1]), features=lambda x: x.flatten(1) if x.ndim > 1 else x, generator=seeded())
        assert loss.shape == ()
        loss.backward()
        assert G[0].weight.grad.abs().sum() > 0


def test_descriptions_become_vectors():
    x = torch.zeros(2, 5, 1, 8, 8)
    assert feature_vectors(x, None, 2).shape == (2, 5, 64) and feature_vectors(x, lambda x: x.sum((-1, -2, -3)), 2).shape == (2, 5, 1)


# determinism

def test_same_generator_same_bits_and_global_randomness_untouched():
    z, x, state = normal(2, 6, 4), normal(2, 6, 3, seed=1), torch.get_rng_state()
    one, two, other = (interpolation_loss(lambda z: z[..., :3], (z[0], z[1]), (x[0], x[1]), generator=seeded(s)) for s in (5, 5, 6))
    assert torch.equal(one, two) and not torch.equal(one, other) and torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("modes, more", [(rare_modes, {"minority": [1, 5]}), (stacked_digits, {"matching": "pixels", "r1_weight": .1})],
                         ids=["points", "images"])
@pytest.mark.parametrize("at", [3, 4])
def test_game_resumes_where_it_stopped(modes, more, at, tmp_path):
    def fresh():  # a matching at steps 0, 4 and 8: resumed in the middle of a stretch and at the start of one
        return Run(IMLEGAN(reals=12, pool=3, refresh=4, networks=Networks(width=8), **more), modes(), runs=2, batch=8, device="cpu", average=.9)
    whole, half = fresh().step(9), fresh().step(at)
    resumed = Run.load(half.save(tmp_path / "half.safetensors"), device="cpu").step(9 - at)
    assert torch.equal(whole.sample(5), resumed.sample(5)) and torch.equal(whole.losses["G"], resumed.losses["G"])


def test_a_run_does_not_depend_on_its_neighbours():
    settings = dict(networks=Networks(width=8), reals=12, pool=3, refresh=4, minority=[1, 2])
    both, second = (Run(IMLEGAN(**settings), rare_modes(), runs=n, seed=s, batch=8, device="cpu").step(6) for n, s in ((2, 3), (1, 4)))
    assert torch.allclose(both.sample(5)[1], second.sample(5)[0], atol=1e-5)


def test_with_weight_zero_it_is_the_game_of_2014():
    ours, theirs = (Run(g(networks=Networks(width=8, latent=2)), ring(8), runs=2, batch=16, device="cpu").step(5)
                    for g in (lambda **kw: IMLEGAN(weight=0., **kw), Minimax))
    assert torch.equal(ours.sample(9), theirs.sample(9))


def test_it_is_known_by_name():
    game = make("game", {"name": "imlegan", "minority": [3], "weight": .5})
    assert isinstance(game, IMLEGAN) and make("game", game.spec).minority == [3]
    old = make("game", {"name": "imlegan", "penalty": .2, "interpolation": .3, "nets": "conv"})
    assert (old.r1_weight, old.interpolation_weight, old.networks.kind) == (.2, .3, "conv")


@pytest.mark.parametrize("data", [stacked_digits, faces])
def test_plays_on_pictures_with_convolutions(data, tmp_path):
    def fresh(runs=2, seed=0):
        game = IMLEGAN(reals=12, pool=2, refresh=2, r1_weight=.1, networks=Networks("conv", width=4, latent=3))
        return Run(game, data(), runs=runs, seed=seed, batch=4, device="cpu")
    fresh().step(1).save(tmp_path / "x")
    assert same_run(Run.load(tmp_path / "x", device="cpu").step(2), run := fresh().step(3))
    assert run.sample(3).shape == (2, 3, *run.modes.event)
    alone = fresh(runs=1, seed=1).step(3)  # a run beside another is the run alone
    assert torch.allclose(alone.sample(3)[0], run.sample(3)[1], atol=1e-4)


def test_own_networks_play():
    own = IMLEGAN(G=lambda: nn.Linear(2, 2), D=lambda: nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)), reals=16, pool=2)
    assert torch.isfinite(Run(own, ring(8), runs=2, batch=16, device="cpu").step(3).losses["G"]).all()


def test_the_command_line_trains_a_minority_and_resumes(tmp_path, capsys):
    out = str(tmp_path / "run.safetensors")
    assert main(["train", "imlegan", "rare_modes", "--steps", "2", "--runs", "1", "--batch", "8", "--out", out, "--device", "cpu",
                 "--set", "minority=[1,2]", "--set", "reals=8", "--set", "width=8"]) == 0
    assert main(["train", "--resume", out, "--steps", "1", "--out", out, "--device", "cpu"]) == 0
    assert Run.load(out, device="cpu").game.minority == [1, 2] and "imlegan on rare_modes" in capsys.readouterr().out
    assert main(["train", "imlegan", "ring", "--set", "minority=[]"]) == 2 and "minority" in capsys.readouterr().err
