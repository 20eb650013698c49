"""The long runs of chapter 5.6: cost over domains, pairs, one encoder for a domain, the prior, and digits in styles.

    python benchmarks/joint.py               # all parts: about a quarter of an hour of one idle core; goes on where it was stopped
    python benchmarks/joint.py pairs:star    # one part, or only its settings with this text in their name

Eight seeds, 0 to 7, report. Settings are chosen on seeds 100 to 103, mostly from as many for each rival as for the method; all tries are
recorded. Points: five modes on a ring, each view turned by 0.7 radians more; in the *star*, odd views have another order of modes.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rows import asked, known, packed, record
from torch import nn, Tensor
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from modelab.data.digits import digits
from modelab.data.mixtures import mixture, ModeSet, ring
from modelab.evaluation.coverage import coverages
from modelab.methods.joint import DomainDecoders, DomainEncoders, FixedExamples, MMIALI, translate_domains
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run

FILE = Path(__file__).with_suffix(".json")
STEPS, RATES = 500, {"G": .003, "E": .003, "D": .01}
REPORT, TUNE = dict(runs=8, seed=0), dict(runs=4, seed=100)


def world(domains: int = 2, order: tuple[int, ...] = (0, 1, 2, 3, 4)) -> ModeSet:
    """The chapter's five modes in several views; odd views have the modes in `order`."""
    spots = ring(5, radius=2).centers
    turns = [torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]]) for a in (.7 * i for i in range(domains))]
    views = [(spots[list(order)] if i % 2 else spots) @ turn.T for i, turn in enumerate(turns)]
    A = torch.cat(turns)
    return mixture(torch.cat(views, 1), (.01 * (.98 * A @ A.T + .02 * torch.eye(2 * domains))).expand(5, -1, -1))


STYLES: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda x: x, "negative": lambda x: -x, "edges": lambda x: F.max_pool2d(x, 3, 1, 1) - x - 1}


class Styles(ModeSet):
    """A scanned digit in three styles, (3, 8, 8); a mode is a digit."""

    def __init__(self, split: str = "train"):
        self._digits, self.event, self.n_modes, self._copies = digits(split), (len(STYLES), 8, 8), 10, {}
        self.weights, self._high = self._digits.weights, torch.ones(self.event)
        self._low = -self._high

    def _draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x, y = self._digits.sample_with_modes(n, generator=generator)
        return torch.cat([style(x) for style in STYLES.values()], 1), y


class PairsOnly(MMIALI):
    """Trained on the pairs alone."""

    turns = "GE"

    def loss_GE(self, t: Any) -> Tensor:
        return self.paired_error(t)


class AllPartners(MMIALI):
    """Every domain exchanges codes with every other in each step, in a round for each."""

    def shift(self, t: Any) -> int:
        return t.partner

    def over_partners(self, t: Any, loss: Callable) -> Tensor:
        total = 0
        for t.partner in range(1, self.domains):
            total = total + loss(t) / (self.domains - 1)
        return total

    def loss_D(self, t: Any) -> Tensor:
        return self.over_partners(t, super().loss_D)

    def loss_GE(self, t: Any) -> Tensor:
        return self.over_partners(t, super().loss_GE)


class Told(nn.Module):
    """One network for all domains, told by a one-hot vector for which: inputs and outputs (runs, domains, n, ...)."""

    def __init__(self, net: nn.Module, domains: int):
        super().__init__()
        self.net, self.domains = net, domains

    def forward(self, first: Tensor, *more: Tensor) -> Tensor:
        which = torch.eye(self.domains)[:, None].expand(len(first), -1, first.shape[2], -1)
        inputs = [torch.cat([first, which], -1), *more]
        return self.net(*(x.flatten(1, 2) for x in inputs)).unflatten(1, (self.domains, -1))


