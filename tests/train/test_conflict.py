"""Projected gradients in a training: of whole batches, before clipping, and the same to the bit where a run resumes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from netaug import AugmentConfig, augment
from netaug.config import DistillConfig, TrainConfig
from netaug.distill.distillation_loss import DistillationLoss
from netaug.train.metrics import Tally
from netaug.train.microbatches import Preparation
from netaug.train.trainer import Trainer
from tests import tiny
from tests.train.fakes import trainer

CONFIG = TrainConfig(
    epochs=2, lr=0.05, warmup_epochs=0, clip_norm=1.0, ema_decay=0.9, measure_gradients=1, accumulate=2
)


def _trainer(conflict: str = "project") -> Trainer:
    config = AugmentConfig(width=(1.0, 2.0), expand=(1.0, 3.0), conflict=conflict)  # type: ignore[arg-type]
    subject = trainer(augment(tiny.build("inverted"), tiny.images(), config), CONFIG, sort=True)
    subject.preparation = Preparation(distillation=DistillationLoss(DistillConfig(in_place=1.0)))
    return subject


def test_a_resumed_training_ends_with_the_same_bits() -> None:
    """With in-place distillation, averaged weights, clipping and microbatches."""
    whole, other = _trainer(), _trainer("add")
    records = list(whole.fit())
    assert any(record.gradient_share for record in records)
    list(other.fit())
    stopped = _trainer()
    next(stopped.fit())
    resumed = _trainer()
    resumed.load_state_dict(copy.deepcopy(stopped.state_dict()))
    list(resumed.fit())
    ends = [subject.state_dict() for subject in (whole, resumed, other)]
    for part in ("network", "average"):
        for name, tensor in ends[0][part].items():
            assert torch.equal(ends[1][part][name], tensor), name
    assert any(
        not torch.equal(ends[2]["network"][name], tensor) for name, tensor in ends[0]["network"].items()
    )


@pytest.mark.parametrize("conflict", ["project", "project-network"])
def test_parts_of_a_batch_have_the_update_of_the_whole(conflict: str) -> None:
    """Projecting each part by itself would not: it is not linear. Without batch norm, which sees one part at a time."""
    network = nn.Sequential(
        *(
            nn.Conv2d(3, 6, 3),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
        nn.Linear(8, 5),
    )
    supernet = augment(network, tiny.images(), AugmentConfig(width=(3.0,), conflict=conflict))  # type: ignore[arg-type]
    ends = []
    for accumulate in (1, 2):
        config = TrainConfig(epochs=1, lr=0.5, warmup_epochs=0, accumulate=accumulate, clip_norm=0.1)
        subject = trainer(copy.deepcopy(supernet), config, steps=3)
        for step, batch in enumerate(subject.data.train.epoch(0)):
            subject.step(step, batch, Tally(subject.task, subject.network))
        ends.append(subject.network.state_dict())
    for name, tensor in ends[0].items():
        torch.testing.assert_close(ends[1][name], tensor, rtol=1e-4, atol=1e-6)
