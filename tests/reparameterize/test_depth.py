"""Deeper layers whose non-linearities fade are contracted into the caller's own layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netaug
from netaug.core.errors import ConfigError, ModelError
from tests.reparameterize.test_branches import Odd, same_form, shaken
from tests.tiny import NETWORKS, build, images


@pytest.mark.parametrize("name", NETWORKS)
def test_contracted_network_computes_what_the_faded_one_does(name: str) -> None:
    model, x = build(name).double(), images().double()
    deep = shaken(netaug.deepen(model, x, 2.0, every=1, layers=("*",))).eval()
    deep.fade(0.5)
    bent = deep(x)
    deep.fade(0.6)
    outputs = deep(x)
    contracted = deep.contract()
    assert same_form(contracted, model)
    torch.testing.assert_close(contracted(x), outputs, rtol=0, atol=1e-10)
    assert not torch.allclose(outputs, bent, atol=1e-3)  # else there was no non-linearity


def test_convolutions_of_all_shapes_are_contracted() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    deep = shaken(netaug.deepen(Odd().double(), x, 3.0, every=1, layers=("*",))).eval()
    assert [(layer.conv, layer.hidden) for layer in deep.deepened] == [
        ("first", 9),
        ("dilated", 12),
        ("unpadded", 12),
    ]
    deep.fade(1.0)
    torch.testing.assert_close(deep.contract()(x), deep(x), rtol=0, atol=1e-10)


def test_every_second_1x1_convolution_that_reduces_nothing_is_deepened() -> None:
    model = nn.Sequential(*[netaug.create_model("micronet", num_classes=5)])
    deep = netaug.deepen(model, images(size=16))
    assert [layer.conv.removeprefix("0.") for layer in deep.deepened] == [
        "stages.0.0.expand.conv",
        "stages.1.1.expand.conv",
    ]
    reasons = {left.conv.removeprefix("0."): left.reason for left in deep.left}
    assert reasons["stages.1.0.expand.conv"] == "one of 2 is deepened (every)"
    assert reasons["stages.0.0.depthwise.conv"] == "its kernel is not 1x1; name it in layers"


def test_slopes_go_from_relu_to_the_identity() -> None:
    deep = netaug.deepen(build("inverted"), images(), start=0.2, until=0.6)
    fading = deep.network.get_submodule("expand.0.fading")
    x = torch.tensor([-2.0, 3.0])
    for progress, slope in ((0.0, 0.0), (0.2, 0.0), (0.3, 0.25), (0.6, 1.0), (1.0, 1.0)):
        deep.fade(progress)
        torch.testing.assert_close(fading(x), torch.tensor([-2.0 * slope, 3.0]))
    assert not any("slope" in key for key in deep.state_dict())


def test_nothing_is_contracted_before_it_has_faded() -> None:
    deep = netaug.deepen(build("inverted"), images())
    deep.fade(0.5)
    with pytest.raises(ModelError, match=r"slope 0\.5 of negative values"):
        deep.contract()


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="until is out of range"):
        netaug.deepen(build("inverted"), images(), start=0.5, until=0.4)
    with pytest.raises(ConfigError, match="ratio is out of range"):
        netaug.deepen(build("inverted"), images(), 0.0)
    with pytest.raises(ConfigError, match=r"layers 'classifier' matches no convolution"):
        netaug.deepen(build("inverted"), images(), layers=("classifier",))
