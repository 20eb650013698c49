"""Questions that people ask about collapse, as experiments: what chapter 4.7 shows.

    python benchmarks/questions.py               # all parts, some hours on one core; goes on where it was stopped
    python benchmarks/questions.py condition     # one part; `condition:IMLE` the settings with these words in their name

Parts: `condition` (does a conditional generator ignore z), `ones` (does a GAN on digits end as ones), `turns` (two turns of G for one
of D), `few` (140 training pictures), `unrolled` (the toy of the unrolled GAN). `ones` reads MNIST from MODELAB_DATA.

All seeds of a setting train side by side, each with random numbers of its own, and with the same ones in every setting. A row is one
seed of one setting. Rows are written while a setting trains, and say how many steps they hold.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from rows import asked, chosen, known, packed, record
from torch import Tensor

from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import grid, ring
from modelab.data.mnist import mnist
from modelab.evaluation.copies import copies
from modelab.evaluation.coverage import Coverage
from modelab.evaluation.precision_recall import precision_recall
from modelab.methods.minimax import Minimax
from modelab.methods.wasserstein import ZeroCentred
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

FILE = Path(__file__).with_suffix(".json")
Net = list[Tensor]  # weight (runs, in, out) and bias (runs, 1, out) of each layer
Look = Callable[[int], list[dict]]  # what is seen of each seed after so many steps


class Draws:
    """Random numbers of several seeds, one generator for each: a seed draws the same alone and beside others."""

    def __init__(self, seeds: Sequence[int], stream: int = 0):
        self.generators = [torch.Generator().manual_seed(1_000_003 * stream + seed) for seed in seeds]

    def normal(self, *shape: int) -> Tensor:
        return torch.stack([torch.randn(shape, generator=g) for g in self.generators])

    def uniform(self, *shape: int) -> Tensor:
        return torch.stack([torch.rand(shape, generator=g) for g in self.generators])

    def whole(self, below: int, *shape: int) -> Tensor:
        return torch.stack([torch.randint(below, shape, generator=g) for g in self.generators])

    def of(self, source: Callable[[int, torch.Generator], Tensor], n: int) -> Tensor:
        return torch.stack([source(n, g) for g in self.generators])


def layers(sizes: Sequence[int], draws: Draws, gain: float = 2.) -> Net:
    """Weights N(0, gain / inputs) and zero biases, for each seed."""
    net = []
    for a, b in itertools.pairwise(sizes):
        net += [draws.normal(a, b) * (gain / a) ** .5, torch.zeros(len(draws.generators), 1, b)]
    return [w.requires_grad_() for w in net]


def apply(net: Net, x: Tensor, hidden: Callable[[Tensor], Tensor] = torch.relu) -> Tensor:
    """The network's answers to (runs, n, in)."""
    for at in range(0, len(net), 2):
        x = torch.baddbmm(net[at + 1], x, net[at])
        x = hidden(x) if at + 2 < len(net) else x
    return x


def adam(net: Net, rate: float, betas: tuple[float, float] = (.9, .999)) -> torch.optim.Adam:
    return torch.optim.Adam(net, rate, betas, fused=True)


def descend(player: torch.optim.Adam, net: Net, loss: Tensor) -> None:
    """One step down a loss; no other network gets a gradient."""
    for w, g in zip(net, torch.autograd.grad(loss, net)):
        w.grad = g
    player.step()


DRAWN = "points", "pictures"  # kept of the last look only


def watched(part: str, name: str, settings: dict, seeds: Sequence[int], train: Iterator[int], look: Look, steps: int) -> None:
    """Train, look at each step that `train` yields, and record one row per seed; nothing if all rows are whole.

    After a stop a setting begins anew, and its rows stay until it is further than they are.
    """
    titles = [f"{name}, seed {seed}" for seed in seeds]
    rows = known(FILE, part)
    begun = min(rows.get(title, {"steps": 0})["steps"] for title in titles)
    if begun >= steps:
        return
    seen: list[list[dict]] = [[] for _ in seeds]
    start, last = time.process_time(), time.monotonic()
    for step in train:
        for found, one in zip(seen, look(step)):
            found[-1:] = [{k: v for k, v in old.items() if k not in DRAWN} for old in found[-1:]] + [{"step": step} | one]
        if step == steps or (step > begun and time.monotonic() - last > 120):
            last = time.monotonic()
            for title, found in zip(titles, seen):
                record(FILE, part, {"setting": title, "name": name, **settings, "steps": step, "looks": found})
            print(f"{part}: {name}, step {step} of {steps}, {time.process_time() - start:.0f} s, "
                  f"{[{k: v for k, v in found[-1].items() if not isinstance(v, str)} for found in seen]}", flush=True)


