"""What loaders hand to the training loop: typed batches of uint8 images, and the facts about a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

import torch
from torch import Tensor

from netaug.detect.targets import BoxTargets


class Batch(Protocol):
    """What every batch has, whatever its task."""

    @property
    def images_NCHW(self) -> Tensor:  # noqa: N802
        """uint8 pixels, 0..255, shape ``[N, C, H, W]``; normalization happens on the device."""

    @property
    def indices_N(self) -> Tensor:  # noqa: N802
        """int64 positions in the split, shape ``[N]``; they name the samples in messages and logs."""

    @property
    def targets(self) -> Any:
        """What the loss compares the outputs with; it has ``to(device, non_blocking=...)`` and slices by images."""

    def __len__(self) -> int: ...

    def pin_memory(self) -> Self:
        """Return the same batch in page-locked memory; called by the loader when the device is CUDA."""


@dataclass(frozen=True)
class ClassificationBatch:
    """N images with their labels.

    Args:
        images_NCHW: uint8 pixels, 0..255, shape ``[N, C, H, W]``; normalization happens on the device.
        labels_N: int64 class indices, shape ``[N]``.
        indices_N: int64 positions in the split, shape ``[N]``; they name the samples in messages and logs.
    """

    images_NCHW: Tensor
    labels_N: Tensor
    indices_N: Tensor

    def __len__(self) -> int:
        return len(self.labels_N)

    @property
    def targets(self) -> Tensor:
        """Return what the loss compares the outputs with: ``labels_N``."""
        return self.labels_N

    def split(self, sizes: Sequence[int]) -> Iterator[ClassificationBatch]:
        """Yield batches of these numbers of images, one after the other, in the memory of this one."""
        tensors = (self.images_NCHW, self.labels_N, self.indices_N)
        for parts in zip(*(torch.split(tensor, list(sizes)) for tensor in tensors), strict=True):
            yield ClassificationBatch(*parts)

    def pin_memory(self) -> ClassificationBatch:
        """Return the same batch in page-locked memory; called by the loader when the device is CUDA."""
        return ClassificationBatch(
            self.images_NCHW.pin_memory(), self.labels_N.pin_memory(), self.indices_N.pin_memory()
        )


@dataclass(frozen=True)
class DetectionBatch:
    """N images with the objects in them.

    Args:
        images_NCHW: uint8 pixels, 0..255, shape ``[N, C, H, W]``; normalization happens on the device.
        targets: The objects, in pixels of these images.
        frames_N6: float64, how each image came from its file: factors on x and y, left and top edge of the file's image
            in the batch's, width and height of the file in pixels. A box of the file is at ``box * factor + edge``;
            where an image is mirrored the factor on x is below 0. Of a mosaic it is the frame of the image named.
        indices_N: int64 positions in the split, shape ``[N]``; they name the samples in messages and logs.
    """

    images_NCHW: Tensor
    targets: BoxTargets
    frames_N6: Tensor
    indices_N: Tensor

    def __len__(self) -> int:
        return len(self.indices_N)

    def pin_memory(self) -> DetectionBatch:
        """Return the same batch in page-locked memory; called by the loader when the device is CUDA."""
        return DetectionBatch(
            self.images_NCHW.pin_memory(),
            self.targets.pin_memory(),
            self.frames_N6.pin_memory(),
            self.indices_N.pin_memory(),
        )


@dataclass(frozen=True)
class DataInfo:
    """What a model and its user must know about a dataset.

    Args:
        name: The dataset's name in the configuration.
        class_names: Names in label order; their number is ``num_classes``.
        in_chans: Image channels.
        image_size: Height = width in pixels of the batches.
        mean: Per-channel mean of pixels scaled to [0, 1].
        std: Per-channel standard deviation, same scale.
        crop_ratio: Evaluation resizes to ``ceil(image_size / crop_ratio)`` and crops the center; 1.0 only
            resizes.
        train_size: Number of training images.
        val_size: Number of evaluation images.
        val_split: Where the evaluation images come from: ``val``, ``test`` or ``holdout``.
        metric: What results on it are customarily reported in, beside top-1 if it is another.
        task: Name of the kind of task, such as ``classify`` or ``detect``.
        anchors: Of detection: widths and heights of the anchors in pixels of the network's input, smallest first.
    """

    name: str
    class_names: tuple[str, ...]
    in_chans: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_ratio: float
    train_size: int
    val_size: int
    val_split: str
    metric: Literal["top1", "mean_per_class", "voc", "voc07", "coco"] = "top1"
    task: str = "classify"
    anchors: tuple[tuple[float, float], ...] = ()

    @property
    def num_classes(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)


class Normalizer:
    """Turns uint8 images into the network's input on the device: ``(pixel / 255 - mean) / std``, float32."""

    def __init__(
        self, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device, channels_last: bool
    ) -> None:
        self.device = device
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        shape = (1, -1, 1, 1)
        # In float64 first: scale and offset are then rounded once.
        std_255 = torch.tensor(std, dtype=torch.float64) * 255
        offset = torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)
        self._scale = (1 / std_255).float().view(shape).to(device)
        self._offset = (-offset).float().view(shape).to(device)

    def __call__(self, images_NCHW: Tensor) -> Tensor:
        """Move and normalize images, uint8 ``[N, C, H, W]`` in, float32 of the same shape out."""
        pixels = images_NCHW.to(self.device, non_blocking=True).to(
            torch.float32, memory_format=self.memory_format
        )
        return torch.addcmul(self._offset, pixels, self._scale, out=pixels)
