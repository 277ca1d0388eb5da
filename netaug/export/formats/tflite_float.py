"""The `.tflite` of a network in float32, compared with the trained network in LiteRT."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from netaug.export.conversion import Conversion
from netaug.export.formats.base import Format, Written
from netaug.export.ladder import FloatForm
from netaug.export.tflite import operators, write_tflite

_LOAD = """
from ai_edge_litert.interpreter import Interpreter

network = Interpreter(str(HERE / "model.tflite"))
network.allocate_tensors()


def run(image_HWC):
    network.set_tensor(network.get_input_details()[0]["index"], image_HWC[None])
    network.invoke()
    return [network.get_tensor(target["index"])[0] for target in network.get_output_details()]
"""


def _write(conversion: Conversion, folder: Path) -> Written:
    file = folder / "model.tflite"
    file.write_bytes(write_tflite(conversion.floats))
    names = f"operators of model.tflite in float32: {', '.join(operators(conversion.floats))}"
    try:
        litert = import_module("ai_edge_litert.interpreter")
    except ImportError:
        missing = "model.tflite in float32 was not run: LiteRT is not installed (pip install 'netaug[micro]')"
        return Written(checks=(missing, names))
    return Written((FloatForm("LiteRT, float32", _runner(litert, file)),), checks=(names,))


def _runner(litert: Any, file: Path) -> Any:
    """Return what runs a file on images, one after another: its batch is 1."""
    interpreter = litert.Interpreter(model_path=str(file), num_threads=1)
    interpreter.allocate_tensors()
    source, targets = interpreter.get_input_details()[0], interpreter.get_output_details()

    def answer(images_NCHW: Tensor) -> list[Tensor]:
        answers: list[list[Tensor]] = [[] for _ in targets]
        for image_NHWC in images_NCHW.permute(0, 2, 3, 1).contiguous().numpy()[:, None]:
            interpreter.set_tensor(source["index"], image_NHWC)
            interpreter.invoke()
            for collected, target in zip(answers, targets, strict=True):
                collected.append(torch.from_numpy(interpreter.get_tensor(target["index"]).copy()))
        outputs = [torch.cat(collected) for collected in answers]
        return [output.permute(0, 3, 1, 2) if output.ndim == 4 else output for output in outputs]

    return answer


FORMAT = Format(_write, _LOAD, "numpy, Pillow and ai-edge-litert")
