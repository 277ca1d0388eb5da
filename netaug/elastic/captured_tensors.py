"""Find tensors that a copy of a network reads from the original, which a closure, lambda or hook holds.

A copy of a module copies its attributes, but a function keeps what it was made with. So a copy would compute
with the original's parameters, and train its own in vain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from netaug.core.errors import ModelError
from netaug.core.modules import EagerMode, copied


class ReadWatcher(EagerMode):
    """Watches which tensors the operations of a copy read.

    Args:
        model: The original.

    Attributes:
        copy: The copy, to be run inside ``with``.
        stack: Names of the modules that run, kept by whoever runs it.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        memo: dict[int, Any] = {}
        self.copy = copied(model, memo)
        self.stack: Sequence[str] = ()
        # The memo of deepcopy holds all that was copied, also tensors that are neither parameters nor buffers.
        self._copied = {id(value) for value in memo.values() if isinstance(value, Tensor)}
        self._of_original = {
            _storage(tensor): name for name, tensor in (*model.named_parameters(), *model.named_buffers())
        }
        self._computed = _computed(model)
        self._left_over: dict[int, tuple[str, nn.Module, str, Tensor]] = {}
        self._error: ModelError | None = None

    def __enter__(self) -> ReadWatcher:
        for name, attribute in self._computed:
            module = self.copy.get_submodule(name)
            value = module.__dict__[attribute]
            self._left_over[_storage(value)] = name, module, attribute, value
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # At dispatch, below modules and hooks, every operation is seen, whatever code calls it.
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor) and self._error is None:
                self._check_read(leaf)
        return func(*args, **(kwargs or {}))

    def refuse(self) -> None:
        """Refuse a model whose copy read tensors that are not its own.

        Raises:
            ModelError: It read a tensor of the original, or a parameter or computed constant from elsewhere.
        """
        if self._error is not None:
            raise self._error

    def _check_read(self, tensor: Tensor) -> None:
        storage = _storage(tensor)  # not the tensor's id: views and detached tensors share storage
        name = self._of_original.get(storage)
        if name is not None and storage not in self._copy_storages():
            self._error = _refusal(f"'{name}'", self.stack)
        elif isinstance(tensor, nn.Parameter) and id(tensor) not in self._copied:
            self._error = _refusal(f"a parameter of shape {list(tensor.shape)} outside of it", self.stack)
        elif storage in self._left_over:
            where, module, attribute, value = self._left_over[storage]
            if module.__dict__.get(attribute) is value:
                self._error = _constant(f"{where}.{attribute}".lstrip("."))

    def _copy_storages(self) -> set[int]:
        tensors = (*self.copy.parameters(), *self.copy.buffers())
        return {_storage(tensor) for tensor in tensors}


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata if tensor.layout == torch.strided else id(tensor)


def _computed(model: nn.Module) -> list[tuple[str, str]]:
    """Return module and name of the attributes that were computed from other tensors."""
    return [
        (name, attribute)
        for name, module in model.named_modules()
        for attribute, value in vars(module).items()
        if isinstance(value, Tensor) and not value.is_leaf
    ]


def _refusal(tensors: str, stack: Sequence[str]) -> ModelError:
    where = f", in the forward of '{stack[-1]}'" if stack and stack[-1] else ""
    return ModelError(
        f"a copy of the network still reads {tensors} of the original, so training the copy would not train it.",
        got=f"a function that holds the original or its parameters: a lambda, hook, closure or patched forward{where}",
        allowed="parameters and buffers that are read from the module itself (self.NAME, or a hook's first argument)",
        fix="make the function a method or a module; for a network that a library has wrapped (accelerate.prepare), "
        "augment first and wrap the supernet",
    )


def _constant(name: str) -> ModelError:
    return ModelError(
        f"'{name}' was computed from other tensors once, and is read as a constant.",
        got="a tensor with a history as an attribute",
        allowed="parameters, buffers, and what every forward computes again",
        fix="compute it in forward, so that what it comes from is trained; or register it as a buffer",
    )
