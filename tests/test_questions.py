"""The questions of chapter 4.7: gradients of the unrolled game, what each measure sees, training seed by seed, and what was recorded."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from helpers import seeded
from modelab.data.digits import digits
from modelab.training.game import turn_words

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import questions as q  # noqa: E402

RECORD = json.loads(q.FILE.read_text(encoding="utf-8"))


def doubled(net):
    return [w.detach().double().requires_grad_() for w in net]


def small_toy(seeds=(0, 1), width=5):
    """G, D with a used state of Adam, a batch, all float64."""
    draws = q.Draws(seeds)
    g, d = (doubled(q.orthogonal(sizes, draws)) for sizes in ((3, width, 2), (2, width, 1)))
    state = q.Adam(.05, [.1 * torch.ones_like(w) for w in d], [.02 * torch.ones_like(w) for w in d], 3)
    return g, d, state, draws.normal(6, 2).double(), draws.normal(6, 3).double()


def ascended(g, d, state, x, z, unroll):
    """What G descends, written anew: minus the loss after steps of D, each with a gradient of its own."""
    fake = q.apply(g, z, torch.tanh)
    for _ in range(unroll):
        d = [w.detach().requires_grad_() for w in d]
        d, state = state(d, torch.autograd.grad(q.toy_loss(d, x, fake.detach()), d))
        d, state = [w.detach() for w in d], q.Adam(state.rate, [m.detach() for m in state.mean], [v.detach() for v in state.square], state.step)
    return -q.toy_loss(d, x, fake).detach()


@pytest.mark.parametrize("unroll", [0, 1, 3])
def test_unrolled_gradient_is_that_of_finite_differences(unroll):
    g, d, state, x, z = small_toy()
    found, _ = q.unrolled_gradients(g, d, state, x, z, unroll)
    for layer, at in ((0, (0, 1, 2)), (2, (1, 3, 0)), (3, (0, 0, 1)), (1, (1, 0, 4))):
        sides = []
        for step in (1e-5, -1e-5):
            moved = [w.detach().clone() for w in g]
            moved[layer][at] += step
            sides.append(float(ascended(moved, d, state, x, z, unroll)))
        assert math.isclose(float(found[layer][at]), (sides[0] - sides[1]) / 2e-5, rel_tol=1e-5, abs_tol=1e-8)


def test_gradient_without_the_steps_of_d_is_another():
    g, d, state, x, z = small_toy()
    later, after = [w.detach() for w in d], state
    for _ in range(3):
        later = [w.requires_grad_() for w in later]
        later, after = after(later, torch.autograd.grad(q.toy_loss(later, x, q.apply(g, z, torch.tanh).detach()), later))
        later = [w.detach() for w in later]
    stopped = torch.autograd.grad(-q.toy_loss(later, x, q.apply(g, z, torch.tanh)), g)
    through, _ = q.unrolled_gradients(g, d, state, x, z, 3)
    assert max(float((a - b).abs().max()) for a, b in zip(stopped, through)) > 1e-4


def test_adam_is_that_of_torch():
    w = torch.randn(3, 2, 4, generator=seeded(0), dtype=torch.float64).requires_grad_()
    ours, state, theirs = [w.detach().clone()], q.Adam.of([w.detach()], .01), torch.optim.Adam([w], .01, (.5, .999), 1e-12)
    for step in range(4):
        gradient = torch.randn(3, 2, 4, generator=seeded(step + 1), dtype=torch.float64)
        ours, state = state(ours, [gradient])
        w.grad = gradient
        theirs.step()
    assert torch.allclose(ours[0], w.detach(), atol=1e-6)


def test_both_players_of_the_toy_move_from_the_same_state():
    start = q.Draws([0], 8)
    nets = [q.orthogonal((256, 4, 2), start), q.orthogonal((2, 4, 1), start)]
    before = [[w.detach().clone() for w in net] for net in nets]
    data = q.Draws([0], 9)
    places = q.circle("eight places")
    x = places[data.whole(8, 16)] + .01 * data.normal(16, 2)
    for_g, for_d = q.unrolled_gradients(*nets, q.Adam.of(nets[1], 1e-4), x, data.normal(16, 256), 0)
    next(q.train_toy(places, 0, [0], 1, 1, nets, batch=16))
    for net, old, gradient, rate in zip(nets, before, (for_g, for_d), (1e-3, 1e-4)):
        for now, was, slope in zip(net, old, gradient):
            assert torch.allclose(now, was - rate * slope.sign() * (slope.abs() / (slope.abs() + 1e-7)), atol=rate / 20)


def test_the_notebook_has_seven_places():
    seven, eight = (q.circle(name) for name in ("seven places", "eight places"))
    assert torch.allclose(seven[0], seven[7], atol=1e-6) and len(torch.cdist(seven, seven).round(decimals=3).unique(dim=0)) == 7
    assert float(torch.cdist(eight, eight).add(torch.eye(8) * 9).min()) > .7


def test_toy_looks_tell_places_from_collapse():
    still = [torch.zeros(1, 256, 2), torch.tensor([[[1., 0.]]])]
    (one,) = q.toy_looks([still, []], q.circle("eight places"))
    assert one["near"] == one["hit"] == 1 and one["sharp"] == one["most"] == 1


# --- seed by seed

def test_a_seed_trains_the_same_alone_and_beside_others():
    def weights(seeds):
        start = q.Draws(seeds, 3)
        g, d = q.layers((4, 8, 2), start), q.layers((4, 8, 1), start)
        list(q.train_conditional(q.Conditional(l1=1., seeking=1.), seeds, 5, 5, g, d, batch=16))
        return g
    assert all(torch.allclose(alone[0], beside[1], atol=1e-6) for alone, beside in zip(weights([4]), weights([3, 4, 5])))


def test_rows_that_are_whole_are_not_trained_again(tmp_path, monkeypatch):
    monkeypatch.setattr(q, "FILE", tmp_path / "questions.json")
    trained = []

    def train(steps):
        for step in range(1, steps + 1):
            trained.append(step)
            yield step
    for steps in (2, 2, 3):
        q.watched("part", "setting", {}, [0, 1], train(steps), lambda step: [{"a": step, "points": "1,2"}, {"a": -step, "points": "1,2"}], steps)
    assert trained == [1, 2, 1, 2, 3]
    rows = json.loads((tmp_path / "questions.json").read_text())["part"]
    assert [(row["setting"], row["steps"], [look["a"] for look in row["looks"]]) for row in rows] == [
        ("setting, seed 0", 3, [1, 2, 3]), ("setting, seed 1", 3, [-1, -2, -3])]
    assert [list(look) for look in rows[0]["looks"]] == [["step", "a"], ["step", "a"], ["step", "a", "points"]]  # only the last is drawn


# --- a condition

def right_net(kind):
    """A generator written by hand, as a network of one layer: 3 c + s z, with s given."""
    weight = torch.zeros(1, 4, 2)
    weight[0, 0, 0] = weight[0, 1, 1] = 3
    weight[0, 2, 0] = weight[0, 3, 1] = kind
    return [weight, torch.zeros(1, 1, 2)]


def test_measures_by_condition():
    (middle,) = q.seen_by_condition(right_net(0.), [0], conditions=8)
    assert middle == {"modes": 0., "good": 0., "spread": 0., "recall": 0., "points": middle["points"]}
    assert set(middle["points"].split()) == {"300,0"}
    (wide,) = q.seen_by_condition(right_net(.7), [0], conditions=8)
    assert wide["modes"] > 5 and .1 < wide["good"] < .4 and .8 < wide["spread"] < 1 and wide["recall"] > .9
    (one,) = q.seen_by_condition([right_net(0.)[0], torch.tensor([[[1., 0.]]])], [0], conditions=8)
    assert one["modes"] == one["good"] == 1 and one["spread"] == 0 and one["recall"] < .2


def test_l1_alone_wants_the_middle():
    """The answer that L1 prefers is the median of the ring: its middle, whatever z is."""
    condition, y = q.answers(torch.zeros(4000), torch.arange(4000) % 8, torch.randn(4000, 2, generator=seeded(0)))
    assert torch.allclose(y.median(0).values, 3 * condition[0], atol=.1)
    losses = [float((3 * condition + shift - y).abs().mean()) for shift in (torch.zeros(2), q.SPOTS[0], q.SPOTS[1])]
    assert losses[0] < min(losses[1:])


def test_mode_seeking_is_the_inverse_of_a_ratio_of_means():
    g, d = right_net(2.), [torch.zeros(1, 4, 1), torch.zeros(1, 1, 1)]
    condition, y = (v[None] for v in q.answers(torch.zeros(64), torch.zeros(64, dtype=torch.long), torch.zeros(64, 2)))
    with_term, without = (float(q.Conditional(seeking=w).loss(g, d, condition, y, q.Draws([0]))) for w in (1., 1e-9))
    assert math.isclose(with_term - without, 1 / (2 + 1e-5), rel_tol=1e-4)  # the answers are twice as far apart as the latents


def test_imle_pulls_the_nearest_of_its_answers():
    g = right_net(.7)
    condition, y = (v[None] for v in q.answers(torch.zeros(32), torch.arange(32) % 8, torch.zeros(32, 2)))
    many, one = (float(q.Conditional(imle=k).loss(g, [], condition, y, q.Draws([0]))) for k in (20, 1))
    assert many < .3 * one


# --- digits

def test_shares_of_digits_count_where_the_judge_is_sure():
    real, mode = digits().sample_with_modes(600, seeded(0))
    (found,) = q.class_shares(digits(), real[None])
    assert abs(found["ones"] - float((mode == 1).float().mean())) < .03 and found["lost"] == 0 and found["sure"] > .9
    (same,) = q.class_shares(digits(), real[mode == 1][None])
    assert same["ones"] > .9 and same["most"] == 1 and same["lost"] == 9
    (noise,) = q.class_shares(digits(), torch.rand(1, 100, 1, 8, 8, generator=seeded(0)) * 2 - 1)
    assert noise["share"] <= noise["sure"] < .2


@pytest.mark.parametrize("form", [q.FirstGAN(), q.FirstGAN(r1=1.), q.FirstGAN(pack=2)], ids=["as it is", "R1", "packs"])
def test_the_first_gan_moves_both_players(form):
    g, d = form.players(64, [0, 1])
    before = [w.detach().clone() for w in g + d]
    assert d[0].shape == (2, 64 * form.pack, 128)
    assert list(form.train(q.as_rows(digits()), [0, 1], 20, 10, g, d)) == [10, 20]
    assert all(float((w.detach() - old).abs().max()) > .005 and w.isfinite().all() for w, old in zip(g + d, before))
    assert q.made(g, 7, 2, 8).shape == (2, 7, 1, 8, 8)


def test_slopes_of_a_linear_discriminator():
    weight = torch.randn(2, 5, 1, generator=seeded(0)).requires_grad_()
    found = q.slopes([weight, torch.zeros(2, 1, 1)], torch.randn(2, 3, 5, generator=seeded(1)))
    assert torch.allclose(found, weight.square().sum((1, 2)) / 2)


def test_two_turns_of_g():
    assert turn_words(q.TwoTurns()) == ["D", "G", "G"]


def test_copies_are_found_and_new_digits_are_not():
    train, rest = q.each_once(digits(), 1)[:140], q.each_once(digits(), 1)[140:]
    held = q.each_once(digits().held_out, 0)
    assert len(held) == len(held.unique(dim=0)) > 390 and not torch.equal(train, q.each_once(digits(), 2)[:140])
    old = q.copied(train, held, train[torch.arange(300) % 140], .01)
    assert old["copies"] and old["share"] > .9 and old["nearer"] == 1
    new = q.copied(train, held, rest[:300], .01)
    assert not new["copies"] and .35 < new["nearer"] < .65


# --- what was recorded

def test_recorded_rows_say_what_they_hold():
    titles = {part: {row["setting"] for row in rows} for part, rows in RECORD.items() if part != "torch"}
    assert titles and set(titles) <= set(q.PARTS)
    for rows in (rows for part, rows in RECORD.items() if part != "torch"):
        for row in rows:
            steps = [look["step"] for look in row["looks"]]
            assert row["setting"].startswith(row["name"] + ", seed ") and steps == sorted(set(steps)) and steps[-1] == row["steps"]
            assert all(math.isfinite(v) for look in row["looks"] for v in look.values() if not isinstance(v, str))
