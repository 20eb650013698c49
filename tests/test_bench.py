"""modelab.training.leaderboard: files read or refused, finished work never repeated, killed work continued, boards that show all they should."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib

import pytest
from modelab.training import leaderboard
from modelab.__main__ import main
from modelab.core.statistics import interval
from modelab.training.distributed import Job
from modelab.training.board_tables import above_noise, excludes_zero, mean_ranks, order_rows, rank_difference, seed_ranks, told_apart, within_noise
from modelab.training.board_file import BoardCell, BoardTuning, read_board_file, setting_words
from modelab.training.board_json import board_json, board_rows
from modelab.training.board_samples import pack_samples, plot_board_samples, unpack_samples
from modelab.training.leaderboard import (board_digest, board_markdown, BOARD_MEASURES, board_row, choose_setting, plot_board, publish_board, run_board,
                                          run_quick_board, summarise)
from modelab.training.board_tuning import trial_row, trial_tv, trials_at
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


def published(path):
    """The rows of the board beside a benchmark file."""
    return board_rows(json.loads(path.with_suffix(".json").read_text()))


def numbers(rows):
    """All of a row that does not depend on the machine's speed."""
    return [(r["set"], r["method"], r["diverged"], *(r[k] for k in (*BOARD_MEASURES, "frechet", "worst", "megabytes")),
             [s["reached"] for p in r["parts"].values() for s in p.get("scores", [])]) for r in rows]


def test_a_file_becomes_cells(file):
    a, b, c = read_board_file(file)
    assert [(x.method, x.set, x.protocol) for x in (a, b, c)] == [
        ("minimax", "ring", "pacgan"), ("minimax", "five", "veegan"), ("price on slopes", "five", "veegan")]
    assert (a.job.steps, b.job.steps, a.job.batch, c.job.batch) == (10, 12, 8, 4)  # a set overrides the top, a method both
    assert a.job.game["width"] == 8 and a.job.modes["radius"] == 2 and c.job.game["name"] == "wasserstein"
    as_json = file.with_suffix(".json")
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
    assert not names.keys() & {n for n, _ in BoardCell("m", "s", job, "pacgan", looks=3).parts()}
    assert names.keys() == {n for n, _ in BoardCell("m", "s", job, "pacgan", tried=8).parts()}  # it changes no result
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
    assert numbers(published(file)) == numbers(published(other))


def test_divergence_keeps_its_row(file, monkeypatch):
    def falls(job, seeds, *_, **__):
        raise Diverged("the loss of D is not finite at step 3, seed 0; no checkpoint was saved")
    monkeypatch.setattr(leaderboard, "train_group", falls)
    rows = run_board(file, "cpu")
    assert all(r["captured"] is None and r["diverged"] and r["seconds to reach"] is None for r in rows)
    text = board_markdown(rows)
    assert "diverged: the loss of D is not finite at step 3, seed 0" in text and "| – |" in text and "## All sets" not in text
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
    assert all(s["reached"] in (None, *range(1, 11)) and s["frechet"] > ring["floor"]["frechet"] >= 0 for s in scores)
    assert ring["worst"] == min(s["captured"] for s in scores) and 0 < ring["megabytes"] < 1


def row(name, tv, captured=(8, 6, 7), where="ring", tried=1, reached=(None, 20, 10), seeds=(0, 1, 2), runs=3):
    job = Job("minimax", "ring", runs=runs, group=runs, steps=20)
    part = {"seconds": 1.5, "n_modes": 8, "megabytes": .25, "seeds": list(seeds),
            "scores": [dict(captured=c, high_quality=.5, kl=None, tv=t, frechet=.02, reached=r) for c, t, r in zip(captured, tv, reached)],
            "floor": dict(captured=8., high_quality=.99, kl=.001, tv=0.01, frechet=.0001),
            "null": dict(captured=4.3, high_quality=.002, kl=.7, tv=.9)}
    cell = BoardCell(name, where, job, tried=tried)
    return board_row(cell, {digest: part for digest, _ in cell.parts()})


