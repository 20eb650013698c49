"""What tests of pages share: a folder served to a browser, what goes wrong on a page, and its faint texts. Needs the standard library only."""

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# WCAG 2: the contrast of each text with what lies behind it; below 4.5 it is hard to read, a sign without words below 3
FAINT = """() => {
  const parts = c => c.match(/[\\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = parts(c).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
                       return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor; if (parts(c)[3] !== 0) return c; } return "rgb(255, 255, 255)"; };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || ["STYLE", "SCRIPT"].includes(e.tagName)) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    const least = e.closest("[aria-hidden=true]") ? 3 : 4.5;
    if ((a + .05) / (b + .05) < least) found.push(e.outerHTML.slice(0, 99)); }
  return found; }"""


def watch(page, site: str) -> list[str]:
    """A list that grows with what goes wrong on a page: errors in its console, and requests to other places than `site`."""
    faults: list[str] = []
    page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: faults.append(str(e)))
    page.on("request", lambda r: None if r.url.startswith((site, "data:", "blob:")) else faults.append(r.url))
    return faults


@contextmanager
def pages_served(folder: Path) -> Iterator[str]:
    """The address at which a browser finds the pages in a folder."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
