"""Settings for a network and a folder of images without a recipe: each derived from the data, with its reason."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from netaug.config.datasets import DATASETS
from netaug.config.loading import given_settings, recipe_values
from netaug.config.settings import build
from netaug.config.trust import backbone_of
from netaug.core.errors import ConfigError, NetaugError, NoEvaluationImagesError
from netaug.core.parallel import default_jobs
from netaug.data.counting import count_selected, sampled_sides
from netaug.data.recognize import HOLDOUT, Recognized, recognize
from netaug.data.registry import find_dataset
from netaug.models import create_model, default_image_size
from netaug.models.dropout import factory_options
from netaug.models.factory import without_pretrained

STEPS = 8_000
"""Updates that a training is given: the demos' networks gain little beyond."""
_EPOCHS = (30, 300)
_BATCHES = (16, 256)
_STEPS_PER_EPOCH = 10
_RATE, _TINY_RATE, _RATE_BATCH = 0.1, 0.4, 128
_TINY = 20_000
"""Parameters below which networks did best at higher rates: 0.4 of 0.2, 0.4 and 0.8 for 128 images with 2,084
parameters (docs/results/cifar10), 0.2 to 0.4 with 1,506, more than 0.6 with 342 to 470 (docs/results/regime)."""
_SAMPLED = 40  # images whose size is read
_DETECTOR_STRIDE = 32
_SMALL_SIDE = 64  # below, images are padded and cropped; above, cropped at random scales as ImageNet's are
_NETWORKS = {"large": "mobilenetv2-tiny", "small": "micronet", "boxes": "yolov3:mobilenetv2-0.35"}


@dataclass(frozen=True)
class Derived:
    """Settings that stand in place of a recipe.

    Args:
        name: For run folders.
        values: By ``group.key``; what the user gives wins over them.
        reasons: One line per decision, to be shown.
        root: The folder of the dataset, where it lies further inside the one that the user gives.
    """

    name: str
    values: dict[str, Any]
    reasons: tuple[str, ...]
    root: Path | None = None

    @property
    def explanation(self) -> str:
        """Return the decisions with their reasons, for the user."""
        lines = "\n".join(f"  {line}" for line in self.reasons)
        return f"settings without a recipe; --group.key VALUE changes any of them:\n{lines}"

    @property
    def words(self) -> list[str]:
        """Return them as the words of a command line."""
        return [
            f"--{key}={value if isinstance(value, str) else json.dumps(value)}"
            for key, value in self.values.items()
        ]

    def without(self, key: str, *, reason: str) -> Derived:
        """Return them without one setting and its reason, of which the first word is given."""
        values = {other: value for other, value in self.values.items() if other != key}
        reasons = tuple(line for line in self.reasons if line.split()[0] != reason)
        return replace(self, values=values, reasons=reasons)

    def with_given(self, given: Sequence[str]) -> list[str]:
        """Return them and the user's words, which win, except for where in the folder given the dataset lies."""
        return [*self.words, *given, *([] if self.root is None else [f"--data.root={self.root}"])]


@dataclass(frozen=True)
class _Facts:
    """What the data says before a training.

    Args:
        images: Number of training images.
        classes: Number of classes.
        side: Median of the shorter sides, in pixels.
    """

    images: int
    classes: int
    side: int


