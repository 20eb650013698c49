# %%
#| default_exp minimax

# %%
#| export
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from modelab.course import game
from modelab.networks import each, mlp

# %%
#| export
def discriminator_loss(real_logits: torch.Tensor,  # D(x), shape (*runs, batch)
                       fake_logits: torch.Tensor,  # D(G(z)), shape (*runs, batch)
                       ) -> torch.Tensor:  # shape (*runs,)
    "What D descends in the game of 2014: -log σ(D(x)) - log(1 - σ(D(G(z)))), averaged over the batch."
    return F.softplus(-real_logits).mean(-1) + F.softplus(fake_logits).mean(-1)


def generator_loss(fake_logits: torch.Tensor,  # D(G(z)), shape (*runs, batch)
                   saturating: bool = False,  # True: the minimax game itself; False: what everybody runs
                   ) -> torch.Tensor:  # shape (*runs,)
    "What G descends: log(1 - σ(D(G(z)))) if `saturating`, else -log σ(D(G(z))), averaged over the batch."
    return -F.softplus(fake_logits).mean(-1) if saturating else F.softplus(-fake_logits).mean(-1)

# %%
#| export
@game
@dataclass
class Minimax:
    "The game of Goodfellow et al. 2014, between a generator G and a discriminator D."
    G: nn.Module | Callable[[], nn.Module] | None = None  # your own, or one that fits the set
    D: nn.Module | Callable[[], nn.Module] | None = None
    saturating: bool = False  # the minimax loss for G instead of the non-saturating one
    latent: int | None = None  # length of z; None: fits the set
    width: int = 128  # hidden units of the default players
    d_width: int | None = None  # hidden units of D alone; None: as `width`
    lr: float = 1e-3
    betas: tuple[float, float] = (.5, .9)
    turns: ClassVar[str] = "D G"

    def players(self, event: tuple[int, ...], latent: int, runs: int, generator: Any) -> dict[str, nn.Module]:
        "The networks that play, one copy per run."
        last = torch.tanh if len(event) > 1 else None
        G = each("G", self.G, runs, generator) if self.G else mlp(latent, event, self.width, runs=runs, generator=generator, last=last)
        D = each("D", self.D, runs, generator) if self.D else mlp(event, (), self.d_width or self.width, runs=runs, generator=generator)
        return {"G": G, "D": D}

    def loss_D(self, t: Any) -> torch.Tensor:
        "One value per run for the discriminator's turn."
        return discriminator_loss(t.D(t.x), t.D(t.G(t.z).detach()))

    def loss_G(self, t: Any) -> torch.Tensor:
        "One value per run for the generator's turn."
        return generator_loss(t.D(t.G(t.z)), self.saturating)
