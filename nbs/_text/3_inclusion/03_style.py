# %% [markdown]
# # StyleGAN2: the style generator
# > What does StyleGAN change, and what does truncation cost in modes?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | StyleGAN's pictures are often shown truncated. What does each part of its generator do, and which real pictures can a truncated generator no longer make? |
# | **You will be able to** | build each part of StyleGAN2 from its equation, train it on any picture set of the course, and say what truncation costs in modes |
# | **Paper** | Karras, Laine, Aila, *A style-based generator architecture for generative adversarial networks*, CVPR 2019; Karras et al., *Analyzing and improving the image quality of StyleGAN*, CVPR 2020 |
# | **Needs** | [0.5](../0_start/05_networks.ipynb), [1.2](../1_game/02_training.ipynb), [1.4](../1_game/04_wasserstein.ipynb), [3.2](02_imle_gan.ipynb) for the lab, [3.4](04_growing.ipynb) for equalised rates and the deviation |
# | **Time** | under two minutes of computing |

# %%
#| default_exp networks.style

# %%
#| export
"The style generator of StyleGAN2, its residual discriminator, truncation and path lengths."
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import nn, Tensor

from modelab.core.checks import check_int, check_shape
from modelab.core.seeding import Generators, rand, randint, randn
from modelab.core.signatures import checked, Count, Index, Shape, Share
from modelab.networks.convolutional import _image_shape, _ladder, fold_runs, unfold_runs
from modelab.networks.growing import _with_deviation, equal_weight, EqualConv, EqualLinear
from modelab.networks.layers import Moment, Net, run_shape

# %%
from modelab.core.plotting import ACCENT, axes, FAKE, image_grid, interval_plot, Picture, REAL
from modelab.core.statistics import interval
from modelab.course.claims import claim, fast_mode, recorded, steps
from modelab.course.diagrams import flow_diagram
from modelab.course.notebooks import patch
from modelab.data.digits import digits
from modelab.evaluation.coverage import coverage_table, coverages
from modelab.evaluation.precision_recall import precision_recall
from modelab.lab.panel import Lab
from modelab.lab.side import measure_side
from modelab.methods.imle_gan import IMLEGAN
from modelab.methods.wasserstein import ZeroCentred
from modelab.networks.players import Networks
from modelab.networks.style import style_generator
from modelab.training.optimiser import Optimiser
from modelab.training.run import Run

# %% [markdown]
# ## A latent that enters at every layer
# The generators of chapter [0.5](../0_start/05_networks.ipynb) get the latent $z$ once, at their input. The style generator gets it at every layer:
#
# - It starts from a *constant*: learned numbers that are the same for all pictures.
# - A small network, the *mapping network*, turns $z$ into a vector $w$, the *style*.
# - $w$ scales the channels of every layer. So coarse layers can decide shapes and fine layers can decide details, and each layer can get a $w$ of its own.
# - Each size adds its colours to the enlarged picture of the smaller sizes. `toRGB` is a convolution of size 1 from features to colours.
#
# The first picture shows the way from $z$ to the loss. Solid arrows are values, dashed ones are gradients of $G$'s loss. The mapping network and the synthesis network together are $G$:

# %%
#| hide-input
networks = {"mapping network": (1.9, 1.2), "synthesis network": (4.2, 0),
            "discriminator D": (7.9, 0)}
values = {"latent z": (0, 1.2), "style w": (4.2, 1.2), "constant": (2.1, 0), "noise": (2.1, -.9),
          "picture": (6.1, 0), "real": (7.9, 1.2), "logit": (9.6, 0), "loss of G": (7.9, -1.2)}
arrows = [("latent z", "mapping network"), ("mapping network", "style w"),
          ("style w", "synthesis network"), ("constant", "synthesis network"),
          ("noise", "synthesis network"), ("synthesis network", "picture"),
          ("picture", "discriminator D"), ("real", "discriminator D"),
          ("discriminator D", "logit"), ("logit", "loss of G")]
gradients = [("loss of G", "synthesis network", -.15),
             ("synthesis network", "mapping network", -.15)]
figure = flow_diagram(networks, values, arrows, gradients, size=(8.8, 3))
Picture(figure, "The latent goes through the mapping network and becomes the style w. The "
        "synthesis network starts from a constant, and w scales every layer; noise is added. It "
        "gives a picture, and D a logit. The gradient goes back to both networks")

# %% [markdown]
# The second picture is drawn from the synthesis network itself: its layers, their sizes, and which $w$ each of them gets.

# %%
#| hide-input
def box(ax, at: int, text: str, colour: str = "black") -> None:
    "A labelled box at a place, with an arrow from the one before it."
    ax.text(1.7 * at, 0, text, ha="center", va="center", bbox=dict(fc="w", ec=colour, pad=5))
    if at:
        ax.annotate("", (1.7 * at - .68, 0), (1.7 * at - 1.02, 0), arrowprops=dict(arrowstyle="->"))

# %%
#| hide-input
def draw_network(G) -> Picture:
    "The layers of a style generator, their styles, and the sum of the pictures of all sizes."
    figure, ax = axes(size=(8.4, 2.5))
    side, arrow, middle = G.start.shape[-1], dict(arrowstyle="->"), dict(ha="center", va="center")
    box(ax, 0, f"constant\n{G.start.shape[-3]}×{side}×{side}")
    for i, layer in enumerate(G.layers):
        side, x = side * (2 if layer.up else 1), 1.7 * (i + 1)
        box(ax, i + 1, f"layer {i}\n{layer.conv.weight.shape[-4]}×{side}×{side}", REAL)
        ax.annotate(f"w{i}", (x, .22), (x, .7), arrowprops=arrow, color=ACCENT, **middle)
        if i % 2 == 0:
            ax.annotate("", (x, -.75), (x, -.22), arrowprops=arrow | {"color": FAKE})
            text = f"toRGB(w{i + 1})" if i == 0 else f"up(picture)\n+ toRGB(w{i + 1})"
            ax.text(x, -.95, text, color=FAKE, **middle)
            ax.annotate("", (x + 2.55, -.95), (x + .8, -.95), arrowprops=arrow | {"color": FAKE})
    ax.text(x + 3, -.95, "picture", color=FAKE, **middle)
    ax.set(xlim=(-.75, x + 3.45), ylim=(-1.2, .9))
    ax.set_axis_off()
    return Picture(figure, f"A constant, then {len(G.layers)} layers, each with a style of its own "
                           f"from above; every second one adds colours to the enlarged sum of "
                           f"the smaller ones, up to {side}×{side}")

# %%
draw_network(style_generator(8, (3, 16, 16), width=4, layers=2))

# %% [markdown]
# ## A run
# `Networks("style")` makes all players of a game in this way; the parts are built further down. `width` counts channels at the picture's own size, `depth` the layers from $z$ to $w$. The game is that of StyleGAN: the non-saturating loss with R1 (chapter [1.4](../1_game/04_wasserstein.ipynb)). Eight seeds are trained on real digits of 8×8 pixels, first for 150 steps:

# %%
game = ZeroCentred(networks=Networks("style", width=8, depth=2, latent=16, mixing=.9),
                   optimiser=Optimiser(3e-3, (0., .99)))
run = Run(game, digits(), batch=16, average=.98, device="cpu").step(steps(150))
coverage_table(run.coverage(n=1000))

# %%
run.step(steps(150))
found = run.coverage(n=1000)
assert fast_mode() or sum(c.captured == 10 for c in found) >= 6 and found[0].null.captured > 9.5
assert fast_mode() or .4 < sum(c.high_quality for c in found) / 8 < .6
coverage_table(found)

# %%
figure, ax = axes(size=(6.4, 2.2))
image_grid(ax, (run.sample(8)[:2].flatten(0, 1).squeeze(1) + 1) / 2, 8, "seed 0 and seed 1")
Picture(figure, f"Eight samples of seed 0 and eight of seed 1 after {run.steps} steps")

