# %% [markdown]
# # The lab
# > How do I stop a GAN, change it, go back to an earlier step, and compare two runs?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | Why does a generator lose a mode, and can I watch it happen, go back, and do it differently? |
# | **You will be able to** | step, rewind and compare two GANs on the same data and noise, see which gradient the generator gets near a missing mode, and send the whole state to somebody as one string |
# | **Paper** | Kahng, Thorat, Chau, Viégas, Wattenberg, *GAN Lab*, 2018: the interactive page that this lab is compared with |
# | **Needs** | [0.4](../0_start/04_coverage.ipynb), [1.1](01_minimax.ipynb), [1.2](02_training.ipynb) |
# | **Time** | under a minute of computing |

# %%
import torch
from torch import nn

from modelab import Lab, Minimax, Run, coverage, mixture, ring
from modelab.core.registry import set_setting
from modelab.core.statistics import interval
from modelab.course.claims import claim, experiment, recorded, steps
from modelab.course.exercises import exercise, mission
from modelab.networks.players import Networks

# %% [markdown]
# This chapter uses the lab. How it is built is shown in the workshop: [6.8](../6_workshop/08_session.ipynb) the timeline, [6.9](../6_workshop/09_view.ipynb) the pictures, [6.10](../6_workshop/10_panel.ipynb) the controls.
#
# ## A chart that hardly shows a lost mode
# Interactive pages about GANs usually show one number for how well the generator does: a divergence between two histograms on a grid. Let us build that chart and give it two generators. One is perfect. The other has lost one of two modes, half of the data.
#
# **Predict:** a grid of 30 × 30 cells, 150 points of each. By what factor is the second divergence larger?

# %%
two = mixture([[.3, .5], [.7, .5]], .07)
half = mixture([[.3, .5]], .07)
g = torch.Generator().manual_seed(0)

# %%
def grid_kl(p, q, cells: int = 30) -> float:
    "KL between two samples in the unit square: histograms with a little mass in every cell."
    where = [(x.clamp(0, .999) * cells).long() for x in (p, q)]
    counts = [torch.bincount(w[:, 0] * cells + w[:, 1], minlength=cells ** 2) for w in where]
    a, b = ((c.double() + 1e-2) / (c.double() + 1e-2).sum() for c in counts)
    return (a * (a / b).log()).sum().item()

# %%
perfect = interval([grid_kl(two.sample(150, g), two.sample(150, g)) for _ in range(8)])
lost = interval([grid_kl(two.sample(150, g), half.sample(150, g)) for _ in range(8)])
assert lost.low < 2 * perfect.high
perfect, lost

# %% [markdown]
# A perfect generator gets a bad mark, and losing half of the data costs little more: less than a factor of two. There are hundreds of cells and only 150 points, so most of what the chart shows is the noise of its own bins. Chapter 0.4 counts samples by mode, a question that 150 points can answer:

# %%
counted = {name: coverage(law.sample(150, g), two) for name, law in (("both", two), ("one", half))}
assert counted["one"].tv > 5 * counted["both"].tv
{name: (c.captured, c.counts.tolist(), round(c.tv, 3)) for name, c in counted.items()}

# %% [markdown]
# The counts show at once what is lost, and total variation between the modes' shares grows tenfold. (`captured` alone still says 2: one stray sample is near the lost mode, and one is enough.)
#
# So the lab shows modes and their counts, not a divergence on a grid. And it can go back: when you notice that a mode is missing, the step at which it was lost is past. Chapter 1.2's `Run` has what that takes, because its state after $n$ steps depends on the configuration and $n$ alone. The lab is that same `Run` with a timeline.
#
# ## Step, change, go back
# A lab has a game, a mode set, and the settings of a `Run`. `step` trains, `set` changes a setting from here on, `scrub` goes to any recorded step.

# %%
lab = Lab(Minimax(networks=Networks(width=32)), ring(std=.1), batch=64, samples=200)
lab.step(60).set("lr.D", 5e-3).step(20, only="G").step(20)

# %% [markdown]
# If a setting changes at step 60, then "configuration" must mean the configuration and what was changed at which step. Each change is an event with its step. A step in which only $G$ moves is two events: other turns from this step on, the old ones after it.

# %%
lab.events

# %% [markdown]
# To return to step 31, the lab takes the last snapshot before it and trains the rest again. Back and forth and then on is the same as straight through, bit for bit:

# %%
def weights(lab):
    return torch.cat([v.flatten().double() for side in lab.sides.values()
                      for v in side.snapshot().values()])

straight = weights(lab)
assert torch.equal(weights(lab.scrub(31).scrub(77).scrub(3).step(97)), straight)

