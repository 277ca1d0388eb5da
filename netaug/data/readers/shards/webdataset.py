"""Shards in the layout of webdataset: tar files whose members share a name per sample."""

from __future__ import annotations

from collections.abc import Sequence

from netaug.config import DataConfig
from netaug.data.labels import RawLabels, resolve_labels
from netaug.data.readers.class_names import read_class_names
from netaug.data.readers.folder import IMAGENET_MEAN, IMAGENET_STD
from netaug.data.readers.shards.cache import index_shards
from netaug.data.readers.shards.fetch import fetch_shards
from netaug.data.readers.shards.images import ShardImages, join_shards
from netaug.data.readers.shards.names import find_shards
from netaug.data.registry import Source, Split, dataset

_COLOR = 3


@dataset("webdataset", reads=("train_split", "val_split", "image_column", "label_column", "class_names"))
def load_webdataset(config: DataConfig) -> Source:
    """Find the images inside of shards, in color, with ImageNet's mean and deviation; nothing is decoded."""
    train_shards, val_shards, val_split = find_shards(config)
    train, train_labels = _images(train_shards, config)
    val, val_labels = _images(val_shards, config) if val_shards else (None, None)
    labels = resolve_labels(train_labels, val_labels, read_class_names(config.class_names))
    return Source(
        class_names=labels.class_names,
        in_chans=_COLOR,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        train=Split(train, labels.train_N),
        val=None if val is None or labels.val_N is None else Split(val, labels.val_N),
        val_split=val_split,
    )


def _images(shards: Sequence[str], config: DataConfig) -> tuple[ShardImages, RawLabels]:
    paths = fetch_shards(shards)
    indices = index_shards(paths, config.image_column, config.label_column)
    images = join_shards(paths, indices, _COLOR)
    texts = [label.decode() for index in indices for label in index.labels_N.tolist()]
    origin = f"'{shards[0]}'" + f" to '{shards[-1]}'" * (len(shards) > 1)
    return images, RawLabels(texts, origin, lambda index: f"'{images.path(index)}'")
