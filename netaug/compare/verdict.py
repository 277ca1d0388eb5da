"""Put the result of a comparison into words, and claim no more than its intervals show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netaug.compare.numbers import interval, rate, seconds
from netaug.compare.plan import TUNE_HOLDOUT, text
from netaug.compare.records import RunRecord
from netaug.compare.request import CompareRequest
from netaug.compare.results import ArmRow, Verdict
from netaug.compare.statistics import EFFECT_WORDS, Difference
from netaug.compare.verdict_of_arms import judge_arms
from netaug.core.display import score_name

OVERFIT_GAP = 5.0  # percentage points of train minus validation top-1
NEAR_PERFECT = 97.0  # percent of training images right: little capacity is missing
TIME_TOLERANCE = 0.1  # relative; beyond it two training times are not called equal


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
        rates: The learning rate each arm was given; None where it is the recipe's.

    Returns:
        The verdict.
    """
    by_arm = {row.arm: row for row in rows}
    caveats = [*_network_caveats(rows), *_rate_caveats(request, rates), *_run_caveats(request, runs)]
    if request.plan is not None:
        return judge_arms(request.plan, rows, tuple(caveats))
    return Verdict(
        _headline(by_arm, _same_network(rows)),
        tuple(_sentences(by_arm)),
        tuple(_hints(by_arm)),
        tuple(caveats),
    )


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
    """Return how the longer baseline is spoken of: equal time only if the measured times bear it out."""
    ratio = _time_ratio(rows)
    if ratio is not None and abs(ratio - 1) > TIME_TOLERANCE:
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
    if abs(ratio - 1) > TIME_TOLERANCE:
        more = "more" if ratio > 1 else "less"
        times += f": the baseline took {100 * abs(ratio - 1):.0f} % {more}"
    return [*sentences, _sentence(f"{longer[0].upper()}{longer[1:]} ({times})", netaug.vs_long, netaug.score)]


def _sentence(when: str, difference: Difference | None, score: str) -> str:
    if difference is None:
        return f"{when}: no pair of runs finished."
    text, n = interval(difference), f"n = {difference.n}"
    match difference.effect:
        case "higher" | "lower":
            return f"{when} NetAug changes {score_name(score)} by {text} points ({n}, 95 % interval)."
        case "unclear":
            return f"{when} no difference was shown: {text} points ({n}, 95 % interval)."
    if difference.n == 1:
        return f"{when} the one pair of runs differs by {text} points; one pair gives no interval (n = 1)."
    return f"{when} all {difference.n} pairs differ by exactly {text} points; that gives no interval."


def _hints(rows: Mapping[str, ArmRow]) -> list[str]:
    base, long = rows.get("baseline"), rows.get("baseline-long")
    if base is None or base.train_score is None or base.val_score is None:
        return []
    train, val = base.train_score.mean, base.val_score.mean
    fits = f"the baseline gets {train:.1f} % of training and {val:.1f} % of evaluation images right"
    hints = []
    limited_by_steps = (
        long is not None and long.vs_baseline is not None and long.vs_baseline.effect == "higher"
    )
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
            f"baseline by {interval(long.vs_baseline)} points. Train longer before judging NetAug."
        )
    return hints


def _same_network(rows: Sequence[ArmRow]) -> bool:
    return len({(row.params, row.macs) for row in rows if row.n}) <= 1


def _network_caveats(rows: Sequence[ArmRow]) -> list[str]:
    caveats = []
    for reference in dict.fromkeys(row.reference for row in rows if row.reference):
        group = [row for row in rows if reference in (row.arm, row.reference)]
        if not _same_network(group):
            sizes = ", ".join(
                f"{row.arm} {row.params} parameters and {row.macs} MACs" for row in group if row.n
            )
            caveats.append(f"The final networks differ, so these arms cannot be compared: {sizes}.")
    return caveats


def _rate_caveats(request: CompareRequest, rates: Mapping[str, float | None]) -> list[str]:
    if not request.tunes:
        if request.plan is not None and len(
            {key for arm in request.arms for key, _ in arm.own if key == "train.lr"}
        ):
            return [
                "Learning rates are those of the plan, none was tuned here: an arm whose best rate is another is "
                "judged unfairly."
            ]
        return [
            "All arms share one learning rate. NetAug adds a second gradient, so the arms' best rates may "
            "differ; several --lr give each arm its own."
        ]
    grids = [("learning rate", [rate(lr) for lr in request.lrs])] if len(request.lrs) > 1 else []
    grids += [(key, [text(value) for value in values]) for key, values in request.further_grid]
    caveats = [
        f"Each arm's {name} was chosen from {', '.join(values)} with one seed "
        f"on {100 * TUNE_HOLDOUT:.0f} % of the training images, held out for that."
        for name, values in grids
    ]
    edges = {min(request.lrs), max(request.lrs)} if len(request.lrs) > 1 else set()
    at_edge = [f"{arm} ({rate(lr)})" for arm, lr in rates.items() if lr in edges]
    if at_edge:
        caveats.append(f"The best rate is at the edge of the grid for {', '.join(at_edge)}: widen --lr.")
    return caveats


def _run_caveats(request: CompareRequest, runs: Sequence[RunRecord]) -> list[str]:
    final = [run for run in runs if run.spec.phase == "final"]
    splits = sorted({run.summary.val_split for run in final if run.summary})
    caveats = [f"The score is that of the last epoch, on the split '{split}'." for split in splits]
    caveats.append(
        "Intervals cover the choice of seed (initialization, data order, drawn widths), not of the images."
    )
    if stages := [arm.name for arm in request.arms if arm.stage]:
        caveats.append(f"Times and MACs of the arms leave out the training of {', '.join(stages)}.")
    if once := [arm.name for arm in request.arms if arm.stage and arm.once]:
        caveats.append(
            f"Trained once, for all seeds: {', '.join(once)}. Intervals do not cover its own chance."
        )
    failed = sum(run.summary is None for run in runs)
    if failed:
        caveats.append(f"{failed} of {len(runs)} runs failed; the numbers come from the others.")
    if request.jobs > 1:
        caveats.append(f"Training times were measured with up to {request.jobs} runs side by side.")
    return caveats
