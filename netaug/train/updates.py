"""How gradients become an update: scaled, added over passes and parts of the batch, clipped, applied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

Amp = Literal["off", "bf16", "fp16"]
_DTYPES: dict[Amp, torch.dtype] = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def parts(count: int, accumulate: int) -> Iterator[slice]:
    """Cut ``count`` images into ``accumulate`` parts that differ by one at most.

    No part has a single image where that can be avoided: batch norm cannot normalise it.
    """
    number = max(1, min(accumulate, count // 2))
    for part in range(number):
        yield slice(part * count // number, (part + 1) * count // number)


class Updates:
    """The gradients of one step, of all passes and parts together, and what is done with them.

    Args:
        optimizer: Over all parameters.
        device: Where they are.
        amp: Number format of the forward passes. ``fp16`` scales the loss, so that small gradients are not lost.
        clip_norm: Most L2 norm of all gradients of a step together; None does not clip.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, device: torch.device, amp: Amp, clip_norm: float | None
    ) -> None:
        self._optimizer, self._device, self._amp, self._clip_norm = optimizer, device, amp, clip_norm
        self._scaler = torch.amp.GradScaler(device.type, enabled=amp == "fp16")

    def precision(self) -> torch.autocast:
        """Inside this context forward passes compute in the number format of ``amp``; weights stay float32."""
        return torch.autocast(self._device.type, _DTYPES[self._amp], enabled=self._amp != "off")

    def start(self) -> None:
        """Forget the gradients of the step before."""
        self._optimizer.zero_grad()

    def add(self, loss: Tensor) -> None:
        """Add the gradients of a loss to those of the step."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def apply(self) -> bool:
        """Update the weights. With fp16 a step whose scaled gradients overflow is left out and the scale halved.

        Returns:
            Whether they were updated. To know it with fp16, the device is waited for.
        """
        scale = self._scaler.get_scale()
        if self._clip_norm is not None:
            self._scaler.unscale_(self._optimizer)
            torch.nn.utils.clip_grad_norm_(self._parameters(), self._clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return self._scaler.get_scale() >= scale

    def state_dict(self) -> dict[str, Any]:
        """What later updates depend on beside the optimizer: the loss's scale; empty without fp16."""
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(state)

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
