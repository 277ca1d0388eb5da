"""Checks the objects of a dataset with boxes, beside what is checked of its images."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netaug.core.errors import DataError
from netaug.data.detection.decoded import read_checked
from netaug.data.detection.files import sizes_of
from netaug.data.detection.objects import without_objects
from netaug.data.detection.problems import KINDS, Problems
from netaug.data.detection.sources import BoxSource, BoxSplit
from netaug.data.registry import Split
from netaug.data.store import FileImages
from netaug.datacheck.counts import SplitCounts
from netaug.datacheck.scan import Findings

BoxSplits = Sequence[tuple[str, BoxSplit]]

_SMALL, _LARGE = 32**2, 96**2  # square pixels of the file: COCO's limits of small and large
_FINEST = 8  # pixels of the input that a cell of the finest map covers


@dataclass(frozen=True)
class BoxFacts:
    """Holds the counts and sizes of one split's objects.

    Args:
        split: Its name.
        images: Number of images.
        negatives: Images without an object.
        objects: Number of objects.
        difficult: Those marked difficult.
        crowd: Those that are crowds.
        width: Median width in pixels of the file; 0 without objects.
        height: Median height.
        small: Share of objects below 32 x 32 pixels of the file, by area, as COCO counts.
        large: Share of objects of 96 x 96 pixels and more.
        tiny: Objects narrower or lower than 8 pixels of the network's input, if its side is known.
    """

    split: str
    images: int
    negatives: int
    objects: int
    difficult: int
    crowd: int
    width: float
    height: float
    small: float
    large: float
    tiny: int | None


def splits_of(source: BoxSource) -> BoxSplits:
    """Return a dataset's splits by name."""
    val = [] if source.val is None else [(source.val_split, source.val)]
    return [("train", source.train), *val]


def box_facts(name: str, split: BoxSplit, side: int | None) -> BoxFacts:
    """Count a split's objects and measure them."""
    annotations = split.annotations
    sizes = (annotations.boxes_M4[:, 2:] - annotations.boxes_M4[:, :2]).astype(np.float64)
    width, height = np.median(sizes, axis=0).tolist() if len(sizes) else (0.0, 0.0)
    tiny = None
    if side is not None:
        factors = side / annotations.sizes_N2.max(1)[annotations.owners] if len(sizes) else np.ones(0)
        tiny = int((sizes.min(1) * factors < _FINEST).sum()) if len(sizes) else 0
    count = max(1, len(sizes))
    return BoxFacts(
        split=name,
        images=len(annotations),
        negatives=int((np.diff(annotations.starts_N1) == 0).sum()),
        objects=len(sizes),
        difficult=int(annotations.difficult_M.sum()),
        crowd=int(annotations.crowd_M.sum()),
        width=width,
        height=height,
        small=float((annotations.areas_M < _SMALL).sum() / count),
        large=float((annotations.areas_M >= _LARGE).sum() / count),
        tiny=tiny,
    )


def fact_lines(facts: Sequence[BoxFacts], side: int | None) -> Iterator[str]:
    """Return the facts as lines for a terminal."""
    for counts in facts:
        marks = [f"{counts.negatives:,} images without objects"]
        marks += [f"{counts.difficult:,} difficult"] if counts.difficult else []
        marks += [f"{counts.crowd:,} crowds"] if counts.crowd else []
        yield f"{counts.split}: {counts.objects:,} objects in {counts.images:,} images; {', '.join(marks)}"
        if counts.objects:
            yield (
                f"  median {counts.width:.0f} x {counts.height:.0f} pixels of the file; by COCO's limits "
                f"{counts.small:.0%} small, {counts.large:.0%} large"
            )
        if counts.tiny:
            yield (
                f"  {counts.tiny:,} are less than {_FINEST} pixels wide or high at {side} x {side}: "
                "hardly to be found; a larger --data.image_size helps"
            )


def object_counts(source: BoxSource) -> list[SplitCounts]:
    """Count the objects of each split and class."""
    rows = []
    for name, split in splits_of(source):
        counts = np.bincount(split.annotations.labels_M, minlength=len(source.class_names)).tolist()
        rows.append(SplitCounts(name, len(split), None, dict(zip(source.class_names, counts, strict=True))))
    return rows


def class_lines(rows: Sequence[SplitCounts]) -> Iterator[str]:
    """Return a line for each class: its objects in each split."""
    names = list(rows[0].per_class)
    width = max(len(name) for name in names)
    middle = statistics.median(rows[0].per_class.values())
    for name in names:
        counts = "  ".join(f"{row.split} {row.per_class[name]:>7,}" for row in rows)
        rare = "  rare: a tenth of the median class or less" if rows[0].per_class[name] * 10 <= middle else ""
        yield f"  {name.ljust(width)}  {counts}{rare}"


def absent(rows: Sequence[SplitCounts]) -> list[str]:
    """Return sentences about classes without objects."""
    sentences = []
    for row in rows:
        names = [name for name, count in row.per_class.items() if count == 0]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        if names:
            sentences.append(f"{row.split}: no objects of {', '.join(names[:5])}{more}")
    return sentences


def uncounted(splits: BoxSplits) -> list[str]:
    """Return sentences about splits none of whose objects counts; those without objects lack classes already."""
    pairs = [
        (name, without_objects(split.annotations))
        for name, split in splits
        if len(split.annotations.labels_M)
    ]
    return [f"{name}: no object counts: {instead}" for name, instead in pairs if instead is not None]


def box_complaints(problems: Problems, shown: int) -> list[str]:
    """Return sentences about what is wrong with annotations: kind by kind, with the first of each."""
    sentences = []
    for kind, text in KINDS.items():
        if count := problems.counts[kind]:
            examples = problems.examples[kind][:shown]
            more = f"\n           and {count - len(examples):,} more" if count > len(examples) else ""
            sentences.append(
                f"{count:,} {text}" + "".join(f"\n           {example}" for example in examples) + more
            )
    return sentences


def check_sizes(splits: BoxSplits, findings: Findings, problems: Problems) -> None:
    """Note images whose size is not what their annotation says; only those in doubt are decoded."""
    turned = {item.name for item in findings.items.get("rotated", [])}
    for _, split in splits:
        assert isinstance(split.images, FileImages), "readers hand over files"
        paths = [split.images.path(index) for index in range(len(split))]
        for index, size in enumerate(sizes_of(Path(), paths)):
            said = tuple(split.annotations.sizes_N2[index].tolist())
            if isinstance(size, DataError) or (size == said and paths[index] not in turned):
                continue  # what does not decode is among the findings
            try:
                read_checked(split.images, split.annotations, index)
            except DataError as error:
                problems.pass_on("other_size", error)


def as_images(splits: BoxSplits) -> list[tuple[str, Split]]:
    """Return the splits as images without labels, for the checks of images."""
    images = []
    for name, split in splits:
        assert isinstance(split.images, FileImages), "readers hand over files"
        images.append((name, Split(split.images, np.zeros(len(split), np.int64))))
    return images


def as_json(facts: Sequence[BoxFacts], problems: Problems) -> dict[str, Any]:
    """Return the facts as plain values for JSON."""
    return {
        "objects": [vars(counts) for counts in facts],
        "annotations": {kind: problems.examples.get(kind, []) for kind in KINDS},
    }
