"""How a network is augmented: the settings of :func:`netaug.augment`, free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from netaug.errors import ConfigError


@dataclass(frozen=True)
class AugmentConfig:
    """Settings of Network Augmentation; the defaults are the paper's for MobileNetV2-Tiny (arXiv:2110.08890).

    Args:
        width: Multipliers on the base channels of ``width`` groups (stem, block outputs, final conv).
        expand: Multipliers on the expand ratio of ``expand`` groups (hidden channels of a block).
        alpha: Weight of the augmented pass's loss beside the base pass's 1.
        batch_share: Share of each batch that the augmented pass sees, in (0, 1].
        width_until: Progress in [0, 1] up to which ``width`` groups are augmented.
        expand_until: Progress in [0, 1] up to which ``expand`` groups are augmented.
        seed: Keys every draw of widths and the initial values of the added weights.
        keep: Glob patterns of group names, module names or parameter names that stay at base width.
    """

    width: tuple[float, ...] = (1.0, 1.8, 2.6)
    expand: tuple[float, ...] = (1.0, 1.6, 2.2, 2.8)
    alpha: float = 1.0
    batch_share: float = 1.0
    width_until: float = 0.5
    expand_until: float = 1.0
    seed: int = 0
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("width", "expand"):
            factors = getattr(self, name)
            if not factors or not all(1.0 <= factor < math.inf for factor in factors):
                raise ConfigError(
                    f"the list of {name} multipliers cannot be used.",
                    got=factors,
                    allowed="one or more numbers, each at least 1.0",
                    fix=f"for example {name}=(1.0, 1.8, 2.6); (1.0,) switches this role off",
                )
        for name, allowed, fits in (
            ("alpha", "a number > 0", 0.0 < self.alpha < math.inf),
            ("batch_share", "a number in (0, 1]", 0.0 < self.batch_share <= 1.0),
            ("width_until", "a number in [0, 1]", 0.0 <= self.width_until <= 1.0),
            ("expand_until", "a number in [0, 1]", 0.0 <= self.expand_until <= 1.0),
        ):
            if not fits:
                raise ConfigError(f"{name} is out of range.", got=getattr(self, name), allowed=allowed)
