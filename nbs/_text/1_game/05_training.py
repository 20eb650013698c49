# %% [markdown]
# # The engine: eight seeds, one state
# > The same loop for every method; looking at it does not change it, and killing it does not hurt it

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How do we train any game, over eight seeds, so that every number can be had again, bit for bit? |
# | **You will be able to** | write a game of your own and run, stop, save, resume and measure it with one object |
# | **Needs** | [02](../0_ground/02_coverage.ipynb) for the numbers, [03](../0_ground/03_networks.ipynb) for the run axis, [04](04_minimax.ipynb) for a game |
# | **Time** | under a minute of computing |

# %%
#| default_exp training

# %%
#| export
from __future__ import annotations

import copy
import functools
import hashlib
import json
import math
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from tqdm.auto import tqdm

from modelab import coverage as measures
from modelab.course import make, number, one_of, plain, replace, whole
from modelab.modes import members
from modelab.networks import randn

# %%
import tempfile
from dataclasses import dataclass
from modelab.course import exercise, Film, axes, picture, recorded, refused, scatter, steps
from modelab.minimax import Minimax, discriminator_loss, generator_loss
from modelab.modes import ring
from modelab.networks import mlp


# %% [markdown]
# ## The loop by hand
# This is how everybody writes it: two networks, two optimisers, one turn each. There is nothing wrong with a single line of it.

# %%
def by_hand(steps: int, look_at: int | None = None) -> torch.Tensor:
    "Train on the ring; at step `look_at`, draw a few samples to see how it goes. Returns G's last weights."
    torch.manual_seed(0)
    G, D, data = mlp(2, 2, width=32), mlp(2, (), width=32), ring(radius=2, std=.02)
    adam_G, adam_D = (torch.optim.Adam(net.parameters(), 1e-3, betas=(.5, .9)) for net in (G, D))
    source = torch.Generator().manual_seed(0)
    for step in range(steps):
        x, z = data.sample(64, generator=source), torch.randn(64, 2)
        adam_D.zero_grad()
        discriminator_loss(D(x), D(G(z).detach())).backward()
        adam_D.step()
        adam_G.zero_grad()
        generator_loss(D(G(torch.randn(64, 2)))).backward()
        adam_G.step()
        if step == look_at:
            G(torch.randn(9, 2))
    return G.final.weight.detach()


# %% [markdown]
# Run it twice and the weights are equal: it is seeded. Now run it a third time, and *look* at nine samples at step 10.
#
# **Predict:** does looking change what is learned?

# %%
first, again, looked = by_hand(40), by_hand(40), by_hand(40, look_at=10)
torch.equal(first, again), torch.equal(first, looked), (first - looked).abs().max().item()

# %%
assert torch.equal(first, again) and not torch.equal(first, looked)


# %% [markdown]
# Looking took nine numbers from the stream that training draws its noise from, so every later step is another one. Whoever plots
# more often trains another network. Add a progress picture, and yesterday's table cannot be had again.

# %% [markdown]
# ## A stream for every purpose
# The cure: no stream is shared, and no stream has a position. The numbers for *(seed 3, noise, step 120)* come from a
# generator seeded by exactly these words. So the state after $n$ steps is a function of the configuration and $n$, and nothing else:
#
# $$\theta_{n+1} = F(\theta_n,\; \text{draws}(\text{seed}, \text{stream}, n)).$$
#
# Resuming needs no saved random state, and run 3 of eight is the run you get from seed 3 alone.

# %%
#| export
def seed_of(*words: object) -> int:
    "A 63-bit seed for a purpose, such as (7, 'data', step): equal words, equal seed; otherwise unrelated."
    return int.from_bytes(hashlib.blake2b(repr(words).encode(), digest_size=8).digest(), "big") >> 1


# %%
purposes = [(seed, stream, step) for seed in range(8) for stream in ("data", "noise") for step in range(2000)]
assert len({seed_of(*p) for p in purposes}) == len(purposes)
seed_of(3, "noise", 120)


# %% [markdown]
# ## What a game looks like to the engine
# The engine knows nothing of minimax. It asks a game for its players, for the turns they take, and, for every turn, for a loss per
# run. `Minimax` of chapter 04 already has this shape; it inherits from nothing.

