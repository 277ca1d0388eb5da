"""`netaug predict` of a classifier: files, folders and patterns in; text, JSON and CSV out; broken files are named."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import netaug
from netaug.cli import main
from netaug.models import create_model
from netaug.weights.metadata import ModelCard, save_weights


def write_classifier(path: Path, names: tuple[str, ...]) -> None:
    """A weights file of an untrained classifier."""
    card = ModelCard(
        name="micronet",
        options={},
        num_classes=len(names),
        in_chans=3,
        class_names=names,
        image_size=16,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        crop_ratio=1.0,
        top1=None,
        val_split="val",
        netaug_version="0",
    )
    torch.manual_seed(0)
    save_weights(path, create_model(card.name, num_classes=len(names), in_chans=3), card)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures, of which one is in a folder below, and a broken one; the test runs there."""
    monkeypatch.chdir(tmp_path)
    write_classifier(Path("w.safetensors"), ("=cat", "dog"))
    draw = np.random.default_rng(0)
    Path("in/deep").mkdir(parents=True)
    for name in ("in/a.png", "in/c.png", "in/deep/+d.png"):
        Image.fromarray(draw.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(name)
    Path("in/b.png").write_text("no picture")
    return tmp_path


def test_a_broken_file_is_named_and_the_next_one_follows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "w.safetensors", "in", "gone.png", "--json", "--device", "cpu"]) == 2
    output = capsys.readouterr()
    a, b, c, gone = json.loads(output.out)
    assert [a["image"], c["image"], gone["image"]] == ["in/a.png", "in/c.png", "gone.png"]
    assert b == {"image": "in/b.png", "error": "the image 'in/b.png' does not decode."}
    assert {entry["name"] for entry in a["classes"]} == {"=cat", "dog"}
    assert "2 of 4 images have no prediction" in output.err
    assert "'in/b.png' does not decode. there is no image file 'gone.png'." in output.err


def test_in_python_a_broken_file_raises_or_is_left_out_as_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(netaug.errors.DataError, match=r"'in/b\.png' does not decode"):
        netaug.predict("w.safetensors", "in")
    found = netaug.predict("w.safetensors", ["gone.png", "in"], on_error="skip")
    assert [prediction.image for prediction in found] == ["in/a.png", "in/c.png"]
    assert "left out: there is no image file 'gone.png'" in caplog.text
    assert "left out: the image 'in/b.png'" in caplog.text
    with pytest.raises(netaug.errors.ConfigError, match="on_error"):
        netaug.predict("w.safetensors", "in", on_error="ignore")  # type: ignore[arg-type]


def test_a_pattern_stands_for_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "w.safetensors", "in/**/*[cd].png", "--top", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == ["in/c.png", "in/deep/+d.png"]
    assert main(["predict", "w.safetensors", "in/*.gif"]) == 2
    assert "no image matches 'in/*.gif'" in capsys.readouterr().err


def test_predictions_are_saved_as_the_name_says(capsys: pytest.CaptureFixture[str]) -> None:
    images = ["in/a.png", "in/deep/+d.png", "in/b.png"]
    assert main(["predict", "w.safetensors", *images, "--save", "new/p.csv"]) == 2  # one is broken
    shown = capsys.readouterr().out
    lines = list(csv.DictReader(Path("new/p.csv").read_text().splitlines()))
    assert [line["image"] for line in lines] == images
    assert {lines[0]["prediction"], lines[0]["prediction_2"]} == {
        "'=cat",
        "dog",
    }  # a spreadsheet runs nothing
    assert f"{100 * float(lines[0]['probability']):5.1f} %" in shown
    assert (lines[2]["prediction"], lines[2]["error"]) == ("", "the image 'in/b.png' does not decode.")
    assert main(["predict", "w.safetensors", *images[:2], "--save", "new"]) == 0
    assert sorted(path.name for path in Path("new").iterdir()) == [
        "p.csv",
        "predictions.csv",
        "predictions.json",
    ]
    saved = json.loads(Path("new/predictions.json").read_text())
    assert saved[1]["classes"][0]["probability"] == pytest.approx(float(lines[1]["probability"]), abs=1e-6)
    capsys.readouterr()
    assert main(["predict", "w.safetensors", "in/a.png", "--save", "w.safetensors"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_imagenets_classes_have_words(capsys: pytest.CaptureFixture[str]) -> None:
    write_classifier(Path("ids.safetensors"), ("n01440764", "n02012849"))
    assert main(["predict", "ids.safetensors", "in/a.png", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert {entry["name"] for entry in found["classes"]} == {"tench", "crane (n02012849)"}
