# %% [markdown]
# # Questions people ask about mode collapse
# > Five questions about mode collapse from public issue threads, and a script for each

# %% [markdown]
# | | |
# |---|---|
# | **Question** | My GAN makes only ones, ignores z, copies its training set, or loses modes if G is updated twice. Is this general, and what helps? |
# | **You will be able to** | say with numbers what small experiments show about five popular questions; and repeat each experiment with one command |
# | **Papers** | Isola et al. 2017 (pix2pix); Mao et al. 2019 (mode seeking); Lin et al. 2018 (PacGAN); Metz et al. 2017 (unrolled GAN); Mescheder et al. 2018 (R1) |
# | **Needs** | [1.1](../1_game/01_minimax.ipynb) (the non-saturating loss, `Minimax`), [1.4](../1_game/04_wasserstein.ipynb) (R1 and its weight γ, `ZeroCentred`), [3.1](../3_inclusion/01_imle.ipynb) (IMLE), [4.1](01_precision_recall.ipynb) (recall), [4.4](04_copying.ipynb) |
# | **Time** | seconds of computing |

# %%
import math

import torch
from scipy.stats import fisher_exact

from modelab.core.plotting import axes, FAKE, image_grid, MISSING, Picture, REAL, scatter
from modelab.core.statistics import interval
from modelab.course.claims import claim, recorded, recorded_pictures
from modelab.data.mixtures import ring

# %% [markdown]
# The trainings take hours, so they are in a script. `python benchmarks/questions.py condition` repeats the first one, and `--help` lists the others. All seeds of a setting train side by side, and a seed has the same random numbers in every setting. The chapter shows what was recorded, with the number of steps. A setting that was not recorded is named as such.

# %%
kept = recorded("questions")
asked = {"condition": "a conditional generator ignores z", "ones": "digits end as ones",
         "turns": "G is updated twice", "few": "a GAN on few pictures copies",
         "unrolled": "the toy of the unrolled GAN"}
for part, question in asked.items():
    names = [row["name"] for row in kept.get(part, [])]
    seeds = sorted({names.count(name) for name in names})
    told = f"{len(set(names))} settings, seeds of each: {', '.join(map(str, seeds))}"
    print(f"{question:35} {told if names else 'not recorded'}")


# %%
def settings(part: str) -> dict[str, list[dict]]:
    "The recorded rows of a part, seed by seed, by setting."
    found = {}
    for row in kept.get(part, []):
        found.setdefault(row["name"], []).append(row)
    return found


# %%
def last(rows: list[dict], measure: str) -> list[float]:
    "A measure of every seed at the last look."
    return [row["looks"][-1][measure] for row in rows]


# %%
def course(rows: list[dict], measure: str) -> tuple[list[int], list[list[float]]]:
    "The steps, and a measure of every seed along them."
    return ([look["step"] for look in rows[0]["looks"]],
            [[look[measure] for look in row["looks"]] for row in rows])


# %%
def absent(part: str, *names: str) -> None:
    "Say which settings were not recorded."
    for name in names:
        if name not in settings(part):
            print(f"{name:36} not recorded")


# %%
def points(text: str) -> torch.Tensor:
    "The recorded points of one seed."
    return torch.tensor([[int(v) / 100 for v in xy.split(",")] for xy in text.split()])


# %%
def pictures(row: dict, side: int = 28) -> torch.Tensor:
    "The recorded pictures of one seed."
    return recorded_pictures(row["looks"][-1]["pictures"], -1, side, side)


