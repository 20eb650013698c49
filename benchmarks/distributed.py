"""What many processes cost and win: two against one, kills, wrappers, bf16, compiling, and the figures of one node.

    python benchmarks/distributed.py                # measures everything and records benchmarks/distributed.json
    python benchmarks/distributed.py kills one      # only these parts; the others stay as they were recorded

Needs two free cores. Each process uses one thread.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from modelab.core.files import atomic_write
from modelab.core.statistics import interval
from modelab.course.claims import steps as walk
from modelab.losses.penalties import gradient_penalty
from modelab.networks.convolutional import conv_discriminator, conv_generator
from modelab.networks.layers import mlp
from modelab.training.checkpoints import list_checkpoints
from modelab.training.distributed import Checkpoints, Job, train_group
from modelab.training.run import Run

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def two_against_one(steps: int = 2000) -> dict:
    """Wall-clock of 16 seeds in groups of 8, from the command to the table: one process, then two."""
    command = ["-m", "modelab", "train", "minimax", "ring", "--runs", "16", "--steps", str(walk(steps)), "--device", "cpu"]
    seconds, spent, tables = {}, {}, {}
    for name, start in (("one process", [sys.executable]), ("two processes", TORCHRUN)):
        begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        tables[name] = subprocess.run(start + command, capture_output=True, text=True, check=True).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds[name], spent[name] = time.perf_counter() - begin, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"what": f"16 seeds in groups of 8, minimax on ring, 2x128, batch 256, {walk(steps)} steps, one thread a process, start included",
            "ratio of wall-clock": round(seconds["two processes"] / seconds["one process"], 3),
            "ratio of CPU seconds, all processes": round(spent["two processes"] / spent["one process"], 3), "same table": len(set(tables.values())) == 1}


def kills(n: int = 200, every: int = 4) -> dict:
    """kill -9 at `n` moments, every other one in the middle of a write; what is on disk, against what had been saved."""
    import torch._dynamo  # noqa: F401  the first optimiser would import it in every child
    rng, lost, damaged, went_back, stale = random.Random(0), [], 0, 0, 0
    job = Job({"name": "minimax", "width": 128}, "ring", steps=10 ** 9, runs=4, group=4, batch=32)
    with tempfile.TemporaryDirectory() as home:
        folder, note = Path(home) / "run", Path(home) / "note"
        with Checkpoints(folder) as kept:
            kept.save(job.start(range(4), "cpu"))
        for kill in range(n):
            known = list_checkpoints(folder)[0]
            reading, writing = os.pipe()
            child = os.fork()
            if not child:
                os.close(reading)

                class Tells(Checkpoints):
                    def save(self, run: Run) -> None:
                        os.write(writing, f"{run.steps} ".encode())  # begins to save
                        super().save(run)
                        os.write(writing, f"{-run.steps} ".encode())  # has saved
                with Tells(folder) as kept:
                    os.write(writing, b"0 ")
                    train_group(job, range(4), kept, every=every, device="cpu")
                os._exit(1)
            os.close(writing)
            pipe = os.fdopen(reading)
            pipe.read(1)  # it is about to train
            if kill % 2:
                time.sleep(.2 * rng.random())
            else:
                while not any(folder.glob(".step-*")):
                    pass
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            with pipe:
                told = [int(word) for word in pipe.read().split()]
            saved = max([-t for t in told if t < 0], default=int(known.stem[5:]))
            stale += any(folder.glob(".step-*"))
            for path in list_checkpoints(folder):
                try:
                    Run.load(path, device="cpu")
                except ValueError:
                    damaged += 1
            newest = int(list_checkpoints(folder)[0].stem[5:])
            went_back += newest < saved
            lost.append(max([abs(t) for t in told], default=newest) - newest)
        end = Run.load(folder, device="cpu").steps
    return {"kills": n, "of them in the middle of a write": stale, "steps between checkpoints": every, "damaged checkpoints": damaged, "a saved step lost": went_back,
            "most steps lost": max(lost), "last step": end}


SMALL = ("-m modelab train minimax ring --set width=8 --runs 4 --group 2 --batch 16 --device cpu --save-every 50").split()


def killed_rank() -> dict:
    """Two ranks train without end, rank 1 is killed; what torchrun says, and whether one process goes on to the same files."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as home:
        dead, straight = Path(home) / "dead", Path(home) / "straight"
        child = subprocess.Popen([*TORCHRUN, *SMALL, "--steps", "4000000", "--out", str(dead)], text=True, env=env,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        victim = dead / "seeds-2-3"
        while child.poll() is None and not (len(list(dead.glob("*/step-*"))) >= 3 and list_checkpoints(victim)):
            time.sleep(.05)
        os.kill(int((victim / ".run.lock").read_text().split()[1]), signal.SIGKILL)
        report = child.communicate(timeout=200)[1]
        cause = [line.strip() for line in report[report.index("Root Cause"):].splitlines()]
        left = {p.parent.name: int(p.stem[5:]) for p in sorted(dead.rglob("step-*"))}
        goal = max(left.values()) + 50 - max(left.values()) % 50
        note = json.loads((dead / "job.json").read_text())
        (dead / "job.json").write_text(json.dumps({**note, "steps": goal}))
        for words in (["-m", "modelab", "train", "--resume", str(dead), "--device", "cpu", "--save-every", "50"],
                      [*SMALL, "--steps", str(goal), "--out", str(straight)]):
            subprocess.run([sys.executable, *words], check=True, capture_output=True, env=env)
        same = [list_checkpoints(dead / group)[0].read_bytes() == list_checkpoints(straight / group)[0].read_bytes() for group in left]
    return {"torchrun reports": [line for line in cause if line.startswith(("rank ", "exitcode "))], "last saved steps": left,
            "shortened to steps": goal, "same files as without a kill": all(same)}


SHARDS = """
import sys, torch
torch.set_default_dtype(torch.float64)
from modelab.data.mixtures import ring
from modelab.methods.wasserstein import Wasserstein
from modelab.networks.players import Networks
from modelab.training.distributed import connect_ranks, data_parallel
from modelab.training.run import Run
class Double(Wasserstein):
    def loss_D(self, t):
        t.x = t.x.double()
        return super().loss_D(t)
with connect_ranks() as us:
    game = Double(networks=Networks(width=16))
    run = Run(game, ring(radius=2, std=.02), runs=2, batch=32, shards=4, device="cpu")
    data_parallel(run, us).step(20)
    if us.rank == 0:
        torch.save(run.players.flat["D"].detach(), sys.argv[1])
"""


def shards() -> float:
    """The largest difference of a weight of D: WGAN-GP in float64, two processes with two shards each against one with four."""
    found = []
    with tempfile.TemporaryDirectory() as home:
        script, out = Path(home) / "shards.py", Path(home) / "D.pt"
        script.write_text(SHARDS)
        for start in ([sys.executable], TORCHRUN):
            subprocess.run([*start, str(script), str(out)], check=True, capture_output=True)
            found.append(torch.load(out, weights_only=True))
    assert found[0].dtype == torch.float64
    return float(f"{(found[0] - found[1]).abs().max().item():.1e}")


WRAPPER = """
import json, sys, torch, torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP
dist.init_process_group("gloo")
rank, size = dist.get_rank(), dist.get_world_size()
torch.set_default_dtype(torch.float64)
def net():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(.2), nn.Linear(16, 16), nn.Softplus(), nn.Linear(16, 1))
g = torch.Generator().manual_seed(0)
x, y, t = (torch.randn(32, 2, generator=g), torch.randn(32, 2, generator=g), torch.rand(32, 1, generator=g))
def loss(D, x, y, t, alone):
    m = torch.lerp(x, y, t).requires_grad_()
    slope, = torch.autograd.grad(D(m).sum(), m, create_graph=True)
    penalty = 10 * ((slope.norm(dim=1) - 1) ** 2).mean()
    return penalty if alone else D(x).mean() - D(y).mean() + penalty
def flat(D):
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in D.parameters()])
mine = slice(rank * 32 // size, (rank + 1) * 32 // size)
part = x[mine], y[mine], t[mine]
found = {}
for what, alone in (("loss and penalty", False), ("penalty alone", True)):
    D = net(); loss(D, x, y, t, alone).backward(); right = flat(D)
    D = net(); loss(D, *part, alone).backward(); ours = flat(D); dist.all_reduce(ours)
    found[f"sum after backward, {what}"] = (ours / size - right).abs().max().item()
    for name, options in (("wrapper", {}), ("wrapper, static graph", {"static_graph": True}), ("wrapper, unused allowed", {"find_unused_parameters": True})):
        D = net()
        try:
            W = DDP(D, **options)
            for _ in range(2):
                D.zero_grad(); loss(W, *part, alone).backward()
            found[f"{name}, {what}"] = (flat(D) - right).abs().max().item()
        except RuntimeError as error:
            found[f"{name}, {what}"] = "error: " + str(error).split(".")[0][:90]
if rank == 0:
    json.dump(found, open(sys.argv[1], "w"))
"""


def wrapper() -> dict:
    """The largest error of a critic's gradient with a penalty, two processes against one, float64."""
    with tempfile.TemporaryDirectory() as home:
        script, out = Path(home) / "wrapper.py", Path(home) / "out.json"
        script.write_text(WRAPPER)
        subprocess.run([*TORCHRUN, str(script), str(out)], check=True, capture_output=True)
        return {k: v if isinstance(v, str) else float(f"{v:.1e}") for k, v in json.loads(out.read_text()).items()}


def median(act: Callable[[], object], n: int = 15) -> float:
    """Median seconds of `act`, after three tries that do not count; one try on a short walk."""
    seconds, n = [], walk(n, fast=1)
    for _ in range(n + 3):
        begin = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[3:])


