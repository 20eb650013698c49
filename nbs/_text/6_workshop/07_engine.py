# %% [markdown]
# # The training engine
# > How are players moved, seeds drawn, and runs saved and resumed?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How are players moved, seeds drawn, and runs saved and resumed? |
# | **You will be able to** | read and change this part of the library |
# | **Needs** | nothing |
# | **Time** | seconds |

# %%
#| default_exp training.run

# %%
#| export
"Run: train a game for several seeds at once."
from __future__ import annotations

import functools
import math
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from tqdm.auto import tqdm

from modelab.core.checks import check_choice, check_int
from modelab.core.registry import make
from modelab.core.seeding import derive_seed
from modelab.core.signatures import Count, Index, Real, check_arguments, unchecked
from modelab.data.mixtures import sample_modes
from modelab.evaluation import coverage as measures
from modelab.training.checkpoints import load_checkpoint, save_checkpoint
from modelab.training.game import Game, Turn, turn_words
from modelab.training.players import Players

# %%
#| export training.players
"The players of a game and their Adam optimisers."
from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from modelab.core.seeding import derive_seed

# %%
#| export training.checkpoints
"Checkpoints of runs: saved and read without executing code."
from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

from modelab.core.checks import check_int
from modelab.core.files import atomic_write
from modelab.core.registry import get_setting, make, to_json


# %%
#| export training.players
def _flatten_parameters(name: str, weights: list[nn.Parameter]) -> nn.Parameter:
    "Lay a player's weights and gradients end to end in memory, so that one Adam kernel serves them all."
    if len({w.dtype for w in weights}) > 1:
        raise ValueError(f"{name}: expected weights of one dtype, got {sorted({str(w.dtype) for w in weights})}")
    flat = nn.Parameter(torch.cat([w.detach().flatten() for w in weights]))
    flat.grad = torch.zeros_like(flat)
    sizes = [w.numel() for w in weights]
    for w, values, slopes in zip(weights, flat.detach().split(sizes), flat.grad.split(sizes)):
        w.data, w.grad = values.view_as(w), slopes.view_as(w)
    return flat


