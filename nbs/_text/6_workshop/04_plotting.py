# %% [markdown]
# # Figures and films
# > How are the figures of the course drawn, so that they can be read without colours, without a kernel and with a screen reader?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How are the figures of the course drawn? |
# | **You will be able to** | draw a figure in the style of the course with a text for those who cannot see it; make a film of a training |
# | **Needs** | nothing |
# | **Time** | seconds |
#
# This chapter is for contributors who draw a figure for a chapter, a report or the lab. The functions are in `modelab.core.plotting`:
#
# | Call | What it does |
# |---|---|
# | `figure, ax = axes(rows, columns)` | makes an empty figure in the style of the course |
# | `Picture(figure, "what is seen")` | turns a figure into a PNG with a text; the last line of a cell shows it |
# | `scatter(ax, real, fake)` | draws real and generated points |
# | `image_grid(ax, images)` | draws many pictures as one sheet |
# | `interval_plot(ax, {"name": interval})` | draws one line for each interval |
# | `Film(pictures, labels)` | shows pictures one after another, with a slider |
#
# matplotlib and seaborn are imported inside the functions, since importing the library must not load them.

# %%
#| default_exp core.plotting

# %%
#| export
"Colours, figures, scatter plots, image grids, intervals and films in the style of the course."
from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

# %%
from modelab.core.statistics import interval
from modelab.course.notebooks import patch

# %% [markdown]
# ## Colours
# People who cannot separate red from green can separate blue from orange-red (Okabe, Ito 2008). Real data are blue discs, and generated data are orange crosses. So the form shows the difference as well. Grey (`MISSING`) and green (`ACCENT`) are for everything else.

# %%
#| export
REAL, FAKE, MISSING, ACCENT = "#0072B2", "#D55E00", "#8C8C8C", "#009E73"

# %% [markdown]
# ## A figure
# `axes` makes a figure without pyplot. So nobody has to close it, and it can be drawn in any thread.

# %%
#| export
def axes(rows: int = 1, columns: int = 1, *, size: tuple[float, float] = (3.4, 3.0), **kw):
    "A figure and its axes in the house style: `size` is width and height of one panel in inches."
    import seaborn as sns
    from matplotlib.figure import Figure
    with sns.axes_style("ticks"), sns.plotting_context("notebook", font_scale=.75):
        figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained", dpi=110)
        return figure, figure.subplots(rows, columns, **kw)

# %% [markdown]
# A chapter shows a `Picture`: the figure as PNG, with a text that says what is seen. The website of the course uses this text as the alternative text of the image.

# %%
#| export
class Picture:
    "A still picture with a text that says the same to whoever cannot see it."
    def __init__(self, figure, alt: str):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
        self.alt, self.png = alt, buffer.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"image/png": self.png, "text/plain": self.alt}, {"image/png": {"alt": self.alt}}

# %% [markdown]
# `scatter` draws points in the plane, real and generated ones, in the colours and forms of the course:

# %%
#| export
def scatter(ax, real=None, fake=None, *, limit: float | None = None, size: float = 6):
    "Draw 2-D points: real as blue discs, generated as orange crosses."
    if real is not None:
        ax.scatter(*real.detach().cpu().T, s=size, c=REAL, alpha=.5, linewidths=0,
                   label="real", rasterized=True)
    if fake is not None:
        ax.scatter(*fake.detach().cpu().T, s=size * 2, c=FAKE, alpha=.6, marker="x", linewidths=.7,
                   label="generated", rasterized=True)
    if limit is not None:
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit))
    ax.set_aspect("equal")
    ax.set(xlabel="x₁", ylabel="x₂")

# %%
import torch

g = torch.Generator().manual_seed(0)
figure, ax = axes()
scatter(ax, torch.randn(200, 2, generator=g), torch.randn(200, 2, generator=g) / 2, limit=3)
ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(.5, 1), ncols=2, markerscale=2)
Picture(figure, "200 real points and 200 generated ones that are half as wide (seed 0)")

# %% [markdown]
# `image_grid` draws many pictures as one sheet, with a white line between them:

# %%
#| export
def image_grid(ax, images, columns: int = 10, title: str = ""):
    "Draw images `(n, height, width[, 3])` with values in [0, 1] as one sheet, `columns` to a row."
    images = images.detach().cpu()
    n, height, width = images.shape[:3]
    rows = math.ceil(n / columns)
    sheet = images.new_ones(rows * (height + 1), columns * (width + 1), *images.shape[3:])
    for i, image in enumerate(images):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        sheet[top:top + height, left:left + width] = image
    ax.imshow(sheet.clamp(0, 1).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_title(title)
    ax.set_axis_off()

# %%
from modelab.data.digits import digits

figure, ax = axes(size=(4, 1))
some = digits()
image_grid(ax, some.picture(some.sample(20, torch.Generator().manual_seed(0))))
Picture(figure, "Twenty handwritten digits in two rows (seed 0)")

# %% [markdown]
# `interval_plot` shows a table of intervals: a line for each name, a mark at the mean, and a bar over the interval. A plain number is a mark without a bar. Several calls on the same axes, each with its own `shift`, compare several things in each line.

# %%
#| export
def interval_plot(ax, rows: Mapping[str, Any],  # intervals or numbers; the first name is on top
                  *, color: str = REAL, mark: str = "o", shift: float = 0., label: str = ""):
    "Draw intervals as marks with bars, one line for each name; `shift` moves the marks down."
    places = [place + shift for place in range(len(rows))]
    ends = [[getattr(v, name, v) for v in rows.values()] for name in ("low", "mean", "high")]
    ax.hlines(places, ends[0], ends[2], color=color, lw=1.4)
    ax.plot(ends[1], places, mark, c=color, ms=5, label=label or None)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - .4, -.6)

