"""From what readers find to :class:`Annotations`: boxes are checked all at once, however many there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from netaug.data.detection.problems import Problems
from netaug.detect.annotations import Annotations, Flags, Ids, Integers

TOLERANCE = 1.0
"""Pixels by which a box may reach beyond its image without a word: formats count and round in different ways."""

_SLACK = 0.1  # of the first pixel: fractions too reach a little beyond their image


@dataclass(frozen=True)
class FoundBoxes:
    """The M objects of N images as they stand in the files, in any order.

    Args:
        sizes_N2: Width and height of each image in pixels.
        ids_N: COCO's image ids.
        owners_M: Which image each object is in.
        boxes_M4: float64 corners (left, top, right, bottom) in pixels.
        labels_M: Class indices.
        difficult_M: Pascal VOC's mark.
        crowd_M: COCO's mark.
        areas_M: Areas of segmentations in square pixels; NaN takes that of the box.
        category_ids_C: COCO's category id of each class.
        in_pixels: Whether the files give pixels; else they give fractions, which the reader has multiplied.
        inclusive: Whether corners are pixel numbers from 1 and both belong to the object, as in Pascal VOC.
    """

    sizes_N2: Integers
    ids_N: Ids
    owners_M: Integers
    boxes_M4: npt.NDArray[np.float64]
    labels_M: Integers
    difficult_M: Flags
    crowd_M: Flags
    areas_M: npt.NDArray[np.float64]
    category_ids_C: Ids
    in_pixels: bool = True
    inclusive: bool = False


def checked(boxes: FoundBoxes, name: Callable[[int], str], problems: Problems) -> Annotations:
    """Check boxes and put them in the order of their images.

    Args:
        boxes: What a reader found.
        name: Says which object of which file number m is, such as "object 3 of 'a.xml'".
        problems: Takes note of boxes that are not finite, swapped, without size, or outside of their image.

    Raises:
        DataError: A box cannot be used, unless problems are skipped.
    """
    boxes_M4 = boxes.boxes_M4.copy()
    usable_M: Flags = np.asarray(np.isfinite(boxes_M4).all(1))
    for m in np.flatnonzero(~usable_M).tolist():
        text = f"the box of {name(m)} has a non-finite number (NaN or inf)."
        problems.note("not_finite", text, got=_numbers(boxes, m), allowed="four finite numbers")
    if boxes.in_pixels:
        _leave_out_fractions(usable_M, boxes, name, problems)
    if boxes.inclusive:
        _turn_round(boxes_M4, usable_M, boxes, name, problems)
        boxes_M4[:, :2] -= (
            1  # pixels count from 1 and both belong: the left edge of pixel n is n - 1, its right n
        )
    with np.errstate(invalid="ignore"):  # boxes with NaN are noted above
        flat_M = usable_M & ~(boxes_M4[:, 2:] > boxes_M4[:, :2]).all(1)
    for m in np.flatnonzero(flat_M).tolist():
        text = f"the box of {name(m)} has no size: its width or height is not above 0."
        problems.note("no_size", text, got=_numbers(boxes, m), allowed="right > left and bottom > top")
    usable_M &= ~flat_M
    _keep_inside(boxes_M4, usable_M, boxes, name, problems)
    kept = np.flatnonzero(usable_M)
    # Stable, so that the objects of an image keep the order of their file.
    return _in_order(boxes, boxes_M4, kept[np.argsort(boxes.owners_M[kept], kind="stable")])


def _leave_out_fractions(
    usable_M: Flags, boxes: FoundBoxes, name: Callable[[int], str], problems: Problems
) -> None:
    """Find boxes in fractions of the image: within the first pixel, with numbers that are not whole.

    If there is one such box, others within the first pixel are fractions too, such as a whole image: 0, 0, 1, 1.
    """
    with np.errstate(invalid="ignore"):
        first_pixel_M = usable_M & ((boxes.boxes_M4 > -_SLACK) & (boxes.boxes_M4 < 1 + _SLACK)).all(1)
    if not (boxes.boxes_M4[first_pixel_M] % 1 != 0).any():
        return
    for m in np.flatnonzero(first_pixel_M).tolist():
        width, height = boxes.sizes_N2[boxes.owners_M[m]].tolist()
        text = f"the box of {name(m)} is in fractions of the image's sides, where pixels belong."
        allowed = f"pixels of an image of {width} x {height}: multiply by its width and height"
        problems.note("fractions", text, got=_numbers(boxes, m), allowed=allowed)
    usable_M &= ~first_pixel_M


def _turn_round(
    boxes_M4: npt.NDArray[np.float64],
    usable_M: Flags,
    boxes: FoundBoxes,
    name: Callable[[int], str],
    problems: Problems,
) -> None:
    swapped_M2 = usable_M[:, None] & (boxes_M4[:, 2:] < boxes_M4[:, :2])
    for m in np.flatnonzero(swapped_M2.any(1)).tolist():
        text = f"the box of {name(m)} has swapped corners."
        problems.note("swapped", text, got=_numbers(boxes, m), allowed="xmax >= xmin and ymax >= ymin")
    low, high = np.minimum(boxes_M4[:, :2], boxes_M4[:, 2:]), np.maximum(boxes_M4[:, :2], boxes_M4[:, 2:])
    boxes_M4[:, :2], boxes_M4[:, 2:] = low, high


def _keep_inside(
    boxes_M4: npt.NDArray[np.float64],
    usable_M: Flags,
    boxes: FoundBoxes,
    name: Callable[[int], str],
    problems: Problems,
) -> None:
    """Leave out boxes outside of their image, cut those that reach beyond by more than the tolerance."""
    sizes_M2 = boxes.sizes_N2[boxes.owners_M].astype(np.float64)
    with np.errstate(invalid="ignore"):
        outside_M = usable_M & ((boxes_M4[:, :2] >= sizes_M2) | (boxes_M4[:, 2:] <= 0)).any(1)
        far = (boxes_M4[:, :2] < -TOLERANCE) | (boxes_M4[:, 2:] > sizes_M2 + TOLERANCE)
    beyond_M = usable_M & ~outside_M & far.any(1)
    for kind, there_M in (("outside", outside_M), ("beyond", beyond_M)):
        for m in np.flatnonzero(there_M).tolist():
            width, height = boxes.sizes_N2[boxes.owners_M[m]].tolist()
            how = "lies outside of" if kind == "outside" else "reaches beyond"
            text = f"the box of {name(m)} {how} its image."
            problems.note(kind, text, got=_numbers(boxes, m), allowed=f"within {width} x {height} pixels")
    cut = np.flatnonzero(beyond_M)
    boxes_M4[cut] = np.clip(boxes_M4[cut], 0, np.tile(sizes_M2[cut], 2))
    usable_M &= ~outside_M


def _in_order(boxes: FoundBoxes, boxes_M4: npt.NDArray[np.float64], order: Integers) -> Annotations:
    boxes_M4 = boxes_M4[order]
    areas_M = boxes.areas_M[order]
    box_areas_M = (boxes_M4[:, 2:] - boxes_M4[:, :2]).prod(1)
    counts = np.bincount(boxes.owners_M[order], minlength=len(boxes.sizes_N2))
    return Annotations(
        sizes_N2=boxes.sizes_N2,
        boxes_M4=boxes_M4.astype(np.float32),
        labels_M=boxes.labels_M[order],
        difficult_M=boxes.difficult_M[order],
        crowd_M=boxes.crowd_M[order],
        areas_M=np.where(np.isfinite(areas_M), areas_M, box_areas_M).astype(np.float32),
        starts_N1=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        ids_N=boxes.ids_N,
        category_ids_C=boxes.category_ids_C,
    )


def _numbers(boxes: FoundBoxes, m: int) -> str:
    left, top, right, bottom = (f"{value:g}" for value in boxes.boxes_M4[m].tolist())
    return f"left {left}, top {top}, right {right}, bottom {bottom}"
