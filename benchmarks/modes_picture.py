"""Draw the README's picture: which of the 1,000 modes of the stacked digits three sets of samples hold.

    python benchmarks/modes_picture.py       # trains eight seeds twice and draws seed 0; writes benchmarks/modes.png
"""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.colors import LogNorm

from modelab.core.files import atomic_write
from modelab.core.plotting import axes, Picture
from modelab.data.digits import stacked_digits
from modelab.methods.minimax import Minimax
from modelab.networks.players import Networks
from modelab.training.run import Run

N, STEPS = 26_000, 1500


def main() -> None:
    """Train, count, draw."""
    digits = stacked_digits()
    shown = {"the data": digits.sample(N, generator=torch.Generator().manual_seed(1))}
    for name, width in (("a GAN, discriminator of 16 units", 16), ("the same GAN, discriminator of 128 units", 128)):
        run = Run(Minimax(networks=Networks(width=128, d_width=width)), digits, batch=64, device="cpu").step(STEPS, progress=True)
        shown[name] = run.sample(N)[0]
    figure, panels = axes(1, 3, size=(3.6, 2.6))
    for ax, (name, x) in zip(panels, shown.items()):
        counts = torch.bincount(digits.assign(x)[0], minlength=1000).reshape(25, 40).double()
        image = ax.imshow(counts.where(counts > 0, torch.nan), norm=LogNorm(1, 1000), cmap="viridis")
        ax.set_facecolor("black")
        ax.set(title=f"{name}:\n{int((counts > 0).sum()):,} of 1,000 modes have samples", xticks=[], yticks=[])
    figure.colorbar(image, ax=panels, label=f"samples of {N:,}; black: none", shrink=.8)
    alt = "Samples in each of 1,000 modes, for the data and two generators"
    atomic_write(Path(__file__).with_name("modes.png"), Picture(figure, alt).png)


if __name__ == "__main__":
    main()
