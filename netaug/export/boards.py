"""Boards by name, and the memory that a network may use on one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from netaug.core.errors import ConfigError
from netaug.core.suggest import did_you_mean, nearest

_UNITS = {"": 1, "B": 1, "K": 1024, "KB": 1024, "KIB": 1024, "M": 1024**2, "MB": 1024**2, "MIB": 1024**2}
"""Makers of microcontrollers write KB for 1024 bytes."""


@dataclass(frozen=True)
class Budget:
    """Memory that a network may use.

    Attributes:
        name: Of the board, or what the user called for.
        sram: Bytes for activations; the largest run without a gap, since the arena is one array.
        flash: Bytes for code and constants; None: not limited.
    """

    name: str
    sram: int
    flash: int | None = None


@dataclass(frozen=True)
class Board:
    """A board with the figures of its memory and where they were found.

    Attributes:
        name: As for ``--board``.
        core: Of its processor, such as ``cortex-m7``.
        sram: Bytes on the chip.
        block: The largest run of these without a gap.
        flash: Bytes.
        note: What else is to be known, or empty.
        sources: Addresses of the pages that state the figures.
    """

    name: str
    core: str
    sram: int
    block: int
    flash: int
    note: str
    sources: tuple[str, ...]

    def budget(self) -> Budget:
        """Return what a network may use if nothing else runs."""
        return Budget(self.name, self.block, self.flash)


@cache
def boards() -> Mapping[str, Board]:
    """Return all known boards by name, in the order of their SRAM."""
    text = (files(__package__) / "boards.yaml").read_text(encoding="utf-8")
    found = [_board(name, row) for name, row in yaml.safe_load(text).items()]
    return {board.name: board for board in sorted(found, key=lambda board: (board.block, board.name))}


def find_board(name: str) -> Board:
    """Return the board of a name.

    Raises:
        ConfigError: There is none; the message names the nearest.
    """
    known = boards()
    if name not in known:
        raise ConfigError(
            "There is no board of this name.",
            got=repr(name),
            allowed=", ".join(known),
            fix=did_you_mean(nearest(name, known)) or "give its memory instead: --sram 256KB --flash 1MB",
        )
    return known[name]


def parse_size(text: str, option: str) -> int:
    """Return the bytes of a text such as ``256KB``; K and M count 1024.

    Args:
        text: What the user wrote.
        option: For the message, such as ``--sram``.

    Raises:
        ConfigError: It is not a size above 0.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KM]?(?:I?B)?)", text.strip().upper())
    size = round(float(match[1]) * _UNITS[match[2]]) if match and match[2] in _UNITS else 0
    if not 0 < size < 2**40:
        raise ConfigError(
            f"{option} is not a size of memory.", got=repr(text), allowed="> 0, e.g. 256KB, 1MB, 327680"
        )
    return size


def budget_of(board: str | None, sram: str | None, flash: str | None) -> Budget | None:
    """Return the memory that options ask for: a board's, with ``sram`` and ``flash`` in place of its own if given.

    Returns:
        None if no option is given.

    Raises:
        ConfigError: There is no such board, a size is not one, or flash is given without SRAM.
    """
    chosen = None if board is None else find_board(board).budget()
    name = board or "the given memory"
    if chosen is None and sram is None:
        if flash is None:
            return None
        raise ConfigError(
            "--flash alone is not a budget.", got=f"--flash {flash}", fix="add --sram, or name a --board"
        )
    return Budget(
        name,
        chosen.sram if sram is None and chosen else parse_size(sram or "", "--sram"),
        (chosen.flash if chosen else None) if flash is None else parse_size(flash, "--flash"),
    )


def show_size(size: int) -> str:
    """Return bytes as people read them, such as ``320 KB``."""
    if size < 10 * 1024:
        return f"{size:,} B"
    return f"{size / 1024:,.0f} KB" if size < 4 * 1024**2 else f"{size / 1024**2:,.1f} MB"


def describe_boards(known: Iterable[Board]) -> list[str]:
    """Return a table of boards, a line per board and one per source and note."""
    lines = [f"{'board':<22}{'core':<13}{'SRAM':>8}{'one block':>11}{'flash':>9}"]
    for board in known:
        sizes = (show_size(board.sram), show_size(board.block), show_size(board.flash))
        lines.append(f"{board.name:<22}{board.core:<13}{sizes[0]:>8}{sizes[1]:>11}{sizes[2]:>9}")
        lines += [f"  {text}" for text in (board.note, *board.sources) if text]
    return lines


def _board(name: str, row: Mapping[str, Any]) -> Board:
    return Board(
        name,
        row["core"],
        parse_size(row["sram"], name),
        parse_size(row.get("block", row["sram"]), name),
        parse_size(row["flash"], name),
        row.get("note", ""),
        tuple(row["sources"]),
    )