# %% [markdown]
# The count of modes is ten in nearly every seed, but it says nothing here. It gives each sample to the nearest digit, good or not, and uniform noise scores ten, too. After 300 steps about half of the samples are good, and 98 % of real pictures are. So the training is far from its end, and the samples above can hardly be read.
#
# ## What truncation costs
# Pictures in articles on StyleGAN are often *truncated*. With $\bar w$, the mean of $w$ over latents, a truncated sample uses
#
# $$w\leftarrow\bar w+\psi\,(w-\bar w)$$
#
# with $\psi=0.7$ or $0.5$. With $\psi=1$ nothing changes, and with $\psi=0$ all pictures have the mean style. The articles truncate because the pictures are then of higher quality on average.
#
# **Predict:** what happens to recall, the share of real pictures that lie within reach of a generated one? And to the distance (TV) between the distribution of digits in the data and in the samples, with bad samples as a class of their own?

# %%
net = run.players.averaged
reals = digits().held_out.sample(20_000, torch.Generator().manual_seed(0)).unique(dim=0)
reals = reals.flatten(1)  # each held-out scan once
len(reals)

# %%
def truncated(psi: float, stream: str = "truncation") -> dict[str, list[float]]:
    "Precision, recall, captured digits and TV of each seed, with samples truncated by psi."
    z, moment = run.noise(500, run.generators(stream)), run.generators(f"{stream} noise")
    with torch.no_grad():
        x = net(z, Moment(run.steps, moment), psi)
    near, covered = [precision_recall(reals, v.flatten(1), 10) for v in x], coverages(x, digits())
    return {"precision": [float(n.precision) for n in near],
            "recall": [float(n.recall) for n in near],
            "digits": [float(c.captured) for c in covered], "TV": [c.tv for c in covered]}

# %%
PSIS = 1., .7, .5, .3
by_psi = {psi: truncated(psi) for psi in PSIS}
repeated = truncated(1., "other latents")  # the null: nothing but other latents
for psi, found in by_psi.items():
    print(psi, *(f"{k} {interval(v, low=0, high=10 if k == 'digits' else 1):.2f}"
                 for k, v in found.items()))

# %%
figure, ax = axes(size=(3.6, 2.8))
for key, colour in (("precision", REAL), ("recall", FAKE)):
    for seed in range(8):
        ax.plot(PSIS, [by_psi[psi][key][seed] for psi in PSIS], c=colour, lw=.6)
    ax.plot(PSIS, [sum(by_psi[psi][key]) / 8 for psi in PSIS], "o-", c=colour, label=key)
ax.set(xlabel="ψ", ylabel="share", ylim=(0, 1), title="thin: one seed")
ax.invert_xaxis()
ax.legend(frameon=False)
Picture(figure, "Precision and recall as ψ falls from 1 to 0.3, mean of eight seeds: " + "; ".join(
    f"ψ {psi}: {sum(by_psi[psi]['precision']) / 8:.2f} and {sum(by_psi[psi]['recall']) / 8:.2f}"
    for psi in PSIS))

# %% [markdown]
# In the mean over the seeds, precision rises a little, and recall falls at each step of $\psi$. (A real picture is *within reach* of a sample if it is no farther from it than the tenth nearest other sample is.)
#
# A claim was fixed on seeds 100 to 103. It says that $\psi=0.5$ lowers recall in each of the eight seeds. The fall must be larger than the largest change by other latents:

# %%
lost = [a - b for a, b in zip(by_psi[1.]["recall"], by_psi[.5]["recall"])]
null = [abs(a - b) for a, b in zip(by_psi[1.]["recall"], repeated["recall"])]
claim("Truncation at ψ = 0.5 costs recall, in every seed", paper="this course",
      section="3.3, eight seeds",
      ours=f"recall falls by {interval(lost):.2f}, least {min(lost):.2f}, most {max(lost):.2f}",
      baseline=f"other latents at ψ = 1: at most {max(null):.2f}", holds=min(lost) > max(null),
      expect=False)

# %% [markdown]
# The claim does not hold in every seed. In the mean over the eight seeds recall falls to less than half. But where recall is near 0 at $\psi=1$ already, it cannot fall much; the list below shows these seeds. The gain in precision is small beside it: precision rises in most seeds and falls in others. The TV grows at each step of $\psi$.
#
# One detail: $\bar w$ is a running average that starts at 0. After 300 steps it has gone $1-0.995^{300}=78\,\%$ of the way to the mean of $w$. So truncation also moves $w$ a little towards 0.

# %%
mean_tv = [sum(by_psi[psi]["TV"]) for psi in PSIS]
mean_recall = [sum(by_psi[psi]["recall"]) for psi in PSIS]
gained = [b - a for a, b in zip(by_psi[1.]["precision"], by_psi[.5]["precision"])]
if not fast_mode():
    assert mean_tv == sorted(mean_tv) and mean_recall == sorted(mean_recall, reverse=True)
    assert mean_recall[PSIS.index(.5)] < mean_recall[0] / 2
    assert min(gained) < 0 < interval(gained).mean < .15 and sum(g > 0 for g in gained) > 4
{"gain in precision at ψ = 0.5": interval(gained),
 "recall at ψ = 1": [round(r, 2) for r in by_psi[1.]["recall"]],
 "fall at ψ = 0.5": [round(fall, 2) for fall in lost]}

# %%
four = torch.stack([net(run.noise(8, run.generators("shown")), psi=psi)[0] for psi in PSIS])
figure, ax = axes(size=(4, 2.2))
image_grid(ax, (four.detach().flatten(0, 1).squeeze(1) + 1) / 2, 8, "ψ = 1, 0.7, 0.5, 0.3")
Picture(figure, "The same eight latents of seed 0 in each row, ψ = 1, 0.7, 0.5 and 0.3 from the "
                "top: the pictures within a row become more alike from top to bottom")

# %% [markdown]
# Precision and recall depend on $\psi$, so report $\psi$ beside them. Modes that truncated samples do not show may still be among the others. Count modes at $\psi=1$.
#
# The next sections build the generator, the discriminator and the penalty part by part. If you do not want to build them, you can go on at *Noise and mixing in a run*.

# %% [markdown]
# ## From z to w
# The mapping network is fully connected. Its input is divided by the root of its mean square, so only the direction of $z$ counts:
#
# $$w = f\big(z\,/\,\sqrt{\overline{z^2}+\varepsilon}\,\big).$$
#
# $f$ is the mapping network, $\overline{z^2}$ is the mean of the squares of $z$, and $\varepsilon$ is $10^{-8}$. Its layers have an equalised rate (chapter [3.4](04_growing.ipynb)). The weights are drawn from $\mathcal N(0,1)/r$ with $r=0.01$, and each pass multiplies them by $r\,c$, where $c$ is He's constant. So a step of Adam moves the effective weight 0.01 times as far as that of other layers. (A change of $w$ changes every layer, so the mapping network learns slowly.)

