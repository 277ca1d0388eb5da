"""Packages that only some datasets need."""

from __future__ import annotations

import importlib
from typing import Any

from netaug.core.errors import DataError, first_line


def import_extra(module: str, extra: str, what: str, without: str | None = None) -> Any:
    """A module of an optional package.

    Args:
        module: What to import.
        extra: The extra of netaug that brings it.
        what: What needs it, for the message.
        without: How to do without it, for the message.

    Raises:
        DataError: The package is missing; says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        other = f", or {without}" if without else ""
        raise DataError(
            f"{what} needs a package that is not installed.",
            got=first_line(error),
            fix=f"pip install 'netaug[{extra}]'{other}",
        ) from None
