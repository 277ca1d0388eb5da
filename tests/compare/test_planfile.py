"""A plan's file is read strictly: what is wrong is named with its place, and nothing is guessed."""

import pytest

from netaug.compare.planfile import read_plan
from netaug.compare.planning import find_plan
from netaug.core.errors import ConfigError
from tests.compare.plans import FOUR_ARMS, plan_from

PAIR = "recipe: demo/digits\nreference: a\narms:\n  a: {set: {netaug.enabled: false}}\n"


def test_settings_are_the_same_nested_or_dotted(tmp_path):
    nested = plan_from(tmp_path, FOUR_ARMS)
    dotted = FOUR_ARMS.replace(
        'distill: {teacher: "{run:teacher}", temperature: 2}',
        'distill.teacher: "{run:teacher}", distill.temperature: 2',
    )
    assert dotted != FOUR_ARMS
    assert plan_from(tmp_path, dotted) == nested
    assert dict(nested.arm("taught").settings)["distill.teacher"] == ("{run:teacher}",)


def test_numbers_get_the_type_of_their_setting(tmp_path):
    plan = plan_from(tmp_path, PAIR + "  b: {set: {train.lr: 4e-1, netaug.width: [1, 2]}}\n")
    assert dict(plan.arm("b").settings) == {"train.lr": 0.4, "netaug.width": (1.0, 2.0)}


def test_a_recipe_may_lie_beside_the_plan(tmp_path):
    (tmp_path / "own.yaml").write_text("train: {epochs: 3}")
    plan = plan_from(tmp_path, PAIR.replace("demo/digits", "own.yaml") + "  b: {}\n")
    assert {arm.recipe for arm in plan.arms} == {str(tmp_path / "own.yaml")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arms: [1, 2]", r"a mapping is missing \(.*mine\.yaml: arms\)"),
        ("arms: {a: {}}", "two 'arms' or more"),
        ("reference: a", "two 'arms' or more"),
        ("just text", "a mapping is missing"),
        ("arms: {a: {}, b: {}", r"mine\.yaml is not YAML"),
        (PAIR + "  b: {sett: {train.lr: 1}}", r"'sett' is not a key of a plan .*arms\.b(.|\n)*'set'"),
        (
            PAIR + "  b: {set: {train.lrr: 1}}",
            r"'train\.lrr' is not a setting .*arms\.b\.set(.|\n)*train\.lr",
        ),
        (PAIR + "  b: {set: {train.lr: fast}}", r"train\.lr has a value of the wrong type .*arms\.b\.set"),
        (PAIR + "  b: {set: {train.lr: 1, train: {lr: 2}}}", r"'train\.lr' is set twice"),
        (PAIR + "  b: {set: {train.seed: 3}}", r"'train\.seed' cannot be set in a plan"),
        (PAIR + "  b: {times: {train.lr: 0}}", r"not a number above 0 .*times\.train\.lr"),
        (PAIR + "  b: {times: {train.nope: 2}}", r"'train\.nope' is not a setting"),
        (PAIR + "  b: {}\n  b: {}", r"'b' is there twice .*line 5 and line 6"),
        (PAIR + "  b.c: {}", "name cannot be used"),
        (PAIR + "  tune-b: {}", "name cannot be used"),
        (PAIR + "  2: {}", "key is not a string(.|\n)*in quotes"),
        (PAIR + "  b: {recipe: demo/digts}", r"no recipe 'demo/digts' .*arms\.b\.recipe(.|\n)*demo/digits"),
        (PAIR + "  b: {}\nseeds: 0", "'seeds' is out of range"),
        (PAIR + "  b: {}\nseeds: true", "'seeds' is out of range"),
        (PAIR + "  b: {}\nbudgets: time", "'budgets' must be a list"),
        (PAIR + "  b: {}\nbudgets: [energy]", "energy(.|\n)*time, macs"),
        (PAIR + "  b: {}\ngrid: {train.lr: 0.1}", r"a list .*grid\.train\.lr"),
        (PAIR + "  b: {}\ngrid: {train.lr: [0.1, 1e-1]}", "a value is listed twice"),
        (PAIR + "  b: {}\nabout: [x]", "one line of text"),
        (PAIR + "  b: {}\nseed: 3", "'seed' is not a key of a plan(.|\n)*'seeds'"),
        (PAIR + "  b: {}\nstages: {t: {once: 1}}", "'once' must be true or false"),
    ],
)
def test_a_wrong_plan_is_one_message_with_its_place(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        plan_from(tmp_path, text)


def test_what_is_no_text_is_said(tmp_path):
    (tmp_path / "plan.yaml").write_bytes(b"\xff\xfe arms")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_plan(tmp_path / "plan.yaml")


def test_plans_and_recipes_are_told_apart(tmp_path):
    (tmp_path / "recipe.yaml").write_text("train: {epochs: 3}")
    (tmp_path / "broken.yaml").write_text("reference: a\narms: {a: {}")
    (tmp_path / "plan.yaml").write_text(FOUR_ARMS)
    assert find_plan(str(tmp_path / "recipe.yaml")) is None
    assert find_plan("demo/digits") is None
    plan = find_plan(str(tmp_path / "plan.yaml"))
    assert plan is not None
    assert plan.name == "plan"
    with pytest.raises(ConfigError, match="is not YAML"):
        find_plan(str(tmp_path / "broken.yaml"))
    with pytest.raises(ConfigError, match=r"no plan or recipe 'ablatoin'(.|\n)*did you mean ablation"):
        find_plan("ablatoin")
