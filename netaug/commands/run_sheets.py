"""What the page of a run shows of its data and network: augmented training images, and predictions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netaug.core.errors import NetaugError

if TYPE_CHECKING:
    from markupsafe import Markup

    from netaug.api.evaluation import TrainedNetwork
    from netaug.config import DataConfig, RunConfig
    from netaug.data import Data
    from netaug.report.run_page import DataPart, Sheet

_CLASSIFIED, _DETECTED = 24, 6
"""How many pictures there are of a classifier's data, and of a detector's, which are larger."""
_SIDE = 240
_AUGMENTED = "The first images of the first epoch, as the network gets them{mixed}."
_MIXED = "; batches are mixed after that (regularize)"


def data_part(run: Path, trusted: Collection[str]) -> DataPart:
    """Read a run's data and network, and return what its page shows of them; problems are a sentence.

    Args:
        run: The run folder.
        trusted: Factories ``package.module:function`` that the run may name.
    """
    from netaug.report.run_page import DataPart
    from netaug.runs.folder import read_config

    try:
        config = read_config(run)
        part, few = _of_data(config)
    except NetaugError as error:
        return DataPart(missing=_sentence("pictures", error))
    try:
        sheet = _of_network(run, config, few, trusted)
    except NetaugError as error:  # no checkpoint yet, or a factory that is not trusted
        return DataPart(part.facts, part.sheets, _sentence("predictions", error))
    return DataPart(part.facts, [*part.sheets, sheet])


def _sentence(what: str, error: NetaugError) -> str:
    return f"There are no {what}: {error.where.rstrip('.')}."


def _of_data(config: RunConfig) -> tuple[DataPart, DataConfig]:
    """Return facts and augmented images, and the settings that read a few of the images."""
    from netaug.data import build_data
    from netaug.report.run_page import DataPart

    count = min(_CLASSIFIED, config.data.batch_size)
    # images in memory would all be decoded first
    few = replace(config.data, batch_size=count, workers=0, cache="none")
    data = build_data(few, seed=config.train.seed, regularize=config.regularize, detect=config.detect)
    info = data.info
    facts = [
        ("classes", f"{info.num_classes:,}"),
        ("images", f"{info.train_size:,} to train on, {info.val_size:,} in {info.val_split}"),
        ("input", f"{info.image_size} x {info.image_size} pixels, {info.in_chans} channels"),
    ]
    return DataPart(facts, [_training_sheet(data, mixed=config.regularize.mixes)]), few


def _of_network(run: Path, config: RunConfig, few: DataConfig, trusted: Collection[str]) -> Sheet:
    from netaug.api.evaluation import check_classes, detect_settings, evaluation_data, open_network
    from netaug.data import build_data

    network = open_network(run, config, trusted)
    data = build_data(
        evaluation_data(few, network.card),
        seed=config.train.seed,
        detect=detect_settings(config, network.card),
        crop_ratio=network.card.crop_ratio,
    )
    check_classes(network.card, data.info)
    return _prediction_sheet(network, data)


def _training_sheet(data: Data, *, mixed: bool) -> Sheet:
    from netaug.data.batch import DetectionBatch
    from netaug.data.readers.wordnet import in_words
    from netaug.report.embedded import thumbnail
    from netaug.report.run_page import Sheet

    batch, names = next(data.train.epoch(0)), in_words(data.info.class_names)
    note = _AUGMENTED.format(mixed=_MIXED if mixed else "")
    if isinstance(batch, DetectionBatch):
        return Sheet("Augmented training images", _boxed(batch, names), note, small=False)
    pictures = [
        (thumbnail(image_CHW, _SIDE, names[label]), names[label], "")
        for image_CHW, label in zip(batch.images_NCHW, batch.targets.tolist(), strict=True)
    ]
    return Sheet("Augmented training images", pictures, note)


def _boxed(batch: object, names: tuple[str, ...]) -> list[tuple[Markup, str, str]]:
    from netaug.data.batch import DetectionBatch
    from netaug.report.detection.examples import Mark
    from netaug.report.detection.pictures import picture

    assert isinstance(batch, DetectionBatch)
    pictures = []
    for number in range(min(_DETECTED, len(batch))):
        targets = batch.targets[number : number + 1]
        marks = [
            Mark("right", tuple(box), names[label])
            for box, label in zip(targets.boxes_M4.tolist(), targets.labels_M.tolist(), strict=True)
        ]
        objects = "1 object" if len(marks) == 1 else f"{len(marks)} objects"
        pictures.append((picture(batch.images_NCHW[number], marks, objects), objects, ""))
    return pictures


def _prediction_sheet(network: TrainedNetwork, data: Data) -> Sheet:
    if network.card.task == "detect":
        return _detections(network, data)
    if network.card.task == "classify":
        return _classes(network, data)
    raise NetaugError(f"there is no sheet of predictions for the task {network.card.task!r}.")


def _classes(network: TrainedNetwork, data: Data) -> Sheet:
    import torch

    from netaug.data import Normalizer
    from netaug.data.loading import EvalLoader
    from netaug.data.readers.wordnet import in_words
    from netaug.report.embedded import thumbnail
    from netaug.report.run_page import Sheet
    from netaug.tasks.classify import ClassificationTask

    assert isinstance(data.val, EvalLoader)
    card, config = network.card, network.config
    normalizer = Normalizer(card.mean, card.std, network.device, config.train.channels_last)
    names, pictures = in_words(data.info.class_names), []
    for batch in data.val.evenly_spaced(_CLASSIFIED):
        with torch.no_grad():
            logits_NC = network.model.eval()(normalizer(batch.images_NCHW))
        probabilities, classes = ClassificationTask().predictions(logits_NC, 1)
        rows = zip(
            batch.images_NCHW,
            batch.labels_N.tolist(),
            classes[:, 0].tolist(),
            probabilities[:, 0].tolist(),
            strict=True,
        )
        for image_CHW, label, predicted, probability in rows:
            said = f"{names[predicted]} {100 * probability:.0f} %"
            verdict = "right" if predicted == label else f"wrong, is {names[label]}"
            pictures.append((thumbnail(image_CHW, _SIDE, f"{said}, {verdict}"), said, verdict))
    note = f"Images from all over {data.info.val_split}, by the network of the last epoch."
    return Sheet("Predictions", pictures, note)


def _detections(network: TrainedNetwork, data: Data) -> Sheet:
    from netaug.config.detect import SHOWN_SCORE
    from netaug.data import Normalizer
    from netaug.data.decode.image import decode_file
    from netaug.data.detection.loaders import BoxEvalLoader
    from netaug.detect.confusion import pair_up
    from netaug.report.detection.examples import count, marks
    from netaug.report.detection.page import caption
    from netaug.report.detection.pictures import picture
    from netaug.report.run_page import Sheet
    from netaug.tasks.detect import in_order
    from netaug.tasks.evaluate import collected, measure
    from netaug.tasks.registry import choose_task

    assert isinstance(data.val, BoxEvalLoader)
    card, config = network.card, network.config
    normalizer = Normalizer(card.mean, card.std, network.device, config.train.channels_last)
    loader = data.val.evenly_spaced(_DETECTED)
    truth, images = loader.split.annotations, loader.split.images
    rows = collected(measure(network.model, loader, normalizer, choose_task(config, data)))
    assert rows is not None
    pairing = pair_up(in_order(rows), truth, score=SHOWN_SCORE)
    counts, pictures = count(pairing, truth), []
    for number in range(len(truth)):
        name = Path(images.path(number)).name
        drawn = marks(number, pairing, truth, data.info.class_names)
        svg = picture(decode_file(images.path(number), 3), drawn, f"{name} with its boxes")
        pictures.append((svg, caption(counts, number), name))
    note = (
        f"Images from all over {data.info.val_split}, with predictions from score {SHOWN_SCORE} on: solid lines are "
        "right, dashed ones wrong, dotted ones objects without a prediction. `netaug eval RUN --report DIR` "
        "judges all images."
    )
    return Sheet("Predictions", pictures, note, small=False)
