"""The long comparison of chapters 5.9 and 6.24: cells filled, and classes predicted, by HexaGAN and by ordinary methods.

    pip install imbalanced-learn        # for SMOTE; without it this rival is left out
    python benchmarks/tabular.py        # goes on where it was stopped
    python benchmarks/tabular.py iris   # one table
    python benchmarks/tabular.py paper  # the tumours once more, at the authors' length: about 45 minutes of one idle core
    python benchmarks/tabular.py "paper, few malignant"  # the same where malignant rows are rare: about 35 minutes
    python benchmarks/tabular.py scaling  # what it gives to scale the columns by all cells

Each seed splits a table (80 % for training, 20 % for the test), and hides a fifth of all cells and a fifth of the training
labels. In "tumours, few malignant" no label is hidden; nine of ten malignant training rows are taken away instead. Columns are scaled
by the known training cells. Every method has three settings. A setting is chosen for each seed on a quarter of the labelled
training rows, by the F1 score there (by the error on further hidden cells, for imputers), and trained again on all training
rows. The test rows choose nothing. benchmarks/tabular.json has the seeds one by one.

"paper" trains HexaGAN on the tumours with all settings of the authors' code (PAPER_SETTINGS: 50,300 steps, the first 300 on the
penalties alone, ten rounds of G_CG and D_CG), on the same eight splits. Nothing is chosen. It keeps its state in MODELAB_PART (a file,
by default in the folder for temporary files) and goes on from there. Written before the run: HexaGAN fills with less error than the
best imputer, and classifies with a higher F1 than the best ordinary method, if the intervals of eight seeds are apart. We expect the
first not to hold. "paper, few malignant" is the same run on "tumours, few malignant", with the same two thresholds, written before
the run, too. There the conditional generator has most to add.

"tumours, few labels" and "wine, few labels" hide 90 % and 80 % of the training labels. HexaGAN is trained three times: with all rows,
with the labelled rows alone (its three settings are tried anew), and with all rows but without the loss that trains C on unlabelled
ones. Written before the run: unlabelled rows raise HexaGAN's F1 on a table if the interval of the difference between the first two,
seed by seed, lies above zero; HexaGAN with all rows is better than every ordinary method if the two intervals are apart. We expect
the second not to hold on either table.

"scaling" trains HexaGAN with the settings that were chosen for F1 once more, with columns scaled by the known training cells and with
columns scaled by all cells, hidden ones and test rows too. Errors of both are in the units of the second. There is no threshold.

"scaling" takes about 3 minutes of one idle core.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from rows import asked, known, record
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.semi_supervised import SelfTrainingClassifier
from tqdm import tqdm

from modelab.methods.tabular import hide_cells, row_rmse
from modelab.methods.tabular_networks import HexaSettings, HexaTraining
from modelab.methods.tabular_training import PAPER_SETTINGS

try:
    from imblearn.over_sampling import SMOTE
except ImportError:
    SMOTE = None

FILE, SEEDS, STEPS, LOOKS = Path(__file__).with_suffix(".json"), 8, 800, 8
TABLES = {"tumours": load_breast_cancer, "tumours, few malignant": load_breast_cancer, "wine": load_wine, "iris": load_iris,
          "digits": load_digits, "tumours, few labels": load_breast_cancer, "wine, few labels": load_wine}
HIDDEN = {"tumours, few malignant": 0., "tumours, few labels": .9, "wine, few labels": .8}  # share of the labels; .2 elsewhere
RARE = "tumours, few malignant"
IMPUTERS = {"mean of the column": [lambda: SimpleImputer(keep_empty_features=True)],
            "mean of neighbours": [lambda k=k: KNNImputer(n_neighbors=k, keep_empty_features=True) for k in (3, 10, 30)],
            "iterative regression": [lambda n=n: IterativeImputer(max_iter=n, keep_empty_features=True) for n in (3, 10, 30)]}
PAPER = "HexaGAN, authors' settings and length"
HEXAGAN = [dict(width=lambda d: d // 2, hide=0.),  # the paper's width and reconstruction
           dict(width=lambda d: max(d // 2, 15), hide=.2), dict(width=lambda d: max(d // 2, 15), hide=.2, lr=2e-3)]


class Split:
    """A table of one seed: training rows and labels (-1: none), test rows, all scaled; and the part that chooses settings."""

    def __init__(self, name: str, seed: int, by_all: bool = False):  # whether all cells scale the columns, hidden ones and test rows too
        x, y = TABLES[name](return_X_y=True)
        y = 1 - y if TABLES[name] is load_breast_cancer else y  # 1: malignant
        if name == "digits":
            x, _, y, _ = train_test_split(x, y, train_size=1000, stratify=y, random_state=seed)
        g, truth, y = torch.Generator().manual_seed(seed), torch.from_numpy(x).float(), torch.from_numpy(y).long()
        train, test = map(torch.from_numpy, train_test_split(np.arange(len(y)), test_size=.2, stratify=y, random_state=seed))
        if name.endswith("few malignant"):
            train = torch.cat([train[y[train] == 0], train[y[train] == 1][:17]])
        holes, hidden = hide_cells(truth, .2, g), torch.rand(len(y), generator=g) < HIDDEN.get(name, .2)
        seen = truth if by_all else holes[train]
        low, high = seen.nan_to_num(math.inf).amin(0), seen.nan_to_num(-math.inf).amax(0)
        span = torch.where(high > low, high - low, 1)
        self.x, self.test, self.truth = ((v - low) / span for v in (holes[train], holes[test], truth[test]))
        self.y, self.answer = torch.where(hidden, -1, y)[train], y[test]
        self.share = span / (truth.amax(0) - truth.amin(0)).clamp_min(1e-9)  # of the span of all cells, hidden ones too
        self.unit = 1.  # of errors of HexaGAN

    def inner(self, n: int, seed: int) -> tuple[torch.Tensor, ...]:
        """The numbers of the rows to learn from and of `n` labelled rows to choose by, and those rows with more holes."""
        known = (self.y >= 0).nonzero()[:, 0]
        _, pick = train_test_split(known.numpy(), test_size=n, stratify=self.y[known], random_state=seed)
        rest = np.setdiff1d(np.arange(len(self.y)), pick)
        return torch.from_numpy(rest), torch.from_numpy(pick), hide_cells(self.x[pick], .2, torch.Generator().manual_seed(seed))


def f1(answer: torch.Tensor, found: np.ndarray) -> float:
    """F1 of class 1 for two classes, else the mean over classes."""
    return f1_score(answer.numpy(), found, average="binary" if answer.max() == 1 else "macro", zero_division=0)


def error(holes: torch.Tensor, filled: torch.Tensor, truth: torch.Tensor) -> float:
    """The chapter's error of rows, where the truth is known."""
    known = ~truth.isnan()
    return row_rmse(torch.where(known, holes, 0), torch.where(known, filled, 0), truth.nan_to_num(0)).item()


