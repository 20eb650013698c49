"""The gradient penalty beside the lines that most repositories hold: value and backward, on points and on pictures.

    python benchmarks/penalties.py          # medians of interleaved rounds, recorded in benchmarks/penalties.json

The floor is the arithmetic that no version can avoid: four products for each matrix or filter bank of the critic (its forward
pass, the slope, and two on the way back through the slope), run bare, with nothing recorded. The critics with tanh are beside
them because nothing can be saved there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.grad import conv2d_input, conv2d_weight
from tqdm import tqdm

from modelab.core.files import atomic_write
from modelab.losses.penalties import gradient_penalty

ROUNDS, THREADS = 100, (1, 2)


def common(critic, real, fake):
    """As it stands in most repositories."""
    alpha = torch.rand(real.size(0), *[1] * (real.dim() - 1), device=real.device)
    inter = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    scores = critic(inter)
    slopes = torch.autograd.grad(outputs=scores, inputs=inter, grad_outputs=torch.ones_like(scores),
                                 create_graph=True, retain_graph=True, only_inputs=True)[0]
    slopes = slopes.view(slopes.size(0), -1)
    return ((slopes.norm(2, dim=1) - 1) ** 2).mean()


@torch.no_grad()
def floor(critic, x) -> None:
    """The products alone, with stand-ins of the right shapes."""
    inputs = []
    for layer in critic:
        if hasattr(layer, "weight"):
            inputs.append((layer, x))
        x = layer(x)
    for layer, x in inputs:
        y = layer(x)
        if isinstance(layer, nn.Linear):
            y @ layer.weight, y.T @ x
        else:
            conv2d_input(x.shape, layer.weight, y, layer.stride, layer.padding)
            conv2d_weight(x, layer.weight.shape, y, layer.stride, layer.padding)


def critics() -> dict:
    """Name to (critic, real, fake)."""
    torch.manual_seed(0)
    found = {}
    for bend, name in ((lambda: nn.LeakyReLU(.2), "leaky ReLU"), (nn.Tanh, "tanh")):
        sizes = (2, 128, 128, 128)
        points = [layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), bend())]
        pictures = [nn.Conv2d(1, 64, 4, 2, 1), bend(), nn.Conv2d(64, 128, 4, 2, 1), bend(), nn.Flatten()]
        found[f"points, 256×2, MLP 3×128, {name}"] = (nn.Sequential(*points, nn.Linear(128, 1), nn.Flatten(0)),
                                                      *torch.randn(2, 256, 2))
        found[f"pictures, 64×1×28×28, two convolutions, {name}"] = (
            nn.Sequential(*pictures, nn.Linear(128 * 49, 1), nn.Flatten(0)), *torch.randn(2, 64, 1, 28, 28))
    return found


def measure(critic, real, fake, repeat: int, rounds: int = ROUNDS) -> dict:
    """Seconds per call of each contender, round by round; the order turns with the round."""
    generator, seconds = torch.Generator().manual_seed(0), {"ours": [], "common": [], "floor": []}
    calls = {"ours": lambda: gradient_penalty(critic, real, fake, generator=generator).backward(),
             "common": lambda: common(critic, real, fake).backward(), "floor": lambda: floor(critic, real)}
    names = list(calls)
    for round_ in range(rounds + 5):
        for who in names[round_ % 3:] + names[:round_ % 3]:
            start = time.perf_counter()
            for _ in range(repeat):
                critic.zero_grad(set_to_none=True)
                calls[who]()
            if round_ >= 5:
                seconds[who].append((time.perf_counter() - start) / repeat)
    return seconds


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    rows = []
    for threads in THREADS:
        torch.set_num_threads(threads)
        for name, contest in tqdm(critics().items(), desc=f"{threads} threads"):
            seconds = measure(*contest, repeat=10 if "points" in name else 1, rounds=args.rounds)
            ms = {who: 1000 * statistics.median(v) for who, v in seconds.items()}
            ratios = [a / b for a, b in zip(seconds["ours"], seconds["common"])]
            rows.append({"what": name, "threads": threads, **{f"{who}, ms": round(v, 3) for who, v in ms.items()},
                         "ours / common": round(statistics.median(ratios), 3),
                         "share of the floor": round(ms["floor"] / ms["ours"], 3)})
            print(rows[-1], flush=True)
    result = {"what": "penalty and backward pass; medians of interleaved rounds", "torch": torch.__version__.split("+")[0],
              "device": "cpu", "rows": rows}
    atomic_write(Path(__file__).with_suffix(".json"), (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
