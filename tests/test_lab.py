"""modelab.lab without a browser: exactness of the timeline, threads, share strings, frames."""

import base64
import functools
import json
import math
import re
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from fuzzing import all_settings
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modelab.core.registry import get_setting, registered
from modelab.data import pictures
from modelab.data.digits import digits
from modelab.data.mixtures import line, mixture, ring
from modelab.data.pictures import _face_pictures
from modelab.lab.panel import Lab, registered_names
from modelab.lab.inspect import EvalBatch, sample_gradients
from modelab.lab.points import POINT_PRESETS, mixture_from_points
from modelab.lab.session import SURFACES, LabSession
from modelab.lab.side import measure_side, setting_choices, SHOWN_MEASURES, Side, style_parts, truncate_styles
from modelab.lab.view import critic_scores, pack_frame, quantize, unpack_frame
from modelab.methods.imle_gan import IMLEGAN
from modelab.methods.minimax import Minimax
from modelab.networks.growing import Growth
from modelab.networks.layers import mlp, Moment
from modelab.networks.players import Networks
from modelab.networks.style import style_generator
from modelab.training.run import Run

GAME = {"name": "minimax", "width": 8}


def small(**kw) -> Lab:
    return Lab(**(dict(game=GAME, modes=ring(4, std=.1), batch=16, samples=50) | kw))


def same(a: Lab, b: Lab) -> bool:
    """Whether two labs stand at the same state, bit for bit."""
    left, right = ({f"{k}/{n}": v for k, side in lab.sides.items() for n, v in side.snapshot().items()} for lab in (a, b))
    return a.at == b.at and left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_arrows_are_minus_the_gradient_of_the_loss_in_the_samples():
    side = small().step(5).sides["A"]
    where, arrow, z = sample_gradients(side, 32)
    side.players.nets["D"].double(), side.players.nets["G"].double()
    x = side.players.nets["G"](z[None].double()).detach().requires_grad_()
    loss = nn.functional.softplus(-side.players.nets["D"](x)).sum()
    gradient, = torch.autograd.grad(loss, x)
    assert torch.allclose(arrow.double(), -gradient[0], atol=1e-6) and torch.allclose(where.double(), x[0], atol=1e-6)
    assert not torch.allclose(sample_gradients(small(game={**GAME, "saturating": True}).step(5).sides["A"], 32)[1], arrow)


def test_lab_is_the_run_of_the_lesson():
    lab, run = small().step(40), Run(Minimax(networks=Networks(width=8)), ring(4, std=.1), runs=1, batch=16, device="cpu").step(40)
    ours, theirs = lab.sides["A"].players.state(), run.players.state()
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs) and torch.equal(lab.sides["A"].losses["G"], run.losses["G"])


def test_steps_are_exact_and_pause_plus_ten_is_plus_ten():
    lab = small()
    lab.play()
    time.sleep(.3)
    lab.pause()
    assert lab.driver.thread is None and lab.driver.error == "" and lab.at > 0
    at = lab.at
    time.sleep(.1)
    assert lab.at == at and lab.step(10).at == at + 10
    lab.driver.submit("step", 7)
    lab.driver.wait()
    assert lab.at == at + 17 and same(lab, small().step(at + 17))


def test_looking_changes_nothing():
    plain, watched = small(versus=GAME).step(30), small(versus=GAME)
    for _ in range(30):
        watched.step(1)
        watched.frame("B"), watched.mode_status(1), watched.trace_step()
    assert same(plain, watched) and same(plain, watched.scrub(30))
    watched.recording()
    assert same(plain, watched)


