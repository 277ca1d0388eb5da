"""Plot accuracy against MACs at several resolutions, all arms in one plot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from matplotlib.ticker import EngFormatter

from netaug.compare.equal_accuracy import EqualAccuracy, PointsBySeed, mean_points
from netaug.report.styles import line_style, style_of
from netaug.report.svg import INK, arm_color, as_svg, plot


def tradeoff(arms: Mapping[str, PointsBySeed], score: str, equal: EqualAccuracy | None = None) -> Markup:
    """Return a line per arm through the means over its seeds, a bar of one standard deviation at each resolution.

    Args:
        arms: Points by seed, by arm; the position of an arm decides its style.
        score: What the scores are, e.g. ``AP50``.
        equal: Draws how far it is, at equal accuracy, to the second arm from the first; None draws nothing.
    """
    with plot(6.4, 3.9) as (figure, axes):
        for number, (name, arm) in enumerate(arms.items()):
            _draw(axes, number, name, arm)
        if equal is not None and equal.saving is not None and equal.saving != 0:
            _draw_saving(axes, equal)
        # room for the resolutions that are written above and below the lines
        axes.margins(y=0.13)
        axes.legend(loc="lower right", frameon=False)
        axes.set_xlabel("MACs of an image")
        axes.set_ylabel(f"{score}, %")
        axes.xaxis.set_major_formatter(EngFormatter(sep="\N{NO-BREAK SPACE}"))
        return as_svg(figure, "tradeoff", f"{score} against MACs at several resolutions, per arm")


def _draw(axes: Any, number: int, name: str, arm: PointsBySeed) -> None:
    means = mean_points(list(arm.values()))
    seeds = [{point.resolution: point.score for point in points} for points in arm.values()]
    bars = [
        statistics.stdev(scores) if len(scores := [seed[point.resolution] for seed in seeds]) > 1 else 0.0
        for point in means
    ]
    axes.errorbar(
        [point.macs for point in means],
        [point.score for point in means],
        bars,
        label=name,
        color=arm_color(number),
        linestyle=line_style(number),
        linewidth=1.9,
        marker=style_of(number).marker,
        markersize=6,
        capsize=2.5,
    )
    below = number == 0  # the first arm's resolutions are below its line, the others' above
    for point, bar in zip(means, bars, strict=True):
        axes.annotate(
            f"{point.resolution}",
            (point.macs, point.score - bar if below else point.score + bar),
            xytext=(0, -13 if below else 6),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
        )


def _draw_saving(axes: Any, equal: EqualAccuracy) -> None:
    assert equal.saving is not None
    macs_there = equal.target.macs * (1 - equal.saving / 100)
    ends = {"xy": (macs_there, equal.target.score), "xytext": (equal.target.macs, equal.target.score)}
    axes.annotate("", **ends, arrowprops={"arrowstyle": "->", "color": INK, "linestyle": (0, (2, 2))})
    axes.annotate(
        f"{'≥ ' if equal.at_least else ''}{abs(equal.saving):.0f} % {'fewer' if equal.saving > 0 else 'more'}",
        ((macs_there + equal.target.macs) / 2, equal.target.score),
        xytext=(0, 5),
        textcoords="offset points",
        ha="center",
        fontsize=9.5,
    )
