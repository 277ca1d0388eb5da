"""MobileNetV3-Large costs what the published one costs, at any width."""

import pytest
import torch
import torchvision
from torch import nn

from netaug.models import create_model, default_image_size
from netaug.profile import profile


def test_cost_is_the_published_one():
    assert default_image_size("mobilenetv3-0.35") == 160
    cost = profile(create_model("mobilenetv3-0.35"), torch.zeros(1, 3, 160, 160))
    assert f"{cost.macs / 1e6:.2f}M" == "19.50M"
    assert f"{cost.params / 1e6:.3f}M" == "2.110M"


def test_width_one_is_the_original_network():
    """An independent implementation, given the same weights, computes the same logits."""
    torch.manual_seed(0)
    reference = torchvision.models.mobilenet_v3_large(weights=None).eval()
    model = create_model("mobilenetv3-1.0").eval()
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        nn.init.normal_(ours, 0.0, 0.1)
        theirs.data.copy_(ours)
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-5  # torchvision's own choice for this network is 1e-3
    images_NCHW = torch.rand(1, 3, 64, 64)
    logits_NK = model(images_NCHW)
    assert logits_NK.std() > 0
    torch.testing.assert_close(logits_NK, reference(images_NCHW))


@pytest.mark.parametrize(("width", "last", "neck"), [(0.1, 96, 1280), (0.75, 720, 1280), (1.25, 1200, 1600)])
def test_the_neck_grows_with_the_width_but_does_not_shrink(width, last, neck):
    model = create_model(f"mobilenetv3-{width}", num_classes=2)
    assert model.last.conv.out_channels == last
    assert model.classifier.in_features == neck


def test_squeeze_excite_has_a_quarter_of_the_channels_but_at_least_16():
    model = create_model("mobilenetv3-0.35", num_classes=2)
    sizes = [
        [(block.gate.fc1.in_channels, block.gate.fc1.out_channels) for block in stage]
        for stage in model.stages
        if hasattr(stage[-1], "gate") and not isinstance(stage[-1].gate, nn.Identity)
    ]
    assert sizes == [
        [(24, 16), (40, 16), (40, 16)],
        [(168, 40), (232, 56)],
        [(232, 56), (336, 88), (336, 88)],
    ]


def test_activations_are_relu_then_hard_swish_and_the_gate_is_hard_sigmoid():
    model = create_model("mobilenetv3-0.35", num_classes=2)
    kinds = [{type(block.depthwise.act) for block in stage} for stage in model.stages]
    assert kinds == [{nn.ReLU}] * 3 + [{nn.Hardswish}] * 3
    assert {type(unit.act) for unit in (model.stem, model.last)} == {nn.Hardswish}
    assert isinstance(model.stages[2][0].gate.scale_activation, nn.Hardsigmoid)
