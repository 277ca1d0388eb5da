"""Put the result of a plan's arms into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netaug.compare.arms import Plan
from netaug.compare.numbers import interval, plus_minus
from netaug.compare.results import ArmRow, Verdict
from netaug.compare.statistics import EFFECT_WORDS, Difference, holm, p_value

_FAMILY = 0.05
_NAMED = 6
"""Arms that a headline names of each kind."""


def judge_arms(plan: Plan, rows: Sequence[ArmRow], caveats: Sequence[str]) -> Verdict:
    """Put the rows of a plan's arms into words.

    Args:
        plan: The arms.
        rows: One per arm.
        caveats: What limits the answer anyway.
    """
    compared = [row for row in rows if row.reference is not None and row.vs_baseline is not None]
    compared = [row for row in compared if row.arm in {arm.name for arm in plan.arms}]
    sentences = [_sentence(row) for row in compared]
    for name in dict.fromkeys(arm.name for arm in plan.arms if not arm.stage):
        row = next((row for row in rows if row.arm == name), None)
        if row is None or row.n == 0:
            sentences.append(f"{name}: no run finished.")
    return Verdict(_headline(compared), tuple(sentences), (), (*_together(compared), *caveats))


def _headline(rows: Sequence[ArmRow]) -> str:
    """Who is better and worse than its reference as planned, then at equal cost."""
    if not rows:
        return "Nothing could be compared."
    references = list(dict.fromkeys(row.reference for row in rows))
    other = str(references[0]) if len(references) == 1 else "its reference"
    sentences = [f"Against {other}, {_effects({row.arm: row.vs_baseline for row in rows})}."]
    for when, differences in (
        ("At equal training time", {row.arm: row.vs_long for row in rows}),
        ("At equal MACs", {row.arm: row.vs_macs for row in rows}),
    ):
        if any(differences.values()):
            sentences.append(f"{when}, {_effects(differences)}.")
    return " ".join(sentences)


def _effects(differences: Mapping[str, Difference | None]) -> str:
    """``better: kd; no difference shown: netaug``; arms that were not compared are left out."""
    parts = []
    for effect, words in EFFECT_WORDS.items():
        names = [arm for arm, difference in differences.items() if difference and difference.effect == effect]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        if names:
            parts.append(f"{words}: {', '.join(names[:_NAMED])}{more}")
    return "; ".join(parts)


def _sentence(row: ArmRow) -> str:
    parts = [f"{row.arm} {plus_minus(row.val_score)} %: {_describe(row.vs_baseline)} against {row.reference}"]
    if row.long:
        parts.append(f"{_describe(row.vs_long)} at equal training time ({row.long})")
    if row.macs_arm:
        parts.append(f"{_describe(row.vs_macs)} at equal MACs ({row.macs_arm})")
    return "; ".join(parts) + "."


def _describe(difference: Difference | None) -> str:
    if difference is None:
        return "no pair of runs"
    return f"{interval(difference)} points (n = {difference.n}; {EFFECT_WORDS[difference.effect]})"


def _together(rows: Sequence[ArmRow]) -> list[str]:
    """Return how many comparisons were made, and which differences stand when that is taken into account."""
    all_of = {
        f"{row.arm}{when}": difference
        for row in rows
        for when, difference in (
            ("", row.vs_baseline),
            (" at equal time", row.vs_long),
            (" at equal MACs", row.vs_macs),
        )
        if difference is not None
    }
    p_values = {name: p for name, difference in all_of.items() if (p := p_value(difference)) is not None}
    if len(p_values) < 2:
        return []
    standing = [name for name, p in holm(p_values).items() if p < _FAMILY]
    stand = f"these stand: {', '.join(standing)}" if standing else "none stands"
    return [
        f"{len(p_values)} differences were looked at, and 1 in 20 intervals misses by chance. All together at 95 % "
        f"(Holm 1979), {stand}."
    ]
