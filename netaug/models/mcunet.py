"""MCUNet: a network searched for microcontrollers, each block with its own expand ratio and kernel."""

from __future__ import annotations

from torch import nn

from netaug.models.blocks import ConvNormAct, DepthwiseSeparable, StagedNet, inverted_stages
from netaug.models.init import init_default
from netaug.models.registry import register

STEM = 16  # conv 3x3, stride 2
FIRST = 8  # depthwise-separable block
STAGES = (  # channels, expand ratio of each block, kernel of each block, stride of the first block
    (16, (3, 5, 5, 4), (7, 3, 7, 5), 2),
    (24, (5, 5, 5), (5, 5, 5), 2),
    (40, (5, 6, 4), (3, 7, 5), 2),
    (48, (5, 5, 5), (5, 7, 3), 1),
    (96, (6, 5, 4), (3, 7, 3), 2),
    (160, (5,), (7,), 1),
)


@register("mcunet", about="MCUNet, searched for microcontrollers", image_size=176)
def mcunet(*, num_classes: int = 1000, in_chans: int = 3, dropout: float = 0.0) -> StagedNet:
    """Build MCUNet as the NetAug paper trains it.

    Args:
        num_classes: Number of logits.
        in_chans: Image channels.
        dropout: Probability in [0, 1) of dropping a feature before the classifier.

    Source:
        Lin et al. 2020, arXiv:2007.10319; the variant of Cai et al. 2022, arXiv:2110.08890.
    """
    stages: list[list[nn.Module]] = [[DepthwiseSeparable(STEM, FIRST)], *inverted_stages(FIRST, STAGES)]
    model = StagedNet(
        ConvNormAct(in_chans, STEM, 3, stride=2),
        stages,
        nn.Identity(),
        features=STAGES[-1][0],
        num_classes=num_classes,
        dropout=dropout,
    )
    init_default(model)
    return model
