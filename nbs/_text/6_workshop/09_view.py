# %% [markdown]
# # How the lab shows itself
# > Twelve kilobytes a frame, one hand-written module for the browser, and no build

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How does a picture of a training run reach a page, 25 times a second, without slowing the training down? |
# | **You will be able to** | add a layer to the lab, read its frames, and save a recording that plays without a kernel |
# | **Needs** | [1.3](../1_game/03_lab.ipynb) |
# | **Time** | seconds |
#
# A workshop chapter: for whoever changes the lab, not for whoever plays with it.

# %%
#| default_exp lab.view

# %%
#| export
"Views of the lab: rendered frames, recordings and curves."
from __future__ import annotations

import base64
import functools
import json
import math
import zlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelab.core.files import atomic_write
from modelab.core.plotting import axes, image_grid, Picture, scatter
from modelab.core.registry import round_for_json
from modelab.data.mixtures import Mixture, ModeSet
from modelab.lab.session import (EvalBatch, Event, LabSession, measure_side, measures_row,
                                 preserve_state, sample_gradients, SHOWN_MEASURES, Side, SURFACES,
                                 trace_loss)

# %%
from modelab.course.claims import recorded
from modelab.data.mixtures import line, ring
from modelab.methods.minimax import Minimax
from modelab.networks.players import Networks

# %% [markdown]
# ## A picture is heavy
# The easy way is a plot: draw with matplotlib, send the PNG. Before we do better, what does that weigh?

# %%
lab = LabSession(Minimax(networks=Networks(width=32)), ring(std=.1), batch=64, samples=200).step(50)
side = lab.sides["A"]
figure, ax = axes(size=(4, 4))
points = side.sample(500)[0]
scatter(ax, side.modes.sample(500, torch.Generator().manual_seed(0)), points, limit=1.5)
as_png = Picture(figure, "Five hundred real and five hundred generated points, drawn by matplotlib")
len(as_png.png)

# %% [markdown]
# The page has a canvas of its own and can draw. What it lacks is a thousand numbers.
#
# ## What D says, everywhere
# First find out how this game asks its $D$: about an example, or about an example with its code. Again no list, but a look at one real use.

# %%
#| export
@functools.lru_cache(32)
def critic_inputs(side: Side) -> int:
    "How many inputs D takes in G's turn, the first of them an example; 0 if no such D is asked."
    with preserve_state(side):
        _, calls = trace_loss(side, side.only("G").split()[0], EvalBatch(side, 8))
    asked = [c.inputs for c in calls if c.player == "D" and tuple(c.inputs[0].shape[2:]) == tuple(side.modes.event)]
    return len(asked[0]) if asked else 0


# %%
#| export
def encode_samples(side: Side, x: torch.Tensor) -> torch.Tensor:
    "E(x) for examples `(n, *event)`; an encoder that also takes noise is given zeros."
    net, x = side.players.nets["E"], x[None]
    return net(x, x.new_zeros(1, x.shape[1], side.latent))[0] if getattr(side.game, "stochastic", False) else net(x)[0]


# %%
#| export
def critic_scores(side: Side, x: torch.Tensor, z: torch.Tensor | None = None) -> torch.Tensor:
    "What D says of examples `(n, *event)`; beside each its code E(x) where D wants one, unless `z` is given."
    if critic_inputs(side) == 1:
        return side.players.nets["D"](x[None])[0]
    return side.players.nets["D"](x[None], (encode_samples(side, x) if z is None else z)[None])[0]


# %% [markdown]
# ## Everything that moves
# Points are stored as 16-bit numbers over *twice* the shown box: a sample outside the view must not be painted on its rim, where it would look like a mode. The surface takes one byte a cell, an arrow two bytes and the place where it starts.

# %%
#| export
GRID_LINES, SURFACE_CELLS, N_SHOWN = 15, 64, 500


# %%
#| export
def view_kind(modes: ModeSet) -> str:
    "How a set is shown: \"tiles\" for pictures, else \"plane\"."
    return "tiles" if len(modes.event) == 3 else "plane"


