"""The network of a training loop: a supernet, or a plain network with its interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from netaug.elastic import Pass, Supernet


class BaseOnly(nn.Module):
    """Wraps a plain network in the supernet's interface, with a single base pass per step: the baseline.

    Args:
        base: The network.
        macs: Its multiply-accumulates for one image.
    """

    def __init__(self, base: nn.Module, macs: int) -> None:
        super().__init__()
        self.base = base
        self._macs = macs

    def forward(self, *inputs: Tensor) -> Any:
        """Run the network."""
        return self.base(*inputs)

    def passes(
        self, step: int, progress: float, *, wide_first: bool = False, teacher: bool = False
    ) -> Iterator[Pass]:
        """Yield the one pass of a step; the same at every step."""
        yield Pass("base", 1.0, {})

    def widens(self, step: int, progress: float) -> bool:
        """Return False: there is no augmented pass."""
        return False

    def sorts(self, progress: float) -> bool:
        """Return False: nothing was added that could be sorted into it."""
        return False

    def macs(
        self, widths: Mapping[str, int] | None = None, *, resolution: float = 1.0, from_stage: bool = False
    ) -> int:
        """Return the multiply-accumulates of the network for one image; it has one width, its images one size."""
        return self._macs


Network = Supernet | BaseOnly
