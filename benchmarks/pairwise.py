"""What chapter 2.4 shows and has no time to run: both games on every set, what else could be done with the pairs, λ over three decades.

`trials` and `sharp` are for chapter 2.3. `capacity` is for chapter 2.2: a BiGAN in which one network at a time has 16 or 256 units
a layer, and the others have 64.

    python benchmarks/pairwise.py                # all parts, somewhat over two hours on one core
    python benchmarks/pairwise.py sets:grid digits    # some of them; the others keep what they recorded

Every run has ten seeds (eight where a part says so), none left out; `pacgan` counts, 2,500 samples of the last generator.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rows import asked, by_seed, chosen, known, record

from modelab.core.registry import nested_settings
from modelab.core.seeding import rand
from modelab.data.digits import digits, stacked_digits
from modelab.data.mixtures import grid, line, Mixture, mixture, rare_modes, ring
from modelab.evaluation.coverage import coverages
from modelab.losses.penalties import gradient_norm, input_gradient
from modelab.methods.encoder import separated_modes
from modelab.methods.pairwise import PairwiseBiGAN
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

COMMON = {"stochastic": True, "depth": 3, "width": 64, "betas": (0., .99)}
SHALLOW = {**COMMON, "lr": {"G": 2e-3, "E": 2e-3, "D": 4e-3}}  # G of 3×64 like E and D, for the sweeps; λ fades as the rates do
WIDE = {**SHALLOW, "g_width": 256, "g_depth": 4}  # and λ settles
DEEP = {**COMMON, "lr": {"G": 4e-3, "E": 2e-3, "D": 4e-3}, "g_width": 128, "g_depth": 4}  # λ settles by half of the walk
LONG = {**DEEP, "batch": 256, "weight": .3}  # λ fades as the rates do


def rings() -> Mixture:
    """Sixteen modes: eight on each of two circles, radii 2 and 4."""
    return mixture(torch.cat([ring(8, 2).centers, ring(8, 4).centers]), .02)


def roll(n: int = 32) -> Mixture:
    """Modes along a spiral of one and a half turns, equally far apart, out to radius 4."""
    angle = torch.linspace(1.5 * math.pi, 4.5 * math.pi, 10_000, dtype=torch.float64)
    curve = (angle / angle[-1] * 4)[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    along = (curve[1:] - curve[:-1]).norm(dim=1).cumsum(0)
    return mixture(curve[[int((along / along[-1] <= k / (n - 1)).sum()) for k in range(n)]], .1)


SETS: dict[str, tuple[Callable[[], Mixture], int, int, dict]] = {  # the set, length of z, steps, settings
    "ring of 8, 1-D z": (lambda: ring(8, 4, .04), 1, 8_000, SHALLOW),
    "ring of 8, deep G and λ that settles, 1-D z": (lambda: ring(8, 4, .04), 1, 5_000, DEEP),
    "ring of 8, wide G and λ that settles, 1-D z": (lambda: ring(8, 4, .04), 1, 8_000, WIDE),
    "grid 5×5, 2-D z": (lambda: grid(5, 2, .05), 2, 20_000, SHALLOW),
    "grid 5×5, deep G and λ that settles, 2-D z": (lambda: grid(5, 2, .05), 2, 12_000, DEEP),
    "grid 5×5, deep G, batch 256, long walk, 2-D z": (lambda: grid(5, 2, .05), 2, 36_000, LONG),
    "two rings, 16, 2-D z": (rings, 2, 20_000, SHALLOW),
    "two rings, 16, deep G, batch 256, long walk, 2-D z": (rings, 2, 32_000, LONG),
    "line of 5 and 2 far modes, 1-D z": (lambda: line(5, .25, .01, far=2), 1, 5_000, SHALLOW),
    "spiral of 32, 1-D z": (roll, 1, 5_000, SHALLOW),
    "90 % centre and 8 rare modes, 2-D z": (rare_modes, 2, 5_000, SHALLOW),
}


@dataclass(kw_only=True)
class Reconstruction(PairwiseBiGAN):
    """No penalty; instead generator and encoder also pay `reconstruction` times ‖x − G(E(x))‖²."""
    weight: float = 0.
    reconstruction: float = 1.

    def loss_GE(self, t: Any) -> torch.Tensor:
        """The joint loss plus the weighted reconstruction error."""
        miss = (t.x - t.G(self.encode(t))).flatten(2).square().sum(-1)
        return super().loss_GE(t) + self.reconstruction * miss.mean(-1)


class AnySlope(PairwiseBiGAN):
    """WGAN-GP's penalty between the two ends of each pair: slope one in any direction."""
    def pair_penalty(self, D: Callable, x: torch.Tensor, z: torch.Tensor, x_hat: torch.Tensor, generator: Any) -> torch.Tensor:
        """(‖∇D‖ − 1)² on the segment from x̂ to x."""
        at = torch.lerp(x_hat, x, rand(*x.shape[:2], 1, generator=generator, device=x.device))
        scores, slopes = input_gradient(lambda p: D(p, z), at, lead=2)
        return (gradient_norm(slopes, scores) - 1).square()


