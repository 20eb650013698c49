"""Sets of known modes: exact laws, honest samplers, and what they refuse."""

import gzip
import hashlib
import json
import math
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, multivariate_normal
from helpers import seeded
from serving import idx
from modelab.data import digits as digits_module
from modelab.core.registry import make
from modelab.data.digits import (_load_digits, _read_cache, _train_classifier, digits,
                                 stacked_digits)
from modelab.data.mixtures import grid, line, mixture, rare_modes, ring, sample_modes
from modelab.data.mnist import _read_idx_set, mnist, read_idx, stacked_mnist

DATA = os.environ.get("MODELAB_DATA")
MIXTURES = [ring(), grid(), line(), line(far=3), rare_modes(),
            mixture([[0, 0, 0], [1, 2, 3]], [[.1, .2, .3], [.3, .2, .1]], [1, 3]),
            mixture([[0., 0], [4, 0]], [[[1, .5], [.5, 1]], [[.2, 0], [0, 2]]], [2, 1])]
BAD_NUMBER = st.sampled_from([0, -1, -.5, math.nan, math.inf, -math.inf, "1", None, True, 1j])
BAD_COUNT = st.one_of(st.integers(max_value=0), st.floats(), st.sampled_from(["8", None, True, [8], math.nan]))


def refuses(call, *args, names, **kw):
    """`call` must raise a ValueError or TypeError that begins with the argument's name (one of `names`)."""
    with pytest.raises((ValueError, TypeError)) as caught:
        call(*args, **kw)
    assert str(caught.value).startswith(tuple(f"{n}:" for n in names.split(" or "))), caught.value


# What every set promises

@pytest.mark.parametrize("made", [*MIXTURES, digits(), stacked_digits(), digits("held_out")], ids=repr)
def test_every_set_keeps_the_contract(made):
    assert made.weights.shape == (made.n_modes,) and abs(made.weights.double().sum() - 1) < 1e-6
    x, mode = made.sample_with_modes(300, seeded())
    assert x.shape == (300, *made.event) and x.dtype == torch.float32 and x.device.type == "cpu"
    assert mode.dtype == torch.int64 and mode.min() >= 0 and mode.max() < made.n_modes
    guess, good = made.assign(x)
    assert guess.shape == good.shape == (300,) and guess.dtype == torch.int64 and good.dtype == torch.bool
    low, high = made.bounds
    assert low.shape == high.shape == made.event and (x >= low).all() and (x <= high).all()
    assert str(made.n_modes) in repr(made) and made.to("cpu") is made
    again = make("modes", json.loads(json.dumps(made.spec)))
    assert torch.equal(again.sample(50, seeded(3)), made.sample(50, seeded(3)))


@pytest.mark.parametrize("made", [*MIXTURES, stacked_digits()], ids=repr)
def test_the_generator_decides_every_bit_and_nothing_else_moves(made):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = made.sample_with_modes(64, generator=seeded(5))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    second = made.sample_with_modes(64, generator=seeded(5))
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    assert not torch.equal(first[0], made.sample(64, generator=seeded(6)))
    g = seeded(5)
    assert not torch.equal(made.sample(64, g), made.sample(64, g))


def test_another_default_dtype_changes_nothing():
    wanted = [made.sample(20, seeded()) for made in (ring(), MIXTURES[-1], stacked_digits())]
    layers = _train_classifier(_load_digits()["train"], 16, walk=3)
    torch.set_default_dtype(torch.float64)
    try:
        again = [made.sample(20, seeded()) for made in (ring(), MIXTURES[-1], stacked_digits())]
        assert all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(wanted, again))
        assert all(torch.equal(a, b) for a, b in zip(layers, _train_classifier(_load_digits()["train"], 16, walk=3)))
        assert stacked_digits().assign(wanted[-1])[1].any()
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("made", MIXTURES, ids=repr)
def test_draws_follow_the_weights(made):
    counts = torch.bincount(made.sample_with_modes(50_000, seeded())[1], minlength=made.n_modes).double()
    weights = made.weights.double() / made.weights.double().sum()
    assert chisquare(counts, 50_000 * weights).pvalue > 1e-4


