"""The reading site: its pages from the stored notebooks, the copies for Colab, every local link, and the built pages."""

import base64
import html
import io
import json
import math
import os
import re
import sys
import zlib
from pathlib import Path
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest
from browsing import FAINT, pages_served, watch
from matplotlib.image import imread
from run_notebooks import notebooks, number

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))

import copies  # noqa: E402
import pages  # noqa: E402
import reference  # noqa: E402

from modelab import _index  # noqa: E402

BUILT = ROOT / "build/site"
LOCAL = re.compile(r'<[a-z][^<>]*?\s(?:href|src)="([^"]*)"')


@pytest.fixture(scope="module")
def gathered(tmp_path_factory):
    """What Sphinx reads: page texts by their path under build/docs, and the folder of the pictures."""
    to, figures = tmp_path_factory.mktemp("docs"), tmp_path_factory.mktemp("figures")
    return {p.relative_to(to).as_posix(): p.read_text("utf-8") for p in pages.gather(to, figures)}, figures


@pytest.fixture
def built():
    """The built site; skipped where `make site` was not run."""
    if not (BUILT / "index.html").exists():
        pytest.skip("build/site is not there: make site")
    return BUILT


def test_every_chapter_has_a_page_in_the_map_of_its_part(gathered):
    texts, _ = gathered
    for path in notebooks(ROOT):
        inside = path.relative_to(ROOT / "nbs")
        assert f"nbs/{inside.as_posix()}" in texts
        if number(path):
            toc = texts[f"nbs/part{number(path)[0]}.md"].split("```{toctree}")[1].split("\n")
            assert inside.with_suffix("").as_posix() in toc
            first = json.loads(texts[f"nbs/{inside.as_posix()}"])["cells"][0]["source"]
            assert first.startswith(f"# {number(path)} ")


def test_a_page_shows_what_is_stored_without_directives_and_graders(gathered):
    texts, figures = gathered
    for name, text in texts.items():
        if name.endswith(".ipynb"):
            cells = json.loads(text)["cells"]
            assert not any(re.search(r"^#\||^## The graders", c["source"], re.M) for c in cells)
    shown = json.dumps(texts)
    assert all(picture.name in shown for picture in figures.iterdir())


def test_every_picture_has_a_text_and_nothing_is_loaded_from_elsewhere(gathered):
    texts, _ = gathered
    for name, text in texts.items():
        for cell in json.loads(text)["cells"] if name.endswith(".ipynb") else ():
            for out in cell.get("outputs", ()):
                shown = "".join(out.get("data", {}).get("text/html", ""))
                assert all(len(html.unescape(alt)) > 5 for alt in re.findall(r'<img [^>]*?alt="([^"]*)"', shown)), name
                assert len(re.findall("<img ", shown)) == len(re.findall(r"<img [^>]*?\balt=", shown)), name
                assert not re.search(r"""(?:src=["']|@import |url\(["']?)https?:""", shown), name


def test_no_chapter_is_heavy(gathered):
    texts, figures = gathered
    for name, text in texts.items():
        pictures = sum((figures / picture).stat().st_size for picture in set(re.findall(r"[0-9a-f]{16}\.png", text)))
        assert len(text.encode()) + pictures < 2.7e6, f"{name}: with its pictures and the navigation a page stays below 3 MB"


def test_every_public_name_is_in_the_reference():
    told = reference.write_reference()
    for name, module in _index.NAMES.items():
        page = told[f"{module.split('.')[0]}.md"]
        section = page.split(f"## modelab.{module}\n")[1].split("\n## modelab.")[0]
        assert re.search(rf"^`{{3,}}{{py:(function|class|data)}} {re.escape(name)}\b", section, re.M), f"{module}.{name}"


def test_docstrings_stand_in_the_reference_as_they_are_written():
    assert reference.prose("A *tensor* of shape `(*runs,)`; a_b <x>.") == r"A \*tensor\* of shape `(*runs,)`; a\_b \<x\>."
    assert reference.prose("One.\n\nTwo:\n    three  # four") == "One.\n\n```text\nTwo:\n    three  # four\n```"


