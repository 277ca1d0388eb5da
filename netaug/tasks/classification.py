"""Classification as a kind of task: one label per image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from netaug.config import RunConfig
from netaug.core.errors import ModelError
from netaug.models.registry import DETECTOR, is_detector
from netaug.tasks.base import Task
from netaug.tasks.classify import ClassificationTask
from netaug.tasks.classify_images import ClassPrinter, Prediction, classify
from netaug.tasks.kind import PredictOptions, TaskKind, Unreadable
from netaug.weights.metadata import ModelCard

if TYPE_CHECKING:
    from netaug.data import Data
    from netaug.data.batch import DataInfo


class Classification(TaskKind):
    """Networks that return one logit per class, judged by top-1 accuracy."""

    name, does = "classify", "classifies whole images"
    predict_options = ("top", "save")

    def build(self, config: RunConfig, data: Data) -> ClassificationTask:
        """Return cross-entropy and accuracy, per class too where that is customary for the dataset."""
        return ClassificationTask.of(config.train.label_smoothing, data.info)

    def with_rows(self, task: Task[Any, Any], info: DataInfo) -> Task[Any, Any]:
        """Return the task with a row per image."""
        from netaug.tasks.classify_rows import ImageRows

        assert isinstance(task, ClassificationTask)
        return ImageRows(task, info)

    def check_network(self, name: str, info: DataInfo) -> None:
        """Refuse detectors."""
        if is_detector(name):
            raise ModelError(
                f"the network {name!r} finds objects, and the data {info.name!r} has none.",
                allowed="data.name voc, coco or yolo",
                fix=f"--model.name {name.removeprefix(DETECTOR)} classifies whole images",
            )

    def scores_for_weights(self, metrics: Mapping[str, float], score: str) -> dict[str, float]:
        """Return nothing: the weights file has a field for top-1."""
        return {}

    def predictions(
        self, network: nn.Module, metadata: ModelCard, images: Sequence[str], options: PredictOptions
    ) -> Iterator[Prediction | Unreadable]:
        """Return an iterator over the likeliest classes per image file."""
        return classify(
            network,
            metadata,
            images,
            top=options.top,
            device=options.device,
            skip_errors=options.skip_errors,
        )

    def printer(
        self, metadata: ModelCard, images: Sequence[str], *, as_json: bool, save: Path | None
    ) -> ClassPrinter:
        """Return what prints class names and probabilities, and saves them."""
        return ClassPrinter(as_json=as_json, save=save)
