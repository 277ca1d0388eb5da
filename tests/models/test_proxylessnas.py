"""ProxylessNAS-Mobile costs what the published one costs."""

import pytest
import torch

from netaug.models import create_model, default_image_size
from netaug.profile import profile


def test_cost_is_the_published_one():
    assert default_image_size("proxylessnas-0.35") == 160
    cost = profile(create_model("proxylessnas-0.35"), torch.zeros(1, 3, 160, 160))
    assert f"{cost.macs / 1e6:.2f}M" == "35.72M"
    assert f"{cost.params / 1e6:.3f}M" == "1.781M"


@pytest.mark.parametrize(("width", "last"), [(0.1, 1280), (0.75, 1280), (1.4, 1792)])
def test_the_last_conv_grows_with_the_width_but_does_not_shrink(width, last):
    assert create_model(f"proxylessnas-{width}", num_classes=2).classifier.in_features == last


def test_kernels_and_hidden_channels_at_width_035():
    model = create_model("proxylessnas-0.35", num_classes=2)
    blocks = [[tuple(block.depthwise.conv.weight.shape[::2]) for block in stage] for stage in model.stages]
    assert blocks == [
        [(16, 3)],
        [(24, 5), (48, 3)],
        [(48, 7), (48, 3), (48, 5), (48, 5)],
        [(96, 7), (96, 5), (96, 5), (96, 5)],
        [(192, 5), (96, 5), (96, 5), (96, 5)],
        [(192, 7), (384, 7), (192, 7), (192, 7)],
        [(384, 7)],
    ]


def test_a_stage_starts_without_a_shortcut_even_where_rounding_keeps_its_channels():
    stage = create_model("proxylessnas-0.35", num_classes=2).stages[4]
    first = stage[0]
    assert first.expand.conv.in_channels == first.project.conv.out_channels == 32
    assert first.depthwise.conv.stride == (1, 1)
    assert [block.shortcut for block in stage] == [False, True, True, True]