def test_the_samples_of_the_leaderboard_are_a_script_of_its_page(gathered):
    texts, figures = gathered
    found = json.loads((ROOT / "benchmarks/leaderboard.json").read_text("utf-8"))
    script = (figures / pages.SAMPLES).read_text("utf-8")
    shown = json.loads(script.removeprefix("window.boardSamples = ").removesuffix(";\n"))
    assert len(script) < 4e5 and f'data-samples="../_static/{pages.SAMPLES}"' in texts["benchmarks/leaderboard.md"]
    for row in found["rows"]:
        kept = next(part["samples"] for part in row["parts"].values())
        note = shown[row["set"]]["cells"][row["method"]]
        assert note["shape"] == kept["shape"] and (note["low"], note["high"]) == (kept["low"], kept["high"])
        assert base64.b64decode(note["data"]) == zlib.decompress(base64.b64decode(kept["data"])) and len(base64.b64decode(note["data"])) == 2 * math.prod(note["shape"])
    assert sum(len(has["cells"]) for has in shown.values()) == len(found["rows"])
    assert pages.board_samples({"sets": {"a": {}}, "rows": [{"set": "a", "method": "m", "parts": {"x": {"diverged": "at step 3"}}}]})[0] == "window.boardSamples = {};\n"


def test_links_are_found_and_code_is_left_alone():
    text = "[a](b.md) `[c](d.md)` [`e.py`](e.py) ![f](g.png)\n```\n[h](i.md)\n```\n"
    assert pages.links(text) == ["b.md", "e.py", "g.png"]
    here = ROOT / "README.md"
    assert pages.relink("[`x`](setup.py)", here, set(), "") == "`x`"
    assert pages.relink("[`x`](setup.py)", here, set(), "o/n") == "[`x`](https://github.com/o/n/blob/main/setup.py)"
    assert pages.relink("[x](setup.py#L1)", here, {ROOT / "setup.py"}, "") == "[x](setup.py#L1)"


def test_every_local_link_of_notebooks_and_documents_leads_somewhere():
    texts = {ROOT / name: (ROOT / name).read_text("utf-8") for name in pages.DOCUMENTS}
    for path in notebooks(ROOT):
        texts[path] = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")
    broken = []
    for path, text in texts.items():
        slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)", text, re.M)}
        for link in pages.links(text):
            target, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            if target and not (path.parent / unquote(target)).exists() or not target and anchor.lower() not in slugs:
                broken.append(f"{path.relative_to(ROOT)}: {link}")
    assert not broken, "\n".join(broken)


def test_every_formula_becomes_mathml():
    pytest.importorskip("latex2mathml", reason="the packages of the site are not here: make site")
    import conf
    assert "<mi>x</mi>" in conf.mathml("x", "inline")
    with pytest.raises(ValueError, match="does not know"):
        conf.mathml(r"\nosuchcommand", "inline")


def test_a_copy_installs_where_modelab_is_missing_and_does_nothing_elsewhere(tmp_path, monkeypatch):
    path = ROOT / "nbs/0_start/01_first_gan.ipynb"
    text = copies.copy_of(path.read_text("utf-8"), Path("0_start/01_first_gan.ipynb"), "owner/name", "1.2.3")
    book = nbformat.reads(text, as_version=4)
    nbformat.validate(book)
    assert "colab.research.google.com/github/owner/name/blob/colab/0_start/01_first_gan.ipynb" in book.cells[1].source
    assert "VS Code" in book.cells[1].source
    ran = []
    monkeypatch.setattr("subprocess.run", lambda command, check: ran.append(command))
    exec(book.cells[2].source, {})
    assert not ran  # modelab is here
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec(book.cells[2].source, {})
    assert ran[0][-1].endswith("/owner/name/colab/modelab-1.2.3-py3-none-any.whl")
    assert not any(re.match("## The graders", c.source) for c in book.cells)


@pytest.mark.parametrize("repository, badges", [("owner/name", ["Colab", "Kaggle", "Binder", "download"]), ("", [])])
def test_every_chapter_page_has_its_badges_once_there_is_a_repository(repository, badges, tmp_path):
    for path in filter(number, notebooks(ROOT)):
        inside = path.relative_to(ROOT / "nbs").as_posix()
        first = json.loads(pages.chapter(path, tmp_path, set(), repository))["cells"][0]["source"]
        line = next(line for line in first.splitlines() if " of one CPU core · " in line)
        found = dict(re.findall(r"\[(\w+)\]\((https:[^)]+)\)", line))
        assert list(found) == badges and all(f"/{inside}" in url or f"={inside}" in url for url in found.values()), inside
        assert all(repository in url for url in found.values()) and ("make lab" in line) == (not badges)
    assert copies.badge_links(Path("index.ipynb"), "") == [] and set(copies.settings()) == {"version", "repository"}


