"""Operations of an int8 network as calls of the C kernels, one function per kernel.

Every function returns a :class:`Call` and takes what the kernel's C structure holds. Activations are height x width x
channels, multipliers are 31-bit integers with a power of two (`shift`), as TFLite's reference kernels have them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from netaug.export.micro.lifetimes import Operation
from netaug.export.micro.overlap import IN_PLACE, resize_distance, window_distance

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Activation:
    """A tensor that the network computes.

    Attributes:
        name: Unique in the network.
        shape_HWC: Height, width and channels.
        scale: The real value of one step.
        zero_point: The int8 value that stands for 0.
    """

    name: str
    shape_HWC: tuple[int, int, int]
    scale: float
    zero_point: int

    @property
    def size(self) -> int:
        """Return the number of bytes."""
        height, width, channels = self.shape_HWC
        return height * width * channels


@dataclass(frozen=True)
class Scaling:
    """A real factor as a 31-bit integer times a power of two."""

    multiplier: int
    shift: int


@dataclass(frozen=True)
class Window:
    """A sliding window: its size, its stride, and how far the first one starts above and left of the image."""

    size_HW: tuple[int, int]
    stride_HW: tuple[int, int] = (1, 1)
    padding_top_left: tuple[int, int] = (0, 0)

    def initializer(self) -> str:
        """Return the C value."""
        return _braces((*self.size_HW, *self.stride_HW, *self.padding_top_left))


@dataclass(frozen=True)
class Groups:
    """What sets a convolution apart from plain ones: groups of channels, and pixels between those of a window."""

    count: int
    dilation_HW: tuple[int, int]

    def fields(self) -> dict[str, str]:
        """Return the fields of ``net_conv`` that say so."""
        rows, columns = self.dilation_HW
        return {"groups": str(self.count), "dilation_y": str(rows), "dilation_x": str(columns)}


@dataclass(frozen=True)
class Call:
    """One operation in C.

    Attributes:
        operation: For the memory planner.
        arrays: Constants by role, such as ``weights``; they go to flash.
        structure: C type of the parameters, or empty.
        fields: Its fields; ``{weights}`` stands for the name of that constant.
        statements: With ``{p}`` for the parameters, ``{in0}``, ``{in1}``, … and ``{out}`` for addresses in the arena.
    """

    operation: Operation
    statements: tuple[str, ...]
    arrays: Mapping[str, Array] = field(default_factory=dict)
    structure: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


def convolution(
    layer: str,
    source: Activation,
    target: Activation,
    window: Window,
    *,
    weights: npt.NDArray[np.int8],
    bias: npt.NDArray[np.int32],
    scalings: Sequence[Scaling],
    bounds: tuple[int, int],
    depthwise: bool,
    groups: Groups | None = None,
) -> Call:
    """Return a convolution; padding counts as the input's zero point and takes no memory.

    Args:
        layer: Name for messages.
        source: The input.
        target: The output.
        window: Kernel size, stride, padding.
        weights: ``[output channel, row, column, input channel]``; of a depthwise one ``[row, column, channel]``.
        bias: Per output channel.
        scalings: Per output channel, from sums to the output's steps.
        bounds: Smallest and largest output value: the fused activation.
        depthwise: Whether output channel c reads input channel c only.
        groups: Of a convolution in groups, or of one with gaps in its window; its weights are not depthwise ones.
    """
    arrays: dict[str, Array] = {
        "weights": np.asarray(weights, np.int8),
        "bias": np.asarray(bias, np.int32),
        "multipliers": np.array([scaling.multiplier for scaling in scalings], np.int32),
        "shifts": np.array([scaling.shift for scaling in scalings], np.int16),
    }
    zeros = {"input_zero": str(source.zero_point), "output_zero": str(target.zero_point)}
    further = {} if groups is None else groups.fields()
    return Call(
        _windowed(layer, source, target, window, per_channel=depthwise),
        (
            f"net_{'group_conv' if groups else 'depthwise' if depthwise else 'conv'}_run(&{{p}}, {{in0}}, {{out}});",
        ),
        arrays,
        "net_conv",
        {role: f"{{{role}}}" for role in arrays}
        | _window_fields(source, target, window, bounds)
        | zeros
        | further,
    )


def pool(
    layer: str, source: Activation, target: Activation, window: Window, bounds: tuple[int, int], kind: str
) -> Call:
    """Return a pool of ``kind`` "max" or "avg"; padding takes no part in it."""
    return Call(
        _windowed(layer, source, target, window, per_channel=True),
        (f"net_{kind}_pool_run(&{{p}}, {{in0}}, {{out}});",),
        structure="net_pool",
        fields=_window_fields(source, target, window, bounds),
    )


def addition(
    layer: str,
    sources: tuple[Activation, Activation],
    target: Activation,
    *,
    scalings: tuple[Scaling, Scaling, Scaling],
    bounds: tuple[int, int],
) -> Call:
    """Return the sum of two activations of one shape; ``scalings`` are of both inputs and of the output."""
    fields = {"size": str(target.size)}
    for name, scaling in zip(("a", "b", "out"), scalings, strict=True):
        fields |= {f"multiplier_{name}": str(scaling.multiplier), f"shift_{name}": str(scaling.shift)}
    return Call(
        Operation(layer, (sources[0].name, sources[1].name), target.name, (IN_PLACE, IN_PLACE)),
        ("net_add_run(&{p}, {in0}, {in1}, {out});",),
        structure="net_add",
        fields=fields | _zeros(sources, target) | _bounds(bounds),
    )


def product(
    layer: str,
    sources: tuple[Activation, Activation],
    target: Activation,
    *,
    scaling: Scaling,
    bounds: tuple[int, int],
) -> Call:
    """Return the product of two activations; the second may have one value per channel."""
    fields = {"size": str(target.size), "b_size": str(sources[1].size)}
    fields |= {"multiplier": str(scaling.multiplier), "shift": str(scaling.shift)}
    # factors per channel are read again at every pixel
    second = IN_PLACE if sources[1].size == target.size else None
    return Call(
        Operation(layer, (sources[0].name, sources[1].name), target.name, (IN_PLACE, second)),
        ("net_mul_run(&{p}, {in0}, {in1}, {out});",),
        structure="net_mul",
        fields=fields | _zeros(sources, target) | _bounds(bounds),
    )


def mean(layer: str, source: Activation, target: Activation, scaling: Scaling) -> Call:
    """Return the mean over height and width; ``scaling`` includes the division by the number of pixels."""
    height, width, channels = source.shape_HWC
    fields = {"pixels": height * width, "channels": channels, "multiplier": scaling.multiplier}
    fields |= {"shift": scaling.shift, "input_zero": source.zero_point, "output_zero": target.zero_point}
    return Call(
        Operation(layer, (source.name,), target.name, (IN_PLACE,)),
        ("net_mean_run(&{p}, {in0}, {out});",),
        structure="net_mean",
        fields={name: str(value) for name, value in fields.items()},
    )


def lookup(layer: str, source: Activation, target: Activation, table: npt.NDArray[np.int8]) -> Call:
    """Return any function of single values, such as hard swish; ``table[v + 128]`` is the output for v."""
    return Call(
        Operation(layer, (source.name,), target.name, (IN_PLACE,)),
        (f"net_lookup_run({{table}}, {source.size}, {{in0}}, {{out}});",),
        {"table": np.asarray(table, np.int8)},
    )


def resize(layer: str, source: Activation, target: Activation, factor: int) -> Call:
    """Return nearest-neighbor enlargement by a whole factor."""
    shape = f"(net_shape){_braces(source.shape_HWC)}"
    return Call(
        Operation(layer, (source.name,), target.name, (resize_distance(source.shape_HWC, factor),)),
        (f"net_resize_run({shape}, {factor}, {{in0}}, {{out}});",),
    )


def take(layer: str, source: Activation, target: Activation, channels: Sequence[int]) -> Call:
    """Return some channels of an activation, in the given order; scale and zero point stay."""
    height, width, depth = source.shape_HWC
    # any channel of a pixel may be read until the pixel's last channel is written
    distance = window_distance(source.shape_HWC, target.shape_HWC)
    return Call(
        Operation(layer, (source.name,), target.name, (distance,)),
        (f"net_take_run({height * width}, {depth}, {len(channels)}, {{order}}, {{in0}}, {{out}});",),
        {"order": np.asarray(channels, np.int16)},
    )


def concatenation(layer: str, sources: Sequence[Activation], target: Activation) -> Call:
    """Return activations beside each other along the channels; all have the output's quantization."""
    height, width, stride = target.shape_HWC
    # one input after another: no distance is safe, since the first one writes into all pixels of the output
    starts = np.cumsum([0, *(source.shape_HWC[2] for source in sources)])
    return Call(
        Operation(layer, tuple(source.name for source in sources), target.name, (None,) * len(sources)),
        tuple(
            f"net_concat_run({height * width}, {source.shape_HWC[2]}, {stride}, {{in{index}}}, {{out}} + {start});"
            for index, (source, start) in enumerate(zip(sources, starts[:-1], strict=True))
        ),
    )


