"""Draw widths: from ratios to channels for the paper's two kinds of width, and which of them a step augments.

Every draw comes from a generator keyed by (seed, what, step), so nothing is stored or replayed when a run
resumes, and the number of processes does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch

from netaug.core.errors import ConfigError
from netaug.core.seeding import generator
from netaug.elastic.plan import Group
from netaug.elastic.settings import AugmentConfig

TRIES = 10
"""Networks drawn per step before one beyond the limit is made smaller instead."""


def resolve(groups: Iterable[Group], ratios: Mapping[str, float]) -> dict[str, int]:
    """Return the channels of every group for the drawn ratios.

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
            # The ratio applies to the width that the block's input has in this network, not in the base network.
            actual = sum(widths.get(name, base[name]) for name in group.source)
            growth = actual / sum(base[name] for name in group.source)
        # Halves up; round() takes them to even.
        wanted = int(group.base * growth * ratios.get(group.name, 1.0) + 0.5)
        widths[group.name] = max(group.base, wanted) if group.role != "frozen" else group.base
    return widths


def free_widths(groups: Sequence[Group], ratios: Mapping[str, float]) -> dict[str, int]:
    """Return the same for the groups that can widen, and only for these."""
    widths = resolve(groups, ratios)
    return {group.name: widths[group.name] for group in groups if group.role != "frozen"}


def widest_drawn(groups: Sequence[Group], config: AugmentConfig, progress: float) -> dict[str, int]:
    """Return the widths of the widest network that a step at this progress could draw without a limit of MACs."""
    ratios = {group.name: max(group.ratios) for group in groups if is_augmented(group.role, config, progress)}
    return free_widths(groups, ratios)


def draw(
    groups: Iterable[Group],
    config: AugmentConfig,
    step: int,
    progress: float,
    fits: Callable[[Mapping[str, int]], bool] | None = None,
    number: int = 0,
) -> dict[str, int]:
    """Draw the widths of one step: every group by itself, uniformly, 1.0 included; keyed by seed, step and number.

    Args:
        groups: Sources before the groups that follow them.
        config: Holds the seed and the schedule.
        step: Number of the training step, from 0.
        progress: Fraction of the training that is done, in [0, 1].
        fits: Whether a network of these widths is within the limit; base is. A network that is not is drawn
            again, up to :data:`TRIES` times; then ratios fall one notch at a time, in a drawn order, until it is.
        number: Of the network among those of the step, from 0; the first is the same however many there are.

    Returns:
        Channels per group that can widen, a function of the arguments alone. With ``config.palette`` the step draws one
        of so many networks, each of which is drawn as that of a step would be.
    """
    groups = list(groups)
    ratios: dict[str, float] = {}
    where = _key_of(config, step, number)
    for attempt in range(TRIES):
        # The first attempt has the key of a draw without a limit, so a limit changes only the draws beyond it.
        random = generator(config.seed, "widths", *where, *([attempt] if attempt else []))
        for group in groups:
            # Drawn also if the role is not augmented now: a group's draw then depends on no schedule.
            choice = int(torch.randint(len(group.ratios), (), generator=random))
            ratios[group.name] = group.ratios[choice] if is_augmented(group.role, config, progress) else 1.0
        widths = free_widths(groups, ratios)
        if fits is None or fits(widths):
            return widths
    assert fits is not None
    return _shrunk(groups, ratios, fits, generator(config.seed, "shrink", *where))


def _key_of(config: AugmentConfig, step: int, number: int) -> tuple[int | str, ...]:
    """Return what keys the widths of a step: its number, or with a palette that of the network that it draws."""
    where: tuple[int | str, ...] = (
        (step, "draw", number) if number else (step,)
    )  # the first is alike for any number
    if config.palette is None:
        return where
    random = generator(config.seed, "palette", *where)
    return "palette", int(torch.randint(config.palette, (), generator=random))


def _shrunk(
    groups: Sequence[Group],
    ratios: Mapping[str, float],
    fits: Callable[[Mapping[str, int]], bool],
    random: torch.Generator,
) -> dict[str, int]:
    """Return the first network within the limit as ratios fall in a random order; the last one is base."""
    ladders = {group.name: _ladder(group, ratios[group.name]) for group in groups}
    notches = [name for name, ladder in ladders.items() for _ in ladder[1:]]
    order = [notches[i] for i in torch.randperm(len(notches), generator=random)]

    def after(count: int) -> dict[str, int]:
        fallen = order[:count]
        return free_widths(groups, {name: ladder[fallen.count(name)] for name, ladder in ladders.items()})

    too_few, enough = 0, len(order)
    while enough - too_few > 1:  # a network of smaller ratios never has more MACs
        middle = (too_few + enough) // 2
        if fits(after(middle)):
            enough = middle
        else:
            too_few = middle
    return after(enough)


def _ladder(group: Group, ratio: float) -> list[float]:
    """Return this ratio and the smaller ones of the group, down to 1.0."""
    return sorted({ratio, 1.0, *(smaller for smaller in group.ratios if smaller < ratio)}, reverse=True)


def check_progress(progress: float) -> None:
    """Refuse a progress that is not the fraction of the training that is done.

    Raises:
        ConfigError: It is out of [0, 1].
    """
    if not 0.0 <= progress <= 1.0:
        raise ConfigError(
            "progress is the fraction of the training that is done.",
            got=progress,
            allowed="a number in [0, 1]",
            fix="step / total_steps",
        )


def is_augmented(role: str, config: AugmentConfig, progress: float) -> bool:
    """Whether groups of this role still widen at this progress in [0, 1]."""
    until = {"width": config.width_until, "expand": config.expand_until}.get(role, 0.0)
    return config.start <= progress and (progress < until or until == 1.0)
