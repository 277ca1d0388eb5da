"""Formats of `netaug export --to`, one file per format; a new one is a file here and a line in ``_MODULES``."""

from __future__ import annotations

from importlib import import_module

from netaug.core.errors import ConfigError
from netaug.core.suggest import did_you_mean, nearest
from netaug.export.formats.base import Format

_MODULES = {
    "tflite-int8": "tflite_int8",
    "tflite": "tflite_float",
    "micro": "micro",
    "onnx": "onnx_float",
    "onnx-int8": "onnx_int8",
    "torch": "torch_program",
}
NAMES = tuple(_MODULES)


def find_format(name: str) -> Format:
    """Return a format by its name.

    Raises:
        ConfigError: There is none of this name.
    """
    if name not in _MODULES:
        close = nearest(name, _MODULES, count=1)
        raise ConfigError(
            f"there is no format {name!r} to export to.",
            got=name,
            allowed=", ".join(NAMES),
            fix=did_you_mean(f"--to {other}" for other in close) or None,
        )
    chosen: Format = import_module(f"{__name__}.{_MODULES[name]}").FORMAT
    return chosen
