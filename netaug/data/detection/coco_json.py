"""COCO's JSON of instances, read into arrays; outlines are thrown away while it is read."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from netaug.data.detection.problems import Problems
from netaug.detect.annotations import Flags, Integers
from netaug.errors import DataError

_NUMBERS = 9  # of an object: id, image, category, x, y, width, height, area, crowd


@dataclass(frozen=True)
class CocoFile:
    """What one file says.

    Args:
        path: The file.
        files: File name of each of the N images.
        ids_N: Their ids.
        sizes_N2: Width and height in pixels; 0 where the file does not say.
        categories: Name by id, ids ascending.
        object_ids_M: Ids of the objects; the position in the file where there is none.
        owners_M: Which image each object is in, a position in ``files``.
        category_ids_M: Their categories' ids.
        boxes_M4: float64 corners in pixels.
        crowd_M: COCO's mark.
        areas_M: Areas in square pixels; NaN where there is none.
    """

    path: Path
    files: list[str]
    ids_N: Integers
    sizes_N2: Integers
    categories: dict[int, str]
    object_ids_M: Integers
    owners_M: Integers
    category_ids_M: Integers
    boxes_M4: npt.NDArray[np.float64]
    crowd_M: Flags
    areas_M: npt.NDArray[np.float64]


def read_coco(path: Path, problems: Problems) -> CocoFile:
    """Read a file of instances.

    Raises:
        DataError: It is no JSON, lacks a list, or has images or objects that cannot be used, unless passed over.
    """
    content = _parsed(path)
    for name in ("images", "annotations", "categories"):
        if not isinstance(content.get(name), list):
            raise DataError(
                f"'{path}' is no file of instances as COCO has them.",
                got=f"in it: {', '.join(list(content)[:8]) or 'nothing'}",
                allowed="lists called images, annotations and categories",
            )
    categories = _categories(path, content["categories"])
    files, ids_N, sizes_N2 = _images(path, content["images"], problems)
    table = _objects(path, content.pop("annotations"), problems)
    owners_M = _owners(table[:, 1], ids_N)
    known_M = np.isin(table[:, 2], np.array(list(categories), np.float64))
    for kind, wrong_M, column in (("unknown_image", owners_M < 0, 1), ("unknown_class", ~known_M, 2)):
        what = "image" if column == 1 else "category"
        article = "an" if column == 1 else "a"
        for row in np.flatnonzero(wrong_M).tolist():
            text = f"object {int(table[row, 0])} of '{path}' is of {article} {what} that is not listed."
            problems.note(kind, text, got=f"{what}_id {int(table[row, column])}")
    good = (owners_M >= 0) & known_M
    table, owners_M = table[good], owners_M[good]
    corners = np.concatenate([table[:, 3:5], table[:, 3:5] + table[:, 5:7]], axis=1)
    whole = table[:, :3].astype(np.int64)
    crowd_M = table[:, 8] > 0
    return CocoFile(
        path,
        files,
        ids_N,
        sizes_N2,
        categories,
        whole[:, 0],
        owners_M,
        whole[:, 2],
        corners,
        crowd_M,
        table[:, 7],
    )


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            content = json.load(file, object_hook=_slim)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"'{path}' is no JSON file.", got=error or type(error).__name__) from None
    return content if isinstance(content, dict) else {}


def _slim(entry: dict[str, Any]) -> Any:
    """An object of the file as a row of numbers, at once: a million as dictionaries with outlines take gigabytes."""
    if "image_id" not in entry or "category_id" not in entry:
        return entry
    box = entry.get("bbox")
    try:
        numbers = [entry.get("id", -1), entry["image_id"], entry["category_id"]]
        if not isinstance(box, list) or len(box) != 4 or any(type(one) is not int for one in numbers):
            raise ValueError
        area = entry.get("area")
        rest = [*box, math.nan if area is None else area, entry.get("iscrowd") or 0]
        return np.array([*numbers, *rest], np.float64)
    except (TypeError, ValueError):
        return {name: entry.get(name) for name in ("id", "image_id", "category_id", "bbox", "area")}


def _objects(path: Path, entries: list[Any], problems: Problems) -> npt.NDArray[np.float64]:
    rows = []
    for place, entry in enumerate(entries):
        if isinstance(entry, np.ndarray):
            if entry[0] < 0:
                entry[0] = place
            rows.append(entry)
        else:
            text = f"object {place} of '{path}' (counted from 0) is incomplete."
            allowed = "id, image_id and category_id as whole numbers, bbox as four numbers"
            problems.note("incomplete", text, got=str(entry)[:200], allowed=allowed)
    return np.stack(rows) if rows else np.empty((0, _NUMBERS))


def _categories(path: Path, entries: list[Any]) -> dict[int, str]:
    try:
        found = {int(entry["id"]): str(entry["name"]) for entry in entries}
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"the categories of '{path}' cannot be read.", allowed="id and name of each"
        ) from None
    if len(found) < len(entries) or len(set(found.values())) < len(found):
        raise DataError(f"'{path}' lists a category twice.", got=f"{len(entries)} categories")
    if not found:
        raise DataError(f"'{path}' lists no categories.")
    return dict(sorted(found.items()))


def _images(path: Path, entries: list[Any], problems: Problems) -> tuple[list[str], Integers, Integers]:
    files: dict[int, str] = {}
    sizes: list[tuple[int, int]] = []
    for place, entry in enumerate(entries):
        try:
            number, file = entry["id"], entry["file_name"]
            size = int(entry.get("width") or 0), int(entry.get("height") or 0)
            if type(number) is not int or not isinstance(file, str):
                raise TypeError
        except (AttributeError, KeyError, TypeError, ValueError):
            raise DataError(
                f"image {place} of '{path}' (counted from 0) is incomplete.",
                got=str(entry)[:200],
                allowed="id as a whole number, file_name as text, width and height as numbers",
            ) from None
        if number in files:
            text = f"'{path}' has two images with id {number}."
            problems.note("repeated", text, got=f"'{files[number]}' and '{file}'")
        else:
            files[number] = file
            sizes.append(size)
    if not files:
        raise DataError(f"'{path}' lists no images.")
    return list(files.values()), np.array(list(files), np.int64), np.array(sizes, np.int64)


def _owners(image_ids_M: npt.NDArray[np.float64], ids_N: Integers) -> Integers:
    """Positions of images by their ids; -1 where there is none."""
    order = np.argsort(ids_N)
    places = np.searchsorted(ids_N[order], image_ids_M)
    owners: Integers = order[np.minimum(places, len(ids_N) - 1)]
    return np.where(ids_N[owners] == image_ids_M, owners, -1)
