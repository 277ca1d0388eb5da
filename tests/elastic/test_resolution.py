"""Augmented passes on smaller images: the images are right, gradients and costs too, and what cannot run says so."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from netaug import AugmentConfig, augment
from netaug.core.errors import ModelError, ShapeError
from netaug.elastic.passes import smaller, smaller_side
from tests import tiny


def test_halving_weighs_pixels_by_a_triangle() -> None:
    """Reference: the weights 1, 3, 3, 1 over 8 along both sides, away from the border; at it, those that are inside."""
    images = tiny.images(2, 12).double()
    kernel = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
    kernel = (kernel[:, None] * kernel).expand(3, 1, 4, 4)
    wanted = F.conv2d(images, kernel, stride=2, padding=1, groups=3)
    inside = F.conv2d(torch.ones_like(images), kernel, stride=2, padding=1, groups=3)
    found = smaller(images, 0.5)
    assert found.shape == (2, 3, 6, 6)
    torch.testing.assert_close(found, wanted / inside, rtol=1e-6, atol=1e-6)


def test_sides_are_rounded_to_whole_pixels_and_memory_format_is_kept() -> None:
    assert [smaller_side(side, factor) for side, factor in ((9, 0.5), (16, 0.7), (3, 0.1))] == [5, 11, 1]
    images = tiny.images(2, 9)[..., :7].contiguous(memory_format=torch.channels_last)
    found = smaller(images, 0.5)
    assert found.shape == (2, 3, 5, 4)
    assert found.is_contiguous(memory_format=torch.channels_last)
    for wrong in (torch.zeros(2, 8), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)):
        with pytest.raises(ShapeError, match="not images that can be scaled"):
            smaller(wrong, 0.5)


def test_only_the_augmented_pass_sees_smaller_images_and_its_gradients_are_a_plain_networks() -> None:
    """Reference: the caller's network on the images, and the extracted wide one on smaller images; float64."""
    network, images, labels = tiny.build("inverted").double(), tiny.images(4, 16).double(), tiny.labels()
    config = AugmentConfig(width=(1.0, 2.0), expand=(1.0, 3.0), resolution=0.6, batch_share=0.5, seed=1)
    supernet = augment(network, images, config)
    wide = supernet.extract(supernet.sample(0)).train()
    sizes = []
    for pass_ in supernet.passes(0, 0.0):
        x, y = pass_.take(images, labels)
        sizes.append((pass_.name, tuple(x.shape)))
        (pass_.weight * F.cross_entropy(supernet(x), y)).backward()
    assert sizes == [("base", (4, 3, 16, 16)), ("augmented", (2, 3, 10, 10))]
    F.cross_entropy(network(images), labels).backward()
    F.cross_entropy(wide(smaller(images[:2], 0.6)), labels[:2]).backward()
    for name, parameter in network.named_parameters():
        with supernet.at(supernet.sample(0)):
            value = supernet.wide_tensor(name)
        chosen = supernet.base.get_parameter(name)
        share = torch.autograd.grad((value * wide.get_parameter(name).grad).sum(), chosen)[0]
        torch.testing.assert_close(chosen.grad, parameter.grad + share, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", ["inverted", "residual", "timm:mobilenetv3_small_050"])
def test_macs_of_smaller_images_are_those_of_torchs_counter(name: str) -> None:
    """Squeeze-excite and the classifier cost the same at any size, so it is no factor on the whole."""
    from netaug import create_model

    network = tiny.build(name) if name in tiny.NETWORKS else create_model(name, num_classes=5)
    size = 64 if ":" in name else 16
    supernet = augment(network, tiny.images(2, size), AugmentConfig(width=(1.0, 2.0), resolution=0.7))
    small = smaller(tiny.images(1, size), 0.7)
    for widths in ({}, supernet.sample(3)):
        plain = supernet.extract(widths).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            plain(small)
        assert counter.get_total_flops() // 2 == supernet.macs(widths, resolution=0.7)
        assert supernet.macs(widths) > supernet.macs(widths, resolution=0.7)


def test_a_network_that_cannot_run_on_smaller_images_says_so_before_training() -> None:
    """This one flattens positions into its classifier."""
    augment(tiny.build("concat"), tiny.images(), AugmentConfig(width=(1.0, 2.0)))
    with pytest.raises(
        ModelError, match=r"at resolution 0\.5(?s:.*)\[4, 3, 4, 4\] in place of(?s:.*)raise resolution"
    ):
        augment(tiny.build("concat"), tiny.images(), AugmentConfig(width=(1.0, 2.0), resolution=0.5))
    line = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5))
    with pytest.raises(ModelError, match="no input is a batch of images"):
        augment(line, torch.zeros(2, 6), AugmentConfig(width=(1.0, 2.0), resolution=0.5))