def derive_settings(overrides: Sequence[str]) -> Derived:
    """Choose the settings of a training from the network and the images that the user names.

    Args:
        overrides: The user's settings, ``--group.key=value``; ``data.root`` or ``data.name`` among them.

    Raises:
        ConfigError: No data is named.
        DataError: It is missing, or not recognized.
    """
    given = given_settings({}, overrides)
    if "data.root" not in given and given.get("data.name") in (None, "folder"):
        raise ConfigError(
            "a training needs a recipe, or images.",
            allowed="a name of `netaug recipes`, the path of a YAML file, or --data DIR",
            fix="netaug train --data DIR, or netaug train demo/digits",
        )
    recognized = _recognized(given)
    path = Path(os.path.abspath(recognized.root))  # a link keeps its name, `.` gets one
    if recognized.inside:
        path, given["data.root"] = Path(os.path.abspath(given["data.root"])), str(recognized.root)
    values: dict[str, Any] = (
        {"data.name": recognized.name, "data.root": str(recognized.root)} if "data.root" in given else {}
    )
    reasons = (
        [f"data        {recognized.name}, recognized by {recognized.sign}"]
        if "data.name" not in given
        else []
    )
    if recognized.needs_holdout and "data.holdout" not in given:
        values["data.holdout"] = HOLDOUT
    name = str(given.get("data.name", recognized.name))
    try:
        facts = _facts({**values, **given})
    except NoEvaluationImagesError:
        if "data.holdout" in given:
            raise
        values["data.holdout"] = HOLDOUT
        facts = _facts({**values, **given})
    if "data.holdout" in values:
        reasons.append(
            f"evaluation  {HOLDOUT:.0%} of the images are held out: there are no others for evaluation"
        )
    boxed = DATASETS[name].task == "detect" if name in DATASETS else False
    choose = _for_boxes if boxed else _for_classes
    values |= choose(facts, given, reasons)
    model = given.get("model.name", values.get("model.name"))
    label = f"{model}-{(path.stem if path.is_file() else path.name) or recognized.name}"
    root = recognized.root if recognized.inside else None
    return Derived(label.replace(":", "-").replace("/", "-"), values, tuple(reasons), root)


def _recognized(given: Mapping[str, Any]) -> Recognized:
    root = given.get("data.root")
    if "data.name" in given:
        return Recognized(str(given["data.name"]), Path(root or given["data.name"]), "its name")
    return recognize(Path(str(root)).expanduser())


def _facts(settings: Mapping[str, Any]) -> _Facts:
    from netaug.data.detection.problems import Problems

    config = build({key: value for key, value in settings.items() if key.startswith("data.")}).data
    dataset = find_dataset(config.name)
    arguments = (config, Problems(skip=True)) if dataset.task == "detect" else (config,)
    source = dataset.read(*arguments)
    train = source.train
    if dataset.task == "detect":
        sides = np.asarray(train.read_sizes).min(axis=1)
    elif getattr(source, "image_size", None):
        sides = np.array([source.image_size])
    else:
        sides = sampled_sides(train.images, _SAMPLED, skip=config.on_error == "skip")
    classes = len(config.classes or source.class_names)
    return _Facts(count_selected(source, config), classes, int(np.median(sides)))


