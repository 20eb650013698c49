"""modelab.training.game: determinism, resume, crashes, interrupts, divergence, bad input."""

import copy
import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from helpers import same_run as same
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from modelab.core.registry import GAMES, load_all, make, set_setting, with_settings
from modelab.core.seeding import derive_seed
from modelab.data.digits import digits
from modelab.data.mixtures import grid, mixture, ring
from modelab.methods.minimax import Minimax
from modelab.methods.wasserstein import ZeroCentred
from modelab.networks.layers import mlp
from modelab.networks.players import Networks
from modelab.training.game import Game
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Diverged, Run

load_all()
OURS = sorted(name for name, game in GAMES.items() if game.__module__.startswith("modelab."))


def small(**kw):
    settings = dict(game=Minimax(networks=Networks(width=8)), modes=ring(radius=2, std=.02), runs=2, batch=16, device="cpu") | kw
    return Run(**settings)


def test_same_seed_same_bits():
    assert same(small().step(20), small().step(20))
    assert not same(small().step(20), small(seed=1).step(20))


def test_state_is_a_function_of_steps_alone():
    straight, halting = small(average=.9).step(24), small(average=.9)
    for n in (1, 5, 0, 11, 7):
        halting.step(n).sample(3)
        halting.coverage("pacgan", n=50)
        torch.rand(7)
    assert same(straight, halting)


def test_a_shard_is_made_of_whole_groups():
    def play(batch, shards=1):
        return Run(Minimax(networks=Networks("grown", width=1, latent=2)), digits(), runs=1, batch=batch, shards=shards, device="cpu")
    for batch, shards in ((10, 1), (12, 2)):
        with pytest.raises(ValueError, match=f"^batch, shards: expected whole groups of 4 examples for D, got a batch of {batch} in {shards} shards"):
            play(batch, shards)
    assert play(12).steps == play(6, 2).steps == 0  # whole groups; shards smaller than one


def test_the_global_stream_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    small().step(3).sample(4)
    assert torch.equal(torch.rand(4), expected)


def test_samples_are_repeatable_and_apart_from_training():
    run = small().step(3)
    assert torch.equal(run.sample(9), run.sample(9)) and run.sample(9).shape == (2, 9, 2)
    assert not torch.equal(run.sample(9), run.step(1).sample(9))


def test_a_run_is_its_seed():
    """Run r of many draws what seed r alone draws; weights agree up to the rounding of stacked products."""
    many, alone = small(runs=4, seed=10).step(8), small(runs=1, seed=12).step(8)
    assert torch.allclose(many.sample(50)[2], alone.sample(50)[0], atol=1e-4)
    assert torch.allclose(many.losses["D"][:, 2], alone.losses["D"][:, 0], atol=1e-4)


@pytest.mark.parametrize("average", [0., .9])
def test_resume_equals_no_interruption(tmp_path, average):
    first = small(average=average).step(13)
    resumed = Run.load(first.save(tmp_path / "deep" / "run.safetensors"), device="cpu").step(12)
    assert same(resumed, small(average=average).step(25)) and resumed.steps == 25
    assert torch.equal(resumed.sample(5), small(average=average).step(25).sample(5))


def test_resume_before_the_first_step(tmp_path):
    assert same(Run.load(small().save(tmp_path / "run"), device="cpu").step(4), small().step(4))


def test_live_settings_are_saved(tmp_path):
    run = small().step(3)
    run.game.saturating = True
    set_setting(run.game, "lr", 5e-3)
    resumed = Run.load(run.step(3).save(tmp_path / "run"), device="cpu")
    assert resumed.game.saturating is True and same(resumed.step(4), run.step(4)) and not same(run, small().step(10))


@dataclass(kw_only=True)
class Patient(Game):
    """An unregistered game whose critic moves three times a step."""
    default_optimiser = Optimiser(1e-3, (.5, .9))
    turns = "D D D G"

    def players(self, event, latent, runs, generator):
        return {"G": mlp(latent, event, 8, runs=runs, generator=generator), "D": mlp(event, (), 8, runs=runs, generator=generator)}

    def loss_D(self, t):
        return t.D(t.G(t.z)).mean(-1) - t.D(t.x).mean(-1) + t.D(t.x).square().mean(-1)

    def loss_G(self, t):
        return -t.D(t.G(t.z)).mean(-1)


