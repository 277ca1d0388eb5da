"""COCO's twelve numbers against pycocotools."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from netaug.detect.coco import NUMBERS, coco_entries, coco_numbers, coco_result, write_entries
from tests.detect.splits import random_split, rows, split

BOX = (10, 10, 30, 30)
OFF = (60, 60, 80, 80)


def oracle(rows_K7, truth) -> COCOeval:
    """Pycocotools' evaluation; both sides written in COCO's format with the split's own ids."""
    images = [
        {"id": int(i), "width": int(w), "height": int(h)}
        for i, (w, h) in zip(truth.ids_N, truth.sizes_N2, strict=True)
    ]
    objects = []
    for image in range(len(truth)):
        for m in range(truth.of(image).start, truth.of(image).stop):
            left, top, right, bottom = map(float, truth.boxes_M4[m])
            objects.append(
                {
                    "id": m + 1,
                    "image_id": int(truth.ids_N[image]),
                    "category_id": int(truth.category_ids_C[truth.labels_M[m]]),
                    "bbox": [left, top, right - left, bottom - top],
                    "area": float(truth.areas_M[m]),
                    "iscrowd": int(truth.crowd_M[m] or truth.difficult_M[m]),
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        wanted = COCO()
        wanted.dataset = {
            "info": {},
            "images": images,
            "categories": [{"id": int(c), "name": str(c)} for c in truth.category_ids_C],
            "annotations": objects,
        }
        wanted.createIndex()
        entries = coco_entries(rows_K7, truth.ids_N, truth.category_ids_C)
        if entries:
            found = wanted.loadRes(entries)
        else:
            found = COCO()
            found.dataset = {**wanted.dataset, "annotations": []}
            found.createIndex()
        judged = COCOeval(wanted, found, "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return judged


def assert_equal(rows_K7, truth) -> dict[str, float]:
    judged, result = oracle(rows_K7, truth), coco_result(rows_K7, truth)
    expected = np.where(judged.stats < 0, np.nan, judged.stats)
    assert tuple(result.numbers) == NUMBERS
    np.testing.assert_allclose(list(result.numbers.values()), expected, atol=1e-12)
    for label in range(len(truth.category_ids_C)):
        values = judged.eval["precision"][:, :, label, 0, 2]
        mean = values[values > -1].mean() if (values > -1).any() else np.nan
        np.testing.assert_allclose(result.ap_C[label], mean, atol=1e-12)
        half = values[0][values[0] > -1].mean() if (values[0] > -1).any() else np.nan
        np.testing.assert_allclose(result.ap50_C[label], half, atol=1e-12)
    return result.numbers


@pytest.mark.parametrize("seed", range(6))
def test_equals_pycocotools_on_random_splits(seed):
    """Crowds, difficult objects, doubled predictions, equal scores, images without objects."""
    rows_K7, truth = random_split(seed, images=30, marks=("difficult", "crowd"))
    truth.areas_M[::3] *= np.float32(0.3)  # as of segmentations, which fill less than their box
    numbers = assert_equal(rows_K7, truth)
    assert 0.1 < numbers["AP50"] < 1


def test_large_objects_and_more_than_a_hundred_predictions_of_an_image():
    truth = split(
        [[(0, (0, 0, 300, 300)), (1, (10, 10, 60, 60))], [(0, (0, 0, 20, 20))]], classes=2, side=400
    )
    many = [(0, 0, 0.9 - i / 1000, (i, 0, 300 + i, 300)) for i in range(150)]
    assert_equal(rows(*many[::-1], (0, 1, 0.5, (10, 10, 60, 64)), (1, 0, 0.4, (0, 0, 19, 20))), truth)


def test_a_crowd_takes_any_number_of_predictions_inside_it():
    truth = split([[(0, BOX), (0, (50, 50, 100, 100), "crowd")]], classes=1)
    inside = [(0, 0, 0.9, (55 + i, 55, 65 + i, 65)) for i in range(5)]
    assert assert_equal(rows(*inside, (0, 0, 0.3, BOX)), truth)["AP"] == pytest.approx(1.0)


def test_equal_scores_follow_the_rows():
    truth = split([[(0, BOX)], [(0, BOX)]], classes=1)
    first = assert_equal(rows((0, 0, 0.5, BOX), (0, 0, 0.5, OFF), (1, 0, 0.5, BOX)), truth)
    last = assert_equal(rows((0, 0, 0.5, OFF), (0, 0, 0.5, BOX), (1, 0, 0.5, BOX)), truth)
    assert first["AP"] > last["AP"]


def test_no_predictions_find_nothing():
    numbers = assert_equal(np.zeros((0, 7)), split([[(0, BOX)], []], classes=2))
    assert numbers["AP"] == numbers["AR100"] == 0.0
    assert np.isnan(numbers["APl"])


@pytest.mark.parametrize("objects", [[[], []], [[(0, BOX, "crowd")], []]], ids=["none", "a crowd only"])
def test_no_objects_give_no_numbers(objects):
    assert np.isnan(list(assert_equal(rows((0, 0, 0.9, BOX)), split(objects, classes=1)).values())).all()


def test_no_images_give_no_numbers():
    assert np.isnan(list(coco_numbers(np.zeros((0, 7)), split([], classes=2)).values())).all()


def test_results_are_written_with_the_ids_of_the_file(tmp_path):
    truth = split([[], [(1, BOX)]], classes=2)
    entries = coco_entries(rows((1, 1, 0.25, (1, 2, 11, 22))), truth.ids_N, truth.category_ids_C)
    write_entries(entries, tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text()) == [
        {"image_id": 10, "category_id": 7, "bbox": [1.0, 2.0, 10.0, 20.0], "score": 0.25}
    ]
    write_entries([], tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text()) == []
