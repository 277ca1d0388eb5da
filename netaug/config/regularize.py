"""The settings of the regularizers; free of torch.

A new regularizer has its setting here, with what it acts on, and a file of its own in `netaug/regularize`, which
`layers.py` or `images.py` there lists. All else follows from the two: checks, messages, and what of a dataset's images
a cache of teacher logits depends on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple

from netaug.core.errors import ConfigError

ActsOn = Literal["layers", "batches", "images"]
"""What a regularizer changes: parts of the network, images together with others and their labels, single images."""


class _Range(NamedTuple):
    holds: Callable[[Any], bool]
    allowed: str


_BELOW_ONE = _Range(lambda value: 0 <= value < 1, "a probability in [0, 1)")
_POSITIVE = _Range(lambda value: 0 < value <= 1, "a fraction in (0, 1]")
_UNIT = _Range(lambda value: 0 <= value <= 1, "a number in [0, 1]")
_ALPHA = _Range(lambda value: 0 <= value < math.inf, "a number, at least 0")
_INSIDE = _Range(lambda value: 0 < value < 1, "a fraction in (0, 1)")
_ODD = _Range(lambda value: value >= 1 and value % 2 == 1, "an odd number of pixels, at least 1")
_COUNT = _Range(lambda value: value >= 1, "a whole number, at least 1")
_MAGNITUDE = _Range(lambda value: 0 <= value <= 30, "a whole number from 0 to 30")


def _setting(
    default: Any, allowed: _Range | None = None, *, acts_on: ActsOn | None = None, part_of: str = ""
) -> Any:
    """Declare a setting.

    Args:
        default: A regularizer with its default is off.
        allowed: Which values it may have; None where its type says it.
        acts_on: What the regularizer of this name changes; None for a setting that is not a regularizer.
        part_of: The regularizer without which the setting has no effect.
    """
    return field(default=default, metadata={"allowed": allowed, "acts_on": acts_on, "part_of": part_of})


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
            have less, in proportion to their position.
        places: Glob patterns of modules on whose outputs dropout, spatial dropout and DropBlock act instead.
        mixup: Alpha of the Beta distribution from which the weight of an image in its mixture is drawn; 0 is off.
        cutmix: Alpha of the Beta distribution of the area's fraction when a box of another image is put in; 0 is off.
        cutmix_share: Fraction in (0, 1) of the batches with CutMix when there is Mixup too.
        mix_probability: Fraction in (0, 1] of the batches that are mixed.
        cutout: Side in (0, 1] of a square set to the mean color, as a fraction of the image's; its center may be
            anywhere, and what is outside is cut off. 0 is off.
        cutout_probability: Fraction in (0, 1] of the images with such a square.
        erasing: Probability in [0, 1] of setting a rectangle of drawn area and shape to the mean color.
        auto_augment: Automatic augmentation of each image after crop and mirror.
        auto_policy: Data that AutoAugment's policy was found on.
        rand_operations: Operations that RandAugment applies to an image, one after the other.
        rand_magnitude: Their strength, 0 to 30.
    """

    dropout: float = _setting(0.0, _BELOW_ONE, acts_on="layers")
    spatial_dropout: float = _setting(0.0, _BELOW_ONE, acts_on="layers")
    dropblock: float = _setting(0.0, _BELOW_ONE, acts_on="layers")
    dropblock_size: int = _setting(7, _ODD, part_of="dropblock")
    stochastic_depth: float = _setting(0.0, _BELOW_ONE, acts_on="layers")
    places: tuple[str, ...] = ()
    mixup: float = _setting(0.0, _ALPHA, acts_on="batches")
    cutmix: float = _setting(0.0, _ALPHA, acts_on="batches")
    cutmix_share: float = _setting(0.5, _INSIDE, part_of="cutmix")
    mix_probability: float = _setting(1.0, _POSITIVE)
    cutout: float = _setting(0.0, _UNIT, acts_on="images")
    cutout_probability: float = _setting(1.0, _POSITIVE, part_of="cutout")
    erasing: float = _setting(0.0, _UNIT, acts_on="images")
    auto_augment: Literal["none", "autoaugment", "randaugment", "trivialaugment"] = _setting(
        "none", acts_on="images"
    )
    auto_policy: Literal["imagenet", "cifar10", "svhn"] = _setting("imagenet", part_of="auto_augment")
    rand_operations: int = _setting(2, _COUNT, part_of="auto_augment")
    rand_magnitude: int = _setting(9, _MAGNITUDE, part_of="auto_augment")

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", tuple(self.places))
        for item in fields(self):
            allowed, value = item.metadata.get("allowed"), getattr(self, item.name)
            if allowed is not None and not allowed.holds(value):
                raise ConfigError(
                    f"regularize.{item.name} is out of range.", got=value, allowed=allowed.allowed
                )
        self._refuse_what_has_no_effect()
        if self.cutout and self.erasing:
            raise ConfigError(
                "regularize.cutout and regularize.erasing both take a part of the image away.",
                got=f"cutout {self.cutout:g}, erasing {self.erasing:g}",
                fix="set one of them to 0",
            )

    def settings_on(self, *kinds: ActsOn) -> tuple[str, ...]:
        """Return the names of the settings whose regularizers act on one of these, in the order of the settings."""
        return tuple(
            item.name
            for item in fields(self)
            if item.metadata.get("acts_on") in kinds and getattr(self, item.name) != item.default
        )

    def acting_on(self, *kinds: ActsOn) -> tuple[str, ...]:
        """Return what people call these regularizers: an automatic augmentation by its own name."""
        return tuple(
            self.auto_augment if name == "auto_augment" else name for name in self.settings_on(*kinds)
        )

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with others of their batch."""
        return bool(self.settings_on("batches"))

    @property
    def on(self) -> tuple[str, ...]:
        """Names of the regularizers that act, in the order of the settings."""
        return self.acting_on("layers", "batches", "images")

    def strength(self, name: str) -> str:
        """Return the number of one of :attr:`on` as text; empty for an automatic augmentation, which has none."""
        return "" if name == self.auto_augment else f"{getattr(self, name):g}"

    @property
    def about_images(self) -> str:
        """Return the regularizers of images with their strengths, as text; empty if there are none."""
        return ", ".join(
            f"{name} {self.strength(name)}".rstrip() for name in self.acting_on("batches", "images")
        )

    def _refuse_what_has_no_effect(self) -> None:
        changed = {item.name for item in fields(self) if getattr(self, item.name) != item.default}
        defaults: dict[str, Any] = {item.name: item.default for item in fields(self)}
        for name, other in ((item.name, item.metadata.get("part_of")) for item in fields(self)):
            if other and name in changed and getattr(self, other) == defaults[other]:
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


def _no_effect(name: str, when: str, fix: str) -> None:
    raise ConfigError(f"regularize.{name} has no effect {when}.", fix=fix)


def settings_of(kind: ActsOn) -> frozenset[str]:
    """Return the names of all settings of the regularizers that act on this, whether they are on or off."""
    items = {item.name: item.metadata for item in fields(RegularizeConfig)}
    regularizers = {name for name, metadata in items.items() if metadata.get("acts_on") == kind}
    parts = {name for name, metadata in items.items() if metadata.get("part_of") in regularizers}
    return frozenset(regularizers | parts)
