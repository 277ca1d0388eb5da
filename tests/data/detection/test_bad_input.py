"""What is wrong with annotations is named with its file and object, or repaired and counted when that is asked for."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netaug.config import DetectConfig
from netaug.core.errors import ConfigError, DataError
from netaug.data import build_data
from netaug.data.prepared import Data
from netaug.data.readers.voc_xml import read_voc
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


def error_of(root: Path, name: str, **changes: object) -> str:
    with pytest.raises(DataError) as caught:
        build(root, name, **changes)
    return str(caught.value)


def skipped(root: Path, name: str, caplog: pytest.LogCaptureFixture) -> tuple[Data, str]:
    """The dataset without what is wrong, and what was said of it."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, "netaug"):
        data = build(root, name, on_error="skip")
    return data, caplog.text


def boxes(data: Data) -> list[list[float]]:
    assert data.truth is not None
    return data.truth.boxes_M4.tolist()


GOOD = (5, 5, 20, 20)
LEFT = [4.0, 4.0, 20.0, 20.0]

BAD_BOXES = {  # an image of 48 x 64 pixels
    "nan": (("nan", 2, 9, 9), "has a non-finite number", []),
    "infinite": ((2, 2, "inf", 9), "has a non-finite number", []),
    "swapped": ((30, 9, 10, 3), "swapped corners", [[9.0, 2.0, 30.0, 9.0]]),
    "outside": ((60, 2, 90, 9), "lies outside of its image", []),
    "beyond": ((30, 2, 90, 9), "reaches beyond its image", [[29.0, 1.0, 48.0, 9.0]]),
}


@pytest.mark.parametrize("kind", BAD_BOXES)
def test_bad_boxes(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture):
    box, message, kept = BAD_BOXES[kind]
    objects = [voc_object("cat", GOOD), voc_object("cat", box)]
    make_voc(tmp_path, {"train": ["a"], "val": ["b"]}, {"b": objects})
    text = error_of(tmp_path, "voc")
    assert message in text
    assert f"object 2 of '{tmp_path / 'Annotations' / 'b.xml'}'" in text
    assert "--data.on_error skip" in text
    data, said = skipped(tmp_path, "voc", caplog)
    assert boxes(data) == [LEFT, *kept]
    assert "1 boxes" in said
    assert "object 2 of" in said


@pytest.mark.parametrize("size", [(0, 9), (9, 0), (-3, 9)])
def test_boxes_without_size(tmp_path: Path, size: tuple[int, int], caplog: pytest.LogCaptureFixture):
    images, objects = coco_entries(["a.png"])
    objects[1]["bbox"] = [4, 4, *size]
    make_coco(tmp_path, "val", images, objects)
    make_coco(tmp_path, "train", *coco_entries(["a.png"]))
    text = error_of(tmp_path, "coco")
    assert "has no size" in text
    assert f"object 2 of '{tmp_path / 'instances_val.json'}' (image 'a.png')" in text
    data, said = skipped(tmp_path, "coco", caplog)
    assert len(boxes(data)) == 1
    assert "1 boxes of zero or negative size, left out" in said


def test_a_pixel_beyond_the_edge_is_no_mistake(tmp_path: Path):
    make_voc(tmp_path, {"train": ["a"], "val": ["b"]}, {"b": [voc_object("cat", (0, 0, 49, 65))]})
    data = build(tmp_path, "voc")
    assert boxes(data) == [[-1, -1, 49, 65]]  # as it stands: evaluation compares with what is annotated
    batch = next(iter(data.val))
    left, _, right, _ = batch.targets.boxes_M4[0].tolist()
    assert (left, right) == (12, 84)  # but nothing is taught beyond the image


def test_images_without_objects_are_kept_as_negatives(tmp_path: Path):
    make_voc(tmp_path, {"train": ["a", "n"], "val": ["b", "c"]}, {"n": [], "c": []})
    data = build(tmp_path, "voc", batch_size=2)
    assert (data.info.train_size, data.info.val_size) == (2, 2)
    assert next(iter(data.val)).targets.counts_N.tolist() == [2, 0]
    empty = make_voc(
        tmp_path / "none", {"train": ["a"], "val": ["b"]}, {"a": [], "b": [voc_object("cat", GOOD)]}
    )
    assert "0 boxes" in error_of(empty, "voc")
    coco = build_data(config_for(empty, batch_size=1), seed=0, detect=DetectConfig(anchors="coco"))
    assert len(next(iter(coco.train.epoch(0))).targets.labels_M) == 0


