"""Networks on their way to a device, with the images that the tests calibrate and check them on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

import netaug
from netaug.data.batch import ClassificationBatch
from netaug.export.conversion import Conversion
from netaug.tasks.classify import ClassificationTask
from netaug.weights.metadata import ModelCard, save_weights
from tests.export.shaken import shaken

CARD = ModelCard(
    name="micronet",
    options={},
    num_classes=10,
    in_chans=1,
    class_names=tuple(str(digit) for digit in range(10)),
    image_size=8,
    mean=(0.3,),
    std=(0.37,),
    crop_ratio=1.0,
    top1=None,
    val_split="test",
    netaug_version=netaug.__version__,
)
"""Of a network for digits."""
DETECTOR = ModelCard(
    name="yolov3:mobilenetv2-0.1",
    options={"neck": [8, 8, 8]},
    num_classes=2,
    in_chans=3,
    class_names=("cat", "dog"),
    image_size=96,
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.2, 0.2),
    crop_ratio=1.0,
    top1=None,
    val_split="val",
    netaug_version=netaug.__version__,
    anchors=tuple((float(side), float(side)) for side in (10, 13, 16, 30, 33, 40, 60, 70, 80)),
)


def detector() -> nn.Module:
    """A small detector that finds many objects in anything."""
    torch.manual_seed(0)
    network = shaken(netaug.create_model(DETECTOR.name, num_classes=DETECTOR.num_classes, **DETECTOR.options))
    with torch.no_grad():
        for head in network.heads:
            last = list(head.children())[-1]
            last.weight.normal_(0, 0.3)
            last.bias.fill_(-0.5)
    return network


def digits_network() -> nn.Module:
    """A small network with fresh weights and moved statistics."""
    torch.manual_seed(0)
    return shaken(netaug.create_model("micronet", num_classes=10, in_chans=1))


def digits_weights(folder: Path) -> Path:
    """A weights file of `digits_network`."""
    path = folder / "digits.safetensors"
    save_weights(path, digits_network(), CARD)
    return path


class Images:
    """A loader of random images in batches of four, or of none."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[ClassificationBatch]:
        for _ in range(self.batches):
            pixels = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
            yield ClassificationBatch(pixels, torch.zeros(4, dtype=torch.int64), torch.arange(4))


def conversion_of_images(network: nn.Module, calibration: int = 1, evaluation: int = 1) -> Conversion:
    """A network for 8 x 8 gray images on its way, with so many batches of four random images."""
    task = ClassificationTask()
    return Conversion(
        network.eval(),
        CARD,
        Images(calibration),
        Images(evaluation),
        task,
        val_split="test",
        dataset="digits",
    )
