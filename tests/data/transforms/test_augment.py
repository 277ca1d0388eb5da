"""The training transform of large images against torchvision's functions, and what it depends on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.io import encode_jpeg
from torchvision.transforms.v2 import functional as v2

from netaug.core.seeding import generator, key, uniforms
from netaug.data.decode.image import decode_content
from netaug.data.decode.picture import Pixels, open_picture
from netaug.data.transforms.augment import DRAWS, ImagenetAugment, resized_crop, scratch_for

SIZE = 12


def augmented(augment: ImagenetAugment, image_CHW: Tensor, index: int, epoch: int) -> Tensor:
    out_CHW = torch.empty((len(image_CHW), SIZE, SIZE), dtype=torch.uint8)
    draws_D = augment.draws(np.array([index]), epoch)[0].tolist()
    augment(Pixels(image_CHW), draws_D, out_CHW, scratch_for(*out_CHW.shape))
    return out_CHW


def random_image(chans: int) -> Tensor:
    return torch.randint(0, 256, (chans, 20, 30), generator=generator(0, "images"), dtype=torch.uint8)


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("chans", [1, 3])
def test_it_is_torchvisions_functions_at_the_numbers_drawn(chans: int, flip: bool) -> None:
    image_CHW, mirrored = random_image(chans), 0
    for index in range(20):
        draws = uniforms(key(5, "augment", 3), np.array([index]), DRAWS + 4)[0]
        mirror, order, bright, saturate = draws[DRAWS:]
        top, left, height, width = resized_crop((20, 30), draws.tolist())
        expected = v2.resized_crop(image_CHW, top, left, height, width, [SIZE, SIZE], antialias=True)
        if flip and mirror < 0.5:
            expected, mirrored = v2.horizontal_flip(expected), mirrored + 1
        brightness, saturation = 1 + 32 / 255 * (2 * bright - 1), 0.5 + saturate
        for saturating in (order < 0.5, order >= 0.5):
            if saturating:
                expected = v2.adjust_saturation(expected, saturation)
            else:
                expected = v2.adjust_brightness(expected, brightness)
        found = augmented(ImagenetAugment(5, SIZE, flip), image_CHW, index, 3)
        assert (found.int() - expected.int()).abs().max() <= 3
    assert (0 < mirrored < 20) == flip


def test_it_depends_on_seed_epoch_and_index_alone() -> None:
    augment, image_CHW = ImagenetAugment(0, SIZE, True), random_image(3)
    first = augmented(augment, image_CHW, 7, 1)
    assert torch.equal(augmented(augment, image_CHW, 7, 1), first)
    assert np.array_equal(augment.draws(np.array([3, 7]), 1)[1], augment.draws(np.array([7]), 1)[0])
    for other in (augmented(augment, image_CHW, 8, 1), augmented(augment, image_CHW, 7, 2)):
        assert not torch.equal(other, first)
    assert not torch.equal(augmented(ImagenetAugment(1, SIZE, True), image_CHW, 7, 1), first)


def test_a_file_is_decoded_in_full_where_it_is_not_to_be_scaled() -> None:
    """Then its crop is that of the decoded image; scaled, a large one is not."""
    low = torch.rand(1, 3, 60, 50, generator=generator(0, "file"))
    image_CHW = (255 * torch.nn.functional.interpolate(low, (480, 400))[0]).to(torch.uint8)
    content = bytearray(encode_jpeg(image_CHW, 95).numpy().tobytes())
    decoded = Pixels(decode_content(content, "a.jpg", 3))
    for scaled in (True, False):
        augment, found = ImagenetAugment(0, SIZE, True, scaled), []
        draws_D = augment.draws(np.array([0]), 0)[0].tolist()
        for picture in (decoded, open_picture(content, "a.jpg", 3)):
            out_CHW = torch.empty((3, SIZE, SIZE), dtype=torch.uint8)
            augment(picture, draws_D, out_CHW, scratch_for(*out_CHW.shape))
            found.append(out_CHW)
        assert torch.equal(*found) != scaled