def _for_classes(facts: _Facts, given: Mapping[str, Any], reasons: list[str]) -> dict[str, Any]:
    reasons.insert(
        1, f"images      {facts.images:,} to train on, {facts.classes} classes, {facts.side} pixels"
    )
    values: dict[str, Any] = {}
    if "model.name" not in given:
        values["model.name"] = _NETWORKS["large" if facts.side >= _SMALL_SIDE else "small"]
        reasons.append(f"network     {values['model.name']}; another one: --model NAME")
    own = default_image_size(str(given.get("model.name", values.get("model.name"))))
    side = min(own, facts.side if facts.side < 32 else _rounded_up(facts.side))
    values["data.image_size"] = side
    why = "the network's own" if side == own else "as large as the images"
    if "data.image_size" not in given:
        reasons.append(f"resolution  {side} pixels, {why}")
    side = given.get("data.image_size", side)
    small = side < _SMALL_SIDE
    values |= (
        {"data.augment": "small", "data.pad": max(1, side // 8)} if small else {"data.augment": "imagenet"}
    )
    values |= _schedule(facts, given, reasons)
    values |= {"train.label_smoothing": 0.1, "train.weight_decay": 4e-5}
    batch = given.get("data.batch_size", values["data.batch_size"])
    tiny = _parameters({**values, **given}, facts) < _TINY
    rate = _TINY_RATE if tiny else _RATE
    values["train.lr"] = round(rate * batch / _RATE_BATCH, 4)
    of = f", for networks below {_TINY:,} parameters" if tiny else ""
    if "train.lr" not in given:
        reasons.append(
            f"rate        {values['train.lr']:g}: {rate:g} for {_RATE_BATCH} images, in proportion{of}"
        )
    if "data.flip" not in given:
        reasons.append("mirroring   on; off for digits, letters and signs: --data.flip false")
    return values


def _parameters(settings: Mapping[str, Any], facts: _Facts) -> float:
    """Return the parameters of a network; infinity if it cannot be built, which the training then explains."""
    try:
        config = build({key: value for key, value in settings.items() if key.startswith("model.")}).model
        options = without_pretrained(factory_options(config))  # nothing is downloaded to count
        model = create_model(config.name, num_classes=facts.classes, in_chans=config.in_chans or 3, **options)
    except NetaugError:
        return math.inf
    return sum(parameter.numel() for parameter in model.parameters())


def _for_boxes(facts: _Facts, given: Mapping[str, Any], reasons: list[str]) -> dict[str, Any]:
    reasons.insert(
        1,
        f"images      {facts.images:,} with boxes to train on, {facts.classes} classes, {facts.side} pixels",
    )
    values = {**recipe_values("detection/_base"), "data.workers": 0}
    network = str(given.get("model.name", _NETWORKS["boxes"]))
    if backbone_of(network) is None:
        raise ConfigError(
            f"the network {network} names whole images, and the data has boxes.",
            got=f"--model {network}",
            fix=f"--model yolov3:{network} finds objects with it",
        )
    values["model.name"] = network
    own = default_image_size(network)
    values["data.image_size"] = side = min(
        own, max(96, _DETECTOR_STRIDE * round(facts.side / _DETECTOR_STRIDE))
    )
    if "model.name" not in given:
        reasons.append(f"network     {network}; another one: --model yolov3:NAME")
    if "data.image_size" not in given:
        whose = "the network" if side == own else "the images"
        reasons.append(f"resolution  {side} pixels, {whose}'s own, in steps of 32")
    values |= _schedule(facts, given, reasons, most=32)
    values |= {"train.optimizer": "adamw", "train.lr": 0.002, "train.weight_decay": 0.02}
    if not {"train.optimizer", "train.lr"} & set(given):
        reasons.append("optimizer   adamw at 0.002, as the small detectors here were trained")
    return values


def _schedule(
    facts: _Facts, given: Mapping[str, Any], reasons: list[str], most: int = _BATCHES[1]
) -> dict[str, Any]:
    """Return batch size, epochs, warm-up, evaluations and loader processes."""
    wanted = max(1, facts.images // _STEPS_PER_EPOCH)
    batch = min(most, max(_BATCHES[0], 2 ** int(math.log2(wanted))))
    batch = min(batch, facts.images)
    if "data.batch_size" not in given:
        reasons.append(
            f"batch       {batch} images, for at least {_STEPS_PER_EPOCH} steps per epoch where there are enough"
        )
    used = given.get("data.batch_size", batch)
    steps = max(1, facts.images // used)
    low, high = _EPOCHS
    epochs = min(high, max(low, round(STEPS / steps)))
    if "train.epochs" not in given:
        reasons.append(
            f"epochs      {epochs}: about {epochs * steps:,} steps, between {low} and {high} epochs"
        )
    epochs = given.get("train.epochs", epochs)
    warmup = round(min(5.0, epochs / 20), 3)
    if "train.warmup_epochs" not in given:
        reasons.append(f"warm-up     {warmup:g} epochs: a twentieth of them, at most 5")
    return {
        "data.batch_size": batch,
        "data.eval_batch_size": max(batch, 64),
        "data.workers": _workers(facts, given, reasons),
        "train.epochs": epochs,
        "train.warmup_epochs": warmup,
        "train.eval_every": max(1, epochs // 30),
        "train.checkpoint_every": max(1, epochs // 30),
    }


def _workers(facts: _Facts, given: Mapping[str, Any], reasons: list[str]) -> int:
    """Return the number of loader processes; decoding is what takes them."""
    many = facts.images > 2_000 and facts.side >= _SMALL_SIDE
    workers = min(4, default_jobs() - 1) if many else 0
    if "data.workers" not in given:
        why = "one per free core, at most 4" if many else "decoding so few or small images needs none"
        reasons.append(f"workers     {workers}: {why}")
    return workers


def _rounded_up(side: int) -> int:
    return math.ceil(side / 32) * 32
