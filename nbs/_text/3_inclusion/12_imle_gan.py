# %% [markdown]
# # The inclusive GAN
# > Adversarial loss for everybody, nearest neighbours for whoever would be left out

# %%
#| default_exp imle_gan

# %%
#| export
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelab.course import game, number, one_of, whole
from modelab.imle import IMLE, Matches, imle_loss
from modelab.minimax import Minimax, discriminator_loss, generator_loss
from modelab.modes import ModeSet
from modelab.networks import Generators, rand, randn, score
from modelab.wasserstein import r1

# %%
#| export
Features = Callable[[Tensor], Tensor]  # (*runs, n, *event) to (*runs, n, *anything)


def described(x: Tensor,  # (*runs, n, *event)
              features: Features | None,  # None: the examples themselves
              lead: int = 1,  # how many axes of x count runs and examples
              ) -> Tensor:  # (*runs, n, d)
    "What `features` says of each example, as a vector; `ValueError` unless it is one per example and finite."
    said = x if features is None else features(x)
    if not isinstance(said, Tensor) or said.shape[:lead] != x.shape[:lead]:
        got = tuple(said.shape) if isinstance(said, Tensor) else type(said).__name__
        raise ValueError(f"features: expected one description per example, shape {(*x.shape[:lead], '…')}, got {got}")
    if features is not None and not said.isfinite().all() and x.isfinite().all():
        raise ValueError(f"features: expected finite numbers, got NaN or infinity in {int((~said.isfinite()).sum())} of "
                         f"{said.numel()}")
    return said.flatten(lead) if said.ndim > lead else said[..., None]

# %%
#| export
class Encoder(nn.Module):
    "A small convolutional net that describes each channel of a picture alone: (*lead, c, h, w) to (*lead, c·d)."
    def __init__(self, side: int, d: int = 32, width: int = 16):
        super().__init__()
        low = -(-side // 4)
        self.body = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1), nn.LeakyReLU(.2), nn.Conv2d(width, 2 * width, 3, 2, 1),
                                  nn.LeakyReLU(.2), nn.Conv2d(2 * width, 4 * width, 3, 2, 1), nn.LeakyReLU(.2),
                                  nn.Flatten(), nn.Linear(4 * width * low * low, d))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        codes = self.body(x.reshape(-1, 1, *x.shape[-2:]))
        return codes.reshape(*x.shape[:-3], -1) * self.scale


def _disturbed(x: Tensor, generator: torch.Generator) -> Tensor:
    "Pictures (n, 1, h, w) in [-1, 1] turned by up to .15 radians, moved by up to a sixteenth, and speckled."
    turn, *move = (rand(3, len(x), generator=generator, device=x.device) * 2 - 1).unbind()
    turn, move = turn * .15, [m / 8 for m in move]  # the picture is 2 wide
    rows = torch.stack([turn.cos(), -turn.sin(), move[0], turn.sin(), turn.cos(), move[1]], 1).reshape(-1, 2, 3)
    where = F.affine_grid(rows, list(x.shape), align_corners=False)
    moved = F.grid_sample(x + 1, where, align_corners=False) - 1
    return moved + .1 * randn(*x.shape, generator=generator, device=x.device)


