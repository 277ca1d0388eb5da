"""State what limits the answer of a comparison: how rates were chosen, what failed, how many differences there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netaug.compare.formatting import rate
from netaug.compare.paired_statistics import holm, p_value
from netaug.compare.records import RunRecord
from netaug.compare.request import CompareRequest
from netaug.compare.results import ArmRow
from netaug.compare.run_specs import TUNE_HOLDOUT, text

_FAMILY_LEVEL = 0.05  # chance that any of the differences that stand is none


def caveats_of(
    request: CompareRequest,
    rows: Sequence[ArmRow],
    runs: Sequence[RunRecord],
    rates: Mapping[str, float | None],
) -> list[str]:
    """Return what limits the answer, a sentence each; see :func:`netaug.compare.verdict.judge` for the arguments."""
    return [
        *(_multiplicity_caveats(judged_rows(request, rows)) if request.plan is not None else ()),
        *_network_caveats(rows),
        *_rate_caveats(request, rates),
        *_run_caveats(request, runs),
    ]


def judged_rows(request: CompareRequest, rows: Sequence[ArmRow]) -> list[ArmRow]:
    """Return the rows of arms that were compared with their reference; longer references are not judged."""
    planned = {arm.name for arm in request.arms}
    return [row for row in rows if row.reference and row.vs_baseline is not None and row.arm in planned]


def is_one_network(rows: Sequence[ArmRow]) -> bool:
    """Return whether all arms that finished a run ended with a network of the same size."""
    return len({(row.params, row.macs) for row in rows if row.n}) <= 1


def _multiplicity_caveats(rows: Sequence[ArmRow]) -> list[str]:
    """Return how many differences were tested, and which of them stand when that is taken into account."""
    differences = {
        f"{row.arm}{when}": difference
        for row in rows
        for when, difference in (
            ("", row.vs_baseline),
            (" at equal time", row.vs_long),
            (" at equal MACs", row.vs_macs),
        )
        if difference is not None
    }
    p_values = {name: p for name, difference in differences.items() if (p := p_value(difference)) is not None}
    if len(p_values) < 2:
        return []
    standing = [name for name, p in holm(p_values).items() if p < _FAMILY_LEVEL]
    stand = f"these stand: {', '.join(standing)}" if standing else "none stands"
    return [
        f"{len(p_values)} differences were tested, and 1 in 20 intervals misses by chance. Jointly at 95 % "
        f"(Holm 1979), {stand}."
    ]


def _network_caveats(rows: Sequence[ArmRow]) -> list[str]:
    caveats = []
    for reference in dict.fromkeys(row.reference for row in rows if row.reference):
        family = [row for row in rows if reference in (row.arm, row.reference)]
        if not is_one_network(family):
            sizes = ", ".join(
                f"{row.arm} {row.params} parameters and {row.macs} MACs" for row in family if row.n
            )
            caveats.append(f"The final networks differ, so these arms cannot be compared: {sizes}.")
    return caveats


def _rate_caveats(request: CompareRequest, rates: Mapping[str, float | None]) -> list[str]:
    if not request.tunes:
        if request.plan is not None and any("train.lr" in dict(arm.settings) for arm in request.arms):
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
    if (
        at_edge
    ):  # the best rate may then lie outside the grid, and the arm is judged at a rate that is not its best
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
    if trained_once := [arm.name for arm in request.arms if arm.stage and arm.once]:
        caveats.append(
            f"Trained once, for all seeds: {', '.join(trained_once)}. Intervals do not cover their randomness."
        )
    failed = sum(run.summary is None for run in runs)
    if failed:
        caveats.append(f"{failed} of {len(runs)} runs failed; the numbers come from the others.")
    if request.jobs > 1:
        caveats.append(f"Training times were measured with up to {request.jobs} runs side by side.")
    return caveats