# A conditional generator that ignores z: the condition is a point on a circle, the answer is on a ring of eight around it.

SPOTS = ring(8, 1., .1).centers.float()  # around the condition, which is on a circle of radius 3
SD = .1


def answers(angle: Tensor, kind: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Conditions and true answers, each (..., 2)."""
    condition = torch.stack([angle.cos(), angle.sin()], -1)
    return condition, 3 * condition + SPOTS[kind] + SD * noise


@dataclass(frozen=True)
class Conditional:
    """What G descends besides the adversarial loss, each with its weight; with `imle` there is no adversarial loss."""
    l1: float = 0.
    seeking: float = 0.  # 1 / (distance of two answers to one condition / distance of their z)
    imle: int = 0  # latents for each condition, of which the nearest answer is pulled to the true one

    def loss(self, g: Net, d: Net, condition: Tensor, y: Tensor, draws: Draws) -> Tensor:
        """The sum over seeds."""
        n = y.shape[1]
        if self.imle:
            many = condition.repeat_interleave(self.imle, 1)
            z = draws.normal(n * self.imle, 2)
            with torch.no_grad():
                far = (answered(g, many, z).unflatten(1, (n, self.imle)) - y[:, :, None]).square().sum(-1)
                best = far.argmin(-1) + self.imle * torch.arange(n)
            return (answered(g, condition, z.gather(1, best[..., None].expand(-1, -1, 2))) - y).square().sum(-1).mean(1).sum()
        z = draws.normal(n, 2)
        fake = answered(g, condition, z)
        loss = F.softplus(-scored(d, condition, fake)).mean(1)
        if self.l1:
            loss = loss + self.l1 * (fake - y).abs().mean((1, 2))
        if self.seeking:
            other = draws.normal(n, 2)
            second = answered(g, condition, other)
            loss = loss + F.softplus(-scored(d, condition, second)).mean(1)
            ratio = (fake - second).abs().mean((1, 2)) / (z - other).abs().mean((1, 2))
            loss = loss + self.seeking / (ratio + 1e-5)
        return loss.sum()


def answered(g: Net, condition: Tensor, z: Tensor) -> Tensor:
    return apply(g, torch.cat([condition, z], -1))


def scored(d: Net, condition: Tensor, y: Tensor) -> Tensor:
    return apply(d, torch.cat([condition, y], -1))[..., 0]


def slopes(d: Net, x: Tensor) -> Tensor:
    """E ‖∇D‖² / 2 at x, for each seed, differentiable in D's weights."""
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(apply(d, x).sum(), x, create_graph=True)
    return slope.square().sum(-1).mean(1) / 2


def train_conditional(form: Conditional, seeds: Sequence[int], steps: int, every: int, g: Net, d: Net, batch: int = 64) -> Iterator[int]:
    """Non-saturating game with R1, weight .1, beside whatever `form` adds; Adam 1e-3, (.5, .999), rates fall over the second half."""
    draws = Draws(seeds, 1)
    players = adam(g, 1e-3, (.5, .999)), adam(d, 1e-3, (.5, .999))
    for step in range(1, steps + 1):
        for player in players:
            player.param_groups[0]["lr"] = 1e-3 * min(1., max(.02, 2 * (1 - step / steps)))
        condition, y = answers(2 * math.pi * draws.uniform(batch), draws.whole(8, batch), draws.normal(batch, 2))
        if not form.imle:
            fake = answered(g, condition, draws.normal(batch, 2)).detach()
            loss = F.softplus(-scored(d, condition, y)).mean(1) + F.softplus(scored(d, condition, fake)).mean(1)
            descend(players[1], d, (loss + .1 * slopes(d, torch.cat([condition, y], -1))).sum())
        descend(players[0], g, form.loss(g, d, condition, y, draws))
        if step % every == 0:
            yield step


@torch.no_grad()
def seen_by_condition(g: Net, seeds: Sequence[int], conditions: int = 32, n: int = 200) -> list[dict]:
    """For each seed, means over conditions: modes with a fifth of their share, good answers, spread, recall; answers to one condition."""
    draws = Draws([0] * len(seeds), 2)
    angle = (torch.arange(conditions) * 2 * math.pi / conditions).repeat_interleave(n)
    condition, real = answers(angle, draws.whole(8, len(angle)), draws.normal(len(angle), 2))
    fake = torch.cat([answered(g, c, z) for c, z in zip(condition.expand(len(seeds), -1, -1).split(3200, 1),
                                                       draws.normal(len(angle), 2).split(3200, 1))], 1)
    found = []
    for x, y in zip(fake, real):
        x, y = x.unflatten(0, (conditions, n)), y.unflatten(0, (conditions, n))
        off = torch.cdist(x - 3 * condition.unflatten(0, (conditions, n)), SPOTS.expand(conditions, 8, 2))
        near, mode = off.min(-1)
        good = near <= 3 * SD
        counts = (F.one_hot(mode, 8) * good[..., None]).sum(1)
        spread = (x - x.mean(1, keepdim=True)).norm(dim=-1).mean() / (y - y.mean(1, keepdim=True)).norm(dim=-1).mean()
        recall = [precision_recall(b, a, k=5).recall for a, b in zip(x[:8], y[:8])]
        found.append({"modes": round(float((counts >= n / 8 / 5).sum(1).float().mean()), 3), "good": round(float(good.float().mean()), 4),
                      "spread": round(float(spread), 4), "recall": round(sum(recall) / len(recall), 4),
                      "points": points(x[0, :100])})
    return found


def points(x: Tensor) -> str:
    """Points as short text: x and y in hundredths."""
    return " ".join(f"{a:.0f},{b:.0f}" for a, b in (100 * x).tolist())


CONDITIONAL = {"adversarial + 100 L1": Conditional(l1=100.), "adversarial alone": Conditional(), "IMLE per condition": Conditional(imle=10),
               "adversarial + 100 L1 + mode seeking": Conditional(l1=100., seeking=1.),
               "adversarial + mode seeking": Conditional(seeking=1.), "adversarial + 10 L1 + mode seeking": Conditional(l1=10., seeking=1.)}


def condition(only: str, steps: int = 4000, seeds: Sequence[int] = range(8), every: int = 1000) -> None:
    """Each form of the generator's loss."""
    for name, form in chosen(CONDITIONAL, only):
        start = Draws(seeds, 3)
        g, d = layers((4, 64, 64, 2), start), layers((4, 64, 64, 1), start)
        watched("condition", name, {}, seeds, train_conditional(form, seeds, steps, every, g, d),
                lambda step, g=g: seen_by_condition(g, seeds), steps)


# Digits that end as ones: the fully connected GAN that is the first one of many people.

@dataclass(frozen=True)
class FirstGAN:
    """784–128–1 and 100–128–784, ReLU, sigmoid pixels in [0, 1], Adam 1e-3, (.9, .999), batch 64, non-saturating."""
    r1: float = 0.
    pack: int = 1  # pictures that D sees at once; the batch stays 64 pictures
    width: int = 128

    def players(self, pixels: int, seeds: Sequence[int]) -> tuple[Net, Net]:
        start = Draws(seeds, 4)
        return (layers((100, self.width, pixels), start), layers((pixels * self.pack, self.width, 1), start))

    def train(self, source: Callable[[int, torch.Generator], Tensor], seeds: Sequence[int], steps: int, every: int,
              g: Net, d: Net, batch: int = 64) -> Iterator[int]:
        """Yields every so many steps. `source` gives pictures as rows."""
        data, noise, players = Draws(seeds, 5), Draws(seeds, 6), (adam(g, 1e-3), adam(d, 1e-3))
        together = (len(seeds), batch // self.pack, -1)
        for step in range(1, steps + 1):
            x = data.of(source, batch).reshape(together)
            fake = apply(g, noise.normal(batch, 100)).sigmoid().detach().reshape(together)
            loss = F.softplus(-apply(d, x)).mean((1, 2)) + F.softplus(apply(d, fake)).mean((1, 2))
            descend(players[1], d, (loss + self.r1 * slopes(d, x) if self.r1 else loss).sum())
            fake = apply(g, noise.normal(batch, 100)).sigmoid().reshape(together)
            descend(players[0], g, F.softplus(-apply(d, fake)).mean((1, 2)).sum())
            if step % every == 0:
                yield step


@torch.no_grad()
def made(g: Net, n: int, runs: int, side: int) -> Tensor:
    """Pictures (runs, n, 1, side, side) in [-1, 1]; the same latents at every look."""
    return (apply(g, Draws([0], 7).normal(n, 100).expand(runs, -1, -1)).sigmoid() * 2 - 1).unflatten(-1, (1, side, side))


def as_rows(modes: Any) -> Callable[[int, torch.Generator], Tensor]:
    """Draws pictures of a set as rows in [0, 1]."""
    return lambda n, generator: modes.sample(n, generator).flatten(1).add(1).div(2)


def class_shares(modes: Any, x: Tensor) -> list[dict]:
    """Shares of the ten digits, in thousandths, among all pictures; one counts where the judge is sure."""
    found = []
    for pictures in x:
        digit, sure = modes.assign(pictures)
        shares = torch.bincount(digit[sure], minlength=10) / len(digit)
        found.append({"ones": round(float(shares[1]), 4), "most": int(shares.argmax()), "share": round(float(shares.max()), 4),
                      "lost": int((shares < .025).sum()), "sure": round(float(sure.float().mean()), 4),
                      "shares": " ".join(f"{1000 * s:.0f}" for s in shares), "pictures": packed(pictures[:10])})
    return found


FIRST = {"as it is": (FirstGAN(), 100_000), "R1": (FirstGAN(r1=.1), 50_000), "packs of two": (FirstGAN(pack=2), 50_000)}


def ones(only: str, steps: int | None = None, seeds: Sequence[int] = range(3), every: int = 1000, modes: Any = None) -> None:
    """Class shares along a long run."""
    modes = modes or mnist()
    side = modes.event[-1]
    for name, (form, walk) in chosen(FIRST, only):
        (g, d), walk = form.players(side * side, seeds), steps or walk
        watched("ones", name, {"judge": round(modes.judge.accuracy, 4)}, seeds, form.train(as_rows(modes), seeds, walk, every, g, d),
                lambda step, g=g: class_shares(modes, made(g, 1000, len(seeds), side)), walk)


# Two turns of G for one of D.

@dataclass(kw_only=True)
class TwoTurns(Minimax):
    """G moves twice for one move of D."""
    turns: ClassVar[str] = "D G G"


TURNS = {"ring of 8": (lambda: ring(8, 2., .1), 5000), "stacked digits": (stacked_digits, 5000),
         "grid of 25": (lambda: grid(5, 2., .1), 5000)}


def turns(only: str, seeds: Sequence[int] = range(8), looks: int = 10, steps: int | None = None) -> None:
    """Captured modes over time, of both orders, with the rates of DCGAN."""
    settings = {f"{name}, {order}": (make, walk, game) for name, (make, walk) in TURNS.items()
                for order, game in (("one turn of G", Minimax), ("two turns of G", TwoTurns))}
    for name, (make, walk, game) in chosen(settings, only):
        walk = steps or walk
        run = Run(game(networks=Networks(latent=32), optimiser=Optimiser(2e-4, (.5, .999))), make(), runs=len(seeds), seed=seeds[0],
                  batch=64, device="cpu")
        watched("turns", name, {"of": run.modes.n_modes}, seeds, moving(run, walk, walk // looks),
                lambda step, run=run: [held_modes(c) for c in run.coverage()], walk)


def held_modes(found: Coverage) -> dict:
    """Modes with one good sample, and modes with a quarter of their share in good samples."""
    held = found.tally[1] >= found.n / found.n_modes / 4
    return {"captured": int(found.captured), "held": int(held.sum()), "high": round(found.high_quality, 4), "tv": round(found.tv, 4)}


def moving(run: Run, steps: int, every: int) -> Iterator[int]:
    """The engine's own steps."""
    for step in range(every, steps + 1, every):
        run.step(every)
        yield step


# 140 training pictures.

FEW = 140


class Pictures:
    """A few pictures as a set to train on."""

    def __init__(self, x: Tensor):
        self.x, self.event = x, tuple(x.shape[1:])

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self.x[torch.randint(len(self.x), (n,), generator=generator)]

    def to(self, device: Any) -> Pictures:
        return self


def each_once(modes: Any, seed: int) -> Tensor:
    """Nearly every picture of a set, each once, in an order that the seed says."""
    x = modes.sample(50_000, torch.Generator().manual_seed(0)).unique(dim=0)
    return x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))]


