"""Chooses scale and zero point of every activation tensor from the ranges that were measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netaug.export.graph import (
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    ExportError,
    Flatten,
    Graph,
    HardSwish,
    MaxPool,
    Mean,
    Mul,
    Node,
    Relu,
    ResizeNearest,
    Sigmoid,
    Take,
)
from netaug.export.int8 import TensorInt8
from netaug.export.ranges import Range

_SAME_SCALE = (MaxPool, AvgPool, ResizeNearest, Concat, Take, Flatten)
"""Nodes whose reference kernels copy integers, so inputs and output need one scale and zero point."""
_SMALLEST_SPAN = 1e-5
"""A tensor that is always zero gets this span: with smaller scales 6 of ReLU6 would be beyond int32."""
_MOST_WIDENED = 256
"""A range is never made larger by more than this: all 8 bits of what was measured would be lost."""
_ATTEMPTS = 100
"""Passes over a network until its ranges are wide enough; a loop of ranges that share a scale could grow for ever."""
_NEIGHBORS = 4096
"""Scales that are tried for a product, each the next float32: one of about a hundred will do."""


def activation_tensors(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, TensorInt8]:
    """Return every tensor with its scale and zero point; zero is always one of its values.

    Args:
        graph: The float form.
        ranges: Range of every tensor, as `ranges.measure_ranges` returns them.

    Raises:
        ExportError: A tensor has no range, or weights are so large that a sum would leave 32 bits.
    """
    missing = [name for name in graph.shapes if name not in ranges]
    if missing:
        raise ExportError("a tensor has no range.", got=", ".join(missing[:3]), fix="measure ranges again")
    spans = _Spans(graph, ranges)
    spans.widen()
    spans.settle_products()
    return {
        name: TensorInt8(name, shape, *spans.scale_and_zero_point(name))
        for name, shape in graph.shapes.items()
    }


class _Spans:
    """Holds the range of each group of tensors that share scale and zero point.

    Args:
        graph: The float form.
        ranges: What was measured.
    """

    def __init__(self, graph: Graph, ranges: Mapping[str, Range]) -> None:
        self._graph = graph
        self._group = _tied(graph)
        self._fixed = {self._group[name]: scale for name, scale in _fixed_scales(graph).items()}
        self._ranges: dict[str, Range] = {}
        for name, group in self._group.items():
            low, high = ranges[name]
            before = self._ranges.get(group, Range(0.0, 0.0))  # padding and ReLU need an exact zero
            self._ranges[group] = Range(min(before.low, low), max(before.high, high))
        self._measured = {group: self.span(group) for group in self._ranges}
        self._settled: dict[str, float] = {}

    def span(self, name: str) -> float:
        """Return the size of the range that 256 integers stand for."""
        group = self._group[name]
        if group in self._fixed:
            return 255 * self._fixed[group][0]
        low, high = self._ranges[group]
        return max(high - low, _SMALLEST_SPAN)

    def scale_and_zero_point(self, name: str) -> tuple[float, int]:
        """Return both for a tensor."""
        group = self._group[name]
        if group in self._fixed:
            return self._fixed[group]
        # The scale is rounded to float32 first: the file holds that number, and the zero point must fit it.
        scale = self._settled.get(group, float(np.float32(self.span(name) / 255)))
        return scale, int(np.clip(round(-128 - self._ranges[group].low / scale), -128, 127))

    def widen(self) -> None:
        """Make ranges of outputs large enough for what the kernels compute in.

        Raises:
            ExportError: Nothing would be left of what was measured.
        """
        for attempt in range(_ATTEMPTS):  # a wider output may be the input of another node
            changed = False
            for node in self._graph:
                least = _LEAST_SPANS[type(node)](self, node) if type(node) in _LEAST_SPANS else 0.0
                if least > self.span(node.output):
                    self._grow(node, 1.001 * least, last=attempt == _ATTEMPTS - 1)
                    changed = True
            if not changed:
                return

    def settle_products(self) -> None:
        """Move scales of products by some millionths to where tflite-micro's and LiteRT's MUL have one multiplier.

        The former computes it in float64, the latter in float32: 1 of 150 values of a product was different.
        """
        products: dict[str, list[Mul]] = {}
        for node in self._graph:
            if isinstance(node, Mul) and self._group[node.output] not in self._fixed:
                products.setdefault(self._group[node.output], []).append(node)
        for group, nodes in products.items():
            scale = np.float32(self.scale_and_zero_point(group)[0])
            scales_S = scale + np.arange(_NEIGHBORS, dtype=np.float32) * np.spacing(scale)
            same_S = np.ones(_NEIGHBORS, bool)
            for node in nodes:
                first, second = (np.float32(self.scale_and_zero_point(name)[0]) for name in node.inputs)
                singles_S = (first * second / scales_S).astype(np.float64)
                doubles_S = np.float64(first) * np.float64(second) / scales_S.astype(np.float64)
                same_S &= _multiplier_bits(singles_S) == _multiplier_bits(doubles_S)
            if same_S.any():  # else LiteRT has other bits, which its check counts
                self._settled[group] = float(scales_S[same_S.argmax()])

    def _grow(self, node: Node, span: float, *, last: bool) -> None:
        group = self._group[node.output]
        lost = span > _MOST_WIDENED * self._measured[group] and self._measured[group] > _SMALLEST_SPAN
        if last or (isinstance(node, Conv) and (lost or group in self._fixed)):
            largest = np.abs(node.weight_OHWI).max() if isinstance(node, Conv) else None
            raise ExportError(
                f"layer '{node.name}' has weights that are too large for the range of its outputs.",
                got=f"weights up to {largest:.1e}" if largest else f"a range of {self.span(node.output):.1e}",
                fix="export an earlier checkpoint, or train with a lower learning rate",
            )
        low, _ = self._ranges[group]
        self._ranges[group] = Range(low, low + span)


def _multiplier_bits(reals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 31 bits that kernels multiply with."""
    fractions, _ = np.frexp(reals)
    bits: NDArray[np.float64] = np.floor(fractions * 2**31 + 0.5)
    return bits


