# %% [markdown]
# # The lab
# > A GAN under your hands: stop it, change it, go back, compare

# %% [markdown]
# | | |
# |---|---|
# | **Question** | What makes a mode go dark, and can I watch it happen, undo it, and do it differently? |
# | **You will be able to** | step, rewind and compare two GANs on the same data and noise, ask a dark mode what the generator hears of it, and send the whole state to somebody as one string |
# | **Paper** | Kahng, Thorat, Chau, Viégas, Wattenberg, *GAN Lab*, 2018: the instrument that this one answers |
# | **Needs** | [0.4](../0_start/04_coverage.ipynb), [1.1](01_minimax.ipynb), [1.2](02_training.ipynb) |
# | **Time** | about a minute of computing |

# %%
import torch

from modelab.data.mixtures import mixture
from modelab.lab.session import mode_status, sample_gradients, Side, trace_step
from modelab.networks.players import Networks
from modelab.training.run import Run

# %%
from modelab.core.statistics import interval
from modelab.course.claims import claim, recorded, steps
from modelab.course.exercises import exercise
from modelab.data.mixtures import ring
from modelab.evaluation.coverage import coverage
from modelab.methods.minimax import Minimax

# %% [markdown]
# ## A chart that hardly sees a lost mode
# Interactive pages about GANs usually show one number for how well the generator does: a divergence between two histograms on a grid. Let us build that chart and give it two generators. One is perfect. The other has lost one of two modes, half of the data.
#
# **Predict:** a grid of 30 × 30 cells, 150 points of each. By what factor is the second divergence larger?

# %%
two = mixture([[.3, .5], [.7, .5]], .07)
g = torch.Generator().manual_seed(0)
half = mixture([[.3, .5]], .07)

# %%
def by_grid(p, q, cells: int = 30) -> float:
    "KL between two samples in the unit square, by histograms with a little mass in every cell."
    where = [(x.clamp(0, .999) * cells).long() for x in (p, q)]
    counts = [torch.bincount(w[:, 0] * cells + w[:, 1], minlength=cells ** 2).double() for w in where]
    a, b = ((c + 1e-2) / (c + 1e-2).sum() for c in counts)
    return (a * (a / b).log()).sum().item()

# %%
perfect = interval([by_grid(two.sample(150, g), two.sample(150, g)) for _ in range(8)])
lost = interval([by_grid(two.sample(150, g), half.sample(150, g)) for _ in range(8)])
assert lost.low < 2 * perfect.high
perfect, lost

# %% [markdown]
# A perfect generator is given a bad mark, and losing half of the data costs it a little more. Hundreds of cells and a handful of points: most of what the chart shows is the noise of its own bins. Counting modes, as chapter 0.4 does, asks a question that 150 points can answer.

# %%
[coverage(law.sample(150, g), two).captured for law in (two, half)]

# %% [markdown]
# So an instrument for mode coverage needs lamps, not a divergence. And it needs to go back: when you notice that a lamp is out, the step at which it went out is gone. Chapter 1.2's engine has what that takes, because its state after $n$ steps depends on the configuration and $n$ alone. The lab is that same `Run` with a timeline.
#
# ## What may look at a lab
# The lab is state, and knows nothing of pictures. Whatever looks at it registers under a name, as games do; frames come from [6.9](../6_workshop/09_view.ipynb), buttons from [6.10](../6_workshop/10_panel.ipynb).

# %% [markdown]
# ## A change is an event
# If you turn a knob at step 400, then "configuration" must mean *the configuration and what was turned when*. Every change is an event with its step; the settings in force are those of step 0 with all events up to now. A step in which only $G$ moves is two events: other turns from here, the old ones from the next step on. Data can change too, as long as the judge stays: modes may be left out of what the players are shown.

# %% [markdown]
# Some settings can change under way, such as a rate or a penalty's weight. Others decide what the players are made of, and need a new start. Which is which? No list says it: the lab builds the players twice and compares.

# %%
one = Side(Minimax(networks=Networks(width=8)), ring(), seed=0, batch=16)
assert one.rebuilt("saturating", True) is None and one.rebuilt("lr.D", 1e-2) is None
one.rebuilt("width", 16)

# %% [markdown]
# ## Looking without touching
# To draw an arrow one has to compute a loss, and a loss may move batch-norm statistics or leave gradients behind. `preserve_state` puts everything back; `trace_loss` notes every use of a player on the way.

