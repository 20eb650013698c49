"""A small flow-matching model, audited as any other generator: lost digits, junk, and copies of the training data.

What to expect (seed 0): the samples begin to look like digits between steps 600 and 1,500. The monitor does not alarm. At the
end the samples cover 100 % of the real digits [98 %, 100 %]. The audit still alarms: junk is 19 %, where uniform noise gets
28 %, and some digits are made too seldom. No sign of copies: the distance to the closest record is 2.65 in the median, and
2.06 for held-out digits.
"""

import torch
from common import arguments, digits, keep, write
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from modelab import audit, Monitor

opt = arguments(__doc__, steps=3000, euler=(20, "steps from noise to a digit"))
train, labels, held, _ = digits(8)
batch_size, event = 128, train.shape[1:]


class Velocity(nn.Module):
    """The velocity at x and time t."""
    def __init__(self, width=512):
        super().__init__()
        self.register_buffer("frequencies", 2. ** torch.arange(6) * torch.pi)
        self.net = nn.Sequential(nn.Linear(event.numel() + 12, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
                                 nn.Linear(width, width), nn.SiLU(), nn.Linear(width, event.numel()))

    def forward(self, x, t):
        angle = t[:, None] * self.frequencies
        return self.net(torch.cat([x.flatten(1), angle.sin(), angle.cos()], 1)).view_as(x)


def sample(n):
    """Euler steps from noise at t = 0 to digits at t = 1."""
    x = torch.randn(n, *event)
    for i in range(opt.euler):
        x = x + average(x, torch.full((n,), i / opt.euler)) / opt.euler
    return x.clamp(-1, 1)


model = Velocity()
average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(.998))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, opt.steps)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(train), batch_size, shuffle=True, drop_last=True)

# modelab: a look draws twenty steps of the network, so it may take more of the time than by default
monitor = Monitor(train, sampler=sample, every=50, n=500, labels=labels, budget=.2, folder=opt.out / "monitor")

step = 0
while step < opt.steps:
    for x1, in loader:
        x0, t = torch.randn_like(x1), torch.rand(len(x1))
        at = t[:, None, None, None]
        loss = (model((1 - at) * x0 + at * x1, t) - (x1 - x0)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        average.update_parameters(model)
        step += 1
        monitor(step)
        if step % 500 == 0:
            print(f"[{step}/{opt.steps}] loss {loss.item():.3f}")
        if step == opt.steps:
            break

with torch.no_grad():
    samples = sample(opt.samples)
keep(opt.out, samples)
write(opt.out, monitor, audit(samples, train, held, labels=labels))
