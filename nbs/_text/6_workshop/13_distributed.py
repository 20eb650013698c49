# %% [markdown]
# # Checkpoints and training on many processes
# > How do I resume a run after a crash and train on several machines, without changing the result?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How do I resume a run after a crash and train on several machines, without changing the result? |
# | **You will be able to** | keep and resume runs, split seeds over processes, and train one large game on several devices with the gradient of one |
# | **Needs** | [1.2](../1_game/02_training.ipynb), [1.4](../1_game/04_wasserstein.ipynb) for gradient penalties |
# | **Time** | under half a minute |
#
# This chapter is for everybody who trains for a long time, on several devices, or on a cluster that may stop a run; and for contributors who change the engine. You most likely need these commands:
#
# ```sh
# modelab train minimax ring --runs 16 --out run     # checkpoints in the folder run
# modelab train --resume run                         # go on after a crash, bit for bit as without it
# torchrun --nproc-per-node 2 -m modelab train minimax ring --runs 16 --out run    # on two processes
# ```
#
# In Python, `Checkpoints` keeps and resumes a run, and `data_parallel` shares one game between processes. The section *In your own code* has the whole loop, in five lines.

# %%
#| default_exp training.distributed

# %%
#| export
"Training jobs on many processes: torchrun, checkpoint folders, resume."
from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist

from modelab.core.checks import check_int
from modelab.core.files import atomic_write, file_lock
from modelab.core.registry import make
from modelab.core.signatures import Count, Index, Positive, check_fields, checked
from modelab.data.scaling import Standardise
from modelab.evaluation.coverage import Coverage
from modelab.training.checkpoints import list_checkpoints, run_config
from modelab.training.run import Decay, Run

# %%
import io, subprocess, sys, tempfile
from contextlib import redirect_stderr, redirect_stdout
import torch.nn.functional as F
from modelab.__main__ import main
from modelab.core.checks import error_message
from modelab.core.plotting import axes, FAKE, MISSING, Picture, REAL
from modelab.course.claims import recorded, steps
from modelab.course.notebooks import patch
from modelab.data.mixtures import ring
from modelab.losses.penalties import gradient_penalty
from modelab.methods.minimax import Minimax
from modelab.networks.layers import mlp
from modelab.networks.players import Networks
here = Path(tempfile.mkdtemp())
torch.set_num_threads(1)  # as torchrun does

# %% [markdown]
# ## A process that is killed while it writes
# A process writes a file of four megabytes again and again, part by part, under the same name. We kill it twenty times, at different
# moments, with SIGKILL, the signal that a process cannot catch.
#
# **Predict:** after how many of the twenty kills is the file complete?

# %%
WRITER = """
import os, signal, sys, time
from modelab.core.files import atomic_write
path, how = sys.argv[1:]
def write():
    parts = (os.urandom(1 << 16) for _ in range(64))
    if how == "renamed":
        atomic_write(path, b"".join(parts))
    else:
        with open(path, "wb") as file:
            file.writelines(parts)
whole = 0
for kill in range(20):
    reading, writing = os.pipe()
    child = os.fork()
    while not child:
        write()
        os.write(writing, b".")
    os.read(reading, 1)
    time.sleep(.02 + .01 * (kill % 7))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    whole += os.path.getsize(path) == 4 << 20
print(whole)
"""

# %%
def whole_files(how: str) -> int:
    "After how many of twenty kills the file is whole."
    words = [sys.executable, "-c", WRITER, here / how, how]
    return int(subprocess.run(words, capture_output=True, check=True).stdout)


# %%
survived = {how: whole_files(how) for how in ("overwritten", "renamed")}
assert survived["renamed"] == 20 > survived["overwritten"]
survived

# %% [markdown]
# The renamed file was complete after every kill, the overwritten one was not. Renaming means: write under another name, and rename the file when all bytes are on the disk. So there is always the old file or the new file. Every
# checkpoint of chapter 1.2 is written in this way. The class `Checkpoints` does the rest: it keeps the last few checkpoints, deletes the unfinished files of killed
# processes, and lets only one process write.
#
# For this it needs a lock. A lock could be a file that exists while the lock is held. But this file would stay after a kill, and a user would have to delete it. `flock` is a lock on an open file. The system releases it when the process
# ends, for whatever reason.

# %%
#| export
class Checkpoints:
    "Where a run is kept: one file, or a folder of the last `keep`. One process at a time writes."
    def __init__(self, path: str | Path,  # ending in .safetensors: a file, otherwise a folder
                 keep: int = 2,  # checkpoints that stay in the folder
                 writes: bool = True,  # False: only reads, beside a process that writes
                 ):
        self.path, self.keep, self.writes = Path(path), check_int("keep", keep), writes
        self.single = self.path.suffix == ".safetensors"
        self.folder = self.path.parent if self.single else self.path

# %% [markdown]
# At the beginning of a `with` block the lock is taken, and the unfinished files of killed processes are deleted.

# %%
#| export
@patch
def __enter__(self: Checkpoints) -> Checkpoints:
    if self.writes:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = self.path.name if self.single else "run"
            self._lock = file_lock(self.folder / f".{name}.lock", self.path)
            self._lock.__enter__()
        except BlockingIOError:
            raise
        except OSError as error:
            raise OSError(f"cannot write in {self.folder}: {error.strerror}") from None
        self._clear_unfinished()
    return self