# %%
#| export
class MappingNetwork(nn.Module):
    """f: z to w, `(*runs, batch, latent)` both; z is brought to unit mean square first.

    `layers` leaky layers that learn at `rate` times the speed of others (Karras et al. 2019: 8
    layers, .01). Without layers w is the normalised z.
    """
    def __init__(self, latent: int, layers: int, runs: int | None = None,
                 generator: Generators = None, rate: float = .01):
        super().__init__()
        self.layers = nn.ModuleList(EqualLinear(latent, latent, runs, generator, rate=rate)
                                    for _ in range(check_int("layers", layers, 0)))

    def forward(self, z: Tensor) -> Tensor:
        w = z * (z.square().mean(-1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            w = F.leaky_relu(layer(w), .2)
        return w

# %% [markdown]
# **Fidelity.** Twice the latent gives the same $w$. A step of plain gradient descent with rate 1 moves the effective weight by $r^2c^2$ times its gradient. (Adam ignores the scale of gradients; there the factor is $r\,c$.)

# %%
g = torch.Generator().manual_seed(0)
f, z = MappingNetwork(6, 2, generator=g).double(), torch.randn(5, 6, generator=g).double()
assert torch.allclose(f(z), f(2 * z))

# %%
layer = f.layers[0]
before = (layer.weight * layer.scale).detach().requires_grad_()
slope, = torch.autograd.grad((z @ before).square().sum(), before)
(z @ (layer.weight * layer.scale)).square().sum().backward()
moved = (layer.weight - layer.weight.grad) * layer.scale
assert torch.allclose(moved, before - layer.scale ** 2 * slope)

# %%
layer.scale, .01 * math.sqrt(2 / 1.04 / 6)

# %% [markdown]
# ## A convolution that a style scales
# An affine layer, whose bias starts at 1, turns $w$ into one number $s_i$ for each input channel $i$. $W_{oik}$ is the weight of the convolution for output channel $o$ and place $k$ of the filter. The weights are multiplied by $s_i$ (*modulation*). Then they are divided by their length for each output channel (*demodulation*). Demodulation replaces the instance norm of the first StyleGAN, which divided each channel by its standard deviation over the picture:
#
# $$W'_{oik}=s_i\,W_{oik},\qquad W''_{oik}=\frac{W'_{oik}}{\sqrt{\sum_{i,k}W'^2_{oik}+\varepsilon}}.$$
#
# This gives each example weights of its own, which is slow for a batch. A convolution is linear. So the same result comes from scaling the *input* by $s_i$ and the *output* by the root, with one set of weights for all:
#
# $$\sum_{i,k}W''_{oik}\,x_{i}=d_o\sum_{i,k}W_{oik}\,(s_i x_i),\qquad d_o=\Big(\sum_i s_i^2\sum_kW_{oik}^2+\varepsilon\Big)^{-1/2}.$$

# %%
#| export
class ModulatedConv(nn.Module):
    """Convolution of folded pictures `(batch, runs·channels, h, w)`, scaled by a style.

    `w` is `(*runs, batch, latent)`. Input channels are scaled by an affine function of w, whose
    bias starts at 1; with `demodulate` each output channel is divided by the length of its scaled
    weights (Karras et al. 2020, eqs. 1 and 3). The size of the picture stays.
    """
    def __init__(self, inputs: int, outputs: int, size: int, latent: int, runs: int | None = None,
                 generator: Generators = None, *, gain: float = 1., demodulate: bool = True):
        super().__init__()
        self.runs, self.demodulate = runs, demodulate
        self.style = EqualLinear(latent, inputs, runs, generator, 1., start=1.)
        shape = (check_int("outputs", outputs), inputs, check_int("size", size), size)
        self.weight, self.scale = equal_weight(shape, inputs * size ** 2, runs, generator, gain,
                                               1., True)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        s, weight = self.style(w), self.weight * self.scale
        x = x * fold_runs(s, self.runs)[..., None, None]
        x = F.conv2d(x, weight.flatten(0, -4), padding="same", groups=self.runs or 1)
        if not self.demodulate:
            return x
        d = (s.square() @ weight.square().sum((-2, -1)).mT + 1e-8).rsqrt()
        return x * fold_runs(d, self.runs)[..., None, None]

# %% [markdown]
# **Fidelity.** The equation as it stands, with weights for each example, in float64:

# %%
def by_weights(conv: ModulatedConv, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    "Modulation and demodulation of the weights, one example after the other."
    scaled = conv.style(w)[:, None, :, None, None] * (conv.weight * conv.scale)
    if conv.demodulate:
        scaled = scaled / (scaled.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    return torch.cat([F.conv2d(a[None], b, padding=1) for a, b in zip(x, scaled)])

# %%
x, w = (torch.randn(5, *s, generator=g, dtype=torch.float64) for s in ((3, 6, 6), (4,)))
for demodulate in (True, False):
    conv = ModulatedConv(3, 7, 3, 4, generator=g, demodulate=demodulate).double()
    gap = (conv(x, w) - by_weights(conv, x, w)).abs().max()
    assert gap < 1e-12
gap.item()

# %% [markdown]
# Why this normalisation? If the inputs are independent and of unit variance, the outputs have unit variance, whatever the style is:

# %%
white = torch.randn(2000, 3, 6, 6, generator=g, dtype=torch.float64)
conv = ModulatedConv(3, 7, 3, 4, generator=g).double()
style = 5 * torch.randn(1, 4, generator=g, dtype=torch.float64).expand(2000, 4)
conv(white, style)[..., 2:4, 2:4].std().item()

# %% [markdown]
# ## Larger and smaller pictures
# The plain generator of chapter 0.5 repeats pixels. Here a picture is enlarged with the filter $[1,3,3,1]$, which interpolates between pixels. The discriminator blurs with the same filter before it halves.

# %%
#| export
FoldedPictures = Annotated[Tensor, Shape("batch channels height width")]


def blur_filter(x: Tensor, gain: float = 1.) -> Tensor:
    "The filter [1, 3, 3, 1] along both axes, `(channels, 1, 4, 4)` for `x`, with the sum `gain`."
    taps = x.new_tensor([1., 3., 3., 1.]) / 8 * math.sqrt(gain)
    return torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)

# %% [markdown]
# `enlarge_smooth` puts zeros between the pixels and filters. In the article's code the convolution comes before the filter; both are linear, so only the border differs.

# %%
#| export
@checked
def enlarge_smooth(x: FoldedPictures) -> Tensor:
    "Pictures of twice the side: zeros between the pixels, then the filter [1, 3, 3, 1]."
    return F.conv_transpose2d(x, blur_filter(x, 4.), stride=2, padding=1, groups=x.shape[1])

# %% [markdown]
# `halve_smooth` filters, and keeps every second pixel.

# %%
#| export
@checked
def halve_smooth(x: FoldedPictures) -> Tensor:
    "Pictures of half the side: the filter [1, 3, 3, 1], then every second pixel."
    return F.conv2d(x, blur_filter(x), stride=2, padding=1, groups=x.shape[1])

# %% [markdown]
# **Fidelity.** Inside the border the enlarged picture is the bilinear one, and halving is the transposed map of enlarging (its adjoint), up to the factor 4:

# %%
x, y = (torch.randn(2, 3, s, s, generator=g, dtype=torch.float64) for s in (6, 12))
bilinear = F.interpolate(x, scale_factor=2, mode="bilinear")
assert torch.allclose(enlarge_smooth(x)[..., 1:-1, 1:-1], bilinear[..., 1:-1, 1:-1])
assert torch.allclose((enlarge_smooth(x) * y).sum(), 4 * (x * halve_smooth(y)).sum())

# %% [markdown]
# ## One layer: convolution, noise, bias
# Details such as hair and freckles are random. A plain generator has to make this randomness from $z$. Here each layer adds a picture of noise, times one learned number that starts at 0:
#
# $$x\leftarrow\sqrt2\;\mathrm{lrelu}\big(\mathrm{conv}(x,w)+b\,n+c\big),\qquad n\sim\mathcal N(0,I).$$
#
# $x$ are the features, $n$ is the picture of noise, $b$ the learned number and $c$ a bias for each channel. lrelu is the leaky ReLU of slope 0.2. The noise comes from the `Moment` of the call (chapter 0.5), so a resumed run draws the same noise. A call without a moment draws none.

# %%
#| export
class StyleLayer(nn.Module):
    """√2 · lrelu(modulated convolution + b · noise + bias), enlarged before if `up`.

    Pictures are folded, `(batch, runs·channels, h, w)`; `w` is `(*runs, batch, latent)`. b is one
    number for each run, 0 at the start; the noise is one picture for each example.
    """
    def __init__(self, inputs: int, outputs: int, latent: int, runs: int | None,
                 generator: Generators, up: bool, noise: bool = True, demodulate: bool = True):
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, latent, runs, generator,
                                  demodulate=demodulate)
        self.bias = nn.Parameter(torch.zeros(*run_shape(runs), outputs))
        self.strength = nn.Parameter(torch.zeros(*run_shape(runs), 1, 1)) if noise else None
        self.runs, self.up = runs, up

    def forward(self, x: Tensor, w: Tensor, generator: Generators = None) -> Tensor:
        x = self.conv(enlarge_smooth(x) if self.up else x, w)
        x = x + self.bias.flatten()[:, None, None]
        if self.strength is not None and generator is not None:
            x = self._add_noise(x, w.shape[:-1], generator)
        return math.sqrt(2) * F.leaky_relu(x, .2)

# %% [markdown]
# The noise has no channels: all channels of a run get the same picture.

# %%
#| export
@patch
def _add_noise(self: StyleLayer, x: Tensor, lead: Sequence[int], generator: Generators) -> Tensor:
    "Folded pictures with noise; `lead` is `(*runs, batch)`, one generator for each run."
    n = randn(*lead, *x.shape[-2:], generator=generator, device=x.device, dtype=x.dtype)
    n = fold_runs((n * self.strength[..., None, :, :]).unsqueeze(-3), self.runs)
    return (x.unflatten(1, (n.shape[1], -1)) + n.unsqueeze(2)).flatten(1, 2)

# %% [markdown]
# ## The generator
# The generator starts from a learned constant. It has one layer at the smallest size and two at each further one. After each size the picture so far is enlarged, and the colours of this size are added (*skip* connections). So the picture of a small size reaches the output without passing through the later layers:
#
# $$y_{l}=\mathrm{up}(y_{l-1})+\mathrm{toRGB}_l(x_l,w).$$
#
# $x_l$ are the features of size $l$, and $y_l$ is the picture so far. up doubles its side. `toRGB` is a modulated convolution of size 1 without demodulation. The sides are those of `conv_generator`: 4, 8, 16, 32, …, or 7, 14, 28.

# %%
#| export
class StyleGenerator(Net):
    "Latents to square pictures by styles; see `style_generator`."
    takes_moment = True

    def __init__(self, latent: int, event: Sequence[int], width: int, layers: int,
                 runs: int | None, generator: Generators, last: Callable | None, mixing: float,
                 noise: bool, demodulate: bool):
        super().__init__(latent, _image_shape("event", event), runs)
        (channels, side, _), lead = self.outputs, run_shape(runs)
        levels, base = _ladder(side)
        widths = [check_int("width", width) * 2 ** i for i in range(levels, -1, -1)]
        self.last, self.mixing = last, mixing
        self.mapping = MappingNetwork(latent, layers, runs, generator)
        self.start = nn.Parameter(randn(*lead, widths[0], base, base, generator=generator))
        sizes = [(a, b, up) for a, b in zip(widths, widths[1:]) for up in (True, False)]
        sizes = [(widths[0], widths[0], False)] + [(a if up else b, b, up) for a, b, up in sizes]
        self.layers = nn.ModuleList(
            StyleLayer(a, b, latent, runs, generator, up, noise, demodulate) for a, b, up in sizes)
        self.colours = nn.ModuleList(ModulatedConv(n, channels, 1, latent, runs, generator,
                                                   demodulate=False) for n in widths)
        self.bias = nn.Parameter(torch.zeros(*lead, channels))
        self.register_buffer("mean_w", torch.zeros(*lead, latent))

# %% [markdown]
# ### Styles
# There is one $w$ for each layer, and one more for the last colours. Usually all are equal. Three things change them:
#
# - **Mixing**, in training only: with probability 0.9 the layers above a random place get the $w$ of another latent. So a layer cannot rely on the next one having the same $w$.
# - **Truncation**, for pictures only: it moves $w$ towards the mean, as above.
# - **By hand**: you can choose the style of each layer (*Under your hands*, below).

# %%
#| export
@patch
def styles(self: StyleGenerator, z: Tensor,  # (*runs, batch, latent)
           psi: float = 1.,  # truncation: 1 none, 0 the mean of w for every z
           ) -> Tensor:  # (*runs, batch, layers, latent)
    "The same w for each layer, pulled towards the mean of w if `psi` is below 1."
    w = self.mapping(self._check(z))
    if psi != 1:
        w = torch.lerp(self.mean_w.unsqueeze(-2).to(w), w, psi)
    return w.unsqueeze(-2).expand(*w.shape[:-1], len(self.layers) + 1, -1)

# %% [markdown]
# The place of mixing is drawn for each example; in the article's code it is drawn once for each batch. The other latent is normal.

# %%
#| export
@patch
def mix_styles(self: StyleGenerator, w: Tensor,  # (*runs, batch, layers, latent)
               generator: Generators,  # one, or one per run
               ) -> Tensor:
    "With probability `mixing`, the layers from a random one on get the w of a fresh normal z."
    lead, layers, kw = w.shape[:-2], w.shape[-2], dict(generator=generator, device=w.device)
    other = self.styles(randn(*lead, w.shape[-1], dtype=w.dtype, **kw))
    place = 1 + randint(layers - 1, *lead, **kw)
    place = torch.where(rand(*lead, **kw) < self.mixing, place, layers)
    return torch.where(torch.arange(layers, device=w.device)[:, None] < place[..., None, None],
                       w, other)

# %% [markdown]
# The average $\bar w$ is a buffer. After each step it moves by 0.005 towards the mean of $w$ over fresh latents. The article's code updates it in every forward pass, from the latents of that pass. The latents have the same law, and ours do not depend on how a batch is cut into shards.

# %%
#| export
@patch
def after_step(self: StyleGenerator, moment: Moment, z: Tensor) -> None:
    "Move the average of w by .005 towards its mean over the latents `(*runs, batch, latent)`."
    self.mean_w.lerp_(self.mapping(z).mean(-2).to(self.mean_w), 1 - .995)

# %% [markdown]
# ### From styles to a picture

# %%
#| export
@patch
def synthesis(self: StyleGenerator, w: Tensor,  # (*runs, batch, layers, latent)
              generator: Generators = None,  # of the noise; None: without noise
              ) -> Tensor:  # (*runs, batch, channels, side, side)
    "The picture of some styles, one for each layer; toRGB shares that of the layer above it."
    batch, styles = w.shape[-3], w.unbind(-2)
    x = fold_runs(self.start.unsqueeze(-4).expand(*self.start.shape[:-3], batch, -1, -1, -1),
                  self.runs)
    picture = None
    for i, layer in enumerate(self.layers):
        x = layer(x, styles[i], generator)
        if i % 2 == 0:
            colours = self.colours[i // 2](x, styles[i + 1])
            picture = colours if picture is None else enlarge_smooth(picture) + colours
    picture = picture + self.bias.flatten()[:, None, None]
    picture = unfold_runs(picture, self.runs)
    return picture if self.last is None else self.last(picture)

# %% [markdown]
# `forward` puts the two together.

# %%
#| export
@patch
def forward(self: StyleGenerator, z: Tensor, moment: Moment = Moment(),
            psi: float = 1.) -> Tensor:
    "Pictures of latents `(*runs, batch, latent)`; mixed in a turn, with noise given numbers."
    w = self.styles(z, psi)
    if moment.training and self.mixing and moment.generator is not None:
        w = self.mix_styles(w, moment.generator)
    return self.synthesis(w, moment.generator)

# %% [markdown]
# `style_generator` is the function to call.

# %%
#| export
@checked
def style_generator(latent: Count,  # length of z, and of w
                    event: Sequence[int],  # (channels, side, side)
                    width: Count = 32,  # channels at the picture's own size; doubled below it
                    layers: Index = 8,  # of the mapping network
                    runs: Count | None = None, generator: Generators = None,
                    last: Callable | None = torch.tanh,  # applied to the output
                    *, mixing: Share = .9,  # probability that a picture of a turn has two styles
                    noise: bool = True,  # a picture of noise in each layer
                    demodulate: bool = True,  # bring the scaled weights to unit length
                    ) -> StyleGenerator:
    """StyleGAN2's generator, `(*runs, batch, latent)` → `(*runs, batch, channels, side, side)`.

    Karras et al. 2020, with skip connections; theirs has no `last`, and 512 or fewer channels.
    Sides are 4, 8, 16, …, or 7, 14, 28. Noise and mixing need a `Moment`, which a run gives.

    >>> style_generator(16, (1, 8, 8), width=4)(torch.randn(5, 16)).shape
    torch.Size([5, 1, 8, 8])
    """
    return StyleGenerator(latent, event, width, layers, runs, generator, last, mixing, noise,
                          demodulate)

# %%
G = style_generator(8, (3, 16, 16), width=4, layers=2, generator=g)
[len(G.layers), G.synthesis(G.styles(torch.randn(5, 8))).shape, G(torch.randn(5, 8)).std().item()]

# %% [markdown]
# Some games give each picture one latent or one class. They cannot be played with a generator that mixes styles.

# %%
#| export
def refuse_mixing(G: nn.Module, reason: str) -> None:
    "`ValueError` if a part of G draws pictures with two styles; `reason` says why not."
    mixing = max((getattr(part, "mixing", 0) or 0 for part in G.modules()), default=0)
    if mixing:
        raise ValueError(f"G: expected mixing=0, since {reason}, got {mixing}")


# %% [markdown]
# ## The discriminator
# Each size is a *residual block*. Two convolutions make one part of its output, and a short cut makes the other. The sum is multiplied by $\sqrt{1/2}$, which keeps the variance of smooth pictures. The arrow $\downarrow$ marks a convolution that halves the side:
#
# $$x\leftarrow\sqrt{\tfrac12}\,\big(\mathrm{lrelu}(\mathrm{conv}_{\downarrow}(\mathrm{lrelu}(\mathrm{conv}(x))))+\mathrm{conv}_{1,\downarrow}(x)\big).$$

# %%
#| export
class BlurConv(EqualConv):
    "Convolution that halves the side of folded pictures: the filter [1, 3, 3, 1], then stride 2."

    def forward(self, x: Tensor) -> Tensor:
        size, groups = self.weight.shape[-1], math.prod(self.weight.shape[:-4])
        x = F.conv2d(F.pad(x, [(size + 1) // 2] * 4), blur_filter(x), groups=x.shape[1])
        return F.conv2d(x, (self.weight * self.scale).flatten(0, -4), self.bias.flatten(),
                        stride=2, groups=groups)

# %% [markdown]
# The block itself:

# %%
#| export
class ResidualBlock(nn.Module):
    "Folded pictures to half their side: √½ · (two convolutions + a short cut)."
    def __init__(self, inputs: int, outputs: int, runs: int | None, generator: Generators):
        super().__init__()
        self.first = EqualConv(inputs, inputs, 3, runs, generator)
        self.second = BlurConv(inputs, outputs, 3, runs, generator)
        self.short = BlurConv(inputs, outputs, 1, runs, generator, 1.)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.second(F.leaky_relu(self.first(x), .2)), .2)
        return math.sqrt(.5) * (y + self.short(x))

# %% [markdown]
# The same network serves as $D$, as an encoder $E$ and as a $D$ of pairs $(x,z)$. A vector beside the picture joins before the last two layers. The option `deviation` adds one map: how much the examples of a group differ (chapter 3.4). It couples the examples of a batch, and `coupled` says so. Then the real and the generated batch are never read in one pass. And a gradient penalty takes the gradient of the sum of all scores, as StyleGAN's code does.

# %%
#| export
class StyleDiscriminator(Net):
    "Square pictures, and a vector beside each if asked for, to logits or to a vector."
    def __init__(self, event: Sequence[int], width: int, runs: int | None, generator: Generators,
                 outputs: int | Sequence[int] = (), beside: int = 0, deviation: int = 0):
        super().__init__(_image_shape("event", event), outputs, runs)
        (channels, side, _), self.group = self.inputs, check_int("deviation", deviation, 0)
        levels, base = _ladder(side)
        widths = [check_int("width", width) * 2 ** i for i in range(levels + 1)]
        self.coupled, top = deviation > 1, widths[-1]
        self.first = EqualConv(channels, widths[0], 1, runs, generator)
        self.blocks = nn.ModuleList(ResidualBlock(a, b, runs, generator)
                                    for a, b in zip(widths, widths[1:]))
        self.conv = EqualConv(top + self.coupled, top, 3, runs, generator)
        self.hidden = EqualLinear(top * base ** 2 + check_int("beside", beside, 0), top, runs,
                                  generator)
        self.final = EqualLinear(top, math.prod(self.outputs), runs, generator, 1.)

# %% [markdown]
# With a group size `deviation` the batch must consist of whole groups, and the features get one more map, as in chapter [3.4](04_growing.ipynb). `forward` joins the vectors beside the pictures at the end.

# %%
#| export
@patch
def forward(self: StyleDiscriminator, x: Tensor, *beside: Tensor) -> Tensor:
    "Logits `(*runs, batch)`, or vectors `(*runs, batch, *outputs)`."
    self._check(x)
    x = F.leaky_relu(self.first(fold_runs(x, self.runs)), .2)
    for block in self.blocks:
        x = block(x)
    x = _with_deviation(x, self.runs, self.group) if self.coupled else x
    x = unfold_runs(F.leaky_relu(self.conv(x), .2), self.runs).flatten(-3)
    x = self.hidden(torch.cat([x, *beside], -1) if beside else x)
    return self._event(self.final(F.leaky_relu(x, .2)))

# %% [markdown]
# The functions to call:

# %%
#| export
@checked
def style_discriminator(event: Sequence[int],  # (channels, side, side)
                        width: Count = 32,  # channels at the picture's own size
                        runs: Count | None = None, generator: Generators = None,
                        *, deviation: Index = 0,  # examples in a group; 0: no deviation map
                        ) -> StyleDiscriminator:
    """StyleGAN2's residual D, `(*runs, batch, channels, side, side)` → logits `(*runs, batch)`.

    With `deviation` (4 in the article) examples of a batch depend on each other: penalties take
    the gradient of the sum of all scores, and a batch must be made of whole groups.
    """
    return StyleDiscriminator(event, width, runs, generator, deviation=deviation)

# %% [markdown]
# An encoder has the same form.

# %%
#| export
@checked
def style_encoder(event: Sequence[int],  # (channels, side, side)
                  latent: Count,  # length of a code
                  width: Count = 32,  # channels at the picture's own size
                  runs: Count | None = None, generator: Generators = None,
                  noise: Index = 0,  # numbers of noise that E takes beside the picture
                  ) -> StyleDiscriminator:
    "An encoder, `(*runs, batch, channels, side, side)` → `(*runs, batch, latent)`, built like D."
    return StyleDiscriminator(event, width, runs, generator, latent, noise)

# %% [markdown]
# And so has a discriminator of pairs.

# %%
#| export
@checked
def style_joint_discriminator(event: Sequence[int],  # (channels, side, side)
                              latent: Count,  # length of z
                              width: Count = 32,  # channels at the picture's own size
                              runs: Count | None = None, generator: Generators = None,
                              ) -> StyleDiscriminator:
    "D(x, z), built like D: logits `(*runs, batch)` for pictures and `(*runs, batch, latent)`."
    return StyleDiscriminator(event, width, runs, generator, (), latent)

# %% [markdown]
# **Fidelity.** The halving convolution equals a blur at full size followed by every second place. (The $\sqrt{1/2}$ keeps the variance of smooth pictures. The blur takes most of that of white noise, about 85 %.)

# %%
block = ResidualBlock(3, 5, None, g).double()
x = torch.randn(4, 3, 8, 8, generator=g, dtype=torch.float64)
down = block.second
blurred = F.conv2d(F.pad(x, [2] * 4), blur_filter(x), groups=3)
full = F.conv2d(blurred, down.weight * down.scale)
assert torch.allclose(down(x), full[..., ::2, ::2]) and down(x).shape[-1] == 4

# %%
short = F.conv2d(halve_smooth(x), block.short.weight * block.short.scale)
assert torch.allclose(block.short(x), short)

# %% [markdown]
# ## Path lengths
# A step of fixed length in $w$ should change the picture by a fixed amount, in every direction and at every $w$. The article reports that such a generator is easier to invert. The change is measured along a random picture $y$ of noise:
#
# $$\ell(w)=\sqrt{\tfrac1L\sum_{l}\big\|\nabla_{w_l}\,\langle G(w),\,y/\sqrt{HW}\rangle\big\|^2},\qquad y\sim\mathcal N(0,I),$$
#
# and the penalty is $\big(\ell(w)-\bar\ell\,\big)^2$ with a running mean $\bar\ell$. $L$ is the number of layers, $w_l$ the style of layer $l$, $\langle\cdot,\cdot\rangle$ the inner product, and $H\times W$ the size of the picture.

# %%
#| export
@checked
def path_lengths(pictures: Annotated[Tensor, Shape("*lead channels height width")],
                 w: Annotated[Tensor, Shape("*lead layers latent")],  # the styles they came from
                 noise: Annotated[Tensor, Shape("*lead channels height width")],  # N(0, 1)
                 ) -> Tensor:  # (*lead,), differentiable
    """How far pictures move along `noise / √(height·width)` for a unit step in w.

    The root of the mean over the layers of the squared gradient (Karras et al. 2020, section 3.2).
    `RuntimeError` by autograd if the pictures do not depend on `w`.
    """
    along = (pictures * noise).sum() / math.sqrt(math.prod(pictures.shape[-2:]))
    slope, = torch.autograd.grad(along, w, create_graph=True)
    return (slope.square().sum(-1).mean(-1) + 1e-12).sqrt()  # a gradient at slope 0, too

# %% [markdown]
# The running mean moves by 0.01 at each call. The weight is 2 in the article's code.

# %%
#| export
@checked
def path_length_penalty(lengths: Annotated[Tensor, Shape("*runs batch")],
                        mean: Tensor,  # running mean of the lengths, (*runs,)
                        decay: Share = .01,  # how far the mean moves
                        ) -> tuple[Tensor, Tensor]:  # both (*runs,)
    "E (length - mean)² over the batch, and the new mean, detached; the mean moves before."
    mean = check_shape("mean", mean, lengths.shape[:-1], lengths.dtype, "one mean per run")
    mean = torch.lerp(mean, lengths.mean(-1), decay)
    return (lengths - mean.unsqueeze(-1)).square().mean(-1), mean.detach()

# %% [markdown]
# **Fidelity.** A linear generator $x=\sum_lA_lw_l$. Its gradients are $A_l^\top y/\sqrt{HW}$, and the mean of $\ell^2$ over $y$ is $\frac1{L\,HW}\sum_l\|A_l\|_F^2$:

# %%
A = torch.randn(3, 12, 5, generator=g, dtype=torch.float64)  # layers, pixels of (3, 2, 2), latent
w = torch.randn(4000, 3, 5, generator=g, dtype=torch.float64, requires_grad=True)
y = torch.randn(4000, 3, 2, 2, generator=g, dtype=torch.float64)
pictures = torch.einsum("lpi,bli->bp", A, w).unflatten(-1, (3, 2, 2))
lengths = path_lengths(pictures, w, y)

# %%
by_hand = torch.einsum("lpi,bp->bli", A, y.flatten(1)) / 2
assert torch.allclose(lengths, by_hand.square().sum(-1).mean(-1).sqrt())

# %%
lengths.square().mean().item(), (A.square().sum() / (3 * 4)).item()

# %%
penalty, mean = path_length_penalty(torch.tensor([1., 3.]), torch.tensor(0.))
assert torch.allclose(mean, torch.tensor(.02))
assert torch.allclose(penalty, torch.tensor((.98 ** 2 + 2.98 ** 2) / 2))

# %% [markdown]
# ## Noise and mixing in a run
# The strengths of the noise started at 0. Their mean absolute value over the seeds, layer by layer, is below. Adam moves every number that has a gradient, so this does not show that noise helps.

# %%
[round(layer.strength.abs().mean().item(), 3) for layer in net.layers]

# %% [markdown]
# The next output is the share of good samples from the same latents, seed by seed: with noise in the first row, without it in the second. In the mean it is higher without noise. So the noise lowers the share of good samples of these generators. This does not say how a *training* without noise would do: see *Does it lose fewer modes?* below.

# %%
z, pixels = run.noise(2000, run.generators("on and off")), run.generators("pixels")
with torch.no_grad():
    on, off = ([c.high_quality for c in coverages(net(z, Moment(run.steps, given)), digits())]
               for given in (pixels, None))
assert fast_mode() or sum(off) / 8 > sum(on) / 8 + .01
[[round(share, 2) for share in row] for row in (on, off)]

# %% [markdown]
# Noise and mixing draw random numbers in the middle of a network. A run is still a function of its settings and its steps: each player draws from a random stream of its own (chapter [1.2](../1_game/02_training.ipynb) explains streams). A run that is saved after one step and resumed gives the same bits:

# %%
import tempfile
from pathlib import Path

# %%
folder = Path(tempfile.mkdtemp())
short = Run(game, digits(), runs=2, batch=16, average=.9, device="cpu").step(1)
resumed = Run.load(short.save(folder / "run.safetensors"), device="cpu").step(1)
assert torch.equal(resumed.sample(5), short.step(1).sample(5))

# %% [markdown]
# ## Does it lose fewer modes?
# Four parts of the style generator are left out, one at a time: the mapping network, mixing, noise and demodulation. The data are the thousand modes of three digits. One more setting has eight mapping layers instead of two. Another gives the discriminator a deviation map. Two have convolutional networks of the same width, first for $G$ alone and then for both.
#
# `python benchmarks/style.py` chooses the learning rate of each setting, .001 or .003: the one with the smaller TV after 500 steps, over four seeds. Then it trains eight other seeds for 1,000 steps. We say that a setting captures *fewer* or *more* modes only where its interval does not overlap that of the whole style generator.
#
# The count takes 10,000 samples and gives each to the mode that looks nearest, good or not. So an even generator would show all 1,000 modes, and uniform noise scores 148 (chapter [3.2](02_imle_gan.ipynb)).

# %%
rows = {row["setting"]: row for row in recorded("style").get("ablation", [])}

def against(row: dict, base: dict) -> str:
    "Whether a setting captures more or fewer modes than another, by intervals that do not overlap."
    a, b = (interval(r["captured"]["by seed"]) for r in (row, base))
    return "fewer" if a.high < b.low else "more" if a.low > b.high else "not told apart"

# %%
noise = 148  # modes that uniform noise captures, chapter 3.2

def draw_captured() -> Picture:
    "Modes captured by each setting, with the count of noise as a line."
    figure, ax = axes(size=(5, 2.6))
    interval_plot(ax, {name: interval(row["captured"]["by seed"]) for name, row in rows.items()})
    ax.axvline(noise, color="#555555", ls=":")
    ax.set(xlabel="modes captured, of 1,000 (dotted: noise)", xlim=(0, 1000))
    return Picture(figure, "Modes captured: most with convolutions, with eight layers as noise")

# %%
draw_captured() if rows else "no record: only the package is installed"

# %% [markdown]
# - **More modes:** a convolutional generator with the same discriminator, convolutions in both networks, and the style generator without its mapping network.
# - **Fewer modes:** eight mapping layers instead of two. The mapping network learns a hundred times more slowly than the other layers, as in StyleGAN. Whether 1,000 steps are too few for eight of its layers was not tried.
# - **Not told apart:** without mixing, without noise, without demodulation, with a deviation map.
#
# So in this course's setting no part of the style generator is shown to save modes, and one, the mapping network, costs some. With eight mapping layers the generator shows about as few modes as uniform noise.
#
# About one sample in seven of the style generator is good (*good* below is the share of samples of which the classifier is sure). All settings chose the larger rate by TV, so a still larger one may be better; it was not tried. By the number of modes some would have chosen the smaller rate.

# %%
more = "convolutional G, same D", "convolutional G and D", "no mapping network"

def check_verdicts() -> None:
    "The verdicts of the text above."
    found = {name: against(row, rows["style"]) for name, row in rows.items() if name != "style"}
    assert all((found[name] == "more") == (name in more) for name in found)
    assert [n for n in found if found[n] == "fewer"] == ["mapping network of 8 layers"]
    fewest = interval(rows["mapping network of 8 layers"]["captured"]["by seed"])
    assert fewest.low < noise < fewest.high
    assert .12 < interval(rows["style"]["high_quality"]["by seed"]).mean < .15

# %%
def better_by_modes(row: dict) -> str:
    "The rate under which the tuning seeds captured more modes."
    return max(row["tuning"], key=lambda r: sum(row["tuning"][r]["captured"]["by seed"]))

# %%
if rows:
    check_verdicts()
    assert {row["lr"] for row in rows.values()} == {.003}
    assert "0.001" in {better_by_modes(row) for row in rows.values()}
for name, row in rows.items():
    if name in ("style", *more):
        print(f"{name:26} good {row['high_quality']['interval']}   worst seed "
              f"{min(row['captured']['by seed']):.0f}   {row['ms per step and seed']} ms a step")

# %% [markdown]
# The same eight style generators with truncation: with a smaller $\psi$ every seed captures fewer modes. The intervals of the share of good samples overlap, so no rise of it is shown.

# %%
cut = {row["psi"]: row for row in rows.get("style", {}).get("truncation", [])}
for psi, row in cut.items():
    shown = row["captured"]["interval"], row["high_quality"]["interval"]
    print(f"ψ {psi}   modes {shown[0]:16} good {shown[1]}")

# %%
modes_at = [row["captured"]["by seed"] for row in cut.values()]
assert all(a > b for more, less in zip(modes_at, modes_at[1:]) for a, b in zip(more, less))
goods = [interval(row["high_quality"]["by seed"]) for row in cut.values()]
assert not goods or goods[-1].low < goods[0].high

# %% [markdown]
# ## Under your hands: styles
# The upper row shows seven latents $a$ and, at the right, an eighth latent $b$. The lower row has the styles of $a$ up to a place and those of $b$ from there on. Move the place: with 0 all styles are those of $b$. Move $\psi$: with 0 each style is the mean of $w$, and below 0 it lies on the other side of the mean.

# %%
import ipywidgets as w

# %%
def scene(place: int, psi: float, other: int = 9):
    "Seven latents of seed 0, alone and with the later styles of an eighth."
    z = run.noise(10, run.generators("styles"))[:, [*range(7), other]]
    with torch.no_grad():
        styles = net.styles(z, psi)
        mixed = torch.cat([styles[..., :place, :], styles[:, -1:, place:].expand(-1, 8, -1, -1)], 2)
        sheet = torch.cat([net.synthesis(styles)[0], net.synthesis(mixed)[0]])
    figure, ax = axes(size=(6.4, 2.1))
    title = f"top right: b; below: b from layer {place} on, ψ = {psi:g}"
    image_grid(ax, (sheet.squeeze(1) + 1) / 2, 8, title)
    change = (sheet[:7] - sheet[8:15]).abs().mean().item()
    return Picture(figure, f"Seven pictures, and the same with the styles of another from layer "
                           f"{place} on, at ψ {psi:g}; pixels change by {change:.2f} on average")

# %%
controls = [w.IntSlider(2, min=0, max=len(net.layers) + 1, description="place"),
            w.FloatSlider(1., min=-1, max=1, step=.1, description="ψ")]
view = w.Image(format="png", layout=w.Layout(max_width="100%", align_self="flex-start"))

# %%
def turn(change=None):
    view.value = scene(*(control.value for control in controls)).png

# %%
for control in controls:
    control.observe(turn, "value")
turn()
w.VBox([w.HBox(controls), view])

# %%
controls[0].value = 1
assert view.value == scene(1, 1.).png != scene(3, 1.).png
scene(1, 1.)

# %% [markdown]
# ## The lab: truncation, mixing, a minority and its weight
# The lab of chapter [1.3](../1_game/03_lab.ipynb) has controls for truncation, for mixing, for the minority that is matched, and for its weight. Side A is the game of this chapter, with mixing 0.9. Side B is the inclusive GAN of chapter [3.2](02_imle_gan.ipynb) with the same networks, and without R1. It matches the digit 8 alone. Its mixing is 0, since a matched picture has one style.

# %%
asking = IMLEGAN(networks=Networks("style", width=8, depth=2, latent=16, mixing=0.),
                 optimiser=Optimiser(3e-3, (0., .99)), minority=[8], weight=.2,
                 interpolation_weight=0., reals=64, pool=4, refresh=25)
lab = Lab(game, digits(), asking, batch=16, samples=500)
lab.step(steps(150))
lab

# %% [markdown]
# The controls are below the timeline. Choose the side under *settings of*.
#
# - **truncation** is ψ. The pictures and the counts change at once, at each step of the timeline, and nothing is trained again. The line above the pictures has the measures with and without truncation. The curves stay those without, and a dot shows the truncated samples. Move ψ to 0.3: which digits have no sample any more? The bar below the number of a digit shows its share of the samples.
# - **mixing** (side A; B refuses it): try 0 and 0.9. Other networks are built, so the training starts again at step 0. Press *Play*.
# - **minority** (side B): which digits are matched, such as `8` or `0 1`. Empty: all.
# - **weight** (side B; on A it is that of R1): try 1, then 5, and press *Play* for some hundred steps. How many samples show an 8, and which digits pay for it?
#
# The number of captured digits says little, because uniform noise has all ten. Watch the counts, the share of good samples and the [total variation](../glossary.ipynb).
#
# The last two in code. B gets the weight 5 from the present step on. After the training all that is shown is truncated, the film below as well.
#
# **Predict:** what does ψ = 0.3 do on side B, to the share of good samples and to the total variation? And on side A?

# %%
film = lab.set("weight", 5., "B").step(steps(150)).set("truncation", .3).recording(11)
film

# %%
def counted(side: str, psi: float):
    "What a side of the lab covers at its last step, truncated by psi."
    return measure_side(lab.sides[side], lab.samples, psi)

for side in "AB":
    for psi in (1., .3):
        c = counted(side, psi)
        print(f"{side}, ψ {psi:g}: good {c.high_quality:.2f}, TV {c.tv:.2f}, "
              f"good samples of each digit {c.counts.long().tolist()}")

# %%
a, cut_a, b, cut_b = (counted(side, psi) for side in "AB" for psi in (1., .3))
lab.scrub(steps(150)).set("truncation", 1.)  # the lab above: the step where it was, untruncated
if not fast_mode():
    assert b.counts[8] > 150 and cut_b.counts[8] > .9 * cut_b.counts.sum()
    assert cut_b.high_quality > b.high_quality + .1 and cut_b.tv > b.tv + .1
    assert cut_a.high_quality < a.high_quality and cut_a.tv > a.tv + .05

# %% [markdown]
# In this run more than 150 of the 500 samples of B are good eights, where the data would have about 50. With ψ = 0.3 on side B, the [judge](../glossary.ipynb) calls more samples good, and more than nine tenths of these are eights. So the sample looks cleaner, and nearly all other digits are gone. On side A the total variation rises, too, and the share of good samples falls. This is one seed of each side, and the sides differ in more than the weight (R1, mixing). The section on the cost of truncation has eight seeds of side A's game.

# %% [markdown]
# ## In your own code
# The networks are plain modules without `runs`. Noise and mixing come with a `Moment`, the average of $w$ by `after_step`, and the path lengths from `synthesis`:

# %%
my_G, my_D = style_generator(32, (3, 16, 16), width=4), style_discriminator((3, 16, 16), width=4)
z, now = torch.randn(4, 32), Moment(0, torch.Generator().manual_seed(0), training=True)
loss = F.softplus(-my_D(my_G(z, now))).mean()

# %%
styles = my_G.styles(z)
pictures = my_G.synthesis(styles, now.generator)
penalty, mean_length = path_length_penalty(
    path_lengths(pictures, styles, torch.randn_like(pictures)), torch.tensor(0.))
(loss + 2 * penalty).backward()

# %%
my_G.after_step(now, z)

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.style import (grade_modulated, grade_scale, grade_styles,
                                          grade_truncate)

# %% [markdown]
# **1.** (easy, 5 minutes) How many styles does `style_generator(64, (3, 32, 32))` give to one picture?
#
# <details><summary>Hint</summary>
#
# The sides are 4, 8, 16, 32. There are two layers a size, but one at the smallest, and one more style for the last colours.
#
# </details>

# %%
answer = ...
grade_styles(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# One layer at 4×4 and two each at 8, 16 and 32 are seven layers. The last colours take an eighth style.
#
# ```python
# answer = style_generator(64, (3, 32, 32), width=1).styles(torch.zeros(1, 64)).shape[-2]
# ```
#
# </details>

# %% [markdown]
# **2.** (easy, 5 minutes) Write `answer(w, mean, psi)`, the truncation of styles.
#
# <details><summary>Hint</summary>
#
# With $\psi=1$ nothing changes, and with $\psi=0$ each style is the mean.
#
# </details>

# %%
answer = ...
grade_truncate(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def answer(w, mean, psi):
#     return mean + psi * (w - mean)
# ```
#
# `psi * w` would move the styles towards 0 and not towards the mean.
#
# </details>

# %% [markdown]
# **3.** (medium, 15 minutes) Write `answer(weight, s)`: modulation and demodulation of the weights of one example. `weight` has the shape `(outputs, inputs, k, k)`, `s` the shape `(inputs,)`. Leave out the $\varepsilon$.
#
# <details><summary>Hint</summary>
#
# Which axis of `weight` belongs to the input channels? The length is taken for each output channel, over all its other axes.
#
# </details>

# %%
answer = ...
grade_modulated(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def answer(weight, s):
#     scaled = weight * s[None, :, None, None]
#     return scaled / scaled.square().sum((1, 2, 3), keepdim=True).sqrt()
# ```
#
# If the length were taken over everything, the output channels would keep different variances.
#
# </details>

# %% [markdown]
# **4.** (medium, 5 minutes) All styles $s_i$ of a demodulated convolution are multiplied by 10. By what factor does its output change, if $\varepsilon$ is neglected?
#
# <details><summary>Hint</summary>
#
# The scaled weights are divided by their own length.
#
# </details>

# %%
answer = ...
grade_scale(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Numerator and length are both multiplied by 10, so the factor is 1. Only the ratios of the styles matter.
#
# ```python
# answer = 1
# ```
#
# </details>

# %% [markdown]
# ## Recap
# - The latent goes into every layer, as a scale of its channels. Modulation and demodulation of weights equal a scaling of input and output.
# - Noise and mixing are random numbers inside a network. They come from streams of the run, so resuming stays exact.
# - Truncation costs recall in the mean, and not in every seed. State $\psi$ with every figure, and count modes at $\psi=1$.
# - In the course's short trainings no part of the style generator was shown to save modes. Without its mapping network it captured more of a thousand, and convolutions captured most.
#
# **For later.**
#
# 1. Why is the average of $w$ not updated in the forward pass of a run?
# 2. Why is toRGB not demodulated?
# 3. What does a deviation map do to a gradient penalty?
#
# <details><summary>Answers</summary>
#
# 1. A forward pass may see a shard of a batch, or be repeated. The average would then depend on how the batch was cut.
# 2. Its output is a part of the picture. Its size carries information, such as how strong a colour is, and should not be normalised away.
# 3. A score then depends on the other examples of its group. The penalty takes the gradient of the sum of all scores.
#
# </details>
#
# **References.** T. Karras, S. Laine, T. Aila, *A style-based generator architecture for generative adversarial networks*, CVPR 2019. T. Karras, S. Laine, M. Aittala, J. Hellsten, J. Lehtinen, T. Aila, *Analyzing and improving the image quality of StyleGAN*, CVPR 2020.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.style
"Graders of chapter 3.3."
import torch

from modelab.course.exercises import as_number, exercise
from modelab.networks.style import style_generator

# %%
#| export course.graders.style
@exercise(accepts=[8], rejects=[4, 7, 6, 32, 9])
def grade_styles(answer):
    G = style_generator(64, (3, 32, 32), width=1)
    assert as_number(answer) == G.styles(torch.zeros(1, 64)).shape[-2], \
        "count the layers of each size, and do not forget the last colours"

# %%
#| export course.graders.style
def toward_mean(w, mean, psi):
    "A right answer."
    return mean + psi * (w - mean)

# %%
#| export course.graders.style
@exercise(accepts=[toward_mean],
          rejects=[lambda w, mean, psi: psi * w, lambda w, mean, psi: w + psi * (mean - w),
                   lambda w, mean, psi: mean + psi * w, lambda w, mean, psi: w])
def grade_truncate(answer):
    g = torch.Generator().manual_seed(0)
    w, mean = torch.randn(5, 4, generator=g), torch.randn(4, generator=g)
    for psi in (0., .3, 1., -1.):
        assert torch.allclose(answer(w, mean, psi), toward_mean(w, mean, psi), atol=1e-6), \
            f"wrong at ψ = {psi:g}: which ψ leaves w as it is, and which gives the mean?"

# %%
#| export course.graders.style
def modulated(weight, s, axis=1, over=(1, 2, 3), first=True):
    "The right answer, and wrong ones by the options."
    shape = [1, -1, 1, 1] if axis == 1 else [-1, 1, 1, 1]
    scaled = weight * s.reshape(shape)
    length = (scaled if first else weight).square().sum(over, keepdim=True).sqrt()
    return scaled / length

# %%
#| export course.graders.style
@exercise(accepts=[modulated],
          rejects=[lambda w, s: modulated(w, s, axis=0),
                   lambda w, s: modulated(w, s, over=(0, 1, 2, 3)),
                   lambda w, s: modulated(w, s, over=(2, 3)),
                   lambda w, s: modulated(w, s, first=False),
                   lambda w, s: w * s[None, :, None, None], lambda w, s: modulated(w, s, over=(1,)),
                   lambda w, s: modulated(w, s) ** 2])
def grade_modulated(answer):
    g = torch.Generator().manual_seed(0)
    weight, s = torch.randn(4, 4, 3, 3, generator=g), torch.rand(4, generator=g) + .1
    found = answer(weight, s)
    assert found.shape == weight.shape, "the weights keep their shape"
    assert torch.allclose(found.square().sum((1, 2, 3)), torch.ones(4), atol=1e-5), \
        "the weights of each output channel should have length one"
    assert torch.allclose(found, modulated(weight, s), atol=1e-5), \
        "the lengths are right; which axis does the style scale?"

# %%
#| export course.graders.style
@exercise(accepts=[1, 1.], rejects=[10, .1, 100, 0])
def grade_scale(answer):
    g = torch.Generator().manual_seed(0)
    weight, s = torch.randn(4, 4, 3, 3, generator=g), torch.rand(4, generator=g)
    factor = (modulated(weight, 10 * s) / modulated(weight, s)).mean().item()
    assert abs(as_number(answer) - factor) < 1e-5, "the length that divides the weights grows, too"
