"""The chapters as Colab, Kaggle, Binder and VS Code open them: the learner's edition with a first cell that installs.

    python docs/copies.py build/colab        # refuses as long as settings.ini names no repository

A notebook that is opened alone finds no modelab. The first cell of a copy installs the wheel that was built from the same
commit, and does nothing where modelab is there. The stored notebooks stay as they are. `docs/try_copies.py` runs them all.
"""

from __future__ import annotations

import json
import re
import sys
from configparser import ConfigParser, SectionProxy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BRANCH = "colab"  # where the workflow `pages` puts the copies and the wheel
AT_HOME = ("A file that was downloaded opens in VS Code (with its extensions Python and Jupyter) or in JupyterLab; choose a kernel with "
           "Python 3.11 or newer. The next cell installs what is missing.")
WITHOUT_CUDA = "--extra-index-url https://download.pytorch.org/whl/cpu"  # Binder has no graphics card, and little room
INSTALL = '''# Installs modelab where it is missing, and does nothing where it is there.
import importlib.util
if importlib.util.find_spec("modelab") is None:
    import subprocess, sys
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet",
                    "{requirement}"], check=True)'''


def read_settings() -> SectionProxy:
    """All of settings.ini."""
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


def settings() -> dict[str, str]:
    """Version and repository (`owner/name` on GitHub, empty as long as it is undecided) from settings.ini."""
    found = read_settings()
    return {"version": found["version"], "repository": found.get("repository", "").strip()}


def requirement(repository: str, version: str) -> str:
    """What pip installs in a copy: the wheel beside the copies, with what notebooks need besides."""
    wheel = f"modelab-{version}-py3-none-any.whl"
    return f"modelab[colab] @ https://raw.githubusercontent.com/{repository}/{BRANCH}/{wheel}"


def badge_links(inside: Path, repository: str) -> list[tuple[str, str]]:
    """Where a chapter can be opened, `(name, address)`; nothing as long as there is no repository."""
    if not repository:
        return []
    file = f"{repository}/blob/{BRANCH}/{inside.as_posix()}"
    return [("Colab", f"https://colab.research.google.com/github/{file}"),
            ("Kaggle", f"https://kaggle.com/kernels/welcome?src=https://github.com/{file}"),
            ("Binder", f"https://mybinder.org/v2/gh/{repository}/{BRANCH}?labpath={inside.as_posix()}"),
            ("download", f"https://raw.githubusercontent.com/{repository}/{BRANCH}/{inside.as_posix()}")]


def without_directives(source: str) -> str:
    """A cell's code without its words to nbdev, such as `#| export`."""
    return re.sub(r"^#\|.*\n?", "", source, flags=re.MULTILINE)


def copy_of(text: str, inside: Path, repository: str, version: str, wheel: Path | None = None) -> str:
    """A notebook's learner's edition with the links and the first cell, which installs `wheel`; default: that beside the copies."""
    from modelab.course.chapters import learner_edition
    book = json.loads(learner_edition(text))
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            cell["source"] = without_directives("".join(cell["source"]))
            if cell["metadata"].get("jupyter", {}).get("source_hidden"):
                cell["metadata"]["cellView"] = "form"  # as Colab folds a cell
    links = " · ".join(f"[{name}]({url})" for name, url in badge_links(inside, repository))
    needed = f"modelab[colab] @ {wheel.resolve().as_uri()}" if wheel else requirement(repository, version)
    book["cells"][1:1] = [
        {"cell_type": "markdown", "id": "badges", "metadata": {}, "source": f"Open this notebook in {links}. {AT_HOME}"},
        {"cell_type": "code", "id": "install", "metadata": {}, "execution_count": None, "outputs": [],
         "source": INSTALL.format(requirement=needed)}]
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def write_copies(folder: Path, repository: str, version: str, wheel: Path | None = None) -> list[Path]:
    """Write a copy of each chapter, and what Binder reads; returns the copies."""
    sys.path[:0] = [str(ROOT), str(ROOT / "data_scripts")]
    from run_notebooks import notebooks
    written = []
    for path in notebooks(ROOT):
        inside = path.relative_to(ROOT / "nbs")
        (folder / inside).parent.mkdir(parents=True, exist_ok=True)
        text = copy_of(path.read_text(encoding="utf-8"), inside, repository, version, wheel)
        (folder / inside).write_text(text, encoding="utf-8")
        written.append(folder / inside)
    (folder / "requirements.txt").write_text(f"{WITHOUT_CUDA}\n{requirement(repository, version)}\n", encoding="utf-8")
    (folder / "runtime.txt").write_text("python-3.12\n", encoding="utf-8")
    return written


if __name__ == "__main__":
    found = settings()
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/copies.py FOLDER")
    if not found["repository"]:
        sys.exit("settings.ini: repository is empty; write owner/name there, as on GitHub")
    print(f"{len(write_copies(Path(sys.argv[1]), **found))} copies in {sys.argv[1]}")
