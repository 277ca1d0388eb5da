"""A dataset ready for training, and what the builders of all tasks share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from netaug.config import DataConfig, DetectConfig
from netaug.config.regularize import RegularizeConfig
from netaug.core.errors import DataError
from netaug.data.batch import DataInfo
from netaug.data.detection.loaders import BoxEvalLoader, BoxTrainLoader
from netaug.data.listing_digest import DataListing
from netaug.data.loading import EvalLoader, TrainLoader
from netaug.data.sampler import WHOLE, Share
from netaug.detect.annotations import Annotations


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
    train: TrainLoader | BoxTrainLoader
    val: EvalLoader | BoxEvalLoader
    truth: Annotations | None = None
    listing: DataListing | None = None

    @property
    def labeled(self) -> TrainLoader:
        """Return the training batches of images with one label each.

        Raises:
            DataError: The images have boxes.
        """
        if isinstance(self.train, TrainLoader):
            return self.train
        raise DataError(
            "this works with images that have one label each.",
            got=f"the dataset '{self.info.name}', whose images have boxes",
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
    """

    seed: int
    pin_memory: bool = False
    share: Share = WHOLE
    regularize: RegularizeConfig | None = None
    detect: DetectConfig | None = None

    def augment_seed(self, config: DataConfig) -> int:
        """Return the seed that keys the augmentation: that of the settings, else the run's."""
        return self.seed if config.augment_seed is None else config.augment_seed


def normalization(
    own_mean: tuple[float, ...], own_std: tuple[float, ...], in_chans: int, config: DataConfig
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of the settings, else the dataset's own.

    Raises:
        DataError: There is not one for each channel, or one cannot be divided by.
    """
    own = {"mean": own_mean, "std": own_std}
    chosen = {"mean": config.mean or own_mean, "std": config.std or own_std}
    for name, values in chosen.items():
        sound = all(math.isfinite(value) and (name == "mean" or value > 0) for value in values)
        if len(values) != in_chans or not sound:
            raise DataError(
                f"data.{name} cannot be used.",
                got=list(values),
                allowed=f"{in_chans} numbers{' above 0' * (name == 'std')}, one for each channel of the images",
                fix=f"leave it out: {config.name} has {list(own[name])}",
            )
    return chosen["mean"], chosen["std"]
