"""The lab in a real browser: in JupyterLab and as a page without a kernel. Skipped where there is no Chromium."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install playwright")
BROWSER = {"has_touch": True, "viewport": {"width": 1100, "height": 1000}}
WAIT = 60_000
COLOURS = """(canvas) => {
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data, found = new Set();
  for (let i = 0; i < pixels.length; i += 4) found.add((pixels[i] << 16) + (pixels[i + 1] << 8) + pixels[i + 2]);
  return found.size; }"""
INK = """(canvas) => {
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = 0;
  for (let i = 0; i < pixels.length; i += 4) sum = (sum * 31 + pixels[i] + 3 * pixels[i + 1] + 7 * pixels[i + 2]) % 1e9;
  return sum; }"""


class Watched:
    """A page that remembers its requests and its errors."""

    def __init__(self, context):
        self.page, self.outside, self.errors = context.new_page(), [], []
        self.page.set_default_timeout(WAIT)
        self.page.on("request", lambda r: self.outside.append(r.url) if not self.local(r.url) else None)
        self.page.on("pageerror", lambda error: self.errors.append(error.stack) if self.ours(error.stack) else None)

    @staticmethod
    def local(url: str) -> bool:
        return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "file:"))

    @staticmethod
    def ours(stack: str) -> bool:
        return "/static/lab/" not in stack  # JupyterLab's own bundle complains now and then

    def step(self, side: str = "A") -> int:
        return int(self.page.locator(f".lab-picture[data-side={side}]").first.get_attribute("data-step"))

    def until(self, what: str, *args) -> None:
        self.page.wait_for_function(what, arg=args[0] if args else None, timeout=WAIT)

    def at(self, step: int, side: str = "A") -> None:
        self.until("([side, step]) => document.querySelector(`.lab-picture[data-side=${side}]`)?.dataset.step == step",
                   [side, step])

    def picture(self, side: str = "A"):
        return self.page.locator(f".lab-picture[data-side={side}]").first


@pytest.fixture
def watched(chromium):
    """A fresh page; afterwards nothing may have been fetched from elsewhere and nothing may have failed."""
    watched = Watched(chromium)
    yield watched
    watched.page.close()
    assert not watched.outside and not watched.errors


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """A saved recording of two games."""
    from modelab import Lab
    lab = Lab("minimax", "ring", {"name": "minimax", "saturating": True}, batch=32, samples=100)
    return lab.record(96).save_html(tmp_path_factory.mktemp("recording") / "x.html")


def test_a_saved_recording_scrubs_and_plays_without_kernel_or_network(watched, recording):
    page, requested = watched.page, []
    page.on("request", lambda r: requested.append(r.url))
    page.goto(recording.as_uri())
    watched.at(0)
    before = page.evaluate(INK, watched.picture().element_handle())
    assert page.evaluate(COLOURS, watched.picture().element_handle()) > 50
    page.locator(".lab-slider").focus()
    page.keyboard.press("ArrowRight")
    watched.at(16)
    page.keyboard.press("End")
    watched.at(96, "B")
    assert page.evaluate(INK, watched.picture().element_handle()) != before
    assert "step 96" in watched.picture("B").get_attribute("aria-label")
    page.keyboard.press("Home")
    watched.at(0)
    page.get_by_role("button", name="Play").press("Enter")
    watched.at(96)
    page.locator(".lab-slider").fill("50")
    watched.at(48)
    page.get_by_role("button", name="Back").tap()
    watched.at(32)
    page.get_by_role("button", name="Forward").tap()
    watched.at(48)
    past = page.locator(".lab-past").bounding_box()
    page.touchscreen.tap(past["x"] + past["width"] - 10, past["y"] + past["height"] / 2)  # the modes' timeline scrubs too
    watched.at(96)
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    sizes = page.evaluate("() => [...document.querySelectorAll('.lab button, .lab-slider')].map((b) => b.getBoundingClientRect().height).filter(Boolean)")
    assert min(sizes) >= 26 and watched.picture().bounding_box()["width"] > 300  # for a thumb, and to be seen
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("() => getComputedStyle(document.querySelector('.lab')).color === 'rgb(255, 255, 255)'")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1100, "height": 1000})
    assert requested == [recording.as_uri()]


def test_an_exported_chapter_plays(watched, recording, tmp_path):
    exporters = pytest.importorskip("nbconvert", reason="nbconvert is not installed here")
    player = new_output("execute_result", {"text/html": recording.read_text(), "text/plain": "a recording"}, execution_count=1)
    nb = new_notebook(cells=[new_code_cell("recording", execution_count=1, outputs=[player])])
    bare = exporters.HTMLExporter(mathjax_url="", require_js_url="", jquery_url="", mermaid_js_url="")
    (tmp_path / "chapter.html").write_text(bare.from_notebook_node(nb)[0])
    watched.page.goto((tmp_path / "chapter.html").as_uri())
    watched.at(0)
    watched.page.locator(".lab-slider").focus()
    watched.page.keyboard.press("End")
    watched.at(96)


class Jupyter:
    """JupyterLab on a free port with settings of its own."""

    def __init__(self, home: Path, theme: str = "JupyterLab Light", extra: Path | None = None):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.token, self.root, places = secrets.token_hex(8), home / "root", {}
        self.root.mkdir()
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR",
                     "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR"):
            places[name] = str(home / name.lower())
        for plugin, setting in (("notification", {"fetchNews": "false", "checkForUpdates": False}),
                                ("themes", {"theme": theme})):
            folder = home / "jupyterlab_settings_dir/@jupyterlab/apputils-extension"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{plugin}.jupyterlab-settings").write_text(json.dumps(setting))
        root = Path(__file__).resolve().parent.parent
        env = {**os.environ, **places, "MODELAB_FAST": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
        if extra:  # a folder with further packages and their part of the page
            env |= {"PYTHONPATH": f"{root}:{extra.resolve()}", "JUPYTER_PATH": str(extra.resolve() / "share/jupyter")}
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
                   f"--port={self.port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}",
                   f"--ServerApp.root_dir={self.root}", "--expose-app-in-browser", "--LabApp.extension_manager=readonly"]
        self.log = open(home / "log", "w+")
        self.process = subprocess.Popen(command, cwd=home, env=env, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT)
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/status?token={self.token}", timeout=5).close()
                return
            except OSError:
                time.sleep(.2)
        raise AssertionError("JupyterLab did not start")

    def open(self, watched: Watched, name: str) -> None:
        """Open a notebook and wait for its kernel."""
        watched.page.evaluate("(path) => { jupyterapp.commands.execute('docmanager:open', {path}) }", name)
        watched.until("(path) => { const w = jupyterapp.shell.currentWidget; return w?.context?.path === path && "
                      "w.context.isReady && w.sessionContext?.session?.kernel?.status === 'idle' }", name)

    def clear(self, watched: Watched) -> None:
        """End all kernels and close all notebooks, without a question."""
        watched.page.evaluate("""async () => {
            for (const widget of [...jupyterapp.shell.widgets('main')]) {
              await widget.context?.save();
              await widget.sessionContext?.shutdown();
              widget.dispose(); } }""")

    def run_all(self, watched: Watched) -> bool:
        """Run all cells; whether every one succeeded."""
        return watched.page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory):
    """A running JupyterLab."""
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed here")
    server = Jupyter(tmp_path_factory.mktemp("jupyter"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def page(chromium, jupyter):
    """One page for all tests in JupyterLab: loading it takes longer than most of them."""
    watched = Watched(chromium)
    watched.page.goto(f"http://127.0.0.1:{jupyter.port}/lab?token={jupyter.token}&reset")
    watched.until("() => window.jupyterapp?.shell.isVisible && jupyterapp.restored")
    watched.page.evaluate("() => jupyterapp.restored.then(() => null)")
    yield watched
    watched.page.close()


@pytest.fixture
def inside(page, jupyter):
    """That page without a notebook; afterwards nothing may have been fetched from elsewhere and nothing may have failed."""
    yield page
    jupyter.clear(page)
    outside, errors = page.outside[:], page.errors[:]
    page.outside.clear(), page.errors.clear()
    assert not outside and not errors


def book(server: Jupyter, name: str, *cells: str) -> str:
    """A notebook of code cells in the server's folder."""
    nb = new_notebook(cells=[new_code_cell(c) for c in cells],
                      metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}})
    nbformat.write(nb, server.root / name)
    return name


