"""`netaug.load` and `netaug.predict`: a trained network, and its predictions for image files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from netaug.config.detect import DetectConfig
from netaug.core.device import choose_device
from netaug.core.errors import ConfigError
from netaug.runs.folder import RunFolder, find_weights, read_config
from netaug.tasks.detect_images import Found, find_objects
from netaug.tasks.predict import Prediction
from netaug.tasks.predict import predict as classify
from netaug.weights.metadata import load_weights


def load(source: str | Path, *, trusted: Collection[str] = ()) -> nn.Module:
    """Build the plain network of a run folder or weights file, with its weights, in evaluation mode on the CPU.

    Args:
        source: A run folder, or a weights file that netaug wrote; ``netaug.load_weights`` reads other files.
        trusted: Factories ``package.module:function`` of your own that the file may name; they are imported.

    Returns:
        The network's own class; it owes nothing to netaug's supernets. Its input is ``[N, C, H, W]``, normalized as
        the file says (:func:`netaug.weights.metadata.read_card`).

    Raises:
        RunFolderError: There is no network.
        CheckpointError: The file is damaged, or does not fit its network.
        UntrustedNetworkError: It names a factory that is not trusted.
    """
    network, _ = load_weights(find_weights(source), trusted)
    return network


def predict(
    source: str | Path,
    images: str | Path | Sequence[str | Path],
    *,
    top: int = 5,
    score: float = 0.25,
    device: str = "auto",
    trusted: Collection[str] = (),
) -> list[Prediction] | list[Found]:
    """Classify image files, or find the objects in them, with the network of a run folder or weights file.

    Args:
        source: A run folder or a weights file.
        images: Image files.
        top: How many classes per image, of a classifier.
        score: Least score in [0, 1) of an object, of a detector.
        device: ``auto``, ``cpu``, ``cuda``, ...
        trusted: Factories ``package.module:function`` of your own that the file may name; they are imported.

    Returns:
        Per image the likeliest classes with probabilities in [0, 1]; of a detector the image's pixels and the rows of
        its objects.

    Raises:
        DataError: A file is missing or does not decode.
        NetaugError: There is no network, or it cannot be read.
    """
    network, metadata = load_weights(find_weights(source), trusted)
    files = [str(images)] if isinstance(images, str | Path) else [str(image) for image in images]
    chosen = choose_device(device, "device")
    if metadata.detects:
        settings = detection_settings(Path(source), score)
        return list(find_objects(network, metadata, files, settings, chosen))
    if top < 1:
        raise ConfigError("top is out of range.", got=top, allowed="a whole number, at least 1")
    return classify(network, metadata, files, top=top, device=chosen)


def detection_settings(source: Path, score: float) -> DetectConfig:
    """Return what counts as found: as in the run, if ``source`` is one, from this score on.

    Raises:
        ConfigError: The score is out of range.
    """
    if not 0 <= score < 1:
        raise ConfigError("--score is out of range.", got=score, allowed="a number in [0, 1)")
    own = read_config(source).detect if RunFolder(source).config.is_file() else DetectConfig()
    return replace(own, score_threshold=score)
