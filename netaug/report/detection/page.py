"""Render the page of a detector: one self-contained HTML file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from torch import Tensor

from netaug.core.escaping import html
from netaug.core.io import write_atomic
from netaug.detect.ap import VocAP
from netaug.detect.operating import precision_at
from netaug.report.confusions import MOST_CLASSES, confusions_table
from netaug.report.detection import examples, tables
from netaug.report.detection.examples import Mark
from netaug.report.detection.predictions import Results
from netaug.report.embedded import data_uri
from netaug.report.styles import STYLES, line_style
from netaug.report.svg import INK, arm_color, as_svg, plot
from netaug.report.template import page_parts, template

FEW = len(STYLES)
"""Classes up to which each has a style of its own."""
_RECALLS = np.linspace(0.0, 1.0, 201)
_SIDE = 560  # pixels of the longer side in the page
_MOST_NAMED = 6  # boxes of a kind up to which each has its name written beside it
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
        curves=precision_recall(results.voc),
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
        pictures = [
            (_caption(counts, image), results.name(image), _drawn(results, image)) for image in images
        ]
        if pictures:
            rows.append({"title": _KINDS[kind], "note": _NOTES[kind], "pictures": pictures})
    return rows


def _caption(counts: examples.Counts, image: int) -> str:
    return f"{counts.right_N[image]} right, {counts.wrong_N[image]} wrong, {counts.missed_N[image]} not found"


def _drawn(results: Results, image: int) -> Markup:
    marks = examples.marks(image, results.pairing, results.truth, results.class_names)
    return picture(results.read(image), marks, f"{results.name(image)} with its boxes")


def with_objects(result: VocAP) -> list[int]:
    """Return the classes that have a curve."""
    return [label for label, curve in enumerate(result.curves) if curve.objects]


def precision_recall(result: VocAP) -> Markup | None:
    """Return a line per class that has objects; of many classes they are thin, and their mean is drawn.

    Returns:
        The SVG; None if no class has objects.
    """
    labels = with_objects(result)
    if not labels:
        return None
    lines = [precision_at(result.curves[label], _RECALLS) for label in labels]
    with plot(6.4, 4.0) as (figure, axes):
        for number, line in enumerate(lines):
            # more classes than styles could not be told apart by their lines
            if len(labels) <= FEW:
                style = {"color": arm_color(number), "linewidth": 1.9, "linestyle": line_style(number)}
            else:
                style = {"color": INK, "linewidth": 0.6, "alpha": 0.4}
            axes.plot(100 * _RECALLS, 100 * line, **style)
        if len(labels) > FEW:
            axes.plot(100 * _RECALLS, 100 * np.mean(lines, axis=0), color=arm_color(1), linewidth=2.4)
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 102)
        axes.set_xlabel("recall, % of the objects found")
        axes.set_ylabel("precision, % right")
        return as_svg(figure, "precision-recall", "Precision against recall of each class")


def picture(pixels_CHW: Tensor, marks: Sequence[Mark], description: str) -> Markup:
    """Return the image, scaled down, with its boxes.

    Args:
        pixels_CHW: uint8, as large as the file that the boxes are in pixels of.
        marks: The boxes; the last lies on top.
        description: What the picture shows, for those who do not see it.
    """
    height, width = pixels_CHW.shape[-2:]
    kinds = Counter(mark.kind for mark in marks)
    size = max(width, height) / 34
    boxes = Markup("").join(_box(mark, size, named=kinds[mark.kind] <= _MOST_NAMED) for mark in marks)
    return Markup(
        '<svg class="picture" viewBox="0 0 {w} {h}" role="img" aria-label="{label}">'
        '<image href="{data}" width="{w}" height="{h}"/>{boxes}</svg>'
    ).format(w=width, h=height, label=description, data=data_uri(pixels_CHW, _SIDE), boxes=boxes)


def _box(mark: Mark, size: float, *, named: bool) -> Markup:
    left, top, right, bottom = mark.box
    text = Markup('<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}">{text}</text>').format(
        x=left, y=top - size / 4 if top > 1.3 * size else top + size, size=size, text=mark.text
    )
    return Markup(
        '<g class="{kind}"><title>{text}</title>'
        '<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"/>{name}</g>'
    ).format(
        kind=mark.kind,
        text=mark.text,
        x=left,
        y=top,
        w=max(0.0, right - left),
        h=max(0.0, bottom - top),
        name=text if named else "",
    )
