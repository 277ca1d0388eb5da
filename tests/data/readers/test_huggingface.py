from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from PIL import Image

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data import build_data
from tests.data.reading import batches, error_of, same

CLASSES = ["cat", "dog"]
Rows = dict[str, list[Any]]


def hf(root: Path | str, **settings: object) -> DataConfig:
    return DataConfig(  # type: ignore[arg-type]
        **{"name": "hf", "root": str(root), "batch_size": 3, "image_size": 8, "cache": "none", **settings}
    )


def table(rows: Rows, label: Any = None, image: Any = None) -> Any:
    features = {name: datasets.Value("string") for name in rows}
    features |= {"image": image or datasets.Image(), "label": label or datasets.ClassLabel(names=CLASSES)}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def rows_of(root: Path, split: str) -> Rows:
    files = sorted(root.glob(f"{split}/*/*.jpg"))
    return {
        "image": [{"bytes": file.read_bytes(), "path": None} for file in files],
        "label": [CLASSES.index(file.parent.name) for file in files],
    }


def picture() -> dict[str, Any]:
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, "png")
    return {"bytes": content.getvalue(), "path": None}


@pytest.fixture
def saved(two_classes: Path, tmp_path: Path) -> Callable[..., Path]:
    """A function that saves the folder ``two_classes`` as a dataset, its splits changed by a function."""

    def save(change: Callable[[Any], Any] = lambda rows: rows, **names: str) -> Path:
        splits = {
            names.get(split, split): change(table(rows_of(two_classes, split))) for split in ("train", "val")
        }
        datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
        return tmp_path / "saved"

    return save


@pytest.mark.parametrize("workers", [0, 2])
def test_a_dataset_gives_the_batches_of_the_folder(two_classes: Path, saved, workers: int):
    config = hf(saved(), augment="imagenet", workers=workers)
    assert same(
        batches(config), batches(DataConfig(**{**vars(config), "name": "folder", "root": str(two_classes)}))
    )
    assert build_data(config, seed=0).info.class_names == ("cat", "dog")


def test_shuffled_datasets_keep_images_and_labels_together(saved):
    data = build_data(hf(saved(lambda rows: rows.shuffle(seed=1))), seed=0)
    split = data.train._batches._loader.dataset.split
    rows = datasets.load_from_disk(data_root(split.images.folder))["train"]
    for index in range(len(split)):
        assert rows[index]["label"] == split.labels_N[index]
        assert (
            bytes(split.images.content(index))
            == rows.cast_column("image", datasets.Image(decode=False))[index]["image"]["bytes"]
        )


def data_root(folder: str) -> str:
    return folder.split("'")[1]


def test_parquet_files_of_a_dataset_are_read(
    two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "repo/data").mkdir(parents=True)
    for split, name in (("train", "train"), ("val", "validation")):
        table(rows_of(two_classes, split)).to_parquet(tmp_path / f"repo/data/{name}-00000-of-00001.parquet")
    config = hf(tmp_path / "repo")
    assert same(
        batches(config), batches(DataConfig(**{**vars(config), "name": "folder", "root": str(two_classes)}))
    )


