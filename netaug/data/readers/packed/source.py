"""The dataset `packed`: what `netaug data pack` wrote, with the classes, labels and order of its origin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from netaug.config import DataConfig
from netaug.core.errors import NoEvaluationImagesError
from netaug.data.readers.packed.images import PackedImages
from netaug.data.readers.packed.layout import Index, Meta, open_index, read_meta
from netaug.data.registry import Source, Split, dataset
from netaug.data.roots import require_root
from netaug.data.store import MemoryImages


@dataset("packed")
def load_packed(config: DataConfig) -> Source:
    """Open a packed dataset; whether it has an evaluation split is its origin's business."""
    folder = require_root(config)
    meta = read_meta(folder)
    index = open_index(folder, meta)
    train = _split(folder, meta, index, np.arange(meta.train))
    val = _split(folder, meta, index, np.arange(meta.train, len(index))) if meta.val else None
    if val is None and config.holdout == 0:
        raise NoEvaluationImagesError(
            f"the packed dataset '{folder}' has no evaluation split.",
            got=f"packed from '{meta.origin}' without one",
            fix="hold out training images, as when it was packed: --data.holdout 0.1",
        )
    return Source(
        class_names=meta.class_names,
        in_chans=meta.in_chans,
        mean=meta.mean,
        std=meta.std,
        train=train,
        val=val,
        val_split=meta.val_split,
        image_size=meta.image_size,
        metric=meta.metric,
    )


def _split(folder: Path, meta: Meta, index: Index, rows_N: np.ndarray) -> Split:
    images = PackedImages(str(folder), rows_N, meta.in_chans, are_pixels=meta.encoding == "pixels")
    labels_N = index["label"][rows_N].astype(np.int64)
    return Split(_memory(images) if meta.in_memory else images, labels_N)


def _memory(images: PackedImages) -> MemoryImages:
    """Return all images decoded, as their origin holds them; they have one size."""
    return MemoryImages(torch.stack([images.read(number) for number in range(len(images))]).contiguous())