# %% [markdown]
# ## Arrows of what is really descended
# Draw at each sample where the generator's own loss pushes it. With $L_G$ a mean over $n$ samples $x_i=G(z_i)$,
#
# $$\text{push}_i=-n\,\frac{\partial L_G}{\partial x_i},\qquad\text{for the non-saturating loss}\quad \text{push}_i=\big(1-\sigma(D(x_i))\big)\,\nabla D(x_i).$$
#
# A page that draws $\nabla\sigma(D)$ draws $\sigma(1-\sigma)\nabla D$: the right direction, but the length says the opposite where $D$ is sure. Nothing here knows the game: the lab lets it compute its loss and takes the slope in what $G$ returned.

# %%
where, push, _ = sample_gradients(one)
x = where.double().requires_grad_()
D = one.players.nets["D"].double()
slope, = torch.autograd.grad(D(x[None]).sum(), x)
formula = (1 - D(x[None])[0].sigmoid())[:, None] * slope
assert torch.allclose(push.double(), formula, atol=1e-6)
D.float() and (push.double() - formula).abs().max().item() < 1e-6

# %% [markdown]
# ## Ask a dark lamp
# What gradient does the generator get about a mode that it does not show, and from how far? It gets none from the mode itself. What it hears, it hears where it stands: at its nearest sample, which may be far, and whose push may go elsewhere.

# %%
heavy = Side(Minimax(networks=Networks(width=64)), "rare_modes", seed=0, batch=128).step(steps(300))
dark = measure_side(heavy, 500).missing
print(mode_status(heavy, dark[-1] if dark else 1, 500))

# %% [markdown]
# ## One step, slowly
# Slow motion tells a step in stages. It does not tell a tale about steps in general: it runs the next one, with its own data, notes what the loss asked of whom, and puts everything back.

# %%
told = trace_step(heavy, bytes)  # no pictures here
for stage in told:
    print(stage.turn, stage.number, stage.text)

# %%
losses = [stage.text for stage in told if "loss of" in stage.text]
heavy.step(1)
assert all(f"{value:.4f}" in text for value, text in zip(heavy.loss().values(), losses))

# %% [markdown]
# The numbers told were those of the step that then came.
#
# ## Data of your own
# Points that you draw become a mixture: neighbours merge into one heavier mode, so that scribbling in one place makes a mode of much weight.

# %%
mixture_from_points([[0, 0], [0, .01], [.02, 0], [1, 1]]).weights

# %% [markdown]
# ## The lab
# Snapshots are kept along the way. To stand at step 137 again, the lab takes the last snapshot before it and walks the rest; to change something there, it writes an event and forgets the future that is no longer true.

# %% [markdown]
# From here on we use the lab as it is installed: the ways to look have registered there.

# %%
from modelab.lab.panel import Lab
from modelab.lab.session import measure_side, mixture_from_points

# %% [markdown]
# **The proof.** Back and forth, and then on, is the same as straight through, to the bit; and a string of a few hundred characters rebuilds everything that was done.

# %%
def weights(lab):
    return torch.cat([v.flatten().double() for side in lab.sides.values() for v in side.snapshot().values()])

lab = Lab(Minimax(networks=Networks(width=32)), ring(std=.1), batch=64, samples=200).step(60).set("lr.D", 5e-3).step(20, only="G").step(20)
straight = weights(lab)
assert torch.equal(weights(lab.scrub(31).scrub(77).scrub(3).step(97)), straight)

# %%
text = lab.to_string()
assert torch.equal(weights(Lab.from_string(text)), straight)
len(text), lab.events

# %% [markdown]
# ## Missions
# Anybody can watch. To *cause* a failure, and to cure it, one must have understood it. A mission says what to bring about, and reads in the record whether it was: which modes were lit at which step, and what was changed when.

# %%
from modelab.course.exercises import mission

@mission("you changed a setting or a turn", "three modes that were lit then were dark at once", "all of them are lit at the end")
def bring_back(record):
    "Put three lit modes out at once, then bring them back, without changing the data."
    yield record.events
    first, lit = min(e.step for e in record.events), record.lit()
    before = lit[max(step for step in lit if step <= first)]
    yield any(len(before - modes) >= 3 for step, modes in lit.items() if step > first)
    yield before <= lit[max(lit)]

# %%
@mission("both sides ran ill for a while", "you changed B, and only B", "B shows more modes than A")
def cure(record):
    "A and B start with a rate that is far too high. Cure B under way, and leave A alone."
    yield max(record.rows) > 0 and all(e.step > 0 for e in record.events)
    yield {e.side for e in record.events} == {"B"}
    a, b = (list(record.lit(side).values())[-1] for side in "AB")
    yield len(b) > len(a)

