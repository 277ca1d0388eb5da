"""Where the labels of YOLO's images are, and whether those that seem to have none have them under another name."""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from netaug.core.errors import DataError
from netaug.data.decode.image import SUFFIXES
from netaug.data.detection.problems import Problems

_LABELS = ".txt"
_LABEL_LINE = re.compile(rb"\s*\d+(\s+-?[\d.]+(e-?\d+)?){4}\b")
_CLASS_LISTS = ("classes.txt", "_darknet.labels", "obj.names")
_IMAGES_FOLDER, _LABELS_FOLDER = "images", "labels"
_log = logging.getLogger("netaug")


def label_file(image: str) -> str:
    """Return the labels of an image: the last folder called images becomes labels, the file ends in .txt."""
    path = Path(image)
    return str(_renamed(path.parent, _IMAGES_FOLDER, _LABELS_FOLDER) / f"{path.stem}{_LABELS}")


def _renamed(folder: Path, before: str, after: str) -> Path:
    parts = list(folder.parts)
    positions = [position for position, part in enumerate(parts) if part == before]
    if positions:
        parts[positions[-1]] = after
    return Path(*parts)


def has_images(folder: Path) -> bool:
    """Return whether a folder holds images directly."""
    return folder.is_dir() and any(_suffix(name) in SUFFIXES for name in os.listdir(folder))


def has_labels_beside(folder: Path) -> bool:
    """Return whether a folder holds images, and beside one of them labels of its name."""
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    images = {os.path.splitext(name)[0] for name in names if _suffix(name) in SUFFIXES}
    texts = (name for name in names if _suffix(name) == _LABELS and os.path.splitext(name)[0] in images)
    # One tells: captions, which lie beside images too, do not begin with numbers.
    first = next(texts, None)
    return first is not None and _LABEL_LINE.match((folder / first).read_bytes()[:256]) is not None


def listed_classes(root: Path) -> str | None:
    """Return the list of classes that annotation tools write beside labels; None without one."""
    options = (root / folder / name for folder in ("", "labels", "train") for name in _CLASS_LISTS)
    return next((str(path) for path in options if path.is_file()), None)


def _suffix(name: str) -> str:
    return "" if name[0] == "." else os.path.splitext(name)[1].lower()


class _TextFiles(NamedTuple):
    """The text files in a folder: their names in lower case without endings; whether there are images beside them."""

    names: set[str]
    with_images: bool


