# %% [markdown]
# # modelab
# > Is my generator losing modes, why, and what do I do about it?

# %% [markdown]
# A course you run and a library you install. Every chapter causes a failure, measures it, cures it, and says what the cure costs; the code you read is the code you import.
#
# **Start with [How to read this course](0_start/02_evidence.ipynb).** Then in order, or by the question that brought you here:
#
# | your question | chapter |
# |---|---|
# | How is one supposed to read these notebooks? | [0.2 The rules of the house](0_start/02_evidence.ipynb) |
# | Where do I get data whose modes I know? | [0.3 Modes](0_start/03_modes.ipynb) |
# | My samples look fine. How many modes are missing? | [0.4 Coverage](0_start/04_coverage.ipynb) |
# | How do I train eight seeds for the price of a few? | [0.5 Networks](0_start/05_networks.ipynb) |
# | Why does a GAN lose modes at all? | [1.1 The minimax game](1_game/01_minimax.ipynb) |
# | How do I get the same numbers tomorrow? | [1.2 The engine](1_game/02_training.ipynb) |
# | May I stop it, go back and change something? | [1.3 The lab](1_game/03_lab.ipynb) |
# | What can G learn where a perfect D has nothing left to say? | [1.4 Critics](1_game/04_wasserstein.ipynb) |
# | What does a network lose that runs the other way? | [2.1 The inverted generator](2_inverse/01_encoder.ipynb) |
# | Two maps, there and back: does the data lose modes on the way? | [2.2 The joint game](2_inverse/02_bigan.ipynb) |
# | E has kept the mode. How do I tell G? | [2.3 A direction for the discriminator](2_inverse/03_pairwise.ipynb) |
# | For each real point, is anything of mine near it? | [3.1 IMLE](3_inclusion/01_imle.ipynb) |
# | How do I get the sharpness of a GAN without losing the rare ones? | [3.2 The inclusive GAN](3_inclusion/02_imle_gan.ipynb) |
# | Which of precision, recall, density and coverage can I trust? | [4.1 Precision and recall](4_evidence/01_precision_recall.ipynb) |
# | Is this collapse? Is it copying? | [4.2 The audit](4_evidence/02_audit.ipynb) |
# | Does the critic's slope point at the data? (ICML 2019) | [5.1 Lipschitz GANs](5_icml2019/01_lipschitz.ipynb) |
# | What if a moved digit is a near digit? (ICML 2019) | [5.2 The ground metric](5_icml2019/02_ground_metric.ipynb) |
# | Can I say beforehand what one of my latents shall do? (ICML 2019) | [5.3 Currents](5_icml2019/03_currents.ipynb) |
# | How likely does my generator find this example? (ICML 2019) | [5.4 How likely is this example?](5_icml2019/04_likelihood.ipynb) |
# | I walk from one latent to another. Is that still my model? (ICML 2019) | [5.5 The prior and its middle](5_icml2019/05_priors.ipynb) |
# | Photographs here, drawings there, no pairs: are the right ones matched? (ICML 2019) | [5.6 The same thing, seen twice](5_icml2019/06_joint.ipynb) |
# | Every detail is right, and nothing belongs together. Who notices? (ICML 2019) | [5.7 Two lamps](5_icml2019/07_attention.ipynb) |
# | One example in twenty has a label. What about the others? (ICML 2019) | [5.8 Few labels](5_icml2019/08_few_labels.ipynb) |
# | Cells of my table are missing. May a GAN fill them in? (ICML 2019) | [5.9 Holes in a table](5_icml2019/09_tabular.ipynb) |
# | How is the lab built? | [6.9 How it shows itself](6_workshop/09_view.ipynb), [6.10 Its controls](6_workshop/10_panel.ipynb) |
# | Where do streets and faces with rare attributes come from? | [6.11 Pictures whose rare things are known](6_workshop/11_pictures.ipynb) |
# | Did the file arrive whole? | [6.12 Data over a wire](6_workshop/12_download.ipynb) |
# | My machine may die, and I have more than one. What is lost? | [6.13 One run, many processes](6_workshop/13_distributed.ipynb) |
# | Which method, on which set, at which price? | [6.14 The leaderboard](6_workshop/14_leaderboard.ipynb) |
#
# Run a cell with Shift+Enter. Where a chapter says *Predict*, write a number down first.

# %% [markdown]
# ## Is everything here?
# Every chapter is on disk, and each module of the package can be imported.

# %%
import importlib
import modelab
from modelab import _index
{name: importlib.import_module(f"modelab.{name}").__doc__ for name in sorted(_index.MODULES)}

# %%
from modelab.core.registry import registered
{"games": sorted(registered("game")), "mode sets": sorted(registered("modes"))}
