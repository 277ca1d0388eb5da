"""The training transform of large images: random resized crop, mirror and colors, keyed by (seed, epoch, index)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional as F

from netaug.core.seeding import key, uniforms
from netaug.data.decode.picture import Box, Picture

BRIGHTNESS, SATURATION = 32 / 255, 0.5
"""How far from 1 the factors are drawn, to either side (arXiv:2110.08890, code)."""

_GRAY = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in the gray image; torchvision's."""

Scratch = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class ImagenetAugment:
    """RandomResizedCrop, mirror and color jitter, image by image.

    Args:
        seed: The run's seed.
        size: Height = width of the result in pixels.
        flip: Whether images are mirrored left to right, each with probability one half.
        scaled: Whether a file may be decoded at a fraction of its size where the crop is large enough.

    Source:
        The training transform of arXiv:2110.08890 (code): torchvision's default crop, brightness 32/255,
        saturation 0.5.
    """

    seed: int
    size: int
    flip: bool
    scaled: bool = True

    def draws(self, indices_N: npt.NDArray[np.int64], epoch: int) -> npt.NDArray[np.float64]:
        """Return what is drawn for each image, by (seed, epoch, index) alone: numbers in [0, 1), shape ``[N, D]``."""
        return uniforms(key(self.seed, "augment", epoch), indices_N, DRAWS + 4)

    def __call__(self, picture: Picture, draws_D: Sequence[float], out_CHW: Tensor, scratch: Scratch) -> None:
        """Augment one image.

        Args:
            picture: The image.
            draws_D: Its row of :meth:`draws`.
            out_CHW: Where the result goes, uint8 ``[C, size, size]``, contiguous.
            scratch: Memory to work in, for this shape.

        Raises:
            DataError: The image does not decode.
        """
        least = self.size if self.scaled else 1 + max(picture.size)  # no fraction has so many pixels
        cropped_CHW = picture.crop(resized_crop(picture.size, draws_D), least)
        image_CHW = _resize(cropped_CHW, self.size)
        # The place of each draw is fixed: runs that resume and caches of teachers depend on it.
        mirror, order, bright, saturate = draws_D[DRAWS:]
        if self.flip and mirror < 0.5:
            image_CHW = image_CHW.flip(-1)
        jitter_colors(
            image_CHW.numpy(),
            out_CHW.numpy(),
            scratch,
            brightness=1 + BRIGHTNESS * (2 * bright - 1),
            saturation=1 + SATURATION * (2 * saturate - 1),
            saturation_first=order < 0.5,
        )


def _resize(image_CHW: Tensor, size: int) -> Tensor:
    """Scale a uint8 image to a square, antialiased; the pixels of torchvision's resize, without its overhead."""
    square = [size, size]
    scaled: Tensor = F.interpolate(image_CHW[None], square, mode="bilinear", antialias=True)[0]
    return scaled


TRIES = 10
DRAWS = 2 * TRIES + 2
"""Numbers in [0, 1) that one rectangle needs."""

_AREA = (0.08, 1.0)
_LOG_ASPECT = (math.log(3 / 4), math.log(4 / 3))


def resized_crop(size_HW: tuple[int, int], draws: Sequence[float]) -> Box:
    """Choose a rectangle: a fraction of the image's area in [0.08, 1), width / height in [3/4, 4/3), anywhere.

    Args:
        size_HW: The image's height and width in pixels.
        draws: :data:`DRAWS` numbers in [0, 1).

    Returns:
        The first of ten tries that fits into the image; else the largest centered one of an allowed aspect.

    Source:
        Szegedy et al. 2014, arXiv:1409.4842, section 6; as torchvision's RandomResizedCrop draws it.
    """
    height, width = size_HW
    # All ten tries are drawn beforehand, used or not, so that later draws do not depend on how many fit.
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


def _between(limits: tuple[float, float], fraction: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * fraction


def scratch_for(chans: int, height: int, width: int) -> Scratch:
    """Return memory that :func:`jitter_colors` works in, to be used again for the next image."""
    shape = (height, width)
    return np.empty((chans, *shape), np.float32), np.empty(shape, np.float32), np.empty(shape, np.float32)


def jitter_colors(
    image_CHW: npt.NDArray[np.uint8],
    out_CHW: npt.NDArray[np.uint8],
    scratch: Scratch,
    *,
    brightness: float,
    saturation: float,
    saturation_first: bool,
) -> None:
    """Multiply all values by ``brightness``, and their distance from gray by ``saturation``; write the result.

    Both are limited to 0..255, as one after the other would be, but rounded once: torchvision's two steps each cut off
    decimals. NumPy's single operations, unlike matrix products, give the same bits for any number of threads.

    Args:
        image_CHW: C is 1 or 3; one channel has no saturation.
        out_CHW: Where the result goes, same shape; may be the image itself.
        scratch: From :func:`scratch_for` of this shape: new memory for each image would take longer than the sums.
        brightness: Factor, at least 0.
        saturation: 0 gives gray, 1 leaves the image.
        saturation_first: Which of the two is done first; they differ where values reach 255.
    """
    values, gray_HW, part_HW = scratch
    np.copyto(values, image_CHW)
    if not saturation_first and brightness > 1:
        np.clip(values, 0, np.float32(255 / brightness), out=values)
    highest = 255 * min(1.0, brightness) if saturation_first else 255.0
    if len(values) == 1:
        values *= np.float32(brightness)
        values += np.float32(0.5)
    else:
        gray_weight = brightness * (1 - saturation)
        np.multiply(values[0], np.float32(gray_weight * _GRAY[0]), out=gray_HW)
        gray_HW += np.multiply(values[1], np.float32(gray_weight * _GRAY[1]), out=part_HW)
        gray_HW += np.multiply(values[2], np.float32(gray_weight * _GRAY[2]), out=part_HW)
        gray_HW += np.float32(0.5)
        values *= np.float32(brightness * saturation)
        values += gray_HW
    np.clip(values, 0, np.float32(highest + 0.5), out=values)
    np.copyto(out_CHW, values, casting="unsafe")  # cuts off decimals: rounds, by the half added above