# %%
#| export training.players
class Players:
    "The networks of a game with their optimisers: who moves, and how."
    def __init__(self, game: Any, event, latent: int, seeds: range, device: torch.device, average: float):
        # Weights are drawn on the CPU, so that a seed means the same on every device.
        generator = [torch.Generator().manual_seed(derive_seed(s, "init")) for s in seeds]
        nets = game.players(tuple(event), latent, len(seeds), generator)
        self.nets = {name: net.to(device) for name, net in nets.items()}
        self.movers = {word: [word] if word in nets else list(word) for word in game.turns.split()}
        absent = {name for names in self.movers.values() for name in names} - set(nets)
        if absent:
            raise ValueError(f"game: the turns {game.turns!r} name {sorted(absent)}, the players are {sorted(nets)}")
        self.weights = {name: [w for w in net.parameters() if w.requires_grad] for name, net in nets.items()}
        self.flat = {name: _flatten_parameters(name, weights) for name, weights in self.weights.items() if weights}
        self.game, self.adam = game, {}
        for name, flat in self.flat.items():
            self.adam[name] = torch.optim.Adam([flat], **self.rates(name), fused=device.type != "mps")
        self.average, self.averaged = average, copy.deepcopy(self.nets["G"]) if average else None

    def rates(self, name: str, step: int = 0) -> dict[str, Any]:
        "Adam's settings for a player at a step, as the game has them now: they may change while it runs."
        return self.game.optimiser.rates(name, step)

    def ready(self, word: str) -> None:
        "Let gradients flow to those whose turn it is, and to nobody else."
        for name, weights in self.weights.items():
            for weight in weights:
                weight.requires_grad_(name in self.movers[word])
        for name in self.movers[word]:
            self.flat[name].grad.zero_()

    def move(self, word: str, loss: torch.Tensor, step: int = 0) -> None:
        "One Adam step down the sum of the runs' losses; `step` is the run's, for the schedule."
        loss.backward(torch.ones_like(loss))  # the gradient of the sum over runs
        self.step(word, step)

    def step(self, word: str, step: int = 0) -> None:
        "One Adam step down the gradients as they stand."
        for name in self.movers[word]:
            self.adam[name].param_groups[0].update(self.rates(name, step))
            self.adam[name].step()

    @torch.no_grad()
    def follow(self) -> None:
        "Move the averaged generator a little towards the present one."
        if self.averaged is not None:
            for mean, now in zip(self.averaged.parameters(), self.nets["G"].parameters()):
                mean.lerp_(now, 1 - self.average)
            for mean, now in zip(self.averaged.buffers(), self.nets["G"].buffers()):
                mean.copy_(now)

    def state(self) -> dict[str, torch.Tensor]:
        "Every tensor that training changes, by a readable name."
        nets = {f"player/{n}": net for n, net in self.nets.items()}
        if self.averaged is not None:
            nets["average"] = self.averaged
        adam = {f"adam/{n}/{k}": v for n, a in self.adam.items() for k, v in a.state_dict()["state"].get(0, {}).items()}
        return {f"{n}/{k}": v for n, net in nets.items() for k, v in net.state_dict().items()} | adam

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        "Put the tensors of `state()` back in their places."
        def under(prefix: str) -> dict[str, torch.Tensor]:
            return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        for name, net in self.nets.items():
            net.load_state_dict(under(f"player/{name}/"))
        if self.averaged is not None:
            self.averaged.load_state_dict(under("average/"))
        for name, adam in self.adam.items():
            saved = under(f"adam/{name}/")
            shapes = {"step": (), "exp_avg": self.flat[name].shape, "exp_avg_sq": self.flat[name].shape}
            if saved and {k: tuple(v.shape) for k, v in saved.items()} != {k: tuple(v) for k, v in shapes.items()}:
                raise KeyError(f"the optimiser of {name}")
            settings = adam.state_dict()["param_groups"]
            adam.load_state_dict({"state": {0: saved} if saved else {}, "param_groups": settings})


# %%
#| export
class Diverged(FloatingPointError):
    "A loss became NaN or infinite: at which step, in whose turn, in which runs, and what was saved last."


# %%
#| export
@contextmanager
def spare_thread() -> Iterator[None]:
    "One thread fewer for torch: the page that draws needs it, and two threads that wait for each other are slower than one."
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads - 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# %%
#| export
@contextmanager
def _finish_step_on_interrupt() -> Iterator[threading.Event]:
    "Turn the first Ctrl-C into a flag, so that a step is never cut in half; a second one interrupts at once."
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.getsignal(signal.SIGINT)

    def first(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)
    signal.signal(signal.SIGINT, first)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


# %%
#| export
def find_device(name: str) -> torch.device:
    "The torch device for a name; `ValueError` if it is unknown or absent."
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(1, device=torch.device(name)).device
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0][:100]
        raise ValueError(f"device: expected auto, cpu, cuda, cuda:N or mps, present on this machine; "
                         f"got {name!r} ({reason})") from None


# %% [markdown]
# ## A run
# `Run` holds a game, its players and the streams of random numbers. What it can do is added below, one method at a time.

# %%
#| export
Decay = Annotated[float, Real(0., .999999)]

# %%
from modelab.course.notebooks import patch

