"""Steps that are left out because a loss is not a number, when the settings allow some."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch

from netaug.core.errors import TrainingError
from netaug.elastic.plain_network import Network
from netaug.train.metrics import Tally

_log = logging.getLogger("netaug")


class Skips:
    """Counts them; with none allowed it costs nothing.

    Args:
        allowed: Most of them in the whole run.

    Attributes:
        count: So far; part of the training's state.
    """

    def __init__(self, allowed: int) -> None:
        self.allowed, self.count = allowed, 0

    def remember(self, network: Network, tally: Tally) -> Callable[[], None]:
        """Note what forward passes change, running statistics and sums; calling the result undoes it."""
        if not self.allowed:
            return _nothing
        buffers = list(network.base.buffers())
        before, forget = [buffer.clone() for buffer in buffers], tally.mark()

        @torch.no_grad()
        def undo() -> None:
            for buffer, old in zip(buffers, before, strict=True):
                buffer.copy_(old)
            forget()

        return undo

    def take(self, error: TrainingError | None, step: int) -> bool:
        """Leave out one more step, if that is allowed.

        Args:
            error: What would stop the training; None on a process whose own losses are numbers.
            step: Which one.

        Returns:
            Whether the step is to be left out; if not, the error is to be raised.
        """
        if self.count >= self.allowed:
            return False
        self.count += 1
        why = (
            "the loss of another process is not finite"
            if error is None
            else f"{error.where} got: {error.got}"
        )
        _log.warning("step %d is left out, number %d of %d allowed: %s", step, self.count, self.allowed, why)
        return True

    def state_dict(self) -> dict[str, int]:
        """The count, where there is one."""
        return {"skipped": self.count} if self.count else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.count = state.get("skipped", 0)


def _nothing() -> None:
    """There is nothing to undo."""
