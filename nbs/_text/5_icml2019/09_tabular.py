# %% [markdown]
# # Missing values in a table (HexaGAN's imputer)
# > Can a GAN fill the missing cells of a table, and how is the result evaluated?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | Cells of my table are missing. Can a GAN fill them in, and how do I measure how well it does? |
# | **You will be able to** | hide cells, fill them, and evaluate the result by more than its error; write a discriminator that scores each cell; say when a wrong solution is optimal for that game |
# | **Paper** | Hwang, Jung and Yoon, *HexaGAN: generative adversarial nets for real world classification*, ICML 2019; of its six networks the three that fill in features |
# | **Needs** | [0.4](../0_start/04_coverage.ipynb), [1.2](../1_game/02_training.ipynb), [1.4](../1_game/04_wasserstein.ipynb) |
# | **Time** | about half a minute of computing |

# %%
#| default_exp methods.tabular

# %%
#| export
"HexaGAN's imputer for missing cells of a table (Hwang et al. 2019)."
from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import nn, Tensor

from modelab.core.checks import check_shape
from modelab.core.registry import register_game
from modelab.core.seeding import Generators, rand, randint, randn
from modelab.core.signatures import (Bools, checked, Function, Index, InstanceOf, NonNegative,
                                     Shape, Share, Wholes)
from modelab.networks.convolutional import Conv, fold_runs, unfold_runs
from modelab.networks.layers import evaluation_mode, make_player, mlp
from modelab.networks.players import Networks, Player
from modelab.training.game import AdversarialGame
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

# %%
import warnings

from modelab.core.checks import error_message
from modelab.core.plotting import ACCENT, axes, FAKE, MISSING, Picture, REAL
from modelab.core.statistics import interval
from modelab.course.claims import claim, experiment, fast_mode, steps
from modelab.course.notebooks import patch
from modelab.data.mixtures import mixture, ring
from modelab.evaluation.coverage import coverages

# %% [markdown]
# ## The mean need not be a possible value
# Our first table has sixteen modes on a circle of radius 2. A row is a point; its two coordinates are the columns. A missing value is a NaN, as in other libraries. Infinity is refused. An **imputer** is a method that fills missing values.

# %%
#| export
@dataclass(frozen=True)
class NoInfinity(Shape):
    "Marks a table: a tensor as `Shape` does, with NaN where a value is missing, without infinity."

    def check(self, name: str, value: Any) -> Tensor:
        "`value`, if it is such a tensor."
        value = super().check(name, value)
        if value.isinf().any():
            raise ValueError(f"{name}: expected finite numbers, or NaN for missing, got infinity")
        return value


# %% [markdown]
# All functions of this chapter take rows, and most take a mask beside them. Their shapes are declared once.

# %%
#| export
Rows = Annotated[Tensor, Shape("*runs n d")]  # NaN stands where a value is missing
CellMask = Annotated[Tensor, Bools("*runs n d")]


# %% [markdown]
# To evaluate an imputer, the truth must be known. So cells of complete rows are hidden at random.

# %%
#| export
@checked
def hide_cells(x: Rows,  # (*runs, n, d)
               rate: Share,  # of the cells
               generator: Generators = None,  # one, or one per run
               ) -> Tensor:
    "The same rows with NaN in cells chosen at random: missing completely at random."
    chance = rand(*x.shape, generator=generator, device=x.device)
    return torch.where(chance < rate, math.nan, x)


# %% [markdown]
# An imputer gives a value for every cell; only the holes take it.

# %%
#| export
@checked
def fill_holes(x: Rows,  # with NaN in their holes
               filled: Rows,  # a value for every cell
               ) -> Tensor:
    "`x` with its holes filled; what was known stays as it is, to the bit."
    return torch.where(x.isnan(), filled, x)


# %%
circle = mixture(ring(16, radius=2).centers, .12)
g = torch.Generator().manual_seed(0)
x = circle.sample(4, g)
holed = hide_cells(x, .5, g)
assert torch.equal(fill_holes(holed, x), x)
holed, fill_holes(holed, torch.zeros(4, 2))

# %% [markdown]
# We compare four imputers of scikit-learn, with eight seeds. There are 1000 rows to learn from, with half of their cells hidden, and 2500 rows for the evaluation, each with one of its two cells hidden.

# %%
def seeds(first: int):
    return [torch.Generator().manual_seed(first + r) for r in range(8)]

# %%
truth = torch.stack([circle.sample(2500, s) for s in seeds(100)])
which = torch.stack([torch.randint(2, (2500,), generator=s) for s in seeds(200)])
test = truth.masked_fill(nn.functional.one_hot(which, 2).bool(), math.nan)
train = torch.stack([hide_cells(circle.sample(1000, s), .5, s) for s in seeds(300)])

# %%
def by_sklearn(make, train, test):
    "Fit an imputer on each seed's training rows and fill that seed's test rows."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the iterative one warns when it stops too early
        return torch.stack([torch.from_numpy(make().fit(a.numpy()).transform(b.numpy())).float()
                            for a, b in zip(train, test)])

from sklearn.experimental import enable_iterative_imputer
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

imputers = {"mean of the column": SimpleImputer, "iterative regression": IterativeImputer,
            "mean of 5 neighbours": KNNImputer, "one neighbour": lambda: KNNImputer(n_neighbors=1)}
done = {name: by_sklearn(make, train, test) for name, make in imputers.items()}

# %% [markdown]
# The authors' code takes the root mean squared error (RMSE) over the holes of a row and averages it over rows; more usual is one root over all holes. (With one hole in a row this is the mean absolute error.)
#
# **Predict:** which of the four has the smallest error? And which gives completed rows that could be real?

# %%
#| export
@checked
def row_rmse(x: Rows,  # with holes, (*runs, n, d)
             filled: Rows, truth: Rows,  # the same rows, filled and as they were
             ) -> Tensor:  # (*runs,)
    "Root mean squared error over the holes of a row, averaged over rows; without holes it is 0."
    holes = x.isnan()
    wrong = torch.where(holes, filled - truth, 0).square().sum(-1)
    return (wrong / holes.sum(-1).clamp_min(1)).sqrt().mean(-1)


# %%
def rated(filled) -> dict:
    "Error, and coverage by the completed rows, of one way to fill the test rows, seed by seed."
    rows = coverages(filled, circle)
    return {"RMSE": row_rmse(test, filled, truth).tolist(), "TV": [c.tv for c in rows],
            "high quality": [c.high_quality for c in rows]}

found = {name: rated(filled) for name, filled in done.items()}

# %%
def other_rows(s):
    "For each test row the cells of another row: right column by column, independent of the rest."
    return torch.stack([circle.sample(2500, s)[:, 0], circle.sample(2500, s)[:, 1]], 1)

# %%
others = torch.stack([other_rows(s) for s in seeds(400)])
found["null: any value of the column"] = rated(fill_holes(test, others))
found["floor: the truth"] = rated(truth)

# %%
def sheet(*names: str):
    "Error, high quality and total variation (TV) of each way."
    for name in names or found:
        error, tv, good = (interval(found[name][k], low=0, high=most)
                           for k, most in (("RMSE", None), ("TV", 1), ("high quality", 1)))
        print(f"{name:33} RMSE {error.mean:.2f}   high quality {good.mean:.3f}   TV {tv}")

