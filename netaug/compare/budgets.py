"""Decide how long references are trained to match another arm's time or MACs, and which arms share one."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netaug.compare.arms import Arm, Budget, Plan
from netaug.compare.ledger import Ledger
from netaug.compare.records import RunRecord, RunSummary
from netaug.compare.run_specs import Phase, long_epochs

NEAR = 0.05  # relative; lengths closer than this are one
_COST = {"time": "train_seconds", "macs": "train_macs"}
_WORD = {"time": "long", "macs": "macs"}


@dataclass(frozen=True)
class Longer:
    """Describe a reference that trains longer.

    Args:
        name: Of the arm it is.
        reference: The reference whose settings it has.
        epochs: How long.
    """

    name: str
    reference: Arm
    epochs: int


def longer_names(plan: Plan) -> dict[str, str]:
    """Return the names that longer references may have, each with its reference."""
    return {
        _name(plan, arm, budget): reference
        for reference in plan.references
        for arm in plan.against(reference)
        for budget in plan.budgets
    }


def certain_names(plan: Plan) -> list[str]:
    """Return the names that are certain to be trained: only one arm is compared with the reference, in one budget."""
    names = longer_names(plan)
    return [
        name
        for name, reference in names.items()
        if len(plan.against(reference)) == 1 and len(plan.budgets) == 1
    ]


def find_longer(plan: Plan, runs: Sequence[RunRecord], ledger: Ledger, phase: Phase) -> list[Longer]:
    """Return the longer references that the finished runs of a phase ask for; the ledger remembers who shares which.

    An arm whose cost is within 5 % of its reference's is compared with the reference itself, unless it is the only
    one; lengths within 5 % of each other are trained once.
    """
    longer_references: dict[str, Longer] = {}
    for arm in (arm for reference in plan.references for arm in plan.against(reference)):
        for budget in plan.budgets:
            costs = _costs(runs, arm, budget)
            if not costs or not arm.reference:
                continue
            epochs = costs[0][2]
            measured = long_epochs(epochs, [cost for cost, _, _ in costs], [other for _, other, _ in costs])
            # as decided at the first start: with more seeds the costs differ a little, but finished runs must fit
            name = ledger.longer(arm.name, budget)
            if name is None:
                name = _decide(plan, arm, budget, costs, measured, longer_references)
                ledger.longer(arm.name, budget, name)
            if name != arm.reference and name not in longer_references:
                decided = ledger.long_epochs(f"{phase} {name}", measured)
                longer_references[name] = Longer(name, plan.arm(arm.reference), decided)
    return list(longer_references.values())


def _decide(
    plan: Plan,
    arm: Arm,
    budget: Budget,
    costs: Sequence[tuple[float, float, int]],
    measured: int,
    longer_references: Mapping[str, Longer],
) -> str:
    """Return the arm that has this arm's budget: its reference, a longer one that is there, or another."""
    assert arm.reference
    alone = len(plan.against(arm.reference)) == 1
    # the median, so that one run beside other work on the machine does not decide
    ratio = statistics.median(cost / other if other > 0 else 1.0 for cost, other, _ in costs)
    if not alone and ratio <= 1 + NEAR:
        return arm.reference
    for longer in longer_references.values():
        if longer.reference.name == arm.reference and abs(measured / longer.epochs - 1) <= NEAR:
            return longer.name
    return _name(plan, arm, budget)


def _name(plan: Plan, arm: Arm, budget: Budget) -> str:
    assert arm.reference
    name = f"{arm.reference}-{_WORD[budget]}"
    if len(plan.against(arm.reference)) == 1:
        return name
    # the reference's name begins with the case already
    case = arm.reference.rpartition(".")[0]
    return f"{name}-{arm.name.removeprefix(f'{case}.') if case else arm.name}"


def _costs(runs: Sequence[RunRecord], arm: Arm, budget: Budget) -> list[tuple[float, float, int]]:
    """Return an arm's cost, its reference's cost and epochs, for each pair of finished runs."""
    done = {(run.spec.arm, run.spec.seed, _place(run)): run.summary for run in runs if run.summary}
    costs: list[tuple[float, float, int]] = []
    for (name, seed, tuned), summary in done.items():
        reference: RunSummary | None = done.get((str(arm.reference), seed, tuned))
        if name == arm.name and reference is not None:
            cost, reference_cost = (float(getattr(run, _COST[budget])) for run in (summary, reference))
            costs.append((cost, reference_cost, reference.epochs))
    return costs


def _place(run: RunRecord) -> object:
    """Return what besides the seed pairs two runs: when tuning, the choice."""
    return run.spec.choice if run.spec.phase == "tune" else None
