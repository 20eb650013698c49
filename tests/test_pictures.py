"""modelab.data.pictures: exact judges of rendered sets, known rates, readers of real frames and of CelebA's layout."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import seeded
from PIL import Image
from modelab.core.registry import make
from modelab.data.frames import foreground_share, median_background, read_celeba, read_frames
from modelab.data.pictures import faces, scenes, TRAITS

DATA = os.environ.get("MODELAB_DATA")


@pytest.mark.parametrize("build", [scenes, faces])
def test_judge_is_exact_and_rates_are_known(build):
    s = build()
    x, truth = s.sample_with_modes(20_000, seeded())
    mode, good = s.assign(x)
    assert torch.equal(mode, truth) and good.all() and s.gap() > 4
    assert torch.equal(s.attributes(x), s.kinds[truth])
    share = torch.bincount(truth, minlength=s.n_modes) / len(truth)
    assert ((share - s.weights).abs() < 5 * (s.weights / len(truth)).sqrt()).all()
    assert s.weights.sum().item() == pytest.approx(1) and x.abs().max() <= 1 and x.shape[1:] == s.event


def test_judge_equals_distances_in_float64():
    s = faces()
    x = torch.rand(200, *s.event, generator=seeded()) * 2 - 1
    d = torch.cdist(x.double().flatten(1), s._clean.double().flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
    best = d.min(1)
    assert torch.equal(s.assign(x)[0], s._mode[best.indices])
    assert torch.allclose(s._nearest(x)[1].double(), best.values / 32, atol=1e-6)
    assert not s.assign(x)[1].any()


def test_rates():
    s = faces()
    assert dict(zip(TRAITS, s.rates.tolist())) == pytest.approx(
        {"eyeglasses": .06, "bald": .025, "hat": .05, "beard": .1}, abs=1e-6)
    assert (s.weights @ (s.kinds[:, 0] & s.kinds[:, 3]).float()).item() == pytest.approx(.01, abs=1e-6)
    assert scenes().weights[0].item() == pytest.approx(.9) and scenes(.5).weights[0].item() == pytest.approx(.5)


def test_include():
    s = faces(include=("eyeglasses", "beard"))
    assert s.n_modes == 3 and s.rates[0] == 1 and s.rates[3] == 1 and s.rates[1].item() == pytest.approx(.025, abs=1e-6)
    plain = torch.cat([faces()._clean[faces()._mode == 0][:5]])
    assert not s.assign(plain)[1].any(), "a face that is not in the subset is never good"


@pytest.mark.parametrize("call", [
    lambda: scenes(empty=1), lambda: scenes(empty=0), lambda: scenes(noise=0), lambda: faces(include="wig"),
    lambda: faces(include=("bald", "hat")), lambda: scenes().assign(torch.zeros(3, 16, 16)),
    lambda: scenes().assign(torch.zeros(1, 1, 16, 16), within=0), lambda: read_frames(np.zeros((3, 4, 4))),
    lambda: read_frames(np.zeros((3, 4), np.uint8))])
def test_bad_input(call):
    with pytest.raises((ValueError, TypeError), match="^(empty|noise|include|x|within|source): "):
        call()


def test_contract():
    for s in (scenes(.8), faces(include="bald")):
        again = make("modes", s.spec)
        assert torch.equal(again.sample(50, seeded(3)), s.sample(50, seeded(3)))
        assert s.held_out is None and s.bounds[0].shape == s.event and s.picture(s.sample(2, seeded())).ndim == 3


def test_frames(tmp_path):
    film = np.full((9, 6, 8, 3), 100, np.uint8)
    film[4, :3, :4] = 250
    for i, frame in enumerate(film):
        Image.fromarray(frame).save(tmp_path / f"{i:03d}.png")
    np.savez(tmp_path / "film.npz", frames=film)
    x = read_frames(tmp_path)
    assert torch.equal(x, read_frames(film)) and torch.equal(x, read_frames(tmp_path / "film.npz"))
    assert x.shape == (9, 3, 6, 8) and foreground_share(x).tolist() == [0, 0, 0, 0, .25, 0, 0, 0, 0]
    assert read_frames(tmp_path, size=(3, 4)).shape == (9, 3, 3, 4) and read_frames(film[..., 0]).shape == (9, 1, 6, 8)
    small = read_frames(film, (3, 4))
    assert torch.allclose(small, read_frames(tmp_path, (3, 4)), atol=1 / 127) and (small[4] - small[0]).abs().amax(0).gt(.1).sum() == 4
    Image.fromarray(film[0, :3]).save(tmp_path / "999.png")
    with pytest.raises(ValueError, match="one size"):
        read_frames(tmp_path)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="bad.png"):
        read_frames(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_frames(tmp_path / "none")


def test_a_running_median_follows_the_light():
    n, window = 240, 24
    light = torch.linspace(-.4, .4, n) + .05 * torch.sin(torch.arange(n) / 40)  # much between the ends, little in a window
    film = light[:, None, None, None] + .1 * torch.rand(1, 1, 6, 8, generator=seeded())
    clear, visits = film.clone(), torch.zeros(n, dtype=torch.bool)
    for first in (0, 50, 100, 150, 237):
        visits[first:first + 3] = True
    film[visits, :, 2:4, 3:6] += .5
    assert torch.equal(foreground_share(film, .25, window) > 0, visits)
    assert foreground_share(film, .25, window)[visits].tolist() == pytest.approx([6 / 48] * int(visits.sum()))
    assert (foreground_share(film, .25) > 0).float().mean() > .3, "one median for the whole film takes the light for traffic"
    assert (median_background(film, window) - clear).abs().max() < .08 and median_background(film, window).shape == film.shape
    assert torch.equal(median_background(film, n), median_background(film)), "a window as long as the film is the whole film"


def test_who_stays_for_half_a_window_becomes_background():
    film = torch.zeros(60, 1, 4, 4)
    film[20:30] = 1
    assert (foreground_share(film, .2, 30)[20:30] == 1).all() and foreground_share(film, .2, 11)[25] == 0


def test_background_is_the_median_of_its_window():
    film = torch.rand(50, 2, 3, 3, generator=seeded())
    found = median_background(film, 12)
    for t in range(50):
        start = max(0, min(t // 3 * 3 + 1 - 6, 50 - 12))
        assert torch.equal(found[t], film[start:start + 12].median(0).values)


@pytest.mark.parametrize("window", [0, 2, 10, 3.5, True])
def test_a_window_that_does_not_fit_is_refused(window):
    with pytest.raises((ValueError, TypeError), match="^window: expected a whole number ≥ 3 and ≤ 9"):
        foreground_share(torch.zeros(9, 1, 2, 2), .2, window)


def test_real_frames_are_mostly_empty_once_the_light_is_followed():
    path = Path(DATA or ".", "static_camera", "static_camera_48x64.npz")
    if not DATA or not path.is_file():
        pytest.skip("no static_camera frames in the folder that MODELAB_DATA names")
    x = read_frames(path)
    assert x.shape == (1823, 3, 48, 64) and -1 <= x.min() and x.max() <= 1
    assert x.diff(dim=0).abs().mean() < .03, "one camera, in order"
    assert foreground_share(x).median() > .3, "over the whole film the light drifts, and its median frame is no background"
    share = foreground_share(x, .2, 101)
    assert share.median() < .005 and .1 < (share > .01).float().mean() < .4, "few pedestrians, in a minority of frames"
    assert read_frames(path, (24, 32)).shape == (1823, 3, 24, 32)


@pytest.fixture
def celeba(tmp_path):
    """A tiny folder in CelebA's layout."""
    (tmp_path / "img_align_celeba").mkdir()
    for i in (1, 2, 3):
        Image.new("RGB", (178, 218), (50 * i, 0, 255)).save(tmp_path / f"img_align_celeba/{i:06d}.jpg")
    (tmp_path / "list_attr_celeba.txt").write_text(
        "3\nBald Eyeglasses \n000001.jpg -1  1\n000002.jpg  1 -1\n000003.jpg -1 -1\n")
    return tmp_path


def test_celeba(celeba):
    x, shows, names = read_celeba(celeba, size=16)
    assert x.shape == (3, 3, 16, 16) and names == ["Bald", "Eyeglasses"]
    assert shows.tolist() == [[False, True], [True, False], [False, False]]
    assert x[1, 0].mean().item() == pytest.approx(100 / 127.5 - 1, abs=.05)
    assert len(read_celeba(celeba, limit=2)[0]) == 2
    table = celeba / "list_attr_celeba.txt"
    for text in ("", "4\nBald\n000001.jpg 1\n", "1\nBald\n000001.jpg 0\n", "1\nBald\n../000001.jpg 1\n"):
        table.write_text(text)
        with pytest.raises(ValueError, match="folder: "):
            read_celeba(celeba)
    table.unlink()
    with pytest.raises(FileNotFoundError, match="celeba.py"):
        read_celeba(celeba)
