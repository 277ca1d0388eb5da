"""A dataset with boxes as its reader returns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from netaug.data.detection.decoded import HeldImages
from netaug.data.store import FileImages
from netaug.detect.annotations import Annotations, Ids, Integers


@dataclass(frozen=True)
class BoxSplit:
    """Images with the objects in them.

    Args:
        images: The N images, as files or held in memory.
        annotations: Their objects, in pixels of the files.
    """

    images: FileImages | HeldImages
    annotations: Annotations

    def __len__(self) -> int:
        return len(self.annotations)

    def select(self, indices: Integers) -> BoxSplit:
        """Return the images at ``indices``, in that order."""
        return BoxSplit(self.images.select(indices), self.annotations.select(indices))

    @property
    def read_sizes(self) -> Integers:
        """Return width and height of the images as they are read, in pixels, shape ``[N, 2]``."""
        return self.images.sizes_N2 if isinstance(self.images, HeldImages) else self.annotations.sizes_N2


@dataclass(frozen=True)
class BoxSource:
    """A dataset as its reader returns it.

    Args:
        class_names: Names in label order.
        train: The training split.
        val: The evaluation split; None when ``holdout`` asks for a part of the training split instead.
        val_split: Where ``val`` comes from: ``val`` or ``test``.
        metric: What results on it are customarily reported in.
    """

    class_names: tuple[str, ...]
    train: BoxSplit
    val: BoxSplit | None
    val_split: str
    metric: Literal["voc", "voc07", "coco"]


def keep_labels(split: BoxSplit, relabel_C: Integers, categories: Ids) -> BoxSplit:
    """Keep only objects of some classes; all images stay.

    Args:
        split: Images and objects.
        relabel_C: The new label of each class; -1 leaves its objects out.
        categories: COCO's category ids of the new classes.
    """
    old = split.annotations
    # All images stay: those left without objects still teach what is background.
    kept_M = relabel_C[old.labels_M] >= 0
    starts = np.concatenate([[0], np.cumsum(kept_M)])[old.starts_N1].astype(np.int64)
    annotations = Annotations(
        old.sizes_N2,
        old.boxes_M4[kept_M],
        relabel_C[old.labels_M[kept_M]],
        old.difficult_M[kept_M],
        old.crowd_M[kept_M],
        old.areas_M[kept_M],
        starts,
        old.ids_N,
        categories,
    )
    return BoxSplit(split.images, annotations)
