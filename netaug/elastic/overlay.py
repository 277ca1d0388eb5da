"""Let modules see other tensors and sizes than their own for the length of one forward.

An instance attribute hides a parameter or buffer of the same name, so a module's own ``forward``, whatever
its class, reads the wide weight where it names its own. Nothing is registered, and nothing stays behind.

So there are no elastic twins of layers: any module class works, also one that reads its weight in its own
way, and a parameter owned by a custom module widens like any other. Numbers that count channels are set the
same way, and batch norms see no running statistics, which makes them use those of the batch. All other
buffers, and tensors that a module updates in place, are copies for the length of a wide pass: counters,
codebooks, queues and spectral norm's vectors are those of base passes, to the bit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from netaug.elastic.assembly import assemble
from netaug.elastic.axes import Axes, Segment
from netaug.elastic.plan import Plan

_ABSENT = object()
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class Place(NamedTuple):
    """An attribute of a module."""

    module: nn.Module
    attribute: str


class Setting(NamedTuple):
    """A value that a place shows while it is overlaid."""

    place: Place
    value: Any


class WideTensor:
    """A parameter that can widen: where modules hold it, and what is added to it along which dimensions.

    Args:
        places: Every module attribute that holds the base parameter.
        axes: Its elastic dimensions.
        added: The added part per dimension.
    """

    def __init__(self, places: tuple[Place, ...], axes: Axes, added: dict[int, Place]) -> None:
        self.places, self.axes, self._added = places, axes, added

    def segments(self, widths: dict[str, int]) -> dict[int, tuple[Segment, ...]]:
        """What a network of these widths reads, per dimension."""
        return {dim: self.axes[dim].segments(widths) for dim in self._added}

    def value(self, segments: dict[int, tuple[Segment, ...]]) -> Tensor:
        """The tensor of some width, differentiable in the base parameter and all that is added."""
        base: Tensor = getattr(*self.places[0])
        added: dict[int, Tensor] = {dim: getattr(*place) for dim, place in self._added.items()}
        return assemble(base, added, segments)


def wide_tensors(
    base: nn.Module, plan: Plan, added: nn.Module, names: dict[str, dict[int, str]]
) -> dict[str, WideTensor]:
    """Bind the plan to the modules of one network.

    Args:
        base: The network.
        plan: Its plan.
        added: The module that holds what is added.
        names: Under which attribute, per parameter and dimension.
    """
    tensors = {}
    for name, by_dim in names.items():
        places = tuple(
            Place(base.get_submodule(module), attribute) for module, attribute in plan.owners[name]
        )
        own = {dim: Place(added, attribute) for dim, attribute in by_dim.items()}
        tensors[name] = WideTensor(places, plan.axes[name], own)
    return tensors


def following_settings(base: nn.Module, plan: Plan, widths: dict[str, int]) -> list[Setting]:
    """Sizes that go with widths: groups of depthwise layers and the like."""
    return [
        Setting(Place(base.get_submodule(size.module), size.attribute), size.value(widths))
        for size in plan.sizes
    ]


def without_statistics(norm: nn.Module) -> list[Setting]:
    """What lets a norm use the statistics of the batch, and keep no running ones."""
    hidden = [Setting(Place(norm, name), None) for name in _STATISTICS]
    return [*hidden, Setting(Place(norm, "track_running_stats"), False)]


@contextmanager
def kept_state(base: nn.Module, statistics: Collection[str]) -> Iterator[None]:
    """Let a network work on copies of its buffers, and of other tensors that it updates in place, inside ``with``.

    Running statistics of torch's own norms are left out: :func:`without_statistics` hides them, or they are shared.
    What a forward assigns to an attribute that is not a buffer stays: it may be what the caller wants to read.

    Args:
        base: The network.
        statistics: Names of the norms that keep running statistics.
    """
    copies: dict[int, Tensor] = {}
    undo: list[tuple[dict[str, Any], str, Any, Any]] = []
    for name, module in base.named_modules():
        attributes = module.__dict__
        if module._buffers:
            ours = _STATISTICS if name in statistics else ()
            shown = {key: one if key in ours else _copy(one, copies) for key, one in module._buffers.items()}
            undo.append((attributes, "_buffers", module._buffers, shown))
        undo += [
            (attributes, key, one, _copy(one, copies)) for key, one in attributes.items() if _is_state(one)
        ]
    for attributes, key, _, shown in undo:
        attributes[key] = shown
    try:
        yield
    finally:
        for attributes, key, kept, shown in undo:
            if attributes.get(key) is shown:
                attributes[key] = kept


def _is_state(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_leaf and not value.requires_grad


def _copy(tensor: Tensor | None, copies: dict[int, Tensor]) -> Tensor | None:
    """One copy for all places that hold a tensor."""
    if tensor is not None and id(tensor) not in copies:
        copies[id(tensor)] = tensor.clone()
    return copies[id(tensor)] if tensor is not None else None


@contextmanager
def overlaid(settings: Iterable[Setting]) -> Iterator[None]:
    """Show the values at their places inside a ``with`` block, also if it ends with an error."""
    undo: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for (module, attribute), value in settings:
            attributes = module.__dict__
            undo.append((attributes, attribute, attributes.get(attribute, _ABSENT)))
            attributes[attribute] = value
        yield
    finally:
        for attributes, attribute, value in reversed(undo):
            if value is _ABSENT:
                del attributes[attribute]
            else:
                attributes[attribute] = value
