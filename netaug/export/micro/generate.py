"""From the int8 form to a checked folder of C: the one function that the export command calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from netaug.export.graph import ExportError
from netaug.export.int8 import GraphInt8
from netaug.export.micro.arena import ArenaPlan
from netaug.export.micro.evaluator import CompiledNetwork, find_compiler
from netaug.export.micro.folder import Interface, write_folder, write_readme
from netaug.export.micro.lower import lower
from netaug.export.tflite_micro import resolver_lines


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
    values, checked = _compare(folder, inputs_NHWC, outputs_NK)  # all inputs, not only the test cases
    ran = f"{checked}\n\n{_tflite_note(graph)}"
    write_readme(program, plan, folder, len(inputs_NHWC[:cases]), ran, overlap=overlap)
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


def _tflite_note(graph: GraphInt8) -> str:
    try:
        lines = ", ".join(f"`{line}`" for line in resolver_lines(graph))
    except ExportError as error:
        return f"The same network cannot be a `.tflite` of tflite-micro: {error.where}"
    return f"Operators for tflite-micro's resolver, if you take `model.tflite` instead: {lines}."
