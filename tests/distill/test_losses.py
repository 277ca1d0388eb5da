"""Each distillation loss against its formula, written out in float64 numbers, image by image."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from netaug.core.errors import ShapeError
from netaug.distill.losses import certainty, dist_loss, dkd_loss, kd_loss

N, C = 4, 5
LABELS = torch.tensor([0, 3, 4, 1])


def logits(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return 3 * torch.randn(N, C, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def softmax(row: list[float], temperature: float) -> list[float]:
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def divergence(theirs: list[float], ours: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(theirs, ours, strict=True))


def pearson(a: list[float], b: list[float]) -> float:
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    over = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    return over / math.sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))


def rows(temperature: float) -> list[tuple[list[float], list[float]]]:
    """Softened probabilities of student and teacher, image by image."""
    pairs = zip(logits(1).tolist(), logits(2).tolist(), strict=True)
    return [(softmax(ours, temperature), softmax(theirs, temperature)) for ours, theirs in pairs]


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_soft_labels_are_hintons(temperature: float) -> None:
    """T^2 times the mean over images of sum_c t_c log(t_c / s_c)."""
    expected = temperature**2 * sum(divergence(t, s) for s, t in rows(temperature)) / N
    assert kd_loss(logits(1), logits(2), temperature=temperature).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_decoupled_distillation_is_zhaos(temperature: float) -> None:
    """Alpha KL(b_t || b_s) + beta KL(q_t || q_s): b = (label, all others), q = the others among themselves."""
    total = 0.0
    for (s, t), y in zip(rows(temperature), LABELS.tolist(), strict=True):
        target = divergence([t[y], 1 - t[y]], [s[y], 1 - s[y]])
        q_s, q_t = ([p / (1 - of[y]) for c, p in enumerate(of) if c != y] for of in (s, t))
        total += 0.7 * target + 3.0 * divergence(q_t, q_s)
    found = dkd_loss(
        logits(1), logits(2), LABELS, temperature=temperature, target_weight=0.7, others_weight=3.0
    )
    assert found.item() == pytest.approx(temperature**2 * total / N, rel=1e-10)


def test_certainty_is_the_entropy_that_is_missing_and_weighs_each_image() -> None:
    student, teacher = logits(1), logits(2)
    sure = []
    for row in teacher.tolist():
        p = softmax(row, 1.0)
        sure.append(1 + sum(x * math.log(x) for x in p) / math.log(C))
    found = certainty(teacher)
    assert found.tolist() == pytest.approx(sure)
    assert certainty(torch.tensor([[5.0, 5.0], [50.0, 0.0]])).tolist() == pytest.approx([0.0, 1.0])
    rows = [slice(i, i + 1) for i in range(N)]
    for loss in (
        lambda part, **weights: kd_loss(student[part], teacher[part], temperature=2.0, **weights),
        lambda part, **weights: dkd_loss(student[part], teacher[part], LABELS[part], **weights),
    ):
        alone = [float(loss(row)) for row in rows]
        expected = sum(w * value for w, value in zip(sure, alone, strict=True)) / N
        assert float(loss(slice(N), weights_N=found)) == pytest.approx(expected)
        assert float(loss(slice(N), weights_N=torch.ones(N))) == pytest.approx(float(loss(slice(N))))


def test_decoupled_distillation_with_the_teachers_doubt_as_weight_is_plain_distillation() -> None:
    """Equation 5 of the paper: KD = TCKD + (1 - p_label of the teacher) NCKD; here for one image."""
    student, teacher, label = logits(1)[:1], logits(2)[:1], LABELS[:1]
    doubt = 1 - teacher.softmax(1)[0, label.item()].item()
    assert dkd_loss(student, teacher, label, others_weight=doubt).item() == pytest.approx(
        kd_loss(student, teacher).item(), rel=1e-12
    )


def test_of_mixed_labels_the_likeliest_counts_as_the_label() -> None:
    shares = torch.full((N, C), 0.1).scatter_(1, LABELS[:, None], 0.6)
    assert torch.equal(dkd_loss(logits(1), logits(2), shares), dkd_loss(logits(1), logits(2), LABELS))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_relations_are_huangs(temperature: float) -> None:
    """Beta (1 - mean over images of rho(s_i, t_i)) + gamma (1 - mean over classes of rho(s_c, t_c)), times T^2."""
    pairs = rows(temperature)
    classes = 1 - sum(pearson(s, t) for s, t in pairs) / N
    columns = [([s[c] for s, _ in pairs], [t[c] for _, t in pairs]) for c in range(C)]
    images = 1 - sum(pearson(s, t) for s, t in columns) / C
    found = dist_loss(logits(1), logits(2), temperature=temperature, classes_weight=2.0, images_weight=0.5)
    assert found.item() == pytest.approx(temperature**2 * (2.0 * classes + 0.5 * images), rel=1e-10)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "kd": kd_loss,
    "dkd": lambda student, teacher: dkd_loss(student, teacher, LABELS),
    "dist": dist_loss,
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_student_learns_and_the_teacher_does_not(name: str) -> None:
    student, teacher = logits(1).requires_grad_(), logits(2).requires_grad_()
    LOSSES[name](student, teacher).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert bool(student.grad.abs().sum() > 0.1)
    assert teacher.grad is None
    assert torch.autograd.gradcheck(lambda s: LOSSES[name](s, logits(2)), (student,))


@pytest.mark.parametrize("name", LOSSES)
def test_a_student_that_is_its_teacher_has_no_loss(name: str) -> None:
    assert LOSSES[name](logits(1), logits(1)).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_outputs_and_sure_teachers_give_finite_losses_and_gradients(name: str) -> None:
    student = (100 * logits(1, torch.float32)).half().requires_grad_()
    loss = LOSSES[name](student, 1000 * logits(2, torch.float32))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.dtype == torch.float32
    assert student.grad is not None
    assert bool(student.grad.isfinite().all())


@pytest.mark.parametrize("name", LOSSES)
def test_other_classes_are_refused(name: str) -> None:
    with pytest.raises(ShapeError, match="give different outputs") as caught:
        LOSSES[name](logits(1), logits(2)[:, 1:])
    assert "(4, 5), teacher (4, 4)" in str(caught.value)
