"""Equal images among many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from netaug.core.errors import DataError

Positions = npt.NDArray[np.int64]


def equal_groups(
    digests_N: npt.NDArray[np.uint64], decoded_N: npt.NDArray[np.bool_], pixels: Callable[[int], Any]
) -> Iterator[list[int]]:
    """Groups of two or more positions whose images are equal pixel by pixel.

    Args:
        digests_N: A number for each image, equal for equal images.
        decoded_N: Which images have one.
        pixels: The decoded image at a position; asked for where numbers are equal, to be sure.

    Yields:
        Positions in rising order; groups in the order of their first.
    """
    positions = np.flatnonzero(decoded_N)
    order = positions[np.argsort(digests_N[positions], kind="stable")]
    cuts = np.flatnonzero(np.diff(digests_N[order])) + 1
    alike = [group for group in np.split(order, cuts) if len(group) > 1]
    for group in sorted(alike, key=lambda group: int(group[0])):
        yield from _truly_equal(group.tolist(), pixels)


def _truly_equal(group: list[int], pixels: Callable[[int], Any]) -> Iterator[list[int]]:
    while len(group) > 1:
        first, rest = group[0], group[1:]
        try:
            image = pixels(first)
            same = [position for position in rest if torch.equal(pixels(position), image)]
        except DataError:  # it went away meanwhile
            return
        if same:
            yield [first, *same]
        group = [position for position in rest if position not in same]
