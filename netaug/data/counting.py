"""How many images a training would have, before anything is built."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data.detection.build import read_source
from netaug.data.detection.problems import Problems
from netaug.data.registry import Source, find_dataset, load_source
from netaug.data.store import StoredImages
from netaug.data.subset import keep_classes, select_images


def count_training_images(config: DataConfig) -> int | None:
    """Return the number of training images; None for a task of the user's own.

    Raises:
        DataError: The dataset cannot be read, or a selection leaves nothing.
    """
    task = find_dataset(config.name).task
    if task == "detect":
        return count_selected(read_source(config, Problems(skip=True)), config)
    return count_selected(load_source(config), config) if task == "classify" else None


def count_selected(source: Any, config: DataConfig) -> int:
    """Return how many training images of a dataset its settings leave.

    Args:
        source: As its reader returns it.
        config: Classes, holdout, shots and limit.

    Raises:
        DataError: They leave nothing.
    """
    if config.classes and isinstance(source, Source):
        source = keep_classes(source, config.classes)
    # without the limit, of which a warning says where it changes nothing: the training gives it
    train, *_ = select_images(source, replace(config, limit=None))
    return len(train) if config.limit is None else min(len(train), config.limit)


def sampled_sides(images: StoredImages, count: int, *, skip: bool) -> npt.NDArray[np.int64]:
    """Return the shorter sides in pixels of some images, spread over all of them.

    Args:
        images: Files, or images that are stored otherwise.
        count: How many at most.
        skip: Whether those that cannot be read are left out.

    Raises:
        DataError: One cannot be read; with ``skip``, none can.
    """
    sides = list[int]()
    for index in np.linspace(0, len(images) - 1, min(len(images), count)).astype(int).tolist():
        try:
            sides.append(min(images.size(index)))
        except DataError as error:
            if not skip:
                raise
            unreadable = error
    if not sides:
        raise unreadable
    return np.array(sides, np.int64)


def images_of_partial_batch(config: DataConfig) -> int | None:
    """Return the number of training images where they do not fill one batch; None where they do, or it is not known.

    Raises:
        DataError: The dataset cannot be read, or a selection leaves nothing.
    """
    published = find_dataset(config.name).published
    selected = config.classes or config.shots or config.limit or config.holdout
    # whole published datasets are large, and may not be on disk yet; ImageNet takes seconds to list
    if config.download or (published is not None and not selected and config.batch_size <= published.train):
        return None
    images = count_training_images(config)
    return None if images is None or images >= config.batch_size else images
