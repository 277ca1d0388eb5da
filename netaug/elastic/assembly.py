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
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netaug.elastic.blocks import Blocks, Segments, Source, memory_format_of, source_of
from netaug.elastic.gathering import IndexCache, aligned, flat, shaped

MOST_BLOCKS = 64
"""Beyond this many blocks a tensor is gathered: a grouped convolution may have one segment per group."""


class Assembly:
    """How all wide tensors of one width are made from one list of sources.

    Args:
        tensors: Per wide tensor, its blocks. The sources of a tensor follow each other in the list, base first.
        indexes: Index arrays of earlier recipes, see :class:`IndexCache`.
        accumulates: Whether ``backward`` itself adds to gradients that parameters already have, all in one operation,
            where autograd would run one per parameter, to the same bits. Only for a loop that calls ``backward``
            alone: ``torch.autograd.grad`` would find these gradients in ``.grad``, and wrappers that wait for each
            parameter's gradient would wait in vain.
    """

    def __init__(self, tensors: Sequence[Blocks], indexes: IndexCache, *, accumulates: bool = False) -> None:
        self.accumulates = accumulates
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
            parts = [flat(sources[n]) for number in numbers for n in self.sources_of(number)]
            joined = torch.cat([*parts, parts[0].new_zeros(1)])
            index, sizes = self._index(numbers, [source_of(source) for source in sources], joined.device)
            values = torch.split(joined.index_select(0, index), sizes)
            for number, value in zip(numbers, values, strict=True):
                blocks, memory_format = self.tensors[number], memory_format_of(firsts[number])
                results[number] = shaped(value[: blocks.size], blocks.shape, memory_format)
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
                flat(gradient, sources[self.firsts[number]].memory_format),
                gradient.new_zeros(aligned(size) - size),
            ]
        joined = torch.cat(pieces)
        index, _ = self._index(numbers, sources, joined.device)
        positions = [n for number in numbers for n in self.sources_of(number)]
        sizes = [sources[n].shape.numel() for n in positions]
        whole = joined.new_zeros(sum(sizes) + 1).index_copy(0, index, joined)
        for n, part in zip(positions, torch.split(whole, [*sizes, 1]), strict=False):
            if needed[n]:
                results[n] = shaped(part, sources[n].shape, sources[n].memory_format)

    def _index(
        self, numbers: Sequence[int], sources: Sequence[Source], device: torch.device
    ) -> tuple[Tensor, list[int]]:
        tensors = [self.tensors[number] for number in numbers]
        return self.indexes.index(
            tensors, [[sources[n] for n in self.sources_of(k)] for k in numbers], device
        )


class _Assemble(torch.autograd.Function):
    """Sources to wide tensors."""

    @staticmethod
    def forward(ctx: Any, assembly: Assembly, *sources: Tensor) -> tuple[Tensor, ...]:
        ctx.assembly, ctx.sources = assembly, [source_of(source) for source in sources]
        ctx.parameters = sources if assembly.accumulates else ()
        ctx.set_materialize_grads(False)
        outputs = assembly.assemble(sources)
        fixed = [
            output
            for number, output in enumerate(outputs)
            if not any(sources[n].requires_grad for n in assembly.sources_of(number))
        ]
        ctx.mark_non_differentiable(*fixed)  # else a frozen layer would compute the gradient of its weight
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        assembly, needed = ctx.assembly, ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():  # create_graph
            return None, *_TakeApart.apply(assembly, ctx.sources, needed, *gradients)
        parts = assembly.take_apart(gradients, ctx.sources, needed)
        _accumulate(ctx.parameters, parts)
        return None, *parts


def _accumulate(parameters: Sequence[Tensor], gradients: list[Tensor | None]) -> None:
    """Add gradients to those that parameters have, and take them out of the list."""
    pairs = [
        (number, parameter.grad, gradient)
        for number, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=False))
        if gradient is not None and parameter.is_leaf and parameter.grad is not None
    ]
    if pairs:
        torch._foreach_add_([existing for _, existing, _ in pairs], [gradient for _, _, gradient in pairs])
    for number, _, _ in pairs:
        gradients[number] = None


class _TakeApart(torch.autograd.Function):
    """Gradients of wide tensors to those of sources, for second derivatives: its own derivative is assembling."""

    @staticmethod
    def forward(
        ctx: Any, assembly: Assembly, sources: list[Source], needed: Sequence[bool], *gradients: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        ctx.assembly, ctx.sources = assembly, sources
        return tuple(assembly.take_apart(gradients, sources, needed))

    @staticmethod
    def backward(ctx: Any, *seconds: Any) -> tuple[Tensor | None, ...]:
        some = next(second for second in seconds if second is not None)
        filled = [
            some.new_zeros(source.shape) if second is None else second
            for source, second in zip(ctx.sources, seconds, strict=True)
        ]
        return None, None, None, *ctx.assembly.values(filled)


def assemble(base: Tensor, added: Mapping[int, Tensor], segments: Segments) -> Tensor:
    """Put one tensor of one width together; differentiable in all its sources.

    Args:
        base: The base tensor.
        added: Per elastic dimension, the tensor of shape :func:`netaug.elastic.axes.added_shape`.
        segments: Per elastic dimension with something added, :meth:`netaug.elastic.axes.Axis.segments` of the widths.
    """
    sources = [base, *(added[dim] for dim in sorted(segments))]
    blocks = Blocks.of(base.shape, [source.numel() for source in sources], segments)
    return Assembly([blocks], IndexCache()).values(sources)[0]


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
