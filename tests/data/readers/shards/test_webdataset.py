from __future__ import annotations

import io
import json
import logging
import os
import pickle
import tarfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from webdataset import ShardWriter
from webdataset import tariterators as reference

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data import build_data
from netaug.data.labels import resolve_labels
from netaug.data.readers.shards.cache import index_shards
from netaug.data.readers.shards.images import join_shards
from netaug.data.readers.shards.index import index_shard
from tests.data.reading import batches, error_of, same
from tests.data.shards import shards_of, write_shard


def shards(root: Path, **settings: object) -> DataConfig:
    return DataConfig(  # type: ignore[arg-type]
        **{
            "name": "webdataset",
            "root": str(root),
            "batch_size": 3,
            "image_size": 8,
            "cache": "none",
            **settings,
        }
    )


def picture(number: int = 0, kind: str = "jpeg") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), (number, 50, 90)).save(content, kind)
    return content.getvalue()


def sample(key: str, label: object, number: int = 0) -> list[tuple[str, bytes]]:
    return [(f"{key}.jpg", picture(number)), (f"{key}.cls", str(label).encode())]


@pytest.fixture
def packed(two_classes: Path, tmp_path: Path) -> Path:
    return shards_of(two_classes, tmp_path / "shards")


@pytest.mark.parametrize("augment", ["imagenet", "small"])
def test_shards_give_the_batches_of_the_folder_for_any_number_of_workers(
    two_classes: Path, packed: Path, augment: str
):
    folder = batches(DataConfig(**{**vars(shards(two_classes, augment=augment)), "name": "folder"}))
    for workers in (0, 1, 2):
        assert same(batches(shards(packed, augment=augment, workers=workers)), folder)
    assert build_data(shards(packed), seed=0).info.class_names == ("cat", "dog")


def test_one_shard_is_enough_for_several_workers(two_classes: Path, tmp_path: Path):
    root = shards_of(two_classes, tmp_path / "one", per_shard=100)
    assert same(batches(shards(root, workers=2)), batches(shards(root)))


def test_memory_holdout_and_limit_work_as_with_files(two_classes: Path, packed: Path):
    settings = {"cache": "ram", "holdout": 0.3, "limit": 5}
    folder = DataConfig(**{**vars(shards(two_classes, **settings)), "name": "folder"})
    assert same(batches(shards(packed, **settings)), batches(folder))


def test_samples_are_those_of_webdataset(tmp_path: Path):
    """Names with dots and folders, upper case, further members, and notes: as the library itself groups them."""
    members = [
        ("__notes.of.writer__", b"{}"),
        *sample("a/one", 3),
        ("two.JPG", picture(2)),
        ("two.left.jpg", picture(9)),
        ("two.cls", b"1"),
        ("x.y/three.txt", b"0"),
        ("x.y/three.png", picture(3, "png")),
    ]
    shard = write_shard(tmp_path / "s.tar", members)
    index = index_shard(str(shard), None, None)
    images = join_shards([str(shard)], [index], 3)
    with shard.open("rb") as file:
        found = [{**member, "__url__": ""} for member in reference.tar_file_iterator(file)]
    expected = list(reference.group_by_keys(found))
    assert len(images) == len(expected) == 3
    for number, one in enumerate(expected):
        assert bytes(images.content(number)) == one.get("jpg", one.get("png"))
        assert index.labels_N[number] == one.get("cls", one.get("txt"))


def test_shards_of_webdatasets_own_writer_are_read(tmp_path: Path):
    with ShardWriter(str(tmp_path / "train-%03d.tar"), maxcount=2, verbose=0) as writer:
        for number in range(5):
            writer.write({"__key__": f"k{number}", "jpg": picture(number), "json": {"label": number % 2}})
    data = build_data(shards(tmp_path, holdout=0.2), seed=0)
    assert (data.info.train_size, data.info.class_names) == (4, ("0", "1"))


def test_json_fields_and_other_endings_are_chosen(tmp_path: Path):
    def members(key: str, number: int) -> list[tuple[str, bytes]]:
        note = json.dumps({"label": 0, "species": ["ant", "bee"][number % 2]})
        return [(f"{key}.left.jpg", picture()), (f"{key}.jpg", picture()), (f"{key}.json", note.encode())]

    write_shard(tmp_path / "train.tar", [m for i in range(4) for m in members(f"{i}", i)])
    config = shards(tmp_path, holdout=0.25, label_column="species", image_column="left.jpg")
    assert build_data(config, seed=0).info.class_names == ("ant", "bee")