def self_trained(modes: ModeSet,  # of square pictures
                 d: int = 32,  # numbers that describe one channel
                 walk: int = 400,  # optimiser steps of 256 channels
                 seed: int = 0) -> Encoder:
    """An encoder that learned from unlabelled pictures to tell each from all others though both were disturbed.

    After van den Oord et al. 2018 and Chen et al. 2020. Two random examples are at a squared distance of 1 on average.
    """
    if len(modes.event) != 3 or modes.event[1] != modes.event[2]:
        raise ValueError(f"modes: expected square pictures (channels, side, side), got {modes.event}")
    g = torch.Generator(modes.device).manual_seed(whole("seed", seed, 0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net, head = Encoder(modes.event[1], whole("d", d)).to(modes.device), nn.Linear(d, d).to(modes.device)
    adam = torch.optim.Adam([*net.parameters(), *head.parameters()], 2e-3)
    same = torch.arange(256, device=modes.device)
    for _ in range(whole("walk", walk)):
        x = modes.sample(-(-256 // modes.event[0]), g).reshape(-1, 1, *modes.event[1:])[:256]
        one, two = (F.normalize(head(net.body(_disturbed(x, g)).relu()), dim=1) for _ in range(2))
        alike = one @ two.T / .2
        adam.zero_grad()
        (F.cross_entropy(alike, same) + F.cross_entropy(alike.T, same)).backward()
        adam.step()
    codes = net.requires_grad_(False).eval()(modes.sample(1000, g))
    net.scale.fill_((codes - codes.roll(1, 0)).square().sum(-1).mean().rsqrt())
    return net

# %%
#| export
def slerp(a: Tensor,  # (*, latent)
          b: Tensor,  # (*, latent)
          share: Tensor | float,  # 0 is a, 1 is b; a tensor (*, 1) gives each pair its own
          ) -> Tensor:  # (*, latent)
    "The arc from a to b, its length going from |a| to |b|: what lies between two normal latents is as long as they are."
    long_a, long_b = (v.norm(dim=-1, keepdim=True).clamp(min=1e-12) for v in (a, b))
    u, v, share = a / long_a, b / long_b, torch.as_tensor(share, dtype=a.dtype, device=a.device)
    angle = (u * v).sum(-1, keepdim=True).clamp(-1 + 1e-7, 1 - 1e-7).acos()
    direction = (((1 - share) * angle).sin() * u + (share * angle).sin() * v) / angle.sin()
    return direction * torch.lerp(long_a, long_b, share)

# %%
#| export
def interpolation_loss(G: Callable[[Tensor], Tensor],  # latents (*runs, batch, latent) to (*runs, batch, *event)
                       z: tuple[Tensor, Tensor],  # matched latents of two batches of reals
                       x: tuple[Tensor, Tensor],  # the reals, (*runs, batch, *event) each
                       *, features: Features | None = None,  # where distances are taken; None: the examples themselves
                       share: Tensor | None = None,  # of the first end, (*runs, batch); None: uniform, drawn
                       generator: Generators = None,  # for the share; one, or one per run
                       ) -> Tensor:  # (*runs,)
    """What G makes between two matched latents should be near both reals, the more the nearer its end (Yu et al. 2020).

    Squared distances, weighted `share` and 1 - `share`, averaged over the batch; unweighted. Bad shapes and features
    that are not finite or not one per example raise `ValueError`.
    """
    (z1, z2), (x1, x2), lead = z, x, z[0].ndim - 1
    if z1.shape != z2.shape or x1.shape != x2.shape or z1.shape[:-1] != x1.shape[:lead] or not z1.numel():
        raise ValueError("z, x: expected two batches of latents (*runs, batch, latent) and their two of reals (*runs, "
                         f"batch, *event), got {', '.join(str(tuple(v.shape)) for v in (*z, *x))}")
    if share is None:
        share = rand(*z1.shape[:-1], generator=generator, device=z1.device, dtype=z1.dtype)
    made = described(G(slerp(z2, z1, share[..., None])), features, lead)
    to_1, to_2 = ((made - described(v, features, lead)).square().sum(-1) for v in x)
    return (share * to_1 + (1 - share) * to_2).mean(-1)

# %%
#| export
def members(modes: ModeSet,
            minority: Sequence[int],  # modes
            n: int,
            generator: torch.Generator) -> Tensor:  # (n, *event)
    "`n` examples of the modes in `minority`, in their own proportions."
    wrong = [k for k in minority if not 0 <= k < modes.n_modes]
    if wrong:
        raise ValueError(f"minority: expected modes of {modes!r}, 0 to {modes.n_modes - 1}, got {wrong}")
    wanted = torch.as_tensor(sorted(minority), device=generator.device)
    share, kept = modes.weights.to(generator.device)[wanted].sum().item(), [modes.sample(1, generator)[:0]]
    while (missing := n - sum(map(len, kept))) > 0:
        x, mode = modes.sample_with_modes(min(8192, int(1.1 * missing / share) + 16), generator)
        kept.append(x[torch.isin(mode, wanted)])
    return torch.cat(kept)[:n]

# %%
#| export
@game
@dataclass
class IMLEGAN(IMLE):
    """The inclusive GAN (Yu et al. 2020): adversarial on everything; G also owes every real example, or every one of a
    minority, a sample near it, and something in between wherever it goes from one to another."""
    D: nn.Module | Callable[[], nn.Module] | None = None  # your own, or one that fits the set
    weight: float = 1.  # of the IMLE term; a squared distance, in units of the features
    interpolation: float = .4  # of the interpolation term, as a share of `weight`
    penalty: float = 0.  # γ of R1 on D
    space: Features | None = None  # where the two distances are taken; None: the examples themselves
    matching: str = "features"  # or "pixels": where reals look for their nearest sample
    minority: Sequence[int] | None = None  # modes that the two distances are about; None: all
    reals: int = 512
    refresh: int = 50
    jitter: float = .05
    saturating: bool = False  # the minimax loss for G instead of the non-saturating one
    d_width: int | None = None  # hidden units of D alone; None: as `width`
    betas: tuple[float, float] = (0., .9)
    turns: ClassVar[str] = "D G"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("weight", "interpolation", "penalty"):
            number(name, getattr(self, name), 0)
        one_of("matching", self.matching, ("features", "pixels"))
        if self.space is not None and not callable(self.space):
            raise TypeError(f"space: expected a function of examples, or None, got {self.space!r}")
        if self.minority is not None:
            self.minority = [whole("minority", k, 0) for k in self.minority]
            if not self.minority:
                raise ValueError("minority: expected at least one mode, got none; None means all")

    def players(self, event: tuple[int, ...], latent: int, runs: int, generator: Any) -> dict[str, nn.Module]:
        "Generator and discriminator, one copy per run, and the memory of the last matching, which never moves."
        return {**Minimax.players(self, event, latent, runs, generator), "matches": Matches(runs, self.reals, event, latent)}

    def features(self, x: Tensor) -> Tensor:
        "What is compared when reals look for their nearest sample."
        return described(x, self.space if self.matching == "features" else None, 2)

    def draw(self, t: Any) -> Tensor:
        "The real examples to match next: of the minority, if there is one."
        if self.minority is None:
            return super().draw(t)
        return torch.stack([members(t._run.modes, self.minority, self.reals, g) for g in t._generators("matched")])

    def loss_D(self, t: Any) -> Tensor:
        "One value per run for the discriminator's turn: the game of 2014 on all data."
        loss = discriminator_loss(*score(t.D, t.x, t.G(t.z).detach()))
        return loss + self.penalty * r1(t.D, t.x) if self.penalty else loss

    def loss_G(self, t: Any) -> Tensor:
        "One value per run for the generator's turn: convince D; be near each matched real; and between two, near both."
        loss = generator_loss(t.D(t.G(t.z)), self.saturating)
        if self.weight == 0:
            return loss
        x, z = self.matched(t)
        z = z + self.jitter * randn(*z.shape, generator=t.generator, device=z.device)
        near = imle_loss(described(t.G(z), self.space, 2), described(x, self.space, 2), runs=1)
        if self.interpolation:
            other = rand(*x.shape[:2], generator=t.generator, device=x.device).argsort(1)
            run = torch.arange(len(x), device=x.device)[:, None]
            near = near + self.interpolation * interpolation_loss(
                t.G, (z, z[run, other]), (x, x[run, other]), features=self.space, generator=t.generator)
        return loss + self.weight * near
