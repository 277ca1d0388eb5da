"""Collects the tensors and calls of a `.tflite` file, of the float form or of the int8 form."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netaug.export.flatbuffer_file import FLOAT32, INT8, INT32, FileRecord, OperatorRecord, TensorRecord
from netaug.export.graph import Graph, Shape
from netaug.export.int8 import GraphInt8

_TYPES: dict[Any, int] = {np.dtype(np.int8): INT8, np.dtype(np.int32): INT32, np.dtype(np.float32): FLOAT32}


class TfliteFile:
    """Collects the records; activation tensors are added when they are first named."""

    def __init__(self, graph: Graph | GraphInt8) -> None:
        self.graph = graph
        self.record = FileRecord("netaug")
        self._indices: dict[str, int] = {}

    @property
    def int8(self) -> bool:
        """Whether the values are int8."""
        return isinstance(self.graph, GraphInt8)

    def shape(self, name: str) -> Shape:
        """Return the shape of an activation without a batch axis."""
        return (
            self.graph.tensors[name].shape if isinstance(self.graph, GraphInt8) else self.graph.shapes[name]
        )

    def scale_and_zero(self, name: str) -> tuple[float, int]:
        """Return scale and zero point of an activation; 1 and 0 of a float one."""
        if not isinstance(self.graph, GraphInt8):
            return 1.0, 0
        described = self.graph.tensors[name]
        return described.scale, described.zero_point

    def tensor(self, name: str) -> int:
        """Return the index of an activation tensor."""
        if name not in self._indices:
            self._indices[name] = self.activation(name, self.shape(name), name)
        return self._indices[name]

    def activation(self, like: str, shape: Shape, name: str = "") -> int:
        """Add a tensor with the type, scale and zero point of another."""
        if not self.int8:
            return self._append(TensorRecord((1, *shape), FLOAT32, 0, name))
        scale, zero = self.scale_and_zero(like)
        scales, zeros = np.array([scale], np.float32), np.array([zero], np.int64)
        return self._append(TensorRecord((1, *shape), INT8, 0, name, scales, zeros))

    def constant(
        self, array: NDArray[Any], scales: NDArray[np.float32] | None = None, axis: int = 0, zero: int = 0
    ) -> int:
        """Add a constant tensor, with one scale per index of an axis where scales are given."""
        buffer = self.record.buffer(np.ascontiguousarray(array).tobytes())
        zeros = None if scales is None else np.full(len(scales), zero, np.int64)
        return self._append(TensorRecord(array.shape, _TYPES[array.dtype], buffer, "", scales, zeros, axis))

    def call(
        self,
        operator: str,
        version: int,
        inputs: tuple[int, ...],
        output: int,
        options: str = "",
        values: tuple[int, ...] = (),
    ) -> None:
        """Add a call of an operator."""
        self.record.operators.append(OperatorRecord(operator, version, inputs, (output,), options, values))

    def _append(self, record: TensorRecord) -> int:
        self.record.tensors.append(record)
        return len(self.record.tensors) - 1
