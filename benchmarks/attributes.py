"""Rare attributes on faces of your own: a GAN beside the inclusive GAN, which is asked for these attributes.

    python benchmarks/attributes.py --folder CELEBA --want Eyeglasses Bald Wearing_Hat --size 64 --out runs/celeba --device cuda
    python benchmarks/attributes.py --folder ffhq64.zip --table attributes.csv --want eyeglasses --size 64 --out runs/ffhq --device cuda

--folder: pictures in a folder, a .zip or a .tar; for CelebA the folder that data_scripts/celeba.py makes. --table: a .csv with a column
of file names and a column of 0 and 1 for each attribute (FFHQ comes without one; CelebA's own is found). The pictures are read into
memory as bytes: 200,000 of 64×64 in colour take 2.5 GB. A tenth of them is put aside; no generator and no judge is fitted on it.

Trained are the same networks, for the same number of steps: nobody asks (a GAN with R1); the wanted attributes ask. A checkpoint is
written every --save-every steps; the same command goes on where it was stopped. Then, from --n samples: rate, precision and recall of
each wanted attribute and of --pairs, and the Fréchet distance of all samples, with pictures. A judge says what a picture shows:
logistic regression on features, fitted on training pictures; what it is worth on the pictures put aside is printed first. A sample is
good if it lies in the ball around a picture put aside that reaches to its third nearest (Kynkäänniemi et al. 2019), in the same features.

Not measured by us on CelebA or FFHQ. It was tried on a small folder of the same layout, where it says what it should.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from modelab.core.checks import check_choice
from modelab.core.files import atomic_write
from modelab.core.plotting import axes, image_grid
from modelab.core.registry import current_spec
from modelab.data.picture_folders import FolderPictures, image_folder
from modelab.evaluation.attributes import attribute_table
from modelab.evaluation.balls import balls_holding, neighbour_radii
from modelab.evaluation.feature_networks import feature_network
from modelab.evaluation.features import train_picture_encoder
from modelab.evaluation.precision_recall import frechet_distance
from modelab.methods.imle_gan import IMLEGAN
from modelab.networks.players import Networks
from modelab.training.optimiser import Optimiser, Schedule
from modelab.training.run import Run


def games(args: argparse.Namespace, modes: FolderPictures) -> dict[str, IMLEGAN]:
    """The same game, once with nobody asking."""
    asking = modes.kinds.any(1).nonzero()[:, 0].tolist()
    if not asking:
        sys.exit(f"no picture shows any of {', '.join(args.want)}")
    shared = dict(networks=Networks(args.kind, width=args.width, latent=args.latent), interpolation_weight=0., r1_weight=args.r1,
                  optimiser=Optimiser(args.lr, (0., .99), Schedule("cosine", args.steps)), reals=args.reals, refresh=20, minority=asking)
    return {"nobody asks": IMLEGAN(weight=0., **shared), "the attributes ask": IMLEGAN(weight=args.weight, **shared)}


def trained(name: str, game: IMLEGAN, modes: FolderPictures, args: argparse.Namespace) -> Run:
    """The run at its last step; it goes on from its checkpoint."""
    path = args.out / f"{name.replace(' ', '_')}.safetensors"
    run = Run.load(path, modes=modes, device=args.device) if path.is_file() else \
        Run(game, modes, runs=1, seed=args.seed, batch=args.batch, average=.999, device=args.device)
    if current_spec(run.game) != current_spec(game) or (run.seed, run.batch) != (args.seed, args.batch):
        sys.exit(f"{path} was made with other settings; choose another --out")
    if run.steps > args.steps:
        sys.exit(f"{path} has {run.steps} steps, more than --steps {args.steps}")
    with tqdm(total=args.steps, initial=run.steps, desc=name, unit="step") as bar:
        while run.steps < args.steps:
            n = min(args.save_every, args.steps - run.steps)
            run.step(n, progress=False).save(path)
            bar.update(n)
    return run


class Judge:
    """What pictures show, by logistic regression on features."""
    def __init__(self, features, modes: FolderPictures, n: int, names: list[str]):
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        self.features, self.names = features, names
        x, mode = modes.sample_with_modes(n, torch.Generator().manual_seed(1))
        rows, truth = self.rows(x).numpy(), modes.kinds[mode]
        for name, column in zip(modes.traits, truth.T):
            if column.all() or not column.any():
                sys.exit(f"{name}: {n:,} training pictures all answer alike; a judge of it cannot be fitted")
        self.models = [make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(rows, column.numpy()) for column in truth.T]

    def rows(self, x: Tensor) -> Tensor:
        """Features of pictures in [-1, 1], (n, d) on the CPU."""
        with torch.no_grad():
            return torch.cat([self.features(part.add(1).div(2)).flatten(1).float().cpu() for part in x.split(256)])

    def shows(self, rows: Tensor) -> Tensor:
        """Which attributes, (n, attributes) bool."""
        return torch.stack([torch.from_numpy(model.predict(rows.numpy())).bool() for model in self.models], 1)

    def worth(self, x: Tensor, truth: Tensor) -> dict[str, dict]:
        """Precision and recall of the judge; None where undefined."""
        said, found = self.shows(self.rows(x)), {}
        for name, a, b in zip(self.names, said.T, truth.T):
            hits = int((a & b).sum())
            found[name] = {"precision": hits / int(a.sum()) if a.any() else None, "recall": hits / int(b.sum()) if b.any() else None}
        return found


def own_features(modes: FolderPictures):
    """The small encoder of the course, trained without labels on these pictures."""
    net = train_picture_encoder(modes)
    return lambda x: net(x.to(modes.device).mul(2).sub(1))


def measured(run: Run, judge: Judge, real: Tensor, args: argparse.Namespace) -> tuple[dict, Tensor, Tensor]:
    """The table of one run, its samples, and what they show."""
    x = run.sample(args.n)[0].cpu()
    rows, aside = judge.rows(x), judge.rows(real)
    count, *_ = balls_holding(aside, rows, neighbour_radii(aside, 3), None, 1 << 28)
    shown = judge.shows(rows)
    table = attribute_table(shown, judge.shows(aside), names=tuple(judge.names), pairs=tuple(args.pairs), good=count > 0,
                            judge=f"logistic regression on {args.features} features")
    row = {"steps": run.steps, "frechet": frechet_distance(aside, rows), "precision": (count > 0).double().mean().item(),
           "attributes": table.to_json()["rows"]}
    print(f"{table}\nFréchet distance {row['frechet']:.4g}, precision of all samples {row['precision']:.3f}\n")
    return row, x, shown


def sheet(path: Path, found: dict, modes: FolderPictures) -> None:
    """Samples of each run: any, and those that show each attribute."""
    figure, panels = axes(len(found), 1 + len(modes.traits), size=(2.6, 2.8), squeeze=False)
    for line, (name, (_, x, shown)) in zip(panels, found.items()):
        for ax, title, who in zip(line, [name, *modes.traits], [torch.ones(len(x), dtype=torch.bool), *shown.T]):
            ax.axis("off")
            ax.set_title(f"{title}: {int(who.sum())} of {len(x)}" if title != name else name)
            if who.any():
                image_grid(ax, modes.picture(x[who][:25]), columns=5, title=ax.get_title())
    figure.savefig(path, dpi=120, bbox_inches="tight")


def arguments(words: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--folder", required=True, help="pictures: a folder, .zip or .tar; or CelebA's folder")
    add("--table", help=".csv with file names and attributes")
    add("--want", nargs="+", required=True, help="attributes that ask")
    add("--pairs", nargs="*", default=[], metavar="A+B", help="two wanted attributes at once")
    add("--out", type=Path, required=True, help="folder of checkpoints and results")
    add("--size", type=int, default=64, help="side of the pictures (default 64)")
    add("--kind", default="conv", help="networks of both players (default conv)")
    add("--features", default="own", help="own, or a name or file as for modelab audit (default own: a small encoder trained here)")
    add("--device", default="auto")
    for name, value, what in (("steps", 50_000, ""), ("save-every", 1000, "steps between checkpoints"), ("width", 32, "channels at full size"),
                              ("latent", 64, "length of z"), ("batch", 64, ""), ("reals", 256, "pictures matched at a time"), ("seed", 0, ""),
                              ("n", 5000, "samples that are measured"), ("fit", 20_000, "training pictures for the judge")):
        add(f"--{name}", type=int, default=value, help=f"{what} (default {value})".strip())
    for name, value in (("lr", 1e-3), ("r1", .1), ("weight", .03)):
        add(f"--{name}", type=float, default=value, help=f"(default {value})")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> None:
    """Train, measure, write."""
    args = arguments(words)
    for pair in args.pairs:
        for name in pair.split("+"):
            check_choice("--pairs", name, args.want)
    args.out.mkdir(parents=True, exist_ok=True)
    modes = image_folder(args.folder, size=args.size, attributes=args.want, table=args.table)
    print(modes)
    runs = {name: trained(name, game, modes, args) for name, game in games(args, modes).items()}
    features = own_features(modes) if args.features == "own" else feature_network(args.features, device=args.device)
    judge = Judge(features, modes, args.fit, list(modes.traits))
    real, truth = modes.held_out._pixels.float().div(127.5).sub(1)[:20_000], modes.kinds[modes.held_out._mode][:20_000]
    worth = judge.worth(real, truth)
    print("the judge, on pictures put aside:", json.dumps(worth))
    found = {}
    for name, run in runs.items():
        print(name)
        found[name] = measured(run, judge, real, args)
    record = {"folder": Path(args.folder).name, "size": args.size, "judge": worth, **{name: row for name, (row, *_) in found.items()}}
    atomic_write(args.out / "attributes.json", (json.dumps(record, indent=1) + "\n").encode())
    sheet(args.out / "attributes.png", found, modes)
    print(f"wrote {args.out / 'attributes.json'} and {args.out / 'attributes.png'}")


if __name__ == "__main__":
    main()
