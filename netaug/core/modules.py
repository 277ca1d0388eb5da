"""Modules of torch: evaluation for a while, hooks of training, and copies of networks that have run.

A network may keep its last features or an auxiliary loss as an attribute, in a list or in an object of its own.
``copy.deepcopy`` refuses such tensors, as their history cannot be copied; :func:`copied` copies their values.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

Copied = TypeVar("Copied")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Set evaluation mode inside a ``with`` block; then every module has its own mode again, however the block ends."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def modules_by_name(model: nn.Module) -> dict[str, nn.Module]:
    """Return what ``named_modules`` yields, in a third of its time, which counts where it is asked in each step."""
    found: dict[nn.Module, str] = {}

    def visit(module: nn.Module, name: str) -> None:
        if module not in found:
            found[module] = name
            for key, child in module._modules.items():
                if child is not None:
                    visit(child, f"{name}.{key}" if name else key)

    visit(model, "")
    return {name: module for module, name in found.items()}


class EagerMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Is handed every operation inside a ``with`` block, as torch's mode is, without importing torch's compiler.

    Torch keeps its compiler away from modes, and imports it for that: a second, at the start of every training.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class TrainingHook:
    """Marks a callable that is registered as a hook of a module for training; a copy of the module copies it."""


def remove_training_hooks(model: nn.Module) -> int:
    """Take every :class:`TrainingHook` off a network and its parts; how many there were."""
    count = 0
    for module in model.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for key in [key for key, hook in hooks.items() if isinstance(hook, TrainingHook)]:
                del hooks[key]
                count += 1
    return count


def copied(original: Copied, memo: dict[int, Any] | None = None) -> Copied:
    """Copy as ``copy.deepcopy`` does, but also tensors that were computed from others, as plain values.

    Args:
        original: A network or anything that holds one.
        memo: As for ``copy.deepcopy``: inside ``__deepcopy__``.
    """
    with _ComputedTensors():
        return copy.deepcopy(original, memo)


def copied_module(original: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """Return a copy for a module's ``__deepcopy__``, so that ``copy.deepcopy`` does what :func:`copied` does."""
    twin = type(original).__new__(type(original))
    memo[id(original)] = twin
    twin.__setstate__(copied(original.__dict__, memo))  # type: ignore[no-untyped-call]
    return twin


class _ComputedTensors(TorchFunctionMode):
    """Copies tensors with a history by value; all else as torch does."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            tensor, memo = args
            memo[id(tensor)] = tensor.detach().clone()
            return memo[id(tensor)]
        return func(*args, **(kwargs or {}))
