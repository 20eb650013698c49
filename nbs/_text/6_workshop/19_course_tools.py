# %% [markdown]
# # Claims, records and graders: the tools of the chapters
# > How does a chapter record a result, replay a long experiment, and grade an answer?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How does a chapter record a result, replay a long experiment, and grade an answer? |
# | **You will be able to** | say what a record guarantees and what it does not; write a grader and a mission, and test them |
# | **Needs** | [0.2](../0_start/02_evidence.ipynb) |
# | **Time** | seconds |
#
# This chapter is for contributors who write a chapter. A chapter calls `claim` for a result, `steps` for a length of training, `recorded` for a result of `benchmarks/`, `experiment` for a long training, and `exercise` or `mission` for a grader. Chapter 0.2 shows how a reader meets these tools.

# %%
#| default_exp course.claims

# %%
#| export
"Claims of the course, their recorded results, and the fast mode of tests."
from __future__ import annotations

import base64
import functools
import inspect
import json
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from modelab.core.checks import check_int
from modelab.core.files import atomic_write

# %%
#| export course.exercises
"Exercises and missions: graders that are proven on right and wrong answers."
from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

from modelab.course.progress import note_answer

# %%
#| export course.notebooks
"Tools of the chapters: `patch`, which adds a method to a class that stands in an earlier cell."
from __future__ import annotations

from collections.abc import Callable

# %%
from tempfile import TemporaryDirectory

import torch

# %% [markdown]
# ## A class in several cells
# A long class is hard to read in one cell. In the chapters a class is spread over several cells: `@patch` adds a method to a class that is defined above. The exported module shows the class in one piece.
#
# `patch` reads the class from the annotation of the first parameter and sets the function on that class. It also handles cached properties. With `as_prop` or `cls_method` it makes properties and class methods. It returns the earlier value of the name, so a method does not hide a function of the same name.

# %%
#| export course.notebooks
def patch(f: Callable | None = None, *,
          as_prop: bool = False,  # a property
          cls_method: bool = False,  # a class method
          ) -> Callable:
    "Decorator: add `f` to the class that its first parameter is annotated with."
    if f is None:
        return lambda g: patch(g, as_prop=as_prop, cls_method=cls_method)
    plain = getattr(f, "func", f)  # of a cached property
    while hasattr(plain, "__wrapped__"):
        plain = plain.__wrapped__
    kind = next(iter(plain.__annotations__.values()))
    owner = plain.__globals__[kind] if isinstance(kind, str) else kind
    plain.__qualname__ = f"{owner.__qualname__}.{plain.__name__}"
    method = property(f) if as_prop else classmethod(f) if cls_method else f
    setattr(owner, plain.__name__, method)
    if hasattr(method, "__set_name__"):
        method.__set_name__(owner, plain.__name__)
    return plain.__globals__.get(plain.__name__)

# %%
class Counter:
    n = 0

# %%
@patch
def up(self: Counter) -> int:
    self.n += 1
    return self.n

assert Counter().up() == 1

# %% [markdown]
# ## Claims
# `claim` records one result. A program collects the claims of all chapters in the *ledger*, the file LEDGER.md of the repository. `Claim` is one row of it. A notebook stores the row in a format of its own, and the program reads it from there.

# %%
#| export
@dataclass(frozen=True)
class Claim:
    "One recorded result: a sentence, its source, our interval, the baseline and the verdict."
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

# %% [markdown]
# `claim` makes such a row. If the measured condition is not what the chapter expects, it raises an `AssertionError`, and the run of the notebook fails. In fast mode (below) it gives no verdict.

# %%
#| export
def claim(text: str,  # one sentence that could be false
          *, paper: str,  # whose claim it is
          ours: object,  # what we measured, an Interval where seeds are involved
          holds: bool,  # the measured condition
          baseline: object = "",  # what the tuned baseline measured
          section: str = "",  # where in the paper
          figure: str = "",  # the paper's own figure, if it prints one
          expect: bool = True,  # False for a claim that we report as failed
          ) -> Claim:
    "Record a claim; `AssertionError` if it is not as the chapter says (never in fast mode)."
    holds, verdict = bool(holds), "holds" if holds else "does not hold"
    if fast_mode():
        verdict = "not judged (short walk)"
    elif holds != expect:
        hint = "report it with expect=False" if expect else "it holds: take expect=False away"
        raise AssertionError(f"the chapter expects {'' if expect else 'not '}to see: {text}; "
                             f"ours {ours}, baseline {baseline or 'none'}. {hint}")
    return Claim(text, paper, section, str(figure), str(ours), str(baseline), verdict)

# %% [markdown]
# Some measurements take too long for a chapter. A script in `benchmarks/` makes them and stores the result there. An installed package holds a copy of these results.

