"""Apply what users set for single groups: glob patterns, their multipliers, the limit on MACs.

The last pattern that matches a group counts, and one without effect is an error. A draw beyond
``max_macs_ratio`` times the base network's MACs is repeated, each try with its own key; then ratios fall
notch by notch, in a drawn order, until it fits. A multiplier that is beyond the limit even alone takes no
room. The widest network may still be beyond the limit, as the wide weights of two groups are stored though
never drawn together. There is no limit on parameters beside it: what is stored is the widest network,
whatever is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from netaug.core.errors import ConfigError
from netaug.elastic.plan import Group
from netaug.elastic.sampling import free_widths, is_augmented
from netaug.elastic.settings import AugmentConfig


def matching(pattern: str, members: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the groups that a glob pattern means: those of that name, else those of the modules that it matches.

    Args:
        pattern: Matches whole names; ``*`` also matches dots.
        members: Per group, its parameters as ``name[dim]``.
    """
    return [name for name in members if fnmatchcase(name, pattern)] or [
        name
        for name, parameters in members.items()
        if any(_is_inside(parameter.partition("[")[0], pattern) for parameter in parameters)
    ]


def with_own_ratios(groups: Sequence[Group], config: AugmentConfig) -> list[Group]:
    """Return the groups with the multipliers of ``config.groups`` where a pattern matches; the last one counts.

    Raises:
        ConfigError: A pattern matches no group, or none whose width is drawn.
    """
    members = {group.name: group.members for group in groups}
    by_name = {group.name: group for group in groups}
    for pattern, ratios in config.groups.items():
        inside = [name for name in by_name if _is_inside(name, pattern)]
        matched = [by_name[name] for name in inside or matching(pattern, members)]
        drawn = [group for group in matched if group.role in ("width", "expand")]
        if not drawn:
            raise _without_effect(pattern, matched, groups)
        by_name.update({group.name: replace(group, ratios=tuple(ratios)) for group in drawn})
    return [by_name[group.name] for group in groups]


def within_limit(
    groups: Iterable[Group], config: AugmentConfig, macs: Callable[[Mapping[str, int]], int]
) -> list[Group]:
    """Return the groups without the multipliers that ``max_macs_ratio`` rules out whatever else is drawn.

    Args:
        groups: Of the supernet without a limit, sources before those that follow them.
        config: Holds the limit.
        macs: Counts the network of some widths.

    Raises:
        ConfigError: Within the limit there is only the base network, at some time of the training.
    """
    groups = list(groups)
    if config.max_macs_ratio is None:
        return groups
    base = macs({})
    alone = {
        group.name: {ratio: macs(free_widths(groups, {group.name: ratio})) for ratio in group.ratios}
        for group in groups
    }
    _refuse_if_only_base_fits(groups, config, base, alone)
    most = config.max_macs_ratio * base
    pruned = []
    for group in groups:
        left = tuple(ratio for ratio in group.ratios if alone[group.name][ratio] <= most)
        pruned.append(replace(group, ratios=left or (1.0,)))  # 1.0 alone: the group is never drawn
    return pruned


def _is_inside(name: str, pattern: str) -> bool:
    """Whether a glob matches a name or any of the modules around it."""
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[: n + 1]), pattern) for n in range(len(parts)))


def _without_effect(pattern: str, matched: Sequence[Group], groups: Sequence[Group]) -> ConfigError:
    drawn = [group.name for group in groups if group.role in ("width", "expand")]
    reasons = [
        f"'{group.name}' " + (f"keeps its width: {group.reason}" if group.reason else _follows(group))
        for group in matched
    ]
    return ConfigError(
        f"groups['{pattern}'] matches no width group {'that is drawn' if matched else 'and no module with one'}.",
        got="; ".join(reasons) or None,
        allowed=", ".join(drawn) or "no group of this network is drawn",
        fix="see all groups with their modules with `netaug inspect --members`",
    )


def _follows(group: Group) -> str:
    return f"goes with {' + '.join(group.source)}"


def _refuse_if_only_base_fits(
    groups: Sequence[Group], config: AugmentConfig, base: int, alone: Mapping[str, Mapping[float, int]]
) -> None:
    """Refuse a limit within which, at some time of the training, nothing above base fits."""
    limit = config.max_macs_ratio
    assert limit is not None
    # Which roles are augmented changes at these times only.
    for progress in sorted(
        {max(config.start, time) for time in (0.0, config.width_until, config.expand_until)}
    ):
        roles = {role for role in ("width", "expand") if is_augmented(role, config, progress)}
        steps = {
            group.name: min(above)
            for group in groups
            if group.role in roles and (above := [x for x in alone[group.name].values() if x > base])
        }
        if steps and min(steps.values()) > limit * base:
            least = min(steps, key=lambda name: steps[name])
            late = progress > config.start
            when = f" when only {' and '.join(sorted(roles))} groups are augmented" if late else ""
            raise ConfigError(
                f"max_macs_ratio leaves nothing but the base network{when}.",
                got=f"{limit:g}",
                allowed=f"at least {math.ceil(steps[least] / base * 1000) / 1000:g}, "
                f"the smallest step, of group '{least}'",
                fix="raise it, or give smaller multipliers",
            )
