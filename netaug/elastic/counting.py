"""Parameters and multiply-accumulates of the networks of a supernet, counted without building them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from netaug.elastic.plan import Plan


class Counter:
    """Counts networks of given widths.

    Args:
        plan: Of the supernet.
        shapes: Shape of every base parameter, by name.
    """

    def __init__(self, plan: Plan, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._plan, self._shapes = plan, dict(shapes)

    @classmethod
    def of(cls, base: nn.Module, plan: Plan) -> Counter:
        """A counter for the supernet of a network."""
        return cls(plan, {name: tuple(parameter.shape) for name, parameter in base.named_parameters()})

    def macs(self, widths: Mapping[str, int]) -> int:
        """Multiply-accumulates of convolutions and linear layers for one example; base where not named."""
        return sum(layer.positions * self._elements(layer.weight, widths) for layer in self._plan.layers)

    def parameters(self, widths: Mapping[str, int]) -> int:
        """Number of parameters; base where not named."""
        return sum(self._elements(name, widths) for name in self._shapes)

    def _elements(self, name: str, widths: Mapping[str, int]) -> int:
        axes = self._plan.axes.get(name, {})
        elements = 1
        for dim, size in enumerate(self._shapes[name]):
            elements *= axes[dim].size(widths) if dim in axes else size
        return elements
