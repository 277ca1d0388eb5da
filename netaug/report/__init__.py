"""Pages that a person is glad to read, in one file each, needing no network; and the same as Markdown and CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from netaug.report.csvs import write_arms, write_differences
from netaug.report.html import render_page, write_page
from netaug.report.markdown import render_markdown, write_markdown

if TYPE_CHECKING:
    from netaug.compare.results import Comparison

FILES = ("report.html", "report.md", "arms.csv", "differences.csv")


def write_report(comparison: Comparison, out: Path) -> None:
    """Write ``FILES`` into a folder."""
    for name, write in zip(FILES, (write_page, write_markdown, write_arms, write_differences), strict=True):
        write(comparison, out / name)


__all__ = ["FILES", "render_markdown", "render_page", "write_page", "write_report"]
