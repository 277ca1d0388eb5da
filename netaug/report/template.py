"""Provide what the pages share: template, style, script, and nested settings as rows."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from netaug.compare.paired_statistics import EFFECT_WORDS
from netaug.core.escaping import terminal
from netaug.report import styles

_TEXTS = ("arm", "against", "at", "result", "sets", "recipe", "chosen")
"""Columns of words, which begin at the left."""
_DARK = """
  color-scheme: dark;
  --page: #131619; --card: #1b1f23; --ink: #e9ebee; --muted: #a3abb5; --line: #33393f; --accent: #ff8f45;
  --better: #4fd6a6; --better-card: #17352b; --worse: #ff9c80; --worse-card: #40221a;
"""


def flatten(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested mappings as rows of dotted key and text, in their order."""
    rows: list[tuple[str, str]] = []
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            rows += flatten(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", _text(value)))
    return rows


def template(name: str) -> Any:
    """Return a template of the pages."""
    environment = Environment(
        loader=PackageLoader("netaug.report", ""),
        # names come from run folders and command lines
        autoescape=True,
        finalize=_keep_units,
        # a misspelled name is an error instead of a gap in the page
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def page_parts() -> dict[str, Any]:
    """Return what all pages need: style, script with its hash, and the styles of arms and differences."""
    script = _file("script.js")
    return {
        "words": EFFECT_WORDS,
        "texts": _TEXTS,
        "key": styles.key,
        "style": Markup(_style()),
        "boxes": Markup(_file("boxes.css")),
        "script": Markup(script),
        "script_hash": _hash(script),
    }


def _style() -> str:
    """Return the style sheet: light, dark where the system or the switch requests it, never dark on paper."""
    light, dark = styles.variables()
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
    """Return a text with no-break spaces between numbers and units, so that no line starts with a unit."""
    if type(value) is not str:  # plots are markup already
        return value
    value = terminal(value)
    return re.sub(r"(?<=\d) (?=(?:%|[kMGTPEhs]\b|min\b))", "\u00a0", value).replace("n = ", "n\u00a0=\u00a0")


def _text(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value) or "[]"
    return str(value) if value != {} else "{}"
