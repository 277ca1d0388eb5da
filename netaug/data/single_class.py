"""Training images of one class alone, which teach nothing, and the folder that was probably meant."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from netaug.core.errors import DataError
from netaug.data.prepared import Data
from netaug.data.readers.scan import listing_folders
from netaug.data.store import FileImages

_SHOWN = 5


def single_class(
    images: object, labels_N: npt.NDArray[np.int64], class_names: Sequence[str]
) -> DataError | None:
    """Return the error for training images that are all of one class; None if they have several, or there are none.

    Args:
        images: The N images; where they are files, the folder that was probably meant is named.
        labels_N: Their class indices.
        class_names: In label order.
    """
    labels = np.unique(labels_N)
    if len(labels) != 1:
        return None
    name = class_names[int(labels[0])]
    fix = "give images of at least two classes"
    if isinstance(images, FileImages) and (deeper := _deeper(images)) is not None:
        folder, inside = deeper
        fix = f"'{folder}' was probably meant: it holds {_listed(inside)}. {_how_to_move(images, folder)}"
    return DataError(
        "all training images are of one class, so there is nothing to tell apart.",
        got=f"{len(labels_N):,} images of class {name!r}"
        + f" out of {len(class_names)}" * (len(class_names) > 1),
        allowed="images of two classes or more",
        fix=fix,
    )


def check_classes(data: Data, *, limited: bool) -> None:
    """Refuse to train on images of one class.

    Args:
        data: What is trained on.
        limited: Whether it is a part of a dataset, which may be of one class by chance.

    Raises:
        DataError: There is one class alone; names the folder that was probably meant.
    """
    # The listing, not the loader: images that are decoded into memory have no folders any more.
    info, listing = data.info, data.listing
    if info.task != "classify" or listing is None:
        return
    error = single_class(listing.train.images, listing.train.labels[0], info.class_names)
    if error is not None and (info.num_classes == 1 or not limited):
        raise error


def _deeper(images: FileImages) -> tuple[str, list[str]] | None:
    """Return the deepest folder that holds all images, and its folders that hold some, if these are several."""
    folders = {os.path.dirname(images.path(index)) for index in range(len(images))}
    if len(folders) < 2:
        return None
    common = os.path.commonpath(folders)
    inside = sorted({os.path.relpath(folder, common).split(os.sep)[0] for folder in folders} - {os.curdir})
    return (common, inside) if len(inside) > 1 else None


def _how_to_move(images: FileImages, folder: str) -> str:
    if os.path.relpath(folder, images.folder) == os.curdir:
        return "Label the images by these folders"
    split = os.path.basename(images.folder)
    if set(listing_folders(Path(folder))) >= {"train", "val"}:
        return f"--data.root {folder}"
    return (
        f"Move its folders up into '{images.folder}', and likewise those of the other splits beside '{split}'"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:_SHOWN]) + ", ..." * (len(names) > _SHOWN)
