"""A table with missing cells and missing labels, filled and classified by HexaGAN, an estimator of scikit-learn.

A fifth of the cells is hidden, and half of the labels (member or not). The script fills the table, predicts the labels of
held-out rows, and compares both with simple answers: the column's median or most frequent value, and gradient boosting,
which takes missing values as they are. `audit` tests the rows that HexaGAN makes anew, as it does to balance classes.

With --data TABLE.csv --target COLUMN the table is yours: an empty cell is missing, and a row without a value in the target
column has no label. A fifth of the labelled rows is held out, and of the known cells a fifth is hidden, to measure the error.
`filled.csv` has all rows, with the cells that were missing from the start filled in.
"""

import numpy as np
import pandas as pd
import torch
from common import arguments, customers, KINDS, NUMBERS
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from modelab import audit, HexaGAN
from modelab.data.tables import TableEncoder
from modelab.evaluation.report import html_document

opt = arguments(__doc__, steps=1000, data=("", "a table (.csv) with a header; without it: a made table of customers"),
                target=("", "column with the labels, for --data"))
random = np.random.default_rng(opt.seed)


def made_here(n, seed):
    """Customers as a pandas frame: numbers and texts; and whether each is a member."""
    rows = customers(n, seed)
    table = pd.DataFrame(rows[:, :3], columns=NUMBERS)
    for i, name in enumerate(KINDS):
        table[name] = np.array(KINDS[name])[rows[:, 3 + i].astype(int)]
    table["age"] = table["age"].round()
    return table.drop(columns="member"), table["member"]


def from_file(path, target):
    """The rows of a file and their labels without a fifth of the labelled ones; these, and theirs."""
    table = pd.read_csv(path)
    if target not in table:
        raise SystemExit(f"--target: expected one of {', '.join(table)}, got {target!r}")
    labels = table.pop(target)
    for name in table.columns[[t.dtype.kind not in "biuf" and t.nunique() > 100 for _, t in table.items()]]:
        print(f"{name} is left out: it has {table.pop(name).nunique()} different texts")
    held = labels.notna() & (random.random(len(labels)) < .2)
    return (table[~held], labels[~held]), (table[held], labels[held])


(table, labels), (unseen, answer) = from_file(opt.data, opt.target) if opt.data else (made_here(1500, 0), made_here(500, 1))
numbers = [*table.select_dtypes("number")]
texts = [name for name in table if name not in numbers]
holes, unseen_holes = (t.mask(random.random(t.shape) < .2) for t in (table, unseen))
if not opt.data:
    labels = labels.mask(random.random(len(labels)) < .5)


def readable(t):
    """The same rows, in which a text that no training row has is missing."""
    return t.assign(**{name: t[name].where(t[name].isin(holes[name].dropna())) for name in texts})


model = HexaGAN(steps=opt.steps, random_state=opt.seed).fit(holes, labels)
filled = model.transform(holes)

hidden = holes.isna() & table.notna()
simple = holes.fillna({**holes[numbers].median(), **{name: holes[name].mode()[0] for name in texts}})
for name, other in (("HexaGAN", filled), ("median or most frequent", simple)):
    wrong = {n: (other[n] - table[n])[hidden[n]].abs().mean() / table[n].std() for n in numbers}
    right = {n: (other[n] == table[n])[hidden[n]].mean() for n in texts}
    print(f"{name}: mean error in standard deviations " + ", ".join(f"{n} {v:.2f}" for n, v in wrong.items())
          + "; right " * bool(texts) + ", ".join(f"{n} {v:.0%}" for n, v in right.items()))

encode = make_column_transformer((OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), texts), remainder="passthrough")
boosted = make_pipeline(encode, HistGradientBoostingClassifier(random_state=0)).fit(holes[labels.notna()], labels.dropna())
for name, classifier in (("HexaGAN", model), ("gradient boosting", boosted)):
    print(f"{name}: F1 on held-out rows {f1_score(answer, classifier.predict(readable(unseen_holes)), average='macro'):.2f}")


def columns(t):
    """The columns of a frame as text, as they stand in a file."""
    return {n: [v if isinstance(v, str) else f"{v:.5g}" for v in t[n]] for n in t}


made, made_labels = model.sample(opt.samples, random_state=opt.seed)
known, known_unseen = table.dropna(), unseen.dropna()
if min(len(known), len(known_unseen)) < 20:
    print("no audit: it takes 20 rows without a gap, for training and held out")
else:  # modelab: rows made anew, against the rows without a gap
    encoder = TableEncoder.fit(columns(known), [columns(known_unseen)])
    report = audit(*(torch.tensor(encoder.encode(columns(t))) for t in (made, known, known_unseen)))
    print(report)
    (opt.out / "report.html").write_bytes(html_document(report))
whole, known_labels = (pd.concat([table, unseen]).sort_index(), pd.concat([labels, answer]).sort_index()) if opt.data else (holes, labels)
guessed = pd.Series(model.predict(readable(whole)), whole.index)
whole = whole.where(whole.notna(), model.transform(readable(whole)))
whole.assign(**{opt.target or "member": known_labels.fillna(guessed)}).to_csv(opt.out / "filled.csv", index=False)
made.assign(**{opt.target or "member": made_labels}).to_csv(opt.out / "samples.csv", index=False)
