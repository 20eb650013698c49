"""How likely a generator finds each picture of a folder, in nats, beside scores that need no generator (Balaji et al. 2019).

An entropic GAN has no critic: its generator descends the transport cost between a batch of pictures and a batch of samples.
Its model, a sample plus normal noise of variance λ/2, has a density. The script trains it on --data, scores the pictures of
--score, and writes scores.csv, the least likely pictures first. With the held-out pictures of --data it says how often each score
tells the two folders apart: the log-likelihood, minus the distance to the nearest training picture, and minus the mean
brightness. Read the last two before you trust the first: dark pictures are likely for a reason that has nothing to do with
the training. Without folders: digits, trained without ones and scored on ones. CPU only.
"""

import torch
from common import arguments, digits, keep, pictures, put_csv, resumable, write
from torch import nn

from modelab import audit, Monitor
from modelab.data.readers import open_samples
from modelab.methods.likelihood import entropic_loss, explicit_log_likelihood

opt = arguments(__doc__, steps=1000, data=("", "folder of pictures to train on; without it: digits that are no ones"),
                score=("", "folder of pictures to score; without it: held-out ones"),
                size=(8, "width and height of the pictures"), entropy=(0., "λ; 0: a tenth of the squared distance of neighbours, and for scoring the best of five multiples"))
latent_dim, batch_size = 16, 128
if bool(opt.data) != bool(opt.score):
    raise SystemExit("--data and --score: expected two folders, or none")
if opt.data:
    train, held = pictures(opt.size, opt.data)
    rows = open_samples(opt.score, size=opt.size)
    scored, names = rows[torch.arange(len(rows))] * 2 - 1, rows.names
else:
    x, y, z, of = digits(opt.size)
    train, held, scored, names = x[y != 1], z[of != 1], z[of == 1], [f"one {i}" for i in range(int((of == 1).sum()))]
if scored.shape[1:] != train.shape[1:]:
    raise SystemExit(f"--score: expected pictures {tuple(train.shape[1:])} as in --data, got {tuple(scored.shape[1:])}")
choosing, held = held[::2], held[1::2]
pixels = train[0].numel()

generator = nn.Sequential(nn.Linear(latent_dim, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, pixels), nn.Tanh(),
                          nn.Unflatten(1, train.shape[1:]))
optimizer = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(.5, .9))
apart = torch.cdist(train[:200].flatten(1), train[:200].flatten(1)).square().fill_diagonal_(torch.inf)
entropy = opt.entropy or apart.amin(1).mean().item() / 10

# modelab: fresh samples every few steps, in no more than 5 % of the time
monitor = Monitor(train, sampler=lambda n: generator(torch.randn(n, latent_dim)), every=25, n=500,
                  eval_of=[generator], folder=opt.out / "monitor")
step, save = resumable(opt, generator=generator, optimizer=optimizer, monitor=monitor)

while step < opt.steps:
    real, z = train[torch.randint(len(train), (batch_size,))], torch.randn(batch_size, latent_dim)
    loss = entropic_loss(real, generator(z), entropy)  # modelab: ten sweeps of Sinkhorn's iteration
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    step += 1
    monitor(step)
    if step % 250 == 0 or step == opt.steps:
        print(f"[{step}/{opt.steps}] entropic cost {loss.item():.3f}")
        save(step)

with torch.no_grad():
    samples, made = (generator(torch.randn(n, latent_dim)) for n in (opt.samples, 5000))
widths = [opt.entropy] if opt.entropy else [entropy * factor for factor in (1, 3, 10, 30, 100)]
width = max(widths, key=lambda v: explicit_log_likelihood(choosing, made, v).mean().item())
print(f"λ {entropy:.3g} in training, {width:.3g} in scoring")
scores = {"log-likelihood": lambda x: explicit_log_likelihood(x, made, width),
          "minus distance to the training data": lambda x: -torch.cdist(x.flatten(1), train.flatten(1)).amin(1),
          "minus brightness": lambda x: -x.flatten(1).mean(1)}
found = {name: (score(scored), score(held)) for name, score in scores.items()}
for name, (of_scored, of_held) in found.items():
    above = (of_held[:, None] > of_scored).float().mean()
    print(f"{name}: scored {of_scored.mean():.2f}, held out {of_held.mean():.2f}; the held-out one has more in {above:.0%} of pairs")

put_csv(opt.out / "scores.csv", [["picture", *scores], *sorted(
    ([name, *(f"{v:.4g}" for v in row)] for name, *row in zip(names, *(of for of, _ in found.values()), strict=True)),
    key=lambda row: float(row[1]))])
keep(opt.out, samples)
write(opt.out, monitor, audit(samples, train, held if len(held) > 20 else None))
