"""Runs `.tflite` files of any origin in LiteRT on the outputs of a network: float or int8, one image at a time."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LOAD = """
from ai_edge_litert.interpreter import Interpreter

network = Interpreter(str(HERE / "model.tflite"))
network.allocate_tensors()


def run(image_HWC):
    source = network.get_input_details()[0]
    if source["dtype"] == np.int8:
        scale, zero = source["quantization"]
        image_HWC = np.clip(np.round(image_HWC / scale) + zero, -128, 127).astype(np.int8)
    network.set_tensor(source["index"], image_HWC[None])
    network.invoke()
    outputs = []
    for target in network.get_output_details():
        output = network.get_tensor(target["index"])[0]
        scale, zero = target["quantization"]
        outputs.append(scale * (output.astype(np.float32) - zero) if output.dtype == np.int8 else output)
    return outputs
"""
"""Of a ``predict.py``."""
MISSING = "LiteRT is not installed (pip install 'netaug[micro]')"


def litert_runner(file: Path) -> Callable[[Tensor], list[Tensor]] | None:
    """Return what runs a file on normalized images ``[N, C, H, W]``; None where LiteRT is not installed."""
    try:
        litert = import_module("ai_edge_litert.interpreter")
    except ImportError:
        return None
    interpreter = litert.Interpreter(model_path=str(file), num_threads=1)
    interpreter.allocate_tensors()
    source, targets = interpreter.get_input_details()[0], interpreter.get_output_details()

    def answer(images_NCHW: Tensor) -> list[Tensor]:
        images_NHWC = _encoded(source, images_NCHW.permute(0, 2, 3, 1).contiguous().numpy())
        answers: list[list[Tensor]] = [[] for _ in targets]
        for image_NHWC in images_NHWC[:, None]:
            interpreter.set_tensor(source["index"], image_NHWC)
            interpreter.invoke()
            for collected, target in zip(answers, targets, strict=True):
                collected.append(_decoded(target, interpreter.get_tensor(target["index"])))
        outputs = [torch.cat(collected) for collected in answers]
        return [output.permute(0, 3, 1, 2) if output.ndim == 4 else output for output in outputs]

    return answer


def _encoded(details: dict[str, Any], images_NHWC: NDArray[np.float32]) -> NDArray[Any]:
    if details["dtype"] != np.int8:
        return images_NHWC
    scale, zero = details["quantization"]
    integers = np.round(images_NHWC / np.float32(scale)) + zero
    encoded: NDArray[np.int8] = np.clip(integers, -128, 127).astype(np.int8)
    return encoded


def _decoded(details: dict[str, Any], values: NDArray[Any]) -> Tensor:
    if values.dtype != np.int8:
        return torch.from_numpy(values.copy())
    scale, zero = details["quantization"]
    return torch.from_numpy((values.astype(np.float32) - np.float32(zero)) * np.float32(scale))
