"""The cheap form of parallel branches: one convolution, with the statistics of every branch found beside it.

Batch norm gives each branch's kernel a factor and a shift, the kernels are added up, and one convolution with that sum
computes what the separate branches do, gradients included: in exact arithmetic both forms are the same. What is left
to find is mean and variance of every branch's output, in the way that costs least:

- Dense 1x1 kernels that make no fewer channels than they read: from mean and covariance of the input, as
  ``mean(w x) = w mean(x)`` and ``var(w x) = w cov(x) w``. The covariance is one matrix product for all branches.
- Depthwise 1x1 kernels and the identity: from mean and variance of each channel.
- All others: from the outputs, which are not normalized, written again or added up. The covariance of the k x k numbers
  that a larger kernel reads costs more: gathering them alone took 9 plain steps of micronet (docs/log.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from netaug.reparameterize.folding import middle
from netaug.reparameterize.moments import channel_moments, conv_moments, move_statistics, statistics
from netaug.reparameterize.pairs import BatchNorm, Convolution

_FEW = 32
"""Numbers that a kernel reads up to which its convolution costs less than a batch norm of its outputs (measured)."""


def pays(conv: Convolution) -> bool:
    """Whether the cheap form costs less than separate branches at a convolution."""
    point = math.prod(conv.kernel_size) == 1
    return point or conv.weight[0].numel() <= _FEW


def can_merge(conv: Convolution, norm: BatchNorm) -> bool:
    """Whether there is a cheap form: kernels have to be padded with zeros, and norms to have a momentum."""
    zeros = not isinstance(conv.padding, str) and conv.padding_mode == "zeros"
    return norm.momentum is not None and zeros


def merged_forward(
    x: Tensor,
    convs: Sequence[Convolution],
    norms: Sequence[BatchNorm],
    identity: BatchNorm | None,
    total: BatchNorm,
) -> Tensor:
    """Return the sum of all branches in training mode, and move their running statistics.

    Args:
        x: Input of the branches, ``[N, C, *spatial]``.
        convs: The convolutions; the first one has the shape of the sum.
        norms: Theirs.
        identity: The norm of the input as a branch.
        total: The norm that measures the sum.
    """
    first, all_norms = convs[0], [*norms, *([] if identity is None else [identity])]
    with torch.autocast(x.device.type, enabled=False):  # statistics of half precision would be too coarse
        mean_BC, variance_BC = _moments(x.to(first.weight.dtype), convs, with_identity=identity is not None)
        kernels = [kernel_as_first(conv, first) for conv in convs]
        if identity is not None:
            kernels.append(kernel_of_identity(first))
        kernel, shift_C = _normalized_sum(all_norms, kernels, mean_BC, variance_BC)
        if first.bias is not None:  # a norm takes it out again; its gradient is 0, not missing
            shift_C = shift_C + 0 * first.bias
    outputs: Tensor = first._conv_forward(x, kernel, shift_C)
    with torch.no_grad():
        count = outputs.numel() // outputs.shape[1]
        for number, norm in enumerate(all_norms):
            own = first.bias if number == 0 and first.bias is not None else 0
            move_statistics(norm, mean_BC[number] + own, variance_BC[number], count)
        move_statistics(total, *statistics(outputs.to(first.weight.dtype)), count)
    return outputs


def _normalized_sum(
    norms: Sequence[BatchNorm], kernels: Sequence[Tensor], mean_BC: Tensor, variance_BC: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the sum of the normalized kernels, and of their shifts."""
    eps_B1 = variance_BC.new_tensor([norm.eps for norm in norms])[:, None]
    ones_C = torch.ones_like(variance_BC[0])
    scale_BC = torch.stack([norm.weight if norm.affine else ones_C for norm in norms])
    scale_BC = scale_BC * torch.rsqrt(variance_BC + eps_B1)
    shift_C: Tensor = -(scale_BC * mean_BC).sum(0)
    for norm in norms:
        shift_C = shift_C + norm.bias if norm.affine else shift_C
    shape = (len(kernels), -1, *[1] * (kernels[0].ndim - 1))
    return (torch.stack(list(kernels)) * scale_BC.reshape(shape)).sum(0), shift_C


