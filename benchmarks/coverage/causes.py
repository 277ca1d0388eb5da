"""Count why channels stay at base width: the reasons of frozen groups, free of names and numbers, to be counted."""

from __future__ import annotations

import re
from collections import Counter

from torch import nn

from netaug import Supernet

OUTPUT = "output of the network"
IN_GROUPS = "is a convolution in N groups"
AFTER_FROZEN = "comes after channels that are frozen"
NO_LAYER = "matrix products and weights that are computed"


def cause(reason: str) -> str:
    """Return a reason without the place it was found at: equal for all models that it holds back."""
    operator = re.search(r"uses '([^']*)', which has no rule", reason)
    if operator:
        return f"no rule for '{operator[1]}'"
    text = re.sub(r"^'[^']*' ", "", reason)
    text = re.sub(r"'[^']*[./][^']*'", "'...'", text)
    text = re.sub(r"\[[\d, ()\[\]]+\]|\([\d, ()]+\)", "[...]", text)
    return re.sub(r"\d+", "N", text)[:160]


def frozen_causes(supernet: Supernet) -> dict[str, int]:
    """Return how many frozen groups each cause holds, most frequent first; the output always is one."""
    groups = supernet.groups.values()
    counted = Counter(cause(group.reason) for group in groups if group.role == "frozen")
    return dict(counted.most_common())


def widened_macs(supernet: Supernet, macs: dict[str, int]) -> tuple[float, dict[str, float]]:
    """Return the fraction of the base network's MACs in layers that widen, and fractions of the rest by cause.

    Args:
        supernet: An augmented model.
        macs: Its MACs by module name, ``""`` for all of it.
    """
    groups, total = supernet.groups, max(macs[""], 1)
    widened: set[str] = set()
    held: dict[str, str] = {}
    for layer in supernet.plan.layers:
        module = layer.weight.rpartition(".")[0]
        around = [groups[name] for name in (*layer.target, *layer.source)]
        if any(group.most > group.base for group in around):
            widened.add(module)
        else:
            reasons = [cause(group.reason) for group in around if group.reason]
            inner = [reason for reason in reasons if reason != OUTPUT]
            held[module] = next(iter(inner or reasons), _ungrouped(supernet.base.get_submodule(module)))
    fraction = round(sum(macs.get(module, 0) for module in widened) / total, 4)
    lost: Counter[str] = Counter()
    for module, reason in held.items():
        if module not in widened:
            lost[reason] += macs.get(module, 0)
    lost[NO_LAYER] = max(0, total - sum(macs.get(module, 0) for module in widened | set(held)))
    return fraction, {reason: round(part / total, 4) for reason, part in lost.most_common() if part > 0}


def _ungrouped(module: nn.Module) -> str:
    """Return why a layer has no width group on either side."""
    return (
        IN_GROUPS
        if getattr(module, "groups", 1) not in (1, getattr(module, "in_channels", 1))
        else AFTER_FROZEN
    )
