"""Every packaged plan can be read, multiplied out, and its arms' settings are sound."""

import re
from pathlib import Path

import pytest

from netaug.compare import CompareRequest
from netaug.compare.planning import SMALL, find_plan, plan_lines, plan_names
from netaug.compare.resolve import arm_config, resolve_plan


def asked(name):
    plan = find_plan(name)
    return CompareRequest(name, (), plan.seeds or 1, 1, Path("nowhere"), plan=plan, threads=1, lrs=plan.rates)


@pytest.mark.parametrize("name", plan_names())
def test_the_settings_of_every_arm_are_sound(name):
    request = asked(name)
    plan = resolve_plan(request)
    for arm in plan.arms:
        config = arm_config(request, plan, arm)
        for key, value in arm.settings:
            group, member = key.split(".", 1)
            assert "." in member or "{run:" in str(value) or getattr(getattr(config, group), member) == value
    compared = [arm for arm in plan.arms if not arm.stage]
    assert all(arm.reference for arm in compared if arm.name not in plan.references)
    assert len(compared) > len(plan.references) > 0
    assert request.seeds >= 3 or not name.endswith(SMALL)


def test_every_plan_says_in_one_line_what_it_is_for():
    for name, line in plan_lines().items():
        assert 20 < len(line) <= 120, name


@pytest.mark.parametrize("name", [name for name in plan_names() if name.endswith(SMALL)])
def test_small_versions_are_asked_for_by_either_name(name):
    assert find_plan(name.removesuffix(SMALL), small=True) == find_plan(name, small=True) == find_plan(name)


def test_the_document_names_every_plan_and_its_example_is_a_plan(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "compare.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)) == {
        name.removesuffix(SMALL) for name in plan_names()
    }
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "example.yaml").write_text(example)
    request = asked(str(tmp_path / "example.yaml"))
    assert len(resolve_plan(request).arms) == 1 + 2 * 3
    assert request.tunes
