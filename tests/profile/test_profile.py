"""Counts agree with formulas written out, and counting leaves no trace."""

import pytest
import torch
from torch import nn

from netaug.core.errors import ModelError, ShapeError
from netaug.profile import Profile, profile


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_conv_costs_its_kernel_at_every_output_pixel(groups):
    conv = nn.Conv2d(4, 8, (3, 5), stride=2, padding=(1, 2), groups=groups)
    weights = 8 * (4 // groups) * 3 * 5
    assert profile(conv, torch.zeros(1, 4, 9, 6)) == Profile(params=weights + 8, macs=weights * 5 * 3)


def test_a_depthwise_conv_counts_one_input_channel_per_output():
    conv = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)
    assert profile(conv, torch.zeros(1, 6, 4, 4)) == Profile(params=6 * 9, macs=6 * 9 * 16)


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_costs_its_weights(bias):
    cost = profile(nn.Linear(7, 3, bias=bias), torch.zeros(1, 7))
    assert cost == Profile(params=21 + 3 * bias, macs=21)


def test_norms_activations_and_pooling_are_free():
    net = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU6(), nn.AdaptiveAvgPool2d(1))
    assert profile(net, torch.zeros(1, 3, 4, 4)) == Profile(params=6, macs=0)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_counts_are_those_of_one_image(batch):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    assert profile(net, torch.zeros(batch, 3, 4, 4)).macs == 4 * 3 * 9 * 4 + 32


def test_a_shared_layer_has_its_parameters_once_and_its_macs_twice():
    layer = nn.Linear(4, 4, bias=False)
    assert profile(nn.Sequential(layer, nn.ReLU(), layer), torch.zeros(1, 4)) == Profile(params=16, macs=32)


def test_counting_leaves_modes_buffers_and_gradients_as_they_were():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.Dropout(0.5)))
    net[1].eval()  # a frozen norm inside a training network
    before = {key: value.clone() for key, value in net.state_dict().items()}
    profile(net, torch.rand(2, 3, 4, 4))
    assert [module.training for module in net.modules()] == [True, True, False, True, True]
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert net[0].weight.grad is None
    assert torch.is_grad_enabled()


def test_a_failing_forward_is_a_message_and_restores_the_modes():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5))
    with pytest.raises(ModelError, match="fails on the example input") as caught:
        profile(net, torch.zeros(1, 2, 4, 4))
    assert "[1, 2, 4, 4]" in caught.value.got
    assert all(module.training for module in net.modules())


@pytest.mark.parametrize("shape", [(), (0, 3, 4, 4)])
def test_an_example_without_an_image_is_refused(shape):
    with pytest.raises(ShapeError, match="holds no image"):
        profile(nn.Identity(), torch.zeros(shape))