def test_classes_may_be_named(tmp_path: Path):
    write_shard(tmp_path / "train.tar", [m for i in range(4) for m in sample(str(i), i % 2)])
    (tmp_path / "names.txt").write_text("ant\nbee\nwasp\n")
    config = shards(tmp_path, holdout=0.25, class_names=str(tmp_path / "names.txt"))
    assert build_data(config, seed=0).info.class_names == ("ant", "bee", "wasp")


@pytest.mark.parametrize(
    "settings",
    [
        {"train_split": "train/{000..002}.tar", "val_split": "val/{000..001}.tar"},
        {"train_split": "train/*.tar", "val_split": "val/000.tar::val/001.tar"},
        {"train_split": "train/00{0,1,2}.tar", "val_split": "val/00?.tar"},
    ],
)
def test_patterns_name_shards(packed: Path, settings: dict[str, str]):
    assert same(batches(shards(packed, **settings)), batches(shards(packed)))


def test_an_index_is_kept_until_the_shard_changes(packed: Path, monkeypatch: pytest.MonkeyPatch):
    shard = str(packed / "train/000.tar")
    first = index_shards([shard], None, None)[0]
    with monkeypatch.context() as patch:
        patch.setattr("netaug.data.readers.shards.cache.index_shard", None)
        kept = index_shards([shard], None, None)[0]
        assert all((getattr(first, name) == getattr(kept, name)).all() for name in vars(first))
    write_shard(Path(shard), sample("new", "cat"))
    assert index_shards([shard], None, None)[0].keys_N.tolist() == [b"new.jpg"]


@pytest.mark.parametrize("content", [b"", b"PK damaged"])
def test_a_damaged_index_is_made_again(packed: Path, content: bytes):
    shard = str(packed / "train/000.tar")
    index_shards([shard], None, None)
    (kept,) = Path(os.environ["NETAUG_CACHE"]).rglob("*.npz")
    kept.write_bytes(content)
    assert len(index_shards([shard], None, None)[0].keys_N) == 4


def test_without_a_place_for_it_the_index_is_made_anew_and_said(
    packed: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("NETAUG_CACHE", str(packed / "train/000.tar"))
    assert len(index_shards([str(packed / "train/000.tar")], None, None)[0].keys_N) == 4
    assert "cannot be kept" in caplog.text


def test_images_travel_to_workers_and_stay_readable(packed: Path):
    images = build_data(shards(packed), seed=0).train._batches._loader.dataset.split.images
    again = pickle.loads(pickle.dumps(images))
    assert torch.equal(again.read(3), images.read(3))
    assert again.size(3) == (8, 8)


def test_damaged_images_are_named_or_left_out(packed: Path, caplog: pytest.LogCaptureFixture):
    write_shard(
        packed / "train/000.tar", [*sample("good", "cat"), ("bad.jpg", b"no image"), ("bad.cls", b"cat")]
    )
    with pytest.raises(DataError, match=r"000\.tar/bad\.jpg' does not decode"):
        batches(shards(packed, batch_size=1))
    data = build_data(shards(packed, on_error="skip", batch_size=8), seed=0)
    assert sum(len(batch) for batch in data.train.epoch(0)) == 7
    assert "left out 1 image" in caplog.text


def test_a_shard_that_shrinks_in_mid_training_is_named(packed: Path):
    data = build_data(shards(packed), seed=0)
    os.truncate(packed / "train/001.tar", 600)
    with pytest.raises(DataError, match=r"001\.tar' changed since it was indexed"):
        list(data.train.epoch(0))


@pytest.mark.parametrize("cut", [-1, 700, 512, 100, 2000, 0])
def test_a_truncated_shard_is_named_with_the_byte(packed: Path, cut: int):
    """Also where it ends between two members, or before the mark of the end."""
    shard = packed / "train/001.tar"
    size = shard.stat().st_size
    with tarfile.open(shard) as tar:
        data_end = max(member.offset_data + 512 for member in tar)
    os.truncate(shard, data_end if cut < 0 else cut)
    error = error_of(shards(packed))
    assert f"'{shard}' is truncated or damaged at byte" in error.where
    assert size > shard.stat().st_size


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(packed: Path):
    shard = packed / "train/001.tar"
    content = bytearray(shard.read_bytes())
    with tarfile.open(shard) as tar:
        start = tar.getmembers()[4].offset
    content[start : start + 50] = b"x" * 50
    shard.write_bytes(content)
    error = error_of(shards(packed))
    assert f"at byte {start:,} of" in error.where


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_special_files_are_refused(packed: Path, kind: bytes):
    with tarfile.open(packed / "train/000.tar", "w") as tar:
        info = tarfile.TarInfo("a.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    assert "is refused" in error_of(shards(packed)).where


@pytest.mark.parametrize("name", ["../a.jpg", "/a.jpg", "x/../../a.jpg"])
def test_members_outside_are_refused(packed: Path, name: str):
    write_shard(packed / "train/000.tar", [(name, picture())])
    assert "is refused" in error_of(shards(packed)).where


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_a_label(tmp_path: Path, encoding: str):
    members = [("a.jpg", picture()), ("a.cls", "7".encode(encoding))]
    members += [("b.jpg", picture()), ("b.json", '{"label": "7"}'.encode(encoding))]
    write_shard(tmp_path / "s.tar", members)
    index = index_shard(str(tmp_path / "s.tar"), None, None)
    assert index.labels_N.tolist() == [b"7", b"7"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "has no samples"),
        ([("a.cls", b"0")], "has no image"),
        ([("a.jpg", picture()), ("a.png", picture()), ("a.cls", b"0")], "has more than one image"),
        ([("a.jpg", picture())], "has no label"),
        ([("a.jpg", picture()), ("a.json", b'{"class": 1}')], "has no label"),
        ([("a.jpg", picture()), ("a.json", b'{"label": [1]}')], "is not a label"),
        ([("a.jpg", picture()), ("a.json", b"{")], "is not JSON"),
        ([("a.jpg", picture()), ("a.json", b"[" * 100_000)], "is not JSON"),
        ([("a.jpg", picture()), ("a.cls", b"\xff")], "is not text"),
        ([("a.jpg", picture()), ("a.cls", b" ")], "a label is missing"),
        ([("a.jpg", picture()), ("a.cls", b"-1")], "out of range"),
        ([("a.jpg", picture()), ("a.txt", b"x" * 2**20 + b"x")], "too large for a label"),
        ([*sample("a", 0), *sample("a", 0)], "twice"),
    ],
)
def test_a_wrong_sample_is_named(tmp_path: Path, members: list[tuple[str, bytes]], message: str):
    write_shard(tmp_path / "train.tar", members)
    error = error_of(shards(tmp_path, holdout=0.5))
    assert message in error.where
    assert "train.tar" in str(error)


