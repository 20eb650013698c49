# %% [markdown]
# # FlatGAN: a latent that follows a given direction
# > The latents of a GAN have no meaning. Can I say before training what one of them changes?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | The latents of a GAN have no meaning. Can I say *before* training what one of them changes? |
# | **You will be able to** | write data with tangents as a current, push a latent direction through a generator, compute a flat norm exactly, and train a generator whose first latent moves along the data |
# | **Paper** | Möllenhoff and Cremers, *Flat metric minimization with applications in generative modeling*, ICML 2019 (FlatGAN) |
# | **Needs** | [1.2](../1_game/02_training.ipynb), [1.4](../1_game/04_wasserstein.ipynb) |
# | **Time** | about half a minute of computing |

# %%
#| default_exp methods.currents

# %%
#| export
"FlatGAN: generative models with currents and the flat norm (Möllenhoff and Cremers 2019)."
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import nn, Tensor

from modelab.core.checks import check_choice, check_shape
from modelab.core.registry import register_game
from modelab.core.seeding import Generators, rand, randn
from modelab.core.signatures import (checked, Count, Critic, Function, Index, InstanceOf,
                                     NonNegative, Positive, Shape)
from modelab.losses.penalties import per_example, random_interpolate
from modelab.methods.wasserstein import critic_loss, wasserstein_generator_loss
from modelab.networks.convolutional import ConvDiscriminator
from modelab.networks.layers import make_player, mlp
from modelab.networks.players import Networks, Player
from modelab.training.game import CriticGame
from modelab.training.optimiser import Optimiser

# %%
from modelab.core.checks import error_message
from modelab.core.plotting import ACCENT, axes, FAKE, Film, MISSING, Picture, REAL
from modelab.core.statistics import interval
from modelab.course.claims import claim, experiment, fast_mode, recorded, recorded_pictures, steps
from modelab.core.registry import with_settings
from modelab.course.notebooks import patch
from modelab.data.mixtures import ring
from modelab.evaluation.coverage import coverage_table
from modelab.training.optimiser import Schedule
from modelab.training.run import Run

# %% [markdown]
# ## A latent without a meaning
# The data are forty points on a circle. The generator has five latents, each uniform on $[-\pi,\pi]$. The first one is an *angle*: $G$ gets its cosine and sine. The game is a Wasserstein game whose critic may not rise faster than one (`Currents` without directions, defined below). It has three turns of the critic for one of $G$ and a rate of 0.01. (The rates and the turns of this chapter were chosen by hand, so each comparison below says whether they are equal.) We begin with one seed.

# %%
data = ring(40, std=.02)

# %%
def train(rules, n: int = 600, stop: int | None = None, runs: int = 8):
    "Train to `stop`; the rates fall over the second half of n steps, in ten stairs."
    rules = with_settings(rules, schedule=Schedule("linear", n, stairs=10))
    return Run(rules, data, runs=runs, batch=64, average=.99, device="cpu").step(stop or steps(n))


# %%
from modelab.methods.currents import Currents

# %%
no_directions = Currents(along="", n_critic=3, optimiser=Optimiser(1e-2))

# %%
free = train(no_directions, runs=1)
assert free.coverage()[0].captured == 40 or fast_mode()
assert .4 < free.coverage()[0].high_quality < .5 or fast_mode()
coverage_table(free.coverage())

# %% [markdown]
# In this one seed all forty modes are captured, and nearly half of the samples are good. (The column "[null](../glossary.ipynb)" is uniform noise. It captures nearly as many modes, with few good samples.) Now keep four latents fixed and let the first one go from $-\pi$ to $\pi$.
#
# **Predict:** the points are on a circle and the latent is an angle. How does the sample move while the latent goes round once?

# %%
@torch.no_grad()
def orbits(run, n: int = 20, stops: int = 100):
    "Where samples go while their first latent goes round, (runs, n, stops, 2)."
    z = run.noise(n, run.generators("orbits"))[:, :, None].repeat(1, 1, stops, 1)
    z[..., 0] = torch.linspace(-math.pi, math.pi, stops)
    return run.players.averaged(z.flatten(1, 2)).unflatten(1, (n, stops))


