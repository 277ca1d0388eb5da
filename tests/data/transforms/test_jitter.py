"""Brightness and saturation against the formula and against torchvision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as v2

from netaug.core.seeding import generator
from netaug.data.transforms.augment import jitter_colors, scratch_for

FACTORS = [(1.12, 1.5), (1.12, 0.5), (0.88, 1.5), (0.88, 0.5), (1.0, 1.0), (1.0, 0.0)]


def image(chans: int) -> torch.Tensor:
    pixels = torch.randint(0, 256, (chans, 31, 33), generator=generator(0, "jitter"), dtype=torch.uint8)
    pixels[:, :4] = torch.tensor([255, 250, 3])[:chans, None, None]  # bright and strong: where limits matter
    return pixels


def ours(pixels: torch.Tensor, brightness: float, saturation: float, first: bool) -> np.ndarray:
    out = np.empty(pixels.shape, np.uint8)
    factors = {"brightness": brightness, "saturation": saturation, "saturation_first": first}
    jitter_colors(pixels.numpy(), out, scratch_for(*pixels.shape), **factors)
    return out


def exact(pixels: torch.Tensor, brightness: float, saturation: float, first: bool) -> np.ndarray:
    """One step after the other in float64, each limited to 0..255, not rounded."""
    values = pixels.numpy().astype(np.float64)
    for saturating in (first, not first):
        if saturating and len(values) == 3:
            gray = 0.2989 * values[0] + 0.587 * values[1] + 0.114 * values[2]
            values = saturation * values + (1 - saturation) * gray
        elif not saturating:
            values = brightness * values
        values = values.clip(0, 255)
    return values


@pytest.mark.parametrize("chans", [1, 3])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("brightness", "saturation"), FACTORS)
def test_it_is_the_formula_rounded(brightness: float, saturation: float, first: bool, chans: int) -> None:
    case = (image(chans), brightness, saturation, first)
    assert np.abs(ours(*case) - exact(*case)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("brightness", "saturation"), FACTORS)
def test_it_is_torchvisions_within_rounding(brightness: float, saturation: float, first: bool) -> None:
    """Torchvision cuts off decimals of the gray image and after each of the two steps: up to three levels."""
    pixels = image(3)
    theirs = pixels
    steps = {True: (v2.adjust_saturation, saturation), False: (v2.adjust_brightness, brightness)}
    for saturating in (first, not first):
        change, factor = steps[saturating]
        theirs = change(theirs, factor)
    difference = np.abs(ours(pixels, brightness, saturation, first).astype(int) - theirs.numpy())
    assert difference.max() <= 3
    assert difference.mean() < 1


def test_factors_of_one_change_nothing_and_an_image_may_be_written_over() -> None:
    pixels = image(3)
    assert np.array_equal(ours(pixels, 1.0, 1.0, True), pixels.numpy())
    expected, same = ours(pixels, 1.1, 0.7, True), pixels.numpy().copy()
    jitter_colors(same, same, scratch_for(*same.shape), brightness=1.1, saturation=0.7, saturation_first=True)
    assert np.array_equal(same, expected)
