"""Plots as inline SVG whose colours are CSS variables, so that one drawing suits a light and a dark page."""

from __future__ import annotations

import html
import io
import re
import statistics
from collections.abc import Iterable, Sequence
from itertools import accumulate, cycle
from typing import TYPE_CHECKING, Any, Literal

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from netaug.compare.records import RunRecord
    from netaug.compare.results import Comparison
    from netaug.compare.statistics import Difference

Split = Literal["val", "train"]
Axis = Literal["epoch", "seconds"]

# matplotlib wants colours it can parse: these stand for CSS variables until the SVG is written
_INK, _GRID = "#010203", "#040506"
_ARM_COLORS = {"baseline": "#010101", "netaug": "#020202", "baseline-long": "#030303"}
_ARM_LINES: dict[str, Any] = {"baseline": "solid", "netaug": "solid", "baseline-long": (0, (4, 1.5))}
_MORE = ("#cc79a7", "#7f7f7f", "#b8860b", "#6a5acd", "#8b4513", "#20b2aa", "#708090", "#dc143c")
_CSS = {
    _INK: "var(--muted)",
    _GRID: "var(--line)",
    **{color: f"var(--arm-{arm})" for arm, color in _ARM_COLORS.items()},
}
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "netaug",
    "path.simplify": True,
    "text.usetex": False,
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "axes.prop_cycle": matplotlib.rcParamsDefault["axes.prop_cycle"],
    "font.family": ["DejaVu Sans"],
    "font.size": 11.0,
    "lines.marker": "None",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "grid.linestyle": "-",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
}


def learning_curves(runs: Sequence[RunRecord], split: Split, axis: Axis) -> Markup | None:
    """Top-1 of all final runs: thin lines per seed, a thick one for the mean of an arm's seeds.

    Args:
        runs: Runs with their curves.
        split: Accuracy on the evaluation or on the training images.
        axis: Epochs, or seconds of training since the start.

    Returns:
        The SVG; None if no run has logged anything.
    """
    drawn = [run for run in runs if run.spec.phase == "final" and run.summary and _points(run, split, axis)]
    if not drawn:
        return None
    words = {"val": "evaluation", "train": "training"}[split], {"epoch": "epoch", "seconds": "time"}[axis]
    late = []  # where the means are after a fifth of their training
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(5.0, 3.3), layout="constrained")
        axes = figure.add_subplot()
        others = dict.fromkeys(run.spec.arm for run in drawn if run.spec.arm not in _ARM_COLORS)
        colors = _ARM_COLORS | dict(zip(others, cycle(_MORE), strict=False))
        for arm, color in colors.items():
            lines = [_points(run, split, axis) for run in drawn if run.spec.arm == arm]
            for line in lines:
                axes.plot(*zip(*line, strict=True), color=color, linewidth=0.8, alpha=0.35)
            mean = _mean_line(lines)
            if mean:
                marker = "o" if len(mean) == 1 else "None"
                style = {"color": color, "linestyle": _ARM_LINES.get(arm, "solid"), "marker": marker}
                axes.plot(*zip(*mean, strict=True), linewidth=2.0, **style)
                late.append(mean[len(mean) // 5][1])
        axes.set_ylim(bottom=max(axes.get_ylim()[0], min(late) - 1.0))
        axes.set_xlabel("epoch" if axis == "epoch" else "training seconds")
        axes.set_ylabel("top-1, %")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=axis == "epoch"))
        return _svg(figure, f"curve-{split}-{axis}", f"Top-1 on {words[0]} images over {words[1]}, per arm")


def paired_differences(comparison: Comparison) -> Markup | None:
    """NetAug minus the baselines, a dot per seed, the mean with its interval; None if there is no pair."""
    netaug = comparison.row("netaug")
    if netaug is None:
        return None
    pairs = [
        ("vs baseline", netaug.vs_baseline, "baseline"),
        ("vs baseline-long", netaug.vs_long, "baseline-long"),
    ]
    shown = [(text, difference, arm) for text, difference, arm in pairs if difference]
    if not shown:
        return None
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(5.0, 0.8 + 0.75 * len(shown)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0.0, color=_INK, linewidth=1.2)
        for place, (_, difference, arm) in enumerate(shown):
            _draw_difference(axes, -place, difference, _ARM_COLORS[arm])
        axes.set_yticks([-place for place in range(len(shown))], [text for text, _, _ in shown])
        axes.set_ylim(-len(shown) + 0.45, 0.55)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("NetAug minus baseline, points of top-1")
        return _svg(figure, "pairs", "Difference between NetAug and the baselines, a dot per seed")


def _draw_difference(axes: Any, place: float, difference: Difference, color: str) -> None:
    values = list(difference.by_seed.values())
    axes.scatter(values, [place + 0.18] * len(values), s=26, color=color, alpha=0.6, linewidths=0)
    if difference.low is not None and difference.high is not None:
        axes.plot([difference.low, difference.high], [place - 0.12] * 2, color=color, linewidth=2.5)
    axes.plot([difference.mean], [place - 0.12], "D", color=color, markersize=7)


def _points(run: RunRecord, split: Split, axis: Axis) -> list[tuple[float, float]]:
    times = accumulate(epoch.seconds for epoch in run.curve)
    points = []
    for epoch, elapsed in zip(run.curve, times, strict=True):
        top1 = epoch.val_top1 if split == "val" else epoch.train_top1
        if top1 is not None:
            points.append((epoch.epoch + 1.0 if axis == "epoch" else elapsed, top1))
    return points


def _mean_line(lines: Sequence[list[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Point by point mean of lines; as far as all of them go."""
    steps: Iterable[tuple[tuple[float, float], ...]] = zip(*lines, strict=False)
    return [
        (statistics.fmean(x for x, _ in step), statistics.fmean(y for _, y in step)) for step in steps if step
    ]


def _svg(figure: Figure, name: str, description: str) -> Markup:
    """The figure as an ``<svg>`` element for an HTML page, its ids made unique by ``name``."""
    buffer = io.StringIO()
    FigureCanvasSVG(figure)
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    head, body = text.split(">", 1)
    view = re.search(r'viewBox="[^"]*"', head)
    assert view, "matplotlib writes a viewBox"
    body = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r'xlink:href="#([^"]*)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"'DejaVu Sans'", "inherit", body)
    for color, variable in _CSS.items():
        body = body.replace(color, variable)
    label = html.escape(description, quote=True)
    return Markup(f'<svg {view[0]} role="img" aria-label="{label}">{body}')
