"""The command line: how fast it starts, what it prints, what it keeps, and how it refuses."""

import json
import os
import signal
import statistics
import subprocess
import sys

import pytest

from modelab import _index
from modelab.__main__ import main
from modelab.core.registry import COMMANDS, load
from modelab.course.chapters import chapters_path, copy_chapters
from modelab.training.run import Diverged, Run


def shell(capsys, *words):
    try:
        status = main([str(w) for w in words])
    except SystemExit as end:
        status = end.code
    said = capsys.readouterr()
    return status, said.out, said.err


TRAIN = ["train", "minimax", "ring", "--runs", 2, "--device", "cpu", "--set", "width=8", "--batch", 16]


def test_train_prints_a_table(capsys):
    status, out, _ = shell(capsys, *TRAIN, "--steps", 5)
    assert status == 0
    for word in ("modes captured", "high quality", "floor", "ceiling", "null", "95 %"):
        assert word in out, word


def test_train_saves_and_resumes(capsys, tmp_path):
    path = tmp_path / "run.safetensors"
    assert shell(capsys, *TRAIN, "--steps", 7, "--save-every", 3, "--out", path)[0] == 0
    assert Run.load(path, device="cpu").steps == 7
    status, out, _ = shell(capsys, "train", "--resume", path, "--steps", 5, "--device", "cpu", "--out", path)
    assert status == 0 and Run.load(path, device="cpu").steps == 12 and "12 steps" in out


def test_train_keeps_a_folder_and_the_same_command_goes_on(capsys, tmp_path):
    out = tmp_path / "run"
    words = [*TRAIN, "--save-every", 3, "--keep", 2, "--out", out, "--steps"]
    status, first, said = shell(capsys, *words, 10)
    assert status == 0 and "saved in" in said
    assert [p.name for p in sorted(out.rglob("step-*"))] == ["step-000000009.safetensors", "step-000000010.safetensors"]
    assert shell(capsys, *words, 10)[:2] == (0, first)  # the same again: nothing is trained, the same is said
    assert shell(capsys, *words, 12)[0] == 0 and Run.load(out, device="cpu").steps == 12
    assert shell(capsys, "train", "--resume", out, "--steps", 2, "--device", "cpu")[0] == 0 and Run.load(out, device="cpu").steps == 14
    status, last, _ = shell(capsys, "train", "--resume", out, "--device", "cpu")
    assert status == 0 and "14 steps" in last
    straight = shell(capsys, *TRAIN, "--steps", 14)[1]
    assert last == straight
    for change, says in ((["--seed", 3], "seed was 0, not 3"), (["--group", 1], "group was 8, not 1"), (["--set", "depth=3"], "another run: game")):
        status, _, said = shell(capsys, *words, 14, *change)
        assert status == 2 and says in said and "--resume" in said


def test_groups_of_seeds(capsys, tmp_path):
    words = ["train", "minimax", "ring", "--runs", 3, "--group", 2, "--device", "cpu", "--set", "width=8", "--batch", 16, "--steps", 4]
    status, out, _ = shell(capsys, *words, "--out", tmp_path / "run")
    assert status == 0 and "mean of 3 runs" in out and "seeds 0–2" in out
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"job.json", "seeds-0-1", "seeds-2-2"}
    status, _, said = shell(capsys, *words, "--out", tmp_path / "run.safetensors")
    assert status == 2 and "2 groups of seeds need a folder" in said
    assert shell(capsys, *words)[1] == out


def test_shards_and_precision_from_the_command_line(capsys, tmp_path):
    status, _, _ = shell(capsys, *TRAIN, "--steps", 3, "--shards", 4, "--precision", "bf16", "--out", tmp_path / "run")
    run = Run.load(tmp_path / "run", device="cpu")
    assert status == 0 and (run.shards, run.precision) == (4, "bf16")