# %%
seeds = torch.randn(2, 8, generator=g) + torch.tensor([[1.], [2.]])
figure, ax = axes(size=(4, 1.4))
interval_plot(ax, {"first": interval(seeds[0]), "second": interval(seeds[1]), "known": 2.})
ax.set(xlabel="mean of eight normal numbers")
Picture(figure, "Two intervals over eight seeds, and a number without one, each in its own line")

# %% [markdown]
# ## A film
# A film shows recorded pictures one after another. In a running notebook it is a widget with a slider and a play button. On a page without a kernel it is a strip of stills.

# %%
#| export
class Film:
    "Recorded pictures: a slider in a running notebook, a strip of stills elsewhere."
    def __init__(self, frames: Sequence[Picture],  # at least one
                 labels: Sequence[str],  # one per frame
                 ):
        lists = all(isinstance(v, (list, tuple)) for v in (frames, labels))
        if not lists or not all(hasattr(frame, "png") for frame in frames):
            raise TypeError("frames, labels: expected lists of pictures and texts, "
                            f"got {frames!r:.40} and {labels!r:.40}")
        if not frames or len(frames) != len(labels):
            raise ValueError("frames, labels: expected as many labels as frames, "
                             f"got {len(labels)} and {len(frames)}")
        self.frames, self.labels = list(frames), list(labels)

    def _repr_mimebundle_(self, include=None, exclude=None):
        data, meta = self.still()._repr_mimebundle_()
        return {**widget_view(self.widget), **data}, meta

# %% [markdown]
# A notebook finds the widget of an output by a type of its own and the number of its model. `widget_view` makes this entry. ipywidgets 8 can make it too, but ipywidgets 7, which Colab has, cannot.

# %%
#| export
def widget_view(widget) -> dict:
    "The part of an output that shows an ipywidgets widget where a kernel runs."
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {"application/vnd.jupyter.widget-view+json": view}

# %% [markdown]
# The property `widget` makes the widget when it is needed for the first time. The play button moves the slider in the browser, and each move of the slider asks the kernel for a picture.

# %%
#| export
@patch(as_prop=True)
def widget(self: Film):
    "The widget: image, label, play button and slider; made at first use."
    if not hasattr(self, "_widget"):
        self._widget = _film_widget(self.frames, self.labels)
    return self._widget

# %% [markdown]
# `_film_widget` makes a box with a picture, a play button, a slider and a label. The box keeps three of them as attributes, so that a test can move the slider.

# %%
#| export
def _film_widget(frames: Sequence[Picture], labels: Sequence[str]):
    "A box with image, play button, slider and label, which carries them as attributes."
    import ipywidgets as w
    last = len(frames) - 1
    natural = w.Layout(max_width="100%", align_self="flex-start")
    image, label = w.Image(value=frames[0].png, format="png", layout=natural), w.Label(labels[0])
    slider = w.IntSlider(0, 0, last, description="frame", readout=False)
    play = w.Play(value=0, min=0, max=last, interval=250)
    w.jslink((play, "value"), (slider, "value"))

    def turn(change):
        image.value, label.value = frames[change["new"]].png, labels[change["new"]]
    slider.observe(turn, "value")
    box = w.VBox([image, w.HBox([play, slider, label])])
    box.slider, box.image, box.label = slider, image, label
    return box

# %% [markdown]
# `still` makes the strip. It shows the first frame, the last one, and some between them.

# %%
#| export
@patch
def still(self: Film, n: int = 3) -> Picture:
    "The film strip: `n` frames from first to last."
    from matplotlib.image import imread
    n = min(n, len(self.frames))
    chosen = [round(i * (len(self.frames) - 1) / max(1, n - 1)) for i in range(n)]
    sheets = [imread(io.BytesIO(self.frames[i].png)) for i in chosen]
    height, width = sheets[0].shape[:2]
    side = min(4.0, 9.6 / n)
    figure, panels = axes(1, n, size=(side, side * height / width + .4), squeeze=False)
    for ax, i, sheet in zip(panels[0], chosen, sheets):
        ax.imshow(sheet)
        ax.set_title(self.labels[i])
        ax.set_axis_off()
    return Picture(figure, "; ".join(f"{self.labels[i]}: {self.frames[i].alt}" for i in chosen))

# %% [markdown]
# **Check.** The film has six figures. Each shows eight means of *n* draws, and *n* doubles from figure to figure. In the stored page three of them are seen. The last cell moves the slider: picture and label change.

# %%
def spread(n: int) -> Picture:
    "How eight means of `n` draws each scatter around the truth."
    figure, ax = axes(size=(4, 1.4))
    means = torch.randn(8, n, generator=torch.Generator().manual_seed(n)).mean(1)
    ax.plot(means, torch.zeros(8), "o", c=REAL)
    ax.set(xlim=(-1.5, 1.5), yticks=[], xlabel="mean of n draws (truth: 0)")
    return Picture(figure, f"Eight means of {n} draws within ±{means.abs().max():.2f}")

# %%
sizes = [2, 4, 8, 16, 32, 64]
film = Film([spread(n) for n in sizes], [f"n = {n}" for n in sizes])
film

# %%
film.widget.slider.value = 5
assert film.widget.image.value == film.frames[5].png and film.widget.label.value == "n = 64"
film.widget.slider.value = 0

# %% [markdown]
# ## Recap
# - A figure comes with a text. `Picture` keeps the PNG and the text, and nothing of matplotlib.
# - Real and generated data differ in colour and in form.
# - A `Film` is a widget where a kernel runs, and a strip of stills elsewhere.
#
# ## References
# - Okabe, Ito 2008, *Color Universal Design (CUD): How to make figures and presentations that are friendly to colorblind people*.