# %% [markdown]
# At the end of the block the lock is released, also after an error.

# %%
#| export
@patch
def __exit__(self: Checkpoints, *_: Any) -> None:
    if self.writes:
        self._lock.__exit__(None, None, None)

# %% [markdown]
# A killed process may leave a temporary file behind. Only names that `atomic_write` gives are deleted, so a user's files in the same folder are safe.

# %%
#| export
@patch
def _clear_unfinished(self: Checkpoints) -> None:
    "Delete the temporary files of a process that was killed while it wrote."
    name = re.escape(self.path.name) if self.single else r"step-[0-9]+\.safetensors"
    for path in self.folder.iterdir():
        if re.fullmatch(rf"\.{name}\.[a-z0-9_]{{8}}", path.name):
            path.unlink(missing_ok=True)

# %% [markdown]
# `save` writes a checkpoint and deletes the oldest ones. If the disk is full, the error says which checkpoint is still there.

# %%
#| export
@patch
def save(self: Checkpoints, run: Run) -> None:
    "Write a checkpoint and forget the oldest; `OSError` if the disk is full."
    if not self.writes:
        return
    try:
        run.save(self.path if self.single else self.path / f"step-{run.steps:09d}.safetensors")
    except OSError as error:
        raise OSError(f"cannot write step {run.steps} to {self.path}: {error.strerror}; "
                      f"the last whole checkpoint is {run.saved or 'none'}") from error
    if not self.single:
        for old in list_checkpoints(self.path)[self.keep:]:
            old.unlink(missing_ok=True)

# %% [markdown]
# `load` gives the newest checkpoint, or None for a new start. So the same code starts a run and resumes it.

# %%
#| export
@patch
def load(self: Checkpoints, device: str = "auto", **own: Any) -> Run | None:
    "The newest checkpoint, or None; `own` passes a game or modes of your own."
    there = self.path.exists() if self.single else bool(list_checkpoints(self.path))
    return Run.load(self.path, device=device, **own) if there else None


# %%
def small(**kw) -> Run:
    "A run that costs nothing."
    game = Minimax(networks=Networks(width=8))
    settings = {"runs": 2, "batch": 16, "device": "cpu", **kw}
    return Run(game, ring(radius=2, std=.02), **settings)


# %%
with Checkpoints(here / "kept", keep=2) as kept:
    run = small()
    for _ in range(4):
        kept.save(run.step(10))
[p.name for p in list_checkpoints(here / "kept")]

# %%
with Checkpoints(here / "kept"):
    try:
        Checkpoints(here / "kept").__enter__()
    except BlockingIOError as error:
        second = str(error).partition(" by ")[0]
second.replace(str(here), "…")

# %% [markdown]
# `python benchmarks/distributed.py kills` kills a whole training run two hundred times, every other time in the middle of a write. No checkpoint was damaged, none that had been saved was lost, and no run lost more steps than lie between two checkpoints:

# %%
after = recorded("distributed").get("kills", {})
if after:
    assert after["kills"] == 200 and after["of them in the middle of a write"] >= 100
    assert after["damaged checkpoints"] == after["a saved step lost"] == 0
    assert after["most steps lost"] <= after["steps between checkpoints"]
after

# %% [markdown]
# With a full disk the write fails, the checkpoint before it stays, and the message says which one that is.

# %%
def no_space(*_):
    raise OSError(28, "No space left on device")


# %%
honest, os.fsync = os.fsync, no_space  # the moment at which a full disk shows itself
try:
    with Checkpoints(here / "kept") as kept:
        kept.save(kept.load("cpu").step(10))
except OSError as error:
    said = str(error).replace(str(here), "…")
finally:
    os.fsync = honest

# %%
assert "step-000000040" in said and Checkpoints(here / "kept").load("cpu").steps == 40
said

# %% [markdown]
# ## The result depends on the size of a group
# Sixteen seeds can be trained all side by side, in groups, or each alone. In all cases they draw the same noise and
# the same data. **Predict:** is seed 5 the same network in all cases?

# %%
def seed_5(group: int) -> list[torch.Tensor]:
    "What seed 5 generates after some steps, trained among `group` seeds."
    run = small(runs=group, seed=5 - 5 % group, batch=64)
    return [run.step(n - run.steps).sample(200)[5 % group] for n in (10, steps(100), steps(300))]


# %%
eight = seed_5(8)
apart = {g: [(a - b).abs().max().item() for a, b in zip(seed_5(g), eight)] for g in (1, 4, 16)}
assert all(early < 1e-4 and early <= late for early, _, late in apart.values())  # rounding grows
apart

# %% [markdown]
# The output shows the largest differences from a group of eight after 10, 100 and 300 steps. In the stored run a seed has the same bits in groups of 4, 8 or 16. Alone it does not: PyTorch uses one kernel for the product of two matrices and another for a stack of such products. The two
# add in another order, and training makes the difference in the last digit grow. That groups of 4, 8 and 16 agree is not guaranteed either, because the
# choice of the kernel depends on the device. Neither network is wrong. But if a table changes when a machine is added, nobody can check it.
#
# So the number of seeds trained side by side, the *group*, is part of the configuration like the learning rate. A process trains whole groups, and
# which process trains which group changes nothing. `Job` holds the configuration:

