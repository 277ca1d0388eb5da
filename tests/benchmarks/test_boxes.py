from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.boxes import main
from tests.data.detection.making import small_voc


def test_the_benchmark_of_batches_with_boxes_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(["--data", str(small_voc(tmp_path)), "--side", "96", "--batch", "2", "--epochs", "1"])
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[1] for row in rows] == ["ram", "none"]
    assert all("images/s" in row for row in rows)
