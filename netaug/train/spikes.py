"""Tells when the loss jumps: often the first sign of a rate that is too high, or of damaged images."""

from __future__ import annotations

import math
from collections import deque

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
