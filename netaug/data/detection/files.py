"""Where the images of an annotation are on disk."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from netaug.core.errors import DataError
from netaug.core.file_tree import FileTree
from netaug.core.parallel import default_jobs, in_threads
from netaug.data.decode.image import SUFFIXES, read_size


class ImageIndex:
    """All image files below a folder, found by the last parts of their paths.

    Args:
        root: The folder; links are followed, each folder is read once.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for _, files in FileTree(root, hidden=False).walk((os.curdir,)):
            for path in sorted(files):
                if os.path.splitext(path)[1].lower() in SUFFIXES:
                    self._by_name[os.path.basename(path)].append(path)

    def find(self, file: str, hints: Sequence[str], folder: str) -> list[str]:
        """Return a file's path relative to the root; several if nothing tells which of them is meant.

        Args:
            file: Name, maybe with folders in front.
            hints: What the folder may be called in lower case, the best first.
            folder: Where the annotation is, relative to the root.
        """
        wanted = os.path.normpath(file.replace("\\", "/"))  # annotation tools on Windows write backslashes
        paths = [
            path
            for path in self._by_name.get(os.path.basename(wanted), ())
            if path == wanted or path.endswith(os.sep + wanted)
        ]
        # Each hint narrows what the hints before it left: the first one that tells two files apart decides.
        for hint in hints:
            paths = _best(paths, [_likeness(os.path.dirname(path).lower(), hint) for path in paths])
        for exact in (os.path.normpath(os.path.join(folder, wanted)), wanted):
            paths = [exact] if exact in paths else paths
        if len(paths) > 1 and all(_same(self._root, paths[0], other) for other in paths[1:]):
            return paths[:1]
        return paths


def _likeness(folder: str, hint: str) -> int:
    """Rank how a folder's path fits a name: 3 is the name, 2 has a part of that name, 1 contains it, else 0."""
    if hint in ("", os.curdir):
        return 0
    if folder == hint:
        return 3
    return 2 if f"{os.sep}{hint}{os.sep}" in f"{os.sep}{folder}{os.sep}" else int(hint in folder)


def _best(paths: list[str], ranks: list[int]) -> list[str]:
    return [path for path, rank in zip(paths, ranks, strict=True) if rank == max(ranks)]


def _same(root: str, first: str, other: str) -> bool:
    """Return whether two paths lead to one file, through links."""
    try:
        return os.path.samefile(os.path.join(root, first), os.path.join(root, other))
    except OSError:
        return False


def sizes_of(root: Path, files: Sequence[str]) -> list[tuple[int, int] | DataError]:
    """Return width and height of images from their headers; an error for what is not an image."""

    def look(index: int) -> tuple[int, int] | DataError:
        try:
            height, width = read_size(os.path.join(root, files[index]))
        except DataError as error:
            return error
        return width, height

    return list(in_threads(look, len(files), "reading image sizes", default_jobs()))
