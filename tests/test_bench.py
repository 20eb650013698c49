"""modelab.training.leaderboard: files read or refused, finished work never repeated, killed work continued, boards that show all they should."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from modelab.training import leaderboard
from modelab.__main__ import main
from modelab.core.statistics import interval
from modelab.training.distributed import Job
from modelab.training.leaderboard import (board_markdown, BOARD_MEASURES, board_row, BoardCell,
                                          plot_board, publish_board, read_board_file, run_board,
                                          summarise)
from modelab.training.run import Diverged

FILE = """
runs = 3
group = 2
steps = 12
batch = 8

[sets.ring]
radius = 2
steps = 10

[sets.five]
modes = "line"
protocol = "veegan"

[methods.minimax]
width = 8

[methods."price on slopes"]
game = "wasserstein"
width = 8
n_critic = 1
batch = 4
sets = ["five"]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "b.toml"
    path.write_text(FILE)
    return path


def numbers(rows):
    return [(r["set"], r["method"], r["diverged"], *(r[k] for k in BOARD_MEASURES)) for r in rows]


def test_a_file_becomes_cells(file):
    a, b, c = read_board_file(file)
    assert [(x.method, x.set, x.protocol) for x in (a, b, c)] == [
        ("minimax", "ring", "pacgan"), ("minimax", "five", "veegan"), ("price on slopes", "five", "veegan")]
    assert (a.job.steps, b.job.steps, a.job.batch, c.job.batch) == (10, 12, 8, 4)  # a set overrides the top, a method both
    assert a.job.game["width"] == 8 and a.job.modes["radius"] == 2 and c.job.game["name"] == "wasserstein"
    as_json = file.with_suffix(".json")
    import tomllib
    as_json.write_text(json.dumps(tomllib.loads(FILE)))
    assert read_board_file(as_json) == [a, b, c]


@pytest.mark.parametrize("old, new, says", [
    ("[sets.ring]", "[sets.ring", "at line 7"), ("runs = 3", "runs = 0", "runs: expected"), ("runs = 3", "run = 3", "key: unknown 'run'.*did you mean 'runs'"),
    ("runs = 3", 'runs = "3"', "runs: expected a whole number"), ("width = 8\n\n", "widht = 8\n\n", "methods.minimax: .*widht"), ("radius", "radios", "sets.ring: .*radios"),
    ("[methods.minimax]", "[methods.minimaxx]", "methods.minimaxx: game: unknown.*did you mean 'minimax'"), ('"line"', '"lime"', "sets.five: modes: unknown.*'line'"),
    ('["five"]', '["six"]', "methods.price on slopes.sets: unknown 'six'"), ('["five"]', '[]', "methods.price on slopes.sets: expected a list"),
    ('"veegan"', '"vegan"', "protocol: unknown 'vegan', did you mean 'veegan'"), ("radius = 2", "radius = -2", "sets.ring: radius"), ("batch = 4", "batch = -4", "batch: expected")])
def test_bad_files_are_refused_by_line_or_key(file, old, new, says):
    assert old in FILE
    file.write_text(FILE.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"b.toml: .*{says}"):
        read_board_file(file)


@pytest.mark.parametrize("text, says", [("", "methods: expected at least one table"), ("methods = 3", "methods: expected"), ("[sets.ring]\n[methods]", "methods: expected"),
                                        ("sets = []\n[methods.minimax]", "sets: expected")])