# %%
#| export
class Run:
    """A game played by several seeds at once; its state after n steps depends on the configuration and n alone.

    >>> run = Run("minimax", "ring", runs=4, device="cpu").step(10)
    >>> run.losses["G"].shape, run.sample(100).shape  # (steps, runs) and (runs, n, *event)
    (torch.Size([10, 4]), torch.Size([4, 100, 2]))
    """
    def __init__(self, game: Game | str,  # a game, or the name of a registered one
                 modes: Any,  # a mode set, or the name of a registered one
                 runs: Count = 8,  # how many seeds, side by side
                 seed: Index = 0,  # run r is seed + r
                 device: str = "auto",  # auto (cuda, else cpu), cpu, cuda, cuda:1, mps
                 batch: Count = 256,  # examples per run and turn
                 average: Decay = 0.0,  # decay of a running average of G's weights for `sample`; 0: none
                 shards: Count = 1,  # parts of a batch whose gradients are added up; see modelab.training.distributed
                 precision: Literal["float32", "bf16"] = "float32",  # bf16: matrix products and convolutions in training
                 ):
        self.__dict__.update(check_arguments(Run.__init__, dict(
            runs=runs, seed=seed, batch=batch, average=average, shards=shards, precision=precision)))
        if batch % shards:
            raise ValueError(f"batch, shards: expected a batch that {shards} shards can share evenly, got {batch}")
        self._choose(game, modes, device)
        self._begin()

# %%
#| export
@patch
def _choose(self: Run, game: Game | str, modes: Any, device: str) -> None:
    "What is played, on which data, and where."
    self.game = make("game", game) if isinstance(game, str) else game
    modes = make("modes", modes) if isinstance(modes, str) else modes
    if not all(hasattr(modes, part) for part in ("event", "sample", "to")):
        raise TypeError(f"modes: expected a mode set, or the name of a registered one, got {modes!r:.80}")
    self.words, self.device = turn_words(self.game), find_device(device)
    self.game.suits(modes)
    self.modes, self.seeds = modes.to(self.device), range(self.seed, self.seed + self.runs)
    fitting = max(2, min(64, math.prod(modes.event)))
    self.latent = self.game.networks.latent or fitting

# %%
#| export
@patch
def _begin(self: Run) -> None:
    "The players at step 0."
    self.players = Players(self.game, self.modes.event, self.latent, self.seeds, self.device, self.average)
    self.steps, self._checked, self.saved = 0, 0, None  # steps done, losses checked, last checkpoint
    self.torn = False  # whether the last step was cut in half, by an error or a second Ctrl-C
    self._losses = {word: torch.empty(1024, self.runs, device=self.device) for word in self.words}  # grows by doubling
    self._streams: dict[str, list[torch.Generator]] = {}
    self._played: set[tuple[int, str]] = set()  # turns that went well once: their arguments are not checked again
    self.mine, self.add_up = range(self.shards), None  # the shards of this process, and how it adds up with others

# %% [markdown]
# ### Random numbers: one stream for each purpose

# %%
#| export
@patch
def generators(self: Run, stream: str, *place: int) -> list[torch.Generator]:
    "One generator per run, seeded by (seed, stream, place)."
    own = self._streams.setdefault(stream, [torch.Generator(self.device) for _ in self.seeds])
    return [g.manual_seed(derive_seed(s, stream, *place)) for g, s in zip(own, self.seeds)]

# %%
#| export
@patch
def real(self: Run, n: int, generator: list[torch.Generator], only: Sequence[int] | None = None) -> torch.Tensor:
    "Real examples `(runs, n, *event)`, of the modes in `only`; None: of all."
    draw = self.modes.sample if only is None else functools.partial(sample_modes, self.modes, only)
    return torch.stack([draw(n, generator=g) for g in generator])

# %%
#| export
@patch
def noise(self: Run, n: int, generator: list[torch.Generator]) -> torch.Tensor:
    "Latents `(runs, n, latent)`."
    return self.game.noise(self.runs, n, self.latent, generator=generator, device=self.device)

# %% [markdown]
# ### One turn
# The gradient is that of the mean over the batch. It is computed shard by shard where one batch is shared by several devices.

# %%
#| export
@patch
@contextmanager
def _bf16(self: Run) -> Iterator[None]:
    "In a bf16 run: the players compute in bf16; what they return, and so every loss and penalty, is float32."
    def half(forward: Any, *args: Any) -> Any:
        with torch.autocast(self.device.type, torch.bfloat16):
            out = forward(*args)
        return out.float() if isinstance(out, torch.Tensor) else out
    nets = self.players.nets.values() if self.precision == "bf16" else ()
    for net in nets:
        net.forward = functools.partial(half, net.forward)
    try:
        yield
    finally:
        for net in nets:
            del net.forward  # the class's own comes back

