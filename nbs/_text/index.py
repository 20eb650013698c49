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
# | How do we train eight generators at once, in the time that about four plain loops take? | [0.5 Networks with a run axis](0_start/05_networks.ipynb) |
# | Why does a GAN lose modes, when the optimum of its game has none missing? | [1.1 The minimax game](1_game/01_minimax.ipynb) |
# | How do we train any game, over eight seeds, so that every number can be had again, bit for bit? | [1.2 Training: eight seeds, one state](1_game/02_training.ipynb) |
# | Why does a generator lose a mode, and can I watch it happen, go back, and do it differently? | [1.3 The lab](1_game/03_lab.ipynb) |
# | What can a generator learn where a perfect discriminator has nothing left to say? | [1.4 Critics](1_game/04_wasserstein.ipynb) |
# | If a generator loses modes of the data, what does a network lose that runs the other way, from the data to the latent? | [2.1 The inverted generator](2_inverse/01_encoder.ipynb) |
# | If two maps, there and back, are to undo each other, who makes them, and does the data lose modes on the way? | [2.2 The joint game](2_inverse/02_bigan.ipynb) |
# | The encoder gives every mode a place in latent space. Why does the generator still miss modes, and which penalty changes that? | [2.3 A direction for the discriminator](2_inverse/03_pairwise.ipynb) |
# | A GAN moves samples towards real points and loses modes. What if each real point pulls its nearest sample instead? | [3.1 IMLE: every real point asks for its nearest sample](3_inclusion/01_imle.ipynb) |
# | A GAN's samples are sharp but miss modes; IMLE's cover the modes but are blurred. Can one generator do both, and can I choose modes that it must cover? | [3.2 The inclusive GAN](3_inclusion/02_imle_gan.ipynb) |
# | What does StyleGAN change, and does it lose fewer modes? | [3.3 The style generator](3_inclusion/03_style.ipynb) |
# | What does growing a GAN from small pictures to large ones change, and does it lose fewer modes? | [3.4 Growing a GAN from small pictures to large ones](3_inclusion/04_growing.ipynb) |
# | Are my samples real enough, and do they reach all of the data, where nobody labelled the modes? | [4.1 Precision and recall](4_evidence/01_precision_recall.ipynb) |
# | Does this generator model its distribution, or does it fool us? | [4.2 The audit](4_evidence/02_audit.ipynb) |
# | Which kind of real example does my generator hardly ever make, where nobody labelled the kinds? | [4.3 What is missing](4_evidence/03_missing.ipynb) |
# | Does this generator copy its training examples, perhaps moved, mirrored or dimmed, or does it only stay close to them? | [4.4 Copying](4_evidence/04_copying.ipynb) |
# | Is generator A better than generator B, and how sure is that? | [4.5 Is A better than B](4_evidence/05_compare.ipynb) |
# | Training runs for days. How do I hear of a collapse within a few looks, and not by chance? | [4.6 In a training loop](4_evidence/06_monitor.ipynb) |
# | My GAN ends as ones, ignores z, copies its training set, or loses modes when G moves twice. Is that so in general, and what helps? | [4.7 Questions people ask](4_evidence/07_questions.ipynb) |
# | A critic separates real from generated perfectly. Why does its gradient still not point to the real data? | [5.1 Lipschitz GANs](5_icml2019/01_lipschitz.ipynb) |
# | The critic's gradient is measured in Euclidean distance. What changes with a distance that knows which pixels are neighbours? | [5.2 The ground under the pixels](5_icml2019/02_ground_metric.ipynb) |
# | The latents of a GAN have no meaning. Can I say *before* training what one of them changes? | [5.3 Currents: data with a direction](5_icml2019/03_currents.ipynb) |
# | Somebody hands me an example and asks how likely my generator finds it. What may I answer, in nats? | [5.4 How likely is this example?](5_icml2019/04_likelihood.ipynb) |
# | I interpolate between two latents and look at the samples in between. Are they still samples of my model? | [5.5 The prior and its middle](5_icml2019/05_priors.ipynb) |
# | I have photographs and drawings, never of the same things. Can I train maps between the two that match what belongs together, and how can I measure it? | [5.6 The same thing, seen twice](5_icml2019/06_joint.ipynb) |
# | Every detail of my samples is right, but the details do not fit together. Why does the critic not detect it? And if they fit together, are the samples good? | [5.7 Self-attention and spectral normalisation](5_icml2019/07_attention.ipynb) |
# | My generator should draw the class that I ask for, and one example in twenty has a label. How do I use the other nineteen? | [5.8 Few labels](5_icml2019/08_few_labels.ipynb) |
# | Cells of my table are missing. Can a GAN fill them in, and how do I measure how well it does? | [5.9 Holes in a table](5_icml2019/09_tabular.ipynb) |
# | How do the functions of the library refuse bad input? | [6.1 Argument checks](6_workshop/01_checks.ipynb) |
# | How does the library find games, mode sets and commands by name? | [6.2 The registry](6_workshop/02_registry.ipynb) |
# | How does the library write a file so that a crash loses nothing? | [6.3 Files and locks](6_workshop/03_files.ipynb) |
# | How are the figures of the course drawn? | [6.4 Figures and films](6_workshop/04_plotting.ipynb) |
# | How are samples read from files, in little memory and without running what is in them? | [6.5 Readers](6_workshop/05_readers.ipynb) |
# | How is the nearest neighbour found exactly, fast and in little memory? | [6.6 Nearest neighbours](6_workshop/06_neighbours.ipynb) |
# | How are players moved, seeds drawn, and runs saved and resumed? | [6.7 The training engine](6_workshop/07_engine.ipynb) |
# | How does the lab record a training run, go back to a step and replay it? | [6.8 The lab's session](6_workshop/08_session.ipynb) |
# | How is a training run drawn in a page about 20 times a second, and how much training speed does it cost? | [6.9 How the lab is drawn](6_workshop/09_view.ipynb) |
# | How can a button answer at once while a network trains in the same process? | [6.10 The lab's controls](6_workshop/10_panel.ipynb) |
# | How do you measure whether a generator of pictures leaves out something rare? | [6.11 Pictures whose rare things are known](6_workshop/11_pictures.ipynb) |
# | How is a data set downloaded bit for bit, and which modes are lost if a download breaks off? | [6.12 Downloads](6_workshop/12_download.ipynb) |
# | How do I resume a run after a crash and train on several machines, without changing the result? | [6.13 One run, many processes](6_workshop/13_distributed.ipynb) |
# | Which method covers which set, at which cost, and how certain are the differences? | [6.14 The leaderboard](6_workshop/14_leaderboard.ipynb) |
# | How do I train, measure and sample from a shell? | [6.15 The command line](6_workshop/15_commands.ipynb) |
# | Which network reads my pictures, with which weights, and at which size? | [6.16 Feature networks](6_workshop/16_feature_networks.ipynb) |
# | How does an audit reach a person, a script and a CI job? | [6.17 The report and the command of the audit](6_workshop/17_report.ipynb) |
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
