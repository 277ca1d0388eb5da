"""The page's plots: learning curves over epochs, time and arithmetic, gradients, paired differences."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from markupsafe import Markup
from matplotlib.ticker import EngFormatter, MaxNLocator

from netaug.report.looks import line_style, look
from netaug.report.svg import INK, arm_color, as_svg, plot

if TYPE_CHECKING:
    from netaug.compare.records import Epoch, RunRecord
    from netaug.compare.statistics import Difference
    from netaug.report.view import Compared

Quantity = Literal["val", "train", "share", "cosine"]
Axis = Literal["epoch", "seconds", "macs"]
_MOST_POINTS = 160
"""Points of a curve that are drawn; more would only make the page larger."""
_QUANTITIES: dict[Quantity, tuple[str, Callable[[Epoch], float | None]]] = {
    "val": ("top-1, %", lambda epoch: epoch.val_score),
    "train": ("top-1, %", lambda epoch: epoch.train_score),
    "share": (
        "share, %",
        lambda epoch: None if epoch.gradient_share is None else 100 * epoch.gradient_share,
    ),
    "cosine": ("cosine", lambda epoch: epoch.gradient_cosine),
}
_AXES: dict[Axis, str] = {
    "epoch": "epoch",
    "seconds": "training seconds",
    "macs": "MACs of the training so far",
}


class Point(NamedTuple):
    """Mean over the seeds: where, how high, and the standard deviation; None of a single seed."""

    x: float
    y: float
    sd: float | None


def curves(runs: Sequence[RunRecord], arms: Sequence[str], quantity: Quantity, axis: Axis) -> Markup | None:
    """A quantity of the final runs' epochs: for each arm the mean over its seeds, in a band of one deviation.

    Args:
        runs: Runs with their curves; failed and tuning ones are left out.
        arms: Names of the arms; the place of a name decides its looks.
        quantity: Top-1 on evaluation or training images, the augmented pass's share in the gradient, or the cosine
            between the gradients of both passes.
        axis: Epochs; or seconds of training, or forward MACs, since the start.

    Returns:
        The SVG; None if no run has logged anything of it.
    """
    lines = {number: mean_line(_lines(runs, arm, quantity, axis)) for number, arm in enumerate(arms)}
    if not any(lines.values()):
        return None
    with plot() as (figure, axes):
        for number, line in lines.items():
            if line:
                _draw_curve(axes, number, _thinned(line))
        if quantity in ("val", "train"):
            late = min(line[len(line) // 5].y for line in lines.values() if line)
            axes.set_ylim(bottom=max(axes.get_ylim()[0], late - 1.0))
        else:
            axes.axhline(
                50.0 if quantity == "share" else 0.0, color=INK, linewidth=1.0, linestyle=(0, (1, 2))
            )
        axes.set_xlim(left=0)
        axes.set_xlabel(_AXES[axis])
        axes.set_ylabel(_QUANTITIES[quantity][0])
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=axis == "epoch"))
        if axis == "macs":
            axes.xaxis.set_major_formatter(EngFormatter(sep="\N{NO-BREAK SPACE}"))
        words = {
            "val": "Top-1 on evaluation images",
            "train": "Top-1 on training images",
            "share": "Share of the augmented pass in the gradient",
            "cosine": "Cosine between the gradients of both passes",
        }
        return as_svg(figure, f"{quantity}-{axis}", f"{words[quantity]} over {_AXES[axis]}, per arm")


def paired_differences(compared: Sequence[Compared], arms: Sequence[str]) -> Markup | None:
    """A line per comparison: a dot per seed, the mean with its interval; None if there is none."""
    if not compared:
        return None
    with plot(5.6, 0.9 + 0.62 * len(compared)) as (figure, axes):
        axes.axvline(0.0, color=INK, linewidth=1.2)
        for place, one in enumerate(compared):
            _draw_difference(axes, -place, one.difference, arms.index(one.arm) if one.arm in arms else 0)
        axes.set_yticks(
            [-place for place in range(len(compared))],
            [f"{one.arm}\nvs {one.against}" for one in compared],
            fontsize=9.5,
        )
        axes.set_ylim(-len(compared) + 0.45, 0.55)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("difference, points of top-1")
        return as_svg(figure, "pairs", "Differences between arms, a dot per seed, mean and 95 % interval")


def mean_line(lines: Sequence[Sequence[tuple[float, float]]]) -> list[Point]:
    """Point by point mean of lines, and the deviation of their heights; as far as all of them go."""
    points = []
    for step in zip(*lines, strict=False):
        heights = [y for _, y in step]
        deviation = statistics.stdev(heights) if len(heights) > 1 else None
        points.append(Point(statistics.fmean(x for x, _ in step), statistics.fmean(heights), deviation))
    return points


def points(run: RunRecord, quantity: Quantity, axis: Axis) -> list[tuple[float, float]]:
    """A run's values where it has any, each at the end of its epoch."""
    steps = {
        "epoch": [1.0] * len(run.curve),
        "seconds": [epoch.seconds for epoch in run.curve],
        "macs": [float(epoch.train_macs) for epoch in run.curve],
    }[axis]
    found = []
    for x, epoch in zip(accumulate(steps), run.curve, strict=True):
        y = _QUANTITIES[quantity][1](epoch)
        if y is not None and math.isfinite(y) and x > 0:
            found.append((x, y))
    return found


def _lines(
    runs: Sequence[RunRecord], arm: str, quantity: Quantity, axis: Axis
) -> list[list[tuple[float, float]]]:
    mine = (run for run in runs if run.spec.phase == "final" and run.summary and run.spec.arm == arm)
    return [line for line in (points(run, quantity, axis) for run in mine) if line]


def _draw_curve(axes: Any, number: int, line: Sequence[Point]) -> None:
    color, xs, ys = arm_color(number), [one.x for one in line], [one.y for one in line]
    if all(one.sd is not None for one in line) and len(line) > 1:
        low = [one.y - (one.sd or 0.0) for one in line]
        high = [one.y + (one.sd or 0.0) for one in line]
        axes.fill_between(xs, low, high, color=color, alpha=0.16, linewidth=0)
    axes.plot(xs, ys, color=color, linewidth=1.9, linestyle=line_style(number))
    axes.errorbar(
        xs[-1:],
        ys[-1:],
        [line[-1].sd or 0.0],
        color=color,
        marker=look(number).marker,
        markersize=6,
        capsize=2.5,
    )


def _draw_difference(axes: Any, place: float, difference: Difference, number: int) -> None:
    color, values = arm_color(number), list(difference.by_seed.values())
    axes.scatter(values, [place + 0.18] * len(values), s=24, color=color, alpha=0.55, linewidths=0)
    if difference.low is not None and difference.high is not None:
        axes.plot([difference.low, difference.high], [place - 0.12] * 2, color=color, linewidth=2.5)
    axes.plot([difference.mean], [place - 0.12], look(number).marker, color=color, markersize=7)


def _thinned(line: Sequence[Point]) -> Sequence[Point]:
    """Evenly chosen points of a long line, its ends among them."""
    if len(line) <= _MOST_POINTS:
        return line
    last = len(line) - 1
    return [line[round(place * last / (_MOST_POINTS - 1))] for place in range(_MOST_POINTS)]
