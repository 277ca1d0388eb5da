"""Lay a comparison out as tables of arms, and print it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from netaug.compare.cells import Cell, difference_cell, make_table, number_cell, spread_cell
from netaug.compare.formatting import NONE, rate, seconds, si
from netaug.compare.results import ArmRow, Comparison
from netaug.core.consoles import SafeConsole

_WIDE = 160
_FEW = 5  # lines that are still readable as columns beside each other
_FEW_ARMS = 3  # among these a longer reference can only be that of one arm


def arm_columns(rows: Sequence[ArmRow], score: str = "top-1") -> dict[str, Callable[[ArmRow], Cell]]:
    """Return the columns of the table of arms, by their headings; the console and the page show the same.

    Args:
        rows: All arms of the table: they decide which arm a heading can name.
        score: Name of the metric that the arms are judged by.
    """
    differ = len({(row.params, row.macs) for row in rows if row.n and not row.stage}) > 1
    return {
        "arm": arm_cell,
        f"{score} %": lambda row: spread_cell(row.val_score) if row.n else Cell("failed"),
        "mean per class %": lambda row: spread_cell(row.val_mean_per_class),
        **_difference_columns(rows),
        "n": lambda row: Cell(f"{row.n} ({row.failed} failed)" if row.failed else str(row.n), row.n),
        f"train {score} %": lambda row: spread_cell(row.train_score),
        "epochs": lambda row: number_cell(row.epochs, "{:.0f}".format),
        "lr": lambda row: Cell(rate(row.lr), row.lr),
        "train time": lambda row: Cell(seconds(row.train_seconds), row.train_seconds),
        "train MACs": lambda row: Cell(si(row.train_macs), row.train_macs),
        "parameters": lambda row: Cell(si(row.params) if differ else NONE, row.params),
        "MACs": lambda row: Cell(si(row.macs) if differ else NONE, row.macs),
    }


def arm_cell(row: ArmRow) -> Cell:
    """Return the cell of an arm's name."""
    return Cell(f"{row.arm} (stage)" if row.stage else row.arm, row.arm)


def _difference_columns(rows: Sequence[ArmRow]) -> dict[str, Callable[[ArmRow], Cell]]:
    """Name a column after the other arm where it is the same for all rows."""
    named: dict[str, tuple[Callable[[ArmRow], str | None], Callable[[ArmRow], Cell]]] = {
        "vs reference": (lambda row: row.reference, lambda row: difference_cell(row.vs_baseline)),
        "at equal time": (lambda row: row.long, lambda row: difference_cell(row.vs_long)),
        "at equal MACs": (lambda row: row.macs_arm, lambda row: difference_cell(row.vs_macs)),
    }
    columns: dict[str, Callable[[ArmRow], Cell]] = {}
    for title, (other, cell) in named.items():
        others = {other(row) for row in rows} - {None}
        # among more arms each has a longer reference of its own, even if only one of them was compared
        one_other = len(others) == 1 and (title == "vs reference" or len(rows) <= _FEW_ARMS)
        columns[f"vs {others.pop()}" if one_other else title] = cell
    return columns


def table_lines(rows: Sequence[ArmRow], score: str = "top-1") -> list[tuple[str, ...]]:
    """Return the table's heading, then a line per arm; columns that no arm has are left out."""
    table = make_table(arm_columns(rows, score), rows)
    return [table.headers, *(tuple(cell.text for cell in row) for row in table.rows)]


def network(comparison: Comparison) -> str:
    """Return the size of the final network that all arms share; of each where they differ."""
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
    """Return a table with a row per arm; on a narrow console with a column per arm, or several tables of rows."""
    lines_of_table = table_lines(comparison.rows, comparison.score)
    if _width(lines_of_table, console) <= console.width:
        return [_grid(lines_of_table)]
    if len(lines_of_table) <= _FEW:
        return [_grid(list(zip(*lines_of_table, strict=True)))]
    names, *columns = zip(*lines_of_table, strict=True)
    tables: list[list[tuple[str, ...]]] = [[names]]
    for column in columns:
        wider = [*tables[-1], column]
        if len(tables[-1]) > 1 and _width(list(zip(*wider, strict=True)), console) > console.width:
            tables.append([names, column])
        else:
            tables[-1].append(column)
    return [_grid(list(zip(*part, strict=True))) for part in tables]


def _width(lines_of_table: Sequence[tuple[str, ...]], console: Console) -> int:
    options = console.options.update(max_width=_WIDE)
    return console.measure(_grid(lines_of_table), options=options).maximum


def _grid(lines_of_table: Sequence[tuple[str, ...]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, header in enumerate(lines_of_table[0]):
        table.add_column(header, justify="left" if index == 0 else "right", no_wrap=True)
    for line in lines_of_table[1:]:
        table.add_row(*line)
    return table


def as_text(comparison: Comparison) -> str:
    """Return what :func:`show` prints, as plain text."""
    buffer = io.StringIO()
    show(comparison, SafeConsole(file=buffer, width=_WIDE, force_terminal=False, color_system=None))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
