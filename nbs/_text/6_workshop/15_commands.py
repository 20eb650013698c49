# %% [markdown]
# # The command line
# > How do I train, measure and sample from a shell?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How do I train, measure and sample from a shell? |
# | **You will be able to** | use the commands of `modelab`; add one that starts at once |
# | **Needs** | [6.2](02_registry.ipynb), [6.13](13_distributed.ipynb) |
# | **Time** | seconds |
#
# If you only use the commands, read the outputs below. If you want to add one, read the code as well.

# %%
#| default_exp __main__

# %%
#| export
"The command line of modelab."
from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence

from modelab import _index
from modelab.core.registry import COMMANDS, load

# %%
#| export training.commands
"The arguments of the commands `modelab train` and `modelab sample`; loads no torch."
from __future__ import annotations

import argparse
from collections.abc import Callable

from modelab.core.registry import register_command

# %%
#| export training.launch
"What the commands `modelab train` and `modelab sample` do, once their arguments are read."
from __future__ import annotations

import argparse
import dataclasses
import io
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelab.core.checks import check_choice, check_int
from modelab.core.files import atomic_write
from modelab.core.registry import make
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

# %%
import contextlib
import subprocess
import tempfile
import time

# %% [markdown]
# ## One command, several subcommands
# `pip install` gives a command `modelab`. Three of its subcommands are built here: `course` brings the chapters, `train` trains a method on known modes, and `sample` writes samples to a file. The others are in the chapters that they belong to: `data` in [6.12](12_download.ipynb), `bench` in [6.14](14_leaderboard.ipynb), `audit` in [4.2](../4_evidence/02_audit.ipynb).
#
# A subcommand is registered by a function that adds its arguments to a parser and returns the function that does the work ([6.2](02_registry.ipynb)). Help should appear at once, but importing torch takes seconds. So the module that declares the arguments imports nothing heavy, and the work is in another module, which is imported when it is needed.

# %% [markdown]
# ## `modelab course DIR`
# An installed package contains the chapters. `chapters_path` finds them there, or in a checkout of the repository.

# %%
#| export course.chapters
def chapters_path() -> Path:
    "The folder of the chapters: inside an installed package, or beside it in a checkout."
    here = Path(__file__).resolve().parent.parent
    for folder in (here / "chapters", here.parent / "nbs"):
        if (folder / "index.ipynb").is_file():
            return folder
    raise FileNotFoundError(f"the chapters are neither in {here} nor beside it: reinstall modelab")

# %% [markdown]
# If a file already exists and differs, it may hold a user's own edits. Then nothing is written at all.

# %%
#| export course.chapters
def copy_chapters(folder: str | Path,  # where they go; made if it is absent
                  source: Path | None = None,  # default: `chapters_path()`
                  ) -> list[Path]:
    "Copy the chapters; returns what was written. `FileExistsError` if that would lose edits."
    source, folder = Path(source or chapters_path()), Path(folder)
    pairs = [(p, folder / p.relative_to(source)) for p in sorted(source.rglob("*.ipynb"))
             if not any(part.startswith((".", "_")) for part in p.relative_to(source).parts)]
    edited = [str(new) for old, new in pairs
              if new.exists() and new.read_bytes() != old.read_bytes()]
    if edited:
        names = ", ".join(edited[:3]) + (" …" if len(edited) > 3 else "")
        raise FileExistsError(f"nothing was copied, {len(edited)} file(s) there differ from the "
                              f"course: {names}")
    written = [(old, new) for old, new in pairs if not new.exists()]
    for old, new in written:
        new.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(new, old.read_bytes())
    return [new for _, new in written]

# %% [markdown]
# The help of a command is its docstring: the first line says what it does, the rest are examples.

# %%
#| export course.chapters
@register_command("course")
def _course_command(parser: argparse.ArgumentParser) -> Callable:
    """copy the chapters into a folder

    modelab course my-course
    """
    parser.add_argument("folder",
                        help="where the chapters go; edited files there are never overwritten")

    def run(args: argparse.Namespace) -> None:
        written = copy_chapters(args.folder)
        print(f"{len(written)} new chapters in {args.folder}. "
              f"Open them with: jupyter lab {args.folder}")
    return run

# %% [markdown]
# **Check.** A second copy writes nothing, and an edited chapter stops a third one.

