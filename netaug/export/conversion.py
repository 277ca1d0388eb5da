"""A trained network on its way to a device: its float form, its int8 form and its memory, each made when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from netaug.data.batch import Normalizer
from netaug.data.prepared import EvalBatches
from netaug.export.budget import MemoryNeed
from netaug.export.graph import ExportError, FloatArray, Graph
from netaug.export.int8 import GraphInt8, Int8Array
from netaug.export.micro.need import memory_need
from netaug.export.quantize import quantize
from netaug.export.ranges import measure_ranges
from netaug.export.reference import encode, run_int8
from netaug.export.tracing import float_graph
from netaug.weights.metadata import ModelCard


@dataclass(frozen=True, eq=False)
class Conversion:
    """Holds a network and the images that it is calibrated and checked on.

    Args:
        network: A classifier in evaluation mode, on the CPU; it is not changed.
        card: Says how it is fed; ``image_size`` is the side that it is exported for.
        calibration: Training images without augmentation, uint8.
        evaluation: Evaluation images, uint8.
        val_split: Where the latter come from: ``val``, ``test`` or ``holdout``.
        dataset: Name of the dataset.
        percentile: How much of each calibration batch's values a range has to hold, in percent.
    """

    network: nn.Module
    card: ModelCard
    calibration: EvalBatches
    evaluation: EvalBatches
    val_split: str
    dataset: str
    percentile: float = 100.0

    @property
    def example_NCHW(self) -> Tensor:  # noqa: N802
        """Return two black images, float32 ``[2, C, H, W]``."""
        return torch.zeros(2, self.card.in_chans, self.card.image_size, self.card.image_size)

    def batches(self, images: EvalBatches) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalized float32 images ``[N, C, H, W]`` and int64 labels ``[N]``."""
        normalizer = Normalizer(self.card.mean, self.card.std, torch.device("cpu"), channels_last=False)
        for batch in images:
            yield normalizer(batch.images_NCHW), batch.targets

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
    def need(self) -> MemoryNeed:
        """Return the memory that one inference takes in int8."""
        return memory_need(self.network, self.example_NCHW)

    def encode(self, images_NCHW: Tensor) -> Int8Array:
        """Return normalized images as the int8 network reads them, ``[N, H, W, C]``."""
        return encode(self.int8.tensors[self.int8.inputs[0]], images_NCHW.permute(0, 2, 3, 1).numpy())

    def logits(self, images_NCHW: Tensor) -> FloatArray:
        """Return what the trained network answers, float32 ``[N, classes]``."""
        with torch.no_grad():
            logits: FloatArray = self.network(images_NCHW).numpy()
        return logits

    def reference(self, images_NCHW: Tensor) -> Int8Array:
        """Return what the int8 form answers, int8 ``[N, classes]``."""
        outputs = run_int8(self.int8, self.encode(images_NCHW))
        return np.concatenate([values.reshape(len(images_NCHW), -1) for values in outputs], 1)
