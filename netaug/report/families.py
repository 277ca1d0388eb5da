"""Group the arms of a comparison: a reference, what is compared with it, and its longer versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netaug.compare.formatting import seconds, si
from netaug.compare.results import ArmRow, Comparison

MOST_LINES = 7
"""Arms in one picture; more are spread over several, each with the reference."""


@dataclass(frozen=True)
class Family:
    """Group arms that are shown together; the position of an arm is the number of its style.

    Args:
        name: The case they share, or their reference where there are several families; empty for the only one.
        arms: The reference, then each arm followed by the longer references that were trained for it.
        panels: The same, in portions that one picture can hold; the reference is in each.
    """

    name: str
    arms: tuple[str, ...]
    panels: tuple[tuple[str, ...], ...]

    def styles(self, arms: Sequence[str]) -> list[tuple[int, str]]:
        """Return some of its arms, each with the number of its style."""
        return [(self.arms.index(arm), arm) for arm in arms]


def families(comparison: Comparison) -> list[Family]:
    """Return the families in the order of the plan; stages are in none."""
    rows = {row.arm: row for row in comparison.rows if not row.stage}
    groups: dict[str, list[ArmRow]] = {}
    for row in rows.values():
        groups.setdefault(_root(rows, row.arm), []).append(row)
    families_of_plan = []
    for root, members in groups.items():
        units = _units(members, root)
        arms = tuple(arm for unit in units for arm in unit)
        name = "" if len(groups) == 1 else root.rpartition(".")[0] or root
        families_of_plan.append(Family(name, arms, tuple(_panels(units, root))))
    return families_of_plan


def arm_styles(comparison: Comparison) -> dict[str, int]:
    """Return the number of each arm's style; stages have none."""
    return {arm: number for family in families(comparison) for number, arm in enumerate(family.arms)}


def first_arms(comparison: Comparison) -> set[str]:
    """Return the arms that begin a family, but for the first family."""
    return {family.arms[0] for family in families(comparison)[1:]}


def longer_notes(comparison: Comparison) -> list[str]:
    """Return what each longer reference is and for which arms it was trained, a sentence each."""
    planned = {arm.name for arm in comparison.request.arms}
    notes = []
    for row in comparison.rows:
        if row.arm in planned:
            continue
        times = [other for other in comparison.rows if other.long == row.arm]
        macs = [other for other in comparison.rows if other.macs_arm == row.arm]
        costs = [f"the training time of {_listed(times, 'train_seconds')}"] if times else []
        costs += [f"the MACs of {_listed(macs, 'train_macs')}"] if macs else []
        notes.append(
            f"{row.arm} is {row.reference} with {row.epochs} epochs, for {' and for '.join(costs) or 'its cost'}; "
            f"it took {seconds(row.train_seconds)} and {si(row.train_macs)} MACs."
        )
    return notes


def _listed(rows: Sequence[ArmRow], cost: str) -> str:
    form = seconds if cost == "train_seconds" else si
    return ", ".join(f"{row.arm} ({form(getattr(row, cost))})" for row in rows)


def _root(rows: dict[str, ArmRow], arm: str) -> str:
    """Return the arm that is reached by going from reference to reference; it need not have been run."""
    seen = [arm]
    # `seen` ends the walk on a damaged record whose references form a circle
    while (row := rows.get(seen[-1])) is not None and row.reference and row.reference not in seen:
        seen.append(row.reference)
    return seen[-1]


def _units(members: Sequence[ArmRow], root: str) -> list[list[str]]:
    """Return the reference alone, then arms each with what was trained longer for them."""
    names = {row.arm for row in members}
    longer = {name for row in members for name in (row.long, row.macs_arm) if name in names and name != root}
    units, placed = [], set[str]()
    for row in sorted(members, key=lambda row: row.arm != root):
        if row.arm in longer or row.arm in placed:
            continue
        followers = [name for name in (row.long, row.macs_arm) if name in longer and name not in placed]
        unit = [row.arm, *dict.fromkeys(followers)]
        placed.update(unit)
        units.append([str(name) for name in unit])
    rest = [row.arm for row in members if row.arm not in placed]
    return [*units, *([name] for name in rest)]


def _panels(units: Sequence[Sequence[str]], root: str) -> list[tuple[str, ...]]:
    if sum(map(len, units)) <= MOST_LINES:
        return [tuple(arm for unit in units for arm in unit)]
    panels: list[list[str]] = []
    for unit in units:
        if unit[0] == root:
            continue
        # an arm and what was trained longer for it stay in one picture
        if not panels or len(panels[-1]) + len(unit) > MOST_LINES:
            panels.append([root] if units[0][0] == root else [])
        panels[-1] += unit
    return [tuple(panel) for panel in panels]
