"""From a configuration to loaders: check, find, select, place in memory or leave on disk."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace

import numpy as np

from netaug.config import MOST_PIXELS, DataConfig, DetectConfig
from netaug.config.regularize import RegularizeConfig
from netaug.core.errors import DataError
from netaug.core.seeding import key, uniforms
from netaug.data.batch import DataInfo
from netaug.data.completeness import warn_of_differences
from netaug.data.dataset import Steps
from netaug.data.decode.deep_images import warn_of_deep
from netaug.data.detection.loaders import BoxEvalLoader, BoxTrainLoader
from netaug.data.detection.sources import READERS as BOX_READERS
from netaug.data.listing_digest import DataListing, ListedSplit
from netaug.data.loading import EvalLoader, Loading, TrainLoader, warn_skipped
from netaug.data.memory import announce
from netaug.data.readers import register_all as register_all
from netaug.data.registry import (
    Source,
    Split,
    customary_metric,
    ignored_settings,
    load_source,
    published,
)
from netaug.data.sampler import WHOLE, Share
from netaug.data.store import MemoryImages, StoredImages, common_side, decode_all
from netaug.data.subset import few_of_each, keep_classes
from netaug.data.transforms.augment import ImagenetAugment
from netaug.data.transforms.small import IMAGENET_CROP_RATIO, Fit, SmallAugment
from netaug.data.workers import warn_of_many
from netaug.detect.annotations import Annotations
from netaug.regularize.images import make_image_regularizer

_RAM_LIMIT = 512 * 2**20
_SMALL_SIDE = 96  # pixels; up to here a decoded image is about as small as its file
_PEEKED = 64
_MOST_WORKERS = 1024

_log = logging.getLogger("netaug")


@dataclass(frozen=True)
class Data:
    """A dataset ready for training.

    Args:
        info: Facts that a model and its user need.
        train: Training batches, epoch by epoch.
        val: Evaluation batches.
        truth: Of detection: the objects of the evaluation images, in pixels of the files; their positions are those
            that evaluation batches name.
        listing: Both splits as the dataset lists them; None of data that no dataset lists.
    """

    info: DataInfo
    train: TrainLoader | BoxTrainLoader
    val: EvalLoader | BoxEvalLoader
    truth: Annotations | None = None
    listing: DataListing | None = None

    @property
    def labelled(self) -> TrainLoader:
        """The training batches of images with labels.

        Raises:
            DataError: The images have boxes.
        """
        if isinstance(self.train, TrainLoader):
            return self.train
        raise DataError(
            "this works with images that have one label each.",
            got=f"the dataset '{self.info.name}', whose images have boxes",
        )


def build_data(
    config: DataConfig,
    *,
    seed: int,
    pin_memory: bool = False,
    share: Share = WHOLE,
    regularize: RegularizeConfig | None = None,
    detect: DetectConfig | None = None,
) -> Data:
    """Find a dataset and make its loaders.

    Args:
        config: Which images, and how they are fed.
        seed: Keys the order and the augmentation; splits and subsets do not depend on it.
        pin_memory: Whether batches come in page-locked memory, for CUDA.
        share: What this process loads, if several train together.
        regularize: What else is done to training images without boxes; None does nothing.
        detect: What is done to training images with boxes; None takes the settings' own values.

    Returns:
        The dataset's facts and its two loaders. Batches are bit for bit the same for any ``config.workers``.

    Raises:
        DataError: A setting is out of range, or the dataset is missing, incomplete or damaged.
    """
    if config.name in BOX_READERS:
        from netaug.data.detection.build import build_detection_data  # which builds on this file

        settings = DetectConfig() if detect is None else detect
        return build_detection_data(config, settings, seed=seed, pin_memory=pin_memory, share=share)
    check_settings(config)
    _warn_of_what_is_ignored(config)
    warn_of_many(config.workers)
    source = load_source(config)
    facts = published(config.name)
    if facts is not None:
        warn_of_differences(config.name, source, facts)
    if config.classes:
        source = keep_classes(source, config.classes)
    mean, std = normalisation(source.mean, source.std, source.in_chans, config)
    train, val, val_split = _select(source, config)
    warn_of_deep([one.images for one in (train, val) if not isinstance(one.images, MemoryImages)])
    listing = DataListing(*(ListedSplit(split.images, split.labels_N) for split in (train, val)))
    skip = config.on_error == "skip"
    size = config.image_size or source.image_size or _own_size(train, skip_errors=skip)
    in_memory = _belongs_in_memory(train, val, size, config)
    crop_ratio = IMAGENET_CROP_RATIO if config.augment == "imagenet" and not in_memory else 1.0
    fit = Fit(size, crop_ratio)
    if in_memory:
        train, val = _into_memory(train, fit, skip), _into_memory(val, fit, skip)
    info = DataInfo(
        name=config.name,
        class_names=source.class_names,
        in_chans=source.in_chans,
        image_size=size,
        mean=mean,
        std=std,
        crop_ratio=crop_ratio,
        train_size=len(train),
        val_size=len(val),
        val_split=val_split,
        metric=source.metric or customary_metric(config.name),
    )
    evaluation = Steps(None if in_memory else fit)
    augment_seed = seed if config.augment_seed is None else config.augment_seed
    training = replace(
        _train_steps(evaluation, size, config, augment_seed),
        regularize=None if regularize is None else make_image_regularizer(regularize, augment_seed, mean),
        distinct=config.distinct_epochs,
    )
    loading = Loading(config.workers, skip, pin_memory, share)
    return Data(
        info,
        TrainLoader(train, training, batch_size=config.batch_size, seed=seed, loading=loading),
        EvalLoader(val, evaluation, batch_size=config.eval_batch_size, loading=loading),
        listing=listing,
    )


def check_settings(config: DataConfig) -> None:
    """Check every setting that does not depend on the images.

    Raises:
        DataError: A setting is out of range.
    """
    lowest = {
        "image_size": 1,
        "batch_size": 1,
        "eval_batch_size": 1,
        "limit": 1,
        "shots": 1,
        "workers": 0,
        "pad": 0,
        "distinct_epochs": 1,
    }
    for name, low in lowest.items():
        value = getattr(config, name)
        if value is not None and value < low:
            raise DataError(
                f"data.{name} is out of range.", got=value, allowed=f"an integer of at least {low}"
            )
    for name, most in {"image_size": MOST_PIXELS, "pad": MOST_PIXELS, "workers": _MOST_WORKERS}.items():
        value = getattr(config, name)
        if value is not None and value > most:
            raise DataError(f"data.{name} is out of range.", got=value, allowed=f"at most {most}")
    if not 0.0 <= config.holdout < 1.0:
        raise DataError(
            "data.holdout is out of range.",
            got=config.holdout,
            allowed="a share of the training images in [0, 1)",
            fix="--data.holdout 0.1",
        )
    if config.shots is not None and config.limit is not None:
        raise DataError(
            "data.shots and data.limit both choose training images.",
            got=f"data.shots {config.shots}, data.limit {config.limit}",
            fix="leave one of them out",
        )
    choices = {
        "augment": ("imagenet", "small", "detection", "none"),
        "cache": ("auto", "ram", "none"),
        "box_orientation": ("auto", "upright", "stored"),
        "on_error": ("raise", "skip"),
    }
    for name, allowed in choices.items():
        if getattr(config, name) not in allowed:
            raise DataError(
                f"data.{name} is unknown.", got=repr(getattr(config, name)), allowed=", ".join(allowed)
            )


def normalisation(
    own_mean: tuple[float, ...], own_std: tuple[float, ...], in_chans: int, config: DataConfig
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the settings, else the dataset's own.

    Raises:
        DataError: There is not one for each channel, or one cannot be divided by.
    """
    own = {"mean": own_mean, "std": own_std}
    chosen = {"mean": config.mean or own_mean, "std": config.std or own_std}
    for name, values in chosen.items():
        sound = all(math.isfinite(value) and (name == "mean" or value > 0) for value in values)
        if len(values) != in_chans or not sound:
            raise DataError(
                f"data.{name} cannot be used.",
                got=list(values),
                allowed=f"{in_chans} numbers{' above 0' * (name == 'std')}, one for each channel of the images",
                fix=f"leave it out: {config.name} has {list(own[name])}",
            )
    return chosen["mean"], chosen["std"]


