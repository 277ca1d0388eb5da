from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from netaug.config import DetectConfig
from netaug.data import build_data
from netaug.data.prepared import Data
from netaug.detect.annotations import Annotations
from tests.data.detection.making import (
    coco_entries,
    config_for,
    make_coco,
    make_voc,
    make_yolo,
    small_voc,
    voc_object,
    write_image,
)


def build(root: Path, name: str, **changes: object) -> Data:
    return build_data(config_for(root, name, **{"batch_size": 1, **changes}), seed=0, detect=DetectConfig())


def truth(data: Data) -> Annotations:
    assert data.truth is not None
    return data.truth


def test_voc_numbers_pixels_from_one_and_counts_both_corners(tmp_path: Path):
    box = {"b": [voc_object("cat", (1, 1, 64, 48)), voc_object("dog", (3.5, 5, 3.5, 7), difficult=1)]}
    make_voc(tmp_path, {"val": ["b"], "train": ["a"]}, box)
    found = truth(build(tmp_path, "voc"))
    assert found.boxes_M4.tolist() == [[0, 0, 64, 48], [2.5, 4, 3.5, 7]]
    assert found.labels_M.tolist() == [0, 1]
    assert found.difficult_M.tolist() == [False, True]
    assert found.areas_M.tolist() == [64 * 48, 3]


def test_voc_is_trained_on_trainval_of_all_years_and_judged_on_test(tmp_path: Path):
    cat = [voc_object("cat", (1, 1, 9, 9))]
    older = {"trainval": ["1", "2"], "test": ["3"], "train": ["1"], "val": ["2"]}
    make_voc(tmp_path / "VOCdevkit" / "VOC2007", older, dict.fromkeys("123", cat))
    newer = {"trainval": ["2012_1"], "test": ["2012_2"]}
    make_voc(tmp_path / "VOCdevkit" / "VOC2012", newer, {"2012_1": cat, "2012_2": cat})
    (tmp_path / "VOCdevkit" / "VOC2012" / "Annotations" / "2012_2.xml").unlink()  # kept by the server
    data = build(tmp_path, "voc")
    assert (data.info.train_size, data.info.val_size, data.info.val_split) == (3, 1, "test")
    assert data.info.num_classes == 20
    assert data.info.class_names[7] == "cat"
    assert data.info.metric == "voc"
    other = build(tmp_path / "VOCdevkit" / "VOC2007", "voc", train_split="train", val_split="val")
    assert (other.info.train_size, other.info.val_size) == (1, 1)


def test_difficult_objects_and_crowds_are_marked_in_batches(tmp_path: Path):
    data = build(small_voc(tmp_path), "voc", augment="none")
    marks = [batch.targets.ignored_M.tolist() for batch in data.val]
    assert [mark for batch in marks for mark in batch] == truth(data).difficult_M.tolist()
    assert any(truth(data).difficult_M)


def test_coco_categories_with_holes_crowds_areas_and_images_without_objects(tmp_path: Path):
    images, objects = coco_entries(["p.png", "q.png", "r.png"], ids=[70, 3, 9])
    objects = [one for one in objects if one["image_id"] != 3]
    objects[0] |= {"iscrowd": 1, "area": 12.5, "segmentation": {"counts": [1, 2], "size": [48, 64]}}
    del objects[1]["area"]
    categories = [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}]
    make_coco(tmp_path, "val", images, objects, categories)
    make_coco(tmp_path, "train", *coco_entries(["a.png"], ids=[1]), categories)
    data = build(tmp_path, "coco")
    found = truth(data)
    assert data.info.class_names == ("person", "toothbrush")
    assert found.category_ids_C.tolist() == [1, 90]
    assert found.ids_N.tolist() == [70, 3, 9]
    assert np.diff(found.starts_N1).tolist() == [2, 0, 2]
    assert found.crowd_M.tolist() == [True, False, False, False]
    x, y, width, height = objects[1]["bbox"]
    assert found.areas_M[:2].tolist() == [12.5, width * height]
    assert found.boxes_M4[1].tolist() == [x, y, x + width, y + height]
    assert [len(batch.targets.labels_M) for batch in data.val] == [2, 2]  # of two images, of one
    assert data.info.metric == "coco"


