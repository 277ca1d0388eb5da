"""Progress tells how many runs are done and how long the rest takes."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from netaug.compare.board import Board, seconds_left
from netaug.compare.records import RunRecord
from netaug.compare.run_specs import RunSpec
from tests.compare.helpers import record

BASE = RunSpec("baseline", "final", 0, 0.1, None, 1)
WIDE = RunSpec("netaug", "final", 0, 0.1, None, 1)
PLANNED = {"baseline": 2, "netaug": 2, "baseline-long": 2}


def test_time_left_counts_what_is_not_done_yet():
    costs = {"baseline": 10.0, "netaug": 30.0, "baseline-long": 28.0}
    assert seconds_left(PLANNED, {}, costs, 1) == pytest.approx(2 * (10 + 30 + 28))
    assert seconds_left(PLANNED, {BASE: 1.0, WIDE: 0.5}, costs, 2) == pytest.approx((10 + 45 + 56) / 2)
    assert seconds_left(PLANNED, {}, {}, 1) is None


def test_unknown_costs_are_guessed_from_known_ones():
    assert seconds_left(PLANNED, {}, {"netaug": 40.0}, 1) == pytest.approx(2 * (10 + 40 + 40))
    assert seconds_left(PLANNED, {}, {"baseline": 10.0}, 1) == pytest.approx(2 * (10 + 40 + 40))


@pytest.mark.parametrize("terminal", [False, True])
def test_board_reports_good_and_bad_ends(terminal):
    text = io.StringIO()
    console = Console(file=text, width=100, force_terminal=terminal, color_system=None, legacy_windows=False)
    times = iter(range(0, 1000, 10))
    with Board(PLANNED, 2, console, clock=lambda: next(times)) as board:
        board.started(BASE)
        board.started(WIDE)
        board.advanced(BASE, 0.5)
        board.finished(RunRecord(BASE, Path("x"), record("baseline", 0, 71.25).summary), Path("x.log"))
        board.finished(RunRecord(WIDE, Path("x"), None, message="[red]it broke"), Path("x.log"))
    assert "[1/6] baseline lr 0.1 seed 0: top-1 71.2 %" in text.getvalue()
    assert "[2/6] netaug lr 0.1 seed 0: failed\n    [red]it broke\n    all of it: x.log" in text.getvalue()
