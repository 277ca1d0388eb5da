"""The network as a `.pt2` of torch.export, with a free batch size: torch runs it without netaug."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from netaug.core.errors import first_line
from netaug.export.conversion import Conversion, as_list
from netaug.export.formats.base import MAPS_LAST, Format, Written, check_batches
from netaug.export.graph import ExportError
from netaug.export.ladder import FloatForm

_LOAD = f"""
import torch

network = torch.export.load(HERE / "model.pt2").module()


def run(image_HWC):
    with torch.no_grad():
        outputs = network(torch.from_numpy(image_HWC.transpose(2, 0, 1)[None].copy()))
    outputs = [output.numpy() for output in ([outputs] if isinstance(outputs, torch.Tensor) else outputs)]
    {MAPS_LAST}
"""


def _write(conversion: Conversion, folder: Path) -> Written:
    file = folder / "model.pt2"
    save_program(conversion, file, free_batch=True)
    loaded = torch.export.load(file).module()

    def answer(images_NCHW: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return as_list(loaded(images_NCHW))

    form = FloatForm("torch.export, float32", answer)
    return Written((form,), checks=(check_batches(conversion, form, "model.pt2"),))


def save_program(conversion: Conversion, file: Path, *, free_batch: bool) -> None:
    """Write the trained network as a `.pt2`, for any number of images or for one.

    Raises:
        ExportError: torch cannot export it.
    """
    images_NCHW = conversion.example_NCHW if free_batch else conversion.example_NCHW[:1]
    shapes = ({0: torch.export.Dim("batch")},) if free_batch else None
    try:
        program = torch.export.export(conversion.network, (images_NCHW,), dynamic_shapes=shapes)
        torch.export.save(program, file)
    except Exception as error:  # torch.export raises types of many modules
        raise ExportError(
            f"the network {conversion.card.name!r} cannot be exported by torch.export.",
            got=first_line(error),
        ) from error


FORMAT = Format(_write, _LOAD, "numpy, Pillow and torch")
