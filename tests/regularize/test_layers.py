"""Regularizers on layers: where they go, that they are torch's own, and that nothing of them is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import drop_block2d, stochastic_depth

from netaug import AugmentConfig, augment, create_model
from netaug.config.regularize import RegularizeConfig
from netaug.core.errors import ConfigError
from netaug.core.modules import remove_training_hooks
from netaug.regularize.dropblock import DROPBLOCK
from netaug.regularize.images import IMAGE_REGULARIZERS
from netaug.regularize.layers import LAYER_REGULARIZERS, put_regularizers
from tests import tiny


def put(model: nn.Module, size: int = 32, **settings: Any) -> dict[str, dict[str, float]]:
    example = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    return {one.kind: one.rates for one in put_regularizers(model, example, RegularizeConfig(**settings))}


REFERENCES: dict[str, Callable[[Tensor], Tensor]] = {
    "dropout": lambda x: F.dropout(x, 0.3),
    "spatial_dropout": lambda x: F.dropout2d(x, 0.3),
    "dropblock": lambda x: drop_block2d(x, 0.3, 3),
    "stochastic_depth": lambda x: stochastic_depth(x, 0.3, "row"),
}


def test_each_regularizer_has_a_setting_of_its_name_and_each_setting_a_regularizer() -> None:
    on = {"layers": set[str](), "images": set[str]()}
    for item in fields(RegularizeConfig):
        if item.metadata.get("acts_on") in on:
            on[item.metadata["acts_on"]].add(item.name)
    assert on["layers"] == {one.name for one in LAYER_REGULARIZERS} == set(REFERENCES)
    assert on["images"] == {one.name for one in IMAGE_REGULARIZERS}


@pytest.mark.parametrize("kind", REFERENCES)
def test_what_is_dropped_is_what_torch_drops_on_the_same_draws(kind: str) -> None:
    x = torch.rand(8, 6, 9, 9) + 1
    torch.manual_seed(3)
    expected = REFERENCES[kind](x)
    torch.manual_seed(3)
    config = RegularizeConfig(dropblock=0.3, dropblock_size=3)
    (regularizer,) = (one for one in LAYER_REGULARIZERS if one.name == kind)
    found = regularizer.make_drop(config, 0.3)(x)
    assert torch.equal(found, expected)
    assert bool((found == 0).any())


def test_squares_larger_than_a_map_or_of_even_side_are_made_to_fit() -> None:
    """Torchvision's DropBlock fails for even sides; a map of 4 pixels gets squares of 3."""
    x = torch.rand(64, 4, 4, 4) + 1
    torch.manual_seed(0)
    expected = drop_block2d(x, 0.4, 3)
    torch.manual_seed(0)
    assert torch.equal(DROPBLOCK.make_drop(RegularizeConfig(), 0.4)(x), expected)


def test_stochastic_depth_is_at_the_end_of_each_residual_branch_with_rising_rates() -> None:
    """ResNet-18: eight blocks, two of the shortcuts with a convolution of their own; rate l/L of the last."""
    rates = put(create_model("timm:resnet18", num_classes=5), stochastic_depth=0.4)["stochastic_depth"]
    blocks = [f"layer{stage}.{block}.bn2" for stage in (1, 2, 3, 4) for block in (0, 1)]
    assert rates == pytest.approx({name: 0.4 * (i + 1) / 8 for i, name in enumerate(blocks)})


def test_a_branch_that_is_dropped_leaves_the_shortcut() -> None:
    model = tiny.build("residual").train()
    (name,) = put(model, size=8, stochastic_depth=0.5)["stochastic_depth"]
    ended: list[Tensor] = []
    model.get_submodule(name).register_forward_hook(lambda module, inputs, output: ended.append(output))
    torch.manual_seed(0)
    model(tiny.images(16))
    dropped = (ended[0] == 0).flatten(1).all(1)
    assert 0 < int(dropped.sum()) < 16


def test_dropblock_is_behind_the_convolutions_of_the_two_smallest_maps() -> None:
    model = create_model("timm:resnet18", num_classes=5)
    rates = put(model, size=64, dropblock=0.1)["dropblock"]
    stages = {name.split(".")[0] for name in rates}
    assert stages == {"layer3", "layer4"}
    assert len(rates) == 2 * (2 * 2 + 1)  # convolutions of two stages of two blocks, and that of the shortcut
    assert all(isinstance(model.get_submodule(name), nn.BatchNorm2d) for name in rates)


def test_dropout_is_on_what_goes_into_the_classifier() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).train()
    assert put(model, size=8, dropout=0.5) == {"dropout": {"3": 0.5}}
    x = tiny.images(4)
    torch.manual_seed(1)
    found = model(x)
    torch.manual_seed(1)
    assert torch.equal(found, model[3].eval()(F.dropout(model[:3](x), 0.5)))


def test_places_can_be_chosen_and_patterns_must_fit() -> None:
    model = tiny.build("plain")
    assert put(model, size=8, spatial_dropout=0.2, places=("first.*",)) == {
        "spatial_dropout": dict.fromkeys(["first.0", "first.1", "first.2"], 0.2)
    }
    with pytest.raises(ConfigError, match="places 'nothing' matches no module"):
        put(tiny.build("plain"), size=8, spatial_dropout=0.2, places=("nothing",))


@pytest.mark.parametrize(
    ("settings", "needs"),
    [
        ({"stochastic_depth": 0.1}, "a residual branch"),
        ({"dropblock": 0.1}, "maps of more than one pixel"),
        ({"dropout": 0.1}, "a last linear layer"),
    ],
)
def test_a_network_without_a_place_is_an_error_that_says_what_is_missing(
    settings: dict[str, float], needs: str
) -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5), nn.ReLU())
    with pytest.raises(ConfigError, match="finds no place in Sequential") as caught:
        put(model, **settings)
    assert needs in str(caught.value)
    assert not model[2]._forward_hooks


def test_places_that_cannot_be_named_are_told() -> None:
    class Inline(nn.Module):
        """The branch ends in a function of the block's own."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            x = x + torch.tanh(self.one(x))
            return (x + self.two(x)).mean((2, 3))

    (placed,) = put_regularizers(Inline(), tiny.images(), RegularizeConfig(stochastic_depth=0.1))
    assert list(placed.rates) == ["two"]
    assert "left out: the addition number 4 in ''" in str(placed)


@pytest.mark.parametrize("settings", [{"dropout": 0.5}, {"dropblock": 0.3, "dropblock_size": 3}])
def test_evaluation_augmentation_and_extraction_know_nothing_of_it(settings: dict[str, Any]) -> None:
    plain, model = tiny.build("inverted"), tiny.build("inverted")
    put(model, size=16, **settings)
    x = tiny.images(4, 16)
    assert list(model.state_dict()) == list(plain.state_dict())
    assert torch.equal(model.eval()(x), plain.eval()(x))
    supernet = augment(model.train(), x, AugmentConfig(width=(1.0, 2.0))).train()
    supernet.use_widest()
    torch.manual_seed(0)
    first = supernet(x)
    assert not torch.equal(first, supernet(x)), "nothing is dropped in wide passes"
    supernet.use_base()
    network = supernet.extract().train()
    assert not remove_training_hooks(network), "extraction takes all of them off"
    assert torch.equal(network(x), plain.train()(x))
    wide = supernet.extract(supernet.plan.widest).train()
    assert torch.equal(wide(x), wide(x))