def test_the_hub_is_asked_by_name(two_classes: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def load_dataset(*arguments: Any) -> Any:
        asked.append(arguments)
        return datasets.DatasetDict({"train": table(rows_of(two_classes, "train"))})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    for root in ("hub:owner/pets", "hub:owner/pets:large"):
        assert build_data(hf(root, holdout=0.2), seed=0).info.train_size == 8
    assert asked == [("owner/pets", None), ("owner/pets", "large")]


def test_a_hub_that_does_not_answer_is_one_message(monkeypatch: pytest.MonkeyPatch):
    def load_dataset(*_: Any) -> Any:
        raise ConnectionError("no route\nand more")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert str(error_of(hf("hub:owner/pets")).got) == "ConnectionError: no route"


def test_text_labels_and_other_columns(tmp_path: Path, two_classes: Path):
    rows = rows_of(two_classes, "train")
    texts = {"image": rows["image"], "label": ["b", "a"] * 5}
    table(texts, datasets.Value("string")).rename_columns({"image": "photo", "label": "kind"}).save_to_disk(
        tmp_path / "one"
    )
    data = build_data(hf(tmp_path / "one", holdout=0.2, label_column="kind"), seed=0)
    assert (data.info.class_names, data.info.train_size) == (("a", "b"), 8)


def test_splits_are_chosen(saved):
    config = hf(saved(train="first", val="second"), train_split="second", val_split="first")
    assert build_data(config, seed=0).info.train_size == 5
    assert "'first', 'second'" in str(error_of(hf(config.root)).got)


def test_images_travel_to_workers(saved):
    images = build_data(hf(saved()), seed=0).train._batches._loader.dataset.split.images
    assert torch.equal(pickle.loads(pickle.dumps(images)).read(2), images.read(2))
    assert images.size(2) == (8, 8)


@pytest.mark.parametrize("bad", [{"bytes": b"no image", "path": None}, None])
def test_a_row_without_an_image_is_named_or_left_out(tmp_path: Path, bad: Any):
    rows = {"image": [picture(), bad, picture(), picture()], "label": [0, 1, 0, 1]}
    datasets.DatasetDict({"train": table(rows), "val": table(rows)}).save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match="row 1"):
        list(build_data(hf(tmp_path / "saved"), seed=0).val)
    data = build_data(hf(tmp_path / "saved", on_error="skip"), seed=0)
    assert sum(len(batch) for batch in data.val) == 3


@pytest.mark.parametrize(
    ("label", "values", "message"),
    [
        (datasets.ClassLabel(names=CLASSES), [0, None], "is missing"),
        (datasets.Value("int64"), [0, -1], "out of range"),
        (datasets.Value("int64"), [0, 9], "out of range"),
        (datasets.Value("float32"), [0.0, float("nan")], "not a whole number"),
        (datasets.List(datasets.Value("int64")), [[0], [1]], "holds no labels"),
    ],
)
def test_a_wrong_label_is_named(tmp_path: Path, label: Any, values: list[Any], message: str):
    table({"image": [picture()] * 2, "label": values}, label).save_to_disk(tmp_path / "saved")
    assert message in error_of(hf(tmp_path / "saved", holdout=0.5)).where


def test_hidden_labels_are_explained(saved, tmp_path: Path):
    hidden = table({"image": [picture()], "label": [-1]})
    whole = table({"image": [picture()] * 2, "label": [0, 1]})
    datasets.DatasetDict({"train": whole, "test": hidden}).save_to_disk(tmp_path / "hidden")
    assert "hidden" in str(error_of(hf(tmp_path / "hidden")).fix)


def test_a_missing_column_is_shown_with_those_that_are_there(saved):
    error = error_of(hf(saved(), label_column="species"))
    assert "has no column 'species'" in error.where
    assert "image (Image), label (ClassLabel)" in str(error.got)
    assert "holds no images" in error_of(hf(saved(), image_column="label")).where


def test_other_folders_are_no_dataset(two_classes: Path, saved):
    error = error_of(hf(two_classes))
    assert "is not a Hugging Face dataset" in error.where
    assert "train/, val/" in str(error.got)
    root = saved()
    assert error_of(hf(root.parent)).fix == f"--data.root {root}"


def test_a_damaged_dataset_is_one_message(saved):
    root = saved()
    for file in root.rglob("*.arrow"):
        file.write_bytes(b"damaged")
    assert "cannot be opened" in error_of(hf(root)).where


def test_without_its_package_it_says_what_to_install(saved, monkeypatch: pytest.MonkeyPatch):
    root = saved()
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert error_of(hf(root)).fix == "pip install 'netaug[hf]'"
