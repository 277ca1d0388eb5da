"""The base pass compiled by torch: wide passes stay as they are, else each step's widths would be compiled anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from netaug.train.explain import not_compiled
from netaug.train.network import Network


def check_compiler(device: torch.device) -> None:
    """Compile something small, to say what is missing before any time is spent; seconds, or less if done before.

    Raises:
        TrainingError: It fails; names what the machine lacks.
    """

    def small(x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) + 1

    try:
        torch.compile(small)(torch.zeros(8, device=device))
    except Exception as error:  # of the compiler behind torch, whichever it is
        raise not_compiled(error) from error


def compile_base(network: Network) -> None:
    """Compile the base network in place; names, weights and copies stay those of the plain one.

    Shapes are compiled as they come, not made variable after the second: what a step computes then does not depend
    on which batches came before it, and a run that goes on computes the same.
    """
    network.base.compile(dynamic=False)


@contextmanager
def plain(compiled: bool) -> Iterator[None]:
    """Inside a ``with`` block, a compiled network runs as the plain one that will be saved.

    Args:
        compiled: Whether anything is compiled; if not, nothing is done, as asking torch takes seconds.
    """
    if not compiled:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