# %%
sheet()

# %%
def points(ax, filled, title: str):
    "Completed rows of seed 0, behind them the modes."
    ax.plot(*circle.centers.T, "o", c=REAL, ms=7, alpha=.4, label="modes")
    ax.plot(*filled[0, :400].T, "x", c=FAKE, ms=3, label="completed rows")
    ax.set(title=title, xlim=(-2.9, 2.9), ylim=(-2.9, 2.9), aspect="equal", xlabel="x₁",
           ylabel="x₂")

# %%
figure, panels = axes(1, 3, size=(2.8, 2.8))
for ax, name in zip(panels, ("mean of the column", "mean of 5 neighbours", "one neighbour")):
    points(ax, done[name], name)
figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2,
              frameon=False)
Picture(figure, "Completed rows: the column's mean draws a cross through the empty middle, five "
                "neighbours fill the inside of the circle, one neighbour stays on it")

# %%
by_error = min(done, key=lambda name: sum(found[name]["RMSE"]))
near_a_mode = {name: interval(found[name]["high quality"], low=0, high=1)
               for name in (by_error, "one neighbour")}
claim("The imputer with the smallest error writes rows more than half of which lie near no mode",
      paper="this course",
      section="circle, one of two cells hidden",
      ours=near_a_mode[by_error], baseline=near_a_mode["one neighbour"],
      holds=near_a_mode[by_error].high < .5)

# %% [markdown]
# The column's mean has the smallest error of the four. But its completed rows form a cross through the empty middle of the circle. Two values are possible for most holes, far apart, and the imputer gives neither.
#
# The reason is general. Let $y$ be the hidden value and $\hat y$ the value that we fill in, given all that we know. The *mean* has the smallest possible squared error. A *draw* from the right distribution, independent of $y$, has exactly twice as much:
#
# $$\mathbb E\,(y-\mathbb E y)^2=\operatorname{Var}y,\qquad \mathbb E\,(y-\hat y)^2=2\operatorname{Var}y .$$

# %%
y = torch.tensor([-1.7, 1.7, .4], dtype=torch.float64)
p = torch.tensor([.5, .3, .2], dtype=torch.float64)
mean, variance = p @ y, p @ (y - p @ y).square()
assert torch.isclose(p @ (y - mean).square(), variance)
assert torch.isclose(p @ (y[:, None] - y).square() @ p, 2 * variance)
(p @ (y[:, None] - y).square() @ p / variance).sqrt().item()

# %% [markdown]
# So the root of the mean squared error over all holes is larger by a factor of $\sqrt2\approx1.41$ if an imputer draws from the *right* distribution. A comparison by this error never chooses it. *One neighbour* nearly is such a draw:

# %%
def pooled(name: str) -> torch.Tensor:
    "Root mean squared error over all holes, (8,)."
    return (fill_holes(test, done[name]) - truth).square().sum(2).mean(1).sqrt()

factor = interval(pooled("one neighbour") / pooled("mean of the column"))
assert 1.3 < factor.low and factor.high < 1.45
factor

# %% [markdown]
# If you need one number per cell, the mean is the best choice. If you use the completed rows *as rows*, in a classifier or a correlation, it is not.

# %% [markdown]
# ## A discriminator of cells
# The imputer of the paper is a generator. Its input is a row $x$ whose holes are filled with noise $z$, and a mask $m$, which is one for the cells that are shown. Its output is a value $\bar x$ for every cell. The holes are filled with these values:
#
# $$\hat x=m\odot x+(1-m)\odot\bar x,\qquad \bar x=G\big(m\odot x+(1-m)\odot z,\;m\big).$$
#
# (The paper has two networks one after the other, an encoder and a generator; we write them as one.) A row with nothing shown holds only noise, so the same $G$ makes whole rows, and `Run.sample` and `coverage` work.
#
# The discriminator gives a score for *every cell* of $\hat x$: was it shown or filled? The loss is the Wasserstein loss of chapter [1.4](../1_game/04_wasserstein.ipynb), cell by cell. Each column has its own share of holes. So means are taken column by column, over the rows in which the cell was filled, and over those in which it was shown:
#
# $$L_D=\frac1d\sum_k\left[\frac{\sum_n(1-m_{nk})\,D_k(\hat x_n)}{\sum_n(1-m_{nk})}-\frac{\sum_n m_{nk}\,D_k(\hat x_n)}{\sum_n m_{nk}}\right],\qquad L_G=-\frac1d\sum_k\frac{\sum_n(1-m_{nk})\,D_k(\hat x_n)}{\sum_n(1-m_{nk})}.$$

# %%
#| export
def _column_means(values: Tensor, among: Tensor) -> Tensor:
    "Mean of each column over the rows in `among`, then over columns; an empty column gives 0."
    return (torch.where(among, values, 0).sum(-2) / among.sum(-2).clamp_min(1)).mean(-1)


# %% [markdown]
# With this function both losses are one line each. First comes that of the discriminator.

# %%
#| export
@checked
def cell_discriminator_loss(scores: Rows,  # of the cells of completed rows, (*runs, n, d)
                            shown: CellMask,  # which were known, (*runs, n, d)
                            ) -> Tensor:  # (*runs,)
    "Wasserstein loss by cell: filled cells should score low, shown ones high (Hwang et al. 2019)."
    return _column_means(scores, ~shown) - _column_means(scores, shown)


# %% [markdown]
# The imputer's loss uses the filled cells only: it should raise their scores.

# %%
#| export
@checked
def cell_generator_loss(scores: Rows,  # of the cells of completed rows, (*runs, n, d)
                        shown: CellMask,  # which were known, (*runs, n, d)
                        ) -> Tensor:  # (*runs,)
    "What the imputer descends: the cells that it filled should score high."
    return -_column_means(scores, ~shown)


# %% [markdown]
# **Fidelity.** We compare with a loop over columns:

# %%
scores = torch.randn(5, 3, dtype=torch.float64, generator=g)
m = torch.tensor([[1, 0, 1], [1, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1]]).bool()
by_hand = sum(scores[~m[:, k], k].mean() - scores[m[:, k], k].mean() for k in range(3)) / 3
assert torch.isclose(cell_discriminator_loss(scores, m), by_hand)
assert torch.isclose(cell_generator_loss(scores, m),
                     -sum(scores[~m[:, k], k].mean() for k in range(3)) / 3)
full = torch.ones_like(m)
cell_discriminator_loss(scores, m).item(), cell_generator_loss(scores, full).item()

# %% [markdown]
# (A column without holes gives 0 and not a NaN.) Two terms are added. The first is a reconstruction error: the imputer should reproduce the cells that it was shown. The second is a gradient penalty on the discriminator. For each output it takes the rows in which that cell is shown, and the squared slope in the *whole row*:
#
# $$R=\frac1d\sum_k\frac{\sum_n m_{nk}\,\|\nabla_{\hat x}D_k(\hat x_n)\|^2}{\sum_n m_{nk}} .$$
#
# For thirty columns this would be thirty backward passes. One pass is enough if one cell of each row is chosen at random and its squared slope is multiplied by $d$: this estimate is unbiased. First the reconstruction error:

