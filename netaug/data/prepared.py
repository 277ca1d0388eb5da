"""A dataset ready for training, and the checks of settings that all kinds of datasets share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from netaug.config import MOST_PIXELS, DataConfig
from netaug.core.errors import DataError
from netaug.data.batch import DataInfo
from netaug.data.detection.loaders import BoxEvalLoader, BoxTrainLoader
from netaug.data.listing_digest import DataListing
from netaug.data.loading import EvalLoader, TrainLoader
from netaug.detect.annotations import Annotations

_MOST_WORKERS = 1024


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
        """The training batches of images with labels.

        Raises:
            DataError: The images have boxes.
        """
        if isinstance(self.train, TrainLoader):
            return self.train
        raise DataError(
            "this works with images that have one label each.",
            got=f"the dataset '{self.info.name}', whose images have boxes",
        )


def check_settings(config: DataConfig) -> None:
    """Check every setting that does not depend on the images.

    Raises:
        DataError: A setting is out of range.
    """
    lowest = {
        "image_size": 1,
        "batch_size": 1,
        "eval_batch_size": 1,
        "limit": 1,
        "shots": 1,
        "workers": 0,
        "pad": 0,
        "distinct_epochs": 1,
    }
    for name, low in lowest.items():
        value = getattr(config, name)
        if value is not None and value < low:
            raise DataError(
                f"data.{name} is out of range.", got=value, allowed=f"an integer of at least {low}"
            )
    for name, most in {"image_size": MOST_PIXELS, "pad": MOST_PIXELS, "workers": _MOST_WORKERS}.items():
        value = getattr(config, name)
        if value is not None and value > most:
            raise DataError(f"data.{name} is out of range.", got=value, allowed=f"at most {most}")
    if not 0.0 <= config.holdout < 1.0:
        raise DataError(
            "data.holdout is out of range.",
            got=config.holdout,
            allowed="a share of the training images in [0, 1)",
            fix="--data.holdout 0.1",
        )
    if config.shots is not None and config.limit is not None:
        raise DataError(
            "data.shots and data.limit both choose training images.",
            got=f"data.shots {config.shots}, data.limit {config.limit}",
            fix="leave one of them out",
        )
    choices = {
        "augment": ("imagenet", "small", "detection", "none"),
        "cache": ("auto", "ram", "none"),
        "box_orientation": ("auto", "upright", "stored"),
        "on_error": ("raise", "skip"),
    }
    for name, allowed in choices.items():
        if getattr(config, name) not in allowed:
            raise DataError(
                f"data.{name} is unknown.", got=repr(getattr(config, name)), allowed=", ".join(allowed)
            )


def normalization(
    own_mean: tuple[float, ...], own_std: tuple[float, ...], in_chans: int, config: DataConfig
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the settings, else the dataset's own.

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
