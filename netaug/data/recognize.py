"""What kind of dataset lies in a folder: told from names of files and folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path
from typing import Any

from netaug.config.settings import build
from netaug.core.errors import DataError, NetaugError, NoEvaluationImagesError
from netaug.core.existing import listing, no_data
from netaug.core.regular_files import is_folder
from netaug.data.decode.image import SUFFIXES
from netaug.data.detection.coco_files import lone_file
from netaug.data.detection.problems import Problems
from netaug.data.detection.voc_files import SPLITS, find_layout
from netaug.data.detection.yolo_files import has_labels_beside
from netaug.data.registry import find_dataset
from netaug.data.roots import archives_in, is_archive, unpacking
from netaug.data.split_folders import EVALUATION, TRAINING, split_folder

_TABLES = (".csv", ".tsv", ".parquet")
_OFFICIAL = {
    "cifar-10-batches-py": "cifar10",
    "cifar-100-python": "cifar100",
    "FashionMNIST": "fashion_mnist",
    "food-101": "food101",
    "flowers-102": "flowers102",
    "stanford_cars": "cars",
    "CUB_200_2011": "cub200",
    "oxford-iiit-pet": "pets",
}
"""Folders that official archives unpack to, and the dataset of each."""
_OTHER_IMAGES = (".heic", ".heif", ".avif", ".jp2", ".jxl", ".svg", ".psd", ".dng", ".cr2", ".nef", ".arw")
_ASKED = ("coco", "hf", "packed", "table", "voc", "webdataset", "yolo")
"""Datasets whose files, and not their names alone, say whether there are evaluation images."""
HOLDOUT = 0.2
"""Fraction of the images that is held out for evaluation where a dataset has no such images of its own."""
_WRAPPERS = 2  # folders in folders around a dataset
_LOOKED_AT = 2_000  # entries of a folder; one of a million images is not listed whole


@dataclass(frozen=True)
class Recognized:
    """A dataset that lies on disk.

    Args:
        name: Its name for ``data.name``.
        root: The folder, or file, for ``data.root``.
        sign: What it was recognized by, in words.
        needs_holdout: Whether it has no evaluation images of its own.
        inside: Whether it lies in a folder of the folder that was asked about, alone.
    """

    name: str
    root: Path
    sign: str
    needs_holdout: bool = False
    inside: bool = False


def recognize(root: Path) -> Recognized:
    """Tell what dataset lies in a folder.

    Args:
        root: A folder, or the file of a table.

    Raises:
        DataError: There is nothing, or nothing that is known.
    """
    if not root.exists():
        raise no_data(root)
    if root.is_file():
        if root.suffix.lower() in _TABLES:
            return Recognized("table", root, f"the ending {root.suffix}")
        raise _unknown(root)
    for folder in _wrapped(root):
        for rule in _RULES:
            recognized = rule(folder)
            if recognized is not None and folder == root:
                return recognized
            if recognized is not None:
                return replace(
                    recognized, sign=f"{recognized.sign} in {folder.relative_to(root)}", inside=True
                )
    raise _unknown(root)


def _wrapped(root: Path) -> Iterator[Path]:
    """Yield the folder, and the lone folder in it, and the one in that: archives often unpack to such."""
    yield root
    folder = root
    for _ in range(_WRAPPERS):
        inside = [path for path in _entries(folder) if is_folder(path) and path.name[0] not in "._"]
        if len(inside) != 1 or inside[0].name.lower() in SPLITS[1:]:  # images for evaluation alone
            return
        folder = inside[0]
        yield folder


def recognized_words(given: Mapping[str, Any]) -> tuple[list[str], str]:
    """Tell what dataset lies in the ``data.root`` that a user gave without a name.

    Args:
        given: The user's settings by ``group.key``.

    Returns:
        Settings ``--data.key=value`` that name it, and a sentence about it; nothing and an empty sentence if the user
        names a dataset, or gives no folder.

    Raises:
        DataError: There is nothing, or nothing that is known.
    """
    root = given.get("data.root")
    if root is None or "data.name" in given:
        return [], ""
    recognized = recognize(Path(str(root)).expanduser())
    words, sentence = [f"--data.name={recognized.name}", f"--data.root={recognized.root}"], ""
    if "data.holdout" not in given and (recognized.needs_holdout or _lacks_evaluation(recognized, given)):
        words.append(f"--data.holdout={HOLDOUT}")
        sentence = f"; {HOLDOUT:.0%} of the images are held out for evaluation, as there are no others for it"
    return (
        words,
        f"the data in '{root}' is read as {recognized.name}, recognized by {recognized.sign}{sentence}",
    )


def _lacks_evaluation(recognized: Recognized, given: Mapping[str, Any]) -> bool:
    """Return whether a dataset has training images alone, which its reader knows; other faults are explained later."""
    if recognized.name not in _ASKED:
        return False
    named = {"data.name": recognized.name, "data.root": str(recognized.root)}
    config = build({**{key: value for key, value in given.items() if key.startswith("data.")}, **named}).data
    dataset = find_dataset(recognized.name)
    try:
        dataset.read(*((config, Problems(skip=True)) if dataset.task == "detect" else (config,)))
    except NoEvaluationImagesError:
        return True
    except (NetaugError, OSError):
        return False
    return False


def _packed(root: Path) -> Recognized | None:
    if (root / "index.npy").is_file() and (root / "images.bin").is_file():
        return Recognized("packed", root, "index.npy and images.bin")
    return None


def _official(root: Path) -> Recognized | None:
    for folder, name in _OFFICIAL.items():
        if (root / folder).is_dir():
            return Recognized(name, root, f"the folder {folder}")
    return None


def _yolo(root: Path) -> Recognized | None:
    for file in ("data.yaml", "data.yml"):
        if (root / file).is_file():
            return Recognized("yolo", root, file)
    if (root / "images").is_dir() and (root / "labels").is_dir() and find_layout(root) is None:
        return Recognized("yolo", root, "the folders images and labels")
    if has_labels_beside(root) or has_labels_beside(root / "train"):
        return Recognized("yolo", root, "images and labels side by side")
    return None


def _voc(root: Path) -> Recognized | None:
    layout = find_layout(root)
    return None if layout is None else Recognized("voc", root, layout.sign)


def _coco(root: Path) -> Recognized | None:
    for folder in _folders(root, depth=1):
        # all names, and not the first ones: they lie among images in some exports
        for name in sorted(os.listdir(folder)):
            if name.endswith("_annotations.coco.json") or fnmatch(name, "instances_*.json"):
                return Recognized("coco", root, name)
    lone = lone_file([*_entries(root), *_entries(root / "annotations")])
    return None if lone is None else Recognized("coco", root, f"the objects in {lone.name}")


def _hugging_face(root: Path) -> Recognized | None:
    for file in ("dataset_dict.json", "dataset_info.json", "state.json"):
        if (root / file).is_file():
            return Recognized("hf", root, file)
    return None


def _shards(root: Path) -> Recognized | None:
    if next((root / "train").glob("*.tar"), None) is not None:
        return Recognized("webdataset", root, "tar files in train")
    return None


def _tables(root: Path) -> Recognized | None:
    if any((root / f"train{ending}").is_file() for ending in _TABLES):
        return Recognized("table", root, "a table named train")
    tables = [path for path in _entries(root) if path.suffix.lower() in _TABLES and path.is_file()]
    if len(tables) == 1 and len(_class_folders(root)) < 2:
        return Recognized("table", tables[0], f"the one table {tables[0].name}")
    return None


def _splits(root: Path) -> Recognized | None:
    train = split_folder(root, TRAINING)
    inside = [] if train is None else _class_folders(train)
    if train is None or not inside:
        return None
    val = split_folder(root, EVALUATION)
    if val is None:
        # A folder of the same classes under another name may be for evaluation: the reader then says what to do.
        classes = {folder.name for folder in inside}
        siblings = (folder for folder in _entries(root) if folder != train and is_folder(folder))
        alone = all(classes.isdisjoint(folder.name for folder in _class_folders(other)) for other in siblings)
        return Recognized("folder", root, f"class folders in {train.name}", needs_holdout=alone)
    return Recognized("folder", root, f"class folders in {train.name} and {val.name}")


def _flat(root: Path) -> Recognized | None:
    classes = _class_folders(root)
    if len(classes) < 2:
        return None
    return Recognized("folder", root, f"{len(classes)} folders of images, one per class", needs_holdout=True)


_RULES: tuple[Callable[[Path], Recognized | None], ...] = (
    _packed,
    _official,
    _yolo,
    _voc,
    _coco,
    _hugging_face,
    _shards,
    _tables,
    _splits,
    _flat,
)
"""The rarest signs first: a folder with YOLO's labels, for example, also holds folders of images."""


