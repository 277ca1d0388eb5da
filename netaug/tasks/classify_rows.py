"""A row per evaluation image of a classifier: what it is, and what it is taken for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from netaug.data.batch import ClassificationBatch
from netaug.tasks.classify import TOP, ClassificationTask

if TYPE_CHECKING:
    from netaug.data.batch import DataInfo

INDEX, LABEL, LABEL_PROBABILITY, FIRST = 0, 1, 2, 3
"""Columns of a row: position of the image in the split, its class, the probability given to that class; from
``FIRST`` on the K likeliest classes, then their K probabilities, likeliest first."""
Rows = npt.NDArray[np.float64]


class ImageRows(ClassificationTask):
    """The same loss and metrics; an evaluation collects a row per image, float64 ``[N, 3 + 2 K]``, K at most 5.

    Args:
        task: Says how the loss is smoothed, and whether accuracy is measured per class.
        info: Of the data.
    """

    def __init__(self, task: ClassificationTask, info: DataInfo) -> None:
        super().__init__(task.label_smoothing, task.per_class)
        self._classes = info.num_classes

    @torch.no_grad()
    def rows(self, outputs: Tensor, batch: ClassificationBatch) -> Tensor:
        """Return a row per image of a batch."""
        labels_N = batch.labels_N.to(outputs.device)
        probabilities_NC = outputs.double().softmax(1)
        top_NK, classes_NK = probabilities_NC.topk(min(TOP, outputs.shape[1]), dim=1)
        given_N1 = probabilities_NC.gather(1, labels_N[:, None])
        known_N2 = torch.stack([batch.indices_N.to(outputs.device), labels_N], 1)
        return torch.cat([known_N2.double(), given_N1, classes_NK.double(), top_NK], 1)

    def judged(self, sums: Tensor, rows: Tensor | None) -> dict[str, float]:
        """Return the metrics of the task, ``top5`` among them where there are more than five classes."""
        metrics = self.metrics(sums)
        if rows is None or self._classes <= TOP:
            return metrics
        found_N = (rows[:, FIRST : FIRST + TOP] == rows[:, LABEL, None]).any(1)
        return {**metrics, "top5": 100 * float(found_N.double().mean())}


def split_rows(rows: Rows) -> tuple[npt.NDArray[np.int64], Rows]:
    """Return the likeliest classes ``[N, K]`` and their probabilities ``[N, K]`` of rows."""
    middle = FIRST + (rows.shape[1] - FIRST) // 2
    return rows[:, FIRST:middle].astype(np.int64), rows[:, middle:]
