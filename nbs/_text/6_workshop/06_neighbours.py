# %% [markdown]
# # Nearest neighbours
# > How is the nearest neighbour found exactly, fast and in little memory?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How is the nearest neighbour found exactly, fast and in little memory? |
# | **You will be able to** | use `nearest` on your own features; explain why it is exact though it computes in float32 |
# | **Needs** | [0.4](../0_start/04_coverage.ipynb) |
# | **Time** | seconds |
#
# This chapter is for contributors who change the search, and for users who want to know why its answer is exact. Precision and recall, the audit and IMLE all use it. For your own features one call is enough:
#
# ```python
# from modelab import nearest
#
# distance, index = nearest(queries, pool)    # (n, *event) and (m, *event) -> (n,) and (n,)
# ```
#
# For each query it gives the Euclidean distance to the nearest member of the pool, and its index in the pool. The other functions of this chapter are parts of this search.

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

# %%
import time

from modelab.core.checks import error_message
from modelab.course.notebooks import patch

# %% [markdown]
# ## The fast formula is wrong for copies
# Squared distances by a matrix product are fast: $|x-y|^2=|x|^2+|y|^2-2\,x\cdot y$. In float32 the three terms are rounded. Near a copy they cancel, and what remains is mostly rounding error. Here each of 500 random vectors of 3,072 numbers is compared with itself. The cell prints how many of the 500 distances are above 0.001, and the largest one:

# %%
x = torch.rand(500, 3072, generator=torch.Generator().manual_seed(0))
by_product = torch.cdist(x, x.clone(), compute_mode="use_mm_for_euclid_dist").diagonal()
(by_product > 1e-3).sum().item(), by_product.max().item()

# %%
assert (by_product > 1e-3).sum() > 50

# %% [markdown]
# Many copies are not at distance 0. A measure that looks for copied training data must not have this error. By differences in float64 a copy is at exactly 0. But differences cannot be written as a matrix product, and the product makes the formula fast. So the fast formula only makes a **guess**, with a bound on its error. The few rows that could be nearest are then compared by differences in float64.
#
# ## How wrong may the guess be?
# Let $u$ be the largest relative error when one number is rounded: half of torch's `eps`. A sum of $d$ products then has an error of at most about $d\,u$ times the sum of their absolute values. Rounding errors mostly cancel. If they are independent with mean zero, the factor is below $8\sqrt d\,u$ with probability at least $1-3\cdot10^{-14}\,d$ (Higham, Mary 2019). `rounding_bound` takes the smaller of the two, and adds $8\,u$ for the other operations.

# %%
#| export
def rounding_bound(features: int, kind: torch.dtype) -> float:
    "How far |x|² + |y|² - 2x·y may be off, in units of (|x| + |y|)²; Higham, Mary 2019."
    return (min(features, 8 * math.sqrt(features)) + 8) * torch.finfo(kind).eps / 2

# %%
exact = (x.double()[:, None] - x.double()[:20]).square().sum(-1)
guess = x.square().sum(1, keepdim=True) + x[:20].square().sum(1) - 2 * x @ x[:20].T
scale = (x.double().norm(dim=1)[:, None] + x.double()[:20].norm(dim=1)).square()
share = ((guess.double() - exact).abs() / scale).max().item() / rounding_bound(3072, torch.float32)
assert share < 1
share

# %% [markdown]
# None of ten thousand errors exceeds the bound. The number is the largest of them, as a share of the bound.
#
# ## Memory
# All steps work on blocks of rows, so that memory stays below `max_bytes`. This is the default:

# %%
#| export
MAX_BYTES = 1 << 26

# %% [markdown]
# `row_blocks` divides the rows into blocks of `side` rows. The last block may be shorter.

# %%
#| export
def row_blocks(n: int, side: int) -> list[slice]:
    "`n` rows in blocks of `side`."
    return [slice(a, min(n, a + side)) for a in range(0, n, side)]

# %% [markdown]
# The error grows with the norms of the rows, and distances do not change when all rows are moved. So the mean of the pool is subtracted from all rows. `CentredRows` does this. If there are few rows, the centred ones are kept in memory. Otherwise each block is centred when it is needed.

