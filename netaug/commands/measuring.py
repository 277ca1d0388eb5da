"""A trained network with the data it is measured on, at any size of its input."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from netaug.commands.evaluation import check_classes, evaluation_data
from netaug.config import RunConfig
from netaug.config.detect import check_side
from netaug.core.device import choose_device, set_up
from netaug.data import Data, DataInfo, Normalizer, build_data
from netaug.data.detection.objects import check_judged
from netaug.models.trial import check_fits
from netaug.profile import profile
from netaug.runs.folder import find_weights
from netaug.tasks.evaluate import added, collected, measure
from netaug.tasks.registry import choose_task
from netaug.weights.metadata import ModelCard, load_weights


@dataclass(frozen=True)
class Measurement:
    """How good a network is on inputs of one size.

    Args:
        side: Height = width of the input in pixels.
        macs: Multiply-accumulates for one image.
        score: Name of the metric that results are reported in.
        metrics: By name; accuracies and precisions in percent.
        data: What was measured on.
        rows: What a detector found in it, float64 ``[K, 7]``; None of a classifier.
    """

    side: int
    macs: int
    score: str
    metrics: dict[str, float]
    data: Data
    rows: Tensor | None = None

    @property
    def info(self) -> DataInfo:
        """The facts of the data."""
        return self.data.info


@dataclass(frozen=True)
class TrainedNetwork:
    """A network of a run folder or weights file, ready to be measured.

    Args:
        model: On the device.
        card: Says how it is fed.
        config: Of the run, or what the user says of the data.
        device: Where it runs.
    """

    model: nn.Module
    card: ModelCard
    config: RunConfig
    device: torch.device

    def measure(self, side: int | None = None) -> Measurement:
        """Measure it on the evaluation images.

        Args:
            side: Height = width of the input in pixels; None is what it was trained for.

        Raises:
            ConfigError: A detector cannot have this side.
            ModelError: The network does not run on images of this size.
            DataError: The data cannot be read, or has other classes than the network.
        """
        card, config = self.card, self.config
        size = side or config.data.image_size or card.image_size
        if card.detects:
            check_side("--resolution" if side else "data.image_size", size)
        settings = replace(evaluation_data(config.data, card), image_size=size)
        detect = replace(config.detect, anchor_sizes=tuple(x for pair in card.anchors for x in pair))
        data = build_data(settings, seed=config.train.seed, detect=detect)
        check_classes(card, data.info)
        check_judged(data)
        example = torch.zeros(2, card.in_chans, size, size, device=self.device)
        check_fits(self.model, card.name, example, card.num_classes)
        normalizer = Normalizer(card.mean, card.std, self.device, config.train.channels_last)
        task = choose_task(config, data)
        found = list(measure(self.model, data.val, normalizer, task))
        rows = collected(found)
        metrics = task.judged(added([one.sums for one in found]), rows)
        return Measurement(size, profile(self.model, example).macs, task.score, metrics, data, rows)


def open_network(place: Path, config: RunConfig, trusted: Collection[str] = ()) -> TrainedNetwork:
    """Load the network of a run folder or weights file.

    Args:
        place: Where it is.
        config: Which data, device and threads.
        trusted: Factories ``package.module:function`` that the weights may name.

    Raises:
        NetaugError: There is none, or it cannot be read.
    """
    model, card = load_weights(find_weights(place), trusted)
    device = choose_device(config.train.device)
    set_up(device, config.train.threads)
    return TrainedNetwork(model.to(device), card, config, device)
