"""The training transform of large images: random resized crop, mirror and colours, keyed by (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional as F

from netaug.core.seeding import key, uniforms
from netaug.data.decode.picture import Picture
from netaug.data.transforms.crop import DRAWS, resized_crop
from netaug.data.transforms.jitter import Scratch, jitter_colours

BRIGHTNESS, SATURATION = 32 / 255, 0.5
"""How far from 1 the factors are drawn, to either side (arXiv:2110.08890, code)."""


@dataclass(frozen=True)
class ImagenetAugment:
    """RandomResizedCrop, mirror and colour jitter, image by image.

    Args:
        seed: The run's seed.
        size: Height = width of the result in pixels.
        flip: Whether images are mirrored left to right, each with probability one half.

    Source:
        The training transform of arXiv:2110.08890 (code): torchvision's default crop, brightness 32/255,
        saturation 0.5.
    """

    seed: int
    size: int
    flip: bool

    def draws(self, indices_N: npt.NDArray[np.int64], epoch: int) -> npt.NDArray[np.float64]:
        """What is drawn for each image, by (seed, epoch, index) alone: numbers in [0, 1), shape ``[N, D]``."""
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
        cropped_CHW = picture.crop(resized_crop(picture.size, draws_D), self.size)
        image_CHW = _resize(cropped_CHW, self.size)
        mirror, order, bright, saturate = draws_D[DRAWS:]
        if self.flip and mirror < 0.5:
            image_CHW = image_CHW.flip(-1)
        jitter_colours(
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
