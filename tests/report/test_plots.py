"""Plots suit light and dark pages and leave matplotlib as it was."""

import html
import json
import re
from dataclasses import replace
from itertools import accumulate

import matplotlib
import pytest

from netaug.report.arm_pairs import differences
from netaug.report.lines import Frame, Point, end_frame, mean_line, mean_lines, points, thinned, whole_frame
from netaug.report.plots import curves, outcomes, paired_differences
from netaug.report.styles import STYLES, key, style_of
from tests.compare.helpers import record
from tests.report.helpers import comparison, plan_comparison

ARMS = ("baseline", "netaug", "baseline-long")
LOOKED = list(enumerate(ARMS))


def drawn(quantity="val", axis="epoch"):
    lines = mean_lines(comparison().runs, ARMS, quantity, axis)
    return curves(lines, LOOKED, quantity, axis, whole_frame(lines, quantity), "name")


def test_colors_come_from_the_page():
    whole = plan_comparison()
    pairs = paired_differences(differences(comparison()), {"netaug": 1})
    points = outcomes(whole.rows, [(0, "tiny.none"), (1, "tiny.netaug")], "seconds", "name")
    for plot in (drawn(), pairs, points):
        assert plot is not None
        assert "var(--arm-1)" in plot
        assert "var(--muted)" in plot
        assert not re.findall(r"#0[0-9a-f]0[0-9a-f]0[0-9a-f]\b", plot)  # no stand-in color is left
        assert "#000000" not in plot


def test_global_settings_of_matplotlib_stay():
    before = dict(matplotlib.rcParams)
    backend = matplotlib.rcParams._get_backend_or_none()
    assert drawn("train", "seconds")
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.rcParams._get_backend_or_none() == backend


def test_same_runs_same_picture():
    assert drawn("val", "macs") == drawn("val", "macs")


def test_the_start_is_cut_off_only_by_a_switch():
    """The second picture begins where the slowest arm is at two fifths of its training, not at chance."""
    lines = {"a": [Point(float(x), 10.0 * x, 1.0) for x in range(10)], "b": [Point(1.0, 95.0, None)]}
    bottom, top = whole_frame(lines, "val")
    assert bottom is not None
    assert top is not None
    assert bottom < -1.0
    assert top > 95.0
    end = end_frame(lines, "val")
    assert end is not None
    assert end.bottom is not None
    assert 30.0 < end.bottom < 40.0
    assert whole_frame(lines, "fraction") == (None, None)
    assert end_frame(lines, "fraction") is None
    flat = {"a": [Point(float(x), 50.0, None) for x in range(10)]}
    assert end_frame(flat, "val") is None  # a switch that changes nothing is not there
    both = str(curves(lines, [(0, "a"), (1, "b")], "val", "epoch", Frame(bottom, top), "x", "top-1", end))
    assert both.count("<svg") == 2
    assert both.count('type="checkbox"') == 1
    ids = re.findall(r'\bid="([^"]*)"', both)
    assert len(ids) == len(set(ids))


def test_the_values_of_a_plot_lie_where_they_are_drawn():
    """What the script shows: limits, and the place of the axes in the picture."""
    lines = {"a": [Point(0.0, 10.0, 1.0), Point(1.0, 20.0, None)]}
    drawn_svg = str(curves(lines, [(0, "a")], "val", "epoch", Frame(0.0, 40.0), "x"))
    (attribute,) = re.findall(r'data-hover="([^"]*)"', drawn_svg)
    content = json.loads(html.unescape(attribute))
    assert content["lines"] == [{"name": "a", "style": "--arm-0", "points": [[0, 10, 1], [1, 20, None]]}]
    (x0, x1), (y0, y1) = content["limits"]
    assert ((x0, x1), (y0, y1)) == ((0, 1.02), (0, 40))
    assert content["names"] == ["epoch", "top-1, %"]
    left, top, right, bottom = content["box"]
    width, height = (float(value) for value in re.findall(r'viewBox="0 0 (\S+) (\S+)"', drawn_svg)[0])
    path, *_ = re.findall(
        r'<path d="M (\S+) (\S+) \nL (\S+) (\S+) \n" [^>]*stroke: var\(--arm-0\)', drawn_svg
    )
    for x, y, (px, py) in ((0, 10, path[:2]), (1, 20, path[2:])):
        assert width * (left + (x - x0) / (x1 - x0) * (right - left)) == pytest.approx(float(px), abs=0.2)
        assert height * (bottom - (y - y0) / (y1 - y0) * (bottom - top)) == pytest.approx(float(py), abs=0.2)


def test_points_leave_out_epochs_without_evaluation_but_not_their_cost():
    run = record("netaug", 0, 71.0, seconds=30.0, share=0.5)
    run = replace(run, curve=(run.curve[0], replace(run.curve[1], val_score=None), run.curve[2]))
    times = list(accumulate(epoch.seconds for epoch in run.curve))
    assert [x for x, _ in points(run, "val", "seconds")] == pytest.approx([times[0], times[2]])
    assert [x for x, _ in points(run, "val", "epoch")] == [1.0, 3.0]
    assert [x for x, _ in points(run, "val", "macs")] == [1000.0, 3000.0]
    assert [y for _, y in points(run, "fraction", "epoch")] == pytest.approx([50.0, 51.0, 52.0])
    assert len(points(run, "train", "epoch")) == 3


def test_mean_line_is_mean_and_deviation_point_by_point():
    found = mean_line([[(1.0, 10.0), (2.0, 20.0)], [(3.0, 30.0), (4.0, 40.0), (5.0, 1.0)]])
    assert found == [Point(2.0, 20.0, pytest.approx(200**0.5)), Point(3.0, 30.0, pytest.approx(200**0.5))]
    assert mean_line([[(1.0, 5.0)]]) == [Point(1.0, 5.0, None)]
    assert mean_line([]) == []


def test_thinned_lines_keep_their_ends():
    line = [Point(float(x), 0.0, None) for x in range(1001)]
    thin = thinned(line)
    assert (len(thin), thin[0], thin[-1]) == (100, line[0], line[-1])
    assert thinned(line[:5]) == line[:5]


def test_nothing_to_draw_is_none():
    assert mean_lines([record("netaug", 0, None)], ARMS, "val", "epoch") == {}
    assert mean_lines([record("netaug", 0, 70.0)], ARMS, "fraction", "epoch") == {}
    assert paired_differences([], {}) is None
    assert outcomes([], LOOKED, "macs", "name") is None


def test_arms_are_told_apart_without_color():
    first = [style_of(number) for number in range(len(STYLES))]
    assert len({one.dashes for one in first}) == len({one.marker for one in first}) - 1 == len(STYLES) - 1
    many = [style_of(number) for number in range(40)]
    assert len({(one.light, one.marker) for one in many}) == 40  # those that share a color have other markers
    assert all(one.light != STYLES[0].light for one in many[1:])  # the reference's color is its own
    assert key(None) == ""
    assert key(2) != key(3)
    assert "--arm-1" in key(len(STYLES))


def _luminance(color):
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(share * value for share, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(("page", "shade"), [("#ffffff", "light"), ("#1b1f23", "dark")])
def test_lines_stand_out_from_the_page(page, shade):
    """At least 4:1 by WCAG 2's formula; 3:1 is what it asks of graphics."""
    for one in STYLES:
        low, high = sorted(_luminance(color) for color in (page, getattr(one, shade)))
        assert (high + 0.05) / (low + 0.05) > 4, one
