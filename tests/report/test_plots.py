"""Plots suit light and dark pages and leave matplotlib as it was."""

import re
from dataclasses import replace
from itertools import accumulate

import matplotlib
import pytest

from netaug.report import view
from netaug.report.looks import LOOKS, key
from netaug.report.plots import Point, _thinned, curves, mean_line, paired_differences, points
from tests.compare.helpers import record
from tests.report.helpers import comparison

ARMS = ("baseline", "netaug", "baseline-long")


def test_colours_come_from_the_page():
    whole = comparison()
    pairs = paired_differences(view.differences(whole), ARMS)
    for plot in (curves(whole.runs, ARMS, "val", "epoch"), pairs):
        assert plot is not None
        assert "var(--arm-1)" in plot
        assert "var(--muted)" in plot
        assert not re.findall(r"#0[0-9a-f]0[0-9a-f]0[0-9a-f]\b", plot)  # no stand-in colour is left
        assert "#000000" not in plot


def test_global_settings_of_matplotlib_stay():
    before = dict(matplotlib.rcParams)
    backend = matplotlib.rcParams._get_backend_or_none()
    assert curves(comparison().runs, ARMS, "train", "seconds") is not None
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.rcParams._get_backend_or_none() == backend


def test_same_runs_same_picture():
    first, second = (curves(comparison().runs, ARMS, "val", "macs") for _ in range(2))
    assert first == second


def test_points_leave_out_epochs_without_evaluation_but_not_their_cost():
    run = record("netaug", 0, 71.0, seconds=30.0, share=0.5)
    run = replace(run, curve=(run.curve[0], replace(run.curve[1], val_score=None), run.curve[2]))
    times = list(accumulate(epoch.seconds for epoch in run.curve))
    assert [x for x, _ in points(run, "val", "seconds")] == pytest.approx([times[0], times[2]])
    assert [x for x, _ in points(run, "val", "epoch")] == [1.0, 3.0]
    assert [x for x, _ in points(run, "val", "macs")] == [1000.0, 3000.0]
    assert [y for _, y in points(run, "share", "epoch")] == pytest.approx([50.0, 51.0, 52.0])
    assert len(points(run, "train", "epoch")) == 3


def test_mean_line_is_mean_and_deviation_point_by_point():
    found = mean_line([[(1.0, 10.0), (2.0, 20.0)], [(3.0, 30.0), (4.0, 40.0), (5.0, 1.0)]])
    assert found == [Point(2.0, 20.0, pytest.approx(200**0.5)), Point(3.0, 30.0, pytest.approx(200**0.5))]
    assert mean_line([[(1.0, 5.0)]]) == [Point(1.0, 5.0, None)]
    assert mean_line([]) == []


def test_thinned_lines_keep_their_ends():
    line = [Point(float(x), 0.0, None) for x in range(1001)]
    thin = _thinned(line)
    assert (len(thin), thin[0], thin[-1]) == (160, line[0], line[-1])
    assert _thinned(line[:5]) == line[:5]


def test_nothing_to_draw_is_none():
    assert curves([record("netaug", 0, None)], ARMS, "val", "epoch") is None
    assert curves([record("netaug", 0, 70.0)], ARMS, "share", "epoch") is None
    assert paired_differences([], ARMS) is None


def test_arms_are_told_apart_without_colour():
    assert (
        len({(look.dashes, look.marker) for look in LOOKS})
        == len({look.marker for look in LOOKS})
        == len(LOOKS)
    )
    assert key(None) == ""
    assert key(2) != key(3)
    assert "--arm-0" in key(len(LOOKS))  # beyond the last they begin again


def _luminance(color):
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(share * value for share, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(("page", "shade"), [("#ffffff", "light"), ("#1b1f23", "dark")])
def test_lines_stand_out_from_the_page(page, shade):
    """At least 4:1 by WCAG 2's formula; 3:1 is what it asks of graphics."""
    for look in LOOKS:
        low, high = sorted(_luminance(color) for color in (page, getattr(look, shade)))
        assert (high + 0.05) / (low + 0.05) > 4, look
