"""Photos that a dataset's own lists name: the lists belong together, and the files are there."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.core.existing import listing
from netaug.data.readers.folder import IMAGENET_MEAN, IMAGENET_STD
from netaug.data.registry import Source, Split
from netaug.data.roots import archives_in
from netaug.data.store import FileImages

_COLOR = 3
_SHOWN = 3
_log = logging.getLogger("netaug")


@dataclass(frozen=True)
class Listing:
    """One split as a dataset's own lists name it.

    Args:
        folder: What the names are relative to.
        names: Image files in the list's order.
        labels: Their class indices, from 0.
    """

    folder: Path
    names: Sequence[str]
    labels: Sequence[int]


def listed_source(config: DataConfig, class_names: Sequence[str], train: Listing, test: Listing) -> Source:
    """Return a dataset of photos that lists name, with ImageNet's mean and deviation.

    Args:
        config: Names the dataset; ``on_error`` decides about images that are not there.
        class_names: In label order.
        train: What is trained on.
        test: What is evaluated on; not looked at when ``holdout`` takes a part of ``train`` instead.

    Raises:
        DataError: A label is out of range, a list is empty, or images are missing unless ``on_error`` is `skip`.
    """
    return Source(
        class_names=tuple(class_names),
        in_chans=_COLOR,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        train=_listed_split(config, train, len(class_names)),
        val=_listed_split(config, test, len(class_names)) if config.holdout == 0 else None,
        val_split="test",
    )


def _listed_split(config: DataConfig, listed: Listing, num_classes: int) -> Split:
    folder, names = listed.folder, listed.names
    labels_N = np.asarray(listed.labels, np.int64).reshape(-1)
    if not len(labels_N):
        raise DataError(f"a list of {config.name} names no images.", got=f"no image of '{folder}'")
    check_labels(config, labels_N, names, num_classes)
    exist_N = _existing(folder, names)
    if not exist_N.all():
        _missing_images(
            config, folder, [name for name, here in zip(names, exist_N, strict=True) if not here], len(names)
        )
        labels_N, names = labels_N[exist_N], [name for name, here in zip(names, exist_N, strict=True) if here]
    return Split(FileImages(str(folder), names, _COLOR), labels_N)


def check_labels(
    config: DataConfig, labels_N: npt.NDArray[np.int64], names: Sequence[str], num_classes: int
) -> None:
    """Check that labels name classes.

    Raises:
        DataError: One is below 0, or at least ``num_classes``; names the first image that has such.
    """
    wrong = np.flatnonzero((labels_N < 0) | (labels_N >= num_classes))
    if len(wrong):
        raise DataError(
            f"{len(wrong)} labels of {config.name} are out of range, first that of '{names[wrong[0]]}'.",
            got=f"class {labels_N[wrong[0]] + 1}, counted from 1",
            allowed=f"1 to {num_classes}",
            fix="the lists do not belong together: unpack the dataset's archives again",
        )


def _existing(folder: Path, names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return which files exist; each folder is listed once."""
    inside: dict[str, set[str]] = {}  # on a network disk, a call per file would be far slower

    def exists(name: str) -> bool:
        head, tail = os.path.split(name)
        if head not in inside:
            path = folder / head
            inside[head] = set(os.listdir(path)) if path.is_dir() else set()
        return tail in inside[head]

    return np.fromiter(map(exists, names), bool, len(names))


def _missing_images(config: DataConfig, folder: Path, missing: list[str], total: int) -> None:
    where = f"{len(missing)} of {total} images that the lists of {config.name} name are not in '{folder}'"
    shown = ", ".join(missing[:_SHOWN]) + ", ..." * (len(missing) > _SHOWN)
    if config.on_error == "skip" and len(missing) < total:
        _log.warning("%s; left out: %s", where, shown)
        return
    nested = folder / folder.name
    fix = "unpack the archive of the images again, it was unpacked in part; `--data.on_error skip` leaves them out"
    if nested.is_dir():
        fix = f"move the files in '{nested}' up into '{folder}'"
    elif packed := [*archives_in(folder), *archives_in(folder.parent)]:
        fix = f"unpack the archive again, whole: '{packed[0]}'"
    raise DataError(
        f"{where}.",
        got=f"missing: {shown}; there is: {listing(folder)}",
        allowed="every listed image",
        fix=fix,
    )
