"""The lab in a real JupyterLab: frames shown, bytes a frame, training speed kept, how soon a click is answered.

    python benchmarks/lab.py                 # prints the figures and records them in benchmarks/lab.json
    python benchmarks/lab.py --peers FOLDER  # with ipympl from there: pip install --no-deps --target FOLDER ipympl

Beside it the same run drawn by matplotlib into an `ipywidgets.Image`, and by ipympl, by the same scheme: train for the
time of a frame, then draw. Needs JupyterLab, Playwright and Chromium; a peer that is not installed is left out by name.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from playwright.sync_api import sync_playwright  # noqa: E402
from test_browser import CHROMIUM, Jupyter, Watched, book  # noqa: E402

from modelab import Lab  # noqa: E402
from modelab.core.files import atomic_write  # noqa: E402

OURS = "from modelab import Lab\nlab = Lab('minimax', 'ring')\nlab.step(20)\nlab"
PLOT = """
import io, threading, time
import ipywidgets as w, torch
from modelab import Lab
from modelab.lab.view import critic_surface
lab = Lab('minimax', 'ring'); side = lab.sides['A']; real = side.modes.sample(500, torch.Generator().manual_seed(0))
label, go, wish, size = w.Label('0'), threading.Event(), threading.Event(), [0]
play, step = w.Button(description='go'), w.Button(description='one')
play.on_click(lambda _: go.clear() if go.is_set() else go.set())
step.on_click(lambda _: wish.set())
def paint(figure):
    figure.clear(); ax = figure.subplots(); fake = side.sample(500)[0]
    ax.imshow(critic_surface(side, 'score')[0], extent=(-1.5, 1.5, -1.5, 1.5), origin='lower', cmap='Greys')
    ax.scatter(*real.T, s=6); ax.scatter(*fake.T, s=12, marker='x'); ax.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5))
def work():
    while True:
        if go.is_set():
            end = time.perf_counter() + 1 / 30
            while time.perf_counter() < end: lab.step(1)
            draw(); label.value = f'{lab.at} {size[0]}'
        elif wish.wait(.001): wish.clear(); lab.step(1); draw(); label.value = f'{lab.at} {size[0]}'
label.add_class('b-label'); play.add_class('b-go')
"""
IMAGE = PLOT + """
from matplotlib.figure import Figure
image, figure = w.Image(format='png'), Figure(figsize=(5, 5)); image.add_class('b-image')
def draw():
    paint(figure); buffer = io.BytesIO(); figure.savefig(buffer, format='png')
    image.value = buffer.getvalue(); size[0] = len(image.value)
draw()
threading.Thread(target=work, daemon=True).start()
w.VBox([play, step, image, label])
"""
IPYMPL = PLOT + """
%matplotlib widget
from matplotlib import pyplot as plt
plt.ioff(); figure = plt.figure(figsize=(5, 5)); canvas = figure.canvas; canvas.add_class('b-image'); plt.ion()
send = canvas.send_binary
def weigh(data): size[0] = len(data); send(data)
canvas.send_binary = weigh
def draw(): paint(figure); canvas.draw()
paint(figure)
threading.Thread(target=work, daemon=True).start()
w.VBox([play, step, canvas, label])
"""
BARE = """
import time
from modelab.lab.side import Side
from modelab.methods.minimax import Minimax
bare = Side(Minimax(), 'ring', seed=0, batch=256); bare.step(50)
start = time.perf_counter(); bare.step(1600)
print('bare', 1600 / (time.perf_counter() - start))
"""
READ = """() => {
  window.read = (watch) => watch === 'lab' ? Number(document.querySelector('.lab-picture').dataset.painted) : window.shown;
  window.shown = 0;
  const image = document.querySelector('img.b-image');
  if (image) new MutationObserver(() => window.shown++).observe(image, {attributes: true, attributeFilter: ['src']});
  const canvas = document.querySelector('.b-image canvas'), draw = CanvasRenderingContext2D.prototype.drawImage;
  if (canvas) CanvasRenderingContext2D.prototype.drawImage = function (...all) {
    if (this.canvas === canvas) window.shown++;
    return draw.apply(this, all);
  };
}"""
CLICK = """async ([name, watch]) => {
  const button = [...document.querySelectorAll('button')].find((b) => b.textContent.trim() === name);
  const before = read(watch), start = performance.now();
  button.click();
  while (read(watch) === before && performance.now() - start < 5000) await new Promise((f) => setTimeout(f, 2));
  return performance.now() - start; }"""


def bare_speed(watched: Watched) -> float:
    """Steps a second of a run that nobody watches, in the same kernel's process, as its cell printed it."""
    text = watched.page.locator(".jp-OutputArea-output pre", has_text="bare").first.inner_text()
    return float(text.split()[1])


