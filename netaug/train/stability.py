"""Guards an unstable training: non-finite losses stop it or skip the step, and jumps of the loss are logged.

A non-finite loss never reaches the weights: the training stops and names step, pass, images and the last checkpoint, or
skips the whole step, up to ``train.skip_nonfinite`` of them per run, alike on all processes.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from netaug.core.errors import TrainingError
from netaug.distributed.world import World
from netaug.elastic import Pass
from netaug.elastic.plain_network import Network
from netaug.tasks.base import Losses
from netaug.train.metrics import Tally
from netaug.train.microbatches import Microbatch
from netaug.train.observers import Observer

_log = logging.getLogger("netaug")

_SHOWN = 16
CUDA_CHECK_EVERY = 100
"""Losses between two checks on CUDA, where each check waits for the device."""
WINDOW, DEVIATIONS, FACTOR = 100, 6.0, 1.5


class FiniteGuard(Observer):
    """Watches the losses without waiting for the device at each step.

    Args:
        every: Losses between two checks. On the CPU a check costs nothing: 1. On CUDA it waits for the device. None
            leaves it to the caller, who asks :meth:`nonfinite`.
        lr: Returns the learning rate of a step, for the message.
    """

    def __init__(self, every: int | None, lr: Callable[[int], float]) -> None:
        self._every, self._lr, self._step = every, lr, 0
        self._waiting: list[tuple[Tensor, str, int, Tensor]] = []

    def on_step_start(self, step: int) -> None:
        """Remember which step the next losses belong to."""
        self._step = step

    def on_microbatch(
        self, pass_: Pass, microbatch: Microbatch, outputs: Any, targets: Any, losses: Losses, loss: Tensor
    ) -> None:
        """Remember a loss and its images.

        Raises:
            TrainingError: A loss is not finite.
        """
        indices_N = microbatch.indices_N
        self.add(loss, pass_.name, self._step, indices_N if pass_.share == 1 else indices_N[: len(targets)])

    def add(self, loss: Tensor, pass_name: str, step: int, indices_N: Tensor) -> None:
        """Remember a loss, and check all remembered ones when there are enough.

        Raises:
            TrainingError: A loss is not finite.
        """
        self._waiting.append((loss.detach(), pass_name, step, indices_N))
        if self._every is not None and len(self._waiting) >= self._every:
            self.check()

    def nonfinite(self) -> Tensor | int:
        """Count the remembered losses that are not finite, on the device; does not wait for it."""
        if not self._waiting:
            return 0
        return (~torch.isfinite(torch.stack([entry[0] for entry in self._waiting]))).sum()

    def forget(self) -> None:
        """Forget the remembered losses."""
        self._waiting = []

    def check(self) -> None:
        """Check the remembered losses and forget them.

        Raises:
            TrainingError: One is not finite; names the first such step, its rate and its images.
        """
        if (error := self.first_error()) is not None:
            raise error

    def first_error(self) -> TrainingError | None:
        """Return the error for the first remembered loss that is not finite, None without one; forgets them all."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return None
        finite = [math.isfinite(loss) for loss in _read([entry[0] for entry in waiting])]
        if all(finite):
            return None
        loss, pass_name, step, indices_N = waiting[finite.index(False)]
        shown = ", ".join(map(str, indices_N[:_SHOWN].tolist()))
        more = f" and {len(indices_N) - _SHOWN} more" if len(indices_N) > _SHOWN else ""
        return TrainingError(
            f"the loss of the {pass_name} pass is not finite at step {step}.",
            got=f"loss {loss.item()} at learning rate {self._lr(step):.6g}, training images number {shown}{more}",
            fix="lower train.lr or lengthen train.warmup_epochs; if it fails at once, look at these images; "
            "train.skip_nonfinite skips such steps, up to a number of them",
            diverged=True,
        )


