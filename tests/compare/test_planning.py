"""Cases are multiplied out, and every name in a plan is that of something."""

import pytest

from netaug.core.errors import ConfigError
from tests.compare.plans import FOUR_ARMS, plan_from

CASES = """
recipe: demo/digits
cases:
  small: {set: {model.options.stem: 4}}
  photos: {recipe: demo/cifar10, set: {train.lr: 0.4}}
stages:
  before: {set: {netaug.enabled: false}}
reference: a
arms:
  a: {set: {netaug.enabled: false, model.weights: "{run:before}/model.safetensors"}}
  b: {set: {train.lr: 0.8}}
  c: {recipe: demo/fashion_mnist, reference: b}
"""


def test_every_arm_is_trained_in_every_case(tmp_path):
    plan = plan_from(tmp_path, CASES)
    assert [(arm.name, arm.recipe.split("/")[-1], arm.reference) for arm in plan.arms] == [
        ("before", "digits", None),
        ("small.a", "digits", None),
        ("small.b", "digits", "small.a"),
        ("small.c", "fashion_mnist", "small.b"),
        ("photos.a", "cifar10", None),
        ("photos.b", "cifar10", "photos.a"),
        ("photos.c", "fashion_mnist", "photos.b"),
    ]
    assert (
        dict(plan.arm("photos.b").settings)["train.lr"] == 0.8
    )  # an arm's own settings before those of the case
    assert dict(plan.arm("photos.c").settings)["train.lr"] == 0.4
    assert plan.arm("small.a").needs == ("before",)  # a stage is trained once for all cases
    assert plan.budgets == ("time",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("reference: a\n", "reference: d\n", r"no arm 'd' \(.*mine\.yaml: reference\)(.|\n)*a, b, c"),
        ("reference: b}", "reference: bb}", r"no arm 'bb' .*arms\.c\.reference(.|\n)*did you mean 'b'"),
        ("reference: a\n", "", "arms are each other's"),
        ("{run:before}", "{run:befor}", "no stage 'befor'(.|\n)*did you mean 'before'"),
        ("{run:before}", "x", "no arm needs the stage 'before'"),
        ("recipe: demo/digits\n", "", r"the plan does not name what is trained .*stages\.before"),
        ("before: {set", "small: {set", "no stage 'before'"),
        ("  b: {set: {train.lr: 0.8}}", "  b: {set: {train.lr: 0.8}, times: {train.lr: 2}}", "both set and"),
    ],
)
def test_names_that_do_not_fit_are_said(tmp_path, old, new, message):
    text = CASES.replace(old, new, 1)
    if message.startswith("arms are"):
        text = text.replace("  b: {", "  b: {reference: c, ")
    assert text != CASES
    with pytest.raises(ConfigError, match=message):
        plan_from(tmp_path, text)


def test_something_must_be_compared(tmp_path):
    with pytest.raises(ConfigError, match=r"the arm that the others are compared with(.|\n)*baseline, twice"):
        plan_from(tmp_path, FOUR_ARMS.replace("reference: baseline\n", ""))


def test_stages_that_need_each_other_are_refused(tmp_path):
    text = FOUR_ARMS.replace(
        "set: {netaug.enabled: false, train.label_smoothing: 0}", "set: {model.weights: '{run:teacher}'}"
    )
    with pytest.raises(ConfigError, match="teacher -> teacher"):
        plan_from(tmp_path, text)


def test_an_arm_is_not_called_like_a_longer_reference(tmp_path):
    with pytest.raises(
        ConfigError, match="'baseline-long-netaug' is also that of a reference that trains longer"
    ):
        plan_from(tmp_path, FOUR_ARMS + "  baseline-long-netaug: {set: {train.lr: 1}}\n")
    with pytest.raises(ConfigError, match="'teacher' is also that of another"):
        plan_from(tmp_path, FOUR_ARMS + "  teacher: {}\n")