# %%
#| export
@functools.lru_cache(32)
def view_box(side: Side) -> tuple[float, float, float, float]:
    "The rectangle (left, right, bottom, top) that is shown: two coordinates, or example and latent on the line."
    low, high = (b.flatten() for b in side.modes.bounds)
    if len(low) == 1:
        reach = code_reach(side)
        return low.item(), high.item(), -reach, reach
    return low[0].item(), high[0].item(), low[1].item(), high[1].item()


# %%
#| export
@functools.lru_cache(32)
def code_reach(side: Side) -> float:
    "How far latents are shown: a little beyond the game's own noise, at most three."
    return min(3., round(1.25 * side.noise(1024, side.generators("look grid", 0)).abs().max().item(), 2))


# %%
#| export
def project_to_plane(x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    "Examples `(n, *event)` as points: their first two coordinates, or example and latent on the line."
    flat = x.detach().flatten(1)
    return flat[:, :2] if flat.shape[1] > 1 else torch.cat([flat, z.detach().flatten(1)[:, :1]], 1)


# %%
#| export
def quantize(points: torch.Tensor, box: tuple[float, ...]) -> np.ndarray:
    "Points as uint16 over twice the box; what lies outside even that sits on its rim."
    left, right, bottom, top = box
    middle = torch.tensor([left + right, bottom + top]) / 2
    size = torch.tensor([right - left, top - bottom]) * 2
    return ((points - middle) / size + .5).clamp(0, 1).mul(65535).round().numpy().astype(np.uint16)


# %%
#| export
def critic_surface(side: Side, what: str) -> tuple[np.ndarray, float, float] | None:
    "D on the shown rectangle, (64, 64) uint8 from the lowest row up, with the values of 0 and 255; None without a D."
    box, d = view_box(side), math.prod(side.modes.event)
    if what == "none" or len(side.modes.event) != 1 or d > 2 or not critic_inputs(side):
        return None
    ticks = [torch.linspace(a, b, 2 * SURFACE_CELLS + 1)[1::2] for a, b in (box[:2], box[2:])]
    points = torch.stack(torch.meshgrid(*ticks, indexing="xy"), -1).reshape(-1, 2)
    z = points[:, 1:] if d == 1 and side.latent == 1 else None
    x = points[:, :d].requires_grad_(what == "slope")
    with preserve_state(side), torch.set_grad_enabled(what == "slope"):
        values = critic_scores(side, x, z)
        if what == "slope":
            values = torch.autograd.grad(values.sum(), x)[0].norm(dim=1)
    values = values.sigmoid() if what == "belief" else values
    low, high = (0., 1.) if what == "belief" else (values.min().item(), values.max().item())
    cells = ((values - low) / max(high - low, 1e-12) * 255).round().reshape(SURFACE_CELLS, SURFACE_CELLS)
    return cells.numpy().astype(np.uint8), low, high


# %%
#| export
def neutral_score(side: Side, look: EvalBatch, made: torch.Tensor) -> float:
    "Halfway between what D says of real and of generated examples: neither side of it is the page's own colour."
    with preserve_state(side), torch.no_grad():
        real, fake = critic_scores(side, look.x[0]), critic_scores(side, made, look.z[0])
    return (real.mean() + fake.mean()).item() / 2


# %%
#| export
@torch.no_grad()
def latent_grid(side: Side) -> np.ndarray:
    "G over a regular grid of latents, (15, 15, 2); the levels are quantiles of the noise, further latents stay put."
    z = side.noise(1024, side.generators("look grid", 0))[0].sort(0).values
    level = z[torch.linspace(16, 1007, GRID_LINES).long()]
    grid = level[GRID_LINES // 2].repeat(GRID_LINES, GRID_LINES, 1)
    grid[..., 0] = level[:, 0]
    if side.latent > 1:
        grid[..., 1] = level[:, 1:2]
    flat = grid.flatten(0, 1)
    points = project_to_plane(side.players.nets["G"](flat[None])[0], flat)
    return quantize(points, view_box(side)).reshape(GRID_LINES, GRID_LINES, 2)


# %%
#| export
def shrink_pictures(x: torch.Tensor, modes: ModeSet, room: int) -> np.ndarray:
    "Pictures `(n, channels, h, w)` as uint8 (m, h, w, channels): as many as fit into `room` bytes, none over 16 wide."
    every = math.ceil(x.shape[-1] / 16)
    small = torch.nn.functional.avg_pool2d(x, every) if every > 1 else x
    small = small.add(1).div(2).clamp(0, 1).movedim(1, -1)
    small = small if small.shape[-1] in (1, 3) else small[..., :1]
    count = max(1, min(48, room // small[0].numel()))
    return small[:count].mul(255).round().numpy().astype(np.uint8)


# %%
#| export
def pack_frame(arrays: dict[str, np.ndarray], note: dict) -> bytes:
    "Arrays and a note as one string of bytes: a JSON head that says where each array is, then their numbers."
    table, body = {}, b""
    for name, array in arrays.items():
        table[name] = [array.dtype.str[1:], list(array.shape), len(body)]
        body += array.tobytes() + b"\0" * (-array.nbytes % 8)
    head = json.dumps({"note": note, "arrays": table}, separators=(",", ":")).encode()
    head += b" " * (-(len(head) + 4) % 8)
    return len(head).to_bytes(4, "little") + head + body


# %%
#| export
def unpack_frame(data: bytes) -> tuple[dict[str, np.ndarray], dict]:
    "What `pack_frame` was given."
    start = 4 + int.from_bytes(data[:4], "little")
    head = json.loads(data[4:start])
    arrays = {name: np.frombuffer(data, "<" + kind, math.prod(shape), start + at).reshape(shape)
              for name, (kind, shape, at) in head["arrays"].items()}
    return arrays, head["note"]


# %%
#| export
def render_frame(side: Side, what: str = "score",  # which surface
                 samples: int = 1000,  # that the lamps count
                 ) -> bytes:
    "Everything that is shown of a side at this step, in at most 12 kB; looking changes nothing."
    arrays, nets, box = {}, side.players.nets, view_box(side)
    covered, look = measure_side(side, samples), EvalBatch(side, N_SHOWN)
    with preserve_state(side), torch.no_grad():
        made = nets["G"](look.z)[0]
        if view_kind(side.modes) == "tiles":
            arrays["tiles"] = shrink_pictures(made, side.modes, 7000)
            mode, good = side.modes.assign(made[:len(arrays["tiles"])])
            arrays["verdict"] = (mode + (good.long() << 15)).numpy().astype(np.uint16)
        else:
            points = project_to_plane(made, look.z[0])
            arrays["fake"], arrays["grid"] = quantize(points, box), latent_grid(side)
    note = {"step": side.steps, "loss": {k: round_for_json(v) for k, v in side.loss().items()},
            "without": list(side.without), **{k: round_for_json(getattr(covered, k)) for k in ("captured", "high_quality", "tv", "kl")}}
    if view_kind(side.modes) == "plane":
        note["outside"] = int(((points < torch.tensor(box[::2])) | (points > torch.tensor(box[1::2]))).any(1).sum())
        where, push, made_of = sample_gradients(side)
        vectors = push.flatten(1)[:192, :2]
        arrays["from"] = quantize(project_to_plane(where, made_of)[:192], box)
        note["push"] = round_for_json(vectors.norm(dim=1).max().item())
        unit = torch.nn.functional.pad(vectors, (0, 2 - vectors.shape[1])) / max(note["push"] or 0, 1e-12) * 127
        arrays["push"] = unit.nan_to_num().clamp(-127, 127).round().numpy().astype(np.int8)
        if found := critic_surface(side, what):
            arrays["surface"], note["low"], note["high"] = found[0], round_for_json(found[1]), round_for_json(found[2])
            note["surface"] = what
            note["middle"] = round_for_json(neutral_score(side, look, made)) if what == "score" else .5 if what == "belief" else None
        if "E" in nets:
            with preserve_state(side), torch.no_grad():
                codes = encode_samples(side, look.x[0])
            joint = math.prod(side.modes.event) == 1  # on the line, real examples stand above their codes
            arrays["codes"] = quantize(project_to_plane(look.x[0], codes), box) if joint else \
                quantize(project_to_plane(codes, look.z[0]), (-code_reach(side), code_reach(side)) * 2)
    lit = torch.ones(side.modes.n_modes, dtype=torch.int64)
    lit[covered.missing] = 0
    arrays["lamps"] = (covered.counts.long().clamp_max(32767) + (lit << 15)).numpy().astype(np.uint16)
    return pack_frame(arrays, note)


# %%
#| export
def render_scene(lab: LabSession) -> dict[str, Any]:
    "What does not change while a lab runs, ready for JSON: names, the shown box, real examples, companions."
    side, first = lab.sides["A"], measure_side(lab.sides["A"], lab.samples)
    law, d = side.modes, math.prod(side.modes.event)
    return {"title": f"{', '.join(type(s.game).__name__ for s in lab.sides.values())} on {_name(law)}",
            "sides": {k: type(s.game).__name__ for k, s in lab.sides.items()}, "kind": view_kind(law),
            "box": {k: view_box(s) for k, s in lab.sides.items()} if view_kind(law) == "plane" else {},
            "axes": ["x", "z"] if d == 1 else ["x₁", "x₂"], "modes": law.n_modes, "line": d == 1,
            "names": mode_names(law), "weights": [round_for_json(w) for w in law.weights[:64].tolist()], "samples": lab.samples,
            "surfaces": list(SURFACES) if d < 3 and view_kind(law) == "plane" else [], "surface": lab.surface,
            "drawable": d <= 2 and view_kind(law) == "plane",
            "floor": {k: round_for_json(getattr(first.floor, k)) for k in SHOWN_MEASURES},
            "null": {k: round_for_json(getattr(first.null, k)) for k in SHOWN_MEASURES},
            "real": {k: base64.b64encode(pack_frame(_fixed_samples(s), {})).decode() for k, s in lab.sides.items()}}


# %%
#| export
def _fixed_samples(side: Side) -> dict[str, np.ndarray]:
    "Real examples, and the latents beside whose law the codes of an encoder are shown."
    x, mode = side.modes.sample_with_modes(N_SHOWN, side.generators("look real", 0)[0])  # whatever is left out at this step
    if view_kind(side.modes) == "tiles":
        return {"tiles": shrink_pictures(x, side.modes, 7000)[:12]}
    look = EvalBatch(side, N_SHOWN)
    arrays = {"real": quantize(project_to_plane(x, look.z[0]), view_box(side)), "mode": mode.numpy().astype(np.uint16)}
    if isinstance(side.modes, Mixture):
        centers = side.modes.centers.cpu()
        arrays["centers"] = quantize(project_to_plane(centers, torch.zeros(len(centers), 1)), view_box(side))
    if "E" in side.players.nets and math.prod(side.modes.event) > 1:
        arrays["latents"] = quantize(project_to_plane(look.z[0], look.z[0]), (-code_reach(side), code_reach(side)) * 2)
    return arrays


# %%
#| export
def mode_names(modes: ModeSet) -> list[str]:
    "What modes are called: their number, or what their pictures show where the set says so; for lamps and captions."
    if not hasattr(modes, "traits"):
        return [str(i) for i in range(modes.n_modes)]
    return [", ".join(t for t, on in zip(modes.traits, shows) if on) or "plain" for shows in modes.kinds.tolist()]


# %%
#| export
def _name(modes: ModeSet) -> str:
    "A set's name."
    return (getattr(modes, "spec", None) or {"name": type(modes).__name__})["name"]


# %%
data = lab.frame()
arrays, note = unpack_frame(data)
assert len(data) < 12_000 and len(data) < len(as_png.png)
len(data), {name: array.nbytes for name, array in arrays.items()}, note

# %% [markdown]
# What came back is what was drawn, to the half step of a 16-bit grid, and a surface to half a grey level:

# %%
box, made = view_box(side), side.players.nets["G"](EvalBatch(side, N_SHOWN).z)[0].detach()
shown = torch.from_numpy((arrays["fake"] / 65535 - .5) * 2 * (box[1] - box[0])).float()
inside = (made.abs() < 2.9).all(1)
assert (shown - made)[inside].abs().max() < 2 * (box[1] - box[0]) / 65535

# %% [markdown]
# On the line an example has one coordinate. The second axis is then its latent: $(G(z), z)$ for what was generated, $(x, E(x))$ for the data where the game has an encoder.

# %%
flat = LabSession(Minimax(networks=Networks(width=16)), line(), batch=32, samples=50).step(3)
unpack_frame(flat.frame())[0]["fake"].shape, render_scene(flat)["axes"]

# %% [markdown]
# ## A recording
# Frames at the lab's own snapshots need no walk, so a recording of a thousand steps takes as long as drawing sixty pictures. It is a page: the same module, the same frames, and a list where the kernel was. A rule in its head forbids it to fetch anything.

# %%
#| export
@dataclass(frozen=True, repr=False)
class Recording:
    "Frames of a lab, evenly spaced along its timeline, with what was measured and changed; it needs no kernel to play."
    scene: dict[str, Any]  # what does not change: names, box, real examples
    steps: list[int]  # of the frames
    frames: list[dict[str, bytes]]  # by side; see `unpack_frame`
    rows: dict[int, dict[str, dict[str, Any]]]  # measures by step and side, at more steps than there are frames
    events: list[Event]
    text: str  # the lab's share string

    def __repr__(self) -> str:
        return f"Recording: {self.scene['title']}, {len(self.steps)} frames, steps {self.steps[0]} to {self.steps[-1]}"

    def dark(self, side: str = "A") -> list[set[int]]:
        "The modes that are dark, measured step by measured step."
        return [set(self.rows[step][side]["dark"]) for step in sorted(self.rows)]

    def measures(self, name: str, side: str = "A") -> list[float]:
        "One measure along the timeline: \"captured\", \"high_quality\", \"tv\", \"kl\", or \"loss D\"."
        return [self.rows[step][side][name] for step in sorted(self.rows)]

    def lit(self, side: str = "A") -> dict[int, set[int]]:
        "The modes that are lit, by measured step."
        every = set(range(self.scene["modes"]))
        return {step: every - dark for step, dark in zip(sorted(self.rows), self.dark(side))}

    def film(self) -> str:
        "All that the page needs, as JSON that may stand in a script."
        shots = [pack_frame({k: np.frombuffer(v, np.uint8) for k, v in shot.items()},
                      {"at": at, "last": self.steps[-1], "said": _event_text(self.events, at), "error": ""})
                 for at, shot in zip(self.steps, self.frames)]
        film = {"scene": self.scene, "steps": self.steps, "frames": [base64.b64encode(s).decode() for s in shots],
                "curves": base64.b64encode(render_curves(self.rows, self.events, self.scene["modes"])).decode()}
        return json.dumps(film, separators=(",", ":")).replace("</", "<\\/")

    def html(self) -> str:
        "The player as a piece of a page, with a still in it for where no script runs."
        still, film = self._strip, self.film()
        name = f"lab-{zlib.crc32(film.encode()):08x}"
        image = f'<img alt="{still.alt}" src="data:image/png;base64,{base64.b64encode(still.png).decode()}">'
        return (f'<style>{read_static("lab.css")}</style><div id="{name}">{image}</div>\n<script type="module">'
                f'{read_static("lab.js")}\nplay(document.getElementById("{name}"), {film});</script>')

    def save_html(self, path: str | Path) -> Path:
        "Write a page that scrubs and plays from a file, and may fetch nothing."
        rules = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
        head = (f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{rules}">'
                '<meta name="viewport" content="width=device-width, initial-scale=1">'
                f'<meta name="color-scheme" content="light dark"><title>{self.scene["title"]}</title>')
        atomic_write(path, f'<!DOCTYPE html><html lang="en"><head>{head}</head><body>{self.html()}</body></html>\n'.encode())
        return Path(path)

    def still(self, n: int = 4) -> Picture:
        "A film strip of at most `n` frames."
        chosen = sorted({round(i * (len(self.steps) - 1) / max(1, n - 1)) for i in range(n)})
        return plot_strip(self.scene, [(self.steps[i], self.frames[i]) for i in chosen])

    @functools.cached_property
    def _strip(self) -> Picture:
        return self.still()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        data, meta = self._strip._repr_mimebundle_()
        return {**data, "text/plain": repr(self), "text/html": self.html()}, meta


# %%
#| export
def _event_text(events: list[Event], at: int) -> str:
    "What was changed up to a step, in words."
    told = [f"{e.side} {e.name} = {e.value}, from step {e.step}" for e in events if e.step <= at]
    return "Changed: " + "; ".join(told[-3:]) if told else ""


# %%
#| export
def render_curves(rows: dict[int, dict[str, dict[str, Any]]],  # by step and side
                  events: list[Event], modes: int,
                  tasks: list = (),  # each mission's text, and its stages with whether they were seen
                  ) -> bytes:
    "Measures along the timeline, which modes were lit, and what was changed, for the page."
    at = sorted(rows)
    names = {side: [k for k in row if k != "dark"] for side, row in rows[at[-1]].items()}
    arrays = {"steps": np.array(at, "<u4")}
    for side, keys in names.items():
        arrays[side] = np.array([[rows[s][side].get(k) for k in keys] for s in at], "<f4")
        if modes <= 64:
            arrays[f"lit {side}"] = lit = np.ones((len(at), modes), np.uint8)
            for i, s in enumerate(at):
                lit[i, rows[s][side]["dark"]] = 0
    return pack_frame(arrays, {"names": names, "events": sorted({e.step for e in events}), "tasks": list(tasks)})


# %%
#| export
def plot_strip(scene: dict[str, Any], shots: list[tuple[int, dict[str, bytes]]]) -> Picture:
    "Stills in a row, one row a side: real as discs, generated as crosses."
    still = {side: unpack_frame(base64.b64decode(text))[0] for side, text in scene["real"].items()}
    figure, panels = axes(len(scene["sides"]), len(shots), size=(2.4, 2.6), squeeze=False)
    told = []
    for (step, shot), column in zip(shots, panels.T):
        for (side, data), ax in zip(shot.items(), column):
            arrays, note = unpack_frame(data)
            if scene["kind"] == "tiles":
                images = torch.from_numpy(arrays["tiles"].copy()).float() / 255
                image_grid(ax, images.squeeze(-1) if images.shape[-1] == 1 else images, 5)
            else:
                left, right, bottom, top = scene["box"][side]
                scale = np.array([right - left, top - bottom]) * 2
                middle = np.array([left + right, bottom + top]) / 2
                shown = ~np.isin(still[side]["mode"], note["without"])
                truth = arrays["codes"] if scene["line"] and "codes" in arrays else still[side]["real"][shown]
                points = (torch.from_numpy((p / 65535 - .5) * scale + middle) for p in (truth, arrays["fake"]))
                scatter(ax, *points, size=4)
                ax.set(xlim=(left, right), ylim=(bottom, top), aspect="auto")
                ax.set(xlabel=scene["axes"][0], ylabel=scene["axes"][1])
            ax.set_title(f"{scene['sides'][side]}, step {step}: {note['captured']:g} of {scene['modes']}", fontsize=8)
            told.append(f"{side} at step {step} shows {note['captured']:g} of {scene['modes']} modes")
    return Picture(figure, f"{scene['title']}. Real points are discs, generated ones crosses. {'; '.join(told)}")


# %%
#| export
def make_recording(lab: LabSession, frames: int) -> Recording:
    "At most so many frames, evenly spaced over the lab's snapshots and its end, with measures and events."
    here, known = lab.at, sorted({*lab.snapshots, lab.last})
    chosen = sorted({known[round(i * (len(known) - 1) / max(1, frames - 1))] for i in range(frames)})
    rows, shown, text = dict(lab.history), [], lab.to_string()
    for step in chosen:
        lab.scrub(step)
        shown.append({name: render_frame(side, lab.surface, lab.samples) for name, side in lab.sides.items()})
        rows[step] = {name: measures_row(side, lab.samples) for name, side in lab.sides.items()}
    lab.scrub(here)
    return Recording(render_scene(lab), chosen, shown, rows, list(lab.events), text)


# %% [markdown]
# ## The page's side
# The module is one file, written by hand. It begins with the inverse of `pack_frame`:

# %%
#| export
def read_static(name: str) -> str:
    "The text of a file that travels with the package."
    return (files("modelab.lab") / "static" / name).read_text(encoding="utf-8")


# %%
source = read_static("lab.js")
start = source.index("export function unpack")
print(source[start:source.index("const decode")])

# %%
film = lab.record(30)
assert "http" not in source and film.html().count("<script") == 1
film

# %% [markdown]
# ## Recap
# - Send numbers, not pictures; the page draws, follows the theme, and can replay them without a kernel.
# - Quantise over more than what is shown, or the border fills with points that are not there.
# - Ask the game by running it, not by a list of games.
#
# **For later.** Why is the box stored twice as wide? Which frames does a recording hold, and why those?
