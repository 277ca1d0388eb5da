"""Detectors that say what a test tells them to, and weights files of small ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from netaug.detect.codec import encode
from netaug.models import create_model
from netaug.weights.metadata import ModelCard, save_weights

ANCHORS = tuple((float(8 * k), float(8 * k)) for k in range(1, 10))


class Says(nn.Module):
    """Finds the same objects in every square image of a side: (class, objectness logit, box in pixels of the input).

    Each box must have its centre in another cell of 8 pixels; the first anchor says it.
    """

    def __init__(
        self, objects: Sequence[tuple[int, float, tuple[float, ...]]], side: int, classes: int
    ) -> None:
        super().__init__()
        shapes = [(side // stride, side // stride) for stride in (8, 16, 32)]
        self.maps = [torch.full((1, 3 * (5 + classes), *shape), -20.0) for shape in shapes]
        for label, logit, box in objects:
            row, column = (int((box[k] + box[k + 2]) / 2 // 8) for k in (1, 0))
            slot = torch.tensor([row * shapes[0][1] + column])
            said = encode(torch.tensor([box]), slot, ANCHORS, shapes)[0]
            self.maps[0][0, :4, row, column] = said
            self.maps[0][0, 4, row, column] = logit
            self.maps[0][0, 5 + label, row, column] = 20.0

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, ...]:
        """The maps of each image."""
        return tuple(one.expand(len(images_NCHW), -1, -1, -1) for one in self.maps)


def card_of(names: Sequence[str], side: int, *, name: str = "yolov3:mobilenetv2-0.35") -> ModelCard:
    """A detector's card."""
    return ModelCard(
        name=name,
        options={},
        num_classes=len(names),
        in_chans=3,
        class_names=tuple(names),
        image_size=side,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        crop_ratio=1.0,
        top1=None,
        val_split="test",
        netaug_version="0",
        anchors=ANCHORS,
        scores={"ap50": 50.0},
    )


def write_detector(path: Path, names: Sequence[str], side: int = 96) -> ModelCard:
    """A weights file of an untrained detector."""
    card = card_of(names, side)
    torch.manual_seed(0)
    save_weights(path, create_model(card.name, num_classes=len(names), in_chans=3), card)
    return card