@pytest.mark.parametrize("words, says", [
    ([*TRAIN, "--keep", 0], "--keep"), ([*TRAIN, "--keep", 2, "--out", "x.safetensors"], "--keep: expected a folder"), ([*TRAIN, "--group", 0], "group: expected"),
    ([*TRAIN, "--shards", 3], "batch, shards"), ([*TRAIN, "--precision", "fp8"], "precision"), ([*TRAIN, "--out", "/proc/modelab"], "cannot write in"),
    (["bench", "nowhere.toml"], "no benchmark file nowhere.toml"), (["bench", "x", "--save-every", 0], "--save-every"),
    (["train"], "expected GAME and MODES"), (["train", "minimaxx", "ring"], "did you mean 'minimax'"), (["train", "minimax", "rnig"], "did you mean 'ring'"),
    ([*TRAIN, "--steps", -1], "--steps: expected"), ([*TRAIN, "--runs", 0], "runs: expected"), ([*TRAIN, "--device", "abacus"], "device: expected"),
    ([*TRAIN, "--set", "widht=3"], "did you mean 'width'"), ([*TRAIN, "--set", "name=wasserstein"], "--set: expected a setting, got name"),
    ([*TRAIN, "--set", "lr=1", "--set", "lr=2"], "--set: expected each setting once, got lr twice"), (["train", "minimax", "ring", "--set", "width=1000000000000"], "not enough memory"),
    ([*TRAIN, "--set", "lr={\"G\": 1, \"D\": 1, \"Q\": 1}"], "lr: unknown 'Q'"), ([*TRAIN, "--set", "networks={\"width\": 8}"], "got both"),
    ([*TRAIN, "--set", "width"], "name=value"), ([*TRAIN, "--set", "depth=-1"], "depth: expected"),
    ([*TRAIN, "--protocol", "pcgan"], "protocol"), ([*TRAIN, "--save-every", 0], "--save-every"), (["train", "--resume", "nowhere"], "no checkpoint nowhere"),
    ([*TRAIN, "--steps", "ten"], "invalid int value"), (["fly"], "invalid choice"), ([], "required")])
def test_refusals_are_short_and_exit_with_2(capsys, words, says):
    status, out, err = shell(capsys, *words)
    assert status == 2 and says in err and "Traceback" not in err and not out
    assert len([line for line in err.splitlines() if not line.startswith((" ", "usage"))]) == 1


FAULTS = {KeyError("layer"): "KeyError: 'layer'", RuntimeError("two\nlines"): "RuntimeError: two lines", AssertionError(): "AssertionError",
          ModuleNotFoundError("No module named 'mine'", name="mine"): "ModuleNotFoundError: No module named 'mine'", RecursionError("too deep"): "RecursionError: too deep",
          TypeError("f() missing 1 required positional argument: 'x'"): "TypeError: f() missing", ValueError(): "ValueError", SystemExit(): "SystemExit",
          SystemExit("give up"): "SystemExit: give up", SystemExit(1): "SystemExit: 1", SystemExit(0): "SystemExit: 0",
          RuntimeError("unsupported memory format"): "RuntimeError: unsupported memory format"}


@pytest.fixture
def run_as_course(monkeypatch):
    """Puts a function into the place of what `modelab course` does."""
    def place(run):
        monkeypatch.setitem(COMMANDS, "course", lambda parser: run)
    load("command", "course")
    return place


def raising(error):
    def run(args):
        raise error
    return run


@pytest.mark.parametrize("error, says", FAULTS.items(), ids=lambda v: v if isinstance(v, str) else "")
def test_whatever_goes_wrong_in_a_command_is_two_and_named(run_as_course, capsys, error, says):
    """1 means a finding; a crash must not look like one, and neither like success."""
    run_as_course(raising(error))
    status, out, err = shell(capsys, "course")
    assert (status, out) == (2, "") and err == err.splitlines()[0] + "\n" and "Traceback" not in err
    assert err.startswith("modelab course: ") and says in err and "--traceback" in err


@pytest.mark.parametrize("error, says", [(ModuleNotFoundError("No module named 'seaborn'", name="seaborn"), "pip install seaborn"), (ModuleNotFoundError("No module named 'PIL'", name="PIL"), "pip install pillow"),
                                         (ImportError("features: this needs timm; pip install timm"), "pip install timm")])
def test_a_missing_package_is_named_with_what_installs_it(run_as_course, capsys, error, says):
    run_as_course(raising(error))
    status, _, err = shell(capsys, "course")
    assert status == 2 and err.startswith(f"modelab course: {error}") and err.endswith(f"{says}\n")