def test_turns_rates_and_unregistered_games(tmp_path):
    game = Patient(optimiser=Optimiser({"G": 0., "D": 1e-3}))
    run = small(game=game)
    start = {k: v.clone() for k, v in run.players.state().items()}
    run.step(2)
    now = run.players.state()
    assert all(torch.equal(start[k], now[k]) for k in start if k.startswith("player/G"))
    assert any(not torch.equal(start[k], now[k]) for k in start if k.startswith("player/D"))
    assert now["adam/D/step"].item() == 6 and now["adam/G/step"].item() == 2 and run.losses["D"].shape == (2, 2)
    path = run.save(tmp_path / "run")
    with pytest.raises(ValueError, match="game: .*pass game="):
        Run.load(path)
    assert same(Run.load(path, game=game, device="cpu").step(2), small(game=game).step(4))


def test_players_that_move_together():
    class Joint(Patient):
        turns = "D GE"

        def players(self, event, latent, runs, generator):
            return super().players(event, latent, runs, generator) | {"E": mlp(event, latent, 8, runs=runs, generator=generator)}

        def loss_GE(self, t):
            return self.loss_G(t) + t.E(t.x).square().mean((-1, -2))
    run = small(game=Joint()).step(3)
    assert {k: int(v) for k, v in run.players.state().items() if k.endswith("/step")} == {"adam/G/step": 3, "adam/D/step": 3, "adam/E/step": 3}


def test_a_turn_shows_how_its_players_are_trained():
    seen = []

    class Looks(Minimax):
        def loss_D(self, t):
            seen.append((t.players, t.players.rates("D", t.step)["lr"], len(t.players.adam["D"].state)))
            return super().loss_D(t)
    run = small(game=Looks(networks=Networks(width=8), optimiser=Optimiser(1e-3, schedule=Schedule("cosine", 10)))).step(3)
    assert all(players is run.players for players, *_ in seen)
    assert [lr for _, lr, _ in seen] == [run.players.rates("D", step)["lr"] for step in range(3)] and seen[0][1] > seen[2][1]
    assert [moments for *_, moments in seen] == [0, 1, 1]


def test_own_networks_with_frozen_layers_and_batch_norm(tmp_path):
    def make_G():
        net = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
        net[0].requires_grad_(False)
        return net
    def make_D():
        return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0))
    run = small(game=Minimax(G=make_G, D=make_D), average=.5)
    frozen = run.players.nets["G"].members[1][0].weight.clone()
    run.step(5)
    assert torch.equal(run.players.nets["G"].members[1][0].weight, frozen)
    assert run.players.nets["G"].members[0][1].running_mean.abs().sum() > 0 and run.players.nets["G"].training
    path = run.save(tmp_path / "run")
    with pytest.raises(ValueError, match="objects of your own"):
        Run.load(path, device="cpu")
    assert same(Run.load(path, game=Minimax(G=make_G, D=make_D), device="cpu").step(3), run.step(3))


def test_independent_sets_need_no_name(tmp_path):
    own = mixture([[0., 0.], [3., 0.]], .1)
    again = Run.load(small(modes=own).step(2).save(tmp_path / "run"), device="cpu")
    assert again.modes.n_modes == 2 and same(again.step(2), small(modes=own).step(4))


KILLER = """
import os, random, signal, sys, time
from modelab.training.run import Run
path, rng, seen = sys.argv[1], random.Random(0), 0
for attempt in range(20):
    run = Run.load(path, device="cpu")
    assert run.steps >= seen, (run.steps, seen)
    seen = run.steps
    folder = os.path.dirname(path)
    old = set(os.listdir(folder))
    child = os.fork()
    if not child:
        while True:
            run.step(1).save(path)
    if attempt % 2:  # any moment, or the moment a file is being written
        time.sleep(.02 + .08 * rng.random())
    while attempt % 2 == 0 and not any(name.startswith(".run.") for name in os.listdir(folder) if name not in old):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print(seen, Run.load(path, device="cpu").steps)
"""


def test_killed_while_saving_twenty_times(tmp_path):
    """kill -9, twenty times, of a process that only steps and saves: the checkpoint always reads, and never goes back."""
    path = small(game=Minimax(networks=Networks(width=128))).save(tmp_path / "run")
    done = subprocess.run([sys.executable, "-c", KILLER, str(path)], capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) >= 1  # a busy machine saves less often
    half_written = [p for p in tmp_path.iterdir() if p != path]  # a kill may leave temporary files, no damaged checkpoint
    assert half_written, "no kill ever hit a write: the test proves nothing"