def test_members_are_of_the_minority_in_their_proportions():
    law = mixture([[0., 0.], [5., 0.], [9., 0.]], .1, [.9, .075, .025])
    x = sample_modes(law, [2, 1], 4000, seeded())
    mode, _ = law.assign(x)
    assert x.shape == (4000, 2) and set(mode.tolist()) == {1, 2}
    assert (mode == 1).float().mean().item() == pytest.approx(.75, abs=.03)
    assert torch.equal(x, sample_modes(law, [1, 2], 4000, seeded()))
    assert sample_modes(law, [0], 0, seeded()).shape == (0, 2)


def test_members_of_what_no_set_has():
    for wrong, error, text in (([3], ValueError, "minority: expected a whole number ≥ 0 and ≤ 2, got 3"), ([], ValueError, "at least one"),
                               ("01", ValueError, "at least one"), ([.5], TypeError, "minority: expected a whole number")):
        with pytest.raises(error, match=text):
            sample_modes(line(3), wrong, 4, seeded())
    with pytest.raises(TypeError, match="modes: expected a mode set, got 'ring'"):
        sample_modes("ring", [0], 4, seeded())
    with pytest.raises(TypeError, match="generator: expected a torch.Generator, got 3"):
        sample_modes(line(3), [0], 4, 3)


def test_meta_device_moves_every_tensor_and_an_unknown_one_is_refused():
    made = stacked_digits()
    assert made.held_out.device.type == "cpu"
    there = made.to("meta")
    assert there.held_out.device.type == there.held_out._images.device.type == "meta"
    assert there.weights.device.type == there.bounds[0].device.type == there._images.device.type == "meta"
    assert there.spec == stacked_digits().spec and there is not stacked_digits()
    for device in ("warp", "cuda:99", 3.5):
        refuses(ring().to, device, names="device")


@pytest.mark.parametrize("made", [*MIXTURES, stacked_digits()], ids=repr)
def test_samples_come_out_on_the_generators_device(made, cuda):
    g = torch.Generator(cuda).manual_seed(0)
    x, mode = made.sample_with_modes(5000, g)
    assert x.device == mode.device and x.device.type == g.device.type == "cuda" and x.dtype == torch.float32
    guess, good = made.to("cuda").assign(x)
    there, here = (guess, good), made.assign(x.cpu())
    assert guess.device == x.device and all((a.cpu() == b).double().mean() > .999 for a, b in zip(there, here))
    if made.held_out is None:
        assert torch.allclose(made.log_prob(x).cpu(), made.log_prob(x.cpu()), atol=1e-9)


# Mixtures: exact laws

@pytest.mark.parametrize("made", MIXTURES, ids=repr)
def test_log_prob_agrees_with_scipy(made):
    x = torch.cat([made.sample(200, seeded()), torch.randn(200, *made.event, generator=seeded(1)) * 3])
    centers, scales, shares, _ = made._law
    covariances = scales @ scales.mT if scales.ndim == 3 else torch.diag_embed(scales.square())
    parts = [math.log(w) + multivariate_normal(c.numpy(), s.numpy()).logpdf(x.double().numpy())
             for w, c, s in zip(shares.tolist(), centers, covariances)]
    assert np.allclose(made.log_prob(x), np.logaddexp.reduce(parts), rtol=1e-10, atol=1e-10)
    assert made.log_prob(x).dtype == torch.float64


@pytest.mark.parametrize("made, half, cells", [(line(), 2, 40_001), (rare_modes(std=.2), 5, 801), (MIXTURES[-1], 14, 801)])
def test_density_integrates_to_one(made, half, cells):
    ticks = torch.linspace(-half, half, cells, dtype=torch.float64)
    plane = ticks[:, None] if made.event == (1,) else torch.cartesian_prod(ticks, ticks)
    total = made.log_prob(plane).exp().sum() * (ticks[1] - ticks[0]) ** made.event[0]
    assert abs(total - 1) < 1e-8


