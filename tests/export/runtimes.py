"""Runs `.tflite` files in tflite-micro and in LiteRT's reference kernels, one image at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def tflite_micro(file: bytes, images_NHWC: NDArray[np.int8], count: int = 1) -> list[NDArray[np.int8]]:
    """Outputs of tflite-micro, one array for each of the ``count`` outputs of the network."""
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(file, arena_size=64 << 20)
    outputs = []
    for image_NHWC in images_NHWC[:, None]:
        interpreter.set_input(image_NHWC, 0)
        interpreter.invoke()
        outputs.append([interpreter.get_output(index).copy() for index in range(count)])
    return [np.concatenate(arrays) for arrays in zip(*outputs, strict=True)]


def litert(file: bytes, images_NHWC: NDArray[Any], count: int = 1) -> list[NDArray[Any]]:
    """Outputs of LiteRT's reference kernels, one array for each of the ``count`` outputs."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=file, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    interpreter.allocate_tensors()
    (images,), results = interpreter.get_input_details(), interpreter.get_output_details()
    assert len(results) == count
    outputs = []
    for image_NHWC in images_NHWC[:, None]:
        interpreter.set_tensor(images["index"], image_NHWC)
        interpreter.invoke()
        outputs.append([interpreter.get_tensor(result["index"]).copy() for result in results])
    return [np.concatenate(arrays) for arrays in zip(*outputs, strict=True)]
