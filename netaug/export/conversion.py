"""A trained network on its way to a device: its float form, its int8 form and its memory, each made when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netaug.config.detect import DetectConfig
from netaug.data.batch import Batch, Normalizer
from netaug.data.prepared import EvalBatches
from netaug.detect.codec import STRIDES
from netaug.export.budget import MemoryNeed
from netaug.export.graph import ExportError, Graph
from netaug.export.int8 import GraphInt8, Int8Array
from netaug.export.micro.need import memory_need
from netaug.export.onnx_program import onnx_program
from netaug.export.quantize import quantize
from netaug.export.ranges import measure_ranges
from netaug.export.reference import decode, encode, run_int8
from netaug.export.tracing import float_graph
from netaug.tasks.base import Task
from netaug.weights.metadata import ModelCard


@dataclass(frozen=True, eq=False)
class Conversion:
    """Holds a network and the images that it is calibrated and checked on.

    Args:
        network: In evaluation mode, on the CPU; it is not changed.
        card: Says how it is fed; ``image_size`` is the side that it is exported for.
        calibration: Training images without augmentation, uint8.
        evaluation: Evaluation images, uint8.
        task: Says what is measured on the latter.
        val_split: Where they come from: ``val``, ``test`` or ``holdout``.
        dataset: Name of the dataset.
        percentile: How much of each calibration batch's values a range has to hold, in percent.
        detect: Of a detector: which predictions count.
        via: ``litert`` has `.tflite` files written by Google's converter.
        fetch: Whether packages for environments of other converters may be fetched.
    """

    network: nn.Module
    card: ModelCard
    calibration: EvalBatches
    evaluation: EvalBatches
    task: Task[Any, Any]
    val_split: str
    dataset: str
    percentile: float = 100.0
    detect: DetectConfig | None = None
    via: str | None = None
    fetch: bool = False

    @property
    def example_NCHW(self) -> Tensor:  # noqa: N802
        """Return two black images, float32 ``[2, C, H, W]``."""
        return torch.zeros(2, self.card.in_chans, self.card.image_size, self.card.image_size)

    def batches(self, images: EvalBatches) -> Iterator[tuple[Tensor, Batch]]:
        """Yield normalized float32 images ``[N, C, H, W]``, and the batches that they are from."""
        normalizer = Normalizer(self.card.mean, self.card.std, torch.device("cpu"), channels_last=False)
        for batch in images:
            yield normalizer(batch.images_NCHW), batch

    def sample(self, count: int) -> Tensor:
        """Return the first evaluation images, normalized, float32 ``[N, C, H, W]``; fewer if there are fewer.

        Raises:
            ExportError: There is none.
        """
        collected: list[Tensor] = []
        for images_NCHW, _ in self.batches(self.evaluation):
            collected.append(images_NCHW)
            if sum(map(len, collected)) >= count:
                break
        if not collected:
            raise ExportError("there are no images to check the export on.", got="0 evaluation images")
        return torch.cat(collected)[:count]

    @cached_property
    def floats(self) -> Graph:
        """Return the float form, in which batch norms are folded; raises ExportError for unknown operators."""
        return float_graph(self.network, self.example_NCHW)

    @cached_property
    def int8(self) -> GraphInt8:
        """Return the int8 form; raises ExportError without calibration images, or where a value is not finite."""
        images = (images_NCHW for images_NCHW, _ in self.batches(self.calibration))
        return quantize(self.floats, measure_ranges(self.floats, images, percentile=self.percentile))

    @cached_property
    def onnx(self) -> bytes:
        """Return the trained network as an ONNX file; raises ExportError where it cannot be one."""
        names = ["logits"] if self.detect is None else [f"stride{stride}" for stride in STRIDES]
        return onnx_program(self.network, self.example_NCHW, names)

    @cached_property
    def need(self) -> MemoryNeed:
        """Return the memory that one inference takes in int8."""
        return memory_need(self.network, self.example_NCHW)

    def trained(self, images_NCHW: Tensor) -> list[Tensor]:
        """Return the outputs of the trained network, float32 ``[N, classes]`` or maps ``[N, C, H, W]``."""
        with torch.no_grad():
            return as_list(self.network(images_NCHW))

    def encode(self, images_NCHW: Tensor) -> Int8Array:
        """Return normalized images as the int8 network reads them, ``[N, H, W, C]``."""
        return encode(self.int8.tensors[self.int8.inputs[0]], images_NCHW.permute(0, 2, 3, 1).numpy())

    def reference(self, images_NCHW: Tensor) -> Int8Array:
        """Return what the int8 form answers: int8 ``[N, K]``, all values of one output after another."""
        return flattened(run_int8(self.int8, self.encode(images_NCHW)))

    def decode(self, values_NK: Int8Array) -> list[Tensor]:
        """Return what values of :meth:`reference` stand for, in the form of :meth:`trained`."""
        tensors = [self.int8.tensors[name] for name in self.int8.outputs]
        ends = np.cumsum([np.prod(tensor.shape) for tensor in tensors])
        parts = np.split(values_NK, ends[:-1], axis=1)
        floats = [
            torch.from_numpy(decode(tensor, part.reshape(-1, *tensor.shape)))
            for tensor, part in zip(tensors, parts, strict=True)
        ]
        return [values.permute(0, 3, 1, 2) if values.ndim == 4 else values for values in floats]


def as_list(outputs: Tensor | tuple[Tensor, ...] | list[Tensor]) -> list[Tensor]:
    """Return what a network returns as a list of tensors."""
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def flattened(outputs: list[Int8Array]) -> Int8Array:
    """Return outputs ``[N, ...]`` as one array ``[N, K]``, all values of one output after another."""
    return np.concatenate([values.reshape(len(values), -1) for values in outputs], 1)
