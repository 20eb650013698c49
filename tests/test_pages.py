"""The report pages in a real browser: narrow and wide, light and dark, with names that are HTML. Skipped without Chromium."""

import pytest
import torch
from browsing import FAINT
from test_report import NASTY, nasty_report

from modelab.evaluation.compare import compare_all
from modelab.evaluation.compare_command import _page
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
    for name, page in (("audit", html_document(report)), ("compare", _page(found))):
        assert len(page) < 2e6
        (folder / f"{name}.html").write_bytes(page)
    return folder


@pytest.mark.parametrize("name", ["audit", "compare"])
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
