# %% [markdown]
# # The command line
# > How do I train, measure and sample from a shell?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How do I train, measure and sample from a shell? |
# | **You will be able to** | use every command of `modelab`, and add one |
# | **Needs** | [6.2](02_registry.ipynb), [6.13](13_distributed.ipynb) |
# | **Time** | seconds |

# %%
#| default_exp __main__

# %%
#| export
"The command line of modelab."
from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from modelab import _index
from modelab.core.registry import COMMANDS, load

# %%
#| export training.commands
"The commands `modelab train` and `modelab sample`."
from __future__ import annotations

import argparse
import dataclasses
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelab.core.checks import check_choice, check_int
from modelab.core.files import atomic_write
from modelab.core.registry import make, register_command
from modelab.evaluation.coverage import PROTOCOLS, coverage_table
from modelab.training.checkpoints import run_config
from modelab.training.distributed import Job, connect_ranks, handle_sigterm, train_job
from modelab.training.run import Run

# %%
#| export course.chapters
"The chapters of the course, and the command `modelab course` that copies them to a folder."
from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from modelab.core.files import atomic_write
from modelab.core.registry import register_command

# %% [markdown]
# ## The same from a shell
# `pip install` gives a command of the same name. This page is its source: `modelab` looks up its subcommands in the registry of chapter 0.2, so a chapter can add
# one, as chapter 6.14 does. Three belong to the house: `modelab course` brings the chapters, `modelab train` trains a method on known modes, `modelab sample` writes down what it makes.

# %%
#| default_exp __main__


# %% [markdown]
# ### `modelab course DIR`
# Whoever installed the package has the chapters inside it. A file that is already there and differs is somebody's work, so nothing is written then.

# %%
#| export course.chapters
def chapters_path() -> Path:
    "The folder of the chapters: inside an installed package, or beside it in a checkout."
    here = Path(__file__).resolve().parent.parent
    for folder in (here / "chapters", here.parent / "nbs"):
        if (folder / "index.ipynb").is_file():
            return folder
    raise FileNotFoundError(f"the chapters are neither in {here} nor beside it: reinstall modelab")


# %%
#| export course.chapters
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
        atomic_write(new, old.read_bytes())
    return [new for _, new in written]


# %%
#| export course.chapters
@register_command("course")
def _course_command(parser: argparse.ArgumentParser) -> Callable:
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
# Eight seeds of a registered game on a registered set, a checkpoint now and then, and at the end the coverage table with its floor, ceiling and null. Under `torchrun` the
# seeds are shared out over processes ([chapter 6.13](13_distributed.ipynb)).

