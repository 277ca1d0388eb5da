"""The blocks compute what their names say."""

import pytest
import torch

from netaug.models.blocks import ConvNormAct, DepthwiseSeparable, InvertedResidual, StagedNet, round_channels


@pytest.mark.parametrize(
    ("channels", "rounded"),
    # 11.2 would round to 8, less than 0.9 of it; the others are the published widths of MobileNetV2 x 0.35.
    [(11.2, 16), (5.6, 8), (8.4, 8), (22.4, 24), (33.6, 32), (56, 56), (0.1, 8), (12, 16), (1280, 1280)],
)
def test_channels_round_to_eight(channels, rounded):
    assert round_channels(channels) == rounded


def test_rounding_never_loses_more_than_a_tenth():
    for channels in (0.3 * k for k in range(1, 600)):
        rounded = round_channels(channels)
        assert rounded % 8 == 0
        assert 0.9 * channels <= rounded <= max(8, channels + 8)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 2), (5, 1), (7, 2)])
@pytest.mark.parametrize("size", [1, 4, 5])
def test_a_conv_unit_divides_the_size_by_its_stride(kernel, stride, size):
    y_NCHW = ConvNormAct(2, 3, kernel, stride=stride).eval()(torch.rand(1, 2, size, size))
    assert y_NCHW.shape == (1, 3, -(-size // stride), -(-size // stride))


def test_the_activation_is_relu6_and_can_be_left_out():
    x_NCHW = torch.randn(4, 2, 3, 3) * 50
    torch.manual_seed(0)
    unit = ConvNormAct(2, 3).eval()
    linear = ConvNormAct(2, 3, act=None).eval()
    linear.load_state_dict(unit.state_dict())
    before_NCHW = linear(x_NCHW)
    assert before_NCHW.min() < 0
    assert before_NCHW.max() > 6
    assert torch.equal(unit(x_NCHW), before_NCHW.clamp(0, 6))


@pytest.mark.parametrize("build", [DepthwiseSeparable, lambda i, o, **kw: InvertedResidual(i, 5, o, **kw)])
@pytest.mark.parametrize(("out", "stride"), [(4, 1), (4, 2), (6, 1)])
def test_a_shortcut_exactly_when_the_shape_is_kept(build, out, stride):
    block = build(4, out, stride=stride).eval()
    torch.nn.init.zeros_(block.project.conv.weight)  # then only a shortcut can bring the input through
    x_NCHW = torch.rand(2, 4, 6, 6)
    if out == 4 and stride == 1:
        assert torch.equal(block(x_NCHW), x_NCHW)
    else:
        assert not block(x_NCHW).any()


def test_an_inverted_residual_is_its_three_convs():
    block = InvertedResidual(4, 7, 6, kernel=5, stride=2)
    shapes = {name: tuple(p.shape) for name, p in block.named_parameters() if name.endswith("conv.weight")}
    assert shapes == {
        "expand.conv.weight": (7, 4, 1, 1),
        "depthwise.conv.weight": (7, 1, 5, 5),
        "project.conv.weight": (6, 7, 1, 1),
    }
    assert isinstance(block.project.act, torch.nn.Identity)


def test_a_shortcut_can_be_left_out():
    block = InvertedResidual(4, 5, 4, shortcut=False).eval()
    torch.nn.init.zeros_(block.project.conv.weight)
    assert not block(torch.rand(2, 4, 6, 6)).any()


def test_a_gate_acts_on_the_hidden_channels():
    block = InvertedResidual(4, 5, 6).eval()
    x_NCHW = torch.rand(2, 4, 6, 6)
    open_NCHW = block(x_NCHW)
    block.gate = torch.nn.Threshold(float("inf"), 0.0)  # closed: every hidden value becomes 0
    assert open_NCHW.any()
    assert not block(x_NCHW).any()


@pytest.mark.parametrize("build", [DepthwiseSeparable, lambda i, o, **kw: InvertedResidual(i, 5, o, **kw)])
def test_the_activation_of_a_block_is_of_the_class_asked_for(build):
    kinds = [
        type(module)
        for module in build(4, 6, act=torch.nn.Hardswish).modules()
        if not list(module.children())
    ]
    assert torch.nn.Hardswish in kinds
    assert torch.nn.ReLU6 not in kinds


def test_the_neck_comes_between_the_pool_and_the_classifier():
    neck = torch.nn.Linear(3, 5)
    net = StagedNet(torch.nn.Identity(), [], torch.nn.Identity(), neck=neck, features=5, num_classes=2).eval()
    images_NCHW = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(net(images_NCHW), net.classifier(neck(images_NCHW.mean((2, 3)))))


def test_the_net_pools_over_the_whole_image():
    net = StagedNet(torch.nn.Identity(), [], torch.nn.Identity(), features=3, num_classes=2).eval()
    images_NCHW = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(net(images_NCHW), net.classifier(images_NCHW.mean((2, 3))))
