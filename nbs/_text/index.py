# %% [markdown]
# # modelab
# > Is my generator losing modes, why, and what do I do about it?

# %% [markdown]
# A course you run and a library you install. Every chapter causes a failure, measures it, cures it, and says what the cure costs; the code you read is the code you import.
#
# **Start with [How to read this course](0_ground/00_course.ipynb).** Then in order, or by the question that brought you here:
#
# | your question | chapter |
# |---|---|
# | How is one supposed to read these notebooks? | [00 The rules of the house](0_ground/00_course.ipynb) |
# | Where do I get data whose modes I know? | [01 Modes](0_ground/01_modes.ipynb) |
# | My samples look fine. How many modes are missing? | [02 Coverage](0_ground/02_coverage.ipynb) |
# | How do I train eight seeds for the price of a few? | [03 Networks](0_ground/03_networks.ipynb) |
# | Why does a GAN lose modes at all? | [04 The minimax game](1_game/04_minimax.ipynb) |
# | How do I get the same numbers tomorrow? | [05 The engine](1_game/05_training.ipynb) |
#
# Run a cell with Shift+Enter. Where a chapter says *Predict*, write a number down first.

# %%
#| default_exp __main__

# %% [markdown]
# ## Is everything here?
# The map above and the package, side by side: every chapter is on disk, and each of its modules can be imported.

# %%
from pathlib import Path
import importlib, re
chapters = sorted(p for p in Path().glob("*_*/*.ipynb") if p.parent.name[0].isdigit())
modules = [importlib.import_module(f"modelab.{re.sub(r'^[0-9]+_', '', p.stem)}") for p in chapters]
{p.stem: m.__doc__ or "" for p, m in zip(chapters, modules)}

# %%
from modelab.course import GAMES, MODE_SETS, load_all
load_all()
{"games": sorted(GAMES), "mode sets": sorted(MODE_SETS)}

# %% [markdown]
# ## The same from a shell
# `pip install` gives a command of the same name. This page is its source: `modelab` looks up its subcommands in the registry of chapter 00, so a chapter can add
# one. Two belong to the house: `modelab course` brings the chapters, `modelab train` trains a method on known modes.

# %%
#| export
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from modelab import coverage as measures
from modelab.course import COMMANDS, command, load_all, make, one_of, replace, whole
from modelab.training import Run


# %% [markdown]
# ### `modelab course DIR`
# Whoever installed the package has the chapters inside it. A file that is already there and differs is somebody's work, so nothing is written then.

# %%
#| export
def chapters_path() -> Path:
    "The folder of the chapters: inside an installed package, or beside it in a checkout."
    here = Path(__file__).resolve().parent
    for folder in (here / "chapters", here.parent / "nbs"):
        if (folder / "index.ipynb").is_file():
            return folder
    raise FileNotFoundError(f"the chapters are neither in {here} nor beside it: reinstall modelab")


def copy_chapters(folder: str | Path,  # where they go; made if it is absent
                  source: Path | None = None,  # default: `chapters_path()`
                  ) -> list[Path]:
    "Copy the chapters to `folder` and return what was written; `FileExistsError` if that would overwrite edits."
    source, folder = Path(source or chapters_path()), Path(folder)
    pairs = [(p, folder / p.relative_to(source)) for p in sorted(source.rglob("*.ipynb"))
             if not any(part.startswith((".", "_")) for part in p.relative_to(source).parts)]
    edited = [str(new) for old, new in pairs if new.exists() and new.read_bytes() != old.read_bytes()]
    if edited:
        raise FileExistsError(f"nothing was copied, {len(edited)} file(s) there differ from the course: "
                              + ", ".join(edited[:3]) + (" …" if len(edited) > 3 else ""))
    written = [(old, new) for old, new in pairs if not new.exists()]
    for old, new in written:
        new.parent.mkdir(parents=True, exist_ok=True)
        replace(new, old.read_bytes())
    return [new for _, new in written]



# %%
#| export
@command
def course(parser: argparse.ArgumentParser) -> Callable:
    """copy the chapters into a folder

    modelab course my-course
    """
    parser.add_argument("folder", help="where the chapters go; edited files there are never overwritten")

    def run(args: argparse.Namespace) -> None:
        written = copy_chapters(args.folder)
        print(f"{len(written)} new chapters in {args.folder}. Open them with: jupyter lab {args.folder}")
    return run


# %%
import tempfile
with tempfile.TemporaryDirectory() as folder:
    source, target = Path(folder, "course"), Path(folder, "mine")
    source.mkdir()
    (source / "index.ipynb").write_text("{}")
    first, second = copy_chapters(target, source), copy_chapters(target, source)
    (target / "index.ipynb").write_text("my notes")
    try:
        copy_chapters(target, source)
    except FileExistsError as error:
        kept = (target / "index.ipynb").read_text(), "differ from the course" in str(error)
assert (len(first), len(second), kept) == (1, 0, ("my notes", True))


