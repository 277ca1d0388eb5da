"""Where an image goes on a canvas: whole pixels on both sides, so that boxes go there and back exactly.

Its two factors and edges are then exact, and one formula takes boxes through cuts, mirrors and held copies of another
size.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

GRAY = 114
"""Value of pixels beside an image; YOLOv5's and its successors'."""


class Region(NamedTuple):
    """A rectangle in whole pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Return the number of pixels from left to right."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Return the number of pixels from top to bottom."""
        return self.bottom - self.top


class Placement(NamedTuple):
    """Which part of an image goes where.

    Args:
        source: The part, in pixels of the image.
        target: Where it goes, in pixels of the canvas.
        mirrored: Whether it is mirrored left to right.
    """

    source: Region
    target: Region
    mirrored: bool = False

    def frame(self, image: tuple[int, int], file: tuple[int, int]) -> npt.NDArray[np.float64]:
        """Return the row of :attr:`DetectionBatch.frames_N6`.

        Args:
            image: Width and height of the image that is placed.
            file: Width and height of the file that it was scaled from.
        """
        (x0, y0, *_), (left, top, right, _) = self.source, self.target
        across, down = self.target.width / self.source.width, self.target.height / self.source.height
        edge_x, edge_y = left - x0 * across, top - y0 * down
        across, down = across * image[0] / file[0], down * image[1] / file[1]
        if self.mirrored:
            across, edge_x = -across, left + right - edge_x
        return np.array([across, down, edge_x, edge_y, *file], np.float64)


def letterbox(width: int, height: int, side: int) -> Placement:
    """Return the whole image in the middle of a square canvas, as large as it fits."""
    factor = side / max(width, height)
    across, down = max(1, round(width * factor)), max(1, round(height * factor))
    left, top = (side - across) // 2, (side - down) // 2
    return Placement(Region(0, 0, width, height), Region(left, top, left + across, top + down))


def place(size: tuple[int, int], factor: float, corner: tuple[float, float], region: Region) -> Placement:
    """Return the part of an image that is seen in a region when it lies somewhere, to whole pixels.

    Args:
        size: Width and height of the image.
        factor: What it is scaled by.
        corner: Where its upper left corner comes to lie on the canvas, in pixels.
        region: The part of the canvas that may be painted.

    Returns:
        The nearest placement: one pixel of image and canvas at least; factors differ a little from ``factor``.
    """
    x0, x1, left, right = _span(size[0], factor, corner[0], region.left, region.right)
    y0, y1, top, bottom = _span(size[1], factor, corner[1], region.top, region.bottom)
    return Placement(Region(x0, y0, x1, y1), Region(left, top, right, bottom))


def _span(length: int, factor: float, edge: float, low: int, high: int) -> tuple[int, int, int, int]:
    """Return one axis of :func:`place`: first and last of the image, first and last of the canvas."""
    # Rounded outward on the image, so that the region is filled to its edges.
    first = min(length - 1, max(0, int(np.floor((low - edge) / factor))))
    last = min(length, max(first + 1, int(np.ceil((high - edge) / factor))))
    start = min(high - 1, max(low, round(edge + first * factor)))
    stop = min(high, max(start + 1, round(edge + last * factor)))
    return first, last, start, stop


def canvas(side: int) -> Tensor:
    """Return an empty square canvas, uint8 ``[3, side, side]``."""
    return torch.full((3, side, side), GRAY, dtype=torch.uint8)
