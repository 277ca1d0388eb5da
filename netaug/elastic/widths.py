"""From drawn ratios to channels: the paper's two kinds of width, and which of them a step augments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from netaug.elastic.plan import Group
from netaug.elastic.settings import AugmentConfig
from netaug.seeding import generator


def resolve(groups: Iterable[Group], ratios: Mapping[str, float]) -> dict[str, int]:
    """Channels of every group for the drawn ratios.

    Args:
        groups: Sources before the groups that follow them.
        ratios: Drawn multiplier per group; 1.0 where none is given.

    Returns:
        Channels per group, rounded to whole channels, never below base.
    """
    groups = list(groups)
    base = {group.name: group.base for group in groups}
    widths: dict[str, int] = {}
    for group in groups:
        growth = 1.0
        if group.source:
            actual = sum(widths.get(name, base[name]) for name in group.source)
            growth = actual / sum(base[name] for name in group.source)
        wanted = int(group.base * growth * ratios.get(group.name, 1.0) + 0.5)
        widths[group.name] = max(group.base, wanted) if group.role != "frozen" else group.base
    return widths


def draw(groups: Iterable[Group], config: AugmentConfig, step: int, progress: float) -> dict[str, int]:
    """Draw the widths of one step: every group by itself, uniformly, 1.0 included; keyed by seed and step."""
    groups = list(groups)
    random = generator(config.seed, "widths", step)
    ratios = {}
    for group in groups:
        choice = int(torch.randint(len(group.ratios), (), generator=random))
        ratios[group.name] = group.ratios[choice] if is_augmented(group.role, config, progress) else 1.0
    widths = resolve(groups, ratios)
    return {group.name: widths[group.name] for group in groups if group.role != "frozen"}


def is_augmented(role: str, config: AugmentConfig, progress: float) -> bool:
    """Whether groups of this role still widen at this progress in [0, 1]."""
    until = {"width": config.width_until, "expand": config.expand_until}.get(role, 0.0)
    return progress < until or until == 1.0
