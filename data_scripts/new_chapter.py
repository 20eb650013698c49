"""Make a chapter from a scaffold that runs: its text twin, its notebook and its module.

    python data_scripts/new_chapter.py 1_game/08_lsgan
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
import subprocess
import sys
from collections.abc import Sequence

from run_notebooks import ROOT, store

SCAFFOLD = '''# %% [markdown]
# # {title}
# > One plain sentence: what this chapter shows

# %% [markdown]
# | | |
# |---|---|
# | **Question** | The question that brings a reader here? |
# | **You will be able to** | what a reader can do afterwards |
# | **Paper** | authors, title, year |
# | **Needs** | [1.1](../1_game/01_minimax.ipynb) |
# | **Time** | seconds of computing |

# %%
#| default_exp methods.{name}

# %%
#| export
"What this module holds, in the words a user would search for."
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from modelab.core.registry import register_game
from modelab.core.signatures import FakeScores, Logits, RealScores, checked
from modelab.networks.layers import score_batches
from modelab.training.game import AdversarialGame

# %%
from modelab.course.claims import steps
from modelab.data.mixtures import ring
from modelab.lab.panel import Lab
from modelab.networks.players import Networks
from modelab.training.run import Run

# %% [markdown]
# ## The failure
# Show first what goes wrong without the method, as a number with its seeds.

# %% [markdown]
# ## The loss
# The equation, and every term of it explained.

# %%
#| export
@checked
def {name}_discriminator_loss(real_logits: RealScores, fake_logits: FakeScores) -> Tensor:
    "What D descends, `(*runs,)`, from logits `(*runs, batch)`: the equation in one line."
    return F.softplus(-real_logits).mean(-1) + F.softplus(fake_logits).mean(-1)

# %%
{name}_discriminator_loss(torch.zeros(2, 5), torch.zeros(2, 5))

# %% [markdown]
# The generator's loss: what it asks of the logits of generated examples.

# %%
#| export
@checked
def {name}_generator_loss(fake_logits: Logits) -> Tensor:
    "What G descends, `(*runs,)`, from logits `(*runs, batch)`."
    return F.softplus(-fake_logits).mean(-1)

# %% [markdown]
# **Fidelity.** The code against the formula, in float64.

# %%
logits = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
formula = -torch.sigmoid(logits).log().mean(-1)
assert torch.allclose({name}_generator_loss(logits), formula, rtol=0, atol=1e-12)

# %% [markdown]
# ## The game
# A game says who plays, in which turns, and what each player descends. Registered, it is known to the lab, the command line, the leaderboard and the tests.

# %%
#| export
@register_game
@dataclass(kw_only=True)
class {game}(AdversarialGame):
    "The game, its paper and year."

    def loss_D(self, t: Any) -> Tensor:
        "One value per run for the discriminator's turn."
        return {name}_discriminator_loss(*score_batches(t.D, t.x, t.G(t.z).detach()))

    def loss_G(self, t: Any) -> Tensor:
        "One value per run for the generator's turn."
        return {name}_generator_loss(t.D(t.G(t.z)))

# %%
game = {game}(networks=Networks(width=32))
Run(game, ring(std=.1), runs=2, batch=64, device="cpu").step(steps(200)).coverage()

# %% [markdown]
# ## The lab
# Train it, stop, change a setting, go back.

# %%
Lab("{lower}", "ring", batch=64, samples=300)

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.{name} import grade_blind, grade_written

# %% [markdown]
# **1.** (easy, 5 minutes) $D$ gives every generated example the logit 0. What is the generator's loss?
#
# <details><summary>Hint</summary>
#
# What to look at, and not the answer.
#
# </details>

# %%
answer = ...
grade_blind(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Worked and explained. A test hands the code to the grader.
#
# ```python
# import math
# answer = math.log(2)
# ```
#
# </details>

# %% [markdown]
# **2.** (medium, 10 minutes) Write `loss(fake_logits)`, the generator's loss for logits of shape `(N,)`.
#
# <details><summary>Hint</summary>
#
# $-\\log\\sigma(\\ell)$ is a function that torch has.
#
# </details>

# %%
def loss(fake_logits):
    ...

answer = loss
grade_written(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def loss(fake_logits):
#     return F.softplus(-fake_logits).mean()
#
# answer = loss
# ```
#
# </details>

# %% [markdown]
# ## Recap
# - What was shown, in numbers.
#
# **For later.**
#
# 1. A question that a reader should be able to answer next week?
#
# <details><summary>Answers</summary>
#
# 1. Its answer.
#
# </details>

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.{name}
"Graders of the chapter."
import math

import torch
import torch.nn.functional as F

from modelab.course.exercises import as_number, exercise

# %%
#| export course.graders.{name}
@exercise(accepts=[math.log(2), .6931], rejects=[0, 1, .5, -math.log(2), 2 * math.log(2)])
def grade_blind(answer):
    assert abs(as_number(answer) - math.log(2)) < 1e-3, "put the logit 0 into the equation"

# %%
#| export course.graders.{name}
@exercise(accepts=[lambda l: F.softplus(-l).mean(), lambda l: -l.sigmoid().log().mean()],
          rejects=[lambda l: F.softplus(l).mean(), lambda l: F.softplus(-l).sum(),
                   lambda l: -F.softplus(l).mean()])
def grade_written(loss):
    logits = torch.tensor([-1., 0., 3.])
    assert torch.allclose(loss(logits), F.softplus(-logits).mean()), \\
        "compare with the equation: the sign of the logit, and the mean over the batch"
'''


def known_names() -> dict[str, str]:
    """Names in lower case that the package has already, its games among them, and the module of each."""
    tables: dict[str, dict] = {}
    if (path := ROOT / "modelab/_index.py").exists():
        exec(compile(path.read_text(encoding="utf-8"), "_index", "exec"), tables)
    return {name.lower(): module for kind in ("NAMES", "GAMES", "MODE_SETS") for name, module in tables.get(kind, {}).items()}


def scaffold_names() -> set[str]:
    """Names in lower case that the scaffold uses for other things: what it imports, and its variables."""
    tree = ast.parse(SCAFFOLD.format(title="x", name="x", game="X", lower="x"))
    nodes = list(ast.walk(tree))
    bound = [a.asname or a.name.partition(".")[0] for n in nodes if isinstance(n, (ast.Import, ast.ImportFrom)) for a in n.names]
    bound += [n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return {name.lower() for name in bound}


def scaffold(chapter: str) -> list[str]:
    """The text of a new chapter `part/NN_name`; ValueError if the name is wrong or taken."""
    found = re.fullmatch(r"([0-9]_[a-z0-9]+)/([0-9][0-9])_([a-z][a-z0-9]*(?:_[a-z0-9]+)*)", chapter)
    if not found:
        raise ValueError(f"NAME: expected a part, a number and a name such as 1_game/08_lsgan, got {chapter!r}")
    part, number, name = found.groups()
    books = [*(ROOT / "nbs").glob("[0-9]*/*.ipynb"), *(ROOT / "nbs/_text").glob("*/*.py")]
    taken = [p.name for p in books if p.parent.name == part and p.name.startswith(f"{number}_")]
    if not (ROOT / "nbs" / part).is_dir() or taken:
        raise ValueError(f"NAME: {f'{part}/{taken[0]} has this number' if taken else f'there is no part nbs/{part}'}")
    if same := [p for p in books if p.stem.partition("_")[2] == name]:
        raise ValueError(f"NAME: {same[0].parent.name}/{same[0].name} has this name")
    if (ROOT / f"modelab/methods/{name}.py").exists():
        raise ValueError(f"NAME: modelab/methods/{name}.py is exported by another chapter")
    words = name.split("_")
    game, lower = "".join(w.capitalize() for w in words), "".join(words)
    if keyword.iskeyword(name) or keyword.iskeyword(game) or game in dir(builtins):
        raise ValueError(f"NAME: {name!r} would name a module or a class {game} as Python itself names something")
    if lower in scaffold_names():
        raise ValueError(f"NAME: the class {game} would have a name that the scaffold imports or uses")
    known = known_names()
    for new in (name, lower, f"{name}_discriminator_loss", f"{name}_generator_loss"):
        if new in known:
            raise ValueError(f"NAME: modelab.{known[new]} has the name {new!r} already, in small or capital letters")
    return [SCAFFOLD.format(title=" ".join(words).capitalize(), name=name, game=game, lower=lower),
            f"nbs/{part}/{number}_{name}.ipynb", f"nbs/_text/{part}/{number}_{name}.py"]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        text, notebook, twin = scaffold(argv[0] if argv else "")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    done = False
    try:
        store(ROOT / twin, text)
        subprocess.run([sys.executable, "-m", "jupytext", "--quiet", "--sync", twin], cwd=ROOT, check=True)
        subprocess.run([sys.executable, "data_scripts/export.py", notebook], cwd=ROOT, check=True)
        done = True
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no chapter was made: {error}", file=sys.stderr)
        return 1
    finally:  # a stop by Ctrl-C included
        if not done:
            remove(notebook, twin)
    print(f"edit {twin} or {notebook}, then: make check CHAPTER={argv[0]}")
    return 0


def remove(notebook: str, twin: str) -> None:
    """Delete a chapter that was made by half; if its module was stored, export again without it."""
    for name in (notebook, twin):
        (ROOT / name).unlink(missing_ok=True)
    name = notebook.rpartition("/")[2].removesuffix(".ipynb").partition("_")[2]
    if any((ROOT / f"modelab/{folder}/{name}.py").exists() for folder in ("methods", "course/graders")):
        subprocess.run([sys.executable, "data_scripts/export.py"], cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