# %% [markdown]
# ## Under your hands
# Here it is: with a kernel, the next cell is alive, and the mission's stages are ticked off above the picture as the record shows them. Play, drag the timeline, click a dark lamp, choose a second game under *versus*, draw your own data. Without a kernel you see its picture.

# %%
lab = Lab(Minimax(networks=Networks(width=64)), ring(std=.1), batch=128, samples=500, missions=[bring_back])
lab.step(steps(200))
lab

# %% [markdown]
# The same controls exist as methods, which is how graders and you can repeat what you did by hand. Two sides share data, noise and seed; here the second plays the saturating loss.

# %%
duel = Lab(Minimax(networks=Networks(width=64)), ring(std=.1), Minimax(saturating=True, networks=Networks(width=64)), batch=128, samples=500)
film = duel.record(steps(200))
film

# %%
assert film.steps[-1] == duel.at and film.events == []
{side: f"{film.measures('captured', side)[-1]:g} of 8" for side in "AB"}

# %% [markdown]
# That recording is a page of its own: it scrubs and plays without a kernel, and `film.save_html("duel.html")` writes it to one file that fetches nothing.
#
# ## Dark, and lit again
# **Predict:** a ring of eight modes is learned. Now raise both learning rates thirtyfold for 80 steps, then put them back. The data never change. Do modes go dark? Do they return?

# %%
run = Run(Minimax(networks=Networks(width=64)), ring(std=.1), runs=8, batch=128)  # what the lab drives, eight seeds at once
dark = {}
for name, rate, n in (("learned", 1e-3, 300), ("shaken", .03, 80), ("calm", 1e-3, 400)):
    run.game.lr = rate
    dark[name] = [8 - c.captured for c in run.step(steps(n)).coverage(n=500)]
dark

# %%
claim("Too high a rate puts lamps out, and the old rate lights them again", paper="this course", section="ring, std .1",
      ours=interval(dark["calm"]), baseline=interval(dark["shaken"]),
      holds=interval(dark["calm"]).high < interval(dark["shaken"]).low)

# %% [markdown]
# Nothing in the data had changed, and nothing was lost for good: where modes are equal and close, samples pass by every one of them again and again. On rare modes they do not ([1.1](01_minimax.ipynb)).
#
# ## Out of the data, and back
# Now leave the rates alone and change the *data*. `without` names modes that nobody is shown from here on; the lamps go on counting them. In the picture: hold Shift and choose a lamp, while it plays. **Predict:** a ring is learned, then mode 3 is left out for 200 steps. Does $G$ keep what it knows, as you would? And when the mode is back?

# %%
counts: dict[str, list] = {"learned": [], "left out": [], "back": []}
for seed in range(8):
    lab = Lab(Minimax(networks=Networks(width=64)), ring(std=.1), batch=128, samples=500, seed=seed).step(steps(300))
    for name, gone in (("learned", None), ("left out", [3]), ("back", [])):
        if gone is not None:
            lab.set("without", gone).step(steps(200))
        counts[name].append(int(measure_side(lab.sides["A"], 500).counts[3]))
counts

# %%
film = lab.recording(7)
film

# %%
claim("A generator lets go of a mode that leaves the data, and takes it up again when it is back", paper="this course",
      section="good samples of one mode of 8, of 500 samples; ring, std .1", ours=interval(counts["left out"]),
      baseline=interval(counts["learned"]),
      holds=interval(counts["left out"]).high < min(interval(counts["learned"]).low, interval(counts["back"]).low) / 2)

# %% [markdown]
# After two hundred steps it has forgotten all but a handful: $G$ is continuous, so some samples are always on the way from mode 2 to mode 4, and now they cut the corner. From there the way back is short. A generator remembers nothing but what its opponent speaks of now.
#
# ## Your record, please
# A mission can be called like any grader's check, and `exercise` tries it on records that must pass and on records that must not, before it grades yours.
#
# **1.** *Put three lit modes out, then bring them back.* Hand in `lab.recording()`.

# %%
def tiny(**kw):
    return Lab(Minimax(networks=Networks(width=32)), ring(std=.15), batch=64, samples=100, **kw)

def shake(back: bool = True):
    "One way to do it, in code."
    lab = tiny().step(steps(100, 100)).set("lr", .03).step(64)
    return lab.set("lr", 1e-3).step(160).recording(8) if back else lab.recording(8)

# %%
grade_return = exercise(accepts=[shake()], rejects=[tiny().step(160).recording(4), shake(back=False), None])(bring_back)
bring_back.seen(shake(back=False)), bring_back.seen(tiny().step(160).recording(4))

# %%
answer = ...
grade_return(answer)

