"""Defines loss and metrics of classification: one label per image.

Per-class accuracy travels as right answers and images of each class behind the other sums, one tensor of fixed size, so
parts of a split add exactly. Which metric a dataset is customarily reported in comes from the registry of datasets.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from netaug.data.batch import ClassificationBatch
from netaug.tasks.base import Losses, Task

if TYPE_CHECKING:
    from netaug.data.batch import DataInfo

TOP = 5


class ClassificationTask(Task[Tensor, ClassificationBatch]):
    """Cross-entropy with label smoothing, top-1 and top-5 accuracy, on request the mean of the accuracies per class.

    Args:
        label_smoothing: Probability mass spread over all classes, in [0, 1). The loss of metrics is smoothed
            too, in training and validation alike, so that the two curves can be compared.
        per_class: Number of classes C if accuracy is also measured per class; None measures top-1 alone.
    """

    def __init__(self, label_smoothing: float = 0.0, per_class: int | None = None) -> None:
        self.label_smoothing, self.per_class = label_smoothing, per_class

    @classmethod
    def of(cls, label_smoothing: float, info: DataInfo) -> ClassificationTask:
        """Return the task that measures what is customary for a dataset."""
        return cls(label_smoothing, info.num_classes if info.metric == "mean_per_class" else None)

    def losses(self, outputs: Tensor, labels_N: Tensor) -> Losses:
        """Return :meth:`loss`, which has no parts."""
        return Losses(self.loss(outputs, labels_N))

    def loss(self, outputs: Tensor, labels_N: Tensor) -> Tensor:
        """Return the smoothed cross-entropy in nats, mean over N.

        Args:
            outputs: Logits, ``[N, C]``.
            labels_N: Class indices ``[N]``, or fractions of the classes ``[N, C]``.
        """
        return F.cross_entropy(outputs, labels_N, label_smoothing=self.label_smoothing)

    @torch.no_grad()
    def sums(self, outputs: Tensor, labels_N: Tensor, losses: Losses) -> Tensor:
        """Return the sum of losses, the number of correct images, the number of images: float64 ``[3]``, on the device.

        With mixed labels, fractions ``[N, C]``, the class with the largest fraction is correct. With ``per_class`` the
        correct images and the images per class follow: ``[3 + 2 C]``.
        """
        count = len(labels_N)
        labels_N = labels_N.argmax(1) if labels_N.ndim == 2 else labels_N
        correct_N = outputs.argmax(1) == labels_N
        correct = correct_N.sum(dtype=torch.float64)
        sums = torch.stack([losses.total.double() * count, correct, torch.full_like(correct, count)])
        if self.per_class is None:
            return sums
        is_class_NC = labels_N[:, None] == torch.arange(self.per_class, device=labels_N.device)
        correct_C, count_C = (is_class_NC & correct_N[:, None]).sum(0), is_class_NC.sum(0)
        return torch.cat([sums, correct_C.double(), count_C.double()])

    def metrics(self, sums: Tensor) -> dict[str, float]:
        """Return the mean ``loss`` in nats and ``top1`` in percent; the one place that waits for the device.

        With ``per_class`` also ``mean_per_class``: the mean of the accuracies per class, without classes that have no
        image.
        """
        loss, correct, count, *classes = sums.tolist()
        metrics = {"loss": loss / count, "top1": 100 * correct / count}
        if self.per_class is None:
            return metrics
        pairs = zip(classes[: self.per_class], classes[self.per_class :], strict=True)
        fractions = [correct / count for correct, count in pairs if count]
        return {**metrics, "mean_per_class": 100 * math.fsum(fractions) / len(fractions)}

    @torch.no_grad()
    def rows(self, outputs: Tensor, batch: ClassificationBatch) -> Tensor | None:
        """Return the images whose label is among the five likeliest classes, and all, ``[1, 2]``; None of 5 classes.

        An evaluation's alone: training sums, and checkpoints that hold them, stay as they are.
        """
        if outputs.shape[1] <= TOP:
            return None
        labels_N = batch.labels_N.to(outputs.device)
        found_N = (outputs.topk(TOP, dim=1).indices == labels_N[:, None]).any(1)
        return torch.stack([found_N.sum(), torch.full_like(labels_N.sum(), len(labels_N))]).double()[None]

    def judged(self, sums: Tensor, rows: Tensor | None) -> dict[str, float]:
        """Return :meth:`metrics` and ``top5`` in percent, where there are more than five classes."""
        metrics = self.metrics(sums)
        if rows is None:
            return metrics
        found, count = rows.sum(0).tolist()
        return {**metrics, "top5": 100 * found / count}

    @torch.no_grad()
    def predictions(self, logits_NC: Tensor, top: int) -> tuple[Tensor, Tensor]:
        """Return the likeliest classes per image.

        Args:
            logits_NC: Shape ``[N, C]``.
            top: K, how many classes; all C if there are fewer.

        Returns:
            Probabilities in [0, 1] and class indices, both ``[N, K]``, likeliest first.
        """
        return torch.topk(logits_NC.float().softmax(1), min(top, logits_NC.shape[1]), dim=1)
