"""Compute means, spreads and paired differences with their uncertainty."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtr, stdtrit  # scipy.stats has the same tests, but takes twice as long to import

Effect = Literal["higher", "lower", "unclear", "unknown"]

EFFECT_WORDS: dict[Effect, str] = {
    "higher": "better",
    "lower": "worse",
    "unclear": "no difference shown",
    "unknown": "no conclusion possible",
}
"""How headlines, sentences and tables call an effect; scores are percentages of which more is better."""


@dataclass(frozen=True)
class Spread:
    """Hold mean and standard deviation (n - 1 in the denominator) of n values; one value has no deviation."""

    n: int
    mean: float
    sd: float | None


@dataclass(frozen=True)
class Difference:
    """Hold the mean of paired differences by seed, in percentage points, with its 95 % t-interval.

    Args:
        by_seed: Each seed's own difference.
        mean: Their mean.
        low: Lower end of the interval; None if there is none: a single pair, or pairs that all differ by
            exactly the same, which have no spread to judge by.
        high: Upper end of the interval, likewise.
    """

    by_seed: Mapping[int, float]
    mean: float
    low: float | None
    high: float | None

    @property
    def n(self) -> int:
        """Number of pairs."""
        return len(self.by_seed)

    @property
    def effect(self) -> Effect:
        """What the interval allows to say, and no more."""
        if self.low is None or self.high is None:
            return "unknown"
        if self.low > 0:
            return "higher"
        return "lower" if self.high < 0 else "unclear"


def spread(values: Sequence[float]) -> Spread | None:
    """Return mean and deviation of the values; None if there are none."""
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(len(values), statistics.fmean(values), deviation)


def paired_difference(
    values: Mapping[int, float], reference: Mapping[int, float], level: float = 0.95
) -> Difference | None:
    """Compare two arms seed by seed.

    Args:
        values: One arm's results by seed.
        reference: The other arm's results by seed.
        level: Confidence of the interval, in (0, 1).

    Returns:
        ``values - reference`` over the seeds both have; None if they share none.

    Source:
        Student 1908: mean ± t(n - 1) · sd / sqrt(n), as in ``scipy.stats.ttest_rel``.
    """
    by_seed = {seed: values[seed] - reference[seed] for seed in sorted(values.keys() & reference.keys())}
    summary = spread(list(by_seed.values()))
    if summary is None:
        return None
    if summary.sd is None or summary.sd < 1e-9:  # below any step that accuracies can make: no spread
        return Difference(by_seed, summary.mean, None, None)
    n = summary.n
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * summary.sd / math.sqrt(n)
    return Difference(by_seed, summary.mean, summary.mean - half, summary.mean + half)


def p_value(difference: Difference) -> float | None:
    """Return how likely pairs without any true difference differ at least as much: the two-sided paired t-test.

    Returns:
        A probability; None where there is no interval.

    Source:
        Student 1908, as in ``scipy.stats.ttest_rel``.
    """
    if difference.low is None:
        return None
    values = list(difference.by_seed.values())
    t = difference.mean / (statistics.stdev(values) / math.sqrt(len(values)))
    return float(2 * stdtr(len(values) - 1, -abs(t)))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjust p-values for how many there are, so that those below 0.05 hold together at 95 %.

    Source:
        Holm 1979: the i-th smallest of m times m - i + 1, never below the one before.
    """
    adjusted: dict[str, float] = {}
    least = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        # an adjusted value is never below that of a smaller p-value
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = least
    return adjusted
