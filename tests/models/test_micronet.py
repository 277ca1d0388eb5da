"""The micro network has hundreds to thousands of parameters, as asked, and refuses what makes no sense."""

import pytest
import torch

from netaug.core.errors import ModelError
from netaug.models import create_model
from netaug.profile import profile

DIGITS = {
    "stem": 4,
    "stem_stride": 1,
    "channels": [4, 4],
    "blocks": [1, 1],
    "strides": [1, 2],
    "expand": 2,
}
CIFAR = {"channels": [8, 16, 24], "blocks": [1, 2, 2], "expand": 3}


@pytest.mark.parametrize(
    ("in_chans", "size", "options", "low", "high"),
    [(3, 32, {}, 4_500, 5_500), (1, 8, DIGITS, 380, 460), (3, 32, CIFAR, 9_000, 11_500)],
)
def test_sizes_for_demos(in_chans, size, options, low, high):
    model = create_model("micronet", num_classes=10, in_chans=in_chans, **options)
    assert low <= profile(model, torch.zeros(1, in_chans, size, size)).params <= high


def test_options_shape_the_network():
    options = {"channels": (3, 5), "blocks": (1, 2), "strides": (2, 1), "expand": 2.5, "kernel": 5, "stem": 2}
    model = create_model("micronet", num_classes=4, **options)
    convs = [
        (block.expand.conv.out_channels, block.project.conv.out_channels, block.depthwise.conv.stride[0])
        for stage in model.stages
        for block in stage
    ]
    assert convs == [(5, 3, 2), (8, 5, 1), (12, 5, 1)]
    assert model.stages[0][0].depthwise.conv.kernel_size == (5, 5)


def test_lists_of_different_lengths_are_refused_with_all_three():
    with pytest.raises(ModelError, match="one number per stage") as caught:
        create_model("micronet", channels=[4, 8])
    assert "channels=[4, 8]" in caught.value.got
    assert "blocks=[1, 2, 1]" in caught.value.got


@pytest.mark.parametrize(
    "option",
    [
        {"channels": []},
        {"channels": 8},
        {"channels": "888"},
        {"blocks": [1, 0, 1]},
        {"strides": [1, 2.0, 2]},
        {"stem": 0},
        {"stem_stride": "2"},
        {"kernel": 4},
        {"expand": 0},
        {"expand": "3"},
    ],
)
def test_a_value_that_cannot_be_used_is_named(option):
    with pytest.raises(ModelError, match=next(iter(option))):
        create_model("micronet", **option)
