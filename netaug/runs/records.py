"""Defines the record of an epoch in ``metrics.jsonl``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class EpochRecord:
    """Holds one line of ``metrics.jsonl``.

    Args:
        epoch: 0-based.
        train_loss: Mean loss in nats of the base pass over the epoch, of the labels alone, label smoothing included.
        train_top1: Percent right in the base pass, on augmented images, while the weights change; of mixed images the
            class with the larger fraction is right. None of detection.
        val_loss: Of the base network after the epoch, the same loss; None when not evaluated.
        val_top1: Percent; None when not evaluated.
        lr: Of the epoch's last step.
        seconds: Time of the training part, sorting included.
        val_seconds: Time of the evaluation, 0 without one.
        images_per_second: Training images over ``seconds``.
        steps: Optimizer updates in the epoch.
        train_macs: Multiply-accumulates of all forwards of all images and passes of the training part, those of a
            teacher included.
        widths: Mean channels drawn in the epoch's augmented passes, per group; empty without any.
        val_mean_per_class: Mean over classes of the percentage right; None where it is not customary or not evaluated.
        gradient_share: Of the augmented pass, in [0, 1]: its gradient's norm over the sum of both passes' norms, on the
            base network's weights; mean over the epoch's measured steps, of this process's images. None without any.
        gradient_cosine: Of the angle between the two passes' gradients there, in [-1, 1]; None likewise.
        score: Name of the metric that results are reported in.
        train_metrics: What else the task measured in training, such as the parts of the loss; by name.
        val_metrics: What else it measured in the evaluation, such as ``ap50`` in percent.
    """

    epoch: int
    train_loss: float
    train_top1: float | None
    val_loss: float | None
    val_top1: float | None
    lr: float
    seconds: float
    val_seconds: float
    images_per_second: float
    steps: int
    train_macs: int
    widths: dict[str, float]
    val_mean_per_class: float | None = None
    gradient_share: float | None = None
    gradient_cosine: float | None = None
    score: str = "top1"
    train_metrics: dict[str, float] = field(default_factory=dict)
    val_metrics: dict[str, float] = field(default_factory=dict)

    @property
    def val_score(self) -> float | None:
        """Return the validation score that results are reported in, in percent; None when not evaluated."""
        return self.val_top1 if self.score == "top1" else self.val_metrics.get(self.score)


def best_record(records: Sequence[EpochRecord]) -> EpochRecord | None:
    """Return the epoch with the best validation score, the first of equal ones; None if none was evaluated."""
    best: EpochRecord | None = None
    for record in records:
        score = record.val_score
        if score is not None and (best is None or best.val_score is None or score > best.val_score):
            best = record
    return best