def test_the_board_says_what_its_protocols_count():
    fair = [row(name, (.1, .2, .3)) | {"protocol": "fair"} for name in "ab"]
    text = board_markdown(fair)
    assert text.count("Protocol *fair* (this course): a mode is captured if it has at least 50 % of the good samples that a perfect generator has there.") == 1
    assert "a picture counts only if its classifier is sure. KL is to the set's own shares." in text
    other = board_markdown([fair[0] | {"protocol": "selfcond"}])
    assert "Protocol *selfcond*" in other and "at least one good sample. A point" in other and "every picture counts. KL is to equal shares." in other
    assert "Protocol *" not in board_markdown([fair[0] | {"n_modes": None}])


def test_tables_say_what_is_told_apart():
    best, worse = row("good", (.2, .3, .4), tried=8), row("worse | so", (.3, .4, .51), captured=(1, 1, 1))
    text = board_markdown([worse, best])
    assert "| *a perfect generator* | 0.01 | 8 | – | 0.001 | 99 | 0.0001 |" in text and "| *uniform noise* | 0.9 | 4.3 | – | 0.7 | 0.2 | – |" in text
    assert text.index("| good | 0.3 [0.0516, 0.548] | 7 [4.52, 8] | 6 | – | 50 [50, 50] | 0.02 [0.02, 0.02] | 0.5 | 0.5 | 0.25 | 3 | 20 | 8 |  |  |") \
        < text.index("| worse \\| so | 0.403")
    assert told_apart(best, worse) and told_apart(worse, best)  # the intervals overlap, the paired difference does not hold 0
    assert "not told apart |" not in text
    assert not told_apart(best, row("twin", (.2, .3, .4))) and not told_apart(best, row("noisy", (.5, .2, .4)))
    assert "| not told apart |" in board_markdown([best, row("noisy", (.5, .2, .4))])
    assert "| within noise: TV |" in board_markdown([best, row("bad", (.95, .7, .9))]) and "within noise: TV" not in text
    assert told_apart(best, row("others", (.2, .3, .4), seeds=(7, 8, 9))) is None


@pytest.mark.parametrize("key, low, high, null, above", [
    ("tv", .1, .4, .5, True), ("tv", .1, .5, .5, False), ("tv", .6, .7, .5, False), ("kl", .1, .4, .5, True), ("kl", .4, .6, .5, False), ("kl", .4, .6, None, None),
    ("captured", 2, 4, 1, True), ("captured", 1, 4, 1, False), ("captured", 0, 0, 0, False), ("high_quality", .3, .4, .2, True), ("high_quality", .1, .4, .2, False),
    ("tv", None, None, .5, None)])
def test_a_measure_is_above_noise_only_with_its_whole_interval(key, low, high, null, above):
    """Less is better for TV and KL, more for the others; equal to noise is not above it."""
    measured = {"captured": {"low": 5, "high": 6}, "tv": {"low": .1, "high": .2}, "kl": None, "high_quality": {"low": .8, "high": .9}} | {key: {"low": low, "high": high}}
    found = measured | {"null": {"captured": 1, "tv": .5, "kl": .5, "high_quality": .2} | {key: null}}
    assert above_noise(found, key) is above and within_noise(found) == [key] * (above is False)
    assert above_noise({**found, key: None}, key) is None and above_noise({**found, "null": None}, key) is None


def test_the_tables_say_by_which_column_a_row_is_within_noise():
    low = row("low", (.2, .3, .4), captured=(1, 4, 1))
    low["kl"] = {"mean": .8, "low": .6, "high": 1., "n": 3, "of": 3}
    text = board_markdown([low, row("good", (.3, .3, .3))])
    assert "| low | 0.3 [0.0516, 0.548] | *2 [0, 6.3]* | 1 | *0.8 [0.6, 1]* | 50 [50, 50] |" in text and "| within noise: modes captured, KL |" in text
    assert "| ring | 2 of 2 | 1 of 2 | 0 of 2 | 2 of 2 |" in text and "*0.3" not in text
    lost = {**row("lost", (.3, .3, .3)), "tv": None, "captured": None, "kl": None, "high_quality": None, "frechet": None, "worst": None, "null": None, "floor": None, "diverged": ["at step 3"]}
    assert within_noise(lost) == [] and "| ring | 1 of 2 | 0 of 2 | 0 of 2 | 1 of 2 |" in board_markdown([low, lost])


