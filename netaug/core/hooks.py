"""Hooks that act while a network trains and are no part of it: taken off when it is handed over."""

from __future__ import annotations

from torch import nn


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
