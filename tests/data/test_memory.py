"""`--data.cache ram` says what it takes before it takes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data import build_data, memory


def config(root: Path) -> DataConfig:
    return DataConfig(name="folder", root=str(root), batch_size=2, image_size=6, cache="ram")


def test_the_bytes_are_said(two_classes: Path, caplog: pytest.LogCaptureFixture) -> None:
    build_data(config(two_classes), seed=0)
    assert "15 images of 6 x 6 pixels, 1,620 bytes" in caplog.text


def test_too_many_are_refused_before_any_is_decoded(
    two_classes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 1619)
    monkeypatch.setattr("netaug.data.memory.decode_all", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(DataError, match=r"(?s)1,620 bytes.*1,619 bytes are available.*--data\.cache none"):
        build_data(config(two_classes), seed=0)


def test_what_is_available_is_the_least_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    assert memory.available_bytes() is None
    (tmp_path / "meminfo").write_text("MemTotal:  99 kB\nMemAvailable:      3 kB\n")
    assert memory.available_bytes() == 3072
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes() == 3072
    (tmp_path / "memory.max").write_text("1500\n")
    assert memory.available_bytes() == 500
