"""Hold the predictions that the page of a detector is made from, and compute its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from netaug.detect.annotations import Annotations
from netaug.detect.ap import VocAP, voc_ap
from netaug.detect.coco import CocoResult, coco_result
from netaug.detect.confusion import Pairing, confusion, pair_up
from netaug.detect.operating import Operating, best_operating
from netaug.detect.overlaps import Doubles, Integers

_NO_BEST = 0.25
"""The score from which predictions are shown where none has a best F1, since nothing is found."""


@dataclass(frozen=True)
class Results:
    """Hold the predictions of a detector on a split.

    Args:
        title: What was judged, e.g. the name of the run.
        split: On what, in words, e.g. ``test of voc, 72 images``.
        rows_K7: Predictions: position of the image, class, score, left, top, right, bottom in pixels of the file.
        truth: The objects.
        class_names: In label order.
        score: The score that is reported first, e.g. ``AP50``, and its value in percent.
        name: What an image is called.
        read: Its uint8 pixels ``[C, H, W]``, as large as the file.
        facts: What else is to be known, by name.
        command: The command line that makes the page again.
    """

    title: str
    split: str
    rows_K7: Doubles
    truth: Annotations
    class_names: tuple[str, ...]
    score: tuple[str, float]
    name: Callable[[int], str]
    read: Callable[[int], Tensor]
    facts: Mapping[str, str]
    command: str

    # cached, because the page needs each of these several times
    @cached_property
    def voc(self) -> VocAP:
        """Average precision at an overlap of one half, all points."""
        return voc_ap(self.rows_K7, self.truth)

    @cached_property
    def coco(self) -> CocoResult:
        """The twelve numbers of the COCO protocol."""
        return coco_result(self.rows_K7, self.truth)

    @cached_property
    def best(self) -> Operating | None:
        """The operating point with the best F1 over all classes; None if nothing is detected."""
        return best_operating(self.voc.curves)

    @property
    def threshold(self) -> float:
        """The least score of a prediction that pictures and confusions show."""
        return self.best.score if self.best else _NO_BEST

    @cached_property
    def pairing(self) -> Pairing:
        """The object that each prediction from the threshold on lies on."""
        return pair_up(self.rows_K7, self.truth, score=self.threshold)

    @cached_property
    def matrix(self) -> Integers:
        """The confusion matrix of classes, with a column for missed objects and a row for background."""
        return confusion(self.pairing, self.truth)
