"""A comparison as a page shows it: tables of cells that can be sorted, differences, names of arms with their looks.

Everything that knows how results are structured is here; the page, its Markdown twin and the CSV files only lay it out.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from netaug.compare.numbers import NONE, interval, plus_minus, rate, seconds, si
from netaug.compare.plan import train_words
from netaug.compare.records import RunRecord
from netaug.compare.results import ArmRow, Comparison
from netaug.compare.statistics import Difference, Effect, Spread

Row = TypeVar("Row")

SIGNS: dict[Effect, str] = {"higher": "▲", "lower": "▼", "unclear": "≈", "unknown": ""}
"""Beside the colour, for those who see none."""
WORDS: dict[Effect, str] = {
    "higher": "better",
    "lower": "worse",
    "unclear": "no difference shown",
    "unknown": "no conclusion possible",
}


@dataclass(frozen=True)
class Cell:
    """What one place of a table shows.

    Args:
        text: As people read it.
        sort: What sorting goes by; None comes last.
        effect: Of a difference, for its colour; None for anything else.
        arm: Which arm's looks the cell carries, by number; None for none.
    """

    text: str
    sort: float | str | None = None
    effect: Effect | None = None
    arm: int | None = None

    @property
    def plain(self) -> str:
        """The text behind the sign of its effect."""
        sign = SIGNS[self.effect] if self.effect else ""
        return f"{sign} {self.text}" if sign else self.text


@dataclass(frozen=True)
class Table:
    """Headings and rows of cells, equally long."""

    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Compared:
    """One arm held against another.

    Args:
        arm: The arm.
        against: What it is compared with.
        when: What both have the same of.
        difference: ``arm`` minus ``against``, paired by seed.
    """

    arm: str
    against: str
    when: str
    difference: Difference


def arm_names(comparison: Comparison) -> list[str]:
    """The arms in their order; the place of a name is the number of its looks."""
    return [row.arm for row in comparison.rows]


def differences(comparison: Comparison) -> list[Compared]:
    """What was compared with what, in the order of the arms."""
    found = []
    for row in comparison.rows:
        when = "equal epochs" if row.arm == "netaug" else "more epochs"
        if row.vs_baseline:
            found.append(Compared(row.arm, "baseline", when, row.vs_baseline))
        if row.vs_long:
            found.append(Compared(row.arm, "baseline-long", "longer baseline", row.vs_long))
    return found


def arms_table(comparison: Comparison) -> Table:
    """A row per arm; a column without any value is left out."""
    looks = {name: number for number, name in enumerate(arm_names(comparison))}
    columns: dict[str, Callable[[ArmRow], Cell]] = {
        "arm": lambda row: Cell(row.arm, row.arm, arm=looks[row.arm]),
        f"{comparison.score} %": lambda row: _spread(row.val_score) if row.n else Cell("failed"),
        "mean per class %": lambda row: _spread(row.val_mean_per_class),
        "vs baseline": lambda row: _difference(row.vs_baseline),
        "vs baseline-long": lambda row: _difference(row.vs_long),
        "n": lambda row: Cell(f"{row.n} ({row.failed} failed)" if row.failed else str(row.n), row.n),
        f"train {comparison.score} %": lambda row: _spread(row.train_score),
        "epochs": lambda row: Cell(NONE if row.epochs is None else str(row.epochs), row.epochs),
        "lr": lambda row: Cell(rate(row.lr), row.lr),
        "train time": lambda row: Cell(seconds(row.train_seconds), row.train_seconds),
        "train MACs": lambda row: Cell(si(row.train_macs), row.train_macs),
    }
    return _table(columns, comparison.rows)


def differences_table(comparison: Comparison) -> Table:
    """A row per comparison of two arms."""
    looks = {name: number for number, name in enumerate(arm_names(comparison))}
    columns: dict[str, Callable[[Compared], Cell]] = {
        "arm": lambda one: Cell(one.arm, one.arm, arm=looks.get(one.arm)),
        "against": lambda one: Cell(one.against, one.against, arm=looks.get(one.against)),
        "at": lambda one: Cell(one.when, one.when),
        f"points of {comparison.score}": lambda one: _difference(one.difference),
        "says": lambda one: Cell(WORDS[one.difference.effect], WORDS[one.difference.effect]),
        "pairs": lambda one: Cell(str(one.difference.n), one.difference.n),
    }
    return _table(columns, differences(comparison))


def runs_table(comparison: Comparison, runs: Sequence[RunRecord]) -> Table:
    """A row per run, failed ones too."""
    looks = {name: number for number, name in enumerate(arm_names(comparison))}

    def number(name: str, form: Callable[[float], str]) -> Callable[[RunRecord], Cell]:
        def cell(run: RunRecord) -> Cell:
            value = None if run.summary is None else getattr(run.summary, name)
            return Cell(NONE if value is None else form(value), value)

        return cell

    columns: dict[str, Callable[[RunRecord], Cell]] = {
        "arm": lambda run: Cell(run.spec.arm, run.spec.arm, arm=looks.get(run.spec.arm)),
        "seed": lambda run: Cell(str(run.spec.seed), run.spec.seed),
        "lr": lambda run: Cell(rate(run.lr), run.lr),
        "epochs": number("epochs", "{:.0f}".format),
        f"{comparison.score} %": lambda run: (
            Cell(f"{run.summary.val_score:.2f}", run.summary.val_score) if run.summary else Cell("failed")
        ),
        f"train {comparison.score} %": number("train_score", "{:.2f}".format),
        "loss": number("val_loss", "{:.4f}".format),
        "train loss": number("train_loss", "{:.4f}".format),
        "train time": number("train_seconds", seconds),
        "train MACs": number("train_macs", si),
    }
    return _table(columns, runs)


def commands(comparison: Comparison) -> list[tuple[str, str]]:
    """Name and command line of every run, ready for a shell."""
    asked = comparison.request
    return [
        (run.spec.name, shlex.join(["netaug", "train", *train_words(asked, run.spec)]))
        for run in comparison.runs
    ]


def _table(columns: dict[str, Callable[[Row], Cell]], rows: Sequence[Row]) -> Table:
    cells = {header: [make(row) for row in rows] for header, make in columns.items()}
    kept = [header for header, column in cells.items() if any(cell.text != NONE for cell in column)]
    lines = zip(*(cells[header] for header in kept), strict=True)
    return Table(tuple(kept), tuple(lines))


def _spread(value: Spread | None) -> Cell:
    return Cell(plus_minus(value), None if value is None else value.mean)


def _difference(value: Difference | None) -> Cell:
    if value is None:
        return Cell(NONE)
    return Cell(interval(value), value.mean, value.effect)