# %%
#| export
@runtime_checkable
class Game(Protocol):
    """What a method looks like to the engine: players, turns, and a loss for each turn.

    `turns` names, word by word, who moves in one step: "D D D D D G", or "D GE" where two move together. For each
    word the game has a method `loss_<word>(t)` that returns one loss per run. `t` carries the players by name (`t.G`),
    the real batch `t.x`, the latents `t.z`, `t.generator` for further draws and `t.step`. A player that no turn names
    never moves; its buffers are saved with the run, so it is where a game keeps what it must remember. `lr` and `betas` set Adam,
    for all players or as a dict by player; `latent` is the length of z, or None for one that fits the set. A method
    `noise(*shape, generator=, device=)` replaces the standard normal latents, and `suits(modes)` may refuse a set.
    """
    turns: str
    lr: float | dict[str, float]
    betas: Any
    latent: int | None

    def players(self, event: tuple[int, ...], latent: int, runs: int, generator: list) -> dict[str, nn.Module]:
        "The networks that play, with a run axis, their weights drawn from one generator per run."


# %%
assert isinstance(Minimax(), Game) and Minimax.__mro__[1:] == (object,)
Minimax.turns, [name for name in vars(Minimax) if name.startswith("loss_")]


# %%
#| export
def _words(game: Game) -> list[str]:
    "The turns of one step, each with its objective."
    if not isinstance(game, Game):
        raise TypeError("game: expected turns, lr, betas, latent and players(), as modelab.training.Game says, "
                        f"got {game!r}")
    words = game.turns.split()
    lost = [f"loss_{word}" for word in words if not hasattr(game, f"loss_{word}")]
    if not words or lost:
        raise ValueError(f"game: {type(game).__name__} takes the turns {game.turns!r} and has no "
                         f"{' or '.join(lost) or 'turn to take'}")
    return words


# %% [markdown]
# In a turn, the loss sees the players, a real batch, latents. Batches are drawn when they are first asked for, so a turn that needs no real data pays for none.
# A loss that must see more than a batch asks for it by number, `t.real(5000, "pool")`, from a stream of its own.

# %%
#| export
class Turn:
    "What a loss sees in one turn: players, data, noise. Batches are drawn when they are first asked for."
    def __init__(self, run: Run, step: int, place: int, *shard: int):
        self._run, self.step, self._place = run, step, (place, *shard)
        self.__dict__.update(run.players.nets)

    @property
    def batch(self) -> int:
        "Examples per run in this turn."
        return self.__dict__["x"].shape[1] if "x" in self.__dict__ else self._run.batch // self._run.shards

    @functools.cached_property
    def x(self) -> torch.Tensor:
        "Real data, `(runs, batch, *event)`."
        return self.real(self.batch)

    @functools.cached_property
    def z(self) -> torch.Tensor:
        "Latents, `(runs, batch, latent)`."
        return self.noise(self.batch)

    def real(self, n: int, stream: str = "data", only: Sequence[int] | None = None) -> torch.Tensor:
        "`n` real examples per run, of all modes or of some only, from a stream of their own: for a loss that sees more than a batch."
        return self._run.real(n, self._generators(stream), only)

    def noise(self, n: int, stream: str = "noise") -> torch.Tensor:
        "`n` latents per run, likewise."
        return self._run.noise(n, self._generators(stream))

    @functools.cached_property
    def generator(self) -> list[torch.Generator]:
        "One generator per run for whatever else the loss draws."
        return self._generators("loss")

    def _generators(self, stream: str) -> list[torch.Generator]:
        return self._run.generators(stream, self.step, *self._place)


# %% [markdown]
# ## Whose turn it is
# `Players` holds the networks and their optimisers. Before a turn it lets gradients flow to those who move and to nobody else: in the generator's turn the
# critic is a fixed landscape, and computing its weight gradients would be wasted. The weights of one player lie end to end in memory, so that
# Adam is one kernel instead of one per layer.

