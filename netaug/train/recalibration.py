"""Estimates batch-norm statistics before an evaluation; the network in training stays as it is.

Running statistics are averages over the last steps, in which weights move: early in a training, at high rates, they are
far from those of the present weights. NetAug's released code estimates them on 16,000 training images before each
evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from netaug.core.modules import copied
from netaug.data.batch import Batch, Normalizer
from netaug.distributed.world import SINGLE_PROCESS, World
from netaug.elastic.recalibrate import Statistics, has_statistics, limited


def recalibrated(
    network: nn.Module,
    batches: Iterator[Batch],
    normalizer: Normalizer,
    images: int,
    world: World = SINGLE_PROCESS,
) -> nn.Module:
    """Return a copy in evaluation mode whose norms have the statistics of training images; all processes call it.

    Args:
        network: Plain, on the normalizer's device.
        batches: Of training images, this process's.
        normalizer: Makes the network's input.
        images: How many are seen at least, of all processes together, rounded up to whole batches; all if there are
            fewer.
        world: Who takes part; all get the same statistics.

    Raises:
        DataError: An image does not decode.
        ModelError: The statistics are not finite.
    """
    copy = copied(network).eval()
    if not has_statistics(copy):
        return copy
    statistics = Statistics(copy)
    with world.raise_on_all_ranks():
        each = -(-images // world.size)
        statistics.measure(limited(batches, each, lambda batch: normalizer(batch.images_NCHW)))
    statistics.write(world.gather if world.size > 1 else None)
    return copy
