"""The outcome of a comparison: rows per arm, differences, verdict."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netaug.compare.plan import ARMS, Arm
from netaug.compare.records import RunRecord, read_config, read_environment
from netaug.compare.request import CompareRequest
from netaug.compare.statistics import Difference, Spread, paired_difference, spread


@dataclass(frozen=True)
class ArmRow:
    """What is known about one arm; top-1 in percent, the fields None where no run finished.

    Args:
        arm: Which arm.
        epochs: Its epochs.
        lr: Its peak learning rate.
        n: Finished runs.
        failed: Failed runs.
        val_top1: Top-1 on the evaluation split, last epoch.
        train_top1: Top-1 while training, last epoch.
        train_seconds: Median seconds spent in training, evaluation excluded.
        train_macs: Mean forward MACs of a whole training, all passes.
        params: Parameters of the final network.
        macs: MACs of the final network for one image.
        vs_baseline: Top-1 minus the baseline's, paired by seed; equal epochs for NetAug.
        vs_long: Top-1 minus the longer baseline's, paired by seed; equal training time for NetAug.
        val_mean_per_class: Mean per-class accuracy, last epoch; None where it is not customary.
    """

    arm: Arm
    epochs: int | None
    lr: float | None
    n: int
    failed: int
    val_top1: Spread | None
    train_top1: Spread | None
    train_seconds: float | None
    train_macs: float | None
    params: int | None
    macs: int | None
    vs_baseline: Difference | None
    vs_long: Difference | None
    val_mean_per_class: Spread | None = None


@dataclass(frozen=True)
class Verdict:
    """The answer in plain words.

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
    """A finished comparison.

    Args:
        request: What was asked.
        rows: One per arm, in the order of ``ARMS``; an arm without any run is left out.
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

    def row(self, arm: Arm) -> ArmRow | None:
        """The row of an arm, if it was run."""
        return next((row for row in self.rows if row.arm == arm), None)


def arm_rows(runs: Sequence[RunRecord]) -> tuple[ArmRow, ...]:
    """Summarise the final runs by arm."""
    final = [run for run in runs if run.spec.phase == "final"]
    top1 = {arm: _top1_by_seed(final, arm) for arm in ARMS}
    rows = []
    for arm in ARMS:
        mine = [run for run in final if run.spec.arm == arm]
        done = [run.summary for run in mine if run.summary]
        if not mine:
            continue
        rows.append(
            ArmRow(
                arm=arm,
                epochs=done[0].epochs if done else mine[0].spec.epochs,
                lr=next((run.lr for run in mine if run.lr is not None), None),
                n=len(done),
                failed=len(mine) - len(done),
                val_top1=spread([summary.val_top1 for summary in done]),
                train_top1=spread([summary.train_top1 for summary in done]),
                train_seconds=statistics.median(s.train_seconds for s in done) if done else None,
                train_macs=statistics.fmean(s.train_macs for s in done) if done else None,
                params=done[0].params if done else None,
                macs=done[0].macs if done else None,
                val_mean_per_class=spread(
                    [s.val_mean_per_class for s in done if s.val_mean_per_class is not None]
                ),
                vs_baseline=None if arm == "baseline" else paired_difference(top1[arm], top1["baseline"]),
                vs_long=paired_difference(top1[arm], top1["baseline-long"]) if arm == "netaug" else None,
            )
        )
    return tuple(rows)


def settings_and_environment(runs: Sequence[RunRecord]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and machine of the first finished NetAug run, or else of the first finished run."""
    done = [run for run in runs if run.summary]
    done.sort(key=lambda run: (run.spec.phase != "final", run.spec.arm != "netaug"))
    return (read_config(done[0].folder), read_environment(done[0].folder)) if done else ({}, {})


def _top1_by_seed(runs: Sequence[RunRecord], arm: Arm) -> dict[int, float]:
    return {run.spec.seed: run.summary.val_top1 for run in runs if run.spec.arm == arm and run.summary}
