"""Curves of a run for TensorBoard and Weights & Biases, beside ``metrics.jsonl``, which is always written."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from netaug.config import TrainConfig
from netaug.core.errors import ConfigError, first_line
from netaug.core.io import write_atomic
from netaug.core.optional import import_extra
from netaug.runs.records import EpochRecord
from netaug.train.metrics import Tally
from netaug.train.trainer import Trainer

EVERY_STEPS = 50
"""Steps between two points of loss and rate; each point waits for the device once."""

_log = logging.getLogger("netaug")


class Tracker(Protocol):
    """Sends curves to a service.

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


def check_trackers(config: TrainConfig) -> None:
    """Refuse settings whose package is missing, before any time is spent.

    Raises:
        ConfigError: A package is missing; says what to install.
    """
    if config.tensorboard:
        import_tensorboard()
    if config.wandb is not None:
        import_wandb()


def open_tracking(
    settings: Mapping[str, Any], folder: Path, trainer: Trainer, records: Sequence[EpochRecord]
) -> Tracking:
    """Open the trackers that the trainer's settings name, ready for its next step.

    Args:
        settings: The whole configuration as plain values, which Weights & Biases shows.
        folder: The run folder.
        trainer: Where the run stands.
        records: Finished epochs. A tracker that is new to the run gets them first.

    Raises:
        ConfigError: Weights & Biases does not let a run start.
    """
    trackers: list[Tracker] = []
    config = trainer.config
    steps = trainer.total_steps // config.epochs
    if config.tensorboard:
        # A checkpoint between an epoch's last step and its evaluation: the epoch's point comes again at that step.
        again = trainer.steps_done == (trainer.epochs_done + 1) * steps
        first = trainer.steps_done if again else trainer.steps_done + 1
        trackers.append(TensorBoardTracker(folder / "tensorboard", first))
    if config.wandb is not None:
        trackers.append(WandbTracker(config.wandb, folder, settings))
    for tracker in trackers:
        for record in records if tracker.is_new else ():
            tracker.log((record.epoch + 1) * steps, epoch_values(record))
    return Tracking(trackers, trainer.tally)


class Tracking:
    """Sends what a run measures to its trackers; a context manager.

    A tracker that fails is dropped with a warning: the training continues.

    Args:
        trackers: May be none.
        tally: Of the epoch that is resumed, None at the start of one; its sums belong to earlier points.
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
        """Send a point of loss and rate, if enough steps are done."""
        if not self._trackers:
            return
        if tally is not self._tally:
            self._tally, self._images, self._loss_sum = tally, 0, 0.0
        if trainer.steps_done % self._every == 0 and tally.images > self._images:
            values = {"step/loss": self._window(tally), "step/lr": trainer.lr(trainer.steps_done - 1)}
            self._each(lambda tracker: tracker.log(trainer.steps_done, values))

    def epoch(self, step: int, record: EpochRecord) -> None:
        """Send the points of an epoch, after ``step`` updates in all."""
        self._each(lambda tracker: tracker.log(step, epoch_values(record)))

    def _window(self, tally: Tally) -> float:
        """Return the mean loss of the base pass since the point before, or since the epoch's start."""
        loss_sum = tally.metrics()["loss"] * tally.images
        mean = (loss_sum - self._loss_sum) / (tally.images - self._images)
        self._images, self._loss_sum = tally.images, loss_sum
        return mean

    def _each(self, action: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                action(tracker)
            except Exception as error:  # of a foreign package: no reason to lose days of training
                self._trackers.remove(tracker)
                kind, line = type(error).__name__, first_line(error)
                _log.warning("%s receives nothing more of this run: %s: %s", tracker.name, kind, line)


def epoch_values(record: EpochRecord) -> dict[str, float]:
    """Return the points of an epoch, by the name of their curve; times in seconds, top-1 in percent."""
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


_FLUSH_SECONDS = 30


def import_tensorboard() -> Any:
    """Import ``torch.utils.tensorboard``.

    Raises:
        ConfigError: The package tensorboard is missing.
    """
    without = "--train.tensorboard false; metrics.jsonl is always written"
    return import_extra(
        "torch.utils.tensorboard", "tensorboard", "train.tensorboard", without, error=ConfigError
    )


class TensorBoardTracker:
    """Writes event files; see :class:`Tracker`.

    Args:
        folder: Of the event files.
        first: The next step. Earlier processes' points from there on are not shown: they come again.
    """

    name = "TensorBoard"

    def __init__(self, folder: Path, first: int) -> None:
        self.is_new = not folder.exists()
        self._writer = import_tensorboard().SummaryWriter(
            str(folder), purge_step=None if self.is_new else first, flush_secs=_FLUSH_SECONDS
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each of these curves."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self, finished: bool) -> None:
        """Write what is waiting."""
        self._writer.close()


_ID = "wandb-id.txt"


def import_wandb() -> Any:
    """Import ``wandb``.

    Raises:
        ConfigError: It is missing.
    """
    without = "leave train.wandb out; metrics.jsonl is always written"
    return import_extra("wandb", "wandb", "train.wandb", without, error=ConfigError)


class WandbTracker:
    """Sends points; see :class:`Tracker`.

    A resumed run sends some points a second time. Weights & Biases takes no step twice, and both are equal: a run
    resumes to the same bits.

    Args:
        project: Where the run appears.
        folder: The run folder; its name is the run's, that of the folder above it the run's group.
        config: The settings, shown with the run.

    Raises:
        ConfigError: It does not let a run start, for example because nobody is logged in.
    """

    name = "Weights & Biases"

    def __init__(self, project: str, folder: Path, config: Mapping[str, Any]) -> None:
        wandb, file = import_wandb(), folder / _ID
        self.is_new = not file.exists()
        if self.is_new:
            write_atomic(file, secrets.token_hex(8) + "\n")
        try:
            self._run = wandb.init(
                project=project,
                id=file.read_text(encoding="utf-8").strip(),
                resume="allow",
                name=folder.name,
                group=folder.resolve().parent.name,
                dir=str(folder),
                config=dict(config),
            )
        except Exception as error:  # of a foreign package
            if self.is_new:
                file.unlink(missing_ok=True)
            raise ConfigError(
                "Weights & Biases refuses the run (train.wandb).",
                got=f"{type(error).__name__}: {first_line(error)}",
                fix="`wandb login`; or WANDB_MODE=offline in the environment, then `wandb sync` sends it later",
            ) from error

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each of these curves."""
        self._run.log(dict(values), step=step)

    def close(self, finished: bool) -> None:
        """Send what is waiting; a run that stopped early is shown as failed until it is resumed."""
        self._run.finish(exit_code=0 if finished else 1)
