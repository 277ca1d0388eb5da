"""The table of the cheaper forms of NetAug says what the runs say."""

from __future__ import annotations

from typing import Any

from benchmarks.pareto import table


def row(arm: str, seed: int, top1: float, macs: float) -> dict[str, Any]:
    return {"arm": arm, "seed": seed, "val_top1": top1, "train_seconds": macs + 10, "train_macs": macs}


def test_gains_are_paired_and_the_longer_baseline_is_taken_between_its_measured_lengths() -> None:
    rows = [
        row(arm, seed, top1 + seed, macs)
        for seed in (0, 1)
        for arm, top1, macs in (
            ("baseline", 50.0, 10.0),
            ("netaug", 53.0, 20.0),
            ("baseline-x3", 52.0, 40.0),
        )
    ]
    lines = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")]
        for line in table(rows).splitlines()
    }
    netaug = lines["netaug"]
    assert netaug[3] == "2"
    assert netaug[5].startswith("+3.0")
    assert netaug[6:8] == ["1.50", "2.00"]
    assert netaug[8].startswith("+2.0")  # 51 is half way between 50 and 52 in the logarithm of MACs
    assert "share-1/4" not in lines
