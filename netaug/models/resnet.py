"""ResNet50: the large network that NetAug must not help, beside the tiny ones."""

from __future__ import annotations

from torch import nn

from netaug.models.blocks import ConvNormAct, StagedNet
from netaug.models.init import init_default
from netaug.models.registry import register

STEM = 64  # conv 7x7, stride 2, then max pool 3x3, stride 2
STAGES = (  # channels of the 3x3 convs, blocks, stride of the first block
    (64, 3, 1),
    (128, 4, 2),
    (256, 6, 2),
    (512, 3, 2),
)


@register("resnet50", about="ResNet50, the large control of the paper", image_size=224)
def resnet50(*, num_classes: int = 1000, in_chans: int = 3, dropout: float = 0.0) -> StagedNet:
    """Build ResNet50 with the stride in the 3x3 convs, from torchvision's blocks.

    Args:
        num_classes: Number of logits.
        in_chans: Image channels.
        dropout: Probability in [0, 1) of dropping a feature before the classifier.

    Source:
        He et al. 2016, arXiv:1512.03385, table 1; the stride as in torchvision ("V1.5").
    """
    from torchvision.models.resnet import Bottleneck  # on first use: slow to import

    stages, channels = list[list[nn.Module]](), STEM
    for inner, blocks, first_stride in STAGES:
        stage, out = list[nn.Module](), inner * Bottleneck.expansion
        for index in range(blocks):
            stride = first_stride if index == 0 else 1
            project = ConvNormAct(channels, out, stride=stride, act=None) if index == 0 else None
            stage.append(Bottleneck(channels, inner, stride, downsample=project))
            channels = out
        stages.append(stage)
    stem = nn.Sequential(ConvNormAct(in_chans, STEM, 7, stride=2, act=nn.ReLU), nn.MaxPool2d(3, 2, padding=1))
    model = StagedNet(
        stem, stages, nn.Identity(), features=channels, num_classes=num_classes, dropout=dropout
    )
    init_default(model)
    return model
