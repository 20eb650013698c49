# %% [markdown]
# # How to read this course
# > Predict, run, explain: and put a number, with its error, on every claim

# %% [markdown]
# | | |
# |---|---|
# | **Question** | Two generators, two screenshots. Which of them lost most of the data, and how would you know? |
# | **You will be able to** | read a chapter, state a claim with its interval, answer an exercise that grades itself |
# | **Paper** | none: this is the house, and its rules |
# | **Needs** | Python; a little torch |
# | **Time** | a few seconds of computing |

# %%
#| default_exp course

# %%
#| export
from __future__ import annotations

import functools
import importlib
import inspect
import io
import json
import math
import os
import pkgutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

# %%
import torch
from sklearn.datasets import load_digits

# %% [markdown]
# ## Two screenshots
# Take real handwritten digits, stack three of them as the red, green and blue channel of one picture, and there are
# $10^3 = 1000$ kinds of picture: 1,000 *modes*. Here are two generators. One draws from all of them. The other has forgotten
# 800 of the 1,000.
#
# **Predict:** which one is broken, left or right? Look as long as you like before you read on.

# %%
digits = load_digits()
scans = torch.tensor(digits.images / 16, dtype=torch.float32)
by_class = [scans[digits.target == c] for c in range(10)]
g = torch.Generator().manual_seed(0)

# %%
def stack(mode: int) -> torch.Tensor:
    "One 8×8×3 picture whose three channels show the three decimal digits of `mode`."
    figures = [mode // 100, mode // 10 % 10, mode % 10]
    return torch.stack([by_class[c][torch.randint(len(by_class[c]), (), generator=g)] for c in figures], -1)

# %%
every = torch.arange(1000)
kept = torch.randperm(1000, generator=g)[:200]
left_modes = kept[torch.randint(200, (2500,), generator=g)]
right_modes = every[torch.randint(1000, (2500,), generator=g)]

# %% [markdown]
# A picture needs somewhere to stand. `axes` makes a figure in the course's one style and `picture` shows it, with a sentence
# for whoever cannot see it. Real data are always blue and round; generated data are always orange and crossed.

# %%
#| export
REAL, FAKE, DARK, THIRD = "#0072B2", "#D55E00", "#8C8C8C", "#009E73"


def axes(rows: int = 1, columns: int = 1, *, size: tuple[float, float] = (3.4, 3.0), **kw):
    "A figure and its axes in the house style: `size` is width and height of one panel in inches."
    import seaborn as sns
    from matplotlib.figure import Figure
    with sns.axes_style("ticks"), sns.plotting_context("notebook", font_scale=.75):
        figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained", dpi=110)
        return figure, figure.subplots(rows, columns, **kw)


class Picture:
    "A still picture with a text that says the same to whoever cannot see it."
    def __init__(self, figure, alt: str):
        self.alt, buffer = alt, io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
        self.png = buffer.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"image/png": self.png, "text/plain": self.alt}, {"image/png": {"alt": self.alt}}


picture = Picture

# %%
#| export
def scatter(ax, real=None, fake=None, *, limit: float | None = None, size: float = 6):
    "Draw 2-D points: real as blue discs, generated as orange crosses."
    if real is not None:
        ax.scatter(*real.detach().cpu().T, s=size, c=REAL, alpha=.5, linewidths=0, label="real", rasterized=True)
    if fake is not None:
        ax.scatter(*fake.detach().cpu().T, s=size * 2, c=FAKE, alpha=.6, marker="x", linewidths=.7,
                   label="generated", rasterized=True)
    if limit is not None:
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit))
    ax.set_aspect("equal")
    ax.set(xlabel="x₁", ylabel="x₂")