# %%
#| export
def _end_to_end(name: str, weights: list[nn.Parameter]) -> nn.Parameter:
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
#| export
class Players:
    "The networks of a game with their optimisers: who moves, and how."
    def __init__(self, game: Game, event, latent: int, seeds: range, device: torch.device, average: float):
        # Weights are drawn on the CPU, so that a seed means the same on every device.
        generator = [torch.Generator().manual_seed(seed_of(s, "init")) for s in seeds]
        nets = game.players(tuple(event), latent, len(seeds), generator)
        self.nets = {name: net.to(device) for name, net in nets.items()}
        self.movers = {word: [word] if word in nets else list(word) for word in game.turns.split()}
        absent = {name for names in self.movers.values() for name in names} - set(nets)
        if absent:
            raise ValueError(f"game: the turns {game.turns!r} name {sorted(absent)}, the players are {sorted(nets)}")
        self.weights = {name: [w for w in net.parameters() if w.requires_grad] for name, net in nets.items()}
        self.flat = {name: _end_to_end(name, weights) for name, weights in self.weights.items() if weights}
        self.game, self.adam = game, {}
        for name, flat in self.flat.items():
            self.adam[name] = torch.optim.Adam([flat], **self.rates(name), fused=device.type != "mps")
        self.average, self.averaged = average, copy.deepcopy(self.nets["G"]) if average else None

    def rates(self, name: str, game: Game | None = None) -> dict[str, Any]:
        "Adam's settings for a player, as the game, or one that might take its place, has them now: they may change while it runs."
        game = game or self.game
        lr, betas = ((v[name] if name in v else None) if isinstance(v, dict) else v for v in (game.lr, game.betas))
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"betas of {name}: expected two numbers, got {betas!r}")
        return {"lr": number(f"lr of {name}", lr, 0), "betas": tuple(number(f"betas of {name}", b, 0, .999999) for b in betas)}

    def ready(self, word: str) -> None:
        "Let gradients flow to those whose turn it is, and to nobody else."
        for name, weights in self.weights.items():
            for weight in weights:
                weight.requires_grad_(name in self.movers[word])
        for name in self.movers[word]:
            self.flat[name].grad.zero_()

    def move(self, word: str, loss: torch.Tensor) -> None:
        "One Adam step down the sum of the runs' losses."
        loss.backward(torch.ones_like(loss))  # the gradient of the sum over runs
        self.step(word)

    def step(self, word: str) -> None:
        "One Adam step down the gradients as they stand."
        for name in self.movers[word]:
            self.adam[name].param_groups[0].update(self.rates(name))
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


# %% [markdown]
# ## A run walks
# Everything is in place: streams, players, turns. A step goes through the turns once. Two things can end it early, and both are handled here rather than
# by every user: Ctrl-C, and a loss that stops being a number.

# %%
#| export
class Diverged(FloatingPointError):
    "A loss became NaN or infinite: at which step, in whose turn, in which runs, and what was saved last."


@contextmanager
def sparing() -> Iterator[None]:
    "One thread fewer for torch: the page that draws needs it, and two threads that wait for each other are slower than one."
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads - 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _graceful() -> Iterator[threading.Event]:
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
def _device(name: str) -> torch.device:
    "The torch device for a name; `ValueError` if it is unknown or absent."
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(1, device=torch.device(name)).device
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0][:100]
        raise ValueError(f"device: expected auto, cpu, cuda, cuda:N or mps, present on this machine; "
                         f"got {name!r} ({reason})") from None