def _entries(folder: Path) -> list[Path]:
    return sorted(islice(folder.iterdir(), _LOOKED_AT)) if folder.is_dir() else []


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """Yield the folder and those in it, down to a depth."""
    yield root
    if depth:
        for entry in _entries(root):
            if is_folder(entry) and entry.name[0] != ".":
                yield from _folders(entry, depth - 1)


def _class_folders(folder: Path) -> list[Path]:
    """Return the folders that hold images directly."""
    inside = [entry for entry in _entries(folder) if entry.name[0] != "." and is_folder(entry)]
    return [
        entry
        for entry in inside
        if any(path.suffix.lower() in SUFFIXES for path in islice(entry.iterdir(), 50))
    ]


def _unreadable_image(root: Path) -> Path | None:
    """Return a file of a kind of images that is not read, in the folder or in those in it."""
    for folder in _folders(root, depth=1):
        for path in _entries(folder):
            if path.suffix.lower() in _OTHER_IMAGES:
                return path
    return None


def _unknown(root: Path) -> DataError:
    packed = [] if root.is_file() else archives_in(root)
    fix = "name it: --data.name NAME"
    if packed:
        fix = f"unpack the archive: {unpacking(packed[0], root)}"
    elif root.is_file() and is_archive(root):
        fix = f"unpack the archive, {unpacking(root, Path('FOLDER'))}, and give the folder"
    elif len(_class_folders(root)) == 1:
        fix = "add the folder of a second class: there must be something to tell apart"
    elif any(path.suffix.lower() in SUFFIXES for path in _entries(root)):
        fix = "sort the images into one folder per class, or give a table with the columns path and label"
    elif (other := _unreadable_image(root)) is not None:
        fix = f"convert the images, such as '{other.relative_to(root)}', to JPEG or PNG"
    return DataError(
        f"what lies in '{root}' is no dataset that is known.",
        got="a file" if root.is_file() else f"inside: {listing(root)}",
        allowed="CLASS/*.jpg; train/CLASS/*.jpg and val/CLASS/*.jpg; images with XML files beside them or in a "
        "folder Annotations (Pascal VOC); "
        "instances_*.json (COCO); data.yaml, or images and labels (YOLO); a table with paths and labels; or what "
        "`netaug data pack` wrote",
        fix=fix,
    )
