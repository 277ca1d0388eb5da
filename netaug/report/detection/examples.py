"""Choose which images are shown, and what is drawn on each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from netaug.detect.annotations import Annotations
from netaug.detect.confusion import UNCOUNTED, Pairing
from netaug.detect.overlaps import BOX, CLASS, IMAGE, SCORE, Integers

Kind = Literal["right", "other", "wrong", "missed"]
MOST = 6


@dataclass(frozen=True)
class Counts:
    """Count right, wrong and missed objects in each of N images.

    Args:
        right_N: Right predictions.
        wrong_N: Wrong ones.
        missed_N: Objects without a right prediction.
        unseen_N: Those of them without any prediction.
    """

    right_N: Integers
    wrong_N: Integers
    missed_N: Integers
    unseen_N: Integers

    @property
    def f1(self) -> npt.NDArray[np.float64]:
        """F1 of each image; NaN where there is nothing, and nothing is predicted."""
        twice = 2 * self.right_N
        total = twice + self.wrong_N + self.missed_N
        return np.asarray(np.divide(twice, total, out=np.full(len(twice), np.nan), where=total > 0))


@dataclass(frozen=True)
class Mark:
    """Describe a box on a picture.

    Args:
        kind: A right prediction; one on an object of another class; one on background; an object that is not detected.
        box: Corners in pixels of the file.
        text: What is written beside it.
    """

    kind: Kind
    box: tuple[float, ...]
    text: str


@dataclass(frozen=True)
class Chosen:
    """Hold the images to be shown, at most :data:`MOST` of each kind; an image is shown once."""

    best: tuple[int, ...]
    worst: tuple[int, ...]
    missed: tuple[int, ...]


def count(pairing: Pairing, truth: Annotations) -> Counts:
    """Count what is right and wrong in each image."""
    images = len(truth)
    right_K = _is_right(pairing, truth)
    counted_K = pairing.object_K != UNCOUNTED
    owners_K = pairing.rows_K7[:, IMAGE].astype(np.int64)
    right_N = np.bincount(owners_K[right_K], minlength=images)
    wrong_N = np.bincount(owners_K[counted_K & ~right_K], minlength=images)
    counts_M = ~(truth.difficult_M | truth.crowd_M)
    objects_N = np.bincount(truth.owners[counts_M], minlength=images)
    unseen_N = np.bincount(truth.owners[pairing.missed], minlength=images)
    return Counts(right_N, wrong_N, objects_N - right_N, unseen_N)


def choose(counts: Counts) -> Chosen:
    """Choose the images with the best F1, the worst, and of the rest those with most objects without a prediction."""
    f1_N = counts.f1
    errors_N = counts.wrong_N + counts.missed_N
    known = ~np.isnan(f1_N)
    # lexsort sorts by its last key first
    worst = _first(np.lexsort((-errors_N, f1_N)), known & (errors_N > 0))
    best = _first(np.lexsort((-counts.right_N, -f1_N)), known & (counts.right_N > 0), worst)
    missed = _first(np.argsort(-counts.unseen_N, kind="stable"), counts.unseen_N > 0, (*worst, *best))
    return Chosen(best, worst, missed)


def marks(image: int, pairing: Pairing, truth: Annotations, class_names: tuple[str, ...]) -> list[Mark]:
    """Return what is drawn on an image: missed objects first, so that predictions lie on top of them."""
    objects = truth.of(image)
    drawn = [
        Mark("missed", tuple(truth.boxes_M4[m].tolist()), f"{class_names[truth.labels_M[m]]} missed")
        for m in pairing.missed[(pairing.missed >= objects.start) & (pairing.missed < objects.stop)].tolist()
    ]
    # from the lowest score up, so that the surest prediction is drawn last
    for k in np.flatnonzero((pairing.rows_K7[:, IMAGE] == image) & (pairing.object_K != UNCOUNTED))[
        ::-1
    ].tolist():
        row, object_index = pairing.rows_K7[k], int(pairing.object_K[k])
        text = f"{class_names[int(row[CLASS])]} {row[SCORE]:.2f}"
        box = tuple(row[BOX].tolist())
        if object_index < 0:
            drawn.append(Mark("wrong", box, text))
        elif truth.labels_M[object_index] == row[CLASS]:
            drawn.append(Mark("right", box, text))
        else:
            drawn.append(Mark("other", box, f"{text}, is {class_names[truth.labels_M[object_index]]}"))
    return drawn


def _is_right(pairing: Pairing, truth: Annotations) -> npt.NDArray[np.bool_]:
    right_K = pairing.object_K >= 0
    right_K[right_K] = truth.labels_M[pairing.object_K[right_K]] == pairing.rows_K7[right_K, CLASS]
    return right_K


def _first(order: Integers, allowed: npt.NDArray[np.bool_], taken: Iterable[int] = ()) -> tuple[int, ...]:
    without = set(taken)
    return tuple(i for i in order.tolist() if allowed[i] and i not in without)[:MOST]