# %% [markdown]
# ## My conditional generator ignores z
# *"We tried to add z to the generator but often found that z got ignored"*, say the authors of pix2pix ([#152](https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix/issues/152)). Users ask why.
#
# **Answer.** In this experiment the L1 term is the cause. Let $\lambda$ be its weight. With $\lambda=100$ the answers have a small part of the true spread, and no spot is reached. Without it, the generator uses z. The mode-seeking term beside $\lambda=100$ does not bring the spots back: a user asked whether L1 and this term work against each other, and an author of the term agreed ([MSGAN #5](https://github.com/HelenMao/MSGAN/issues/5)). With L1 × 10, the weight in MSGAN's code, [mode seeking](../glossary.ipynb) reaches 4.4 spots, more than any other game here. Without L1 it spreads the answers too far. [IMLE](../glossary.ipynb) for each condition reaches all eight spots. The table and the claims below have the numbers.
#
# **Setting.** The condition $c$ is a point on a circle. The answer $y$ lies near one of eight spots around $3c$, at distance 1, with a standard deviation of 0.1. A good generator makes all eight spots for every condition. G and D have two hidden layers of 64; z has two numbers; 4,000 steps; eight seeds. The adversarial part is the non-saturating game with [R1](../glossary.ipynb). Two terms are added to G's loss: $\lambda\,\mathbb E|y-G(c,z)|$ ("L1"), and the mode-seeking term $1/(\overline{|G(c,z_1)-G(c,z_2)|}/\overline{|z_1-z_2|}+10^{-5})$ with weight 1. A bar is a mean; $z_1$ and $z_2$ are two latents for one condition. IMLE per condition has no discriminator: of ten answers to $c$, the one nearest to $y$ is moved towards $y$.
#
# The weight $\lambda=100$ is that of pix2pix.
#
# **Predict:** which single point has the smallest mean L1 distance to the answers: a spot, or the middle of the ring?

# %%
spots = ring(8, 1., .1)
spots

# %%
y = spots.sample(4000, torch.Generator().manual_seed(0))
cost = {f"one point, {r:.1f} from the middle": float((torch.tensor([r, 0.]) - y).abs().mean())
        for r in (0., .5, 1.)}
assert min(cost, key=cost.get).startswith("one point, 0.0")
cost

# %% [markdown]
# L1 is smallest at the median of the answers, for each coordinate. That is the middle of the ring, where no answer lies. So the best generator for L1 alone ignores z.
#
# The table shows four recorded numbers, as means over conditions and seeds. *modes* is the number of spots, of 8, with at least a fifth of their share. *good* is the share of answers within three standard deviations of a spot. *spread* is a part of the true one. The last is recall (k = 5).

# %%
names = ("adversarial + 100 L1", "adversarial alone", "IMLE per condition",
         "adversarial + 100 L1 + mode seeking", "adversarial + mode seeking",
         "adversarial + 10 L1 + mode seeking")
answers = {name: rows for name in names if (rows := settings("condition").get(name))}
absent("condition", *names)

# %%
most = dict(modes=8, good=1, spread=None, recall=1)
for name, rows in answers.items():
    told = (f"{m} {interval(last(rows, m), low=0, high=top):.2f}" for m, top in most.items())
    print(f"{name:36}", *told, f"({rows[0]['steps']} steps)")

# %%
spread = {name: interval(last(rows, "spread"), low=0).mean for name, rows in answers.items()}
reached = {name: interval(last(rows, "modes"), low=0, high=8).mean
           for name, rows in answers.items()}
assert reached.get("adversarial + 100 L1", 0) < .5  # what the answer above says
assert spread.get("adversarial + mode seeking", 2) > 1.5
by_ten = reached.get("adversarial + 10 L1 + mode seeking", 4.4)
assert abs(by_ten - 4.4) < .05 and by_ten == max(
    n for name, n in {**reached, "": by_ten}.items() if name != "IMLE per condition")
assert reached.get("adversarial + 100 L1 + mode seeking", 0) < reached.get("adversarial alone", 9)

# %%
figure, panels = axes(max(1, math.ceil(len(answers) / 3)), 3, size=(2.6, 2.6), squeeze=False)
for ax, (name, rows) in zip(panels.flat, answers.items()):
    shown = points(rows[0]["looks"][-1]["points"]) - torch.tensor([3., 0.])
    scatter(ax, fake=shown, limit=2.4, size=3)
    ax.scatter(*spots.centers.T, s=60, facecolors="none", edgecolors=REAL)
    ax.set_title(name.replace(" + mode", "\n+ mode"), fontsize=9)
