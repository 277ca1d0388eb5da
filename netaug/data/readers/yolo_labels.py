"""Label files of YOLO: their lines, in the form that the dataset's description names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from netaug.core.errors import DataError
from netaug.core.text_files import read_lines
from netaug.data.detection.problems import Problems

_BOX = 4  # numbers of a box: middle x and y, width, height


@dataclass(frozen=True)
class LabelLine:
    """One object.

    Args:
        number: Of the line, from 1.
        label: Its class.
        values: What stands behind it, in fractions of the image's sides.
    """

    number: int
    label: int
    values: tuple[float, ...]


def read_labels(
    path: Path, classes: int, keypoints: tuple[int, int] | None, problems: Problems
) -> list[LabelLine]:
    """Return the objects of a label file; no file means no objects.

    Args:
        path: The file.
        classes: How many classes there are.
        keypoints: Number of keypoints of each object and numbers of each; None if there are none.
        problems: Takes note of lines that are not objects.

    Raises:
        DataError: The file cannot be read; or a line is wrong, unless problems are skipped.
    """
    try:
        lines = read_lines(path, "label file")
    except FileNotFoundError:
        return []
    objects: list[LabelLine] = []
    for number, line in enumerate(lines, start=1):
        if not (fields := line.split()):
            continue
        where = f"line {number} of '{path}'"
        try:
            label, values = float(fields[0]), tuple(float(word) for word in fields[1:])
            _check_count(len(values), keypoints)
        except ValueError as error:
            got = f"{line[:80]} ({error})" if len(fields) > 1 else line[:80]
            problems.note("incomplete", f"{where} is not an object.", got=got, allowed=_allowed(keypoints))
            continue
        if not (label.is_integer() and 0 <= label < classes):
            allowed = f"whole numbers from 0 to {classes - 1}"
            problems.note("unknown_class", f"{where} is of an unknown class.", got=fields[0], allowed=allowed)
            continue
        objects.append(LabelLine(number, int(label), values))
    return objects


def _check_count(count: int, keypoints: tuple[int, int] | None) -> None:
    if keypoints is not None:
        fits = count in (_BOX, _BOX + math.prod(keypoints))
    else:
        fits = count == _BOX or (count >= 6 and count % 2 == 0)
    if not fits:
        raise ValueError(f"{count} numbers behind the class")


def _allowed(keypoints: tuple[int, int] | None) -> str:
    box = "class, center x and y, width and height as fractions of the image's sides"
    if keypoints is None:
        return f"{box}; or class and a polygon's points; keypoints need kpt_shape in data.yaml"
    count, numbers = keypoints
    return f"{box}, and {count} keypoints of {numbers} numbers each, as kpt_shape in data.yaml says"


def corners(values: Sequence[float], keypoints: tuple[int, int] | None) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom of center and size, or of a polygon's points."""
    if keypoints is not None or len(values) == _BOX:
        x, y, width, height = values[:_BOX]
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if not np.isfinite(values).all():
        return (math.nan,) * 4
    return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])


def refuse_keypoints(lines: Iterator[LabelLine] | Sequence[LabelLine], path: str) -> str | None:
    """Refuse keypoints that would be read as polygons; only the description could tell them apart.

    Args:
        lines: All objects of a split whose description names no keypoints.
        path: Of the description that could say so, for messages.

    Returns:
        What is to be said where both readings are possible; None if they can only be polygons, or there are none.

    Raises:
        DataError: Each line has a box, and keypoints with a mark of visibility: they cannot be polygons.
    """
    longer = [line.values for line in lines if len(line.values) > _BOX]
    counts = {len(values) for values in longer}
    if len(counts) != 1:
        return None  # polygons have different numbers of points
    (count,) = counts
    table = np.array(longer)
    fix = f"add kpt_shape: [{{}}, {{}}] to '{path}'"
    if (count - _BOX) % 3 == 0 and _are_keypoints(table, 3):
        raise DataError(
            "the labels are keypoints, but the dataset's description does not say so.",
            got=f"{len(longer)} lines of {count} numbers behind the class: a box, then x, y and 0, 1 or 2 in turn",
            allowed="keypoints with kpt_shape in data.yaml; else polygons",
            fix=fix.format((count - _BOX) // 3, 3),
        )
    if (count - _BOX) % 2 == 0 and _are_keypoints(table, 2):
        return (
            f"{len(longer)} labels of {count} numbers are read as polygons; should they be boxes with keypoints, "
            + fix.format((count - _BOX) // 2, 2)
        )
    return None


def _are_keypoints(table: np.ndarray, numbers: int) -> bool:
    """Return whether all lines can be read as a box within the image, and points in the box."""
    middles, sizes = table[:, :2], table[:, 2:_BOX]
    low, high = middles - sizes / 2, middles + sizes / 2
    slack = 0.02
    if not ((sizes > 0).all() and (low >= -slack).all() and (high <= 1 + slack).all()):
        return False
    points = table[:, _BOX:].reshape(len(table), -1, numbers)
    if numbers == 3:
        return bool(np.isin(points[:, :, 2], (0, 1, 2)).all())
    points_xy = points[:, :, :2]
    inside = (points_xy >= low[:, None] - slack) & (points_xy <= high[:, None] + slack)
    return bool((inside.all(2) | (points_xy == 0).all(2)).all())
