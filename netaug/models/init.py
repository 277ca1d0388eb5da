"""Initial weights: what our own networks start from, and those of the paper's baseline.

Those of the paper's code with NetAug depend on what is widened (:mod:`netaug.elastic.first_weights`).

Every number is drawn from torch's global CPU generator, whatever the model's device, so one seed repeats it.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import nn

from netaug.core.errors import ModelError
from netaug.core.suggest import did_you_mean, nearest

INITS = ("model", "uniform", "he", "fan_out")

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def init_default(model: nn.Module) -> None:
    """Give a fresh model its first weights: he-normal convs, norms 1 and 0, linear normal(0, 0.01), no bias.

    He-normal is by fan-out as torch counts it (kernel area x output channels, groups not divided out).
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, (*_CONVS, nn.Linear)) and module.bias is not None:
            nn.init.zeros_(module.bias)
    initialize(model, "he")


def initialize(model: nn.Module, how: str, classifiers: Collection[str] = ()) -> None:
    """Draw the weights of all conv and linear layers again, in place; biases and norms stay as they are.

    Args:
        model: Any module; layers are visited in the order of ``model.modules()``.
        how: ``model`` changes nothing. ``uniform`` is kaiming_uniform(a=sqrt 5), that is uniform within
            1 / sqrt(fan-in), for conv and linear. ``he`` is he-normal by fan-out for conv; linear layers get
            normal(0, 0.01), because fan-out would make a head with few classes start with huge logits. ``fan_out`` is
            he-normal by fan-out for conv and linear, and truncated normal(0, 0.02) for linear classifiers.
        classifiers: Names of the weights that give the logits; only ``fan_out`` asks.

    Raises:
        ModelError: ``how`` is unknown, or there is no conv or linear layer to draw.

    Source:
        Cai et al. 2022, arXiv:2110.08890, released code: ``fan_out`` is that of its baseline.
    """
    if how not in INITS:
        fix = did_you_mean(map(repr, nearest(str(how), INITS, count=1, cutoff=0.5)))
        raise ModelError("unknown initialization.", got=repr(how), allowed=", ".join(INITS), fix=fix)
    if how == "model":
        return
    layers = {
        f"{name}.weight": module
        for name, module in model.named_modules()
        if isinstance(module, (*_CONVS, nn.Linear))
    }
    if not layers:
        raise ModelError(
            f"initialization {how!r} has no conv or linear layer to draw in {type(model).__name__}.",
            fix="use init 'model', which keeps the model's own weights",
        )
    for name, layer in layers.items():
        fresh = torch.empty(layer.weight.shape)
        if how == "uniform":
            nn.init.kaiming_uniform_(fresh, a=math.sqrt(5))
        elif how == "fan_out" and isinstance(layer, nn.Linear) and name in classifiers:
            nn.init.trunc_normal_(fresh, std=0.02)
        elif how == "fan_out":
            nn.init.kaiming_normal_(fresh, mode="fan_out")
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(fresh, 0.0, 0.01)
        else:
            nn.init.kaiming_normal_(fresh, mode="fan_out")
        with torch.no_grad():
            layer.weight.copy_(fresh)
