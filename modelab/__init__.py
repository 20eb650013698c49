"""modelab: is my generator losing modes, why, and what do I do about it?

Data with known modes   mixture, ring, grid, line, rare_modes, random_modes, digits, stacked_digits,
                        mnist, stacked_mnist, fashion_mnist, scenes, faces; image_folder(path),
                        labelled_modes(loader) for data of yours
Measures                coverage(x, modes) -> Coverage; precision_recall, density_coverage,
                        pr_curve, frechet_distance, nearest
Audit of samples        audit(samples, reference) -> Report; interpolations;
                        missing(samples, reference) -> Missing;
                        compare(a, b, reference) -> Comparison; compare_all; Monitor;
                        samples_needed, smallest_loss
Losses and penalties    gradient_penalty, r1, r2, pairwise_gradient_penalty, imle_loss,
                        interpolation_loss, max_gradient_penalty, wasserstein_gradient_penalty;
                        as_critic(D) for a discriminator of yours
Density models          fit_gaussian_mixture(x), fit_kernel_density(x) with sample and log_prob
Unpaired domains        exchange_domains, cycle_losses, paired_loss, translate_domains
Training                Run(game, modes, runs=8, seed=0) with step, sample, coverage, save, load;
                        with_labels(network) for conditional players;
                        recommended(game, steps): settings to begin with, for points
Games                   Game to inherit from; Minimax, Wasserstein, ClippedWasserstein,
                        ZeroCentred, BiGAN, PairwiseBiGAN, IMLE, IMLEGAN and every other
                        registered game, by its class name
Tables with gaps        HexaGAN: an estimator of scikit-learn that fills cells and labels
The lab                 Lab(game, modes): a training run with a timeline, in a notebook

Names are loaded when they are first used: `import modelab` imports neither torch nor numpy. The
modules behind them: core, data, networks, losses, evaluation, training, methods, lab. The commands
are listed by `modelab --help`.
"""

from importlib import import_module as _import_module

from . import _index

__version__ = _index.VERSION

_PUBLIC = {
    "data": "mixture ring grid line rare_modes random_modes digits stacked_digits mnist "
            "stacked_mnist fashion_mnist scenes faces image_folder labelled_modes",
    "measures": "coverage Coverage precision_recall density_coverage pr_curve frechet_distance "
                "nearest",
    "audit": "audit Report missing compare compare_all Monitor samples_needed smallest_loss "
             "interpolations",
    "losses": "gradient_penalty r1 r2 pairwise_gradient_penalty imle_loss interpolation_loss "
              "max_gradient_penalty wasserstein_gradient_penalty as_critic",
    "densities": "fit_gaussian_mixture fit_kernel_density",
    "domains": "exchange_domains cycle_losses paired_loss translate_domains",
    "training": "Run Game with_labels label_predictor recommended",
    "tables": "HexaGAN",
    "lab": "Lab",
}
_GAMES = {name: module for name, module in _index.NAMES.items()
          if _index.GAMES.get(name.lower()) == module}
_WHERE = {name: _index.NAMES[name] for group in _PUBLIC.values() for name in group.split()
          if name in _index.NAMES} | _GAMES  # a name that no module has fails at its use, not here
__all__ = sorted(_WHERE)


def __getattr__(name: str):
    "A public name, loaded from its module at first use."
    if name not in _WHERE:
        raise AttributeError(f"module 'modelab' has no attribute {name!r}")
    value = globals()[name] = getattr(_import_module(f"modelab.{_WHERE[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
