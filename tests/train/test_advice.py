"""Advice appears where training and validation say so, with what is on; and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from torch import nn

from netaug.config import DataConfig, NetAugConfig, RegularizeConfig, RunConfig, TrainConfig
from netaug.runs.records import EpochRecord
from netaug.train.advice import advise, regularizers

RECORD = EpochRecord(0, 1.0, 50.0, 1.0, 50.0, 0.1, 1.0, 1.0, 1.0, 1, 1, {})
PLAIN = RunConfig(train=TrainConfig(label_smoothing=0.0))


def advice(train: float, val: float | None, config: RunConfig = PLAIN, size: int = 10_000) -> str | None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0))
    return advise(replace(RECORD, train_top1=train, val_top1=val), config, network, size)


SMOOTHED = RunConfig(train=TrainConfig(label_smoothing=0.1))


def test_under_fitting_with_a_regularizer_names_it() -> None:
    assert advice(50, 50) is None
    found = advice(50, 50, SMOOTHED)
    assert found is not None
    assert (
        "50.0 % in training and 50.0 % in validation: the network under-fits, and label smoothing 0.1 holds"
        in found
    )
    both = RunConfig(data=DataConfig(augment="imagenet"), train=TrainConfig(weight_decay=1e-3))
    assert "label smoothing 0.1, the random crops" in str(advice(50, 60, both))
    assert "weight decay 0.001 hold it back" in str(advice(50, 60, both))


def test_every_regularizer_that_is_on_is_named_with_its_strength() -> None:
    on = RegularizeConfig(dropblock=0.1, mixup=0.2, auto_augment="randaugment")
    named = regularizers(replace(PLAIN, regularize=on), nn.Identity())
    assert named == ["regularize.dropblock 0.1", "regularize.mixup 0.2", "regularize.randaugment"]
    assert "regularize.randaugment hold it back" in str(advice(50, 60, replace(PLAIN, regularize=on)))


@pytest.mark.parametrize(("train", "val", "said"), [(52, 50, True), (52.1, 50, False), (95, 96, False)])
def test_the_limits_of_under_fitting_are_as_stated(train: float, val: float, said: bool) -> None:
    assert (advice(train, val, SMOOTHED) is not None) is said


def test_over_fitting_is_said_with_netaug_only() -> None:
    found = advice(80, 60)
    assert found is not None
    assert "over-fits" in found
    assert "--netaug.enabled false" in found
    assert advice(80, 60, replace(PLAIN, netaug=NetAugConfig(enabled=False))) is None
    assert advice(69.9, 60) is None


def test_few_images_show_no_gap() -> None:
    """Two standard errors of 60 % on 50 images are 13.9 points."""
    assert advice(73.5, 60, size=50) is None
    assert advice(74, 60, size=50) is not None


def test_without_an_evaluation_nothing_is_said() -> None:
    assert advice(50, None, SMOOTHED) is None


class DropPath(nn.Module):
    def __init__(self, drop_prob: Any) -> None:
        super().__init__()
        self.drop_prob = drop_prob


def test_what_the_network_drops_by_itself_is_found() -> None:
    network = nn.Sequential(nn.Dropout(0.2), nn.Dropout2d(0.0), DropPath(0.3), DropPath(None))
    assert regularizers(PLAIN, network) == ["dropout in 2 layer(s), up to 0.3"]
