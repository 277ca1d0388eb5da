"""Layer-wise learning rates: the layers in order, each factor a power, one real step apart by just these factors."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay
from torch import nn

import netaug
from netaug.config import TrainConfig
from netaug.core.errors import ConfigError
from netaug.elastic import AugmentConfig, Supernet
from netaug.elastic.plain_network import BaseOnly
from netaug.models import create_model
from netaug.train.optim import layer_numbers, layer_scales, make_optimizer, set_learning_rate
from tests.tiny import build, images

MICRO = {"stem": 3, "channels": [4, 6], "blocks": [1, 2], "strides": [1, 2], "num_classes": 5}


def micro() -> nn.Module:
    return create_model("micronet", **MICRO)  # type: ignore[arg-type]


def scales_by_name(network: nn.Module, decay: float) -> dict[str, float]:
    found = layer_scales(network, decay)  # type: ignore[arg-type]
    return {name: found[parameter] for name, parameter in network.named_parameters()}


def test_layers_are_stem_blocks_and_classifier_in_this_order() -> None:
    layers = layer_numbers(micro())
    assert {name.rsplit(".", 2)[0] if name.startswith("stem") else name: n for name, n in layers.items()}[
        "stem"
    ] == 0
    blocks = ("stem.", "stages.0.0.", "stages.1.0.", "stages.1.1.", "classifier.")
    assert [{n for name, n in layers.items() if name.startswith(block)} for block in blocks] == [
        {i} for i in range(5)
    ]


@pytest.mark.parametrize("model", ["mobilenetv3_small_050", "vit_tiny_patch16_224", "ours"])
def test_factors_are_those_of_timm(model: str) -> None:
    network = micro() if model == "ours" else timm.create_model(model, num_classes=4)
    expected = {
        parameter: group["lr_scale"]
        for group in param_groups_layer_decay(network, layer_decay=0.7)
        for parameter in group["params"]
    }
    found = layer_scales(BaseOnly(network, 1), 0.7)
    assert set(found) == set(expected)
    assert all(found[parameter] == pytest.approx(expected[parameter]) for parameter in expected)


def test_a_network_of_the_users_is_cut_at_its_children() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)), nn.Linear(4, 2)
    )
    scales = scales_by_name(BaseOnly(network, 1), 0.5)
    assert [scales[f"base.{name}"] for name in ("0.weight", "1.0.weight", "1.1.bias", "2.bias")] == [
        0.125,
        0.25,
        0.5,
        1,
    ]
    assert layer_numbers(build("plain"))["second.weight"] == 2  # after the two layers of "first"


def test_what_netaug_adds_has_its_layers_factor_and_is_updated_by_it() -> None:
    supernet = netaug.augment(build("plain"), images(), AugmentConfig(width=(1.0, 2.0)))
    assert isinstance(supernet, Supernet)
    scales = scales_by_name(supernet, 0.5)
    assert scales["added.second/weight[0]"] == scales["base.second.weight"] == 0.5
    one, same = ({"decay": 0.5}, {"decay": None})
    steps = []
    for kind in (one, same):
        network = netaug.augment(build("plain"), images(), AugmentConfig(width=(1.0, 2.0)))
        factors = None if kind["decay"] is None else layer_scales(network, kind["decay"])
        optimizer = make_optimizer(
            network.parameters(), lr=9.0, momentum=0.9, weight_decay=0.1, scales=factors
        )
        set_learning_rate(optimizer, 0.1)
        before = {name: p.detach().clone() for name, p in network.named_parameters()}
        network.use_widest()
        network(images()).square().sum().backward()
        optimizer.step()
        steps.append(
            {name: p.detach() - before[name] for name, p in network.named_parameters() if p.grad is not None}
        )
    for name, step in steps[0].items():
        torch.testing.assert_close(step, scales[name] * steps[1][name], rtol=1e-4, atol=1e-6)


def test_a_network_without_layers_and_a_decay_out_of_range_are_refused() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2, 3))

    with pytest.raises(ConfigError, match="no layers one after the other"):
        layer_scales(BaseOnly(Flat(), 1), 0.5)
    for wrong in (0.0, 1.5):
        with pytest.raises(ConfigError, match=r"train\.layer_decay"):
            TrainConfig(layer_decay=wrong)