# %%
#| export
def _records() -> Path:
    "The folder of recorded results: `benchmarks` of the checkout, else the package's copy."
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "benchmarks"
    return checkout if (checkout / "chapters").is_dir() else package / "benchmarks"

# %% [markdown]
# `recorded` reads one of them.

# %%
#| export
def recorded(name: str) -> dict:
    "The recorded result of `benchmarks/<name>.py`; empty if there is none."
    path = _records() / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else {}

# %% [markdown]
# Such a result may hold pictures. JSON has no pictures, so `packed` in `benchmarks/rows.py` rounds each pixel to a byte, compresses the bytes and writes them as text. `recorded_pictures` reads this text.

# %%
#| export
def recorded_pictures(text: str,  # what `packed` of `benchmarks/rows.py` wrote
                      *shape: int,  # of the result; one size may be -1
                      ) -> torch.Tensor:
    "Recorded pictures in [0, 1], `(*shape,)`; `ValueError` for another text or another shape."
    try:
        raw = zlib.decompress(base64.b64decode(text, validate=True))
    except (TypeError, ValueError, zlib.error) as error:
        raise ValueError(f"text: expected packed pictures, got {text!r:.40} ({error})") from None
    pixels = torch.tensor(list(raw), dtype=torch.float32) / 255
    try:
        return pixels.reshape(shape)
    except (TypeError, RuntimeError):
        raise ValueError(f"shape: {len(raw):,} recorded pixels do not fit {shape}") from None

# %%
two = bytes([0, 255, 51, 0, 255, 51])
recorded_pictures(base64.b64encode(zlib.compress(two)).decode(), 2, 1, 3).tolist()

# %% [markdown]
# Tests should be quick. So a chapter writes `steps(2000)` where it trains for 2,000 steps. If the environment variable `MODELAB_FAST` is set (*fast mode*), the same code runs with few training steps, and claims get no verdict. `fast_mode` says whether it is set.

# %%
#| export
def fast_mode() -> bool:
    "Whether `MODELAB_FAST` is set: few training steps, no verdicts."
    return _is_set("MODELAB_FAST")

# %% [markdown]
# An environment variable that is missing, empty or 0 counts as not set.

# %%
#| export
def _is_set(switch: str) -> bool:
    "Whether a variable of the environment is there, and not 0."
    return os.environ.get(switch, "") not in ("", "0")

# %% [markdown]
# `steps` gives the number of training steps: the full number, or a small one in fast mode.

# %%
#| export
def steps(n: int,  # training steps of the full run
          fast: int = 40,  # the most steps in fast mode
          ) -> int:
    "`n`, or at most `fast` in fast mode."
    return min(check_int("n", n), check_int("fast", fast)) if fast_mode() else check_int("n", n)

# %% [markdown]
# ## Long experiments, recorded and replayed
# `Experiment` is a function of its number of steps with a recorded result. A call trains only the first few steps. It compares their numbers with the stored ones, then returns the stored result. So a record guarantees that the code still gives the same first numbers. It does not notice a change that has an effect only later: then the experiment must be recorded again.

# %%
#| export
class Experiment:
    "A function of its number of steps, with its recorded result; `run` is the function itself."
    def __init__(self, run: Callable, file: Path, early: int, tolerance: float):
        (first,) = [p for p in inspect.signature(run).parameters.values()]
        self.run, self.file, self.tolerance = run, file, tolerance
        self.whole = check_int(first.name, first.default)
        self.early = check_int("early", early, 1, self.whole - 1)
        functools.update_wrapper(self, run)

    def __repr__(self) -> str:
        return f"{self.__name__}: {self.whole:,} steps, recorded in {self.file.name}"

# %% [markdown]
# The record is a JSON file. Numbers are stored with six digits.

# %%
#| export
def _plain(value: Any) -> Any:
    "Tensors, tuples and numbers as JSON has them, with six digits."
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    return float(f"{float(value):.6g}")

# %% [markdown]
# Another processor rounds differently, so the replay may differ a little. A number $v$ may be off by `tolerance` $\times\,(1+|v|)$.

# %%
#| export
def _differences(now: Any, then: Any, tolerance: float, place: str = "") -> list[str]:
    "The places where two results differ by more than `tolerance`, absolutely and relatively."
    if isinstance(now, dict) and isinstance(then, dict) and now.keys() == then.keys():
        pairs = [(now[key], then[key], f"{place}[{key!r}]") for key in now]
    elif isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        pairs = [(a, b, f"{place}[{i}]") for i, (a, b) in enumerate(zip(now, then))]
    else:
        close = now == then
        if isinstance(now, (int, float)) and isinstance(then, (int, float)):
            near = abs(now - then) <= tolerance * (1 + abs(then))
            close = close or near or (now != now and then != then)
        return [] if close else [f"{place or 'the result'}: {now} now, {then} recorded"]
    return [line for a, b, at in pairs for line in _differences(a, b, tolerance, at)]

