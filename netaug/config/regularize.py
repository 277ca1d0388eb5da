"""Which regularizers act while a network trains; free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

from netaug.core.errors import ConfigError

_NEEDS = {
    "dropblock_size": "dropblock",
    "cutmix_share": "cutmix",
    "cutout_probability": "cutout",
    "auto_policy": "auto_augment",
    "rand_operations": "auto_augment",
    "rand_magnitude": "auto_augment",
}


OF_LAYERS = ("dropout", "spatial_dropout", "dropblock", "stochastic_depth")
"""Regularizers that drop parts of the network; the others change images, or images and labels."""


@dataclass(frozen=True)
class RegularizeConfig:
    """Regularizers, all off by default: tiny networks under-fit, and these make them worse. For large ones.

    Label smoothing and weight decay are `train.label_smoothing` and `train.weight_decay`.

    Args:
        dropout: Probability in [0, 1) of dropping a number that goes into the last linear layer.
        spatial_dropout: Probability in [0, 1) of dropping a whole channel of an image behind each convolution of
            the two smallest map sizes.
        dropblock: Probability in [0, 1) of dropping a number of these maps, in squares.
        dropblock_size: Side of these squares in pixels of the map, odd; at most that of the map.
        stochastic_depth: Probability in [0, 1) of leaving out the last residual branch for an image; those before it
            have less, in proportion to their number.
        places: Glob patterns of modules on whose outputs dropout, spatial dropout and DropBlock act instead.
        mixup: Alpha of the Beta distribution from which an image's share is drawn, mixed with another; 0 is off.
        cutmix: Alpha of the Beta distribution of the area's share when a box of another image is put in; 0 is off.
        cutmix_share: Share in (0, 1) of the batches with CutMix when there is Mixup too.
        mix_probability: Share in (0, 1] of the batches that are mixed.
        cutout: Side in (0, 1] of a square set to the mean colour, as a share of the image's; its centre may be
            anywhere, and what is outside is cut off. 0 is off.
        cutout_probability: Share in (0, 1] of the images with such a square.
        erasing: Probability in [0, 1] of setting a rectangle of drawn area and shape to the mean colour.
        auto_augment: Automatic augmentation of each image after crop and mirror.
        auto_policy: Data that AutoAugment's policy was found on.
        rand_operations: Operations that RandAugment applies to an image, one after the other.
        rand_magnitude: Their strength, 0 to 30.
    """

    dropout: float = 0.0
    spatial_dropout: float = 0.0
    dropblock: float = 0.0
    dropblock_size: int = 7
    stochastic_depth: float = 0.0
    places: tuple[str, ...] = ()
    mixup: float = 0.0
    cutmix: float = 0.0
    cutmix_share: float = 0.5
    mix_probability: float = 1.0
    cutout: float = 0.0
    cutout_probability: float = 1.0
    erasing: float = 0.0
    auto_augment: Literal["none", "autoaugment", "randaugment", "trivialaugment"] = "none"
    auto_policy: Literal["imagenet", "cifar10", "svhn"] = "imagenet"
    rand_operations: int = 2
    rand_magnitude: int = 9

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", tuple(self.places))
        for name in ("dropout", "spatial_dropout", "dropblock", "stochastic_depth"):
            self._require(name, 0 <= getattr(self, name) < 1, "a probability in [0, 1)")
        for name in ("mixup", "cutmix"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "a number, at least 0")
        for name in ("mix_probability", "cutout_probability"):
            self._require(name, 0 < getattr(self, name) <= 1, "a share in (0, 1]")
        for name in ("cutout", "erasing"):
            self._require(name, 0 <= getattr(self, name) <= 1, "a number in [0, 1]")
        size = self.dropblock_size
        self._require("dropblock_size", size >= 1 and size % 2 == 1, "an odd number of pixels, at least 1")
        self._require("cutmix_share", 0 < self.cutmix_share < 1, "a share in (0, 1)")
        self._require("rand_operations", self.rand_operations >= 1, "a whole number, at least 1")
        self._require("rand_magnitude", 0 <= self.rand_magnitude <= 30, "a whole number from 0 to 30")
        self._refuse_what_has_no_effect()
        if self.cutout and self.erasing:
            raise ConfigError(
                "regularize.cutout and regularize.erasing both take a part of the image away.",
                got=f"cutout {self.cutout:g}, erasing {self.erasing:g}",
                fix="set one of them to 0",
            )

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with others of their batch."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def drops(self) -> bool:
        """Whether parts of the network are dropped."""
        return max(self.dropout, self.spatial_dropout, self.dropblock, self.stochastic_depth) > 0

    @property
    def changes_images(self) -> bool:
        """Whether single images are changed beyond `data.augment`."""
        return self.auto_augment != "none" or self.cutout > 0 or self.erasing > 0

    def strength(self, name: str) -> str:
        """The number of one of :attr:`on` in words; empty for an automatic augmentation, which has none."""
        return "" if name == self.auto_augment else f"{getattr(self, name):g}"

    @property
    def on(self) -> tuple[str, ...]:
        """Names of the regularizers that act, in the order of the settings."""
        numbers = (
            "dropout",
            "spatial_dropout",
            "dropblock",
            "stochastic_depth",
            "mixup",
            "cutmix",
            "cutout",
            "erasing",
        )
        auto = () if self.auto_augment == "none" else (self.auto_augment,)
        return tuple(name for name in numbers if getattr(self, name) > 0) + auto

    @property
    def about_images(self) -> str:
        """The regularizers of images with their strengths, in words; empty if there are none."""
        return ", ".join(
            f"{name} {self.strength(name)}".rstrip() for name in self.on if name not in OF_LAYERS
        )

    def _refuse_what_has_no_effect(self) -> None:
        changed = {item.name for item in fields(self) if getattr(self, item.name) != item.default}
        defaults: dict[str, Any] = {item.name: item.default for item in fields(self)}
        for name, other in _NEEDS.items():
            if name in changed and getattr(self, other) == defaults[other]:
                _no_effect(name, f"with regularize.{other} {defaults[other]}", f"set regularize.{other} too")
        if "cutmix_share" in changed and not self.mixup:
            _no_effect("cutmix_share", "without regularize.mixup", "set it too, or use mix_probability")
        if "mix_probability" in changed and not self.mixes:
            _no_effect("mix_probability", "without mixup and cutmix", "set one of them above 0")
        if self.places and not max(self.dropout, self.spatial_dropout, self.dropblock):
            _no_effect("places", "without dropout, spatial_dropout and dropblock", "set one of them above 0")
        if "auto_policy" in changed and self.auto_augment != "autoaugment":
            _no_effect("auto_policy", f"with {self.auto_augment}", "--regularize.auto_augment autoaugment")
        for name in ("rand_operations", "rand_magnitude"):
            if name in changed and self.auto_augment != "randaugment":
                _no_effect(name, f"with {self.auto_augment}", "--regularize.auto_augment randaugment")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise ConfigError(f"regularize.{name} is out of range.", got=getattr(self, name), allowed=allowed)


def _no_effect(name: str, when: str, fix: str) -> None:
    raise ConfigError(f"regularize.{name} has no effect {when}.", fix=fix)
