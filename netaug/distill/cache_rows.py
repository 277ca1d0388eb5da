"""Packs log probabilities in few bytes: the likeliest classes in half precision, the rest spread evenly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Halves = npt.NDArray[np.float16]
Classes = npt.NDArray[np.uint16]
MOST_CLASSES = 2**16


@dataclass(frozen=True)
class Packing:
    """Packs and unpacks rows of log probabilities.

    Args:
        classes: C, the number of classes, at most 65,536.
        top: How many of the likeliest classes are kept of each image; at least C keeps all of them.
    """

    classes: int
    top: int

    @property
    def whole(self) -> bool:
        """Return whether every class is kept."""
        return self.top >= self.classes

    @property
    def values(self) -> int:
        """Return the half-precision values per image: one per class, or one per kept class and one for all others."""
        return self.classes if self.whole else self.top + 1

    @property
    def indices(self) -> int:
        """Return the number of class indices per image."""
        return 0 if self.whole else self.top

    @property
    def bytes(self) -> int:
        """Return the bytes per image."""
        return 2 * (self.values + self.indices)

    def pack(self, log_probs_NC: Tensor) -> tuple[Halves, Classes]:
        """Pack log probabilities ``[N, C]`` into ``[N, values]`` and ``[N, indices]``."""
        # Double, so that the conversion to half precision is the only rounding.
        log_probs = log_probs_NC.detach().double().cpu()
        if self.whole:
            return log_probs.half().numpy(), np.empty((len(log_probs), 0), np.uint16)
        kept, classes = log_probs.topk(self.top, 1)
        rest = log_probs.scatter(1, classes, -torch.inf).logsumexp(1, keepdim=True)
        each = rest - math.log(self.classes - self.top)
        return torch.cat([kept, each], 1).half().numpy(), classes.numpy().astype(np.uint16)

    def unpack(self, values: Halves, classes: Classes, device: torch.device) -> Tensor:
        """Log probabilities, float32 ``[N, C]``, of packed rows."""
        numbers = torch.from_numpy(values).to(device, non_blocking=True).float()
        if self.whole:
            return numbers
        indices = torch.from_numpy(classes.astype(np.int64)).to(device, non_blocking=True)
        spread = numbers[:, -1:].expand(-1, self.classes)
        return spread.scatter(1, indices, numbers[:, :-1])
