"""`.tflite` files by Google's converter, for networks with operators that ours refuses: `--via litert`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from netaug.export.conversion import Conversion
from netaug.export.environments import LITERT, ensure, run_job
from netaug.export.formats.base import Format, Written
from netaug.export.formats.litert_runtime import LOAD, MISSING, litert_runner
from netaug.export.formats.torch_program import save_program
from netaug.export.graph import ExportError
from netaug.export.ladder import FloatForm

_CHECK = "model.tflite in int8 by LiteRT's converter: there is no reference to compare its values with"


def _write_float(conversion: Conversion, folder: Path) -> Written:
    file = folder / "model.tflite"
    _convert(conversion, file, None)
    answer = litert_runner(file)
    if answer is None:
        return Written(checks=(f"model.tflite in float32 was not run: {MISSING}",))
    return Written((FloatForm("LiteRT's converter, float32", answer),))


def _write_int8(conversion: Conversion, folder: Path) -> Written:
    file, floats = folder / "model.tflite", folder / "float.tflite"
    _convert(conversion, floats, file)
    floats.unlink()
    answer = litert_runner(file)
    if answer is None:
        return Written(checks=(f"model.tflite in int8 was not run: {MISSING}",))
    return Written((FloatForm("LiteRT's converter, int8", answer, exact=False),), checks=(_CHECK,))


def _convert(conversion: Conversion, floats: Path, int8: Path | None) -> None:
    python = ensure(LITERT, fetch=conversion.fetch, needed_by="--via litert")
    with tempfile.TemporaryDirectory() as place:
        model, images = Path(place) / "model.pt2", Path(place) / "images.npy"
        save_program(conversion, model, free_batch=False)
        np.save(images, _images(conversion) if int8 is not None else conversion.example_NCHW[:1].numpy())
        words = [str(model), str(images), str(floats), "-" if int8 is None else str(int8)]
        run_job(python, "litert_tflite", words)


def _images(conversion: Conversion) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    batches = [images_NCHW.numpy() for images_NCHW, _ in conversion.batches(conversion.calibration)]
    if not batches:
        raise ExportError("there are no images to measure ranges on.", got="0 images")
    return np.concatenate(batches)


_NEEDS = "numpy, Pillow and ai-edge-litert"
FLOAT = Format(_write_float, LOAD, _NEEDS)
INT8 = Format(_write_int8, LOAD, _NEEDS)