Picture(figure, "A hundred answers of seed 0 to one condition, for each loss; circles: true spots")

# %%
ignored, compared = None, [answers.get(name) for name in names[:2]]
if all(compared):
    with_l1, alone = compared
    ignored = claim("With L1 × 100 a conditional generator ignores z, and without it does not",
                    paper="pix2pix #152", section="a conditional generator",
                    ours=f"spread {interval(last(with_l1, 'spread'), low=0):.2f} of the true one",
                    baseline=f"without L1 {interval(last(alone, 'spread'), low=0):.2f}",
                    holds=max(last(with_l1, "spread")) < .4 < .6 < min(last(alone, "spread")))
ignored or "not recorded here"

# %%
sought, compared = None, [answers.get(name) for name in names[1:4]]
if all(compared):
    alone, imle, both = (interval(last(rows, "modes"), low=0, high=8) for rows in compared)
    sought = claim("L1 × 100 works against mode seeking: fewer spots than the game without L1",
                   paper="MSGAN #5", section="a conditional generator", ours=f"{both:.2f}",
                   baseline=f"without L1 {alone:.2f}", holds=both.high < alone.low)
    assert imle.low > 7 and alone.high < 4  # of eight spots
sought or "not recorded here"

# %% [markdown]
# The game without L1 is not good at its last step either: it reaches fewer than half of the spots. Why was not examined; more steps may help. But it uses z. In the picture its answers are spread out, and those with $\lambda=100$ lie in the middle of the ring.
#
# **What to do.** Look at several answers to one condition, and measure each condition separately. Over all conditions together, a generator that ignores z may seem to cover the data. Lower the weight of L1, or remove it, or use IMLE for each condition. If you need only one answer per condition, a generator that ignores z is no problem.

# %% [markdown]
# ## Do all digits become ones?
# *"At the end of training, the content of G becomes all 1-s"* ([generative-models #14](https://github.com/wiseodd/generative-models/issues/14), [RGAN #27](https://github.com/ratschlab/RGAN/issues/27)).
#
# **Answer, for three seeds and 53,000 steps (57 epochs).** No. Ones were never more than 23 % of the samples at a look. But digits get lost: four to six of the ten have less than 2.5 % of the samples at the end, where about 10 % would be right. The judge is sure of 59 to 70 % of the samples only. RGAN #27 reports 250 epochs, so a longer training may still end as these users say. R1 and [packing](../glossary.ipynb) are not recorded.
#
# **Setting.** The first GAN of many people: 784–128–1 and 100–128–784, ReLU, pixels in [0, 1], Adam with 1e-3, batches of 64, the [non-saturating loss](../glossary.ipynb), MNIST. Every 1,000 steps a judge names 1,000 samples. A sample counts for a digit if the judge is sure. Three seeds. *R1* has $\gamma=0.1$, the default of the library; *packs of two* shows D two pictures at once.

# %%
digits = settings("ones")
absent("ones", "as it is", "R1", "packs of two")

# %%
for name, rows in digits.items():
    for row in rows:
        ends = row["looks"][-1]
        print(f"{name:13} step {ends['step']:6}: ones {ends['ones']:.1%}, most {ends['most']} with "
              f"{ends['share']:.1%}, {ends['lost']} digits below 2.5 %, "
              f"judge sure {ends['sure']:.0%}")

# %%
figure, panels = axes(1, max(1, len(digits)), size=(3.2, 2.2), squeeze=False)
for ax, (name, rows) in zip(panels[0], digits.items()):
    at, shares = course(rows, "shares")
    for seed in shares:
        table = torch.tensor([[int(v) for v in look.split()] for look in seed]) / 1000
        ax.plot(at, table, c=MISSING, lw=.7)
        ax.plot(at, table[:, 1], c=FAKE, lw=1)
    ax.lines[0].set_label("another digit")
    ax.lines[-1].set_label("ones")
    ax.set(title=name, xlabel="step", ylabel="share of the samples", ylim=(0, 1))
    ax.legend()
Picture(figure, "Shares of the ten digits along training, all seeds; the share of ones in orange")

