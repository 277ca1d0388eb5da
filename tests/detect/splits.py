"""Annotated splits and predictions of them for tests: drawn at random, or written by hand."""

from __future__ import annotations

import numpy as np

from netaug.detect.annotations import Annotations


def split(objects: list[list[tuple]], *, classes: int = 3, side: int = 100) -> Annotations:
    """Annotations of images that are lists of (label, box) or (label, box, "difficult" or "crowd")."""
    flat = [entry for image in objects for entry in image]
    boxes = np.array([entry[1] for entry in flat], dtype=np.float32).reshape(-1, 4)
    marks = [entry[2] if len(entry) > 2 else "" for entry in flat]
    return Annotations(
        sizes_N2=np.full((len(objects), 2), side, dtype=np.int64),
        boxes_M4=boxes,
        labels_M=np.array([entry[0] for entry in flat], dtype=np.int64),
        difficult_M=np.array([mark == "difficult" for mark in marks], dtype=bool),
        crowd_M=np.array([mark == "crowd" for mark in marks], dtype=bool),
        areas_M=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1).astype(np.float32),
        starts_N1=np.cumsum([0, *(len(image) for image in objects)]).astype(np.int64),
        ids_N=np.arange(len(objects), dtype=np.int64) * 7 + 3,
        category_ids_C=np.arange(classes, dtype=np.int64) * 5 + 2,
    )


def rows(*predictions: tuple) -> np.ndarray:
    """Predictions from (image, class, score, box)."""
    return np.array([(i, c, s, *box) for i, c, s, box in predictions], dtype=np.float64).reshape(-1, 7)


def random_split(
    seed: int, *, images: int = 12, classes: int = 3, marks: tuple[str, ...] = ("difficult",)
) -> tuple:
    """A split with images that have no objects, and predictions: near objects, doubled, wrong, with equal scores."""
    draw = np.random.default_rng(seed)
    objects, found = [], []
    for image in range(images):
        here = []
        for _ in range(draw.integers(0, 7)):
            box = _box(draw)
            label = int(draw.integers(classes - 1))  # the last class has no objects
            here.append((label, box, str(draw.choice(["", "", "", *marks]))))
            for _ in range(draw.integers(0, 3)):
                moved = np.asarray(box) + draw.normal(0, 4, 4)
                moved[2:] = np.maximum(moved[:2] + 1, moved[2:])
                said = label if draw.random() < 0.8 else int(draw.integers(classes))
                found.append((image, said, round(draw.random(), 1), tuple(moved)))
        found += [(image, int(draw.integers(classes)), round(draw.random(), 1), _box(draw)) for _ in range(2)]
        objects.append(here)
    order = draw.permutation(len(found))
    return rows(*(found[i] for i in order)), split(objects, classes=classes)


def _box(draw: np.random.Generator) -> tuple[float, ...]:
    left, top = draw.integers(0, 70, 2)
    width, height = draw.integers(4, 60, 2)
    return float(left), float(top), float(left + width), float(top + height)