def test_looking_leaves_batch_norm_alone():
    class Normed(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    plain, watched = (small(game=Minimax(G=Normed, networks=Networks(width=8))).step(3) for _ in range(2))
    watched.frame(), watched.mode_status(0), watched.trace_step()
    assert same(plain.step(2), watched.step(2))


def test_scrubbing_back_and_on_equals_straight_through():
    straight, lab = small().step(70), small().step(70)
    for step in (0, 1, 16, 17, 69, 33):
        lab.scrub(step)
        assert same(lab, small().step(step)) and lab.last == 70
    assert same(lab.step(37), straight)


def test_snapshots_thin_out_and_still_lead_everywhere():
    lab = small()
    lab.MAX_SNAPSHOTS = 4
    lab.step(200)
    assert len(lab.snapshots) <= 5 and lab.interval > 16
    assert same(lab.scrub(131), small().step(131))


def changed() -> Lab:
    """A lab with a past: other rates, other turns, one player alone."""
    lab = small(versus={**GAME, "saturating": True}).step(10).set("lr.D", 1e-2).set("batch", 8).step(7)
    return lab.step(3, only="G").set("turns", "D D G", "A").set("saturating", True, "A").step(9)


def test_changes_are_part_of_the_record():
    lab = changed()
    assert lab.at == 29 and [e.step for e in lab.events] == [10] * 4 + [17] * 2 + [20] * 3
    assert same(lab.scrub(3).scrub(29), changed()) and not same(lab, small(versus=GAME).step(29))
    assert same(Lab.from_string(changed().to_string()), lab)
    assert lab.sides["A"].game.saturating and lab.sides["A"].words == ["D", "D", "G"]
    lab.scrub(12)
    assert not lab.sides["A"].game.saturating and lab.sides["A"].words == ["D", "G"] and lab.sides["A"].batch == 8


def test_a_change_in_the_past_ends_the_old_future():
    lab = changed().scrub(12).set("lr", 5e-3)
    assert lab.last == 12 and max(e.step for e in lab.events) == 12 and max(lab.history) <= 12
    assert same(lab.step(5), Lab.from_string(lab.to_string()))


def test_measures_belong_to_their_branch():
    lab = small().step(40)
    old = lab.frame()
    assert lab.scrub(30).set("lr", .3).step(10).frame() != old
    assert lab.frame() == Lab.from_string(lab.to_string()).frame()
    lab.trace_step()
    assert lab.frame() == Lab.from_string(lab.to_string()).frame()


def test_one_player_alone_leaves_the_others_as_they_were():
    lab = small().step(3)
    before = lab.sides["A"].snapshot()
    after = lab.step(5, only="G").sides["A"].snapshot()
    moved = {k.split("/")[1] for k in before if k.startswith("player") and not torch.equal(before[k], after[k])}
    assert moved == {"G"} and lab.at == 8 and len(lab.sides["A"].losses["D"]) == 8
    assert lab.sides["A"].words == ["D", "G"]
    assert small().step(1100, only="D").step(3).sides["A"].losses["G"].isfinite().all()  # the tables of losses grow


def test_two_sides_share_data_and_noise():
    lab = small(versus=GAME).step(12)
    a, b = (lab.sides[k].snapshot() for k in "AB")
    assert all(torch.equal(a[k], b[k]) for k in a)
    lab.set("lr", 1e-2, "B").step(2)
    assert any(not torch.equal(v, lab.sides["B"].snapshot()[k]) for k, v in lab.sides["A"].snapshot().items())


def test_what_players_are_built_from_starts_again():
    lab = small().step(5).set("lr", 2e-3).set("width", 12)
    assert lab.at == 0 and lab.sides["A"].game.networks.width == 12 and lab.sides["A"].game.optimiser.lr == 2e-3
    assert lab.step(2).set("saturating", True).at == 2 and lab.set("latent", 5).at == 0 and lab.sides["A"].latent == 5
    assert lab.step(4).reset(seed=3).at == 0 and lab.seed == 3 and lab.sides["A"].game.networks.latent == 5


def test_a_growing_network_is_shown_as_it_is_now():
    side = Side(Minimax(networks=Networks("grown", width=2, latent=3, grow=Growth(2, 2))), digits(), 0, 8)
    def coarse(x):
        return torch.equal(x[..., ::2, ::2], x[..., 1::2, 1::2])
    early = EvalBatch(side, 8)
    assert coarse(early.x) and coarse(early.G(early.z))
    late = EvalBatch(side.step(10), 8)
    assert not coarse(late.x) and not coarse(late.G(late.z)) and torch.equal(late.z, early.z)
    assert not coarse(sample_gradients(side, 8)[0])


@pytest.mark.parametrize("name, kind, before, after", [
    ("mixing", "style", .5, 0.), ("grow", "grown", Growth(200, 200), Growth(1, 1))])
def test_settings_that_no_weight_shows_start_again(name, kind, before, after):
    lab = LabSession(Minimax(networks=Networks(kind, width=2, latent=3, **{name: before})), digits(), batch=8)
    assert lab.step(1).set("saturating", True).at == 1 and lab.set(name, after).at == 0
    G = lab.sides["A"].players.nets["G"]
    assert (G.mixing if name == "mixing" else G.growth) == after


def test_a_batch_of_no_whole_groups_is_refused_before_the_step():
    lab = LabSession(Minimax(networks=Networks("grown", width=2, latent=3)), digits(), batch=8)
    with pytest.raises(ValueError, match="^batch, shards: expected whole groups of 4 examples for D, got a batch of 6"):
        lab.set("batch", 6)
    assert lab.set("batch", 2).step(1).at == 1


def test_modes_can_leave_the_data_and_come_back():
    lab = small(versus=GAME).step(10).set("without", [1, 3]).step(10)
    a, b = lab.sides.values()
    for side in (a, b):
        x = side.real(500, side.generators("data", side.steps, 0))[0]
        assert set(lab.modes.assign(x)[0].tolist()) == {0, 2} and x.shape == (500, 2)
    assert torch.equal(a.real(8, a.generators("data", 0)), b.real(8, b.generators("data", 0)))
    assert lab.set("without", []).step(5).at == 25 and same(lab, Lab.from_string(lab.to_string()))
    never = small(versus=GAME).step(25)
    assert same(lab.scrub(10), never.scrub(10)) and not same(lab.scrub(25), never.scrub(25))
    assert a.without == [] and lab.scrub(12) and a.without == [1, 3] and len(measure_side(a, 50).counts) == 4
    assert same(lab.scrub(25), Lab.from_string(lab.to_string()))


def test_what_is_left_out_is_not_shown_to_a_minority_either():
    lab = Lab(IMLEGAN(minority=[1, 2], reals=16, pool=2, networks=Networks(width=8)), ring(4, std=.1), batch=8, samples=50).set("without", [1]).step(1)
    x = lab.sides["A"].players.nets["matches"].x.flatten(0, 1)
    assert len(x) == 16 and set(lab.modes.assign(x)[0].tolist()) == {2}
    with pytest.raises(ValueError, match="minority: expected at least one whole number"):
        lab.reset(seed=1).set("without", [1, 2]).step(1)


def test_what_is_left_out_stays_out_until_the_data_are_others():
    lab = small().set("without", [0]).step(3)
    assert lab.reset(seed=1).sides["A"].without == [0] and lab.at == 0
    assert [s.without for s in lab.reset(versus=GAME).sides.values()] == [[0], [0]]
    lab.set("without", [2], "B")
    assert [s.without for s in lab.set("width", 12).sides.values()] == [[0], [2]]
    assert [s.without for s in lab.reset(modes=ring(5)).sides.values()] == [[], []]


def test_divergence_leaves_the_lab_at_a_good_step():
    lab = small(versus=GAME).step(20).set("lr", 1e30, "B")
    with pytest.raises(FloatingPointError):
        lab.step(60)
    assert lab.sides["A"].steps == lab.sides["B"].steps == lab.at and lab.at < 80
    assert lab.set("lr", 1e-3, "B").scrub(min(20, lab.last)).step(5)


def test_errors_in_the_thread_are_shown_and_do_not_end_it():
    lab = small()
    lab.driver.submit("set", "lr", -1)
    lab.driver.wait()
    assert "lr: expected" in lab.driver.error and lab.at == 0
    lab.driver.submit("step", 2)
    lab.driver.wait()
    assert lab.at == 2 and lab.driver.error == ""


def test_nobody_looking_stops_the_thread():
    lab = small()
    lab.driver.last_answer = time.monotonic() - 60
    lab.driver.playing = True
    lab.driver.submit("step", 1)
    lab.driver.wait(5)
    assert lab.driver.thread is None and not lab.driver.playing
    assert not [t for t in threading.enumerate() if t.name == "modelab lab"]


def test_slow_motion_shows_the_numbers_of_the_step_itself():
    lab = small().step(6)
    stages = lab.trace_step()
    assert [s.turn for s in stages if s.number == 1] == ["D", "G"] and all(s.frame for s in stages)
    shown = [float(re.search(r"loss of \w+ is (-?[\d.]+\d)", s.text)[1]) for s in stages if "loss of" in s.text]
    taken = list(lab.step(1).sides["A"].loss().values())
    assert np.allclose(shown, taken, atol=1e-4)


def test_mode_status_measures_distance_and_direction():
    lab = small(modes=mixture([[0., 0.], [5., 0.]], .1)).step(5)
    status = lab.mode_status(1)
    where, arrow, _ = sample_gradients(lab.sides["A"])
    i = int(torch.cdist(where, torch.tensor([[5., 0.]])).argmin())
    way = torch.tensor([5., 0.]) - where[i]
    assert status.count == 0 and math.isclose(status.distance, way.norm().item(), rel_tol=1e-5)
    assert "missing" in str(status)
    assert math.isclose(status.gradient_norm, arrow[i].norm().item(), rel_tol=1e-5)
    assert math.isclose(status.cosine, torch.cosine_similarity(way, arrow[i], 0).item(), rel_tol=1e-4)


def test_frames_are_small_and_true():
    lab = Lab(batch=32).step(3)
    data = lab.frame()
    arrays, note = unpack_frame(data)
    assert len(data) <= 12_000 and note["step"] == 3
    assert {k: v.shape for k, v in arrays.items()} == {"fake": (500, 2), "grid": (15, 15, 2), "from": (96, 2),
                                                      "gradient": (96, 2), "surface": (64, 64), "modes": (8,)}
    side = lab.sides["A"]
    point = torch.tensor([[-1.5 + 3 * (40 + .5) / 64, -1.5 + 3 * (10 + .5) / 64]])
    low, high = note["low"], note["high"]
    assert abs(low + (high - low) * arrays["surface"][10, 40] / 255 - critic_scores(side, point).item()) < (high - low) / 200
    made = side.players.nets["G"](EvalBatch(side, 500).z)[0].detach().clamp(-3, 3)
    assert np.abs((arrays["fake"] / 65535 - .5) * 6 - made.numpy()).max() < 1e-3
    captured = [i for i, v in enumerate(arrays["modes"]) if v >> 15]
    covered = side.coverage("pacgan", n=1000)[0]
    assert sorted({*range(8)} - {*covered.missing}) == captured and note["captured"] == covered.captured
    assert (arrays["modes"] & 32767).tolist() == covered.counts.tolist()


def test_points_outside_do_not_move_to_the_border():
    box = (-1., 1., -1., 1.)
    inside, outside = quantize(torch.tensor([[1., 0.], [1.9, 0.]]), box)
    assert outside[0] > inside[0] + 10_000


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.sampled_from(["u1", "u2", "i1", "f4"]), max_size=5),
       st.integers(0, 40))
