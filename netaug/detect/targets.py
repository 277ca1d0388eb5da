"""What a detector is to find in a batch of images: boxes of all images, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BoxTargets:
    """Holds the M objects of N images. Those of an image are consecutive, images in order.

    Args:
        boxes_M4: float32 corners (left, top, right, bottom) in pixels of the network's input.
        labels_M: int64 class indices.
        ignored_M: bool; a difficult object or a crowd, which is neither a target nor counted against a prediction.
        counts_N: int64, how many objects each image has; they add up to M. Always on the CPU, so that asking how
            many there are does not wait for a device.
    """

    boxes_M4: Tensor
    labels_M: Tensor
    ignored_M: Tensor
    counts_N: Tensor

    def __len__(self) -> int:
        """Return N, the number of images."""
        return len(self.counts_N)

    def __getitem__(self, rows: slice) -> BoxTargets:
        """Return the targets of some consecutive images."""
        start, stop, step = rows.indices(len(self))
        assert step == 1, "consecutive images only"
        ends = [0, *self.counts_N.cumsum(0).tolist()]
        objects = slice(ends[start], ends[max(start, stop)])
        return BoxTargets(
            self.boxes_M4[objects], self.labels_M[objects], self.ignored_M[objects], self.counts_N[rows]
        )

    @property
    def owners(self) -> Tensor:
        """Return which of the N images each object is in, int64 ``[M]``."""
        owners = torch.arange(len(self)).repeat_interleave(self.counts_N, output_size=len(self.labels_M))
        return owners.to(self.labels_M.device, non_blocking=True)

    def to(self, device: torch.device, *, non_blocking: bool = False) -> BoxTargets:
        """Return the same on a device."""
        boxes, labels, ignored, counts = self._tensors()
        return BoxTargets(
            boxes.to(device, non_blocking=non_blocking),
            labels.to(device, non_blocking=non_blocking),
            ignored.to(device, non_blocking=non_blocking),
            counts,
        )

    def pin_memory(self) -> BoxTargets:
        """Return the same in page-locked memory."""
        return BoxTargets(*(tensor.pin_memory() for tensor in self._tensors()))

    def _tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.boxes_M4, self.labels_M, self.ignored_M, self.counts_N
