"""`netaug report` writes pages anew from what is on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netaug.cli import main
from netaug.compare.engine import compare
from netaug.compare.request import CompareRequest
from netaug.report import FILES

SMALL = ("--train.epochs=2", "--data.limit=64", "--train.warmup_epochs=0")


@pytest.mark.slow
def test_a_recipe_is_compared_and_its_pages_come_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from elsewhere, though the command has a relative folder."""
    monkeypatch.chdir(tmp_path)
    asked = CompareRequest("demo/digits", SMALL, seeds=1, jobs=1, out=Path("out"), threads=1)
    made = compare(asked)
    assert made.request.plan is None  # a recipe alone is spoken of as NetAug against the baseline
    written = {name: (tmp_path / "out" / name).read_text() for name in FILES}
    for name in FILES:
        (tmp_path / "out" / name).unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    capsys.readouterr()
    assert main(["report", "../out"]) == 0
    said = capsys.readouterr().out
    assert made.verdict.headline in said
    assert "not finished" not in said
    for name in ("arms.csv", "differences.csv"):
        assert (tmp_path / "out" / name).read_text() == written[name]
    anew = (tmp_path / "out" / "report.md").read_text()
    assert (
        anew.replace("--out ../out", "--out out").splitlines()[:20] == written["report.md"].splitlines()[:20]
    )
    assert (tmp_path / "out" / "report.html").is_file()
    run = tmp_path / "out" / "netaug-seed0"
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "after 2 of 2 epochs" in page
    assert "Share of the augmented pass" in page
    assert page.count("<script") == 1


@pytest.mark.parametrize(
    "content", [None, {}, {"notes.txt": ""}, {"compare.json": "{}"}, {"config.yaml": ""}]
)
def test_a_folder_without_anything_is_a_mistake(
    tmp_path: Path, content: dict[str, str] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "x"
    for name, text in (content or {}).items():
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    assert main(["report", str(folder)]) == 2
    assert str(folder) in capsys.readouterr().err


def test_a_run_of_a_detector_that_is_not_over_has_a_page(tmp_path: Path) -> None:
    line = {
        "epoch": 0,
        "train_top1": None,
        "val_top1": None,
        "seconds": 2.0,
        "train_loss": 3.0,
        "val_loss": 4.0,
    }
    line |= {"score": "ap50", "val_metrics": {"ap50": 31.0}}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "config.yaml").write_text("train: {epochs: 9}\nmodel: {name: <b>mine</b>}\n")
    assert main(["report", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "AP50 31.00 % after 1 of 9 epochs" in page.replace("\u00a0", " ")
    assert "&lt;b&gt;mine" in page
