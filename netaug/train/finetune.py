"""Makes the settings of a fine-tuning: the paper's recipe, with images prepared as in pre-training.

`netaug finetune` then trains as `netaug train` does. The settings come from the recipe, under those of the weights'
card (network, options, resolution, normalization), under the command line; so its ``config.yaml`` trains again with
`netaug train`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from typing import Any

from netaug.config import RunConfig
from netaug.config.loading import override, recipe_values
from netaug.config.provenance import check_provenance, names_given
from netaug.config.recipes import find_recipe, recipe_names
from netaug.config.settings import build
from netaug.config.trust import check_network
from netaug.core.errors import ConfigError
from netaug.core.escaping import say
from netaug.data.recognize import recognized_words
from netaug.data.registry import find_dataset
from netaug.distributed.launch import place
from netaug.models.registry import DETECTOR, is_detector
from netaug.runs.folder import find_weights
from netaug.train.filling_batches import with_filled_batches
from netaug.weights.metadata import ModelCard, read_card

DEFAULTS: dict[str, Any] = {
    "data.batch_size": 256,
    "netaug.enabled": False,
    "train.epochs": 55,
    "train.warmup_epochs": 5.0,
    "train.lr": 0.2,
    "train.momentum": 0.9,
    "train.weight_decay": 4e-5,
    "train.label_smoothing": 0.1,
}
"""arXiv:2110.08890 and its code: 50 + 5 epochs, batch 256; its 25 rates for that batch are 0.04 to 1, median 0.24."""
DETECTOR_DEFAULTS: dict[str, Any] = {
    "data.batch_size": 32,
    "netaug.enabled": False,
    "train.epochs": 55,
    "train.warmup_epochs": 5.0,
    "train.optimizer": "adamw",
    "train.lr": 0.002,
    "train.weight_decay": 0.02,
}
"""Over ``detection/_base``: what small detectors were trained with here; it is not tuned for fine-tuning."""
_MOST_WORKERS = 8


def finetune_config(
    source: str, recipe: str | None, overrides: Sequence[str], trusted: Collection[str] = ()
) -> tuple[str, RunConfig]:
    """Return a short name for run folders and the settings of a fine-tuning.

    Args:
        source: A run folder or a weights file.
        recipe: As for `netaug train`; None takes ``transfer/DATASET/MODEL`` if there is one, else :data:`DEFAULTS`,
            of a detector :data:`DETECTOR_DEFAULTS`.
        overrides: Settings of the command line; they win over everything.
        trusted: Factories ``package.module:function`` that recipe and weights may name, beside that in ``overrides``.

    Raises:
        ConfigError: The network is unknown, another than the recipe's, or no data is named.
        CheckpointError: The file's description is damaged.
        RunFolderError: There is no such file or folder.
        UntrustedNetworkError: Recipe or weights name a factory that is neither in ``overrides`` nor trusted.
    """
    path = find_weights(source)
    card = read_card(path)
    given = override({}, overrides)
    if "data.name" not in ({} if recipe is None else recipe_values(recipe)):
        words, sentence = recognized_words(given)
        overrides = [*overrides, *words]
        given = override({}, overrides)
        _tell(sentence)
    recipe = recipe or _usual_recipe(given, card)
    named = {} if recipe is None else recipe_values(recipe)
    model = _model(named, given, card, source)
    check_network(
        model["model.name"], {}, where=f"'{source}' or the recipe", trusted=names_given(given).union(trusted)
    )
    # Later ones win: defaults, recipe, what pre-training used, and the network of the weights.
    values = {**_defaults(card), **named, **_as_pretrained(card, model), **model}
    values |= {"model.weights": str(path), "model.new_head": True}
    if "train.epochs" in given and "train.warmup_epochs" not in given:
        fraction = values["train.warmup_epochs"] / values["train.epochs"]
        values["train.warmup_epochs"] = round(fraction * given["train.epochs"], 4)
    config = build(override(values, overrides))
    check_provenance(config, given, trusted)
    if "data.name" not in {**named, **given}:
        raise ConfigError("fine-tuning needs images.", got="neither --data nor --data.name", fix="--data DIR")
    _check_kind(config, source)
    config = with_filled_batches(config, given)
    name = f"finetune-{config.data.name}-{config.model.name}" if recipe is None else find_recipe(recipe)[0]
    return name.replace(":", "-"), config


def _tell(sentence: str) -> None:
    if sentence and place().rank == 0:
        say(sentence, file=sys.stderr)


def _check_kind(config: RunConfig, source: str) -> None:
    """Refuse data with boxes for a classifier, and images with labels for a detector."""
    model, boxed = config.model.name, find_dataset(config.data.name).task == "detect"
    if boxed and not is_detector(model):
        raise ConfigError(
            f"the network {model!r} classifies whole images, and the data has boxes.",
            got=f"data.name {config.data.name}",
            fix=f"netaug train --model {DETECTOR}{model} --model.weights {source} --data DIR trains a detector from it",
        )
    if is_detector(model) and not boxed:
        raise ConfigError(
            f"the network {model!r} finds objects, and the data has no boxes.",
            got=f"data.name {config.data.name}",
            allowed="data.name voc, coco or yolo",
        )


def _defaults(card: ModelCard | None) -> dict[str, Any]:
    if card is None or card.task != "detect":
        return DEFAULTS
    base = {key: value for key, value in recipe_values("detection/_base").items() if key != "model.name"}
    return {**base, **DETECTOR_DEFAULTS}


def _usual_recipe(given: dict[str, Any], card: ModelCard | None) -> str | None:
    """Return the name of the paper's recipe for this dataset and network; None if there is none."""
    model = given.get("model.name", card.name if card else None)
    name = f"transfer/{given.get('data.name')}/{model}"
    return name if name in recipe_names() else None


