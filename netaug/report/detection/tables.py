"""Build the tables of a detector's page."""

from __future__ import annotations

import math

from netaug.compare.cells import Cell, Table
from netaug.compare.formatting import NONE
from netaug.detect.coco import NUMBERS
from netaug.detect.operating import best_operating
from netaug.report.confusions import ConfusionCell, matrix_rows, percent
from netaug.report.detection.predictions import Results

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
    return matrix_rows(results.matrix, (*results.class_names, "background"))
