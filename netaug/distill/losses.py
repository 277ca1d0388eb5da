"""Defines the distances between a student's logits and a teacher's; no gradient flows into the teacher.

All losses take logits of the student ``[N, C]`` and of the teacher ``[N, C]`` (N images, C classes), compute in
float32 or better, and are multiplied by ``temperature ** 2``, so that gradients keep their size when it changes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from netaug.core.errors import ShapeError

_NEVER = -1e9  # a logit; with minus infinity the divergence would be NaN
_TINY = 1e-8  # keeps the correlation of constant rows finite


def certainty(teacher_NC: Tensor) -> Tensor:
    """Measure how sure a teacher is of each image, as a weight on what it teaches there.

    Args:
        teacher_NC: Teacher logits, ``[N, C]``, C > 1. No gradient flows into them.

    Returns:
        ``1 - H(p) / ln C`` with the entropy H in nats of its probabilities p at temperature 1, ``[N]``: 1 where one
        class has all probability, 0 where all classes have the same.

    Source:
        Shannon's entropy as a fraction of its largest value. In-situ distillation (Dong et al. 2023, arXiv:2310.19820)
        has a weight by the teacher's uncertainty too, of another form than this one may be: see docs/in-situ.md.
    """
    log_probs_NC = teacher_NC.detach().to(torch.promote_types(teacher_NC.dtype, torch.float32)).log_softmax(1)
    entropy_N = -(log_probs_NC.exp() * log_probs_NC).sum(1)
    return (1 - entropy_N / math.log(teacher_NC.shape[1])).clamp(min=0)


def kd_loss(
    student_NC: Tensor, teacher_NC: Tensor, *, temperature: float = 1.0, weights_N: Tensor | None = None
) -> Tensor:
    """Measure how far the student's class probabilities are from the teacher's.

    Args:
        student_NC: Student logits, shape ``[N, C]``.
        teacher_NC: Teacher logits, same shape.
        temperature: Divides both sets of logits; unitless, > 0. Higher is softer.
        weights_N: Factor on each image's divergence, such as :func:`certainty`; None is 1 for all.

    Returns:
        Scalar KL(teacher || student) in nats: mean over N, times ``temperature ** 2``.

    Raises:
        ShapeError: The two logits differ in shape.

    Source:
        Hinton et al. 2015, arXiv:1503.02531, section 2.
    """
    student, teacher = _softened(student_NC, teacher_NC, temperature)
    return _divergence(student.log_softmax(1), teacher.log_softmax(1), weights_N) * temperature**2


def dkd_loss(
    student_NC: Tensor,
    teacher_NC: Tensor,
    labels_N: Tensor,
    *,
    temperature: float = 1.0,
    target_weight: float = 1.0,
    others_weight: float = 8.0,
    weights_N: Tensor | None = None,
) -> Tensor:
    """Measure two distances apart: how sure both are of the label, and how they share the rest among other classes.

    Args:
        student_NC: Student logits, shape ``[N, C]``, C > 1.
        teacher_NC: Teacher logits, same shape.
        labels_N: Class indices ``[N]``; of mixed labels ``[N, C]`` the likeliest class counts as the label.
        temperature: Divides both sets of logits; > 0.
        target_weight: Alpha of the paper, on the KL of (label, not label).
        others_weight: Beta of the paper, on the KL over the other classes alone. Plain distillation weighs it with
            the probability that the teacher leaves to them, which is small where the teacher is sure.
        weights_N: Factor on each image's distances; None is 1 for all.

    Returns:
        Scalar in nats, mean over N, times ``temperature ** 2``.

    Raises:
        ShapeError: The two logits differ in shape.

    Source:
        Zhao et al. 2022, arXiv:2203.08679, equations 2-7.
    """
    student, teacher = _softened(student_NC, teacher_NC, temperature)
    labels = labels_N.argmax(1) if labels_N.ndim == 2 else labels_N
    is_label_NC = labels[:, None] == torch.arange(student.shape[1], device=labels.device)
    target = _divergence(_of_two(student, is_label_NC), _of_two(teacher, is_label_NC), weights_N)
    ours, theirs = _others(student, is_label_NC).log_softmax(1), _others(teacher, is_label_NC).log_softmax(1)
    others = _divergence(ours, theirs, weights_N)
    return (target_weight * target + others_weight * others) * temperature**2


def dist_loss(
    student_NC: Tensor,
    teacher_NC: Tensor,
    *,
    temperature: float = 1.0,
    classes_weight: float = 1.0,
    images_weight: float = 1.0,
) -> Tensor:
    """Return one minus the correlation of probabilities: only their relations count, not their values.

    Args:
        student_NC: Student logits, shape ``[N, C]``, N > 1.
        teacher_NC: Teacher logits, same shape; may be of a teacher that is much stronger.
        temperature: Divides both sets of logits; > 0.
        classes_weight: Beta of the paper, on the relations between the classes of an image.
        images_weight: Gamma of the paper, on the relations between the images of a class.

    Returns:
        Scalar in ``[0, 2 (classes_weight + images_weight)]``, times ``temperature ** 2``.

    Raises:
        ShapeError: The two logits differ in shape.

    Source:
        Huang et al. 2022, arXiv:2205.10536, equations 5-9.
    """
    student, teacher = (logits.softmax(1) for logits in _softened(student_NC, teacher_NC, temperature))
    classes = 1 - _correlation(student, teacher).mean()
    images = 1 - _correlation(student.T, teacher.T).mean()
    return (classes_weight * classes + images_weight * images) * temperature**2


def _softened(student_NC: Tensor, teacher_NC: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return both logits over the temperature, in at least float32; the teacher's without gradient."""
    if student_NC.shape != teacher_NC.shape or student_NC.ndim != 2:
        raise ShapeError(
            "student and teacher give different outputs.",
            got=f"student {tuple(student_NC.shape)}, teacher {tuple(teacher_NC.shape)}",
            allowed="two tensors of the same shape [images, classes]",
        )
    dtype = torch.promote_types(student_NC.dtype, torch.float32)
    return student_NC.to(dtype) / temperature, teacher_NC.detach().to(dtype) / temperature


def _divergence(ours: Tensor, theirs: Tensor, weights_N: Tensor | None = None) -> Tensor:
    """Return KL(theirs || ours) of log probabilities, mean over rows, each times its weight."""
    if weights_N is not None:
        return (weights_N * F.kl_div(ours, theirs, log_target=True, reduction="none").sum(1)).mean()
    return F.kl_div(ours, theirs, log_target=True, reduction="batchmean")


def _of_two(logits_NC: Tensor, is_label_NC: Tensor) -> Tensor:
    """Log probabilities of the label and of all other classes together, shape ``[N, 2]``."""
    label = logits_NC.masked_fill(~is_label_NC, -torch.inf).logsumexp(1)
    rest = logits_NC.masked_fill(is_label_NC, -torch.inf).logsumexp(1)
    return torch.stack([label, rest], 1).log_softmax(1)


def _others(logits_NC: Tensor, is_label_NC: Tensor) -> Tensor:
    """Return the logits with the label's so low that it has no probability."""
    # A mask, not an index: picking the other classes would wait for the device to know how many there are.
    return logits_NC.masked_fill(is_label_NC, _NEVER)


def _correlation(ours: Tensor, theirs: Tensor) -> Tensor:
    """Return Pearson's correlation of each pair of rows."""
    ours, theirs = ours - ours.mean(1, keepdim=True), theirs - theirs.mean(1, keepdim=True)
    return F.cosine_similarity(ours, theirs, dim=1, eps=_TINY)
