"""The state of one walk over a network's graph, which finds out which channels must have the same width.

Every parameter and every result has a layout: which of its dimensions are elastic, and the groups along them
(see :mod:`netaug.elastic.groups`). The rules in :mod:`netaug.elastic.rules` fill it in, operation by
operation.

Only groups that a convolution or linear layer makes widen; learned tokens and positions stay. An operation
without a rule freezes what it touches, and the reason stays with the group: to widen what is not understood could
give a network that runs and computes something else. The network's outputs are frozen: the task fixes their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn
from torch.fx import Node

from netaug.elastic.groups import Groups, Layout, Part, Parts
from netaug.elastic.trace import Trace, module_of, shape_of, tensor_inputs


@dataclass(frozen=True)
class DenseUse:
    """Describes a call of a convolution or linear layer.

    Args:
        node: The call.
        weight: Name of the weight.
        positions: Multiply-accumulates per weight element for one example.
        source: The groups along the weight's input dimension (empty if that cannot widen).
        target: The groups along its output dimension.
        channels: How many channels enter and leave in the base network.
        input_dim: The weight's input dimension.
        depthwise: Whether each channel is filtered by itself.
    """

    node: Node
    weight: str
    positions: int
    source: Parts
    target: Parts
    channels: tuple[int, int]
    input_dim: int
    depthwise: bool


@dataclass(frozen=True)
class SizeUse:
    """Describes a whole number in a call that counts elastic channels, with the module attribute that it may come from.

    Args:
        module: The module whose forward makes the call.
        attribute: One of its attributes that holds the number.
        index: Which entry of the attribute, if that is a list.
        parts: The channels it counts.
        certain: Whether the module surely reads the attribute, or that has to be tried.
    """

    module: str
    attribute: str
    index: int | None
    parts: Parts
    certain: bool


class Analysis:
    """Holds the state of one walk over the graph.

    Attributes:
        trace: The graph.
        model: The network itself; rules look at the class and the attributes of its modules.
        groups: The width groups found so far.
        uses: Every call of a convolution or linear layer.
        sizes: Numbers in calls that go with widths.
    """

    def __init__(self, trace: Trace, model: nn.Module) -> None:
        self.trace = trace
        self.model = model
        self.groups = Groups()
        self.uses: list[DenseUse] = []
        self.sizes: list[SizeUse] = []
        self._layouts: dict[Node, Layout | list[Layout]] = {}
        self._axes: dict[str, Layout] = {}

    # Layouts

    def layout(self, node: object) -> Layout:
        """Return the elastic dimensions of a result, parameter or running statistic; none for anything else."""
        if not isinstance(node, Node):
            return {}
        name = self.trace.tensors.get(node)
        if name is not None:
            return self._open(self._axes_of(name, shape_of(node)))
        layout = self._layouts.get(node, {})
        assert isinstance(layout, dict), f"{node} gives several tensors"
        return self._open(layout)

    def layouts_of(self, node: Node) -> list[Layout]:
        """Return the elastic dimensions of each tensor that a call gives."""
        layouts = self._layouts.get(node)
        return (
            [self._open(layout) for layout in layouts] if isinstance(layouts, list) else [self.layout(node)]
        )

    def entry(self, node: Node, index: int) -> Layout:
        """Return the elastic dimensions of one tensor out of a call that gives several."""
        layout = self._layouts.get(node, {})
        return self._open(layout[index] if isinstance(layout, list) else layout)

    def set_layout(self, node: Node, layout: Layout | list[Layout]) -> None:
        """Store what a rule found about a call's result, or results."""
        self._layouts[node] = layout

    def axes(self) -> dict[str, Layout]:
        """Return the elastic dimensions of every parameter and statistic, by name."""
        return {
            name: {dim: self.groups.resolve(parts) for dim, parts in layout.items()}
            for name, layout in self._axes.items()
        }

    def dim(self, node: object, dim: int) -> Parts:
        """Return the groups along one dimension, none if it keeps its size."""
        return self.layout(node).get(dim, ())

    def full_dim(self, node: Node, dim: int) -> Parts:
        """Return the groups along one dimension; a dimension that keeps its size becomes a frozen group."""
        parts = self.dim(node, dim)
        if parts:
            return parts
        # Channels that stay need a part too, or those behind them in a concatenation would move up.
        constant = Part(self.groups.new(shape_of(node)[dim], node.name))
        self.groups.freeze((constant,), f"'{where(node)}' joins it with channels that widen")
        return (constant,)

    def _open(self, layout: Layout) -> Layout:
        # Frozen groups are left out, so that rules see dimensions that keep their size.
        resolved = {dim: self.groups.resolve(parts) for dim, parts in layout.items()}
        return {dim: parts for dim, parts in resolved.items() if not self.groups.is_frozen(parts)}

    def _axes_of(self, name: str, shape: tuple[int, ...]) -> Layout:
        """Return a parameter's dimensions: each starts as its own group, until uses say which groups are one."""
        if name not in self._axes:
            module = name.rpartition(".")[0] or name
            elastic = name in self.trace.parameters or name in self.trace.statistics
            # A kernel's height and width are positions: only its first two dimensions hold channels.
            dims = (2 if name in self.trace.kernels else len(shape)) if elastic else 0
            sizes = enumerate(shape[:dims])
            self._axes[name] = {
                dim: (Part(self.groups.new(size, module)),) for dim, size in sizes if size > 1
            }
        return self._axes[name]

    # Demands

    def meet(self, node: Node, *dims: tuple[object, int]) -> Parts:
        """Demand the same widths along dimensions of several tensors, which a call brings together.

        Returns:
            The groups along them; none if one of them keeps its size, which then holds for all.
        """
        # All or none: if one of them keeps its size, wider others could not meet it, so they freeze too.
        layouts = [self.dim(tensor, dim) for tensor, dim in dims if isinstance(tensor, Node)]
        if not all(layouts):
            for parts in layouts:
                self.groups.freeze(parts, f"'{where(node)}' combines it with a tensor that keeps its size")
            return ()
        for parts in layouts[1:]:
            self.groups.unify(layouts[0], parts, where(node))
        return self.groups.resolve(layouts[0])

    def tile(self, node: Node, parts: Parts, count: int, action: str) -> Parts:
        """Demand ``count`` equal stretches and return one; if there cannot be, freeze: the call does ``action``."""
        tiles = self.groups.tile(parts, count, where(node)) if parts else ()
        if tiles is None:
            self.groups.freeze(parts, f"'{where(node)}' {action}")
        return tiles or ()

    def freeze_node(self, node: Node, reason: str, *, except_dims: Iterable[int] = ()) -> None:
        """Freeze all groups in a tensor, except along some dimensions."""
        for dim, parts in self.layout(node).items():
            if dim not in except_dims:
                self.groups.freeze(parts, reason)

    def give_up(self, node: Node, reason: str) -> Layout:
        """Freeze everything that a call takes; its result keeps its size."""
        for source in tensor_inputs(node):
            for layout in self.layouts_of(source):
                for parts in layout.values():
                    self.groups.freeze(parts, reason)
        return {}

    # Notes

    def parameter_behind(self, node: Node) -> str | None:
        """Return the parameter of the same shape that a weight is, or is computed from."""
        wanted, todo = shape_of(node), [node]
        while todo:
            source = todo.pop(0)
            name = self.trace.tensors.get(source)
            if name in self.trace.parameters and shape_of(source) == wanted:
                return name
            todo += tensor_inputs(source) if source in self._layouts else []
        return None

    def note_size(self, node: Node, value: object, parts: Parts) -> None:
        """Note the attributes of a module that may be the source of a number of elastic channels in a call."""
        if isinstance(value, int) and value > 1 and parts:
            for attribute, held in self._attributes(node).items():
                if type(held) is int and held == value:
                    self.sizes.append(SizeUse(module_of(node), attribute, None, parts, certain=False))

    def note_sizes(self, node: Node, values: Sequence[object], parts: Mapping[int, Parts]) -> None:
        """Note the same for a list of numbers, of which some count elastic channels."""
        for index, channels in parts.items():
            self.note_size(node, values[index], channels)
        for attribute, held in self._attributes(node).items():
            if isinstance(held, (list, tuple)) and list(held) == list(values):
                for index, channels in parts.items():
                    if channels:
                        self.sizes.append(SizeUse(module_of(node), attribute, index, channels, certain=False))

    def _attributes(self, node: Node) -> dict[str, object]:
        return vars(self.model.get_submodule(module_of(node)))

    def unify_sizes(self) -> None:
        """Demand equal widths of channels that one attribute counts in several calls, such as those of each head."""
        first: dict[tuple[str, str, int | None], Parts] = {}
        for use in self.sizes:
            parts = first.setdefault((use.module, use.attribute, use.index), use.parts)
            if self.groups.elements(parts) == self.groups.elements(use.parts):
                self.groups.unify(parts, use.parts, use.module)

    def guess_sizes(self) -> None:
        """Note attributes that count channels that a module computes: they may be read where the graph shows nothing.

        A full slice, for example, leaves no trace in the graph.
        """
        known, named = {(use.module, use.attribute) for use in self.sizes}, len(self.sizes)
        for node in self.trace.operations:
            if type(self.model.get_submodule(module_of(node))).__module__.startswith("torch."):
                continue  # these take their sizes from their inputs
            for layout in self.layouts_of(node)[:1]:
                for dim, parts in layout.items():
                    self.note_size(node, shape_of(node)[dim], parts)
        # What a call has named is surer than a guess about the same attribute.
        self.sizes[named:] = [use for use in self.sizes[named:] if (use.module, use.attribute) not in known]

    def require_size(self, module: str, attribute: str, parts: Parts, index: int | None = None) -> None:
        """Demand that an attribute follows these channels: the module surely reads it as their number."""
        if parts:
            self.sizes.append(SizeUse(module, attribute, index, parts, certain=True))


def outputs_per_weight(node: Node, weight: Node, batch_size: int) -> int:
    """Count how often a call uses each weight element for one example, from its output ``[N, ..., channels, ...]``."""
    return math.prod(shape_of(node)) // shape_of(weight)[0] // batch_size


def where(node: Node) -> str:
    """Return how messages name the place of a call."""
    return module_of(node) or "forward"
