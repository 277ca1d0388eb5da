"""Regularizers of single images, applied one after the other in the loader, after crop and mirror."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from netaug.config.regularize import RegularizeConfig
from netaug.core.seeding import seeded
from netaug.regularize.auto_augment import AUTO_AUGMENT
from netaug.regularize.base import ImageRegularizer
from netaug.regularize.cutout import CUTOUT
from netaug.regularize.erasing import ERASING

IMAGE_REGULARIZERS: tuple[ImageRegularizer, ...] = (AUTO_AUGMENT, CUTOUT, ERASING)
"""In the order in which they are applied: what is taken away must not be moved or recolored afterwards."""


class RegularizeImages:
    """Change uint8 images one by one; image n by a draw of (seed, epoch, ``indices_N[n]``) alone.

    The draws are keyed as those of the crops are, so neither the loader's workers nor the processes matter.

    Args:
        config: Which regularizers act, and how strongly.
        seed: Keys the draws.
        mean: Per-channel mean of pixels scaled to [0, 1]; what is taken away gets this color, rounded.
    """

    def __init__(self, config: RegularizeConfig, seed: int, mean: tuple[float, ...]) -> None:
        self._seed = seed
        color, names = [round(255 * value) for value in mean], config.settings_on("images")
        self._steps = [
            regularizer.make(config, color) for regularizer in IMAGE_REGULARIZERS if regularizer.name in names
        ]

    def __call__(self, images_NCHW: Tensor, indices_N: npt.NDArray[np.int64], epoch: int) -> Tensor:
        """Change uint8 images ``[N, C, H, W]`` into others of that shape."""
        return torch.stack(
            [
                self._single(image_CHW, int(index), epoch)
                for image_CHW, index in zip(images_NCHW, indices_N, strict=True)
            ]
        )

    def _single(self, image_CHW: Tensor, index: int, epoch: int) -> Tensor:
        with seeded(self._seed, "regularize", epoch, index):
            for step in self._steps:
                image_CHW = step(image_CHW)
        return image_CHW


def make_image_regularizer(
    config: RegularizeConfig, seed: int, mean: tuple[float, ...]
) -> RegularizeImages | None:
    """Return what changes single images by these settings; None if they change none."""
    return RegularizeImages(config, seed, mean) if config.settings_on("images") else None