# %%
#| export
class _Walk:
    "A game on a mode set that can be stepped; `Run` adds what one does with it."
    def __init__(self, game: Game | str,  # a game, or the name of a registered one
                 modes: Any,  # a mode set, or the name of a registered one
                 runs: int = 8,  # how many seeds, side by side
                 seed: int = 0,  # run r is seed + r
                 device: str = "auto",  # auto (cuda, else cpu), cpu, cuda, cuda:1, mps
                 batch: int = 256,  # examples per run and turn
                 average: float = 0.0,  # decay of a running average of G's weights for `sample`; 0: none
                 shards: int = 1,  # parts of a batch whose gradients are added up; see modelab.distributed
                 precision: str = "float32",  # or bf16: matrix products and convolutions in training
                 ):
        self.game = make("game", game) if isinstance(game, str) else game
        modes = make("modes", modes) if isinstance(modes, str) else modes
        if not all(hasattr(modes, part) for part in ("event", "sample", "to")):
            raise TypeError(f"modes: expected a mode set, or the name of a registered one, got {modes!r:.80}")
        self.runs, self.seed, self.batch = whole("runs", runs), whole("seed", seed, 0), whole("batch", batch)
        self.average, self.device = number("average", average, 0, .999999), _device(device)
        self.shards, self.precision = whole("shards", shards), one_of("precision", precision, ("float32", "bf16"))
        if batch % shards:
            raise ValueError(f"batch, shards: expected a batch that {shards} shards can share evenly, got {batch}")
        self.modes, self.words, self.seeds = modes.to(self.device), _words(self.game), range(seed, seed + runs)
        if hasattr(self.game, "suits"):
            self.game.suits(modes)
        fitting = max(2, min(64, math.prod(modes.event)))
        self.latent = fitting if self.game.latent is None else whole("latent", self.game.latent)
        self.players = Players(self.game, modes.event, self.latent, self.seeds, self.device, self.average)
        self.steps, self._checked, self.saved = 0, 0, None  # steps done, losses checked, last checkpoint
        self.torn = False  # whether the last step was cut in half, by an error or a second Ctrl-C
        self._losses = {word: torch.empty(1024, runs, device=self.device) for word in self.words}  # grows by doubling
        self._streams: dict[str, list[torch.Generator]] = {}
        self.mine, self.add_up = range(shards), None  # the shards of this process, and how it adds up with others

    def generators(self, stream: str, *place: int) -> list[torch.Generator]:
        "One generator per run, seeded by (seed, stream, place)."
        own = self._streams.setdefault(stream, [torch.Generator(self.device) for _ in self.seeds])
        return [g.manual_seed(seed_of(s, stream, *place)) for g, s in zip(own, self.seeds)]

    def real(self, n: int, generator: list[torch.Generator], only: Sequence[int] | None = None) -> torch.Tensor:
        "Real examples `(runs, n, *event)`, of the modes in `only`; None: of all."
        draw = self.modes.sample if only is None else functools.partial(members, self.modes, only)
        return torch.stack([draw(n, generator=g) for g in generator])

    def noise(self, n: int, generator: list[torch.Generator]) -> torch.Tensor:
        "Latents `(runs, n, latent)`."
        draw = getattr(self.game, "noise", randn)
        return draw(self.runs, n, self.latent, generator=generator, device=self.device)

    @contextmanager
    def _narrow(self) -> Iterator[None]:
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

    def _turn(self, place: int, word: str) -> torch.Tensor:
        "One turn: the gradient of the mean over the batch, shard by shard, then a step down it; the loss per run."
        self.players.ready(word)
        total = torch.zeros(self.runs, device=self.device)
        for shard in self.mine:
            turn = Turn(self, self.steps, place, *[shard] * (self.shards > 1))
            with self._narrow():
                loss = getattr(self.game, f"loss_{word}")(turn)
            if loss.shape != (self.runs,):
                raise ValueError(f"game: loss_{word} should return one value per run, shape ({self.runs},), "
                                 f"got {tuple(loss.shape)}")
            loss.backward(torch.full_like(loss, 1 / self.shards))  # of the sum over runs
            total += loss.detach() / self.shards
        if self.add_up:
            for part in [*(self.players.flat[name].grad for name in self.players.movers[word]), total]:
                self.add_up(part)
        self.players.step(word)
        return total

    def _make_room(self) -> None:
        "Twice as much of it for losses, where there is none left for this step's."
        for word, rows in self._losses.items():
            if self.steps == len(rows):
                self._losses[word] = torch.cat([rows, torch.empty_like(rows)])

    def _one_step(self) -> None:
        "One pass through the turns."
        self.torn = True
        losses = {word: self._turn(place, word) for place, word in enumerate(self.words)}
        self._make_room()
        for word, loss in losses.items():
            self._losses[word][self.steps].copy_(loss)
        self.players.follow()
        self.steps, self.torn = self.steps + 1, False


# %% [markdown]
# `Run` is that, plus what one does with a run: step it many times, sample from it, measure it, keep it.

