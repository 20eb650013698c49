# %% [markdown]
# # IMLE: every real point asks for its nearest sample
# > A generator that is asked "who is near you?" by every real point cannot forget one

# %%
#| default_exp imle

# %%
#| export
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from modelab.course import batch, game, number, whole
from modelab.networks import mlp, player, randn

# %%
#| export
MAX_BYTES = 1 << 27


class Cloud:
    "Rows about a middle, where rounding hurts least; float32 where that is enough for a first guess at distances."
    def __init__(self, x: Tensor, middle: Tensor, kind: torch.dtype, max_bytes: int = MAX_BYTES):
        self.x, self.middle, self.kind = x, middle, kind
        self.at_hand = self._centred(slice(None)) if x.numel() * kind.itemsize <= max_bytes // 4 else None
        side = max(1, max_bytes // (32 * x.shape[1]))
        self.square = torch.cat([torch.linalg.vecdot(part, part) for part in map(self.__getitem__, tiles(len(x), side))])

    def __getitem__(self, rows: slice) -> Tensor:
        return self._centred(rows) if self.at_hand is None else self.at_hand[rows]

    def _centred(self, rows: slice) -> Tensor:
        return (self.x[rows] - self.middle).to(self.kind)


def tiles(n: int, side: int) -> list[slice]:
    "`n` rows in blocks of `side`."
    return [slice(a, min(n, a + side)) for a in range(0, n, side)]


def rounding(features: int, kind: torch.dtype) -> float:
    """How far |x|² + |y|² - 2x·y may be off, in units of (|x| + |y|)².

    A sum of d products errs by d·u at most and by 8√d·u with probability 1 - 3e-14 (Higham, Mary 2019).
    """
    return (min(features, 8 * math.sqrt(features)) + 8) * torch.finfo(kind).eps / 2


def exact_squares(x: Tensor, y: Tensor, rows: Tensor, columns: Tensor, max_bytes: int = MAX_BYTES) -> Tensor:
    "Squared distances of chosen pairs, in float64 and by differences: a copy is at exactly 0."
    out = torch.empty(len(rows), dtype=torch.float64, device=x.device)
    n = max(1, min(1 << 21, max_bytes // 64) // x.shape[1])
    for r, c, o in zip(rows.split(n), columns.split(n), out.split(n)):
        gap = x[r].double().sub_(y[c])
        o.copy_(torch.linalg.vecdot(gap, gap))
    return out


# %%
#| export
def _checked(name: str, x: Any, runs: int) -> Tensor:
    "`x` as a floating tensor `(*runs, n, *event)` without NaN and infinity."
    x = x if isinstance(x, Tensor) else batch(name, x)
    if x.ndim <= runs or not x.numel():
        lead = "".join(f"runs{i + 1}, " for i in range(runs)) if runs > 1 else "runs, " * runs
        raise ValueError(f"{name}: expected at least one example, shape ({lead}n, *event), got {tuple(x.shape)}")
    if not x.is_floating_point() or not torch.stack(torch.aminmax(x)).isfinite().all():
        x = batch(name, x.flatten(0, runs)).reshape(x.shape)  # converts, or says how many are wrong
    return x.detach().float() if x.dtype.itemsize < 4 else x.detach()


def _pair(queries: Any, pool: Any, runs: int) -> tuple[Tensor, Tensor]:
    "Both as `(*runs, n, features)`, of one dtype on one device; `ValueError` where they do not fit together."
    q, p = _checked("queries", queries, whole("runs", runs, 0)), _checked("pool", pool, runs)
    if q.shape[:runs] + q.shape[runs + 1:] != p.shape[:runs] + p.shape[runs + 1:]:
        raise ValueError(f"pool: expected the runs and the event of queries, got shapes {tuple(q.shape)} and "
                         f"{tuple(p.shape)}, where runs={runs} axes come before the examples")
    if q.device != p.device:
        raise ValueError(f"pool: expected device {q.device} as for queries, got {p.device}")
    kind = torch.promote_types(q.dtype, p.dtype)
    q, p = (x.flatten(runs + 1) if x.ndim > runs + 1 else x[..., None] for x in (q, p))
    return q.to(kind), p.to(kind)


# %%
#| export
def _kind(q: Tensor, p: Tensor) -> torch.dtype:
    "What first guesses are computed in: float32 in many dimensions, where neighbours are far apart and it is fast."
    coarse = torch.get_float32_matmul_precision() != "highest" or q.dtype != torch.float32 or q.shape[1] <= 16
    largest = max(x.abs().max().item() for x in (torch.stack(torch.aminmax(q)), torch.stack(torch.aminmax(p))))
    return torch.float64 if coarse or not 1e-12 < largest < 1e12 else torch.float32


class _Search:
    "The nearest rows of a pool, exactly: guesses by matrix products, then the few that could be nearest by differences."
    def __init__(self, q: Tensor, p: Tensor, max_bytes: int):
        kind, middle = _kind(q, p), p.mean(0)
        self.q, self.p, self.max_bytes = q, p, max_bytes
        self.middle = middle if middle.isfinite().all() else torch.zeros_like(middle)
        self.pool, self.kind = Cloud(p, self.middle, kind, max_bytes), kind
        self.longest, self.unit = self.pool.square.max().sqrt(), rounding(q.shape[1], kind)
        rows, columns = (2048, 256) if q.device.type == "cpu" else (8192, 8192)  # a CPU keeps such a tile in its cache
        side, widest = math.isqrt(max_bytes // 64), max(1, max_bytes // (64 * q.shape[1]))
        self.columns, self.height = tiles(len(p), min(columns, side, widest)), min(rows, side, widest)
        self.band = max(1, min(widest, max_bytes // (64 * len(self.columns)), 1 << 14))
        self.tile = torch.empty(min(self.height, len(q)) * self.columns[0].stop, dtype=kind, device=q.device)

    def __call__(self) -> tuple[Tensor, Tensor]:
        found = [self.search(self.q[rows]) for rows in tiles(len(self.q), self.band)]
        return tuple(map(torch.cat, zip(*found)))

    def guess(self, near: Tensor, columns: slice) -> Tensor:
        "|y|² - 2x·y, the squared distance but for |x|²."
        pool = self.pool[columns]
        tile = self.tile[:len(near) * len(pool)].view(len(near), len(pool))
        return torch.addmm(self.pool.square[columns], near, pool.T, alpha=-2, out=tile)

    def search(self, x: Tensor) -> tuple[Tensor, Tensor]:
        "For a band of queries: the lowest guess in each block of the pool, then a look into the blocks it could be in."
        near = (x - self.middle).to(self.kind)
        lows = torch.empty(len(self.columns), len(x), dtype=self.kind, device=x.device)
        for rows in tiles(len(x), self.height):
            for low, columns in zip(lows, self.columns):
                torch.amin(self.guess(near[rows], columns), 1, out=low[rows])
        error = (torch.linalg.vecdot(near, near).sqrt() + self.longest).square() * self.unit
        reach = lows.amin(0) + 2 * error
        best = torch.full((len(x),), math.inf, dtype=torch.float64, device=x.device)
        who = torch.zeros(len(x), dtype=torch.long, device=x.device)
        for low, columns in zip(lows, self.columns):
            for rows in (low <= reach).nonzero()[:, 0].split(self.height):
                r, c = (self.guess(near[rows], columns) <= reach[rows, None]).nonzero(as_tuple=True)
                self.offer(x, best, who, rows[r], c + columns.start)
        return best.sqrt(), who

    def offer(self, x: Tensor, best: Tensor, who: Tensor, rows: Tensor, columns: Tensor) -> None:
        "Keep what is nearer than the best so far; the lowest index where several are as near."
        square = exact_squares(x, self.p, rows, columns, self.max_bytes)
        low = torch.full_like(best, math.inf).scatter_reduce_(0, rows, square, "amin")
        first = square == low[rows]
        index = torch.full_like(who, len(self.p)).scatter_reduce_(0, rows[first], columns[first], "amin")
        nearer = low < best
        best[nearer], who[nearer] = low[nearer], index[nearer]


def _search(q: Tensor, p: Tensor, max_bytes: int) -> tuple[Tensor, Tensor]:
    "In a few dimensions by a tree, where it fits and leaves no doubt; else by the search."
    if q.shape[1] > 4 or q.device.type != "cpu" or 16 * p.shape[1] * (len(p) + 8) > max_bytes or len(p) < 64:
        return _Search(q, p, max_bytes)()
    from scipy.spatial import cKDTree
    tree, found = cKDTree(p.double().numpy(), balanced_tree=False), []
    for part in q.split(max(1, max_bytes // 256)):
        near, who = map(torch.from_numpy, tree.query(part.double().numpy(), k=2))
        doubt = (near[:, 1] <= near[:, 0] * (1 + 1e-12)).nonzero()[:, 0]
        if len(doubt):
            near[doubt, 0], who[doubt, 0] = _Search(part[doubt], p, max_bytes)()
        found.append((near[:, 0], who[:, 0]))
    return tuple(map(torch.cat, zip(*found)))


@torch.no_grad()
def nearest(queries: Tensor,  # (*runs, n, *event)
            pool: Tensor,  # (*runs, m, *event)
            *, max_bytes: int = MAX_BYTES,  # for everything held besides the arguments and the answer
            runs: int = 0,  # how many leading axes count runs; each run searches its own pool
            ) -> tuple[Tensor, Tensor]:  # distances (*runs, n), indices into the pool (*runs, n)
    """For each query the Euclidean distance to the nearest member of the pool, and its index; exact.

    Ties go to the lowest index and a copy is at distance 0, in float32 too. No gradient flows. An empty or unequal
    pair, NaN and infinity raise `ValueError`.
    """
    q, p = _pair(queries, pool, runs)
    max_bytes, device, lead = whole("max_bytes", max_bytes, 1 << 16), q.device, q.shape[:runs]
    if device.type == "mps":  # it has no float64
        q, p = q.cpu(), p.cpu()
    pairs = zip(q.flatten(0, runs - 1), p.flatten(0, runs - 1)) if runs else [(q, p)]
    found = [_search(a, b, max_bytes) for a, b in pairs]
    distance, index = (torch.stack(part).reshape(*lead, -1) for part in zip(*found))
    return distance.to(device, q.dtype), index.to(device)


# %%
#| export
def imle_loss(fake: Tensor,  # the generated examples matched to `real`, (*runs, batch, *event)
              real: Tensor,  # (*runs, batch, *event)
              *, runs: int = 0,  # how many leading axes count runs
              ) -> Tensor:  # (*runs,)
    "Squared distance from each real example to the generated one matched to it, averaged over the batch (Li, Malik 2018)."
    if fake.shape != real.shape or fake.ndim < whole("runs", runs, 0) + 1 or not fake.numel():
        raise ValueError(f"fake, real: expected two batches of one shape ({'runs, ' * runs}batch, *event), "
                         f"got {tuple(fake.shape)} and {tuple(real.shape)}")
    return (fake - real).square().flatten(runs + 1).sum(-1).mean(-1) if fake.ndim > runs + 1 else \
        (fake - real).square().mean(-1)


# %%
#| export
@torch.no_grad()
def match(G: Callable[[Tensor], Tensor],  # from latents (*runs, k, latent) to examples (*runs, k, *event)
          real: Tensor,  # (*runs, n, *event)
          latents: Tensor,  # the pool, (*runs, m, latent)
          *, features: Callable[[Tensor], Tensor] | None = None,  # what is compared, (*runs, k, *anything); None: the examples
          chunk: int = 4096,  # latents rendered at a time
          max_bytes: int = MAX_BYTES,  # for the search
          ) -> tuple[Tensor, Tensor]:  # distances (*runs, n), indices of latents (*runs, n)
    "For each real example the latent whose example, rendered by G in evaluation mode, is nearest."
    runs, features = latents.ndim - 2, features or (lambda x: x)
    training, wanted = getattr(G, "training", False), features(real)
    if isinstance(G, nn.Module):
        G.eval()
    try:
        best = who = None
        for start in range(0, latents.shape[-2], whole("chunk", chunk)):
            found = features(G(latents[..., start:start + chunk, :]))
            distance, index = nearest(wanted, found, max_bytes=max_bytes, runs=runs)
            nearer = torch.ones_like(index, dtype=torch.bool) if best is None else distance < best
            best = distance if best is None else torch.where(nearer, distance, best)
            who = index if who is None else torch.where(nearer, index + start, who)
    finally:
        if isinstance(G, nn.Module):
            G.train(training)
    return best, who


class Matches(nn.Module):
    "What a game keeps from one matching to the next: reals, the latents they were matched to, and when. Saved with the run."
    def __init__(self, runs: int, reals: int, event: tuple[int, ...], latent: int):
        super().__init__()
        self.register_buffer("x", torch.zeros(runs, reals, *event))
        self.register_buffer("z", torch.zeros(runs, reals, latent))
        self.register_buffer("since", torch.tensor(-1))


# %%
#| export
@game
@dataclass
class IMLE:
    "Implicit maximum likelihood estimation (Li, Malik 2018): each real example pulls the generated one nearest to it."
    G: nn.Module | Callable[[], nn.Module] | None = None  # your own, or one that fits the set
    reals: int = 1024  # real examples matched at a time
    pool: int = 10  # latents rendered for each of them
    refresh: int = 16  # steps from one matching to the next
    growth: float = 1.  # each such stretch is this much longer than the last
    jitter: float = 0.  # standard deviation of noise on matched latents
    latent: int | None = None  # length of z; None: fits the set
    width: int = 128  # hidden units of the default generator
    lr: float | dict[str, float] = 1e-3  # of Adam
    betas: tuple[float, float] = (.9, .99)
    turns: ClassVar[str] = "G"

    def __post_init__(self) -> None:
        for name in ("reals", "pool", "refresh"):
            whole(name, getattr(self, name))
        number("growth", self.growth, 1)
        number("jitter", self.jitter, 0)

    def players(self, event: tuple[int, ...], latent: int, runs: int, generator: Any) -> dict[str, nn.Module]:
        "The generator, one copy per run, and the memory of what it was matched to, which has no weights and never moves."
        def default_G() -> nn.Module:
            last = torch.tanh if len(event) > 1 else None  # pictures live in [-1, 1]
            return mlp(latent, event, self.width, runs=runs, generator=generator, last=last)
        return {"G": player("G", self.G, default_G, runs, generator), "matches": Matches(runs, self.reals, event, latent)}

    def features(self, x: Tensor) -> Tensor:
        "What is compared when reals look for their nearest sample: the examples themselves."
        return x

    def draw(self, t: Any) -> Tensor:
        "The real examples to match next, `(runs, reals, *event)`."
        return t.real(self.reals, "matched")

    def since(self, step: int) -> int:
        "The step of the last matching, at or before `step`."
        if self.growth == 1:
            return step // self.refresh * self.refresh
        start, length = 0, float(self.refresh)
        while step >= start + int(length):
            start, length = start + int(length), length * self.growth
        return start

    def matched(self, t: Any) -> tuple[Tensor, Tensor]:
        "This step's batch of real examples and their latents; a new matching first where one is due."
        memory, start = t.matches, self.since(t.step)
        if int(memory.since) != start:
            memory.x.copy_(self.draw(t))
            latents = t.noise(self.pool * self.reals, "pool")
            _, index = match(t.G, memory.x, latents, features=self.features)
            memory.z.copy_(latents.gather(1, index[..., None].expand_as(memory.z)))
            memory.since.fill_(start)
        n, first = min(t.batch, self.reals), (t.step - start) * t.batch
        rows = torch.arange(first, first + n, device=memory.z.device) % self.reals
        return memory.x[:, rows], memory.z[:, rows]

    def loss_G(self, t: Any) -> Tensor:
        "Squared distance from real examples to the samples matched to them."
        x, z = self.matched(t)
        if self.jitter:
            z = z + self.jitter * randn(*z.shape, generator=t.generator, device=z.device)
        return imle_loss(t.G(z), x, runs=1)
