# %% [markdown]
# # The leaderboard
# > Methods, sets and seeds in one file; what is finished is never run again, and no row stands without its interval, its floor, its null and its price

# %% [markdown]
# | | |
# |---|---|
# | **Question** | Which method covers which set, at which price, and would I believe the table? |
# | **You will be able to** | write a benchmark as one short file, run it on any number of processes, kill it, and go on |
# | **Needs** | [0.4](../0_start/04_coverage.ipynb), [6.13](13_distributed.ipynb) |
# | **Time** | under a minute |
#
# A workshop chapter: for whoever adds a method and wants to know where it stands.

# %%
#| default_exp training.leaderboard

# %%
#| export
"The leaderboard: methods × mode sets × seeds from one file."
from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import statistics
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelab import __version__
from modelab.core.checks import check_choice, check_int
from modelab.core.files import atomic_write
from modelab.core.plotting import axes, FAKE, MISSING, Picture, REAL
from modelab.core.registry import register_command
from modelab.core.statistics import interval
from modelab.evaluation.coverage import PROTOCOLS
from modelab.training.distributed import (Checkpoints, handle_sigterm, Job,
                                          ranks_from_environment, train_group)
from modelab.training.run import Diverged

# %%
import os, subprocess, tempfile, torch
from modelab.core.checks import error_message
from modelab.course.claims import recorded, steps
from modelab.course.exercises import exercise
here = Path(tempfile.mkdtemp())
torch.set_num_threads(1)  # as torchrun does, so that bits may be compared

# %% [markdown]
# ## The table that two people cannot make twice
# Here is how a method wins. Two that stand side by side on the board below, on a ring of eight, six hundred steps. Each gets one seed, as in many
# a table. **Predict:** of eight such tables, how many crown LGAN, and how many BiGAN?

# %%
def captured(game: str) -> list[int]:
    "Modes that each of eight seeds captures."
    job = Job({"name": game, "width": 64}, {"name": "ring", "radius": 2, "std": .02}, batch=64)
    return [int(c.captured) for c in job.start(range(8), "cpu").step(steps(600)).coverage()]


# %%
lgan, bigan = captured("lipschitz"), captured("bigan")
lgan, bigan

# %%
{"LGAN wins": sum(a > b for a, b in zip(lgan, bigan)), "BiGAN wins": sum(a < b for a, b in zip(lgan, bigan))}

# %% [markdown]
# One seed is a coin. So a row needs all seeds and an interval. It also needs what perfection and what noise would score under the same protocol, or 4.3 of 8 looks like
# an achievement (chapter 0.4), and what it cost. And because such a table takes hours, it will be killed.
#
# ## One file
# TOML: a table per method, a table per set, named as they are registered or as you like. Whatever is not a setting of the job goes to the game or the set. A set's
# settings override those at the top, a method's override both.

# %%
FILE = """
runs = 4
steps = 60
batch = 32

[sets.ring]
radius = 2
std = 0.02

[sets."five on a line"]
modes = "line"

[methods.minimax]
width = 16

[methods."WGAN-GP"]
game = "wasserstein"
width = 16
n_critic = 1

[methods."pair-wise"]
game = "pairwisebigan"
width = 16
sets = ["five on a line"]
"""

# %%
(here / "small.toml").write_text(FILE)

# %%
#| export
JOB_SETTINGS = tuple(f.name for f in dataclasses.fields(Job) if f.name not in ("game", "modes"))


# %%
#| export
@dataclass(frozen=True)
class BoardCell:
    "A method on a set: a job, and how its coverage is counted."
    method: str
    set: str
    job: Job
    protocol: str

    def parts(self) -> list[tuple[str, range]]:
        "A name and the seeds of each group; the name is a digest of everything that the group's result depends on."
        known = {**dataclasses.asdict(self.job), "protocol": self.protocol}
        for name in ("runs", "seed", "group"):
            del known[name]
        texts = [json.dumps([known, list(seeds)], sort_keys=True) for seeds in self.job.groups()]
        names = [hashlib.blake2b(text.encode(), digest_size=8).hexdigest() for text in texts]
        return list(zip(names, self.job.groups()))


