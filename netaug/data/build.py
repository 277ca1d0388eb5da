"""From settings to loaders, whatever the task of the dataset."""

from __future__ import annotations

from netaug.config import DataConfig, DetectConfig
from netaug.config.regularize import RegularizeConfig
from netaug.core.one_command import forget
from netaug.data import labeled as labeled  # registers what builds loaders
from netaug.data import readers as readers  # registers the datasets
from netaug.data.detection import build as build  # likewise
from netaug.data.prepared import Data, Feed, builder_of
from netaug.data.registry import find_dataset
from netaug.data.sampler import WHOLE, Share
from netaug.data.workers import warn_of_many


def build_data(
    config: DataConfig,
    *,
    seed: int,
    pin_memory: bool = False,
    share: Share = WHOLE,
    regularize: RegularizeConfig | None = None,
    detect: DetectConfig | None = None,
    crop_ratio: float | None = None,
) -> Data:
    """Find a dataset and build its loaders.

    Args:
        config: Which images, and how they are fed.
        seed: Keys the order and the augmentation; splits and subsets do not depend on it.
        pin_memory: Whether batches come in page-locked memory, for CUDA.
        share: What this process loads, if several train together.
        regularize: What else is done to training images without boxes; None does nothing.
        detect: What is done to training images with boxes; None takes the settings' own values.
        crop_ratio: Part of a scaled evaluation image that the center crop keeps, where one is cropped; None is usual.

    Returns:
        The dataset's facts and its two loaders; with boxes also the objects of the evaluation images. Batches are bit
        for bit the same for any ``config.workers``.

    Raises:
        DataError: The dataset is unknown, missing, incomplete or damaged, or a setting does not fit it.
        ConfigError: ``config.image_size`` cannot be the side of a detector's input.
    """
    task = find_dataset(config.name).task
    warn_of_many(config.workers)
    data = builder_of(task)(config, Feed(seed, pin_memory, share, regularize, detect, crop_ratio))
    forget()
    return data
