"""Files that are not where they belong, or not what they should be: what is missing, what is there, and the fix."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from PIL import Image

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data import build_data, published
from netaug.data.readers.imagenet21k import OTHER_RELEASES, load_imagenet21k
from netaug.data.readers.layout import reading
from tests.data.layouts import LAYOUTS, accept_checksums
from tests.data.test_layouts import write


@pytest.fixture(autouse=True)
def _checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    accept_checksums(monkeypatch)


def error_of(name: str, root: Path, change: Callable[[Path], object] | None = None, place: str = "") -> str:
    _, config = write(name, root)
    if change is not None:
        change(root)
    config = type(config)(**{**vars(config), "root": str((root / place).resolve())})
    with pytest.raises(DataError) as caught:
        build_data(config, seed=0)
    return caught.value.report()


INNER = {
    "imagenet": "train",
    "imagenet21k": "imagenet21k_train",
    "food101": "food-101",
    "flowers102": "flowers-102",
    "cars": "stanford_cars",
    "cub200": "CUB_200_2011",
    "pets": "oxford-iiit-pet",
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
    "fashion_mnist": "FashionMNIST",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_root_one_level_too_low_or_too_high_names_the_right_one(name: str, tmp_path: Path):
    right = tmp_path / "some" / "where"
    right.mkdir(parents=True)
    low = error_of(name, right, place=INNER[name])
    assert f"fix:     --data.root {right}\n" in low + "\n"
    shutil.rmtree(right)
    high = error_of(name, right, place="..")
    assert f"fix:     --data.root {right}\n" in high + "\n"
    assert "allowed: ROOT/" in high
    assert "in ROOT there is: where/" in high


def test_an_archive_that_was_not_unpacked_is_named(tmp_path: Path):
    def pack(root: Path) -> None:
        shutil.rmtree(root / "oxford-iiit-pet/images")
        (root / "oxford-iiit-pet/images.tar.gz").write_bytes(b"")

    said = error_of("pets", tmp_path, pack)
    assert "missing: ROOT/oxford-iiit-pet/images" in said
    assert f"unpack the archive: tar -xf '{tmp_path / 'oxford-iiit-pet/images.tar.gz'}'" in said


def test_images_that_were_unpacked_in_part_are_counted(tmp_path: Path):
    said = error_of("pets", tmp_path, lambda root: (root / "oxford-iiit-pet/images/Bengal_7.jpg").unlink())
    assert "1 of 4 images that the lists of pets name are not in" in said
    assert "missing: Bengal_7.jpg" in said


def test_a_missing_split_offers_to_hold_out_training_images(tmp_path: Path):
    said = error_of("imagenet", tmp_path, lambda root: shutil.rmtree(root / "val"))
    assert "missing: ROOT/val" in said
    assert "--data.holdout 0.1" in said


def test_flat_validation_images_need_something_that_says_what_is_on_them(tmp_path: Path):
    said = error_of("imagenet_flat", tmp_path, lambda root: shutil.rmtree(root / "ILSVRC2012_devkit_t12"))
    assert "nothing says what is on them" in said
    assert "put ILSVRC2012_devkit_t12.tar.gz of image-net.org into data.root" in said


def _edit(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (
            "cub200",
            _edit("CUB_200_2011/image_class_labels.txt", "4 200", "4 201"),
            "class 201, counted from 1",
        ),
        (
            "cub200",
            _edit("CUB_200_2011/image_class_labels.txt", "1 1\n", "rubbish\n"),
            "incomplete or damaged",
        ),
        ("cub200", _edit("CUB_200_2011/train_test_split.txt", "6 1\n", ""), "do not belong together"),
        ("food101", lambda root: (root / "food-101/meta/test.json").write_text("{"), "incomplete or damaged"),
        (
            "food101",
            lambda root: (root / "food-101/meta/test.json").write_text(json.dumps({"soup": ["soup/1"]})),
            "name different classes",
        ),
        (
            "imagenet_flat",
            _edit("ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", "4", "5"),
            "is out of range",
        ),
        (
            "imagenet_flat",
            lambda root: (root / "ILSVRC2012_devkit_t12/data/meta.mat").write_bytes(b"no matrix"),
            "are damaged or incomplete",
        ),
        ("cars", lambda root: (root / "stanford_cars/devkit/cars_meta.mat").write_bytes(b"x"), "incomplete"),
    ],
)
def test_damaged_lists_are_one_clear_error(
    name: str, change: Callable[[Path], object], said: str, tmp_path: Path
):
    assert said in error_of(name, tmp_path, change)


def test_the_dead_download_of_cars_is_said_with_where_copies_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    _, config = write("cars", tmp_path / "there")
    build_data(type(config)(**{**vars(config), "download": True}), seed=0)
    assert "data.download changes nothing: the dataset 'cars' cannot be downloaded" in caplog.text
    (tmp_path / "empty/other").mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        build_data(type(config)(**{**vars(config), "root": str(tmp_path / "empty")}), seed=0)
    assert "the authors' download is gone" in str(caught.value.fix)


def test_a_download_of_ones_own_folder_is_said_to_change_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for split, kind, color in product(("train", "val"), ("cat", "dog"), (0, 255)):
        path = tmp_path / split / kind / f"{color}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), color).save(path)
    build_data(
        DataConfig(name="folder", root=str(tmp_path), download=True, image_size=8, batch_size=4), seed=0
    )
    assert "data.download changes nothing: the dataset 'folder' is what data.root names" in caplog.text


@pytest.mark.parametrize("count", [11_221, 21_841])
def test_other_releases_of_imagenet_21k_are_recognised(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    _, config = write("imagenet21k", tmp_path)
    names = tuple(f"n{number:08d}" for number in range(count))
    monkeypatch.setattr("netaug.data.readers.imagenet21k.class_folders", lambda folder: names)
    with pytest.raises(DataError) as caught:
        load_imagenet21k(config)
    assert caught.value.got == f"{count:,} classes: {OTHER_RELEASES[count]}"
    assert "10,450 classes" in str(caught.value.allowed)


def test_files_that_are_no_images_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    expected, config = write("imagenet", tmp_path)
    (tmp_path / "train/n01440764/readme.txt").write_text("no image")
    assert build_data(config, seed=0).info.train_size == len(expected.train)
    assert "holds 1 files in class folders that do not end like images" in caplog.text
    assert "n01440764/readme.txt" in caplog.text


def test_what_may_not_be_read_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _, config = write("imagenet", tmp_path)

    def refuse(folder: Path) -> tuple[str, ...]:
        raise PermissionError(13, "Permission denied", str(folder))  # the superuser may read everything

    monkeypatch.setattr("netaug.data.readers.imagenet.class_folders", refuse)
    with pytest.raises(DataError) as caught:
        build_data(config, seed=0)
    assert "Permission denied" in str(caught.value.got)
    assert f"chmod -R a+rX '{tmp_path}'" in str(caught.value.fix)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied"), "cannot be read from data.root"),
        (ModuleNotFoundError("No module named 'scipy'", name="scipy"), "pip install scipy"),
        (ValueError("bad magic"), "incomplete or damaged"),
    ],
)
def test_files_are_called_damaged_only_if_they_were_read(
    tmp_path: Path, error: Exception, message: str
) -> None:
    facts = published("cars")
    assert facts is not None
    with pytest.raises(DataError) as caught, reading(DataConfig("cars", root="x"), tmp_path, facts):
        raise error
    assert message in caught.value.report()
