"""Render the page of a detector: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from netaug.core.escaping import html
from netaug.core.io import write_atomic
from netaug.detect.ap import VocAP
from netaug.detect.operating import f1_at, precision_at
from netaug.detect.overlaps import Doubles
from netaug.report.confusions import MOST_CLASSES, confusions_table
from netaug.report.detection import examples, tables
from netaug.report.detection.pictures import picture
from netaug.report.detection.predictions import Results
from netaug.report.styles import STYLES, line_style
from netaug.report.svg import INK, HoverLine, arm_color, as_svg, hover, plot
from netaug.report.template import page_parts, template

FEW = len(STYLES)
"""Classes up to which each has a style of its own."""
_RECALLS = np.linspace(0.0, 1.0, 201)
_SCORES = np.linspace(0.0, 1.0, 201)
_TEXTS = ("class", "taken for")
_KINDS = {
    "best": "Best found",
    "worst": "Worst",
    "missed": "Missed",
}
_NOTES = {
    "best": "The highest F1 of an image; of several, the most objects.",
    "worst": "The lowest F1; of several, the most errors.",
    "missed": "Of the others, the most objects without any prediction.",
}


def render_page(results: Results) -> str:
    """Return the page as HTML text; what comes from files is escaped, and its policy lets a browser fetch nothing."""
    classes = len(results.class_names)
    labels = with_objects(results.voc)
    page: str = template("detection.html.jinja").render(
        title=results.title,
        headline=f"{results.score[0]} {results.score[1]:.1f} % on {results.split}",
        sentences=sentences(results),
        classes=tables.classes_table(results),
        curves=precision_recall(results),
        f1=f1_confidence(results),
        legend=[results.class_names[label] for label in labels] if len(labels) <= FEW else [],
        matrix=tables.confusion_rows(results) if classes <= MOST_CLASSES else [],
        columns=(*results.class_names, "missed"),
        confusions=confusions_table(results.matrix, results.class_names, "objects"),
        threshold=f"{results.threshold:.2f}",
        galleries=galleries(results),
        coco=tables.coco_rows(results),
        facts=list(results.facts.items()),
        command=html(results.command),
        **page_parts() | {"texts": _TEXTS},
    )
    return page


def write_page(results: Results, path: Path) -> None:
    """Write :func:`render_page` to a file."""
    write_atomic(path, render_page(results))


def sentences(results: Results) -> list[str]:
    """Return the operating point, and the best and the weakest class, as sentences."""
    lines = []
    best = results.best
    if best is None:
        lines.append("No object is found by a prediction of its class.")
    else:
        lines.append(
            f"Believed from score {best.score:.2f} on, where F1 is best ({100 * best.f1:.1f} %), "
            f"{100 * best.precision:.1f} % of the predictions are right and {100 * best.recall:.1f} % of the objects "
            "are found."
        )
    known = with_objects(results.voc)
    if len(known) > 1:
        ap_C, names = results.voc.ap_C, results.class_names
        high, low = max(known, key=lambda c: ap_C[c]), min(known, key=lambda c: ap_C[c])
        lines.append(
            f"Best class: {names[high]} (AP50 {100 * ap_C[high]:.1f} %); "
            f"weakest: {names[low]} (AP50 {100 * ap_C[low]:.1f} %)."
        )
    return lines


def galleries(results: Results) -> list[dict[str, Any]]:
    """Return example pictures of each kind; a kind without any is left out."""
    counts = examples.count(results.pairing, results.truth)
    chosen = examples.choose(counts)
    rows = []
    for kind, images in (("best", chosen.best), ("worst", chosen.worst), ("missed", chosen.missed)):
        pictures = [(_drawn(results, image), caption(counts, image), results.name(image)) for image in images]
        if pictures:
            rows.append({"title": _KINDS[kind], "note": _NOTES[kind], "pictures": pictures})
    return rows


def caption(counts: examples.Counts, image: int) -> str:
    """Return what is right, wrong and missing on an image."""
    return f"{counts.right_N[image]} right, {counts.wrong_N[image]} wrong, {counts.missed_N[image]} not found"


def _drawn(results: Results, image: int) -> Markup:
    marks = examples.marks(image, results.pairing, results.truth, results.class_names)
    return picture(results.read(image), marks, f"{results.name(image)} with its boxes")


def with_objects(result: VocAP) -> list[int]:
    """Return the classes that have a curve."""
    return [label for label, curve in enumerate(result.curves) if curve.objects]


def precision_recall(results: Results) -> Markup | None:
    """Return precision against recall, a line per class that has objects.

    Returns:
        The SVG; None if no class has objects.
    """
    curves = results.voc.curves
    lines = {c: 100 * precision_at(curves[c], _RECALLS) for c in with_objects(results.voc)}
    if not lines:
        return None
    with plot() as (figure, axes):
        hovered = _draw_classes(axes, 100 * _RECALLS, lines, results.class_names)
        if len(lines) > FEW:
            mean = np.mean(list(lines.values()), axis=0)
            axes.plot(100 * _RECALLS, mean, color=arm_color(1), linewidth=2.4)
            hovered = [_hover_line("mean of classes", 1, 100 * _RECALLS, mean)]
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 102)
        axes.set_xlabel("recall, % of the objects found")
        axes.set_ylabel("precision, % right")
        description = "Precision against recall of each class"
        return as_svg(figure, "precision-recall", description, hover(axes, hovered))


def f1_confidence(results: Results) -> Markup | None:
    """Return F1 against the least score of a prediction that is kept: per class, and over all objects.

    Returns:
        The SVG; None if no class has objects.
    """
    curves, labels = results.voc.curves, with_objects(results.voc)
    if not labels:
        return None
    lines = {c: 100 * f1_at([curves[c]], _SCORES) for c in labels}
    every = 100 * f1_at(curves, _SCORES)
    with plot() as (figure, axes):
        hovered = _draw_classes(axes, _SCORES, lines, results.class_names)
        axes.plot(_SCORES, every, color=INK, linewidth=2.6)
        if results.best is not None:
            axes.axvline(results.best.score, color=INK, linewidth=1.0, linestyle=(0, (1, 2)))
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 102)
        axes.set_xlabel("score from which predictions are kept")
        axes.set_ylabel("F1, %")
        shown = [*(hovered if len(lines) <= FEW else ()), _hover_line("all classes", None, _SCORES, every)]
        return as_svg(
            figure, "f1", "F1 against the score from which predictions are kept", hover(axes, shown)
        )


def _draw_classes(
    axes: Any, x_P: Doubles, lines: Mapping[int, Doubles], names: Sequence[str]
) -> list[HoverLine]:
    """Draw a line per class; more classes than styles could not be told apart, and are thin."""
    hovered = []
    for number, (label, line_P) in enumerate(lines.items()):
        if len(lines) <= FEW:
            style = {"color": arm_color(number), "linewidth": 1.9, "linestyle": line_style(number)}
            hovered.append(_hover_line(names[label], number, x_P, line_P))
        else:
            style = {"color": INK, "linewidth": 0.6, "alpha": 0.4}
        axes.plot(x_P, line_P, **style)
    return hovered


def _hover_line(name: str, number: int | None, x_P: Doubles, y_P: Doubles) -> HoverLine:
    # each second point: a hundred of them are as many as there are to be told apart
    points = [(x, y, None) for x, y in zip(x_P[::2].tolist(), y_P[::2].tolist(), strict=True)]
    return HoverLine(name, number, points)