# %%
figure, panels = axes(max(1, len(digits)), 1, size=(3.6, .6), squeeze=False)
for ax, (name, rows) in zip(panels[:, 0], digits.items()):
    image_grid(ax, pictures(rows[0]), 10, f"{name}, {rows[0]['steps']} steps")
Picture(figure, "Ten samples of seed 0 at the last step, for each setting")

# %%
if digits:
    judge = digits["as it is"][0]["judge"]
    at, of_ones = course(digits["as it is"], "ones")
    over = [sum(share > .5 for share in seed) for seed in of_ones]
    print(f"judge: {judge:.1%} of held-out scans right; looks with more than half ones, "
          f"of {len(at)}: {over}; largest share of ones: {[max(seed) for seed in of_ones]}")
    assert judge > .97
    ends = [row["looks"][-1] for row in digits["as it is"]]
    assert len(ends) == 3 and ends[0]["step"] == 53_000  # as the answer says
    assert max(map(max, of_ones)) < .23 and {look["lost"] for look in ends} == {4, 6}
    assert all(.585 < look["sure"] < .7 for look in ends)
    assert 56 < 53_000 * 64 / 60_000 < 57 and len(digits) == 1

# %% [markdown]
# **What to do.** Count the digits of your samples with a classifier, at many steps. One sheet of 16 pictures at the end is not enough: the share of a digit changes during training. In this library packing and R1 are one line each. Neither was tried here.

# %% [markdown]
# ## Is it wrong to update G twice?
# *"I believe that the mode collapse may be caused by updating the generator twice for every one update of the discriminator"* ([DCGAN-tensorflow #270](https://github.com/carpedm20/DCGAN-tensorflow/issues/270)). The author of that code could not train without the second update ([#106](https://github.com/carpedm20/DCGAN-tensorflow/issues/106)).
#
# **Answer.** It depends on the data. On [stacked digits](../glossary.ipynb), two turns of G are much worse: after 5,000 steps every seed has fewer modes than with one turn, about half as many captured and under a third held (terms below). On the ring two seeds with two turns end with a quarter of the modes or fewer, and with one turn no seed does. But eight seeds are too few to show a difference there (Fisher's exact test below). On the grid both orders give 6 to 9 % good samples and hold no mode, so nothing can be said. The user of the first report may well be right about pictures. Both orders were tried with the same rates only.
#
# **Setting.** The library's `Minimax` with the turns `D G`, and a game that inherits from it with the turns `D G G`. Fully connected networks, Adam with DCGAN's 2e-4 and (.5, .999), batches of 64, eight seeds. Both orders start from the same networks, seed by seed. A sample is *good* within three standard deviations of a mode, or if the judge of the digits is sure. A mode is *captured* if one good sample is in it, and *held* if it has a quarter of its share in good samples. The first table and the left panel show modes held, the second table and the right panel modes captured.

# %%
def orders() -> dict[str, list[list[dict]]]:
    "For each set the rows of one turn and of two turns, where both are recorded."
    rows, ends = settings("turns"), (", one turn of G", ", two turns of G")
    sets = [name.removesuffix(ends[0]) for name in rows if name.endswith(ends[0])]
    return {of: [rows[of + end] for end in ends] for of in sets if of + ends[1] in rows}


# %%
for of, pair in orders().items():
    steps_done = min(rows[0]["steps"] for rows in pair)
    held = [[look["held"] for row in rows for look in row["looks"] if look["step"] == steps_done]
            for rows in pair]
    gain = interval([b - a for a, b in zip(*held)])
    print(f"{of:15} step {steps_done}, of {pair[0][0]['of']}: one turn {interval(held[0]):.3g}, "
          f"two turns {interval(held[1]):.3g}, difference seed by seed {gain:.3g}")
    good = [look["high"] for rows in pair for row in rows for look in row["looks"][-1:]]
    assert {"ring of 8": gain.low <= 0 <= gain.high, "stacked digits": gain.high < 0,
            "grid of 25": not any(map(sum, held)) and .055 < min(good) < max(good) < .09
            }[of]  # as the answer says

