"""What every format of an export has: a function that writes its files, and what is known of them afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netaug.export.comparison import Memory, Rung
from netaug.export.conversion import Conversion

SAMPLE = 20
"""Images on which slow runtimes are compared."""


@dataclass(frozen=True)
class Written:
    """What is known of the files of a format.

    Args:
        rungs: Forms whose accuracy is to be measured.
        memory: What they take on a device.
        checks: What was checked or skipped, one sentence each.
    """

    rungs: tuple[Rung, ...] = ()
    memory: tuple[Memory, ...] = ()
    checks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """A format of `netaug export --to`.

    Args:
        write: Writes the files into a folder that exists, and checks them on a few images.
        load: Python source that defines ``predict(image_HWC)``, for the ``predict.py`` beside the files.
        needs: What ``predict.py`` needs beside Python.
        int8: Whether its values are those of the int8 reference.
    """

    write: Callable[[Conversion, Path], Written]
    load: str
    needs: str
    int8: bool = False
