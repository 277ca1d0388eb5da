"""What lies in a folder is read once per command, although settings, counts and the training need it."""

from __future__ import annotations

import importlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netaug.api.training import settings_of
from netaug.core.errors import DataError
from netaug.core.one_command import forget, kept, one_command
from netaug.data import build_data
from netaug.data.detection.build import read_source
from netaug.data.detection.problems import Problems
from netaug.data.registry import find_dataset
from tests.data.detection.making import coco_entries, config_for, make_coco, make_voc, small_voc, voc_object
from tests.data.layout_kit import picture


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Counter[str]]:
    """Count the calls of a function of a module by its first argument, which is a path."""

    def counting(module: str, name: str) -> Counter[str]:
        calls: Counter[str] = Counter()
        found = getattr(importlib.import_module(module), name)

        def counted(path: Any, *arguments: Any) -> Any:
            calls[os.path.basename(path)] += 1
            return found(path, *arguments)

        monkeypatch.setattr(f"{module}.{name}", counted)
        return calls

    return counting


def prepare(root: Path, *words: str) -> None:
    """Do what `netaug train --data DIR` does before its first step."""
    with one_command():
        _, config = settings_of(None, [f"--data.root={root}", *words])
        build_data(config.data, seed=0)
        assert not kept(), "a training holds no second copy of what it has read"


DETECTOR = ("--model.name=yolov3:mobilenetv2-0.35", "--data.image_size=96")


@pytest.mark.parametrize("lists", [True, False], ids=["with evaluation images", "without"])
def test_annotations_are_parsed_once(
    tmp_path: Path, count: Callable[[str, str], Counter[str]], lists: bool
) -> None:
    small_voc(tmp_path / "voc")
    if not lists:
        for path in (tmp_path / "voc/ImageSets/Main").iterdir():
            path.unlink()
    for split, files in (("train", 8), ("val", 4))[: 1 + lists]:
        make_coco(tmp_path / "coco", split, *coco_entries([f"{number}.png" for number in range(files)]))
    for split, files in (("train", 8), ("val", 4))[: 1 + lists]:
        for number in range(files):
            picture(tmp_path / "yolo" / "images" / split / f"{split}{number}.jpg")
            label = tmp_path / "yolo" / "labels" / split / f"{split}{number}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text("0 0.5 0.5 0.4 0.4\n")
    (tmp_path / "yolo" / "data.yaml").write_text(
        "train: images/train\n" + "val: images/val\n" * lists + "names: [cat]\n"
    )
    for name, module, function, files in (
        ("voc", "netaug.data.readers.voc", "read_voc", 13),
        ("coco", "netaug.data.readers.coco", "read_coco", 1 + lists),
        ("yolo", "netaug.data.readers.yolo", "read_labels", 8 + 4 * lists),
    ):
        calls = count(module, function)
        prepare(tmp_path / name, *DETECTOR)
        assert set(calls.values()) == {1}, name
        assert len(calls) == files, name


def test_class_folders_are_walked_once(tmp_path: Path, count: Callable[[str, str], Counter[str]]) -> None:
    for name in ("cat", "dog"):
        for number in range(10):
            picture(tmp_path / name / f"{number}.jpg")
    calls = count("netaug.data.readers.folder", "scan_split")
    prepare(tmp_path, "--model.name=micronet")
    assert calls == {tmp_path.name: 1}


@pytest.fixture
def in_a_command() -> Iterator[None]:
    with one_command():
        yield


@pytest.mark.usefixtures("in_a_command")
def test_only_what_is_read_alike_is_read_once(tmp_path: Path) -> None:
    root = small_voc(tmp_path)
    read = find_dataset("voc").read
    first = read(config_for(root), Problems(skip=False))
    assert read(config_for(root, batch_size=2, limit=3, classes=("cat",)), Problems(skip=True)) is first
    held = read(config_for(root, holdout=0.2), Problems(skip=True))
    assert held is not first
    assert read(config_for(root, holdout=0.3, tune_holdout=0.1), Problems(skip=True)) is held
    assert read(config_for(root, box_orientation="stored"), Problems(skip=True)) is not first
    with one_command():  # inside of another one it is that one
        assert read(config_for(root), Problems(skip=True)) is first
    forget()
    assert read(config_for(root), Problems(skip=True)) is not first


def test_another_command_reads_again(tmp_path: Path) -> None:
    root, read = small_voc(tmp_path), find_dataset("voc").read
    with one_command():
        first = read(config_for(root), Problems(skip=True))
    with one_command():
        assert read(config_for(root), Problems(skip=True)) is not first
    assert read(config_for(root), Problems(skip=True)) is not read(config_for(root), Problems(skip=True))


@pytest.mark.usefixtures("in_a_command")
def test_problems_are_told_to_everyone_who_asks(tmp_path: Path) -> None:
    bad = voc_object("cat", (90, 90, 95, 95))
    root = make_voc(tmp_path, {"train": ["a"], "val": ["b"]}, {"a": [bad, voc_object("cat", (5, 5, 20, 20))]})
    told = [Problems(skip=True), Problems(skip=True)]
    sources = [read_source(config_for(root), problems) for problems in told]
    assert sources[0] is sources[1]
    assert told[0].counts == told[1].counts == {"outside": 1}
    assert told[0].first() == told[1].first()
    with pytest.raises(DataError, match="outside"):
        read_source(config_for(root), Problems(skip=False))
    many = Problems(skip=True, keep=5)
    assert read_source(config_for(root), many) is not sources[0]
    assert many.counts == {"outside": 1}