# %% [markdown]
# All records of a chapter stand in one file.

# %%
#| export
def _read_record(file: Path) -> dict:
    "What is recorded for a chapter; empty if nothing is."
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

# %% [markdown]
# A call repeats the first steps and returns the stored result. In fast mode it returns the result of the first steps.

# %%
#| export
@patch
def __call__(self: Experiment) -> Any:
    "The recorded result, after a replay of the first steps."
    if fast_mode():
        return _plain(self.run(self.early))
    if _is_set("MODELAB_RECORD"):
        self.record()
    if self.__name__ not in (kept := _read_record(self.file)):
        raise LookupError(f"{self!r}, but it is not: run the chapter with MODELAB_RECORD=1")
    row = kept[self.__name__]
    if (row["steps"], row["early"]) != (self.whole, self.early):
        raise ValueError(f"{self.__name__}: {self.whole} steps, {self.early} early, but "
                         f"the record has {row['steps']} and {row['early']}: record it again")
    if changed := _differences(_plain(self.run(self.early)), row["replay"], self.tolerance):
        raise AssertionError(f"{self.__name__} does not replay: after {self.early} steps "
                             f"{'; '.join(changed[:3])}")
    return row["result"]

# %% [markdown]
# `record` runs the first steps and the full experiment, and writes both into the file of the chapter.

# %%
#| export
@patch
def record(self: Experiment) -> None:
    "Run the first steps and the whole, and store both."
    row = {"steps": self.whole, "early": self.early, "replay": _plain(self.run(self.early))}
    began = time.process_time()
    row["result"] = _plain(self.run(self.whole))
    row["processor seconds"] = round(time.process_time() - began, 1)
    kept = _read_record(self.file) | {self.__name__: row}
    self.file.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(kept[name])}" for name in sorted(kept))
    atomic_write(self.file, f"{{\n{lines}\n}}\n".encode())

# %% [markdown]
# `experiment` marks the function. It takes one argument, the number of steps, and returns numbers, also in lists and dicts.

# %%
#| export
def experiment(chapter: str,  # the chapter's file, as in "03_pairwise"
               *, early: int = 20,  # steps of the replay
               tolerance: float = .02,  # by which a replayed number may be off
               ) -> Callable[[Callable], Experiment]:
    "Record a long experiment in `benchmarks/chapters/<chapter>.json`; calls replay its start."
    file = _records() / "chapters" / f"{chapter}.json"
    return lambda run: Experiment(run, file, early, tolerance)

# %% [markdown]
# **Fidelity.** The random walk below adds normal numbers. Its record is made in a temporary folder. A call returns the stored result. If the function gives other numbers in the first 20 steps, the call fails.

# %%
def walk(total=5000):
    return {"end": torch.randn(total, generator=torch.Generator().manual_seed(0)).cumsum(0)[-1]}

with TemporaryDirectory() as folder:
    file = Path(folder) / "walks.json"
    long_walk = Experiment(walk, file, 20, .02)
    long_walk.record()
    again = long_walk() if not fast_mode() else walk()
    assert abs(again["end"] - walk()["end"]) < 1e-3
    long_walk.run = lambda total: {"end": walk(total)["end"] + 1}
    try:
        long_walk()
        assert fast_mode()
    except AssertionError as error:
        print(error)

# %% [markdown]
# ## Graders
# A `Grader` holds a check of answers. A grader that accepts everything is useless. So `exercise` (below) is given answers that must pass and answers that must fail, and a test of the course tries them all. The graders of a chapter stand at its end, so that the answers are not printed above the question.

# %%
#| export course.exercises
class Grader:
    "Checks an answer to an exercise: a call returns `Right.`, or `Not yet` with a hint."
    def __init__(self, check: Callable, accepts: Sequence | Callable, rejects: Sequence | Callable):
        if not (accepts and rejects):
            raise ValueError("accepts, rejects: expected at least one right and one wrong answer")
        self.check, self.accepts, self.rejects = check, accepts, rejects
        self.__name__, self.__doc__ = check.__name__, check.__doc__
        self.__module__ = check.__module__

    def hint(self, answer: Any) -> str:
        "What is wrong with `answer`; empty if nothing is."
        try:
            self.check(answer)
        except AssertionError as error:
            return str(error) or "that is not the answer"
        except Exception as error:  # a learner's function may fail in any way
            return f"it stops with {type(error).__name__}: {error}"
        return ""

# %% [markdown]
# The known answers are not tried when a grader is made, because some need a training. Such answers are given as a function that returns them. `prove` tries all of them.

