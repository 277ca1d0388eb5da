"""Text from files cannot act on a terminal, in a spreadsheet, on a page or in Markdown."""

from __future__ import annotations

import ast
import csv
import io
import json
import logging
from pathlib import Path

import pytest
from markupsafe import Markup
from rich.progress import Progress
from rich.table import Table

import netaug
from netaug.core.consoles import SafeConsole
from netaug.core.escaping import EscapingFormatter, csv_cell, csv_text, html, line, markdown, say, terminal

HOSTILE = [
    "\x1b[2Jcat",
    "\x1b]0;title\x07",
    "\x9b31mred",
    "over\rwritten",
    "back\x08\x08space",
    "\u202egnp.tac",
    "\u2066isolated\u2069",
    "line\u2028separator",
    "no\u200bwidth",
    "\udcff broken name",
    "nul\x00",
    "\U000e0041tag",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_control_characters_are_spelled_out_everywhere(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    buffer = io.StringIO()
    console = SafeConsole(file=buffer, force_terminal=False, width=60)
    console.print(name, markup=False)
    table = Table("class")
    table.add_row(name)
    console.print(table)
    say(name)
    record = logging.LogRecord("netaug", logging.WARNING, "f", 1, "%s", (name,), None)
    shown = [capsys.readouterr().out, buffer.getvalue(), EscapingFormatter().format(record)]
    shown += [terminal(name), line(name), html(name), markdown(name), csv_cell(name)]
    for text in shown:
        assert all(sign.isprintable() or sign == "\n" for sign in text), ascii(text)
    assert "\\" in shown[0]


def test_a_name_in_a_line_ends_none() -> None:
    assert line("cat\nERROR: all is lost\tok") == "cat\\nERROR: all is lost\\tok"
    assert terminal("two\nlines\t.") == "two\nlines\t."
    assert "\n" not in markdown("a\nb")


@pytest.mark.parametrize("text", ["plain", "naïve café", "日本語", "👩‍🔬", "שלום", "a\\b", "50 %"])
def test_ordinary_text_stays(text: str) -> None:
    assert terminal(text) == line(text) == csv_cell(text) == text
    assert html(text) == Markup.escape(text)


@pytest.mark.parametrize(
    "cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@A1", " =1", "\uff1d1", "-", "\t=1", "\r=1"]
)
def test_formulas_are_text(cell: str) -> None:
    assert not csv_cell(cell).lstrip().startswith(tuple("=+-@\uff1d\t\r"))


@pytest.mark.parametrize("cell", [-1.5, 3, None, True, "-0.25", "+1e5", "-inf", "1,5", "0.1", "", "a-b"])
def test_numbers_stay_numbers(cell: object) -> None:
    assert csv_cell(cell) == cell


def test_a_csv_file_is_read_back() -> None:
    text = csv_text(["arm", "delta"], [{"arm": '=HYPERLINK("x")', "delta": -0.5}, {"arm": "b"}])
    rows = list(csv.DictReader(text.splitlines()))
    assert rows == [{"arm": '\'=HYPERLINK("x")', "delta": "-0.5"}, {"arm": "b", "delta": ""}]


def test_colors_and_bars_of_our_own_still_act() -> None:
    buffer = io.StringIO()
    console = SafeConsole(
        file=buffer, force_terminal=True, width=60, color_system="standard", legacy_windows=False
    )
    console.print("fine", style="red")
    with Progress(console=console, transient=True) as bar:
        bar.add_task("\x1b[31mname", total=1, completed=1)
    shown = buffer.getvalue()
    assert "\x1b[31mfine" in shown
    assert "\\x1b[31m" in shown
    assert "\x1b[31mname" not in shown


def test_markdown_shows_markup() -> None:
    assert markdown("a|b *c* <img> [x](y) ~~z~~ `d`") == r"a\|b \*c\* \<img\> [x\](y) \~\~z\~\~ \`d\`"


def test_all_of_the_package_prints_through_one_function() -> None:
    """A new ``print(name)`` would be a new hole."""
    allowed = {"escaping.py"}
    for path in Path(netaug.__file__).parent.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        names = [call.func.id for call in calls if isinstance(call.func, ast.Name)]
        assert "print" not in names or path.name in allowed, path
        assert "Console" not in names, path


def test_predictions_and_runs_are_shown_escaped(tmp_path: Path) -> None:
    from netaug.commands.runs import table
    from netaug.runs.listing import find_runs
    from netaug.tasks.classify_images import Prediction, predictions_table

    shown = predictions_table([Prediction("p\n\x1b[2J.png", (("cat\x1b[31m\nx", 0.5), ("dog", 0.25)))])
    assert len(shown.splitlines()) == 3
    run = tmp_path / "a\x1b[2J"
    run.mkdir()
    (run / "config.yaml").write_text(json.dumps({"model": {"name": "n\x1b[2J"}, "train": 3}))
    (run / "metrics.jsonl").write_text("")
    for text in (shown, table(find_runs(tmp_path), tmp_path, 0)):
        assert "\x1b" not in text
