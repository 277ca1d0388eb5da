"""Stops a training whose loss is no longer a number, and names the step and the images."""

from __future__ import annotations

import torch
from torch import Tensor

from netaug.core.errors import TrainingError

_SHOWN = 16


class FiniteGuard:
    """Watches the losses without waiting for the device at each step.

    Args:
        every: Losses between two checks. On the CPU a check costs nothing: 1. On CUDA it waits for the device. None
            leaves it to the caller, who asks :meth:`nonfinite`.
    """

    def __init__(self, every: int | None) -> None:
        self._every = every
        self._waiting: list[tuple[Tensor, str, int, float, Tensor]] = []

    def add(self, loss: Tensor, pass_name: str, step: int, lr: float, indices_N: Tensor) -> None:
        """Remember a loss, and check all remembered ones when there are enough.

        Raises:
            TrainingError: A loss is not finite.
        """
        self._waiting.append((loss.detach(), pass_name, step, lr, indices_N))
        if self._every is not None and len(self._waiting) >= self._every:
            self.check()

    def nonfinite(self) -> Tensor | int:
        """How many remembered losses are not finite, on the device; does not wait for it."""
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
        if (error := self.first_bad()) is not None:
            raise error

    def first_bad(self) -> TrainingError | None:
        """The error for the first remembered loss that is not finite, None without one; forgets them all."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return None
        losses = torch.stack([entry[0] for entry in waiting])
        finite = torch.isfinite(losses).tolist()
        if all(finite):
            return None
        loss, pass_name, step, lr, indices_N = waiting[finite.index(False)]
        shown = ", ".join(map(str, indices_N[:_SHOWN].tolist()))
        more = f" and {len(indices_N) - _SHOWN} more" if len(indices_N) > _SHOWN else ""
        return TrainingError(
            f"the loss of the {pass_name} pass is not finite at step {step}.",
            got=f"loss {loss.item()} at learning rate {lr:.6g}, training images number {shown}{more}",
            fix="lower train.lr or lengthen train.warmup_epochs; if it fails at once, look at these images; "
            "train.skip_nonfinite leaves some such steps out",
        )
