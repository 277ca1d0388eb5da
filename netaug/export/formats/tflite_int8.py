"""The `.tflite` of an int8 network, compared with tflite-micro and with LiteRT's reference kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from netaug.core.errors import first_line
from netaug.export.conversion import Conversion, flattened
from netaug.export.formats.base import SAMPLE, Format, Written
from netaug.export.graph import ExportError
from netaug.export.int8 import Int8Array
from netaug.export.ladder import Memory, compare_int8
from netaug.export.tflite import operators, write_tflite
from netaug.export.tflite_micro import missing_in_tflite_micro

_ARENA = 64 << 20
"""Bytes that tflite-micro gets on this machine: what it really needs is foretold from the shapes."""

_LOAD = """
from ai_edge_litert.interpreter import Interpreter, OpResolverType

# the reference kernels, whose values were checked; leave the resolver out for faster ones, which round otherwise
network = Interpreter(str(HERE / "model.tflite"), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
network.allocate_tensors()
source = network.get_input_details()[0]


def run(image_HWC):
    scale, zero = source["quantization"]
    network.set_tensor(source["index"], np.clip(np.round(image_HWC / scale) + zero, -128, 127).astype(np.int8)[None])
    network.invoke()
    outputs = []
    for target in network.get_output_details():
        scale, zero = target["quantization"]
        outputs.append(scale * (network.get_tensor(target["index"])[0].astype(np.float32) - zero))
    return outputs
"""


@dataclass(frozen=True)
class _Runtime:
    """Holds the name of a runtime, its module, and what runs a file.

    Args:
        name: For people.
        module: What is imported.
        run: From a file, int8 images ``[N, H, W, C]`` and the number of outputs to int8 ``[N, K]``.
    """

    name: str
    module: str
    run: Callable[[bytes, Int8Array, int], Int8Array]


def _write(conversion: Conversion, folder: Path) -> Written:
    file = write_tflite(conversion.int8)
    (folder / "model.tflite").write_bytes(file)
    images_NCHW = conversion.sample(SAMPLE)
    images_NHWC, expected_NK = conversion.encode(images_NCHW), conversion.reference(images_NCHW)
    count = len(conversion.int8.outputs)
    names = operators(conversion.int8)
    # the sigmoids of the two runtimes differ in one value of 76,800: the reference has tflite-micro's bits
    exact = "LOGISTIC" not in names
    missing = missing_in_tflite_micro(conversion.int8)
    checks = [f"not run in tflite-micro: it has no kernel for {', '.join(missing)}"] if missing else []
    checks += [
        _checked(runtime, (file, images_NHWC, count), expected_NK, exact=exact or runtime is MICRO)
        for runtime in ((LITERT,) if missing else (MICRO, LITERT))
    ]
    checks.append(f"operators of model.tflite: {', '.join(names)}")
    head = conversion.need.tflite_micro
    memory = () if head is None else (Memory("tflite-micro", head, len(file), "and its tables and code"),)
    return Written(memory=memory, checks=tuple(checks))


def _checked(
    runtime: _Runtime, given: tuple[bytes, Int8Array, int], expected_NK: Int8Array, *, exact: bool
) -> str:
    """Return one sentence: how many values a runtime has in common with the reference, or that it is missing.

    Raises:
        ExportError: A value differs where all must be equal.
    """
    try:
        import_module(runtime.module)
    except ImportError:
        return f"not run in {runtime.name}: not installed (pip install 'netaug[micro]')"
    try:
        answers_NK = runtime.run(*given)
    except (RuntimeError, ValueError) as error:  # as both say that they do not take a file
        raise ExportError(
            f"{runtime.name} does not run model.tflite.",
            got=first_line(error),
            fix="please report it, with the name of the network",
        ) from error
    differing = int(np.count_nonzero(answers_NK != expected_NK))
    if differing and not exact:
        return f"{runtime.name}: {differing:,} of {expected_NK.size:,} values differ, by its rounding of sigmoids"
    values = compare_int8(f"model.tflite in {runtime.name}", answers_NK, expected_NK)
    return f"{runtime.name}: all {values:,} values of {len(answers_NK)} images equal the reference's"


def _tflite_micro(file: bytes, images_NHWC: Int8Array, count: int) -> Int8Array:
    runtime = import_module("tflite_micro.python.tflite_micro.runtime")
    interpreter = runtime.Interpreter.from_bytes(file, arena_size=_ARENA)
    answers = []
    for image_NHWC in images_NHWC[:, None]:
        interpreter.set_input(image_NHWC, 0)
        interpreter.invoke()
        answers.append(flattened([interpreter.get_output(index).copy() for index in range(count)]))
    return np.concatenate(answers)


def _litert(file: bytes, images_NHWC: Int8Array, count: int) -> Int8Array:
    litert = import_module("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(
        model_content=file, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF, num_threads=1
    )
    interpreter.allocate_tensors()
    source, targets = interpreter.get_input_details()[0], interpreter.get_output_details()
    assert len(targets) == count
    answers = []
    for image_NHWC in images_NHWC[:, None]:
        interpreter.set_tensor(source["index"], image_NHWC)
        interpreter.invoke()
        answers.append(flattened([interpreter.get_tensor(target["index"]).copy() for target in targets]))
    return np.concatenate(answers)


MICRO = _Runtime("tflite-micro", "tflite_micro.python.tflite_micro.runtime", _tflite_micro)
LITERT = _Runtime("LiteRT's reference kernels", "ai_edge_litert.interpreter", _litert)
FORMAT = Format(_write, _LOAD, "numpy, Pillow and ai-edge-litert", int8=True)