# %%
for of, pair in orders().items():
    few_left = [sum(n <= rows[0]["of"] / 4 for n in last(rows, "captured")) for rows in pair]
    chance = fisher_exact([[n, len(rows) - n] for n, rows in zip(few_left, pair)]).pvalue
    print(f"{of:15} a quarter of the modes or fewer: {few_left[0]} and {few_left[1]} of "
          f"{len(pair[0])} seeds (Fisher's exact test: p = {chance:.2g})")
    assert of != "ring of 8" or (few_left[0] == 0 < few_left[1] and chance > .05)
    if of == "stacked digits":
        one, two = (torch.tensor(last(rows, "captured")).float() for rows in pair)
        shown, kept_now = (torch.tensor([last(rows, m) for rows in pair]).float().mean(1)
                           for m in ("captured", "held"))
        assert (two < one).all() and shown[1] / shown[0] < .55 and kept_now[1] / kept_now[0] < 1 / 3

# %%
absent("turns", *(f"{of}, {n} of G" for of in ("ring of 8", "stacked digits", "grid of 25")
                  for n in ("one turn", "two turns")))

# %%
figure, panels = axes(max(1, len(orders())), 2, size=(3.2, 2.2), squeeze=False)
for row, (of, pair) in zip(panels, orders().items()):
    for ax, measure in zip(row, ("held", "captured")):
        ways = zip(pair, (REAL, FAKE), (-.08, .08), ("one turn", "two turns"))
        for rows, colour, shift, turns in ways:
            at, counts = course(rows, measure)
            counts = torch.tensor(counts).float()
            ax.plot(at, counts.T + shift, c=colour, lw=.5)
            ax.plot(at, counts.mean(0), c=colour, lw=2.5, label=f"{turns} of G, mean")
        most = pair[0][0]["of"]
        ax.set(title=of, xlabel="step", ylabel=f"modes {measure}", ylim=(-.04 * most, 1.3 * most))
    row[0].legend(loc="upper left")
Picture(figure, "Modes held and captured along training: one turn of G blue, two turns orange; "
                "thin lines are seeds, drawn a little apart")

# %%
on_ring = orders().get("ring of 8")
ends = [last(rows, "captured") for rows in on_ring] if on_ring else [[3], [0]]
assert min(ends[0]) > 2 >= min(ends[1])
ends

# %% [markdown]
# A possible reason on stacked digits: with two turns G moves twice as far between two updates of D, so it can concentrate on what D accepts at the moment. Two turns at half of G's rate would test this; that was not tried.
#
# **What to do.** Start with one update of each [player](../glossary.ipynb). Compare at the same number of D's steps, as here, and also at the same training time, because two turns of G cost more. Change one setting at a time, and use several seeds.

# %% [markdown]
# ## When does a GAN on 140 pictures copy?
# *"I found all the images are training images"*, says somebody with 140 pictures of horses ([denoising-diffusion-pytorch #17](https://github.com/lucidrains/denoising-diffusion-pytorch/issues/17)). That was a diffusion model. Here it is a GAN.
#
# **Answer, from three seeds of each set.** On 140 digits the test of copies raises an alarm in every seed, first at step 8,000, 15,000 and 9,000. On all digits it raises none. There, too, the samples come a little nearer to the training pictures than to held-out ones: 58 to 60 % of them at the last step. On 140 digits they are nearer already at the first look, thousands of steps before the test finds copies. So the samples first gather around training pictures, and later some of them are copies.
#
# **Setting.** The library's `ZeroCentred` with its default networks, on 140 of scikit-learn's 8×8 digits, and on all 1,401 that are not held out; three seeds; 20,000 steps of 64 pictures, which is 9,100 epochs of 140. Every 1,000 steps `copies` (chapter [4.4](04_copying.ipynb)) compares 1,000 samples with 396 digits that were never trained on. A look has the level .05 / 20, so that all looks of a run together have .05. *Nearer* is the share of samples that are nearer to the training pictures than to as many held-out ones: about 50 % if it makes no difference which pictures were trained on.

