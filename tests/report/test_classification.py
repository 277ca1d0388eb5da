"""The page of a classifier stands alone; its figures are those of the predictions, and names are shown as they are."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from netaug.cli import main
from netaug.compare.formatting import NONE
from netaug.data.batch import ClassificationBatch, DataInfo
from netaug.report.classification.page import classes_table, render_page, write_predictions
from netaug.report.classification.predictions import ClassifierResults
from netaug.tasks.classify import ClassificationTask
from netaug.tasks.classify_rows import ImageRows

EVIL = "=cmd|'<script>alert(1)</script>"
NAMES = ("cat", EVIL, "dog", "none")


def results(*rows: tuple[int, list[float]], names: tuple[str, ...] = NAMES) -> ClassifierResults:
    """Predictions from (class, probabilities of all classes)."""
    labels_N = torch.tensor([label for label, _ in rows])
    logits_NC = torch.tensor([probabilities for _, probabilities in rows], dtype=torch.float64).log()
    count = len(rows)
    batch = ClassificationBatch(torch.zeros(count, 1, 2, 2, dtype=torch.uint8), labels_N, torch.arange(count))
    info = DataInfo("x", names, 1, 2, (0.5,), (0.5,), 1.0, count, count, "test")
    task = ImageRows(ClassificationTask(), info)
    found = task.rows(logits_NC, batch)
    metrics = task.judged(task.sums(logits_NC, labels_N, task.losses(logits_NC, labels_N)), found)
    return ClassifierResults(
        title="runs/pets",
        split=f"test of pets, {count} images",
        rows=found.numpy(),
        class_names=names,
        metrics=metrics,
        score="top1",
        name=lambda image: f"+{image}{EVIL}.jpg",
        read=lambda image: torch.full((3, 100, 80), image, dtype=torch.uint8),
        facts={"network": EVIL},
        command="netaug eval runs/pets --report out",
    )


def few() -> ClassifierResults:
    return results(
        (0, [0.95, 0.01, 0.03, 0.01]),
        (0, [0.25, 0.01, 0.73, 0.01]),
        (1, [0.05, 0.91, 0.03, 0.01]),
        (2, [0.92, 0.02, 0.05, 0.01]),
    )


def test_the_figures_are_those_of_the_predictions() -> None:
    judged = few()
    assert judged.metrics["top1"] == 50
    assert "top5" not in judged.metrics  # of four classes it would always be 100 %
    assert judged.matrix.tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert judged.mistakes(9) == [3, 1]  # the surest first
    table = [[cell.text for cell in row] for row in classes_table(judged).rows]
    assert table[0] == ["cat", "2", "50.0", "50.0", "50.0", "dog (1)"]
    assert table[3] == ["none", "0", NONE, NONE, NONE, NONE]


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    judged = few()
    # one bin at 0.73, wrong; one from 0.9 on, two of three right
    assert [bin_.images for bin_ in judged.calibration] == [1, 3]
    mean = (0.95 + 0.91 + 0.92) / 3
    assert judged.calibration_error == pytest.approx((0.73 + 3 * abs(mean - 2 / 3)) / 4)


def test_top5_comes_from_the_rows() -> None:
    names = tuple("abcdefg")
    sure = [0.4, 0.2, 0.15, 0.1, 0.08, 0.05, 0.02]
    judged = results((4, sure), (5, sure), (0, sure), names=names)
    assert judged.metrics["top5"] == pytest.approx(200 / 3)
    assert judged.label_probability_N == pytest.approx([0.08, 0.05, 0.4])
    assert judged.likeliest[0].shape == (3, 5)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_asks_for_nothing_from_outside_and_shows_names_as_they_are() -> None:
    text = render_page(few())
    page = Page(text)
    sources = [value for name, value in page.attributes if name in {"src", "href", "srcset"} and value]
    assert all(value.startswith(("#", "data:image/jpeg;base64,")) for value in sources)
    assert sum(value.startswith("data:") for value in sources) == 2  # the mistakes
    assert text.count("<script") == 1
    assert "default-src 'none'; img-src data:;" in text
    assert not re.search(r"https?://", text)
    assert page.text.count(EVIL) >= 4  # class, matrix, files, facts
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    shown = re.sub(r"\s+", " ", page.text)
    assert "top-1 50.0 % on test of pets, 4 images" in shown
    assert "dog (5.0 %), taken for cat (92.0 %)" in shown


def test_many_classes_have_a_list_instead_of_a_matrix() -> None:
    names = tuple(f"class{k}" for k in range(30))
    sure = [0.42] + 29 * [0.02]
    text = render_page(results((7, sure), (7, sure), (0, sure), names=names))
    assert 'class="matrix"' not in text
    assert "taken for" in text


def test_no_mistake_is_a_sentence() -> None:
    text = render_page(results((0, [0.9, 0.05, 0.04, 0.01])))
    assert "There is none: every image is recognized." in text


def test_a_cell_that_a_spreadsheet_would_run_is_a_text(tmp_path: Path) -> None:
    write_predictions(few(), tmp_path / "predictions.csv")
    lines = list(csv.DictReader(io.StringIO((tmp_path / "predictions.csv").read_text())))
    assert lines[2]["class"] == f"'{EVIL}"
    assert lines[2]["image"].startswith("'+2")
    assert (lines[3]["class"], lines[3]["prediction"], lines[3]["right"]) == ("dog", "cat", "0")
    assert float(lines[3]["probability"]) == pytest.approx(0.92)
    assert np.isclose(float(lines[3]["probability_of_class"]), 0.05)
    assert all(not value.startswith(tuple("=+-@\t")) for line in lines for value in line.values())


@pytest.mark.slow
def test_a_run_has_its_page_and_its_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--data.limit", "128", "--train.epochs", "1", "--train.threads", "1", "--out", "run"]
    assert main(["train", "demo/digits", *words]) == 0
    capsys.readouterr()
    assert main(["eval", "run"]) == 0
    alone = capsys.readouterr().out
    assert main(["eval", "run", "--report", "page"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(alone)  # the same figures to the last digit
    lines = list(csv.DictReader((tmp_path / "page/predictions.csv").read_text().splitlines()))
    right = sum(int(line["right"]) for line in lines)
    assert f"top-1 {100 * right / len(lines):.2f} %" in said
    assert "netaug eval run --report page" in (tmp_path / "page/classification.html").read_text()
