"""Computes the learning rate of each step: a linear rise to the peak, then one of several ways down.

A schedule is a function of the step, so it has no state that a checkpoint would have to hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from netaug.config import TrainConfig

_DECAYS, _DECAY_RATE, _POLY_POWER = 3, 0.1, 1.0


@dataclass(frozen=True)
class Schedule:
    """Gives each step of a run its learning rate.

    Args:
        config: Peak, kind of schedule and its settings, in epochs.
        epoch_steps: Steps of an epoch.
    """

    config: TrainConfig
    epoch_steps: int

    @property
    def total_steps(self) -> int:
        """Return the steps of the whole run."""
        return self.config.epochs * self.epoch_steps

    @property
    def warmup_steps(self) -> int:
        """Return the steps of the rise: step 0 has ``lr / warmup_steps``, step ``warmup_steps - 1`` the peak."""
        return round(self.config.warmup_epochs * self.epoch_steps)

    def lr(self, step: int) -> float:
        """Return the rate of a step, 0 .. total_steps - 1.

        After warmup, with t the fraction of the remaining steps that is done, from 0 to 1 at the step after the last:
        ``cosine`` is low + (peak - low) / 2 * (1 + cos(pi t)), ``poly`` low + (peak - low) * (1 - t) ** power,
        ``linear`` the same with power 1, ``step`` the peak times ``decay_rate`` for each ``decay_epochs`` that are
        over, but not below low, ``constant`` the peak.

        Source:
            Warmup and cosine by the step as in arXiv:2110.08890; Loshchilov & Hutter 2017, arXiv:1608.03983. The
            others are those of timm's schedulers with ``warmup_prefix``, by the step.
        """
        low, high, warmup = self.config.min_lr, self.config.lr, self.warmup_steps
        if step < warmup:
            return high * (step + 1) / warmup
        done = (step - warmup) / (self.total_steps - warmup)
        match self.config.schedule:
            case "cosine":
                return low + (high - low) / 2 * (1 + math.cos(math.pi * done))
            case "poly":
                power = _POLY_POWER if self.config.poly_power is None else self.config.poly_power
                return low + (high - low) * math.pow(1 - done, power)
            case "linear":
                return low + (high - low) * (1 - done)
            case "step":
                return max(low, high * math.pow(self._decay_rate, (step - warmup) // self._decay_steps))
            case "constant":
                return high

    @property
    def _decay_steps(self) -> int:
        if self.config.decay_epochs is None:
            return max(1, round((self.total_steps - self.warmup_steps) / _DECAYS))
        return max(1, round(self.config.decay_epochs * self.epoch_steps))

    @property
    def _decay_rate(self) -> float:
        return _DECAY_RATE if self.config.decay_rate is None else self.config.decay_rate
