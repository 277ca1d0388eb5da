"""MCUNet costs what the published one costs, block by block as in its table."""

import torch

from netaug.models import create_model, default_image_size
from netaug.profile import profile


def test_cost_is_the_published_one():
    assert default_image_size("mcunet") == 176
    cost = profile(create_model("mcunet"), torch.zeros(1, 3, 176, 176))
    assert f"{cost.macs / 1e6:.2f}M" == "81.79M"
    assert f"{cost.params / 1e6:.3f}M" == "0.737M"


def test_the_head_block_is_480_wide_with_kernel_7():
    block = create_model("mcunet", num_classes=2).stages[-1][-1]
    assert block.depthwise.conv.weight.shape == (480, 1, 7, 7)
    assert block.project.conv.out_channels == 160


def test_five_strides_of_two():
    features = []
    model = create_model("mcunet", num_classes=2).eval()
    model.pool.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].shape))
    model(torch.zeros(1, 3, 64, 64))
    assert features == [(1, 160, 2, 2)]