def _model(
    named: dict[str, Any], given: dict[str, Any], card: ModelCard | None, source: str
) -> dict[str, Any]:
    """Return name and options of the network in the weights."""
    wanted = given.get("model.name", named.get("model.name"))
    if card is None:
        if wanted is None:
            raise ConfigError(
                f"'{source}' does not say what network its weights are of.",
                got="a file that netaug did not write, and no --model.name",
                fix="--model.name NAME, see `netaug models`",
            )
        return {"model.name": wanted}
    if wanted == DETECTOR + card.name:
        raise ConfigError(
            "the settings of fine-tuning are for classifiers; a detector is trained with those of its recipe.",
            got=f"weights of {card.name!r}, and {wanted!r}",
            fix=f"netaug train detection/RECIPE --model.name {wanted} --model.weights {source}",
        )
    if wanted not in (None, card.name):
        raise ConfigError(
            f"the weights in '{source}' are of another network.",
            got=f"weights of {card.name!r}, settings for {wanted!r}",
            fix="leave model.name and the recipe out: they then follow the weights",
        )
    if card.widths:
        raise ConfigError(
            f"the network in '{source}' is wider than {card.name!r} is built.",
            got="a network that `netaug extract` took out of a training",
            allowed="the base network, model.safetensors of the run",
        )
    options = {key: value for key, value in card.options.items() if key != "pretrained"}
    return {"model.name": card.name, "model.options": options}


def _as_pretrained(card: ModelCard | None, model: dict[str, Any]) -> dict[str, Any]:
    """Return resolution, normalization and crops as in pre-training; those of ImageNet if nothing is known."""
    if card is None:
        from netaug.data.readers.folder import IMAGENET_MEAN, IMAGENET_STD
        from netaug.models import default_image_size

        size = default_image_size(model["model.name"])
        feed = {"data.image_size": size, "data.mean": IMAGENET_MEAN, "data.std": IMAGENET_STD}
    else:
        size = card.image_size
        feed = {"data.image_size": size, "data.mean": card.mean, "data.std": card.std}
    workers = min(_MOST_WORKERS, os.cpu_count() or 1)
    if card is not None and card.task == "detect":
        return {**feed, "data.augment": "detection", "data.workers": workers}
    if card is None or card.crop_ratio < 1:
        return {**feed, "data.augment": "imagenet", "data.workers": workers}
    return {**feed, "data.augment": "small", "data.pad": max(1, size // 8)}
