"""The family of random sets, the unit in which a game sees data, and the benchmark that chooses settings on the family."""

import copy
import json
import math
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch
from helpers import seeded
from modelab.__main__ import main
from modelab.core.registry import make
from modelab.course.family_map import beside, plot_family, verdict
from modelab.data.digits import digits
from modelab.data.mixtures import grid, line, mixture, rare_modes, ring
from modelab.data.random_mixtures import random_modes, SHAPES
from modelab.data.scaling import choose_scale, DataScale, measure_scale
from modelab.evaluation.protocols import within_share
from modelab.lab.inspect import sample_gradients
from modelab.lab.side import Side
from modelab.lab.view import critic_scores, render_frame
from modelab.methods.minimax import Minimax
from modelab.methods.pairwise import PairwiseBiGAN
from modelab.methods.wasserstein import Wasserstein
from modelab.networks.players import Networks
from modelab.training.distributed import Job
from modelab.training.optimiser import Schedule
from modelab.training.recommended import recommended, RECOMMENDED
from modelab.training.run import Run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import family  # noqa: E402

SETS = [random_modes(seed) for seed in range(200)]


# The family

def test_three_standard_deviations_of_two_modes_never_touch():
    for made in SETS:
        centers = made._law[0]
        widest = torch.linalg.eigvalsh(made.covariances.double()).amax(1).sqrt()
        gaps = torch.cdist(centers, centers, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(math.inf)
        assert (gaps > 6 * torch.maximum(widest[:, None], widest)).all(), made
        assert (gaps.amin(1) > 8 * widest).all(), made


def test_bounds_hold_and_each_kind_occurs():
    assert {made.kind for made in SETS} == set(SHAPES)
    assert all(3 <= made.n_modes <= 40 and 1 <= made.event[0] <= 8 for made in SETS)
    assert {made.event[0] for made in SETS} == set(range(1, 9)) and max(made.n_modes for made in SETS) > 35
    assert all(.01 <= made.size <= 100 for made in SETS) and min(m.size for m in SETS) < .02 and max(m.size for m in SETS) > 50
    ratios = [float(made.weights.max() / made.weights.min()) for made in SETS]
    assert max(ratios) <= 50.01 and max(ratios) > 20 and min(ratios) == 1
    assert all(made.n_modes <= SHAPES[made.kind][1] for made in SETS)


def test_size_is_the_distance_of_the_farthest_centre_from_their_mean():
    made = SETS[3]
    centers = made._law[0]
    assert made.size == pytest.approx(max(float((c - centers.mean(0)).norm()) for c in centers), rel=1e-12)


def test_half_of_the_sets_have_unequal_and_turned_spreads():
    turned = [made for made in SETS if made.event[0] > 1 and (made.covariances - torch.diag_embed(made.covariances.diagonal(dim1=1, dim2=2)))
              .abs().max() > 1e-6 * made.covariances.max()]
    shares = []
    for made in SETS:
        sides = torch.linalg.eigvalsh(made.covariances.double()).sqrt()
        assert 1 - 1e-4 <= float(sides.amax(1).div(sides.amin(1)).max()) < 3.01
        gap = torch.cdist(made._law[0], made._law[0]).fill_diagonal_(math.inf).amin(1)
        shares.append(float((made._law[1].norm(dim=-1).amax(1) / gap).max()))
    assert 60 < len(turned) < 140 and max(shares) <= .1201


def test_real_examples_are_assigned_to_their_modes():
    for made in SETS[:12]:
        x, mode = made.sample_with_modes(2000, seeded())
        guess, good = made.assign(x)
        assert (guess == mode)[good].all()
        assert good.float().mean().item() == pytest.approx(within_share(3., made.event[0]), abs=.05)
        assert made.n_modes == len(made.weights) == int(mode.max()) + 1


def test_a_seed_is_a_set():
    again = [random_modes(seed) for seed in range(20)]
    for a, b in zip(SETS, again):
        assert torch.equal(a.centers, b.centers) and torch.equal(a.covariances, b.covariances) and torch.equal(a.weights, b.weights)
    assert len({made.size for made in SETS}) == len(SETS)
    before = torch.get_rng_state()
    random_modes(5)
    assert torch.equal(before, torch.get_rng_state())


def test_what_a_set_says_of_itself():
    made = random_modes(3)
    assert repr(made).startswith(f"random_modes(seed=3): {made.kind} of size {made.size:.3g}, {made.n_modes} modes in")
    same = make("modes", json.loads(json.dumps(made.spec)))
    assert same.kind == made.kind and torch.equal(same.sample(9, seeded()), made.sample(9, seeded()))
    assert made.to("meta").kind == made.kind
    for wrong in (-1, 1.5, "3", None):
        with pytest.raises((ValueError, TypeError), match="seed: expected"):
            random_modes(wrong)


# The unit of the data

def test_scale_is_the_mean_and_the_root_mean_square_about_it():
    law = mixture([[100., 0.], [104., 0.]], .01)  # coordinates ±2 and 0: root mean square √2
    found = measure_scale(law)
    assert found.size == pytest.approx(2 ** .5, abs=.01) and torch.allclose(found.mean, torch.tensor([102., 0.]), atol=.1)
    x = law.sample(20_000, seeded())
    seen = found.standardise(x)
    assert seen.mean(0).abs().max() < .05 and float(seen.square().mean()) == pytest.approx(1, abs=.02)
    assert torch.allclose(found.restore(seen), x, atol=1e-4)


def test_only_points_far_from_unit_scale_are_standardised_by_default():
    usual = [ring(), ring(8, 4, .04), grid(), line(), line(3), line(far=3), rare_modes(), rare_modes(.99)]
    assert all(choose_scale(made).mean is None for made in [*usual, digits()])
    far = [ring(radius=100, std=1), ring(radius=.02, std=1e-4), mixture([[30., 30.], [31., 31.]], .01)]
    assert all(choose_scale(made).mean is not None for made in far)
    assert all(choose_scale(made, False).mean is None for made in far) and choose_scale(ring(), True).mean is not None
    unknown = type("Rows", (), {"event": (2,), "sample": lambda self, n, generator: 1e4 * torch.randn(n, 2, generator=generator)})()
    assert choose_scale(unknown).mean is None and choose_scale(unknown, True).size == pytest.approx(1e4, rel=.1)


def test_what_cannot_be_standardised_is_refused():
    with pytest.raises(ValueError, match="standardise: expected False for pictures"):
        choose_scale(digits(), True)
    same = type("Same", (), {"event": (2,), "n_modes": 1, "sample": lambda self, n, generator: torch.ones(n, 2)})()
    with pytest.raises(ValueError, match="standardise: expected finite data that differ"):
        choose_scale(same, True)
    assert choose_scale(same).mean is None
    for wrong in ("always", 1, None, 0.):
        with pytest.raises((ValueError, TypeError), match='standardise: expected "auto", True or False'):
            Run("minimax", "ring", runs=1, device="cpu", standardise=wrong)


def small(game, modes, **kw):
    return Run(game(networks=Networks(width=8)), modes, **{"runs": 2, "batch": 16, "device": "cpu", "standardise": True, **kw})


@pytest.mark.parametrize("game", [Minimax, Wasserstein, PairwiseBiGAN])
def test_data_of_another_unit_give_the_same_bits(game):
    base = random_modes(3)
    runs = [small(game, mixture(f * base.centers, f * f * base.covariances, base.weights)).step(5) for f in (1., 128., 1 / 1024)]
    for run, factor in zip(runs[1:], (128., 1 / 1024)):  # powers of two: floats are rounded alike
        assert all(torch.equal(a, b) for a, b in zip(runs[0].players.state().values(), run.players.state().values()))
        assert torch.equal(run.sample(50), factor * runs[0].sample(50))
        assert [c.captured for c in run.coverage(n=200)] == [c.captured for c in runs[0].coverage(n=200)]
    hundred = small(game, mixture(100 * base.centers, 1e4 * base.covariances, base.weights)).step(5)
    assert torch.allclose(hundred.sample(50), 100 * runs[0].sample(50), rtol=1e-3, atol=.1)  # up to rounding
    raw = small(game, base, standardise=False).step(5)
    assert not torch.equal(raw.sample(50), runs[0].sample(50))


def test_a_game_sees_the_unit_and_a_user_the_data():
    made = ring(radius=1000, std=10)
    run = small(Minimax, made, standardise="auto")
    x = run.real(500, run.generators("look"))
    assert float(x.square().mean()) == pytest.approx(1, abs=.05)
    y, labels = run.real_with_labels(500, run.generators("look"))
    assert torch.equal(x, y) and labels.shape == (2, 500)
    only = run.scale.restore(run.real(100, run.generators("look"), only=[0]))
    assert (only - made.centers[0]).norm(dim=-1).max() < 100
    z = run.noise(50, run.generators("evaluation", 0))
    assert torch.equal(run.sample(50), run.scale.restore(run.players.nets["G"](z).detach()))


def test_a_run_keeps_its_unit(tmp_path):
    made = ring(radius=1000, std=10)
    straight = small(Minimax, made).step(6)
    path = small(Minimax, made).step(3).save(tmp_path / "a.safetensors")
    resumed = Run.load(path, device="cpu").step(3)
    assert torch.equal(resumed.sample(20), straight.sample(20)) and resumed.scale.size == straight.scale.size
    assert resumed.standardise is True
    twin = copy.deepcopy(resumed)
    assert torch.equal(twin.sample(20), straight.sample(20))
    raw = small(Minimax, made, standardise=False).step(3).save(tmp_path / "b.safetensors")
    assert Run.load(raw, device="cpu").scale == DataScale()


def test_a_seed_has_the_same_unit_alone_and_in_a_job():
    two, one = (small(Minimax, random_modes(1), runs=n, seed=s) for n, s in ((2, 0), (1, 1)))
    assert two.scale.size == one.scale.size and torch.equal(two.scale.mean, one.scale.mean)
    job = Job("minimax", {"name": "random_modes", "seed": 1}, runs=1, standardise=True)
    assert job.start(range(1), device="cpu").scale.size == one.scale.size


def test_the_lab_shows_the_units_of_the_data():
    small_side, large_side = (Side(PairwiseBiGAN(networks=Networks(width=8)), ring(radius=f, std=f / 128), 0, 16).step(4)
                              for f in (1 / 1024, 1024))
    (x, arrow, z), (big_x, big_arrow, big_z) = (sample_gradients(side) for side in (small_side, large_side))
    assert torch.equal(big_x, 2 ** 20 * x) and torch.equal(2 ** 20 * big_arrow, arrow) and torch.equal(z, big_z)
    at = 1e-3 * torch.randn(9, 2, generator=seeded())
    assert torch.equal(critic_scores(small_side, at), critic_scores(large_side, 2 ** 20 * at))
    made = small_side.scale.restore(small_side.player("G")(z[None])[0])
    assert torch.equal(x, made.detach()) and made.abs().max() < .1
    assert len(render_frame(large_side)) > 1000


# The benchmark

def test_every_method_has_as_many_settings():
    assert {len(settings) for settings in family.SETTINGS.values()} == {8} and family.SETTINGS.keys() == family.KINDS.keys()
    for method, settings in family.SETTINGS.items():
        assert len({repr(s) for s in settings.values()}) == 8
        for setting in settings.values():
            assert type(setting.game(family.KINDS[method], ring(), 10)) is family.KINDS[method]
    assert sorted({*family.ROUNDS[0], *family.ROUNDS[1], *family.ROUNDS[2]}) == list(range(50)) and family.REPORTED == range(1000, 1100)


def test_halving_keeps_the_best_and_asks_for_no_more_than_it_needs():
    names, asked = list(family.SETTINGS["BiGAN"]), []

    def row(method, name, seed):
        asked.append((name, seed))
        return {"tv": [names.index(name) / 10 + (seed == 3)]}
    assert family.best("BiGAN", row) == names[0]
    rounds = [8, 4, 2]
    assert len(set(asked)) == sum(n * len(sets) for n, sets in zip(rounds, family.ROUNDS))


def test_verdict_is_paired():
    noise = [.1, .4, .2, .3]
    assert verdict([v - .02 + .001 * i for i, v in enumerate(noise)], noise) == "better"
    assert verdict(noise, [v - .02 + .001 * i for i, v in enumerate(noise)]) == "worse"
    assert verdict(noise, noise[::-1]) == "equal"


def test_a_record_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    few = dict(list(family.SETTINGS["Minimax"].items())[:8])
    monkeypatch.setitem(family.SETTINGS, "Minimax", few)
    out = tmp_path / "family.json"
    book = family.Record(out, steps=2, runs=2)
    family.tune(book, ["Minimax"], 1)
    rows = json.loads(out.read_text())["tune"]
    assert len(rows) == 8 + 4 + 2 and all(len(row["tv"]) == 2 for row in rows)
    monkeypatch.setattr(family, "play", lambda *a: pytest.fail("played again"))
    again = family.Record(out, steps=2, runs=2)
    family.tune(again, ["Minimax"], 1)
    with pytest.raises(ValueError, match="steps"):
        family.Record(out, steps=3, runs=2)
    with pytest.raises(KeyError):
        family.report(again, ["BiGAN"], 1)


def test_groups_count_each_set_once():
    rows = [{"method": m, "set": s, "kind": k, "modes": 5, "dimensions": 2, "weights": 1., "tv": [v, v + .01], "captured": [1., c]}
            for m, v, c in (("BiGAN", .5, .5), ("R1", .3, 1.)) for s, k in ((1000, "ring"), (1001, "line"))]
    found = beside(rows, "R1", "BiGAN")
    assert found["all sets"]["sets"] == 2 and found["ring"]["sets"] == 1 and found["all sets"]["tv"] == pytest.approx(.305)
    assert (found["all sets"]["captures more"], found["all sets"]["all modes"], found["all sets"]["all modes of the other"]) == (2, 2, 0)
    assert found["all sets"]["better"] + found["all sets"]["equal"] + found["all sets"]["worse"] == 2


def test_the_map_names_what_it_shows_and_refuses_nothing_to_show(tmp_path, monkeypatch):
    rows = [{"method": m, "set": s, "kind": "ring", "modes": 5, "dimensions": 2, "weights": 1., "tv": [v, v + .01 * s % 3], "captured": [1., 1.]}
            for m, v in (("BiGAN", .5), ("PairwiseBiGAN", .3)) for s in (1000, 1001)]
    found = plot_family(rows)
    assert "on 2 random sets" in found.alt and found.png.startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="common set"):
        plot_family(rows[:2])
    with pytest.raises(ValueError, match="zip"):
        verdict([.1, .2], [.1, .2, .3])
    out = tmp_path / "family.json"
    out.write_text(json.dumps({"report": [{"setting": f"{r['method']}, {r['set']}", "steps": 2000, **r} for r in rows]}))
    monkeypatch.setattr(sys, "argv", ["family.py", "picture", "--out", str(out)])
    family.main()
    assert (tmp_path / "family.png").read_bytes() == plot_family(rows, names=("the penalty", "BiGAN")).png