def _warn_of_what_is_ignored(config: DataConfig) -> None:
    if config.name == "digits" and (config.root is not None or config.download):
        _log.warning("data.root and data.download change nothing: the dataset 'digits' is built in.")
    if config.box_orientation != "auto":
        _log.warning("data.box_orientation changes nothing: the images of '%s' have no boxes.", config.name)
    facts = published(config.name)
    nowhere = config.name in ("folder", "table") or (facts is not None and not facts.downloads)
    if config.download and nowhere:
        where = f"; to be had: {facts.obtain}" if facts else ""
        _log.warning(
            "data.download changes nothing: the dataset '%s' cannot be downloaded%s.", config.name, where
        )
    for name in ignored_settings(config):
        _log.warning("data.%s changes nothing: the dataset '%s' does not heed it.", name, config.name)


def _select(source: Source, config: DataConfig) -> tuple[Split, Split, str]:
    """Training and evaluation images after ``holdout``, then ``shots`` or ``limit``; the same for every run's seed."""
    train, val, val_split = source.train, source.val, source.val_split
    chosen = np.arange(len(train))
    if config.holdout > 0:
        held, chosen = held_out(len(train), config.holdout)
        val, val_split = train.select(held), "holdout"
    assert val is not None, "a source leaves out its evaluation split only when holdout is set"
    if config.shots is not None:
        labels, names = train.labels_N[chosen], source.class_names
        chosen = few_of_each(chosen, labels, config.shots, names, config.subset_seed)
    elif config.limit is not None:
        chosen = limited(chosen, config.limit, config.subset_seed)
    return train if len(chosen) == len(train) else train.select(chosen), val, val_split


