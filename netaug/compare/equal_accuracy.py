"""Estimate how many MACs fewer an arm needs to be as accurate as another, from scores at several resolutions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from netaug.compare.paired_statistics import paired_difference


@dataclass(frozen=True)
class Point:
    """Describe a network measured at one resolution.

    Args:
        resolution: Side of the input in pixels.
        macs: Of one image at it.
        score: Accuracy in percent.
    """

    resolution: int
    macs: float
    score: float


PointsBySeed = Mapping[int, Sequence[Point]]
"""An arm's points by seed; all seeds at the same resolutions."""


@dataclass(frozen=True)
class EqualAccuracy:
    """Describe where one arm is as accurate as the baseline at its best.

    Args:
        target: The baseline: its best resolution, the mean score there.
        by_seed: Percent fewer MACs of each seed (negative: more); None where the score is reached nowhere.
        saving: Mean of them; of the mean curves if a seed does not reach the score; None if these do not either.
        low: Lower end of the 95 % t-interval of the paired seeds; None without one.
        high: Its upper end.
        resolution: Where it is reached, about: between two measured resolutions as a rule.
        at_least: Whether the smallest resolution measured is already enough for a seed, so that ``saving`` is a lower
            bound and has no interval.
        measured: The arm at its smallest measured resolution that is as good; means over seeds.
        best: The arm at its best; means over seeds.
    """

    target: Point
    by_seed: Mapping[int, float | None]
    saving: float | None
    low: float | None
    high: float | None
    resolution: float | None
    at_least: bool
    measured: Point | None
    best: Point


def equal_accuracy(
    baseline: PointsBySeed, arm: PointsBySeed, *, resolution: int | None = None, within: float = 0.0
) -> EqualAccuracy | None:
    """Interpolate the MACs at which an arm matches the baseline.

    Between neighboring resolutions the score is taken as linear in MACs; what counts is the first place where it is
    reached. Each seed is compared with the baseline of the same seed, and the interval is Student's, of these savings.

    Args:
        baseline: Its points by seed.
        arm: The other arm's.
        resolution: The baseline's, to be matched; None is that of its best mean score, the smallest of several.
        within: Points of score below the baseline that count as matching.

    Returns:
        None if the arms have no seed in common, or an arm's seeds no resolution.
    """
    seeds = sorted(baseline.keys() & arm.keys())
    standard = mean_points([baseline[seed] for seed in seeds])
    means = mean_points([arm[seed] for seed in seeds])
    if not standard or not means:
        return None
    target = _chosen(standard, resolution)
    scores = {seed: _chosen(baseline[seed], target.resolution).score - within for seed in seeds}
    # by seed, because arms of one seed share initialization and data order
    by_seed = {seed: _saving(crossing(arm[seed], scores[seed]), target) for seed in seeds}
    at_least = any(_ascending(arm[seed])[0].score >= scores[seed] for seed in seeds)
    of_means = _saving(crossing(means, target.score - within), target)
    saving, low, high = _mean_and_interval(by_seed, of_means, has_interval=not at_least)
    return EqualAccuracy(
        target=target,
        by_seed=by_seed,
        saving=saving,
        low=low,
        high=high,
        resolution=None if saving is None else _resolution(means, target.macs * (1 - saving / 100)),
        at_least=at_least,
        measured=next((point for point in means if point.score >= target.score - within), None),
        best=max(means, key=lambda point: point.score),
    )


def _mean_and_interval(
    by_seed: Mapping[int, float | None], of_means: float | None, *, has_interval: bool
) -> tuple[float | None, float | None, float | None]:
    """Return the mean saving and its interval; that of the mean curves, without one, if a seed has no saving."""
    savings = {seed: saving for seed, saving in by_seed.items() if saving is not None}
    if len(savings) < len(by_seed):
        return of_means, None, None
    spread = paired_difference(savings, dict.fromkeys(savings, 0.0)) if has_interval else None
    mean = statistics.fmean(savings.values())
    return (mean, None, None) if spread is None else (mean, spread.low, spread.high)


