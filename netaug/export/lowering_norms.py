"""Translates norms whose statistics are computed from the image: layer norms over the channels of each position."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch.fx import Node as Call

from netaug.elastic.trace import module_of
from netaug.export.building import Builder, Value, refused
from netaug.export.graph import Activation, FloatArray, Mul, Rsqrt
from netaug.export.lowering import Arguments, lowers


@lowers("layer_norm")
def _layer_norm(builder: Builder, call: Call, args: Arguments) -> Value:
    """Return ``(x - mean) / sqrt(variance + eps) * weight + bias``.

    The mean of the channels is subtracted by a 1x1 convolution, and another one takes the mean of their squares, once
    for each channel, so that no kernel has to spread one number over all of them.
    """
    value = builder.value(call, args["input"], last=True)
    height, width, channels = builder.shapes[value.tensor]
    over_channels = value.last or (value.flat and (height, width) == (1, 1))
    if not over_channels or list(args["normalized_shape"]) != [channels]:
        raise refused(call, "it normalizes over something else than the channels of each position")
    means_CC = np.full((channels, channels), 1 / channels, np.float32)
    centered = builder.pointwise(call, value, np.eye(channels, dtype=np.float32) - means_CC, None)
    return _scaled(builder, call, centered, args)


def _scaled(builder: Builder, call: Call, centered: Value, args: Arguments) -> Value:
    """Return centered values divided by the root of the mean of their squares, times a weight, plus a bias."""
    shape, name = builder.shapes[centered.tensor], module_of(call)
    channels = shape[-1]
    squares = builder.new_tensor(shape)
    builder.append(Mul(name, (centered.tensor, centered.tensor), squares))
    means_CC, eps_C = np.full((channels, channels), 1 / channels), np.full(channels, args["eps"], np.float32)
    variance = builder.pointwise(call, replace(centered, tensor=squares), means_CC, eps_C)
    root, output = builder.new_tensor(shape), builder.new_tensor(shape)
    builder.append(Rsqrt(name, (variance.tensor,), root))
    builder.append(Mul(name, (centered.tensor, root), output))
    normalized = replace(centered, tensor=output)
    weight, bias = builder.array(args["weight"]), builder.array(args["bias"])
    if weight is None and bias is None:
        return normalized
    ones_C: FloatArray = np.ones(channels, np.float32)
    scale_C, shift_C = ones_C if weight is None else weight, 0 * ones_C if bias is None else bias
    return builder.depthwise(call, normalized, scale_C, shift_C, Activation.NONE)
