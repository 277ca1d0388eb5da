"""A comparison's folder says again what it said, without any training, also before all runs have ended."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from netaug.compare.reread import command_of, reread
from netaug.core.errors import RunFolderError
from tests.compare.helpers import request, run_fake


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_comparison_is_reread_as_it_was(tmp_path: Path) -> None:
    asked = request(tmp_path / "out", "--fake.fail=netaug:1", lrs=(0.1, 0.2))
    before, _ = run_fake(asked)
    files = _content(asked.out)
    found = reread(asked)
    assert found.missing == ()
    assert (found.comparison.rows, found.comparison.verdict) == (before.rows, before.verdict)
    assert (found.comparison.settings, found.comparison.environment) == (before.settings, before.environment)
    kept = [
        [(run.spec, run.summary, run.curve, run.lr) for run in one.runs] for one in (found.comparison, before)
    ]
    assert kept[0] == kept[1]
    assert any(run.summary is None for run in found.comparison.runs)
    assert _content(asked.out) == files


def test_a_folder_that_was_moved_is_reread(tmp_path: Path) -> None:
    before, _ = run_fake(request(tmp_path / "out"))
    shutil.move(tmp_path / "out", tmp_path / "moved")
    found = reread(replace(before.request, out=tmp_path / "moved"))
    assert found.comparison.rows == before.rows


def test_what_has_not_ended_is_left_out_and_said(tmp_path: Path) -> None:
    asked = request(tmp_path / "out")
    run_fake(asked)
    for name in ("baseline-long-seed0", "baseline-long-seed1", "netaug-seed1"):
        (asked.out / name / "summary.json").unlink()
    files = _content(asked.out)
    found = reread(asked)
    assert set(found.missing) == {"baseline-long-seed0", "baseline-long-seed1", "netaug-seed1"}
    assert {row.arm: row.n for row in found.comparison.rows} == {"baseline": 2, "netaug": 1}
    assert found.comparison.verdict.hints[0].startswith("Not finished: 3 of 6 known runs")
    assert _content(asked.out) == files


def test_nothing_finished_is_an_error_that_names_the_command(tmp_path: Path) -> None:
    asked = request(tmp_path / "out")
    run_fake(asked)
    for summary in asked.out.glob("*/summary.json"):
        summary.unlink()
    with pytest.raises(RunFolderError, match="no run of the comparison") as caught:
        reread(asked)
    assert "netaug compare demo/fake" in caught.value.report()


def test_the_command_is_kept_with_the_folder(tmp_path: Path) -> None:
    asked = request(tmp_path / "my out")
    run_fake(asked)
    assert command_of(asked.out)[:3] == ["demo/fake", "--seeds", "2"]
    assert str(asked.out) in command_of(asked.out)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", json.dumps({"command": "rm -r x"}), json.dumps({"command": 3})]
)
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "compare.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"compare\.json"):
        command_of(tmp_path)
