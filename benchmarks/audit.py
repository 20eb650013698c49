"""How often an audit accuses a perfect generator, and how often it finds what is there: 2,000 samples a bag.

    python benchmarks/audit.py              # rates over draws, recorded in benchmarks/audit.json (a quarter of an hour)

Ten overlapping modes in 16 dimensions, drawn anew each time. With MNIST in the folder that MODELAB_DATA names, three audits
of its digits are recorded too: test against training digits, training digits against themselves, and nine of ten digits.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from tqdm import tqdm

from modelab.audit import TESTS, _wilson, audit
from modelab.course import replace
from modelab.modes import mixture, mnist

N, MODES, WIDTH = 2000, 10, 16


def bags(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Samples with their modes, training data and held-out data of one law."""
    generator = torch.Generator().manual_seed(seed)
    law = mixture(2 * torch.randn(MODES, WIDTH, generator=generator), std=1.)
    (samples, mode), train, unseen = law.sample_with_modes(2 * N, generator=generator), *(
        law.sample(N, generator=generator) for _ in range(2))
    return samples, mode, train, unseen


def perfect(samples, mode, train):
    return samples[:N]


def two_modes_lost(samples, mode, train):
    return samples[mode > 1][:N]


def a_tenth_copied(samples, mode, train):
    return torch.cat([train[:N // 10], samples[:N - N // 10]])


def rates(make, draws: int) -> dict:
    """Share of draws with any alarm, with its 95 % interval, and with each alarm."""
    alarms = []
    for seed in tqdm(range(draws), desc=make.__name__):
        samples, mode, train, unseen = bags(seed)
        report = audit(make(samples, mode, train), train, unseen, generator=torch.Generator().manual_seed(seed))
        alarms.append([f.alarm for f in report.findings])
    found = torch.tensor(alarms)
    share = found.any(1).double().mean().item()
    return {"draws": draws, "any alarm": share, "95 %": [round(v, 4) for v in _wilson(share, draws)],
            **{test: found[:, i].double().mean().item() for i, test in enumerate(TESTS)}}


def digits_of_mnist() -> dict | None:
    """Verdicts on real digits, 2,000 a bag without repetition; None where there are none."""
    try:
        train = mnist()
    except FileNotFoundError:
        return None
    order = torch.randperm(60_000, generator=torch.Generator().manual_seed(0))
    images, labels = ((v[order]) for v in (train._images, train._labels))
    unseen = train.held_out._images[torch.randperm(10_000, generator=torch.Generator().manual_seed(1))]
    images, unseen = images.double() / 255, unseen.double() / 255
    without = images[N:][labels[N:] != 4][:N]
    tried = {"test digits": unseen[:N], "training digits": images[:N], "nine of ten digits": without}
    return {name: audit(x, images[:N], unseen[N:2 * N], labels=labels[:N]).verdict for name, x in tried.items()}


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=60, help="draws per faulty generator; the perfect one gets four times as many")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    result = {"what": f"{N:,} samples, {N:,} training and {N:,} held-out examples of {MODES} modes in {WIDTH} dimensions",
              "torch": torch.__version__.split("+")[0], "mnist": digits_of_mnist(),
              "rates": {make.__name__.replace("_", " "): rates(make, args.draws * (4 if make is perfect else 1))
                        for make in (perfect, two_modes_lost, a_tenth_copied)}}
    replace(args.out, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
