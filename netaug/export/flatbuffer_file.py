"""Writes the tables of a `.tflite` file with the package flatbuffers alone, without TensorFlow's generated code.

Numbers of fields, operators and options are those of the public schema,
``tensorflow/compiler/mlir/lite/schema/schema.fbs`` (Apache-2.0), version 3 of the format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

FLOAT32, INT32, INT8 = 0, 2, 9
"""Types of elements."""

OPERATORS = {
    "ADD": 0,
    "AVERAGE_POOL_2D": 1,
    "CONCATENATION": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 4,
    "LOGISTIC": 14,
    "MAX_POOL_2D": 17,
    "MUL": 18,
    "RELU": 19,
    "RESHAPE": 22,
    "PAD": 34,
    "GATHER": 36,
    "MEAN": 40,
    "PADV2": 60,
    "RSQRT": 76,
    "RESIZE_NEAREST_NEIGHBOR": 97,
    "HARD_SWISH": 117,
    "GELU": 150,
    "RELU_0_TO_1": 152,
}

OPTIONS = {
    # number in the union, and the types of the first fields in their order; later fields keep their defaults
    "Conv2DOptions": (
        1,
        ("int8", "int32", "int32", "int8", "int32", "int32"),
    ),  # padding, stride w and h, activation, dilation w and h
    "DepthwiseConv2DOptions": (
        2,
        ("int8", "int32", "int32", "int32", "int8", "int32", "int32"),
    ),  # with depth multiplier
    "Pool2DOptions": (5, ("int8", "int32", "int32", "int32", "int32", "int8")),  # with filter w and h
    "ConcatenationOptions": (10, ("int32", "int8")),  # axis, activation
    "AddOptions": (11, ("int8",)),
    "ReshapeOptions": (17, ()),
    "MulOptions": (21, ("int8",)),
    "PadOptions": (22, ()),
    "GatherOptions": (23, ("int32",)),  # axis
    "ReducerOptions": (27, ("bool",)),  # keep dims
    "PadV2Options": (43, ()),
    "ResizeNearestNeighborOptions": (74, ("bool", "bool")),
    "HardSwishOptions": (91, ()),
    "GeluOptions": (116, ("bool",)),  # approximate
}


@dataclass(frozen=True)
class TensorRecord:
    """Describes a tensor of the file.

    Args:
        shape: With the batch axis.
        type: `FLOAT32`, `INT32` or `INT8`.
        buffer: Index of its constant bytes; 0 for none.
        name: Name shown by viewers; constants go without.
        scales: float32 scales, one or one per channel; None without quantization.
        zero_points: int64 zero points, as many.
        axis: Which axis has one scale per index.
    """

    shape: tuple[int, ...]
    type: int
    buffer: int = 0
    name: str = ""
    scales: NDArray[np.float32] | None = None
    zero_points: NDArray[np.int64] | None = None
    axis: int = 0


@dataclass(frozen=True)
class OperatorRecord:
    """Describes a call of an operator: its name and version, tensors by index, and its options by position."""

    operator: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: str = ""
    values: tuple[int, ...] = ()


@dataclass
class FileRecord:
    """Holds the contents of a file with one subgraph; buffer 0 is empty, as the format asks."""

    description: str
    tensors: list[TensorRecord] = field(default_factory=list)
    operators: list[OperatorRecord] = field(default_factory=list)
    buffers: list[bytes] = field(default_factory=lambda: [b""])
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()

    def buffer(self, contents: bytes) -> int:
        """Return the index of a constant; equal constants are stored once."""
        if contents not in self.buffers:
            self.buffers.append(contents)
        return self.buffers.index(contents)


def serialize(file: FileRecord) -> bytes:
    """Return the bytes of the file: all constants inside, equal vectors stored once."""
    writer = _Writer()
    codes = list(dict.fromkeys((record.operator, record.version) for record in file.operators))
    buffers = writer.tables(3, [[(0, "offset", writer.aligned(contents))] for contents in file.buffers])
    operator_codes = writer.tables(
        4,
        [
            [(0, "int8", min(OPERATORS[name], 127)), (2, "int32", version), (3, "int32", OPERATORS[name])]
            for name, version in codes
        ],
    )
    subgraph = writer.table(
        6,
        [
            (0, "offset", writer.tables(11, [writer.tensor(record) for record in file.tensors])),
            (1, "offset", writer.vector(file.inputs, np.int32)),
            (2, "offset", writer.vector(file.outputs, np.int32)),
            (3, "offset", writer.tables(14, [writer.operator(record, codes) for record in file.operators])),
        ],
    )
    model = writer.table(
        10,
        [
            (0, "uint32", 3),
            (1, "offset", operator_codes),
            (2, "offset", writer.offsets([subgraph])),
            (3, "offset", writer.string(file.description)),
            (4, "offset", buffers),
        ],
    )
    writer.builder.Finish(model, file_identifier=b"TFL3")
    return bytes(writer.builder.Output())


class _Writer:
    """Writes tables, whose fields are given as (number, type, value), and remembers the vectors it has written."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1 << 16)
        self._written: dict[tuple[str, bytes], int] = {}

    def table(self, fields: int, values: Sequence[tuple[int, str, int]]) -> int:
        """Write a table of a schema with so many fields, and return its offset; zeros are left out."""
        builder = self.builder
        slots: dict[str, Any] = {
            "int8": builder.PrependInt8Slot,
            "uint8": builder.PrependUint8Slot,
            "bool": builder.PrependBoolSlot,
            "int32": builder.PrependInt32Slot,
            "uint32": builder.PrependUint32Slot,
            "offset": builder.PrependUOffsetTRelativeSlot,
        }
        builder.StartObject(fields)
        for number, kind, value in values:
            slots[kind](number, value, 0)
        return int(builder.EndObject())

    def tables(self, fields: int, rows: Sequence[Sequence[tuple[int, str, int]]]) -> int:
        """Write tables, and return the offset of the vector of them."""
        return self.offsets([self.table(fields, row) for row in rows])

    def offsets(self, offsets: Sequence[int]) -> int:
        """Write a vector of offsets."""
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def vector(self, values: Any, kind: type[np.generic]) -> int:
        """Write a vector of numbers, or return the offset of an equal one."""
        array = np.asarray(values, kind)
        key = array.dtype.str, array.tobytes()
        if key not in self._written:
            self._written[key] = int(self.builder.CreateNumpyVector(array))
        return self._written[key]

    def string(self, text: str) -> int:
        """Write a string."""
        return int(self.builder.CreateString(text))

    def aligned(self, contents: bytes) -> int:
        """Write constant bytes at a multiple of 16, which the kernels may rely on; no vector for no bytes."""
        if not contents:
            return 0
        builder = self.builder
        builder.StartVector(1, len(contents), 16)
        # The builder has no call for this: CreateByteVector would align to one byte.
        builder.head -= len(contents)
        builder.Bytes[builder.Head() : builder.Head() + len(contents)] = contents
        return int(builder.EndVector())

    def tensor(self, record: TensorRecord) -> list[tuple[int, str, int]]:
        """Write what a tensor refers to, and return the fields of its table."""
        quantization = 0
        if record.scales is not None:
            scales = self.vector(record.scales, np.float32)
            zero_points = self.vector(record.zero_points, np.int64)
            quantization = self.table(
                7, [(2, "offset", scales), (3, "offset", zero_points), (6, "int32", record.axis)]
            )
        return [
            (0, "offset", self.vector(record.shape, np.int32)),
            (1, "int8", record.type),
            (2, "uint32", record.buffer),
            (3, "offset", self.string(record.name) if record.name else 0),
            (4, "offset", quantization),
        ]

    def operator(
        self, record: OperatorRecord, codes: Sequence[tuple[str, int]]
    ) -> list[tuple[int, str, int]]:
        """Write what a call refers to, and return the fields of its table."""
        number, kinds = OPTIONS.get(record.options, (0, ()))
        values = [
            (index, kind, value)
            for index, (kind, value) in enumerate(zip(kinds, record.values, strict=False))
        ]
        return [
            (0, "uint32", codes.index((record.operator, record.version))),
            (1, "offset", self.vector(record.inputs, np.int32)),
            (2, "offset", self.vector(record.outputs, np.int32)),
            (3, "uint8", number),
            (4, "offset", self.table(max(1, len(values)), values) if record.options else 0),
        ]