def test_pack_and_unpack(kinds, n):
    arrays = {k: np.arange(n * 2).astype(t).reshape(n, 2) for k, t in kinds.items()}
    back, note = unpack_frame(pack_frame(arrays, {"step": 3, "x": None}))
    assert note == {"step": 3, "x": None} and back.keys() == arrays.keys()
    assert all(np.array_equal(back[k], v) and back[k].dtype == v.dtype for k, v in arrays.items())


@functools.cache
def cached_faces(*shows: bool) -> list:
    """The pictures of `faces()`, which are the same each time it is made anew."""
    return _face_pictures(list(shows))


@pytest.mark.parametrize("modes", registered_names("modes"))
def test_every_game_on_every_set(modes, monkeypatch):
    monkeypatch.setattr(pictures, "_face_pictures", lambda shows: cached_faces(*shows))
    played, refused = 0, {}
    for game in registered_names("game"):
        small = {"width": 8} if "width" in all_settings(registered("game")[game]) else {}
        try:
            lab = Lab({"name": game, **small}, modes, batch=8, samples=20)
        except (ValueError, FileNotFoundError) as error:  # a game may refuse a set, and a set may lack its files
            refused[game] = str(error)
            continue
        lab.step(1).set("lr", 1e-4).step(1)
        text = lab.to_string()
        again = Lab.from_string(text)
        assert same(lab, again) and again.to_string() == text, (game, modes)
        for name in SURFACES:
            lab.surface = name
            assert len(lab.frame()) <= 12_000, (game, modes)
        assert str(lab.mode_status(0)) and lab.trace_step()[0].number == 1
        played += 1
    assert all(re.match(r"\w+: ", why) for why in refused.values()), refused  # and says which argument, and why
    assert played >= 4 or modes.endswith("mnist") or len(set(refused.values())) == 1, refused  # else one reason, the set's own


