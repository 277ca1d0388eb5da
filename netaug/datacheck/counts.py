"""Counts the images of each class in each split, and compares them with the published counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netaug.data.registry import Published, Source, Split


@dataclass(frozen=True)
class SplitCounts:
    """Holds the image counts of one split.

    Args:
        split: Its name.
        images: Their number.
        published: Their number as published; None if it is not.
        per_class: Number of images by class name.
    """

    split: str
    images: int
    published: int | None
    per_class: dict[str, int]


def count(source: Source, facts: Published | None) -> list[SplitCounts]:
    """Count the images of each split and class."""
    rows = [_count("train", source.train, source, facts.train if facts else None)]
    if source.val is not None:
        rows.append(_count(source.val_split, source.val, source, facts.val if facts else None))
    return rows


def _count(name: str, split: Split, source: Source, published: int | None) -> SplitCounts:
    per_class = np.bincount(split.labels_N, minlength=len(source.class_names)).tolist()
    return SplitCounts(name, len(split), published, dict(zip(source.class_names, per_class, strict=True)))


def complaints(rows: list[SplitCounts], facts: Published | None) -> list[str]:
    """Return a sentence for each count that differs from the published one."""
    sentences = []
    classes = len(rows[0].per_class)
    if facts is not None and classes != facts.num_classes:
        sentences.append(f"{classes:,} classes instead of the published {facts.num_classes:,}")
    for number, row in enumerate(rows):
        if row.published is not None and row.images != row.published:
            word = "missing" if row.images < row.published else "too many"
            sentences.append(
                f"{row.split}: {row.images:,} images instead of the published {row.published:,}, "
                f"{abs(row.published - row.images):,} {word}"
            )
        limits = None
        if facts is not None:
            limits = facts.val_per_class if number else facts.train_per_class
        sentences += _per_class(row, limits)
    return sentences


def _per_class(row: SplitCounts, limits: tuple[int, int] | None) -> list[str]:
    empty = [name for name, images in row.per_class.items() if images == 0]
    found = [f"{row.split}: no images of {_some(empty)}"] if empty else []
    if limits is not None:
        low, high = limits
        off = [
            f"{name} {images}"
            for name, images in row.per_class.items()
            if images and not low <= images <= high
        ]
        span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        if off:
            found.append(f"{row.split}: a class has {span} images as published, but {_some(off)}")
    return found


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
