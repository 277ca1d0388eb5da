"""Automatic augmentation: AutoAugment, RandAugment and TrivialAugment, as torchvision has them."""

from __future__ import annotations

from netaug.config.regularize import RegularizeConfig
from netaug.regularize.base import ImageRegularizer, TensorFunction


def _make(config: RegularizeConfig, color: list[int]) -> TensorFunction:
    from torchvision.transforms import v2  # on first use: slow to import

    transform: TensorFunction
    match config.auto_augment:
        case "autoaugment":
            transform = v2.AutoAugment(v2.AutoAugmentPolicy(config.auto_policy))
        case "randaugment":
            transform = v2.RandAugment(config.rand_operations, config.rand_magnitude)
        case _:
            transform = v2.TrivialAugmentWide()
    return transform


AUTO_AUGMENT = ImageRegularizer("auto_augment", _make)
