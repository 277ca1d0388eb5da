"""Trial runs of a planned supernet, without data: does every module take the shapes that the plan says?

A module may keep numbers that count channels: ``groups``, ``normalized_shape``, ``head_dim``, the sizes of a
split. The graph shows the number but not where it comes from (``x.shape`` or an attribute). So the widest
network runs on the meta device. Where it fails, attributes of that value follow the widths, class by class,
as long as the network gets further; what still fails is frozen, group by group (:mod:`netaug.elastic.build`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from netaug.core.errors import ModelError, first_line
from netaug.core.modules import EagerMode, copied
from netaug.elastic.plan import Plan
from netaug.elastic.preconditions import account_of
from netaug.elastic.settings import AugmentConfig
from netaug.elastic.supernet import Supernet


@dataclass(frozen=True)
class Outcome:
    """Tells how a trial run ended.

    Args:
        error: The first line of what went wrong; None if nothing did.
        module: The innermost module in which it went wrong.
        operations: How many tensor operations, or calls of torch, were done.
        moves: Whether it ran, but with base channels in other places.
    """

    error: str | None
    module: str
    operations: int
    moves: bool = False

    @property
    def reason(self) -> str:
        """Return why a group that lets a run end so keeps its width."""
        if self.moves:
            return f"base channels move when it widens: in '{self.module or 'forward'}' {self.error}"
        return f"the network fails when it widens: {self.error}"


class DryRun:
    """Runs plans on a copy of the model without values (the meta device), or on a true copy where values are needed."""

    def __init__(self, model: nn.Module, example: tuple[Tensor, ...], config: AugmentConfig) -> None:
        self._config = config
        inputs = of_two_or_more(example)
        try:
            self._model = copied(model).to("meta").train()  # shapes alone: no memory, no arithmetic
            self._inputs = tuple(tensor.to("meta") for tensor in inputs)
            with torch.no_grad():
                self._expected = _shapes(self._model(*self._inputs))
        except Exception:  # values are needed after all, as for tensors that are not buffers
            self._model, self._inputs = copied(model).train(), inputs
            self._expected = self._true_shapes()

    def _true_shapes(self) -> list[tuple[int, ...]]:
        try:
            with torch.no_grad(), torch.random.fork_rng():
                return _shapes(self._model(*self._inputs))
        except Exception as error:  # of somebody else's code
            raise ModelError(
                f"'{type(self._model).__name__}' does not run on the example input in training mode.",
                got=account_of(error, self._model),
                fix="give an example of the shape and number of examples that the network is trained with",
            ) from error

    def run(self, plan: Plan, widths: Mapping[str, int]) -> Outcome:
        """Run the network of these widths in training mode, and compare its outputs' shapes with the base's."""
        supernet = Supernet(self._model, plan, self._config)
        supernet.use(widths)
        counter = _Counter()
        # The stack is left as it was at the error, so its last name is the innermost module that failed.
        with module_stack(self._model) as stack, torch.no_grad(), torch.random.fork_rng():
            try:
                with counter:
                    shapes = _shapes(supernet(*self._inputs))
            except Exception as error:
                message = f"{type(error).__name__}: {first_line(error)}"
                return Outcome(message, stack[-1] if stack else "", counter.operations)
        if shapes != self._expected:
            message = f"the output's shape changes from {self._expected} to {shapes}"
            return Outcome(message, "", counter.operations)
        return Outcome(None, "", counter.operations)


def of_two_or_more(example: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the example, a single one twice: batch norms need two."""
    if any(tensor.dim() and len(tensor) > 1 for tensor in example):
        return example
    return tuple(torch.cat([tensor, tensor]) if tensor.dim() else tensor for tensor in example)


class _Counter(EagerMode):
    """Counts tensor operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations += 1
        return result


@contextmanager
def module_stack(model: nn.Module) -> Iterator[list[str]]:
    """Yield the names of the modules whose forward is running; an error leaves them as they were when it was raised."""
    names = {id(module): name for name, module in model.named_modules()}
    stack: list[str] = []

    def enter(module: nn.Module, inputs: object) -> None:
        if id(module) in names:
            stack.append(names[id(module)])  # global hooks also run for modules of other networks

    def leave(module: nn.Module, inputs: object, outputs: object) -> None:
        if id(module) in names:
            stack.pop()

    handles = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
    try:
        yield stack
    finally:
        for handle in handles:
            handle.remove()


def _shapes(outputs: Any) -> list[tuple[int, ...]]:
    leaves = torch.utils._pytree.tree_leaves(outputs)
    return [tuple(leaf.shape) for leaf in leaves if isinstance(leaf, Tensor)]
