"""What every game computed when its values were written down, it computes still; and what was saved long ago is read now.

`golden/README.md` says what was written down, and how.
"""

import json
import math
import shutil
from pathlib import Path

import pytest
from modelab.core.registry import make, with_settings
from modelab.lab.panel import Lab
from modelab.training.optimiser import Schedule
from modelab.training.run import Run

GOLDEN = Path(__file__).resolve().parent / "golden"
RUNS = [run for name in ("runs.json", "later.json") for run in json.loads((GOLDEN / name).read_text())]
OLD = json.loads((GOLDEN / "old.json").read_text())
CLOSE = 1e-4  # of a value: another processor rounds otherwise


def drawn(run):
    """Mean, standard deviation and the first three numbers of what the generators make; None where there is none."""
    try:
        x = run.sample(64).double()
    except ValueError:
        return None
    return [x.mean().item(), x.std().item(), *x.flatten()[:3].tolist()]


def covered(run):
    """Modes captured, share of good samples, KL and total variation, run by run; None where it is not finite."""
    return [[v if math.isfinite(v) else None for v in (c.captured, c.high_quality, c.kl, c.tv)] for c in run.coverage(n=500)]


def held(run):
    """Sum and absolute sum of every tensor of every player."""
    return {f"{name}/{k}": [v.double().sum().item(), v.double().abs().sum().item()]
            for name, net in run.players.nets.items() for k, v in net.state_dict().items()}


def apart(now, then, rtol=CLOSE, atol=1e-6, at=""):
    """Where two nested lists differ; in words, at most one place each."""
    if isinstance(then, list):
        if not isinstance(now, list) or len(now) != len(then):
            return [f"{at}: {now} for {then}"]
        return [p for i, (a, b) in enumerate(zip(now, then)) for p in apart(a, b, rtol, atol, f"{at}[{i}]")][:1]
    same = now is then if None in (now, then) else abs(now - then) <= atol + rtol * abs(then)
    return [] if same else [f"{at}: {now} for {then}"]


def differences(run, then, rtol=CLOSE, atol=1e-6):
    """What a run gives otherwise than it is written in `then`."""
    losses = {word: rows.tolist() for word, rows in run.losses.items()}
    assert losses.keys() == then["losses"].keys() and run.steps == then["steps"]
    found = [p for word, rows in losses.items() for p in apart(rows, then["losses"][word], rtol, atol, f"loss of {word}")]
    found += apart(drawn(run), then["sample"], rtol, atol, "sample")
    if then.get("coverage"):
        found += apart(covered(run), then["coverage"], rtol, atol, "coverage")
    state = held(run) if then.get("state") else {}
    for name, (total, size) in then.get("state", {}).items():  # a sum may cancel: its error is a share of the absolute sum
        found += apart(state.get(name), [total, size], 0, atol + rtol * size, name)
    return found


def again(then, said="config"):
    """The run that `then` describes, played anew: from all its settings, or from those that were `given`."""
    kept = then["config"] | then[said]
    game, modes = make("game", kept.pop("game")), make("modes", kept.pop("modes"))
    if "decay" in then:
        game = with_settings(game, schedule=Schedule("linear", then["steps"], stairs=then["decay"]))
    return Run(game, modes, device="cpu", **kept).step(then["steps"])


@pytest.mark.parametrize("then", RUNS, ids=[r["title"] for r in RUNS])
def test_a_game_gives_what_it_gave(then):
    for said in ("config", "given"):
        if said in then:
            assert not differences(again(then, said), then, *[then["loose"]] * 2 if "loose" in then else ()), said


def goes_on(run, then):
    """What is otherwise than in the old package when a run is read, and after three steps more."""
    return apart(drawn(run), then["before"], at="sample before") or differences(run.step(3), then)


@pytest.mark.parametrize("name", [n for n in OLD if n.endswith(".safetensors")])
def test_an_old_checkpoint_goes_on(name, tmp_path):
    run = Run.load(GOLDEN / name, device="cpu")
    again = Run.load(run.save(tmp_path / name), device="cpu")
    assert not goes_on(run, OLD[name]) and not goes_on(again, OLD[name])


def test_an_old_folder_goes_on(tmp_path, capsys):
    from modelab.__main__ import main
    folder = shutil.copytree(GOLDEN / "old_folder", tmp_path / "run")
    assert not goes_on(Run.load(folder, device="cpu"), OLD["old_folder"])
    assert main(["train", "--resume", str(folder), "--steps", "3", "--device", "cpu"]) == 0, capsys.readouterr().err
    assert not differences(Run.load(folder, device="cpu"), OLD["old_folder"])


def test_an_old_lab_goes_on():
    then, lab = OLD["old_lab.txt"], Lab.from_string((GOLDEN / "old_lab.txt").read_text())
    assert not apart(drawn(lab.sides["A"]), then["before"]) and not differences(lab.step(3).sides["A"], then)


def test_a_difference_is_found():
    then = next(r for r in RUNS if r["coverage"] and r["config"]["game"]["name"] == "minimax")
    assert len(differences(again(then).step(1), {**then, "steps": then["steps"] + 1})) > 4
    assert not apart([1., None], [1.00005, None]) and apart([1.], [1.001]) and apart([1.], [None]) and apart(None, [1.])