def test_rows_are_in_the_order_of_tv_and_ranks_are_over_all_sets():
    rows = [row(m, [tv] * 3, where=where) for m, where, tv in (
        ("a", "ring", .1), ("b", "ring", .2), ("c", "ring", .3), ("a", "grid", .3), ("b", "grid", .2), ("c", "grid", .4), ("only", "grid", .01))]
    assert [[r["method"] for r in own] for _, own in order_rows(rows)] == [["a", "b", "c"], ["only", "b", "a", "c"]]
    assert mean_ranks(seed_ranks(rows)) == [("a", [1, 2]), ("b", [2, 1]), ("c", [3, 3])]
    text = board_markdown(rows)
    assert "| a | 1.50 [1.00, 3.00] | 1.0 | 2.0 |  |  |  |" in text and "| c | 3.00 [3.00, 3.00] | 3.0 | 3.0 | 1.50 [1.50, 1.50] | 1.50 [-4.85, 7.85] | told apart on these sets only |" in text
    assert "| b | 1.50 [1.00, 3.00] | 1.0 | 2.0 | 0.00 [0.00, 0.00] | 0.00 [-12.71, 12.71] | not told apart |" in text and "| only | 1" not in text
    assert "Of 3 pairs of methods 2 are told apart on these sets" in text and "and 0 on sets like these" in text
    assert "## All sets" not in board_markdown(rows[:3]) and mean_ranks({}) == [] and seed_ranks([]) == {}


def test_differences_of_ranks_are_paired_over_seeds_and_over_sets():
    """Closed form: with two values a and b the 95 % interval is their mean plus and minus 12.706 |a - b| / 2."""
    hard = {"first": [{0: 1, 1: 2}, {0: 5, 1: 6}], "second": [{0: 3, 1: 2}, {0: 7, 1: 8}]}  # gaps 2, 0 and 2, 2
    seeds, sets = rank_difference(hard["second"], hard["first"])
    assert seeds.mean == sets.mean == 1.5 and sets.high == pytest.approx(1.5 + 12.7062 / 2, rel=1e-5)  # of 1 and 2
    assert seeds.low == pytest.approx(1.5 - 12.7062 / 2, rel=1e-5)  # of 2 and 1
    back = rank_difference(hard["first"], hard["second"])
    assert [(of.mean, of.low, of.high) for of in back] == [(-of.mean, -of.high, -of.low) for of in (seeds, sets)]
    far = {k: [*v, {s: r + 90 for s, r in v[1].items()}, {s: r - 3 for s, r in v[0].items()}] for k, v in hard.items()}
    assert rank_difference(far["second"], far["first"])[1].high < 3.4  # a set that is hard for both widens nothing
    assert rank_difference([{4: 2}], [{4: 1}]) == (None, None) and not excludes_zero(None)
    assert excludes_zero(rank_difference([{0: 3, 1: 3}] * 2, [{0: 1, 1: 1}] * 2)[1]) and not excludes_zero(rank_difference(*[[{0: 3, 1: 3}] * 2] * 2)[1])


def test_equal_values_share_ranks_and_a_seed_that_diverged_is_last():
    rows = [row("a", (.1, .2, .3)), row("b", (.1, .1, None)), row("c", (.4, .3, .2))]
    assert seed_ranks(rows) == {"a": [{0: 1.5, 1: 2, 2: 2}], "b": [{0: 1.5, 1: 1, 2: 3}], "c": [{0: 3, 1: 3, 2: 1}]}
    assert seed_ranks([*rows, row("d", (.1, .1, .1), seeds=(7, 8, 9))]) == {}  # no seed in common
    assert set(seed_ranks([*rows, row("a", (.1, .2, .3), where="grid"), row("c", (.1, .2, .3), where="grid")])) == {"a", "c"}


def test_seconds_to_the_modes_are_a_median_in_which_a_seed_that_fails_is_infinite():
    assert row("m", (.1,) * 3, reached=(None, 20, 10))["seconds to reach"] == .5 and row("m", (.1,) * 3, reached=(10, 20, 10))["seconds to reach"] == .25
    assert row("m", (.1,) * 3, reached=(None, None, 10))["seconds to reach"] is None
    assert row("m", (.1,) * 3, reached=(10, 10, 10), runs=8)["seconds to reach"] is None  # five seeds diverged


