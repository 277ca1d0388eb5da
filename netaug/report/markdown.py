"""Render the page as Markdown, for a repository or an issue."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from netaug.core.escaping import markdown, terminal
from netaug.core.io import write_atomic

if TYPE_CHECKING:
    from netaug.compare.cells import Table
    from netaug.compare.results import Comparison


def render_markdown(comparison: Comparison) -> str:
    """Verdict, tables, failures, limits and commands of a comparison as Markdown text."""
    return "\n".join(_lines(comparison)).rstrip() + "\n"


def write_markdown(comparison: Comparison, path: Path) -> None:
    """Write :func:`render_markdown` to a file."""
    write_atomic(path, render_markdown(comparison))


def _lines(comparison: Comparison) -> Iterator[str]:
    from netaug.compare import table
    from netaug.report import tables
    from netaug.report.families import longer_notes

    verdict = comparison.verdict
    yield f"# {markdown(comparison.request.recipe)}: Network Augmentation compared\n"
    yield f"**{markdown(verdict.headline)}**\n"
    for sentence in (*verdict.sentences, *verdict.hints):
        yield f"{markdown(sentence)}\n"
    if about := comparison.request.whole_plan.about:
        yield f"{markdown(about)}\n"
    yield "## Arms\n"
    yield from _grid(tables.arms_table(comparison))
    yield f"Mean ± standard deviation over n seeds; differences in points of {comparison.score}, paired by seed, with"
    yield "their 95 % interval. ▲ better, ▼ worse, ≈ no difference shown."
    yield from map(markdown, longer_notes(comparison))
    yield f"The final network of every arm: {table.network(comparison)}.\n"
    compared_arms = tables.differences_table(comparison)
    if compared_arms.rows:
        yield "## Differences\n"
        yield from _grid(compared_arms)
    failed = tables.failures(comparison)
    if failed:
        yield "## What failed\n"
    for message, names in failed.items():
        yield f"{markdown(', '.join(names))}; last words:\n"
        yield from _block(message)
    yield "## What limits this answer\n"
    yield from (f"- {markdown(caveat)}" for caveat in verdict.caveats)
    tuning = [run for run in comparison.runs if run.spec.phase == "tune"]
    if tuning:
        yield "\n## What was tuned\n"
        yield from _grid(tables.runs_table(comparison, tuning))
    yield "\n## How it was made\n"
    yield from _block(comparison.request.command(), "sh")
    yield from _grid(tables.settings_table(comparison))
    yield from _grid(
        tables.runs_table(comparison, [run for run in comparison.runs if run.spec.phase == "final"])
    )


def _grid(table: Table) -> Iterator[str]:
    if not table.rows:
        return
    yield f"| {' | '.join(map(markdown, table.headers))} |"
    yield f"|{'---|' * len(table.headers)}"
    for row in table.rows:
        yield f"| {' | '.join(markdown(cell.plain) for cell in row)} |"
    yield ""


def _block(text: str, language: str = "") -> Iterator[str]:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}{language}\n{terminal(text)}\n{fence}\n"