@pytest.mark.parametrize("made", MIXTURES, ids=repr)
def test_samples_have_the_centers_and_covariances(made):
    x, mode = made.sample_with_modes(100_000, seeded(2))
    for k in range(made.n_modes):
        mine, scale = x[mode == k].double(), made.covariances[k].double().diagonal().sqrt()
        error = len(mine) ** -.5
        assert ((mine.mean(0) - made.centers[k]) / scale).abs().max() < 5 * error
        gap = (mine.T.cov().reshape(len(scale), -1) - made.covariances[k].double()) / torch.outer(scale, scale)
        assert gap.abs().max() < 7 * error


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 2 ** 31), st.booleans())
def test_assign_is_the_plain_formula(d, k, seed, full):
    g = seeded(seed)
    centers = torch.randn(k, d, generator=g, dtype=torch.float64) * 3
    root = torch.eye(d, dtype=torch.float64) + .3 * torch.randn(k, d, d, generator=g, dtype=torch.float64).tril()
    covariance = root @ root.mT
    made = mixture(centers, covariance if full else covariance.diagonal(dim1=1, dim2=2).sqrt())
    covariance = covariance if full else torch.diag_embed(covariance.diagonal(dim1=1, dim2=2))
    x = torch.randn(50, d, generator=g, dtype=torch.float64) * 4
    offset = x[:, None] - centers
    distance = torch.einsum("nkd,kde,nke->nk", offset, covariance.inverse(), offset).sqrt()
    mode, good = made.assign(x, within=2.)
    assert torch.equal(mode, distance.argmin(1)) and torch.equal(good, distance.amin(1) <= 2)
    nearest = offset[torch.arange(50), mode] / covariance.diagonal(dim1=1, dim2=2).sqrt()[mode]
    boxed, inside = made.assign(x, 2., "box")
    assert torch.equal(boxed, mode) and torch.equal(inside, (nearest.abs() <= 2).all(1))


def test_assign_in_chunks_is_assign():
    made = grid()
    x = made.sample(100_000, seeded())
    parts = [made.assign(p) for p in x.split(777)]
    assert all(torch.equal(torch.cat(p), w) for p, w in zip(zip(*parts), made.assign(x)))


@pytest.mark.parametrize("n", [1, 2, 3, 8, 25])
def test_a_ring_has_exactly_n_modes(n):
    made = ring(n, 2, .01)
    assert made.n_modes == n == len(made.centers.round(decimals=4).unique(dim=0))
    assert torch.allclose(made.centers.norm(dim=1), torch.tensor(2.))
    mode, good = made.assign(made.centers)
    assert good.all() and mode.tolist() == list(range(n))


def test_the_famous_ring_with_both_ends_is_refused_however_it_is_built():
    for angle in (np.linspace(0, 2 * np.pi, 8), torch.linspace(0, 2 * math.pi, 8).numpy()):
        refuses(mixture, np.stack([np.cos(angle), np.sin(angle)], 1), .01, names="centers")
    refuses(mixture, [[0.], [1.], [0.]], .1, names="centers")
    many = torch.randn(1100, 2, generator=seeded())
    mixture(many, 1e-4)
    many[1099] = many[3]
    refuses(mixture, many, 1e-4, names="centers")


def test_shapes_of_the_literature():
    assert torch.equal(grid().centers.unique(), torch.tensor([-4., -2, 0, 2, 4])) and grid().n_modes == 25
    assert grid().bounds[1].tolist() == [5, 5] and ring().bounds[1].tolist() == [1.5, 1.5]
    assert line(far=3).centers.flatten().tolist() == [-.5, -.25, 0, .25, .5, 5, -5, 10]
    rare = rare_modes()
    assert rare.n_modes == 9 and torch.allclose(rare.weights, torch.tensor([.9] + [.0125] * 8))
    assert rare.centers[0].tolist() == [0, 0] and torch.allclose(rare.centers[1:].norm(dim=1), torch.tensor(2.))


def test_a_perfect_sampler_meets_the_closed_form_ceiling():
    one = math.erf(3 / 2 ** .5)
    for made, metric, share in ((ring(), "mahalanobis", 1 - math.exp(-4.5)), (ring(), "box", one ** 2),
                                (line(), "mahalanobis", one)):
        n = 200_000
        good = made.assign(made.sample(n, seeded(9)), metric=metric)[1].double().mean()
        assert abs(good - share) < 4 * math.sqrt(share * (1 - share) / n)


