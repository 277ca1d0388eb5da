"""What the training loop and the evaluation need to know about a task."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class Task(ABC):
    """Loss and metrics of a network's outputs.

    Metrics travel as sums on the device: sums of batches add, and are read once at the end of an epoch. Labels of
    mixed images are shares of the classes, ``[N, C]`` in place of ``[N]``.
    """

    @abstractmethod
    def loss(self, outputs: Tensor, labels_N: Tensor) -> Tensor:
        """The scalar that training lowers, averaged over the N examples."""

    @abstractmethod
    def sums(self, outputs: Tensor, labels_N: Tensor, loss: Tensor) -> Tensor:
        """What :meth:`metrics` needs of a batch, shape ``[S]`` in float64, no gradient; ``loss`` is its loss."""

    @abstractmethod
    def metrics(self, sums: Tensor) -> dict[str, float]:
        """Added sums as named numbers, ``loss`` and ``top1`` among them."""
