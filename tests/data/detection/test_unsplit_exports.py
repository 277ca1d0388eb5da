"""Boxes in one folder and without splits, as Label Studio, CVAT and labelImg write them in COCO's and YOLO's format."""

from __future__ import annotations

from pathlib import Path

import pytest

from netaug.api.default_settings import derive_settings
from netaug.core.errors import DataError
from netaug.data.recognize import recognize
from tests.data.detection.making import coco_entries, make_coco, small_voc, write_image

DETECTOR = "--model.name=yolov3:mobilenetv2-0.35"
FILES = [f"{number}.png" for number in range(10)]


@pytest.mark.parametrize("name", ["result.json", "annotations.json", "annotations/instances_default.json"])
def test_one_coco_file_of_any_name_is_trained_on(tmp_path: Path, name: str) -> None:
    images, objects = coco_entries(FILES)
    make_coco(tmp_path, "images", images, objects, place=name)
    (tmp_path / "notes.json").write_text('{"categories": [], "info": {}}')
    derived = derive_settings([f"--data.root={tmp_path}", DETECTOR])
    assert (derived.values["data.name"], derived.values["data.holdout"]) == ("coco", 0.2)
    assert "8 with boxes to train on, 2 classes" in derived.explanation


def test_of_two_coco_files_the_user_says_which(tmp_path: Path) -> None:
    for name in ("first.json", "second.json"):
        make_coco(tmp_path, "images", *coco_entries(FILES), place=name)
    with pytest.raises(DataError):
        derive_settings([f"--data.root={tmp_path}", DETECTOR])
    with pytest.raises(DataError, match="no file of annotations") as caught:
        derive_settings([f"--data.root={tmp_path}", "--data.name=coco", DETECTOR])
    assert "--data.train_split FILE.json" in str(caught.value.fix)


def yolo(root: Path, images: str, labels: str, classes: str | None) -> Path:
    for number, file in enumerate(FILES):
        write_image(root / images / file, (64, 48), number)
        label = root / labels / f"{number}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("1 0.5 0.5 0.4 0.4\n0 0.2 0.2 0.1 0.1\n")
    if classes is not None:
        (root / classes).write_text("cat\ndog\n")
    return root


@pytest.mark.parametrize(
    ("images", "labels", "classes"),
    [
        ("images", "labels", "classes.txt"),
        ("images", "labels", "labels/classes.txt"),
        (".", ".", "classes.txt"),
        (".", ".", "_darknet.labels"),
    ],
)
def test_yolo_labels_without_splits(tmp_path: Path, images: str, labels: str, classes: str) -> None:
    derived = derive_settings([f"--data.root={yolo(tmp_path, images, labels, classes)}", DETECTOR])
    assert (derived.values["data.name"], derived.values["data.holdout"]) == ("yolo", 0.2)
    assert "8 with boxes to train on, 2 classes" in derived.explanation


def test_splits_with_images_and_labels_side_by_side(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        yolo(tmp_path / split, ".", ".", "_darknet.labels")
    derived = derive_settings([f"--data.root={tmp_path}", DETECTOR])
    assert derived.values["data.name"] == "yolo"
    assert "data.holdout" not in derived.values
    assert "10 with boxes to train on, 2 classes" in derived.explanation


@pytest.mark.parametrize("folder", ["/content/datasets/mine/images", "C:\\\\Users\\\\me\\\\data\\\\images"])
def test_paths_of_another_machine_are_found_by_their_end(tmp_path: Path, folder: str) -> None:
    yolo(tmp_path, "images", "labels", None)
    (tmp_path / "data.yaml").write_text(f'train: "{folder}"\nnames: [cat, dog]\n')
    assert "8 with boxes to train on" in derive_settings([f"--data.root={tmp_path}", DETECTOR]).explanation


def test_images_are_not_evaluated_on_that_are_trained_on(tmp_path: Path) -> None:
    yolo(tmp_path, "images", "labels", None)
    description = tmp_path / "data.yaml"
    description.write_text("train: images\nval: images\nnames: [cat, dog]\n")
    assert derive_settings([f"--data.root={tmp_path}", DETECTOR]).values["data.holdout"] == 0.2
    with pytest.raises(DataError, match="also those of 'train'"):
        derive_settings([f"--data.root={tmp_path}", DETECTOR, "--data.holdout=0"])
    (tmp_path / "val.txt").write_text("images/0.png\nimages/1.png\n")
    description.write_text("train: images\nval: val.txt\nnames: [cat, dog]\n")
    with pytest.raises(DataError, match="also those of 'train'") as caught:
        derive_settings([f"--data.root={tmp_path}", DETECTOR])
    assert "2 of the 2 images" in str(caught.value.got)


def test_yolo_labels_need_names_of_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="are not named") as caught:
        derive_settings([f"--data.root={yolo(tmp_path, 'images', 'labels', None)}", DETECTOR])
    assert "--data.class_names FILE" in str(caught.value.fix)


def test_captions_beside_images_are_no_labels(tmp_path: Path) -> None:
    for number, file in enumerate(FILES):
        write_image(tmp_path / file, (64, 48), number)
        (tmp_path / f"{number}.txt").write_text("2 cats on a mat, photographed in 1 of 4 rooms")
    with pytest.raises(DataError, match="no dataset that is known"):
        recognize(tmp_path)


def test_xml_in_a_folder_called_labels_is_pascal_vocs(tmp_path: Path) -> None:
    root = small_voc(tmp_path)
    (root / "JPEGImages").rename(root / "images")
    (root / "Annotations").rename(root / "labels")
    assert recognize(root).name == "voc"