def test_the_citation_names_the_version():
    said, (version, released) = (ROOT / "CITATION.cff").read_text("utf-8"), re.search(
        r"^## (\d\S+) - (\S+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M).groups()  # the last one
    assert version == copies.settings()["version"] and f'\nversion: {version}\ndate-released: "{released}"\n' in said
    assert ("repository-code:" in said) == bool(copies.settings()["repository"])


def test_the_built_pages_are_small_and_their_links_lead_somewhere(built):
    anchors, broken = {}, []

    def read(page):
        if page not in anchors:
            anchors[page] = set(re.findall(r'\bid="([^"]+)"', page.read_text("utf-8")))
        return anchors[page]

    for page in built.rglob("*.html"):
        text = page.read_text("utf-8")
        pictures = {page.parent / source for source in re.findall(r'<img [^>]*?src="([^":]+)"', text)}
        assert len(text.encode()) + sum(picture.stat().st_size for picture in pictures) < 3e6, page
        for link in map(html.unescape, LOCAL.findall(re.sub(r"<script.*?</script>", "", text, flags=re.S))):
            target, _, anchor = link.partition("#")
            if re.match(r"(https?|data|mailto):", target):
                continue
            file = (page.parent / unquote(target.partition("?")[0])).resolve() if target else page
            if not file.is_file() or anchor and file.suffix == ".html" and unquote(anchor) not in read(file):
                broken.append(f"{page.relative_to(built)}: {link}")
    assert not broken, "\n".join(broken[:20])


@pytest.fixture
def site(built):
    """The address at which a browser finds the built site."""
    with pages_served(built) as address:
        yield address


@pytest.fixture
def page(site, chromium):
    """A fresh page of the browser."""
    page = chromium.new_page()
    yield page
    page.close()


def test_the_site_in_a_browser(page, site):
    faults, sizes = watch(page, site), {}
    page.on("response", lambda r: sizes.update({r.url: len(r.body())}) if r.url.startswith(site) else None)
    page.goto(site + "index.html")
    page.wait_for_timeout(500)
    assert sum(size for url, size in sizes.items() if not url.endswith(".png")) < 300_000
    page.goto(site + "nbs/1_game/03_lab.html")
    recording = page.locator(".lab").first
    recording.scroll_into_view_if_needed()
    before = recording.locator(".lab-step").inner_text()
    recording.locator(".lab-slider").press("ArrowRight")
    assert recording.locator(".lab-step").inner_text() != before
    page.goto(site + "search.html?q=mode+collapse")
    page.locator("ul.search li").first.wait_for(timeout=30_000)
    assert not faults, faults[:5]


def test_the_tables_of_the_leaderboard_are_sorted_and_filtered(page, site):
    faults = watch(page, site)
    page.goto(site + "benchmarks/leaderboard.html")
    ring = page.locator("section#ring-8-modes-protocol-fair table")
    column = lambda at: [row.locator("td").nth(at).inner_text() for row in ring.locator("tbody tr").all()]
    methods = column(0)
    ring.get_by_role("button", name="method").click()
    assert ring.locator("th").first.get_attribute("aria-sort") == "ascending"
    begins = [name[:4].casefold() for name in column(0)]
    assert column(0)[:2] == methods[:2] and begins[2:] == sorted(begins[2:])  # a perfect generator and noise stay on top
    modes = ring.get_by_role("button", name="modes captured")
    modes.click()
    modes.click()
    values = [float(text.split()[0]) for text in column(2)[2:]]
    assert values == sorted(values, reverse=True) and len(set(values)) > 2 and sorted(column(0)) == sorted(methods)
    page.get_by_label("Show only rows with").fill("ring R1")
    shown = [row.inner_text() for row in page.locator("article tbody tr:visible").all()]
    assert shown and all("r1" in text.casefold() for text in shown) and len(shown) < 5
    page.get_by_label("Show only rows with").fill("")
    assert ring.locator("tbody tr:visible").count() == len(methods) and not faults


PAINTED = """canvas => { const d = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data; let n = 0;
  for (let i = 0; i < d.length; i += 4) n += d[i] < 250 || d[i + 1] < 250 || d[i + 2] < 250; return n; }"""


def test_a_click_and_enter_on_a_row_of_the_leaderboard_open_its_samples(page, site):
    faults = watch(page, site)
    page.goto(site + "benchmarks/leaderboard.html")
    assert page.locator("tbody tr.opens").count() == len(json.loads((ROOT / "benchmarks/leaderboard.json").read_text("utf-8"))["rows"])
    rows, dialog, seen = page.locator("section#ring-8-modes-protocol-fair tr.opens"), page.locator("dialog.samples"), set()
    for method, open_it in (("R1", lambda row: row.locator("button").press("Enter")), ("WGAN, clipped", lambda row: row.locator("td").nth(2).click()),
                            ("IMLE", lambda row: row.locator("button").click())):
        row = next(r for r in rows.all() if r.locator("td").first.inner_text() == method)
        open_it(row)
        dialog.wait_for()
        assert dialog.locator("h2").inner_text() == f"{method} on ring" and f"TV: {row.locator('td').nth(1).inner_text()}" in dialog.inner_text()
        made, real = dialog.locator("canvas").all()
        assert f"of {method}, first seed" in made.get_attribute("aria-label") and min(c.evaluate(PAINTED) for c in (made, real)) > 300
        assert not page.evaluate(FAINT)
        seen.add((made.evaluate("c => c.toDataURL()"), real.evaluate("c => c.toDataURL()")))
        page.keyboard.press("Escape")
        assert not dialog.is_visible()
    assert len({a for a, _ in seen}) == 3 and len({b for _, b in seen}) == 1  # samples of their own, and the same data
    for row in page.locator("tbody tr.opens").all():  # every cell of the board
        row.locator("button").press("Enter")
        dialog.wait_for()
        assert all(canvas.evaluate(PAINTED) > 300 for canvas in dialog.locator("canvas").all()), row.inner_text()
        dialog.get_by_role("button", name="Close").click()
    row.locator("button").press("Enter")
    page.set_viewport_size({"width": 400, "height": 900})
    box = dialog.bounding_box()
    assert box["x"] >= 0 and box["width"] <= 400 and dialog.evaluate("d => d.scrollWidth <= d.clientWidth + 1") and not faults


def contrast_of_label(screenshot: bytes) -> tuple[float, float]:
    """Of a picture on a page: the contrast (WCAG 2) of the words below its axes with their ground, and how bright the ground is."""
    pixels = imread(io.BytesIO(screenshot))[..., :3]
    linear = np.where(pixels <= .03928, pixels / 12.92, ((pixels + .055) / 1.055) ** 2.4) @ [.2126, .7152, .0722]
    below = linear[-max(8, len(linear) // 10):]
    ground = np.median(below)
    ratios = (np.maximum(below, ground) + .05) / (np.minimum(below, ground) + .05)
    return float(ratios.max()), float(ground)


@pytest.mark.parametrize("name", ["nbs/0_start/01_first_gan.html", "nbs/1_game/04_wasserstein.html", "nbs/2_inverse/04_pairwise_sets.html",
                                  "nbs/4_evidence/06_monitor.html", "README.html"])
def test_words_in_pictures_are_readable_in_the_dark_and_their_ground_is_not_white(page, site, name):
    found, pictures = {}, 'article img[src$=".png"]'
    for scheme in "light", "dark":
        page.emulate_media(color_scheme=scheme)
        page.goto(site + name)
        page.evaluate("Promise.all([...document.images].map(i => { i.loading = 'eager'; i.decoding = 'sync'; return i.decode(); }))")
        found[scheme] = [contrast_of_label(picture.screenshot()) for picture in page.locator(pictures).all()[1:5]]
        assert found[scheme] and min(ratio for ratio, _ in found[scheme]) > 7, found
        assert not page.evaluate(FAINT)
    assert all(dark < .8 * light for (_, light), (_, dark) in zip(found["light"], found["dark"]))
    picture = page.locator(pictures).nth(1)
    for faint in "brightness(.2)", "opacity(.2)":
        picture.evaluate("(i, faint) => i.style.filter = faint", faint)
        assert contrast_of_label(picture.screenshot())[0] < 4.5


# The workflow `pages` looks at every page; elsewhere one of each kind is enough. Contrast takes axe most of its time.
EVERY = os.environ.get("MODELAB_EVERY_PAGE", "") not in ("", "0")
KINDS = ["index.html", "nbs/part1.html", "nbs/0_start/01_first_gan.html", "nbs/1_game/03_lab.html", "api/losses.html", "LEDGER.html",
         "benchmarks/leaderboard.html"]


@pytest.mark.parametrize("name", sorted(p.relative_to(BUILT).as_posix() for p in BUILT.rglob("*.html")) if EVERY else KINDS)
def test_a_page_fits_says_no_error_and_axe_finds_nothing_serious(page, site, name):
    axe, faults = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python"), watch(page, site)
    rules = {"color-contrast": {"enabled": not EVERY or name in KINDS}}
    page.goto(site + name)
    for width, scheme in ((1280, "light"), (400, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(200)  # the page notices its new width
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        assert not (faint := page.evaluate(FAINT)), (width, scheme, faint[:5])
        found = axe.Axe().run(page, options={"resultTypes": ["violations"], "rules": rules}).response["violations"]
        assert not [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")], (width, scheme)
    assert not faults, faults[:5]