def test_empty_files_are_refused(tmp_path, text, says):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ValueError, match=says):
        read_board_file(tmp_path / "x.toml")
    (tmp_path / "x.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match="expected tables"):
        read_board_file(tmp_path / "x.json")
    (tmp_path / "x.json").write_text('{\n"runs" 3}')
    with pytest.raises(ValueError, match="line 2"):
        read_board_file(tmp_path / "x.json")
    with pytest.raises(FileNotFoundError, match="no benchmark file"):
        read_board_file(tmp_path / "absent.toml")


def test_a_part_is_named_by_what_its_result_depends_on():
    import dataclasses
    job = Job("minimax", "ring", runs=4, group=2)
    names = dict((n, list(s)) for n, s in BoardCell("m", "s", job, "pacgan").parts())
    assert list(names.values()) == [[0, 1], [2, 3]]
    for change in (dict(steps=9), dict(game="bigan"), dict(modes="grid"), dict(batch=8), dict(average=.5), dict(shards=2), dict(precision="bf16"), dict(group=3), dict(seed=9)):
        assert not names.keys() & {n for n, _ in BoardCell("m", "s", dataclasses.replace(job, **change), "pacgan").parts()}, change
    assert not names.keys() & {n for n, _ in BoardCell("m", "s", job, "veegan").parts()}
    assert names.keys() < {n for n, _ in BoardCell("other", "words", dataclasses.replace(job, runs=6), "pacgan").parts()}


def test_finished_parts_are_never_run_again(file, monkeypatch):
    heard = []
    rows = run_board(file, "cpu", tell=heard.append)
    assert len(heard) == 6 and all("done" in line for line in heard) and numbers(rows) == numbers(run_board(file, "cpu"))
    worked = []
    honest = leaderboard.train_group
    monkeypatch.setattr(leaderboard, "train_group", lambda job, seeds, *a, **kw: worked.append((job.game["name"], list(seeds))) or honest(job, seeds, *a, **kw))
    assert run_board(file, "cpu") == rows and not worked
    publish_board(rows, file)
    import shutil
    shutil.rmtree(file.with_suffix(".parts"))  # the board itself remembers
    assert run_board(file, "cpu") == rows and not worked
    file.write_text(FILE + "\n[methods.bigan]\nwidth = 8\nsets = ['five']\n")
    more = run_board(file, "cpu")
    assert worked == [("bigan", [0, 1]), ("bigan", [2])] and more[:3] == rows


def test_an_interrupted_part_goes_on_from_its_checkpoint(file, tmp_path, monkeypatch):
    from modelab.training.run import Run
    straight = run_board(file, "cpu")
    other = tmp_path / "other" / "b.toml"
    other.parent.mkdir()
    other.write_text(FILE)
    honest, took = Run._one_step, []

    def cut(self):
        took.append(self.steps)
        if len(took) == 17:
            signal.raise_signal(signal.SIGINT)
        honest(self)
    monkeypatch.setattr(Run, "_one_step", cut)
    with pytest.raises(KeyboardInterrupt):
        run_board(other, "cpu", every=4)
    assert run_board(other, "cpu", every=4) and len(took) == 2 * 10 + 2 * 12 + 2 * 12  # not one step twice
    assert numbers(run_board(other, "cpu")) == numbers(straight)


def test_a_killed_bench_and_two_helpers_make_the_same_board(file, tmp_path, capsys):
    file.write_text(FILE.replace("steps = 12", "steps = 100").replace("steps = 10", "steps = 100"))
    other = tmp_path / "other.toml"
    other.write_text(file.read_text())
    words = [sys.executable, "-m", "modelab", "bench", str(file), "--device", "cpu", "--save-every", "20"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while first.poll() is None and not list(tmp_path.glob("b.parts/*/step-*")):
        time.sleep(.01)
    first.kill()
    assert first.wait() == -9 and not file.with_suffix(".md").exists()
    helpers = [subprocess.Popen(words, env={**env, "RANK": str(r), "WORLD_SIZE": "2"}, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL) for r in range(2)]
    said = "".join(h.communicate(timeout=300)[1] for h in helpers)
    assert [h.returncode for h in helpers] == [0, 0] and said.count("done") == 6 and said.count("wrote") == 1
    assert main(["bench", str(other), "--device", "cpu"]) == 0 and "| minimax |" in capsys.readouterr().out
    assert numbers(json.loads(file.with_suffix(".json").read_text())["rows"]) == numbers(json.loads(other.with_suffix(".json").read_text())["rows"])


def test_divergence_keeps_its_row(file, monkeypatch):
    def falls(job, seeds, *_, **__):
        raise Diverged("the loss of D is not finite at step 3, seed 0; no checkpoint was saved")
    monkeypatch.setattr(leaderboard, "train_group", falls)
    rows = run_board(file, "cpu")
    assert all(r["captured"] is None and r["diverged"] for r in rows)
    text = board_markdown(rows)
    assert "diverged: the loss of D is not finite at step 3, seed 0" in text and "| – |" in text
    assert plot_board(rows).png.startswith(b"\x89PNG")


def test_a_game_that_does_not_fit_a_set_is_named(file):
    file.write_text(FILE + "\n[methods.groundmetric]\nwidth = 8\nsets = ['five']\n")
    with pytest.raises(ValueError, match="groundmetric on five: "):
        run_board(file, "cpu")


def test_damaged_results_and_boards_are_named(file):
    run_board(file, "cpu")
    result = next(file.with_suffix(".parts").glob("*/result.json"))
    result.write_text("{")
    with pytest.raises(ValueError, match="result.json is damaged.*delete it"):
        run_board(file, "cpu")
    result.unlink()
    run_board(file, "cpu")
    for text in ("{", "[]", '{"rows": 3}'):
        file.with_suffix(".json").write_text(text)
        with pytest.raises(ValueError, match="no leaderboard"):
            run_board(file, "cpu")


def test_a_row_says_everything(file):
    rows = run_board(file, "cpu")
    ring = rows[0]
    scores = [s for p in ring["parts"].values() for s in p["scores"]]
    assert len(scores) == 3 and ring["captured"]["mean"] == pytest.approx(sum(s["captured"] for s in scores) / 3, abs=1e-4)
    assert ring["captured"]["low"] <= ring["captured"]["mean"] <= ring["captured"]["high"] and ring["captured"]["n"] == 3
    assert ring["floor"]["captured"] == 8 and 0 < ring["null"]["captured"] < 8 and ring["seconds per seed"] >= 0 and ring["n_modes"] == 8
    job = Job("minimax", "ring", runs=3, group=3)
    part = {"seconds": 1.5, "scores": [dict(captured=c, high_quality=.5, kl=None, tv=.1) for c in (8, 6, 7)], "n_modes": 8,
            "floor": dict(captured=8., high_quality=.99, kl=.001, tv=0.), "null": dict(captured=4.3, high_quality=.002, kl=.7, tv=.9)}
    best = board_row(BoardCell("good", "ring", job, "pacgan"), {"x": part})
    worse = board_row(BoardCell("worse | so", "ring", job, "pacgan"), {"y": {**part, "scores": [{**s, "captured": 1} for s in part["scores"]]}})
    text = board_markdown([worse, best])
    assert text.index("| good | 7 [4.52, 8] | 8 | 4.3 | 50 [50, 50] | 99 | 0.2 | – | 0.001 | 0.7 | 3 | 2000 | 0.5 |") < text.index("| worse \\| so | 1 [1, 1] |")
    assert "not told apart |" not in text
    assert "not told apart |" in board_markdown([best, {**best, "method": "twin"}])


@pytest.mark.parametrize("values, expected", [([], None), ([None, None], None), ([3.], {"mean": 3., "low": None, "high": None, "n": 1, "of": 4}),
                                              ([0., 0., None], {"mean": 0., "low": 0., "high": 0., "n": 2, "of": 4})])
def test_summaries_of_few_seeds(values, expected):
    assert summarise(values, 4, high=8) == expected


def test_an_interval_of_the_board_stays_in_the_possible_range():
    assert interval([0., 0., 8.]).low < 0 and interval([0., 8., 8.]).high > 8
    assert summarise([0., 0., 8.], 3)["low"] == 0 and summarise([0., 8., 8.], 3, high=8)["high"] == 8


def test_the_committed_board_is_what_its_file_asks_for(root):
    """After a change of the file or of a game's defaults: python -m modelab bench benchmarks/leaderboard.toml"""
    path = root / "benchmarks/leaderboard.toml"
    rows, cells = json.loads(path.with_suffix(".json").read_text())["rows"], read_board_file(path)
    assert [(r["method"], r["set"]) for r in rows] == [(c.method, c.set) for c in cells]
    for r, c in zip(rows, cells):
        assert set(r["parts"]) == {name for name, _ in c.parts()}, f"{c.method} on {c.set} was run with other settings"
        assert numbers([board_row(c, r["parts"])]) == numbers([r])
    assert path.with_suffix(".md").read_text() == board_markdown(rows) and path.with_suffix(".png").exists()
    assert sum(r["seconds per seed"] * r["runs"] for r in rows) < 900
