"""Evaluate a network on a split: metric states per batch, reduced once at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from netaug.core.errors import DataError
from netaug.core.modules import evaluating
from netaug.data.batch import Batch, Normalizer
from netaug.tasks.base import Task


@dataclass(frozen=True)
class Measured:
    """The metric state of a batch.

    Args:
        sums: float64 ``[S]``, to be added.
        rows: float64 ``[K, W]``, to be collected; None if sums are enough.
    """

    sums: Tensor
    rows: Tensor | None = None


def evaluate(
    model: nn.Module, loader: Iterable[Batch], normalizer: Normalizer, task: Task[Any, Any]
) -> dict[str, float]:
    """Evaluate a network on every batch of a loader.

    Args:
        model: On the normalizer's device. Runs in evaluation mode; each module's mode is restored after.
        loader: Each image once.
        normalizer: Moves and normalizes the images.
        task: Says what is measured.

    Returns:
        The task's metrics, e.g. ``loss`` in nats and ``top1`` in percent.

    Raises:
        DataError: The loader has no batch.
    """
    measured = list(measure(model, loader, normalizer, task))
    return task.judged(added([batch.sums for batch in measured]), collected(measured))


def measure(
    model: nn.Module, loader: Iterable[Batch], normalizer: Normalizer, task: Task[Any, Any]
) -> Iterator[Measured]:
    """Yield the metric state per batch of a loader; arguments as for :func:`evaluate`."""
    with evaluating(model):
        for batch in loader:
            with torch.no_grad():
                outputs = model(normalizer(batch.images_NCHW))
                targets = batch.targets.to(normalizer.device, non_blocking=True)
                sums = task.sums(outputs, targets, task.losses(outputs, targets))
                rows = task.rows(outputs, batch)
            yield Measured(sums, rows)


def added(sums: Sequence[Tensor]) -> Tensor:
    """Return the sums of all batches, added one after the other: the order fixes the last bits.

    Raises:
        DataError: There is no batch.
    """
    if not sums:
        raise DataError("there is nothing to evaluate on.", got="a split without images")
    total = sums[0]
    for batch_sums in sums[1:]:
        total = total + batch_sums
    return total


def collected(measured: Iterable[Measured]) -> Tensor | None:
    """Return the rows of all batches; None if sums are enough."""
    rows = [batch.rows for batch in measured if batch.rows is not None]
    return torch.cat(rows) if rows else None