# %%
#| export course.exercises
@patch
def prove(self: Grader) -> None:
    "Try the known answers; `AssertionError` if the grader is wrong about one of them."
    right, wrong = (list(known() if callable(known) else known)
                    for known in (self.accepts, self.rejects))
    if not (right and wrong):
        raise AssertionError(f"the grader {self.__name__} has no right or no wrong answer")
    for answer in right:
        if hint := self.hint(answer):
            raise AssertionError(f"the grader {self.__name__} rejects a right answer: {hint}")
    for answer in wrong:
        if not self.hint(answer):
            raise AssertionError(f"the grader {self.__name__} accepts a wrong answer: "
                                 f"{answer!r}")

# %% [markdown]
# An answer cell starts with `answer = ...`, or with a function whose body is `...`. Neither is a wrong answer, and `is_unanswered` recognises both.

# %%
#| export course.exercises
def is_unanswered(answer: Any) -> bool:
    "Whether an answer is still `...`, contains it, or is a function without a body."
    if isinstance(answer, (tuple, list)):
        return any(is_unanswered(one) for one in answer)
    code = getattr(answer, "__code__", None)
    empty = (lambda: None).__code__
    return answer is ... or (code is not None and code.co_code == empty.co_code
                             and code.co_consts[:1] == (None,) and code.co_name != "<lambda>")

# %% [markdown]
# Calling the grader with an answer returns what the reader sees: a request to answer, `Right.`, or `Not yet` with the hint of the check. In a folder made by `modelab course` ([6.15](../6_workshop/15_commands.ipynb)) a right answer is noted, and `modelab course DIR --progress` shows the list.

# %%
#| export course.exercises
@patch
def __call__(self: Grader, answer: Any) -> str:
    if is_unanswered(answer):
        return "Your turn: replace the ... with your answer."
    if hint := self.hint(answer):
        return f"Not yet: {hint}"
    package, _, chapter = self.__module__.rpartition(".")
    trouble = note_answer(chapter, self.__name__) if package == "modelab.course.graders" else ""
    return f"Right. ({trouble})" if trouble else "Right."

# %% [markdown]
# `exercise` is the decorator that chapters use. It turns a check, a function that makes assertions about an answer, into a `Grader`.

# %%
#| export course.exercises
def exercise(*, accepts: Sequence | Callable,  # answers the grader must accept, or what makes them
             rejects: Sequence | Callable,  # answers it must reject, or what makes them
             ) -> Callable[[Callable], Grader]:
    "Turn a function that asserts things about an answer into a `Grader` with known answers."
    return lambda check: Grader(check, accepts, rejects)

# %% [markdown]
# Many answers are numbers. `as_number` takes them from Python, NumPy or torch.

# %%
#| export course.exercises
def as_number(answer: Any) -> float:
    "An answer as a float; `AssertionError` for text, truth values and what is not finite."
    try:
        value = math.nan if isinstance(answer, (str, bytes, bool)) else float(answer)
    except Exception:  # of whatever was handed in
        value = math.nan
    assert math.isfinite(value), "a finite number is expected here"
    return value

# %% [markdown]
# A grader that looks at nothing does not pass `prove`:

# %%
def gullible(answer):
    "A grader that looks at nothing."

try:
    exercise(accepts=[1], rejects=[2])(gullible).prove()
except AssertionError as error:
    print(error)

# %% [markdown]
# ## Missions in the lab
# Some exercises are done in the lab of chapter [1.3](../1_game/03_lab.ipynb): *lose a mode, then bring it back*. Such a **mission**, of the class `Mission`, has stages. The lab keeps a record of what was measured at which step, and of what the user changed. A mission reads the record and says which stages it has seen. The lab ticks the stages off during the training. `exercise` makes a grader of a mission, as of any other check.

# %%
#| export course.exercises
class Mission:
    "A task in `stages`: `seen` says which are in a record, a call asserts that all of them are."
    def __init__(self, watch: Callable, stages: Sequence[str]):
        self.watch, self.stages, self.text = watch, list(stages), inspect.getdoc(watch) or ""
        self.__name__, self.__doc__ = watch.__name__, watch.__doc__
        self.__module__ = watch.__module__
        if not self.stages or not self.text:
            raise ValueError(f"stages: {watch.__name__} needs at least one stage, and a docstring "
                             "that says the task")

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

# %% [markdown]
# `mission` is the decorator for missions. It takes the names of the stages. The decorated function yields, for each stage in order, whether the record shows it.

# %%
#| export course.exercises
def mission(*stages: str,  # what is to be seen, in order
            ) -> Callable[[Callable], Mission]:
    "Turn a generator function that yields one truth per stage of a record into a `Mission`."
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
grade_dip.prove()
dip.seen([8, 3]), grade_dip([8, 3])
