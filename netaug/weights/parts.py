"""Where training programs put a network's tensors in a checkpoint, and which of several copies is taken."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

KNOWN = (
    *("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "model_state"),
    *("module", "net", "network", "params", "weights"),
)
"""Keys of checkpoints that hold the network, the likelier first."""

StateDict = Mapping[str, Tensor]
Trail = tuple[str, ...]

_AVERAGED = re.compile(r"(?:^|_)(?:ema|swa|avg|averaged?)(?:_|$)")
_NO_NETWORK = re.compile(r"optim|sched|scaler|callback|loop|rng|hyper")
_DEPTH = 4


def is_averaged(key: str) -> bool:
    """Whether a key is a name for averaged weights, such as ``ema`` or ``swa_model``: the better ones to start from."""
    return _AVERAGED.search(key.lower()) is not None


def state_dicts(content: Any) -> dict[Trail, StateDict]:
    """Return all mappings of names to tensors in a checkpoint, by the keys that lead to them, the best first.

    Averaged weights come before plain ones, then the known keys in their order, then others. A checkpoint can hold
    itself, so each mapping is looked at once.
    """
    by_trail = dict(_state_dicts(content, (), set()))
    return {trail: by_trail[trail] for trail in sorted(by_trail, key=rank)}


def rank(trail: Trail) -> tuple[bool, int]:
    """Return the order of parts, lowest first; parts of equal rank are a choice that the user has to make."""
    position = KNOWN.index(trail[0]) if trail and trail[0] in KNOWN else len(KNOWN)
    return not any(map(is_averaged, trail)), position if trail else -1


def _state_dicts(content: Any, trail: Trail, seen: set[int]) -> Iterator[tuple[Trail, StateDict]]:
    if is_state_dict(content):
        yield trail, content
        return
    if not isinstance(content, Mapping) or len(trail) > _DEPTH or id(content) in seen:
        return
    seen.add(id(content))
    for key, value in content.items():
        if isinstance(key, str) and not _NO_NETWORK.search(key.lower()):
            yield from _state_dicts(value, (*trail, key), seen)


def is_state_dict(content: Any) -> bool:
    """Whether it maps names to tensors, and not to counters alone."""
    return (
        isinstance(content, Mapping)
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items())
        and any(tensor.ndim for tensor in content.values())
    )


def inside(content: Any, part: str) -> Any:
    """Return what a checkpoint has under a key, under keys joined by dots, or under a common prefix of its names.

    Raises:
        KeyError: It has nothing of this name.
    """
    if isinstance(content, Mapping):
        if part in content:
            return content[part]
        first, _, rest = part.partition(".")
        if rest and isinstance(content.get(first), Mapping):
            return inside(content[first], rest)
        start = f"{part}."
        named = {
            key.removeprefix(start): tensor
            for key, tensor in content.items()
            if isinstance(key, str) and key.startswith(start)
        }
        if named:
            return named
        for trail, tensors in state_dicts(content).items():
            if trail:
                try:
                    return inside(tensors, part)
                except KeyError:
                    continue
    raise KeyError(part)
