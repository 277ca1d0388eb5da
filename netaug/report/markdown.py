"""The page's twin in Markdown, for a repository or an issue."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netaug.compare.results import Comparison
    from netaug.report.view import Table


def render_markdown(comparison: Comparison) -> str:
    """Verdict, tables, failures, limits and commands of a comparison as Markdown text."""
    return "\n".join(_lines(comparison)).rstrip() + "\n"


def write_markdown(comparison: Comparison, path: Path) -> None:
    """Write :func:`render_markdown` to a file."""
    path.write_text(render_markdown(comparison), encoding="utf-8")


def _lines(comparison: Comparison) -> Iterator[str]:
    from netaug.compare import table
    from netaug.report import view

    verdict = comparison.verdict
    yield f"# {_escaped(comparison.request.recipe)}: Network Augmentation compared\n"
    yield f"**{_escaped(verdict.headline)}**\n"
    for sentence in (*verdict.sentences, *verdict.hints):
        yield f"{_escaped(sentence)}\n"
    yield "## Arms\n"
    yield from _grid(view.arms_table(comparison))
    yield "Mean ± standard deviation over n seeds; differences in points of top-1, paired by seed, with their 95 %"
    yield "interval. ▲ better, ▼ worse, ≈ no difference shown."
    yield f"The final network of every arm: {table.network(comparison)}.\n"
    found = view.differences_table(comparison)
    if found.rows:
        yield "## Differences\n"
        yield from _grid(found)
    failed = [run for run in comparison.runs if run.summary is None]
    if failed:
        yield "## What failed\n"
    for run in failed:
        yield f"{_escaped(run.spec.name)}; its last words:\n"
        yield from _block(run.message or "none")
    yield "## What limits this answer\n"
    yield from (f"- {_escaped(caveat)}" for caveat in verdict.caveats)
    tuning = [run for run in comparison.runs if run.spec.phase == "tune"]
    if tuning:
        yield "\n## Choice of the learning rate\n"
        yield from _grid(view.runs_table(comparison, tuning))
    yield "\n## How it was made\n"
    yield from _block(comparison.request.command(), "sh")
    yield from _grid(
        view.runs_table(comparison, [run for run in comparison.runs if run.spec.phase == "final"])
    )


def _grid(table: Table) -> Iterator[str]:
    if not table.rows:
        return
    yield f"| {' | '.join(map(_escaped, table.headers))} |"
    yield f"|{'---|' * len(table.headers)}"
    for row in table.rows:
        yield f"| {' | '.join(_escaped(cell.plain) for cell in row)} |"
    yield ""


def _block(text: str, language: str = "") -> Iterator[str]:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}{language}\n{text}\n{fence}\n"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no link, no end of a table's cell."""
    return re.sub(r"([\\`*_<>|]|\](?=\())", r"\\\1", text).replace("\n", " ")
