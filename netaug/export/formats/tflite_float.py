"""The `.tflite` of a network in float32, compared with the trained network in LiteRT."""

from __future__ import annotations

from pathlib import Path

from netaug.export.conversion import Conversion
from netaug.export.formats.base import Format, Written
from netaug.export.formats.litert_runtime import LOAD, MISSING, litert_runner
from netaug.export.ladder import FloatForm
from netaug.export.tflite import operators, write_tflite


def _write(conversion: Conversion, folder: Path) -> Written:
    file = folder / "model.tflite"
    file.write_bytes(write_tflite(conversion.floats))
    names = f"operators of model.tflite in float32: {', '.join(operators(conversion.floats))}"
    answer = litert_runner(file)
    if answer is None:
        return Written(checks=(f"model.tflite in float32 was not run: {MISSING}", names))
    return Written((FloatForm("LiteRT, float32", answer),), checks=(names,))


FORMAT = Format(_write, LOAD, "numpy, Pillow and ai-edge-litert")