# %%
def draw(ax, run, title: str, n: int = 5):
    "Orbits of seed 0; the first one has an arrow where the latent is zero."
    lines = orbits(run, n)[0]
    for line in lines:
        ax.plot(*line.T, c=FAKE, lw=1)
    arrow = {"arrowstyle": "->", "color": MISSING}
    ax.annotate("", lines[0, 58], lines[0, 50], arrowprops=arrow)
    ax.plot(*data.centers.T, "o", c=REAL, ms=3)
    ax.set(title=title, xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal", xlabel="x", ylabel="y")

# %%
figure, ax = axes(size=(3.2, 3.2))
draw(ax, free, "no directions")
Picture(figure, "Five orbits of the first latent: little loops and wiggles on the circle and "
        "inside it, none goes round it")

# %% [markdown]
# The samples stay in one region. Two numbers measure this. The **winding** counts how often an orbit, the path of one sample, goes round the centre. The **lock** compares two angles, that of the sample and the latent. If they differ by a constant, the lock is 1; if they are independent, it is 0. It is the length of the mean of the differences, taken as unit vectors.

# %%
def windings(run):
    "How often each of twenty orbits goes round the centre, seed by seed."
    step = torch.atan2(*orbits(run).flip(-1).unbind(-1)).diff(dim=-1)
    return (torch.remainder(step + math.pi, 2 * math.pi) - math.pi).sum(-1) / (2 * math.pi)


# %%
def locked(run, sense: int = 1):
    "How closely the sample's angle follows the latent, seed by seed; `sense` -1: backwards."
    z = run.noise(2000, run.generators("locked"))
    with torch.no_grad():
        x = run.players.averaged(z)
    gap = torch.atan2(x[..., 1], x[..., 0]) - sense * z[..., 0]
    return torch.hypot(gap.cos().mean(1), gap.sin().mean(1))


# %%
def measured(run) -> dict:
    "What this chapter compares, seed by seed."
    return {"winding": windings(run).mean(1), "lock": locked(run), "backwards": locked(run, -1),
            "good": [c.high_quality for c in run.coverage()]}

# %% [markdown]
# Now eight seeds. They were trained once and recorded; the cell replays their first steps (chapter [0.2](../0_start/02_evidence.ipynb)). So do all cells below that call an `@experiment`.

# %%
@experiment("03_currents", early=10)
def without_directions(total=600):
    "Eight seeds without directions."
    return measured(train(no_directions, stop=total))


# %%
def in_words(found: dict) -> dict:
    return {name: f"winding {interval(row['winding']):.3f}, "
                  f"lock {interval(row['lock'], low=0, high=1):.3f}" for name, row in found.items()}


# %%
found = {"no directions": without_directions()}
locks = found["no directions"]["lock"]
assert sum(lock < .1 for lock in locks) == 7 or fast_mode()
in_words(found), "largest lock:", round(max(locks), 2), "of seed", locks.index(max(locks))

# %% [markdown]
# No orbit goes round on average, and in seven of eight seeds the lock is below 0.1. One seed has a lock of 0.45, so there the first latent and the angle of the sample are related by chance. This is no failure of the training. The game compares two distributions of points. So the distribution must be right, and nothing says which latent moves a sample where.

# %% [markdown]
# ## Data with tangents: currents
# Often more is known about data. A picture can be turned, moved or brightened; a frame of a film has a next one. Then each real point $x_i$ has a *tangent* $\tau_i$, a vector that says how it changes, or $k$ of them. How can such data be compared with a generator?
#
# A critic $f$ gives each point a number. A critic of points *and* vectors that is linear in every vector, and changes its sign when two vectors change places, is a **form**. With one vector it is a vector field $w$, a function that gives a vector at each point, and its value is the product $w(x)\cdot v$: how far the movement $v$ goes in the direction of $w$. With $k$ vectors it is a **k-form**. Ours is a product of $k$ vector fields $w_1,\dots,w_k$, and its value is a determinant (from $k=2$ vectors in $d=4$ dimensions on, not every form is such a product):
#
# $$\omega(x;v_1,\dots,v_k)=\det\big[\,w_i(x)\cdot v_j\,\big]_{ij}.$$

# %%
#| export
Vectors = Annotated[Tensor, Shape("*points k d")]  # k vectors of d numbers at each point


# %% [markdown]
# The function takes the determinant of all products $w_i\cdot v_j$ at each point.

# %%
#| export
@checked
def form_on_vectors(forms: Vectors, vectors: Vectors) -> Tensor:
    """The value of a k-form at k vectors, det[wᵢ·vⱼ] of its fields w and the vectors, `(*points,)`.

    It changes its sign when two vectors change places. `ValueError` for more fields than numbers of
    a point, d.
    """
    k, d = forms.shape[-2:]
    if k > d:
        raise ValueError(f"forms: expected at most d={d} fields of d numbers, got k={k}")
    dots = forms @ vectors.mT
    if k == 1:
        return dots[..., 0, 0]
    single = dots if dots.dtype.itemsize > 2 else dots.float()  # no determinants in half precision
    return torch.linalg.det(single).to(dots.dtype)


# %%
g = torch.Generator().manual_seed(0)
w, v = torch.randn(2, 6, 2, 3, generator=g, dtype=torch.float64)
across = torch.linalg.cross(w[:, 0], w[:, 1]), torch.linalg.cross(v[:, 0], v[:, 1])
assert torch.allclose(form_on_vectors(w, v), (across[0] * across[1]).sum(-1))
assert torch.allclose(form_on_vectors(w, v.flip(1)), -form_on_vectors(w, v))
form_on_vectors(w, v)[:3], form_on_vectors(w, v.flip(1))[:3]

# %% [markdown]
# With two vectors in three dimensions it is the dot product of two cross products. So only the *oriented area* that the vectors span counts, not which vectors span it. This matters at the end of the chapter.
#
# Data with tangents define a number for every form: $T(\omega)=\frac1n\sum_i\omega(x_i;\tau_i)$. This map $T$ is a **current**. A generator defines a current as well. Its latent has directions $e_1,\dots,e_k$, the first $k$ coordinates. $G$ maps the latent $z$ to $G(z)$ and each direction to $J_G(z)\,e_j$, where $J_G$ is the Jacobian: how the sample moves when that latent does.
#
# $$(G_\#S)(\omega)=\mathbb E_z\;\omega\big(G(z);\,J_G(z)e_1,\dots,J_G(z)e_k\big).$$
#
# The whole Jacobian is not needed. A backward pass gives $J^{\mathsf T}u$ for any $u$. Its coordinate $j$ is linear in $u$, and the derivative of that in $u$ is $Je_j$. So two backward passes give a column:

# %%
#| export
def _pointwise_gradient(values: Tensor, x: Tensor) -> Tensor:
    "The gradient of each value in its own point; zero where no value depends on its point."
    if not values.requires_grad:
        return torch.zeros_like(x)
    return torch.autograd.grad(values.sum(), x, create_graph=True, materialize_grads=True)[0]


# %% [markdown]
# The code sums over points before each backward pass. This is allowed because a point's value depends on that point alone.

# %%
#| export
def _columns(x: Tensor, z: Tensor, k: int) -> Tensor:
    "The derivatives of x = G(z) `(*lead, *event)` along the first k latents, `(*lead, k, d)`."
    lead, event = z.shape[:-1], x.shape[z.ndim - 1:]
    u = torch.zeros_like(x, requires_grad=True)
    inner = (x * u).flatten(len(lead)).sum(-1) if event else x * u  # u·G(z), example by example
    pulled = _pointwise_gradient(inner, z)  # Jᵀu
    columns = [_pointwise_gradient(pulled[..., j], u).reshape(*lead, -1) for j in range(k)]
    return torch.stack(columns, -2) if k else x.new_zeros(*lead, 0, math.prod(event))


# %% [markdown]
# In the public function one forward pass gives the samples, and $k$ such columns say how they move with the first $k$ latents.

# %%
#| export
@checked
def push_forward(G: Annotated[Callable[[Tensor], Tensor], Function("*lead latent -> *lead *event")],
                 z: Annotated[Tensor, Shape("*lead latent")],
                 k: Index) -> tuple[Tensor, Tensor]:
    """Examples G(z), and their derivatives along the first k latents.

    Latents `(*lead, latent)` give examples `(*lead, *event)` and derivatives `(*lead, k, d)`, d the
    numbers of an example. Both are differentiable in G's weights, unless gradients are off.
    `ValueError` for more directions than latents. (Möllenhoff and Cremers 2019.)
    """
    if k > z.shape[-1]:
        raise ValueError(f"z: expected at least k={k} latents, got {tuple(z.shape)}")
    with_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        z = z if z.requires_grad else z.detach().requires_grad_()
        x = check_shape("G", G(z), (*z.shape[:-1], ...), what="one example per latent")
        columns = _columns(x, z, k)
    return (x, columns) if with_graph else (x.detach(), columns.detach())


# %%
net = mlp(3, (2,), 16, generator=g).double()
z = torch.randn(5, 3, generator=g, dtype=torch.float64)
nudge = torch.eye(3, dtype=torch.float64) * 1e-6
x, columns = push_forward(net, z, 2)
by_difference = torch.stack([(net(z + e) - net(z - e)) / 2e-6 for e in nudge[:2]], 1)
assert torch.equal(x, net(z)) and torch.allclose(columns, by_difference, atol=1e-8)
(columns - by_difference).abs().max().item()

# %% [markdown]
# ## The flat norm: how far apart two currents are
# The **flat norm** is the largest difference that any form finds, among forms that are bounded and do not change too fast:
#
# $$\mathbb F_\lambda(T)=\sup\big\{T(\omega):\ \|\omega\|\le\lambda,\ \|d\omega\|\le1\big\}=\min_B\ \lambda\,\mathbf M(T-\partial B)+\mathbf M(B).$$
#
# The right side explains it. *Sweep* a part of $T$ over a surface $B$, whose border $\partial B$ covers that part; this costs the area $\mathbf M(B)$. *Erase* the rest, which costs $\lambda$ times its length $\mathbf M(T-\partial B)$. ($\mathbf M$ is the area of a surface, the length of a curve, the number of points.) For equal numbers of points ($k=0$) and $\lambda=\infty$ it is the Wasserstein distance $W_1$ of chapter [1.4](../1_game/04_wasserstein.ipynb), times that number.
#
# On a grid of edges and cells it is a linear program. Each edge has a number of at most $\lambda$ in size, and the numbers around each cell sum to at most its area.

# %%
def cell_borders(n: int):
    "For each cell of a grid of n × n, the edges of its border with their signs, (n², edges)."
    from scipy import sparse
    edges = n * (n + 1)  # across, and as many up
    h, v = torch.arange(edges).view(n + 1, n), torch.arange(edges, 2 * edges).view(n, n + 1)
    cells = sparse.lil_array((n * n, 2 * edges))
    for r in range(n):
        for c in range(n):
            cells[r * n + c, [h[r, c], v[r, c + 1], h[r + 1, c], v[r, c]]] = [1, 1, -1, -1]
    return cells


# %%
def flat_norm(across, up, mass: float = 1., side: float = .25) -> float:
    "Exact flat norm of arrows on the edges of a grid, across (n+1, n) and up (n, n+1)."
    from scipy import optimize, sparse
    n = up.shape[0]
    borders = cell_borders(n)
    goal = torch.cat([across.flatten(), up.flatten()]) * side
    round_a_cell = sparse.vstack([borders, -borders]).tocsr() * side
    best = optimize.linprog(-goal, round_a_cell, [side ** 2] * (2 * n * n),
                            bounds=(-mass, mass), method="highs")
    return -best.fun


# %%
def stick(row: int, length: int = 4, n: int = 16):
    "An arrow to the right, in row `row` of a grid."
    across, up = torch.zeros(n + 1, n), torch.zeros(n, n + 1)
    across[row, 4:4 + length] = 1
    return torch.cat([across.flatten(), up.flatten()])


# %%
def loop(column: int, length: int = 4, n: int = 16):
    "A square, run through counter-clockwise, whose left side is in that column."
    across, up = torch.zeros(n + 1, n), torch.zeros(n, n + 1)
    across[4, column:column + length], across[4 + length, column:column + length] = 1, -1
    up[4:4 + length, column + length], up[4:4 + length, column] = 1, -1
    return torch.cat([across.flatten(), up.flatten()])


# %%
def apart(a, b, **kw) -> float:
    split = (len(a) // 2,) * 2
    across, up = (a - b).split(split)
    return flat_norm(across.view(17, 16), up.view(16, 17), **kw)

# %% [markdown]
# Two answers are known by hand. An arrow of length $\ell=1$ is moved sideways by $h$: either sweep it over a rectangle and erase the rectangle's two short sides, or erase both arrows, at $\min(\ell h+2h\lambda,\;2\ell\lambda)$. A closed square of side 1 is moved by $h$: sweep two strips, and nothing is left to erase, at $2h$.
#
# **Predict:** which of the two costs more, per unit of its length? And what is the distance between a square and the same square in the opposite sense?

# %%
sticks, loops = ([apart(make(4), make(4 + k)) for k in (1, 2, 3, 4)] for make in (stick, loop))
backwards = apart(loop(4), -loop(4))
{"arrow, per length": sticks, "square, per length": [f / 4 for f in loops],
 "square, backwards": backwards}

# %%
moved = [.25, .5, .75, 1.]
assert all(abs(f - min(h + 2 * h, 2)) < 1e-7 for f, h in zip(sticks, moved))
assert all(abs(f - 2 * h) < 1e-7 for f, h in zip(loops, moved))

# %%
assert abs(backwards - 2) < 1e-7
assert all(abs(sticks[i] / (loops[i] / 4) - 6) < 1e-6 for i in (0, 1))  # h = 0.25 and 0.5

# %% [markdown]
# Per unit of length the arrow costs six times as much as the square while it is swept, and from $h=\tfrac23$ on it is cheaper to erase it. For a shorter arrow this happens earlier, at $h=2\lambda\ell/(\ell+2\lambda)$. For a tangent *at a point* it is at $h=0$. **So a closed curve can be swept aside at a small cost. The tangent at a single point cannot: it has no length, so erasing it is always cheaper.** Forty tangents on a circle are nearly a closed curve. Five tangents are five single arrows. The section on five points tests what follows from that.
#
# The sense counts too: to turn the square into the same square in the opposite sense costs the area of the square twice.

# %% [markdown]
# ## A critic that is a form
# The flat norm bounds a form in two ways, in its size and in its change. Both bounds become a penalty on a network. The size is the largest value at $k$ orthonormal vectors (the *comass*). For a form made of fields it is the volume that the fields span:
#
# $$\|\omega\|=\max_{v}\,\omega(x;v)=\sqrt{\det\big[w_i\cdot w_j\big]}.$$
#
# The change is measured by the *exterior derivative*, a form of one vector more, $d\omega(v_0,\dots,v_k)=\sum_i(-1)^i\,D_{v_i}\,\omega(\,\cdot\,;\text{all but }v_i)$. Without vectors it is the gradient of a function. For one field in the plane it is the curl: add up the field along the border of a small square, and divide by its area. The gradient of a function has curl 0.

# %%
#| export
@checked
def comass(forms: Vectors) -> Tensor:
    """The comass, the largest value of a k-form at k orthonormal vectors, √det[wᵢ·wⱼ].

    Forms `(*points, k, d)` give `(*points,)`. A small number under the root makes the gradient
    finite at zero, where the value is 1e-6.
    """
    return (form_on_vectors(forms, forms).clamp_min(0) + 1e-12).sqrt()


# %% [markdown]
# The functions below work on points: an example is a vector, and a form gives $k$ vectors of that length.

# %%
#| export
Points = Annotated[Tensor, Shape("*runs batch d")]
Form = Annotated[Callable[[Tensor], Tensor], Function("*runs batch d -> *runs batch k d")]


# %% [markdown]
# The derivative is taken at random orthonormal vectors: the orthogonal factor of a normal matrix, with the signs that make it uniform.

# %%
#| export
@checked
def random_frames(x: Points, k: Count, generator: Generators = None) -> Tensor:
    """k random orthonormal vectors at each point, `(*points, k, d)`, all directions equally likely.

    `ValueError` for k > d.
    """
    if k > x.shape[-1]:
        raise ValueError(f"k: expected at most {x.shape[-1]}, the coordinates of x, got {k}")
    kind = x.dtype if x.dtype.itemsize > 2 else torch.float32  # no QR in half precision
    normal = randn(*x.shape, k, generator=generator, device=x.device, dtype=kind)
    q, r = torch.linalg.qr(normal)
    signs = r.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]
    return (q * signs).mT.to(x.dtype)


# %% [markdown]
# A critic of points returns scores; a critic of points and vectors returns fields. This helper tells them apart, and refuses anything else.

# %%
#| export
def _form_values(form: Callable, x: Tensor) -> Tensor:
    "A form's answer at points (*points, d): scores (*points,) or fields (*points, k, d), k < d."
    values, points, d = form(x), tuple(x.shape[:-1]), x.shape[-1]
    shape = tuple(getattr(values, "shape", ()))
    if shape[:-2] == points and shape[-1] == d and shape[-2] < d:
        return values
    return per_example("form", values, points, f"fields of shape {(*points, 'k', d)} with k < d, "
                                               "or scores")


# %% [markdown]
# Next we compute the exterior derivative. For each $i$, the form gets all vectors but the i-th, and is differentiated in the direction of the i-th.

# %%
#| export
@checked
def exterior_derivative(form: Form, x: Points,
                        frame: Annotated[Tensor, Shape("*runs batch vectors d")]) -> Tensor:
    """The exterior derivative dω at k + 1 vectors, `(*runs, batch)`: Σ (-1)ⁱ D_vᵢ ω(all but vᵢ).

    `form` maps points `(*runs, batch, d)` to fields `(*runs, batch, k, d)`, each point for itself.
    `ValueError` if the number of fields does not fit the frame.
    """
    k = frame.shape[-2] - 1
    others = [frame[..., [j for j in range(k + 1) if j != i], :] for i in range(k + 1)]
    rest = torch.cat(others, -3)
    with torch.enable_grad():  # a copy of all points for each vector: one backward pass for all
        x = x if x.requires_grad else x.detach().requires_grad_()
        copies = torch.cat([x] * (k + 1), -2)
        fields = check_shape("form", _form_values(form, copies), rest.shape,
                             what=f"k={k} fields for a frame of {k + 1} vectors")
        gradient = _pointwise_gradient(form_on_vectors(fields, rest), copies)
    vectors = torch.cat(frame.unbind(-2), -2)
    derivatives = (gradient * vectors).sum(-1).unflatten(-1, (k + 1, -1))
    return sum((-1) ** i * part for i, part in enumerate(derivatives.unbind(-2)))


# %% [markdown]
# **Fidelity.** The size, against thousands of random frames. The derivative: of $x\,dy$ it is 1 on every positively oriented frame; of a gradient field it is 0, because $dd=0$; of a network it equals the difference quotient.

# %%
w = torch.randn(1, 2, 4, generator=g, dtype=torch.float64)
tries = random_frames(torch.zeros(20_000, 4, dtype=torch.float64), 2, generator=g)
answers = form_on_vectors(w.expand(20_000, -1, -1), tries)
assert (tries @ tries.mT - torch.eye(2)).abs().max() < 1e-12
assert answers.max() <= comass(w) and answers.max() > .95 * comass(w)
assert .3 < answers.abs().mean() / comass(w) < .36
comass(w).item(), answers.max().item(), answers.abs().mean().item()

# %%
single = random_frames(torch.zeros(20_000, 64), 1, generator=g)[:, 0, 0].abs().mean()
assert abs(single - .1) < .005  # of a field of length one in 64 dimensions
single.item()

# %%
def turning(x):
    "The form x dy."
    return torch.stack([torch.zeros_like(x[..., 0]), x[..., 0]], -1)[..., None, :]


# %%
def uphill(x):
    "The gradient of sin(x) y."
    return torch.stack([x[..., 0].cos() * x[..., 1], x[..., 0].sin()], -1)[..., None, :]


# %%
x = torch.randn(7, 2, generator=g, dtype=torch.float64)
frame = random_frames(x, 2, generator=g)
frame[:, 1] *= torch.linalg.det(frame)[:, None].sign()
assert torch.allclose(exterior_derivative(turning, x, frame), torch.ones(7, dtype=torch.float64))
assert exterior_derivative(uphill, x, frame).abs().max() < 1e-12

# %%
field = mlp(3, (2, 3), 16, generator=g).double()
x, tiny = torch.randn(5, 3, generator=g, dtype=torch.float64), 1e-5
frame, by_quotient = random_frames(x, 3, generator=g), 0
for i in range(3):
    rest, step = frame[:, [j for j in range(3) if j != i]], tiny * frame[:, i]
    after, before = form_on_vectors(field(x + step), rest), form_on_vectors(field(x - step), rest)
    by_quotient += (-1) ** i * (after - before) / (2 * tiny)
assert torch.allclose(exterior_derivative(field, x, frame), by_quotient, atol=1e-7)
(exterior_derivative(field, x, frame) - by_quotient).abs().max().item()

# %% [markdown]
# The paper's code takes the value at *one random frame* for the size of the form. The third number above shows the mistake: for two vectors in four dimensions the average is only a third of the true size. For a single vector of 64 pixels it is a tenth (the number below it). We use the exact root. For $d\omega$ an exact size is cheap only for functions ($k=0$, the gradient) and for $d=k+1$, where all frames agree, as on the circle. For other forms we use a random frame as they do. Two more details differ. Their penalty is evaluated at real points only, so nothing bounds the form at generated ones. And it uses the *mean* gradient norm of a batch, which single points may exceed.

# %%
#| export
@checked
def flat_penalty(form: Form, x: Points, *,  # points (*runs, batch, d)
                 mass: Positive = 1.,  # λ: how large the form may be
                 generator: Generators = None,  # of the frames
                 ) -> Tensor:
    """Penalty on a form that is larger than λ or changes faster than 1, `(*runs,)`, unweighted.

    The mean over the batch of (‖ω‖ - λ)₊² + (‖dω‖ - 1)₊². A form without vectors is a function,
    `(*runs, batch)`: its size is |f|, its derivative the gradient, and both are exact. With vectors
    the size is exact, and the derivative is taken at one random frame, as in Möllenhoff and Cremers
    2019. `ValueError` for values that are neither scores nor fields.
    """
    x = x.detach().requires_grad_()
    values = _form_values(form, x)
    if values.ndim < x.ndim:
        size = values.abs()
        change = (_pointwise_gradient(values, x).square().sum(-1) + 1e-12).sqrt()
    else:
        frames = random_frames(x, values.shape[-2] + 1, generator)
        size, change = comass(values), exterior_derivative(form, x, frames).abs()
    excess = (size - mass).clamp_min(0).square() + (change - 1).clamp_min(0).square()
    return excess.mean(-1)


# %% [markdown]
# Two known answers: a linear function with gradient norm 3 that reaches 5 at one of two points, and a constant field of length 3, which does not change.

# %%
x = torch.tensor([[0., 0.], [1., 4 / 3]], dtype=torch.float64)
slope = torch.tensor([1.8, 2.4], dtype=torch.float64)
of_function = flat_penalty(lambda x: x @ slope, x).item()
of_field = flat_penalty(lambda x: slope.expand(len(x), 1, 2), x, generator=g).item()
assert math.isclose(of_function, (0 + 4 + 16 + 4) / 2) and math.isclose(of_field, 4)
of_function, of_field

# %% [markdown]
# Scores may be `(N,)` or `(N, 1)`. A value that is neither scores nor fields is refused:

# %%
error_message(flat_penalty, lambda x: x, torch.randn(4, 2))

# %% [markdown]
# ## The game
# There are two critics: a function $f$ that compares where the samples are, and a form $\omega$ that compares how they move with the first latents. Both maximise the real current minus the generated one, within the bounds. $G$ minimises it, and its gradient passes through $J_G$, too.
#
# $$\min_G\max_{f,\,\omega}\ \mathbb E f(x)-\mathbb E f(G(z))\;+\;c\,\Big(\mathbb E\,\omega(x;\tau)-\mathbb E\,\omega\big(G(z);J_Ge_1,\dots,J_Ge_k\big)\Big).$$
#
# (The paper adds them to one critic, $f+a\,\omega$, with a network for $f$ and one for each field, and bounds the sum.) With two critics that have bounds of their own, $G$ minimises the sum of two flat norms: that of the points, and $c$ times that of the points with their tangents. What is known of the data is given by name. `tangent_around` is the unit tangent of a circle about the origin. `tangent_right`, `tangent_down`, `tangent_turn` and `tangent_grow` say how a picture changes when it moves by a pixel, turns by a radian, or grows.

# %%
#| export
@checked
def tangent_around(x: Annotated[Tensor, Shape("*points 2")]) -> Tensor:
    "The direction in which points go round the origin, counter-clockwise, at unit speed."
    return torch.stack([-x[..., 1], x[..., 0]], -1) / x.norm(dim=-1, keepdim=True).clamp_min(1e-6)


# %% [markdown]
# A picture that moves down takes at each pixel the value of the pixel above: its change is minus the difference from above to below. So all four directions of pictures come from central differences.

# %%
#| export
@checked
def _differences(x: Annotated[Tensor, Shape("*lead height width")]) -> tuple[Tensor, Tensor]:
    "Central differences down and to the right; beyond the border is the border."
    h, w = x.shape[-2:]
    padded = nn.functional.pad(x.reshape(-1, 1, h, w), (1, 1, 1, 1), mode="replicate")
    padded = padded.view(*x.shape[:-2], h + 2, w + 2)
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    right = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    return down, right


# %% [markdown]
# The first direction: the picture moves down.

# %%
#| export
def tangent_down(x: Tensor) -> Tensor:
    "How pictures `(*, channels, h, w)` change when they move down, per pixel, in their shape."
    return -_differences(x)[0]


# %% [markdown]
# The second: it moves to the right.

# %%
#| export
def tangent_right(x: Tensor) -> Tensor:
    "How pictures `(*, channels, h, w)` change when they move right, per pixel, in their shape."
    return -_differences(x)[1]


# %% [markdown]
# The third: it turns about its middle. A pixel far from the middle moves faster, so the differences are weighted by rows and columns.

# %%
#| export
def tangent_turn(x: Tensor) -> Tensor:
    "How pictures `(*, channels, h, w)` change when they turn clockwise, per radian."
    down, right = _differences(x)
    rows, columns = (torch.arange(n, dtype=x.dtype, device=x.device) - (n - 1) / 2
                     for n in x.shape[-2:])
    return rows[:, None] * right - columns * down


# %% [markdown]
# The fourth: it grows about its middle. A pixel takes the value that was nearer to the middle, and the way is again longer far from it. A picture that is enlarged by a factor $s$ has the size $\log s$, so size 0 is the picture as it is.

# %%
#| export
def tangent_grow(x: Tensor) -> Tensor:
    "How pictures `(*, channels, h, w)` change when they grow, per unit of the logarithm of size."
    down, right = _differences(x)
    rows, columns = (torch.arange(n, dtype=x.dtype, device=x.device) - (n - 1) / 2
                     for n in x.shape[-2:])
    return -rows[:, None] * down - columns * right


# %% [markdown]
# **Fidelity.** A wide blob on a 24×24 picture is moved by a ten-thousandth of a pixel, turned by a ten-thousandth of a radian, and enlarged by a ten-thousandth. The change, divided by that number, should be the tangent, up to the error of the central differences.

# %%
def blob(down=0., right=0., turn=0., grow=0.):
    "An oval blob beside the middle of a 24×24 picture, moved, turned clockwise, or enlarged."
    y, x = torch.meshgrid(*[torch.arange(24., dtype=torch.float64) - 11.5] * 2, indexing="ij")
    y, x = (y - down) / math.exp(grow), (x - right) / math.exp(grow)
    y, x = y * math.cos(turn) - x * math.sin(turn), y * math.sin(turn) + x * math.cos(turn)
    return torch.exp(-((x - 3) / 4) ** 2 - ((y - 1) / 3) ** 2)[None]


# %%
tangents = {"down": tangent_down, "right": tangent_right, "turn": tangent_turn,
            "grow": tangent_grow}
for name, tangent in tangents.items():
    change = (blob(**{name: 1e-4}) - blob()) / 1e-4
    off = (tangent(blob()) - change).norm() / change.norm()
    assert off < .1
    print(f"{name:5} relative error {off:.3f}")

# %% [markdown]
# The game finds the directions by these names.

# %%
#| export
TANGENTS = {"around": tangent_around, "down": tangent_down, "right": tangent_right,
            "turn": tangent_turn, "grow": tangent_grow}


# %% [markdown]
# The default generator gets the cosine and the sine of an angle, so its samples return to their place when the angle goes round.

# %%
#| export
class AngleGenerator(nn.Module):
    """A generator whose first latents are angles: its network gets their cosines and sines.

    Latents `(*lead, latent)` give examples `(*lead, *event)`.
    """
    @checked
    def __init__(self, net: Critic, angles: Index):
        super().__init__()
        self.net, self.angles = net, angles

    def forward(self, z: Tensor) -> Tensor:
        angles, rest = z[..., :self.angles], z[..., self.angles:]
        return self.net(torch.cat([angles.cos(), angles.sin(), rest], -1))


# %% [markdown]
# It may be fully connected or convolutional. The convolutional one ends in tanh and makes pictures between $-1$ and $1$; the fully connected one is linear at its end.

# %%
#| export
def angle_generator(networks: Networks, latent: int, event: tuple[int, ...], angles: int,
                    **kw: Any) -> AngleGenerator:
    "G, latents `(*runs, batch, latent)` to examples `(*runs, batch, *event)`; `kw` as for `mlp`."
    if networks.kind == "conv":
        net = networks.generator(latent + angles, event, **kw)
    else:  # linear at the end for pictures, too
        net = mlp(latent + angles, event, networks.g_width or networks.width,
                  networks.g_depth or networks.depth, **kw)
    return AngleGenerator(net, angles)


# %% [markdown]
# The default W is a network with a linear last layer that gives k fields for each example.

# %%
#| export
def field_network(networks: Networks, event: tuple[int, ...], k: int, **kw: Any) -> nn.Module:
    "W, examples `(*runs, batch, *event)` to k fields `(*runs, batch, k, d)`; `kw` as for `mlp`."
    width, fields = networks.d_width or networks.width, (k, math.prod(event))
    if networks.kind == "conv":
        return ConvDiscriminator(event, width, outputs=fields, **kw)
    return mlp(event, fields, width, networks.depth, **kw)


# %% [markdown]
# The settings of the game. `along` names what the first latents are to do.

# %%
#| export
@register_game
@dataclass(kw_only=True)
class Currents(CriticGame):
    "FlatGAN (Möllenhoff and Cremers 2019): a critic D of points, and W of points with directions."
    W: Player = None  # examples (*runs, batch, *event) to fields (*runs, batch, k, d)
    along: Annotated[str, InstanceOf(str)] = "around"  # names in TANGENTS, one a latent; or ""
    angles: Index = 1  # so many of the first latents are angles, and the default G closes in them
    speed: Positive = 1.  # of each direction, for a radian of its latent, which is 2π wide
    weight: NonNegative = 1.  # c of W beside D
    mass: Positive = 1.  # λ: what a unit of current costs to erase
    penalty_weight: Positive = 10.  # of the penalty on the bounds
    conditional: ClassVar[tuple[str, ...]] = ()  # D and W see two batches at once
    kinds: ClassVar[tuple[str, ...]] = "mlp", "conv"
    default_networks: ClassVar[Networks] = Networks("mlp", 100, 2, d_width=64, latent=5)
    default_optimiser: ClassVar[Optimiser] = Optimiser(4e-3, (.5, .9))

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.directions:
            check_choice("along", name, TANGENTS)
        if len({*self.directions}) < len(self.directions):
            raise ValueError(f"along: expected each direction once, got {self.along!r}")


# %% [markdown]
# The names stand in one text, as the command line and the lab pass it.

# %%
#| export
@patch(as_prop=True)
def directions(self: Currents) -> list[str]:
    "The names in `along`."
    return self.along.split()


# %% [markdown]
# With directions both critics move together, $D$ and $W$; without, $D$ alone.

# %%
#| export
@patch(as_prop=True)
def turns(self: Currents) -> str:
    "The critics' turns, then G's."
    return ("DW " if self.directions else "D ") * self.n_critic + "G"


# %% [markdown]
# Which directions an example has depends on what it is:

# %%
#| export
@patch
def suits(self: Currents, modes: Any) -> None:
    """`ValueError` where the directions do not fit the examples of a mode set.

    Points of the plane go "around"; pictures move "down" and "right", "turn" and "grow".
    """
    for name in self.directions:
        plane = name == "around"
        if (tuple(modes.event) == (2,)) != plane or len(modes.event) not in (1, 3):
            kind = "points in the plane" if plane else "pictures"
            raise ValueError(f"along: {name!r} is a direction of {kind}, and an example is of "
                             f"shape {tuple(modes.event)}")


# %% [markdown]
# A direction needs a latent of its own, and so does an angle. Without directions there is no player $W$.

# %%
#| export
@patch
def players(self: Currents, event: tuple[int, ...], latent: int, runs: int,
            generator: list) -> dict[str, nn.Module]:
    "G, D and, if there are directions, W; one copy per run."
    k, kw = len(self.directions), dict(runs=runs, generator=generator)
    if max(k, self.angles) > latent:
        raise ValueError(f"latent: expected a latent for each of {k} directions and "
                         f"{self.angles} angles, got {latent}")

    defaults = {"G": lambda: angle_generator(self.networks, latent, event, self.angles, **kw),
                "D": lambda: self.networks.discriminator(event, **kw),
                "W": lambda: field_network(self.networks, event, k, **kw)}
    return {name: make_player(name, getattr(self, name), make, **kw)
            for name, make in defaults.items() if k or name != "W"}


# %% [markdown]
# Latents are uniform, as wide as an angle.

# %%
#| export
@patch
def noise(self: Currents, *shape: int, generator: Generators = None, device: Any = None) -> Tensor:
    "Latents, uniform on [-π, π]."
    return (rand(*shape, generator=generator, device=device) * 2 - 1) * math.pi


# %% [markdown]
# The real current: the tangents of a batch, with the speed that the latents are to have.

# %%
#| export
@patch
def tangents(self: Currents, x: Tensor) -> Tensor:
    "The directions at real examples (runs, batch, *event), (runs, batch, k, d)."
    parts = [TANGENTS[name](x).flatten(2) for name in self.directions]
    return torch.stack(parts, 2) * self.speed


# %% [markdown]
# Both critics have the same penalty, at real examples and at random points between real and generated ones.

# %%
#| export
@patch
def penalty(self: Currents, t: Any, critic: Critic, fake: Tensor) -> Tensor:
    "The flat penalty of a critic, one value per run."
    between = random_interpolate(t.x, fake, 2, t.generator)
    x, event = torch.cat([t.x, between], 1), fake.shape[2:]
    return flat_penalty(lambda x: critic(x.unflatten(-1, event)), x.flatten(2), mass=self.mass,
                        generator=t.generator)


# %% [markdown]
# Where nothing is known of directions, $D$ plays a Wasserstein game whose penalty is the flat one.

# %%
#| export
@patch
def loss_D(self: Currents, t: Any) -> Tensor:
    "The turn of D where there are no directions, one value per run."
    with torch.no_grad():
        fake = t.G(t.z)
    return critic_loss(t.D(t.x), t.D(fake)) + self.penalty_weight * self.penalty(t, t.D, fake)


# %% [markdown]
# $W$ gets the tangents at real examples and the columns of the Jacobian at generated ones.

# %%
#| export
@patch
def loss_DW(self: Currents, t: Any) -> Tensor:
    "The turn of both critics, one value per run."
    with torch.no_grad():
        fake, moves = push_forward(t.G, t.z, len(self.directions))
    loss_D = critic_loss(t.D(t.x), t.D(fake))
    loss_W = critic_loss(form_on_vectors(t.W(t.x), self.tangents(t.x)),
                         form_on_vectors(t.W(fake), moves))
    return (loss_D + self.penalty_weight * self.penalty(t, t.D, fake)
            + (self.weight * loss_W + self.penalty_weight * self.penalty(t, t.W, fake)))


# %% [markdown]
# $G$ raises both: the score that $D$ gives and, through its own derivatives, the value of the form. Its loss is the negative sum.

# %%
#| export
@patch
def loss_G(self: Currents, t: Any) -> Tensor:
    "The generator's turn, one value per run."
    if not self.directions:
        return wasserstein_generator_loss(t.D(t.G(t.z)))
    fake, moves = push_forward(t.G, t.z, len(self.directions))
    by_form = form_on_vectors(t.W(fake), moves).mean(-1)
    return wasserstein_generator_loss(t.D(fake)) - self.weight * by_form


# %%
print(error_message(Currents, along="sideways"))
Currents(), Currents().turns, Currents(along="", n_critic=3).turns

# %%
directed = train(Currents(), runs=1)
coverage_table({"no directions": free.coverage(), "around": directed.coverage()})

# %%
figure, panels = axes(1, 2, size=(3, 3), sharey=True)
draw(panels[0], free, "no directions")
draw(panels[1], directed, "around")
Picture(figure, "Left five orbits that wiggle in place, right five that go round the circle "
        "counter-clockwise, one on top of the other")

# %%
@experiment("03_currents", early=10)
def with_directions(total=600):
    "Eight seeds with the tangents of the circle."
    return measured(train(Currents(), stop=total))

found["around"] = with_directions()
in_words(found)

# %% [markdown]
# Does the form cost good samples? The two games differ in the rate and in the turns of the critics. So we train the form a second time with the settings of the game without directions: a rate of 0.01, three turns.

# %%
equal = Currents(n_critic=3, optimiser=Optimiser(1e-2))

# %%
@experiment("03_currents", early=10)
def at_equal_settings(total=600):
    "Eight seeds with the tangents, at the rate and the turns of the game without directions."
    return measured(train(equal, stop=total))

found["around, equal settings"] = at_equal_settings()
good = {name: interval(row["good"], low=0, high=1) for name, row in found.items()}

# %%
def more_good(one: str, other: str):
    "By how much the share of good samples is higher in one game, seed by seed."
    return interval([a - b for a, b in zip(found[one]["good"], found[other]["good"])])


# %%
{name: f"{share:.2f}" for name, share in good.items()}, {
    name: f"{more_good(name, 'no directions'):.3f}" for name in list(good)[1:]}

# %% [markdown]
# With the tangents the sample goes round once in all eight seeds, on average over twenty draws of the other four latents. The first latent *is* the angle, up to a shift that no tangent can determine. At equal settings no fewer samples are good than without directions (the second line is the difference, seed by seed). The price is time, a second critic and derivatives of $G$. We measure it for eight seeds, the fastest of three times ten steps:

# %%
from time import process_time

# %%
def pace(rules, repeats: int = 3) -> float:
    "Processor milliseconds of a step of eight seeds, the fastest of three times ten steps."
    run, times = Run(rules, data, runs=8, batch=64, device="cpu").step(2), []
    for _ in range(repeats):
        start = process_time()
        run.step(10)
        times.append((process_time() - start) * 100)
    return min(times)


# %%
paces = {"no directions, three turns": no_directions, "around, three turns": equal,
         "around, one turn": Currents()}
paces = {name: pace(rules) for name, rules in paces.items()}
assert paces["around, three turns"] > 1.5 * paces["no directions, three turns"] or fast_mode()
assert paces["around, one turn"] < paces["around, three turns"] / 1.5 or fast_mode()
{name: f"{ms:.1f} ms" for name, ms in paces.items()}

# %% [markdown]
# At equal turns a step takes more than one and a half times as long with the form (the exact ratio differs between machines). With one turn of the critics it takes much less than with three, and the first latent goes round all the same.
#
# ## Was a form needed?
# A simpler loss needs no forms. Find the real point nearest to the sample, and train the sample to move along its tangent, with the loss $\|J_Ge_1-\tau_{\text{nearest}}\|^2$.

# %%
class NearestTangent(Currents):
    "The same Wasserstein game; each sample is asked to move like the real point nearest to it."
    turns = "D D D G"  # as the baseline

    def loss_G(self, t):
        fake, moves = push_forward(t.G, t.z, 1)
        near = torch.cdist(fake.detach(), t.x).argmin(-1)
        asked = tangent_around(t.x).gather(1, near[..., None].expand_as(fake))
        miss = (moves[:, :, 0] - asked).square().sum(-1).mean(-1)
        return -t.D(fake).mean(-1) + self.weight * miss

# %% [markdown]
# **Predict:** does the sample go round?

# %%
@experiment("03_currents", early=10)
def nearest_tangent(total=600):
    "Eight seeds whose samples are asked to move like their nearest real points."
    return measured(train(NearestTangent(weight=1., optimiser=Optimiser(1e-2)), stop=total))

found["nearest tangent"] = nearest_tangent()
in_words({"nearest tangent": found["nearest tangent"]})

# %% [markdown]
# It does not. Here is why. The latent is an angle, so an orbit is a closed curve, and its derivative $v=J_Ge_1$ has mean zero along it. A short orbit has nearly the same tangent $\tau$ everywhere, so the loss is
#
# $$\tfrac1{2\pi}\int\|v-\tau\|^2=\tfrac1{2\pi}\int\|v\|^2+\|\tau\|^2 .$$
#
# It is smallest for $v=0$, an orbit that stands still (checked below for a small closed curve). To go all the way round, an orbit would have to be long already. The form does not compare *each* sample with a tangent. It compares whole currents, and an orbit that stands still has the current zero.

# %%
angle = torch.arange(64, dtype=torch.float64) * 2 * math.pi / 64
tau = torch.tensor([.6, .8], dtype=torch.float64)
loss = []
for size in (0., .1, .2):  # v is the derivative of size (cos t + sin 2t, sin t)
    v = size * torch.stack([-angle.sin() + 2 * (2 * angle).cos(), angle.cos()], 1)
    loss.append((v - tau).square().sum(1).mean().item())
    assert abs(loss[-1] - v.square().sum(1).mean().item() - tau.square().sum().item()) < 1e-12
assert loss[0] < loss[1] < loss[2]
loss

# %% [markdown]
# This names the cause: each sample is asked alone. So ask the *batch* instead: the mean speed along the tangents of the nearest real points shall be one, $\big(\mathbb E\,(J_Ge_1\cdot\tau_{\text{nearest}})-1\big)^2$. This loss has no form and no second critic either.
#
# **Predict:** does the sample go round now?

# %%
class MeanSpeed(Currents):
    "No form: the mean speed along the tangents of the nearest real points is asked to be one."
    turns = "D D D G"

    def loss_G(self, t):
        fake, moves = push_forward(t.G, t.z, 1)
        near = torch.cdist(fake.detach(), t.x).argmin(-1)
        asked = tangent_around(t.x).gather(1, near[..., None].expand_as(fake))
        speed = (moves[:, :, 0] * asked).sum(-1).mean(-1)
        return -t.D(fake).mean(-1) + self.weight * (speed - 1).square()

# %%
@experiment("03_currents", early=10)
def mean_speed(total=600):
    "Eight seeds whose mean speed along the nearest tangents is asked to be one."
    return measured(train(MeanSpeed(weight=1., optimiser=Optimiser(1e-2)), stop=total))

found["mean speed"] = mean_speed()
good["mean speed"] = interval(found["mean speed"]["good"], low=0, high=1)
in_words({"mean speed": found["mean speed"]}), f"good samples: {good['mean speed']}"

# %%
turns = {name: interval(row["winding"]) for name, row in found.items()}
claim("A direction given by tangents makes the first latent go once round the data",
      paper="Möllenhoff and Cremers 2019",
      section="in this course's setting: forty points instead of five, 600 steps",
      figure="a picture of five points: with the direction a loop, without it a dot",
      ours=f"{turns['around']:.3f}", baseline=f"{turns['no directions']:.3f}",
      holds=turns["around"].low > .95 > turns["no directions"].high)

# %%
claim("With the tangents as many samples are good as without them, at the same rate and turns",
      paper="this course", section="high quality on the circle, within 0.02",
      ours=good["around, equal settings"], baseline=good["no directions"],
      holds=more_good("around, equal settings", "no directions").low > -.02)

# %%
claim("Asking every sample to move like the nearest real point does it too",
      paper="this course", section="a loss on each sample",
      ours=f"{turns['nearest tangent']:.3f}", baseline=f"{turns['no directions']:.3f}",
      holds=turns["nearest tangent"].low > .95, expect=False)

# %%
claim("A loss on the mean speed of a batch, without a form, makes the latent go round too",
      paper="this course", section="a loss on each batch",
      ours=f"{turns['mean speed']:.3f}", baseline=f"{turns['no directions']:.3f}",
      holds=turns["mean speed"].low > .95)

# %%
best = max(("around", "around, equal settings"), key=lambda name: good[name].mean)
claim("The better of two settings of the form brings more good samples than that loss",
      paper="this course", section="high quality on the circle",
      ours=f"{good[best]} ({best})", baseline=good["mean speed"],
      holds=more_good(best, "mean speed").low > 0, expect=False)

# %% [markdown]
# So on this data no form was needed: the loss on the mean speed has the same winding, and its share of good samples is not lower. What the form has more: it needs no nearest real point, it compares $k$ directions at once, and its bounds also limit movements across the data. This chapter does not test whether that matters on other data.

# %% [markdown]
# ## What is from the paper
# | Part of the paper | In this chapter |
# |---|---|
# | currents, push-forward, flat norm | faithful; the flat norm is computed exactly for currents on the edges of a grid, with λ as a bound on each edge |
# | k-forms | products of k fields, as in the code |
# | critic $f+a\,\omega$, bounded as a sum | simplified: two critics, each with its own bounds, so $G$ minimises a sum of two flat norms; one network for all fields. The weight is 1; the code has $a=0.1$, but bounds $a\,\omega$, so its bounded form has weight 1 as well. The section on the authors' settings has their critic |
# | penalties on the size and on $d\omega$ | the size is exact instead of one random frame; also at points between real and generated ones; the bound on the gradient of $f$ is 1, in the code it depends on $k$ |
# | five points on a circle, 2,000 steps with five critic turns | most cells are simplified: forty points, 600 steps, one critic turn, a rate of 0.004 instead of $10^{-4}$, batches of 64 instead of 5, smaller networks. Five points at the authors' settings, with the objective of their code: a section below |
# | MNIST with rotation and thickness ($k=2$), 32×32, 50,000 steps | simplified: rotation or size, one direction at a time, on digits and drawn faces that we turn and enlarge; 16×16, 300 steps, tangents not blurred. Thickness and two directions at once are left out |
# | the flat norm is Lipschitz in the weights of $G$ | not proven |

# %% [markdown]
# ## Five points at this chapter's settings: the loop does not stay
# The paper's example has *five* points, not forty. By the calculation above five arrows are single arrows, so a good critic should erase them. We watch the winding over time, with five points and with forty, at the settings of this chapter. (The settings of the authors come in the next section.)
#
# **Predict:** what does more training do to the loop through five points?

# %%
moments = (50, 100, 150, 250, 400, 600)

# %%
def over_time(modes, total, rules=Currents()):
    "Winding of eight seeds at several moments of a training at a constant rate."
    run, rows = Run(rules, modes, batch=64, average=.99, device="cpu"), []
    for n in moments:
        run.step(min(n, total) - run.steps)
        rows.append(windings(run).mean(1))
    return rows


# %%
@experiment("03_currents", early=10)
def winding_over_time(total=600):
    "Winding over time, with five points and with forty."
    return {"five": over_time(ring(5, std=.02), total), "forty": over_time(data, total)}


# %% [markdown]
# The loss on the mean speed is trained on the same five points, at the same constant rate. It has one turn of the critic, as the form has, and then three.

# %%
class OneTurn(MeanSpeed):
    "The loss on the mean speed with one turn of the critic."
    turns = "D G"


# %%
@experiment("03_currents", early=10)
def five_without_a_form(total=600):
    "Winding over time with five points, for the loss on the mean speed."
    five = ring(5, std=.02)
    return {"one turn": over_time(five, total, OneTurn()),
            "three turns": over_time(five, total, MeanSpeed())}


# %%
few, many = ([interval(row) for row in rows] for rows in winding_over_time().values())
no_form = {name: [interval(row) for row in rows] for name, rows in five_without_a_form().items()}

# %%
figure, ax = axes(size=(4.4, 2.8))
for rows, colour, mark, label in ((many, REAL, "o-", "forty points"),
                                  (few, FAKE, "x--", "five points"),
                                  (no_form["one turn"], MISSING, "s:", "five points, no form")):
    ax.plot(moments, [r.mean for r in rows], mark, c=colour, label=label)
    ax.fill_between(moments, [r.low for r in rows], [r.high for r in rows],
                    color=colour, alpha=.2, lw=0)
ax.set(xlabel="steps", ylabel="winding", ylim=(-.05, 1.08))
ax.legend(frameon=False, loc=(.02, .02))
Picture(figure, "Winding against steps: with forty points it reaches one and stays; with five it "
        "reaches one and is lost; with five and no form it stays")

# %%
claim("With the form the loop through five points stays when training goes on",
      paper="this course",
      section="five points, this chapter's settings: 600 steps, rate 0.004, batch 64, one turn",
      ours=few[-1],
      baseline=f"{many[-1]} (forty points); {no_form['one turn'][-1]} (five, no form)",
      holds=few[-1].low > .95, expect=False)

# %%
assert max(row.mean for row in few) > .95 or fast_mode()  # it was there
assert all(rows[-1].low > .95 for rows in (many, *no_form.values())) or fast_mode()
assert few[3].low > .95 and few[4].mean < .5 or fast_mode()  # 250 and 400 steps
{name: f"{rows[-1]:.2f}" for name, rows in no_form.items()}

# %% [markdown]
# With five points and a learned form the loop appears and then disappears. With forty points it stays. With five points it stays, too, when the fixed loss on the mean speed takes the place of the form, with one turn of the critic as with three. So five points alone do not undo the loop. A possible explanation, which we did not test: at first the critics cannot resolve the space between the points, so a loop through the arrows satisfies them. Later the form finds the ends of the arrows, as the calculation of the flat norm says.

# %% [markdown]
# ## Five points at the authors' settings
# The settings above are not those of the paper. The authors' [code](https://github.com/moellenh/flatgan) trains more slowly and stops early. `benchmarks/currents.py` (part `five`) plays at its settings:
#
# - **Data.** The five points, without noise. Every batch is these five points and five samples.
# - **Networks.** $G$ has three layers of 250 units, $f$ three of 100, $w$ two of 50. The weights are drawn as torch draws them.
# - **Training.** 2,000 steps, with five turns of the critics for one of $G$; Adam at a rate of $10^{-4}$; no averaged weights.
# - **Objective.** One critic, $f+0.1\,w\cdot v$. Its size and its change are bounded as a sum and at the five points only, with the penalties of their code.
#
# There are eight seeds, with the form ($k=1$) and without it ($k=0$). We take twenty orbits of each seed and measure three numbers. The *winding* is as before. The *length* of a loop is 5.88 if it is the pentagon through the points. The *farthest point* is the distance from the orbit to the point that it misses most. The null is the untrained generator.
#
# The authors' repository shows a picture of one orbit, and no number. So we measured the picture (part `authors`): the orbit goes once round, its length is about 5.2, and its farthest point is at 0.27. Without the form it is a dot.
#
# Three thresholds were written down before the run. After 2,000 steps the winding is above 0.95 on each seed. At the same step the farthest point is nearer than 0.4 on each seed. And after 8,000 steps, four times as many as the authors have, the interval of the winding is still above 0.95.
#
# **Predict:** which of the three will hold?

# %%
five = {row["setting"]: row for row in recorded("currents")["five"]}

def at(game: str, step: int, what: str):
    "Eight recorded values of a game at a step."
    return five[f"{game}, {step} steps"][what]["by seed"]

# %%
def path(game: str, step: int):
    "A recorded orbit of each seed, (8, 200, 2)."
    kept = five[f"{game}, {step} steps"]["orbit of each seed"]
    return (recorded_pictures(kept, 8, 200, 2) * 2 - 1) * 1.75

# %%
drawn_by_them = {row["setting"]: row for row in recorded("currents")["authors"]}["loop, k=1"]

# %%
figure, panels = axes(1, 3, size=(2.3, 2.4), sharex=True, sharey=True)
for ax, step in zip(panels, (1000, 2000, 8000)):
    for line in path("released, k=1", step):
        ax.plot(*line.T, c=FAKE, lw=1)
    for line in path("released, k=0", min(step, 2000)):
        ax.plot(*line.T, c=MISSING, lw=2)
    ax.plot(*ring(5).centers.T, "o", c=REAL, ms=4)
    ax.set(title=f"step {step:,}", xlabel="x", aspect="equal", xlim=(-1.4, 1.4), ylim=(-1.4, 1.4))
panels[0].set_ylabel("y")
Picture(figure, "An orbit of each of eight seeds. With the form eight rounded loops near the five "
        "points after 1,000 and 2,000 steps, smaller and less even ones after 8,000. Without "
        "the form (grey) dots; those in the panel of 8,000 steps are those of 2,000")

# %%
later = 250, 500, 1000, 2000, 4000, 8000
lines = {"form": ("released, k=1", later, FAKE, "x-"),
         "no form": ("released, k=0", later[:4], MISSING, "s:"),
         "this chapter's game": ("this chapter's game, authors' settings", later[:4], REAL, "o--")}

# %%
figure, (left, right) = axes(1, 2, size=(3.3, 2.7))
for label, (game, stops, colour, mark) in lines.items():
    rows = torch.tensor([at(game, n, "winding") for n in stops])
    left.plot(stops, rows.mean(1), mark, c=colour, label=label)
    left.fill_between(stops, rows.amin(1), rows.amax(1), color=colour, alpha=.2, lw=0)
    right.plot(*(at(game, 2000, what) for what in ("length", "farthest point")), mark[0], c=colour)
right.plot(*(at("released, k=1", 0, what) for what in ("length", "farthest point")), "k.",
           label="untrained")
right.plot(drawn_by_them["length"], drawn_by_them["farthest point"], "*", c=ACCENT, ms=11,
           label="picture of the authors")
right.axhline(.4, c=MISSING, lw=.8)
left.set(xlabel="steps", ylabel="winding", xscale="log", xticks=later[::2], xticklabels=later[::2])
left.minorticks_off()
right.legend(frameon=False)
right.set(xlabel="length of an orbit", ylabel="farthest point", xlim=(-.3, 6.6), ylim=(0, 2))
left.legend(frameon=False, loc=(.3, .4))
Picture(figure, "Left, winding: with the form 1 on each seed from 1,000 to 8,000 steps, else 0. "
        "Right: with the form lengths of 4.5 to 5.3 and farthest points of 0.28 to 0.5, near "
        "the authors' picture (star); without it short orbits, 1.7 from the farthest point")

# %%
wound, missed = (at("released, k=1", 2000, what) for what in ("winding", "farthest point"))
still, dot = (at("released, k=0", 2000, what) for what in ("winding", "farthest point"))
claim("At the authors' settings the first latent goes once round five points, on each seed",
      paper="Möllenhoff and Cremers 2019",
      section="five points, settings and objective of their code, 2,000 steps",
      figure="measured on their picture: once round, length 5.2; without the form a dot",
      ours=f"{interval(wound)}, worst {min(wound):g}",
      baseline=f"{interval(still)} without the form", holds=min(wound) > .95 and max(still) < .1)

# %%
claim("At the authors' settings the loop passes each of the five points nearer than 0.4, "
      "on each seed", paper="this course",
      section="five points, settings and objective of the authors' code, 2,000 steps",
      figure="measured on the authors' picture: 0.27",
      ours=f"{interval(missed)}, worst {max(missed):.2f}",
      baseline=f"{interval(dot)} without the form",
      holds=max(missed) < .4 and min(dot) > 1, expect=False)

# %%
gone_on = at("released, k=1", 8000, "winding")
claim("At the authors' settings the loop round five points stays when training goes on",
      paper="this course", section="settings and objective of their code, 8,000 steps, not 2,000",
      ours=f"{interval(gone_on)}, worst {min(gone_on):g}",
      baseline=f"{interval(wound)} after 2,000 steps", holds=interval(gone_on).low > .95)

# %% [markdown]
# With the form the orbit goes once round on each of the eight seeds, and without it on none. This agrees with the picture of the authors. (The game without the form ends at 2,000 steps. So the grey dots in the panel of step 8,000 are those of step 2,000.) We expected all three thresholds to hold. The second does not: on two seeds the farthest point is beyond 0.4, and the worst is at 0.50. (After 1,000 steps all seeds were nearer than 0.32.) The third threshold holds: after 8,000 steps each seed still goes round. But the loop has become smaller, and on five seeds it misses a point by more than 0.4.
#
# **So the loop stays at the authors' settings, and it does not at this chapter's.** The objective does not explain this. With the authors' objective at this chapter's settings the loop is there after 250 steps on each seed, and after 600 steps the mean winding is 0.23. We did not test which of the settings matters. One guess is the rate: rate times steps is 0.8 after the 8,000 steps here. This chapter's run keeps the loop up to 1 (250 steps), and at 1.6 (400 steps) more than half of the orbits have lost it. If the rate is the cause, a still longer training would lose the loop here, too.
#
# This chapter's game at the authors' settings makes no loop (the circles in the left panel). It has their weight of 0.1, which means less here: their bounds are on $0.1\,w$, and ours are on $w$, so this form counts a tenth. We did not run it with weight 1.
#
# **What still differs from the authors' code.** The seeds are drawn by this course's generators, eight networks side by side, in a newer version of torch. The tangents are exact, and not quotients of small differences. The random vectors come from another factorisation (QR, not SVD). The authors draw one orbit, whose other four latents are uniform on $[0,1]$; ours are uniform on $[-\pi,\pi]$, as in training.

# %%
far = {n: at("released, k=1", n, "farthest point") for n in later}
assert [sum(away > .4 for away in far[n]) for n in (1000, 2000, 8000)] == [0, 2, 5]
assert max(far[1000]) < .32 and round(max(far[2000]), 2) == .5
lengths = [interval(at("released, k=1", n, "length")).mean for n in (1000, 2000, 8000)]
assert lengths[0] > lengths[1] > lengths[2]
assert .25 < drawn_by_them["farthest point"] < .28 and abs(drawn_by_them["length"] - 5.2) < .05
assert max(at("this chapter's game, authors' settings", 2000, "winding")) < .05
theirs_here = "authors' objective, chapter's settings"
assert min(at(theirs_here, 250, "winding")) == 1
assert round(interval(at(theirs_here, 600, "winding")).mean, 2) == .23

# %% [markdown]
# ## Three traps
# **Speed.** The latent is $2\pi$ wide and the circle is $2\pi$ long, so unit speed is right. No closed curve round the circle has half that speed. **Sense.** If all tangents are reversed, the loop runs in the opposite sense. The next cells try both, with 400 instead of 600 steps:

# %%
class Backwards(Currents):
    "All tangents turned round."
    def tangents(self, x):
        return -super().tangents(x)


# %%
settings = {"as it should be": Currents(), "half speed": Currents(speed=.5),
            "backwards": Backwards()}

# %%
@experiment("03_currents", early=10)
def traps(total=400):
    "Eight seeds with other tangents."
    return {name: measured(train(rules, 400, total)) for name, rules in settings.items()}


# %%
for name, row in traps().items():
    lock, backwards, share = (interval(row[k], low=0, high=1)
                              for k in ("lock", "backwards", "good"))
    print(f"{name:16} winding {interval(row['winding']):.2f}  lock {lock:.2f}  "
          f"lock backwards {backwards:.2f}  good {share:.2f}")

# %%
tried = {name: {k: interval(v) for k, v in row.items()} for name, row in traps().items()}
assert abs(tried["backwards"]["winding"].mean + 1) < .01 or fast_mode()
half, right = (tried[name]["good"] for name in ("half speed", "as it should be"))
assert half.high < .05 < right.low and tried["half speed"]["winding"].mean > .8 or fast_mode()

# %% [markdown]
# At half speed most orbits still go round, and hardly a sample is on the circle. A likely reason: no closed curve round the circle satisfies both critics.
#
# **Axes.** With two directions a form measures the *plane* of the tangents and its area, and nothing else. Rotate the two in their plane, stretch one and shrink the other: the value stays the same. So a generator with "turn" and "move" may mix the two in any way. The pictures of the authors show such a mix; the next section measures it.

# %%
w, v = torch.randn(2, 1, 2, 5, generator=g, dtype=torch.float64)
mix = torch.tensor([[2 * math.cos(1), 2 * math.sin(1)], [-math.sin(1) / 2, math.cos(1) / 2]],
                   dtype=torch.float64)
assert torch.allclose(form_on_vectors(w, mix @ v), form_on_vectors(w, v))
assert not torch.allclose(mix @ v, v)
form_on_vectors(w, v).item(), form_on_vectors(w, mix @ v).item()

# %% [markdown]
# ## Pictures: a latent that turns, and one that enlarges
# On pictures the directions are known as well: `tangent_turn` and `tangent_grow`. `benchmarks/currents.py` trains on MNIST and on drawn faces (chapter [6.11](../6_workshop/11_pictures.ipynb)), at 16×16 pixels. Each example is turned by up to 45° to either side, and its size is multiplied by a factor from 0.73 to 1.37. So we know how wide each direction is in the data. The latent is not closed here (`angles=0`). It goes from $-\pi$ to $\pi$, and `speed` gives it the width in the data. All players are small and convolutional. There are 300 steps with one turn of the critics, and eight seeds.
#
# How can we measure whether the latent follows? A generated picture has a tangent of its own: how it would change if it was turned. So take the cosine between the movement of a sample, $J_Ge_1$, and this tangent. It is 1 if the latent turns the sample and changes nothing else, and 0 if the movement has nothing to do with a turn. There are two nulls: the game without directions, and the second latent, of which nothing is asked. *Speed* is how far the sample turns, as a share of the wanted speed.
#
# A rival needs no form. It asks each sample to move along its own tangent, and its loss is the squared miss. On the circle such a loss made closed orbits stand still, but this latent is open. The miss is divided by the mean squared tangent of the real batch. We tried two other versions first, and they are recorded, too. In *own scale* the miss is divided by the squared tangent of the same sample, and in *free tangent* $G$ may change the tangent as well.
#
# The paper has a picture and no number, so we measured the picture of the authors' repository: ten digits, each at ten values of a latent. There the movement is the difference between two tiles, and the cosine with a turn is 0.72 in size, at least 0.57 for each digit. Their digits turn counter-clockwise. A second picture shows the walk of the latent that is named after the thickness of the strokes. Its cosine with a turn is 0.54, clockwise. So both latents turn the digits, as the paragraph on axes says.
#
# **Predict:** how can $G$ make the loss of the two earlier versions small without turning anything?

# %%
from modelab.core.plotting import image_grid, interval_plot

# %%
pictured = {name: {row["setting"]: row for row in rows}
            for name, rows in recorded("currents").items() if name in ("digits", "faces")}
of_digits, of_faces = pictured["digits"], pictured["faces"]

def seen(row: dict, what: str):
    "Eight recorded values as an interval."
    return interval(row[what]["by seed"], **({"low": 0} if what == "Fréchet" else {}))

# %%
rivals = "no form, turn", "no form, turn, own scale", "no form, turn, free tangent"
asked = {("digits", "turn"): ("no directions", "form, turn", rivals[0]),
         ("digits", "grow"): ("no directions", "form, grow"),
         ("faces", "turn"): ("no directions", "form, turn"),
         ("faces", "grow"): ("no directions", "form, grow")}
lines = {f"{of}, {along}: {game.split(',')[0]}": (pictured[of][game], along)
         for (of, along), games in asked.items() for game in games}

# %%
def drawn(ax, what: str, shift: float = 0., colour: str = FAKE, **kw):
    "A measure of each game: its interval, and a short upright line for each seed."
    rows = {line: (row, what.format(along)) for line, (row, along) in lines.items()}
    interval_plot(ax, {line: seen(*place) for line, place in rows.items()}, color=colour,
                  shift=shift, **kw)
    for height, (row, name) in enumerate(rows.values()):
        ax.plot(row[name]["by seed"], [height + shift] * 8, "|", c=colour, ms=7, alpha=.5)

# %%
figure, panels = axes(1, 3, size=(2.6, 3), sharey=True)
drawn(panels[0], "cosine of the second latent, {}", .3, MISSING, mark="s", label="second latent")
for ax, what in zip(panels, ("cosine, {}", "speed, {}", "Fréchet")):
    drawn(ax, what, label="first latent" if "cosine" in what else "")
panels[0].legend(frameon=False, loc="lower center", bbox_to_anchor=(.5, 1), ncols=2)
for ax, name in zip(panels, ("cosine", "speed, share of the wanted", "Fréchet distance")):
    ax.set(xlabel=name)
Picture(figure, "Three panels. Cosine: 0.35 to 0.58 with a form, 0.31 for the rival, near 0 else. "
        "Speed: 0.1 to 0.7 with a form. Fréchet distance: smaller with a form than without")

# %%
theirs = {row["setting"]: torch.tensor(row["cosine, turn, digit by digit"])
          for row in recorded("currents")["authors"] if "walk" in row["setting"]}
first, second = theirs["walk, rotate"], theirs["walk, dilate"]
assert abs(first.mean() + .72) < .01 and first.max() < -.57 and abs(second.mean() - .54) < .01

# %%
floors = {name: seen(rows["real examples"], "Fréchet") for name, rows in pictured.items()}
least = {f"digits, {name}": min(of_digits[name]["Fréchet"]["by seed"]) for name in rivals[1:]}
print("Fréchet distance, real examples:", {of: f"{floor:.2f}" for of, floor in floors.items()})
print("Fréchet distance, lowest seed:", {name: f"{low:.1f}" for name, low in least.items()})

# %%
def walks(row: dict):
    "Six samples of seed 0, one a line, while the first latent goes from -π to π."
    return recorded_pictures(row["walk"], -1, 16, 16)

# %%
shown_games = "no directions", "form, turn", "form, grow"
figure, panels = axes(1, 4, size=(2.4, 2.3))
for ax, (rows, name, of) in zip(panels, [*((of_digits, name, "digits") for name in shown_games),
                                         (of_faces, "form, turn", "faces")]):
    image_grid(ax, walks(rows[name]), 7, f"{of}: {name}")
Picture(figure, "Four sheets of samples, seed 0, seven values of the first latent from left to "
        "right: digits in place; digits that turn clockwise; that grow; faces that turn")

# %%
def cosines(rows: dict, game: str, along: str):
    "The cosine of eight seeds, and as a text with the worst seed."
    values = seen(rows[game], f"cosine, {along}")
    least = min(rows[game][f"cosine, {along}"]["by seed"])
    return values, f"{values:.2f}, worst {least:.2f}"

# %%
(turned, said), (still, null) = (cosines(of_digits, name, "turn")
                                 for name in ("form, turn", "no directions"))
claim("A form for rotation makes the first latent of a generator of digits turn them",
      paper="Möllenhoff and Cremers 2019",
      section="in this course's setting: cosine above 0.3, without directions below 0.1",
      figure="a picture of ten walks; we measured a cosine of 0.72 on it",
      ours=said, baseline=null, holds=turned.low > .3 and still.high < .1)

# %%
(grown, said), (still, null) = (cosines(of_digits, name, "grow")
                                for name in ("form, grow", "no directions"))
claim("A form for size makes it enlarge them", paper="this course",
      section="cosine above 0.3, without directions below 0.1",
      ours=said, baseline=null, holds=grown.low > .3 and still.high < .1)

# %%
(turned_face, said), (still, null) = (cosines(of_faces, name, "turn")
                                      for name in ("form, turn", "no directions"))
claim("A form for rotation makes the first latent of a generator of faces turn them",
      paper="this course", section="drawn faces: cosine above 0.3, without directions below 0.1",
      ours=said, baseline=null, holds=turned_face.low > .3 and still.high < .1)

# %%
(grown_face, said), (still, null) = (cosines(of_faces, name, "grow")
                                     for name in ("form, grow", "no directions"))
claim("A form for size makes it enlarge faces", paper="this course",
      section="drawn faces: cosine above 0.3 and above that without directions",
      ours=said, baseline=null, holds=grown_face.low > max(.3, still.high))

# %%
with_form, without = (seen(of_digits[name], "Fréchet") for name in ("form, turn", "no directions"))
claim("The form costs no quality: the Fréchet distance of digits is at most a tenth higher",
      paper="this course", section="300 steps, equal rates and turns", ours=f"{with_form:.2f}",
      baseline=f"{without:.2f}", holds=with_form.high < 1.1 * without.low)

# %%
fixed, rival_said = cosines(of_digits, "no form, turn", "turn")
claim("The form follows its tangent better than a loss on each sample's own tangent",
      paper="this course", section="cosine on digits, both at weight 1 and rate 0.004",
      ours=cosines(of_digits, "form, turn", "turn")[1],
      baseline=rival_said, holds=turned.low > fixed.high)

# %% [markdown]
# Five of the six thresholds were written down before the run. That for faces that grow was added later, before its own run, when the row without directions was known. The rival is its third version, made after the first two had failed. The results:
#
# - **The latent follows.** The cosines, 0.47 and 0.58 on digits and 0.35 and 0.55 on faces, are above both nulls on every seed. On some seeds of the faces the second latent comes near (the grey lines in the picture). The cosines are also far from 1: the samples change in other ways, too, while they turn or grow.
# - **Too slowly.** Digits turn at less than half of the wanted speed, and grow at two thirds of it. Faces grow at less than a third, and turn at a ninth, which is hardly visible in the picture. 300 steps may be too few. We did not train longer; the paper has 50,000 steps.
# - **Quality.** With a form the Fréchet distance of digits is smaller than without, for both directions. All distances of digits are far above those of real examples.
# - **The rival.** Its cosine is smaller, its speed is a quarter of the form's, and its Fréchet distance is that of the game without directions. We expected the opposite, since it is trained on what is measured. It has one weight and one rate here; the next section tries others. The two earlier versions made blank pictures (the Fréchet distance of every seed is above 75): a blank picture has no tangent, so nothing has to move.

# %%
for (of, along), games in asked.items():
    rows, first = pictured[of], f"cosine, {along}"
    second = f"cosine of the second latent, {along}"
    ours, *nulls = (rows[game][latent]["by seed"] for game, latent in (
        (games[1], first), (games[0], first), (games[1], second)))
    assert all(here > max(others) for here, *others in zip(ours, *nulls))

# %%
speeds = {name: seen(of_digits[name], f"speed, {name.split()[-1]}")
          for name in ("form, turn", "form, grow", "no form, turn")}
speeds["faces"] = seen(of_faces["form, turn"], "speed, turn")
assert seen(of_faces["form, grow"], "speed, grow").mean < 1 / 3
assert speeds["form, turn"].high < .5 and abs(speeds["form, grow"].mean - 2 / 3) < .05
assert abs(speeds["faces"].mean - 1 / 9) < .01
assert 3 < speeds["form, turn"].mean / speeds["no form, turn"].mean < 5

# %%
distances = {name: seen(row, "Fréchet") for name, row in of_digits.items()}
assert max(distances["form, turn"].high, distances["form, grow"].high) < without.low
assert distances["no form, turn"].low < without.mean < distances["no form, turn"].high
assert min(distances[name].low for name in shown_games) > 3 * floors["digits"].high
assert all(walks(of_digits[name]).std(0).max() < .01 for name in rivals[1:])  # blank
assert min(least.values()) > 75

# %% [markdown]
# ## A sweep beside the claims: weight and rate
# The pictures above have weight 1 and a rate of 0.004. These were chosen by hand, on trials with the form on seeds 0 and 1 that are not recorded. Both seeds are among the eight reported. The rival was not tuned. So the last claim may be unfair. The part `sweep` tries three weights and three rates on digits that turn, for the form and for its rival alike, on seeds 100 and 101. A rule was written down before the run: of the nine pairs take the one with the highest cosine, but only among those whose Fréchet distance is at most 13.1, a tenth above that without directions. The chosen pair is then trained on the eight seeds 0 to 7.
#
# In the picture a hollow mark is a pair whose distance is too large.
#
# **Predict:** which of the two gains more from the sweep, the form or its rival?

# %%
swept = {row["setting"]: row for row in recorded("currents")["sweep"]}
rates = 2e-3, 4e-3, 8e-3

def in_sweep(game: str, weight: float, what: str):
    "The mean of the two tuning seeds, rate by rate."
    return [sum(swept[f"{game}, weight {weight:g}, rate {rate:g}"][what]["by seed"]) / 2
            for rate in rates]

# %%
figure, panels = axes(1, 2, size=(3, 2.6), sharey=True)
for ax, game in zip(panels, ("form, turn", "no form, turn")):
    for weight, colour in ((.3, REAL), (1., ACCENT), (3., FAKE)):
        turns, far = (in_sweep(game, weight, what) for what in ("cosine, turn", "Fréchet"))
        ax.plot(rates, turns, c=colour, label=f"weight {weight:g}")
        for rate, cosine, distance in zip(rates, turns, far):
            ax.plot(rate, cosine, "o", c=colour, mfc=colour if distance <= 13.1 else "w")
    ax.set(title=game.split(",")[0], xlabel="rate", xscale="log", xticks=rates,
           xticklabels=["0.002", "0.004", "0.008"])
    ax.minorticks_off()
panels[0].set_ylabel("cosine")
panels[0].legend(frameon=False)
Picture(figure, "Cosine against the rate for three weights; hollow marks: too large a distance. "
        "The form: about 0.45 at weight 3 and falling at the highest rate; at weight 1 0.42 "
        "at the rate 0.004, and less at the other two. The rival: from 0.17 to 0.40")

# %%
best_form, best_rival = (swept[f"chosen: {game}"] for game in ("form, turn", "no form, turn"))
for row in (best_form, best_rival):
    print(f"{row['cell']:38} cosine {seen(row, 'cosine, turn'):.2f}  "
          f"speed {seen(row, 'speed, turn'):.2f}  Fréchet {seen(row, 'Fréchet'):.2f}")

# %%
tuned, said = cosines(swept, "chosen: form, turn", "turn")
tuned_rival, rival_said = cosines(swept, "chosen: no form, turn", "turn")
claim("When both are tuned alike, the form follows its tangent better than that loss",
      paper="this course", section="cosine on digits, the best of nine settings of each",
      ours=said, baseline=rival_said, holds=tuned.low > tuned_rival.high, expect=False)

# %% [markdown]
# We expected this: the claim does not hold. The form gains nothing from the sweep, and the rival gains on six seeds and fails on two. For the form the rule takes the pair of the sections above, weight 1 and a rate of 0.004, so these are the same eight seeds. (Weight 3 at 0.002 has a higher cosine, and a distance just above 13.1.) For the rival it takes weight 3 and 0.008, a corner of the sweep. There six seeds have cosines from 0.36 to 0.48, nearly those of the form, and the other two made blank pictures. So the interval of the rival is wide, and it overlaps that of the form. The two tuning seeds had not shown this. The form is the more reliable of the two here: its worst seed has 0.43. That it follows better on the seeds on which both work is not shown. The rival's pair is at the edge of what we tried, so a wider sweep may help it.

# %%
of_rival = sorted(best_rival["cosine, turn"]["by seed"])
assert sum(far > 75 for far in best_rival["Fréchet"]["by seed"]) == 2
assert of_rival[1] < .1 and .36 < of_rival[2] and of_rival[-1] < .485
before = of_digits["no form, turn"]["cosine, turn"]["by seed"]  # the same seeds, not tuned
assert sum(b > a for a, b in zip(before, best_rival["cosine, turn"]["by seed"])) == 6
assert min(best_form["cosine, turn"]["by seed"]) > .43
assert best_form["cosine, turn"] == of_digits["form, turn"]["cosine, turn"]

# %%
heavy = [in_sweep("form, turn", 3., what)[0] for what in ("cosine, turn", "Fréchet")]
assert heavy[0] > max(in_sweep("form, turn", 1., "cosine, turn")) and 13.1 < heavy[1] < 13.2

# %% [markdown]
# ## Try it: turn the latent
# The picture shows two hundred samples with the same first latent. Turn it. With *no directions* the samples stay spread over the circle; with *around* they form one cluster that travels round. Which choice makes it travel in the opposite sense?

# %%
import ipywidgets as w

# %%
shown = {"no directions": free, "around": directed, "backwards": train(Backwards(), 400, runs=1)}

# %%
def scene(name: str, angle: float):
    "Samples of seed 0 whose first latent is `angle` (in degrees)."
    run = shown[name]
    z = run.noise(200, run.generators("scene"))
    z[..., 0] = math.radians(angle)
    with torch.no_grad():
        x = run.players.averaged(z)[0]
    figure, ax = axes(size=(3, 3))
    ax.plot(*data.centers.T, "o", c=REAL, ms=3)
    ax.plot(*x.T, "x", c=FAKE, ms=4)
    ax.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal", xlabel="x", ylabel="y",
           title=f"{name}, latent at {angle:.0f}°")
    spread = torch.hypot(*x.div(x.norm(dim=1, keepdim=True)).mean(0)).item()
    return Picture(figure, f"{name}: two hundred samples with the first latent at {angle:.0f} "
                           f"degrees; their mean direction has length {spread:.2f}")