def copied(train: Tensor, held: Tensor, made_now: Tensor, level: float) -> dict:
    """What the tests of copying say at one look, and the share of samples nearer to training pictures than to as many held-out ones."""
    report = copies(made_now, train, held, transformed=False, level=level)
    n, found = min(len(train), len(held)), report.findings["copies"]
    near, new = (torch.cdist(made_now.flatten(1), x[:n].flatten(1)).min(1).values for x in (train, held))
    return {"copies": found.alarm, "p": float(f"{found.p:.1e}"), "share": round(found.share, 3), "low": round(found.low, 3),
            "timid": report.findings["timid"].alarm, "nearer": round(float((near < new).float().mean()), 3)}


def few(only: str, steps: int = 20_000, seeds: Sequence[int] = range(3), every: int = 1000) -> None:
    """The GAN with R1 on 140 digits and on all; level .05 over all looks of a run."""
    held = each_once(digits().held_out, 0)
    for seed in seeds:
        for name, size in chosen({"140 digits": FEW, "all digits": None}, only):
            train = each_once(digits(), seed)[:size]
            run = Run(ZeroCentred(networks=Networks(latent=32)), Pictures(train), runs=1, seed=seed, batch=64, device="cpu")
            watched("few", name, {"pictures": len(train), "held": len(held)}, [seed], moving(run, steps, every),
                    lambda step, run=run, train=train: [copied(train, held, x, .05 * every / steps)
                                                        | {"pictures": packed(x[:10])} for x in run.sample(1000)], steps)


