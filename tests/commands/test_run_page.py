"""`netaug report RUN` shows facts, curves, augmented images and predictions, or says why there are no pictures."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from netaug.cli import main
from netaug.core.yaml_files import read_yaml
from netaug.report.run_page import write_missing_pages


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "digits"
    words = ["--data.limit", "128", "--train.epochs", "1", "--train.threads", "1", "--out", str(folder)]
    assert main(["train", "demo/digits", *words]) == 0
    return folder


def shown(page: Path) -> str:
    return re.sub(r"<[^>]*>|\s+", " ", page.read_text()).replace("\xa0", " ")


@pytest.mark.slow
def test_the_page_of_a_run_has_facts_curves_and_pictures(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run)]) == 0
    page = run / "report.html"
    assert capsys.readouterr().out.strip() == str(page)
    text = re.sub(r"\s+", " ", shown(page))
    for part in (
        "network micronet, with NetAug",
        "data digits",
        "128 to train on, 359 in test",
        "parameters 331",
        "images per second, median of epochs",
        "Learning rate",
        "Throughput",
        "Augmented training images",
        "Images from all over test, by the network of the last epoch.",
    ):
        assert part in text
    assert page.read_text().count('src="data:image/png;base64,') == 48
    assert len(re.findall(r"\b\d \d+ % (?:right|wrong, is \d)", text)) == 24


@pytest.mark.slow
def test_a_run_whose_data_is_gone_has_a_page_without_pictures(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "run"
    shutil.copytree(run, moved)
    config = (moved / "config.yaml").read_text()
    settings = config.replace("name: digits", "name: folder").replace("root: null", "root: /gone")
    (moved / "config.yaml").write_text(settings)
    assert read_yaml(moved / "config.yaml")["data"]["root"] == "/gone"
    assert main(["report", str(moved)]) == 0
    assert "There are no pictures: " in capsys.readouterr().err
    assert "There are no pictures: " in shown(moved / "report.html")
    assert main(["report", str(moved), "--plain"]) == 0
    assert "There are no" not in shown(moved / "report.html")


@pytest.mark.slow
def test_a_run_without_a_network_yet_shows_its_training_images(run: Path, tmp_path: Path) -> None:
    begun = tmp_path / "run"
    shutil.copytree(run, begun)
    (begun / "model.safetensors").unlink()
    assert main(["report", str(begun)]) == 0
    text = shown(begun / "report.html")
    assert "Augmented training images" in text
    assert "There are no predictions: " in text


@pytest.mark.slow
def test_pages_of_runs_are_written_once(run: Path, tmp_path: Path) -> None:
    page = run / "report.html"
    page.unlink(missing_ok=True)
    write_missing_pages([run, tmp_path, tmp_path / "nothing"])
    written = page.stat().st_mtime_ns
    write_missing_pages([run])
    assert page.stat().st_mtime_ns == written


@pytest.mark.slow
def test_pages_that_several_processes_draw_are_the_same(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netaug.report.run_page._MANY", 2)
    pages = []
    for jobs in (1, 2):
        folders = [tmp_path / str(jobs) / name for name in ("a", "b")]
        for folder in folders:
            shutil.copytree(run, folder, ignore=shutil.ignore_patterns("report.html"))
        write_missing_pages([*folders, tmp_path / "nothing"], jobs)
        pages.append([(folder / "report.html").read_bytes() for folder in folders])
    assert pages[0] == pages[1]
