"""Ranges are true extremes over all images, and images that give none are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from netaug.export.graph import ExportError, Graph
from netaug.export.quantize import quantize
from netaug.export.ranges import measure_ranges
from netaug.export.tracing import float_graph


def network() -> tuple[nn.Module, Graph]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    return model, float_graph(model, torch.zeros(1, 1, 6, 6))


def batches(count: int = 3) -> list[Tensor]:
    return list(torch.randn(count, 5, 1, 6, 6, generator=torch.Generator().manual_seed(1)))


def test_ranges_are_the_extremes_of_all_batches() -> None:
    model, graph = network()
    ranges = measure_ranges(graph, batches())
    images = torch.cat(batches())
    assert ranges["images"] == (float(images.min()), float(images.max()))
    logits = model(images).detach()
    last = ranges[graph.outputs[0]]
    assert (last.low, last.high) == pytest.approx((float(logits.min()), float(logits.max())))
    assert list(ranges) == list(graph.shapes)


def test_a_percentile_cuts_both_ends() -> None:
    _, graph = network()
    images = torch.linspace(-1, 1, 5 * 36).view(5, 1, 6, 6)
    cut = measure_ranges(graph, [images], percentile=99)["images"]
    assert (cut.low, cut.high) == pytest.approx((-0.98, 0.98), abs=1e-3)


def test_arrays_are_images_too() -> None:
    _, graph = network()
    assert measure_ranges(graph, [batch.numpy() for batch in batches()]) == measure_ranges(graph, batches())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_values_are_refused_by_their_layer(value: float) -> None:
    _, graph = network()
    images = batches(1)[0]
    images[2, 0, 3, 3] = value
    with pytest.raises(ExportError, match="the images gave a non-finite value"):
        measure_ranges(graph, [images])
    graph.nodes[0].bias_O[1] = value
    reason = "layer '0' (gave a non-finite value|has weights)" if value != np.inf else "layer '0' has weights"
    with pytest.raises(ExportError, match=reason):
        quantize(graph, measure_ranges(graph, batches(1)))


def test_no_images_and_other_shapes_are_refused() -> None:
    _, graph = network()
    with pytest.raises(ExportError, match="no images"):
        measure_ranges(graph, [])
    for images in (torch.zeros(2, 1, 6, 7), torch.zeros(1, 6, 6), torch.zeros(2, 1, 6, 6, dtype=torch.uint8)):
        with pytest.raises(ExportError, match="do not fit"):
            measure_ranges(graph, [images])
    with pytest.raises(ExportError, match="percentile"):
        measure_ranges(graph, batches(), percentile=101)


def test_tensors_without_a_range_are_refused() -> None:
    _, graph = network()
    ranges = measure_ranges(graph, batches())
    del ranges["images"]
    with pytest.raises(ExportError, match="has no range"):
        quantize(graph, ranges)
