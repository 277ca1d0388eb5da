"""What users set for single groups, and the limit on the size of drawn networks."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from netaug import AugmentConfig, Supernet, augment
from netaug.core.errors import ConfigError
from netaug.elastic.inspect import describe
from netaug.elastic.sampling import is_augmented
from tests import tiny

STEPS = 60


def _augmented(**settings: object) -> Supernet:
    return augment(tiny.build("inverted"), tiny.images(), AugmentConfig(**settings))  # type: ignore[arg-type]


def _macs_ratios(supernet: Supernet, progress: float = 0.0) -> list[float]:
    base = supernet.macs({})
    return [supernet.macs(supernet.sample(step, progress)) / base for step in range(STEPS)]


# Multipliers of single groups


def test_a_group_is_drawn_from_its_own_multipliers() -> None:
    supernet = _augmented(groups={"stem.0": (1.0, 4.0), "down.0*": [1.0, 1.25]})
    assert supernet.groups["stem.0"].ratios == (1.0, 4.0)
    assert supernet.groups["down.0.0"].ratios == (1.0, 1.25)
    assert supernet.groups["down.2"].ratios == AugmentConfig().width
    drawn = [supernet.sample(step) for step in range(STEPS)]
    assert {widths["stem.0"] for widths in drawn} == {8, 32}
    assert {widths["down.0.0"] / widths["stem.0"] for widths in drawn} == {2.0, 2.5}


def test_the_last_pattern_that_matches_counts() -> None:
    general_first = _augmented(groups={"*": (1.0, 2.0), "stem*": (1.0, 3.0)})
    assert general_first.groups["stem.0"].ratios == (1.0, 3.0)
    assert general_first.groups["down.2"].ratios == (1.0, 2.0)
    assert _augmented(groups={"stem*": (1.0, 3.0), "*": (1.0, 2.0)}).groups["stem.0"].ratios == (1.0, 2.0)


def test_a_pattern_may_name_a_module_around_groups_or_inside_one() -> None:
    around = _augmented(groups={"down": (1.0, 2.0)})
    assert [name for name, group in around.groups.items() if group.ratios == (1.0, 2.0)] == [
        "down.2",
        "down.0.0",
    ]
    inside = _augmented(groups={"depthwise.0": (1.0, 2.0)})
    assert [name for name, group in inside.groups.items() if group.ratios == (1.0, 2.0)] == ["expand.0"]


def test_own_multipliers_follow_the_schedule_of_their_role() -> None:
    supernet = _augmented(groups={"stem.0": (2.0,)}, width_until=0.5)
    assert supernet.sample(0, 0.4)["stem.0"] == 16
    assert supernet.sample(0, 0.6)["stem.0"] == 8


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("nowhere*", "matches no width group and no module"),
        ("classifier", "'classifier' keeps its width: output of the network"),
        ("squeeze", "'squeeze' goes with expand.0"),
        ("stem.0", "'stem.0' keeps its width: kept by 'stem'"),
    ],
)
def test_a_pattern_without_effect_is_an_error_that_lists_the_groups(pattern: str, reason: str) -> None:
    keep = ("stem",) if pattern == "stem.0" else ()
    with pytest.raises(ConfigError) as caught:
        _augmented(groups={pattern: (1.0, 2.0)}, keep=keep)
    assert reason in str(caught.value)
    assert "expand.0, down.0.0, down.2" in str(caught.value.allowed)


@pytest.mark.parametrize(
    "wrong", [{"stem": ()}, {"stem": 2.0}, {"stem": (0.5,)}, {"": (1.0,)}, {3: (1.0,)}, "stem"]
)
def test_multipliers_of_groups_are_checked(wrong: object) -> None:
    with pytest.raises(ConfigError, match="groups"):
        AugmentConfig(groups=wrong)  # type: ignore[arg-type]


def test_settings_with_groups_are_values() -> None:
    """Equal, hashable, copied and pickled, and not to be changed from outside."""
    lists = {"stem*": [1, 2]}
    config = AugmentConfig(groups=lists)
    lists["stem*"].append(3)
    assert config.groups == {"stem*": (1.0, 2.0)}
    assert len({config, AugmentConfig(groups={"stem*": (1.0, 2.0)}), AugmentConfig()}) == 2
    assert copy.deepcopy(config) == pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(TypeError):
        config.groups["stem*"] = (1.0,)  # type: ignore[index]


# The limit on MACs


@pytest.mark.parametrize("limit", [1.3, 2.0, 4.0])
@pytest.mark.parametrize("progress", [0.0, 0.7])
def test_no_drawn_network_is_beyond_the_limit(limit: float, progress: float) -> None:
    free = _macs_ratios(_augmented(), progress)
    supernet = _augmented(max_macs_ratio=limit)
    ratios = _macs_ratios(supernet, progress)
    assert max(free) > 1.3  # else nothing would be limited
    assert max(ratios) <= limit
    assert sum(ratios) / STEPS > 1.0 + 0.3 * (min(limit, sum(free) / STEPS) - 1.0)
    assert len({tuple(supernet.sample(step, progress).values()) for step in range(STEPS)}) >= 3


def test_the_limit_holds_in_the_passes_of_a_step() -> None:
    supernet = _augmented(max_macs_ratio=1.5)
    base = supernet.macs()
    for step in range(STEPS):
        for pass_ in supernet.passes(step, 0.0):
            assert supernet.macs(pass_.widths) == supernet.macs() <= 1.5 * base
            assert supernet(tiny.images()).shape == (4, 5)


def test_limited_draws_are_a_function_of_seed_and_step() -> None:
    first, again = _augmented(max_macs_ratio=1.6), _augmented(max_macs_ratio=1.6)
    draws = [first.sample(step) for step in range(12)]
    assert [again.sample(step) for step in reversed(range(12))] == draws[::-1]
    other = _augmented(max_macs_ratio=1.6, seed=1)
    assert draws != [other.sample(step) for step in range(12)]


def test_a_draw_within_the_limit_is_the_one_without_it() -> None:
    """The limit rejects networks; it does not move the others."""
    free, limited = _augmented(), _augmented(max_macs_ratio=6.0)
    base, same = free.macs({}), 0
    assert {g.name: g.ratios for g in free.groups.values()} == {
        g.name: g.ratios for g in limited.groups.values()
    }
    for step in range(STEPS):
        widths = free.sample(step)
        if free.macs(widths) <= 6.0 * base:
            same += 1
            assert limited.sample(step) == widths
    assert 0 < same < STEPS


def test_multipliers_that_can_never_be_drawn_take_no_room() -> None:
    supernet = _augmented(expand=(1.0, 1.2, 8.0), max_macs_ratio=2.0)
    assert supernet.groups["expand.0"].ratios == (1.0, 1.2)
    assert supernet.groups["expand.0"].most < 8 * 24
    added = sum(parameter.numel() for parameter in supernet.parameters())
    assert added == supernet.num_parameters(supernet.plan.widest)
    supernet.use_widest()
    assert supernet(tiny.images()).shape == (4, 5)
    wide = supernet.extract(supernet.plan.widest).train()
    assert torch.equal(wide(tiny.images()), supernet(tiny.images()))


def test_a_limit_below_the_smallest_step_names_that_step() -> None:
    with pytest.raises(ConfigError, match=r"leaves nothing but the base network\.") as caught:
        _augmented(max_macs_ratio=1.001, expand=(1.0,))
    assert str(caught.value.allowed).endswith("of group 'down.2'")
    least = float(str(caught.value.allowed).split()[2].rstrip(","))
    ratios = _macs_ratios(_augmented(max_macs_ratio=least, expand=(1.0,)))
    assert 1.0 < max(ratios) <= least < 1.0 + (max(ratios) - 1.0) * 1.1


def test_a_limit_that_only_the_second_phase_cannot_meet_is_refused_too() -> None:
    settings = {"width": (1.0, 1.1), "expand": (1.0, 8.0), "max_macs_ratio": 1.5}
    with pytest.raises(ConfigError, match="when only expand groups are augmented"):
        _augmented(**settings)
    supernet = _augmented(**settings, expand_until=0.0, width_until=1.0)
    assert not is_augmented("expand", supernet.config, 0.9)
    assert 1.0 < max(_macs_ratios(supernet, 0.9)) <= 1.5


@pytest.mark.parametrize("wrong", [1.0, 0.5, -1.0, float("inf"), float("nan")])
def test_a_limit_that_allows_no_step_is_refused(wrong: float) -> None:
    with pytest.raises(ConfigError, match="max_macs_ratio is out of range"):
        AugmentConfig(max_macs_ratio=wrong)


def test_inspect_tells_limit_and_what_is_drawn() -> None:
    found = describe(
        tiny.build("inverted"),
        tiny.images(),
        AugmentConfig(max_macs_ratio=1.5, groups={"stem*": (1.0, 1.25)}),
    )
    assert found.drawn.macs < found.drawn_most.macs <= 1.5 * found.base.macs < found.widest.macs
    text = str(found)
    assert "max_macs_ratio 1.5: no drawn network has more than" in text
    assert "the widest network is beyond that and never drawn" in text
    assert "base x 1, 1.25" in text