@pytest.mark.parametrize("spoil", [
    lambda b: b"", lambda b: b[:7], lambda b: b[: len(b) // 2], lambda b: b[:-1], lambda b: b"x" * len(b), lambda b: b[:8] + b"{}" + b[10:],
    lambda b: (2 ** 60).to_bytes(8, "little") + b[8:]])
def test_damaged_checkpoints_are_refused(tmp_path, spoil):
    path = small().save(tmp_path / "run")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match="^path: .*run"):
        Run.load(path)


def test_other_files_are_refused(tmp_path):
    from safetensors.torch import save_file
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        Run.load(tmp_path / "absent")
    save_file({"a": torch.zeros(2)}, tmp_path / "other")
    with pytest.raises(ValueError, match="no modelab run"):
        Run.load(tmp_path / "other")
    torch.save({"a": 1}, tmp_path / "pickle.pt")
    with pytest.raises(ValueError, match="readable checkpoint"):
        Run.load(tmp_path / "pickle.pt")
    path = small().save(tmp_path / "run")
    with pytest.raises(ValueError, match="^game: .* was saved with width=8, got 9"):
        Run.load(path, game=Minimax(networks=Networks(width=9)), device="cpu")
    with pytest.raises(ValueError, match="^modes: .* was saved with ring, got mixture"):
        Run.load(path, modes=mixture([[0.], [1.]], .1), device="cpu")


def test_a_game_or_a_set_that_is_passed_must_be_the_one_that_was_saved(tmp_path):
    path = small().step(1).save(tmp_path / "run")
    for kw, says in ((dict(game=Minimax(networks=Networks(width=8), optimiser=Optimiser(.5))), "lr=0.001, got 0.5"),
                     (dict(game="wasserstein"), "minimax, got wasserstein"), (dict(game=Patient()), "minimax, got Patient"),
                     (dict(modes=ring(9, radius=2, std=.02)), "n=8, got 9"), (dict(modes="grid"), "ring, got grid"),
                     (dict(modes=SimpleNamespace(event=(2,))), "ring, got SimpleNamespace")):
        with pytest.raises(ValueError, match=f"^{next(iter(kw))}: .* was saved with {says}"):
            Run.load(path, device="cpu", **kw)
    same_set = dict(game=Minimax(networks=Networks(width=8)), modes=ring(radius=2, std=.02))
    assert same(Run.load(path, device="cpu", **same_set).step(1), small().step(2))


class Shifted(Minimax):
    """A class that is not registered and inherits the `.spec` of its parent."""

    def loss_G(self, t):
        return super().loss_G(t) + t.G(t.z).square().mean((-1, -2))


def test_a_subclass_is_not_saved_as_its_parent(tmp_path):
    game = Shifted(networks=Networks(width=8))
    path = small(game=game).step(2).save(tmp_path / "run")
    with pytest.raises(ValueError, match="was saved with a game that has no name; pass game="):
        Run.load(path, device="cpu")
    assert same(Run.load(path, game=game, device="cpu").step(2), small(game=game).step(4))


def test_networks_called_by_keyword_work_in_bf16():
    run = small(game=Minimax(networks=Networks(width=8)), precision="bf16").step(1)
    with run._bf16():
        assert run.players.nets["D"].forward(x=torch.zeros(2, 4, 2)).dtype == torch.float32
    assert run.step(1).steps == 2


def test_few_labels_in_bf16():
    run = Run("fewlabels", "ring", runs=2, batch=4, device="cpu", precision="bf16").step(2)
    assert all(rows.isfinite().all() for rows in run.losses.values())


class Reversed(Minimax):
    """G moves first, and its loss is NaN at step 4 for the last run."""
    turns = "G D"

    def loss_G(self, t):
        return super().loss_G(t) * torch.tensor([1., float("nan")]) if t.step == 4 else super().loss_G(t)


def test_a_divergence_is_the_fault_of_the_first_turn():
    with pytest.raises(Diverged, match="the loss of G is not finite at step 4, seed 1"):
        small(game=Reversed(networks=Networks(width=8))).step(9)


def test_a_loss_that_refuses_the_samples_of_a_diverged_run_is_a_divergence(tmp_path):
    run = Run(make("game", {"name": "imle", "lr": 1e30}), "ring", runs=2, batch=8, seed=5, device="cpu")
    with pytest.raises(Diverged, match="the loss of G is not finite at step 1, seed 5; no checkpoint was saved"):
        run.step(20)  # the error comes a step later, and the first loss that is not finite is reported

    class Strict(Minimax):
        def loss_D(self, t):
            if not t.G(t.z).isfinite().all():
                raise ValueError("x: expected finite numbers")
            return super().loss_D(t)
    for value in (torch.inf, 1e30):  # weights that are not finite, and finite weights with samples that are not
        run = small(game=Strict(networks=Networks(width=8)), seed=5).step(2)
        for weight in run.players.weights["G"]:
            weight.data[1] = value
        path = run.saved = tmp_path / "before"
        with pytest.raises(Diverged, match=f"loss of D has no value at step 2, seed 6: what G gives .*; the last checkpoint is {path}"):
            run.step(1)
        with pytest.raises((ValueError, Diverged)):
            run.save(tmp_path / "run")


