"""What comes from files, made harmless where it is shown: one function for each of terminal, CSV, HTML and Markdown.

Names of classes, files, networks and recipes may hold escape sequences that move a terminal's cursor or recolor it,
marks that turn the direction of writing round, or a formula for a spreadsheet. They are shown as what they are.
"""

from __future__ import annotations

import csv
import io
import logging
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from markupsafe import Markup, escape

_DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_HIDDEN = "\u00ad\u200b\u2028\u2029\u2060\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff"
_CONTROL = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_DIRECTION}{_HIDDEN}]")
_OF_A_LINE = re.compile(f"[\x00-\x1f\x7f-\x9f{_DIRECTION}{_HIDDEN}]")
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # a spreadsheet takes the wide forms for them too
_MARKDOWN = re.compile(r"([\\`*_<>|~]|\](?=\())")


def terminal(text: object) -> str:
    """Return a text of several lines for a terminal: control characters but tab and line end are spelled out."""
    return _CONTROL.sub(_written, str(text))


def line(text: object) -> str:
    """Escape a name inside a line, line breaks included."""
    return _OF_A_LINE.sub(_written, str(text))


def html(text: object) -> Markup:
    """Return a text for HTML and SVG: markup is shown, and so are control characters, which XML does not allow."""
    return escape(terminal(text))


def markdown(text: object) -> str:
    """Return a text of one line that Markdown shows as it is: no markup, no HTML, no link, no end of a table's cell."""
    return line(_MARKDOWN.sub(r"\\\1", str(text).replace("\n", " ")))


def csv_cell(value: Any) -> Any:
    """Return a value for a CSV file: a text that a spreadsheet would run as a formula begins with an apostrophe."""
    if not isinstance(value, str):
        return value
    text = line(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) and not _is_number(text) else text


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Format a CSV file: a line of titles, and one line per row; missing values stay empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue()


def say(text: object = "", *, end: str = "\n", file: TextIO | None = None, flush: bool = False) -> None:
    """Print on a terminal; the one way of netaug's commands to do so."""
    print(terminal(text), end=end, file=sys.stdout if file is None else file, flush=flush)


class EscapingFormatter(logging.Formatter):
    """Log lines for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return terminal(super().format(record))


def _written(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number < 0x100:
        return {"\t": "\\t", "\n": "\\n", "\r": "\\r"}.get(match[0], f"\\x{number:02x}")
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
