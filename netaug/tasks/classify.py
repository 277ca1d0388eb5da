"""Image classification: one label an image."""

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


class ClassificationTask(Task[Tensor, ClassificationBatch]):
    """Cross-entropy with label smoothing, top-1 accuracy, and where asked for the mean of each class's accuracy.

    Args:
        label_smoothing: Probability mass spread over all classes, in [0, 1). The loss of metrics is smoothed
            too, in training and validation alike, so that the two curves can be compared.
        per_class: Number of classes C if accuracy is also measured class by class; None measures top-1 alone.
    """

    def __init__(self, label_smoothing: float = 0.0, per_class: int | None = None) -> None:
        self.label_smoothing, self.per_class = label_smoothing, per_class

    @classmethod
    def of(cls, label_smoothing: float, info: DataInfo) -> ClassificationTask:
        """The task that measures what is customary for a dataset."""
        return cls(label_smoothing, info.num_classes if info.metric == "mean_per_class" else None)

    def losses(self, outputs: Tensor, labels_N: Tensor) -> Losses:
        """As :meth:`loss`: it has no parts."""
        return Losses(self.loss(outputs, labels_N))

    def loss(self, outputs: Tensor, labels_N: Tensor) -> Tensor:
        """Smoothed cross-entropy in nats of logits ``[N, C]``, mean over N; labels ``[N]``, or fractions ``[N, C]``."""
        return F.cross_entropy(outputs, labels_N, label_smoothing=self.label_smoothing)

    @torch.no_grad()
    def sums(self, outputs: Tensor, labels_N: Tensor, losses: Losses) -> Tensor:
        """Sum of losses, number of right answers, number of images: float64 ``[3]``, on the device.

        Of mixed labels, fractions ``[N, C]``, the likeliest class is the right answer. With ``per_class`` the right
        answers and the images of each class follow: ``[3 + 2 C]``.
        """
        count = len(labels_N)
        labels_N = labels_N.argmax(1) if labels_N.ndim == 2 else labels_N
        right_N = outputs.argmax(1) == labels_N
        right = right_N.sum().double()
        sums = torch.stack([losses.total.detach().double() * count, right, torch.full_like(right, count)])
        if self.per_class is None:
            return sums
        of_class_NC = labels_N[:, None] == torch.arange(self.per_class, device=labels_N.device)
        right_C, count_C = (of_class_NC & right_N[:, None]).sum(0), of_class_NC.sum(0)
        return torch.cat([sums, right_C.double(), count_C.double()])

    def metrics(self, sums: Tensor) -> dict[str, float]:
        """Mean ``loss`` in nats and ``top1`` in percent; the one place that waits for the device.

        With ``per_class`` also ``mean_per_class``: the mean over classes of the percentage right of each, classes
        without an image left out.
        """
        loss, right, count, *classes = sums.tolist()
        found = {"loss": loss / count, "top1": 100 * right / count}
        if self.per_class is None:
            return found
        pairs = zip(classes[: self.per_class], classes[self.per_class :], strict=True)
        fractions = [right / count for right, count in pairs if count]
        return {**found, "mean_per_class": 100 * math.fsum(fractions) / len(fractions)}

    @torch.no_grad()
    def predictions(self, logits_NC: Tensor, top: int) -> tuple[Tensor, Tensor]:
        """The likeliest classes of each image.

        Args:
            logits_NC: Shape ``[N, C]``.
            top: K, how many classes; all C if there are fewer.

        Returns:
            Probabilities in [0, 1] and class indices, both ``[N, K]``, likeliest first.
        """
        return torch.topk(logits_NC.float().softmax(1), min(top, logits_NC.shape[1]), dim=1)
