"""The tables of the cheaper forms of NetAug say what the runs say, and every form is one that can be trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.pareto import ARMS, CHEAP
from benchmarks.pareto_report import front, report, screening_table, table
from netaug.config.loading import load_config


def row(arm: str, seed: int, top1: float, macs: float) -> dict[str, Any]:
    return {"arm": arm, "seed": seed, "val_top1": top1, "train_seconds": macs + 10, "train_macs": macs}


ROWS = [
    row(arm, seed, top1 + seed, macs)
    for seed in (0, 1)
    for arm, top1, macs in (("baseline", 50.0, 10.0), ("netaug", 53.0, 20.0), ("baseline-x4", 52.0, 40.0))
]


def test_gains_are_paired_and_the_longer_baseline_is_taken_between_its_measured_lengths() -> None:
    lines = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")]
        for line in table(ROWS).splitlines()
    }
    netaug = lines["netaug"]
    assert netaug[4] == "2"
    assert netaug[6].startswith("+3.0")
    assert netaug[7] == "2.00"
    assert netaug[8].startswith("+2.0")  # 51 is half way between 50 and 52 in the logarithm of MACs
    assert netaug[9] == "1.50"
    assert "share-1/4" not in lines


def test_the_front_leaves_out_what_costs_more_and_gains_less() -> None:
    points = {"a": (1.0, 0.0), "b": (2.0, 1.0), "c": (2.0, 0.5), "d": (3.0, 1.0), "e": (4.0, 2.0)}
    assert front(points) == ["a", "b", "e"]


def test_screening_says_what_diverged() -> None:
    screened = [
        {"arm": "baseline", "lr": 0.4, "val_top1": 46.34, "train_macs": 1},
        {"arm": "share-1/4", "lr": 0.8, "val_top1": None, "train_macs": None},
    ]
    assert screening_table(screened).splitlines()[2:] == [
        "| baseline | 46.3 | \u2013 |",
        "| share-1/4 | \u2013 | diverged |",
    ]


def test_a_report_is_files_and_text(tmp_path: Path) -> None:
    text = report(ROWS, [], tmp_path)
    assert "| netaug |" in text
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + len(ROWS)
    assert "Pareto front" in (tmp_path / "front.svg").read_text()


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_is_a_run(arm: str) -> None:
    config = load_config("demo/cifar10", ARMS[arm].arguments)
    assert config.netaug.enabled != arm.startswith("baseline")
    assert arm not in CHEAP or ARMS[arm].lr is not None
