"""Build the tables of what is taken for what, of classifiers and detectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from netaug.compare.cells import Cell, Table
from netaug.compare.formatting import NONE

MOST_CLASSES = 25
"""Classes up to which confusions are shown as a matrix."""
_MOST_CONFUSIONS = 20
Matrix = npt.NDArray[np.int64]


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


def matrix_rows(matrix: Matrix, names: Sequence[str]) -> list[tuple[str, list[ConfusionCell]]]:
    """Return the cells of a confusion matrix, row by row with the rows' names."""
    totals = matrix.sum(axis=1)
    return [
        (
            name,
            [
                ConfusionCell(int(count), 100 * count / totals[row] if totals[row] else None, row == column)
                for column, count in enumerate(matrix[row])
            ],
        )
        for row, name in enumerate(names)
    ]


def confusions_table(matrix: Matrix, names: Sequence[str], of_its: str) -> Table:
    """Return what is most often taken for another class, where classes are too many for a matrix.

    Args:
        matrix: ``[C, C]`` or larger: further rows and columns are not of classes; rows count towards their totals.
        names: Of the C classes.
        of_its: What a row counts, for the heading, e.g. ``images``.
    """
    classes = len(names)
    wrong = matrix[:classes, :classes].copy()
    np.fill_diagonal(wrong, 0)
    totals = matrix[:classes].sum(axis=1)
    # stable, so that equal counts have the order of classes and the page is the same each time
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_CONFUSIONS]
    rows = []
    for flat_index in order.tolist():
        is_, predicted = divmod(flat_index, classes)
        count = int(wrong[is_, predicted])
        if count:
            rows.append(
                (
                    Cell(names[is_], names[is_]),
                    Cell(names[predicted], names[predicted]),
                    Cell(f"{count:,}", count),
                    percent(count / totals[is_]),
                )
            )
    return Table(("class", "taken for", "times", f"% of its {of_its}"), tuple(rows))
