"""Write a comparison for programs: CSV files with a line per run, per arm, and per compared pair of arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from netaug.compare.paired_statistics import Spread
from netaug.compare.records import RunRecord
from netaug.compare.results import Comparison
from netaug.core.escaping import csv_text
from netaug.core.io import write_atomic
from netaug.report.arm_pairs import differences

_RUN_COLUMNS = (
    "arm",
    "phase",
    "seed",
    "lr",
    "epochs",
    "val_{score}",
    "train_{score}",
    "val_loss",
    "train_loss",
    "train_seconds",
    "train_macs",
    "params",
    "macs",
    "val_split",
    "status",
    "val_mean_per_class",
)
"""Columns of ``compare.csv``; ``{score}`` is the metric's name, such as ``top1``."""


def write_runs(comparison: Comparison, path: Path) -> None:
    """Write one line per run, tuning and failed runs included; unknown values stay empty."""
    scores = list(dict.fromkeys(run.summary.score for run in comparison.runs if run.summary)) or ["top1"]
    # runs that are judged by different metrics have a column each
    columns = [column.format(score=score) for column in _RUN_COLUMNS for score in scores]
    write_atomic(path, csv_text(list(dict.fromkeys(columns)), map(_run_line, comparison.runs)))


def _run_line(run: RunRecord) -> dict[str, object]:
    spec, summary = run.spec, run.summary
    row: dict[str, object] = {"arm": spec.arm, "phase": spec.phase, "seed": spec.seed, "lr": run.lr}
    row |= {"epochs": summary.epochs if summary else spec.epochs, "status": run.status}
    if summary:
        row |= {name: getattr(summary, name) for name in _RUN_COLUMNS if hasattr(summary, name)}
        row |= {f"val_{summary.score}": summary.val_score, f"train_{summary.score}": summary.train_score}
    return row


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
    lines: list[dict[str, object]] = []
    for pair in differences(comparison):
        difference = pair.difference
        line: dict[str, object] = {
            "arm": pair.arm,
            "against": pair.against,
            "at": pair.when,
            "pairs": difference.n,
        }
        lines.append(
            line
            | {
                "mean": difference.mean,
                "low": difference.low,
                "high": difference.high,
                "effect": difference.effect,
            }
        )
    _write(path, lines)


def _of_spread(name: str, value: Spread | None) -> dict[str, object]:
    mean, sd = (None, None) if value is None else (value.mean, value.sd)
    return {f"{name}_mean": mean, f"{name}_sd": sd}


def _write(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    write_atomic(path, csv_text(list(lines[0]), lines) if lines else "")
