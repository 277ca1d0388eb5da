"""What commands that measure a trained network share: their settings, and the data they measure on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from netaug.config import DataConfig
from netaug.config.loading import pairs
from netaug.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from netaug.data import DataInfo
    from netaug.weights.metadata import ModelCard

SETTINGS = (
    *(f"data.{key}" for key in ("name", "root", "image_size", "eval_batch_size", "workers", "cache")),
    *(f"data.{key}" for key in ("classes", "class_names", "train_split", "val_split")),
    *(f"data.{key}" for key in ("download", "holdout", "box_orientation", "on_error")),
    *(f"detect.{key}" for key in ("score_threshold", "nms_iou", "max_detections", "metric")),
    *(f"train.{key}" for key in ("label_smoothing", "device", "threads")),
)
ALLOWED_SETTINGS = ("model.name", *SETTINGS)
"""The same with the network's name, which confirms a factory of the user's and changes nothing."""


def evaluation_data(config: DataConfig, card: ModelCard) -> DataConfig:
    """The data settings that read evaluation images as the network was trained to see them.

    One training image is enough here; how images are cropped is the card's business.
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


def check_confirmed(card: ModelCard, given: Sequence[str]) -> None:
    """Refuse a ``--model.name`` that is not the network's: it confirms a factory, and chooses nothing.

    Raises:
        ConfigError: It names another network.
    """
    named = [text for key, text in pairs(given) if key == "model.name"]
    if named and named[-1] != card.name:
        raise ConfigError(
            "--model.name is not the network of these weights.",
            got=named[-1],
            allowed=card.name,
            fix="leave it out" if ":" not in card.name else f"--model.name {card.name}",
        )


def shown_mean(mean_per_class: float | None) -> str:
    """The mean per-class accuracy for people, behind top-1; nothing where it was not measured."""
    return "" if mean_per_class is None else f"  mean per class {mean_per_class:.2f} %"


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
    if card.class_names == info.class_names:
        return
    pairs = zip(info.class_names, card.class_names, strict=False)
    first = next((f"{ours!r}, the network says {theirs!r}" for ours, theirs in pairs if ours != theirs), "")
    raise DataError(
        "the classes of the data are not those the network was trained on.",
        got=f"{info.num_classes} classes in {info.name!r}"
        + (f", first that differs: {first}" if first else ""),
        allowed=f"the network's {card.num_classes} classes, in the same order",
        fix="give the data of the training with --data.name and --data.root",
    )
