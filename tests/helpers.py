"""What several test files need: seeded generators and draws, and whether two runs are the same bit for bit."""

import html.parser

import torch

from modelab.training.run import Run


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of random numbers on the CPU that starts from `seed`."""
    return torch.Generator().manual_seed(seed)


def seeded_runs(n: int, start: int = 0) -> list[torch.Generator]:
    """One generator for each of `n` runs, with the seeds `start`, `start + 1`, …"""
    return [seeded(start + i) for i in range(n)]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Standard normal numbers, the same for the same seed; float64, in which gradients can be compared."""
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


def uniform(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Uniform numbers in [0, 1), the same for the same seed."""
    return torch.rand(*shape, generator=seeded(seed), dtype=dtype)


def same_players(a, b) -> bool:
    """Whether the networks and optimisers of two runs are equal, bit for bit."""
    left, right = a.players.state(), b.players.state()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def same_run(a, b) -> bool:
    """Whether two runs have equal players and equal losses, bit for bit."""
    return same_players(a, b) and a.losses.keys() == b.losses.keys() and all(
        torch.equal(a.losses[name], b.losses[name]) for name in a.losses)


def plays_and_resumes(game, data, folder, player: str = "D") -> None:
    """Asserts that a game trains on a set, is the same bit for bit after a save and a load, and samples examples."""
    def fresh() -> Run:
        return Run(game(), data(), runs=2, batch=4, device="cpu")
    fresh().step(1).save(folder / "x")
    run = fresh().step(3)
    assert same_run(Run.load(folder / "x", device="cpu").step(2), run)
    assert run.sample(3).shape == (2, 3, *data().event) and torch.isfinite(run.losses[player]).all()


class Tags(html.parser.HTMLParser):
    """What a browser would see: tags with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
