"""modelab.evaluation.monitor: few false alarms over any number of looks, the right finding soon, and training undisturbed."""

import csv
import dataclasses
import inspect
import json
import math
import random
import re
import subprocess
import sys
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import seeded
from modelab.core.statistics import clopper_pearson
from modelab.data.mixtures import ring
from modelab.evaluation import monitor as module, monitor_files as files
from modelab.evaluation.monitor import CollapseAlarm, Look, Monitor
from modelab.evaluation.monitor_adapters import (
    attach_to_ignite, lightning_callback, live_plot, tensorboard_log, trainer_callback, wandb_log)
from modelab.evaluation.monitor_files import _apart, draw_shares, read_looks
from modelab.evaluation.sequential_test import _change_point, Alarm, Counts, SequentialTest
from scipy.stats import beta, binom

RING = ring()
REAL = RING.sample(1500, generator=seeded(1))


def counts(groups, n=1000, junk=10, repeats=5, copies=10):
    return Counts(n, tuple(groups), (junk, n), (repeats, n // 2), (copies, n))


def sound(n):
    return RING.sample(n, generator=torch.default_generator)


def quiet(*args, **kw):
    """A monitor that looks at every step, never waits and never warns."""
    return Monitor(*args, **{"every": 1, "budget": 1., "on_alarm": lambda look: None} | kw)


class Broken:
    """Samples of the ring that get a fault at a step."""

    def __init__(self, fault, at=14):
        self.fault, self.at, self.step = fault, at, 0

    def __call__(self, n):
        x, mode = RING.sample_with_modes(3 * n, torch.default_generator)
        if self.step < self.at:
            return x[:n]
        some = torch.rand(n) < .2
        return {"lost": lambda: x[mode != 3][:n],
                "junk": lambda: torch.where(some[:, None], 3 * torch.randn(n, 2), x[:n]),
                "copies": lambda: torch.where(some[:, None], REAL[torch.randint(len(REAL), (n,))], x[:n]),
                "repeats": lambda: x[:n][torch.randint(n // 2, (n,))]}[self.fault]()


def watch(monitor, sampler, last):
    """Call a monitor at each step; the first look that alarms."""
    for sampler.step in range(monitor.step + 1, last + 1):
        if look := monitor(sampler.step):
            return look
    return None


# the test

@pytest.mark.parametrize("hits, of, error", [(0, 50, 1e-3), (7, 900, 1e-9), (899, 900, .01), (900, 900, .01)])
def test_the_limit_of_a_rate_is_clopper_and_pearsons(hits, of, error):
    expected = 1. if hits == of else beta.ppf(1 - error, hits + 1, of - hits)
    assert math.isclose(clopper_pearson(hits, of, error)[1], expected, rel_tol=1e-9)
    if hits < of:
        assert math.isclose(binom.cdf(hits, of, expected), error, rel_tol=1e-6)


@pytest.mark.parametrize("up", [True, False])
def test_the_change_point_is_the_most_likely_split(up):
    g = np.random.default_rng(3)
    for _ in range(30):
        of = g.integers(50, 200, 12)
        hits = g.binomial(of, g.uniform(.1, .4, 12))

        def score(k):
            parts = [(h.sum(), n.sum()) for h, n in ((hits[:k], of[:k]), (hits[k:], of[k:]))]
            worse = parts[1][0] / parts[1][1] - parts[0][0] / parts[0][1]
            total = sum(binom.logpmf(h, n, h / n).sum() - math.lgamma(n + 1) + math.lgamma(h + 1) + math.lgamma(n - h + 1)
                        for h, n in parts)
            return total if (worse > 0) == up else -math.inf
        scores = [score(k) for k in range(1, 12)]
        if max(scores) > -math.inf:
            assert math.isclose(scores[_change_point(hits, of, up) - 1], max(scores), rel_tol=1e-9)


def test_no_change_for_the_worse_begins_at_the_last_look():
    assert _change_point(np.array([5, 5, 5]), np.full(3, 10), True) == 2
    assert _change_point(np.array([5]), np.array([10]), True) == 0


def test_a_group_that_never_settled_does_not_alarm():
    test = SequentialTest([.5, .5])
    assert not any(test.add(counts([1000, 0])) for _ in range(50))
    assert test.settled.tolist() == [10, 0]


def test_settling_takes_ten_looks_and_a_share_in_each():
    test = SequentialTest([.5, .5])
    for t in range(15):
        test.add(counts([400, 600 if t != 4 else 199]))
    assert test.settled.tolist() == [10, 15]


@pytest.mark.parametrize("rows, found", [
    ([[500, 500]] * 12, {}), ([[0, 1000]] * 12, {}),  # settled; never there
    ([[0, 1000]] * 9 + [[500, 500]] * 3, {}),  # arrives
    ([[500, 500], [0, 1000]] * 6, {0: (0., 1.)}), ([[600, 400], [600, 400], [900, 100]] * 5, {1: (.2, .8)}),
    ([[500, 500], [0, 1000]] * 4, {}),  # too young
    ([[500, 500], [0, 1000]] * 6 + [[500, 500]] * 10, {}), ([[500, 500], [0, 1000]] * 6 + [[0, 1000]] * 10, {})])
def test_groups_that_come_and_go(rows, found):
    test = SequentialTest([.5, .5])
    assert not any(test.add(counts(row)) for row in rows)
    assert test.unsteady().keys() == found.keys() and all(test.settled[g] == 0 for g in found)
    assert all(test.unsteady()[g] == pytest.approx(found[g]) for g in found)


def test_a_group_may_fade_to_a_quarter_and_not_below():
    edge, lost = SequentialTest([.5, .5]), SequentialTest([.5, .5])
    for _ in range(12):
        edge.add(counts([500, 500])), lost.add(counts([500, 500]))
    assert not any(edge.add(counts([875, 125])) for _ in range(30))
    (alarm,) = lost.add(counts([1000, 0]))
    assert (alarm.finding, alarm.group, alarm.began) == ("lost", 1, 12)
    assert alarm.before == .5 and alarm.now == 0 and alarm.allowed == .125


def test_the_error_of_a_look_is_shared_among_its_tests():
    test = SequentialTest(np.full(4, .25), level=.05)
    for _ in range(14):
        test.add(counts([250] * 4))
    found = test.add(counts([400, 400, 200, 0]))
    share = .05 / (15 * 16) / 4
    assert [a.limit for a in found] == [share / 3 / 4]
    assert math.isclose(found[0].p, binom.cdf(0, 1000, .0625), rel_tol=1e-9)
    high = SequentialTest([1.])
    for _ in range(14):
        high.add(counts([1000]))
    (junk,) = high.add(counts([1000], junk=300))
    assert junk.finding == "junk" and math.isclose(junk.limit, share / 2 / 3)
    assert math.isclose(junk.p, binom.sf(299, 1000, high.limits[14]["junk"] + .1), rel_tol=1e-6)


def test_rates_do_not_alarm_before_a_group_settled():
    test = SequentialTest([.5, .5])
    assert not any(test.add(counts([10, 10], junk=20 if t < 5 else 980)) for t in range(20))  # noise, then other noise
    assert all(limits["junk"] == 1. for limits in test.limits)
    for _ in range(13):
        test.add(counts([500, 500]))
    assert test.limits[-1]["junk"] < .05 and test.add(counts([500, 500], junk=300))


def test_only_windows_after_a_group_settled_are_tested():
    test = SequentialTest([.5, .5])
    for _ in range(10):
        test.add(counts([500, 500]))
    found = [test.add(counts([870, 130])) for _ in range(3)]
    assert not any(found)  # a little above a quarter


def test_limits_only_fall_and_belong_to_the_past():
    g, test = np.random.default_rng(0), SequentialTest([1.])
    for rate in np.linspace(.9, .01, 30):
        test.add(counts([1000], junk=int(g.binomial(1000, rate))))
    known = [limits["junk"] for limits in test.limits]
    assert len(known) == 31 and known[:3] == [1., 1., 1.] and known == sorted(known, reverse=True)


@pytest.mark.parametrize("kind", ["sound", "edge"])
def test_false_alarms_over_many_looks(kind):
    shares, alarmed = np.full(10, .1), 0
    for seed in range(60):
        g, test, found = np.random.default_rng(seed), SequentialTest(shares), []
        for t in range(120):
            low = kind == "edge" and t >= 20
            law = shares * (.25 if low else 1)
            groups = g.multinomial(500, [*law, max(0., 1 - law.sum())])[:-1]
            more = (.1, .05, .05) if low else (0, 0, 0)
            found += test.add(counts(groups, 500, *(int(g.binomial(of, .02 + m)) for of, m in zip((500, 250, 500), more))))
        alarmed += bool(found)
    assert alarmed <= 3  # 5 % of 60


# what it finds

@pytest.mark.parametrize("fault", ["lost", "junk", "copies", "repeats"])
def test_a_fault_is_found_within_three_looks_and_named(fault):
    sampler = Broken(fault)
    look = watch(quiet(REAL, sampler), sampler, 40)
    assert look is not None and 14 <= look.step <= 16
    assert {a.finding for a in look.alarms} >= {fault} and look.after in (12, 13, 14)
    if fault == "lost":
        assert {a.finding for a in look.alarms} == {"lost"} and .05 < look.lost < .2
    assert fault in look.says and "ALARM" in look.says
    for alarm in look.alarms:  # the sentence tells the rate that the test used, which is not sound
        assert alarm.tested < alarm.allowed if alarm.finding == "lost" else alarm.tested > alarm.allowed
        assert f"{alarm.tested:.1%} of the " + "second half" * (alarm.finding == "repeats") in look.says


def test_a_sound_run_is_silent_and_says_what_it_saw():
    monitor = quiet(REAL, sound, n=400)
    for step in range(1, 31):
        assert not monitor(step)
    look = monitor.looks[-1]
    assert look.waiting == 0 and look.says == "step 30: nothing got worse" and look.balance < .2 and look.frechet < .2
    assert set(look.values()) == {f"monitor/{n}" for n in "lost not_reached junk repeats copies balance frechet alarm "
                                  "seconds".split()} and all(isinstance(v, float) for v in look.values().values())
    assert "30 looks" in monitor.report() and b"PNG" in monitor.plot().png[:8]


def test_what_was_lost_is_shown_by_reference_examples_and_labels_name_it():
    x, mode = RING.sample_with_modes(1500, seeded(4))
    sampler = Broken("lost")
    monitor = quiet(x, sampler, labels=mode + 100)
    watch(monitor, sampler, 40)
    (name,) = monitor.lost()
    found = monitor.lost()[name]
    assert name == 103 and torch.equal(x[found["rows"]], found["examples"]) and (mode[found["rows"]] == 3).all()
    assert found["now"] == 0 and "lost group 103" in monitor.alarms[0].says


def test_a_mode_that_was_never_there_is_listed():
    monitor = quiet(REAL, Broken("lost", at=0), n=500)
    for step in range(1, 16):
        assert not monitor(step)
    assert .05 < monitor.looks[-1].waiting < .2 and "not reached yet" in monitor.report()


def test_a_class_that_comes_and_goes_is_named_and_is_not_called_not_reached():
    x, mode = RING.sample_with_modes(1500, seeded(4))

    def sampler(n):
        made, which = RING.sample_with_modes(3 * n, torch.default_generator)
        return made[(which != 5) & ((which != 2) | (step % 2 == 0))][:n]
    monitor = quiet(x, sampler, labels=mode + 100, n=500)
    for step in range(1, 13):
        assert not monitor(step)
    words = r"groups that come and go in the last 10 looks, and so cannot alarm: 102 \(0% to 1\d\d% of its share\)"
    assert re.search(words + "$", monitor.looks[-1].says) and re.search(words, monitor.report())
    assert "groups not reached yet: 105\n" in monitor.report()
    assert f"{monitor.test.shares[5]:.1%} of the data not reached yet" in monitor.looks[-1].says
    assert "come and go" not in monitor.looks[8].says and math.isclose(monitor.looks[-1].waiting, monitor.test.shares[[2, 5]].sum())


@pytest.mark.parametrize("form", [np.array, list, tuple, lambda y: torch.tensor(y, dtype=torch.uint8), lambda y: np.array(y, ">i2")])
def test_labels_may_be_a_tensor_an_array_or_a_list(form):
    x, mode = RING.sample_with_modes(400, seeded(4))
    want = quiet(x, sound, n=100, labels=mode)
    for reference in (x, x.numpy()):
        monitor = quiet(reference, sound, n=100, labels=form(mode.tolist()))
        assert monitor.yardstick.names == want.yardstick.names and torch.equal(monitor.yardstick.group, want.yardstick.group)


@pytest.mark.parametrize("labels", [["a"] * 1500, np.ones(1500), [True] * 1500, [[1], [2, 3]], 3])
def test_labels_that_are_no_whole_numbers_are_refused(labels):
    with pytest.raises(TypeError, match="^labels: expected whole numbers in a tensor, an array or a list"):
        quiet(REAL, sound, labels=labels)


def test_pictures_in_principal_directions_and_another_scale():
    x = torch.rand(300, 1, 12, 12, generator=seeded(0))
    monitor = quiet(x, lambda n: 9 * torch.rand(n, 1, 12, 12), n=100)
    assert "on one scale" in monitor(1).says and monitor.yardstick.name.startswith("64 principal")


def test_repeats_among_noisy_pictures_are_seen_and_new_pictures_are_none():
    """Directions fitted to the rows that samples are compared with would call every sample a repeat."""
    g = seeded(3)
    clean = torch.rand(4, 300, generator=g) * 2 - 1
    draw = lambda n: clean[torch.randint(4, (n,), generator=g)] + .05 * torch.randn(n, 300, generator=g)

    def repeats(repeated):
        monitor = Monitor(draw(400), lambda n: draw(n // 2).repeat(2, 1) if repeated else draw(n), every=1, n=100, budget=1.)
        for step in range(1, 6):
            monitor(step)
        return [look.counts.repeats[0] / look.counts.repeats[1] for look in monitor.looks]
    assert max(repeats(False)) < .1
    assert min(repeats(True)) > .9


@pytest.mark.parametrize("modes", [8, 12])
def test_clusters_are_joined_to_the_modes(modes):
    x, mode = ring(modes, std=.04).sample_with_modes(1500, seeded(2))
    yard = quiet(x, sound).yardstick
    assert len(yard.names) == modes and all(len(set(mode[rows].tolist())) == 1 for rows in yard.indices)


def test_equal_reference_rows_do_not_break_the_distances():
    x = torch.randint(0, 3, (200, 2), generator=seeded(0)).float()
    look = quiet(x, lambda n: torch.randint(0, 3, (n, 2)).float(), n=100)(1)
    assert look.counts.junk[0] == 0 and sum(look.counts.groups) == 100


# in the loop

def test_looks_are_due_every_so_many_steps():
    monitor = quiet(REAL, sound, every=10, n=100)
    at = [step for step in (0, 5, 9, 10, 11, 19, 34, 40, 41, 50) if monitor(step) is not None]
    assert at == [10, 34, 40, 50] and monitor.left_out == 0
    with pytest.raises(ValueError, match="^step: expected at least 50"):
        monitor(49)


def test_the_budget_bounds_the_share_of_time(monkeypatch):
    clock = [0.]
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])

    def slow(n):
        clock[0] += 2.
        return sound(n)
    monitor = Monitor(REAL, slow, every=10, n=100, budget=.05, on_alarm=lambda look: None)
    for step in range(1, 20_001):
        clock[0] += .01
        monitor(step)
        if step > 5000:
            assert monitor.seconds <= .05 * clock[0] + 2
    assert 3 <= len(monitor.looks) <= 7 and monitor.seconds == 2 * len(monitor.looks) and monitor.left_out > 1000
    assert "left out to keep the budget" in monitor.report()


def test_a_call_without_a_look_is_cheap():
    monitor = Monitor(REAL, sound, every=10 ** 9)
    start = time.process_time()
    for step in range(100_000):
        monitor(step)
    assert time.process_time() - start < 1


def trained(watched, **kw):
    """Weights, running means and random numbers after a training with dropout and batch normalisation."""
    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(.2), torch.nn.Linear(8, 2))
    net[2].eval()  # a part in another mode
    optimiser = torch.optim.Adam(net.parameters())
    monitor = quiet(REAL, lambda n: net(torch.randn(n, 2) + np.random.rand() + random.random()), n=100, eval_of=[net], **kw) \
        if watched else None
    for step in range(1, 25):
        optimiser.zero_grad()
        (net(torch.randn(64, 2)) - REAL[torch.randint(1500, (64,))]).square().mean().backward()
        optimiser.step()
        if monitor:
            assert monitor(step) is not None
            assert net.training and not net[2].training
    return [*net.state_dict().values(), torch.rand(3), torch.as_tensor(np.random.rand(3)), torch.tensor(random.random())]


def test_training_with_the_monitor_is_equal_bit_for_bit(tmp_path):
    assert all(torch.equal(a, b) for a, b in zip(trained(False), trained(True, folder=tmp_path, log=lambda v, s: None)))


def test_the_mode_of_networks_is_left_as_it_is_unless_they_are_named():
    seen, net = [], torch.nn.Dropout()

    def sampler(n):
        seen.append((net.training, torch.is_grad_enabled()))
        return sound(n)
    quiet(REAL, sampler, n=100)(1), quiet(REAL, sampler, n=100, eval_of=[net])(1)
    assert seen == [(True, False), (False, False)] and net.training


def test_the_same_seed_draws_the_same_and_looks_differ():
    a, b, c = (quiet(REAL, sound, n=100, seed=seed) for seed in (0, 0, 1))
    looks = [[m(1).counts, m(2).counts] for m in (a, b, c)]
    assert looks[0] == looks[1] != looks[2] and looks[0][0] != looks[0][1]


def test_on_alarm():
    for on_alarm in ("warn", "stop"):
        sampler = Broken("lost")
        monitor = quiet(REAL, sampler, on_alarm=on_alarm)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            try:
                for sampler.step in range(1, 30):
                    monitor(sampler.step)
            except CollapseAlarm as alarm:
                assert alarm.look is monitor.alarms[0] and str(alarm) == alarm.look.says
        assert monitor.step == (29 if on_alarm == "warn" else monitor.alarms[0].step)
        told = [str(w.message) for w in seen if w.category is RuntimeWarning]
        assert 1 <= len(told) <= 3 if on_alarm == "warn" else not told
        assert all(w.filename == __file__ for w in seen)
    heard, sampler = [], Broken("lost")
    monitor = quiet(REAL, sampler, on_alarm=heard.append)
    for sampler.step in range(1, 25):
        monitor(sampler.step)
    assert heard == monitor.alarms and all(isinstance(look, Look) for look in heard) and len(heard) > 5


# restart and roll back

def test_a_resumed_monitor_looks_as_one_that_never_stopped(tmp_path):
    samplers = [Broken("lost") for _ in range(3)]
    straight, first, second = (quiet(REAL, s, n=500) for s in samplers)
    for step in range(1, 25):
        samplers[0].step = step
        straight(step)
    for at, monitor in ((range(1, 16), first), (range(16, 25), second)):
        if monitor is second:
            torch.save(first.state_dict(), tmp_path / "a.pt")
            second.load_state_dict(json.loads(json.dumps(torch.load(tmp_path / "a.pt", weights_only=True))))
        for step in at:
            samplers[1].step = samplers[2].step = step
            monitor(step)
    assert straight.looks == second.looks and straight.alarms == second.alarms and straight.alarms
    assert straight.test.limits == second.test.limits and (straight.test.settled == second.test.settled).all()
    assert straight.due == second.due and straight.announced == second.announced
    assert all(isinstance(a, Alarm) for look in second.alarms for a in look.alarms)


def test_the_state_of_another_reference_is_refused():
    state = quiet(REAL, sound, n=100).state_dict()
    with pytest.raises(ValueError, match="^state: it belongs to another reference"):
        quiet(REAL + .5, sound, n=100, groups=5).load_state_dict(state)


def test_roll_back_loads_the_last_checkpoint_before_the_loss(tmp_path):
    sampler, loaded = Broken("lost", at=20), []
    monitor = quiet(REAL, sampler, folder=tmp_path, save=lambda path: path.write_text(str(sampler.step)),
                    load=lambda path: loaded.append(int(path.read_text())))
    alarm = watch(monitor, sampler, 40)
    kept = sorted(int(path.name.rpartition("-")[2]) for path in tmp_path.glob("checkpoint-*"))
    assert kept[-5:] == list(range(alarm.step - 5, alarm.step)) and kept[0] == 1
    watch(monitor, sampler, alarm.step + 3)
    assert monitor.roll_back() == 19 and loaded == [19]
    assert len(monitor.looks) == 19 == len(monitor.test.looks) == len(monitor.test.limits) - 1
    assert monitor.alarms[0] == alarm and monitor.test.looked > 19 and (monitor.test.settled <= 19).all()
    sampler.at = 10 ** 9
    assert watch(monitor, sampler, 40) is None and monitor.checkpoints[-1][0] == 40
    assert {path for _, path in monitor.checkpoints} == set(tmp_path.glob("checkpoint-*"))


def test_old_checkpoints_are_thinned_so_that_a_slow_loss_has_one_before_it(tmp_path):
    monitor = quiet(REAL, sound, n=100, folder=tmp_path, save=lambda path: path.touch())
    for step in range(1, 201):
        monitor._checkpoint(step)
        kept = [at for at, _ in monitor.checkpoints]
        assert kept[0] == 1 and kept[-5:] == list(range(max(1, step - 4), step + 1))
        assert len(kept) <= 6 + 2 * math.log2(step)
        assert all(step - max(at for at in kept if at <= began) <= 2 * (step - began) + 1 for began in range(1, step + 1))
    assert {path for _, path in monitor.checkpoints} == set(tmp_path.glob("checkpoint-*"))


def test_checkpoints_may_be_folders(tmp_path):
    monitor = quiet(REAL, sound, n=100, folder=tmp_path, save=lambda path: path.mkdir())
    for step in range(1, 9):
        monitor(step)
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {f"checkpoint-{step}" for step in (1, 4, 5, 6, 7, 8)}


def test_going_back_by_a_state_does_not_give_back_the_error_that_was_spent():
    sampler = Broken("lost")
    monitor = quiet(REAL, sampler, every=2, n=500)
    state = {}
    monitor.log = lambda values, step: state.update(monitor.state_dict()) if step == 20 else None
    sampler.at = 24
    alarm = watch(monitor, sampler, 40)
    looked = monitor.test.looked
    monitor.load_state_dict(state)
    assert (monitor.step, len(monitor.looks), monitor.due) == (20, 10, 22) and monitor.test.looked == looked
    assert monitor.alarms == [alarm]


def test_roll_back_that_cannot_be(tmp_path):
    with pytest.raises(RuntimeError, match="^roll_back: expected a Monitor with load="):
        quiet(REAL, sound, n=100).roll_back()
    with pytest.raises(RuntimeError, match="^roll_back: no checkpoint from step 0 or before; kept"):
        quiet(REAL, sound, n=100, load=print).roll_back()


# what it writes

def test_tables_and_pictures(tmp_path):
    x, numbers = torch.rand(300, 1, 8, 8, generator=seeded(0)), []
    monitor = quiet(x, lambda n: torch.rand(n, 1, 8, 8), n=100, folder=tmp_path / "new",
                    log=lambda values, step: numbers.append((step, values["monitor/frechet"])))
    monitor(1), monitor(2)
    with open(tmp_path / "new/looks.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "new/looks.jsonl").read_text().splitlines()]
    assert [int(row["step"]) for row in rows] == [line["step"] for line in lines] == [1, 2]
    assert [(line["step"], line["frechet"]) for line in lines] == numbers
    assert (tmp_path / "new/samples-2.png").read_bytes()[:4] == b"\x89PNG"


def blobs(n, kinds=6, noise=.05, skip=None):
    """Pictures of a bright row, one of six, which are clusters."""
    which = torch.randint(kinds, (2 * n,))
    which = which[which != skip][:n] if skip is not None else which[:n]
    return torch.eye(kinds)[which].reshape(n, 1, kinds, 1).expand(n, 1, kinds, 6) + noise * torch.randn(n, 1, kinds, 6)


def test_groups_without_labels_have_pictures(tmp_path):
    torch.manual_seed(0)
    monitor = quiet(blobs(400), lambda n: blobs(n, skip=4 if monitor.step > 12 else None), n=300, groups=24, folder=tmp_path)
    assert len(monitor.yardstick.names) == 6 and not list(tmp_path.iterdir())
    look = next(filter(None, map(monitor, range(1, 20))))
    (name,) = monitor.lost()
    assert monitor.lost()[name]["examples"].mean((0, 1, 3)).argmax() == 4
    assert f"real examples of it in lost-{name}-{look.step}.png" in look.says
    shown = (tmp_path / f"lost-{name}-{look.step}.png").read_bytes()
    assert shown == monitor.show_groups([name]).png != monitor.show_groups([(name + 1) % 6]).png
    again = monitor(look.step + 1)  # the same alarm: no second picture of what was lost
    assert again and "lost-" not in again.says and len(list(tmp_path.glob("lost-*"))) == 1
    assert (tmp_path / "groups.png").read_bytes() == monitor.show_groups().png
    assert monitor.show_groups().alt.count("8 pictures") == 6 and f"{name} (" in monitor.show_groups([str(name)]).alt
    with pytest.raises(ValueError, match="^names: unknown '9'"):
        monitor.show_groups([9])
    with pytest.raises(ValueError, match="^reference: expected pictures to show, got examples of shape"):
        quiet(REAL, sound).show_groups()


def test_lines_have_names_beside_them(monkeypatch):
    from modelab.core.plotting import ACCENT, axes, FAKE, REAL as BLUE
    said = lambda ax: {text.get_text(): (round(text.get_position()[1], 3), text.get_color()) for text in ax.texts}
    shares = np.array([[1., 1., 1.], [0., 1.5, 1.]])
    _, ax = axes()
    draw_shares(ax, [1, 2], shares, ["cat", "dog", 7], {0: FAKE, 2: ACCENT})
    assert said(ax) == {"cat": (0., FAKE), "dog": (1.5, BLUE), "7": (1., ACCENT)}
    _, ax = axes()
    draw_shares(ax, [1, 2], np.ones((2, 30)), range(30), {3: FAKE})
    assert set(said(ax)) == {"3", "29 others"}
    _, ax = axes()
    draw_shares(ax, [], np.ones((0, 3)), "abc", {})
    assert not ax.texts
    for many in (12, 30):  # more to point out than there is room for
        _, ax = axes()
        draw_shares(ax, [1, 2], np.ones((2, 30)), range(30), {29: FAKE} | dict.fromkeys(range(many - 1), ACCENT))
        assert [*said(ax)] == ["29", *map(str, range(8)), "21 others"] and said(ax)["29"][1] == FAKE
    for heights, placed in (([.5, .5, .5], [.4, .5, .6]), ([.2, .22, .9], [.16, .26, .9]), ([1., .99, 0.], [1., .9, 0.])):
        assert np.allclose(_apart(heights, .1, 0., 1.), placed)  # moved by as little as possible
    for heights in ([0., 0., 0.], [1., 1., .99], [.5, .52, .1, .11], [9., -9.]):
        placed = _apart(heights, .1, 0., 1.)
        order = np.argsort(heights, kind="stable")
        assert (np.diff(placed[order]) >= .1 - 1e-12).all() and placed.min() >= 0 and placed.max() <= 1


def test_a_lost_group_is_named_before_those_that_come_and_go(monkeypatch):
    from modelab.core.plotting import ACCENT, FAKE
    torch.manual_seed(0)
    labels = torch.arange(20).repeat(20)
    monitor = quiet(REAL[:400], sound, n=60, labels=labels)
    given, alarm = [], SimpleNamespace(group=19, began=0)
    monkeypatch.setattr(module, "draw_shares", lambda ax, steps, shares, names, colours: given.append(colours))
    monkeypatch.setattr(monitor.test, "unsteady", lambda: {g: (0., 1.) for g in (*range(10), 19)})
    monitor.alarms.append(SimpleNamespace(alarms=(alarm,), step=1))
    monitor.plot()
    assert list(given[0].items()) == [(19, FAKE), *((g, ACCENT) for g in range(10))]


def looked(monitor, steps):
    for step in steps:
        monitor(step)
    return monitor


def test_a_look_adds_a_line_and_rewrites_nothing(tmp_path, monkeypatch):
    """What the last of 1,500 looks writes is as much as what the tenth does, and takes as long."""
    monitor = looked(quiet(REAL[:60], sound, n=50, folder=tmp_path), [1, 2])
    monkeypatch.setattr(files.os, "fsync", lambda handle: None)  # waits for the disk of others
    jsonl, table, seconds, before = tmp_path / "looks.jsonl", tmp_path / "looks.csv", [], b""
    nodes = [file.stat().st_ino for file in (jsonl, table)]
    for step in range(3, 1501):
        monitor.looks.append(dataclasses.replace(monitor.looks[-1], step=step))
        start = time.process_time()
        monitor._write_tables()
        seconds.append(time.process_time() - start)
        if step % 500 == 0:
            now = jsonl.read_bytes()
            assert now.startswith(before) and now.count(b"\n") == step
            before = now
    assert [file.stat().st_ino for file in (jsonl, table)] == nodes  # the same files, not new ones
    assert sorted(seconds[-400:])[200] < 3 * sorted(seconds[:400])[200] + 1e-4
    assert [look["step"] for look in read_looks(jsonl)] == list(range(1, 1501))
    with open(table, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{name: str(value) for name, value in row.items()} for row in monitor.table()]


def test_a_line_that_a_kill_cut_is_left_out_by_the_reader(tmp_path):
    monitor = looked(quiet(REAL, sound, n=100, folder=tmp_path), range(1, 5))
    file, state = tmp_path / "looks.jsonl", monitor.state_dict()
    whole = file.read_bytes()
    end = whole.rindex(b"\n", 0, -1) + 1
    for cut in (end, end + 1, end + 40, len(whole) - 1):
        file.write_bytes(whole[:cut])
        assert [look["step"] for look in read_looks(file)] == [1, 2, 3]
    resumed = quiet(REAL, sound, n=100, folder=tmp_path)
    resumed.load_state_dict(state)
    looked(resumed, [5])
    assert [look["step"] for look in read_looks(file)] == [1, 2, 3, 4, 5] and file.read_bytes().startswith(whole)
    file.write_bytes(b"[1]\n")
    for bad in (b"[1]\n", b"no\n", b"{\n{}\n"):
        file.write_bytes(bad)
        with pytest.raises(ValueError, match="^path: expected the looks.jsonl of a Monitor"):
            read_looks(file)
    with pytest.raises(OSError):
        read_looks(tmp_path / "absent")


def test_the_log_is_whole_after_a_write_that_failed_and_after_going_back(tmp_path, monkeypatch):
    monitor = quiet(REAL, sound, n=100, folder=tmp_path, save=lambda path: path.touch(), load=lambda path: None)
    looked(monitor, [1, 2])
    with monkeypatch.context() as patched, pytest.warns(RuntimeWarning, match="^folder: could not write"):
        patched.setattr(files.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        monitor(3)
    looked(monitor, [4])
    assert [look["step"] for look in read_looks(tmp_path / "looks.jsonl")] == [1, 2, 3, 4]
    monitor.alarms, monitor.looks[1] = [], dataclasses.replace(monitor.looks[1], after=1, alarms=(Alarm("junk", None, *[0.] * 6, 1),))
    monitor.checkpoints = [(1, tmp_path / "checkpoint-1")]
    assert monitor.roll_back() == 1
    looked(monitor, [2, 3])
    assert [look["step"] for look in read_looks(tmp_path / "looks.jsonl")] == [1, 2, 3]
    (tmp_path / "looks.csv").unlink()
    looked(monitor, [4])
    assert len((tmp_path / "looks.csv").read_text().splitlines()) == 5


def test_a_full_disk_warns_and_training_goes_on(tmp_path, monkeypatch):
    monitor = quiet(REAL, sound, n=100, folder=tmp_path)

    def full(path, data):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(files, "atomic_write", full)
    with pytest.warns(RuntimeWarning, match="^folder: could not write to .*No space"):
        assert monitor(1) is not None


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("PytorchStreamWriter failed")])
def test_a_disk_that_is_full_for_a_checkpoint_warns_and_training_goes_on(tmp_path, error):
    def save(path):
        raise error
    monitor = quiet(REAL, sound, n=100, folder=tmp_path, save=save)
    with pytest.warns(RuntimeWarning, match="^folder: could not write to "):
        assert monitor(1) is not None
    assert monitor.checkpoints == []


def test_tensorboard_gets_every_number():
    class Writer:
        rows = []

        def add_scalar(self, name, value, step):
            self.rows.append((name, value, step))
    look = quiet(REAL, sound, n=100, log=tensorboard_log(Writer()))(1)
    assert Writer.rows == [(name, value, 1) for name, value in look.values().items()]


def test_weights_and_biases_gets_the_step_as_a_number():
    class Run:  # as wandb.init() returns it
        rows, metrics = [], []

        def define_metric(self, name, step_metric=None):
            self.metrics.append((name, step_metric))

        def log(self, data, step=None, commit=None):
            assert step is None  # a step of its own would be dropped where the user's loop logs more often
            self.rows.append(data)
    monitor = quiet(REAL, sound, n=100, log=wandb_log(Run()))
    looks = [monitor(1), monitor(7)]
    assert Run.metrics == [("monitor/*", "monitor/step")]
    assert Run.rows == [look.values() | {"monitor/step": look.step} for look in looks]


def test_mlflow_takes_what_is_logged(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file://{tmp_path}/runs")
    mlflow.set_experiment("monitor")
    with mlflow.start_run() as run:
        look = quiet(REAL, sound, n=100, log=mlflow.log_metrics)(3)
    (kept,) = mlflow.MlflowClient().get_metric_history(run.info.run_id, "monitor/frechet")
    assert (kept.step, kept.value) == (3, look.frechet)


def test_a_live_plot_is_renewed_at_each_look(monkeypatch):
    display, seen, logged = pytest.importorskip("IPython.display"), [], []

    class Handle:
        def update(self, obj):
            seen.append((obj, len(obj.looks)))
    monkeypatch.setattr(display, "display", lambda obj, display_id: seen.append((obj, len(obj.looks))) or Handle())
    monitor = quiet(REAL, sound, n=100, log=lambda values, step: logged.append(step))
    live_plot(monitor)
    monitor(1), monitor(2)
    assert seen == [(monitor, 0), (monitor, 1), (monitor, 2)] and logged == [1, 2]


def test_help_is_a_map_whose_names_exist():
    text = Monitor.__doc__
    named = re.findall(r"`(\w+)\(\)`", text)
    assert {"report", "plot", "show_groups", "lost", "table", "roll_back", "state_dict"} == set(named)
    assert all(callable(getattr(Monitor, name)) for name in named) and "read_looks" in text and callable(read_looks)
    given = set(inspect.signature(Monitor).parameters)
    assert {"reference", "sampler", "every", "n", "level", "margin", "budget"} <= given and len(re.findall(">>>|\\.\\.\\.", text)) == 4
    assert all(f"`{name}" in text for name in ("every", "n", "level", "margin", "budget", "folder", "save", "load"))


# what it refuses

@pytest.mark.parametrize("sampler, words", [
    (lambda n: torch.zeros(n, 2, dtype=torch.uint8), r"sampler: expected .* got bytes; .* return x.float\(\) / 127.5 - 1"),
    (lambda n: np.zeros((n, 2), np.uint8), r"sampler: expected .* got bytes; .* return x.astype"),
    (lambda n: (torch.zeros(n, 2), torch.zeros(n)), r"sampler: expected .* got tuple of 2; .* return x\[0\]"),
    (lambda n: torch.zeros(n, 3), r"sampler: expected shape \(n, 2\)"),
    (lambda n: torch.zeros(n - 1, 2), "sampler: expected at least 100 examples, got 99"),
    (lambda n: torch.full((n, 2), math.nan), "sampler: expected finite numbers"),
    (lambda n: [[0., 0.]] * n, "sampler: expected a tensor of 100 examples, got list"),
    (lambda n: None, "sampler: expected a tensor of 100 examples, got NoneType")])
def test_a_wrong_sampler_is_named(sampler, words):
    with pytest.raises((ValueError, TypeError), match=f"^{words}"):
        quiet(REAL, sampler, n=100)(1)


@pytest.mark.parametrize("given, words", [
    (dict(reference=REAL[:39]), "reference: expected at least 40"), (dict(reference=REAL.byte()), "reference: expected float"),
    (dict(sampler=3), "sampler"), (dict(every=0), "every"), (dict(n=49), "n: "), (dict(level=.6), "level"),
    (dict(budget=0.), "budget"), (dict(on_alarm="explode"), "on_alarm: unknown"), (dict(on_alarm=3), "on_alarm"),
    (dict(save=print), "folder: expected a folder"), (dict(log=3), "log: expected a function"),
    (dict(labels=torch.zeros(3, dtype=torch.long)), "labels"), (dict(features=lambda x: x[:3]), "features: expected")])
def test_wrong_options_are_refused_before_training(given, words):
    with pytest.raises((ValueError, TypeError), match=f"^{words}"):
        Monitor(**{"reference": REAL, "sampler": sound} | given)


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(OSError):
        Monitor(REAL, sound, folder=tmp_path / "x")


def test_more_samples_than_asked_for_are_cut():
    assert quiet(REAL, lambda n: sound(n + 28), n=100)(1).counts.n == 100


# other people's loops

def test_nothing_is_imported_before_it_is_asked_for():
    code = ("import sys, modelab.evaluation.monitor_adapters\n"
            "assert not {'lightning', 'ignite', 'transformers', 'tensorboard', 'wandb', 'mlflow'} & set(sys.modules)")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_lightning_stops_and_resumes(tmp_path):
    pl = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")

    class Model(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(2, 2)

        def training_step(self, batch, index):
            sampler.step = self.global_step + 1
            return self.net(batch).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), .01)
    loader = torch.utils.data.DataLoader(torch.randn(64, 2), 2)

    def fit(monitor, path=None, **kw):
        trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
                             default_root_dir=tmp_path, callbacks=[lightning_callback(monitor)], **kw)
        trainer.fit(Model(), loader, ckpt_path=path)
        return trainer
    sampler = Broken("lost")
    first = quiet(REAL, sampler, on_alarm="stop")
    fit(first, max_steps=10).save_checkpoint(tmp_path / "a.ckpt")
    second = quiet(REAL, sampler, on_alarm="stop")
    trainer = fit(second, tmp_path / "a.ckpt", max_steps=60)
    assert second.looks[:10] == first.looks and 14 <= second.alarms[0].step <= 16
    assert trainer.global_step == second.alarms[0].step


def test_lightning_goes_back_and_on(tmp_path):
    pl = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
    sampler, back, weights = Broken("lost"), [], {}

    class Model(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(2, 2)

        def on_train_start(self):
            weights[f"start {self.global_step}"] = self.net.weight.clone()

        def training_step(self, batch, index):
            sampler.step = self.global_step + 1
            return self.net(batch).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), .01)

    def save(path):
        trainer.save_checkpoint(path)
        weights[trainer.global_step] = model.net.weight.clone()
    monitor, model = quiet(REAL, sampler, on_alarm="stop", folder=tmp_path, save=save, load=back.append), Model()
    loader = torch.utils.data.DataLoader(torch.randn(64, 2), 2)
    for last in (60, 30):
        trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
                             enable_checkpointing=False, max_steps=last, callbacks=[lightning_callback(monitor)])
        trainer.fit(model, loader, ckpt_path=back[-1] if back else None)
        if not back:
            stopped, looked = trainer.global_step, monitor.test.looked
            at = monitor.roll_back()
            assert at == monitor.alarms[0].after < stopped == monitor.alarms[0].step <= 16
            sampler.at = 10 ** 9  # the cause is mended
    assert trainer.global_step == 30 and torch.equal(weights[f"start {at}"], weights[at])
    assert [look.step for look in monitor.looks] == list(range(1, 31)) and monitor.test.looked == looked + 30 - at
    assert len(monitor.alarms) == 1


def test_ignite_stops():
    Engine = pytest.importorskip("ignite.engine", reason="pytorch-ignite is not installed").Engine
    sampler = Broken("lost")

    def train(engine, batch):
        sampler.step = engine.state.iteration
    engine, monitor = Engine(train), quiet(REAL, sampler, on_alarm="stop")
    attach_to_ignite(engine, monitor)
    engine.run(range(40))
    assert engine.state.iteration == monitor.alarms[0].step and 14 <= engine.state.iteration <= 16


def test_ignite_goes_back_and_on(tmp_path):
    Engine = pytest.importorskip("ignite.engine", reason="pytorch-ignite is not installed").Engine
    sampler, weight, back = Broken("lost"), torch.zeros(1), []

    def train(engine, batch):
        sampler.step = engine.state.iteration
        weight.add_(1)

    monitor = quiet(REAL, sampler, on_alarm="stop", folder=tmp_path, load=back.append,
                    save=lambda path: torch.save({"engine": engine.state_dict(), "weight": weight}, path))
    engine = Engine(train)
    attach_to_ignite(engine, monitor)
    engine.run(range(40), max_epochs=1, epoch_length=40)
    stopped, looked = engine.state.iteration, monitor.test.looked
    at = monitor.roll_back()
    assert at == monitor.alarms[0].after < stopped == weight.item() <= 16
    state, engine, sampler.at = torch.load(back[0]), Engine(train), 10 ** 9
    engine.load_state_dict(state["engine"]), weight.copy_(state["weight"])
    attach_to_ignite(engine, monitor)
    engine.run(range(40))
    assert engine.state.iteration == 40 == weight.item() and [look.step for look in monitor.looks] == list(range(1, 41))
    assert monitor.test.looked == looked + 40 - at and len(monitor.alarms) == 1


def test_the_trainer_of_hugging_face_stops_goes_back_and_on(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(2, 2)

        def forward(self, x):
            sampler.step += 1
            return {"loss": self.net(x).square().mean()}

    def trainer(monitor):
        arguments = transformers.TrainingArguments(str(tmp_path), max_steps=40, per_device_train_batch_size=2, save_steps=10,
                                                   report_to=[], use_cpu=True, disable_tqdm=True)
        return transformers.Trainer(Model(), arguments, train_dataset=[{"x": torch.randn(2)} for _ in range(80)],
                                    callbacks=[trainer_callback(monitor)])
    sampler = Broken("lost")
    monitor = quiet(REAL, sampler, on_alarm="stop")
    first = trainer(monitor)
    first.train()
    alarm = monitor.alarms[0]
    assert first.state.global_step == alarm.step and 14 <= alarm.step <= 16
    kept = [int(path.name.partition("-")[2]) for path in tmp_path.glob("checkpoint-*")]
    at = max(step for step in kept if step <= alarm.after)
    assert at == 10
    for again in (monitor, quiet(REAL, sampler, on_alarm="stop")):  # in this process, and in another one
        sampler.step, sampler.at, before = at, 10 ** 9, again.test.looked
        second = trainer(again)
        second.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{at}"))
        assert second.state.global_step == 40 and [look.step for look in again.looks] == list(range(1, 41))
        assert again.looks[:10] == monitor.looks[:10] and again.test.looked == max(before, at) + 30
    assert monitor.alarms == [alarm]


def test_what_is_bad_from_the_first_look_on_is_said():
    monitor = quiet(REAL, lambda n: REAL[torch.arange(n) % 10], n=100)
    looks = [monitor(step) for step in range(1, 13)]
    assert "no alarm is possible before look 11" in looks[8].says and "no alarm is possible" not in looks[9].says
    assert looks[-1].says.startswith("step 12: nothing got worse; ") and "100% repeats: audit these samples" in looks[-1].says
    assert "100% copies: audit these samples" in looks[-1].says


def test_the_log_of_another_training_is_kept(tmp_path):
    first = quiet(REAL, sound, n=100, folder=tmp_path)
    first(1), first(2)
    kept = (tmp_path / "looks.jsonl").read_text()
    quiet(REAL, sound, n=100, folder=tmp_path)(1)
    assert (tmp_path / "looks-before-1.jsonl").read_text() == kept and len((tmp_path / "looks.jsonl").read_text().splitlines()) == 1
    quiet(REAL, sound, n=100, folder=tmp_path)(1)  # the third start keeps what both others wrote
    assert (tmp_path / "looks-before-1.jsonl").read_text() == kept and len(list(tmp_path.glob("looks-before-[12].*"))) == 4


def steps_in(folder):
    """The steps of each log within a folder, by the log's place."""
    return {file.relative_to(folder).as_posix(): [look["step"] for look in read_looks(file)] for file in folder.rglob("looks*.jsonl")}


def test_two_trainings_in_one_folder_do_not_mix_their_tables(tmp_path):
    first, second = (quiet(REAL, sound, n=100, folder=tmp_path, save=lambda path, who=who: path.write_text(who),
                           load=lambda path: None) for who in ("first", "second"))
    looked(first, [1, 2]), looked(second, [1, 2, 3])
    with pytest.warns(RuntimeWarning, match=r"^folder: another Monitor writes to .*; this one goes on in .*monitor-2, and uses none"):
        first(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        looked(second, [4]), looked(first, [4])
    assert steps_in(tmp_path) == {"looks-before-1.jsonl": [1, 2], "looks.jsonl": [1, 2, 3, 4], "monitor-2/looks.jsonl": [1, 2, 3, 4]}
    for monitor, folder in ((second, tmp_path), (first, tmp_path / "monitor-2")):
        assert (folder / "looks.jsonl").read_text() == "".join(json.dumps(dataclasses.asdict(look)) + "\n" for look in monitor.looks)
        assert len((folder / "looks.csv").read_text().splitlines()) == 5
    assert [path.read_text() for _, path in first.checkpoints] == ["first"] * 2 and [step for step, _ in first.checkpoints] == [3, 4]
    assert [path.read_text() for _, path in second.checkpoints] == ["second"] * 4


def test_no_checkpoint_of_another_training_is_loaded(tmp_path):
    first, second = (quiet(REAL, sound, n=100, folder=tmp_path, save=lambda path: path.touch(), load=print) for _ in range(2))
    looked(first, [1, 2]), looked(second, [1])
    with pytest.warns(RuntimeWarning, match="^folder: another Monitor"), pytest.raises(RuntimeError, match="kept \\[\\]$"):
        first.roll_back()
    assert second.roll_back() == 1


def test_a_resumed_training_has_its_folder_and_its_forgotten_twin_leaves_it(tmp_path):
    first = looked(quiet(REAL, sound, n=100, folder=tmp_path), [1, 2, 3])
    resumed = quiet(REAL, sound, n=100, folder=tmp_path)
    resumed.load_state_dict(json.loads(json.dumps(first.state_dict())))
    looked(resumed, [4, 5])
    assert steps_in(tmp_path) == {"looks.jsonl": [1, 2, 3, 4, 5]}
    with pytest.warns(RuntimeWarning, match="^folder: another Monitor"):
        first(4)
    looked(resumed, [6])
    assert steps_in(tmp_path) == {"looks.jsonl": [1, 2, 3, 4, 5, 6], "monitor-2/looks.jsonl": [1, 2, 3, 4]}


def test_a_resumed_training_keeps_what_another_one_wrote_meanwhile(tmp_path):
    first = looked(quiet(REAL, sound, n=100, folder=tmp_path), [1, 2])
    looked(quiet(REAL, sound, n=100, folder=tmp_path), [1])
    resumed = quiet(REAL, sound, n=100, folder=tmp_path)
    resumed.load_state_dict(first.state_dict())
    looked(resumed, [3])
    assert steps_in(tmp_path) == {"looks-before-1.jsonl": [1, 2], "looks-before-2.jsonl": [1], "looks.jsonl": [1, 2, 3]}


@pytest.mark.parametrize("place", ["_lost", "_rate", "_settle", "_lower_limits"])
def test_a_look_that_was_interrupted_leaves_nothing(place, monkeypatch):
    from modelab.evaluation.sequential_test import SequentialTest
    monitor, g = quiet(REAL, lambda n: REAL[torch.randperm(len(REAL))[:n]], n=100, every=1, budget=1.), getattr(SequentialTest, place)
    for step in range(1, 13):
        monitor(step)

    def stopped(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(SequentialTest, place, stopped)
    with pytest.raises(KeyboardInterrupt):
        monitor(13)
    monkeypatch.setattr(SequentialTest, place, g)
    monitor(14), monitor(15)
    assert len(monitor.looks) == len(monitor.test.looks) == len(monitor.test.limits) - 1 == 14


@pytest.mark.parametrize("where", ["log", "save"])
def test_what_fails_in_log_or_save_does_not_end_the_training(where, tmp_path):
    def fails(*_):
        raise TypeError("no")
    monitor = Monitor(REAL, lambda n: REAL[:n], n=100, every=1, folder=tmp_path, load=print,
                      **{"save": print} | {where: fails})
    with pytest.warns(RuntimeWarning, match="no"):
        monitor(1)
    assert len(monitor.looks) == 1


@pytest.mark.parametrize("wrong", [["G"], [lambda n: n], [torch.zeros(2)]])
def test_what_is_no_network_is_refused_in_eval_of(wrong):
    with pytest.raises(TypeError, match="eval_of: expected a Module"):
        Monitor(REAL, lambda n: REAL[:n], eval_of=wrong)


def test_states_and_steps_that_are_none():
    monitor = Monitor(REAL, lambda n: REAL[:n], n=100, eval_of=torch.nn.BatchNorm1d(2))
    for state in ({}, None, torch.nn.Linear(2, 2).state_dict()):
        with pytest.raises(ValueError, match="state: expected what state_dict"):
            monitor.load_state_dict(state)
    for step in ("3", math.nan):
        with pytest.raises((TypeError, ValueError), match="step: expected a"):
            monitor(step)


def test_one_process_draws_from_a_parallel_network_without_the_others(tmp_path):
    import torch.distributed as dist

    from modelab.networks.layers import evaluation_mode
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        net = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 2))
        with evaluation_mode(net):
            assert not net.require_forward_param_sync
        assert net.require_forward_param_sync and net.training
    finally:
        dist.destroy_process_group()