class Backwards(PairwiseBiGAN):
    """The penalty with the wrong sign."""
    def pair_penalty(self, D: Callable, x: torch.Tensor, z: torch.Tensor, x_hat: torch.Tensor, generator: Any) -> torch.Tensor:
        """The two ends exchanged."""
        return super().pair_penalty(D, x_hat, z, x, generator)


def measure(setting: str, game: Any, data: Any, steps: int, runs: int = 10, batch: int = 64, **more: Any) -> dict:
    """Train, count, and say what it cost in seconds of CPU time for all seeds together."""
    start = time.process_time()
    run = Run(game, data, runs=runs, batch=batch, device="cpu", **more).step(steps)
    seconds = time.process_time() - start
    scores = run.coverage()
    row = {"setting": setting, "steps": steps, "seeds": runs, "cpu_seconds": round(seconds), "of": data.n_modes}
    row |= {name: by_seed(getattr(s, name) for s in scores) for name in ("captured", "high_quality", "tv", "kl")}
    if run.latent == 1:
        row["steepest"] = by_seed(steepest(run), 2)
    print(f"{setting:60} {row['captured']['by seed']} HQ {row['high_quality']['interval']} TV {row['tv']['interval']} {seconds:.0f}s",
          flush=True)
    return row


def made(kind: type[PairwiseBiGAN], **flat: Any) -> PairwiseBiGAN:
    """A game from settings of itself, its networks and its optimiser, all in one dict.

    `fade` is the number of steps over which the rates fall to a hundredth, `settle` that over which λ falls to nothing.
    """
    schedules = {"schedule": Schedule("cosine", flat.pop("fade"))} if "fade" in flat else {}
    if "settle" in flat:
        schedules["weight_schedule"] = Schedule("cosine", flat.pop("settle"), floor=0.)
    return kind(**nested_settings(kind, flat | schedules))


def in_regime(setting: str, regime: dict, data: Any, latent: int, steps: int, **more: Any) -> dict:
    """The game with the settings of a regime, of which `batch` is the run's; all rates fade over the walk."""
    given = {"latent": latent, "fade": steps, "batch": 64, **regime}
    batch = given.pop("batch")
    return measure(setting, made(PairwiseBiGAN, **given), data, steps, batch=batch, **more)


@torch.no_grad()
def steepest(run: Run) -> list[float]:
    """The largest slope of each generator over the bulk of its one-dimensional latents."""
    z = torch.linspace(-2.5, 2.5, 4001)[None, :, None].expand(run.runs, -1, -1)
    return (run.players.nets["G"](z).diff(dim=1).norm(dim=-1).amax(1) / (5 / 4000)).tolist()


