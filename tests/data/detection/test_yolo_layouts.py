"""What YOLO's folders and description say is taken at their word; what would turn images into negatives is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from netaug.config import DetectConfig
from netaug.core.errors import DataError
from netaug.data import build_data
from netaug.data.prepared import Data
from tests.data.detection.making import config_for, make_yolo, write_image

BOX = "0 .5 .5 .4 .4\n"
TWO = {"train/0": BOX, "val/0": BOX, "val/1": BOX}


def build(root: Path, **changes: object) -> Data:
    config = config_for(root, "yolo", **{"batch_size": 1, **changes})
    return build_data(config, seed=0, detect=DetectConfig(anchors="coco"))


def error_of(root: Path, **changes: object) -> str:
    with pytest.raises(DataError) as caught:
        build(root, **changes)
    return str(caught.value)


def describe(root: Path, text: str, *, encoding: str = "utf-8") -> Path:
    (root / "data.yaml").write_bytes(f"train: images/train\nval: images/val\n{text}\n".encode(encoding))
    return root


def boxes(data: Data) -> list[list[float]]:
    assert data.truth is not None
    return data.truth.boxes_M4.tolist()


@pytest.mark.parametrize(
    ("moved", "to", "folder"),
    [
        ("labels/val", "labels/valid", "labels/valid"),
        ("labels/val", "annotations/val", "annotations/val"),
        ("labels/val", "Labels/val", "Labels/val"),
    ],
)
def test_labels_in_another_folder_are_found_and_named(
    tmp_path: Path, moved: str, to: str, folder: str
) -> None:
    make_yolo(tmp_path, TWO)
    (tmp_path / to).parent.mkdir(exist_ok=True)
    (tmp_path / moved).rename(tmp_path / to)
    for on_error in ("raise", "skip"):
        text = error_of(tmp_path, on_error=on_error)
        assert "none of the 2 images of 'val'" in text
        assert f"'{folder}' has those of 2" in text
        assert f"move the label files from '{folder}' to 'labels/val'" in text


def test_labels_beside_the_images_are_found_and_named(tmp_path: Path) -> None:
    make_yolo(tmp_path, TWO)
    for path in list((tmp_path / "labels" / "val").iterdir()):
        path.rename(tmp_path / "images" / "val" / path.name)
    assert "'images/val' has those of 2" in error_of(tmp_path)


def test_a_split_without_any_label_file_is_no_split_of_negatives(tmp_path: Path) -> None:
    make_yolo(tmp_path, {**TWO, "val/0": None, "val/1": None})
    assert "none below data.root" in error_of(tmp_path)


@pytest.mark.parametrize("other", ["1.TXT", "1.png.txt", "1.Txt"])
def test_label_files_of_other_names_are_named(tmp_path: Path, other: str) -> None:
    make_yolo(tmp_path, TWO)
    (tmp_path / "labels" / "val" / "1.txt").rename(tmp_path / "labels" / "val" / other)
    text = error_of(tmp_path)
    assert "images/val/1.png" in text
    assert f"labels/val/{other}" in text
    assert build(tmp_path, on_error="skip").info.val_size == 1


def test_backgrounds_without_label_files_are_kept_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_yolo(tmp_path, {**TWO, "val/background/1": None, "val/2": None})
    assert build(tmp_path).info.val_size == 4
    assert "2 of the 4 images of 'val' have no label file" in caplog.text


def test_two_images_cannot_share_their_labels(tmp_path: Path) -> None:
    make_yolo(tmp_path, TWO)
    write_image(tmp_path / "images" / "val" / "1.jpg", (48, 64))
    assert "have one label file" in error_of(tmp_path)


POSE = "0 .5 .5 .4 .4 .4 .4 2 .6 .6 1\n"  # two keypoints of three numbers
FLAT = "0 .5 .5 .4 .4 .4 .4 .6 .6\n"


def test_keypoints_are_told_by_the_description(tmp_path: Path) -> None:
    for name, shape, line in (("p", "[2, 3]", POSE), ("f", "[2, 2]", FLAT)):
        root = describe(
            make_yolo(tmp_path / name, {**TWO, "val/0": line}), f"names: [cat]\nkpt_shape: {shape}"
        )
        width, height = 48, 64
        assert boxes(build(root))[0] == pytest.approx([0.3 * width, 0.3 * height, 0.7 * width, 0.7 * height])
    text = error_of(describe(tmp_path / "p", "names: [cat]\nkpt_shape: [17, 3]"))
    assert "line 1 of" in text
    assert "17 keypoints of 3 numbers" in text
    assert "kpt_shape: 5" in error_of(describe(tmp_path / "p", "names: [cat]\nkpt_shape: 5"))


def test_keypoints_without_description_are_not_taken_for_polygons(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_yolo(tmp_path / "p", {**TWO, "val/0": POSE})
    text = error_of(tmp_path / "p")
    assert "the labels are keypoints" in text
    assert "kpt_shape: [2, 3]" in text
    make_yolo(tmp_path / "f", {**TWO, "val/0": FLAT})
    build(tmp_path / "f")
    assert "kpt_shape: [2, 2]" in caplog.text


def test_polygons_and_turned_boxes_stay_polygons(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    polygons = "0 .1 .1 .5 .1 .5 .5\n0 .2 .2 .4 .2 .4 .4 .3 .6 .2 .4\n1 .1 .2 .3 .1 .4 .4 .2 .4\n"
    make_yolo(tmp_path, {**TWO, "val/0": polygons})
    assert boxes(build(tmp_path))[1] == pytest.approx([0.2 * 48, 0.2 * 64, 0.4 * 48, 0.6 * 64])
    assert "kpt_shape" not in caplog.text


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("[yes, no]", ("yes", "no")),
        ("{0: on, 1: off}", ("on", "off")),
        ("[007, 1_000]", ("007", "1_000")),
        ("[12:30, 2020-01-01]", ("12:30", "2020-01-01")),
        ("[null, ~]", ("null", "~")),
        ("['True', 1.50]", ("True", "1.50")),
    ],
)
def test_names_are_those_that_are_written(tmp_path: Path, names: str, expected: tuple[str, ...]) -> None:
    root = describe(make_yolo(tmp_path, TWO), f"names: {names}\nnc: 2\ntest:")
    assert build(root).info.class_names == expected


WRONG = {
    "nc: 3\nnames: [cat, dog]": "nc: 3, and 2 names",
    "nc: two\nnames: [cat, dog]": "nc: two",
    "names: [cat, cat]": "are not named",
    "names: {0: cat, 2: dog}": "are not named",
    "names: {0: cat, 0: dog}": "the key '0' is there twice",
    "names: [[cat]]": "are not named",
    "names: [cat": "is not a YAML",
}


@pytest.mark.parametrize("text", WRONG)
def test_descriptions_that_contradict_themselves(tmp_path: Path, text: str) -> None:
    assert WRONG[text] in error_of(describe(make_yolo(tmp_path, TWO), text))


def test_several_descriptions_are_asked_about(tmp_path: Path) -> None:
    make_yolo(tmp_path, TWO)
    content = (tmp_path / "data.yaml").read_text()
    (tmp_path / "data.yaml").unlink()
    for name in ("a.yaml", "b.yml"):
        (tmp_path / name).write_text(content)
    assert "a.yaml, b.yml" in error_of(tmp_path)
    (tmp_path / "b.yml").write_text("epochs: 3\n")
    assert build(tmp_path).info.num_classes == 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_mark_is_no_part_of_labels_lists_and_descriptions(tmp_path: Path, encoding: str) -> None:
    make_yolo(tmp_path, {**TWO, "val/猫 1": BOX})
    describe(tmp_path, "names: [猫]", encoding=encoding)
    (tmp_path / "labels" / "val" / "0.txt").write_bytes(BOX.encode(encoding))
    (tmp_path / "val.txt").write_bytes("./images/val/0.png\n./images/val/猫 1.png\n".encode(encoding))
    text = (tmp_path / "data.yaml").read_bytes().decode(encoding).replace("images/val", "val.txt")
    (tmp_path / "data.yaml").write_bytes(text.encode(encoding))
    data = build(tmp_path)
    assert data.info.class_names == ("猫",)
    assert len(boxes(data)) == 2


def test_a_listed_image_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    make_yolo(tmp_path, TWO)
    (tmp_path / "val.txt").write_text("images/val/0.png\nimages/val/gone.png\n")
    (tmp_path / "data.yaml").write_text("train: images/train\nval: val.txt\nnames: [cat, dog]\n")
    text = error_of(tmp_path)
    assert "there is no image" in text
    assert "gone.png" in text
    assert "decode" not in text.splitlines()[0]
    assert build(tmp_path, on_error="skip").info.val_size == 1