@pytest.mark.parametrize("captured, reached", [([8, 7, 8, 8], 30), ([8, 8, 8, 7], None), ([8] * 4, 10), ([0] * 4, None), ([0, 0, 0, 7.6], 40)])
def test_modes_that_are_lost_again_are_not_reached(captured, reached):
    assert leaderboard._reached(captured, [10, 20, 30, 40], 8) == reached


def test_looks_are_even_and_end_at_the_end():
    def stops(steps, looks):
        return BoardCell("m", "s", Job("minimax", "ring", steps=steps), looks=looks).stops()
    assert stops(1000, 4) == [250, 500, 750, 1000] and stops(10, 3) == [3, 6, 10] and stops(2, 10) == [1, 2] and stops(0, 10) == [0]
    for bad in (0, -1, 1.5, "2"):
        with pytest.raises((TypeError, ValueError), match="looks"):
            stops(10, bad)


def test_the_quick_version_gives_the_same_bits_twice_and_writes_nothing(file, capsys):
    file.write_text(FILE.replace("steps = 12", "steps = 600"))
    first = run_quick_board(file, "cpu")
    assert numbers(first) == numbers(run_quick_board(file, "cpu")) and [r["steps"] for r in first] == [10, 12, 12] and {r["runs"] for r in first} == {2}
    assert main(["bench", str(file), "--quick", "--device", "cpu"]) == 0
    told = capsys.readouterr()
    assert told.out.endswith(f"Digest of all scores and samples: {board_digest(first)}\n")
    assert "# A trial, no result" in told.out and told.err.count("done") == 3 and list(file.parent.iterdir()) == [file]


def test_the_quick_version_of_the_committed_board_gives_the_same_bits(root, tmp_path):
    """Every method of leaderboard.toml with its own settings, on one set; the workflow `ci` does it with all sets."""
    found = tomllib.loads((root / "benchmarks/leaderboard.toml").read_text())
    for name, table in found["methods"].items():
        table["sets"] = table.get("sets", ["line with far modes"])
    path = tmp_path / "b.json"
    path.write_text(json.dumps(found))
    rows = run_quick_board(path, "cpu")
    assert len(rows) == len(found["methods"]) == 15 and not any(r["diverged"] for r in rows)
    assert board_digest(rows) == board_digest(run_quick_board(path, "cpu")) and list(tmp_path.iterdir()) == [path]
    assert board_digest(rows) != board_digest(rows[1:]) and len({board_digest([r]) for r in rows}) == 15
    slower = [{**r, "parts": {k: p | {"seconds": 9.} for k, p in r["parts"].items()}} for r in rows]
    assert board_digest(slower) == board_digest(rows)


def test_a_digest_sees_one_bit(file, monkeypatch):
    from modelab.training.run import Run
    honest, first = Run.sample, run_quick_board(file, "cpu")

    def flipped(self, n):
        made = honest(self, n)
        if n == 100:
            made.view(-1).detach().numpy().view("u4")[-1] ^= 1
        return made
    monkeypatch.setattr(Run, "sample", flipped)
    assert board_digest(first) != board_digest(run_quick_board(file, "cpu"))


@pytest.mark.parametrize("values, expected", [([], None), ([None, None], None), ([3.], {"mean": 3., "low": None, "high": None, "n": 1, "of": 4}),
                                              ([0., 0., None], {"mean": 0., "low": 0., "high": 0., "n": 2, "of": 4})])
def test_summaries_of_few_seeds(values, expected):
    assert summarise(values, 4, high=8) == expected


TRIED = """
runs = 2
steps = 40
batch = 8

[tuning]
runs = 2

[every_method]
width = 8
schedule = "linear"

[sets.ring]
[sets.five]
modes = "line"
steps = 20

[methods.minimax]
try = [{lr = {G = 1e-3, D = 2e-3}}, {lr = 1e-2, betas = [0.5, 0.9]}]

[methods.bigan]
depth = 1
"""


@pytest.fixture
def tried(tmp_path):
    path = tmp_path / "t.toml"
    path.write_text(TRIED)
    return path


