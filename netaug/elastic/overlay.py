"""Show modules other tensors and sizes than their own for the length of one forward.

This is where a width reaches a convolution. ``nn.Module`` keeps parameters apart from ``__dict__``, where Python looks
first: an entry of the same name in ``__dict__`` hides the parameter, and the module's own ``forward``, whatever its
class, reads the wide weight as ``self.weight``. Nothing is registered, and nothing stays behind.

So there are no elastic twins of layers: any module class works, also one that reads its weight in its own
way, and a parameter owned by a custom module widens like any other. Numbers that count channels are overridden the
same way, and so are running statistics (:mod:`netaug.elastic.norm_statistics`). All other buffers, and tensors
that a module updates in place, are copies for the length of a wide pass: counters, codebooks, queues and spectral
norm's vectors are those of base passes, to the bit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from netaug.core.modules import modules_by_name
from netaug.elastic.plan import Plan

_ABSENT = object()
_PLAIN = frozenset({type(None), bool, int, float, str, tuple, list, dict, set, OrderedDict})
"""Most attributes of modules, which are looked through in each wide pass: asking these for tensors takes longer."""
RUNNING_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class ModuleAttribute(NamedTuple):
    """Describes an attribute of a module: where it is, not what it is."""

    module: nn.Module
    attribute: str


class Override(NamedTuple):
    """Describes a value that an attribute shows while it is overridden."""

    attribute: ModuleAttribute
    value: Any


def size_overrides(base: nn.Module, plan: Plan, widths: dict[str, int]) -> list[Override]:
    """Return the sizes that go with widths: groups of depthwise layers and the like."""
    return [
        Override(ModuleAttribute(base.get_submodule(size.module), size.attribute), size.value(widths))
        for size in plan.sizes
    ]


@contextmanager
def kept_state(base: nn.Module, statistics: Collection[str]) -> Iterator[None]:
    """Let a network work on copies of its buffers, and of other tensors that it updates in place, inside ``with``.

    Running statistics of torch's own norms are left out: they have overrides of their own.
    What a forward assigns to an attribute that is not a buffer stays: it may be what the caller wants to read.

    Args:
        base: The network.
        statistics: Names of the norms that keep running statistics.
    """
    copies: dict[int, Tensor] = {}
    undo: list[tuple[dict[str, Any], str, Any, Any]] = []
    for name, module in modules_by_name(base).items():
        attributes = module.__dict__
        if module._buffers:
            overridden = RUNNING_STATISTICS if name in statistics else ()
            shown = {
                key: buffer if key in overridden else _copy(buffer, copies)
                for key, buffer in module._buffers.items()
            }
            undo.append((attributes, "_buffers", module._buffers, shown))
        undo += [
            (attributes, key, value, _copy(value, copies))
            for key, value in attributes.items()
            if type(value) not in _PLAIN and _is_state(value)
        ]
    for attributes, key, _, shown in undo:
        attributes[key] = shown
    try:
        yield
    finally:
        for attributes, key, kept, shown in undo:
            if attributes.get(key) is shown:  # else the forward has assigned something, which stays
                attributes[key] = kept


def _is_state(value: object) -> bool:
    # A computed tensor is an output that the last forward left, not a state that the next one reads.
    return isinstance(value, Tensor) and value.is_leaf and not value.requires_grad


def _copy(tensor: Tensor | None, copies: dict[int, Tensor]) -> Tensor | None:
    """Return one copy for all modules that hold a tensor."""
    if tensor is not None and id(tensor) not in copies:
        copies[id(tensor)] = tensor.clone()
    return copies[id(tensor)] if tensor is not None else None


@contextmanager
def overlaid(overrides: Iterable[Override]) -> Iterator[None]:
    """Show the values at their attributes inside a ``with`` block; then, or after an error, all is as before."""
    undo: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for (module, attribute), value in overrides:
            attributes = module.__dict__  # not setattr, which refuses a plain tensor in place of a parameter
            undo.append((attributes, attribute, attributes.get(attribute, _ABSENT)))
            attributes[attribute] = value
        yield
    finally:
        for attributes, attribute, value in reversed(undo):  # an attribute may be overridden twice
            if value is _ABSENT:
                del attributes[attribute]
            else:
                attributes[attribute] = value
