"""YOLO's text labels in Ultralytics' layout: `images`, `labels` and `data.yaml`."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from netaug.config import DataConfig
from netaug.data.class_names import read_class_names
from netaug.data.detection.boxes import FoundBoxes, checked
from netaug.data.detection.files import sizes_of
from netaug.data.detection.problems import Problems
from netaug.data.detection.sources import BoxSource, BoxSplit, box_dataset
from netaug.data.image import SUFFIXES
from netaug.data.roots import listing, require_root
from netaug.data.store import FileImages
from netaug.errors import DataError

_COLOUR = 3
_TREE = "\n           ".join(
    (
        "ROOT/data.yaml with train, val and names (Ultralytics' layout),",
        "or ROOT/images/train, ROOT/images/val, ROOT/labels/train, ROOT/labels/val and --data.class_names FILE",
    )
)


@box_dataset(
    "yolo",
    "YOLO's text labels: ROOT/data.yaml, or ROOT/images/train, labels/train, images/val, labels/val",
    reads=("train_split", "val_split", "class_names"),
)
def load_yolo(config: DataConfig, problems: Problems) -> BoxSource:
    """Find the images of a dataset with YOLO's labels: `train` and `val`, else `test`."""
    root = require_root(config)
    about = _about(root)
    train_images = _images(root, about, config.train_split or "train")
    names = read_class_names(config.class_names) or _names(root, about)
    train = _split(root, train_images, names, problems)
    val, val_split = None, "val"
    if config.holdout == 0:
        choices = (config.val_split,) if config.val_split else ("val", "valid", "test")
        val_name = next((name for name in choices if _has(root, about, name)), choices[0])
        val = _split(root, _images(root, about, val_name), names, problems)
        val_split = "test" if val_name == "test" else "val"
    return BoxSource(names, train, val, val_split, "coco")


def _about(root: Path) -> dict[str, Any]:
    """What the dataset's YAML file says; nothing if there is none."""
    found = [path for name in ("data.yaml", "data.yml", "dataset.yaml") if (path := root / name).is_file()]
    found = found or sorted(root.glob("*.yaml"))
    if not found:
        return {}
    try:
        content = yaml.safe_load(found[0].read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"'{found[0]}' is no YAML file.", got=str(error).splitlines()[0]) from None
    return content if isinstance(content, dict) else {}


def _names(root: Path, about: dict[str, Any]) -> tuple[str, ...]:
    names = about.get("names")
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if isinstance(names, list) and names and len(set(map(str, names))) == len(names):
        return tuple(str(name) for name in names)
    raise DataError(
        f"the classes of '{root}' are not named.",
        got="no data.yaml" if not about else f"names: {str(about.get('names'))[:80]}",
        allowed="in data.yaml a list, `names: [cat, dog]`, or numbers from 0 without holes, `names: {0: cat, 1: dog}`",
        fix="--data.class_names FILE names them, one a line",
    )


def _places(root: Path, about: dict[str, Any], split: str) -> list[Path]:
    """Folders or lists of a split's images that may be there."""
    listed = about.get(split, about.get("val") if split == "valid" else None)
    entries = listed if isinstance(listed, list) else [listed] if isinstance(listed, str) else []
    bases = [root]
    if isinstance(about.get("path"), str):
        bases.insert(0, root / about["path"])
    found = []
    for entry in map(str, entries):
        options = [base / entry for base in bases] + [root / entry.removeprefix("../")]
        found.append(next((option for option in options if option.exists()), options[-1]))
    return found or [root / "images" / split, root / split / "images"]


def _has(root: Path, about: dict[str, Any], split: str) -> bool:
    return any(place.exists() for place in _places(root, about, split))


