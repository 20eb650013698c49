"""The curve of precision and recall between two folders of pictures (Simon, Webster and Rabin 2019).

--real and --made are folders or archives of pictures, or arrays (.npy, .pt). The curve is drawn beside its floor, which shows
what two halves of the real pictures get: no generator can be expected to do better. curve.csv has its points. The script
trains nothing but the classifiers of the curve, on the CPU only. It compares pixels; for photographs give features of a network
that you trust, as arrays. Without folders: held-out digits against digits of which a part is blurred and the nines are missing.
"""

import torch
import torch.nn.functional as F
from common import arguments, digits, put_csv

from modelab import pr_curve
from modelab.core.files import atomic_write
from modelab.core.plotting import axes, FAKE, MISSING, Picture
from modelab.data.readers import read_samples

opt = arguments(__doc__, steps=None, samples=(1000, "pictures on each side of a curve, at most"),
                real=("", "folder of real pictures"), made=("", "folder of generated pictures"),
                size=(8, "width and height of the pictures; 0: as they are, also for features"))
if bool(opt.real) != bool(opt.made):
    raise SystemExit("--real and --made: expected two folders, or none")
if opt.real:
    how = {"most": 2 * opt.samples, "size": opt.size or None}
    real, made = (read_samples(path, generator=torch.Generator().manual_seed(opt.seed), **how) for path in (opt.real, opt.made))
else:
    real, y, made, of = digits(opt.size)
    made = made[of != 9]
    made[::3] = F.avg_pool2d(made[::3], 3, 1, 1)
if real.shape[1:] != made.shape[1:]:
    raise SystemExit(f"--made: expected examples {tuple(real.shape[1:])} as in --real, got {tuple(made.shape[1:])}")
real = real[torch.randperm(len(real))]
n = min(len(real) // 2, len(made), opt.samples)  # as many on each side of both curves
if n < 20:
    raise SystemExit(f"--real, --made: expected 40 real and 20 generated pictures or more, got {len(real)} and {len(made)}")
made = made[torch.randperm(len(made))[:n]]
curves = {"made": pr_curve(real[:n], made, generator=torch.Generator().manual_seed(opt.seed)),
          "floor": pr_curve(real[:n], real[n:2 * n], generator=torch.Generator().manual_seed(opt.seed))}
for name, curve in curves.items():
    print(f"{name}: area {curve.area:.3f}, F8 (recall) {curve.f(8):.3f}, F1/8 (precision) {curve.f(1 / 8):.3f}")

figure, ax = axes(size=(3.6, 3.4))
for (name, curve), colour, dash in zip(curves.items(), (FAKE, MISSING), ("-", "--")):
    ax.plot(curve.recall, curve.precision, dash, c=colour, label=f"{name}, area {curve.area:.2f}")
ax.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
ax.legend(frameon=False, loc="lower left")
atomic_write(opt.out / "curve.png", Picture(figure, "").png)
put_csv(opt.out / "curve.csv", [["curve", "recall", "precision"], *([name, f"{r:.4f}", f"{p:.4f}"] for name, curve in curves.items()
                                for r, p in zip(curve.recall.tolist(), curve.precision.tolist()))])
