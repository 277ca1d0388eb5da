"""Settings of competing first weights."""

from __future__ import annotations

from dataclasses import dataclass

from netaug.core.errors import ConfigError

_MOST = 1024


@dataclass(frozen=True, kw_only=True)
class StartsConfig:
    """Sets how many draws of the first weights compete for the training (successive halving, arXiv:1502.07943).

    All begin the same training; at equal distances up to `until` the half with the higher training loss is dropped, and
    the one that remains is trained to the end. Nothing is chosen on validation images.

    Args:
        count: Draws that compete; 1 is off. 8 cost 2.1 times one training if `until` is 0.3.
        until: Fraction in (0, 1] of the training after which only one remains. Earlier losses say less about the
            end.
        draw: Which draw of the first weights a training has; of several that compete, the first. 0 is that of
            `train.seed` alone. With the number of the winner, the same network is trained again.
    """

    count: int = 1
    until: float = 0.3
    draw: int = 0

    def __post_init__(self) -> None:
        for name, holds, allowed in (
            ("count", 1 <= self.count <= _MOST, f"a whole number in [1, {_MOST}]; 1 is off"),
            ("until", 0 < self.until <= 1, "a number in (0, 1]"),
            ("draw", self.draw >= 0, "a whole number, at least 0"),
        ):
            if not holds:
                raise ConfigError(f"starts.{name} is out of range.", got=getattr(self, name), allowed=allowed)