def test_a_set_does_not_change_with_the_arrays_it_was_made_from():
    centers, std = torch.zeros(2, 2, dtype=torch.float64), torch.tensor([.1, .2], dtype=torch.float64)
    centers[1] = 3
    made = mixture(centers, std)
    x = made.sample(100, seeded())
    before = made.log_prob(x)
    centers += 1
    std *= 2
    assert torch.equal(before, made.log_prob(x)) and torch.equal(x, made.sample(100, seeded()))


def test_python_numbers_are_taken_at_full_precision():
    centers, scales, *_ = mixture([[.1, .2]], .3)._law
    assert centers.tolist() == [[.1, .2]] and scales.tolist() == [[.3, .3]]


# Mixtures: what is refused

@given(BAD_NUMBER)
def test_bad_numbers_are_refused(value):
    refuses(ring, 8, 1, value, names="std")
    refuses(ring, 8, value, names="radius")
    refuses(grid, 5, value, names="spacing")
    refuses(line, 5, value, names="spacing")
    refuses(line, 5, .25, value, names="std")
    refuses(rare_modes, value, names="share")
    refuses(rare_modes, .9, 8, value, names="radius")
    refuses(ring().assign, torch.zeros(3, 2), value, names="within")
    refuses(mixture, [[0., 0], [1, 1]], value, names="std")
    if value is not True:  # in a list of numbers a bool passes for 1
        refuses(mixture, [[0., 0], [1, 1]], [.1, value], names="std")
        refuses(mixture, [[0., 0], [1, 1]], .1, [1., value], names="weights")
        refuses(mixture, [[0., 0], [1, 1]], torch.tensor([[.1, .1], [.1, -.1]]), names="std")


@given(BAD_COUNT)
def test_bad_counts_are_refused(n):
    refuses(ring, n, names="n")
    refuses(grid, n, names="side")
    refuses(line, n, names="n")
    refuses(rare_modes, .9, n, names="n")
    for made in (ring(), digits()):
        refuses(made.sample, n, seeded(), names="n")
    if n != 0:
        refuses(line, 5, far=n, names="far")


@given(st.lists(st.integers(0, 4), min_size=0, max_size=4).map(tuple), st.sampled_from([(2, 2), (3, 1)]))
def test_wrong_shapes_are_refused(shape, good):
    k, d = good
    centers = torch.arange(k * d).reshape(k, d).double()
    if len(shape) != 2 or 0 in shape:
        refuses(mixture, torch.ones(shape), .1, names="centers")
    if shape not in [(), (k,), (k, d), (k, d, d)]:
        refuses(mixture, centers, torch.ones(shape), names="std")
    if shape != (k,):
        refuses(mixture, centers, .1, torch.ones(shape), names="weights")
    if len(shape) != 2 or shape[1] != d or shape[0] == 0:
        made = mixture(centers, .1)
        refuses(made.assign, torch.ones(shape), names="x")
        refuses(made.log_prob, torch.ones(shape), names="x")


@pytest.mark.parametrize("std", [[[[1, 2], [2, 1]]] * 2, [[[1, .5], [.1, 1]]] * 2, [[[1, 1], [1, 1]]] * 2,
                                 [[[0, 0], [0, 0]]] * 2, [[[1, 0], [0, math.nan]]] * 2, [.1, .2, .3], [[.1], [.2]],
                                 .1 + 0j, "thin", [[.1, .2], [.1]]])
def test_covariances_that_are_none_are_refused(std):
    refuses(mixture, [[0., 0], [5, 5]], std, names="std")


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [1, 0], [1, -1], [1, math.nan], [math.inf, 1], [[1, 2]], "ab", 1.,
                                     [1, 1e-60]])
def test_weights_that_are_none_are_refused(weights):
    refuses(mixture, [[0., 0], [5, 5]], .1, weights, names="weights")