# %% [markdown]
# **2.** *A doctor's mission.* `ward()` is a lab of two patients: show it, play, and cure $B$.

# %%
def ward() -> Lab:
    sick = {"name": "minimax", "width": 32, "lr": .05}
    return Lab(sick, ring(std=.15), sick, batch=64, samples=100, missions=[cure])

cured = ward().step(48).set("lr", 1e-3, "B").step(400).recording(8)

# %%
grade_cure = exercise(accepts=[cured], rejects=[ward().step(64).recording(4), ward().set("lr", 1e-3, "B").step(64).recording(4),
                                                ward().step(48).set("lr", 1e-3).step(400).recording(4)])(cure)

# %%
answer = ...
grade_cure(answer)

# %% [markdown]
# ## Beside GAN Lab
# GAN Lab is what most courses embed, and it set the standard: its inventory, row by row, and what it has no row for.
#
# | | GAN Lab | here |
# |---|---|---|
# | data | 4 presets, draw with the mouse | every registered set, presets, draw with pointer, touch or keys, or pass points from Python |
# | noise | 1-D or 2-D, uniform or normal | any length; the law that the game draws from |
# | pre-trained models | yes | a share string walks to the same state; a recording needs no walk |
# | play, pause, reset | yes | yes |
# | slow motion with numbered stages | 5 for D, 5 for G, fixed texts | one for each use of a player, traced in the game's own loss, with its numbers |
# | step G only, D only, both | yes | yes, E too where there is one, and n steps at once |
# | iteration counter | yes, called epoch | yes, called step |
# | model graph with thumbnails, flow of data animated | yes | **no**; the stages of slow motion name who passes what to whom |
# | hover over G to see the grid warp | yes | **no**; the latent grid is a layer |
# | real and generated points | dots of two colours | discs and crosses, apart in shape too; what lies outside is counted, not painted on the rim |
# | D as a heatmap | 30 × 30, its probability | 64 × 64: score, belief or slope; blue where it takes a point for real |
# | warped latent grid | 20 × 20, shaded by density | 15 × 15, drawn bolder where dense; levels are quantiles of the noise |
# | arrows | slope of D's probability | minus the slope of the loss that G descends, whatever the game |
# | coordinates under the mouse | yes | **no** |
# | captions in matching colours | yes | the list of layers is the legend |
# | loss curves | yes | yes |
# | KL and JS on a grid | yes; see the first section | **no**; modes captured, high quality, TV and KL by modes, each beside what perfection and noise score |
# | layers and neurons live | yes | width and depth live where the game has them; other networks in code |
# | updates per step | 0 to 10 each | any order of turns |
# | optimiser | SGD or Adam | **Adam only**; rates by player, any value |
# | losses | log, least squares | every registered game; **no least squares** |
# | save button | hidden | share string, recording, one HTML file |
# | seed, timeline, rewind | no | yes |
# | which modes are lit, now and along the timeline | no | yes |
# | take a mode out of the data while it plays, and put it back | no | yes |
# | why a mode is dark | no | ask its lamp |
# | two games on the same data and noise | no | yes |
# | encoder and joint plane | no | yes |
# | pictures and their modes | no | tiles with the judge's verdict |
# | batch size, penalty weight | no | yes |
# | missions with graders | no | yes |
# | keyboard, screen reader, touch, narrow screens, dark page | no | yes |
# | article, video | yes | the course |
#
# ## In your own code
# Your networks and your law go in as they go into `Run`.

# %%
from torch import nn

def my_G():
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))

mine = Lab(Minimax(G=my_G, networks=Networks(width=16)), mixture([[0., 0.], [1., 0.]], .1), batch=32, samples=50).step(20)
mine.scrub(7)

# %% [markdown]
# ## What it costs
# Frames shown, bytes a frame, the speed that training keeps while it is watched, and how soon a click is answered: `python benchmarks/lab.py` measures them in a real JupyterLab and records them.

# %%
recorded("lab")

# %% [markdown]
# ## Recap
# - A chart of a divergence on a grid hardly notices half of the data missing; lamps do.
# - State is a function of configuration, events and step. Rewind, compare, share and record all follow from that.
# - An arrow is worth drawing if it is the slope of the loss that is descended.
# - Looking must not touch: streams, buffers and gradients come out as they went in.
#
# **For later.** Why must a step of "G only" be written into the record? What is wrong with arrows that show the slope of a probability? Which settings need a new start, and how does the lab know?
#
# **References.** M. Kahng, N. Thorat, D. H. Chau, F. Viégas, M. Wattenberg, *GAN Lab: Understanding complex deep generative models using interactive visual experimentation*, IEEE VIS 2018.
