"""A step with a teacher, the wider network as a teacher, and mixed images: gradients as written out by hand."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from netaug import AugmentConfig, Supernet, augment, kd_loss
from netaug.config import DistillConfig, RegularizeConfig, TrainConfig
from netaug.distill.distillation_loss import DistillationLoss
from netaug.distill.losses import certainty
from netaug.elastic.sampling import widest_drawn
from netaug.regularize.mixing import make_mixer
from netaug.train.metrics import Tally
from netaug.train.microbatches import Preparation
from netaug.train.trainer import Trainer
from tests import tiny
from tests.train.fakes import INFO, fake_data, trainer

SETTINGS = AugmentConfig(width=(1.0, 2.0), expand=(1.0, 3.0), alpha=0.5, batch_share=0.5, seed=1)
LOGITS = torch.randn(4, 5, generator=torch.Generator().manual_seed(9))


def stepped(supernet: Supernet, preparation: Preparation, accumulate: int = 1) -> Trainer:
    """One step of plain SGD at rate 0.1 on four images."""
    config = TrainConfig(
        epochs=1,
        lr=0.1,
        warmup_epochs=0,
        momentum=0,
        weight_decay=0,
        label_smoothing=0,
        accumulate=accumulate,
    )
    subject = trainer(supernet, config, steps=1)
    subject.preparation = preparation
    supernet.train()
    subject.step(0, batch(), Tally(subject.task, supernet))
    return subject


def batch() -> Any:
    return fake_data(1).train.batches[0]  # type: ignore[attr-defined]


def inputs() -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(values)[:, None, None] for values in (INFO.mean, INFO.std))
    return (batch().images_NCHW / 255 - mean) / std, batch().labels_N


def assert_moved_as(supernet: Supernet, reference: Supernet) -> None:
    for name, parameter in reference.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(
            supernet.get_parameter(name), parameter - 0.1 * gradient, rtol=1e-4, atol=1e-6
        )


def fresh(name: str = "residual") -> tuple[Supernet, Supernet]:
    supernet = augment(tiny.build(name), tiny.images(), SETTINGS)
    return supernet, copy.deepcopy(supernet).train()


def teacher_logits(images: Tensor, indices_N: np.ndarray, epoch: int) -> Tensor:
    return LOGITS[indices_N]


def test_the_teacher_adds_its_gradient_in_both_passes() -> None:
    supernet, reference = fresh()
    config = DistillConfig(teacher=("t",), weight=2.0, label_weight=0.25, temperature=3.0)
    stepped(supernet, Preparation(distillation=DistillationLoss(config, teacher_logits), teacher_macs=7))
    x, y = inputs()

    def loss(outputs: Tensor, count: int) -> Tensor:
        return 0.25 * F.cross_entropy(outputs, y[:count]) + 2.0 * kd_loss(
            outputs, LOGITS[:count], temperature=3.0
        )

    reference.use_base()
    loss(reference(x), 4).backward()  # type: ignore[no-untyped-call]
    reference.use(reference.sample(0, 0.0))
    (0.5 * loss(reference(x[:2]), 2)).backward()  # type: ignore[no-untyped-call]
    assert_moved_as(supernet, reference)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_wider_network_of_the_step_is_a_target_of_the_base_network_in_each_microbatch(
    accumulate: int,
) -> None:
    settings = AugmentConfig(width=(1.0, 2.0), expand=(1.0, 3.0), alpha=0.5, seed=1)
    supernet = augment(tiny.build("residual"), tiny.images(), settings)
    reference = copy.deepcopy(supernet).train()
    stepped(supernet, Preparation(distillation=DistillationLoss(DistillConfig(in_place=0.7))), accumulate)
    x, y = inputs()
    cut = [slice(0, 4)] if accumulate == 1 else [slice(0, 2), slice(2, 4)]
    wide = []
    reference.use(reference.sample(0, 0.0))
    for part in cut:
        wide.append(reference(x[part]))
        (0.5 / accumulate * F.cross_entropy(wide[-1], y[part])).backward()  # type: ignore[no-untyped-call]
    reference.use_base()
    for part, wide_logits in zip(cut, wide, strict=True):
        outputs = reference(x[part])
        loss = F.cross_entropy(outputs, y[part]) + 0.7 * kd_loss(outputs, wide_logits.detach())
        (loss / accumulate).backward()  # type: ignore[no-untyped-call]
    assert_moved_as(supernet, reference)


def test_the_widest_network_teaches_beside_the_drawn_one_weighed_by_its_certainty() -> None:
    """It is run for its outputs alone: on all images, without gradient, and moves no statistics."""
    supernet, reference = fresh()
    config = DistillConfig(in_place=0.7, in_place_teacher="widest", certainty=True)
    subject = stepped(supernet, Preparation(distillation=DistillationLoss(config)))
    x, y = inputs()
    with torch.no_grad(), reference.at(reference.plan.widest):
        wide_NC = reference(x)
    reference.use(reference.sample(0, 0.0))
    (0.5 * F.cross_entropy(reference(x[:2]), y[:2])).backward()  # type: ignore[no-untyped-call]
    reference.use_base()
    outputs = reference(x)
    loss = F.cross_entropy(outputs, y) + 0.7 * kd_loss(outputs, wide_NC, weights_N=certainty(wide_NC))
    loss.backward()  # type: ignore[no-untyped-call]
    assert_moved_as(supernet, reference)
    for name, buffer in reference.named_buffers():
        torch.testing.assert_close(supernet.get_buffer(name), buffer)
    drawn = reference.sample(0, 0.0)
    tally = Tally(subject.task, supernet)
    subject.step(0, batch(), tally)
    assert tally.macs == 4 * (
        reference.macs({}) + reference.macs(reference.plan.widest)
    ) + 2 * reference.macs(drawn)
    assert tally.widths() == {name: float(width) for name, width in drawn.items()}
    late = reference.passes(
        0, 0.9, wide_first=True, teacher=True
    )  # widths have come to an end, ratios have not
    assert (
        next(late).widths
        == widest_drawn(list(reference.groups.values()), SETTINGS, 0.9)
        != reference.plan.widest
    )
    late.close()


def test_both_passes_and_the_teacher_see_the_same_mixed_images() -> None:
    supernet, reference = fresh()
    mixer = make_mixer(RegularizeConfig(mixup=1.0), 5, seed=4)
    assert mixer is not None
    images_seen: list[Tensor] = []

    def recording(images: Tensor, indices_N: np.ndarray, epoch: int) -> Tensor:
        images_seen.append(images)
        return LOGITS[indices_N]

    stepped(supernet, Preparation(mixer, DistillationLoss(DistillConfig(teacher=("t",)), recording)))
    x, shares = mixer(*inputs(), step=0, part=0)
    torch.testing.assert_close(images_seen[0], x)
    assert len(images_seen) == 1
    reference.use_base()
    outputs = reference(x)
    (F.cross_entropy(outputs, shares) + kd_loss(outputs, LOGITS)).backward()  # type: ignore[no-untyped-call]
    reference.use(reference.sample(0, 0.0))
    outputs = reference(x[:2])
    loss = F.cross_entropy(outputs, shares[:2]) + kd_loss(outputs, LOGITS[:2])
    (0.5 * loss).backward()  # type: ignore[no-untyped-call]
    assert_moved_as(supernet, reference)


def test_metrics_are_those_of_the_labels_and_the_teachers_work_is_counted() -> None:
    supernet, reference = fresh("plain")
    config = TrainConfig(epochs=1, lr=1e-30, warmup_epochs=0, weight_decay=0, label_smoothing=0)
    subject = trainer(supernet, config, steps=1)
    subject.preparation = Preparation(
        distillation=DistillationLoss(DistillConfig(teacher=("t",)), teacher_logits), teacher_macs=1000
    )
    (record,) = subject.fit()
    x, y = inputs()
    assert record.train_loss == pytest.approx(F.cross_entropy(reference.base(x), y).item(), rel=1e-5)
    own = 4 * supernet.macs({}) + 2 * supernet.macs(supernet.sample(0, 0.0))
    assert record.train_macs == own + 4 * 1000
