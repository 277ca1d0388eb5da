from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

import pytest
import torch

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data import build_data, load_image
from netaug.data.batch import ClassificationBatch


def folder(root: Path, **settings: object) -> DataConfig:
    return DataConfig(**{"name": "folder", "root": str(root), "batch_size": 2, **settings})  # type: ignore[arg-type]


def joined(batches: list[ClassificationBatch]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.cat([b.images_NCHW for b in batches]), torch.cat([b.labels_N for b in batches])


def error_of(config: DataConfig) -> DataError:
    with pytest.raises(DataError) as caught:
        build_data(config, seed=0)
    return caught.value


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_every_image_comes_once_with_its_folders_label(two_classes: Path, cache: str):
    data = build_data(folder(two_classes, cache=cache, augment="none"), seed=0)
    assert data.info.class_names == ("cat", "dog")
    assert (data.info.train_size, data.info.val_size, data.info.val_split) == (10, 5, "val")
    batches = list(data.train.epoch(0))
    indices = torch.cat([b.indices_N for b in batches])
    assert sorted(indices.tolist()) == list(range(10))
    files = sorted(two_classes.glob("train/*/*.jpg"))
    images, labels = joined(batches)
    for image, label, index in zip(images, labels, indices, strict=True):
        assert files[index].parent.name == data.info.class_names[label]
        assert torch.equal(image[None], load_image(files[index], data.info))


@pytest.mark.parametrize("augment", ["small", "none"])
def test_memory_and_disk_give_the_same_batches(two_classes: Path, augment: str):
    ram, disk = (
        build_data(folder(two_classes, cache=cache, augment=augment, image_size=6), seed=3)
        for cache in ("ram", "none")
    )
    for kept, read in ((ram.train.epoch(1), disk.train.epoch(1)), (iter(ram.val), iter(disk.val))):
        for a, b in zip(kept, read, strict=True):
            assert torch.equal(a.images_NCHW, b.images_NCHW)
            assert torch.equal(a.labels_N, b.labels_N)


def test_a_photo_is_predicted_from_the_pixels_evaluation_sees(make_folder):
    root = make_folder({"train/cat": 2, "val/cat": 2}, size=(40, 60))
    data = build_data(folder(root, augment="imagenet", image_size=14, cache="none"), seed=0)
    assert data.info.crop_ratio == 0.875
    images, _ = joined(list(data.val))
    files = sorted(root.glob("val/*/*.jpg"))
    assert torch.equal(images, torch.cat([load_image(path, data.info) for path in files]))


def test_test_is_used_without_val_and_val_before_test(make_folder):
    root = make_folder({"train/cat": 2, "test/cat": 1})
    assert build_data(folder(root), seed=0).info.val_split == "test"
    shutil.copytree(root / "train", root / "val")
    info = build_data(folder(root), seed=0).info
    assert (info.val_split, info.val_size) == ("val", 2)


def test_only_images_count_at_any_depth(two_classes: Path):
    (two_classes / "train" / "cat" / "notes.txt").write_text("no image")
    (two_classes / "train" / "cat" / "._000.jpg").write_bytes(b"what other systems leave behind")
    (two_classes / "train" / ".cache").mkdir()
    (two_classes / "train" / "cat" / "more").mkdir()
    shutil.copy(two_classes / "train/cat/000.jpg", two_classes / "train/cat/more/UPPER.JPEG")
    info = build_data(folder(two_classes), seed=0).info
    assert (info.train_size, info.num_classes) == (11, 2)


def test_small_pictures_go_to_memory_and_photos_stay_on_disk(make_folder):
    root = make_folder({"train/cat": 2, "val/cat": 2}, size=(97, 97))
    config = folder(root, image_size=32, augment="imagenet")
    assert build_data(config, seed=0).info.crop_ratio == 0.875  # on disk
    shutil.rmtree(root)
    make_folder({"train/cat": 2, "val/cat": 2}, size=(96, 96))
    assert build_data(config, seed=0).info.crop_ratio == 1.0  # in memory


def test_memory_says_that_it_coarsens_random_crops(make_folder, caplog: pytest.LogCaptureFixture):
    root = make_folder({"train/cat": 2, "val/cat": 2}, size=(97, 97))
    data = build_data(folder(root, image_size=32, augment="imagenet", cache="ram"), seed=0)
    assert next(data.train.epoch(0)).images_NCHW.shape == (2, 3, 32, 32)
    assert "coarser" in caplog.text


def test_images_of_one_size_need_no_image_size(two_classes: Path):
    assert build_data(folder(two_classes), seed=0).info.image_size == 8


@pytest.mark.parametrize("size", [lambda n: (8 + n, 8 + n), (8, 10)])
def test_images_of_several_sizes_need_image_size(make_folder, size):
    root = make_folder({"train/cat": 2, "val/cat": 2}, size=size)
    error = error_of(folder(root))
    assert "data.image_size is not set" in error.where
    assert "--data.image_size" in str(error.fix)
    assert build_data(folder(root, image_size=8), seed=0).info.image_size == 8


def test_a_class_without_evaluation_images_is_said(make_folder, caplog: pytest.LogCaptureFixture):
    root = make_folder({"train/cat": 2, "train/dog": 2, "val/dog": 2})
    data = build_data(folder(root), seed=0)
    assert joined(list(data.val))[1].tolist() == [1, 1]
    assert "'cat'" in caplog.text


def test_holdout_needs_no_evaluation_folder(make_folder):
    root = make_folder({"train/cat": 5, "train/dog": 5})
    info = build_data(folder(root, holdout=0.3), seed=0).info
    assert (info.train_size, info.val_size, info.val_split) == (7, 3, "holdout")


def test_root_must_be_given():
    error = error_of(DataConfig(name="folder"))
    assert "needs a folder" in error.where
    assert error.fix == "--data.root FOLDER"


def test_root_must_exist(two_classes: Path):
    error = error_of(folder(two_classes.parent / "picturs"))
    assert "does not exist" in error.where
    assert "pictures/" in str(error.got)


def test_root_must_be_a_folder(tmp_path: Path):
    (tmp_path / "images.tar.gz").write_bytes(b"")
    assert "is not a folder" in error_of(folder(tmp_path / "images.tar.gz")).where


def test_root_must_not_be_empty(tmp_path: Path):
    assert "is an empty folder" in error_of(folder(tmp_path)).where


def test_a_missing_train_folder_shows_both_trees(make_folder):
    root = make_folder({"learning/cat": 1, "val/cat": 1})
    error = error_of(folder(root))
    assert "no 'train' folder" in error.where
    assert "learning/, val/" in str(error.got)
    assert "ROOT/train/CLASS/*.jpg" in str(error.allowed)
    assert "ROOT/val/CLASS/*.jpg" in str(error.allowed)


def test_a_root_one_folder_too_high_is_recognised(two_classes: Path):
    assert error_of(folder(two_classes.parent)).fix == f"--data.root {two_classes}"


def test_a_missing_evaluation_folder_shows_both_trees(make_folder):
    root = make_folder({"train/cat": 1, "dev/cat": 1})
    error = error_of(folder(root))
    assert "no 'val' or 'test' folder" in error.where
    assert "dev/, train/" in str(error.got)
    assert "--data.holdout" in str(error.fix)


def test_images_outside_of_class_folders_are_refused(make_folder):
    root = make_folder({"train": 3, "val/cat": 1})
    error = error_of(folder(root))
    assert "has no class folders" in error.where
    assert "000.jpg" in str(error.got)


def test_a_class_only_in_val_is_named(make_folder):
    root = make_folder({"train/cat": 2, "val/cat": 1, "val/zebra": 1})
    error = error_of(folder(root))
    assert "class 'zebra' that 'train' lacks" in error.where


@pytest.mark.parametrize("empty", ["train/dog", "val/dog"])
def test_an_empty_class_folder_is_named(make_folder, empty: str):
    counts = {"train/cat": 2, "train/dog": 2, "val/cat": 1, "val/dog": 1}
    root = make_folder({**counts, empty: 0})
    (root / empty / "readme.md").write_text("")
    error = error_of(folder(root))
    assert re.search(f"'.*{empty}' holds no images", error.where)
    assert "readme.md" in str(error.got)


def damage(path: Path) -> str:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return str(path)


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_damaged_image_is_named_while_decoding_to_memory(two_classes: Path, part: str):
    name = damage(two_classes / part / "cat/001.jpg")
    assert name in error_of(folder(two_classes, image_size=8)).where


def test_skip_leaves_damaged_images_out_of_memory(two_classes: Path, caplog: pytest.LogCaptureFixture):
    name = damage(two_classes / "train/cat/001.jpg")
    data = build_data(folder(two_classes, on_error="skip", augment="none"), seed=0)
    assert data.info.train_size == 9
    images, labels = joined([b for epoch in (0, 1) for b in data.train.epoch(epoch)])
    assert len(images) == 16  # 9 images in batches of 2, twice
    expected = {
        load_image(p, data.info).numpy().tobytes() for p in two_classes.glob("train/cat/*") if str(p) != name
    }
    assert {image.numpy().tobytes() for image in images[labels == 0]} <= expected
    assert f"left out 1 image that cannot be read or decoded, first: '{name}'" in caplog.text


def test_nothing_left_after_skipping_is_an_error(make_folder):
    root = make_folder({"train/cat": 2, "val/cat": 1})
    damage(root / "val/cat/000.jpg")
    assert "none of the images" in error_of(folder(root, on_error="skip")).where


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_met_while_training_is_the_same_clear_error(two_classes: Path, workers: int):
    name = damage(two_classes / "train/cat/001.jpg")
    data = build_data(folder(two_classes, cache="none", image_size=8, workers=workers), seed=0)
    with pytest.raises(DataError) as caught:
        list(data.train.epoch(0))
    assert caught.value.where == f"the image '{name}' does not decode."
    assert caught.value.report().startswith(f"DataError: the image '{name}' does not decode.\n  got:     ")
    assert "on_error skip" in str(caught.value.fix)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 2])
