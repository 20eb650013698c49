"""The lab in a real JupyterLab: frames shown, bytes a frame, training speed kept, how soon a click is answered.

    python benchmarks/lab.py                 # prints the figures and records them in benchmarks/lab.json

Beside it the same run drawn by matplotlib into an `ipywidgets.Image` by the same scheme: train for the time of a frame,
then draw. Needs JupyterLab, Playwright and Chromium. ipympl is measured where it is installed, else left out by name.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from playwright.sync_api import sync_playwright  # noqa: E402
from test_browser import CHROMIUM, Jupyter, Watched, book  # noqa: E402

from modelab.course import replace  # noqa: E402
from modelab.lab import Lab  # noqa: E402

OURS = "from modelab.lab import Lab\nlab = Lab('minimax', 'ring')\nlab.step(20)\nlab"
PLOT = """
import io, threading, time
import ipywidgets as w, torch
from matplotlib.figure import Figure
from modelab.lab import Lab
from modelab.view import surface
lab = Lab('minimax', 'ring'); side = lab.sides['A']; real = side.modes.sample(500, torch.Generator().manual_seed(0))
image, label, go = w.Image(format='png'), w.Label('0'), threading.Event()
play, step = w.Button(description='go'), w.Button(description='one')
play.on_click(lambda _: go.clear() if go.is_set() else go.set())
size = []
def draw():
    figure = Figure(figsize=(5, 5)); ax = figure.subplots(); fake = side.sample(500)[0]
    ax.imshow(surface(side, 'score')[0], extent=(-1.5, 1.5, -1.5, 1.5), origin='lower', cmap='Greys')
    ax.scatter(*real.T, s=6); ax.scatter(*fake.T, s=12, marker='x'); ax.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5))
    buffer = io.BytesIO(); figure.savefig(buffer, format='png'); image.value = buffer.getvalue()
    label.value = f'{lab.at} {len(image.value)}'
def one(_=None): wish.set()
wish = threading.Event(); step.on_click(one)
def work():
    while True:
        if go.is_set():
            end = time.perf_counter() + 1 / 30
            while time.perf_counter() < end: lab.step(1)
            draw()
        elif wish.wait(.001): wish.clear(); lab.step(1); draw()
threading.Thread(target=work, daemon=True).start()
for x, name in ((image, 'b-image'), (label, 'b-label')): x.add_class(name)
draw()
w.VBox([play, step, image, label])
"""
BARE = """
import time
from modelab.lab import Side
from modelab.minimax import Minimax
bare = Side(Minimax(), 'ring', seed=0, batch=256); bare.step(50)
start = time.perf_counter(); bare.step(400)
print('bare', 400 / (time.perf_counter() - start))
"""
CLICK = """async ([name, watch]) => {
  const button = [...document.querySelectorAll('button')].find((b) => b.textContent.trim() === name);
  const read = () => watch === 'lab' ? document.querySelector('.lab-picture').dataset.step
                                     : document.querySelector('.b-image').src;
  const before = read(), start = performance.now();
  button.click();
  while (read() === before && performance.now() - start < 5000) await new Promise((f) => setTimeout(f, 2));
  return performance.now() - start; }"""
WATCH = """() => { window.shown = 0; const image = document.querySelector('.b-image');
  new MutationObserver(() => window.shown++).observe(image, {attributes: true, attributeFilter: ['src']}); }"""


def bare_speed(watched: Watched) -> float:
    """Steps a second of a run that nobody watches, in the same kernel's process, as its cell printed it."""
    text = watched.page.locator(".jp-OutputArea-output pre", has_text="bare").first.inner_text()
    return float(text.split()[1])


def lab_figures(server: Jupyter, watched: Watched, seconds: float) -> dict:
    """Our widget: shown frames and steps a second, and milliseconds from click to answer."""
    server.open(watched, book(server, "ours.ipynb", BARE, OURS))
    assert server.run_all(watched)
    watched.at(20)
    bare, picture = bare_speed(watched), watched.picture()
    button = watched.page.locator(".modelab-lab").get_by_role("button", name="Play", exact=True)
    button.click()
    watched.page.wait_for_timeout(2000)
    read = "(c) => [Number(c.dataset.step), Number(c.dataset.painted), performance.now()]"
    first = watched.page.evaluate(read, picture.element_handle())
    watched.page.wait_for_timeout(1000 * seconds)
    last = watched.page.evaluate(read, picture.element_handle())
    watched.page.locator(".modelab-lab").get_by_role("button", name="Pause", exact=True).click()
    watched.page.wait_for_timeout(1000)
    clicks = [watched.page.evaluate(CLICK, ["Step", "lab"]) for _ in range(15)]
    took = (last[2] - first[2]) / 1000
    return figures(bare, (last[0] - first[0]) / took, (last[1] - first[1]) / took, clicks,
                   len(Lab("minimax", "ring").step(20).frame()))


def plot_figures(server: Jupyter, watched: Watched, seconds: float) -> dict:
    """The same run drawn by matplotlib into an Image widget."""
    server.open(watched, book(server, "plot.ipynb", BARE, PLOT))
    assert server.run_all(watched)
    watched.page.wait_for_selector(".b-image")
    bare = bare_speed(watched)
    watched.page.evaluate(WATCH)
    watched.page.get_by_role("button", name="go").click()
    watched.page.wait_for_timeout(2000)
    read = "() => [parseInt(document.querySelector('.b-label').textContent), window.shown, performance.now()]"
    first = watched.page.evaluate(read)
    watched.page.wait_for_timeout(1000 * seconds)
    last = watched.page.evaluate(read)
    watched.page.get_by_role("button", name="go").click()
    watched.page.wait_for_timeout(1000)
    clicks = [watched.page.evaluate(CLICK, ["one", "plot"]) for _ in range(15)]
    weight = int(watched.page.locator(".b-label").inner_text().split()[1])
    took = (last[2] - first[2]) / 1000
    return figures(bare, (last[0] - first[0]) / took, (last[1] - first[1]) / took, clicks, weight)


def figures(bare: float, steps: float, shown: float, clicks: list[float], weight: int) -> dict:
    """One row of the result."""
    return {"frames shown a second": round(shown, 1), "bytes a frame": weight, "speed kept": round(steps / bare, 2),
            "steps a second": round(steps), "click to answer, ms": round(statistics.median(clicks))}


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    result = {"what": "minimax on ring, MLP 2x128, batch 256; 500 real and 500 generated points, 64x64 surface, arrows"}
    with tempfile.TemporaryDirectory() as home, sync_playwright() as play:
        server = Jupyter(Path(home))
        context = play.chromium.launch_persistent_context(Path(home) / "profile", executable_path=CHROMIUM, headless=True,
                                                          viewport={"width": 1100, "height": 1000})
        try:
            for name, measure in (("lab", lab_figures), ("matplotlib in an Image", plot_figures)):
                watched = Watched(context)
                result[name] = measure(server, watched, args.seconds)
                watched.page.close()
        finally:
            context.close()
            server.close()
    if not importlib.util.find_spec("ipympl"):
        result["ipympl"] = "not installed here, not measured"
    result["measured"] = time.strftime("%Y-%m")
    print(json.dumps(result, indent=1))
    replace(args.out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
