# %% [markdown]
# # Monitor mode collapse during training
# > How soon do I learn that my generator lost something? How many alarms are false?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | Training runs for days. How do I learn of a collapse within a few looks at the samples, with few false alarms? |
# | **You will be able to** | put a monitor into any training loop; choose how often a sound run may alarm; find when the loss began, and go back to a checkpoint before it |
# | **Papers** | Ville 1939 and Wald 1945 (many looks at one process); Clopper, Pearson 1934 (limits of a rate); Hoeffding 1956 (sums of unequal chances) |
# | **Needs** | [4.2](02_audit.ipynb), [4.3](03_missing.ipynb) |
# | **Time** | about half a minute of computing |

# %%
#| default_exp evaluation.monitor

# %%
#| export
"A monitor for any training loop: lost groups, junk, repeats, copies; few false alarms."
from __future__ import annotations

import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from modelab.core.checks import (check_batch, check_choice, check_number, is_bytes,
                                 tensor_cure)
from modelab.core.files import atomic_write
from modelab.core.plotting import ACCENT, axes, FAKE, Picture
from modelab.core.randomness import _own_randomness
from modelab.core.seeding import derive_seed
from modelab.core.signatures import (checked, Count, Function, Index, InstanceOf, Labels, Real,
                                     Whole)
from modelab.data.readers import index_parts
from modelab.evaluation.copying import ExampleSource
from modelab.evaluation.feature_networks import FeatureChoice
from modelab.evaluation.monitor_files import (csv_lines, draw_rates, draw_shares, group_sheet,
                                              has_line, json_line, write_lines)
from modelab.evaluation.neighbours import MAX_BYTES
from modelab.evaluation.report import _as_images
from modelab.evaluation.sequential_test import Alarm, Counts, RATES, SequentialTest, SETTLE
from modelab.evaluation.yardstick import MeasuredDraw, Yardstick
from modelab.networks.layers import evaluation_mode

# %%
#| export core.randomness
"Random numbers of one's own inside a block: the global ones are afterwards as they were."
from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

# %%
#| export evaluation.sequential_test
"A test of counts over any number of looks at a training, with few false alarms."
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelab.core.statistics import clopper_pearson

# %%
#| export evaluation.yardstick
"What a reference fixes before training: features, groups, and the distances that count."
from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from modelab.core.seeding import derive_seed
from modelab.data.examples import known_classes
from modelab.data.rows import first_few
from modelab.evaluation.copying import (check_spread, named_features, nearest_k, nearest_others,
                                        thin_rows)
from modelab.evaluation.missing import feature_space, MOST_DIRECTIONS
from modelab.evaluation.precision_recall import frechet_distance
from modelab.evaluation.sequential_test import Counts

# %%
#| export evaluation.monitor_files
"What a monitor writes and draws: a log that grows by lines, sheets of groups, named curves."
from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from modelab.core.files import atomic_write
from modelab.core.plotting import ACCENT, axes, FAKE, image_grid, MISSING, Picture, REAL
from modelab.evaluation.report import _as_images
from modelab.evaluation.sequential_test import GONE, RATES

# %%
#| export evaluation.monitor_adapters
"The monitor in Lightning, Ignite, the Trainer of Hugging Face, TensorBoard, and W&B."
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelab.core.files import atomic_write
from modelab.evaluation.monitor import CollapseAlarm, Monitor

# %%
import math
from tempfile import TemporaryDirectory

from modelab.core.checks import error_message
from modelab.core.statistics import wilson_interval
from modelab.course.claims import claim, recorded, steps
from modelab.course.notebooks import patch
from modelab.data.mixtures import ring

# %% [markdown]
# ## A test that is repeated at every look
# Take a perfect generator: it draws from the law of the data. Every thousand steps we *look*: we draw 1,000 samples and test at the level of 5 % whether the first of eight modes is rarer than an eighth. A single look gives a false alarm in at most 5 % of cases.
#
# **Predict:** in how many of 200 perfect runs does at least one of 200 looks alarm?

# %%
from scipy.special import bdtr

# %%
chance = np.random.default_rng(0)
counts = chance.binomial(1000, 1 / 8, (200, 200))  # (runs, looks)
alarms = bdtr(counts, 1000, 1 / 8) <= .05

# %%
first, ever = alarms[:, 0].mean(), alarms.any(1).mean()
f"{first:.0%} at the first look, {ever:.0%} at some look"

# %%
assert first < .1 and ever == 1

# %% [markdown]
# In all of them: each of the 200 looks is another chance of a false alarm. So a monitor with many looks needs a rule for many looks. It also needs a definition of a sound run, because during training the generator is not perfect. A test of "the samples have the law of the data" would raise an alarm at every look, and the alarm would be right.
#
# ## What a sound run is
# At look $t$ the monitor draws $n$ fresh samples. For each sample and each indicator the answer is yes or no.
#
# | indicator | a sample counts if |
# |---|---|
# | group $g$ | its nearest reference example is in group $g$, and it is not junk |
# | junk | it is farther from the reference than 99 % of real examples are from the others |
# | copy | it is so much nearer to its nearest reference example than to the fifth that only 1 % of real examples are |
# | repeat | it is in the second half of the draw, and nearer to the first half than 99.9 % of real examples are to a draw of that size |
#
# The reference should be the training data, or a part of it: copies of other examples are not seen. Groups are your labels, or clusters of the reference, joined where they touch. Write $p_t$ for the chance that a sample counts at look $t$, and $\pi_g$ for the share of group $g$ in the reference.
#
# - A group is **settled** once it got at least 40 % of its share in each of ten looks in a row, and half of it over the ten. Groups that were never settled are listed as *not reached yet*. They do not alarm.
# - A run is **sound** at look $t$ if every settled group has $p_t\ge\tfrac14\pi_g$, and if the chance of junk, of copies and of repeats is at most $b_t+m$. Here $b_t$ is the best level so far: the lowest mean chance over three successive earlier looks. Only looks after the first group was settled are taken; before that, no rate alarms. $m$ is a margin: 5 % of the samples, and 10 % for junk, which goes up and down while networks train.
#
# So a run with a poor generator may be sound. A run that falls below a quarter of the share of a settled group is not sound.

# %% [markdown]
# ## The theorem
# *Condition.* Given the networks, all samples of all looks are independent draws, and the samples of one look have one law.
#
# **Then the chance that a run is sound at every look and alarms is at most** $\alpha$, **over any number of looks.**
#
# Whether a run is *sound* depends on the draws: on the groups that are settled, on $b_t$, and on the first half of a draw (the chance of a repeat is conditional on that half). So the theorem bounds the chance that a run is sound *and* raises an alarm. It says nothing about looks after the first alarm.
#
# The condition fails if the samples of a look depend on each other. A sampler that draws 20 points and returns each of them 50 times gives false alarms. Two more cases may do so: [batch](../glossary.ipynb) normalisation in training mode, where a sample depends on its batch (name the network in `eval_of`), and latents that are used again.
#
# *Proof.* (You may skip it. The sections below do not need it.) The monitor does not change the training: it restores the random numbers. So up to the first alarm the networks do not depend on the monitor's draws. Given the networks, the draws of all looks are independent.
#
# 1. *One test.* A test adds up the last $w$ looks, $w\in\{1,2,3\}$. Of a settled group, it looks only at windows that begin after the group settled. In a sound run each of the $N=wn$ samples falls into the group with a chance of at least $\pi_g/4$. So small counts are at most as likely as for a binomial count with $N$ and $\pi_g/4$. The p-value is $P(\text{Bin}(N,\pi_g/4)\le\text{count})$. It is at most $\varepsilon$ with a chance of at most $\varepsilon$.
# 2. *A rate.* For junk, copies and repeats the p-value is the upper tail at $B+m$, where $B$ is an upper limit of the best level. A *Clopper–Pearson limit* with error $\varepsilon$ is the rate under which so few hits, or fewer, have the chance $\varepsilon$. Such a limit is computed for any three successive looks before the window and after the first group was settled. $B$ is the lowest of these limits. A limit lies below the true mean of its three looks with a chance of at most $\varepsilon$. For three equal chances Clopper and Pearson prove this. For unequal ones it follows from Hoeffding's theorem: the lower tail of the sum is at most the binomial one. The condition of the theorem is a count of at most $N\bar p-1$, where $\bar p$ is the mean chance. It holds for every $\varepsilon$ below 1/4 if $\bar p$ is at most $1-1/N$. For a larger $\bar p$ it fails for the counts $N-1$ and $N$ only. The limit is then at least $(1-\varepsilon)^{1/N}$. With $m$ it is at least 1, and such a limit is not tested. If no limit fails, then $B\ge b_s$ for all looks $s$ of the window, and the tail at $B+m$ is at least the true one.
# 3. *All looks.* Look $t$ may spend $\alpha/(t(t+1))$. Each of the four findings gets a quarter of it. The quarter of *lost* is shared among windows and settled groups. The quarter of a rate is halved: one half for the windows, one for the limit. How many groups are settled before a window is known before its draws. The sum of all is at most
#
# $$\sum_{t\ge1}\frac{\alpha}{t(t+1)}=\alpha\sum_{t\ge1}\Big(\frac1t-\frac1{t+1}\Big)=\alpha.\qquad\square$$
#
# Many looks cost little power. The limit for a p-value falls like $t^{-2}$, but the p-value of a group that is gone falls like $e^{-N\pi_g/4}$. Three looks of 1,000 samples give about $e^{-47}$ for a group of 1/16.

# %%
spent = sum(.05 / (t * (t + 1)) for t in range(1, 100_000))
least = (1 - 1 / 64) ** 3000
assert spent < .05 and math.isclose(bdtr(0, 3000, 1 / 64), least, rel_tol=1e-9)
f"spent over 100,000 looks {spent:.6f}; p of a group of 1/16 that is gone, three looks: {least:.0e}"

# %% [markdown]
# ## The numbers of the rule
# These numbers belong to the definition of *sound*.

# %%
#| export evaluation.sequential_test
SETTLE = 10  # looks in a row after which a group may count as settled
STEADY, ENOUGH = .4, .5  # of its share that a group needs in each of them, and over all
GONE = .25  # of its share: a settled group with less is lost
WINDOWS = 1, 2, 3  # looks that a test adds up
RATES = "junk", "repeats", "copies"


# %% [markdown]
# What one look counts:

# %%
#| export evaluation.sequential_test
@dataclass(frozen=True)
class Counts:
    "What one look counts: samples in each group, and each rate as hits among so many."
    n: int
    groups: tuple[int, ...]
    junk: tuple[int, int]
    repeats: tuple[int, int]
    copies: tuple[int, int]


# %% [markdown]
# The content of an alarm. The test knows looks only; the monitor adds the steps.

# %%
#| export evaluation.sequential_test
@dataclass(frozen=True)
class Alarm:
    "What is no longer sound, by how much, and between which looks it began."
    finding: str  # lost, junk, repeats or copies
    group: int | None  # of `lost`
    before: float  # share of the samples, or rate, before it began
    now: float  # since then
    tested: float  # in the looks that the test added up
    allowed: float  # the least share, or the largest rate, of a sound run
    p: float
    limit: float  # p is at most this
    began: int  # the first look of the change, from 0


# %% [markdown]
# **When did it begin?** Suppose that the rate changes once, at look $k$. The most likely $k$ maximises the [likelihood](../glossary.ipynb) with one rate before it and another rate from it on:
#
# $$\hat k=\arg\max_k\;\ell(\text{looks}<k)+\ell(\text{looks}\ge k),\qquad \ell=x\log\frac xN+(N-x)\log\frac{N-x}N.$$
#
# Only changes for the worse are considered.

# %%
#| export evaluation.sequential_test
def _likelihood(hits: np.ndarray, of: np.ndarray) -> np.ndarray:
    "The largest log-likelihood of so many hits of so many."
    from scipy.special import xlogy
    return xlogy(hits, hits / of) + xlogy(of - hits, 1 - hits / of)


# %% [markdown]
# `up` says which direction is the worse one.

# %%
#| export evaluation.sequential_test
def _change_point(hits: np.ndarray, of: np.ndarray, up: bool) -> int:
    "The first place of the most likely change for the worse; the last place if there is none."
    if len(hits) < 2:
        return len(hits) - 1
    x, n = np.cumsum(hits)[:-1].astype(float), np.cumsum(of)[:-1].astype(float)
    y, m = hits.sum() - x, of.sum() - n
    worse = (y / m > x / n) if up else (y / m < x / n)
    score = np.where(worse, _likelihood(x, n) + _likelihood(y, m), -np.inf)
    return int(score.argmax()) + 1 if worse.any() else len(hits) - 1


# %% [markdown]
# A rate that doubles at the seventh look, against every split by hand:

# %%
hits, of = np.array([30, 28, 33, 29, 31, 30, 61, 66, 58]), np.full(9, 1000)


