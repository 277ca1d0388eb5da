"""A convolution that is two with a norm and a fading non-linearity between, and can be contracted to one."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netaug.core.errors import ModelError
from netaug.core.modules import copied, copied_module
from netaug.core.seeding import generator
from netaug.reparameterize.folding import after, fold
from netaug.reparameterize.new_layers import draw_weight, new_convolution, new_norm
from netaug.reparameterize.pairs import BatchNorm, Convolution


class Fading(nn.Module):
    """Multiplies negative values by a slope, from 0 (ReLU) to 1 (the identity).

    Attributes:
        slope: ``[1]``; a function of the progress alone, so no part of the state.
    """

    def __init__(self, like: Tensor) -> None:
        super().__init__()
        self.slope: Tensor
        self.register_buffer("slope", like.new_zeros(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``max(slope * x, x)``."""
        return F.prelu(x, self.slope.to(x.dtype))


class DeepConv(nn.Module):
    """Two convolutions in place of one, with a norm and a fading non-linearity between.

    Args:
        conv: The caller's convolution.
        norm: Name of the norm behind it, which stays where it is; and the norm itself.
        hidden: Channels between the two.
        key: Of the first weights: a seed and a name.

    Attributes:
        first: A convolution as the caller's, to the hidden channels.
        norm: Of the hidden channels.
        fading: The non-linearity.
        second: 1x1, to the caller's channels.
        replaced: A copy of the caller's convolution, which :meth:`contracted` fills; no part of the state.
        follower: Name of the norm behind it.
    """

    def __init__(
        self, conv: Convolution, norm: tuple[str, BatchNorm], hidden: int, key: tuple[int, str]
    ) -> None:
        super().__init__()
        self.replaced = (copied(conv),)
        self.follower = norm[0]
        self.first = new_convolution(conv, outputs=hidden)
        self.norm = new_norm(norm[1], hidden)
        self.fading = Fading(conv.weight)
        self.second = _mixing(conv, hidden)
        # He normal, as a ReLU follows the first; the caller's norm follows the second.
        for number, made in enumerate((self.first, self.second)):
            spread = math.sqrt((2 - number) / math.prod(made.weight.shape[1:]))
            draw_weight(made.weight, spread, generator(key[0], "depth", key[1], number))
        self.train(conv.training)

    def forward(self, x: Tensor) -> Tensor:
        """Map the input of the caller's convolution to its output."""
        y: Tensor = self.second(self.fading(self.norm(self.first(x))))
        return y

    @torch.no_grad()
    def contracted(self, follower: BatchNorm) -> Convolution:
        """Return one convolution of the caller's shape; what it cannot add without a bias goes into the norm behind it.

        Raises:
            ModelError: The non-linearity has not faded.
        """
        slope = float(self.fading.slope)
        if slope != 1.0:
            raise ModelError(
                "a deep network cannot be contracted before its non-linearities have faded.",
                got=f"slope {slope:.3g} of negative values",
                allowed="slope 1",
                fix="call fade(progress) with a progress of at least `until`, and train at it for a while",
            )
        conv = copied(self.replaced[0]).to(device=self.first.weight.device, dtype=self.first.weight.dtype)
        conv.train(self.training)
        kernel = after(fold(self.first, self.norm), fold(self.second), conv.groups)
        conv.weight.copy_(kernel.weight)
        if conv.bias is not None:
            conv.bias.copy_(kernel.bias)
        else:
            mean = follower.get_buffer("running_mean")
            mean.copy_(mean.double() - kernel.bias)
        return conv

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        """Copy also with what was computed last."""
        return copied_module(self, memo)


def _mixing(conv: Convolution, hidden: int) -> Convolution:
    """Return the 1x1 convolution from the hidden channels to the caller's, with its bias if it has one."""
    ones = (1,) * len(conv.kernel_size)
    made = type(conv)(
        hidden,
        conv.out_channels,
        ones,  # type: ignore[arg-type]
        groups=conv.groups,
        bias=conv.bias is not None,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
    if conv.bias is not None and made.bias is not None:
        with torch.no_grad():
            made.bias.copy_(conv.bias)
    return made