def test_the_session_needs_no_view():
    code = ("import sys, modelab.lab.session\n"
            "assert not {'modelab.lab.view', 'modelab.lab.recording', 'modelab.lab.panel'} & {*sys.modules}")
    subprocess.run([sys.executable, "-c", code], check=True)
    lab = LabSession(GAME, ring(4, std=.1), batch=16, samples=50).step(20)
    assert same(lab, small().step(20)) and same(LabSession.from_string(small().step(20).to_string()), lab)


def rewritten(lab: Lab, **changes) -> str:
    """The share string of a lab with other entries, as an older version may have written it."""
    note = json.loads(zlib.decompress(base64.urlsafe_b64decode(lab.to_string()))) | changes
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(note).encode())).decode()


def test_share_strings_of_older_versions_are_read():
    for old, now in (("belief", "probability"), ("slope", "gradient"), ("score", "score")):
        assert Lab.from_string(rewritten(small(), surface=old)).surface == now
    lab = small(game={"name": "bigan", "width": 8}).step(3)
    again = Lab.from_string(rewritten(lab, events=[[1, "A", "fade", 50], [2, "A", "lr.D", .01]]))
    assert [e.name for e in again.events] == ["schedule", "lr.D"] and again.sides["A"].game.optimiser.schedule.steps == 50
    assert same(Lab.from_string(again.to_string()), again)
    for broken in ({"games": {}}, {"games": 3}, {"events": [[1, "A"]]}, {"events": [[1, "Z", "lr", 1]]}, {"step": -1},
                   {"surface": ["x"]}):
        with pytest.raises(ValueError):
            Lab.from_string(rewritten(lab, **broken))