# %%
#| export
@dataclass(frozen=True)
class Job:
    "What is to be trained: everything that the result depends on, as plain data."
    game: Any  # the name of a registered game, or its `.spec`
    modes: Any  # the same for a mode set
    steps: Index = 2000
    runs: Count = 8  # seeds in all
    seed: Index = 0  # the first of them
    group: Count = 8  # seeds trained side by side: another size may round differently
    batch: Count = 256  # examples per seed and turn
    average: Decay = 0.
    shards: Count = 1  # parts of a batch, each with noise of its own
    precision: Literal["float32", "bf16"] = "float32"
    standardise: Standardise = "auto"  # as for `Run`

    def __post_init__(self):
        for kind in ("game", "modes"):
            spec = make(kind, getattr(self, kind)).spec
            object.__setattr__(self, kind, json.loads(json.dumps(spec)))
        check_fields(self)
        if self.batch % self.shards:
            raise ValueError(f"batch, shards: {self.shards} shards cannot share a batch of "
                             f"{self.batch} evenly")

# %% [markdown]
# `groups` divides the seeds.

# %%
#| export
@patch
def groups(self: Job) -> list[range]:
    "The seeds, in groups that are trained side by side."
    last = self.seed + self.runs
    return [range(a, min(a + self.group, last)) for a in range(self.seed, last, self.group)]

# %% [markdown]
# Each group has a folder of its own, `group_folder`. It is named by the group's first and last seed, so that a process finds it without asking another one.

# %%
#| export
@patch
def group_folder(self: Job, folder: str | Path, seeds: range) -> Path:
    "The folder inside the job's own where the checkpoints of one group are kept."
    return Path(folder) / f"seeds-{seeds.start}-{seeds[-1]}"

# %% [markdown]
# `start` builds the run of one group at step 0. All of its settings come from the job, so every process builds the same run.

# %%
#| export
@patch
def start(self: Job, seeds: range, device: str = "auto") -> Run:
    "A fresh run of one group."
    return Run(make("game", self.game), make("modes", self.modes), runs=len(seeds),
               seed=seeds.start, batch=self.batch, device=device, average=self.average,
               shards=self.shards, precision=self.precision, standardise=self.standardise)

# %% [markdown]
# A folder belongs to one job, which is described in its `job.json`. `refuse_other` refuses a run with other settings: the error names the first setting that differs. More steps than before are allowed.

# %%
#| export
@patch
def refuse_other(self: Job, theirs: dict[str, Any], where: str | Path, choose: str,
                 **own: Any) -> None:
    """`ValueError` if the settings `theirs` of a run or a job are not these, but for fewer
    steps.
    """
    ours = {**dataclasses.asdict(self), **own}
    for name, value in theirs.items():
        if value != ours[name] and not (name == "steps" and value < self.steps):
            raise ValueError(
                f"{where} holds another run: {name} was {value}, not {ours[name]}. "
                f"Choose another {choose}, or go on with that run: "
                f"modelab train --resume {where}"
            )

# %% [markdown]
# A checkpoint may come from another job. `check` compares its configuration with the job before it is trained further.

# %%
#| export
@patch
def check(self: Job, run: Run, seeds: range) -> Run:
    "`run` if it is this job's group `seeds`, at most at its last step; else `ValueError`."
    theirs = {**json.loads(json.dumps(run_config(run))), "steps": run.steps}
    self.refuse_other(theirs, run.saved, "place", runs=len(seeds), seed=seeds.start)
    return run

# %% [markdown]
# `modelab train --resume` gets only a folder. `read` builds the job from the folder's `job.json`.

# %%
#| export
@patch(cls_method=True)
def read(cls: Job, folder: str | Path) -> Job:
    "The job that a folder is for; `FileNotFoundError` if it is for none."
    path = Path(folder) / "job.json"
    try:
        return cls(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise FileNotFoundError(f"path: {folder} holds no run of modelab train "
                                "(no job.json)") from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"path: {path} does not say what was trained ({error})") from error

# %% [markdown]
# `settle` writes `job.json` before training starts. If the folder belongs to another job, nothing is written.

# %%
#| export
@patch
def settle(self: Job, folder: str | Path) -> None:
    """Note in `folder` what it is for.

    `ValueError` if it is for something else, but for more steps.
    """
    folder = Path(folder)
    if (folder / "job.json").exists():
        self.refuse_other(dataclasses.asdict(Job.read(folder)), folder, "folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        note = json.dumps(dataclasses.asdict(self), indent=1)
        atomic_write(folder / "job.json", note.encode())
    except OSError as error:
        raise OSError(f"cannot write in {folder}: {error.strerror}") from None


# %%
job = Job("minimax", "ring", runs=20, group=8)
assert [len(g) for g in job.groups()] == [8, 8, 4]
error_message(Job, "minimax", "ring", batch=10, shards=4)

# %% [markdown]
# ## Ranks
# `torchrun --nproc-per-node 2 -m modelab train …` starts the same command twice. Each process learns from its environment which *rank* it is, that is, its number. A `Ranks` holds this number,
# and has two ways to communicate: `gather` collects small objects from all ranks, `add_up` sums a tensor over them (`all_gather` and `all_reduce` in PyTorch). Collecting may have to wait as long as
# the slowest rank trains. A sum that takes half an hour is stopped with an error, since a rank must have ended.

# %%
#| export
@dataclass(frozen=True)
class Ranks:
    "The processes that torchrun started, seen from one of them; alone without torchrun."
    rank: int = 0
    size: int = 1
    local: int = 0  # rank on this machine: its GPU
    patient: Any = None  # the process group for what may take long

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.size}"

