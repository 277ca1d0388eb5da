"""Cutout: a square of the image is set to the mean color."""

from __future__ import annotations

import torch
from torch import Tensor

from netaug.config.regularize import RegularizeConfig
from netaug.regularize.base import ImageRegularizer, TensorFunction


class Cutout:
    """Set a square around a drawn center to one color; what is outside the image is cut off.

    Args:
        side: Of the square, as a fraction of the image's width, in (0, 1].
        probability: Fraction of the images with a square.
        color: uint8 value per channel.

    Source:
        DeVries and Taylor 2017, arXiv:1708.04552, section 3.2.
    """

    def __init__(self, side: float, probability: float, color: list[int]) -> None:
        self._side, self._probability = side, probability
        self._color = torch.tensor(color, dtype=torch.uint8)[:, None, None]

    def __call__(self, image_CHW: Tensor) -> Tensor:
        """Cut a square out of a copy of a uint8 image ``[C, H, W]``."""
        height, width = image_CHW.shape[-2:]
        # Drawn in one go, so that the position does not depend on the probability.
        present, down, right = torch.rand(3, dtype=torch.float64).tolist()
        if present >= self._probability:
            return image_CHW
        side = max(1, round(self._side * width))
        top, left = int(down * height) - side // 2, int(right * width) - side // 2
        image_CHW = image_CHW.clone()  # the caller's image stays as it is
        image_CHW[:, max(0, top) : top + side, max(0, left) : left + side] = self._color
        return image_CHW


def _make(config: RegularizeConfig, color: list[int]) -> TensorFunction:
    return Cutout(config.cutout, config.cutout_probability, color)


CUTOUT = ImageRegularizer("cutout", _make)