# %%
#| export
def read_board_file(path: str | Path) -> list[BoardCell]:
    "The cells of a benchmark file, `.toml` or `.json`; `ValueError` names the line or the key that is wrong."
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no benchmark file {path}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected tables [methods.…] and [sets.…], got {type(found).__name__}")
    try:
        return _cells(found)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


# %%
#| export
def _cells(found: dict) -> list[BoardCell]:
    "The cells of a file's content; errors begin with the key."
    for key in found:
        check_choice("key", key, [*JOB_SETTINGS, "protocol", "methods", "sets"])
    for kind in ("methods", "sets"):
        tables = found.get(kind)
        if not isinstance(tables, dict) or not tables or not all(isinstance(v, dict) for v in tables.values()):
            raise ValueError(f"{kind}: expected at least one table [{kind}.NAME]")
    top = {k: v for k, v in found.items() if k not in ("methods", "sets")}
    cells = []
    for method, own in found["methods"].items():
        wanted = own.get("sets", list(found["sets"]))
        if not isinstance(wanted, list) or not wanted:
            raise ValueError(f"methods.{method}.sets: expected a list of sets, got {wanted!r}")
        for name in wanted:
            where = found["sets"][check_choice(f"methods.{method}.sets", name, found["sets"])]
            cells.append(_cell(method, {k: v for k, v in own.items() if k != "sets"}, name, where, top))
    return cells


# %%
#| export
def _cell(method: str, own: dict, name: str, where: dict, top: dict) -> BoardCell:
    "One cell: the job's settings picked out of three tables, what is left goes to the game and to the set."
    settings = {**top, **{k: v for table in (where, own) for k, v in table.items() if k in (*JOB_SETTINGS, "protocol")}}
    protocol = check_choice("protocol", settings.pop("protocol", "pacgan"), PROTOCOLS)
    made = {}
    for kind, key, table in (("modes", f"sets.{name}", where), ("game", f"methods.{method}", own)):
        rest = {k: v for k, v in table.items() if k not in (*JOB_SETTINGS, "protocol", kind)}
        spec = {"name": table.get(kind, (name if kind == "modes" else method).lower()), **rest}
        try:
            made[kind] = Job(**{"game": "minimax", "modes": "ring", kind: spec}, steps=0)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{key}: {error}") from None
    try:
        return BoardCell(method, name, Job(made["game"].game, made["modes"].modes, **settings), protocol)
    except (ValueError, TypeError) as error:
        raise ValueError(f"methods.{method}, sets.{name}: {error}") from None


# %%
cells = read_board_file(here / "small.toml")
assert len(cells) == 5
[(c.method, c.set, c.job.steps) for c in cells]

# %% [markdown]
# A bad file is refused before anything trains, by line or by key:

# %%
bad = {"a brace": "[sets.ring\n", "a key": FILE.replace("width = 16", "widht = 16", 1), "a set": FILE.replace('["five', '["six', 1),
       "a number": FILE.replace("runs = 4", "runs = 0"), "a name": FILE.replace('"line"', '"lime"')}
said = {}
for name, text in bad.items():
    (here / "bad.toml").write_text(text)
    said[name] = error_message(read_board_file, here / "bad.toml").partition("bad.toml: ")[2][:110]
said


# %% [markdown]
# ## Whoever comes takes what nobody holds
# A part of the work is one cell and one group of seeds, and its folder is named by a digest of everything that its result depends on. To work on it is to
# hold its lock (chapter 6.13). So nobody needs to hand out the work: every process walks down the list, passes over what is finished and
# what another one holds, and comes back until nothing is left. Two ranks of torchrun do this, and so do two shells, or two machines with
# a common disk. If one dies, its lock is free and somebody goes on from the last checkpoint.
#
# A part ends as one small JSON file, whether it went well or diverged. A method that diverges keeps its row.

# %%
#| export
BOARD_MEASURES = ("captured", "high_quality", "kl", "tv")