# %%
few = settings("few")
absent("few", "140 digits", "all digits")

# %%
for name, rows in few.items():
    for row in rows:
        first = next((look["step"] for look in row["looks"] if look["copies"]), None)
        when = f"at step {first:,}" if first else "never"
        if first and name == "140 digits":
            when += f" ({64 * first / 140:,.0f} epochs)"
            assert first == {0: 8000, 1: 15_000, 2: 9000}[rows.index(row)]  # as the answer says
            assert row["looks"][0]["nearer"] > .7
        start, ends = row["looks"][0], row["looks"][-1]
        print(f"{row['setting']:20} first alarm {when}; at step {ends['step']:,} copies "
              f"{ends['share']:.1%} (at least {ends['low']:.1%}), nearer {ends['nearer']:.0%}; "
              f"nearer at step {start['step']:,} {start['nearer']:.0%}")

# %%
figure, ax = axes(size=(4.2, 2.3))
for (name, rows), colour in zip(few.items(), (FAKE, REAL)):
    for row in rows:
        ax.plot([look["step"] for look in row["looks"]],
                [look["nearer"] for look in row["looks"]], c=colour,
                label=name if row is rows[0] else None)
        early = [look for look in row["looks"] if look["copies"]][:1]
        ax.scatter([look["step"] for look in early], [look["nearer"] for look in early], c="k",
                   s=30, marker="v", zorder=3)
ax.axhline(.5, c=MISSING, lw=.8)
ax.set(xlabel="step", ylabel="samples nearer to training", ylim=(0, 1))
ax.legend() if few else None
Picture(figure, "Nearer along training, three seeds each: 140 digits orange, all blue; "
                "triangles: first alarm")

# %%
figure, panels = axes(max(1, len(few)), 1, size=(3.6, .6), squeeze=False)
for ax, (name, rows) in zip(panels[:, 0], few.items()):
    image_grid(ax, pictures(rows[0], 8), 10, f"{name}, {rows[0]['steps']} steps")
Picture(figure, "Ten samples of seed 0 at the last step, for each training set")

# %%
alarmed = {name: [any(look["copies"] for look in row["looks"]) for row in rows]
           for name, rows in few.items()}
assert all(len(rows) == 3 for rows in few.values())  # as the answer says
assert all(.575 < row["looks"][-1]["nearer"] < .605 for row in few.get("all digits", []))
assert not any(alarmed.get("all digits", [])) and all(alarmed.get("140 digits", [True]))
alarmed

# %% [markdown]
# **What to do.** Hold pictures out before you train: without them nobody knows which distance to a training picture is normal. Test during the training and stop at the first alarm.

# %% [markdown]
# ## Does the toy of the unrolled GAN collapse without unrolling?
# *"I'm unable to reproduce mode collapse without unrolling operation"* ([unrolled_gan #2](https://github.com/poolio/unrolled_gan/issues/2)). An author of the paper answers that it depends on the discriminator's first weights. *"Is this truly [unrolled GAN](../glossary.ipynb)?"*, somebody asks of another implementation ([unrolled-gans #2](https://github.com/andrewliao11/unrolled-gans/issues/2)).
#
# **Answer, for four seeds.** No: the plain game does not collapse, as the first user says. With the authors' settings all eight places have a sample near at every look, with $K=0$, 1 and 5, and the largest cell never holds half of the samples. But no setting learns the ring in this time either: under 10 % of the samples are within $3\sigma$ of a place. One seed with $K=0$ has not found the ring yet: its samples fill a band across the middle, and its largest cell holds 39 %. So in these recordings unrolling is not needed against collapse. $K=10$ is not recorded. The settings have different numbers of steps, so do not rank them.
#
# **Setting.** The authors' code: a ring of radius 1 with a standard deviation of .01; z of 256; two hidden layers of 128 with tanh; orthogonal weights of gain 1.4; batches of 512; Adam with $\beta_1=.5$, rates 1e-4 (D) and 1e-3 (G); G ascends D's own loss after $K$ steps of D on the same batch, with gradients through these steps and through Adam's moments; both move from the same state. The notebook places "eight" modes by `linspace(0, 2π, 8)`, which gives seven places, one with double mass. Four seeds.

