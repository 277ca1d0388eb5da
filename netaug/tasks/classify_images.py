"""Class names and probabilities of image files: predicted, and printed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from netaug.core.escaping import line, say
from netaug.data import Normalizer, load_image
from netaug.tasks.classify import ClassificationTask
from netaug.tasks.kind import Printer
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


def classify(
    model: nn.Module, metadata: ModelCard, images: Sequence[str], *, top: int, device: torch.device
) -> Iterator[Prediction]:
    """Classify image files with a trained network.

    Args:
        model: In evaluation mode.
        metadata: Says how images are read and what the classes are called.
        images: Paths; each is one forward.
        top: Number of classes per image; all if there are fewer.
        device: Where to compute.

    Raises:
        DataError: A file is missing or does not decode.
    """
    model = model.to(device)
    normalizer = Normalizer(metadata.mean, metadata.std, device, channels_last=True)
    task = ClassificationTask()
    for image in images:
        with torch.no_grad():  # not around the loop: a generator would leave it on in its caller's code
            logits_1C = model(normalizer(load_image(image, metadata)))
        probabilities, classes = task.predictions(logits_1C, top)
        named = [
            (metadata.class_names[index], probability)
            for index, probability in zip(classes[0].tolist(), probabilities[0].tolist(), strict=True)
        ]
        yield Prediction(image, tuple(named))


class ClassPrinter(Printer):
    """Prints predictions when all are made: the columns are as wide as the longest class name.

    Args:
        as_json: Whether to print JSON.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._predictions: list[Prediction] = []

    def add(self, prediction: Prediction) -> None:
        """Keep a prediction."""
        self._predictions.append(prediction)

    def finish(self) -> None:
        """Print them."""
        say(predictions_json(self._predictions) if self._as_json else predictions_table(self._predictions))


def predictions_json(predictions: Sequence[Prediction]) -> str:
    """Format predictions as JSON: a list with one entry per image."""
    entries = [
        {"image": item.image, "classes": [{"name": name, "probability": p} for name, p in item.classes]}
        for item in predictions
    ]
    return json.dumps(entries, indent=2)


def predictions_table(predictions: Sequence[Prediction]) -> str:
    """Format predictions for people: one line per image and class."""
    width = max(len(line(name)) for item in predictions for name, _ in item.classes)
    lines = []
    for item in predictions:
        lines.append(line(item.image))
        lines += [f"  {line(name):<{width}}  {100 * p:5.1f} %" for name, p in item.classes]
    return "\n".join(lines)
