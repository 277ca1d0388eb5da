"""What tests of readers compare: whole epochs, and the error of a dataset that cannot be read."""

from __future__ import annotations

import pytest
import torch

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data import build_data
from netaug.data.batch import ClassificationBatch


def error_of(config: DataConfig) -> DataError:
    """Why the dataset cannot be built."""
    with pytest.raises(DataError) as caught:
        build_data(config, seed=0)
    return caught.value


def batches(config: DataConfig) -> list[ClassificationBatch]:
    """Two epochs of training, then the evaluation."""
    data = build_data(config, seed=3)
    return [*data.train.epoch(0), *data.train.epoch(1), *data.val]


def same(a: list[ClassificationBatch], b: list[ClassificationBatch]) -> bool:
    """Whether pixels and labels are equal to the bit, batch by batch."""
    return len(a) == len(b) > 0 and all(
        torch.equal(x.images_NCHW, y.images_NCHW) and torch.equal(x.labels_N, y.labels_N)
        for x, y in zip(a, b, strict=True)
    )
