# %% [markdown]
# # modelab
# > Is my generator losing modes, why, and what do I do about it?

# %% [markdown]
# A course you run and a library you install. Parts 1 to 5 show failures of GANs, measure them, try remedies, and measure what these cost. The code in the chapters is the library.
#
# **Start with [How to read this course](0_start/02_evidence.ipynb).** Then in order, or by the question that brought you here:
#
# <!-- questions -->
# | your question | chapter |
# |---|---|
# | Two generators, two screenshots. Which of them lost most of the data, and how would you know? | [0.2 How to read this course](0_start/02_evidence.ipynb) |
# | How many modes does my data have, and how would I know that one is missing? | [0.3 Data whose modes are known](0_start/03_modes.ipynb) |
# | How many modes did my generator keep, and what would chance or perfection have scored? | [0.4 What did it cover?](0_start/04_coverage.ipynb) |
# | How do we train eight generators in little more time than three take one by one? | [0.5 Networks with a run axis](0_start/05_networks.ipynb) |
# | Why does a GAN lose modes, when the optimum of its game has none missing? | [1.1 The minimax game](1_game/01_minimax.ipynb) |
# | How do we train any game, over eight seeds, so that every number can be had again, bit for bit? | [1.2 Training: eight seeds, one state](1_game/02_training.ipynb) |
# | Why does a generator lose a mode, and can I watch it happen, go back, and do it differently? | [1.3 The lab](1_game/03_lab.ipynb) |
# | What can a generator learn where a perfect discriminator has nothing left to say? | [1.4 Critics](1_game/04_wasserstein.ipynb) |
# | If a generator loses modes of the data, what does a network lose that runs the other way, from the data to the latent? | [2.1 The inverted generator](2_inverse/01_encoder.ipynb) |
# | If two maps, there and back, are to undo each other, who makes them, and does the data lose modes on the way? | [2.2 The joint game](2_inverse/02_bigan.ipynb) |
# | The encoder gives every mode a place in latent space. Why does the generator not follow, and what would make it? | [2.3 A direction for the discriminator](2_inverse/03_pairwise.ipynb) |
# | If samples go where real points are, modes get lost. What if every real point fetches a sample instead? | [3.1 IMLE: every real point asks for its nearest sample](3_inclusion/01_imle.ipynb) |
# | A GAN is sharp and forgets. IMLE forgets nobody and is blurred. Can one generator serve both, and can I say whom it must not forget? | [3.2 The inclusive GAN](3_inclusion/02_imle_gan.ipynb) |
# | Are my samples real enough, and do they reach all of the data, where nobody labelled the modes? | [4.1 Precision and recall](4_evidence/01_precision_recall.ipynb) |
# | Does this generator model its distribution, or does it fool us? | [4.2 The audit](4_evidence/02_audit.ipynb) |
# | A critic separates real from generated perfectly. Why does its slope still not say where the real data are? | [5.1 Lipschitz GANs](5_icml2019/01_lipschitz.ipynb) |
# | The critic's slope is measured with a ruler that knows no neighbours. What changes with one that does? | [5.2 The ground under the pixels](5_icml2019/02_ground_metric.ipynb) |
# | My latents have no meaning: turn one of them and anything may happen. Can I say *before* training what one of them shall do? | [5.3 Currents: data with a direction](5_icml2019/03_currents.ipynb) |
# | Somebody hands me an example and asks how likely my generator finds it. What may I answer, in nats? | [5.4 How likely is this example?](5_icml2019/04_likelihood.ipynb) |
# | I walk from one latent to another and look at what lies between. Am I still looking at my model? | [5.5 The prior and its middle](5_icml2019/05_priors.ipynb) |
# | I have photographs and drawings, never of the same things. Can I train maps between the two that match what belongs together, and how would I notice that they do not? | [5.6 The same thing, seen twice](5_icml2019/06_joint.ipynb) |
# | Every detail of my samples is right, and the details do not belong together. Why does nobody in the game notice? And once they do belong together, is all well? | [5.7 Two lamps: attention, and what agreement is worth](5_icml2019/07_attention.ipynb) |
# | My generator should draw what I ask for, and one example in twenty has a label. What do I do with the other nineteen? | [5.8 Few labels](5_icml2019/08_few_labels.ipynb) |
# | Cells of my table are missing. May a GAN fill them in, and how would I know that it did it well? | [5.9 Holes in a table](5_icml2019/09_tabular.ipynb) |
# | How do the functions of the library refuse bad input? | [6.1 Argument checks](6_workshop/01_checks.ipynb) |
# | How does the library find games, mode sets and commands by name? | [6.2 The registry](6_workshop/02_registry.ipynb) |
# | How does the library write a file so that a crash loses nothing? | [6.3 Files and locks](6_workshop/03_files.ipynb) |
# | How are the figures of the course drawn? | [6.4 Figures and films](6_workshop/04_plotting.ipynb) |
# | How are samples read from files, in little memory and without running what is in them? | [6.5 Readers](6_workshop/05_readers.ipynb) |
# | How is the nearest neighbour found exactly, fast and in little memory? | [6.6 Nearest neighbours](6_workshop/06_neighbours.ipynb) |
# | How are players moved, seeds drawn, and runs saved and resumed? | [6.7 The training engine](6_workshop/07_engine.ipynb) |
# | How does the lab record a training run, go back to a step and replay it? | [6.8 The lab's session](6_workshop/08_session.ipynb) |
# | How does a picture of a training run reach a page 25 times a second without slowing the training down? | [6.9 How the lab is drawn](6_workshop/09_view.ipynb) |
# | How can a button answer at once while a network trains in the same process? | [6.10 The lab's controls](6_workshop/10_panel.ipynb) |
# | How do you measure whether a generator of pictures forgot something rare? | [6.11 Pictures whose rare things are known](6_workshop/11_pictures.ipynb) |
# | Are the modes that my generator misses in my data at all? | [6.12 Downloads](6_workshop/12_download.ipynb) |
# | My machine may die, and I have more than one: how do I lose nothing, and change nothing? | [6.13 One run, many processes](6_workshop/13_distributed.ipynb) |
# | Which method covers which set, at which cost, and would I believe the table? | [6.14 The leaderboard](6_workshop/14_leaderboard.ipynb) |
# | How do I train, measure and sample from a shell? | [6.15 The command line](6_workshop/15_commands.ipynb) |
# <!-- /questions -->
#
# Run a cell with Shift+Enter. Where a chapter says *Predict*, write a number down first.

# %% [markdown]
# ## Is everything here?
# Each module of the package can be imported.

# %%
import importlib
import modelab
from modelab import _index
{name: importlib.import_module(f"modelab.{name}").__doc__ for name in sorted(_index.MODULES)}

# %%
from modelab.core.registry import registered
{"games": sorted(registered("game")), "mode sets": sorted(registered("modes"))}
