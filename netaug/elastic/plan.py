"""The plan of a supernet: named width groups, which dimension of which tensor belongs to which, and counts of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from netaug.core.errors import ShapeError
from netaug.elastic.axes import Axis


@dataclass(frozen=True)
class Group:
    """Describes a width group: channels that always have the same width.

    Args:
        name: The module that produces them first.
        role: ``width`` and ``expand`` are drawn, ``follow`` goes with its source, ``frozen`` stays.
        base: Channels in the base network.
        most: Channels in the widest network.
        ratios: What is drawn from: multipliers on ``base``, or for ``expand`` on the expand ratio.
        source: For ``expand`` and ``follow``: the groups whose width it follows, with their repeats.
        members: Parameters with an axis in this group, as ``name[dim]``.
        reason: Why it is frozen, else empty.
    """

    name: str
    role: Literal["width", "expand", "follow", "frozen"]
    base: int
    most: int
    ratios: tuple[float, ...] = (1.0,)
    source: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Layer:
    """Describes a call of a convolution or linear layer, for counting and for sorting.

    Args:
        weight: Name of its weight.
        positions: Multiply-accumulates per weight element for one example.
        source: Groups along its input channels.
        target: Groups along its output channels.
        input_dim: The weight's input dimension.
        depthwise: Whether each channel is filtered by itself.
    """

    weight: str
    positions: int
    source: tuple[str, ...]
    target: tuple[str, ...]
    input_dim: int
    depthwise: bool


@dataclass(frozen=True)
class Size:
    """Describes a module attribute that counts channels: a whole number, or a list of them.

    Args:
        module: Name of the module.
        attribute: Name of the attribute.
        base: Its value in the base network.
        axes: The channels that are counted: by index in the list, None for a number.
    """

    module: str
    attribute: str
    base: int | list[int] | tuple[int, ...]
    axes: dict[int | None, Axis]

    def value(self, widths: Mapping[str, int]) -> int | list[int] | tuple[int, ...]:
        """Return the value of the attribute in a network of these widths."""
        if isinstance(self.base, int):
            return self.axes[None].size(widths)
        sizes = [self.axes[i].size(widths) if i in self.axes else n for i, n in enumerate(self.base)]
        return sizes if isinstance(self.base, list) else tuple(sizes)


@dataclass(frozen=True)
class Prefix:
    """What a network runs before the stage from which on it widens (``from_stage``).

    Args:
        stage: Name of the module.
        modules: The outermost modules that are done when the stage begins.
        parameters: What is read before the stage.
        obstacle: Why each pass has to run all of it, empty if the passes of a step can share it.
    """

    stage: str
    modules: tuple[str, ...]
    parameters: frozenset[str]
    obstacle: str = ""


@dataclass(frozen=True)
class Plan:
    """Holds everything a supernet needs to know about a model.

    Args:
        groups: By name, sources before those that follow them.
        axes: Elastic dimensions of parameters and buffers, by tensor name.
        layers: Convolution and linear calls in order.
        sizes: Module attributes that follow the widths.
        statistics: Modules that keep running statistics, elastic or not: in a wider network all of them get other
            inputs.
        owners: Every (module, attribute) that holds a tensor.
        batch_size: Examples in the example input.
        small_layers: The same calls as in ``layers`` on images of ``config.resolution``; empty if that is 1.
        prefix: What runs before ``config.from_stage``, if that is set.
    """

    groups: dict[str, Group]
    axes: dict[str, dict[int, Axis]]
    layers: tuple[Layer, ...]
    sizes: tuple[Size, ...]
    statistics: tuple[str, ...]
    owners: dict[str, tuple[tuple[str, str], ...]]
    batch_size: int
    small_layers: tuple[Layer, ...] = ()
    prefix: Prefix | None = None

    @property
    def base_widths(self) -> dict[str, int]:
        """Return the channels per group in the base network, of the groups that can widen."""
        return {group.name: group.base for group in self.groups.values() if group.role != "frozen"}

    @property
    def widest(self) -> dict[str, int]:
        """Return the channels per group in the widest network, of the groups that can widen."""
        return {group.name: group.most for group in self.groups.values() if group.role != "frozen"}

    def checked(self, widths: Mapping[str, int]) -> dict[str, int]:
        """Return the channels of every group that can widen, at base where not named.

        Raises:
            ShapeError: A group is unknown or frozen, or its channels are out of range.
        """
        base, most = self.base_widths, self.widest
        for name, channels in widths.items():
            if name not in base:
                group = self.groups.get(name)
                raise ShapeError(
                    f"'{name}' is not a width group that can widen.",
                    got=f"frozen: {group.reason}" if group else "no such group",
                    allowed=", ".join(base),
                )
            if not base[name] <= channels <= most[name]:
                raise ShapeError(
                    f"group '{name}' cannot have this width.",
                    got=channels,
                    allowed=f"{base[name]} to {most[name]} channels",
                )
        return {**base, **widths}


class Counter:
    """Counts parameters and multiply-accumulates of the networks of a supernet, without building them.

    Args:
        plan: Of the supernet.
        shapes: Shape of every base parameter, by name.
    """

    def __init__(self, plan: Plan, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._plan, self._shapes = plan, dict(shapes)

    @classmethod
    def of(cls, base: nn.Module, plan: Plan) -> Counter:
        """Make the counter for the supernet of a network."""
        return cls(plan, {name: tuple(parameter.shape) for name, parameter in base.named_parameters()})

    def macs(self, widths: Mapping[str, int], *, from_stage: bool = False) -> int:
        """Count the multiply-accumulates of convolutions and linear layers for one example; base where not named.

        Args:
            widths: Channels per group.
            from_stage: Count only what runs from ``config.from_stage`` on.
        """
        prefix = self._plan.prefix
        left_out = prefix.parameters if from_stage and prefix else frozenset()
        return sum(
            layer.positions * self._elements(layer.weight, widths)
            for layer in self._plan.layers
            if layer.weight not in left_out
        )

    def parameters(self, widths: Mapping[str, int]) -> int:
        """Count the parameters; base where not named."""
        return sum(self._elements(name, widths) for name in self._shapes)

    def _elements(self, name: str, widths: Mapping[str, int]) -> int:
        axes = self._plan.axes.get(name, {})
        elements = 1  # a tensor without dimensions has one
        for dim, size in enumerate(self._shapes[name]):
            elements *= axes[dim].size(widths) if dim in axes else size
        return elements
