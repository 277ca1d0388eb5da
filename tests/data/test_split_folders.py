"""Folders of splits as people and tools call them, and folders of classes that are called alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from netaug.api.default_settings import derive_settings
from netaug.core.errors import DataError
from netaug.data.recognize import recognize
from tests.data.layout_kit import picture


def make(root: Path, *folders: str) -> Path:
    for folder in folders:
        for name in ("1", "2"):
            picture(root / folder / f"{name}.jpg")
    return root


@pytest.mark.parametrize(
    ("train", "val", "split"),
    [
        ("train", "valid", "class folders in train and valid"),
        ("training", "validation", "class folders in training and validation"),
        ("Train", "Test", "class folders in Train and Test"),
        ("TRAIN", "VAL", "class folders in TRAIN and VAL"),
    ],
)
def test_splits_under_their_other_names(tmp_path: Path, train: str, val: str, split: str) -> None:
    make(tmp_path, f"{train}/cat", f"{train}/dog", f"{val}/cat", f"{val}/dog")
    derived = derive_settings([f"--data.root={tmp_path}", "--model.name=micronet"])
    assert split in derived.explanation
    assert "data.holdout" not in derived.values


def test_validation_comes_before_test(tmp_path: Path) -> None:
    make(tmp_path, *(f"{split}/{name}" for split in ("train", "valid", "test") for name in ("cat", "dog")))
    assert "train and valid" in recognize(tmp_path).sign


def test_classes_that_are_called_like_splits_stay_classes(tmp_path: Path) -> None:
    make(tmp_path, "valid", "invalid", "training")
    derived = derive_settings([f"--data.root={tmp_path}", "--model.name=micronet"])
    assert "3 folders of images, one per class" in derived.explanation
    assert "3 classes" in derived.explanation


def test_images_that_cannot_be_used_are_told_what_they_lack(tmp_path: Path) -> None:
    make(tmp_path / "loose", ".")
    with pytest.raises(DataError, match="sort the images into one folder per class"):
        recognize(tmp_path / "loose")
    (tmp_path / "phone" / "cat").mkdir(parents=True)
    (tmp_path / "phone" / "cat" / "1.HEIC").touch()
    with pytest.raises(DataError, match=r"'cat/1\.HEIC', to JPEG"):
        recognize(tmp_path / "phone")


def test_what_was_given_is_not_explained(tmp_path: Path) -> None:
    make(tmp_path, "cat", "dog")
    given = (
        "model.name=micronet",
        "data.image_size=32",
        "data.batch_size=2",
        "train.lr=0.1",
        "data.flip=false",
    )
    derived = derive_settings([f"--data.root={tmp_path}", *(f"--{word}" for word in given)])
    decided = {line.partition(" ")[0] for line in derived.reasons}
    assert decided.isdisjoint({"network", "resolution", "batch", "rate", "mirroring"})
    assert {"data", "images", "evaluation", "epochs"} <= decided
