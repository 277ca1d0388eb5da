"""Which layers a training has beside the network's own: the settings, free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from netaug.core.errors import ConfigError

_MOST_BRANCHES = 64
Norms = Literal["each", "one"]
Form = Literal["auto", "separate", "merged"]


@dataclass(frozen=True, kw_only=True)
class BranchSettings:
    """Sets which branches a convolution gets during training; they are merged into it at the end.

    Args:
        branches: Convolutions of the network's own shape, each with a batch norm, whose outputs are added at every
            convolution with a batch norm behind it; the network's own is one of them. 1 is off.
        point: Whether a convolution with a larger kernel also gets a 1x1 one of its stride beside it.
        identity: Whether a batch norm of the input is added too, where input and output have the same shape.
        scale: First weight of the norms of added branches. 0 starts from the network's own function, as a network
            that was trained before should.
        norms: `each` gives every branch a batch norm, as in RepVGG and MobileOne; `one` only a factor per channel, with
            the network's own norm behind the sum (OREPA), which costs little more than the plain network.
        form: How branches with norms of their own are computed in training, the same up to rounding. `separate` runs
            each convolution and norm. `merged` runs one convolution with the sum of all kernels, and finds the
            statistics of the norms beside it, from the input's covariance where that is cheaper. `auto` takes the
            merged form where it costs less: at 1x1 and depthwise convolutions.
        keep: Glob patterns of modules whose convolutions stay as they are.
    """

    branches: int = 1
    point: bool = True
    identity: bool = True
    scale: float = 1.0
    norms: Norms = "each"
    form: Form = "auto"
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "keep", tuple(self.keep))
        count = self.branches
        whole = isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= _MOST_BRANCHES
        _require("branches", count, f"a whole number in [1, {_MOST_BRANCHES}]; 1 is off", whole)
        _require("norms", self.norms, " or ".join(get_args(Norms)), self.norms in get_args(Norms))
        _require("form", self.form, " or ".join(get_args(Form)), self.form in get_args(Form))
        _require("scale", self.scale, "a number in [0, 10]", 0.0 <= self.scale <= 10.0)


@dataclass(frozen=True, kw_only=True)
class DepthSettings:
    """Sets which convolutions are two with a non-linearity between during training, which fades until they are one.

    Args:
        ratio: Channels between the two, as a multiple of the smaller of the convolution's input and output channels.
            0 is off; the paper has 6.
        every: Deepens one of this many convolutions that qualify, from the first on.
        layers: Glob patterns of the convolutions that qualify, each with a batch norm behind it; none are all 1x1
            convolutions that mix channels and do not reduce their number, as the first of an inverted block.
        start: Progress in [0, 1) at which the non-linearities begin to fade: a negative value is multiplied by a slope
            that goes from 0 (ReLU) to 1 (identity) in proportion.
        until: Progress in (0, 1) from which on the block is linear. Before it there is no plain network to save, and
            evaluations are those of the deep one.
    """

    ratio: float = 0.0
    every: int = 2
    layers: tuple[str, ...] = ()
    start: float = 0.4
    until: float = 0.6

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        whole = isinstance(self.every, int) and not isinstance(self.every, bool) and self.every >= 1
        _require("ratio", self.ratio, "a number in [0, 64]; 0 is off", 0.0 <= self.ratio <= _MOST_BRANCHES)
        _require("every", self.every, "a whole number of at least 1", whole)
        _require("start", self.start, "a number in [0, 1)", 0.0 <= self.start < 1.0)
        _require(
            "until",
            self.until,
            f"a number in [start, 1), start {self.start:g}",
            self.start <= self.until < 1.0,
        )

    def slope(self, progress: float) -> float:
        """Return the factor on negative values at a progress in [0, 1]: 0 is ReLU, 1 the identity."""
        if progress >= self.until:
            return 1.0
        return max(0.0, progress - self.start) / (self.until - self.start) if progress > self.start else 0.0


def _require(name: str, value: object, allowed: str, holds: bool) -> None:
    if not holds:
        raise ConfigError(f"{name} is out of range.", got=value, allowed=allowed)
