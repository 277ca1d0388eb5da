"""Digests of what a dataset lists: they tell whether a run resumes on the data that it was started with.

Names, order and labels are digested whole, since they are in memory. Sizes of files cost a call of the system each, and
contents a read, so that both are taken from a sample: the start of a training on 1.2 million files stays quick.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from netaug.core.errors import DataError
from netaug.data.batch import DataInfo

VERSION = 1
"""Of how digests are made; those of another version cannot be compared."""

_MOST_SIZES = 16_384
_MOST_CONTENTS = 1024
_MOST_CONTENT_BYTES = 64 * 2**20
_GOLDEN = 0.6180339887498949
_UNREADABLE = b"cannot be read"

Digests = dict[str, str]
"""Hexadecimal digests by what they are of: `names`, `labels`, `sizes`, `contents`."""


class ListedImages(Protocol):
    """Images of a split as a dataset lists them."""

    def __len__(self) -> int:
        """Return the number of images."""

    def identities(self) -> Sequence[bytes]:
        """Return what names each image wherever the dataset lies; empty if images have no names."""

    def stored_bytes(self, index: int) -> int:
        """Return the size of one image as it is stored; -1 if that is unknown without reading it, or it is missing."""

    def content(self, index: int) -> bytes | bytearray:
        """Return the bytes of one image as they are stored; raises :class:`DataError` if they cannot be read."""


class ListedSplit:
    """One split as a dataset lists it.

    Args:
        images: The N images.
        labels: Arrays that hold everything that is learned of them, such as class indices or boxes.
    """

    def __init__(self, images: ListedImages, *labels: npt.NDArray[Any]) -> None:
        self.images, self.labels = images, labels

    def digests(self) -> Digests:
        """Digest names, labels, sizes and contents, the latter two of a sample."""
        images, count = self.images, len(self.images)
        sized = np.linspace(0, max(0, count - 1), min(count, _MOST_SIZES)).astype(np.int64)
        return {
            "names": _digest(images.identities()),
            "labels": _digest(part for array in self.labels for part in _described(array)),
            "sizes": _digest(b"%d" % images.stored_bytes(index) for index in sized.tolist()),
            "contents": _digest(_sampled_contents(images)),
        }


class DataListing:
    """Both splits of a dataset as they are listed, before any image is decoded.

    Args:
        train: Training images, after all selections.
        val: Evaluation images.
    """

    def __init__(self, train: ListedSplit, val: ListedSplit) -> None:
        self.train, self.val = train, val
        self._splits = {"training": train, "evaluation": val}

    @cached_property
    def digests(self) -> dict[str, Digests]:
        """Return the digests of each split, `training` and `evaluation`; made at the first access.

        They depend on the content of the dataset alone, not on where it lies, so that they may be compared between
        machines and at different times.
        """
        return {name: split.digests() for name, split in self._splits.items()}


def differing_parts(before: Mapping[str, Digests], now: Mapping[str, Digests]) -> list[str]:
    """Say in words which parts of two listings differ, such as `labels of training images`."""
    titles = {
        "names": "names or order",
        "labels": "labels",
        "sizes": "file sizes",
        "contents": "contents of sampled files",
    }
    return [
        f"{titles.get(part, part)} of {split} images"
        for split, digests in now.items()
        for part, digest in digests.items()
        if before.get(split, {}).get(part) != digest
    ]


def below_common_folder(names: Sequence[bytes]) -> Sequence[bytes]:
    """Return the file names relative to the deepest folder that holds all of them, so that a dataset may be moved."""
    if not names:
        return names
    first, last = min(names), max(names)  # what these two share, all names in between share
    equal = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    start = first[:equal].rfind(b"/") + 1
    return [name[start:] for name in names] if start else names


def _sampled_contents(images: ListedImages) -> Iterable[bytes | bytearray]:
    """Return the contents of images that are spread over the split, until they are enough."""
    # Multiples of the golden ratio fall evenly, and so do the first few of them already.
    spread = np.argsort(np.arange(len(images)) * _GOLDEN % 1.0, kind="stable")[:_MOST_CONTENTS]
    total = 0
    for index in spread.tolist():
        try:
            content = images.content(index)
        except DataError:
            content = _UNREADABLE
        yield content
        total += len(content)
        if total > _MOST_CONTENT_BYTES:
            return


def _described(array: npt.NDArray[Any]) -> tuple[bytes, bytes]:
    if array.dtype.hasobject:  # its bytes are addresses
        return f"{array.dtype.str} {array.shape}".encode(), repr(array.tolist()).encode()
    return f"{array.dtype.str} {array.shape}".encode(), np.ascontiguousarray(array).tobytes()


def _digest(parts: Iterable[bytes | bytearray]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))  # else "a", "bc" would be as "ab", "c"
        digest.update(part)
    return digest.hexdigest()


def fingerprint(info: DataInfo) -> dict[str, Any]:
    """Return what must be the same about the data of a run that resumes."""
    names = hashlib.sha256(json.dumps(info.class_names).encode()).hexdigest()
    return {
        "name": info.name,
        "train_size": info.train_size,
        "val_size": info.val_size,
        "classes": info.num_classes,
        "class_names": names,
        "image_size": info.image_size,
        **({"anchors": [list(pair) for pair in info.anchors]} if info.anchors else {}),
    }
