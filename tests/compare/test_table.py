"""The table fits wide and narrow consoles and never loses a number."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from netaug.compare import Comparison, show
from netaug.compare.results import arm_rows
from netaug.compare.table import table_lines
from netaug.compare.verdict import judge
from tests.compare.helpers import record, request


@pytest.mark.parametrize("width", [80, 200])
def test_every_number_is_shown_whole(width):
    tops = {"baseline": (70.0, 70.5, 70.2), "netaug": (71.0, 71.2, 71.3), "baseline-long": (70.9, 71.5, 71.1)}
    runs = [record(arm, seed, top) for arm, values in tops.items() for seed, top in enumerate(values)]
    asked = request(Path("x"), recipe="[bold]odd[/] name")
    rows = arm_rows(runs)
    text = io.StringIO()
    show(
        Comparison(asked, rows, tuple(runs), judge(asked, rows, runs, {}), {}, {}),
        Console(file=text, width=width, color_system=None),
    )
    found = text.getvalue()
    assert "[bold]odd[/] name" in found
    assert "…" not in found
    for expected in ("baseline-long", "71.2 ± 0.2", "+0.9 [+0.4, +1.5]", "3.00 k"):
        assert expected in found


def test_mean_per_class_accuracy_has_a_column_where_it_was_measured():
    plain = record("baseline", 0, 70.0)
    assert "mean per class %" not in table_lines(arm_rows([plain]))[0]
    assert plain.summary is not None
    measured = replace(plain, summary=replace(plain.summary, val_mean_per_class=61.5))
    headers, row = table_lines(arm_rows([measured]))
    assert row[headers.index("mean per class %")] == "61.5"
    assert row[headers.index("top-1 %")] == "70.0"
