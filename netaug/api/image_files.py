"""Find the image files that a user names: files, folders of them, patterns."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path

from netaug.core.errors import DataError
from netaug.core.regular_files import is_special
from netaug.data.decode.image import SUFFIXES

_log = logging.getLogger("netaug")


def image_files(names: Sequence[str]) -> list[str]:
    """Return files as they are; of folders and patterns what is an image by its suffix, in order of the names.

    Raises:
        DataError: A folder has no image, or nothing matches a pattern.
    """
    files: list[str] = []
    for name in names:
        if Path(name).is_dir():
            files += _of_folder(name)
        elif has_magic(name) and not Path(name).exists():
            files += _of_pattern(name)
        else:
            files.append(name)
    return files


def _of_pattern(pattern: str) -> list[str]:
    """Return the images whose names match; a shell that leaves a pattern as it is, or quotes, hand it to us."""
    matched = sorted(glob(pattern, recursive=True))
    files = [name for name in matched if Path(name).suffix.lower() in SUFFIXES and Path(name).is_file()]
    if not files:
        raise DataError(
            f"no image matches '{pattern}'.",
            got=f"{len(matched)} other files and folders" if matched else "nothing of such a name",
            allowed=f"files ending in {', '.join(sorted(SUFFIXES))}",
            fix="check the pattern; ** stands for folders of any depth",
        )
    return files


def _of_folder(name: str) -> list[str]:
    entries = [file for file in Path(name).iterdir() if file.suffix.lower() in SUFFIXES]
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
    return inside