# %%
#| export
@patch
def _loss(self: Run, place: int, word: str, shard: list[int]) -> torch.Tensor:
    "The loss of a turn, one value per run; its arguments are checked the first time only."
    turn = Turn(self, self.steps, place, *shard)
    known = (place, word) in self._played or self.batch == self.shards  # a batch of one looks like a column of scores
    with self._bf16(), unchecked() if known else nullcontext():
        loss = getattr(self.game, f"loss_{word}")(turn)
    if loss.shape != (self.runs,):
        raise ValueError(f"game: loss_{word} should return one value per run, shape ({self.runs},), "
                         f"got {tuple(loss.shape)}")
    self._played.add((place, word))
    return loss

# %%
#| export
@patch
def _turn(self: Run, place: int, word: str) -> torch.Tensor:
    "One turn: the gradient, then a step down it; the loss per run."
    self.players.ready(word)
    total = torch.zeros(self.runs, device=self.device)
    for shard in self.mine:
        loss = self._loss(place, word, [shard] * (self.shards > 1))
        loss.backward(torch.full_like(loss, 1 / self.shards))  # of the sum over runs
        total += loss.detach() / self.shards
    if self.add_up:
        for part in [*(self.players.flat[name].grad for name in self.players.movers[word]), total]:
            self.add_up(part)
    self.players.step(word, self.steps)
    return total

# %% [markdown]
# ### Steps

# %%
#| export
@patch
def _make_room(self: Run) -> None:
    "Twice as much of it for losses, where there is none left for this step's."
    for word, rows in self._losses.items():
        if self.steps == len(rows):
            self._losses[word] = torch.cat([rows, torch.empty_like(rows)])

# %%
#| export
@patch
def _one_step(self: Run) -> None:
    "One pass through the turns."
    self.torn = True
    losses = {word: self._turn(place, word) for place, word in enumerate(self.words)}
    self._make_room()
    for word, loss in losses.items():
        self._losses[word][self.steps].copy_(loss)
    self.players.follow()
    self.steps, self.torn = self.steps + 1, False

# %%
#| export
@patch
def step(self: Run, n: int = 1,  # steps; each is one pass through the game's turns
         progress: bool | None = None,  # a progress bar; None: in a terminal only
         ) -> Run:
    "Train `n` steps. Ctrl-C ends after the present step and keeps it; a loss not finite raises `Diverged`."
    hidden = not (sys.stderr.isatty() if progress is None else progress)
    with _finish_step_on_interrupt() as stop, \
            tqdm(range(check_int("n", n, 0)), disable=hidden, unit="step", leave=False) as bar:
        for i in bar:
            self._one_step()
            if i % 64 == 63 or i == n - 1 or stop.is_set():
                self._check()
            if stop.is_set():
                raise KeyboardInterrupt(f"stopped after step {self.steps}; everything up to it is kept")
    return self

# %%
#| export
@patch
def _check(self: Run) -> None:
    "Raise `Diverged` at the first loss since the last check that is not finite."
    fresh = {word: rows[self._checked:self.steps] for word, rows in self._losses.items()}
    wrong = [(int(at), word, int(run)) for word, rows in fresh.items() for at, run in (~rows.isfinite()).nonzero()]
    if wrong:
        at, word, run = min(wrong)
        kept = f"the last checkpoint is {self.saved}" if self.saved else "no checkpoint was saved"
        raise Diverged(f"the loss of {word} is not finite at step {self._checked + at}, "
                       f"seed {self.seeds[run]}; {kept}")
    self._checked = self.steps

# %% [markdown]
# ### What a run gives

# %%
#| export
@patch(as_prop=True)
def losses(self: Run) -> dict[str, torch.Tensor]:
    "Loss of each turn, `(steps, runs)`; of its last pass where a turn comes several times in a step."
    return {word: rows[:self.steps].cpu().clone() for word, rows in self._losses.items()}