# %%
#| export training.commands
def _setting(text: str) -> tuple[str, Any]:
    "`name=value` with a JSON value; a bare word is a string."
    name, found, value = text.partition("=")
    if not found or not name.isidentifier():
        raise ValueError(f"--set: expected name=value, got {text!r}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


# %%
#| export training.commands
def _job(args: argparse.Namespace, device: str) -> tuple[Job, str | None, Run | None]:
    "What the command line asks for: the job, where it is kept, and the run to go on with if there is one."
    if args.resume and Path(args.resume).is_dir() and (Path(args.resume) / "job.json").exists():
        if args.out and Path(args.out) != Path(args.resume):
            raise ValueError(f"--out: the run in {args.resume} goes on where it is, got {args.out}")
        job = Job.read(args.resume)
        return dataclasses.replace(job, steps=job.steps + (args.steps or 0)), args.resume, None
    steps = 2000 if args.steps is None else args.steps
    if args.resume:
        run = Run.load(args.resume, device=device)
        return Job(**run_config(run), group=run.runs, steps=run.steps + steps), args.out, run
    if not (args.game and args.modes):
        raise ValueError("train: expected GAME and MODES, or --resume FILE; for instance: modelab train minimax ring")
    try:
        game = {"name": args.game, **dict(map(_setting, args.set or []))}
        return Job(game, args.modes, steps, args.runs, args.seed, args.group, args.batch, args.average, args.shards,
                   args.precision), args.out, None
    except TypeError as error:
        raise ValueError(f"--set: {error}") from error


# %%
#| export training.commands
@register_command("train")
def _train_command(parser: argparse.ArgumentParser) -> Callable:
    """train a method on known modes and print what it covers

    modelab train minimax ring
    modelab train minimax stacked_digits --steps 3000 --set latent=64 --out digits --keep 3
    modelab train --resume digits
    modelab train --resume digits --steps 1000
    torchrun --nproc-per-node 2 -m modelab train minimax ring --runs 16 --out ring
    """
    parser.add_argument("game", nargs="?", help="a registered game, for instance minimax")
    parser.add_argument("modes", nargs="?", help="a registered mode set, for instance ring, grid, stacked_digits")
    parser.add_argument("--runs", type=int, default=8, help="seeds (default 8)")
    parser.add_argument("--group", type=int, default=8, help="seeds side by side; part of the result (default 8)")
    parser.add_argument("--steps", type=int, help="training steps (default 2000); with --resume: further steps")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps (default auto)")
    parser.add_argument("--batch", type=int, default=256, help="examples per run and turn (default 256)")
    parser.add_argument("--shards", type=int, default=1,
                        help="parts of a batch, for one game on several devices (default 1)")
    parser.add_argument("--precision", default="float32", help="float32 or bf16 (default float32)")
    parser.add_argument("--average", type=float, default=0.,
                        help="running average of G's weights, e.g. 0.999 (default none)")
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help="a setting of the game, e.g. lr=0.0003")
    parser.add_argument("--protocol", default="pacgan", help="how coverage is counted (default pacgan)")
    parser.add_argument("--out", help="where checkpoints go: a folder, or one file that ends in .safetensors; the same "
                                      "command again goes on with a folder")
    parser.add_argument("--keep", type=int, help="checkpoints that stay in the folder (default 2)")
    parser.add_argument("--save-every", type=int, default=1000, help="steps between checkpoints (default 1000)")
    parser.add_argument("--resume", metavar="PATH", help="go on with this checkpoint, or this folder's newest")
    return _train


# %%
#| export training.commands
def _train(args: argparse.Namespace) -> int:
    "What `modelab train` does."
    check_choice("--protocol", args.protocol, PROTOCOLS)
    every, keep = check_int("--save-every", args.save_every), check_int("--keep", 2 if args.keep is None else args.keep)
    if args.keep is not None and str(args.out).endswith(".safetensors"):
        raise ValueError(f"--keep: expected a folder in --out to keep {keep} checkpoints in, got the file {args.out}")
    if args.steps is not None:
        check_int("--steps", args.steps, 0)
    with connect_ranks() as us, handle_sigterm():
        job, out, run = _job(args, us.device(args.device))
        us.gather("read")  # nobody writes a job down before everybody has read it
        covered, last = train_job(job, us, out, keep=keep, every=every, device=args.device, protocol=args.protocol,
                                  run=run)
        if last < job.steps:
            print(f"{us}: " * (us.size > 1) + f"stopped after step {last}", file=sys.stderr)
        if us.size == 1 or us.rank == 0 and last == job.steps:
            seeds = f"seeds {job.seed}–{job.seed + len(covered) - 1}" if len(covered) > 1 else f"seed {job.seed}"
            print(f"{job.game['name']} on {job.modes['name']}, {seeds}, {last} steps\n{coverage_table(covered)}")
        if out and us.rank == 0:
            print(f"saved in {out} at step {last}", file=sys.stderr)
    return 130 if last < job.steps else 0


# %% [markdown]
# ### `modelab sample SOURCE --out FILE`
# What a trained generator makes, or what a set holds, as a `.npy` file: for [the audit](../4_evidence/02_audit.ipynb), or for a tool of yours.

