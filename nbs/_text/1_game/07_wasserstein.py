# %% [markdown]
# # Critics
# > A distance instead of a verdict, and what it takes to keep the distance honest

# %%
#| default_exp wasserstein

# %%
#| export
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from modelab.course import game
from modelab.networks import Generators, mlp, player, rand


# %%
#| export
def input_gradient(critic: Callable[[torch.Tensor], torch.Tensor],  # (*runs, batch, *event) to (*runs, batch)
                   x: torch.Tensor,  # where, (*runs, batch, *event)
                   ) -> tuple[torch.Tensor, torch.Tensor]:  # scores (*runs, batch) and slopes, shaped as x
    "The critic's scores at `x` and their gradient in `x`, itself differentiable in the critic's weights."
    coupled = isinstance(critic, nn.Module) and [m for m in critic.modules() if isinstance(m, _BatchNorm) and m.training]
    if coupled:
        raise ValueError(f"critic: {type(coupled[0]).__name__} couples the examples of a batch, so a slope per example "
                         "does not exist; use LayerNorm, or no normalisation")
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        scores = critic(x)
        slopes, = torch.autograd.grad(scores, x, torch.ones_like(scores), create_graph=True)
    return scores, slopes


def event_sum(values: torch.Tensor,  # (*runs, batch, *event)
              scores: torch.Tensor,  # (*runs, batch): its rank says which axes are the event
              ) -> torch.Tensor:  # (*runs, batch)
    "Sum over the event axes, whatever they are: coordinates, channels and pixels, time."
    return values.flatten(scores.ndim).sum(-1) if values.ndim > scores.ndim else values


def slope_norm(slopes: torch.Tensor,  # (*runs, batch, *event)
               scores: torch.Tensor,  # (*runs, batch)
               ) -> torch.Tensor:  # (*runs, batch)
    "Euclidean norm over the event axes. At slope zero its derivative is the diagonal's: finite, and not zero."
    square = event_sum(slopes.square(), scores)
    flat = square == 0
    size = math.prod(slopes.shape[scores.ndim:])
    return torch.where(flat, event_sum(slopes, scores) / math.sqrt(size), torch.where(flat, 1., square).sqrt())