def test_each_setting_of_a_list_is_tried_on_seeds_of_its_own(tried):
    a, b, c, d = read_board_file(tried)
    assert [len(x.tries) for x in (a, b, c, d)] == [2, 2, 0, 0] and [x.tried for x in (a, c)] == [2, 1]
    assert c.job.game["depth"] == 1 and a.job.game["depth"] == 2 and {x.job.game["width"] for x in (a, b, c, d)} == {8}
    for cell, short in ((a, 10), (b, 5)):
        for trial, played in cell.tries:
            assert (trial.job.steps, trial.job.runs, trial.job.seed, trial.job.group) == (short, 2, 100, 2)
            assert (played.job.steps, played.job.runs, played.job.seed) == (4 * short, 2, 0)
            assert trial.job.game["schedule"]["steps"] == short and played.job.game["schedule"]["steps"] == 4 * short  # of its own length
            same = {k: v for k, v in trial.job.game.items() if k != "schedule"}
            assert same == {k: v for k, v in played.job.game.items() if k != "schedule"} and trial.job.modes == played.job.modes
    assert [played.setting for _, played in a.tries] == ["lr D 0.002, G 0.001", "lr 0.01; betas 0.5, 0.9"] and a.job == a.tries[0][1].job


def test_the_setting_with_the_least_mean_tv_is_played(tried):
    cell = read_board_file(tried)[0]
    names = [trial.parts()[0][0] for trial, _ in cell.tries]

    def part(*tv):
        return {"scores": [{"tv": v} for v in tv]}
    first, second = (played.job for _, played in cell.tries)
    assert choose_setting(cell, dict(zip(names, (part(.4, .2), part(.1, .4))))).job == second
    assert choose_setting(cell, dict(zip(names, (part(.2, .2), part(.2, .2))))).job == first  # of equals the first
    assert choose_setting(cell, dict(zip(names, ({"diverged": "at step 3"}, part(1., 1.))))).job == second
    assert choose_setting(cell, dict(zip(names, (part(None, .1), part(.9, .9))))).job == second
    assert trial_tv(cell.tries[0][0], {names[0]: part(.5, .25)}) == .375
    plain = read_board_file(tried)[2]
    assert choose_setting(plain, {}) is plain


def test_a_tuned_board_keeps_its_trials_and_needs_no_second_one(tried, monkeypatch):
    rows = run_board(tried, "cpu")
    assert [r["tried"] for r in rows] == [2, 2, 1, 1] and [len(r["trials"]) for r in rows] == [2, 2, 0, 0]
    for r in rows[:2]:
        best = min(r["trials"], key=lambda t: t["tv"])
        assert r["setting"] == best["setting"] and not set(r["parts"]) & {n for t in r["trials"] for n in t["parts"]}
        assert best["tv"] == pytest.approx(sum(s["tv"] for p in best["parts"].values() for s in p["scores"]) / 2, abs=1e-6)
    publish_board(rows, tried)
    assert f"| 2 | {rows[0]['setting']} |" in tried.with_suffix(".md").read_text() and "(the full grid, no halving)" in tried.with_suffix(".md").read_text()
    import shutil
    shutil.rmtree(tried.with_suffix(".parts"))
    monkeypatch.setattr(leaderboard, "run_part", None)  # everything is in the board
    assert run_board(tried, "cpu") == rows
    old = [{k: v for k, v in r.items() if k not in ("trials", "setting")} for r in rows if not r["tried"] > 1]  # as boards were before
    tried.with_suffix(".json").write_text(json.dumps({"rows": old}))
    tried.write_text(TRIED.partition("[methods.minimax]")[0] + "[methods.bigan]\ndepth = 1\n")
    assert run_board(tried, "cpu") == rows[2:]


@pytest.mark.parametrize("n, part, rungs, cost", [(1, .25, [(.25, 1)], .25), (2, .25, [(.25, 2)], .5), (3, .25, [(.25, 3), (.5, 2)], 1.75), (4, .25, [(.25, 4), (.5, 2)], 2),
                                                  (8, .25, [(.25, 8), (.5, 4), (1, 2)], 6), (16, .25, [(.25, 16), (.5, 8), (1, 4)], 12), (5, .4, [(.4, 5), (.8, 3), (1, 2)], 6.4),
                                                  (9, 1., [(1, 9)], 9)])
def test_the_budget_of_halving_is_declared(n, part, rungs, cost):
    halving, plain = BoardTuning(part=part, rule="halving"), BoardTuning(part=part)
    assert halving.rungs(n) == rungs and halving.cost(n) == pytest.approx(cost)
    assert plain.rungs(n) == [(part, n)] and plain.cost(n) == pytest.approx(part * n)


