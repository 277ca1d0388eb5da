"""Image files that a command line names, one by one or by folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from netaug.core.errors import DataError

_log = logging.getLogger("netaug")


def image_files(names: Sequence[str]) -> list[str]:
    """Files as they are; of a folder those in it that are images by their suffix, in order of their names.

    Raises:
        DataError: A folder has no image.
    """
    from netaug.core.regular_files import is_special
    from netaug.data.decode.image import SUFFIXES

    found: list[str] = []
    for name in names:
        folder = Path(name)
        if not folder.is_dir():
            found.append(name)
            continue
        entries = [file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES]
        special = sorted(file.name for file in entries if is_special(file))
        if special:
            _log.warning(
                "'%s' holds %d named pipes, sockets or devices; they are left out, first: '%s'.",
                name,
                len(special),
                special[0],
            )
        inside = sorted(str(file) for file in entries if file.name not in special and not file.is_dir())
        if not inside:
            raise DataError(
                f"there is no image in '{name}'.",
                got="a folder without image files of its own",
                allowed=f"files ending in {', '.join(sorted(SUFFIXES))}",
                fix="give the folder that the files are in, or the files",
            )
        found += inside
    return found
