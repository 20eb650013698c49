"""Pictures of several domains that are never of the same things, but for a few: maps between all of them (MMI-ALI, Chen et al. 2019).

With --data FOLDER, each folder inside it is a domain. Files of one name in all of them are of one thing: the first --pairs of these
are shown as pairs, and the others are held out. Everything else is training data without pairs. Without a folder, the domains
are digits of scikit-learn, their negatives and their edges.
"""

import itertools
from pathlib import Path

import torch
import torch.nn.functional as F
from common import arguments, digits, keep, write
from PIL import Image
from torch import nn

from modelab import audit, cycle_losses, exchange_domains, Monitor, paired_loss, translate_domains
from modelab.networks.layers import PerRun

opt = arguments(__doc__, steps=1000, data=("", "folder with a folder of pictures for each domain; without it: digits in three styles"),
                pairs=(30, "things that are shown in all domains"), size=(8, "width and height of the pictures"))
latent_dim, batch_size, hidden = 16, 64, 128


def read(path):
    """A grey picture in [-1, 1], (1, size, size)."""
    grey = Image.open(path).convert("L").resize((opt.size, opt.size), Image.Resampling.BILINEAR)
    return torch.frombuffer(bytearray(grey.tobytes()), dtype=torch.uint8).view(1, opt.size, opt.size) / 127.5 - 1


def from_folder(folder):
    """The names of the domains, unpaired pictures of each, pairs, and held-out pairs (domains, n, 1, size, size)."""
    found = {d.name: {p.stem: p for p in sorted(d.iterdir())} for d in sorted(Path(folder).iterdir()) if d.is_dir()}
    common = sorted(set.intersection(*map(set, found.values())))
    own = [torch.stack([read(p) for name, p in files.items() if name not in common]) for files in found.values()]
    together = torch.stack([torch.stack([read(files[name]) for name in common]) for files in found.values()])
    return [*found], own, together[:, :opt.pairs], together[:, opt.pairs:]


def made_here():
    """The same of digits: each third of the training scans is in one style, and the held-out scans are in all."""
    styles = {"plain": lambda x: x, "negative": lambda x: -x, "edges": lambda x: F.max_pool2d(x, 3, 1, 1) - x - 1}
    train, labels, held, held_labels = digits(opt.size)
    order = torch.randperm(len(train))
    parts = order[opt.pairs:].chunk(3)
    own = [style(train[part]) for style, part in zip(styles.values(), parts)]
    together = [torch.stack([style(x) for style in styles.values()]) for x in (train[order[:opt.pairs]], held)]
    return [*styles], own, *together, [labels[part] for part in parts], held_labels


names, own, pairs, held, *labels = from_folder(opt.data) if opt.data else made_here()
m, pixels = len(names), opt.size ** 2
print(", ".join(f"{len(x)} {name}" for name, x in zip(names, own)), f"without pairs; {pairs.shape[1]} pairs; {held.shape[1]} held out")


def network(inputs, outputs, *last):
    return nn.Sequential(nn.Linear(inputs, hidden), nn.LeakyReLU(.2), nn.Linear(hidden, hidden), nn.LeakyReLU(.2),
                         nn.Linear(hidden, outputs), *last)


class JointDiscriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = network(pixels + latent_dim, 1)

    def forward(self, img, code):
        return self.net(torch.cat([img.flatten(1), code], 1)).squeeze(1)


# modelab: lists of plain networks, one for each domain, laid along an axis of domains
encoder = PerRun([nn.Sequential(nn.Flatten(), network(pixels, latent_dim)) for _ in range(m)])
decoder = PerRun([network(latent_dim, pixels, nn.Tanh(), nn.Unflatten(1, (1, opt.size, opt.size))) for _ in range(m)])
discriminator = PerRun([JointDiscriminator() for _ in range(m)])
optimizer_G = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3, betas=(.5, .9))
optimizer_D = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(.5, .9))


def translated(n):
    """Pictures of the first domain, as pictures of the second."""
    return decoder.members[1](encoder.members[0](own[0][torch.randperm(len(own[0]))[:n]]))


most = min(500, len(own[0]))
monitor = Monitor(own[1], sampler=translated, every=25, n=most, eval_of=[encoder, decoder], folder=opt.out / "monitor")

for step in range(1, opt.steps + 1):
    x = torch.stack([d[torch.randint(len(d), (batch_size,))] for d in own])
    shift = 1 + step % (m - 1)  # modelab: this step's partner of each domain
    optimizer_D.zero_grad()
    with torch.no_grad():
        e = exchange_domains(encoder, decoder, x, torch.randn(batch_size, latent_dim), shift)
    d_loss = F.softplus(-discriminator(e.x, e.codes)).mean() + F.softplus(discriminator(e.made, e.latents)).mean()
    d_loss.backward()
    optimizer_D.step()
    optimizer_G.zero_grad()
    e = exchange_domains(encoder, decoder, x, torch.randn(batch_size, latent_dim), shift)
    g_loss = F.softplus(discriminator(e.x, e.codes)).mean() + F.softplus(-discriminator(e.made, e.latents)).mean()
    g_loss = g_loss + sum(cycle_losses(encoder, decoder, e))
    if pairs.shape[1]:
        g_loss = g_loss + 5 * paired_loss(encoder, decoder, pairs, shift)
    g_loss.backward()
    optimizer_G.step()
    monitor(step)
    if step % 250 == 0:
        print(f"[{step}/{opt.steps}] loss D {d_loss.item():.3f}, loss G {g_loss.item():.3f}")

with torch.no_grad():
    samples = translated(opt.samples)
    made = translate_domains(encoder, decoder, held) if held.shape[1] else None
keep(opt.out, samples)
write(opt.out, monitor, audit(samples, own[1], held[1] if held.shape[1] > 20 else None))
for i, j in itertools.permutations(range(m), 2) if held.shape[1] else ():
    rivals = {"translated": made[i, j], "of another thing": held[j].roll(1, 0)}
    if pairs.shape[1]:
        rivals["the nearest pair's"] = pairs[j, torch.cdist(held[i].flatten(1), pairs[i].flatten(1)).argmin(1)]
    error = {name: (x - held[j]).abs().mean().item() for name, x in rivals.items()}
    print(f"held out, {names[i]} to {names[j]}: mean error of a pixel " + ", ".join(f"{name} {v:.2f}" for name, v in error.items()))
    if labels:
        near = {name: labels[0][j][torch.cdist(x.flatten(1), own[j].flatten(1)).argmin(1)] for name, x in rivals.items()}
        print("    the same digit: " + ", ".join(f"{name} {(y == labels[1]).float().mean():.0%}" for name, y in near.items()))
