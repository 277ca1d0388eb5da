"""Statistics equal the formulas written out and scipy's own test."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from netaug.compare.paired_statistics import paired_difference, spread


def test_spread_is_the_formula():
    values = [70.0, 72.5, 71.0]
    mean = sum(values) / 3
    found = spread(values)
    assert found is not None
    assert found.mean == pytest.approx(mean)
    assert found.sd == pytest.approx(math.sqrt(sum((v - mean) ** 2 for v in values) / 2))
    assert spread([]) is None
    single = spread([70.0])
    assert single is not None
    assert single.sd is None


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2, max_size=8))
def test_interval_is_that_of_the_paired_t_test(pairs):
    ours, theirs = (dict(enumerate(values)) for values in zip(*pairs, strict=True))
    found = paired_difference(ours, theirs)
    assert found is not None
    differences = np.array(list(ours.values())) - np.array(list(theirs.values()))
    if differences.std(ddof=1) < 1e-6:
        return
    expected = ttest_rel(list(ours.values()), list(theirs.values())).confidence_interval(0.95)
    assert found.low == pytest.approx(expected.low, abs=1e-6)
    assert found.high == pytest.approx(expected.high, abs=1e-6)
    assert found.mean == pytest.approx(differences.mean())


def test_only_seeds_of_both_arms_are_paired():
    found = paired_difference({0: 71.0, 1: 99.0, 2: 74.0}, {0: 70.0, 2: 71.0, 3: 5.0})
    assert found is not None
    assert found.by_seed == {0: 1.0, 2: 3.0}
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


def test_no_interval_from_one_pair_or_without_spread():
    one = paired_difference({0: 71.0}, {0: 70.0})
    equal = paired_difference({0: 71.0, 1: 72.0}, {0: 70.0, 1: 71.0})
    for found in (one, equal):
        assert found is not None
        assert (found.mean, found.low, found.high, found.effect) == (1.0, None, None, "unknown")


@pytest.mark.parametrize(
    ("differences", "effect"),
    [((1.0, 1.2, 1.1), "higher"), ((-1.0, -1.2, -1.1), "lower"), ((1.0, -0.5, 0.4), "unclear")],
)
def test_effect_needs_an_interval_beside_zero(differences, effect):
    found = paired_difference(dict(enumerate(differences)), dict.fromkeys(range(3), 0.0))
    assert found is not None
    assert found.effect == effect
