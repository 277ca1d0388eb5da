"""A comparison as a table for people and as CSV for programs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from netaug.compare.numbers import NONE, interval, plus_minus, rate, seconds, si
from netaug.compare.records import RunRecord
from netaug.compare.results import ArmRow, Comparison
from netaug.core.consoles import SafeConsole
from netaug.core.escaping import csv_text
from netaug.core.io import write_atomic

CSV_COLUMNS = (
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
_WIDE = 160
_FEW = 5  # lines that still are readable as columns beside each other


def lines(rows: Sequence[ArmRow], score: str = "top-1") -> list[tuple[str, ...]]:
    """The table's heading, then a line per arm; columns that no arm has are left out."""
    columns: list[tuple[str, list[str]]] = [
        ("arm", [row.arm for row in rows]),
        ("epochs", [NONE if row.epochs is None else str(row.epochs) for row in rows]),
        ("lr", [rate(row.lr) for row in rows]),
        ("n", [f"{row.n} ({row.failed} failed)" if row.failed else str(row.n) for row in rows]),
        (f"{score} %", [plus_minus(row.val_score) if row.n else "failed" for row in rows]),
    ]
    if any(row.val_mean_per_class for row in rows):
        columns.append(("mean per class %", [plus_minus(row.val_mean_per_class) for row in rows]))
    if any(row.train_score for row in rows):
        columns.append((f"train {score} %", [plus_minus(row.train_score) for row in rows]))
    for title, names, differences in (
        ("vs reference", [row.reference for row in rows], [row.vs_baseline for row in rows]),
        ("at equal time", [row.long for row in rows], [row.vs_long for row in rows]),
        ("at equal MACs", [row.macs_arm for row in rows], [row.vs_macs for row in rows]),
    ):
        found = {name for name in names if name}
        if found:
            one = title == "vs reference" or len(rows) <= 3  # of more, each has its own longer reference
            columns.append(
                (
                    f"vs {found.pop()}" if one and len(found) == 1 else title,
                    [interval(difference) for difference in differences],
                )
            )
    columns += [
        ("train time", [seconds(row.train_seconds) for row in rows]),
        ("train MACs", [si(row.train_macs) for row in rows]),
    ]
    return [tuple(title for title, _ in columns), *zip(*(cells for _, cells in columns), strict=True)]


def network(comparison: Comparison) -> str:
    """Size of the final network, which all arms share; of each where they differ."""
    sizes = sorted({(row.params, row.macs) for row in comparison.rows if row.n and not row.stage})
    return "; ".join(f"{si(params)} parameters, {si(macs)} MACs per image" for params, macs in sizes)


def show(comparison: Comparison, console: Console) -> None:
    """Print verdict and table."""
    verdict = comparison.verdict
    console.print(f"netaug compare: {comparison.request.recipe}", style="bold", markup=False, highlight=False)
    for table in _tables(comparison, console):
        console.print(table)
    console.print(f"The final network of every arm: {network(comparison)}", style="dim", highlight=False)
    console.print()
    console.print(verdict.headline, style="bold", markup=False, highlight=False)
    for text in (*verdict.sentences, *verdict.hints):
        console.print(text, markup=False, highlight=False)
    console.print()
    for text in verdict.caveats:
        console.print(f"- {text}", style="dim", markup=False, highlight=False)


def _tables(comparison: Comparison, console: Console) -> list[Table]:
    """A row per arm; where the console is too narrow a column per arm, or of many arms several tables of rows."""
    shown = lines(comparison.rows, comparison.score)
    if _width(shown, console) <= console.width:
        return [_grid(shown)]
    if len(shown) <= _FEW:
        return [_grid(list(zip(*shown, strict=True)))]
    names, *columns = zip(*shown, strict=True)
    parts: list[list[tuple[str, ...]]] = [[names]]
    for column in columns:
        wider = [*parts[-1], column]
        if len(parts[-1]) > 1 and _width(list(zip(*wider, strict=True)), console) > console.width:
            parts.append([names, column])
        else:
            parts[-1].append(column)
    return [_grid(list(zip(*part, strict=True))) for part in parts]


def _width(shown: Sequence[tuple[str, ...]], console: Console) -> int:
    options = console.options.update(max_width=_WIDE)
    return console.measure(_grid(shown), options=options).maximum


def _grid(shown: Sequence[tuple[str, ...]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, header in enumerate(shown[0]):
        table.add_column(header, justify="left" if index == 0 else "right", no_wrap=True)
    for line in shown[1:]:
        table.add_row(*line)
    return table


def as_text(comparison: Comparison) -> str:
    """What :func:`show` prints, as plain text."""
    buffer = io.StringIO()
    show(comparison, SafeConsole(file=buffer, width=_WIDE, force_terminal=False, color_system=None))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def write_csv(comparison: Comparison, path: Path) -> None:
    """Write one line per run, tuning and failed runs included; unknown values stay empty."""
    scores = list(dict.fromkeys(run.summary.score for run in comparison.runs if run.summary)) or ["top1"]
    columns = [column.format(score=score) for column in CSV_COLUMNS for score in scores]
    write_atomic(path, csv_text(list(dict.fromkeys(columns)), map(_csv_row, comparison.runs)))


def _csv_row(run: RunRecord) -> dict[str, object]:
    spec, summary = run.spec, run.summary
    row: dict[str, object] = {"arm": spec.arm, "phase": spec.phase, "seed": spec.seed, "lr": run.lr}
    row |= {"epochs": summary.epochs if summary else spec.epochs, "status": run.status}
    if summary:
        row |= {name: getattr(summary, name) for name in CSV_COLUMNS if hasattr(summary, name)}
        row |= {f"val_{summary.score}": summary.val_score, f"train_{summary.score}": summary.train_score}
    return row
