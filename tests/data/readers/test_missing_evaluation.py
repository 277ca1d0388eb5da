"""Training images are held out only where no other images could be for evaluation."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from netaug.api.default_settings import derive_settings
from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data.readers.table import load_table
from netaug.data.recognize import recognized_words
from tests.data.detection.making import small_voc
from tests.data.layout_kit import picture
from tests.data.shards import write_shard


def _table_column(root: Path, other: bool) -> str:
    for name in ("a", "b", "c", "d"):
        picture(root / f"{name}.jpg")
    rows = ["path,label,split", "a.jpg,cat,train", "b.jpg,dog,train"]
    (root / "t.csv").write_text("\n".join([*rows, *(["c.jpg,cat,dev", "d.jpg,dog,dev"] if other else [])]))
    return "--data.val_split dev"


def _table_files(root: Path, other: bool) -> str:
    for name in ("a", "b"):
        picture(root / "images" / f"{name}.jpg")
    for file in ("train.csv", "dev.csv")[: 1 + other]:
        (root / file).write_text("path,label\nimages/a.jpg,cat\nimages/b.jpg,dog\n")
    return "--data.val_split dev.csv"


def _class_folders(root: Path, other: bool) -> str:
    for split in ("train", "dev")[: 1 + other]:
        for name in ("cat", "dog"):
            picture(root / split / name / "1.jpg")
    picture(root / "notes" / "plots" / "1.jpg")  # no folder of a class
    return "rename the folder of evaluation images to val"


def _yolo(root: Path, other: bool, val: str = "") -> str:
    for split in ("train", "dev")[: 1 + other]:
        picture(root / "images" / split / "1.jpg")
        (root / "labels" / split).mkdir(parents=True)
        (root / "labels" / split / "1.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    (root / "data.yaml").write_text(f"train: images/train\n{val}names: [cat]\n")
    return "--data.val_split dev"


def _yolo_misspelled(root: Path, other: bool) -> str:
    _yolo(root, other, "val: images/devv\n" if other else "val:\n")
    return f"correct `val:` in '{root / 'data.yaml'}'"


def _voc(root: Path, other: bool) -> str:
    small_voc(root)
    for file in root.rglob("ImageSets/Main/*.txt"):
        if file.stem in ("val", "test"):
            file.rename(file.with_stem("dev_set")) if other else file.unlink()
    return "--data.val_split NAME"


def _coco(root: Path, other: bool) -> str:
    picture(root / "images" / "1.jpg")
    content = json.dumps(
        {
            "images": [{"id": 1, "file_name": "1.jpg", "width": 16, "height": 16}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}],
            "categories": [{"id": 1, "name": "cat"}],
        }
    )
    (root / "annotations").mkdir()
    for name in ("instances_train", "captions_train", "instances_dev")[: 2 + other]:
        (root / "annotations" / f"{name}.json").write_text(content)
    (root / "license.json").write_text("{}")
    return "--data.val_split FILE.json"


def _shards(root: Path, other: bool) -> str:
    image = io.BytesIO()
    Image.new("RGB", (8, 8)).save(image, "JPEG")
    for split in ("train", "dev")[: 1 + other]:
        members = [("1.jpg", image.getvalue()), ("1.cls", b"0"), ("2.jpg", image.getvalue()), ("2.cls", b"1")]
        write_shard(root / split / "0.tar", members)
    return "dev/0.tar"


def _hugging_face(root: Path, other: bool) -> str:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    rows = datasets.Dataset.from_dict(
        {"image": [Image.new("RGB", (8, 8))] * 2, "label": [0, 1]}, features=features
    )
    datasets.DatasetDict(dict.fromkeys(("train", "dev")[: 1 + other], rows)).save_to_disk(str(root))
    return "--data.val_split NAME"


_MAKERS = [
    _table_column,
    _table_files,
    _class_folders,
    _yolo,
    _yolo_misspelled,
    _voc,
    _coco,
    _shards,
    _hugging_face,
]


@pytest.mark.parametrize("make", _MAKERS)
def test_images_are_held_out_where_train_is_the_only_split(
    tmp_path: Path, make: Callable[[Path, bool], str]
) -> None:
    make(tmp_path, False)
    words, sentence = recognized_words({"data.root": str(tmp_path)})
    assert "--data.holdout=0.2" in words
    assert "no others" in sentence


@pytest.mark.parametrize("make", _MAKERS)
def test_a_split_of_another_name_is_refused_and_not_ignored(
    tmp_path: Path, make: Callable[[Path, bool], str]
) -> None:
    fix = make(tmp_path, True)
    words, _ = recognized_words({"data.root": str(tmp_path)})
    assert not any(word.startswith("--data.holdout") for word in words)
    with pytest.raises(DataError) as caught:
        derive_settings([f"--data.root={tmp_path}"])
    assert fix in str(caught.value)
    assert "--data.holdout" in str(caught.value)


def test_splits_in_a_table_that_is_called_train_count(tmp_path: Path) -> None:
    _table_column(tmp_path, other=False)
    table = (tmp_path / "t.csv").rename(tmp_path / "train.csv")
    table.write_text(f"{table.read_text()}\nc.jpg,cat,val")
    source = load_table(DataConfig(name="table", root=str(tmp_path)))
    assert (len(source.train.labels_N), source.val and len(source.val.labels_N)) == (2, 1)
