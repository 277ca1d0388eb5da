"""A network is checked against a board before it is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from netaug.cli import main

pytestmark = pytest.mark.slow


def test_boards_are_listed_with_the_sources_of_their_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boards"]) == 0
    assert "https://" in capsys.readouterr().out
    assert main(["boards", "stm32h743"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert main(["boards", "stm32h7"]) == 2
    assert "did you mean stm32h743" in capsys.readouterr().err


def test_inspect_says_whether_a_network_fits_and_what_would(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["inspect", "micronet", "--num-classes", "10"]
    assert main([*words, "--board", "nucleo-f446re"]) == 0
    assert "nucleo-f446re: fits, and leaves 120 KB of SRAM" in capsys.readouterr().out
    assert main([*words, "--sram", "4KB"]) == 0
    text = capsys.readouterr().out
    assert "does not fit, the network needs 8,624 B of SRAM at stages.0.0.depthwise.conv" in text
    assert "images of 16 pixels need 2,288 B" in text
    assert main([*words, "--board", "z80"]) == 2
    assert main([*words, "--sram", "lots"]) == 2


def test_training_for_a_board_that_is_too_small_does_not_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["train", "demo/digits", "--out", str(out), "--train.epochs", "1", "--train.warmup_epochs", "0"]
    assert main([*words, "--sram", "300"]) == 2
    assert "does not fit" in capsys.readouterr().err
    assert not out.exists()
    assert main([*words, "--sram", "4KB", "--flash", "64KB"]) == 0
    assert "the given memory: fits" in capsys.readouterr().out
    assert (out / "summary.json").exists()
