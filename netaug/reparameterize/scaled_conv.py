"""A convolution whose kernel is a sum of kernels, each with a factor per channel; the norm behind it is the caller's.

Without a norm in each branch nothing has to be known of their outputs: a training step runs one convolution, and adds
up kernels, which are small. What is left of the method is how the kernel is parametrized, and so how fast it learns in
which direction.

Source:
    Online convolutional re-parameterization, Hu et al. 2022, arXiv:2204.00826: norms of branches become factors, and
    one norm stays behind the sum.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, cast

import torch
from torch import Tensor, nn

from netaug.core.modules import copied, copied_module
from netaug.reparameterize.branched_conv import added_convolutions, keeps_shape
from netaug.reparameterize.folding import at_center, fold, middle
from netaug.reparameterize.merged_form import kernel_as_first, kernel_of_identity
from netaug.reparameterize.pairs import Convolution
from netaug.reparameterize.settings import BranchSettings


class ScaledConv(nn.Module):
    """Convolves with the sum of several kernels, each times a factor per output channel.

    Args:
        conv: The caller's convolution: the first of them.
        settings: How many there are, and of which kinds.
        key: Of the first weights: a seed and a name.

    Attributes:
        convs: The convolutions, of which a training step reads the weights alone.
        factors: One ``[out]`` per convolution; the last one is that of the identity if there is one.
        identity: Whether the input itself is a branch.
        replaced: A copy of the caller's convolution, which :meth:`merged` fills; no part of the state.
    """

    def __init__(self, conv: Convolution, settings: BranchSettings, key: tuple[int, str]) -> None:
        super().__init__()
        self.replaced = (copied(conv),)
        self.convs: nn.ModuleList = nn.ModuleList([conv, *added_convolutions(conv, settings, key)])
        self.identity = settings.identity and keeps_shape(conv)
        values = [1.0, *[settings.scale] * (len(self.convs) - 1 + self.identity)]
        self.factors: nn.ParameterList = nn.ParameterList(
            nn.Parameter(conv.weight.new_full((conv.out_channels,), value)) for value in values
        )
        self.train(conv.training)

    def forward(self, x: Tensor) -> Tensor:
        """Map the input of the caller's convolution to its output."""
        convs = [cast(Convolution, conv) for conv in self.convs]
        if self.training:
            bias = None if convs[0].bias is None else convs[0].bias * self.factors[0]
            outputs: Tensor = convs[0]._conv_forward(x, self._kernel(convs), bias)
            return outputs
        # As modules one by one: NetAug plans wider networks by what is recorded in evaluation mode.
        branches = [conv(x) for conv in convs] + [x] * self.identity
        shape = (-1, *[1] * (x.ndim - 2))
        scaled = [y * factor.reshape(shape) for y, factor in zip(branches, self.factors, strict=True)]
        added: Tensor = reduce(torch.add, scaled)
        return added

    def _kernel(self, convs: list[Convolution]) -> Tensor:
        first = convs[0]
        kernels = [kernel_as_first(conv, first) for conv in convs]
        if self.identity:
            kernels.append(kernel_of_identity(first))
        factors_BO = torch.stack(list(self.factors))
        shape = (*factors_BO.shape, *[1] * (first.weight.ndim - 1))
        return (torch.stack(kernels) * factors_BO.reshape(shape)).sum(0)

    @torch.no_grad()
    def merged(self) -> Convolution:
        """Return the caller's convolution with the sum of all kernels."""
        like = cast(Convolution, self.convs[0]).weight
        conv = copied(self.replaced[0]).to(device=like.device, dtype=like.dtype).train(self.training)
        total = torch.zeros_like(like, dtype=torch.float64)
        for branch, factor_O in zip(self.convs, list(self.factors), strict=False):
            kernel = fold(cast(Convolution, branch))
            if kernel.weight.shape != like.shape:
                kernel = at_center(kernel, conv)
            total += kernel.weight * factor_O.double().reshape(-1, *[1] * (like.ndim - 1))
        if self.identity:
            outputs = torch.arange(len(like), device=like.device)
            total.flatten(2)[outputs, outputs % like.shape[1], middle(conv)] += self.factors[-1].double()
        conv.weight.copy_(total)
        if conv.bias is not None:
            conv.bias.copy_(fold(cast(Convolution, self.convs[0])).bias * self.factors[0].double())
        return conv

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        """Copy also with what was computed last."""
        return copied_module(self, memo)
