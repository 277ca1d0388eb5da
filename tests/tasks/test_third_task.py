"""A task that the package does not know is three files: its data, its network, its loss. Here all three are in one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netaug
from netaug.config import DataConfig, ModelConfig, NetAugConfig, RunConfig, TrainConfig
from netaug.config.datasets import DATASETS, DatasetName
from netaug.core.errors import ConfigError
from netaug.data import Data, DataInfo, prepared, registry
from netaug.data.prepared import Feed, builds_loaders
from netaug.data.registry import dataset, find_dataset
from netaug.models.trial import OutputForm
from netaug.tasks import registry as tasks
from netaug.tasks.base import Losses, Task
from netaug.tasks.kind import TaskKind
from netaug.tasks.registry import register_task, task_kind
from netaug.weights.metadata import read_card

# --- first file: netaug/data/readers/masks.py --------------------------------------------------------------------
SIDE, BATCH, IMAGES = 8, 4, 8


@dataclass(frozen=True)
class MaskBatch:
    """N images with the class of each pixel."""

    images_NCHW: Tensor
    targets: Tensor
    indices_N: Tensor

    def __len__(self) -> int:
        return len(self.indices_N)

    def pin_memory(self) -> MaskBatch:
        return self


@dataclass(frozen=True)
class MaskLoader:
    images_NCHW: Tensor

    def __len__(self) -> int:
        return len(self.images_NCHW) // BATCH

    def __iter__(self) -> Iterator[MaskBatch]:
        for rows in torch.arange(len(self.images_NCHW)).split(BATCH):
            images_NCHW = self.images_NCHW[rows]
            yield MaskBatch(images_NCHW, (images_NCHW[:, 0] > 127).long(), rows)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[MaskBatch]:
        yield from list(self)[skip:]


def read_masks(config: DataConfig) -> Tensor:
    images = torch.randint(0, 256, (IMAGES, 1, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    return images.to(torch.uint8)


def build_masks(config: DataConfig, feed: Feed) -> Data:
    loader = MaskLoader(find_dataset(config.name).read(config))
    info = DataInfo(
        name=config.name,
        class_names=("dark", "bright"),
        in_chans=1,
        image_size=SIDE,
        mean=(0.5,),
        std=(0.5,),
        crop_ratio=1.0,
        train_size=IMAGES,
        val_size=IMAGES,
        val_split="val",
        task="segment",
    )
    return Data(info, loader, loader)


# --- second file: netaug/models/masknet.py -----------------------------------------------------------------------
def masknet(*, num_classes: int, in_chans: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(in_chans, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, num_classes, 1)
    )


NAME = f"{__name__}:masknet"


# --- third file: netaug/tasks/segment.py -------------------------------------------------------------------------
class PixelTask(Task[Tensor, MaskBatch]):
    score = "pixels_right"

    def losses(self, outputs: Tensor, targets: Tensor) -> Losses:
        return Losses(F.cross_entropy(outputs, targets))

    @torch.no_grad()
    def sums(self, outputs: Tensor, targets: Tensor, losses: Losses) -> Tensor:
        right = (outputs.argmax(1) == targets).double().mean((1, 2)).sum()
        count = len(targets)
        return torch.stack(
            [losses.total.detach().double() * count, right, torch.tensor(count, dtype=torch.float64)]
        )

    def metrics(self, sums: Tensor) -> dict[str, float]:
        loss, right, count = sums.tolist()
        return {"loss": loss / count, "pixels_right": 100 * right / count}


class Segmentation(TaskKind):
    name, does = "segment", "labels pixels"

    def build(self, config: RunConfig, data: Data) -> PixelTask:
        return PixelTask()

    def output_form(self) -> OutputForm:
        return OutputForm(
            "one logit per class and pixel",
            lambda classes: f"a tensor of shape [N, {classes}, H, W]",
            lambda outputs, count, classes: (
                isinstance(outputs, Tensor) and outputs.ndim == 4 and outputs.shape[:2] == (count, classes)
            ),
        )


@pytest.fixture
def segmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines that register the three files, taken back after the test."""
    monkeypatch.setattr(registry, "_DATASETS", dict(registry._DATASETS))
    monkeypatch.setattr(prepared, "_BUILDERS", dict(prepared._BUILDERS))
    monkeypatch.setattr(tasks, "_KINDS", dict(tasks._KINDS))
    monkeypatch.setitem(DATASETS, "masks", DatasetName("noise, and which pixels are bright", "segment"))
    dataset("masks")(read_masks)
    builds_loaders("segment")(build_masks)
    register_task(Segmentation())


CONFIG = RunConfig(
    model=ModelConfig(name=NAME),
    data=DataConfig(name="masks", batch_size=BATCH),
    netaug=NetAugConfig(width=(1.0, 2.0)),
    train=TrainConfig(epochs=1, warmup_epochs=0.0, device="cpu", threads=1),
)


@pytest.mark.usefixtures("segmentation")
def test_a_third_task_trains_two_steps_and_is_evaluated(tmp_path: Path) -> None:
    result = netaug.train(CONFIG, out=tmp_path / "run", trusted=[NAME])
    assert result.summary["steps"] == 2
    assert result.summary["score"] == "pixels_right"
    metadata = read_card(result.folder.weights)
    assert metadata is not None
    assert metadata.task == "segment"
    assert metadata.scores == {"pixels_right": result.summary["val_metrics"]["pixels_right"]}
    measured = netaug.evaluate(tmp_path / "run", trusted=[NAME])
    assert measured.metrics["pixels_right"] == pytest.approx(metadata.scores["pixels_right"])
    with pytest.raises(ConfigError, match="no predictions for the task 'segment'"):
        netaug.predict(tmp_path / "run", "x.png", trusted=[NAME])


def test_a_task_that_nobody_registered_is_a_message() -> None:
    with pytest.raises(ConfigError, match="there is no task 'segment'"):
        task_kind("segment")
