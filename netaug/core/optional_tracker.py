"""Packages that only some settings need."""

from __future__ import annotations

import importlib
from typing import Any

from netaug.core.errors import ConfigError


def import_extra(module: str, setting: str, without: str) -> Any:
    """A module of an optional package.

    Args:
        module: What to import.
        setting: The setting under ``train`` that needs it, which is also the name of the extra.
        without: How to do without it, for the message.

    Raises:
        ConfigError: The package is missing; says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"train.{setting} needs a package that is not installed.",
            got=error,
            fix=f"pip install 'netaug[{setting}]', or {without}; metrics.jsonl is always written",
        ) from None