def lab_figures(server: Jupyter, watched: Watched, seconds: float) -> dict:
    """Our widget."""
    server.open(watched, book(server, "ours.ipynb", BARE, OURS))
    assert server.run_all(watched)
    watched.at(20)
    buttons = watched.page.locator(".modelab-lab")
    read = "() => [Number(document.querySelector('.lab-picture').dataset.step), read('lab'), performance.now()]"
    press = [lambda name=name: buttons.get_by_role("button", name=name, exact=True).click() for name in ("Play", "Pause")]
    weight = len(Lab("minimax", "ring").step(20).frame())
    return measure(watched, seconds, read, press, ["Step", "lab"], lambda: weight)


def plot_figures(cells: str, server: Jupyter, watched: Watched, seconds: float) -> dict:
    """The same run drawn by matplotlib."""
    server.open(watched, book(server, "plot.ipynb", BARE, cells))
    assert server.run_all(watched)
    watched.page.wait_for_selector(".b-image")
    watched.page.wait_for_timeout(1000)
    label, go = watched.page.locator(".b-label"), watched.page.locator("button.b-go")
    read = "() => [parseInt(document.querySelector('.b-label').textContent), read('plot'), performance.now()]"
    return measure(watched, seconds, read, [go.click, go.click], ["one", "plot"], lambda: int(label.inner_text().split()[1]))


def measure(watched: Watched, seconds: float, read: str, press: list, click: list[str], weight: Callable) -> dict:
    """Play for so many seconds, pause, then click: one row of the result."""
    page, bare = watched.page, bare_speed(watched)
    page.evaluate(READ)
    press[0]()
    page.wait_for_timeout(2000)
    first = page.evaluate(read)
    page.wait_for_timeout(1000 * seconds)
    last = page.evaluate(read)
    press[1]()
    page.wait_for_timeout(1000)
    clicks = [page.evaluate(CLICK, click) for _ in range(15)]
    took = (last[2] - first[2]) / 1000
    return figures(bare, (last[0] - first[0]) / took, (last[1] - first[1]) / took, clicks, weight())


def figures(bare: float, steps: float, shown: float, clicks: list[float], weight: int) -> dict:
    """One row of the result."""
    return {"frames shown a second": round(shown, 1), "bytes a frame": weight, "speed kept": round(steps / bare, 2),
            "steps a second": round(steps), "click to answer, ms": round(statistics.median(clicks))}


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3, help="of which the medians are recorded")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--peers", type=Path, help="a folder into which ipympl was installed")
    args = parser.parse_args()
    result = {"what": "minimax on ring, MLP 2x128, batch 256; 500 real and 500 generated points, 64x64 surface, arrows; "
                      f"medians of {args.rounds} rounds"}
    ways = {"lab": lab_figures, "matplotlib in an Image": functools.partial(plot_figures, IMAGE),
            "ipympl": functools.partial(plot_figures, IPYMPL)}
    if not (args.peers and (args.peers / "ipympl").is_dir() or importlib.util.find_spec("ipympl")):
        del ways["ipympl"]
        result["ipympl"] = "not installed here, not measured"
    with tempfile.TemporaryDirectory() as home, sync_playwright() as play:
        server = Jupyter(Path(home), extra=args.peers)
        context = play.chromium.launch_persistent_context(Path(home) / "profile", executable_path=CHROMIUM, headless=True,
                                                          viewport={"width": 1100, "height": 1000})
        try:
            rows: dict[str, list[dict]] = {name: [] for name in ways}
            for _ in range(args.rounds):
                for name, way in ways.items():
                    watched = Watched(context)
                    rows[name].append(way(server, watched, args.seconds))
                    watched.page.close()
            result |= {name: {k: statistics.median(row[k] for row in all_) for k in all_[0]} for name, all_ in rows.items()}
        finally:
            context.close()
            server.close()
    result["measured"] = time.strftime("%Y-%m")
    print(json.dumps(result, indent=1))
    atomic_write(args.out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
