"""A network as an ONNX file, by torch's exporter."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netaug.core.errors import first_line
from netaug.core.optional import import_extra
from netaug.export.graph import ExportError


def import_onnx() -> Any:
    """Return the module onnx.

    Raises:
        ExportError: It, its scripts or ONNX Runtime are not installed.
    """
    for module in ("onnxscript", "onnxruntime"):
        import_extra(module, "onnx", "an export to ONNX", error=ExportError)
    return import_extra("onnx", "onnx", "an export to ONNX", error=ExportError)


def onnx_program(network: nn.Module, example_NCHW: Tensor, outputs: Sequence[str]) -> bytes:
    """Return a network as the bytes of an ONNX file with a free batch size, whose input is called ``images``.

    Args:
        network: In evaluation mode, on the CPU.
        example_NCHW: Two images.
        outputs: Names of its outputs.

    Raises:
        ExportError: ONNX is not installed, torch cannot export the network, or onnx refuses the file.
    """
    onnx = import_onnx()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")  # of torch's own code, about its own future
            program = torch.onnx.export(
                network,
                (example_NCHW,),
                dynamo=True,
                verbose=False,
                input_names=["images"],
                output_names=list(outputs),
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
            assert program is not None, "dynamo=True returns a program"
            file = Path(folder) / "model.onnx"
            program.save(file, external_data=False)
            onnx.checker.check_model(str(file), full_check=True)
            return file.read_bytes()
    except Exception as error:  # of torch, onnxscript and onnx, each with types of its own
        raise ExportError("the network cannot be exported to ONNX.", got=first_line(error)) from error
