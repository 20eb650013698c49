# %% [markdown]
# # The lab: watch, change, rewind and compare GANs
# > How can I watch a GAN lose a mode, go back to an earlier step, and change its training?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How can I watch a GAN lose a mode, go back to an earlier step, and change its training? |
# | **You will be able to** | step, rewind and compare two GANs on the same data and noise, see the gradient that the generator gets near a missing mode, and share the whole state as one string |
# | **Paper** | Kahng, Thorat, Chau, Viégas, Wattenberg, *GAN Lab*, 2018: the interactive page that this lab is compared with |
# | **Needs** | [0.4](../0_start/04_coverage.ipynb), [1.1](01_minimax.ipynb), [1.2](02_training.ipynb) |
# | **Time** | under a minute of computing |

# %%
import torch
from torch import nn

from modelab import Lab, Minimax, Run, coverage, mixture, ring
from modelab.core.registry import set_setting
from modelab.core.statistics import interval
from modelab.course.claims import claim, experiment, fast_mode, recorded, steps
from modelab.networks.players import Networks

# %% [markdown]
# This chapter uses the lab. The workshop builds it: [6.8](../6_workshop/08_session.ipynb) the timeline, [6.9](../6_workshop/09_view.ipynb) the pictures, [6.10](../6_workshop/10_panel.ipynb) the controls.
#
# ## A divergence on a grid is large even for a perfect generator
# GAN Lab is a well-known interactive page about GANs. It plots a divergence between two histograms on a grid. Let us compute it for two simulated generators. One is perfect. The other has lost one of two modes, which is half of the data.
#
# **Predict:** take a grid of 30 × 30 cells and 150 points of each. What is the [KL divergence](../glossary.ipynb) of the perfect generator?

# %%
two = mixture([[.3, .5], [.7, .5]], .07)
half = mixture([[.3, .5]], .07)
g = torch.Generator().manual_seed(0)

# %%
def grid_kl(p, q, cells: int = 30) -> float:
    "KL between two samples in the unit square: histograms with a small number added to each cell."
    where = [(x.clamp(0, .999) * cells).long() for x in (p, q)]
    counts = [torch.bincount(w[:, 0] * cells + w[:, 1], minlength=cells ** 2) for w in where]
    a, b = ((c.double() + 1e-2) / (c.double() + 1e-2).sum() for c in counts)
    return (a * (a / b).log()).sum().item()

# %%
perfect = interval([grid_kl(two.sample(150, g), two.sample(150, g)) for _ in range(8)])
lost = interval([grid_kl(two.sample(150, g), half.sample(150, g)) for _ in range(8)])
perfect, lost

# %%
assert perfect.low > 1 and perfect.high < lost.low < 2 * perfect.high

# %% [markdown]
# The perfect generator has 1.8 instead of 0, because 150 points cannot fill hundreds of cells. The other one has 2.9. The two differ clearly, but a user who sees one number only, without the floor of 1.8, cannot tell whether it is good. And the number does not tell which mode is lost. The lab counts samples by mode (chapter [0.4](../0_start/04_coverage.ipynb)):

# %%
counted = {name: coverage(law.sample(150, g), two) for name, law in (("both", two), ("one", half))}
assert counted["one"].tv > 5 * counted["both"].tv and counted["both"].floor.tv < .1
{name: (c.captured, c.counts.tolist(), round(c.tv, 3)) for name, c in counted.items()}

# %% [markdown]
# The counts show which mode is lost, and the [total variation](../glossary.ipynb) is ten times as large. (`captured` alone still is 2 here: one stray sample near the lost mode is enough.)
#
# So the lab shows the counts of the modes. It can also go back. When you notice that a mode is missing, it was lost at an earlier step. The state of a `Run` (chapter [1.2](02_training.ipynb)) after $n$ steps depends on the settings and on $n$ alone, so any earlier step can be computed again. The lab is a `Run` with a timeline.
#
# ## Step, change, go back
# A lab has a game, a mode set, and the settings of a `Run`. `step` trains, `set` changes a setting from the present step on, and `scrub` goes to any recorded step.

# %%
lab = Lab(Minimax(networks=Networks(width=32)), ring(std=.1), batch=64, samples=200)
lab.step(60).set("lr.D", 5e-3).step(20, only="G").step(20)

