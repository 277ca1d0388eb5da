"""Maps are decoded as the formula says, and boxes encoded and decoded come back."""

import pytest
import torch

from netaug.core.errors import ShapeError
from netaug.detect.anchors import COCO_ANCHORS
from netaug.detect.codec import decode, encode, map_shapes
from tests.detect import reference


def test_decoding_equals_a_loop_over_cells():
    maps = reference.random_maps(2, 64, seed=0)
    decoded = decode(maps, COCO_ANCHORS)
    for image, predictions in enumerate(reference.decode(maps, COCO_ANCHORS)):
        boxes, objectness, classes = (
            torch.tensor(one, dtype=torch.float64) for one in zip(*predictions, strict=True)
        )
        assert torch.allclose(decoded.boxes_NP4[image], boxes, rtol=0, atol=1e-9)
        assert torch.equal(decoded.objectness_NP[image], objectness)
        assert torch.equal(decoded.logits_NPC[image], classes)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160)])
def test_boxes_come_back(height, width):
    shapes = [(height // stride, width // stride) for stride in reference.STRIDES]
    places = reference.slots(COCO_ANCHORS, shapes)
    random = torch.Generator().manual_seed(0)
    slots = torch.randperm(len(places), generator=random)[:60]
    inside = torch.rand(60, 2, generator=random, dtype=torch.float64) * 0.98 + 0.01
    strides = torch.tensor([reference.STRIDES[places[slot][0]] for slot in slots.tolist()])
    cells = torch.tensor([[places[slot][3], places[slot][2]] for slot in slots.tolist()])
    centres = (cells + inside) * strides[:, None]
    halves = torch.rand(60, 2, generator=random, dtype=torch.float64) * 50 + 1
    boxes = torch.cat([centres - halves, centres + halves], 1)
    maps = [torch.zeros(1, 3 * 6, *shape, dtype=torch.float64) for shape in shapes]
    numbers = encode(boxes, slots, COCO_ANCHORS, shapes)
    for slot, said in zip(slots.tolist(), numbers, strict=True):
        scale, anchor, row, column = places[slot]
        maps[scale][0, 6 * (anchor % 3) : 6 * (anchor % 3) + 4, row, column] = said
    assert map_shapes(maps) == shapes
    assert torch.allclose(decode(maps, COCO_ANCHORS).boxes_NP4[0, slots], boxes, rtol=0, atol=1e-9)


def test_half_precision_maps_are_decoded_in_single():
    maps = [one.to(torch.bfloat16) for one in reference.random_maps(1, 64, seed=1)]
    decoded = decode(maps, COCO_ANCHORS)
    exact = decode([one.double() for one in maps], COCO_ANCHORS)
    assert decoded.boxes_NP4.dtype == decoded.objectness_NP.dtype == torch.float32
    assert torch.allclose(decoded.boxes_NP4.double(), exact.boxes_NP4, rtol=1e-5, atol=1e-3)


def test_a_huge_size_stays_finite_with_a_finite_gradient():
    maps = [torch.full_like(one, 1e4).requires_grad_() for one in reference.random_maps(1, 32, seed=2)]
    boxes = decode(maps, COCO_ANCHORS).boxes_NP4
    boxes.sum().backward()
    assert boxes.isfinite().all()
    assert all(one.grad.isfinite().all() for one in maps)


@pytest.mark.parametrize("wrong", ["two", "channels", "strides", "images"])
def test_what_are_no_maps_is_refused_with_its_shapes(wrong):
    maps = reference.random_maps(2, 64, seed=3)
    if wrong == "two":
        maps = maps[:2]
    elif wrong == "channels":
        maps = [one[:, :23] for one in maps]
    elif wrong == "strides":
        maps = maps[::-1]
    else:
        maps[1] = maps[1][:1]
    with pytest.raises(ShapeError, match="maps of a detector") as caught:
        decode(maps, COCO_ANCHORS)
    assert str(tuple(maps[0].shape)) in caught.value.got


def test_another_number_of_anchors_is_refused():
    with pytest.raises(ShapeError, match="nine anchors"):
        decode(reference.random_maps(1, 32, seed=0), COCO_ANCHORS[:6])
