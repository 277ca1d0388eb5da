"""ONNX in float32 with a free batch size, compared with the trained network in ONNX Runtime."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netaug.core.errors import first_line
from netaug.core.optional import import_extra
from netaug.export.comparison import Rung
from netaug.export.conversion import Conversion
from netaug.export.formats.base import Format, Written
from netaug.export.graph import ExportError, FloatArray

LOAD = """
import onnxruntime

network = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])


def predict(image_HWC):
    return network.run(None, {"images": image_HWC.transpose(2, 0, 1)[None]})[0][0]
"""


def _write(conversion: Conversion, folder: Path) -> Written:
    file = folder / "model.onnx"
    write_onnx(conversion, file)
    session = open_session(file)

    def answer(images_NCHW: Tensor) -> FloatArray:
        outputs: FloatArray = session.run(None, {"images": images_NCHW.numpy()})[0]
        return outputs

    difference = max(
        float(np.abs(answer(images_NCHW) - conversion.logits(images_NCHW)).max())
        for images_NCHW in (conversion.sample(1), conversion.sample(3))
    )
    opset = import_onnx().load(str(file)).opset_import[0].version
    check = f"model.onnx: opset {opset}, batches of 1 and 3 differ from torch by at most {difference:.1e}"
    return Written((Rung("ONNX, float32", answer, "float"),), checks=(check,))


def import_onnx() -> Any:
    """Return the module onnx.

    Raises:
        ExportError: It or ONNX Runtime is not installed.
    """
    for module in ("onnxscript", "onnxruntime"):
        import_extra(module, "onnx", "an export to ONNX", error=ExportError)
    return import_extra("onnx", "onnx", "an export to ONNX", error=ExportError)


def open_session(file: Path) -> Any:
    """Return a session of ONNX Runtime on one CPU thread."""
    runtime: Any = import_extra("onnxruntime", "onnx", "an export to ONNX", error=ExportError)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def write_onnx(conversion: Conversion, file: Path) -> None:
    """Write the trained network as one ONNX file, whose input is called ``images`` and output ``logits``.

    Raises:
        ExportError: torch cannot export it, or onnx refuses the file.
    """
    onnx = import_onnx()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # of torch's own code, about its own future
            program = torch.onnx.export(
                conversion.network,
                (conversion.example_NCHW,),
                dynamo=True,
                verbose=False,
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
            assert program is not None, "dynamo=True returns a program"
            program.save(file, external_data=False)
        onnx.checker.check_model(str(file), full_check=True)
    except Exception as error:  # of torch, onnxscript and onnx, each with types of its own
        raise ExportError(
            f"the network {conversion.card.name!r} cannot be exported to ONNX.", got=first_line(error)
        ) from error


FORMAT = Format(_write, LOAD, "numpy, Pillow and onnxruntime")