class SkippedSteps:
    """Counts steps that are skipped because a loss is not finite; with none allowed it costs nothing.

    Args:
        allowed: Most of them in the whole run.

    Attributes:
        count: So far; part of the training's state.
    """

    def __init__(self, allowed: int) -> None:
        self.allowed, self.count = allowed, 0

    def remember(self, network: Network, tally: Tally) -> Callable[[], None]:
        """Copy what forward passes change, buffers and metric sums; calling the result restores it."""
        if not self.allowed:
            return _nothing
        # Buffers and sums alone: weights change after the exchange, and a skipped step never gets there.
        buffers = list(network.base.buffers())
        before, restore_tally = [buffer.clone() for buffer in buffers], tally.mark()

        @torch.no_grad()
        def restore() -> None:
            for buffer, old in zip(buffers, before, strict=True):
                buffer.copy_(old)
            restore_tally()

        return restore

    def skip(self, error: TrainingError | None, step: int, world: World) -> bool:
        """Count one more skipped step; where no more are allowed, raise on all processes, each of which calls it.

        Args:
            error: What would stop the training; None on a process whose own losses are finite.
            step: Which one.
            world: The processes that train together.

        Returns:
            Whether the step is skipped.

        Raises:
            TrainingError: The one given, or that of another process.
        """
        if self.count >= self.allowed:
            with world.raise_on_all_ranks():
                if error is not None:
                    raise error
            return False
        self.count += 1
        why = (
            "the loss of another process is not finite"
            if error is None
            else f"{error.where} got: {error.got}"
        )
        _log.warning("step %d is skipped, number %d of %d allowed: %s", step, self.count, self.allowed, why)
        return True

    def state_dict(self) -> dict[str, int]:
        """Return the count, where there is one."""
        return {"skipped": self.count} if self.count else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.count = state.get("skipped", 0)


def _nothing() -> None:
    """Restore nothing."""


class SpikeDetector:
    """Finds losses far above those of the last steps: often the first sign of a high learning rate or damaged images.

    A spike is a loss above the mean of the last 100 by more than 6 standard deviations, and above 1.5 times the mean,
    as nearly constant losses have next to no deviation. After one, the next 100 steps give no message. Nor do the first
    100 steps, also after a run is resumed: nothing else depends on it.
    """

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._quiet_until = 0

    def add(self, step: int, loss: float) -> str | None:
        """Take in the loss of a step, and return a message if it is a spike."""
        spike = self._spike(loss) if len(self._losses) == WINDOW and step >= self._quiet_until else None
        self._losses.append(loss)
        if spike is None:
            return None
        mean, deviation = spike
        self._quiet_until = step + WINDOW
        return (
            f"the loss jumps to {loss:.4g} at step {step}; the mean of the {WINDOW} steps before is "
            f"{mean:.4g} +- {deviation:.2g}. "
            "If it does not come back, lower train.lr or set train.clip_norm"
        )

    def _spike(self, loss: float) -> tuple[float, float] | None:
        """Return mean and deviation of the last losses if this one is a spike; its first condition decides mostly."""
        mean = math.fsum(self._losses) / WINDOW
        if loss <= FACTOR * mean:
            return None
        deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in self._losses) / WINDOW)
        return (mean, deviation) if loss > mean + DEVIATIONS * deviation else None


class SpikeLog(Observer):
    """Logs spikes of the base pass's loss, and waits for the device only now and then.

    Args:
        every: Steps between two readings. On the CPU reading costs nothing: 1.
        processes: How many train together; the loss is that of this one's images.
    """

    def __init__(self, every: int, processes: int = 1) -> None:
        self._every, self._processes = every, processes
        self._detector = SpikeDetector()
        self._step = 0
        self._losses: list[tuple[int, Tensor]] = []

    def on_step_start(self, step: int) -> None:
        """Remember which step the next losses belong to."""
        self._step = step

    def on_microbatch(
        self, pass_: Pass, microbatch: Microbatch, outputs: Any, targets: Any, losses: Losses, loss: Tensor
    ) -> None:
        """Add a microbatch's contribution to the loss of labels in the step's base pass."""
        if pass_.name != "base":
            return
        part, factor = losses.total.detach(), microbatch.fraction * self._processes
        if factor != 1:
            part = factor * part
        if self._losses and self._losses[-1][0] == self._step:
            self._losses[-1] = (self._step, self._losses[-1][1] + part)
            return
        # Before the new step is added: the losses of all earlier ones are complete, each over its microbatches.
        if len(self._losses) >= self._every:
            self._watch()
        self._losses.append((self._step, part))

    def forget(self, step: int) -> None:
        """Drop a step that is skipped, as its loss is not finite."""
        self._losses = [entry for entry in self._losses if entry[0] != step]

    def _watch(self) -> None:
        steps, losses = zip(*self._losses, strict=True)
        self._losses = []
        for step, loss in zip(steps, _read(losses), strict=True):
            if math.isfinite(loss) and (message := self._detector.add(step, loss)) is not None:
                _log.warning("%s", message)


def _read(scalars: Sequence[Tensor]) -> list[float]:
    """Return the values of scalars, with one wait for the device however many they are."""
    return [scalars[0].item()] if len(scalars) == 1 else torch.stack(list(scalars)).tolist()
