"""Draw the page's plots: learning curves over epochs, time and arithmetic, gradients, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.ticker import EngFormatter, MaxNLocator

from netaug.compare.formatting import interval, plus_minus, seconds, si, signed
from netaug.compare.paired_statistics import Difference
from netaug.compare.results import ArmRow
from netaug.report.arm_pairs import ArmPair
from netaug.report.lines import Axis, Curves, Frame, Point, Quantity, thinned
from netaug.report.styles import line_style, style_of
from netaug.report.svg import (
    CARD,
    GRID,
    INK,
    HoverLine,
    HoverPoint,
    arm_color,
    as_svg,
    hover,
    hover_points,
    plot,
    with_switch,
)

Styles = Sequence[tuple[int, str]]
"""Arms, each with the number of its style."""
_LINE_INCHES = 0.66
_UNITS: dict[Quantity, str] = {
    "val": "{score}, %",
    "train": "{score}, %",
    "loss": "loss",
    "val_loss": "loss",
    "fraction": "fraction, %",
    "cosine": "cosine",
    "lr": "learning rate",
    "speed": "images per second",
}
_WORDS: dict[Quantity, str] = {
    "val": "{score} on evaluation images",
    "train": "{score} on training images",
    "loss": "Loss on training images",
    "val_loss": "Loss",
    "fraction": "Fraction of the gradient from the augmented pass",
    "cosine": "Cosine between the gradients of both passes",
    "lr": "Learning rate",
    "speed": "Training images per second",
}
_LEVELS: dict[Quantity, float] = {"fraction": 50.0, "cosine": 0.0}
"""Where a line is drawn for the eye: both passes pull alike; they pull at a right angle."""
_FROM_ZERO = ("lr", "speed")
_AXES: dict[Axis, str] = {
    "epoch": "epoch",
    "seconds": "training seconds",
    "macs": "MACs of the training so far",
}


def curves(
    lines: Curves,
    styles: Styles,
    quantity: Quantity,
    axis: Axis,
    within: Frame,
    name: str,
    score: str = "top-1",
    end: Frame | None = None,
) -> Markup:
    """Draw arms' mean lines, each in a band of one deviation; the values appear under the pointer.

    Args:
        lines: From :func:`mean_lines`; of arms that are not in ``styles`` none is drawn.
        styles: Which arms, with their styles.
        quantity: What the lines show.
        axis: Over what.
        within: The limits, of the whole lines.
        name: Makes the ids of the SVG unique in the page.
        score: The score's name.
        end: Limits of a second picture, which a switch shows: of the ends of the lines. None makes none.
    """
    whole = _curves(lines, styles, quantity, axis, within, name, score)
    cut = None if end is None else _curves(lines, styles, quantity, axis, end, f"{name}-end", score)
    return with_switch(whole, cut)


def _curves(
    lines: Curves, styles: Styles, quantity: Quantity, axis: Axis, within: Frame, name: str, score: str
) -> Markup:
    with plot() as (figure, axes):
        for number, arm in styles:
            if arm in lines:
                _draw_curve(axes, number, thinned(lines[arm]))
        if quantity in _LEVELS:
            axes.axhline(_LEVELS[quantity], color=INK, linewidth=1.0, linestyle=(0, (1, 2)))
        axes.set_xlim(0.0, 1.02 * max(lines[arm][-1].x for _, arm in styles if arm in lines))
        if within.bottom is not None:
            axes.set_ylim(within.bottom, within.top)
        elif quantity in _FROM_ZERO:
            axes.set_ylim(bottom=0.0)
        axes.set_xlabel(_AXES[axis])
        axes.set_ylabel(_UNITS[quantity].format(score=score))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=axis == "epoch"))
        if axis == "macs":
            axes.xaxis.set_major_formatter(EngFormatter(sep="\N{NO-BREAK SPACE}"))
        description = _WORDS[quantity].format(score=score)
        values = hover(
            axes, [HoverLine(arm, number, thinned(lines[arm])) for number, arm in styles if arm in lines]
        )
        return as_svg(figure, name, f"{description} over {_AXES[axis]}, per arm", values)


def outcomes(
    rows: Sequence[ArmRow], styles: Styles, axis: Axis, name: str, score: str = "top-1"
) -> Markup | None:
    """Return the arms' final scores against what their trainings cost: a marker each, with its deviation."""
    costs = {row.arm: row.train_seconds if axis == "seconds" else row.train_macs for row in rows}
    spreads = {row.arm: row.val_score for row in rows}
    with plot() as (figure, axes):
        drawn = []
        for number, arm in styles:
            cost, spread = costs.get(arm), spreads.get(arm)
            if cost and spread:
                spent = seconds(cost) if axis == "seconds" else f"{si(cost)} MACs"
                drawn.append(
                    HoverPoint(arm, number, cost, spread.mean, f"{plus_minus(spread)} % after {spent}")
                )
                style = {"color": arm_color(number), "marker": style_of(number).marker, "markersize": 7}
                axes.errorbar([cost], [spread.mean], [spread.sd or 0.0], capsize=2.5, **style)
        if not drawn:
            return None
        axes.set_xlim(0.0, 1.06 * max(point.x for point in drawn))
        axes.set_xlabel({"seconds": "training seconds", "macs": "MACs of the training"}.get(axis, axis))
        axes.set_ylabel(f"{score}, %")
        axes.xaxis.set_major_locator(MaxNLocator(6))
        if axis == "macs":
            axes.xaxis.set_major_formatter(EngFormatter(sep="\N{NO-BREAK SPACE}"))
        description = f"{score} of each arm against the cost of its training"
        return as_svg(figure, name, description, hover_points(axes, drawn))


