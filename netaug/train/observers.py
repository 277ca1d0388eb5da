"""Defines what may observe an update without changing it: metric sums, running statistics, guards and diagnostics."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from netaug.distributed.all_reduce import RunningStatistics
from netaug.elastic import Pass
from netaug.tasks.base import Losses
from netaug.train.microbatches import Microbatch


class Observer:
    """Is called at the moments of an update; each method does nothing unless a subclass says otherwise."""

    def on_step_start(self, step: int) -> None:
        """Called before the first pass of a step; the gradients are zero."""

    def on_pass_start(self, pass_: Pass) -> None:
        """Called when the network has the widths of the pass."""

    def on_microbatch(
        self, pass_: Pass, microbatch: Microbatch, outputs: Any, targets: Any, losses: Losses, loss: Tensor
    ) -> None:
        """Called after the backward pass of a microbatch.

        Args:
            pass_: The pass it belongs to.
            microbatch: As all passes of the step get it.
            outputs: The network's, for the images that the pass takes.
            targets: Of these images.
            losses: Of the task, without any teacher.
            loss: What the backward pass began at, before the weight of the pass and the fraction of the microbatch.
        """

    def on_pass_end(self, pass_: Pass) -> None:
        """Called when the gradients of all microbatches of a pass are added."""


class StatisticsObserver(Observer):
    """Collects what each microbatch does to the batch norms' running statistics; they move once per step.

    Args:
        statistics: Those of the base network.
    """

    def __init__(self, statistics: RunningStatistics) -> None:
        self._statistics = statistics

    def on_step_start(self, step: int) -> None:
        """Remember where the statistics stand."""
        self._statistics.start()

    def on_microbatch(
        self, pass_: Pass, microbatch: Microbatch, outputs: Any, targets: Any, losses: Losses, loss: Tensor
    ) -> None:
        """Collect and undo a change, in passes that make one."""
        if pass_.statistics:
            self._statistics.collect(last=microbatch.last)
