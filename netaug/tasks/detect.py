"""Object detection: boxes with classes, judged by average precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from netaug.config.detect import DetectConfig
from netaug.data.batch import DetectionBatch
from netaug.detect.anchors import Anchors
from netaug.detect.annotations import Annotations
from netaug.detect.ap import voc_ap
from netaug.detect.codec import decode
from netaug.detect.loss import detection_loss
from netaug.detect.nms import detections
from netaug.detect.targets import BoxTargets
from netaug.tasks.base import Losses, Task

_PARTS = ("box_loss", "objectness_loss", "class_loss")
_NAMES = {
    **{f"AP{size[0]}": f"ap_{size}" for size in ("small", "medium", "large")},
    **{f"AR{size[0]}": f"ar_{size}" for size in ("small", "medium", "large")},
}
Metric = Literal["voc", "voc07", "coco"]


class DetectionTask(Task[BoxTargets, DetectionBatch]):
    """YOLOv3's loss, and Pascal VOC's or COCO's average precision.

    Args:
        anchors: Nine (width, height) in pixels of the network's input, smallest first.
        config: Factors of the loss, and which predictions count.
        truth: What is in the evaluation images; None measures losses only.
        metric: What is reported: ``voc`` is AP50, all points; ``voc07`` its 11-point form; ``coco`` COCO's numbers.
    """

    def __init__(
        self,
        anchors: Anchors,
        config: DetectConfig,
        truth: Annotations | None = None,
        metric: Metric = "voc",
    ) -> None:
        self.anchors, self.config, self.truth, self.metric = anchors, config, truth, metric
        self.score = "ap" if metric == "coco" else "ap50"

    def losses(self, outputs: Sequence[Tensor], targets: BoxTargets) -> Losses:
        """The loss of three maps, each ``[N, 3 * (5 + C), H / s, W / s]``, and its weighted parts."""
        found = detection_loss(outputs, targets, self.anchors, self.config)
        values = (found.box, found.objectness, found.classes)
        return Losses(found.total, {name: value.detach() for name, value in zip(_PARTS, values, strict=True)})

    @torch.no_grad()
    def sums(self, outputs: Sequence[Tensor], targets: BoxTargets, losses: Losses) -> Tensor:
        """Sums of the loss and its parts over images, and the number of images: float64 ``[5]``."""
        count = len(targets)
        values = [losses.total.detach(), *(losses.parts[name] for name in _PARTS)]
        summed = torch.stack([value.double() for value in values]) * count
        return torch.cat([summed, torch.full_like(summed[:1], count)])

    def metrics(self, sums: Tensor) -> dict[str, float]:
        """Mean ``loss`` and its parts."""
        *values, count = sums.tolist()
        return {name: value / count for name, value in zip(("loss", *_PARTS), values, strict=True)}

    @torch.no_grad()
    def rows(self, outputs: Sequence[Tensor], batch: DetectionBatch) -> Tensor:
        """What is found in the images: (image, class, score, left, top, right, bottom), the box in pixels of the file.

        Returns:
            float64 ``[K, 7]``.
        """
        found = detections(decode(outputs, self.anchors), batch.frames_N6, batch.indices_N, self.config)
        return torch.from_numpy(found)

    def judged(self, sums: Tensor, rows: Tensor | None) -> dict[str, float]:
        """Losses, and average precision in percent: ``ap50``, or all of COCO's with ``ap`` among them."""
        found = self.metrics(sums)
        if self.truth is None or rows is None:
            return found
        return found | self.precision(rows)

    def precision(self, rows: Tensor) -> dict[str, float]:
        """Average precision of predictions, as :meth:`rows` gives them, in percent."""
        assert self.truth is not None, "asked only where there is something to compare with"
        ordered = in_order(rows)
        if self.metric == "coco":
            from netaug.detect.coco import coco_numbers  # needs a package of its own

            numbers = coco_numbers(ordered, self.truth)
            return {
                _NAMES.get(name, name.lower()): 100 * value
                for name, value in numbers.items()
                if value == value
            }
        points: Literal["all", "11"] = "11" if self.metric == "voc07" else "all"
        return {"ap50": 100 * voc_ap(ordered, self.truth, points=points).mean}


def in_order(rows: Tensor) -> np.ndarray:
    """Predictions by images, whichever process found them; those of an image stay in their order."""
    found: np.ndarray = rows.cpu().numpy()
    return found[np.argsort(found[:, 0], kind="stable")]
