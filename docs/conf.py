"""Settings of the reading site; `make site` builds it from build/docs, which pages.py has filled."""

import re
import sys
from html import escape
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # Sphinx runs this file from elsewhere

from copies import read_settings  # noqa: E402

CFG = read_settings()

project, author, language = CFG["lib_name"], CFG["author"], "en"
version = release = CFG["version"]
copyright = f"{author}, {CFG['license']}"

extensions = ["myst_nb"]
root_doc = "index"
nb_execution_mode = "off"  # what the pages show is what the notebooks store
nb_code_prompt_show, nb_code_prompt_hide = "Show the code", "Hide the code"
myst_enable_extensions = ["dollarmath", "attrs_block"]
myst_dmath_double_inline = True
myst_disable_syntax = ["myst_line_comment", "myst_block_break", "myst_target"]  # no part of a notebook's Markdown
myst_heading_anchors = 4
myst_update_mathjax = False
suppress_warnings = ["myst.header", "myst.strikethrough"]

html_theme = "furo"
html_title = "modelab"
html_baseurl = CFG.get("site", "")
html_static_path = ["static", str(HERE.parent / "build/figures")]
html_favicon = "static/icon.svg"
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"}), ("tables.js", {"defer": "defer"}),
                 ("samples.js", {"defer": "defer"})]
html_copy_source = html_show_sourcelink = False
html_show_sphinx = False
html_math_renderer = "mathml"
html_permalinks_icon = "#"
html_theme_options = {"navigation_with_keys": False}
pygments_style, pygments_dark_style = "a11y-light", "a11y-dark"
python_use_unqualified_type_names = add_module_names = False
toc_object_entries = False
search_language = "en"

# What latex2mathml does not read, in characters that it reads; and what it writes that browsers do not stretch.
REWRITE = [(re.compile(r"(\\[bB]ig+[lrm]?)\s*\\\|"), r"\1‖"), (re.compile(r"\\arg(?![a-zA-Z])"), r"\\operatorname{arg}")]
MEND = {">\\{<": ">{<", ">\\}<": ">}<", "&#x02015;": "&#x000AF;"}


def mathml(latex: str, display: str) -> str:
    """A formula as MathML, which browsers draw without a script; ValueError for a command that is not read."""
    for pattern, new in REWRITE:
        latex = pattern.sub(new, latex)
    made = convert(latex, display=display)
    for wrong, right in MEND.items():
        made = made.replace(wrong, right)
    if "\\" in made:
        raise ValueError(f"the formula {latex!r} holds a command that latex2mathml does not know")
    return made


def visit_math(self, node: nodes.math) -> None:
    """Write a formula that stands in a line."""
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_math_block(self, node: nodes.math_block) -> None:
    """Write a formula that stands alone; one that is too wide can be scrolled."""
    self.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


def describe(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Give a page its question as a description, and the headings of the navigation the level that they lack."""
    if doctree is not None and (quote := next(doctree.findall(nodes.block_quote), None)) is not None:
        context["metatags"] += f'<meta name="description" content="{escape(quote.astext())}">\n'
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def tidy(app, doctree: nodes.document) -> None:
    """Load pictures of documents only when they come into view; leave out heads of tables that say nothing."""
    for picture in doctree.findall(nodes.image):
        picture["loading"] = "lazy"
    for head in list(doctree.findall(nodes.thead)):
        if not head.astext().strip():
            head.parent.remove(head)


def setup(app) -> None:
    """Register what this file adds to Sphinx."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("html-page-context", describe, priority=900)  # after the theme
    app.connect("doctree-read", tidy)
