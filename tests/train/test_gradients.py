"""The augmented pass's share of the gradients is what its definition says, and measuring it changes nothing."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch.nn import functional as F

from netaug import AugmentConfig, Supernet, augment
from netaug.config import TrainConfig
from netaug.core.errors import ConfigError
from netaug.elastic.plain_network import BaseOnly
from netaug.train.gradients import GradientWatch
from netaug.train.metrics import Tally
from tests import tiny
from tests.train.fakes import fake_data, trainer

CONFIG = TrainConfig(epochs=1, lr=0.1, warmup_epochs=0, label_smoothing=0, measure_gradients=1)


def _supernet() -> Supernet:
    settings = AugmentConfig(width=(1.0, 2.0), expand=(1.0, 3.0), alpha=0.5, seed=1)
    return augment(tiny.build("residual"), tiny.images(), settings)


def _flat_gradient(network: Supernet) -> torch.Tensor:
    return torch.cat([p.grad.double().flatten() for p in network.base.parameters() if p.grad is not None])


def test_share_and_cosine_are_those_of_the_two_gradients_taken_alone() -> None:
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
        watch = GradientWatch([weight], every=2)
        for step in (0, 1):
            weight.grad = None
            watch.start(step)
            for name in order:
                (weight * pulls[name]).sum().backward()
                watch.passed(name)
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
    watch = GradientWatch([weight], every=1)
    watch.start(0)
    for name, pull in (("base", 1.0), ("augmented", float("inf"))):
        (weight * pull).sum().backward()
        watch.passed(name)
    measured = watch.finish()
    assert measured is not None
    assert measured.tolist() == [0.0, 0.0, 0.0]


def test_a_negative_pace_is_refused() -> None:
    with pytest.raises(ConfigError, match="measure_gradients"):
        TrainConfig(measure_gradients=-1)