def _conv_span(spans: _Spans, node: Conv) -> float:
    """Return the span with which the largest sum that inputs of int8 can have stays below 2**31, shifted as it is."""
    scale, zero_point = spans.scale_and_zero_point(node.inputs[0])
    farthest = scale * max(127 - zero_point, 128 + zero_point)
    weight_OK = np.abs(node.weight_OHWI).reshape(len(node.weight_OHWI), -1).astype(np.float64)
    rounded_O = weight_OK.shape[1] * weight_OK.max(1) / 254  # half a step of each weight
    sums_O = (weight_OK.sum(1) + rounded_O) * farthest + np.abs(node.bias_O)
    return float(255 * sums_O.max() / 2**30)


_LEAST_SPANS: dict[type[Node], Callable[..., float]] = {
    Conv: _conv_span,
    # 32 bits of the sums and products of these kernels, with one to spare
    Add: lambda spans, node: max(map(spans.span, node.inputs)) / 2**20,
    Mul: lambda spans, node: spans.span(node.inputs[0]) * spans.span(node.inputs[1]) / 255 / 2**14,
    Mean: lambda spans, node: spans.span(node.inputs[0]) / 2**20,
    Relu: lambda spans, node: spans.span(node.inputs[0]) / 2**20,
    # tflite-micro refuses less than a 128th
    HardSwish: lambda spans, node: spans.span(node.inputs[0]) / 64,
}
"""The smallest range that an output may have, by kind of node: one that is always zero would get too small a scale."""


def with_free_scales(graph: Graph, ranges: Mapping[str, Range]) -> tuple[Graph, dict[str, Range]]:
    """Return the form with gates of a scale of their own where they are joined with other tensors, and its ranges.

    Gates have fixed scales, and all that is joined has one scale; a ReLU, which leaves them as they are, changes it.
    """
    nodes: list[Node] = []
    fixed, shapes, known = _fixed_scales(graph), dict(graph.shapes), dict(ranges)
    for node in graph:
        if isinstance(node, _SAME_SCALE):
            scales = [fixed.get(name) for name in node.inputs]
            if any(scale != scales[0] for scale in scales):
                names = [f"{name}_free" if name in fixed else name for name in node.inputs]
                for name, free in zip(node.inputs, names, strict=True):
                    if name != free and free not in shapes:
                        nodes.append(Relu(node.name, (name,), free))
                        shapes[free] = graph.shapes[name]
                        known |= {free: ranges[name]} if name in ranges else {}
                node = replace(node, inputs=tuple(names))
            elif scales[0] is not None:
                fixed[node.output] = scales[0]
        nodes.append(node)
    return Graph(tuple(nodes), shapes, graph.inputs, graph.outputs), known


def _tied(graph: Graph) -> dict[str, str]:
    """Return for each tensor the first one that it must share scale and zero point with."""
    group = {name: name for name in graph.shapes}
    for node in graph:
        if isinstance(node, _SAME_SCALE):
            for name in node.inputs:
                old, new = group[node.output], group[name]
                group = {key: new if value == old else value for key, value in group.items()}
    return group


def _fixed_scales(graph: Graph) -> dict[str, tuple[float, int]]:
    """Return scale and zero point of the tensors whose range is known before any image is seen."""
    fixed = {}
    for node in graph:
        if isinstance(node, Sigmoid):
            fixed[node.output] = (1 / 256, -128)  # the only output that TFLite's LOGISTIC allows
        elif getattr(node, "activation", None) is Activation.UNIT:
            # On exactly this grid int8 saturation is the upper clip, for which TFLite has no activation.
            fixed[node.output] = (float(np.float32(1 / 255)), -128)
    return fixed
