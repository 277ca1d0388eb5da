"""Fractions of the gradients follow their definition; advice appears where it should, and nowhere else."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netaug import AugmentConfig, Supernet, augment
from netaug.config import DataConfig, NetAugConfig, RegularizeConfig, RunConfig, TrainConfig
from netaug.core.errors import ConfigError
from netaug.elastic import Pass
from netaug.elastic.plain_network import BaseOnly
from netaug.runs.records import EpochRecord
from netaug.train.diagnostics import GradientFractions, advise, regularizers_of
from netaug.train.metrics import Tally
from tests import tiny
from tests.train.fakes import fake_data, trainer

CONFIG = TrainConfig(epochs=1, lr=0.1, warmup_epochs=0, label_smoothing=0, measure_gradients=1)


def _supernet() -> Supernet:
    settings = AugmentConfig(width=(1.0, 2.0), expand=(1.0, 3.0), alpha=0.5, seed=1)
    return augment(tiny.build("residual"), tiny.images(), settings)


def _flat_gradient(network: Supernet) -> torch.Tensor:
    return torch.cat([p.grad.double().flatten() for p in network.base.parameters() if p.grad is not None])


def test_fraction_and_cosine_are_those_of_the_two_gradients_taken_alone() -> None:
    supernet = _supernet()
    reference = copy.deepcopy(supernet)
    subject = trainer(supernet, CONFIG, steps=1)
    record = next(subject.fit())

    batch = fake_data(1).train.batches[0]  # type: ignore[attr-defined]
    x, y = subject.normalizer(batch.images_NCHW), batch.labels_N
    gradients = []
    for pass_ in reference.train().passes(0, 0.0):
        reference.zero_grad()
        (pass_.weight * F.cross_entropy(reference(x), y)).backward()
        gradients.append(_flat_gradient(reference))
    base, wide = gradients
    assert record.gradient_share == pytest.approx(float(wide.norm() / (wide.norm() + base.norm())), abs=1e-3)
    cosine = F.cosine_similarity(base, wide, dim=0)
    assert record.gradient_cosine == pytest.approx(float(cosine), abs=1e-3)
    assert abs(record.gradient_share - 0.5) > 0.01  # else a wrong order of the passes would not show


def test_the_order_of_the_passes_does_not_matter() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    pulls = {"base": torch.tensor([3.0, 0.0]), "augmented": torch.tensor([0.0, 1.0])}
    for order in (["base", "augmented"], ["augmented", "base"]):
        watch = GradientFractions([weight], every=2)
        for step in (0, 1):
            weight.grad = None
            watch.on_step_start(step)
            for name in order:
                (weight * pulls[name]).sum().backward()
                watch.on_pass_end(Pass(name, 1.0, {}))
            measured = watch.finish()
            assert (measured is None) == (step == 1)
            if measured is not None:
                assert measured.tolist() == pytest.approx([0.25, 0.0, 1.0])


def test_measuring_changes_nothing_that_is_learned() -> None:
    supernet = _supernet()
    on, off = (
        trainer(copy.deepcopy(supernet), dataclasses.replace(CONFIG, measure_gradients=n)) for n in (1, 0)
    )
    with_, without = next(on.fit()), next(off.fit())
    assert with_.gradient_share is not None
    assert without.gradient_share is without.gradient_cosine is None
    for name, tensor in on.network.state_dict().items():
        assert torch.equal(tensor, off.network.state_dict()[name])


def test_a_baseline_has_no_share() -> None:
    record = next(trainer(BaseOnly(tiny.build("residual"), macs=1), CONFIG).fit())
    assert record.gradient_share is None


def test_what_was_measured_goes_on_with_the_run() -> None:
    subject = trainer(_supernet(), CONFIG)
    tally = Tally(subject.task, subject.network)
    subject.network.train()
    subject.step(0, subject.data.train.batches[0], tally)  # type: ignore[attr-defined]
    again = Tally(subject.task, subject.network)
    again.load_state_dict(tally.state_dict(), torch.device("cpu"))
    assert again.gradients() == tally.gradients() != {}
    undo = again.mark()
    again.add_gradients(torch.ones(3, dtype=torch.float64))
    undo()
    assert again.gradients() == tally.gradients()


def test_gradients_that_are_not_numbers_are_not_counted() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    watch = GradientFractions([weight], every=1)
    watch.on_step_start(0)
    for name, pull in (("base", 1.0), ("augmented", float("inf"))):
        (weight * pull).sum().backward()
        watch.on_pass_end(Pass(name, 1.0, {}))
    measured = watch.finish()
    assert measured is not None
    assert measured.tolist() == [0.0, 0.0, 0.0]


def test_a_negative_pace_is_refused() -> None:
    with pytest.raises(ConfigError, match="measure_gradients"):
        TrainConfig(measure_gradients=-1)


RECORD = EpochRecord(0, 1.0, 50.0, 1.2, 50.0, 0.1, 1.0, 1.0, 1.0, 100, 1, {})
PLAIN = RunConfig(train=TrainConfig(label_smoothing=0.0))


def advice(
    train: float,
    val: float | None,
    config: RunConfig = PLAIN,
    size: int = 10_000,
    epochs: int = 5,
    **changed: Any,
) -> str | None:
    holding = named(config, nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0)))
    records = [replace(RECORD, train_top1=train, val_top1=val, **changed)] * epochs
    return advise(records, size, 10, augmented=config.netaug.enabled, regularizers=holding)


def named(config: RunConfig, network: nn.Module) -> list[str]:
    return regularizers_of(config.train, config.data.augment, config.regularize, network)


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
    assert named(replace(PLAIN, regularize=on), nn.Identity()) == [
        "regularize.dropblock 0.1",
        "regularize.mixup 0.2",
        "regularize.randaugment",
    ]
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


@pytest.mark.parametrize("config", [SMOOTHED, PLAIN])
@pytest.mark.parametrize(("train", "val"), [(50, 50), (80, 60)])
def test_a_run_of_few_steps_or_epochs_is_not_advised(config: RunConfig, train: float, val: float) -> None:
    assert advice(train, val, config, epochs=4) is None
    assert advice(train, val, config, steps=99) is None


def test_at_chance_level_nothing_is_said() -> None:
    assert advice(10.4, 10.5, SMOOTHED) is None
    assert advice(10.4, 10.5, SMOOTHED, size=1_000_000) is not None
    assert advice(70, 10.5) is None  # evaluation that failed in another way, such as wrong statistics


def test_over_fitting_shows_in_the_loss_too() -> None:
    assert advice(80, 60, val_loss=0.9) is None


def test_without_an_evaluation_nothing_is_said() -> None:
    assert advice(50, None, SMOOTHED) is None


class DropPath(nn.Module):
    def __init__(self, drop_prob: Any) -> None:
        super().__init__()
        self.drop_prob = drop_prob


def test_what_the_network_drops_by_itself_is_found() -> None:
    network = nn.Sequential(nn.Dropout(0.2), nn.Dropout2d(0.0), DropPath(0.3), DropPath(None))
    assert named(PLAIN, network) == ["dropout in 2 layer(s), up to 0.3"]
