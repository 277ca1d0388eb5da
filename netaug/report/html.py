"""The page of a comparison: one self-contained HTML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from netaug.report.plots import Axis, Split, learning_curves, paired_differences

if TYPE_CHECKING:
    from netaug.compare.results import Comparison

_CURVES: tuple[tuple[Split, Axis, str], ...] = (
    ("val", "epoch", "Evaluation images, by epoch"),
    ("val", "seconds", "Evaluation images, by training time"),
    ("train", "epoch", "Training images, by epoch"),
    ("train", "seconds", "Training images, by training time"),
)


def render_page(comparison: Comparison) -> str:
    """The report of a comparison as HTML text that needs neither network nor scripts."""
    from netaug.compare import numbers, table  # they are part of the package that calls this one

    environment = Environment(
        loader=PackageLoader("netaug.report", ""),
        autoescape=True,
        finalize=_keep_units,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    headers, *rows = table.lines(comparison.rows)
    curves = [(title, learning_curves(comparison.runs, split, axis)) for split, axis, title in _CURVES]
    environment.filters.update(rate=numbers.rate, seconds=numbers.seconds)
    return environment.get_template("page.html.jinja").render(
        recipe=comparison.request.recipe,
        verdict=comparison.verdict,
        headers=headers,
        rows=rows,
        network=table.network(comparison),
        pairs=paired_differences(comparison),
        curves=[(title, svg) for title, svg in curves if svg],
        tuning=[run for run in comparison.runs if run.spec.phase == "tune"],
        final=[run for run in comparison.runs if run.spec.phase == "final"],
        command=comparison.request.command(),
        seeds=comparison.request.seeds,
        settings=flatten(comparison.settings),
        # the comparison's command is shown, not that of one of its runs
        machine=flatten({k: v for k, v in comparison.environment.items() if k != "command"}),
    )


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