def filled(make, train: torch.Tensor, *others: torch.Tensor) -> list[torch.Tensor]:
    """Tables completed by an imputer that has seen the first one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the iterative one warns when it stops too early
        imputer = make().fit(train.numpy())
        return [torch.from_numpy(imputer.transform(x.numpy())).float() for x in (train, *others)]


def impute(name: str, splits: list[Split], parts: list[tuple]) -> dict:
    """One imputer: for each seed the setting with the least error on further hidden cells, and its error on the test rows."""
    rows = defaultdict(list)
    for split, (rest, pick, holes) in zip(splits, parts):
        tried = [error(holes, filled(make, split.x[rest], holes)[1], split.x[pick]) if len(IMPUTERS[name]) > 1 else 0
                 for make in IMPUTERS[name]]
        done = filled(IMPUTERS[name][int(np.argmin(tried))], split.x, split.test)[1]
        rows["setting by seed"].append(int(np.argmin(tried)))
        rows["error"].append(error(split.test, done, split.truth))
        rows["error, scaled by all cells"].append(error(split.test * split.share, done * split.share, split.truth * split.share))
    return rows


def classifiers(columns: int) -> dict[str, tuple[bool, list]]:
    """The rivals by name: whether they take completed rows, and their settings, each a function that makes one."""
    def logistic(**kw):
        return [lambda C=C: LogisticRegression(C=C, max_iter=2000, **kw) for C in (.1, 1, 10)]

    def boosted(**kw):
        return [lambda r=r: HistGradientBoostingClassifier(learning_rate=r, max_iter=50, random_state=0, **kw) for r in (.03, .1, .3)]
    found = {"logistic regression": (True, logistic()), "logistic regression, class weights": (True, logistic(class_weight="balanced")),
             "logistic regression, self-training": (True, [lambda m=m: SelfTrainingClassifier(m()) for m in logistic()]),
             "network": (True, [lambda a=a: MLPClassifier(max(columns // 2, 15), alpha=a, max_iter=500, random_state=0)
                                for a in (1e-3, .1, 1)]),
             "gradient boosting": (False, boosted()), "gradient boosting, class weights": (False, boosted(class_weight="balanced"))}
    if SMOTE:
        found["logistic regression, SMOTE"] = (True, [lambda m=m: Smote(m()) for m in logistic()])
    return found


class Smote:
    """A classifier after SMOTE."""

    def __init__(self, model):
        self.model = model

    def fit(self, x, y):
        """Fit on rows of which the rare classes were filled up."""
        k = min(5, np.bincount(y).min() - 1)
        self.model.fit(*(SMOTE(k_neighbors=k, random_state=0).fit_resample(x, y) if k > 0 else (x, y)))
        return self

    def predict(self, x):
        """The model's answer."""
        return self.model.predict(x)