# %%
def by_hand(k: int) -> float:
    "The log-likelihood of one rate before look k and one from it on."
    parts = [(sum(part), 1000 * len(part)) for part in (hits[:k], hits[k:])]
    return sum(x * math.log(x / n) + (n - x) * math.log(1 - x / n) for x, n in parts)


# %%
assert _change_point(hits, of, True) == max(range(1, 9), key=by_hand) == 6
_change_point(hits, of, True), _change_point(hits, of, False)


# %% [markdown]
# ## The test
# `SequentialTest` holds the counts of all looks and nothing else, so it can be simulated without networks. `settled[g]` is the number of looks after which group $g$ was settled, or 0. `limits[t]` is the best level of each rate that is known after $t$ looks. `looked` counts all looks ever made. It is not set back by a roll back, because the error of these looks is spent.

# %%
#| export evaluation.sequential_test
class SequentialTest:
    "Alarms over any number of looks; a run that stays sound has one with chance `level` at most."
    def __init__(self, shares: Sequence[float],  # of the groups in the reference
                 level: float = .05, margin: float = .05):
        self.shares = np.asarray(shares, float)
        self.level, self.margins = level, dict(junk=2 * margin, repeats=margin, copies=margin)
        self.looks: list[Counts] = []
        self.settled = np.zeros(len(self.shares), int)
        self.limits: list[dict[str, float]] = [dict.fromkeys(RATES, 1.)]
        self.looked = 0

    def add(self, counts: Counts) -> list[Alarm]:
        "One look more; what is not sound."
        self.looks.append(counts)
        self.looked += 1
        error = self.level / (self.looked * (self.looked + 1)) / 4
        found = self._lost(error) + [a for name in RATES for a in self._rate(name, error / 2)]
        self._settle()
        self._lower_limits(error / 2)
        return found

    def keep(self, k: int) -> None:
        "Forget all looks but the first k; the error of the others stays spent."
        self.looks, self.limits = self.looks[:k], self.limits[:k + 1]
        self.settled[self.settled > k] = 0


# %% [markdown]
# A group is settled by its last ten looks:

# %%
#| export evaluation.sequential_test
@patch
def _settle(self: SequentialTest) -> None:
    "Mark the groups that are settled now."
    if len(self.looks) < SETTLE:
        return
    n = np.array([look.n for look in self.looks[-SETTLE:]])
    count = np.array([look.groups for look in self.looks[-SETTLE:]])
    steady = (count >= STEADY * self.shares * n[:, None]).all(0)
    enough = count.sum(0) >= ENOUGH * self.shares * n.sum()
    self.settled[steady & enough & (self.settled == 0)] = len(self.looks)


# %% [markdown]
# A group whose share jumps up and down never settles, so it never alarms. It does not count as *not reached* either. The monitor names such groups: in the last ten looks they had enough at one look and too little at the next.

# %%
#| export evaluation.sequential_test
@patch
def unsteady(self: SequentialTest) -> dict[int, tuple[float, float]]:
    "Groups that come and go, with the least and the most of their share in the last ten looks."
    if len(self.looks) < SETTLE:
        return {}
    n = np.array([look.n for look in self.looks[-SETTLE:]])
    count = np.array([look.groups for look in self.looks[-SETTLE:]])
    got = count / (self.shares * n[:, None])
    fell = ((got[:-1] >= STEADY) & (got[1:] < STEADY)).any(0) & (self.settled == 0)
    least, most = got.min(0), got.max(0)
    return {int(g): (float(least[g]), float(most[g])) for g in np.flatnonzero(fell)}


# %% [markdown]
# The upper Clopper–Pearson limit of a rate (chapter [0.2](../0_start/02_evidence.ipynb)) is the largest rate under which so few hits have a chance of `error`. At the limit the lower tail is the error, summed up by hand:

# %%
_, rate = clopper_pearson(7, 900, 1e-6)
tail = sum(math.comb(900, k) * rate ** k * (1 - rate) ** (900 - k) for k in range(8))
assert math.isclose(tail, 1e-6, rel_tol=1e-6)
assert math.isclose(clopper_pearson(0, 900, 1e-6)[1], 1 - 1e-6 ** (1 / 900))
rate, tail


# %% [markdown]
# Limits only fall.

# %%
#| export evaluation.sequential_test
@patch
def _hits(self: SequentialTest, name: str, window: int) -> tuple[int, int]:
    "Hits of a rate over the last looks, and of how many."
    found = [getattr(look, name) for look in self.looks[-window:]]
    return sum(hits for hits, _ in found), sum(of for _, of in found)


# %% [markdown]
# Three looks make a limit. The first of them comes after a group has settled. Before that the samples may be noise, and a rate may change in any direction.

# %%
#| export evaluation.sequential_test
@patch
def _lower_limits(self: SequentialTest, error: float) -> None:
    "The best level of each rate, after this look."
    best, settled = dict(self.limits[-1]), self.settled[self.settled > 0]
    if len(settled) and len(self.looks) - 3 >= settled.min():
        best = {name: min(old, clopper_pearson(*self._hits(name, 3), error)[1])
                for name, old in best.items()}
    self.limits.append(best)


# %% [markdown]
# The p-values of all settled groups at once:

# %%
#| export evaluation.sequential_test
@patch
def _lost(self: SequentialTest, error: float) -> list[Alarm]:
    "Settled groups that get less than a quarter of their share."
    from scipy.special import bdtr
    t, found = len(self.looks), {}
    for window in WINDOWS:
        tested = (self.settled > 0) & (self.settled <= t - window)
        if not tested.any():
            continue
        count = np.sum([look.groups for look in self.looks[-window:]], 0)
        n = sum(look.n for look in self.looks[-window:])
        p = bdtr(count, n, GONE * self.shares)
        limit = error / len(WINDOWS) / tested.sum()
        for g in np.flatnonzero(tested & (p <= limit)):
            found.setdefault(int(g), (float(p[g]), float(limit), float(count[g] / n)))
    return [self._lost_alarm(g, *values) for g, values in found.items()]


# %% [markdown]
# A rate is compared with the best level that was known before the window.

# %%
#| export evaluation.sequential_test
@patch
def _rate(self: SequentialTest, name: str, error: float) -> list[Alarm]:
    "An alarm if junk, repeats or copies are above the best level plus the margin."
    from scipy.special import bdtrc
    t, limit = len(self.looks), error / len(WINDOWS)
    for window in WINDOWS[:t - 1]:
        bound = self.limits[t - window][name] + self.margins[name]
        hits, of = self._hits(name, window)
        if bound >= 1 or hits <= bound * of:  # p would be large
            continue
        p = float(bdtrc(hits - 1, of, bound))
        if p <= limit:
            return [self._rate_alarm(name, t - window, p, limit, hits / of)]
    return []


# %% [markdown]
# An alarm holds the rate in the tested looks, and the rates before and since the estimated change.

# %%
#| export evaluation.sequential_test
@patch
def _lost_alarm(self: SequentialTest, group: int, p: float, limit: float,
                tested: float) -> Alarm:
    "The alarm of a group, with the looks since it settled as its past."
    start = max(0, int(self.settled[group]) - SETTLE)
    hits = np.array([look.groups[group] for look in self.looks[start:]])
    of = np.array([look.n for look in self.looks[start:]])
    k = _change_point(hits, of, up=False)
    before, now = hits[:k].sum() / max(1, of[:k].sum()), hits[k:].sum() / of[k:].sum()
    return Alarm("lost", group, float(before), float(now), tested,
                 float(GONE * self.shares[group]), p, limit, start + k)


# %% [markdown]
# The past of a rate begins where its best level was reached. What came before is the beginning of training, when everything is junk.

# %%
#| export evaluation.sequential_test
@patch
def _rate_alarm(self: SequentialTest, name: str, known: int, p: float, limit: float,
                tested: float) -> Alarm:
    "The alarm of a rate, with the looks since its best level as its past."
    best = self.limits[known][name]
    start = next(i for i, limits in enumerate(self.limits) if limits[name] == best) - 3
    found = np.array([getattr(look, name) for look in self.looks[start:]])
    hits, of = found.T
    k = _change_point(hits, of, up=True)
    before, now = hits[:k].sum() / max(1, of[:k].sum()), hits[k:].sum() / of[k:].sum()
    return Alarm(name, None, float(before), float(now), tested,
                 float(best + self.margins[name]), p, limit, start + k)


# %% [markdown]
# Three groups: the first jumps between nothing and its share, the second is steady, the third comes up once and stays. The first alone is unsteady.

# %%
jumping = SequentialTest([.2, .6, .2])
for t in range(12):
    groups = 200 * (t % 3 > 0), 600, 200 * (t > 5)
    jumping.add(Counts(1000, groups, (0, 1000), (0, 500), (0, 1000)))
assert jumping.unsteady() == {0: (0., 1.)} and jumping.settled.tolist() == [0, 10, 0]


# %% [markdown]
# ## The theorem, simulated
# The first run is at the edge of sound. All groups settle within ten looks, and three looks give the best levels. From then on each group has exactly a quarter of its share, and each rate is exactly the best level plus the margin. A second run is sound with room to spare, and in a third a group is lost at look 40.

# %%
shares = np.full(16, 1 / 16)


# %%
def play(kind: str, looks: int, seed: int) -> tuple[int | None, list[Alarm]]:
    "The first look with an alarm, and its alarms; lost from look 40 on, at the edge from 13."
    test, g = SequentialTest(shares), np.random.default_rng(seed)
    for t in range(looks):
        changed, quarter = t >= 40, kind == "edge" and t >= 13  # rates cannot alarm earlier
        law = shares * np.where(np.arange(16) < 16 * quarter, GONE, 1.)
        law = law * (np.arange(16) > 0) if kind == "lost" and changed else law
        more = np.array([.1, .05, .05]) * quarter
        rates = [(int(g.binomial(of, .01 + m)), of) for of, m in zip((1000, 500, 1000), more)]
        groups = g.multinomial(1000, [*law, max(0., 1 - law.sum())])[:-1]
        found = test.add(Counts(1000, tuple(map(int, groups)), *rates))
        if found:
            return t, found
    return None, []


# %%
many, long = steps(200, fast=20), steps(200, fast=60)
false = {kind: sum(play(kind, long, seed)[0] is not None for seed in range(many))
         for kind in ("sound", "edge")}

# %%
found = [play("lost", long, seed) for seed in range(1000, 1000 + many)]
delays = [t - 40 for t, _ in found if t is not None]

# %%
right = [[a.group for a in alarms] == [0] and alarms[0].began == 40 for _, alarms in found]
print(f"false alarms {false} of {many} runs of {long} looks each; lost found in {len(delays)}, "
      f"after {min(delays) + 1} to {max(delays) + 1} looks; group and look right in {sum(right)}")

# %%
claim("At most 5 % of simulated sound runs alarm, and a lost group is found within three looks",
      paper="this course", section="the theorem, simulated",
      ours=f"edge {false['edge']}, sound {false['sound']} of {many}; lost {len(delays)} of {many}",
      holds=max(false.values()) <= .05 * many and len(delays) == many and max(delays) < 3)

# %% [markdown]
# Far fewer than 5 % of the sound runs raise an alarm. The main reason: most of the error is spent before any test is possible. A group can be tested from look 11 on, a rate from look 14 on. For these looks the theorem allows $\alpha/11$ in total, which is .45 % of all runs, one in 220. Also, the tails of a count are discrete, windows overlap, and limits lie above the best levels. So the simulation does not show that the level is reached.
#
# ## What the reference fixes
# Everything that the indicators need is fixed before training: the feature space, the groups, and three distances. Each distance is measured between a reference example and the other examples. They come from the reference, and the theorem still holds, because they only define what counts.

# %%
#| export evaluation.yardstick
@dataclass(frozen=True)
class MeasuredDraw:
    "The counts of one draw, and two measures that are shown and not tested."
    counts: Counts
    frechet: float  # Fréchet distance to the reference, in the feature space
    balance: float  # total variation distance between the groups' shares


# %% [markdown]
# K-means may cut a mode into several clusters. During training the samples move a little within a mode, so one of these clusters may be empty for some looks without a loss of the mode. Therefore clusters are joined. First the two are joined that have the largest share of links to nearest neighbours between them, and so on. Joining stops if that share is below 1 %, or if a quarter of the clusters is left.

# %%
#| export evaluation.yardstick
def _joined(group: Tensor, rows: Tensor, least: int) -> Tensor:
    "The joined group of each cluster."
    near, names = group[nearest_others(rows, 5)[1]], torch.arange(int(group.max()) + 1)
    while len(names.unique()) > least:
        values, now = names.unique(return_inverse=True)
        links = torch.zeros(len(values), len(values))
        ends = now[group][:, None].expand_as(near), now[near]
        links.index_put_(ends, torch.ones(near.shape), accumulate=True)
        links = links + links.T
        size = links.sum(1)
        between = (links / torch.minimum(size[:, None], size)).fill_diagonal_(0.)
        a, b = divmod(int(between.argmax()), len(values))
        if between[a, b] < .01:
            break
        names[names == values[b]] = values[a]
    return names.unique(return_inverse=True)[1]