# %%
#| export
class Run(_Walk):
    """A game played by several seeds at once; its state after n steps depends on the configuration and n alone.

    >>> run = Run("minimax", "ring", runs=4, device="cpu").step(10)
    >>> run.losses["G"].shape, run.sample(100).shape  # (steps, runs) and (runs, n, *event)
    (torch.Size([10, 4]), torch.Size([4, 100, 2]))
    """
    def step(self, n: int = 1,  # steps; each is one pass through the game's turns
             progress: bool | None = None,  # a progress bar; None: in a terminal only
             ) -> Run:
        "Train `n` steps. Ctrl-C ends after the present step and keeps it; a loss not finite raises `Diverged`."
        hidden = not (sys.stderr.isatty() if progress is None else progress)
        with _graceful() as stop, tqdm(range(whole("n", n, 0)), disable=hidden, unit="step", leave=False) as bar:
            for i in bar:
                self._one_step()
                if i % 64 == 63 or i == n - 1 or stop.is_set():
                    self._check()
                if stop.is_set():
                    raise KeyboardInterrupt(f"stopped after step {self.steps}; everything up to it is kept")
        return self

    def _check(self) -> None:
        "Raise `Diverged` at the first loss since the last check that is not finite."
        fresh = {word: rows[self._checked:self.steps] for word, rows in self._losses.items()}
        wrong = [(int(at), word, int(run)) for word, rows in fresh.items() for at, run in (~rows.isfinite()).nonzero()]
        if wrong:
            at, word, run = min(wrong)
            kept = f"the last checkpoint is {self.saved}" if self.saved else "no checkpoint was saved"
            raise Diverged(f"the loss of {word} is not finite at step {self._checked + at}, "
                           f"seed {self.seeds[run]}; {kept}")
        self._checked = self.steps

    @property
    def losses(self) -> dict[str, torch.Tensor]:
        "Loss of each turn, `(steps, runs)`; of its last pass where a turn comes several times in a step."
        return {word: rows[:self.steps].cpu().clone() for word, rows in self._losses.items()}

    @torch.no_grad()
    def sample(self, n: int,  # samples per run
               raw: bool = False,  # the present weights even where a running average is kept
               ) -> torch.Tensor:  # (runs, n, *event)
        "What the generators make at this step: the same each time it is asked, and training does not notice."
        net = self.players.nets["G"] if raw or self.players.averaged is None else self.players.averaged
        z, training = self.noise(whole("n", n), self.generators("evaluation", self.steps)), net.training
        net.eval()
        try:
            return torch.cat([net(part) for part in z.split(4096, dim=1)], dim=1)
        finally:
            net.train(training)

    def coverage(self, protocol: str = "pacgan",  # a name in `modelab.coverage.PROTOCOLS`
                 n: int | None = None,  # samples per run; None: as many as the protocol asks for
                 ) -> list[measures.Coverage]:
        "What each run covers of its modes."
        asked = measures.PROTOCOLS[one_of("protocol", protocol, measures.PROTOCOLS)].samples(self.modes)
        return measures.coverages(self.sample(asked if n is None else n), self.modes, protocol)

    def save(self, path: str | Path) -> Path:
        "Write a checkpoint; see `write`."
        self.saved = write(self, path)
        return self.saved

    @classmethod
    def load(cls, path: str | Path, game: Game | None = None, modes: Any = None, device: str = "auto") -> Run:
        "Read a checkpoint and go on as if nothing had happened; see `read`."
        return read(cls, path, game, modes, device)

    def __repr__(self) -> str:
        seeds = f"seeds {self.seed}–{self.seeds[-1]}" if self.runs > 1 else f"seed {self.seed}"
        return f"{type(self.game).__name__} on {self.modes!r}, {seeds}, {self.steps} steps on {self.device}"


# %%
run = Run(Minimax(width=64), ring(radius=2, std=.02), runs=8, batch=128, device="cpu")
run.step(steps(1500))
run


# %% [markdown]
# Eight generators of the ring, side by side. Same game, same data, same settings; only the seed differs. Left to itself a run takes the graphics card if there is one; the chapters ask for the CPU, where nets this small lose no time and the numbers are those you see printed.

# %%
def eight(run, n: int = 300):
    "The samples of the first eight runs, drawn over the modes."
    figure, panels = axes(2, 4, size=(1.9, 1.9), sharex=True, sharey=True)
    for ax, x, seed in zip(panels.flat, run.sample(n), run.seeds):
        scatter(ax, run.modes.centers, x, limit=3, size=4)
        ax.set(title=f"seed {seed}", xlabel="", ylabel="")
        ax.label_outer()
    captured = [int(c.captured) for c in run.coverage()]
    return picture(figure, f"Eight generators of a ring of eight modes after {run.steps} steps; modes captured: {captured}")


# %%
eight(run)

# %%
measures.table(run.coverage())

# %% [markdown]
# ## Looking no longer changes it
# The same experiment as at the start, with the engine: one run is looked at after every ten steps, the other never.

# %%
quiet, watched = (Run(Minimax(width=32), ring(radius=2, std=.02), runs=2, batch=64, device="cpu") for _ in range(2))
quiet.step(40)
for _ in range(4):
    watched.step(10).sample(9)

# %%
assert torch.equal(quiet.sample(50), watched.sample(50)) and torch.equal(quiet.losses["G"], watched.losses["G"])

# %% [markdown]
# And seed 5 of eight is seed 5. The numbers it draws are the same to the last bit; the stacked matrix product may round differently from a single one, so the
# weights agree to rounding for as long as the game itself does not amplify rounding:

# %%
of_eight = Run(Minimax(width=32), ring(radius=2, std=.02), runs=8, batch=64, device="cpu").step(10)
alone = Run(Minimax(width=32), ring(radius=2, std=.02), runs=1, seed=5, batch=64, device="cpu").step(10)
gap = (of_eight.sample(100)[5] - alone.sample(100)[0]).abs().max().item()
assert gap < 1e-4
gap

# %% [markdown]
# ## Rates that fade
# A game's rates are read at every step, so they may change on the way. What most chapters want is constant rates for half of the walk, and then a slope towards zero, in a few stairs.

# %%
#| export
def linear_decay(run: Run,
                 n: int,  # steps; what does not divide by `parts` is left out
                 parts: int = 10,  # stairs
                 ) -> Run:
    "Train `n` steps, the game's rates falling over the second half; afterwards the game has its own again."
    if not isinstance(run, Run):
        raise TypeError(f"run: expected a Run, got {type(run).__name__}")
    n, parts, lr = whole("n", n, 0), whole("parts", parts), run.game.lr
    try:
        for part in range(parts):
            share = min(1, 2 * (1 - part / parts))
            run.game.lr = {name: rate * share for name, rate in lr.items()} if isinstance(lr, dict) else lr * share
            run.step(n // parts)
    finally:
        run.game.lr = lr
    return run

# %%
fading, by_hand = (Run(Minimax(width=16), "ring", runs=2, device="cpu") for _ in range(2))
linear_decay(fading, 8, parts=4)
for rate in (1e-3, 1e-3, 1e-3, 5e-4):
    by_hand.game.lr = rate
    by_hand.step(2)
assert torch.equal(fading.sample(5), by_hand.sample(5)) and fading.game.lr == 1e-3

# %% [markdown]
# ## Kept, killed, resumed
# A checkpoint holds tensors (weights, Adam's moments, losses) and a note in JSON, in the safetensors format: nothing in it is executed when it
# is read. It is written to a temporary name and then renamed, so whoever pulls the plug in the middle still has the one before. The
# tests kill a process in the middle of saving fifty times. `Run.load` takes a folder, too, such as `modelab train` writes, and reads its newest
# checkpoint. Who may write where, and how long, is [chapter 28](../6_workshop/28_distributed.ipynb)'s business.

# %%
#| export
FORMAT = "modelab-run-1"


def write(run: Run,
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
    note = json.dumps({"format": FORMAT, "steps": run.steps, **config(run)})
    replace(path, save({k: v.detach().cpu().clone() for k, v in tensors.items()}, metadata={"modelab": note}))
    return path


def config(run: Run) -> dict[str, Any]:
    "Everything that the state after n steps depends on besides n, as plain JSON."
    spec = getattr(run.game, "spec", None)
    game = spec and {k: v if k == "name" else plain(getattr(run.game, k)) for k, v in spec.items()}
    return {"game": game, "modes": getattr(run.modes, "spec", None), "runs": run.runs, "seed": run.seed,
            "batch": run.batch, "average": run.average, "shards": run.shards, "precision": run.precision}


# %%
#| export
def read(cls: type[Run],
         path: str | Path,  # a checkpoint, or a folder of them
         game: Game | None = None,  # needed where the game was made with networks of your own
         modes: Any = None,  # needed where the mode set has no name
         device: str = "auto",  # may differ from where it was saved
         ) -> Run:
    "Read a checkpoint; `FileNotFoundError` if there is none, `ValueError` if it is damaged or does not fit."
    path, note, tensors = _newest(Path(path)) if Path(path).is_dir() else (path, *_open(path))
    for kind, given in (("game", game), ("modes", modes)):
        if given is None and note[kind] is None:
            raise ValueError(f"{kind}: {path} was saved with a {kind} that has no name; pass {kind}=")
    game, modes = game or make("game", note["game"]), modes or make("modes", note["modes"])
    try:
        run = cls(game, modes, device=device, **{k: note[k] for k in SETTINGS})
        run.players.restore(tensors)
        for word, rows in run._losses.items():
            run._losses[word] = torch.cat([tensors[f"loss/{word}"].to(run.device), rows])
    except (RuntimeError, KeyError, MemoryError) as error:
        raise ValueError(f"path: {path} does not fit {type(game).__name__} on {modes!r}: {error}") from error
    run.steps = run._checked = note["steps"]
    run.saved = Path(path)
    return run


def checkpoints(folder: str | Path) -> list[Path]:
    "The checkpoints in a folder, the newest first; those of its only group of seeds if it holds none itself."
    found = sorted(Path(folder).glob("step-*.safetensors"), reverse=True)
    groups = [] if found else sorted({p.parent for p in Path(folder).glob("seeds-*/step-*.safetensors")})
    if len(groups) > 1:
        raise ValueError(f"path: {folder} holds {len(groups)} groups of seeds, name one of them: "
                         + ", ".join(p.name for p in groups))
    return found or (checkpoints(groups[0]) if groups else [])


def _newest(folder: Path) -> tuple[Path, dict, dict[str, torch.Tensor]]:
    "The newest checkpoint of a folder that can be read, its note and its tensors; a warning names those that cannot."
    damaged = []
    for path in checkpoints(folder):
        try:
            return path, *_open(path)
        except ValueError as error:
            damaged.append(str(error))
            warnings.warn(f"{error}; trying the one before", stacklevel=3)
    if damaged:
        raise ValueError(f"path: no checkpoint in {folder} can be read; the first says: {damaged[0]}")
    raise FileNotFoundError(f"path: there is no checkpoint in {folder}")


# %% [markdown]
# What comes from outside is checked before anything is built from it: a note that is no JSON object, a count that is no count, loss curves of another
# length than the steps, more seeds than numbers in the file.

# %%
#| export
SETTINGS = {"runs": 1, "seed": 0, "batch": 1, "average": None, "shards": 1, "precision": None}  # least value of a count


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
    if not isinstance(note, dict) or note.get("format") != FORMAT:
        got = note.get("format") if isinstance(note, dict) else note
        raise ValueError(f"path: {path} is no modelab run: expected format {FORMAT}, got {got!r:.60}")
    note = {"shards": 1, "precision": "float32", **note}  # runs saved before there were any
    try:
        for name, least in {**SETTINGS, "steps": 0}.items():
            if least is not None:
                whole(name, note[name], least)
        for kind in ("game", "modes"):
            if note[kind] is not None and not isinstance(note[kind].get("name"), str):
                raise TypeError(f"{kind}: expected a name")
        lengths = {tuple(v.shape) for k, v in tensors.items() if k.startswith("loss/")}
        if lengths != {(note["steps"], note["runs"])} or note["runs"] > sum(v.numel() for v in tensors.values()):
            raise ValueError(f"{note['steps']} steps of {note['runs']} runs, but losses of shape {lengths}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"path: {path} is not a checkpoint that modelab wrote ({error})") from error
    return note, tensors


# %% [markdown]
# Twenty steps, saved, resumed for twenty more, against forty in one go. Equal means equal: every weight, every moment of Adam.

# %%
folder = Path(tempfile.mkdtemp())
halfway = Run(Minimax(width=32), ring(radius=2, std=.02), runs=2, batch=64, average=.9, device="cpu").step(20)
resumed = Run.load(halfway.save(folder / "run.safetensors"), device="cpu").step(20)
straight = Run(Minimax(width=32), ring(radius=2, std=.02), runs=2, batch=64, average=.9, device="cpu").step(40)

# %%
there, here = straight.players.state(), resumed.players.state()
assert there.keys() == here.keys() and all(torch.equal(there[k], here[k]) for k in there)
assert torch.equal(straight.losses["D"], resumed.losses["D"])
len(there), resumed

# %% [markdown]
# A damaged file is refused with its name, before anything is built from it:

# %%
whole_file = (folder / "run.safetensors").read_bytes()
(folder / "half.safetensors").write_bytes(whole_file[: len(whole_file) // 2])
refused(Run.load, folder / "half.safetensors").replace(str(folder), "…")

# %% [markdown]
# And a run whose loss stops being a number stops with it, and says where. Here a learning rate of a million does it:

# %%
wild = Run(Minimax(width=32, lr=1e6), ring(radius=2, std=.02), runs=2, batch=64, device="cpu")
try:
    wild.step(200)
    message = "it survived"
except Diverged as error:
    message = str(error)
assert "is not finite at step" in message
message


# %% [markdown]
# ## Under your hands
# The ring again, recorded every few steps. Press play and watch seed 0: points condense on modes, wander along the ring, and settle.

# %%
def frame(run, seed: int = 0):
    "One seed's samples over the real modes."
    figure, ax = axes(size=(3.2, 3.2))
    scatter(ax, run.modes.centers, run.sample(400)[seed], limit=3)
    ax.set_title(f"step {run.steps}")
    good = run.modes.assign(run.sample(400)[seed])
    return picture(figure, f"{good[0][good[1]].unique().numel()} of {run.modes.n_modes} modes hold a good sample")


# %%
film_run, frames = Run(Minimax(width=64), ring(radius=2, std=.02), runs=1, batch=128, device="cpu"), []
for _ in range(16):
    frames.append(frame(film_run))
    film_run.step(steps(100, fast=5))

# %%
film = Film(frames, [f"step {i * steps(100, fast=5)}" for i in range(len(frames))])
film

# %%
film.widget.slider.value = 15
assert film.widget.image.value == frames[15].png
film.widget.slider.value = 0


# %% [markdown]
# ## A game of your own in ten lines
# Least squares instead of cross-entropy. The engine, the coverage table and the checkpoints come for free; `@game` would make it known to the command line too.

# %%
@dataclass
class LeastSquares:
    "D aims at 1 for real and 0 for generated; G aims at 1."
    lr: float = 1e-3
    betas: tuple = (.5, .9)
    latent: int = 2
    turns = "D G"
    def players(self, event, latent, runs, generator):
        return {"G": mlp(latent, event, 64, runs=runs, generator=generator),
                "D": mlp(event, (), 64, runs=runs, generator=generator)}
    def loss_D(self, t):
        return (t.D(t.x) - 1).square().mean(-1) + t.D(t.G(t.z)).square().mean(-1)
    def loss_G(self, t):
        return (t.D(t.G(t.z)) - 1).square().mean(-1)


# %%
mine = Run(LeastSquares(), ring(radius=2, std=.02), runs=8, batch=128, device="cpu").step(steps(600))
measures.table(mine.coverage())

# %% [markdown]
# Your own networks go in the same way: `Minimax(G=make_G, D=make_D)` with functions that make plain modules, one per run.

# %%
from torch import nn
make_G = lambda: nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
make_D = lambda: nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))
own = Run(Minimax(G=make_G, D=make_D), ring(radius=2, std=.02), runs=2, batch=64, device="cpu").step(10)
tuple(own.sample(5).shape)

# %% [markdown]
# ## What it costs
# Eight seeds at once against eight loops written by hand, same networks, same batch, same optimiser, measured by
# `python benchmarks/training.py` and recorded in `benchmarks/training.json`. Absolute times depend on the machine; ratios travel better.

# %%
recorded("training")

# %% [markdown]
# On a graphics card a single small loop is all waiting, and company costs next to nothing: 64 seeds at once take less time than three loops (`--runs 64 --out benchmarks/training_gpu.json`).

# %%
recorded("training_gpu")


# %% [markdown]
# ## Exercises
# **1.** Write a game in which the discriminator moves five times a step. You need one line: which? Answer with a class.

# %%
class Patient(Minimax):
    turns = "D D D D D G"

@exercise(accepts=[Patient], rejects=[Minimax, type("Lazy", (Minimax,), {"turns": "D G G G G G"})])
def grade_turns(answer):
    run = Run(answer(width=8), ring(), runs=1, batch=8, device="cpu").step(1)
    taken = [int(run.players.state()[f"adam/{name}/step"]) for name in "DG"]
    assert taken == [5, 1], f"in one step D moved {taken[0]} times and G {taken[1]} times"


# %%
answer = ...
grade_turns(answer)


# %% [markdown]
# **2.** A colleague seeds the noise of step $n$ with `seed + n`. Seeds 0 to 7, steps 0 to 999. How many of the 8,000 noise batches are distinct?

# %%
@exercise(accepts=[1007], rejects=[8000, 1000, 1008, 8])
def grade_streams(answer):
    assert answer == len({seed + n for seed in range(8) for n in range(1000)}), "seed 1 at step 0 draws what seed 0 draws at step 1"


# %%
answer = ...
grade_streams(answer)

# %% [markdown]
# ## Recap
# - Shared random streams make looking part of the experiment. A stream per purpose and step does not.
# - A game is players, turns and one loss per turn. Everything else is the engine's.
# - Save and resume equals never having stopped, to the bit.
# - Divergence and Ctrl-C name the step; nothing that was done is lost.
#
# **For later.** Why does a checkpoint need no random state here? Why is each run's loss summed and not averaged? What would break if evaluation drew from the data stream?
