"""The network as a `.pt2` of torch.export, with a free batch size: torch runs it without netaug."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from netaug.core.errors import first_line
from netaug.export.comparison import Rung
from netaug.export.conversion import Conversion
from netaug.export.formats.base import Format, Written
from netaug.export.graph import ExportError, FloatArray

_LOAD = """
import torch

network = torch.export.load(HERE / "model.pt2").module()


def predict(image_HWC):
    with torch.no_grad():
        return network(torch.from_numpy(image_HWC.transpose(2, 0, 1)[None].copy()))[0].numpy()
"""


def _write(conversion: Conversion, folder: Path) -> Written:
    file = folder / "model.pt2"
    try:
        program = torch.export.export(
            conversion.network,
            (conversion.example_NCHW,),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
        torch.export.save(program, file)
    except Exception as error:  # torch.export raises types of many modules
        raise ExportError(
            f"the network {conversion.card.name!r} cannot be exported by torch.export.",
            got=first_line(error),
        ) from error
    loaded = torch.export.load(file).module()

    def answer(images_NCHW: Tensor) -> FloatArray:
        with torch.no_grad():
            outputs: FloatArray = loaded(images_NCHW).numpy()
        return outputs

    difference = max(
        float(np.abs(answer(images_NCHW) - conversion.logits(images_NCHW)).max())
        for images_NCHW in (conversion.sample(1), conversion.sample(3))
    )
    check = f"model.pt2: batches of 1 and 3 differ from torch by at most {difference:.1e}"
    return Written((Rung("torch.export, float32", answer, "float"),), checks=(check,))


FORMAT = Format(_write, _LOAD, "numpy, Pillow and torch")
