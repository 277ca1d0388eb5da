"""Curves of a run for TensorBoard and Weights & Biases, beside ``metrics.jsonl``, which is always written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from netaug.config import RunConfig
from netaug.config.loading import to_mapping
from netaug.core.errors import first_line
from netaug.runs.records import EpochRecord
from netaug.train.metrics import Tally
from netaug.train.tracking_tensorboard import TensorBoardTracker, import_tensorboard
from netaug.train.tracking_wandb import WandbTracker, import_wandb
from netaug.train.trainer import Trainer

EVERY_STEPS = 50
"""Steps between two points of loss and rate; each point waits for the device once."""

_log = logging.getLogger("netaug")


class Tracker(Protocol):
    """One place that curves go to.

    Attributes:
        name: For messages.
        is_new: Whether it knows nothing of the run yet.
    """

    name: str
    is_new: bool

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each of these curves; ``step`` counts updates from the start of the run."""

    def close(self, finished: bool) -> None:
        """Write what is waiting; ``finished`` is false if the run stops before its end."""


def check_trackers(config: RunConfig) -> None:
    """Refuse settings whose package is missing, before any time is spent.

    Raises:
        ConfigError: A package is missing; says what to install.
    """
    if config.train.tensorboard:
        import_tensorboard()
    if config.train.wandb is not None:
        import_wandb()


def open_tracking(
    config: RunConfig, folder: Path, trainer: Trainer, records: Sequence[EpochRecord]
) -> Tracking:
    """The trackers that the settings ask for, ready for the trainer's next step.

    Args:
        config: The run's settings.
        folder: The run folder.
        trainer: Where the run stands.
        records: Finished epochs. A tracker that is new to the run gets them first.

    Raises:
        ConfigError: Weights & Biases does not let a run start.
    """
    trackers: list[Tracker] = []
    steps = trainer.total_steps // trainer.config.epochs
    if config.train.tensorboard:
        # A checkpoint between an epoch's last step and its evaluation: the epoch's point comes again at that step.
        again = trainer.steps_done == (trainer.epochs_done + 1) * steps
        first = trainer.steps_done if again else trainer.steps_done + 1
        trackers.append(TensorBoardTracker(folder / "tensorboard", first))
    if config.train.wandb is not None:
        trackers.append(WandbTracker(config.train.wandb, folder, to_mapping(config)))
    for tracker in trackers:
        for record in records if tracker.is_new else ():
            tracker.log((record.epoch + 1) * steps, epoch_values(record))
    return Tracking(trackers, trainer.tally)


class Tracking:
    """Hands what a run measures to its trackers; a context manager.

    A tracker that fails is given up with a warning: the training goes on.

    Args:
        trackers: May be none.
        tally: Of the epoch that goes on, None at the start of one; what is in it belongs to earlier points.
        every: Steps between two points of loss and rate; None takes ``EVERY_STEPS``.
    """

    def __init__(
        self, trackers: Sequence[Tracker], tally: Tally | None = None, every: int | None = None
    ) -> None:
        self._trackers, self._every = list(trackers), every or EVERY_STEPS
        self._tally, self._images, self._loss_sum = tally, 0, 0.0
        if tally is not None and tally.images and self._trackers:
            self._window(tally)

    def __enter__(self) -> Tracking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._each(lambda tracker: tracker.close(finished=kind is None))

    def step(self, trainer: Trainer, tally: Tally) -> None:
        """A step is done; now and then a point of loss and rate."""
        if not self._trackers:
            return
        if tally is not self._tally:
            self._tally, self._images, self._loss_sum = tally, 0, 0.0
        if trainer.steps_done % self._every == 0 and tally.images > self._images:
            values = {"step/loss": self._window(tally), "step/lr": trainer.lr(trainer.steps_done - 1)}
            self._each(lambda tracker: tracker.log(trainer.steps_done, values))

    def epoch(self, step: int, record: EpochRecord) -> None:
        """An epoch is done, with it ``step`` updates in all."""
        self._each(lambda tracker: tracker.log(step, epoch_values(record)))

    def _window(self, tally: Tally) -> float:
        """Mean loss of the base pass since the point before, or since the epoch's start."""
        loss_sum = tally.metrics()["loss"] * tally.images
        mean = (loss_sum - self._loss_sum) / (tally.images - self._images)
        self._images, self._loss_sum = tally.images, loss_sum
        return mean

    def _each(self, action: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                action(tracker)
            except Exception as error:  # of somebody else's code: no reason to lose days of training
                self._trackers.remove(tracker)
                kind, line = type(error).__name__, first_line(error)
                _log.warning("%s gets no more of this run: %s: %s", tracker.name, kind, line)


def epoch_values(record: EpochRecord) -> dict[str, float]:
    """The points of an epoch, by the name of their curve; times in seconds, top-1 in percent."""
    values = {
        "epoch": record.epoch + 1,
        "train/loss": record.train_loss,
        "train/top1": record.train_top1,
        "val/loss": record.val_loss,
        "val/top1": record.val_top1,
        "val/mean_per_class": record.val_mean_per_class,
        "train/gradient_share": record.gradient_share,
        "train/gradient_cosine": record.gradient_cosine,
        "epoch/lr": record.lr,
        "epoch/images_per_second": record.images_per_second,
        "epoch/train_seconds": record.seconds,
        "epoch/val_seconds": record.val_seconds,
    }
    values |= {f"train/{name}": value for name, value in record.train_metrics.items()}
    values |= {f"val/{name}": value for name, value in record.val_metrics.items()}
    return {name: value for name, value in values.items() if value is not None}
