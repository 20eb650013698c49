"""modelab.methods.ground_metric: slices against the graph Laplacian, known critics, and the traps of mass, dark and border."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from helpers import plays_and_resumes, uniform
from modelab.core.registry import make
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import ring
from modelab.methods.ground_metric import (edge_gradients, GroundMetric, PIXEL_NEIGHBOURS,
                                           wasserstein_gradient_penalty)
from modelab.networks.players import Networks
from modelab.training.run import Run

SPACE = (-3, -2, -1)


rand = uniform


def by_hand(slope, mass, neighbours):
    """gᵀL(m)g for one channel (h, w), pixel by pixel."""
    offsets, (h, w), total = PIXEL_NEIGHBOURS[neighbours][2], mass.shape, mass.new_zeros(())
    for r in range(h):
        for c in range(w):
            for down, right in offsets:
                if r + down < h and 0 <= c + right < w:
                    theta = (mass[r, c] + mass[r + down, c + right]) / 2
                    total = total + theta * (slope[r, c] - slope[r + down, c + right]) ** 2
    return total / sum(o[1] ** 2 for o in offsets)


def square(slope, x, lead=1, **kw):
    return edge_gradients(slope, x, x.new_zeros(x.shape[:lead]), **kw).square().sum(-1)


def linear(a):
    return lambda x: (x * a).sum(SPACE[-a.ndim:])


@given(st.integers(1, 5), st.integers(1, 6), st.sampled_from(sorted(PIXEL_NEIGHBOURS)), st.floats(0, 3), st.integers(0, 99))
def test_edges_are_the_laplacian_for_every_size(h, w, neighbours, gamma, seed):
    x, slope = rand(2, 2, h, w, seed=seed) * 2 - 1, rand(2, 2, h, w, seed=seed + 1) - .5
    expected = torch.stack([sum(by_hand(g, m, neighbours) for g, m in zip(*pair)) for pair in zip(slope, x + 1)])
    found = square(slope, x, gamma=gamma, neighbours=neighbours)
    assert torch.allclose(found, expected + gamma * slope.square().sum(SPACE), atol=1e-12)


@pytest.mark.parametrize("neighbours", PIXEL_NEIGHBOURS)
def test_moving_all_ink_by_one_pixel_is_a_slope_of_one(neighbours):
    blob = torch.zeros(1, 1, 11, 11, dtype=torch.float64)
    blob[..., 3:8, 3:8] = rand(5, 5)
    blob /= blob.sum()
    ticks = torch.arange(11, dtype=torch.float64)
    for angle in (0., .3, math.pi / 2):
        place = math.cos(angle) * ticks + math.sin(angle) * ticks[:, None]
        assert square(place[None, None], blob, low=0., neighbours=neighbours).item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("one_sided", (False, True))
def test_linear_critic_in_closed_form(one_sided):
    x, a = rand(5, 3, 4, 6) * 2 - 1, rand(3, 4, 6, seed=1) * .4
    norm2 = torch.stack([sum(by_hand(g, m, "cross") for g, m in zip(a, p + 1)) for p in x]) + .5 * a.square().sum()
    excess = norm2.sqrt() - 2.1
    assert (excess > 0).any() and (excess < 0).any()
    expected = (excess.clamp_min(0) if one_sided else excess).square().mean()
    found = wasserstein_gradient_penalty(linear(a), x, x, gamma=.5, target=2.1, one_sided=one_sided)
    assert torch.isclose(found, expected, atol=1e-12)


def test_mass_between_real_and_fake_is_mixed_once_per_example():
    real, fake, a = rand(4, 1, 3, 3) * 2 - 1, rand(4, 1, 3, 3, seed=1) * 2 - 1, rand(1, 3, 3, seed=2)
    found = wasserstein_gradient_penalty(linear(a), real, fake, gamma=0., generator=torch.Generator().manual_seed(5))
    t = torch.rand(4, generator=torch.Generator().manual_seed(5), dtype=torch.float64).reshape(4, 1, 1, 1)
    x = t * real + (1 - t) * fake
    norms = torch.stack([by_hand(a[0], m[0] + 1, "cross") for m in x]).sqrt()
    assert torch.isclose(found, (norms - 1).square().mean(), atol=1e-12)


def test_quadratic_critic_and_its_second_derivative():
    x, a = rand(3, 1, 4, 4) * 2 - 1, torch.tensor(.3, dtype=torch.float64, requires_grad=True)
    found = wasserstein_gradient_penalty(lambda x: a / 2 * x.square().sum(SPACE), x, x, gamma=0.)
    roots = square(x, x).sqrt()
    assert torch.isclose(found, (a * roots - 1).square().mean(), atol=1e-12)
    slope, = torch.autograd.grad(found, a)
    assert torch.isclose(slope, (2 * (a * roots - 1) * roots).mean(), atol=1e-12)


def test_every_example_has_its_own_norm():
    """A known library takes one norm of the whole batch and charges (√64 - 1)² = 49 where nothing is owed."""
    x, a = torch.ones(64, 1, 2, 1, dtype=torch.float64) * -.5, torch.tensor([[[0.], [2 ** .5]]], dtype=torch.float64)
    assert wasserstein_gradient_penalty(linear(a), x, x, gamma=0.).item() == pytest.approx(0, abs=1e-15)


def test_brightness_scales_the_square_and_gamma_adds_exactly():
    m, slope = rand(3, 2, 5, 5), rand(3, 2, 5, 5, seed=1)
    assert torch.allclose(square(slope, 4 * m, low=0.), 4 * square(slope, m, low=0.), atol=1e-12)
    assert torch.allclose(square(slope, m, gamma=.7) - square(slope, m), .7 * slope.square().sum(SPACE), atol=1e-12)


def test_low_says_where_mass_begins():
    """Pictures in [-1, 1] with low -1 and the same in [0, 2] with low 0 hold the same ink; a wrong low is refused."""
    x, slope = rand(3, 1, 4, 4) * 2 - 1, rand(3, 1, 4, 4, seed=1)
    assert torch.allclose(square(slope, x), square(slope, x + 1, low=0.), atol=1e-14)
    a = rand(1, 4, 4)
    with pytest.raises(ValueError, match="low=0, the value of an empty pixel, got -0.9"):
        wasserstein_gradient_penalty(linear(a), x, x, low=0.)
    with pytest.raises(ValueError, match="fake: expected values ≥ low=-1"):
        wasserstein_gradient_penalty(linear(a), x, x - .5)


@pytest.mark.parametrize("answer", [(-1,), (-1, 1), (-1, 1, 1, 1)], ids=str)
def test_scores_of_a_stranger_may_have_axes_of_length_one(answer):
    x, a = rand(5, 1, 4, 4) * 2 - 1, rand(1, 4, 4, seed=1)
    found = wasserstein_gradient_penalty(lambda x: linear(a)(x).reshape(answer), x, x)
    assert found.shape == () and torch.equal(found, wasserstein_gradient_penalty(linear(a), x, x))


@pytest.mark.parametrize("data", [digits, stacked_digits])
def test_it_plays_with_convolutional_players_and_resumes(data, tmp_path):
    plays_and_resumes(lambda: GroundMetric(networks=Networks("conv", width=2)), data, tmp_path)


def test_slopes_of_what_is_no_picture_are_refused():
    x = torch.zeros(4, 1, 5, 5)
    for slope, at, scores, kw, text in ((x[0], x[0], x[:, 0, 0, 0], {}, "gradient: expected shape .* that fits dims=2"),
                                        (x, x, x[:, 0, 0, 0], {"dims": 1}, "scores: expected shape .* that fits gradient"),
                                        (x, x[..., :4], x[:, 0, 0, 0], {}, "gradient, x: expected one shape"),
                                        (x, x, x[:3, 0, 0, 0], {}, r"scores: expected shape \(\*runs, batch\) that fits")):
        with pytest.raises(ValueError, match=text):
            edge_gradients(slope, at, scores, **kw)


def test_transport_is_blind_to_total_mass_and_to_the_dark_until_gamma():
    x = -torch.ones(1, 1, 6, 6, dtype=torch.float64)
    x[..., 3:, 3:] = .5
    dark = torch.zeros_like(x)
    dark[..., :2, :2] = 100 * rand(2, 2)
    for slope in (torch.full_like(x, 100.), dark):
        assert square(slope, x).item() == 0
        assert square(slope, x, gamma=.1).item() == pytest.approx(.1 * slope.square().sum().item())


@pytest.mark.parametrize("place", [(slice(None), 0), (slice(None), -1), (0, slice(None)), (-1, slice(None))])
def test_no_border_is_forgotten(place):
    """A filter of length three without padding, as in the paper's code, drops the last pair of every row and column."""
    slope = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    slope[0, 0][place] = 1.
    assert square(slope, torch.ones_like(slope) * -.5).item() == pytest.approx(5 * .5)