def tiles(ax, images, columns: int = 10, title: str = ""):
    "Draw images `(n, height, width[, 3])` with values in [0, 1] as one sheet, `columns` to a row."
    images = images.detach().cpu()
    n, height, width = images.shape[:3]
    rows = math.ceil(n / columns)
    sheet = images.new_ones(rows * (height + 1), columns * (width + 1), *images.shape[3:])
    for i, image in enumerate(images):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        sheet[top:top + height, left:left + width] = image
    ax.imshow(sheet.clamp(0, 1).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_title(title)
    ax.set_axis_off()

# %%
figure, (left, right) = axes(1, 2)
tiles(left, torch.stack([stack(int(m)) for m in left_modes[:60]]), title="left")
tiles(right, torch.stack([stack(int(m)) for m in right_modes[:60]]), title="right")
picture(figure, "Two sheets of sixty coloured digit triples. To the eye they are equally varied.")

# %% [markdown]
# Nobody can tell, and this is the state of the art: *"is this mode collapse? everything looks the same"* is asked with
# screenshots and answered with opinions. Now count.

# %%
counts = left_modes.unique().numel(), right_modes.unique().numel()
counts

# %% [markdown]
# The left generator shows 200 of 1,000 modes; the right one over 900. But notice that the right one is *perfect*, and still
# does not reach 1,000: with 2,500 draws, about 80 modes stay unseen by chance alone. A count without the count that a
# perfect generator would get means little. This course never prints one without the other.

# %%
expected = 1000 * (1 - (1 - 1 / 1000) ** 2500)
assert counts[0] == 200 and abs(counts[1] - expected) < 40
round(expected, 1)

# %% [markdown]
# ## The rules of the house
# 1. **Failure first.** A chapter opens by causing the failure that its method cures, where the modes are known.
# 2. **Predict, run, explain.** Where it says *Predict*, write a number down. Being wrong is the point; forgetting what you
#    thought is the waste.
# 3. **Every equation is proven against its code**, in a cell you can run: a closed form, a finite difference, or somebody
#    else's independent answer.
# 4. **Every claim is a distribution.** Eight seeds at least, an interval, a *tuned* baseline, and what chance and perfection score.
# 5. **What does not replicate is printed as plainly as what does.**
#
# The rest of this chapter builds the few tools that hold us to these rules. They are the module `modelab.course`.

# %% [markdown]
# ## Many seeds, one interval
# Train once and you have an anecdote. Train eight times and you have a mean with an error. With eight values the normal
# distribution's 1.96 is too brave; Student's $t$ with $n-1$ degrees of freedom is right for bell-shaped errors:
#
# $$\bar v \pm t_{n-1}\,\frac{s}{\sqrt n}.$$

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
        spec = spec or ".3g"
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def __repr__(self) -> str:
        return f"{self} over {self.n} seeds"


def interval(values: Iterable[float],  # one number per seed, at least two
             confidence: float = .95,  # chance that the interval holds the mean, for normal errors
             ) -> Interval:
    "Mean of `values` with its Student-t confidence interval."
    from scipy.stats import t
    try:
        values = [float(v) for v in values]
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise TypeError(f"values: expected numbers, got {values!r:.80} ({error})") from error
    if len(values) < 2:
        raise ValueError(f"values: an interval needs at least two seeds, got {len(values)}")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"values: expected finite numbers, got {values}")
    if isinstance(confidence, bool) or not isinstance(confidence, Real) or not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence!r}")
    n, mean = len(values), math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = float(t.ppf((1 + confidence) / 2, n - 1)) * spread / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)

# %%
interval([7, 8, 8, 6, 8, 7, 8, 8])

# %% [markdown]
# Is it honest? Draw eight normal numbers ten thousand times: the interval should hold the true mean 95 times in a hundred.
# With 1.96 in place of $t$ it would not.

# %%
from scipy.stats import t
draws = torch.randn(10_000, 8, generator=g, dtype=torch.float64)
error, scale = draws.mean(1).abs(), draws.std(1) / math.sqrt(8)
held = {name: (error < k * scale).double().mean().item() for name, k in (("t", t.ppf(.975, 7)), ("1.96", 1.96))}
held

# %%
ours, row = interval(draws[0].tolist()), draws[0]
assert math.isclose(ours.high - ours.mean, t.ppf(.975, 7) * row.std() / math.sqrt(8))
assert abs(held["t"] - .95) < .01 and held["1.96"] < .92

# %% [markdown]
# ## A claim goes on record
# `claim` writes one row: what is claimed, where it comes from, our interval, the baseline's, and the verdict. The rows of
# all chapters together are the *ledger* in the README; nobody types it by hand. A claim that stops holding stops the tests.
# Where we set out to replicate something and failed, `expect=False` says so, and the failure is held to the same standard.

