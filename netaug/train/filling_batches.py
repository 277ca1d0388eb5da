"""Make the batches of a training smaller where its images do not fill one."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection
from dataclasses import replace

from netaug.config import RunConfig
from netaug.core.escaping import say
from netaug.data.counting import images_of_partial_batch
from netaug.distributed.launch import place

_SMALL_BATCH, _STEPS = 16, 4
"""A batch of fewer images than this is only made of a smaller dataset; steps that an epoch of a small one has."""


def with_filled_batches(config: RunConfig, given: Collection[str]) -> RunConfig:
    """Return settings whose batches the training images fill, and say what became smaller.

    The learning rate goes down in proportion, unless the user gave it.

    Args:
        config: All settings.
        given: Those that the user gave, by ``group.key``; of a batch size among them as much is kept as there are
            images.

    Raises:
        DataError: The dataset cannot be read, or a selection leaves nothing.
    """
    images, asked = images_of_partial_batch(config.data), config.data.batch_size
    if images is None:
        return config
    several = 2 ** int(math.log2(max(1, images // _STEPS)))
    batch = images if "data.batch_size" in given else min(asked, images, max(_SMALL_BATCH, several))
    batch -= batch % math.lcm(place().size, config.train.accumulate)
    if batch < 1:  # refused later, with a message about processes and microbatches
        return config
    sentence = f"batches have {batch} images instead of {asked}: there are only {images} training images"
    train = config.train
    if "train.lr" not in given:
        factor = batch / asked
        train = replace(train, lr=train.lr * factor, min_lr=train.min_lr * factor)
        sentence += f"; the learning rate is {train.lr:g} instead of {config.train.lr:g}, in proportion"
    if place().rank == 0:
        say(sentence, file=sys.stderr)
    return replace(config, data=replace(config.data, batch_size=batch), train=train)
