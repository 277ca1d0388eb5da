"""Writes what a training measures: run folder, console and trackers on rank 0, nothing on other ranks."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from torch import nn

from netaug.config import ModelConfig, TrainConfig
from netaug.data.batch import DataInfo
from netaug.elastic import Supernet
from netaug.profile import Profile
from netaug.runs.folder import RunFolder
from netaug.runs.records import EpochRecord, best_record
from netaug.tasks.registry import task_kind
from netaug.train.build import make_card
from netaug.train.console import TrainingConsole
from netaug.train.diagnostics import advise
from netaug.train.metrics import Tally
from netaug.train.trackers import Tracking
from netaug.train.trainer import Trainer
from netaug.weights.metadata import ModelCard


class Journal(Protocol):
    """Records what happens in a run."""

    def due(self) -> bool:
        """Return whether a checkpoint within the epoch is due."""

    def step(self, trainer: Trainer, epoch: int, done: int, tally: Tally) -> None:
        """Record a step."""

    def epoch(self, trainer: Trainer, record: EpochRecord) -> None:
        """Record an epoch."""

    def network(self, network: nn.Module, record: EpochRecord) -> None:
        """Write the plain network as it is after an epoch."""

    def best(self, network: nn.Module, record: EpochRecord) -> None:
        """Write the plain network as it is after an epoch, if none before was better."""

    def stalled(self) -> bool:
        """Return whether the training ends here: the score has not been better for ``train.patience`` epochs."""

    def checkpoint(self, state: dict[str, Any]) -> None:
        """Write the trainer's state."""

    def saved_so_far(self) -> str:
        """Return a sentence about what a stopped run has saved."""


@dataclass
class FolderJournal:
    """Writes a run folder, the console and the trackers.

    Args:
        folder: Where to.
        settings: The whole configuration as plain values, which checkpoints hold.
        model: What the network was built from, which the weights file names.
        train: When checkpoints are written, and how many are kept.
        info: The run's data.
        data: Its fingerprint; see :func:`netaug.runs.resume.data_record`.
        console: What the user sees.
        tracking: Further services that curves are sent to.
        records: Of the epochs before a run is resumed; those that follow are added.
    """

    folder: RunFolder
    settings: Mapping[str, Any]
    model: ModelConfig
    train: TrainConfig
    info: DataInfo
    data: Mapping[str, Any]
    console: TrainingConsole
    tracking: Tracking
    records: list[EpochRecord] = field(default_factory=list)
    _clock: float = field(default_factory=time.monotonic)
    _description: ModelCard | None = None

    def due(self) -> bool:
        """Return whether the last checkpoint is ``checkpoint_minutes`` ago."""
        minutes = self.train.checkpoint_minutes
        # Monotonic, as the clock of a machine may be set back during a long run.
        return time.monotonic() - self._clock >= 60 * (math.inf if minutes is None else minutes)

    def step(self, trainer: Trainer, epoch: int, done: int, tally: Tally) -> None:
        """Show and track."""
        self.console.step(epoch, done, tally)
        self.tracking.step(trainer, tally)

    def epoch(self, trainer: Trainer, record: EpochRecord) -> None:
        """Log, show and track."""
        self.folder.log(record)
        self.records.append(record)
        self.console.epoch(record)
        self.tracking.epoch(trainer.steps_done, record)

    def network(self, network: nn.Module, record: EpochRecord) -> None:
        """Write ``model.safetensors``."""
        self.folder.save_network(network, self._card(network, record))

    def best(self, network: nn.Module, record: EpochRecord) -> None:
        """Write ``best.safetensors``, if no epoch before had as good a score."""
        if self.train.keep_best and best_record(self.records) is record:
            self.folder.save_best(network, self._card(network, record))

    def stalled(self) -> bool:
        """Return whether the best score is ``train.patience`` epochs ago; always False without."""
        best = best_record(self.records)
        if self.train.patience is None or best is None or self.records[-1].val_score is None:
            return False
        return self.records[-1].epoch - best.epoch >= self.train.patience

    def _card(self, network: nn.Module, record: EpochRecord) -> ModelCard:
        if self._description is None:  # of a widened network it takes a record of the graph
            self._description = make_card(self.model, self.info, None, None, network)
        return replace(self._description, top1=record.val_top1, scores=self._scores(record))

    def _scores(self, record: EpochRecord) -> dict[str, float]:
        """Return the metrics that the weights file records beside top-1; none where nothing was evaluated."""
        if record.val_score is None:
            return {}
        return task_kind(self.info.task).scores_for_weights(record.val_metrics, record.score)

    def checkpoint(self, state: dict[str, Any]) -> None:
        """Write a checkpoint."""
        self.folder.save(state, self.settings, self.data, keep=self.train.keep_checkpoints)
        self._clock = time.monotonic()

    def saved_so_far(self) -> str:
        """Return a sentence about what is saved."""
        return self.folder.saved_so_far()


class NoJournal:
    """Writes and prints nothing."""

    def due(self) -> bool:
        """Return False: rank 0 decides."""
        return False

    def step(self, trainer: Trainer, epoch: int, done: int, tally: Tally) -> None:
        """Do nothing."""

    def epoch(self, trainer: Trainer, record: EpochRecord) -> None:
        """Do nothing."""

    def network(self, network: nn.Module, record: EpochRecord) -> None:
        """Do nothing."""

    def best(self, network: nn.Module, record: EpochRecord) -> None:
        """Do nothing."""

    def stalled(self) -> bool:
        """Return False: rank 0 decides."""
        return False

    def checkpoint(self, state: dict[str, Any]) -> None:
        """Do nothing."""

    def saved_so_far(self) -> str:
        """Return nothing: rank 0 prints it."""
        return ""


def summarize(
    records: Sequence[EpochRecord], trainer: Trainer, cost: Profile, regularizers: Sequence[str]
) -> dict[str, Any]:
    """Return the content of ``summary.json``: the last epoch's metrics, totals, and advice.

    Args:
        records: Of all epochs.
        trainer: At its end.
        cost: Of the base network.
        regularizers: Names of what keeps the training from fitting, for the advice.
    """
    last, info, augmented = records[-1], trainer.data.info, isinstance(trainer.network, Supernet)
    best = best_record(records)
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
        "best": None if best is None else {"epoch": best.epoch + 1, "score": best.val_score},
        "stopped_early": len(records) < trainer.config.epochs,
        "val_split": info.val_split,
        "seed": trainer.config.seed,
        "arm": "netaug" if augmented else "baseline",
        "skipped_steps": trainer.skipped,
        "advice": advise(
            records, info.val_size, len(info.class_names), augmented=augmented, regularizers=regularizers
        ),
    }