def test_channels_hold_their_own_ink():
    x, slope = rand(2, 3, 4, 4) * 2 - 1, rand(2, 3, 4, 4, seed=1)
    alone = sum(square(slope[:, k:k + 1], x[:, k:k + 1]) for k in range(3))
    assert torch.allclose(square(slope, x), alone, atol=1e-12)


def test_flat_and_empty_pictures_give_finite_usable_gradients():
    for x in (torch.rand(4, 1, 5, 5), -torch.ones(4, 1, 5, 5)):
        for gamma in (0., .1):
            a = nn.Parameter(torch.zeros(1, 5, 5))
            R = wasserstein_gradient_penalty(linear(a), x, x, gamma=gamma)
            R.backward()
            assert R.item() == pytest.approx(1) and torch.isfinite(a.grad).all()
            assert a.grad.abs().sum() > 0 or (gamma == 0 and (x == -1).all())


def test_only_the_critic_learns_from_it():
    a = nn.Parameter(rand(1, 3, 3))
    real, fake = (rand(4, 1, 3, 3, seed=s).requires_grad_() for s in (1, 2))
    wasserstein_gradient_penalty(lambda x: (x.square() * a).sum(SPACE), real, fake).backward()
    assert real.grad is None and fake.grad is None and a.grad.abs().sum() > 0


