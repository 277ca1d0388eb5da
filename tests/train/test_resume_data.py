"""A run resumes on the images that it was started with, wherever they lie, and on no others."""

from __future__ import annotations

import csv
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from netaug.config import DataConfig
from netaug.config.loading import load_config
from netaug.core.errors import RunFolderError
from netaug.data import build_data
from netaug.runs.checkpoints import Checkpoints, pack, read_checkpoint
from netaug.runs.resume import check_same_data, data_record
from netaug.train.run import train
from tests.data.detection.making import config_for, small_voc


def make_folder(root: Path) -> Path:
    """Two classes of BMP files, all of one size in bytes."""
    for split, count in (("train", 6), ("val", 2)):
        for label, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                drawn = torch.Generator().manual_seed(100 * label + number)
                pixels_HWC = torch.randint(0, 256, (16, 16, 3), generator=drawn, dtype=torch.uint8)
                Image.fromarray(pixels_HWC.numpy()).save(root / split / name / f"{number}.bmp")
    return root


def swap(first: Path, second: Path) -> None:
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


def swap_in_folder(root: Path) -> None:
    swap(root / "train/cat/3.bmp", root / "train/dog/3.bmp")


def make_table(root: Path) -> Path:
    make_folder(root)
    for split in ("train", "val"):
        rows = [(str(path.relative_to(root)), path.parent.name) for path in sorted(root.glob(f"{split}/*/*"))]
        with (root / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("path", "label"), *rows])
    return root


def swap_in_table(root: Path) -> None:
    table = root / "train.csv"
    words = table.read_text()
    table.write_text(
        words.replace("3.bmp,dog", "3.bmp,x").replace("3.bmp,cat", "3.bmp,dog").replace(",x", ",cat")
    )


def swap_boxes(root: Path) -> None:
    swap(root / "Annotations/a0.xml", root / "Annotations/a6.xml")  # images of the same size


KINDS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], None], str]] = {
    "folder": (make_folder, swap_in_folder, "contents of sampled files of training images"),
    "table": (make_table, swap_in_table, "labels of training images"),
    "voc": (small_voc, swap_boxes, "labels of training images"),
}


def config_of(kind: str, root: Path) -> DataConfig:
    if kind == "voc":
        return config_for(root, val_split="val")
    return DataConfig(name=kind, root=str(root), batch_size=2, image_size=16)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_checkpoint_keeps_is_compared(kind: str, tmp_path: Path) -> None:
    make, change, message = KINDS[kind]
    root = make(tmp_path / "data")
    record = data_record(build_data(config_of(kind, root), seed=0))
    moved = Path(shutil.copytree(root, tmp_path / "elsewhere"))
    check_same_data(record, build_data(config_of(kind, moved), seed=0))
    change(moved)
    with pytest.raises(RunFolderError, match=f"started with: some were(?s:.*){message}"):
        check_same_data(record, build_data(config_of(kind, moved), seed=0))


def test_an_earlier_record_is_not_compared_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = build_data(config_of("folder", make_folder(tmp_path / "data")), seed=0)
    record = data_record(data)
    with caplog.at_level(logging.WARNING):
        check_same_data(record, data)
        assert not caplog.text
        check_same_data({**record, "listing": {**record["listing"], "version": 0}}, data)
        assert "were not compared" in caplog.text
        caplog.clear()
        del record["listing"]
        check_same_data(record, data)
    assert "were not compared" in caplog.text


@pytest.mark.slow
def test_a_run_refuses_swapped_images_and_resumes_on_a_moved_dataset(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_folder(tmp_path / "data")
    words = ("--data.name=folder", "--data.image_size=16", "--data.batch_size=4", "--train.threads=1")
    words = (*words, "--train.warmup_epochs=0", "--model.options.channels=[4, 6]")
    config = load_config("demo/digits", (*words, "--train.epochs=1", f"--data.root={root}"))
    out = tmp_path / "run"
    train(config, out)
    longer = replace(config, train=replace(config.train, epochs=2))
    swap_in_folder(root)
    with pytest.raises(RunFolderError, match="contents of sampled files of training images"):
        train(longer, out, resume=True)
    swap_in_folder(root)
    moved = Path(shutil.move(root, tmp_path / "moved"))
    longer = replace(longer, data=replace(longer.data, root=str(moved)))
    assert [record.epoch for record in train(longer, out, resume=True).folder.records()] == [0, 1]
    assert "were not compared" not in caplog.text
    checkpoint = Checkpoints(out / "checkpoints").paths()[0]
    content = read_checkpoint(checkpoint)
    del content["data"]["listing"]  # as earlier versions wrote it
    checkpoint.write_bytes(pack(content))
    longest = replace(longer, train=replace(longer.train, epochs=3))
    assert len(train(longest, out, resume=True).folder.records()) == 3
    assert "were not compared" in caplog.text