def sets(only: str = "") -> Iterator[dict]:
    """Every set, or those with a word in their name, with BiGAN alone and with the penalty, otherwise equal."""
    for name, (make, latent, steps, regime) in SETS.items():
        settle = {"settle": steps // 2} if regime in (DEEP, WIDE) else {}
        for what, own in (("BiGAN", {"weight": 0.}), ("with the penalty", {})):
            if only in f"{name}, {what}":
                yield in_regime(f"{name}, {what}", {**regime, **settle, **own}, make(), latent, steps)


FIRST = {"latent": 1, "fade": 5000}  # the chapter's own experiment: ring of 8, 1-D z


def on_ring(setting: str, kind: type, **settings: Any) -> dict:
    """One setting on the ring of 8 with a 1-D latent, 5,000 steps, eight seeds."""
    return measure(setting, made(kind, **{**SHALLOW, **FIRST, **settings}), ring(8, 4, .04), 5000, runs=8)


def weights() -> Iterator[dict]:
    """λ over three decades in the squared form (the chapter itself runs λ = 1), and the authors' form."""
    yield from (on_ring(f"squared, λ {w:g}", PairwiseBiGAN, weight=w) for w in (.03, .3, 3., 30.))
    yield on_ring("norm, λ 0.1", PairwiseBiGAN, weight=.1, penalty_form="norm")


def sharp() -> Iterator[dict]:
    """A deep, quick generator and λ that ends by half of the walk, in the chapter's own experiment."""
    for what, w in (("BiGAN", 0.), ("with the penalty", 1.)):
        yield on_ring(f"G 4×128, {what}", PairwiseBiGAN, weight=w, **{**DEEP, "settle": 2500})


def trials() -> Iterator[dict]:
    """What makes samples sharp? One change at a time from SHALLOW with λ settling by half of the walk; two seeds of their own."""
    changes: dict[str, tuple[dict, dict]] = {
        "as it is": ({}, {}), "averaged weights of G, .999": ({}, {"average": .999}), "batch 128": ({}, {"batch": 128}),
        "linear logits for G and E": ({"form": "linear"}, {}), "2-D z": ({"latent": 2}, {}),
        "rate of G doubled": ({"lr": {"G": 4e-3, "E": 2e-3, "D": 4e-3}}, {}), "betas (.5, .99)": ({"betas": (.5, .99)}, {}),
        "G 3×256": ({"g_width": 256}, {}), "G 4×256": ({"g_width": 256, "g_depth": 4}, {})}
    for name, (change, more) in changes.items():
        game = made(PairwiseBiGAN, **{**SHALLOW, "latent": 1, "fade": 8000, "settle": 4000, **change})
        yield measure(name, game, ring(8, 4, .04), 8000, runs=2, seed=100, **{"batch": 64, **more})


def grid_trials() -> Iterator[dict]:
    """What makes the grid sharp? One change at a time from DEEP with λ fading as the rates do; two seeds of their own."""
    rates: dict = DEEP["lr"]
    changes: dict[str, dict] = {
        "as it is": {}, "λ 0.3": {"weight": .3}, "λ 0.1": {"weight": .1}, "batch 256": {"batch": 256}, "4-D z": {"latent": 4},
        "all rates halved": {"lr": {k: v / 2 for k, v in rates.items()}}, "all rates doubled": {"lr": {k: v * 2 for k, v in rates.items()}}}
    for name, change in changes.items():
        yield in_regime(name, {**DEEP, **change}, grid(5, 2, .05), 2, 12_000, runs=2, seed=100)


def beside() -> Iterator[dict]:
    """What else could be done with the pairs."""
    yield from (on_ring(f"reconstruction, weight {w:g}", Reconstruction, reconstruction=w, weight=0.) for w in (.1, 1.))
    yield on_ring("slope one in any direction, λ 1", AnySlope, weight=1.)
    yield on_ring("wrong sign, λ 1", Backwards, weight=1.)


def tuning() -> Iterator[dict]:
    """The same changes of setting for both games."""
    changes: dict[str, dict] = {
        "all rates 1e-3": {"lr": 1e-3}, "deterministic encoder": {"stochastic": False},
        "linear logits for G and E": {"form": "linear"}, "uniform z": {"prior": "uniform"}}
    for name, change in changes.items():
        for what, w in (("BiGAN", 0.), ("with the penalty", 1.)):
            yield on_ring(f"{name}, {what}", PairwiseBiGAN, weight=w, **change)


def digit_rows() -> Iterator[dict]:
    """A thousand modes of real digits, eight seeds, with the same number of steps and with the same time."""
    data = stacked_digits()
    players = dict(networks=Networks(latent=16, width=128, depth=2), optimiser=Optimiser(1e-3, (0., .9)))
    for setting, w, steps in (("BiGAN, 1,800 steps", 0., 1800), ("with the penalty λ 1, 1,800 steps", 1., 1800),
                              ("BiGAN, as long as the penalty takes", 0., 2400)):
        run = Run(PairwiseBiGAN(weight=w, **players), data, runs=8, batch=64, average=.99, device="cpu").step(steps)
        scores = coverages(run.sample(26_000), data)
        row = {"setting": setting, "steps": steps, "seeds": 8, "of": 1000}
        row |= {name: by_seed(getattr(s, name) for s in scores) for name in ("captured", "high_quality", "kl")}
        print(row, flush=True)
        yield row


def scan_rows() -> Iterator[dict]:
    """Ten modes of real digits: modes, and how often what comes back from a scan's code shows the same digit."""
    for setting, w in (("BiGAN", 0.), ("with the penalty", 1.)):
        game = PairwiseBiGAN(weight=w, networks=Networks(latent=16), optimiser=Optimiser(1e-3, betas=(0., .9)))
        run = Run(game, digits(), runs=8, batch=64, average=.99, device="cpu").step(1500)
        x, mode = run.modes.sample_with_modes(500, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            back = run.players.nets["G"](run.players.nets["E"](x.expand(8, *x.shape)))
        scores = run.coverage()
        row = {"setting": setting, "steps": 1500, "seeds": 8, "of": 10}
        row |= {name: by_seed(getattr(s, name) for s in scores) for name in ("captured", "kl")}
        row["same digit"] = by_seed((run.modes.assign(b)[0] == mode).float().mean().item() for b in back)
        print(row, flush=True)
        yield row


def trip(a: torch.Tensor, b: torch.Tensor) -> list[float]:
    """Mean distance of partners over that of shuffled partners, run by run; a and b are (runs, n, ·)."""
    return ((a - b).norm(dim=2).mean(1) / (a - b.roll(1 + b.shape[1] // 3, 1)).norm(dim=2).mean(1)).tolist()


SIZES: dict[str, dict] = {"all of 64": {}} | {f"{name} of {units}": own | {key: units} for units in (16, 256) for name, key, own in (
    ("G", "g_width", {}), ("E", "width", {"g_width": 64, "d_width": 64}), ("D", "d_width", {}))}
LEAST = {"captured": 1., "high_quality": .1, "x to z to x": .1, "z to x to z": .1}  # the smallest change of a mean that counts


def capacity(only: str = "") -> Iterator[dict]:
    """The BiGAN of chapter 2.2 on a ring of 8 with a 1-D z: 16, 64 or 256 units in one network, 64 in the others; eight seeds.

    The rule, fixed before the run: a size changes a measure if the two means over seeds, its own and that of `all of 64`, are at
    least `LEAST` apart and their 95 % intervals do not overlap. Of the networks with a change, the one whose mean changes most
    matters most for the measure; if there is none, no network matters in this setting. All sizes have the same rates and steps,
    so a larger network that needs other rates would look worse than it is. Beside them: noise, uniform over the ring's bounds, the
    networks before the first step, and fresh data. A row that is recorded is not run again.
    """
    data, done = ring(8, 2, .02), known(Path(__file__).with_suffix(".json"), "capacity")
    low, high = data.bounds
    plain = {"uniform noise": lambda g: low + (high - low) * rand(2500, 2, generator=g), "fresh data": lambda g: data.sample(2500, generator=g)}
    for setting, draw in chosen({name: draw for name, draw in plain.items() if name not in done}, only):
        scores = coverages(torch.stack([draw(torch.Generator().manual_seed(seed)) for seed in range(8)]), data)
        yield {"setting": setting, "steps": 0, "seeds": 8, "of": 8} | {
            name: by_seed(getattr(s, name) for s in scores) for name in ("captured", "high_quality", "tv")}
    for setting, size in chosen({name: size for name, size in ({"not trained": {}} | SIZES).items() if name not in done}, only):
        start, steps = time.process_time(), 3000 if setting in SIZES else 0
        game = PairwiseBiGAN(weight=0., prior="uniform", networks=Networks(**{"latent": 1, "width": 64} | size))
        run = Run(game, data, runs=8, batch=128, device="cpu")
        run = run.step(steps) if steps else run
        x, mode = map(torch.stack, zip(*(data.sample_with_modes(1000, generator=g) for g in run.generators("look"))))
        z, nets, scores = run.noise(1000, run.generators("look", 1)), run.players.nets, run.coverage()
        with torch.no_grad():
            code, x_hat, z_hat = nets["E"](x), nets["G"](nets["E"](x)), nets["E"](nets["G"](z))
        row = {"setting": setting, "steps": steps, "seeds": 8, "of": 8, "cpu_seconds": round(time.process_time() - start)}
        row |= {name: by_seed(getattr(s, name) for s in scores) for name in ("captured", "high_quality", "tv")}
        row |= {"kept apart": by_seed(separated_modes(code, mode, 8).tolist()), "x to z to x": by_seed(trip(x, x_hat)),
                "z to x to z": by_seed(trip(z, z_hat))}
        print({k: v["interval"] if isinstance(v, dict) else v for k, v in row.items()}, flush=True)
        yield row


PARTS = {"sets": sets, "sharp": sharp, "trials": trials, "grid_trials": grid_trials, "scans": scan_rows, "weights": weights, "beside": beside, "tuning": tuning, "digits": digit_rows,
         "capacity": capacity}


def main() -> None:
    """Measure the parts that are asked for, keep the others, record after each row; `sets:grid` measures only such settings."""
    path = Path(__file__).with_suffix(".json")
    for part, only in asked(sys.argv[1:], PARTS):
        for row in PARTS[part](only) if only else PARTS[part]():
            record(path, part, row)


if __name__ == "__main__":
    main()
