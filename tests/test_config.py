"""Settings are checked where they are made, and every one of them is explained."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from netaug import AugmentConfig
from netaug.config import DistillConfig, NetAugConfig, RunConfig, TrainConfig
from netaug.config.settings import GROUPS, settings
from netaug.core.errors import ConfigError


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", 0),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("weight_decay", -1e-5),
        ("momentum", 1.0),
        ("label_smoothing", 1.0),
        ("threads", 0),
        ("clip_norm", 0.0),
        ("accumulate", 0),
        ("ema_decay", 1.0),
        ("eval_every", 0),
        ("recalibrate", -1),
        ("checkpoint_every", 0),
        ("warmup_epochs", 11.0),
    ],
)
def test_training_settings_out_of_range_are_refused_by_name(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"train\.{key} is out of range") as caught:
        TrainConfig(**{key: value})  # type: ignore[arg-type]
    assert caught.value.got is value
    assert caught.value.allowed


@pytest.mark.parametrize(
    "setting",
    [
        {"width": (0.5,)},
        {"groups": {"stem": (0.5,)}},
        {"max_macs_ratio": 1.0},
        {"alpha": -1.0},
        {"batch_share": 0.0},
        {"augment_every": 0},
        {"augment_every": 1.5},
        {"draws": 0},
        {"batch_norm": "none"},
        {"draws": True},
        {"resolution": 0.0},
        {"resolution": 1.01},
        {"start": 1.0},
        {"start": -0.1},
        {"width_until": 2.0},
        {"conflict": "drop"},
        {"conflict": "project", "base_pass": False},
    ],
)
def test_netaug_settings_are_checked_even_if_it_is_off(setting: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        NetAugConfig(enabled=False, **setting)  # type: ignore[arg-type]


@pytest.mark.parametrize("distill", [{"in_place": 1.0}, {"teacher": ("t",), "on": "base"}])
def test_a_base_pass_that_is_left_out_cannot_be_taught(distill: dict[str, Any]) -> None:
    alone = NetAugConfig(base_pass=False)
    with pytest.raises(
        ConfigError, match=r"supervises the base pass, which netaug\.base_pass false leaves out"
    ):
        RunConfig(netaug=alone, distill=DistillConfig(**distill))
    RunConfig(
        netaug=dataclasses.replace(alone, enabled=False), distill=DistillConfig(**{**distill, "in_place": 0})
    )
    RunConfig(netaug=alone, distill=DistillConfig(teacher=("t",)))
    sometimes = dataclasses.replace(alone, augment_every=2)
    RunConfig(netaug=sometimes, distill=DistillConfig(teacher=("t",), on="base"))


def test_netaug_settings_become_those_of_augment() -> None:
    """No field is forgotten on the way: each one that both have arrives."""
    config = NetAugConfig(
        width=(1.0, 3.0),
        expand=(1.0, 5.0),
        groups={"stem*": (1.0, 2.0)},
        max_macs_ratio=3.0,
        alpha=0.5,
        draws=2,
        batch_share=0.25,
        resolution=0.5,
        augment_every=3,
        start=0.05,
        width_until=0.1,
        expand_until=0.2,
        batch_norm="shared",
        keep=("stem*",),
        from_stage="stages.1",
        palette=16,
        conflict="project",
        sort_gates=False,
    )
    augment = config.augment_config(seed=7)
    assert augment.seed == 7
    for field in dataclasses.fields(AugmentConfig):
        if field.name not in ("seed", "base_pass"):  # no base pass excludes conflicts
            assert getattr(augment, field.name) == getattr(config, field.name)
            differs = getattr(augment, field.name) != getattr(AugmentConfig(), field.name)
            assert differs, f"give {field.name} another value than its default above"
    assert not NetAugConfig(base_pass=False).augment_config(seed=7).base_pass


def test_every_setting_has_help_and_the_default_of_its_dataclass() -> None:
    assert set(GROUPS) == {field.name for field in dataclasses.fields(RunConfig)}
    config = RunConfig()
    for key, setting in settings().items():
        group, name = key.split(".")
        assert setting.default == getattr(getattr(config, group), name)
        assert setting.help.endswith(".")
        assert setting.expected
    assert len(settings()) == sum(len(dataclasses.fields(cls)) for cls in GROUPS.values())
