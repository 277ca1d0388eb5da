"""Parameters and multiply-accumulates of a network."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, _FlopCounterMode

from netaug.core.errors import ModelError, ShapeError
from netaug.core.modules import EagerMode, evaluating


@dataclass(frozen=True)
class Profile:
    """Holds the cost of a network.

    Args:
        params: Number of trainable and frozen parameters, norm weights and biases included; shared ones once.
        macs: Multiply-accumulates of one forward for one image.
    """

    params: int
    macs: int


def profile(model: nn.Module, example: Tensor) -> Profile:
    """Count parameters, and the MACs of one forward in eval mode for one image.

    MACs are those of conv and linear layers without their biases, as if batch norms were folded into them;
    activations, pooling and additions are free. Matrix products written in a ``forward`` and attention count
    as well; operators that torch's counter does not know (recurrent layers, custom kernels) count nothing.

    Args:
        model: Any module that takes one tensor; it is run where it is, not copied. Weights, buffers and the
            train/eval mode of every submodule are as before afterwards.
        example: Input with the images first, for example ``[N, C, H, W]``, on the model's device.

    Returns:
        The counts; MACs are those of the whole forward divided by N.

    Raises:
        ShapeError: The example holds no image.
        ModelError: The model fails on the example.

    Source:
        ``torch.utils.flop_counter``, two FLOPs to a multiply-accumulate.
    """
    if example.dim() == 0 or len(example) == 0:
        raise ShapeError(
            "the example input holds no image.", got=list(example.shape), allowed="[N, C, H, W] with N >= 1"
        )
    counter = FlopCounterMode(display=False)
    try:
        with evaluating(model), torch.no_grad(), _Operations(counter):
            model(example)
    except Exception as error:
        raise ModelError(
            f"{type(model).__name__} fails on the example input.",
            got=f"an input of shape {list(example.shape)} on {example.device}: {error}",
            fix="check the number of channels, the image size and the device",
        ) from error
    params = sum(parameter.numel() for parameter in model.parameters())
    # The counter counts a multiplication and an addition as two.
    return Profile(params=params, macs=round(counter.get_total_flops() / 2 / len(example)))


class _Operations(EagerMode, _FlopCounterMode):  # type: ignore[no-untyped-call]
    """Hands operations to torch's counter, which has not to know the modules that they are in."""

    __torch_dispatch__ = inspect.unwrap(_FlopCounterMode.__torch_dispatch__)