def test_other_refusals_of_mixtures():
    refuses(mixture, [[0, math.nan]], .1, names="centers")
    refuses(mixture, [[1e200, 0]], .1, names="centers")
    refuses(mixture, "ring", .1, names="centers")
    refuses(mixture, [[1000., 0]], 1e-5, names="std")  # float32 cannot show it
    refuses(rare_modes, 1., names="share")
    refuses(line, 100, far=1, names="n, spacing")
    refuses(ring().assign, torch.zeros(3, 2), 3., "euclid", names="metric")
    refuses(ring().assign, torch.tensor([[0, math.nan]]), names="x")
    refuses(ring().sample, 3, torch.Generator, names="generator")
    refuses(ring().sample, 3, 0, names="generator")
    with pytest.raises(TypeError, match="generator"):
        ring().sample(3)


# Digits and their judge

def test_the_split_is_fixed_stratified_and_disjoint():
    from sklearn.datasets import load_digits
    data, train = load_digits(), digits()
    held = train.held_out
    assert len(train._images) + len(held._images) == 1797 and len(held._images) == 396 and held.held_out is None
    everything = sorted(i.numpy().tobytes() for i in torch.cat([train._images, held._images]))
    assert everything == sorted(i.astype(np.uint8).tobytes() for i in data.images)
    share = torch.stack([torch.bincount(s._labels) / len(s._labels) for s in (train, held)])
    assert (share[0] - share[1]).abs().max() < .005
    assert held.spec == {"name": "digits", "split": "held_out"} and held is train.held_out


def test_digits_come_from_their_own_split_in_range():
    for made in (digits(), digits().held_out):
        known = {(i / 8 - 1).numpy().tobytes() for i in made._images.float()}
        x = made.sample(500, seeded())
        assert x.min() >= -1 and x.max() <= 1 and all(i.numpy().tobytes() in known for i in x[:, 0])
        assert torch.equal((made.picture(x) * 16).round(), (x[:, 0] + 1) * 8)


def test_stacked_digits_are_independent_triples():
    made = stacked_digits()
    assert made.n_modes == 1000 and made.event == (3, 8, 8)
    assert made.picture(made.sample(2, seeded())).shape == (2, 8, 8, 3)
    share = digits().weights.double()
    assert torch.allclose(made.weights.double(), torch.einsum("a,b,c->abc", share, share, share).flatten(), atol=1e-9)
    x, mode = made.sample_with_modes(200_000, seeded())
    counts = torch.bincount(mode, minlength=1000).double()
    law = made.weights.double() / made.weights.double().sum()
    assert chisquare(counts, 200_000 * law).pvalue > 1e-4
    for channel, place in enumerate((100, 10, 1)):
        digit, _ = made.judge.predict(x[:4000, channel])
        assert (digit == mode[:4000] // place % 10).double().mean() > .97


def test_the_judge_reads_what_it_never_saw_and_says_how_well():
    judge, held = stacked_digits().judge, digits().held_out
    assert judge is digits().judge is held.judge
    assert judge.accuracy >= .97 and judge.exam_size == 396
    assert judge.confusion.shape == (10, 10) and judge.confusion.sum() == 396
    assert judge.confusion.sum(1).tolist() == torch.bincount(held._labels).tolist()
    digit, sure = judge.predict(held._images / 8 - 1)
    assert (digit == held._labels).double().mean() == judge.accuracy == judge.confusion.diagonal().sum() / 396
    assert sure.min() > .1 and sure.max() <= 1 and (sure[digit == held._labels] >= .9).double().mean() > .9


def test_the_judge_doubts_what_is_no_digit():
    judge, g = digits().judge, seeded(11)
    nothing = [torch.rand(2000, 8, 8, generator=g) * 2 - 1, (torch.randn(2000, 8, 8, generator=g) * .6).clamp(-1, 1),
               -torch.ones(1, 8, 8), torch.ones(1, 8, 8), torch.zeros(1, 8, 8)]
    assert [(judge.predict(x)[1] >= .9).double().mean().item() for x in nothing] == pytest.approx([0] * 5, abs=.01)


def test_a_judge_is_always_the_same_and_disturbs_nothing():
    split, threads, before = _load_digits(), torch.get_num_threads(), torch.get_rng_state()
    small = tuple(t[:200] for t in split["train"])
    first = _train_classifier(small, 16, walk=5)
    torch.manual_seed(99)
    torch.set_num_threads(2 if threads == 1 else 1)
    try:
        with torch.no_grad():
            second = _train_classifier(small, 16, walk=5)
    finally:
        changed = torch.get_num_threads()
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(first, second)) and changed != threads
    torch.set_rng_state(before)
    _train_classifier(small, 16, walk=2)
    assert torch.equal(before, torch.get_rng_state())


