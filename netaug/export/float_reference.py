"""Runs the float form with torch's kernels: to check it against the network, and to see the range of every tensor."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from netaug.export.graph import (
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    Flatten,
    Gelu,
    Graph,
    HardSwish,
    MaxPool,
    Mean,
    Mul,
    Node,
    Padding,
    Relu,
    ResizeNearest,
    Rsqrt,
    Sigmoid,
    Take,
)

Observer = Callable[[str, Tensor], None]


def run_float(graph: Graph, images_NCHW: Tensor, observe: Observer | None = None) -> list[Tensor]:
    """Return the outputs of the float form for a batch of images.

    Args:
        graph: The form.
        images_NCHW: float32 images ``[N, C, H, W]`` of the form's height and width.
        observe: Is called with the name and the values of every tensor, in order.

    Returns:
        The outputs, each ``[N, C, H, W]`` or ``[N, C]``.
    """
    tensors = {graph.inputs[0]: images_NCHW}
    waiting = {name: len(nodes) for name, nodes in graph.readers().items()}
    with torch.no_grad():
        if observe is not None:
            observe(graph.inputs[0], images_NCHW)
        for node in graph:
            tensors[node.output] = _KERNELS[type(node)](node, *(tensors[name] for name in node.inputs))
            if observe is not None:
                observe(node.output, tensors[node.output])
            for name in node.inputs:
                waiting[name] -= 1
                if not waiting[name] and name not in graph.outputs:
                    del tensors[name]  # a batch of all activations would not fit beside the training images
    return [tensors[name] for name in graph.outputs]


def _conv(node: Conv, x_NCHW: Tensor) -> Tensor:
    weight_OIHW = torch.from_numpy(node.weight_OHWI).permute(0, 3, 1, 2).contiguous()
    bias_O = torch.from_numpy(node.bias_O)
    padded = _padded(x_NCHW, node.padding, 0.0)
    outputs = F.conv2d(padded, weight_OIHW, bias_O, node.strides, dilation=node.dilation, groups=node.groups)
    return _clip(outputs, node.activation)


def _max_pool(node: MaxPool, x_NCHW: Tensor) -> Tensor:
    return F.max_pool2d(_padded(x_NCHW, node.padding, -torch.inf), node.kernel, node.strides)


def _avg_pool(node: AvgPool, x_NCHW: Tensor) -> Tensor:
    inside = _padded(torch.ones_like(x_NCHW[:1, :1]), node.padding, 0.0)
    means = F.avg_pool2d(_padded(x_NCHW, node.padding, 0.0), node.kernel, node.strides)
    return means / F.avg_pool2d(inside, node.kernel, node.strides)


def _padded(x_NCHW: Tensor, padding: Padding, value: float) -> Tensor:
    return F.pad(x_NCHW, (padding.left, padding.right, padding.top, padding.bottom), value=value)


def _clip(values: Tensor, activation: Activation) -> Tensor:
    return values if activation is Activation.NONE else values.clamp(*activation.value)


_KERNELS: dict[type[Node], Callable[..., Tensor]] = {
    Conv: _conv,
    Add: lambda node, a, b: _clip(a + b, node.activation),
    Mul: lambda node, a, b: _clip(a * b, node.activation),
    Mean: lambda node, x: x.mean((2, 3), keepdim=True),
    MaxPool: _max_pool,
    AvgPool: _avg_pool,
    Relu: lambda node, x: F.relu(x),
    HardSwish: lambda node, x: F.hardswish(x),
    Sigmoid: lambda node, x: torch.sigmoid(x),
    ResizeNearest: lambda node, x: F.interpolate(x, scale_factor=node.factor, mode="nearest"),
    Concat: lambda node, *parts: torch.cat(parts, 1),
    Gelu: lambda node, x: F.gelu(x, approximate="tanh" if node.approximate else "none"),
    Rsqrt: lambda node, x: torch.rsqrt(x),
    Take: lambda node, x: x[:, list(node.channels)],
    Flatten: lambda node, x: x.flatten(1),
}