# %% [markdown]
# The state now depends on the settings at the start and on all changes. Each change is an *event* with its step. Training only $G$ for some steps makes two events: the turns change to "G", and later back to the old ones.

# %%
lab.events

# %% [markdown]
# To return to step 31, the lab loads the last snapshot before it and trains the rest again. **Fidelity:** after going back and forth, the weights at step 100 are those of the straight training, bit for bit:

# %%
def weights(lab):
    return torch.cat([v.flatten().double() for side in lab.sides.values()
                      for v in side.snapshot().values()])

straight = weights(lab)
assert torch.equal(weights(lab.scrub(31).scrub(77).scrub(3).step(97)), straight)

# %% [markdown]
# A *share string* contains the settings and the events in a few hundred characters. Another user makes the same lab from it:

# %%
text = lab.to_string()
assert torch.equal(weights(Lab.from_string(text)), straight)
len(text)

# %% [markdown]
# Some settings can change during training, such as a learning rate. Others determine how the networks are built. If they change, the training starts again from step 0.
#
# **Predict:** which of these two starts again, the learning rate of $D$ or the width?

# %%
at = {"lr.D": lab.set("lr.D", 1e-3).at, "width": lab.set("width", 16).at}
at

# %%
assert at == {"lr.D": 100, "width": 0}

# %% [markdown]
# ## Data of your own
# `draw` starts again on your own points. Points that are close to each other become one heavier mode.

# %%
lab.draw([[0, 0], [0, .01], [.02, 0], [1, 1]]).modes.weights

# %% [markdown]
# ## Which gradient does G get near a missing mode?
# The lab draws an arrow at each sample: minus the gradient of the generator's loss in this sample. If $L_G$ is a mean over $n$ samples $x_i=G(z_i)$, the arrow is
#
# $$-n\,\frac{\partial L_G}{\partial x_i},\qquad\text{for the non-saturating loss}\quad \big(1-\sigma(D(x_i))\big)\,\nabla D(x_i).$$
#
# GAN Lab draws $\nabla\sigma(D)=\sigma(1-\sigma)\nabla D$ instead. The direction is the same. But if $D$ classifies a sample as generated ($\sigma\approx0$), this arrow is short, and the arrow of the non-saturating loss is long.
#
# At a missing mode the generator gets no gradient, because it has no sample there. `mode_status` tells how far the nearest sample is, and where its gradient points. The cosine is 1 if the gradient step moves the sample towards the mode, and −1 if it moves it away.

# %%
heavy = Lab(Minimax(networks=Networks(width=64)), "rare_modes", batch=128, samples=500)
heavy.step(steps(300))
missing = heavy.history[max(heavy.history)]["A"]["missing"]
status = {mode: heavy.mode_status(mode) for mode in missing}
cosines = {mode: round(s.cosine, 2) for mode, s in status.items()}
assert fast_mode() or cosines[8] < -.5 and max(cosines.values()) > .5
print(status.get(8, "mode 8 is not missing"), cosines, sep="\n")

# %% [markdown]
# Here the step moves the nearest sample *away* from mode 8. The last line has the cosines of all missing modes. Some samples move away from the mode, others towards it. So the gradient does not point at the missing modes in general. In the widget, click a mode to see the same, with a line from the nearest sample to the mode.
#
# ## One step in slow motion
# `trace_step` shows a training step in stages. It computes the next step with its data, records what each network computes, and restores the state.

# %%
stages = heavy.trace_step()
for stage in stages:
    print(stage.turn, stage.number, stage.text)

# %%
losses = [stage.text for stage in stages if "The loss of" in stage.text]
heavy.step(1)
now = heavy.sides["A"].loss()
assert all(f"{value:.4f}" in text for value, text in zip(now.values(), losses))

# %% [markdown]
# The losses in the stages are those of the step that was trained afterwards.
#
# ## Missions
# In a *mission* you cause a failure and repair it. It reads from the record of the lab which modes were captured at which step, and which settings were changed. Two of them:

# %%
from modelab.course.graders.lab import bring_back, cure

{mission.text: mission.stages for mission in (bring_back, cure)}

# %% [markdown]
# ## The lab in the notebook
# With a running kernel the next cell is interactive, and the stages of the mission are ticked off above the picture. Press *Play*, move the timeline, click a missing mode, choose a second game under *versus*, or draw your own data. Without a kernel you see a picture only.

# %%
lab = Lab(Minimax(networks=Networks(width=64)), ring(std=.1), batch=128, samples=500,
          missions=[bring_back])