LAB = ("from modelab import Lab\n"
       "lab = Lab({'name': 'minimax', 'width': 32}, 'ring', batch=64, samples=100)\nlab.step(20)\nlab")


def button(watched, name):
    return watched.page.locator(".modelab-lab").get_by_role("button", name=name, exact=True)


def test_the_lab_in_jupyterlab(inside, jupyter):
    jupyter.open(inside, book(jupyter, "lab.ipynb", LAB))
    assert jupyter.run_all(inside)
    page, picture = inside.page, inside.picture()
    inside.at(20)
    before = page.evaluate(INK, picture.element_handle())
    button(inside, "Step").click()
    inside.at(21)
    assert page.evaluate(INK, picture.element_handle()) != before
    button(inside, "n steps").click()
    inside.at(31)
    button(inside, "Play").click()
    inside.until("() => document.querySelector('.lab-picture').dataset.step > 60")
    button(inside, "Pause").click()
    button(inside, "Play").wait_for()
    page.wait_for_timeout(300)
    step = inside.step()
    page.wait_for_timeout(500)
    assert inside.step() == step and int(picture.get_attribute("data-painted")) > 4
    page.locator(".lab-slider").fill("33")
    inside.at(33)
    page.locator(".lab-modes button").first.click(modifiers=["Shift"])
    inside.until("() => document.querySelector('.lab-modes button.out')?.title.endsWith('left out of the data')")
    page.locator(".lab-modes button").first.click(modifiers=["Shift"])
    inside.until("() => !document.querySelector('.lab-modes button.out')")
    page.locator(".lab-modes button").first.click()
    inside.until("() => document.querySelector('.lab-status').textContent.startsWith('Mode 0 is')")
    page.get_by_label("versus").select_option("minimax")
    inside.at(0, "B")
    button(inside, "G only").click()
    inside.at(1, "B")
    assert page.locator(".lab-stage").count() == 2
    score = page.evaluate(INK, picture.element_handle())
    page.get_by_label("surface of D").select_option("gradient")
    inside.until(f"(canvas) => ({INK})(canvas) !== {score}", picture.element_handle())
    # another theme: the picture follows
    light = page.evaluate(INK, picture.element_handle())
    page.evaluate("() => jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    inside.until("() => document.body.dataset.jpThemeLight === 'false'")
    inside.until(f"(canvas) => ({INK})(canvas) !== {light}", picture.element_handle())
    page.evaluate("() => jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")


def test_the_lab_is_accessible_in_both_themes_and_on_a_phone(inside, jupyter):
    """Names, roles and contrast by axe-core; nothing sticks out at the right of a narrow page."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed here").Axe()
    jupyter.open(inside, book(jupyter, "axe.ipynb", LAB))
    assert jupyter.run_all(inside)
    page = inside.page
    inside.at(20)
    page.get_by_label("versus").select_option("minimax")
    inside.at(0, "B")
    page.evaluate("() => jupyterapp.shell.collapseLeft()")
    for theme in ("Dark", "Light"):
        page.evaluate("(theme) => jupyterapp.commands.execute('apputils:change-theme', {theme})", f"JupyterLab {theme}")
        inside.until(f"() => document.body.dataset.jpThemeLight === '{str(theme == 'Light').lower()}'")
        for width in (400, 1100):
            page.set_viewport_size({"width": width, "height": 1000})
            inside.until("""(width) => { const lab = document.querySelector('.modelab-lab'), right = lab.getBoundingClientRect().right;
                return right <= width && lab.scrollWidth <= lab.clientWidth
                    && [...lab.querySelectorAll('*')].every(part => part.getBoundingClientRect().right <= right + 1) }""", width)
            found = axe.run(page, context=".modelab-lab").response["violations"]
            assert not [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")]


def test_drawing_with_pointer_and_with_keys(inside, jupyter):
    jupyter.open(inside, book(jupyter, "draw.ipynb", LAB))
    assert jupyter.run_all(inside)
    page, picture = inside.page, inside.picture()
    inside.at(20)
    page.get_by_role("button", name="Draw your own data").click()
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    for press, x, y in ((page.mouse.click, .3, .3), (page.touchscreen.tap, .7, .3), (page.mouse.click, .5, .7)):
        press(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.get_by_role("button", name="Use it").click()
    inside.until("() => document.querySelectorAll('.lab-modes button').length === 3")
    inside.at(0)
    cells = page.evaluate("() => jupyterapp.shell.currentWidget.content.widgets.length")
    page.get_by_role("button", name="Draw your own data").focus()
    page.keyboard.press("Enter")
    for key in [" ", *["ArrowRight"] * 6, " ", *["ArrowUp"] * 6, " ", "ArrowLeft", " ", "Backspace", "a", "b", "Enter"]:
        page.keyboard.press(key)
    inside.until("() => document.querySelector('.lab-status').textContent.startsWith('Choose a mode')")
    inside.until("() => document.querySelectorAll('.lab-modes button').length === 3")
    button(inside, "Step").focus()
    page.keyboard.press("Enter")
    inside.at(1)
    assert page.evaluate("() => jupyterapp.shell.currentWidget.content.widgets.length") == cells  # no shortcut fired


MISSION = """from modelab.course.exercises import mission
@mission("a rate was changed", "sixteen steps were taken")
def turned(record):
    'Turn a rate, then go on.'
    yield record.events
    yield max(record.rows) >= 16
from modelab import Lab
lab = Lab({'name': 'minimax', 'width': 32}, 'ring', batch=64, samples=100, missions=[turned])
lab"""


def test_missions_slow_motion_and_errors_by_keyboard_alone(inside, jupyter):
    jupyter.open(inside, book(jupyter, "mission.ipynb", MISSION))
    assert jupyter.run_all(inside)
    page, status = inside.page, inside.page.locator(".lab-status")
    inside.at(0)
    assert page.locator(".lab-missions .reached").count() == 0 and page.locator(".lab-missions ul li").count() == 2
    page.get_by_label("lr.D").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("-1")
    page.keyboard.press("Enter")
    inside.until("() => document.querySelector('.lab-status.error')?.textContent.includes('lr of D: expected')")
    page.get_by_label("lr.D").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("0.002")
    page.keyboard.press("Enter")
    inside.until("() => document.querySelectorAll('.lab-missions .reached').length === 1")
    inside.until("() => !document.querySelector('.lab-status.error')")
    for _ in range(2):
        button(inside, "n steps").press("Enter")
    inside.at(20)
    inside.until("() => document.querySelector('.lab-missions .done')")
    button(inside, "Slow motion").press("Enter")
    button(inside, "Play").press("Enter")
    inside.until("() => document.querySelectorAll('.lab-status li').length >= 3")
    assert status.locator("li").first.inner_text().startswith("D 1") and status.locator("li.now").count() == 1
    button(inside, "Pause").press("Enter")
    button(inside, "Play").wait_for()
    page.locator(".lab-modes button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    inside.until("() => document.querySelector('.lab-status').textContent.startsWith('Mode 1 is')")


STYLES = """from modelab import Lab
asking = dict(name='imlegan', kind='style', width=2, depth=1, latent=4, reals=8, pool=2, refresh=4, minority=[8])
lab = Lab(asking, 'digits', {'name': 'minimax', 'width': 8}, batch=8, samples=60)
lab.step(4)
lab"""


def test_truncation_and_minority_by_hand(inside, jupyter):
    from modelab import Lab
    jupyter.open(inside, book(jupyter, "styles.ipynb", STYLES))
    assert jupyter.run_all(inside)
    page, picture, lines = inside.page, inside.picture(), inside.page.locator(".lab-stage figcaption")
    inside.at(4)
    whole = page.evaluate(INK, picture.element_handle())
    assert page.locator(".lab-knobs .noUi-target").bounding_box()["width"] > 90  # a track to move on
    assert page.locator(".lab-knobs .noUi-handle").count() == 1 and "truncat" not in lines.first.inner_text()
    handle = page.locator(".lab-knobs .noUi-handle")
    handle.focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    inside.until("() => document.querySelector('.lab-stage figcaption').textContent.match('truncated with ψ = 0.8: .* Without truncation: ')")
    handle.press("Home")
    inside.until("() => document.querySelector('.lab-stage figcaption').textContent.includes('truncated with ψ = 0: ')")
    inside.until(f"(canvas) => ({INK})(canvas) !== {whole}", picture.element_handle())
    assert inside.step() == 4 and "truncat" not in lines.nth(1).inner_text()  # B has no styles
    assert page.get_by_label("minority").input_value() == "8"
    page.get_by_label("minority").fill("0 3")
    page.get_by_label("minority").press("Enter")
    page.get_by_label("weight", exact=True).fill("5")
    page.get_by_label("weight", exact=True).press("Enter")
    button(inside, "Step").click()
    inside.at(5)
    page.locator(".lab-modes button").first.click()
    inside.until("() => document.querySelector('.lab-status').textContent.includes(' without truncation: ')")
    button(inside, "Share").click()
    inside.until("() => document.querySelector('.lab-share input').value")
    lab = Lab.from_string(page.locator(".lab-share input").input_value())
    assert [side.truncation for side in lab.sides.values()] == [0, 1] and lab.at == lab.last == 5
    assert [(e.name, e.value) for e in lab.events if e.side == "A"] == [("minority", "0 3"), ("weight", 5)]


def test_a_cell_run_again_leaves_no_thread(inside, jupyter):
    count = ("import threading, time\n"
             "for _ in range(100):\n    if not (n := sum(t.name == 'modelab lab' for t in threading.enumerate())): break\n"
             "    time.sleep(.1)\nassert n == 0, n")
    jupyter.open(inside, book(jupyter, "again.ipynb", LAB, count))
    assert jupyter.run_all(inside)
    inside.at(20)
    button(inside, "Play").click()
    inside.until("() => document.querySelector('.lab-picture').dataset.step > 40")
    assert jupyter.run_all(inside)


def test_a_broken_module_is_noticed(inside, jupyter):
    jupyter.open(inside, book(jupyter, "broken.ipynb", "import modelab.lab.panel as p\nread = p.read_static\n"
                               "p.read_static = lambda name: read(name).replace('const view', 'const = view')", LAB))
    assert jupyter.run_all(inside)
    with pytest.raises(sync_api.TimeoutError):
        inside.page.wait_for_selector(".lab-picture", timeout=4000)
    inside.errors.clear()


def test_the_chapter_runs_in_jupyterlab(inside, jupyter, root):
    chapter = nbformat.read(root / "nbs/1_game/03_lab.ipynb", as_version=4)
    last = next(i for i, cell in enumerate(chapter.cells) if cell.source.endswith("\nfilm"))  # what follows only trains
    chapter.cells = chapter.cells[:last + 1]
    nbformat.write(chapter, jupyter.root / "03_lab.ipynb")
    jupyter.open(inside, "03_lab.ipynb")
    assert jupyter.run_all(inside)
    inside.until("() => document.querySelector('.modelab-lab .lab-picture')?.dataset.painted > 0")
    assert inside.page.evaluate(COLOURS, inside.picture().element_handle()) > 50


ANSWER = """async ([grade, code]) => {
  const book = jupyterapp.shell.currentWidget.content;
  const at = book.widgets.findIndex((c) => c.model.type === "code" && c.model.sharedModel.getSource().endsWith(grade));
  book.widgets[at].model.sharedModel.setSource(code + "\\n\\n" + grade);
  book.activeCellIndex = at;
  await jupyterapp.commands.execute("notebook:run-cell");
  return book.widgets[at].model.outputs.toJSON().map((out) => out.data["text/plain"]).join(" "); }"""
SHOW = """async (text) => {
  const book = jupyterapp.shell.currentWidget.content;
  const at = book.widgets.findIndex((c) => c.model.sharedModel.getSource().includes(text));
  book.activeCellIndex = at;
  await book.scrollToItem(at, "start"); }"""


def test_the_first_chapter_is_run_played_and_answered(inside, jupyter, root):
    shutil.copyfile(root / "nbs/0_start/01_first_gan.ipynb", jupyter.root / "01_first_gan.ipynb")
    jupyter.open(inside, "01_first_gan.ipynb")
    assert jupyter.run_all(inside)
    page = inside.page
    page.evaluate(SHOW, "lab = small_lab()")
    inside.until("() => document.querySelector('.modelab-lab .lab-picture')?.dataset.painted > 0")
    inside.at(40)
    button(inside, "Play").click()
    inside.until("() => document.querySelector('.lab-picture').dataset.step > 60")
    button(inside, "Pause").click()
    button(inside, "Play").wait_for()
    assert page.locator(".lab-missions ul li").count() == 5
    for title, text in (("Hint", "You get the logarithm of"), ("Solution", "needs no logarithm of a number near 0")):
        page.evaluate(SHOW, text)
        fold = page.locator("details", has=page.get_by_text(title, exact=True), has_text=text)
        assert fold.get_attribute("open") is None and not fold.locator("p").first.is_visible()
        fold.locator("summary").click()
        assert fold.locator("p").first.is_visible()
    for real, fake, says in (("", "-", "Not yet"), ("-", "", "Right.")):
        code = f"def answer(real, fake):\n    return F.softplus({real}real).mean() + F.softplus({fake}fake).mean()"
        assert says in page.evaluate(ANSWER, ["grade_discriminator_loss(answer)", code])


GROUPS = """import ipywidgets as w, torch
from modelab import missing
g = torch.Generator().manual_seed(0)
real, held, made = torch.rand(3, 400, 8, 8, generator=g)
for part in (real, held):
    part[::8] += 2
    part[1::8, :4] += 4
found = missing(made, real, held, rounds=99)
assert len(found) == 2
found"""


def test_missing_groups_are_chosen_in_jupyterlab(inside, jupyter):
    """The output of a cell and a widget with the same page: each has its own choice, and keys stay in it."""
    jupyter.open(inside, book(jupyter, "groups.ipynb", GROUPS, "w.VBox([w.HTML(found._repr_html_(), layout=w.Layout(width='100%'))])"))
    assert jupyter.run_all(inside)
    page = inside.page
    inside.until("() => document.querySelectorAll('.modelab-audit form').length === 2")
    form = [page.locator(".modelab-audit form").nth(i) for i in range(2)]
    shown = lambda i: [j + 1 for j, part in enumerate(form[i].locator("section").all()) if part.is_visible()]
    active = "() => jupyterapp.shell.currentWidget.content.activeCellIndex"
    form[0].locator("label").nth(1).click()
    assert (shown(0), shown(1)) == ([2], [1])
    form[1].locator("label").nth(1).locator(".layer text").click()  # on the map
    assert shown(1) == [2]
    at = page.evaluate(active)
    page.keyboard.press("ArrowUp")
    assert (shown(0), shown(1)) == ([2], [1]) and page.evaluate(active) == at  # no shortcut of JupyterLab fired
    for part in form:
        box = part.locator("svg").first.bounding_box()
        assert box["width"] > 200 and abs(box["height"] / box["width"] - .75) < .02
