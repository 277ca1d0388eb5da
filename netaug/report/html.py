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
from netaug.report.plots import Axis, Quantity, curves, paired_differences

if TYPE_CHECKING:
    from netaug.compare.results import Comparison

_CURVES: tuple[tuple[Quantity, Axis, str], ...] = (
    ("val", "epoch", "Evaluation images"),
    ("train", "epoch", "Training images"),
)
_COSTS: tuple[tuple[Quantity, Axis, str], ...] = (
    ("val", "seconds", "Against training time"),
    ("val", "macs", "Against arithmetic"),
)
_GRADIENTS: tuple[tuple[Quantity, Axis, str], ...] = (
    ("share", "epoch", "Share of the augmented pass"),
    ("cosine", "epoch", "Cosine between the passes"),
)
_TEXTS = ("arm", "against", "at", "says")
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
    from netaug.report import view

    arms, script = view.arm_names(comparison), _file("script.js")
    compared = view.differences(comparison)

    def drawn(which: tuple[tuple[Quantity, Axis, str], ...]) -> list[tuple[str, Markup]]:
        plots = [(title, curves(comparison.runs, arms, quantity, axis)) for quantity, axis, title in which]
        return [(title, svg) for title, svg in plots if svg]

    by_phase = {
        phase: [run for run in comparison.runs if run.spec.phase == phase] for phase in ("tune", "final")
    }
    page: str = _template().render(
        recipe=comparison.request.recipe,
        verdict=comparison.verdict,
        arms=arms,
        table=view.arms_table(comparison),
        network=table.network(comparison),
        differences=view.differences_table(comparison),
        pairs=paired_differences(compared, arms),
        failed=[run for run in comparison.runs if run.summary is None],
        curves=drawn(_CURVES),
        costs=drawn(_COSTS),
        gradients=drawn(_GRADIENTS),
        tuning=view.runs_table(comparison, by_phase["tune"]),
        final=view.runs_table(comparison, by_phase["final"]),
        command=escape(comparison.request.command()),  # to be copied: no character of it changes
        commands=[(name, escape(text)) for name, text in view.commands(comparison)],
        seeds=comparison.request.seeds,
        settings=flatten(comparison.settings),
        # the comparison's command is shown, not that of one of its runs
        machine=flatten({k: v for k, v in comparison.environment.items() if k != "command"}),
        words=view.WORDS,
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
