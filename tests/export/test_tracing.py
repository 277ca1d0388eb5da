"""Networks in the float form compute what torch computes, and what has no place in it is refused by its layer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netaug.core.errors import ModelError
from netaug.export.float_reference import run_float
from netaug.export.graph import Activation, Conv, ExportError, Flatten, Relu
from netaug.export.tracing import float_graph
from netaug.models import create_model
from tests import tiny
from tests.export.shaken import shaken


def assert_equal(model: nn.Module, images_NCHW: Tensor) -> None:
    graph = float_graph(model.eval(), images_NCHW[:1])
    with torch.no_grad():
        expected = model(images_NCHW)
    expected = list(expected) if isinstance(expected, (tuple, list)) else [expected]
    for values, other in zip(run_float(graph, images_NCHW), expected, strict=True):
        assert values.shape == other.shape
        assert (values - other).abs().max() <= 1e-5 * other.abs().max().clamp(min=1.0)


class Lambda(nn.Module):
    """A network whose forward is a function of its convolution's output and of the images."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], channels: int = 4) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.gates = nn.Conv2d(channels, channels, 1)
        self.norm_weights = nn.Parameter(torch.randn(channels, 2 * channels))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, self.conv(x))


FORWARDS = {
    "the value before an activation is read too": lambda net, y: y + F.relu(y),
    "the value before an in-place activation is overwritten": lambda net, y: F.relu_(y) + y,
    "the value before a norm is read too": lambda net, y: y + net.norm(y),
    "dropout between a convolution and what follows": lambda net, y: F.relu(F.dropout(y, training=False)) + y,
    "norm, then activation, then norm": lambda net, y: net.norm(F.relu6(net.norm(y))),
    "an activation by itself": lambda net, y: F.relu6(torch.cat([y, F.relu(y)], 1)),
    "squeeze-excite": lambda net, y: y * torch.sigmoid(net.gates(y.mean((2, 3), keepdim=True))),
    "a gate on the left": lambda net, y: F.hardsigmoid(net.gates(F.adaptive_avg_pool2d(y, 1))) * y,
    "a hard sigmoid by itself": lambda net, y: F.hardsigmoid(F.relu(y)),
    "swish": lambda net, y: F.silu(y) + F.hardswish(y),
    "numbers and one number per channel": lambda net, y: (y * 2 + 1) * net.norm.bias.view(1, -1, 1, 1),
    "padding before a convolution": lambda net, y: net.gates(F.pad(y, (0, 1, 2, 0))),
    "padding before max pooling": lambda net, y: F.max_pool2d(y, 3, 2, padding=1),
    "mean over what is inside": lambda net, y: F.avg_pool2d(y, 3, 2, padding=1, count_include_pad=False),
    "pooling with a last incomplete window": lambda net, y: F.avg_pool2d(y, 2, 2, ceil_mode=True),
    "nearest neighbors": lambda net, y: F.interpolate(y, scale_factor=2),
    "clamp": lambda net, y: torch.clamp(y, 0, 6).clamp(min=0),
    "a window with gaps": lambda net, y: F.conv2d(
        y, net.gates.weight.expand(4, 4, 2, 2), dilation=2, padding=1
    ),
    "gaps and zeros that keep the size": lambda net, y: F.conv2d(
        y, net.gates.weight.expand(4, 4, 3, 3), dilation=(2, 3), padding="same"
    ),
    "zeros that are counted": lambda net, y: F.avg_pool2d(y, 3, 2, padding=1),
    "means of equal parts": lambda net, y: F.adaptive_avg_pool2d(y, (3, 7)),
    "GELU": lambda net, y: F.gelu(y) + F.gelu(y, approximate="tanh"),
    "parts of the channels": lambda net, y: torch.cat([y[:, 3:], *reversed(y.split([1, 2, 1], 1))], 1),
    "chunks of the channels": lambda net, y: y.chunk(2, 1)[1] + y[:, ::2],
    "a shuffle of channels": lambda net, y: y.view(-1, 2, 2, 9, 7).transpose(1, 2).reshape(-1, 4, 9, 7),
    "a hard sigmoid written out": lambda net, y: y * (F.relu6(y + 3) / 6),
    "a difference": lambda net, y: F.relu(y) - net.norm(y),
    "zeros before the largest value": lambda net, y: F.max_pool2d(F.pad(y, (0, 1, 2, 1)), 2, 1),
    "zeros before a sum": lambda net, y: F.pad(y, (1, 0, 0, 1)) + F.silu(F.pad(y, (1, 0, 0, 1))),
    "numbers on the left": lambda net, y: (1 + 2 * y) - 3,
    "a block with the channels last": lambda net, y: (
        y
        + F.linear(
            F.gelu(F.linear(F.layer_norm(y.permute(0, 2, 3, 1), (4,)), net.norm_weights.mT)), net.norm_weights
        ).permute(0, 3, 1, 2)
    ),
    "parts of channels that are last": lambda net, y: torch.cat(
        [part * net.norm.bias[:2] for part in y.permute(0, 2, 3, 1).split(2, 3)], -1
    )[..., 1:].mean((1, 2)),
    "a layer norm behind the mean": lambda net, y: F.layer_norm(
        y.mean((2, 3)), (4,), net.norm.weight, net.norm.bias, 1e-3
    ),
    "twelve tensors joined": lambda net, y: torch.cat([y] * 12, 1),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_forwards_are_the_same_function(name: str) -> None:
    torch.manual_seed(0)
    images_NCHW = torch.randn(3, 3, 9, 7)
    assert_equal(shaken(Lambda(FORWARDS[name])), images_NCHW)


@pytest.mark.parametrize(
    "name", [name for name in tiny.NETWORKS if name not in ("rigid", "grouped", "counting")]
)
def test_tiny_networks_are_the_same_function(name: str) -> None:
    assert_equal(shaken(tiny.build(name)), tiny.images())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["mobilenetv2-tiny", "mcunet", "mobilenetv3-0.35", "proxylessnas-0.35", "resnet50"]
)
def test_networks_of_the_paper_are_the_same_function(name: str) -> None:
    assert_equal(
        shaken(create_model(name)), torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    )


