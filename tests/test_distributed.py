"""modelab.training.distributed: gradients of shards, the same bits on any number of processes, locks, kills, full disks."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelab.__main__ import main
from modelab.core.files import file_lock
from modelab.data.mixtures import ring
from modelab.losses.penalties import gradient_penalty
from modelab.methods.minimax import Minimax
from modelab.methods.wasserstein import critic_loss, Wasserstein
from modelab.networks.players import Networks
from modelab.training.checkpoints import list_checkpoints
from modelab.training.distributed import (Checkpoints, connect_ranks, data_parallel,
                                          handle_sigterm, Job, Ranks, ranks_from_environment,
                                          scaling_efficiency, train_group, train_job)
from modelab.training.run import Run

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
JOB = Job({"name": "minimax", "width": 8}, {"name": "ring", "radius": 2}, steps=20, runs=5, group=2, batch=16)


def small(**kw) -> Run:
    return Run(kw.pop("game", Minimax(networks=Networks(width=8))), ring(radius=2, std=.02), **{"runs": 2, "batch": 16, "device": "cpu", **kw})


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("shards", [2, 4])
def test_shards_add_up_to_the_gradient_of_the_whole_batch(double, shards):
    """Through the engine, with a penalty under double backward: 1e-12 in float64, though only 1e-6 is promised."""
    g = torch.Generator().manual_seed(0)
    x, z = 2 * torch.randn(2, 32, 2, generator=g), torch.randn(2, 32, 2, generator=g)

    class Fixed(Wasserstein):
        def loss_D(self, t):
            at = t._place[1] if len(t._place) > 1 else 0
            real, noise = (v.chunk(t._run.shards, 1)[at] for v in (x, z))
            fake = t.G(noise).detach()
            halfway = (real + fake) / 2  # the engine's own random places would differ between shards and whole
            return critic_loss(t.D(real), t.D(fake)) + 10 * gradient_penalty(t.D, halfway, halfway)
    divided, undivided = (small(game=Fixed(networks=Networks(width=16)), batch=32, shards=n) for n in (shards, 1))
    losses = [run._turn(0, "D") for run in (divided, undivided)]
    a, b = (run.players.flat["D"].grad for run in (divided, undivided))
    assert a.dtype == torch.float64 and b.abs().max() > .1
    assert torch.allclose(a, b, atol=1e-12, rtol=0) and torch.allclose(*losses, atol=1e-12, rtol=0)


RANKS = """
import os, sys, torch, torch._dynamo  # once, not in every child
home, dies = sys.argv[1], False
from modelab.training.distributed import connect_ranks, data_parallel
from modelab.networks.players import Networks
from modelab.data.mixtures import ring
from modelab.training.run import Run
from modelab.methods.wasserstein import Wasserstein
class Double(Wasserstein):
    def loss_D(self, t):
        t.x = t.x.double()
        if dies and t.step == 4 and os.environ["RANK"] == "1":
            os._exit(7)
        return super().loss_D(t)
torch.set_default_dtype(torch.float64)
for size, dies in ((1, False), (2, False), (4, False), (2, True)):
    children = []
    for rank in range(size):
        child = os.fork()
        if not child:
            os.environ.update(RANK=str(rank), WORLD_SIZE=str(size))
            try:
                with connect_ranks(f"file://{home}/meet{size}{dies}") as us:
                    run = Run(Double(networks=Networks(width=16)), ring(radius=2, std=.02), runs=2, batch=32, shards=4, device="cpu")
                    data_parallel(run, us).step(8)
                    torch.save({**run.players.state(), **run.losses, "told": torch.tensor(us.gather(us.rank))}, f"{home}/{size}-{rank}")
                    os._exit(0)
            except ConnectionError as error:
                print("rank", rank, "says", error, flush=True)
                os._exit(3)
        children.append(child)
    print([os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children], flush=True)
