"""Our `Run` beside the training loop as one writes it by hand: same networks, same batch, same optimiser, one process.

    python benchmarks/training.py            # prints ratios and records them in benchmarks/training.json
    python benchmarks/training.py --runs 64  # on a GPU

The candidates take turns in short slices, so that a busy machine slows them all. Ratios are medians over the slices.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from modelab.core.files import atomic_write
from modelab.data.mixtures import ring
from modelab.methods.minimax import Minimax
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

WIDTH, BATCH, LR, BETAS = 128, 256, 1e-3, (.5, .9)


def plain(device: torch.device) -> Callable[[int], None]:
    """The non-saturating game with plain modules: what a tutorial prints."""
    data = ring(radius=2, std=.02).to(device)
    source = torch.Generator(device).manual_seed(0)

    def net(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, WIDTH), nn.LeakyReLU(.2), nn.Linear(WIDTH, WIDTH), nn.LeakyReLU(.2),
                             nn.Linear(WIDTH, outputs)).to(device)
    G, D = net(2, 2), net(2, 1)
    adam_G, adam_D = (torch.optim.Adam(n.parameters(), LR, betas=BETAS) for n in (G, D))
    bce, real, fake = nn.BCEWithLogitsLoss(), torch.ones(BATCH, 1, device=device), torch.zeros(BATCH, 1, device=device)

    def step(n: int) -> None:
        for _ in range(n):
            x, z = data.sample(BATCH, generator=source), torch.randn(BATCH, 2, device=device)
            loss_D = bce(D(x), real) + bce(D(G(z).detach()), fake)
            adam_D.zero_grad()
            loss_D.backward()
            adam_D.step()
            loss_G = bce(D(G(torch.randn(BATCH, 2, device=device))), real)
            adam_G.zero_grad()
            loss_G.backward()
            adam_G.step()
    return step


def ours(runs: int, device: torch.device) -> Callable[[int], None]:
    """The same game, `runs` seeds at once."""
    game = Minimax(networks=Networks(width=WIDTH), optimiser=Optimiser(LR, betas=BETAS))
    return Run(game, ring(radius=2, std=.02), runs=runs, batch=BATCH, device=str(device)).step


def slices(candidates: dict[str, Callable[[int], None]], steps: dict[str, int], rounds: int, device: torch.device) -> dict:
    """Seconds a step for each candidate, slice by slice, the candidates taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 3):
        for name, step in candidates.items():
            start = time.perf_counter()
            step(steps[name])
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn >= 3:  # the first three warm up
                seconds[name].append((time.perf_counter() - start) / steps[name])
    return seconds


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--matmul", choices=["highest", "medium"], default="highest", help="medium: bf16 products, opt-in")
    parser.add_argument("--out", type=Path, help="default: training.json beside this script, for the default settings")
    args = parser.parse_args()
    torch.set_float32_matmul_precision(args.matmul)
    device = torch.device(args.device)
    one, many = "one run", f"{args.runs} runs at once"
    candidates = {"plain loop": plain(device), one: ours(1, device), many: ours(args.runs, device)}
    seconds = slices(candidates, {"plain loop": 16, one: 16, many: 4}, args.rounds, device)
    ratio = {one: [a / b for a, b in zip(seconds[one], seconds["plain loop"])],
             many: [a / b / args.runs for a, b in zip(seconds[many], seconds["plain loop"])]}
    result = {
        "what": f"cost of a run relative to one plain loop, MLP 2x{WIDTH}, batch {BATCH}, Adam, float32 ({args.matmul})",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "torch": torch.__version__.split("+")[0], "slices": args.rounds,
        "ratio": {name: {"median": round(statistics.median(r), 3), "quartiles": [round(q, 3) for q in statistics.quantiles(r)[::2]]}
                  for name, r in ratio.items()}}
    print(json.dumps(result, indent=1))
    standard = args.runs == 8 and args.matmul == "highest" and device.type == "cpu"
    out = args.out or (Path(__file__).with_suffix(".json") if standard else None)
    if out:
        atomic_write(out, (json.dumps(result, indent=1) + "\n").encode())
        print(f"recorded in {out.name}", file=sys.stderr)


if __name__ == "__main__":
    main()