def test_choices_are_read_from_the_annotations():
    assert setting_choices(Minimax(), "kind")[:2] == ("mlp", "conv") and setting_choices(Minimax(), "width") == ()
    assert small().step(2).set("schedule", {"shape": "cosine", "steps": 40}).at == 2
    with pytest.raises((ValueError, TypeError), match="schedule"):
        small().set("schedule", "fast")


def test_own_points_become_modes():
    modes = mixture_from_points([[0, 0], [.01, 0], [1, 1]], .05)
    assert mixture_from_points([[0.], [2.], [2.01]], .05).event == (1,)
    assert modes.n_modes == 2 and torch.allclose(modes.weights, torch.tensor([2 / 3, 1 / 3]))
    for name in POINT_PRESETS:
        lab = small().draw(name)
        assert lab.at == 0 and same(Lab.from_string(lab.step(2).to_string()), lab)


@pytest.mark.parametrize("call, what", [
    (lambda: Lab("minimx"), "did you mean 'minimax'"), (lambda: Lab(samples=0), "samples"), (lambda: Lab(batch=0), "batch"),
    (lambda: Lab(surface="hot"), "surface"), (lambda: Lab(seed=-1), "seed"), (lambda: small().step(-1), "n:"),
    (lambda: small().step(1, only="Q"), "only"), (lambda: small().scrub(1), "step"), (lambda: small().set("lrr", 1), "lr"),
    (lambda: small().set("lr.Q", 1), "name"), (lambda: small().set("lr", math.nan), "lr"),
    (lambda: small().set("turns", "D Q"), "turns"), (lambda: small().set("without", [4]), "without: .* ≤ 3, got 4"),
    (lambda: small().set("without", range(4)), "without: expected to leave some of the 4 modes"), (lambda: small().set("without", 2), "without"),
    (lambda: small().set("without", ["a"]), "without"), (lambda: small().set("without", None), "without"), (lambda: small().set("batch", 0), "batch"),
    (lambda: small().set("lr", 1e-3, "C"), "side"), (lambda: small().reset(game="no"), "game"),
    (lambda: small().reset(sed=1), "changes"), (lambda: small().draw([[0, math.inf]]), "points"),
    (lambda: small().draw("moon"), "points"), (lambda: small().mode_status(4), "mode"), (lambda: small().frame("B"), "side"),
    (lambda: Lab.from_string("nonsense"), "text"), (lambda: Lab.from_string(""), "text"), (lambda: small().run(-1), "n"),
    (lambda: small().recording(0), "frames")])
def test_bad_input_is_named(call, what):
    with pytest.raises((ValueError, TypeError), match=what):
        call()


@given(st.text(max_size=60))
@settings(max_examples=30)
def test_no_text_breaks_from_string(text):
    with pytest.raises(ValueError):
        Lab.from_string(text)


@pytest.mark.parametrize("name", ["lr", "depth", "betas"])
def test_none_is_the_default_as_it_is_when_a_game_is_made(name):
    lab = small()
    before = get_setting(lab.sides["A"].game, name)
    lab.set(name, None)
    default = getattr(type(lab.sides["A"].game)(), "networks" if name == "depth" else "optimiser")
    assert before is not None and get_setting(lab.sides["A"].game, name) == getattr(default, name)
    assert lab.step(2).at == 2 and Lab.from_string(lab.to_string()).at == 2


@pytest.mark.parametrize("name, value, says", [
    ("turns", 3, "turns: expected a text"), (3, 1, "name: expected the name of a setting, got 3"),
    (None, 1, "name: expected"), ("lr", {"G": 1., "D": 1., "Q": 1.}, "lr: unknown 'Q'")])