@pytest.mark.parametrize(("content", "tool"), [(b"\x1f\x8b\x08abc", "gunzip"), (b"BZh9xxx", "bunzip2")])
def test_compressed_shards_say_how_to_unpack_them(tmp_path: Path, content: bytes, tool: str):
    (tmp_path / "train.tar").write_bytes(content)
    assert tool in str(error_of(shards(tmp_path, holdout=0.5)).fix)


@pytest.mark.parametrize("content", [b"", b"no tar file at all"])
def test_other_files_are_no_shards(tmp_path: Path, content: bytes):
    (tmp_path / "train.tar").write_bytes(content)
    assert "truncated or damaged at byte" in error_of(shards(tmp_path, holdout=0.5)).where


def test_missing_shards_are_counted_and_named(packed: Path):
    error = error_of(shards(packed, train_split="train/{000..004}.tar"))
    assert "2 of 5 shards" in error.where
    assert "003.tar" in str(error.got)


def test_a_folder_without_shards_shows_what_is_there(two_classes: Path):
    error = error_of(shards(two_classes))
    assert "no shards of 'train'" in error.where
    assert "train/, val/" in str(error.got)


def test_training_shards_may_not_be_evaluated_on(packed: Path):
    assert "for training and for evaluation" in error_of(shards(packed, val_split="train/000.tar")).where


@pytest.mark.parametrize(
    "pattern", ["a{0..9.tar", "a{}.tar", "a{5..1}.tar", "{0..99999}{0..99999}.tar", "{0..999999999999}.tar"]
)
def test_a_pattern_that_means_nothing_is_refused(packed: Path, pattern: str):
    assert pattern in error_of(shards(packed, train_split=pattern)).where


def test_captions_are_not_silently_taken_for_classes(caplog: pytest.LogCaptureFixture):
    from netaug.data.labels import RawLabels

    caplog.set_level(logging.WARNING)
    resolve_labels(RawLabels([f"a photo of {i}" for i in range(60)], "'s.tar'", str), None, None)
    assert "60 different labels on 60 images" in caplog.text
