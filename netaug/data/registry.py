"""The readers by dataset name.

A new dataset is a file in `readers/`, an import line in `readers/__init__.py` and an entry in `config/datasets.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from netaug.config import DataConfig
from netaug.config.datasets import DATASETS
from netaug.core.errors import DataError
from netaug.core.suggest import did_you_mean, nearest
from netaug.data.once import read_once
from netaug.data.roots import unreadable
from netaug.data.store import Images

Metric = Literal["top1", "mean_per_class"]

_log = logging.getLogger("netaug")


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
        """Return the images at ``indices``, in that order."""
        return Split(self.images.select(indices), self.labels_N[indices])


@dataclass(frozen=True)
class Source:
    """A dataset as its reader returns it.

    Args:
        class_names: Names in label order.
        in_chans: Image channels: 1 gray, 3 color.
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
        tree: The expected files, one pattern per line, relative to ``data.root``.
        obtain: Where to obtain it, one sentence.
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


SPECIAL = ("train_split", "val_split", "image_column", "label_column", "class_names")
"""Settings that only some datasets honor."""

Reader = TypeVar("Reader", bound=Callable[..., Any])


class Dataset(NamedTuple):
    """A registered dataset.

    Args:
        task: Name of its kind of task.
        read: Its reader: for ``classify``, ``read(config)`` returns a :class:`Source`; for ``detect``,
            ``read(config, problems)`` returns a :class:`~netaug.data.detection.sources.BoxSource`.
        published: What its publishers say of it; None if everything depends on the files.
        reads: The settings among :data:`SPECIAL` that it honors.
    """

    task: str
    read: Callable[..., Any]
    published: Published | None
    reads: tuple[str, ...]


_DATASETS: dict[str, Dataset] = {}


def dataset(
    name: str, published: Published | None = None, *, reads: tuple[str, ...] = ()
) -> Callable[[Reader], Reader]:
    """Register the reader below under a dataset name; its task and its line of help stand in ``config/datasets.py``.

    Args:
        name: Its name in the configuration.
        published: What its publishers say of it; None if everything depends on the files.
        reads: The settings among :data:`SPECIAL` that it honors.
    """
    assert set(reads) <= set(SPECIAL), f"of {reads} only {SPECIAL} are honored by some datasets only"

    def register(read: Reader) -> Reader:
        assert name not in _DATASETS, f"two datasets are called {name}"
        assert name in DATASETS, (
            f"add {name!r} with its task and its line of help to DATASETS in config/datasets.py"
        )
        _DATASETS[name] = Dataset(DATASETS[name].task, read_once(read), published, reads)
        return read

    return register


def list_datasets() -> dict[str, str]:
    """Return the registered datasets by name, with one line each; those with boxes too."""
    return {name: DATASETS[name].summary for name in sorted(_DATASETS)}


def published(name: str) -> Published | None:
    """Return what a dataset's publishers say of it; None if all depends on the files, or the name is unknown."""
    return _DATASETS[name].published if name in _DATASETS else None


def customary_metric(name: str) -> Metric:
    """Return what results on a dataset are customarily reported in; ``top1`` where nothing else is known."""
    facts = published(name)
    return "top1" if facts is None else facts.metric


def find_dataset(name: str) -> Dataset:
    """Return the dataset of a name.

    Raises:
        DataError: There is none.
    """
    if name in _DATASETS:
        return _DATASETS[name]
    close = nearest(name, _DATASETS, count=1, cutoff=0.4)  # low: names are short, as "hf" and "voc"
    raise DataError(
        "there is no dataset of this name.",
        got=name,
        allowed=", ".join(list_datasets()),
        fix=did_you_mean(f"--data.name {near}" for near in close)
        or "--data.name folder reads any image folder",
    )


def warn_of_ignored(config: DataConfig) -> None:
    """Warn of each setting among :data:`SPECIAL` that is given though the dataset ignores it."""
    for name in SPECIAL:
        if getattr(config, name) is not None and name not in find_dataset(config.name).reads:
            _log.warning("data.%s changes nothing: the dataset '%s' ignores it.", name, config.name)


def load_source(config: DataConfig) -> Source:
    """Load the images with one label each of the dataset ``config.name``.

    Raises:
        DataError: The name is unknown, the images have boxes, or the dataset cannot be read.
    """
    known = find_dataset(config.name)
    if known.task != "classify":
        raise DataError(
            "this works with images that have one label each.",
            got=f"the dataset '{config.name}', which is for the task {known.task!r}",
            allowed=", ".join(name for name, other in sorted(_DATASETS.items()) if other.task == "classify"),
        )
    try:
        source: Source = known.read(config)
    except OSError as error:
        raise unreadable(config, error) from None
    return source
