"""Which task a run's data asks for, and what of the settings does not go with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netaug.config import RunConfig
from netaug.config.regularize import OF_LAYERS
from netaug.core.errors import ConfigError
from netaug.tasks.base import Task
from netaug.tasks.classify import ClassificationTask

if TYPE_CHECKING:
    from netaug.data import Data


def choose_task(config: RunConfig, data: Data) -> Task[Any, Any]:
    """The task of a dataset, with what results on it are customarily reported in.

    Raises:
        ConfigError: A setting is for images with one label each, and the data is of another kind.
    """
    info = data.info
    if info.task == "classify":
        return ClassificationTask.of(config.train.label_smoothing, info)
    from netaug.tasks.detect import DetectionTask

    _check_detection(config)
    metric = config.detect.metric or ("coco" if info.metric == "coco" else "voc")
    return DetectionTask(info.anchors, config.detect, data.truth, metric)


def _check_detection(config: RunConfig) -> None:
    distill, regularize = config.distill, config.regularize
    whole_image = [name for name in regularize.on if name not in OF_LAYERS]
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
                f"{name} is for images with one label each; the data is to find objects in.", fix=fix
            )
