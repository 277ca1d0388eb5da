"""Which tensor of a file is which of the network's: strict, every name of both sides used once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from netaug.errors import CheckpointError
from netaug.weights.axes import ClassAxis
from netaug.weights.files import WeightsFile
from netaug.weights.layouts import LAYOUTS, RELEASED, Layout
from netaug.weights.widened import first_channels

_WRAPPERS = ("module.", "_orig_mod.", "model.")  # DistributedDataParallel, torch.compile, Lightning
_COUNTER = ".num_batches_tracked"  # of batch norms; older programs do not save it, and nothing here reads it
_SHOWN = 3


@dataclass(frozen=True)
class Match:
    """Tensors for a network.

    Args:
        layout: How the file names them.
        tensors: By the network's names, in its shapes.
        widened: Whether they were the first channels of a wider network.
    """

    layout: Layout
    tensors: dict[str, Tensor]
    widened: bool = False


@dataclass
class _Comparison:
    """A file seen in one layout; ``names`` are the network's own to the file's, ``tensors`` are by own name."""

    layout: Layout
    names: dict[str, str]
    own: Mapping[str, Tensor]
    given: Mapping[str, Tensor]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)  # own names
    reshaped: list[str] = field(default_factory=list)  # own names
    unexpected: list[str] = field(default_factory=list)  # names in the file

    @property
    def fits(self) -> bool:
        return not (self.missing or self.unexpected or self.reshaped)

    def differences(self) -> Iterator[str]:
        """What does not fit, in words and in the file's names: how many, and the first few."""
        given = {name: tuple(tensor.shape) for name, tensor in self.given.items()}
        own = {name: tuple(tensor.shape) for name, tensor in self.own.items()}
        for kind, shown in (
            ("missing", [f"{self.names[name]} {own[name]}" for name in self.missing]),
            ("unexpected", [f"{name} {given[name]}" for name in self.unexpected]),
            (
                "of another shape",
                [
                    f"{self.names[name]}: file {given[self.names[name]]}, network {own[name]}"
                    for name in self.reshaped
                ],
            ),
        ):
            if shown:
                more = ", ..." if len(shown) > _SHOWN else ""
                yield f"{len(shown)} {kind}: {', '.join(shown[:_SHOWN])}{more}"


def match(
    model: nn.Module,
    file: WeightsFile,
    *,
    kept: Collection[str] = (),
    head: Mapping[str, ClassAxis] | None = None,
    name: str | None = None,
) -> Match:
    """Find the tensors of a file that are a network's.

    Args:
        model: The network; it is not changed.
        file: Where from.
        kept: Names of the network that the file need not have.
        head: Names of the network whose size along a dimension follows the number of classes, for messages.
        name: What the network is called in messages; None takes its class.

    Raises:
        CheckpointError: No layout fits exactly, or a value cannot be a weight.
    """
    tried = list(_comparisons(model, file, kept))
    for found in tried:
        if found.fits:
            return _checked(model, file, Match(found.layout, found.tensors))
    for found in tried:
        if found.layout is RELEASED and not found.missing and not found.unexpected:
            sliced = first_channels(model.state_dict(), found.tensors)
            if sliced is not None:
                return _checked(model, file, Match(found.layout, sliced, widened=True))
    raise _mismatch(name or type(model).__name__, file, tried, head or {})


def _comparisons(model: nn.Module, file: WeightsFile, kept: Collection[str]) -> Iterator[_Comparison]:
    own = model.state_dict()
    for tensors in views(file.tensors):
        for layout in LAYOUTS:
            names = layout.names(model)
            if names is not None:
                yield _compare(own, layout, names, tensors, kept)


