"""The parts of the networks here: conv + norm + activation, mobile blocks, and the net around them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from netaug.errors import ModelError


def round_channels(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of ``divisor``, at least one, and never below 0.9 of ``channels``.

    Source:
        Sandler et al. 2018, arXiv:1801.04381: the rule of the published MobileNetV2 widths.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


class ConvNormAct(nn.Module):
    """A convolution without bias, batch norm, and relu6 if asked for; odd kernels keep the size at stride 1.

    Args:
        in_channels: Channels of the input ``[N, C, H, W]``.
        out_channels: Channels of the output.
        kernel: Height and width of the kernel in pixels, odd.
        stride: Step in pixels; the output is ``ceil(H / stride)`` high.
        groups: Groups of the convolution; ``in_channels`` makes it depthwise.
        act: Whether relu6 follows; without it the unit is linear.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        act: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU6(inplace=True) if act else nn.Identity()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map ``[N, in_channels, H, W]`` to ``[N, out_channels, ceil(H / stride), ceil(W / stride)]``."""
        y_NCHW: Tensor = self.act(self.norm(self.conv(x_NCHW)))
        return y_NCHW


class DepthwiseSeparable(nn.Module):
    """Depthwise conv, then a linear 1x1 conv; a shortcut exactly when stride is 1 and the channels agree."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = ConvNormAct(in_channels, in_channels, kernel, stride=stride, groups=in_channels)
        self.project = ConvNormAct(in_channels, out_channels, act=False)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map ``[N, in_channels, H, W]`` to ``[N, out_channels, ceil(H / stride), ceil(W / stride)]``."""
        y_NCHW: Tensor = self.project(self.depthwise(x_NCHW))
        return x_NCHW + y_NCHW if self.shortcut else y_NCHW


class InvertedResidual(nn.Module):
    """1x1 conv to ``hidden``, depthwise conv, linear 1x1 conv; a shortcut exactly when the shape is kept.

    Source:
        Sandler et al. 2018, arXiv:1801.04381, section 3.
    """

    def __init__(
        self, in_channels: int, hidden: int, out_channels: int, *, kernel: int = 3, stride: int = 1
    ) -> None:
        super().__init__()
        self.expand = ConvNormAct(in_channels, hidden)
        self.depthwise = ConvNormAct(hidden, hidden, kernel, stride=stride, groups=hidden)
        self.project = ConvNormAct(hidden, out_channels, act=False)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map ``[N, in_channels, H, W]`` to ``[N, out_channels, ceil(H / stride), ceil(W / stride)]``."""
        y_NCHW: Tensor = self.project(self.depthwise(self.expand(x_NCHW)))
        return x_NCHW + y_NCHW if self.shortcut else y_NCHW


class StagedNet(nn.Module):
    """Stem, stages of blocks, an optional last conv, global average pool, dropout, linear classifier.

    Args:
        stem: First layer, from ``[N, in_chans, H, W]``.
        stages: Each a list of blocks.
        last: What follows the stages; ``nn.Identity()`` for nothing.
        features: Channels that reach the classifier.
        num_classes: Number of logits.
        dropout: Probability in [0, 1) that a feature is dropped before the classifier in training.

    Raises:
        ModelError: ``dropout`` is not a number in [0, 1).
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: Sequence[Sequence[nn.Module]],
        last: nn.Module,
        *,
        features: int,
        num_classes: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not isinstance(dropout, int | float) or not 0.0 <= dropout < 1.0:
            raise ModelError("dropout is out of range.", got=repr(dropout), allowed="a number in [0, 1)")
        self.stem = stem
        self.stages = nn.Sequential(*(nn.Sequential(*stage) for stage in stages))
        self.last = last
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(features, num_classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map images ``[N, in_chans, H, W]`` to logits ``[N, num_classes]``."""
        features_NCHW = self.last(self.stages(self.stem(images_NCHW)))
        features_NC = self.pool(features_NCHW).flatten(1)
        logits_NK: Tensor = self.classifier(self.dropout(features_NC))
        return logits_NK
