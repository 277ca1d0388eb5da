"""Copies of networks that have run: what a forward left in attributes is copied without its graph.

A network may keep its last features or an auxiliary loss as an attribute, in a list or in an object of its own.
``copy.deepcopy`` refuses such tensors, as their history cannot be copied; here the copy has their values.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Copied = TypeVar("Copied")


def copied(original: Copied, memo: dict[int, Any] | None = None) -> Copied:
    """``copy.deepcopy``, but tensors that were computed from others are copied too, as plain values.

    Args:
        original: A network or anything that holds one.
        memo: As for ``copy.deepcopy``: inside ``__deepcopy__``.
    """
    with _ComputedTensors():
        return copy.deepcopy(original, memo)


def copied_module(original: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """What a module's ``__deepcopy__`` returns so that ``copy.deepcopy`` is :func:`copied`."""
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
