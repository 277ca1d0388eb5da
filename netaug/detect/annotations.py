"""The annotated objects of a split of images, in arrays: what evaluation compares with and training draws from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Ids = npt.NDArray[Any]
"""int64, or Python objects where an id is a string or too large for that."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Annotations:
    """Holds the M objects of N images. Those of an image are consecutive, images in order.

    Args:
        sizes_N2: Width and height of each image file in pixels, as shown (turned upright).
        boxes_M4: Corners (left, top, right, bottom) in pixels of the file; a pixel's left edge is at its number.
        labels_M: Class indices.
        difficult_M: Pascal VOC's mark of objects that do not count.
        crowd_M: COCO's mark of regions with several objects in one box.
        areas_M: Areas in square pixels by which COCO tells small from large: of the segmentation where there is one.
        starts_N1: Where each image's objects start; the last entry is M.
        ids_N: COCO's image ids as they stand in its file; 0 .. N-1 where the format has none.
        category_ids_C: COCO's category id of each class as it stands there; 0 .. C-1 where the format has none.
    """

    sizes_N2: Integers
    boxes_M4: Floats
    labels_M: Integers
    difficult_M: Flags
    crowd_M: Flags
    areas_M: Floats
    starts_N1: Integers
    ids_N: Ids
    category_ids_C: Ids

    def __len__(self) -> int:
        """Return N, the number of images."""
        return len(self.sizes_N2)

    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """Return all arrays, in the order of the arguments."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def of(self, index: int) -> slice:
        """Return where the objects of an image are."""
        return slice(int(self.starts_N1[index]), int(self.starts_N1[index + 1]))

    @property
    def owners(self) -> Integers:
        """Return which image each object is in."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts_N1))

    def select(self, indices: Integers) -> Annotations:
        """Return the images at ``indices``, in that order."""
        counts = np.diff(self.starts_N1)[indices]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        objects = np.repeat(self.starts_N1[:-1][indices], counts) + within
        return Annotations(
            self.sizes_N2[indices],
            self.boxes_M4[objects],
            self.labels_M[objects],
            self.difficult_M[objects],
            self.crowd_M[objects],
            self.areas_M[objects],
            starts,
            self.ids_N[indices],
            self.category_ids_C,
        )
