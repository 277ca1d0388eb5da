"""MobileNetV2 at any width, and MobileNetV2-Tiny."""

from __future__ import annotations

from torch import nn

from netaug.models.blocks import ConvNormAct, DepthwiseSeparable, StagedNet, inverted_stages, round_channels
from netaug.models.init import init_default
from netaug.models.registry import register

# Channels are those of width 1; every one is multiplied by the width and rounded to 8.
STEM = 32  # conv 3x3, stride 2
FIRST = 16  # depthwise-separable block
STAGES = (  # expand ratio, channels, blocks, stride of the first block
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
LAST = 1280  # conv 1x1
TINY_WIDTH = 0.35


@register("mobilenetv2-0.35", any_width=True, about="MobileNetV2 with its channels scaled", image_size=160)
def mobilenetv2(
    *, width: float, num_classes: int = 1000, in_chans: int = 3, dropout: float = 0.0
) -> StagedNet:
    """Build MobileNetV2; widths below 1 keep the 1280 channels of the last conv.

    Args:
        width: Multiplies the channels of every layer, > 0.
        num_classes: Number of logits.
        in_chans: Image channels.
        dropout: Probability in [0, 1) of dropping a feature before the classifier.

    Source:
        Sandler et al. 2018, arXiv:1801.04381, table 2.
    """
    last = round_channels(max(LAST, LAST * width))
    return _build(width, last, num_classes=num_classes, in_chans=in_chans, dropout=dropout)


@register("mobilenetv2-tiny", about="MobileNetV2 x 0.35 with its last conv scaled too", image_size=144)
def mobilenetv2_tiny(*, num_classes: int = 1000, in_chans: int = 3, dropout: float = 0.0) -> StagedNet:
    """Build MobileNetV2-Tiny: width 0.35, and 448 instead of 1280 channels in the last conv.

    Args:
        num_classes: Number of logits.
        in_chans: Image channels.
        dropout: Probability in [0, 1) of dropping a feature before the classifier.

    Source:
        Cai et al. 2022, arXiv:2110.08890.
    """
    last = round_channels(LAST * TINY_WIDTH)
    return _build(TINY_WIDTH, last, num_classes=num_classes, in_chans=in_chans, dropout=dropout)


def _build(width: float, last: int, *, num_classes: int, in_chans: int, dropout: float) -> StagedNet:
    channels, first = round_channels(STEM * width), round_channels(FIRST * width)
    stem = ConvNormAct(in_chans, channels, 3, stride=2)
    table = [(base, (expand,) * blocks, (3,) * blocks, stride) for expand, base, blocks, stride in STAGES]
    stages: list[list[nn.Module]] = [
        [DepthwiseSeparable(channels, first)],
        *inverted_stages(first, table, width),
    ]
    before_last = round_channels(STAGES[-1][1] * width)
    model = StagedNet(
        stem, stages, ConvNormAct(before_last, last), features=last, num_classes=num_classes, dropout=dropout
    )
    init_default(model)
    return model
