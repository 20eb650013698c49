"""A table of mixed columns from a GAN that is built as CTGAN: mixtures for numbers, packed rows, rare values drawn often.

What to expect (seed 0): the monitor does not alarm. It lists pilots (job 5) as not reached yet: they are 1.0 % of the table
and 0.7 % of the samples at the end. The audit alarms. It names two groups that get too few samples, clerks mostly (1.1 % for
5.3 %) and teachers mostly (0.5 % for 1.6 %). It finds lost regions, imbalance, a shift of the mean, and junk. The samples
cover 92 % of the real rows [87 %, 96 %]; junk is 18 %, where uniform noise gets 50 %. No sign of copies: the distance to the
closest record is .384 in the median, and .229 for held-out rows. `samples.csv`, `train.csv` and `held_out.csv` are what
`modelab audit samples.csv --reference train.csv --holdout held_out.csv` reads.
"""

import csv

import numpy as np
import torch
import torch.nn.functional as F
from common import arguments, cells, customers, KINDS, write
from sklearn.mixture import GaussianMixture
from torch import nn

from modelab import audit, gradient_penalty, Monitor
from modelab.data.tables import TableEncoder

opt = arguments(__doc__, steps=1000, by_frequency=(False, "draw values by frequency, so rare ones seldom"))
latent_dim, pac, batch_size = 64, 8, 256
table, unseen = customers(3000, 0), customers(1500, 1)
mixtures = [GaussianMixture(5, random_state=0).fit(table[:, [i]]) for i in range(3)]
widths = [5, 5, 5, *map(len, KINDS.values())]  # of the one-hot blocks; three numbers stand before them


def encode(rows):
    """Each number as its place in a component of the mixture and the component; the kinds one-hot."""
    part = [m.predict(rows[:, [i]]) for i, m in enumerate(mixtures)]
    place = [(rows[:, i] - m.means_[p, 0]) / (4 * m.covariances_[p, 0, 0] ** .5) for i, (m, p) in enumerate(zip(mixtures, part))]
    codes = [np.eye(w)[c.astype(int)] for w, c in zip(widths, [*part, *rows[:, 3:].T])]
    return torch.tensor(np.concatenate([np.stack(place, 1), *codes], 1)).float()


def decode(x):
    """The rows that an encoded batch stands for."""
    x = x.double().numpy()
    code = [c.argmax(1) for c in np.split(x[:, 3:], np.cumsum(widths)[:-1], 1)]
    value = [x[:, i] * 4 * m.covariances_[code[i], 0, 0] ** .5 + m.means_[code[i], 0] for i, m in enumerate(mixtures)]
    return np.stack([*value, *code[3:]], 1)


class Generator(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.a, self.norm_a = nn.Linear(latent_dim + 12, width), nn.BatchNorm1d(width)
        self.b, self.norm_b = nn.Linear(latent_dim + 12 + width, width), nn.BatchNorm1d(width)
        self.out = nn.Linear(latent_dim + 12 + 2 * width, 3 + sum(widths))

    def forward(self, z, wanted):
        h = torch.cat([z, wanted], 1)
        h = torch.cat([self.norm_a(self.a(h)).relu(), h], 1)
        logits = self.out(torch.cat([self.norm_b(self.b(h)).relu(), h], 1))
        soft = [F.gumbel_softmax(block, tau=.2) for block in logits[:, 3:].split(widths, 1)]
        return torch.cat([logits[:, :3].tanh(), *soft], 1), logits


data, first = encode(table), [0, 6, 10]  # the place of each column's first kind among the 12
G = Generator()
D = nn.Sequential(nn.Linear(pac * (data.shape[1] + 12), 128), nn.LeakyReLU(.2), nn.Dropout(.5),
                  nn.Linear(128, 128), nn.LeakyReLU(.2), nn.Dropout(.5), nn.Linear(128, 1))
optimizer_G = torch.optim.Adam(G.parameters(), lr=2e-4, betas=(.5, .9), weight_decay=1e-6)
optimizer_D = torch.optim.Adam(D.parameters(), lr=2e-4, betas=(.5, .9), weight_decay=1e-6)
frequency = data[:, -12:].sum(0)
rows_of = [column.nonzero()[:, 0] for column in data[:, -12:].T]


def draw_wanted(n, weight):
    """A kind for each row: a column by chance, then one of its kinds by weight."""
    share = torch.cat([w / w.sum() for w in weight.split(widths[3:])])
    return torch.multinomial(share, n, replacement=True)


def sample(n):
    """Rows as the generator makes them; it is in evaluation mode."""
    return decode(G(torch.randn(n, latent_dim), F.one_hot(draw_wanted(n, frequency), 12).float())[0])


# modelab: the encoding is fixed by the table, so that all rows are compared on one scale
encoder = TableEncoder.fit(cells(table), [cells(unseen)])
numeric = lambda rows: torch.tensor(encoder.encode(cells(rows)))
monitor = Monitor(numeric(table), sampler=lambda n: numeric(sample(n)), every=25, n=500, eval_of=[G],
                  labels=torch.tensor(table[:, 3]).long(), folder=opt.out / "monitor")

for step in range(1, opt.steps + 1):
    kind = draw_wanted(batch_size, frequency if opt.by_frequency else frequency.log1p())
    wanted = F.one_hot(kind, 12).float()
    real = data[torch.stack([rows_of[k][torch.randint(len(rows_of[k]), ())] for k in kind.tolist()])]
    packed = lambda rows: torch.cat([rows, wanted], 1).view(batch_size // pac, -1)
    fake, logits = G(torch.randn(batch_size, latent_dim), wanted)
    loss_D = D(packed(fake.detach())).mean() - D(packed(real)).mean() \
        + 10 * gradient_penalty(D, packed(real), packed(fake))
    optimizer_D.zero_grad()
    loss_D.backward()
    optimizer_D.step()
    asked = sum(F.cross_entropy(logits[:, -12:][:, a:a + w][at], kind[at] - a) * at.float().mean()
                for a, w in zip(first, widths[3:]) if (at := (kind >= a) & (kind < a + w)).any())
    loss_G = -D(packed(fake)).mean() + asked
    optimizer_G.zero_grad()
    loss_G.backward()
    optimizer_G.step()
    monitor(step)
    if step % 250 == 0:
        print(f"[{step}/{opt.steps}] loss D {loss_D.item():.3f}, loss G {loss_G.item():.3f}")

G.eval()
with torch.no_grad():
    made = sample(opt.samples)
for name, rows in (("samples", made), ("train", table), ("held_out", unseen)):
    with open(opt.out / f"{name}.csv", "w", newline="") as file:
        csv.writer(file).writerows([cells(rows), *zip(*cells(rows).values())])
report = audit(numeric(made), numeric(table), numeric(unseen), labels=torch.tensor(table[:, 3]).long())
write(opt.out, monitor, report)
print("pilots, of the rows: table {:.1%}, samples {:.1%}".format(*((rows[:, 3] == 5).mean() for rows in (table, made))))
