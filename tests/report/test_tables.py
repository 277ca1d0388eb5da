"""Markdown and CSV say what the page says, and names stay names."""

import csv
from dataclasses import replace

from netaug.report.comparison_pages import FILES, render_markdown, write_report
from tests.report.helpers import EVIL, comparison


def test_markdown_has_verdict_tables_failures_and_command():
    text = render_markdown(comparison())
    heads = [
        "## Arms",
        "## Differences",
        "## What failed",
        "## What limits",
        "## What was tuned",
        "## How it was made",
    ]
    places = [text.index(head) for head in heads]
    assert places == sorted(places)
    assert "▲ +1.0 [+0.4, +1.7]" in text
    assert "```sh\nnetaug compare demo/fake" in text
    assert "| baseline | 70.2 ± 0.4 |" in text


def test_markdown_shows_names_as_they_are():
    text = render_markdown(comparison(recipe=EVIL))
    heading = text.splitlines()[0]
    assert heading.startswith("# \\<script\\>alert")
    assert "\\|" in heading
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)


def test_a_message_cannot_end_its_block():
    whole = comparison()
    runs = [replace(run, message="```\n<b>out</b>") if run.summary is None else run for run in whole.runs]
    assert "````\n```\n<b>out</b>\n````" in render_markdown(replace(whole, runs=tuple(runs)))


def test_all_files_are_written_and_csv_holds_the_rows(tmp_path):
    whole = comparison()
    write_report(whole, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    with (tmp_path / "arms.csv").open(newline="") as file:
        arms = list(csv.DictReader(file))
    assert [arm["arm"] for arm in arms] == [row.arm for row in whole.rows]
    assert float(arms[1]["val_score_mean"]) == whole.rows[1].val_score.mean
    with (tmp_path / "differences.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(one["arm"], one["against"], one["effect"]) for one in found] == [
        ("netaug", "baseline", "higher"),
        ("netaug", "baseline-long", "unknown"),
        ("baseline-long", "baseline", "higher"),
    ]
