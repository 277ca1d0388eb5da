"""Render the page of an export from its ``ladder.json``: accuracy and memory of every form of a network."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from netaug.core.display import score_name
from netaug.core.escaping import html
from netaug.core.io import write_atomic
from netaug.report.template import page_parts, template

EXPORTS = "exports.jsonl"
"""File of a run folder: a line per export of the run, with the folder that it went to."""
PAGE = "ladder.html"


def write_ladder_page(ladder: Mapping[str, Any], name: str, command: str, path: Path) -> None:
    """Write the page of an export.

    Args:
        ladder: What ``ladder.json`` holds.
        name: Of the network.
        command: The command line that exported it.
        path: Where the HTML file goes.
    """
    score = score_name(ladder["score"])
    images = f"{ladder['images']:,} {ladder['split']} images of {ladder['dataset']}"
    page: str = template("ladder.html.jinja").render(
        name=name,
        headline=_headline(ladder),
        score=score,
        images=f"{images}, {ladder['side']} x {ladder['side']} pixels",
        rungs=[_row(rung, ladder["score"]) for rung in ladder["rungs"]],
        compared=any(rung["same"] is not None for rung in ladder["rungs"]),
        memory=[
            (item["name"], f"{item['sram']:,}", f"{item['flash']:,}", item["note"])
            for item in ladder["memory"]
        ],
        macs=f"{ladder['macs']:,}",
        checks=ladder["checks"],
        command=html(command),
        **page_parts(),
    )
    write_atomic(path, page)


def _headline(ladder: Mapping[str, Any]) -> str:
    """Return how good the trained network is, and the int8 form if there is one."""
    score, rungs = score_name(ladder["score"]), ladder["rungs"]
    text = f"{score} {rungs[0]['metrics'][ladder['score']]:.2f} %"
    int8 = [rung for rung in rungs if rung["name"].startswith("int8")]
    return text + (f", in int8 {int8[0]['metrics'][ladder['score']]:.2f} %" if int8 else "")


def _row(rung: Mapping[str, Any], score: str) -> tuple[str, str, str, str]:
    same = "" if rung["same"] is None else f"{rung['same']:.2f}"
    further = ""
    if rung["values"]:
        further = f"{rung['values']:,} values equal the reference's"
    elif rung["max_difference"]:
        further = f"largest difference {rung['max_difference']:.1e}"
    return rung["name"], f"{rung['metrics'][score]:.2f}", same, further


@dataclass(frozen=True)
class RunExport:
    """An export of a run, as its page shows it.

    Args:
        link: From the run's page to that of the export.
        headline: How good the network is, trained and in int8.
        command: The command line.
    """

    link: str
    headline: str
    command: Markup


def exports_of(run: Path) -> list[RunExport]:
    """Return the exports of a run that are still there, in their order; damaged ones are left out."""
    try:
        lines = (run / EXPORTS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found: dict[Path, RunExport] = {}
    for line in lines:
        try:
            entry = json.loads(line)
            folder = Path(os.path.normpath(run.absolute() / entry["folder"]))
            ladder = json.loads((folder / "ladder.json").read_text(encoding="utf-8"))
            link = f"{entry['folder']}/{PAGE}"
            found[folder] = RunExport(link, _headline(ladder), html(str(entry["command"])))
        except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            continue
    return list(found.values())