# The toy of the unrolled GAN.

@dataclass
class Adam:
    """Adam as a function: the weights after a step, and the next state; gradients flow through both. As in Keras, ε is outside."""
    rate: float
    mean: Net
    square: Net
    step: int = 0

    def __call__(self, net: Net, gradient: Sequence[Tensor]) -> tuple[Net, Adam]:
        t = self.step + 1
        mean = [.5 * m + .5 * g for m, g in zip(self.mean, gradient)]
        square = [.999 * v + .001 * g.square() for v, g in zip(self.square, gradient)]
        rate = self.rate * (1 - .999 ** t) ** .5 / (1 - .5 ** t)
        moved = [w - rate * m / (v.sqrt() + 1e-8) for w, m, v in zip(net, mean, square)]
        return moved, Adam(self.rate, mean, square, t)

    @classmethod
    def of(cls, net: Net, rate: float) -> Adam:
        return cls(rate, [torch.zeros_like(w) for w in net], [torch.zeros_like(w) for w in net])


def toy_loss(d: Net, x: Tensor, fake: Tensor) -> Tensor:
    """CE(real, 1) + CE(fake, 0), summed over seeds: what D descends, and what G ascends."""
    both = apply(d, torch.cat([x, fake], 1), torch.tanh)[..., 0]
    real, made_up = both.split((x.shape[1], fake.shape[1]), 1)
    return (F.softplus(-real).mean(1) + F.softplus(made_up).mean(1)).sum()


