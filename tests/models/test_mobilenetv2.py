"""MobileNetV2 and MobileNetV2-Tiny cost what the published ones cost."""

import pytest
import torch
import torchvision

from netaug.models import create_model, default_image_size
from netaug.models.blocks import DepthwiseSeparable, InvertedResidual
from netaug.profile import profile


@pytest.mark.parametrize(
    ("name", "size", "macs", "params"),
    [("mobilenetv2-tiny", 144, "23.50M", "0.750M"), ("mobilenetv2-0.35", 160, "30.87M", "1.677M")],
)
def test_cost_is_the_published_one(name, size, macs, params):
    assert default_image_size(name) == size
    cost = profile(create_model(name), torch.zeros(1, 3, size, size))
    assert f"{cost.macs / 1e6:.2f}M" == macs
    assert f"{cost.params / 1e6:.3f}M" == params


def test_width_one_is_the_original_network():
    """An independent implementation counts the same parameters and MACs at width 1."""
    reference = torchvision.models.mobilenet_v2(weights=None)
    images_NCHW = torch.zeros(1, 3, 224, 224)
    assert profile(create_model("mobilenetv2-1.0"), images_NCHW) == profile(reference, images_NCHW)


def test_the_same_width_written_twice_is_the_same_network():
    shapes = [
        {k: v.shape for k, v in create_model(name, num_classes=2).state_dict().items()}
        for name in ("mobilenetv2-.5", "mobilenetv2-0.50")
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(("width", "last"), [(0.1, 1280), (1.0, 1280), (1.4, 1792)])
def test_the_last_conv_grows_with_the_width_but_does_not_shrink(width, last):
    assert create_model(f"mobilenetv2-{width}", num_classes=2).classifier.in_features == last


def test_depth_and_channels_at_width_035():
    model = create_model("mobilenetv2-0.35", num_classes=2)
    channels = [[block.project.conv.out_channels for block in stage] for stage in model.stages]
    assert channels == [[8], [8] * 2, [16] * 3, [24] * 4, [32] * 3, [56] * 3, [112]]
    kinds = {type(block) for stage in model.stages[1:] for block in stage}
    assert kinds == {InvertedResidual}
    assert isinstance(model.stages[0][0], DepthwiseSeparable)
