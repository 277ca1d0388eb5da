"""Hold tables as data: cells with their text, what they are sorted by, and how they are colored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from netaug.compare.formatting import NONE, interval, plus_minus
from netaug.compare.paired_statistics import Difference, Effect, Spread

Row = TypeVar("Row")

SIGNS: dict[Effect, str] = {"higher": "▲", "lower": "▼", "unclear": "≈", "unknown": ""}
"""Beside the color, for those who see none."""


@dataclass(frozen=True)
class Cell:
    """Describe one field of a table.

    Args:
        text: As people read it.
        sort: What sorting goes by; None comes last.
        effect: Of a difference, for its color; None for anything else.
        arm: Which arm's style the cell carries, by number; None for none.
        begins: Whether a family of arms begins with this row.
        link: Address that the text of a page leads to, relative to the page; None leads nowhere.
    """

    text: str
    sort: float | str | None = None
    effect: Effect | None = None
    arm: int | None = None
    begins: bool = False
    link: str | None = None

    @property
    def plain(self) -> str:
        """Return the text behind the sign of its effect."""
        sign = SIGNS[self.effect] if self.effect else ""
        return f"{sign} {self.text}" if sign else self.text


@dataclass(frozen=True)
class Table:
    """Hold headings and rows of cells, equally long."""

    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def make_table(columns: dict[str, Callable[[Row], Cell]], rows: Sequence[Row]) -> Table:
    """Return a table with a column for each heading; a column without any value is left out."""
    cells = {header: [make(row) for row in rows] for header, make in columns.items()}
    # a column of dashes tells nothing, and consoles are narrow
    kept = [header for header, column in cells.items() if any(cell.text != NONE for cell in column)]
    lines = zip(*(cells[header] for header in kept), strict=True)
    return Table(tuple(kept), tuple(lines))


def number_cell(value: float | None, form: Callable[[float], str]) -> Cell:
    """Return the cell of a number; a dash where there is none."""
    return Cell(NONE if value is None else form(value), value)


def spread_cell(value: Spread | None) -> Cell:
    """Return the cell of a mean and its deviation."""
    return Cell(plus_minus(value), None if value is None else value.mean)


def difference_cell(value: Difference | None) -> Cell:
    """Return the cell of a difference: its mean and interval, colored by its effect."""
    return Cell(NONE) if value is None else Cell(interval(value), value.mean, value.effect)
