"""What the training loop and the evaluation need to know about a task."""

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
    """What a forward pass is to lower.

    Args:
        total: The scalar, averaged over the N examples.
        parts: What it is made of, by name, without weights and without gradient.
    """

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class Task(ABC, Generic[Targets, BatchKind]):
    """Loss and metrics of a network's outputs.

    Metrics travel as sums on the device: sums of batches add, and are read once at the end of an epoch. What an
    evaluation cannot add up, such as the boxes a detector finds, it collects as rows.

    Attributes:
        score: Name of the metric that results are reported in, in percent.
    """

    score: str = "top1"

    @abstractmethod
    def losses(self, outputs: Any, targets: Targets) -> Losses:
        """The loss of a pass, averaged over its N examples."""

    @abstractmethod
    def sums(self, outputs: Any, targets: Targets, losses: Losses) -> Tensor:
        """What :meth:`metrics` needs of a batch, shape ``[S]`` in float64, no gradient; ``losses`` are its own."""

    @abstractmethod
    def metrics(self, sums: Tensor) -> dict[str, float]:
        """Added sums as named numbers, ``loss`` among them; the one place that waits for the device."""

    def rows(self, outputs: Any, batch: BatchKind) -> Tensor | None:
        """What the evaluation collects of a batch, float64 ``[K, W]``; None if sums are enough."""
        return None

    def judged(self, sums: Tensor, rows: Tensor | None) -> dict[str, float]:
        """The metrics of an evaluation, from the sums and rows of all batches."""
        return self.metrics(sums)
