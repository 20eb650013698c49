# %% [markdown]
# # Nearest neighbours
# > How is the nearest neighbour found exactly, fast and in little memory?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How is the nearest neighbour found exactly, fast and in little memory? |
# | **You will be able to** | read and change this part of the library |
# | **Needs** | nothing |
# | **Time** | seconds |

# %%
#| default_exp evaluation.neighbours

# %%
#| export
"Exact nearest neighbours in bounded memory."
from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from modelab.core.checks import check_batch, check_int

# %% [markdown]
# The search keeps all that it holds besides its arguments and its answer under a number of bytes.

# %%
#| export
MAX_BYTES = 1 << 27


# %% [markdown]
# A squared distance is computed as $|x|^2 + |y|^2 - 2\,x\cdot y$, one matrix product for many pairs. It rounds least when the rows lie around zero.

# %%
#| export
class CentredRows:
    """Rows about a middle, where rounding hurts least.

    Float32 where that is enough for a first guess at distances.
    """
    def __init__(self, x: Tensor, middle: Tensor, kind: torch.dtype, max_bytes: int = MAX_BYTES):
        self.x, self.middle, self.kind = x, middle.to(kind), kind
        self.at_hand = (
            self._centred(slice(None)) if x.numel() * kind.itemsize <= max_bytes // 4 else None
        )
        side = max(1, max_bytes // (32 * x.shape[1]))
        self.square = torch.cat(
            [
                torch.linalg.vecdot(part, part)
                for part in map(self.__getitem__, row_blocks(len(x), side))
            ]
        )

    def __getitem__(self, rows: slice) -> Tensor:
        return self._centred(rows) if self.at_hand is None else self.at_hand[rows]

    def _centred(self, rows: slice) -> Tensor:
        return self.x[rows].to(self.kind) - self.middle


# %% [markdown]
# Rows are handled in blocks, so that a block of distances fits into the cache.

# %%
#| export
def row_blocks(n: int, side: int) -> list[slice]:
    "`n` rows in blocks of `side`."
    return [slice(a, min(n, a + side)) for a in range(0, n, side)]


# %% [markdown]
# The product rounds. This bound says by how much a squared distance may be wrong, so that no neighbour is lost to rounding.

# %%
#| export
def rounding_bound(features: int, kind: torch.dtype) -> float:
    """How far |x|² + |y|² - 2x·y may be off, in units of (|x| + |y|)².

    A sum of d products errs by d·u at most and by 8√d·u with probability 1 - 3e-14 (Higham, Mary
    2019).
    """
    return (min(features, 8 * math.sqrt(features)) + 8) * torch.finfo(kind).eps / 2


# %% [markdown]
# Where the bound leaves a doubt, differences in float64 decide.

# %%
#| export
def exact_squared_distances(
    x: Tensor, y: Tensor, rows: Tensor, columns: Tensor, max_bytes: int = MAX_BYTES
) -> Tensor:
    "Squared distances of chosen pairs, in float64 and by differences: a copy is at exactly 0."
    out = torch.empty(len(rows), dtype=torch.float64, device=x.device)
    n = max(1, min(1 << 21, max_bytes // 64) // x.shape[1])
    for r, c, o in zip(rows.split(n), columns.split(n), out.split(n)):
        gap = x[r].double().sub_(y[c])
        o.copy_(torch.linalg.vecdot(gap, gap))
    return out


# %% [markdown]
# Queries and pool may be any real arrays of examples.

# %%
#| export
def check_examples(name: str, x: Any, runs: int) -> Tensor:
    "`x` as a floating tensor `(*runs, n, *event)` without NaN and infinity."
    x = x if isinstance(x, Tensor) else check_batch(name, x)
    if x.ndim <= runs or not x.numel():
        lead = "".join(f"runs{i + 1}, " for i in range(runs)) if runs > 1 else "runs, " * runs
        raise ValueError(
            f"{name}: expected at least one example, shape ({lead}n, *event), got {tuple(x.shape)}"
        )
    if not x.is_floating_point() or not torch.stack(torch.aminmax(x)).isfinite().all():
        # converts, or says how many are wrong
        x = check_batch(name, x.flatten(0, runs)).reshape(x.shape)
    return x.detach().float() if x.dtype.itemsize < 4 else x.detach()


# %% [markdown]
# Both are brought to one form.

# %%
#| export
def _pair(queries: Any, pool: Any, runs: int) -> tuple[Tensor, Tensor]:
    """Both as `(*runs, n, features)`, of one dtype on one device.

    `ValueError` where they do not fit together.
    """
    q, p = check_examples("queries", queries, check_int("runs", runs, 0)), check_examples(
        "pool", pool, runs
    )
    if q.shape[:runs] + q.shape[runs + 1:] != p.shape[:runs] + p.shape[runs + 1:]:
        raise ValueError(
            f"pool: expected the runs and the event of queries, got shapes {tuple(q.shape)} and "
            f"{tuple(p.shape)}, where runs={runs} axes come before the examples"
        )
    if q.device != p.device:
        raise ValueError(f"pool: expected device {q.device} as for queries, got {p.device}")
    kind = torch.promote_types(q.dtype, p.dtype)
    q, p = (x.flatten(runs + 1) if x.ndim > runs + 1 else x[..., None] for x in (q, p))
    return q.to(kind), p.to(kind)


# %% [markdown]
# Guesses in float32 are twice as fast. They are used where neighbours are far enough apart.

# %%
#| export
def _search_dtype(q: Tensor, p: Tensor) -> torch.dtype:
    """What first guesses are computed in.

    Float32 in many dimensions, where neighbours are far apart and it is fast.
    """
    coarse = (
        torch.get_float32_matmul_precision() != "highest"
        or q.dtype != torch.float32
        or q.shape[1] <= 16
    )
    largest = max(
        x.abs().max().item() for x in (torch.stack(torch.aminmax(q)), torch.stack(torch.aminmax(p)))
    )
    return torch.float64 if coarse or not 1e-12 < largest < 1e12 else torch.float32


# %%
from modelab.course.notebooks import patch

# %% [markdown]
# The search itself holds the pool, the blocks and one reusable tile of distances.

# %%
#| export
class _Search:
    """The nearest rows of a pool, exactly.

    Guesses by matrix products, then the few that could be nearest by differences.
    """
    def __init__(self, q: Tensor, p: Tensor, max_bytes: int):
        kind, middle = _search_dtype(q, p), p.mean(0)
        self.q, self.p, self.max_bytes, self.kind = q, p, max_bytes, kind
        self.pool = CentredRows(p, torch.where(middle.isfinite(), middle, 0.), kind, max_bytes)
        self.longest, self.unit = self.pool.square.max().sqrt(), rounding_bound(q.shape[1], kind)
        # a CPU keeps such a tile in its cache
        rows, columns = (2048, 256) if q.device.type == "cpu" else (8192, 8192)
        side, widest = math.isqrt(max_bytes // 64), max(16, max_bytes // (64 * q.shape[1]))
        self.columns, self.height = row_blocks(len(p), min(columns, side, widest)), min(
            rows, side, widest
        )
        self.band = max(16, min(widest, max_bytes // (64 * len(self.columns)), 1 << 14))
        self.tile = torch.empty(
            min(self.height, len(q)) * self.columns[0].stop, dtype=kind, device=q.device
        )

# %%
#| export
@patch
def __call__(self: _Search) -> tuple[Tensor, Tensor]:
    found = [self.search(self.q[rows]) for rows in row_blocks(len(self.q), self.band)]
    return tuple(map(torch.cat, zip(*found)))

# %%
#| export
@patch
def guess(self: _Search, near: Tensor, columns: slice) -> Tensor:
    "|y|² - 2x·y, the squared distance but for |x|²."
    pool = self.pool[columns]
    tile = self.tile[:len(near) * len(pool)].view(len(near), len(pool))
    return torch.addmm(self.pool.square[columns], near, pool.T, alpha=-2, out=tile)

# %% [markdown]
# A search first takes the lowest guess in each block of the pool. Then it looks again into the blocks in which the nearest could be, and compares by exact differences.

# %%
#| export
@patch
def lowest(self: _Search, near: Tensor) -> Tensor:
    "The lowest guess in each block of the pool, (blocks, queries)."
    lows = torch.empty(len(self.columns), len(near), dtype=self.kind, device=near.device)
    for rows in row_blocks(len(near), self.height):
        for low, columns in zip(lows, self.columns):
            torch.amin(self.guess(near[rows], columns), 1, out=low[rows])
    return lows


# %%
#| export
@patch
def search(self: _Search, x: Tensor) -> tuple[Tensor, Tensor]:
    "Distances and indices of the nearest rows for a band of queries."
    near = x.to(self.kind) - self.pool.middle
    lows = self.lowest(near)
    error = (torch.linalg.vecdot(near, near).sqrt() + self.longest).square() * self.unit
    reach = lows.amin(0) + 2 * error
    best = torch.full((len(x),), math.inf, dtype=torch.float64, device=x.device)
    index = torch.zeros(len(x), dtype=torch.long, device=x.device)
    for low, columns in zip(lows, self.columns):
        for rows in (low <= reach).nonzero()[:, 0].split(self.height):
            guesses = self.guess(near[rows], columns) <= reach[rows, None]
            r, c = guesses.nonzero(as_tuple=True)
            self.offer(x, best, index, rows[r], c + columns.start)
    return best.sqrt(), index


# %% [markdown]
# Candidates replace the best so far if they are nearer; the lowest index wins a tie.

# %%
#| export
@patch
def offer(self: _Search, x: Tensor, best: Tensor, who: Tensor, rows: Tensor,
          columns: Tensor) -> None:
    "Keep what is nearer than the best so far; the lowest index where several are as near."
    square = exact_squared_distances(x, self.p, rows, columns, self.max_bytes)
    low = torch.full_like(best, math.inf).scatter_reduce_(0, rows, square, "amin")
    first = square == low[rows]
    index = torch.full_like(who, len(self.p)).scatter_reduce_(
        0, rows[first], columns[first], "amin"
    )
    nearer = low < best
    best[nearer], who[nearer] = low[nearer], index[nearer]

# %% [markdown]
# In few dimensions a tree of scipy is faster than any product.

# %%
#| export
def _search(q: Tensor, p: Tensor, max_bytes: int) -> tuple[Tensor, Tensor]:
    "In a few dimensions by a tree, where it fits and leaves no doubt; else by the search."
    if (
        q.shape[1] > 4
        or q.device.type != "cpu"
        or 16 * p.shape[1] * (len(p) + 8) > max_bytes
        or len(p) < 64
    ):
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


# %% [markdown]
# The public function checks its arguments and searches run by run.

# %%
#| export
@torch.no_grad()
def nearest(queries: Tensor,  # (*runs, n, *event)
            pool: Tensor,  # (*runs, m, *event)
            *, max_bytes: int = MAX_BYTES,  # for what is held besides arguments and answer
            runs: int = 0,  # how many leading axes count runs; each run searches its own pool
            ) -> tuple[Tensor, Tensor]:  # distances (*runs, n), indices into the pool (*runs, n)
    """For each query the Euclidean distance to the nearest member of the pool, and its index;
    exact.

    Ties go to the lowest index and a copy is at distance 0, in float32 too. No gradient flows. An
    empty or unequal pair, NaN and infinity raise `ValueError`.
    """
    q, p = _pair(queries, pool, runs)
    max_bytes, device, lead = check_int("max_bytes", max_bytes, 1 << 16), q.device, q.shape[:runs]
    if device.type == "mps":  # it has no float64
        q, p = q.cpu(), p.cpu()
    pairs = zip(q.flatten(0, runs - 1), p.flatten(0, runs - 1)) if runs else [(q, p)]
    found = [_search(a, b, max_bytes) for a, b in pairs]
    distance, index = (torch.stack(part).reshape(*lead, -1) for part in zip(*found))
    return distance.to(device, q.dtype), index.to(device)


# %% [markdown]
# **Check.** Against all distances by differences, with ties and copies.

# %%
generator = torch.Generator().manual_seed(0)
pool = torch.randn(500, 8, generator=generator)
queries = torch.cat([torch.randn(200, 8, generator=generator), pool[:5]])
distance, index = nearest(queries, pool)
exact = (queries[:, None].double() - pool.double()).norm(dim=-1)
assert torch.equal(index, exact.argmin(1)) and torch.allclose(distance.double(), exact.amin(1))
assert (distance[-5:] == 0).all()

# %% [markdown]
# ## Recap
# - Distances are guessed by matrix products and decided by exact differences.
# - A bound on rounding says which candidates must be looked at again.
# - Memory stays under `max_bytes`, whatever the size of the pool.
