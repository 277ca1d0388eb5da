"""`netaug report` writes pages anew from what is on disk."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from netaug.cli import main
from netaug.report.comparison_pages import FILES
from tests.compare.helpers import request, run_fake


def test_a_recipe_is_compared_and_its_pages_come_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from elsewhere, though the command has a relative folder."""
    monkeypatch.chdir(tmp_path)
    made, _ = run_fake(request(Path("out"), recipe="demo/digits", seeds=1))
    assert made.request.plan is None  # a recipe alone is spoken of as NetAug against the baseline
    written = {name: (tmp_path / "out" / name).read_text() for name in FILES}
    for name in FILES:
        (tmp_path / "out" / name).unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
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
    assert 'href="netaug-seed0/report.html"' in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_a_run_has_a_page_with_its_gradients(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [
        "--train.epochs",
        "2",
        "--data.limit",
        "64",
        "--train.warmup_epochs",
        "0",
        "--train.threads",
        "1",
    ]
    assert main(["train", "demo/digits", *words, "--out", str(run)]) == 0
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "after 2 of 2 epochs" in page
    assert "Fraction of the gradient" in page
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


def _run_of_two_epochs(folder: Path) -> Path:
    """A run folder as `netaug runs` and `netaug report` read it."""
    folder.mkdir()
    settings = "model: {name: micronet}\ntrain: {epochs: 2, seed: 0}\nnetaug: {enabled: true}\n"
    (folder / "config.yaml").write_text(settings)
    epoch = {
        "epoch": 0,
        "train_top1": 10.0,
        "val_top1": 20.0,
        "seconds": 1.0,
        "train_loss": 2.0,
        "val_loss": 2.0,
    }
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps(epoch | {"epoch": number}) + "\n" for number in (0, 1))
    )
    return folder


@pytest.mark.parametrize("obstacle", ["a folder in its place", "a full disk", "no right"])
def test_a_page_that_cannot_be_written_is_a_message(
    tmp_path: Path, obstacle: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _run_of_two_epochs(tmp_path / "run")
    assert main(["report", str(run)]) == 0
    (run / "report.html").unlink()
    if obstacle == "a folder in its place":
        (run / "report.html").mkdir()
    else:
        number = errno.ENOSPC if obstacle == "a full disk" else errno.EACCES

        def refuse(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("netaug.core.io.os.fsync", refuse)
    capsys.readouterr()
    assert main(["report", str(run)]) == 2
    assert "report.html' cannot be written" in capsys.readouterr().err
    assert not list(run.glob(".report*"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.jsonl", '{"epoch": "x", "train_top1": "y", "val_top1": [], "seconds": {}}\n'),
        ("metrics.jsonl", "[" * 100_000 + "\n"),
        ("metrics.jsonl", "3\n"),
        ("summary.json", '{"epochs": "many"}'),
        ("summary.json", "[" * 100_000),
        ("summary.json", "3"),
    ],
)
def test_a_hostile_run_folder_is_a_message(
    tmp_path: Path, name: str, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _run_of_two_epochs(tmp_path / "run")
    (run / name).write_text(content)
    assert main(["report", str(run)]) == 2
    assert "RunFolderError" in capsys.readouterr().err
    assert main(["runs", str(tmp_path)]) == 0


@pytest.mark.parametrize("name", ["metrics.jsonl", "summary.json", "environment.json", "config.yaml"])
def test_a_pipe_in_a_run_folder_is_not_waited_for(tmp_path: Path, name: str) -> None:
    run = _run_of_two_epochs(tmp_path / "run")
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    assert main(["report", str(run)]) in (0, 2)
    assert main(["runs", str(tmp_path)]) == 0


def test_what_a_run_folder_says_is_shown_on_its_page(tmp_path: Path) -> None:
    run = _run_of_two_epochs(tmp_path / "run")
    (run / "config.yaml").write_text('model: {name: "<script>\\u202e\\e[2J"}\ntrain: {epochs: 2}\n')
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "&lt;script&gt;\\u202e\\x1b[2J" in page
    assert not {"\x1b", "\u202e"} & set(page)
