"""What every format of an export has: a function that writes its files, and what is known of them afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netaug.export.conversion import Conversion
from netaug.export.ladder import FloatForm, Form, Memory, compare_floats

SAMPLE = 20
"""Images on which slow runtimes are compared."""

MAPS_LAST = "return [output[0].transpose(1, 2, 0) if output.ndim == 4 else output[0] for output in outputs]"
"""Line of a ``predict.py``: outputs ``[1, ...]`` of a network with channels first, as ``run`` returns them."""


@dataclass(frozen=True)
class Written:
    """What is known of the files of a format.

    Args:
        forms: Those whose accuracy is to be measured.
        memory: What they take on a device.
        checks: What was checked or skipped, one sentence each.
    """

    forms: tuple[Form, ...] = ()
    memory: tuple[Memory, ...] = ()
    checks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """A format of `netaug export --to`.

    Args:
        write: Writes the files into a folder that exists, and checks them on a few images.
        load: Python source that defines ``run(image_HWC)``, for the ``predict.py`` beside the files.
        needs: What ``predict.py`` needs beside Python.
        int8: Whether its values are those of the int8 reference.
    """

    write: Callable[[Conversion, Path], Written]
    load: str
    needs: str
    int8: bool = False


def check_batches(conversion: Conversion, form: FloatForm, name: str) -> str:
    """Return one sentence: how far a file's answers to batches of 1 and 3 are from the trained network's.

    Raises:
        ExportError: They differ by more than they may.
    """
    difference = max(
        compare_floats(form.name, form.answer(images_NCHW), conversion.trained(images_NCHW))
        for images_NCHW in (conversion.sample(1), conversion.sample(3))
    )
    return f"{name}: batches of 1 and 3 differ from torch by at most {difference:.1e}"
