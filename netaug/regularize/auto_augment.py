"""Automatic augmentation: AutoAugment, RandAugment and TrivialAugment, as torchvision has them."""

from __future__ import annotations

from torchvision.transforms import v2

from netaug.config.regularize import RegularizeConfig
from netaug.regularize.base import ImageRegularizer, TensorFunction

_POLICIES = {
    "imagenet": v2.AutoAugmentPolicy.IMAGENET,
    "cifar10": v2.AutoAugmentPolicy.CIFAR10,
    "svhn": v2.AutoAugmentPolicy.SVHN,
}


def _make(config: RegularizeConfig, color: list[int]) -> TensorFunction:
    transform: TensorFunction
    match config.auto_augment:
        case "autoaugment":
            transform = v2.AutoAugment(_POLICIES[config.auto_policy])
        case "randaugment":
            transform = v2.RandAugment(config.rand_operations, config.rand_magnitude)
        case _:
            transform = v2.TrivialAugmentWide()
    return transform


AUTO_AUGMENT = ImageRegularizer("auto_augment", _make)
