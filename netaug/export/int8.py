"""The int8 form: the same nodes with a scale and zero point per tensor, and integers where the float form has floats.

A real value is ``scale * (integer - zero_point)``. The arithmetic is that of TFLite's reference kernels, so that every
runtime of these rules (tflite-micro, LiteRT's reference kernels, the generated C, `reference.run`) has the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from netaug.export.graph import Activation, Padding, Shape

Int8Array: TypeAlias = NDArray[np.int8]
Int32Array: TypeAlias = NDArray[np.int32]


class Multiplier(NamedTuple):
    """Is a positive real number as ``value * 2**(shift - 31)``, with ``value`` in [2**30, 2**31), or zero."""

    value: int
    shift: int


@dataclass(frozen=True)
class TensorInt8:
    """Describes an activation tensor: ``(H, W, C)`` or ``(C,)`` int8 values.

    Args:
        name: Name as in the float form.
        shape: Shape without a batch axis.
        scale: Real size of one integer step, a float32 value, > 0.
        zero_point: The integer that means zero, in [-128, 127].
    """

    name: str
    shape: Shape
    scale: float
    zero_point: int


@dataclass(frozen=True, eq=False)
class NodeInt8:
    """Holds what all nodes have: see `graph.Node`."""

    name: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, eq=False, kw_only=True)
class ClippedInt8(NodeInt8):
    """Holds what nodes have whose output is clipped.

    Args:
        activation: What clips the outputs in the float form.
        low: Smallest integer of the output, in [-128, 127].
        high: Largest integer of the output.
    """

    activation: Activation = Activation.NONE
    low: int = -128
    high: int = 127


@dataclass(frozen=True, eq=False)
class ConvInt8(ClippedInt8):
    """Is a convolution: ``clip(zero_point + multiply(bias + sum((x - input zero point) * weight)), low, high)``.

    Padded positions add nothing to the sum.

    Args:
        weight_OHWI: int8 ``[O, kernel height, kernel width, input channels / groups]``, in [-127, 127].
        bias_O: int32 ``[O]``, in units of ``input scale * weight_scales_O``.
        weight_scales_O: float32 ``[O]``; the zero points are 0.
        multipliers_O: int32 ``[O]``, values of the multipliers ``input scale * weight scale / output scale``.
        shifts_O: int32 ``[O]``, their shifts.
        strides: Rows and columns between two outputs, in pixels.
        padding: Positions around the input, in pixels.
        groups: Groups of channels.
        dilation: Rows and columns between two inputs of a window, in pixels.
    """

    weight_OHWI: Int8Array
    bias_O: Int32Array
    weight_scales_O: NDArray[np.float32]
    multipliers_O: Int32Array
    shifts_O: Int32Array
    strides: tuple[int, int] = (1, 1)
    padding: Padding = field(default_factory=Padding)
    groups: int = 1
    dilation: tuple[int, int] = (1, 1)

    @property
    def depthwise(self) -> bool:
        """Whether each output channel reads the input channel of the same number."""
        outputs, _, _, inputs = self.weight_OHWI.shape
        return self.groups > 1 and inputs == 1 and outputs == self.groups


@dataclass(frozen=True, eq=False)
class AddInt8(ClippedInt8):
    """Is a sum: each ``(input - zero point) << 20`` is multiplied, then their sum, then the zero point is added.

    Args:
        input_multipliers: ``input scale / (2 * larger input scale)`` of both inputs.
        output_multiplier: ``2 * larger input scale / (2**20 * output scale)``.
    """

    input_multipliers: tuple[Multiplier, Multiplier]
    output_multiplier: Multiplier


@dataclass(frozen=True, eq=False)
class MulInt8(ClippedInt8):
    """Is a product; the second input may be ``(1, 1, C)``.

    Args:
        multiplier: ``first scale * second scale / output scale``.
    """

    multiplier: Multiplier


@dataclass(frozen=True, eq=False)
class MeanInt8(NodeInt8):
    """Is the mean over H x W: ``zero_point + multiply(sum - H * W * input zero point)``, clipped to int8.

    Args:
        multiplier: ``input scale / output scale``, divided by ``H * W`` in integers as the reference kernel does.
    """

    multiplier: Multiplier


@dataclass(frozen=True, eq=False)
class PoolInt8(NodeInt8):
    """Is the largest value, or the mean rounded half away from zero, of the positions inside the image."""

    kind: Literal["max", "average"]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: Padding = field(default_factory=Padding)


@dataclass(frozen=True, eq=False)
class TableInt8(NodeInt8):
    """Is a function of single values, as a table.

    Args:
        kind: Which operator of TFLite has exactly this table.
        table_256: int8 ``[256]``: the output for the inputs -128, -127, ..., 127.
    """

    kind: Literal["hard_swish", "logistic", "relu", "gelu", "gelu_tanh", "rsqrt"]
    table_256: Int8Array


@dataclass(frozen=True, eq=False)
class ResizeInt8(NodeInt8):
    """Repeats each pixel ``factor`` times in both directions; scale and zero point stay."""

    factor: int = 2


@dataclass(frozen=True, eq=False)
class ConcatInt8(NodeInt8):
    """Joins channels; all inputs and the output have one scale and zero point."""


@dataclass(frozen=True, eq=False)
class TakeInt8(NodeInt8):
    """Is some channels of a tensor, in any order; scale and zero point stay."""

    channels: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class FlattenInt8(NodeInt8):
    """Is the same values, from ``(1, 1, C)`` to ``(C,)``; a runtime may share the memory."""


@dataclass(frozen=True, eq=False)
class GraphInt8:
    """Holds an int8 network; the fields are those of `graph.Graph`."""

    nodes: tuple[NodeInt8, ...]
    tensors: dict[str, TensorInt8]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