# %% [markdown]
# Each rank of a machine should use a GPU of its own. `device` names it: the number of the rank on its machine is the number of the GPU.

# %%
#| export
@patch
def device(self: Ranks, name: str = "auto") -> str:
    "This rank's own device of that kind."
    if self.size > 1 and name in ("auto", "cuda") and torch.cuda.is_available():
        torch.cuda.set_device(min(self.local, torch.cuda.device_count() - 1))
        return f"cuda:{self.local}"
    return name

# %% [markdown]
# `gather` collects one object from each rank. The results of a job are put together with it.

# %%
#| export
@patch
def gather(self: Ranks, thing: Any) -> list:
    "What every rank has, by rank, on every rank."
    things = [thing] * self.size
    if self.size > 1:
        self._together(dist.all_gather_object, things, thing, group=self.patient)
    return things

# %% [markdown]
# `add_up` sums a tensor over the ranks. The gradients of a shared batch are added with it.

# %%
#| export
@patch
def add_up(self: Ranks, tensor: torch.Tensor) -> None:
    "The sum over all ranks, in place; the same bits on each."
    if self.size > 1:
        self._together(dist.all_reduce, tensor)

# %% [markdown]
# If a rank has ended, the other ranks wait for it and torch raises a `RuntimeError`. It becomes a `ConnectionError` that says what has happened.

# %%
#| export
@patch
def _together(self: Ranks, act: Any, *args: Any, **kw: Any) -> None:
    "Call `act`, which waits for the other ranks; `ConnectionError` if one is gone."
    try:
        act(*args, **kw)
    except RuntimeError as error:
        reason = str(error).splitlines()[0][:120]
        raise ConnectionError(f"another rank is gone ({reason})") from None

# %% [markdown]
# torchrun writes the number of the process and the number of all processes into the environment. `ranks_from_environment` reads them. Without torchrun there is one process.

# %%
#| export
def ranks_from_environment() -> Ranks:
    "This process's place as torchrun's environment says; not connected to the others."
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    return Ranks(rank, size, int(os.environ.get("LOCAL_RANK", rank)))

# %%
str(ranks_from_environment())


# %% [markdown]
# `connect_ranks` connects the ranks at an address. They have two process groups: one for sums, with a limit of half an hour, and one for collecting, which may wait for 30 days.

# %%
#| export
@contextmanager
def connect_ranks(meet: str = "env://",  # where the ranks meet; torchrun's own place
                  ) -> Iterator[Ranks]:
    "The ranks that torchrun started, connected: gloo between CPUs, NCCL between CUDA devices."
    us = ranks_from_environment()
    if us.size == 1:
        yield us
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, init_method=meet, rank=us.rank, world_size=us.size,
                            timeout=timedelta(minutes=30))
    try:
        patient = dist.new_group(backend="gloo", timeout=timedelta(days=30))
        yield dataclasses.replace(us, patient=patient)
    finally:
        dist.destroy_process_group()


# %% [markdown]
# A cluster sends SIGTERM before it stops a machine. `handle_sigterm` treats the signal like Ctrl-C, so that the run is saved.

# %%
#| export
@contextmanager
def handle_sigterm() -> Iterator[None]:
    "Let SIGTERM end a run as Ctrl-C does: after the present step, and saved."
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        if not callable(signal.getsignal(signal.SIGINT)):  # Ctrl-C is ignored, as under nohup
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# %% [markdown]
# `train_group` is what a rank does with a group: it goes on from the newest checkpoint, trains to the last step of the job, and saves at intervals.

# %%
#| export
def train_group(job: Job, seeds: range,
                kept: Checkpoints | None = None,  # entered; None: nothing is kept
                *, every: int = 1000,  # steps between checkpoints
                device: str = "auto",
                us: Ranks = Ranks(),  # shares the work if the job has several shards
                run: Run | None = None,  # go on with this one
                looks: Sequence[int] = (),  # steps at which `look` is called
                look: Callable[[Run], Any] = lambda run: None,
                ) -> Run:
    "Train one group to the job's last step; Ctrl-C and SIGTERM end it early and save."
    if run is None and kept and (run := kept.load(device)):
        job.check(run, seeds)
    run = run or job.start(seeds, device)
    if job.shards > 1:
        data_parallel(run, us)
    try:
        for steps in _trained_to(run, _stops(run.steps, job.steps, every, looks), kept):
            if steps in looks:
                look(run)
    except KeyboardInterrupt:
        if run.torn:
            raise
        if kept:
            kept.save(run)
    return run

# %% [markdown]
# A caller may want to measure a run at some steps, `looks`. The function `look` is called after the checkpoint of that step. If the call is interrupted, the resumed run starts at the same step, and `look` is called again. So the first step that `_trained_to` gives is the one at which the run is already.

# %%
#| export
def _trained_to(run: Run, stops: Iterable[int], kept: Checkpoints | None) -> Iterator[int]:
    "The step of `run`, now and at each stop after it was saved."
    yield run.steps
    for stop in stops:
        run.step(stop - run.steps)
        if kept:
            kept.save(run)
        yield stop

# %% [markdown]
# `_stops` lists the steps at which a run is saved: every multiple of `every`, every step of `looks`, and the last step. After a resume the steps are the same as without an interruption.

