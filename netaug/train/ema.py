"""Averages the weights of the last steps, which often gives a better network than the last step's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from netaug.core.modules import copied
from netaug.elastic.plain_network import Network


class Average:
    """Keeps the exponential moving average of a network in training.

    The whole supernet is averaged, not its base alone: sorting moves channels between the base and what NetAug adds,
    so an average of the base alone would mix channels that have nothing to do with each other, or would have to start
    again at each epoch. The price is a copy of the added weights. Running statistics are averaged as weights are, so
    the average is evaluated with its own. Other buffers, such as counters, are those of the last step.

    Args:
        network: Copied as it is.
        decay: Fraction in [0, 1) that the average keeps at each step once it is warm.

    Attributes:
        network: The average; in evaluation mode.

    Source:
        Polyak & Juditsky 1992; the warm-up is that of timm's ``ModelEmaV3``: after ``s`` steps not more than
        ``1 - (s + 1) ** (-2 / 3)`` is kept.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copied(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: Network, step: int) -> None:
        """Take in the network after step ``step``, 0-based; the first one is taken whole."""
        kept = min(self._decay, 1 - (step + 1) ** (-2 / 3))
        averaged, current = _tensors(self.network), _tensors(network)
        pairs = list(zip(averaged, current, strict=True))
        moving = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([mean for mean, _ in moving], [now.detach() for _, now in moving], 1 - kept)
        counters = [pair for pair in pairs if not pair[0].is_floating_point()]  # integers, which have no mean
        if counters:
            torch._foreach_copy_([mean for mean, _ in counters], [now for _, now in counters])

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights and buffers."""
        return self.network.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.network.load_state_dict(state)


def _tensors(network: nn.Module) -> list[Tensor]:
    """Return each weight and buffer once, even if it has several names: else it would be averaged twice per step."""
    return [*network.parameters(), *network.buffers()]
