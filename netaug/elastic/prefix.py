"""The part of a network before a stage, which a wide pass shares with the base pass of the same step.

With ``from_stage`` all groups before that stage stay at base width. On the same images the network up to there then
computes the same in both passes, so it is run once per step, forward and backward::

    base pass          images -> prefix -> h | h' -> stage ... -> loss          h' is a leaf: its gradient waits
    last wide pass               (skipped) h | h' -> wider stage ... -> loss    its gradient and that of h' go into h

In the last pass h comes back through :class:`_Rejoin`, whose backward adds what the other passes left at h': the
prefix gets the gradient of the whole step in one backward, inside the last one of the step, where wrappers such as
DistributedDataParallel expect it. The sum of gradients is the same up to rounding.

A pass computes the prefix by itself, as it would without this module, whenever it is not sure to be the same: other
inputs, another mode, random numbers drawn before the stage (dropout), compiled modules, a network that reads what is
before the stage in several places, or norms there that are frozen: they normalize with running statistics in the base
pass and with those of the batch in a wide one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils._pytree import tree_map

from netaug.elastic.plan import Plan, Prefix
from netaug.elastic.settings import AugmentConfig


@dataclass
class _Call:
    """What one forward of the first pass leaves for the later passes.

    Args:
        inputs: Of the network, and their versions: an in-place change makes another input.
        mode: Gradients, training mode and autocast at the time.
        outputs: Per outermost module of the prefix, what it gave, call by call.
        end: What the stage got, with its history; None if the later passes have to compute it.
        leaf: The same as a leaf, at which gradients of all passes but the last one are collected.
    """

    inputs: tuple[Tensor, ...]
    versions: tuple[int, ...]
    mode: tuple[Any, ...]
    outputs: dict[str, list[Any]] = field(default_factory=dict)
    end: Tensor | None = None
    leaf: Tensor | None = None


class SharedPrefix:
    """Runs the prefix once per step; used by :meth:`netaug.elastic.Supernet.passes`.

    Args:
        base: The network.
        prefix: What runs before the stage.
        statistics: Names of the norms that keep running statistics.
    """

    def __init__(self, base: nn.Module, prefix: Prefix, statistics: Collection[str]) -> None:
        self._norms = [
            name
            for name in statistics
            if any(f"{name}.".startswith(f"{module}.") for module in prefix.modules)
        ]
        self._base, self._prefix = base, prefix
        self._calls: list[_Call] = []
        self._position = 0
        self._records = self._reuses = self._last = False

    @classmethod
    def of(cls, base: nn.Module, plan: Plan, config: AugmentConfig) -> SharedPrefix | None:
        """Return None if there is no stage, or if the passes of a step differ in what runs before it."""
        prefix = plan.prefix
        same_images = config.batch_share == config.resolution == 1.0
        if prefix is None or prefix.obstacle or not (same_images and config.base_pass):
            return None
        if config.conflict != "add":  # in one backward the passes' gradients could not be told apart
            return None
        return cls(base, prefix, plan.statistics) if config.batch_norm == "separate" else None

    @property
    def is_active(self) -> bool:
        """Return whether a step is in progress whose passes share the prefix."""
        return self._records or self._reuses

    def record(self) -> None:
        """Begin the first pass of a step."""
        self.stop()
        self._records = True

    def reuse(self, *, last: bool) -> None:
        """Begin a later pass of the step."""
        self._records, self._reuses, self._last, self._position = False, True, last, 0

    def finish(self) -> None:
        """Give the prefix what no later pass has taken, after the last pass of a step."""
        for call in self._calls:
            if call.end is not None and call.leaf is not None and call.leaf.grad is not None:
                gradient, call.leaf.grad = call.leaf.grad, None
                torch.autograd.backward(call.end, gradient)
        self.stop()

    def stop(self) -> None:
        """Forget the step; its activations are freed."""
        self._calls, self._position = [], 0
        self._records = self._reuses = self._last = False

    @contextmanager
    def around(self, inputs: tuple[Tensor, ...]) -> Iterator[None]:
        """Record or replace the prefix in one forward of the network inside ``with``."""
        if self._records:
            with self._recording(inputs):
                yield
            return
        call = self._matching(inputs) if self._reuses else None
        if call is None:
            yield
            return
        with self._replacing(call):
            yield

    def _matching(self, inputs: tuple[Tensor, ...]) -> _Call | None:
        """Return the call of the first pass whose prefix this forward shares."""
        position, self._position = self._position, self._position + 1
        if position >= len(self._calls):
            return None
        call = self._calls[position]
        same = (
            call.end is not None
            and len(inputs) == len(call.inputs)
            and all(one is other for one, other in zip(inputs, call.inputs, strict=True))
            and tuple(tensor._version for tensor in inputs) == call.versions
            and self._mode() == call.mode
        )
        return call if same else None

    def _mode(self) -> tuple[Any, ...]:
        names = self._prefix.modules
        training = tuple(self._base.get_submodule(name).training for name in names)
        autocast = tuple(torch.is_autocast_enabled(device) for device in ("cpu", "cuda"))
        return torch.is_grad_enabled(), training, autocast

    @contextmanager
    def _recording(self, inputs: tuple[Tensor, ...]) -> Iterator[None]:
        call = _Call(inputs, tuple(tensor._version for tensor in inputs), self._mode())
        self._calls.append(call)
        is_compiled = any(
            module._compiled_call_impl is not None for module in self._base.modules()
        )  # runs no hooks
        if is_compiled or not all(self._base.get_submodule(name).training for name in self._norms):
            yield
            return
        random = _random_state(inputs)

        def keep(name: str) -> Callable[..., None]:
            def hook(module: nn.Module, arguments: Any, output: Any) -> None:
                detached = tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, output)
                call.outputs.setdefault(name, []).append(detached)

            return hook

        def cut(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
            if call.end is not None or not _same_state(random, _random_state(inputs)):
                return None
            tensors = [one for one in (*arguments, *named.values()) if isinstance(one, Tensor)]
            if len(tensors) != 1:
                return None
            call.end = tensors[0]
            call.leaf = call.end.detach().requires_grad_(call.end.requires_grad)
            return _replaced(arguments, named, call.leaf)

        handles = [
            self._base.get_submodule(name).register_forward_hook(keep(name)) for name in self._prefix.modules
        ]
        stage = self._base.get_submodule(self._prefix.stage)
        handles.append(stage.register_forward_pre_hook(cut, with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def _replacing(self, call: _Call) -> Iterator[None]:
        assert call.end is not None and call.leaf is not None
        end, leaf, last = call.end, call.leaf, self._last
        entered = False

        def enter(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
            nonlocal entered
            if entered:
                return None
            entered = True
            joined = _Rejoin.apply(end, leaf) if last and end.requires_grad else leaf
            return _replaced(arguments, named, joined)

        changed: list[nn.Module] = []
        handle = self._base.get_submodule(self._prefix.stage).register_forward_pre_hook(
            enter, with_kwargs=True
        )
        try:
            for name in self._prefix.modules:
                module = self._base.get_submodule(name)
                if "forward" not in module.__dict__:
                    module.__dict__["forward"] = _replay(call.outputs.get(name, []))
                    changed.append(module)
            yield
        finally:
            handle.remove()
            for module in changed:
                del module.__dict__["forward"]


class _Rejoin(torch.autograd.Function):
    """The identity, whose backward adds the gradient that earlier passes left at a leaf of the same values."""

    @staticmethod
    def forward(ctx: Any, end: Tensor, leaf: Tensor) -> Tensor:
        ctx.leaf = leaf
        return end.view_as(end)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        earlier, ctx.leaf.grad = ctx.leaf.grad, None
        return gradient if earlier is None else gradient + earlier, None


def _replay(outputs: Sequence[Any]) -> Callable[..., Any]:
    """Return a forward that gives recorded outputs, one per call."""
    remaining = iter(outputs)
    return lambda *arguments, **named: next(remaining)


def _replaced(
    arguments: tuple[Any, ...], named: dict[str, Any], value: Tensor
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a call's arguments with another tensor in place of the only one."""

    def other(one: Any) -> Any:
        return value if isinstance(one, Tensor) else one

    return tuple(other(one) for one in arguments), {name: other(one) for name, one in named.items()}


def _random_state(inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the states of the generators that a forward can draw from; on CUDA they are kept on the host."""
    devices = {tensor.device for tensor in inputs if tensor.device.type == "cuda"}
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)]


def _same_state(before: Sequence[Tensor], after: Sequence[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
