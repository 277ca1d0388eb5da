"""Photographs that EXIF turns: which picture boxes were drawn on, the upright one or the one that is stored."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from netaug.core.errors import DataError
from netaug.core.parallel import default_jobs, in_threads
from netaug.data.decode.image import read_frame
from netaug.detect.annotations import Annotations, Flags, Integers

Orientation = Literal["auto", "upright", "stored"]

_UPRIGHT, _SIDEWAYS = 1, 5  # EXIF's numbers; from 5 on width and height change places
_log = logging.getLogger("netaug")


@dataclass(frozen=True)
class Frames:
    """The pictures that boxes are drawn on.

    Args:
        sizes_N2: Their width and height in pixels.
        turns_N: EXIF's number of how each is still to be turned; 1 leaves it.
        errors: What is wrong with files that had to be looked at, by position.
    """

    sizes_N2: Integers
    turns_N: Integers
    errors: dict[int, DataError]

    def select(self, indices: Integers) -> Frames:
        """Return those at ``indices``, in that order, none of which had an error."""
        return Frames(self.sizes_N2[indices], self.turns_N[indices], {})

    def turned(self, annotations: Annotations) -> Annotations:
        """Return boxes on the upright pictures, of boxes on these."""
        if (self.turns_N == _UPRIGHT).all():
            return annotations
        turns_M = self.turns_N[annotations.owners]
        width_M, height_M = annotations.sizes_N2[annotations.owners].T.astype(np.float64)
        left, top, right, bottom = annotations.boxes_M4.T.astype(np.float64)
        across, down = (width_M - right, width_M - left), (height_M - bottom, height_M - top)
        edges = {  # of left, right, top, bottom for each of EXIF's numbers
            2: (across, (top, bottom)),
            3: (across, down),
            4: ((left, right), down),
            5: ((top, bottom), (left, right)),
            6: (down, (left, right)),
            7: (down, across),
            8: ((top, bottom), across),
        }
        boxes_M4 = annotations.boxes_M4.copy()
        for turn, ((left_M, right_M), (top_M, bottom_M)) in edges.items():
            own_M = turns_M == turn
            boxes_M4[own_M] = np.stack([left_M, top_M, right_M, bottom_M], axis=1)[own_M]
        sideways_N = self.turns_N >= _SIDEWAYS
        sizes_N2 = np.where(sideways_N[:, None], annotations.sizes_N2[:, ::-1], annotations.sizes_N2)
        return replace(annotations, sizes_N2=sizes_N2, boxes_M4=boxes_M4)


def find_frames(
    root: Path, files: Sequence[str], annotated_N2: Integers, orientation: Orientation, split: str
) -> Frames:
    """Find how large the pictures are that boxes are drawn on, and how they are turned.

    Args:
        root: What files are relative to.
        files: The N images.
        annotated_N2: Width and height that the annotations name; 0 where they name none.
        orientation: ``upright`` and ``stored`` say which picture was drawn on, also where the annotation has the size
            of the other one; ``auto`` is ``upright``, and leaves a size that contradicts it to be refused.
        split: What they are, for the log.
    """
    unknown_N: Flags = np.asarray((annotated_N2 <= 0).any(1))
    to_read = np.flatnonzero(unknown_N if orientation == "auto" else np.ones(len(files), np.bool_)).tolist()
    sizes_N2, turns_N = annotated_N2.copy(), np.full(len(files), _UPRIGHT, np.int64)
    errors: dict[int, DataError] = {}
    turned = 0
    for index, header in zip(to_read, _read_headers(root, [files[i] for i in to_read]), strict=True):
        if isinstance(header, DataError):
            errors[index] = header
            continue
        height, width, turn = header
        upright = (width, height)
        stored = (height, width) if turn >= _SIDEWAYS else upright
        turned += turn != _UPRIGHT
        # An annotation of neither size stays as it is: reading the image refuses it, with the file's size.
        if unknown_N[index] or tuple(annotated_N2[index].tolist()) in (upright, stored):
            sizes_N2[index] = stored if orientation == "stored" else upright
            turns_N[index] = turn if orientation == "stored" else _UPRIGHT
    if turned:
        _warn_of_turned(turned, split, orientation)
    return Frames(sizes_N2, turns_N, errors)


def _read_headers(root: Path, files: Sequence[str]) -> list[tuple[int, int, int] | DataError]:
    """Return height, width and EXIF's number of each file, read in threads; an error for what is not an image."""

    def read(index: int) -> tuple[int, int, int] | DataError:
        try:
            return read_frame(os.path.join(root, files[index]))
        except DataError as error:
            return error

    return list(in_threads(read, len(files), "reading image sizes", default_jobs()))


def _warn_of_turned(count: int, split: str, orientation: Orientation) -> None:
    stored = orientation == "stored"
    drawn = "stored picture, and turned with it" if stored else "upright picture, as it is shown"
    text = "%d images of %s are turned by EXIF: boxes are taken as drawn on the %s (data.box_orientation %s)."
    _log.warning(text, count, split, drawn, orientation)