# %% [markdown]
# ### `modelab train GAME MODES`
# Eight seeds of a registered game on a registered set, a checkpoint now and then, and at the end the coverage table with its floor, ceiling and null.

# %%
#| export
def _setting(text: str) -> tuple[str, Any]:
    "`name=value` with a JSON value; a bare word is a string."
    name, found, value = text.partition("=")
    if not found or not name.isidentifier():
        raise ValueError(f"--set: expected name=value, got {text!r}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _start(args: argparse.Namespace) -> Run:
    "The run that the command line asks for, new or resumed."
    if args.resume:
        return Run.load(args.resume, device=args.device)
    try:
        game = make("game", {"name": args.game, **dict(map(_setting, args.set or []))})
    except TypeError as error:
        raise ValueError(f"--set: {error}") from error
    return Run(game, args.modes, runs=args.runs, seed=args.seed, device=args.device, batch=args.batch,
               average=args.average)


@command
def train(parser: argparse.ArgumentParser) -> Callable:
    """train a method on known modes and print what it covers

    modelab train minimax ring
    modelab train minimax stacked_digits --steps 3000 --set latent=64 --out run.safetensors
    modelab train --resume run.safetensors --steps 1000 --out run.safetensors
    """
    parser.add_argument("game", nargs="?", help="a registered game, for instance minimax")
    parser.add_argument("modes", nargs="?", help="a registered mode set, for instance ring, grid, stacked_digits")
    parser.add_argument("--runs", type=int, default=8, help="seeds side by side (default 8)")
    parser.add_argument("--steps", type=int, default=2000, help="training steps (default 2000)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps (default auto)")
    parser.add_argument("--batch", type=int, default=256, help="examples per run and turn (default 256)")
    parser.add_argument("--average", type=float, default=0.,
                        help="running average of G's weights, e.g. 0.999 (default none)")
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help="a setting of the game, e.g. lr=0.0003")
    parser.add_argument("--protocol", default="pacgan", help="how coverage is counted (default pacgan)")
    parser.add_argument("--out", help="checkpoint to write, every --save-every steps and at the end")
    parser.add_argument("--save-every", type=int, default=1000, help="steps between checkpoints (default 1000)")
    parser.add_argument("--resume", help="go on from this checkpoint; game and modes come from it")
    return _train


def _train(args: argparse.Namespace) -> None:
    "What `modelab train` does."
    if not args.resume and not (args.game and args.modes):
        raise ValueError("train: expected GAME and MODES, or --resume FILE; for instance: modelab train minimax ring")
    one_of("--protocol", args.protocol, measures.PROTOCOLS)
    every, left = whole("--save-every", args.save_every), whole("--steps", args.steps, 0)
    run, interrupted = _start(args), False
    try:
        while left:
            done = run.steps
            run.step(min(left, every))
            left -= run.steps - done
            if args.out and left:
                run.save(args.out)
    except KeyboardInterrupt:
        interrupted = True
        print(f"stopped after step {run.steps}", file=sys.stderr)
    if args.out:
        print(f"saved {run.save(args.out)} at step {run.steps}", file=sys.stderr)
    print(f"{run!r}\n{measures.table(run.coverage(args.protocol))}")
    if interrupted:
        raise KeyboardInterrupt


# %% [markdown]
# ### `modelab`
# A refusal is one line on standard error and exit status 2; a question about usage never shows a traceback.

# %%
#| export
def main(argv: Sequence[str] | None = None) -> int:
    "Run the command line and return its exit status: 0, or what the command says; 2 for bad input, 130 after Ctrl-C."
    load_all()
    parser = argparse.ArgumentParser(prog="modelab", description="Is my generator losing modes? Train, measure, learn.",
                                     epilog="Help on one command: modelab train --help")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, configure in sorted(COMMANDS.items()):
        title, _, examples = (configure.__doc__ or name).partition("\n")
        sub = commands.add_parser(name, help=title, description=title.capitalize() + ".",
                                  epilog="examples:" + examples.rstrip(),
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
        sub.set_defaults(execute=configure(sub))
    args = parser.parse_args(argv)
    try:
        return args.execute(args) or 0
    except (ValueError, TypeError, OSError, ArithmeticError) as error:
        print(f"modelab {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__" and "get_ipython" not in globals():
    sys.exit(main())

# %%
import contextlib, io

def shell(line: str) -> str:
    "What `modelab LINE` prints, and its exit status."
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            status = main(line.split())
        except SystemExit as end:
            status = end.code
    return f"{out.getvalue().rstrip()}\n[exit status {status}]"


# %%
print(shell("--help"))

# %%
print(shell("train --help"))

# %%
print(shell("train minimax ring --runs 4 --steps 60 --set width=32 --device cpu"))

# %%
lines = ["train minimaxx ring", "train minimax ring --steps -1", "train minimax ring --device abacus",
         "train minimax ring --set widht=3", "train --resume nowhere.safetensors"]
refusals = [shell(line) for line in lines]
assert all(r.endswith("[exit status 2]") for r in refusals)
print("\n".join(refusals))
