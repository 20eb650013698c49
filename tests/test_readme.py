"""The documents keep their word: code runs, commands exist, links lead somewhere, tables say what the notebooks say."""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import ledger
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from run_notebooks import ROOT, ChapterError, notebooks

from modelab.__main__ import main
from modelab.core.statistics import interval
from modelab.course.family_map import beside
from modelab.training.board_json import board_rows
from modelab.training.board_tables import above_noise, excludes_zero, mean_ranks, order_rows, rank_difference, seed_ranks, within_noise
from modelab.training.leaderboard import read_board_file

BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.M | re.S)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)|<img[^>]+src=\"([^\"]+)\"")
HARMLESS = {"cd", "source", "git", "uv", "jupyter", "echo", "mkdir", "export"}


def readme() -> str:
    """The text of README.md."""
    path = ROOT / "README.md"
    assert path.exists(), "README.md is missing: it is written by hand, with markers that data_scripts/ledger.py fills"
    return path.read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of `text` in `language`."""
    return [body for name, body in BLOCK.findall(text) if name == language]


def run(args: list[str], cwd: Path) -> str:
    """Run this Python in `cwd`; returns what went wrong, or nothing."""
    done = subprocess.run([sys.executable, *args], cwd=cwd, env=dict(os.environ, MODELAB_FAST="1"), timeout=300,
                          capture_output=True, text=True)
    return f"exit {done.returncode}: {done.stderr[-3000:]}" if done.returncode or "Traceback" in done.stderr else ""


def modelab(words: list[str], cwd: Path, right: tuple[int, ...] = (0,)) -> str:
    """Do `modelab WORDS` in `cwd`, in this process; returns what went wrong, or nothing if the exit status is `right`."""
    said = io.StringIO()
    try:
        with contextlib.chdir(cwd), contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            status = main(words)
    except SystemExit as stop:
        status = stop.code
    return "" if status in right and "Traceback" not in said.getvalue() else f"exit {status}: {said.getvalue()[-3000:]}"


def wrong_command(line: str, root: Path, cwd: Path) -> str:
    """What is wrong with a shell line of the README, or nothing; a `modelab …` line is run, with few steps."""
    words = shlex.split(line.removeprefix("$ "), comments=True)
    while words and re.fullmatch(r"\w+=\S*", words[0]):
        words = words[1:]
    if not words:
        return ""
    program, rest = Path(words[0]).name, words[1:]
    if program.startswith("python") and rest[:2] in (["-m", "pip"], ["-m", "modelab"]):
        program, rest = rest[1], rest[2:]
    if program == "torchrun" and "-m" in rest:  # what it starts, started once
        rest = rest[rest.index("-m"):]
        program, rest = rest[1], rest[2:]
    if program == "modelab" and rest[:1] == ["bench"]:  # minutes of work: the file must be there and in order
        try:
            return "" if read_board_file(root / rest[1]) else "no cells"
        except (OSError, ValueError) as error:
            return str(error)
    if program == "modelab" and rest[:1] in (["audit"], ["data"]):  # 1: they found something, or nothing
        return modelab(rest, cwd, right=(0, 1))
    if program == "modelab":
        short = {"--steps": "3", "--runs": "2"}
        rest = [short.get(before, word) for before, word in zip(["", *rest], rest)]
        missing = [k for k in short if rest[:1] == ["train"] and k not in rest]
        return modelab([*rest, *(w for k in missing for w in (k, short[k]))], cwd)
    if program == "make":
        targets = set(re.findall(r"^([\w-]+):", (root / "Makefile").read_text(encoding="utf-8"), re.M))
        asked = {w for w in rest if "=" not in w and not w.startswith("-")}
        return "" if asked <= targets else f"no such target: {', '.join(asked - targets)}"
    if program in ("pip", "pip3"):
        return wrong_pip(rest, root)
    if program.startswith("python") and rest and not rest[0].startswith("-"):
        return "" if (root / rest[0]).is_file() else f"no such file: {rest[0]}"
    if program.startswith("python") and rest[:2] == ["-m", "venv"] or program in HARMLESS:
        return ""
    return "nobody has said how to check this command"


def wrong_pip(words: list[str], root: Path) -> str:
    """What is wrong with the arguments of `pip`, or nothing."""
    parser = ConfigParser(delimiters=["="])
    parser.read(root / "settings.ini", encoding="utf-8")
    settings = parser["DEFAULT"]
    if words[:1] not in (["install"], ["wheel"]):
        return f"not an installation: pip {' '.join(words)}"
    for flag, word in zip(["", *words[1:]], words[1:]):
        if flag in ("-c", "--constraint") and not (root / word).is_file():
            return f"no such file: {word}"
        if word.startswith("-") or flag in ("-c", "--constraint", "-w", "--extra-index-url", "--index-url"):
            continue
        target, _, extras = word.rstrip("]").partition("[")
        unknown = [e for e in extras.split(",") if e and f"{e}_requirements" not in settings]
        wheel = re.fullmatch(r".*modelab-(.+)-py3-none-any\.whl", target)
        if unknown:
            return f"no such extra: {', '.join(unknown)}"
        if wheel and wheel[1] not in (settings["version"], "*"):
            return f"version {wheel[1]}, but this is {settings['version']}"
        if target != "." and not wheel and not target.startswith("git+"):
            return f"installs {word}, which is not this package"
    return ""


def dead_links(text: str, root: Path) -> list[str]:
    """Relative links and pictures of `text` that lead nowhere."""
    targets = [a or b for a, b in LINK.findall(text)]
    return [t for t in targets if "://" not in t and not t.startswith("mailto:") and not (root / t).exists()]


EACH = "import sys\nfor body in sys.argv[1:]: exec(compile(body, body, 'exec'), {'__name__': '__main__'})"  # none sees another's names


def test_python_blocks_run(tmp_path):
    found = blocks(readme(), "python")
    assert found, "README.md shows no python code: six lines of use in one's own code belong there"
    assert not run(["-c", EACH, *found], tmp_path)


def test_shell_lines_are_right(tmp_path):
    lines = [line for body in blocks(readme(), "sh") for line in body.replace("\\\n", " ").splitlines()]
    assert any(line.split()[:1] == ["make"] for line in lines), "README.md shows neither `make lab` nor `make test`"
    assert not {line: wrong for line in lines if (wrong := wrong_command(line, ROOT, tmp_path))}


def test_a_wrong_readme_is_noticed(tmp_path):
    assert blocks("```python\n1 / 0\n```\ntext\n```sh\nmake lab\n```\n", "python") == ["1 / 0\n"]
    assert "ZeroDivisionError" in run(["-c", EACH, "x = 1\n", "1 / 0\n"], tmp_path)
    assert "NameError" in run(["-c", EACH, "x = 1\n", "x\n"], tmp_path)
    bad = ["make fly", "pip install modelab", "pip install '.[cours]'", "pip install modelab-9.9-py3-none-any.whl",
           "pip install -c absent.txt .", "python data_scripts/absent.py", "modelab fly", "modelab bench absent.toml",
           "torchrun --nproc-per-node 2 -m modelab fly", "rm -r x"]
    assert all(wrong_command(line, ROOT, tmp_path) for line in bad)
    good = ["make test", "$ make lab ARGS=--no-browser", "pip install -c constraints.txt '.[course]'", "# a remark",
            "git clone x", "MODELAB_FAST=1 python data_scripts/ledger.py", ".venv/bin/modelab --help"]
    assert [wrong_command(line, ROOT, tmp_path) for line in good] == [""] * len(good)
    assert dead_links("[a](absent.md) [b](https://x.y) ![c](no.png) [d](setup.py#x)", ROOT) == ["absent.md", "no.png"]


DOCUMENTS = ["README.md", "LEDGER.md", "RELIABILITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md",
             "data_scripts/README.md", "examples/README.md"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    path = ROOT / name
    assert not dead_links(path.read_text(encoding="utf-8"), path.parent)


def test_readme_is_short():
    assert len(readme().splitlines()) <= 140


def test_the_table_of_methods_says_what_is_recorded():
    """Its figures are those of the board and of the ledger."""
    rows = board_rows(json.loads((ROOT / "benchmarks/leaderboard.json").read_text(encoding="utf-8")))
    (best, ranks), *others = mean_ranks(seed_ranks(rows))
    assert f"{best} has the best mean rank of {number_word(len(others) + 1)} methods over {number_word(len(ranks))} sets, though first on none and not clearly ahead" in readme()
    low = [within_noise(row) for row in rows]
    assert f"by it each of its {len(rows)} rows is better than uniform noise" in readme() and not any("tv" in keys for keys in low)
    assert f"alone {sum('kl' in keys for keys in low)} are not, because noise spreads" in readme() and all(above_noise(row, "tv") for row in rows)
    places = {name: [row["method"] for row in own] for name, own in order_rows(rows)}
    ranked = seed_ranks(rows)
    assert best not in [own[0] for own in places.values()] and not all(excludes_zero(rank_difference(ranked[other], ranked[best])[0]) for other, _ in others)
    assert [name for name, own in places.items() if own[0] == "flow matching"] == ["rare_modes", "line with far modes"]
    assert places["grid"].index("flow matching") == 11 and "first of fourteen methods on both such sets of the board (7.5 of the 9 modes of `rare_modes`" in readme()
    rare = {row["method"]: row["captured"]["mean"] for row in rows if row["set"] == "rare_modes"}
    flow, *rest = sorted(rare.values(), reverse=True)
    assert flow == rare["flow matching"] == 7.5 and 2.3 < rest[0] < 2.4 and "where each GAN has at most 2.4)" in readme()
    seconds = {row["method"]: row["seconds per seed"] for row in rows if row["set"] == "stacked_digits"}
    assert places["stacked_digits"][0] == "IMLE" and 5 < seconds["IMLE"] / seconds["WGAN-GP"] < 5.5 and "in a fifth of its time WGAN-GP" in readme()
    gans = [m for m in places["stacked_digits"] if m not in ("IMLE", "ground metric")]
    assert gans[0] == "WGAN-GP"  # the ground metric, which is second, takes twice its time
    ledger = (ROOT / "LEDGER.md").read_text(encoding="utf-8")
    for claim, ours, theirs in (("A penalty on D's slope captures rare modes", "R1 8.75", "1.25"), ("The recall of eyeglasses rises", "1.00", "0.34"),
                                ("HexaGAN at the authors' settings and length fills cells with less error", "0.077", "iterative regression 0.044")):
        row = next(line for line in ledger.splitlines() if claim in line)
        assert ours in row and theirs in row, row
        assert claim.startswith("HexaGAN") or theirs.lstrip("0") in readme()
    errors = {row["setting"]: row["error"] for row in json.loads((ROOT / "benchmarks/tabular.json").read_text(encoding="utf-8"))["tumours"] if "error" in row}
    ratio = sum(errors["iterative regression"]) / sum(errors["HexaGAN, authors' settings and length"])
    assert f"the first has {ratio:.2f} times the error of HexaGAN".replace("0.", ".") in readme()


def test_the_caption_of_the_first_picture_says_what_is_recorded():
    caption = next(line for line in readme().splitlines() if line.startswith("*Three handwritten digits"))
    kept = json.loads((ROOT / "benchmarks/minimax.json").read_text(encoding="utf-8"))
    rows = {row["setting"]: row["raw"]["captured"].removesuffix(" over 8 seeds") for row in kept["stacked_digits"]}
    for units in (16, 128):
        assert f"{units} units shows {rows[f'D {units} units, lr 0.001, betas (0.0, 0.9)']}" in caption
    assert "1500 on stacked_digits" in kept["what"] and "After 1,500 steps" in caption
    assert "N, STEPS = 26_000, 1500" in (ROOT / "benchmarks/modes_picture.py").read_text() and "of 26,000, that" in caption
    noise = re.search(r"captured .*; perfect 1000, noise (\d+)", (ROOT / "nbs/1_game/01_minimax.ipynb").read_text(encoding="utf-8"))
    assert abs(int(noise[1]) - 225) <= 1 and "random pixels show about 225" in caption


def test_the_sentences_on_random_sets_say_what_is_recorded():
    rows = json.loads((ROOT / "benchmarks/family.json").read_text(encoding="utf-8"))["report"]
    r1, penalty = (beside(rows, method, "BiGAN")["all sets"] for method in ("R1", "PairwiseBiGAN"))
    gan = beside(rows, "R1", "Minimax")["all sets"]
    assert f"less total variation than BiGAN on {r1['better']} of {r1['sets']} random sets, more on {r1['worse']}. Beside" in readme()
    assert (f"captures more modes on {gan['modes']['better']} of them and fewer on {gan['modes']['worse']}; by total variation neither is ahead "
            f"({gan['better']} and {gan['worse']})") in readme()
    assert penalty["sets"] == 100 and penalty["modes"]["better"] > penalty["modes"]["worse"] and penalty["worse"] > penalty["better"]


def number_word(n):
    return {5: "five", 9: "nine", 10: "ten", 11: "eleven", 12: "twelve", 13: "thirteen", 14: "fourteen"}[n]


def test_the_tests_that_reliability_names_exist():
    text = (ROOT / "RELIABILITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+)::(test_\w+)`", text)
    assert named and not [f"{file}::{test}" for file, test in named
                          if f"def {test}(" not in (ROOT / f"tests/{file}.py").read_text(encoding="utf-8")]


def test_tables_are_what_the_notebooks_say():
    assert not ledger.stale(ROOT, notebooks()), "run: python data_scripts/ledger.py --write"


def chapter(path: Path, *rows: dict) -> Path:
    """A stored chapter that shows claims."""
    outs = [new_output("execute_result", {ledger.CLAIM: row, "text/plain": "…"}) for row in rows]
    cells = [new_markdown_cell("# Modes\n> Data whose modes are known"), new_markdown_cell("| **Question** | Which modes? |"),
             new_code_cell("#| default_exp data.modes"), *(new_code_cell("claim(…)", outputs=[out]) for out in outs)]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"modelab": {"seconds": 90.0}}), path)
    return path


ROW = dict(claim="a | b", paper="Somebody 2018", section="§2", figure="", ours="7.5 [7.1, 7.9]", baseline="3 [2, 4]",
           verdict="holds")
EMPTY = "top\n<!-- chapters -->\n<!-- /chapters -->\nmiddle\n<!-- ledger -->\nstale row\n<!-- /ledger -->\nend\n"
FIRST, SECOND = "nbs/0_a/01_first.ipynb", "nbs/1_b/04_second.ipynb"


def empty_index(root: Path) -> None:
    """An index notebook whose table of questions is still to be filled."""
    path = root / "nbs/index.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Index\n<!-- questions -->\n<!-- /questions -->")]), path)


def test_ledger_is_derived(tmp_path):
    paths = [chapter(tmp_path / FIRST, ROW), chapter(tmp_path / SECOND)]
    text = ledger.renewed(EMPTY, paths, tmp_path)
    assert f"| 0.1 | [Modes]({FIRST}) | Data whose modes are known | `modelab.data.modes` | 1.5 |" in text
    assert "| 0.1 | a \\| b | Somebody 2018, §2 | 7.5 [7.1, 7.9] | 3 [2, 4] | holds |" in text
    assert ledger.renewed(text, paths, tmp_path) == text and "stale row" not in text and text.endswith("end\n")
    empty_index(tmp_path)
    index = ledger.renewed_index((tmp_path / "nbs/index.ipynb").read_text(), paths, tmp_path)
    assert "| Which modes? | [1.4 Modes](1_b/04_second.ipynb) |" in nbformat.reads(index, as_version=4).cells[0].source


@pytest.mark.parametrize("change, complaint", [({"verdict": "not judged (short walk)"}, "full length"),
                                               ({"ours": 7.5}, "ours")])
def test_ledger_refuses_what_was_not_judged(tmp_path, change, complaint):
    path = chapter(tmp_path / FIRST, ROW | change)
    with pytest.raises(ChapterError, match=f"01_first.ipynb.*{complaint}"):
        ledger.renewed(EMPTY, [path], tmp_path)


def test_ledger_command_tells_stale_from_fresh(tmp_path, monkeypatch, capsys):
    path = chapter(tmp_path / FIRST, ROW)
    monkeypatch.setattr(ledger, "ROOT", tmp_path)
    monkeypatch.setattr(ledger, "notebooks", lambda: [path])
    assert ledger.main([]) == 2
    empty_index(tmp_path)
    shutil.copyfile(ROOT / "jupytext.toml", tmp_path / "jupytext.toml")
    (tmp_path / "LEDGER.md").write_text("no markers")
    assert ledger.main([]) == 2 and "<!-- chapters -->" in capsys.readouterr().err
    (tmp_path / "LEDGER.md").write_text(EMPTY)
    assert ledger.main([]) == 1 and "+| 0.1 |" in capsys.readouterr().out
    assert ledger.main(["--write"]) == 0 and ledger.main([]) == 0


def test_shares_of_the_other_tools_time_and_memory_are_the_recorded_ones():
    line = next(line for line in readme().splitlines() if "torch-fidelity by the clock" in line)
    rows = {row["peer"]: row for row in json.loads((ROOT / "benchmarks/peers.json").read_text(encoding="utf-8"))["beside"]}
    short = lambda share: f"{share:.2f}".removeprefix("0")
    for peer in ("torch-fidelity", "torchmetrics"):
        time, memory = short(rows[peer]["share of its clock time"]), short(rows[peer]["share of its memory"])
        assert time in line and memory in line and line.index(time) < line.index(memory)
    assert max(gap for row in rows.values() for gap in row["differences"].values()) < 1e-7


def test_the_line_on_equal_time_is_recorded():
    rows = {row["setting"]: row for row in json.loads((ROOT / "benchmarks" / "equal_time.json").read_text(encoding="utf-8"))["digits"]}
    assert "with 30 seconds a seed it is closest of nine tuned generators, and IMLE's pictures are blurred" in readme()
    assert len(rows) == 9 and {row["seconds"] for row in rows.values()} == {30.}
    tv = {name: sum(row["tv"]["by seed"]) for name, row in rows.items()}
    others = [[a - b for a, b in zip(rows["GAN + R1"]["tv"]["by seed"], row["tv"]["by seed"])] for name, row in rows.items() if name != "GAN + R1"]
    assert min(tv, key=tv.get) == "GAN + R1" and all(excludes_zero(interval(differences)) for differences in others)
    assert max(rows["IMLE"]["sharpness"]["by seed"]) < .8 < min(v for name, row in rows.items() if name != "IMLE" for v in row["sharpness"]["by seed"])