def test_norms_dropout_and_activations_are_folded() -> None:
    graph = float_graph(create_model("micronet").eval(), torch.zeros(1, 3, 32, 32))
    assert {type(node).__name__ for node in graph} == {"Conv", "Add", "Mean", "Flatten"}
    stem = graph.nodes[0]
    assert isinstance(stem, Conv)
    assert (stem.name, stem.activation, stem.groups) == ("stem.conv", Activation.RELU6, 1)
    assert isinstance(graph.nodes[-1], Flatten)
    assert graph.shapes["images"] == (32, 32, 3)


def test_a_relu_that_cannot_be_fused_is_a_node() -> None:
    graph = float_graph(
        Lambda(FORWARDS["the value before an activation is read too"]).eval(), torch.zeros(1, 3, 8, 8)
    )
    assert any(isinstance(node, Relu) for node in graph)


REFUSED = {
    "softmax": lambda net, y: torch.softmax(y, 1),
    "something else than one whole factor": lambda net, y: F.interpolate(y, size=(13, 9)),
    "other axes": lambda net, y: y.mean((1,), keepdim=True),
    "counts padded zeros": lambda net, y: F.avg_pool2d(y, 3, 1, padding=1, ceil_mode=True),
    "windows differ in size": lambda net, y: F.adaptive_avg_pool2d(y, 2),
    "splits another axis": lambda net, y: y.split(3, 2)[0],
    "cuts another axis": lambda net, y: y[:, :, 1:],
    "between positions and channels": lambda net, y: y.view(-1, 2, 2, 9, 7).transpose(1, 3),
    "are on the last axis": lambda net, y: y.permute(0, 2, 3, 1),
    "the channels last": lambda net, y: F.conv2d(
        y.permute(0, 2, 3, 1), net.gates.weight[:1, :1].expand(2, 9, 1, 1)
    ),
    "channels of each position": lambda net, y: F.layer_norm(y, (7,)),
    "are on two axes": lambda net, y: y.view(-1, 2, 2, 9, 7) + 1,
    "another axis than channels": lambda net, y: torch.cat([y, y], 2),
    "clips to": lambda net, y: torch.clamp(y, -1, 1),
    "multiple of its second input": lambda net, y: torch.add(y, y, alpha=2),
    "subtracts from a constant": lambda net, y: net.norm.bias.view(1, -1, 1, 1) - y,
    "subtracts tensors of different shapes": lambda net, y: y - y.mean((2, 3), keepdim=True),
    "different shapes": lambda net, y: y + y.mean((2, 3), keepdim=True),
    "returns flattened positions": lambda net, y: y.flatten(1),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_has_no_place_is_refused_with_a_road(reason: str) -> None:
    with pytest.raises(ExportError, match="cannot be exported to int8") as caught:
        float_graph(Lambda(REFUSED[reason]).eval(), torch.zeros(1, 3, 9, 7))
    assert reason in str(caught.value)
    assert "--to onnx or --to torch" in str(caught.value)


def test_the_layer_of_an_unknown_operator_is_named() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Softsign()))
    with pytest.raises(ExportError, match=r"layer '1\.0'[^\0]*operator abs"):
        float_graph(model.eval(), torch.zeros(1, 3, 8, 8))


def test_weights_that_forward_computes_are_constants() -> None:
    def standardized(net: nn.Module, y: Tensor) -> Tensor:
        weight = net.gates.weight
        return F.conv2d(y, (weight - weight.mean((1, 2, 3), keepdim=True)) / weight.std(), net.gates.bias)

    assert_equal(Lambda(standardized), torch.randn(2, 3, 8, 8))


def test_a_side_that_the_network_cannot_take_is_an_error() -> None:
    with pytest.raises(ModelError, match="does not run"):
        float_graph(create_model("micronet").eval(), torch.zeros(1, 1, 32, 32))
