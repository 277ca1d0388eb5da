"""Record what a network does with an example: its calls of torch, which module made them, and their inputs.

Unlike ``torch.export`` this needs no recordable control flow and takes one forward: tensors are told apart by identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from netaug.core.modules import evaluating


@dataclass
class Call:
    """Describe a call of torch that returned a tensor.

    Args:
        name: Of the function without underscores, such as ``conv2d`` or ``add``.
        inputs: Positions of the calls whose tensors it took.
        module: Name of the innermost module that was running; empty for the network itself.
        shape: Of the result.
        kernel: Spatial shape of the weight, for convolutions and linear layers (empty); None for others.
        uses: How many calls took its result.
        ends: Modules that returned this very tensor, innermost first.
    """

    name: str
    inputs: tuple[int, ...]
    module: str
    shape: tuple[int, ...]
    kernel: tuple[int, ...] | None = None
    uses: int = 0
    ends: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Watched:
    """Hold all calls of one forward in order; the first stands for the input.

    Args:
        calls: In the order they were made.
        times: How often each module ran.
        output: Position of the call that gave the network's output; None if that is not a tensor.
    """

    calls: list[Call]
    times: dict[str, int]
    output: int | None

    def ancestors(self, position: int) -> set[int]:
        """Return the positions of all calls that a result depends on, its own included."""
        ancestors, waiting = set[int](), [position]
        while waiting:
            current = waiting.pop()
            if current not in ancestors:
                ancestors.add(current)
                waiting += self.calls[current].inputs
        return ancestors


_WEIGHTED = {"conv1d", "conv2d", "conv3d", "conv_transpose2d", "linear"}


class _Recorder(TorchFunctionMode):
    """Record each call, with the tensors it took by identity; keeps them alive, so that no identity comes twice."""

    def __init__(self, example: Tensor) -> None:
        super().__init__()
        self.calls = [Call("input", (), "", tuple(example.shape))]
        self.by_tensor = {id(example): 0}
        self.kept: list[Tensor] = [example]
        self.running: list[str] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run the call and record it if it returns tensors that are computed from known ones."""
        kwargs = kwargs or {}
        given = [value for value in _flat((args, kwargs)) if isinstance(value, Tensor)]
        taken = tuple(
            dict.fromkeys(self.by_tensor[id(value)] for value in given if id(value) in self.by_tensor)
        )
        result = func(*args, **kwargs)
        for value in _flat(result):
            if isinstance(value, Tensor) and taken:
                self._note(func, taken, given, value)
        return result

    def _note(
        self, func: Callable[..., Any], taken: tuple[int, ...], given: list[Tensor], value: Tensor
    ) -> None:
        name = getattr(func, "__name__", "").strip("_")
        # ``x += y`` and ``y + x`` arrive under the names of their operators.
        name = {"iadd": "add", "radd": "add", "imul": "mul", "rmul": "mul"}.get(name, name)
        kernel = tuple(given[1].shape[2:]) if name in _WEIGHTED and len(given) > 1 else None
        for position in taken:
            self.calls[position].uses += 1
        self.calls.append(
            Call(name, taken, self.running[-1] if self.running else "", tuple(value.shape), kernel)
        )
        self.by_tensor[id(value)] = len(self.calls) - 1
        # Kept alive: Python gives the identity of a freed tensor to the next one.
        self.kept.append(value)


def watch(model: nn.Module, example: Tensor) -> Watched:
    """Run a network once in evaluation mode and note what it does; nothing of it changes.

    Args:
        model: Any network of one input.
        example: A batch of its input.
    """
    recorder = _Recorder(example)
    times: dict[str, int] = {}
    with torch.no_grad(), evaluating(model), _modules_noted(model, recorder, times), recorder:
        output = model(example)
    position = recorder.by_tensor.get(id(output)) if isinstance(output, Tensor) else None
    return Watched(recorder.calls, times, position)


@contextmanager
def _modules_noted(model: nn.Module, recorder: _Recorder, times: dict[str, int]) -> Iterator[None]:
    """Tell the recorder which modules run, and note what they return as their ends."""
    handles = []
    for name, module in model.named_modules():

        def enter(_: nn.Module, inputs: Any, name: str = name) -> None:
            times[name] = times.get(name, 0) + 1
            recorder.running.append(name)

        def leave(_: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
            recorder.running.pop()
            if isinstance(output, Tensor) and name and id(output) in recorder.by_tensor:
                recorder.calls[recorder.by_tensor[id(output)]].ends.append(name)

        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _flat(item)
    else:
        yield value
