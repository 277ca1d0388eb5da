"""Class names and probabilities for image files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from netaug.data import Normalizer, load_image
from netaug.tasks import ClassificationTask
from netaug.weights.metadata import ModelCard


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image.

    Args:
        image: The file.
        classes: Class name and probability in [0, 1], likeliest first.
    """

    image: str
    classes: tuple[tuple[str, float], ...]


@torch.no_grad()
def predict(
    model: nn.Module, card: ModelCard, images: Sequence[str], *, top: int = 5, device: torch.device
) -> list[Prediction]:
    """Classify image files with a trained network.

    Args:
        model: In evaluation mode.
        card: Says how images are read and what the classes are called.
        images: Paths; each is one forward.
        top: How many classes, all if there are fewer.
        device: Where to compute.

    Raises:
        DataError: A file is missing or does not decode.
    """
    model = model.to(device)
    normalizer = Normalizer(card.mean, card.std, device, channels_last=True)
    task = ClassificationTask()
    found = []
    for image in images:
        logits_1C = model(normalizer(load_image(image, card)))
        probabilities, classes = task.predictions(logits_1C, top)
        named = [
            (card.class_names[index], probability)
            for index, probability in zip(classes[0].tolist(), probabilities[0].tolist(), strict=True)
        ]
        found.append(Prediction(image, tuple(named)))
    return found
