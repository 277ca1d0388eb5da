"""List which arms are compared, and which cost both sides have in common.

Costs are called equal only if they were measured so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from netaug.compare.paired_statistics import Difference
from netaug.compare.results import COST_TOLERANCE, ArmRow, Comparison
from netaug.report.families import arm_styles, families


@dataclass(frozen=True)
class ArmPair:
    """Hold the comparison of one arm with another.

    Args:
        arm: The arm.
        against: What it is compared with.
        when: What both have the same of, or what they differ in.
        difference: ``arm`` minus ``against``, paired by seed.
    """

    arm: str
    against: str
    when: str
    difference: Difference


def differences(comparison: Comparison) -> list[ArmPair]:
    """Return what was compared with what, family by family; each pair of arms once."""
    rows = {row.arm: row for row in comparison.rows}
    by_pair: dict[tuple[str, str], ArmPair] = {}
    for row in comparison.rows:
        for other, difference, when in (
            (row.reference, row.vs_baseline, _epochs),
            (row.long, row.vs_long, _time),
            (row.macs_arm, row.vs_macs, _macs),
        ):
            if other not in rows or difference is None:
                continue
            at = when(row, rows[other])
            # the same arm may serve at equal epochs and at equal cost: that is one comparison, not two
            before = by_pair.get((row.arm, other))
            by_pair[row.arm, other] = (
                replace(before, when=f"{before.when}, {at}")
                if before
                else ArmPair(row.arm, other, at, difference)
            )
    position = arm_styles(comparison)
    family = {
        arm: number
        for number, family_of_arms in enumerate(families(comparison))
        for arm in family_of_arms.arms
    }
    return sorted(
        by_pair.values(),
        key=lambda pair: (family.get(pair.arm, -1), position.get(pair.arm, -1)),
    )


def _epochs(row: ArmRow, other: ArmRow) -> str:
    if row.epochs == other.epochs:
        return "equal epochs"
    return f"{row.epochs} against {other.epochs} epochs"


def _time(row: ArmRow, other: ArmRow) -> str:
    return _cost(row.train_seconds, other.train_seconds, "training time")


def _macs(row: ArmRow, other: ArmRow) -> str:
    return _cost(row.train_macs, other.train_macs, "MACs")


def _cost(cost: float | None, reference_cost: float | None, unit: str) -> str:
    """Return how two costs compare; they are called equal only if they were measured so."""
    if not cost or reference_cost is None or abs(reference_cost / cost - 1) <= COST_TOLERANCE:
        return f"equal {unit}"
    return f"against {reference_cost / cost:.2g} times the {unit}"
