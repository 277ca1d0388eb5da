"""Sums up what an epoch measures: metrics, multiply-accumulates, widths and gradient fractions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from netaug.distributed.world import SINGLE_PROCESS, World
from netaug.elastic import Pass
from netaug.elastic.plain_network import Network
from netaug.runs.records import EpochRecord
from netaug.tasks.base import Losses, Task
from netaug.train.microbatches import Microbatch
from netaug.train.observers import Observer


class Tally(Observer):
    """Adds up the metrics of an epoch; sums stay on the device until they are asked for.

    Args:
        task: Measures outputs.
        network: Counts multiply-accumulates.
        world: The processes that train together. All but :meth:`total` and :meth:`state_dict` is this one's own.
    """

    def __init__(self, task: Task[Any, Any], network: Network, world: World = SINGLE_PROCESS) -> None:
        self._task, self._network, self._world = task, network, world
        self._sums: Tensor | None = None
        self._channels: dict[str, int] = {}
        self._draws = 0
        self._gradients: Tensor | None = None
        self.images = 0
        self.macs = 0
        self.seconds = 0.0

    def on_pass_start(self, pass_: Pass) -> None:
        """Count the widths of a wide pass, once for all microbatches."""
        if pass_.name == "augmented":
            self._draws += 1
            for group, channels in pass_.widths.items():
                self._channels[group] = self._channels.get(group, 0) + channels

    def on_microbatch(
        self, pass_: Pass, microbatch: Microbatch, outputs: Any, targets: Any, losses: Losses, loss: Tensor
    ) -> None:
        """Count the multiply-accumulates of a forward, and the metrics of one in the base pass."""
        macs = len(targets) * self._network.macs(
            pass_.widths, resolution=pass_.resolution, from_stage=pass_.from_stage
        )
        self.macs += macs if microbatch.area == 1 else round(macs * microbatch.area)
        if pass_.name == "base":
            sums = self._task.sums(outputs, targets, losses)
            self._sums = sums if self._sums is None else self._sums + sums
            self.images += len(targets)

    def add_gradients(self, measured: Tensor | None) -> None:
        """Add what :meth:`GradientFractions.finish` measured in a step."""
        if measured is not None:
            self._gradients = measured if self._gradients is None else self._gradients + measured

    def mark(self) -> Callable[[], None]:
        """Remember the sums of this process; calling the result restores them."""
        sums, channels = self._sums, dict(self._channels)
        counts = self._draws, self.images, self.macs
        gradients = self._gradients

        def restore() -> None:
            # Zeros instead of None where the first step of an epoch is skipped: the exchange needs their length.
            self._sums = torch.zeros_like(self._sums) if sums is None and self._sums is not None else sums
            self._channels, (self._draws, self.images, self.macs) = channels, counts
            self._gradients = gradients

        return restore

    def metrics(self) -> dict[str, float]:
        """Return the task's metrics of this process's base passes so far; waits for the device."""
        assert self._sums is not None, "asked before the first pass"
        return self._task.metrics(self._sums)

    def total(self) -> Total:
        """Return the sums of all processes, each of which has to call it."""
        sums, counts = self._gathered()
        added = sums[0]
        for of_rank in sums[
            1:
        ]:  # in the order of ranks: torch.sum may add in another, and so round to other bits
            added = added + of_rank
        images, macs = (sum(column) for column in zip(*counts, strict=True))
        return Total(self._task.metrics(added), images, macs)

    def widths(self) -> dict[str, float]:
        """Return the mean channels per group over the augmented passes."""
        return {group: round(total / self._draws, 3) for group, total in self._channels.items()}

    def gradients(self) -> dict[str, float]:
        """Return the record's fields about gradients: means over the measured steps; empty without any."""
        fraction, cosine, count = (0.0, 0.0, 0.0) if self._gradients is None else self._gradients.tolist()
        if not count:
            return {}
        return {"gradient_share": round(fraction / count, 4), "gradient_cosine": round(cosine / count, 4)}

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as plain values and a tensor, by ranks; all processes have to call it."""
        sums, counts = self._gathered()
        state = {"draws": self._draws, "seconds": self.seconds, "channels": dict(self._channels)}
        return {**state, "sums": sums, "counts": counts, "gradients": self._gradients}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Restore what :meth:`state_dict` returned; rank 0 takes all of it if the number of processes differs."""
        self._draws, self.seconds, self._channels = state["draws"], state["seconds"], dict(state["channels"])
        gradients = state.get("gradients")
        self._gradients = None if gradients is None else gradients.to(device)
        sums, counts = state["sums"].to(device), state["counts"]
        if len(counts) == self._world.size:
            self._sums, (self.images, self.macs) = sums[self._world.rank], counts[self._world.rank]
        else:
            self._sums = sums.sum(0) if self._world.first else torch.zeros_like(sums[0])
            totals = [sum(column) for column in zip(*counts, strict=True)]
            self.images, self.macs = totals if self._world.first else (0, 0)

    def _gathered(self) -> tuple[Tensor, list[list[int]]]:
        """Gather sums ``[size, S]`` and (images, multiply-accumulates) of every process, in one message."""
        assert self._sums is not None, "asked before the first pass"
        counts = torch.tensor([self.images, self.macs], device=self._sums.device)
        # The counts travel as the bits of their integers: as float64 values they would round above 2**53.
        rows = self._world.gather(torch.cat([self._sums, counts.view(torch.float64)]))
        return rows[:, :-2], rows[:, -2:].contiguous().view(torch.int64).tolist()


@dataclass(frozen=True)
class Total:
    """Holds the sums of all processes over an epoch.

    Args:
        metrics: Those of the task, in the base passes.
        images: Seen in base passes.
        macs: Multiply-accumulates of all forwards.
    """

    metrics: dict[str, float]
    images: int
    macs: int


@dataclass(frozen=True)
class Validation:
    """Holds the result of an epoch's evaluation.

    Args:
        metrics: Those of the task; empty if the epoch is not evaluated.
        seconds: How long it took.
    """

    metrics: dict[str, float]
    seconds: float = 0.0


def record_of(
    epoch: int,
    tally: Tally,
    total: Total,
    validation: Validation,
    *,
    lr: float,
    steps: int,
    score: str,
) -> EpochRecord:
    """Return the record of an epoch.

    Args:
        epoch: 0-based.
        tally: Sums of this process.
        total: Sums of all processes.
        validation: Of the network after the epoch.
        lr: Learning rate of the last step.
        steps: Optimizer updates.
        score: Name of the metric that results are reported in.
    """
    return EpochRecord(
        epoch=epoch,
        train_loss=total.metrics["loss"],
        train_top1=total.metrics.get("top1"),
        val_loss=validation.metrics.get("loss"),
        val_top1=validation.metrics.get("top1"),
        lr=lr,
        seconds=tally.seconds,
        val_seconds=validation.seconds,
        images_per_second=total.images / tally.seconds,
        steps=steps,
        train_macs=total.macs,
        widths=tally.widths(),
        val_mean_per_class=validation.metrics.get("mean_per_class"),
        **tally.gradients(),
        score=score,
        train_metrics=_further(total.metrics),
        val_metrics=_further(validation.metrics),
    )


_OWN_FIELDS = ("loss", "top1", "mean_per_class")


def _further(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that have no field of their own in a record."""
    return {name: value for name, value in metrics.items() if name not in _OWN_FIELDS}