def unrolled_gradients(g: Net, d: Net, state: Adam, x: Tensor, z: Tensor, unroll: int) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Gradients for G, of minus the loss after `unroll` steps of D on this batch, and for D, of the loss as it is."""
    fake = apply(g, z, torch.tanh)
    now = toy_loss(d, x, fake)
    for_d = torch.autograd.grad(now, d, create_graph=unroll > 0, retain_graph=True)
    later, gradient, after = d, for_d, state
    for k in range(unroll):
        later, after = after(later, gradient)
        if k + 1 < unroll:
            gradient = torch.autograd.grad(toy_loss(later, x, fake), later, create_graph=True)
    loss = toy_loss(later, x, fake) if unroll else now
    return torch.autograd.grad(-loss, g), [w.detach() for w in for_d]


def orthogonal(sizes: Sequence[int], draws: Draws, gain: float = 1.4) -> Net:
    """Orthogonal weights of this gain, zero biases."""
    net = []
    for a, b in itertools.pairwise(sizes):
        weights = [torch.nn.init.orthogonal_(torch.empty(a, b), gain, generator=r) for r in draws.generators]
        net += [torch.stack(weights), torch.zeros(len(weights), 1, b)]
    return [w.requires_grad_() for w in net]


def circle(name: str) -> Tensor:
    """Eight places on the unit circle; the notebook's linspace puts two of them in one place."""
    angle = torch.linspace(0, 2 * math.pi, 8) if name == "seven places" else torch.arange(8) * math.pi / 4
    return torch.stack([angle.cos(), angle.sin()], 1)