# %%
with tempfile.TemporaryDirectory() as folder:
    source, target = Path(folder, "course"), Path(folder, "mine")
    source.mkdir()
    (source / "index.ipynb").write_text("{}")
    written = [len(copy_chapters(target, source)), len(copy_chapters(target, source))]
    (target / "index.ipynb").write_text("my notes")
    try:
        copy_chapters(target, source)
    except FileExistsError as error:
        print(str(error).replace(folder, "…"))
    assert written == [1, 0] and (target / "index.ipynb").read_text() == "my notes"

# %% [markdown]
# ## `modelab train GAME MODES`
# The command trains eight seeds of a registered game on a registered set, saves checkpoints at intervals, and prints the coverage table with its floor, ceiling and null at the end. Under `torchrun` the seeds are shared out over processes ([6.13](13_distributed.ipynb)). First the arguments:

# %%
#| export training.commands
@register_command("train")
def _train_command(parser: argparse.ArgumentParser) -> Callable:
    """train a method on known modes and print what it covers

    modelab train minimax ring
    modelab train zerocentred photos/ --size 32 --set kind=conv --out faces
    modelab train minimax stacked_digits --steps 3000 --set latent=64 --out digits --keep 3
    modelab train --resume digits
    modelab train --resume digits --steps 1000
    torchrun --nproc-per-node 2 -m modelab train minimax ring --runs 16 --out ring
    """
    parser.add_argument("game", nargs="?", help="a registered game, for instance minimax")
    parser.add_argument("modes", nargs="?",
                        help="a registered mode set, for instance ring, grid, stacked_digits; or "
                             "a folder or archive of pictures of yours")
    _add_training_arguments(parser)
    _add_checkpoint_arguments(parser)
    return _train

# %% [markdown]
# The result depends on these arguments. The same arguments give the same numbers.

# %%
#| export training.commands
def _add_training_arguments(parser: argparse.ArgumentParser) -> None:
    "The arguments that the result depends on."
    add = parser.add_argument
    add("--runs", type=int, default=8, help="seeds (default 8)")
    add("--group", type=int, default=8, help="seeds side by side; part of the result (default 8)")
    add("--steps", type=int, help="training steps (default 2000); with --resume: further steps")
    add("--seed", type=int, default=0, help="the first seed (default 0)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps (default auto)")
    add("--batch", type=int, default=256, help="examples per run and turn (default 256)")
    add("--shards", type=int, default=1,
        help="parts of a batch, for one game on several devices (default 1)")
    add("--precision", default="float32", help="float32 or bf16 (default float32)")
    add("--average", type=float, default=0.,
        help="running average of G's weights, e.g. 0.999 (default none)")
    add("--set", action="append", metavar="NAME=VALUE",
        help="a setting of the game, e.g. lr=0.0003")
    add("--size", type=int, help="side of the pictures of a folder (default 32)")
    add("--protocol", default="pacgan", help="how coverage is counted (default pacgan)")

# %% [markdown]
# The other arguments say where the checkpoints of the run are kept.

# %%
#| export training.commands
def _add_checkpoint_arguments(parser: argparse.ArgumentParser) -> None:
    "The arguments that say where checkpoints go and come from."
    add = parser.add_argument
    add("--out", help="where checkpoints go: a folder, or one file that ends in .safetensors; "
                      "the same command again goes on with a folder")
    add("--keep", type=int, help="checkpoints that stay in the folder (default 2)")
    add("--save-every", type=int, default=1000, help="steps between checkpoints (default 1000)")
    add("--resume", metavar="PATH", help="go on with this checkpoint, or this folder's newest")

# %% [markdown]
# The module that does the work is imported here, and torch with it, only when the command runs.

# %%
#| export training.commands
def _train(args: argparse.Namespace) -> int:
    "What `modelab train` does."
    from modelab.training.launch import train_command
    return train_command(args)

# %% [markdown]
# ### From arguments to a job
# A setting of the game comes as `lr=0.0003`. Its value is read as JSON; a bare word is a text.

