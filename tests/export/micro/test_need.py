"""Memory from shapes alone: equal to what was measured on exported files, and to what the planner gives them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netaug
from netaug.core.errors import ModelError
from netaug.export.budget import MemoryNeed
from netaug.export.micro.need import memory_need, need_at_side


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "side", "apart", "tflite_micro"),
    [
        ("mobilenetv2-tiny", 144, 311_040, 504_624),
        ("mcunet", 176, 340_736, 393_440),
        ("mobilenetv3-0.35", 160, 204_800, 311_072),
    ],
)
def test_figures_of_exported_files(name: str, side: int, apart: int, tflite_micro: int) -> None:
    """tflite-micro's recorder printed these heads for files of these networks."""
    need = need_at_side(netaug.create_model(name, num_classes=10), 3, side)
    assert (need.sram_apart, need.tflite_micro) == (apart, tflite_micro)
    assert need.sram <= need.lower_bound * 1.01
    assert need.sram < apart


def test_activations_and_norms_are_part_of_the_convolution_before_them() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU6(), nn.Flatten(), nn.Linear(8 * 16, 10)
    )
    need = memory_need(network, torch.zeros(1, 3, 4, 4))
    assert need.sram_apart == 8 * 16 + 3 * 16
    assert need.peak == "0"
    assert need.flash == 24 + 8 * 16 * 10 + 9 * (8 + 10)


def test_what_is_read_before_its_activation_stays() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(16, 16, 1)

        def forward(self, images_NCHW):
            features = self.conv(images_NCHW)
            return torch.cat([features, torch.relu(features)], 1)

    need = memory_need(Network(), torch.zeros(1, 16, 4, 4))
    assert need.sram_apart == 4 * 16 * 16  # the features, their activation and both beside each other
    assert need.peak == "concat"


def test_a_side_that_the_network_cannot_take_is_an_error() -> None:
    with pytest.raises(ModelError):
        need_at_side(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2)), 3, 9)


def test_what_tflite_micro_lacks_and_what_has_no_int8_form_is_said() -> None:
    def need(activation: nn.Module) -> MemoryNeed:
        return memory_need(nn.Sequential(nn.Conv2d(3, 8, 1), activation), torch.zeros(1, 3, 4, 4))

    assert need(nn.ReLU()).tflite_micro == 8 * 16 + 3 * 16
    assert "SRAM, tflite-micro                (not there)" in need(nn.GELU()).describe()[3]
    assert not need(nn.GELU()).estimated
    assert "a guess: an operator has no int8 form" in need(nn.Softplus()).describe()[0]