# %%
#| export
def _stops(now: int, last: int, every: int, looks: Sequence[int] = ()) -> Iterator[int]:
    "The steps at which a run is saved, from the step it is at to the last; at least one."
    while True:
        ahead = (now + every - now % every, last, *(step for step in looks if step > now))
        now = max(now, min(ahead))
        yield now
        if now >= last:
            return

# %%
list(_stops(0, 20, 8)), list(_stops(0, 20, 8, looks=(10, 20))), list(_stops(20, 20, 8))

# %% [markdown]
# `train_job` trains all groups of a job. Ranks take whole groups in turn, or, where a batch has shards, all of them together take one group after the other.

# %%
#| export
def train_job(job: Job,
              us: Ranks = Ranks(),
              out: str | Path | None = None,  # a folder, or a .safetensors file for one group
              *, keep: int = 2,
              every: int = 1000,  # steps between checkpoints
              device: str = "auto",
              protocol: str = "pacgan",
              run: Run | None = None,  # the first group's, to go on with
              ) -> tuple[list[Coverage], int]:
    "Train this rank's groups: the coverage of all seeds on every rank, and the step reached."
    if out and not _is_file(job, out):
        job.settle(out)
    groups, found, last = job.groups(), {}, job.steps
    for seeds in groups if job.shards > 1 else groups[us.rank::us.size]:
        with _kept(job, seeds, us, out, keep) as kept:
            done = train_group(job, seeds, kept, every=every, device=us.device(device), us=us,
                               run=run)
        found[seeds.start], last, run = done.coverage(protocol), done.steps, None
        if last < job.steps:
            break
    everybody = us.gather(found) if last >= job.steps else [found]  # stopped: waits for nobody
    merged = {k: v for part in everybody for k, v in part.items()}
    return [c for k in sorted(merged) for c in merged[k]], last

# %% [markdown]
# A single file can hold one group. With several groups `out` must be a folder. `_is_file` raises the error before anything is trained.

# %%
#| export
def _is_file(job: Job, out: str | Path) -> bool:
    "Whether `out` is one file; `ValueError` if the job has more than one group."
    single, groups = str(out).endswith(".safetensors"), job.groups()
    if single and len(groups) > 1:
        raise ValueError(f"out: {len(groups)} groups of seeds need a folder, not a file; got {out}")
    return single

# %% [markdown]
# `_kept` gives the place for the checkpoints of a group. Where several ranks train one group, all of them have the same state, so only rank 0 writes it.

# %%
#| export
def _kept(job: Job, seeds: range, us: Ranks, out: str | Path | None, keep: int) -> Any:
    "Where a group is kept; where several ranks train one group, rank 0 writes. None without `out`."
    if not out:
        return nullcontext()
    path = out if _is_file(job, out) else job.group_folder(out, seeds)
    return Checkpoints(path, keep, job.shards == 1 or us.rank == 0)


# %% [markdown]
# **Check.** Four seeds in groups of two are trained in this process, and again by two processes. The files must be equal bit for bit.

# %%
COMMAND = ("train minimax ring --set width=8 --runs 4 --group 2 --batch 16 "
           "--device cpu --steps 200 --save-every 50 --out").split()
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

# %%
two = subprocess.run([sys.executable, *TORCHRUN, "-m", "modelab", *COMMAND, here / "two"],
                     capture_output=True, text=True, timeout=250,
                     env={**os.environ, "OMP_NUM_THREADS": "1"})
print(two.stdout)

# %%
with redirect_stdout(io.StringIO()) as one, redirect_stderr(io.StringIO()):
    main([*COMMAND, str(here / "one")])

# %%
def equal(a: Path, b: Path) -> bool:
    "Whether two folders of a job hold the same bits."
    names = sorted(p.relative_to(a) for p in a.rglob("*.safetensors"))
    return bool(names) and all((a / n).read_bytes() == (b / n).read_bytes() for n in names)


assert one.getvalue() and two.stdout.endswith(one.getvalue())  # older torch prints more before it
assert equal(here / "one", here / "two")
sorted(str(p.relative_to(here)) for p in (here / "two").rglob("*.safetensors"))

# %% [markdown]
# ## When a rank is killed
# `python benchmarks/distributed.py killed` starts the same job under torchrun, with a very large number of steps. It kills rank 1 as soon as both ranks have saved a checkpoint.
# Then torchrun ends the other rank and reports which rank failed first, and why. This run and the next check were done once and recorded; the tests repeat both.

# %%
killed = recorded("distributed").get("killed rank", {})
assert not killed or "rank      : 1 " in killed["torchrun reports"][0]
assert not killed or killed["torchrun reports"][1].endswith("(SIGKILL)")
killed.get("torchrun reports")

# %% [markdown]
# The seeds of rank 1 are at their last checkpoint (there is one every 50 steps). Rank 0 received SIGTERM and saved its present step, which lies between two checkpoints.

# %%
left = killed.get("last saved steps", {})
assert not left or left["seeds-2-3"] % 50 == 0 != left["seeds-0-1"] % 50
left

# %% [markdown]
# The same command resumes from there, with any number of processes. To compare, the job is shortened to a step that both groups can reach.
# The files are those of a job that was never killed, bit for bit:

# %%
assert killed.get("same files as without a kill", True)
assert not killed or killed["shortened to steps"] >= max(left.values())
{name: killed.get(name) for name in ("shortened to steps", "same files as without a kill")}

