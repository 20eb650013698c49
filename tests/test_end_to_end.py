"""Stacked MNIST from a wire to a verdict, with the commands a user types: fetch, train, kill, resume, bench, sample, audit."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fetching
import numpy as np
import pytest
from serving import mnist_mirror

from modelab.__main__ import main
from modelab.data import mnist
from modelab.data.digits import DigitArchive
from modelab.training.checkpoints import list_checkpoints

TRAIN = ["train", "minimax", "stacked_mnist", "--runs", "2", "--batch", "32", "--steps", "40", "--save-every", "10",
         "--set", "width=32", "--device", "cpu"]
BENCH = """
runs = 2
steps = 6
batch = 32

[sets.stacked_mnist]

[methods.minimax]
width = 32
"""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    """A data folder with MNIST in it, brought over a wire that broke once."""
    folder = tmp_path_factory.mktemp("shelf")
    with mnist_mirror(folder / "source", faults=["drop"]) as server:
        command = ["--out", str(folder / "data"), "--mirror", server.url]
        status = fetching.main("mnist", command) and fetching.main("mnist", command)
    assert status == 0
    return folder / "data"


def started(*words: str, at: Path) -> subprocess.Popen:
    """Starts `modelab WORDS` in folder `at`."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", "modelab", *words], cwd=at, env=env, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def said(*words: str, at: Path, status: int = 0) -> str:
    """What `modelab WORDS` prints in this process; it has to end with this exit status."""
    with contextlib.chdir(at), contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(list(words)) == status, out.getvalue()
    return out.getvalue()


@pytest.fixture
def hasty_judge(monkeypatch):
    """A judge after 60 steps instead of 1,500; how well a judge judges is tested in test_modes and test_coverage."""
    monkeypatch.setattr(mnist, "DigitArchive", lambda splits, top, walk, keep: DigitArchive(splits, top, 60, keep))


def table(text: str) -> list[str]:
    """The coverage table in what `modelab train` printed."""
    return [line for line in text.splitlines() if not line.startswith("saved in")]


def test_from_a_wire_to_a_verdict(shelf, tmp_path, hasty_judge, monkeypatch):
    monkeypatch.setenv("MODELAB_DATA", str(shelf))
    whole = said(*TRAIN, "--out", "whole", at=tmp_path)
    assert "captured" in whole and "1000" in whole.replace(",", "")

    killed = started(*TRAIN, "--out", "killed", at=tmp_path)
    place = tmp_path / "killed" / "seeds-0-1"
    until = time.monotonic() + 200
    while not list_checkpoints(place) and killed.poll() is None and time.monotonic() < until:
        time.sleep(.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert list_checkpoints(place), "no checkpoint came before the kill"
    assert table(said("train", "--resume", "killed", "--device", "cpu", at=tmp_path)) == table(whole)
    a, b = (list_checkpoints(tmp_path / name / "seeds-0-1")[0] for name in ("whole", "killed"))
    assert a.name == b.name == "step-000000040.safetensors" and a.read_bytes() == b.read_bytes()

    (tmp_path / "board.toml").write_text(BENCH)
    said("bench", "board.toml", "--device", "cpu", at=tmp_path)
    assert "minimax" in (tmp_path / "board.md").read_text()
    said("bench", "board.toml", "--device", "cpu", at=tmp_path)  # nothing is left to do

    said("sample", "killed", "--n", "600", "--out", "fakes.npy", at=tmp_path)
    said("sample", "stacked_mnist", "--n", "1500", "--out", "reference.npy", at=tmp_path)
    assert np.load(tmp_path / "fakes.npy").shape == (600, 3, 28, 28)
    text = said("audit", "fakes.npy", "--reference", "reference.npy", "--json", "report.json", at=tmp_path, status=1)
    assert "The samples cover" in text and json.loads((tmp_path / "report.json").read_text())
