"""Write a comparison as one self-contained HTML page, as Markdown and as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from netaug.compare.table import as_text, write_csv
from netaug.core.io import write_atomic
from netaug.report.csvs import write_arms, write_differences
from netaug.report.html import render_page, write_page
from netaug.report.markdown import render_markdown, write_markdown

if TYPE_CHECKING:
    from netaug.compare.results import Comparison

FILES = ("compare.csv", "table.txt", "report.html", "report.md", "arms.csv", "differences.csv")


def write_report(comparison: Comparison, out: Path) -> None:
    """Write ``FILES`` into a folder."""
    writers = (write_csv, _write_table, write_page, write_markdown, write_arms, write_differences)
    for name, write in zip(FILES, writers, strict=True):
        write(comparison, out / name)


def _write_table(comparison: Comparison, path: Path) -> None:
    write_atomic(path, as_text(comparison))


__all__ = ["FILES", "render_markdown", "render_page", "write_page", "write_report"]
