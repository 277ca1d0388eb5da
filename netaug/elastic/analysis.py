"""Which channels of a network must have the same width: walk the graph, unify what has to agree.

Every tensor's elastic dimensions are lists of parts, each the channels of one width group. Groups are numbers
in a union-find forest here; :mod:`netaug.elastic.planner` gives them names and roles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import nn
from torch.fx import Node

from netaug.elastic.trace import Trace, module_of, shape_of, tensor_inputs


@dataclass(frozen=True)
class Part:
    """Channels of one width group along a dimension, ``repeat`` consecutive elements per channel."""

    group: int
    repeat: int = 1


Parts = tuple[Part, ...]
Layout = dict[int, Parts]
"""Elastic dimensions of a tensor; a dimension that is not listed keeps its size."""


@dataclass(frozen=True)
class DenseUse:
    """One call of a convolution or linear layer.

    Args:
        node: The call.
        weight: Name of the weight.
        positions: Multiply-accumulates per weight element for one example.
        source: The groups along the weight's input dimension (empty if that cannot widen).
        target: The groups along its output dimension.
        depthwise: Whether each channel is filtered by itself.
    """

    node: Node
    weight: str
    positions: int
    source: Parts
    target: Parts
    depthwise: bool


@dataclass
class Analysis:
    """The state of one walk over the graph.

    Args:
        trace: The graph.
        model: The network itself; rules look at the class of its modules.
        layouts: Elastic dimensions of each node's result.
        axes: Elastic dimensions of each parameter and buffer, by name.
        uses: Every call of a convolution or linear layer.
        depthwise: Modules whose ``groups`` follows the width of these channels.
    """

    trace: Trace
    model: nn.Module
    layouts: dict[Node, Layout] = field(default_factory=dict)
    axes: dict[str, Layout] = field(default_factory=dict)
    uses: list[DenseUse] = field(default_factory=list)
    depthwise: dict[str, Parts] = field(default_factory=dict)
    _parent: list[int] = field(default_factory=list)
    _sizes: list[int] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _reasons: dict[int, str] = field(default_factory=dict)
    _untouchable: dict[str, str] = field(default_factory=dict)

    # Groups

    def new_group(self, size: int, name: str) -> int:
        """A group of ``size`` channels first produced by ``name``."""
        self._parent.append(len(self._parent))
        self._sizes.append(size)
        self._names.append(name)
        return len(self._parent) - 1

    def find(self, group: int) -> int:
        """The group that stands for all that ``group`` was unified with."""
        while self._parent[group] != group:
            self._parent[group] = self._parent[self._parent[group]]
            group = self._parent[group]
        return group

    def roots(self) -> list[int]:
        """One number per distinct group, in the order in which the network produces them."""
        return [group for group in range(len(self._parent)) if self.find(group) == group]

    def size(self, group: int) -> int:
        """Channels of the group in the base network."""
        return self._sizes[self.find(group)]

    def name(self, group: int) -> str:
        """Name of what produces the group first."""
        return self._names[self.find(group)]

    def reason(self, group: int) -> str | None:
        """Why the group keeps its base width, or None if it may widen."""
        return self._reasons.get(self.find(group))

    def freeze(self, parts: Iterable[Part], reason: str) -> None:
        """Keep these groups at base width; the first reason given stays."""
        for part in parts:
            self._reasons.setdefault(self.find(part.group), reason)

    def parts_size(self, parts: Parts) -> int:
        """Elements that the parts take at base width."""
        return sum(self.size(part.group) * part.repeat for part in parts)

    def unify(self, first: Parts, second: Parts, where: str) -> None:
        """Demand the same widths of two dimensions that meet; freeze both if they are divided differently."""
        same = len(first) == len(second) and all(
            a.repeat == b.repeat and self.size(a.group) == self.size(b.group)
            for a, b in zip(first, second, strict=True)
        )
        if not same:
            reason = f"'{where}' combines channels that are divided into groups differently"
            self.freeze((*first, *second), reason)
            return
        for a, b in zip(first, second, strict=True):
            one, other = sorted((self.find(a.group), self.find(b.group)))
            if one == other:
                continue
            self._parent[other] = one
            if other in self._reasons:
                self._reasons.setdefault(one, self._reasons.pop(other))

    # Tensors

    def layout(self, node: Node) -> Layout:
        """Elastic dimensions of a node's result."""
        return self.layouts.get(node, {})

    def freeze_node(self, node: Node, reason: str, *, except_dims: Iterable[int] = ()) -> None:
        """Freeze all groups in a node's result, but for some dimensions."""
        for dim, parts in self.layout(node).items():
            if dim not in except_dims:
                self.freeze(parts, reason)

    def give_up(self, node: Node, reason: str) -> Layout:
        """Freeze everything that a call takes; its result keeps its size."""
        for source in tensor_inputs(node):
            self.freeze_node(source, reason)
            self.freeze_tensor(source, reason)
        return {}

    def freeze_tensor(self, node: Node, reason: str) -> None:
        """Freeze the dimensions of a parameter that a call uses in a way we do not follow."""
        name = self.trace.tensors.get(node)
        if name is None:
            return
        for parts in self.axes.get(name, {}).values():
            self.freeze(parts, reason)
        self._untouchable.setdefault(name, reason)

    def set_axis(self, node: Node, dim: int, parts: Parts) -> None:
        """Tie a dimension of a parameter or buffer to groups; a second use must agree with the first."""
        name = self.trace.tensors[node]
        if name in self._untouchable:
            self.freeze(parts, self._untouchable[name])
        known = self.axes.setdefault(name, {})
        if dim in known:
            self.unify(known[dim], parts, name)
        else:
            known[dim] = parts

    def output_axis(self, node: Node, dim: int) -> Parts:
        """The groups a weight produces: new ones at its first use, the same ones whenever it is used again."""
        name = self.trace.tensors[node]
        known = self.axes.setdefault(name, {})
        if dim not in known:
            module = name.rpartition(".")[0] or name
            known[dim] = (Part(self.new_group(shape_of(node)[dim], module)),)
            if name in self._untouchable:
                self.freeze(known[dim], self._untouchable[name])
        return known[dim]

    def is_parameter(self, node: Node | None) -> bool:
        """Whether a node is a parameter itself, not something computed from one."""
        return node is not None and self.trace.tensors.get(node) in self.trace.parameters

    def record_dense(
        self, node: Node, weight: Node, source: Parts, target: Parts, *, depthwise: bool
    ) -> None:
        """Note a convolution or linear call for counting, roles and sorting."""
        channels = shape_of(weight)[0]
        positions = math.prod(shape_of(node)) // channels // self.trace.batch_size
        name = self.trace.tensors[weight]
        self.uses.append(DenseUse(node, name, positions, source, target, depthwise))


def where(node: Node) -> str:
    """How messages name the place of a call."""
    return module_of(node) or "forward"