def test_coco_in_its_own_folders_and_in_roboflows(tmp_path: Path):
    for split in ("train", "valid"):
        make_coco(tmp_path / "r", split, *coco_entries(["0.png"]), place=f"{split}/_annotations.coco.json")
    for split in ("train2017", "val2017"):
        make_coco(
            tmp_path / "c", split, *coco_entries(["0.png"]), place=f"annotations/instances_{split}.json"
        )
    for root, folders in (("r", ["train", "valid"]), ("c", ["train2017", "val2017"])):
        data = build(tmp_path / root, "coco", cache="none")
        loaders = (data.train, data.val)
        paths = [loader._batches._loader.dataset.split.images.path(0) for loader in loaders]
        assert [Path(path).parent.name for path in paths] == folders


def test_yolo_labels_are_shares_of_the_images_sides(tmp_path: Path):
    labels = {
        "val/0": "1 0.5 0.5 0.25 0.5\n\n0 0 0 0.5 0 0.5 0.25\n",
        "val/1": None,
        "train/0": "0 .5 .5 .5 .5\n",
    }
    make_yolo(tmp_path, labels)
    data = build(tmp_path, "yolo")
    found = truth(data)
    assert data.info.class_names == ("cat", "dog")
    width, height = found.sizes_N2[0].tolist()
    expected = [
        [0.375 * width, 0.25 * height, 0.625 * width, 0.75 * height],
        [0, 0, 0.5 * width, 0.25 * height],
    ]
    assert found.boxes_M4.tolist() == expected
    assert found.labels_M.tolist() == [1, 0]
    assert len(found) == 2  # the image without a label file is one without objects


def test_the_same_objects_in_three_formats_are_the_same_batches(tmp_path: Path):
    voc = small_voc(tmp_path / "voc")
    data = build(voc, "voc", cache="none")
    for split in ("train", "val"):
        ids = (voc / "ImageSets" / "Main" / f"{split}.txt").read_text().split()
        loader = data.train if split == "train" else data.val
        own = loader._batches._loader.dataset.split.annotations
        images, objects, labels = [], [], {}
        for row, (one, (width, height)) in enumerate(zip(ids, own.sizes_N2.tolist(), strict=True)):
            images.append({"id": row, "file_name": f"{one}.png", "width": width, "height": height})
            lines = []
            for m in range(own.of(row).start, own.of(row).stop):
                left, top, right, bottom = own.boxes_M4[m].tolist()
                label = int(own.labels_M[m])
                objects.append(
                    {
                        "id": m,
                        "image_id": row,
                        "category_id": 5 + label,
                        "bbox": [left, top, right - left, bottom - top],
                    }
                )
                middle = ((left + right) / 2 / width, (top + bottom) / 2 / height)
                lines.append(
                    f"{label} {middle[0]} {middle[1]} {(right - left) / width} {(bottom - top) / height}"
                )
            labels[f"{split}/{one}"] = "\n".join(lines)
        categories = [{"id": 5, "name": "cat"}, {"id": 6, "name": "dog"}]
        make_coco(tmp_path / "coco", split, images, objects, categories, write=False)
        make_yolo(tmp_path / "yolo", labels, write=False)
        for kind, folder in (("coco", split), ("yolo", f"images/{split}")):
            (tmp_path / kind / folder).mkdir(parents=True)
            for one in ids:
                content = (voc / "JPEGImages" / f"{one}.png").read_bytes()
                (tmp_path / kind / folder / f"{one}.png").write_bytes(content)
    reference = list(data.train.epoch(0))
    for kind in ("coco", "yolo"):
        other = list(build(tmp_path / kind, kind, cache="none").train.epoch(0))
        for a, b in zip(other, reference, strict=True):
            assert a.images_NCHW.equal(b.images_NCHW)
            assert np.allclose(a.targets.boxes_M4, b.targets.boxes_M4, atol=1e-3)
            assert a.targets.labels_M.equal(b.targets.labels_M)


def test_limit_holdout_and_classes(tmp_path: Path):
    root = small_voc(tmp_path)
    held = build(root, "voc", holdout=0.25, limit=3)
    assert (held.info.train_size, held.info.val_size, held.info.val_split) == (3, 2, "holdout")
    again = build(root, "voc", holdout=0.25, limit=3, cache="none")
    assert np.array_equal(truth(held).boxes_M4, truth(again).boxes_M4)
    dogs = build(root, "voc", classes=("dog",))
    assert dogs.info.class_names == ("dog",)
    assert len(truth(dogs)) == 5
    assert len(truth(dogs).labels_M) == 5
    assert set(truth(dogs).labels_M.tolist()) == {0}
    swapped = truth(build(root, "voc", classes=("dog", "cat")))
    assert (swapped.labels_M == 1 - truth(build(root, "voc")).labels_M).all()


