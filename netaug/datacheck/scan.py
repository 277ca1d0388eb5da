"""Examines all images of a dataset in threads; what was found so far survives Ctrl-C."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from netaug.core.errors import DataError
from netaug.core.parallel import in_threads
from netaug.core.regular_files import is_file
from netaug.data.registry import Split
from netaug.data.store import FileImages, MemoryImages
from netaug.datacheck.look import Look, look

Splits = list[tuple[str, Split]]

_ANNOTATIONS = (".xml", ".txt", ".json")  # of the image beside them that has their name


@dataclass(frozen=True)
class Item:
    """Describes one finding.

    Args:
        split: Name of the split; empty for files that none reads.
        name: File or image.
        detail: More about it, in a line.
    """

    split: str
    name: str
    detail: str


@dataclass
class Findings:
    """Collects what is found in a dataset.

    Args:
        total: Number of its images.
        looked: How many of them were looked at.
        items: By name of the kind.
        complete: Whether everything was looked at.
    """

    total: int
    looked: int = 0
    items: dict[str, list[Item]] = field(default_factory=dict)
    complete: bool = False

    def add(self, kind: str, item: Item) -> None:
        """Add a finding of a kind."""
        self.items.setdefault(kind, []).append(item)


def image_name(split: Split, index: int) -> str:
    """Return the file of an image, or its number where it has none."""
    return f"number {index}" if isinstance(split.images, MemoryImages) else split.images.path(index)


def scan(splits: Splits, jobs: int) -> Findings:
    """Look at every image of the splits, then for equal ones, and for files that no split reads.

    Args:
        splits: Name and images, the training split first.
        jobs: Number of threads.

    Returns:
        What was found; after Ctrl-C what was found until then, ``complete`` is then False.
    """
    findings = Findings(total=sum(len(split) for _, split in splits))
    digests: list[npt.NDArray[np.uint64]] = [np.zeros(len(split), np.uint64) for _, split in splits]
    decoded = [np.zeros(len(split), bool) for _, split in splits]
    with warnings.catch_warnings():  # of the decoders: what they say is found here too
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", UserWarning)
        try:
            for number, (name, split) in enumerate(splits):
                seen = in_threads(partial(look, split.images), len(split), f"checking {name}", jobs)
                for index, one in enumerate(seen):
                    _note(findings, name, split, index, one)
                    if one.digest is not None:
                        digests[number][index], decoded[number][index] = one.digest, True
            _compare(findings, splits, digests, decoded)
            _find_unused(findings, splits)
            findings.complete = True
        except KeyboardInterrupt:
            pass
    return findings


def _note(findings: Findings, name: str, split: Split, index: int, seen: Look) -> None:
    findings.looked += 1
    for kind in seen.kinds:
        findings.add(kind, Item(name, image_name(split, index), seen.detail))


def _compare(
    findings: Findings,
    splits: Splits,
    digests: list[npt.NDArray[np.uint64]],
    decoded: list[npt.NDArray[np.bool_]],
) -> None:
    """Note images that occur in several splits, under several labels, or several times in one split."""
    starts = np.cumsum([0, *(len(split) for _, split in splits)])
    labels = np.concatenate([split.labels_N for _, split in splits])

    def place(position: int) -> tuple[int, int]:
        number = int(np.searchsorted(starts, position, side="right")) - 1
        return number, position - int(starts[number])

    def pixels(position: int) -> object:
        number, index = place(position)
        return splits[number][1].images.read(index)

    for group in equal_groups(np.concatenate(digests), np.concatenate(decoded), pixels):
        names = [(splits[n][0], image_name(splits[n][1], index)) for n, index in map(place, group)]
        numbers = {place(position)[0] for position in group}
        differ = len(set(labels[group].tolist())) > 1
        kind = "leaked" if len(numbers) > 1 else "contradictory" if differ else "repeated"
        (split, first), others = names[0], names[1:]
        detail = "equal to " + ", ".join(f"'{name}' ({split})" for split, name in others[:3])
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        labeled = ", under different labels" if differ and kind == "leaked" else ""
        findings.add(kind, Item(split, first, detail + more + labeled))


def _find_unused(findings: Findings, splits: Splits) -> None:
    """Note visible files beside the images that no split reads."""
    files = [split.images for _, split in splits if isinstance(split.images, FileImages)]
    used = {os.path.normpath(images.path(index)) for images in files for index in range(len(images))}
    annotations = {f"{os.path.splitext(path)[0]}{ending}" for path in used for ending in _ANNOTATIONS}
    for folder in sorted({os.path.dirname(path) for path in used}):
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name[0] != "." and is_file(entry))
        for path in (os.path.join(folder, name) for name in names):
            if (
                path not in used
                and os.path.splitext(path)[0] + os.path.splitext(path)[1].lower() not in annotations
            ):
                findings.add("unused", Item("", path, ""))


Positions = npt.NDArray[np.int64]


def equal_groups(
    digests_N: npt.NDArray[np.uint64], decoded_N: npt.NDArray[np.bool_], pixels: Callable[[int], Any]
) -> Iterator[list[int]]:
    """Return groups of two or more positions whose images are equal pixel by pixel.

    Args:
        digests_N: A number for each image, equal for equal images.
        decoded_N: Which images have one.
        pixels: The decoded image at a position; asked for where numbers are equal, to be sure.

    Yields:
        Positions in rising order; groups in the order of their first.
    """
    positions = np.flatnonzero(decoded_N)
    order = positions[np.argsort(digests_N[positions], kind="stable")]
    cuts = np.flatnonzero(np.diff(digests_N[order])) + 1
    alike = [group for group in np.split(order, cuts) if len(group) > 1]
    for group in sorted(alike, key=lambda group: int(group[0])):
        yield from _truly_equal(group.tolist(), pixels)


def _truly_equal(group: list[int], pixels: Callable[[int], Any]) -> Iterator[list[int]]:
    while len(group) > 1:
        first, rest = group[0], group[1:]
        try:
            image = pixels(first)
            same = [position for position in rest if torch.equal(pixels(position), image)]
        except DataError:  # it went away meanwhile
            return
        if same:
            yield [first, *same]
        group = [position for position in rest if position not in same]
