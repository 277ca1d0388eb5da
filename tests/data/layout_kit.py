"""What the writers of datasets in their official layouts share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 12


@dataclass(frozen=True)
class Expected:
    """What is in a written layout.

    Args:
        classes: Class names by label, as far as they are checked.
        num_classes: Number of classes.
        train: Training images: label by file, relative to the root; by position where images share a file.
        val: Evaluation images, the same.
    """

    classes: Mapping[int, str]
    num_classes: int
    train: dict[str, int]
    val: dict[str, int]


def picture(path: Path, side: int = SIDE) -> None:
    """Write an image whose content depends on its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(list(path.name.encode()))
    Image.fromarray(draws.integers(0, 256, (side, side + 2, 3), dtype=np.uint8)).save(path, "JPEG")


def pictures(root: Path, *splits: dict[str, int], side: int = SIDE) -> None:
    for split in splits:
        for name in split:
            picture(root / name, side)