# %% [markdown]
# The same holds for a *share string*: a few hundred characters that hold the configuration and the events. Whoever reads it has the same lab.

# %%
text = lab.to_string()
assert torch.equal(weights(Lab.from_string(text)), straight)
len(text)

# %% [markdown]
# Some settings can change under way, such as a rate or the weight of a penalty. Others decide how the networks are built, and then the lab starts again. **Predict:** which of these two starts again, the learning rate of $D$ or the width?

# %%
at = {"lr.D": lab.set("lr.D", 1e-3).at, "width": lab.set("width", 16).at}
assert at == {"lr.D": 100, "width": 0}
at

# %% [markdown]
# ## Data of your own
# `draw` starts again on points of your own: points close to each other become one heavier mode.

# %%
lab.draw([[0, 0], [0, .01], [.02, 0], [1, 1]]).modes.weights

# %% [markdown]
# ## Which gradient does G get near a missing mode?
# The lab draws an arrow at each sample: minus the gradient of the generator's own loss in that sample. With $L_G$ a mean over $n$ samples $x_i=G(z_i)$ it is
#
# $$-n\,\frac{\partial L_G}{\partial x_i},\qquad\text{for the non-saturating loss}\quad \big(1-\sigma(D(x_i))\big)\,\nabla D(x_i).$$
#
# A page that draws $\nabla\sigma(D)=\sigma(1-\sigma)\nabla D$ shows the right direction. But where $D$ is sure that a sample is generated, its arrows are short, and the arrows of the loss are long.
#
# What gradient does the generator get about a mode that it misses? None at the mode itself, because no sample is there. `mode_status` tells how far the nearest sample is, and where its gradient points.

# %%
heavy = Lab(Minimax(networks=Networks(width=64)), "rare_modes", batch=128, samples=500)
heavy.step(steps(300))
missing = heavy.history[max(heavy.history)]["A"]["missing"]
print(heavy.mode_status(missing[-1] if missing else 1))

# %% [markdown]
# In the widget, click a mode to see the same, with a line from the nearest sample to the mode.
#
# ## One step, slowly
# Slow motion shows a step in stages. It takes the next step with its own data, notes which network computes what, and restores the state.

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
# The numbers in the stages were those of the step that then came.
#
# ## Missions
# Anybody can watch. To *cause* a failure, and to repair it, one must have understood it. A mission says what to bring about, and reads in the record whether it was: which modes were captured at which step, and what was changed when.

# %%
@mission("you changed a setting or a turn",
         "three modes that were captured then were missing at once",
         "all of them are captured at the end")
def bring_back(record):
    "Lose three captured modes at once, then bring them back, without changing the data."
    yield record.events
    first, captured = min(e.step for e in record.events), record.captured()
    before = captured[max(step for step in captured if step <= first)]
    yield any(len(before - modes) >= 3 for step, modes in captured.items() if step > first)
    yield before <= captured[max(captured)]

# %%
@mission("both sides trained badly for a while", "you changed B, and only B",
         "B captures more modes than A")
def cure(record):
    "A and B start with a learning rate that is far too high. Repair B under way; leave A as it is."
    yield max(record.rows) > 0 and all(e.step > 0 for e in record.events)
    yield {e.side for e in record.events} == {"B"}
    a, b = (list(record.captured(side).values())[-1] for side in "AB")
    yield len(b) > len(a)

# %% [markdown]
# ## By hand
# With a kernel, the next cell is alive, and the mission's stages are ticked off above the picture. Play, drag the timeline, click a missing mode, choose a second game under *versus*, draw your own data. Without a kernel you see its picture.

# %%
lab = Lab(Minimax(networks=Networks(width=64)), ring(std=.1), batch=128, samples=500,
          missions=[bring_back])
lab.step(steps(200))
lab

# %% [markdown]
# The same controls exist as methods, so graders and you can repeat in code what was done by hand. Two sides share data, noise and seed; here the second plays the saturating loss.

# %%
networks = Networks(width=64)
duel = Lab(Minimax(networks=networks), ring(std=.1), Minimax(saturating=True, networks=networks),
           batch=128, samples=500)
film = duel.record(steps(180))
film

# %%
assert film.steps[-1] == duel.at and film.events == []
{side: f"{film.measures('captured', side)[-1]:g} of 8" for side in "AB"}

