"""Combines the gradients of a step's passes on the base network's weights where they conflict (gradient surgery).

With ``add`` they add up as they come. With ``project`` the augmented passes' sum a loses its component against the base
pass's b, tensor by tensor, where their inner product is negative; with ``project-network`` the same with all tensors
as one vector::

    a' = a - min(0, <a, b>) / <b, b> * b          gradient = b + a'

so that the wide networks no longer undo what the base network needs. Only the base network's loss keeps its gradient
whole: it is what is kept in the end. Added weights belong to the wide networks alone and are left as they are.

The result does not change if both are multiplied by one factor, such as a loss scale. It is not linear in single
microbatches: their gradients, and those of other processes, have to be summed before.

Source:
    Dong et al. 2023, NetDistiller, arXiv:2310.19820 (gradient surgery between a tiny network and the wider one that
    shares its weights); the projection is that of Yu et al. 2020, arXiv:2001.06782, equation in section 2.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from netaug.elastic.passes import Pass


@dataclass
class Held:
    """Holds a gradient as a parameter does.

    Args:
        grad: Of the shape of its parameter; None if there is none.
    """

    grad: Tensor | None = None


class SeparateGradients:
    """Keeps the gradients of base and augmented passes apart for a step, then combines them.

    Args:
        parameters: Of the base network.
        per_network: Whether all tensors are projected as one vector, else each by itself.

    Attributes:
        parameters: After the passes of a step their ``grad`` is that of the base pass.
        wide: For each of them, what the augmented passes left, until :meth:`combine`.
        is_deferred: Whether the caller combines, after an exchange between processes, and not the supernet.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, per_network: bool) -> None:
        self.parameters = list(parameters)
        self.wide = [Held() for _ in self.parameters]
        self.is_deferred = False
        self._per_network = per_network
        self._base = [Held() for _ in self.parameters]
        self._before = [Held() for _ in self.parameters]

    @classmethod
    def of(cls, base: nn.Module, conflict: str) -> SeparateGradients | None:
        """Return None where gradients add up as they come (``conflict`` is ``add``)."""
        if conflict == "add":
            return None
        return cls(base.parameters(), per_network=conflict == "project-network")

    def around(self, passes: Iterator[Pass]) -> Iterator[Pass]:
        """Yield the passes of a step; what each adds to the gradients is taken after its backward."""
        for held in (*self.wide, *self._base, *self._before):
            held.grad = None
        self._move(self._before)  # of an earlier step, if the caller accumulates several
        places = self._base
        try:
            for pass_ in passes:
                places = self.wide if pass_.name == "augmented" else self._base
                yield pass_
                self._move(places)
        finally:  # also if the caller leaves the loop in the middle of a step
            self._move(places)
            for parameter, held in zip(self.parameters, self._base, strict=True):
                parameter.grad, held.grad = held.grad, None
            if not self.is_deferred:
                self.combine()

    def _move(self, places: Sequence[Held]) -> None:
        for parameter, held in zip(self.parameters, places, strict=True):
            if parameter.grad is not None:
                held.grad = parameter.grad if held.grad is None else held.grad.add_(parameter.grad)
                parameter.grad = None

    @torch.no_grad()
    def combine(self) -> None:
        """Give each parameter the combined gradient; nothing happens after a step without augmented passes."""
        pairs = [(p, p.grad, held.grad) for p, held in zip(self.parameters, self.wide, strict=True)]
        both = [(base, wide) for _, base, wide in pairs if base is not None and wide is not None]
        if both:
            # In place: these are the gradients that parameters hold already, or places in a message.
            _add_projected(*map(list, zip(*both, strict=True)), per_network=self._per_network)
        for (parameter, base, wide), held, before in zip(pairs, self.wide, self._before, strict=True):
            parameter.grad, held.grad = wide if base is None else base, None
            if before.grad is not None:
                parameter.grad = before.grad if parameter.grad is None else parameter.grad.add_(before.grad)
                before.grad = None


def _add_projected(base: list[Tensor], wide: list[Tensor], *, per_network: bool) -> None:
    """Add to each base gradient the wide one without its component against it."""
    inner = torch.stack([(one * other).sum() for one, other in zip(base, wide, strict=True)])
    squares = torch.stack(list(torch._foreach_norm(base))).square()
    if per_network:
        inner, squares = inner.sum().expand_as(inner), squares.sum().expand_as(squares)
    # Without a base gradient there is nothing to conflict with.
    against = torch.where(squares > 0, inner.clamp(max=0) / squares, torch.zeros_like(squares))
    torch._foreach_mul_(base, list((1 - against).unbind()))
    torch._foreach_add_(base, wide)
