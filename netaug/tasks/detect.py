"""Object detection: the loss of boxes with classes, and their average precision."""

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
        truth: The objects in the evaluation images; None measures losses only.
        metric: What is reported: ``voc`` is AP50, all points; ``voc07`` its 11-point form; ``coco`` COCO's metrics.
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
        """Return the loss of three maps, each ``[N, 3 * (5 + C), H / s, W / s]``, and its weighted parts."""
        loss = detection_loss(outputs, targets, self.anchors, self.config)
        values = (loss.box, loss.objectness, loss.classes)
        return Losses(loss.total, {name: value.detach() for name, value in zip(_PARTS, values, strict=True)})

    @torch.no_grad()
    def sums(self, outputs: Sequence[Tensor], targets: BoxTargets, losses: Losses) -> Tensor:
        """Return the sums of the loss and its parts over images, and the number of images: float64 ``[5]``."""
        count = len(targets)
        values = [losses.total.detach(), *(losses.parts[name] for name in _PARTS)]
        summed = torch.stack([value.double() for value in values]) * count
        return torch.cat([summed, torch.full_like(summed[:1], count)])

    def metrics(self, sums: Tensor) -> dict[str, float]:
        """Return the mean ``loss`` and its parts."""
        *values, count = sums.tolist()
        return {name: value / count for name, value in zip(("loss", *_PARTS), values, strict=True)}

    @torch.no_grad()
    def rows(self, outputs: Sequence[Tensor], batch: DetectionBatch) -> Tensor:
        """Return the predictions: (image, class, score, left, top, right, bottom), the box in pixels of the file.

        Returns:
            float64 ``[K, 7]``.
        """
        decoded = decode(outputs, self.anchors)
        return torch.from_numpy(detections(decoded, batch.frames_N6, batch.indices_N, self.config))

    def judged(self, sums: Tensor, rows: Tensor | None) -> dict[str, float]:
        """Return losses, and average precision in percent: ``ap50``, or all of COCO's with ``ap`` among them."""
        losses = self.metrics(sums)
        if self.truth is None or rows is None:
            return losses
        return losses | self.precision(rows)

    def precision(self, rows: Tensor) -> dict[str, float]:
        """Return the average precision of predictions, as :meth:`rows` gives them, in percent."""
        assert self.truth is not None, "called only where there are objects to compare with"
        ordered = in_order(rows)
        if self.metric == "coco":
            from netaug.detect.coco import coco_numbers  # needs a package of its own

            numbers = coco_numbers(ordered, self.truth)
            return {
                _NAMES.get(name, name.lower()): 100 * value
                for name, value in numbers.items()
                if value == value  # COCO gives NaN where no object has the size
            }
        points: Literal["all", "11"] = "11" if self.metric == "voc07" else "all"
        return {"ap50": 100 * voc_ap(ordered, self.truth, points=points).mean}


def in_order(rows: Tensor) -> np.ndarray:
    """Return predictions sorted by image, whichever process made them; those of an image keep their order."""
    # stable: average precision depends on the order of predictions with equal scores
    rows_K7: np.ndarray = rows.cpu().numpy()
    return rows_K7[np.argsort(rows_K7[:, 0], kind="stable")]