# %%
seven = torch.linspace(0, 2 * math.pi, 8)
assert math.isclose(seven[0].cos(), seven[7].cos(), abs_tol=1e-6)
seven

# %%
toys = settings("unrolled")
absent("unrolled", "eight places, K = 0", "eight places, K = 1", "eight places, K = 5",
       "seven places, K = 0", "eight places, K = 10")

# %%
for name, rows in toys.items():
    seen = {m: last(rows, m) for m in ("near", "hit", "sharp", "most")}
    print(f"{name:20} step {rows[0]['steps']:5}: places reached {seen['near']}, within 3σ "
          f"{seen['hit']}, share within 3σ {seen['sharp']}, largest cell {seen['most']}")

# %% [markdown]
# A place is *reached* if one of 2,500 samples is within .3 of it. The *largest cell* is the largest share of samples nearest to one place: 1/8 in a perfect generator, 1 after a collapse. A step with $K=10$ takes over half a second on one core, so this setting may be missing.

# %%
figure, panels = axes(max(1, len(toys)), 4, size=(1.8, 1.8), squeeze=False)
for line, (name, rows) in zip(panels, toys.items()):
    for ax, row in zip(line, rows):
        scatter(ax, fake=points(row["looks"][-1]["points"]), limit=1.6, size=2)
        ax.set(title=row["setting"].rpartition(", ")[2], xlabel="", ylabel="")
    line[0].set_ylabel(f"{name.rpartition(', ')[2]}, {rows[0]['steps']:,} steps")
alt = "300 samples of each seed at the last step; a row for each setting"
Picture(figure, alt) if toys else "not recorded here"

# %%
looks = {name: [look for row in rows for look in row["looks"]] for name, rows in toys.items()}
for name, seen in looks.items():
    fewest, most, sharp = (pick(look[m] for look in seen) for pick, m in
                           ((min, "near"), (max, "most"), (max, "sharp")))
    print(f"{name:20} over all looks: fewest places reached {fewest}, largest cell at most "
          f"{most:.0%}, share within 3σ at most {sharp:.1%}")
    assert fewest == (7 if "seven" in name else 8) and most < .5 and sharp < .1
    assert len(toys[name]) == 4  # as the answer says

# %% [markdown]
# **What to do.** A figure may show collapse without unrolling, and no collapse with it. It should show several seeds, and the text should say how D's first weights were drawn. Check the gradient of your code: differentiate the loss of G after $K$ steps of D by finite differences in float64. `tests/test_questions.py` does this for ours.

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.questions import grade_answers, grade_imle

# %% [markdown]
# **1.** (easy, 5 minutes) The answer to a condition is 0 with chance .6 and 1 with chance .4. Which single answer has the smallest expected L1 cost, and which the smallest expected squared error? Give the pair.
#
# <details><summary>Hint</summary>
#
# One of the two is the median, and the other is the mean.
#
# </details>