HALVED = TRIED.replace("[tuning]\nruns = 2", '[tuning]\nruns = 2\nrule = "halving"').replace(
    "try = [{lr = {G = 1e-3, D = 2e-3}}, {lr = 1e-2, betas = [0.5, 0.9]}]", "try = [{lr = 1e-3}, {lr = 2e-3}, {lr = 4e-3}, {lr = 8e-3}, {lr = 1e-2}]")


def test_halving_trains_the_better_half_longer_and_plays_the_best_of_the_last(tried):
    tried.write_text(HALVED)
    cell = read_board_file(tried)[0]
    assert [[at.job.steps for at in (first, *first.longer)] for first, _ in cell.tries] == [[10, 20, 40]] * 5 and cell.tried == 5
    assert all((at.job.seed, at.job.runs) == (100, 2) for first, _ in cell.tries for at in first.longer)
    lr = lambda at: at.job.game["lr"]
    known, curves = {}, {1e-3: (.1, .2, .9), 2e-3: (.5, 0, 0), 4e-3: (.3, .1, .2), 8e-3: (.2, .3, .1), 1e-2: (None, 0, 0)}

    def learn(rung):
        for trial in trials_at(cell, known, rung):
            (name, _), = trial.parts()
            known[name] = {"scores": [{"tv": curves[lr(trial)][rung]}] * 2, "seconds": 1.}
        return [lr(trial) for trial in trials_at(cell, known, rung)]
    assert learn(0) == [1e-3, 2e-3, 4e-3, 8e-3, 1e-2]
    assert learn(1) == [1e-3, 8e-3, 4e-3] and learn(2) == [4e-3, 1e-3] and trials_at(cell, known, 3) == []  # better first; a fourth length there is not
    assert choose_setting(cell, known).job.game["lr"] == 4e-3  # 8e-3 would be better yet, and was left out at half length
    assert len(known) == 5 + 3 + 2
    rows = [trial_row(trial, played.setting, known) for trial, played in cell.tries]
    assert [r["tv at each length"] for r in rows] == [[.1, .2, .9], [.5], [.3, .1, .2], [.2, .3], [None]]
    assert [r["tv"] for r in rows] == [.9, .5, .2, .3, None] and [len(r["parts"]) for r in rows] == [3, 1, 3, 2, 1]
    for first, _ in cell.tries:
        for at in (first, *first.longer):
            known.setdefault(at.parts()[0][0], {"scores": [{"tv": .4}]})
    equal = {name: {"scores": [{"tv": .4}]} for name in known}
    assert choose_setting(cell, equal).job.game["lr"] == 1e-3 and [lr(t) for t in trials_at(cell, equal, 1)] == [1e-3, 2e-3, 4e-3]  # of equals the first


def test_a_board_tuned_by_halving_says_so_and_is_not_trained_twice(tried, monkeypatch):
    tried.write_text(HALVED)
    heard = []
    rows = run_board(tried, "cpu", tell=heard.append)
    assert len(heard) == 2 * (5 + 3 + 2 + 1) + 2  # two sets; bigan has no list
    assert [len(t["tv at each length"]) for t in rows[0]["trials"]].count(3) == 2 and rows[0]["tried"] == 5
    assert rows[0]["setting"] == min((t for t in rows[0]["trials"] if len(t["parts"]) == 3), key=lambda t: t["tv"])["setting"]
    publish_board(rows, tried)
    assert "successive halving" in tried.with_suffix(".md").read_text()
    import shutil
    shutil.rmtree(tried.with_suffix(".parts"))
    monkeypatch.setattr(leaderboard, "run_part", None)
    assert run_board(tried, "cpu") == rows