def _images(root: Path, about: dict[str, Any], split: str) -> list[str]:
    """A split's image files relative to the root, sorted."""
    files: list[str] = []
    for place in _places(root, about, split):
        if place.is_dir():
            inside = (path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES)
            files += [os.path.relpath(path, root) for path in inside if path.name[0] != "."]
        elif place.is_file():
            rows = (row.strip() for row in place.read_text(encoding="utf-8").splitlines())
            files += [os.path.relpath(place.parent / row, root) for row in rows if row]
    if not files:
        raise DataError(
            f"there are no images of '{split}' in data.root '{root}'.",
            got=f"in ROOT there is: {listing(root)}",
            allowed=_TREE,
            fix=f"looked in: {', '.join(map(str, _places(root, about, split)))}",
        )
    return sorted(dict.fromkeys(files))


def label_file(image: str) -> str:
    """The labels of an image: the last folder called images becomes labels, the file ends in .txt."""
    parts = list(Path(image).parts)
    places = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return str(Path(*parts).with_suffix(".txt"))


def _split(root: Path, files: Sequence[str], names: tuple[str, ...], problems: Problems) -> BoxSplit:
    kept: list[str] = []
    sizes: list[tuple[int, int]] = []
    rows: list[tuple[float, ...]] = []
    places: list[tuple[str, int]] = []
    for file, size in zip(files, sizes_of(root, files), strict=True):
        path = root / label_file(file)
        if isinstance(size, DataError):
            problems.pass_on("undecodable" if os.path.exists(root / file) else "no_image", size)
            continue
        try:
            found_rows = _rows(path, len(names), problems)
        except DataError as error:
            problems.pass_on("unreadable", error)
            continue
        for number, values in found_rows:
            rows.append((len(kept), *values))
            places.append((str(path), number))
        kept.append(file)
        sizes.append(size)
    if not kept:
        raise DataError(f"none of the {len(files)} images of '{root}' can be used.", got=problems.first())
    table = np.array(rows, np.float64).reshape(-1, 6)
    sizes_N2 = np.array(sizes, np.int64).reshape(-1, 2)
    owners_M = table[:, 0].astype(np.int64)
    found = FoundBoxes(
        sizes_N2=sizes_N2,
        ids_N=np.arange(len(kept)),
        owners_M=owners_M,
        boxes_M4=table[:, 2:] * np.tile(sizes_N2[owners_M], 2),
        labels_M=table[:, 1].astype(np.int64),
        difficult_M=np.zeros(len(table), np.bool_),
        crowd_M=np.zeros(len(table), np.bool_),
        areas_M=np.full(len(table), np.nan),
        category_ids_C=np.arange(len(names)),
    )
    annotations = checked(found, lambda m: f"line {places[m][1]} of '{places[m][0]}'", problems)
    return BoxSplit(FileImages(str(root), kept, _COLOUR), annotations)


def _rows(path: Path, classes: int, problems: Problems) -> list[tuple[int, tuple[float, ...]]]:
    """Line number, class and corners (shares of the image's sides) of each object; no file means no objects."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is no text.", got=error.reason) from None
    found: list[tuple[int, tuple[float, ...]]] = []
    for number, line in enumerate(lines, start=1):
        if not (words := line.split()):
            continue
        where = f"line {number} of '{path}'"
        try:
            label, corners = float(words[0]), _corners([float(word) for word in words[1:]])
        except ValueError:
            allowed = "class, centre x and y, width and height as shares of the image's sides, or a polygon"
            problems.note("incomplete", f"{where} is no object.", got=line[:80], allowed=allowed)
            continue
        if not (label.is_integer() and 0 <= label < classes):
            allowed = f"whole numbers from 0 to {classes - 1}"
            problems.note("unknown_class", f"{where} is of an unknown class.", got=words[0], allowed=allowed)
            continue
        found.append((number, (label, *corners)))
    return found


def _corners(values: list[float]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of centre and size, or of a polygon's points."""
    if len(values) == 4:
        x, y, width, height = values
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"{len(values)} numbers")
    if not np.isfinite(values).all():
        return (math.nan,) * 4
    return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
