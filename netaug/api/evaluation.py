"""`netaug.evaluate`: measure a trained network on its evaluation images, at any size of its input."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netaug.api.settings import words_of
from netaug.config import DataConfig, DetectConfig, RunConfig
from netaug.config.loading import default_config, given_settings
from netaug.core.device import choose_device, set_up
from netaug.core.errors import ConfigError, DataError, RunFolderError
from netaug.core.escaping import say
from netaug.core.one_command import one_command
from netaug.core.progress import track
from netaug.data import Data, DataInfo, Normalizer, build_data
from netaug.data.counting import count_training_images
from netaug.data.readers.wordnet import in_words
from netaug.data.recognize import recognized_words
from netaug.models.trial import check_fits
from netaug.profile import profile
from netaug.runs.folder import find_weights, read_config, run_of
from netaug.tasks.evaluate import added, collected, measure
from netaug.tasks.registry import choose_task, task_kind
from netaug.train.evaluation import recalibrated
from netaug.train.threads import threads_by_size
from netaug.weights.metadata import ModelCard, load_weights, read_card


@dataclass(frozen=True)
class Measurement:
    """The metrics of a network on inputs of one size.

    Args:
        side: Height = width of the input in pixels.
        macs: Multiply-accumulates for one image.
        score: Name of the metric that results are reported in.
        metrics: By name; accuracies and precisions in percent.
        data: The images that it was measured on.
        rows: What the evaluation collected, float64: the predictions of a detector ``[K, 7]``; with ``per_image`` a row
            per image of a classifier (:mod:`netaug.tasks.classify_rows`).
    """

    side: int
    macs: int
    score: str
    metrics: dict[str, float]
    data: Data
    rows: Tensor | None = None

    @property
    def info(self) -> DataInfo:
        """Return the facts of the data."""
        return self.data.info


@dataclass(frozen=True)
class TrainedNetwork:
    """A network of a run folder or weights file, ready to be measured.

    Args:
        model: On the device.
        card: Says how it is fed.
        config: Settings of the run, or those given for a weights file.
        device: Where it runs.
    """

    model: nn.Module
    card: ModelCard
    config: RunConfig
    device: torch.device

    def measure(
        self, side: int | None = None, recalibrate: int = 0, *, per_image: bool = False
    ) -> Measurement:
        """Measure it on the evaluation images.

        Args:
            side: Height = width of the input in pixels; None is what it was trained for.
            recalibrate: Training images, at this size, on which statistics of batch norms are estimated again for the
                measurement; 0 takes the network's own.
            per_image: Whether a row per image is collected of a classifier too, for a page about it.

        Raises:
            ConfigError: A detector cannot have this side.
            ModelError: The network does not run on images of this size.
            DataError: The data cannot be read, or has other classes than the network.
        """
        if recalibrate < 0:
            raise ConfigError(
                "the number of images to recalibrate on is out of range.",
                got=recalibrate,
                allowed="0, or more",
            )
        card, config = self.card, self.config
        size = side or config.data.image_size or card.image_size
        kind = task_kind(card.task)
        kind.check_side("--resolution" if side else "data.image_size", size)
        settings = replace(evaluation_data(config.data, card), image_size=size)
        if (
            per_image and settings.on_error == "skip"
        ):  # in memory, images behind a broken one have other positions
            settings = replace(settings, cache="none")
        data = build_data(
            settings,
            seed=config.train.seed,
            detect=detect_settings(config, card),
            crop_ratio=card.crop_ratio,
        )
        check_classes(card, data.info)
        kind.check_data(data)
        example = torch.zeros(2, card.in_chans, size, size, device=self.device)
        check_fits(self.model, card.name, example, card.num_classes, kind.output_form())
        normalizer = Normalizer(card.mean, card.std, self.device, config.train.channels_last)
        task = choose_task(config, data)
        if per_image:
            task = kind.with_rows(task, data.info)
        model = self._recalibrated(recalibrate, size, normalizer) if recalibrate else self.model
        measured = list(track(measure(model, data.val, normalizer, task), "evaluating", len(data.val)))
        rows = collected(measured)
        metrics = task.judged(added([batch.sums for batch in measured]), rows)
        return Measurement(size, profile(self.model, example).macs, task.score, metrics, data, rows)

    def _recalibrated(self, images: int, size: int, normalizer: Normalizer) -> nn.Module:
        """Return a copy with statistics of training images, augmented as in training."""
        card, config = self.card, self.config
        detect = replace(config.detect, anchor_sizes=tuple(x for pair in card.anchors for x in pair))
        count = count_training_images(config.data) or config.data.batch_size
        # a weights file has the default batch, which a small dataset does not fill
        settings = replace(config.data, image_size=size, batch_size=min(config.data.batch_size, count))
        data = build_data(settings, seed=config.train.seed, detect=detect)
        check_classes(card, data.info)
        return recalibrated(self.model, data.train.epoch(0), normalizer, images)


@one_command()
def evaluate(
    source: str | Path,
    *,
    resolution: int | None = None,
    recalibrate: int = 0,
    trusted: Collection[str] = (),
    **settings: Any,
) -> Measurement:
    """Measure the network of a run folder or weights file on its evaluation images.

    Args:
        source: A run folder, whose own data is taken, or a weights file; then name the data in ``settings``.
        resolution: Height = width of the input in pixels; None is what the network was trained for.
        recalibrate: Training images on which statistics of batch norms are estimated again; 0 takes the network's own.
        trusted: Factories ``package.module:function`` of your own that the file may name; they are imported.
        **settings: As ``data={"name": "folder", "root": "DIR"}`` or ``**{"data.root": "DIR"}``; over those of the run.

    Returns:
        Top-1, or average precision of a detector, and the loss, by name in ``metrics`` (percent, nats per image).

    Raises:
        NetaugError: There is no network, the data cannot be read, or it has other classes than the network.
    """
    place = Path(source)
    given = words_of(settings)
    config = evaluation_settings(place, given)
    return open_network(place, config, trusted).measure(resolution, recalibrate)


def evaluation_settings(place: Path, given: Sequence[str]) -> RunConfig:
    """Return the settings that a network is measured with: those of its run, or the ones given for a weights file.

    Args:
        place: A run folder, or a weights file; one in a run folder, such as ``best.safetensors``, is of that run.
        given: Words ``--group.key=value``, which win.

    Raises:
        RunFolderError: There is no network.
        ConfigError: A weights file needs the data to be named.
    """
    weights = find_weights(place)  # raises if there are none
    values = given_settings({}, given)
    run = run_of(place)
    if run is not None and (place.is_dir() or not {"data.name", "data.root"} & values.keys()):
        return read_config(run, tuple(given))
    if place.is_dir():
        raise RunFolderError(f"'{place}' is not a run folder.", got="no config.yaml")
    words, sentence = recognized_words(values)
    if sentence:
        say(sentence, file=sys.stderr)
    if not words and "data.name" not in values:
        raise ConfigError(
            f"'{place}' is a weights file, which does not say what to evaluate on.",
            got="neither --data nor --data.name",
            fix="add --data DIR, or --data.name and --data.root; or give the run folder",
        )
    card = read_card(weights)
    defaults = () if card is None else task_kind(card.task).evaluation_settings
    return default_config([*defaults, *given, *words])


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
    threads = config.train.threads
    if threads is None and device.type == "cpu":
        example_NCHW = torch.zeros(1, card.in_chans, card.image_size, card.image_size)
        threads = threads_by_size(profile(model, example_NCHW).macs * config.data.eval_batch_size)
    set_up(device, threads)
    return TrainedNetwork(model.to(device), card, config, device)


def evaluation_data(config: DataConfig, card: ModelCard) -> DataConfig:
    """Return the settings that read evaluation images as the network was trained to see them.

    One training image is enough here; the network's metadata say how images are cropped.
    """
    cropped = card.crop_ratio < 1
    return replace(
        config,
        image_size=config.image_size or card.image_size,
        augment="imagenet" if cropped else "none",
        cache="none" if cropped else config.cache,
        batch_size=1,
        limit=1,
        shots=None,
    )


def detect_settings(config: RunConfig, card: ModelCard) -> DetectConfig:
    """Return the settings of a detector with the anchors that it was trained with."""
    return replace(config.detect, anchor_sizes=tuple(x for pair in card.anchors for x in pair))


def check_classes(card: ModelCard, info: DataInfo) -> None:
    """Refuse data whose classes or channels are not those the network was trained on.

    Raises:
        DataError: They differ; names the first differing class.
    """
    if card.in_chans != info.in_chans:
        raise DataError(
            "the images have other channels than the network.",
            got=f"{info.in_chans} in {info.name!r}",
            allowed=card.in_chans,
        )
    # ImageNet's classes have ids or words for names, as the dataset or the weights came
    ours, theirs = in_words(info.class_names), in_words(card.class_names)
    if theirs == ours:
        return
    pairs = zip(ours, theirs, strict=False)
    first = next((f"{ours!r}, the network says {theirs!r}" for ours, theirs in pairs if ours != theirs), "")
    raise DataError(
        "the classes of the data are not those the network was trained on.",
        got=f"{info.num_classes} classes in {info.name!r}"
        + (f", first that differs: {first}" if first else ""),
        allowed=f"the network's {card.num_classes} classes, in the same order",
        fix="give the data of the training with --data.name and --data.root",
    )
