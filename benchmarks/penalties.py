"""The gradient penalty beside the lines that most repositories hold: value and backward, on points and on pictures.

    python benchmarks/penalties.py          # medians of interleaved rounds, recorded in benchmarks/penalties.json

The floor is what no version can avoid: one forward pass, the slope, and the backward pass through both, with nothing else.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import torch
from torch import nn

from modelab.course import replace
from modelab.wasserstein import gradient_penalty

ROUNDS = 60


def common(critic, real, fake):
    """As it stands in most repositories."""
    alpha = torch.rand(real.size(0), *[1] * (real.dim() - 1), device=real.device)
    inter = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    scores = critic(inter)
    slopes = torch.autograd.grad(outputs=scores, inputs=inter, grad_outputs=torch.ones_like(scores),
                                 create_graph=True, retain_graph=True, only_inputs=True)[0]
    slopes = slopes.view(slopes.size(0), -1)
    return ((slopes.norm(2, dim=1) - 1) ** 2).mean()


def floor(critic, real, fake):
    """Only the arithmetic of a double backward pass."""
    x = real.detach().requires_grad_()
    scores = critic(x)
    slopes, = torch.autograd.grad(scores, x, torch.ones_like(scores), create_graph=True)
    return slopes.square().sum()


def critics() -> dict:
    """Name to (critic, real, fake)."""
    torch.manual_seed(0)
    layers = [nn.Linear(2, 128), nn.LeakyReLU(.2)] + [m for _ in range(2) for m in (nn.Linear(128, 128), nn.LeakyReLU(.2))]
    points = nn.Sequential(*layers, nn.Linear(128, 1), nn.Flatten(0))
    pictures = nn.Sequential(nn.Conv2d(1, 64, 4, 2, 1), nn.LeakyReLU(.2), nn.Conv2d(64, 128, 4, 2, 1), nn.LeakyReLU(.2),
                             nn.Flatten(), nn.Linear(128 * 49, 1), nn.Flatten(0))
    return {"points, 256×2, MLP 3×128": (points, *torch.randn(2, 256, 2)),
            "pictures, 64×1×28×28, two convolutions": (pictures, *torch.randn(2, 64, 1, 28, 28))}


def main() -> None:
    """Measure, print, record."""
    rows = []
    for name, (critic, real, fake) in critics().items():
        generator, seconds = torch.Generator().manual_seed(0), {"ours": [], "common": [], "floor": []}
        calls = {"ours": lambda: gradient_penalty(critic, real, fake, generator=generator),
                 "common": lambda: common(critic, real, fake), "floor": lambda: floor(critic, real, fake)}
        repeat = 10 if "points" in name else 1
        for round_ in range(ROUNDS):
            for who in sorted(calls, key=lambda w: (round_ * 7 + len(w)) % 3):  # the order turns with the round
                start = time.perf_counter()
                for _ in range(repeat):
                    critic.zero_grad(set_to_none=True)
                    calls[who]().backward()
                if round_ >= 5:
                    seconds[who].append((time.perf_counter() - start) / repeat)
        ms = {who: 1000 * statistics.median(v) for who, v in seconds.items()}
        ratios = [a / b for a, b in zip(seconds["ours"], seconds["common"])]
        rows.append({"what": name, **{f"{who}, ms": round(v, 3) for who, v in ms.items()},
                     "ours / common": round(statistics.median(ratios), 3), "share of the floor": round(ms["floor"] / ms["ours"], 3)})
        print(rows[-1], flush=True)
    result = {"what": "penalty and backward pass; medians of interleaved rounds", "torch": torch.__version__.split("+")[0],
              "device": f"cpu, {torch.get_num_threads()} threads", "rows": rows}
    replace(Path(__file__).with_suffix(".json"), (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
