# %% [markdown]
# # How the lab is drawn
# > How is a training run drawn in a page about 20 times a second, and how much training speed does it cost?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How is a training run drawn in a page about 20 times a second, and how much training speed does it cost? |
# | **You will be able to** | add a layer to the lab, read its frames, and save a recording that plays without a kernel |
# | **Needs** | [1.3](../1_game/03_lab.ipynb), [6.8](08_session.ipynb) |
# | **Time** | seconds |
#
# This chapter is for contributors who change how the lab is drawn. How to use the lab is in chapter [1.3](../1_game/03_lab.ipynb). A few calls are useful in scripts, too:
#
# ```python
# from modelab import Lab
# from modelab.lab.view import critic_scores, unpack_frame
#
# lab = Lab("minimax", "ring").step(200)
# lab.recording().save_html("run.html")       # a page that plays the run without a kernel
# lab.recording().measures("captured")        # one measure along the run, as a list
# arrays, note = unpack_frame(lab.frame())    # what the page draws at this step, as NumPy arrays
# critic_scores(lab.sides["A"], x)            # D's scores of examples of yours, (n, *event)
# ```
#
# Three words are used throughout. A **side** is one of the lab's training runs: a lab has one, or two that are compared. A **frame** is what is drawn of a side at one step. The **scene** is what does not change while the lab runs, such as the real examples.
#
# The chapter exports two modules. `lab.view` makes frames, and `lab.recording` puts the frames of a whole run on a page.

# %%
#| default_exp lab.view

# %%
#| export
"Views of the lab: what is drawn of a side at one step, as a few thousand numbers."
from __future__ import annotations

import base64
import functools
import json
import math
from typing import Any

import numpy as np
import torch

from modelab.core.registry import round_for_json
from modelab.data.mixtures import Mixture, ModeSet
from modelab.lab.inspect import EvalBatch, preserve_state, sample_gradients, trace_loss
from modelab.lab.session import SURFACES, LabSession
from modelab.lab.side import SHOWN_MEASURES, Side, measure_side, truncate_styles

# %%
from modelab.core.plotting import Picture, axes, scatter
from modelab.course.notebooks import patch
from modelab.data.mixtures import line, ring
from modelab.methods.bigan import BiGAN
from modelab.methods.minimax import Minimax
from modelab.networks.players import Networks

# %% [markdown]
# ## The size of a picture
# The easy way is to draw a plot with matplotlib and to send it as PNG. How many bytes does it have?

# %%
lab = LabSession(Minimax(networks=Networks(width=32)), ring(std=.1), batch=64, samples=200)
side = lab.step(50).sides["A"]
figure, ax = axes(size=(4, 4))
points = side.sample(500)[0]
scatter(ax, side.modes.sample(500, torch.Generator().manual_seed(0)), points, limit=1.5)
as_png = Picture(figure, "Five hundred real and five hundred generated points, by matplotlib")
len(as_png.png)

# %% [markdown]
# The page has a canvas and can draw by itself. It only needs a few thousand numbers.
#
# How much training speed does this cost? `benchmarks/lab.py` measured it in JupyterLab. Chapter [1.3](../1_game/03_lab.ipynb) prints the record under *Speed*: the frames shown each second, and the training speed with the lab shown over the speed without it, beside the same figures of a matplotlib picture. The limit is set in chapter [6.10](10_panel.ipynb): drawing gets at most two fifths of the time.
#
# ## The scores of D
# A discriminator scores an example, or an example together with its code. `critic_inputs` finds out which of the two a game uses: it looks at one call of $D$ within G's loss.

# %%
#| export
@functools.lru_cache(32)
def critic_inputs(side: Side) -> int:
    "How many inputs D takes in G's turn, the first of them an example; 0 if there is no such call."
    word = side.turns_of("G").split()[0]
    with preserve_state(side):
        _, calls = trace_loss(side, word, EvalBatch(side, 8))
    event = tuple(side.modes.event)
    inputs = [c.inputs for c in calls if c.player == "D" and tuple(c.inputs[0].shape[2:]) == event]
    return len(inputs[0]) if inputs else 0


# %% [markdown]
# The page shows the units of the data, even if the game gets standardised data (chapter [0.3](../0_start/03_modes.ipynb)). So examples are standardised before a network gets them, and the output of G is converted back.
#
# A joint discriminator needs a code for each example. `encode_samples` gives the codes. They come from the encoder; noise inputs of a stochastic encoder are set to zero, so that the picture does not change at random.

# %%
#| export
def encode_samples(side: Side, x: torch.Tensor) -> torch.Tensor:
    "E(x) for examples `(n, *event)`; an encoder that also takes noise is given zeros."
    net, x = side.player("E"), side.scale.standardise(x)[None]
    if getattr(side.game, "stochastic", False):
        return net(x, x.new_zeros(1, x.shape[1], side.latent))[0]
    return net(x)[0]


# %% [markdown]
# `critic_scores` asks D for its scores in both cases: with the examples alone, or with the examples and their codes.