def _windowed(
    layer: str, source: Activation, target: Activation, window: Window, *, per_channel: bool
) -> Operation:
    """Return an operation that reads a window of pixels for each of its output's."""
    distance = window_distance(
        source.shape_HWC,
        target.shape_HWC,
        stride_HW=window.stride_HW,
        padding_HW=window.padding_top_left,
        per_channel=per_channel,
    )
    return Operation(layer, (source.name,), target.name, (distance,))


def _window_fields(
    source: Activation, target: Activation, window: Window, bounds: tuple[int, int]
) -> dict[str, str]:
    return {
        "input": _braces(source.shape_HWC),
        "output": _braces(target.shape_HWC),
        "window": window.initializer(),
    } | _bounds(bounds)


def _zeros(sources: tuple[Activation, Activation], target: Activation) -> dict[str, str]:
    return {
        "zero_a": str(sources[0].zero_point),
        "zero_b": str(sources[1].zero_point),
        "output_zero": str(target.zero_point),
    }


def _bounds(bounds: tuple[int, int]) -> dict[str, str]:
    return {"low": str(bounds[0]), "high": str(bounds[1])}


def _braces(values: Sequence[int]) -> str:
    # doubled, because fields and statements are filled in by str.format
    return f"{{{{{', '.join(map(str, values))}}}}}"