"""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """A folder with what one, two and four ranks trained, and what they printed; last, what two printed of which one died."""
    home = tmp_path_factory.mktemp("ranks")
    done = subprocess.run([sys.executable, "-c", RANKS, str(home)], capture_output=True, text=True, env=ONE_THREAD, timeout=300)
    assert done.returncode == 0, done.stderr
    *lived, died = done.stdout.split("\n", 3)
    return home, lived, died


def test_processes_train_one_game_as_one_process_does(ranks):
    tmp_path, lived, _ = ranks
    assert lived == ["[0]", "[0, 0]", "[0, 0, 0, 0]"]
    alone = torch.load(tmp_path / "1-0", weights_only=True)
    for size in (2, 4):
        every = [torch.load(tmp_path / f"{size}-{r}", weights_only=True) for r in range(size)]
        assert every[0]["told"].tolist() == list(range(size))
        for key in alone.keys() - {"told"}:
            assert torch.allclose(every[0][key], alone[key], atol=1e-6, rtol=0), key
            assert all(torch.equal(every[0][key], other[key]) for other in every), f"{key} differs between ranks"


def test_a_lost_rank_is_noticed_by_the_others(ranks):
    died = ranks[2]
    assert "rank 0 says another rank is gone" in died and "[3, 7]" in died


def command(steps, out):
    return ["train", "minimax", "ring", "--set", "width=8", "--set", "lr=0.002", "--runs", "4", "--group", "2", "--batch", "16",
            "--device", "cpu", "--save-every", "25", "--steps", str(steps), "--out", str(out)]


def test_a_dead_rank_is_named_and_the_same_command_goes_on_to_the_same_bits(tmp_path):
    """Two ranks, one of them killed; the same command again, to the end; every file as one process writes it."""
    spread_out, straight = tmp_path / "spread", tmp_path / "straight"
    child = subprocess.Popen([*TORCHRUN, "-m", "modelab", *command(10 ** 7, spread_out)], stderr=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, text=True, env=ONE_THREAD)
    try:
        while child.poll() is None and not all(list(spread_out.glob(f"{g}/step-*")) for g in ("seeds-0-1", "seeds-2-3")):
            time.sleep(.02)
        os.kill(int((spread_out / "seeds-2-3/.run.lock").read_text().split()[1]), signal.SIGKILL)
        report = child.communicate(timeout=200)[1]
    finally:
        child.kill()
    assert child.returncode and "rank      : 1 (" in report and "exitcode  : -9" in report
    reached = {p.parent.name: int(p.stem[5:]) for p in sorted(spread_out.rglob("step-*"))}
    assert reached["seeds-2-3"] % 25 == 0 and len(reached) == 2
    goal = max(reached.values()) + 30
    note = json.loads((spread_out / "job.json").read_text())
    (spread_out / "job.json").write_text(json.dumps({**note, "steps": goal}))
    again = subprocess.run([*TORCHRUN, "-m", "modelab", *command(goal, spread_out)], capture_output=True, text=True, env=ONE_THREAD)
    assert again.returncode == 0 and again.stdout.count("modes captured") == 1 and "seeds 0–3" in again.stdout
    assert main(command(goal, straight)) == 0
    for group in reached:
        ours, theirs = (list_checkpoints(folder / group)[0] for folder in (spread_out, straight))
        assert ours.name == theirs.name == f"step-{goal:09d}.safetensors" and ours.read_bytes() == theirs.read_bytes()


def test_two_hundred_kills_in_small(root, tmp_path):
    """Twenty kills of training and saving here; two hundred are recorded in benchmarks/distributed.json."""
    out = tmp_path / "out.json"
    subprocess.run([sys.executable, str(root / "benchmarks/distributed.py"), "kills", "--kills", "20", "--out", str(out)], check=True,
                   capture_output=True, env=ONE_THREAD, timeout=300)
    recorded = json.loads((root / "benchmarks/distributed.json").read_text())["kills"]
    for found, n in ((json.loads(out.read_text())["kills"], 20), (recorded, 200)):
        assert found["kills"] == n and found["damaged checkpoints"] == found["a saved step lost"] == 0
        assert found["most steps lost"] <= found["steps between checkpoints"] and found["last step"] > 0


@given(runs=st.integers(1, 40), seed=st.integers(0, 9), group=st.integers(1, 20), size=st.integers(1, 9))
@settings(max_examples=60)
def test_every_seed_is_trained_once_whatever_the_ranks(runs, seed, group, size):
    import dataclasses
    groups = dataclasses.replace(JOB, runs=runs, seed=seed, group=group).groups()
    dealt = [s for rank in range(size) for g in groups[rank::size] for s in g]
    assert sorted(dealt) == list(range(seed, seed + runs)) and all(len(g) <= group for g in groups)


def test_group_size_is_part_of_the_result_and_processes_are_not(tmp_path):
    """Groups fix how many seeds are multiplied side by side; who trains them, and in which order, is free."""
    whole, _ = train_job(JOB, out=tmp_path / "a", device="cpu")
    again, last = train_job(JOB, device="cpu")
    assert len(whole) == 5 and last == 20 and [c.numbers() for c in whole] == [c.numbers() for c in again]
    parts = [train_group(JOB, seeds, device="cpu").coverage() for seeds in reversed(JOB.groups())]
    assert [c.numbers() for p in reversed(parts) for c in p] == [c.numbers() for c in whole]


@pytest.mark.parametrize("kw, word", [
    (dict(game="minimaxx"), "game"), (dict(modes="rings"), "modes"), (dict(runs=0), "runs"), (dict(group=0), "group"), (dict(steps=-1), "steps"),
    (dict(batch=9, shards=2), "batch, shards"), (dict(shards=0), "shards"), (dict(precision="fp8"), "precision"), (dict(average=1.), "average"), (dict(seed=1.5), "seed")])
def test_bad_jobs(kw, word):
    with pytest.raises((ValueError, TypeError), match=f"^{word}: "):
        Job(**{"game": "minimax", "modes": "ring", **kw})


def test_a_folder_is_for_one_job(tmp_path):
    import dataclasses
    JOB.settle(tmp_path)
    assert Job.read(tmp_path) == JOB
    dataclasses.replace(JOB, steps=30).settle(tmp_path)
    for change, word in ((dict(steps=10), "steps was 30, not 10"), (dict(group=3), "group was 2"), (dict(seed=1), "seed"),
                         (dict(game={"name": "minimax", "width": 9}), "game")):
        with pytest.raises(ValueError, match=f"holds another run: .*{word}"):
            dataclasses.replace(JOB, **{"steps": 30, **change}).settle(tmp_path)
    for text in ("", "[]", '{"game": "minimax"}', '{"game": "minimax", "modes": "ring", "run": 1}', "{" * 9):
        (tmp_path / "job.json").write_text(text)
        with pytest.raises(ValueError, match="does not say what was trained"):
            Job.read(tmp_path)
    with pytest.raises(FileNotFoundError, match="no job.json"):
        Job.read(tmp_path / "absent")


def test_a_file_of_another_run_is_not_gone_on_with(tmp_path):
    import dataclasses
    seeds = JOB.groups()[0]
    with Checkpoints(tmp_path / "one.safetensors") as kept:
        train_group(JOB, seeds, kept, device="cpu")
        assert train_group(dataclasses.replace(JOB, steps=25), seeds, kept, device="cpu").steps == 25
        for change, word in ((dict(steps=24), "steps was 25, not 24"), (dict(batch=8), "batch"), (dict(game="bigan"), "game"), (dict(precision="bf16"), "precision")):
            with pytest.raises(ValueError, match=f"one.safetensors holds another run: {word}"):
                train_group(dataclasses.replace(JOB, **{"steps": 25, **change}), seeds, kept, device="cpu")
        with pytest.raises(ValueError, match="seed was 0, not 2"):
            train_group(dataclasses.replace(JOB, steps=25), JOB.groups()[1], kept, device="cpu")


def test_half_a_step_is_never_saved(tmp_path):
    """Ctrl-C twice within one step: the second ends it in the middle; the checkpoint is the one before."""
    class Twice(Minimax):
        def loss_G(self, t):
            if t.step == 7:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            return super().loss_G(t)
    job, run = Job("minimax", "ring", steps=20, runs=2, batch=16), small(game=Twice(networks=Networks(width=8)))
    with Checkpoints(tmp_path) as kept:
        with pytest.raises(KeyboardInterrupt):
            train_group(job, range(2), kept, every=5, device="cpu", run=run)
        assert run.torn and kept.load("cpu", game=Twice(networks=Networks(width=8))).steps == 5
        with pytest.raises(ValueError, match="the step after 7 was cut in half; go back to the last checkpoint, .*step-000000005"):
            run.save(tmp_path / "half")


def test_the_last_n_are_kept_and_leavings_cleared(tmp_path):
    (tmp_path / ".step-000000001.safetensors.abcd_e12").write_text("half")
    (tmp_path / "mine.txt").write_text("mine")
    with Checkpoints(tmp_path, keep=3) as kept:
        assert kept.load("cpu") is None
        run = small()
        for _ in range(5):
            kept.save(run.step(1))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.txt", *(f"step-00000000{n}.safetensors" for n in (3, 4, 5))]
    assert Run.load(tmp_path, device="cpu").steps == 5
    one, half = tmp_path / "one.safetensors", tmp_path / ".one.safetensors.abcd_e12"
    half.write_text("half")
    with Checkpoints(one) as kept:
        kept.save(run)
        kept.save(run.step(1))
    assert kept.load("cpu").steps == 6 and not half.exists() and not list(tmp_path.glob("*.lock"))


def test_one_process_at_a_time_and_a_killed_one_lets_go(tmp_path):
    code = "import sys, time; from modelab.training.distributed import Checkpoints; c = Checkpoints(sys.argv[1]).__enter__(); print('in', flush=True); time.sleep(99)"
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, env=ONE_THREAD)
    try:
        assert child.stdout.readline() == b"in\n"
        with pytest.raises(BlockingIOError, match=f"in use by process {child.pid} on"), Checkpoints(tmp_path):
            pass
        with Checkpoints(tmp_path, writes=False) as reader:
            assert reader.load("cpu") is None and reader.save(small()) is None and not list_checkpoints(tmp_path)
    finally:
        child.kill()
        child.wait()
    assert (tmp_path / ".run.lock").exists()  # the file outlives the process, the lock does not
    with Checkpoints(tmp_path) as kept:
        kept.save(small())
    assert not (tmp_path / ".run.lock").exists()
    with file_lock(tmp_path / "x"), pytest.raises(BlockingIOError, match="choose another place"), file_lock(tmp_path / "x"):
        pass


def test_a_full_disk_is_named_with_what_is_left(tmp_path, monkeypatch):
    with Checkpoints(tmp_path / "run") as kept:
        run = small().step(3)
        kept.save(run)

        def full(*_):
            raise OSError(28, "No space left on device")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="cannot write step 5 to .*No space left on device; the last whole checkpoint is .*step-000000003"):
            kept.save(run.step(2))
    assert [p.name for p in list_checkpoints(tmp_path / "run")] == ["step-000000003.safetensors"]


@pytest.fixture
def tiny_disk(tmp_path):
    """A disk of half a megabyte, where mounting one is permitted."""
    there = tmp_path / "disk"
    there.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(there)], capture_output=True).returncode:
        pytest.skip("mounting a small disk is not permitted here; the injected fault stands for it")
    yield there
    subprocess.run(["umount", str(there)], check=True)


def test_a_disk_that_is_really_full_or_read_only(tiny_disk, capsys):
    words = ["train", "minimax", "ring", "--set", "width=64", "--runs", "4", "--batch", "8", "--device", "cpu", "--steps", "60",
             "--save-every", "20", "--keep", "9", "--out", str(tiny_disk / "run")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "No space left on device; the last whole checkpoint is" in said or "none" in said
    assert all(Run.load(p, device="cpu") for p in list_checkpoints(tiny_disk / "run"))
    (tiny_disk / "filler").unlink(missing_ok=True)
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    assert main(words) == 2 and "cannot write in" in capsys.readouterr().err
    subprocess.run(["mount", "-o", "remount,rw", str(tiny_disk)], check=True)


def test_sigterm_ends_with_a_saved_step(tmp_path):
    path = tmp_path / "run"
    words = [str(w) for w in command(10 ** 7, path)]
    child = subprocess.Popen([sys.executable, "-m", "modelab", *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ONE_THREAD)
    try:
        while child.poll() is None and not list(path.glob("*/step-*")):
            time.sleep(.02)
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=200)
    finally:
        child.kill()
    step = Run.load(path, device="cpu").steps
    assert child.returncode == 130 and f"stopped after step {step}" in err and step > 0


def test_handle_sigterm_gives_the_handler_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), handle_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_ends_a_run_where_ctrl_c_is_ignored():
    """As under nohup."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), handle_sigterm():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_shards_must_suit_the_ranks():
    with pytest.raises(ValueError, match="^shards: expected a multiple of 3 ranks, got 4"):
        data_parallel(small(shards=4), Ranks(0, 3))
    run = data_parallel(small(shards=4), Ranks(1, 2))
    assert list(run.local_shards) == [1, 3] and data_parallel(small(shards=4), Ranks()).add_up is None