# %%
#| export training.commands
def _samples_from(source: str, n: int, seed: int | None, device: str) -> torch.Tensor:
    "`n` samples of one seed of a checkpoint or a run's folder, or of a registered set if there is no such file."
    path = Path(source)
    if not path.exists():
        modes = make("modes", source)
        return modes.sample(n, generator=torch.Generator().manual_seed(check_int("--seed", seed or 0, 0)))
    if (path / "job.json").exists():
        job = Job.read(path)
        seed = job.seed if seed is None else seed
        group = next((g for g in job.groups() if seed in g), job.groups()[0])
        path = job.place(path, group)
    run = Run.load(path, device=device)
    seed = run.seed if seed is None else seed
    if seed not in run.seeds:
        raise ValueError(f"--seed: {source} holds the seeds from {run.seeds[0]} to {run.seeds[-1]}, got {seed}")
    return run.sample(n)[run.seeds.index(seed)]


# %%
#| export training.commands
@register_command("sample")
def _sample_command(parser: argparse.ArgumentParser) -> Callable:
    """write samples of a trained generator, or of a set, to a .npy file

    modelab sample ring --n 10000 --out fakes.npy
    modelab sample ring.safetensors --seed 3 --out fakes.npy
    modelab sample stacked_digits --out reference.npy
    """
    parser.add_argument("source", help="a checkpoint, a folder of modelab train, or else a registered mode set")
    parser.add_argument("--out", required=True, help="the .npy file, (n, *shape of one sample)")
    parser.add_argument("--n", type=int, default=10_000, help="samples (default 10000)")
    parser.add_argument("--seed", type=int, help="which seed of the run (default its first), or for the draw from a set")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps (default auto)")

    def run(args: argparse.Namespace) -> None:
        if not args.out.endswith(".npy"):
            raise ValueError(f"--out: expected a name that ends in .npy, got {args.out}")
        drawn, file = _samples_from(args.source, check_int("--n", args.n), args.seed, args.device), io.BytesIO()
        np.save(file, drawn.cpu().numpy())
        atomic_write(args.out, file.getvalue())
        print(f"{len(drawn)} samples of shape {tuple(drawn.shape[1:])} in {args.out}")
    return run


# %% [markdown]
# ### `modelab`
# A refusal is one line on standard error and exit status 2; a question about usage never shows a traceback.

# %%
#| export
def _parser(asked: str) -> argparse.ArgumentParser:
    "The parser of the command line; only the command that is asked for is imported."
    parser = argparse.ArgumentParser(prog="modelab", description="Is my generator losing modes? Train, measure, learn.",
                                     epilog="Help on one command: modelab train --help")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, title in _index.COMMAND_HELP.items():
        if name != asked:
            commands.add_parser(name, help=title)
            continue
        load("command", name)
        examples = (COMMANDS[name].__doc__ or "").partition("\n")[2]
        sub = commands.add_parser(name, help=title, description=title.capitalize() + ".", epilog="examples:" + examples.rstrip(),
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
        sub.set_defaults(execute=COMMANDS[name](sub))
    return parser


# %%
#| export
def main(argv: Sequence[str] | None = None) -> int:
    "Run the command line and return its exit status: 0, or what the command says; 2 for bad input, 130 after Ctrl-C."
    argv = sys.argv[1:] if argv is None else list(argv)
    args = _parser(next((word for word in argv if not word.startswith("-")), "")).parse_args(argv)
    rank = f", rank {os.environ['RANK']}" if int(os.environ.get("WORLD_SIZE", 1)) > 1 else ""
    try:
        return args.execute(args) or 0
    except BrokenPipeError:  # whoever reads us, such as head, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, ArithmeticError) as error:
        print(f"modelab {args.command}{rank}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


# %%
#| export
if __name__ == "__main__" and "get_ipython" not in globals():
    sys.exit(main())

# %%
import contextlib, tempfile

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
with tempfile.TemporaryDirectory() as folder:
    print(shell(f"sample ring --n 500 --out {folder}/ring.npy").replace(folder, "…"))
    assert np.load(f"{folder}/ring.npy").shape == (500, 2)

# %%
lines = ["sample no-such-thing --out x.npy", "sample ring --out x.txt", "train minimaxx ring", "train minimax ring --steps -1", "train minimax ring --device abacus",
         "train minimax ring --set widht=3", "train --resume nowhere.safetensors", "train minimax ring --runs 9 --out x.safetensors"]
refusals = [shell(line) for line in lines]
assert all(r.endswith("[exit status 2]") for r in refusals)
print("\n".join(refusals))