# %%
#| export
def _spent(path: Path) -> float:
    "Seconds noted so far; 0 where there is no note, or none that can be read."
    try:
        return float(json.loads(path.read_bytes())["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.


# %%
#| export
class _Timed(Checkpoints):
    "Checkpoints that also keep account of the seconds spent."
    clock = staticmethod(time.process_time)

    def __enter__(self) -> _Timed:
        super().__enter__()
        self.spent, self.since = _spent(self.path / "spent.json"), self.clock()
        return self

    def save(self, run: Any) -> None:
        "As before, and the account."
        super().save(run)
        atomic_write(self.path / "spent.json", json.dumps({"seconds": self.total()}).encode())

    def total(self) -> float:
        "Seconds up to now, over all processes that ever worked on it."
        return self.spent + self.clock() - self.since


# %%
#| export
def run_part(cell: BoardCell, seeds: range, folder: Path,  # of this part
             device: str = "auto", every: int = 500) -> dict | None:
    "Train and measure one part; None if another process holds it or Ctrl-C came first."
    try:
        with _Timed(folder, keep=1) as kept:
            if result := finished_part(folder):
                return result
            if device.startswith("cuda"):
                kept.clock, kept.since = time.perf_counter, time.perf_counter()
            result = {"seeds": list(seeds)}
            try:
                run = train_group(cell.job, seeds, kept, every=every, device=device)
                if run.steps < cell.job.steps:
                    raise KeyboardInterrupt
                covered = run.coverage(cell.protocol)
                result["scores"] = [{k: finite_or_none(getattr(c, k)) for k in BOARD_MEASURES} for c in covered]
                for side in ("floor", "null"):
                    result[side] = {k: finite_or_none(getattr(getattr(covered[0], side), k)) for k in BOARD_MEASURES}
                result["n_modes"] = covered[0].n_modes
            except Diverged as error:
                result["diverged"] = str(error).partition(";")[0]
            except (ValueError, TypeError, RuntimeError) as error:
                raise ValueError(f"{cell.method} on {cell.set}: {error}") from error
            result |= {"seconds": round(kept.total(), 2), "device": device.partition(":")[0], "version": __version__}
            atomic_write(folder / "result.json", json.dumps(result).encode())
            for checkpoint in folder.glob("step-*"):
                checkpoint.unlink()
            return result
    except BlockingIOError:
        return None


# %%
#| export
def finished_part(folder: Path) -> dict | None:
    "The result of a part, or None."
    try:
        return json.loads((folder / "result.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise ValueError(f"{folder / 'result.json'} is damaged ({error}): delete it, and this part is run again") from None


# %%
#| export
def finite_or_none(value: float) -> float | None:
    "`value`, or None where it is not a finite number: JSON has no NaN."
    return round(float(value), 6) if math.isfinite(value) else None


# %% [markdown]
# The finished board is a store as well: what stands in `NAME.json` under the same digest is not run again, even where the folder of parts is gone. That is what makes a committed
# board easy to extend: add a table to the file, and only its cells are run.

# %%
#| export
def run_board(path: str | Path,  # the file
              device: str = "auto",
              *, every: int = 500,  # steps between checkpoints
              tell: Callable[[str], Any] = lambda line: None,  # hears of each part that is done
              ) -> list[dict]:  # the board's rows
    "Run what is not finished yet, together with whoever else runs the same file; the rows of the board."
    path, cells = Path(path), read_board_file(path)
    folder, board = path.with_suffix(".parts"), _board(path)
    results, waiting = {}, [(cell, name, seeds) for cell in cells for name, seeds in cell.parts()]
    while waiting:
        left = []
        for cell, name, seeds in waiting:
            result = board.get(name) or finished_part(folder / name)
            if result is None:
                result = run_part(cell, seeds, folder / name, device, every)
                if result:
                    tell(f"{cell.method} on {cell.set}, seeds {seeds.start}–{seeds[-1]}: "
                         f"{result.get('diverged') or 'done'}, {result['seconds']:.0f} s")
            if result:
                results[name] = result
            else:
                left.append((cell, name, seeds))
        if len(left) == len(waiting):
            time.sleep(.5)  # others hold all that is left
        waiting = left
    return [board_row(cell, {name: results[name] for name, _ in cell.parts()}) for cell in cells]


# %%
#| export
def _board(path: Path) -> dict[str, dict]:
    "Finished parts by digest, from the board beside the file."
    path = board_path(path)
    try:
        rows = json.loads(path.read_bytes())["rows"]
        return {name: part for r in rows for name, part in r["parts"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no leaderboard ({error!r}): move it away") from None


# %%
#| export
def board_path(path: Path) -> Path:
    "Where the board of a benchmark file goes."
    return path.with_suffix(".board.json" if path.suffix == ".json" else ".json")


# %%
#| export
def board_row(cell: BoardCell, parts: dict[str, dict]) -> dict[str, Any]:
    "One row of the board from the parts of a cell."
    found = list(parts.values())
    scores = [s for p in found for s in p.get("scores", [])]
    whole_part = next((p for p in found if "scores" in p), {})
    return {"set": cell.set, "method": cell.method, "steps": cell.job.steps, "runs": cell.job.runs,
            "game": cell.job.game, "modes": cell.job.modes, "protocol": cell.protocol, "n_modes": whole_part.get("n_modes"),
            "diverged": [p["diverged"] for p in found if "diverged" in p],
            **{k: summarise([s[k] for s in scores], cell.job.runs) for k in BOARD_MEASURES},
            "floor": whole_part.get("floor"), "null": whole_part.get("null"),
            "seconds per seed": round(sum(p["seconds"] for p in found) / cell.job.runs, 2), "parts": parts}


# %%
#| export
def summarise(values: Sequence[float | None], runs: int) -> dict[str, float] | None:
    "Mean and 95 % interval over the seeds that have a finite value, and how many of `runs` those are."
    finite = [v for v in values if v is not None]
    if not finite:
        return None
    of = interval(finite) if len(finite) > 1 else None
    low, high = (of.low, of.high) if of else (None, None)
    return {"mean": round(statistics.fmean(finite), 4), "low": None if low is None else round(low, 4),
            "high": None if high is None else round(high, 4), "n": len(finite), "of": runs}


# %%
rows = run_board(here / "small.toml", "cpu", tell=print)

# %% [markdown]
# Run again, it does nothing but read.

# %%
again = run_board(here / "small.toml", "cpu", tell=print)
assert again == rows


# %% [markdown]
# ## The board
# Three files beside the benchmark's: `NAME.json` for machines, `NAME.md` for reading, `NAME.png` for looking. Best first within a set, but a rank is only printed where it is one: a row whose interval
# reaches the mean of the first one is *not told apart* from it, and one whose interval reaches the noise's is *not above noise*.

# %%
#| export
def order_rows(rows: Sequence[dict]) -> Iterator[tuple[str, list[dict]]]:
    "Set by set, the rows with the most modes first; what diverged comes last."
    for name in dict.fromkeys(r["set"] for r in rows):
        own = [r for r in rows if r["set"] == name]
        yield name, sorted(own, key=lambda r: (r["captured"] is None, -(r["captured"] or {"mean": 0})["mean"],
                                               (r["kl"] or {"mean": math.inf})["mean"]))


# %%
#| export
def _shown(value: dict | None, scale: float = 1.) -> str:
    "Mean and interval for a table."
    if value is None:
        return "–"
    text = f"{scale * value['mean']:.3g}"
    if value["low"] is not None:
        text += f" [{scale * value['low']:.3g}, {scale * value['high']:.3g}]"
    return text + f" ({value['n']} of {value['of']})" * (value["n"] < value["of"])


# %%
#| export
def board_markdown(rows: Sequence[dict], title: str = "Leaderboard") -> str:
    "The board as Markdown: a table per set, each row beside what perfection and noise score."
    lines = [f"# {title}", "", "Mean over seeds and 95 % interval. *Perfect* and *noise*: what a perfect generator and uniform "
             "noise score with as many samples. *Not told apart*: the interval of modes captured reaches the mean "
             "of the first row; *not above noise*: it reaches the noise's. Seconds are of one core on one machine; compare them "
             "with each other."]
    for name, own in order_rows(rows):
        n, best = own[0]["n_modes"], own[0]["captured"]
        lines += ["", f"## {name}: {n:g} modes, protocol {own[0]['protocol']}" if n else f"## {name}", "",
                  "| method | modes captured | perfect | noise | high quality, % | perfect | noise | KL | perfect | noise "
                  "| seeds | steps | s a seed | |",
                  "|" + "---|" * 14]
        for r in own:
            cells = [r["method"].replace("|", "\\|")]
            for key, scale in (("captured", 1), ("high_quality", 100), ("kl", 1)):
                cells.append(_shown(r[key], scale))
                cells += ["–" if not r[s] or r[s][key] is None else f"{scale * r[s][key]:.4g}" for s in ("floor", "null")]
            notes = [f"diverged: {why}" for why in r["diverged"]]
            if (c := r["captured"]) and c["low"] is not None:
                notes += ["not told apart"] * (r is not own[0] and c["high"] >= best["mean"])
                notes += ["not above noise"] * (c["low"] <= r["null"]["captured"])
            cells += [str(r["runs"]), str(r["steps"]), f"{r['seconds per seed']:.1f}", "; ".join(notes)]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


# %%
#| export
def plot_board(rows: Sequence[dict]) -> Picture:
    "The share of modes captured, one panel per set: intervals of the methods, and lines for perfection and noise."
    sets, said = list(order_rows(rows)), []
    tallest = max(len(own) for _, own in sets)
    columns = 2 if len(sets) == 4 else min(3, len(sets))
    figure, panels = axes(math.ceil(len(sets) / columns), columns, size=(3.6, .8 + .26 * tallest), squeeze=False)
    for ax in panels.flat[len(sets):]:
        ax.set_axis_off()
    for ax, (name, own) in zip(panels.flat, sets):
        for y, r in enumerate(own):
            if r["captured"]:
                c = {k: 100 * (v or 0) / r["n_modes"] for k, v in r["captured"].items() if k in ("mean", "low", "high")}
                low, high = (c["low"], c["high"]) if r["captured"]["low"] is not None else (c["mean"], c["mean"])
                ax.plot([max(0, low), min(100, high)], [y, y], color=FAKE, lw=2)
                ax.plot(c["mean"], y, "o", color=FAKE, ms=4)
        for side, color, style in (("floor", REAL, "-"), ("null", MISSING, "--")):
            if (r := next((r for r in own if r[side]), None)):
                ax.axvline(100 * r[side]["captured"] / r["n_modes"], color=color, ls=style, lw=1)
        ax.set(yticks=range(len(own)), yticklabels=[r["method"] for r in own], xlim=(-3, 103),
               xlabel="modes captured, %", title=name)
        ax.invert_yaxis()
        said.append(f"{name}: {own[0]['method']} first, {own[-1]['method']} last")
    return Picture(figure, "Share of modes captured by each method, with 95 % intervals; solid line perfection, dashed noise. "
                   + "; ".join(said))


# %%
#| export
def publish_board(rows: Sequence[dict], path: str | Path) -> list[Path]:
    "Write `NAME.json`, `NAME.md` and `NAME.png` beside the benchmark file."
    path = Path(path)
    written = {board_path(path): json.dumps({"file": path.name, "rows": list(rows)}, indent=1).encode() + b"\n",
               path.with_suffix(".md"): board_markdown(rows).encode(), path.with_suffix(".png"): plot_board(rows).png}
    for target, data in written.items():
        atomic_write(target, data)
    return list(written)


# %%
from IPython.display import Markdown
publish_board(rows, here / "small.toml")
Markdown(board_markdown(rows, "Small"))

# %%
plot_board(rows)


# %% [markdown]
# ## `modelab bench FILE`
# Under torchrun, or in a second shell, the same command helps. Rank 0 writes the board.

# %%
#| export
@register_command("bench")
def _bench_command(parser: argparse.ArgumentParser) -> Callable:
    """run methods × sets × seeds from one file and write the leaderboard

    modelab bench benchmarks/leaderboard.toml
    torchrun --nproc-per-node 2 -m modelab bench benchmarks/leaderboard.toml
    """
    parser.add_argument("file", help="a .toml or .json file with tables [methods.NAME] and [sets.NAME]")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps (default auto)")
    parser.add_argument("--save-every", type=int, default=500, help="steps between checkpoints (default 500)")

    def run(args: argparse.Namespace) -> None:
        us, every = ranks_from_environment(), check_int("--save-every", args.save_every)
        with handle_sigterm():
            rows = run_board(args.file, us.device(args.device), every=every, tell=lambda line: print(line, file=sys.stderr, flush=True))
        if us.rank == 0:
            written = publish_board(rows, args.file)
            print(board_markdown(rows, Path(args.file).stem))
            print("wrote " + ", ".join(map(str, written)), file=sys.stderr)
    return run


# %% [markdown]
# Killed in the middle of a part, with nothing but the signal that cannot be caught, and started again with two processes. The board is the one from above:

# %%
(here / "killed.toml").write_text(FILE)
env = {**os.environ, "OMP_NUM_THREADS": "1"}
child = subprocess.Popen([sys.executable, "-m", "modelab", "bench", here / "killed.toml", "--device", "cpu", "--save-every", "20"],
                         env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
while child.poll() is None and len(list((here / "killed.parts").glob("*/result.json"))) < 2:
    time.sleep(.02)
child.kill()
killed = child.wait()
done = len(list((here / "killed.parts").glob("*/result.json")))
two = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "modelab", "bench",
                      here / "killed.toml", "--device", "cpu"], env=env, capture_output=True, text=True, timeout=250)

# %%
def scores_of(rows: list[dict]) -> list:
    "All but the seconds."
    return [(r["set"], r["method"], r["captured"], r["kl"]) for r in rows]


there = json.loads((here / "killed.json").read_text())["rows"]
assert killed == -9 and two.returncode == 0 and scores_of(there) == scores_of(rows)
done, two.stderr.count("done")

# %% [markdown]
# ## What stands on these two cores
# `python -m modelab bench benchmarks/leaderboard.toml`, a few minutes of one core. Small networks and short walks: this is a board of what a method covers *within that
# budget*, not of what it can do; the tuned comparisons are in the chapters. No rate was tuned for this board. Look at the grid first: after six hundred steps no method has
# captured more of it than uniform noise, and a table without the column would have crowned one.

# %%
board = recorded("leaderboard").get("rows", [])
plot_board(board) if board else None

# %%
Markdown(board_markdown(board, "Two cores") if board else "")

# %% [markdown]
# ## Exercises
# **1.** A file has 3 methods, 2 sets, `runs = 20` and `group = 8`. Into how many parts is the work cut, and how many processes can at most help?

# %%
@exercise(accepts=[18], rejects=[6, 15, 120, 20])
def grade_parts(answer):
    groups = len(Job("minimax", "ring", runs=20, group=8).groups())
    assert answer == 3 * 2 * groups, "a part is one cell and one group of seeds; 20 seeds make groups of 8, 8 and 4"


# %%
answer = ...
grade_parts(answer)

# %% [markdown]
# **2.** Somebody raises `runs` from 8 to 16 in a finished benchmark with `group = 8`. What share of the new work is already done? And from 8 to 12 with `group = 12`?

# %%
@exercise(accepts=[(.5, 0.)], rejects=[(.5, 2 / 3), (0., 0.), (1., .5)])
def grade_reuse(answer):
    def names(runs, group):
        return {n for n, _ in BoardCell("m", "s", Job("minimax", "ring", runs=runs, group=group), "pacgan").parts()}
    old = names(8, 8)
    assert tuple(answer) == tuple(len(old & new) / len(new) for new in (names(16, 8), names(12, 12))), \
        "a part is known by its seeds; a group of another size is another part, because it may round differently"


# %%
answer = ...
grade_reuse(answer)

# %% [markdown]
# ## Recap
# - A row is all its seeds, an interval, a floor, a null and a price. What diverged keeps its row.
# - A part is named by what its result depends on; so finished work is recognised wherever it was done.
# - A lock that dies with its process is all the scheduling that a list of independent parts needs.
#
# **For later.** Why is the number of seeds not in a part's name, and the group's seeds are? What would a leaderboard hide that shows the best epoch?
