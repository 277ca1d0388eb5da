"""Training and evaluation mode of modules, put back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside a ``with`` block; then every module's own mode again, however the block ends."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


class TrainingHook:
    """Base of callables registered as forward or forward-pre hooks of modules; a copy of the module copies them."""


def remove_training_hooks(model: nn.Module) -> int:
    """Take every :class:`TrainingHook` off a network and its parts; how many there were."""
    count = 0
    for module in model.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for key in [key for key, hook in hooks.items() if isinstance(hook, TrainingHook)]:
                del hooks[key]
                count += 1
    return count
