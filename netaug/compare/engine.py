"""`netaug compare`: trains the arms and says honestly whether NetAug helped."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from netaug.compare.ledger import Ledger
from netaug.compare.plan import Arm, Phase, final_runs, long_epochs, tune_runs
from netaug.compare.progress import Board
from netaug.compare.records import RunRecord
from netaug.compare.request import CompareRequest
from netaug.compare.results import Comparison, arm_rows, settings_and_environment
from netaug.compare.runner import Runner
from netaug.compare.table import as_text, write_csv
from netaug.compare.verdict import judge
from netaug.errors import ConfigError, TrainingError
from netaug.recipes.loader import load_config, to_mapping

TRAIN_COMMAND = (sys.executable, "-m", "netaug", "train")


def compare(request: CompareRequest) -> Comparison:
    """Train baseline, NetAug, and the baseline at NetAug's measured training time; compare them.

    Writes ``compare.json``, ``compare.csv``, ``table.txt``, ``report.html`` and, for each run, its folder and
    log into ``request.out``. Progress goes to the standard error stream. The same request continues an
    interrupted comparison.

    Args:
        request: Recipe, settings, seeds, folder.

    Returns:
        The outcome; :func:`netaug.compare.show` prints it.

    Raises:
        ConfigError: The recipe or a setting is wrong, or whatever else `netaug train` says at once.
        RunFolderError: ``request.out`` holds something else.
        TrainingError: Every run failed.
        KeyboardInterrupt: Ctrl-C; says what is kept.
    """
    config = load_config(request.recipe, request.overrides)
    if request.tunes and config.data.holdout > 0:
        raise ConfigError(
            "with several --lr, tuning holds out training images itself, so data.holdout cannot be used as well.",
            got=f"data.holdout {config.data.holdout}",
            fix="set data.holdout to 0, or give one --lr",
        )
    return run_comparison(request, to_mapping(config), TRAIN_COMMAND, Console(stderr=True))


def run_comparison(
    request: CompareRequest,
    settings: Mapping[str, Any],
    train_command: Sequence[str],
    console: Console,
    poll_seconds: float = 0.2,
) -> Comparison:
    """The same with settings resolved, and free choice of what stands for `netaug train`, console and pace."""
    ledger = Ledger(request, settings)
    per_arm = request.seeds + len(request.lrs) * request.tunes
    planned: dict[Arm, int] = {"netaug": per_arm, "baseline": per_arm, "baseline-long": per_arm}
    with Board(planned, request.jobs, console) as board:
        runner = Runner(request, ledger, board, train_command, poll_seconds)
        try:
            tuning = _tune(request, ledger, runner) if request.tunes else []
            rates = best_rates(tuning) if request.tunes else _one_rate(request)
            final = _train(request, ledger, runner, rates)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(ledger.saved_so_far()) from None
    runs = [*tuning, *final]
    if not any(run.summary for run in final):
        raise TrainingError(
            f"all {len(runs)} runs failed or none could start; the last one said:\n" + _last(runs)
        )
    rows = arm_rows(runs)
    resolved, environment = settings_and_environment(runs)
    verdict = judge(request, rows, runs, rates)
    comparison = Comparison(request, rows, tuple(runs), verdict, resolved, environment)
    _write(comparison)
    return comparison


def best_rates(tuning: Sequence[RunRecord]) -> dict[Arm, float | None]:
    """Per arm the rate of best held-out top-1, then lowest loss; all-failed arms are missing."""
    best: dict[Arm, RunRecord] = {}
    for run in tuning:
        if run.summary is None:
            continue
        other = best.get(run.spec.arm)
        if other is None or other.summary is None or _merit(run) > _merit(other):
            best[run.spec.arm] = run
    return {arm: run.spec.lr for arm, run in best.items()}


def _tune(request: CompareRequest, ledger: Ledger, runner: Runner) -> list[RunRecord]:
    short = runner.run(tune_runs(request, ("netaug", "baseline")))
    epochs = _epochs_of_long(short, ledger, "tune")
    if epochs is None:
        return short
    return short + runner.run(tune_runs(request, ("baseline-long",), epochs))


def _train(
    request: CompareRequest, ledger: Ledger, runner: Runner, rates: Mapping[Arm, float | None]
) -> list[RunRecord]:
    # NetAug first: what keeps a network from being widened shows before any time is spent
    arms: tuple[Arm, ...] = ("netaug", "baseline")
    short = runner.run(final_runs(request, {arm: rates[arm] for arm in arms if arm in rates}))
    epochs = _epochs_of_long(short, ledger, "final")
    if epochs is None or "baseline-long" not in rates:
        return short
    return short + runner.run(final_runs(request, {"baseline-long": rates["baseline-long"]}, epochs))


def _epochs_of_long(runs: Sequence[RunRecord], ledger: Ledger, phase: Phase) -> int | None:
    """Epochs of the longer baseline; None if no pair of the two other arms finished."""
    found = {(run.spec.arm, run.spec.seed, _place(run)): run.summary for run in runs if run.summary}
    pairs = [
        (summary, found["baseline", seed, place])
        for (arm, seed, place), summary in found.items()
        if arm == "netaug" and ("baseline", seed, place) in found
    ]
    if not pairs:
        return None
    measured = long_epochs(
        pairs[0][1].epochs,
        [netaug.train_seconds for netaug, _ in pairs],
        [baseline.train_seconds for _, baseline in pairs],
    )
    return ledger.long_epochs(phase, measured)


def _place(run: RunRecord) -> float | None:
    """What besides the seed pairs two runs: when tuning, the rate."""
    return run.spec.lr if run.spec.phase == "tune" else None


def _merit(run: RunRecord) -> tuple[float, float]:
    assert run.summary is not None
    return run.summary.val_top1, -run.summary.val_loss


def _one_rate(request: CompareRequest) -> dict[Arm, float | None]:
    lr = request.lrs[0] if request.lrs else None
    return {"netaug": lr, "baseline": lr, "baseline-long": lr}


def _last(runs: Sequence[RunRecord]) -> str:
    return next((run.message for run in reversed(runs) if run.message), "")


def _write(comparison: Comparison) -> None:
    from netaug.report.html import write_page  # matplotlib is slow to load and needed only now

    out = comparison.request.out
    write_csv(comparison, out / "compare.csv")
    (out / "table.txt").write_text(as_text(comparison), encoding="utf-8")
    write_page(comparison, out / "report.html")
