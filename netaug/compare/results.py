"""Collect the outcome of a comparison: rows per arm, differences, verdict."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from netaug.compare.arms import Budget, Plan, two_arms
from netaug.compare.paired_statistics import Difference, Spread, paired_difference, spread
from netaug.compare.records import RunRecord, read_config, read_environment
from netaug.compare.request import CompareRequest
from netaug.core.display import score_name

COST_TOLERANCE = 0.1
"""Relative; measured times or MACs that are further apart are not called equal."""
Comparators = Mapping[tuple[str, Budget], str]
"""The arm that had the same budget, by arm and budget."""


@dataclass(frozen=True)
class ArmRow:
    """Hold the results of one arm; scores in percent, the fields None where no run finished.

    Args:
        arm: Which arm.
        epochs: Its epochs.
        lr: Its peak learning rate.
        n: Finished runs.
        failed: Failed runs.
        val_score: What runs are judged by, on the evaluation split, last epoch.
        train_score: The same while training, last epoch; None where it is not measured.
        train_seconds: Median seconds spent in training, evaluation excluded.
        train_macs: Mean forward MACs of a whole training, all passes.
        params: Parameters of the final network.
        macs: MACs of the final network for one image.
        vs_baseline: Score minus its reference's, paired by seed; equal epochs unless the arms set them.
        vs_long: Score minus that of the reference with its training time, paired by seed.
        val_mean_per_class: Mean per-class accuracy, last epoch; None where it is not customary.
        vs_macs: Score minus that of the reference with its multiply-accumulates, paired by seed.
        reference: The arm of ``vs_baseline``; for a longer reference the one it is longer than.
        long: The arm of ``vs_long``.
        macs_arm: The arm of ``vs_macs``.
        stage: Whether it was only trained for others.
        score: Which metric the scores are; see :func:`netaug.core.display.score_name`.
        steps: Updates of one run; None where its version did not write them.
    """

    arm: str
    epochs: int | None
    lr: float | None
    n: int
    failed: int
    val_score: Spread | None
    train_score: Spread | None
    train_seconds: float | None
    train_macs: float | None
    params: int | None
    macs: int | None
    vs_baseline: Difference | None
    vs_long: Difference | None
    val_mean_per_class: Spread | None = None
    vs_macs: Difference | None = None
    reference: str | None = None
    long: str | None = None
    macs_arm: str | None = None
    stage: bool = False
    score: str = "top1"
    steps: int | None = None


@dataclass(frozen=True)
class Verdict:
    """Hold the answer in sentences.

    Args:
        headline: One sentence.
        sentences: The numbers behind it, one sentence per comparison.
        hints: What the accuracies say about the regime this recipe is in.
        caveats: What limits the answer.
    """

    headline: str
    sentences: tuple[str, ...]
    hints: tuple[str, ...]
    caveats: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Hold a finished comparison.

    Args:
        request: What was asked.
        rows: One per arm, in the order of the plan, then the longer references; an arm without any run is left out.
        runs: Every run, tuning included.
        verdict: What the rows mean.
        settings: Resolved settings of a final NetAug run (else of any run), nested.
        environment: Machine and versions of the same run.
    """

    request: CompareRequest
    rows: tuple[ArmRow, ...]
    runs: tuple[RunRecord, ...]
    verdict: Verdict
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]

    @property
    def score(self) -> str:
        """Name of the metric that arms are judged by; all scores are percentages, and higher is better."""
        names = {score_name(row.score) for row in self.rows if row.n}
        return names.pop() if len(names) == 1 else "score"

    def row(self, arm: str) -> ArmRow | None:
        """Return the row of an arm, if it was run."""
        return next((row for row in self.rows if row.arm == arm), None)


_TWO_ARMS, _ONE_LONGER = two_arms(""), {("netaug", "time"): "baseline-long"}


def arm_rows(
    runs: Sequence[RunRecord],
    plan: Plan = _TWO_ARMS,
    comparators: Mapping[tuple[str, Any], str] = _ONE_LONGER,
) -> tuple[ArmRow, ...]:
    """Return a summary of the final runs per arm.

    Args:
        runs: All runs.
        plan: The arms and who is compared with whom.
        comparators: Per arm and budget the arm that had the same budget.
    """
    final = [run for run in runs if run.spec.phase == "final"]
    references = {arm.name: arm.reference for arm in plan.arms}
    for (arm_name, _), name in comparators.items():
        # a longer reference is itself compared with the reference that it is longer than
        references.setdefault(name, references.get(arm_name))
    rows = []
    for name, reference in references.items():
        runs_of_arm = [run for run in final if run.spec.arm == name]
        if runs_of_arm:
            stage = any(arm.name == name and arm.stage for arm in plan.arms)
            long, macs = comparators.get((name, "time")), comparators.get((name, "macs"))
            row = _row(
                name, runs_of_arm, {"reference": reference, "long": long, "macs_arm": macs, "stage": stage}
            )
            scores = _score_by_seed(final, name)
            differences: dict[str, Any] = {
                field: paired_difference(scores, _score_by_seed(final, other))
                for field, other in (("vs_baseline", reference), ("vs_long", long), ("vs_macs", macs))
                if other is not None
            }
            rows.append(replace(row, **differences))
    return tuple(rows)


def _row(name: str, runs: Sequence[RunRecord], fields: Mapping[str, Any]) -> ArmRow:
    summaries = [run.summary for run in runs if run.summary]
    return ArmRow(
        arm=name,
        epochs=summaries[0].epochs if summaries else runs[0].spec.epochs,
        # a failed run may have ended before its settings were resolved
        lr=next((run.lr for run in runs if run.lr is not None), None),
        n=len(summaries),
        failed=len(runs) - len(summaries),
        val_score=spread([summary.val_score for summary in summaries]),
        train_score=spread([s.train_score for s in summaries if s.train_score is not None]),
        # the median: a run that shared the machine with other work would move the mean
        train_seconds=statistics.median(s.train_seconds for s in summaries) if summaries else None,
        train_macs=statistics.fmean(s.train_macs for s in summaries) if summaries else None,
        params=summaries[0].params if summaries else None,
        macs=summaries[0].macs if summaries else None,
        val_mean_per_class=spread(
            [s.val_mean_per_class for s in summaries if s.val_mean_per_class is not None]
        ),
        vs_baseline=None,
        vs_long=None,
        score=summaries[0].score if summaries else "top1",
        steps=summaries[0].steps if summaries else None,
        **fields,
    )


def settings_and_environment(runs: Sequence[RunRecord]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return settings and machine of the first finished NetAug run, or else of the first finished run."""
    done = [run for run in runs if run.summary]
    done.sort(key=lambda run: (run.spec.phase != "final", run.spec.arm != "netaug"))
    return (read_config(done[0].folder), read_environment(done[0].folder)) if done else ({}, {})


def _score_by_seed(runs: Sequence[RunRecord], arm: str) -> dict[int, float]:
    return {run.spec.seed: run.summary.val_score for run in runs if run.spec.arm == arm and run.summary}
