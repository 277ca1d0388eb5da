"""`netaug data check` and `netaug data anchors` of datasets with boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netaug.cli import main
from netaug.config import DataConfig, DetectConfig
from netaug.config.settings import typed
from netaug.data import build_data
from tests.data.detection.making import make_voc, small_voc, voc_object, write_image


def data(command: str, root: Path, *more: str) -> int:
    return main(["data", command, "voc", "--data.root", str(root), *more])


def test_a_sound_dataset_is_counted_and_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = make_voc(
        tmp_path,
        {"train": ["a", "b", "n"], "val": ["c"]},
        {"a": [voc_object("cat", (1, 1, 40, 40)), voc_object("dog", (1, 1, 4, 20), difficult=1)], "n": []},
    )
    assert data("check", root, "--data.image_size", "96") == 0
    text = capsys.readouterr().out
    assert "train: 4 objects in 3 images; 1 images without objects, 2 difficult" in text
    assert "are less than 8 pixels wide or high at 96 x 96" in text
    assert "cat  train       2  val       1" in text
    assert "no problems" in text


def test_every_problem_of_annotations_is_named_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = small_voc(tmp_path / "data")
    xml = root / "Annotations" / "a0.xml"
    bad = voc_object("cat", (90, 90, 99, 99)) + voc_object("cat", (9, 9, 3, 3))
    xml.write_text(xml.read_text().replace("</annotation>", f"{bad}</annotation>"))
    (root / "Annotations" / "a1.xml").unlink()
    write_image(root / "JPEGImages" / "b1.png", (10, 10))
    (root / "JPEGImages" / "b2.png").write_bytes(b"nothing")
    out = tmp_path / "found.json"
    assert data("check", root, "--json", str(out)) == 1
    text = capsys.readouterr().out
    assert "PROBLEM  1 boxes outside of their image, left out" in text
    assert f"object 3 of '{xml}'" in text
    assert "1 images of another size" in text
    report: dict[str, Any] = json.loads(out.read_text())
    counts = {kind: len(found) for kind, found in report["annotations"].items() if found}
    assert counts == {"no_annotation": 1, "other_size": 1, "swapped": 1, "outside": 1}
    assert [Path(item["name"]).name for item in report["found"]["not_image"]] == ["b2.png"]
    assert report["objects"][0]["objects"] == 15
    assert report["problems"] == 5


def test_networks_are_not_timed_on_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert data("check", small_voc(tmp_path), "--model", "mobilenetv2-tiny") == 2
    assert "leave --model out" in capsys.readouterr().err


def test_anchors_are_those_that_training_finds_and_the_line_gives_them_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    root = small_voc(tmp_path)
    assert data("anchors", root, "--data.image_size", "128") == 0
    text = capsys.readouterr().out
    config = DataConfig(name="voc", root=str(root), image_size=128, augment="detection", batch_size=2)
    anchors = build_data(config, seed=0, detect=DetectConfig()).info.anchors
    line = text.splitlines()[-1]
    assert line.startswith('--detect.anchor_sizes "[')
    given = typed("detect.anchor_sizes", json.loads(line.split('"')[1]), "here")
    assert given == pytest.approx([value for size in anchors for value in size])
    pasted = build_data(config, seed=0, detect=DetectConfig(anchor_sizes=given)).info.anchors
    assert pasted == anchors
    assert "12 boxes of 8 images, at 128 x 128 pixels" in text
    assert text.count("stride") == 3


def test_anchors_of_a_recipe_and_of_images_without_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("data:\n  name: voc\n  image_size: 96\n  augment: detection\n")
    root = small_voc(tmp_path / "data")
    assert main(["data", "anchors", str(recipe), "--data.root", str(root)]) == 0
    assert "at 96 x 96 pixels" in capsys.readouterr().out
    assert main(["data", "anchors", "digits"]) == 2
    assert "these images have none" in capsys.readouterr().err
    assert data("anchors", root, "--data.image_size", "100") == 2
    assert "96" in capsys.readouterr().err
