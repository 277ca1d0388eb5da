"""Turns gradients into an update: scaled, added over passes and microbatches, clipped, applied."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

Amp = Literal["off", "bf16", "fp16"]
_DTYPES: dict[Amp, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Updates:
    """Collects the gradients of one step, of all passes and microbatches, and applies them.

    Args:
        optimizer: Over all parameters.
        device: Where they are.
        amp: Number format of the forward passes. ``fp16`` scales the loss, so that small gradients are not lost.
        clip_norm: Largest L2 norm of all gradients of a step; None does not clip.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, device: torch.device, amp: Amp, clip_norm: float | None
    ) -> None:
        self._optimizer, self._device, self._amp, self._clip_norm = optimizer, device, amp, clip_norm
        self._scaler = torch.amp.GradScaler(device.type, enabled=amp == "fp16")

    def precision(self) -> AbstractContextManager[object]:
        """Inside this context forward passes compute in the number format of ``amp``; weights stay float32."""
        if self._amp == "off":
            return nullcontext()
        return torch.autocast(self._device.type, _DTYPES[self._amp])

    def zero_grad(self) -> None:
        """Reset the gradients of the previous step."""
        self._optimizer.zero_grad()

    def backward(self, loss: Tensor, weight: float = 1.0) -> None:
        """Add the gradients of a loss, times its weight, to those of the step."""
        # Without an operation where it would change nothing.
        weighted = loss if weight == 1 else weight * loss
        self._scaler.scale(weighted).backward()  # type: ignore[no-untyped-call]

    def apply(self) -> bool:
        """Update the weights. With fp16 a step whose scaled gradients overflow is skipped and the scale halved.

        The learning rate still follows the number of the step, and the average of the weights waits.

        Returns:
            Whether the weights were updated. With fp16 this waits for the device.
        """
        scale = self._scaler.get_scale()
        if self._clip_norm is not None:
            # Else the norm would be that of the scaled gradients.
            self._scaler.unscale_(self._optimizer)
            torch.nn.utils.clip_grad_norm_(self._parameters(), self._clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        # The scaler lowers its scale where it skipped the update, and only there.
        return self._scaler.get_scale() >= scale

    def state_dict(self) -> dict[str, Any]:
        """Return the loss scale, on which later updates depend; empty without fp16."""
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(state)

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