# %%
#| export
@patch
@torch.no_grad()
def sample(self: Run, n: int,  # samples per run
           raw: bool = False,  # the present weights even where a running average is kept
           ) -> torch.Tensor:  # (runs, n, *event)
    "What the generators make at this step: the same each time it is asked, and training does not notice."
    net = self.players.nets["G"] if raw or self.players.averaged is None else self.players.averaged
    z, training = self.noise(check_int("n", n), self.generators("evaluation", self.steps)), net.training
    net.eval()
    try:
        return torch.cat([net(part) for part in z.split(4096, dim=1)], dim=1)
    finally:
        net.train(training)

# %%
#| export
@patch
def coverage(self: Run, protocol: str = "pacgan",  # a name in `modelab.evaluation.coverage.PROTOCOLS`
             n: int | None = None,  # samples per run; None: as many as the protocol asks for
             ) -> list[measures.Coverage]:
    "What each run covers of its modes."
    asked = measures.PROTOCOLS[check_choice("protocol", protocol, measures.PROTOCOLS)].samples(self.modes)
    return measures.coverages(self.sample(asked if n is None else n), self.modes, protocol)

# %%
#| export
@patch
def save(self: Run, path: str | Path) -> Path:
    "Write a checkpoint; see `modelab.training.checkpoints.save_checkpoint`."
    self.saved = save_checkpoint(self, path)
    return self.saved

# %%
#| export
@patch(cls_method=True)
def load(cls: Run, path: str | Path, game: Game | None = None, modes: Any = None, device: str = "auto") -> Run:
    "Read a checkpoint and go on as if nothing had happened; see `modelab.training.checkpoints.load_checkpoint`."
    return load_checkpoint(cls, path, game, modes, device)

# %%
#| export
@patch
def __repr__(self: Run) -> str:
    seeds = f"seeds {self.seed}–{self.seeds[-1]}" if self.runs > 1 else f"seed {self.seed}"
    return f"{type(self.game).__name__} on {self.modes!r}, {seeds}, {self.steps} steps on {self.device}"


# %%
#| export training.checkpoints
CHECKPOINT_FORMAT = "modelab-run-1"


# %%
#| export training.checkpoints
def save_checkpoint(run: Any,
                    path: str | Path,  # parent folders are made
                    ) -> Path:
    "Write a checkpoint: tensors and JSON, nothing executable; a crash leaves the old file whole, a NaN is refused."
    from safetensors.torch import save
    run._check()  # never a diverged run over a good one, nor half a step
    if run.torn:
        raise ValueError(f"run: the step after {run.steps} was cut in half; go back to the last checkpoint, {run.saved}")
    tensors = run.players.state() | {f"loss/{word}": rows for word, rows in run.losses.items()}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    note = json.dumps({"format": CHECKPOINT_FORMAT, "steps": run.steps, **run_config(run)})
    atomic_write(path, save({k: v.detach().cpu().clone() for k, v in tensors.items()}, metadata={"modelab": note}))
    return path


# %%
#| export training.checkpoints
def run_config(run: Any) -> dict[str, Any]:
    "Everything that the state after n steps depends on besides n, as plain JSON."
    spec = getattr(run.game, "spec", None)
    game = spec and {k: v if k == "name" else to_json(get_setting(run.game, k)) for k, v in spec.items()}
    return {"game": game, "modes": getattr(run.modes, "spec", None), "runs": run.runs, "seed": run.seed,
            "batch": run.batch, "average": run.average, "shards": run.shards, "precision": run.precision}


