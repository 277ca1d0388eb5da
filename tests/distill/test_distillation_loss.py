"""What each pass learns: from labels, the teacher and the step's own wider network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from netaug.config import DistillConfig
from netaug.distill.distillation_loss import DistillationLoss
from netaug.distill.losses import dist_loss, dkd_loss, kd_loss


def logits(seed: int, count: int = 6) -> Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))


TEACHER, BASE, WIDE, Y = logits(0), logits(1), logits(2), torch.tensor([0, 1, 2, 3, 4, 0])
LABELS = F.cross_entropy(BASE, Y)


def distillation_loss(**settings: Any) -> DistillationLoss:
    made = DistillationLoss(
        DistillConfig(teacher=("t",), **settings), lambda images, indices, epoch: TEACHER[indices]
    )
    made.start_step()
    made.set_teacher_logits(0, torch.zeros(6, 1), np.arange(6), 0)
    return made


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"temperature": 2.0}, kd_loss(BASE, TEACHER, temperature=2.0)),
        (
            {"loss": "dkd", "dkd_target": 0.5, "dkd_others": 2.0},
            dkd_loss(BASE, TEACHER, Y, target_weight=0.5, others_weight=2.0),
        ),
        (
            {"loss": "dist", "dist_classes": 2.0, "dist_images": 3.0},
            dist_loss(BASE, TEACHER, classes_weight=2.0, images_weight=3.0),
        ),
    ],
)
def test_labels_and_teacher_are_added_with_their_weights(settings: dict[str, Any], expected: Tensor) -> None:
    subject = distillation_loss(weight=0.7, label_weight=0.3, **settings)
    found = subject.loss("base", 0, BASE, Y, LABELS)
    torch.testing.assert_close(found, 0.3 * LABELS + 0.7 * expected)


@pytest.mark.parametrize(
    ("on", "taught"), [("base", {"base"}), ("augmented", {"augmented"}), ("both", {"base", "augmented"})]
)
def test_the_teacher_teaches_the_passes_it_is_told_to(on: str, taught: set[str]) -> None:
    subject = distillation_loss(on=on, label_weight=0.5)
    for name in ("base", "augmented"):
        found = subject.loss(name, 0, BASE, Y, LABELS)  # type: ignore[arg-type]
        if name in taught:
            torch.testing.assert_close(found, 0.5 * LABELS + kd_loss(BASE, TEACHER))
        else:
            assert found is LABELS


def test_a_pass_over_the_first_images_uses_the_logits_of_these() -> None:
    found = distillation_loss(label_weight=0.0).loss("augmented", 0, BASE[:2], Y[:2], LABELS)
    torch.testing.assert_close(found, kd_loss(BASE[:2], TEACHER[:2]))


def test_the_wider_network_teaches_the_base_network_about_what_both_saw() -> None:
    subject = DistillationLoss(DistillConfig(in_place=0.5, in_place_temperature=2.0))
    assert subject.wide_first
    subject.start_step()
    wide, base = WIDE[:4].clone().requires_grad_(), BASE.clone().requires_grad_()
    assert subject.loss("augmented", 1, wide, Y[:4], LABELS) is LABELS
    found = subject.loss("base", 1, base, Y, LABELS)
    torch.testing.assert_close(found, LABELS + 0.5 * kd_loss(BASE[:4], WIDE[:4], temperature=2.0))
    found.backward()  # type: ignore[no-untyped-call]
    assert wide.grad is None
    assert base.grad is not None
    assert not bool(base.grad[4:].any())
    subject.start_step()
    assert subject.loss("base", 1, BASE, Y, LABELS) is LABELS, "outputs are those of one step"
    assert subject.loss("base", 0, BASE, Y, LABELS) is LABELS, "and of one part"


def test_of_several_wider_networks_each_teaches_the_same_share() -> None:
    subject = DistillationLoss(DistillConfig(in_place=0.5))
    subject.start_step()
    subject.loss("augmented", 0, WIDE, Y, LABELS)
    subject.loss("augmented", 0, TEACHER, Y, LABELS)
    found = subject.loss("base", 0, BASE, Y, LABELS)
    torch.testing.assert_close(found, LABELS + 0.25 * kd_loss(BASE, WIDE) + 0.25 * kd_loss(BASE, TEACHER))


def test_without_settings_the_loss_is_that_of_the_labels_itself() -> None:
    subject = DistillationLoss(DistillConfig())
    assert not subject.wide_first
    assert subject.loss("augmented", 0, WIDE, Y, LABELS) is LABELS
    assert subject.loss("base", 0, BASE, Y, LABELS) is LABELS
