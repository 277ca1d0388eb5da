"""Scales are chosen so that no kernel computes beyond 32 bits, also where a tensor or a channel is always zero."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netaug.export.graph import Conv, ExportError
from netaug.export.int8 import ConvInt8, GraphInt8
from netaug.export.quantize import quantize
from netaug.export.ranges import measure_ranges
from netaug.export.reference import decode, encode, run_int8
from netaug.export.tflite import write_tflite
from netaug.export.tracing import float_graph
from tests.export import runtimes


class Gated(nn.Module):
    """Its gate is a convolution whose ReLU is zero on small images, and its first channel has almost no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gate, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 5, 1)
        with torch.no_grad():
            self.first.weight[0] = 1e-9
            self.first.bias[0] = 3.0
            self.gate.weight.uniform_(0, 1e4)
            self.gate.bias.fill_(-1e6)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.gate(self.first(x)))).mean((2, 3))


def int8_of(network: nn.Module, images_NCHW: Tensor) -> GraphInt8:
    graph = float_graph(network.eval(), images_NCHW[:1])
    return quantize(graph, measure_ranges(graph, [images_NCHW]))


def largest_sums(node: ConvInt8, graph: GraphInt8) -> np.ndarray:
    """The largest sum of each channel that inputs of int8 can have, as the kernel shifts it."""
    zero = graph.tensors[node.inputs[0]].zero_point
    weights_O = np.abs(node.weight_OHWI.astype(np.int64)).sum((1, 2, 3)) * max(127 - zero, 128 + zero)
    return (weights_O + np.abs(node.bias_O.astype(np.int64))) << np.maximum(node.shifts_O, 0).astype(np.int64)


def test_a_dead_gate_and_a_dead_channel_saturate_as_the_network_does() -> None:
    torch.manual_seed(0)
    images_NCHW = 0.1 * torch.randn(4, 3, 8, 8)
    images_NCHW[0, 0, 0, 0] = 10.0  # so that the input has a range in which the gate could open
    graph = int8_of(Gated(), images_NCHW)
    for node in graph.nodes:
        if isinstance(node, ConvInt8):
            assert (largest_sums(node, graph) < 2**31).all()
    first = next(node for node in graph.nodes if isinstance(node, ConvInt8))
    assert first.bias_O[0] > 0
    assert not first.weight_OHWI[0].any()
    other_NHWC = np.random.default_rng(0).integers(-128, 128, (3, 8, 8, 3)).astype(np.int8)  # opens the gate
    outputs = run_int8(graph, other_NHWC)[0]
    for runtime in (runtimes.tflite_micro, runtimes.litert):
        assert np.array_equal(runtime(write_tflite(graph), other_NHWC)[0], outputs)


def test_weights_beyond_all_outputs_are_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    graph = float_graph(network.eval(), torch.zeros(1, 3, 8, 8))
    ranges = measure_ranges(graph, [torch.randn(2, 3, 8, 8)])
    conv = next(node for node in graph if isinstance(node, Conv))
    conv.weight_OHWI[1] = 1e20
    with pytest.raises(ExportError, match=r"layer '0' has weights that are too large(?s:.*)up to 1\.0e\+20"):
        quantize(graph, ranges)


def test_very_many_weights_stay_within_32_bits() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 128 * 128, 2))
    with torch.no_grad():
        network[1].weight.fill_(1.0)
    images_NCHW = torch.rand(2, 3, 128, 128)
    graph = int8_of(network, images_NCHW)
    (node,) = (node for node in graph.nodes if isinstance(node, ConvInt8))
    assert (largest_sums(node, graph) < 2**31).all()


def test_a_gate_that_is_joined_with_other_values_leaves_them_their_range() -> None:
    class Joined(nn.Module):
        """Joins a sigmoid with what it is of."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = 9 * self.conv(x)
            return torch.cat([torch.sigmoid(y), y, F.hardsigmoid(y)], 1).mean((2, 3))

    torch.manual_seed(0)
    images_NCHW = torch.randn(8, 3, 4, 4) + torch.arange(8).view(8, 1, 1, 1)
    network = Joined()
    graph = int8_of(network, images_NCHW)
    images_NHWC = encode(graph.tensors["images"], images_NCHW.permute(0, 2, 3, 1).numpy())
    (integers,) = run_int8(graph, images_NHWC)
    with torch.no_grad():
        expected = network(images_NCHW).numpy()
    difference = np.abs(decode(graph.tensors[graph.outputs[0]], integers) - expected)
    assert np.abs(expected).max() > 5  # beyond what a gate can be
    assert difference.max() < 0.02 * np.abs(expected).max()
    assert np.array_equal(runtimes.tflite_micro(write_tflite(graph), images_NHWC)[0], integers)
