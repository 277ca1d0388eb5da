"""The `.tflite` of an int8 network, compared with tflite-micro and with LiteRT's reference kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from netaug.export.comparison import Memory, compare_int8
from netaug.export.conversion import Conversion
from netaug.export.formats.base import SAMPLE, Format, Written
from netaug.export.int8 import Int8Array
from netaug.export.tflite import operators, write_tflite

_ARENA = 64 << 20
"""Bytes that tflite-micro gets on this machine: what it really needs is foretold from the shapes."""

_LOAD = """
from ai_edge_litert.interpreter import Interpreter, OpResolverType

# the reference kernels, whose values were checked; leave the resolver out for faster ones, which round otherwise
network = Interpreter(str(HERE / "model.tflite"), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
network.allocate_tensors()
source, target = network.get_input_details()[0], network.get_output_details()[0]


def predict(image_HWC):
    scale, zero = source["quantization"]
    network.set_tensor(source["index"], np.clip(np.round(image_HWC / scale) + zero, -128, 127).astype(np.int8)[None])
    network.invoke()
    scale, zero = target["quantization"]
    return scale * (network.get_tensor(target["index"])[0].astype(np.float32) - zero)
"""


@dataclass(frozen=True)
class _Runtime:
    """Holds the name of a runtime, its module, and what runs a file on int8 images ``[N, H, W, C]``."""

    name: str
    module: str
    run: Callable[[bytes, Int8Array], Int8Array]


def _write(conversion: Conversion, folder: Path) -> Written:
    file = write_tflite(conversion.int8)
    (folder / "model.tflite").write_bytes(file)
    images_NCHW = conversion.sample(SAMPLE)
    images_NHWC, expected_NC = conversion.encode(images_NCHW), conversion.reference(images_NCHW)
    names = operators(conversion.int8)
    # the sigmoids of the two runtimes differ in one value of 76,800: the reference has tflite-micro's bits
    exact = "LOGISTIC" not in names
    checks = [
        _checked(runtime, file, images_NHWC, expected_NC, exact=exact or runtime is _MICRO)
        for runtime in (_MICRO, _LITERT)
    ]
    checks.append(f"operators of model.tflite: {', '.join(names)}")
    memory = Memory("tflite-micro", conversion.need.tflite_micro, len(file), "and its tables and code")
    return Written(memory=(memory,), checks=tuple(checks))


def _checked(
    runtime: _Runtime, file: bytes, images_NHWC: Int8Array, expected_NC: Int8Array, *, exact: bool
) -> str:
    """Return one sentence: how many values a runtime has in common with the reference, or that it is missing.

    Raises:
        ExportError: A value differs where all must be equal.
    """
    try:
        import_module(runtime.module)
    except ImportError:
        return f"not run in {runtime.name}: not installed (pip install 'netaug[micro]')"
    answers_NC = runtime.run(file, images_NHWC)
    differing = int(np.count_nonzero(answers_NC != expected_NC))
    if differing and not exact:
        return f"{runtime.name}: {differing:,} of {expected_NC.size:,} values differ, by its rounding of sigmoids"
    values = compare_int8(f"model.tflite in {runtime.name}", answers_NC, expected_NC)
    return f"{runtime.name}: all {values:,} values of {len(images_NHWC)} images equal the reference's"


def _tflite_micro(file: bytes, images_NHWC: Int8Array) -> Int8Array:
    runtime = import_module("tflite_micro.python.tflite_micro.runtime")
    interpreter = runtime.Interpreter.from_bytes(file, arena_size=_ARENA)
    outputs = []
    for image_NHWC in images_NHWC[:, None]:
        interpreter.set_input(image_NHWC, 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0).copy())
    return np.concatenate(outputs)


def _litert(file: bytes, images_NHWC: Int8Array) -> Int8Array:
    litert = import_module("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(
        model_content=file, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF, num_threads=1
    )
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    outputs = []
    for image_NHWC in images_NHWC[:, None]:
        interpreter.set_tensor(source["index"], image_NHWC)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target["index"]).copy())
    return np.concatenate(outputs)


_MICRO = _Runtime("tflite-micro", "tflite_micro.python.tflite_micro.runtime", _tflite_micro)
_LITERT = _Runtime("LiteRT's reference kernels", "ai_edge_litert.interpreter", _litert)
FORMAT = Format(_write, _LOAD, "numpy, Pillow and ai-edge-litert", int8=True)