CocoChange = Callable[[list[Any], list[Any]], None]
BAD_JSON: dict[str, tuple[CocoChange, list[str], int, int]] = {
    "unknown category": (
        lambda images, objects: objects[1].update(category_id=2),
        ["object 2 of", "category_id 2"],
        2,
        3,
    ),
    "unknown image": (
        lambda images, objects: objects[1].update(image_id=44),
        ["object 2 of", "image_id 44"],
        2,
        3,
    ),
    "duplicate image id": (
        lambda images, objects: images.append({**images[0], "file_name": "again.png"}),
        ["two images with id 0", "again.png"],
        2,
        4,
    ),
    "missing image": (
        lambda images, objects: images.append({**images[0], "id": 8, "file_name": "lost.png"}),
        ["'lost.png' is not on disk", "image 8 of"],
        2,
        4,
    ),
    "no bbox": (lambda images, objects: objects[2].pop("bbox"), ["object 2 of", "counted from 0"], 2, 3),
    "short bbox": (lambda images, objects: objects[0].update(bbox=[1, 2, 3]), ["object 0 of"], 2, 3),
    "bbox of words": (lambda images, objects: objects[0].update(bbox=["a", 2, 3, 4]), ["object 0 of"], 2, 3),
    "category as name": (
        lambda images, objects: objects[0].update(category_id="person"),
        ["object 1 of", 'category_id "person"'],
        2,
        3,
    ),
    "half a category": (lambda images, objects: objects[0].update(category_id=1.5), ["object 0 of"], 2, 3),
    "image as list": (lambda images, objects: objects[0].update(image_id=[1]), ["object 0 of"], 2, 3),
    "yes as image": (lambda images, objects: objects[2].update(image_id=True), ["object 2 of"], 2, 3),
    "image beyond 2^53 as float": (
        lambda images, objects: objects[0].update(image_id=9.007199254740993e15),
        ["object 0 of", "below 2^53"],
        2,
        3,
    ),
}


@pytest.mark.parametrize("kind", BAD_JSON)
def test_bad_json(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture):
    change, messages, images_left, objects_left = BAD_JSON[kind]
    make_coco(tmp_path, "train", *coco_entries(["a.png", "b.png"]))
    images, objects = coco_entries(["a.png", "b.png"])
    path = make_coco(tmp_path, "val", images, objects)
    change(images, objects)
    make_coco(tmp_path, "val", images, objects, write=False)
    text = error_of(tmp_path, "coco")
    assert str(path) in text
    for message in messages:
        assert message in text
    data, said = skipped(tmp_path, "coco", caplog)
    assert (data.info.val_size, len(boxes(data))) == (images_left, objects_left)
    assert ": 1 " in said or " 1 " in said
    assert str(path) in said


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"images": []}', '{"images": 1, "annotations": [], "categories": []}']
)
def test_files_that_are_not_of_instances(tmp_path: Path, text: str):
    (tmp_path / "instances_train.json").write_text(text)
    assert "instances_train.json'" in error_of(tmp_path, "coco")


def test_categories_must_agree_and_be_listed_once(tmp_path: Path):
    entries = coco_entries(["a.png"])
    make_coco(tmp_path, "train", *entries)
    make_coco(tmp_path, "val", *entries, [{"id": 1, "name": "person"}, {"id": 90, "name": "brush"}])
    text = error_of(tmp_path, "coco")
    assert "category 90: 'brush'" in text
    make_coco(tmp_path, "train", *entries, [{"id": 1, "name": "person"}, {"id": 1, "name": "brush"}])
    assert "twice" in error_of(tmp_path, "coco")


BAD_XML = {
    "no name": (f"<object>{voc_object('x', GOOD).split('</difficult>')[1]}", "no <name>"),
    "no box": ("<object><name>cat</name></object>", "no <xmin>"),
    "no corner": (voc_object("cat", GOOD).replace("ymax", "ymax2"), "no <ymax>"),
    "no number": (voc_object("cat", ("five", 5, 9, 9)), "five"),
}


