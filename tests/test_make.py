"""The commands that a newcomer types: `make` alone, with a Python that is too old, and `make edit`, served for real."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from modelab.course.jupyter import OPENED

if not shutil.which("make"):
    pytest.skip("there is no make on this machine", allow_module_level=True)


def make(*args: str, cwd: Path) -> subprocess.CompletedProcess:
    """Run `make` in `cwd` without a terminal."""
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MODELAB_FAST")}
    return subprocess.run(["make", "--no-print-directory", *args], cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)


@pytest.fixture
def clone(root, tmp_path) -> Path:
    """A small checkout: what `make` needs, and one chapter with its twin."""
    for name in ("Makefile", "jupytext.toml", "settings.ini", "setup.py", "pyproject.toml", "constraints.txt"):
        shutil.copyfile(root / name, tmp_path / name)
    (tmp_path / "nbs/_text/0_ground").mkdir(parents=True)
    (tmp_path / "nbs/0_ground").mkdir()
    nb = new_notebook(cells=[new_markdown_cell("# A chapter"), new_code_cell("1 + 1")])
    nbformat.write(nb, tmp_path / "nbs/0_ground/00_x.ipynb")
    nbformat.write(nb, tmp_path / "nbs/index.ipynb")
    (tmp_path / "nbs/0_start").mkdir()
    nbformat.write(nb, tmp_path / "nbs/0_start/01_first_gan.ipynb")
    (tmp_path / "nbs/_text/0_ground/00_x.py").write_text("# %% [markdown]\n# # A chapter\n\n# %%\n1 + 1\n")
    return tmp_path


def test_make_alone_helps(clone):
    done = make(cwd=clone)
    assert done.returncode == 0 and all(f"make {t}" in done.stdout for t in ("lab", "edit", "test", "quick"))


def test_an_old_python_is_refused_in_one_line(clone):
    old = clone / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make("lab", f"PYTHON={old}", cwd=clone)
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode and len(said) == 1 and "3.11" in said[0] and not (clone / ".venv").exists()


def test_lab_opens_the_first_chapter(root):
    line = make("-n", "lab", f"VENV={sys.prefix}", "ARGS=--no-browser", cwd=root).stdout.splitlines()[-1]
    assert line.endswith('-m modelab course "my-course" --open --no-browser')
    assert root / "nbs" / OPENED[0] == min((root / "nbs").glob("0_*/01_*.ipynb")) and all((root / "nbs" / book).is_file() for book in OPENED)


def test_quick_is_short_and_test_is_not(clone):
    full, quick = (make("-n", target, cwd=clone).stdout.splitlines()[-1] for target in ("test", "quick"))
    assert "-u MODELAB_FAST" in full and "MODELAB_FAST=1" in quick and "--dist loadscope" in full


class Lab:
    """JupyterLab as `make edit` starts it in a checkout, on a free port."""

    def __init__(self, cwd: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = f"--no-browser --ServerApp.port={port} --ServerApp.port_retries=0 --IdentityProvider.token=t"
        said = make("-n", "edit", f"VENV={sys.prefix}", f"ARGS={options}", cwd=cwd).stdout.splitlines()
        line = next(line for line in said if "jupyter-lab" in line)
        self.url, self.log = f"http://127.0.0.1:{port}/api/", open(cwd / "lab.log", "w+")
        self.process = subprocess.Popen(["sh", "-c", f"exec {line}"], cwd=cwd, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=subprocess.STDOUT)

    def ask(self, path: str, data: dict | None = None) -> dict:
        """GET `path` of the server's interface, or PUT `data` there."""
        body = json.dumps(data).encode() if data else None
        head = {"Authorization": "token t", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, body, head, method="PUT" if data else "GET")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def __enter__(self) -> "Lab":
        for _ in range(300):
            try:
                self.ask("status")
                return self
            except (urllib.error.URLError, ConnectionError):
                if self.process.poll() is not None:
                    break
                time.sleep(.2)
        self.__exit__()
        raise AssertionError(f"JupyterLab did not start:\n{(Path(self.log.name)).read_text()[-2000:]}")

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def test_edit_opens_and_saves_both_twins(clone):
    if not Path(sys.prefix, "bin", "jupyter-lab").exists():
        pytest.skip("JupyterLab is not installed beside this Python")
    book, twin = "nbs/0_ground/00_x.ipynb", clone / "nbs/_text/0_ground/00_x.py"
    with Lab(clone) as lab:
        content = lab.ask(f"contents/{book}?content=1")["content"]
        content["cells"][1]["source"] = "40 + 2"
        lab.ask(f"contents/{book}", {"type": "notebook", "format": "json", "content": content})
        assert "40 + 2" in twin.read_text()
        twin.write_text(twin.read_text().replace("40 + 2", "6 * 7"))
        os.utime(twin, (time.time() + 5,) * 2)
        assert lab.ask(f"contents/{book}?content=1")["content"]["cells"][1]["source"] == "6 * 7"
