"""One class alone, and everything one folder too deep: said before training, with the folder that was meant."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from netaug.cli import main
from netaug.config import DataConfig
from netaug.config.loading import load_config
from netaug.core.errors import DataError
from netaug.data import build_data
from netaug.data.single_class import check_classes
from netaug.train.run import train
from tests.data.detection.making import config_for, small_voc
from tests.data.shards import shards_of

MakeFolder = Callable[..., Path]


def config(root: Path, name: str = "folder", **settings: object) -> DataConfig:
    return DataConfig(name, root=str(root), batch_size=2, image_size=8, **settings)  # type: ignore[arg-type]


def error_of(config: DataConfig) -> DataError:
    """Why nothing is trained."""
    with pytest.raises(DataError) as caught:
        check_classes(build_data(config, seed=0), limited=config.limit is not None)
    return caught.value


def test_class_folders_one_folder_too_deep(
    make_folder: MakeFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_folder(
        {f"{split}/flowers/{name}": 3 for split in ("train", "val") for name in ("rose", "tulip")}
    )
    error = error_of(config(root))
    assert "all training images are of one class" in error.where
    assert error.got == "6 images of class 'flowers'"
    assert error.fix is not None
    assert f"'{root}/train/flowers' was probably meant: it holds 'rose', 'tulip'" in error.fix
    assert main(["data", "check", "folder", "--data.root", str(root), "--no-speed"]) == 1
    text = capsys.readouterr().out
    assert "PROBLEM  all training images are of one class" in text
    assert f"'{root}/train/flowers' was probably meant" in text


def test_a_whole_dataset_inside_of_the_class(make_folder: MakeFolder) -> None:
    inner = [f"train/pets/{split}/{name}" for split in ("train", "val") for name in ("cat", "dog")]
    root = make_folder({**dict.fromkeys(inner, 2), "val/pets/cat": 2})
    assert f"--data.root {root}/train/pets" in str(error_of(config(root)).fix)


@pytest.mark.parametrize("deep", ["train", "val"])
def test_one_of_two_splits_one_folder_too_deep(make_folder: MakeFolder, deep: str) -> None:
    other = "val" if deep == "train" else "train"
    root = make_folder({f"{deep}/all/{name}": 2 for name in "ab"} | {f"{other}/{name}": 2 for name in "ab"})
    assert (
        error_of(config(root)).fix == f"move the class folders in '{root}/{deep}/all' up into '{root}/{deep}'"
    )


def test_one_class_without_folders_below_it(make_folder: MakeFolder) -> None:
    root = make_folder({"train/cat": 4, "val/cat": 2})
    assert error_of(config(root)).fix == "give images of at least two classes"
    assert "one class" in error_of(config(root, holdout=0.5)).where


def test_tables_and_shards_of_one_label(two_classes: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        with (two_classes / f"{split}.csv").open("w", newline="") as file:
            paths = sorted(two_classes.glob(f"{split}/*/*.jpg"))
            rows = [(str(path.relative_to(two_classes)), "animal") for path in paths]
            csv.writer(file).writerows([("path", "label"), *rows])
    error = error_of(config(two_classes, "table"))
    assert "it holds 'cat', 'dog'" in str(error.fix)
    for split in ("train", "val"):
        shutil.rmtree(two_classes / split / "dog")
    assert (
        error_of(config(shards_of(two_classes, tmp_path / "shards"), "webdataset")).got
        == "6 images of class 'cat'"
    )
    assert (
        main(["data", "pack", "folder", "--data.root", str(two_classes), "--out", str(tmp_path / "p")]) == 0
    )
    assert "one class" in error_of(config(tmp_path / "p", "packed")).where


def test_two_classes_are_enough_and_deeper_folders_stay_one_class(make_folder: MakeFolder) -> None:
    root = make_folder({"train/a/x": 2, "train/a/y": 2, "train/b": 2, "val/a": 1, "val/b": 1})
    data = build_data(config(root), seed=0)
    check_classes(data, limited=False)
    assert data.info.class_names == ("a", "b")


def test_a_limited_part_may_be_of_one_class_by_chance_and_detectors_may_have_one(
    two_classes: Path, tmp_path: Path
) -> None:
    data = build_data(config(two_classes), seed=0)
    assert data.listing is not None
    data.listing.train.labels[0][:] = 1
    check_classes(data, limited=True)
    with pytest.raises(DataError, match="one class"):
        check_classes(data, limited=False)
    root = small_voc(tmp_path / "voc")
    check_classes(build_data(config_for(root, val_split="val", classes=("cat",)), seed=0), limited=False)


def test_a_training_stops_before_it_begins(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder({f"{split}/all/{name}": 4 for split in ("train", "val") for name in "ab"})
    words = ("--data.name=folder", f"--data.root={root}", "--data.image_size=8", "--data.batch_size=4")
    with pytest.raises(DataError, match="was probably meant"):
        train(load_config("demo/digits", words), tmp_path / "run")
    assert not (tmp_path / "run").exists()
