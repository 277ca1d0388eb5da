"""What comes before what, and who is compared with whom."""

from netaug.compare.arms import Arm, Plan, stages_in, two_arms, with_folders
from tests.compare.plans import plan_from

OFF = (("netaug.enabled", False),)


def test_stages_are_trained_before_what_needs_them():
    plan = Plan(
        "p",
        (
            Arm("taught", "r", (("distill.teacher", ("{run:student}",)),), reference="plain"),
            Arm("plain", "r"),
            Arm("student", "r", (("model.weights", "{run:teacher}/w"),), stage=True),
            Arm("teacher", "r", OFF, stage=True),
        ),
    )
    assert [[arm.name for arm in level] for level in plan.levels()] == [
        ["plain", "teacher"],
        ["student"],
        ["taught"],
    ]


def test_of_two_arms_the_plain_one_comes_last_of_more_first(tmp_path):
    assert [arm.name for arm in two_arms("r").levels()[0]] == ["netaug", "baseline"]
    assert next(arm.name for arm in plan_from(tmp_path).levels()[0] if not arm.stage) == "baseline"


def test_the_reference_with_more_epochs_has_no_longer_reference(tmp_path):
    plan = plan_from(tmp_path)
    assert [arm.name for arm in plan.against("baseline")] == ["taught", "netaug"]
    assert plan.arm("twice").reference == "baseline"  # but it is compared with it


def test_run_folders_take_the_place_of_stages():
    value = ("{run:a}/x", "y", "{run:b}")
    assert stages_in(value) == ["a", "b"]
    assert with_folders(value, {"a": "/r/a-seed1", "b": "/r/b-seed0"}) == ["/r/a-seed1/x", "y", "/r/b-seed0"]
    assert with_folders(3, {}) == 3
