"""Whether a cache of teacher outputs is of this run's images, and of this teacher."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from netaug.config import RunConfig
from netaug.config.loading import to_mapping
from netaug.config.regularize import settings_of
from netaug.core.errors import ConfigError
from netaug.data import Data, Normalizer
from netaug.data.listing_digest import VERSION, fingerprint
from netaug.distill.cache import Cache, CacheCard
from netaug.distill.teacher import Teachers

_NOT_OF_THE_IMAGES = {
    *("root", "download", "workers", "batch_size", "eval_batch_size", "distinct_epochs", "augment_seed"),
    *("cache", "on_error", "mean", "std", "class_names"),
}
_LISTING = "files"
_MOST_LEVELS = (
    2.0  # mean difference of pixels, of 255: another decoder rounds otherwise, other draws differ more
)
_MOST_NATS = 0.05  # mean difference of log probabilities between two devices, weighted with the probabilities


def image_settings(config: RunConfig) -> dict[str, Any]:
    """All settings that the pixels of training images depend on, `group.key` to value."""
    groups = to_mapping(config)
    seed = config.train.seed if config.data.augment_seed is None else config.data.augment_seed
    return {
        **{f"data.{name}": value for name, value in groups["data"].items() if name not in _NOT_OF_THE_IMAGES},
        **{f"regularize.{name}": groups["regularize"][name] for name in sorted(settings_of("images"))},
        "data.augment_seed": seed,
    }


def images_record(data: Data) -> dict[str, Any]:
    """What tells the training images from others: names, sizes and contents among it, but not their labels."""
    record = fingerprint(data.info)
    if data.listing is not None:
        digests = data.listing.digests["training"]
        parts = "".join(digests[part] for part in ("names", "sizes", "contents"))
        record[_LISTING] = f"{VERSION}:{hashlib.sha256(parts.encode()).hexdigest()}"
    return record


def draws_of(config: RunConfig) -> int:
    """How many augmentations of each image a run sees."""
    return min(config.data.distinct_epochs or config.train.epochs, config.train.epochs)


def open_cache(config: RunConfig, data: Data, normalizer: Normalizer, teachers: Teachers | None) -> Cache:
    """The cache of the settings, once it is known to be of this run's images.

    Args:
        config: Names the folder.
        data: The run's data; a few images are made and compared with those that the teacher saw.
        normalizer: Of the run.
        teachers: Asked about the same images, if they are at hand; else None.

    Raises:
        CheckpointError: It is missing, damaged or not finished.
        ConfigError: It is of other images or of another teacher; names each difference.
    """
    assert config.distill.cache is not None, "asked for a cache where none is named"
    cache = Cache(Path(config.distill.cache).expanduser())
    card = cache.card
    _check_settings(config, data, card)
    _check_draws(config, card)
    pixels = _check_pixels(cache, data)
    if teachers is not None:
        _check_teacher(cache, teachers, normalizer(pixels))
    return cache


def _check_settings(config: RunConfig, data: Data, card: CacheCard) -> None:
    now, found = image_settings(config), images_record(data)
    if _LISTING not in card.dataset:  # a cache of an earlier version
        found.pop(_LISTING, None)
    pairs = [(name, card.settings.get(name), now[name]) for name in now] + [
        (f"the data's {name}", card.dataset.get(name), found[name]) for name in found
    ]
    differing = [f"{name} {before!r} then, {after!r} now" for name, before, after in pairs if before != after]
    if differing:
        raise ConfigError(
            f"the teacher outputs in '{config.distill.cache}' are of other images.",
            got="; ".join(differing),
            allowed="the same data, augmentation and seed; data.augment_seed lets runs with other seeds share them",
            fix="write others with `netaug distill-cache` and these settings, into another folder",
        )


def _check_draws(config: RunConfig, card: CacheCard) -> None:
    if draws_of(config) > card.draws:
        raise ConfigError(
            f"the teacher outputs in '{config.distill.cache}' are of fewer epochs than the training has.",
            got=f"{card.draws} augmentations of each image, and {draws_of(config)} are needed",
            allowed=f"data.distinct_epochs 1 to {card.draws}, or as many train.epochs",
            fix=f"--data.distinct_epochs {card.draws} repeats the augmentations in turn",
        )


def _check_pixels(cache: Cache, data: Data) -> torch.Tensor:
    """Make the sampled images again and compare them; returns them."""
    kept = torch.from_numpy(cache.samples())
    made = sample_images(data, cache.card.samples)
    same = kept.shape == made.shape
    levels = (kept.float() - made.float()).abs().flatten(1).mean(1).max().item() if same else float("inf")
    if levels > _MOST_LEVELS:
        raise ConfigError(
            f"the teacher outputs in '{cache.files.folder}' are of other pixels, though all settings agree.",
            got=f"an image differs by {levels:.1f} of 255 levels on average"
            if same
            else f"images of {tuple(kept.shape[1:])} then, {tuple(made.shape[1:])} now",
            allowed=f"up to {_MOST_LEVELS:g}, what another decoder makes",
            fix="the files have changed, or another version of torchvision draws otherwise; write the cache again",
        )
    return made


def sample_images(data: Data, samples: tuple[tuple[int, int], ...]) -> torch.Tensor:
    """Training images by draw and index, uint8 ``[S, C, H, W]``."""
    made = [data.labeled.make(draw, np.array([index])).images_NCHW[0] for draw, index in samples]
    return torch.stack(made)


def _check_teacher(cache: Cache, teachers: Teachers, images_NCHW: torch.Tensor) -> None:
    """Ask the teacher about the sampled images, and compare with what is in the cache."""
    card = cache.card
    live = teachers(images_NCHW)
    packed = card.packing.unpack(*card.packing.pack(live), live.device)
    stored = torch.cat([cache.log_probs(draw, _one(index), live.device) for draw, index in card.samples])
    nats = (packed.exp() * (packed - stored).abs()).sum(1).max().item()
    if teachers.fingerprint() != card.teacher_hash and (teachers.names != card.teachers or nats > _MOST_NATS):
        raise ConfigError(
            f"the outputs in '{cache.files.folder}' are of another teacher.",
            got=f"{', '.join(card.teachers)} then, {', '.join(teachers.names)} now; their log probabilities differ by "
            f"{nats:.2g} nats on a sampled image",
            fix="leave distill.teacher out to learn from the cache, or write another one",
        )
    if nats > _MOST_NATS:
        raise ConfigError(
            f"the teacher no longer says what is in '{cache.files.folder}'.",
            got=f"log probabilities that differ by {nats:.2g} nats on a sampled image",
            allowed=f"up to {_MOST_NATS:g}, what another device computes",
            fix="write the cache again, into another folder",
        )


def _one(index: int) -> npt.NDArray[np.int64]:
    return np.array([index], np.int64)
