"""Write the tables of a comparison for programs: a line per arm, a line per compared pair of arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netaug.core.escaping import csv_text
from netaug.core.io import write_atomic

if TYPE_CHECKING:
    from netaug.compare.results import Comparison
    from netaug.compare.statistics import Spread


def write_arms(comparison: Comparison, path: Path) -> None:
    """Write a line per arm; scores in percent, seconds, forward MACs; unknown values stay empty."""
    lines = []
    for row in comparison.rows:
        line: dict[str, object] = {"arm": row.arm, "epochs": row.epochs, "lr": row.lr, "n": row.n}
        line["failed"] = row.failed
        line["score"] = row.score
        for name in ("val_score", "train_score", "val_mean_per_class"):
            line |= _of_spread(name, getattr(row, name))
        for name in ("train_seconds", "train_macs", "params", "macs"):
            line[name] = getattr(row, name)
        lines.append(line)
    _write(path, lines)


def write_differences(comparison: Comparison, path: Path) -> None:
    """Write a line per comparison of two arms: points of the score, paired by seed, with the 95 % interval's ends."""
    from netaug.report.compared import differences

    lines: list[dict[str, object]] = []
    for one in differences(comparison):
        found = one.difference
        line: dict[str, object] = {"arm": one.arm, "against": one.against, "at": one.when, "pairs": found.n}
        lines.append(
            line | {"mean": found.mean, "low": found.low, "high": found.high, "effect": found.effect}
        )
    _write(path, lines)


def _of_spread(name: str, value: Spread | None) -> dict[str, object]:
    mean, sd = (None, None) if value is None else (value.mean, value.sd)
    return {f"{name}_mean": mean, f"{name}_sd": sd}


def _write(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    write_atomic(path, csv_text(list(lines[0]), lines) if lines else "")
