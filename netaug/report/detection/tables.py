"""Build the tables of a detector's page."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from netaug.compare.cells import Cell, Table
from netaug.compare.formatting import NONE
from netaug.detect.coco import NUMBERS
from netaug.detect.operating import best_operating
from netaug.report.detection.predictions import Results

MOST_CLASSES = 25
"""Classes up to which confusions are shown as a matrix."""
_MOST_CONFUSIONS = 20
_NAMES = {
    "AP": "AP, overlap 0.50 to 0.95",
    "AP50": "AP at overlap 0.50",
    "AP75": "AP at overlap 0.75",
    "APs": "AP of small objects, up to 32² pixels",
    "APm": "AP of medium objects, up to 96² pixels",
    "APl": "AP of large objects",
    "AR1": "recall with 1 prediction per image",
    "AR10": "recall with 10 predictions per image",
    "AR100": "recall with 100 predictions per image",
    "ARs": "recall of small objects",
    "ARm": "recall of medium objects",
    "ARl": "recall of large objects",
}


@dataclass(frozen=True)
class ConfusionCell:
    """Describe a cell of the confusion matrix.

    Args:
        count: How many.
        percent: Of its row, in percent; None of an empty row.
        right: Whether it is on the diagonal.
    """

    count: int
    percent: float | None
    right: bool


def percent(fraction: float, digits: int = 1) -> Cell:
    """Return a fraction in [0, 1] in percent; a dash where it is NaN."""
    return Cell(NONE) if math.isnan(fraction) else Cell(f"{100 * fraction:.{digits}f}", fraction)


def classes_table(results: Results) -> Table:
    """Return a row per class: objects, average precisions, and the score threshold of the best F1."""
    headers = ("class", "objects", "AP50 %", "AP %", "best F1 %", "from score", "precision %", "recall %")
    rows = []
    for label, name in enumerate(results.class_names):
        curve = results.voc.curves[label]
        best = best_operating([curve])
        rows.append(
            (
                Cell(name, name),
                Cell(f"{curve.objects:,}", curve.objects),
                percent(results.voc.ap_C[label]),
                percent(results.coco.ap_C[label]),
                percent(best.f1 if best else math.nan),
                Cell(f"{best.score:.2f}", best.score) if best else Cell(NONE),
                percent(best.precision if best else math.nan),
                percent(best.recall if best else math.nan),
            )
        )
    return Table(headers, tuple(rows))


def coco_rows(results: Results) -> list[tuple[str, str]]:
    """Return the twelve COCO numbers with their names."""
    return [
        (_NAMES[name], f"{percent(results.coco.numbers[name]).text} %".replace(f"{NONE} %", NONE))
        for name in NUMBERS
    ]


def confusion_rows(results: Results) -> list[tuple[str, list[ConfusionCell]]]:
    """Return the confusion matrix by rows of true classes; the last column is missed, the last row background."""
    totals = results.matrix.sum(axis=1)
    names = (*results.class_names, "background")
    return [
        (
            names[row],
            [
                ConfusionCell(int(count), 100 * count / totals[row] if totals[row] else None, row == column)
                for column, count in enumerate(results.matrix[row])
            ],
        )
        for row in range(len(names))
    ]


def confusions_table(results: Results) -> Table:
    """Return the objects most often taken for another class, where classes are too many for a matrix."""
    classes = len(results.class_names)
    wrong = results.matrix[:classes, :classes].copy()
    np.fill_diagonal(wrong, 0)
    totals = results.matrix[:classes].sum(axis=1)
    # stable, so that equal counts have the order of classes and the page is the same each time
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_CONFUSIONS]
    rows = []
    for flat_index in order.tolist():
        is_, predicted = divmod(flat_index, classes)
        count = int(wrong[is_, predicted])
        if count:
            names = results.class_names
            rows.append(
                (
                    Cell(names[is_], names[is_]),
                    Cell(names[predicted], names[predicted]),
                    Cell(f"{count:,}", count),
                    percent(count / totals[is_]),
                )
            )
    return Table(("class", "taken for", "times", "% of its objects"), tuple(rows))
