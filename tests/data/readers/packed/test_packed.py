"""A packed dataset is its origin: same classes, labels, order and, where nothing is scaled, the same batches."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from netaug.cli import main
from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data import Data, build_data
from netaug.data.readers.packed.images import PackedImages
from netaug.data.readers.packed.layout import INDEX, META, PAYLOADS
from netaug.data.registry import load_source
from netaug.data.store import MemoryImages
from tests.data.test_loading import same

MakeFolder = Callable[..., Path]
PHOTOS = {"size": lambda number: (40 + number, 60 - number)}


def pack(root: Path | None, out: Path, *words: str, name: str = "folder") -> None:
    where = [] if root is None else ["--data.root", str(root)]
    assert main(["data", "pack", name, *where, "--out", str(out), *words]) == 0


def feed(name: str, root: Path | None, **settings: object) -> Data:
    values = {"batch_size": 3, "eval_batch_size": 2, "image_size": 32, **settings}
    return build_data(DataConfig(name=name, root=None if root is None else str(root), **values), seed=1)  # type: ignore[arg-type]


@pytest.fixture
def photos(make_folder: MakeFolder) -> Path:
    return make_folder({"train/cat": 5, "train/dog": 4, "test/cat": 2, "test/dog": 3}, **PHOTOS)


@pytest.mark.parametrize("augment", ["imagenet", "small"])
@pytest.mark.parametrize("cache", ["none", "auto"])
def test_files_packed_as_they_are_give_the_same_batches_to_the_bit(
    photos: Path, tmp_path: Path, augment: str, cache: str
) -> None:
    pack(photos, tmp_path / "packed", "--encoding", "original")
    origin = feed("folder", photos, augment=augment, cache=cache)
    for workers in (0, 1, 2, 4) if cache == "none" else (0,):
        packed = feed("packed", tmp_path / "packed", augment=augment, cache=cache, workers=workers)
        for epoch in (0, 1):
            assert same(list(packed.train.epoch(epoch)), list(origin.train.epoch(epoch)))
        assert same(list(packed.val), list(origin.val))
    info, known = vars(packed.info), vars(origin.info)
    assert {key: value for key, value in info.items() if key != "name"} == {
        key: value for key, value in known.items() if key != "name"
    }
    assert info["val_split"] == "test"


def test_pixels_that_are_not_scaled_are_the_images_to_the_bit(photos: Path, tmp_path: Path) -> None:
    pack(photos, tmp_path / "packed", "--encoding", "pixels", "--size", "100")
    origin = feed("folder", photos, augment="imagenet", cache="none")
    packed = feed("packed", tmp_path / "packed", augment="imagenet", cache="none")
    assert same(list(packed.train.epoch(0)), list(origin.train.epoch(0)))
    assert same(list(packed.val), list(origin.val))


@pytest.mark.parametrize("image_size", [None, 12])
def test_a_dataset_in_memory_stays_in_memory_and_the_same(tmp_path: Path, image_size: int | None) -> None:
    pack(None, tmp_path / "packed", name="digits")
    settings = {"augment": "imagenet", "batch_size": 256, "image_size": image_size, "limit": 600}
    origin, packed = feed("digits", None, **settings), feed("packed", tmp_path / "packed", **settings)
    assert isinstance(packed.train._batches._loader.dataset.split.images, MemoryImages)  # type: ignore[attr-defined]
    assert same(list(packed.train.epoch(3)), list(origin.train.epoch(3)))
    assert same(list(packed.val), list(origin.val))


def test_images_are_scaled_to_the_shorter_side_and_never_enlarged(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    sizes = [(64, 32), (20, 90), (16, 16), (10, 40)]
    root = make_folder({"train/a": 4, "val/a": 1}, size=lambda number: sizes[number])
    for encoding in ("jpeg", "pixels"):
        out = tmp_path / encoding
        pack(root, out, "--encoding", encoding, "--size", "16")
        images = load_source(DataConfig(name="packed", root=str(out))).train.images
        assert isinstance(images, PackedImages)
        assert [images.size(number) for number in range(4)] == [(32, 16), (16, 72), (16, 16), (10, 40)]
        assert [tuple(images.read(number).shape[1:]) for number in range(4)] == [
            images.size(number) for number in range(4)
        ]
        files = load_source(DataConfig(name="folder", root=str(root))).train.images
        assert torch.equal(images.read(2), files.read(2)), "what is small enough is not encoded again"
        assert torch.equal(images.read(3), files.read(3))


def test_pictures_survive_jpeg(tmp_path: Path) -> None:
    """The packed picture is close to the scaled original, where noise would not show it."""
    ramp_HW = np.add.outer(np.arange(100), np.arange(120)).astype(np.uint8)
    for split in ("train", "val"):
        (tmp_path / "in" / split / "a").mkdir(parents=True)
        Image.fromarray(np.stack([ramp_HW, ramp_HW[::-1], ramp_HW], 2)).save(
            tmp_path / "in" / split / "a" / "x.png"
        )
    found = {}
    for encoding in ("jpeg", "pixels"):
        pack(tmp_path / "in", tmp_path / encoding, "--encoding", encoding, "--size", "50")
        found[encoding] = load_source(
            DataConfig(name="packed", root=str(tmp_path / encoding))
        ).train.images.read(0)
    difference = (found["jpeg"].float() - found["pixels"].float()).abs().mean()
    assert 0 < difference < 3


def test_an_image_turned_by_its_exif_orientation_is_stored_upright(tmp_path: Path) -> None:
    for split in ("train", "val"):
        folder = tmp_path / "in" / split / "a"
        folder.mkdir(parents=True)
        exif = Image.Exif()
        exif[0x0112] = 6  # a quarter turn
        Image.effect_noise((60, 30), 90).save(folder / "x.jpg", exif=exif)
    pack(tmp_path / "in", tmp_path / "out", "--size", "20")
    images = load_source(DataConfig(name="packed", root=str(tmp_path / "out"))).train.images
    assert tuple(images.read(0).shape) == (3, 40, 20)


def test_a_part_of_pixels_is_that_part(photos: Path, tmp_path: Path) -> None:
    pack(photos, tmp_path / "out", "--encoding", "pixels")
    images = load_source(DataConfig(name="packed", root=str(tmp_path / "out"))).train.images
    assert isinstance(images, PackedImages)
    assert torch.equal(images.crop(2, 3, 5, 7, 9), images.read(2)[:, 3:10, 5:14])


def test_workers_get_names_and_numbers_only(photos: Path, tmp_path: Path) -> None:
    pack(photos, tmp_path / "out", "--encoding", "pixels")
    images = load_source(DataConfig(name="packed", root=str(tmp_path / "out"))).train.images
    before = images.read(1)
    content = pickle.dumps(images)
    assert len(content) < 1000
    assert torch.equal(pickle.loads(content).read(1), before)


def test_packing_again_is_possible_and_loses_nothing(photos: Path, tmp_path: Path) -> None:
    pack(photos, tmp_path / "one", "--encoding", "original")
    pack(tmp_path / "one", tmp_path / "two", "--encoding", "original", name="packed")
    assert (tmp_path / "one" / PAYLOADS).read_bytes() == (tmp_path / "two" / PAYLOADS).read_bytes()


def test_a_dataset_without_evaluation_split_is_packed_as_it_is(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    root = make_folder({"train/a": 6, "train/b": 6}, **PHOTOS)
    pack(root, tmp_path / "out", "--encoding", "original", "--data.holdout", "0.5")
    settings = {"holdout": 0.5, "augment": "small"}
    origin, packed = feed("folder", root, **settings), feed("packed", tmp_path / "out", **settings)
    assert same(list(packed.val), list(origin.val))
    with pytest.raises(DataError, match="no evaluation split"):
        feed("packed", tmp_path / "out")


def test_facts_are_those_of_the_origin(photos: Path, tmp_path: Path) -> None:
    pack(photos, tmp_path / "out", "--encoding", "original")
    facts = json.loads((tmp_path / "out" / META).read_text())
    assert (facts["origin"], facts["train"], facts["val"]) == ("folder", 9, 5)
    assert facts["class_names"] == ["cat", "dog"]
    index = np.load(tmp_path / "out" / INDEX)
    assert index["label"].tolist() == [0] * 5 + [1] * 4 + [0] * 2 + [1] * 3
    assert index["name"][5] == b"train/dog/000.jpg"
    images = load_source(DataConfig(name="packed", root=str(tmp_path / "out"))).train.images
    assert isinstance(images, PackedImages)
    assert all(images.is_intact(number) for number in range(len(images)))


def test_the_metric_is_that_of_the_origin_also_when_packed_again(photos: Path, tmp_path: Path) -> None:
    pack(photos, tmp_path / "one", "--encoding", "original")
    assert feed("packed", tmp_path / "one").info.metric == "top1"
    facts = json.loads((tmp_path / "one" / META).read_text())
    (tmp_path / "one" / META).write_text(json.dumps({**facts, "metric": "mean_per_class"}))
    pack(tmp_path / "one", tmp_path / "two", name="packed")
    assert feed("packed", tmp_path / "two").info.metric == "mean_per_class"
