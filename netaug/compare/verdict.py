"""Put the result of a comparison into words, and claim no more than its intervals show.

A recipe alone is the plan of two arms, and is answered in sentences about NetAug; a plan is answered arm by arm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netaug.compare.caveats import caveats_of, is_one_network, judged_rows
from netaug.compare.formatting import interval, plus_minus, seconds
from netaug.compare.paired_statistics import EFFECT_WORDS, Difference
from netaug.compare.records import RunRecord
from netaug.compare.request import CompareRequest
from netaug.compare.results import COST_TOLERANCE, ArmRow, Verdict
from netaug.config.train import ENOUGH_STEPS
from netaug.core.display import score_name

OVERFIT_GAP = 5.0  # percentage points of train minus validation top-1
NEAR_PERFECT = 97.0  # percent of training images right: little capacity is missing
_MOST_NAMED = 6
"""Arms of one effect that a headline names; of more it gives the number."""


def judge(
    request: CompareRequest,
    rows: Sequence[ArmRow],
    runs: Sequence[RunRecord],
    rates: Mapping[str, float | None],
) -> Verdict:
    """Put the rows into words.

    Args:
        request: What was asked.
        rows: One per arm.
        runs: Every run, tuning included.
        rates: The learning rate of each arm; None where it is the recipe's.

    Returns:
        The verdict; its hints are about NetAug on one recipe, so a plan has none.
    """
    caveats = tuple(caveats_of(request, rows, runs, rates))
    if request.plan is None:
        by_arm = {row.arm: row for row in rows}
        headline = _headline(by_arm, is_one_network(rows))
        return Verdict(headline, tuple(_sentences(by_arm)), tuple(_hints(by_arm)), caveats)
    judged = judged_rows(request, rows)
    sentences = [_arm_sentence(row) for row in judged]
    finished = {row.arm for row in rows if row.n}
    sentences += [
        f"{arm.name}: no run finished." for arm in request.arms if not arm.stage and arm.name not in finished
    ]
    return Verdict(_arms_headline(judged), tuple(sentences), (), caveats)


def _headline(rows: Mapping[str, ArmRow], same_network: bool) -> str:
    netaug = rows.get("netaug")
    if not same_network:
        return "Not comparable: the arms ended with different networks."
    if netaug is None or netaug.n == 0:
        return "No NetAug run finished; nothing can be said."
    effects = [diff.effect if diff else "unknown" for diff in (netaug.vs_baseline, netaug.vs_long)]
    if effects == ["unknown", "unknown"]:
        return "Too few runs to say whether NetAug helps."
    if effects == ["unclear", "unclear"]:
        return "No difference between NetAug and the baseline was shown."
    longer = _longer(rows)
    if effects == ["higher", "higher"]:
        return f"NetAug is better, at equal epochs and {longer}."
    if effects == ["lower", "lower"]:
        return f"NetAug is worse, at equal epochs and {longer}."
    return f"NetAug at equal epochs: {EFFECT_WORDS[effects[0]]}; {longer}: {EFFECT_WORDS[effects[1]]}."


def _longer(rows: Mapping[str, ArmRow]) -> str:
    """Return the name of the longer baseline's comparison; times are called equal only if they were measured so."""
    ratio = _time_ratio(rows)
    if ratio is not None and abs(ratio - 1) > COST_TOLERANCE:
        return "against the longer baseline"
    return "at equal training time"


def _time_ratio(rows: Mapping[str, ArmRow]) -> float | None:
    """Return the longer baseline's training seconds over NetAug's; None if one is missing."""
    netaug, long = rows.get("netaug"), rows.get("baseline-long")
    if netaug is None or long is None or not netaug.train_seconds or long.train_seconds is None:
        return None
    return long.train_seconds / netaug.train_seconds


