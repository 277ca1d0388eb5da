"""Regularizers that contradict each other, or do nothing, are refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from netaug.config.regularize import RegularizeConfig
from netaug.core.errors import ConfigError


@pytest.mark.parametrize(
    "key",
    [
        *(("dropout", 1.0), ("spatial_dropout", -0.1), ("dropblock", 1.5), ("stochastic_depth", 1.0)),
        *(("dropblock_size", 4), ("mixup", -1.0), ("cutmix", float("inf")), ("cutmix_share", 1.0)),
        *(("mix_probability", 0.0), ("cutout", 1.1), ("cutout_probability", 0.0), ("erasing", 2.0)),
        *(("rand_operations", 0), ("rand_magnitude", 31)),
    ],
)
def test_numbers_out_of_range(key: tuple[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"regularize\.{key[0]} is out of range") as caught:
        RegularizeConfig(**{key[0]: key[1]})
    assert caught.value.got == key[1]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"dropblock_size": 3}, "dropblock_size"),
        ({"cutmix_share": 0.3, "cutmix": 1.0}, "cutmix_share"),
        ({"mix_probability": 0.5}, "mix_probability"),
        ({"places": ("a",), "stochastic_depth": 0.1}, "places"),
        ({"cutout_probability": 0.5}, "cutout_probability"),
        ({"auto_policy": "svhn", "auto_augment": "randaugment"}, "auto_policy"),
        ({"rand_magnitude": 5, "auto_augment": "trivialaugment"}, "rand_magnitude"),
    ],
)
def test_what_has_no_effect(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError, match=rf"regularize\.{name} has no effect"):
        RegularizeConfig(**settings)


def test_two_ways_to_take_a_part_away() -> None:
    with pytest.raises(ConfigError, match="both take a part of the image away"):
        RegularizeConfig(cutout=0.3, erasing=0.25)


def test_what_acts_is_named() -> None:
    assert RegularizeConfig().on == ()
    config = RegularizeConfig(mixup=0.2, cutmix=1.0, dropout=0.1, auto_augment="trivialaugment")
    assert config.on == ("dropout", "mixup", "cutmix", "trivialaugment")
