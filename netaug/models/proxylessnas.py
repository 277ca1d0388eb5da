"""ProxylessNAS-Mobile at any width: searched for the latency of a phone."""

from __future__ import annotations

from torch import nn

from netaug.models.blocks import ConvNormAct, DepthwiseSeparable, StagedNet, inverted_stages, round_channels
from netaug.models.init import init_default
from netaug.models.registry import register

# Channels are those of width 1; every one is multiplied by the width and rounded to 8.
STEM = 32  # conv 3x3, stride 2
FIRST = 16  # depthwise-separable block
STAGES = (  # channels, expand ratio of each block, kernel of each block, stride of the first block
    (32, (3, 3), (5, 3), 2),
    (40, (3, 3, 3, 3), (7, 3, 5, 5), 2),
    (80, (6, 3, 3, 3), (7, 5, 5, 5), 2),
    (96, (6, 3, 3, 3), (5, 5, 5, 5), 1),
    (192, (6, 6, 3, 3), (7, 7, 7, 7), 2),
    (320, (6,), (7,), 1),
)
LAST = 1280  # conv 1x1


@register(
    "proxylessnas-0.35",
    any_width=True,
    about="ProxylessNAS-Mobile with its channels scaled",
    image_size=160,
)
def proxylessnas(
    *, width: float, num_classes: int = 1000, in_chans: int = 3, dropout: float = 0.0
) -> StagedNet:
    """Build ProxylessNAS-Mobile; widths below 1 keep the 1280 channels of the last conv.

    Args:
        width: Multiplies the channels of every layer, > 0.
        num_classes: Number of logits.
        in_chans: Image channels.
        dropout: Probability in [0, 1) of dropping a feature before the classifier.

    Source:
        Cai et al. 2019, arXiv:1812.00332, figure 4 (mobile); scaled as in Cai et al. 2022, arXiv:2110.08890.
    """
    channels, first = round_channels(STEM * width), round_channels(FIRST * width)
    stem = ConvNormAct(in_chans, channels, 3, stride=2)
    stages: list[list[nn.Module]] = [
        [DepthwiseSeparable(channels, first)],
        *inverted_stages(first, STAGES, width, shortcut_at_start=False),
    ]
    before_last = round_channels(STAGES[-1][0] * width)
    last = round_channels(max(LAST, LAST * width))
    model = StagedNet(
        stem, stages, ConvNormAct(before_last, last), features=last, num_classes=num_classes, dropout=dropout
    )
    init_default(model)
    return model
