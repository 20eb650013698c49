"""A GAN on a folder of your pictures, by one of three papers: --method lipschitz, ground_metric or attention.

lipschitz      LGAN (Zhou et al. 2019): the logistic loss, and a penalty on the largest gradient of the critic
ground_metric  WWGAN (Dukler et al. 2019): WGAN-GP, but the gradient is measured by transport between pixels
attention      SAGAN (Zhang et al. 2019): self-attention in both networks, spectral norm in the critic, hinge loss

--data is a folder or an archive of pictures (a few hundred or more); without it the pictures are digits of scikit-learn. A run that was
killed goes on from its last checkpoint when it is started again. CPU only: pictures of 64×64 and more need a wider network
(--width 64), 50,000 steps, and the games of the chapters on a graphics card.
"""

import torch
from common import arguments, keep, pictures, resumable, write
from torch import nn

from modelab import audit, max_gradient_penalty, Monitor, wasserstein_gradient_penalty
from modelab.methods.attention import add_spectral_norm, hinge_discriminator_loss, update_spectral_norm
from modelab.methods.lipschitz import OBJECTIVES
from modelab.networks.attention import SelfAttention

METHODS = ("lipschitz", "ground_metric", "attention")
opt = arguments(__doc__, steps=1000, by="method", method=("lipschitz", "lipschitz, ground_metric or attention", METHODS),
                data=("", "folder of pictures; without it: the digits of scikit-learn"),
                size=(16, "width and height of the pictures, a multiple of 4", 4), width=(32, "channels at half the size; twice as many at a quarter"))
latent_dim, batch_size, w, small = 64, 64, opt.width, opt.size // 4
train, held = pictures(opt.size, opt.data)
channels, attention = train.shape[1], opt.method == "attention"

generator = nn.Sequential(
    nn.Linear(latent_dim, 2 * w * small ** 2), nn.Unflatten(1, (2 * w, small, small)), nn.ReLU(),
    nn.Upsample(scale_factor=2), nn.Conv2d(2 * w, w, 3, 1, 1), nn.ReLU(), *[SelfAttention(w)] * attention,
    nn.Upsample(scale_factor=2), nn.Conv2d(w, channels, 3, 1, 1), nn.Tanh())
# no batch norm: the penalties need a gradient for each picture
critic = nn.Sequential(
    nn.Conv2d(channels, w, 4, 2, 1), nn.LeakyReLU(.2), *[SelfAttention(w, pool=2)] * attention,
    nn.Conv2d(w, 2 * w, 4, 2, 1), nn.LeakyReLU(.2), nn.Flatten(), nn.Linear(2 * w * small ** 2, 1), nn.Flatten(0))
if attention:
    add_spectral_norm(critic, but=("query", "key"))

rate_G, rate_D = (2e-4, 8e-4) if attention else (1e-3, 1e-3)
optimizer_G = torch.optim.Adam(generator.parameters(), lr=rate_G, betas=(0., .9))
optimizer_D = torch.optim.Adam(critic.parameters(), lr=rate_D, betas=(0., .9))


def critic_loss(real, fake):
    """What the critic descends; modelab: the penalties, and the spectral norm."""
    if attention:
        update_spectral_norm(critic)
        return hinge_discriminator_loss(critic(real), critic(fake))
    if opt.method == "lipschitz":
        return OBJECTIVES["logistic"].critic_loss(critic(real), critic(fake)) + .1 * max_gradient_penalty(critic, real, fake)
    return critic(fake).mean() - critic(real).mean() + wasserstein_gradient_penalty(critic, real, fake, gamma=1.)


# modelab: fresh samples every few steps, in no more than 5 % of the time
monitor = Monitor(train, sampler=lambda n: generator(torch.randn(n, latent_dim)), every=25, n=500,
                  eval_of=[generator], folder=opt.out / "monitor")
step, save = resumable(opt, generator=generator, critic=critic, optimizer_G=optimizer_G, optimizer_D=optimizer_D, monitor=monitor)

while step < opt.steps:
    real = train[torch.randint(len(train), (batch_size,))]
    optimizer_D.zero_grad()
    d_loss = critic_loss(real, generator(torch.randn(batch_size, latent_dim)).detach())
    d_loss.backward()
    optimizer_D.step()
    optimizer_G.zero_grad()
    g_loss = -critic(generator(torch.randn(batch_size, latent_dim))).mean()
    g_loss.backward()
    optimizer_G.step()
    step += 1
    monitor(step)
    if step % 250 == 0 or step == opt.steps:
        print(f"[{step}/{opt.steps}] loss D {d_loss.item():.3f}, loss G {g_loss.item():.3f}")
        save(step)

with torch.no_grad():
    samples = generator(torch.randn(opt.samples, latent_dim))
keep(opt.out, samples)
write(opt.out, monitor, audit(samples, train, held if len(held) > 20 else None))
