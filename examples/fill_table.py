"""A table with missing cells and missing labels, filled and classified by HexaGAN, an estimator of scikit-learn.

A fifth of the cells is hidden, and half of the labels (member or not). The script fills the table, predicts the labels of
held-out rows, and compares both with simple answers: the column's median or most frequent value, and gradient boosting,
which takes missing values as they are. `audit` tests the rows that HexaGAN makes anew, as it does to balance classes.
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

opt = arguments(__doc__, steps=1000)
random = np.random.default_rng(opt.seed)


def frame(n, seed):
    """Customers as a pandas frame: numbers, texts, and whether each is a member."""
    rows = customers(n, seed)
    table = pd.DataFrame(rows[:, :3], columns=NUMBERS)
    for i, name in enumerate(KINDS):
        table[name] = np.array(KINDS[name])[rows[:, 3 + i].astype(int)]
    table["age"] = table["age"].round()
    return table.drop(columns="member"), table["member"]


(table, member), (unseen, answer) = frame(1500, 0), frame(500, 1)
holes, unseen_holes = (t.mask(random.random(t.shape) < .2) for t in (table, unseen))
labels = member.mask(random.random(len(member)) < .5)

model = HexaGAN(steps=opt.steps, random_state=opt.seed).fit(holes, labels)
filled = model.transform(holes)

texts = [name for name in KINDS if name != "member"]
simple = holes.fillna({**holes[NUMBERS].median(), **{name: holes[name].mode()[0] for name in texts}})
for name, other in (("HexaGAN", filled), ("median or most frequent", simple)):
    wrong = {n: (other[n] - table[n])[holes[n].isna()].abs().mean() / table[n].std() for n in NUMBERS}
    right = {n: (other[n] == table[n])[holes[n].isna()].mean() for n in texts}
    print(f"{name}: mean error in standard deviations " + ", ".join(f"{n} {v:.2f}" for n, v in wrong.items())
          + "; right " + ", ".join(f"{n} {v:.0%}" for n, v in right.items()))

encode = make_column_transformer((OrdinalEncoder(), texts), remainder="passthrough")
boosted = make_pipeline(encode, HistGradientBoostingClassifier(random_state=0)).fit(holes[labels.notna()], labels.dropna())
for name, classifier in (("HexaGAN", model), ("gradient boosting", boosted)):
    print(f"{name}: F1 on held-out rows {f1_score(answer, classifier.predict(unseen_holes), pos_label='yes'):.2f}")


def columns(t):
    """The columns of a frame as text, as they stand in a file."""
    return {n: [v if isinstance(v, str) else f"{v:.5g}" for v in t[n]] for n in t}


made, made_member = model.sample(opt.samples, random_state=opt.seed)
encoder = TableEncoder.fit(columns(table), [columns(unseen)])
numeric = lambda t: torch.tensor(encoder.encode(columns(t)))
report = audit(numeric(made), numeric(table), numeric(unseen))
print(report)
(opt.out / "report.html").write_bytes(html_document(report))
filled.assign(member=model.predict(holes)).to_csv(opt.out / "filled.csv", index=False)
made.assign(member=made_member).to_csv(opt.out / "samples.csv", index=False)