# %%
#| export
@dataclass(frozen=True)
class Claim:
    "One row of the ledger."
    claim: str
    paper: str
    section: str
    figure: str
    ours: str
    baseline: str
    verdict: str

    def __repr__(self) -> str:
        against = f" against {self.baseline}" if self.baseline else ""
        return f"{self.verdict.upper()}: {self.claim} ({self.ours}{against})"

    def _repr_mimebundle_(self, include=None, exclude=None):
        head = f"<b>{self.verdict}</b>: {self.claim}"
        source = f"<br><small>{self.paper} {self.section} {self.figure}</small>"
        body = f"<br>ours {self.ours}" + (f", baseline {self.baseline}" if self.baseline else "")
        return {"text/plain": repr(self), "text/html": f"<div>{head}{body}{source}</div>",
                "application/vnd.modelab.claim+json": dict(self.__dict__)}


def claim(text: str,  # one sentence that could be false
          *, paper: str,  # whose claim it is
          ours: object,  # what we measured, an Interval where seeds are involved
          holds: bool,  # the measured condition
          baseline: object = "",  # what the tuned baseline measured
          section: str = "",  # where in the paper
          figure: str = "",  # the paper's own figure, if it prints one
          expect: bool = True,  # False for a claim that we report as not replicated
          ) -> Claim:
    "Record a claim; `AssertionError` if what holds is not what the chapter says (never on a short walk)."
    holds, verdict = bool(holds), "holds" if holds else "does not replicate"
    if hurried():
        verdict = "not judged (short walk)"
    elif holds != expect:
        raise AssertionError(f"the chapter expects {'' if expect else 'not '}to see: {text}; "
                             f"ours {ours}, baseline {baseline or 'none'}")
    return Claim(text, paper, section, str(figure), str(ours), str(baseline), verdict)

# %% [markdown]
# What takes longer than a chapter may is measured by a script in `benchmarks/` and recorded there; `recorded` shows the result.

# %%
#| export
def recorded(name: str) -> dict:
    "The recorded result of `benchmarks/<name>.py`; empty where only the package is installed."
    path = Path(__file__).resolve().parent.parent / "benchmarks" / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else {}

# %% [markdown]
# Some machines are slow and some tests must be quick, so a chapter says `steps(2000)` where it trains. With `MODELAB_FAST` set
# it takes a short walk through the same code, and claims are not judged.

# %%
#| export
def hurried() -> bool:
    "Whether `MODELAB_FAST` asks for a short walk."
    return os.environ.get("MODELAB_FAST", "") not in ("", "0")


def steps(n: int,  # steps of the full walk
          fast: int = 40,  # steps of the short one
          ) -> int:
    "`n`, or at most `fast` on a short walk."
    return min(whole("n", n), whole("fast", fast)) if hurried() else whole("n", n)

# %% [markdown]
# ## What a function refuses
# Code that accepts anything fails somewhere else. Every public function of the library checks what it is given before it does
# any work, and says the name of the argument, what came and what it expected. The checks are four small functions.

# %%
#| export
def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    "`value` as an int between `least` and `most`; a bool, a fraction or a text is refused."
    bounds = f"a whole number ≥ {least}" + (f" and ≤ {most}" if most is not None else "")
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name}: expected {bounds}, got {value!r}")
    if value < least or (most is not None and value > most):
        raise ValueError(f"{name}: expected {bounds}, got {value!r}")
    return int(value)


def wholes(name: str, values: Any, least: int = 1, most: int | None = None) -> list[int]:
    "A list of whole numbers, at least one, each as `whole` has it."
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)) or not values:
        raise ValueError(f"{name}: expected at least one whole number, got {values!r:.40}")
    return [whole(name, value, least, most) for value in values]


def number(name: str, value: Any, least: float = -math.inf, most: float = math.inf, *,
           above: float = -math.inf) -> float:
    "`value` as a finite float with `least ≤ value ≤ most` and `value > above`."
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found) or not least <= found <= most or not found > above:
        bounds = [f"≥ {least:g}"] * (least > above) + [f"> {above:g}"] * (above > -math.inf) \
            + [f"≤ {most:g}"] * (most < math.inf)
        raise ValueError(f"{name}: expected a finite number {' and '.join(bounds)}".rstrip() + f", got {value!r:.40}")
    return found


