"""Which tensor of a file is which of the network's: strict, every name of both sides used once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from netaug.core.errors import CheckpointError
from netaug.weights.files import WeightsFile
from netaug.weights.head import ClassAxis
from netaug.weights.layouts import LAYOUTS, RELEASED, Layout
from netaug.weights.prefixes import View, summary, views
from netaug.weights.widened import first_channels

_COUNTER = ".num_batches_tracked"  # of batch norms; older programs do not save it, and nothing here reads it
_SHOWN = 3


@dataclass(frozen=True)
class Match:
    """Holds the tensors of a file that were matched to a network.

    Args:
        layout: How the file names them.
        tensors: By the network's names, in its shapes.
        widened: Whether they were the first channels of a wider network.
        part: What is in front of the names of averaged weights; else empty.
        others: What is in front of the names of other copies.
        unused: What of the file is not in the network, such as ``1 of criterion``.
        wide: If ``widened``, the whole tensors by the network's names; else empty.
    """

    layout: Layout
    tensors: dict[str, Tensor]
    widened: bool = False
    part: str = ""
    others: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    wide: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass
class _Comparison:
    """Describes a file read in one layout: ``names`` maps the network's names to the file's, and keys ``tensors``."""

    layout: Layout
    names: dict[str, str]
    own: Mapping[str, Tensor]
    view: View
    tensors: dict[str, Tensor] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)  # own names
    reshaped: list[str] = field(default_factory=list)  # own names
    unexpected: list[str] = field(default_factory=list)  # names in the file

    @property
    def given(self) -> Mapping[str, Tensor]:
        return self.view.tensors

    @property
    def complete(self) -> bool:
        """Whether every tensor of the network is there, and nothing else under this start of names."""
        return not (self.missing or self.unexpected or self.reshaped)

    @property
    def fits(self) -> bool:
        """Whether it is also known to be the network, and not one of several in the file."""
        return self.complete and (self.view.is_wrapped or not summary(self.view.beside))

    def differences(self) -> Iterator[str]:
        """Write what does not fit, in the file's names: how many, and the first few."""
        given = {name: tuple(tensor.shape) for name, tensor in self.given.items()}
        our_shapes = {name: tuple(tensor.shape) for name, tensor in self.own.items()}
        for kind, shown in (
            ("missing", [f"{self.names[name]} {our_shapes[name]}" for name in self.missing]),
            ("unexpected", [f"{name} {given[name]}" for name in self.unexpected]),
            (
                "of another shape",
                [
                    f"{self.names[name]}: file {given[self.names[name]]}, network {our_shapes[name]}"
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
    fitting = [comparison for comparison in tried if comparison.fits]
    if fitting:
        return _checked(model, file, _chosen(file, fitting))
    for comparison in tried:
        if comparison.layout is RELEASED and not comparison.missing and not comparison.unexpected:
            # The released code saves the widened network, whose first channels are the tiny one.
            sliced = first_channels(model.state_dict(), comparison.tensors)
            if sliced is not None:
                return _checked(
                    model, file, Match(comparison.layout, sliced, widened=True, wide=comparison.tensors)
                )
    raise _mismatch(name or type(model).__name__, file, tried, head or {})


def _comparisons(model: nn.Module, file: WeightsFile, kept: Collection[str]) -> Iterator[_Comparison]:
    our_tensors = model.state_dict()
    for layout in LAYOUTS:
        names = layout.names(model)
        if names is not None:
            for view in views(file.tensors, names.values()):
                yield _compare(our_tensors, layout, names, view, kept)


def _chosen(file: WeightsFile, fitting: list[_Comparison]) -> Match:
    """Return the best of the copies in a file: averaged weights, if there are some; else there is but one."""
    best, *others = fitting
    names = tuple(comparison.view.prefix.rstrip(".") or "the names without a start" for comparison in fitting)
    if sum(comparison.view.averaged == best.view.averaged for comparison in fitting) > 1:
        raise _several(file, names)
    starts = tuple(comparison.view.prefix for comparison in others if comparison.view.prefix)
    beside = [name for name in best.view.beside if not name.startswith(starts)]
    part = names[0] if best.view.averaged else ""
    return Match(best.layout, best.tensors, part=part, others=names[1:], unused=summary(beside))


def _several(file: WeightsFile, names: Sequence[str]) -> CheckpointError:
    """Return the error for copies of which none is known to be the better one."""
    part = f"{file.part}." * bool(file.part) + names[0]
    return CheckpointError(
        f"'{file.path}' holds the network several times, and does not say which is the one.",
        got=f"all its names after {', '.join(names)}",
        fix=f"name one: `netaug import-weights --part {part}`, or load_weights(..., part={part!r})",
    )


def _compare(
    our_tensors: Mapping[str, Tensor],
    layout: Layout,
    names: dict[str, str],
    view: View,
    kept: Collection[str],
) -> _Comparison:
    comparison, tensors = _Comparison(layout, names, our_tensors, view), view.tensors
    comparison.unexpected = [name for name in tensors if name not in set(names.values())]
    for name, theirs in names.items():
        if name in kept:
            continue
        if theirs not in tensors:
            if not name.endswith(_COUNTER):
                comparison.missing.append(name)
            continue
        tensor = _as_linear(tensors[theirs], our_tensors[name]) if layout is RELEASED else tensors[theirs]
        comparison.tensors[name] = tensor
        if tensor.shape != our_tensors[name].shape:
            comparison.reshaped.append(name)
    return comparison


def _as_linear(tensor: Tensor, ours: Tensor) -> Tensor:
    """Reshape a 1x1 conv behind the pool to the linear layer that it is."""
    return tensor.flatten(1) if tensor.ndim == 4 and ours.ndim == 2 and tensor.shape[2:] == (1, 1) else tensor


def _checked(model: nn.Module, file: WeightsFile, matched: Match) -> Match:
    """Return the match, if its values can be weights."""
    our_tensors = model.state_dict()
    for name, tensor in matched.tensors.items():
        if (
            tensor.is_floating_point() != our_tensors[name].is_floating_point()
            or tensor.layout != torch.strided
        ):
            raise CheckpointError(
                f"'{file.path}' holds a tensor of another kind: {name}.",
                got=f"{tensor.dtype}, {tensor.layout}",
                allowed=f"{our_tensors[name].dtype}, or another floating-point type"
                if our_tensors[name].is_floating_point()
                else f"{our_tensors[name].dtype}, or another whole-number type",
            )
        count = int((~torch.isfinite(tensor.float())).sum()) if tensor.is_floating_point() else 0
        if count:
            raise CheckpointError(
                f"'{file.path}' holds values that are not numbers.",
                got=f"{count} of {tensor.numel()} are NaN or infinite in {name}",
                allowed="finite weights",
                fix="the training that wrote it went wrong; take an earlier checkpoint",
            )
    return matched


def _counts(tried: list[_Comparison]) -> list[str]:
    """Write, per layout, how many of the network's tensors were found at best."""
    by_layout = {
        layout.about: [comparison for comparison in tried if comparison.layout is layout]
        for layout in LAYOUTS
    }
    return [
        f"{about}, {max(len(comparison.tensors) for comparison in comparisons)} of {len(comparisons[0].names)} found"
        if comparisons
        else f"{about}, which has none for this network"
        for about, comparisons in by_layout.items()
    ]


def _mismatch(
    name: str, file: WeightsFile, tried: list[_Comparison], head: Mapping[str, ClassAxis]
) -> CheckpointError:
    nearest = max(tried, key=lambda comparison: len(comparison.tensors))
    complete = [comparison.view.prefix.rstrip(".") for comparison in tried if comparison.complete]
    if complete:
        return _several(file, complete)
    part = f" (its {file.part!r})" if file.part else ""
    only_shapes = not (nearest.missing or nearest.unexpected)
    classes = _other_classes(nearest, head) if only_shapes else None
    if classes is not None:
        return CheckpointError(
            f"the classifier in '{file.path}'{part} is for other classes than {name} has here.",
            got=f"{classes[1]} classes",
            allowed=classes[0],
            fix="--model.new_head true starts with a newly initialized classifier",
        )
    if nearest.missing and not nearest.unexpected and (fix := _about_missing(nearest, head)) is not None:
        return CheckpointError(
            f"'{file.path}'{part} does not have all of {name}: a part of the network is missing.",
            got="; ".join(nearest.differences()),
            fix=fix,
        )
    fix = "the network has another width or other options than the file's: check model.name and model.options"
    if file.others and not only_shapes:
        fix = f"the file also has {', '.join(file.others)}: `netaug import-weights --part {file.others[0]}` takes it"
    return CheckpointError(
        f"'{file.path}'{part} does not fit {name}.",
        got="; ".join(nearest.differences()),
        allowed=f"the network's own names and shapes. Tried: {'; '.join(_counts(tried))}",
        fix=fix if only_shapes or file.others else None,
    )


def _about_missing(comparison: _Comparison, head: Mapping[str, ClassAxis]) -> str | None:
    """Say what to do about missing tensors, if they are those of the classifier, or of one layer."""
    new_head = "--model.new_head true starts with a newly initialized classifier"
    if head:
        absent = {*comparison.missing, *comparison.reshaped} <= set(head)
        return f"the file has no classifier; `netaug train` and `finetune`: {new_head}" if absent else None
    tops = {name.rpartition(".")[0] for name in comparison.missing}
    if comparison.reshaped or len(tops) != 1:
        return None
    return (
        f"keep=['{tops.pop()}.*'] leaves it as it is; if it is the classifier, in the command line {new_head}"
    )


def _other_classes(comparison: _Comparison, head: Mapping[str, ClassAxis]) -> tuple[int, int] | None:
    """Return our number of classes and the file's, if that is all that differs."""
    differing = {name: axis for name, axis in head.items() if name in comparison.reshaped}
    counts = {
        tuple(
            axis.classes(tensor.shape[axis.dim]) or 0
            for tensor in (comparison.own[name], comparison.tensors[name])
        )
        for name, axis in differing.items()
        if comparison.tensors[name].ndim == comparison.own[name].ndim
    }
    rest = {name: tensor for name, tensor in comparison.tensors.items() if name not in head}
    fits = set(comparison.reshaped) <= set(head) or (
        comparison.layout is RELEASED and first_channels(comparison.own, rest) is not None
    )
    ours, theirs = counts.pop() if fits and len(counts) == 1 else (0, 0)
    return (ours, theirs) if ours != theirs and theirs else None
