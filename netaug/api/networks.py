"""`netaug.load` and `netaug.predict`: a trained network, and its predictions for image files."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from netaug.api.image_files import image_files
from netaug.config import RunConfig
from netaug.config.detect import SHOWN_SCORE
from netaug.core.device import choose_device
from netaug.core.errors import ConfigError
from netaug.runs.folder import find_weights, read_config, run_of
from netaug.tasks.kind import PredictOptions, TaskKind, Unreadable
from netaug.tasks.registry import task_kind
from netaug.weights.metadata import ModelCard, load_weights

if TYPE_CHECKING:
    from netaug.tasks.classify_images import Prediction
    from netaug.tasks.detect_images import ImageDetections

_log = logging.getLogger("netaug")
TOP, SCORE = 5, SHOWN_SCORE
"""What :func:`predict` and the command take where nothing is given: classes per image, least score of an object."""


def load(source: str | Path, *, trusted: Collection[str] = ()) -> nn.Module:
    """Build the plain network of a run folder or weights file, with its weights, in evaluation mode on the CPU.

    Args:
        source: A run folder, a weights file that netaug wrote, or ``hf:user/name`` for the ``model.safetensors`` of a
            repository on the Hugging Face Hub, ``hf:user/name@revision`` for a fixed one. ``netaug.load_weights``
            reads other files.
        trusted: Factories ``package.module:function`` of your own that the file may name; they are imported.

    Returns:
        The network's own class; it owes nothing to netaug's supernets. Its input is ``[N, C, H, W]``, normalized as
        the file says (:func:`netaug.weights.metadata.read_card`).

    Raises:
        RunFolderError: There is no network.
        CheckpointError: The file is damaged, does not fit its network, or cannot be fetched.
        UntrustedNetworkError: It names a factory that is not trusted.
    """
    network, _ = load_weights(find_weights(source), trusted)
    return network


@dataclass(frozen=True)
class Predictor:
    """A trained network that is ready for image files.

    Args:
        network: In evaluation mode.
        metadata: Says how images are read and what the classes are called.
        kind: The kind of task that it is for.
        options: How it predicts.
    """

    network: nn.Module
    metadata: ModelCard
    kind: TaskKind
    options: PredictOptions

    def __call__(self, images: Sequence[str]) -> Iterator[Any]:
        """Return an iterator over the predictions, one per image file.

        Raises:
            DataError: A file is missing or does not decode.
        """
        return self.kind.predictions(self.network, self.metadata, images, self.options)


def open_predictor(
    source: str | Path,
    *,
    top: int | None = None,
    score: float | None = None,
    device: str = "auto",
    trusted: Collection[str] = (),
    skip_errors: bool = False,
) -> Predictor:
    """Load the network of a run folder or weights file for predictions.

    Arguments as for :func:`predict`; with ``skip_errors`` a file that cannot be read gives a
    :class:`netaug.tasks.kind.Unreadable` in place of a prediction.
    """
    weights = find_weights(source)
    options = PredictOptions(
        top=TOP if top is None else top,
        score=SCORE if score is None else score,
        device=choose_device(device, "--device"),
        run_settings=lambda: RunConfig() if (run := run_of(source)) is None else read_config(run),
        skip_errors=skip_errors,
    )
    network, metadata = load_weights(weights, trusted)
    return Predictor(network, metadata, task_kind(metadata.task), options)


def predict(
    source: str | Path,
    images: str | Path | Sequence[str | Path],
    *,
    top: int = TOP,
    score: float = SCORE,
    device: str = "auto",
    trusted: Collection[str] = (),
    on_error: Literal["raise", "skip"] = "raise",
) -> list[Prediction] | list[ImageDetections]:
    """Classify image files, or find the objects in them, with the network of a run folder or weights file.

    Args:
        source: A run folder, a weights file, or ``hf:user/name`` on the Hugging Face Hub.
        images: Image files, folders of them, or patterns such as ``photographs/**/*.jpg``.
        top: Number of classes per image, of a classifier.
        score: Least score in [0, 1) of an object, of a detector.
        device: ``auto``, ``cpu``, ``cuda``, ...
        trusted: Factories ``package.module:function`` of your own that the file may name; they are imported.
        on_error: What a file that is missing or does not decode does: ``raise`` ends the call, ``skip`` leaves the file
            out with a warning; each prediction names its file as ``image``.

    Returns:
        Per image the likeliest classes with probabilities in [0, 1]; of a detector the image's pixels and the rows of
        its objects.

    Raises:
        DataError: A file is missing or does not decode, with ``raise``; or a folder or pattern has no image.
        NetaugError: There is no network, or it cannot be read.
    """
    if on_error not in ("raise", "skip"):
        raise ConfigError("on_error is not one that predict knows.", got=on_error, allowed="raise, skip")
    files = image_files([str(images)] if isinstance(images, str | Path) else [*map(str, images)])
    skips = on_error == "skip"
    predictor = open_predictor(
        source, top=top, score=score, device=device, trusted=trusted, skip_errors=skips
    )
    predictions: list[Any] = []
    for prediction in predictor(files):
        if isinstance(prediction, Unreadable):
            _log.warning("left out: %s", prediction.error.where)
        else:
            predictions.append(prediction)
    return predictions
