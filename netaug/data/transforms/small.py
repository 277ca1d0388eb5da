"""What happens to images between the store and the network, keyed by (seed, epoch, index) where random."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from netaug.core.seeding import key, uniforms

IMAGENET_CROP_RATIO = 0.875
"""Fraction of the resized image that evaluation keeps with ``imagenet`` (arXiv:2110.08890, code)."""


@dataclass(frozen=True)
class Fit:
    """The evaluation transform: any image to ``size`` x ``size`` pixels, antialiased.

    Args:
        size: Height = width of the result in pixels.
        crop_ratio: Below 1 the shorter side becomes ``ceil(size / crop_ratio)`` and the center is kept; 1.0
            scales the whole image to the square.
    """

    size: int
    crop_ratio: float = 1.0

    def __call__(self, images_CHW: Tensor) -> Tensor:
        """Fit uint8 images, shape ``[..., C, H, W]``, into shape ``[..., C, size, size]``."""
        square = [self.size, self.size]
        if self.crop_ratio == 1.0 and list(images_CHW.shape[-2:]) == square:
            return images_CHW
        from torchvision.transforms.v2 import functional  # on first use: slow to import

        if self.crop_ratio == 1.0:
            scaled: Tensor = functional.resize(images_CHW, square, antialias=True)
            return scaled
        resized = functional.resize(images_CHW, [math.ceil(self.size / self.crop_ratio)], antialias=True)
        cropped: Tensor = functional.center_crop(resized, square)
        return cropped


@dataclass(frozen=True)
class SmallAugment:
    """Zero-pad, random crop back to the size, random mirror; a whole batch at once.

    Args:
        seed: The run's seed.
        pad: Pixels of zeros on each side.
        flip: Whether images are mirrored left to right, each with probability one half.
    """

    seed: int
    pad: int
    flip: bool

    def __call__(self, images_NCHW: Tensor, indices_N: npt.NDArray[np.int64], epoch: int) -> Tensor:
        """Augment uint8 images ``[N, C, H, W]``; image n by (seed, epoch, ``indices_N[n]``) alone."""
        draws = uniforms(key(self.seed, "augment", epoch), indices_N, 3)
        offsets = (draws[:, :2] * (2 * self.pad + 1)).astype(np.int64)
        count, chans, height, width = images_NCHW.shape
        padded = np.zeros((count, chans, height + 2 * self.pad, width + 2 * self.pad), np.uint8)
        padded[:, :, self.pad : self.pad + height, self.pad : self.pad + width] = images_NCHW.numpy()
        # One strided view of all crops, indexed once: three times faster than gathering pixels.
        crops = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
        out: npt.NDArray[np.uint8] = crops[np.arange(count), :, offsets[:, 0], offsets[:, 1]]
        if self.flip:
            mirrored = draws[:, 2] < 0.5
            out[mirrored] = out[mirrored][..., ::-1]
        return torch.from_numpy(out)