# %%
#| export
class CentredRows:
    "Rows about a middle, where rounding hurts least, in the type of the first guess."
    def __init__(self, x: Tensor, middle: Tensor, kind: torch.dtype, max_bytes: int = MAX_BYTES):
        self.x, self.middle, self.kind = x, middle.to(kind), kind
        small = x.numel() * kind.itemsize <= max_bytes // 4
        self.at_hand = self._centred(slice(None)) if small else None
        side = max(1, max_bytes // (32 * x.shape[1]))
        blocks = [self[rows] for rows in row_blocks(len(x), side)]
        self.square = torch.cat([torch.linalg.vecdot(part, part) for part in blocks])

    def __getitem__(self, rows: slice) -> Tensor:
        return self._centred(rows) if self.at_hand is None else self.at_hand[rows]

    def _centred(self, rows: slice) -> Tensor:
        return self.x[rows].to(self.kind) - self.middle

# %% [markdown]
# `exact_squared_distances` makes the exact comparison. It subtracts first, so a copy is at exactly 0.

# %%
#| export
def exact_squared_distances(x: Tensor, y: Tensor, rows: Tensor, columns: Tensor,
                            max_bytes: int = MAX_BYTES) -> Tensor:
    "Squared distances of chosen pairs, in float64 and by differences: a copy is at exactly 0."
    out = torch.empty(len(rows), dtype=torch.float64, device=x.device)
    n = max(1, min(1 << 21, max_bytes // 64) // x.shape[1])
    for r, c, o in zip(rows.split(n), columns.split(n), out.split(n)):
        gap = x[r].double().sub_(y[c])
        o.copy_(torch.linalg.vecdot(gap, gap))
    return out

# %% [markdown]
# `_search_dtype` chooses the type in which guesses are made. In few dimensions neighbours are close, and with float32 many rows would be candidates. So up to 16 dimensions guesses are made in float64. The same holds for numbers whose squares may leave the range of float32, and where torch is allowed to use a less accurate matrix product.

# %%
#| export
def _search_dtype(q: Tensor, p: Tensor) -> torch.dtype:
    "The type of first guesses: float32 in many dimensions, else float64."
    fine = torch.get_float32_matmul_precision() == "highest"
    if not fine or q.dtype != torch.float32 or q.shape[1] <= 16:
        return torch.float64
    ends = [torch.stack(torch.aminmax(q)), torch.stack(torch.aminmax(p))]
    largest = max(x.abs().max().item() for x in ends)
    return torch.float32 if 1e-12 < largest < 1e12 else torch.float64

# %% [markdown]
# ## The search
# `_Search` holds what the search needs. Queries are processed in bands and the pool in blocks. The guesses of some queries for one block are a *tile*. Each tile is written into the same memory.

# %%
#| export
class _Search:
    "The nearest rows of a pool, exactly: guesses by products, then candidates by differences."
    def __init__(self, q: Tensor, p: Tensor, max_bytes: int):
        kind, middle = _search_dtype(q, p), p.mean(0)
        self.q, self.p, self.max_bytes, self.kind = q, p, max_bytes, kind
        self.pool = CentredRows(p, torch.where(middle.isfinite(), middle, 0.), kind, max_bytes)
        self.longest = self.pool.square.max().sqrt()
        self.unit = rounding_bound(q.shape[1], kind)
        # a CPU keeps a tile of this size in its cache
        rows, columns = (2048, 256) if q.device.type == "cpu" else (8192, 8192)
        side, widest = math.isqrt(max_bytes // 64), max(16, max_bytes // (64 * q.shape[1]))
        self.columns = row_blocks(len(p), min(columns, side, widest))
        self.height = min(rows, side, widest)
        self.band = max(16, min(widest, max_bytes // (64 * len(self.columns)), 1 << 14))
        size = min(self.height, len(q)) * self.columns[0].stop
        self.tile = torch.empty(size, dtype=kind, device=q.device)

    def __call__(self) -> tuple[Tensor, Tensor]:
        found = [self.search(self.q[rows]) for rows in row_blocks(len(self.q), self.band)]
        return tuple(map(torch.cat, zip(*found)))

# %% [markdown]
# `guess` computes one tile. It leaves out $|x|^2$, which is the same for all rows of the pool.

# %%
#| export
@patch
def guess(self: _Search, near: Tensor, columns: slice) -> Tensor:
    "|y|² - 2x·y, the squared distance but for |x|²."
    pool = self.pool[columns]
    tile = self.tile[:len(near) * len(pool)].view(len(near), len(pool))
    return torch.addmm(self.pool.square[columns], near, pool.T, alpha=-2, out=tile)

# %% [markdown]
# `search` goes over the pool twice. The first pass keeps the lowest guess of each block. A block whose lowest guess is more than two error bounds above the lowest of all cannot hold the nearest row. The second pass looks into the other blocks, and passes their candidates to `offer`.

# %%
#| export
@patch
def search(self: _Search, x: Tensor) -> tuple[Tensor, Tensor]:
    "For a band of queries the distances of the nearest rows and their indices."
    near = x.to(self.kind) - self.pool.middle
    lows = torch.empty(len(self.columns), len(x), dtype=self.kind, device=x.device)
    for rows in row_blocks(len(x), self.height):
        for low, columns in zip(lows, self.columns):
            torch.amin(self.guess(near[rows], columns), 1, out=low[rows])
    error = (torch.linalg.vecdot(near, near).sqrt() + self.longest).square() * self.unit
    reach = lows.amin(0) + 2 * error
    best = torch.full((len(x),), math.inf, dtype=torch.float64, device=x.device)
    who = torch.zeros(len(x), dtype=torch.long, device=x.device)
    for low, columns in zip(lows, self.columns):
        for rows in (low <= reach).nonzero()[:, 0].split(self.height):
            within = self.guess(near[rows], columns) <= reach[rows, None]
            r, c = within.nonzero(as_tuple=True)
            self.offer(x, best, who, rows[r], c + columns.start)
    return best.sqrt(), who

# %% [markdown]
# `offer` compares candidates exactly. Of several rows at the same distance the first one in the pool is taken. So the result does not depend on the blocks.

# %%
#| export
@patch
def offer(self: _Search, x: Tensor, best: Tensor, who: Tensor,
          rows: Tensor, columns: Tensor) -> None:
    "Keep what is nearer than the best so far; the lowest index where several are as near."
    square = exact_squared_distances(x, self.p, rows, columns, self.max_bytes)
    low = torch.full_like(best, math.inf).scatter_reduce_(0, rows, square, "amin")
    first = square == low[rows]
    index = torch.full_like(who, len(self.p))
    index = index.scatter_reduce_(0, rows[first], columns[first], "amin")
    nearer = low < best
    best[nearer], who[nearer] = low[nearer], index[nearer]

# %% [markdown]
# In up to four dimensions `_tree_search` uses a k-d tree of scipy, which compares a query with only a part of the pool. The tree does not say which of two equally near rows comes first. If the second neighbour is as near as the first one, the search above decides.

# %%
#| export
def _tree_search(q: Tensor, p: Tensor, max_bytes: int) -> tuple[Tensor, Tensor]:
    "By a k-d tree in float64; doubtful cases by the search."
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
# `_nearest_of_pool` chooses between the tree and the search. The tree holds a copy of the pool in float64, so it is only used if this copy fits into `max_bytes`.

# %%
#| export
def _nearest_of_pool(q: Tensor, p: Tensor, max_bytes: int) -> tuple[Tensor, Tensor]:
    "In a few dimensions by a tree, where it fits into memory; else by the search."
    tree_bytes = 16 * p.shape[1] * (len(p) + 8)
    few = q.shape[1] <= 4 and len(p) >= 64 and q.device.type == "cpu"
    if few and tree_bytes <= max_bytes:
        return _tree_search(q, p, max_bytes)
    return _Search(q, p, max_bytes)()

# %% [markdown]
# ## What callers see
# Examples may have any shape, and axes that count runs may come before them. `check_examples` checks one of the two arguments. Half-precision numbers are compared as float32.

# %%
#| export
def check_examples(name: str, x: Any, runs: int) -> Tensor:
    "`x` as a floating tensor `(*runs, n, *event)` without NaN and infinity."
    x = x if isinstance(x, Tensor) else check_batch(name, x)
    if x.ndim <= runs or not x.numel():
        lead = "".join(f"runs{i + 1}, " for i in range(runs)) if runs > 1 else "runs, " * runs
        raise ValueError(f"{name}: expected at least one example, shape ({lead}n, *event), "
                         f"got {tuple(x.shape)}")
    if not x.is_floating_point() or not torch.stack(torch.aminmax(x)).isfinite().all():
        # converts, or says how many are wrong
        x = check_batch(name, x.flatten(0, runs)).reshape(x.shape)
    return x.detach().float() if x.dtype.itemsize < 4 else x.detach()

# %% [markdown]
# Queries and pool must agree in their runs, in the shape of an example and in their device. `_pair` checks that and flattens the examples to rows.

# %%
#| export
def _pair(queries: Any, pool: Any, runs: int) -> tuple[Tensor, Tensor]:
    "Both as `(*runs, n, features)`, of one type on one device, or a `ValueError`."
    q = check_examples("queries", queries, check_int("runs", runs, 0))
    p = check_examples("pool", pool, runs)
    if q.shape[:runs] + q.shape[runs + 1:] != p.shape[:runs] + p.shape[runs + 1:]:
        raise ValueError("pool: expected the runs and the event of queries, got shapes "
                         f"{tuple(q.shape)} and {tuple(p.shape)}, where runs={runs} axes come "
                         "before the examples")
    if q.device != p.device:
        raise ValueError(f"pool: expected device {q.device} as for queries, got {p.device}")
    kind = torch.promote_types(q.dtype, p.dtype)
    q, p = (x.flatten(runs + 1) if x.ndim > runs + 1 else x[..., None] for x in (q, p))
    return q.to(kind), p.to(kind)

# %% [markdown]
# `nearest` is the function for users. With `runs=1` the first axis counts runs, and each run searches its own pool.

# %%
#| export
@torch.no_grad()
def nearest(queries: Tensor,  # (*runs, n, *event)
            pool: Tensor,  # (*runs, m, *event)
            *, max_bytes: int = MAX_BYTES,  # for what is held besides arguments and answer
            runs: int = 0,  # how many leading axes count runs; each run searches its own pool
            ) -> tuple[Tensor, Tensor]:  # distances (*runs, n), indices into the pool (*runs, n)
    """For each query the Euclidean distance to the nearest member of the pool, and its index.

    Exact: ties go to the lowest index and a copy is at distance 0, in float32 too. No gradient
    flows. An empty or unequal pair, NaN and infinity raise `ValueError`.
    """
    q, p = _pair(queries, pool, runs)
    max_bytes, device = check_int("max_bytes", max_bytes, 1 << 16), q.device
    if device.type == "mps":  # it has no float64
        q, p = q.cpu(), p.cpu()
    pairs = zip(q.flatten(0, runs - 1), p.flatten(0, runs - 1)) if runs else [(q, p)]
    found = [_nearest_of_pool(a, b, max_bytes) for a, b in pairs]
    distance, index = (torch.stack(part).reshape(*q.shape[:runs], -1) for part in zip(*found))
    return distance.to(device, q.dtype), index.to(device)

# %% [markdown]
# **Check.** Copies are found at distance 0, and of two copies the first one is taken. The distances are those of differences in float64, and less memory does not change them. With `runs=1` each run gets the answer that it gets alone. Other shapes and an empty set are refused.

# %%
queries = torch.cat([x[:50], x[50:80] + .01])
pool = torch.cat([x, x[:10]])
distance, index = nearest(queries, pool)
assert (distance[:50] == 0).all() and torch.equal(index[:80], torch.arange(80))

# %%
in_full = torch.cdist(queries.double(), pool.double(), compute_mode="donot_use_mm_for_euclid_dist")
assert torch.allclose(distance.double(), in_full.amin(1), rtol=1e-6, atol=1e-12)
small = nearest(queries, pool, max_bytes=1 << 20)
assert torch.equal(small[0], distance) and torch.equal(small[1], index)

# %%
points = torch.randn(3, 100, 2, generator=torch.Generator().manual_seed(1))
per_run, _ = nearest(points, points.flip(1) + .01, runs=1)
one_by_one = torch.stack([nearest(p, p.flip(0) + .01)[0] for p in points])
assert torch.equal(per_run, one_by_one)
[error_message(nearest, points, points[:, :, :1]), error_message(nearest, points[:0], points)]

# %% [markdown]
# ## What it costs
# The cells compare the time of the exact search with that of the fast formula, on the 500 vectors above. The last cell fails if the search takes a hundred times as long. It prints no time, because times differ from machine to machine.

# %%
def seconds(call) -> float:
    "The shortest time of three calls."
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)

# %%
fast = seconds(lambda: torch.cdist(x, x, compute_mode="use_mm_for_euclid_dist").min(1))
ours = seconds(lambda: nearest(x, x))
assert ours < 100 * max(fast, 1e-3)

# %% [markdown]
# `python benchmarks/nearest.py` measures larger sets: the nearest of 10,000 for each of 60,000, beside faiss, scikit-learn and scipy. Chapter [3.1](../3_inclusion/01_imle.ipynb) shows the recorded table. In that record (two CPU threads), modelab takes 0.6 seconds in 64 dimensions and 3.9 in 512; faiss takes 0.7 and 3.5.
#
# ## Exercise
# Why is the reach of the second pass two error bounds and not one?

# %% [markdown]
# <details><summary>Answer</summary>
#
# The lowest guess may be too low by one bound, and the guess of the truly nearest row may be too high by one bound. So the guess of the truly nearest row may be up to two bounds above the lowest guess.
# </details>

# %% [markdown]
# ## Recap
# - Distances by matrix products are fast, but wrong for copies. By differences, a copy is at exactly 0.
# - A guess with a bound on its error leaves few candidates, and these are compared exactly.
# - Blocks bound the memory and do not change the answer.
#
# ## References
# - Higham, Mary 2019, *A New Approach to Probabilistic Rounding Error Analysis*.
