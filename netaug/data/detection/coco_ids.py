"""Ids of COCO's files: whole numbers of any size, or strings; never through floating point."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from netaug.detect.annotations import Ids

Key = int | str
ALLOWED = "whole numbers or strings; written as floating point only below 2^53, where they differ"

_EXACT = 2**53
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,99}")


def key_of(value: object) -> Key | None:
    """Return what an id is known by: equal for 5, 5.0 and "5"; None for what cannot be an id."""
    if type(value) is int:  # isinstance would let true and false pass
        return value
    if type(value) is float:
        return int(value) if value.is_integer() and abs(value) < _EXACT else None
    if isinstance(value, str) and value:
        return int(value) if _NUMBER.fullmatch(value) else value
    return None


def shown(value: object) -> str:
    """Return an id for messages: strings in quotes."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def id_array(values: Sequence[object]) -> Ids:
    """Return ids in an array that keeps each as it is."""
    limits = np.iinfo(np.int64)
    if all(type(value) is int and limits.min <= value <= limits.max for value in values):
        return np.array(values, np.int64)
    ids = np.empty(len(values), object)
    ids[:] = values
    return ids


class ObjectRows:
    """Turns objects of a file into rows of numbers while it is read; ids become the places where they first came.

    Attributes:
        images: Number of each image id, in order.
        categories: Number of each category id, in order.
    """

    COLUMNS = 9
    """Own id, number of the image id, number of the category id, x, y, width, height, area, crowd."""

    def __init__(self) -> None:
        self.images: dict[Key, int] = {}
        self.categories: dict[Key, int] = {}
        self._others: list[object] = []  # own ids that a float64 does not hold

    def slim(self, entry: dict[str, Any]) -> Any:
        """Return an object as a row of numbers, at once: a million as dictionaries with outlines take gigabytes."""
        if "image_id" not in entry or "category_id" not in entry:
            return entry
        box, area = entry.get("bbox"), entry.get("area")
        image, category = key_of(entry["image_id"]), key_of(entry["category_id"])
        try:
            if image is None or category is None or not isinstance(box, list) or len(box) != 4:
                raise ValueError
            numbers = [*box, np.nan if area is None else area, entry.get("iscrowd") or 0]
            row = np.array([0, 0, 0, *numbers], np.float64)
        except (TypeError, ValueError, OverflowError):
            return {name: entry.get(name) for name in ("id", "image_id", "category_id", "bbox", "area")}
        row[0] = self._own(entry.get("id"))
        row[1] = self.images.setdefault(image, len(self.images))
        row[2] = self.categories.setdefault(category, len(self.categories))
        return row

    def _own(self, value: object) -> float:
        if value is None:
            return -1
        if type(value) is int and 0 <= value < _EXACT:
            return value
        self._others.append(value)
        return -1 - len(self._others)

    def own_id(self, code: float, position: int) -> str:
        """Return an object's own id for messages; its place in the file where it has none."""
        if code == -1:
            return str(position)
        return str(int(code)) if code >= 0 else shown(self._others[int(-2 - code)])
