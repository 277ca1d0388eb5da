"""Refuse activation checkpointing, with which a network runs parts of its forward again during backward.

A wide pass lays its weights over the modules for the length of one forward, so what is run again later would
read the base weights. Such networks are refused, never trained wrongly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch.utils.checkpoint
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from netaug.core.errors import ModelError
from netaug.elastic.preconditions import place_of

_ENTRIES = (
    "CheckpointFunction",
    "_checkpoint_without_reentrant_generator",
    "_checkpoint_without_reentrant_generator_impl",
)
"""What ``torch.utils.checkpoint.checkpoint`` calls in its two forms; the names of the second differ by version."""


class RecomputationError(Exception):
    """A network calls activation checkpointing."""


class _Refusal:
    """Stands in for either form of torch's checkpointing."""

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise RecomputationError("torch.utils.checkpoint")

    apply = __call__  # CheckpointFunction is called through its apply


@contextmanager
def without_recomputation() -> Iterator[None]:
    """Raise :class:`RecomputationError` where a network calls torch's checkpointing inside a ``with`` block."""
    module = torch.utils.checkpoint
    kept = {name: getattr(module, name) for name in _ENTRIES if hasattr(module, name)}
    for name in kept:
        setattr(torch.utils.checkpoint, name, _Refusal())
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(torch.utils.checkpoint, name, value)


@contextmanager
def refused_recomputation(network: nn.Module) -> Iterator[None]:
    """Refuse torch's checkpointing in a forward inside a ``with`` block, if a backward may follow.

    Raises:
        ModelError: The network calls it.
    """
    if not torch.is_grad_enabled():  # checkpointing then runs forward once, which is right
        yield
        return
    try:
        with without_recomputation():
            yield
    except RecomputationError as error:
        raise refusal(network, error) from error


@contextmanager
def modules_run(network: nn.Module) -> Iterator[list[str]]:
    """Yield the names of the modules whose forward is called inside a ``with`` block."""
    names = {id(module): name or type(module).__name__ for name, module in network.named_modules()}
    run: list[str] = []

    def note(module: nn.Module, _: object) -> None:
        if id(module) in names:
            run.append(names[id(module)])

    handle = register_module_forward_pre_hook(note)
    try:
        yield run
    finally:
        handle.remove()


def refusal(network: nn.Module, error: RecomputationError | None = None, reason: str = "") -> ModelError:
    """Return the error for a network that recomputes activations."""
    return ModelError(
        f"'{type(network).__name__}' runs parts of its forward again during backward (activation checkpointing), where "
        "a wider network's weights are gone.",
        got=" ".join(("torch.utils.checkpoint", place_of(error, network))).strip() if error else reason,
        fix="switch it off: set_grad_checkpointing(False) or memory_efficient=False of timm's networks, "
        "gradient_checkpointing_disable() of transformers'; smaller batches or accumulation save memory too",
    )