def _moments(x: Tensor, convs: Sequence[Convolution], *, with_identity: bool) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance of each branch's outputs, ``[B, C]`` each; the identity comes last."""
    shapes = [conv.kernel_size for conv in convs]
    found = []
    for shape in dict.fromkeys(
        shapes
    ):  # the 1x1 branch beside larger kernels is the last of the convolutions
        found.append(_of_one_shape(x, [conv for conv in convs if conv.kernel_size == shape]))
    if with_identity:
        found.append(tuple(moment[None] for moment in channel_moments(x)))
    mean_BC, variance_BC = (torch.cat(moments) for moments in zip(*found, strict=True))
    return mean_BC, variance_BC


def _of_one_shape(x: Tensor, convs: Sequence[Convolution]) -> tuple[Tensor, ...]:
    first, weights = convs[0], [conv.weight for conv in convs]
    point, depthwise = math.prod(first.kernel_size) == 1, first.groups == first.in_channels > 1
    if point and depthwise:
        factors_BC = torch.stack(weights).flatten(1)
        per_input = first.out_channels // first.in_channels
        mean_C, variance_C = (m.repeat_interleave(per_input) for m in channel_moments(_sampled(x, first)))
        return factors_BC * mean_C, factors_BC.square() * variance_C
    if point and first.groups == 1 and first.in_channels <= first.out_channels:
        return _from_covariance(_sampled(x, first), torch.stack(weights).flatten(2))
    if depthwise:  # one by one: torch has no fast kernel for several outputs per channel
        moments = [conv_moments(x, weight, first, first.groups) for weight in weights]
        return tuple(map(torch.stack, zip(*moments, strict=True)))
    # Outputs of one group have to follow each other, those of all branches: [G, B, C / G].
    by_group = [weight.reshape(first.groups, -1, *weight.shape[1:]) for weight in weights]
    stacked = torch.stack(by_group, 1).flatten(0, 2)
    stacked = stacked.contiguous(memory_format=_memory_format(first.weight))
    return tuple(
        moment.reshape(first.groups, len(convs), -1).transpose(0, 1).reshape(len(convs), -1)
        for moment in conv_moments(x, stacked, first, first.groups)
    )


def _from_covariance(x: Tensor, kernels_BCF: Tensor) -> tuple[Tensor, Tensor]:
    rows_MF = x.movedim(1, -1).reshape(-1, x.shape[1])
    mean_F = rows_MF.mean(0)
    covariance_FF = rows_MF.mT @ rows_MF / len(rows_MF) - torch.outer(mean_F, mean_F)
    variance_BC = ((kernels_BCF @ covariance_FF) * kernels_BCF).sum(-1)
    return kernels_BCF @ mean_F, variance_BC.clamp(min=0)  # rounding may not make it negative


def _sampled(x: Tensor, conv: Convolution) -> Tensor:
    """Return the pixels that a 1x1 kernel of this stride stands at."""
    if set(conv.stride) == {1}:
        return x
    sampled = x[(slice(None), slice(None), *(slice(None, None, step) for step in conv.stride))]
    return sampled.contiguous(memory_format=_memory_format(x))  # else torch takes a slow way to statistics


def kernel_as_first(conv: Convolution, first: Convolution) -> Tensor:
    """Return the kernel of a branch in the shape of the first one."""
    if conv.kernel_size == first.kernel_size:
        return conv.weight
    return F.pad(conv.weight, [side // 2 for side in reversed(first.kernel_size) for _ in range(2)])


def kernel_of_identity(first: Convolution) -> Tensor:
    """Return the kernel that gives the input, in the shape of the first one."""
    kernel = torch.zeros_like(first.weight)
    outputs = torch.arange(len(kernel), device=kernel.device)
    kernel.flatten(2)[outputs, outputs % kernel.shape[1], middle(first)] = 1
    return kernel


def _memory_format(tensor: Tensor) -> torch.memory_format:
    """Return the memory format of a tensor, which a copy of it would lose."""
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format
