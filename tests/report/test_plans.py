"""A page of many arms: who belongs together, what is told of each, and nothing that only fits two arms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netaug.compare.arms import Arm
from netaug.compare.cells import Table
from netaug.compare.formatting import NONE
from netaug.compare.results import Comparison, arm_rows
from netaug.compare.verdict import judge
from netaug.report.arm_pairs import differences
from netaug.report.comparison_pages import render_markdown, render_page
from netaug.report.families import MOST_LINES, arm_styles, families, longer_notes
from netaug.report.pictures import CURVES, GRADIENTS, curve_rows, outcome_rows
from netaug.report.tables import arms_table, failures, settings_table
from tests.report.helpers import comparison, plan_comparison


@pytest.fixture(scope="module")
def whole() -> Comparison:
    return plan_comparison()


def _column(table: Table, header: str) -> list[str]:
    return [row[table.headers.index(header)].plain for row in table.rows]


def test_arms_are_shown_with_their_reference_and_what_was_trained_for_them(whole: Comparison) -> None:
    tiny, large = families(whole)
    assert (tiny.name, large.name) == ("tiny", "large")
    assert tiny.arms[:3] == ("tiny.none", "tiny.mixup", "tiny.none-long-mixup")
    assert {arm.partition(".")[0] for arm in tiny.arms} == {"tiny"}
    assert "teacher" not in arm_styles(whole)
    assert arm_styles(whole)["large.none"] == 0


def test_a_picture_holds_few_lines_and_the_reference(whole: Comparison) -> None:
    for family in families(whole):
        assert len(family.panels) > 1
        assert all(len(panel) <= MOST_LINES and panel[0] == family.arms[0] for panel in family.panels)
        assert {arm for panel in family.panels for arm in panel} == set(family.arms)
        colors = [{number % 7 for number, _ in family.styles(panel)[1:]} for panel in family.panels]
        assert [len(found) for found in colors] == [len(panel) - 1 for panel in family.panels]


def test_two_arms_are_one_family_without_a_name() -> None:
    (only,) = families(comparison())
    assert only.name == ""
    assert only.panels == (("baseline", "netaug", "baseline-long"),)
    assert outcome_rows(comparison()) == []


def test_the_reference_of_a_reference_is_the_family_s() -> None:
    two = comparison()
    rows = tuple(replace(row, reference="netaug") if row.arm == "baseline-long" else row for row in two.rows)
    (only,) = families(replace(two, rows=rows))
    assert only.arms[0] == "baseline"


def test_a_family_whose_reference_never_ran_is_still_shown(whole: Comparison) -> None:
    without = replace(whole, rows=tuple(row for row in whole.rows if row.arm != "tiny.none"))
    assert families(without)[0].name == "tiny"
    assert "tiny.none" not in families(without)[0].panels[1]
    assert render_markdown(without)


def test_each_arm_is_compared_as_planned_and_at_equal_cost(whole: Comparison) -> None:
    table = arms_table(whole)
    assert table.headers[2:5] == ("vs reference", "at equal time", "at equal MACs")
    arms = _column(table, "arm")
    assert arms[-1] == "teacher (stage)"
    at = arms.index("tiny.netaug")
    assert _column(table, "vs reference")[at].startswith("▲ +")
    assert "[" in _column(table, "at equal MACs")[at]
    assert _column(table, "at equal time")[at] == NONE
    failed = arms.index("large.dropblock")
    assert _column(table, "top-1 %")[failed] == "failed"
    assert _column(table, "n")[failed] == "0 (3 failed)"


def test_what_both_sides_have_the_same_of_is_told_as_measured(whole: Comparison) -> None:
    found = {(one.arm, one.against): one.when for one in differences(whole)}
    assert found["tiny.mixup", "tiny.none"] == "equal epochs"
    assert found["tiny.mixup", "tiny.none-long-mixup"] == "equal training time"
    assert found["tiny.netaug", "tiny.none-macs-netaug"] == "against 4 times the MACs"
    assert found["tiny.none-macs-netaug", "tiny.none"] == "160 against 40 epochs"


def test_a_reference_of_the_same_cost_is_compared_once() -> None:
    two = comparison()
    rows = tuple(
        replace(row, long="baseline", vs_long=row.vs_baseline) if row.arm == "netaug" else row
        for row in two.rows
    )
    found = [one for one in differences(replace(two, rows=rows)) if one.arm == "netaug"]
    assert [(one.against, one.when) for one in found] == [("baseline", "equal epochs, equal training time")]


def test_longer_references_are_explained(whole: Comparison) -> None:
    notes = longer_notes(whole)
    assert len(notes) == 6
    assert notes[0].startswith(
        "tiny.none-long-mixup is tiny.none with 48 epochs, for the training time of tiny.mixup"
    )


def test_what_the_arms_set_is_listed(whole: Comparison) -> None:
    table = settings_table(whole)
    assert _column(table, "recipe")[1] == "demo/tiny"
    assert "regularize.mixup 0.2" in _column(table, "sets")[2]
    assert settings_table(comparison()).headers == ("arm", "sets")


def test_curves_of_all_arms_that_have_any_are_drawn(whole: Comparison) -> None:
    rows = curve_rows(whole, CURVES)
    assert [len(row.pictures) for row in rows] == [2] * len(rows)  # the loss only where training has no score
    names = {arm for row in rows for _, arm in row.styles}
    assert names == set(arm_styles(whole)) - {"large.dropblock"}
    assert [[arm for _, arm in row.styles] for row in curve_rows(whole, GRADIENTS)] == [
        ["tiny.netaug"],
        ["large.netaug"],
    ]


def test_page_and_markdown_speak_of_no_arm_that_is_not_there(whole: Comparison) -> None:
    page = render_page(whole)
    for text in (page.rpartition("</style>")[2], render_markdown(whole)):
        assert "baseline" not in text
        assert "tiny.netaug" in text
        assert "large.dropblock-lr0.1-seed0" in text
    assert len(page.encode()) < 2_000_000


def test_another_score_has_its_own_name() -> None:
    """Everywhere; and where training has no score, its loss is drawn."""
    two = comparison()
    runs = tuple(
        replace(
            run,
            summary=run.summary and replace(run.summary, score="ap50", train_score=None),
            curve=tuple(replace(epoch, train_score=None, train_loss=1.0) for epoch in run.curve),
        )
        for run in two.runs
    )
    rows = arm_rows(runs)
    verdict = judge(two.request, rows, runs, {})
    detection = replace(two, runs=runs, rows=rows, verdict=verdict)
    table = arms_table(detection)
    assert "AP50 %" in table.headers
    assert not any("train AP50" in header for header in table.headers)
    assert [title for title, _ in curve_rows(detection, CURVES)[0].pictures] == [
        "Evaluation images",
        "Loss on training images",
    ]
    page = render_page(detection)
    assert "AP50 against what it costs" in page
    assert "NetAug changes AP50 by" in page
    assert "top-1" not in page


def test_a_failure_is_told_from_its_error_on() -> None:
    two = comparison()
    said = "epoch 1 of 4\nTrainingError: the loss is not finite.\n  fix: lower it"
    runs = tuple(replace(run, message=said) if run.summary is None else run for run in two.runs)
    (told,) = failures(replace(two, runs=runs))
    assert told == said.partition("\n")[2]


def test_the_size_of_a_stage_alone_does_not_make_the_arms_differ(whole: Comparison) -> None:
    rows = tuple(replace(row, params=9000) if row.stage else row for row in whole.rows)
    assert "parameters" not in arms_table(replace(whole, rows=rows)).headers
    rows = tuple(replace(row, params=9000) if row.arm == "large.none" else row for row in whole.rows)
    assert "parameters" in arms_table(replace(whole, rows=rows)).headers


def test_a_stage_is_named_where_an_arm_uses_it(whole: Comparison) -> None:
    taught = Arm("kd", "demo/fake", (("distill.teacher", ["{run:teacher}"]),), reference="tiny.none")
    plan = whole.request.whole_plan
    asked = replace(whole.request, plan=replace(plan, arms=(*plan.arms, taught)))
    assert (
        _column(settings_table(replace(whole, request=asked)), "sets")[-1]
        == "distill.teacher [the run of teacher]"
    )
