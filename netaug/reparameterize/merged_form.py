"""The cheap form of parallel branches: one convolution, with the statistics of every branch from those of its input.

A branch's output is linear in what its kernel reads. So its mean is the kernel times the input's mean, and its variance
is the kernel's quadratic form with the input's covariance, both over the positions the kernel stands at::

    y_b = w_b * x          mean(y_b) = w_b . mean(x)          var(y_b) = w_b . cov(x) . w_b

Batch norm then gives each kernel a factor and a shift, the kernels are added up, and one convolution with that sum
computes what the separate branches do, gradients included: in exact arithmetic the two forms are the same.

The covariance of a 1x1 kernel costs one matrix product of the input with itself. That of a larger kernel needs all
shifts of the input; :func:`pays` says where it was measured to be worth that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netaug.reparameterize.folding import middle
from netaug.reparameterize.pairs import BatchNorm, Convolution


def pays(conv: Convolution) -> bool:
    """Whether the cheap form costs less than separate branches at a convolution (measured, docs/log.md)."""
    return math.prod(conv.kernel_size) == 1 and conv.groups == 1


def can_merge(conv: Convolution, norm: BatchNorm) -> bool:
    """Whether there is a cheap form: what larger kernels read is gathered for two dimensions with zeros around."""
    gathers = (
        isinstance(conv, nn.Conv2d) and not isinstance(conv.padding, str) and conv.padding_mode == "zeros"
    )
    return norm.momentum is not None and (gathers or math.prod(conv.kernel_size) == 1)


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
    first = convs[0]
    with torch.autocast(x.device.type, enabled=False):  # moments of half precision would be useless
        count, mean_GF, covariance_GFF = input_moments(x, first)
        rows = [_row(conv, first) for conv in convs]
        if identity is not None:
            rows.append(_identity_row(first, x))
        all_norms = [*norms, *([] if identity is None else [identity])]
        kernels_BGOF = torch.stack(rows).reshape(len(rows), first.groups, -1, mean_GF.shape[1])
        mean_BC = torch.einsum("bgof,gf->bgo", kernels_BGOF, mean_GF).flatten(1)
        variance_BC = _quadratic(kernels_BGOF, covariance_GFF).flatten(1)
        eps_B1 = variance_BC.new_tensor([norm.eps for norm in all_norms])[:, None]
        ones_C = torch.ones_like(variance_BC[0])
        scale_BC = torch.stack([norm.weight if norm.affine else ones_C for norm in all_norms])
        scale_BC = scale_BC * torch.rsqrt(variance_BC + eps_B1)
        kernel_GOF = (scale_BC.reshape(*kernels_BGOF.shape[:3], 1) * kernels_BGOF).sum(0)
        shift_C: Tensor = -(scale_BC * mean_BC).sum(0)
        for norm in all_norms:
            shift_C = shift_C + norm.bias if norm.affine else shift_C
        if first.bias is not None:  # a norm takes it out again; its gradient is 0, not missing
            shift_C = shift_C + 0 * first.bias
        with torch.no_grad():
            _move(all_norms, mean_BC, variance_BC, count, first)
            sum_variance_C = _quadratic(kernel_GOF[None], covariance_GFF).flatten()
            sum_mean_C = shift_C + torch.einsum("gof,gf->go", kernel_GOF, mean_GF).flatten()
            _move([total], sum_mean_C[None], sum_variance_C[None], count, None)
    weight = kernel_GOF.reshape(first.weight.shape)
    outputs: Tensor = first._conv_forward(x, weight, shift_C)
    return outputs


def input_moments(x: Tensor, conv: Convolution) -> tuple[int, Tensor, Tensor]:
    """Return how many positions a kernel stands at, and mean and covariance of what it reads there.

    Args:
        x: Input of the convolution.
        conv: In ``groups`` G; a kernel reads F numbers.

    Returns:
        The count over batch and positions, mean ``[G, F]`` and covariance ``[G, F, F]``, biased as batch norm has it.
    """
    read_GMF = _what_kernels_read(x, conv)
    count = read_GMF.shape[1]
    mean_GF = read_GMF.mean(1)
    second_GFF = torch.bmm(read_GMF.mT, read_GMF) / count
    return count, mean_GF, second_GFF - mean_GF[:, :, None] * mean_GF[:, None, :]


def _what_kernels_read(x: Tensor, conv: Convolution) -> Tensor:
    """Return ``[G, M, F]``: per group and position the numbers that a kernel of the group reads."""
    if math.prod(conv.kernel_size) == 1:
        for dim, step in enumerate(conv.stride, start=2):
            if step > 1:
                x = x.index_select(dim, torch.arange(0, x.shape[dim], step, device=x.device))
        rows_MC = x.movedim(1, -1).reshape(-1, x.shape[1])
        return rows_MC.reshape(len(rows_MC), conv.groups, -1).transpose(0, 1)
    assert isinstance(conv, nn.Conv2d) and not isinstance(conv.padding, str), "else can_merge is false"
    columns = F.unfold(x, conv.kernel_size, conv.dilation, conv.padding, conv.stride)
    columns_NGFL = columns.reshape(len(x), conv.groups, -1, columns.shape[2])
    return columns_NGFL.permute(1, 0, 3, 2).flatten(1, 2)


def _row(conv: Convolution, first: Convolution) -> Tensor:
    """Return the kernel of a branch in the shape of the first one."""
    if conv.kernel_size == first.kernel_size:
        return conv.weight
    sides = [(side - 1) // 2 for side in reversed(first.kernel_size) for _ in range(2)]
    return F.pad(conv.weight, sides)


def _identity_row(first: Convolution, x: Tensor) -> Tensor:
    row = torch.zeros_like(first.weight)
    outputs = torch.arange(len(row), device=x.device)
    row.flatten(2)[outputs, outputs % row.shape[1], middle(first)] = 1
    return row


def _quadratic(kernels_BGOF: Tensor, covariance_GFF: Tensor) -> Tensor:
    """Return ``k . cov . k`` per kernel, ``[B, G, O]``; rounding may not make it negative."""
    product = torch.einsum("bgof,gfh->bgoh", kernels_BGOF, covariance_GFF)
    return (product * kernels_BGOF).sum(-1).clamp(min=0)


def _move(
    norms: Sequence[BatchNorm], mean_BC: Tensor, variance_BC: Tensor, count: int, first: Convolution | None
) -> None:
    """Move running statistics as torch's batch norm does; a norm whose statistics are hidden has none to move."""
    unbiased_BC = variance_BC * (count / max(1, count - 1))
    for number, norm in enumerate(norms):
        if norm.running_mean is None or norm.running_var is None:
            continue
        mean = mean_BC[number]
        if number == 0 and first is not None and first.bias is not None:
            mean = mean + first.bias
        assert norm.momentum is not None
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(unbiased_BC[number], norm.momentum)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