def one_of(name: str, value: Any, known: Iterable[str]) -> str:
    "`value` if it is among `known`; the error lists them and guesses what was meant."
    import difflib
    known = sorted(known)
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
    if value not in known:
        near = difflib.get_close_matches(value, known, 1)
        raise ValueError(f"{name}: unknown {value!r}" + (f", did you mean {near[0]!r}?" if near else "")
                         + f" Known: {', '.join(known)}")
    return value


def batch(name: str,  # the argument's name, for the error
          x: Any,  # a tensor or an array
          event: Sequence[int] | None = None,  # shape of one example, if it is known
          least: int = 1,  # fewest examples
          ):
    "`x` as a floating tensor `(n, *event)`; refuses wrong ranks and shapes, too few examples, NaN and infinity."
    import torch
    if not isinstance(x, torch.Tensor):
        try:
            x = torch.as_tensor(x)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"{name}: expected a tensor or an array of numbers, got {type(x).__name__}") from error
    if x.is_complex():
        raise TypeError(f"{name}: expected real numbers, got {x.dtype}")
    want = "(n, ...)" if event is None else "(" + ", ".join(["n", *map(str, event)]) + ")"
    if x.ndim < 1 or event is not None and tuple(x.shape[1:]) != tuple(event) or 0 in x.shape[1:]:
        raise ValueError(f"{name}: expected shape {want}, got {tuple(x.shape)}")
    if len(x) < least:
        raise ValueError(f"{name}: expected at least {least} example{'s' * (least > 1)}, got {len(x)}")
    x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
    if x.numel() and not all(map(math.isfinite, torch.stack(torch.aminmax(x.detach())).tolist())):  # without a copy of x
        bad = int((~torch.isfinite(x)).flatten(1).any(1).sum()) if x.ndim > 1 else int((~torch.isfinite(x)).sum())
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity in {bad} of {len(x)} examples")
    return x

# %% [markdown]
# Losses and penalties run at every step and are not slowed down by looking at every number: `tensors` only asks whether there are any. What is not finite passes through, and the engine of chapter 05 notices.

# %%
#| export
def tensors(**named: Any) -> None:
    "Refuse what is no floating tensor `(*runs, batch, ...)` with at least one number in it; the names are for the error."
    import torch
    for name, x in named.items():
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            raise TypeError(f"{name}: expected a floating tensor, got {getattr(x, 'dtype', type(x).__name__)}")
        if not x.ndim or not x.numel():
            raise ValueError(f"{name}: expected shape (*runs, batch, ...) with at least one example, got {tuple(x.shape)}")


def logits(**named: Any) -> None:
    "Refuse what is no `tensors` of shape `(*runs, batch)` with the same runs."
    tensors(**named)
    shapes = {name: tuple(x.shape) for name, x in named.items()}
    if len({shape[:-1] for shape in shapes.values()}) > 1:
        raise ValueError(f"{', '.join(shapes)}: expected (*runs, batch) with the same runs, got {list(shapes.values())}")


def called(**named: Any) -> None:
    "Refuse what cannot be called."
    for name, f in named.items():
        if not callable(f):
            raise TypeError(f"{name}: expected a function, got {f!r:.80}")


# %% [markdown]
# An error is a lesson too, so chapters run their errors. `refused` calls a function, catches what it raises and shows it; if
# nothing is raised, the cell fails.

