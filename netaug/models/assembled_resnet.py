"""Assemble-ResNet50, the paper's teacher: four known improvements of ResNet50 in one network."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn
from torch.nn import functional as F

from netaug.models.blocks import ConvNormAct, StagedNet
from netaug.models.init import init_default
from netaug.models.registry import register

STEM = (32, 32, 64)  # ResNet-D: three convs 3x3, the first with stride 2
BRANCHED = (  # channels of the 3x3 convs, blocks, stride of the last block: big and little branch, then merged
    (64, 3, 2),
    (128, 4, 2),
    (256, 6, 1),
)
PLAIN = (512, 3, 2)  # the same, but one branch, and the stride in the first block
EXPANSION = 4  # channels of a block's output over those of its 3x3 convs
ALPHA, BETA = 2, 4  # the little branch has 1/ALPHA of the channels and about 1/BETA of the blocks
REDUCTION = 2  # selective kernels: channels over the hidden ones that choose between the kernels
LEAST = 32  # and how many hidden ones there are at least


class Block(Protocol):
    """Makes a residual block whose last activation is its attribute ``act``."""

    def __call__(self, in_channels: int, inner: int, stride: int, *, first: bool) -> nn.Module:
        """Build a block with ``inner`` channels in its 3x3 convs; the ``first`` of a stage projects its shortcut."""


@register("assembled_resnet50", about="Assemble-ResNet50, the teacher of the paper", image_size=224)
def assembled_resnet50(*, num_classes: int = 1000, in_chans: int = 3, dropout: float = 0.0) -> StagedNet:
    """Build a ResNet50 with ResNet-D stem and shortcuts, selective kernels, blurred strides, big and little branches.

    Blocks and their parts are timm's; with fresh weights, as every network here.

    Args:
        num_classes: Number of logits.
        in_chans: Image channels.
        dropout: Probability in [0, 1) of dropping a feature before the classifier.

    Source:
        Lee et al. 2020, arXiv:2001.06268, section 3.1. ResNet-D: He et al. 2018, arXiv:1812.01187. Selective
        kernels: Li et al. 2019, arXiv:1903.06586. Blur: Zhang 2019, arXiv:1904.11486. Branches: Chen et al.
        2018, arXiv:1807.03848.
    """
    return _build(_selective_block, num_classes=num_classes, in_chans=in_chans, dropout=dropout)


class BigLittleStem(nn.Module):
    """Halves the image: a strided conv, plus a thinner branch that is strided later."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        thin = channels // ALPHA
        self.big = ConvNormAct(channels, channels, 3, stride=2, act=None)
        self.little = nn.Sequential(
            ConvNormAct(channels, thin, 3, act=nn.ReLU),
            ConvNormAct(thin, thin, 3, stride=2, act=nn.ReLU),
            ConvNormAct(thin, channels, act=None),
        )
        self.merge = ConvNormAct(channels, channels, act=nn.ReLU)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map ``[N, channels, H, W]`` to ``[N, channels, ceil(H / 2), ceil(W / 2)]``."""
        y_NCHW: Tensor = self.merge(F.relu(self.big(x_NCHW) + self.little(x_NCHW)))
        return y_NCHW


class BigLittleStage(nn.Module):
    """Runs most blocks at half the resolution and few thin ones at full resolution, adds them, then runs one more.

    Args:
        block: Makes the residual blocks.
        in_channels: Channels of the input.
        inner: Channels of the 3x3 convs of the big branch.
        blocks: Number of blocks, the merging one included.
        stride: Step of the merging block in pixels.
    """

    def __init__(self, block: Block, in_channels: int, inner: int, blocks: int, *, stride: int) -> None:
        super().__init__()
        out, thin = inner * EXPANSION, inner // ALPHA
        self.big = _chain(block, in_channels, inner, blocks - 1, stride=2)
        self.big[-1].act = nn.Identity()  # the activation follows the addition
        self.little = _chain(block, in_channels, thin, max(1, blocks // BETA - 1), stride=1)
        self.widen = ConvNormAct(thin * EXPANSION, out, act=None)
        self.merge = block(out, inner, stride, first=True)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map ``[N, in_channels, H, W]`` to ``[N, 4 inner, ceil(H / stride), ceil(W / stride)]``."""
        fine_NCHW = self.widen(self.little(x_NCHW))
        coarse_NCHW = F.interpolate(self.big(x_NCHW), size=fine_NCHW.shape[-2:])
        y_NCHW: Tensor = self.merge(F.relu(fine_NCHW + coarse_NCHW))
        return y_NCHW


def _build(block: Block, *, num_classes: int, in_chans: int, dropout: float) -> StagedNet:
    first, second, channels = STEM
    stem = nn.Sequential(
        ConvNormAct(in_chans, first, 3, stride=2, act=nn.ReLU),
        ConvNormAct(first, second, 3, act=nn.ReLU),
        ConvNormAct(second, channels, 3, act=nn.ReLU),
        BigLittleStem(channels),
    )
    stages = list[list[nn.Module]]()
    for inner, blocks, stride in BRANCHED:
        stages.append([BigLittleStage(block, channels, inner, blocks, stride=stride)])
        channels = inner * EXPANSION
    inner, blocks, stride = PLAIN
    stages.append(list(_chain(block, channels, inner, blocks, stride=stride)))
    model = StagedNet(
        stem, stages, nn.Identity(), features=inner * EXPANSION, num_classes=num_classes, dropout=dropout
    )
    init_default(model)
    return model


def _chain(block: Block, in_channels: int, inner: int, blocks: int, *, stride: int) -> nn.Sequential:
    """Build blocks in a row, the first one with the stride."""
    rest = [block(inner * EXPANSION, inner, 1, first=False) for _ in range(blocks - 1)]
    return nn.Sequential(block(in_channels, inner, stride, first=True), *rest)


def _selective_block(in_channels: int, inner: int, stride: int, *, first: bool) -> nn.Module:
    from timm.layers import BlurPool2d  # on first use: slow to import
    from timm.models.resnet import downsample_avg
    from timm.models.sknet import SelectiveKernelBottleneck

    shortcut = downsample_avg(in_channels, inner * EXPANSION, 1, stride) if first else None
    block: nn.Module = SelectiveKernelBottleneck(
        in_channels,
        inner,
        stride,
        downsample=shortcut,
        aa_layer=BlurPool2d,
        # Two 3x3 kernels on all channels, as in the paper; timm's own default is 3x3 and 5x5 on half of them each.
        sk_kwargs={
            "kernel_size": [3, 3],
            "split_input": False,
            "rd_channels": max(inner // REDUCTION, LEAST),
        },
    )
    return block
