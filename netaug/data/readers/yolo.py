"""YOLO's text labels in Ultralytics' layout: `images`, `labels` and `data.yaml`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from netaug.config import DataConfig
from netaug.core.errors import DataError, NoEvaluationImagesError
from netaug.core.existing import listing
from netaug.core.text_files import read_lines
from netaug.data.decode.image import SUFFIXES
from netaug.data.detection.annotation_checks import FoundBoxes, checked
from netaug.data.detection.orientation import Frames, Orientation, find_frames
from netaug.data.detection.problems import Problems
from netaug.data.detection.sources import BoxSource, BoxSplit
from netaug.data.detection.yolo_files import LabelFiles, has_images, label_file, listed_classes
from netaug.data.readers.class_names import read_class_names
from netaug.data.readers.yolo_description import About, read_about
from netaug.data.readers.yolo_labels import LabelLine, corners, read_labels, refuse_keypoints
from netaug.data.registry import dataset
from netaug.data.roots import require_root
from netaug.data.store import FileImages

_COLOR = 3
_TREE = "\n           ".join(
    (
        "ROOT/data.yaml with train, val and names (Ultralytics' layout),",
        "or ROOT/images/train, ROOT/images/val, ROOT/labels/train, ROOT/labels/val and --data.class_names FILE,",
        "or without splits ROOT/images and ROOT/labels, or ROOT/ID.jpg and ROOT/ID.txt, with ROOT/classes.txt",
    )
)
_log = logging.getLogger("netaug")


class _Object(NamedTuple):
    """An object: the position of its image among those that are used, its label file and its line there."""

    owner: int
    path: Path
    line: LabelLine


@dataset("yolo", reads=("train_split", "val_split", "class_names"))
def load_yolo(config: DataConfig, problems: Problems) -> BoxSource:
    """Find the images of a dataset with YOLO's labels: `train` and `val`, else `test`."""
    root = require_root(config)
    about = read_about(root)
    labels = LabelFiles(root)
    train_name = config.train_split or "train"
    train_images = _images(root, about, train_name)
    listed = listed_classes(root) if about.get("names") is None else None
    names = read_class_names(config.class_names or listed) or about.names(root)
    about.check_count(names)
    val_name, val_images = None, list[str]()
    if config.holdout == 0:  # before labels are read: there may be no images for evaluation
        choices = (config.val_split,) if config.val_split else ("val", "valid", "test")
        # A split that the YAML file names is meant: if its images are absent, no other takes its place.
        val_name = next((name for name in choices if about.get(name) or _has(root, about, name)), None)
        if val_name is None and config.val_split is None:
            raise _no_evaluation(root, about, train_name)
        val_name = val_name or choices[0]
        val_images = _images(root, about, val_name)
        _check_apart(root, (train_name, train_images), (val_name, val_images))
    train = _split(labels, train_name, train_images, names, about, config.box_orientation, problems)
    val, val_split = None, "val"
    if val_name is not None:
        val = _split(labels, val_name, val_images, names, about, config.box_orientation, problems)
        val_split = "test" if val_name == "test" else "val"
    return BoxSource(names, train, val, val_split, "coco")


def _check_apart(root: Path, train: tuple[str, list[str]], val: tuple[str, list[str]]) -> None:
    """Refuse to evaluate on images that are trained on.

    Raises:
        DataError: The splits share images; where they are the same ones, there are none for evaluation.
    """
    shared = {*train[1]} & {*val[1]}
    if shared:
        same = len(shared) == len(train[1]) == len(val[1])
        raise (NoEvaluationImagesError if same else DataError)(
            f"images of '{val[0]}' in data.root '{root}' are also those of '{train[0]}', which is trained on.",
            got=f"{len(shared)} of the {len(val[1])} images of '{val[0]}', such as '{min(shared)}'",
            allowed="an image in one split alone",
            fix="take them out of one of the two, or --data.holdout 0.2 holds out training images",
        )


def _places(root: Path, about: About, split: str) -> list[Path]:
    """Return the folders or lists of a split's images that may be there."""
    listed = about.get(split) or (about.get("val") if split == "valid" else None)
    entries = listed if isinstance(listed, list) else [listed] if isinstance(listed, str) else []
    bases = [root]
    if isinstance(about.get("path"), str):
        bases.insert(0, root / about.get("path"))
    paths = []
    for entry in map(str, entries):
        options = [base / entry for base in bases] + [root / entry.removeprefix("../")]
        # A path of another machine: its last parts are the same in any copy of the dataset.
        parts = entry.replace("\\", "/").split("/")
        tails = [root.joinpath(*parts[first:]) for first in range(1, len(parts)) if all(parts[first:])]
        paths.append(next((option for option in (*options, *tails) if option.exists()), options[-1]))
    if paths:
        return paths
    paths = [root / "images" / split, root / split / "images"]
    if not any(path.exists() for path in paths) and has_images(root / split):
        return [root / split]
    if split != "train" or any(path.exists() for path in paths):
        return paths
    # Without splits, as labelImg and Label Studio write it: all images may be trained on.
    return [next((path for path in (root / "images", root) if has_images(path)), paths[0])]


def _has(root: Path, about: About, split: str) -> bool:
    return any(path.exists() for path in _places(root, about, split))


