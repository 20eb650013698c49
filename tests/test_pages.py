"""The report pages in a real browser: narrow and wide, light and dark, with names that are HTML. Skipped without Chromium."""

import pytest
import torch
from browsing import FAINT
from test_report import NASTY, nasty_report

from modelab.evaluation.compare import compare_all
from modelab.evaluation.compare_parts import comparison_document
from modelab.evaluation.missing import missing
from modelab.evaluation.missing_page import missing_document, NamedRow
from modelab.evaluation.report import Example, html_document, MissingKind


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A report with hostile and long names and 1,000 missing pictures, and a comparison of three generators."""
    folder = tmp_path_factory.mktemp("pages")
    report = nasty_report()
    long = "a_folder_with_a_very_long_name_and_no_break_in_it_" * 4
    listed = [Example(i, 0., True, f"{long}/{i:05}.png", f"./{long}/{i:05}.png") for i in range(1000)]
    report.kinds.insert(0, MissingKind("a group holding 33.3% of the data gets 0 of 60 samples", 1 / 3, 0., .001, listed))
    report.examples["group 1"] = report.examples["group 0"]
    report.examples["group 0"] = torch.rand(24, 3, 64, 64)
    real, *made = torch.rand(4, 60, 2, generator=torch.Generator().manual_seed(0)).double()
    found = compare_all(dict(zip((NASTY, long, "c"), made)), real, rounds=19)
    g = torch.Generator().manual_seed(0)
    train, held, made = torch.rand(3, 400, 3, 32, 32, generator=g)
    for part in (train, held):
        part[::8] *= .2  # dim pictures, and bright ones below: the generator makes neither
        part[1::8, :, :16] += 2
    groups = missing(made, train, held, rounds=99)
    assert len(groups) == 2
    lost = missing_document(groups, [NASTY], lambda part, row: NamedRow(f"{long}/{row}.png" if row % 2 else NASTY, f"./{part}/{row}.png"))
    for name, page in (("audit", html_document(report)), ("compare", comparison_document(found)), ("missing", lost)):
        assert len(page) < 2e6
        (folder / f"{name}.html").write_bytes(page)
    return folder


@pytest.mark.parametrize("name", ["audit", "compare", "missing"])
def test_pages_are_readable_on_any_screen(chromium, pages, name):
    page, outside, said = chromium.new_page(), [], []
    page.on("request", lambda r: outside.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    page.on("dialog", lambda d: said.append(d.message) or d.dismiss())
    page.on("pageerror", lambda e: said.append(str(e)))
    page.goto((pages / f"{name}.html").as_uri())
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for width in (400, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (theme, width)
            assert not page.evaluate(FAINT), (theme, width)
            page.screenshot(path=pages / f"{name}_{theme}_{width}.png")
    assert not outside and not said
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth && i.alt)")
    assert page.evaluate("document.documentElement.lang && document.title && !document.querySelector('script,[onclick]')")
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels and levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:]))
    page.close()


def test_a_missing_group_is_chosen_on_the_map_by_its_card_and_by_keys(chromium, pages):
    """Without a script: what is shown belongs to the group that is chosen, and only to it."""
    page = chromium.new_page()
    page.goto((pages / "missing.html").as_uri())
    shown = lambda: [i + 1 for i, part in enumerate(page.locator("section").all()) if part.is_visible()]
    chosen = lambda: page.locator("label :checked").input_value()
    assert (shown(), chosen()) == ([1], "1") and page.locator("section:visible .pair").count() == 12
    assert "distance " in page.locator("section:visible .pair").first.inner_text()
    place = """() => { const path = document.querySelector("label:nth-of-type(2) .layer path"), box = path.ownerSVGElement.getBoundingClientRect();
        return [...path.getAttribute("d").matchAll(/M(\\d+) (\\d+)/g)].map(m => [box.left + m[1] / 400 * box.width, box.top + m[2] / 300 * box.height]); }"""
    page.mouse.click(*page.evaluate(place)[-1])  # a point of the second group
    assert (shown(), chosen()) == ([2], "2")
    page.get_by_text("Group 1", exact=False).first.click()
    assert (shown(), chosen()) == ([1], "1")
    page.keyboard.press("ArrowDown")
    assert (shown(), chosen()) == ([2], "2")
    page.keyboard.press("Enter")  # sends no form
    assert page.url == (pages / "missing.html").as_uri() and shown() == [2]
    assert page.get_by_role("radiogroup", name="missing groups").get_by_role("radio", checked=True).count() == 1
    page.emulate_media(media="print")
    assert shown() == [1, 2]  # on paper nothing can be chosen
    page.close()