# %%
#| export
@checked
def cell_reconstruction_loss(filled: Rows,  # a value for every cell, (*runs, n, d)
                             x: Rows,  # the values that are known
                             asked: CellMask,  # for which cells, (*runs, n, d)
                             ) -> Tensor:  # (*runs,)
    "Mean squared error over the asked cells of a row, then over rows."
    wrong = torch.where(asked, filled - torch.where(asked, x, 0), 0).square().sum(-1)
    return (wrong / asked.sum(-1).clamp_min(1)).mean(-1)


# %% [markdown]
# The penalty computes the slope of one output per row: of each in turn, or of one chosen at random. It takes any function from rows to scores.

# %%
#| export
CellCritic = Annotated[Callable[[Tensor], Tensor], Function("*runs n d -> *runs n d")]


# %% [markdown]
# The squared slopes are averaged column by column, over the rows in which the cell is shown. The exact version is for testing the sampled one.

# %%
#| export
@checked
def cell_penalty(critic: CellCritic,  # rows (*runs, n, d) to a score for each cell
                 x: Rows,  # completed rows (*runs, n, d)
                 shown: CellMask,  # which cells were known, (*runs, n, d)
                 *, exact: bool = False,  # every output's slope, or one per row drawn by lot
                 generator: Generators = None,  # of the lot
                 ) -> Tensor:  # (*runs,), unweighted
    "Squared slope of each cell's score in its row, averaged over rows that show it and columns."
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        scores = check_shape("critic", critic(x), x.shape)
    if not scores.requires_grad:
        return scores.new_zeros(x.shape[:-2])
    d, share = x.shape[-1], shown / shown.sum(-2, keepdim=True).clamp_min(1) / x.shape[-1]

    def steepness(one: Tensor) -> Tensor:  # of the outputs where `one` is 1
        slopes, = torch.autograd.grad(scores, x, one.to(scores.dtype), create_graph=True)
        return slopes.square().sum(-1) * (share * one).sum(-1)
    if exact:
        return sum(steepness(one.expand_as(scores)) for one in torch.eye(d).to(x)).sum(-1)
    lot = randint(d, *x.shape[:-1], generator=generator, device=x.device)
    return d * steepness(F.one_hot(lot, d).to(x.dtype)).sum(-1)


# %% [markdown]
# **Fidelity.** With one hidden layer, $D=W_2\,\mathrm{relu}(W_1x+b)$, the slopes have a closed form: $W_2\,\mathrm{diag}(W_1x+b>0)\,W_1$. The mean over many random choices agrees with it:

# %%
W1, W2, b = (torch.randn(*s, dtype=torch.float64, generator=g) for s in ((8, 3), (3, 8), (8,)))
rows = torch.randn(5, 3, dtype=torch.float64, generator=g)
D = lambda x: (x @ W1.T + b).relu() @ W2.T
J = torch.einsum("kh,nh,hj->nkj", W2, (rows @ W1.T + b > 0).double(), W1)
by_jacobian = sum(J[m[:, k], k].square().sum(-1).mean() for k in range(3)) / 3
lots = torch.stack([cell_penalty(D, rows, m, generator=g) for _ in range(2000)])
assert torch.isclose(cell_penalty(D, rows, m, exact=True), by_jacobian)
assert abs(lots.mean() - by_jacobian) < 5 * lots.std() / 2000 ** .5
assert torch.isclose(cell_reconstruction_loss(rows, rows + 1, m),
                     torch.tensor(1., dtype=torch.float64))
by_jacobian.item(), lots.mean().item()

# %% [markdown]
# ## The game
# The rows of a batch may have holes. The game hides a further share `rate` of the cells. Neither player gets the hidden values. The setting `reconstruct` is not the paper's; it is explained below.
#
# An example may be a row or a picture, so the networks are told its shape.

# %%
#| export
EventShape = Annotated[Sequence[int], Wholes(1)]


# %% [markdown]
# This wrapper puts noise into the holes and appends the mask. The network inside gets no hidden value.

# %%
#| export
class ImputerNetwork(nn.Module):
    "An imputer around a network: rows with holes, and noise for them, to a value for every cell."
    @checked
    def __init__(self, net: CellCritic,  # of the row and its mask, one after the other
                 event: EventShape):
        super().__init__()
        self.net, self.event = net, tuple(event)

    def forward(self, z: Tensor,  # noise (*runs, n, latent), repeated if cells are more
                x: Tensor | None = None,  # rows (*runs, n, *event), NaN in holes; None: all holes
                ) -> Tensor:
        cells = torch.arange(math.prod(self.event), device=z.device)
        noise = z[..., cells % z.shape[-1]].unflatten(-1, self.event)
        x = torch.full_like(noise, math.nan) if x is None else x
        shown = (~x.isnan()).to(x.dtype)
        seen = torch.cat([fill_holes(x, noise), shown], -len(self.event))
        return check_shape("G", self.net(seen), x.shape)


# %% [markdown]
# The discriminator gives a score for each cell. Where one score per row is needed, as in the lab, it is their mean.

# %%
#| export
class CellDiscriminator(nn.Module):
    "A discriminator of cells around a network with a run axis; its answer is a row's mean score."
    lead = 2  # axes before the event: the runs and the batch

    @checked
    def __init__(self, net: CellCritic):
        super().__init__()
        self.net = net

    def cells(self, x: Tensor) -> Tensor:
        "A score for each cell of rows (runs, n, *event)."
        return check_shape("D", self.net(x), x.shape)

    def forward(self, x: Tensor) -> Tensor:
        return self.cells(x).flatten(2).mean(-1)


# %% [markdown]
# For pictures there are convolutional players. They keep the picture's size, since every pixel is a cell. Each output depends on a window of 2·`depth` + 3 pixels, so larger holes need a larger `depth`.