def test_bench_asks_for_the_packages_of_its_picture_before_the_work(monkeypatch, capsys):
    from modelab.training import leaderboard
    monkeypatch.setattr(leaderboard, "run_board", lambda *a, **k: pytest.fail("it began to work"))
    monkeypatch.setitem(sys.modules, "seaborn", None)
    assert shell(capsys, "bench", "board.toml") == (2, "", "modelab bench: the picture of the board needs seaborn; install with: pip install seaborn\n")


@pytest.mark.parametrize("error", [ValueError("level: expected more"), TypeError("betas of G: expected two numbers, got 3"), FileNotFoundError("no file x"),
                                   Diverged("loss of G is NaN"), MemoryError("much")])
def test_what_is_refused_is_said_without_its_kind(run_as_course, capsys, error):
    run_as_course(raising(error))
    says = "not enough memory" if isinstance(error, MemoryError) else str(error)
    assert shell(capsys, "course") == (2, "", f"modelab course: {says}\n")


def test_a_traceback_is_shown_where_it_is_asked_for(run_as_course, capsys):
    run_as_course(raising(KeyError("layer")))
    status, _, err = shell(capsys, "course", "--traceback")
    assert status == 2 and err.startswith("Traceback") and "in raising" not in err and "raise error" in err
    assert err.splitlines()[-1].startswith("modelab course: KeyError: 'layer'")


def test_a_command_that_cannot_be_loaded_is_two(monkeypatch, capsys):
    monkeypatch.setitem(COMMANDS, "course", raising(ImportError("libfoo.so is broken")))
    status, _, err = shell(capsys, "course", "x")
    assert status == 2 and err.startswith("modelab course: ImportError: libfoo.so is broken")


def test_the_rank_is_named_where_there_are_several(run_as_course, monkeypatch, capsys):
    run_as_course(raising(ValueError("no")))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert shell(capsys, "course")[2] == "modelab course, rank 1: no\n"


@pytest.mark.parametrize("kind, status", [(KeyboardInterrupt, 130), (None, 0)])
def test_other_ends(run_as_course, capsys, kind, status):
    run_as_course(raising(kind()) if kind else lambda args: None)
    assert shell(capsys, "course") == (status, "", "modelab: stopped\n" if kind else "")


@pytest.mark.parametrize("how", ["cause", "context"])
def test_ctrl_c_while_a_package_is_imported_is_no_error(monkeypatch, capsys, how):
    """Some packages turn the interrupt into an ImportError of their own."""
    def importing(*_):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as stop:
            raise ImportError("numpy._core.multiarray failed to import") from (stop if how == "cause" else None)
    monkeypatch.setitem(COMMANDS, "course", importing)
    assert shell(capsys, "course") == (130, "", "modelab: stopped\n")


def test_a_full_disk_is_two():
    if not os.path.exists("/dev/full"):  # on Linux there is
        return
    with open("/dev/full", "w") as full:
        run = subprocess.run([sys.executable, "-m", "modelab", "data"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 2 and run.stderr.count("\n") == 1 and run.stderr.startswith("modelab data: ")


def test_a_pipe_that_is_closed_is_neither_sound_nor_a_finding():
    reads, writes = os.pipe()
    os.close(reads)
    run = subprocess.run([sys.executable, "-m", "modelab", "data"], stdout=writes, stderr=subprocess.PIPE, text=True)
    os.close(writes)
    assert run.returncode == 141 and not run.stderr


def test_version(capsys):
    assert shell(capsys, "--version") == (0, f"modelab {_index.VERSION}\n", "")
    assert loaded("from modelab.__main__ import main; main(['--version'])") == []


def test_help_has_examples(capsys):
    for words in (["--help"], ["train", "--help"], ["course", "--help"], ["bench", "--help"]):
        status, out, _ = shell(capsys, *words)
        assert status == 0 and "modelab " in out
    assert "modelab train minimax stacked_digits" in shell(capsys, "train", "--help")[1]


def seconds(*words: str) -> float:
    """The processor time that a new Python takes, which a busy machine does not lengthen much."""
    before = os.times()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@pytest.fixture(scope="module")
def torch_seconds() -> float:
    """What a new Python takes that only imports torch."""
    return statistics.median(seconds("-c", "import torch") for _ in range(5))


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["train", "--help"], ["sample", "--help"], ["course", "--help"], ["data", "--help"]],
                         ids=" ".join)
