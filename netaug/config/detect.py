"""How a detector is trained and judged; free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from netaug.core.errors import ConfigError

STRIDE = 32
SMALLEST, LARGEST = 96, 608
ANCHORS, SCALES = 9, 3
"""Shapes of boxes, a third of them for each of the maps."""
SHOWN_SCORE = 0.25
"""Least score of an object that is shown to people, where they ask for no other."""


@dataclass(frozen=True)
class DetectConfig:
    """Detection: anchors, what is done to training images, the loss, and what counts as found.

    Args:
        anchors: `data` groups the boxes of the training images by k-means; `coco` takes those of YOLOv3.
        anchor_sizes: Widths and heights of the 9 anchors in pixels of the network's input, smallest first: 18 numbers
            as `netaug data anchors` prints them; empty follows `anchors`.
        sizes: Sides in pixels that are drawn from, one for each step (multi-scale training): multiples of 32; empty
            trains at `data.image_size` only.
        mosaic: Probability in [0, 1] that a training image is put together from four.
        scale: Smallest and largest factor that a training image is scaled by before a part of the input's size is cut
            out at random, relative to fitting in whole; [1, 1] does not.
        brightness: Largest relative change of brightness, in [0, 1).
        saturation: Largest relative change of saturation, in [0, 1).
        hue: Largest change of hue as a fraction of the color circle, in [0, 0.5].
        match_iou: Overlap of width and height (0, 1] from which an anchor other than the best one is also trained on an
            object; 1 trains the best one only, as YOLOv3 does.
        ignore_iou: Overlap (0, 1] with an object from which a prediction that is not trained on it is not called wrong.
        box_weight: Factor on the loss of box places and sizes.
        objectness_weight: Factor on the loss of whether there is an object.
        class_weight: Factor on the loss of its class.
        score_threshold: Least score in [0, 1) of a prediction that is judged.
        nms_iou: Overlap (0, 1] from which the lower-scored of two predictions of a class is dropped.
        max_detections: Most predictions per image.
        metric: What results are reported in first: `voc` is AP50 of Pascal VOC, all points; `voc07` its 11-point form
            of 2007; `coco` is COCO's mean over overlaps. null is what is customary for the data.
    """

    anchors: Literal["data", "coco"] = "data"
    anchor_sizes: tuple[float, ...] = ()
    sizes: tuple[int, ...] = ()
    mosaic: float = 0.0
    scale: tuple[float, float] = (0.6, 1.6)
    brightness: float = 0.3
    saturation: float = 0.5
    hue: float = 0.02
    match_iou: float = 0.5
    ignore_iou: float = 0.6
    box_weight: float = 2.0
    objectness_weight: float = 1.0
    class_weight: float = 1.0
    score_threshold: float = 0.005
    nms_iou: float = 0.5
    max_detections: int = 100
    metric: Literal["voc", "voc07", "coco"] | None = None

    def __post_init__(self) -> None:
        sizes = self.anchor_sizes
        sound = not sizes or (len(sizes) == 2 * ANCHORS and all(0 < side < math.inf for side in sizes))
        self._require("anchor_sizes", sound, f"{2 * ANCHORS} numbers above 0, or none")
        for side in self.sizes:
            check_side("detect.sizes", side)
        self._require("mosaic", 0 <= self.mosaic <= 1, "a number in [0, 1]")
        low, high = self.scale if len(self.scale) == 2 else (0.0, 0.0)
        self._require("scale", 0 < low <= high < math.inf, "two numbers above 0, the smaller first")
        for name in ("brightness", "saturation", "score_threshold"):
            self._require(name, 0 <= getattr(self, name) < 1, "a number in [0, 1)")
        self._require("hue", 0 <= self.hue <= 0.5, "a number in [0, 0.5]")
        for name in ("match_iou", "ignore_iou", "nms_iou"):
            self._require(name, 0 < getattr(self, name) <= 1, "a number in (0, 1]")
        for name in ("box_weight", "objectness_weight", "class_weight"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "a number, at least 0")
        self._require("max_detections", self.max_detections >= 1, "a whole number, at least 1")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise ConfigError(f"detect.{name} is out of range.", got=getattr(self, name), allowed=allowed)


def check_side(name: str, side: int) -> None:
    """Check a side of a detector's input in pixels.

    Raises:
        ConfigError: It is not a multiple of 32, or out of range; names the nearest ones.
    """
    if SMALLEST <= side <= LARGEST and side % STRIDE == 0:
        return
    near = min(LARGEST, max(SMALLEST, round(side / STRIDE) * STRIDE))
    raise ConfigError(
        f"{name} cannot be a side of a detector's input: its coarsest map has one cell for each 32 pixels.",
        got=side,
        allowed=f"multiples of {STRIDE} from {SMALLEST} to {LARGEST}",
        fix=f"{near}",
    )
