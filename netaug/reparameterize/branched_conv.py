"""A convolution with parallel branches, each with a batch norm, that can be merged into one convolution and norm."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import reduce
from typing import Any, cast

import torch
from torch import Tensor, nn

from netaug.core.modules import copied, copied_module
from netaug.core.seeding import generator
from netaug.reparameterize.folding import Kernel, at_center, fold, fold_identity
from netaug.reparameterize.merged_form import can_merge, merged_forward, pays
from netaug.reparameterize.moments import move_statistics, statistics
from netaug.reparameterize.new_layers import draw_weight, new_convolution, new_norm
from netaug.reparameterize.pairs import BatchNorm, Convolution
from netaug.reparameterize.settings import BranchSettings


class BranchedConv(nn.Module):
    """Adds up the outputs of branches: convolutions with a batch norm each, and a batch norm of the input.

    Args:
        conv: The caller's convolution: the first branch.
        norm: Its norm, which in the network stands where what follows it is.
        settings: How many branches, of which kinds.
        key: Of the first weights: a seed and a name.

    Attributes:
        convs: The convolutions.
        norms: One per convolution.
        identity: The norm of the input, or None.
        merges: Whether a training pass runs one convolution with the sum of all kernels.
        total: Only measures mean and variance of the sum: the merged norm's statistics are then true ones.
        replaced: Copies of the caller's convolution and norm, which :meth:`merged` fills; no part of the state.
    """

    def __init__(
        self, conv: Convolution, norm: BatchNorm, settings: BranchSettings, key: tuple[int, str]
    ) -> None:
        super().__init__()
        self.replaced = (copied(conv), copied(norm))
        self.convs: nn.ModuleList = nn.ModuleList([conv])
        self.norms: nn.ModuleList = nn.ModuleList([_plain_norm(norm)])
        for added in added_convolutions(conv, settings, key):
            self.convs.append(added)
            self.norms.append(new_norm(norm, conv.out_channels, settings.scale))
        self.identity: nn.Module | None = None
        if settings.identity and keeps_shape(conv):
            self.identity = new_norm(norm, conv.in_channels, settings.scale)
        self.total: nn.Module = new_norm(norm, conv.out_channels, affine=False)
        wanted = settings.form == "merged" or (settings.form == "auto" and pays(conv))
        self.merges = wanted and can_merge(conv, norm)
        self.train(conv.training)

    def forward(self, x: Tensor) -> Tensor:
        """Map the input of the caller's convolution to the output of its norm."""
        if self.training and self.merges:
            convs, norms = zip(*self._pairs(), strict=True)
            identity = cast("BatchNorm | None", self.identity)
            return merged_forward(x, convs, norms, identity, cast(BatchNorm, self.total))
        outputs = [norm(conv(x)) for conv, norm in zip(self.convs, self.norms, strict=True)]
        if self.identity is not None:
            outputs.append(self.identity(x))
        added: Tensor = reduce(torch.add, outputs)
        if self.training and self.total.running_mean is not None:
            self._measure(added)
        return added

    @torch.no_grad()
    def _measure(self, added: Tensor) -> None:
        total = cast(BatchNorm, self.total)
        if total.momentum is None or not isinstance(total, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            total(added)  # also counts batches, or gathers those of all processes
        else:
            move_statistics(total, *statistics(added), added.numel() // added.shape[1])

    def kernel(self) -> Kernel:
        """Return all branches as one kernel, in evaluation mode."""
        first = cast(Convolution, self.convs[0])
        kernels = [fold(conv, norm) for conv, norm in self._pairs()]
        kernels = [
            kernel if kernel.weight.shape == first.weight.shape else at_center(kernel, first)
            for kernel in kernels
        ]
        if self.identity is not None:
            kernels.append(fold_identity(cast(BatchNorm, self.identity), first))
        return reduce(Kernel.__add__, kernels)

    def _pairs(self) -> Iterator[tuple[Convolution, BatchNorm]]:
        yield from cast("Iterator[tuple[Convolution, BatchNorm]]", zip(self.convs, self.norms, strict=True))

    @torch.no_grad()
    def merged(self) -> tuple[Convolution, BatchNorm]:
        """Return the caller's convolution and norm with values that compute the sum in evaluation mode."""
        conv, norm = copied(self.replaced)
        like = cast(Convolution, self.convs[0]).weight
        for module in (conv, norm):
            module.to(device=like.device, dtype=like.dtype).train(self.training)
        kernel, total = self.kernel(), cast(BatchNorm, self.total)
        conv.weight.copy_(kernel.weight)
        own = torch.zeros_like(kernel.bias) if conv.bias is None else conv.bias.double()
        if norm.affine:
            # Any variance will do in evaluation mode; with the measured one the norm does the same in training mode.
            mean = total.get_buffer("running_mean").double()
            norm.get_buffer("running_var").copy_(total.get_buffer("running_var"))
            norm.weight.copy_((norm.get_buffer("running_var").double() + norm.eps).sqrt())
            norm.get_buffer("running_mean").copy_(mean - kernel.bias + own)
            norm.bias.copy_(mean)
        else:
            norm.get_buffer("running_var").fill_(1 - norm.eps)
            norm.get_buffer("running_mean").copy_(own - kernel.bias)
        if norm.num_batches_tracked is not None and total.num_batches_tracked is not None:
            norm.num_batches_tracked.copy_(total.num_batches_tracked)
        return conv, norm

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        """Copy also with what was computed last."""
        return copied_module(self, memo)


class AfterNorm(nn.Module):
    """Stands where the caller's norm was, and does what that does behind normalizing: for torch's own norms nothing.

    Args:
        conv: Name of the branched convolution that normalizes in its place.
        rest: Modules to run.
    """

    def __init__(self, conv: str, rest: list[nn.Module]) -> None:
        super().__init__()
        self.conv = conv
        self.rest = nn.ModuleList(rest)

    def forward(self, x: Tensor) -> Tensor:
        """Run what is left of the norm."""
        for module in self.rest:
            x = module(x)
        return x


def rest_of(norm: nn.Module) -> list[nn.Module] | None:
    """Return what a norm's module does behind normalizing; None if that is not known."""
    if type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
        return []
    if type(norm).__name__ == "BatchNormAct2d" and type(norm).__module__.startswith("timm."):
        return [norm.get_submodule("drop"), norm.get_submodule("act")]
    return None


def _plain_norm(norm: BatchNorm) -> BatchNorm:
    """Return a norm as torch's own class, with its values."""
    if not list(norm.children()):
        return norm
    plain = new_norm(norm, norm.num_features, affine=norm.affine)
    plain.load_state_dict({name: value for name, value in norm.state_dict().items() if "." not in name})
    return plain


def added_convolutions(
    conv: Convolution, settings: BranchSettings, key: tuple[int, str]
) -> list[Convolution]:
    """Return the convolutions beside the caller's: those of its shape, then a 1x1 one.

    Args:
        conv: The caller's.
        settings: How many, and of which kinds.
        key: Of the first weights: a seed and a name.
    """
    seed, name = key
    added = [
        _another(conv, generator(seed, "branches", name, number)) for number in range(1, settings.branches)
    ]
    if settings.point and math.prod(conv.kernel_size) > 1 and _is_centered(conv):
        added.append(_point(conv, generator(seed, "branches", name, "point")))
    return added


def _another(conv: Convolution, draws: torch.Generator) -> Convolution:
    """Return a convolution of the same shape with weights of the same spread."""
    made = new_convolution(conv)
    draw_weight(made.weight, float(conv.weight.detach().std(correction=0)), draws)
    return made


def _point(conv: Convolution, draws: torch.Generator) -> Convolution:
    """Return a 1x1 convolution of the same stride whose outputs have about the same spread."""
    made = new_convolution(conv, point=True)
    spread = float(conv.weight.detach().std(correction=0)) * math.sqrt(math.prod(conv.kernel_size))
    draw_weight(made.weight, spread, draws)
    return made


def _is_centered(conv: Convolution) -> bool:
    """Whether the middle of the kernel lies on the pixels that a 1x1 kernel of the same stride reads."""
    if isinstance(conv.padding, str):
        return conv.padding == "same" and all(side % 2 for side in conv.kernel_size)
    sides = zip(conv.kernel_size, conv.dilation, conv.padding, strict=True)
    return all(side % 2 == 1 and 2 * padding == dilation * (side - 1) for side, dilation, padding in sides)


def keeps_shape(conv: Convolution) -> bool:
    """Whether input and output have one shape, and the middle of the kernel lies on the same pixel of both."""
    return conv.in_channels == conv.out_channels and set(conv.stride) == {1} and _is_centered(conv)