@pytest.mark.parametrize("old, new, says", [
    ("runs = 2\n\n[every", "seed = 1\n\n[every", "methods.minimax.try, setting 1: tuning.seed: expected seeds apart from the board's 0 to 1, got 1 to 4"),
    ("runs = 2\n\n[every", "rums = 2\n\n[every", "tuning: unknown 'rums', did you mean 'runs'"), ("runs = 2\n\n[every", "part = 0.0\n\n[every", "tuning.part: expected"),
    ("{lr = 1e-2,", "{steps = 9,", "try, setting 2: steps: expected a setting of the method"), ("{lr = 1e-2,", '{protocol = "pacgan",', "setting 2: protocol: expected a setting"),
    ("[sets.ring]", '[sets."a/b"]\nmodes = "ring"', "sets: expected names of letters.*'a/b'"), ("runs = 2\n\n[every", "part = 2.0\n\n[every", "part: expected"), ("{lr = 1e-2,", "{lt = 1e-2,", "try, setting 2: .*lt"),
    ("try = [", "try = [3, ", "try, setting 1: expected a table of settings, got 3"), ("depth = 1", "try = 1", "methods.bigan.try: expected a list of settings"),
    ("runs = 2\n\n[every", 'rule = "halve"\n\n[every', "tuning.rule: unknown 'halve', did you mean 'halving'"), ("width = 8", "widht = 8", "widht"), ('"linear"', '"liner"', "liner"), ("[every_method]", "[every_methods]", "did you mean 'every_method'")])
def test_bad_lists_of_settings_are_refused(tried, old, new, says):
    assert old in TRIED
    tried.write_text(TRIED.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"t.toml: .*{says}"):
        read_board_file(tried)
    tried.write_text("tuning = 3\n" + TRIED.replace("[tuning]\nruns = 2\n", ""))
    with pytest.raises(ValueError, match="tuning: expected a table"):
        read_board_file(tried)


@pytest.mark.parametrize("setting, words", [({"lr": {"G": 2e-3, "D": 20.5}, "weight": 1.}, "lr D 20.5, G 0.002; weight 1"), ({"form": "linear", "n": 0}, "form linear; n 0"),
                                            ({"betas": [0., .99], "weight": 10.05, "on": True}, "betas 0, 0.99; weight 10.05; on True"), ({}, "")])
def test_settings_in_words(setting, words):
    assert setting_words(setting) == words


@pytest.mark.parametrize("shape", [(5, 2), (3, 1), (2, 3, 4, 4), (0, 2)])
def test_packed_samples_come_back_within_half_a_step(shape):
    import torch
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 6 - 3
    note = json.loads(json.dumps(pack_samples(x, -3., 3.)))
    back = unpack_samples(note)
    assert back.shape == x.shape and (back - x).abs().max().item() <= 3.1 / 65535 if x.numel() else back.shape == x.shape
    outside = unpack_samples(pack_samples(torch.tensor([[9., -9., float("inf"), float("nan")]]), -3., 3.))
    assert outside.tolist() == [[3., -3., 3., -3.]]


def test_a_board_keeps_samples_and_shows_them_beside_the_data(tried, monkeypatch):
    import torch
    from modelab.training import board_samples
    rows = run_board(tried, "cpu")
    notes = [part["samples"] for r in rows for part in r["parts"].values()]
    assert [n["shape"] for n in notes] == [[500, 2], [500, 1]] * 2
    assert not any("samples" in part for r in rows for t in r["trials"] for part in t["parts"].values())
    cell = choose_setting(read_board_file(tried)[0], {n: p for t in rows[0]["trials"] for n, p in t["parts"].items()})
    again = cell.job.start(range(2), "cpu").step(40).sample(500)[0]
    assert (unpack_samples(notes[0]) - again.clamp(notes[0]["low"], notes[0]["high"])).abs().max() < 1e-3  # of the first seed
    drawn = []
    monkeypatch.setattr(board_samples, "_plot_samples", lambda ax, modes, x, ends: drawn.append(x))
    ring = [r for r in rows if r["set"] == "ring"]
    assert plot_board_samples(ring).alt == "Samples on ring, first seed: the data, then minimax, bigan"
    assert len(drawn) == 3 and (drawn[0].norm(dim=1) - 1).abs().max() < .2 and torch.equal(drawn[1], unpack_samples(notes[0]))
    later = {**ring[0], "parts": {"lost": {"diverged": "at step 3"}, **ring[0]["parts"]}}
    assert plot_board_samples([later]).alt.endswith("then minimax")  # of the first group that did not diverge
    assert plot_board_samples([{**r, "parts": {}} for r in ring]) is None and plot_board_samples([{**r, "tv": None} for r in ring]) is None
    names = [p.name for p in publish_board(rows, tried)]
    assert {"t_ring.png", "t_five.png"} <= set(names) and "(t_five.png)" in tried.with_suffix(".md").read_text()