def test_what_image_sets_refuse():
    made = stacked_digits()
    refuses(made.assign, torch.zeros(4, 1, 8, 8), names="x")
    refuses(made.assign, torch.full((4, 3, 8, 8), math.nan), names="x")
    refuses(made.picture, torch.zeros(0, 3, 8, 8), names="x")
    refuses(made.judge.predict, torch.zeros(4, 28, 28), names="x")
    refuses(digits, "test", names="split")
    for confidence in (-.1, 1.1, math.nan, "sure"):
        refuses(made.assign, torch.zeros(4, 3, 8, 8), confidence, names="confidence")


def test_confidence_is_what_makes_an_example_good():
    made = stacked_digits()
    x = made.held_out.sample(500, seeded())
    mode, all_good = made.assign(x, confidence=0)
    _, sure = made.judge.predict(x.flatten(0, 1))
    assert all_good.all() and torch.equal(made.assign(x)[1], (sure.reshape(500, 3) >= .9).all(1))
    assert torch.equal(made.assign(x)[0], mode)


# idx files

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 3))
LABELS = np.arange(5)


@pytest.fixture
def write(tmp_path):
    """Write bytes to a file and give its path."""
    def write(data: bytes, name="file") -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name
    return write


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_round_trip_whatever_the_name(write, pack):
    for name in ("a", "a.gz"):
        images, labels = read_idx(write(pack(idx(IMAGES)), name), "images"), read_idx(write(pack(idx(LABELS)), "b"))
        assert images.dtype == torch.uint8 and np.array_equal(images, IMAGES) and np.array_equal(labels, LABELS)
        images[0] = 0  # is writable


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_truncation_and_every_addition_is_refused(write, pack):
    whole = idx(IMAGES)
    for data in [whole[:i] for i in range(len(whole))] + [whole + b"\0", whole + bytes(5000)]:
        refuses(read_idx, write(pack(data)), names="path")


def test_every_truncation_of_a_gzip_file_is_refused(write):
    packed = gzip.compress(idx(IMAGES))
    for i in range(len(packed)):
        refuses(read_idx, write(packed[:i]), names="path")
    refuses(read_idx, write(packed + b"junk"), names="path")
    refuses(read_idx, write(packed[:30] + bytes([packed[30] ^ 255]) + packed[31:]), names="path")


def test_mislabelled_files_are_refused(write):
    refuses(read_idx, write(idx(LABELS)), "images", names="path")
    refuses(read_idx, write(idx(IMAGES)), "labels", names="path")
    refuses(read_idx, write(idx(IMAGES)), "pictures", names="kind")
    for data in (b"", b"<!DOCTYPE html>", b"PK\3\4" + bytes(99), bytes([0, 0, 9, 3] * 9), bytes([0, 0, 8, 2] * 9)):
        refuses(read_idx, write(data), names="path")


def test_absurd_headers_cost_no_memory(write, tmp_path):
    import tracemalloc
    absurd = bytes([0, 0, 8, 3]) + b"\xff" * 12 + bytes(100)
    zeros = bytes([0, 0, 8, 3]) + struct.pack(">3I", 60_000, 28, 28) + bytes(60_000 * 784)
    bomb = gzip.compress(zeros)
    empty = bytes([0, 0, 8, 3]) + struct.pack(">3I", 0, 28, 28)
    boast = gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2 ** 15, 2 ** 7, 2 ** 7) + bytes(100))
    liar = gzip.compress(idx(IMAGES) + bytes(10 ** 7))
    tracemalloc.start()
    for data in (absurd, gzip.compress(absurd), empty):
        refuses(read_idx, write(data), names="path")
    with pytest.raises(ValueError, match="promises"):  # 512 MB, more than deflate can pack into this file
        read_idx(write(boast))
    refuses(read_idx, write(bomb), limit=10 ** 6, names="path")  # an honest header, and 47 MB out of 46 kB
    refuses(read_idx, write(liar), names="path")  # 10 MB more than the header promises
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6 and read_idx(write(bomb)).shape == (60_000, 28, 28)


