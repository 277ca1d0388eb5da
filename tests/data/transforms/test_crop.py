"""The crop's rectangle is distributed as torchvision's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from torchvision.transforms import v2

from netaug.core.seeding import uniforms
from netaug.data.transforms.augment import DRAWS, resized_crop

SIDES = st.integers(1, 400)
SHARES = st.lists(st.floats(0, 1, exclude_max=True), min_size=DRAWS, max_size=DRAWS)


@given(SIDES, SIDES, SHARES)
def test_the_rectangle_lies_in_the_image(height: int, width: int, draws: list[float]) -> None:
    top, left, tall, wide = resized_crop((height, width), draws)
    assert 0 <= top < top + tall <= height
    assert 0 <= left < left + wide <= width


@pytest.mark.parametrize("size_HW", [(37, 50), (80, 30)])
def test_rectangles_are_distributed_as_torchvisions(size_HW: tuple[int, int]) -> None:
    count = 1500
    ours = np.array([resized_crop(size_HW, row) for row in uniforms(1, np.arange(count), DRAWS).tolist()])
    crop, image = v2.RandomResizedCrop(8), torch.empty(3, *size_HW)
    torch.manual_seed(0)
    drawn = [crop.make_params([image]) for _ in range(count)]
    theirs = np.array([[d["top"], d["left"], d["height"], d["width"]] for d in drawn])
    for column in range(4):
        assert ks_2samp(ours[:, column], theirs[:, column]).pvalue > 1e-3
    assert ks_2samp(ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3]).pvalue > 1e-3
    assert ks_2samp(ours[:, 3] / ours[:, 2], theirs[:, 3] / theirs[:, 2]).pvalue > 1e-3


@pytest.mark.parametrize("size_HW", [(10, 400), (400, 10), (30, 31)])
def test_if_no_try_fits_it_is_torchvisions_center(
    size_HW: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = [1 - 1e-9, 0.0] * ((DRAWS - 2) // 2) + [0.5, 0.5]  # all of the area, as tall as allowed
    if size_HW[0] > size_HW[1]:
        largest = [1 - 1e-9, 1 - 1e-9] * ((DRAWS - 2) // 2) + [0.5, 0.5]
    monkeypatch.setattr(
        torch.Tensor, "uniform_", lambda self, low, high: self.fill_(2.0 if high == 1 else 0.0)
    )
    crop = v2.RandomResizedCrop(8, scale=(0.99, 1.0))
    expected = crop.make_params([torch.empty(3, *size_HW)])
    assert resized_crop(size_HW, largest) == tuple(expected[n] for n in ("top", "left", "height", "width"))
