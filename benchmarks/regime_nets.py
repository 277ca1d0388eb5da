"""Define networks of a few thousand parameters for the search for trained-out trainings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netaug.models import create_model
from netaug.models.init import initialize
from netaug.reparameterize.settings import BranchSettings, DepthSettings
from netaug.reparameterize.training_layers import TrainingLayers, training_layers
from netaug.train.widened import widened


class Residual(nn.Module):
    """Stack a stem and stages of one residual block of two 3x3 convolutions, with stride-2 convolutions between."""

    def __init__(self, channels: tuple[int, ...], expand: float, stem_stride: int, num_classes: int) -> None:
        super().__init__()
        self.stem = _unit(3, channels[0], stem_stride)
        self.blocks = nn.ModuleList()
        self.downs = nn.ModuleList()
        for index, width in enumerate(channels):
            hidden = max(1, round(width * expand))
            second = nn.Conv2d(hidden, width, 3, padding=1, bias=False)
            self.blocks.append(nn.Sequential(_unit(width, hidden), second, nn.BatchNorm2d(width)))
            following = channels[index + 1] if index + 1 < len(channels) else None
            self.downs.append(_unit(width, following, 2) if following else nn.Identity())
        self.classifier = nn.Linear(channels[-1], num_classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return logits ``[N, classes]``."""
        x = self.stem(images_NCHW)
        for block, down in zip(self.blocks, self.downs, strict=True):
            x = down(F.relu(x + block(x)))
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits


def _unit(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def layers_of_arm(arm: str, seed: int) -> TrainingLayers:
    """Return what an arm adds for the training alone.

    Args:
        arm: `branches:K` and `branches-one:K` (K convolutions for each; a norm in each, or one behind the sum),
            `depth:R` (ratio R); all others add nothing.
        seed: Keys first weights.
    """
    kind, _, number = arm.partition(":")
    branches, depth = BranchSettings(), DepthSettings()
    if kind in ("branches", "branches-one"):
        branches = BranchSettings(branches=int(number), norms="one" if kind == "branches-one" else "each")
    elif kind == "depth":
        depth = DepthSettings(ratio=float(number))
    return training_layers(branches, depth, seed)


def build_network(
    *, kind: str = "micronet", init: str = "model", num_classes: int = 10, widen: float = 1.0, **options: Any
) -> nn.Module:
    """Build a network from a job's `network` settings.

    Args:
        kind: `residual` (channels, expand, stem_stride), or a name of `netaug models` with its options.
        init: `model`, `uniform` or `he`.
        num_classes: Number of logits.
        widen: Factor on all channels that can widen.
        **options: Of the network.
    """
    if kind != "residual":
        network: nn.Module = create_model(kind, num_classes=num_classes, **options)
    else:
        channels = tuple(options.pop("channels"))
        network = Residual(
            channels, float(options.pop("expand", 1)), int(options.pop("stem_stride", 1)), num_classes
        )
    if widen > 1:
        network = widened(network, torch.zeros(2, 3, 32, 32), widen, kind)
    if init != "model":
        initialize(network, init)
    return network
