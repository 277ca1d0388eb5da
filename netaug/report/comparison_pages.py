"""Write the report of a comparison: a self-contained HTML page, Markdown for a repository or an issue, and CSV files.

The HTML page runs one script, named by its hash, and may fetch nothing, so what a run folder holds cannot act in it.
Without scripts everything is shown, only not sorted. Tables and pictures hold data and know nothing of HTML or
Markdown; the templates only lay them out.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from netaug.compare import table
from netaug.compare.cells import Table
from netaug.compare.results import Comparison
from netaug.compare.run_specs import train_arguments
from netaug.core.escaping import html, markdown, terminal
from netaug.core.io import write_atomic
from netaug.core.parallel import default_jobs
from netaug.report import pictures, tables
from netaug.report.csv_files import write_arms, write_differences, write_runs
from netaug.report.families import longer_notes
from netaug.report.run_page import write_missing_pages
from netaug.report.template import flatten, page_parts, template

FILES = ("compare.csv", "table.txt", "report.html", "report.md", "arms.csv", "differences.csv")


def write_report(comparison: Comparison, out: Path) -> None:
    """Write ``FILES`` into a folder."""
    writers = (write_runs, _write_table, write_page, write_markdown, write_arms, write_differences)
    for name, write in zip(FILES, writers, strict=True):
        write(comparison, out / name)


def write_with_runs(comparison: Comparison, out: Path) -> None:
    """Write the pages of the runs that have none yet, then ``FILES``, whose table of runs links to them."""
    write_missing_pages([run.folder for run in comparison.runs], min(comparison.request.jobs, default_jobs()))
    write_report(comparison, out)


def _write_table(comparison: Comparison, path: Path) -> None:
    write_atomic(path, table.as_text(comparison))


def render_page(comparison: Comparison) -> str:
    """Return the report of a comparison as HTML text.

    What comes from run folders and the command line is escaped; beside that, the page's policy lets a browser run no
    script but the page's own, by its hash, and fetch nothing. Without scripts all is shown, only not sorted.
    """
    by_phase = {
        phase: [run for run in comparison.runs if run.spec.phase == phase] for phase in ("tune", "final")
    }
    page: str = template("page.html.jinja").render(
        recipe=comparison.request.recipe,
        about=comparison.request.whole_plan.about,
        verdict=comparison.verdict,
        score=comparison.score,
        table=tables.arms_table(comparison),
        notes=longer_notes(comparison),
        network=table.network(comparison),
        differences=tables.differences_table(comparison),
        pairs=pictures.pair_row(comparison),
        failed=tables.failures(comparison),
        curves=pictures.curve_rows(comparison, pictures.CURVES),
        outcomes=pictures.outcome_rows(comparison),
        costs=pictures.curve_rows(comparison, pictures.COSTS),
        gradients=pictures.curve_rows(comparison, pictures.GRADIENTS),
        tuning=tables.runs_table(comparison, by_phase["tune"]),
        final=tables.runs_table(comparison, by_phase["final"]),
        sets=tables.settings_table(comparison),
        command=html(comparison.request.command()),  # to be copied: no character of it changes
        commands=[(name, html(text)) for name, text in commands(comparison)],
        seeds=comparison.request.seeds,
        settings=flatten(comparison.settings),
        # the comparison's command is shown, not that of one of its runs
        machine=flatten({k: v for k, v in comparison.environment.items() if k != "command"}),
        **page_parts(),
    )
    return page


def write_page(comparison: Comparison, path: Path) -> None:
    """Write :func:`render_page` to a file."""
    write_atomic(path, render_page(comparison))


def commands(comparison: Comparison) -> list[tuple[str, str]]:
    """Return name and command line of every run."""
    request = comparison.request
    several = ("torchrun", "--standalone", "--nproc-per-node", str(request.nproc), "-m")
    start = (*(several if request.nproc > 1 else ()), "netaug", "train")
    return [
        (run.spec.name, shlex.join([*start, *train_arguments(request, run.spec)])) for run in comparison.runs
    ]


def render_markdown(comparison: Comparison) -> str:
    """Return verdict, tables, failures, caveats and commands of a comparison as Markdown text."""
    return "\n".join(_lines(comparison)).rstrip() + "\n"


def write_markdown(comparison: Comparison, path: Path) -> None:
    """Write :func:`render_markdown` to a file."""
    write_atomic(path, render_markdown(comparison))


def _lines(comparison: Comparison) -> Iterator[str]:
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
        yield f"{markdown(', '.join(names))}; last output:\n"
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
    # longer than any run of backticks in the text, so that no message can end the block
    fence = "`" * max(3, longest + 1)
    yield f"{fence}{language}\n{terminal(text)}\n{fence}\n"
