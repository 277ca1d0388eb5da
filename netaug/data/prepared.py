"""A dataset ready for training, and what the builders of all tasks share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from netaug.config import DataConfig, DetectConfig
from netaug.config.regularize import RegularizeConfig
from netaug.core.errors import DataError
from netaug.data.batch import Batch, DataInfo
from netaug.data.listing_digest import DataListing
from netaug.data.loading import TrainLoader
from netaug.data.sampler import WHOLE, Share
from netaug.detect.annotations import Annotations


class TrainBatches(Protocol):
    """Training batches of any task."""

    def __len__(self) -> int:
        """Return the number of steps per epoch."""

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """Return this process's batches of an epoch, 0-based, but for the first ``skip``."""


class EvalBatches(Protocol):
    """Evaluation batches of any task: each image once."""

    def __len__(self) -> int:
        """Return the number of batches."""

    def __iter__(self) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class Data:
    """A dataset ready for training.

    Args:
        info: Facts that a model and its user need.
        train: Training batches, epoch by epoch.
        val: Evaluation batches.
        truth: Of detection: the objects of the evaluation images, in pixels of the files; their positions are those
            that evaluation batches name.
        listing: Both splits as the dataset lists them; None of data that no dataset lists.
    """

    info: DataInfo
    train: TrainBatches
    val: EvalBatches
    truth: Annotations | None = None
    listing: DataListing | None = None

    @property
    def labeled(self) -> TrainLoader:
        """Return the training batches of images with one label each.

        Raises:
            DataError: They are for another task.
        """
        if isinstance(self.train, TrainLoader):
            return self.train
        raise DataError(
            "this works with images that have one label each.",
            got=f"the dataset '{self.info.name}', which is for the task {self.info.task!r}",
        )


@dataclass(frozen=True)
class Feed:
    """What of a run, beside its :class:`DataConfig`, decides on batches.

    Args:
        seed: Keys the order and the augmentation.
        pin_memory: Whether batches come in page-locked memory, for CUDA.
        share: What this process loads, if several train together.
        regularize: What else is done to training images without boxes; None does nothing.
        detect: What is done to training images with boxes; None takes the settings' own values.
        crop_ratio: Part of a scaled evaluation image that the center crop keeps, where one is cropped; None is usual.
    """

    seed: int
    pin_memory: bool = False
    share: Share = WHOLE
    regularize: RegularizeConfig | None = None
    detect: DetectConfig | None = None
    crop_ratio: float | None = None

    def augment_seed(self, config: DataConfig) -> int:
        """Return the seed that keys the augmentation: that of the settings, else the run's."""
        return self.seed if config.augment_seed is None else config.augment_seed


Builder = Callable[[DataConfig, Feed], Data]
_BUILDERS: dict[str, Builder] = {}


def builds_loaders(task: str) -> Callable[[Builder], Builder]:
    """Register the function below as what builds the loaders of all datasets of a task.

    Args:
        task: Its name, as datasets give it.
    """

    def register(builder: Builder) -> Builder:
        assert task not in _BUILDERS, f"two functions build the loaders of {task!r}"
        _BUILDERS[task] = builder
        return builder

    return register


def builder_of(task: str) -> Builder:
    """Return what builds the loaders of a task."""
    return _BUILDERS[task]


def normalization(
    own_mean: tuple[float, ...], own_std: tuple[float, ...], in_chans: int, config: DataConfig
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of the settings, else the dataset's own.

    Raises:
        DataError: There is not one for each channel, or one cannot be divided by.
    """
    defaults = {"mean": own_mean, "std": own_std}
    chosen = {"mean": config.mean or own_mean, "std": config.std or own_std}
    for name, values in chosen.items():
        sound = all(math.isfinite(value) and (name == "mean" or value > 0) for value in values)
        if len(values) != in_chans or not sound:
            raise DataError(
                f"data.{name} cannot be used.",
                got=list(values),
                allowed=f"{in_chans} numbers{' above 0' * (name == 'std')}, one for each channel of the images",
                fix=f"leave it out: {config.name} has {list(defaults[name])}",
            )
    return chosen["mean"], chosen["std"]
