"""Turns a `.pt2` of torch.export into float and int8 `.tflite` files by Google's converter: MODEL IMAGES FLOAT INT8.

IMAGES is an array ``[N, C, H, W]`` of NumPy that int8 ranges are measured on; INT8 may be ``-``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def main(model: str, images: str, float_file: str, int8_file: str) -> None:
    """Convert a file."""
    # in here: these packages are in another environment than netaug
    import litert_torch
    import numpy as np
    import torch

    network: Any = torch.export.load(model).module()
    images_NHWC = np.ascontiguousarray(np.load(images).transpose(0, 2, 3, 1))
    example_NHWC = torch.from_numpy(images_NHWC[:1])
    with torch.no_grad():
        answer = network(example_NHWC.permute(0, 3, 1, 2))
    outputs = [answer] if isinstance(answer, torch.Tensor) else list(answer)
    maps = [number for number, output in enumerate(outputs) if output.ndim == 4]
    converted = litert_torch.convert(
        litert_torch.to_channel_last_io(network, args=[0], outputs=maps or None), (example_NHWC,)
    )
    converted.export(float_file)
    if int8_file != "-":
        Path(int8_file).write_bytes(_inlined(_quantized(Path(float_file).read_bytes(), images_NHWC)))


def _quantized(file: bytes, images_NHWC: Any) -> bytes:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from litert_quantizer import quantizer, recipe

    signatures = Interpreter(model_content=file).get_signature_list()
    name = next(iter(signatures))
    source = signatures[name]["inputs"][0]
    converter = quantizer.Quantizer(bytearray(file), recipe.static_wi8_ai8())
    # Its own calibration averages the ranges of images, which clips activations to about half: every image is measured
    # alone, and the extremes over all of them are taken.
    ranges: dict[str, Any] = {}
    for image_NHWC in images_NHWC[:, None]:
        measured = converter.calibrate({name: [{source: image_NHWC}]}, num_threads=1)
        for tensor, found in measured.items():
            known = ranges.setdefault(tensor, found)
            known["min"] = np.minimum(known["min"], found["min"])
            known["max"] = np.maximum(known["max"], found["max"])
    return bytes(converter.quantize(ranges).quantized_model)


def _inlined(file: bytes) -> bytes:
    """Return the file with the constants inside the flatbuffer: tflite-micro reads no others."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(file))
    for buffer in model.buffers:
        buffer.offset = buffer.size = 0
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


if __name__ == "__main__":
    main(*sys.argv[1:])
