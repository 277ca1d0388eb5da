"""What is left of a finished run: the content of ``summary.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netaug.config import RunConfig
from netaug.profile import Profile
from netaug.runs.records import EpochRecord
from netaug.train.diagnostics import advise
from netaug.train.trainer import Trainer


def summarize(
    records: Sequence[EpochRecord], config: RunConfig, trainer: Trainer, cost: Profile
) -> dict[str, Any]:
    """The content of ``summary.json``: the last epoch's metrics, and totals."""
    last, info = records[-1], trainer.data.info
    return {
        "epochs": len(records),
        "steps": sum(record.steps for record in records),
        "val_top1": last.val_top1,
        "val_loss": last.val_loss,
        "val_mean_per_class": last.val_mean_per_class,
        "score": last.score,
        "val_metrics": last.val_metrics,
        "train_metrics": last.train_metrics,
        "train_top1": last.train_top1,
        "train_loss": last.train_loss,
        "train_seconds": sum(record.seconds for record in records),
        "val_seconds": sum(record.val_seconds for record in records),
        "train_macs": sum(record.train_macs for record in records),
        "params": cost.params,
        "macs": cost.macs,
        "val_split": info.val_split,
        "seed": config.train.seed,
        "arm": "netaug" if config.netaug.enabled else "baseline",
        "skipped_steps": trainer.skipped,
        "advice": advise(last, config, trainer.network.base, info.val_size),
    }
