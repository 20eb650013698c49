# %% [markdown]
# # Pictures and films
# > How are the pictures of the course drawn?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How are the pictures of the course drawn? |
# | **You will be able to** | read and change this part of the library |
# | **Needs** | nothing |
# | **Time** | seconds |

# %%
#| default_exp core.plotting

# %%
#| export
"Colours, figures, scatter plots, image grids and films in the style of the course."
from __future__ import annotations

import functools
import io
import math
from collections.abc import Sequence

# %%
#| export
REAL, FAKE, MISSING, ACCENT = "#0072B2", "#D55E00", "#8C8C8C", "#009E73"


# %%
#| export
def axes(rows: int = 1, columns: int = 1, *, size: tuple[float, float] = (3.4, 3.0), **kw):
    "A figure and its axes in the house style: `size` is width and height of one panel in inches."
    import seaborn as sns
    from matplotlib.figure import Figure
    with sns.axes_style("ticks"), sns.plotting_context("notebook", font_scale=.75):
        figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained", dpi=110)
        return figure, figure.subplots(rows, columns, **kw)


# %%
#| export
class Picture:
    "A still picture with a text that says the same to whoever cannot see it."
    def __init__(self, figure, alt: str):
        self.alt, buffer = alt, io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
        self.png = buffer.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"image/png": self.png, "text/plain": self.alt}, {"image/png": {"alt": self.alt}}


# %%
#| export
Picture = Picture


# %%
#| export
def scatter(ax, real=None, fake=None, *, limit: float | None = None, size: float = 6):
    "Draw 2-D points: real as blue discs, generated as orange crosses."
    if real is not None:
        ax.scatter(*real.detach().cpu().T, s=size, c=REAL, alpha=.5, linewidths=0, label="real", rasterized=True)
    if fake is not None:
        ax.scatter(*fake.detach().cpu().T, s=size * 2, c=FAKE, alpha=.6, marker="x", linewidths=.7,
                   label="generated", rasterized=True)
    if limit is not None:
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit))
    ax.set_aspect("equal")
    ax.set(xlabel="x₁", ylabel="x₂")


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
#| export
class Film:
    "Recorded pictures with a slider: a live widget in a running notebook, a strip of stills elsewhere."
    def __init__(self, frames: Sequence[Picture],  # at least one
                 labels: Sequence[str],  # one per frame
                 ):
        if any(not isinstance(v, (list, tuple)) for v in (frames, labels)) or any(not hasattr(f, "png") for f in frames):
            raise TypeError(f"frames, labels: expected lists of pictures and texts, got {frames!r:.40} and {labels!r:.40}")
        if not frames or len(frames) != len(labels):
            raise ValueError(f"frames, labels: expected as many labels as frames, got {len(labels)} and {len(frames)}")
        self.frames, self.labels = list(frames), list(labels)

    @functools.cached_property
    def widget(self):
        "The widget: image, label, play button and slider."
        import ipywidgets as w
        last = len(self.frames) - 1
        natural = w.Layout(max_width="100%", align_self="flex-start")
        image = w.Image(value=self.frames[0].png, format="png", layout=natural)
        label = w.Label(self.labels[0])
        slider = w.IntSlider(0, 0, last, description="frame", readout=False)
        play = w.Play(value=0, min=0, max=last, interval=250)
        w.jslink((play, "value"), (slider, "value"))

        def turn(change):
            image.value, label.value = self.frames[change["new"]].png, self.labels[change["new"]]
        slider.observe(turn, "value")
        box = w.VBox([image, w.HBox([play, slider, label])])
        box.slider, box.image, box.label = slider, image, label
        return box

    def still(self, n: int = 3) -> Picture:
        "The film strip: `n` frames from first to last."
        from matplotlib.image import imread
        n = min(n, len(self.frames))
        chosen = [round(i * (len(self.frames) - 1) / max(1, n - 1)) for i in range(n)]
        sheets = [imread(io.BytesIO(self.frames[i].png)) for i in chosen]
        height, width = sheets[0].shape[:2]
        figure, panels = axes(1, n, size=(min(4.0, 9.6 / n), min(4.0, 9.6 / n) * height / width + .2), squeeze=False)
        for ax, i, sheet in zip(panels[0], chosen, sheets):
            ax.imshow(sheet)
            ax.set_title(self.labels[i])
            ax.set_axis_off()
        return Picture(figure, "; ".join(f"{self.labels[i]}: {self.frames[i].alt}" for i in chosen))

    def _repr_mimebundle_(self, include=None, exclude=None):
        data, meta = self.still()._repr_mimebundle_()
        live = self.widget._repr_mimebundle_() or {}
        return {**(live[0] if isinstance(live, tuple) else live), **data}, meta
