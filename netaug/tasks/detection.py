"""Object detection as a kind of task: boxes with classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from netaug.config import RunConfig
from netaug.config.detect import ANCHORS, SCALES, check_side
from netaug.core.errors import ConfigError, ModelError
from netaug.models.registry import DETECTOR, is_detector
from netaug.models.trial import OutputForm
from netaug.tasks.kind import PredictOptions, TaskKind, Unreadable
from netaug.weights.metadata import ModelCard

if TYPE_CHECKING:
    from netaug.data import Data
    from netaug.data.batch import DataInfo
    from netaug.tasks.detect import DetectionTask
    from netaug.tasks.detect_images import ImageDetections
    from netaug.tasks.detect_printing import DetectionPrinter


class Detection(TaskKind):
    """Networks that return three maps of boxes, judged by average precision.

    The modules that need Pillow or NumPy code for boxes are imported on first use: classification does without them.
    """

    name, does = "detect", "finds objects"
    predict_options = ("score", "save")
    # the defaults are for images with one label each
    evaluation_settings = ("--train.label_smoothing=0", "--data.augment=detection")

    def build(self, config: RunConfig, data: Data) -> DetectionTask:
        """Return YOLOv3's loss, and the average precision that is asked for or customary for the dataset."""
        from netaug.tasks.detect import DetectionTask

        metric = config.detect.metric or ("coco" if data.info.metric == "coco" else "voc")
        return DetectionTask(data.info.anchors, config.detect, data.truth, metric)

    def output_form(self) -> OutputForm:
        """Return the form of YOLOv3's outputs: one map per stride."""
        channels = ANCHORS // SCALES
        return OutputForm(
            f"{SCALES} maps of boxes",
            lambda classes: f"{SCALES} tensors of shape [N, {channels * (5 + classes)}, H, W]",
            _are_maps,
        )

    def check_network(self, name: str, info: DataInfo) -> None:
        """Refuse networks that are not detectors: their heads do not belong to anchors."""
        if not is_detector(name):
            raise ModelError(
                f"the network {name!r} classifies whole images, and {info.name!r} is a detection dataset.",
                fix=f"--model.name {DETECTOR}{name} finds objects with it",
            )

    def check_data(self, data: Data) -> None:
        """Refuse evaluation images without an object that counts."""
        from netaug.data.detection.objects import check_evaluation_objects

        check_evaluation_objects(data)

    def check_training_data(self, data: Data) -> None:
        """Refuse training images without an object that counts."""
        from netaug.data.detection.objects import check_training_objects

        check_training_objects(data)

    def check_side(self, where: str, side: int) -> None:
        """Refuse sides that are not a multiple of the largest stride."""
        check_side(where, side)

    def check_settings(self, config: RunConfig) -> None:
        """Refuse what would mix, smooth or scale images without their boxes."""
        distill, regularize = config.distill, config.regularize
        whole_image = regularize.acting_on("batches", "images")
        wrong = {
            "train.label_smoothing": (config.train.label_smoothing > 0, "--train.label_smoothing 0"),
            "distill": (distill.has_teacher or distill.in_place > 0, "leave distill.* out"),
            "netaug.resolution": (
                config.netaug.resolution < 1,
                "leave it out; detect.sizes draws the side of each step's images, and netaug.batch_share and "
                "netaug.augment_every save time",
            ),
            **{f"regularize.{name}": (True, "leave it out") for name in whole_image},
        }
        for name, (is_set, fix) in wrong.items():
            if is_set:
                raise ConfigError(
                    f"{name} is for images with one label each; this is a detection dataset.", fix=fix
                )

    def scores_for_weights(self, metrics: Mapping[str, float], score: str) -> dict[str, float]:
        """Return all average precisions."""
        return {name: value for name, value in metrics.items() if name.startswith("ap")}

    def predictions(
        self, network: nn.Module, metadata: ModelCard, images: Sequence[str], options: PredictOptions
    ) -> Iterator[ImageDetections | Unreadable]:
        """Return an iterator over the objects per image file, with the settings of the network's run."""
        from netaug.tasks.detect_images import find_objects

        settings = replace(options.run_settings().detect, score_threshold=options.score)
        return find_objects(
            network, metadata, images, settings, options.device, skip_errors=options.skip_errors
        )

    def printer(
        self, metadata: ModelCard, images: Sequence[str], *, as_json: bool, save: Path | None
    ) -> DetectionPrinter:
        """Return what prints boxes, and draws them into a folder."""
        from netaug.tasks.detect_printing import DetectionPrinter

        return DetectionPrinter(metadata, images, as_json=as_json, save=save)


def _are_maps(outputs: object, count: int, num_classes: int) -> bool:
    channels = ANCHORS // SCALES * (5 + num_classes)
    return (
        isinstance(outputs, tuple)
        and len(outputs) == SCALES
        and all(isinstance(map_, Tensor) and map_.shape[:2] == (count, channels) for map_ in outputs)
    )