def _no_evaluation(root: Path, about: About, train: str) -> DataError:
    """Return the error where no evaluation split has a usual name; images are held out only if there is no other."""
    taken = [path.resolve() for path in _places(root, about, train)]
    candidates = {path.name: path for path in sorted(root.glob("images/*"))}
    candidates |= {path.parent.name: path for path in sorted(root.glob("*/images"))}
    others = [
        name
        for name, path in candidates.items()
        if path.is_dir() and not any(path.resolve().is_relative_to(place) for place in taken)
    ]
    if not others:
        return NoEvaluationImagesError(
            f"there are no images for evaluation in data.root '{root}'.",
            got=f"in ROOT there is: {listing(root)}",
            allowed=_TREE,
            fix="--data.holdout 0.2 holds out training images",
        )
    return DataError(
        f"no split in data.root '{root}' is called val, valid or test.",
        got=f"beside '{train}': {', '.join(others)}",
        allowed=_TREE,
        fix=f"--data.val_split {others[0]}, or --data.holdout 0.2 holds out training images",
    )


def _images(root: Path, about: About, split: str) -> list[str]:
    """Return a split's image files relative to the root, sorted."""
    files: list[str] = []
    for place in _places(root, about, split):
        if place.is_dir():
            inside = (path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES)
            files += [os.path.relpath(path, root) for path in inside if path.name[0] != "."]
        elif place.is_file():
            rows = (row.strip() for row in read_lines(place, "list of images"))
            files += [os.path.relpath(place.parent / row, root) for row in rows if row]
    if not files:
        raise DataError(
            f"there are no images of '{split}' in data.root '{root}'.",
            got=f"in ROOT there is: {listing(root)}",
            allowed=_TREE,
            fix=f"looked in: {', '.join(map(str, _places(root, about, split)))}"
            + (f"; correct `{split}:` in '{about.path}', or choose a split" if about.get(split) else "")
            + (", with --data.val_split NAME or --data.holdout 0.2" if split != "train" else ""),
        )
    return sorted(dict.fromkeys(files))  # sorted: the order of a folder differs between file systems


def _split(
    labels: LabelFiles,
    name: str,
    files: Sequence[str],
    names: tuple[str, ...],
    about: About,
    orientation: Orientation,
    problems: Problems,
) -> BoxSplit:
    """Return the images of a split that can be used, with their objects."""
    root, keypoints = labels.root, about.keypoints()
    usable = labels.usable(name, files, problems)
    frames = find_frames(root, usable, np.zeros((len(usable), 2), np.int64), orientation, f"'{name}'")
    objects: list[_Object] = []
    kept: list[int] = []
    for index, lines in _label_lines(root, usable, frames, len(names), keypoints, problems):
        path = root / label_file(usable[index])
        objects += [_Object(len(kept), path, line) for line in lines]
        kept.append(index)
    if not kept:
        raise DataError(f"none of the {len(files)} images of '{root}' can be used.", got=problems.first())
    if keypoints is None:
        doubt = refuse_keypoints([known.line for known in objects], str(about.path or root / "data.yaml"))
        if doubt:
            _log.warning("%s of '%s': %s", name, root, doubt)
    frames = frames.select(np.array(kept, np.int64))
    boxes = _boxes(objects, frames, len(names), keypoints)
    annotations = checked(boxes, lambda m: f"line {objects[m].line.number} of '{objects[m].path}'", problems)
    images = FileImages(str(root), [usable[index] for index in kept], _COLOR)
    return BoxSplit(images, frames.turned(annotations))


def _label_lines(
    root: Path,
    files: Sequence[str],
    frames: Frames,
    classes: int,
    keypoints: tuple[int, int] | None,
    problems: Problems,
) -> Iterator[tuple[int, list[LabelLine]]]:
    """Yield the position and the objects of each image that can be used."""
    for index, file in enumerate(files):
        if (error := frames.errors.get(index)) is not None:
            problems.pass_on("undecodable" if os.path.exists(root / file) else "no_image", error)
            continue
        try:
            lines = read_labels(root / label_file(file), classes, keypoints, problems)
        except DataError as unreadable:
            problems.pass_on("unreadable", unreadable)
            continue
        yield index, lines


def _boxes(
    objects: Sequence[_Object], frames: Frames, classes: int, keypoints: tuple[int, int] | None
) -> FoundBoxes:
    """Return all objects as arrays, in pixels of the pictures they are drawn on."""
    owners_M = np.array([known.owner for known in objects], np.int64)
    corners_M = [corners(known.line.values, keypoints) for known in objects]
    boxes_M4 = np.array(corners_M, np.float64).reshape(-1, 4)
    return FoundBoxes(
        sizes_N2=frames.sizes_N2,
        ids_N=np.arange(len(frames.sizes_N2)),
        owners_M=owners_M,
        boxes_M4=boxes_M4 * np.tile(frames.sizes_N2[owners_M], 2),
        labels_M=np.array([known.line.label for known in objects], np.int64),
        difficult_M=np.zeros(len(objects), np.bool_),
        crowd_M=np.zeros(len(objects), np.bool_),
        areas_M=np.full(len(objects), np.nan),
        category_ids_C=np.arange(classes),
        in_pixels=False,
    )