def views(tensors: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The names as they are, then without what wrappers put in front of every one."""
    while True:
        yield tensors
        prefix = next((p for p in _WRAPPERS if all(name.startswith(p) for name in tensors)), None)
        if prefix is None:
            return
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def _compare(
    own: Mapping[str, Tensor],
    layout: Layout,
    names: dict[str, str],
    tensors: Mapping[str, Tensor],
    kept: Collection[str],
) -> _Comparison:
    found = _Comparison(layout, names, own, tensors)
    found.unexpected = [name for name in tensors if name not in set(names.values())]
    for name, theirs in names.items():
        if name in kept:
            continue
        if theirs not in tensors:
            if not name.endswith(_COUNTER):
                found.missing.append(name)
            continue
        tensor = _as_linear(tensors[theirs], own[name]) if layout is RELEASED else tensors[theirs]
        found.tensors[name] = tensor
        if tensor.shape != own[name].shape:
            found.reshaped.append(name)
    return found


def _as_linear(tensor: Tensor, own: Tensor) -> Tensor:
    """A 1x1 conv behind the pool is a linear layer."""
    return tensor.flatten(1) if tensor.ndim == 4 and own.ndim == 2 and tensor.shape[2:] == (1, 1) else tensor


def _checked(model: nn.Module, file: WeightsFile, found: Match) -> Match:
    """The match, if its values can be weights."""
    own = model.state_dict()
    for name, tensor in found.tensors.items():
        if tensor.is_floating_point() != own[name].is_floating_point() or tensor.layout != torch.strided:
            raise CheckpointError(
                f"'{file.path}' holds a tensor of another kind: {name}.",
                got=f"{tensor.dtype}, {tensor.layout}",
                allowed=f"{own[name].dtype}, or another floating-point type"
                if own[name].is_floating_point()
                else f"{own[name].dtype}, or another whole-number type",
            )
        count = int((~torch.isfinite(tensor.float())).sum()) if tensor.is_floating_point() else 0
        if count:
            raise CheckpointError(
                f"'{file.path}' holds values that are not numbers.",
                got=f"{count} of {tensor.numel()} are NaN or infinite in {name}",
                allowed="finite weights",
                fix="the training that wrote it went wrong; take an earlier checkpoint",
            )
    return found


def _mismatch(
    name: str, file: WeightsFile, tried: list[_Comparison], head: Mapping[str, ClassAxis]
) -> CheckpointError:
    best = {layout.about: [one for one in tried if one.layout is layout] for layout in LAYOUTS}
    counts = [
        f"{about}, {max(len(one.tensors) for one in ones)} of {len(ones[0].names)} found"
        if ones
        else f"{about}, which has none for this network"
        for about, ones in best.items()
    ]
    found = max(tried, key=lambda one: len(one.tensors))
    part = f" (its {file.part!r})" if file.part else ""
    only_shapes = not (found.missing or found.unexpected)
    classes = _other_classes(found, head) if only_shapes else None
    if classes is not None:
        return CheckpointError(
            f"the classifier in '{file.path}'{part} is for other classes than {name} has here.",
            got=f"{classes[1]} classes",
            allowed=classes[0],
            fix="--model.new_head true starts with a classifier that is drawn anew",
        )
    fix = "the network has another width or other options than the file's: check model.name and model.options"
    return CheckpointError(
        f"'{file.path}'{part} does not fit {name}.",
        got="; ".join(found.differences()),
        allowed=f"the network's own names and shapes. Tried: {'; '.join(counts)}",
        fix=fix if only_shapes else None,
    )


def _other_classes(found: _Comparison, head: Mapping[str, ClassAxis]) -> tuple[int, int] | None:
    """Our number of classes and the file's, if that is all that differs."""
    differing = {name: axis for name, axis in head.items() if name in found.reshaped}
    counts = {
        tuple(axis.classes(tensor.shape[axis.dim]) or 0 for tensor in (found.own[name], found.tensors[name]))
        for name, axis in differing.items()
        if found.tensors[name].ndim == found.own[name].ndim
    }
    rest = {name: tensor for name, tensor in found.tensors.items() if name not in head}
    fits = set(found.reshaped) <= set(head) or (
        found.layout is RELEASED and first_channels(found.own, rest) is not None
    )
    ours, theirs = counts.pop() if fits and len(counts) == 1 else (0, 0)
    return (ours, theirs) if ours != theirs and theirs else None
