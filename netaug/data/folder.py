"""Image folders: one folder per class, under `train` and under `val` or `test`."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from netaug.config import DataConfig
from netaug.data.image import SUFFIXES
from netaug.data.registry import Source, Split, dataset
from netaug.data.roots import listing, require_root
from netaug.data.store import FileImages
from netaug.errors import DataError

# The ImageNet statistics every ImageNet recipe uses (torchvision's model documentation).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_COLOUR = 3
_log = logging.getLogger("netaug")


@dataset("folder", "image folders: ROOT/train/CLASS/*.jpg and ROOT/val/CLASS/*.jpg (or ROOT/test)")
def load_folder(config: DataConfig) -> Source:
    """Find the images of a folder dataset, in colour, with ImageNet's mean and deviation."""
    return scan_folder(require_root(config), with_val=config.holdout == 0)


def scan_folder(root: Path, *, with_val: bool) -> Source:
    """Find the images under ``root``; nothing is decoded.

    Args:
        root: Holds ``train/CLASS/*`` and ``val/CLASS/*``, else ``test/CLASS/*``.
        with_val: Whether an evaluation split is looked for.

    Returns:
        The splits as files. Classes and files are in the order of their names.

    Raises:
        DataError: A split or class is missing, empty, or in the evaluation split only.
    """
    val_name = next((name for name in ("val", "test") if (root / name).is_dir()), None)
    if not (root / "train").is_dir() or (with_val and val_name is None):
        raise _wrong_tree(root, with_val)
    class_names = _class_folders(root, "train")
    train = _scan_split(root, "train", class_names, class_names)
    val = None
    if with_val and val_name is not None:
        present = _class_folders(root, val_name)
        _check_classes(root, val_name, present, class_names)
        val = _scan_split(root, val_name, present, class_names)
    return Source(
        class_names=class_names,
        in_chans=_COLOUR,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        train=train,
        val=val,
        val_split=val_name or "val",
    )


def _wrong_tree(root: Path, with_val: bool) -> DataError:
    missing = "'train' folder" if not (root / "train").is_dir() else "'val' or 'test' folder"
    inner = [name for name in listing_folders(root) if (root / name / "train").is_dir()]
    if missing == "'train' folder" and inner:
        fix = f"--data.root {root / inner[0]}"
    elif missing == "'train' folder":
        fix = "move the class folders into a folder called train, or point --data.root at the folder above it"
    else:
        fix = "rename the folder of evaluation images to val, or hold out training images: --data.holdout 0.1"
    tree = ["ROOT/train/CLASS/*.jpg"]
    if with_val:
        tree.append("ROOT/val/CLASS/*.jpg (or ROOT/test/CLASS/*.jpg)")
    return DataError(
        f"no {missing} in data.root '{root}'.",
        got=f"in ROOT there is: {listing(root)}",
        allowed="\n           ".join(tree),
        fix=fix,
    )


def listing_folders(folder: Path) -> list[str]:
    """Names of the visible folders in a folder, sorted."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")


def _class_folders(root: Path, split: str) -> tuple[str, ...]:
    names = listing_folders(root / split)
    if not names:
        raise DataError(
            f"'{root / split}' has no class folders.",
            got=f"inside: {listing(root / split)}",
            allowed=f"ROOT/{split}/CLASS/*.jpg, one folder per class",
            fix="sort the images into one folder per class",
        )
    return tuple(names)


def _check_classes(root: Path, val_name: str, present: tuple[str, ...], class_names: tuple[str, ...]) -> None:
    unknown = sorted(set(present) - set(class_names))
    if unknown:
        raise DataError(
            f"'{root / val_name}' has {_classes(unknown)} that 'train' lacks.",
            got=f"{len(class_names)} classes in train, {len(present)} in {val_name}",
            allowed=f"in {val_name}, only classes that are in train",
            fix=f"add the class to train, or remove '{root / val_name / unknown[0]}'",
        )
    absent = sorted(set(class_names) - set(present))
    if absent:
        _log.warning("'%s' lacks %s of 'train'; it is not evaluated.", root / val_name, _classes(absent))


def _classes(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:5]) + ", ..." * (len(names) > 5)
    return f"class {shown}" if len(names) == 1 else f"{len(names)} classes ({shown})"


def _scan_split(root: Path, split: str, present: tuple[str, ...], class_names: tuple[str, ...]) -> Split:
    files: list[str] = []
    counts = []
    for name in present:
        found = _image_files(root / split, name)
        if not found:
            raise DataError(
                f"the class folder '{root / split / name}' holds no images.",
                got=f"inside: {listing(root / split / name)}",
                allowed=f"files ending in {', '.join(sorted(SUFFIXES))}",
                fix="add images, or remove the folder",
            )
        files += found
        counts.append(len(found))
    number = {name: label for label, name in enumerate(class_names)}
    labels_N = np.repeat(np.array([number[name] for name in present], np.int64), counts)
    return Split(FileImages(str(root / split), files, _COLOUR), labels_N)


def _image_files(split: Path, class_name: str) -> list[str]:
    """Image files at any depth below a class folder, relative to the split, sorted."""
    found = []
    for folder, _, names in os.walk(split / class_name, followlinks=True):
        relative = os.path.relpath(folder, split)
        found += [
            os.path.join(relative, name)
            for name in names
            if os.path.splitext(name)[1].lower() in SUFFIXES and name[0] != "."
        ]
    return sorted(found)