def paired_differences(
    compared: Sequence[ArmPair], styles: Mapping[str, int], name: str = "pairs", score: str = "top-1"
) -> Markup | None:
    """Return a line per comparison: a dot per seed, the mean with its interval; None if there is none."""
    if not compared:
        return None
    with plot(5.0, 0.7 + _LINE_INCHES * len(compared)) as (figure, axes):
        axes.axvline(0.0, color=INK, linewidth=1.2)
        drawn = []
        for line, pair in enumerate(compared):
            title = f"{pair.arm} vs {pair.against}"
            # the first pair on top
            drawn += _draw_difference(axes, -line, pair.difference, styles.get(pair.arm, 0), title)
            # on a plate, or the line at zero would cross the text
            box = {"facecolor": CARD, "edgecolor": "none", "pad": 1.5}
            axes.text(0.0, 0.29 - line, title, transform=axes.get_yaxis_transform(), fontsize=10.5, bbox=box)
            axes.axhline(-line - 0.45, color=GRID, linewidth=0.8)
        axes.set_yticks([])
        axes.set_ylim(-len(compared) + 0.55, 0.55)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"difference, points of {score}")
        description = "Differences between arms, a dot per seed, mean and 95 % interval"
        return as_svg(figure, name, description, hover_points(axes, drawn))


def _draw_curve(axes: Any, number: int, line: Sequence[Point]) -> None:
    color, xs, ys = arm_color(number), [point.x for point in line], [point.y for point in line]
    if all(point.sd is not None for point in line) and len(line) > 1:
        low = [point.y - (point.sd or 0.0) for point in line]
        high = [point.y + (point.sd or 0.0) for point in line]
        axes.fill_between(xs, low, high, color=color, alpha=0.16, linewidth=0)
    axes.plot(xs, ys, color=color, linewidth=1.9, linestyle=line_style(number))
    # the marker at its end tells a line from others without color
    axes.errorbar(
        xs[-1:],
        ys[-1:],
        [line[-1].sd or 0.0],
        color=color,
        marker=style_of(number).marker,
        markersize=6,
        capsize=2.5,
    )


def _draw_difference(
    axes: Any, height: float, difference: Difference, number: int, title: str
) -> list[HoverPoint]:
    """Draw the seeds above and their mean below; return the points for the pointer."""
    color, seeds, below = arm_color(number), height + 0.08, height - 0.17
    values = list(difference.by_seed.values())
    axes.scatter(values, [seeds] * len(values), s=24, color=color, alpha=0.55, linewidths=0)
    if difference.low is not None and difference.high is not None:
        axes.plot([difference.low, difference.high], [below] * 2, color=color, linewidth=2.5)
    axes.plot([difference.mean], [below], style_of(number).marker, color=color, markersize=7)
    return [
        *(
            HoverPoint(title, number, value, seeds, f"seed {seed}: {signed(value)}")
            for seed, value in difference.by_seed.items()
        ),
        HoverPoint(title, number, difference.mean, below, f"mean {interval(difference)}"),
    ]
