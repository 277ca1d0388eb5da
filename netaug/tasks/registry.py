"""The tasks by name: how each is built from settings and data, and which settings it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from netaug.config import RunConfig
from netaug.core.errors import ConfigError
from netaug.tasks.base import Task
from netaug.tasks.classify import ClassificationTask

if TYPE_CHECKING:
    from netaug.data import Data


def choose_task(config: RunConfig, data: Data) -> Task[Any, Any]:
    """Return the task of a dataset, with the metric that results on it are customarily reported in.

    Args:
        config: Settings of the loss and of the metrics.
        data: Its ``info.task`` is a name in :data:`TASKS`.

    Raises:
        ConfigError: A setting is for images with one label each, and the data is of another kind.
    """
    return TASKS[data.info.task](config, data)


def _classification(config: RunConfig, data: Data) -> Task[Any, Any]:
    return ClassificationTask.of(config.train.label_smoothing, data.info)


def _detection(config: RunConfig, data: Data) -> Task[Any, Any]:
    from netaug.tasks.detect import DetectionTask  # classification does without it

    _check_detection(config)
    metric = config.detect.metric or ("coco" if data.info.metric == "coco" else "voc")
    return DetectionTask(data.info.anchors, config.detect, data.truth, metric)


TASKS: dict[str, Callable[[RunConfig, Data], Task[Any, Any]]] = {
    "classify": _classification,
    "detect": _detection,
}
"""How the task of a dataset is built, by its name in ``DataInfo.task``; a new task adds its entry here."""


def _check_detection(config: RunConfig) -> None:
    distill, regularize = config.distill, config.regularize
    whole_image = regularize.acting_on("batches", "images")
    wrong = {
        "train.label_smoothing": (config.train.label_smoothing > 0, "--train.label_smoothing 0"),
        "distill": (distill.taught or distill.in_place > 0, "leave distill.* out"),
        "netaug.resolution": (
            config.netaug.resolution < 1,
            "leave it out; detect.sizes draws the side of each step's images",
        ),
        **{f"regularize.{name}": (True, "leave it out") for name in whole_image},
    }
    for name, (is_set, fix) in wrong.items():
        if is_set:
            raise ConfigError(
                f"{name} is for images with one label each; this is a detection dataset.", fix=fix
            )