class OneNetwork(MMIALI):
    """One encoder, one decoder and one critic for all domains."""

    def players(self, event: tuple[int, ...], latent: int, runs: int, generator: list) -> dict[str, nn.Module]:
        m, kw = self.domains, dict(runs=runs, generator=generator)
        size = event[0] // m
        each = {"G": self.networks.generator(latent + m, (size,), **kw), "E": self.networks.encoder((size + m,), latent, **kw),
                "D": self.networks.joint_discriminator((size + m,), latent, **kw)}
        nets = {name: Told(net, m) for name, net in each.items()}
        return {"G": DomainDecoders(nets["G"]), "E": DomainEncoders(nets["E"]), "D": nets["D"], "shown": FixedExamples(runs, self.pairs, event)}


def ready(game: type[MMIALI], modes: ModeSet, runs: int = 8, seed: int = 0, steps: int = STEPS, scale: float = 1., width: int = 64,
          lr: Any = RATES, latent: int = 2, **settings: Any) -> Run:
    """A run before its first step; the rates fall over the second half."""
    rates = {k: scale * v for k, v in lr.items()} if isinstance(lr, dict) else scale * lr
    rules = game(networks=Networks(latent=latent, width=width), optimiser=Optimiser(rates, schedule=Schedule("linear", steps, stairs=10)),
                 **settings)
    return Run(rules, modes, runs=runs, seed=seed, batch=64, device="cpu")


def weights_of(run: Run) -> int:
    """How many weights the players of one seed have."""
    return sum(w.numel() for net in run.players.nets.values() for w in net.parameters()) // run.runs


def rounded(values: Tensor | list) -> list:
    """Numbers seed by seed, with four digits."""
    return [round(float(v), 4) for v in values]


def right(modes: Any, i: int, j: int, points: Tensor, mode: Tensor) -> Tensor:
    """The share of points (runs, n, 2) in view j that are nearest to the mode they came from, seed by seed."""
    return (torch.cdist(points, modes.centers[:, 2 * j:2 * j + 2]).argmin(-1) == mode).float().mean(1)


@torch.no_grad()
def translated(run: Run, n: int = 2000) -> tuple[Tensor, Tensor, Tensor]:
    """Fresh modes (n,), views (runs, i, n, 2), and view i translated to j, (runs, i, j, n, 2)."""
    x, mode = run.modes.sample_with_modes(n, torch.Generator().manual_seed(9))
    views = run.game.views(x[None]).expand(run.runs, -1, -1, -1)
    nets = run.players.nets
    return mode, views, translate_domains(nets["E"].each, nets["G"].each, views)


def matched(run: Run) -> list:
    """The share matched over all directions, seed by seed."""
    mode, _, found = translated(run)
    ways = itertools.permutations(range(run.game.domains), 2)
    return rounded(torch.stack([right(run.modes, i, j, found[:, i, j], mode) for i, j in ways]).mean(0))


def simple(run: Run, ridge: float = .01) -> dict:
    """What the pairs of a run give without training: the partner of the nearest pair, and an affine map; seed by seed."""
    shown = run.game.views(run.players.nets["shown"].x)
    mode, views, _ = translated(run)
    one = lambda v: torch.cat([v, torch.ones_like(v[..., :1])], -1)
    copies, lines = [], []
    for i, j in itertools.permutations(range(run.game.domains), 2):
        near = torch.cdist(views[:, i], shown[:, i]).argmin(-1)
        copies.append(right(run.modes, i, j, shown[:, j].gather(1, near[..., None].expand(-1, -1, 2)), mode))
        a = one(shown[:, i])
        best = torch.linalg.solve(a.mT @ a + ridge * torch.eye(3), a.mT @ shown[:, j])
        lines.append(right(run.modes, i, j, one(views[:, i]) @ best, mode))
    return {"copy": rounded(torch.stack(copies).mean(0)), "line": rounded(torch.stack(lines).mean(0))}


def measure(part: str, only: str, jobs: dict[str, Callable[[], dict]]) -> None:
    """Record what the jobs return, those that are not recorded yet and have `only` in their name."""
    left = {name: job for name, job in jobs.items() if only in name and name not in known(FILE, part)}
    for name, job in tqdm(left.items(), part, mininterval=10):
        began = time.process_time()
        row = job()
        record(FILE, part, {"setting": name} | row | {"processor seconds": round(time.process_time() - began, 1)})


