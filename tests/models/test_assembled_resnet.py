"""Assemble-ResNet50 has the four parts it is named for."""

import pytest
import torch
from timm.layers import BlurPool2d, SelectiveKernel
from timm.models.resnet import Bottleneck
from torch import nn

from netaug.models import create_model, default_image_size
from netaug.models.assembled_resnet import BigLittleStage, BigLittleStem, _build
from netaug.profile import profile


def _network(**options: object) -> nn.Module:
    with torch.device("meta"):
        return create_model("assembled_resnet50", num_classes=2, **options)


def test_every_block_has_two_selective_3x3_kernels():
    kernels = [module for module in _network().modules() if isinstance(module, SelectiveKernel)]
    assert len(kernels) == 16 + 3  # ResNet50's, and one in each little branch
    for kernel in kernels:
        assert [path.conv.weight.shape[1:] for path in kernel.paths] == [(kernel.in_channels, 3, 3)] * 2
        assert [path.conv.dilation for path in kernel.paths] == [(1, 1)] * 2
        assert kernel.attn.fc_reduce.out_channels == max(kernel.out_channels // 2, 32)


def test_strides_are_blurred_or_averaged():
    model = _network()
    assert sum(isinstance(module, BlurPool2d) for module in model.modules()) == 2 * 6
    strided = {name for name, m in model.named_modules() if isinstance(m, nn.Conv2d) and m.stride != (1, 1)}
    assert strided == {"stem.0.conv", "stem.3.big.conv", "stem.3.little.1.conv"}
    shortcuts = [m.downsample for m in model.modules() if getattr(m, "downsample", None) is not None]
    assert {type(shortcut[0]) for shortcut in shortcuts} == {nn.AvgPool2d, nn.Identity}
    assert {shortcut[1].kernel_size for shortcut in shortcuts} == {(1, 1)}


def test_the_stem_is_three_convs_then_two_branches():
    stem = _network().stem
    assert [unit.conv.out_channels for unit in stem[:3]] == [32, 32, 64]
    assert isinstance(stem[3], BigLittleStem)


def test_three_stages_have_a_big_coarse_and_a_little_fine_branch():
    stages = _network().stages
    assert [isinstance(stage[0], BigLittleStage) for stage in stages] == [True, True, True, False]
    assert [(len(stage[0].big), len(stage[0].little)) for stage in stages[:3]] == [(2, 1), (3, 1), (5, 1)]
    stage = stages[0][0].to_empty(device="cpu")
    seen = {}
    for name in ("big", "little"):
        getattr(stage, name).register_forward_hook(lambda _, __, y, name=name: seen.update({name: y.shape}))
    assert stage(torch.zeros(2, 64, 8, 8)).shape == (2, 256, 4, 4)
    assert seen == {"big": (2, 256, 4, 4), "little": (2, 128, 8, 8)}


def test_odd_sizes_fit():
    model = _network()
    for size in (33, 97):
        assert model(torch.zeros(2, 3, size, size, device="meta")).shape == (2, 2)


def test_the_size_is_about_that_of_resnet50_with_selective_kernels():
    assert default_image_size("assembled_resnet50") == 224
    with torch.device("meta"):
        cost = profile(create_model("assembled_resnet50"), torch.zeros(1, 3, 224, 224))
    assert (f"{cost.params / 1e6:.1f}M", f"{cost.macs / 1e9:.1f}G") == ("41.9M", "6.0G")


def test_with_plain_blocks_the_branches_cost_what_the_published_ones_do():
    """2.85 G MACs: bL-ResNet-50 with alpha 2 and beta 4, whose stem starts with one conv 7x7.

    Source: README of the authors' BigLittleNet code, for arXiv:1807.03848.
    """

    def block(in_channels: int, inner: int, stride: int, *, first: bool) -> nn.Module:
        shortcut: list[nn.Module] = [nn.AvgPool2d(3, 2, padding=1)] if stride == 2 else []
        if in_channels != 4 * inner:
            shortcut += [nn.Conv2d(in_channels, 4 * inner, 1, bias=False), nn.BatchNorm2d(4 * inner)]
        return Bottleneck(in_channels, inner, stride, downsample=nn.Sequential(*shortcut) if first else None)

    with torch.device("meta"):
        model = _build(block, num_classes=1000, in_chans=3, dropout=0.0)
        first = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        model.stem = nn.Sequential(first, nn.BatchNorm2d(64), nn.ReLU(), model.stem[3])
        cost = profile(model, torch.zeros(1, 3, 224, 224))
    assert cost.macs / 1e9 == pytest.approx(2.85, abs=0.01)
