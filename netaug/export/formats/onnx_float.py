"""ONNX in float32 with a free batch size, compared with the trained network in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from netaug.core.optional import import_extra
from netaug.export.conversion import Conversion
from netaug.export.formats.base import MAPS_LAST, Format, Written, check_batches
from netaug.export.graph import ExportError
from netaug.export.ladder import FloatForm
from netaug.export.onnx_program import import_onnx

LOAD = f"""
import onnxruntime

network = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])


def run(image_HWC):
    outputs = network.run(None, {{"images": image_HWC.transpose(2, 0, 1)[None]}})
    {MAPS_LAST}
"""


def _write(conversion: Conversion, folder: Path) -> Written:
    file = folder / "model.onnx"
    file.write_bytes(conversion.onnx)
    opset = import_onnx().load(str(file)).opset_import[0].version
    form = FloatForm("ONNX, float32", open_session(file))
    return Written((form,), checks=(check_batches(conversion, form, f"model.onnx, opset {opset}"),))


def open_session(file: Path) -> Callable[[Tensor], list[Tensor]]:
    """Return what runs a file on images, in ONNX Runtime on one CPU thread."""
    runtime: Any = import_extra("onnxruntime", "onnx", "an export to ONNX", error=ExportError)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def answer(images_NCHW: Tensor) -> list[Tensor]:
        return [torch.from_numpy(output) for output in session.run(None, {"images": images_NCHW.numpy()})]

    return answer


FORMAT = Format(_write, LOAD, "numpy, Pillow and onnxruntime")
