"""The names of a network's tensors as wrappers change them, and what is in a file beside the network."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from netaug.weights.parts import is_averaged

_WRAPPERS = {"module", "_orig_mod", "model", "net", "network", "timm_model", "online_model"}
"""What DistributedDataParallel, torch.compile, Lightning and others put in front of names."""
_INNER = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What torch puts into names where a layer inside is compiled, sharded or recomputed."""
_COUNTERS = {
    *("n_averaged", "num_updates", "updates", "decay", "initted", "step"),
    *("total_ops", "total_params"),
}
"""Single numbers that averages of weights and counters of MACs leave among the tensors."""
_OF_TRAINING = re.compile(r"(?:^|_)(?:criterions?|loss|losses|metrics?)(?:_|$)")


@dataclass(frozen=True)
class View:
    """Holds the tensors whose names start with one prefix.

    Args:
        prefix: The start, ending in a dot; empty for all tensors.
        tensors: By their names without it.
        beside: Names in the file of what is not under it, or belongs to a training and not to a network.
    """

    prefix: str
    tensors: dict[str, Tensor]
    beside: tuple[str, ...] = ()

    @property
    def averaged(self) -> bool:
        """Whether these are averaged weights."""
        return any(map(is_averaged, self.prefix.split(".")))

    @property
    def is_wrapped(self) -> bool:
        """Whether only wrappers that are known put something in front."""
        return all(part in _WRAPPERS or is_averaged(part) for part in self.prefix.split(".")[:-1])


def views(tensors: Mapping[str, Tensor], wanted: Collection[str]) -> list[View]:
    """Return the starts of names under which a network's tensors are found, the best first; at least one.

    Args:
        tensors: Of a file.
        wanted: The names that the network's tensors have in the file, without what wrappers put in front.
    """
    tensors, wanted = _without_inner(tensors, wanted), set(wanted)
    counts = Counter(name[:start] for name in tensors for start in _starts(name) if name[start:] in wanted)
    most = max(counts.values(), default=0)
    prefixes = [prefix for prefix, count in counts.items() if 2 * count >= most] or [""]
    candidates = [_view(tensors, prefix, wanted) for prefix in prefixes]
    return sorted(candidates, key=lambda view: (not view.averaged, not view.is_wrapped, -counts[view.prefix]))


def summary(names: Collection[str]) -> tuple[str, ...]:
    """Write how many tensors each part has; counters, which say nothing, are left out."""
    parts = Counter(name.split(".")[0] for name in names if name.split(".")[-1] not in _COUNTERS)
    return tuple(f"{count} of {part}" for part, count in parts.items())


def _starts(name: str) -> list[int]:
    """Return where the name could begin without what wrappers put in front."""
    return [0, *(position + 1 for position, character in enumerate(name) if character == ".")]


def _view(tensors: Mapping[str, Tensor], prefix: str, wanted: set[str]) -> View:
    tops = {name.split(".")[0] for name in wanted}
    inside, beside = {}, []
    for name, tensor in tensors.items():
        inner_name = name.removeprefix(prefix)
        of_training = inner_name not in wanted and _is_of_training(inner_name, tensor, tops)
        if name.startswith(prefix) and not of_training:
            inside[inner_name] = tensor
        else:
            beside.append(name)
    return View(prefix, inside, tuple(beside))


def _is_of_training(name: str, tensor: Tensor, tops: set[str]) -> bool:
    top, last = name.split(".")[0], name.split(".")[-1]
    if last in _COUNTERS and tensor.numel() == 1:
        return True
    return top not in tops and _OF_TRAINING.search(top) is not None


def _without_inner(tensors: Mapping[str, Tensor], wanted: Collection[str]) -> Mapping[str, Tensor]:
    if any(_INNER.search(name) for name in wanted):
        return tensors  # a network that is compiled itself
    plain = {_INNER.sub("", name): tensor for name, tensor in tensors.items()}
    return plain if len(plain) == len(tensors) else tensors