def held_out(count: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions of a share of the training images, and of the others; the same for every run's seed.

    Raises:
        DataError: None would be left, or none held out.
    """
    held = round(count * share)
    if not 0 < held < count:
        raise DataError(
            "data.holdout leaves no images to train on or none to evaluate.",
            got=f"{share} of {count} training images",
            allowed=f"at least {1 / count:.2g}, and less than 1",
        )
    order = ranked(np.arange(count), "holdout")
    return np.sort(order[:held]), np.sort(order[held:])


def limited(chosen: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """So many of these positions, in order, drawn by the seed; all, with a warning, if there are no more."""
    if limit >= len(chosen):
        _log.warning("data.limit %d changes nothing: there are %d images.", limit, len(chosen))
    return np.sort(ranked(chosen, "limit", seed)[:limit])


def ranked(positions: np.ndarray, what: str, seed: int = 0) -> np.ndarray:
    """Positions in an order of (what, seed) alone."""
    draws = uniforms(key(seed, what), positions, 1)[:, 0]
    ranked: np.ndarray = positions[np.argsort(draws)]
    return ranked


def _own_size(train: Split, *, skip_errors: bool) -> int:
    assert not isinstance(train.images, MemoryImages), "sources in memory know their size"
    side = common_side(train.images, skip_errors=skip_errors)
    if side is None:
        raise DataError(
            "data.image_size is not set, and the images have no common size.",
            got="images of different sizes, or not square",
            allowed="the side in pixels that images are brought to",
            fix="--data.image_size 160",
        )
    return side


def _belongs_in_memory(train: Split, val: Split, size: int, config: DataConfig) -> bool:
    images = train.images
    if isinstance(images, MemoryImages):
        return True
    if config.cache == "none":
        return False
    large = _largest_side(images) > max(size, _SMALL_SIDE)
    if config.cache == "ram":
        if large and config.augment == "imagenet":
            _log.warning(
                "data.cache ram holds images scaled to %d pixels: random crops come from these, coarser than "
                "from the files.",
                size,
            )
        announce(len(train) + len(val), (images.in_chans, size, size))
        return True
    decoded = (len(train) + len(val)) * images.in_chans * size * size
    return not large and decoded < _RAM_LIMIT


def _largest_side(images: StoredImages) -> int:
    """The largest side in pixels among a few images, evenly spaced; broken files have none."""
    sides = [0]
    for index in np.linspace(0, len(images) - 1, min(_PEEKED, len(images)), dtype=int).tolist():
        try:
            sides.append(max(images.size(index)))
        except DataError:
            continue  # reading it for training says so, or leaves it out
    return max(sides)


def _into_memory(split: Split, fit: Fit, skip_errors: bool) -> Split:
    if isinstance(split.images, MemoryImages):
        return replace(split, images=split.images.fitted(fit.size))
    images, kept, skipped = decode_all(split.images, fit, skip_errors=skip_errors)
    if skipped:
        warn_skipped(skipped)
    if not len(kept):
        raise DataError(
            f"none of the images in '{split.images.folder}' can be read and decoded.",
            got=f"first: '{skipped[0]}'",
        )
    return Split(images, split.labels_N[kept])


def _train_steps(evaluation: Steps, size: int, config: DataConfig, seed: int) -> Steps:
    if config.augment == "imagenet":
        return Steps(None, single=ImagenetAugment(seed, size, config.flip))
    if config.augment == "small":
        return replace(evaluation, whole=SmallAugment(seed, config.pad, config.flip))
    return evaluation
