"""The long runs of chapter 5.1: how well critics aim, and what LGAN covers beside a minimax game tuned as hard.

    python benchmarks/lipschitz.py

Every setting that was tried is recorded in benchmarks/lipschitz.json, eight seeds each, none left out.
"""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from rows import possible
from tqdm import tqdm

from modelab.core.files import atomic_write
from modelab.core.registry import with_settings
from modelab.core.statistics import interval
from modelab.data.digits import digits
from modelab.data.mixtures import rare_modes, ring
from modelab.losses.penalties import gradient_norm, input_gradient, random_interpolate
from modelab.methods.lipschitz import Lipschitz, max_gradient_penalty, OBJECTIVES
from modelab.methods.minimax import Minimax
from modelab.networks.layers import mlp
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

AIM_STEPS, STEPS, SEEDS = 2500, 3000, 8


def problems() -> tuple[torch.Tensor, torch.Tensor]:
    """The chapter's eight problems: five centred digits and five images of noise each, (8, 5, 64)."""
    scans = digits()
    mean = scans.sample(4000, generator=torch.Generator().manual_seed(99)).flatten(1).mean(0)
    real, fake = [], []
    for seed in range(SEEDS):
        g = torch.Generator().manual_seed(seed)
        x, label = scans.sample_with_modes(400, generator=g)
        real.append(torch.stack([x[label == k][0].flatten() for k in (0, 1, 4, 6, 7)]) - mean)
        fake.append(F.normalize(torch.randn(5, 64, generator=g), dim=1) * real[-1].norm(dim=1).mean())
    return torch.stack(real), torch.stack(fake)


def aim(objective: str, constraint: str, real: torch.Tensor, fake: torch.Tensor) -> dict:
    """Largest cosine between the critic's slope at a generated point and the directions to the real ones."""
    o, seeds = OBJECTIVES[objective], [torch.Generator().manual_seed(r) for r in range(SEEDS)]
    f = mlp(64, (), 64, runs=SEEDS, generator=seeds)
    adam = torch.optim.Adam(f.parameters(), 1e-3, betas=(0., .9), fused=True)
    x, y = real.repeat_interleave(5, 1), fake.repeat(1, 5, 1)
    for i in range(AIM_STEPS):
        adam.param_groups[0]["lr"] = 1e-3 * min(1, 2 * (1 - i / AIM_STEPS))
        loss = o.critic_loss(f(real), f(fake))
        if constraint == "MaxGP .1":
            loss = loss + .1 * max_gradient_penalty(f, x, y, generator=seeds)
        elif constraint == "WGAN-GP 10":
            scores, slopes = input_gradient(f, random_interpolate(x, y, 2, seeds))
            loss = loss + 10 * (gradient_norm(slopes, scores) - 1).square().mean(-1)
        adam.zero_grad()
        loss.sum().backward()
        adam.step()
    slope = F.normalize(input_gradient(f, fake)[1].detach(), dim=-1)
    cosine = (slope[:, :, None] * F.normalize(real[:, None] - fake[:, :, None], dim=-1)).sum(-1).amax(-1)
    return {"setting": f"{objective}, {constraint}", "aim": str(interval(cosine.mean(1), low=-1, high=1)),
            "worst": round(cosine.min().item(), 3)}


def cover(name: str, game: Lipschitz | Minimax, modes) -> dict:
    """Coverage of eight seeds after a walk whose rate falls over the second half, with averaged weights."""
    game = with_settings(game, schedule=Schedule("linear", STEPS, stairs=20))
    run, start = Run(game, modes, batch=128, average=.99, device="cpu"), time.process_time()
    run.step(STEPS)
    seconds, found, fair = time.process_time() - start, run.coverage(), run.coverage("fair")
    row = {"setting": name, "of": modes.n_modes, "by seed": [c.captured for c in found], "fair by seed": [c.captured for c in fair],
           "fair": str(interval([c.captured for c in fair], low=0, high=modes.n_modes))}
    for measure in ("captured", "high_quality", "tv"):
        row[measure] = str(interval([getattr(c, measure) for c in found], **possible("lipschitz", measure, modes.n_modes)))
    row["companions"] = {k: getattr(found[0], k).captured for k in ("floor", "ceiling", "null")}
    return row | {"ms per step and seed": round(1000 * seconds / STEPS / SEEDS, 3)}


def settings() -> list[tuple[str, Lipschitz | Minimax]]:
    """Eight settings of LGAN and eight of the minimax game, each with its name."""
    found, networks = [], Networks(width=64)
    for objective, weight, lr in itertools.product(("logistic", "linear"), (.01, .1), (1e-3, 3e-3)):
        found.append((f"LGAN {objective}, weight {weight:g}, lr {lr:g}",
                      Lipschitz(objective=objective, weight=weight, networks=networks,
                                optimiser=Optimiser(lr))))
    for saturating, beta1, lr in itertools.product((False, True), (0., .5), (1e-3, 3e-3)):
        kind = "saturating" if saturating else "non-saturating"
        found.append((f"minimax {kind}, beta1 {beta1:g}, lr {lr:g}",
                      Minimax(saturating=saturating, networks=networks,
                              optimiser=Optimiser(lr, betas=(beta1, .9)))))
    return found


def main() -> None:
    """Measure all settings and record them."""
    real, fake = problems()
    kinds = [*itertools.product(OBJECTIVES, ("free", "MaxGP .1")), ("linear", "WGAN-GP 10")]
    result = {"what": f"8 seeds; aim: {AIM_STEPS} steps; coverage: {STEPS} steps, batch 128, width 64, "
                      "averaged weights",
              "torch": torch.__version__.split("+")[0],
              "aim": [aim(*kind, real, fake) for kind in tqdm(kinds, desc="aim")]}
    for name, modes in (("ring", ring(radius=2, std=.02)), ("rare_modes", rare_modes())):
        result[name] = [cover(setting, game, modes) for setting, game in tqdm(settings(), desc=name)]
    atomic_write(Path(__file__).with_suffix(".json"), (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