class LabelFiles:
    """The label files below a dataset's folder.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._inside: dict[str, dict[str, str]] = {}
        self._elsewhere: dict[str, _TextFiles] | None = None

    def usable(self, split: str, images: Sequence[str], problems: Problems) -> list[str]:
        """Return the images of a split without those of which it cannot be told which labels are theirs.

        Args:
            split: Its name, for messages.
            images: Its image files, relative to the root.
            problems: Takes note of images that share their labels, and of labels under other names.

        Raises:
            DataError: No image has a label file, or none in a folder whose labels are in another one: they would all
                count as images without objects.
        """
        owners: dict[str, str] = {}
        kept = []
        for image in images:
            label = label_file(image)
            if label in owners:
                text = f"the images '{owners[label]}' and '{image}' of '{self.root}' have one label file."
                problems.note("ambiguous", text, got=label, allowed="a name of its own for each image")
            else:
                owners[label] = image
                kept.append(image)
        missing = [image for image in kept if not self._has(label_file(image))]
        missing = [image for image in missing if (self.root / image).exists()]
        wrong = {image: other for image in missing if (other := self._misnamed(image, owners))}
        for image, other in wrong.items():
            text = f"the labels of the image '{image}' of '{self.root}' are not called '{label_file(image)}'."
            problems.note(
                "misnamed", text, got=other, allowed=f"the name of the image with {_LABELS} behind it"
            )
        missing = [image for image in missing if image not in wrong]
        if missing:
            self._refuse_negatives(split, kept, missing)
        return [image for image in kept if image not in wrong]

    def _names(self, folder: str) -> dict[str, str]:
        """Return the files in a folder, by name in lower case."""
        if folder not in self._inside:
            path = self.root / folder
            names = sorted(os.listdir(path)) if path.is_dir() else []
            # Exact names last, so that they win over another file that differs in case alone.
            self._inside[folder] = {name.lower(): name for name in names} | {name: name for name in names}
        return self._inside[folder]

    def _has(self, label: str) -> bool:
        folder, name = os.path.split(label)
        return self._names(folder).get(name) == name

    def _misnamed(self, image: str, owners: dict[str, str]) -> str | None:
        """Return a label file that differs in upper and lower case, or has the image's ending in its name too."""
        folder, name = os.path.split(label_file(image))
        for option in (name.lower(), f"{os.path.basename(image)}{_LABELS}".lower()):
            name_there = self._names(folder).get(option)
            if name_there is not None and os.path.join(folder, name_there) not in owners:
                return os.path.join(folder, name_there)
        return None

    def _refuse_negatives(self, split: str, images: Sequence[str], missing: Sequence[str]) -> None:
        """Stop where all images of a folder lack labels and these are in another folder; say how many lack them."""
        labeled = {os.path.dirname(image) for image in set(images) - set(missing)}
        without: dict[str, list[str]] = defaultdict(list)
        for image in missing:
            if os.path.dirname(image) not in labeled:
                without[os.path.dirname(image)].append(image)
        for folder, inside in without.items():
            other, count = self._likely(folder, inside)
            if other and 2 * count >= len(inside):
                raise self._no_labels(split, folder, inside, f"'{other}' has those of {count}", other)
        if len(missing) == len(images):
            folder = os.path.dirname(images[0])
            other, count = self._likely(folder, images)
            raise self._no_labels(
                split,
                folder,
                images,
                f"'{other}' has those of {count}" if other else "none below data.root",
                other,
            )
        _log.warning(
            "%d of the %d images of '%s' have no label file: they count as images without objects.",
            len(missing),
            len(images),
            split,
        )

    def _no_labels(self, split: str, folder: str, images: Sequence[str], got: str, other: str) -> DataError:
        expected = os.path.dirname(label_file(images[0])) or os.curdir
        return DataError(
            f"none of the {len(images)} images of '{split}' in '{self.root / folder}' has a label file: "
            "all would count as images without objects.",
            got=f"label files: {got}",
            allowed=f"'{label_file(images[0])}' and so on in data.root",
            fix=f"move the label files from '{other}' to '{expected}'"
            if other
            else f"put them into '{expected}'",
        )

    def _likely(self, folder: str, images: Iterable[str]) -> tuple[str, int]:
        """Return the folder that has label files for most of these images, and for how many; empty if none has."""
        stems = {os.path.splitext(os.path.basename(image))[0].lower() for image in images}
        counts = {other: len(stems & names) for other, names in self._unclaimed(folder).items()}
        best = max(counts, key=lambda other: (counts[other], -len(other)), default="")
        return (best, counts[best]) if counts.get(best) else ("", 0)

    def _unclaimed(self, folder: str) -> dict[str, set[str]]:
        """Return the names of label files, without endings, in folders that are not the labels of other images."""
        if self._elsewhere is None:
            self._elsewhere = _text_files(self.root)
        return {
            other: files.names
            for other, files in self._elsewhere.items()
            if os.path.normpath(other) == os.path.normpath(folder) or not self._is_claimed(other, files)
        }

    def _is_claimed(self, folder: str, files: _TextFiles) -> bool:
        images = _renamed(Path(folder), _LABELS_FOLDER, _IMAGES_FOLDER)
        return files.with_images if images == Path(folder) else (self.root / images).is_dir()


def _text_files(root: Path) -> dict[str, _TextFiles]:
    """Return what could be label files, by folder."""
    by_folder = {}
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        parts = [os.path.splitext(name.lower()) for name in names]
        stems = {
            os.path.splitext(stem)[0] if os.path.splitext(stem)[1] in SUFFIXES else stem
            for stem, suffix in parts
            if suffix == _LABELS
        }
        if stems:
            with_images = any(suffix in SUFFIXES for _, suffix in parts)
            by_folder[os.path.relpath(folder, root)] = _TextFiles(stems, with_images)
    return by_folder
