"""Checks that a cache of teacher outputs is of this run's images and of this teacher.

Augmentations are keyed by (seed, epoch, index), so the teacher's outputs on an augmented image can be looked up by
(draw, index). ``data.distinct_epochs`` lets epochs repeat augmentations, never orders; ``data.augment_seed`` keys
augmentations apart from ``train.seed``, so that runs with several seeds share a cache. Mixed images are not cached:
they differ in every step.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from netaug.config import DataConfig, RegularizeConfig
from netaug.config.loading import section_to_mapping
from netaug.config.regularize import settings_of
from netaug.core.errors import ConfigError
from netaug.data import Data, Normalizer
from netaug.data.listing_digest import VERSION, fingerprint
from netaug.distill.cache import Cache, CacheCard
from netaug.distill.teacher import Teachers

_NOT_OF_THE_IMAGES = {
    *("root", "download", "workers", "batch_size", "eval_batch_size", "distinct_epochs", "augment_seed"),
    *("norm_batch", "scaled_decoding"),  # the latter counts where it is off: older caches do not have it
    *("cache", "on_error", "mean", "std", "class_names"),
}
_LISTING = "files"
_MOST_LEVELS = (
    2.0  # mean difference of pixels, of 255: another decoder rounds otherwise, other draws differ more
)
_MOST_NATS = 0.05  # mean difference of log probabilities between two devices, weighted with the probabilities


@dataclass(frozen=True)
class AugmentedImages:
    """Names the training images of a run as its network sees them.

    Args:
        settings: All settings that their pixels depend on, `group.key` to value.
        draws: How many augmentations of each image the run sees.
    """

    settings: dict[str, Any]
    draws: int

    @classmethod
    def of(cls, data: DataConfig, regularize: RegularizeConfig, *, seed: int, epochs: int) -> AugmentedImages:
        """Return those of a training with this seed and of this many epochs."""
        of_data, of_regularize = section_to_mapping(data), section_to_mapping(regularize)
        settings = {
            **{f"data.{name}": value for name, value in of_data.items() if name not in _NOT_OF_THE_IMAGES},
            **{f"regularize.{name}": of_regularize[name] for name in sorted(settings_of("images"))},
            "data.augment_seed": seed if data.augment_seed is None else data.augment_seed,
            **({} if data.scaled_decoding else {"data.scaled_decoding": False}),
        }
        return cls(settings, min(data.distinct_epochs or epochs, epochs))


def images_record(data: Data) -> dict[str, Any]:
    """Return what tells the training images from others: names, sizes and contents, but not their labels."""
    record = fingerprint(data.info)
    if data.listing is not None:
        digests = data.listing.digests["training"]
        parts = "".join(digests[part] for part in ("names", "sizes", "contents"))
        record[_LISTING] = f"{VERSION}:{hashlib.sha256(parts.encode()).hexdigest()}"
    return record


def open_cache(
    folder: str, images: AugmentedImages, data: Data, normalizer: Normalizer, teachers: Teachers | None
) -> Cache:
    """Open a cache, once it is known to be of this run's images.

    Settings are compared by name first; then a few images are made again and compared by their pixels, so that changed
    files and libraries are noticed without a teacher.

    Args:
        folder: The setting ``distill.cache``.
        images: What the run's network sees.
        data: The run's data.
        normalizer: Of the run.
        teachers: Run on the same few images, if they are at hand; else None.

    Raises:
        CheckpointError: The cache is missing, damaged or not finished.
        ConfigError: It is of other images or of another teacher; names each difference.
    """
    cache = Cache(Path(folder).expanduser())
    _check_settings(folder, images.settings, data, cache.card)
    _check_draws(folder, images.draws, cache.card.draws)
    pixels = _check_pixels(cache, data)
    if teachers is not None:
        _check_teacher(cache, teachers, normalizer(pixels))
    return cache


def _check_settings(folder: str, settings: dict[str, Any], data: Data, card: CacheCard) -> None:
    record = images_record(data)
    if _LISTING not in card.dataset:  # a cache of an earlier version
        record.pop(_LISTING, None)
    names = [*settings, *(card.settings.keys() & {"data.scaled_decoding"} - settings.keys())]
    pairs = [(name, card.settings.get(name), settings.get(name)) for name in names] + [
        (f"the data's {name}", card.dataset.get(name), now) for name, now in record.items()
    ]
    differing = [f"{name} {before!r} then, {after!r} now" for name, before, after in pairs if before != after]
    if differing:
        raise ConfigError(
            f"the teacher outputs in '{folder}' are of other images.",
            got="; ".join(differing),
            allowed="the same data, augmentation and seed; data.augment_seed lets runs with other seeds share them",
            fix="write others with `netaug distill-cache` and these settings, into another folder",
        )


def _check_draws(folder: str, needed: int, cached: int) -> None:
    if needed > cached:
        raise ConfigError(
            f"the teacher outputs in '{folder}' are of fewer epochs than the training has.",
            got=f"{cached} augmentations of each image, and {needed} are needed",
            allowed=f"data.distinct_epochs 1 to {cached}, or as many train.epochs",
            fix=f"--data.distinct_epochs {cached} repeats the augmentations in turn",
        )


def _check_pixels(cache: Cache, data: Data) -> torch.Tensor:
    """Make the sampled images again, compare them with the kept ones, and return them."""
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
    """Return training images by draw and index, uint8 ``[S, C, H, W]``."""
    made = [data.labeled.make(draw, np.array([index])).images_NCHW[0] for draw, index in samples]
    return torch.stack(made)


def _check_teacher(cache: Cache, teachers: Teachers, images_NCHW: torch.Tensor) -> None:
    """Run the teacher on the sampled images, and compare its outputs with those in the cache."""
    card = cache.card
    live = teachers(images_NCHW)
    # Packed too: what packing loses must not count as a difference.
    packed = card.packing.unpack(*card.packing.pack(live), live.device)
    stored = torch.cat(
        [cache.log_probs(draw, np.array([index], np.int64), live.device) for draw, index in card.samples]
    )
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
            f"the teacher no longer gives the outputs that are in '{cache.files.folder}'.",
            got=f"log probabilities that differ by {nats:.2g} nats on a sampled image",
            allowed=f"up to {_MOST_NATS:g}, what another device computes",
            fix="write the cache again, into another folder",
        )