def test_anchors_are_found_given_or_those_of_coco(tmp_path: Path):
    root = small_voc(tmp_path)
    config = config_for(root)
    found = build_data(config, seed=0, detect=DetectConfig()).info.anchors
    assert len(found) == 9
    assert (
        found == build_data(config, seed=5, detect=DetectConfig()).info.anchors
    )  # the seed changes no anchors
    coco = build_data(config, seed=0, detect=DetectConfig(anchors="coco")).info.anchors
    assert coco[0] == (10.0, 13.0)
    given = DetectConfig(anchor_sizes=tuple(map(float, range(1, 19))))
    assert build_data(config, seed=0, detect=given).info.anchors[8] == (17.0, 18.0)


@pytest.mark.parametrize("name", ["voc", "coco"])
def test_an_image_turned_by_its_camera_is_refused_if_it_is_annotated_lying(tmp_path: Path, name: str):
    from PIL import Image

    from netaug.core.errors import DataError

    if name == "voc":
        make_voc(tmp_path, {"train": ["a"], "val": ["b"]})
        file = tmp_path / "JPEGImages" / "b.png"
    else:
        for split in ("train", "val"):
            make_coco(tmp_path, split, *coco_entries([f"{split}.png"]))
        file = tmp_path / "val" / "val.png"
    with Image.open(file) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(file.with_suffix(".jpg"), exif=exif)
    file.unlink()
    if name == "coco":
        path = tmp_path / "instances_val.json"
        path.write_text(path.read_text().replace("val.png", "val.jpg"))
    with pytest.raises(DataError, match=r"does not have the size") as caught:
        build(tmp_path, name)
    assert "upright" in str(caught.value)


def test_json_of_many_objects_is_read_in_a_time_that_grows_with_them(tmp_path: Path):
    """Counted in calls of Python functions, not in seconds."""
    import sys

    from netaug.data.detection.problems import Problems
    from netaug.data.readers.coco_json import read_coco

    def calls(count: int) -> int:
        images = [{"id": n, "file_name": f"{n}.jpg", "width": 100, "height": 100} for n in range(count // 10)]
        objects = [
            {"id": n, "image_id": n // 10, "category_id": 1, "bbox": [1, 2, 3, 4]} for n in range(count)
        ]
        path = tmp_path / f"{count}.json"
        path.write_text(
            json.dumps({"images": images, "annotations": objects, "categories": [{"id": 1, "name": "a"}]})
        )
        counted = 0

        def count_one(frame: object, event: str, argument: object) -> None:
            nonlocal counted
            counted += event in ("call", "c_call")

        sys.setprofile(count_one)
        try:
            read_coco(path, Problems(skip=False))
        finally:
            sys.setprofile(None)
        return counted

    few, many = calls(1_000), calls(4_000)
    assert many < 4.5 * few


def test_a_lone_image_may_be_tiny(tmp_path: Path):
    make_voc(tmp_path, {"train": ["a"], "val": ["b"]}, {"b": [voc_object("cat", (1, 1, 1, 1))]})
    write_image(tmp_path / "JPEGImages" / "b.png", (1, 1))
    xml = tmp_path / "Annotations" / "b.xml"
    xml.write_text(
        xml.read_text()
        .replace("<width>48", "<width>1")
        .replace("<height>64", "<height>1")
        .replace("<width>64", "<width>1")
        .replace("<height>48", "<height>1")
    )
    data = build(tmp_path, "voc")
    assert next(iter(data.val)).targets.boxes_M4.tolist() == [[0, 0, 96, 96]]


def test_parts_of_an_object_are_not_objects(tmp_path: Path):
    """VOC2012 has heads and hands, with boxes of their own, inside of persons."""
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    whole = voc_object("cat", (5, 6, 20, 30))
    nested = whole.replace("<object>", f"<object>{part}")
    make_voc(tmp_path, {"train": ["a"], "val": ["b", "c"]}, {"b": [nested], "c": [whole]})
    found = truth(build(tmp_path, "voc"))
    assert found.boxes_M4.tolist() == [[4, 5, 20, 30]] * 2
    assert found.labels_M.tolist() == [0, 0]
