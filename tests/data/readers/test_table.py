from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from netaug.config import DataConfig
from netaug.data import build_data
from tests.data.reading import batches, error_of, same

Rows = list[tuple[str, ...]]


def table(root: Path, **settings: object) -> DataConfig:
    return DataConfig(**{"name": "table", "root": str(root), "batch_size": 2, "image_size": 8, **settings})  # type: ignore[arg-type]


def write(file: Path, header: tuple[str, ...], rows: Rows) -> Path:
    if file.suffix == ".parquet":
        columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
        pq.write_table(pa.table(columns), file)
    else:
        with file.open("w", newline="", encoding="utf-8") as handle:
            csv.writer(handle, delimiter="\t" if file.suffix == ".tsv" else ",").writerows([header, *rows])
    return file


def listed(root: Path, split: str) -> Rows:
    files = sorted(root.glob(f"{split}/*/*.jpg"))
    return [(str(file.relative_to(root)), file.parent.name) for file in files]


@pytest.fixture
def tables(two_classes: Path) -> Callable[[str], Path]:
    """A function that writes train and val tables beside the folders."""

    def make(suffix: str = ".csv") -> Path:
        for split in ("train", "val"):
            write(two_classes / f"{split}{suffix}", ("path", "label"), listed(two_classes, split))
        return two_classes

    return make


def single(root: Path, suffix: str = ".csv") -> Path:
    rows = [(*row, split) for split in ("val", "train") for row in listed(root, split)]
    return write(root / f"all{suffix}", ("path", "label", "split"), rows)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize("one_file", [True, False])
def test_a_table_gives_the_batches_of_the_folder(tables, suffix: str, one_file: bool):
    root = tables(suffix)
    config = table(single(root, suffix) if one_file else root, cache="none", augment="imagenet")
    folder = DataConfig(**{**vars(config), "name": "folder", "root": str(root)})
    assert same(batches(config), batches(folder))
    assert build_data(config, seed=0).info.class_names == ("cat", "dog")


def test_batches_are_the_same_for_any_number_of_workers(tables):
    root = tables()
    one, *others = (batches(table(root, cache="none", workers=workers)) for workers in (0, 1, 2))
    assert all(same(one, other) for other in others)


def test_numbers_absolute_paths_and_other_columns(two_classes: Path):
    rows = [
        (str(two_classes / path), str(int(label == "cat")), "x")
        for path, label in listed(two_classes, "train")
    ]
    file = write(two_classes / "mine.csv", ("file", "class", "note"), rows)
    (two_classes / "names.txt").write_text("dog\ncat\n")
    settings = {"image_column": "file", "label_column": "class", "holdout": 0.2}
    data = build_data(table(file, class_names=str(two_classes / "names.txt"), **settings), seed=0)
    assert (data.info.class_names, data.info.train_size, data.info.val_size) == (("dog", "cat"), 8, 2)


def test_parquet_takes_numbers(two_classes: Path):
    paths = [path for path, _ in listed(two_classes, "train")]
    labels = [int("cat" in path) for path in paths]
    pq.write_table(pa.table({"path": paths, "label": labels}), two_classes / "t.parquet")
    data = build_data(table(two_classes / "t.parquet", holdout=0.2, augment="none"), seed=0)
    assert sorted(data.train._batches._loader.dataset.split.labels_N.tolist()).count(1) in range(4, 7)
    assert data.info.class_names == ("0", "1")


def test_splits_of_other_names_are_chosen(tables):
    root = tables()
    for split in ("train", "val"):
        (root / f"{split}.csv").rename(root / f"my_{split}.csv")
    data = build_data(table(root, train_split="my_train.csv", val_split="my_val.csv"), seed=0)
    assert (data.info.train_size, data.info.val_size) == (10, 5)
    data = build_data(table(single(root), train_split="val", val_split="train"), seed=0)
    assert (data.info.train_size, data.info.val_size) == (5, 10)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_spreadsheets_part_fields_in_several_ways(two_classes: Path, delimiter: str):
    lines = [delimiter.join(row) for row in [("path", "label"), *listed(two_classes, "train")]]
    (two_classes / "t.csv").write_text("\r\n".join(lines) + "\r\n", "utf-8-sig")
    assert build_data(table(two_classes / "t.csv", holdout=0.2), seed=0).info.train_size == 8


def test_damaged_images_are_left_out_or_named(tables):
    root = tables()
    (root / "train/cat/001.jpg").write_bytes(b"no image")
    assert "001.jpg" in error_of(table(root)).where
    assert build_data(table(root, on_error="skip"), seed=0).info.train_size == 9


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_missing_column_is_shown_with_those_that_are_there(two_classes: Path, suffix: str):
    file = write(two_classes / f"t{suffix}", ("filename", "label"), listed(two_classes, "train"))
    error = error_of(table(file))
    assert "no column 'path'" in error.where
    assert "'filename', 'label'" in str(error.got)
    assert "--data.image_column" in str(error.fix)


