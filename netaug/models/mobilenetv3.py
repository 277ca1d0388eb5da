"""MobileNetV3-Large at any width: hard-swish and squeeze-excite."""

from __future__ import annotations

from torch import nn

from netaug.models.blocks import ConvNormAct, DepthwiseSeparable, InvertedResidual, StagedNet, round_channels
from netaug.models.init import init_default
from netaug.models.registry import register

# Channels are those of width 1; every one is multiplied by the width and rounded to 8.
STEM = 16  # conv 3x3, stride 2, then a depthwise-separable block of the same width
STAGES = (  # channels, hidden channels of each block, kernel, stride of the first block, activation, excite
    (24, (64, 72), 3, 2, nn.ReLU, False),
    (40, (72, 120, 120), 5, 2, nn.ReLU, True),
    (80, (240, 200, 184, 184), 3, 2, nn.Hardswish, False),
    (112, (480, 672), 3, 1, nn.Hardswish, True),
    (160, (672, 960, 960), 5, 2, nn.Hardswish, True),
)
LAST = 960  # conv 1x1
NECK = 1280  # linear, behind the pool
REDUCTION = 4  # squeeze-excite: channels over its hidden ones
LEAST = 16  # and how many hidden ones there are at least


@register(
    "mobilenetv3-0.35", any_width=True, about="MobileNetV3-Large with its channels scaled", image_size=160
)
def mobilenetv3(
    *, width: float, num_classes: int = 1000, in_chans: int = 3, dropout: float = 0.0
) -> StagedNet:
    """Build MobileNetV3-Large; widths below 1 keep the 1280 channels before the classifier.

    Args:
        width: Multiplies the channels of every layer, > 0.
        num_classes: Number of logits.
        in_chans: Image channels.
        dropout: Probability in [0, 1) of dropping a feature before the classifier.

    Source:
        Howard et al. 2019, arXiv:1905.02244, table 1; scaled as in Cai et al. 2022, arXiv:2110.08890.
    """
    channels = round_channels(STEM * width)
    stem = ConvNormAct(in_chans, channels, 3, stride=2, act=nn.Hardswish)
    stages: list[list[nn.Module]] = [[DepthwiseSeparable(channels, channels, act=nn.ReLU)]]
    for base, hiddens, kernel, first_stride, act, excite in STAGES:
        out, stage = round_channels(base * width), list[nn.Module]()
        for index, base_hidden in enumerate(hiddens):
            hidden, stride = round_channels(base_hidden * width), first_stride if index == 0 else 1
            stage.append(_block(channels, hidden, out, kernel, stride, act, excite, shortcut=index > 0))
            channels = out
        stages.append(stage)
    last, features = round_channels(LAST * width), round_channels(max(NECK, NECK * width))
    model = StagedNet(
        stem,
        stages,
        ConvNormAct(channels, last, act=nn.Hardswish),
        neck=nn.Sequential(nn.Linear(last, features), nn.Hardswish(inplace=True)),
        features=features,
        num_classes=num_classes,
        dropout=dropout,
    )
    init_default(model)
    return model


def _block(
    channels: int,
    hidden: int,
    out: int,
    kernel: int,
    stride: int,
    act: type[nn.Module],
    excite: bool,
    *,
    shortcut: bool,
) -> nn.Module:
    gate = _squeeze_excite(hidden) if excite else None
    # Rounding can give two stages the same channels; a new stage still starts without a shortcut.
    return InvertedResidual(
        channels, hidden, out, kernel=kernel, stride=stride, act=act, gate=gate, shortcut=shortcut
    )


def _squeeze_excite(channels: int) -> nn.Module:
    from torchvision.ops import SqueezeExcitation  # on first use: slow to import

    hidden = max(round_channels(channels / REDUCTION), LEAST)
    gate: nn.Module = SqueezeExcitation(channels, hidden, scale_activation=nn.Hardsigmoid)
    return gate
