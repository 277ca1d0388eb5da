"""Compiles the base pass with torch; wide passes run eagerly, else each step's widths would be compiled again."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from netaug.train.torch_errors import not_compiled


def check_compiler(device: torch.device) -> None:
    """Compile something small, to report what is missing before time is spent; seconds, or less if done before.

    Raises:
        TrainingError: It fails; names what the machine lacks.
    """

    def small(x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) + 1

    try:
        torch.compile(small)(torch.zeros(8, device=device))
    except Exception as error:  # of the compiler behind torch, whichever it is
        raise not_compiled(error) from error


def compile_base(base: nn.Module, backend: str = "inductor") -> None:
    """Compile a network in place for training; names, weights and copies stay those of the plain one.

    In evaluation mode it runs as it is: it is then measured as it is saved, to the bit. Shapes are
    compiled as they come, not made variable after the second: what a step computes then does not depend on which
    batches came before it, and a resumed run computes the same.

    Args:
        base: The network.
        backend: Of ``torch.compile``.
    """
    run = base._call_impl
    compiled = torch.compile(run, dynamic=False, backend=backend)

    def call(*inputs: Any, **named: Any) -> Any:
        return (compiled if base.training else run)(*inputs, **named)

    # What nn.Module.__call__ runs where it is set: the module keeps its class, its names and its copies.
    base._compiled_call_impl = call
