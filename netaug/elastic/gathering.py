"""Gathers wide weights by one index: where in the concatenated parameters each of their elements is.

The index is made on the host by copying blocks of positions, as the weights themselves are copied there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netaug.elastic.blocks import Blocks, Source, memory_format_of

_ALIGNMENT = 64
"""Elements from the start of one gathered tensor to that of another are a multiple of this."""
_CACHED_BYTES = 64 * 2**20
"""Memory for index arrays that are kept from one step to the next, per supernet."""


class IndexCache:
    """Keeps index arrays of tensors, as few widths come up again and again, within a budget of memory."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[Any, ...], tuple[Blocks, np.ndarray[Any, np.dtype[np.int32]]]] = {}
        self._bytes = 0

    def of(self, blocks: Blocks, sources: Sequence[Source]) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Return the position in the tensor's concatenated sources of each of its elements, in the order of memory."""
        name = (id(blocks), *(source.memory_format for source in sources))
        kept, array = self._arrays.get(name, (None, None))
        if kept is blocks and array is not None:  # an id can come again, also in a copy of the supernet
            return array
        starts = itertools.accumulate((source.shape.numel() for source in sources), initial=0)
        positions = [
            _laid_out(
                np.arange(start, start + source.shape.numel(), dtype=np.int32),
                source.shape,
                source.memory_format,
            )
            for start, source in zip(starts, sources, strict=False)
        ]
        array = np.empty(math.prod(blocks.shape), np.int32)
        view = _laid_out(array, blocks.shape, sources[0].memory_format)
        for source, start, target in blocks.blocks:
            view[target] = positions[source][start]
        if self._bytes + array.nbytes <= _CACHED_BYTES:
            self._bytes += array.nbytes
            self._arrays[name] = blocks, array
        return array

    def index(
        self, tensors: Sequence[Blocks], sources: Sequence[Sequence[Source]], device: torch.device
    ) -> tuple[Tensor, list[int]]:
        """Return where in the concatenated sources the concatenated wide tensors come from, and the tensors' sizes.

        Each wide tensor begins at a multiple of :data:`_ALIGNMENT`, as an allocation of its own would: libraries choose
        kernels by alignment, and other kernels round otherwise. What fills the gaps is one element behind the sources.

        Args:
            tensors: Wide tensors.
            sources: Per wide tensor, its sources.
            device: Of the index.
        """
        sizes = [aligned(blocks.size) for blocks in tensors]
        counts = [sum(part.shape.numel() for part in parts) for parts in sources]
        index: np.ndarray[Any, np.dtype[Any]] = np.empty(
            sum(sizes), np.int32 if sum(counts) < 2**31 else np.int64
        )
        offset = begin = 0
        for blocks, parts, size, count in zip(tensors, sources, sizes, counts, strict=True):
            array = self.of(blocks, parts)
            np.add(array, offset, out=index[begin : begin + array.size], dtype=index.dtype)
            index[begin + array.size : begin + size] = -1
            offset, begin = offset + count, begin + size
        index[index < 0] = offset
        on_host = torch.from_numpy(index)
        if device.type == "cuda":
            on_host = on_host.pin_memory()  # the copy then runs beside what the device computes
        return on_host.to(device, non_blocking=True).long(), sizes


def flat(tensor: Tensor, memory_format: torch.memory_format | None = None) -> Tensor:
    """Return the elements in the order of memory, without a copy where the tensor has that format."""
    if (memory_format or memory_format_of(tensor)) is torch.channels_last:
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.reshape(-1)


def shaped(flat: Tensor, shape: Sequence[int], memory_format: torch.memory_format) -> Tensor:
    """Undo :func:`flat`."""
    if memory_format is torch.channels_last:
        first, second, *sides = shape
        return flat.view(first, *sides, second).permute(0, 3, 1, 2)
    return flat.view(*shape)


def aligned(size: int) -> int:
    """Return the elements that a gathered tensor takes up."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _laid_out(
    array: np.ndarray[Any, np.dtype[np.int32]], shape: Sequence[int], memory_format: torch.memory_format
) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Do to a NumPy array what :func:`shaped` does to a tensor."""
    if memory_format is torch.channels_last:
        first, second, *sides = shape
        return array.reshape(first, *sides, second).transpose(0, 3, 1, 2)
    return array.reshape(shape)