def mean_points(lines: Sequence[Sequence[Point]]) -> list[Point]:
    """Return the mean over seeds at each resolution that all have, ascending."""
    if not lines:
        return []
    by_resolution = [{point.resolution: point for point in line} for line in lines]
    shared = sorted(set.intersection(*(set(points) for points in by_resolution)))
    return [
        Point(
            side,
            statistics.fmean(points[side].macs for points in by_resolution),
            statistics.fmean(points[side].score for points in by_resolution),
        )
        for side in shared
    ]


def crossing(points: Sequence[Point], score: float) -> float | None:
    """Return the fewest MACs at which a line through points reaches a score; None if it does not."""
    line = _ascending(points)
    if line and line[0].score >= score:
        return line[0].macs
    for before, after in pairwise(line):
        if before.score < score <= after.score:
            fraction = (score - before.score) / (after.score - before.score)
            return before.macs + fraction * (after.macs - before.macs)
    return None


def sentence(
    result: EqualAccuracy, *, arm: str = "NetAug", against: str = "the baseline", score: str = "AP50"
) -> str:
    """Return the result as a sentence, with its uncertainty."""
    target = f"{against} at {result.target.resolution} px ({score} {result.target.score:.1f})"
    n = len(result.by_seed)
    if result.saving is None:
        best = f"{result.best.score:.1f} at {result.best.resolution} px is its best"
        return f"{arm} does not match {target} at any resolution measured: {best}, mean of {_seeds(n)}."
    where = "" if result.resolution is None else f" at about {result.resolution:.0f} px"
    amount = f"{'at least ' if result.at_least else ''}{abs(result.saving):.0f} %"
    match = f"{arm}{where} matches {target} with {amount} {'fewer' if result.saving >= 0 else 'more'} MACs"
    return f"{match}, by interpolation ({_uncertainty(result)})." + _step(result, arm, score)


def _step(result: EqualAccuracy, arm: str, score: str) -> str:
    """Return the nearest resolution that was really measured."""
    if result.measured is None:
        return ""
    saving = _saving(result.measured.macs, result.target) or 0.0
    amount = f"{abs(saving):.0f} % {'fewer' if saving >= 0 else 'more'}"
    measured = f"{arm} at {result.measured.resolution} px has {score} {result.measured.score:.1f}"
    return f" Measured: {measured}, {amount} MACs."


def _uncertainty(result: EqualAccuracy) -> str:
    n = len(result.by_seed)
    missing = sum(value is None for value in result.by_seed.values())
    if missing:
        return f"of the means of {_seeds(n)}; {missing} of them do not reach it, so there is no interval"
    if result.low is None or result.high is None:
        return f"{_seeds(n)}, no interval" if n > 1 else "one seed: nothing is known of its spread"
    return f"95 % interval {result.low:.0f} to {result.high:.0f} %, {n} paired seeds"


def _seeds(n: int) -> str:
    return "1 seed" if n == 1 else f"{n} seeds"


def _chosen(points: Sequence[Point], resolution: int | None) -> Point:
    if resolution is None:
        # of equally good resolutions the smallest is the cheapest
        return max(points, key=lambda point: (point.score, -point.resolution))
    return next(point for point in points if point.resolution == resolution)


def _saving(macs: float | None, target: Point) -> float | None:
    return None if macs is None else 100 * (1 - macs / target.macs)


def _resolution(points: Sequence[Point], macs: float) -> float:
    """Return the side at which a network has these MACs, which go with its square."""
    line = _ascending(points)
    after = next((point for point in line if point.macs >= macs), line[-1])
    return after.resolution * math.sqrt(macs / after.macs)


def _ascending(points: Sequence[Point]) -> list[Point]:
    return sorted(points, key=lambda point: point.macs)