lab.step(steps(200))
lab

# %% [markdown]
# All controls exist as methods, too. A lab can have two sides, A and B, with the same data, noise and seed. Here B has the saturating loss.

# %%
networks = Networks(width=64)
duel = Lab(Minimax(networks=networks), ring(std=.1), Minimax(saturating=True, networks=networks),
           batch=128, samples=500)
film = duel.record(steps(180))
film

# %%
assert film.steps[-1] == duel.at and film.events == []
at_end = {side: film.measures("captured", side)[-1] for side in "AB"}
assert fast_mode() or at_end == {"A": 8, "B": 8}
{side: f"{captured:g} of 8" for side, captured in at_end.items()}

# %% [markdown]
# Both sides capture 8 of 8 modes. That alone is not much: on this ring 500 samples of uniform noise capture all eight as well, because the modes are wide (std 0.1):

# %%
null = coverage(ring(std=.1).sample(500, g), ring(std=.1)).null
assert null.captured > 7.9
f"noise: {null.captured:g} of 8 modes, {null.high_quality:.0%} high quality"

# %% [markdown]
# A recording plays without a kernel. `film.save_html("duel.html")` writes it to one HTML file, which needs no network.
#
# ## A high learning rate loses modes
# **Predict:** a GAN is trained on a ring of eight modes. Then both learning rates are 30 times as high for 80 steps, then as before for 400 steps. The data never change. Are modes lost? Do they return?
#
# The eight seeds of this section and of the next were trained once and recorded (`@experiment`, chapter [0.2](../0_start/02_evidence.ipynb)).

