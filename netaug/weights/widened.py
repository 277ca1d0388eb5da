"""Training checkpoints of the paper's released code: the widest network, whose first channels are ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

_SLACK = 0.5 + 1e-6  # the released code rounds to whole channels
_CHANNEL_DIMS = 2  # outputs and inputs; the rest of a conv's shape is its kernel

Shapes = dict[str, tuple[tuple[int, ...], tuple[int, ...]]]  # name: ours, the file's
Counts = tuple[float, int]  # channels of our network (times what is known), channels in the file


def first_channels(base: Mapping[str, Tensor], widest: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Return the tiny network inside a widened one, if that is what the tensors are.

    All widths must follow from one width multiplier and all hidden channels from one expand multiplier, each rounded
    to whole channels; else a larger network of the same family would be cut into networks that never worked together.

    Args:
        base: Tensors of our network, for their shapes; names as in :class:`netaug.models.blocks.StagedNet`.
        widest: Those of the file by the same names; the classifier may be left out.

    Returns:
        Slices of the file's tensors in our shapes, or None. Their batch statistics are the tiny network's own: the
        released code estimates them at its width before every save.
    """
    shapes = {name: (tuple(base[name].shape), tuple(tensor.shape)) for name, tensor in widest.items()}
    if not all(_contains(theirs, ours) for ours, theirs in shapes.values()):
        return None
    if not _same_ends(shapes):
        return None
    widths = _multipliers(_widths(shapes))
    expands = _multipliers(_hidden(shapes))
    if widths is None or expands is None or not _gates_follow(shapes):
        return None
    return {
        name: tensor[tuple(slice(size) for size in shapes[name][0])].contiguous()
        for name, tensor in widest.items()
    }


def _contains(theirs: tuple[int, ...], ours: tuple[int, ...]) -> bool:
    return (
        len(theirs) == len(ours)
        and all(a >= b for a, b in zip(theirs, ours, strict=True))
        and theirs[_CHANNEL_DIMS:] == ours[_CHANNEL_DIMS:]
    )


def _same_ends(shapes: Shapes) -> bool:
    """Whether image channels and classes are equal."""
    ours, theirs = shapes["stem.conv.weight"]
    classes = shapes.get("classifier.bias", ((), ()))
    return ours[1] == theirs[1] and classes[0] == classes[1]


def _widths(shapes: Shapes) -> list[Counts]:
    """Return channels that follow the width multiplier: those of the stem, each block, the last conv and the neck."""
    return [
        (ours[0], theirs[0])
        for name, (ours, theirs) in shapes.items()
        if name in ("stem.norm.weight", "last.norm.weight", "neck.0.bias")
        or name.endswith(".project.norm.weight")
    ]


def _hidden(shapes: Shapes) -> list[Counts]:
    """Return hidden channels beside those that the block's expand ratio gives at the file's own input width."""
    return [
        (theirs[1] * ours[0] / ours[1], theirs[0])
        for name, (ours, theirs) in shapes.items()
        if name.endswith(".expand.conv.weight")
    ]


def _gates_follow(shapes: Shapes) -> bool:
    return all(
        abs(theirs[0] - theirs[1] * ours[0] / ours[1]) <= _SLACK
        for name, (ours, theirs) in shapes.items()
        if name.endswith(".gate.fc1.weight")
    )


def _multipliers(counts: Iterable[Counts]) -> tuple[float, float] | None:
    """Return the range of multipliers, at least 1, that explain every count; None if there is none."""
    counts = list(counts)
    low = max((theirs - _SLACK) / ours for ours, theirs in counts)
    high = min((theirs + _SLACK) / ours for ours, theirs in counts)
    return (low, high) if low <= high and high >= 1 else None
