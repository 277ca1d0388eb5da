"""Train the arms of a plan, and judge which of them helped: the engine of `netaug compare`.

Runs are trained level by level, stages before what needs them. `{run:STAGE}` becomes the stage's run folder only on the
command line of a run, so the specifications are the same wherever the comparison lies. Tuning is the same plan on
held-out images, stages included: a teacher has not seen them either. References that train for another arm's time or
MACs (`budgets.py`) are known only when the costs are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console

from netaug.compare.board import Board
from netaug.compare.budgets import certain_names, find_longer, longer_names
from netaug.compare.ledger import Ledger
from netaug.compare.records import RunRecord
from netaug.compare.request import Choice, CompareRequest
from netaug.compare.resolve import common_settings, resolve_plan
from netaug.compare.results import Comparators, Comparison, arm_rows, settings_and_environment
from netaug.compare.run_specs import Phase, RunSpec, final_runs, specs_of, tune_runs
from netaug.compare.runner import Runner
from netaug.compare.verdict import judge
from netaug.core.consoles import SafeConsole
from netaug.core.errors import TrainingError

# this Python and this package, whatever `netaug` the PATH has
TRAIN_COMMAND = (sys.executable, "-m", "netaug", "train")
Train = Callable[[Sequence[RunSpec]], list[RunRecord]]
"""Trains the runs of a list, or reads them where nothing is trained."""
# --standalone takes a free port, so that runs side by side do not meet
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


def compare(request: CompareRequest) -> Comparison:
    """Train the arms, and their references at the arms' measured cost; compare them.

    Writes ``compare.json`` and, for each run, its folder and log into ``request.out``; table, pages and CSV files are
    written by :func:`netaug.report.write_report`. Progress goes to the standard error stream. The same request
    continues an interrupted comparison.

    Args:
        request: Recipe, settings, seeds, folder.

    Returns:
        The outcome; :func:`netaug.compare.show` prints it.

    Raises:
        ConfigError: The recipe or a setting is wrong, or anything else that `netaug train` refuses at once.
        RunFolderError: ``request.out`` holds something else.
        TrainingError: Every run failed.
        KeyboardInterrupt: Ctrl-C; the message names what is kept.
    """
    plan = resolve_plan(request)
    if request.plan is not None:  # a recipe alone stays the plan of two that is spoken of as such
        request = replace(request, plan=plan)
    command: tuple[str, ...] = TRAIN_COMMAND
    if request.nproc > 1:
        command = (*TORCHRUN, str(request.nproc), *TRAIN_COMMAND[1:])
    return run_comparison(request, common_settings(request), command, SafeConsole(stderr=True))


def run_comparison(
    request: CompareRequest,
    settings: Mapping[str, Any],
    train_command: Sequence[str],
    console: Console,
    poll_seconds: float = 0.2,
) -> Comparison:
    """Run a comparison whose settings are resolved, with the caller's train command, console and polling interval."""
    ledger = Ledger(request, settings)
    with Board(_planned(request), request.jobs, console) as board:
        runner = Runner(request, ledger, board, train_command, poll_seconds)
        try:
            return outcome(request, ledger, runner.run)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(ledger.saved_so_far()) from None


def outcome(request: CompareRequest, ledger: Ledger, train: Train) -> Comparison:
    """Return all runs of a comparison and what they mean.

    Args:
        request: What was asked, its plan resolved.
        ledger: What was decided before.
        train: Makes the runs of a list, or finds them made; gives a record of each that there is.

    Raises:
        TrainingError: Every run failed.
    """
    tuning = _phase(request, ledger, train, "tune", {}) if request.tunes else []
    chosen = best_choices(tuning) if request.tunes else _one_choice(request)
    final = _phase(request, ledger, train, "final", chosen)
    runs = [*tuning, *final]
    if not any(run.summary for run in final):
        raise TrainingError(
            f"all {len(runs)} runs failed or none could start; the last one ended with:\n" + _last(runs)
        )
    rows = arm_rows(runs, request.whole_plan, _comparators(request, ledger))
    resolved, environment = settings_and_environment(runs)
    verdict = judge(request, rows, runs, {arm: choice.lr for arm, choice in chosen.items()})
    return Comparison(request, rows, tuple(runs), verdict, resolved, environment)


def best_choices(tuning: Sequence[RunRecord]) -> dict[str, Choice]:
    """Return each arm's choice of the best held-out score, then of the lowest loss; arms that failed are missing."""
    best: dict[str, RunRecord] = {}
    for run in tuning:
        if run.summary is None:
            continue
        other = best.get(run.spec.arm)
        if other is None or _merit(run) > _merit(other):
            best[run.spec.arm] = run
    return {arm: run.spec.choice for arm, run in best.items()}


def best_rates(tuning: Sequence[RunRecord]) -> dict[str, float | None]:
    """Return the learning rates of :func:`best_choices`."""
    return {arm: choice.lr for arm, choice in best_choices(tuning).items()}


def _phase(
    request: CompareRequest, ledger: Ledger, train: Train, phase: Phase, chosen: Mapping[str, Choice]
) -> list[RunRecord]:
    """Return the runs of the arms, stages first, then those of the longer references that their costs ask for."""
    runs: list[RunRecord] = []
    known = {**chosen, **{arm.name: Choice() for arm in request.arms if arm.stage}}
    for level in request.whole_plan.levels():
        names = [arm.name for arm in level]
        if phase == "tune":
            runs += train(tune_runs(request, names))
        else:
            # an arm whose tuning runs all failed has no choice, and is not trained
            runs += train(final_runs(request, {name: known[name] for name in names if name in known}))
    specs: list[RunSpec] = []
    for longer in find_longer(request.whole_plan, runs, ledger, phase):
        choices = request.choices(longer.reference)
        if phase == "final":
            choice = chosen.get(longer.name, chosen.get(longer.reference.name))
            choices = [] if choice is None else [choice]
        specs += specs_of(request, longer.reference, phase, choices, epochs=longer.epochs, name=longer.name)
    # the arms of a seed side by side, so that other work on the machine slows all of them
    return runs + train(sorted(specs, key=lambda spec: spec.seed))


def _planned(request: CompareRequest) -> dict[str, int]:
    """Return the number of runs per arm over both phases, as far as they are known."""
    plan, planned = request.whole_plan, dict[str, int]()
    of_longer = {name: plan.arm(longer_names(plan)[name]) for name in certain_names(plan)}
    for name, arm in {**{arm.name: arm for arm in plan.arms}, **of_longer}.items():
        final = 1 if arm.stage and arm.once else request.seeds
        planned[name] = final + len(request.choices(arm)) * request.tunes
    return planned


def _comparators(request: CompareRequest, ledger: Ledger) -> Comparators:
    """Return the arm that had the same budget, by arm and budget."""
    plan = request.whole_plan
    names = {
        (arm.name, budget): ledger.longer(arm.name, budget) for arm in plan.arms for budget in plan.budgets
    }
    return {arm_and_budget: name for arm_and_budget, name in names.items() if name}


def _merit(run: RunRecord) -> tuple[float, float]:
    assert run.summary is not None
    # held-out splits are small, so equal scores are common
    return run.summary.val_score, -run.summary.val_loss


def _one_choice(request: CompareRequest) -> dict[str, Choice]:
    return {arm.name: request.choices(arm)[0] for arm in request.arms}


def _last(runs: Sequence[RunRecord]) -> str:
    return next((run.message for run in reversed(runs) if run.message), "")
