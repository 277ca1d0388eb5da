"""Image classification: one label an image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from netaug.tasks.base import Task


class ClassificationTask(Task):
    """Cross-entropy with label smoothing, and top-1 accuracy.

    Args:
        label_smoothing: Probability mass spread over all classes, in [0, 1). The loss of metrics is smoothed
            too, in training and validation alike, so that the two curves can be compared.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def loss(self, outputs: Tensor, labels_N: Tensor) -> Tensor:
        """Smoothed cross-entropy in nats of logits ``[N, C]``, mean over N; labels ``[N]``, or shares ``[N, C]``."""
        return F.cross_entropy(outputs, labels_N, label_smoothing=self.label_smoothing)

    @torch.no_grad()
    def sums(self, outputs: Tensor, labels_N: Tensor, loss: Tensor) -> Tensor:
        """Sum of losses, number of right answers, number of images: float64 ``[3]``, on the device.

        Of mixed labels, shares ``[N, C]``, the likeliest class is the right answer.
        """
        count = len(labels_N)
        labels_N = labels_N.argmax(1) if labels_N.ndim == 2 else labels_N
        right = (outputs.argmax(1) == labels_N).sum().double()
        return torch.stack([loss.detach().double() * count, right, torch.full_like(right, count)])

    def metrics(self, sums: Tensor) -> dict[str, float]:
        """Mean ``loss`` in nats and ``top1`` in percent; the one place that waits for the device."""
        loss, right, count = sums.tolist()
        return {"loss": loss / count, "top1": 100 * right / count}

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
