"""A generator whose first latent turns, enlarges or moves a picture, trained on a folder (FlatGAN, Möllenhoff and Cremers 2019).

Each real picture comes with its tangent: how it changes when it is turned a little. A second critic compares the tangents with
the derivative of the generator along its first latent. So this latent gets a meaning that nobody labelled. The real pictures
are turned at random by up to --most, so that the data have what the latent is to do; with --most 0 they are taken as they are.
The script draws directions.png: in each row one sample, with its first latent from one end to the other. It prints how well the
derivative of a sample along the first latent agrees with the tangent of that sample (1: the same direction), beside the second.
CPU only.
"""

import math

import torch
import torch.nn.functional as F
from common import arguments, keep, pictures, resumable, sheet, write
from torch import nn

from modelab import audit, Monitor
from modelab.methods.currents import flat_penalty, form_on_vectors, push_forward, tangent_down, tangent_grow, tangent_turn

TANGENTS = {"turn": tangent_turn, "grow": tangent_grow, "down": tangent_down}
opt = arguments(__doc__, steps=1000, by="along", along=("turn", "turn, grow or down: what the first latent does", (*TANGENTS,)),
                most=(.5, "at its ends: radians, logarithm of the size, or pixels"),
                data=("", "folder of pictures; without it: the digits of scikit-learn"),
                size=(16, "width and height of the pictures, a multiple of 4", 4), width=(16, "channels at half the size; twice as many at a quarter"),
                weight=(1., "of the critic of directions; 0: an ordinary GAN"))
latent_dim, batch_size, w, small = 16, 32, opt.width, opt.size // 4
train, held = pictures(opt.size, opt.data)
event, channels = train.shape[1:], train.shape[1]


def warped(x):
    """Pictures, each changed by a random amount."""
    s, zero, one = (torch.rand(len(x)) * 2 - 1) * opt.most, torch.zeros(len(x)), torch.ones(len(x))
    rows = {"turn": (s.cos(), -s.sin(), zero, s.sin(), s.cos(), zero), "grow": (s.exp(), zero, zero, zero, s.exp(), zero),
            "down": (one, zero, zero, zero, one, 2 * s / opt.size)}[opt.along]
    places = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), x.shape, align_corners=False)
    return F.grid_sample(x, places, padding_mode="border", align_corners=False)


def draw(n):
    """Latents, uniform on [-π, π]."""
    return (torch.rand(n, latent_dim) * 2 - 1) * math.pi


def critic(outputs):
    return nn.Sequential(nn.Unflatten(1, event), nn.Conv2d(channels, w, 4, 2, 1), nn.LeakyReLU(.2), nn.Conv2d(w, 2 * w, 4, 2, 1),
                         nn.LeakyReLU(.2), nn.Flatten(), nn.Linear(2 * w * small ** 2, outputs))


G = nn.Sequential(
    nn.Linear(latent_dim, 2 * w * small ** 2), nn.Unflatten(1, (2 * w, small, small)), nn.LeakyReLU(.2),
    nn.Upsample(scale_factor=2), nn.Conv2d(2 * w, w, 3, 1, 1), nn.LeakyReLU(.2),
    nn.Upsample(scale_factor=2), nn.Conv2d(w, channels, 3, 1, 1), nn.Tanh())
D = nn.Sequential(critic(1), nn.Flatten(0))
W = nn.Sequential(critic(event.numel()), nn.Unflatten(1, (1, -1)))  # a field: what is compared with the tangent
optimizer_G = torch.optim.Adam(G.parameters(), lr=2e-3, betas=(.5, .9))
optimizer_D = torch.optim.Adam([*D.parameters(), *W.parameters()], lr=2e-3, betas=(.5, .9))

# modelab: fresh samples every few steps, in no more than 5 % of the time
real_pictures = torch.cat([warped(x) for x in train.split(1000)]) if opt.most else train
monitor = Monitor(real_pictures, sampler=lambda n: G(draw(n)), every=25, n=500, eval_of=[G], folder=opt.out / "monitor")
step, save = resumable(opt, G=G, D=D, W=W, optimizer_G=optimizer_G, optimizer_D=optimizer_D, monitor=monitor)

while step < opt.steps:
    x = train[torch.randint(len(train), (batch_size,))]
    x = warped(x) if opt.most else x
    real, tangents = x.flatten(1), TANGENTS[opt.along](x).flatten(1)[:, None] * (opt.most or 1) / math.pi
    with torch.no_grad():
        fake, moves = push_forward(G, draw(batch_size), 1)  # modelab: samples, and their derivative along the first latent
    fake = fake.flatten(1)
    seen = torch.cat([real, torch.lerp(fake, real, torch.rand(batch_size, 1))])
    loss_D = D(fake).mean() - D(real).mean() + 10 * flat_penalty(D, seen)
    if opt.weight:
        gain = form_on_vectors(W(real), tangents).mean() - form_on_vectors(W(fake), moves).mean()
        loss_D = loss_D + opt.weight * (10 * flat_penalty(W, seen) - gain)
    optimizer_D.zero_grad()
    loss_D.backward()
    optimizer_D.step()
    fake, moves = push_forward(G, draw(batch_size), 1)
    loss_G = -D(fake.flatten(1)).mean()
    if opt.weight:
        loss_G = loss_G - opt.weight * form_on_vectors(W(fake.flatten(1)), moves).mean()
    optimizer_G.zero_grad()
    loss_G.backward()
    optimizer_G.step()
    step += 1
    monitor(step)
    if step % 250 == 0 or step == opt.steps:
        print(f"[{step}/{opt.steps}] loss of the critics {loss_D.item():.3f}, loss G {loss_G.item():.3f}")
        save(step)

with torch.no_grad():
    samples = G(draw(opt.samples))
    made, moves = push_forward(G, draw(200), 2)
    agree = F.cosine_similarity(moves, TANGENTS[opt.along](made).flatten(1)[:, None], dim=-1).mean(0)
    z = draw(8)[:, None].repeat(1, 9, 1)
    z[..., 0] = torch.linspace(-math.pi, math.pi, 9)
    sheet(opt.out / "directions.png", G(z.flatten(0, 1)), 9)
print(f"{opt.along}: cosine of a sample's tangent with its derivative along the first latent {agree[0]:.2f}, the second {agree[1]:.2f}")
keep(opt.out, samples)
write(opt.out, monitor, audit(samples, real_pictures, (warped(held) if opt.most else held) if len(held) > 20 else None))
