"""What is done to training images with boxes, keyed by (seed, epoch, index)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from netaug.config.detect import DetectConfig
from netaug.core.seeding import key, uniforms
from netaug.data.transforms.letterbox import Placement, Region, letterbox, place

Draws = npt.NDArray[np.float64]

_MOSAIC, _CENTER, _OTHERS, _EACH = 0, 1, 3, 6  # where in an image's draws: of the mosaic, then of each part
_PER_PART = 7
_PARTS = 4
COUNT = _EACH + _PARTS * _PER_PART
"""How many numbers an image needs."""

_MIDDLE = (0.3, 0.7)  # where the four images of a mosaic meet, as fractions of the side


class Part(NamedTuple):
    """One of the images that a training image is put together from.

    Args:
        image: Position in the split.
        region: Where on the canvas it may be seen.
        draws: Its own numbers in [0, 1): factor, place across and down, mirror, brightness, saturation, hue.
    """

    image: int
    region: Region
    draws: Draws


@dataclass(frozen=True)
class BoxAugment:
    """Draws what is done; the images are not looked at.

    Args:
        config: How much of what.
        seed: Keys the draws.
        flip: Whether images are mirrored, each with probability one half.
        size: Images in the split, which the other parts of a mosaic are drawn from.
    """

    config: DetectConfig
    seed: int
    flip: bool
    size: int

    def draws(self, indices_N: npt.NDArray[np.int64], epoch: int) -> Draws:
        """Return the numbers of each image, shape ``[N, COUNT]``, by (seed, epoch, index) alone."""
        return uniforms(key(self.seed, "boxes", epoch), indices_N, COUNT)

    def parts(self, index: int, draws: Draws, side: int) -> list[Part]:
        """Return what an image is put together from: itself, or itself and three others round a drawn point."""
        each = draws[_EACH:].reshape(_PARTS, _PER_PART)
        if draws[_MOSAIC] >= self.config.mosaic:
            return [Part(index, Region(0, 0, side, side), each[0])]
        low, high = _MIDDLE
        x, y = (round(side * (low + (high - low) * draw)) for draw in draws[_CENTER:_OTHERS].tolist())
        # The others are drawn with replacement: an image may meet itself.
        others = (draws[_OTHERS:_EACH] * self.size).astype(int).tolist()
        regions = [
            Region(0, 0, x, y),
            Region(x, 0, side, y),
            Region(0, y, x, side),
            Region(x, y, side, side),
        ]
        return [Part(*arguments) for arguments in zip([index, *others], regions, each, strict=True)]

    def placement(self, part: Part, size: tuple[int, int], side: int) -> Placement:
        """Return where a part of an image of this width and height goes on a canvas of this side."""
        factor, across, down, mirror = part.draws[:4].tolist()
        low, high = self.config.scale
        whole = part.region.width == side and part.region.height == side
        if low == high == 1.0 and whole:
            placement = letterbox(*size, side)
        else:
            # Uniform in the logarithm: half the size is as likely as twice the size.
            factor = side / max(size) * low * (high / low) ** factor
            region = part.region
            corner = (
                region.left + across * (region.width - size[0] * factor),
                region.top + down * (region.height - size[1] * factor),
            )
            placement = place(size, factor, corner, region)
        return placement._replace(mirrored=self.flip and mirror < 0.5)

    def colors(self, part: Part) -> tuple[float, float, float] | None:
        """Return factors of brightness and saturation, and the turn of hue; None leaves the colors."""
        config, draws = self.config, (2 * part.draws[4:7] - 1).tolist()
        if config.brightness == config.saturation == config.hue == 0:
            return None
        return 1 + config.brightness * draws[0], 1 + config.saturation * draws[1], config.hue * draws[2]