@pytest.mark.parametrize("change, message", [
    ({"gamma": -1.}, "gamma"), ({"gamma": math.nan}, "gamma"), ({"target": -1}, "target"), ({"dims": 3}, "dims"),
    ({"neighbours": "crss"}, "did you mean 'cross'"), ({"low": math.inf}, "low"), ({"gamma": "1"}, "gamma"),
    ({"fake": torch.zeros(4, 1, 5, 4)}, "real, fake: expected one shape.*5, 5.*5, 4"),
    ({"real": torch.zeros(4, 2), "fake": torch.zeros(4, 2)}, r"real: expected shape \(\*lead, channels, \*space\) that fits dims=2 and lead=1, got \(4, 2\)"), ({"real": torch.zeros(0, 1, 5, 5)}, "real"),
    ({"real": torch.zeros(4, 1, 5, 5, dtype=torch.int64)}, "real: .*int64"),
    ({"real": [[0.]]}, "real: .*list"), ({"generator": [torch.Generator()]}, "generator"),
    ({"critic": lambda x: x.sum(-1)}, r"critic: expected one score.*shape \(4,\), got \(4, 1, 5\)"),
    ({"real": torch.zeros(2, 4, 1, 5, 5), "fake": torch.zeros(2, 4, 1, 5, 5)}, r"real: .* that fits dims=2 and lead=1, got \(2, 4, 1, 5, 5\)"),
    ({"critic": nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(25, 1), nn.Flatten(0))}, "BatchNorm2d coupl"),
])
def test_bad_input_is_refused(change, message):
    zeros = torch.zeros(4, 1, 5, 5)
    with pytest.raises((ValueError, TypeError), match=message):
        wasserstein_gradient_penalty(**{"critic": lambda x: x.sum(SPACE), "real": zeros, "fake": zeros} | change)


