"""What a training leaves behind and shows while it runs: rank 0 keeps it, the other processes keep none."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import nn

from netaug.config import RunConfig
from netaug.data.batch import DataInfo
from netaug.runs.folder import RunFolder
from netaug.runs.records import EpochRecord
from netaug.train.build import make_card
from netaug.train.console import TrainingConsole
from netaug.train.metrics import Tally
from netaug.train.trackers import Tracking
from netaug.train.trainer import Trainer


class Journal(Protocol):
    """Keeps and shows what happens in a run."""

    def due(self) -> bool:
        """Whether a checkpoint within the epoch is due."""

    def step(self, trainer: Trainer, epoch: int, done: int, tally: Tally) -> None:
        """A step of an epoch is done."""

    def epoch(self, trainer: Trainer, record: EpochRecord) -> None:
        """An epoch is done."""

    def network(self, network: nn.Module, record: EpochRecord) -> None:
        """Keep the plain network as it is after an epoch."""

    def checkpoint(self, state: dict[str, Any]) -> None:
        """Keep the trainer's state."""

    def saved_so_far(self) -> str:
        """What a stopped run leaves behind, in words."""


@dataclass
class FolderJournal:
    """Writes a run folder, the console and the trackers.

    Args:
        folder: Where to.
        config: The run's settings.
        info: The run's data.
        data: What tells it from other data; see :func:`netaug.runs.resume.data_record`.
        console: What the user sees.
        tracking: Other places that curves go to.
    """

    folder: RunFolder
    config: RunConfig
    info: DataInfo
    data: Mapping[str, Any]
    console: TrainingConsole
    tracking: Tracking
    _clock: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        """Whether the last checkpoint is ``checkpoint_minutes`` ago."""
        minutes = self.config.train.checkpoint_minutes
        return time.monotonic() - self._clock >= 60 * (math.inf if minutes is None else minutes)

    def step(self, trainer: Trainer, epoch: int, done: int, tally: Tally) -> None:
        """Show and track."""
        self.console.step(epoch, done, tally)
        self.tracking.step(trainer, tally)

    def epoch(self, trainer: Trainer, record: EpochRecord) -> None:
        """Log, show and track."""
        self.folder.log(record)
        self.console.epoch(record)
        self.tracking.epoch(trainer.steps_done, record)

    def network(self, network: nn.Module, record: EpochRecord) -> None:
        """Write ``model.safetensors``."""
        card = make_card(self.config.model, self.info, record.val_top1, self._scores(record))
        self.folder.save_network(network, card)

    def _scores(self, record: EpochRecord) -> dict[str, float]:
        """What goes with a detector's weights."""
        detects = self.info.task == "detect" and record.val_score is not None
        return (
            {name: value for name, value in record.val_metrics.items() if name.startswith("ap")}
            if detects
            else {}
        )

    def checkpoint(self, state: dict[str, Any]) -> None:
        """Write a checkpoint."""
        self.folder.save(state, self.config, self.data)
        self._clock = time.monotonic()

    def saved_so_far(self) -> str:
        """In words."""
        return self.folder.saved_so_far()


class NoJournal:
    """Keeps nothing and is silent."""

    def due(self) -> bool:
        """Rank 0 says when."""
        return False

    def step(self, trainer: Trainer, epoch: int, done: int, tally: Tally) -> None:
        """Nothing."""

    def epoch(self, trainer: Trainer, record: EpochRecord) -> None:
        """Nothing."""

    def network(self, network: nn.Module, record: EpochRecord) -> None:
        """Nothing."""

    def checkpoint(self, state: dict[str, Any]) -> None:
        """Nothing."""

    def saved_so_far(self) -> str:
        """Rank 0 says it."""
        return ""
