"""Automatic augmentation and missing squares: torchvision's own, keyed by seed, epoch and index."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from netaug.config.regularize import RegularizeConfig
from netaug.core.seeding import seeded
from netaug.regularize.images import RegularizeImages, make_image_regularizer

IMAGES = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
INDICES = np.array([4, 9, 0, 7, 30])
MEAN = (0.5, 0.25, 0.75)
COLOR = [128, 64, 191]


def subject(**settings: Any) -> RegularizeImages:
    made = make_image_regularizer(RegularizeConfig(**settings), 3, MEAN)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({"auto_augment": "autoaugment"}, v2.AutoAugment()),
        (
            {"auto_augment": "autoaugment", "auto_policy": "cifar10"},
            v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10),
        ),
        ({"auto_augment": "randaugment", "rand_operations": 3, "rand_magnitude": 15}, v2.RandAugment(3, 15)),
        ({"auto_augment": "trivialaugment"}, v2.TrivialAugmentWide()),
        ({"erasing": 0.7}, v2.RandomErasing(0.7, value=COLOR)),
    ],
)
def test_each_is_torchvisions_on_the_same_draws(settings: dict[str, Any], reference: v2.Transform) -> None:
    found = subject(**settings)(IMAGES, INDICES, 2)
    for image, index, ours in zip(IMAGES, INDICES.tolist(), found, strict=True):
        with seeded(3, "regularize", 2, index):
            assert torch.equal(ours, reference(image))
    assert found.dtype == torch.uint8
    assert not torch.equal(found, IMAGES)


def hole(image: Tensor) -> tuple[int, int]:
    """Height and width of the box that has the mean color."""
    cut = (image == torch.tensor(COLOR, dtype=torch.uint8)[:, None, None]).all(0)
    height, width = int(cut.any(1).sum()), int(cut.any(0).sum())
    assert int(cut.sum()) == height * width
    return height, width


def test_cutout_takes_a_square_whose_center_may_be_at_the_border() -> None:
    """A side of half the image is whole where the center is far from the border; a quarter of it in a corner."""
    many = IMAGES[:1].expand(400, -1, -1, -1)
    sizes = [hole(image) for image in subject(cutout=0.5)(many, np.arange(400), 0)]
    assert max(sizes) == (8, 8)
    assert {min(sizes)[0], min(height for height, _ in sizes), min(width for _, width in sizes)} == {4}
    whole = sum(size == (8, 8) for size in sizes) / 400
    assert whole == pytest.approx((9 / 16) ** 2, abs=0.1)  # nine of sixteen centers in each direction


def test_cutout_can_be_for_some_images_only() -> None:
    many = IMAGES[:1].expand(300, -1, -1, -1)
    changed = (
        (subject(cutout=0.5, cutout_probability=0.25)(many, np.arange(300), 0) != many).flatten(1).any(1)
    )
    assert 45 < int(changed.sum()) < 105


@pytest.mark.parametrize("settings", [{"cutout": 0.4}, {"auto_augment": "trivialaugment"}])
def test_an_image_is_a_function_of_seed_epoch_and_index(settings: dict[str, Any]) -> None:
    one = subject(**settings)
    torch.manual_seed(8)
    together = one(IMAGES, INDICES, 1)
    assert torch.equal(one(IMAGES[3:], INDICES[3:], 1), together[3:])
    assert not torch.equal(one(IMAGES, INDICES, 2), together)


def test_gray_images_work() -> None:
    gray = IMAGES[:, :1]
    config = RegularizeConfig(auto_augment="randaugment", erasing=1.0)
    assert RegularizeImages(config, 0, (0.1,))(gray, INDICES, 0).shape == gray.shape


def test_no_setting_makes_no_regularizer() -> None:
    assert make_image_regularizer(RegularizeConfig(mixup=1.0), 0, MEAN) is None
