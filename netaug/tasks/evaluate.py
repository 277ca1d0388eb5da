"""How good a network is on a split: sums over batches, and rows where sums are not enough, reduced once."""

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
    """What a task takes down of a batch.

    Args:
        sums: float64 ``[S]``, to be added up.
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
    found = list(measure(model, loader, normalizer, task))
    return task.judged(added([one.sums for one in found]), collected(found))


def measure(
    model: nn.Module, loader: Iterable[Batch], normalizer: Normalizer, task: Task[Any, Any]
) -> Iterator[Measured]:
    """What the task takes down of each batch of a loader; arguments as for :func:`evaluate`."""
    with evaluating(model):
        for batch in loader:
            with torch.no_grad():
                outputs = model(normalizer(batch.images_NCHW))
                targets = batch.targets.to(normalizer.device, non_blocking=True)
                sums = task.sums(outputs, targets, task.losses(outputs, targets))
                rows = task.rows(outputs, batch)
            yield Measured(sums, rows)


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


def collected(found: Iterable[Measured]) -> Tensor | None:
    """The rows of all batches together; None if sums are enough."""
    rows = [one.rows for one in found if one.rows is not None]
    return torch.cat(rows) if rows else None