# %% [markdown]
# ## One game too large for one device
# If one game is too large for one device, the batch is split. Let the batch consist of $S$ shards, each with its own noise, and let the loss be a mean over examples. The
# gradient of the whole is the mean of the shards' gradients,
#
# $$\nabla_\theta\,\frac1S\sum_{s=1}^{S} L_s(\theta) = \frac1S\sum_{s=1}^{S}\nabla_\theta L_s(\theta),$$
#
# and a process may compute any of the terms. One process with four shards computes them one after another, and needs a quarter of the
# memory. Four processes compute one each and add them up. As with groups, $S$ is part of the configuration, and the number of processes is not.
#
# Is this still so when $L$ itself contains a gradient, as in a gradient penalty? The equation holds for any $L_s$, but the code has to be tested. In double precision, compared with the undivided batch:

# %%
torch.manual_seed(0)
critic = mlp(2, (), 16).double()
real, fake = torch.randn(2, 1, 64, 2, dtype=torch.float64)

# %%
def penalised(real, fake):
    "WGAN-GP's loss for the critic, the penalty halfway between the pairs."
    halfway = ((real + fake) / 2).requires_grad_()
    slope, = torch.autograd.grad(critic(halfway[0]).sum(), halfway, create_graph=True)
    penalty = (slope.norm(dim=-1) - 1).square().mean()
    return critic(fake[0]).mean() - critic(real[0]).mean() + 10 * penalty


# %%
def slopes(parts: int) -> torch.Tensor:
    "The gradient, added up over `parts` shards."
    critic.zero_grad()
    for a, b in zip(real.chunk(parts, 1), fake.chunk(parts, 1)):
        (penalised(a, b) / parts).backward()
    return torch.cat([w.grad.flatten() for w in critic.parameters()])


# %%
errors = {parts: (slopes(parts) - slopes(1)).abs().max().item() for parts in (2, 4, 8)}
assert max(errors.values()) < 1e-12
errors

# %% [markdown]
# For a loss that is not a mean over examples this does not hold: a maximum over the batch (chapter 5.1) or a nearest neighbour in a pool (chapter 3.1) becomes a maximum or a neighbour within each shard.
#
# How are the gradients exchanged? The usual answer is a `DistributedDataParallel` wrapper around each player. Its hooks expect that every weight gets its
# gradient exactly once. In a GAN this is not always so. The discriminator runs three times per turn, and a penalty alone gives the last bias no
# gradient. These are the largest errors of the gradient with different options of the wrapper (two processes, double precision, recorded):

# %%
wrong = recorded("distributed").get("wrapper, largest error of the gradient", {})
alone = {name: error for name, error in wrong.items() if "alone" in name}
static = [error for name, error in wrong.items() if "static" in name]
if wrong:
    assert min(static) > .2  # a number, no message
    assert all(str(error).startswith("error: ") for name, error in alone.items()
               if name.startswith("wrapper") and "static" not in name)
    assert all(error < 1e-12 for name, error in wrong.items()
               if "static" not in name and (name.startswith("sum") or name not in alone))
wrong

# %% [markdown]
# With the option of a static graph the gradient is wrong, and there is no error message. With a penalty alone the other options raise an error. In our engine (chapter 1.2) the gradients of a player are stored in one block. So the whole
# exchange is one sum per player after `backward`, when all gradients are complete. It does not depend on the loss. Its disadvantage is that computing and sending do not
# overlap. `data_parallel` sets a run up for it:

# %%
#| export
def data_parallel(run: Run,  # its `shards` are a multiple of the number of ranks
                  us: Ranks,
                  ) -> Run:  # the same
    "Let every rank compute its share of each batch; gradients and losses are added up."
    if run.shards % us.size:
        raise ValueError(f"shards: expected a multiple of {us.size} ranks, got {run.shards}")
    run.local_shards = range(us.rank, run.shards, us.size)
    run.add_up = us.add_up if us.size > 1 else None
    return run


# %% [markdown]
# **Check.** The whole engine with WGAN-GP in double precision: two processes with two shards each, compared with one process with four. The largest difference of a weight of D after 20 steps, recorded by `python benchmarks/distributed.py shards`:

# %%
apart = recorded("distributed").get("shards, two processes against one", 0.)
assert apart < 1e-6
apart

# %% [markdown]
# ## bf16 and `torch.compile`
# Two more ways may make training faster. *bf16* (bfloat16) has the range of a float32 and a third of its digits. With `precision="bf16"` the players compute in it in training. This is fast if the
# processor has units for it. Their outputs, and so every loss and penalty, are float32. The direction of the penalty's gradient hardly changes. The next cells compute the cosine of the angle between the gradient in bf16 and the one in float32:

# %%
wide, a, b = mlp(64, (), 256), torch.randn(128, 64), torch.randn(128, 64)

# %%
def direction(enabled: bool) -> torch.Tensor:
    "The gradient of a penalty in the critic's weights."
    wide.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        gradient_penalty(wide, a, b, generator=torch.Generator().manual_seed(0)).backward()
    return torch.cat([w.grad.flatten() for w in wide.parameters() if w.grad is not None])


# %%
alike = F.cosine_similarity(direction(True), direction(False), dim=0).item()
assert .99 < alike < 1
alike

# %% [markdown]
# `torch.compile` has no second derivative, which a gradient penalty needs:

# %%
import logging
logging.getLogger("torch._dynamo").setLevel(logging.CRITICAL)