NETS = {"MLP 2x128, batch 256": lambda: (mlp(2, (), 128), torch.randn(2, 256, 2)),
        "MLP 2x512, batch 256": lambda: (mlp(64, (), 512), torch.randn(2, 256, 64)),
        "convolutions, 28x28, batch 64": lambda: (conv_discriminator((1, 28, 28)), torch.randn(2, 64, 1, 28, 28))}


def turn(D: nn.Module, x: torch.Tensor, bf16: bool = False, penalty: bool = True) -> torch.Tensor:
    """One critic's turn: forward, penalty, backward; the gradient."""
    D.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = (D(x[0]) - D(x[1])).mean(-1)
        if penalty:
            loss = loss + gradient_penalty(D, *x, generator=torch.Generator().manual_seed(0))
    loss.backward()
    return torch.cat([p.grad.flatten() for p in D.parameters()])


def bf16() -> dict:
    """Time and direction of a WGAN-GP turn in bf16, relative to float32; and what a whole game covers."""
    found = {}
    for name, make in NETS.items():
        D, x = make()
        cosine = torch.cosine_similarity(turn(D, x), turn(D, x, True), dim=0).item()
        found[name] = {"time": round(median(lambda: turn(D, x, True)) / median(lambda: turn(D, x)), 2), "cosine": round(cosine, 4)}
    for precision in ("float32", "bf16"):
        job = Job({"name": "zerocentred", "width": 256}, "stacked_digits", batch=64, precision=precision)
        begin = time.perf_counter()
        run = job.start(range(8), "cpu").step(walk(300))
        spent, covered = time.perf_counter() - begin, run.coverage()
        found[f"R1 on stacked digits, 8 seeds, {run.steps} steps, {precision}"] = {
            "of": run.modes.n_modes, "modes captured": str(interval((c.captured for c in covered), low=0, high=run.modes.n_modes)),
            "KL": str(interval((c.kl for c in covered), low=0)),
            "seconds": round(spent, 1)}
    return found


