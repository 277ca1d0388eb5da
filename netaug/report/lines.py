"""Prepare what curves are drawn from: the runs' epochs as points, and their mean over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

from netaug.compare.records import Epoch, RunRecord

Quantity = Literal["val", "train", "loss", "val_loss", "fraction", "cosine", "lr", "speed"]
Axis = Literal["epoch", "seconds", "macs"]
_MOST_POINTS = 100
"""Points of a curve that are drawn; more would only make the page larger."""
_VALUES: dict[Quantity, Callable[[Epoch], float | None]] = {
    "val": lambda epoch: epoch.val_score,
    "train": lambda epoch: epoch.train_score,
    "loss": lambda epoch: epoch.train_loss,
    "val_loss": lambda epoch: epoch.val_loss,
    "fraction": lambda epoch: None if epoch.gradient_share is None else 100 * epoch.gradient_share,
    "cosine": lambda epoch: epoch.gradient_cosine,
    "lr": lambda epoch: epoch.lr,
    "speed": lambda epoch: epoch.images_per_second,
}


class Point(NamedTuple):
    """Hold a mean over seeds: x, y and the standard deviation of y, which is None of a single seed."""

    x: float
    y: float
    sd: float | None


class Frame(NamedTuple):
    """Hold the limits that pictures of the same quantity share; None leaves them to matplotlib."""

    bottom: float | None
    top: float | None


Curves = Mapping[str, Sequence[Point]]
"""The mean line of each arm."""


def mean_lines(
    runs: Sequence[RunRecord], arms: Sequence[str], quantity: Quantity, axis: Axis
) -> dict[str, list[Point]]:
    """Return a quantity of the final runs' epochs, mean over each arm's seeds; arms without any are left out.

    Args:
        runs: Runs with their curves; failed and tuning ones are left out.
        arms: Names of the arms.
        quantity: The score on evaluation or training images, the loss on training images, the augmented pass's
            fraction of the gradient, or the cosine between the gradients of both passes.
        axis: Epochs; or seconds of training, or forward MACs, since the start.
    """
    line_by_arm = {arm: mean_line(_lines(runs, arm, quantity, axis)) for arm in arms}
    return {arm: line for arm, line in line_by_arm.items() if line}


def whole_frame(lines: Curves, quantity: Quantity) -> Frame:
    """Return limits that pictures of the same quantity share, with everything inside."""
    if quantity not in ("val", "train"):
        return Frame(None, None)
    low, high = _range(lines)
    margin = 0.04 * (high - low) or 1.0
    return Frame(low - margin, high + margin)


def end_frame(lines: Curves, quantity: Quantity) -> Frame | None:
    """Return limits within which the ends of all lines can be told apart; None where nothing would be cut off."""
    if quantity not in ("val", "train"):
        return None
    # early scores rise so steeply that beside them the ends of all lines lie on each other
    late = min(line[2 * len(line) // 5].y for line in lines.values())
    low, high = _range(lines)
    bottom = late - 1.0
    margin = 0.04 * (high - bottom)
    return None if bottom - margin <= low else Frame(bottom - margin, high + margin)


def _range(lines: Curves) -> tuple[float, float]:
    low = min(point.y - (point.sd or 0.0) for line in lines.values() for point in line)
    return low, max(point.y + (point.sd or 0.0) for line in lines.values() for point in line)


def mean_line(lines: Sequence[Sequence[tuple[float, float]]]) -> list[Point]:
    """Return the mean of lines point by point, with the deviation of their heights, as far as all of them go."""
    points = []
    for step in zip(*lines, strict=False):
        heights = [y for _, y in step]
        deviation = statistics.stdev(heights) if len(heights) > 1 else None
        points.append(Point(statistics.fmean(x for x, _ in step), statistics.fmean(heights), deviation))
    return points


def points(run: RunRecord, quantity: Quantity, axis: Axis) -> list[tuple[float, float]]:
    """Return a run's values where it has any, each at the end of its epoch."""
    steps = {
        "epoch": [1.0] * len(run.curve),
        "seconds": [epoch.seconds for epoch in run.curve],
        "macs": [float(epoch.train_macs) for epoch in run.curve],
    }[axis]
    values = []
    for x, epoch in zip(accumulate(steps), run.curve, strict=True):
        y = _VALUES[quantity](epoch)
        # records of earlier versions have no MACs per epoch, so that x stays 0
        if y is not None and math.isfinite(y) and x > 0:
            values.append((x, y))
    return values


def _lines(
    runs: Sequence[RunRecord], arm: str, quantity: Quantity, axis: Axis
) -> list[list[tuple[float, float]]]:
    final = (run for run in runs if run.spec.phase == "final" and run.summary and run.spec.arm == arm)
    return [line for line in (points(run, quantity, axis) for run in final) if line]


def thinned(line: Sequence[Point]) -> Sequence[Point]:
    """Return evenly chosen points of a long line, its ends among them."""
    if len(line) <= _MOST_POINTS:
        return line
    last = len(line) - 1
    return [line[round(position * last / (_MOST_POINTS - 1))] for position in range(_MOST_POINTS)]
