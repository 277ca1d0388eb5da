"""Make convolutions and norms that go beside or behind the caller's: its class, device, dtype and geometry."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from netaug.reparameterize.pairs import BatchNorm, Convolution

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def new_norm(norm: BatchNorm, channels: int, scale: float = 1.0, *, affine: bool = True) -> BatchNorm:
    """Return a batch norm of torch's own class with the settings of another one, and no data seen.

    Args:
        norm: The other one.
        channels: Its channels.
        scale: Its first weight.
        affine: Whether it has weights at all.
    """
    kind = next(kind for kind in _NORMS if isinstance(norm, kind))
    mean = norm.get_buffer("running_mean")
    made = kind(channels, norm.eps, norm.momentum, affine, device=mean.device, dtype=mean.dtype)
    if affine:
        nn.init.constant_(made.weight, scale)
    return made


def new_convolution(conv: Convolution, *, outputs: int | None = None, point: bool = False) -> Convolution:
    """Return a convolution that reads what another one reads, without a bias: a norm follows.

    Args:
        conv: The other one.
        outputs: Its output channels; None has as many.
        point: Whether its kernel is 1x1, without padding.
    """
    ones = (1,) * len(conv.kernel_size)
    return type(conv)(
        conv.in_channels,
        conv.out_channels if outputs is None else outputs,
        ones if point else conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        0 if point else conv.padding,  # type: ignore[arg-type]
        ones if point else conv.dilation,  # type: ignore[arg-type]
        conv.groups,
        bias=False,
        padding_mode=conv.padding_mode,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )


@torch.no_grad()
def draw_weight(weight: Tensor, spread: float, draws: torch.Generator) -> None:
    """Fill a weight with normal draws of this standard deviation, 1 if that is 0; the same on every device."""
    weight.copy_(torch.randn(weight.shape, generator=draws, dtype=torch.float64) * (spread or 1.0))
