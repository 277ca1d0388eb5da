"""How much of what moves the base network's weights comes from the augmented pass, measured now and then."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class GradientWatch:
    """Takes the gradients of a step apart by pass, on the weights that both passes share: the base network's.

    It reads gradients and changes nothing, so a run learns the same with it or without. A step that is measured copies
    the base network's gradients once, and adds them up on the device; nothing waits for it.

    Args:
        parameters: Of the base network.
        every: Steps from one measurement to the next; 0 never measures.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], every: int) -> None:
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._every = every
        self._before: list[Tensor] | None = None
        self._base: list[Tensor] | None = None
        self._augmented = False

    def start(self, step: int) -> None:
        """A step begins; its gradients are zero."""
        due = self._every > 0 and step % self._every == 0
        self._before = [torch.zeros_like(one) for one in self._parameters] if due else None
        self._base, self._augmented = None, False

    @torch.no_grad()
    def passed(self, name: str) -> None:
        """A pass has added its gradients to those of the step."""
        if self._before is None:
            return
        now = self._now()
        if name == "base":
            self._base = list(torch._foreach_sub(now, self._before))
        else:
            self._augmented = True
        self._before = [one.clone() for one in now]

    @torch.no_grad()
    def finish(self) -> Tensor | None:
        """The augmented pass's part of the step's gradients, its weight alpha included.

        Returns:
            ``[share, cosine, 1]``: ``|a| / (|a| + |b|)`` with the L2 norms of the augmented and the base pass's
            gradients, which is 0.5 where both pull alike; the cosine of the angle between them, which is negative
            where they pull against each other; and a count. All zero if it is not a number. None if the step is not
            measured or has no augmented pass.
        """
        before, self._before = self._before, None
        if before is None or self._base is None or not self._augmented or not before:
            return None
        augmented = torch._foreach_sub(before, self._base)
        norm_a, norm_b = _norm(augmented), _norm(self._base)
        dot = torch.stack([(a * b).sum() for a, b in zip(augmented, self._base, strict=True)]).sum()
        self._base = None
        one = torch.ones_like(norm_a)
        found = torch.stack([norm_a / (norm_a + norm_b), dot / (norm_a * norm_b), one]).double()
        return torch.where(torch.isfinite(found).all(), found, torch.zeros_like(found))

    def _now(self) -> list[Tensor]:
        return [torch.zeros_like(one) if one.grad is None else one.grad for one in self._parameters]


def _norm(tensors: Iterable[Tensor]) -> Tensor:
    norms: list[Tensor] = list(torch._foreach_norm(list(tensors)))
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return norm