# %%
#| export
def refused(call: Callable, *args, **kw) -> str:
    "The text of the ValueError or TypeError that `call` raises; `AssertionError` if it raises none."
    try:
        call(*args, **kw)
    except (ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError(f"expected {getattr(call, '__name__', call)} to refuse {args} {kw}")

# %%
[refused(whole, "n", 2.5), refused(whole, "n", True), refused(number, "std", float("nan"), above=0)]

# %%
points = torch.zeros(5, 2)
points[3, 0] = float("nan")
[refused(batch, "x", points), refused(batch, "x", points, (3,)), refused(batch, "x", points[:0], (2,))]

# %%
[refused(tensors, real_scores=points[:0]), refused(tensors, x=[1, 2])]

# %% [markdown]
# ## Exercises that grade themselves, and graders that are graded
# An exercise ends in a cell `answer = ...` and a grader. A grader that accepts everything teaches nothing, so `exercise` wants
# to see answers that must pass and answers that must fail, and tries them all before the reader does.

# %%
#| export
class Grader:
    "Call it with an answer; it says whether the answer is right, and a hint if it is not."
    def __init__(self, check: Callable, accepts: Sequence, rejects: Sequence):
        self.check, self.__doc__ = check, check.__doc__
        if not accepts or not rejects:
            raise ValueError("accepts, rejects: a grader must be tried on at least one right and one wrong answer")
        for answer in accepts:
            if hint := self.hint(answer):
                raise AssertionError(f"the grader {check.__name__} rejects a right answer: {hint}")
        for answer in rejects:
            if not self.hint(answer):
                raise AssertionError(f"the grader {check.__name__} accepts a wrong answer: {answer!r}")

    def hint(self, answer) -> str:
        "What is wrong with `answer`; empty if nothing is."
        try:
            self.check(answer)
        except Exception as error:  # a learner's function may fail in any way
            return str(error) or type(error).__name__
        return ""

    def __call__(self, answer) -> str:
        if answer is ...:
            return "Your turn: replace the ... with your answer."
        hint = self.hint(answer)
        return f"Not yet: {hint}" if hint else "Right."


def exercise(*, accepts: Sequence,  # answers the grader must accept
             rejects: Sequence,  # answers it must reject
             ) -> Callable[[Callable], Grader]:
    "Turn a function that asserts things about an answer into a `Grader`, after proving it on known answers."
    return lambda check: Grader(check, accepts, rejects)

# %% [markdown]
# **Exercise.** A perfect generator of 1,000 equally likely modes is asked for 1,000 samples. How many modes do you expect to see?
# Compute it, or predict first and then compute it.

# %%
@exercise(accepts=[632.3, 632], rejects=[1000, 500, 368, "632"])
def grade_seen(answer):
    assert isinstance(answer, (int, float)), "a number, please"
    assert abs(answer - 1000 * (1 - (1 - 1e-3) ** 1000)) < 3, "one mode stays unseen with probability (1 - 1/1000)^1000"

# %%
answer = ...
grade_seen(answer)

# %%
def gullible(answer):
    "A grader that looks at nothing."

try:
    exercise(accepts=[1], rejects=[2])(gullible)
except AssertionError as error:
    print(error)

# %% [markdown]
# Some exercises are done by hand, in the lab of chapter 06: *make a mode go dark, then bring it back*. Such a **mission** has stages, and what the hand did is in a record: what was measured at which step, and what was changed. A mission reads the record and says, stage by stage, what it has seen. The lab ticks the stages off while you play; afterwards `exercise` makes a grader of it like of any other check.

# %%
#| export
class Mission:
    "A task whose `stages` can be seen in a record: `seen` follows it, calling it asserts that all of it was done."
    def __init__(self, watch: Callable, stages: Sequence[str]):
        self.watch, self.stages = watch, list(stages)
        self.text, self.__name__, self.__doc__ = inspect.getdoc(watch) or "", watch.__name__, watch.__doc__
        if not self.stages or not self.text:
            raise ValueError(f"stages: {watch.__name__} needs at least one stage, and a docstring that says the task")

    def seen(self, record: Any) -> list[bool]:
        "Which stages the record shows; a stage counts only when those before it do."
        marks = []
        try:
            for mark in self.watch(record):
                marks.append(bool(mark) and all(marks))
        except Exception:  # the record may be too short, or something else altogether
            pass
        return (marks + [False] * len(self.stages))[:len(self.stages)]

    def __call__(self, record: Any) -> None:
        for stage, done in zip(self.stages, self.seen(record)):
            assert done, f"not in the record: {stage}"


def mission(*stages: str,  # what is to be seen, in order
            ) -> Callable[[Callable], Mission]:
    "Turn a generator function that reads a record, and yields one truth per stage, into a `Mission`."
    return lambda watch: Mission(watch, stages)

# %%
@mission("the count fell", "and rose again")
def dip(record):
    "Let the count fall, then rise."
    low = record.index(min(record))
    yield low > 0
    yield record[-1] > record[low]

# %%
grade_dip = exercise(accepts=[[8, 3, 8]], rejects=[[8, 3], [3, 8], [], None])(dip)
dip.seen([8, 3]), grade_dip([8, 3])

# %% [markdown]
# ## Methods and sets have names
# A *game* is a method (chapter 04 onwards); a *mode set* is data whose modes are known (chapter 01). Each chapter registers
# what it defines, and the lab, the command line and the benchmarks find it by name. A registered thing also remembers how it
# was made, as plain JSON, so that a run can be written down and made again.

# %%
#| export
GAMES: dict[str, Callable] = {}
MODE_SETS: dict[str, Callable] = {}
COMMANDS: dict[str, Callable] = {}


def command(configure: Callable) -> Callable:
    "Decorator: `configure(parser)` adds a subcommand's arguments and returns the function that runs them."
    COMMANDS[configure.__name__] = configure
    return configure


def plain(value: Any) -> Any:
    "`value` as JSON-ready data; an object that cannot be written down leaves a note of its class."
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    return value if isinstance(value, (str, int, float, bool, type(None))) else {"own": type(value).__name__}


def short(value: float) -> float | None:
    "A number for JSON: four digits, or None where it is not finite."
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _remember(make: Callable, name: str) -> Callable:
    "Wrap the initialiser or factory `make` so that what it makes carries `.spec`: its name and its arguments."
    signature = inspect.signature(make)

    @functools.wraps(make)
    def wrapped(*args, **kw):
        made = make(*args, **kw)
        bound = signature.bind(*args, **kw)
        bound.apply_defaults()
        own = vars(args[0]) if made is None else {}  # what a dataclass made of its defaults
        arguments = {k: own.get(k, v) for k, v in bound.arguments.items() if k != "self"}
        (args[0] if made is None else made).spec = {"name": name, **plain(arguments)}
        return made
    return wrapped


def game(cls: type) -> type:
    "Class decorator: make a game known by its class name in lower case."
    name = cls.__name__.lower()
    cls.__init__ = _remember(cls.__init__, name)
    GAMES[name] = cls
    return cls


def mode_set(make: Callable) -> Callable:
    "Decorator: make a factory of mode sets known by its own name."
    MODE_SETS[make.__name__] = _remember(make, make.__name__)
    return MODE_SETS[make.__name__]


def load_all() -> None:
    "Import every module of the package, so that every registered name is known."
    import modelab
    for module in pkgutil.iter_modules(modelab.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"modelab.{module.name}")


def make(kind: str, spec: str | dict) -> Any:
    "Build a registered \"game\" or \"modes\" from its name or from the `.spec` of an earlier one."
    known = {"game": GAMES, "modes": MODE_SETS}[one_of("kind", kind, ["game", "modes"])]
    if not isinstance(spec, (str, dict)):
        raise TypeError(f"spec: expected a name or the .spec of a {kind}, got {spec!r:.80}")
    settings = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = settings.pop("name", None)
    own = [f"{k} (a {v['own']})" for k, v in settings.items() if isinstance(v, dict) and "own" in v]
    if own:
        raise ValueError(f"{kind}: {name} was made with objects of your own, make it again yourself: {', '.join(own)}")
    if name not in known:
        load_all()
    return known[one_of(kind, name, known)](**settings)

# %%
@mode_set
def coin(sides: int = 2):
    "A toy set, only to show the registry at work."
    class Coin: n_modes = sides
    return Coin()

# %%
thick = coin(sides=3)
again = make("modes", json.loads(json.dumps(thick.spec)))
thick.spec, again.n_modes

# %%
message = refused(make, "modes", "coyn")
del MODE_SETS["coin"]
message

# %% [markdown]
# ## A film under your hands
# Training is a film, not a picture. `Film` takes pictures recorded along the way and gives them a slider and a play button;
# without a running kernel it shows its first, middle and last frame side by side.

# %%
#| export
class Film:
    "Recorded pictures with a slider: a live widget in a running notebook, a strip of stills elsewhere."
    def __init__(self, frames: Sequence[Picture],  # at least one
                 labels: Sequence[str],  # one per frame
                 ):
        if any(not isinstance(v, (list, tuple)) for v in (frames, labels)) or any(not hasattr(f, "png") for f in frames):
            raise TypeError(f"frames, labels: expected lists of pictures and texts, got {frames!r:.40} and {labels!r:.40}")
        if not frames or len(frames) != len(labels):
            raise ValueError(f"frames, labels: expected as many labels as frames, got {len(labels)} and {len(frames)}")
        self.frames, self.labels = list(frames), list(labels)

    @functools.cached_property
    def widget(self):
        "The widget: image, label, play button and slider."
        import ipywidgets as w
        last = len(self.frames) - 1
        natural = w.Layout(max_width="100%", align_self="flex-start")
        image = w.Image(value=self.frames[0].png, format="png", layout=natural)
        label = w.Label(self.labels[0])
        slider = w.IntSlider(0, 0, last, description="frame", readout=False)
        play = w.Play(value=0, min=0, max=last, interval=250)
        w.jslink((play, "value"), (slider, "value"))

        def turn(change):
            image.value, label.value = self.frames[change["new"]].png, self.labels[change["new"]]
        slider.observe(turn, "value")
        box = w.VBox([image, w.HBox([play, slider, label])])
        box.slider, box.image, box.label = slider, image, label
        return box

    def still(self, n: int = 3) -> Picture:
        "The film strip: `n` frames from first to last."
        from matplotlib.image import imread
        n = min(n, len(self.frames))
        chosen = [round(i * (len(self.frames) - 1) / max(1, n - 1)) for i in range(n)]
        sheets = [imread(io.BytesIO(self.frames[i].png)) for i in chosen]
        height, width = sheets[0].shape[:2]
        figure, panels = axes(1, n, size=(min(4.0, 9.6 / n), min(4.0, 9.6 / n) * height / width + .2), squeeze=False)
        for ax, i, sheet in zip(panels[0], chosen, sheets):
            ax.imshow(sheet)
            ax.set_title(self.labels[i])
            ax.set_axis_off()
        return Picture(figure, "; ".join(f"{self.labels[i]}: {self.frames[i].alt}" for i in chosen))

    def _repr_mimebundle_(self, include=None, exclude=None):
        data, meta = self.still()._repr_mimebundle_()
        live = self.widget._repr_mimebundle_() or {}
        return {**(live[0] if isinstance(live, tuple) else live), **data}, meta

# %%
def spread(n: int) -> Picture:
    "How eight means of `n` draws each scatter around the truth."
    figure, ax = axes(size=(4, 1.4))
    means = torch.randn(8, n, generator=torch.Generator().manual_seed(n)).mean(1)
    ax.plot(means, torch.zeros(8), "o", c=REAL)
    ax.set(xlim=(-1.5, 1.5), yticks=[], xlabel="mean of n draws (truth: 0)", title=f"n = {n}")
    return picture(figure, f"Eight means of {n} draws within ±{means.abs().max():.2f}")

# %%
sizes = [2, 4, 8, 16, 32, 64]
film = Film([spread(n) for n in sizes], [f"n = {n}" for n in sizes])
film

# %%
film.widget.slider.value = 5
assert film.widget.image.value == film.frames[5].png and film.widget.label.value == "n = 64"
film.widget.slider.value = 0

# %% [markdown]
# ## Nothing half-written
# A file that is replaced while the power fails should be the old one or the new one. `replace` writes beside it and renames.

# %%
#| export
def replace(path: str | Path, data: bytes) -> None:
    "Write `data` to `path` so that a crash leaves the old file or the new one, never half of one."
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    "The process's file mode mask, which can only be read by setting it."
    mask = os.umask(0)
    os.umask(mask)
    return mask

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "result.json")
    replace(path, b"first")
    try:
        replace(path, "not bytes")
    except TypeError:
        kept = path.read_bytes(), [p.name for p in Path(folder).iterdir()]
assert kept == (b"first", ["result.json"])
kept

# %% [markdown]
# ## Recap
# - A count without what chance and perfection score is an anecdote; so is one seed.
# - A claim is a sentence that could be false, an interval, and a verdict that the tests hold it to.
# - Graders are proven on wrong answers before you meet them, and functions refuse bad input by name.
#
# **For later.** Why does a perfect generator of 1,000 modes show only 918 of them in 2,500 draws? What does `expect=False` promise? When is an interval from two seeds useful?
