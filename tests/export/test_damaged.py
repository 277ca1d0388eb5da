"""Damaged files end with one message or with a whole export, never with a traceback, and never with half a folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import netaug
from netaug.cli import main
from netaug.weights.metadata import save_weights
from tests.export.conversions import CARD, digits_weights

QUICK = ["--to", "tflite-int8", "--check", "4", "--calibrate", "16"]


def _damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """The same with some bytes changed, a part missing, or something behind it."""
    kind = rng.integers(4)
    if kind == 0:
        return content[: int(rng.integers(len(content)))]
    if kind == 1:
        return content + rng.bytes(int(rng.integers(1, 50)))
    changed = bytearray(content)
    # the description of a weights file is in its first half, weights are behind it
    half = len(changed) // 2
    span = (0, half) if kind == 2 else (half, len(changed))
    for place in rng.integers(*span, size=int(rng.integers(1, 40))):
        changed[place] = int(rng.integers(256))
    return bytes(changed)


def _ends_well(out: Path, capsys: pytest.CaptureFixture[str], *words: str) -> int:
    code = main(["export", *words, *QUICK, "--out", str(out)])
    message = capsys.readouterr().err
    assert code in (0, 2)
    assert "Traceback" not in message
    if code == 0:
        assert (out / "tflite-int8" / "model.tflite").is_file()
        shutil.rmtree(out)
    assert not [entry for entry in out.parent.iterdir() if "exporting" in entry.name or entry == out]
    return code


@pytest.mark.slow
def test_weights_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, out = digits_weights(tmp_path).read_bytes(), tmp_path / "place" / "out"
    out.parent.mkdir()
    file, codes = tmp_path / "damaged.safetensors", []
    for seed in range(5):
        file.write_bytes(_damaged(content, np.random.default_rng(seed)))
        codes.append(_ends_well(out, capsys, str(file), "--data.name", "digits"))
    assert set(codes) == {0, 2}  # some damage is in single weights only


@pytest.mark.slow
def test_images_to_calibrate_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng, data, out = np.random.default_rng(0), tmp_path / "data", tmp_path / "place" / "out"
    out.parent.mkdir()
    for split in ("train", "val"):
        for label in map(str, range(10)):
            (data / split / label).mkdir(parents=True)
            pixels = rng.integers(0, 256, (12, 12, 3), np.uint8)
            Image.fromarray(pixels).save(data / split / label / "0.png")
    weights = tmp_path / "digits.safetensors"
    network = netaug.create_model("micronet", num_classes=10).eval()
    save_weights(weights, network, replace(CARD, in_chans=3, mean=(0.4,) * 3, std=(0.2,) * 3))
    words = [str(weights), "--data.name", "folder", "--data.root", str(data)]
    codes = [_ends_well(out, capsys, *words)]
    for seed in range(2):
        rng = np.random.default_rng(seed)
        file = data / "train" / str(rng.integers(10)) / "0.png"
        whole = file.read_bytes()
        file.write_bytes(_damaged(whole, rng))
        codes.append(_ends_well(out, capsys, *words))
        file.write_bytes(whole)
    assert codes[0] == 0
    assert 2 in codes


@pytest.mark.slow
def test_run_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = tmp_path / "run", tmp_path / "place" / "out"
    out.parent.mkdir()
    words = ["--netaug.enabled", "false", "--train.epochs", "1", "--train.warmup_epochs", "0"]
    assert main(["train", "demo/digits", *words, "--data.limit", "64", "--out", str(run)]) == 0
    capsys.readouterr()
    assert _ends_well(out, capsys, str(run)) == 0
    assert (run / "exports.jsonl").read_text().count("\n") == 1
    for seed in range(2):
        rng = np.random.default_rng(seed)
        file = run / str(rng.choice(["config.yaml", "model.safetensors"]))
        whole = file.read_bytes()
        file.write_bytes(_damaged(whole, rng))
        _ends_well(out, capsys, str(run))
        file.write_bytes(whole)
    (run / "model.safetensors").unlink()
    assert _ends_well(out, capsys, str(run)) == 2
