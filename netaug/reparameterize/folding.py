"""Arithmetic of merging: batch norms folded into kernels, kernels added up or multiplied; in float64 until the end."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from netaug.reparameterize.pairs import BatchNorm, Convolution


@dataclass(frozen=True)
class Kernel:
    """Holds a convolution as numbers.

    Args:
        weight: float64 ``[out, in / groups, *kernel]``.
        bias: float64 ``[out]``.
    """

    weight: Tensor
    bias: Tensor

    def __add__(self, other: Kernel) -> Kernel:
        """Return the kernel of the sum of both outputs."""
        return Kernel(self.weight + other.weight, self.bias + other.bias)


def scale_and_shift(norm: BatchNorm) -> tuple[Tensor, Tensor]:
    """Return what a batch norm multiplies by and adds in evaluation mode, float64 ``[channels]`` each."""
    mean, variance = norm.get_buffer("running_mean").double(), norm.get_buffer("running_var").double()
    scale = torch.rsqrt(variance + norm.eps)
    if norm.affine:
        scale = scale * norm.weight.detach().double()
    shift = -mean * scale
    return scale, shift + norm.bias.detach().double() if norm.affine else shift


def fold(conv: Convolution, norm: BatchNorm | None = None) -> Kernel:
    """Return a convolution and the batch norm behind it, in evaluation mode, as one kernel."""
    weight = conv.weight.detach().double()
    bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.detach().double()
    if norm is None:
        return Kernel(weight, bias)
    scale, shift = scale_and_shift(norm)
    return Kernel(weight * _per_output(scale, weight), bias * scale + shift)


def fold_identity(norm: BatchNorm, like: Convolution) -> Kernel:
    """Return a batch norm of the input as the kernel of a convolution with the shape of another one."""
    scale, shift = scale_and_shift(norm)
    weight = torch.zeros_like(like.weight, dtype=torch.float64)
    outputs = torch.arange(len(weight), device=weight.device)
    weight.flatten(2)[outputs, outputs % weight.shape[1], middle(like)] = scale
    return Kernel(weight, shift)


def at_center(kernel: Kernel, like: Convolution) -> Kernel:
    """Return a 1x1 kernel as the center of a larger one."""
    weight = torch.zeros_like(like.weight, dtype=torch.float64)
    weight.flatten(2)[:, :, middle(like)] = kernel.weight.flatten(2).squeeze(2)
    return Kernel(weight, kernel.bias)


def middle(conv: Convolution) -> int:
    """Return the position of the middle of a kernel of odd sides, counted through all its dimensions."""
    return math.prod(conv.kernel_size) // 2


def after(first: Kernel, second: Kernel, groups: int) -> Kernel:
    """Return the kernel of a convolution followed by a 1x1 convolution, both of as many groups."""
    hidden, outputs = len(first.weight) // groups, len(second.weight) // groups
    matrix = second.weight.reshape(groups, outputs, hidden)
    weight = torch.bmm(matrix, first.weight.reshape(groups, hidden, -1))
    bias = torch.bmm(matrix, first.bias.reshape(groups, hidden, 1)).reshape(-1) + second.bias
    return Kernel(weight.reshape(groups * outputs, *first.weight.shape[1:]), bias)


def _per_output(values: Tensor, weight: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (weight.ndim - 1))