def best_of(part: str, rival: str, tries: dict[str, dict], score: Callable[[dict], list]) -> dict:
    """The settings of a rival with the highest mean score on the tuning seeds; every try is recorded."""
    measure(f"{part} tuning", "", {f"{rival}: {name}": lambda settings=settings: {"settings": settings, "score": score(settings)}
                                   for name, settings in tries.items()})
    rows = known(FILE, f"{part} tuning")
    return max((rows[f"{rival}: {name}"] for name in tries), key=lambda row: sum(row["score"]))["settings"]


def cost(only: str) -> None:
    """Weights, multiplications of the networks in one step, and processor milliseconds of one step, one seed."""
    def of(game: type[MMIALI], domains: int, models: int = 1) -> dict:
        run = ready(game, world(domains), runs=1, domains=domains, pairs=4, head_start=0).step(2)
        with FlopCounterMode(display=False) as drawing:  # of data: the game draws in each of its two turns
            for n in (64 * domains, 64 * domains):
                run.modes.sample(n, generator=torch.Generator().manual_seed(0))
        with FlopCounterMode(display=False) as counter:
            run.step(1)
        times = []
        for _ in range(30):
            began = time.process_time()
            run.step(1)
            times.append(time.process_time() - began)
        count = (counter.get_total_flops() - drawing.get_total_flops()) // 2
        return {"weights": models * weights_of(run), "multiplications": models * count,
                "ms": round(models * 1000 * sorted(times)[15], 2)}
    jobs = {}
    for m in (2, 3, 5, 8):
        jobs |= {f"ensemble, {m}": lambda m=m: of(MMIALI, m), f"all partners, {m}": lambda m=m: of(AllPartners, m),
                 f"each two, {m}": lambda m=m: of(MMIALI, 2, m * (m - 1) // 2)}
    measure("cost", only, jobs)


def rate_of_pairs_only(name: str, modes: ModeSet, k: int, **how: Any) -> dict:
    """The rate of networks that learn from the pairs alone, of five."""
    return best_of("pairs", f"pairs only, {name}", {f"{lr:g}": {"lr": lr} for lr in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)},
                   lambda settings: matched(ready(PairsOnly, modes, pairs=k, **TUNE, **settings, **how).step(STEPS)))


def domains(only: str) -> None:
    """Matching over the number of domains, four complete examples; and what it costs to meet one partner a step only."""
    def ours(game: type[MMIALI], m: int, steps: int) -> dict:
        run = ready(game, world(m), domains=m, pairs=4, steps=steps, head_start=steps // 5).step(steps)
        return {"domains": m, "steps": steps, "matched": matched(run)} | simple(run)
    lr = rate_of_pairs_only("turned", world(), 4)
    jobs = {f"ensemble, {m}": lambda m=m: ours(MMIALI, m, STEPS) for m in (3, 5, 8)}  # two: in the part pairs
    jobs |= {f"pairs only, {m}": lambda m=m: {"domains": m, "matched": matched(ready(PairsOnly, world(m), domains=m, pairs=4, **lr).step(STEPS))}
             for m in (3, 5, 8)}
    measure("domains", only, jobs)
    measure("domains", only, {"all partners, 5, equal work": lambda: ours(AllPartners, 5, STEPS // 4)})


def pairs(only: str) -> None:
    """Matching over the number of pairs, in both worlds, beside what the pairs alone give."""
    jobs = {}
    for name, modes, middle, counts in (("turned", world(), 4, (1, 2, 3, 4, 8)),
                                        ("star", world(order=(0, 2, 4, 1, 3)), 16, (4, 16, 64))):
        lr = rate_of_pairs_only(name, modes, middle)

        def both(modes: ModeSet, k: int, lr: dict) -> dict:
            run = ready(MMIALI, modes, pairs=k).step(STEPS)
            shown = run.game.views(run.players.nets["shown"].x)[:, 0]
            seen = torch.cdist(shown, modes.centers[:, :2]).argmin(-1)
            alone = ready(PairsOnly, modes, pairs=k, **lr).step(STEPS)
            return {"pairs": k, "matched": matched(run), "pairs only": matched(alone), "modes in pairs": [len(v.unique()) for v in seen]} | simple(run)
        jobs |= {f"{name}, {k}": lambda modes=modes, k=k, lr=lr: both(modes, k, lr) for k in counts}
    measure("pairs", only, jobs)


def of_views(modes: Any, *views: int) -> ModeSet:
    """The joint distribution of some of the views."""
    own = [c for i in views for c in (2 * i, 2 * i + 1)]
    return mixture(modes.centers[:, own], modes.covariances[:, own][:, :, own], modes.weights)


def equal_width(game: type[MMIALI], m: int, models: int, most: int) -> int:
    """The largest width with which so many models together have at most so many weights."""
    size = lambda width: models * weights_of(ready(game, world(m), runs=1, domains=m, width=width))
    return max(width for width in range(8, 400) if size(width) <= most)


def sharing(only: str, counts: tuple[int, ...] = (3,)) -> None:
    """One encoder for a domain, beside a model for each two and beside one network for all: two pairs, equal weights, equally many tries."""
    most = {m: weights_of(ready(MMIALI, world(m), runs=1, domains=m)) for m in counts}
    two = {m: equal_width(MMIALI, 2, m * (m - 1) // 2, most[m]) for m in most}
    one = {m: equal_width(OneNetwork, m, 1, most[m]) for m in most}

    def ensemble(m: int, how: dict, settings: dict) -> tuple[list, int]:
        run = ready(MMIALI, world(m), domains=m, pairs=2, **how, **settings)
        return matched(run.step(STEPS)), weights_of(run)

    def told(m: int, how: dict, settings: dict) -> tuple[list, int]:
        run = ready(OneNetwork, world(m), domains=m, pairs=2, width=one[m], **how, **settings)
        return matched(run.step(STEPS)), weights_of(run)

    def each_two(m: int, how: dict, settings: dict) -> tuple[list, int]:
        whole = ready(MMIALI, world(m), domains=m, pairs=2, **how).step(1)  # draws the pairs that all three have
        shares, weights = [], 0
        for i, j in itertools.combinations(range(m), 2):
            run = ready(MMIALI, of_views(whole.modes, i, j), pairs=2, width=two[m], **how, **settings)
            given = run.players.nets["shown"]
            views = whole.game.views(whole.players.nets["shown"].x)
            given.once(lambda views=views, i=i, j=j: torch.cat([views[:, i], views[:, j]], -1))
            shares.append(matched(run.step(STEPS)))
            weights += weights_of(run)
        return rounded(torch.tensor(shares).mean(0)), weights
    rivals = {"ensemble": ensemble, "each two": each_two, "one network": told}
    jobs = {}
    for name, play in rivals.items():
        if only not in name:
            continue
        tries = {f"rates × {scale:g}, cycles × {w:g}": dict(scale=scale, outer_weight=w, semi_weight=w, inner_weight=w)
                 for scale, w in itertools.product((1., 2.), (.3, 1.))}
        best = best_of("sharing", name, tries, lambda settings, play=play: play(3, TUNE, settings)[0])

        def row(play: Callable, m: int, best: dict) -> dict:
            shares, weights = play(m, REPORT, best)
            return {"domains": m, "chosen": best, "weights": weights, "matched": shares}
        jobs |= {f"{name}, {m}": lambda play=play, m=m, best=best: row(play, m, best) for m in most}
    measure("sharing", "", jobs)


AUTHORS = dict(prior="codes", least_squares=True, encoder_term=False, sample_share=.2, outer_weight=10., semi_weight=10., inner_weight=5.)
PRIORS: dict[str, tuple[dict, tuple[str, tuple]]] = {
    "normal": ({}, ("inner_weight", (1., .1))), "codes": (dict(prior="codes"), ("prior_noise", (.1, .03))),
    "authors' image code": (AUTHORS, ("prior_noise", (.1, .03)))}


@torch.no_grad()
def from_codes(run: Run, noise: float, n: int = 2500) -> Tensor:
    """Samples (runs, n, 4) of the codes of fresh examples, half of each view, plus noise."""
    g, nets = torch.Generator().manual_seed(11), run.players.nets
    views = run.game.views(run.modes.sample(n, generator=g)[None].expand(run.runs, -1, -1))
    codes = nets["E"].each(views)
    z = torch.cat([codes[:, 0, :n // 2], codes[:, 1, n // 2:]], 1)
    return DomainDecoders(nets["G"].each)(z + noise * torch.randn(z.shape, generator=g))


def prior(only: str) -> None:
    """The normal prior, codes plus noise, and the losses and weights of the authors' image code; two domains, four pairs."""
    def good(x: Tensor, modes: ModeSet) -> list:
        return rounded([c.high_quality for c in coverages(x, modes, "selfcond")])

    def whole(run: Run) -> list:
        return good(run.sample(2500), run.modes)
    jobs = {}
    for name, (base, (own, values)) in PRIORS.items():
        tries = {f"rates × {scale:g}, {own} {value:g}": base | {"scale": scale, own: value} for scale, value in itertools.product((.5, 1.), values)}
        best = best_of("prior", name, tries, lambda settings: whole(ready(MMIALI, world(), pairs=4, **TUNE, **settings).step(STEPS)))

        def row(best: dict) -> dict:
            run = ready(MMIALI, world(), pairs=4, **best).step(STEPS)
            x = run.sample(2500)
            views = {view: [(c.captured, round(c.high_quality, 4)) for c in coverages(x[..., own], of_views(run.modes, i), "selfcond")]
                     for i, (view, own) in enumerate((("A", slice(2)), ("B", slice(2, 4))))}
            return {"chosen": best, "matched": matched(run), "whole": whole(run), "views": views,
                    "whole captured": [c.captured for c in coverages(x, run.modes, "selfcond")]}
        jobs[name] = lambda best=best: row(best)
    normal = known(FILE, "prior tuning").values()
    normal = max((r for r in normal if r["setting"].startswith("normal: ")), key=lambda r: sum(r["score"]))["settings"]

    def afterwards(noise: float, **how: int) -> list:
        return good(from_codes(ready(MMIALI, world(), pairs=4, **how, **normal).step(STEPS), noise), world())
    late = best_of("prior", "normal, sampled from codes", {f"noise {v:g}": {"noise": v} for v in (.1, .03)},
                   lambda settings: afterwards(**settings, **TUNE))
    jobs["normal, sampled from codes"] = lambda: {"chosen": normal | late, "whole": afterwards(**late)}
    measure("prior", only, jobs)


@torch.no_grad()
def told_apart(run: Run, made: Callable[[int, int, Tensor], Tensor] | None = None, n: int = 360) -> dict:
    """Held-out digits in other styles: the share that the nearest training picture calls the right digit, and the mean error.

    `made(i, j, views)` makes view j of view i; without it the run translates.
    """
    bank, label = run.modes.sample_with_modes(3000, torch.Generator().manual_seed(5))
    x, y = Styles("held_out").sample_with_modes(n, torch.Generator().manual_seed(9))
    bank, x = (run.scale.standardise(v) for v in (bank, x))
    views, nets = run.game.views(x[None].expand(run.runs, -1, -1, -1, -1)), run.players.nets
    found = translate_domains(nets["E"].each, nets["G"].each, views) if made is None else None
    share, error = [], []
    for i, j in itertools.permutations(range(len(STYLES)), 2):
        out = (found[:, i, j] if made is None else made(i, j, views)).flatten(2)
        near = torch.cdist(out, bank[:, j].flatten(1).expand(run.runs, -1, -1)).argmin(-1)
        share.append((label[near] == y).float().mean(1))
        error.append((out - views[:, j].flatten(2)).abs().mean((1, 2)))
    return {"matched": rounded(torch.stack(share).mean(0)), "error": rounded(torch.stack(error).mean(0))}


def pictures(only: str) -> None:
    """Digits in three styles over the number of pairs, beside networks of the pairs alone, copies, and affine maps."""
    steps, modes = 300, Styles()
    how = dict(domains=3, width=96, latent=16, steps=steps)

    def trained(game: type[MMIALI], k: int, **settings: Any) -> Run:
        return ready(game, modes, pairs=k, **how, **settings).step(steps)

    def copied(run: Run) -> dict:
        shown = run.game.views(run.players.nets["shown"].x).flatten(3)

        def made(i: int, j: int, views: Tensor) -> Tensor:
            near = torch.cdist(views[:, i].flatten(2), shown[:, i]).argmin(-1)
            return shown[:, j].gather(1, near[..., None].expand(-1, -1, shown.shape[-1]))
        return told_apart(run, made)

    def lined(run: Run, ridge: float) -> dict:
        shown = run.game.views(run.players.nets["shown"].x).flatten(3)
        one = lambda v: torch.cat([v, torch.ones_like(v[..., :1])], -1)

        def made(i: int, j: int, views: Tensor) -> Tensor:
            a = one(shown[:, i])
            best = torch.linalg.solve(a.mT @ a + ridge * torch.eye(a.shape[-1]), a.mT @ shown[:, j])
            return one(views[:, i].flatten(2)) @ best
        return told_apart(run, made)

    def with_pairs(k: int, **how: Any) -> Run:
        return ready(MMIALI, modes, pairs=k, domains=3, width=4, latent=2, **how).step(1)
    lr = best_of("pictures", "ensemble", {f"{r:g}": {"lr": r} for r in (1e-3, 2e-3, 4e-3, 8e-3, .016)},
                 lambda s: told_apart(trained(MMIALI, 30, **TUNE, **s))["matched"])
    alone = best_of("pictures", "pairs only", {f"{r:g}": {"lr": r} for r in (1e-3, 2e-3, 4e-3, 8e-3, .016)},
                    lambda s: told_apart(trained(PairsOnly, 30, **TUNE, **s))["matched"])
    ridge = best_of("pictures", "line", {f"{r:g}": {"ridge": r} for r in (.01, .1, 1., 10.)},
                    lambda s: lined(with_pairs(30, **TUNE), **s)["matched"])
    jobs: dict[str, Callable[[], dict]] = {"true views": lambda: told_apart(with_pairs(1), lambda i, j, views: views[:, j]),
            "another digit": lambda: told_apart(with_pairs(1), lambda i, j, views: views[:, j].roll(1, 1))}
    for k in (0, 30, 100):
        jobs[f"ensemble, {k}"] = lambda k=k: {"pairs": k} | pictures_row(trained(MMIALI, k, **lr))
        if k:
            jobs[f"pairs only, {k}"] = lambda k=k: {"pairs": k} | told_apart(trained(PairsOnly, k, **alone))
            jobs[f"copy, {k}"] = lambda k=k: {"pairs": k} | copied(with_pairs(k))
            jobs[f"line, {k}"] = lambda k=k: {"pairs": k} | lined(with_pairs(k), **ridge)
    measure("pictures", only, jobs)


@torch.no_grad()
def pictures_row(run: Run) -> dict:
    """The measures of a run, and ten held-out digits of the first seed, one of each: plain, and translated to the other styles."""
    x, y = Styles("held_out").sample_with_modes(360, torch.Generator().manual_seed(9))
    ten = run.scale.standardise(x[torch.stack([(y == k).nonzero()[0, 0] for k in range(10)])])
    views, nets = run.game.views(ten[None].expand(run.runs, -1, -1, -1, -1)), run.players.nets
    found = translate_domains(nets["E"].each, nets["G"].each, views)[0, 0]
    return told_apart(run) | {"shown": packed(torch.cat([views[0, 0], *found[1:]]))}


PARTS = {"cost": cost, "prior": prior, "sharing": sharing, "pairs": pairs, "domains": domains, "pictures": pictures,
         "sharing of five": lambda only: sharing(only, (5,))}


def main() -> None:
    """Measure the parts that are asked for."""
    torch.set_num_threads(1)
    for part, only in asked(sys.argv[1:], PARTS):
        PARTS[part](only)


if __name__ == "__main__":
    main()