# %%
#| export
def critic_scores(side: Side, x: torch.Tensor, z: torch.Tensor | None = None) -> torch.Tensor:
    "D's scores of examples `(n, *event)`; if D takes codes too, they are `z`, or else E(x)."
    D, seen = side.player("D"), side.scale.standardise(x)[None]
    if critic_inputs(side) == 1:
        return D(seen)[0]
    return D(seen, (encode_samples(side, x) if z is None else z)[None])[0]


# %%
joint = Side(BiGAN(networks=Networks(width=8)), ring(), seed=0, batch=16)
assert critic_inputs(side) == 1 and critic_inputs(joint) == 2
critic_scores(joint, EvalBatch(joint, 3).x[0]).shape

# %% [markdown]
# ## The plane
# Points in two dimensions are drawn as they are. An example on the line has one coordinate; the second axis is then its latent: $(G(z), z)$ for generated points, and $(x, E(x))$ for real ones where the game has an encoder. Pictures are shown as pictures.
#
# The sizes of the parts of a frame are constants, so that a frame stays below its limit of 12 kB:

# %%
#| export
GRID_LINES, SURFACE_CELLS, N_SHOWN, N_ARROWS = 15, 64, 500, 192
PICTURE_BYTES = 7000  # of a frame, for pictures


# %% [markdown]
# `view_kind` says how a set is shown: pictures as tiles, all other sets on the plane. Examples with three axes are pictures.

# %%
#| export
def view_kind(modes: ModeSet) -> str:
    "How a set is shown: \"tiles\" for pictures, else \"plane\"."
    return "tiles" if len(modes.event) == 3 else "plane"


# %% [markdown]
# The range of the latent axis depends on the game's noise, which may be normal or bounded. `code_reach` measures it on a fixed draw of 1,024 latents, so that the axis stays the same during a run.

# %%
#| export
@functools.lru_cache(32)
def code_reach(side: Side) -> float:
    "How far latents are shown: a little beyond the game's own noise, at most three."
    z = side.noise(1024, side.generators("look grid", 0))
    return min(3., round(1.25 * z.abs().max().item(), 2))


# %% [markdown]
# The box is the part of the plane that is shown, and `view_box` gives it. Its sides come from the bounds of the data, and on the line from the range of the latents as well.

# %%
#| export
@functools.lru_cache(32)
def view_box(side: Side) -> tuple[float, float, float, float]:
    "What is shown (left, right, bottom, top): two coordinates, or example and latent on the line."
    low, high = (b.flatten() for b in side.modes.bounds)
    if len(low) == 1:
        reach = code_reach(side)
        return low.item(), high.item(), -reach, reach
    return low[0].item(), high[0].item(), low[1].item(), high[1].item()


# %% [markdown]
# Each example needs two coordinates on the page. `project_to_plane` gives them. Of an example with more than two numbers only the first two are shown.

