"""Random erasing: a rectangle of drawn area and shape is set to the mean color."""

from __future__ import annotations

from netaug.config.regularize import RegularizeConfig
from netaug.regularize.base import ImageRegularizer, TensorFunction


def _make(config: RegularizeConfig, color: list[int]) -> TensorFunction:
    from torchvision.transforms import v2  # on first use: slow to import

    transform: TensorFunction = v2.RandomErasing(config.erasing, value=color)
    return transform


ERASING = ImageRegularizer("erasing", _make)
