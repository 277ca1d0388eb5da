"""The settings and checks that commands share which measure a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netaug.config.loading import pairs
from netaug.core.errors import ConfigError

if TYPE_CHECKING:
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
    """Format the mean accuracy per class, to follow top-1; empty where it was not measured."""
    return "" if mean_per_class is None else f"  mean per class {mean_per_class:.2f} %"