def compiled() -> dict:
    """Time of a turn without a penalty, compiled, relative to eager."""
    found = {}
    for name, make in NETS.items():
        D, x = make()
        begin = time.perf_counter()
        fast = torch.compile(D)
        turn(fast, x, penalty=False)
        found[name] = {"time": round(median(lambda: turn(fast, x, penalty=False)) / median(lambda: turn(D, x, penalty=False)), 2),
                       "seconds to compile": round(time.perf_counter() - begin)}
    return found


REDUCE = """
import json, sys, time, torch, torch.distributed as dist
dist.init_process_group("gloo")
g, seconds = torch.zeros(int(sys.argv[2])), []
for _ in range(20):
    dist.barrier(); begin = time.perf_counter(); dist.all_reduce(g); seconds.append(time.perf_counter() - begin)
if dist.get_rank() == 0:
    json.dump(sorted(seconds)[10], open(sys.argv[1], "w"))
"""


def node() -> dict:
    """What a plan needs to know of one node: here convolutional players for 28×28 pictures on one core."""
    G, D, x, z = conv_generator(64, (1, 28, 28)), conv_discriminator((1, 28, 28)), torch.randn(2, 64, 1, 28, 28), torch.randn(64, 64)

    def both() -> None:
        turn(D, x)
        G.zero_grad()
        (-D(G(z)).mean()).backward()
    seconds, weights = median(both, 8), {k: sum(p.numel() for p in net.parameters()) for k, net in (("G", G), ("D", D))}
    with tempfile.TemporaryDirectory() as home:
        script, out = Path(home) / "reduce.py", Path(home) / "out.json"
        script.write_text(REDUCE)
        subprocess.run([*TORCHRUN, str(script), str(out), str(weights["D"])], check=True, capture_output=True)
        reduce = json.loads(out.read_text())
        data = bytes(12 * sum(weights.values()))
        write = median(lambda: atomic_write(Path(home) / "checkpoint", data), 5)
    return {"seconds a step (D with penalty, G), batch 64, one core": round(seconds, 3), "images a second": round(64 / seconds),
            "weights": weights, "bytes of D's gradient": 4 * weights["D"],
            "milliseconds to sum D's gradient over two processes (gloo)": round(1e3 * reduce, 2),
            "bytes of a checkpoint (weights and two moments)": len(data), "seconds to write it": round(write, 3)}


PARTS = {"two processes against one": two_against_one, "kills": kills, "killed rank": killed_rank,
         "shards, two processes against one": shards, "wrapper, largest error of the gradient": wrapper,
         "bf16 against float32": bf16, "compiled against eager": compiled, "one node": node}


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"first words of: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    result = json.loads(args.out.read_text()) if args.out.exists() and args.parts else {}
    for name, measure in PARTS.items():
        if not args.parts or any(name.startswith(p) for p in args.parts):
            result[name] = kills(args.kills) if measure is kills else measure()
            print(name, json.dumps(result[name], indent=1), flush=True)
            result |= {"device": f"cpu, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}",
                       "torch": torch.__version__.split("+")[0]}
            atomic_write(args.out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
