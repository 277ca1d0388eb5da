"""Formats of `netaug export --to`, one file per format; a new one is a file here and a line in ``_MODULES``."""

from __future__ import annotations

from collections.abc import Sequence
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
    "pte": "executorch",
}
_BY_GOOGLE = {"tflite": "FLOAT", "tflite-int8": "INT8"}
"""Formats that `--via litert` has written by Google's converter, and what they are called in its module."""
NAMES = tuple(_MODULES)


def find_format(name: str, via: str | None = None) -> Format:
    """Return a format by its name.

    Args:
        name: As in `NAMES`.
        via: ``litert`` has `.tflite` files written by Google's converter in place of ours.

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
    by_google = via == "litert" and name in _BY_GOOGLE
    module = import_module(f"{__name__}.{'google_tflite' if by_google else _MODULES[name]}")
    chosen: Format = getattr(module, _BY_GOOGLE[name] if by_google else "FORMAT")
    return chosen


def check_via(via: str | None, formats: Sequence[str]) -> None:
    """Raise ConfigError for another converter than there is, or one that would write none of the formats."""
    if via is not None and via != "litert":
        raise ConfigError("--via names a converter that netaug does not know.", got=via, allowed="litert")
    if via is not None and not set(formats) & set(_BY_GOOGLE):
        raise ConfigError(
            "--via litert has no effect.", got=f"--to {' '.join(formats)}", allowed=" ".join(_BY_GOOGLE)
        )