# %%
#| export training.checkpoints
def load_checkpoint(cls: type,
                    path: str | Path,  # a checkpoint, or a folder of them
                    game: Any = None,  # needed where the game was made with networks of your own
                    modes: Any = None,  # needed where the mode set has no name
                    device: str = "auto",  # may differ from where it was saved
                    ) -> Any:
    "Read a checkpoint; `FileNotFoundError` if there is none, `ValueError` if it is damaged or does not fit."
    path, note, tensors = _newest(Path(path)) if Path(path).is_dir() else (path, *_open(path))
    for kind, given in (("game", game), ("modes", modes)):
        if given is None and note[kind] is None:
            raise ValueError(f"{kind}: {path} was saved with a {kind} that has no name; pass {kind}=")
    game, modes = game or make("game", note["game"]), modes or make("modes", note["modes"])
    try:
        run = cls(game, modes, device=device, **{k: note[k] for k in RUN_SETTINGS})
        run.players.restore(tensors)
        for word, rows in run._losses.items():
            run._losses[word] = torch.cat([tensors[f"loss/{word}"].to(run.device), rows])
    except (RuntimeError, KeyError, MemoryError) as error:
        raise ValueError(f"path: {path} does not fit {type(game).__name__} on {modes!r}: {error}") from error
    run.steps = run._checked = note["steps"]
    run.saved = Path(path)
    return run


# %%
#| export training.checkpoints
def list_checkpoints(folder: str | Path) -> list[Path]:
    "The checkpoints in a folder, the newest first; those of its only group of seeds if it holds none itself."
    found = sorted(Path(folder).glob("step-*.safetensors"), reverse=True)
    groups = [] if found else sorted({p.parent for p in Path(folder).glob("seeds-*/step-*.safetensors")})
    if len(groups) > 1:
        raise ValueError(f"path: {folder} holds {len(groups)} groups of seeds, name one of them: "
                         + ", ".join(p.name for p in groups))
    return found or (list_checkpoints(groups[0]) if groups else [])


# %%
#| export training.checkpoints
def _newest(folder: Path) -> tuple[Path, dict, dict[str, torch.Tensor]]:
    "The newest checkpoint of a folder that can be read, its note and its tensors; a warning names those that cannot."
    damaged = []
    for path in list_checkpoints(folder):
        try:
            return path, *_open(path)
        except ValueError as error:
            damaged.append(str(error))
            warnings.warn(f"{error}; trying the one before", stacklevel=3)
    if damaged:
        raise ValueError(f"path: no checkpoint in {folder} can be read; the first says: {damaged[0]}")
    raise FileNotFoundError(f"path: there is no checkpoint in {folder}")


# %%
#| export training.checkpoints
RUN_SETTINGS = {"runs": 1, "seed": 0, "batch": 1, "average": None, "shards": 1, "precision": None}  # least value of a count


# %%
#| export training.checkpoints
def _open(path: str | Path) -> tuple[dict, dict[str, torch.Tensor]]:
    "The note and the tensors of a checkpoint."
    from safetensors import SafetensorError, safe_open
    try:
        with safe_open(str(path), "pt") as file:
            note = json.loads((file.metadata() or {}).get("modelab", "{}"))
            tensors = {k: file.get_tensor(k) for k in file.keys()}
    except FileNotFoundError:
        raise FileNotFoundError(f"path: there is no checkpoint {path}") from None
    except (SafetensorError, ValueError, OSError, RecursionError) as error:
        raise ValueError(f"path: {path} is not a readable checkpoint ({error})") from error
    if not isinstance(note, dict) or note.get("format") != CHECKPOINT_FORMAT:
        got = note.get("format") if isinstance(note, dict) else note
        raise ValueError(f"path: {path} is no modelab run: expected format {CHECKPOINT_FORMAT}, got {got!r:.60}")
    note = {"shards": 1, "precision": "float32", **note}  # runs saved before there were any
    try:
        for name, least in {**RUN_SETTINGS, "steps": 0}.items():
            if least is not None:
                check_int(name, note[name], least)
        for kind in ("game", "modes"):
            if note[kind] is not None and not isinstance(note[kind].get("name"), str):
                raise TypeError(f"{kind}: expected a name")
        lengths = {tuple(v.shape) for k, v in tensors.items() if k.startswith("loss/")}
        if lengths != {(note["steps"], note["runs"])} or note["runs"] > sum(v.numel() for v in tensors.values()):
            raise ValueError(f"{note['steps']} steps of {note['runs']} runs, but losses of shape {lengths}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"path: {path} is not a checkpoint that modelab wrote ({error})") from error
    return note, tensors