def test_a_mistake_in_a_loss_stays_what_it_is():
    class Mistaken(Minimax):
        def loss_G(self, t):
            raise KeyError("mine")
    with pytest.raises(KeyError, match="mine"):
        small(game=Mistaken()).step(1)


class Kinked(Minimax):
    """At step 2 the loss is finite, and its gradient for the second run is NaN."""

    def loss_G(self, t):
        loss = super().loss_G(t)
        if t.step == 2:
            loss = loss + torch.stack([loss[0] * 0, (t.G(t.z)[1].sum() * 0).abs().sqrt() * 0])
        return loss


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    run = small(game=Kinked(networks=Networks(width=8)), seed=3).step(3)
    assert run.losses["G"].isfinite().all()
    with pytest.raises(Diverged, match="the weights of G are not finite after 3 steps, seed 4; no checkpoint"):
        run.save(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    plain = small(game=Minimax(G=lambda: nn.Linear(2, 2), D=lambda: nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))))
    next(iter(plain.players.nets["G"].members[1].parameters())).data.fill_(torch.inf)
    assert plain.players.not_finite(2) == ("G", [1])


@pytest.mark.parametrize("how", [copy.deepcopy, lambda run: pickle.loads(pickle.dumps(run)), copy.copy])
@pytest.mark.parametrize("average", [0., .9])
def test_a_copy_of_a_run_goes_on_by_itself(how, average):
    run = small(average=average).step(3)
    twin = how(run).step(2)
    assert run.steps == 3 and same(twin, small(average=average).step(5)) and same(run.step(2), twin)
    set_setting(twin.game, "lr", 0.)
    assert run.game.optimiser.lr == 1e-3


def test_rates_of_players_that_do_not_exist_are_refused():
    for kw in (dict(lr={"G": 1e-3, "D": 1e-3, "Q": 1.}), dict(betas={"G": (0., .9), "D": (0., .9), "Q": (0., .9)})):
        with pytest.raises(ValueError, match=f"^{next(iter(kw))}: unknown 'Q'.*Known: D, G"):
            small(game=Minimax(optimiser=Optimiser(**kw)))


def test_an_optimiser_checks_its_rate_at_once_and_keeps_its_own_table():
    for wrong, says in (("abc", "lr: expected a number"), ({"G": -1.}, "lr of G: expected"), (True, "lr: expected")):
        with pytest.raises((TypeError, ValueError), match=f"^{says}"):
            Optimiser(wrong)
    rates, betas = {"G": 1e-3, "D": 1e-3}, {"G": (0., .9), "D": (0., .9)}
    optimiser = Optimiser(rates, betas)
    rates["D"], betas["D"] = .5, None
    assert optimiser.rates("D") == {"lr": 1e-3, "betas": (0., .9)}


def test_a_folder_is_resumed_from_its_newest_checkpoint(tmp_path):
    run = small()
    for _ in range(3):
        run.step(2).save(tmp_path / "seeds-0-1" / f"step-{run.steps:09d}.safetensors")
    for folder in (tmp_path, tmp_path / "seeds-0-1"):
        assert same(Run.load(folder, device="cpu").step(2), small().step(8))
    newest = tmp_path / "seeds-0-1" / "step-000000006.safetensors"
    newest.write_bytes(newest.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="step-000000006.* trying the one before"):
        assert same(Run.load(tmp_path, device="cpu").step(4), small().step(8))
    for path in (tmp_path / "seeds-0-1").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="no checkpoint in .* can be read"), pytest.warns(UserWarning):
        Run.load(tmp_path)
    (tmp_path / "seeds-2-3").mkdir()
    run.save(tmp_path / "seeds-2-3" / "step-000000001.safetensors")
    with pytest.raises(ValueError, match="2 groups of seeds, name one of them: seeds-0-1, seeds-2-3"):
        Run.load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no checkpoint in"):
        Run.load(tmp_path / "empty")


