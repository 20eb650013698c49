"""WGAN-GP in its popular form: fully connected networks, five moves of the critic for each of the generator.

`gradient_penalty` stands in place of the function that the popular loop writes by hand. `--by-hand` puts that one back; the
first steps are then the same up to rounding.

What to expect (seed 0): the monitor does not alarm, and no class is lost. The samples cover 98 % of the real digits
[92 %, 100 %], more than those of `dcgan.py`. The audit alarms: junk is 26 %, where uniform noise gets 28 %, and of the
closest pairs 75 % are two samples, where 51 % would be right. No sign of copies.
"""

import numpy as np
import torch
from common import arguments, digits, keep, write
from torch import nn

from modelab import audit, gradient_penalty, Monitor

opt = arguments(__doc__, steps=600, data=("", "folder of the four MNIST files; without it: the digits of scikit-learn"),
                by_hand=(False, "the penalty as the popular loop writes it"))
latent_dim, n_critic, lambda_gp, batch_size, img_shape = 100, 5, 10, 64, (1, 28, 28)
train, labels, held, _ = digits(28, opt.data)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()

        def block(a, b, normalize=True):
            return [nn.Linear(a, b), *[nn.BatchNorm1d(b, .8)] * normalize, nn.LeakyReLU(.2, inplace=True)]

        self.model = nn.Sequential(*block(latent_dim, 128, False), *block(128, 256), *block(256, 512),
                                   nn.Linear(512, int(np.prod(img_shape))), nn.Tanh())

    def forward(self, z):
        return self.model(z).view(len(z), *img_shape)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Linear(int(np.prod(img_shape)), 512), nn.LeakyReLU(.2, inplace=True),
                                   nn.Linear(512, 256), nn.LeakyReLU(.2, inplace=True), nn.Linear(256, 1))

    def forward(self, img):
        return self.model(img.view(len(img), -1))


def compute_gradient_penalty(D, real_samples, fake_samples):
    """As found in the popular loop."""
    alpha = torch.rand(len(real_samples), 1, 1, 1)
    interpolates = (alpha * real_samples + (1 - alpha) * fake_samples).requires_grad_(True)
    d_interpolates = D(interpolates)
    gradients = torch.autograd.grad(outputs=d_interpolates, inputs=interpolates, create_graph=True, retain_graph=True,
                                    grad_outputs=torch.ones_like(d_interpolates), only_inputs=True)[0]
    return ((gradients.view(len(gradients), -1).norm(2, dim=1) - 1) ** 2).mean()


generator, discriminator = Generator(), Discriminator()
optimizer_G = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(.5, .999))
optimizer_D = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(.5, .999))
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(train), batch_size, shuffle=True, drop_last=True)
penalty = compute_gradient_penalty if opt.by_hand else gradient_penalty

# modelab: fresh samples every few steps, in no more than 5 % of the time
monitor = Monitor(train, sampler=lambda n: generator(torch.randn(n, latent_dim)), every=10, n=500, labels=labels,
                  eval_of=[generator], folder=opt.out / "monitor")

step = moves = 0  # moves of G and of the critic
while step < opt.steps:
    for real_imgs, in loader:
        z = torch.randn(len(real_imgs), latent_dim)
        optimizer_D.zero_grad()
        fake_imgs = generator(z).detach()
        d_loss = -discriminator(real_imgs).mean() + discriminator(fake_imgs).mean() \
            + lambda_gp * penalty(discriminator, real_imgs, fake_imgs)
        d_loss.backward()
        optimizer_D.step()
        moves += 1
        if moves % n_critic:
            continue
        optimizer_G.zero_grad()
        g_loss = -discriminator(generator(z)).mean()
        g_loss.backward()
        optimizer_G.step()
        step += 1
        monitor(step)
        if step % 100 == 0:
            print(f"[{step}/{opt.steps}] loss D {d_loss.item():.3f}, loss G {g_loss.item():.3f}")
        if step == opt.steps:
            break

generator.eval()
with torch.no_grad():
    samples = generator(torch.randn(opt.samples, latent_dim))
keep(opt.out, samples)
write(opt.out, monitor, audit(samples, train, held, labels=labels))