# %%
torch._functorch.config.donated_buffer = False
compiled = torch.compile(wide, backend="aot_eager")
try:
    x = a.clone().requires_grad_()
    slope, = torch.autograd.grad(compiled(x).sum(), x, create_graph=True)
    slope.square().sum().backward()
    said = "it can"
except RuntimeError as error:
    said = str(error).splitlines()[0]
assert "double backward" in said
said

# %% [markdown]
# So our penalties call the original critic, without compilation:

# %%
penalties = [gradient_penalty(D, a, b, generator=torch.Generator().manual_seed(0))
             for D in (compiled, wide)]
assert torch.equal(*penalties)

# %% [markdown]
# `Run` compiles nothing. `python benchmarks/distributed.py` measured three changes on two cores: two processes, bf16, and a compiled critic
# without a penalty. The figures are relative to the time of what is replaced, so below 1 is faster:

# %%
figures = recorded("distributed")
names = "two processes against one", "bf16 against float32", "compiled against eager"
{k: figures.get(k, "not recorded yet") for k in names}

# %% [markdown]
# Two processes take half of the time on the clock, and as much computing as one. With bf16 the wide networks and the convolutions take half to two thirds of the time on these cores. This depends on the processor; on one without units for bf16 it may be slower. The gradient has nearly the same direction (cosine .9997 and more), and the intervals of the modes that a game with a penalty captures overlap. Networks of 128 units get slower; a likely reason is that the conversion costs more than the product.
# Compiling is not faster in any of these cases, even without a penalty. So `precision="bf16"` is offered, and is not the default.

# %%
def ends(text: str) -> list[float]:
    "The limits of a recorded interval."
    return [float(v) for v in re.search(r"\[(\S+), (\S+)\]", text).groups()]

def check_figures(two: dict, half: dict, compiled: dict) -> None:
    "The sentences above."
    assert .45 < two["ratio of wall-clock"] < .55 and two["same table"]
    assert abs(two["ratio of CPU seconds, all processes"] - 1) < .05
    narrow, *wide = (row["time"] for row in half.values() if "time" in row)
    assert narrow > 1 and all(.5 <= time <= .67 for time in wide) and len(wide) == 2
    assert min(row["cosine"] for row in half.values() if "cosine" in row) >= .9997
    (low, high), (least, most) = (ends(row["modes captured"]) for row in half.values()
                                  if "modes captured" in row)
    assert low <= most and least <= high
    assert min(row["time"] for row in compiled.values()) > 1

if "bf16 against float32" in figures:
    check_figures(*map(figures.get, names))

# %% [markdown]
# ## What 10⁸ images and 64 GPUs would need
# No cluster was available, so this is a plan. The figures of a node were measured here on CPU cores; put those of your own machines into the formula. One turn on one device takes $t_c$ seconds of
# computing for its share of the batch. The sum over $N$ devices moves $2\frac{N-1}{N}$ times the $P$ bytes of a player's gradient through each device's link of $B$ bytes a second:
#
# $$t = t_c + 2\,\tfrac{N-1}{N}\,P/B,\qquad \text{efficiency} = t_c / t.$$
#
# Convolutional players for 28×28 pictures, 64 to a shard, on one core:

# %%
node = figures.get("one node", {})
if node:
    assert node["bytes of D's gradient"] == 4 * node["weights"]["D"]  # float32
    seconds = node["seconds a step (D with penalty, G), batch 64, one core"]
    assert abs(node["images a second"] * seconds - 64) < 1  # a batch
node or "not recorded yet"

# %% [markdown]
# `scaling_efficiency` is the formula above in code. With it the plan can be computed for any number of devices and any link.

# %%
#| export
@checked
def scaling_efficiency(compute: Positive,  # seconds of computing per turn and device
                       size: Positive,  # bytes of the gradient
                       link: Positive,  # bytes a second between devices
                       devices: Count,
                       ) -> float:
    "Share of the time that is computing when gradients are summed in a ring after each turn."
    return compute / (compute + 2 * (devices - 1) / devices * size / link)


# %%
LINKS = {"10 Gbit/s": (1.25e9, FAKE), "100 Gbit/s": (1.25e10, REAL),
         "within a node, 300 GB/s": (3e11, MISSING)}

# %%
def scaling():
    "Efficiency at 64 devices against the time of a turn, for three links."
    figure, ax = axes(size=(4.6, 3.))
    times = torch.logspace(-3, 0, 60)
    for name, (link, color) in LINKS.items():
        share = [scaling_efficiency(float(t), 4 * 2e7, link, 64) for t in times]
        ax.plot(times * 1e3, share, color=color, label=name)
    ax.set(xscale="log", xlabel="computing per turn, ms", ylabel="share of time computing",
           ylim=(0, 1.02))
    ax.legend(fontsize=7, loc="lower right")
    shares = [f"{scaling_efficiency(.01, 8e7, link, 64):.0%}" for link, _ in LINKS.values()]
    return Picture(figure, "Share of time computing, 64 devices, 20 million weights; a turn of "
                   f"10 ms reaches {', '.join(shares)}")


# %%
scaling()

