"""From a configuration to loaders: check, find, select, place in memory or leave on disk."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from netaug.config import DataConfig, DetectConfig
from netaug.config.regularize import RegularizeConfig
from netaug.core.errors import DataError
from netaug.data.batch import DataInfo
from netaug.data.completeness import warn_of_differences
from netaug.data.dataset import Steps
from netaug.data.decode.deep_images import warn_of_deep
from netaug.data.detection.build import build_detection_data
from netaug.data.detection.sources import READERS as BOX_READERS
from netaug.data.in_memory import belongs_in_memory, into_memory
from netaug.data.listing_digest import DataListing, ListedSplit
from netaug.data.loading import EvalLoader, Loading, TrainLoader
from netaug.data.prepared import Data, check_settings, normalization
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
from netaug.data.store import MemoryImages, common_side
from netaug.data.subset import few_of_each, held_out, keep_classes, limited
from netaug.data.transforms.augment import ImagenetAugment
from netaug.data.transforms.small import IMAGENET_CROP_RATIO, Fit, SmallAugment
from netaug.data.workers import warn_of_many
from netaug.regularize.images import make_image_regularizer

_log = logging.getLogger("netaug")


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
    mean, std = normalization(source.mean, source.std, source.in_chans, config)
    train, val, val_split = _select(source, config)
    warn_of_deep([one.images for one in (train, val) if not isinstance(one.images, MemoryImages)])
    listing = DataListing(*(ListedSplit(split.images, split.labels_N) for split in (train, val)))
    skip = config.on_error == "skip"
    size = config.image_size or source.image_size or _own_size(train, skip_errors=skip)
    in_memory = belongs_in_memory(train, val, size, config)
    crop_ratio = IMAGENET_CROP_RATIO if config.augment == "imagenet" and not in_memory else 1.0
    fit = Fit(size, crop_ratio)
    if in_memory:
        train, val = into_memory(train, fit, skip), into_memory(val, fit, skip)
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
        _log.warning("data.%s changes nothing: the dataset '%s' ignores it.", name, config.name)


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


def _train_steps(evaluation: Steps, size: int, config: DataConfig, seed: int) -> Steps:
    if config.augment == "imagenet":
        return Steps(None, single=ImagenetAugment(seed, size, config.flip))
    if config.augment == "small":
        return replace(evaluation, whole=SmallAugment(seed, config.pad, config.flip))
    return evaluation
