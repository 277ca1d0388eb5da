"""Automatic augmentation, Cutout and random erasing: single images changed by keyed draws, after crop and mirror."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.transforms import v2

from netaug.config.regularize import RegularizeConfig
from netaug.core.seeding import seeded

_POLICIES = {
    "imagenet": v2.AutoAugmentPolicy.IMAGENET,
    "cifar10": v2.AutoAugmentPolicy.CIFAR10,
    "svhn": v2.AutoAugmentPolicy.SVHN,
}


class ImageRegularizer:
    """Changes uint8 images one by one; image n by a draw of (seed, epoch, ``indices_N[n]``) alone.

    Args:
        config: Which, and how strong.
        seed: Keys the draws.
        mean: Per-channel mean of pixels scaled to [0, 1]; what is taken away gets this colour, rounded.
    """

    def __init__(self, config: RegularizeConfig, seed: int, mean: tuple[float, ...]) -> None:
        self._seed = seed
        colour = [round(255 * value) for value in mean]
        self._steps: list[Callable[[Tensor], Tensor]] = []
        if config.auto_augment != "none":
            self._steps.append(_automatic(config))
        if config.cutout:
            self._steps.append(Cutout(config.cutout, config.cutout_probability, colour))
        if config.erasing:
            self._steps.append(v2.RandomErasing(config.erasing, value=colour))

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


class Cutout:
    """Sets a square around a drawn centre to one colour; what is outside the image is cut off.

    Args:
        side: Of the square, as a share of the image's width, in (0, 1].
        probability: Share of the images with a square.
        colour: uint8 value per channel.

    Source:
        DeVries and Taylor 2017, arXiv:1708.04552, section 3.2.
    """

    def __init__(self, side: float, probability: float, colour: list[int]) -> None:
        self._side, self._probability = side, probability
        self._colour = torch.tensor(colour, dtype=torch.uint8)[:, None, None]

    def __call__(self, image_CHW: Tensor) -> Tensor:
        """Cut a square out of a copy of a uint8 image ``[C, H, W]``."""
        height, width = image_CHW.shape[-2:]
        present, down, right = torch.rand(3, dtype=torch.float64).tolist()
        if present >= self._probability:
            return image_CHW
        side = max(1, round(self._side * width))
        top, left = int(down * height) - side // 2, int(right * width) - side // 2
        image_CHW = image_CHW.clone()
        image_CHW[:, max(0, top) : top + side, max(0, left) : left + side] = self._colour
        return image_CHW


def make_image_regularizer(
    config: RegularizeConfig, seed: int, mean: tuple[float, ...]
) -> ImageRegularizer | None:
    """The image regularizer of these settings; None if they change no image."""
    return ImageRegularizer(config, seed, mean) if config.changes_images else None


def _automatic(config: RegularizeConfig) -> Callable[[Tensor], Tensor]:
    """The transform of torchvision that has this name."""
    made: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
        "autoaugment": lambda: v2.AutoAugment(_POLICIES[config.auto_policy]),
        "randaugment": lambda: v2.RandAugment(config.rand_operations, config.rand_magnitude),
        "trivialaugment": v2.TrivialAugmentWide,
    }
    return made[config.auto_augment]()