@given(st.binary(max_size=200), st.booleans())
def test_random_bytes_are_refused_or_read_whole(tmp_path_factory, data, plausible):
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(bytes([0, 0, 8, 1]) + data if plausible else data)
    try:
        assert idx(read_idx(path).numpy()) == path.read_bytes()
    except ValueError as error:
        assert str(error).startswith("path:")


def fake_mnist(folder: Path, train=IMAGES, labels=LABELS, **replace):
    """Four small idx files under MNIST's names."""
    files = {"train-images-idx3-ubyte": idx(train), "train-labels-idx1-ubyte.gz": gzip.compress(idx(labels)),
             "t10k-images-idx3-ubyte.gz": gzip.compress(idx(train)), "t10k-labels-idx1-ubyte": idx(labels)}
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


BIG = np.random.default_rng(1).integers(0, 256, (40, 28, 28))
TEN = np.arange(40) % 10


@pytest.fixture
def short_walk(monkeypatch):
    """A judge for MNIST that is fitted in a moment."""
    fit = _train_classifier
    monkeypatch.setattr(digits_module, "_train_classifier", lambda train, top, walk: fit(train, top, 3))


def test_mnist_is_found_where_it_lies(tmp_path, monkeypatch):
    fake_mnist(tmp_path / "mnist", BIG, TEN)
    for made in (mnist(str(tmp_path)), mnist(str(tmp_path / "mnist")), stacked_mnist(tmp_path)):
        channels = made.event[0]
        assert made.event == (channels, 28, 28) and made.n_modes == 10 ** channels and made.held_out.held_out is None
        x, mode = made.sample_with_modes(30, seeded())
        assert x.dtype == torch.float32 and x.min() >= -1 and x.max() <= 1 and made._images.dtype == torch.uint8
        level = ((x[0, 0].double() + 1) * 127.5).round().to(torch.uint8)
        assert any(torch.equal(level, i) for i in made._images[made._labels == int(mode[0]) // 10 ** (channels - 1)])
    monkeypatch.setenv("MODELAB_DATA", str(tmp_path))
    assert mnist().spec == {"name": "mnist", "folder": None, "split": "train"}
    assert mnist().held_out.spec["split"] == "held_out"


def test_absent_mnist_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("MODELAB_DATA", raising=False)
    half = fake_mnist(tmp_path / "half", BIG, TEN)
    (half / "t10k-labels-idx1-ubyte").unlink()
    for call in (mnist, stacked_mnist, lambda: mnist(str(tmp_path)), lambda: mnist(str(half)),
                 lambda: read_idx(tmp_path / "no")):
        with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte.gz .9.9 MB.*MODELAB_DATA"):
            call()
    refuses(mnist, 5, names="folder")
    refuses(mnist, str(fake_mnist(tmp_path / "fine", BIG, TEN)), "valid", names="split")


@pytest.mark.parametrize("images, labels", [(IMAGES, LABELS), (BIG, TEN[:39]), (BIG, TEN + 1)])
def test_files_that_do_not_fit_together_are_refused(tmp_path, images, labels):
    refuses(mnist, str(fake_mnist(tmp_path / "odd", images, labels)), names="folder")


def test_a_kept_judge_is_used_only_for_the_same_scans_and_code(tmp_path, short_walk, monkeypatch):
    folder = fake_mnist(tmp_path / "kept", BIG, TEN)
    file, first = folder / "modelab-judge.safetensors", mnist(str(folder)).judge
    assert file.is_file() and first.exam_size == 40
    made, written = file.read_bytes(), file.stat().st_mtime_ns
    _read_idx_set.cache_clear()
    again = mnist(str(folder)).judge
    assert again is not first and all(torch.equal(a, b) for a, b in zip(first.layers, again.layers))
    assert file.stat().st_mtime_ns == written
    for damage in (b"", made[:100], made.replace(b"F32", b"F64", 1), b"\xff" * 500):
        file.write_bytes(damage)
        _read_idx_set.cache_clear()
        mended = mnist(str(folder)).judge
        assert all(torch.equal(a, b) for a, b in zip(first.layers, mended.layers))
        assert file.read_bytes() != damage  # mended on disk, too
    file.write_bytes(made)
    stamp = mnist(str(folder))._archive._stamp()
    assert _read_cache(file, stamp) and not _read_cache(file, stamp | {"code": "older"})
    with monkeypatch.context() as patch:
        patch.setattr(digits_module, "_junk", lambda x, n, g: x[:n] * 0)
        assert mnist(str(folder))._archive._stamp()["code"] != stamp["code"]
    fake_mnist(folder, BIG, TEN[::-1].copy())
    other = mnist(str(folder)).judge
    assert not all(torch.equal(a, b) for a, b in zip(first.layers, other.layers))


def test_a_judge_that_cannot_be_kept_still_judges(tmp_path, short_walk, monkeypatch):
    def no_room(*_):
        raise OSError("read-only")
    monkeypatch.setattr(digits_module, "atomic_write", no_room)
    folder = fake_mnist(tmp_path / "fixed", BIG, TEN)
    assert mnist(str(folder)).judge.exam_size == 40 and not (folder / "modelab-judge.safetensors").exists()
    monkeypatch.undo()
    locked = fake_mnist(tmp_path / "locked", BIG[::-1].copy(), TEN)
    locked.chmod(0o555)
    with monkeypatch.context() as patch:
        patch.setattr(digits_module, "_train_classifier", lambda train, top, walk, fit=_train_classifier: fit(train, top, 3))
        assert mnist(str(locked)).judge.exam_size == 40
    locked.chmod(0o755)
    assert not (locked / "modelab-judge.safetensors").exists()


# Real data, where there is some

@pytest.fixture
def data() -> Path:
    """The folder that MODELAB_DATA names, if MNIST is in it."""
    if not DATA or not any((Path(DATA) / sub / "t10k-labels-idx1-ubyte.gz").is_file() for sub in ("", "mnist")):
        pytest.skip("no MNIST files in the folder that MODELAB_DATA names")
    return Path(DATA)


def test_all_seventy_thousand_digits_are_the_originals(data):
    made = mnist(str(data))
    assert len(made._images) == 60_000 and len(made.held_out._images) == 10_000
    head = bytes([0, 0, 8, 3]) + struct.pack(">3I", 60_000, 28, 28)
    assert hashlib.md5(head + made._images.numpy().tobytes()).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    assert made.weights.mul(60_000).round().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_the_judge_of_mnist(tmp_path, data):
    files = [p for sub in ("", "mnist") for p in (data / sub).glob("*-ubyte*")]
    for path in files:
        shutil.copy(path, tmp_path)
    made = stacked_mnist(str(tmp_path))
    assert made.judge.accuracy >= .985 and made.judge.exam_size == 10_000 and made.judge.confusion.sum() == 10_000
    x, mode = made.held_out.sample_with_modes(2000, seeded())
    assert abs((made.assign(x)[0] == mode).double().mean() - made.judge.accuracy ** 3) < .02
    assert (tmp_path / "modelab-judge.safetensors").is_file()


def test_the_features_of_a_judge_are_what_its_last_layer_gets():
    judge, x = digits().judge, digits().sample(50, seeded())
    found = judge.features(x)
    assert found.shape == (50, 64) and torch.equal(judge.features(x.squeeze(1)), found)
    mode, sure = torch.nn.functional.linear(found, *judge.layers[6:]).softmax(1).max(1)[::-1]
    assert torch.equal(judge.predict(x)[0], mode) and torch.equal(judge.predict(x)[1], sure)
    refuses(judge.features, torch.zeros(4, 28, 28), names="x")
