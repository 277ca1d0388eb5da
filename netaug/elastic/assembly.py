"""Put the weights of one width together from base and added parameters, all at once, and their gradients apart again.

A wide weight is made of rectangular blocks of the base parameter and of the added ones. All wide weights of a pass are
the outputs of **one** autograd function, so that a pass costs the network's own operations and a handful more:

* On the CPU the blocks are copied by NumPy in the tensors' own memory. What counts there is the overhead of each of
  several hundred small copies: about 2 microseconds with NumPy, 15 as two calls of ``narrow`` and one of ``copy_``.
* Elsewhere, and for tensors of very many blocks, all parameters are concatenated and the wide weights gathered by one
  index: three operations, whatever the number of tensors. The index is made on the host while the device works.

Both are copies, so they agree to the bit, and each other's inverse is their derivative: gradients of wide weights are
copied back into zeros, which makes second derivatives work too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from netaug.elastic.axes import Segment

MOST_BLOCKS = 64
"""Beyond this many blocks a tensor is gathered: a grouped convolution may have one segment per group."""
_ALIGNMENT = 64
"""Elements from the start of one gathered tensor to that of another are a multiple of this."""
_CACHED_BYTES = 64 * 2**20
"""Memory for index arrays that are kept from one step to the next, per supernet."""

Segments = Mapping[int, tuple[Segment, ...]]
Slices = tuple[slice, ...]


class Block(NamedTuple):
    """A rectangle of a wide tensor and where it comes from.

    Args:
        source: 0 for the base tensor, ``n`` for the ``n``-th added one.
        start: Its place in the source, one slice per dimension.
        target: Its place in the wide tensor.
    """

    source: int
    start: Slices
    target: Slices


@dataclass(frozen=True)
class Blocks:
    """How one wide tensor is made.

    Args:
        shape: Of the wide tensor.
        blocks: They cover it without overlap.
        complete: Per source, whether the blocks read all of it; else its gradient has zeros.
    """

    shape: tuple[int, ...]
    blocks: tuple[Block, ...]
    complete: tuple[bool, ...]

    @property
    def size(self) -> int:
        """Elements of the wide tensor."""
        return math.prod(self.shape)

    @classmethod
    def of(cls, base_shape: Sequence[int], source_sizes: Sequence[int], segments: Segments) -> Blocks:
        """Cut the tensor of one width into blocks.

        Args:
            base_shape: Of the base tensor.
            source_sizes: Elements of the base tensor and of the added ones, in the order of their dimensions.
            segments: Per dimension with something added, what the width reads along it.

        Returns:
            The blocks; what has added positions along several dimensions is in the first one's tensor.
        """
        dims = tuple(sorted(segments))
        shape, along = list(base_shape), []
        for dim in dims:
            lengths = [segment.stop - segment.start for segment in segments[dim]]
            starts = [0, *itertools.accumulate(lengths)]
            shape[dim] = starts[-1]
            along.append([part for part in zip(segments[dim], starts, lengths, strict=False) if part[2]])
        blocks, read = [], [0] * len(source_sizes)
        for chosen in itertools.product(*along):
            start, target = ([slice(0, size) for size in base_shape] for _ in range(2))
            source = next((n + 1 for n, (segment, _, _) in enumerate(chosen) if segment.added), 0)
            for number, (dim, (segment, begin, length)) in enumerate(zip(dims, chosen, strict=True), start=1):
                behind_base = segment.added and source != number
                first = segment.start + (base_shape[dim] if behind_base else 0)
                start[dim], target[dim] = slice(first, first + length), slice(begin, begin + length)
            blocks.append(Block(source, tuple(start), tuple(target)))
            read[source] += math.prod(part.stop - part.start for part in target)
        complete = tuple(done == size for done, size in zip(read, source_sizes, strict=True))
        return cls(tuple(shape), tuple(blocks), complete)


class Source(NamedTuple):
    """What is known of a parameter when gradients come back: nothing that would keep its values alive."""

    shape: torch.Size
    memory_format: torch.memory_format


class Recipe:
    """How all wide tensors of one width are made from one list of sources.

    Args:
        tensors: Per wide tensor, its blocks. The sources of a tensor follow each other in the list, base first.
        indexes: Index arrays of earlier recipes, see :class:`IndexCache`.
    """

    def __init__(self, tensors: Sequence[Blocks], indexes: IndexCache) -> None:
        self.tensors = tuple(tensors)
        self.firsts = (0, *itertools.accumulate(len(blocks.complete) for blocks in self.tensors))
        self.indexes = indexes

    def values(self, sources: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the wide tensors, differentiable in the sources."""
        outputs: tuple[Tensor, ...] = _Assemble.apply(self, *sources)
        return outputs

    def sources_of(self, number: int) -> range:
        """Return the positions of a wide tensor's sources in the list."""
        return range(self.firsts[number], self.firsts[number + 1])

    def by_blocks(self, tensors: Sequence[Tensor | None]) -> list[bool]:
        """Return which wide tensors are copied by NumPy, of one source or the gradient of each."""
        return [
            tensor is not None
            and tensor.device.type == "cpu"
            and type(tensor) in (Tensor, nn.Parameter)
            and len(blocks.blocks) <= MOST_BLOCKS
            for tensor, blocks in zip(tensors, self.tensors, strict=True)
        ]

    def assemble(self, sources: Sequence[Tensor]) -> list[Tensor]:
        """Return the wide tensors' values."""
        results: list[Tensor] = [sources[0]] * len(self.tensors)
        gathered = []
        firsts = [sources[first] for first in self.firsts[:-1]]
        for number, is_copied in enumerate(self.by_blocks(firsts)):
            if is_copied:
                parts = [sources[n] for n in self.sources_of(number)]
                results[number] = _copied(parts, self.tensors[number])
            else:
                gathered.append(number)
        for numbers in _alike(gathered, firsts):
            parts = [_flat(sources[n]) for number in numbers for n in self.sources_of(number)]
            flat = torch.cat([*parts, parts[0].new_zeros(1)])
            index, sizes = self._index(numbers, [source_of(source) for source in sources], flat.device)
            values = torch.split(flat.index_select(0, index), sizes)
            for number, value in zip(numbers, values, strict=True):
                blocks, memory_format = self.tensors[number], memory_format_of(firsts[number])
                results[number] = _shaped(value[: blocks.size], blocks.shape, memory_format)
        return results

    def take_apart(
        self, gradients: Sequence[Tensor | None], sources: Sequence[Source], needed: Sequence[bool]
    ) -> list[Tensor | None]:
        """Return the sources' gradients: zero where no wide tensor reads them, None where not ``needed``."""
        results: list[Tensor | None] = [None] * len(sources)
        gathered = []
        for number, is_copied in enumerate(self.by_blocks(gradients)):
            gradient = gradients[number]
            if is_copied and gradient is not None:
                positions = self.sources_of(number)
                parts = _parts_of_gradient(
                    gradient,
                    self.tensors[number],
                    [sources[n] if needed[n] else None for n in positions],
                )
                for n, part in zip(positions, parts, strict=True):
                    results[n] = part
            elif gradient is not None:
                gathered.append(number)
        for numbers in _alike(gathered, gradients):
            self._scatter(numbers, gradients, sources, needed, results)
        return results

    def _scatter(
        self,
        numbers: Sequence[int],
        gradients: Sequence[Tensor | None],
        sources: Sequence[Source],
        needed: Sequence[bool],
        results: list[Tensor | None],
    ) -> None:
        pieces: list[Tensor] = []
        for number in numbers:
            gradient = gradients[number]
            assert gradient is not None
            size = self.tensors[number].size
            pieces += [
                _flat(gradient, sources[self.firsts[number]].memory_format),
                gradient.new_zeros(_aligned(size) - size),
            ]
        flat = torch.cat(pieces)
        index, _ = self._index(numbers, sources, flat.device)
        positions = [n for number in numbers for n in self.sources_of(number)]
        sizes = [sources[n].shape.numel() for n in positions]
        whole = flat.new_zeros(sum(sizes) + 1).index_copy(0, index, flat)
        for n, part in zip(positions, torch.split(whole, [*sizes, 1]), strict=False):
            if needed[n]:
                results[n] = _shaped(part, sources[n].shape, sources[n].memory_format)

    def _index(
        self, numbers: Sequence[int], sources: Sequence[Source], device: torch.device
    ) -> tuple[Tensor, list[int]]:
        """Return where in the concatenated sources the concatenated wide tensors come from, and the tensors' sizes.

        Each wide tensor begins at a multiple of :data:`_ALIGNMENT`, as an allocation of its own would: libraries choose
        kernels by alignment, and other kernels round otherwise. What fills the gaps is one element behind the sources.
        """
        sizes = [_aligned(self.tensors[number].size) for number in numbers]
        total = sum(sources[n].shape.numel() for number in numbers for n in self.sources_of(number))
        index: np.ndarray[Any, np.dtype[Any]] = np.empty(sum(sizes), np.int32 if total < 2**31 else np.int64)
        offset = begin = 0
        for number, size in zip(numbers, sizes, strict=True):
            parts = [sources[n] for n in self.sources_of(number)]
            array = self.indexes.of(self.tensors[number], parts)
            np.add(array, offset, out=index[begin : begin + array.size], dtype=index.dtype)
            index[begin + array.size : begin + size] = -1
            offset, begin = offset + sum(part.shape.numel() for part in parts), begin + size
        index[index < 0] = offset
        on_host = torch.from_numpy(index)
        if device.type == "cuda":
            on_host = on_host.pin_memory()
        return on_host.to(device, non_blocking=True).long(), sizes


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


