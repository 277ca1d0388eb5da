from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from netaug.config import DetectConfig
from netaug.core.seeding import generator
from netaug.data.detection.batches import change_colors, color_matrix, seen
from netaug.data.detection.loaders import Sides
from netaug.data.transforms.detection import COUNT, BoxAugment
from netaug.data.transforms.letterbox import Placement, Region, letterbox


def noise(height: int, width: int) -> torch.Tensor:
    draws = generator(0, "noise")
    return torch.randint(40, 200, (3, height, width), generator=draws, dtype=torch.uint8)


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.2])
def test_brightness_and_saturation_are_those_of_torchvision(factor: float):
    image_CHW = noise(9, 7)
    brighter = change_colors(image_CHW, color_matrix(factor, 1.0, 0.0)).int()
    assert (brighter - v2.functional.adjust_brightness(image_CHW, factor).int()).abs().max() <= 1
    colorful = change_colors(image_CHW, color_matrix(1.0, factor, 0.0)).int()
    assert (colorful - v2.functional.adjust_saturation(image_CHW, factor).int()).abs().max() <= 1


def test_a_turn_of_hue_keeps_grays_and_the_brightness_of_colors():
    gray_CHW = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256)
    image_CHW = noise(9, 7)
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    for hue in (-0.02, 0.02, 0.1):
        matrix = color_matrix(1.0, 0.5, hue)
        assert (change_colors(gray_CHW, matrix).int() - gray_CHW.int()).abs().max() <= 1
        turned = change_colors(image_CHW, matrix)
        assert ((turned * weights).sum(0) - (image_CHW * weights).sum(0)).abs().max() < 1
        assert (turned.int() - image_CHW.int()).abs().max() > 5
    assert torch.equal(change_colors(image_CHW, color_matrix(1.0, 1.0, 1.0)), image_CHW)


def test_draws_depend_on_seed_epoch_and_image_alone():
    augment = BoxAugment(DetectConfig(), seed=3, flip=True, size=50)
    some, all_N = np.array([7, 2]), np.arange(50)
    assert augment.draws(some, 4).shape == (2, COUNT)
    assert (augment.draws(some, 4) == augment.draws(all_N, 4)[[7, 2]]).all()
    assert (augment.draws(some, 4) != augment.draws(some, 5)).all()


def test_what_is_drawn_is_what_is_set():
    config = DetectConfig(mosaic=0.25, scale=(0.5, 2.0))
    augment = BoxAugment(config, seed=0, flip=True, size=400)
    draws_ND = augment.draws(np.arange(400), 0)
    parts = [augment.parts(index, draws_ND[index], 96) for index in range(400)]
    assert 70 < sum(len(part) == 4 for part in parts) < 130
    for image in parts:
        assert sum(part.region.width * part.region.height for part in image) == 96 * 96
    alone = [image[0] for image in parts if len(image) == 1]
    assert [part.image for part in alone] == [n for n in range(400) if len(parts[n]) == 1]
    placements = [augment.placement(part, (640, 480), 96) for part in alone]
    factors = np.array([640 * one.frame((640, 480), (640, 480))[0] / 96 for one in placements])
    assert (np.abs(factors) > 0.49).all()
    assert (np.abs(factors) < 2.1).all()
    assert 0.35 < (np.abs(factors) < 1).mean() < 0.65  # as often smaller as larger
    assert 0.4 < (factors < 0).mean() < 0.6  # mirrored
    changes = np.array([augment.colors(part) for part in alone])
    assert (np.abs(changes - [1, 1, 0]) <= [config.brightness, config.saturation, config.hue]).all()
    assert (np.abs(changes - [1, 1, 0]).max(0) > 0.9 * np.array([0.3, 0.5, 0.02])).all()


def test_nothing_is_done_that_is_switched_off():
    config = DetectConfig(scale=(1.0, 1.0), brightness=0, saturation=0, hue=0)
    augment = BoxAugment(config, seed=0, flip=False, size=9)
    for index, draws in enumerate(augment.draws(np.arange(9), 0)):
        (part,) = augment.parts(index, draws, 96)
        assert augment.placement(part, (64, 48), 96) == letterbox(64, 48, 96)
        assert augment.colors(part) is None


def test_sides_are_drawn_step_by_step_alike_for_all():
    sides = Sides((96, 128, 160), seed=1)
    drawn = [sides.of(epoch, step) for epoch in range(3) for step in range(40)]
    assert set(drawn) == {96, 128, 160}
    assert min(drawn.count(side) for side in (96, 128, 160)) > 20
    assert drawn == [
        Sides((96, 128, 160), seed=1).of(epoch, step) for epoch in range(3) for step in range(40)
    ]
    assert drawn != [
        Sides((96, 128, 160), seed=2).of(epoch, step) for epoch in range(3) for step in range(40)
    ]


def test_objects_are_cut_forgotten_or_gone_by_what_is_left_of_them():
    target = Region(0, 0, 100, 100)
    frame = Placement(Region(50, 0, 150, 100), target).frame((200, 100), (200, 100))
    boxes = np.array(
        [
            [60, 10, 80, 30],  # whole
            [40, 10, 60, 30],  # half of it is left
            [20, 10, 55, 30],  # a seventh
            [20, 10, 50.5, 30],  # half a pixel
            [0, 10, 40, 30],  # outside
        ],
        np.float32,
    )
    found = seen(boxes, np.arange(5), np.zeros(5, bool), frame, target)
    assert found.boxes_M4.tolist() == [[10, 10, 30, 30], [0, 10, 10, 30], [0, 10, 5, 30]]
    assert found.labels_M.tolist() == [0, 1, 2]
    assert found.ignored_M.tolist() == [False, False, True]
    mirrored = Placement(Region(50, 0, 150, 100), target, mirrored=True).frame((200, 100), (200, 100))
    turned = seen(boxes, np.arange(5), np.zeros(5, bool), mirrored, target)
    assert turned.boxes_M4.tolist() == [[70, 10, 90, 30], [90, 10, 100, 30], [95, 10, 100, 30]]