# %%
answer = ...
grade_answers(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The median minimises the L1 cost, and the mean minimises the squared error.
#
# ```python
# answer = (0, .4)
# ```
#
# Both generators ignore z. The second one even makes an answer that never occurs.
#
# </details>

# %% [markdown]
# **2.** (medium, 15 minutes) Write `imle_loss(answers, y)` of IMLE for each condition. `answers` holds several generated answers to each condition, `(n, m, d)`. `y` is the real answer to each condition, `(n, d)`. The loss is the mean over conditions of the squared distance from $y$ to the nearest of its answers.
#
# <details><summary>Hint</summary>
#
# Compare `answers` with `y[:, None]`. The minimum goes over the answers to one condition.
#
# </details>

# %%
def imle_loss(answers, y):
    ...

answer = imle_loss
grade_imle(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def imle_loss(answers, y):
#     squared = (answers - y[:, None]).square().sum(-1)
#     return squared.min(1).values.mean()
#
# answer = imle_loss
# ```
#
# Only the nearest answer to each condition gets a gradient. The others are free to reach other spots.
#
# </details>

# %% [markdown]
# ## Recap
# - With a large weight of L1, a conditional generator makes the median of the answers and ignores z. Count modes per condition.
# - The samples of a GAN change during training. Count at many steps, with several seeds.
# - The number of G's turns is a setting like others: compare it seed by seed.
# - Held-out pictures and a test show whether a model copies.
# - A toy problem needs several seeds, too: one of them may differ from the others.
#
# **For later.**
#
# 1. Which of these experiments would you not believe with three seeds?
# 2. What does a condition that occurs once in the data mean for recall per condition?
#
# <details><summary>Answers</summary>
#
# 1. Those about a rare outcome, such as a collapse in a quarter of the seeds. Three seeds show no such collapse with a chance of $.75^3$, which is more than 40 %.
# 2. There is one real answer only. Recall for this condition is 0 or 1, and nothing can be said about the variety of its answers. Similar conditions must be joined.
#
# </details>
#
# **References.** P. Isola, J.-Y. Zhu, T. Zhou, A. Efros, *Image-to-image translation with conditional adversarial networks*, CVPR 2017. Q. Mao, H.-Y. Lee, H.-Y. Tseng, S. Ma, M.-H. Yang, *Mode seeking generative adversarial networks for diverse image synthesis*, CVPR 2019. Z. Lin, A. Khetan, G. Fanti, S. Oh, *PacGAN: the power of two samples in generative adversarial networks*, NeurIPS 2018. L. Metz, B. Poole, D. Pfau, J. Sohl-Dickstein, *Unrolled generative adversarial networks*, ICLR 2017. L. Mescheder, A. Geiger, S. Nowozin, *Which training methods for GANs do actually converge?*, ICML 2018.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.questions
"Graders of chapter 4.7."
import functools
import math

import torch

from modelab.course.exercises import as_number, exercise

# %%
#| export course.graders.questions
@exercise(accepts=[(0, .4)], rejects=[(.4, .4), (0, 0), (.5, .5), (1, .4), (.4, 0), 0, (0, .6)])
def grade_answers(answer):
    assert isinstance(answer, (tuple, list)) and len(answer) == 2, "a pair is expected"
    assert as_number(answer[0]) == 0, "L1: compare the expected costs of the two possible answers"
    assert math.isclose(as_number(answer[1]), .4), "squared error: set the derivative to zero"

# %%
#| export course.graders.questions
def by_nearest(answers, y, least=True, root=False, all_pairs=False, of_answers=False, add=False):
    "The right loss, and wrong ones by the options."
    if all_pairs:  # any answer may be matched, also one to another condition
        squared = (answers.flatten(0, 1)[None] - y[:, None]).square().sum(-1)
    else:
        squared = (answers - y[:, None]).square().sum(-1)
    squared = squared.sqrt() if root else squared
    if of_answers:
        return squared.min(0).values.mean()
    rows = squared.min(1).values if least else squared.mean(1)
    return rows.sum() if add else rows.mean()

# %%
#| export course.graders.questions
@exercise(accepts=[by_nearest], rejects=[functools.partial(by_nearest, **{wrong: wrong != "least"})
    for wrong in ("least", "root", "all_pairs", "of_answers", "add")]
    + [lambda answers, y: by_nearest(answers, y).detach()])
def grade_imle(imle_loss):
    g = torch.Generator().manual_seed(0)
    answers = torch.randn(6, 4, 2, generator=g).requires_grad_()
    y = torch.randn(6, 2, generator=g)
    found = imle_loss(answers, y)
    right = torch.stack([min((a - one).square().sum() for a in some)
                         for some, one in zip(answers, y)])
    assert found.shape == (), "one number"
    assert torch.isclose(found, right.mean()), \
        "for each condition, the squared distance to the nearest of its own answers; then the mean"
    assert found.requires_grad, "the loss has no gradient"
    slope, = torch.autograd.grad(found, answers)
    assert (slope.abs().sum(-1) > 0).sum() == 6, "one answer to each condition gets a gradient"
