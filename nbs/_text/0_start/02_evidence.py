# %% [markdown]
# # How to read this course
# > How is a chapter built, and how do I report a result over several seeds with a confidence interval?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | Two generators, two pictures of their samples. Which generator lost most of the modes, and how can I know? |
# | **You will be able to** | read a chapter; state a claim with its interval; answer an exercise that grades itself |
# | **Paper** | none; intervals after Student 1908, Wilson 1927, and Clopper and Pearson 1934 |
# | **Needs** | [0.1](01_first_gan.ipynb) |
# | **Time** | a few seconds of computing |

# %%
#| default_exp core.statistics

# %%
#| export
"Confidence intervals: for means over seeds, and for shares."
from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from statistics import NormalDist
from typing import Any

from modelab.core.checks import check_int, check_number

# %%
import torch
from sklearn.datasets import load_digits

from modelab.core.plotting import MISSING, REAL, Picture, axes, image_grid
from modelab.course.claims import claim

# %% [markdown]
# ## Two screenshots
# Stack three handwritten digits as the red, green and blue channel of one picture. This gives $10^3 = 1000$ kinds of
# picture, so 1,000 *modes*. Below are samples of two simulated generators, both made from real scans. One draws from all
# 1,000 modes. The other draws from 200 of them only: it has *mode collapse*.

# %%
digits = load_digits()
scans = torch.tensor(digits.images / 16, dtype=torch.float32)
by_class = [scans[digits.target == c] for c in range(10)]
g = torch.Generator().manual_seed(0)

