"""Digests of a dataset's listing: blind to where it lies, not to what is in it."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

from netaug.cli import main
from netaug.config import DataConfig
from netaug.data import build_data
from netaug.data.listing_digest import Digests, below_common_folder, differing_parts
from tests.data.detection.making import config_for, small_voc
from tests.data.shards import shards_of

Make = Callable[[Path, Path], Path]


def digests(name: str, root: Path) -> dict[str, Digests]:
    if name == "voc":
        config = config_for(root, val_split="val")
    else:
        config = DataConfig(name=name, root=str(root), batch_size=2, image_size=8, cache="none")
    listing = build_data(config, seed=0).listing
    assert listing is not None
    return listing.digests


def as_folder(origin: Path, out: Path) -> Path:
    return Path(shutil.copytree(origin, out))


def as_absolute_table(origin: Path, out: Path) -> Path:
    shutil.copytree(origin, out)
    for split in ("train", "val"):
        with (out / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            rows = [(str(path), path.parent.name) for path in sorted(out.glob(f"{split}/*/*.jpg"))]
            csv.writer(file).writerows([("path", "label"), *rows])
    return out


def as_pack(origin: Path, out: Path) -> Path:
    assert main(["data", "pack", "folder", "--data.root", str(origin), "--out", str(out)]) == 0
    return out


def as_saved(origin: Path, out: Path) -> Path:
    names = ["cat", "dog"]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    splits = {}
    for split in ("train", "val"):
        files = sorted(origin.glob(f"{split}/*/*.jpg"))
        columns = {
            "image": [{"bytes": file.read_bytes(), "path": None} for file in files],
            "label": [names.index(file.parent.name) for file in files],
        }
        splits[split] = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict(splits).save_to_disk(out)
    return out


def swap(first: Path, second: Path) -> None:
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


KINDS: dict[str, tuple[str, Make]] = {
    "folder": ("folder", as_folder),
    "table": ("table", as_absolute_table),
    "packed": ("packed", as_pack),
    "webdataset": ("webdataset", shards_of),
    "hf": ("hf", as_saved),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_moved_dataset_has_the_same_digests_and_swapped_images_have_others(
    kind: str, two_classes: Path, tmp_path: Path
) -> None:
    name, make = KINDS[kind]
    before = digests(name, make(two_classes, tmp_path / "one"))
    assert digests(name, make(two_classes, tmp_path / "two" / "deeper")) == before
    swap(two_classes / "train/cat/001.jpg", two_classes / "train/dog/002.jpg")
    after = digests(name, make(two_classes, tmp_path / "three"))
    assert "contents of sampled files of training images" in differing_parts(before, after)
    assert after["evaluation"] == before["evaluation"]


def test_a_renamed_file_a_moved_file_and_a_longer_file_are_told_apart(two_classes: Path) -> None:
    before = digests("folder", two_classes)
    first = two_classes / "val/cat/000.jpg"
    first.rename(first.with_name("0000.jpg"))
    assert differing_parts(before, digests("folder", two_classes)) == ["names or order of evaluation images"]
    first.with_name("0000.jpg").rename(two_classes / "val/dog/100.jpg")
    parts = differing_parts(before, digests("folder", two_classes))
    assert "labels of evaluation images" in parts
    (two_classes / "val/dog/100.jpg").rename(first)
    assert digests("folder", two_classes) == before
    with first.open("ab") as file:
        file.write(b"more")
    parts = differing_parts(before, digests("folder", two_classes))
    assert parts == [
        "file sizes of evaluation images",
        "contents of sampled files of evaluation images",
    ]


def test_boxes_are_labels(tmp_path: Path) -> None:
    root = small_voc(tmp_path / "voc")
    before = digests("voc", root)
    assert digests("voc", Path(shutil.copytree(root, tmp_path / "moved"))) == before
    annotation = root / "Annotations" / "a3.xml"
    annotation.write_text(annotation.read_text().replace("<ymin>6<", "<ymin>7<", 1))
    assert differing_parts(before, digests("voc", root)) == ["labels of training images"]


def test_contents_are_read_up_to_a_bound(two_classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netaug.data.listing_digest._MOST_CONTENT_BYTES", 0)
    before = digests("folder", two_classes)
    for path in sorted(two_classes.glob("train/*/*.jpg"))[1:]:  # the first is the one that is read
        path.write_bytes(bytes(len(path.read_bytes())))
    assert digests("folder", two_classes) == before


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([b"/a/b/x.jpg", b"/a/b/c/y.jpg"], [b"x.jpg", b"c/y.jpg"]),
        ([b"cat/1.jpg", b"cow/1.jpg"], [b"cat/1.jpg", b"cow/1.jpg"]),
        ([b"../p/1.jpg"], [b"1.jpg"]),
        ([], []),
    ],
)
def test_names_are_relative_to_the_folder_that_holds_all(names: list[bytes], expected: list[bytes]) -> None:
    assert list(below_common_folder(names)) == expected
