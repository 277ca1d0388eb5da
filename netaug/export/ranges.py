"""Measures the smallest and largest value of every tensor over training images: what the int8 scales are made from.

True extremes, not averages of each batch's extremes: averaging clips activations to about half of their range, which
cost 0.5 to 1.1 points of accuracy on CIFAR-10, where true extremes cost 0.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from netaug.export.float_reference import run_float
from netaug.export.graph import Conv, ExportError, FloatArray, Graph

SAMPLES = 1_000_000
"""Values of one batch that a percentile is estimated from."""


LARGEST = 1e30
"""Largest value of a tensor; products of two scales must be float32 numbers, too."""


class Range(NamedTuple):
    """Holds the smallest and largest value of a tensor."""

    low: float
    high: float


def measure_ranges(
    graph: Graph, batches_NCHW: Iterable[Tensor | FloatArray], *, percentile: float = 100.0
) -> dict[str, Range]:
    """Return the range of every tensor over batches of images.

    Args:
        graph: The float form.
        batches_NCHW: float32 images ``[N, C, H, W]``, normalized as in training and without augmentation.
        percentile: How much of each batch's values the range has to hold, in (50, 100]; the rest is cut at both
            ends. 100 takes the extremes.

    Raises:
        ExportError: There are no images, they have another shape, or a value is NaN or inf.
    """
    if not 50 < percentile <= 100:
        raise ExportError("the percentile of ranges is out of range.", got=percentile, allowed="(50, 100]")
    ranges: dict[str, Range] = {}
    layers = {graph.inputs[0]: "the images"} | {node.output: f"layer '{node.name}'" for node in graph}

    def widen(name: str, values: Tensor) -> None:
        low, high = _extremes(values, percentile)
        if not max(abs(low), abs(high)) <= LARGEST:  # also where it is NaN
            what = "values that are too large" if np.isfinite([low, high]).all() else "a non-finite value"
            raise ExportError(
                f"{layers[name]} gave {what} while the ranges were measured.",
                got=f"from {low} to {high}{_largest_weight(graph, name)}",
                fix="check that the images can be read; where weights are so large, export an earlier checkpoint, or "
                "train with a lower learning rate",
            )
        before = ranges.get(name, Range(low, high))
        ranges[name] = Range(min(before.low, low), max(before.high, high))

    for batch in batches_NCHW:
        run_float(graph, _checked(graph, batch), widen)
    if not ranges:
        raise ExportError(
            "there are no images to measure ranges on.",
            got="0 images",
            fix="give at least 32 training images",
        )
    return ranges


def _largest_weight(graph: Graph, output: str) -> str:
    """Return a remark about the weights of the convolution that writes a tensor; empty for other nodes."""
    for node in graph:
        if isinstance(node, Conv) and node.output == output:
            return f", with weights up to {np.abs(node.weight_OHWI).max():.1e}"
    return ""


def _extremes(values: Tensor, percentile: float) -> tuple[float, float]:
    if percentile == 100.0:
        low, high = torch.aminmax(values)
        return float(low), float(high)
    step = -(-values.numel() // SAMPLES)  # torch.quantile refuses more than 16 million values
    ends = torch.tensor([1 - percentile / 100, percentile / 100])
    low, high = torch.quantile(values.flatten()[::step], ends)
    return float(low), float(high)


def _checked(graph: Graph, batch_NCHW: Tensor | FloatArray) -> Tensor:
    batch = torch.as_tensor(batch_NCHW)
    height, width, channels = graph.shapes[graph.inputs[0]]
    if (
        batch.ndim != 4
        or tuple(batch.shape[1:]) != (channels, height, width)
        or not batch.is_floating_point()
    ):
        raise ExportError(
            "images to measure ranges on do not fit the network.",
            got=f"{batch.dtype} {list(batch.shape)}",
            allowed=f"float32 [N, {channels}, {height}, {width}]",
        )
    return batch.float()
