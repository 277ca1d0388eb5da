from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from netaug.core.seeding import generator, key, uniforms
from netaug.data.transforms.small import Fit, SmallAugment


def random_images(count: int, chans: int, height: int, width: int) -> Tensor:
    shape = (count, chans, height, width)
    return torch.randint(0, 256, shape, generator=generator(0, "images"), dtype=torch.uint8)


def slow_small(image_CHW: Tensor, index: int, *, seed: int, epoch: int, pad: int, flip: bool) -> Tensor:
    """Pixel by pixel: where does each pixel of the crop of the padded image come from."""
    down, right, mirror = uniforms(key(seed, "augment", epoch), np.array([index]), 3)[0]
    top, left = int(down * (2 * pad + 1)) - pad, int(right * (2 * pad + 1)) - pad
    chans, height, width = image_CHW.shape
    out = torch.zeros_like(image_CHW)
    for c in range(chans):
        for y in range(height):
            for x in range(width):
                column = width - 1 - x if flip and mirror < 0.5 else x
                source_y, source_x = y + top, column + left
                if 0 <= source_y < height and 0 <= source_x < width:
                    out[c, y, x] = image_CHW[c, source_y, source_x]
    return out


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize(("pad", "chans"), [(0, 1), (1, 3), (3, 1)])
def test_small_augmentation_equals_the_slow_reference(pad: int, chans: int, flip: bool):
    images_NCHW, indices_N = random_images(12, chans, 5, 6), np.arange(100, 112)
    fast = SmallAugment(7, pad, flip)(images_NCHW, indices_N, 2)
    slow = [
        slow_small(image, int(index), seed=7, epoch=2, pad=pad, flip=flip)
        for image, index in zip(images_NCHW, indices_N, strict=True)
    ]
    assert torch.equal(fast, torch.stack(slow))
    assert (pad == 0 and not flip) == torch.equal(fast, images_NCHW)


def test_small_augmentation_reaches_every_offset_and_mirror():
    pad = 1
    image = random_images(1, 1, 4, 4)
    many = image.expand(2000, -1, -1, -1).contiguous()
    out = SmallAugment(0, pad, True)(many, np.arange(2000), 0)
    assert len(torch.unique(out.flatten(1), dim=0)) == 2 * (2 * pad + 1) ** 2


def test_small_augmentation_depends_on_seed_epoch_and_index_not_on_neighbors():
    images_NCHW, indices_N = random_images(16, 3, 8, 8), np.arange(16)
    augment = SmallAugment(0, 2, True)
    together = augment(images_NCHW, indices_N, 1)
    picked = np.array([9, 3, 12])
    assert torch.equal(augment(images_NCHW[picked], picked, 1), together[picked])
    assert not torch.equal(augment(images_NCHW, indices_N, 2), together)
    assert not torch.equal(augment(images_NCHW, indices_N + 1, 1), together)
    assert not torch.equal(SmallAugment(1, 2, True)(images_NCHW, indices_N, 1), together)


def test_fit_crops_the_center_of_the_resized_image():
    image_CHW = random_images(1, 3, 40, 60)[0]
    resized = v2.functional.resize(image_CHW, [16, 24], antialias=True)  # ceil(14 / 0.875) = 16
    assert torch.equal(Fit(14, 0.875)(image_CHW), resized[:, 1:15, 5:19])


def test_fit_without_crop_scales_the_whole_image():
    image_CHW = random_images(1, 3, 6, 9)[0]
    assert torch.equal(Fit(4)(image_CHW), v2.functional.resize(image_CHW, [4, 4], antialias=True))
    square = random_images(1, 3, 4, 4)[0]
    assert torch.equal(Fit(4)(square), square)
