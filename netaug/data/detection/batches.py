"""A batch of images with boxes from its key."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from netaug.core.errors import DataError
from netaug.data.batch import DetectionBatch
from netaug.data.detection.decoded import read_checked, resized
from netaug.data.detection.sources import BoxSplit
from netaug.data.transforms.detection import BoxAugment
from netaug.data.transforms.letterbox import Placement, Region, canvas, letterbox
from netaug.detect.annotations import Floats, Integers
from netaug.detect.targets import BoxTargets

SEEN = 0.25
"""An object of which less than this fraction of its area is left is neither a target nor held against anything."""

_LEAST = 1.0  # pixels of width and height; what is smaller cannot be seen


class BoxKey(NamedTuple):
    """Names a batch, so that any process can make it.

    Args:
        draw: Which augmentation.
        side: Height and width of the images in pixels.
        indices_N: Positions in the split.
    """

    draw: int
    side: int
    indices_N: Integers


@dataclass(frozen=True)
class LoadedBoxes:
    """What comes back for a key. An error is a value: a raised one would arrive as a worker's traceback.

    Args:
        batch: The images; None when there was an error.
        skipped: Files left out because they do not decode or have another size than annotated.
        error: Why there is no batch.
    """

    batch: DetectionBatch | None
    skipped: tuple[str, ...] = ()
    error: DataError | None = None

    def pin_memory(self) -> LoadedBoxes:
        """Return the same with the batch in page-locked memory."""
        return self if self.batch is None else LoadedBoxes(self.batch.pin_memory(), self.skipped)


@dataclass(frozen=True)
class Objects:
    """The objects of one image on its canvas: corners in pixels, classes, and which are not to count."""

    boxes_M4: Floats
    labels_M: Integers
    ignored_M: npt.NDArray[np.bool_]


class Made(NamedTuple):
    """One finished image."""

    image_CHW: Tensor
    frame_6: npt.NDArray[np.float64]
    objects: list[Objects]


class BoxDataset(Dataset[LoadedBoxes]):
    """Maps a key to a batch.

    Args:
        split: Images and objects.
        augment: What is done to the images; None fits them in whole.
        skip_errors: Leave out files that do not decode.
    """

    def __init__(self, split: BoxSplit, augment: BoxAugment | None, *, skip_errors: bool) -> None:
        self.split, self.augment, self.skip_errors = split, augment, skip_errors

    def __getitem__(self, batch_key: BoxKey) -> LoadedBoxes:
        draw, side, indices_N = batch_key
        draws = [None] * len(indices_N) if self.augment is None else self.augment.draws(indices_N, draw)
        finished: list[Made] = []
        kept: list[int] = []
        skipped: list[str] = []
        for index, image_draws in zip(indices_N.tolist(), draws, strict=True):
            try:
                finished.append(self._make(index, image_draws, side))
                kept.append(index)
            except DataError as error:
                if not self.skip_errors:
                    return LoadedBoxes(None, error=error)
                skipped.append(self.split.images.path(index))
        if not finished:
            return LoadedBoxes(None, error=_nothing(skipped))
        return LoadedBoxes(collate(finished, np.array(kept, np.int64)), tuple(skipped))

    def _make(self, index: int, draws: npt.NDArray[np.float64] | None, side: int) -> Made:
        image_CHW = canvas(side)
        if self.augment is None or draws is None:
            width, height = self.split.read_sizes[index].tolist()
            return Made(image_CHW, *self._paint(image_CHW, index, letterbox(width, height, side)))
        frames, objects = [], []
        for part in self.augment.parts(index, draws, side):
            width, height = self.split.read_sizes[part.image].tolist()
            placement = self.augment.placement(part, (width, height), side)
            colors = self.augment.colors(part)
            frame, visible = self._paint(image_CHW, part.image, placement, colors)
            frames.append(frame)
            objects += visible
        return Made(image_CHW, frames[0], objects)

    def _paint(
        self,
        canvas_CHW: Tensor,
        index: int,
        placement: Placement,
        colors: tuple[float, float, float] | None = None,
    ) -> tuple[npt.NDArray[np.float64], list[Objects]]:
        """Paint one image where it belongs; its frame, and its objects there."""
        annotations = self.split.annotations
        (x0, y0, x1, y1), target = placement.source, placement.target
        piece_CHW = read_checked(self.split.images, annotations, index)[:, y0:y1, x0:x1]
        piece_CHW = resized(piece_CHW, target.height, target.width)
        if colors is not None:
            piece_CHW = change_colors(piece_CHW, color_matrix(*colors))
        if placement.mirrored:
            piece_CHW = piece_CHW.flip(-1)
        canvas_CHW[:, target.top : target.bottom, target.left : target.right] = piece_CHW
        width, height = self.split.read_sizes[index].tolist()
        file_width, file_height = annotations.sizes_N2[index].tolist()
        frame = placement.frame((width, height), (file_width, file_height))
        rows = annotations.of(index)
        ignored_M = annotations.difficult_M[rows] | annotations.crowd_M[rows]
        return frame, [seen(annotations.boxes_M4[rows], annotations.labels_M[rows], ignored_M, frame, target)]


def seen(
    boxes_M4: Floats,
    labels_M: Integers,
    ignored_M: npt.NDArray[np.bool_],
    frame_6: npt.NDArray[np.float64],
    target: Region,
) -> Objects:
    """Return what is left of an image's objects where it is painted.

    Args:
        boxes_M4: Corners in pixels of the file.
        labels_M: Their classes.
        ignored_M: Which do not count from the start.
        frame_6: How the file came to the canvas.
        target: The part of the canvas that the image covers.

    Returns:
        Boxes cut at the edges of ``target``. Those with less than a pixel of width or height left are gone; those of
        which less than :data:`SEEN` is left do not count.
    """
    factors, edges = np.tile(frame_6[:2], 2), np.tile(frame_6[2:4], 2)
    moved = boxes_M4.astype(np.float64) * factors + edges
    if frame_6[0] < 0:
        moved[:, [0, 2]] = moved[:, [2, 0]]
    low = np.array([target.left, target.top] * 2, np.float64)
    high = np.array([target.right, target.bottom] * 2, np.float64)
    cut = np.clip(moved, low, high)
    sides, whole = cut[:, 2:] - cut[:, :2], moved[:, 2:] - moved[:, :2]
    visible_M = (sides >= _LEAST).all(1)
    hidden = sides.prod(1) < SEEN * whole.prod(1)
    return Objects(cut[visible_M].astype(np.float32), labels_M[visible_M], (ignored_M | hidden)[visible_M])


def collate(finished: list[Made], indices_N: Integers) -> DetectionBatch:
    """Return one batch of finished images."""
    objects = [part for image in finished for part in image.objects]
    counts = [sum(len(part.labels_M) for part in image.objects) for image in finished]
    targets = BoxTargets(
        torch.from_numpy(np.concatenate([part.boxes_M4 for part in objects])),
        torch.from_numpy(np.concatenate([part.labels_M for part in objects])),
        torch.from_numpy(np.concatenate([part.ignored_M for part in objects])),
        torch.tensor(counts, dtype=torch.int64),
    )
    images_NCHW = torch.stack([image.image_CHW for image in finished])
    frames_N6 = torch.from_numpy(np.stack([image.frame_6 for image in finished]))
    return DetectionBatch(images_NCHW, targets, frames_N6, torch.from_numpy(indices_N))


def _nothing(skipped: list[str]) -> DataError:
    return DataError(
        "none of a batch's images can be used.",
        got=f"{len(skipped)} corrupt files, the first is '{skipped[0]}'",
        fix="repair or delete the files, or use larger batches",
    )


# Red, green and blue to luma and two chromas, rows Y, I, Q (FCC 1953, the analogue NTSC standard).
_YIQ = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_RGB = np.linalg.inv(_YIQ)


def color_matrix(brightness: float, saturation: float, hue: float) -> np.ndarray:
    """Return the 3 x 3 matrix that changes colors (red, green, blue); grays stay gray.

    Args:
        brightness: Factor on all values, at least 0.
        saturation: Factor on the distance from gray; 0 gives gray, 1 leaves it.
        hue: Turn of the color circle about the axis of grays; 1 is a whole turn.
    """
    angle = 2 * math.pi * hue
    cosine, sine = saturation * math.cos(angle), saturation * math.sin(angle)
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    matrix: np.ndarray = brightness * (_RGB @ turn @ _YIQ)
    return matrix


def change_colors(image_CHW: Tensor, matrix: np.ndarray) -> Tensor:
    """Multiply each pixel's colors with a matrix, to the nearest value in 0..255.

    NumPy's single operations give the same bits on every machine and for any number of threads.

    Args:
        image_CHW: uint8, shape ``[3, H, W]``.
        matrix: From :func:`color_matrix`.
    """
    values = image_CHW.numpy().astype(np.float32)
    out = np.empty(values.shape, np.uint8)
    part = np.empty(values.shape[1:], np.float32)
    for row, weights in enumerate(matrix.astype(np.float32)):
        mixed = values[0] * weights[0]
        mixed += np.multiply(values[1], weights[1], out=part)
        mixed += np.multiply(values[2], weights[2], out=part)
        mixed += np.float32(0.5)
        np.clip(mixed, 0, np.float32(255.5), out=mixed)
        np.copyto(out[row], mixed, casting="unsafe")  # cuts off decimals: rounds, by the half added above
    return torch.from_numpy(out)
