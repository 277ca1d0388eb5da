"""Render the page of a classifier: one self-contained HTML file, and its predictions as CSV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from netaug.compare.cells import Cell, Table
from netaug.compare.formatting import NONE
from netaug.core.display import score_name
from netaug.core.escaping import csv_text, html
from netaug.core.io import write_atomic
from netaug.report.classification.predictions import BINS, ClassifierResults
from netaug.report.confusions import MOST_CLASSES, confusions_table, matrix_rows, percent
from netaug.report.embedded import thumbnail
from netaug.report.svg import INK, HoverLine, arm_color, as_svg, hover, plot
from netaug.report.template import page_parts, template

_MOST_MISTAKES = 24
_SIDE = 240  # pixels of the longer side in the page
_TEXTS = ("class", "taken for", "most often taken for")
_CALIBRATED = 0.02
"""Gap of mean probability and accuracy below which a network is called neither too sure nor too unsure."""


def render_page(results: ClassifierResults) -> str:
    """Return the page as HTML text; what comes from files is escaped, and its policy lets a browser fetch nothing."""
    names = results.class_names
    few = len(names) <= MOST_CLASSES
    page: str = template("classification.html.jinja").render(
        title=results.title,
        headline=f"{score_name(results.score)} {results.metrics[results.score]:.1f} % on {results.split}",
        sentences=sentences(results),
        classes=classes_table(results),
        matrix=matrix_rows(results.matrix, names) if few else [],
        columns=names,
        confusions=confusions_table(results.matrix, names, "images"),
        pictures=[
            ("Are they right as often as they say?", reliability(results)),
            ("How sure", sureness(results)),
        ],
        mistakes=mistakes(results),
        facts=list(results.facts.items()),
        command=html(results.command),
        **page_parts() | {"texts": _TEXTS},
    )
    return page


def write_page(results: ClassifierResults, path: Path) -> None:
    """Write :func:`render_page` to a file."""
    write_atomic(path, render_page(results))


def write_predictions(results: ClassifierResults, path: Path) -> None:
    """Write a line per image: its class, and the likeliest classes with their probabilities.

    Cells that a spreadsheet would take for a formula begin with an apostrophe.
    """
    classes_NK, probabilities_NK = results.likeliest
    names, count = results.class_names, classes_NK.shape[1]
    columns = ["image", "class", "prediction", "right", "probability", "probability_of_class"]
    for rank in range(2, count + 1):
        columns += [f"prediction_{rank}", f"probability_{rank}"]
    lines = []
    for row, position in enumerate(results.positions_N.tolist()):
        line: dict[str, object] = {
            "image": results.name(position),
            "class": names[results.labels_N[row]],
            "prediction": names[classes_NK[row, 0]],
            "right": int(results.right_N[row]),
            "probability": f"{probabilities_NK[row, 0]:.6f}",
            "probability_of_class": f"{results.label_probability_N[row]:.6f}",
        }
        for rank in range(1, count):
            line[f"prediction_{rank + 1}"] = names[classes_NK[row, rank]]
            line[f"probability_{rank + 1}"] = f"{probabilities_NK[row, rank]:.6f}"
        lines.append(line)
    write_atomic(path, csv_text(columns, lines))


def sentences(results: ClassifierResults) -> list[str]:
    """Return further scores, the best and the weakest class, the most frequent confusion, and how sure it is."""
    return [
        line
        for line in (_further(results), _extremes(results), _confusion(results), _sureness(results))
        if line
    ]


def _further(results: ClassifierResults) -> str:
    parts = [
        f"{score_name(name)} {results.metrics[name]:.1f} %"
        for name in ("top1", "top5", "mean_per_class")
        if name in results.metrics and name != results.score
    ]
    return f"Also: {', '.join(parts)}." if parts else ""


def _extremes(results: ClassifierResults) -> str:
    accuracy_C, names = results.scores.accuracy_C, results.class_names
    known = np.flatnonzero(~np.isnan(accuracy_C))
    if len(known) < 2:
        return ""
    high, low = known[np.argmax(accuracy_C[known])], known[np.argmin(accuracy_C[known])]
    if accuracy_C[high] == accuracy_C[low]:
        return f"All classes are recognized equally often ({100 * accuracy_C[high]:.1f} %)."
    return (
        f"Best class: {names[high]} ({100 * accuracy_C[high]:.1f} % recognized); "
        f"weakest: {names[low]} ({100 * accuracy_C[low]:.1f} %)."
    )


def _confusion(results: ClassifierResults) -> str:
    wrong = results.matrix.copy()
    np.fill_diagonal(wrong, 0)
    count = int(wrong.max())
    if not count:
        return "No image is taken for another class."
    is_, predicted = np.unravel_index(int(wrong.argmax()), wrong.shape)
    names = results.class_names
    times = "once" if count == 1 else f"{count:,} times"
    return f"Most frequent mistake: {names[is_]} is taken for {names[predicted]}, {times}."


def _sureness(results: ClassifierResults) -> str:
    said, right = float(results.probability_N.mean()), float(results.right_N.mean())
    gap = said - right
    verdict = "as sure as they are right"
    if abs(gap) >= _CALIBRATED:
        verdict = f"too {'sure' if gap > 0 else 'unsure'}, by {100 * abs(gap):.1f} points"
    return (
        f"Predictions are {verdict}: mean probability {100 * said:.1f} %, right {100 * right:.1f} %; expected "
        f"calibration error {100 * results.calibration_error:.1f} %."
    )


def classes_table(results: ClassifierResults) -> Table:
    """Return a row per class: images, accuracy, precision, F1, and what it is most often taken for."""
    headers = ("class", "images", "accuracy %", "precision %", "F1 %", "most often taken for")
    scores, rows = results.scores, []
    for label, name in enumerate(results.class_names):
        images = int(scores.images_C[label])
        rows.append(
            (
                Cell(name, name),
                Cell(f"{images:,}", images),
                percent(float(scores.accuracy_C[label]) if images else math.nan),
                percent(float(scores.precision_C[label])),
                percent(float(scores.f1_C[label]) if images else math.nan),
                _taken_for(results, label),
            )
        )
    return Table(headers, tuple(rows))


def _taken_for(results: ClassifierResults, label: int) -> Cell:
    row_C = results.matrix[label].copy()
    row_C[label] = 0
    other = int(row_C.argmax())
    if not row_C[other]:
        return Cell(NONE)
    return Cell(f"{results.class_names[other]} ({row_C[other]:,})", int(row_C[other]))


def mistakes(results: ClassifierResults) -> list[tuple[Markup, str, str]]:
    """Return the surest mistakes: picture, what it is and is taken for, and the name of the image."""
    shown = []
    names = results.class_names
    for row in results.mistakes(_MOST_MISTAKES):
        position = int(results.positions_N[row])
        name, label = results.name(position), names[results.labels_N[row]]
        caption = (
            f"{label} ({100 * results.label_probability_N[row]:.1f} %), taken for "
            f"{names[results.predicted_N[row]]} ({100 * results.probability_N[row]:.1f} %)"
        )
        shown.append((thumbnail(results.read(position), _SIDE, f"{name}: {caption}"), caption, name))
    return shown


def reliability(results: ClassifierResults) -> Markup:
    """Draw how often predictions are right against the probability that the network gives them."""
    bins = results.calibration
    with plot() as (figure, axes):
        axes.plot([0, 100], [0, 100], color=INK, linewidth=1.0, linestyle=(0, (1, 2)))
        axes.plot(
            [100 * bin_.probability for bin_ in bins],
            [100 * bin_.accuracy for bin_ in bins],
            color=arm_color(0),
            linewidth=1.9,
            marker="o",
            markersize=6,
        )
        axes.set_xlim(0, 102)
        axes.set_ylim(0, 102)
        axes.set_xlabel("probability of the prediction, %")
        axes.set_ylabel("right, %")
        points = [(100 * bin_.probability, 100 * bin_.accuracy, None) for bin_ in bins]
        values = hover(axes, [HoverLine("predictions", 0, points)])
        description = "How often predictions are right, against their probability"
        return as_svg(figure, "reliability", description, values)


def sureness(results: ClassifierResults) -> Markup:
    """Draw how many predictions have which probability, right and wrong ones."""
    edges = np.linspace(0, 100, BINS + 1)
    groups: Sequence[tuple[int, str, npt.NDArray[np.bool_]]] = (
        (0, "right", results.right_N),
        (1, "wrong", ~results.right_N),
    )
    with plot() as (figure, axes):
        bottom_B = np.zeros(BINS)
        for number, label, chosen_N in groups:
            counts_B, _ = np.histogram(100 * results.probability_N[chosen_N], edges)
            color = arm_color(number)
            axes.bar(edges[:-1] + 5, counts_B, 8.6, bottom=bottom_B, color=color, label=label)
            bottom_B += counts_B
        axes.legend(frameon=False)
        axes.set_xlim(0, 100)
        axes.set_xlabel("probability of the prediction, %")
        axes.set_ylabel("images")
        return as_svg(figure, "sureness", "Number of right and wrong predictions by their probability")
