"""Settings are known to be sound before any time is spent."""

from pathlib import Path

import pytest

from netaug.compare.request import CompareRequest
from netaug.compare.resolve import common_settings, resolve_plan
from netaug.core.errors import ConfigError
from tests.compare.plans import FOUR_ARMS, plan_from


def asked(tmp_path, text=FOUR_ARMS, *overrides, **changes):
    plan = plan_from(tmp_path, text)
    return CompareRequest("mine.yaml", overrides, 2, 1, Path("nowhere"), threads=1, plan=plan, **changes)


def own(plan, arm):
    return dict(plan.arm(arm).settings)


def test_factors_multiply_what_the_command_line_says(tmp_path):
    request = asked(tmp_path, FOUR_ARMS, "--train.epochs=7", "--train.lr=0.05")
    plan = resolve_plan(request)
    assert own(plan, "twice")["train.epochs"] == 14
    assert own(plan, "netaug")["train.lr"] == pytest.approx(0.1)
    assert common_settings(request)["train"]["epochs"] == 7
    CompareRequest(
        "mine.yaml", request.overrides, 2, 1, Path("x"), threads=1, plan=plan
    )  # and it can be asked for


def test_factors_multiply_what_the_case_sets(tmp_path):
    text = FOUR_ARMS + "cases: {slow: {set: {train.lr: 0.02}}}\n"
    assert own(resolve_plan(asked(tmp_path, text)), "slow.netaug")["train.lr"] == pytest.approx(0.04)


def test_what_an_arm_sets_cannot_be_overridden(tmp_path):
    with pytest.raises(
        ConfigError, match=r"'--distill\.temperature' cannot be set here(.|\n)*the arm 'taught' sets"
    ):
        asked(tmp_path, FOUR_ARMS, "--distill.temperature=4")


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ("  again: {set: {netaug.enabled: false}}", "'baseline' and 'again' have the same settings"),
        ("  same: {set: {netaug: {enabled: false}, train.lr: 0.1}}", "same settings"),  # 0.1 is the recipe's
        (
            "  both: {set: {regularize: {cutout: 0.5, erasing: 0.2}}}",
            r"the arm 'both' of the plan 'mine' cannot be trained(.|\n)*both take a part of the image away",
        ),
        ("  odd: {set: {regularize.dropblock_size: 3}}", r"the arm 'odd'(.|\n)*no effect"),
        ("  odd: {times: {train.optimizer: 2}}", r"multiplies 'train\.optimizer', which is not a number"),
        ("  odd: {times: {train.compile: 2}}", "which is not a number"),
    ],
)
def test_an_arm_that_cannot_be_trained_is_said_before_any_is(tmp_path, arm, message):
    with pytest.raises(ConfigError, match=message):
        resolve_plan(asked(tmp_path, f"{FOUR_ARMS}{arm}\n"))


def test_rates_to_choose_from_are_not_for_arms_with_their_own(tmp_path):
    request = asked(tmp_path, FOUR_ARMS, lrs=(0.1, 0.2))
    counts = {arm.name: len(request.choices(arm)) for arm in request.arms}
    assert counts == {"teacher": 1, "baseline": 2, "twice": 2, "taught": 2, "netaug": 1}
    text = FOUR_ARMS.replace("times: {train.epochs: 2}", "times: {train.lr: 3}")
    text = text.replace("temperature: 2}", "temperature: 2}, train.lr: 0.1")
    text = text.replace("baseline: {set: {", "baseline: {set: {train.lr: 0.1, ")
    with pytest.raises(ConfigError, match=r"--lr has no effect: every arm of the plan sets train\.lr itself"):
        asked(tmp_path, text, lrs=(0.1, 0.2))


def test_images_that_a_recipe_holds_out_are_not_forgotten_by_tuning(tmp_path):
    (tmp_path / "held.yaml").write_text("base: demo/digits\ndata: {holdout: 0.2}\n")
    text = FOUR_ARMS.replace("recipe: demo/digits", f"recipe: {tmp_path / 'held.yaml'}")
    assert text != FOUR_ARMS
    with pytest.raises(ConfigError, match="tuning holds out") as caught:
        resolve_plan(asked(tmp_path, text, lrs=(0.1, 0.2)))
    assert "--data.holdout 0.2" in str(caught.value.fix)
    resolve_plan(asked(tmp_path, text, "--data.holdout=0.2", lrs=(0.1, 0.2)))
    resolve_plan(asked(tmp_path, FOUR_ARMS + "settings: {data.holdout: 0.2}\n", lrs=(0.1, 0.2)))


def test_a_stage_may_be_what_an_arm_is(tmp_path):
    text = FOUR_ARMS.replace("train.label_smoothing: 0}", "train.label_smoothing: 0.1}")  # the recipe's
    assert text != FOUR_ARMS
    assert len(resolve_plan(asked(tmp_path, text)).arms) == 5


def test_images_that_do_not_fill_a_batch_are_refused_as_arms_would_differ_in_their_rates(tmp_path):
    with pytest.raises(ConfigError, match="arm 'teacher' do not fill one batch") as caught:
        resolve_plan(asked(tmp_path, FOUR_ARMS, "--data.limit=40"))
    assert caught.value.got == "40 images, data.batch_size 64"
    resolve_plan(asked(tmp_path, FOUR_ARMS, "--data.limit=40", "--data.batch_size=32"))
