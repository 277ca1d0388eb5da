"""How good a network is on a split: sums over batches, reduced once."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from netaug.data.batch import ClassificationBatch, Normalizer
from netaug.errors import DataError
from netaug.modes import evaluating
from netaug.tasks.base import Task


@torch.no_grad()
def evaluate(
    model: nn.Module, loader: Iterable[ClassificationBatch], normalizer: Normalizer, task: Task
) -> dict[str, float]:
    """Evaluate a network on every batch of a loader.

    Args:
        model: On the normalizer's device. Runs in evaluation mode; each module's mode is restored after.
        loader: Each image once.
        normalizer: Moves and normalises the images.
        task: Says what is measured.

    Returns:
        The task's metrics, e.g. ``loss`` in nats and ``top1`` in percent.

    Raises:
        DataError: The loader has no batch.
    """
    total: torch.Tensor | None = None
    with evaluating(model):
        for batch in loader:
            outputs = model(normalizer(batch.images_NCHW))
            labels_N = batch.labels_N.to(normalizer.device, non_blocking=True)
            sums = task.sums(outputs, labels_N, task.loss(outputs, labels_N))
            total = sums if total is None else total + sums
    if total is None:
        raise DataError("there is nothing to evaluate on.", got="a split without images")
    return task.metrics(total)