# %%
def stack(mode: int) -> torch.Tensor:
    "One 8×8×3 picture whose three channels show the three decimal digits of `mode`."
    shown = [by_class[c] for c in (mode // 100, mode // 10 % 10, mode % 10)]
    return torch.stack([one[torch.randint(len(one), (), generator=g)] for one in shown], -1)

# %%
#| hide-input
every = torch.arange(1000)
kept = torch.randperm(1000, generator=g)[:200]
left_modes = kept[torch.randint(200, (2500,), generator=g)]
right_modes = every[torch.randint(1000, (2500,), generator=g)]

# %% [markdown]
# `axes` makes a figure in the style of the course. `Picture` shows it, with a description for readers who cannot see it. In
# scatter plots real data are blue discs and generated data are orange crosses.

# %%
figure, (left, right) = axes(1, 2)
image_grid(left, torch.stack([stack(int(m)) for m in left_modes[:60]]), title="left")
image_grid(right, torch.stack([stack(int(m)) for m in right_modes[:60]]), title="right")
Picture(figure, "Two sheets of sixty coloured digit triples. To the eye they are equally varied.")

# %% [markdown]
# **Predict:** which one lost 800 modes, left or right? Decide before you read on.
#
# Sixty samples of each look equally varied. Screenshots cannot answer the question, although people often ask it with
# screenshots. So count the modes in 2,500 samples of each.

# %%
counts = left_modes.unique().numel(), right_modes.unique().numel()
counts

# %% [markdown]
# The left generator shows 200 of 1,000 modes, the right one over 900. The right one is *perfect*, but it does not reach
# 1,000. One mode stays unseen in all 2,500 draws with probability $(1-\frac1{1000})^{2500}$, so about 82 modes are unseen by
# chance. A count means little without the count of a perfect generator, so this course gives both.

# %%
expected = 1000 * (1 - (1 - 1 / 1000) ** 2500)
assert counts[0] == 200 and abs(counts[1] - expected) < 40
round(expected, 1)

# %% [markdown]
# ## How a chapter is built
# 1. **Failure first.** A chapter about a method opens with the failure that the method should cure, on data whose modes are known.
# 2. **Predict, run, explain.** Where it says *Predict*, write a number down before you run the next cell. You learn most from a wrong prediction.
# 3. **Equations are compared with their code**, in cells that you can run. The comparison is a closed form, a finite difference, or another library's answer.
# 4. **A claim about training is made over eight seeds or more.** It has an interval. Beside it stand a *tuned* baseline (another method whose settings were chosen as carefully), the score of noise and the score of a perfect generator.
# 5. **A claim that does not hold here is reported, too.**
#
# The rest of this chapter shows the tools for points 4 and 5, and the exercises. The workshop ([6.1](../6_workshop/01_checks.ipynb) to
# [6.4](../6_workshop/04_plotting.ipynb)) shows how the library checks its arguments, finds a method by its name, writes its
# files and draws its figures. You need not read it to follow the course.

# %% [markdown]
# ## Many seeds, one interval
# One training run is one draw from a distribution. Eight runs with eight seeds give a mean and a 95 % confidence interval.
# For many values it reaches 1.96 standard errors $s/\sqrt n$ to both sides of the mean. For eight values this is too short, because the spread
# is estimated from eight values only. The factor $t_{n-1}$ of Student's $t$ distribution with $n-1$ degrees of freedom is larger, and exact if the values are normal:
#
# $$\bar v \pm t_{n-1}\,\frac{s}{\sqrt n},$$
#
# where $\bar v$ is the mean of the $n$ values and $s$ their standard deviation.

# %% [markdown]
# A count of 1,000 modes is printed in full, not as `1e+03`:

# %%
#| export
def _plain(value: float, spec: str) -> str:
    "A number without powers of ten, unless it is very small."
    text = f"{value:{spec}}"
    return f"{value:,.0f}" if "e+" in text else text

# %% [markdown]
# Eight equal values have an interval of no length. This does not say that the next seed is certain. So the interval is printed as what was seen: `8 on all 8 seeds`.

# %%
#| export
@dataclass(frozen=True)
class Interval:
    "A mean over seeds with its confidence interval."
    mean: float
    low: float
    high: float
    n: int

    def __format__(self, spec: str) -> str:
        mean, low, high = (_plain(v, spec or ".3g") for v in (self.mean, self.low, self.high))
        same = self.low == self.high
        return f"{mean} on all {self.n} seeds" if same else f"{mean} [{low}, {high}]"

    def __repr__(self) -> str:
        return f"{self}" if self.low == self.high else f"{self} over {self.n} seeds"

# %% [markdown]
# `interval` computes this interval from one number per seed. Claims over seeds use it. A share lies between 0 and 1, and a count
# of modes between 0 and the number of modes. For such values give `low` and `high`: the interval is cut at these limits.

# %%
#| export
def interval(values: Iterable[float],  # one number per seed, at least two
             confidence: float = .95,  # chance that the interval holds the mean, for normal errors
             *, low: float | None = None,  # the smallest possible value, such as 0 for a share
             high: float | None = None,  # the largest, such as 1, or the number of modes
             ) -> Interval:
    "Mean of `values` with its Student-t confidence interval, cut at the possible range."
    from scipy.stats import t
    values, confidence = _finite_numbers(values), _check_confidence(confidence)
    least, most = _check_range(values, low, high)
    n, mean = len(values), math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = float(t.ppf((1 + confidence) / 2, n - 1)) * spread / math.sqrt(n)
    return Interval(mean, max(mean - half, min(least, mean)), min(mean + half, max(most, mean)), n)

# %% [markdown]
# Wrong input is refused before anything is computed. The values must be at least two finite numbers: a single seed gives no interval.

# %%
#| export
def _finite_numbers(values: Any) -> list[float]:
    "`values` as floats; refused unless they are two or more finite numbers."
    try:
        values = [float(v) for v in values]
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise TypeError(f"values: expected numbers, got {values!r:.80} ({error})") from error
    if len(values) < 2:
        raise ValueError(f"values: an interval needs at least two seeds, got {len(values)}")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"values: expected finite numbers, got {values}")
    return values

# %% [markdown]
# The confidence is the share of such intervals that hold the true value. It must lie between 0 and 1, both excluded: at 1 the interval would be infinitely long.

# %%
#| export
def _check_confidence(value: Any) -> float:
    "A confidence between 0 and 1, both excluded."
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {value!r}")
    return float(value)

# %% [markdown]
# The values must lie in the possible range. A little rounding is allowed, because shares are often computed in float32.

# %%
#| export
def _check_range(values: list[float], low: float | None, high: float | None) -> tuple[float, float]:
    "The possible range; refused if a value lies outside by more than rounding."
    least = -math.inf if low is None else check_number("low", low)
    most = math.inf if high is None else check_number("high", high, above=least)
    wrong = [v for v in values if not least - 1e-6 <= v <= most + 1e-6]
    if wrong:
        raise ValueError(f"values: expected numbers from {least:g} to {most:g}, got {wrong[0]:g}")
    return least, most

# %%
interval([7, 8, 8, 6, 8, 7, 8, 8])

# %% [markdown]
# These values are counts of modes, of eight. The upper limit above is more than eight, which is impossible. Give the range:

# %%
interval([7, 8, 8, 6, 8, 7, 8, 8], low=0, high=8)

# %% [markdown]
# **Fidelity.** A cell with this word compares code with an independent answer. Draw eight normal numbers ten thousand times. The
# interval should hold the true mean in 95 % of the draws. With 1.96 in place of $t$ it holds it less often.

# %%
from scipy.stats import t
draws = torch.randn(10_000, 8, generator=g, dtype=torch.float64)
error, scale = draws.mean(1).abs(), draws.std(1) / math.sqrt(8)
held = {name: (error < k * scale).double().mean().item()
        for name, k in (("t", t.ppf(.975, 7)), ("1.96", 1.96))}
held

# %%
ours, row = interval(draws[0].tolist()), draws[0]
assert math.isclose(ours.high - ours.mean, t.ppf(.975, 7) * row.std() / math.sqrt(8))
assert abs(held["t"] - .95) < .01 and held["1.96"] < .92

# %% [markdown]
# The cut removes only values that the mean cannot have, so a cut interval holds the true mean exactly as often. Below, nine in
# ten of the shares are 1 and the others are 0.8. The true mean is 0.98.

# %%
shares = 1 - .2 * (torch.rand(500, 8, generator=g, dtype=torch.float64) < .1).double()
whole = [interval(row) for row in shares.tolist()]
cut = [interval(row, low=0, high=1) for row in shares.tolist()]
assert all(a.mean == b.mean and a.low == b.low and b.high == min(a.high, 1)
           for a, b in zip(whole, cut))
assert all((a.low <= .98 <= a.high) == (b.low <= .98 <= b.high) for a, b in zip(whole, cut))
held, flat = (sum(test(b) for b in cut) / 500 for test in (lambda b: b.low <= .98 <= b.high,
                                                          lambda b: b.low == b.high))
assert abs(held + flat - 1) < .1 and abs(flat - .9 ** 8) < .07
f"{held:.0%} hold the true mean; {flat:.0%} have length zero"

# %% [markdown]
# **A limit of this interval.** These shares are far from normal. With probability $0.9^8=43\,\%$ all eight are 1. Then the interval
# has length zero and misses the true mean. So do not trust the interval of a count or share that is nearly always at its limit.
# Look at the worst seed as well. In this course an interval over seeds has 95 % *if the values are normal*. The last picture of
# this chapter shows how often it holds the mean of other values.

# %% [markdown]
# ## The interval of a share
# Often the result is one share of independent yes-or-no answers: 8 of 10 samples are good, or 0 of 40 runs stopped with an error. The usual
# interval $\hat p\pm z\sqrt{\hat p(1-\hat p)/n}$ has length zero if the observed share $\hat p$ is 0 or 1. Wilson (1927) takes all true
# shares $p$ for which $\hat p$ is within $z$ standard errors of $p$. Here $z$ is the quantile of the normal distribution, 1.96 for 95 %:
#
# $$\frac{\hat p+\frac{z^2}{2n}\pm z\sqrt{\frac{\hat p(1-\hat p)}{n}+\frac{z^2}{4n^2}}}{1+\frac{z^2}{n}}.$$

# %%
#| export
def wilson_interval(share: float,  # seen, between 0 and 1
                    n: int,  # how many were looked at
                    confidence: float = .95,  # chance that the interval holds the true share
                    ) -> tuple[float, float]:
    "Lower and upper limit of a share of `n` (Wilson 1927); they stay between 0 and 1."
    share, n = check_number("share", share, 0., 1.), check_int("n", n)
    z = NormalDist().inv_cdf((1 + _check_confidence(confidence)) / 2)
    half = z * math.sqrt(share * (1 - share) / n + (z / n) ** 2 / 4)
    low, high = ((share + z ** 2 / (2 * n) + s * half) / (1 + z ** 2 / n) for s in (-1, 1))
    return max(0., low) if share else 0., min(1., high) if share < 1 else 1.  # without rounding

# %% [markdown]
# **Fidelity.** Each end point solves the equation $|\hat p-p|=z\sqrt{p(1-p)/n}$. A share of zero has an interval that is longer than zero:

# %%
low, high = wilson_interval(.8, 10)
for p in (low, high):
    assert math.isclose(abs(.8 - p), NormalDist().inv_cdf(.975) * math.sqrt(p * (1 - p) / 10))
[round(v, 3) for v in (*wilson_interval(.8, 10), *wilson_interval(0., 40))]

# %% [markdown]
# How often does Wilson's interval hold the true share $p$? There are only $n+1$ possible counts. So add the probabilities of the
# counts whose interval holds $p$. No draws are needed.

# %%
from scipy.stats import binom

def wilson_holds(n: int, shares: torch.Tensor) -> torch.Tensor:
    "Chance that the interval of a share of n holds the true share, for each true share."
    limits = torch.tensor([wilson_interval(k / n, n) for k in range(n + 1)], dtype=torch.float64)
    chance = torch.as_tensor(binom.pmf(torch.arange(n + 1)[:, None], n, shares))
    inside = (limits[:, :1] <= shares) & (shares <= limits[:, 1:])
    return (chance * inside).sum(0)


# %%
true_shares = torch.linspace(.0005, .9995, 1999, dtype=torch.float64)
holds = wilson_holds(40, true_shares)
figure, ax = axes(size=(5, 2.4))
ax.plot(100 * true_shares, 100 * holds, c=REAL, lw=1)
ax.axhline(95, c="k", lw=1, ls=":")
ax.set(xlabel="true share (%)", ylabel="chance to hold it (%)", title="Wilson's interval, n = 40")
Picture(figure, f"The chance jumps up and down around 95 %: {holds.mean():.1%} on average, and "
                f"down to {holds.min():.0%} near 0 and 100 %")

# %%
middle = (true_shares > .125) & (true_shares < .875)  # at least five expected of each kind
assert abs(holds.mean() - .95) < .01 and .92 < holds[middle].min() < .95 < holds[middle].max()
assert .84 < holds.min() < .86
f"{holds.mean():.1%} on average; {holds[middle].min():.1%} to {holds[middle].max():.1%} " \
    f"in the middle; {holds.min():.1%} at worst"

# %% [markdown]
# A count is a whole number, so no interval of a share has 95 % for each true share. Wilson's has 95 % on average over the shares.
# It stays near 95 % if at least five answers of each kind are expected. It can have 85 % if less than one is expected.
#
# Where each true share must be held with *at least* 95 %, the limits of Clopper and Pearson (1934) are taken. At the lower limit a count as
# high as the observed one, or higher, has a chance of 2.5 %. At the upper limit a count as low, or lower, has it. Both limits are quantiles of a beta distribution.

# %%
#| export
def clopper_pearson(hits: int,  # how many answers were yes
                    n: int,  # how many were looked at
                    tail: float = .025,  # largest chance that a limit is wrong, for each of the two
                    ) -> tuple[float, float]:
    "Lower and upper limit of a share (Clopper, Pearson 1934); both hold with `1 - 2 * tail`."
    from scipy.special import betaincinv
    n, tail = check_int("n", n, 0), check_number("tail", tail, most=.5, above=0)
    hits = check_int("hits", hits, 0, n)
    return (float(betaincinv(hits, n - hits + 1, tail)) if hits else 0.,
            float(betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.)

# %% [markdown]
# **Fidelity.** At a limit, counts as high (or as low) as the observed one have exactly the chance `tail`. For each true share the two limits hold it with 95 % or more, and they are farther apart than Wilson's:

# %%
low, high = clopper_pearson(8, 10)
assert math.isclose(binom.sf(7, 10, low), .025) and math.isclose(binom.cdf(8, 10, high), .025)
limits = [clopper_pearson(k, 40) for k in range(41)]
chance = torch.as_tensor(binom.pmf(torch.arange(41)[:, None], 40, true_shares))
inside = torch.stack([(low <= true_shares) & (true_shares <= high) for low, high in limits])
least = (chance * inside).sum(0).min()
assert least >= .95 > .86 > holds.min()
wilsons = [wilson_interval(k / 40, 40) for k in range(41)]
assert all(exact[1] - exact[0] > short[1] - short[0] for exact, short in zip(limits, wilsons))
[round(v, 3) for v in clopper_pearson(8, 10)], f"{least:.1%} at worst"

# %% [markdown]
# ## Does each interval of this course hold what it says?
# Other chapters have intervals of their own: for mode [coverage](../glossary.ipynb) ([0.4](04_coverage.ipynb)), precision and recall
# ([4.1](../4_evidence/01_precision_recall.ipynb)), [audits](../glossary.ipynb) ([4.2](../4_evidence/02_audit.ipynb)), missing groups
# ([4.3](../4_evidence/03_missing.ipynb)), copies ([4.4](../4_evidence/04_copying.ipynb)), and comparisons of two generators
# ([4.5](../4_evidence/05_compare.ipynb)). You need not know them yet. Each was tested in the same way. The script `benchmarks/intervals.py`
# draws data whose true value is known, 200 times or more, and counts how often the interval holds it. Some generators are perfect, others have a fault.

# %%
from modelab.course.claims import recorded

CHAPTER = {"seeds": "0.2 mean over seeds", "share": "0.2 share, Wilson",
           "excess": "4.2 difference of two shares", "copied share": "4.4 excess of a share",
           "attribute": "4.3 rate of an attribute", "compare": "4.5 all differences",
           "coverage": "0.4 ", "groups": "4.3 ", "copies": "4.4 "}

def name_of(part: str, row: dict) -> str:
    "The line of the picture that a recorded row belongs to."
    measure = row["setting"].rpartition(": ")[2]
    if part == "seeds":
        return CHAPTER[part] + (", normal" if measure == "normal" else ", not normal")
    if part == "neighbours":
        return "4.1 " + ("balls as they are" if "as they are" in row["setting"] else "new balls")
    name = CHAPTER.get(part, "4.2 ")
    return name + measure.replace("_", " ") if name[-1] == " " else name

# %%
lines = {}
for part, rows in recorded("intervals").items():
    for row in rows if isinstance(rows, list) else []:
        lines.setdefault(name_of(part, row), []).append(row)
lines = dict(sorted(lines.items()))

# %%
def draw_held():
    "A line for each interval, a mark for each setting; the band is two standard errors."
    figure, ax = axes(size=(6, .22 * len(lines) + 1))
    error = 2 * math.sqrt(.95 * .05 / 400)
    ax.axvspan(95 - 100 * error, 95 + 100 * error, color=".88")
    for place, (name, rows) in enumerate(lines.items()):
        for row in rows:
            plain = row["says"] in ("95 %", "at least 95 %")
            ax.plot(100 * row["held"], place, "o" if plain else "x", c=REAL if plain else MISSING)
    ax.set(yticks=range(len(lines)), yticklabels=list(lines), ylim=(len(lines) - .5, -.5),
           xlabel="share of draws in which the interval holds the true value (%)")
    least = min(row["held"] for rows in lines.values() for row in rows if "if" in row["says"])
    return Picture(figure, f"Blue discs lie in the grey band around 95 % or to its right. Grey "
                           f"crosses, intervals with a condition, go down to {least:.0%}")

draw_held() if lines else "not recorded here"

# %%
for row in (row for rows in lines.values() for row in rows):
    error = 2 * math.sqrt(.95 * .05 / row["draws"])
    assert row["says"] != "95 %" or abs(row["held"] - .95) < error, row
    assert row["says"] != "at least 95 %" or row["held"] > .95 - error, row

# %% [markdown]
# A blue disc is an interval that says *95 %*, or *≥ 95 %*. None lies clearly to the left of the band. (The band is drawn for 400 draws; the
# test in the cell above takes the number of draws of each row.) Discs to the right of the band belong to intervals that say *≥ 95 %*. They are
# longer than they need to be. A count, or a share at its limit, cannot have 95 % exactly. And some intervals allow for several shares, of which one is chosen after the data are seen (4.2).
#
# A grey cross is an interval that needs a condition: normal values, an average over shares (Wilson's), balls that stay as they
# are (4.1), a group as it was found (4.3), or many samples (4.5). Where the condition fails, the interval may hold the true value much less often.

# %% [markdown]
# ## Claims and the ledger
# `claim` records one result: the sentence, its source, our interval, the baseline's interval, and the verdict. A program collects the claims of all chapters in the *ledger*, the file LEDGER.md of the repository. A claim that no longer holds makes the tests fail. `expect=False` records a claim that does not hold here. If it holds on a later run, the tests fail as well.
#
# As an example, count the modes that a perfect generator of 1,000 modes shows in 2,500 samples, for eight seeds:

# %%
seen = [torch.randint(1000, (2500,), generator=torch.Generator().manual_seed(seed)).unique().numel()
        for seed in range(8)]
ours = interval(seen, low=0, high=1000)
print(claim("A perfect generator of 1,000 modes shows at most 950 of them in 2,500 samples",
            paper="this course", ours=ours, holds=ours.high <= 950))

# %% [markdown]
# A sentence that the numbers contradict stops the run of the chapter:

# %%
try:
    claim("A perfect generator shows all modes", paper="this course", ours=ours,
          holds=ours.low > 999)
except AssertionError as error:
    print(error)

# %% [markdown]
# ## Long trainings: fast mode, records, replays
# Three tools keep a chapter short to run:
#
# - `steps(2000)` is 2,000. If the environment variable `MODELAB_FAST` is set (*fast mode*), it is at most 40. The tests use it. Then claims get no verdict.
# - `recorded("minimax")` reads a result that a script in `benchmarks/` measured and stored. Such scripts take minutes or hours.
# - `@experiment` marks a function of its number of steps. It ran in full once, and its result is stored in `benchmarks/chapters/`. A call trains only the first few steps. It compares them with the stored numbers of the same steps, then returns the stored result.
#
# So the numbers that a chapter prints below an `@experiment` come from the full training, and each run of the chapter repeats the start of it. The comparison fails if a change of the library alters these steps by more than a tolerance. It does not notice a smaller change, or a change that appears later. So record a chapter again when its method changes: `MODELAB_RECORD=1 make run CHAPTER=…`. The experiment of chapter 0.1 looks like this:
#
# ```python
# @experiment("01_first_gan")  # stored in benchmarks/chapters/01_first_gan.json
# def on_the_ring(total=1000):  # the full training has 1,000 steps; the replay has 20
#     ...
# ```

# %% [markdown]
# ## A class in several cells
# A long class is hard to read in one cell. In these chapters a class is spread over several cells: `@patch` adds a method to a class that is defined above. The module of the library shows the class in one piece.

# %%
from modelab.course.notebooks import patch

class Counter:
    n = 0

# %%
@patch
def up(self: Counter) -> int:
    self.n += 1
    return self.n

assert Counter().up() == 1

# %% [markdown]
# ## Exercises that grade themselves
# An exercise ends in a cell `answer = ...` and a call of a grader. The grader returns `Right.`, or `Not yet` with a hint. A test of the course tries each grader on right and on wrong answers. In a folder made by `modelab course` ([6.15](../6_workshop/15_commands.ipynb)) right answers are noted, and `modelab course DIR --progress` shows the list. In the lab of chapter [1.3](../1_game/03_lab.ipynb) some exercises are **missions**: tasks such as *lose a mode, then bring it back*. The lab ticks off their stages while you play.
#
# Chapter [6.19](../6_workshop/19_course_tools.ipynb) has the code of claims, records, graders and missions.

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.evidence import grade_differs, grade_seen

# %% [markdown]
# **1.** (easy, 5 minutes) A perfect generator of 1,000 equally likely modes is asked for 1,000 samples. How many modes do you expect to see?
#
# <details><summary>Hint</summary>
#
# First compute the probability that one given mode is in none of the samples.
#
# </details>

# %%
answer = ...
grade_seen(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# One sample misses a given mode with probability $1-\frac1{1000}$, and 1,000 independent samples all miss it with
# probability $(1-\frac1{1000})^{1000}\approx e^{-1}$. The expectation is a sum over the modes:
#
# ```python
# answer = 1000 * (1 - (1 - 1 / 1000) ** 1000)
# ```
#
# This is about 632. With as many samples as modes, a perfect generator shows less than two thirds of the modes.
#
# </details>

# %% [markdown]
# **2.** (medium, 15 minutes) Two methods were trained on the same eight seeds. Each list holds one number per seed, in the
# order of the seeds. Write `differs(a, b)`: whether the 95 % interval of the mean difference leaves out zero.
#
# <details><summary>Hint</summary>
#
# Seed 3 of one method has the same data order and the same initial networks as seed 3 of the other. So there are eight
# differences, and `interval` works on them.
#
# </details>

# %%
def differs(a, b):
    ...

answer = differs
grade_differs(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def differs(a, b):
#     gap = interval([x - y for x, y in zip(a, b)])
#     return gap.low > 0 or gap.high < 0
#
# answer = differs
# ```
#
# The two lists are paired. If some seeds are hard for both methods, this part of the spread is in both lists and cancels in
# the differences. Two separate intervals keep it. They may overlap although the difference is clear. If the results of a
# seed have nothing in common, pairing gains nothing.
#
# </details>

# %% [markdown]
# ## Recap
# - A count means little without the counts of noise and of a perfect generator. One seed means little, too.
# - A mean over seeds gets Student's interval, a share of independent answers gets Wilson's. Student's interval is too short if the values are nearly all at a limit. Wilson's has 95 % on average over shares. Clopper and Pearson's has 95 % or more for each share.
# - An interval that says 95 % is tested: draw data whose true value is known, and count.
# - A claim is a sentence that could be false, an interval, and a verdict. The tests compare the verdict with the measurement.
# - Graders are tried on right and wrong answers before you meet them.
#
# **For later.**
#
# 1. Why does a perfect generator of 1,000 modes show only about 918 of them in 2,500 draws?
# 2. What does `expect=False` promise?
# 3. When is an interval from two seeds useful? (For two values the factor $t_1$ is 12.7.)
#
# <details><summary>Answers</summary>
#
# 1. Each mode is missed by all 2,500 draws with probability $(1-\frac1{1000})^{2500}\approx 0.082$, so about 82 modes are not seen.
# 2. That the measured result contradicts the claim. If the claim comes true one day, the test fails and the text must change.
# 3. When the two values are close and the effect is large. With $n=2$ the factor $t_1$ is 12.7. So the interval reaches 6.4 times the difference of the two values to either side of their mean.
#
# </details>
#
# **References.** Student, *The probable error of a mean*, Biometrika 1908. E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, Journal of the American Statistical Association 1927. C. J. Clopper, E. S. Pearson, *The use of confidence or fiducial limits illustrated in the case of the binomial*, Biometrika 1934.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.evidence
"Graders of chapter 0.2."
from modelab.core.statistics import interval
from modelab.course.exercises import as_number, exercise

# %%
#| export course.graders.evidence
@exercise(accepts=[632.3, 632, 1000 * (1 - .999 ** 1000)], rejects=[1000, 500, 368, 918, "632"])
def grade_seen(answer):
    seen = 1000 * (1 - (1 - 1e-3) ** 1000)
    assert abs(as_number(answer) - seen) < 3, \
        "with which probability is one given mode in none of the samples? Add over the modes"

# %%
#| export course.graders.evidence
def by_differences(a, b):
    "The right answer: the interval of the differences."
    gap = interval([x - y for x, y in zip(a, b)])
    return gap.low > 0 or gap.high < 0

# %%
#| export course.graders.evidence
def by_overlap(a, b):
    "A wrong answer: it looks whether two separate intervals overlap."
    a, b = interval(a), interval(b)
    return a.low > b.high or b.low > a.high

# %%
#| export course.graders.evidence
def one_sided(a, b):
    "A wrong answer: it does not see that `b` is the larger one."
    return interval([x - y for x, y in zip(a, b)]).low > 0

# %%
#| export course.graders.evidence
@exercise(accepts=[by_differences, lambda a, b: by_differences(b, a)],
          rejects=[by_overlap, one_sided, lambda a, b: True, lambda a, b: False,
                   lambda a, b: sum(a) > sum(b), lambda a, b: interval(a + b).low > 0,
                   lambda a, b: abs(sum(a) - sum(b)) / 8 > .5,
                   lambda a, b: abs(sum(x > y for x, y in zip(a, b)) - 4) > 2])
def grade_differs(differs):
    hard, gain = [3, 7, 4, 8, 5, 2, 6, 8], [1, .8, 1.2, 1, .9, 1.1, 1, 1.2]
    better = [h + g for h, g in zip(hard, gain)]
    assert differs(better, hard), "one method gains about 1 on each seed: look at the differences"
    assert differs(hard, better), "the second method may be the better one"
    assert not differs(hard, hard[::-1]), "these two methods have the same mean"
    noisy = [h + g for h, g in zip(hard, [4, -3, 2, -1, 3, -4, 1, 0])]
    assert not differs(noisy, hard), "a mean difference above zero can have an interval with zero"
    mostly = [h + g / 10 for h, g in zip(hard, [2, 3, 2.5, -.2, 2, 3, 2.5, 2])]
    assert differs(mostly, hard), "a small difference on nearly every seed can leave out zero"
    lucky = [h + g for h, g in zip(hard, [12, .1, .1, .2, .1, .1, .2, .1])]
    assert not differs(lucky, hard), "one seed alone makes this mean difference"
