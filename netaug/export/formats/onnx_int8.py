"""ONNX in int8: quantize-dequantize nodes by ONNX Runtime, weights per channel, ranges of the training images."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netaug.core.optional import import_extra
from netaug.export.conversion import Conversion
from netaug.export.formats.base import Format, Written
from netaug.export.formats.onnx_float import LOAD, open_session
from netaug.export.graph import ExportError
from netaug.export.ladder import FloatForm


class _Reader:
    """Hands calibration images to ONNX Runtime, which asks for one batch after another until it gets None."""

    def __init__(self, conversion: Conversion) -> None:
        self._batches = conversion.batches(conversion.calibration)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch by the name of the input."""
        images_NCHW, _ = next(self._batches, (None, None))
        return None if images_NCHW is None else {"images": images_NCHW.numpy()}


def _write(conversion: Conversion, folder: Path) -> Written:
    file, floats = folder / "model.onnx", folder / "float.onnx"
    floats.write_bytes(conversion.onnx)
    quantization: Any = import_extra(
        "onnxruntime.quantization", "onnx", "an export to int8 ONNX", error=ExportError
    )
    if not len(conversion.calibration):
        raise ExportError("there are no images to measure ranges on.", got="0 images")
    with _quiet():
        quantization.quantize_static(
            str(floats),
            str(file),
            _Reader(conversion),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
        )
    floats.unlink()
    check = "model.onnx in int8: its kernels round otherwise than tflite-micro's, so no values are compared"
    form = FloatForm("ONNX, int8 (QDQ, ONNX Runtime)", open_session(file), exact=False)
    return Written((form,), checks=(check,))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ONNX Runtime from advising on the root logger to preprocess the network, which torch's exporter has done."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


FORMAT = Format(_write, LOAD, "numpy, Pillow and onnxruntime")
