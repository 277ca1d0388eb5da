"""The benchmark of the input pipeline runs on any folder and names every way."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks import input as bench
from netaug.core.seeding import generator


@pytest.mark.slow
def test_every_way_is_measured_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(6):
        folder = tmp_path / f"class{number % 2}"
        folder.mkdir(exist_ok=True)
        pixels = torch.randint(0, 256, (40, 50, 3), generator=generator(0, number), dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(folder / f"{number}.jpg")
    monkeypatch.setattr("sys.argv", ["input", "--data", str(tmp_path), "--size", "16", "--rounds", "2"])
    bench.main()
    lines = capsys.readouterr().out.splitlines()
    papers = next(line for line in lines if line.startswith("paper's"))
    assert "1.00 x the paper's" in papers
    assert "6 files, 16 px" in lines[0]
    for way in ("timm's", "decoding", "ours", "ours, normalized", "ours, packed pixels", "ours, packed jpeg"):
        assert any(line.startswith(way) and "images/s per core" in line for line in lines)