def test_missing_files_are_counted_and_named(tables):
    root = tables()
    for name in ("001", "002"):
        (root / f"train/cat/{name}.jpg").unlink()
    error = error_of(table(root))
    assert "2 of 10 image files" in error.where
    assert f"'{os.path.join('train', 'cat', '001.jpg')}'" in str(error.got)
    assert "row 2 below the header" in str(error.got)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"path,label\n", "has no rows"),
        (b"path,label\ncaf\xe9.jpg,0\n", "is not in UTF-8"),
        ("path,label\na.jpg,0\n".encode("utf-16-le"), "is not in UTF-8"),
        (b"path,label\na,b.jpg,0\n", "line 2 of the table"),
        (b'path,label\n"a.jpg,0\n', "is damaged"),
        (b"path,label,path\na.jpg,0,b\n", "more than one column"),
        (b"\xff\xd8\xff\xe0", "is not in UTF-8"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "t.csv").write_bytes(content)
    assert message in error_of(table(tmp_path / "t.csv", holdout=0.5)).where


@pytest.mark.parametrize("content", [b"", b"PAR1 cut", b"path,label\n"])
def test_a_damaged_parquet_file_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "t.parquet").write_bytes(content)
    assert "is damaged" in error_of(table(tmp_path / "t.parquet")).where


def test_parquet_with_images_inside_points_to_the_right_reader(tmp_path: Path):
    pq.write_table(pa.table({"path": [{"bytes": b"x"}], "label": [0]}), tmp_path / "t.parquet")
    assert "--data.name hf" in str(error_of(table(tmp_path / "t.parquet")).fix)


@pytest.mark.parametrize("label", ["", "nan", "-1", "1.5", "99"])
def test_a_wrong_label_is_named_with_its_row(two_classes: Path, label: str):
    rows = [(path, "0") for path, _ in listed(two_classes, "train")]
    file = write(two_classes / "t.csv", ("path", "label"), [*rows[:3], (rows[3][0], label), *rows[4:]])
    assert "row 4 below the header" in str(error_of(table(file, holdout=0.2)).got)


def test_a_class_in_val_only_is_named(tables):
    root = tables()
    write(root / "val.csv", ("path", "label"), [("val/cat/000.jpg", "zebra")])
    error = error_of(table(root))
    assert "that the training split lacks" in error.where
    assert "'zebra'" in str(error.got)


def test_repeated_rows_and_shared_images_are_said(tables, caplog: pytest.LogCaptureFixture):
    root = tables()
    rows = listed(root, "train")
    write(root / "train.csv", ("path", "label"), [*rows, rows[0], (rows[1][0], "dog")])
    write(root / "val.csv", ("path", "label"), [rows[0], rows[-1]])
    build_data(table(root), seed=0)
    assert "lists 1 images again (" in caplog.text
    assert "lists 1 images again with another label" in caplog.text
    assert "2 images are in 'train' and in 'val'" in caplog.text


def test_one_table_without_splits_asks_for_a_holdout(two_classes: Path):
    file = write(two_classes / "t.csv", ("path", "label"), listed(two_classes, "train"))
    assert "--data.holdout" in str(error_of(table(file)).fix)
    assert "no column 'split'" in error_of(table(file, holdout=0.1, train_split="part")).where


def test_a_folder_without_tables_shows_what_is_there(two_classes: Path):
    error = error_of(table(two_classes))
    assert "no table of 'train'" in error.where
    assert "ROOT/train.csv" in str(error.allowed)
    assert "train/, val/" in str(error.got)
    file = single(two_classes)
    assert same(batches(table(two_classes)), batches(table(file)))  # a folder is read as its only table
    (two_classes / "more.csv").touch()
    assert f"--data.root {file}" in str(error_of(table(two_classes)).fix)


def test_a_split_that_is_not_there_is_shown_with_those_that_are(two_classes: Path):
    error = error_of(table(single(two_classes), val_split="dev"))
    assert "has no dev" in error.where
    assert "'train', 'val'" in str(error.got)


def test_two_tables_of_one_split_are_not_guessed_between(tables):
    root = tables(".csv")
    tables(".tsv")
    assert "--data.train_split train.csv" in str(error_of(table(root)).fix)


def test_other_files_are_no_tables(two_classes: Path):
    (two_classes / "t.xlsx").write_bytes(b"PK")
    assert "is not known as a table" in error_of(table(two_classes / "t.xlsx")).where


def test_settings_that_a_dataset_does_not_heed_are_said(two_classes: Path, caplog: pytest.LogCaptureFixture):
    build_data(DataConfig(name="folder", root=str(two_classes), batch_size=2, label_column="class"), seed=0)
    assert "data.label_column changes nothing: the dataset 'folder' ignores it." in caplog.text


def test_parquet_without_its_package_says_what_to_install(tables, monkeypatch: pytest.MonkeyPatch):
    root = tables(".parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert "pip install 'netaug[parquet]', or save it as CSV" in str(error_of(table(root)).fix)