def classify(name: str, splits: list[Split], parts: list[tuple], completed: list[tuple]) -> dict:
    """One rival: for each seed the setting with the best F1 on the choosing rows, and its F1 on the test rows."""
    takes_completed, settings = classifiers(splits[0].x.shape[1])[name]
    rows = defaultdict(list)
    for split, (rest, pick, _), whole, inner in zip(splits, parts, *zip(*completed)):
        def score(make, x, y, x_test, answer):
            use = slice(None) if name.endswith("self-training") else y >= 0
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return f1(answer, make().fit(x[use].numpy(), y[use].numpy()).predict(x_test.numpy()))
        x, x_test, x_rest, x_pick = (*whole, *inner) if takes_completed else (split.x, split.test, split.x[rest], split.x[pick])
        tried = [score(make, x_rest, split.y[rest], x_pick, split.y[pick]) for make in settings]
        rows["setting by seed"].append(int(np.argmax(tried)))
        rows["F1"].append(score(settings[int(np.argmax(tried))], x, split.y, x_test, split.answer))
    return rows


def filled_up(split: Split, rest: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The inner rows, then rows that no batch draws, so that the table is as long as the whole one."""
    gap = len(split.x) - len(rest)
    return torch.cat([split.x[rest], split.x[:gap]]), torch.cat([split.y[rest], torch.full((gap,), -2)])


def hexagan(splits: list[Split], parts: list[tuple], chosen: dict | None = None, **more) -> dict:
    """HexaGAN with each setting, on the inner rows and on all training rows of every seed at once.

    The inner ones choose a setting for each seed, and what the chosen one gives on the test rows is kept.
    """
    inner = [] if chosen else [filled_up(s, rest) for s, (rest, _, _) in zip(splits, parts)]
    x, y = (torch.stack(v) for v in zip(*[(s.x, s.y) for s in splits], *inner))
    columns, classes, table = x.shape[2], int(splits[0].y.max()) + 1, defaultdict(list)
    for k, setting in enumerate(tqdm(HEXAGAN, desc="HexaGAN", leave=False)):
        if chosen and k not in chosen["setting by seed"]:
            table["looks"].append(np.full((LOOKS, SEEDS, 2), np.nan))
            continue
        settings = HexaSettings(steps=STEPS, **setting | more | {"width": setting["width"](columns)})
        training = HexaTraining(x, y, classes, settings, [torch.Generator().manual_seed(k % SEEDS) for k in range(len(x))])
        looks = []
        for _ in range(LOOKS):
            training.step(STEPS // LOOKS)
            done, found = applied(training, [s.test for s in splits])
            looks.append([(f1(s.answer, k), error(s.test * s.unit, rows * s.unit, s.truth * s.unit)) for s, rows, k in zip(splits, done, found)])
        table["looks"].append(looks)
        if inner:
            found = applied(training, [s.x[pick] for s, (_, pick, _) in zip(splits, parts)], inner=True)[1]
            done = applied(training, [holes for *_, holes in parts], inner=True)[0]
            table["F1"].append([f1(s.y[pick], k) for s, (_, pick, _), k in zip(splits, parts, found)])
            table["error"].append([error(holes, rows, s.x[pick]) for s, (_, pick, holes), rows in zip(splits, parts, done)])
    looks = np.array(table["looks"])  # setting, look, seed, measure
    choice = {"F1": chosen["setting by seed"], "error": chosen["setting by seed"]} if chosen else \
        {"F1": np.argmax(table["F1"], 0).tolist(), "error": np.argmin(table["error"], 0).tolist()}
    result = {"setting by seed": choice["F1"], "setting by seed, error": choice["error"]}
    for m, (name, best) in enumerate((("F1", np.max), ("error", np.min))):
        own = np.array([looks[k, :, s, m] for s, k in enumerate(choice[name])])
        result |= {name: own[:, -1].tolist(), f"{name}, best look on the test rows": best(own, axis=1).tolist()}
        result |= {} if chosen else {f"{name}, setting {k}": looks[k, -1, :, m].tolist() for k in range(len(HEXAGAN))}
    return result


def applied(training: HexaTraining, tables: list[torch.Tensor], inner: bool = False) -> tuple[torch.Tensor, np.ndarray]:
    """Completed rows and classes of a table per seed, by the networks that learned from all training rows or from the inner ones."""
    x, part = torch.stack(tables), slice(SEEDS, None) if inner else slice(SEEDS)
    rows, chance = training.apply(x.repeat(len(training.x) // SEEDS, 1, 1))
    return rows[part], chance[part].argmax(-1).numpy()


def at_length(table: str, pieces: int = 100) -> dict:
    """HexaGAN with the authors' settings and length; goes on from the state that it left."""
    name, splits = "modelab_hexagan_few.pt" if table == RARE else "modelab_hexagan.pt", [Split(table, seed) for seed in range(SEEDS)]
    part = Path(os.environ.get("MODELAB_PART", Path(tempfile.gettempdir()) / name))
    x, y = torch.stack([s.x for s in splits]), torch.stack([s.y for s in splits])
    settings = HexaSettings(**PAPER_SETTINGS, width=x.shape[2] // 2)
    generators = [torch.Generator().manual_seed(k) for k in range(SEEDS)]
    training, looks = HexaTraining(x, y, 2, settings, generators), []
    own = {"settings": repr(settings), "table": float(x.nan_to_num().sum()), "pieces": pieces}
    if part.is_file():
        kept = torch.load(part)
        if kept["known"] != own:
            raise ValueError(f"MODELAB_PART: {part} is of other settings or splits; choose another file")
        training.nets.load_state_dict(kept["nets"])
        training.done, looks = kept["done"], kept["looks"]
        for name, optimiser in training.optimisers.items():
            optimiser.load_state_dict(kept["optimisers"][name])
        for generator, state in zip(generators, kept["generators"]):
            generator.set_state(state)
    for _ in tqdm(range(len(looks), pieces), initial=len(looks), total=pieces, desc="HexaGAN at length", mininterval=30):
        training.step(settings.steps // pieces)
        rows, chance = training.apply(torch.stack([s.test for s in splits]))
        looks.append([(f1(s.answer, k), error(s.test, done, s.truth)) for s, done, k in zip(splits, rows, chance.argmax(-1).numpy())])
        torch.save({"known": own, "nets": training.nets.state_dict(), "done": training.done, "looks": looks,
                    "generators": [g.get_state() for g in generators],
                    "optimisers": {name: o.state_dict() for name, o in training.optimisers.items()}}, part)
    path = np.array(looks)  # look, seed, measure
    return {"F1": path[-1, :, 0].tolist(), "error": path[-1, :, 1].tolist(), "steps": [settings.steps],
            "F1, best look on the test rows": path[..., 0].max(0).tolist(), "error, best look on the test rows": path[..., 1].min(0).tolist(),
            "mean F1 by look": path[..., 0].mean(1).round(4).tolist(), "mean error by look": path[..., 1].mean(1).round(4).tolist()}


def measure(table: str) -> None:
    """All methods on one table; those in the record already are not run again."""
    have = {r["setting"]: r for r in json.loads(FILE.read_text()).get(table, [])} if FILE.is_file() else {}
    splits = [Split(table, seed) for seed in range(SEEDS)]
    n = min(int((s.y >= 0).sum()) for s in splits) // 4
    parts = [s.inner(n, seed) for seed, s in enumerate(splits)]

    def keep(name: str, job) -> None:
        if name in have:
            return
        start = time.process_time()
        rows = {k: [round(float(v), 4) if isinstance(v, float) else v for v in values] for k, values in job().items()}
        have[name] = {"setting": name, **rows, "processor seconds": round(time.process_time() - start, 1)}
        record(FILE, table, have[name])
        print(f"{table}, {name}: " + ", ".join(f"{k} {np.mean(v):.4f}" for k, v in rows.items() if k in ("F1", "error")), flush=True)
    for name in IMPUTERS:
        keep(name, lambda: impute(name, splits, parts))
    rivals, completed = classifiers(splits[0].x.shape[1]), []
    if not have.keys() >= rivals.keys():
        for s, (rest, pick, _), k in zip(splits, parts, have["iterative regression"]["setting by seed"]):
            make = IMPUTERS["iterative regression"][k]
            completed.append((filled(make, s.x, s.test), filled(make, s.x[rest], s.x[pick])))
    for name in tqdm(rivals, desc=table):
        keep(name, lambda: classify(name, splits, parts, completed))
    if table.endswith("few labels"):
        keep("HexaGAN, all rows", lambda: hexagan(splits, parts))
        keep("HexaGAN, C without unlabelled rows", lambda: hexagan(splits, parts, have["HexaGAN, all rows"], unlabelled_weight=0.))
        for s in splits:
            s.y = torch.where(s.y < 0, -2, s.y)  # rows that no batch draws
        keep("HexaGAN, labelled rows alone", lambda: hexagan(splits, parts))
        return
    keep("HexaGAN", lambda: hexagan(splits, parts))
    if table == RARE:
        keep("HexaGAN, classes not balanced", lambda: hexagan(splits, parts, have["HexaGAN"], balance=False))


def scaling() -> None:
    """HexaGAN with the settings chosen for F1, with columns scaled by the training cells and by all cells; errors in units of the latter."""
    for table in ("tumours", RARE, "wine", "iris"):
        chosen = known(FILE, table)["HexaGAN"]
        for words, by_all in (("by training cells", False), ("by all cells", True)):
            splits, start = [Split(table, seed, by_all) for seed in range(SEEDS)], time.process_time()
            for s in splits:
                s.unit = s.share
            rows = hexagan(splits, [], chosen)
            kept = {name: [round(v, 4) for v in rows[name]] for name in ("F1", "error")}
            record(FILE, "scaling", {"setting": f"{table}, {words}", **kept, "processor seconds": round(time.process_time() - start, 1)})


def main() -> None:
    """Measure the tables named on the command line, or all; the authors' length and the scaling only if they are named."""
    torch.set_num_threads(1)
    words, long = sys.argv[1:], {"paper": "tumours", "paper, few malignant": RARE}
    for table, _ in asked(words, [*TABLES, *long, "scaling"]) if words else [(table, "") for table in TABLES]:
        if table == "scaling":
            scaling()
        elif table not in long:
            measure(table)
        else:
            start = time.process_time()
            rows = {name: [round(v, 4) for v in values] for name, values in at_length(long[table]).items()}
            record(FILE, long[table], {"setting": PAPER, **rows, "processor seconds": round(time.process_time() - start, 1)})


if __name__ == "__main__":
    main()
