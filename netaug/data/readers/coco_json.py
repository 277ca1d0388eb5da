"""COCO's JSON of instances, read into arrays; outlines are thrown away while it is read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from netaug.core.errors import DataError
from netaug.core.text_files import read_text
from netaug.data.detection.coco_ids import ALLOWED, Key, ObjectRows, id_array, key_of, shown
from netaug.data.detection.problems import Problems
from netaug.detect.annotations import Flags, Ids, Integers


class Category(NamedTuple):
    """A class of a file.

    Args:
        id: As written in the file.
        name: What it is called.
    """

    id: object
    name: str


@dataclass(frozen=True)
class CocoFile:
    """The content of one file.

    Args:
        path: The file.
        files: File name of each of the N images.
        ids_N: Their ids, as written in the file.
        sizes_N2: Width and height in pixels; 0 where the file does not say.
        categories: By key of the id; whole numbers ascending, then strings.
        names_M: Ids of the objects for messages; the position in the file where there is none.
        owners_M: Which image each object is in, a position in ``files``.
        categories_M: Which category each is of, a position in ``categories``.
        boxes_M4: float64 corners in pixels.
        crowd_M: COCO's mark.
        areas_M: Areas in square pixels; NaN where there is none.
    """

    path: Path
    files: list[str]
    ids_N: Ids
    sizes_N2: Integers
    categories: dict[Key, Category]
    names_M: npt.NDArray[np.object_]
    owners_M: Integers
    categories_M: Integers
    boxes_M4: npt.NDArray[np.float64]
    crowd_M: Flags
    areas_M: npt.NDArray[np.float64]


def read_coco(path: Path, problems: Problems) -> CocoFile:
    """Read a file of instances.

    Raises:
        DataError: It is not JSON or lacks a list; or an image or object cannot be used, unless problems are skipped.
    """
    rows = ObjectRows()
    content = _parsed(path, rows)
    categories = _categories(path, content["categories"])
    files, ids, sizes_N2 = _images(path, content["images"], problems)
    table, names = _objects(path, content.pop("annotations"), rows, problems)
    owners_M = _positions(rows.images, ids)[table[:, 1].astype(np.int64)]
    categories_M = _positions(rows.categories, categories)[table[:, 2].astype(np.int64)]
    for kind, positions_M, keys, column in (
        ("unknown_image", owners_M, list(rows.images), 1),
        ("unknown_class", categories_M, list(rows.categories), 2),
    ):
        noun = "an image" if column == 1 else "a category"
        for row in np.flatnonzero(positions_M < 0).tolist():
            text = f"object {names[row]} of '{path}' is of {noun} that is not listed."
            problems.note(kind, text, got=f"{noun.split()[1]}_id {shown(keys[int(table[row, column])])}")
    known_M = (owners_M >= 0) & (categories_M >= 0)
    table = table[known_M]
    return CocoFile(
        path=path,
        files=files,
        ids_N=id_array(list(ids.values())),
        sizes_N2=sizes_N2,
        categories=categories,
        names_M=names[known_M],
        owners_M=owners_M[known_M],
        categories_M=categories_M[known_M],
        boxes_M4=np.concatenate([table[:, 3:5], table[:, 3:5] + table[:, 5:7]], axis=1),
        crowd_M=table[:, 8] > 0,
        areas_M=table[:, 7],
    )


def _parsed(path: Path, rows: ObjectRows) -> dict[str, Any]:
    """Return the content of a file, with its three lists; objects that are whole are rows of numbers already."""
    try:
        content = json.loads(read_text(path, "annotation file"), object_hook=rows.slim)
    except (ValueError, RecursionError) as error:  # also of numbers with thousands of digits
        raise DataError(f"'{path}' is not a JSON file.", got=error or type(error).__name__) from None
    content = content if isinstance(content, dict) else {}
    for name in ("images", "annotations", "categories"):
        if not isinstance(content.get(name), list):
            raise DataError(
                f"'{path}' is not a file of instances as COCO has them.",
                got=f"in it: {', '.join(list(content)[:8]) or 'nothing'}",
                allowed="lists called images, annotations and categories",
            )
    return content


def _objects(
    path: Path, entries: list[Any], rows: ObjectRows, problems: Problems
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.object_]]:
    """Return the rows of all objects, and what each is called in messages."""
    rows_M, names = [], []
    for position, entry in enumerate(entries):
        if isinstance(entry, np.ndarray):
            rows_M.append(entry)
            names.append(rows.own_id(entry[0], position))
        else:
            text = f"object {position} of '{path}' (counted from 0) is incomplete."
            allowed = f"image_id and category_id ({ALLOWED}), bbox as four numbers"
            problems.note("incomplete", text, got=str(entry)[:200], allowed=allowed)
    table = np.stack(rows_M) if rows_M else np.empty((0, ObjectRows.COLUMNS))
    return table, np.array(names, object)


def _positions(numbers: dict[Key, int], listed: dict[Key, Any]) -> Integers:
    """Return the position in a list of the id with each number; -1 where it is not listed."""
    positions = {key: position for position, key in enumerate(listed)}
    return np.array([positions.get(key, -1) for key in numbers], np.int64)


def _categories(path: Path, entries: list[Any]) -> dict[Key, Category]:
    categories: dict[Key, Category] = {}
    for entry in entries:
        key = key_of(entry.get("id")) if isinstance(entry, dict) else None
        if key is None or "name" not in entry:
            raise DataError(
                f"the categories of '{path}' cannot be read.",
                got=str(entry)[:200],
                allowed=f"id and name of each; ids are {ALLOWED}",
            )
        categories[key] = Category(entry["id"], str(entry["name"]))
    if len(categories) < len(entries) or len({category.name for category in categories.values()}) < len(
        categories
    ):
        raise DataError(f"'{path}' lists a category twice.", got=f"{len(entries)} categories")
    if not categories:
        raise DataError(f"'{path}' lists no categories.")
    return dict(sorted(categories.items(), key=lambda item: (isinstance(item[0], str), item[0])))


def _images(
    path: Path, entries: list[Any], problems: Problems
) -> tuple[list[str], dict[Key, object], Integers]:
    """Return the file names, ids by key, and sizes."""
    files: dict[Key, str] = {}
    ids: dict[Key, object] = {}
    sizes: list[tuple[int, int]] = []
    for position, entry in enumerate(entries):
        try:
            key, file = key_of(entry["id"]), entry["file_name"]
            size = int(entry.get("width") or 0), int(entry.get("height") or 0)
            if key is None or not isinstance(file, str):
                raise TypeError  # reported below, as every other way to be incomplete
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
            raise DataError(
                f"image {position} of '{path}' (counted from 0) is incomplete.",
                got=str(entry)[:200],
                allowed=f"id ({ALLOWED}), file_name as text, width and height as numbers",
            ) from None
        if key in files:
            text = f"'{path}' has two images with id {shown(entry['id'])}."
            problems.note("repeated", text, got=f"'{files[key]}' and '{file}'")
        else:
            files[key], ids[key] = file, entry["id"]
            sizes.append(size)
    if not files:
        raise DataError(f"'{path}' lists no images.")
    return list(files.values()), ids, np.array(sizes, np.int64)
