"""The parts of the networks here: conv + norm + activation, mobile blocks, and the net around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from netaug.core.errors import ModelError


def round_channels(channels: float, divisor: int = 8) -> int:
    """Return the nearest multiple of ``divisor``, at least one, and never below 0.9 of ``channels``.

    Source:
        Sandler et al. 2018, arXiv:1801.04381: the rule of the published MobileNetV2 widths.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


class ConvNormAct(nn.Module):
    """Applies a convolution without bias, batch norm and an activation; odd kernels keep the size at stride 1.

    Args:
        in_channels: Channels of the input ``[N, C, H, W]``.
        out_channels: Channels of the output.
        kernel: Height and width of the kernel in pixels, odd.
        stride: Step in pixels; the output is ``ceil(H / stride)`` high.
        groups: Groups of the convolution; ``in_channels`` makes it depthwise.
        act: Class of the activation, called with ``inplace=True``; None makes the unit linear.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        act: type[nn.Module] | None = nn.ReLU6,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.Identity() if act is None else act(inplace=True)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map ``[N, in_channels, H, W]`` to ``[N, out_channels, ceil(H / stride), ceil(W / stride)]``."""
        y_NCHW: Tensor = self.act(self.norm(self.conv(x_NCHW)))
        return y_NCHW


class DepthwiseSeparable(nn.Module):
    """Applies a depthwise, then a linear 1x1 conv; has a shortcut exactly when stride is 1 and the channels agree."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        act: type[nn.Module] = nn.ReLU6,
    ) -> None:
        super().__init__()
        self.depthwise = ConvNormAct(
            in_channels, in_channels, kernel, stride=stride, groups=in_channels, act=act
        )
        self.project = ConvNormAct(in_channels, out_channels, act=None)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map ``[N, in_channels, H, W]`` to ``[N, out_channels, ceil(H / stride), ceil(W / stride)]``."""
        y_NCHW: Tensor = self.project(self.depthwise(x_NCHW))
        return x_NCHW + y_NCHW if self.shortcut else y_NCHW


class InvertedResidual(nn.Module):
    """Applies a 1x1 conv to ``hidden``, depthwise conv, an optional gate, linear 1x1 conv; shortcut if shapes agree.

    Args:
        in_channels: Channels of the input ``[N, C, H, W]``.
        hidden: Channels of the depthwise conv.
        out_channels: Channels of the output.
        kernel: Side of the depthwise kernel in pixels, odd.
        stride: Step in pixels of the depthwise conv.
        act: Class of the activations behind the first two convs.
        gate: What the hidden channels pass before the last conv, such as squeeze-excite; None for nothing.
        shortcut: Whether the input is added where stride is 1 and the channels agree.

    Source:
        Sandler et al. 2018, arXiv:1801.04381, section 3.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        out_channels: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        act: type[nn.Module] = nn.ReLU6,
        gate: nn.Module | None = None,
        shortcut: bool = True,
    ) -> None:
        super().__init__()
        self.expand = ConvNormAct(in_channels, hidden, act=act)
        self.depthwise = ConvNormAct(hidden, hidden, kernel, stride=stride, groups=hidden, act=act)
        self.gate = nn.Identity() if gate is None else gate
        self.project = ConvNormAct(hidden, out_channels, act=None)
        self.shortcut = shortcut and stride == 1 and in_channels == out_channels

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map ``[N, in_channels, H, W]`` to ``[N, out_channels, ceil(H / stride), ceil(W / stride)]``."""
        y_NCHW: Tensor = self.project(self.gate(self.depthwise(self.expand(x_NCHW))))
        return x_NCHW + y_NCHW if self.shortcut else y_NCHW


Stages = Iterable[tuple[int, Sequence[int], Sequence[int], int]]
"""Per stage: channels at width 1, expand ratio of each block, kernel of each block, stride of the first block."""


def inverted_stages(
    channels: int, table: Stages, width: float = 1.0, *, shortcut_at_start: bool = True
) -> list[list[nn.Module]]:
    """Build stages of inverted blocks, one after the other.

    Args:
        channels: What enters the first one.
        table: What they are like.
        width: Multiplies the channels that leave each stage, which are rounded to 8.
        shortcut_at_start: Whether a stage may start with a shortcut, where rounding gives two the same channels.
    """
    stages = []
    for base, expands, kernels, first_stride in table:
        out, stage = round_channels(base * width), list[nn.Module]()
        for index, (expand, kernel) in enumerate(zip(expands, kernels, strict=True)):
            hidden, stride = round_channels(channels * expand), first_stride if index == 0 else 1
            shortcut = shortcut_at_start or index > 0
            stage.append(
                InvertedResidual(channels, hidden, out, kernel=kernel, stride=stride, shortcut=shortcut)
            )
            channels = out
        stages.append(stage)
    return stages


class StagedNet(nn.Module):
    """Runs stem, stages of blocks, an optional last conv, global average pool, neck, dropout and linear classifier.

    Args:
        stem: First layer, from ``[N, in_chans, H, W]``.
        stages: Each a list of blocks.
        last: What follows the stages; ``nn.Identity()`` for nothing.
        neck: What the pooled channels ``[N, C]`` pass before the dropout; None for nothing.
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
        neck: nn.Module | None = None,
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
        self.neck = nn.Identity() if neck is None else neck
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(features, num_classes)

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Return patterns that tell the layer of a parameter, in timm's form; others belong to the classifier's layer.

        Args:
            coarse: Whether a whole stage is one layer, else each block is.
        """
        blocks = r"^stages\.(\d+)" if coarse else r"^stages\.(\d+)\.(\d+)"
        return {"stem": r"^stem", "blocks": blocks, "last": r"^last", "neck": r"^neck"}

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map images ``[N, in_chans, H, W]`` to logits ``[N, num_classes]``."""
        features_NCHW = self.last(self.stages(self.stem(images_NCHW)))
        features_NC = self.neck(self.pool(features_NCHW).flatten(1))
        logits_NK: Tensor = self.classifier(self.dropout(features_NC))
        return logits_NK
