"""Settings of distillation that are out of range or do nothing are refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from netaug.config import DistillConfig, ModelConfig, NetAugConfig, RegularizeConfig, RunConfig
from netaug.core.errors import ConfigError


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            ("temperature", 0.0),
            ("in_place_temperature", -1.0),
            ("weight", -1.0),
            ("label_weight", float("inf")),
        ),
        *(("in_place", -0.5), ("dkd_others", -1.0), ("dist_classes", float("nan"))),
    ],
)
def test_numbers_out_of_range(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"distill\.{key} is out of range"):
        DistillConfig(teacher=("t",), **{key: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"temperature": 2.0}, "distill.temperature has no effect without a teacher"),
        ({"label_weight": 0.5}, "distill.label_weight has no effect without a teacher"),
        ({"in_place": 1.0, "loss": "dkd"}, "distill.loss has no effect without a teacher"),
        ({"in_place_temperature": 2.0}, "distill.in_place_temperature has no effect with distill.in_place 0"),
        ({"in_place_teacher": "widest"}, "distill.in_place_teacher has no effect with distill.in_place 0"),
        ({"certainty": True}, "distill.certainty has no effect without a teacher"),
        ({"teacher": ("t",), "loss": "dist", "certainty": True}, "has no effect with distill.loss dist"),
        ({"teacher": ("t",), "mean": "logits"}, "distill.mean has no effect with a single teacher"),
        ({"teacher": ("t",), "dkd_target": 2.0}, "distill.dkd_target has no effect with distill.loss kd"),
        ({"teacher": ("t",), "weight": 0.0}, "has no effect"),
        ({"teacher": ("t", "t")}, "names a teacher twice"),
    ],
)
def test_what_has_no_effect(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DistillConfig(**settings)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (
            {"distill": DistillConfig(teacher=("t",), on="augmented"), "netaug": NetAugConfig(enabled=False)},
            "there is no augmented pass",
        ),
        (
            {"distill": DistillConfig(cache="c"), "regularize": RegularizeConfig(mixup=1.0)},
            "not for mixed ones",
        ),
        (
            {"model": ModelConfig(dropout=0.2), "regularize": RegularizeConfig(dropout=0.2)},
            "both drop what goes into the classifier",
        ),
    ],
)
def test_groups_that_contradict_each_other(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig(**parts)
    assert says in str(caught.value)


def test_labels_can_weigh_less_beside_the_wider_network() -> None:
    assert DistillConfig(in_place=1.0, label_weight=0.5).label_weight == 0.5
    assert DistillConfig(in_place=1.0, certainty=True).certainty
