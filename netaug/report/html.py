"""Render the page of a comparison: one self-contained HTML file.

The page runs one script, named by its hash, and may fetch nothing, so what a run folder holds cannot act in it. Without
scripts everything is shown, only not sorted. Tables and pictures hold data and know nothing of HTML; the templates only
lay them out.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from netaug.core.escaping import html
from netaug.core.io import write_atomic
from netaug.report.template import flatten, page_parts, template

if TYPE_CHECKING:
    from netaug.compare.results import Comparison


def render_page(comparison: Comparison) -> str:
    """Return the report of a comparison as HTML text.

    What comes from run folders and the command line is escaped; beside that, the page's policy lets a browser run no
    script but the page's own, by its hash, and fetch nothing. Without scripts all is shown, only not sorted.
    """
    from netaug.compare import table  # reporting is part of what that package's engine does
    from netaug.report import pictures, tables
    from netaug.report.families import longer_notes
    from netaug.report.html import commands

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
    """Name and command line of every run."""
    from netaug.compare.plan import train_words

    asked = comparison.request
    several = ("torchrun", "--standalone", "--nproc-per-node", str(asked.nproc), "-m")
    words = (*(several if asked.nproc > 1 else ()), "netaug", "train")
    return [(run.spec.name, shlex.join([*words, *train_words(asked, run.spec)])) for run in comparison.runs]
