"""Packages that only some datasets and settings need, imported when they are used."""

from __future__ import annotations

import importlib
from typing import Any

from netaug.core.errors import DataError, NetaugError, first_line


def import_extra(
    module: str,
    extra: str,
    needed_by: str,
    without: str | None = None,
    *,
    error: type[NetaugError] = DataError,
) -> Any:
    """Import a module of an optional package, and return it.

    Args:
        module: What to import.
        extra: The extra of netaug that installs it.
        needed_by: What needs it, for the message.
        without: How to do without it, for the message.
        error: What to raise if the package is missing.

    Raises:
        DataError: The package is missing, or the kind of error given; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as missing:
        other = f", or {without}" if without else ""
        raise error(
            f"{needed_by} needs a package that is not installed.",
            got=first_line(missing),
            fix=f"pip install 'netaug[{extra}]'{other}",
        ) from None