def test_help_comes_at_once(words, torch_seconds):
    """In shares of what `import torch` takes: about 2 s, so .15 of it is .3 s."""
    seconds("-m", "modelab", *words)  # compiled from now on
    assert statistics.median(seconds("-m", "modelab", *words) for _ in range(5)) / torch_seconds <= .15


LOADS = """
import sys
try:
    {code}
except SystemExit:
    pass
print("loaded:", *sorted(set(sys.modules) & {{"torch", "numpy", "sklearn", "scipy", "matplotlib", "tqdm", "pandas"}}))
"""


def loaded(code: str) -> list[str]:
    """The heavy packages that a new Python has loaded after `code`."""
    out = subprocess.run([sys.executable, "-c", LOADS.format(code=code)], check=True, capture_output=True, text=True).stdout
    return out.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("code", [
    "import modelab; modelab.__version__; dir(modelab)", "import modelab.core.checks, modelab.core.registry, modelab.core.files",
    "import modelab.__main__", "from modelab.__main__ import main; main(['--help'])",
    "from modelab.__main__ import main; main(['train', '--help'])", "from modelab.__main__ import main; main(['data', '--help'])",
    "import modelab.data.catalogue, modelab.course.chapters, modelab.training.commands"])
def test_nothing_heavy_is_loaded_before_it_is_needed(code):
    assert loaded(code) == []


def test_loading_is_noticed():
    assert {"torch", "numpy"} <= set(loaded("import modelab; modelab.ring"))


def test_unknown_names_list_every_known_one_though_nothing_is_loaded():
    code = ("import json, sys; from modelab.core.registry import make; said = []\n"
            "for kind, name in (('game', 'foo'), ('modes', 'foo'), ('kind', 'foo')):\n"
            "    try: make(kind, name)\n"
            "    except ValueError as error: said.append(str(error))\n"
            "print(json.dumps([said, 'torch' in sys.modules]))")
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    (game, modes, kind), heavy = json.loads(out)
    assert game.startswith("game: unknown 'foo'. Known: ") and modes.startswith("modes: unknown 'foo'. Known: ")
    assert set(_index.GAMES) <= set(game.partition("Known: ")[2].split(", "))
    assert set(_index.MODE_SETS) <= set(modes.partition("Known: ")[2].split(", "))
    assert kind.startswith("kind: unknown 'kind'") and not heavy


def test_interrupt_keeps_the_run(tmp_path):
    path = tmp_path / "run"
    child = subprocess.Popen([sys.executable, "-m", "modelab", *map(str, TRAIN), "--steps", "1000000", "--save-every", "20", "--out", str(path)],
                             stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        while child.poll() is None and not list(path.rglob("step-*")):
            pass
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130 and "stopped after step" in err and "modes captured" in out and "Traceback" not in err
    assert f"at step {Run.load(path, device='cpu').steps}" in err


def test_course_copies_and_never_overwrites(capsys, tmp_path):
    there = tmp_path / "mine"
    status, out, _ = shell(capsys, "course", there)
    expected = {p.relative_to(chapters_path()) for p in chapters_path().rglob("*.ipynb") if not any(q.startswith((".", "_")) for q in p.relative_to(chapters_path()).parts)}
    assert status == 0 and {p.relative_to(there) for p in there.rglob("*.ipynb")} == expected and len(expected) >= 7
    assert shell(capsys, "course", there)[1].startswith("0 new chapters")
    (there / "index.ipynb").write_text("my notes")
    (there / "0_start" / "02_evidence.ipynb").unlink()
    status, _, err = shell(capsys, "course", there)
    assert status == 2 and "differ from the course" in err and (there / "index.ipynb").read_text() == "my notes"
    assert not (there / "0_start" / "02_evidence.ipynb").exists()


def test_course_refuses_a_file_as_folder(capsys, tmp_path):
    (tmp_path / "file").write_text("x")
    assert shell(capsys, "course", tmp_path / "file")[0] == 2
    with pytest.raises(FileExistsError):
        source = tmp_path / "source"
        source.mkdir()
        (source / "index.ipynb").write_text('{"cells": []}')
        copy_chapters(tmp_path / "t", source)
        (tmp_path / "t" / "index.ipynb").write_text("2")
        copy_chapters(tmp_path / "t", source)