@pytest.mark.parametrize("kind", BAD_XML)
def test_xml_with_missing_fields(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture):
    bad, message = BAD_XML[kind]
    make_voc(tmp_path, {"train": ["a"], "val": ["b"]}, {"b": [voc_object("cat", GOOD), bad]})
    text = error_of(tmp_path, "voc")
    assert "object 2 of" in text
    assert "b.xml" in text
    assert message in text
    data, said = skipped(tmp_path, "voc", caplog)
    assert boxes(data) == [LEFT]
    assert "1 objects of which something is missing, left out" in said


def test_xml_without_a_size_asks_the_image(tmp_path: Path):
    make_voc(tmp_path, {"train": ["a"], "val": ["b"]})
    path = tmp_path / "Annotations" / "b.xml"
    path.write_text(path.read_text().replace("<width>48</width>", ""))
    data = build(tmp_path, "voc")
    assert data.truth is not None
    assert data.truth.sizes_N2.tolist() == [[48, 64]]


ENTITIES = {
    "external": '<!DOCTYPE a [<!ENTITY x SYSTEM "file://SECRET">]>',
    "bomb": '<!DOCTYPE a [<!ENTITY x "lol"><!ENTITY y "&x;&x;&x;&x;">]>',
    "elsewhere": '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">',
}


@pytest.mark.parametrize("kind", ENTITIES)
def test_entities_of_xml_are_never_resolved(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture):
    secret = tmp_path / "secret.txt"
    secret.write_text("cat")
    make_voc(tmp_path, {"train": ["a"], "val": ["b", "c"]}, {"b": [voc_object("&x;", GOOD)]})
    path = tmp_path / "Annotations" / "b.xml"
    path.write_text(ENTITIES[kind].replace("SECRET", str(secret)) + path.read_text())
    text = error_of(tmp_path, "voc")
    assert f"'{path}' has a document type declaration" in text
    data, said = skipped(tmp_path, "voc", caplog)
    assert data.info.val_size == 1
    assert "1 annotation files that cannot be read" in said


@pytest.mark.parametrize("text", ["", "<annotation>", "<other></other>", "not xml", "\x00\x01"])
def test_damaged_xml(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture):
    make_voc(tmp_path, {"train": ["a"], "val": ["b", "c"]})
    (tmp_path / "Annotations" / "b.xml").write_text(text)
    assert "b.xml'" in error_of(tmp_path, "voc")
    assert skipped(tmp_path, "voc", caplog)[0].info.val_size == 1


def test_no_thread_outlives_the_error_that_ends_reading(tmp_path: Path):
    """Left to the garbage collector, threads were waited for by one that held the lock they needed to end."""
    make_voc(tmp_path, {"train": ["a"], "val": ["b", "c"]})
    (tmp_path / "Annotations" / "b.xml").write_text("not xml")
    with pytest.raises(DataError) as caught:
        build(tmp_path, "voc")
    assert caught.tb is not None  # keeps the frames of the readers alive
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


def test_listed_images_that_lack_a_file_or_stand_there_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    root = small_voc(tmp_path)
    (root / "JPEGImages" / "b1.png").unlink()
    assert "there is no image" in error_of(root, "voc")
    (root / "Annotations" / "b2.xml").unlink()
    names = root / "ImageSets" / "Main" / "val.txt"
    names.write_text(names.read_text() + "b0\n")
    assert "lists 'b0' twice" in error_of(root, "voc")
    data, said = skipped(root, "voc", caplog)
    assert data.info.val_size == 3
    for text in (
        "1 images that are not on disk",
        "1 images without an annotation file",
        "1 images that are listed",
    ):
        assert text in said


BAD_LINES = {
    "class": ("5 .5 .5 .1 .1", "unknown class"),
    "negative class": ("-1 .5 .5 .1 .1", "unknown class"),
    "half a class": ("0.5 .5 .5 .1 .1", "unknown class"),
    "words": ("cat .5 .5 .1 .1", "is not an object"),
    "few": ("0 .5 .5 .1", "is not an object"),
    "pixels": ("0 20 20 9 9", "outside of its image"),
    "flat": ("0 .5 .5 .1 0", "has no size"),
    "nan": ("0 .5 nan .1 .1", "a non-finite number"),
    "nan in a polygon": ("0 .1 .1 .5 nan .5 .5", "a non-finite number"),
}


