"""The page of a comparison: one self-contained HTML file that asks for nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from netaug.report import looks
from netaug.report.cells import WORDS

if TYPE_CHECKING:
    from netaug.compare.results import Comparison

_TEXTS = ("arm", "against", "at", "says", "sets", "recipe", "chosen")
"""Columns of words, which begin at the left."""
_DARK = """
  color-scheme: dark;
  --page: #131619; --card: #1b1f23; --ink: #e9ebee; --muted: #a3abb5; --line: #33393f; --accent: #ff8f45;
  --better: #4fd6a6; --better-card: #17352b; --worse: #ff9c80; --worse-card: #40221a;
"""


def render_page(comparison: Comparison) -> str:
    """The report of a comparison as HTML text.

    What comes from run folders and the command line is escaped; beside that, the page's policy lets a browser run no
    script but the page's own, by its hash, and fetch nothing. Without scripts all is shown, only not sorted.
    """
    from netaug.compare import table  # reporting is part of what that package's engine does
    from netaug.report import pictures, tables
    from netaug.report.commands import commands
    from netaug.report.families import longer_notes

    script = _file("script.js")
    by_phase = {
        phase: [run for run in comparison.runs if run.spec.phase == phase] for phase in ("tune", "final")
    }
    page: str = _template().render(
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
        command=escape(comparison.request.command()),  # to be copied: no character of it changes
        commands=[(name, escape(text)) for name, text in commands(comparison)],
        seeds=comparison.request.seeds,
        settings=flatten(comparison.settings),
        # the comparison's command is shown, not that of one of its runs
        machine=flatten({k: v for k, v in comparison.environment.items() if k != "command"}),
        words=WORDS,
        texts=_TEXTS,
        key=looks.key,
        style=Markup(_style()),
        script=Markup(script),
        script_hash=_hash(script),
    )
    return page


def write_page(comparison: Comparison, path: Path) -> None:
    """Write :func:`render_page` to a file."""
    path.write_text(render_page(comparison), encoding="utf-8")


def flatten(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as rows of dotted key and text, in their order."""
    rows: list[tuple[str, str]] = []
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            rows += flatten(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", _text(value)))
    return rows


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("netaug.report", ""),
        autoescape=True,
        finalize=_keep_units,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")


def _style() -> str:
    """Light everywhere, dark where the reader's system or the switch asks for it, never on paper."""
    light, dark = looks.variables()
    dark = f"{_DARK}  {dark}\n"
    rules = (
        f"@media screen and (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{{dark}}} }}\n"
        f"@media screen {{ :root[data-theme=dark] {{{dark}}} }}"
    )
    return _file("style.css").replace("@LIGHT@", light).replace("@DARK@", rules)


def _file(name: str) -> str:
    return files("netaug.report").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _keep_units(value: Any) -> Any:
    """Tie a number to its unit, so that no line starts with the unit."""
    if type(value) is not str:  # plots are markup already
        return value
    return re.sub(r"(?<=\d) (?=(?:%|[kMGTPEhs]\b|min\b))", "\u00a0", value).replace("n = ", "n\u00a0=\u00a0")


def _text(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value) or "[]"
    return str(value) if value != {} else "{}"
