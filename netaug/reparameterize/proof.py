"""Run a network and its merged form once, before any time is spent: they have to compute the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from netaug.core.errors import UnsupportedModelError
from netaug.core.modules import copied
from netaug.elastic.preconditions import account_of

_TOLERANCE = 1e-3
"""Of the largest output: float32 rounding of deep networks stays a hundred times below, wrong layers far above."""


@torch.no_grad()
def check_same_outputs(network: nn.Module, merged: nn.Module, example: tuple[Tensor, ...]) -> None:
    """Refuse a network whose merged form computes something else on the example.

    Args:
        network: With the layers that only the training has, in a state that can be merged; a copy of it runs.
        merged: What is made of it.
        example: A batch of its inputs.

    Raises:
        UnsupportedModelError: The outputs differ, or the network does not run.
    """
    running = copied(network).eval()
    try:
        outputs = [leaf for leaf in tree_leaves(running(*example)) if isinstance(leaf, Tensor)]
    except Exception as error:
        raise UnsupportedModelError(
            f"'{type(network).__name__}' does not run with other layers in place of its convolutions.",
            got=account_of(error, running),
            fix="leave the part out with keep, or call its convolutions and norms as modules",
        ) from error
    results = [leaf for leaf in tree_leaves(merged.eval()(*example)) if isinstance(leaf, Tensor)]
    for output, result in zip(outputs, results, strict=True):
        largest, difference = float(output.abs().max()), float((output - result).abs().max())
        if not difference <= _TOLERANCE * max(largest, 1e-6):
            raise UnsupportedModelError(
                f"the merged form of '{type(network).__name__}' does not compute what the trained network does.",
                got=f"outputs differ by {difference:.3g}, the largest is {largest:.3g}",
                fix="leave parts of it out with keep; a convolution may be read in another way than as a module",
            )
