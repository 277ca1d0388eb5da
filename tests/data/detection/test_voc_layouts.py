"""Pascal VOC's annotations as annotation tools write them: without lists of splits."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from netaug.api.default_settings import derive_settings
from netaug.cli import main
from netaug.core.errors import DataError, NoEvaluationImagesError
from netaug.data import build_data
from netaug.data.detection.problems import Problems
from netaug.data.readers.voc import load_voc
from netaug.data.recognize import recognize
from tests.data.detection.making import config_for, small_voc, write_image

TRAIN, VAL = [f"a{n}" for n in range(8)], [f"b{n}" for n in range(5)]


def lay_out(root: Path, images: str, annotations: str, splits: dict[str, str] | None = None) -> Path:
    """The small dataset with its files in other folders; `{}` in them is the split's name."""
    original = small_voc(root.parent / f"{root.name}_original")
    for default, ids in (("train", TRAIN), ("val", VAL)):
        split = (splits or {}).get(default, default)
        for one in ids:
            for folder, kind, ending in ((images, "JPEGImages", "png"), (annotations, "Annotations", "xml")):
                target = root / folder.format(split)
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(original / kind / f"{one}.{ending}", target)
    return root


WHOLE = [("JPEGImages", "Annotations"), ("images", "annotations"), ("Images", "annotations/xmls"), (".", ".")]


@pytest.mark.parametrize(("images", "annotations"), WHOLE)
def test_without_splits_a_part_is_held_out(tmp_path: Path, images: str, annotations: str) -> None:
    root = lay_out(tmp_path / "voc", images, annotations)
    assert recognize(root).name == "voc"
    derived = derive_settings([f"--data.root={root}"])
    assert (derived.values["data.name"], derived.values["data.holdout"]) == ("voc", 0.2)
    data = build_data(config_for(root, holdout=0.2), seed=0)
    assert (data.info.train_size, data.info.val_size, data.info.val_split) == (10, 3, "holdout")
    with pytest.raises(NoEvaluationImagesError, match="no split 'val'") as caught:
        load_voc(config_for(root), Problems(skip=False))
    assert "--data.holdout" in str(caught.value)


BY_SPLIT = [
    ("{}", "{}", {"val": "valid"}),
    ("{}", "{}", {"train": "Train", "val": "Test"}),
    ("{}/images", "{}/annotations", {}),
    ("images/{}", "annotations/{}", {"val": "validation"}),
]


@pytest.mark.parametrize(("images", "annotations", "splits"), BY_SPLIT)
def test_folders_of_splits_are_the_splits(
    tmp_path: Path, images: str, annotations: str, splits: dict[str, str]
) -> None:
    root = lay_out(tmp_path / "voc", images, annotations, splits)
    derived = derive_settings([f"--data.root={root}"])
    assert derived.values["data.name"] == "voc"
    assert "data.holdout" not in derived.values
    read = load_voc(config_for(root), Problems(skip=False))
    expected = load_voc(config_for(tmp_path / "voc_original"), Problems(skip=False))
    assert read.val is not None
    assert expected.val is not None
    assert read.val_split == ("test" if "Test" in splits.values() else "val")
    for mine, theirs in ((read.train, expected.train), (read.val, expected.val)):
        pairs = zip(mine.annotations.arrays(), theirs.annotations.arrays(), strict=True)
        assert all(np.array_equal(one, other, equal_nan=True) for one, other in pairs)


@pytest.mark.parametrize(("images", "annotations"), [(images, xmls) for images, xmls, _ in BY_SPLIT[1:]])
def test_a_split_of_another_name_is_chosen_by_it(tmp_path: Path, images: str, annotations: str) -> None:
    root = lay_out(tmp_path / "voc", images, annotations, {"val": "dev"})
    with pytest.raises(DataError, match="no split 'val'") as caught:
        derive_settings([f"--data.root={root}"])
    assert "dev, train" in str(caught.value)
    chosen = load_voc(config_for(root, val_split="dev"), Problems(skip=False))
    assert chosen.val is not None
    assert len(chosen.val) == 5
    with pytest.raises(DataError, match="no split 'nosuch'") as caught:
        load_voc(config_for(root, val_split="nosuch"), Problems(skip=False))
    assert "--data.val_split NAME" in str(caught.value)


def test_the_one_list_that_a_tool_writes_is_trained_on(tmp_path: Path) -> None:
    root = small_voc(tmp_path)
    lists = root / "ImageSets" / "Main"
    ids = [path.read_text() for path in sorted(lists.glob("*.txt"))]
    shutil.rmtree(lists)
    lists.mkdir()
    (lists / "default.txt").write_text("".join(ids))
    assert derive_settings([f"--data.root={root}"]).values["data.holdout"] == 0.2


def test_images_that_nobody_annotated_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = lay_out(tmp_path / "voc", "images", "annotations")
    write_image(root / "images" / "later.png", (40, 40))
    (root / "annotations" / "a0.xml").rename(root / "annotations" / "a0.XML")
    (root / "annotations" / "._a0.xml").write_bytes(b"\0")
    with caplog.at_level(logging.WARNING, "netaug"):
        source = load_voc(config_for(root, holdout=0.2), Problems(skip=False))
    assert len(source.train) == 13
    assert "1 of the 14 images" in caplog.text
    assert "later.png" in caplog.text
    (root / "images" / "a1.png").unlink()
    with pytest.raises(DataError, match="there is no image"):
        load_voc(config_for(root, holdout=0.2), Problems(skip=False))


def test_evaluation_images_that_are_trained_on_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = small_voc(tmp_path)
    with caplog.at_level(logging.WARNING, "netaug"):
        build_data(config_for(root), seed=0)
        assert "trained on too" not in caplog.text
        with (root / "ImageSets" / "Main" / "val.txt").open("a") as val:
            val.write("a3\na1\n")
        build_data(config_for(root), seed=0)
    assert "2 of the 7 evaluation images are trained on too" in caplog.text
    assert "a1.png" in caplog.text


def test_annotations_beside_images_are_not_forgotten_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = lay_out(tmp_path / "voc", ".", ".")
    (root / "a0.xml").rename(root / "a0.XML")
    (root / "forgotten.txt").touch()
    main(["data", "check", "--data", str(root), "--data.image_size", "96"])
    said = capsys.readouterr().out
    assert "files that no split reads" in said
    assert "forgotten.txt" in said
    assert ".xml" not in said.lower()


def test_a_folder_around_a_dataset_is_looked_into(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "down load" / "My Export.v1", "{}", "{}", {"val": "valid"}).parent
    shutil.rmtree(root / "My Export.v1_original")
    (root / "__MACOSX").mkdir()
    derived = derive_settings([f"--data.root={root}", "--model.name=yolov3:mobilenetv2-0.35"])
    assert derived.name == "yolov3-mobilenetv2-0.35-down load"
    assert derived.with_given([f"--data.root={root}"])[-1] == f"--data.root={root / 'My Export.v1'}"
    assert "side by side in train, valid in My Export.v1" in derived.explanation


def test_class_folders_with_notes_in_xml_stay_class_folders(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        write_image(tmp_path / name / "1.png", (16, 16))
        (tmp_path / name / "1.xml").write_text("<annotation/>")
    (tmp_path / "notes.xml").write_text("<notes/>")
    assert recognize(tmp_path).name == "folder"
    (tmp_path / "only" / "test").mkdir(parents=True)
    for name in ("cat", "dog"):
        (tmp_path / name).rename(tmp_path / "only" / "test" / name)
    with pytest.raises(DataError, match="no dataset that is known"):
        recognize(tmp_path / "only")
