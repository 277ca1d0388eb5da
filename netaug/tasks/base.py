"""The loss and the metrics of a task, as training and evaluation use them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from torch import Tensor

from netaug.data.batch import Batch

Targets = TypeVar("Targets")
BatchKind = TypeVar("BatchKind", bound=Batch)


@dataclass(frozen=True)
class Losses:
    """The loss of a forward pass.

    Args:
        total: The scalar, averaged over the N examples.
        parts: Its summands by name, without gradient.
    """

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class Task(ABC, Generic[Targets, BatchKind]):
    """Loss and metrics of a network's outputs.

    Metrics travel as sums on the device: sums of batches add, and are read once at the end of an epoch, because
    reading waits for the device. What cannot be added, such as the boxes of a detector, an evaluation collects as rows.

    Attributes:
        score: Name of the metric that results are reported in, in percent.
    """

    score: str = "top1"

    @abstractmethod
    def losses(self, outputs: Any, targets: Targets) -> Losses:
        """Return the loss of a pass, averaged over its N examples."""

    @abstractmethod
    def sums(self, outputs: Any, targets: Targets, losses: Losses) -> Tensor:
        """Return the metric state of a batch: float64 ``[S]``, no gradient; ``losses`` are those of the batch."""

    @abstractmethod
    def metrics(self, sums: Tensor) -> dict[str, float]:
        """Return the metrics by name, ``loss`` among them, from added sums; the one place that waits for the device."""

    def rows(self, outputs: Any, batch: BatchKind) -> Tensor | None:
        """Return what the evaluation collects per batch, float64 ``[K, W]``; None if sums are enough."""
        return None

    def judged(self, sums: Tensor, rows: Tensor | None) -> dict[str, float]:
        """Return the metrics of an evaluation, from the sums and rows of all batches."""
        return self.metrics(sums)
