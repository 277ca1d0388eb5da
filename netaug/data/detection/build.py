"""From a configuration to loaders of images with boxes."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from netaug.config import DataConfig, DetectConfig
from netaug.config.detect import check_side
from netaug.core.errors import ConfigError, DataError
from netaug.data.batch import DataInfo
from netaug.data.decode.deep_images import warn_of_deep
from netaug.data.detection.decoded import HeldImages, hold
from netaug.data.detection.loaders import BoxEvalLoader, BoxTrainLoader, Sides
from netaug.data.detection.problems import Problems
from netaug.data.detection.sources import BoxSource, BoxSplit, keep_labels
from netaug.data.listing_digest import DataListing, ListedSplit
from netaug.data.loading import Loading
from netaug.data.memory import announce_bytes
from netaug.data.prepared import Data, Feed, builds_loaders, normalization
from netaug.data.readers.folder import IMAGENET_MEAN, IMAGENET_STD
from netaug.data.registry import find_dataset, warn_of_ignored
from netaug.data.roots import unreadable
from netaug.data.subset import chosen_classes, select_images
from netaug.data.transforms.detection import BoxAugment
from netaug.data.transforms.letterbox import letterbox
from netaug.detect.anchors import COCO_ANCHORS, Anchors, kmeans_anchors
from netaug.detect.annotations import Annotations, Integers

_log = logging.getLogger("netaug")


@builds_loaders("detect")
def build_boxed(config: DataConfig, feed: Feed) -> Data:
    """Build the loaders of images with boxes.

    Args:
        config: Which images, and how they are fed.
        feed: What of the run decides on batches; ``feed.detect`` says how training images change.

    Returns:
        The dataset's facts, its two loaders of :class:`DetectionBatch`, and the objects of the evaluation images.

    Raises:
        DataError: The dataset is missing, incomplete or damaged, or a setting does not fit it.
        ConfigError: ``config.image_size`` cannot be the side of a detector's input.
    """
    detect = DetectConfig() if feed.detect is None else feed.detect
    side = check_box_settings(config)
    problems = Problems(skip=config.on_error == "skip")
    source = read_source(config, problems)
    train, val, val_split = select_images(source, config)
    _warn_of_shared(train, val)
    warn_of_deep([train.images, val.images])
    # Before images are held in memory: digests are of the files, damaged ones among them, not of decoded pixels.
    listing = DataListing(*(ListedSplit(split.images, *split.annotations.arrays()) for split in (train, val)))
    anchors = find_anchors(train.annotations, detect, side)
    sides = detect.sizes or (side,)
    largest = max(sides) * (max(1.0, detect.scale[1]) if config.augment == "detection" else 1.0)
    train, val = into_memory(train, val, math.ceil(largest), side, config, problems)
    problems.say()  # only now: decoding into memory finds problems too
    info = _facts(config, source, (train, val, val_split), side)
    info = replace(info, metric=detect.metric or source.metric, anchors=anchors)
    loading = Loading(config.workers, problems.skip, feed.pin_memory, feed.share)
    return Data(
        info,
        _train_loader(train, config, detect, feed, Sides(sides, feed.seed), loading),
        BoxEvalLoader(val, side, batch_size=config.eval_batch_size, loading=loading),
        val.annotations,
        listing,
    )


def _warn_of_shared(train: BoxSplit, val: BoxSplit) -> None:
    """Warn of evaluation images that are trained on, as lists and files of annotations may name an image twice."""
    trained, evaluated = ({split.images.path(index) for index in range(len(split))} for split in (train, val))
    if shared := trained & evaluated:
        _log.warning(
            "%d of the %d evaluation images are trained on too, which makes their score too high; the first: '%s'.",
            len(shared),
            len(val),
            min(shared),
        )


def _facts(
    config: DataConfig, source: BoxSource, splits: tuple[BoxSplit, BoxSplit, str], side: int
) -> DataInfo:
    """Return the facts that a model and its user need."""
    train, val, val_split = splits
    mean, std = normalization(IMAGENET_MEAN, IMAGENET_STD, 3, config)
    return DataInfo(
        name=config.name,
        class_names=source.class_names,
        in_chans=3,
        image_size=side,
        mean=mean,
        std=std,
        crop_ratio=1.0,
        train_size=len(train),
        val_size=len(val),
        val_split=val_split,
        task="detect",
    )


def _train_loader(
    train: BoxSplit, config: DataConfig, detect: DetectConfig, feed: Feed, sides: Sides, loading: Loading
) -> BoxTrainLoader:
    """Return the training batches, augmented as ``data.augment`` says."""
    augment = BoxAugment(detect, feed.augment_seed(config), config.flip, len(train))
    return BoxTrainLoader(
        train,
        augment if config.augment == "detection" else None,
        sides,
        batch_size=config.batch_size,
        seed=feed.seed,
        loading=loading,
        distinct=config.distinct_epochs,
    )


def check_box_settings(config: DataConfig) -> int:
    """Check the settings that do not depend on the images.

    Returns:
        The side of the network's input in pixels.

    Raises:
        DataError: A setting is one that images with boxes ignore, or there is no side.
        ConfigError: The side is not a multiple of 32.
    """
    if config.augment not in ("detection", "none"):
        raise DataError(
            f"data.augment {config.augment} is for images without boxes.",
            got=f"data.name {config.name}",
            allowed="detection, none",
            fix="--data.augment detection",
        )
    if config.shots is not None:
        raise DataError(
            "data.shots counts images of a class, but an image has objects of several classes.",
            got=f"data.shots {config.shots}, data.name {config.name}",
            fix="--data.limit N uses N training images",
        )
    if config.image_size is None:
        raise DataError(
            "data.image_size is not set.",
            got=f"data.name {config.name}",
            allowed="the side in pixels of the detector's input, a multiple of 32",
            fix="--data.image_size 256",
        )
    check_side("data.image_size", config.image_size)
    return config.image_size


def read_source(config: DataConfig, problems: Problems) -> BoxSource:
    """Read the dataset ``config.name``, with the classes that are asked for.

    Raises:
        DataError: It cannot be read, or something in it is wrong and is not to be skipped.
    """
    warn_of_ignored(config)
    if config.download:
        _log.warning("data.download changes nothing: the dataset '%s' cannot be downloaded.", config.name)
    try:
        source: BoxSource = find_dataset(config.name).read(config, problems)
    except OSError as error:
        raise unreadable(config, error) from None
    if not config.classes:
        return source
    relabel_C = chosen_classes(source.class_names, config.classes, least=1)
    order = np.argsort(relabel_C)[len(relabel_C) - len(config.classes) :]
    categories = source.train.annotations.category_ids_C[order]
    train = keep_labels(source.train, relabel_C, categories)
    val = None if source.val is None else keep_labels(source.val, relabel_C, categories)
    return replace(source, class_names=tuple(config.classes), train=train, val=val)


def find_anchors(train: Annotations, detect: DetectConfig, side: int) -> Anchors:
    """Return the anchors that the settings ask for, in pixels of the network's input.

    Raises:
        DataError: They are to be found from the boxes, and there are none.
        ConfigError: Those given are not in order of their areas.
    """
    given = detect.anchor_sizes
    if given:
        pairs = tuple(zip(given[::2], given[1::2], strict=True))
        areas = [width * height for width, height in pairs]
        if areas != sorted(areas):
            raise ConfigError(
                "detect.anchor_sizes are not in order of their areas.",
                got=list(given),
                allowed="width and height of the smallest anchor first, of the largest last",
            )
        return pairs
    if detect.anchors == "coco":
        return COCO_ANCHORS
    return kmeans_anchors(fitted_sizes(train, side))


def fitted_sizes(annotations: Annotations, side: int) -> npt.NDArray[np.float64]:
    """Return widths and heights of the objects that count, in pixels of an input that images are fitted into."""
    factors_N = side / annotations.sizes_N2.max(1)
    counted_M = ~(annotations.difficult_M | annotations.crowd_M)
    boxes_M4 = annotations.boxes_M4.astype(np.float64)
    sizes_M2: npt.NDArray[np.float64] = (boxes_M4[:, 2:] - boxes_M4[:, :2]) * factors_N[
        annotations.owners, None
    ]
    return sizes_M2[counted_M]


AUTO_LIMIT = 512 * 2**20
"""Bytes of decoded images up to which ``data.cache auto`` holds them."""


def into_memory(
    train: BoxSplit, val: BoxSplit, largest: int, side: int, config: DataConfig, problems: Problems
) -> tuple[BoxSplit, BoxSplit]:
    """Return the same splits, their images decoded if ``data.cache`` or their size says so.

    Training images are scaled down once so that their longer side is the largest that training asks for; evaluation
    images to what is painted, so that evaluation sees the same pixels with and without.

    Args:
        train: Training images.
        val: Evaluation images.
        largest: Pixels of the longer side that training asks for at most.
        side: Side of evaluation in pixels.
        config: Says whether.
        problems: Takes note of files that do not decode.

    Raises:
        DataError: A file does not decode, or there is not enough memory.
    """
    if config.cache == "none":
        return train, val
    train_sizes, val_sizes = scaled_down(train.read_sizes, largest), letterboxed(val.read_sizes, side)
    needed = 3 * int(train_sizes.prod(1).sum() + val_sizes.prod(1).sum())
    if config.cache == "auto" and needed > AUTO_LIMIT:
        return train, val
    if config.cache == "ram":
        announce_bytes(needed, f"{len(train) + len(val):,} images")
    return _held(train, train_sizes, problems), _held(val, val_sizes, problems)


def scaled_down(sizes_N2: Integers, largest: int) -> Integers:
    """Return widths and heights with no side longer than ``largest``; smaller images stay."""
    factors = np.minimum(1.0, largest / sizes_N2.max(1))
    scaled: Integers = np.maximum(1, np.rint(sizes_N2 * factors[:, None])).astype(np.int64)
    return scaled


def letterboxed(sizes_N2: Integers, side: int) -> Integers:
    """Return widths and heights of images on a canvas of this side."""
    targets = [letterbox(width, height, side).target for width, height in sizes_N2.tolist()]
    return np.array([(target.width, target.height) for target in targets], np.int64).reshape(-1, 2)


def _held(split: BoxSplit, sizes_N2: Integers, problems: Problems) -> BoxSplit:
    if isinstance(split.images, HeldImages):
        return split

    def on_error(error: DataError) -> None:
        problems.pass_on("other_size" if "does not have the size" in error.where else "undecodable", error)

    images, kept = hold(split.images, split.annotations, sizes_N2, on_error)
    if not len(kept):
        raise DataError(f"none of the images in '{split.images.folder}' can be used.", got=problems.first())
    return BoxSplit(images, split.annotations if len(kept) == len(split) else split.annotations.select(kept))
