"""Make the batches of a training smaller where its images do not fill one."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection
from dataclasses import replace

from netaug.config import RunConfig, TrainConfig
from netaug.core.errors import ConfigError
from netaug.core.escaping import say
from netaug.data.counting import images_of_partial_batch
from netaug.distributed.launch import place

_SMALL_BATCH, _STEPS = 16, 4
"""A batch of fewer images than this is only made of a smaller dataset; steps that an epoch of a small one has."""


def with_filled_batches(config: RunConfig, given: Collection[str]) -> RunConfig:
    """Return settings whose batches the training images fill, and say what became smaller.

    The learning rate and its minimum go down in proportion, unless the user gave them. The rate and the batch size of
    a recipe belong together, so that a recipe's values, also those of the user's own file, do not count as given.

    Args:
        config: All settings.
        given: Those that the user gave beside the recipe, by ``group.key``; of a batch size among them as much is kept
            as there are images.

    Raises:
        ConfigError: The minimum that was given is above the smaller learning rate.
        DataError: The dataset cannot be read, or a selection leaves nothing.
    """
    images, configured = images_of_partial_batch(config.data), config.data.batch_size
    if images is None:
        return config
    power_of_two = 2 ** int(math.log2(max(1, images // _STEPS)))
    batch = images if "data.batch_size" in given else min(configured, images, max(_SMALL_BATCH, power_of_two))
    batch -= batch % math.lcm(place().size, config.train.accumulate)
    if batch < 1:  # refused later, with a message about processes and microbatches
        return config
    sentence = (
        f"batches have {_images(batch)} instead of {configured}: there {'is' if images == 1 else 'are'} only "
    )
    sentence += _images(images, "training ")
    train = config.train
    if "train.lr" not in given:
        train = _with_lower_rate(train, batch / configured, given)
        sentence += f"; the learning rate is {train.lr:g} instead of {config.train.lr:g}, in proportion"
    if place().rank == 0:
        say(sentence, file=sys.stderr)
    return replace(config, data=replace(config.data, batch_size=batch), train=train)


def _with_lower_rate(train: TrainConfig, factor: float, given: Collection[str]) -> TrainConfig:
    rate, minimum = train.lr * factor, train.min_lr * factor
    if "train.min_lr" in given:
        minimum = train.min_lr
        if minimum > rate:
            raise ConfigError(
                "train.min_lr is above the learning rate, which is lower because the batches are smaller.",
                got=f"train.min_lr {minimum:g}, and {rate:g} in place of train.lr {train.lr:g}",
                fix=f"--train.lr {train.lr:g} keeps the learning rate; or give a lower --train.min_lr",
            )
    return replace(train, lr=rate, min_lr=minimum)


def _images(count: int, kind: str = "") -> str:
    return f"{count} {kind}image" + "s" * (count != 1)
