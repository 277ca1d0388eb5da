"""Data and networks of the training tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch

from netaug.config import TrainConfig
from netaug.data import ClassificationBatch, Data, DataInfo, Normalizer
from netaug.elastic.plain_network import Network
from netaug.tasks import ClassificationTask
from netaug.train.trainer import Trainer

INFO = DataInfo("fake", tuple("abcde"), 3, 8, (0.5,) * 3, (0.25,) * 3, 1.0, 12, 4, "val")


class FakeLoader:
    """``steps`` batches of four random images; the same in every epoch."""

    def __init__(self, steps: int) -> None:
        drawn = torch.Generator().manual_seed(0)
        self.batches = [
            ClassificationBatch(
                torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8, generator=drawn),
                torch.randint(0, 5, (4,), generator=drawn),
                torch.arange(4) + 4 * step,
            )
            for step in range(steps)
        ]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[ClassificationBatch]:
        return iter(self.batches)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[ClassificationBatch]:
        return iter(self.batches[skip:])


def fake_data(steps: int = 3) -> Data:
    return Data(INFO, cast(Any, FakeLoader(steps)), cast(Any, FakeLoader(1)))


def trainer(network: Network, config: TrainConfig, steps: int = 3, sort: bool = False) -> Trainer:
    normalizer = Normalizer(INFO.mean, INFO.std, torch.device("cpu"), channels_last=False)
    task = ClassificationTask(config.label_smoothing)
    return Trainer(network, fake_data(steps), task, normalizer, config, sort)
