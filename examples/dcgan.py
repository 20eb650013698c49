"""DCGAN as the tutorial of PyTorch writes it, on digits of 28×28 pixels.

What to expect (seed 0): the monitor does not alarm. The audit alarms. Class 7 holds 12.0 % of the real digits and gets 5.9 %
of the samples. The samples cover 86 % of the real digits [76 %, 93 %]. Junk is 27 %, where uniform noise gets 28 %. In the
monitor, junk still falls at the end of the training. No sign of copies.
"""

import torch
from common import arguments, digits, keep, write
from torch import nn

from modelab import audit, Monitor

opt = arguments(__doc__, steps=800, data=("", "folder of the four MNIST files; without it: the digits of scikit-learn"))
nz, ngf, ndf, batch_size = 100, 32, 32, 64
train, labels, held, _ = digits(28, opt.data)


def weights_init(m):
    if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(m.weight, 0., .02)
    elif isinstance(m, nn.BatchNorm2d):
        nn.init.normal_(m.weight, 1., .02)
        nn.init.zeros_(m.bias)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf * 2, 7, 1, 0, bias=False), nn.BatchNorm2d(ngf * 2), nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False), nn.BatchNorm2d(ngf), nn.ReLU(True),
            nn.ConvTranspose2d(ngf, 1, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z):
        return self.main(z)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(1, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(.2, inplace=True),
            nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(ndf * 2), nn.LeakyReLU(.2, inplace=True),
            nn.Conv2d(ndf * 2, 1, 7, 1, 0, bias=False), nn.Sigmoid())

    def forward(self, x):
        return self.main(x)


netG, netD, criterion = Generator().apply(weights_init), Discriminator().apply(weights_init), nn.BCELoss()
optimizerD = torch.optim.Adam(netD.parameters(), lr=2e-4, betas=(.5, .999))
optimizerG = torch.optim.Adam(netG.parameters(), lr=2e-4, betas=(.5, .999))
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(train), batch_size, shuffle=True, drop_last=True)

# modelab: 500 fresh samples every 10 steps; no more than 5 % of the time
monitor = Monitor(train, sampler=lambda n: netG(torch.randn(n, nz, 1, 1)), every=10, n=500, labels=labels,
                  eval_of=[netG], folder=opt.out / "monitor")

step = 0
while step < opt.steps:
    for real, in loader:
        real_label, fake_label = torch.ones(len(real)), torch.zeros(len(real))
        # update D: maximise log D(x) + log(1 - D(G(z)))
        netD.zero_grad()
        errD_real = criterion(netD(real).view(-1), real_label)
        errD_real.backward()
        fake = netG(torch.randn(len(real), nz, 1, 1))
        errD_fake = criterion(netD(fake.detach()).view(-1), fake_label)
        errD_fake.backward()
        optimizerD.step()
        # update G: maximise log D(G(z))
        netG.zero_grad()
        errG = criterion(netD(fake).view(-1), real_label)
        errG.backward()
        optimizerG.step()
        step += 1
        monitor(step)
        if step % 100 == 0:
            print(f"[{step}/{opt.steps}] loss D {errD_real.item() + errD_fake.item():.3f}, loss G {errG.item():.3f}")
        if step == opt.steps:
            break

netG.eval()
with torch.no_grad():
    samples = netG(torch.randn(opt.samples, nz, 1, 1))
keep(opt.out, samples)
write(opt.out, monitor, audit(samples, train, held, labels=labels))
