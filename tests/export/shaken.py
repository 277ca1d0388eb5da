"""Untrained networks whose batch norms have statistics as if they had been trained."""

from __future__ import annotations

import torch
from torch import nn


def shaken(model: nn.Module, seed: int = 0) -> nn.Module:
    """The network in evaluation mode, with random weights, biases and statistics in its batch norms."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                module.weight.uniform_(0.7, 1.5, generator=generator)
                module.bias.normal_(0, 0.2, generator=generator)
    return model.eval()
