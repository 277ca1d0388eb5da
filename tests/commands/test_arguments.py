"""What all commands do with the words of a command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from netaug.cli import main
from netaug.config.loading import load_config

SHORT = ("train", "demo/digits", "--data.limit=64", "--train.warmup_epochs=0", "--train.threads=1")


def test_of_a_setting_given_twice_the_last_counts_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "run"
    assert main([*SHORT, "--train.epochs=3", "--train.epochs", "1", "--out", str(out)]) == 0
    assert "--train.epochs is given twice, as 3 and as 1; the last one counts" in caplog.text
    assert load_config(str(out / "config.yaml")).train.epochs == 1


def test_a_setting_given_twice_alike_is_not_spoken_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = [*SHORT, "--train.epochs=1", "--train.epochs=1", "--out", str(tmp_path / "run")]
    assert main(words) == 0
    assert "given twice" not in caplog.text