@pytest.mark.parametrize("change", [
    dict(runs=10 ** 9), dict(runs=3), dict(runs=-1), dict(runs="2"), dict(runs=None), dict(steps=10 ** 12), dict(steps=2), dict(steps=1.5), dict(seed=-4),
    dict(batch=0), dict(shards=0), dict(shards=3), dict(precision="fp8"), dict(average=2.), dict(average="x"), dict(game="minimax"), dict(game=[]), dict(game={}),
    dict(game={"name": 3}), dict(game={"name": "minimaxx"}), dict(game={"name": "minimax", "width": 9}), dict(game={"name": "minimax", "widht": 8}),
    dict(game={"name": "minimax", "width": 10 ** 12}), dict(modes={"name": "ring", "n": 0}), dict(modes={"name": "grid", "side": -1}), dict(modes=7)])
def test_hostile_notes_are_refused(tmp_path, change):
    """A checkpoint from a stranger: whatever its note says, it is refused in words, before memory or time is spent on it."""
    from safetensors.torch import load, save
    path = small().step(3).save(tmp_path / "run")
    raw = path.read_bytes()
    note = json.loads(json.loads(raw[8:8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["modelab"])
    path.write_bytes(save(load(raw), metadata={"modelab": json.dumps(note | change)}))
    with pytest.raises((ValueError, TypeError)):
        Run.load(path, device="cpu")


@pytest.mark.parametrize("spoil", [
    lambda t: t.pop("adam/D/exp_avg"), lambda t: t.update({"adam/G/exp_avg_sq": torch.zeros(3)}), lambda t: t.pop("loss/G"),
    lambda t: t.update({"loss/D": torch.zeros(7, 2)}), lambda t: t.update({"loss/D": torch.zeros(3)}),
    lambda t: t.update({next(k for k in t if k.startswith("player/G")): torch.zeros(1)}), lambda t: t.pop(next(k for k in t if k.startswith("player/D")))])
def test_hostile_tensors_are_refused(tmp_path, spoil):
    """Not at the next step, in the middle of Adam, but at once."""
    from safetensors import safe_open
    from safetensors.torch import load, save
    path = small().step(3).save(tmp_path / "run")
    with safe_open(str(path), "pt") as file:
        note = file.metadata()
    tensors = load(path.read_bytes())
    spoil(tensors)
    path.write_bytes(save(tensors, metadata=note))
    with pytest.raises(ValueError, match="^path: "):
        Run.load(path, device="cpu")


def test_a_note_without_end_is_refused(tmp_path):
    from safetensors.torch import save
    (tmp_path / "deep").write_bytes(save({"a": torch.zeros(1)}, metadata={"modelab": "[" * 10 ** 5}))
    (tmp_path / "list").write_bytes(save({"a": torch.zeros(1)}, metadata={"modelab": "[1]"}))
    for name, says in (("deep", "not a readable checkpoint"), ("list", "no modelab run")):
        with pytest.raises(ValueError, match=says):
            Run.load(tmp_path / name)


def test_checkpoints_from_before_shards_are_read(tmp_path):
    from safetensors.torch import load, save
    path = small().step(3).save(tmp_path / "run")
    raw = path.read_bytes()
    note = json.loads(json.loads(raw[8:8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["modelab"])
    del note["shards"], note["precision"]
    path.write_bytes(save(load(raw), metadata={"modelab": json.dumps(note)}))
    assert same(Run.load(path, device="cpu").step(2), small().step(5))


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    run = small().step(2)
    path = run.save(tmp_path / "run")
    before = path.read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        run.step(1).save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_divergence_names_step_player_seed_and_checkpoint(tmp_path):
    class Falls(Minimax):
        def loss_G(self, t):
            loss = super().loss_G(t)
            return loss * torch.tensor([1., float("nan")]) if t.step == 70 else loss
    run = small(game=Falls(networks=Networks(width=8)), seed=4)
    with pytest.raises(Diverged, match=r"loss of G is not finite at step 70, seed 5; no checkpoint"):
        run.step(200)
    run = small(game=Falls(networks=Networks(width=8)), seed=4).step(10)
    path = run.save(tmp_path / "good")
    with pytest.raises(Diverged, match=f"the last checkpoint is {path}"):
        run.step(200)
    with pytest.raises(Diverged):
        run.save(path)
    assert run.steps < 200 and Run.load(path, game=Falls(networks=Networks(width=8)), device="cpu").steps == 10


def test_interrupt_ends_with_a_whole_step():
    class Slow(Minimax):
        def loss_D(self, t):
            if t.step == 5:
                signal.raise_signal(signal.SIGINT)
            return super().loss_D(t)
    run, before = small(game=Slow(networks=Networks(width=8))), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="step 6"):
        run.step(50)
    assert run.steps == 6 and signal.getsignal(signal.SIGINT) is before and same(run.step(4), small().step(10))


def test_steps_from_another_thread():
    run, failures = small(), []

    def work():
        try:
            run.step(5)
        except BaseException as error:
            failures.append(error)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failures and same(run, small().step(5))


@pytest.mark.parametrize("kw, word", [
    (dict(game="minimaxx"), "game"), (dict(game=3), "game"), (dict(modes="rings"), "modes"), (dict(runs=0), "runs"), (dict(runs=2.5), "runs"),
    (dict(runs=True), "runs"), (dict(seed=-1), "seed"), (dict(batch=0), "batch"), (dict(batch="8"), "batch"), (dict(average=1), "average"),
    (dict(average=float("nan")), "average"), (dict(shards=0), "shards"), (dict(shards=3), "batch, shards"), (dict(precision="fp8"), "precision"), (dict(device="abacus"), "device"), (dict(device="cuda:99"), "device"),
    (dict(game=Minimax(G=nn.Linear(2, 2))), "G")])
def test_bad_arguments(kw, word):
    with pytest.raises((ValueError, TypeError), match=f"^{word}: "):
        small(**kw)


@pytest.mark.parametrize("turns", ["", "D G Q", "D X"])
def test_bad_turns(turns):
    with pytest.raises(ValueError, match="^game: "):
        small(game=type("Odd", (Minimax,), {"turns": turns, "loss_X": lambda self, t: None})())


def test_a_loss_must_have_a_value_per_run():
    with pytest.raises(ValueError, match=r"loss_D should return one value per run, shape \(2,\), got \(\)"):
        small(game=type("Mean", (Minimax,), {"loss_D": lambda self, t: t.D(t.x).mean()})()).step(1)


@settings(max_examples=30, deadline=None)
@given(st.one_of(st.none(), st.booleans(), st.floats(), st.integers(-3, 3), st.text(max_size=2)))
def test_counts_are_checked(n):
    run, good = small(), isinstance(n, int) and not isinstance(n, bool)
    for call, least in ((run.step, 0), (run.sample, 1)):
        if good and n >= least:
            call(n)
        else:
            with pytest.raises((ValueError, TypeError), match="^n: expected a whole number"):
                call(n)


def test_unknown_protocol():
    with pytest.raises(ValueError, match="^protocol: .*pacgan"):
        small().coverage("pacgam")


def test_seeds_of_purposes_are_distinct():
    words = [(s, stream, step, turn) for s in range(16) for stream in ("data", "noise", "loss") for step in range(500) for turn in (0, 1)]
    assert len({derive_seed(*w) for w in words}) == len(words) and all(0 <= derive_seed(*w) < 2 ** 63 for w in words[:100])


def test_checkpoints_hold_no_code(tmp_path):
    raw = small().step(1).save(tmp_path / "run").read_bytes()
    header = json.loads(raw[8:8 + int.from_bytes(raw[:8], "little")])
    note = json.loads(header["__metadata__"]["modelab"])
    assert note["game"]["name"] == "minimax" and note["modes"]["name"] == "ring" and note["steps"] == 1
    assert {v["dtype"] for k, v in header.items() if k != "__metadata__"} == {"F32"}


def test_on_a_gpu(tmp_path, cuda):
    run = small(device="cuda", modes=grid()).step(5)
    assert run.sample(10).device.type == "cuda" and same(small(device="cuda", modes=grid()).step(5), run)
    assert Run.load(run.save(tmp_path / "run"), device="cpu").step(1).steps == 6


@pytest.mark.parametrize("name", OURS)
def test_every_game_plays_on_a_gpu(name, cuda):
    game = make("game", {"name": name, "width": 8} | ({"reals": 8, "pool": 2} if hasattr(GAMES[name], "reals") else {}))
    run = Run(game, "stacked_digits" if name in ("groundmetric", "sagan") else "ring", runs=2, batch=4, device="cuda").step(2)
    assert all(w.device.type == "cuda" for net in run.players.nets.values() for w in net.parameters())


@pytest.mark.parametrize("name", [n for n in OURS if n not in ("imle", "imlegan", "groundmetric", "fewlabels",  # these look at numbers
                                                       "unrolled")])  # and this one reads the Adam of a run
def test_losses_stay_where_their_data_are(name, monkeypatch):
    """A tensor on `meta` has a shape and no numbers; what meets it from the CPU raises, as on a graphics card."""
    monkeypatch.setattr("modelab.core.seeding._draw", lambda sampler, shape, generator, device, dtype: sampler(tuple(shape), device=device, dtype=dtype))
    game = make("game", {"name": name, "width": 8})
    event = (1, 8, 8) if name == "sagan" else (2,)

    def real(n, *_):
        return torch.randn(2, n, *event, device="meta")
    latent = 2 if name == "flowmatching" else 3  # a flow has as many latents as its examples have coordinates
    nets = {k: net.to("meta") for k, net in game.players(event, latent, 2, [None, None]).items()}

    def noise(n, *_):
        return torch.randn(2, n, latent, device="meta")
    turn = SimpleNamespace(step=0, batch=4, generator=None, real=real, x=real(4), noise=noise, z=noise(4), **nets)
    for word in dict.fromkeys(game.turns.split()):
        loss = getattr(game, f"loss_{word}")(turn)
        assert loss.shape == (2,) and loss.device.type == "meta"
        loss.sum().backward()


PICTURE_KINDS = ("conv", "style", "grown", "mlp")


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_picture_networks_play_on_a_gpu(kind, cuda, tmp_path):
    """Two equal trainings there agree, and a file of one goes on here."""
    def play():
        game = ZeroCentred(networks=Networks(kind, width=8, latent=8))
        return Run(game, "stacked_digits", runs=2, batch=8, average=.9, device="cuda").step(3)
    run = play()
    assert all(w.device.type == "cuda" for net in run.players.nets.values() for w in net.parameters()) and same(play(), run)
    here = Run.load(run.save(tmp_path / "run"), device="cpu")
    assert torch.allclose(here.sample(16), run.sample(16).cpu(), atol=1e-3) and here.step(1).steps == 4


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_picture_networks_stay_where_their_data_are(kind, monkeypatch):
    """On `meta`, as above: both turns, and the samples of the generator."""
    monkeypatch.setattr("modelab.core.seeding._draw", lambda sampler, shape, generator, device, dtype: sampler(tuple(shape), device=device, dtype=dtype))
    game = ZeroCentred(networks=Networks(kind, width=8, latent=8))
    nets = {k: net.to("meta") for k, net in game.players((3, 8, 8), 8, 2, [None, None]).items()}
    z, x = torch.randn(2, 8, 8, device="meta"), torch.randn(2, 8, 3, 8, 8, device="meta")
    turn = SimpleNamespace(step=0, batch=8, generator=None, x=x, z=z, real=lambda *_: x, noise=lambda *_: z, **nets)
    for word in "DG":
        loss = getattr(game, f"loss_{word}")(turn)
        assert loss.shape == (2,) and loss.device.type == "meta"
        loss.sum().backward()
    assert nets["G"](z).shape == (2, 8, 3, 8, 8) and nets["G"](z).device.type == "meta"


@pytest.mark.parametrize("lr", (1e-3, {"G": 1e-3, "D": 2e-3}))
def test_stairs_are_the_loop_by_hand(lr):
    """Ten steps in five stairs; what was `linear_decay(run, 11, parts=5)`, to the bit."""
    game = Minimax(networks=Networks(width=8), optimiser=Optimiser(lr))
    decayed = small(game=with_settings(game, schedule=Schedule("linear", 11, stairs=5)), batch=4)
    by_hand, plain = small(game=with_settings(game), batch=4), small(game=game, batch=4).step(10)
    decayed.step(10)
    for share in (1, 1, 1, .8, .4):
        set_setting(by_hand.game, "lr", {k: v * share for k, v in lr.items()} if isinstance(lr, dict) else lr * share)
        by_hand.step(2)
    assert torch.allclose(decayed.sample(9), by_hand.sample(9), atol=1e-6)
    assert not torch.allclose(decayed.sample(9), plain.sample(9), atol=1e-6)


@given(st.integers(1, 60), st.integers(1, 12))
def test_stairs_are_those_of_the_old_decay(n, parts):
    """The old loop took n // parts steps on each of its stairs; the same factors, as the same floats."""
    stairs = [min(1, 2 * (1 - part / parts)) for part in range(parts) for _ in range(n // parts)]
    assert [Schedule("linear", n, stairs=parts)(step) for step in range(len(stairs))] == stairs


SCHEDULES = [Schedule("cosine", 7), Schedule("linear", 8), Schedule("linear", 8, stairs=4), Schedule("cosine", 3, floor=0.)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_run_with_a_schedule_resumes_at_any_step(schedule, tmp_path):
    game = with_settings(Minimax(networks=Networks(width=8)), schedule=schedule)
    straight = small(game=game).step(9)
    for n in range(10):
        resumed = Run.load(small(game=game).step(n).save(tmp_path / "run"), device="cpu")
        assert resumed.game.optimiser.schedule == schedule and same(resumed.step(9 - n), straight)


@pytest.mark.parametrize("kw, word", [
    (dict(shape="cosin", steps=3), "shape: unknown 'cosin', did you mean 'cosine'"), (dict(shape="linear", steps=0), "steps"),
    (dict(shape="linear", steps=3, stairs=0), "stairs"), (dict(shape="cosine", steps=3, floor=2.), "floor")])
def test_bad_schedules(kw, word):
    with pytest.raises(ValueError, match=f"^{word}"):
        Schedule(**kw)
    with pytest.raises(ValueError, match=f"^{word}"):
        Optimiser(schedule=kw)
    for wrong in (3, {"shape": "linear"}, kw | {"length": 3}):
        with pytest.raises(TypeError, match="^schedule: expected a Schedule"):
            Optimiser(schedule=wrong)


@pytest.mark.parametrize("kw, word", [
    (dict(lr=-1.), "lr: expected"), (dict(lr={"G": 1e-3}), "lr of D: expected a number, got None"),
    (dict(betas=(.5,)), "betas of G: expected two numbers"), (dict(betas=(.5, 1.)), "betas of G: expected a finite number"),
    (dict(betas={"G": (0., .9), "D": 3}), "betas of D: expected two numbers")])
def test_bad_rates(kw, word):
    with pytest.raises((TypeError, ValueError), match=f"^{word}"):
        small(game=Minimax(networks=Networks(width=8), optimiser=Optimiser(**kw)))


class Answers(nn.Module):
    """A stranger's D, whatever the event: it reads two moments of its inputs; its scores have `extra` last axes."""

    def __init__(self, extra):
        super().__init__()
        self.extra, self.net = extra, nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(.2), nn.Linear(8, 1))

    def forward(self, *inputs):
        moments = sum(torch.stack([v.flatten(1).mean(1), v.flatten(1).square().mean(1)], -1) for v in inputs)
        return self.net(moments).reshape(-1, *[1] * self.extra)


SCORED = [name for name in OURS if "D" in {f.name for f in dataclasses.fields(GAMES[name])}
          and name not in ("fewlabels", "imputer")]  # whose D gives features, or a score per cell


@pytest.mark.parametrize("modes", [ring, digits])
@pytest.mark.parametrize("name", SCORED)
def test_a_column_of_scores_is_scores(name, modes):
    """The field's usual D answers (N, 1) or (N, 1, 1, 1): in every game the same as (N,), on points and on grey pictures."""
    def losses(extra):
        game = make("game", name)
        game.D = lambda: Answers(extra)
        return Run(game, modes(), runs=2, batch=4, device="cpu").step(3).losses
    try:
        plain = losses(0)
    except ValueError as error:
        assert any(word in str(error) for word in ("picture", "image", "domains", "direction of points")), error
        pytest.skip(f"{name} is not played on this set")
    for extra in (1, 3):
        found = losses(extra)
        assert all(torch.equal(found[word], plain[word]) for word in plain)


def test_scores_of_another_shape_are_refused():
    for wrong in (lambda: nn.Linear(2, 3), lambda: nn.Sequential(nn.Linear(2, 1), nn.Flatten(0), nn.Unflatten(0, (2, -1)))):
        with pytest.raises(ValueError, match="^D: expected one score per example, got shape"):
            small(game=Minimax(D=wrong)).step(1)


@pytest.mark.parametrize("name", ["minimax", "wasserstein", "zerocentred", "bigan"])
def test_a_batch_of_one_is_no_column_of_scores(name):
    """With one example per run the scores are (runs, 1); the runs stay apart."""
    game = make("game", {"name": name, "width": 8})
    run = Run(game, ring(), runs=2, batch=1, device="cpu").step(3)
    alone = Run(game, ring(), runs=1, seed=1, batch=1, device="cpu").step(3)
    assert all(torch.allclose(run.losses[w][:, 1:], alone.losses[w], atol=1e-5) for w in run.losses)


def test_arguments_are_checked_in_the_first_step_only(monkeypatch):
    from modelab.core import signatures
    checks, honest = [], signatures.check_arguments
    monkeypatch.setattr(signatures, "check_arguments", lambda f, values: checks.append(f.__name__) or honest(f, values))
    run = small(game=make("game", "wasserstein")).step(1)
    assert {"gradient_penalty", "critic_loss", "wasserstein_generator_loss"} <= set(checks)
    checks.clear()
    run.step(3)
    assert not checks