# %% [markdown]
# That recording is a page of its own: it scrubs and plays without a kernel, and `film.save_html("duel.html")` writes it to one file that fetches nothing.
#
# ## Modes lost, and captured again
# **Predict:** a ring of eight modes is learned. Now raise both learning rates thirtyfold for 80 steps, then put them back. The data never change. Are modes lost? Do they return?
#
# The eight seeds of this section and of the next were trained once and recorded. Their cells, marked with `@experiment`, repeat the first steps of each phase, compare them with the record, and show the recorded result.

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
# Nothing in the data had changed, and no mode was lost for good. The modes are equal and close, so samples pass each of them again and again. Rare modes are different ([1.1](01_minimax.ipynb)).
#
# ## Out of the data, and back
# Now keep the rates and change the *data*. `without` names modes that neither player is shown from here on; they are still counted. In the picture: hold Shift and click a mode, while it plays. **Predict:** a ring is learned, then mode 3 is left out for 200 steps. Does $G$ keep making it? And when the mode is back?

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
# Seed 7, trained here:

# %%
film = leave_out(7, steps(200))[0].recording(7)
film

# %%
learned, left_out, back = (interval(row, low=0, high=500) for row in counts.values())
claim("A generator stops making a mode that leaves the data, and makes it again when it is back",
      paper="this course", section="good samples of one mode of 8, of 500; ring, std .1",
      ours=left_out, baseline=learned,
      holds=left_out.high < min(learned.low, back.low) / 2)

# %% [markdown]
# After two hundred steps few of 500 samples are left: $G$ is continuous, so some samples always lie on the way from mode 2 to mode 4. When the data have the mode again, these samples return to it. A generator keeps no memory of a mode: it follows the present discriminator.
#
# ## Your record, please
# A mission can be called like any grader's check, and `exercise` tries it on records that must pass and on records that must not, before it grades yours.
#
# **1.** *Lose three captured modes, then bring them back.* Hand in `lab.recording()`.

# %%
def tiny(**kw):
    return Lab(Minimax(networks=Networks(width=32)), ring(std=.15), batch=64, samples=100, **kw)

def high_rate(back: bool = True):
    "One way to do it, in code."
    lab = tiny().step(steps(100, 100)).set("lr", .03).step(64)
    return lab.set("lr", 1e-3).step(160).recording(8) if back else lab.recording(8)

# %%
unchanged, not_back = tiny().step(160).recording(4), high_rate(back=False)
grade_return = exercise(accepts=[high_rate()], rejects=[unchanged, not_back, None])(bring_back)
bring_back.seen(not_back), bring_back.seen(unchanged)

# %%
answer = ...
grade_return(answer)

# %% [markdown]
# **2.** *Repair one of two.* `two_bad_runs()` is a lab whose two sides have a learning rate that is far too high: show it, play, and repair $B$.

# %%
def two_bad_runs() -> Lab:
    bad = {"name": "minimax", "width": 32, "lr": .05}
    return Lab(bad, ring(std=.15), bad, batch=64, samples=100, missions=[cure])

repaired = two_bad_runs().step(48).set("lr", 1e-3, "B").step(400).recording(8)

# %%
untouched = two_bad_runs().step(64).recording(4)
too_early = two_bad_runs().set("lr", 1e-3, "B").step(64).recording(4)
both_changed = two_bad_runs().step(48).set("lr", 1e-3).step(400).recording(4)
grade_cure = exercise(accepts=[repaired], rejects=[untouched, too_early, both_changed])(cure)

# %%
answer = ...
grade_cure(answer)

# %% [markdown]
# ## Beside GAN Lab
# GAN Lab is what most courses embed. Here is what it has, row by row, and what it has no row for.
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
# Your networks and your data go in as they go into `Run`.

# %%
def my_G():
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))

mine = Lab(Minimax(G=my_G, networks=Networks(width=16)), mixture([[0., 0.], [1., 0.]], .1),
           batch=32, samples=50)
mine.step(20).scrub(7)

# %% [markdown]
# ## What it costs
# Frames shown, bytes a frame, the training speed that is left while it is watched, and how soon a click is answered: `python benchmarks/lab.py` measures them in a real JupyterLab and records them.

# %%
recorded("lab")

# %% [markdown]
# ## Recap
# - A chart of a divergence on a grid hardly shows that half of the data is missing; counts of modes show it.
# - The state is a function of configuration, events and step. Rewind, compare, share and record all follow from that.
# - The arrows are minus the gradient of the loss that the generator descends.
# - A generator follows the present discriminator; it keeps no memory of a mode.
#
# **For later.** Why must a step of "G only" be written into the record? What is wrong with arrows that show the gradient of a probability? Which settings need a new start?
#
# **References.** M. Kahng, N. Thorat, D. H. Chau, F. Viégas, M. Wattenberg, *GAN Lab: Understanding complex deep generative models using interactive visual experimentation*, IEEE VIS 2018.
