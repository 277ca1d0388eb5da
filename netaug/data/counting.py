"""How many images a training would have, before anything is built."""

from __future__ import annotations

from netaug.config import DataConfig
from netaug.data.detection.build import read_source
from netaug.data.detection.problems import Problems
from netaug.data.registry import find_dataset, load_source
from netaug.data.subset import keep_classes, select_images


def count_training_images(config: DataConfig) -> int | None:
    """Return the number of training images; None for a task of the user's own.

    Raises:
        DataError: The dataset cannot be read, or a selection leaves nothing.
    """
    task = find_dataset(config.name).task
    if task == "detect":
        train, *_ = select_images(read_source(config, Problems(skip=True)), config)
        return len(train)
    if task != "classify":
        return None
    source = load_source(config)
    labeled, *_ = select_images(keep_classes(source, config.classes) if config.classes else source, config)
    return len(labeled)
