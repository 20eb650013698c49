"""How many samples are needed: exact power against simulation, both inversions, bad input."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom, fisher_exact, hypergeom

from modelab import samples_needed, smallest_loss
from modelab.evaluation.power import _first, _log_p_of_none, _most_that_alarms, _tarone, lost_groups, lost_power


def test_p_of_none_is_the_quotient():
    for n, m, y in ((100, 80, 5), (7, 9, 3), (50, 50, 50)):
        exact = math.comb(m, y) / math.comb(n + m, y)
        assert math.isclose(math.exp(_log_p_of_none(np.array(y), n, m)), exact, rel_tol=1e-9)
        assert math.isclose(hypergeom.cdf(0, n + m, y, n), exact, rel_tol=1e-9)


def test_the_test_is_fishers():
    most = _most_that_alarms(np.array([12, 20]), 150, 100, .05, 60)
    for count, x in zip((12, 20), most):
        p = [fisher_exact([[v, 150 - v], [count, 100 - count]], "less").pvalue for v in (x, x + 1)]
        assert p[0] <= .05 < p[1]


@pytest.mark.parametrize("share, n, m, left, level", [(.1, 60, 60, 0., .05), (.05, 200, 100, 0., .01), (.2, 80, 50, .4, .05)])
def test_power_by_brute_force(share, n, m, left, level):
    total = 0.
    for y in range(m + 1):
        for x in range(n + 1 if left else 1):
            if hypergeom.cdf(x, n + m, x + y, n) <= level:
                total += binom.pmf(y, m, share) * binom.pmf(x, n, left * share)
    assert abs(lost_power(share, n, m, left=left, level=level) - total) < 1e-7


def test_power_by_simulation():
    g, weights = torch.Generator().manual_seed(0), torch.ones(25)
    weights[3] = 0
    found = [lost_groups(torch.multinomial(weights, 300, True, generator=g), torch.randint(25, (300,), generator=g))
             for _ in range(300)]
    seen = np.mean([3 in f for f in found])
    assert lost_power(.04, 300, tests=25) - .07 < seen
    assert np.mean([bool(set(f) - {3}) for f in found]) < .05


def test_no_false_alarms_and_tarone():
    g = torch.Generator().manual_seed(1)
    weights = torch.tensor([.5] + [.5 / 60] * 60)  # many groups that are too small to alarm
    draw = lambda: torch.multinomial(weights, 120, True, generator=g)
    assert np.mean([bool(lost_groups(draw(), draw())) for _ in range(300)]) <= .05
    assert _tarone(np.array([1e-9, .5, .5, .5]), .05) == 1 and _tarone(np.full(10, 1e-9), .05) == 10


def test_both_inversions():
    for options in ({}, {"tests": 50}, {"left": .3}):
        n = samples_needed(.03, **options)
        assert lost_power(.03, n, **options) >= .95 > lost_power(.03, n - 1, **options)
        assert lost_power(.03, 2 * n, **options) >= .95
        share = smallest_loss(n, **options)
        assert share <= .03 and lost_power(share, n, **options) >= .95
    assert samples_needed(.01, holdout=2000) < samples_needed(.01)
    assert smallest_loss(1000, tests=100) > smallest_loss(1000) > smallest_loss(4000)


def test_numbers_between_the_last_doubling_and_the_bound_are_found():
    assert [_first(lambda n: n >= least, 100) for least in (1, 2, 64, 65, 99, 100, 101)] == [1, 2, 64, 65, 99, 100, None]
    n = samples_needed(1e-7)  # the bound is 10⁸, and 2²⁶ is 67 million
    assert 2 ** 26 < n <= 10 ** 8 and lost_power(1e-7, n) >= .95 > lost_power(1e-7, n - 1)
    with pytest.raises(ValueError, match="share: the loss is too small to be seen with power 0.95 by 100,000,000 samples"):
        samples_needed(1e-9)


def test_bad_input():
    for share in (0, 1.1, -1, float("nan"), "a"):
        with pytest.raises((ValueError, TypeError), match="share"):
            samples_needed(share)
    with pytest.raises(ValueError, match="holdout: with 50 unseen"):
        samples_needed(.01, holdout=50)
    with pytest.raises(ValueError, match="left: the loss is too small"):
        samples_needed(.5, left=1.)
    assert smallest_loss(2) == math.inf
    with pytest.raises((ValueError, TypeError), match="n"):
        smallest_loss(0)
    with pytest.raises((ValueError, TypeError)):
        lost_groups(torch.tensor([.5]), torch.tensor([1]))
    assert lost_groups(torch.zeros(50).long(), torch.zeros(50).long()) == {}


def test_the_same_twice():
    assert samples_needed(.013, tests=7) == samples_needed(.013, tests=7)