def test_values_of_another_type_are_refused(name, value, says):
    lab = small()
    with pytest.raises((TypeError, ValueError), match=f"^{says}"):
        lab.set(name, value)
    assert not lab.events


def test_a_subclass_is_not_shared_as_its_parent():
    class Mine(Minimax):
        pass
    with pytest.raises(ValueError, match="^game: Mine is not registered"):
        small(game=Mine()).to_string()


def test_a_refused_change_leaves_the_lab_as_it_was():
    lab = small().step(5)
    text = lab.to_string()
    for bad in (lambda: lab.set("width", 0), lambda: lab.set("lr", "much"), lambda: lab.reset(modes="none such"),
                lambda: lab.set("latent", -1)):
        with pytest.raises((ValueError, TypeError)):
            bad()
        assert lab.to_string() == text and lab.at == 5


class Joint(Minimax):
    """A game with an encoder, whose D sees pairs, and whose G and E move together."""

    turns = "D GE"

    def players(self, event, latent, runs, generator):
        made = super().players(event, latent, runs, generator)

        class Pair(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = mlp(event[0] + latent, (), 8, runs=runs, generator=generator)

            def forward(self, x, z):
                return self.net(torch.cat([x, z], -1))
        return {**made, "D": Pair(), "E": mlp(event, latent, 8, runs=runs, generator=generator)}

    def loss_D(self, t):
        real, fake = t.D(t.x, t.E(t.x).detach()), t.D(t.G(t.z).detach(), t.z)
        return nn.functional.softplus(-real).mean(-1) + nn.functional.softplus(fake).mean(-1)

    def loss_GE(self, t):
        return nn.functional.softplus(t.D(t.x, t.E(t.x))).mean(-1) + nn.functional.softplus(-t.D(t.G(t.z), t.z)).mean(-1)


class WithoutCritic(Minimax):
    """A game without a critic: each real example draws the nearest sample."""

    turns = "G"

    def players(self, event, latent, runs, generator):
        return {"G": super().players(event, latent, runs, generator)["G"]}

    def loss_G(self, t):
        with torch.no_grad():
            nearest = torch.cdist(t.x, t.G(t.z)).argmin(-1)
        return (t.G(t.z.gather(1, nearest[..., None].expand(-1, -1, t.z.shape[-1]))) - t.x).square().sum(-1).mean(-1)


@pytest.mark.parametrize("modes", [ring(4, std=.1), line(3), mixture(torch.eye(4).tolist(), .1)], ids=["ring", "line", "4-D"])
def test_games_with_an_encoder_and_without_a_critic(modes, monkeypatch):
    lab = small(game=Joint(networks=Networks(width=8, latent=modes.event[0])), versus=WithoutCritic(networks=Networks(width=8)), modes=modes).step(3)
    (joint, _), (single, _) = (unpack_frame(lab.frame(name)) for name in "AB")
    assert "codes" in joint and "codes" not in single and "surface" not in single
    assert ("surface" in joint) == (modes.event[0] < 3)
    side = lab.sides["A"]
    if modes.event == (1,):  # on the line: the joint plane, D asked at (x, z) itself
        low, high, bottom, top = unpack_frame(lab.frame("A"))[1]["low"], unpack_frame(lab.frame("A"))[1]["high"], -3, 3
        x = side.modes.bounds[0] + (side.modes.bounds[1] - side.modes.bounds[0]) * 5.5 / 64
        z = torch.tensor([bottom + (top - bottom) * 60.5 / 64])
        value = side.players.nets["D"](x[None, None], z[None, None]).item()
        assert abs(low + (high - low) * joint["surface"][60, 5] / 255 - value) < (high - low) / 200
    assert lab.step(1, only="E").at == 4 and lab.mode_status(0, "B").gradient_norm >= 0
    assert [s.turn for s in lab.trace_step() if s.number == 1] == ["D", "GE"]
    with pytest.raises(ValueError, match="^game: Joint is not registered"):  # a recording holds the share string
        lab.recording(2)
    monkeypatch.setattr(LabSession, "to_string", lambda lab: "")
    assert lab.recording(2).frames


def test_arrows_without_a_critic_point_at_the_data():
    side = small(game=WithoutCritic(networks=Networks(width=8)), modes=mixture([[3., 0.]], .1)).sides["A"]
    where, arrow, _ = sample_gradients(side)
    assert torch.cosine_similarity(arrow, torch.tensor([[3., 0.]]) - where).min() > .9


STYLED = Minimax(networks=Networks("style", width=2, depth=1, latent=4))
WIDE = Minimax(networks=Networks("style", width=8, depth=1, latent=16))


def styled(**kw) -> Lab:
    return Lab(**(dict(game=STYLED, modes=digits(), batch=8, samples=50) | kw))


def frame_note(lab: Lab, side: str = "A") -> dict:
    return unpack_frame(lab.frame(side))[1]


def test_truncated_samples_are_those_of_the_generator_itself():
    for game in (STYLED, Minimax(networks=replace(STYLED.networks, attention="G")),
                 Minimax(G=lambda: style_generator(4, (1, 8, 8), width=2, layers=1), networks=Networks(width=2, latent=4))):
        side = styled(game=game).step(20).sides["A"]
        G = side.players.nets["G"]
        assert len(style_parts(G)) == 1
        plain = side.sample(9)
        with truncate_styles(G, .3):
            shown = side.sample(9)
        z, when = side.noise(9, side.generators("evaluation", 20)), Moment(20, side.generators("look G", 20))
        if hasattr(G, "members"):
            z, when, by_hand = z[0], when.of_run(0), G.members[0]
        else:
            by_hand = G
        with torch.no_grad():
            wanted = by_hand(z, when, .3)
        assert torch.equal(shown.reshape(wanted.shape), wanted) and not torch.equal(shown, plain)
        assert torch.equal(side.sample(9), plain)  # nothing stays behind
        with pytest.raises(KeyError), truncate_styles(G, .3):
            raise KeyError
        assert torch.equal(side.sample(9), plain)


def test_truncation_by_one_changes_no_bit_and_none_changes_the_run():
    lab = styled().step(20)
    frame, history = lab.frame(), json.dumps(lab.history)
    assert lab.set("truncation", 1.).frame() == frame and "truncation" not in frame_note(lab)
    shown, note = unpack_frame(lab.set("truncation", .3).frame())
    assert note["truncation"] == .3 and note["untruncated"] == {name: unpack_frame(frame)[1][name] for name in SHOWN_MEASURES}
    assert not np.array_equal(shown["tiles"], unpack_frame(frame)[0]["tiles"]) and note["step"] == 20
    assert lab.set("truncation", 1).frame() == frame and same(lab, styled().step(20))
    assert lab.events == [] and lab.last == 20 and json.dumps(lab.history) == history
    assert same(lab.set("truncation", 0).step(20), styled().step(40))
    assert [row["A"] for row in lab.history.values()] == [row["A"] for row in styled().step(40).history.values()]
    lab.scrub(20).set("truncation", .5)
    assert lab.last == 40 and frame_note(lab)["truncation"] == .5  # the timeline stays, and every step is truncated


def test_truncation_by_zero_shows_one_picture():
    lab = styled(game=WIDE)  # at step 0 no layer adds noise
    assert len(np.unique(unpack_frame(lab.frame())[0]["tiles"], axis=0)) > 10
    arrays, note = unpack_frame(lab.set("truncation", 0).frame())
    assert len(np.unique(arrays["tiles"], axis=0)) == 1 and np.count_nonzero(arrays["modes"] & 32767) <= 1
    assert note["captured"] == 1 < note["untruncated"]["captured"] and len(arrays["tiles"]) > 10


@pytest.mark.parametrize("value", [-.01, 1.01, math.nan, math.inf, "x", True, None, [1.]])
def test_a_bad_truncation_is_refused(value):
    lab = styled().set("truncation", .5)
    with pytest.raises((ValueError, TypeError), match="^truncation: expected"):
        lab.set("truncation", value)
    assert lab.sides["A"].truncation == .5


def test_a_side_without_styles_has_no_truncation():
    for lab, side in ((small(), None), (small(), "A"), (styled(versus=GAME), "B")):
        with pytest.raises(ValueError, match="^name: unknown .truncation."):
            lab.set("truncation", .5, side)
        assert lab.sides[side or "A"].truncation == 1 and "truncation" not in lab.sides[side or "A"].setting_names()
    lab = styled(versus=GAME).set("truncation", .5)
    assert [side.truncation for side in lab.sides.values()] == [.5, 1] and "untruncated" not in frame_note(lab, "B")
    with pytest.raises(ValueError, match="^name: "):
        lab.set("truncation.G", .5)


def test_truncation_is_shared_and_stays_while_there_are_styles():
    lab = styled(versus=STYLED).step(4).set("truncation", .25, "B")
    again = Lab.from_string(lab.to_string())
    assert [side.truncation for side in again.sides.values()] == [1, .25] and same(again, lab)
    assert again.to_string() == lab.to_string() and again.frame("B") == lab.frame("B")
    other = small()
    assert other.load(lab.to_string()).sides["B"].truncation == .25
    film = lab.recording(2)
    shown = [unpack_frame(frame["B"])[1] for frame in film.frames]
    assert film.text == lab.to_string() and [note["truncation"] for note in shown] == [.25, .25]
    assert film.measures("tv", "B") == [note["untruncated"]["tv"] for note in shown]  # the table is without truncation
    assert [frame_note(lab.reset(seed=3), k).get("truncation") for k in "AB"] == [None, .25]
    assert lab.set("width", 4).at == 0 and lab.sides["B"].truncation == .25  # built anew, shown as before
    assert lab.reset(versus=GAME).sides["B"].truncation == 1 and "truncation" not in read_note(lab.to_string())
    assert "truncation" not in read_note(styled().to_string())  # as in older versions


def read_note(text: str) -> dict:
    return json.loads(zlib.decompress(base64.urlsafe_b64decode(text)))


@pytest.mark.parametrize("shown", [{"A": 2}, {"A": "x"}, {"A": True}, {"C": .5}, {"B": .5}, [.5], .5, "x", None])
def test_a_share_string_with_a_bad_truncation_is_refused(shown):
    note = read_note(styled(versus=GAME).to_string()) | {"truncation": shown}
    with pytest.raises(ValueError):
        Lab.from_string(base64.urlsafe_b64encode(zlib.compress(json.dumps(note).encode())).decode())


def test_measures_say_what_truncation_hides():
    side = styled(game=WIDE).step(2).sides["A"]
    whole, cut = measure_side(side, 200), measure_side(side, 200, 0.)
    assert measure_side(side, 200) is whole and measure_side(side, 200, 0.) is cut  # measured once
    assert whole.captured > cut.captured == 1 and side.step(1) and measure_side(side, 200) is not whole
    lab = styled().step(2).set("truncation", .2)
    assert re.match(r"Mode 3 is \w+ without truncation: ", str(lab.mode_status(3)))
    assert lab.mode_status(3).count == measure_side(lab.sides["A"], 50).counts[3]
    assert "without truncation" not in str(lab.set("truncation", 1).mode_status(3))
    row = lab.set("truncation", .2).step(14).history[16]["A"]
    assert row == styled().step(16).history[16]["A"]


ASKING = IMLEGAN(networks=Networks("mlp", width=4, latent=4), reals=4, pool=2, refresh=4)


@pytest.mark.parametrize("asked", ["eyeglasses", "hat", "eyeglasses+beard", "0 3", "0, 3", "bald 0", 3, [0, 3], "", None], ids=str)
def test_a_minority_is_asked_for_by_name_or_number(asked):
    lab, people = Lab(ASKING, pictures.faces(), batch=4, samples=20), pictures.faces()
    game = lab.set("minority", asked).sides["A"].game
    traits = {name: {*people.kinds[:, i].nonzero().flatten().tolist()} for i, name in enumerate(people.traits)}
    wanted = {"eyeglasses": traits["eyeglasses"], "hat": traits["hat"], "eyeglasses+beard": traits["eyeglasses"] & traits["beard"],
              "0 3": {0, 3}, "0, 3": {0, 3}, "bald 0": traits["bald"] | {0}, "3": {3}, "[0, 3]": {0, 3}}.get(str(asked))
    assert game.minority is None if wanted is None else {*game.minority} == wanted and len(wanted) == len(game.minority)
    lab.step(2)
    assert same(Lab.from_string(lab.to_string()), lab) and [e.value for e in lab.events] == [asked]


@pytest.mark.parametrize("asked", ["glases", "eyeglasses+glases", "bald+hat", "99", [99], [], [.5], .5, True, ["hat"], "-1"], ids=str)
def test_an_unknown_minority_is_refused_before_a_step(asked):
    lab = Lab(ASKING, pictures.faces(), batch=4, samples=20)
    with pytest.raises((ValueError, TypeError), match="^minority: (expected|unknown)"):
        lab.set("minority", asked)
    assert lab.events == [] and lab.sides["A"].game.minority is None
    with pytest.raises(ValueError, match="^minority: expected numbers of modes, got 'hat'"):
        Lab(ASKING, digits(), batch=4, samples=20).set("minority", "hat")