@pytest.mark.parametrize("kind", BAD_LINES)
def test_bad_lines_of_labels(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture):
    line, message = BAD_LINES[kind]
    make_yolo(tmp_path, {"train/0": "0 .5 .5 .5 .5\n", "val/0": f"1 .5 .5 .5 .5\n{line}\n"})
    text = error_of(tmp_path, "yolo")
    assert message in text
    assert f"line 2 of '{tmp_path / 'labels' / 'val' / '0.txt'}'" in text
    data, said = skipped(tmp_path, "yolo", caplog)
    assert len(boxes(data)) == 1
    assert "line 2 of" in said


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_images_that_do_not_decode_or_have_another_size(
    tmp_path: Path, cache: str, caplog: pytest.LogCaptureFixture
):
    root = small_voc(tmp_path)
    (root / "JPEGImages" / "b1.png").write_bytes(b"no image")
    write_image(root / "JPEGImages" / "b3.png", (30, 31))

    def judged(**changes: object) -> list[int]:
        data = build(root, "voc", cache=cache, **changes)
        return [index for batch in data.val for index in batch.indices_N.tolist()]

    with pytest.raises(DataError, match=r"b1.png' does not decode"):
        judged()
    with caplog.at_level(logging.WARNING, "netaug"):
        found = judged(on_error="skip")
    assert len(found) == 3
    assert "b1.png" in caplog.text
    write_image(root / "JPEGImages" / "b1.png", (96, 64))
    with pytest.raises(DataError, match=r"b\d.png' does not have the size") as caught:
        judged()
    assert "pixels" in str(caught.value)


@pytest.mark.parametrize(("side", "fix"), [(100, "96"), (250, "256"), (64, "96"), (640, "608")])
def test_a_side_that_is_no_multiple_of_32(tmp_path: Path, side: int, fix: str):
    with pytest.raises(ConfigError, match=r"data.image_size") as caught:
        build(small_voc(tmp_path), "voc", image_size=side)
    assert caught.value.fix == fix


WRONG = {
    "no side": ({"image_size": None}, "data.image_size is not set"),
    "augment": ({"augment": "imagenet"}, "--data.augment detection"),
    "shots": ({"shots": 3}, "--data.limit"),
    "class": ({"classes": ("rat",)}, "'rat'"),
    "split": ({"val_split": "evening"}, "there is no list"),
    "batch": ({"batch_size": 9}, "do not fill one batch"),
    "holdout": ({"holdout": 0.01}, "data.holdout"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_settings_that_cannot_be_honored(tmp_path: Path, kind: str):
    changes, message = WRONG[kind]
    assert message in error_of(small_voc(tmp_path), "voc", **changes)


@pytest.mark.parametrize("name", ["voc", "coco", "yolo"])
def test_a_folder_of_another_layout_is_told_what_is_expected(tmp_path: Path, name: str):
    (tmp_path / "pictures").mkdir()
    text = error_of(tmp_path, name)
    assert "pictures/" in text
    assert "ROOT/" in text


def test_several_files_of_one_split_are_a_question(tmp_path: Path):
    for year in ("2014", "2017"):
        make_coco(tmp_path, f"train{year}", *coco_entries(["a.png"]))
    make_coco(tmp_path, "val2017", *coco_entries(["a.png"]))
    assert "--data.train_split" in error_of(tmp_path, "coco")
    data = build(tmp_path, "coco", train_split="instances_train2017.json")
    assert data.info.train_size == 1
    content = json.loads((tmp_path / "instances_train2017.json").read_text())
    assert len(content["images"]) == 1


def test_where_nothing_is_left_the_first_reason_is_said(tmp_path: Path):
    make_voc(tmp_path / "v", {"train": ["a"], "val": ["b"]})
    (tmp_path / "v" / "JPEGImages" / "b.png").unlink()
    text = error_of(tmp_path / "v", "voc", on_error="skip")
    assert "none of the images of 'val'" in text
    assert "b.jpg" in text
    make_coco(tmp_path / "c", "train", *coco_entries(["a.png"]), write=False)
    assert "'a.png' is not on disk" in error_of(tmp_path / "c", "coco", on_error="skip", holdout=0.5)


@pytest.mark.parametrize("tag", ["object", "nested"])
def test_elements_in_elements_are_bounded(tmp_path: Path, tag: str):
    path = tmp_path / "deep.xml"
    path.write_text("<annotation>" + f"<{tag}>" * 50_000 + f"</{tag}>" * 50_000 + "</annotation>")
    with pytest.raises(DataError, match="within elements"):
        read_voc(str(path))