# %%
controls = [w.Dropdown(options=list(shown), description="game"),
            w.IntSlider(0, -180, 180, step=15, description="degrees")]
view = w.Image(format="png", layout=w.Layout(max_width="100%", align_self="flex-start"))

# %%
def look(change=None):
    view.value = scene(*(control.value for control in controls)).png


# %%
for control in controls:
    control.observe(look, "value")
look()
w.VBox([w.HBox(controls), view])

# %%
controls[0].value, controls[1].value = "around", 90
assert view.value == scene("around", 90).png != scene("no directions", 90).png
scene("around", 90)

# %% [markdown]
# The next pictures show the orbits from the first step on:

# %%
def film(rules, stops=(0, 20, 40, 80, 150, 300)):
    run, shots = Run(rules, data, runs=1, batch=64, average=.9, device="cpu"), []
    for n in stops:
        run.step(n - run.steps)
        figure, ax = axes(size=(2.8, 2.8))
        draw(ax, run, "")
        mean = windings(run).mean()
        shots.append(Picture(figure, f"five orbits of the first latent, winding {mean:.2f}"))
    return Film(shots, [f"step {n}" for n in stops])


# %%
film(Currents())

# %% [markdown]
# The game is in the lab, too: `Lab(Currents(), ring(40, std=.02))`. On pictures all three players can be convolutional:

# %%
convolutional = Currents(along="down turn", networks=Networks("conv", width=4, d_width=4))
Run(convolutional, "digits", runs=2, batch=8, device="cpu").step(2).sample(5).shape

# %% [markdown]
# ## In your own code
# Plain modules, pictures, two directions. You need a function that says how a real example changes; `tangent_down` and `tangent_turn` are two such functions.

# %%
from modelab.methods.currents import (flat_penalty, form_on_vectors, push_forward, tangent_down,
                                      tangent_turn)

# %%
my_G = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64))
my_D = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
my_W = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2 * 64), nn.Unflatten(1, (2, 64)))

# %%
pictures = torch.rand(16, 1, 8, 8)
tangents = torch.stack([tangent_down(pictures).flatten(1), tangent_turn(pictures).flatten(1)], 1)
x = pictures.flatten(1)
z = (torch.rand(16, 8) * 2 - 1) * math.pi

# %% [markdown]
# The critics' turn. $G$ gets no gradient here, and the penalty is also at points between real and generated ones:

# %%
with torch.no_grad():
    fake, moves = push_forward(my_G, z, 2)
seen = torch.cat([x, torch.lerp(fake, x, torch.rand(16, 1))])
by_D = my_D(x).mean() - my_D(fake).mean()
by_W = form_on_vectors(my_W(x), tangents).mean() - form_on_vectors(my_W(fake), moves).mean()
loss_d = -(by_D + by_W) + 10 * (flat_penalty(my_D, seen) + flat_penalty(my_W, seen))
loss_d.backward()
assert all(p.grad is None for p in my_G.parameters())

