"""A network of a few hundred to a few thousand parameters, for demos and quick experiments.

The defaults have about 5,000 parameters for 10 classes of color images.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from netaug.core.errors import ModelError
from netaug.models.blocks import ConvNormAct, InvertedResidual, StagedNet
from netaug.models.init import init_default
from netaug.models.registry import register


@register("micronet", about="a MobileNetV2 in miniature for images of 8 to 32 pixels", image_size=32)
def micronet(
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    stem: int = 8,
    stem_stride: int = 2,
    channels: Sequence[int] = (8, 12, 16),
    blocks: Sequence[int] = (1, 2, 1),
    strides: Sequence[int] = (1, 2, 2),
    expand: float = 3,
    kernel: int = 3,
    dropout: float = 0.0,
) -> StagedNet:
    """Build a stem conv, stages of inverted residual blocks, global average pool and linear layer.

    Args:
        num_classes: Number of logits.
        in_chans: Image channels.
        stem: Channels of the 3x3 stem conv.
        stem_stride: Stride of the stem conv in pixels.
        channels: Output channels of each stage, taken as given (not rounded to 8).
        blocks: Number of blocks of each stage.
        strides: Stride of the first block of each stage, in pixels.
        expand: Hidden channels of a block over its input channels, > 0; rounded to whole channels.
        kernel: Side of the depthwise kernels in pixels, odd.
        dropout: Probability in [0, 1) of dropping a feature before the classifier.

    Raises:
        ModelError: A list has another length than ``channels``, or a number cannot be used.
    """
    _check(stem, stem_stride, channels, blocks, strides, expand, kernel)
    stages = _stages(stem, channels, blocks, strides, expand, kernel)
    first = ConvNormAct(in_chans, stem, 3, stride=stem_stride)
    features = channels[-1]
    model = StagedNet(
        first, stages, nn.Identity(), features=features, num_classes=num_classes, dropout=dropout
    )
    init_default(model)
    return model


def _stages(
    stem: int,
    channels: Sequence[int],
    blocks: Sequence[int],
    strides: Sequence[int],
    expand: float,
    kernel: int,
) -> list[list[nn.Module]]:
    stages = list[list[nn.Module]]()
    width = stem
    for out, count, first_stride in zip(channels, blocks, strides, strict=True):
        stages.append(_stage(width, out, count, first_stride, expand, kernel))
        width = out
    return stages


def _stage(
    width: int, out: int, count: int, first_stride: int, expand: float, kernel: int
) -> list[nn.Module]:
    stage = list[nn.Module]()
    for index in range(count):
        hidden, stride = max(1, round(width * expand)), first_stride if index == 0 else 1
        stage.append(InvertedResidual(width, hidden, out, kernel=kernel, stride=stride))
        width = out
    return stage


def _check(
    stem: int,
    stem_stride: int,
    channels: Sequence[int],
    blocks: Sequence[int],
    strides: Sequence[int],
    expand: float,
    kernel: int,
) -> None:
    lists = {"channels": channels, "blocks": blocks, "strides": strides}
    for name, values in {**lists, "stem": [stem], "stem_stride": [stem_stride], "kernel": [kernel]}.items():
        whole = isinstance(values, list | tuple) and all(type(value) is int for value in values)
        if not whole or not values or min(values) < 1:
            allowed = "whole numbers >= 1, one per stage" if name in lists else "a whole number >= 1"
            raise ModelError(f"option {name} of micronet cannot be used.", got=repr(values), allowed=allowed)
    if len({len(values) for values in lists.values()}) > 1:
        raise ModelError(
            "the options channels, blocks and strides of micronet need one number per stage each.",
            got=", ".join(f"{name}={list(values)}" for name, values in lists.items()),
            fix="give the three lists the same length",
        )
    if kernel % 2 == 0:
        raise ModelError("option kernel of micronet is even.", got=kernel, allowed="1, 3, 5, 7, ...")
    if not isinstance(expand, int | float) or not 0 < expand < float("inf"):
        raise ModelError(
            "option expand of micronet cannot be used.", got=repr(expand), allowed="a number > 0"
        )
