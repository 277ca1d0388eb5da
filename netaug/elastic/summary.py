"""A supernet in about ten lines, for `print` and notebooks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netaug.elastic.supernet import Supernet

_REASONS = 3
"""Reasons of frozen groups that are shown, the most frequent ones."""
_WIDTH = 110


def summary(supernet: Supernet) -> str:
    """Return class, sizes, width groups and what is frozen of a supernet; its layers are those of ``supernet.base``."""
    groups = supernet.groups.values()
    frozen = [group for group in groups if group.role == "frozen"]
    roles = Counter(group.role for group in groups if group.role != "frozen")
    kinds = ", ".join(f"{count} {role}" for role, count in roles.items())
    lines = [
        f"Supernet of {type(supernet.base).__name__}",
        f"  base network: {_sizes(supernet, {})}; it is supernet.base, and extract() returns a copy of it",
        f"  widest:       {_sizes(supernet, supernet.plan.widest)}",
        f"  now:          {_present(supernet)}",
        f"  width groups: {len(groups) - len(frozen)} widen ({kinds}), {len(frozen)} frozen",
    ]
    reasons = Counter(group.reason for group in frozen).most_common()
    for reason, count in reasons[:_REASONS]:
        first = next(group.name for group in frozen if group.reason == reason)
        others = f" and {count - 1} more" if count > 1 else ""
        lines.append(_cut(f"    {first}{others}: {reason}"))
    if len(reasons) > _REASONS:
        lines.append(
            f"    {len(reasons) - _REASONS} further reasons: supernet.groups has each with its group"
        )
    return "\n".join(lines)


def short_count(count: float) -> str:
    """Write a count with three digits and a unit, such as ``2.31 M``."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= limit:
            return f"{count / limit:.2f} {unit}"
    return f"{count:.0f}"


def _sizes(supernet: Supernet, widths: dict[str, int]) -> str:
    macs, base = supernet.macs(widths), supernet.macs({})
    times = f" ({macs / base:.1f} x base)" if widths and base else ""
    return f"{short_count(supernet.num_parameters(widths))} parameters, {short_count(macs)} MACs{times}"


def _present(supernet: Supernet) -> str:
    widths = supernet.widths
    if widths == supernet.plan.base_widths:
        return "base widths"
    return "the widest network" if widths == supernet.plan.widest else _sizes(supernet, widths)


def _cut(line: str) -> str:
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"