def train_toy(places: Tensor, unroll: int, seeds: Sequence[int], steps: int, every: int, nets: list[Net], batch: int = 512) -> Iterator[int]:
    """Both players move from the same state, on the same batch: Adam, D 1e-4, G 1e-3. `nets` holds G and D, and is renewed."""
    draws = Draws(seeds, 9)
    players = [Adam.of(nets[0], 1e-3), Adam.of(nets[1], 1e-4)]
    for step in range(1, steps + 1):
        x = places[draws.whole(8, batch)] + .01 * draws.normal(batch, 2)
        gradients = unrolled_gradients(*nets, players[1], x, draws.normal(batch, 256), unroll)
        with torch.no_grad():
            for who, gradient in enumerate(gradients):
                net, players[who] = players[who](nets[who], gradient)
                nets[who] = [w.requires_grad_() for w in net]
        if step % every == 0:
            yield step


@torch.no_grad()
def toy_looks(nets: list[Net], places: Tensor) -> list[dict]:
    """Of 2,500 samples: places with one within .3, with one within 3σ, share within 3σ, and the largest share nearest to one place."""
    places = places.unique(dim=0) if len(places.mul(1e4).round().unique(dim=0)) == 8 else places[:7]
    fake = apply(nets[0], Draws([0], 10).normal(2500, 256).expand(len(nets[0][0]), -1, -1), torch.tanh)
    found = []
    for x in fake:
        off, place = torch.cdist(x, places).min(1)
        counts = torch.bincount(place, minlength=len(places))
        found.append({"near": len(place[off <= .3].unique()), "hit": len(place[off <= .03].unique()),
                      "sharp": round(float((off <= .03).float().mean()), 4), "most": round(float(counts.max() / len(x)), 4),
                      "third": round(float((off <= .3).float().mean()), 4), "points": points(x[:300])})
    return found


TOYS = {"eight places, K = 0": (0, 25_000), "eight places, K = 5": (5, 5_000), "seven places, K = 0": (0, 10_000),
        "eight places, K = 1": (1, 10_000)}  # K = 10 is not recorded: half a second a step


def unrolled(only: str, seeds: Sequence[int] = range(4), every: int = 1000, steps: int | None = None) -> None:
    """The plain game and the unrolled one, with the authors' settings."""
    for name, (unroll, walk) in chosen(TOYS, only):
        start, places = Draws(seeds, 8), circle(name.partition(",")[0])
        nets, walk = [orthogonal((256, 128, 128, 2), start), orthogonal((2, 128, 128, 1), start)], steps or walk
        watched("unrolled", name, {"K": unroll}, seeds, train_toy(places, unroll, seeds, walk, every, nets),
                lambda step, nets=nets, places=places: toy_looks(nets, places), walk)


PARTS = {"condition": condition, "ones": ones, "turns": turns, "few": few, "unrolled": unrolled}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; with :words for some of its settings")
    torch.set_num_threads(1)
    for part, only in asked(parser.parse_args().parts, PARTS):
        PARTS[part](only)


if __name__ == "__main__":
    main()