# %%
#| export training.launch
def parse_setting(text: str) -> tuple[str, Any]:
    "`name=value` with a JSON value; a bare word is a string."
    name, found, value = text.partition("=")
    if not found or not name.isidentifier():
        raise ValueError(f"--set: expected name=value, got {text!r}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value

# %%
[parse_setting(text) for text in ("lr=3e-4", "networks=conv", "betas=[0, 0.9]", "stop=null")]

# %% [markdown]
# There are three cases: a new job, a job that is continued from its folder, and a single checkpoint that is trained for more steps.

# %%
#| export training.launch
def _job(args: argparse.Namespace, device: str) -> tuple[Job, str | None, Run | None]:
    "The job that was asked for, where it is kept, and the run to go on with if there is one."
    steps = 2000 if args.steps is None else args.steps
    if args.resume and (Path(args.resume) / "job.json").is_file():
        if args.out and Path(args.out) != Path(args.resume):
            problem = f"the run in {args.resume} goes on where it is, got {args.out}"
            raise ValueError(f"--out: {problem}")
        job = Job.read(args.resume)
        return dataclasses.replace(job, steps=job.steps + (args.steps or 0)), args.resume, None
    if args.resume:
        run = Run.load(args.resume, device=device)
        return Job(**run_config(run), group=run.runs, steps=run.steps + steps), args.out, run
    if not (args.game and args.modes):
        raise ValueError("train: expected GAME and MODES, or --resume FILE; "
                         "for instance: modelab train minimax ring")
    return _new_job(args, steps), args.out, None

# %% [markdown]
# A setting that is given twice is a mistake, and so is `name`, which would replace the game.

# %%
#| export training.launch
def read_settings(texts: Iterable[str]) -> dict[str, Any]:
    "The settings of all `--set`, by name."
    settings: dict[str, Any] = {}
    for name, value in map(parse_setting, texts):
        if name == "name":
            raise ValueError(f"--set: expected a setting, got name={value}; the game is the first "
                             "word after train")
        if name in settings:
            raise ValueError(f"--set: expected each setting once, got {name} twice")
        settings[name] = value
    return settings

# %% [markdown]
# What stands in the place of a mode set is a name, or a path of pictures.

# %%
#| export training.launch
def _set_of(modes: str, size: int | None) -> Any:
    "A registered mode set, or `image_folder` of a path."
    if Path(modes).exists():
        path = str(Path(modes).resolve())
        return {"name": "image_folder", "folder": path, "size": 32 if size is None else size}
    if modes == "image_folder":
        raise ValueError("MODES: image_folder needs a folder; give its path instead of the name")
    if size is not None:
        raise ValueError(f"--size: it is for a folder of pictures, got {modes}")
    return modes

# %% [markdown]
# A new job is made from its settings. A game raises `TypeError` for a setting that it does not have; the command turns that into a `ValueError` about `--set`.

# %%
#| export training.launch
def _new_job(args: argparse.Namespace, steps: int) -> Job:
    "The job of a game and a mode set; a setting that the game has not is a `ValueError`."
    try:
        game = {"name": args.game, **read_settings(args.set or [])}
        return Job(game, _set_of(args.modes, args.size), steps, args.runs, args.seed, args.group,
                   args.batch, args.average, args.shards, args.precision)
    except TypeError as error:
        raise ValueError(f"--set: {error}") from error

# %% [markdown]
# Some arguments are not settings of a job, so a job cannot check them. They are checked before anything is loaded.

# %%
#| export training.launch
def _check_arguments(args: argparse.Namespace) -> int:
    "Refuse what cannot be meant; returns how many checkpoints stay."
    check_choice("--protocol", args.protocol, PROTOCOLS)
    check_int("--save-every", args.save_every)
    keep = check_int("--keep", 2 if args.keep is None else args.keep)
    if args.keep is not None and str(args.out).endswith(".safetensors"):
        raise ValueError(f"--keep: expected a folder in --out to keep {keep} checkpoints in, "
                         f"got the file {args.out}")
    if args.steps is not None:
        check_int("--steps", args.steps, 0)
    return keep

# %% [markdown]
# `train_command` connects the processes, trains the job and prints the result. The table goes to standard output, everything else to standard error. A run that was stopped ends with status 130.

# %%
#| export training.launch
def train_command(args: argparse.Namespace) -> int:
    "What `modelab train` does; 130 if it was stopped before the last step."
    keep = _check_arguments(args)
    with connect_ranks() as us, handle_sigterm():
        job, out, run = _job(args, us.device(args.device))
        us.gather("read")  # nobody writes a job down before everybody has read it
        covered, last = train_job(job, us, out, keep=keep, every=args.save_every,
                                  device=args.device, protocol=args.protocol, run=run)
        if last < job.steps:
            print(f"{us}: " * (us.size > 1) + f"stopped after step {last}", file=sys.stderr)
        if us.size == 1 or us.rank == 0 and last == job.steps:
            print(f"{_title(job, len(covered))}, {last} steps\n{coverage_table(covered)}")
        if out and us.rank == 0:
            print(f"saved in {out} at step {last}", file=sys.stderr)
    return 130 if last < job.steps else 0

# %% [markdown]
# The title of the table says which game, data and seeds it is about. After a stop there may be fewer seeds than the job has.

# %%
#| export training.launch
def _title(job: Job, runs: int) -> str:
    "The game, the set and the seeds of a table."
    seeds = f"seeds {job.seed}–{job.seed + runs - 1}" if runs > 1 else f"seed {job.seed}"
    return f"{job.game['name']} on {job.modes['name']}, {seeds}"

# %% [markdown]
# ## `modelab sample SOURCE --out FILE`
# The command writes samples of a trained generator, or of a mode set, to a `.npy` file: for [the audit](../4_evidence/02_audit.ipynb), or for another tool.

# %%
#| export training.commands
@register_command("sample")
def _sample_command(parser: argparse.ArgumentParser) -> Callable:
    """write samples of a trained generator, or of a set, to a .npy file

    modelab sample ring --n 10000 --out fakes.npy
    modelab sample ring.safetensors --seed 3 --out fakes.npy
    modelab sample stacked_digits --out reference.npy
    """
    add = parser.add_argument
    add("source", help="a checkpoint, a folder of modelab train, or else a registered mode set")
    add("--out", required=True, help="the .npy file, (n, *shape of one sample)")
    add("--n", type=int, default=10_000, help="samples (default 10000)")
    add("--seed", type=int,
        help="which seed of the run (default its first), or for the draw from a set")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps (default auto)")
    return _sample

# %% [markdown]
# As for `train`, the module that does the work is imported only when the command runs.

# %%
#| export training.commands
def _sample(args: argparse.Namespace) -> None:
    "What `modelab sample` does."
    from modelab.training.launch import sample_command
    sample_command(args)

# %% [markdown]
# The source may be a checkpoint, the folder of a job, or the name of a mode set. In a folder, the checkpoint of the group with the chosen seed is read.

# %%
#| export training.launch
def _samples_from(source: str, n: int, seed: int | None, device: str) -> torch.Tensor:
    "`n` samples of one seed of a checkpoint or of a run's folder, or of a registered set."
    path = Path(source)
    if not path.exists():
        generator = torch.Generator().manual_seed(check_int("--seed", seed or 0, 0))
        return make("modes", source).sample(n, generator=generator)
    if (path / "job.json").exists():
        job = Job.read(path)
        seed = job.seed if seed is None else seed
        group = next((g for g in job.groups() if seed in g), job.groups()[0])
        path = job.group_folder(path, group)
    run = Run.load(path, device=device)
    seed = run.seed if seed is None else seed
    if seed not in run.seeds:
        raise ValueError(f"--seed: {source} holds the seeds from {run.seeds[0]} to "
                         f"{run.seeds[-1]}, got {seed}")
    return run.sample(n)[run.seeds.index(seed)]

# %% [markdown]
# `sample_command` draws the samples and writes them to the file, completely or not at all.

# %%
#| export training.launch
def sample_command(args: argparse.Namespace) -> None:
    "What `modelab sample` does."
    if not args.out.endswith(".npy"):
        raise ValueError(f"--out: expected a name that ends in .npy, got {args.out}")
    drawn = _samples_from(args.source, check_int("--n", args.n), args.seed, args.device)
    file = io.BytesIO()
    np.save(file, drawn.cpu().numpy())
    atomic_write(args.out, file.getvalue())
    print(f"{len(drawn)} samples of shape {tuple(drawn.shape[1:])} in {args.out}")

# %% [markdown]
# ## `modelab`
# The parser of the whole command line knows all subcommands by name and title, from the index. Only the one that is asked for is imported.

# %%
#| export
def _parser(asked: str) -> argparse.ArgumentParser:
    "The parser of the command line; only the command that is asked for is imported."
    parser = argparse.ArgumentParser(
        prog="modelab", description="Is my generator losing modes? Train, measure, learn.",
        epilog="Help on one command: modelab train --help")
    parser.add_argument("--version", action="version", version=f"modelab {_index.VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, title in _index.COMMAND_HELP.items():
        if name == asked:
            _add_command(commands, name, title)
        else:
            commands.add_parser(name, help=title)
    return parser

# %% [markdown]
# Adding that one command imports its module, which registers it. Every command takes `--traceback`.

# %%
#| export
def _add_command(commands: argparse._SubParsersAction, name: str, title: str) -> None:
    "Import a command and add its parser; the examples are the rest of its docstring."
    load("command", name)
    examples = (COMMANDS[name].__doc__ or "").partition("\n")[2]
    sub = commands.add_parser(name, help=title, description=title.capitalize() + ".",
                              epilog="examples:" + examples.rstrip(),
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    sub.set_defaults(execute=COMMANDS[name](sub))
    sub.add_argument("--traceback", action="store_true", help="show where an error came from")

# %% [markdown]
# Memory that is not there is no mistake in the program. Torch reports it as a `RuntimeError`, like mistakes in the program, so the text decides.

# %%
#| export
def _lacks_memory(error: Exception) -> bool:
    "Whether an error says that there is not enough memory."
    words = "allocate memory", "out of memory", "enough memory", "calculation overflow"  # torch's
    said = isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    return isinstance(error, MemoryError) or said

# %% [markdown]
# Some packages are extras. If one of them is absent, the line says what installs it. It does not name an extra of modelab: `pip install modelab` would fetch an unrelated package of that name.

# %%
#| export
_EXTRAS = {"PIL": "pillow"} | {name: name for name in (
    "matplotlib", "seaborn", "pandas", "pooch", "pyarrow", "ipywidgets", "anywidget")}

# %% [markdown]
# An input that is refused is a `ValueError`, an `OSError`, or a `TypeError` whose text begins with the name of what is wrong; a loss that became NaN is a `FloatingPointError`. The text of these says it all. Any other exception is called by its kind, for its text alone may be as short as `'layer'`.

# %%
#| export
def _error_line(error: BaseException) -> str:
    "What went wrong, in one line."
    if _lacks_memory(error):
        return "not enough memory"
    text = " ".join(str(error).splitlines())
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        return f"{text}; install it with: pip install {_EXTRAS[error.name]}"
    refused = isinstance(error, (ValueError, OSError, FloatingPointError)) or (
        isinstance(error, TypeError) and re.match(r"[\w .\-]+: ", text)) or (
        isinstance(error, ImportError) and "pip install" in text)
    if text and refused:
        return text
    kind = f"{type(error).__name__}: {text}".removesuffix(": ")
    return f"{kind} (unexpected; --traceback shows where)"

# %%
errors = [ValueError("level: expected a number"), TypeError("n: expected 3"), KeyError("layer"),
          TypeError("f() missing 1 argument: 'x'"), AssertionError(), MemoryError(),
          ModuleNotFoundError("No module named 'seaborn'", name="seaborn")]
said = [_error_line(error) for error in errors]
assert [line.endswith("shows where)") for line in said] == [bool(int(c)) for c in "0011100"]
print("\n".join(said))

# %% [markdown]
# The line says which command failed, and in which process of several. With `--traceback` the traceback stands above it.

# %%
#| export
def _print_error(error: BaseException, argv: list[str], command: str) -> None:
    "An error on standard error: one line, and a traceback if it was asked for."
    if "--traceback" in argv:
        import traceback
        traceback.print_exception(error)
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    rank = f", rank {os.environ.get('RANK', '?')}" if several else ""
    print(f"{' '.join(['modelab', command]).strip()}{rank}: {_error_line(error)}", file=sys.stderr)

# %% [markdown]
# What could not be printed is thrown away, or Python would fail on it once more at the end.

# %%
#| export
def _drop_output() -> None:
    "Send what is still to be printed nowhere."
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

# %% [markdown]
# A script that calls a command needs its exit status: 0, 1 for a finding, and 2 for whatever went wrong. Python ends with 1 if an exception escapes, or if a function of yours calls `sys.exit("…")`. A crash would look like a finding. So `_execute` turns every exception into status 2. Options that `argparse` refuses have the status 2 already. Ctrl-C while a package is imported may arrive as an error of this import, with the interrupt as its cause.

# %%
#| export
def _was_stopped(error: BaseException | None) -> bool:
    "Whether an error came from Ctrl-C."
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


# %% [markdown]
# `_execute` runs a command.

# %%
#| export
def _execute(argv: list[str]) -> int:
    "Run a command; its exit status, or 2 and one line on standard error."
    asked, execute = next((word for word in argv if not word.startswith("-")), ""), None
    try:
        args = _parser(asked).parse_args(argv)
        execute = args.execute
        status = execute(args) or 0
        print(end="", flush=True)  # a full disk is found here
        return status
    except BrokenPipeError:
        raise
    except (Exception, SystemExit) as error:
        if execute is None and isinstance(error, SystemExit):
            raise  # of argparse, after help or wrong options
        if _was_stopped(error):
            raise KeyboardInterrupt from error
        _print_error(error, argv, asked)
        try:
            print(end="", flush=True)
        except OSError:
            _drop_output()
        return 2

# %% [markdown]
# A reader such as `head` may close the pipe before everything is printed. Then nobody can say what the status would have been. It is 141, as for other programs of a shell.

# %%
#| export
def main(argv: Sequence[str] | None = None) -> int:
    "Run the command line; the status is the command's, 2 for any error, 130 after Ctrl-C."
    try:
        return _execute(sys.argv[1:] if argv is None else list(argv))
    except BrokenPipeError:
        _drop_output()
        return 141
    except KeyboardInterrupt as stop:
        print(f"modelab: {str(stop) or 'stopped'}", file=sys.stderr)
        return 130

# %% [markdown]
# `python -m modelab` runs this module. In the notebook the condition is false, since a notebook has `get_ipython`.

# %%
#| export
if __name__ == "__main__" and "get_ipython" not in globals():
    sys.exit(main())

# %% [markdown]
# ## Seen from a shell
# `shell` runs a line as the command does. The registry of this notebook holds the commands that were defined above.

# %%
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

# %% [markdown]
# How long does a user wait for help? Both times are of a new process.

# %%
def seconds(*words: str) -> float:
    "How long a new Python takes, the shortest of three."
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    return min(times)

# %%
shares = {words: seconds("-m", "modelab", *words.split()) / seconds("-c", "import torch")
          for words in ("--help", "train --help")}
assert max(shares.values()) < .3

# %% [markdown]
# Help takes less than a third of the time of `import torch`, on a busy machine too; a test requires less than .15. Now the commands themselves:

# %%
print(shell("train minimax ring --runs 4 --steps 60 --set width=32 --device cpu"))

# %%
with tempfile.TemporaryDirectory() as folder:
    print(shell(f"sample ring --n 500 --out {folder}/ring.npy").replace(folder, "…"))
    assert np.load(f"{folder}/ring.npy").shape == (500, 2)

# %% [markdown]
# Every mistake is answered in one line:

# %%
lines = ["sample no-such-thing --out x.npy", "sample ring --out x.txt", "train minimaxx ring",
         "train minimax ring --steps -1", "train minimax ring --device abacus",
         "train minimax ring --set widht=3", "train --resume nowhere.safetensors",
         "train minimax ring --runs 9 --out x.safetensors"]
refusals = [shell(line) for line in lines]
assert all(r.endswith("[exit status 2]") for r in refusals)
print("\n".join(refusals))

# %% [markdown]
# A command that fails in a way that nobody foresaw does not end with 1 either:

# %%
def broken(parser: argparse.ArgumentParser) -> Callable:
    "a command with a fault"
    return lambda args: {}["layer"]

kept, COMMANDS["course"] = COMMANDS["course"], broken
failed = shell("course")
COMMANDS["course"] = kept
assert failed.endswith("[exit status 2]")
failed

# %% [markdown]
# ## Exercises
# **1.** Add a command `modelab sets` that prints the names of all mode sets. Which function gives the names without importing torch?
#
# **2.** Why do `_train` and `_sample` import inside the function, against the usual style?

# %% [markdown]
# <details><summary>Answers</summary>
#
# **1.** `known_names("modes")` from `modelab.core.registry`. The command is a function with `@register_command("sets")` whose returned function prints them.
#
# **2.** The module is imported for `modelab train --help`, too. An import at its top would load torch for a page of help.
# </details>

# %% [markdown]
# ## Recap
# - A command is declared in a light module and does its work in another one.
# - `--help` imports the command that is asked for and nothing else.
# - Results go to standard output, messages to standard error.
# - The exit status is 0, 1 for a finding, 2 for any error, 130 for a run that was stopped. `--traceback` shows where an error came from.
