"""Plots suit light and dark pages and leave matplotlib as it was."""

import re
from dataclasses import replace
from itertools import accumulate

import matplotlib
import pytest

from netaug.report.plots import _mean_line, _points, learning_curves, paired_differences
from tests.compare.helpers import record
from tests.report.test_html import comparison


def test_colours_come_from_the_page():
    for plot in (learning_curves(comparison().runs, "val", "epoch"), paired_differences(comparison())):
        assert plot is not None
        assert "var(--arm-netaug)" in plot or "var(--arm-baseline)" in plot
        assert "var(--muted)" in plot
        assert not re.findall(r"#0[0-9a-f]0[0-9a-f]0[0-9a-f]\b", plot)  # no stand-in colour is left
        assert "#000000" not in plot


def test_global_settings_of_matplotlib_stay():
    before = dict(matplotlib.rcParams)
    backend = matplotlib.rcParams._get_backend_or_none()
    assert learning_curves(comparison().runs, "train", "seconds") is not None
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.rcParams._get_backend_or_none() == backend


def test_same_runs_same_picture():
    assert learning_curves(comparison().runs, "val", "epoch") == learning_curves(
        comparison().runs, "val", "epoch"
    )


def test_points_leave_out_epochs_without_evaluation_but_not_their_time():
    run = record("netaug", 0, 71.0, seconds=30.0)
    run = replace(run, curve=(run.curve[0], replace(run.curve[1], val_top1=None), run.curve[2]))
    times = list(accumulate(epoch.seconds for epoch in run.curve))
    assert [x for x, _ in _points(run, "val", "seconds")] == pytest.approx([times[0], times[2]])
    assert [x for x, _ in _points(run, "val", "epoch")] == [1.0, 3.0]
    assert len(_points(run, "train", "epoch")) == 3


def test_mean_line_is_the_mean():
    assert _mean_line([[(1.0, 10.0), (2.0, 20.0)], [(3.0, 30.0), (4.0, 40.0)]]) == [(2.0, 20.0), (3.0, 30.0)]
    assert _mean_line([]) == []


def test_nothing_to_draw_is_none():
    assert learning_curves([record("netaug", 0, None)], "val", "epoch") is None