# %%
@experiment("03_lab")
def lost_by_rate(total=400):  # steps of the last phase
    run = Run(Minimax(networks=networks), ring(std=.1), runs=8, batch=128, device="cpu")
    lost = {}
    for name, rate, n in (("learned", 1e-3, 3 * total // 4), ("high rate", .03, total // 5),
                          ("old rate", 1e-3, total)):
        set_setting(run.game, "lr", rate)
        lost[name] = [8 - c.captured for c in run.step(n).coverage(n=500)]
    return lost | {"loss of G": run.losses["G"][-1]}

# %%
lost_modes = lost_by_rate()
{name: lost_modes[name] for name in ("learned", "high rate", "old rate")}

# %%
high, old = (interval(lost_modes[name], low=0, high=8) for name in ("high rate", "old rate"))
claim("A learning rate thirty times as high loses modes of a ring, and the old rate brings them "
      "back", paper="this course", section="missing modes of 8; ring, std .1",
      ours=old, baseline=high, holds=old.high < high.low)

# %% [markdown]
# With the high rate 3 to 7 of 8 modes are missing, more than for noise, which misses none. With the old rate none is missing. This shows that the samples spread again, but not that they are good: noise misses none either. Why the high rate loses modes is not examined here. On the rare modes of chapter [1.1](01_minimax.ipynb) even the usual rate loses modes.
#
# ## A mode is removed from the data and comes back
# Now keep the rates and change the *data*. With `without` the networks get no real examples of some modes; these modes are still counted. (In the lab: hold Shift and click a mode.)
#
# **Predict:** a GAN is trained on a ring, then mode 3 is left out for 200 steps. Does $G$ still make this mode? And after the mode has been back for 200 steps?

# %%
def leave_out(seed: int, n: int) -> tuple[Lab, list[int]]:
    "Learn for 3 n / 2 steps, leave mode 3 out for n, show it again for n; its samples after each."
    lab = Lab(Minimax(networks=networks), ring(std=.1), batch=128, samples=500, seed=seed)
    counts = [lab.step(3 * n // 2).mode_status(3).count]
    for without in ([3], []):
        counts.append(lab.set("without", without).step(n).mode_status(3).count)
    return lab, counts

# %%
@experiment("03_lab", early=10)
def left_out_and_back(total=200):
    shares = [[count / 500 for count in leave_out(seed, total)[1]] for seed in range(8)]
    return dict(zip(("learned", "left out", "back"), zip(*shares)))

# %%
counts = {name: [round(500 * share) for share in shares]
          for name, shares in left_out_and_back().items()}
counts

# %% [markdown]
# This is seed 7, trained here:

# %%
film = leave_out(7, steps(200))[0].recording(7)
film

# %%
learned, left_out, back = (interval(row, low=0, high=500) for row in counts.values())
assert fast_mode() or max(counts["left out"]) <= 11 and min(counts["back"]) >= 40
assert abs(500 * null.high_quality / 8 - 16) < 1  # noise, as counted above
claim("When a mode leaves the data, a generator makes it less than half as often; when it is back, "
      "more than twice as often as without it", paper="this course",
      section="good samples of one mode of 8, of 500; ring, std .1",
      ours=left_out, baseline=learned,
      holds=left_out.high < min(learned.low, back.low) / 2)

# %% [markdown]
# After 200 steps without the mode 0 to 11 of 500 samples are left in it; uniform noise would have about 16. When the mode is back in the data, 40 or more samples return to it in each seed. The loss of $G$ contains the data only through the present $D$. So if $D$ is trained without a mode, nothing in the loss keeps $G$ at this mode.

# %% [markdown]
# ## Exercises
# Write your answer into the cell below a question, and run it. First the graders:

# %%
from modelab.course.graders.lab import grade_arrows, grade_cure, grade_return

# %% [markdown]
# **1.** (medium, 15 minutes) Write `arrows(D, x)`: the arrow of the non-saturating loss at each of the `n` samples `x`, shape `(n, 2)`. `D` maps `(n, 2)` to logits `(n,)`. As above, the arrow is minus the gradient of the loss, multiplied by `n`.
#
# <details><summary>Hint</summary>
#
# Let `x` require a gradient. If you take the sum over samples in place of the mean, the factor `n` is already there.
#
# </details>

# %%
def arrows(D, x):
    ...

answer = arrows
grade_arrows(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def arrows(D, x):
#     x = x.detach().requires_grad_()
#     loss = nn.functional.softplus(-D(x)).sum()
#     slope, = torch.autograd.grad(loss, x)
#     return -slope
#
# answer = arrows
# ```
#
# This is $(1-\sigma(D))\nabla D$. The gradient of the probability, $\sigma(1-\sigma)\nabla D$, is nearly zero where $D$ classifies a sample as generated.
#
# </details>

# %% [markdown]
# **2.** (medium, 15 minutes) The first mission: lose three captured modes at once, then bring them back, without changing the data. (`without` changes the data, too.) Hand in `lab.recording()`.
#
# <details><summary>Hint</summary>
#
# A learning rate that is far too high loses modes. Train a little with it, then set the old rate again.
#
# </details>

# %%
answer = ...
grade_return(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# One way, in code:
#
# ```python
# lab = Lab(Minimax(networks=Networks(width=32)), ring(std=.15), batch=64, samples=100)
# lab.step(100).set("lr", .03).step(64)
# answer = lab.set("lr", 1e-3).step(160).recording(8)
# ```
#
# Training $G$ alone for some steps is another way. In both the samples spread again as soon as $D$ is trained as before.
#
# </details>

# %% [markdown]
# **3.** (medium, 15 minutes) The second mission: the lab below has two sides whose learning rate is far too high. Train a little, then repair side $B$ only, until it captures more modes than $A$, after 200 steps or more. Hand in the recording.
#
# <details><summary>Hint</summary>
#
# `set` takes the name of a side as its third argument. A usual rate is 0.001.
#
# </details>

# %%
bad = {"name": "minimax", "width": 32, "lr": .05}
two = Lab(bad, ring(std=.15), bad, batch=64, samples=100, missions=[cure])

answer = ...
grade_cure(answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# bad = {"name": "minimax", "width": 32, "lr": .05}
# two = Lab(bad, ring(std=.15), bad, batch=64, samples=100)
# answer = two.step(48).set("lr", 1e-3, "B").step(400).recording(8)
# ```
#
# Both sides have the same data, noise and seed. So the rate alone explains the difference from the change on.
#
# </details>

# %% [markdown]
# ## Comparison with GAN Lab
# The table lists what GAN Lab (2018) has and what this lab has.
#
# | | GAN Lab | here |
# |---|---|---|
# | data | 4 presets, draw with the mouse | every registered set, presets, draw with pointer, touch or keys, or pass points from Python |
# | noise | 1-D or 2-D, uniform or normal | any length; the law that the game draws from |
# | pre-trained models | yes | a share string trains to the same state; a recording needs no training |
# | play, pause, reset | yes | yes |
# | slow motion with numbered stages | 5 for D, 5 for G, fixed texts | one for each call of a player, traced in the game's own loss, with its numbers |
# | step G only, D only, both | yes | yes, E too where there is one, and n steps at once |
# | iteration counter | yes, called epoch | yes, called step |
# | model graph with thumbnails, flow of data animated | yes | **no**; the stages of slow motion name who passes what to whom |
# | hover over G to see the grid warp | yes | **no**; the latent grid is a layer |
# | real and generated points | dots of two colours | discs and crosses, apart in shape too; what lies outside is counted, not drawn on the border |
# | D as a heatmap | 30 × 30, its probability | 64 × 64: score, probability or gradient norm; blue where it takes a point for real |
# | warped latent grid | 20 × 20, shaded by density | 15 × 15, drawn bolder where dense; levels are quantiles of the noise |
# | arrows | gradient of D's probability | minus the gradient of G's loss, whatever the game |
# | coordinates under the mouse | yes | **no** |
# | captions in matching colours | yes | the list of layers is the legend |
# | loss curves | yes | yes |
# | KL and JS on a grid | yes; see the first section | **no**; modes captured, high quality, TV and KL by modes, each beside what a perfect generator and noise score |
# | layers and neurons live | yes | width and depth live where the game has them; other networks in code |
# | updates per step | 0 to 10 each | any order of turns |
# | optimiser | SGD or Adam | **Adam only**; rates by player, any value |
# | losses | log, least squares | every registered game; **no least squares** |
# | save button | hidden | share string, recording, one HTML file |
# | seed, timeline, rewind | no | yes |
# | which modes are captured, now and along the timeline | no | yes |
# | take a mode out of the data while it plays, and put it back | no | yes |
# | why a mode is missing | no | click it: distance and gradient at the nearest sample |
# | two games on the same data and noise | no | yes |
# | encoder and joint plane | no | yes |
# | pictures and their modes | no | pictures with the mode they are assigned to |
# | batch size, penalty weight | no | yes |
# | missions with graders | no | yes |
# | keyboard, screen reader, touch, narrow screens, dark page | no | yes |
# | article, video | yes | the course |
#
# ## In your own code
# `Lab` takes your networks and your data in the same way as `Run`.

# %%
def my_G():
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))

mine = Lab(Minimax(G=my_G, networks=Networks(width=16)), mixture([[0., 0.], [1., 0.]], .1),
           batch=32, samples=50)
mine.step(20).scrub(7)

# %% [markdown]
# ## Speed
# `benchmarks/lab.py` measures in JupyterLab: frames shown each second, bytes of a frame, training steps each second, and the time until a click is answered. *Speed kept* is the training speed while the lab is shown, over the speed without it. The lab is compared with two other ways to show a plot that changes, a matplotlib picture in an `Image` widget and `ipympl`.

# %%
recorded("lab")

# %% [markdown]
# ## Recap
# - A divergence on a grid is large even for a perfect generator, if there are many cells and few points. Counts by mode show which mode is missing.
# - The state depends only on the settings, the events and the step. So the lab can rewind, compare, share and record.
# - The arrows are minus the gradient of the generator's loss.
# - If a mode is removed from the data, at most 11 of 500 samples are left in it after 200 steps (36 or more before). When it is back, 40 or more return.
#
# **For later.**
#
# 1. Why must a step of "G only" be written into the record?
# 2. What is wrong with arrows that show the gradient of a probability?
# 3. Which settings need a new start?
#
# <details><summary>Answers</summary>
#
# 1. The state is computed again from the settings, the events and the step. If the event were missing, going back would give another state.
# 2. Where $D$ classifies a sample as generated they are short, but the gradient of the non-saturating loss is long there.
# 3. Those that determine how the networks are built, such as the width. A learning rate can change during training.
#
# </details>
#
# **References.** M. Kahng, N. Thorat, D. H. Chau, F. Viégas, M. Wattenberg, *GAN Lab: Understanding complex deep generative models using interactive visual experimentation*, IEEE VIS 2018.

# %% [markdown]
# ## The graders
# You need not read this section to do the exercises. It holds the answers.

# %%
#| export course.graders.lab
"Graders and missions of chapter 1.3."
import functools

import torch
import torch.nn.functional as F

from modelab.course.exercises import exercise, mission
from modelab.data.mixtures import ring
from modelab.lab.panel import Lab
from modelab.methods.minimax import Minimax
from modelab.networks.players import Networks

# %%
#| export course.graders.lab
def pushes(D, x, of=lambda logits: -F.softplus(-logits), mean=False):
    "The right answer, and wrong ones by its options: the gradient of the sum of `of`."
    x = x.detach().requires_grad_()
    values = of(D(x))
    return torch.autograd.grad(values.mean() if mean else values.sum(), x)[0]

# %%
#| export course.graders.lab
@exercise(accepts=[pushes],
          rejects=[lambda D, x: -pushes(D, x), lambda D, x: pushes(D, x, torch.sigmoid),
                   lambda D, x: pushes(D, x, mean=True), lambda D, x: pushes(D, x, lambda l: l),
                   lambda D, x: pushes(D, x, F.softplus), lambda D, x: torch.zeros_like(x)])
def grade_arrows(arrows):
    g = torch.Generator().manual_seed(0)
    x, w = 3 * torch.randn(40, 2, generator=g), torch.tensor([1., -2.])
    found = arrows(lambda points: (points.square() * w).sum(1) - 1, x)
    right = pushes(lambda points: (points.square() * w).sum(1) - 1, x)
    assert found.shape == x.shape, "one arrow of two numbers for each sample"
    assert torch.allclose(found, right, atol=1e-5), \
        "wrong: look at the sign, at the factor n, and at which loss is differentiated"

# %%
#| export course.graders.lab
@mission("you changed a setting or a turn, and not the data",
         "three modes that were captured then were missing at once",
         "all of them are captured at the end")
def bring_back(record):
    "Lose three captured modes at once, then bring them back, without changing the data."
    yield record.events and all(e.name != "without" for e in record.events)
    first, captured = min(e.step for e in record.events), record.captured()
    before = captured[max(step for step in captured if step <= first)]
    yield any(len(before - modes) >= 3 for step, modes in captured.items() if step > first)
    yield before <= captured[max(captured)]

# %%
#| export course.graders.lab
@mission("both sides trained badly for a while", "you changed B, and only B",
         "after 200 steps or more B captures more modes than A")
def cure(record):
    "A and B start with a learning rate that is far too high. Repair B under way; leave A as it is."
    yield max(record.rows) > 0 and all(e.step > 0 for e in record.events)
    yield {e.side for e in record.events} == {"B"}
    a, b = (list(record.captured(side).values())[-1] for side in "AB")
    yield max(record.rows) >= 200 and len(b) > len(a)

# %%
#| export course.graders.lab
@functools.cache
def played(back: bool | None = True):
    "A recording with a high rate, with or without the way back; without both for None."
    lab = Lab(Minimax(networks=Networks(width=32)), ring(std=.15), batch=64, samples=100)
    if back is None:
        return lab.step(160).recording(4)
    lab.step(100).set("lr", .03).step(64)
    return lab.set("lr", 1e-3).step(160).recording(8) if back else lab.recording(8)

# %%
#| export course.graders.lab
@functools.cache
def taken_out():
    "A recording of a wrong answer: modes are taken out of the data, and put back."
    lab = Lab(Minimax(networks=Networks(width=32)), ring(std=.15), batch=64, samples=100)
    lab.step(200).set("without", [2, 3, 4, 5]).step(300)
    return lab.set("without", []).step(200).recording(8)

# %%
#| export course.graders.lab
@functools.cache
def two_bad_runs(first: int, sides: str, then: int, rate: float = .05, later: float = 1e-3):
    "A recording of two sides with the same `rate`; some get the rate `later` after `first` steps."
    bad = {"name": "minimax", "width": 32, "lr": rate}
    lab = Lab(bad, ring(std=.15), bad, batch=64, samples=100)
    lab = lab.step(first) if first else lab
    if sides:
        lab.set("lr", later, *(sides if sides == "B" else ""))
    return lab.step(then).recording(8)

# %%
#| export course.graders.lab
grade_return = exercise(accepts=lambda: [played()],
                        rejects=lambda: [played(None), played(False), taken_out(),
                                         None])(bring_back)
grade_cure = exercise(accepts=lambda: [two_bad_runs(48, "B", 400)],
                      rejects=lambda: [two_bad_runs(48, "", 16), two_bad_runs(0, "B", 64),
                                       two_bad_runs(48, "AB", 400), None,
                                       two_bad_runs(8, "B", 16, 1e-3, .01)])(cure)
