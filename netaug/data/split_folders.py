"""Folders that are splits by their names, as people and tools call them."""

from __future__ import annotations

from pathlib import Path

from netaug.core.regular_files import is_folder

TRAINING = ("train", "training")
EVALUATION = ("val", "valid", "validation", "test", "testing")
"""The best first: images for testing are used only where there are no others."""

_ALWAYS = ("train", "val", "test")


def split_folder(root: Path, names: tuple[str, ...]) -> Path | None:
    """Return the folder of a split; None without one.

    Args:
        root: Where the splits lie.
        names: What it may be called, in lower case; it may be capitalized. ``valid`` and other names that are not the
            usual ones may be those of a class too: such a folder is a split if it holds folders.
    """
    for name in names:
        for spelled in (name, name.capitalize(), name.upper()):
            path = root / spelled
            if path.is_dir() and (spelled in _ALWAYS or any(is_folder(entry) for entry in path.iterdir())):
                return path
    return None
