"""The random resized crop's rectangle, from numbers drawn beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence

from netaug.data.decode.picture import Box

TRIES = 10
DRAWS = 2 * TRIES + 2
"""Numbers in [0, 1) that one rectangle needs."""

_AREA = (0.08, 1.0)
_LOG_ASPECT = (math.log(3 / 4), math.log(4 / 3))


def resized_crop(size_HW: tuple[int, int], draws: Sequence[float]) -> Box:
    """Choose a rectangle: a share of the image's area in [0.08, 1), width / height in [3/4, 4/3), anywhere.

    Args:
        size_HW: The image's height and width in pixels.
        draws: :data:`DRAWS` numbers in [0, 1).

    Returns:
        The first of ten tries that fits into the image; else the largest centred one of an allowed aspect.

    Source:
        Szegedy et al. 2014, arXiv:1409.4842, section 6; as torchvision's RandomResizedCrop draws it.
    """
    height, width = size_HW
    for number in range(TRIES):
        area = height * width * _between(_AREA, draws[2 * number])
        aspect = math.exp(_between(_LOG_ASPECT, draws[2 * number + 1]))
        tall, wide = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < tall <= height and 0 < wide <= width:
            top = int(draws[2 * TRIES] * (height - tall + 1))
            left = int(draws[2 * TRIES + 1] * (width - wide + 1))
            return Box(top, left, tall, wide)
    tall, wide = height, width
    if width / height < 3 / 4:
        tall = round(width / (3 / 4))
    elif width / height > 4 / 3:
        wide = round(height * (4 / 3))
    return Box((height - tall) // 2, (width - wide) // 2, tall, wide)


def _between(limits: tuple[float, float], share: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * share
