"""Class names and probabilities of image files: predicted, printed and saved."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netaug.core.errors import DataError
from netaug.core.escaping import csv_text, line, say
from netaug.data import Normalizer, load_image
from netaug.data.readers.wordnet import in_words
from netaug.tasks.classify import ClassificationTask
from netaug.tasks.kind import Printer, Unreadable
from netaug.tasks.saving import SaveTarget
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
    model: nn.Module,
    metadata: ModelCard,
    images: Sequence[str],
    *,
    top: int,
    device: torch.device,
    skip_errors: bool = False,
) -> Iterator[Prediction | Unreadable]:
    """Classify image files with a trained network.

    Args:
        model: In evaluation mode.
        metadata: Says how images are read and what the classes are called; ids of ImageNet's classes become words.
        images: Paths; each is one forward.
        top: Number of classes per image; all if there are fewer.
        device: Where to compute.
        skip_errors: Whether a file that cannot be read is reported as such, and the next one follows.

    Raises:
        DataError: A file is missing or does not decode, unless ``skip_errors``.
    """
    model = model.to(device)
    normalizer = Normalizer(metadata.mean, metadata.std, device, channels_last=True)
    task, names = ClassificationTask(), in_words(metadata.class_names)
    for image in images:
        try:
            pixels_1CHW = load_image(image, metadata)
        except DataError as error:
            if not skip_errors:
                raise
            yield Unreadable(image, error)
            continue
        with torch.no_grad():  # not around the loop: a generator would leave it on in its caller's code
            logits_1C = model(normalizer(pixels_1CHW))
        probabilities, classes = task.predictions(logits_1C, top)
        named = [
            (names[index], probability)
            for index, probability in zip(classes[0].tolist(), probabilities[0].tolist(), strict=True)
        ]
        yield Prediction(image, tuple(named))


class ClassPrinter(Printer):
    """Prints predictions while they are made, and saves them.

    Args:
        as_json: Whether to print JSON, at the end.
        save: A file whose name ends in .json or .csv, or a folder for both; None saves nothing.
    """

    def __init__(self, *, as_json: bool, save: Path | None = None) -> None:
        self._as_json = as_json
        self._save = None if save is None else SaveTarget(save)
        self._predictions: list[Prediction | Unreadable] = []

    def add(self, prediction: Prediction | Unreadable) -> None:
        """Print the classes of the next image, and keep them."""
        self._predictions.append(prediction)
        if not self._as_json and isinstance(prediction, Prediction):
            say(predictions_table([prediction]), flush=True)

    def finish(self) -> None:
        """Print the JSON, and write the files."""
        if self._as_json:
            say(predictions_json(self._predictions))
        if self._save is not None:
            self._save.write(
                "predictions", predictions_json(self._predictions), predictions_csv(self._predictions)
            )


def predictions_json(predictions: Sequence[Prediction | Unreadable]) -> str:
    """Format predictions as JSON: a list with one entry per image, which has ``classes`` or an ``error``."""
    return json.dumps([_entry(item) for item in predictions], indent=2)


def _entry(item: Prediction | Unreadable) -> dict[str, Any]:
    if isinstance(item, Unreadable):
        return {"image": item.image, "error": item.error.where}
    classes = [{"name": name, "probability": probability} for name, probability in item.classes]
    return {"image": item.image, "classes": classes}


def predictions_csv(predictions: Sequence[Prediction | Unreadable]) -> str:
    """Format predictions as CSV: a line per image; cells that a spreadsheet would run begin with an apostrophe."""
    most = max((len(item.classes) for item in predictions if isinstance(item, Prediction)), default=1)
    suffixes = ["", *(f"_{rank}" for rank in range(2, most + 1))]
    columns = ["image", *(f"{name}{suffix}" for suffix in suffixes for name in ("prediction", "probability"))]
    lines = []
    for item in predictions:
        row: dict[str, object] = {"image": item.image}
        if isinstance(item, Unreadable):
            row["error"] = item.error.where
        else:
            for suffix, (name, probability) in zip(suffixes, item.classes, strict=False):
                row |= {f"prediction{suffix}": name, f"probability{suffix}": f"{probability:.6f}"}
        lines.append(row)
    return csv_text([*columns, "error"], lines)


def predictions_table(predictions: Sequence[Prediction]) -> str:
    """Format predictions for people: one line per image and class."""
    width = max(len(line(name)) for item in predictions for name, _ in item.classes)
    lines = []
    for item in predictions:
        lines.append(line(item.image))
        lines += [f"  {line(name):<{width}}  {100 * p:5.1f} %" for name, p in item.classes]
    return "\n".join(lines)
