"""Evaluates a network in training, which stays as it is; batch-norm statistics may be estimated again before.

Running statistics are averages over the last steps, in which weights move: early in a training, at high rates, they are
far from those of the present weights. NetAug's released code estimates them on 16,000 training images before each
evaluation.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from netaug.config import TrainConfig
from netaug.core.modules import copied
from netaug.data import Data
from netaug.data.batch import Batch, Normalizer
from netaug.distributed.world import SINGLE_PROCESS, World
from netaug.elastic.recalibrate import Statistics, has_statistics, limited
from netaug.tasks.base import Task
from netaug.tasks.validation import validate
from netaug.train.metrics import Validation


@dataclass(frozen=True)
class Evaluation:
    """Evaluates the network of a training between its epochs.

    Args:
        data: Evaluation batches, and training batches for statistics.
        task: What is measured.
        normalizer: Makes the network's input.
        config: When, and on how many images statistics are estimated.
        world: Who takes part.
    """

    data: Data
    task: Task[Any, Any]
    normalizer: Normalizer
    config: TrainConfig
    world: World

    def is_due(self, epoch: int) -> bool:
        """Return whether there is one after an epoch, from 0; after the last one there always is."""
        done = epoch + 1
        return done == self.config.epochs or done % self.config.eval_every == 0

    def run(self, epoch: int, network: nn.Module) -> tuple[Validation, nn.Module]:
        """Return what was measured, and the network that it was measured on: with ``recalibrate`` a copy."""
        start = time.perf_counter()
        if self.config.recalibrate:
            images, batches = self.config.recalibrate, self.data.train.epoch(epoch)
            network = recalibrated(network, batches, self.normalizer, images, self.world)
        metrics = validate(network, self.data.val, self.normalizer, self.task, self.world)
        return Validation(metrics, time.perf_counter() - start), network


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
