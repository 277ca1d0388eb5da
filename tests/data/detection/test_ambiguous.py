"""What annotations leave open is asked, never guessed: ids that floats do not hold, names that stand for two files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netaug.config import DetectConfig
from netaug.core.errors import DataError
from netaug.data import build_data
from netaug.data.prepared import Data
from netaug.detect.coco import coco_entries as results
from tests.data.detection.making import (
    coco_entries,
    config_for,
    make_coco,
    make_voc,
    voc_object,
    write_image,
)

IDS: dict[str, tuple[list[Any], list[Any]]] = {
    "neighbors beyond 2^53": ([2**53, 2**53 + 1], [2**53 + 5, 2**53 + 4]),
    "beyond int64": ([2**63, 2**63 + 1], [2**80, 2**80 + 1]),
    "strings": (["b/1", "a/1"], ["person", "brush"]),
    "numbers in quotes": (["0007", "7"], ["90", "1"]),
    "negative and positive": ([-1, -2], [0, 3]),
}


def build(root: Path, name: str, **changes: object) -> Data:
    settings = {"batch_size": 1, **changes}
    return build_data(config_for(root, name, **settings), seed=0, detect=DetectConfig(anchors="coco"))


def error_of(root: Path, name: str, **changes: object) -> str:
    with pytest.raises(DataError) as caught:
        build(root, name, **changes)
    return str(caught.value)


def path_of(data: Data, index: int = 0) -> Path:
    return Path(data.val.split.images.path(index))


@pytest.mark.parametrize("kind", IDS)
def test_ids_of_any_size_and_strings_stay_what_they_are(tmp_path: Path, kind: str) -> None:
    (first, second), (cat, dog) = IDS[kind]
    images = [
        {"id": number, "file_name": f"{place}.png", "width": 64, "height": 48}
        for place, number in enumerate((first, second))
    ]
    objects = [
        {"id": 1, "image_id": second, "category_id": dog, "bbox": [3, 4, 5, 6]},
        {"id": 2, "image_id": first, "category_id": cat, "bbox": [7, 8, 9, 10]},
    ]
    categories = [{"id": cat, "name": "cat"}, {"id": dog, "name": "dog"}]
    for split in ("train", "val"):
        make_coco(tmp_path, split, images, objects, categories)
    data = build(tmp_path, "coco")
    truth = data.truth
    assert truth is not None
    assert truth.boxes_M4[:, 0].tolist() == [7, 3]
    assert [data.info.class_names[label] for label in truth.labels_M] == ["cat", "dog"]
    assert truth.ids_N.tolist() == [first, second]
    rows_K7 = truth.labels_M[:, None].astype(float).repeat(7, axis=1)
    rows_K7[:, 0] = [0, 1]
    found = json.loads(json.dumps(results(rows_K7, truth.ids_N, truth.category_ids_C)))
    assert [(one["image_id"], one["category_id"]) for one in found] == [(first, cat), (second, dog)]


def test_ids_that_are_written_as_floats_are_the_same_numbers(tmp_path: Path) -> None:
    images, objects = coco_entries(["a.png", "b.png"], ids=[70, 3])
    for one in objects:
        one |= {"image_id": float(one["image_id"]), "category_id": float(one["category_id"])}
    make_coco(tmp_path, "val", images, objects)
    make_coco(tmp_path, "train", *coco_entries(["c.png"]))
    truth = build(tmp_path, "coco").truth
    assert truth is not None
    assert truth.ids_N.tolist() == [70, 3]
    assert len(truth.labels_M) == 4


@pytest.mark.parametrize(
    "folders", [("camera1", "camera2"), ("old/val", "new/val"), ("a/evaluation", "b/validation")]
)
def test_a_name_in_two_folders_is_asked_about(tmp_path: Path, folders: tuple[str, str]) -> None:
    make_coco(tmp_path, "val", *coco_entries(["0001.png"]), write=False)
    make_coco(tmp_path, "train", *coco_entries(["t.png"]))
    for number, folder in enumerate(folders):
        write_image(tmp_path / folder / "0001.png", (64, 48), number)
    text = error_of(tmp_path, "coco")
    assert "several files could be the image '0001.png'" in text
    assert all(f"{folder}/0001.png" in text for folder in folders)


@pytest.mark.parametrize(
    ("file", "others", "meant"),
    [
        ("1.png", ["val/1.png", "val_small/1.png"], "val/1.png"),
        ("1.png", ["deep/val/1.png", "val/1.png"], "val/1.png"),
        ("1.png", ["carnival/1.png", "x/val/1.png"], "x/val/1.png"),
        ("1.png", ["val/masks/1.png", "val/images/1.png"], "val/images/1.png"),
        ("a/1.png", ["x/a/1.png", "a/1.png"], "a/1.png"),
    ],
)
def test_what_tells_which_file_is_meant(tmp_path: Path, file: str, others: list[str], meant: str) -> None:
    make_coco(tmp_path, "val", *coco_entries([file]), write=False)
    make_coco(tmp_path, "train", *coco_entries(["t.png"]))
    for number, other in enumerate(others):
        write_image(tmp_path / other, (64, 48), number)
    assert path_of(build(tmp_path, "coco", cache="none")) == tmp_path / meant


def test_two_entries_of_one_file_are_listed_twice(tmp_path: Path) -> None:
    make_coco(tmp_path, "train", *coco_entries(["t.png"]))
    images, objects = coco_entries(["a/1.png", "1.png"])
    make_coco(tmp_path, "val", images, objects, write=False)
    write_image(tmp_path / "val" / "a" / "1.png", (64, 48))
    assert "are one file, 'val/a/1.png'" in error_of(tmp_path, "coco")
    assert build(tmp_path, "coco", on_error="skip").info.val_size == 1


def test_two_images_of_one_id_of_pascal_voc(tmp_path: Path) -> None:
    make_voc(tmp_path, {"train": ["a"], "val": ["b", "c"]})
    write_image(tmp_path / "JPEGImages" / "b.jpg", (48, 64))
    assert "are called 'b'.\n  got:     b.jpg, b.png" in error_of(tmp_path, "voc")
    assert build(tmp_path, "voc", on_error="skip").info.val_size == 1


@pytest.mark.parametrize(
    ("word", "difficult"),
    [("True", True), ("yes", True), ("1", True), ("False", False), ("no", False), ("0", False), ("", False)],
)
def test_difficult_in_words(tmp_path: Path, word: str, difficult: bool) -> None:
    one = voc_object("cat", (1, 1, 9, 9)).replace(">0<", f">{word}<")
    make_voc(tmp_path, {"train": ["a"], "val": ["b"]}, {"b": [one]})
    truth = build(tmp_path, "voc").truth
    assert truth is not None
    assert truth.difficult_M.tolist() == [difficult]


@pytest.mark.parametrize("word", ["Unspecified", "2", "hard"])
def test_difficult_in_other_words_is_named(tmp_path: Path, word: str) -> None:
    one = voc_object("cat", (1, 1, 9, 9)).replace(">0<", f">{word}<")
    make_voc(tmp_path, {"train": ["a"], "val": ["b"]}, {"b": [one]})
    assert f"<difficult> '{word}' is neither 0 nor 1" in error_of(tmp_path, "voc")


FRACTIONS = [[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]]


def test_boxes_in_fractions_are_not_taken_for_pixels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_coco(tmp_path / "c", "train", *coco_entries(["t.png"]))
    images, objects = coco_entries(["a.png"])
    for one, box in zip(objects, FRACTIONS, strict=True):
        one["bbox"] = box
    make_coco(tmp_path / "c", "val", images, objects)
    text = error_of(tmp_path / "c", "coco")
    assert "object 1 of" in text
    assert "in fractions of the image's sides" in text
    assert "64 x 48" in text
    build(tmp_path / "c", "coco", on_error="skip")
    assert "2 boxes in fractions of the image's sides where pixels belong" in caplog.text
    boxes = [voc_object("cat", (0.1, 0.2, 0.5, 0.75)), voc_object("cat", (5, 5, 9, 9))]
    make_voc(tmp_path / "v", {"train": ["a"], "val": ["b"]}, {"b": boxes})
    assert "in fractions of the image's sides" in error_of(tmp_path / "v", "voc")


def test_a_box_of_the_first_pixel_is_no_fraction(tmp_path: Path) -> None:
    make_coco(tmp_path / "c", "train", *coco_entries(["t.png"]))
    images, objects = coco_entries(["a.png"])
    objects[0]["bbox"] = [0, 0, 1, 1]
    make_coco(tmp_path / "c", "val", images, objects)
    make_voc(tmp_path / "v", {"train": ["a"], "val": ["b"]}, {"b": [voc_object("cat", (1, 1, 1, 1))]})
    for name in ("coco", "voc"):
        truth = build(tmp_path / name[0], name).truth
        assert truth is not None
        assert truth.boxes_M4[0].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_mark_is_no_part_of_lists_and_annotations(tmp_path: Path, encoding: str) -> None:
    make_voc(tmp_path / "v", {"train": ["my cat 0", "b"], "val": ["my cat 1"]})
    for name in ("train", "val"):
        path = tmp_path / "v" / "ImageSets" / "Main" / f"{name}.txt"
        path.write_bytes(path.read_text().replace("\n", "  1\n" if name == "val" else "\n").encode(encoding))
    assert build(tmp_path / "v", "voc").info.train_size == 2
    for split in ("train", "val"):
        path = make_coco(tmp_path / "c", split, *coco_entries(["猫.png"]))
        path.write_bytes(json.dumps(json.loads(path.read_text()), ensure_ascii=False).encode(encoding))
    assert path_of(build(tmp_path / "c", "coco", cache="none")).name == "猫.png"


def test_numbers_with_thousands_of_digits_are_no_traceback(tmp_path: Path) -> None:
    make_coco(tmp_path, "train", *coco_entries(["t.png"]))
    (tmp_path / "instances_train.json").write_text('{"images": [{"id": ' + "9" * 5000 + "}]}")
    assert "instances_train.json'" in error_of(tmp_path, "coco")
