"""Loaders of images with one label each: read, select, hold in memory or leave on disk."""

from __future__ import annotations

import logging
from dataclasses import replace

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data.batch import DataInfo
from netaug.data.dataset import Steps
from netaug.data.decode.deep_images import warn_of_deep
from netaug.data.listing_digest import DataListing, ListedSplit
from netaug.data.loading import EvalLoader, Loading, TrainLoader
from netaug.data.memory import belongs_in_memory, into_memory
from netaug.data.prepared import Data, Feed, builds_loaders, normalization
from netaug.data.registry import (
    Published,
    Source,
    Split,
    customary_metric,
    load_source,
    published,
    warn_of_ignored,
)
from netaug.data.store import MemoryImages, common_side
from netaug.data.subset import keep_classes, select_images
from netaug.data.transforms.augment import ImagenetAugment
from netaug.data.transforms.small import IMAGENET_CROP_RATIO, Fit, SmallAugment
from netaug.regularize.images import make_image_regularizer

_log = logging.getLogger("netaug")


@builds_loaders("classify")
def build_labeled(config: DataConfig, feed: Feed) -> Data:
    """Build the loaders of images with one label each.

    Args:
        config: Which images, and how they are fed.
        feed: What of the run decides on batches; ``feed.regularize`` changes training images.

    Returns:
        The dataset's facts and its two loaders of :class:`ClassificationBatch`.

    Raises:
        DataError: The dataset is missing, incomplete or damaged, or a setting does not fit it.
    """
    _warn_of_ineffective(config)
    source = _read_source(config)
    train, val, val_split = select_images(source, config)
    warn_of_deep([split.images for split in (train, val) if not isinstance(split.images, MemoryImages)])
    # Before images are held in memory: digests are of the files, damaged ones among them, not of decoded pixels.
    listing = DataListing(*(ListedSplit(split.images, split.labels_N) for split in (train, val)))
    skip = config.on_error == "skip"
    size = config.image_size or source.image_size or _common_size(train, skip_errors=skip)
    in_memory = belongs_in_memory(train, val, size, config)
    cropped = config.augment == "imagenet" and not in_memory
    fit = Fit(size, (feed.crop_ratio or IMAGENET_CROP_RATIO) if cropped else 1.0)
    if in_memory:
        train, val = into_memory(train, fit, skip), into_memory(val, fit, skip)
    info = _facts(config, source, (train, val, val_split), fit)
    evaluation = Steps(None if in_memory else fit)
    training = _training_steps(evaluation, config, feed, info)
    loading = Loading(config.workers, skip, feed.pin_memory, feed.share)
    return Data(
        info,
        TrainLoader(train, training, batch_size=config.batch_size, seed=feed.seed, loading=loading),
        EvalLoader(val, evaluation, batch_size=config.eval_batch_size, loading=loading),
        listing=listing,
    )


def _read_source(config: DataConfig) -> Source:
    """Return the dataset with the classes that are asked for; warn if it is not as published."""
    source = load_source(config)
    facts = published(config.name)  # counts of the whole dataset, so compared before classes are chosen
    if facts is not None:
        # Fewer images than published may be what the user wants: a part of a dataset is no error.
        different = differences(source, facts)
        if different:
            _log.warning(
                "%s is not as published: %s. Was it unpacked whole?", config.name, "; ".join(different)
            )
    return keep_classes(source, config.classes) if config.classes else source


def differences(source: Source, facts: Published) -> list[str]:
    """Return what differs from the published counts, one sentence each; an empty list if nothing does."""
    counts = [("classes", len(source.class_names), facts.num_classes)]
    counts.append(("training images", len(source.train), facts.train))
    if source.val is not None:
        counts.append((f"{source.val_split} images", len(source.val), facts.val))
    return [f"{here:,} {kind}, published are {there:,}" for kind, here, there in counts if here != there]


def _facts(config: DataConfig, source: Source, splits: tuple[Split, Split, str], fit: Fit) -> DataInfo:
    """Return the facts that a model and its user need."""
    train, val, val_split = splits
    mean, std = normalization(source.mean, source.std, source.in_chans, config)
    return DataInfo(
        name=config.name,
        class_names=source.class_names,
        in_chans=source.in_chans,
        image_size=fit.size,
        mean=mean,
        std=std,
        crop_ratio=fit.crop_ratio,
        train_size=len(train),
        val_size=len(val),
        val_split=val_split,
        metric=source.metric or customary_metric(config.name),
    )


def _warn_of_ineffective(config: DataConfig) -> None:
    """Warn of settings that are given though they change nothing of this dataset."""
    if config.name == "digits" and (config.root is not None or config.download):
        _log.warning("data.root and data.download change nothing: the dataset 'digits' is built in.")
    if config.box_orientation != "auto":
        _log.warning("data.box_orientation changes nothing: the images of '%s' have no boxes.", config.name)
    facts = published(config.name)
    if facts is None and config.download:
        _log.warning("data.download changes nothing: the dataset '%s' is what data.root names.", config.name)
    elif facts is not None and config.download and not facts.downloads:
        _log.warning(
            "data.download changes nothing: the dataset '%s' cannot be downloaded; to be had: %s.",
            config.name,
            facts.obtain,
        )
    warn_of_ignored(config)


def _common_size(train: Split, *, skip_errors: bool) -> int:
    """Return the side in pixels that all training images have."""
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


def _training_steps(evaluation: Steps, config: DataConfig, feed: Feed, info: DataInfo) -> Steps:
    """Return what is done to training images, in place of what is done to evaluation images."""
    seed = feed.augment_seed(config)
    steps = evaluation
    if config.augment == "imagenet":
        steps = Steps(
            None, single=ImagenetAugment(seed, info.image_size, config.flip, config.scaled_decoding)
        )
    elif config.augment == "small":
        steps = replace(evaluation, whole=SmallAugment(seed, config.pad, config.flip))
    regularize = None if feed.regularize is None else make_image_regularizer(feed.regularize, seed, info.mean)
    return replace(steps, regularize=regularize, distinct=config.distinct_epochs)