def test_points_and_odd_settings_are_refused_by_the_game():
    for data in (ring(), "line"):
        with pytest.raises(ValueError, match="modes: GroundMetric needs pictures"):
            Run(GroundMetric(), data, runs=1, device="cpu")
    for bad in ({"gamma": -.1}, {"weight": math.inf}, {"neighbours": "king"}, {"n_critic": 0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            GroundMetric(**bad)
    assert GroundMetric(n_critic=2).turns == "D D G"


def test_runs_are_slices():
    real, fake, a = rand(3, 5, 2, 4, 4) * 2 - 1, rand(3, 5, 2, 4, 4, seed=1) * 2 - 1, rand(3, 1, 2, 4, 4, seed=2)
    seeds = [torch.Generator().manual_seed(r) for r in range(3)]
    together = wasserstein_gradient_penalty(linear(a), real, fake, generator=seeds, lead=2)
    assert together.shape == (3,)
    for r in range(3):
        alone = wasserstein_gradient_penalty(linear(a[r]), real[r], fake[r], generator=torch.Generator().manual_seed(r))
        assert alone.shape == () and torch.allclose(alone, together[r], atol=1e-13)


@pytest.mark.parametrize("neighbours", PIXEL_NEIGHBOURS)
def test_a_signal_is_a_picture_of_one_row(neighbours):
    x, slope = rand(4, 2, 9) * 2 - 1, rand(4, 2, 9, seed=1)
    by_row = square(slope[:, :, None], x[:, :, None], neighbours="cross")
    if neighbours == "cross":
        assert torch.allclose(square(slope, x, dims=1), by_row, atol=1e-13)
    wide = square(torch.arange(9.)[None, None], torch.eye(9)[None, 4:5], dims=1, low=0., neighbours=neighbours)
    assert wide.item() == pytest.approx(1)
    R = wasserstein_gradient_penalty(lambda x: x.sum((-2, -1)), x, x, dims=1, neighbours=neighbours)
    assert R.shape == () and torch.isfinite(R)


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_a_plain_convolutional_critic(dtype):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(), nn.Flatten(), nn.Linear(144, 1), nn.Flatten(0)).to(dtype)
    x = rand(5, 3, 8, 8).to(dtype) * 2 - 1
    wasserstein_gradient_penalty(net, x, x.flip(0), neighbours="diamond").backward()
    grads = [p.grad for n, p in net.named_parameters() if "weight" in n]
    assert all(g.dtype == dtype and torch.isfinite(g).all() and g.abs().sum() > 0 for g in grads)


def test_same_seed_same_bits_and_the_global_stream_is_untouched():
    x, a = torch.rand(8, 1, 4, 4), torch.rand(1, 4, 4)
    before = torch.random.get_rng_state()
    first, again, other = (wasserstein_gradient_penalty(linear(a), x, -x, generator=torch.Generator().manual_seed(s))
                           for s in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_run_resumes_as_if_uninterrupted(tmp_path):
    def fresh():
        game = GroundMetric(gamma=.3, n_critic=2, neighbours="diamond", networks=Networks(width=8))
        return Run(game, digits(), runs=2, batch=8, device="cpu")
    whole, half = fresh().step(6), fresh().step(3)
    resumed = Run.load(half.save(tmp_path / "half.safetensors"), device="cpu").step(3)
    assert resumed.game.gamma == .3 and resumed.words == ["D", "D", "G"]
    a, b = whole.players.state(), resumed.players.state()
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_seed_r_alone_is_run_r_of_many():
    def game():
        return GroundMetric(n_critic=1, networks=Networks(width=8))
    many = Run(game(), digits(), runs=3, batch=8, device="cpu").step(3)
    one = Run(game(), digits(), runs=1, seed=2, batch=8, device="cpu").step(3)
    assert torch.allclose(many.sample(4)[2], one.sample(4)[0], atol=1e-5)


def test_the_game_is_known_by_name_and_charges_its_penalty():
    assert isinstance(make("game", "groundmetric"), GroundMetric)
    run = Run(GroundMetric(weight=0., networks=Networks(width=8)), digits(), runs=2, batch=16, device="cpu")
    heavy = Run(GroundMetric(weight=3., networks=Networks(width=8)), digits(), runs=2, batch=16, device="cpu")
    turn = type("T", (), {"x": digits().sample(32, generator=torch.Generator().manual_seed(0)).unflatten(0, (2, 16)),
                          "z": torch.zeros(2, 16, 64), "generator": None, **run.players.nets})
    turn.generator = [torch.Generator().manual_seed(r) for r in range(2)]
    free = run.game.loss_D(turn)
    turn.generator = [torch.Generator().manual_seed(r) for r in range(2)]
    paid = heavy.game.loss_D(turn)
    turn.generator = [torch.Generator().manual_seed(r) for r in range(2)]
    penalty = heavy.game.penalty(turn.D, turn.x, turn.G(turn.z).detach(), turn.generator)
    assert torch.allclose(paid - free, 3 * penalty, atol=1e-5) and (penalty > 0).all()


def test_your_own_players():
    def my_critic():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0))
    run = Run(GroundMetric(D=my_critic, networks=Networks(width=8)), digits(), runs=2, batch=4, device="cpu").step(2)
    assert run.sample(3).shape == (2, 3, 1, 8, 8)
