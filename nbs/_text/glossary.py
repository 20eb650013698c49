# %% [markdown]
# # Glossary
# > What do the words of this course mean, and which chapter explains each of them?

# %% [markdown]
# One sentence for each word. The chapter in the last column explains it. [Chapter 0.1](0_start/01_first_gan.ipynb) has a list of the twelve that you need first.
#
# | term | meaning | chapter |
# |---|---|---|
# | audit | The test of whether a set of samples comes from the data distribution, what it lacks and what it copies. | [4.2](4_evidence/02_audit.ipynb) |
# | AUROC | The area under the ROC curve: the share of pairs of one example of each kind that a score puts in the right order. | [5.4](5_icml2019/04_likelihood.ipynb) |
# | authenticity | The share of samples that are farther from their nearest training example than that example is from other training examples. | [4.2](4_evidence/02_audit.ipynb) |
# | bandwidth | The width of the kernels of a kernel density. | [1.7](1_game/07_not_a_gan.ipynb) |
# | baseline | The method that a result is compared with, tuned with the same effort. | [0.2](0_start/02_evidence.ipynb) |
# | batch | The examples that are used together in one training step. | [0.5](0_start/05_networks.ipynb) |
# | BIC | A score of a fitted density, with a price for each free number, by which the number of components of a mixture is chosen. | [1.7](1_game/07_not_a_gan.ipynb) |
# | BiGAN | A GAN with an encoder, whose discriminator sees pairs of an example and a latent. | [2.2](2_inverse/02_bigan.ipynb) |
# | birthday test | A test that estimates from near duplicates among samples how many different samples a generator can make. | [4.2](4_evidence/02_audit.ipynb) |
# | bootstrap | A way to make a confidence interval, by drawing again and again from the measured values. | [0.4](0_start/04_coverage.ipynb) |
# | C_T | A test of whether samples are closer to the training data than held-out real data are. | [4.2](4_evidence/02_audit.ipynb) |
# | captured mode | A mode that at least one good sample of the generator belongs to. | [0.1](0_start/01_first_gan.ipynb) |
# | ceiling | The value of a measure for a perfect generator with infinitely many samples. | [0.4](0_start/04_coverage.ipynb) |
# | checkpoint | A file with the whole state of a run, from which the run goes on with the same bits. | [1.2](1_game/02_training.ipynb) |
# | claim | A sentence about a measurement that could be false, stored with its numbers and a verdict. | [0.2](0_start/02_evidence.ipynb) |
# | class accuracy | The share of samples in which a classifier finds the class that was asked for. | [5.8](5_icml2019/08_few_labels.ipynb) |
# | co-training | The training of a classifier together with a GAN, so that each uses the output of the other. | [5.8](5_icml2019/08_few_labels.ipynb) |
# | confidence interval | A range that covers the true value in a stated share of repetitions, such as 95 %. | [0.2](0_start/02_evidence.ipynb) |
# | convolution | A layer that applies the same small filter at every place of a picture. | [0.5](0_start/05_networks.ipynb) |
# | copying | The failure in which a generator repeats training examples, exactly or changed a little. | [4.4](4_evidence/04_copying.ipynb) |
# | coverage | What samples reach of the data, as a count of captured modes or, without labels, as a share of real examples. | [0.4](0_start/04_coverage.ipynb) |
# | critic | A network that gives each example a number without a limit, which is not read as a probability. | [1.4](1_game/04_wasserstein.ipynb) |
# | current | A mathematical object that pairs points with directions, as a distribution pairs points with mass. | [5.3](5_icml2019/03_currents.ipynb) |
# | cycle loss | The distance between an example and what comes back after a map to the other domain and back. | [5.6](5_icml2019/06_joint.ipynb) |
# | data distribution | The probability law that the real examples come from. | [0.1](0_start/01_first_gan.ipynb) |
# | density | In precision and recall, the number of real neighbourhoods that contain a sample, divided by the number expected. | [4.1](4_evidence/01_precision_recall.ipynb) |
# | density ratio | The probability density of the data divided by that of the generator, whose logarithm is the best logit. | [1.1](1_game/01_minimax.ipynb) |
# | discriminator | The network D that gives each example a logit, high for real and low for generated. | [0.1](0_start/01_first_gan.ipynb) |
# | domain | One kind of view of the same things, such as photographs or drawings, between which a model translates. | [5.6](5_icml2019/06_joint.ipynb) |
# | ELBO | A lower bound of the log density of an example, which a variational autoencoder maximises. | [1.7](1_game/07_not_a_gan.ipynb) |
# | EM | A way to fit a mixture: examples are divided among the components, and each component is fitted to its share, in turn. | [1.7](1_game/07_not_a_gan.ipynb) |
# | encoder | A network that maps an example to a latent, in the direction opposite to the generator. | [2.1](2_inverse/01_encoder.ipynb) |
# | exchangeable | Said of examples whose order does not matter for their joint distribution. | [4.2](4_evidence/02_audit.ipynb) |
# | experiment | A long training that is recorded once and whose first steps are replayed and compared at each run. | [0.2](0_start/02_evidence.ipynb) |
# | F1 score | The harmonic mean of two shares: the right ones of the rows assigned to a class, and the assigned ones of its rows. | [5.9](5_icml2019/09_tabular.ipynb) |
# | fade | The slow change from a small network to a grown one, by a weighted sum of both outputs. | [3.4](3_inclusion/04_growing.ipynb) |
# | false alarm | A result that reports a fault where there is none. | [4.2](4_evidence/02_audit.ipynb) |
# | fast mode | The mode for tests, in which chapters train few steps and claims get no verdict. | [0.2](0_start/02_evidence.ipynb) |
# | fidelity | A cell in which the code is compared with its equation or with an independent result. | [0.2](0_start/02_evidence.ipynb) |
# | flat norm | A norm of the difference of two currents, in which mass may be moved or removed at a price. | [5.3](5_icml2019/03_currents.ipynb) |
# | floor | The expected value of a measure for a perfect generator with the same number of samples. | [0.4](0_start/04_coverage.ipynb) |
# | flow matching | A method that learns the velocity which moves noise to data along straight paths. | [1.7](1_game/07_not_a_gan.ipynb) |
# | form | A critic of points together with directions, such as a vector field that is multiplied with a direction. | [5.3](5_icml2019/03_currents.ipynb) |
# | Fréchet distance | A distance between two sets of features, computed from their means and covariances. | [4.1](4_evidence/01_precision_recall.ipynb) |
# | game | A training method: its players, the order of their turns, and their losses. | [1.2](1_game/02_training.ipynb) |
# | Gaussian mixture | A density that is a weighted sum of a few normal densities. | [1.7](1_game/07_not_a_gan.ipynb) |
# | generator | The network G that turns a latent into an example. | [0.1](0_start/01_first_gan.ipynb) |
# | good sample | A sample that is close enough to a mode, or that a classifier recognises with confidence. | [0.4](0_start/04_coverage.ipynb) |
# | gradient penalty | A term of the critic's loss that keeps the size of its gradient near a target. | [1.4](1_game/04_wasserstein.ipynb) |
# | ground metric | The distance between single examples that a Wasserstein distance is built on. | [5.2](5_icml2019/02_ground_metric.ipynb) |
# | held-out | Said of real examples that were not used in training. | [4.1](4_evidence/01_precision_recall.ipynb) |
# | high quality | The share of samples that are good. | [0.4](0_start/04_coverage.ipynb) |
# | hinge loss | A loss that is zero once a logit is beyond a margin. | [5.7](5_icml2019/07_attention.ipynb) |
# | IMLE | A method in which each real example pulls its nearest sample towards itself. | [3.1](3_inclusion/01_imle.ipynb) |
# | imputation | Filling in the missing cells of a table. | [5.9](5_icml2019/09_tabular.ipynb) |
# | inclusive GAN | A GAN whose generator is also trained by IMLE, so that every real example has a sample near it. | [3.2](3_inclusion/02_imle_gan.ipynb) |
# | interpolation | The samples on a path between two latents. | [3.2](3_inclusion/02_imle_gan.ipynb) |
# | Jensen–Shannon divergence | A symmetric measure of the difference of two distributions, between 0 and log 2. | [1.1](1_game/01_minimax.ipynb) |
# | joint distribution | The probability law of pairs, such as an example together with its latent. | [2.2](2_inverse/02_bigan.ipynb) |
# | judge | A classifier that predicts the mode of a picture, with a probability. | [0.3](0_start/03_modes.ipynb) |
# | junk | Samples that lie farther from all training data than held-out data do. | [4.2](4_evidence/02_audit.ipynb) |
# | kernel density | A density that is the mean of equal normal densities, one at each training example. | [1.7](1_game/07_not_a_gan.ipynb) |
# | KL divergence | The mean difference of the log densities of two distributions, taken under the first one. | [0.4](0_start/04_coverage.ipynb) |
# | lab | The interactive panel in which a training can be stopped, changed and rewound. | [1.3](1_game/03_lab.ipynb) |
# | latent | The random vector z that a generator gets as its input; it is also called noise. | [0.1](0_start/01_first_gan.ipynb) |
# | learning rate | The factor that sets how far an optimiser moves the weights in one step. | [1.2](1_game/02_training.ipynb) |
# | ledger | The table of all claims of the course, with their measured values and verdicts. | [0.2](0_start/02_evidence.ipynb) |
# | likelihood | The probability density that a model gives to an example. | [5.4](5_icml2019/04_likelihood.ipynb) |
# | Lipschitz | Said of a function whose output changes by at most a constant times the change of its input. | [5.1](5_icml2019/01_lipschitz.ipynb) |
# | logit | A number that stands for a probability, which is the sigmoid of the logit. | [0.1](0_start/01_first_gan.ipynb) |
# | loss | The number that an optimiser makes smaller. | [0.1](0_start/01_first_gan.ipynb) |
# | mapping network | The part of a style generator that turns the latent into a style. | [3.3](3_inclusion/03_style.ipynb) |
# | minibatch deviation | The mean standard deviation of features over a small group of examples, which a discriminator gets besides. | [1.6](1_game/06_mode_seeking.ipynb) |
# | minimax game | A game in which one player makes a value smaller that the other player makes larger. | [1.1](1_game/01_minimax.ipynb) |
# | mission | A task in the lab whose stages are ticked off when the record shows them. | [0.2](0_start/02_evidence.ipynb) |
# | mode | One kind of example in the data, such as a cluster of points or a digit class. | [0.1](0_start/01_first_gan.ipynb) |
# | mode collapse | The failure in which a generator leaves out modes of the data. | [0.1](0_start/01_first_gan.ipynb) |
# | mode seeking | A term of the generator's loss that is large if the samples of different latents are too similar. | [1.6](1_game/06_mode_seeking.ipynb) |
# | mode set | A data set whose modes, and the rule that assigns samples to them, are known. | [0.3](0_start/03_modes.ipynb) |
# | modulation | The scaling of a layer's weights by the style. | [3.3](3_inclusion/03_style.ipynb) |
# | momentum | The weight of older gradients in the running mean that an optimiser steps along. | [0.1](0_start/01_first_gan.ipynb) |
# | monitor | A test that looks at samples again and again during training and keeps its rate of false alarms. | [4.6](4_evidence/06_monitor.ipynb) |
# | mutual information | The amount that knowing one variable tells about another, which is zero if they are independent. | [5.6](5_icml2019/06_joint.ipynb) |
# | nat | The unit of log probabilities with natural logarithms. | [5.4](5_icml2019/04_likelihood.ipynb) |
# | non-saturating loss | The generator's loss that keeps a large gradient where the discriminator is sure of a fake. | [1.1](1_game/01_minimax.ipynb) |
# | null | The value of a measure that chance alone would give. | [0.4](0_start/04_coverage.ipynb) |
# | p-value | The probability of a result at least as extreme if nothing is wrong. | [4.2](4_evidence/02_audit.ipynb) |
# | packing | Giving the discriminator several examples of one kind as one input, as PacGAN does. | [1.6](1_game/06_mode_seeking.ipynb) |
# | pair-wise gradient penalty | A penalty of Sharma and Namboodiri (2018): the logit of a discriminator of pairs should rise from each reconstruction to its real example. | [2.3](2_inverse/03_pairwise.ipynb) |
# | Parzen window | A kernel density whose kernels stand at samples of a generator. | [5.4](5_icml2019/04_likelihood.ipynb) |
# | perceptual | Said of a distance between pictures that is measured in the features of a trained network. | [3.2](3_inclusion/02_imle_gan.ipynb) |
# | player | A network of a game that is trained in its turns. | [0.5](0_start/05_networks.ipynb) |
# | pool | The samples among which IMLE searches the nearest one for each real example. | [3.1](3_inclusion/01_imle.ipynb) |
# | power | The probability that a test finds a fault that is there. | [4.5](4_evidence/05_compare.ipynb) |
# | power iteration | A repeated product with a matrix, which finds its largest singular value. | [5.7](5_icml2019/07_attention.ipynb) |
# | precision | The share of samples that lie in the region of the real data. | [4.1](4_evidence/01_precision_recall.ipynb) |
# | prior | The distribution from which latents are drawn. | [2.1](2_inverse/01_encoder.ipynb) |
# | projection discriminator | A discriminator that takes a label into account by an inner product with the label's embedding. | [5.8](5_icml2019/08_few_labels.ipynb) |
# | protocol line | The line of a report that says how its figures were made, for others to cite. | [6.17](6_workshop/17_report.ipynb) |
# | R1 | A gradient penalty that keeps the discriminator's gradient small at real examples. | [1.4](1_game/04_wasserstein.ipynb) |
# | recall | The share of real examples that lie in the region of the samples. | [4.1](4_evidence/01_precision_recall.ipynb) |
# | reconstruction | The example that the generator makes from the latent that an encoder found for an example. | [2.2](2_inverse/02_bigan.ipynb) |
# | reference | The real examples that samples are compared with, usually the training data. | [4.2](4_evidence/02_audit.ipynb) |
# | refresh | The number of training steps after which IMLE searches new nearest samples. | [3.1](3_inclusion/01_imle.ipynb) |
# | relativistic pairing | A GAN loss in which each generated example is compared with a real one, by the difference of their logits. | [1.5](1_game/05_relativistic.ipynb) |
# | repeats | Samples that are nearly the same as other samples, more often than real examples are. | [4.2](4_evidence/02_audit.ipynb) |
# | ring | The standard test set for mode collapse, with normal distributions at equal distances on a circle. | [0.3](0_start/03_modes.ipynb) |
# | run | One training with one seed; several can be trained side by side. | [0.5](0_start/05_networks.ipynb) |
# | run axis | The first axis of all weights, along which several independent seeds are trained at once. | [0.5](0_start/05_networks.ipynb) |
# | sample | One example that is drawn from a distribution or made by a generator. | [0.1](0_start/01_first_gan.ipynb) |
# | sampler | A function that gets a number and returns so many fresh samples of a generator. | [4.6](4_evidence/06_monitor.ipynb) |
# | saturating loss | The generator's loss of the minimax game, whose gradient is small where the discriminator is sure. | [1.1](1_game/01_minimax.ipynb) |
# | schedule | A rule that changes the learning rate during training. | [1.2](1_game/02_training.ipynb) |
# | seed | The number that starts the random numbers, so that a run can be repeated. | [0.1](0_start/01_first_gan.ipynb) |
# | self-attention | A layer in which every place of a picture takes a weighted mean over all other places. | [5.7](5_icml2019/07_attention.ipynb) |
# | self-supervision | Training on a task whose labels come from the examples themselves, such as by how much a picture was turned. | [5.8](5_icml2019/08_few_labels.ipynb) |
# | settled | Said of a group of the data that got enough samples in ten looks in a row, so that its loss would alarm. | [4.6](4_evidence/06_monitor.ipynb) |
# | shift | A move of all samples, seen as the distance between their mean and that of held-out data. | [4.2](4_evidence/02_audit.ipynb) |
# | spectral normalisation | The division of a layer's weights by their largest singular value. | [5.7](5_icml2019/07_attention.ipynb) |
# | stacked digits | Pictures with a digit in each of three channels, which gives 1,000 modes. | [0.3](0_start/03_modes.ipynb) |
# | stream | The random numbers for one purpose, such as the latents of one seed. | [1.2](1_game/02_training.ipynb) |
# | style generator | A generator whose layers are scaled by a style that is computed from the latent. | [3.3](3_inclusion/03_style.ipynb) |
# | timid | Said of a generator that moves everything towards the middle of the data, so that samples are blurred or averaged. | [4.2](4_evidence/02_audit.ipynb) |
# | total variation | Half of the sum of the absolute differences of two lists of probabilities. | [0.4](0_start/04_coverage.ipynb) |
# | training step | One update of each network on one batch of examples. | [0.1](0_start/01_first_gan.ipynb) |
# | transport plan | The shares in which the mass of each point of one distribution is moved to the points of another. | [5.4](5_icml2019/04_likelihood.ipynb) |
# | truncation | Moving styles towards their mean, for samples that are more alike. | [3.3](3_inclusion/03_style.ipynb) |
# | turn | A part of a training step in which the named players move. | [1.2](1_game/02_training.ipynb) |
# | unrolled GAN | A GAN whose generator gets the discriminator's loss as it is after some virtual steps. | [1.6](1_game/06_mode_seeking.ipynb) |
# | variational autoencoder | A generator trained together with an encoder by the ELBO, without a discriminator. | [1.7](1_game/07_not_a_gan.ipynb) |
# | Wasserstein distance | The least mean distance by which mass must be moved to turn one distribution into another. | [1.4](1_game/04_wasserstein.ipynb) |
# | WGAN-GP | A Wasserstein GAN whose critic has a gradient penalty. | [1.4](1_game/04_wasserstein.ipynb) |
