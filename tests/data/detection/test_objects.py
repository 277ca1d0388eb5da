"""A split without objects that count is said before training, whatever led to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from netaug.cli import main
from tests.data.detection.making import coco_entries, make_coco, make_voc, make_yolo, voc_object

CAT, HARD = voc_object("cat", (1, 1, 20, 20)), voc_object("cat", (1, 1, 20, 20), difficult=1)


def train(root: Path, name: str, out: Path, *more: str) -> int:
    settings = [
        *("--data.name", name, "--data.root", str(root), "--data.image_size", "96", "--data.batch_size", "2"),
        *("--detect.anchors", "coco", "--detect.sizes", "[]", "--out", str(out)),
    ]
    return main(["train", "demo/bccd", *settings, "--train.epochs", "1", "--train.warmup_epochs", "0", *more])


@pytest.mark.parametrize(
    ("bare", "objects", "got"),
    [
        ("evaluation", {"c": []}, "no objects in 1 images"),
        ("evaluation", {"c": [HARD, HARD]}, "2 objects, all difficult or crowds"),
        ("training", {"a": [], "b": []}, "no objects in 2 images"),
        ("training", {"a": [HARD], "b": [HARD]}, "2 objects, all difficult or crowds"),
    ],
)
def test_pascal_voc(
    tmp_path: Path, bare: str, objects: dict[str, list[str]], got: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {one: [CAT] for one in "abc"} | objects
    root = make_voc(tmp_path / "data", {"train": ["a", "b"], "val": ["c"]}, own)
    assert train(root, "voc", tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert f"{bare} images has an object that counts" in said
    assert got in said
    assert not (tmp_path / "run").exists()
    assert main(["data", "check", "voc", "--data.root", str(root)]) == 1
    assert "no object counts" in capsys.readouterr().out or "no objects" in got


def test_classes_that_no_evaluation_image_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_coco(tmp_path, "train", *coco_entries(["a.png", "b.png"]))
    images, objects = coco_entries(["c.png"])
    make_coco(tmp_path, "val", images, [one for one in objects if one["category_id"] == 1])
    assert train(tmp_path, "coco", tmp_path / "run", "--data.classes", "toothbrush") == 2
    assert "none of the 1 evaluation images" in capsys.readouterr().err


def test_empty_label_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "0 .5 .5 .5 .5\n"
    make_yolo(tmp_path, {"train/0": line, "train/1": line, "val/0": "", "val/1": "\n"})
    assert train(tmp_path, "yolo", tmp_path / "run") == 2
    assert "--data.holdout 0.2" in capsys.readouterr().err
