"""A dataset is read once per command: to choose settings, to count its images, and to train on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import wraps
from typing import Any

from netaug.config import DataConfig
from netaug.core.one_command import kept
from netaug.data.detection.problems import Problems

_OF_FEEDING = frozenset(
    {
        *("image_size", "mean", "std", "augment", "pad", "flip", "scaled_decoding", "distinct_epochs"),
        *("augment_seed", "batch_size", "norm_batch", "eval_batch_size", "workers", "cache"),
        *("classes", "limit", "shots", "subset_seed", "tune_holdout"),
    }
)
"""Settings of `data` that no reader sees: they choose among images that were found, or say how these are fed."""


def read_once(read: Callable[..., Any]) -> Callable[..., Any]:
    """Return a reader that reads again only outside of a command, or with other settings.

    Args:
        read: ``read(config)``, or ``read(config, problems)`` for images with boxes.
    """

    @wraps(read)
    def reading(config: DataConfig, *problems: Problems) -> Any:
        key = (read, _as_read(config))
        known = kept().get(key)
        if known is not None and all(noted.take_over(known[1]) for noted in problems):
            return known[0]
        fresh = not any(noted.counts for noted in problems)
        source = read(config, *problems)
        if fresh:  # else what was noted of other files would be noted of these
            kept()[key] = source, problems[0].copy() if problems else None
        return source

    return reading


def _as_read(config: DataConfig) -> DataConfig:
    """Return the same settings for all that are read alike."""
    usual = {field.name: field.default for field in fields(DataConfig) if field.name in _OF_FEEDING}
    # Whether images are held out decides which splits are read; how many, which of them are chosen.
    return replace(config, **usual, holdout=0.5 if config.holdout > 0 else 0.0)  # type: ignore[arg-type]