# %% [markdown]
# What 64 GPUs need, part by part:
#
# | part | what is there | what 64 GPUs need |
# |---|---|---|
# | gradients | one sum per player and turn, by NCCL on CUDA devices | `--shards 64`; below 80 % efficiency raise the batch per shard before anything else |
# | data, 10⁸ images of 64×64×3 bytes | a set in memory, every rank draws from all of it | 1.2 TB: files of some 10⁴ images on each node's disk, a rank reads its own; a step reads batch × 12 kB |
# | checkpoints | one rank writes weights and Adam's moments, three times the weights | the same up to some 10⁹ weights; beyond, one file per rank |
# | a dead node | torchrun ends the run, the same command resumes | `torchrun --nnodes 8 --max-restarts 3`, a shared disk, `--save-every` such that a lost interval is cheap |
# | evaluation | on every rank | on rank 0's samples, the others go on |
# | batch size | 256 per seed | 64 × 64 = 4096: rates and penalty weights tuned again; nothing here says that they carry over |
#
# The table's sizes follow from the figures above: a checkpoint holds three numbers of four bytes for each weight, and 10⁸ such images have 1.2 TB.

# %%
saved = "bytes of a checkpoint (weights and two moments)"
assert not node or node[saved] == 3 * 4 * sum(node["weights"].values())
image = 64 * 64 * 3
assert round(1e8 * image / 1e12, 1) == 1.2 and round(image / 1e3) == 12 and 64 * 64 == 4096

# %% [markdown]
# One pass through 10⁸ images, with `node["images a second"]` from above for one core, and a device $k$ times as fast as that core: $10^8 / (64\,k \cdot \text{images a second})$ seconds, divided by the efficiency.

# %% [markdown]
# ## In your own code
# Five lines make a training loop that resumes after a kill and runs on any number of processes:

# %%
with connect_ranks() as us, Checkpoints(here / "mine", writes=us.rank == 0) as kept:
    run = kept.load("cpu") or Run("wasserstein", "ring", runs=1, batch=64, shards=4, device="cpu")
    data_parallel(run, us)
    while run.steps < 40:
        kept.save(run.step(20))
run

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.distributed import grade_share, grade_split

# %% [markdown]
# **1.** (easy, 5 minutes) Twelve seeds, numbered from 0, are trained in groups of 5 by three ranks. Which seeds does rank 1 train? Give a list.
#
# <details><summary>Hint</summary>
#
# Ranks take whole groups in turn. The first rank is rank 0.
#
# </details>

# %%
answer = ...
grade_split(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The groups are 0 to 4, 5 to 9, and 10 and 11. Rank 1 takes the second one.
#
# ```python
# answer = [5, 6, 7, 8, 9]
# ```
#
# The groups depend on the job and not on the number of ranks. So two ranks and three ranks train the same groups, with the same rounding.
#
# </details>

# %% [markdown]
# **2.** (medium, 10 minutes) A critic has 20 million weights in float32. A turn computes for 40 ms, and the link carries 10 gigabytes a second. What share of the time do 8 devices compute? Two digits are enough.
#
# <details><summary>Hint</summary>
#
# How many bytes has the gradient? In a ring of $N$ devices each sends $2(N-1)/N$ times that.
#
# </details>

# %%
answer = ...
grade_share(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The gradient has $8\cdot10^7$ bytes. Each device sends $2\cdot\frac78$ of that, which takes 14 ms. So the share is $40/(40+14)$.
#
# ```python
# answer = .04 / (.04 + 2 * 7 / 8 * 8e7 / 1e10)
# ```
#
# `scaling_efficiency(.04, 8e7, 1e10, 8)` gives the same.
#
# </details>

# %% [markdown]
# ## Recap
# - Write under another name, then rename. Use a lock that the system releases when its process ends.
# - What may change the rounding belongs to the configuration: the number of seeds trained side by side, and the number of shards of a batch. The number of processes does not change it and is left out.
# - Add gradients up after `backward`, when all of them are complete. A wrapper that relies on hooks may give a wrong gradient without an error.
# - Save at intervals. The same command then resumes the run.
#
# **For later.**
#
# 1. Why may a rank that was interrupted not wait for the others?
# 2. Why is a loss with a batch maximum another loss in four shards?
#
# <details><summary>Answers</summary>
#
# 1. The others may wait for a sum that needs this rank. Then nobody goes on. So it ends, and the others stop with an error.
# 2. Each shard has a maximum of its own. The mean of four maxima is not the maximum over the whole batch.
#
# </details>
#
# **References.** Li et al. 2020, PyTorch Distributed: Experiences on Accelerating Data Parallel Training; Micikevicius et al. 2018, Mixed Precision Training.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.distributed
"Graders of chapter 6.13."
from modelab.course.exercises import as_number, exercise
from modelab.training.distributed import Job, scaling_efficiency

# %%
#| export course.graders.distributed
@exercise(accepts=[[5, 6, 7, 8, 9], range(5, 10)],
          rejects=[[4, 5, 6, 7], [1, 4, 7, 10], [5, 6, 7, 8, 9, 10, 11], [0, 1, 2, 3, 4], [10, 11],
                   [], 5])
def grade_split(answer):
    theirs = [s for g in Job("minimax", "ring", runs=12, group=5).groups()[1::3] for s in g]
    assert list(answer) == theirs, "write down the groups first; ranks are numbered from 0"

# %%
#| export course.graders.distributed
@exercise(accepts=[.741, .74], rejects=[.83, .96, .5, 74, .714, .26, .72, .92])
def grade_share(answer):
    right = scaling_efficiency(.04, 8e7, 1e10, 8)
    assert abs(as_number(answer) - right) < .01, \
        "check the bytes of a weight, and how often each byte is sent in the ring"