# %% [markdown]
# The turn of $G$. Now the samples and their derivatives keep their graph:

# %%
fake, moves = push_forward(my_G, z, 2)
loss_g = -my_D(fake).mean() - form_on_vectors(my_W(fake), moves).mean()
loss_g.backward()
assert all(p.grad is not None for p in my_G.parameters())

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.currents import (grade_arrow, grade_moves, grade_speed,
                                             grade_winding)

# %% [markdown]
# **1.** (easy, 5 minutes) An arrow of length $\ell=0.5$ is moved sideways by $h=0.1$, with $\lambda=1$. What is the flat norm of the arrow minus the moved arrow?
#
# <details><summary>Hint</summary>
#
# A rectangle is swept. Its area costs something, and so do its two short sides, which are left over. Compare with the cost of erasing both arrows.
#
# </details>

# %%
answer = ...
grade_arrow(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Sweeping costs the area $\ell h=0.05$ plus two short sides, $2h\lambda=0.2$. Erasing both arrows costs $2\ell\lambda=1$. The minimum counts.
#
# ```python
# answer = min(.5 * .1 + 2 * .1, 2 * .5)
# ```
#
# </details>

# %% [markdown]
# **2.** (easy, 5 minutes) A latent, uniform on $[-\pi,\pi]$, shall move a picture from three pixels left to three pixels right. Which `speed` does it need, in pixels per radian?
#
# <details><summary>Hint</summary>
#
# How wide is the latent, and how long is the way?
#
# </details>

# %%
answer = ...
grade_speed(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The latent is $2\pi$ wide, and the way is six pixels.
#
# ```python
# answer = 6 / (2 * math.pi)
# ```
#
# </details>

# %% [markdown]
# **3.** (medium, 15 minutes) Write `winding(path)` for a closed path `(n, 2)` that does not pass through the origin: how often it goes round the origin, with its sign.
#
# <details><summary>Hint</summary>
#
# `torch.atan2` gives the angle of each point. It jumps by $2\pi$ at the negative x axis. So add up the small turns, each brought into $[-\pi,\pi)$.
#
# </details>

# %%
def winding(path):
    ...

answer = winding
grade_winding(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def winding(path):
#     turn = torch.atan2(path[:, 1], path[:, 0]).diff()
#     turn = torch.remainder(turn + math.pi, 2 * math.pi) - math.pi
#     return turn.sum().item() / (2 * math.pi)
#
# answer = winding
# ```
#
# The difference between the last and the first angle alone is zero for every closed path.
#
# </details>

# %% [markdown]
# **4.** (hard, 20 minutes) Write `moves(G, z)`: how the samples of a generator change with their first latent, $J_G(z)\,e_1$. `z` is `(n, latent)`, the samples and the result are `(n, d)`. The result must be exact, and it must have a gradient in the weights of `G`.
#
# <details><summary>Hint</summary>
#
# `torch.func.jvp(G, (z,), (direction,))` gives the samples and their derivative along a direction, one direction for each latent.
#
# </details>

# %%
def moves(G, z):
    ...

answer = moves
grade_moves(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def moves(G, z):
#     direction = torch.zeros_like(z)
#     direction[:, 0] = 1
#     return torch.func.jvp(G, (z,), (direction,))[1]
#
# answer = moves
# ```
#
# `push_forward(G, z, 1)[1][:, 0]` gives the same by two backward passes, which work with every layer that has a second derivative.
#
# </details>

# %% [markdown]
# ## Recap
# - A distribution of points does not determine what a latent does. Tangents do, if the loss measures them.
# - The flat norm is the cost of sweeping one part and erasing the rest. A closed curve is cheap to sweep aside; the tangent at a single point is always cheaper to erase.
# - With forty points and their tangents the first latent goes round the circle once, on every seed, with at least as many good samples, in more time per step. A loss that compares every sample with its nearest tangent does not do this. A loss on the *mean* speed of a batch does, without a form.
# - With five points and a learned form the loop appears and disappears at this chapter's settings; with the loss on the mean speed it stays. At the authors' settings the loop with the form goes round on each seed, and it is still there after four times as many steps. It passes the points less closely than on their picture.
# - Speed, sense and the width of the latent must fit the data. Two directions determine only their plane.
# - On small pictures a form makes the first latent turn or enlarge the samples, more slowly than asked, and the Fréchet distance does not rise. A loss on each sample follows less well at the same settings. Tuned alike, it follows nearly as well on six of eight seeds and makes blank pictures on two.
#
# **For later.**
#
# 1. Why can a function of points not measure a tangent?
# 2. What is left over when an arrow is swept aside?
# 3. Why does a loss on each sample make a closed orbit stand still?
# 4. Why is the root better than the value at one random frame?
#
# <details><summary>Answers</summary>
#
# 1. Its value depends on the point alone, so it is the same for every tangent at that point.
# 2. The two short sides of the rectangle, the ways of its two ends. They must be erased.
# 3. The derivative along a closed orbit has mean zero. If the wanted tangent is nearly constant along the orbit, each movement adds to the squared error.
# 4. The root is the maximum over all frames. A random frame gives less, on average a tenth for a vector in 64 dimensions, so the bound would be too weak.
#
# </details>
#
# **References.** T. Möllenhoff, D. Cremers, *Flat metric minimization with applications in generative modeling*, ICML 2019. H. Federer, *Geometric measure theory*, 1969.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.currents
"Graders of chapter 5.3."
import math

import torch

from modelab.course.exercises import as_number, exercise

# %%
#| export course.graders.currents
@exercise(accepts=[.25, .05 + .2], rejects=[.1, .05, 1., .2, .3, ".25"])
def grade_arrow(answer):
    assert abs(as_number(answer) - min(.5 * .1 + 2 * .1, 2 * .5)) < 1e-9, \
        "a rectangle is swept; and what becomes of its two short sides?"

# %%
#| export course.graders.currents
@exercise(accepts=[3 / math.pi, .955], rejects=[1, 6, 3, 6 / math.pi, math.pi / 3])
def grade_speed(answer):
    assert abs(as_number(answer) * 2 * math.pi - 6) < .01, \
        "over the whole width of the latent the picture must move by six pixels"

# %%
#| export course.graders.currents
def by_turns(path):
    "The right answer: the sum of small turns."
    step = torch.atan2(path[:, 1], path[:, 0]).diff()
    return ((torch.remainder(step + math.pi, 2 * math.pi) - math.pi).sum() / (2 * math.pi)).item()

# %%
#| export course.graders.currents
def by_ends(path):
    "A wrong answer: the difference between the last and the first angle."
    start, end = (torch.atan2(path[i, 1], path[i, 0]) for i in (0, -1))
    return (end - start).item() / (2 * math.pi)

# %%
#| export course.graders.currents
def by_jumps(path):
    "A wrong answer: the sum of the differences, with their jumps."
    return torch.atan2(path[:, 1], path[:, 0]).diff().sum().item() / (2 * math.pi)

# %%
#| export course.graders.currents
@exercise(accepts=[by_turns],
          rejects=[by_ends, by_jumps, lambda path: 1., lambda path: abs(by_turns(path)),
                   lambda path: -by_turns(path), lambda path: by_turns(path) * 2 * math.pi])
def grade_winding(winding):
    turn = torch.linspace(0, 2 * math.pi, 101)
    for times in (1, -2, 3):
        circle = torch.stack([(times * turn).cos(), (times * turn).sin()], 1)
        path = circle * (2 + turn.sin())[:, None]
        assert abs(as_number(winding(path)) - times) < 1e-3, \
            f"wrong for a path that goes round {times} times: add up small turns, with their sign"
    beside = torch.stack([turn.cos() + 3, turn.sin()], 1)
    assert abs(as_number(winding(beside))) < 1e-3, "wrong for a path beside the origin"

# %%
#| export course.graders.currents
def along(G, z, j=0):
    "The derivative of G(z) along one latent, `(n, d)`."
    direction = torch.zeros_like(z)
    direction[:, j] = 1
    return torch.func.jvp(G, (z,), (direction,))[1]

# %%
#| export course.graders.currents
def quotient(G, z, step=.1):
    "A wrong answer: a difference quotient, which is not exact."
    shift = torch.zeros_like(z)
    shift[:, 0] = step
    return (G(z + shift) - G(z - shift)) / (2 * step)

# %%
#| export course.graders.currents
def summed(G, z):
    "A wrong answer: the gradient of the sum of all numbers of a sample."
    z = z.detach().requires_grad_()
    return torch.autograd.grad(G(z).sum(), z, create_graph=True)[0][:, :1].expand(-1, 2)

# %%
#| export course.graders.currents
@exercise(accepts=[along],
          rejects=[quotient, lambda G, z: quotient(G, z, 1e-5), summed,
                   lambda G, z: along(G, z).detach(), lambda G, z: along(G, z, 1),
                   lambda G, z: G(z),
                   lambda G, z: along(G, z) + along(G, z, 1)])
def grade_moves(moves):
    g = torch.Generator().manual_seed(0)
    z, W = (torch.randn(*n, generator=g, dtype=torch.float64) for n in ((5, 3), (3, 2)))
    W.requires_grad_()
    known = (1 - (z @ W).tanh().square()) * W[0]  # of G(z) = tanh(z W)
    found = moves(lambda z: (z @ W).tanh(), z)
    assert found.shape == (5, 2), "one vector of the length of a sample for each latent"
    assert torch.allclose(found, known, rtol=0, atol=1e-13), \
        "not exactly the derivative along the first latent"
    assert found.requires_grad, "the result has no gradient in the weights"
    same = (torch.autograd.grad(value.square().sum(), W)[0] for value in (found, known))
    assert torch.allclose(*same, rtol=0, atol=1e-11), "its gradient in the weights is not right"
