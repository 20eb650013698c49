"""Interpolation between latents of a GAN trained on a folder: three paths, and a prior made for it (Singh et al. 2019).

The middle of two normal latents is shorter than a latent, so a generator has not been trained there. Three paths between the
same ends are compared: the straight line, the straight line rescaled, and the arc (slerp). With --prior histogram the latents are
drawn from a distribution whose middles have nearly the same distribution, so that the straight line needs no mending.
The script prints how near the middles are to real pictures, beside the ends, and draws paths.png, a path a row. CPU only.
"""

import torch
import torch.nn.functional as F
from common import arguments, keep, pictures, resumable, sheet, write
from torch import nn

from modelab import audit, interpolations, Monitor, r1
from modelab.evaluation.interpolations import slerp
from modelab.methods.priors import fit_prior, rescaled_lerp

opt = arguments(__doc__, steps=1000, by="prior", prior=("normal", "normal or histogram", ("normal", "histogram")),
                data=("", "folder of pictures; without it: the digits of scikit-learn"),
                size=(16, "width and height of the pictures, a multiple of 4", 4), width=(32, "channels at half the size; twice as many at a quarter"))
latent_dim, batch_size, w, small = 64, 64, opt.width, opt.size // 4
train, held = pictures(opt.size, opt.data)
channels = train.shape[1]
law = fit_prior(.1) if opt.prior == "histogram" else None  # modelab: once, before the training


def draw(n):
    """Latents of the prior, with variance one."""
    return torch.randn(n, latent_dim) if law is None else law.sample(n, latent_dim) / law.spread


generator = nn.Sequential(
    nn.Linear(latent_dim, 2 * w * small ** 2), nn.Unflatten(1, (2 * w, small, small)), nn.ReLU(),
    nn.Upsample(scale_factor=2), nn.Conv2d(2 * w, w, 3, 1, 1), nn.ReLU(),
    nn.Upsample(scale_factor=2), nn.Conv2d(w, channels, 3, 1, 1), nn.Tanh())
discriminator = nn.Sequential(
    nn.Conv2d(channels, w, 4, 2, 1), nn.LeakyReLU(.2), nn.Conv2d(w, 2 * w, 4, 2, 1), nn.LeakyReLU(.2),
    nn.Flatten(), nn.Linear(2 * w * small ** 2, 1), nn.Flatten(0))
optimizer_G = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0., .9))
optimizer_D = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0., .9))

# modelab: fresh samples every few steps, in no more than 5 % of the time
monitor = Monitor(train, sampler=lambda n: generator(draw(n)), every=25, n=500, eval_of=[generator],
                  folder=opt.out / "monitor")
step, save = resumable(opt, generator=generator, discriminator=discriminator, optimizer_G=optimizer_G, optimizer_D=optimizer_D,
                       monitor=monitor)

while step < opt.steps:
    real = train[torch.randint(len(train), (batch_size,))]
    fake = generator(draw(batch_size))
    optimizer_D.zero_grad()
    d_loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake.detach())).mean()
    (d_loss + r1(discriminator, real)).backward()  # modelab: R1 keeps the game stable
    optimizer_D.step()
    optimizer_G.zero_grad()
    g_loss = F.softplus(-discriminator(fake)).mean()
    g_loss.backward()
    optimizer_G.step()
    step += 1
    monitor(step)
    if step % 250 == 0 or step == opt.steps:
        print(f"[{step}/{opt.steps}] loss D {d_loss.item():.3f}, loss G {g_loss.item():.3f}")
        save(step)

a, b = draw(200), draw(200)
paths = {"straight line": torch.lerp, "rescaled line": rescaled_lerp, "arc": slerp}
with torch.no_grad():
    samples = generator(draw(opt.samples))

    def distance(z):
        """The mean distance from the picture of a latent to the nearest real one."""
        return torch.cdist(generator(z).flatten(1), train.flatten(1)).amin(1).mean().item()

    print(f"distance to the nearest real picture: ends {(distance(a) + distance(b)) / 2:.2f}, middles "
          + ", ".join(f"of the {name} {distance(path(a, b, .5)):.2f}" for name, path in paths.items()))
    walks = torch.stack([generator(path(a[:5], b[:5], t)) for path in paths.values() for t in torch.linspace(0, 1, 9).tolist()])
for name, path in paths.items():  # modelab: the audit's measure of interpolations
    found = interpolations(generator, a, b, train, path=path)
    print(f"{name}: length {found.length.mean():.2f}, {found.passed.mean():.0%} of the steps near real pictures, "
          f"largest step {found.jump.mean():.2f} times the median one")
sheet(opt.out / "paths.png", walks.unflatten(0, (3, 9)).permute(2, 0, 1, 3, 4, 5).flatten(0, 2), 9)  # five pairs, a path a row
keep(opt.out, samples)
write(opt.out, monitor, audit(samples, train, held if len(held) > 20 else None))
