"""Tells when the loss jumps: often the first sign of a rate that is too high, or of damaged images."""

from __future__ import annotations

import logging
import math
from collections import deque

import torch
from torch import Tensor

_log = logging.getLogger("netaug")

WINDOW, DEVIATIONS, FACTOR = 100, 6.0, 1.5


class SpikeWatch:
    """Looks for losses far above those of the last steps.

    A spike is a loss above the mean of the last 100 by more than 6 standard deviations, and above 1.5 times the mean,
    as nearly constant losses have no deviation to speak of. After one, the next 100 steps are only looked at. It says
    nothing in the first 100 steps, also after a run goes on: nothing else depends on it.
    """

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._quiet_until = 0

    def add(self, step: int, loss: float) -> str | None:
        """Take in the loss of a step; a sentence if it is a spike."""
        before = list(self._losses)
        self._losses.append(loss)
        if len(before) < WINDOW or step < self._quiet_until:
            return None
        mean = math.fsum(before) / WINDOW
        deviation = math.sqrt(math.fsum((one - mean) ** 2 for one in before) / WINDOW)
        if loss <= max(mean + DEVIATIONS * deviation, FACTOR * mean):
            return None
        self._quiet_until = step + WINDOW
        return (
            f"the loss jumps to {loss:.4g} at step {step}; the {WINDOW} steps before have "
            f"{mean:.4g} +- {deviation:.2g}. "
            "If it does not come back, lower train.lr or set train.clip_norm"
        )


class LossLog:
    """Collects the loss of each step for :class:`SpikeWatch`, and waits for the device only now and then.

    Args:
        every: Steps between two readings. On the CPU reading costs nothing: 1.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._watch = SpikeWatch()
        self._losses: list[tuple[int, Tensor]] = []

    def add(self, step: int, loss: Tensor) -> None:
        """Add a part's share of the loss of a step; parts of one step add up."""
        if self._losses and self._losses[-1][0] == step:
            self._losses[-1] = (step, self._losses[-1][1] + loss.detach())
            return
        if len(self._losses) >= self._every:
            self._read()
        self._losses.append((step, loss.detach()))

    def forget(self, step: int) -> None:
        """Leave out a step, as its loss is not a number."""
        self._losses = [one for one in self._losses if one[0] != step]

    def _read(self) -> None:
        steps, losses = zip(*self._losses, strict=True)
        self._losses = []
        for step, loss in zip(steps, torch.stack(losses).tolist(), strict=True):
            if math.isfinite(loss) and (sentence := self._watch.add(step, loss)) is not None:
                _log.warning("%s", sentence)
