"""The reference networks of MLPerf Tiny: ResNet8, MobileNetV1 of any width, and DS-CNN.

Their convolutions have no bias, because each is followed by a norm (but for ResNet8's shortcuts, which keep theirs);
what lies on a device is the same. Strided convolutions pad both sides alike, where TensorFlow pads more at the end.

Source:
    Banbury et al. 2021, arXiv:2106.07597, and the benchmark's reference implementations (mlcommons/tiny, v0.5 to v1.3).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from netaug.models.blocks import ConvNormAct, StagedNet, round_channels
from netaug.models.init import init_default
from netaug.models.registry import register

RESNET8_CHANNELS = (16, 32, 64)
MOBILENETV1_STEM = 32  # channels of width 1; conv 3x3, stride 2
MOBILENETV1_STAGES = (  # channels, blocks, stride of the first block
    (64, 1, 1),
    (128, 2, 2),
    (256, 2, 2),
    (512, 6, 2),
    (1024, 2, 2),
)
DS_CNN_CHANNELS, DS_CNN_BLOCKS = 64, 4
DS_CNN_KERNEL, DS_CNN_PADDING = (10, 4), (5, 1)  # 49 x 10 becomes 25 x 5


class BasicBlock(nn.Module):
    """Applies two 3x3 convs beside a shortcut, which is a 1x1 conv with bias and without norm where shapes differ.

    Args:
        in_channels: Channels of the input ``[N, C, H, W]``.
        out_channels: Channels of the output.
        stride: Step in pixels of the first conv and of the shortcut.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvNormAct(in_channels, out_channels, 3, stride=stride, act=nn.ReLU)
        self.second = ConvNormAct(out_channels, out_channels, 3, act=None)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride=stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map ``[N, in_channels, H, W]`` to ``[N, out_channels, ceil(H / stride), ceil(W / stride)]``."""
        return F.relu(self.shortcut(x_NCHW) + self.second(self.first(x_NCHW)))


@register("resnet8", about="MLPerf Tiny's network for CIFAR-10", image_size=32)
def resnet8(*, num_classes: int = 10, in_chans: int = 3, dropout: float = 0.0) -> StagedNet:
    """Build ResNet8: a stem and three residual blocks of 16, 32 and 64 channels.

    Args:
        num_classes: Number of logits.
        in_chans: Image channels.
        dropout: Probability in [0, 1) of dropping a feature before the classifier.
    """
    channels, stages = RESNET8_CHANNELS[0], list[list[nn.Module]]()
    stem = ConvNormAct(in_chans, channels, 3, act=nn.ReLU)
    for out in RESNET8_CHANNELS:
        stages.append([BasicBlock(channels, out, stride=1 if out == channels else 2)])
        channels = out
    return _staged(stem, stages, channels, num_classes, dropout)


@register(
    "mobilenetv1-0.25",
    any_width=True,
    about="MobileNetV1 with its channels scaled, MLPerf Tiny's for visual wake words",
    image_size=96,
)
def mobilenetv1(
    *, width: float, num_classes: int = 1000, in_chans: int = 3, dropout: float = 0.0
) -> StagedNet:
    """Build MobileNetV1 with plain ReLU, as MLPerf Tiny has it.

    Args:
        width: Multiplies the channels of every layer, > 0.
        num_classes: Number of logits.
        in_chans: Image channels.
        dropout: Probability in [0, 1) of dropping a feature before the classifier.

    Source:
        Howard et al. 2017, arXiv:1704.04861, table 1.
    """
    channels, stages = round_channels(MOBILENETV1_STEM * width), list[list[nn.Module]]()
    stem = ConvNormAct(in_chans, channels, 3, stride=2, act=nn.ReLU)
    for base, blocks, first_stride in MOBILENETV1_STAGES:
        stage, out = list[nn.Module](), round_channels(base * width)
        for index in range(blocks):
            stage.append(_separable(channels, out, first_stride if index == 0 else 1))
            channels = out
        stages.append(stage)
    return _staged(stem, stages, channels, num_classes, dropout)


@register("ds-cnn", about="MLPerf Tiny's network for keywords, on spectrograms of 49 x 10", image_size=49)
def ds_cnn(*, num_classes: int = 12, in_chans: int = 1, dropout: float = 0.0) -> StagedNet:
    """Build DS-CNN: a 10x4 conv of stride 2 and four depthwise-separable convs of 64 channels.

    Args:
        num_classes: Number of logits.
        in_chans: Channels of the spectrogram ``[N, C, time, coefficients]``.
        dropout: Probability in [0, 1) of dropping a feature before the classifier.

    Source:
        Zhang et al. 2017, arXiv:1711.07128, in the size that MLPerf Tiny uses.
    """
    channels = DS_CNN_CHANNELS
    stem = nn.Sequential(
        nn.Conv2d(in_chans, channels, DS_CNN_KERNEL, stride=2, padding=DS_CNN_PADDING, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )
    stages = [[_separable(channels, channels, 1)] for _ in range(DS_CNN_BLOCKS)]
    return _staged(stem, stages, channels, num_classes, dropout)


def _separable(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    return nn.Sequential(
        ConvNormAct(in_channels, in_channels, 3, stride=stride, groups=in_channels, act=nn.ReLU),
        ConvNormAct(in_channels, out_channels, act=nn.ReLU),
    )


def _staged(
    stem: nn.Module, stages: list[list[nn.Module]], features: int, num_classes: int, dropout: float
) -> StagedNet:
    model = StagedNet(
        stem, stages, nn.Identity(), features=features, num_classes=num_classes, dropout=dropout
    )
    init_default(model)
    return model
