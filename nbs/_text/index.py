# %% [markdown]
# # modelab
# > Is my generator losing modes, why, and what do I do about it?

# %% [markdown]
# A course you run and a library you install. Parts 1 to 5 show failures of GANs, measure them, try remedies, and measure what these cost. The code in the chapters is the library.
#
# **Start with [0.1 Your first GAN, and mode collapse](0_start/01_first_gan.ipynb).** Then in order, or by the question that brought you here. The [glossary](glossary.ipynb) explains the words.
#
# <!-- questions -->
# | your question | chapter |
# |---|---|
# | What is a GAN, how do I train one in PyTorch, and how do I see that it lost a part of the data? | [0.1 Your first GAN, and mode collapse](0_start/01_first_gan.ipynb) |
# | Two generators, two pictures of their samples. Which generator lost most of the modes, and how can I know? | [0.2 How to read this course](0_start/02_evidence.ipynb) |
# | How many modes does my data have, and how can I know that one is missing? | [0.3 Data sets whose modes are known](0_start/03_modes.ipynb) |
# | How many modes does my generator capture, and what do a perfect generator and noise score? | [0.4 Mode coverage: captured modes, high quality, KL](0_start/04_coverage.ipynb) |
# | How can I train eight networks with eight seeds at once, so that no run influences another? | [0.5 Networks with a run axis: train several seeds at once](0_start/05_networks.ipynb) |
# | Why does a GAN lose modes, although no mode is missing at the optimum of its loss? | [1.1 The original GAN (minimax), and why it loses modes](1_game/01_minimax.ipynb) |
# | How can I train any GAN with eight seeds at once, so that every number can be reproduced bit for bit? | [1.2 Training GANs reproducibly: runs, seeds, checkpoints](1_game/02_training.ipynb) |
# | How can I watch a GAN lose a mode, go back to an earlier step, and change its training? | [1.3 The lab: watch, change, rewind and compare GANs](1_game/03_lab.ipynb) |
# | How can a generator get a useful gradient when the discriminator is nearly perfect? | [1.4 Wasserstein GANs: WGAN, WGAN-GP, and the R1 penalty](1_game/04_wasserstein.ipynb) |
# | What does a discriminator learn if it compares each generated example with a real one? | [1.5 The relativistic GAN and R3GAN: paired logits with R1 and R2](1_game/05_relativistic.ipynb) |
# | Do packing, unrolling, a mode-seeking term or minibatch deviation bring back the modes that a GAN loses? | [1.6 Against mode collapse: PacGAN, unrolled GAN, mode seeking, minibatch deviation](1_game/06_mode_seeking.ipynb) |
# | If a mixture model or a flow covers my data for less, why should I train a GAN? | [1.7 Why a GAN at all? A Gaussian mixture, kernel density, a VAE and flow matching on the same sets](1_game/07_not_a_gan.ipynb) |
# | If a generator loses modes of the data, what does a network lose that runs the other way, from the data to the latent? | [2.1 An adversarial encoder: matching codes to a prior](2_inverse/01_encoder.ipynb) |
# | How do a generator and an encoder become inverse to each other, and does the generator still lose modes? | [2.2 BiGAN: a generator and an encoder trained by one discriminator](2_inverse/02_bigan.ipynb) |
# | The encoder gives every mode a place in latent space. Why does the generator still miss modes, and which penalty changes that? | [2.3 The pair-wise gradient penalty for BiGAN](2_inverse/03_pairwise.ipynb) |
# | On one ring the pair-wise penalty brings back every mode that BiGAN misses. Does it do so on other data, and does it beat WGAN-GP and a tuned R1? | [2.4 Does the pair-wise penalty stop mode collapse? Six sets, an empty street, digits](2_inverse/04_pairwise_sets.ipynb) |
# | A GAN moves samples towards real points and loses modes. What if each real point pulls its nearest sample instead? | [3.1 Implicit maximum likelihood estimation (IMLE)](3_inclusion/01_imle.ipynb) |
# | A GAN's samples are sharp but miss modes; IMLE's cover the modes but are blurred. Can one generator do both, and can I choose modes that it must cover? | [3.2 The inclusive GAN (IMLE-GAN): covering modes and minorities](3_inclusion/02_imle_gan.ipynb) |
# | StyleGAN's pictures are often shown truncated. What does each part of its generator do, and which real pictures can a truncated generator no longer make? | [3.3 StyleGAN2: the style generator](3_inclusion/03_style.ipynb) |
# | What does growing a GAN from small pictures to large ones change, and does it lose fewer modes? | [3.4 Progressive growing: from small pictures to large ones](3_inclusion/04_growing.ipynb) |
# | Are my samples real enough, and do they reach all of the data, where nobody labelled the modes? | [4.1 Precision and recall](4_evidence/01_precision_recall.ipynb) |
# | Do my samples show mode collapse, junk or copied training data, and how sure is that? | [4.2 Audit samples for mode collapse and copying](4_evidence/02_audit.ipynb) |
# | Which kind of real example does my generator hardly ever make, where nobody labelled the kinds? | [4.3 Find missing modes without labels](4_evidence/03_missing.ipynb) |
# | Does this generator copy its training examples, perhaps moved, mirrored or dimmed, or does it only stay close to them? | [4.4 Detect copied training data](4_evidence/04_copying.ipynb) |
# | Is generator A better than generator B, and how sure is that? | [4.5 Compare two generators](4_evidence/05_compare.ipynb) |
# | Training runs for days. How do I learn of a collapse within a few looks at the samples, with few false alarms? | [4.6 Monitor mode collapse during training](4_evidence/06_monitor.ipynb) |
# | My GAN makes only ones, ignores z, copies its training set, or loses modes if G is updated twice. Is this general, and what helps? | [4.7 Questions people ask about mode collapse](4_evidence/07_questions.ipynb) |
# | A critic separates real from generated perfectly. Why does its gradient still not point to the real data? | [5.1 Lipschitz GANs](5_icml2019/01_lipschitz.ipynb) |
# | Gradient penalties measure the critic's gradient in Euclidean distance, which ignores which pixels are neighbours. What changes with optimal transport between pixels? | [5.2 Wasserstein of Wasserstein GAN (WWGAN): transport between pixels](5_icml2019/02_ground_metric.ipynb) |
# | The latents of a GAN have no meaning. Can I say *before* training what one of them changes? | [5.3 FlatGAN: a latent that follows a given direction](5_icml2019/03_currents.ipynb) |
# | A generator only makes samples. How likely does it find a given example, in nats? | [5.4 Entropic GANs: how likely is this example?](5_icml2019/04_likelihood.ipynb) |
# | I interpolate between two latents and look at the samples in between. Are they still samples of my model? | [5.5 Interpolation between latents, and non-parametric priors](5_icml2019/05_priors.ipynb) |
# | I have photographs and drawings, never of the same things. Can I train maps between the two that match what belongs together, and how can I measure it? | [5.6 Matching unpaired domains (MMI-ALI)](5_icml2019/06_joint.ipynb) |
# | Every detail of my samples is right, but the details do not fit together. Why does the critic not detect it? And if they fit together, are the samples good? | [5.7 Self-attention and spectral normalisation](5_icml2019/07_attention.ipynb) |
# | My generator should draw the class that I ask for, and one example in twenty has a label. How do I use the other nineteen? | [5.8 Class-conditional GANs with few labels (S³GAN)](5_icml2019/08_few_labels.ipynb) |
# | Cells and labels of my table are missing, and one class is rare. Can a GAN fill them in, and how do I measure how well it does? | [5.9 Missing values and labels in a table (HexaGAN)](5_icml2019/09_tabular.ipynb) |
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
# | How can picture sets be drawn for which it is known, without a classifier, what each picture shows? | [6.11 Drawn picture sets with known rare attributes](6_workshop/11_pictures.ipynb) |
# | How is a data set downloaded bit for bit, and which modes are lost if a download breaks off? | [6.12 Downloads](6_workshop/12_download.ipynb) |
# | How do I resume a run after a crash and train on several machines, without changing the result? | [6.13 Checkpoints and training on many processes](6_workshop/13_distributed.ipynb) |
# | Which method covers which set, at which cost, and how certain are the differences? | [6.14 The leaderboard](6_workshop/14_leaderboard.ipynb) |
# | How do I train, measure and sample from a shell? | [6.15 The command line](6_workshop/15_commands.ipynb) |
# | Which network reads my pictures, with which weights, and at which size? | [6.16 Feature networks](6_workshop/16_feature_networks.ipynb) |
# | How does an audit reach a person, a script and a CI job? | [6.17 The report and the command of the audit](6_workshop/17_report.ipynb) |
# | What must a loss, a penalty or a game know about a network that I wrote? | [6.18 Your own networks in losses, penalties and games](6_workshop/18_own_networks.ipynb) |
# | How does a chapter record a result, replay a long experiment, and grade an answer? | [6.19 Claims, records and graders: the tools of the chapters](6_workshop/19_course_tools.ipynb) |
# | How are data sets drawn at random, and how does a training not depend on the size of its data? | [6.20 A family of random mixtures, and the unit of the data](6_workshop/20_random_sets.ipynb) |
# | How does a set of pictures know its modes, and why does the same data give the same classifier? | [6.21 Digits as a mode set, and the classifier that reads them](6_workshop/21_digits.ipynb) |
# | How are floor, ceiling and null computed without samples, and where do the intervals of coverage come from? | [6.22 How coverage is computed: reference laws, scores, intervals and tables](6_workshop/22_counting.ipynb) |
# | What does the training engine ask of a method, and how does a turn draw its data and noise? | [6.23 Games, turns and optimisers](6_workshop/23_games.ipynb) |
# | How does a table with texts, whole numbers and gaps become a tensor and come back, and how does a training become an estimator of scikit-learn? | [6.24 Tables with texts and gaps, and an estimator of scikit-learn](6_workshop/24_tables.ipynb) |
# <!-- /questions -->
#
# Run a cell with Shift+Enter. Where a chapter says *Predict*, write a number down first.

# %% [markdown]
# ## Your progress
# Graders note each right answer in the folder of a learner. Run the cell to see which exercises are open.

# %%
from modelab.course.progress import progress_here
print(progress_here())

# %% [markdown]
# ## Is everything here?
# Each module of the package can be imported.

# %%
import importlib
from modelab import _index
{name: importlib.import_module(f"modelab.{name}").__doc__ for name in sorted(_index.MODULES)}

# %%
from modelab.core.registry import registered
{"games": sorted(registered("game")), "mode sets": sorted(registered("modes"))}
