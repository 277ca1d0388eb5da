"""The datasets by name. A new one is a new file with a decorated function and a line in `sources.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.core.suggest import nearest
from netaug.data.detection.sources import READERS, SUMMARIES
from netaug.data.roots import unreadable
from netaug.data.store import Images

Metric = Literal["top1", "mean_per_class"]


@dataclass(frozen=True)
class Split:
    """Images with their labels.

    Args:
        images: The N images.
        labels_N: int64 class indices, shape ``[N]``.
    """

    images: Images
    labels_N: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels_N)

    def select(self, indices: npt.NDArray[np.int64]) -> Split:
        """The images at ``indices``, in that order."""
        return Split(self.images.select(indices), self.labels_N[indices])


@dataclass(frozen=True)
class Source:
    """A dataset as its family of sources hands it over.

    Args:
        class_names: Names in label order.
        in_chans: Image channels: 1 grey, 3 color.
        mean: Per-channel mean of pixels scaled to [0, 1].
        std: Per-channel standard deviation, same scale.
        train: The training split.
        val: The evaluation split; None when ``holdout`` asks for a part of the training split instead.
        val_split: Where ``val`` comes from: ``val`` or ``test``.
        image_size: Side in pixels of the dataset's images; None when the files have to be asked.
        metric: What results on it are customarily reported in; None if its name says so.
    """

    class_names: tuple[str, ...]
    in_chans: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train: Split
    val: Split | None
    val_split: str
    image_size: int | None = None
    metric: Metric | None = None


@dataclass(frozen=True)
class Published:
    """What the publishers of a dataset say of it; the files at hand are checked against it.

    Args:
        num_classes: Number of classes.
        train: Images of the training split, as it is customarily used.
        val: Images of the evaluation split.
        val_split: Where ``val`` comes from: ``val`` or ``test``.
        metric: What results on it are customarily reported in: ``top1``, or ``mean_per_class``, the mean over
            classes of each class's accuracy.
        tree: The expected files, one pattern a line, relative to ``data.root``.
        obtain: Where it may be had, one sentence.
        source: Where these figures are published.
        in_chans: Image channels.
        image_size: Side in pixels of all images; None if their sizes differ.
        train_per_class: Fewest and most training images of a class; None if not published.
        val_per_class: The same of the evaluation split.
        downloads: Whether ``data.download`` can fetch it.
    """

    num_classes: int
    train: int
    val: int
    val_split: Literal["val", "test"]
    metric: Metric
    tree: tuple[str, ...]
    obtain: str
    source: str
    in_chans: int = 3
    image_size: int | None = None
    train_per_class: tuple[int, int] | None = None
    val_per_class: tuple[int, int] | None = None
    downloads: bool = False


Loader = Callable[[DataConfig], Source]

_LOADERS: dict[str, Loader] = {}
_SUMMARIES: dict[str, str] = {}
_PUBLISHED: dict[str, Published] = {}
_READS: dict[str, tuple[str, ...]] = {}

SPECIAL = ("train_split", "val_split", "image_column", "label_column", "class_names")
"""Settings that only some datasets honor."""


def dataset(
    name: str, summary: str, published: Published | None = None, *, reads: tuple[str, ...] = ()
) -> Callable[[Loader], Loader]:
    """Register the function below under a dataset name.

    Args:
        name: Its name in the configuration.
        summary: One line that describes it.
        published: What its publishers say of it; None if everything depends on the files.
        reads: The settings among :data:`SPECIAL` that it honors.
    """
    assert set(reads) <= set(SPECIAL), f"of {reads} only {SPECIAL} have to be told"

    def register(load: Loader) -> Loader:
        assert name not in _LOADERS, f"two datasets are called {name}"
        _LOADERS[name], _SUMMARIES[name] = load, summary
        if published is not None:
            _PUBLISHED[name] = published
        _READS[name] = reads
        return load

    return register


def ignored_settings(config: DataConfig) -> list[str]:
    """The settings among :data:`SPECIAL` that are set though the dataset ignores them."""
    honored = _READS.get(config.name, SPECIAL)
    return [name for name in SPECIAL if getattr(config, name) is not None and name not in honored]


def list_datasets() -> dict[str, str]:
    """The datasets by name, with one line each; those with boxes too."""
    known = _SUMMARIES | SUMMARIES
    return {name: known[name] for name in sorted(known)}


def published(name: str) -> Published | None:
    """What a dataset's publishers say of it; None if everything depends on the files, or the name is unknown."""
    return _PUBLISHED.get(name)


def customary_metric(name: str) -> Metric:
    """What results on a dataset are customarily reported in; ``top1`` where nothing else is known."""
    return _PUBLISHED[name].metric if name in _PUBLISHED else "top1"


def load_source(config: DataConfig) -> Source:
    """Load the dataset ``config.name``.

    Raises:
        DataError: The name is unknown, or the dataset cannot be read.
    """
    if config.name in READERS:
        raise DataError(
            "this works with images that have one label each.",
            got=f"the dataset '{config.name}', whose images have boxes",
            allowed=", ".join(sorted(_LOADERS)),
        )
    if config.name not in _LOADERS:
        close = nearest(config.name, [*_LOADERS, *READERS], count=1, cutoff=0.4)
        hint = f"--data.name {close[0]}" if close else "--data.name folder reads any image folder"
        raise DataError(
            "there is no dataset of this name.",
            got=config.name,
            allowed=", ".join(list_datasets()),
            fix=hint,
        )
    try:
        return _LOADERS[config.name](config)
    except OSError as error:
        raise unreadable(config, error) from None
