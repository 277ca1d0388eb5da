"""How good a network is on a split: sums over batches, reduced once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from netaug.data.batch import ClassificationBatch, Normalizer
from netaug.errors import DataError
from netaug.modes import evaluating
from netaug.tasks.base import Task


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
    return task.metrics(added(list(batch_sums(model, loader, normalizer, task))))


def batch_sums(
    model: nn.Module, loader: Iterable[ClassificationBatch], normalizer: Normalizer, task: Task
) -> Iterator[Tensor]:
    """The task's sums of each batch of a loader; arguments as for :func:`evaluate`."""
    with evaluating(model):
        for batch in loader:
            with torch.no_grad():
                outputs = model(normalizer(batch.images_NCHW))
                labels_N = batch.labels_N.to(normalizer.device, non_blocking=True)
                sums = task.sums(outputs, labels_N, task.loss(outputs, labels_N))
            yield sums


def added(sums: Sequence[Tensor]) -> Tensor:
    """The sums of all batches together, added one after the other.

    Raises:
        DataError: There is no batch.
    """
    if not sums:
        raise DataError("there is nothing to evaluate on.", got="a split without images")
    total = sums[0]
    for one in sums[1:]:
        total = total + one
    return total