# Settings to begin with

KINDS_BY_NAME = {kind.__name__.lower(): method for method, kind in family.KINDS.items()}


@pytest.mark.parametrize("name", sorted(RECOMMENDED))
def test_the_recommended_setting_is_the_best_of_the_recorded_tuning(name):
    rows = family.Record(family.FILE, 2000, None).rows["tune"]
    method, modes = KINDS_BY_NAME[name], random_modes(1002)
    best = family.SETTINGS[method][family.best(method, lambda *what: rows[family.title(*what)])]
    shared = dict(modes=modes, runs=2, seed=1, batch=32, device="cpu")
    tuned = Run(best.game(family.KINDS[method], modes, 4), average=best.average, standardise=True, **shared).step(4)
    ours = Run(**shared, **recommended(name, steps=4)).step(4)
    assert torch.equal(tuned.sample(20), ours.sample(20)) and tuned.average == ours.average


def test_bad_arguments_of_recommended():
    assert get_args(get_type_hints(recommended)["game"]) == tuple(sorted(RECOMMENDED))
    with pytest.raises(ValueError, match="game: .*minimal"):
        recommended("minimal")
    for steps in (0, 2.5, "many"):
        with pytest.raises((TypeError, ValueError), match="^steps"):
            recommended("bigan", steps=steps)
    assert recommended("bigan", 100)["game"].optimiser.schedule == Schedule("linear", 100)


def test_the_command_trains_with_recommended_settings(tmp_path, capsys):
    small = ["--runs", "2", "--steps", "3", "--batch", "16", "--device", "cpu"]
    assert main(["train", "bigan", "ring", "--recommended", *small, "--set", "width=8", "--out", str(tmp_path / "run")]) == 0
    job = Job.read(tmp_path / "run")
    assert job.average == .99 and job.standardise is True and job.game["width"] == 8
    assert job.game["lr"] == {"D": 4e-3, "E": 4e-3, "G": 4e-3} and job.game["schedule"]["steps"] == 3
    for arguments, says in (["bigan", "digits"], "--recommended: expected a set of points"), (["vae", "ring"], "game: "):
        capsys.readouterr()
        assert main(["train", *arguments, "--recommended", *small]) == 2 and says in capsys.readouterr().err