class _Assemble(torch.autograd.Function):
    """Sources to wide tensors."""

    @staticmethod
    def forward(ctx: Any, recipe: Recipe, *sources: Tensor) -> tuple[Tensor, ...]:
        ctx.recipe, ctx.sources = recipe, [source_of(source) for source in sources]
        ctx.set_materialize_grads(False)
        outputs = recipe.assemble(sources)
        fixed = [
            output
            for number, output in enumerate(outputs)
            if not any(sources[n].requires_grad for n in recipe.sources_of(number))
        ]
        ctx.mark_non_differentiable(*fixed)  # else a frozen layer would compute the gradient of its weight
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        recipe, needed = ctx.recipe, ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():  # create_graph
            return None, *_TakeApart.apply(recipe, ctx.sources, needed, *gradients)
        return None, *recipe.take_apart(gradients, ctx.sources, needed)


class _TakeApart(torch.autograd.Function):
    """Gradients of wide tensors to those of sources, for second derivatives: its own derivative is assembling."""

    @staticmethod
    def forward(
        ctx: Any, recipe: Recipe, sources: list[Source], needed: Sequence[bool], *gradients: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        ctx.recipe, ctx.sources = recipe, sources
        return tuple(recipe.take_apart(gradients, sources, needed))

    @staticmethod
    def backward(ctx: Any, *seconds: Any) -> tuple[Tensor | None, ...]:
        some = next(second for second in seconds if second is not None)
        filled = [
            some.new_zeros(source.shape) if second is None else second
            for source, second in zip(ctx.sources, seconds, strict=True)
        ]
        return None, None, None, *ctx.recipe.values(filled)


def assemble(base: Tensor, added: Mapping[int, Tensor], segments: Segments) -> Tensor:
    """Put one tensor of one width together; differentiable in all its sources.

    Args:
        base: The base tensor.
        added: Per elastic dimension, the tensor of shape :func:`netaug.elastic.axes.added_shape`.
        segments: Per elastic dimension with something added, :meth:`netaug.elastic.axes.Axis.segments` of the widths.
    """
    sources = [base, *(added[dim] for dim in sorted(segments))]
    blocks = Blocks.of(base.shape, [source.numel() for source in sources], segments)
    return Recipe([blocks], IndexCache()).values(sources)[0]


def source_of(tensor: Tensor) -> Source:
    """Return what a gradient of this tensor has to look like."""
    return Source(tensor.shape, memory_format_of(tensor))


def memory_format_of(tensor: Tensor) -> torch.memory_format:
    """Return ``channels_last`` for a 4-d tensor that has it and is not contiguous as well, else contiguous."""
    if (
        tensor.dim() == 4
        and tensor.is_contiguous(memory_format=torch.channels_last)
        and not tensor.is_contiguous()
    ):
        return torch.channels_last
    return torch.contiguous_format


def _copied(sources: Sequence[Tensor], blocks: Blocks) -> Tensor:
    base = sources[0]
    result = torch.empty(blocks.shape, dtype=base.dtype, memory_format=memory_format_of(base))
    array, arrays = _numpy(result), [_numpy(source) for source in sources]
    for source, start, target in blocks.blocks:
        array[target] = arrays[source][start]
    return result


def _parts_of_gradient(
    gradient: Tensor, blocks: Blocks, sources: Sequence[Source | None]
) -> list[Tensor | None]:
    results: list[Tensor | None] = [None] * len(sources)
    arrays: dict[int, np.ndarray[Any, Any]] = {}
    for number, (source, is_complete) in enumerate(zip(sources, blocks.complete, strict=True)):
        if source is not None:
            result = torch.empty(source.shape, dtype=gradient.dtype, memory_format=source.memory_format)
            results[number], arrays[number] = result, _numpy(result)
            if not is_complete:
                arrays[number].fill(0)
    array = _numpy(gradient)
    for number, start, target in blocks.blocks:
        if number in arrays:
            arrays[number][start] = array[target]
    return results


def _numpy(tensor: Tensor) -> np.ndarray[Any, Any]:
    """Return a view of the tensor's memory; types that NumPy has not are copied as integers of their size."""
    tensor = tensor.detach()
    if tensor.dtype is torch.bfloat16:
        tensor = tensor.view(torch.int16)
    return tensor.numpy()


def _alike(numbers: Sequence[int], tensors: Sequence[Tensor | None]) -> list[list[int]]:
    """Group wide tensors whose sources can be concatenated: those of one device and type."""
    groups: dict[Any, list[int]] = {}
    for number in numbers:
        tensor = tensors[number]
        assert tensor is not None
        groups.setdefault((tensor.device, tensor.dtype), []).append(number)
    return list(groups.values())


def _flat(tensor: Tensor, memory_format: torch.memory_format | None = None) -> Tensor:
    """Return the elements in the order of memory, without a copy where the tensor has that format."""
    if (memory_format or memory_format_of(tensor)) is torch.channels_last:
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.reshape(-1)


def _shaped(flat: Tensor, shape: Sequence[int], memory_format: torch.memory_format) -> Tensor:
    """Undo :func:`_flat`."""
    if memory_format is torch.channels_last:
        first, second, *sides = shape
        return flat.view(first, *sides, second).permute(0, 3, 1, 2)
    return flat.view(*shape)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _laid_out(
    array: np.ndarray[Any, np.dtype[np.int32]], shape: Sequence[int], memory_format: torch.memory_format
) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Do to a NumPy array what :func:`_shaped` does to a tensor."""
    if memory_format is torch.channels_last:
        first, second, *sides = shape
        return array.reshape(first, *sides, second).transpose(0, 3, 1, 2)
    return array.reshape(shape)