def test_alone_without_torchrun(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    with connect_ranks() as us:
        assert (us.rank, us.size, us.gather("a"), us.device("cpu")) == (0, 1, ["a"], "cpu")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    assert str(ranks_from_environment()) == "rank 2 of 4" and ranks_from_environment().local == 2


def test_bf16_trains_near_float32_and_resumes_to_the_bit(tmp_path):
    def run():
        return small(game=Wasserstein(networks=Networks(width=32)), batch=64, precision="bf16")
    once, plain = run().step(6), small(game=Wasserstein(networks=Networks(width=32)), batch=64).step(6)
    assert not torch.equal(once.players.flat["D"], plain.players.flat["D"])
    assert torch.cosine_similarity(once.players.flat["D"], plain.players.flat["D"], dim=0) > .999
    assert all(v.dtype == torch.float32 for v in once.players.state().values())
    resumed = Run.load(run().step(3).save(tmp_path / "run"), device="cpu").step(3)
    assert resumed.precision == "bf16" and torch.equal(resumed.players.flat["D"], once.players.flat["D"])


def test_shards_resume_to_the_bit(tmp_path):
    resumed = Run.load(small(shards=4).step(5).save(tmp_path / "run"), device="cpu").step(5)
    straight = small(shards=4).step(10)
    assert resumed.shards == 4 and torch.equal(resumed.players.flat["D"], straight.players.flat["D"])
    assert not torch.equal(small().step(10).players.flat["D"], straight.players.flat["D"])


def test_a_game_of_your_own_is_kept(tmp_path):
    class Mine(Minimax):
        """Another loss, and no name in the registry."""
    with Checkpoints(tmp_path) as kept:
        kept.save(Run(Mine(networks=Networks(width=8)), ring(), runs=1, batch=8, device="cpu").step(2))
        assert kept.load("cpu", game=Mine(networks=Networks(width=8))).steps == 2


def test_efficiency():
    assert scaling_efficiency(1., 1e9, 1e9, 1) == 1 and scaling_efficiency(.04, 8e7, 1e10, 8) == pytest.approx(.04 / (.04 + 1.75 * .008))
    for bad in (dict(compute=0), dict(size=-1), dict(link=float("nan")), dict(devices=0)):
        with pytest.raises((ValueError, TypeError), match=f"^{list(bad)[0]}: "):
            scaling_efficiency(**{"compute": 1., "size": 1., "link": 1., "devices": 2, **bad})