# %%
#| export
def project_to_plane(x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    "Examples `(n, *event)` as points: two coordinates, or example and latent on the line."
    flat = x.detach().flatten(1)
    return flat[:, :2] if flat.shape[1] > 1 else torch.cat([flat, z.detach().flatten(1)[:, :1]], 1)


# %% [markdown]
# `quantize` stores points as 16-bit numbers over *twice* the shown box. Otherwise a sample outside the box would be drawn on its border, where it would look like a mode.

# %%
#| export
def quantize(points: torch.Tensor, box: tuple[float, ...]) -> np.ndarray:
    "Points as uint16 over twice the box; what lies outside even that is put on its border."
    left, right, bottom, top = box
    middle = torch.tensor([left + right, bottom + top]) / 2
    size = torch.tensor([right - left, top - bottom]) * 2
    shares = ((points - middle) / size + .5).clamp(0, 1)
    return shares.mul(65535).round().numpy().astype(np.uint16)


# %%
quantize(torch.tensor([[-1., 0.], [1., 0.], [1.9, 0.], [9., 0.]]), (-1., 1., -1., 1.))

# %% [markdown]
# ## A surface of D
# On the plane, D is evaluated on a grid: its score, its probability that a point is real, or the norm of its gradient. A cell takes one byte. `_surface_grid` gives the centres of the cells. On the line, the second coordinate of a cell is the latent.

# %%
#| export
def _surface_grid(side: Side) -> tuple[torch.Tensor, torch.Tensor | None]:
    "The examples of the surface's cells, and their latents where the second axis is a latent."
    box, d = view_box(side), math.prod(side.modes.event)
    ticks = [torch.linspace(a, b, 2 * SURFACE_CELLS + 1)[1::2] for a, b in (box[:2], box[2:])]
    points = torch.stack(torch.meshgrid(*ticks, indexing="xy"), -1).reshape(-1, 2)
    return points[:, :d], points[:, 1:] if d == 1 and side.latent == 1 else None


# %% [markdown]
# `_surface_values` gives one number for each cell. The gradient norm needs a gradient with respect to the examples; the other two are computed without gradients, which is faster.

# %%
#| export
def _surface_values(side: Side, surface: str) -> torch.Tensor:
    "D's score, probability or gradient norm in each cell of the surface."
    x, z = _surface_grid(side)
    x.requires_grad_(surface == "gradient")
    with preserve_state(side), torch.set_grad_enabled(surface == "gradient"):
        values = critic_scores(side, x, z)
        if surface == "gradient":
            return torch.autograd.grad(values.sum(), x)[0].norm(dim=1)
    return values.sigmoid() if surface == "probability" else values


# %% [markdown]
# `critic_surface` scales the values to one byte a cell and returns the range that belongs to 0 and 255. A probability always has the range from 0 to 1, so that colours can be compared between steps.

# %%
#| export
def critic_surface(side: Side, surface: str) -> tuple[np.ndarray, float, float] | None:
    "D on the plane, (64, 64) uint8 from the lowest row up, with the values of 0 and 255; or None."
    event = side.modes.event
    if surface == "none" or len(event) != 1 or event[0] > 2 or not critic_inputs(side):
        return None
    values = _surface_values(side, surface)
    low, high = values.min().item(), values.max().item()
    if surface == "probability":
        low, high = 0., 1.
    cells = ((values - low) / max(high - low, 1e-12) * 255).round()
    cells = cells.reshape(SURFACE_CELLS, SURFACE_CELLS)
    return cells.numpy().astype(np.uint8), low, high


# %%
cells, low, high = critic_surface(side, "gradient")
cells.shape, cells.min(), cells.max(), round(low, 3), round(high, 3)

# %% [markdown]
# A score has no natural zero. `neutral_score` takes its neutral value halfway between the mean scores of real and of generated examples.

# %%
#| export
def neutral_score(side: Side, batch: EvalBatch, made: torch.Tensor) -> float:
    "Halfway between the mean scores of real and generated examples; drawn in the page's colour."
    with preserve_state(side), torch.no_grad():
        real = critic_scores(side, side.scale.restore(batch.x[0]))
        fake = critic_scores(side, made, batch.z[0])
    return (real.mean() + fake.mean()).item() / 2


# %% [markdown]
# ## The latent grid
# `latent_grid` maps a regular grid of latents to the plane by G. Its lines are at quantiles of the noise, so that each cell has the same share of it.

# %%
#| export
@torch.no_grad()
def latent_grid(side: Side) -> np.ndarray:
    "G over a grid of quantiles of two latents, (15, 15, 2) from `quantize`; others stay fixed."
    z = side.noise(1024, side.generators("look grid", 0))[0].sort(0).values
    level = z[torch.linspace(16, 1007, GRID_LINES).long()]
    grid = level[GRID_LINES // 2].repeat(GRID_LINES, GRID_LINES, 1)
    grid[..., 0] = level[:, 0]
    if side.latent > 1:
        grid[..., 1] = level[:, 1:2]
    flat = grid.flatten(0, 1)
    points = project_to_plane(side.scale.restore(side.player("G")(flat[None])[0]), flat)
    return quantize(points, view_box(side)).reshape(GRID_LINES, GRID_LINES, 2)


# %% [markdown]
# ## Pictures
# `shrink_pictures` reduces pictures to at most 16 columns and gives them as bytes. As many are sent as fit the room that is left for them, at most 48.

# %%
#| export
def shrink_pictures(x: torch.Tensor, modes: ModeSet, room: int) -> np.ndarray:
    "Pictures `(n, channels, h, w)` as uint8 (m, h, w, channels): what fits `room` bytes."
    factor = math.ceil(x.shape[-1] / 16)
    small = torch.nn.functional.avg_pool2d(x, factor) if factor > 1 else x
    small = small.add(1).div(2).clamp(0, 1).movedim(1, -1)
    small = small if small.shape[-1] in (1, 3) else small[..., :1]
    count = max(1, min(48, room // small[0].numel()))
    return small[:count].mul(255).round().numpy().astype(np.uint8)


# %% [markdown]
# ## A frame
# `pack_frame` turns arrays and a note into one string of bytes. First comes a JSON head with the place of each array, then the numbers.

# %%
#| export
def pack_frame(arrays: dict[str, np.ndarray], note: dict) -> bytes:
    "Arrays and a note as bytes: a JSON head that says where each array is, then their numbers."
    table, body = {}, b""
    for name, array in arrays.items():
        table[name] = [array.dtype.str[1:], list(array.shape), len(body)]
        body += array.tobytes() + b"\0" * (-array.nbytes % 8)
    head = json.dumps({"note": note, "arrays": table}, separators=(",", ":")).encode()
    head += b" " * (-(len(head) + 4) % 8)
    return len(head).to_bytes(4, "little") + head + body


# %% [markdown]
# `unpack_frame` is the inverse in Python. The still pictures below are drawn from what it returns.

# %%
#| export
def unpack_frame(data: bytes) -> tuple[dict[str, np.ndarray], dict]:
    "The arrays and the note that `pack_frame` was given."
    start = 4 + int.from_bytes(data[:4], "little")
    head = json.loads(data[4:start])
    arrays = {}
    for name, (kind, shape, at) in head["arrays"].items():
        numbers = np.frombuffer(data, "<" + kind, math.prod(shape), start + at)
        arrays[name] = numbers.reshape(shape)
    return arrays, head["note"]


# %%
unpack_frame(pack_frame({"x": np.arange(6, dtype=np.uint16).reshape(3, 2)}, {"step": 3}))

# %% [markdown]
# A frame holds generated points, the latent grid, arrows, the surface, codes, and for each mode its count and whether it is captured. Each part is made by a function of its own. The count of a mode and whether it is captured share one 16-bit number.

# %%
#| export
def _mode_counts(covered: Any) -> np.ndarray:
    "Good samples of each mode, at most 32,767, plus 32,768 if the mode is captured, as uint16."
    captured = torch.ones(len(covered.counts), dtype=torch.int64)
    captured[covered.missing] = 0
    counts = covered.counts.long().clamp_max(32767)
    return (counts + (captured << 15)).numpy().astype(np.uint16)


# %% [markdown]
# For a set of pictures, the frame holds small versions of generated pictures. Each of them comes with the mode it was assigned to, so that the page can label it.

# %%
#| export
def _picture_arrays(side: Side, made: torch.Tensor) -> dict[str, np.ndarray]:
    "Generated pictures, and the mode of each, plus 32,768 if it is a good sample of that mode."
    tiles = shrink_pictures(made, side.modes, PICTURE_BYTES)
    mode, good = side.modes.assign(made[:len(tiles)])
    return {"tiles": tiles, "assigned": (mode + (good.long() << 15)).numpy().astype(np.uint16)}


# %% [markdown]
# The arrows show minus the gradient of G's loss at its samples. They are scaled so that the longest one has length 127, which fits one byte; its true length is returned beside them.

# %%
#| export
def _arrows(side: Side) -> tuple[dict[str, np.ndarray], float | None]:
    "Where arrows start and their int8 vectors, the longest 127 long, and the length of that one."
    where, arrow, latents = sample_gradients(side)
    vectors = arrow.flatten(1)[:N_ARROWS, :2]
    longest = round_for_json(vectors.norm(dim=1).max().item())
    vectors = torch.nn.functional.pad(vectors, (0, 2 - vectors.shape[1]))
    unit = vectors / max(longest or 0, 1e-12) * 127
    starts = quantize(project_to_plane(where, latents)[:N_ARROWS], view_box(side))
    unit = unit.nan_to_num().clamp(-127, 127).round().numpy().astype(np.int8)
    return {"from": starts, "gradient": unit}, longest


# %% [markdown]
# If the game has an encoder, the codes of real examples are shown. On the line a code is drawn beside its example; in more dimensions the codes have a square of their own.

# %%
#| export
def _codes(side: Side, batch: EvalBatch) -> np.ndarray:
    "Codes of real examples: beside their examples on the line, else in a square of their own."
    x = side.scale.restore(batch.x[0])
    with preserve_state(side), torch.no_grad():
        codes = encode_samples(side, x)
    if math.prod(side.modes.event) == 1:
        return quantize(project_to_plane(x, codes), view_box(side))
    reach = code_reach(side)
    return quantize(project_to_plane(codes, batch.z[0]), (-reach, reach) * 2)


# %% [markdown]
# The page needs the surface and the values that its colours stand for. `middle` is the value that gets the neutral colour; a gradient norm has none.

# %%
#| export
def _surface_part(side: Side, surface: str, batch: EvalBatch, made: torch.Tensor) -> tuple:
    "The surface of D as an array, and what the page must know of it; both empty without one."
    found = critic_surface(side, surface)
    if found is None:
        return {}, {}
    middle = {"probability": .5, "gradient": None}.get(surface)
    if surface == "score":
        middle = round_for_json(neutral_score(side, batch, made))
    low, high = map(round_for_json, found[1:])
    return {"surface": found[0]}, {"surface": surface, "low": low, "high": high, "middle": middle}


# %% [markdown]
# `_plane_parts` collects everything that is drawn on the plane. It also counts the samples outside the box, which the reader would otherwise not notice.

# %%
#| export
def _plane_parts(side: Side, surface: str, batch: EvalBatch, made: torch.Tensor) -> tuple:
    "The arrays that are drawn on the plane, and what the page must know of them."
    box, points = view_box(side), project_to_plane(made, batch.z[0])
    with preserve_state(side):
        arrays = {"fake": quantize(points, box), "grid": latent_grid(side)}
    low, high = torch.tensor(box[::2]), torch.tensor(box[1::2])
    note: dict[str, Any] = {"outside": int(((points < low) | (points > high)).any(1).sum())}
    gradients, note["gradient"] = _arrows(side)
    array, of_surface = _surface_part(side, surface, batch, made)
    arrays, note = arrays | gradients | array, note | of_surface
    if "E" in side.players.nets:
        arrays["codes"] = _codes(side, batch)
    return arrays, note


# %% [markdown]
# The note has the four measures. Where samples are shown truncated (chapter [3.3](../3_inclusion/03_style.ipynb)), it has two sets of them: of the samples that are shown, and of those without truncation. So the page can say what a truncated picture hides.

# %%
#| export
def _measures_note(side: Side, covered: Any, samples: int) -> dict[str, Any]:
    "The measures of what is shown; beside truncated ones those without truncation."
    def rounded(found: Any) -> dict[str, Any]:
        return {name: round_for_json(getattr(found, name)) for name in SHOWN_MEASURES}
    if side.truncation == 1:
        return rounded(covered)
    whole = rounded(measure_side(side, samples))
    return {**rounded(covered), "truncation": side.truncation, "untruncated": whole}


# %% [markdown]
# `render_frame` makes the frame of one side at its present step: the measures and losses as a note, and the arrays of the plane or of the pictures.

# %%
#| export
def render_frame(side: Side, surface: str = "score",  # which surface of D
                 samples: int = 1000,  # by which coverage is measured
                 ) -> bytes:
    "All that is shown of a side at this step, in at most 12 kB; the side is left unchanged."
    covered = measure_side(side, samples, side.truncation)
    batch, G = EvalBatch(side, N_SHOWN), side.player("G")
    losses = {word: round_for_json(value) for word, value in side.loss().items()}
    note = {"step": side.steps, "loss": losses, "without": list(side.without)}
    note |= _measures_note(side, covered, samples)
    with preserve_state(side), torch.no_grad(), truncate_styles(G, side.truncation):
        made = side.scale.restore(G(batch.z)[0])
    if view_kind(side.modes) == "tiles":
        arrays = _picture_arrays(side, made)
    else:
        arrays, more = _plane_parts(side, surface, batch, made)
        note |= more
    return pack_frame({**arrays, "modes": _mode_counts(covered)}, note)


# %%
data = render_frame(side, samples=200)
arrays, note = unpack_frame(data)
assert len(data) < 12_000 and len(data) < len(as_png.png)
len(data), {name: array.nbytes for name, array in arrays.items()}, note

# %% [markdown]
# The frame is smaller than the PNG, although it also holds the surface, the grid, the arrows and the counts. (The real points are not in it. They are sent once, with the scene below.) The points on the page differ from the computed ones by the rounding to 16 bits alone:

# %%
box, made = view_box(side), side.player("G")(EvalBatch(side, N_SHOWN).z)[0].detach()
shown = torch.from_numpy((arrays["fake"] / 65535 - .5) * 2 * (box[1] - box[0])).float()
inside = (made.abs() < 2.9).all(1)
assert (shown - made)[inside].abs().max() < 2 * (box[1] - box[0]) / 65535

# %% [markdown]
# ## A scene
# Names, the box and real examples do not change while a lab runs, and neither do the floor and the null of each measure. (The floor is what a perfect generator reaches with as many samples, the null what uniform noise reaches; see chapter [0.4](../0_start/04_coverage.ipynb).) They are sent once.
#
# `mode_names` gives the labels of the modes.

# %%
#| export
def mode_names(modes: ModeSet) -> list[str]:
    "The modes' names: their number, or what their pictures show where the set says so."
    if not hasattr(modes, "traits"):
        return [str(i) for i in range(modes.n_modes)]
    return [", ".join(t for t, on in zip(modes.traits, shows) if on) or "plain"
            for shows in modes.kinds.tolist()]


# %% [markdown]
# The title of the lab names the data. `_set_name` gives this name. A set without a registered name is named by its class.

# %%
#| export
def _set_name(modes: ModeSet) -> str:
    "A set's name."
    return (getattr(modes, "spec", None) or {"name": type(modes).__name__})["name"]


# %% [markdown]
# Real examples are drawn once, from all modes, including those that are left out at this step. The page itself hides the modes that are left out.

# %%
#| export
def _fixed_samples(side: Side) -> dict[str, np.ndarray]:
    "Real examples, and latents beside which the codes of an encoder are shown."
    # from the set itself: whatever is left out at this step
    x, mode = side.modes.sample_with_modes(N_SHOWN, side.generators("look real", 0)[0])
    if view_kind(side.modes) == "tiles":
        return {"tiles": shrink_pictures(x, side.modes, PICTURE_BYTES)[:12]}
    z, box = EvalBatch(side, N_SHOWN).z[0], view_box(side)
    arrays = {"real": quantize(project_to_plane(x, z), box),
              "mode": mode.numpy().astype(np.uint16)}
    if isinstance(side.modes, Mixture):
        centers = side.modes.centers.cpu()
        arrays["centers"] = quantize(project_to_plane(centers, torch.zeros(len(centers), 1)), box)
    if "E" in side.players.nets and math.prod(side.modes.event) > 1:
        reach = code_reach(side)
        arrays["latents"] = quantize(project_to_plane(z, z), (-reach, reach) * 2)
    return arrays


# %% [markdown]
# The page draws axes, labels and menus. `_scene_of_modes` gives their facts about the data, for example whether points can be drawn by hand.

# %%
#| export
def _scene_of_modes(modes: ModeSet) -> dict[str, Any]:
    "What the page must know of a mode set."
    kind, d = view_kind(modes), math.prod(modes.event)
    return {"kind": kind, "modes": modes.n_modes, "names": mode_names(modes), "line": d == 1,
            "weights": [round_for_json(w) for w in modes.weights[:64].tolist()],
            "axes": ["x", "z"] if d == 1 else ["x₁", "x₂"],
            "drawable": d <= 2 and kind == "plane",
            "surfaces": list(SURFACES) if d < 3 and kind == "plane" else []}


# %% [markdown]
# `render_scene` puts the fixed parts together: the games, the box, the real examples of each side, and the floor and null of each measure.

# %%
#| export
def render_scene(lab: LabSession) -> dict[str, Any]:
    "What does not change while a lab runs, ready for JSON: names, the box, real examples, bounds."
    first, modes = measure_side(lab.sides["A"], lab.samples), lab.sides["A"].modes
    games, kind = {k: type(s.game).__name__ for k, s in lab.sides.items()}, view_kind(modes)
    real = {k: pack_frame(_fixed_samples(s), {}) for k, s in lab.sides.items()}
    bounds = {which: {k: round_for_json(getattr(getattr(first, which), k)) for k in SHOWN_MEASURES}
              for which in ("floor", "null")}
    return {"title": f"{', '.join(games.values())} on {_set_name(modes)}", "sides": games,
            "box": {k: view_box(s) for k, s in lab.sides.items()} if kind == "plane" else {},
            "samples": lab.samples, "surface": lab.surface, **_scene_of_modes(modes), **bounds,
            "real": {k: base64.b64encode(data).decode() for k, data in real.items()}}


# %%
flat = LabSession(Minimax(networks=Networks(width=16)), line(), batch=32, samples=50).step(3)
scene = render_scene(flat)
unpack_frame(render_frame(flat.sides["A"]))[0]["fake"].shape, scene["title"], scene["axes"]

# %% [markdown]
# ## A recording
# Frames at the lab's own snapshots need no training, so a recording of a thousand steps takes as long as drawing sixty pictures. A recording is a page with the same script and the same frames; a list of frames takes the place of the kernel. A rule in the head of the page forbids it to fetch anything.

# %%
#| export lab.recording
"Recordings of the lab: frames along a run, measures and changes, on a page without a kernel."
from __future__ import annotations

import base64
import functools
import json
import textwrap
import zlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelab.core.files import atomic_write
from modelab.core.plotting import Picture, axes, image_grid, scatter
from modelab.lab.session import LabSession
from modelab.lab.side import Event, measures_row
from modelab.lab.view import pack_frame, render_frame, render_scene, unpack_frame

# %% [markdown]
# The measures along a run are a table by step and side. The name is used in the annotations below.

# %%
#| export lab.recording
History = dict[int, dict[str, dict[str, Any]]]  # measures by step and side


# %% [markdown]
# The script and the style of the page are files of the package. `read_static` reads them as text, since a saved page must contain them.

# %%
#| export lab.recording
def read_static(name: str) -> str:
    "The text of a file of the page that travels with the package."
    return (files("modelab.lab") / "static" / name).read_text(encoding="utf-8")


# %% [markdown]
# ### Curves
# The measures along the timeline are packed like a frame. Which modes were captured at each step is shown for up to 64 modes.

# %%
#| export lab.recording
def _captured_by_step(rows: History, side: str, modes: int) -> np.ndarray:
    "Which modes were captured at each measured step, `(steps, modes)` uint8."
    captured = np.ones((len(rows), modes), np.uint8)
    for i, step in enumerate(sorted(rows)):
        captured[i, rows[step][side]["missing"]] = 0
    return captured


# %% [markdown]
# `render_curves` packs the measures of all steps, the captured modes, the steps with a change, and the missions for the page.

# %%
#| export lab.recording
def render_curves(rows: History, events: list[Event], modes: int,
                  missions: list = (),  # text, and stages with whether they were reached
                  ) -> bytes:
    "Measures along the timeline, which modes were captured, and when a setting changed."
    at = sorted(rows)
    names = {side: [k for k in row if k != "missing"] for side, row in rows[at[-1]].items()}
    arrays = {"steps": np.array(at, "<u4")}
    for side, keys in names.items():
        arrays[side] = np.array([[rows[s][side].get(k) for k in keys] for s in at], "<f4")
        if modes <= 64:
            arrays[f"captured {side}"] = _captured_by_step(rows, side, modes)
    note = {"names": names, "events": sorted({e.step for e in events}), "missions": list(missions)}
    return pack_frame(arrays, note)


# %%
lab.step(30)
curves, about = unpack_frame(render_curves(lab.history, lab.events, 8))
{name: array.shape for name, array in curves.items()}, about

# %% [markdown]
# ### Still pictures
# A printed page cannot play a recording. It shows a strip of stills, drawn by matplotlib from the same frames.

# %%
#| export lab.recording
def _plot_points(ax: Any, scene: dict[str, Any], side: str, real: dict, frame: tuple) -> None:
    "Real points as discs and generated ones as crosses, from a frame's arrays and note."
    arrays, note = frame
    left, right, bottom, top = scene["box"][side]
    scale = np.array([right - left, top - bottom]) * 2
    middle = np.array([left + right, bottom + top]) / 2
    shown = ~np.isin(real["mode"], note["without"])
    codes = scene["line"] and "codes" in arrays
    both = arrays["codes"] if codes else real["real"][shown], arrays["fake"]
    points = (torch.from_numpy((p / 65535 - .5) * scale + middle) for p in both)
    scatter(ax, *points, size=4)
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="auto")
    ax.set(xlabel=scene["axes"][0], ylabel=scene["axes"][1])


# %% [markdown]
# A still shows one side at one step: points on the plane, or pictures. The title has the name of the game in lines of its own, because a long name and the step do not fit into one. The function returns a sentence as well, for the text that replaces the picture.

# %%
#| export lab.recording
def _plot_side(ax: Any, scene: dict[str, Any], side: str, real: dict, data: bytes) -> str:
    "One still; returns what it shows in words."
    arrays, note = unpack_frame(data)
    if scene["kind"] == "tiles":
        images = torch.from_numpy(arrays["tiles"].copy()).float() / 255
        image_grid(ax, images.squeeze(-1) if images.shape[-1] == 1 else images, 5)
    else:
        _plot_points(ax, scene, side, real, (arrays, note))
    captured = f"{note['captured']:g} of {scene['modes']}"
    cut = f", ψ = {note['truncation']:g}" if "truncation" in note else ""
    row = f"{side}: " if len(scene["sides"]) > 1 else ""
    name = row + textwrap.fill(scene["sides"][side] + cut, 20)
    ax.set_title(f"{name}\nstep {note['step']}: {captured}", fontsize=9)
    return f"{side} at step {note['step']}{cut} shows {captured} modes"


# %% [markdown]
# `plot_strip` draws stills side by side, with one row for each side. With two sides the titles say which is A and which is B. The printed page and the notebook without a kernel show it.

# %%
#| export lab.recording
def plot_strip(scene: dict[str, Any], frames: list[dict[str, bytes]]) -> Picture:
    "Stills in a row, one row a side, from frames by side."
    real = {side: unpack_frame(base64.b64decode(t))[0] for side, t in scene["real"].items()}
    size = (2.4, 2.6)
    figure, panels = axes(len(scene["sides"]), len(frames), size=size, squeeze=False)
    shown = [_plot_side(ax, scene, side, real[side], data)
             for frame, column in zip(frames, panels.T)
             for (side, data), ax in zip(frame.items(), column)]
    legend = "Real points are discs, generated ones crosses."
    return Picture(figure, f"{scene['title']}. {legend} {'; '.join(shown)}")


# %%
plot_strip(render_scene(lab), [{"A": render_frame(side, samples=200)}])


# %% [markdown]
# ### The page
# Below a frame the page says which settings were changed before it, the last three of them.

# %%
#| export lab.recording
def _event_text(events: list[Event], at: int) -> str:
    "What was changed up to a step, in words."
    changes = [f"{e.side} {e.name} = {e.value}, from step {e.step}" for e in events if e.step <= at]
    return "Changed: " + "; ".join(changes[-3:]) if changes else ""


# %% [markdown]
# `Recording` holds everything that the page needs, and the share string. It is plain data, so it can be shown and graded after the lab has moved on.

# %%
#| export lab.recording
@dataclass(frozen=True, repr=False)
class Recording:
    "Frames of a lab along its timeline, with its measures and changes; it plays without a kernel."
    scene: dict[str, Any]  # what does not change: names, box, real examples
    steps: list[int]  # of the frames
    frames: list[dict[str, bytes]]  # by side; see `modelab.lab.view.unpack_frame`
    rows: History  # measures by step and side, at more steps than there are frames
    events: list[Event]
    text: str  # the lab's share string

    def __repr__(self) -> str:
        return (f"Recording: {self.scene['title']}, {len(self.steps)} frames, "
                f"steps {self.steps[0]} to {self.steps[-1]}")

    @functools.cached_property
    def _strip(self) -> Picture:
        return self.still()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        data, meta = self._strip._repr_mimebundle_()
        return {**data, "text/plain": repr(self), "text/html": self.html()}, meta


# %% [markdown]
# Missions and graders need three things of a recording: the missing modes, the captured modes, and the values of a measure, step by step. The first method gives the missing modes:

# %%
#| export lab.recording
@patch
def missing(self: Recording, side: str = "A") -> list[set[int]]:
    "The missing modes, measured step by measured step."
    return [{*self.rows[step][side]["missing"]} for step in sorted(self.rows)]


# %% [markdown]
# `captured` gives the modes that are not missing, for each measured step.

# %%
#| export lab.recording
@patch
def captured(self: Recording, side: str = "A") -> dict[int, set[int]]:
    "The captured modes, by measured step."
    every = {*range(self.scene["modes"])}
    return {
        step: every - missing for step, missing in zip(sorted(self.rows), self.missing(side))
    }


# %% [markdown]
# `measures` gives one measure or loss as a list, for a plot, or for a condition that a mission sets.

# %%
#| export lab.recording
@patch
def measures(self: Recording, name: str, side: str = "A") -> list[float]:
    """One measure along the timeline.

    "captured", "high_quality", "tv", "kl" or "loss D".
    """
    return [self.rows[step][side][name] for step in sorted(self.rows)]


# %% [markdown]
# A notebook without a kernel shows a few frames of the recording, drawn by `still`. They are spread evenly from the first to the last.

# %%
#| export lab.recording
@patch
def still(self: Recording, n: int = 4) -> Picture:
    "A strip of at most `n` frames."
    last = len(self.steps) - 1
    chosen = sorted({round(i * last / max(1, n - 1)) for i in range(n)})
    return plot_strip(self.scene, [self.frames[i] for i in chosen])


# %% [markdown]
# `to_json` writes the scene, the frames and the curves as one JSON text. `</` is escaped, because it could end the script element that holds the text.

# %%
#| export lab.recording
@patch
def to_json(self: Recording) -> str:
    "All that the page needs, as JSON that may stand in a script."
    frames = [pack_frame({k: np.frombuffer(v, np.uint8) for k, v in frame.items()},
                         {"at": at, "last": self.steps[-1], "error": "",
                          "message": _event_text(self.events, at)})
              for at, frame in zip(self.steps, self.frames)]
    curves = render_curves(self.rows, self.events, self.scene["modes"])
    page = {"scene": self.scene, "steps": self.steps,
            "frames": [base64.b64encode(frame).decode() for frame in frames],
            "curves": base64.b64encode(curves).decode()}
    return json.dumps(page, separators=(",", ":")).replace("</", "<\\/")


# %% [markdown]
# `html` joins the style, the script and the data in one piece of a page. The still inside is shown where scripts do not run.

# %%
#| export lab.recording
@patch
def html(self: Recording) -> str:
    "The player as a piece of a page, with a still in it for where no script runs."
    strip, page = self._strip, self.to_json()
    name, png = f"lab-{zlib.crc32(page.encode()):08x}", base64.b64encode(strip.png).decode()
    image = f'<img alt="{strip.alt}" src="data:image/png;base64,{png}">'
    return (f'<style>{read_static("lab.css")}</style><div id="{name}">{image}</div>\n'
            f'<script type="module">{read_static("lab.js")}\n'
            f'play(document.getElementById("{name}"), {page});</script>')


# %% [markdown]
# `save_html` writes a whole page that works from a file. Its content security policy forbids the page to load anything.

# %%
#| export lab.recording
@patch
def save_html(self: Recording, path: str | Path) -> Path:
    "Write a page that scrubs and plays from a file, and may fetch nothing."
    rules = ("default-src 'none'; script-src 'unsafe-inline'; "
             "style-src 'unsafe-inline'; img-src data:")
    head = (
        f'<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{rules}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{self.scene["title"]}</title>'
    )
    page = (f'<!DOCTYPE html><html lang="en"><head>{head}</head>'
            f'<body>{self.html()}</body></html>\n')
    atomic_write(path, page.encode())
    return Path(path)


# %% [markdown]
# ### Making one
# `make_recording` makes a recording of a lab. Its frames are spread evenly over the snapshots and the last step. They show the samples as the lab does, truncated or not; the table of measures is without truncation. The lab goes to each of them and returns to its present step at the end.

# %%
#| export lab.recording
def make_recording(lab: LabSession, frames: int) -> Recording:
    "At most so many frames, spread over the lab's snapshots and its end, with measures and events."
    here, known = lab.at, sorted({*lab.snapshots, lab.last})
    last = len(known) - 1
    chosen = sorted({known[round(i * last / max(1, frames - 1))] for i in range(frames)})
    rows, shown, text = dict(lab.history), [], lab.to_string()
    for step in chosen:
        lab.scrub(step)
        shown.append({name: render_frame(side, lab.surface, lab.samples)
                      for name, side in lab.sides.items()})
        rows[step] = {name: measures_row(side, lab.samples) for name, side in lab.sides.items()}
    lab.scrub(here)
    return Recording(render_scene(lab), chosen, shown, rows, list(lab.events), text)


# %%
recording = make_recording(lab, 60)
assert recording.steps == [0, 16, 32, 48, 64, 80] and lab.at == 80
assert recording.html().count("<script") == 1 and "http" not in read_static("lab.js")
recording

# %% [markdown]
# ## The script of the page
# The script of the page is one file, `modelab/lab/static/lab.js`, written by hand. It begins with the inverse of `pack_frame`:

# %%
source = read_static("lab.js")
start = source.index("export function unpack")
print(source[start:source.index("const decode")])

# %% [markdown]
# ## Add a layer
# A new layer of the plane needs four changes:
#
# 1. Compute its array in a function of its own, with `quantize` for points, and add it to `_plane_parts`.
# 2. In `lab.js`, add its sign and its label to `LAYERS`, and whether it is shown at first to `shown` in `LabView`.
# 3. In `lab.js`, draw it in the method `draw` of `Stage`.
# 4. In `tests/test_lab.py`, add its shape to `test_frames_are_small_and_true`. This test also holds the limit of 12 kB.
#
# If the layer should be seen in stills and printed pages, draw it in `_plot_points` as well.

# %% [markdown]
# ## Recap
# - The lab sends numbers, not pictures. The page draws them, follows the theme, and can replay them without a kernel.
# - Drawing costs training speed. Chapter 6.10 limits its share of the time, and chapter 1.3 shows what was measured.
# - Points are quantised over more than what is shown. Otherwise points outside would appear on the border.
# - The input of D is found from a call of the game, not from a list of games.
#
# **For later.**
#
# 1. Why are points stored over twice the box?
# 2. Which frames does a recording hold, and why those?
#
# <details><summary>Answers</summary>
#
# 1. A sample outside the box would otherwise be moved to the border, where it would look like a mode. Now it keeps its place and is not drawn; the page says how many samples are outside.
# 2. Frames at the lab's snapshots and at its last step, spread evenly, at most as many as `frames` says. The lab holds these states, so no step has to be trained again.
#
# </details>