# %% [markdown]
# The number of clusters is chosen such that a cluster holds on average at least 20 reference examples and 25 of the samples. Links are counted among at most 5,000 examples.

# %%
#| export evaluation.yardstick
def _grouped(rows: Tensor, labels: Tensor | None, groups: int, seed: int) -> tuple[list, Tensor]:
    "The names of the groups and the group of each reference row."
    if labels is not None:
        values, index = labels.unique(return_inverse=True)
        return values.tolist(), index
    from sklearn.cluster import KMeans
    fitted = KMeans(groups, n_init=2, random_state=seed).fit(rows.numpy())
    cluster = torch.as_tensor(fitted.labels_).long()
    names = _joined(cluster[:5000], rows[:5000], max(2, groups // 4))
    return list(range(int(names.max()) + 1)), names[cluster]


# %% [markdown]
# The rows that are kept fit into a tenth of `max_bytes`, for clusters and searches copy them. A larger reference is thinned at random.

# %%
#| export evaluation.yardstick
def _apart_for_directions(first: Tensor, n: int, directions: bool,
                          g: torch.Generator) -> tuple[Tensor, Tensor]:
    "Rows of the reference that choose the space, and rows that samples are compared with."
    rest = torch.ones(n, dtype=torch.bool)
    if directions:
        first = first[torch.randperm(len(first), generator=g)[:n // 3]]
        rest[first] = False
    return first, rest.nonzero()[:, 0]


# %% [markdown]
# Examples of more than 64 values become principal directions ([4.3](03_missing.ipynb)). A third of the reference, and 5,000 examples at most, chooses the directions and is then left out. The directions fit the noise of these examples, so samples would lie at other distances than they do.

# %%
#| export evaluation.yardstick
def _watched(labels: Tensor, kept: Tensor) -> Tensor:
    "The labels of the examples that are compared; a warning names classes without any."
    lost = sorted(set(labels.unique().tolist()) - set(labels[kept].unique().tolist()))
    if lost:
        warnings.warn(f"labels: class {first_few(list(map(str, lost)))} is not watched: all of its "
                      "examples chose the principal directions, or were left out for memory",
                      stacklevel=4)
    return labels[kept]


# %% [markdown]
# `Yardstick` holds what the reference fixes.

# %%
#| export evaluation.yardstick
class Yardstick:
    "What a reference fixes before training: features, groups, and the distances that count."
    def __init__(self, reference: Tensor, features: Any, labels: Tensor | None, groups: int,
                 n: int, seed: int, max_bytes: int):
        g = torch.Generator().manual_seed(derive_seed(seed, "monitor"))
        self.event, self.n = tuple(reference.shape[1:]), n
        most = min(5000, max(200, max_bytes // (64 * math.prod(self.event))))
        first = thin_rows(len(reference), most, g)[:most if features is None else 2]
        directions = features is None and math.prod(self.event) > MOST_DIRECTIONS
        first, rest = _apart_for_directions(first, len(reference), directions, g)
        self.name, self.space = feature_space(features, reference[first])
        width = self.features(reference[first[:2]]).shape[1]
        kept = rest[torch.randperm(len(rest), generator=g)[:max(40, max_bytes // (80 * width))]]
        self.rows = torch.empty(len(kept), width, dtype=torch.float64)
        for rows, part in zip(self.rows.split(1000), kept.split(1000)):
            rows.copy_(self.features(reference[part]))
        check_spread(self.rows, features is not None)
        labels, words = known_classes(reference, labels)
        labels = None if labels is None else _watched(labels, kept)
        fit = max(2, min(groups, len(kept) // 20, n // 25))
        self.names, self.group = _grouped(self.rows, labels, fit, seed)
        self.names = [words[g] for g in self.names] if words else self.names
        self.shares = torch.bincount(self.group, minlength=len(self.names)) / len(kept)
        self._distances(g)
        self._examples(reference, kept)


# %% [markdown]
# The features of a draw; gradients are not needed.

# %%
#| export evaluation.yardstick
@patch
def features(self: Yardstick, x: Tensor) -> Tensor:
    "Features of examples, one row each, float64."
    with torch.no_grad():
        found = named_features(self.space, x.detach().cpu(), "reference")
    if len(found) != len(x):
        raise ValueError(f"features: expected {len(x)} rows, one per example, got {len(found)}")
    return found


# %% [markdown]
# The three distances, from at most 2,000 reference examples. `far` is where junk begins. `close` is the ratio of the first to the fifth distance below which a sample is a copy. `alike` is the distance of a repeat.

# %%
#| export evaluation.yardstick
@patch
def _distances(self: Yardstick, generator: torch.Generator) -> None:
    "The distances that count, each a quantile over real examples."
    order = torch.randperm(len(self.rows), generator=generator)
    distance, index = nearest_k(self.rows[order[:2000]], self.rows, 6)
    own = index == order[:2000, None]
    own[~own.any(1), 0] = True  # not listed among its copies: drop one of them
    distance = distance[~own].view(-1, 5)
    self.far = float(distance[:, 0].quantile(.99))
    self.close = float(self._ratio(distance).quantile(.01))
    half = min(self.n // 2, len(order) // 2)
    apart = nearest_k(self.rows[order[half:][:2000]], self.rows[order[:half]])[0]
    self.alike = float(apart.quantile(.001))


# %% [markdown]
# A sample that equals a reference example has the ratio 0, also if five reference examples are equal.

# %%
#| export evaluation.yardstick
@patch
def _ratio(self: Yardstick, distance: Tensor) -> Tensor:
    "The nearest distance by the fifth."
    return distance[:, 0] / distance[:, 4].clamp(min=1e-300)


# %% [markdown]
# The eight reference examples nearest to the centre of a group show what it is.

# %%
#| export evaluation.yardstick
@patch
def _examples(self: Yardstick, reference: Tensor, kept: Tensor) -> None:
    "Reference examples of each group, the most typical first, and their rows."
    self.indices, self.examples = [], []
    for g in range(len(self.names)):
        mine = (self.group == g).nonzero()[:, 0]
        middle = self.rows[mine].mean(0, keepdim=True)
        near = mine[nearest_k(middle, self.rows[mine], min(8, len(mine)))[1][0]]
        self.indices.append(kept[near].tolist())
        self.examples.append(reference[kept[near]].detach().cpu().clone())


# %% [markdown]
# A sample belongs to the group of its nearest reference example, unless it is junk. (If noise counted, groups would settle in the first looks although the generator does not make them yet, and would then be lost.)

# %%
#| export evaluation.yardstick
@patch
def measure(self: Yardstick, samples: Tensor) -> MeasuredDraw:
    "All counts of one draw."
    x = self.features(samples)
    distance, index = nearest_k(x, self.rows, 5)
    junk, copies = distance[:, 0] > self.far, self._ratio(distance) <= self.close
    groups = torch.bincount(self.group[index[~junk, 0]], minlength=len(self.names))
    half = len(x) // 2
    again = nearest_k(x[half:], x[:half])[0][:, 0] <= self.alike
    counts = Counts(len(x), tuple(groups.tolist()), *(
        (int(hits.sum()), len(hits)) for hits in (junk, again, copies)))
    share = groups / max(1, int(groups.sum()))
    balance = float((share - self.shares).abs().sum() / 2)
    return MeasuredDraw(counts, frechet_distance(self.rows, x), balance)


# %%
law = ring()
draw = torch.Generator().manual_seed(0)
reference = law.sample(2000, generator=draw)

# %%
yard = Yardstick(reference, None, None, 32, 1000, 0, 5 * MAX_BYTES)
seen = yard.measure(law.sample(1000, generator=draw))
assert len(yard.names) == 8  # 32 clusters, joined down to a quarter: the floor

# %%
assert all(hits / of < .04 for hits, of in (seen.counts.junk, seen.counts.copies))
assert yard.measure(reference[:1000]).counts.copies == (1000, 1000)
seen.counts

# %% [markdown]
# Here eight groups are left because at least a quarter of the 32 clusters must be left. With twelve modes this bound is not reached: joining stops earlier, where less than 1 % of the links are between two groups. Then each group is one mode.

# %%
many_modes, mode = ring(12, std=.04).sample_with_modes(1500, torch.Generator().manual_seed(2))
twelve = Yardstick(many_modes, None, None, 32, 1000, 0, 5 * MAX_BYTES)
pure = all(len(set(mode[rows].tolist())) == 1 for rows in twelve.indices)
assert len(twelve.names) == 12 and pure
f"{len(twelve.names)} groups, examples of one mode in each: {pure}"


# %% [markdown]
# The Fréchet distance and the balance are measured and logged at each look. They are not tested. During training the distribution of the Fréchet distance is not known, and it depends on $n$. So no threshold on it has a known rate of false alarms.
#
# ## One look
# From here to [a loop of your own](#A-loop-of-your-own), the code draws samples, restores random numbers, and writes logs and checkpoints. You may skip it at a first reading.
#
# A look is true if it raises an alarm, so a loop may say `if monitor(step):`.

# %%
#| export
@dataclass(frozen=True)
class Look:
    "What one look found; true if it alarms."
    step: int
    counts: Counts
    frechet: float
    balance: float
    lost: float  # share of the data in groups that alarm
    waiting: float  # share of the data in groups that never settled
    alarms: tuple[Alarm, ...]
    after: int  # step: what alarms first, began after this look
    says: str
    seconds: float = field(compare=False)

    def __bool__(self) -> bool:
        return bool(self.alarms)

    def __repr__(self) -> str:
        return self.says


# %% [markdown]
# A log gets plain numbers.

# %%
#| export
@patch
def values(self: Look) -> dict[str, float]:
    "The numbers of this look by name, for a log."
    rates = {name: hits / max(1, of) for name, (hits, of) in
             ((name, getattr(self.counts, name)) for name in RATES)}
    numbers = dict(lost=self.lost, not_reached=self.waiting, **rates, balance=self.balance,
                   frechet=self.frechet, alarm=float(bool(self)), seconds=self.seconds)
    return {f"monitor/{name}": float(value) for name, value in numbers.items()}


# %% [markdown]
# ## The monitor does not change training
# A monitor that uses the random numbers of the training changes the training. So every look has its own random numbers, from the seed and the number of the look. After the look it restores the earlier state: of torch on the CPU and on every device in use, of numpy, and of Python. If your sampler has its own generator object, the monitor does not restore it.

# %%
#| export core.randomness
def _random_state() -> tuple:
    "The states of all global random numbers."
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    return torch.get_rng_state(), cuda, mps, np.random.get_state(), random.getstate()


# %% [markdown]
# The state of CUDA is left alone until the training uses CUDA. A seed that is set before would take effect when the device starts. For MPS this cannot be tested. If MPS is available, its state is kept and restored.

# %%
#| export core.randomness
@contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    "Inside, global random numbers start from `seed`; after it they are as they were."
    cpu, cuda, mps, numbers, python = _random_state()
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2 ** 32)
    random.seed(seed)
    if cuda is not None:
        torch.cuda.manual_seed_all(seed)
    if mps is not None:
        torch.mps.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        np.random.set_state(numbers)
        random.setstate(python)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)


# %% [markdown]
# Dropout and batch normalisation work differently in training mode. The monitor leaves your networks in their mode, unless you name them in `eval_of`. Batch normalisation in training mode changes its running means with every draw, so name such a network.

# %%
before = torch.get_rng_state()
with _own_randomness(3):
    a = torch.rand(2)
assert torch.equal(before, torch.get_rng_state())

# %%
with _own_randomness(3):
    assert torch.equal(a, torch.rand(2))


# %% [markdown]
# ## The monitor
# An alarm may stop the loop. Then this error comes out of the call:

# %%
#| export
class CollapseAlarm(RuntimeError):
    "A look alarmed, and the monitor was asked to stop; `look` holds what was found."
    def __init__(self, look: Look):
        super().__init__(look.says)
        self.look = look


# %% [markdown]
# There are three kinds of arguments. Bytes are refused (`scaled`), because their scale is not known. With samples on a wrong scale everything would be junk from the first look on, and this raises no alarm.

# %%
#| export
_Reference = Annotated[Tensor, ExampleSource("reference *event", 40, scaled=True)]
_Half = Annotated[float, Real(0., .5, above=0.)]
_Hook = Annotated[Callable, Function()] | None


# %% [markdown]
# `help(Monitor)` says what it does, shows an example, and says what to call next and what is refused.

# %%
#| export
class Monitor:
    """Watches a generator in any training loop; a sound run alarms with chance `level` at most.

    Every `every` steps it draws `n` samples, and counts how many fall into each group of the
    reference, and how many are junk, repeats of each other, or copies. A look alarms if a settled
    group gets less than a quarter of its share, or a rate is above its best level plus `margin`.
    Training stays as it is, bit for bit, and at most the share `budget` of the time is spent. The
    reference: see `held_examples`; labels within it make groups. Pictures of a folder are in
    [0, 1], and bytes are refused, because its scale must be that of the samples.

    >>> G, x = torch.nn.Linear(8, 8), torch.randn(500, 8)
    >>> monitor = Monitor(x, sampler=lambda n: G(torch.randn(n, 8)), every=100, n=200)
    >>> for step in range(1, 301):
    ...     look = monitor(step)  # None, or a `Look`, which is true if it alarms

    Next: `print(look)` and `report()` say what was found, `plot()` and `show_groups()` draw it,
    `lost()` gives the real examples of what was lost, `table()` the numbers. `roll_back()` loads a
    checkpoint from before a loss (give `folder`, `save`, `load`); `state_dict()` is for resuming.
    For Lightning, Ignite, the Trainer of Hugging Face, TensorBoard and W&B see
    `modelab.evaluation.monitor_adapters`; `read_looks(file)` reads the log. Wrong arguments are a
    `ValueError` or `TypeError` that names them; with `on_alarm="stop"` an alarm is a
    `CollapseAlarm`. What *sound* means, and the proof: chapter 4.6.
    """


# %% [markdown]
# Most defaults can stay. A smaller `every` and a larger `n` find faults sooner and cost more time. `budget` bounds the cost.

# %%
#| export
@patch
@checked
def __init__(self: Monitor, reference: _Reference,  # real examples (N, *event), N ≥ 40
             sampler: Annotated[Callable, Function()],  # n -> n fresh examples (n, *event)
             every: Count = 1000,  # steps between looks
             *, n: Annotated[int, Whole(50)] = 1000,  # samples a look
             features: FeatureChoice | None = None,  # a name, a file or a function
             labels: Annotated[Tensor, Labels("reference")] | None = None,  # (N,): make groups
             groups: Annotated[int, Whole(2)] = 32,  # clusters, before they are joined
             level: _Half = .05,  # chance that a sound run alarms at any look
             margin: _Half = .05,  # of the samples, that a rate may rise; of junk, twice that
             budget: Annotated[float, Real(0., 1., above=0.)] = .05,  # share of the time
             on_alarm: str | Callable = "warn",  # warn, stop, or a function of the look
             log: _Hook = None,  # gets numbers by name, and the step
             folder: str | Path | None = None,  # of one training: tables, pictures, checkpoints
             save: _Hook = None, load: _Hook = None,  # get a path
             eval_of: Sequence[torch.nn.Module] = (),  # in evaluation mode while drawing
             seed: Index = 0, max_bytes: Annotated[int, Whole(1 << 20)] = 5 * MAX_BYTES):
    self.sampler, self.every, self.budget, self.seed = sampler, every, budget, seed
    self.on_alarm, self.log, self.save, self.load = on_alarm, log, save, load
    self.eval_of, self.folder = _modules(eval_of), None if folder is None else Path(folder)
    self.pictures = getattr(features, "pictures", False)  # in [0, 1]
    self.yardstick = Yardstick(reference, features, labels, groups, n, seed, max_bytes)
    self.test = SequentialTest(self.yardstick.shares.numpy(), level, margin)
    self._begin(reference)


# %% [markdown]
# `eval_of` takes networks, not functions: a batch normalisation inside a function would stay in training mode.

# %%
#| export
def _modules(networks: Any) -> tuple[torch.nn.Module, ...]:
    "The networks of `eval_of`, one or several."
    nets = [networks] if isinstance(networks, torch.nn.Module) else list(networks)
    return tuple(InstanceOf(torch.nn.Module).check("eval_of", net) for net in nets)


# %% [markdown]
# The least and the greatest value of the reference set the scale of its pictures. A reference that is larger than memory is read in parts.

# %%
#| export
def _ends(reference: Any) -> list[float]:
    "The least and the greatest value."
    parts = index_parts(reference, torch.arange(len(reference)))
    ends = torch.stack([torch.stack(reference[part].aminmax()) for part in parts])
    return [float(ends[:, 0].min()), float(ends[:, 1].max())]


# %% [markdown]
# Options that cannot work are refused before training. The sampler is called first at the first look; what it returns is checked there, and at every look.

# %%
#| export
@patch
def _begin(self: Monitor, reference: Tensor) -> None:
    "Check the options; nothing was looked at yet."
    if not callable(self.on_alarm):
        check_choice("on_alarm", self.on_alarm, ("warn", "stop"))
    if self.save and self.folder is None:
        raise ValueError("folder: expected a folder for the checkpoints of save, got None")
    if self.folder is not None:
        self.folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=self.folder).close()  # or an error: it cannot be written to
        axes()  # loads the plotting packages now, not within the first look
    self.ends = _ends(reference)
    self.looks: list[Look] = []
    self.alarms: list[Look] = []  # looks that alarmed, also before a roll back
    self.checkpoints: list[tuple[int, Path]] = []
    self.step, self.due, self.left_out = 0, self.every, 0
    self.seconds, self.last, self.started = 0., 0., time.perf_counter()
    self.announced: set[tuple] = set()
    self._logged, self._last_line = 0, b""  # looks that stand in the log, and its end
    self._pictures = _as_images(self.yardstick.examples[0]) is not None


# %% [markdown]
# A draw, checked. A sampler that returns more than it was asked for is cut.

# %%
#| export
@patch
def _draw(self: Monitor) -> Tensor:
    "Fresh samples, drawn with random numbers of their own."
    n = self.yardstick.n
    seed = derive_seed(self.seed, "monitor", self.test.looked)
    with _own_randomness(seed), evaluation_mode(*self.eval_of), torch.no_grad():
        x = self.sampler(n)
    if is_bytes(x) or not isinstance(x, (Tensor, np.ndarray)):
        got = "bytes" if is_bytes(x) else type(x).__name__
        raise TypeError(f"sampler: expected a tensor of {n} examples, got {got}"
                        f"{tensor_cure('x', x, 'return')}")
    x = check_batch("sampler", x, self.yardstick.event, n)[:n].detach().cpu()
    return self.yardstick.clipped(x, not self.looks) if self.pictures else x


# %% [markdown]
# A network by name takes pictures in [0, 1]. A generator without a bounded output may leave this range at any step, and this must not end a training. So values outside are clipped, as when pictures are saved, with one warning. At the first look, a range such as [-1, 1] is refused.

# %%
#| export evaluation.yardstick
@patch
def clipped(self: Yardstick, x: Tensor, first: bool) -> Tensor:
    "Pictures in [0, 1]; a first draw on another scale is refused."
    low, high = (float(v) for v in x.aminmax())
    if low >= -1e-4 and high <= 1 + 1e-4:
        return x
    if first and (low < -.5 or high > 1.5):
        cure = "(x + 1) / 2" if low > -1.5 and high < 1.5 else "values in [0, 1]"
        raise ValueError("sampler: expected pictures from 0 to 1, as features by name need, "
                         f"got {low:.4g} to {high:.4g}; return {cure}")
    if not getattr(self, "warned", False):
        self.warned = True
        warnings.warn(f"sampler: values from {low:.4g} to {high:.4g} were clipped to [0, 1], "
                      "here and at later looks", RuntimeWarning, stacklevel=4)
    return x.clamp(0, 1)


# %% [markdown]
# A look is left out if all looks together would take more than the budget, which is a share of the time since the monitor was made. The next look is due `every` steps later. The first look is always made, because its cost is not known before. In a short training it alone may take more than the budget. A call without a look costs two comparisons.

# %%
#| export
@patch
def __call__(self: Monitor, step: int) -> Look | None:
    "Look, if a look is due at this step; None if none is."
    check_number("step", step)
    if step < self.step:
        raise ValueError(f"step: expected at least {self.step}, the step of the last call, got "
                         f"{step}; to go back, use roll_back() or load_state_dict()")
    self.step = int(step)
    if step < self.due:
        return None
    elapsed = time.perf_counter() - self.started + self.last
    if self.seconds + self.last > self.budget * elapsed:
        self.left_out += 1
        self.due = (self.step // self.every + 1) * self.every
        return None
    return self.look()


# %% [markdown]
# `look()` looks now, whatever is due.

# %%
#| export
@patch
def look(self: Monitor) -> Look:
    "Look now, at the step of the last call."
    start = time.perf_counter()
    self.test.keep(len(self.looks))  # a look that was interrupted may have left more
    samples = self._draw()
    measured = self.yardstick.measure(samples)
    found = tuple(self.test.add(measured.counts))
    look = self._look(measured, found, start)
    self.looks.append(look)
    if look:
        self.alarms.append(look)
    self.due = (self.step // self.every + 1) * self.every
    self._keep(look, samples)
    self.last = time.perf_counter() - start
    self.seconds += self.last
    self._react(look)
    return look


# %% [markdown]
# The look as a record, with a sentence.

# %%
#| export
@patch
def _look(self: Monitor, measured: MeasuredDraw, found: tuple[Alarm, ...], start: float) -> Look:
    "What was found at this step."
    gone = [a.group for a in found if a.group is not None]
    waiting = float(self.test.shares[self.test.settled == 0].sum())
    lost = float(self.test.shares[gone].sum())
    after = min((self._step_before(a.began) for a in found), default=self.step)
    told = [*map(self._sentence, found)] or ["nothing got worse"]
    says = f"step {self.step:,}: " + "; ".join(told + self._remarks(measured.counts))
    return Look(self.step, measured.counts, measured.frechet, measured.balance, lost, waiting,
                found, after, says, time.perf_counter() - start)


# %% [markdown]
# A rate that is high from the first look on does not get worse, so no test raises an alarm. A remark in the sentence of the look names it.

# %%
#| export
@patch
def _remarks(self: Monitor, counts: Counts) -> list[str]:
    "What is not tested: groups that never settled, and high rates."
    young, unsteady = len(self.test.looks) < SETTLE, self.test.unsteady()
    never = self.test.settled == 0
    never[list(unsteady)] = False
    waiting = float(self.test.shares[never].sum())
    told = [f"no alarm is possible before look {SETTLE + 1}"] * young
    told += [f"{waiting:.1%} of the data not reached yet"] * (waiting > 0 and not young)
    told += [self._comes_and_goes(unsteady)] * bool(unsteady)
    for name in RATES[1:]:
        hits, of = getattr(counts, name)
        told += [f"{hits / of:.0%} {name}: audit these samples"] * (hits > of / 2)
    far = counts.junk[0] > .95 * counts.n
    return told + ["nearly all is junk, as at the start of a training, or where samples and "
                   "reference are not on one scale"] * far


# %% [markdown]
# Groups that come and go, by name. While a generator still learns there may be many, so three are named here, those with the largest shares first; the report names all.

# %%
#| export
@patch
def _comes_and_goes(self: Monitor, unsteady: dict[int, tuple[float, float]], most: int = 3) -> str:
    "The groups that never settle because their share jumps, in words."
    order = sorted(unsteady, key=lambda g: -self.test.shares[g])
    told = []
    for g in order[:most]:
        low, high = unsteady[g]
        told.append(f"{self.yardstick.names[g]} ({low:.0%} to {high:.0%} of its share)")
    more = f" and {len(order) - most} more" * (len(order) > most)
    return (f"groups that come and go in the last {SETTLE} looks, and so cannot alarm: "
            f"{', '.join(told)}{more}")


# %% [markdown]
# Looks are at known steps, so a beginning is known up to one look.

# %%
#| export
@patch
def _step_before(self: Monitor, look: int) -> int:
    "The step of the look before this one; 0 before the first."
    return self.looks[look - 1].step if look > 0 else 0


# %% [markdown]
# One sentence for an alarm. The first rate is that of the looks that were tested. The change may have begun earlier or later than they did.

# %%
#| export
@patch
def _sentence(self: Monitor, alarm: Alarm) -> str:
    "An alarm in words."
    of = "the second half of the samples" if alarm.finding == "repeats" else "the samples"
    what = f"{alarm.finding} {alarm.tested:.1%} of {of}, at most {alarm.allowed:.1%} is sound"
    seen = ""
    if alarm.group is not None:
        name, share = self.yardstick.names[alarm.group], self.test.shares[alarm.group]
        what = f"lost group {name} with {share:.1%} of the data: {alarm.tested:.1%} of {of}"
        new = ("lost", alarm.group) not in self.announced
        if self.folder is not None and self._pictures and new:
            seen = f"; real examples of it in lost-{name}-{self.step}.png"
    return (f"ALARM {what}, {alarm.before:.1%} before; it began after step "
            f"{self._step_before(alarm.began):,} (p = {alarm.p:.0e}){seen}")


# %% [markdown]
# At an alarm the monitor warns, stops, or calls your function. A finding warns once, and again only if it was gone for a look. A function is called at every look with an alarm.

# %%
#| export
@patch
def _react(self: Monitor, look: Look) -> None:
    "Warn, stop, or call the user's function."
    known = {(a.finding, a.group) for a in look.alarms}
    fresh, self.announced = known - self.announced, known
    if callable(self.on_alarm):
        if look:
            self.on_alarm(look)
    elif look and self.on_alarm == "stop":
        raise CollapseAlarm(look)
    elif fresh:
        warnings.warn(look.says, RuntimeWarning, stacklevel=4)


# %% [markdown]
# Tables, pictures and checkpoints. A full disk gives a warning and does not end the training. This is also true if your `save` or your `log` fails. Ctrl-C still ends it.

# %%
#| export
@patch
def _keep(self: Monitor, look: Look, samples: Tensor) -> None:
    "Log the look, and write what the folder holds."
    if self.log:
        try:
            self.log(look.values(), look.step)
        except Exception as error:  # of any logging library
            warnings.warn(f"log: {type(error).__name__}: {error}", RuntimeWarning, stacklevel=4)
    if self.folder is None:
        return
    try:
        self._own_folder()
        self._write(look, samples)
        if self.save and not any(seen.alarms for seen in self.looks):
            self._checkpoint(look.step)
    except Exception as error:  # a full disk, or what the user's `save` raises
        warnings.warn(f"folder: could not write to {self.folder}: {error}", RuntimeWarning,
                      stacklevel=4)


# %% [markdown]
# A look adds a line to each table, so the thousandth look writes as much as the first. If the process is killed while it writes, the last line may be cut. `read_looks` leaves such a line out, and a training that is resumed writes the tables whole once.

# %%
#| export evaluation.monitor_files
def write_lines(path: Path, lines: bytes, more: bool) -> None:
    "Add whole lines to the end of a file; or, without `more`, write them instead of what is there."
    if not more:
        return atomic_write(path, lines)
    with path.open("ab") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())


# %% [markdown]
# The reader:

# %%
#| export evaluation.monitor_files
def read_looks(path: str | Path) -> list[dict[str, Any]]:
    """The looks in a monitor's `looks.jsonl`, a table each, the oldest first.

    A last line that was cut off, as by a kill, is left out. `OSError` for a file that is not there,
    `ValueError` for one that is no such log.
    """
    whole = Path(path).read_bytes().split(b"\n")[:-1]  # what follows the last end of line was cut
    try:
        looks = [json.loads(line) for line in whole if line.strip()]
    except ValueError as error:
        raise ValueError(f"path: expected the looks.jsonl of a Monitor, got {path} ({error})") \
            from None
    if not all(isinstance(look, dict) and "step" in look for look in looks):
        raise ValueError(f"path: expected the looks.jsonl of a Monitor, got {path}")
    return looks


# %% [markdown]
# The same numbers as a table for a spreadsheet:

# %%
#| export evaluation.monitor_files
def csv_lines(rows: Sequence[Mapping[str, Any]], header: bool) -> bytes:
    "Rows of numbers by name as lines of a CSV file; the names stand in the header."
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return table.getvalue().encode()


# %% [markdown]
# The tables are written whole at the first look, after going back or resuming, and after a write that failed.

# %%
#| export
@patch
def _write_tables(self: Monitor) -> None:
    "The last look as a line of looks.jsonl and of looks.csv; or all looks."
    tables = self.folder / "looks.jsonl", self.folder / "looks.csv"
    more = self._logged == len(self.looks) - 1 and all(file.exists() for file in tables)
    looks, self._logged = self.looks[-1:] if more else self.looks, 0
    lines = b"".join(map(json_line, looks))
    write_lines(tables[0], lines, more)
    write_lines(tables[1], csv_lines(list(map(_row, looks)), header=not more), more)
    self._logged, self._last_line = len(self.looks), json_line(looks[-1])


# %% [markdown]
# A line of the log:

# %%
#| export evaluation.monitor_files
def json_line(look: Any) -> bytes:
    "A look, which is a dataclass, as a line of JSON."
    return (json.dumps(asdict(look)) + "\n").encode()


# %% [markdown]
# A folder is for one training. The log itself says whose it is: a line holds the seconds that the look took, so the lines of two trainings differ.

# %%
#| export evaluation.monitor_files
def has_line(path: Path, line: bytes, at_end: bool) -> bool:
    "Whether a file begins with these bytes; or, with `at_end`, ends with them."
    with path.open("rb") as file:
        if at_end:
            file.seek(-min(len(line), path.stat().st_size), os.SEEK_END)
        return file.read(len(line)) == line


# %% [markdown]
# A monitor that starts or resumes compares the first line of the log with its own first look. If they differ, the log is of another training, and is put aside. A monitor that goes on compares the last line of the log with the last line that it wrote. If they differ, another monitor has the folder now.

# %%
#| export
@patch
def _own_folder(self: Monitor) -> None:
    "Put tables of an earlier training aside; leave the folder to one that writes there now."
    log = self.folder / "looks.jsonl"
    if not log.exists():
        return
    if self._logged:
        if not has_line(log, self._last_line, at_end=True):
            self._leave_folder()
    elif not has_line(log, json_line(self.looks[0]), at_end=False):
        self._put_aside()


# %% [markdown]
# Tables of another training are renamed `looks-before-1.jsonl` and `.csv`, with the next free number, so no start of a training overwrites them.

# %%
#| export
@patch
def _put_aside(self: Monitor) -> None:
    "Rename the tables of another training."
    number = 1
    while any(self.folder.glob(f"looks-before-{number}.*")):
        number += 1
    for file in (self.folder / "looks.jsonl", self.folder / "looks.csv"):
        if file.exists():
            file.replace(file.with_stem(f"looks-before-{number}"))


# %% [markdown]
# If two trainings run at once and are given one folder, the one that started last has it. The other one warns and goes on in a folder within, with all its looks. Checkpoints have the step as their name, so the training that has the folder may have overwritten those of the other. These are no longer used.

# %%
#| export
@patch
def _leave_folder(self: Monitor) -> None:
    "Go on in a new folder within this one."
    shared, number = self.folder, 2
    while (shared / f"monitor-{number}").exists():
        number += 1
    own = shared / f"monitor-{number}"
    own.mkdir()
    self.folder, self.checkpoints, self._logged = own, [], 0
    warnings.warn(f"folder: another Monitor writes to {shared}; this one goes on in {own}, and "
                  "uses none of its checkpoints so far. Give each training a folder of its own",
                  RuntimeWarning, stacklevel=6)


# %% [markdown]
# A row holds the step and the numbers:

# %%
#| export
def _row(look: Look) -> dict[str, float]:
    "A look as a row of a table."
    return {"step": look.step} | {name.removeprefix("monitor/"): value
                                  for name, value in look.values().items()}


# %% [markdown]
# Pictures are drawn on the scale of the reference. A group that has no label has a picture: a row of its real examples, the most typical first.

# %%
#| export evaluation.monitor_files
def group_sheet(pictures: Mapping[Any, Tensor],  # by name, (n, h, w), (n, c, h, w) or (n, h, w, c)
                low: float, high: float,  # what is black, and what is white
                columns: int = 8) -> Picture:
    "Pictures in rows with a name beside each; a group of more than `columns` takes several rows."
    sizes = [(len(x) - 1) // columns + 1 for x in pictures.values()]
    figure, panels = axes(len(sizes), 1, size=(4.6, .6 * sum(sizes) / len(sizes)), squeeze=False,
                          gridspec_kw=dict(height_ratios=sizes))
    for (name, x), ax in zip(pictures.items(), panels[:, 0]):
        image_grid(ax, (_as_images(x).float() - low) / max(high - low, 1e-12), columns)
        ax.text(-.02, .5, str(name), transform=ax.transAxes, ha="right", va="center")
    return Picture(figure, "; ".join(f"{name}: {len(x)} pictures" for name, x in pictures.items()))


# %% [markdown]
# The folder gets such a sheet of all groups at the first look, of the samples at each look, and of what was lost at the first look of an alarm.

# %%
#| export
@patch
def _write(self: Monitor, look: Look, samples: Tensor) -> None:
    "looks.jsonl, looks.csv, and pictures of the samples, of the groups, and of what was lost."
    first = self._logged == 0
    self._write_tables()
    if not self._pictures:
        return
    sheets = {f"samples-{look.step}": group_sheet({"": samples[:50]}, *self.ends, 10)}
    if first:
        sheets["groups"] = self.show_groups()
    lost = [a.group for a in look.alarms if ("lost", a.group) not in self.announced]
    sheets |= {f"lost-{name}-{look.step}": self.show_groups([name]) for name in
               (self.yardstick.names[g] for g in lost if g is not None)}
    for name, picture in sheets.items():
        atomic_write(self.folder / f"{name}.png", picture.png)


# %% [markdown]
# Checkpoints are written at sound looks, through the user's `save`, until the first alarm. The last five and the first are kept. Between them the distances grow: an old checkpoint is deleted if the two beside it are no farther apart than the newer of them is old. So a loss that begins slowly, long before its alarm, still has a checkpoint before it, at most about twice as old. At most $6+2\log_2$ of the number of looks are kept.

# %%
#| export
@patch
def _checkpoint(self: Monitor, step: int) -> None:
    "Save a checkpoint of this look, and thin out the old ones."
    path = self.folder / f"checkpoint-{step}"
    self.save(path)
    self.checkpoints.append((step, path))
    for i in range(len(self.checkpoints) - 6, 0, -1):
        (before, _), (_, old), (after, _) = self.checkpoints[i - 1:i + 2]
        if after - before > step - after:
            continue
        del self.checkpoints[i]
        shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)


# %% [markdown]
# Going back deletes the looks after the checkpoint, and the groups that settled after it are no longer settled. The spent error stays spent. The theorem covers looks up to the first alarm only, so not those after a roll back. If the loss is as old as the first look, there is nothing to load, and this is an error.

# %%
#| export
@patch
def roll_back(self: Monitor) -> int:
    "Load the last checkpoint from before the loss began; its step, from which to go on."
    if self.load is None:
        raise RuntimeError("roll_back: expected a Monitor with load=, a function of a path")
    if self.folder is not None and self.looks:
        self._own_folder()
    began = min((look.after for look in self.looks if look), default=self.step)
    good = [(step, path) for step, path in self.checkpoints if step <= began]
    if not good:
        kept = [step for step, _ in self.checkpoints]
        raise RuntimeError(f"roll_back: no checkpoint from step {began} or before; kept {kept}")
    step, path = good[-1]
    self.load(path)
    self.looks = [look for look in self.looks if look.step <= step]
    self.test.keep(len(self.looks))
    self.checkpoints, self.announced, self.step = good, set(), step
    self.due = (step // self.every + 1) * self.every
    return step


# %% [markdown]
# A resumed training needs the monitor's state. It consists of plain numbers and lists, so JSON and `torch.save` can store it. It also holds the three distances and the shares of the reference. They are used to check that the same reference is given again, because another reference would make other groups.

# %%
#| export
@patch
def state_dict(self: Monitor) -> dict[str, Any]:
    "All that a resumed training needs, as plain numbers, texts and lists."
    yard = self.yardstick
    test = dict(looked=self.test.looked, limits=[dict(limits) for limits in self.test.limits],
                settled=self.test.settled.tolist())
    return dict(looks=[asdict(look) for look in self.looks], test=test,
                alarms=[asdict(look) for look in self.alarms],
                checkpoints=[[step, str(path)] for step, path in self.checkpoints],
                step=self.step, due=self.due, left_out=self.left_out, seconds=self.seconds,
                last=self.last, elapsed=time.perf_counter() - self.started,
                announced=[list(known) for known in sorted(self.announced, key=str)],
                yardstick=[yard.far, yard.close, yard.alike, *yard.shares.tolist()])


# %% [markdown]
# A look from its record:

# %%
#| export
def _look_from(record: dict[str, Any]) -> Look:
    "A look as it was before it was stored."
    counts = {name: value if name == "n" else tuple(value)
              for name, value in record["counts"].items()}
    alarms = tuple(Alarm(**alarm) for alarm in record["alarms"])
    return Look(**record | {"counts": Counts(**counts), "alarms": alarms})


# %% [markdown]
# Loading a state. A monitor that has already looked, for example before a roll back in the same process, keeps its alarms and its spent error. A new process does not know the looks after the state was saved. It makes them again, so their error is spent twice.

# %%
#| export
@patch
def load_state_dict(self: Monitor, state: dict[str, Any]) -> None:
    "Go on where `state_dict` was taken; the reference and its groups must be the same."
    if not isinstance(state, dict) or "yardstick" not in state:
        raise ValueError("state: expected what state_dict() of a Monitor gave, got "
                         f"{type(state).__name__}")
    yard, kept = self.yardstick, state["yardstick"]
    mine = [yard.far, yard.close, yard.alike, *yard.shares.tolist()]
    if len(kept) != len(mine) or not np.allclose(kept, mine, rtol=1e-6):
        raise ValueError("state: it belongs to another reference, other features or groups")
    self._logged = 0  # the log may hold other looks
    self.looks, alarms = (list(map(_look_from, state[name])) for name in ("looks", "alarms"))
    self.alarms = alarms + [look for look in self.alarms if look not in alarms]
    self.checkpoints = [(step, Path(path)) for step, path in state["checkpoints"]]
    for name in ("step", "due", "left_out", "seconds", "last"):
        setattr(self, name, state[name])
    self.started = time.perf_counter() - state["elapsed"]
    self.announced = {tuple(known) for known in state["announced"]}
    self.test.looks = [look.counts for look in self.looks]
    self.test.limits = [dict(limits) for limits in state["test"]["limits"]]
    self.test.settled = np.array(state["test"]["settled"])
    self.test.looked = max(self.test.looked, state["test"]["looked"])


# %% [markdown]
# ## What it shows
# A row for each look:

# %%
#| export
@patch
def table(self: Monitor) -> list[dict[str, float]]:
    "The numbers of all looks, a row each."
    return list(map(_row, self.looks))


# %% [markdown]
# The picture: what each group gets of its share, and the rates. Each line has its name at the right, joined to the end of the line by a thin line. Where lines end close together, their names are moved apart, up and down by as little as possible (isotonic regression).

# %%
#| export evaluation.monitor_files
def _apart(heights: Sequence[float], gap: float, low: float, high: float) -> np.ndarray:
    "The nearest heights in the same order that are `gap` apart, within bounds if they fit."
    n, order = len(heights), np.argsort(heights, kind="stable")
    free = np.clip(heights, low, high)[order] - gap * np.arange(n)  # these must not fall
    level = [max(min(free[j:k].mean() for k in range(i + 1, n + 1)) for j in range(i + 1))
             for i in range(n)]
    placed = np.empty(n)
    placed[order] = np.clip(level, low, high - gap * (n - 1)) + gap * np.arange(n)
    return placed


# %%
assert np.allclose(_apart([0., 0., 1.], .1, 0., 1.), [0., .1, 1.])
assert np.allclose(_apart([.5, .5, .5], .1, 0., 1.), [.4, .5, .6])
assert np.allclose(_apart([5., .98, 1.], .1, 0., 1.), [1., .8, .9])


# %% [markdown]
# Names of many lines would cover each other, so a picture has at most ten.

# %%
#| export evaluation.monitor_files
def _name_lines(ax: Any, ends: Mapping[str, tuple[float, str]], last: float) -> None:
    "Names right of an axis in the colours of the lines, each joined to its line's end at `last`."
    low, high = ax.get_ylim()
    heights = np.clip([height for height, _ in ends.values()], low, high)
    places = _apart(heights, (high - low) / 15, low, high)
    for (name, (_, colour)), height, y in zip(ends.items(), heights, places):
        thin = dict(arrowstyle="-", color=colour, lw=.5, shrinkA=0, shrinkB=2, relpos=(0, .5))
        ax.annotate(name, (last, height), (1.05, y), textcoords=ax.get_yaxis_transform(),
                    color=colour, va="center", size=7, arrowprops=thin, annotation_clip=False)


# %% [markdown]
# Groups that were lost are named first, then those that come and go. If there are more than ten groups, at most nine of these have names, and one name stands for all others, at their median.

# %%
#| export evaluation.monitor_files
def draw_shares(ax: Any, steps: Sequence[int], shares: np.ndarray,  # (looks, groups), of each share
                names: Sequence[Any], colours: Mapping[int, str]) -> None:
    "What each group gets over the steps, with names; `colours` are those of groups to point out."
    ax.axhline(GONE, c="k", lw=1, ls=":")
    ax.set(xlabel="step", ylabel="samples, of the group's share", ylim=(0, 2.5))
    for g, line in enumerate(shares.T):
        ax.plot(steps, line, ".-", ms=3, c=colours.get(g, REAL), lw=1.6 if g in colours else .6)
    if not len(shares):
        return
    order = [*colours, *(g for g in range(len(names)) if g not in colours)]
    shown = order if len(names) <= 10 else order[:min(9, len(colours))]
    others = order[len(shown):]
    ends = {f"{names[g]}": (shares[-1, g], colours.get(g, REAL)) for g in shown}
    ends |= {f"{len(others)} others": (np.median(shares[-1, others]), REAL)} if others else {}
    _name_lines(ax, ends, steps[-1])


# %% [markdown]
# The rates of all looks:

# %%
#| export evaluation.monitor_files
def draw_rates(ax: Any, steps: Sequence[int], rows: Sequence[Mapping[str, float]]) -> None:
    "Junk, repeats and copies over the steps, with names."
    ax.set(xlabel="step", ylabel="share of the samples", ylim=(0, 1))
    colours = dict(zip(RATES, (MISSING, ACCENT, FAKE)))
    for name, colour in colours.items():
        ax.plot(steps, [row[name] for row in rows], ".-", ms=3, c=colour)
    if rows:
        _name_lines(ax, {name: (rows[-1][name], colour) for name, colour in colours.items()},
                    steps[-1])


# %% [markdown]
# In a notebook, show `monitor` again to see how it went on.

# %%
#| export
@patch
def plot(self: Monitor) -> Picture:
    "Shares of the groups and rates over the steps, each line with its name, as a picture."
    figure, (left, right) = axes(1, 2, size=(3.9, 2.6))
    steps = [look.step for look in self.looks]
    shares = np.array([look.counts.groups for look in self.looks]).reshape(
        len(steps), len(self.test.shares)) / (self.yardstick.n * self.test.shares)
    gone = [a.group for look in self.alarms for a in look.alarms if a.group is not None]
    colours = dict.fromkeys(gone, FAKE)  # these come first
    colours |= {g: ACCENT for g in self.test.unsteady() if g not in colours}
    draw_shares(left, steps, shares, self.yardstick.names, colours)
    draw_rates(right, steps, self.table())
    for look in self.alarms[:1]:
        for ax in (left, right):
            ax.axvline(look.step, c=FAKE, lw=1)
    return Picture(figure, repr(self))


# %% [markdown]
# What the groups are. Clusters have numbers for names; their real examples say what they are.

# %%
#| export
@patch
def show_groups(self: Monitor, names: Sequence[Any] | None = None) -> Picture:
    """Up to eight real examples of each group, a row each, with its name and share of the data.

    `names` are labels, or numbers of clusters; None: all, the largest first, at most 40.
    `ValueError` for examples that are no pictures, and for a name that no group has.
    """
    known = {str(name): g for g, name in enumerate(self.yardstick.names)}
    if not self._pictures:
        event = self.yardstick.event
        raise ValueError(f"reference: expected pictures to show, got examples of shape {event}")
    largest = sorted(known, key=lambda name: -self.test.shares[known[name]])[:40]
    chosen = largest if names is None else [check_choice("names", str(n), known) for n in names]
    rows = {f"{name} ({self.test.shares[g]:.1%})": self.yardstick.examples[g]
            for name, g in ((name, known[name]) for name in chosen)}
    return group_sheet(rows, *self.ends)


# %% [markdown]
# The report says in words what the last look found. Examples of what was lost are in `lost()`, below; the Fréchet distance and the balance are in `table()` and in the logs.

# %%
#| export
@patch
def report(self: Monitor) -> str:
    "What was found, in words."
    if not self.looks:
        return f"no look yet; the first is due at step {self.due:,}"
    first = self.alarms[:1]
    told = [f"first alarm at {first[0].says}"] if first else []
    unsteady = self.test.unsteady()
    waiting = [str(self.yardstick.names[g]) for g in np.flatnonzero(self.test.settled == 0)
               if g not in unsteady]
    told += [f"groups not reached yet: {', '.join(waiting)}"] if waiting else []
    told += [self._comes_and_goes(unsteady, len(unsteady))] if unsteady else []
    share = self.seconds / max(1e-9, time.perf_counter() - self.started)
    told += [f"{len(self.looks)} looks in {self.seconds:.1f} s, {share:.1%} of the time; "
             f"{self.left_out} were left out to keep the budget of {self.budget:.0%}"]
    return "\n".join([f"last look at {self.looks[-1].says}", *told])


# %% [markdown]
# In a notebook the monitor shows both.

# %%
#| export
@patch
def __repr__(self: Monitor) -> str:
    "The last look."
    return f"Monitor: {self.looks[-1].says if self.looks else self.report()}"


# %% [markdown]
# The picture stands above the text.

# %%
#| export
@patch
def _repr_mimebundle_(self: Monitor, include=None, exclude=None):
    "The picture of all looks, and the report."
    data, meta = self.plot()._repr_mimebundle_()
    return data | {"text/plain": self.report()}, meta


# %% [markdown]
# What was lost, by its reference examples:

# %%
#| export
@patch
def lost(self: Monitor, look: Look | None = None) -> dict[Any, dict[str, Any]]:
    "Of each group that a look lost (the last one): shares, examples, and their reference rows."
    look = look or (self.alarms[-1] if self.alarms else None)
    yard, found = self.yardstick, {}
    for alarm in (a for a in (look.alarms if look else ()) if a.group is not None):
        g = alarm.group
        found[yard.names[g]] = dict(share=float(self.test.shares[g]), before=alarm.before,
                                    now=alarm.now, rows=yard.indices[g],
                                    examples=yard.examples[g])
    return found


# %% [markdown]
# ## A loop of your own
# The loop below stands for any training. Its "generator" moves noise onto the ring, step by step, and loses two modes at step 3,000. The monitor needs three lines: make it, call it, and act.

# %%
real = law.sample(2000, generator=torch.Generator().manual_seed(1))


# %%
def made(n: int, step: int, lose_at: float = 3000.) -> Tensor:
    "Samples at a step: noise becomes the ring; later two of its modes are gone."
    x, mode = law.sample_with_modes(2 * n, torch.default_generator)
    x = (x[mode > 1] if step >= lose_at else x)[:n]
    return x + 2 * math.exp(-step / 200) * torch.randn(n, 2)


# %%
progress = dict(step=0)
monitor = Monitor(real, lambda n: made(n, progress["step"]), every=100, budget=1., on_alarm="stop")
try:
    for step in range(1, 5001):
        progress["step"] = step  # here the training would move
        monitor(step)
except CollapseAlarm as alarm:
    print(alarm)

# %%
assert 3000 <= monitor.step <= 3200 and monitor.alarms[0].after == 2900
modes_gone = sum(len(v["rows"]) > 0 for v in monitor.lost().values())
assert modes_gone == 2
monitor

# %% [markdown]
# On the left, each line is what one group gets of its share. The lines rise while the noise becomes the ring, and at the vertical line two of them fall to zero. On the right, junk falls as the noise does. Copies and repeats stay near zero.
#
# The alarm names the two groups by their numbers. Their reference examples lie on the two modes that were lost:

# %%
gone = torch.cat([group["examples"] for group in monitor.lost().values()])
kinds = (torch.cdist(gone, law.centers.float()).argmin(1)).unique().tolist()
assert set(kinds) <= {0, 1}
kinds

# %% [markdown]
# **Training with the monitor is equal to training without it, bit for bit.** A small network is trained twice.

# %%
def trained(watch: bool) -> Tensor:
    "Weights after 60 steps that use random numbers, with and without a monitor."
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Dropout(.2), torch.nn.Linear(8, 2))
    optimiser = torch.optim.Adam(net.parameters())
    look = Monitor(real, lambda n: net(torch.randn(n, 2)), every=20, n=200, budget=1.,
                   eval_of=[net]) if watch else lambda step: None
    for step in range(1, 61):
        optimiser.zero_grad()
        (net(torch.randn(64, 2)) - real[torch.randint(2000, (64,))]).square().mean().backward()
        optimiser.step()
        look(step)
    return torch.cat([p.detach().flatten() for p in net.parameters()])


assert torch.equal(trained(True), trained(False))

# %% [markdown]
# **Going back.** With `save` and `load` the monitor keeps checkpoints of sound looks. After an alarm, call `roll_back()`: it loads the last one from before the estimated beginning.

# %%
with TemporaryDirectory() as folder:
    progress = dict(step=0)
    watch = Monitor(real, lambda n: made(n, progress["step"]), every=100, budget=1.,
                    folder=folder, save=lambda path: torch.save(dict(progress), path),
                    load=lambda path: progress.update(torch.load(path)),
                    on_alarm=lambda look: None)
    while not watch(progress["step"]):
        progress["step"] += 50
    alarmed_at, back = progress["step"], watch.roll_back()
    files = sorted(path.name for path in Path(folder).iterdir())

# %%
assert progress["step"] == back == 2900 < 3000 <= alarmed_at
f"alarm at step {alarmed_at}, went back to step {back}", files

# %% [markdown]
# **Resuming.** Looks after a restart are the looks of a training that never stopped.

# %%
straight, first = (Monitor(real, lambda n: made(n, 9999, math.inf), every=1, n=200, budget=1.)
                   for _ in range(2))
for step in range(1, 16):
    straight(step)
    if step <= 7:
        first(step)

# %%
second = Monitor(real, lambda n: made(n, 9999, math.inf), every=1, n=200, budget=1.)
second.load_state_dict(json.loads(json.dumps(first.state_dict())))
for step in range(8, 16):
    second(step)

# %%
assert [a.counts for a in straight.looks] == [b.counts for b in second.looks]
assert straight.test.limits == second.test.limits

# %% [markdown]
# **One folder for two trainings.** Two monitors that are given one folder by mistake do not mix their tables.

# %%
with TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as heard:
    pair = [Monitor(real, lambda n: made(n, 9999, math.inf), every=1, n=200, budget=1.,
                    folder=Path(folder) / "run") for _ in range(2)]
    for step in range(1, 4):
        for monitor in pair:
            monitor(step)
    tables = {path.relative_to(folder).as_posix(): [look["step"] for look in read_looks(path)]
              for path in sorted(Path(folder).rglob("looks*.jsonl"))}

# %%
assert tables == {"run/looks-before-1.jsonl": [1], "run/looks.jsonl": [1, 2, 3],
                  "run/monitor-2/looks.jsonl": [1, 2, 3]}
print(str(heard[0].message).replace(folder, ""))
tables

# %% [markdown]
# **What is refused**, with words that say what to do:

# %%
def refusal(sampler) -> str:
    "What a monitor says to a sampler that is wrong."
    return error_message(Monitor(real, sampler, every=1, n=100), 1)


# %%
print(refusal(lambda n: torch.zeros(n, 2, dtype=torch.uint8)))
print(refusal(lambda n: torch.zeros(n, 3)))
print(refusal(lambda n: torch.zeros(n // 2, 2)))
print(refusal(lambda n: torch.full((n, 2), torch.nan)))

# %% [markdown]
# ## Logs
# `log=` takes any function of a dictionary and a step. `mlflow.log_metrics` is such a function as it stands. A `folder` gets the same numbers as `looks.csv` and `looks.jsonl`. A writer of TensorBoard needs a loop:

# %%
#| export evaluation.monitor_adapters
def tensorboard_log(writer: Any) -> Callable[[dict[str, float], int], None]:
    "For `log=`: a function that writes numbers with a `SummaryWriter`."
    def log(values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)
    return log


# %%
class Writer:
    "Stands for a SummaryWriter."
    def __init__(self):
        self.rows = []

    def add_scalar(self, name, value, step):
        self.rows.append((name, step))


# %%
writer = Writer()
Monitor(real, lambda n: made(n, 9999, math.inf), every=1, log=tensorboard_log(writer))(1)
writer.rows[:3]

# %% [markdown]
# Weights & Biases counts its own steps, one for each call of `log`, and drops what comes with a smaller one. So the monitor's step is logged as a number of its own, and its curves are drawn over it. `run` is what `wandb.init()` returns.

# %%
#| export evaluation.monitor_adapters
def wandb_log(run: Any) -> Callable[[dict[str, float], int], None]:
    "For `log=`: a function that logs numbers to a run of Weights & Biases."
    run.define_metric("monitor/*", step_metric="monitor/step")
    return lambda values, step: run.log(values | {"monitor/step": step})


# %% [markdown]
# In a notebook a picture may follow the training: call `live_plot(monitor)` before the loop.

# %%
#| export evaluation.monitor_adapters
def live_plot(monitor: Monitor) -> Any:
    "Show the monitor in this notebook and renew it at each look; the handle of the display."
    from IPython.display import display
    handle, before = display(monitor, display_id=True), monitor.log

    def log(values: dict[str, float], step: int) -> None:
        if before:
            before(values, step)
        handle.update(monitor)

    monitor.log = log
    return handle


# %% [markdown]
# ## Other people's loops
# You need this section only if you use one of these libraries. The adapters call the monitor with the step of the loop. If the monitor was made with `on_alarm="stop"`, they stop the loop in the way of the library. A library is imported only when its adapter is made.

# %%
#| export evaluation.monitor_adapters
def _alarmed(monitor: Monitor, step: int) -> bool:
    "Call the monitor; whether it wants to stop."
    try:
        monitor(step)
    except CollapseAlarm:
        return True
    return False


# %% [markdown]
# **Lightning.** `Trainer(callbacks=[lightning_callback(monitor)])`. The step is `trainer.global_step`; where two optimisers step by hand, it counts both. The monitor's state is kept in Lightning's checkpoints. To go back, give the monitor `save=lambda path: trainer.save_checkpoint(path)`, and fit again from the path that `load` gets. Two monitors in one training need two names. With several processes the first one looks, and all of them stop.

# %%
#| export evaluation.monitor_adapters
def lightning_callback(monitor: Monitor, name: str = "") -> Any:
    "A `Callback` of Lightning that calls the monitor after each batch; `name` tells two apart."
    try:
        from lightning.pytorch import Callback
    except ImportError:
        from pytorch_lightning import Callback

    class MonitorCallback(Callback):
        @property
        def state_key(self) -> str:
            return type(self).__qualname__ + name

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            stop = trainer.is_global_zero and _alarmed(monitor, trainer.global_step)
            trainer.should_stop |= trainer.strategy.reduce_boolean_decision(stop, all=False)

        def state_dict(self) -> dict[str, Any]:
            return monitor.state_dict()

        def load_state_dict(self, state: dict[str, Any]) -> None:
            monitor.load_state_dict(state)

    return MonitorCallback()


# %% [markdown]
# **Ignite.** `attach_to_ignite(engine, monitor)`. The step is the engine's iteration. The monitor has `state_dict` and `load_state_dict`, so `Checkpoint` takes it as it is.

# %%
#| export evaluation.monitor_adapters
def attach_to_ignite(engine: Any, monitor: Monitor) -> Any:
    "Call the monitor after each iteration of an engine of Ignite; the handle, to remove it."
    from ignite.engine import Events

    def look(engine: Any) -> None:
        if _alarmed(monitor, engine.state.iteration):
            engine.terminate()

    return engine.add_event_handler(Events.ITERATION_COMPLETED, look)


# %% [markdown]
# **Trainer of Hugging Face.** `Trainer(callbacks=[trainer_callback(monitor)])`. The step is `state.global_step`. With each checkpoint of the trainer the monitor's state is written beside it, as `monitor.json`, and read again where the trainer resumes from it. To go back, resume from the trainer's last checkpoint at or before `monitor.alarms[0].after`. With several processes do not use `on_alarm="stop"` here: one process would stop, and the others would wait for it.

# %%
#| export evaluation.monitor_adapters
def _monitor_file(args: Any, state: Any) -> Path:
    "Where the monitor's state stands beside a checkpoint of the Trainer."
    return Path(args.output_dir) / f"checkpoint-{state.global_step}" / "monitor.json"


# %% [markdown]
# The callback itself:

# %%
#| export evaluation.monitor_adapters
def trainer_callback(monitor: Monitor) -> Any:
    "A `TrainerCallback` of Hugging Face that calls the monitor after each step."
    from transformers import TrainerCallback

    class MonitorCallback(TrainerCallback):
        def on_train_begin(self, args, state, control, **kw):
            file = _monitor_file(args, state)
            if state.global_step and file.is_file():
                monitor.load_state_dict(json.loads(file.read_text()))

        def on_step_end(self, args, state, control, **kw):
            control.should_training_stop |= _alarmed(monitor, state.global_step)
            return control

        def on_save(self, args, state, control, **kw):
            file = _monitor_file(args, state)
            if file.parent.is_dir():
                atomic_write(file, json.dumps(monitor.state_dict()).encode())

    return MonitorCallback()


# %% [markdown]
# With *accelerate* the loop is your own: call the monitor in the main process. Name G in `eval_of`, or let the sampler use `accelerator.unwrap_model(G)`. Otherwise the forward pass of a G in `DistributedDataParallel` waits for the other processes. A G that is split over processes (FSDP) cannot be drawn from in one process; draw from a whole copy.
#
# ## Trained networks: false alarms and delay
# `benchmarks/monitor.py` trains networks of this library on the ring, with a look at 1,000 samples every 25 steps. ZeroCentred is sampled from the moving average of G, Wasserstein from G itself. A separate program, the *judge*, decides whether a run is sound or broken. It knows the true modes, and draws 4,000 samples of its own at each look. The monitor does not use it. In this section *sound* and *broken* are defined by the judge, not by the theorem.
#
# A run has 200 looks. It begins to count at the first look at which every mode has half of its share. It is *sound* if at all later looks every mode keeps a quarter of its share, and if the share of samples near a mode is never ten percentage points below its best mean of three looks.
#
# The same seeds are trained again for 80 looks. Runs that are sound till then are broken in four ways, and trained for 30 more looks. The four breaks of a game share these 80 looks, so their rows are not independent, and each row has an interval of its own. A mode that is taken out and copies that are fed in count from the look at which that is done. Ten times the [learning rate](../glossary.ipynb), or a D that is not trained any more, need not break a run. Such a run counts from the first look at which the judge finds less than a tenth of a mode's share, or 25 percentage points fewer good samples than at best. Runs between sound and broken are not counted, nor are runs that break at the last two of the 30 looks, for three looks must be left.

# %%
kept = recorded("monitor")
for row in kept.get("sound", []):
    low, high = row["95 %"]
    print(f"{row['setting']:31} {row['alarmed']} of {row['sound']} sound runs alarmed in "
          f"{row['looks']} looks [{low:.1%}, {high:.1%}]; {row['runs'] - row['sound']} not sound")

# %%
def told(row: dict, hits: str, of: str) -> str:
    "A count of a row with its 95 % interval."
    low, high = wilson_interval(row[hits] / row[of], row[of])
    return f"{row['setting']}: {row[hits]} of {row[of]} [{low:.1%}, {high:.1%}]"


for row in kept.get("broken", []):
    print(told(row, "right", "broken"), "broken runs found within 3 looks and named rightly;",
          row["not broken, alarmed"], "that were not broken alarmed")

# %% [markdown]
# The last number of each row counts runs that were changed, that the judge did not call broken, and that raised an alarm. Such an alarm may be false, or the change may be too small for the limits of the judge. The record does not say which.
#
# The claim of false alarms holds if the whole interval of each game is below 5 %:

# %%
said, rows = None, kept.get("sound", [])
if rows:
    highs = [wilson_interval(row["alarmed"] / row["sound"], row["sound"])[1] for row in rows]
    said = claim("At most 5 % of training runs that the judge calls sound alarm in 200 looks",
                 paper="this course", section="trained networks", holds=max(highs) <= .05,
                 ours="; ".join(told(row, "alarmed", "sound") for row in rows))
said or "not recorded here"

# %% [markdown]
# The claim of the delay. A run is found if the monitor alarms by the third look that the judge calls broken, names a finding of this break, and no other. The claim is about a break at a known look, and shows the worst of its four rows.

# %%
def worst(*kinds: str) -> dict | None:
    "The recorded row with the smallest share found, of these breaks."
    rows = [row for row in kept.get("broken", []) if row["setting"].endswith(kinds)]
    return min(rows, key=lambda row: row["right"] / row["broken"], default=None)


# %%
row, said = worst("taken out", "fed in"), None
if row:
    said = claim("A mode taken out, copies fed in: 95 % or more found in 3 looks, named rightly",
                 paper="this course", section="trained networks",
                 holds=row["right"] >= .95 * row["broken"],
                 ours="worst row " + told(row, "right", "broken"))
said or "not recorded here"

# %% [markdown]
# The same claim fails for the two breaks that change the training itself. The judge and the monitor measure different things. The judge calls a mode broken at less than a tenth of its share, the monitor at less than a quarter. The judge counts samples near a mode, the monitor counts junk. A slow or small break reaches their limits at different looks. Three missed runs of ZeroCentred with the rate × 10 were looked at. The judge found fewer samples near a mode for one to three looks: their share fell by 25 percentage points and came back. For the monitor junk rose and fell again, by too little to alarm.
#
# One missed run of Wasserstein with a frozen D was looked at, in a batch of other seeds (0 to 31; 30 runs were sound till then, 4 of them broke, one was missed). Its samples moved away from the centre of a mode slowly. The judge counts samples within three standard deviations of the centre. At one look it gave the mode 10 % of its share. The monitor counts samples near any reference example. It gave the group 42 %, and found 11 % junk where up to 18 % was sound.

# %%
row, said = worst("× 10", "frozen"), None
if row:
    said = claim("Rate × 10, D frozen: 95 % or more found in 3 looks, named rightly",
                 paper="this course", section="trained networks", expect=False,
                 holds=row["right"] >= .95 * row["broken"],
                 ours="worst row " + told(row, "right", "broken"))
said or "not recorded here"


# %% [markdown]
# A rate that is too high and a frozen D may break a run over several looks. Then the monitor may alarm before the judge calls the run broken; such an alarm counts as look 0 in the picture. Where a line ends below 1, some runs were not found within ten looks. A line adds up both games.

# %%
def of_kind(kind: str) -> list:
    "The recorded rows of a break."
    return [row for row in kept.get("broken", []) if row["setting"].endswith(kind)]


# %%
def found_by(rows: list, look: int) -> float:
    "Share of the broken runs that alarmed by this look."
    hits = sum(n for row in rows for delay, n in row["delays"].items() if int(delay) <= look)
    return hits / sum(row["broken"] for row in rows)


# %%
figure, ax = axes(size=(4.6, 2.4))
breaks = {"mode taken out": REAL, "copies fed in": ACCENT, "rate × 10": MISSING, "D frozen": FAKE}
marks = zip(("taken out", "fed in", "× 10", "frozen"), ("o-", "s--", "^:", "v-."))
for (name, colour), (key, mark) in zip(breaks.items(), marks):
    if sum(row["broken"] for row in of_kind(key)):
        ax.plot(range(11), [found_by(of_kind(key), k) for k in range(11)], mark, c=colour,
                ms=4, label=name)
ax.axvline(3, c="k", lw=1, ls=":")
ax.set(xlabel="looks since the judge saw it", ylabel="share found", ylim=(0, 1.05))
ax.legend() if ax.lines[1:] else None
Picture(figure, "share of the broken runs that were found, by looks since the break")

# %% [markdown]
# What does a look cost? The DCGAN is a training of a convolutional network on 28 × 28 pictures, with a look due every ten steps, far more often than there is time for. The monitor leaves out looks to keep its budget. Memory is what a monitor adds to a process, with a reference of 60,000 × 784 numbers.

# %%
units = {"ms": "ms a look", "built": "s to make the monitor", "share": "of the time for looks",
         "budget": "allowed", "steps": "steps", "looks": "looks made", "left out": "left out",
         "seconds of training": "s of training", "seconds of a look": "s a look",
         "MiB": "MiB added", "allowed": "MiB allowed", "rows kept": "rows kept"}
for row in kept.get("cost", []):
    print(f"{row['setting']}:", ", ".join(f"{row[name]:,} {unit}" for name, unit in units.items()
                                          if name in row))

# %%
for row in kept.get("cost", []):
    assert row.get("share", 0) <= row.get("budget", 1)
    assert row.get("MiB", 0) <= row.get("allowed", 1)

# %% [markdown]
# ## Under your hands: take a mode out
# **Predict:** how many samples must a look have, so that the first look without the mode raises the alarm?
#
# Drag the look at which a mode is taken out, and $n$. The picture shows the share of each group (the lost one is orange) and the alarm (vertical line). With few samples it takes more looks until the p-value is below its limit, or there is no alarm at all. Before ten looks no group has settled, so there is no alarm.

# %%
def take_out(at: int, n: int):
    "A sound test of eight modes of which the first is taken out at a look; sentence and picture."
    test, g, shares = SequentialTest(np.full(8, 1 / 8)), np.random.default_rng(0), []
    alarm = None
    for t in range(40):
        law = np.full(8, 1 / 8) if t < at else np.array([0.] + [1 / 7] * 7)
        groups = g.multinomial(n, law)
        shares.append(groups / n * 8)
        found = test.add(Counts(n, tuple(map(int, groups)), (0, n), (0, n // 2), (0, n)))
        alarm = t if found and alarm is None else alarm
    figure, ax = axes(size=(4.6, 2.3))
    ax.plot(shares, c=REAL, lw=.6)
    ax.plot([row[0] for row in shares], c=FAKE)
    ax.axhline(GONE, c="k", lw=1, ls=":")
    if alarm is not None:
        ax.axvline(alarm, c="k", lw=1)
    ax.set(xlabel="look", ylabel="multiple of its share", ylim=(0, 2.5))
    says = "no alarm"
    if alarm is not None:
        says = f"alarm at look {alarm}, number {alarm - at + 1} with the loss"
    return says, Picture(figure, f"taken out at look {at}, n = {n}: {says}")


# %%
import ipywidgets as w

at = w.IntSlider(20, 2, 38, description="taken out at")
size = w.SelectionSlider(options=[50, 100, 200, 500, 1000], value=500, description="n")
view, says = w.Image(format="png"), w.Label()


# %%
def redraw(change=None):
    says.value, picture = take_out(at.value, size.value)
    view.value = picture.png


# %%
for knob in (at, size):
    knob.observe(redraw, "value")
redraw()
w.VBox([at, size, says, view])

# %%
assert says.value.startswith("alarm")
at.value = 5
assert says.value == "no alarm"  # no group has settled yet
found = {n: take_out(20, n)[0] for n in (50, 100, 200, 500)}
assert found[50] == found[100] == "no alarm" and found[200].endswith("number 3 with the loss")
assert found[500].endswith("number 1 with the loss")
found

# %%
take_out(20, 500)[1]

# %% [markdown]
# ## In your own code
# The reference may be a tensor, or the `DataLoader` that you train with, as for [the audit](02_audit.ipynb). Labels in it make the groups. Its values must be on the scale of the samples, so a loader of bytes is refused. Here `G` is not trained, and the loop does nothing else. So only the first look is made: more would take more than the budget. The samples of this `G` lie close together, therefore the remark about repeats.

# %%
torch.manual_seed(0)
G = torch.nn.Linear(8, 8)
yours = torch.randn(500, 8)

# %%
monitor = Monitor(yours, sampler=lambda n: G(torch.randn(n, 8)), every=100, n=200)
for step in range(1, 301):
    ...  # your training step
    if monitor(step):
        break
monitor.looks[-1]

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.monitor import grade_p, grade_first, grade_fading

# %% [markdown]
# **1.** (easy, 5 minutes) A group holds 2 % of the data, and it is gone: none of the $n=1000$ samples of a look falls into it. What is its p-value in this look?
#
# <details><summary>Hint</summary>
#
# The test is against a quarter of the group's share. What is the chance that a binomial count is 0?
#
# </details>

# %%
answer = ...
grade_p(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# A quarter of 2 % is .005. A binomial count with 1,000 samples and this chance is 0 with
#
# ```python
# answer = (1 - .02 / 4) ** 1000
# ```
#
# </details>

# %% [markdown]
# **2.** (medium, 10 minutes) Write `first_alarm(p, alpha)`. `p` is a list with the p-value of one test at each look. It returns the number of the first look with an alarm, where the first look is number 1 and look $t$ may spend $\alpha/(t(t+1))$. It returns `None` if there is no alarm.
#
# <details><summary>Hint</summary>
#
# `enumerate(p, 1)` counts from 1. A p-value that equals its limit raises an alarm.
#
# </details>

# %%
def first_alarm(p, alpha):
    ...

answer = first_alarm
grade_first(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def first_alarm(p, alpha):
#     for t, value in enumerate(p, 1):
#         if value <= alpha / (t * (t + 1)):
#             return t
#     return None
#
# answer = first_alarm
# ```
#
# The limits of all looks add up to $\alpha$, so a sound run has an alarm with a chance of at most $\alpha$, however long it is.
#
# </details>

# %% [markdown]
# **3.** (medium, 15 minutes) Write `made(t)`, the list of counts of eight equal groups at look $t$ (0 to 59), with 800 samples or fewer in all. The first group shrinks slowly, by ten or less from one look to the next: there is no alarm in 60 looks, and yet it ends below 30 % of its share of 100.
#
# <details><summary>Hint</summary>
#
# The group must settle in the first ten looks. The test is against a quarter of its share, so how far may it fall?
#
# </details>

# %%
def made(t):
    ...

answer = made
grade_fading(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def made(t):
#     return [max(28, 100 - 2 * t)] + [100] * 7
#
# answer = made
# ```
#
# The first group falls to 28 % of its share. This is above a quarter, so the run is still *sound* by the definition. A smaller loss than three quarters is not what the monitor tests.
#
# </details>

# %% [markdown]
# ## Recap
# - A test that is repeated at every look gives a false alarm in the end. So the error is divided among the looks: look $t$ gets $\alpha/(t(t+1))$.
# - A generator in training is not perfect. If *sound* is defined by numbers, the rate of false alarms can be bounded by a proof.
# - The proof needs samples that are independent given the networks. So the monitor uses its own random numbers and does not change the training.
# - The change point says to which checkpoint to go back.
# - A group that was never reached gives no alarm. The report lists it.
#
# **For later.**
#
# 1. Why may the groups that are tested be chosen by what earlier looks saw?
# 2. Why does a roll back not give back the error that was spent?
# 3. Which change of a generator does no indicator of this chapter see?
#
# <details><summary>Answers</summary>
#
# 1. Given the networks, the draws of a look are independent of earlier looks. The groups are chosen before these draws, so for them the choice is fixed.
# 2. The looks were made, and each of them could have raised a false alarm. Going back does not undo this chance.
# 3. A group that falls to a little more than a quarter of its share. Less variety within a group, without repeats. Copies of training examples that are not in the reference.
#
# </details>
#
# **References.** J. Ville, *Étude critique de la notion de collectif*, 1939. A. Wald, *Sequential tests of statistical hypotheses*, 1945. C. Clopper, E. Pearson, *The use of confidence or fiducial limits*, Biometrika 1934. W. Hoeffding, *On the distribution of the number of successes in independent trials*, 1956.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.monitor
"Graders of chapter 4.6."
import math

import numpy as np

from modelab.course.exercises import as_number, exercise
from modelab.evaluation.sequential_test import Counts, SequentialTest

# %%
#| export course.graders.monitor
@exercise(accepts=[(1 - .005) ** 1000], rejects=[(1 - .02) ** 1000, .05, 0, (1 - .01) ** 1000, "x"])
def grade_p(answer):
    assert math.isclose(as_number(answer), .995 ** 1000, rel_tol=1e-6), \
        "against which share does the monitor test a group?"

# %%
#| export course.graders.monitor
def spending(p, alpha, limit=lambda t: t * (t + 1), start=1):
    "The right look, and wrong ones by the options."
    return next((t + start for t, value in enumerate(p) if value <= alpha / limit(t + 1)), None)

# %%
#| export course.graders.monitor
@exercise(accepts=[spending], rejects=[
    lambda p, alpha: spending(p, alpha, lambda t: 1),
    lambda p, alpha: spending(p, alpha, lambda t: t),
    lambda p, alpha: spending(p, alpha, lambda t: t * t),
    lambda p, alpha: spending(p, alpha, start=0),
    lambda p, alpha: spending(p, alpha, lambda t: (t + 1) * (t + 2)),
    lambda p, alpha: spending(p, alpha) or 0])
def grade_first(first_alarm):
    assert first_alarm([.5, .6, .7], .05) is None, "no p-value is small: None is expected"
    assert first_alarm([.02, .9], .05) == 1, "at the first look the limit is half of alpha"
    assert first_alarm([.03, .011, .005, .0024], .05) == 4, \
        "which look is the first with p at most alpha / (t (t + 1))?"
    assert first_alarm([.03, 1 / 8], 3 / 4) == 1 and first_alarm([.9, 1 / 8], 3 / 4) == 2, \
        "a p-value that equals its limit raises an alarm"

# %%
#| export course.graders.monitor
def fading(t: int) -> list[int]:
    "The first group falls from its share to 28 % of it."
    return [max(28, 100 - 2 * t)] + [100] * 7

# %%
#| export course.graders.monitor
@exercise(accepts=[fading], rejects=[
    lambda t: [100] * 8, lambda t: [100 * (t < 20)] + [100] * 7, lambda t: [28] + [100] * 7,
    lambda t: [max(10, 100 - 2 * t)] + [100] * 7, lambda t: [max(35, 100 - 2 * t)] + [100] * 7,
    lambda t: [100 if t < 20 else 28] + [100] * 7])
def grade_fading(made):
    test, last = SequentialTest(np.full(8, 1 / 8)), 100
    for t in range(60):
        row = made(t)
        assert len(row) == 8 and 0 <= min(row) and sum(row) <= 800, "eight counts, 800 at most"
        found = test.add(Counts(800, tuple(row), (0, 800), (0, 400), (0, 800)))
        assert not found, f"it alarms at look {t}"
        assert row[0] >= last - 10, "it must shrink slowly"
        last = row[0]
    assert test.settled[0], "the first group was never settled, so it cannot be lost"
    assert row[0] < 30, "at the end the group has too large a share"