def _sentences(rows: Mapping[str, ArmRow]) -> list[str]:
    netaug, long = rows.get("netaug"), rows.get("baseline-long")
    if netaug is None or netaug.n == 0:
        return []
    sentences = [_sentence("At equal epochs", netaug.vs_baseline, netaug.score)]
    ratio = _time_ratio(rows)
    if long is None or ratio is None:
        return [
            *sentences,
            "At equal training time nothing was compared: no run of the longer baseline finished.",
        ]
    longer = _longer(rows)
    times = f"NetAug {seconds(netaug.train_seconds)}, baseline {seconds(long.train_seconds)}"
    if abs(ratio - 1) > COST_TOLERANCE:
        more = "more" if ratio > 1 else "less"
        times += f": the baseline took {100 * abs(ratio - 1):.0f} % {more}"
    return [*sentences, _sentence(f"{longer[0].upper()}{longer[1:]} ({times})", netaug.vs_long, netaug.score)]


def _sentence(when: str, difference: Difference | None, score: str) -> str:
    if difference is None:
        return f"{when}: no pair of runs finished."
    points, n = interval(difference), f"n = {difference.n}"
    match difference.effect:
        case "higher" | "lower":
            return f"{when} NetAug changes {score_name(score)} by {points} points ({n}, 95 % interval)."
        case "unclear":
            return f"{when} no difference was shown: {points} points ({n}, 95 % interval)."
    if difference.n == 1:
        return f"{when} the one pair of runs differs by {points} points; one pair gives no interval (n = 1)."
    return f"{when} all {difference.n} pairs differ by exactly {points} points; that gives no interval."


def _hints(rows: Mapping[str, ArmRow]) -> list[str]:
    """Return in which regime the baseline is: over-fitting, near-perfect, limited by capacity or by steps."""
    base, long = rows.get("baseline"), rows.get("baseline-long")
    if base is None or base.train_score is None or base.val_score is None:
        return []
    if base.steps is not None and base.steps < ENOUGH_STEPS:
        return []  # the networks have hardly moved
    train, val = base.train_score.mean, base.val_score.mean
    fits = f"the baseline gets {train:.1f} % of training and {val:.1f} % of evaluation images right"
    vs_base = None if long is None else long.vs_baseline
    limited_by_steps = vs_base is not None and vs_base.effect == "higher"
    hints = []
    # training top-1 is measured on augmented images while weights change, so the true gap is rather larger
    if train - val > OVERFIT_GAP:
        hints.append(
            f"Over-fitting: {fits}. NetAug is for networks that are too small for their data; "
            "this is not that regime."
        )
    elif train >= NEAR_PERFECT:
        hints.append(f"Little capacity is missing: {fits}, and NetAug is for networks that lack it.")
    elif not limited_by_steps:
        hints.append(f"Under-fitting: {fits}, as in the networks limited by capacity that NetAug is for.")
    if limited_by_steps and long is not None:
        hints.append(
            f"Training is still limited by steps: {long.epochs} instead of {base.epochs} epochs change the "
            f"baseline by {interval(vs_base)} points. Train longer before judging NetAug."
        )
    return hints


def _arms_headline(rows: Sequence[ArmRow]) -> str:
    """Return which arms are better and worse than their reference: as planned, then at equal cost."""
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
    """Return ``better: kd; no difference shown: netaug``; arms that were not compared are left out."""
    by_effect = []
    for effect, word in EFFECT_WORDS.items():
        arms = [arm for arm, difference in differences.items() if difference and difference.effect == effect]
        more = f" and {len(arms) - _MOST_NAMED} more" if len(arms) > _MOST_NAMED else ""
        if arms:
            by_effect.append(f"{word}: {', '.join(arms[:_MOST_NAMED])}{more}")
    return "; ".join(by_effect)


def _arm_sentence(row: ArmRow) -> str:
    clauses = [f"{row.arm} {plus_minus(row.val_score)} %: {_points(row.vs_baseline)} against {row.reference}"]
    if row.long:
        clauses.append(f"{_points(row.vs_long)} at equal training time ({row.long})")
    if row.macs_arm:
        clauses.append(f"{_points(row.vs_macs)} at equal MACs ({row.macs_arm})")
    return "; ".join(clauses) + "."


def _points(difference: Difference | None) -> str:
    if difference is None:
        return "no pair of runs"
    return f"{interval(difference)} points (n = {difference.n}; {EFFECT_WORDS[difference.effect]})"