# %%
#| export
class PixelNetwork(nn.Module):
    "Convolutions that keep a picture's size: (runs, n, inputs, h, w) to (runs, n, outputs, h, w)."
    def __init__(self, inputs: int, outputs: int, width: int, depth: int, runs: int,
                 generator: Generators):
        super().__init__()
        sizes = [inputs, *[width] * depth, outputs]
        self.runs = runs
        self.convs = nn.ModuleList(Conv(a, b, 3, 1, runs, generator)
                                   for a, b in zip(sizes, sizes[1:]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.convs[0](fold_runs(x, self.runs))
        for conv in self.convs[1:]:
            x = conv(F.leaky_relu(x, .2))
        return unfold_runs(x, self.runs)


# %%
PixelNetwork(2, 1, 4, 2, 8, None)(torch.zeros(8, 5, 2, 6, 7)).shape

# %% [markdown]
# Two settings have a few named values. The lab and the tests list them.

# %%
#| export
RECONSTRUCTED_CELLS, NOISE_PRIORS = ("shown", "hidden"), ("normal", "uniform")


# %% [markdown]
# The class holds the settings and the order of turns. Without the adversarial loss there is no turn for $D$.

# %%
#| export
@register_game
@dataclass(kw_only=True)
class Imputer(AdversarialGame):
    """The part of HexaGAN (Hwang et al. 2019) that fills holes: an imputer G, and a D of cells.

    The cells of a picture are its pixels. With convolutions a pixel depends on a window around it,
    2·depth + 3 pixels wide. Rows that are no pictures take `kind="mlp"` alone.
    """
    G: Player = None  # your own, from (2c, ...) to (c, ...) for an event (c, ...)
    D: Player = None  # from rows to a score for each cell
    rate: Share = .5  # of the cells that the game hides, besides what is missing already
    reconstruct: Literal["shown", "hidden"] = "shown"  # cells that G saw, or that the game hid
    reconstruction_weight: NonNegative = 1.
    adversarial_weight: NonNegative = 1.  # of D's scores in the loss of G; 0: reconstruction alone
    penalty_weight: NonNegative = .1  # of D's slopes
    prior: Literal["normal", "uniform"] = "normal"  # of z; "uniform" on [0, 1], for scaled tables
    default_networks: ClassVar[Networks] = Networks("mlp", width=64, depth=2)
    default_optimiser: ClassVar[Optimiser] = Optimiser(4e-3, (.5, .9))
    conditional: ClassVar[tuple[str, ...]] = ()  # G fills cells, D scores cells
    kinds: ClassVar[tuple[str, ...]] = "mlp", "conv"

    @property
    def turns(self) -> str:
        "D's turn, if its scores count, then G's."
        return "D G" if self.adversarial_weight else "G"


# %% [markdown]
# The noise is normal, or uniform for tables that are scaled to $[0,1]$.

# %%
#| export
@patch
def noise(self: Imputer, *shape: int, generator: Generators = None, device: Any = None) -> Tensor:
    "The noise in the holes of G's input."
    draw = randn if self.prior == "normal" else rand
    return draw(*shape, generator=generator, device=device)


# %% [markdown]
# Both players take rows and give a value for each cell, so one function makes both.

# %%
#| export
@patch
def _cell_network(self: Imputer, inputs: tuple[int, ...], event: tuple[int, ...],
                  **kw: Any) -> nn.Module:
    "A network (runs, n, *inputs) to (runs, n, *event)."
    if self.networks.kind != "conv":
        return mlp(inputs, event, self.networks.width, self.networks.depth, **kw)
    if len(event) != 3:
        raise ValueError(f'kind: expected "mlp" for {event}, which is no picture, got "conv"')
    return PixelNetwork(inputs[0], event[0], self.networks.width, self.networks.depth, **kw)


# %% [markdown]
# The network of $G$ takes twice as many inputs as an example has, because the mask comes with the values.

# %%
#| export
@patch
def players(self: Imputer, event: tuple[int, ...], latent: int, runs: int,
            generator: list) -> dict[str, nn.Module]:
    "The networks that play, one copy per run."
    kw, seen = dict(runs=runs, generator=generator), (2 * event[0], *event[1:])
    G = make_player("G", self.G, functools.partial(self._cell_network, seen, event, **kw), **kw)
    default = functools.partial(self._cell_network, event, event, **kw)
    D = make_player("D", self.D, default, scores=False, **kw)
    return {"G": ImputerNetwork(G, event), "D": CellDiscriminator(D)}


# %% [markdown]
# Both losses begin with the batch, further holes in it, and the output of $G$.

# %%
#| export
@patch
def filled(self: Imputer, t: Any) -> tuple[Tensor, Tensor]:
    "The batch with further holes, and the output of G; flat rows (runs, n, d)."
    x = hide_cells(t.x.flatten(2), self.rate, t.generator)
    return x, t.G(t.z, x.view_as(t.x)).flatten(2)


# %% [markdown]
# The loss of $D$ works on flat rows, also for pictures. Its first part is the Wasserstein loss by cell, its second the penalty.

# %%
#| export
@patch
def loss_D(self: Imputer, t: Any) -> Tensor:
    "High scores for shown cells, low ones for filled cells, and the penalty."
    def scores(rows: Tensor) -> Tensor:
        return t.D.cells(rows.view_as(t.x)).flatten(2)
    with torch.no_grad():
        x, filled = self.filled(t)
        rows, shown = fill_holes(x, filled), ~x.isnan()
    loss = cell_discriminator_loss(scores(rows), shown)
    return loss + self.penalty_weight * cell_penalty(scores, rows, shown, generator=t.generator)


# %% [markdown]
# The loss of $G$ has two parts: the reconstruction of the chosen cells, and the scores of the cells that it filled.

# %%
#| export
@patch
def loss_G(self: Imputer, t: Any) -> Tensor:
    "High scores for filled cells, and the reconstruction error of the asked ones."
    (x, filled), full = self.filled(t), t.x.flatten(2)
    asked = ~x.isnan() if self.reconstruct == "shown" else x.isnan() & ~full.isnan()
    loss = self.reconstruction_weight * cell_reconstruction_loss(filled, full, asked)
    if self.adversarial_weight:
        scores = t.D.cells(fill_holes(x, filled).view_as(t.x)).flatten(2)
        loss = loss + self.adversarial_weight * cell_generator_loss(scores, ~x.isnan())
    return loss


# %% [markdown]
# After training, a table is filled by the imputer of each run.

# %%
#| export
@torch.no_grad()
@checked
def impute_rows(run: Annotated[Run, InstanceOf(Run)],  # of an `Imputer`
                x: Annotated[Tensor, NoInfinity("n *rows")],  # with holes; the runs may come first
                draw: Index = 0,  # another number, another draw of the noise
                ) -> Tensor:  # (runs, n, *event)
    """The rows, filled by each run's imputer: by the averaged one where an average is kept.

    `x` and the result are in the units of the data, also where the run standardises them.
    """
    net, event = run.players.averaged or run.players.nets["G"], tuple(run.modes.event)
    if not isinstance(net, ImputerNetwork):
        raise TypeError(f"run: expected a Run of an Imputer, got {run!r:.60}")
    x = x.expand(run.runs, *x.shape) if x.shape[1:] == event else x
    check_shape("x", x, (run.runs, *x.shape[1:2], *event))
    x = x.to(run.device, torch.float32)
    z = run.noise(x.shape[1], run.generators("impute", draw))
    with evaluation_mode(net):
        return fill_holes(x, run.scale.restore(net(z, run.scale.standardise(x))))


# %% [markdown]
# We train two imputers. The first has no adversary: $G$ reconstructs the cells that the game *hid*. The second has the paper's losses: $G$ reconstructs the cells that it was *shown*, and $D$ alone trains the filled ones. Half of the cells are hidden, which is our choice; the paper's tables have about a fifth missing. The reconstruction has the weight 1 instead of 10. (A penalty weight of 0.1 and a learning rate of 0.004 were chosen among a handful, on a circle of eight modes. The paper's weight of 10 belongs to columns in $[0,1]$.)
#
# The cells marked with `@experiment` show recorded results and replay their first steps (chapter [0.2](../0_start/02_evidence.ipynb)). Here the record has eight seeds; the cell replays 7 steps of reconstruction and 20 of the others. The pictures come from one seed that is trained here.
#
# **Predict:** where do the completed rows of reconstruction lie? And where do those of the adversarial imputer?

# %%
def play(n: int, runs: int = 8, **rules):
    "So many seeds of the game."
    return Run(Imputer(**rules), circle, runs=runs, batch=128, average=.99, device="cpu").step(n)

games = {"reconstruction alone": dict(adversarial_weight=0., reconstruct="hidden"),
         "adversarial, half hidden": {}, "adversarial, a fifth hidden": dict(rate=.2)}

def trained_scores(run) -> dict:
    "Scores of completed rows, and the share of whole rows that are good."
    whole = [c.high_quality for c in run.coverage()]
    return rated(impute_rows(run, test)) | {"whole rows": whole}

@experiment("09_tabular", early=20)
def imputed(n=800):
    "All scores; the adversarial games go on for as many steps again."
    result = {}
    for name, rules in games.items():
        run = play(3 * n // 8 if name == "reconstruction alone" else n, **rules)
        result[name] = trained_scores(run)
        if name != "reconstruction alone":
            result[f"{name}, 2×"] = trained_scores(run.step(n))
    return result

# %%
record = imputed()
found |= {name: record[name] for name in ("reconstruction alone", "adversarial, half hidden")}
runs = {name: play(steps(300 if name[0] == "r" else 800), 1, **rules)
        for name, rules in games.items()}

# %%
sheet("mean of the column", "reconstruction alone", "adversarial, half hidden",
      "null: any value of the column", "floor: the truth")

# %% [markdown]
# Reconstruction gives the cross again, because it learns the mean. The adversarial imputer gives more good rows, and its error is larger, as expected. But in high quality it covers less than half of the distance between the null (values of the column, drawn independently of the other cell) and the floor. What about whole rows, made from noise alone? Their share of high quality:

# %%
def mean_quality(name: str) -> float:
    return interval(found[name]["high quality"]).mean

null, floor = map(mean_quality, ("null: any value of the column", "floor: the truth"))
assert fast_mode() or mean_quality("adversarial, half hidden") < (null + floor) / 2
interval(record["adversarial, half hidden"]["whole rows"], low=0, high=1)

# %%
figure, panels = axes(1, 3, size=(2.8, 2.8))
for ax, name in zip(panels, ("reconstruction alone", "adversarial, half hidden")):
    points(ax, impute_rows(runs[name], test[:1]), name)
points(panels[2], runs["adversarial, half hidden"].sample(400), "whole rows of the same G")
Picture(figure, "Reconstruction draws the cross; the game's completed rows form a square with "
                "some points inside; whole rows of the same generator lie on the circle")

# %% [markdown]
# The whole rows are far better than the completed ones, although none of their cells is given. Many completed rows lie on a *square*: each column has the right values, but the two do not fit together. The objective of the game allows this.
#
# ## A wrong solution that is optimal
# Let $p$ be the true distribution of the rows. Let $q_k$ be the distribution of rows in which only cell $k$ was filled, and $q_0$ that of rows with both filled. A share $r$ of the cells is hidden. The first output $D_1$ compares rows whose first cell was shown, $(1-r)\,p+r\,q_2$, with rows whose first cell was filled, $(1-r)\,q_1+r\,q_0$. It is not told *which other* cells are shown. $D_2$ does the same for the second cell. Neither can separate shown from filled cells if and only if
#
# $$q_1=q_2=q,\qquad q_0=q+\frac{1-r}{r}\,(p-q).$$
#
# With half of the cells hidden, $r=\tfrac12$, this means $q_0=p$ and **any** $q$ whose two columns have the right distribution. So independent values, our null, are an optimal solution. The mixture that the discriminators compare is right as a whole, but its parts are wrong.

# %%
def objections(p, q, r: float) -> float:
    "The largest difference that D₁ or D₂ could find, with q₀ as above."
    q0 = q + (1 - r) / r * (p - q)
    assert q0.min() > -1e-12, "q₀ is no law: it has negative probabilities"
    return ((1 - r) * p + r * q - (1 - r) * q - r * q0).abs().max().item()

# %%
p = torch.eye(4, dtype=torch.float64) / 4                # the second cell repeats the first
blind = torch.full((4, 4), 1 / 16, dtype=torch.float64)  # each column right, and no more
objections(p, blind, .5), objections(p, p, .2)

# %%
try:
    objections(p, blind, .2)
except AssertionError as error:
    print(error)

# %% [markdown]
# If less than half of the cells is hidden, $q$ is bounded. Since $q_0$ must not be negative,
#
# $$q\ \le\ \frac{1-r}{1-2r}\;p .$$
#
# So $q$ has no mass where there are no data, and elsewhere at most this factor times the mass of the data. The factor is 1.33 at $r=0.2$ and has no limit at $r=0.5$.
#
# **Predict:** now the same game hides a fifth of the cells in training. So fewer training rows have exactly one hidden cell than before (32 % against 50 %). Does the imputer fill such rows better?

# %%
found["adversarial, a fifth hidden"] = record["adversarial, a fifth hidden"]
sheet()

# %% [markdown]
# Yes, much better. Is the game with half of the cells hidden only *slower*? We train both games for as many steps again:

# %%
longer = [f"adversarial, {share} hidden, 2×" for share in ("half", "a fifth")]
found |= {name: record[name] for name in longer}
sheet(*longer, "floor: the truth")
print("whole rows", *(interval(record[name]["whole rows"], low=0, high=1) for name in longer))

# %%
quality = {name: interval(row["high quality"], low=0, high=1) for name, row in found.items()}
half, fifth = quality["adversarial, half hidden, 2×"], quality["adversarial, a fifth hidden, 2×"]
claim("An imputer whose cells are judged puts more completed rows near a mode than reconstruction "
      "alone", paper="Hwang et al. 2019",
      section="in this course's setting: a table with two values per hole", ours=fifth,
      baseline=quality["reconstruction alone"],
      holds=fifth.low > 1.5 * quality["reconstruction alone"].high)

# %%
claim("With a fifth of the cells hidden in training it fills single holes better than with half "
      "of them hidden", paper="this course",
      section="high quality", ours=fifth,
      baseline=f"{half}; null {quality['null: any value of the column']}",
      holds=fifth.low > half.high)

# %%
claim("It fills holes better than one nearest neighbour does, from the 1000 half-empty rows",
      paper="this course", section="high quality",
      ours=fifth, baseline=quality["one neighbour"],
      holds=fifth.low > quality["one neighbour"].high, expect=False)

# %% [markdown]
# With a fifth hidden, completed rows are as good as whole ones. With half hidden they stay behind, as the formula allows. The formula says which wrong solutions are *possible*. It does not say that training must end in one, and with more steps the completed rows improve. GAIN (Yoon et al. 2018) has another method, a *hint*: it gives $D$ the mask of all cells but one, so that each part of the mixture is compared on its own. The code of HexaGAN defines a hint but never uses it.
#
# The last claim compares with a simple baseline. *One neighbour*, known as "hot deck" in official statistics, copies the value of the most similar row. It needs no training and less than a hundredth of the rows. It covers all modes and gives hardly a bad row. But this is a table of two columns, in which similar rows are easy to find.

# %%
whole = record["adversarial, a fifth hidden, 2×"]["whole rows"]
assert fast_mode() or interval(whole).low < fifth.mean < interval(whole).high
assert all(c.captured == 16 for c in coverages(done["one neighbour"], circle))

# %% [markdown]
# ## A real table
# The second table has 569 tumours with 30 measurements each (Wisconsin, in scikit-learn). A fifth of the cells is hidden completely at random, with another draw for each of eight seeds. (If values are missing *because* they are large, no imputer of this chapter is right.) 455 rows are for training, 114 are held out. Each column is scaled to $[0,1]$ by the *known training* cells. The paper's code scales with all cells, including hidden ones and test rows. The class below lets a run draw its batches from a table.

# %%
#| export
class TableRows:
    "A table as data for a `Run`: rows (n, *event), NaN where a value is missing."
    @checked
    def __init__(self, x: Annotated[Tensor, NoInfinity("n d *more")]):
        if empty := int(x.isnan().all(0).sum()):
            raise ValueError(f"x: expected a known value in each column, got none in {empty}")
        self.x, self.event = x.float(), tuple(x.shape[1:])

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        "`n` rows, with replacement."
        i = torch.randint(len(self.x), (n,), generator=generator, device=self.x.device)
        return self.x[i]

    def to(self, device: Any) -> TableRows:
        "The same rows elsewhere."
        return self if self.x.device == torch.device(device) else TableRows(self.x.to(device))


# %%
from sklearn.datasets import load_breast_cancer

tumours = torch.from_numpy(load_breast_cancer().data).float()
order = torch.stack([torch.randperm(569, generator=s) for s in seeds(0)])
holes = hide_cells(tumours[order], .2, seeds(50))
low, high = (holes[:, :455].nan_to_num(v).aminmax(dim=1, keepdim=True)[k]
             for v, k in ((math.inf, 0), (-math.inf, 1)))
known, asked_of = ((holes - low) / (high - low)).split([455, 114], 1)
right = ((tumours[order] - low) / (high - low))[:, 455:]

# %%
def error(filled):
    return interval(row_rmse(asked_of, filled, right))

# %%
ordinary = {"zeros": torch.zeros_like(right)} | {name: by_sklearn(make, known, asked_of)
                                                 for name, make in imputers.items()}
real_errors = {name: error(fill_holes(asked_of, filled)) for name, filled in ordinary.items()}
real_errors

# %% [markdown]
# Now we train the networks, with one hidden layer of fifteen units. (The paper's two networks have one hidden layer each, with a code of fifteen between them, and end in a sigmoid.) The weights are the paper's, 10 for the reconstruction and 10 for the penalty, and so is the uniform noise. $G$ reconstructs the cells that it *was shown*. The data have holes of their own, so `rate=0`. A second network is wider and has 64 units. (The optimiser is ours.)
#
# **Predict:** how does the error on held-out rows change while the two train?

# %%
class Own(Run):
    "A run in which each seed learns from its own table."
    def real(self, n, generator, only=None):
        return torch.stack([t[torch.randint(len(t), (n,), generator=s)]
                            for t, s in zip(known, generator)])

def learn(n: int, width: int, **rules):
    "The error of each seed on held-out rows, nine times along the way, (8, 9)."
    rules = {"rate": 0., "adversarial_weight": 0.} | rules
    game = Imputer(reconstruction_weight=10., penalty_weight=10., prior="uniform",
                   networks=Networks(width=width, depth=1), optimiser=Optimiser(2e-3), **rules)
    run = Own(game, TableRows(known[0]), batch=64, average=.9, device="cpu")
    curve = [row_rmse(asked_of, impute_rows(run.step(n // 9), asked_of), right)
             for _ in range(9)]
    return torch.stack(curve, 1)

# %%
ways = {"reconstructs what was shown, width 15": dict(width=15),
        "reconstructs what was shown, width 64": dict(width=64),
        "reconstructs what was hidden, width 64": dict(width=64, reconstruct="hidden", rate=.2)}
best = "reconstructs what was hidden, width 64"
judged = {f"{name}, adversarial": ways[name] | dict(adversarial_weight=1.)
          for name in ("reconstructs what was shown, width 15", best)}

@experiment("09_tabular", early=18)
def on_tumours(n=900):
    return {name: learn(n, **rules) for name, rules in (ways | judged).items()}

learned = {name: torch.tensor(curve) for name, curve in on_tumours().items()}

# %%
figure, ax = axes(size=(5, 3.6))
for name, colour, mark in zip(ways, (REAL, FAKE, ACCENT), "ox^"):
    ax.plot(range(100, 1000, 100), learned[name].mean(0), f"{mark}-", c=colour, ms=4,
            label=name.replace("reconstructs what was", "reconstructs:"))
for name in ("mean of the column", "iterative regression"):
    ax.axhline(real_errors[name].mean, c=MISSING, ls=":", lw=1)
    ax.text(900, real_errors[name].mean, name, va="bottom", ha="right", fontsize=9)
ax.set(xlabel="steps", ylabel="RMSE on held-out rows", ylim=(0, None))
ax.legend(frameon=False, loc="lower left")
Picture(figure, "Error by steps. Reconstructing shown cells, the wide imputer gets worse from "
                "step 200 on and passes the column's mean, the narrow one rises a little later; "
                "reconstructing hidden cells, the wide one gets better to the end")

# %% [markdown]
# In the end the error *rises*. That of the wider network rises early, far above the error of the column's mean. That of the narrow one rises later, and a little. Both learn to reproduce their input. The identity does this without any use of the other cells. A narrow layer makes the identity harder to learn. A report of the *best epoch on the test rows*, as in the code of the paper, hides the rise:

# %%
copying = learned["reconstructs what was shown, width 64"]
narrow = learned["reconstructs what was shown, width 15"].mean(0)
assert fast_mode() or copying[:, -1].min() > real_errors["mean of the column"].high
assert fast_mode() or 0 < narrow[-1] - narrow.min() < .005 and narrow.argmin() > 2
{"best epoch, chosen on the test rows": interval(copying.amin(1)),
 "last epoch": interval(copying[:, -1])}

# %% [markdown]
# The setting `reconstruct="hidden"` prevents this: the game hides more of the *known* cells, and $G$ reconstructs those. ("Shown" is an autoencoder, "hidden" a denoising autoencoder.) What does the adversarial loss add in each case?

# %%
real_errors |= {name: interval(curve[:, -1]) for name, curve in learned.items()}
real_errors

# %%
def paired(name: str):
    "Error with the adversary minus error without it, on the same tables."
    return interval(learned[name + ", adversarial"][:, -1] - learned[name][:, -1])

gain = {name: paired(name) for name in ("reconstructs what was shown, width 15", best)}
gain

# %%
claim("An imputer that reconstructs hidden cells has less error than one that reconstructs shown "
      "cells", paper="this course",
      section="breast cancer, RMSE", ours=real_errors[best],
      baseline=f"{real_errors['reconstructs what was shown, width 15']} at width 15",
      holds=real_errors[best].high < real_errors["reconstructs what was shown, width 15"].low)

# %%
claim("The adversary lowers the imputer's error by a fiftieth or more", paper="Hwang et al. 2019",
      section="in this course's setting: breast cancer, with it minus without it",
      ours=gain["reconstructs what was shown, width 15"],
      baseline=f"{real_errors['reconstructs what was shown, width 15']} without it",
      holds=gain["reconstructs what was shown, width 15"].high < -.02
      * real_errors["reconstructs what was shown, width 15"].mean, expect=False)

# %%
paper = "reconstructs what was shown, width 15, adversarial"
claim("The adversarial imputer has less error than the ordinary ones", paper="Hwang et al. 2019",
      section="in this course's setting: breast cancer, RMSE",
      ours=f"{real_errors[paper]}; reconstructing hidden cells "
           f"{real_errors[best + ', adversarial']}",
      baseline=f"5 neighbours {real_errors['mean of 5 neighbours']}, iterative "
               f"{real_errors['iterative regression']}",
      holds=min(real_errors[paper].low, real_errors[best + ", adversarial"].low)
      < real_errors["iterative regression"].high, expect=False)

# %% [markdown]
# Two ordinary imputers have a smaller error than every network: the iterative regression, and the mean of five neighbours. The adversarial loss changes almost nothing; the intervals of the difference contain zero. A likely reason: here the other cells predict a cell well. If only one value is possible, the mean is that value, and an adversary has nothing to correct. So look at your columns *before* you choose: is there one likely value for a hole, or several far apart?

# %%
rivals = ("iterative regression", "mean of 5 neighbours")
nets = [real_errors[name] for name in learned]
assert fast_mode() or max(real_errors[name].high for name in rivals) < min(v.low for v in nets)
assert fast_mode() or all(v.low < 0 < v.high for v in gain.values())

# %% [markdown]
# We do not compare with the figures of the paper. Two choices of its code can make its errors smaller: columns are scaled with cells that should be unknown, and the figures are those of the best epoch on the test rows. We do neither.
#
# ## The paper's parts: faithful, simplified, left out
# | Part | Here |
# |---|---|
# | encoder and imputing generator | simplified: one network with one hidden layer, no sigmoid at its end |
# | discriminator of cells, element-wise Wasserstein loss with means by column | faithful; the extra outputs for labels are left out |
# | gradient penalty by cell | faithful in expectation: one cell of each row, chosen at random |
# | reconstruction of shown cells, weights 10 and 10 | faithful on the real table (1 and 0.1 on the circle); `reconstruct="hidden"` is ours |
# | RMSProp, penalties alone in the first 60 epochs | simplified: Adam, all losses from the start |
# | conditional generator of hidden vectors and its critic, for rows of rare classes | left out |
# | classifier that fills in missing labels | left out |
# | classification scores, the paper's other tables, MNIST | left out |
#
# So none of the paper's claims about *classification* is tested here. For rare modes see chapter [3.2](../3_inclusion/02_imle_gan.ipynb).

# %% [markdown]
# ## Under your hands
# Choose the hidden cells and the imputer. Below are the completed rows and both measures.
#
# **Predict:** which imputer gives the best rows if one cell is hidden? And if both are hidden?

# %%
import ipywidgets as w

def masked(what: str):
    "300 rows of seed 0 with the chosen cells hidden."
    rows = truth[:1, :300].clone()
    rows[..., {"x₁": [0], "x₂": [1], "both": [0, 1]}[what]] = math.nan
    return rows

def fill(who: str, rows):
    if who in runs:
        return impute_rows(runs[who], rows)
    return by_sklearn(imputers[who], train[:1], rows)

# %%
def scene(what: str, who: str):
    "The completed rows of seed 0, their error and their quality."
    rows = masked(what)
    filled = fill(who, rows)
    e = row_rmse(rows, filled, truth[:1, :300]).item()
    good = coverages(filled, circle)[0].high_quality
    figure, ax = axes(size=(3.4, 3.2))
    points(ax, filled, f"{what} hidden, {who}")
    return e, good, Picture(figure, f"{what} hidden, filled by {who}: RMSE {e:.2f}, high quality "
                                    f"{good:.2f}")

# %%
what = w.ToggleButtons(options=["x₁", "x₂", "both"], description="hidden")
who = w.Dropdown(options=[*imputers, *runs], description="filled by")
view = w.Image(format="png", layout=w.Layout(max_width="100%", align_self="flex-start"))
words = w.Label()

def turn(change=None):
    e, good, shown = scene(what.value, who.value)
    view.value = shown.png
    words.value = f"RMSE {e:.2f} (less is better), high quality {good:.2f} (more is better)"

for control in (what, who):
    control.observe(turn, "value")
turn()
w.VBox([what, who, words, view])

# %%
before = words.value
who.value = "one neighbour"
assert words.value != before
scene("x₁", "one neighbour")[2]

# %%
{(what, who): tuple(round(v, 2) for v in scene(what, who)[:2]) for what in ("x₁", "both")
 for who in ("one neighbour", "adversarial, a fifth hidden", "adversarial, half hidden")}

# %% [markdown]
# (The numbers are RMSE and high quality.) With both cells hidden a row has no nearest neighbour, and scikit-learn takes the column's mean. A generator can still fill the row.
#
# To watch the game itself, open the lab of chapter [1.3](../1_game/03_lab.ipynb) with `Lab(Imputer(), ring(16, radius=2, std=.12))`. It draws whole rows. Set *adversarial_weight* to 0 and train it.

# %% [markdown]
# ## In your own code
# You have a table with NaNs, of any width. Use plain networks in your own loop, or the game:

# %%
from modelab.methods.tabular import (cell_discriminator_loss, cell_generator_loss, cell_penalty,
                                     fill_holes, hide_cells, impute_rows, Imputer, TableRows)

mine = hide_cells(torch.rand(64, 6), .2)
my_G, my_D = nn.Linear(12, 6), nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 6))
shown = ~mine.isnan()
rows = fill_holes(mine, my_G(torch.cat([fill_holes(mine, torch.rand(64, 6)), shown.float()], 1)))
loss_d = cell_discriminator_loss(my_D(rows.detach()), shown) + 10 * cell_penalty(my_D, rows, shown)
loss_g = cell_generator_loss(my_D(rows), shown)

# %%
run = Run(Imputer(reconstruct="hidden", rate=.2), TableRows(mine), runs=2, batch=32,
          device="cpu").step(20)
done = impute_rows(run, mine)
done.shape, done.isnan().any().item(), (loss_d.item(), loss_g.item()) != (0, 0)


# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.tabular import grade_draw, grade_averaged, grade_cells, grade_factor

# %% [markdown]
# **1.** (easy, 5 minutes) The hidden value is $-1$ or $1$, with equal probability, whatever the rest of the row. Which error $\sqrt{\mathbb E(y-\hat y)^2}$ does an imputer have that draws from the right distribution?
#
# <details><summary>Hint</summary>
#
# Compute the variance of $y$ first. A draw has twice this as its squared error.
#
# </details>

# %%
answer = ...
grade_draw(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The variance is 1, so the squared error is 2. (Directly: half of the draws are right, the others are wrong by 2, and $\frac12\cdot4=2$.)
#
# ```python
# answer = 2 ** .5
# ```
#
# The mean, which is 0, has an error of 1 and is never a possible value.
#
# </details>

# %% [markdown]
# **2.** (easy, 10 minutes) Statisticians fill a table several times, by draws (*multiple imputation*). Write `averaged(draws)`. It takes draws `(k, n, d)` of the same rows, and returns the completed rows `(n, d)` with the *smallest* expected squared error that can be had from them.
#
# <details><summary>Hint</summary>
#
# Which single value has the smallest squared error? How can it be estimated from draws?
#
# </details>

# %%
def averaged(draws):
    ...

answer = averaged
grade_averaged(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def averaged(draws):
#     return draws.mean(0)
#
# answer = averaged
# ```
#
# The mean of the draws estimates the conditional mean. But its rows are no possible rows. So for an analysis, compute the result from each draw and average *the results*.
#
# </details>

# %% [markdown]
# **3.** (hard, 20 minutes) Write the loss of the discriminator, `cell_loss(scores, shown)`. `scores` `(n, d)` are the scores of the cells of completed rows. `shown` `(n, d)` is true where a cell was known. In each column: the mean score of the filled cells minus that of the shown cells. The result is the mean over columns. An empty set of cells counts as 0.
#
# <details><summary>Hint</summary>
#
# Set the scores of other cells to zero, sum over rows, and divide by the number of cells that count. `clamp_min(1)` avoids a division by zero.
#
# </details>

# %%
def cell_loss(scores, shown):
    ...

answer = cell_loss
grade_cells(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def cell_loss(scores, shown):
#     def by_column(among):
#         return (scores * among).sum(0) / among.sum(0).clamp_min(1)
#     return (by_column(~shown) - by_column(shown)).mean()
#
# answer = cell_loss
# ```
#
# One mean over all filled cells would weight a column by its number of holes. The discriminator could then lower its loss by scoring columns instead of cells.
#
# </details>

# %% [markdown]
# **4.** (medium, 10 minutes) A table has two columns, and a quarter of the cells is hidden. There is a discriminator of cells as above. Look at the rows in which *one* cell was filled. By which factor at most can a perfectly trained imputer put too many of them at one place?
#
# <details><summary>Hint</summary>
#
# In the section on the optimal wrong solution there is a bound on $q$. It came from the condition that $q_0$ is not negative.
#
# </details>

# %%
answer = ...
grade_factor(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The distribution of these rows is $q$, and the bound is $(1-r)/(1-2r)$ with $r=\frac14$.
#
# ```python
# answer = (1 - .25) / (1 - 2 * .25)
# ```
#
# It grows with $r$, and there is no bound at $r=\frac12$.
#
# </details>

# %% [markdown]
# ## Recap
# - The mean has the smallest squared error, but it may lie where there are no rows. An imputer that draws from the right distribution has a root mean squared error that is $\sqrt2$ times as large. Evaluate completed *rows*, not cells alone.
# - A discriminator of cells scores each cell: shown or filled. Means are taken column by column. The penalty takes one output per row, chosen at random.
# - It compares mixtures. With half of the cells hidden every coupling of the columns is optimal. With fewer, no optimal coupling puts rows where there are no data.
# - An imputer that reconstructs the shown cells learns to copy. Hide more cells, and reconstruct those.
# - Try one nearest neighbour and an iterative regression first. Where the other cells predict a cell well, the adversarial loss did not help.
#
# **For later.**
#
# 1. Why does the squared error prefer a collapse?
# 2. What does a discriminator of cells not get, and what does a hint add?
# 3. Why does a wider imputer get worse?
# 4. Which two choices make reported errors too small?
#
# <details><summary>Answers</summary>
#
# 1. The mean of the possible values has the smallest squared error, and it is one value. A draw from the right distribution has twice the squared error.
# 2. It does not know which *other* cells of the row are shown, so it compares mixtures. A hint gives it nearly all of the mask, and each part of the mixture is compared on its own.
# 3. It learns to reproduce the shown cells, and the identity does this without any use of the other cells. For a hidden cell the identity returns noise.
# 4. Scaling the columns with hidden cells and test rows, and reporting the best epoch on the test rows.
#
# </details>
#
# **References.** U. Hwang, D. Jung, S. Yoon, *HexaGAN: generative adversarial nets for real world classification*, ICML 2019. J. Yoon, J. Jordon, M. van der Schaar, *GAIN: missing data imputation using generative adversarial nets*, ICML 2018. D. Rubin, *Multiple imputation for nonresponse in surveys*, 1987. S. van Buuren, K. Groothuis-Oudshoorn, *mice: multivariate imputation by chained equations in R*, 2011. P. Vincent et al., *Extracting and composing robust features with denoising autoencoders*, ICML 2008.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.tabular
"Graders of chapter 5.9."
import functools
import math

import torch

from modelab.course.exercises import as_number, exercise
from modelab.methods.tabular import cell_discriminator_loss, cell_generator_loss

# %%
#| export course.graders.tabular
@exercise(accepts=[2 ** .5, 1.414], rejects=[1, 2, 0, .5 ** .5, "2 ** .5"])
def grade_draw(answer):
    assert abs(as_number(answer) - 2 ** .5) < 1e-3, \
        "take the variance of y, then the squared error of a draw, then the root"

# %%
#| export course.graders.tabular
@exercise(accepts=[lambda draws: draws.mean(0)],
          rejects=[lambda draws: draws[0], lambda draws: draws.median(0).values,
                   lambda draws: draws.sum(0), lambda draws: draws.mean(),
                   lambda draws: draws[:4].mean(0), lambda draws: draws[:25].mean(0)])
def grade_averaged(averaged):
    s = torch.Generator().manual_seed(3)
    hidden, draws = ((torch.rand(k, 4000, 1, generator=s) < .8).float() for k in (1, 50))
    filled = averaged(draws)
    assert filled.shape == (4000, 1), "one value for each cell of each row"
    assert (filled - hidden[0]).square().mean() < .165, \
        "which value has the smallest squared error? All draws together estimate it"

# %%
#| export course.graders.tabular
def by_columns(scores, shown, least=1):
    "The right answer; a wrong one divides by zero."
    parts = [(scores * among).sum(0) / among.sum(0).clamp_min(least) for among in (~shown, shown)]
    return (parts[0] - parts[1]).mean()

# %%
#| export course.graders.tabular
@exercise(accepts=[by_columns, cell_discriminator_loss],
          rejects=[lambda s, m: s[~m].mean() - s[m].mean(), functools.partial(by_columns, least=0),
                   lambda s, m: -by_columns(s, m), lambda s, m: by_columns(s, ~m),
                   lambda s, m: by_columns(s, m) * s.shape[1], cell_generator_loss,
                   lambda s, m: by_columns(s.T, m.T), lambda s, m: by_columns(s, m).detach()])
def grade_cells(cell_loss):
    g = torch.Generator().manual_seed(0)
    scores = torch.randn(6, 3, generator=g, dtype=torch.float64).requires_grad_()
    shown = torch.rand(6, 3, generator=g) < torch.tensor([.3, .5, .8])
    found = cell_loss(scores, shown)
    assert found.shape == (), "one number"
    assert torch.isclose(found, cell_discriminator_loss(scores, shown)), \
        "in each column: filled minus shown, each divided by its own number of cells; then the mean"
    full = shown.clone()
    full[:, 1] = True
    assert torch.isclose(cell_loss(scores, full), cell_discriminator_loss(scores, full)), \
        "a column without holes must give a finite loss"
    assert found.requires_grad, "the loss has no gradient in the scores"

# %%
#| export course.graders.tabular
@exercise(accepts=[1.5, 3 / 2], rejects=[1.33, 3, 4 / 3, 2, math.inf])
def grade_factor(answer):
    assert abs(as_number(answer) - 1.5) < 1e-6, \
        "which condition on q₀ bounds q? Put r = 1/4 into it"