def test_what_all_rows_of_a_set_share_stands_once_in_the_file(tried):
    rows = run_board(tried, "cpu")
    text = board_json("t.toml", rows)
    found = json.loads(text)
    assert text.count('"null": {') == len(found["sets"]) == 2 and board_rows(found) == rows and text.count("\n") == len(rows) + 4
    ring, five = found["sets"]["ring"], found["sets"]["five"]
    assert ring["null"] == rows[0]["null"] and ring["data"]["shape"] == [500, 2] and len(ring["circles"]) == 8
    assert all(abs((x * x + y * y) ** .5 - 1) < 1e-3 for x, y, _ in ring["circles"]) and len({r for *_, r in ring["circles"]}) == 1
    assert {len(c) for c in five["circles"]} == {2} and five["data"]["low"] == rows[1]["parts"].popitem()[1]["samples"]["low"]
    other = json.loads(json.dumps(rows[:1])) + [{**rows[2], "null": {"tv": .5}}]  # another protocol: it keeps its own
    assert board_rows(json.loads(board_json("t.toml", other))) == other
    lost = [{**rows[0], "floor": None, "null": None, "parts": {"x": {"seeds": [0], "diverged": "at step 3"}}, "trials": []}]
    assert board_rows(json.loads(board_json("t.toml", lost))) == lost and board_rows(json.loads(board_json("t.toml", lost + rows[2:3])))[0] == lost[0]
    assert board_rows({"file": "t.toml", "rows": rows}) == rows and board_rows({}) == []


def test_samples_of_pictures_are_a_sheet(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text("runs = 1\nsteps = 1\nbatch = 4\n[sets.stacked_digits]\n[methods.minimax]\nwidth = 4\n")
    row, = run_board(path, "cpu")
    note = next(iter(row["parts"].values()))["samples"]
    assert note["shape"] == [16, 3, 8, 8] and unpack_samples(note).abs().max() <= 1 and plot_board_samples([row]).png


def test_an_interval_of_the_board_stays_in_the_possible_range():
    assert interval([0., 0., 8.]).low < 0 and interval([0., 8., 8.]).high > 8
    assert summarise([0., 0., 8.], 3)["low"] == 0 and summarise([0., 8., 8.], 3, high=8)["high"] == 8


def test_the_committed_board_is_what_its_file_asks_for(root):
    """After a change of the file or of a game's defaults: python -m modelab bench benchmarks/leaderboard.toml"""
    path = root / "benchmarks/leaderboard.toml"
    rows, cells = published(path), read_board_file(path)
    assert [(r["method"], r["set"]) for r in rows] == [(c.method, c.set) for c in cells]
    for r, c in zip(rows, cells):
        kept = r["parts"] | {name: part for trial in r["trials"] for name, part in trial["parts"].items()}
        assert kept.keys() >= {name for trial, _ in c.tries for name, _ in trial.parts()}, f"{c.method} on {c.set}: other settings were tried"
        chosen = choose_setting(c, kept)
        assert set(r["parts"]) == {name for name, _ in chosen.parts()}, f"{c.method} on {c.set} was run with other settings"
        assert numbers([board_row(chosen, kept)]) == numbers([r]) and r["tried"] == len(c.tries) == len(r["trials"]) >= 4
        assert r["setting"] == min((t for t in r["trials"] if t["tv"] is not None), key=lambda t: t["tv"])["setting"]
    shown = {name: (f"leaderboard_{name.replace(' ', '_')}.png", plot_board_samples(own).alt) for name, own in order_rows(rows)}
    assert path.with_suffix(".md").read_text() == board_markdown(rows, pictures=shown) and path.with_suffix(".png").exists()
    assert all((path.parent / file).exists() for file, _ in shown.values())
    assert path.with_suffix(".json").read_text().count('"null": {') == len(shown) == 5  # once for each set
    assert not any({"tv", "high_quality"} & set(within_noise(r)) for r in rows)  # no row is within noise by these
    assert 3600 < sum(r["seconds per seed"] * r["runs"] for r in rows) < 3 * 3600  # of one core, without the trials
