"""From the int8 form to a checked folder of C: the one function that the export command calls."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from netaug.export.graph import ExportError, Padding, Shape
from netaug.export.int8 import (
    AddInt8,
    ConcatInt8,
    ConvInt8,
    FlattenInt8,
    GraphInt8,
    MeanInt8,
    MulInt8,
    NodeInt8,
    PoolInt8,
    ResizeInt8,
    TableInt8,
)
from netaug.export.micro.evaluator import CompiledNetwork, find_compiler
from netaug.export.micro.folder import Interface, write_folder, write_readme
from netaug.export.micro.lower import lower
from netaug.export.micro.planner import ArenaPlan

_RESOLVER = {
    AddInt8: "AddAdd",
    MulInt8: "AddMul",
    MeanInt8: "AddMean",
    ResizeInt8: "AddResizeNearestNeighbor",
    ConcatInt8: "AddConcatenation",
    FlattenInt8: "AddReshape",
}
_RESOLVER_TABLES = {
    "hard_swish": "AddHardSwish",
    "logistic": "AddLogistic",
    "relu": "AddRelu",
    "relu6": "AddRelu6",
    "quantize": "AddQuantize",
}


@dataclass(frozen=True)
class Generated:
    """A written folder.

    Attributes:
        plan: Where the activations lie, how large the arena is, which layer is the peak.
        constant_bytes: Bytes of flash that weights, biases, multipliers and tables take.
        values: How many output values were compared with the reference; 0 if there is no compiler on this machine.
        checked: One sentence about that, for a person.
    """

    plan: ArenaPlan
    constant_bytes: int
    values: int
    checked: str


def generate(
    graph: GraphInt8,
    folder: Path,
    *,
    title: str,
    inputs_NHWC: npt.NDArray[np.int8],
    outputs_NK: npt.NDArray[np.int8],
    interface: Interface | None = None,
    cases: int = 3,
    overlap: bool = True,
) -> Generated:
    """Write an int8 network as C into a folder, compile it on this machine and compare every output value.

    Args:
        graph: The network.
        folder: Is made if it is absent.
        title: One line about the network.
        inputs_NHWC: Inputs to compare, int8; the first ones also become the folder's test cases.
        outputs_NK: What the reference answers: per input all values of all outputs, one output after another.
        interface: Normalization and labels.
        cases: How many inputs become test cases of the folder; large inputs make large sources.
        overlap: Whether outputs may slide over dying inputs, which kernels of a vendor do not allow.

    Raises:
        ExportError: A node has no kernel, or a value of the compiled C differs from the reference.
        ResourceError: The compiler refuses the sources.
    """
    program = lower(graph, title)
    plan = write_folder(
        program,
        folder,
        inputs_NHWC=inputs_NHWC[:cases],
        outputs_NK=outputs_NK[:cases],
        interface=interface,
        overlap=overlap,
    )
    values, checked = _compare(folder, inputs_NHWC, outputs_NK)
    operators = ", ".join(f"`{line}`" for line in resolver_lines(graph))
    notes = f"Operators for tflite-micro's resolver, if you take the `.tflite` instead: {operators}."
    write_readme(program, plan, folder, len(inputs_NHWC[:cases]), f"{checked}\n\n{notes}", overlap=overlap)
    return Generated(plan, program.constant_bytes(), values, checked)


def _compare(
    folder: Path, inputs_NHWC: npt.NDArray[np.int8], outputs_NK: npt.NDArray[np.int8]
) -> tuple[int, str]:
    """Return how many values were compared, and a sentence about it."""
    compiler = find_compiler()
    if compiler is None:
        return 0, "The C was not run: there is no C compiler on the machine that wrote it."
    answers = CompiledNetwork(folder)(inputs_NHWC)
    expected = outputs_NK.reshape(answers.shape)
    differing = int(np.count_nonzero(answers != expected))
    if differing:
        largest = int(np.abs(answers.astype(np.int16) - expected.astype(np.int16)).max())
        raise ExportError(
            "The compiled C differs from the reference.",
            got=f"{differing:,} of {answers.size:,} values, by at most {largest}",
            allowed="0 values",
            fix=f"please report it, with the folder {folder}",
        )
    name = Path(compiler).name
    return answers.size, (
        f"Compiled with {name}, the C gave the reference's bits in all {answers.size:,} values of "
        f"{len(answers):,} inputs."
    )


def resolver_lines(graph: GraphInt8) -> list[str]:
    """Return the calls of tflite-micro's ``MicroMutableOpResolver`` for this network, such as ``AddConv2D()``."""
    names: Counter[str] = Counter()
    for node in graph.nodes:
        names[_operator(node)] += 1
        if isinstance(node, ConvInt8 | PoolInt8) and _needs_pad(node, graph.tensors[node.inputs[0]].shape):
            names["AddPad"] += 1
    return [f"{name}()" for name in sorted(names)]


def _operator(node: NodeInt8) -> str:
    if isinstance(node, ConvInt8):
        return "AddDepthwiseConv2D" if node.depthwise else "AddConv2D"
    if isinstance(node, PoolInt8):
        return "AddMaxPool2D" if node.kind == "max" else "AddAveragePool2D"
    if isinstance(node, TableInt8):
        return _RESOLVER_TABLES[node.kind]
    return _RESOLVER[type(node)]


def _needs_pad(node: ConvInt8 | PoolInt8, shape: Shape) -> bool:
    """Return whether a `.tflite` pads by an operation of its own: TFLite's SAME puts the odd pixel below and right."""
    kernel = node.weight_OHWI.shape[1:3] if isinstance(node, ConvInt8) else node.kernel
    sides = [
        max((-(-side // stride) - 1) * stride + size - side, 0)
        for side, stride, size in zip(shape, node.strides, kernel, strict=False)
    ]
    same = Padding(sides[0] // 2, sides[0] - sides[0] // 2, sides[1] // 2, sides[1] - sides[1] // 2)
    return bool(node.padding) and node.padding != same