def test_skip_leaves_damaged_images_out_of_batches_and_counts_them(
    two_classes: Path, caplog: pytest.LogCaptureFixture, workers: int
):
    for name in ("train/cat/001.jpg", "train/dog/002.jpg"):
        damage(two_classes / name)
    settings = {"cache": "none", "image_size": 8, "on_error": "skip", "batch_size": 10, "workers": workers}
    data = build_data(folder(two_classes, **settings), seed=0)
    (batch,) = data.train.epoch(0)
    assert sorted(batch.indices_N.tolist()) == [0, 2, 3, 4, 5, 6, 7, 9]
    assert batch.images_NCHW.shape == (8, 3, 8, 8)
    assert "left out 2 images" in caplog.text
    caplog.clear()
    list(data.train.epoch(1))
    assert caplog.text == ""  # said once


def test_a_batch_of_nothing_but_damaged_images_is_an_error(make_folder):
    root = make_folder({"train/cat": 2, "val/cat": 1})
    damage(root / "val/cat/000.jpg")
    data = build_data(folder(root, cache="none", image_size=8, on_error="skip"), seed=0)
    with pytest.raises(DataError, match="none of a batch's images can be read"):
        list(data.val)


def test_decoding_shows_progress_on_a_terminal_only(
    two_classes: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    build_data(folder(two_classes), seed=0)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    build_data(folder(two_classes), seed=0)
    out, err = capsys.readouterr()
    assert out == ""
    assert "decoding images" in err


def test_nothing_is_said_when_all_is_well(two_classes: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    list(build_data(folder(two_classes), seed=0).train.epoch(0))
    assert caplog.text == ""
